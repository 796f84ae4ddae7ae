/* workbench.c - owns the workbench: the list of jobs, the taking in of what they have done, and opening.
 *
 * All functions belong to one thread, the owner's. A job's thread works on its `struct qs_wb_job` alone, on members
 * that the owner does not touch before it has joined the thread. Whoever ends the workbench waits for the jobs; nobody
 * else does.
 */
#include "core/workbench_internal.h"

#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/unicode.h"
#include "core/quant/store.h"
#include "core/workbench_stopped.h"

enum { ENDED_MOST = 100 }; /* jobs kept that have ended */

/* ---- the list ------------------------------------------------------------------------------------------------ */

struct qs_wb_job *qs_wb_job_new(struct qs_wb_sources *src)
{
    struct qs_wb_job *j = qs_calloc(1, sizeof *j);
    if (j && src)
        j->src = qs_wb_sources_ref(src);
    return j;
}

void qs_wb_job_free(struct qs_wb_job *j)
{
    if (!j)
        return;
    if (!j->guest)
        qs_job_free(j->job);
    qs_free(j->path);
    qs_free(j->preset);
    qs_wb_doc_free(j->opened);
    qs_free(j->wants.want);
    qs_wb_zoom_unref(j->zoom);
    qs_wb_order_unref(j->order);
    qs_writer_watch_free(j->watch);
    qs_writer_result_free(j->result);
    qs_candidate_unref(j->candidate);
    qs_plan_free(j->plan);
    qs_wb_eval_unref(j->eval);
    qs_wb_calib_unref(j->calib);
    qs_store_unref(j->store);
    qs_wb_fit_free(j->fit);
    qs_wb_sources_unref(j->made);
    qs_wb_sources_unref(j->src);
    if (j->free_ctx)
        j->free_ctx(j->ctx);
    qs_free(j);
}

struct qs_wb_job *qs_wb_job_find(const struct qs_workbench *w, unsigned id)
{
    for (size_t i = 0; i < w->n_jobs; i++)
        if (w->job[i]->pub.id == id)
            return w->job[i];
    return NULL;
}

static void remove_at(struct qs_workbench *w, size_t i)
{
    qs_wb_job_free(w->job[i]);
    memmove(w->job + i, w->job + i + 1, (w->n_jobs - i - 1) * sizeof *w->job);
    w->n_jobs--;
}

static bool has_left(const struct qs_wb_job *j)
{
    return !j->job && !j->ending;
}

/* Ended well, and of a kind of which the next one takes the place. */
static bool is_past(const struct qs_wb_job *j, const struct qs_wb_job *next)
{
    return has_left(j) && !j->kind->stays && j->pub.status.state == QS_JOB_DONE &&
           strcmp(j->pub.word, next->pub.word) == 0;
}

static bool is_unfinished(const struct qs_wb_job *j)
{
    return j->kind->stays && j->pub.resumable;
}

/* What ended well and has a successor in the next one leaves. Of all others that have ended the newest ENDED_MOST stay;
 * among those that leave, files that can be gone on with are the last. */
static void make_room(struct qs_workbench *w, const struct qs_wb_job *next)
{
    size_t ended = 0;
    for (size_t i = w->n_jobs; i-- > 0;) {
        if (is_past(w->job[i], next))
            remove_at(w, i);
        else
            ended += has_left(w->job[i]);
    }
    for (int all = 0; all < 2; all++)
        for (size_t i = 0; i < w->n_jobs && ended > ENDED_MOST;) {
            if (has_left(w->job[i]) && (all || !is_unfinished(w->job[i]))) {
                remove_at(w, i);
                ended--;
            } else {
                i++;
            }
        }
}

/* Into the list, where there is room already. */
static void list(struct qs_workbench *w, struct qs_wb_job *j)
{
    j->pub.id = ++w->last_id;
    qs_job_status(j->job, &j->pub.status);
    w->job[w->n_jobs++] = j;
    make_room(w, j);
    w->changed = true;
}

