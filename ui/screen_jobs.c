/* screen_jobs.c - what runs and what has ended: progress, rate, time left, memory, error; of a file being written every
 * tensor's state. Pause, cancel, go on, dismiss.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "base/text.h"
#include "kernels/format.h"
#include "ui/app.h"
#include "ui/layout.h"
#include "ui/list.h"

struct jobs {
    struct qs_list list, tensors; /* jobs; tensors of the one under the cursor */
    bool in_tensors;              /* the keys move the tensors */
    unsigned id;                  /* the job under the cursor: it stays there when others come */
    unsigned asked;               /* the job that a question is about; 0: none */
    bool follow;                  /* the tensors: keep the one at work in view */
};

static struct jobs *jobs_of(struct qs_app *a) { return qs_app_state(a, &qs_screen_jobs); }

/* The job under the cursor: by its number, since others come and go above it. */
static const struct qs_work *here(struct qs_app *a)
{
    return qs_workbench_job_by_id(qs_app_bench(a), jobs_of(a)->id);
}

static unsigned id_at(struct qs_app *a, size_t line)
{
    return line < qs_workbench_jobs(qs_app_bench(a)) ? qs_workbench_job(qs_app_bench(a), line)->id : 0;
}

/* The cursor stays with its job; where that is gone, with its line. */
static void refresh(struct qs_app *a)
{
    struct jobs *j = jobs_of(a);
    const size_t n = qs_workbench_jobs(qs_app_bench(a));
    qs_list_set(&j->list, n, j->list.shown);
    for (size_t i = 0; i < n; i++)
        if (id_at(a, i) == j->id)
            qs_list_to(&j->list, i);
    j->id = id_at(a, j->list.cursor);
}

static bool runs(const struct qs_work *w)
{
    return w->status.state == QS_JOB_RUNNING || w->status.state == QS_JOB_PAUSED;
}

static const char *state_name(const struct qs_work *w)
{
    static const char *const names[] = { [QS_JOB_RUNNING] = "running",
                                         [QS_JOB_PAUSED] = "paused",
                                         [QS_JOB_DONE] = "done",
                                         [QS_JOB_FAILED] = "failed",
                                         [QS_JOB_CANCELLED] = "cancelled" };
    return w->pause_wanted && w->status.state == QS_JOB_RUNNING ? "pausing" : names[w->status.state];
}

/* ---- the list ---- */

static double share(const struct qs_job_status *st)
{
    return st->state == QS_JOB_DONE ? 1 : st->total ? (double)st->done / (double)st->total : 0;
}

static void draw_job(struct qs_app *a, const struct qs_canvas *c, int y, const struct qs_work *w, bool cursor)
{
    const struct qs_job_status *st = &w->status;
    const int cols = qs_canvas_cols(c), bar = cols >= 70 ? 20 : 8;
    const bool focus = cursor && !jobs_of(a)->in_tensors;
    const struct qs_style style = qs_app_look(a, focus ? QS_LOOK_CURSOR : cursor ? QS_LOOK_CURSOR_AWAY
                                              : st->state == QS_JOB_FAILED ? QS_LOOK_ERROR : QS_LOOK_TEXT);
    char left[48] = "", eta[32];
    struct qs_str title = QS_STR_INIT;
    qs_text_clean(&title, st->title, qs_app_ascii(a));
    if (runs(w) && st->eta >= 0)
        snprintf(left, sizeof left, "%s left", qs_fmt_seconds(eta, sizeof eta, st->eta));
    else
        snprintf(left, sizeof left, "%s", qs_fmt_seconds(eta, sizeof eta, st->elapsed));
    qs_draw_fill(c, (struct qs_rect){ y, 0, 1, cols }, style);
    qs_draw_text(c, y, 0, style, cursor ? ">" : " ", 1);
    if (cols < 60) { /* what it is counts more than a bar */
        qs_draw_fit(c, y, 2, style, title.data, cols - 18, QS_FIT_MIDDLE);
        qs_draw_textf(c, y, cols - 15, style, "%-9s %3.0f%%", state_name(w), 100 * share(st));
        qs_str_free(&title);
        return;
    }
    qs_draw_fit(c, y, 2, style, state_name(w), 9, QS_FIT_LEFT);
    qs_draw_gauge(c, y, 12, bar, share(st), qs_app_look(a, QS_LOOK_GAUGE), qs_app_look(a, QS_LOOK_GAUGE_REST));
    qs_draw_textf(c, y, 13 + bar, style, "%3.0f%%", 100 * share(st));
    qs_draw_fit(c, y, 19 + bar, style, left, 17, QS_FIT_LEFT);
    qs_draw_text(c, y, 37 + bar, style, title.data, -1);
    qs_str_free(&title);
}

