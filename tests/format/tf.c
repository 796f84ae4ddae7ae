/* tf.c - raw GGUF bytes for the tests of model files. */
#include "tests/format/tf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void number(struct qs_str *s, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        qs_str_addc(s, (char)(v >> (8 * i)));
}

void tf_u8(struct qs_str *s, unsigned v)
{
    number(s, v, 1);
}

void tf_u16(struct qs_str *s, unsigned v)
{
    number(s, v, 2);
}

void tf_u32(struct qs_str *s, uint32_t v)
{
    number(s, v, 4);
}

void tf_u64(struct qs_str *s, uint64_t v)
{
    number(s, v, 8);
}

void tf_f32(struct qs_str *s, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    tf_u32(s, bits);
}

void tf_f64(struct qs_str *s, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    tf_u64(s, bits);
}

void tf_bytes(struct qs_str *s, const char *text, size_t n)
{
    tf_u64(s, n);
    qs_str_addn(s, text, n);
}

void tf_text(struct qs_str *s, const char *text)
{
    tf_bytes(s, text, strlen(text));
}

void tf_head(struct qs_str *s, uint32_t version, uint64_t n_tensors, uint64_t n_kv)
{
    qs_str_addn(s, "GGUF", 4);
    tf_u32(s, version);
    tf_u64(s, n_tensors);
    tf_u64(s, n_kv);
}

void tf_kv_u32(struct qs_str *s, const char *key, uint32_t v)
{
    tf_text(s, key);
    tf_u32(s, 4);
    tf_u32(s, v);
}

void tf_kv_str(struct qs_str *s, const char *key, const char *v)
{
    tf_text(s, key);
    tf_u32(s, 8);
    tf_text(s, v);
}

void tf_tensor(struct qs_str *s, const char *name, unsigned n_dims, const uint64_t *ne, uint32_t type, uint64_t offset)
{
    tf_text(s, name);
    tf_u32(s, n_dims);
    for (unsigned d = 0; d < n_dims; d++)
        tf_u64(s, ne[d]);
    tf_u32(s, type);
    tf_u64(s, offset);
}

void tf_pad(struct qs_str *s, size_t alignment, size_t data)
{
    while (s->len % alignment && !s->failed)
        qs_str_addc(s, 0);
    while (data-- && !s->failed)
        qs_str_addc(s, 0);
}

void tf_save_corpus(const char *what, const char *name, const struct qs_str *s)
{
    const char *dir = getenv("QS_SAVE_CORPUS");
    char path[500];
    if (!dir || s->len > 4096)
        return;
    int n = snprintf(path, sizeof path, "%s/%s/", dir, what);
    snprintf(path + n, sizeof path - (size_t)n, "%s", name);
    for (char *c = path + n; *c; c++)
        *c = *c == ' ' ? '-' : *c;
    qs_test_write(path, s->data, s->len);
}