int qs_wb_job_start(struct qs_workbench *w, const struct qs_wb_kind *kind, struct qs_wb_job *j, const char *title,
                    struct qs_err *e)
{
    struct qs_str clean = QS_STR_INIT;
    qs_utf8_clean(&clean, title, strlen(title), 0);
    int rc = !clean.failed && qs_grow(&w->job, &w->cap_jobs, w->n_jobs + 1, sizeof *w->job) ? QS_OK : QS_ENOMEM;
    if (rc)
        qs_fail_mem(e, sizeof *w->job, "the list of jobs");
    j->pool = w->args.pool;
    j->kind = kind;
    j->pub.kind = kind->kind;
    j->pub.word = kind->word ? kind->word : j->pub.word;
    j->pub.started = (int64_t)time(NULL);
    if (!rc)
        rc = qs_job_start(clean.data, kind->run, j, w->args.wake_fd, &j->job, e);
    qs_str_free(&clean);
    if (rc) {
        qs_wb_job_free(j);
        return rc;
    }
    list(w, j);
    return QS_OK;
}

size_t qs_workbench_jobs(const struct qs_workbench *w)
{
    return w->n_jobs;
}

const struct qs_work *qs_workbench_job(const struct qs_workbench *w, size_t i)
{
    return i < w->n_jobs ? &w->job[w->n_jobs - 1 - i]->pub : NULL;
}

const struct qs_work *qs_workbench_job_by_id(const struct qs_workbench *w, unsigned id)
{
    const struct qs_wb_job *j = qs_wb_job_find(w, id);
    return j ? &j->pub : NULL;
}

void qs_workbench_job_pause(struct qs_workbench *w, unsigned id, bool paused)
{
    struct qs_wb_job *j = qs_wb_job_find(w, id);
    if (!j || !j->job)
        return;
    j->pub.pause_wanted = paused;
    qs_job_pause(j->job, paused);
}

void qs_workbench_job_cancel(struct qs_workbench *w, unsigned id)
{
    struct qs_wb_job *j = qs_wb_job_find(w, id);
    if (!j || !j->job)
        return;
    if (j->kind->cancelled)
        j->kind->cancelled(w, j);
    qs_job_cancel(j->job);
}

void qs_workbench_job_dismiss(struct qs_workbench *w, unsigned id)
{
    for (size_t i = 0; i < w->n_jobs; i++)
        if (w->job[i]->pub.id == id && !w->job[i]->job) {
            remove_at(w, i);
            return;
        }
}

void qs_wb_jobs_of_sources_cancel(struct qs_workbench *w, const struct qs_wb_sources *src)
{
    for (size_t i = 0; i < w->n_jobs; i++) {
        struct qs_wb_job *j = w->job[i];
        if (!j->job || j->src != src || !j->kind->of_document)
            continue;
        j->passing = true;
        qs_job_cancel(j->job);
    }
}

int qs_workbench_job_resume(struct qs_workbench *w, unsigned id, struct qs_err *e)
{
    struct qs_wb_job *j = qs_wb_job_find(w, id);
    if (!j)
        return qs_fail(e, QS_ENOTFOUND, "there is no job %u", id);
    if (j->job || j->pub.status.state == QS_JOB_DONE)
        return qs_fail(e, QS_EINVAL, "%s: %s", j->pub.status.title, j->job ? "it still runs" : "it is done");
    if (!j->kind->resume)
        return qs_fail(e, QS_EUNSUPPORTED, "%s: only writing, calibrating, measuring and the candidate can be resumed",
                       j->pub.status.title);
    return j->kind->resume(w, j, e);
}

/* ---- work of others ------------------------------------------------------------------------------------------ */

static int run_other(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_wb_job *j = ctx;
    return j->fn(job, j->ctx, e);
}

/* A message that begins with the file's name does not get it once more. */
static void log_failure(struct qs_workbench *w, const char *title, const char *why)
{
    const bool said = strncmp(why, title, strlen(title)) == 0;
    qs_log_add(w->log, QS_LOG_ERROR, "%s%s%s", said ? "" : title, said ? "" : ": ", why);
}

static void other_ended(struct qs_workbench *w, struct qs_wb_job *j)
{
    if (j->pub.status.state == QS_JOB_FAILED)
        log_failure(w, j->pub.status.title, j->pub.status.err.msg);
    if (j->free_ctx)
        j->free_ctx(j->ctx);
    j->free_ctx = NULL;
}

static const struct qs_wb_kind other_kind = { .kind = QS_WORK_OTHER, .run = run_other, .ended = other_ended };

int qs_workbench_start(struct qs_workbench *w, const char *word, const char *title, qs_job_fn *fn, void *ctx,
                       void (*free_ctx)(void *ctx), unsigned *id, struct qs_err *e)
{
    struct qs_wb_job *j = qs_wb_job_new(NULL);
    if (!j) {
        if (free_ctx)
            free_ctx(ctx);
        return qs_fail_mem(e, sizeof *j, "a job");
    }
    j->fn = fn;
    j->ctx = ctx;
    j->free_ctx = free_ctx;
    j->pub.word = word;
    const int rc = qs_wb_job_start(w, &other_kind, j, title, e);
    if (!rc && id)
        *id = w->last_id;
    return rc;
}

