/* run.c - a run: statements, scopes, loops, macros, and the bounds.
 *
 * Owns which scope a name belongs to (loops, macros, with, set blocks, filter and call blocks have their own; if has
 * not), what `loop` tells, and the account of steps and depth. A compiled template is only read here, so that many
 * threads can run it at once; everything a run makes is its own and goes with it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/text/jinja/internal.h"

static void run_body(struct jrun *r, const struct jnodes *body);

void jfail(struct jrun *r, enum qs_code code, const char *fmt, ...)
{
    char text[QS_ERR_MAX];
    va_list ap;
    if (r->rc)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text - 40, fmt, ap);
    va_end(ap);
    if (r->at)
        r->rc = qs_fail(r->e, code, "%s (line %u, column %u)", text, r->at->line, r->at->col);
    else
        r->rc = qs_fail(r->e, code, "%s", text);
}

bool jwork(struct jrun *r, size_t bytes)
{
    r->steps += 1 + bytes / 64;
    if (r->steps > QS_JINJA_STEPS_MAX)
        jfail(r, QS_ELIMIT, "the template does not come to an end: stopped after %d steps", QS_JINJA_STEPS_MAX);
    return !r->rc;
}

bool jroom(struct jrun *r, const struct qs_str *out, size_t n, const char *who)
{
    if (n > QS_JINJA_OUTPUT_MAX || out->len > QS_JINJA_OUTPUT_MAX - n)
        jfail(r, QS_ELIMIT, "%s makes more than %d MiB", who, QS_JINJA_OUTPUT_MAX >> 20);
    return jwork(r, n);
}

bool jdeeper(struct jrun *r)
{
    if (r->depth >= QS_JINJA_DEPTH_MAX)
        jfail(r, QS_ELIMIT, "the template is nested more than %d levels deep (a macro that calls itself?)",
              QS_JINJA_DEPTH_MAX);
    if (r->rc)
        return false;
    r->depth++;
    return true;
}

/* --- scopes ------------------------------------------------------------------------------------------------------- */

static struct jvalue *find_in(const struct jscope *s, int name)
{
    for (size_t i = s->n; i-- > 0;)
        if (s->at[i].name == name)
            return &s->at[i].value;
    return NULL;
}

struct jvalue jlookup(struct jrun *r, int name)
{
    for (const struct jscope *s = r->scope; s != r->top; s = s->up) {
        const struct jvalue *v = find_in(s, name);
        if (v)
            return *v;
    }
    return r->top->at[name].value;
}

static void assign(struct jrun *r, int name, struct jvalue v)
{
    struct jscope *s = r->scope;
    struct jvalue *old = s == r->top ? &s->at[name].value : find_in(s, name);
    if (r->rc)
        return;
    if (old) {
        *old = v;
        return;
    }
    if (s->n == s->cap) {
        struct jbinding *more = jget(r, (s->cap ? s->cap * 2 : 4) * sizeof *more);
        if (!more)
            return;
        if (s->n)
            memcpy(more, s->at, s->n * sizeof *more);
        s->at = more;
        s->cap = s->cap ? s->cap * 2 : 4;
    }
    s->at[s->n++] = (struct jbinding){ name, v };
}

/* A scope inside `up`; the one it replaces comes back from the return value. */
static struct jscope *enter(struct jrun *r, struct jscope *up)
{
    struct jscope *before = r->scope, *s = jget(r, sizeof *s);
    if (s) {
        s->up = up;
        r->scope = s;
    }
    return before;
}

static void assign_target(struct jrun *r, const struct jnode *target, struct jvalue v)
{
    if (r->rc)
        return;
    r->at = target;
    if (target->kind == N_NAME) {
        assign(r, target->name, v);
    } else if (target->kind == N_NAMESPACE_REF) {
        struct jvalue of = jlookup(r, target->a->name);
        const struct jstr *name = r->t->name[target->name];
        if (of.kind != J_NAMESPACE)
            jfail(r, QS_EFORMAT, "only attributes of a namespace can be assigned, and this is a %s", jtype_name(of));
        else
            jdict_set(r, of.dict, (struct jvalue){ .kind = J_STR, .s = name }, v);
    } else {
        const struct jlist *l = jiterate(r, v);
        if (!r->rc && l->n != target->list.n)
            jfail(r, QS_EFORMAT, "%zu values for %zu names", l->n, target->list.n);
        for (size_t i = 0; i < target->list.n && !r->rc; i++)
            assign_target(r, target->list.at[i], l->at[i]);
    }
}

