/* filters.c - the filters on text and numbers, and the table of all filters by name.
 *
 * Owns what each filter of Jinja2 does to one value; those that walk lists are in lists.c. Filters that need
 * chance or know HTML pages are refused by name.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/unicode.h"
#include "core/text/jinja/internal.h"

const struct jcallable *jcallable_in(const struct jcallable *rows, size_t n_rows, const char *p, size_t n)
{
    for (size_t i = 0; i < n_rows; i++)
        if (strlen(rows[i].name) == n && memcmp(rows[i].name, p, n) == 0)
            return &rows[i];
    return NULL;
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */

static int64_t whole_arg(struct jrun *r, const struct jvalue *v, int64_t otherwise, const char *what)
{
    if (!v)
        return otherwise;
    if (v->kind == J_INT || v->kind == J_BOOL)
        return v->kind == J_INT ? v->i : v->b;
    jfail(r, QS_EFORMAT, "%s must be a whole number, not %s", what, jtype_name(*v));
    return otherwise;
}

static const struct jstr *text_arg(struct jrun *r, const struct jvalue *v)
{
    static const struct jstr empty = { "", 0, 0 };
    struct jvalue s = v ? jto_str(r, *v) : jnone();
    return s.kind == J_STR ? s.s : &empty;
}

/* --- text --------------------------------------------------------------------------------------------------------- */

static struct jvalue cased(struct jrun *r, struct jvalue self, int how)
{
    struct qs_str out = QS_STR_INIT;
    const struct jstr *s = text_arg(r, &self);
    jtext_case(&out, s->p, s->n, how);
    return jstr_take(r, &out);
}

J_CALL(f_lower, cased(r, self, 0))
J_CALL(f_upper, cased(r, self, 1))
J_CALL(f_capitalize, cased(r, self, 2))

/* Other than the method: words begin behind blanks, hyphens and opening brackets. */
static struct jvalue f_title(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct qs_str out = QS_STR_INIT;
    const struct jstr *s = text_arg(r, &self);
    (void)a;
    for (size_t i = 0, from = 0; i <= s->n; i++) {
        size_t k = i;
        bool edge = i == s->n || strchr("-({[<", s->p[i]) || jtext_space(qs_utf8_next(s->p, s->n, &k));
        if (!edge)
            continue;
        jtext_case(&out, s->p + from, i - from, 2);
        k = k > i ? k : i + 1;
        if (i < s->n)
            qs_str_addn(&out, s->p + i, k - i);
        from = k;
        i = k - 1;
    }
    return jstr_take(r, &out);
}

static struct jvalue f_trim(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jstr *s = text_arg(r, &self);
    const struct jvalue *c = a->slot[0];
    const char *p = s->p;
    size_t n = s->n;
    if (c && c->kind != J_NONE && c->kind != J_STR)
        jfail(r, QS_EFORMAT, "trim needs a string, not %s", jtype_name(*c));
    else
        jtext_strip(r, &p, &n, c && c->kind == J_STR ? c->s : NULL, true, true);
    return jstr_share(r, p, n);
}

J_CALL(f_string, jto_str(r, self))

static struct jvalue f_safe(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct jvalue v = jto_str(r, self);
    (void)a;
    v.markup = true;
    return v;
}

static struct jvalue f_escape(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct qs_str out = QS_STR_INIT;
    (void)a;
    if (self.kind == J_STR && self.markup)
        return self;
    const struct jstr *s = text_arg(r, &self);
    jtext_escape(r, &out, s->p, s->n);
    struct jvalue v = jstr_take(r, &out);
    v.markup = true;
    return v;
}

static struct jvalue f_forceescape(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    self.markup = false;
    return f_escape(r, self, a);
}

static struct jvalue f_replace(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct qs_str out = QS_STR_INIT;
    const struct jvalue *count = a->slot[2] && a->slot[2]->kind == J_NONE ? NULL : a->slot[2];
    jtext_replace(r, &out, text_arg(r, &self), text_arg(r, a->slot[0]), text_arg(r, a->slot[1]),
                  whole_arg(r, count, -1, "the count of replace"));
    return jstr_take(r, &out);
}

static struct jvalue f_center(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct qs_str out = QS_STR_INIT;
    const struct jstr *s = text_arg(r, &self);
    int64_t width = whole_arg(r, a->slot[0], 80, "the width of center"), n = (int64_t)s->chars;
    if (width > QS_JINJA_OUTPUT_MAX)
        jfail(r, QS_ELIMIT, "center makes more than %d MiB", QS_JINJA_OUTPUT_MAX >> 20);
    if (r->rc || width <= n)
        return jto_str(r, self);
    int64_t left = (width - n) / 2 + ((width - n) & width & 1);
    for (int64_t i = 0; i < left; i++)
        qs_str_addc(&out, ' ');
    qs_str_addn(&out, s->p, s->n);
    for (int64_t i = n + left; i < width; i++)
        qs_str_addc(&out, ' ');
    return jstr_take(r, &out);
}

