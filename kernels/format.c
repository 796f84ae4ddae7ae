/* format.c - the table of number formats, its look-ups, and encode = pack(fit).
 *
 * Owns the one constant row of every format. Block sizes come from blocks.h, grid and code shapes from ref/grids.h; what
 * the operations do is in kernels/ref and the level folders (level.c picks). Constant data and pure functions: any thread.
 */
#include <string.h>

#include "base/ascii.h"
#include "kernels/blocks.h"
#include "kernels/format.h"
#include "kernels/half.h"
#include "kernels/ref/grids.h"

#define DATA(bytes) .n_components = 1, .component = {{"data", (bytes)}}
#define GRID(lower, upper)                                                                                             \
    DATA(sizeof(struct qs_block_##lower)), .grid_bytes = (sizeof(struct qs_grid_##lower) + 3) / 4 * 4,                 \
        .codes_per_block = QS_CODES_##upper, .code_bytes = QS_CODE_BYTES_##upper
#define ROW(lower, upper, kind_, block_, bits, flags_, text)                                                           \
    {.id = QS_##upper, .name = #upper, .kind = QS_KIND_##kind_, .flags = (flags_), .block = (block_),                  \
     .levels_bits = (bits), GRID(lower, upper), .good_for = (text)}
#define FLOATS(upper, kind_, bytes, bits, flags_, text)                                                                \
    {.id = QS_##upper, .name = #upper, .kind = QS_KIND_##kind_, .flags = (flags_), .block = 1, .levels_bits = (bits),  \
     DATA(bytes), .codes_per_block = 1, .code_bytes = (bytes) <= 4 ? (bytes) : 4, .good_for = (text)}
#define ACTIVATION(lower, upper, block_, text)                                                                         \
    {.id = QS_##upper, .name = #upper, .kind = QS_KIND_LEGACY, .flags = QS_INTERNAL | QS_NO_ENCODE, .block = (block_), \
     .levels_bits = 8, DATA(sizeof(struct qs_block_##lower)), .codes_per_block = (block_), .code_bytes = 1,            \
     .good_for = (text)}

/* Needs and rules are facts of llama.cpp at commit 0c1e57098: ggml_quantize_requires_imatrix (ggml.c) is what an encoder
 * cannot do without, tensor_requires_imatrix (llama-quant.cpp) what it refuses to write. */
enum { IM = QS_USES_IMATRIX, IMR = IM | QS_RULE_IMATRIX, IMN = IMR | QS_NEEDS_IMATRIX };

/* In the order of `types`: plain floats, then from many bits to few within each family. */
static const struct qs_format formats[] = {
    FLOATS(F32, FLOAT, 4, 32, QS_LOSSLESS_F32, "reference; norms and other small tensors"),
    FLOATS(BF16, FLOAT, 2, 16, 0, "originals trained in bfloat16"),
    FLOATS(F16, FLOAT, 2, 16, 0, "originals trained in float16"),
    ROW(q8_0, Q8_0, LEGACY, 32, 8, 0, "next to lossless; embeddings, output, small models"),
    ROW(q6_k, Q6_K, K, 256, 6, IM, "hard to tell from the original; output, attn_v"),
    ROW(q5_k, Q5_K, K, 256, 5, IM, "small loss where memory is not tight"),
    ROW(q4_k, Q4_K, K, 256, 4, IM, "the usual balance of size and quality"),
    ROW(q3_k, Q3_K, K, 256, 3, IM, "when 4 bits do not fit"),
    ROW(q2_k, Q2_K, K, 256, 2, IM, "last resort of the K family; needs importance weights to be good"),
    ROW(q5_1, Q5_1, LEGACY, 32, 5, IM, "rows that are no multiple of 256, one-sided weights"),
    ROW(q5_0, Q5_0, LEGACY, 32, 5, IM, "rows that are no multiple of 256"),
    ROW(q4_1, Q4_1, LEGACY, 32, 4, IM, "rows that are no multiple of 256, one-sided weights"),
    ROW(q4_0, Q4_0, LEGACY, 32, 4, IM, "rows that are no multiple of 256; fast kernels everywhere"),
    ROW(iq4_nl, IQ4_NL, IQ, 32, 4, IM, "better than Q4_0 at the same size"),
    ROW(iq4_xs, IQ4_XS, IQ, 256, 4, IM, "close to Q4_K, smaller"),
    ROW(iq3_s, IQ3_S, IQ, 256, 3, IM, "better than Q3_K at the same size, slower on CPUs"),
    ROW(iq3_xxs, IQ3_XXS, IQ, 256, 3, IMR, "3 bits with importance weights"),
    ROW(iq2_s, IQ2_S, IQ, 256, 2, IMR, "2.5 bits with importance weights"),
    ROW(iq2_xs, IQ2_XS, IQ, 256, 2, IMN, "large models in little memory"),
    ROW(iq2_xxs, IQ2_XXS, IQ, 256, 2, IMN, "large models in very little memory"),
    ROW(iq1_m, IQ1_M, IQ, 256, 1, IMR, "very large models only"),
    ROW(iq1_s, IQ1_S, IQ, 256, 1, IMN, "very large models only"),
    ROW(mxfp4, MXFP4, FP4, 32, 4, 0, "models trained in MXFP4"),
    ROW(nvfp4, NVFP4, FP4, 64, 4, 0, "models trained in NVFP4"),
    ROW(tq2_0, TQ2_0, TERNARY, 256, 2, 0, "ternary models (BitNet, TriLM), fast"),
    ROW(tq1_0, TQ1_0, TERNARY, 256, 2, 0, "ternary models (BitNet, TriLM), smallest"),
    ROW(q2_0, Q2_0, BIT, 64, 2, 0, "models trained to four levels"),
    ROW(q1_0, Q1_0, BIT, 128, 1, 0, "models trained to one bit"),
    FLOATS(F64, FLOAT, 8, 64, QS_NO_ENCODE, "read only"),
    FLOATS(I64, INT, 8, 64, QS_NO_ENCODE, "read only"),
    FLOATS(I32, INT, 4, 32, QS_NO_ENCODE, "read only"),
    FLOATS(I16, INT, 2, 16, QS_NO_ENCODE, "read only"),
    FLOATS(I8, INT, 1, 8, QS_NO_ENCODE, "read only"),
    ACTIVATION(q8_1, Q8_1, 32, "activations"),
    ACTIVATION(q8_k, Q8_K, 256, "activations"),
};

enum { N_FORMATS = sizeof formats / sizeof *formats };

size_t qs_format_count(void) { return N_FORMATS; }

const struct qs_format *qs_format_at(size_t i) { return i < N_FORMATS ? &formats[i] : NULL; }

size_t qs_format_index(int id)
{
    size_t i = 0;
    while (i < N_FORMATS && formats[i].id != id)
        i++;
    return i < N_FORMATS ? i : SIZE_MAX;
}

const struct qs_format *qs_format_by_id(int id) { return qs_format_at(qs_format_index(id)); }

const char *qs_type_name(int id)
{
    const struct qs_format *f = qs_format_by_id(id);
    return f ? f->name : "?";
}

const struct qs_format *qs_format_by_name(const char *name)
{
    for (size_t i = 0; name && i < N_FORMATS; i++)
        if (qs_ascii_equal(formats[i].name, name))
            return &formats[i];
    return NULL;
}

static size_t block_bytes(const struct qs_format *f)
{
    size_t sum = 0;
    for (size_t i = 0; i < f->n_components; i++)
        sum += f->component[i].bytes_per_block;
    return sum;
}

double qs_format_bpw(const struct qs_format *f) { return 8.0 * (double)block_bytes(f) / f->block; }

size_t qs_format_row_bytes(const struct qs_format *f, size_t cols) { return cols / f->block * block_bytes(f); }

/* Scratch holds the grid, then the codes from the next multiple of 16 on. */
static size_t grid_room(const struct qs_format *f, size_t rows, size_t cols)
{
    return (rows * (cols / f->block) * f->grid_bytes + 15) / 16 * 16;
}

size_t qs_format_scratch(const struct qs_format *f, size_t rows, size_t cols)
{
    return grid_room(f, rows, cols) + rows * (cols / f->block) * f->codes_per_block * f->code_bytes;
}

void qs_format_encode(const struct qs_format *f, const struct qs_rows *in, const struct qs_parts *dst, void *scratch)
{
    const struct qs_format_ops *ops = qs_format_ops(f->id);
    void *codes = (uint8_t *)scratch + grid_room(f, in->rows, in->cols);
    ops->fit(in, scratch, codes);
    ops->pack(in->rows, in->cols, scratch, codes, dst);
}
