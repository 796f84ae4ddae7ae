/* internal.h - what the parts of the template interpreter know of each other; nobody else includes it.
 *
 *   lex.c         characters to tokens; white-space control
 *   parse.c       tokens to a tree of nodes: statements
 *   parse_expr.c  the same: expressions
 *   run.c         statements: output, scopes, loops, macros; the bounds of a run
 *   eval.c        expressions, calls and their arguments
 *   op.c          operators, attributes, items
 *   value.c       values: memory, text form, equality and order
 *   text.c        strings as Python has them
 *   filters.c, lists.c, tests.c, functions.c, methods.c, format.c, json.c: what can be called, in tables by name
 *
 * Errors are sticky: the first one is kept in the run (or the parser), everything after it does nothing and gives
 * none. Only loops have to look.
 */
#ifndef QS_TEXT_JINJA_INTERNAL_H
#define QS_TEXT_JINJA_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"
#include "core/text/jinja/jinja.h"

/* --- memory: released as a whole ---------------------------------------------------------------------------------- */

struct jarena {
    struct jchunk *chunk;
    size_t used, max; /* bytes handed out, and how many may be */
};

void *jarena_get(struct jarena *a, size_t n); /* zeroed, aligned to 16; NULL: memory or the bound is out */
void jarena_free(struct jarena *a);

/* --- values ------------------------------------------------------------------------------------------------------- */

enum jkind {
    J_UNDEFINED, J_NONE, J_BOOL, J_INT, J_FLOAT, J_STR, J_LIST, J_TUPLE, J_DICT, J_RANGE, J_NAMESPACE,
    J_VIEW,      /* dict_keys and the like: a list that prints with a name */
    J_GENERATOR, /* a list that can be walked once */
    J_MACRO, J_FUNCTION, J_METHOD, J_LOOP
};

struct jstr {
    const char *p; /* UTF-8, valid; not terminated */
    size_t n;      /* bytes */
    size_t chars;  /* code points */
};

struct jvalue {
    enum jkind kind;
    bool markup; /* of a string: `safe` or `escape` made it; `+` escapes what is added */
    union {
        bool b;
        int64_t i;
        double f;
        const struct jstr *s;
        struct jlist *list; /* list, tuple, view, generator */
        struct jdict *dict; /* dict, namespace */
        const struct jrange *range;
        const struct jmacro *macro;
        const struct jcallable *function;
        const struct jmethod *method;
        struct jloop *loop;
        const struct jundefined *undefined; /* NULL: nothing more is known */
    };
};

struct jlist {
    struct jvalue *at;
    size_t n, cap;
    size_t walked;    /* generators: items already taken */
    const char *name; /* views: "dict_items" ... */
};

struct jpair { struct jvalue key, value; };
struct jdict { struct jpair *at; size_t n, cap; };
struct jrange { int64_t start, step; size_t n; int64_t stop; };

struct jundefined {
    const char *text; /* why: a whole sentence */
};

/* --- what can be called ------------------------------------------------------------------------------------------- */

enum { J_SLOTS = 6 };

struct jargs {
    const struct jvalue *slot[J_SLOTS]; /* by the order of the names in the table; NULL: not given */
    const struct jvalue *at;            /* all positional ones */
    size_t n;
    const struct jstr *const *key;      /* names and values of the others */
    const struct jvalue *value;
    size_t n_keys;
};

struct jrun;
typedef struct jvalue (*jcall_fn)(struct jrun *r, struct jvalue self, const struct jargs *a);

struct jcallable {
    const char *name;
    jcall_fn call;       /* NULL: refused by name */
    const char *params;  /* names of the slots, a blank between; "*": takes everything in at, key, value */
    unsigned required;   /* so many of the first must be given */
};

/* A jcall_fn in one line: what it gives, of r, self and a. */
#define J_CALL(name, gives)                                                                                            \
    static struct jvalue name(struct jrun *r, struct jvalue self, const struct jargs *a)                               \
    {                                                                                                                  \
        (void)r, (void)self, (void)a;                                                                                  \
        return gives;                                                                                                  \
    }

