/* opt.c - parsing of a command line against option tables.
 *
 * Owns the array of values found; every text points into argv, which outlives it. Knows nothing about verbs and prints
 * nothing. Refuses values that an option's kind cannot have. One thread.
 */
#include "src/opt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/near.h"

struct parser {
    const struct qs_opt *const *tables;
    size_t n_tables;
    int argc, i;
    char *const *argv;
    struct qs_args *out;
    struct qs_err *e;
};

static const struct qs_opt *find_name(const struct parser *p, const char *name, size_t n)
{
    for (size_t t = 0; t < p->n_tables; t++)
        for (const struct qs_opt *o = p->tables[t]; o && o->name; o++)
            if (strlen(o->name) == n && memcmp(o->name, name, n) == 0)
                return o;
    return NULL;
}

static const struct qs_opt *find_letter(const struct parser *p, char letter)
{
    for (size_t t = 0; t < p->n_tables; t++)
        for (const struct qs_opt *o = p->tables[t]; o && o->name; o++)
            if (o->letter == letter)
                return o;
    return NULL;
}

/* ---- slips of the finger ------------------------------------------------------------------------------------ */

void qs_opt_words(struct qs_str *out, const struct qs_opt *o)
{
    for (size_t i = 0; o->words && o->words(i); i++)
        qs_str_addf(out, "%s%s", i ? ", " : ": ", o->words(i));
}

const char *qs_did_you_mean(const char *word, const char *const *words)
{
    struct qs_near near;
    qs_near_start(&near, word);
    for (; *words; words++)
        qs_near_try(&near, *words);
    return near.n ? near.best[0] : NULL;
}

#define WORD_MAX 64
#define SUGGEST_MAX 128

static int fail_unknown(const struct parser *p, const char *name, size_t n)
{
    const char *words[SUGGEST_MAX + 1];
    size_t k = 0;
    for (size_t t = 0; t < p->n_tables; t++)
        for (const struct qs_opt *o = p->tables[t]; o && o->name && k < SUGGEST_MAX; o++)
            words[k++] = o->name;
    words[k] = NULL;
    char word[WORD_MAX + 1];
    size_t len = n < WORD_MAX ? n : WORD_MAX;
    memcpy(word, name, len);
    word[len] = '\0';
    const char *near = qs_did_you_mean(word, words);
    if (near)
        return qs_fail(p->e, QS_EINVAL, "unknown option --%.*s; did you mean --%s?", (int)n, name, near);
    return qs_fail(p->e, QS_EINVAL, "unknown option --%.*s; --help lists the options", (int)n, name);
}

/* ---- values ------------------------------------------------------------------------------------------------- */

static int check_number(const struct qs_opt *o, const char *text, uint64_t *num, struct qs_err *e)
{
    char *end = NULL;
    errno = 0;
    unsigned long long v = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    uint64_t max = o->max ? o->max : UINT64_MAX;
    if (!end || *end || errno || v < o->min || v > max) {
        if (o->max)
            return qs_fail(e, QS_EINVAL, "--%s takes a whole number from %llu to %llu, not \"%s\"", o->name,
                           (unsigned long long)o->min, (unsigned long long)o->max, text);
        return qs_fail(e, QS_EINVAL, "--%s takes a whole number of at least %llu, not \"%s\"", o->name,
                       (unsigned long long)o->min, text);
    }
    *num = v;
    return QS_OK;
}

static int check_size(const struct qs_opt *o, const char *text, uint64_t *num, struct qs_err *e)
{
    unsigned long long bytes = 0;
    char limit[32];
    if (qs_parse_bytes(text, &bytes, e))
        return qs_err_prefix(e, "--%s", o->name);
    if (bytes < o->min)
        return qs_fail(e, QS_EINVAL, "--%s takes a size of at least %s, not \"%s\"", o->name,
                       qs_fmt_bytes(limit, sizeof limit, o->min), text);
    if (o->max && bytes > o->max)
        return qs_fail(e, QS_EINVAL, "--%s takes a size of at most %s, not \"%s\"", o->name,
                       qs_fmt_bytes(limit, sizeof limit, o->max), text);
    *num = bytes;
    return QS_OK;
}

static int check_choice(const struct qs_opt *o, const char *text, struct qs_err *e)
{
    size_t n = strlen(text);
    for (const char *c = o->choices; *c; ) {
        size_t len = strcspn(c, " ");
        if (len == n && memcmp(c, text, n) == 0)
            return QS_OK;
        c += len + (c[len] == ' ');
    }
    return qs_fail(e, QS_EINVAL, "--%s takes one of: %s; not \"%s\"", o->name, o->choices, text);
}

