/* made_tensors.c - lays out a GGUF file with the project's own writer of headers. */
#include "tests/quant/made_tensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/format/gguf_write.h"
#include "tests/lib/qs_test.h"

double made_uniform(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(*state >> 11) / 9007199254740992.0;
}

double made_gauss(uint64_t *state)
{
    const double u = made_uniform(state) + 1e-18, v = made_uniform(state);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

uint64_t made_weights(const struct made_tensor *t)
{
    uint64_t n = 1;
    for (int d = 0; d < 4 && t->ne[d]; d++)
        n *= t->ne[d];
    return n;
}

void made_fill(struct made_tensor *t, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t state = seed * 1000 + i + 1;
        const uint64_t count = made_weights(&t[i]);
        t[i].x = malloc(count * sizeof *t[i].x);
        assert_non_null(t[i].x);
        for (uint64_t k = 0; k < count; k++)
            t[i].x[k] = (float)(0.05 * made_gauss(&state) * (made_uniform(&state) < 0.002 ? 3 : 1));
    }
}

void made_free(struct made_tensor *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(t[i].x);
        t[i].x = NULL;
    }
}

const char *made_file(const char *file, const struct made_tensor *t, size_t n)
{
    struct qs_gguf_meta *meta = qs_gguf_meta_new();
    struct qs_gguf_out *out = calloc(n, sizeof *out);
    struct qs_str header = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    uint64_t size = 0;
    assert_non_null(meta);
    assert_non_null(out);
    assert_int_equal(qs_gguf_meta_str(meta, "general.architecture", "llama", &e), QS_OK);
    assert_int_equal(qs_gguf_meta_str(meta, "general.name", file, &e), QS_OK);
    assert_int_equal(qs_gguf_meta_u32(meta, "llama.block_count", 4, &e), QS_OK);
    for (size_t i = 0; i < n; i++) {
        out[i].name = t[i].name;
        for (int d = 0; d < 4; d++) {
            out[i].ne[d] = t[i].ne[d] ? t[i].ne[d] : 1;
            out[i].n_dims += t[i].ne[d] != 0;
        }
        out[i].size = 4 * made_weights(&t[i]);
    }
    assert_int_equal(qs_gguf_layout(meta, out, n, 32, &header, &size, &e), QS_OK);
    uint8_t *bytes = calloc(1, size);
    assert_non_null(bytes);
    memcpy(bytes, header.data, header.len);
    for (size_t i = 0; i < n; i++)
        memcpy(bytes + out[i].offset, t[i].x, out[i].size);
    const char *path = qs_test_file(file, bytes, size);
    free(bytes);
    free(out);
    qs_str_free(&header);
    qs_gguf_meta_free(meta);
    return path;
}
