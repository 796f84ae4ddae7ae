/* value.c - the values a template works with: memory, text form, equality, order, conversion from JSON.
 *
 * Owns memory in pieces that are released together (nothing is freed one by one: a run is short and bounded), and the
 * rules of Python for str(), repr(), truth, == and <. Numbers are written and read the same in every locale. Refuses
 * what passes the bounds of memory and depth.
 */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "core/text/jinja/internal.h"

/* --- memory ------------------------------------------------------------------------------------------------------- */

#define CHUNK 16384

struct jchunk {
    struct jchunk *next;
    size_t used, size;
    _Alignas(16) char bytes[];
};

void *jarena_get(struct jarena *a, size_t n)
{
    if (n > a->max || a->used > a->max - n)
        return NULL;
    n = (n + 15) & ~(size_t)15;
    struct jchunk *c = a->chunk;
    if (!c || c->size - c->used < n) {
        size_t size = n > CHUNK / 4 ? n : CHUNK;
        struct jchunk *made = qs_malloc(sizeof *made + size);
        if (!made)
            return NULL;
        made->size = size;
        made->used = 0;
        /* A large piece of its own goes behind the chunk that is being filled. */
        if (size == CHUNK || !c) {
            made->next = c;
            a->chunk = made;
        } else {
            made->next = c->next;
            c->next = made;
        }
        c = made;
    }
    void *p = c->bytes + c->used;
    c->used += n;
    a->used += n;
    memset(p, 0, n);
    return p;
}

void jarena_free(struct jarena *a)
{
    for (struct jchunk *c = a->chunk, *next; c; c = next) {
        next = c->next;
        qs_free(c);
    }
    a->chunk = NULL;
    a->used = 0;
}

void *jget(struct jrun *r, size_t n)
{
    if (!jwork(r, n))
        return NULL;
    void *p = jarena_get(&r->arena, n);
    if (!p && (n > r->arena.max || r->arena.used > r->arena.max - n))
        jfail(r, QS_ELIMIT, "the template needs more than %d MiB for its values", QS_JINJA_MEMORY_MAX >> 20);
    else if (!p)
        jfail(r, QS_ENOMEM, "out of memory for the values of a template");
    return p;
}

/* --- making ------------------------------------------------------------------------------------------------------- */

struct jvalue jnone(void)
{
    return (struct jvalue){ .kind = J_NONE };
}

struct jvalue jbool(bool b)
{
    return (struct jvalue){ .kind = J_BOOL, .b = b };
}

struct jvalue jint(int64_t i)
{
    return (struct jvalue){ .kind = J_INT, .i = i };
}

struct jvalue jfloat(double f)
{
    return (struct jvalue){ .kind = J_FLOAT, .f = f };
}

struct jvalue jundefined_of(struct jrun *r, const char *fmt, ...)
{
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t n = strlen(text);
    struct jundefined *u = jget(r, sizeof *u);
    char *copy = u ? jget(r, n + 1) : NULL;
    if (!copy)
        return jnone();
    memcpy(copy, text, n);
    u->text = copy;
    return (struct jvalue){ .kind = J_UNDEFINED, .undefined = u };
}

struct jvalue jstr_share(struct jrun *r, const char *p, size_t n)
{
    struct jstr *s = jget(r, sizeof *s);
    if (!s || !jwork(r, n))
        return jnone();
    *s = (struct jstr){ p, n, 0 };
    for (size_t i = 0; i < n; i++)
        s->chars += ((unsigned char)p[i] & 0xC0) != 0x80;
    return (struct jvalue){ .kind = J_STR, .s = s };
}

struct jvalue jstrn(struct jrun *r, const char *p, size_t n)
{
    char *copy = jget(r, n + 1);
    if (!copy)
        return jnone();
    if (n)
        memcpy(copy, p, n);
    return jstr_share(r, copy, n);
}