static int add_value(struct parser *p, const struct qs_opt *o, const char *text)
{
    struct qs_opt_value v = { o, text, 0 };
    int rc = QS_OK;
    if (o->kind == QS_OPT_NUM)
        rc = check_number(o, text, &v.num, p->e);
    else if (o->kind == QS_OPT_CHOICE)
        rc = check_choice(o, text, p->e);
    else if (o->kind == QS_OPT_SIZE)
        rc = check_size(o, text, &v.num, p->e);
    else if (o->kind != QS_OPT_FLAG && !*text && o->kind != QS_OPT_STR)
        rc = qs_fail(p->e, QS_EINVAL, "--%s takes %s, not an empty word", o->name, o->arg);
    if (rc == QS_OK)
        p->out->value[p->out->n_values++] = v;
    return rc;
}

/* The value of an option: what is attached to it, or the next word. */
static int take_value(struct parser *p, const struct qs_opt *o, const char *attached)
{
    if (o->kind == QS_OPT_FLAG)
        return attached ? qs_fail(p->e, QS_EINVAL, "--%s takes no value", o->name) : add_value(p, o, NULL);
    if (attached)
        return add_value(p, o, attached);
    if (p->i >= p->argc)
        return qs_fail(p->e, QS_EINVAL, "--%s needs a value: --%s %s", o->name, o->name, o->arg ? o->arg : "VALUE");
    return add_value(p, o, p->argv[p->i++]);
}

static int parse_long(struct parser *p, const char *word)
{
    size_t n = strcspn(word, "=");
    const struct qs_opt *o = find_name(p, word, n);
    if (!o)
        return fail_unknown(p, word, n);
    return take_value(p, o, word[n] ? word + n + 1 : NULL);
}

static int parse_letters(struct parser *p, const char *word)
{
    while (*word) {
        const struct qs_opt *o = find_letter(p, *word);
        if (!o)
            return qs_fail(p->e, QS_EINVAL, "unknown option -%c; --help lists the options", *word);
        word++;
        if (o->kind != QS_OPT_FLAG)
            return take_value(p, o, *word == '=' ? word + 1 : *word ? word : NULL);
        int rc = add_value(p, o, NULL);
        if (rc)
            return rc;
    }
    return QS_OK;
}

int qs_args_parse(const struct qs_opt *const *tables, size_t n_tables, int argc, char *const *argv, bool stop,
                  struct qs_args *out, int *used, struct qs_err *e)
{
    struct parser p = { tables, n_tables, argc, 0, argv, out, e };
    size_t room = 1; /* letters may hide several options in one word */
    for (int i = 0; i < argc; i++)
        room += argv[i][0] == '-' ? strlen(argv[i]) + 1 : 1;
    *out = (struct qs_args){ 0 };
    out->value = qs_calloc(room, sizeof *out->value);
    out->arg = qs_calloc((size_t)argc + 1, sizeof *out->arg);
    if (!out->value || !out->arg)
        return qs_fail_mem(e, room * sizeof *out->value, "the command line");
    int rc = QS_OK;
    bool plain = false; /* after "--" */
    while (rc == QS_OK && p.i < argc) {
        const char *word = argv[p.i];
        bool option = !plain && word[0] == '-' && word[1];
        if (!option && stop)
            break;
        p.i++;
        if (!option)
            out->arg[out->n_args++] = word;
        else if (word[1] != '-')
            rc = parse_letters(&p, word + 1);
        else if (word[2])
            rc = parse_long(&p, word + 2);
        else
            plain = true;
    }
    if (used)
        *used = p.i;
    return rc;
}

void qs_args_free(struct qs_args *a)
{
    qs_free(a->value);
    qs_free(a->arg);
    *a = (struct qs_args){ 0 };
}

const struct qs_opt_value *qs_args_find(const struct qs_args *a, const char *name)
{
    for (size_t i = a->n_values; i-- > 0; )
        if (strcmp(a->value[i].opt->name, name) == 0)
            return &a->value[i];
    return NULL;
}

const struct qs_opt_value *qs_args_nth(const struct qs_args *a, const char *name, size_t i)
{
    for (size_t k = 0; k < a->n_values; k++)
        if (strcmp(a->value[k].opt->name, name) == 0 && i-- == 0)
            return &a->value[k];
    return NULL;
}