/* ---- one job ---- */

static int facts(struct qs_app *a, const struct qs_canvas *c, const struct qs_work *w)
{
    const struct qs_job_status *st = &w->status;
    char rate[64], error[QS_FMT_MAX], memory[24], size[24], when[32], total[24];
    struct qs_str text = QS_STR_INIT;
    struct tm tm;
    const time_t t = (time_t)w->started;
    strftime(when, sizeof when, "%H:%M:%S", localtime_r(&t, &tm));
    const bool bytes = strcmp(st->unit, "bytes") == 0;
    if (bytes)
        snprintf(rate, sizeof rate, "%s/s", qs_fmt_bytes(size, sizeof size, (unsigned long long)st->rate));
    else if (st->rate < 1e5)
        snprintf(rate, sizeof rate, "%.0f %s/s", st->rate, st->unit);
    else
        snprintf(rate, sizeof rate, "%.3g million %s/s", st->rate / 1e6, st->unit);
    qs_str_addf(&text, "started %s", when);
    if (runs(w) && st->phase[0])
        qs_str_addf(&text, ", %s", st->phase);
    if (runs(w) && st->total && bytes)
        qs_str_addf(&text, ": %s of %s", qs_fmt_bytes(size, sizeof size, st->done),
                    qs_fmt_bytes(total, sizeof total, st->total));
    if (runs(w) && st->rate > 0)
        qs_str_addf(&text, ", %s", rate);
    if (runs(w))
        qs_str_addf(&text, ", %s of memory", qs_fmt_bytes(memory, sizeof memory, st->memory));
    if (st->error >= 0)
        qs_str_addf(&text, ", %s %s", runs(w) ? "error so far" : "error",
                    qs_fmt_percent(error, sizeof error, st->error, 3));
    qs_str_addc(&text, '\n');
    if (w->path) {
        qs_str_add(&text, "to ");
        qs_text_clean(&text, w->path, qs_app_ascii(a));
        qs_str_addc(&text, '\n');
    }
    if (w->result)
        qs_str_addf(&text, "written: %s in %s, relative RMS error %s of what was encoded, all weights measured\n",
                    qs_fmt_bytes(size, sizeof size, w->result->bytes), qs_fmt_seconds(total, sizeof total, st->elapsed),
                    qs_fmt_percent(error, sizeof error, qs_error_rms(&w->result->total), 3));
    if (st->err.code && st->state != QS_JOB_DONE) {
        qs_text_clean(&text, st->err.msg, qs_app_ascii(a));
        qs_str_add(&text,
                   w->kind == QS_WORK_WRITE ? "\nr writes it again, from where it stopped if that was kept\n" : "\n");
    }
    if (runs(w) && st->item[0]) {
        qs_text_clean(&text, st->item, qs_app_ascii(a));
        qs_str_addc(&text, '\n');
    }
    const int rows = text.failed ? 0 : qs_draw_wrapped(c, 0, 0, 2, qs_app_look(a, QS_LOOK_TEXT), text.data);
    qs_str_free(&text);
    return rows;
}

static void draw_tensor(struct qs_app *a, const struct qs_canvas *c, int y, const struct qs_work *w, size_t i,
                        bool cursor)
{
    static const char *const states[] = { [QS_WRITER_WAITING] = "waiting",
                                          [QS_WRITER_WORKING] = "working",
                                          [QS_WRITER_DONE] = "done",
                                          [QS_WRITER_COPIED] = "copied",
                                          [QS_WRITER_RESUMED] = "kept" };
    const struct qs_encoding *enc = &w->plan->enc[i];
    const struct qs_format *f = enc->copy ? enc->tensor->format : qs_format_by_id(enc->type);
    const int cols = qs_canvas_cols(c), name = cols > 64 ? cols - 52 : 14;
    struct qs_writer_watched now;
    char size[24], error[QS_FMT_MAX] = "";
    if (!qs_writer_watch_get(w->watch, i, &now))
        return;
    const struct qs_style style = qs_app_look(a, cursor && jobs_of(a)->in_tensors ? QS_LOOK_CURSOR
                                                 : now.state == QS_WRITER_WAITING ? QS_LOOK_MUTED
                                                 : now.state == QS_WRITER_WORKING ? QS_LOOK_TITLE
                                                                                  : QS_LOOK_TEXT);
    if (now.sums.n && !enc->copy)
        qs_fmt_percent(error, sizeof error, qs_error_rms(&now.sums), 2);
    qs_draw_fill(c, (struct qs_rect){ y, 0, 1, cols }, style);
    qs_draw_fit(c, y, 1, style, enc->tensor->name, name, QS_FIT_MIDDLE);
    qs_draw_fit(c, y, name + 2, style, f ? f->name : "unknown", 8, QS_FIT_LEFT);
    qs_draw_fit(c, y, name + 11, style, qs_fmt_bytes(size, sizeof size, enc->bytes), 11, QS_FIT_RIGHT);
    qs_draw_fit(c, y, name + 24, style, states[now.state], 8, QS_FIT_LEFT);
    if (now.state == QS_WRITER_WORKING)
        qs_draw_textf(c, y, name + 33, style, "%3.0f%%", 100 * now.done);
    qs_draw_fit(c, y, name + 38, style, error, 10, QS_FIT_RIGHT);
}