/* --- loops -------------------------------------------------------------------------------------------------------- */

/* Whether there is an item number i behind the filter; looks as far as it must and no further. */
static bool loop_has(struct jrun *r, struct jloop *l, size_t i)
{
    while (l->taken.n <= i && l->next_raw < l->all->n && !r->rc) {
        struct jvalue v = l->all->at[l->next_raw++];
        if (l->node->c) {
            const struct jnode *at = r->at;
            struct jscope *before = enter(r, l->scope);
            assign_target(r, l->node->a, v);
            bool wanted = jtruth(jeval(r, l->node->c));
            r->scope = before;
            if (!wanted)
                continue;
            r->at = r->rc ? r->at : at;
        }
        jlist_push(r, &l->taken, v);
    }
    return l->taken.n > i && !r->rc;
}

static size_t loop_length(struct jrun *r, struct jloop *l)
{
    if (!l->node->c)
        return l->all->n;
    while (loop_has(r, l, l->taken.n))
        ;
    return l->taken.n;
}

static struct jvalue loop_cycle(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    (void)r;
    return a->at[self.loop->index % a->n];
}

static struct jvalue loop_changed(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct jloop *l = self.loop;
    struct jlist *now = jlist_new(r);
    for (size_t i = 0; i < a->n; i++)
        jlist_push(r, now, a->at[i]);
    struct jvalue v = jlist_value(J_TUPLE, now);
    bool changed = !l->has_changed || !jequal(r, l->last_changed, v);
    l->has_changed = true;
    l->last_changed = v;
    return jbool(changed);
}

static const struct jcallable loop_methods[] = {
    { "cycle", loop_cycle, "*", 1 },
    { "changed", loop_changed, "*", 0 },
};

enum { L_INDEX, L_INDEX0, L_FIRST, L_LAST, L_LENGTH, L_REVINDEX, L_REVINDEX0, L_PREVITEM, L_NEXTITEM, L_DEPTH, L_DEPTH0,
       L_COUNT };

struct jvalue jloop_attribute(struct jrun *r, struct jloop *l, const struct jstr *name)
{
    static const char *const names[L_COUNT] = { "index", "index0", "first", "last", "length", "revindex", "revindex0",
                                                "previtem", "nextitem", "depth", "depth0" };
    int which = 0;
    while (which < L_COUNT && (strlen(names[which]) != name->n || memcmp(names[which], name->p, name->n) != 0))
        which++;
    switch (which) {
    case L_INDEX: return jint((int64_t)l->index + 1);
    case L_INDEX0: return jint((int64_t)l->index);
    case L_FIRST: return jbool(l->index == 0);
    case L_LAST: return jbool(!loop_has(r, l, l->index + 1));
    case L_LENGTH: return jint((int64_t)loop_length(r, l));
    case L_REVINDEX: return jint((int64_t)(loop_length(r, l) - l->index));
    case L_REVINDEX0: return jint((int64_t)(loop_length(r, l) - l->index) - 1);
    case L_PREVITEM:
        return l->index ? l->taken.at[l->index - 1] : jundefined_of(r, "there is no previous item");
    case L_NEXTITEM:
        return loop_has(r, l, l->index + 1) ? l->taken.at[l->index + 1] : jundefined_of(r, "there is no next item");
    case L_DEPTH: return jint(1);
    case L_DEPTH0: return jint(0);
    default: break;
    }
    const struct jcallable *c = jcallable_in(loop_methods, 2, name->p, name->n);
    struct jmethod *m = c ? jget(r, sizeof *m) : NULL;
    if (!m)
        return (struct jvalue){ .kind = J_UNDEFINED };
    *m = (struct jmethod){ { .kind = J_LOOP, .loop = l }, c };
    return (struct jvalue){ .kind = J_METHOD, .method = m };
}

