/* tests.c - what may stand behind `is`. */
#include <string.h>

#include "base/unicode.h"
#include "core/text/jinja/internal.h"

static struct jvalue t_defined(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(v.kind != J_UNDEFINED);
}

static struct jvalue t_undefined(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(v.kind == J_UNDEFINED);
}

static struct jvalue t_none(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(v.kind == J_NONE);
}

static struct jvalue t_boolean(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(v.kind == J_BOOL);
}

static struct jvalue t_true(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(v.kind == J_BOOL && v.b);
}

static struct jvalue t_false(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(v.kind == J_BOOL && !v.b);
}

static struct jvalue t_integer(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(v.kind == J_INT);
}

static struct jvalue t_float(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(v.kind == J_FLOAT);
}

static struct jvalue t_number(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(jis_number(v));
}

static struct jvalue t_string(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(v.kind == J_STR);
}

static struct jvalue t_mapping(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(v.kind == J_DICT);
}

static struct jvalue t_sequence(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(v.kind == J_STR || v.kind == J_LIST || v.kind == J_TUPLE || v.kind == J_DICT || v.kind == J_RANGE ||
                 v.kind == J_UNDEFINED);
}

static struct jvalue t_iterable(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(v.kind == J_STR || v.kind == J_LIST || v.kind == J_TUPLE || v.kind == J_DICT || v.kind == J_RANGE ||
                 v.kind == J_VIEW || v.kind == J_GENERATOR || v.kind == J_UNDEFINED || v.kind == J_LOOP);
}

static struct jvalue t_callable(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(v.kind == J_MACRO || v.kind == J_FUNCTION || v.kind == J_METHOD || v.kind == J_LOOP ||
                 v.kind == J_UNDEFINED);
}

static struct jvalue t_escaped(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(v.kind == J_STR && v.markup);
}

static struct jvalue t_sameas(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    if (v.kind == J_STR && a->slot[0]->kind == J_STR) /* equal short texts are one object more often than not */
        return jbool(jequal(r, v, *a->slot[0]));
    return jbool(jidentical(v, *a->slot[0]));
}

static struct jvalue remainder_is(struct jrun *r, struct jvalue v, int64_t by, int64_t rest)
{
    struct jvalue m = jbinary(r, OP_MOD, v, jint(by));
    return jbool(!r->rc && jequal(r, m, jint(rest)));
}

static struct jvalue t_odd(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)a;
    return remainder_is(r, v, 2, 1);
}

static struct jvalue t_even(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)a;
    return remainder_is(r, v, 2, 0);
}

static struct jvalue t_divisibleby(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    struct jvalue m = jbinary(r, OP_MOD, v, *a->slot[0]);
    return jbool(!r->rc && jequal(r, m, jint(0)));
}

/* Whether all letters with a case have this one, and there is one. */
static struct jvalue all_case(struct jrun *r, struct jvalue v, bool upper)
{
    struct jvalue s = jto_str(r, v);
    bool any = false;
    if (r->rc)
        return s;
    for (size_t i = 0; i < s.s->n;) {
        uint32_t cp = qs_utf8_next(s.s->p, s.s->n, &i);
        const char *c = qs_utf8_category(cp);
        if (strcmp(c, "Lt") == 0 || strcmp(c, upper ? "Ll" : "Lu") == 0)
            return jbool(false);
        any |= strcmp(c, upper ? "Lu" : "Ll") == 0;
    }
    return jbool(any);
}

static struct jvalue t_upper(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)a;
    return all_case(r, v, true);
}

static struct jvalue t_lower(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)a;
    return all_case(r, v, false);
}

static struct jvalue t_filter(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    const struct jcallable *c = v.kind == J_STR ? jfilter_find(v.s->p, v.s->n) : NULL;
    return jbool(c && c->call);
}

static struct jvalue t_test(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(v.kind == J_STR && jtest_find(v.s->p, v.s->n));
}

#define COMPARISON(name, op) \
    static struct jvalue t_##name(struct jrun *r, struct jvalue v, const struct jargs *a) \
    { \
        return jbool(jcompared(r, op, v, *a->slot[0])); \
    }
COMPARISON(eq, OP_EQ)
COMPARISON(ne, OP_NE)
COMPARISON(lt, OP_LT)
COMPARISON(le, OP_LE)
COMPARISON(gt, OP_GT)
COMPARISON(ge, OP_GE)
COMPARISON(in, OP_IN)

static const struct jcallable tests[] = {
    { "!=", t_ne, "other", 1 },
    { "<", t_lt, "other", 1 },
    { "<=", t_le, "other", 1 },
    { "==", t_eq, "other", 1 },
    { ">", t_gt, "other", 1 },
    { ">=", t_ge, "other", 1 },
    { "boolean", t_boolean, "", 0 },
    { "callable", t_callable, "", 0 },
    { "defined", t_defined, "", 0 },
    { "divisibleby", t_divisibleby, "num", 1 },
    { "eq", t_eq, "other", 1 },
    { "equalto", t_eq, "other", 1 },
    { "escaped", t_escaped, "", 0 },
    { "even", t_even, "", 0 },
    { "false", t_false, "", 0 },
    { "filter", t_filter, "", 0 },
    { "float", t_float, "", 0 },
    { "ge", t_ge, "other", 1 },
    { "greaterthan", t_gt, "other", 1 },
    { "gt", t_gt, "other", 1 },
    { "in", t_in, "seq", 1 },
    { "integer", t_integer, "", 0 },
    { "iterable", t_iterable, "", 0 },
    { "le", t_le, "other", 1 },
    { "lessthan", t_lt, "other", 1 },
    { "lower", t_lower, "", 0 },
    { "lt", t_lt, "other", 1 },
    { "mapping", t_mapping, "", 0 },
    { "ne", t_ne, "other", 1 },
    { "none", t_none, "", 0 },
    { "number", t_number, "", 0 },
    { "odd", t_odd, "", 0 },
    { "sameas", t_sameas, "other", 1 },
    { "sequence", t_sequence, "", 0 },
    { "string", t_string, "", 0 },
    { "test", t_test, "", 0 },
    { "true", t_true, "", 0 },
    { "undefined", t_undefined, "", 0 },
    { "upper", t_upper, "", 0 },
};

const struct jcallable *jtest_find(const char *p, size_t n)
{
    return jcallable_in(tests, sizeof tests / sizeof *tests, p, n);
}
