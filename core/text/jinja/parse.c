/* parse.c - tokens to a tree: statements and what holds the tree together.
 *
 * Owns the grammar of statements as Jinja2 3.1 has it, and the compiled template. Refuses what is not supported by
 * name. Expressions are in parse_expr.c. Nesting is bounded here, so that nothing that walks the tree has to
 * be.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/text/jinja/internal.h"

#define COMPILED_MAX ((size_t)256 << 20)

int jparse_fail(struct jparser *p, const struct jtoken *at, enum qs_code code, const char *fmt, ...)
{
    if (p->rc)
        return p->rc;
    char text[QS_ERR_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    p->rc = qs_fail(p->e, code, "%s (line %u, column %u)", text, at->line, at->col);
    while (p->tok->kind != T_EOF) /* nothing more is read */
        p->tok++;
    return p->rc;
}

const char *jtoken_text(const struct jtoken *t, char buf[48])
{
    static const char *const kind[] = { [T_EOF] = "the end of the template", [T_DATA] = "text",
        [T_BLOCK_BEGIN] = "{%", [T_BLOCK_END] = "%}", [T_PRINT_BEGIN] = "{{", [T_PRINT_END] = "}}",
        [T_STRING] = "a string" };
    if (t->kind < T_NAME || t->kind == T_STRING)
        return kind[t->kind];
    snprintf(buf, 48, "'%.*s'", t->n < 40 ? (int)t->n : 40, t->p);
    return buf;
}

bool jtoken_is(const struct jtoken *t, enum jtoken_kind kind, const char *text)
{
    return t->kind == kind && (!text || (t->n == strlen(text) && memcmp(t->p, text, t->n) == 0));
}

bool jparse_skip(struct jparser *p, enum jtoken_kind kind, const char *text)
{
    if (!jtoken_is(p->tok, kind, text))
        return false;
    p->tok++;
    return true;
}

void jparse_expect(struct jparser *p, enum jtoken_kind kind, const char *text)
{
    static const char *const want[] = { [T_BLOCK_END] = "%}", [T_PRINT_END] = "}}", [T_NAME] = "a name" };
    char buf[48];
    if (!jparse_skip(p, kind, text))
        jparse_fail(p, p->tok, QS_EFORMAT, "%s expected, not %s", text ? text : want[kind], jtoken_text(p->tok, buf));
}

bool jparse_deeper(struct jparser *p)
{
    if (p->depth >= QS_JINJA_NESTING_MAX) {
        jparse_fail(p, p->tok, QS_ELIMIT, "the template is nested more than %d levels deep", QS_JINJA_NESTING_MAX);
        return false;
    }
    p->depth++;
    return true;
}

static void *get(struct jparser *p, size_t n)
{
    void *m = jarena_get(&p->t->arena, n);
    if (!m)
        jparse_fail(p, p->tok, QS_ENOMEM, "out of memory for a template");
    return m;
}

/* After a failure of memory all nodes are one that nobody reads. */
struct jnode *jnode_new(struct jparser *p, enum jnode_kind kind)
{
    struct jnode *n = p->rc ? NULL : get(p, sizeof *n);
    if (!n)
        return &p->nothing;
    n->kind = kind;
    n->line = p->tok->line;
    n->col = p->tok->col;
    n->name = -1;
    return n;
}

/* Room for one more item in the arena: the array doubles. */
static bool room(struct jparser *p, void *array, size_t n, size_t *cap, size_t size)
{
    void *old, *more;
    if (n < *cap)
        return true;
    size_t want = *cap ? *cap * 2 : 4;
    if (p->rc || !(more = get(p, want * size)))
        return false;
    memcpy(&old, array, sizeof old);
    if (n)
        memcpy(more, old, n * size);
    memcpy(array, &more, sizeof more);
    *cap = want;
    return true;
}

void jnodes_add(struct jparser *p, struct jnodes *l, struct jnode *n)
{
    if (!p->rc && room(p, &l->at, l->n, &l->cap, sizeof *l->at))
        l->at[l->n++] = n;
}