struct jmethod { struct jvalue self; const struct jcallable *what; };

struct jmacro { const struct jnode *node; struct jscope *scope; };

/* --- the tree ----------------------------------------------------------------------------------------------------- */

enum jnode_kind {
    /* expressions */
    N_CONST, N_NAME, N_LIST, N_TUPLE, N_DICT, N_ATTR, N_ITEM, N_SLICE, N_CALL, N_FILTER, N_TEST, N_NOT, N_NEG, N_POS,
    N_BINARY, N_CONCAT, N_COMPARE, N_AND, N_OR, N_IF_ELSE, N_NAMESPACE_REF,
    /* statements */
    N_DATA, N_PRINT, N_IF, N_FOR, N_SET, N_SET_BLOCK, N_MACRO, N_CALL_BLOCK, N_FILTER_BLOCK, N_WITH, N_BREAK,
    N_CONTINUE, N_GENERATION
};

enum jop { OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_FLOORDIV, OP_MOD, OP_POW, OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_IN,
           OP_NOT_IN };

struct jnodes { struct jnode **at; size_t n, cap; };

struct jnode {
    enum jnode_kind kind;
    enum jop op;                    /* N_BINARY; an operand of N_COMPARE */
    uint32_t line, col;
    int name;                       /* number of a name (of a filter or test: its own); -1 */
    struct jnode *a, *b, *c;
    struct jnodes list;             /* items, operands, body, positional arguments */
    struct jnodes more;             /* else, keyword values, defaults */
    int *keys;                      /* names of the keyword values (more) or parameters */
    size_t n_keys;
    struct jnode *star, *star_star; /* *args, **kwargs of a call */
    const struct jcallable *what;   /* filter, test; NULL: unknown */
    struct jvalue value;            /* N_CONST, N_DATA */
    bool takes_caller, takes_varargs, takes_kwargs; /* N_MACRO, N_CALL_BLOCK: the body speaks of them */
};

struct qs_jinja {
    struct jarena arena;
    struct jnodes body;
    const struct jstr **name; /* every name in it, once */
    size_t n_names, names_cap;
};

/* --- tokens ------------------------------------------------------------------------------------------------------- */

enum jtoken_kind {
    T_EOF, T_DATA, T_BLOCK_BEGIN, T_BLOCK_END, T_PRINT_BEGIN, T_PRINT_END, T_NAME, T_STRING, T_INT, T_FLOAT, T_OP
};

struct jtoken {
    enum jtoken_kind kind;
    uint32_t line, col;
    const char *p; /* data, name or operator as written; string as meant */
    size_t n;
    int64_t i;
    double f;
};

struct jtokens { struct jtoken *at; size_t n, cap; };

/* The tokens of a template, T_EOF last. Text lives in the arena. */
int jinja_lex(const char *source, size_t n, struct jarena *arena, struct jtokens *out, struct qs_err *e);

struct jparser {
    struct qs_jinja *t;
    const struct jtoken *tok; /* the next one */
    struct qs_err *e;
    int rc;
    unsigned depth, loops, ifs;
    struct jnode *macro[32];  /* the macros around the cursor */
    size_t n_macros;
    struct jnode nothing;     /* what a failed parser gives */
};

/* parse_expr.c */
struct jnode *jparse_expression(struct jparser *p, bool with_if);
struct jnode *jparse_tuple(struct jparser *p, bool with_if, const char *end_name, bool in_brackets);
struct jnode *jparse_target(struct jparser *p, bool with_namespace, const char *end_name);
struct jnode *jparse_filters(struct jparser *p, struct jnode *value, bool inlined);
/* parse.c */
struct jnode *jnode_new(struct jparser *p, enum jnode_kind kind);
void jnodes_add(struct jparser *p, struct jnodes *l, struct jnode *n);
int jparse_name_id(struct jparser *p, const char *s, size_t n);
void jparse_keys_add(struct jparser *p, struct jnode *n, int id);
int jparse_fail(struct jparser *p, const struct jtoken *at, enum qs_code code, const char *fmt, ...) QS_PRINTF(4, 5);
bool jtoken_is(const struct jtoken *t, enum jtoken_kind kind, const char *text);
bool jparse_skip(struct jparser *p, enum jtoken_kind kind, const char *text);
void jparse_expect(struct jparser *p, enum jtoken_kind kind, const char *text);
bool jparse_deeper(struct jparser *p);
const char *jtoken_text(const struct jtoken *t, char buf[48]);