/* The tensor at work; the first that waits. */
static size_t working(const struct qs_work *w)
{
    struct qs_writer_watched now;
    size_t i = 0;
    while (i < w->plan->n && qs_writer_watch_get(w->watch, i, &now) &&
           now.state != QS_WRITER_WORKING && now.state != QS_WRITER_WAITING)
        i++;
    return i < w->plan->n ? i : w->plan->n - 1;
}

static void draw_tensors(struct qs_app *a, const struct qs_canvas *c, const struct qs_work *w)
{
    struct jobs *j = jobs_of(a);
    const int rows = qs_canvas_rows(c) - 1;
    struct qs_writer_totals t;
    char place[80];
    if (rows < 1)
        return;
    qs_list_set(&j->tensors, w->plan->n, (size_t)rows);
    if (j->follow && w->plan->n)
        qs_list_to(&j->tensors, working(w));
    qs_writer_watch_totals(w->watch, &t);
    qs_draw_textf(c, 0, 1, qs_app_look(a, QS_LOOK_MUTED),
                  "tensors %s: %zu done, %zu copied, %zu kept from before, %zu waiting%s",
                  qs_list_position(&j->tensors, place, sizeof place), t.n[QS_WRITER_DONE], t.n[QS_WRITER_COPIED],
                  t.n[QS_WRITER_RESUMED], t.n[QS_WRITER_WAITING], j->in_tensors ? "" : "  (Enter: move here)");
    j->tensors.at = (struct qs_rect){ c->at.y + 1, c->at.x, rows, qs_canvas_cols(c) };
    for (int y = 0; y < rows && j->tensors.top + (size_t)y < w->plan->n; y++) {
        const size_t i = j->tensors.top + (size_t)y;
        draw_tensor(a, c, y + 1, w, i, i == j->tensors.cursor);
    }
}

static void draw(struct qs_app *a, const struct qs_canvas *c)
{
    struct jobs *j = jobs_of(a);
    const size_t n = qs_workbench_jobs(qs_app_bench(a));
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    if (!n) {
        qs_draw_text(c, 1, 1, qs_app_look(a, QS_LOOK_MUTED), "nothing runs, nothing has run: W writes a file", -1);
        return;
    }
    const int most = rows / 3 > 3 ? rows / 3 : 3, wanted = (int)(n < (size_t)most ? n : (size_t)most);
    qs_list_set(&j->list, n, (size_t)wanted);
    j->list.at = (struct qs_rect){ c->at.y, c->at.x, wanted, cols };
    for (int y = 0; y < wanted && j->list.top + (size_t)y < n; y++)
        draw_job(a, c, y, qs_workbench_job(qs_app_bench(a), j->list.top + (size_t)y),
                 j->list.top + (size_t)y == j->list.cursor);
    qs_draw_hline(c, wanted, 0, cols, qs_app_look(a, QS_LOOK_FRAME));
    const struct qs_work *w = here(a);
    const struct qs_canvas one = qs_canvas_part(c, (struct qs_rect){ wanted + 1, 1, rows - wanted - 1, cols - 1 });
    const int used = w ? facts(a, &one, w) : 0;
    if (w && w->kind == QS_WORK_WRITE && w->watch) {
        const struct qs_canvas rest =
            qs_canvas_part(c, (struct qs_rect) { wanted + 1 + used, 0, rows - wanted - 1 - used, cols });
        draw_tensors(a, &rest, w);
    }
}

/* ---- doing ---- */

static void move(struct qs_app *a, enum qs_list_move m)
{
    struct jobs *j = jobs_of(a);
    if (j->in_tensors) {
        qs_list_move(&j->tensors, m);
        j->follow = false;
        return;
    }
    qs_list_move(&j->list, m);
    j->id = id_at(a, j->list.cursor);
    j->follow = true;
}


static const char *not_running(struct qs_app *a) { return here(a) && runs(here(a)) ? NULL : "this job does not run"; }
static const char *not_ended(struct qs_app *a) { return here(a) && !runs(here(a)) ? NULL : "this job has not ended"; }