static const struct qs_wb_kind guest_kind = { .kind = QS_WORK_OTHER };

int qs_workbench_watch(struct qs_workbench *w, const char *word, struct qs_job *job, unsigned *id, struct qs_err *e)
{
    struct qs_wb_job *j = qs_wb_job_new(NULL);
    if (!j || !qs_grow(&w->job, &w->cap_jobs, w->n_jobs + 1, sizeof *w->job)) {
        qs_wb_job_free(j);
        return qs_fail_mem(e, sizeof *j, "the list of jobs");
    }
    j->guest = j->passing = true;
    j->job = job;
    j->kind = &guest_kind;
    j->pub.kind = guest_kind.kind;
    j->pub.word = word;
    j->pub.started = (int64_t)time(NULL);
    list(w, j);
    *id = j->pub.id;
    return QS_OK;
}

void qs_workbench_unwatch(struct qs_workbench *w, unsigned id)
{
    struct qs_wb_job *j = qs_wb_job_find(w, id);
    if (!j || !j->guest)
        return;
    j->job = NULL;
    qs_workbench_job_dismiss(w, id);
    w->changed = true;
}

/* ---- taking in ----------------------------------------------------------------------------------------------- */

static bool look(struct qs_wb_job *j)
{
    const uint64_t seen = j->pub.status.version;
    qs_job_status(j->job, &j->pub.status);
    return j->pub.status.version != seen;
}

static bool has_ended(const struct qs_wb_job *j)
{
    return j->job && j->pub.status.state > QS_JOB_PAUSED;
}

static void take_in(struct qs_workbench *w, struct qs_wb_job *j)
{
    const unsigned id = j->pub.id;
    if (!j->guest) {
        qs_job_wait(j->job, NULL); /* its function has returned */
        qs_job_free(j->job);
    }
    j->job = NULL;
    j->pub.pause_wanted = false;
    j->pub.resumable = j->kind->resume && j->pub.status.state != QS_JOB_DONE;
    j->ending = true; /* not to be taken out of the list by another that starts now */
    if (j->kind->ended)
        j->kind->ended(w, j);
    j->ending = false;
    if (!j->kind->keeps_sources) {
        qs_wb_sources_unref(j->src);
        j->src = NULL;
    }
    if (j->passing)
        qs_workbench_job_dismiss(w, id);
}

static bool move_on(uint64_t *seen, uint64_t now)
{
    const bool moved = *seen != now;
    *seen = now;
    return moved;
}

bool qs_workbench_poll(struct qs_workbench *w)
{
    bool changed = w->changed;
    w->changed = false;
    for (size_t i = 0; i < w->n_jobs; i++)
        if (w->job[i]->job)
            changed |= look(w->job[i]);
    changed |= qs_wb_calib_poll(w); /* before its end is told */
    for (size_t i = 0; i < w->n_jobs; i++)
        if (has_ended(w->job[i])) {
            take_in(w, w->job[i]);
            i = (size_t)-1; /* the list may be another one now */
        }
    if (w->doc)
        changed |= move_on(&w->seen_survey, qs_survey_version(w->doc->src->survey));
    if (w->zoom)
        changed |= move_on(&w->seen_zoom, qs_zoom_version(w->zoom->zoom));
    changed |= move_on(&w->seen_log, qs_log_version(w->log));
    changed |= w->changed; /* by what was taken in */
    w->changed = false;
    return changed;
}

bool qs_workbench_busy(const struct qs_workbench *w)
{
    for (size_t i = 0; i < w->n_jobs; i++)
        if (w->job[i]->job && w->job[i]->pub.status.state != QS_JOB_PAUSED) /* an end is still to be taken in */
            return true;
    return false;
}

/* ---- opening ------------------------------------------------------------------------------------------------- */

static int open_model(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_wb_job *j = ctx;
    return qs_wb_doc_open(j->path, j->preset, job, &j->opened, e);
}

static void say_opened(struct qs_workbench *w)
{
    const struct qs_model *m = w->doc->pub.model;
    char size[24];
    qs_log_add(w->log, QS_LOG_NOTE, "opened %s: %zu tensors, %s", m->path, m->n_tensors, qs_fmt_bytes(size, sizeof size,
                                                                                                      m->bytes));
}

