/* tiny.c - reads the goldens of the tiny models. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tests/lib/qs_test.h"
#include "tests/model/tiny.h"

const char *const tiny_names[] = { "llama", "llama-untied", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3",
                                   "smollm3", "olmo2", "granite", "mixtral", "qwen2moe", "qwen3moe", "gpt-oss", NULL };

const char *tiny_path(const char *name, const char *file)
{
    char rel[256];
    snprintf(rel, sizeof rel, "tests/model/tiny/%s%s%s", name, *file ? "/" : "", file);
    return qs_test_src(rel);
}

static void *take(FILE *f, size_t n, size_t size)
{
    void *p = qs_malloc(n * size);
    assert_non_null(p);
    assert_int_equal(fread(p, size, n, f), n);
    return p;
}

void tiny_read(const char *name, const char *file, struct tiny_golden *out)
{
    const char *path = tiny_path(name, file);
    FILE *f = fopen(path, "rb");
    char magic[8];
    uint32_t head[4];
    if (!f)
        fail_msg("%s cannot be read", path);
    assert_int_equal(fread(magic, 1, 8, f), 8);
    assert_memory_equal(magic, "QSLOGIT1", 8);
    assert_int_equal(fread(head, 4, 4, f), 4);
    *out = (struct tiny_golden){ .n = head[0], .vocab = head[1], .layers = head[2], .width = head[3], .n_ctx = head[0] };
    out->id = take(f, out->n, sizeof *out->id);
    out->logits = take(f, out->n * out->vocab, sizeof *out->logits);
    out->hidden = take(f, (out->layers + 1) * out->width, sizeof *out->hidden);
    fclose(f);
}

void tiny_free(struct tiny_golden *g)
{
    qs_free(g->id);
    qs_free(g->logits);
    qs_free(g->hidden);
}

double tiny_rms(const float *logits, const struct tiny_golden *g)
{
    double err = 0, ref = 0;
    for (size_t i = 0; i < g->n * g->vocab; i++) {
        const double d = (double)logits[i] - (double)g->logits[i];
        err += d * d;
        ref += (double)g->logits[i] * (double)g->logits[i];
    }
    return sqrt(err / ref);
}
