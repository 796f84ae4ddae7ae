/* verb_check.c - `check`: everything that is wrong with a file, headers and weights. Exit code 1 when anything is.
 *
 * Owns the findings while it runs. Weights are read only when the headers are sound: otherwise nobody knows where they
 * are.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/model/folder.h"
#include "core/report/report_check.h"
#include "src/verb.h"

static const struct qs_opt options[] = {
    { .name = "quick", .help = "headers only; do not read the weights" },
    { .name = NULL }
};

struct work {
    const struct qs_model *model;
    struct qs_pool *pool;
    struct qs_check_damage *damage;
    size_t n, cap;
    bool out_of_memory;
};

static void note_damage(void *ctx, const struct qs_tensor *t, const char *field, uint64_t count, const char *msg)
{
    struct work *w = ctx;
    (void)count; /* the message says it */
    if (!qs_grow(&w->damage, &w->cap, w->n + 1, sizeof *w->damage)) {
        w->out_of_memory = true;
        return;
    }
    struct qs_check_damage *d = &w->damage[w->n++];
    *d = (struct qs_check_damage){ .offset = t->offset, .part = t->part };
    snprintf(d->tensor, sizeof d->tensor, "%s", t->name);
    snprintf(d->field, sizeof d->field, "%s", field);
    snprintf(d->msg, sizeof d->msg, "%s", msg);
}

static int read_all(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct work *w = ctx;
    int rc = qs_model_check_data(w->model, w->pool, job, note_damage, w, e);
    return rc == QS_OK && w->out_of_memory ? qs_fail_mem(e, 0, "the findings") : rc;
}

/* Reads the weights into w->damage. QS_OK: done, or not possible, which *why then says. */
static int check_data(struct qs_cli *cli, const char *path, struct work *w, struct qs_check_args *args,
                      struct qs_err *why)
{
    struct qs_model *m;
    struct qs_err e = QS_ERR_INIT;
    int rc = qs_model_open(path, &m, &e);
    if (rc == QS_OK) {
        w->model = m;
        rc = qs_cli_pool(cli, &w->pool, &e);
        if (rc == QS_OK)
            rc = qs_cli_job(cli, "check", read_all, w, NULL, &e);
        qs_model_close(m);
        args->data_read = rc == QS_OK;
    }
    *why = e;
    if (rc == QS_OK || rc == QS_ENOMEM || rc == QS_ECANCELLED)
        return rc;
    args->data_error = why->msg;
    return QS_OK;
}

static bool headers_sound(const struct qs_gguf *g)
{
    for (size_t i = 0; i < g->n_findings; i++)
        if (g->finding[i].kind == QS_FINDING_FATAL)
            return false;
    return true;
}

static int show(struct qs_cli *cli, const struct qs_check_args *args)
{
    size_t errors = 0;
    struct qs_report *r = qs_report_check(args, &errors);
    const int exit_code = qs_cli_show(cli, r, "findings");
    return exit_code == QS_EXIT_DONE && errors ? QS_EXIT_FAILED : exit_code;
}

/* A folder: what can be wrong with its headers is told by opening it; what is left are remarks. */
static int check_folder(struct qs_cli *cli, const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    struct work w = { 0 };
    if (qs_model_open(path, &m, &e) != QS_OK)
        return qs_cli_fail(cli, &e);
    struct qs_check_args args = { .path = path, .gguf = m->gguf };
    const int rc = qs_cli_has(cli, "quick") ? QS_OK : check_data(cli, path, &w, &args, &e);
    args.damage = w.damage;
    args.n_damage = w.n;
    const int exit_code = rc == QS_OK ? show(cli, &args) : qs_cli_fail(cli, &e);
    qs_free(w.damage);
    qs_model_close(m);
    return exit_code;
}

static int run(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    struct work w = { 0 };
    const char *path = qs_cli_arg(cli, 0);
    struct qs_str dir = QS_STR_INIT;
    const bool folder = qs_folder_named(path, &dir);
    qs_str_free(&dir);
    if (folder)
        return check_folder(cli, path);
    if (qs_gguf_check(path, &g, &e) != QS_OK)
        return qs_cli_fail(cli, &e);
    struct qs_check_args args = { .path = path, .gguf = g };
    int rc = QS_OK;
    if (!qs_cli_has(cli, "quick") && headers_sound(g))
        rc = check_data(cli, path, &w, &args, &e);
    args.damage = w.damage;
    args.n_damage = w.n;
    int exit_code = rc == QS_OK ? show(cli, &args) : qs_cli_fail(cli, &e);
    qs_free(w.damage);
    qs_gguf_close(g);
    return exit_code;
}

static const struct qs_key_doc keys[] = {
    { "summary.file", "file as given" },
    { "summary.parts", "files the model is split into" },
    { "summary.tensors", "tensors found" },
    { "summary.data_read", "whether all weights were read" },
    { "summary.errors", "number of errors: such a file is refused" },
    { "summary.warnings", "number of warnings: some programs will stumble" },
    { "summary.notes", "number of notes: worth knowing" },
    { "summary.sound", "true when there are no errors" },
    { "findings[].kind", "error, warning or note; errors come first" },
    { "findings[].part", "file of a split model, from 1" },
    { "findings[].offset", "place in that file; null when there is none" },
    { "findings[].field", "metadata key or tensor" },
    { "findings[].message", "what is wrong" },
    { NULL, NULL }
};

const struct qs_verb qs_verb_check = {
    .name = "check",
    .args = "FILE",
    .min_args = 1,
    .max_args = 1,
    .summary = "find everything that is wrong with a file",
    .description =
        "Checks the headers (lengths, counts, shapes, offsets, overlaps, names, parts of a split model, metadata that "
        "other programs need) and reads every weight once, looking for scales and weights that are NaN or infinite. "
        "--quick leaves the weights out.\n\n"
        "The exit code is 1 when there is at least one error. Warnings and notes do not change it.",
    .examples = "quantscape check model.gguf\tcheck all of it\n"
                "quantscape check --quick model.gguf\theaders only, at once for any size\n",
    .opts = options,
    .keys = keys,
    .run = run,
};
