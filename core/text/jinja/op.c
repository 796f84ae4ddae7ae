/* op.c - operators, attributes and items, with Python's rules and the sandbox of Jinja2.
 *
 * Owns what `+` and its kin do to which kinds, and where a name behind a point is looked for: methods first, then
 * members (behind brackets the other way round). Refuses what changes a list or dictionary, and names with two
 * underscores, as the sandbox does.
 */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "base/unicode.h"
#include "core/text/jinja/internal.h"

/* --- arithmetic --------------------------------------------------------------------------------------------------- */

static const char *const sign_of[] = {
    [OP_ADD] = "+", [OP_SUB] = "-", [OP_MUL] = "*", [OP_DIV] = "/", [OP_FLOORDIV] = "//", [OP_MOD] = "%",
    [OP_POW] = "**", [OP_EQ] = "==", [OP_NE] = "!=", [OP_LT] = "<", [OP_LE] = "<=", [OP_GT] = ">", [OP_GE] = ">=",
    [OP_IN] = "in", [OP_NOT_IN] = "not in",
};

static struct jvalue too_large(struct jrun *r)
{
    jfail(r, QS_ELIMIT, "an integer needs more than 64 bits");
    return jnone();
}

static struct jvalue int_power(struct jrun *r, int64_t a, int64_t b)
{
    int64_t result = 1;
    if (b < 0 && a == 0) {
        jfail(r, QS_EFORMAT, "division by zero");
        return jnone();
    }
    if (b < 0)
        return jfloat(pow((double)a, (double)b));
    while (b > 0) {
        if ((b & 1) && __builtin_mul_overflow(result, a, &result))
            return too_large(r);
        b >>= 1;
        if (b && __builtin_mul_overflow(a, a, &a))
            return too_large(r);
    }
    return jint(result);
}

static struct jvalue int_binary(struct jrun *r, enum jop op, int64_t a, int64_t b)
{
    int64_t v = 0;
    bool over = false;
    if (b == 0 && (op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD)) {
        jfail(r, QS_EFORMAT, "division by zero");
        return jnone();
    }
    switch (op) {
    case OP_ADD: over = __builtin_add_overflow(a, b, &v); break;
    case OP_SUB: over = __builtin_sub_overflow(a, b, &v); break;
    case OP_MUL: over = __builtin_mul_overflow(a, b, &v); break;
    case OP_DIV: return jfloat((double)a / (double)b);
    case OP_POW: return int_power(r, a, b);
    default: /* towards minus infinity; the rest has the sign of the divisor */
        if (b == -1) {
            over = op == OP_FLOORDIV && __builtin_sub_overflow((int64_t)0, a, &v);
            break;
        }
        v = op == OP_FLOORDIV ? a / b - (a % b != 0 && (a % b < 0) != (b < 0)) : a % b;
        if (op == OP_MOD && v != 0 && (v < 0) != (b < 0))
            v += b;
    }
    return over ? too_large(r) : jint(v);
}

static struct jvalue float_binary(struct jrun *r, enum jop op, double a, double b)
{
    if (fpclassify(b) == FP_ZERO && (op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD)) {
        jfail(r, QS_EFORMAT, "division by zero");
        return jnone();
    }
    double rest = op == OP_FLOORDIV || op == OP_MOD ? fmod(a, b) : 0.0;
    switch (op) {
    case OP_ADD: return jfloat(a + b);
    case OP_SUB: return jfloat(a - b);
    case OP_MUL: return jfloat(a * b);
    case OP_DIV: return jfloat(a / b);
    case OP_POW: return jfloat(pow(a, b));
    default: break;
    }
    bool other_sign = fpclassify(rest) != FP_ZERO && (rest < 0) != (b < 0);
    if (op == OP_MOD)
        return jfloat(fpclassify(rest) == FP_ZERO ? copysign(0.0, b) : other_sign ? rest + b : rest);
    double q = (a - rest) / b - (other_sign ? 1.0 : 0.0);
    return jfloat(fpclassify(q) == FP_ZERO ? copysign(0.0, a / b) : round(q));
}

static struct jvalue escaped(struct jrun *r, struct jvalue v)
{
    struct qs_str s = QS_STR_INIT;
    if (v.markup)
        return v;
    jtext_escape(r, &s, v.s->p, v.s->n);
    return jstr_take(r, &s);
}