static void opening_ended(struct qs_workbench *w, struct qs_wb_job *j)
{
    const struct qs_job_status *st = &j->pub.status;
    if (st->state == QS_JOB_FAILED)
        qs_log_add(w->log, QS_LOG_ERROR, "%s", st->err.msg);
    if (j->pub.id != w->opening) { /* another one was asked for meanwhile */
        qs_wb_doc_free(j->opened);
        j->opened = NULL;
        return;
    }
    w->opening = 0;
    if (st->state != QS_JOB_DONE) {
        w->open_error = st->err;
        return;
    }
    if (w->doc)
        qs_wb_jobs_of_sources_cancel(w, w->doc->src);
    qs_wb_doc_free(w->doc);
    qs_wb_eval_forget(w);
    qs_wb_fit_forget(w);
    w->doc = j->opened;
    j->opened = NULL;
    w->seen_survey = 0;
    w->changed = true;
    say_opened(w);
    qs_wb_stopped_look(w);
    qs_wb_measure_all(w);
}

const struct qs_wb_kind qs_wb_open_kind = { .kind = QS_WORK_OPEN, .word = "opening", .run = open_model,
                                            .ended = opening_ended, .stays = true };

int qs_workbench_open(struct qs_workbench *w, const char *path, struct qs_err *e)
{
    struct qs_str title = QS_STR_INIT;
    struct qs_wb_job *j = qs_wb_job_new(NULL);
    if (j) {
        j->path = qs_strdup(path);
        j->preset = qs_strdup(w->preset);
    }
    if (!j || !j->path || !j->preset) {
        qs_wb_job_free(j);
        return qs_fail_mem(e, strlen(path), "a job");
    }
    qs_str_addf(&title, "open %s", qs_path_base(path));
    const unsigned before = w->opening;
    const int rc = qs_wb_job_start(w, &qs_wb_open_kind, j, title.data, e);
    qs_str_free(&title);
    if (rc)
        return rc;
    w->opening = w->last_id;
    w->open_error = (struct qs_err)QS_ERR_INIT;
    qs_workbench_job_cancel(w, before);
    return QS_OK;
}

bool qs_workbench_opening(const struct qs_workbench *w)
{
    return w->opening != 0;
}

const struct qs_err *qs_workbench_open_error(const struct qs_workbench *w)
{
    return &w->open_error;
}

const struct qs_doc *qs_workbench_doc(const struct qs_workbench *w)
{
    return w->doc ? &w->doc->pub : NULL;
}

/* ---- all of it ----------------------------------------------------------------------------------------------- */

struct qs_log *qs_workbench_log(struct qs_workbench *w)
{
    return w->log;
}

int qs_workbench_preset(struct qs_workbench *w, const char *name, struct qs_err *e)
{
    const struct qs_preset *preset;
    int rc = qs_recipe_preset(name, &preset, e);
    char *own = rc ? NULL : qs_strdup(preset->name);
    if (!rc && !own)
        rc = qs_fail_mem(e, strlen(preset->name), "a preset");
    if (!rc) {
        qs_free(w->preset);
        w->preset = own;
    }
    return rc;
}

int qs_workbench_new(const struct qs_workbench_args *args, struct qs_workbench **out, struct qs_err *e)
{
    const struct qs_preset *preset;
    int rc = qs_recipe_preset(args->preset ? args->preset : QS_PRESET_DEFAULT, &preset, e);
    if (rc)
        return rc;
    struct qs_workbench *w = qs_calloc(1, sizeof *w);
    if (!w)
        return qs_fail_mem(e, sizeof *w, "the workbench");
    w->args = *args;
    w->preset = qs_strdup(preset->name);
    w->log = qs_log_new();
    if (!w->preset || !w->log) {
        qs_workbench_free(w);
        return qs_fail_mem(e, 0, "the workbench");
    }
    *out = w;
    return QS_OK;
}

void qs_workbench_free(struct qs_workbench *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n_jobs; i++)
        if (w->job[i]->job)
            qs_job_cancel(w->job[i]->job);
    for (size_t i = 0; i < w->n_jobs; i++)
        qs_wb_job_free(w->job[i]);
    qs_wb_zoom_unref(w->zoom);
    qs_wb_eval_free(w);
    qs_wb_calib_free(w);
    qs_wb_fit_free(w->fit);
    qs_wb_proof_free(w);
    qs_wb_doc_free(w->doc);
    qs_log_free(w->log);
    qs_free(w->job);
    qs_free(w->preset);
    qs_free(w);
}