static void run_for(struct jrun *r, const struct jnode *n)
{
    struct jscope *outer = r->scope;
    bool whole = false;
    struct jvalue over = jeval(r, n->b);
    struct jloop *l = jget(r, sizeof *l);
    r->at = r->rc ? r->at : n;
    if (!l)
        return;
    l->node = n;
    l->scope = outer;
    l->all = jiterate(r, over);
    if (!n->c) { /* no filter: all of them, and nothing is added to it */
        l->taken = *l->all;
        l->next_raw = l->all->n;
    }
    struct jscope *mine = NULL;
    size_t macros = r->macros;
    for (; loop_has(r, l, l->index); l->index++) {
        if (mine && macros == r->macros) { /* nobody keeps the scope of the round before */
            mine->n = 0;
            r->scope = mine;
        } else {
            enter(r, outer);
            mine = r->scope;
            macros = r->macros;
        }
        assign(r, r->name_loop, (struct jvalue){ .kind = J_LOOP, .loop = l });
        assign_target(r, n->a, l->taken.at[l->index]);
        run_body(r, &n->list);
        r->scope = outer;
        bool stop = r->flow == FLOW_BREAK;
        whole |= r->flow == FLOW_ON;
        r->flow = FLOW_ON;
        if (stop || !jwork(r, 0))
            break;
    }
    if (!r->rc && !whole) { /* as in Jinja2: also when no round came to its end */
        enter(r, outer);
        run_body(r, &n->more);
        r->scope = outer;
    }
}

/* --- what writes into a text of its own --------------------------------------------------------------------------- */

/* Runs a body in the scope that is entered already and gives what it writes. */
static struct jvalue captured(struct jrun *r, const struct jnodes *body)
{
    struct qs_str text = QS_STR_INIT, *before = r->out;
    r->out = &text;
    run_body(r, body);
    r->out = before;
    return jstr_take(r, &text);
}

static struct jvalue captured_inside(struct jrun *r, const struct jnodes *body)
{
    struct jscope *before = enter(r, r->scope);
    struct jvalue v = captured(r, body);
    r->scope = before;
    return v;
}

/* --- macros ------------------------------------------------------------------------------------------------------- */

static struct jvalue macro_value(struct jrun *r, const struct jnode *n)
{
    struct jmacro *m = jget(r, sizeof *m);
    if (!m)
        return jnone();
    *m = (struct jmacro){ n, r->scope };
    r->macros++;
    return (struct jvalue){ .kind = J_MACRO, .macro = m };
}

static const char *macro_name(struct jrun *r, const struct jnode *n, char buf[64])
{
    const struct jstr *s = n->name < 0 ? NULL : r->t->name[n->name];
    snprintf(buf, 64, "%.*s", s ? (int)(s->n < 60 ? s->n : 60) : 6, s ? s->p : "caller");
    return buf;
}

/* Which keyword argument has this name; a->n_keys: none. */
static size_t keyword(const struct jrun *r, const struct jargs *a, int name)
{
    size_t i = 0;
    const struct jstr *s = r->t->name[name];
    while (i < a->n_keys && (a->key[i]->n != s->n || memcmp(a->key[i]->p, s->p, s->n) != 0))
        i++;
    return i;
}

