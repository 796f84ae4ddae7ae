/* jinja.h - the template language of chat templates (Jinja2 as Hugging Face sets it up), compiled and run with
 * bounds.
 *
 * Follows Jinja2 3.1 in the environment that `transformers` makes for chat templates: ImmutableSandboxedEnvironment
 * with trim_blocks and lstrip_blocks on, keep_trailing_newline off, no autoescape, loop controls (break, continue),
 * the `generation` block, `tojson` with HF's arguments (key order kept, nothing escaped beyond JSON),
 * `raise_exception` and `strftime_now`. As there, a template cannot change a list or a dictionary (`append`, `update`
 * ... are refused by name); only attributes of a `namespace` can be assigned.
 *
 * Left out, and refused by name: include, import, from, extends, block, do, recursive loops, `joiner`, `cycler`,
 * `lipsum`. Other than in Python: integers keep 64 bits (what does not fit is an error), case of letters follows
 * Unicode's simple mapping, and `strftime_now` speaks English in UTC.
 *
 * Limits (each gives one QS_ELIMIT message with line and column): see below.
 */
#ifndef QS_TEXT_JINJA_H
#define QS_TEXT_JINJA_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

enum {
    QS_JINJA_SOURCE_MAX = 1 << 20,   /* bytes of a template */
    QS_JINJA_NESTING_MAX = 100,      /* brackets, operators in operands, and blocks inside each other, when compiling */
    QS_JINJA_DEPTH_MAX = 600,        /* expressions, blocks and macro calls inside each other, when running */
    QS_JINJA_STEPS_MAX = 20000000,   /* expressions and statements run, plus one per 64 bytes of text or values made */
    QS_JINJA_OUTPUT_MAX = 64 << 20,  /* bytes of one text that is written out */
    QS_JINJA_MEMORY_MAX = 256 << 20, /* bytes of all values made while running */
    QS_JINJA_RANGE_MAX = 100000,     /* items of range(), as in Jinja2's sandbox */
};

struct qs_jinja; /* a compiled template: immutable, any number of threads may run it at once */

/* Compiles n bytes of UTF-8. QS_EFORMAT (syntax), QS_EUNSUPPORTED (a statement, filter, test or function that is left
 * out or unknown is refused by name, where Jinja2 refuses it when compiling too), QS_ELIMIT, QS_ENOMEM. Messages name
 * line and column (from 1, in characters). */
int qs_jinja_compile(const char *source, size_t n, struct qs_jinja **out, struct qs_err *e);
void qs_jinja_free(struct qs_jinja *t); /* NULL allowed */

struct qs_jinja_variable {
    const char *name;
    const struct qs_json *value;
};

struct qs_jinja_run {
    const struct qs_json *variables;       /* an object: names that a template sees; NULL: none */
    const struct qs_jinja_variable *named; /* more of them; the members of `variables` come first; NULL with 0 */
    size_t n_named;
    int64_t now;                           /* seconds since 1970, UTC: the clock of strftime_now */
};

/* Runs the template and appends what it writes to *out (on failure nothing is appended). QS_EINVAL: the template
 * refuses through raise_exception, in its own words; QS_EFORMAT: an operation that fails (attribute of something
 * undefined, wrong types, ...); QS_EUNSUPPORTED, QS_ELIMIT, QS_ENOMEM. Messages end with line and column in the
 * template. */
int qs_jinja_render(const struct qs_jinja *t, const struct qs_jinja_run *run, struct qs_str *out, struct qs_err *e);

#endif