int jparse_name_id(struct jparser *p, const char *s, size_t n)
{
    struct qs_jinja *t = p->t;
    for (size_t i = 0; i < t->n_names; i++)
        if (t->name[i]->n == n && memcmp(t->name[i]->p, s, n) == 0)
            return (int)i;
    struct jstr *name = p->rc ? NULL : get(p, sizeof *name);
    if (!name || !room(p, &t->name, t->n_names, &t->names_cap, sizeof *t->name))
        return 0;
    *name = (struct jstr){ s, n, 0 };
    for (size_t i = 0; i < n; i++)
        name->chars += ((unsigned char)s[i] & 0xC0) != 0x80;
    t->name[t->n_names] = name;
    return (int)t->n_names++;
}

void jparse_keys_add(struct jparser *p, struct jnode *n, int id)
{
    size_t cap = n->n_keys < 4 ? 4 : n->n_keys;
    if (n->n_keys == 0) {
        n->keys = p->rc ? NULL : get(p, cap * sizeof *n->keys);
    } else if (n->n_keys >= 4 && (n->n_keys & (n->n_keys - 1)) == 0) { /* full at 4, 8, 16 ... */
        int *more = p->rc ? NULL : get(p, 2 * n->n_keys * sizeof *more);
        if (more)
            memcpy(more, n->keys, n->n_keys * sizeof *more);
        n->keys = more;
    }
    if (n->keys && !p->rc)
        n->keys[n->n_keys++] = id;
}

/* --- statements --------------------------------------------------------------------------------------------------- */

static void parse_body(struct jparser *p, struct jnodes *body, const char *const *ends);

/* The body of a statement up to one of the names (NULL ends the list); the tokens "{%" and the name are taken. Returns
 * which one it was. */
static int body_until(struct jparser *p, struct jnodes *body, const struct jtoken *tag, const char *const *ends)
{
    jparse_skip(p, T_OP, ":");
    jparse_expect(p, T_BLOCK_END, NULL);
    if (jparse_deeper(p)) {
        parse_body(p, body, ends);
        p->depth--;
    }
    for (int i = 0; ends[i]; i++)
        if (jparse_skip(p, T_NAME, ends[i]))
            return i;
    jparse_fail(p, tag, QS_EFORMAT, "'%.*s' is not closed: {%% %s %%} is missing", (int)tag->n, tag->p, ends[0]);
    return 0;
}

static struct jnode *parse_if(struct jparser *p, const struct jtoken *tag)
{
    static const char *const ends[] = { "endif", "elif", "else", NULL }, *const last[] = { "endif", NULL };
    struct jnode *n = jnode_new(p, N_IF);
    p->ifs++;
    for (int end = 1; end == 1 && !p->rc;) {
        struct jnode *branch = jnode_new(p, N_IF);
        branch->a = jparse_tuple(p, false, NULL, false);
        end = body_until(p, &branch->list, tag, ends);
        jnodes_add(p, &n->list, branch);
        if (end == 2)
            body_until(p, &n->more, tag, last);
    }
    p->ifs--;
    return n;
}

static struct jnode *parse_for(struct jparser *p, const struct jtoken *tag)
{
    static const char *const ends[] = { "endfor", "else", NULL };
    struct jnode *n = jnode_new(p, N_FOR);
    n->a = jparse_target(p, false, "in");
    jparse_expect(p, T_NAME, "in");
    n->b = jparse_tuple(p, false, "recursive", false);
    if (jparse_skip(p, T_NAME, "if"))
        n->c = jparse_expression(p, true);
    if (jtoken_is(p->tok, T_NAME, "recursive"))
        jparse_fail(p, p->tok, QS_EUNSUPPORTED, "recursive loops are not supported");
    p->loops++;
    int end = body_until(p, &n->list, tag, ends);
    p->loops--;
    if (end == 1)
        body_until(p, &n->more, tag, (const char *const[]){ "endfor", NULL });
    return n;
}

static struct jnode *parse_set(struct jparser *p, const struct jtoken *tag)
{
    struct jnode *n = jnode_new(p, N_SET);
    n->a = jparse_target(p, true, NULL);
    if (jparse_skip(p, T_OP, "=")) {
        n->b = jparse_tuple(p, true, NULL, false);
        return n;
    }
    n->kind = N_SET_BLOCK;
    n->b = jparse_filters(p, NULL, false);
    body_until(p, &n->list, tag, (const char *const[]){ "endset", NULL });
    return n;
}