/* What no parameter takes: varargs, kwargs, caller; or a failure. */
static void macro_rest(struct jrun *r, const struct jnode *n, const struct jargs *a, const bool *used)
{
    char buf[64];
    struct jlist *rest = jlist_new(r);
    struct jdict *named = jdict_new(r);
    struct jvalue caller = jundefined_of(r, "there is no caller");
    for (size_t i = n->n_keys; i < a->n; i++)
        jlist_push(r, rest, a->at[i]);
    for (size_t i = 0; i < a->n_keys && !r->rc; i++) {
        bool is_caller = a->key[i]->n == 6 && memcmp(a->key[i]->p, "caller", 6) == 0;
        if (used[i])
            continue;
        if (is_caller && n->takes_caller)
            caller = a->value[i];
        else if (n->takes_kwargs)
            jdict_set(r, named, (struct jvalue){ .kind = J_STR, .s = a->key[i] }, a->value[i]);
        else
            jfail(r, QS_EFORMAT, "the macro '%s' has no argument '%.*s'", macro_name(r, n, buf), (int)a->key[i]->n,
                  a->key[i]->p);
    }
    if (rest->n && !n->takes_varargs)
        jfail(r, QS_EFORMAT, "the macro '%s' takes not more than %zu argument%s", macro_name(r, n, buf), n->n_keys,
              n->n_keys == 1 ? "" : "s");
    if (n->takes_varargs)
        assign(r, r->name_varargs, jlist_value(J_TUPLE, rest));
    if (n->takes_kwargs)
        assign(r, r->name_kwargs, jdict_value(named));
    bool own = false; /* a parameter of this name */
    for (size_t i = 0; i < n->n_keys; i++)
        own |= n->keys[i] == r->name_caller;
    if (n->takes_caller && !own)
        assign(r, r->name_caller, caller);
}

static void macro_arguments(struct jrun *r, const struct jnode *n, const struct jargs *a)
{
    bool *used = jget(r, a->n_keys + 1);
    char buf[64];
    for (size_t i = 0; used && i < n->n_keys && !r->rc; i++) {
        size_t k = keyword(r, a, n->keys[i]), first_default = n->n_keys - n->more.n;
        if (i < a->n && k < a->n_keys && !n->takes_kwargs) {
            jfail(r, QS_EFORMAT, "the macro '%s' gets '%.*s' twice", macro_name(r, n, buf),
                  (int)a->key[k]->n, a->key[k]->p);
        } else if (i < a->n) {
            assign(r, n->keys[i], a->at[i]);
        } else if (k < a->n_keys) {
            used[k] = true;
            assign(r, n->keys[i], a->value[k]);
        } else if (i >= first_default) {
            assign(r, n->keys[i], jeval(r, n->more.at[i - first_default]));
        } else {
            const struct jstr *s = r->t->name[n->keys[i]];
            assign(r, n->keys[i], jundefined_of(r, "parameter '%.*s' was not provided", (int)s->n, s->p));
        }
    }
    if (used)
        macro_rest(r, n, a, used);
}

struct jvalue jmacro_call(struct jrun *r, const struct jmacro *m, const struct jargs *a)
{
    if (!jdeeper(r))
        return jnone();
    const struct jnode *at = r->at;
    struct jscope *before = enter(r, m->scope);
    macro_arguments(r, m->node, a);
    struct jvalue v = captured(r, &m->node->list);
    r->scope = before;
    r->at = r->rc ? r->at : at;
    r->depth--;
    return v;
}

/* --- statements --------------------------------------------------------------------------------------------------- */

static void run_if(struct jrun *r, const struct jnode *n)
{
    for (size_t i = 0; i < n->list.n && !r->rc; i++) {
        if (jtruth(jeval(r, n->list.at[i]->a))) {
            run_body(r, &n->list.at[i]->list);
            return;
        }
    }
    run_body(r, &n->more);
}

/* The values are taken in the scope outside. */
static void run_with(struct jrun *r, const struct jnode *n)
{
    struct jlist *values = jlist_new(r);
    for (size_t i = 0; i < n->more.n; i++)
        jlist_push(r, values, jeval(r, n->more.at[i]->b));
    struct jscope *before = enter(r, r->scope);
    for (size_t i = 0; i < n->more.n && !r->rc; i++)
        assign_target(r, n->more.at[i]->a, values->at[i]);
    run_body(r, &n->list);
    r->scope = before;
}

static void run_print(struct jrun *r, const struct jnode *n)
{
    for (size_t i = 0; i < n->list.n && !r->rc; i++) {
        struct jvalue v = jeval(r, n->list.at[i]);
        r->at = r->rc ? r->at : n;
        jwrite(r, r->out, v);
    }
}

static void run_call_block(struct jrun *r, const struct jnode *n)
{
    struct jvalue caller = macro_value(r, n);
    jwrite(r, r->out, jeval_call(r, n->a, &caller));
}

