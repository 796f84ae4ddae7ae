/* golden_ggml.c - binds ggml-quants.c (llama.cpp 0c1e57098, MIT) without the rest of ggml.
 *
 * Built by make_goldens.sh only, with ggml's include folders. The four functions that ggml-quants.c wants from ggml.c
 * are supplied here from one table.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ggml.h"
#include "ggml-quants.h"
#include "ggml-impl.h"
#include "golden_ggml.h"

typedef size_t encode_fn(const float *, void *, int64_t, int64_t, const float *);
typedef void decode_fn(const void *, float *, int64_t);

static size_t f32_encode(const float *x, void *dst, int64_t rows, int64_t cols, const float *w)
{
    (void)w;
    memcpy(dst, x, (size_t)(rows * cols) * 4);
    return 0;
}

static void f32_decode(const void *src, float *dst, int64_t n) { memcpy(dst, src, (size_t)n * 4); }

static size_t f16_encode(const float *x, void *dst, int64_t rows, int64_t cols, const float *w)
{
    (void)w;
    for (int64_t i = 0; i < rows * cols; i++)
        ((ggml_fp16_t *)dst)[i] = GGML_COMPUTE_FP32_TO_FP16(x[i]);
    return 0;
}

static void f16_decode(const void *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = GGML_COMPUTE_FP16_TO_FP32(((const ggml_fp16_t *)src)[i]);
}

static size_t bf16_encode(const float *x, void *dst, int64_t rows, int64_t cols, const float *w)
{
    (void)w;
    for (int64_t i = 0; i < rows * cols; i++)
        ((ggml_bf16_t *)dst)[i] = GGML_FP32_TO_BF16(x[i]);
    return 0;
}

static void bf16_decode(const void *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = GGML_BF16_TO_FP32(((const ggml_bf16_t *)src)[i]);
}

#define T(upper, lower, block, needs, uses)                                                                            \
    {{GGML_TYPE_##upper, #upper, block, sizeof(block_##lower), needs, uses}, quantize_##lower,                         \
     (decode_fn *)(void *)dequantize_row_##lower}

static const struct binding {
    struct oracle_type t;
    encode_fn *encode;
    decode_fn *decode;
} bindings[] = {
    {{GGML_TYPE_F32, "F32", 1, 4, 0, 0}, f32_encode, f32_decode},
    {{GGML_TYPE_F16, "F16", 1, 2, 0, 0}, f16_encode, f16_decode},
    {{GGML_TYPE_BF16, "BF16", 1, 2, 0, 0}, bf16_encode, bf16_decode},
    T(Q4_0, q4_0, 32, 0, 1), T(Q4_1, q4_1, 32, 0, 1), T(Q5_0, q5_0, 32, 0, 1), T(Q5_1, q5_1, 32, 0, 1),
    T(Q8_0, q8_0, 32, 0, 0), T(Q2_K, q2_K, 256, 0, 1), T(Q3_K, q3_K, 256, 0, 1), T(Q4_K, q4_K, 256, 0, 1),
    T(Q5_K, q5_K, 256, 0, 1), T(Q6_K, q6_K, 256, 0, 1), T(IQ2_XXS, iq2_xxs, 256, 1, 1), T(IQ2_XS, iq2_xs, 256, 1, 1),
    T(IQ2_S, iq2_s, 256, 0, 1), T(IQ3_XXS, iq3_xxs, 256, 0, 1), T(IQ3_S, iq3_s, 256, 0, 1), T(IQ1_S, iq1_s, 256, 1, 1),
    T(IQ1_M, iq1_m, 256, 0, 1), T(IQ4_NL, iq4_nl, 32, 0, 1), T(IQ4_XS, iq4_xs, 256, 0, 1), T(TQ1_0, tq1_0, 256, 0, 0),
    T(TQ2_0, tq2_0, 256, 0, 0), T(MXFP4, mxfp4, 32, 0, 0), T(NVFP4, nvfp4, 64, 0, 0), T(Q1_0, q1_0, 128, 0, 0),
    T(Q2_0, q2_0, 64, 0, 0),
};
enum { N_BINDINGS = sizeof bindings / sizeof *bindings };

static const struct binding *binding_of(int id)
{
    for (size_t i = 0; i < N_BINDINGS; i++)
        if (bindings[i].t.id == id)
            return &bindings[i];
    fprintf(stderr, "no such type: %d\n", id);
    exit(1);
}

const struct oracle_type *oracle_types(size_t *n)
{
    static struct oracle_type types[N_BINDINGS];
    for (size_t i = 0; i < N_BINDINGS; i++)
        types[i] = bindings[i].t;
    iq2xs_init_impl(GGML_TYPE_IQ2_XXS);
    iq2xs_init_impl(GGML_TYPE_IQ2_XS);
    iq2xs_init_impl(GGML_TYPE_IQ2_S);
    iq2xs_init_impl(GGML_TYPE_IQ1_S);
    iq2xs_init_impl(GGML_TYPE_IQ1_M);
    iq3xs_init_impl(256);
    iq3xs_init_impl(512);
    *n = N_BINDINGS;
    return types;
}

void oracle_encode(const struct oracle_type *t, const float *x, size_t rows, size_t cols, const float *w, void *dst)
{
    memset(dst, 0, rows * cols / (size_t)t->block * t->bytes);
    binding_of(t->id)->encode(x, dst, (int64_t)rows, (int64_t)cols, w);
}

void oracle_decode(const struct oracle_type *t, const void *src, size_t n, float *dst)
{
    binding_of(t->id)->decode(src, dst, (int64_t)n);
}

/* ---- what ggml-quants.c needs of ggml.c */

size_t ggml_type_size(enum ggml_type type) { return binding_of(type)->t.bytes; }
const char *ggml_type_name(enum ggml_type type) { return binding_of(type)->t.name; }

size_t ggml_row_size(enum ggml_type type, int64_t n)
{
    const struct binding *b = binding_of(type);
    return (size_t)n / (size_t)b->t.block * b->t.bytes;
}

void ggml_abort(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    abort();
}
