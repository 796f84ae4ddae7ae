/* gguf_text.c - metadata values as people read them. Owns nothing; writes to the caller's string alone. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/unicode.h"
#include "core/format/gguf.h"

#define SHOWN_ITEMS 6u

/* The fewest digits that give the number back: values that differ look different. */
static void add_number(struct qs_str *out, int type, double v)
{
    char text[40];
    if (type == QS_GGUF_BOOL) {
        qs_str_add(out, v > 0 ? "true" : "false");
        return;
    }
    snprintf(text, sizeof text, type == QS_GGUF_F32 ? "%.7g" : "%.15g", v);
    const double back = type == QS_GGUF_F32 ? (double)strtof(text, NULL) : strtod(text, NULL);
    if (back < v || back > v)
        snprintf(text, sizeof text, type == QS_GGUF_F32 ? "%.9g" : "%.17g", v);
    qs_str_add(out, text);
}

static void add_strings(const struct qs_kv *kv, size_t max_cells, struct qs_str *out)
{
    uint64_t cursor = 0;
    const char *s;
    size_t n;
    for (unsigned i = 0; i < SHOWN_ITEMS && qs_kv_next_str(kv, &cursor, &s, &n); i++) {
        qs_str_add(out, i ? ", \"" : "\"");
        qs_utf8_clean(out, s, n, max_cells / 4 + 1);
        qs_str_addc(out, '"');
    }
}

static void add_array(const struct qs_kv *kv, size_t max_cells, struct qs_str *out)
{
    qs_str_addf(out, "%" PRIu64 " x %s [", kv->count, qs_gguf_type_name(kv->item));
    double v;
    if (kv->item == QS_GGUF_STRING)
        add_strings(kv, max_cells, out);
    else
        for (uint64_t i = 0; i < SHOWN_ITEMS && qs_kv_array_f64(kv, i, &v); i++) {
            qs_str_add(out, i ? ", " : "");
            add_number(out, kv->item, v);
        }
    qs_str_add(out, kv->count > SHOWN_ITEMS ? ", ...]" : "]");
}

void qs_kv_text(const struct qs_kv *kv, size_t max_cells, struct qs_str *out)
{
    const char *s;
    size_t n;
    uint64_t u;
    int64_t i;
    double d;
    if (qs_kv_str(kv, &s, &n))
        qs_utf8_clean(out, s, n, max_cells);
    else if (kv->type == QS_GGUF_ARRAY)
        add_array(kv, max_cells, out);
    else if (kv->type != QS_GGUF_BOOL && qs_kv_u64(kv, &u))
        qs_str_addf(out, "%" PRIu64, u);
    else if (qs_kv_i64(kv, &i) && kv->type != QS_GGUF_BOOL)
        qs_str_addf(out, "%" PRId64, i);
    else if (qs_kv_f64(kv, &d))
        add_number(out, kv->type, d);
}