static struct jvalue f_indent(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct qs_str by = QS_STR_INIT, out = QS_STR_INIT;
    const struct jstr *s = text_arg(r, &self);
    bool first = a->slot[1] && jtruth(*a->slot[1]), blank = a->slot[2] && jtruth(*a->slot[2]);
    if (a->slot[0] && a->slot[0]->kind == J_STR)
        qs_str_addn(&by, a->slot[0]->s->p, a->slot[0]->s->n);
    int64_t width = by.len || (a->slot[0] && a->slot[0]->kind == J_STR)
        ? 0 : whole_arg(r, a->slot[0], 4, "the width of indent");
    for (int64_t i = 0; i < width && i < 65536; i++)
        qs_str_addc(&by, ' ');
    struct qs_str whole = QS_STR_INIT;
    qs_str_addn(&whole, s->p, s->n);
    qs_str_addc(&whole, '\n');
    struct jvalue text = jstr_take(r, &whole);
    const struct jlist *lines = r->rc ? &r->no_list : jtext_lines(r, text.s, false);
    for (size_t i = 0; i < lines->n; i++) {
        const struct jstr *line = lines->at[i].s;
        if (!jroom(r, &out, 1 + by.len + line->n, "indent"))
            break;
        if (i)
            qs_str_addc(&out, '\n');
        if (i ? line->n || blank : first)
            qs_str_addn(&out, by.data, by.len);
        qs_str_addn(&out, line->p, line->n);
    }
    qs_str_free(&by);
    return jstr_take(r, &out);
}

static struct jvalue f_truncate(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jstr *s = text_arg(r, &self), *end = a->slot[2] ? text_arg(r, a->slot[2]) : NULL;
    int64_t length = whole_arg(r, a->slot[0], 255, "the length of truncate"), leeway = 5;
    const char *mark = end ? end->p : "...";
    size_t mark_n = end ? end->n : 3, mark_chars = end ? end->chars : 3;
    if (a->slot[3] && a->slot[3]->kind != J_NONE)
        leeway = whole_arg(r, a->slot[3], 5, "the leeway of truncate");
    if (length < (int64_t)mark_chars || leeway < 0 || leeway > INT32_MAX || length > INT32_MAX)
        jfail(r, QS_EFORMAT, "truncate: the length must be at least that of its mark, and the leeway not negative");
    if (r->rc || (int64_t)s->chars <= length + leeway)
        return jto_str(r, self);
    size_t n = jtext_offset(s, (size_t)length - mark_chars);
    if (!a->slot[1] || !jtruth(*a->slot[1])) {
        const char *blank = memrchr(s->p, ' ', n);
        n = blank ? (size_t)(blank - s->p) : n;
    }
    struct qs_str out = QS_STR_INIT;
    qs_str_addn(&out, s->p, n);
    qs_str_addn(&out, mark, mark_n);
    return jstr_take(r, &out);
}

static struct jvalue f_wordcount(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jstr *s = text_arg(r, &self);
    int64_t words = 0;
    bool inside = false;
    (void)a;
    for (size_t i = 0; i < s->n;) {
        uint32_t cp = qs_utf8_next(s->p, s->n, &i);
        const char *c = qs_utf8_category(cp);
        bool word = cp == '_' || c[0] == 'L' || c[0] == 'N';
        words += word && !inside;
        inside = word;
    }
    return jint(words);
}