struct jvalue jstrz(struct jrun *r, const char *s)
{
    return jstrn(r, s, strlen(s));
}

struct jvalue jstr_take(struct jrun *r, struct qs_str *s)
{
    if (s->failed)
        jfail(r, QS_ENOMEM, "out of memory for a text of a template");
    struct jvalue v = r->rc ? jnone() : jstrn(r, s->data, s->len);
    qs_str_free(s);
    return v;
}

struct jlist *jlist_new(struct jrun *r)
{
    struct jlist *l = jget(r, sizeof *l);
    return l ? l : &r->no_list;
}

/* More room for an array of the arena: twice as much. */
static void *grown(struct jrun *r, const void *at, size_t n, size_t *cap, size_t size)
{
    size_t want = *cap ? *cap * 2 : 4;
    void *more = jget(r, want * size);
    if (!more)
        return NULL;
    if (n)
        memcpy(more, at, n * size);
    *cap = want;
    return more;
}

void jlist_push(struct jrun *r, struct jlist *l, struct jvalue v)
{
    if (r->rc)
        return;
    if (l->n == l->cap) {
        void *more = grown(r, l->at, l->n, &l->cap, sizeof *l->at);
        if (!more)
            return;
        l->at = more;
    }
    l->at[l->n++] = v;
}

struct jvalue jlist_value(enum jkind kind, struct jlist *l)
{
    return (struct jvalue){ .kind = kind, .list = l };
}

struct jdict *jdict_new(struct jrun *r)
{
    struct jdict *d = jget(r, sizeof *d);
    return d ? d : &r->no_dict;
}

struct jvalue jdict_value(struct jdict *d)
{
    return (struct jvalue){ .kind = J_DICT, .dict = d };
}

const struct jvalue *jdict_getn(struct jrun *r, const struct jdict *d, const char *key, size_t n)
{
    jwork(r, d->n * 8);
    for (size_t i = 0; i < d->n; i++) {
        const struct jvalue *k = &d->at[i].key;
        if (k->kind == J_STR && k->s->n == n && memcmp(k->s->p, key, n) == 0)
            return &d->at[i].value;
    }
    return NULL;
}

const struct jvalue *jdict_get(struct jrun *r, const struct jdict *d, struct jvalue key)
{
    if (key.kind == J_STR)
        return jdict_getn(r, d, key.s->p, key.s->n);
    if (key.kind == J_LIST || key.kind == J_DICT || key.kind == J_NAMESPACE) {
        jfail(r, QS_EFORMAT, "a %s cannot be the key of a dictionary", jtype_name(key));
        return NULL;
    }
    jwork(r, d->n * 8);
    for (size_t i = 0; i < d->n && !r->rc; i++)
        if (jequal(r, d->at[i].key, key))
            return &d->at[i].value;
    return NULL;
}

