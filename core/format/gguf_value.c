/* gguf_value.c - metadata values: their types and how they are read.
 *
 * Owns nothing: every function looks at the raw little-endian bytes of one entry, which the parser has already checked
 * for length. Refuses conversions that would change the value.
 */
#include <math.h>
#include <string.h>

#include "core/format/gguf_internal.h"

static const struct { const char *name; uint8_t size; } types[QS_GGUF_TYPES] = {
    [QS_GGUF_U8] = { "u8", 1 },       [QS_GGUF_I8] = { "i8", 1 },     [QS_GGUF_U16] = { "u16", 2 },
    [QS_GGUF_I16] = { "i16", 2 },     [QS_GGUF_U32] = { "u32", 4 },   [QS_GGUF_I32] = { "i32", 4 },
    [QS_GGUF_F32] = { "f32", 4 },     [QS_GGUF_BOOL] = { "bool", 1 }, [QS_GGUF_U64] = { "u64", 8 },
    [QS_GGUF_I64] = { "i64", 8 },     [QS_GGUF_F64] = { "f64", 8 },   [QS_GGUF_STRING] = { "string", 0 },
    [QS_GGUF_ARRAY] = { "array", 0 },
};

const char *qs_gguf_type_name(int t)
{
    return t >= 0 && t < QS_GGUF_TYPES ? types[t].name : "?";
}

size_t qs_gguf_type_size(int t)
{
    return t >= 0 && t < QS_GGUF_TYPES ? types[t].size : 0;
}

/* A number of any type: exactly one of the three views is filled. */
struct number { enum { NOT_A_NUMBER, UNSIGNED, SIGNED, REAL } kind; uint64_t u; int64_t i; double f; };

static struct number read_number(int type, const uint8_t *p)
{
    struct number v = { NOT_A_NUMBER, 0, 0, 0 };
    size_t size = qs_gguf_type_size(type);
    uint64_t bits = 0;
    for (size_t k = 0; k < size; k++)
        bits |= (uint64_t)p[k] << (8 * k);
    switch (type) {
    case QS_GGUF_BOOL:
        v.kind = UNSIGNED;
        v.u = bits != 0;
        break;
    case QS_GGUF_U8: case QS_GGUF_U16: case QS_GGUF_U32: case QS_GGUF_U64:
        v.kind = UNSIGNED;
        v.u = bits;
        break;
    case QS_GGUF_I8: case QS_GGUF_I16: case QS_GGUF_I32: case QS_GGUF_I64: {
        uint64_t sign = (uint64_t)1 << (8 * size - 1);
        v.kind = SIGNED;
        v.i = (int64_t)((bits ^ sign) - sign); /* sign extension */
        break;
    }
    case QS_GGUF_F32: {
        float f;
        uint32_t low = (uint32_t)bits;
        memcpy(&f, &low, sizeof f);
        v.kind = REAL;
        v.f = (double)f;
        break;
    }
    case QS_GGUF_F64:
        v.kind = REAL;
        memcpy(&v.f, &bits, sizeof v.f);
        break;
    default:
        break;
    }
    return v;
}

static bool number_f64(struct number v, double *out)
{
    switch (v.kind) {
    case UNSIGNED: *out = (double)v.u; return true;
    case SIGNED:   *out = (double)v.i; return true;
    case REAL:     *out = v.f; return true;
    case NOT_A_NUMBER: break;
    }
    return false;
}

bool qs_kv_u64(const struct qs_kv *kv, uint64_t *out)
{
    if (!kv)
        return false;
    struct number v = read_number(kv->type, kv->raw);
    if (v.kind == SIGNED && v.i >= 0)
        *out = (uint64_t)v.i;
    else if (v.kind == UNSIGNED)
        *out = v.u;
    else
        return false;
    return true;
}

bool qs_kv_i64(const struct qs_kv *kv, int64_t *out)
{
    if (!kv)
        return false;
    struct number v = read_number(kv->type, kv->raw);
    if (v.kind == SIGNED)
        *out = v.i;
    else if (v.kind == UNSIGNED && v.u <= INT64_MAX)
        *out = (int64_t)v.u;
    else
        return false;
    return true;
}

bool qs_kv_f64(const struct qs_kv *kv, double *out)
{
    return kv && number_f64(read_number(kv->type, kv->raw), out);
}

bool qs_kv_str(const struct qs_kv *kv, const char **s, size_t *n)
{
    if (!kv || kv->type != QS_GGUF_STRING)
        return false;
    *s = (const char *)kv->raw + 8;
    *n = (size_t)qs_le64(kv->raw);
    return true;
}

bool qs_kv_array_f64(const struct qs_kv *kv, uint64_t i, double *out)
{
    if (!kv || kv->type != QS_GGUF_ARRAY || i >= kv->count)
        return false;
    size_t size = qs_gguf_type_size(kv->item);
    return size && number_f64(read_number(kv->item, kv->raw + 12 + i * size), out);
}

bool qs_kv_next_str(const struct qs_kv *kv, uint64_t *cursor, const char **s, size_t *n)
{
    if (!kv || kv->type != QS_GGUF_ARRAY || kv->item != QS_GGUF_STRING)
        return false;
    uint64_t at = *cursor ? *cursor : 12; /* behind the element type and the count */
    if (at > kv->raw_len || kv->raw_len - at < 8)
        return false;
    uint64_t len = qs_le64(kv->raw + at);
    if (len > kv->raw_len - at - 8)
        return false;
    *s = (const char *)kv->raw + at + 8;
    *n = (size_t)len;
    *cursor = at + 8 + len;
    return true;
}

uint64_t qs_gguf_u64(const struct qs_gguf *g, const char *key, uint64_t otherwise)
{
    uint64_t v;
    return qs_kv_u64(qs_gguf_kv(g, key), &v) ? v : otherwise;
}