static struct jvalue join_two(struct jrun *r, struct jvalue a, struct jvalue b)
{
    bool markup = a.markup || b.markup;
    if (markup) {
        a = escaped(r, a);
        b = escaped(r, b);
    }
    if (r->rc)
        return jnone();
    char *p = jget(r, a.s->n + b.s->n + 1);
    if (!p)
        return jnone();
    memcpy(p, a.s->p, a.s->n);
    memcpy(p + a.s->n, b.s->p, b.s->n);
    struct jvalue v = jstr_share(r, p, a.s->n + b.s->n);
    v.markup = markup;
    return v;
}

static struct jvalue repeated(struct jrun *r, struct jvalue what, struct jvalue times)
{
    int64_t n = times.kind == J_BOOL ? times.b : times.i;
    struct jlist *l;
    n = n < 0 ? 0 : n;
    if (what.kind == J_STR) {
        if (what.s->n && n > QS_JINJA_OUTPUT_MAX / (int64_t)what.s->n) {
            jfail(r, QS_ELIMIT, "a text of more than %d MiB", QS_JINJA_OUTPUT_MAX >> 20);
            return jnone();
        }
        size_t len = what.s->n * (size_t)n;
        char *p = jget(r, len + 1);
        if (p && len)
            memcpy(p, what.s->p, what.s->n);
        for (size_t done = what.s->n; p && done < len; done *= 2) /* twice as much each time */
            memcpy(p + done, p, done < len - done ? done : len - done);
        struct jvalue v = p ? jstr_share(r, p, len) : jnone();
        v.markup = what.markup;
        return v;
    }
    l = jlist_new(r);
    for (int64_t i = 0; what.list->n && i < n && !r->rc; i++)
        for (size_t k = 0; k < what.list->n; k++)
            jlist_push(r, l, what.list->at[k]);
    return jlist_value(what.kind, l);
}

static struct jvalue joined_lists(struct jrun *r, struct jvalue a, struct jvalue b)
{
    struct jlist *l = jlist_new(r);
    for (size_t i = 0; i < a.list->n && !r->rc; i++)
        jlist_push(r, l, a.list->at[i]);
    for (size_t i = 0; i < b.list->n && !r->rc; i++)
        jlist_push(r, l, b.list->at[i]);
    return jlist_value(a.kind, l);
}

static bool is_whole(struct jvalue v)
{
    return v.kind == J_INT || v.kind == J_BOOL;
}

static bool repeats(struct jvalue v)
{
    return v.kind == J_STR || v.kind == J_LIST || v.kind == J_TUPLE;
}

struct jvalue jbinary(struct jrun *r, enum jop op, struct jvalue a, struct jvalue b)
{
    if (r->rc)
        return jnone();
    if (is_whole(a) && is_whole(b))
        return int_binary(r, op, a.kind == J_INT ? a.i : a.b, b.kind == J_INT ? b.i : b.b);
    if (jis_number(a) && jis_number(b))
        return float_binary(r, op, jnumber(a), jnumber(b));
    if (op == OP_MOD && a.kind == J_STR)
        return jformat_percent(r, a.s, b);
    if (op == OP_ADD && a.kind == J_STR && b.kind == J_STR)
        return join_two(r, a, b);
    if (op == OP_ADD && a.kind == b.kind && (a.kind == J_LIST || a.kind == J_TUPLE))
        return joined_lists(r, a, b);
    if (op == OP_MUL && repeats(a) && is_whole(b))
        return repeated(r, a, b);
    if (op == OP_MUL && repeats(b) && is_whole(a))
        return repeated(r, b, a);
    if (a.kind == J_UNDEFINED || b.kind == J_UNDEFINED) {
        const struct jundefined *u = a.kind == J_UNDEFINED ? a.undefined : b.undefined;
        jfail(r, QS_EFORMAT, "%s", u ? u->text : "a value is undefined");
    } else {
        jfail(r, QS_EFORMAT, "%s %s %s is not possible", jtype_name(a), sign_of[op], jtype_name(b));
    }
    return jnone();
}

/* --- comparisons -------------------------------------------------------------------------------------------------- */

static bool contains(struct jrun *r, struct jvalue in, struct jvalue what)
{
    if (in.kind == J_STR) {
        if (what.kind != J_STR) {
            jfail(r, QS_EFORMAT, "only a string can be in a string, not %s", jtype_name(what));
            return false;
        }
        return jwork(r, in.s->n) && jtext_find(in.s->p, in.s->n, what.s->p, what.s->n) <= in.s->n;
    }
    if (in.kind == J_DICT)
        return jdict_get(r, in.dict, what) != NULL;
    const struct jlist *l = jiterate(r, in);
    for (size_t i = 0; i < l->n && !r->rc; i++)
        if (jidentical(l->at[i], what) || jequal(r, l->at[i], what))
            return true;
    return false;
}

