/* make_st.c - safetensors files for tests. Owns nothing. */
#include <inttypes.h>
#include <string.h>

#include "tests/format/make_st.h"
#include "tests/lib/qs_test.h"

void st_raw(struct qs_str *out, const char *header, const void *data, size_t n)
{
    const uint64_t len = strlen(header);
    for (int i = 0; i < 8; i++)
        qs_str_addc(out, (char)(uint8_t)(len >> (8 * i)));
    qs_str_add(out, header);
    qs_str_addn(out, data, n);
    assert_false(out->failed);
}

static unsigned width(const char *dtype)
{
    return strcmp(dtype, "F64") == 0 ? 8 : strcmp(dtype, "F32") == 0 ? 4 : strstr(dtype, "16") ? 2 : 1;
}

uint64_t st_bytes(const struct st_tensor *t)
{
    uint64_t n = width(t->dtype);
    for (int d = 0; d < 4 && t->shape[d]; d++)
        n *= t->shape[d];
    return n;
}

/* Bytes that make finite numbers in every type: exponents stay small. */
static void fill(struct qs_str *out, const struct st_tensor *t)
{
    const unsigned w = width(t->dtype);
    uint32_t state = t->seed * 2654435761u + 12345;
    for (uint64_t i = 0; i < st_bytes(t); i++) {
        state = state * 1664525 + 1013904223;
        uint8_t b = (uint8_t)(state >> 24);
        if (w > 1 && i % w == w - 1)
            b = (uint8_t)(0x38 | (b & 0x83));
        qs_str_addc(out, (char)b);
    }
}

void st_make(struct qs_str *out, const struct st_tensor *t, size_t n, unsigned odd)
{
    struct qs_str header = QS_STR_INIT, data = QS_STR_INIT;
    qs_str_add(&header, "{\"__metadata__\":{\"format\":\"pt\"}");
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        qs_str_addf(&header, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t[i].name, t[i].dtype);
        for (int d = 0; d < 4 && t[i].shape[d]; d++)
            qs_str_addf(&header, "%s%" PRIu64, d ? "," : "", t[i].shape[d]);
        qs_str_addf(&header, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, at + st_bytes(&t[i]));
        at += st_bytes(&t[i]);
        fill(&data, &t[i]);
    }
    qs_str_addc(&header, '}');
    while (header.len % 8 != odd)
        qs_str_addc(&header, ' ');
    st_raw(out, header.data, data.data, data.len);
    qs_str_free(&header);
    qs_str_free(&data);
}

void st_write(const char *path, const struct st_tensor *t, size_t n)
{
    struct qs_str file = QS_STR_INIT;
    st_make(&file, t, n, 0);
    qs_test_write(path, file.data, file.len);
    qs_str_free(&file);
}