void jdict_set(struct jrun *r, struct jdict *d, struct jvalue key, struct jvalue v)
{
    const struct jvalue *old = jdict_get(r, d, key);
    if (r->rc)
        return;
    if (old) {
        d->at[(struct jpair *)((char *)(uintptr_t)old - offsetof(struct jpair, value)) - d->at].value = v;
        return;
    }
    if (d->n == d->cap) {
        void *more = grown(r, d->at, d->n, &d->cap, sizeof *d->at);
        if (!more)
            return;
        d->at = more;
    }
    d->at[d->n++] = (struct jpair){ key, v };
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */

const struct jvalue *jgiven(const struct jvalue *v)
{
    return v && v->kind != J_NONE ? v : NULL;
}

int64_t jwhole(struct jrun *r, const struct jvalue *v, int64_t otherwise)
{
    if (!v)
        return otherwise;
    if (v->kind == J_INT || v->kind == J_BOOL)
        return v->kind == J_INT ? v->i : v->b;
    jfail(r, QS_EFORMAT, "a whole number is needed, not %s", jtype_name(*v));
    return otherwise;
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

const char *jtype_name(struct jvalue v)
{
    static const char *const name[] = {
        [J_UNDEFINED] = "Undefined", [J_NONE] = "None", [J_BOOL] = "bool", [J_INT] = "int", [J_FLOAT] = "float",
        [J_STR] = "str", [J_LIST] = "list", [J_TUPLE] = "tuple", [J_DICT] = "dict", [J_RANGE] = "range",
        [J_NAMESPACE] = "Namespace", [J_GENERATOR] = "generator", [J_MACRO] = "Macro", [J_FUNCTION] = "function",
        [J_METHOD] = "method", [J_LOOP] = "LoopContext",
    };
    return v.kind == J_VIEW ? v.list->name : name[v.kind];
}

bool jis_number(struct jvalue v)
{
    return v.kind == J_BOOL || v.kind == J_INT || v.kind == J_FLOAT;
}

double jnumber(struct jvalue v)
{
    return v.kind == J_BOOL ? (double)v.b : v.kind == J_INT ? (double)v.i : v.f;
}

static int64_t whole(struct jvalue v)
{
    return v.kind == J_BOOL ? v.b : v.i;
}

bool jtruth(struct jvalue v)
{
    switch (v.kind) {
    case J_UNDEFINED: case J_NONE: return false;
    case J_BOOL: return v.b;
    case J_INT: return v.i != 0;
    case J_FLOAT: return v.f < 0 || v.f > 0 || isnan(v.f);
    case J_STR: return v.s->n > 0;
    case J_LIST: case J_TUPLE: case J_VIEW: return v.list->n > 0;
    case J_DICT: return v.dict->n > 0;
    case J_RANGE: return v.range->n > 0;
    default: return true;
    }
}

bool jidentical(struct jvalue a, struct jvalue b)
{
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case J_NONE: return true;
    case J_BOOL: return a.b == b.b;
    case J_INT: return a.i == b.i;
    case J_FLOAT: return memcmp(&a.f, &b.f, sizeof a.f) == 0;
    case J_STR: return a.s == b.s;
    default: return a.list == b.list; /* pointers all */
    }
}

/* A whole number against a double, exactly. */
static int compare_mixed(int64_t i, double d)
{
    if (d >= 0x1p63)
        return -1;
    if (d < -0x1p63)
        return 1;
    int64_t t = (int64_t)d;
    double rest = d - (double)t;
    return i < t ? -1 : i > t ? 1 : rest > 0 ? -1 : rest < 0 ? 1 : 0;
}

/* -1, 0, 1, or 2 where a NaN is compared. */
static int compare_numbers(struct jvalue a, struct jvalue b)
{
    if ((a.kind == J_FLOAT && isnan(a.f)) || (b.kind == J_FLOAT && isnan(b.f)))
        return 2;
    if (a.kind == J_FLOAT && b.kind == J_FLOAT)
        return a.f < b.f ? -1 : a.f > b.f;
    if (a.kind == J_FLOAT)
        return -compare_mixed(whole(b), a.f);
    if (b.kind == J_FLOAT)
        return compare_mixed(whole(a), b.f);
    return whole(a) < whole(b) ? -1 : whole(a) > whole(b);
}

static bool equal_lists(struct jrun *r, const struct jlist *a, const struct jlist *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!jequal(r, a->at[i], b->at[i]))
            return false;
    return true;
}

static bool equal_dicts(struct jrun *r, const struct jdict *a, const struct jdict *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n && !r->rc; i++) {
        const struct jvalue *other = jdict_get(r, b, a->at[i].key);
        if (!other || !jequal(r, a->at[i].value, *other))
            return false;
    }
    return true;
}