bool jcompared(struct jrun *r, enum jop op, struct jvalue a, struct jvalue b)
{
    if (r->rc)
        return false;
    if (op == OP_EQ || op == OP_NE)
        return jequal(r, a, b) == (op == OP_EQ);
    if (op == OP_IN || op == OP_NOT_IN)
        return contains(r, b, a) == (op == OP_IN);
    int c = jcompare(r, a, b, sign_of[op]);
    return c != 2 && (op == OP_LT ? c < 0 : op == OP_LE ? c <= 0 : op == OP_GT ? c > 0 : c >= 0);
}

/* --- items -------------------------------------------------------------------------------------------------------- */

static struct jvalue no_item(struct jrun *r, struct jvalue of, struct jvalue key)
{
    struct qs_str s = QS_STR_INIT;
    jrepr(r, &s, key);
    const char *object = of.kind == J_NONE ? "" : " object";
    struct jvalue v = key.kind == J_STR
        ? jundefined_of(r, "'%s%s' has no attribute %s", jtype_name(of), object, s.data)
        : jundefined_of(r, "%s%s has no element %s", jtype_name(of), object, s.data);
    qs_str_free(&s);
    return v;
}

static struct jvalue is_undefined(struct jrun *r, struct jvalue v)
{
    jfail(r, QS_EFORMAT, "%s", v.undefined ? v.undefined->text : "a value is undefined");
    return jnone();
}

/* Methods, and what a loop or a namespace has. False: nothing of this name. */
static bool member(struct jrun *r, struct jvalue of, const struct jstr *name, struct jvalue *out)
{
    if (name->n > 3 && memcmp(name->p, "__", 2) == 0 && of.kind != J_DICT) {
        *out = jundefined_of(r, "the attribute '%.*s' of %s is not for templates", (int)(name->n < 100 ? name->n : 100),
                             name->p, jtype_name(of));
        return true;
    }
    if (of.kind == J_LOOP) {
        *out = jloop_attribute(r, of.loop, name);
        return out->kind != J_UNDEFINED || out->undefined;
    }
    if (of.kind == J_NAMESPACE) {
        const struct jvalue *v = jdict_getn(r, of.dict, name->p, name->n);
        if (v)
            *out = *v;
        return v != NULL;
    }
    if (of.kind == J_MACRO && name->n == 4 && memcmp(name->p, "name", 4) == 0) {
        const struct jstr *s = of.macro->node->name < 0 ? NULL : r->t->name[of.macro->node->name];
        *out = s ? jstr_share(r, s->p, s->n) : jstrz(r, "caller");
        return true;
    }
    if (of.kind == J_TUPLE && of.list->name) { /* groupby */
        bool key = name->n == 7 && memcmp(name->p, "grouper", 7) == 0;
        if (key || (name->n == 4 && memcmp(name->p, "list", 4) == 0)) {
            *out = of.list->at[!key];
            return true;
        }
    }
    const struct jcallable *c = jmethod_find(of.kind, name->p, name->n);
    if (!c)
        return false;
    if (!c->call) {
        *out = jundefined_of(r, "'%s' would change a %s, which templates cannot (as in the sandbox of transformers)",
                             c->name, jtype_name(of));
        return true;
    }
    struct jmethod *m = jget(r, sizeof *m);
    if (!m)
        return true;
    *m = (struct jmethod){ of, c };
    *out = (struct jvalue){ .kind = J_METHOD, .method = m };
    return true;
}

static struct jvalue character(struct jrun *r, const struct jstr *s, size_t i)
{
    size_t at = jtext_offset(s, i), end = at;
    jwork(r, s->chars == s->n ? 0 : at);
    qs_utf8_next(s->p, s->n, &end);
    return jstr_share(r, s->p + at, end - at);
}

/* The i-th of a sequence, from the end when negative. False: there is none. */
static bool nth(struct jrun *r, struct jvalue of, int64_t i, struct jvalue *out)
{
    int64_t n = of.kind == J_STR ? (int64_t)of.s->chars : of.kind == J_RANGE ? (int64_t)of.range->n
              : of.kind == J_LIST || of.kind == J_TUPLE ? (int64_t)of.list->n : 0;
    if (i < 0)
        i += n;
    if (i < 0 || i >= n)
        return false;
    *out = of.kind == J_STR ? character(r, of.s, (size_t)i)
         : of.kind == J_RANGE ? jint(of.range->start + i * of.range->step) : of.list->at[i];
    return true;
}