/* --- a run -------------------------------------------------------------------------------------------------------- */

struct jbinding { int name; struct jvalue value; };
struct jscope {
    struct jscope *up;
    struct jbinding *at; /* the outermost has one slot for every name, by number */
    size_t n, cap;
};

struct jloop {
    const struct jnode *node;
    struct jscope *scope;
    struct jlist *all;    /* what is walked */
    size_t next_raw;      /* of those: looked at so far */
    struct jlist taken;   /* passed the filter */
    size_t index;         /* from 0 */
    size_t depth;
    struct jvalue last_changed;
    bool has_changed;
};

enum jflow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

struct jrun {
    const struct qs_jinja *t;
    struct jarena arena;
    const struct jnode *at; /* where it is: for messages */
    struct jscope *scope, *top;
    struct qs_str *out;
    struct qs_err *e;
    int rc;
    unsigned depth;
    uint64_t steps;
    size_t macros; /* made so far: each keeps a scope */
    enum jflow flow;
    int64_t now;
    struct jlist no_list;
    struct jdict no_dict;
    int name_loop, name_caller, name_varargs, name_kwargs;
};

/* Records the first failure, with line and column. */
void jfail(struct jrun *r, enum qs_code code, const char *fmt, ...) QS_PRINTF(3, 4);
bool jwork(struct jrun *r, size_t bytes); /* counts a step and the bytes it touches; false: stop */
bool jdeeper(struct jrun *r);             /* false: too deep; otherwise r->depth-- later */
/* Before n bytes are added to a text: counts them as work; false: the text would pass its bound, or the run has failed.
 * who: whose text it is, for the message ("replace"). */
bool jroom(struct jrun *r, const struct qs_str *out, size_t n, const char *who);

/* value.c */
void *jget(struct jrun *r, size_t n);
struct jvalue jnone(void);
struct jvalue jbool(bool b);
struct jvalue jint(int64_t i);
struct jvalue jfloat(double f);
struct jvalue jundefined_of(struct jrun *r, const char *fmt, ...) QS_PRINTF(2, 3);
struct jvalue jstrn(struct jrun *r, const char *p, size_t n);     /* copies */
struct jvalue jstr_share(struct jrun *r, const char *p, size_t n); /* keeps p */
struct jvalue jstrz(struct jrun *r, const char *s);
struct jvalue jstr_take(struct jrun *r, struct qs_str *s);        /* copies and frees s */
struct jlist *jlist_new(struct jrun *r);
void jlist_push(struct jrun *r, struct jlist *l, struct jvalue v);
struct jvalue jlist_value(enum jkind kind, struct jlist *l);
struct jdict *jdict_new(struct jrun *r);
const struct jvalue *jdict_get(struct jrun *r, const struct jdict *d, struct jvalue key);
const struct jvalue *jdict_getn(struct jrun *r, const struct jdict *d, const char *key, size_t n);
void jdict_set(struct jrun *r, struct jdict *d, struct jvalue key, struct jvalue v);
struct jvalue jdict_value(struct jdict *d);
bool jtruth(struct jvalue v);
bool jequal(struct jrun *r, struct jvalue a, struct jvalue b);
int jcompare(struct jrun *r, struct jvalue a, struct jvalue b, const char *sign); /* -1, 0, 1; 2: not ordered (NaN) */
const char *jtype_name(struct jvalue v); /* "str", "int", "dict" ... as Python says */
bool jis_number(struct jvalue v);        /* bool, int, float */
double jnumber(struct jvalue v);
void jwrite(struct jrun *r, struct qs_str *out, struct jvalue v); /* str(v) */
void jrepr(struct jrun *r, struct qs_str *out, struct jvalue v);
struct jvalue jto_str(struct jrun *r, struct jvalue v);
struct jlist *jiterate(struct jrun *r, struct jvalue v);          /* the items; fails when there is no walking it */
struct jvalue jfrom_json(struct jrun *r, const struct qs_json *v);
void jfloat_text(struct qs_str *out, double f); /* repr of Python */
bool jfloat_read(const char *p, size_t n, double *out);
bool jidentical(struct jvalue a, struct jvalue b);
const struct jvalue *jgiven(const struct jvalue *v);               /* an argument; NULL: left out, or none */
int64_t jwhole(struct jrun *r, const struct jvalue *v, int64_t otherwise); /* a whole number; otherwise: left out */