static bool equal_same_kind(struct jrun *r, struct jvalue a, struct jvalue b)
{
    switch (a.kind) {
    case J_UNDEFINED: case J_NONE: return true;
    case J_STR:
        return jwork(r, a.s->n) && a.s->n == b.s->n && memcmp(a.s->p, b.s->p, a.s->n) == 0;
    case J_LIST: case J_TUPLE: return equal_lists(r, a.list, b.list);
    case J_DICT: return equal_dicts(r, a.dict, b.dict);
    case J_RANGE:
        return a.range->n == b.range->n && (a.range->n == 0 || (a.range->start == b.range->start &&
               (a.range->n == 1 || a.range->step == b.range->step)));
    default: return jidentical(a, b);
    }
}

bool jequal(struct jrun *r, struct jvalue a, struct jvalue b)
{
    if (!jwork(r, 1))
        return false;
    if (jis_number(a) && jis_number(b))
        return compare_numbers(a, b) == 0;
    if (a.kind != b.kind || !jdeeper(r))
        return false;
    bool same = equal_same_kind(r, a, b);
    r->depth--;
    return same;
}

int jcompare(struct jrun *r, struct jvalue a, struct jvalue b, const char *sign)
{
    if (!jwork(r, 1))
        return 2;
    if (jis_number(a) && jis_number(b))
        return compare_numbers(a, b);
    if (a.kind == J_STR && b.kind == J_STR) { /* the order of UTF-8 bytes is that of code points */
        size_t n = a.s->n < b.s->n ? a.s->n : b.s->n;
        int c = jwork(r, n) && n ? memcmp(a.s->p, b.s->p, n) : 0;
        return c ? (c > 0) - (c < 0) : a.s->n < b.s->n ? -1 : a.s->n > b.s->n;
    }
    if (a.kind == b.kind && (a.kind == J_LIST || a.kind == J_TUPLE)) {
        int c = 0;
        if (!jdeeper(r))
            return 2;
        size_t i = 0;
        while (i < a.list->n && i < b.list->n && jequal(r, a.list->at[i], b.list->at[i]))
            i++;
        if (i < a.list->n && i < b.list->n)
            c = jcompare(r, a.list->at[i], b.list->at[i], sign);
        else
            c = a.list->n < b.list->n ? -1 : a.list->n > b.list->n;
        r->depth--;
        return c;
    }
    if (a.kind == J_UNDEFINED || b.kind == J_UNDEFINED) {
        const struct jundefined *u = a.kind == J_UNDEFINED ? a.undefined : b.undefined;
        jfail(r, QS_EFORMAT, "%s", u ? u->text : "an undefined value cannot be compared");
    } else {
        jfail(r, QS_EFORMAT, "%s and %s cannot be compared with %s", jtype_name(a), jtype_name(b), sign);
    }
    return 2;
}

/* --- numbers as text ---------------------------------------------------------------------------------------------- */

/* The fewest digits that read back, as "d.ddde+xx" of whatever locale; digits and exponent are taken out of it. */
static void shortest(double f, char digits[24], int *n_digits, int *exponent)
{
    char text[64];
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, f);
        double back = strtod(text, NULL);
        if (memcmp(&back, &f, sizeof f) == 0)
            break;
    }
    const char *e = strchr(text, 'e');
    *n_digits = 0;
    for (const char *p = text; p < e && *n_digits < 20; p++)
        if (isdigit((unsigned char)*p))
            digits[(*n_digits)++] = *p;
    *exponent = (int)strtol(e + 1, NULL, 10);
    while (*n_digits > 1 && digits[*n_digits - 1] == '0')
        --*n_digits;
}

