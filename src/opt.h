/* opt.h - options of a command line, described once.
 *
 * A table of `struct qs_opt` (ended by one without a name) is the single source of parsing, --help, the manual page and
 * the shell completions. Values are checked while parsing as far as their kind allows; names of tensor types and
 * presets are checked by whoever uses them.
 *
 *     static const struct qs_opt options[] = {
 *         { .name = "type", .letter = 't', .kind = QS_OPT_PRESET, .arg = "TYPE", .help = "type or preset to write" },
 *         { .name = "force", .letter = 'f', .help = "overwrite an existing file" },
 *         { .name = "split", .kind = QS_OPT_SIZE, .arg = "SIZE", .help = "parts of at most SIZE (4GiB, 800MiB)" },
 *         { .name = "sort", .kind = QS_OPT_STR, .arg = "KEY", .help = "sort by a column" },
 *         { .name = "set", .many = true, .kind = QS_OPT_STR, .arg = "KEY=TYPE:VALUE", .help = "replace metadata" },
 *         { .name = NULL }
 *     };
 *
 * Understood: --name VALUE, --name=VALUE, -n VALUE, -nVALUE, -abc (flags), "--" (the rest are arguments), "-" (an
 * argument). Of an option that is not `many` the last one counts.
 */
#ifndef QS_SRC_OPT_H
#define QS_SRC_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

enum qs_opt_kind {
    QS_OPT_FLAG,   /* takes no value */
    QS_OPT_STR,    /* any text */
    QS_OPT_NUM,    /* whole number in [min, max] (max 0: no upper bound) */
    QS_OPT_SIZE,   /* bytes: 4GiB, 800 MiB, 1024; in [min, max] likewise */
    QS_OPT_CHOICE, /* one of the words in `choices`, separated by blanks */
    QS_OPT_FILE,   /* a file name (completed as such) */
    QS_OPT_DIR,    /* a folder */
    QS_OPT_TYPE,   /* name of a tensor type */
    QS_OPT_PRESET, /* name of a preset */
};

struct qs_opt {
    const char *name;     /* without "--" */
    char letter;          /* 0: none */
    bool many;            /* may be given more than once, all values count */
    enum qs_opt_kind kind;
    const char *arg;      /* name of the value in help texts; NULL for flags */
    const char *choices;  /* QS_OPT_CHOICE */
    const char *(*words)(size_t i); /* QS_OPT_STR: names that it may be, for help texts; NULL past the last */
    uint64_t min, max;    /* QS_OPT_NUM, QS_OPT_SIZE */
    const char *help;     /* one line, lower case, no full stop */
};

struct qs_opt_value {
    const struct qs_opt *opt;
    const char *text;     /* points into argv; NULL for flags */
    uint64_t num;         /* QS_OPT_NUM, QS_OPT_SIZE */
};

struct qs_args {
    struct qs_opt_value *value; /* in the order given */
    size_t n_values;
    const char **arg;           /* positional; point into argv */
    size_t n_args;
};

/* Parses argv[0 .. argc) against `n_tables` option tables, all in force together. With `stop` parsing ends before the
 * first positional argument, and *used tells how many words were taken. On failure (QS_EINVAL, QS_ENOMEM) `out` holds
 * what was understood so far. Always release `out` with qs_args_free. */
int qs_args_parse(const struct qs_opt *const *tables, size_t n_tables, int argc, char *const *argv, bool stop,
                  struct qs_args *out, int *used, struct qs_err *e);
void qs_args_free(struct qs_args *a);

/* The last value of an option; NULL when it was not given. */
const struct qs_opt_value *qs_args_find(const struct qs_args *a, const char *name);
/* The i-th value of a `many` option; NULL past the end. */
const struct qs_opt_value *qs_args_nth(const struct qs_args *a, const char *name, size_t i);

/* Appends ": a, b, c", the words of an option that has any. */
void qs_opt_words(struct qs_str *out, const struct qs_opt *o);

/* The candidate closest to `word` when it is close enough to be a slip of the finger, else NULL. `words` ends with
 * NULL. */
const char *qs_did_you_mean(const char *word, const char *const *words);

#endif