static void quote(struct jrun *r, struct qs_str *out, const struct jstr *s, bool query)
{
    for (size_t i = 0; i < s->n && (i % 64 || jroom(r, out, 3 * 64, "urlencode")); i++) {
        char c = s->p[i], low = qs_ascii_lower(c);
        if ((low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || (c && strchr("_.-~", c)) || (c == '/' && !query))
            qs_str_addc(out, c);
        else if (c == ' ' && query)
            qs_str_addc(out, '+');
        else
            qs_str_addf(out, "%%%02X", (unsigned char)c);
    }
}

static struct jvalue f_urlencode(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct qs_str out = QS_STR_INIT;
    (void)a;
    if (self.kind != J_DICT && self.kind != J_LIST && self.kind != J_TUPLE) {
        quote(r, &out, text_arg(r, &self), false);
        return jstr_take(r, &out);
    }
    size_t n = self.kind == J_DICT ? self.dict->n : self.list->n;
    for (size_t i = 0; i < n && !r->rc; i++) {
        struct jvalue key = jnone(), value = jnone();
        if (self.kind == J_DICT) {
            key = self.dict->at[i].key;
            value = self.dict->at[i].value;
        } else {
            const struct jlist *pair = jiterate(r, self.list->at[i]);
            if (pair->n != 2) {
                jfail(r, QS_EFORMAT, "urlencode needs pairs");
                break;
            }
            key = pair->at[0];
            value = pair->at[1];
        }
        if (i)
            qs_str_addc(&out, '&');
        quote(r, &out, text_arg(r, &key), true);
        qs_str_addc(&out, '=');
        quote(r, &out, text_arg(r, &value), true);
    }
    return jstr_take(r, &out);
}

static struct jvalue f_format(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct jlist *l = jlist_new(r);
    struct jdict *d = jdict_new(r);
    if (a->n && a->n_keys)
        jfail(r, QS_EFORMAT, "format takes arguments with names or without, not both");
    for (size_t i = 0; i < a->n; i++)
        jlist_push(r, l, a->at[i]);
    for (size_t i = 0; i < a->n_keys; i++)
        jdict_set(r, d, (struct jvalue){ .kind = J_STR, .s = a->key[i] }, a->value[i]);
    return jformat_percent(r, text_arg(r, &self), a->n_keys ? jdict_value(d) : jlist_value(J_TUPLE, l));
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

static struct jvalue f_abs(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    (void)a;
    if (self.kind == J_FLOAT)
        return jfloat(fabs(self.f));
    if (!jis_number(self) || (self.kind == J_INT && self.i == INT64_MIN)) {
        jfail(r, QS_EFORMAT, "abs needs a number, not %s", jtype_name(self));
        return jnone();
    }
    return jint(self.kind == J_BOOL ? self.b : self.i < 0 ? -self.i : self.i);
}

/* int(text, base) of Python. */
static bool read_int(const struct jstr *s, int64_t base, int64_t *out)
{
    const char *p = s->p;
    size_t n = s->n, digits = 0;
    jtext_strip(NULL, &p, &n, NULL, true, true);
    bool negative = n > 0 && *p == '-', after_digit = false;
    uint64_t v = 0;
    if (n > 0 && (*p == '-' || *p == '+')) {
        p++;
        n--;
    }
    char kind = n > 2 && *p == '0' ? qs_ascii_lower(p[1]) : 0;
    if ((base == 16 && kind == 'x') || (base == 8 && kind == 'o') || (base == 2 && kind == 'b')) {
        p += 2;
        n -= 2;
    }
    for (size_t i = 0; i < n; i++) {
        char c = qs_ascii_lower(p[i]);
        if (c == '_' && after_digit && i + 1 < n) {
            after_digit = false;
            continue;
        }
        int64_t d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
        if (d >= base || v > ((uint64_t)INT64_MAX - (uint64_t)d) / (uint64_t)base)
            return false;
        v = v * (uint64_t)base + (uint64_t)d;
        after_digit = true;
        digits++;
    }
    *out = negative ? -(int64_t)v : (int64_t)v;
    return digits > 0 && after_digit;
}

static struct jvalue f_int(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    int64_t base = whole_arg(r, a->slot[1], 10, "the base of int"), i;
    struct jvalue otherwise = a->slot[0] ? *a->slot[0] : jint(0);
    double d = 0;
    if (self.kind == J_UNDEFINED)
        return jitem(r, self, jint(0)); /* fails in the words of what is undefined */
    if (self.kind == J_INT || self.kind == J_BOOL)
        return jint(self.kind == J_INT ? self.i : self.b);
    if (self.kind == J_STR && base >= 2 && base <= 36 && read_int(self.s, base, &i))
        return jint(i);
    if (self.kind == J_FLOAT)
        d = self.f;
    else if (self.kind != J_STR || !jfloat_read(self.s->p, self.s->n, &d))
        return otherwise;
    if (!isfinite(d))
        return otherwise;
    if (d >= 0x1p63 || d < -0x1p63) {
        jfail(r, QS_ELIMIT, "an integer needs more than 64 bits");
        return jnone();
    }
    return jint((int64_t)d);
}

static struct jvalue f_float(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    double d;
    if (self.kind == J_UNDEFINED)
        return jitem(r, self, jint(0));
    if (jis_number(self))
        return jfloat(jnumber(self));
    if (self.kind == J_STR && jfloat_read(self.s->p, self.s->n, &d))
        return jfloat(d);
    return a->slot[0] ? *a->slot[0] : jfloat(0.0);
}

/* As Python's round: the decimal that prints, read back. */
static double round_to(double f, int64_t places)
{
    char text[512];
    if (!isfinite(f) || places > 300 || places < -300)
        return places < 0 && isfinite(f) ? 0.0 : f;
    if (places < 0) {
        double scale = pow(10.0, (double)-places);
        return nearbyint(f / scale) * scale;
    }
    snprintf(text, sizeof text, "%.*f", (int)(places > 120 ? 120 : places), f);
    return strtod(text, NULL); /* written and read in one locale */
}

static struct jvalue f_round(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    int64_t places = whole_arg(r, a->slot[0], 0, "the precision of round");
    const struct jstr *how = a->slot[1] ? text_arg(r, a->slot[1]) : NULL;
    bool ceil_ = how && how->n == 4 && memcmp(how->p, "ceil", 4) == 0;
    bool floor_ = how && how->n == 5 && memcmp(how->p, "floor", 5) == 0;
    bool common = !how || (how->n == 6 && memcmp(how->p, "common", 6) == 0);
    if (!jis_number(self))
        jfail(r, QS_EFORMAT, "round needs a number, not %s", jtype_name(self));
    else if (!ceil_ && !floor_ && !common)
        jfail(r, QS_EFORMAT, "round: the method is common, ceil or floor");
    if (r->rc)
        return jnone();
    if (common && self.kind != J_FLOAT)
        return jint((int64_t)(places < 0 ? round_to(jnumber(self), places) : jnumber(self)));
    if (common)
        return jfloat(round_to(self.f, places));
    double scale = pow(10.0, (double)places), v = jnumber(self) * scale;
    return jfloat((ceil_ ? ceil(v) : floor(v)) / scale);
}

static struct jvalue f_filesizeformat(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    static const char *const prefix[2][8] = { { "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB" },
                                              { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB" } };
    bool binary = a->slot[0] && jtruth(*a->slot[0]);
    double base = binary ? 1024 : 1000, unit = base, v = f_float(r, self, &(struct jargs){ .n = 0 }).f;
    char text[64];
    if (r->rc || v < base) {
        snprintf(text, sizeof text, v < 1 || v > 1 ? "%.0f Bytes" : "1 Byte", trunc(v));
        return jstrz(r, text);
    }
    int i = 0;
    while (i < 7 && v >= unit * base) {
        unit *= base;
        i++;
    }
    int64_t tenths = (int64_t)(round_to(v / unit, 1) * 10 + 0.5);
    snprintf(text, sizeof text, "%lld.%lld %s", (long long)tenths / 10, (long long)tenths % 10, prefix[binary][i]);
    return jstrz(r, text);
}

static struct jvalue f_default(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    bool also_false = a->slot[1] && jtruth(*a->slot[1]);
    if (self.kind == J_UNDEFINED || (also_false && !jtruth(self)))
        return a->slot[0] ? *a->slot[0] : jstrz(r, "");
    return self;
}

static struct jvalue f_attr(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jstr *name = text_arg(r, a->slot[0]);
    if (self.kind == J_DICT && !jmethod_find(J_DICT, name->p, name->n)) /* members are not attributes */
        return jundefined_of(r, "'dict object' has no attribute '%.*s'", (int)(name->n < 200 ? name->n : 200), name->p);
    return jattribute(r, self, name);
}

static const struct jcallable filters[] = {
    { "abs", f_abs, "", 0 },
    { "attr", f_attr, "name", 1 },
    { "capitalize", f_capitalize, "", 0 },
    { "center", f_center, "width", 0 },
    { "d", f_default, "default_value boolean", 0 },
    { "default", f_default, "default_value boolean", 0 },
    { "e", f_escape, "", 0 },
    { "escape", f_escape, "", 0 },
    { "filesizeformat", f_filesizeformat, "binary", 0 },
    { "float", f_float, "default", 0 },
    { "forceescape", f_forceescape, "", 0 },
    { "format", f_format, "*", 0 },
    { "indent", f_indent, "width first blank", 0 },
    { "int", f_int, "default base", 0 },
    { "lower", f_lower, "", 0 },
    { "replace", f_replace, "old new count", 2 },
    { "round", f_round, "precision method", 0 },
    { "safe", f_safe, "", 0 },
    { "string", f_string, "", 0 },
    { "title", f_title, "", 0 },
    { "tojson", jfilter_tojson, "ensure_ascii indent separators sort_keys", 0 },
    { "trim", f_trim, "chars", 0 },
    { "truncate", f_truncate, "length killwords end leeway", 0 },
    { "upper", f_upper, "", 0 },
    { "urlencode", f_urlencode, "", 0 },
    { "wordcount", f_wordcount, "", 0 },
    { "pprint", NULL, "", 0 },
    { "random", NULL, "", 0 },
    { "striptags", NULL, "", 0 },
    { "urlize", NULL, "", 0 },
    { "wordwrap", NULL, "", 0 },
    { "xmlattr", NULL, "", 0 },
};

const struct jcallable *jfilter_find(const char *p, size_t n)
{
    const struct jcallable *c = jcallable_in(filters, sizeof filters / sizeof *filters, p, n);
    return c ? c : jlist_filter_find(p, n);
}
