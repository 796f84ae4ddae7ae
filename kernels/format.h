/* format.h - number formats: one row per type, and the operations on rows of weights.
 *
 * A *format* turns rows of float32 weights into stored bytes and back. Encoding has three steps, so that every method
 * (plain search, importance weights, GPTQ, coordinate descent) shares them:
 *
 *     fit    rows, importance  -> grid   scales and minima of every block, already rounded as the file stores them
 *     round  rows, grid        -> codes  nearest representable code of every weight on that fixed grid
 *     pack   grid, codes       -> bytes
 *
 * The reference searches of the field do not always end on the nearest code (signs, codebook points and scale are
 * searched together), so `fit` also hands out the codes its search ended with. Encoding is pack(fit's grid, fit's
 * codes); `round` serves whoever moves the weights after the grid was fixed.
 *
 * A format has one or more *components* (GGUF blocks: one, "data"; a GPTQ layer: qweight, scales, qzeros, g_idx); a row
 * of the tensor covers component[i].bytes_per_block bytes of component i per block of `block` weights.
 *
 * Grids and codes are opaque to everybody but the format's own four functions, except that a code is an unsigned
 * integer of `code_bytes` bytes, `codes_per_block` of them per block, and copying grid or codes block-wise is allowed.
 *
 * All functions are pure: no allocation, no global state, the same bits on every level, compiler and thread count
 * (-ffp-contract=off; sums in the order written). Rows are independent of each other: callers may split a tensor
 * between any two rows.
 */
#ifndef QS_KERNELS_FORMAT_H
#define QS_KERNELS_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* GGUF type numbers (ggml.h at llama.cpp 0c1e57098). Formats of other worlds get numbers from 1000 on. */
enum qs_type {
    QS_F32 = 0, QS_F16 = 1, QS_Q4_0 = 2, QS_Q4_1 = 3, QS_Q5_0 = 6, QS_Q5_1 = 7, QS_Q8_0 = 8, QS_Q8_1 = 9,
    QS_Q2_K = 10, QS_Q3_K = 11, QS_Q4_K = 12, QS_Q5_K = 13, QS_Q6_K = 14, QS_Q8_K = 15,
    QS_IQ2_XXS = 16, QS_IQ2_XS = 17, QS_IQ3_XXS = 18, QS_IQ1_S = 19, QS_IQ4_NL = 20, QS_IQ3_S = 21, QS_IQ2_S = 22,
    QS_IQ4_XS = 23, QS_I8 = 24, QS_I16 = 25, QS_I32 = 26, QS_I64 = 27, QS_F64 = 28, QS_IQ1_M = 29, QS_BF16 = 30,
    QS_TQ1_0 = 34, QS_TQ2_0 = 35, QS_MXFP4 = 39, QS_NVFP4 = 40, QS_Q1_0 = 41, QS_Q2_0 = 42,
    QS_TYPE_NONE = -1
};

#define QS_MAX_COMPONENTS 4

struct qs_component {
    const char *name;         /* "data" for GGUF blocks */
    uint32_t bytes_per_block; /* bytes of this component per block of weights */
};

/* Pointers to the same rows in every component. */
struct qs_parts       { uint8_t *p[QS_MAX_COMPONENTS]; };
struct qs_const_parts { const uint8_t *p[QS_MAX_COMPONENTS]; };

/* What an encoder gets: `rows` rows of `cols` floats, `stride` floats apart; cols is a multiple of the block.
 * `weight`: importance of each column (cols floats, shared by all rows given), or NULL for the unweighted search. */
struct qs_rows {
    const float *x;
    size_t rows, cols, stride;
    const float *weight;
};

/* Rows of stored blocks follow each other without gaps; likewise grids and codes. dst of decode has `stride` floats
 * per row. grid: rows*(cols/block)*grid_bytes. codes: rows*(cols/block)*codes_per_block*code_bytes. */
typedef void qs_decode_fn(const struct qs_const_parts *src, size_t rows, size_t cols, float *dst, size_t stride);
typedef void qs_fit_fn(const struct qs_rows *in, void *grid, void *codes);
typedef void qs_round_fn(const struct qs_rows *in, const void *grid, void *codes);
typedef void qs_pack_fn(size_t rows, size_t cols, const void *grid, const void *codes, const struct qs_parts *dst);
/* Stored blocks whose scale fields are NaN or Inf (for formats of plain floats: weights that are). */
typedef size_t qs_scan_fn(const struct qs_const_parts *src, size_t rows, size_t cols);

enum qs_kind { QS_KIND_FLOAT, QS_KIND_INT, QS_KIND_LEGACY, QS_KIND_K, QS_KIND_IQ, QS_KIND_TERNARY, QS_KIND_FP4, QS_KIND_BIT };

enum {
    QS_NEEDS_IMATRIX = 1,  /* the encoder itself cannot do without importance weights */
    QS_USES_IMATRIX = 2,   /* importance weights change the result */
    QS_NO_ENCODE = 4,      /* decode only (or integers: neither) */
    QS_INTERNAL = 8,       /* activation format: never stored in files, not offered */
    QS_LOSSLESS_F32 = 16,  /* decode(encode(x)) == x for every float */
    QS_RULE_IMATRIX = 32,  /* llama.cpp writes no tensor but embeddings and output in it without importance weights */
};

struct qs_format {
    int id;               /* enum qs_type */
    const char *name;     /* "Q4_K" */
    enum qs_kind kind;
    unsigned flags;       /* QS_NEEDS_IMATRIX ... */
    uint16_t block;       /* weights per block: rows must be a multiple */
    uint8_t n_components;
    struct qs_component component[QS_MAX_COMPONENTS];
    uint16_t grid_bytes;      /* per block, aligned to 4 */
    uint16_t codes_per_block;
    uint8_t code_bytes;       /* 1, 2 or 4 */
    uint8_t levels_bits;      /* nominal bits per code, for people ("4") */
    const char *good_for;     /* one line for `types` */
};

/* The operations of one level. A NULL member does not exist for this format (integers). */
struct qs_format_ops {
    qs_decode_fn *decode;
    qs_fit_fn *fit;
    qs_round_fn *round;
    qs_pack_fn *pack;
    qs_scan_fn *scan;
};

size_t qs_format_count(void);
const struct qs_format *qs_format_at(size_t i);          /* all rows, in the order of `types` */
size_t qs_format_index(int id);                          /* its row; SIZE_MAX: unknown type */
const struct qs_format *qs_format_by_id(int id);         /* NULL: unknown type */
const struct qs_format *qs_format_by_name(const char *name); /* case ignored; NULL: unknown */
const char *qs_type_name(int id);                        /* "Q4_K"; "?": unknown. Never NULL */
double qs_format_bpw(const struct qs_format *f);         /* true bits per weight, scales included */
size_t qs_format_row_bytes(const struct qs_format *f, size_t cols); /* all components; cols multiple of block */

/* The operations in force (see level.h); never NULL for a known id. */
const struct qs_format_ops *qs_format_ops(int id);

/* Encode = pack(fit). scratch: qs_format_scratch(f, rows, cols) bytes, 16-byte aligned. */
size_t qs_format_scratch(const struct qs_format *f, size_t rows, size_t cols);
void qs_format_encode(const struct qs_format *f, const struct qs_rows *in, const struct qs_parts *dst, void *scratch);

#endif