/* Parameters with defaults: keys, and more (as many as have a default, the last ones). */
static void parse_parameters(struct jparser *p, struct jnode *n)
{
    jparse_expect(p, T_OP, "(");
    while (!p->rc && !jtoken_is(p->tok, T_OP, ")")) {
        if (n->n_keys)
            jparse_expect(p, T_OP, ",");
        const struct jtoken *name = p->tok;
        jparse_expect(p, T_NAME, NULL);
        jparse_keys_add(p, n, jparse_name_id(p, name->p, name->n));
        if (jparse_skip(p, T_OP, "="))
            jnodes_add(p, &n->more, jparse_expression(p, true));
        else if (n->more.n)
            jparse_fail(p, name, QS_EFORMAT, "a parameter without default follows one with a default");
    }
    jparse_expect(p, T_OP, ")");
}

/* The body of a macro or call block: names it speaks of are marked on it while it is read. */
static void macro_body(struct jparser *p, struct jnode *n, const struct jtoken *tag, const char *end)
{
    unsigned loops = p->loops;
    if (p->n_macros == sizeof p->macro / sizeof *p->macro) {
        jparse_fail(p, tag, QS_ELIMIT, "macros are nested too deeply");
        return;
    }
    p->loops = 0; /* break does not leave a macro */
    p->macro[p->n_macros++] = n;
    body_until(p, &n->list, tag, (const char *const[]){ end, NULL });
    p->n_macros--;
    p->loops = loops;
}

static struct jnode *parse_macro(struct jparser *p, const struct jtoken *tag)
{
    struct jnode *n = jnode_new(p, N_MACRO);
    const struct jtoken *name = p->tok;
    jparse_expect(p, T_NAME, NULL);
    n->name = jparse_name_id(p, name->p, name->n);
    parse_parameters(p, n);
    macro_body(p, n, tag, "endmacro");
    return n;
}

static struct jnode *parse_call(struct jparser *p, const struct jtoken *tag)
{
    struct jnode *n = jnode_new(p, N_CALL_BLOCK);
    if (jtoken_is(p->tok, T_OP, "("))
        parse_parameters(p, n);
    const struct jtoken *at = p->tok;
    n->a = jparse_expression(p, true);
    if (n->a->kind != N_CALL)
        jparse_fail(p, at, QS_EFORMAT, "'call' needs a call of a macro");
    macro_body(p, n, tag, "endcall");
    return n;
}

static struct jnode *parse_filter_block(struct jparser *p, const struct jtoken *tag)
{
    struct jnode *n = jnode_new(p, N_FILTER_BLOCK);
    n->b = jparse_filters(p, NULL, true);
    body_until(p, &n->list, tag, (const char *const[]){ "endfilter", NULL });
    return n;
}

static struct jnode *parse_with(struct jparser *p, const struct jtoken *tag)
{
    struct jnode *n = jnode_new(p, N_WITH);
    struct jnodes targets = { 0 };
    while (!p->rc && p->tok->kind != T_BLOCK_END && !jtoken_is(p->tok, T_OP, ":")) {
        if (targets.n)
            jparse_expect(p, T_OP, ",");
        struct jnode *pair = jnode_new(p, N_SET);
        pair->a = jparse_target(p, false, NULL);
        jparse_expect(p, T_OP, "=");
        pair->b = jparse_expression(p, true);
        jnodes_add(p, &targets, pair);
    }
    n->more = targets;
    body_until(p, &n->list, tag, (const char *const[]){ "endwith", NULL });
    return n;
}

static struct jnode *parse_print(struct jparser *p, const struct jtoken *tag)
{
    struct jnode *n = jnode_new(p, N_PRINT);
    (void)tag;
    while (!p->rc && p->tok->kind != T_BLOCK_END) {
        if (n->list.n)
            jparse_expect(p, T_OP, ",");
        jnodes_add(p, &n->list, jparse_expression(p, true));
    }
    return n;
}

static struct jnode *parse_control(struct jparser *p, const struct jtoken *tag)
{
    if (p->loops == 0)
        jparse_fail(p, tag, QS_EFORMAT, "'%.*s' outside of a loop", (int)tag->n, tag->p);
    return jnode_new(p, tag->p[0] == 'b' ? N_BREAK : N_CONTINUE);
}

static struct jnode *parse_generation(struct jparser *p, const struct jtoken *tag)
{
    struct jnode *n = jnode_new(p, N_GENERATION);
    unsigned loops = p->loops;
    p->loops = 0;
    body_until(p, &n->list, tag, (const char *const[]){ "endgeneration", NULL });
    p->loops = loops;
    return n;
}