void jfloat_text(struct qs_str *out, double f)
{
    char d[24];
    int n, x;
    if (isnan(f) || isinf(f)) {
        qs_str_add(out, isnan(f) ? "nan" : f > 0 ? "inf" : "-inf");
        return;
    }
    if (signbit(f))
        qs_str_addc(out, '-');
    shortest(fabs(f), d, &n, &x);
    if (x < -4 || x >= 16) {
        qs_str_addc(out, d[0]);
        if (n > 1)
            qs_str_addc(out, '.');
        qs_str_addn(out, d + 1, (size_t)(n - 1));
        qs_str_addf(out, "e%c%02d", x < 0 ? '-' : '+', abs(x));
        return;
    }
    if (x < 0)
        qs_str_add(out, "0.");
    for (int i = x + 1; i < 0; i++)
        qs_str_addc(out, '0');
    for (int i = 0; i < n || i <= x; i++) {
        qs_str_addc(out, i < n ? d[i] : '0');
        if (i == x)
            qs_str_addc(out, '.');
    }
    if (x >= 0 && n <= x + 1)
        qs_str_addc(out, '0');
}

/* float(text) of Python: blanks around, underscores between digits, inf and nan. The JSON reader knows no locale. */
bool jfloat_read(const char *p, size_t n, double *out)
{
    jtext_strip(NULL, &p, &n, NULL, true, true);
    struct qs_str s = QS_STR_INIT;
    bool negative = n > 0 && *p == '-', digit = false, point = false, fine = n < 400;
    if (n > 0 && (*p == '-' || *p == '+')) {
        p++;
        n--;
    }
    static const struct { const char *word; double v; } words[] = {
        { "inf", INFINITY }, { "infinity", INFINITY }, { "nan", NAN } };
    for (size_t w = 0; w < 3; w++) {
        char low[10] = "";
        for (size_t i = 0; i < n && n < sizeof low; i++)
            low[i] = qs_ascii_lower(p[i]);
        if (n < sizeof low && strcmp(low, words[w].word) == 0) {
            *out = negative ? -words[w].v : words[w].v;
            return true;
        }
    }
    size_t zeros = 0;
    while (zeros + 1 < n && p[zeros] == '0' && isdigit((unsigned char)p[zeros + 1]))
        zeros++;
    for (size_t i = zeros; i < n && fine; i++) {
        if (p[i] == '_' && i > 0 && i + 1 < n && isdigit((unsigned char)p[i - 1]) && isdigit((unsigned char)p[i + 1]))
            continue;
        if (p[i] == '.' && !point) {
            if (!digit)
                qs_str_addc(&s, '0');
            if (i + 1 < n && isdigit((unsigned char)p[i + 1]))
                qs_str_addc(&s, '.');
            else if (!digit)
                fine = false;
            point = true;
            continue;
        }
        digit |= isdigit((unsigned char)p[i]) != 0;
        fine &= strchr("0123456789eE+-", p[i]) != NULL && p[i];
        qs_str_addc(&s, p[i]);
    }
    struct qs_json *j = NULL;
    fine = fine && digit && !s.failed && !qs_json_parse(s.data, s.len, &j, NULL);
    if (fine) {
        *out = qs_json_num(j, 0.0);
        *out = negative ? -*out : *out;
        qs_json_free(j);
    }
    qs_str_free(&s);
    return fine;
}

/* --- values as text ----------------------------------------------------------------------------------------------- */

static bool printable(uint32_t cp)
{
    const char *c = qs_utf8_category(cp);
    return cp == ' ' || (c[0] != 'C' && c[0] != 'Z');
}