/* text.c: strings by code points */
bool jtext_space(uint32_t cp);
size_t jtext_offset(const struct jstr *s, size_t chars); /* bytes of the first so many code points */
/* chars NULL: white space, and r may be NULL. */
void jtext_strip(struct jrun *r, const char **p, size_t *n, const struct jstr *chars, bool left, bool right);
void jtext_case(struct qs_str *out, const char *p, size_t n, int how); /* 0 lower, 1 upper, 2 capitalize, 3 title */
struct jlist *jtext_lines(struct jrun *r, const struct jstr *s, bool keep);
void jtext_escape(struct jrun *r, struct qs_str *out, const char *p, size_t n); /* HTML */
size_t jtext_find(const char *p, size_t n, const char *what, size_t m); /* n + 1: not there */
void jtext_replace(struct jrun *r, struct qs_str *out, const struct jstr *s, const struct jstr *old,
                   const struct jstr *new_, int64_t count);
size_t jtext_slice_count(struct jrun *r, size_t n, const struct jvalue *from, const struct jvalue *to,
                         const struct jvalue *step, int64_t *first, int64_t *by);

/* op.c */
struct jvalue jbinary(struct jrun *r, enum jop op, struct jvalue a, struct jvalue b);
bool jcompared(struct jrun *r, enum jop op, struct jvalue a, struct jvalue b);
struct jvalue jattribute(struct jrun *r, struct jvalue of, const struct jstr *name);
struct jvalue jitem(struct jrun *r, struct jvalue of, struct jvalue key);
struct jvalue jslice(struct jrun *r, struct jvalue of, const struct jvalue *from, const struct jvalue *to,
                     const struct jvalue *step);
struct jvalue jfilter_path(struct jrun *r, struct jvalue of, struct jvalue path); /* "a.b.0" of filters */

/* eval.c */
struct jvalue jeval(struct jrun *r, const struct jnode *n);
struct jvalue jeval_call(struct jrun *r, const struct jnode *n, const struct jvalue *caller);
struct jvalue jcall_builtin(struct jrun *r, const struct jcallable *c, struct jvalue self, const struct jargs *a);
struct jvalue jfilter_chain(struct jrun *r, const struct jnode *n, struct jvalue innermost);

/* run.c */
struct jvalue jmacro_call(struct jrun *r, const struct jmacro *m, const struct jargs *a);
struct jvalue jlookup(struct jrun *r, int name);
struct jvalue jloop_attribute(struct jrun *r, struct jloop *l, const struct jstr *name);

/* tables: a row by name, or NULL */
const struct jcallable *jfilter_find(const char *p, size_t n);   /* filters.c */
const struct jcallable *jlist_filter_find(const char *p, size_t n); /* lists.c */
const struct jcallable *jtest_find(const char *p, size_t n);     /* tests.c */
const struct jcallable *jfunction_find(const char *p, size_t n); /* functions.c */
const struct jcallable *jmethod_find(enum jkind kind, const char *p, size_t n); /* methods.c */
const struct jcallable *jcallable_in(const struct jcallable *rows, size_t n_rows, const char *p, size_t n);
struct jvalue jformat_percent(struct jrun *r, const struct jstr *format, struct jvalue args); /* format.c */
struct jvalue jformat_braces(struct jrun *r, struct jvalue self, const struct jargs *a);
struct jvalue jfilter_tojson(struct jrun *r, struct jvalue self, const struct jargs *a);      /* json.c */

#endif