static const struct statement {
    const char *name;
    struct jnode *(*parse)(struct jparser *p, const struct jtoken *tag); /* NULL: refused by name */
} statements[] = {
    { "if", parse_if },         { "for", parse_for },     { "set", parse_set },
    { "macro", parse_macro },   { "call", parse_call },   { "filter", parse_filter_block },
    { "with", parse_with },     { "print", parse_print }, { "break", parse_control },
    { "continue", parse_control }, { "generation", parse_generation },
    { "include", NULL }, { "import", NULL }, { "from", NULL }, { "extends", NULL }, { "block", NULL }, { "do", NULL },
    { "autoescape", NULL }, { "trans", NULL }, { "debug", NULL },
};

static struct jnode *parse_statement(struct jparser *p)
{
    const struct jtoken *tag = p->tok;
    char buf[48];
    if (tag->kind != T_NAME) {
        jparse_fail(p, tag, QS_EFORMAT, "a statement expected, not %s", jtoken_text(tag, buf));
        return jnode_new(p, N_PRINT);
    }
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (!jtoken_is(tag, T_NAME, statements[i].name))
            continue;
        if (!statements[i].parse) {
            jparse_fail(p, tag, QS_EUNSUPPORTED, "the statement '%s' is not supported in chat templates",
                        statements[i].name);
            break;
        }
        p->tok++;
        struct jnode *n = statements[i].parse(p, tag);
        n->line = tag->line;
        n->col = tag->col;
        return n;
    }
    jparse_fail(p, tag, QS_EFORMAT, "the statement %s is unknown or out of place", jtoken_text(tag, buf));
    return jnode_new(p, N_PRINT);
}

/* Stops at "{%" and one of the names: the name is the next token then. */
static void parse_body(struct jparser *p, struct jnodes *body, const char *const *ends)
{
    while (!p->rc && p->tok->kind != T_EOF) {
        const struct jtoken *t = p->tok;
        if (t->kind == T_DATA) {
            struct jnode *n = jnode_new(p, N_DATA);
            struct jstr *s = p->rc ? NULL : get(p, sizeof *s);
            if (!s)
                return;
            *s = (struct jstr){ t->p, t->n, 0 };
            n->value = (struct jvalue){ .kind = J_STR, .s = s };
            jnodes_add(p, body, n);
            p->tok += !p->rc;
            continue;
        }
        p->tok++;
        if (t->kind == T_PRINT_BEGIN) {
            struct jnode *n = jnode_new(p, N_PRINT);
            jnodes_add(p, &n->list, jparse_tuple(p, true, NULL, false));
            jparse_expect(p, T_PRINT_END, NULL);
            jnodes_add(p, body, n);
        } else { /* T_BLOCK_BEGIN: the lexer closes what it opens */
            for (int i = 0; ends && ends[i]; i++)
                if (jtoken_is(p->tok, T_NAME, ends[i]))
                    return;
            jnodes_add(p, body, parse_statement(p));
            jparse_expect(p, T_BLOCK_END, NULL);
        }
    }
}

int qs_jinja_compile(const char *source, size_t n, struct qs_jinja **out, struct qs_err *e)
{
    *out = NULL;
    if (n > QS_JINJA_SOURCE_MAX)
        return qs_fail(e, QS_ELIMIT, "a template of %zu bytes: more than %d are not taken", n, QS_JINJA_SOURCE_MAX);
    struct qs_jinja *t = qs_calloc(1, sizeof *t);
    struct jtokens tokens = { 0 };
    if (!t)
        return qs_fail_mem(e, sizeof *t, "a template");
    t->arena.max = COMPILED_MAX;
    int rc = jinja_lex(source, n, &t->arena, &tokens, e);
    if (!rc) {
        struct jparser p = { .t = t, .tok = tokens.at, .e = e };
        parse_body(&p, &t->body, NULL);
        rc = p.rc;
    }
    qs_free(tokens.at);
    if (rc)
        qs_jinja_free(t);
    else
        *out = t;
    return rc;
}

void qs_jinja_free(struct qs_jinja *t)
{
    if (!t)
        return;
    jarena_free(&t->arena);
    qs_free(t);
}
