/* op.h - the operations a forward pass is made of, and the devices that run them.
 *
 * DESIGN. A forward pass *records* operations between begin and submit; a device may fuse what it likes in between, and
 * runs them in order, each seeing the results of those before. Operations work on views of opaque buffers: T rows
 * (tokens) of float32, `stride` floats apart. Stored matrices are of any format (format.h) and are never converted by
 * the caller. The CPU (kernels/cpu_device.c: pool and level table) is one implementation.
 *
 * BITS. What an operation makes of a token depends on that token, the cache before it and the stored matrices alone: not
 * on the number of threads, nor on which other tokens go along (any cut of a batch gives the same bits). Sums over columns run
 * in one order fixed by type and precision (dot.h); attention is computed in tiles of QS_ATTEND_TILE keys and runs of
 * tiles, counted from position 0, merged in key order (cpu_attend.c); experts are added in index order.
 *
 * PRECISION. QS_EXACT: activations stay float32, stored weights are decoded to float32. QS_FAST: activations take the
 * format that the weight's type pairs with (dot.h), the same on every level. Norms, RoPE, softmax, GLU are float32 in
 * both. Queries that meet keys of a quantized cache are integers of 16 bits in both (attend.h).
 */
#ifndef QS_KERNELS_OP_H
#define QS_KERNELS_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/pool.h"
#include "kernels/format.h"

#define QS_ATTEND_TILE 64 /* keys */

enum qs_precision { QS_EXACT, QS_FAST };

struct qs_device;
struct qs_buf;            /* memory of one device */

struct qs_view {          /* row t: floats [at + t*stride, ...) of buf; buf NULL: none */
    struct qs_buf *buf;
    size_t at, stride;
};

struct qs_mat {           /* rows x cols as stored; `stack` of them behind each other (experts), 1 else. parts.p[0] NULL: none */
    const struct qs_format *format;
    struct qs_const_parts parts;
    size_t rows, cols, stack;
    const uint8_t *panels; /* the same in panels (panel.h), every matrix of the stack padded to whole ones; NULL: not made */
};

struct qs_cache {         /* keys or values of one layer: row of position p at byte at + p*row_bytes; a row is n_kv heads */
    struct qs_buf *buf;
    size_t at, row_bytes;
    int type;             /* QS_F32, QS_F16, QS_Q8_0, QS_Q4_0; a head's dimension must be a multiple of its block */
};

/* No architecture of core/model/arch.c has QS_NORM_LAYER or QS_GLU_GELU_ERF: they wait for architectures to come, and are
 * tested like the rest. */
enum qs_norm_kind { QS_NORM_RMS, QS_NORM_LAYER };
enum qs_rope_kind { QS_ROPE_NORM /* pairs (2i, 2i+1) */, QS_ROPE_NEOX /* pairs (i, i + n_rot/2) */ };
enum qs_glu_kind {
    QS_GLU_SILU,     /* silu(gate) * up */
    QS_GLU_GELU,     /* gelu(gate) * up, the tanh form */
    QS_GLU_GELU_ERF, /* the exact form */
    QS_GLU_OAI       /* gpt-oss: g = min(gate, limit), u = clamp(up, -limit, limit): g * sigmoid(alpha g) * (u + 1) */
};
enum qs_tap_kind { QS_TAP_SUMSQ, QS_TAP_GRAM, QS_TAP_ROWS, QS_TAP_FINITE, QS_TAP_ROUTES /* of QS_OP_EXPERTS only */ };

/* What a tap fills; owned by the caller, in ordinary memory, complete after submit. Added to, never cleared. */
struct qs_tap {
    enum qs_tap_kind kind;
    size_t cols;
    uint64_t count;          /* rows seen */
    double *sum;             /* SUMSQ: cols sums of squares, rows added in order */
    float *gram;             /* GRAM: cols x cols, X^T X, upper triangle (row <= column) filled, rows added in order */
    float *rows;             /* ROWS: room for max_rows rows: the first that come. ROUTES: the row of each pair; NULL: not kept */
    size_t max_rows, n_rows; /* ROUTES: pairs; n_used for every row of the operation */
    uint32_t *pair_row, *pair_expert; /* ROUTES: room for max_rows: number of the row (from the first that was seen) and the
                                       * expert it was sent through; rows ascending, of a row the experts ascending */
    uint64_t nonfinite, first; /* FINITE: values that are NaN or infinite, and number of the first row that has one */
};

enum qs_op_kind {
    QS_OP_EMBED, QS_OP_NORM, QS_OP_LINEAR, QS_OP_ROPE, QS_OP_ROTATE, QS_OP_APPEND, QS_OP_ATTEND, QS_OP_GLU, QS_OP_ADD,
    QS_OP_SOFTCAP, QS_OP_EXPERTS, QS_OP_TAP,
    QS_OP_KINDS
};

#define QS_LINEAR_MAX 3 /* matrices that share one input */
#define QS_EXPERTS_USED_MAX 64 /* experts that one token is sent through */

