/* eval.c - expressions to values, and calls of everything that can be called.
 *
 * Owns the order of evaluation (left to right, `and`, `or` and inline if only what is needed) and the binding of
 * arguments to the names in a table's row. Every expression counts as a step.
 */
#include <string.h>

#include "core/text/jinja/internal.h"

/* --- calls -------------------------------------------------------------------------------------------------------- */

/* The slot of a parameter by its name in "a b c"; J_SLOTS: there is none. */
static size_t slot_of(const char *params, const struct jstr *name)
{
    size_t i = 0;
    for (const char *p = params; *p; i++) {
        size_t n = strcspn(p, " ");
        if (n == name->n && memcmp(p, name->p, n) == 0)
            return i;
        p += n;
        p += strspn(p, " ");
    }
    return J_SLOTS;
}

static size_t count_params(const char *params)
{
    size_t n = *params != 0;
    for (; *params; params++)
        n += *params == ' ';
    return n;
}

static struct jvalue bind_and_call(struct jrun *r, const struct jcallable *c, struct jvalue self, const struct jargs *a)
{
    struct jargs bound = *a;
    if (strcmp(c->params, "*") == 0) {
        if (a->n < c->required)
            jfail(r, QS_EFORMAT, "'%s' needs %u more argument%s", c->name, c->required - (unsigned)a->n,
                  c->required - a->n == 1 ? "" : "s");
        return r->rc ? jnone() : c->call(r, self, &bound);
    }
    size_t n = count_params(c->params);
    if (a->n > n)
        jfail(r, QS_EFORMAT, "'%s' takes at most %zu argument%s, not %zu", c->name, n, n == 1 ? "" : "s", a->n);
    memset(bound.slot, 0, sizeof bound.slot);
    for (size_t i = 0; i < a->n && i < n; i++)
        bound.slot[i] = &a->at[i];
    for (size_t i = 0; i < a->n_keys; i++) {
        size_t s = slot_of(c->params, a->key[i]);
        if (s == J_SLOTS || bound.slot[s])
            jfail(r, QS_EFORMAT, "'%s' %s '%.*s'", c->name, s == J_SLOTS ? "has no argument" : "is given twice:",
                  (int)a->key[i]->n, a->key[i]->p);
        else
            bound.slot[s] = &a->value[i];
    }
    for (size_t i = 0; i < c->required; i++)
        if (!bound.slot[i])
            jfail(r, QS_EFORMAT, "'%s' needs %u argument%s", c->name, c->required, c->required == 1 ? "" : "s");
    return r->rc ? jnone() : c->call(r, self, &bound);
}

struct jvalue jcall_builtin(struct jrun *r, const struct jcallable *c, struct jvalue self, const struct jargs *a)
{
    if (r->rc || !jdeeper(r))
        return jnone();
    struct jvalue v = bind_and_call(r, c, self, a);
    r->depth--;
    return v;
}

static struct jvalue invoke(struct jrun *r, struct jvalue f, const struct jargs *a)
{
    if (r->rc)
        return jnone();
    switch (f.kind) {
    case J_MACRO: return jmacro_call(r, f.macro, a);
    case J_FUNCTION: return jcall_builtin(r, f.function, jnone(), a);
    case J_METHOD: return jcall_builtin(r, f.method->what, f.method->self, a);
    case J_UNDEFINED: jfail(r, QS_EFORMAT, "%s", f.undefined ? f.undefined->text : "a value is undefined"); break;
    case J_LOOP: jfail(r, QS_EUNSUPPORTED, "recursive loops are not supported"); break;
    default: jfail(r, QS_EFORMAT, "a %s cannot be called", jtype_name(f));
    }
    return jnone();
}

static void add_star(struct jrun *r, const struct jnode *star, struct jlist *at)
{
    const struct jlist *l = jiterate(r, jeval(r, star));
    for (size_t i = 0; i < l->n && !r->rc; i++)
        jlist_push(r, at, l->at[i]);
}