static const char *not_stopped(struct qs_app *a)
{
    const struct qs_work *w = here(a);
    return w && (w->status.state == QS_JOB_FAILED || w->status.state == QS_JOB_CANCELLED) ? NULL
                                                                                          : "this job was not stopped";
}

static void pause_job(struct qs_app *a, const char *arg)
{
    (void)arg;
    qs_workbench_job_pause(qs_app_bench(a), here(a)->id, !here(a)->pause_wanted);
}

static void cancel_answered(struct qs_app *a, size_t answer, void *ctx)
{
    (void)answer;
    qs_workbench_job_cancel(qs_app_bench(a), (unsigned)(uintptr_t)ctx);
}

/* The file may be whole before the question is answered. */
static bool poll(struct qs_app *a)
{
    struct jobs *j = jobs_of(a);
    const struct qs_work *w = j->asked ? qs_workbench_job_by_id(qs_app_bench(a), j->asked) : NULL;
    if (!j->asked || (w && runs(w)))
        return false;
    qs_app_unask(a, cancel_answered, (void *)(uintptr_t)j->asked);
    j->asked = 0;
    return true;
}

static void cancel(struct qs_app *a, const char *arg)
{
    static const struct qs_app_answer stop[] = { { 's', "stop" } };
    (void)arg;
    jobs_of(a)->asked = here(a)->id;
    if (here(a)->kind == QS_WORK_WRITE)
        qs_app_ask(a, "Stop writing", "What is finished is kept: r goes on from there.", stop, 1, cancel_answered,
                   (void *)(uintptr_t)here(a)->id);
    else
        qs_workbench_job_cancel(qs_app_bench(a), here(a)->id);
}

static void resume(struct qs_app *a, const char *arg)
{
    struct qs_err e = QS_ERR_INIT;
    (void)arg;
    if (qs_workbench_job_resume(qs_app_bench(a), here(a)->id, &e))
        qs_app_fail(a, &e);
    jobs_of(a)->id = id_at(a, 0);
}

static void dismiss(struct qs_app *a, const char *arg)
{
    (void)arg;
    qs_workbench_job_dismiss(qs_app_bench(a), here(a)->id);
    jobs_of(a)->id = 0;
}

static void into(struct qs_app *a, const char *arg)
{
    struct jobs *j = jobs_of(a);
    (void)arg;
    j->in_tensors = here(a) && here(a)->kind == QS_WORK_WRITE && !j->in_tensors;
    j->follow = !j->in_tensors;
}

static void out(struct qs_app *a, const char *arg)
{
    struct jobs *j = jobs_of(a);
    (void)arg;
    if (!j->in_tensors)
        qs_app_back(a);
    j->in_tensors = false;
    j->follow = true;
}

static bool event(struct qs_app *a, const struct qs_event *ev)
{
    struct jobs *j = jobs_of(a);
    struct qs_event screen = *ev;
    if (ev->kind != QS_EVENT_MOUSE)
        return false;
    qs_app_to_screen(a, &screen);
    if (qs_list_mouse(&j->list, &screen)) {
        j->in_tensors = false;
        j->id = id_at(a, j->list.cursor);
        return true;
    }
    if (!here(a) || here(a)->kind != QS_WORK_WRITE || !qs_list_mouse(&j->tensors, &screen))
        return false;
    j->in_tensors = true;
    j->follow = false;
    return true;
}

static void enter(struct qs_app *a)
{
    struct jobs *j = jobs_of(a);
    j->in_tensors = false;
    j->follow = true;
}

static const struct qs_action actions[] = {
    { .name = "pause", .keys = "p", .brief = "pause", .rank = 2,
      .help = "pause the job, or let it go on", .refuse = not_running, .run = pause_job },
    { .name = "cancel", .keys = "x", .brief = "cancel", .rank = 3,
      .help = "cancel the job", .refuse = not_running, .run = cancel },
    { .name = "resume", .keys = "r", .brief = "go on", .rank = 2,
      .help = "go on with a job that was cancelled or failed", .refuse = not_stopped, .run = resume },
    { .name = "dismiss", .keys = "d Delete", .brief = "dismiss", .rank = 4,
      .help = "take an ended job off the list", .refuse = not_ended, .run = dismiss },
    { .name = "tensors-of-job", .keys = "Enter",
      .help = "move among the tensors of a file that is written", .run = into },
    { .name = "out", .keys = "Esc", .help = "back to the jobs, or to where we came from", .run = out },
    { .name = NULL }
};

const struct qs_screen qs_screen_jobs = {
    .name = "Jobs",
    .about = "what runs and what has ended",
    .actions = actions,
    .state_size = sizeof(struct jobs),
    .enter = enter,
    .refresh = refresh,
    .draw = draw,
    .move = move,
    .event = event,
    .poll = poll,
};