static void run_statement(struct jrun *r, const struct jnode *n)
{
    switch (n->kind) {
    case N_DATA: jwrite(r, r->out, n->value); break;
    case N_PRINT: run_print(r, n); break;
    case N_IF: run_if(r, n); break;
    case N_FOR: run_for(r, n); break;
    case N_SET: assign_target(r, n->a, jeval(r, n->b)); break;
    case N_SET_BLOCK: assign_target(r, n->a, jfilter_chain(r, n->b, captured_inside(r, &n->list))); break;
    case N_MACRO: assign(r, n->name, macro_value(r, n)); break;
    case N_CALL_BLOCK: run_call_block(r, n); break;
    case N_FILTER_BLOCK: jwrite(r, r->out, jfilter_chain(r, n->b, captured_inside(r, &n->list))); break;
    case N_WITH: run_with(r, n); break;
    case N_GENERATION: jwrite(r, r->out, captured_inside(r, &n->list)); break;
    case N_BREAK: r->flow = FLOW_BREAK; break;
    case N_CONTINUE: r->flow = FLOW_CONTINUE; break;
    default: break;
    }
}

static void run_body(struct jrun *r, const struct jnodes *body)
{
    if (!jdeeper(r))
        return;
    for (size_t i = 0; i < body->n && r->flow == FLOW_ON; i++) {
        r->at = r->rc ? r->at : body->at[i];
        if (!jwork(r, 0))
            break;
        run_statement(r, body->at[i]);
    }
    r->depth--;
}

/* --- a whole run -------------------------------------------------------------------------------------------------- */

/* What a name means before anything is set: a variable, else a function, else undefined. */
static struct jvalue initial(struct jrun *r, const struct qs_jinja_run *run, const struct jstr *name)
{
    char key[128];
    const struct qs_json *v = NULL;
    if (name->n < sizeof key) {
        memcpy(key, name->p, name->n);
        key[name->n] = 0;
        v = run->variables ? qs_json_get(run->variables, key) : NULL;
        for (size_t i = 0; !v && i < run->n_named; i++)
            v = strcmp(run->named[i].name, key) == 0 ? run->named[i].value : NULL;
        if (v)
            return jfrom_json(r, v);
    }
    const struct jcallable *f = jfunction_find(name->p, name->n);
    if (f)
        return (struct jvalue){ .kind = J_FUNCTION, .function = f };
    return jundefined_of(r, "'%.*s' is undefined", (int)(name->n < 200 ? name->n : 200), name->p);
}

/* The number of a name that the interpreter itself gives; -1 when the template never speaks of it. */
static int number_of(const struct qs_jinja *t, const char *name)
{
    for (size_t i = 0; i < t->n_names; i++)
        if (t->name[i]->n == strlen(name) && memcmp(t->name[i]->p, name, t->name[i]->n) == 0)
            return (int)i;
    return -1;
}

int qs_jinja_render(const struct qs_jinja *t, const struct qs_jinja_run *run, struct qs_str *out, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    struct jrun r = { .t = t, .arena = { .max = QS_JINJA_MEMORY_MAX }, .out = &text, .e = e, .now = run->now,
                      .name_loop = number_of(t, "loop"), .name_caller = number_of(t, "caller"),
                      .name_varargs = number_of(t, "varargs"), .name_kwargs = number_of(t, "kwargs") };
    struct jscope *top = jget(&r, sizeof *top);
    if (top)
        top->at = jget(&r, (t->n_names + 1) * sizeof *top->at);
    r.scope = r.top = top;
    for (size_t i = 0; i < t->n_names && !r.rc; i++)
        top->at[i] = (struct jbinding){ (int)i, initial(&r, run, t->name[i]) };
    if (!r.rc)
        run_body(&r, &t->body);
    if (!r.rc)
        qs_str_addn(out, text.data, text.len);
    if (!r.rc && (text.failed || out->failed))
        r.rc = qs_fail_mem(e, text.len, "the text of a template");
    qs_str_free(&text);
    jarena_free(&r.arena);
    return r.rc;
}