static bool item(struct jrun *r, struct jvalue of, struct jvalue key, struct jvalue *out)
{
    if (of.kind == J_DICT) {
        const struct jvalue *v = key.kind == J_LIST || key.kind == J_DICT ? NULL : jdict_get(r, of.dict, key);
        if (v)
            *out = *v;
        return v != NULL;
    }
    if (key.kind == J_INT || key.kind == J_BOOL)
        return nth(r, of, key.kind == J_INT ? key.i : key.b, out);
    return false;
}

struct jvalue jattribute(struct jrun *r, struct jvalue of, const struct jstr *name)
{
    struct jvalue v = jnone(), key = { .kind = J_STR, .s = name };
    if (r->rc)
        return v;
    if (of.kind == J_UNDEFINED)
        return is_undefined(r, of);
    if (member(r, of, name, &v) || item(r, of, key, &v) || r->rc)
        return v;
    return no_item(r, of, key);
}

struct jvalue jitem(struct jrun *r, struct jvalue of, struct jvalue key)
{
    struct jvalue v = jnone();
    if (r->rc)
        return v;
    if (of.kind == J_UNDEFINED)
        return is_undefined(r, of);
    if (item(r, of, key, &v) || r->rc || (key.kind == J_STR && member(r, of, key.s, &v)))
        return v;
    return no_item(r, of, key);
}

struct jvalue jslice(struct jrun *r, struct jvalue of, const struct jvalue *from, const struct jvalue *to,
                     const struct jvalue *step)
{
    int64_t first = 0, by = 1;
    if (r->rc)
        return jnone();
    if (of.kind == J_UNDEFINED)
        return is_undefined(r, of);
    if (of.kind != J_STR && of.kind != J_LIST && of.kind != J_TUPLE && of.kind != J_RANGE)
        return jundefined_of(r, "%s object cannot be sliced", jtype_name(of));
    size_t n = of.kind == J_STR ? of.s->chars : of.kind == J_RANGE ? of.range->n : of.list->n;
    size_t count = jtext_slice_count(r, n, from, to, step, &first, &by);
    if (r->rc)
        return jnone();
    if (of.kind == J_STR && by == 1) {
        size_t at = jtext_offset(of.s, (size_t)first), end = jtext_offset(of.s, (size_t)first + count);
        jwork(r, of.s->n);
        struct jvalue v = count ? jstr_share(r, of.s->p + at, end - at) : jstrz(r, "");
        v.markup = of.markup;
        return v;
    }
    if (of.kind == J_RANGE) {
        struct jrange *g = jget(r, sizeof *g);
        if (!g)
            return jnone();
        int64_t start = of.range->start + first * of.range->step, s = 0;
        if (__builtin_mul_overflow(by, of.range->step, &s) || __builtin_mul_overflow((int64_t)count, s, &g->stop))
            s = g->stop = 0;
        *g = (struct jrange){ start, s, count, start + g->stop };
        return (struct jvalue){ .kind = J_RANGE, .range = g };
    }
    struct jlist *chars = of.kind == J_STR ? jiterate(r, of) : of.list, *l = jlist_new(r);
    for (size_t i = 0; i < count && !r->rc; i++)
        jlist_push(r, l, chars->at[first + (int64_t)i * by]);
    if (of.kind != J_STR)
        return jlist_value(of.kind, l);
    struct qs_str s = QS_STR_INIT;
    for (size_t i = 0; i < l->n && !r->rc; i++)
        qs_str_addn(&s, l->at[i].s->p, l->at[i].s->n);
    return jstr_take(r, &s);
}

/* attribute="a.b.0" of filters: each part an item, whole numbers as such. */
struct jvalue jfilter_path(struct jrun *r, struct jvalue of, struct jvalue path)
{
    if (path.kind != J_STR)
        return jitem(r, of, path);
    for (size_t i = 0; i <= path.s->n && !r->rc;) {
        size_t end = i;
        bool number = true;
        int64_t v = 0;
        for (; end < path.s->n && path.s->p[end] != '.'; end++) {
            number &= isdigit((unsigned char)path.s->p[end]) && v < 100000000;
            v = number ? v * 10 + (path.s->p[end] - '0') : 0;
        }
        of = jitem(r, of, number && end > i ? jint(v) : jstr_share(r, path.s->p + i, end - i));
        i = end + 1;
    }
    return of;
}
