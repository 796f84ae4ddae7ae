/* parse_expr.c - tokens to a tree: expressions, with the precedence of Jinja2 3.1.
 *
 * From weak to strong: inline if, or, and, not, comparisons (chained), + -, ~, * / // %, **, unary - +, then
 * attributes, items and calls, then filters and tests (which bind to the operand before them). Names of filters and
 * tests are looked up here, so that a template with an unknown one is refused before it runs.
 */
#include <string.h>

#include "core/text/jinja/internal.h"

static struct jnode *parse_unary(struct jparser *p, bool with_filters);

static bool op(const struct jparser *p, const char *text)
{
    return jtoken_is(p->tok, T_OP, text);
}

static bool name(const struct jparser *p, const char *text)
{
    return jtoken_is(p->tok, T_NAME, text);
}

/* After a failure the cursor stays at the end. */
static void advance(struct jparser *p)
{
    p->tok += p->tok->kind != T_EOF;
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */

static void parse_argument(struct jparser *p, struct jnode *call)
{
    const struct jtoken *at = p->tok;
    bool star = op(p, "*"), two = op(p, "**");
    if (star || two) {
        advance(p);
        struct jnode *v = jparse_expression(p, true);
        if (call->star_star || (star && call->star))
            jparse_fail(p, at, QS_EFORMAT, "these arguments cannot stand in this order");
        *(star ? &call->star : &call->star_star) = v;
    } else if (p->tok->kind == T_NAME && jtoken_is(p->tok + 1, T_OP, "=")) {
        p->tok += 2;
        jparse_keys_add(p, call, jparse_name_id(p, at->p, at->n));
        jnodes_add(p, &call->more, jparse_expression(p, true));
        if (call->star_star)
            jparse_fail(p, at, QS_EFORMAT, "these arguments cannot stand in this order");
    } else {
        jnodes_add(p, &call->list, jparse_expression(p, true));
        if (call->star || call->star_star || call->n_keys)
            jparse_fail(p, at, QS_EFORMAT, "an argument without a name follows one with a name");
    }
}

static void parse_arguments(struct jparser *p, struct jnode *call)
{
    jparse_expect(p, T_OP, "(");
    while (!p->rc && !op(p, ")")) {
        parse_argument(p, call);
        if (!op(p, ")"))
            jparse_expect(p, T_OP, ",");
    }
    jparse_expect(p, T_OP, ")");
}

/* --- operands ----------------------------------------------------------------------------------------------------- */

static struct jnode *constant(struct jparser *p, struct jvalue v)
{
    struct jnode *n = jnode_new(p, N_CONST);
    n->value = v;
    advance(p);
    return n;
}

/* "a" "b" is one string. */
static struct jnode *parse_string(struct jparser *p)
{
    struct jnode *n = jnode_new(p, N_CONST);
    size_t total = 0;
    const struct jtoken *first = p->tok;
    for (; p->tok->kind == T_STRING; p->tok++)
        total += p->tok->n;
    struct jstr *s = jarena_get(&p->t->arena, sizeof *s);
    char *text = jarena_get(&p->t->arena, total + 1), *to = text;
    if (!s || !text) {
        jparse_fail(p, first, QS_ENOMEM, "out of memory for a template");
        return n;
    }
    for (const struct jtoken *t = first; t < p->tok; to += t->n, t++)
        memcpy(to, t->p, t->n);
    *s = (struct jstr){ text, total, 0 };
    for (size_t i = 0; i < total; i++)
        s->chars += ((unsigned char)text[i] & 0xC0) != 0x80;
    n->value = (struct jvalue){ .kind = J_STR, .s = s };
    return n;
}

static struct jnode *parse_name(struct jparser *p)
{
    static const struct { const char *word; struct jvalue v; } words[] = {
        { "true", { .kind = J_BOOL, .b = true } },   { "True", { .kind = J_BOOL, .b = true } },
        { "false", { .kind = J_BOOL, .b = false } }, { "False", { .kind = J_BOOL, .b = false } },
        { "none", { .kind = J_NONE, .i = 0 } },      { "None", { .kind = J_NONE, .i = 0 } },
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (name(p, words[i].word))
            return constant(p, words[i].v);
    struct jnode *n = jnode_new(p, N_NAME);
    n->name = jparse_name_id(p, p->tok->p, p->tok->n);
    for (size_t i = 0; i < p->n_macros; i++) {
        p->macro[i]->takes_caller |= name(p, "caller");
        p->macro[i]->takes_varargs |= name(p, "varargs");
        p->macro[i]->takes_kwargs |= name(p, "kwargs");
    }
    advance(p);
    return n;
}

static struct jnode *parse_list(struct jparser *p)
{
    struct jnode *n = jnode_new(p, N_LIST);
    advance(p);
    while (!p->rc && !op(p, "]")) {
        jnodes_add(p, &n->list, jparse_expression(p, true));
        if (!op(p, "]"))
            jparse_expect(p, T_OP, ",");
    }
    jparse_expect(p, T_OP, "]");
    return n;
}

static struct jnode *parse_dict(struct jparser *p)
{
    struct jnode *n = jnode_new(p, N_DICT);
    advance(p);
    while (!p->rc && !op(p, "}")) {
        jnodes_add(p, &n->list, jparse_expression(p, true));
        jparse_expect(p, T_OP, ":");
        jnodes_add(p, &n->list, jparse_expression(p, true));
        if (!op(p, "}"))
            jparse_expect(p, T_OP, ",");
    }
    jparse_expect(p, T_OP, "}");
    return n;
}

static struct jnode *parse_primary(struct jparser *p)
{
    char buf[48];
    if (p->tok->kind == T_NAME)
        return parse_name(p);
    if (p->tok->kind == T_STRING)
        return parse_string(p);
    if (p->tok->kind == T_INT)
        return constant(p, (struct jvalue){ .kind = J_INT, .i = p->tok->i });
    if (p->tok->kind == T_FLOAT)
        return constant(p, (struct jvalue){ .kind = J_FLOAT, .f = p->tok->f });
    if (op(p, "[") || op(p, "{")) {
        bool list = op(p, "[");
        if (!jparse_deeper(p))
            return jnode_new(p, N_CONST);
        struct jnode *n = list ? parse_list(p) : parse_dict(p);
        p->depth--;
        return n;
    }
    if (jparse_skip(p, T_OP, "(")) {
        struct jnode *n = jparse_tuple(p, true, NULL, true);
        jparse_expect(p, T_OP, ")");
        return n;
    }
    jparse_fail(p, p->tok, QS_EFORMAT, "an expression expected, not %s", jtoken_text(p->tok, buf));
    return jnode_new(p, N_CONST);
}

/* What stands between the brackets of an item: an index or a slice. */
static struct jnode *parse_index(struct jparser *p)
{
    struct jnode *first = op(p, ":") ? NULL : jparse_expression(p, true);
    if (!op(p, ":"))
        return first;
    struct jnode *n = jnode_new(p, N_SLICE);
    n->a = first;
    advance(p);
    if (!op(p, ":") && !op(p, "]") && !op(p, ","))
        n->b = jparse_expression(p, true);
    if (jparse_skip(p, T_OP, ":") && !op(p, "]") && !op(p, ","))
        n->c = jparse_expression(p, true);
    return n;
}

static struct jnode *parse_item(struct jparser *p, struct jnode *of)
{
    struct jnode *n = jnode_new(p, N_ITEM), *keys = NULL;
    n->a = of;
    advance(p);
    n->b = op(p, "]") ? jnode_new(p, N_TUPLE) : parse_index(p); /* x[]: the empty tuple, as in Jinja2 */
    while (!p->rc && jparse_skip(p, T_OP, ",")) {
        if (!keys) {
            keys = jnode_new(p, N_TUPLE);
            jnodes_add(p, &keys->list, n->b);
            n->b = keys;
        }
        jnodes_add(p, &keys->list, parse_index(p));
    }
    jparse_expect(p, T_OP, "]");
    return n;
}

static struct jnode *parse_call(struct jparser *p, struct jnode *of)
{
    struct jnode *n = jnode_new(p, N_CALL);
    n->a = of;
    parse_arguments(p, n);
    return n;
}

static struct jnode *parse_postfix(struct jparser *p, struct jnode *n)
{
    for (;;) {
        if (op(p, "[")) {
            n = parse_item(p, n);
        } else if (op(p, "(")) {
            n = parse_call(p, n);
        } else if (op(p, ".")) {
            struct jnode *of = n;
            n = jnode_new(p, N_ATTR);
            n->a = of;
            advance(p);
            if (p->tok->kind == T_INT) {
                n->kind = N_ITEM;
                n->b = constant(p, (struct jvalue){ .kind = J_INT, .i = p->tok->i });
            } else {
                n->name = jparse_name_id(p, p->tok->p, p->tok->n);
                jparse_expect(p, T_NAME, NULL);
            }
        } else {
            return n;
        }
        if (p->rc)
            return n;
    }
}

/* --- filters and tests -------------------------------------------------------------------------------------------- */

/* Inside an `if` an unknown one matters only when it is reached, as in Jinja2: templates ask for what else may be
 * there. */
static const struct jcallable *known(struct jparser *p, const char *kind, const struct jtoken *t, struct jnode *n,
                                     const struct jcallable *c)
{
    char buf[48];
    n->name = jparse_name_id(p, t->p, t->n);
    if (p->ifs > 0)
        return c;
    if (!c)
        jparse_fail(p, t, QS_EUNSUPPORTED, "no %s named %s", kind, jtoken_text(t, buf));
    else if (!c->call)
        jparse_fail(p, t, QS_EUNSUPPORTED, "the %s '%s' is not supported", kind, c->name);
    return c;
}

struct jnode *jparse_filters(struct jparser *p, struct jnode *value, bool inlined)
{
    while (!p->rc && (inlined || op(p, "|"))) {
        if (!inlined)
            advance(p);
        inlined = false;
        struct jnode *n = jnode_new(p, N_FILTER);
        const struct jtoken *t = p->tok;
        jparse_expect(p, T_NAME, NULL);
        n->a = value;
        n->what = p->rc ? NULL : known(p, "filter", t, n, jfilter_find(t->p, t->n));
        if (op(p, "("))
            parse_arguments(p, n);
        value = n;
    }
    return value;
}

static bool operand_follows(const struct jparser *p)
{
    if (p->tok->kind == T_NAME)
        return !name(p, "else") && !name(p, "or") && !name(p, "and");
    return p->tok->kind == T_STRING || p->tok->kind == T_INT || p->tok->kind == T_FLOAT || op(p, "[") || op(p, "{");
}

static struct jnode *parse_test(struct jparser *p, struct jnode *value)
{
    advance(p);
    bool negated = jparse_skip(p, T_NAME, "not");
    struct jnode *n = jnode_new(p, N_TEST);
    const struct jtoken *t = p->tok;
    jparse_expect(p, T_NAME, NULL);
    n->a = value;
    n->what = p->rc ? NULL : known(p, "test", t, n, jtest_find(t->p, t->n));
    if (op(p, "(")) {
        parse_arguments(p, n);
    } else if (operand_follows(p)) {
        if (name(p, "is"))
            jparse_fail(p, p->tok, QS_EFORMAT, "tests cannot be chained with 'is'");
        jnodes_add(p, &n->list, parse_postfix(p, parse_primary(p)));
    }
    if (!negated)
        return n;
    struct jnode *not = jnode_new(p, N_NOT);
    not->a = n;
    return not;
}

static struct jnode *parse_behind(struct jparser *p, struct jnode *n)
{
    while (!p->rc) {
        if (op(p, "|"))
            n = jparse_filters(p, n, false);
        else if (name(p, "is"))
            n = parse_test(p, n);
        else if (op(p, "("))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

static struct jnode *parse_unary(struct jparser *p, bool with_filters)
{
    struct jnode *n;
    if (op(p, "-") || op(p, "+")) {
        n = jnode_new(p, op(p, "-") ? N_NEG : N_POS);
        advance(p);
        if (!jparse_deeper(p))
            return n;
        n->a = parse_unary(p, false);
        p->depth--;
    } else {
        n = parse_primary(p);
    }
    n = parse_postfix(p, n);
    return with_filters ? parse_behind(p, n) : n;
}

/* --- operators ---------------------------------------------------------------------------------------------------- */

static struct jnode *two(struct jparser *p, enum jnode_kind kind, enum jop o, struct jnode *a)
{
    struct jnode *n = jnode_new(p, kind);
    n->op = o;
    n->a = a;
    advance(p);
    return n;
}

static struct jnode *parse_power(struct jparser *p)
{
    struct jnode *n = parse_unary(p, true);
    while (!p->rc && op(p, "**")) {
        n = two(p, N_BINARY, OP_POW, n);
        n->b = parse_unary(p, true);
    }
    return n;
}

static struct jnode *parse_product(struct jparser *p)
{
    static const struct { const char *text; enum jop op; } table[] = {
        { "*", OP_MUL }, { "/", OP_DIV }, { "//", OP_FLOORDIV }, { "%", OP_MOD } };
    struct jnode *n = parse_power(p);
    for (size_t i = 0; !p->rc && i < 4; i++) {
        if (!op(p, table[i].text))
            continue;
        n = two(p, N_BINARY, table[i].op, n);
        n->b = parse_power(p);
        i = (size_t)-1;
    }
    return n;
}

static struct jnode *parse_concat(struct jparser *p)
{
    struct jnode *first = parse_product(p), *n = NULL;
    while (!p->rc && op(p, "~")) {
        if (!n) {
            n = jnode_new(p, N_CONCAT);
            jnodes_add(p, &n->list, first);
        }
        advance(p);
        jnodes_add(p, &n->list, parse_product(p));
    }
    return n ? n : first;
}

static struct jnode *parse_sum(struct jparser *p)
{
    struct jnode *n = parse_concat(p);
    while (!p->rc && (op(p, "+") || op(p, "-"))) {
        n = two(p, N_BINARY, op(p, "+") ? OP_ADD : OP_SUB, n);
        n->b = parse_concat(p);
    }
    return n;
}

static bool comparison(struct jparser *p, enum jop *out)
{
    static const struct { const char *text; enum jop op; } table[] = {
        { "==", OP_EQ }, { "!=", OP_NE }, { "<", OP_LT }, { "<=", OP_LE }, { ">", OP_GT }, { ">=", OP_GE } };
    for (size_t i = 0; i < 6; i++) {
        if (jparse_skip(p, T_OP, table[i].text)) {
            *out = table[i].op;
            return true;
        }
    }
    *out = OP_IN;
    if (jparse_skip(p, T_NAME, "in"))
        return true;
    if (!name(p, "not") || !jtoken_is(p->tok + 1, T_NAME, "in"))
        return false;
    p->tok += 2;
    *out = OP_NOT_IN;
    return true;
}

static struct jnode *parse_compare(struct jparser *p)
{
    struct jnode *first = parse_sum(p), *n = NULL;
    enum jop o;
    while (!p->rc && comparison(p, &o)) {
        if (!n) {
            n = jnode_new(p, N_COMPARE);
            n->a = first;
        }
        struct jnode *operand = jnode_new(p, N_COMPARE);
        operand->op = o;
        operand->a = parse_sum(p);
        jnodes_add(p, &n->list, operand);
    }
    return n ? n : first;
}

static struct jnode *parse_not(struct jparser *p)
{
    if (!name(p, "not"))
        return parse_compare(p);
    struct jnode *n = jnode_new(p, N_NOT);
    advance(p);
    if (!jparse_deeper(p))
        return n;
    n->a = parse_not(p);
    p->depth--;
    return n;
}

static struct jnode *parse_and(struct jparser *p)
{
    struct jnode *n = parse_not(p);
    while (!p->rc && name(p, "and")) {
        n = two(p, N_AND, OP_ADD, n);
        n->b = parse_not(p);
    }
    return n;
}

static struct jnode *parse_or(struct jparser *p)
{
    struct jnode *n = parse_and(p);
    while (!p->rc && name(p, "or")) {
        n = two(p, N_OR, OP_ADD, n);
        n->b = parse_and(p);
    }
    return n;
}

struct jnode *jparse_expression(struct jparser *p, bool with_if)
{
    if (!jparse_deeper(p))
        return jnode_new(p, N_CONST);
    struct jnode *n = parse_or(p);
    while (!p->rc && with_if && name(p, "if")) {
        n = two(p, N_IF_ELSE, OP_ADD, n);
        n->b = parse_or(p);
        if (jparse_skip(p, T_NAME, "else"))
            n->c = jparse_expression(p, true);
    }
    p->depth--;
    return n;
}

/* Whether a tuple without brackets ends here. */
static bool tuple_ends(const struct jparser *p, const char *end_name)
{
    return p->tok->kind == T_PRINT_END || p->tok->kind == T_BLOCK_END || op(p, ")") || (end_name && name(p, end_name));
}

/* One expression, or several with commas between. */
struct jnode *jparse_tuple(struct jparser *p, bool with_if, const char *end_name, bool in_brackets)
{
    char buf[48];
    struct jnode *tuple = jnode_new(p, N_TUPLE), *only = NULL;
    bool comma = false;
    while (!p->rc && !tuple_ends(p, end_name)) {
        only = jparse_expression(p, with_if);
        jnodes_add(p, &tuple->list, only);
        if (!op(p, ","))
            break;
        advance(p);
        comma = true;
    }
    if (comma)
        return tuple;
    if (!only && !in_brackets)
        jparse_fail(p, p->tok, QS_EFORMAT, "an expression expected, not %s", jtoken_text(p->tok, buf));
    return only ? only : tuple;
}

/* --- what can be assigned ----------------------------------------------------------------------------------------- */

static struct jnode *one_target(struct jparser *p, bool with_namespace)
{
    char buf[48];
    if (jparse_skip(p, T_OP, "(")) {
        if (!jparse_deeper(p))
            return jnode_new(p, N_NAME);
        struct jnode *n = jparse_target(p, false, NULL);
        p->depth--;
        jparse_expect(p, T_OP, ")");
        return n;
    }
    const struct jtoken *t = p->tok;
    struct jnode *n = jnode_new(p, N_NAME);
    if (t->kind != T_NAME || name(p, "true") || name(p, "false") || name(p, "none") || name(p, "True") ||
        name(p, "False") || name(p, "None"))
        jparse_fail(p, t, QS_EFORMAT, "%s cannot be assigned", jtoken_text(t, buf));
    n->name = jparse_name_id(p, t->p, t->n);
    p->tok += !p->rc;
    if (with_namespace && jparse_skip(p, T_OP, ".")) {
        struct jnode *of = n;
        n = jnode_new(p, N_NAMESPACE_REF);
        n->a = of;
        n->name = jparse_name_id(p, p->tok->p, p->tok->n);
        jparse_expect(p, T_NAME, NULL);
    }
    return n;
}

struct jnode *jparse_target(struct jparser *p, bool with_namespace, const char *end_name)
{
    struct jnode *tuple = jnode_new(p, N_TUPLE), *only = NULL;
    bool comma = false;
    while (!p->rc && !(only && (tuple_ends(p, end_name) || op(p, "=")))) {
        only = one_target(p, with_namespace);
        jnodes_add(p, &tuple->list, only);
        if (!op(p, ","))
            break;
        advance(p);
        comma = true;
    }
    return comma ? tuple : only ? only : tuple;
}