struct qs_op {
    enum qs_op_kind kind;
    size_t n;                /* tokens: rows of every view; >= 1 */
    union {
        /* out[t] = scale * row tokens[t] of mat, decoded. tokens: host memory, valid until submit returns; the caller has
         * checked them against mat.rows. */
        struct { const int32_t *tokens; struct qs_mat mat; float scale; struct qs_view out; } embed;
        /* `groups` vectors of `dim` floats in each row, each normalised by itself (heads; 1 group: the whole row):
         * RMS: x / sqrt(mean(x^2) + eps) * weight; LAYER: (x - mean) / sqrt(var + eps) * weight + bias. weight, bias: dim
         * floats of host memory that live as long as the recording, shared by the groups; NULL: 1, 0. in may be out. */
        struct { enum qs_norm_kind kind; struct qs_view in, out; size_t groups, dim; const float *weight, *bias;
                 float eps; } norm;
        /* out[i] = mat[i] * in + bias[i] for i < n_mats; bias: mat.rows floats of host memory or NULL. No output overlaps
         * the input. precision chooses the activations. */
        struct { enum qs_precision precision; struct qs_view in; size_t n_mats; struct qs_mat mat[QS_LINEAR_MAX];
                 const float *bias[QS_LINEAR_MAX]; struct qs_view out[QS_LINEAR_MAX]; } linear;
        /* Rotates the first n_rot of each head's dim floats in place. angle: n rows of n_rot floats, cos and sin of pair i
         * at 2i and 2i+1 (any magnitude factor is in them). */
        struct { enum qs_rope_kind kind; struct qs_view x, angle; size_t heads, dim, n_rot; } rope;
        /* The orthonormal Hadamard transform of each block of `block` (a power of two that divides dim) floats of each head,
         * in place; its own inverse. */
        struct { struct qs_view x; size_t heads, dim, block; } rotate;
        /* Stores k and v rows (n_kv heads of dk, dv floats) at positions pos .. pos + n - 1. */
        struct { struct qs_view k, v; struct qs_cache kc, vc; size_t n_kv, dk, dv; size_t pos; } append;
        /* Token t (position pos + t) over the keys of positions [max(0, pos + t + 1 - window), pos + t] (window 0: from 0):
         * out = softmax(cap(scale * q k)) v; cap(s) = softcap * tanh(s / softcap), 0: none. sinks (n_head floats of host
         * memory or NULL): one more logit per head in the softmax's sum, with no value. Head h uses KV head h / (n_head /
         * n_kv). The rows of n tokens must have been appended. */
        struct { struct qs_view q, out; struct qs_cache kc, vc; size_t n_head, n_kv, dk, dv, pos, window; float scale, softcap;
                 const float *sinks; } attend;
        /* out = glu(gate, up), cols floats each; out may be gate. alpha, limit: of QS_GLU_OAI. */
        struct { enum qs_glu_kind kind; struct qs_view gate, up, out; size_t cols; float alpha, limit; } glu;
        /* x += scale * y * (gate ? sigmoid(gate[0]) : 1), cols floats; gate: one float a row, or none. */
        struct { struct qs_view x, y, gate; size_t cols; float scale; } add;
        /* x = cap * tanh(x * scale / cap) for cols floats; cap 0: x = x * scale. */
        struct { struct qs_view x; size_t cols; float cap, scale; } softcap;
        /* Mixture of experts: logits = router * in + router_bias; the n_used largest (ties: lower index) are used, weighted
         * by softmax over all experts (then divided by their sum when normalise), or, with softmax_after, by softmax over
         * the chosen logits; times scale. out = sum over the chosen in index order of weight * (down(glu(gate in, up in))
         * + biases). gate, up, down: stacks of n_expert; where gate has no parts, `up` holds gate rows first, then up rows
         * (fused). Biases: n_expert rows of host memory, as long as the matrix has rows (fused: up_bias holds both, gate_bias
         * is NULL), NULL: none. The router always works in float32. At most
         * QS_EXPERTS_USED_MAX are used; a NaN logit is chosen last. tap_in, tap_down (QS_TAP_ROUTES; NULL: nobody looks,
         * which costs nothing): the routes of rows of `in`, with these rows where rows are kept (cols wide), and with what
         * enters down (ff wide, float32 in either precision). */
        struct { enum qs_precision precision; struct qs_view in, out; struct qs_mat router, gate, up, down;
                 const float *router_bias, *gate_bias, *up_bias, *down_bias; size_t n_expert, n_used, cols, ff;
                 bool softmax_after, normalise; float scale; enum qs_glu_kind glu; float alpha, limit;
                 struct qs_tap *tap_in, *tap_down; } experts;
        struct { struct qs_view in; size_t cols; struct qs_tap *tap; } tap;
    } u;
};

/* One way to run operations. Functions of a device are called by one thread at a time. */
struct qs_device {
    const char *name;
    int (*buf_new)(struct qs_device *d, size_t bytes, struct qs_buf **out, struct qs_err *e); /* zeroed */
    void (*buf_free)(struct qs_device *d, struct qs_buf *b);                                   /* NULL allowed */
    int (*buf_write)(struct qs_device *d, struct qs_buf *b, size_t at, const void *from, size_t bytes, struct qs_err *e);
    int (*buf_read)(struct qs_device *d, const struct qs_buf *b, size_t at, void *to, size_t bytes, struct qs_err *e);
    int (*begin)(struct qs_device *d, struct qs_err *e);            /* forgets what was recorded and not submitted */
    /* Copies *op and claims the working memory it needs. QS_EUNSUPPORTED: a type, QS_EINVAL: a shape that it cannot run. */
    int (*record)(struct qs_device *d, const struct qs_op *op, struct qs_err *e);
    int (*submit)(struct qs_device *d, enum qs_prio prio, struct qs_err *e); /* runs all; results are visible */
    uint64_t (*memory)(const struct qs_device *d);                  /* private bytes it holds */
    void (*free)(struct qs_device *d);
};

/* The CPU, on a pool that outlives it (NULL: on the caller's thread alone). */
int qs_cpu_device_new(struct qs_pool *pool, struct qs_device **out, struct qs_err *e);

#endif
