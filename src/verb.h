/* verb.h - a verb of the command line, and what its code may use.
 *
 * One verb is one file, src/verb_NAME.c, that exports one row of the table in verbs.c:
 *
 *     static int run(struct qs_cli *cli) { ... return QS_EXIT_DONE; }
 *     const struct qs_verb qs_verb_info = {
 *         .name = "info", .args = "FILE", .min_args = 1, .max_args = 1, .summary = "what a model is",
 *         .description = "...", .opts = options, .keys = keys, .run = run };
 *
 * The row is the source of --help, quantscape(1) and the completions. A verb returns an exit code and never calls
 * exit(). It prints through qs_cli_print() (reports) or qs_cli_write() (text); a failed write to standard output is
 * noticed by main. Errors go through qs_cli_fail() and qs_cli_usage(), remarks through qs_cli_warn() and qs_cli_note().
 */
#ifndef QS_SRC_VERB_H
#define QS_SRC_VERB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/file.h"
#include "base/pool.h"
#include "core/job/job.h"
#include "core/report/table.h"
#include "src/opt.h"

enum qs_exit { QS_EXIT_DONE = 0, QS_EXIT_FAILED = 1, QS_EXIT_USAGE = 2 };

struct qs_cli;

/* One key of the --json output (and CSV header), for the manual. Dots go down: "tensors[].name". */
struct qs_key_doc { const char *key, *help; };

struct qs_verb {
    const char *name;
    const char *args;              /* "FILE [OUT]", as shown in help; "" for none */
    unsigned min_args, max_args;   /* max_args UINT_MAX: any number */
    const char *summary;           /* one line, lower case, no full stop */
    const char *description;       /* paragraphs separated by an empty line; wrapped when printed */
    const char *examples;          /* lines "command\tmeaning", each ended by \n; NULL for none */
    const struct qs_opt *opts;     /* ended by one without a name; NULL for none */
    const struct qs_key_doc *keys; /* ended by one without a key; NULL: no JSON output */
    const struct qs_verb *const *subs; /* verbs of this verb ("recipe check"), ended by NULL; then args and run count
                                        * for nothing */
    bool no_csv;                   /* --csv is refused: there is no table in it */
    int (*run)(struct qs_cli *cli);
};

extern const struct qs_verb *const qs_verbs[];   /* in the order of the help, ended by NULL */
extern const struct qs_opt qs_common_options[];  /* of every verb */

struct qs_cli {
    const struct qs_verb *parent; /* "recipe" of "recipe check"; NULL for plain verbs */
    const struct qs_verb *verb;   /* the one that runs */
    struct qs_args args;
    bool json, csv, quiet;
    bool lines;                   /* --json prints one object per line: events, at last the report or the error */
    unsigned threads;             /* 0: as many as there are cores */
    struct qs_pool *pool;         /* made by qs_cli_pool */
    bool error_shown;             /* one message, one error object */
    int write_errno;              /* why the first failed write to standard output failed; 0: none did */
};

/* ---- arguments and options (names as in the table, without "--") ---- */
size_t qs_cli_args(const struct qs_cli *cli);
const char *qs_cli_arg(const struct qs_cli *cli, size_t i);      /* NULL past the end */
bool qs_cli_has(const struct qs_cli *cli, const char *name);
const char *qs_cli_str(const struct qs_cli *cli, const char *name, const char *otherwise);
uint64_t qs_cli_num(const struct qs_cli *cli, const char *name, uint64_t otherwise); /* NUM and SIZE */
size_t qs_cli_count(const struct qs_cli *cli, const char *name);
const char *qs_cli_nth(const struct qs_cli *cli, const char *name, size_t i); /* values of a `many` option */

/* ---- work ---- */
/* The compute pool, as many threads as --threads says; owned by cli. */
int qs_cli_pool(struct qs_cli *cli, struct qs_pool **out, struct qs_err *e);
/* Runs fn as a job: progress on standard error when that is a terminal, Ctrl-C cancels (a second one kills). `resume`:
 * what to say after an interruption ("the same command goes on where this one stopped"); NULL: the job says it. */
int qs_cli_job(struct qs_cli *cli, const char *title, qs_job_fn *fn, void *ctx, const char *resume, struct qs_err *e);

/* The same, calling `tick` about ten times a second meanwhile, and once at its end, on this thread. */
int qs_cli_job_watched(struct qs_cli *cli, const char *title, qs_job_fn *fn, void *ctx, const char *resume,
                       void (*tick)(void *tick_ctx), void *tick_ctx, struct qs_err *e);

/* Before any work: a file that `option` ("-o") names can be written, and is none of those that are read: the model's
 * (NULL: none) and others. */
struct qs_model;
int qs_cli_output(struct qs_cli *cli, const char *path, const char *option, const struct qs_model *m,
                  const struct qs_file_input *in, size_t n, struct qs_err *e);

/* ---- output ---- */
/* As text fitted to the terminal, --json or --csv. csv_key: which table --csv prints (NULL: the first). QS_EXIT_*. */
int qs_cli_print(struct qs_cli *cli, const struct qs_report *r, const char *csv_key);
/* The same, and frees the report; NULL: there was no memory for it, which is said. */
int qs_cli_show(struct qs_cli *cli, struct qs_report *r, const char *csv_key);
int qs_cli_write(struct qs_cli *cli, const char *text, size_t n); /* as it is; QS_EXIT_* */
void qs_cli_flush(struct qs_cli *cli); /* what was written is out; a failure is kept for main */
unsigned qs_cli_width(void);                                      /* columns of standard output; 0: not a terminal */

/* ---- messages: one line on standard error, "quantscape: ..." ---- */
int qs_cli_fail(struct qs_cli *cli, const struct qs_err *e);                  /* returns QS_EXIT_FAILED; with advice */
/* The words of this command line for an advice, to be put behind the message; "" for none. `option` names the output.
 */
#define QS_ADVICE_MAX 96
const char *qs_cli_advice(enum qs_advice a, const char *option, char *buf, size_t n);
int qs_cli_usage(struct qs_cli *cli, const char *fmt, ...) QS_PRINTF(2, 3);   /* returns QS_EXIT_USAGE */
void qs_cli_warn(struct qs_cli *cli, const char *fmt, ...) QS_PRINTF(2, 3);   /* "warning: ..."; not with --quiet */
void qs_cli_note(struct qs_cli *cli, const char *fmt, ...) QS_PRINTF(2, 3);   /* not with --quiet */

/* ---- help texts from the tables (help.c) ---- */
struct qs_str;
void qs_help_program(struct qs_str *out, unsigned width);
void qs_help_verb(struct qs_str *out, const struct qs_verb *parent, const struct qs_verb *verb, unsigned width);
const struct qs_verb *qs_verb_find(const struct qs_verb *const *verbs, const char *name); /* NULL: no such verb */

#endif
