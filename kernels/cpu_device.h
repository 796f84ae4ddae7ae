/* cpu_device.h - between the files of the CPU device (op.h): its state, the checks, and one runner per operation.
 *
 * A runner is called in submit, with scratch memory that was made when the operation was recorded: `area`, shared by
 * all threads and used by one operation at a time, and `local`, a piece per thread. Nothing here can fail then.
 */
#ifndef QS_KERNELS_CPU_DEVICE_H
#define QS_KERNELS_CPU_DEVICE_H

#include "kernels/dot.h"
#include "kernels/op.h"
#include "kernels/rows.h"

enum { QS_CPU_ALIGN = 64 };

struct qs_buf {
    uint8_t *p;
    size_t bytes;
};

struct qs_cpu {
    struct qs_device base;
    struct qs_pool *pool;  /* NULL: the caller's thread alone */
    unsigned threads;
    enum qs_prio prio;     /* of the submit that runs */
    struct qs_op *op;
    size_t n_ops, cap_ops;
    uint8_t *area, *local;
    size_t area_bytes, local_bytes; /* local: of one thread, a multiple of QS_CPU_ALIGN */
    uint64_t buffers;      /* bytes in buffers */
};

/* Scratch memory one operation needs. */
struct qs_cpu_need {
    size_t area, local;
};

/* QS_OK, QS_EINVAL (shapes, places and pointers that do not fit together), QS_EUNSUPPORTED (types). */
int qs_cpu_check(const struct qs_op *op, struct qs_err *e);

static inline size_t qs_cpu_round(size_t n) { return (n + QS_CPU_ALIGN - 1) / QS_CPU_ALIGN * QS_CPU_ALIGN; }
static inline float *qs_cpu_row(const struct qs_view *v, size_t t)
{
    return (float *)v->buf->p + v->at + t * v->stride;
}
static inline void *qs_cpu_local(const struct qs_cpu *c, unsigned thread) /* NULL: nothing recorded needed any */
{
    return c->local ? c->local + thread * c->local_bytes : NULL;
}

/* Runs fn over [0, n) in chunks of `grain`, by the pool where `work` (about: float operations in all) is worth it. */
void qs_cpu_run(const struct qs_cpu *c, size_t n, size_t grain, double work, qs_work_fn *fn, void *ctx);

/* ---- products (cpu_linear.c) */

/* The form of activations a matrix wants. */
enum qs_act qs_cpu_act(const struct qs_format *f, enum qs_precision p);
/* Bytes of local scratch that products of this matrix with `tokens` need. */
size_t qs_cpu_product_local(const struct qs_mat *m, enum qs_act act, size_t tokens);

/* Products of rows of one matrix (of a stack) with n tokens in the form `act`, plus bias. */
struct qs_cpu_product {
    const struct qs_mat *mat;
    size_t index;          /* in the stack */
    enum qs_act act;
    const uint8_t *x;
    size_t x_stride, n;
    const float *bias;     /* mat->rows floats or NULL */
    float *out;
    size_t out_stride;
};
/* Rows [begin, end); both are multiples of QS_PANEL_ROWS, unless end is the last row. */
void qs_cpu_product(const struct qs_cpu_product *p, size_t begin, size_t end, void *local);

/* A list of products as one region: rows are dealt out in chunks. Ends when all are done. */
void qs_cpu_products(const struct qs_cpu *c, const struct qs_cpu_product *list, size_t n);

/* ---- one runner per operation, and what it needs */

typedef void qs_cpu_run_fn(const struct qs_cpu *c, const struct qs_op *op);
typedef void qs_cpu_need_fn(const struct qs_op *op, struct qs_cpu_need *need);

qs_cpu_run_fn qs_cpu_attend, qs_cpu_experts, qs_cpu_tap;
qs_cpu_run_fn qs_cpu_linear; /* its products: the forms of the activations have been made */
qs_cpu_need_fn qs_cpu_append_need, qs_cpu_linear_need, qs_cpu_attend_need, qs_cpu_experts_need;

/* ---- steps that do a token by itself (cpu_rows.c, cpu_linear.c): token t */

typedef void qs_cpu_step_fn(const struct qs_cpu *c, const struct qs_op *op, size_t t, unsigned thread);

qs_cpu_step_fn qs_cpu_embed, qs_cpu_norm, qs_cpu_rope, qs_cpu_rotate, qs_cpu_append, qs_cpu_glu, qs_cpu_add, qs_cpu_softcap;
qs_cpu_step_fn qs_cpu_linear_forms;               /* activations as the matrices want them, into the area */
bool qs_cpu_linear_has_forms(const struct qs_op *op); /* whether any wants others than float32 */

/* ---- runs of steps (cpu_fuse.c) */

/* How many of the `left` operations from `op` on can be done token by token before the next token is looked at; 0: the first is
 * none of the kind. A linear one may be the last: its forms are such a step. */
size_t qs_cpu_fits(const struct qs_op *op, size_t left);
/* The steps of these n operations, as one region. */
void qs_cpu_steps(const struct qs_cpu *c, const struct qs_op *op, size_t n);

#endif
