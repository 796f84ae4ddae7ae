/* json.c - the filter `tojson` as Hugging Face sets it up: Python's json.dumps with ensure_ascii off.
 *
 * Owns the form: order of members kept (unless sorted), ", " and ": " between (other separators, indent), floats as
 * Python writes them, NaN and Infinity as such, nothing escaped but what JSON wants.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/unicode.h"
#include "core/text/jinja/internal.h"

#define INDENT_MAX 64 /* blanks of a level, where the template gives a number */

struct writer {
    struct qs_str out;
    bool pretty, ascii, sort;
    const char *indent, *item, *key; /* one level; between items; between key and value */
    size_t indent_n, item_n, key_n;
};

static void write_text(struct jrun *r, struct writer *w, const struct jstr *s)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    if (!jroom(r, &w->out, s->n, "tojson"))
        return;
    qs_str_addc(&w->out, '"');
    for (size_t i = 0; i < s->n && w->out.len <= QS_JINJA_OUTPUT_MAX;) { /* escapes are longer */
        size_t at = i;
        uint32_t cp = qs_utf8_next(s->p, s->n, &i);
        const char *known = cp && cp < 0x80 ? strchr(from, (int)cp) : NULL;
        if (known)
            qs_str_addf(&w->out, "\\%c", to[known - from]);
        else if (cp < 0x20 || (w->ascii && cp >= 0x7F && cp < 0x10000 && cp != 0x7F))
            qs_str_addf(&w->out, "\\u%04" PRIx32, cp);
        else if (w->ascii && cp >= 0x10000)
            qs_str_addf(&w->out, "\\u%04" PRIx32 "\\u%04" PRIx32, 0xD800 + ((cp - 0x10000) >> 10),
                        0xDC00 + ((cp - 0x10000) & 0x3FF));
        else
            qs_str_addn(&w->out, s->p + at, i - at);
    }
    qs_str_addc(&w->out, '"');
}

static void write_float(struct writer *w, double f)
{
    if (isfinite(f))
        jfloat_text(&w->out, f);
    else
        qs_str_add(&w->out, isnan(f) ? "NaN" : f > 0 ? "Infinity" : "-Infinity");
}

static void add(struct jrun *r, struct writer *w, const char *p, size_t n)
{
    if (jroom(r, &w->out, n, "tojson"))
        qs_str_addn(&w->out, p, n);
}

static void line(struct jrun *r, struct writer *w, unsigned level)
{
    if (!w->pretty)
        return;
    add(r, w, "\n", 1);
    for (; level > 0 && !r->rc; level--)
        add(r, w, w->indent, w->indent_n);
}

static void write_value(struct jrun *r, struct writer *w, struct jvalue v, unsigned level);

static void write_key(struct jrun *r, struct writer *w, struct jvalue key)
{
    if (key.kind == J_STR) {
        write_text(r, w, key.s);
    } else if (jis_number(key) || key.kind == J_NONE) {
        qs_str_addc(&w->out, '"');
        write_value(r, w, key, 0);
        qs_str_addc(&w->out, '"');
    } else {
        jfail(r, QS_EFORMAT, "tojson: the key of an object cannot be a %s", jtype_name(key));
    }
}

static void write_list(struct jrun *r, struct writer *w, const struct jlist *l, unsigned level)
{
    qs_str_addc(&w->out, '[');
    for (size_t i = 0; i < l->n && !r->rc; i++) {
        if (i)
            add(r, w, w->item, w->item_n);
        line(r, w, level + 1);
        write_value(r, w, l->at[i], level + 1);
    }
    if (l->n)
        line(r, w, level);
    qs_str_addc(&w->out, ']');
}

static void write_dict(struct jrun *r, struct writer *w, struct jvalue v, unsigned level)
{
    static const struct jargs none;
    const struct jlist *order = NULL;
    if (w->sort) { /* pairs by key, case counts */
        struct jvalue yes = jbool(true);
        struct jargs a = none;
        a.at = &yes;
        a.n = 1;
        order = jcall_builtin(r, jfilter_find("dictsort", 8), v, &a).list;
    }
    qs_str_addc(&w->out, '{');
    for (size_t i = 0; i < v.dict->n && !r->rc; i++) {
        if (i)
            add(r, w, w->item, w->item_n);
        line(r, w, level + 1);
        write_key(r, w, order ? order->at[i].list->at[0] : v.dict->at[i].key);
        add(r, w, w->key, w->key_n);
        write_value(r, w, order ? order->at[i].list->at[1] : v.dict->at[i].value, level + 1);
    }
    if (v.dict->n)
        line(r, w, level);
    qs_str_addc(&w->out, '}');
}

static void write_value(struct jrun *r, struct writer *w, struct jvalue v, unsigned level)
{
    size_t before = w->out.len;
    if (!jdeeper(r))
        return;
    switch (v.kind) {
    case J_NONE: qs_str_add(&w->out, "null"); break;
    case J_BOOL: qs_str_add(&w->out, v.b ? "true" : "false"); break;
    case J_INT: qs_str_addf(&w->out, "%" PRId64, v.i); break;
    case J_FLOAT: write_float(w, v.f); break;
    case J_STR: write_text(r, w, v.s); break;
    case J_LIST: case J_TUPLE: write_list(r, w, v.list, level); break;
    case J_DICT: write_dict(r, w, v, level); break;
    default:
        jfail(r, QS_EFORMAT, "a value of type %s cannot be written as JSON", jtype_name(v));
    }
    r->depth--;
    jwork(r, w->out.len - before);
    if (w->out.len > QS_JINJA_OUTPUT_MAX)
        jfail(r, QS_ELIMIT, "tojson makes more than %d MiB", QS_JINJA_OUTPUT_MAX >> 20);
}

struct jvalue jfilter_tojson(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jvalue *indent = a->slot[1], *separators = a->slot[2];
    static const char blanks[INDENT_MAX + 1] = "                                                                ";
    struct writer w = { .out = QS_STR_INIT, .ascii = a->slot[0] && jtruth(*a->slot[0]),
                        .sort = a->slot[3] && jtruth(*a->slot[3]), .item = ", ", .item_n = 2, .key = ": ", .key_n = 2 };
    if (indent && indent->kind == J_STR) {
        w.pretty = true;
        w.indent = indent->s->p;
        w.indent_n = indent->s->n;
    } else if (indent && (indent->kind == J_INT || indent->kind == J_BOOL)) {
        w.pretty = true;
        int64_t n = indent->kind == J_INT ? indent->i : indent->b;
        w.indent = blanks;
        w.indent_n = n < 0 ? 0 : n > INDENT_MAX ? INDENT_MAX : (size_t)n;
    } else if (indent && indent->kind != J_NONE) {
        jfail(r, QS_EFORMAT, "tojson: indent is a number or a string, not %s", jtype_name(*indent));
    }
    if (w.pretty)
        w.item_n = 1;
    if (separators && separators->kind != J_NONE) {
        const struct jlist *l = jiterate(r, *separators);
        if (l->n != 2 || l->at[0].kind != J_STR || l->at[1].kind != J_STR) {
            jfail(r, QS_EFORMAT, "tojson: separators are two strings");
        } else {
            w.item = l->at[0].s->p;
            w.item_n = l->at[0].s->n;
            w.key = l->at[1].s->p;
            w.key_n = l->at[1].s->n;
        }
    }
    if (!r->rc)
        write_value(r, &w, self, 0);
    return jstr_take(r, &w.out);
}
