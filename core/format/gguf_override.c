/* gguf_override.c - "key=type:value" from the command line into one metadata entry.
 *
 * Takes llama.cpp's four words (int, float, bool, str; its int is stored as u32 and its float as f32, as its quantizer
 * does) and our names of every scalar type. Refuses numbers that do not fit, signs on unsigned types, trailing text.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "core/format/gguf_internal.h"
#include "core/format/gguf_write.h"

static const struct word { const char *name; int type; } words[] = {
    {"int", QS_GGUF_U32}, {"float", QS_GGUF_F32}, {"bool", QS_GGUF_BOOL}, {"str", QS_GGUF_STRING},
    {"u8", QS_GGUF_U8},   {"i8", QS_GGUF_I8},     {"u16", QS_GGUF_U16},   {"i16", QS_GGUF_I16},
    {"u32", QS_GGUF_U32}, {"i32", QS_GGUF_I32},   {"u64", QS_GGUF_U64},   {"i64", QS_GGUF_I64},
    {"f32", QS_GGUF_F32}, {"f64", QS_GGUF_F64},   {"string", QS_GGUF_STRING},
};

static bool whole_number(const char *s)
{
    if (*s == '-' || *s == '+')
        s++;
    return *s && strspn(s, "0123456789") == strlen(s);
}

/* The bits of an integer of `size` bytes, or false when it is none or does not fit. */
static bool parse_int(const char *s, size_t size, bool is_signed, uint64_t *bits)
{
    if (!whole_number(s))
        return false;
    errno = 0;
    if (is_signed) {
        long long v = strtoll(s, NULL, 10);
        long long most = size == 8 ? INT64_MAX : ((long long)1 << (8 * size - 1)) - 1;
        *bits = (uint64_t)v;
        return errno == 0 && v <= most && v >= -most - 1;
    }
    unsigned long long v = strtoull(s, NULL, 10);
    *bits = v;
    return *s != '-' && errno == 0 && (size == 8 || v >> (8 * size) == 0);
}

static bool parse_real(const char *s, size_t size, uint64_t *bits)
{
    char *end;
    double v = strtod(s, &end);
    if (end == s || *end || !isfinite(v))
        return false;
    if (size == 8) {
        memcpy(bits, &v, sizeof v);
        return true;
    }
    float f = (float)v;
    uint32_t low;
    memcpy(&low, &f, sizeof low);
    *bits = low;
    return isfinite(f);
}

static bool parse_bool(const char *s, uint64_t *bits)
{
    *bits = strcmp(s, "true") == 0;
    return *bits || strcmp(s, "false") == 0;
}

static bool parse_scalar(int type, const char *s, uint64_t *bits)
{
    size_t size = qs_gguf_type_size(type);
    switch (type) {
    case QS_GGUF_BOOL: return parse_bool(s, bits);
    case QS_GGUF_F32: case QS_GGUF_F64: return parse_real(s, size, bits);
    case QS_GGUF_I8: case QS_GGUF_I16: case QS_GGUF_I32: case QS_GGUF_I64: return parse_int(s, size, true, bits);
    default: return parse_int(s, size, false, bits);
    }
}

static int set(struct qs_gguf_meta *m, const char *key, int type, const char *value, const char *text, struct qs_err *e)
{
    if (type == QS_GGUF_STRING)
        return qs_gguf_meta_str(m, key, value, e);
    uint64_t bits = 0;
    if (!parse_scalar(type, value, &bits))
        return qs_fail(e, QS_EINVAL, "%s: \"%s\" is no value of type %s%s", text, value,
                       qs_gguf_type_name(type), type == QS_GGUF_BOOL ? " (true or false)" : "");
    uint8_t raw[8];
    for (int i = 0; i < 8; i++)
        raw[i] = (uint8_t)(bits >> (8 * i));
    return qs_gguf_meta_raw(m, key, type, raw, qs_gguf_type_size(type), e);
}

int qs_gguf_meta_override(struct qs_gguf_meta *m, const char *text, struct qs_err *e)
{
    const size_t bytes = strlen(text), bad = qs_utf8_invalid_at(text, bytes);
    if (bad < bytes)
        return qs_fail(e, QS_EINVAL, "KEY=TYPE:VALUE is no valid UTF-8 at byte %zu", bad + 1);
    const char *equals = strchr(text, '=');
    const char *colon = equals ? strchr(equals, ':') : NULL;
    if (!equals || equals == text || !colon)
        return qs_fail(e, QS_EINVAL, "%s: write KEY=TYPE:VALUE, for example general.name=str:demo", text);
    size_t n = (size_t)(colon - equals - 1);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strlen(words[i].name) != n || strncmp(words[i].name, equals + 1, n) != 0)
            continue;
        char *key = qs_strndup(text, (size_t)(equals - text));
        if (!key)
            return qs_fail_mem(e, (size_t)(equals - text), "a metadata key");
        int rc = set(m, key, words[i].type, colon + 1, text, e);
        qs_free(key);
        return rc;
    }
    return qs_fail(e, QS_EINVAL,
                   "%s: \"%.*s\" is no type; known are int, float, bool, str, u8 to u64, i8 to i64, "
                   "f32, f64",
                   text, (int)(n < 40 ? n : 40), equals + 1);
}
