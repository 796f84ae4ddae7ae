/* write.c - writing the file: asks for its name, and for leave where something stands in the way; then it is a job. */
#include "ui/app_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

/* What a person can allow, and how it is asked. */
static const struct obstacle {
    enum qs_advice advice;
    const char *title;
    struct qs_app_answer answer[2];
    bool restart;
} obstacles[] = {
    { QS_ADVISE_OVERWRITE, "The file exists", { { 'o', "overwrite" }, { 'r', "rename" } }, false },
    { QS_ADVISE_OVERWRITE_OR_OTHER, "The file exists", { { 'o', "overwrite" }, { 'r', "rename" } }, false },
    { QS_ADVISE_DISCARD, "Something unfinished is there", { { 'd', "discard it" }, { 'r', "rename" } }, true },
    { QS_ADVISE_RESTART, "Something unfinished is there", { { 'd', "discard it" }, { 'r', "rename" } }, true },
};

static void go_on(struct qs_app *a);
static void ask_name(struct qs_app *a, const char *initial);

static void answered(struct qs_app *a, size_t answer, void *ctx)
{
    const struct obstacle *o = ctx;
    if (answer != 0) {
        ask_name(a, a->write.path.data);
        return;
    }
    *(o->restart ? &a->write.restart : &a->write.overwrite) = true;
    go_on(a);
}

static const struct obstacle *in_the_way(const struct qs_write_state *w, enum qs_advice advice)
{
    for (size_t i = 0; i < sizeof obstacles / sizeof *obstacles; i++)
        if (obstacles[i].advice == advice && !(obstacles[i].restart ? w->restart : w->overwrite))
            return &obstacles[i];
    return NULL;
}

static bool being_written(struct qs_app *a, const char *path)
{
    for (size_t i = 0; i < qs_workbench_jobs(a->bench); i++) {
        const struct qs_work *w = qs_workbench_job(a->bench, i);
        if (w->kind == QS_WORK_WRITE && w->path && strcmp(w->path, path) == 0 &&
            (w->status.state == QS_JOB_RUNNING || w->status.state == QS_JOB_PAUSED))
            return true;
    }
    return false;
}

/* Starts writing; what stands in the way and can be allowed is asked for, one thing after the other. */
static void go_on(struct qs_app *a)
{
    const struct qs_write_state *w = &a->write;
    const struct qs_write_request q = { .path = w->path.data, .split_max_bytes = w->split, .overwrite = w->overwrite,
                                        .restart = w->restart, .modelfile = w->modelfile };
    struct qs_err e = QS_ERR_INIT;
    unsigned id = 0;
    char size[24];
    if (being_written(a, w->path.data)) {
        qs_app_warn(a, "%s is being written already: w shows how it goes", w->path.data);
        return;
    }
    if (qs_workbench_write(a->bench, &q, &id, &e) == QS_OK) {
        qs_app_say(a, "writing %s, %s: w shows how it goes, everything else can go on", w->path.data,
                   qs_fmt_bytes(size, sizeof size, qs_app_file_bytes(a)));
        return;
    }
    const struct obstacle *o = in_the_way(w, e.advice);
    struct qs_str text = QS_STR_INIT;
    qs_text_clean(&text, e.msg, a->ascii);
    if (o)
        qs_app_ask(a, o->title, text.data, o->answer, 2, answered, (void *)(uintptr_t)o);
    else
        qs_app_fail(a, &e);
    qs_str_free(&text);
}

static void named(struct qs_app *a, const char *text, void *ctx)
{
    struct qs_write_state *w = &a->write;
    (void)ctx;
    if (!*text)
        return;
    qs_str_clear(&w->path);
    qs_str_add(&w->path, text);
    w->overwrite = w->restart = false;
    if (w->path.failed)
        qs_app_warn(a, "out of memory");
    else
        go_on(a);
}

static void ask_name(struct qs_app *a, const char *initial)
{
    qs_app_prompt(a, "write to: ", initial, QS_ARG_FILE, NULL, named, NULL);
}

/* The end of a file that was being written, told on whatever screen is shown; what stands in the way of one that could not
 * begin is asked for like any other obstacle. */
static void tell_end(struct qs_app *a, const struct qs_work *w)
{
    const struct qs_job_status *st = &w->status;
    const struct obstacle *o = in_the_way(&a->write, st->err.advice);
    struct qs_str text = QS_STR_INIT;
    char size[24], seconds[32], error[QS_FMT_MAX];
    if (st->state == QS_JOB_DONE && w->result) {
        qs_app_say(a, "written: %s, %s in %s, error %s", w->path, qs_fmt_bytes(size, sizeof size, w->result->bytes),
                   qs_fmt_seconds(seconds, sizeof seconds, st->elapsed),
                   qs_fmt_percent(error, sizeof error, qs_error_rms(&w->result->total), 2));
    } else if (st->state == QS_JOB_FAILED && o && a->modal == QS_MODAL_NONE && strcmp(w->path, a->write.path.data) == 0) {
        qs_text_clean(&text, st->err.msg, a->ascii);
        qs_app_ask(a, o->title, text.data, o->answer, 2, answered, (void *)(uintptr_t)o);
        qs_str_free(&text);
    } else if (st->state == QS_JOB_FAILED) {
        qs_app_warn(a, "%s was not written: %s", w->path, st->err.msg);
    }
}

bool qs_write_poll(struct qs_app *a)
{
    bool changed = false;
    for (size_t i = 0; i < qs_workbench_jobs(a->bench); i++) {
        const struct qs_work *w = qs_workbench_job(a->bench, i);
        const bool runs = w->status.state == QS_JOB_RUNNING || w->status.state == QS_JOB_PAUSED;
        if (w->kind != QS_WORK_WRITE || w->id <= a->write.told || runs)
            continue;
        a->write.told = w->id; /* files are written one after the other, mostly: an older one that ends later is in the log */
        tell_end(a, w);
        changed = true;
        break;
    }
    return changed;
}

static void write_to(struct qs_app *a, const char *path)
{
    const struct qs_doc *d = qs_app_doc(a);
    struct qs_str name = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    if (d->plan->blocker.code)
        qs_app_fail(a, &d->plan->blocker);
    else if (path)
        named(a, path, NULL);
    else if (qs_writer_default_name(d->model, d->recipe, &name, &e))
        qs_app_fail(a, &e);
    else
        ask_name(a, name.data);
    qs_str_free(&name);
}

void qs_app_write(struct qs_app *a, const char *arg)
{
    a->write.split = 0;
    a->write.modelfile = false;
    write_to(a, arg);
}

void qs_app_write_modelfile(struct qs_app *a, const char *arg)
{
    a->write.split = 0;
    a->write.modelfile = true;
    write_to(a, arg);
}

void qs_app_write_parts(struct qs_app *a, const char *arg)
{
    unsigned long long size = 0;
    struct qs_err e = QS_ERR_INIT;
    if (qs_parse_bytes(arg, &size, &e)) {
        qs_app_fail(a, &e);
        return;
    }
    a->write.split = size;
    a->write.modelfile = false;
    write_to(a, NULL);
}