static void add_star_star(struct jrun *r, const struct jnode *node, struct jlist *keys, struct jlist *values)
{
    struct jvalue v = jeval(r, node);
    if (v.kind != J_DICT && !r->rc)
        jfail(r, QS_EFORMAT, "** needs a dictionary, not %s", jtype_name(v));
    for (size_t i = 0; !r->rc && i < v.dict->n; i++) {
        if (v.dict->at[i].key.kind != J_STR)
            jfail(r, QS_EFORMAT, "names of arguments are strings");
        jlist_push(r, keys, v.dict->at[i].key);
        jlist_push(r, values, v.dict->at[i].value);
    }
}

/* The arguments of a call, filter or test; memory of the run. `caller` (may be NULL) is added by that name. */
static void arguments(struct jrun *r, const struct jnode *n, const struct jvalue *caller, struct jargs *out)
{
    memset(out, 0, sizeof *out);
    if (!n->list.n && !n->n_keys && !n->star && !n->star_star && !caller)
        return;
    struct jlist *at = jlist_new(r), *keys = jlist_new(r), *values = jlist_new(r);
    for (size_t i = 0; i < n->list.n && !r->rc; i++)
        jlist_push(r, at, jeval(r, n->list.at[i]));
    if (n->star)
        add_star(r, n->star, at);
    for (size_t i = 0; i < n->n_keys && !r->rc; i++) {
        jlist_push(r, keys, (struct jvalue){ .kind = J_STR, .s = r->t->name[n->keys[i]] });
        jlist_push(r, values, jeval(r, n->more.at[i]));
    }
    if (n->star_star)
        add_star_star(r, n->star_star, keys, values);
    if (caller) {
        jlist_push(r, keys, jstrz(r, "caller"));
        jlist_push(r, values, *caller);
    }
    const struct jstr **key = r->rc || !keys->n ? NULL : jget(r, keys->n * sizeof *key);
    for (size_t i = 0; key && i < keys->n; i++)
        key[i] = keys->at[i].s;
    *out = (struct jargs){ .at = at->at, .n = at->n, .key = key, .value = values->at, .n_keys = key ? keys->n : 0 };
}

struct jvalue jeval_call(struct jrun *r, const struct jnode *n, const struct jvalue *caller)
{
    struct jargs a;
    struct jvalue f = jeval(r, n->a);
    arguments(r, n, caller, &a);
    r->at = r->rc ? r->at : n;
    return invoke(r, f, &a);
}

/* A filter or test on a value. */
static struct jvalue apply(struct jrun *r, const struct jnode *n, struct jvalue v)
{
    struct jargs a;
    arguments(r, n, NULL, &a);
    if (r->rc)
        return v;
    r->at = n;
    if (n->what && n->what->call)
        return jcall_builtin(r, n->what, v, &a);
    const struct jstr *name = r->t->name[n->name];
    jfail(r, QS_EUNSUPPORTED, "no %s named '%.*s'", n->kind == N_FILTER ? "filter" : "test",
          (int)(name->n < 100 ? name->n : 100), name->p);
    return v;
}

/* `n` and the filters inside it; the innermost, which has no operand, works on this value. */
struct jvalue jfilter_chain(struct jrun *r, const struct jnode *n, struct jvalue innermost)
{
    if (!n || !jdeeper(r))
        return innermost;
    struct jvalue v = apply(r, n, jfilter_chain(r, n->a, innermost));
    r->depth--;
    return v;
}

/* --- expressions -------------------------------------------------------------------------------------------------- */

static struct jvalue eval_list(struct jrun *r, const struct jnode *n)
{
    struct jlist *l = jlist_new(r);
    for (size_t i = 0; i < n->list.n && !r->rc; i++)
        jlist_push(r, l, jeval(r, n->list.at[i]));
    return jlist_value(n->kind == N_LIST ? J_LIST : J_TUPLE, l);
}

static struct jvalue eval_dict(struct jrun *r, const struct jnode *n)
{
    struct jdict *d = jdict_new(r);
    for (size_t i = 0; i + 1 < n->list.n && !r->rc; i += 2) {
        struct jvalue key = jeval(r, n->list.at[i]);
        jdict_set(r, d, key, jeval(r, n->list.at[i + 1]));
    }
    return jdict_value(d);
}