static void repr_str(struct jrun *r, struct qs_str *out, const struct jstr *s)
{
    bool single = memchr(s->p, '\'', s->n) != NULL, twice = memchr(s->p, '"', s->n) != NULL;
    char quote = single && !twice ? '"' : '\'';
    qs_str_addc(out, quote);
    if (!jroom(r, out, s->n, "the text form of a value"))
        return;
    for (size_t i = 0; i < s->n && out->len <= QS_JINJA_OUTPUT_MAX;) { /* escapes are longer */
        size_t at = i;
        uint32_t cp = qs_utf8_next(s->p, s->n, &i);
        if (cp == (uint32_t)quote || cp == '\\')
            qs_str_addf(out, "\\%c", (char)cp);
        else if (cp == '\n' || cp == '\r' || cp == '\t')
            qs_str_add(out, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t");
        else if (printable(cp))
            qs_str_addn(out, s->p + at, i - at);
        else
            qs_str_addf(out, cp < 0x100 ? "\\x%02" PRIx32 : cp < 0x10000 ? "\\u%04" PRIx32 : "\\U%08" PRIx32, cp);
    }
    qs_str_addc(out, quote);
}

static void repr_list(struct jrun *r, struct qs_str *out, const struct jlist *l, enum jkind kind)
{
    qs_str_addc(out, kind == J_TUPLE ? '(' : '[');
    for (size_t i = 0; i < l->n && !r->rc; i++) {
        if (i)
            qs_str_add(out, ", ");
        jrepr(r, out, l->at[i]);
    }
    qs_str_add(out, kind == J_TUPLE ? l->n == 1 ? ",)" : ")" : "]");
}

static void repr_dict(struct jrun *r, struct qs_str *out, const struct jdict *d)
{
    qs_str_addc(out, '{');
    for (size_t i = 0; i < d->n && !r->rc; i++) {
        if (i)
            qs_str_add(out, ", ");
        jrepr(r, out, d->at[i].key);
        qs_str_add(out, ": ");
        jrepr(r, out, d->at[i].value);
    }
    qs_str_addc(out, '}');
}

static void repr_other(struct jrun *r, struct qs_str *out, struct jvalue v)
{
    switch (v.kind) {
    case J_RANGE:
        qs_str_addf(out, "range(%" PRId64 ", %" PRId64, v.range->start, v.range->stop);
        if (v.range->step != 1)
            qs_str_addf(out, ", %" PRId64, v.range->step);
        qs_str_addc(out, ')');
        break;
    case J_VIEW:
        qs_str_addf(out, "%s(", v.list->name);
        repr_list(r, out, v.list, J_LIST);
        qs_str_addc(out, ')');
        break;
    case J_NAMESPACE:
        qs_str_add(out, "<Namespace ");
        repr_dict(r, out, v.dict);
        qs_str_addc(out, '>');
        break;
    case J_MACRO: {
        const struct jstr *name = v.macro->node->name < 0 ? NULL : r->t->name[v.macro->node->name];
        qs_str_addf(out, "<Macro '%.*s'>", name ? (int)name->n : 6, name ? name->p : "caller");
        break;
    }
    case J_LOOP:
        qs_str_addf(out, "<LoopContext %zu/%zu>", v.loop->index + 1, v.loop->taken.n);
        break;
    default:
        qs_str_addf(out, "<%s>", jtype_name(v));
    }
}

void jrepr(struct jrun *r, struct qs_str *out, struct jvalue v)
{
    size_t before = out->len;
    if (!jdeeper(r))
        return;
    switch (v.kind) {
    case J_UNDEFINED: qs_str_add(out, "Undefined"); break;
    case J_NONE: qs_str_add(out, "None"); break;
    case J_BOOL: qs_str_add(out, v.b ? "True" : "False"); break;
    case J_INT: qs_str_addf(out, "%" PRId64, v.i); break;
    case J_FLOAT: jfloat_text(out, v.f); break;
    case J_STR: repr_str(r, out, v.s); break;
    case J_LIST: case J_TUPLE: repr_list(r, out, v.list, v.kind); break;
    case J_DICT: repr_dict(r, out, v.dict); break;
    default: repr_other(r, out, v);
    }
    r->depth--;
    jwork(r, out->len - before);
    if (out->len > QS_JINJA_OUTPUT_MAX)
        jfail(r, QS_ELIMIT, "the template writes more than %d MiB", QS_JINJA_OUTPUT_MAX >> 20);
}

void jwrite(struct jrun *r, struct qs_str *out, struct jvalue v)
{
    if (r->rc || v.kind == J_UNDEFINED)
        return;
    if (v.kind != J_STR) {
        jrepr(r, out, v);
        return;
    }
    if (!jwork(r, v.s->n))
        return;
    r->arena.used += v.s->n; /* texts being written count as memory */
    if (v.s->n > QS_JINJA_OUTPUT_MAX || out->len > QS_JINJA_OUTPUT_MAX - v.s->n)
        jfail(r, QS_ELIMIT, "the template writes more than %d MiB", QS_JINJA_OUTPUT_MAX >> 20);
    else
        qs_str_addn(out, v.s->p, v.s->n);
    if (out->failed)
        jfail(r, QS_ENOMEM, "out of memory for a text of a template");
}

struct jvalue jto_str(struct jrun *r, struct jvalue v)
{
    struct qs_str s = QS_STR_INIT;
    if (v.kind == J_STR)
        return v;
    jwrite(r, &s, v);
    return jstr_take(r, &s);
}

/* --- walking ------------------------------------------------------------------------------------------------------ */

static struct jlist *characters(struct jrun *r, const struct jstr *s)
{
    struct jlist *l = jlist_new(r);
    for (size_t i = 0; i < s->n && !r->rc;) {
        size_t at = i;
        qs_utf8_next(s->p, s->n, &i);
        jlist_push(r, l, jstr_share(r, s->p + at, i - at));
    }
    return l;
}

struct jlist *jiterate(struct jrun *r, struct jvalue v)
{
    struct jlist *l;
    switch (v.kind) {
    case J_LIST: case J_TUPLE: case J_VIEW:
        return v.list;
    case J_GENERATOR:
        l = jlist_new(r);
        for (; v.list->walked < v.list->n && !r->rc; v.list->walked++)
            jlist_push(r, l, v.list->at[v.list->walked]);
        return l;
    case J_UNDEFINED:
        return jlist_new(r);
    case J_STR:
        return characters(r, v.s);
    case J_DICT:
        l = jlist_new(r);
        for (size_t i = 0; i < v.dict->n && !r->rc; i++)
            jlist_push(r, l, v.dict->at[i].key);
        return l;
    case J_RANGE:
        l = jlist_new(r);
        for (size_t i = 0; i < v.range->n && !r->rc; i++)
            jlist_push(r, l, jint(v.range->start + (int64_t)i * v.range->step));
        return l;
    default:
        jfail(r, QS_EFORMAT, "a %s cannot be walked through", jtype_name(v));
        return &r->no_list;
    }
}

/* --- from JSON ---------------------------------------------------------------------------------------------------- */

struct jvalue jfrom_json(struct jrun *r, const struct qs_json *v)
{
    switch (qs_json_type(v)) {
    case QS_JSON_NULL: break;
    case QS_JSON_BOOL: return jbool(qs_json_bool(v, false));
    case QS_JSON_INT:
        if (qs_json_int(v, 0) == 0 && qs_json_uint(v, 0) != 0)
            return jfloat(qs_json_num(v, 0));
        return jint(qs_json_int(v, 0));
    case QS_JSON_DOUBLE: return jfloat(qs_json_num(v, 0));
    case QS_JSON_STRING: return jstrn(r, qs_json_str(v, ""), qs_json_len(v));
    case QS_JSON_ARRAY: {
        struct jlist *l = jlist_new(r);
        for (size_t i = 0; i < qs_json_len(v) && !r->rc; i++)
            jlist_push(r, l, jfrom_json(r, qs_json_at(v, i)));
        return jlist_value(J_LIST, l);
    }
    case QS_JSON_OBJECT: {
        struct jdict *d = jdict_new(r);
        const struct qs_json *member;
        for (size_t i = 0; i < qs_json_len(v) && !r->rc; i++) {
            const char *key = qs_json_key_at(v, i, &member);
            jdict_set(r, d, jstrz(r, key), jfrom_json(r, member));
        }
        return jdict_value(d);
    }
    }
    return jnone();
}