static struct jvalue eval_item(struct jrun *r, const struct jnode *n)
{
    struct jvalue of = jeval(r, n->a), v[3];
    const struct jnode *part[3] = { NULL, NULL, NULL };
    const struct jvalue *given[3] = { NULL, NULL, NULL };
    if (n->b->kind != N_SLICE) {
        struct jvalue key = jeval(r, n->b);
        r->at = r->rc ? r->at : n;
        return jitem(r, of, key);
    }
    part[0] = n->b->a;
    part[1] = n->b->b;
    part[2] = n->b->c;
    for (int i = 0; i < 3; i++) {
        if (!part[i])
            continue;
        v[i] = jeval(r, part[i]);
        given[i] = &v[i];
    }
    r->at = r->rc ? r->at : n;
    return jslice(r, of, given[0], given[1], given[2]);
}

static struct jvalue eval_concat(struct jrun *r, const struct jnode *n)
{
    struct qs_str s = QS_STR_INIT;
    for (size_t i = 0; i < n->list.n && !r->rc; i++)
        jwrite(r, &s, jeval(r, n->list.at[i]));
    return jstr_take(r, &s);
}

static struct jvalue eval_compare(struct jrun *r, const struct jnode *n)
{
    struct jvalue a = jeval(r, n->a);
    bool fine = true;
    for (size_t i = 0; i < n->list.n && fine && !r->rc; i++) {
        struct jvalue b = jeval(r, n->list.at[i]->a);
        r->at = r->rc ? r->at : n->list.at[i];
        fine = jcompared(r, n->list.at[i]->op, a, b);
        a = b;
    }
    return jbool(fine);
}

static struct jvalue eval_sign(struct jrun *r, const struct jnode *n)
{
    struct jvalue v = jeval(r, n->a);
    int64_t i = v.kind == J_BOOL ? v.b : v.i;
    if (r->rc)
        return v;
    if (v.kind == J_FLOAT)
        return jfloat(n->kind == N_NEG ? -v.f : v.f);
    if (!jis_number(v))
        jfail(r, QS_EFORMAT, "a sign belongs before numbers, not before %s", jtype_name(v));
    else if (n->kind == N_NEG && __builtin_sub_overflow((int64_t)0, i, &i))
        jfail(r, QS_ELIMIT, "an integer needs more than 64 bits");
    return jint(i);
}

static struct jvalue eval_if_else(struct jrun *r, const struct jnode *n)
{
    if (jtruth(jeval(r, n->b)))
        return jeval(r, n->a);
    if (n->c)
        return jeval(r, n->c);
    return jundefined_of(r, "the inline if-expression at line %u was false and has no else", n->line);
}

static struct jvalue eval_node(struct jrun *r, const struct jnode *n)
{
    struct jvalue a, b;
    switch (n->kind) {
    case N_CONST: return n->value;
    case N_NAME: return jlookup(r, n->name);
    case N_LIST: case N_TUPLE: return eval_list(r, n);
    case N_DICT: return eval_dict(r, n);
    case N_ATTR:
        a = jeval(r, n->a);
        r->at = r->rc ? r->at : n;
        return jattribute(r, a, r->t->name[n->name]);
    case N_ITEM: return eval_item(r, n);
    case N_CALL: return jeval_call(r, n, NULL);
    case N_FILTER: case N_TEST: return apply(r, n, jeval(r, n->a));
    case N_NOT: return jbool(!jtruth(jeval(r, n->a)));
    case N_NEG: case N_POS: return eval_sign(r, n);
    case N_BINARY:
        a = jeval(r, n->a);
        b = jeval(r, n->b);
        r->at = r->rc ? r->at : n;
        return jbinary(r, n->op, a, b);
    case N_CONCAT: return eval_concat(r, n);
    case N_COMPARE: return eval_compare(r, n);
    case N_AND: a = jeval(r, n->a); return jtruth(a) ? jeval(r, n->b) : a;
    case N_OR: a = jeval(r, n->a); return jtruth(a) ? a : jeval(r, n->b);
    case N_IF_ELSE: return eval_if_else(r, n);
    default:
        jfail(r, QS_EFORMAT, "a slice stands where it means nothing");
        return jnone();
    }
}

struct jvalue jeval(struct jrun *r, const struct jnode *n)
{
    struct jvalue v = jnone();
    if (!n || !jwork(r, 0) || !jdeeper(r))
        return v;
    r->at = n;
    v = eval_node(r, n);
    r->depth--;
    return r->rc ? jnone() : v;
}
