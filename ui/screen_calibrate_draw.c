/* screen_calibrate_draw.c - what is seen of a calibration: where it stands, a cell per layer, output error by role.
 *
 * In a window that is large enough Setup and what it takes stand at the left, the run at the right, and below it
 * tensors, outliers or the log. Letters say what a layer is at, digits its error; colour repeats it.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ui/calibrate.h"
#include "ui/chart.h"

enum { WIDE = 140, WIDE_ROWS = 30, LEFT = 64 };

static const char *const view_names[CALIBRATE_VIEWS] = { "Setup", "Progress", "Tensors", "Outliers", "Log" };

/* ---- the head ---- */

static void state_text(struct qs_app *a, const struct qs_calibrating *s, char *buf, size_t n)
{
    const struct qs_work *w = s->job ? qs_workbench_job_by_id(qs_app_bench(a), s->job) : NULL;
    char left[32];
    buf[0] = 0;
    if (!w || !s->runs)
        return;
    const struct qs_job_status *st = &w->status;
    const double share = st->total ? 100 * (double)st->done / (double)st->total : 0;
    if (st->state == QS_JOB_PAUSED || w->pause_wanted)
        snprintf(buf, n, "%s at %.0f%%: p goes on", st->state == QS_JOB_PAUSED ? "paused" : "pausing", share);
    else if (st->eta >= 0)
        snprintf(buf, n, "%s %.0f%%, %s left", st->phase, share, qs_fmt_seconds(left, sizeof left, st->eta));
    else
        snprintf(buf, n, "%s %.0f%%", st->phase, share);
}

static void draw_head(struct qs_app *a, const struct qs_canvas *c, const struct qs_calibrating *s)
{
    const struct calibrate *v = calibrate_of(a);
    const int cols = qs_canvas_cols(c);
    char state[96], name[24];
    int x = 0;
    for (int i = 0; i < CALIBRATE_VIEWS; i++) {
        const bool here = v->view == (enum calibrate_view)i;
        snprintf(name, sizeof name, here ? "[%s]" : " %s ", view_names[i]);
        x += qs_draw_text(c, 0, x, qs_app_look(a, here ? QS_LOOK_TITLE : QS_LOOK_MUTED), name, -1);
    }
    state_text(a, s, state, sizeof state);
    const int n = (int)strlen(state);
    if (n && x + n + 1 < cols)
        qs_draw_text(c, 0, cols - n, qs_app_look(a, QS_LOOK_TEXT), state, n);
}

/* ---- layers ---- */

struct strip { int width, per_row, rows; }; /* cells of a layer, layers in a row, rows in all */

enum { LABEL = 4 };

/* The widest cells that fit: 6 with an error of three digits, then 3, then one letter or digit. */
static struct strip strip_of(int rows, int cols, size_t n)
{
    static const int widths[] = { 6, 3, 1 };
    struct strip s = { 1, cols - LABEL > 0 ? cols - LABEL : 1, 1 };
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        s.width = widths[i];
        s.per_row = (cols - LABEL) / s.width > 0 ? (cols - LABEL) / s.width : 1;
        s.rows = (int)((n + (size_t)s.per_row - 1) / (size_t)s.per_row);
        if (s.rows <= rows)
            break;
    }
    return s;
}

static struct qs_scale errors_of(const struct qs_calib_view *v)
{
    double error[512];
    size_t n = 0;
    for (size_t i = 0; i < v->n_layers && n < sizeof error / sizeof *error; i++)
        if (!isnan(v->layer[i].after))
            error[n++] = v->layer[i].after;
    return qs_scale_of(error, n, false);
}

static void layer_text(const struct qs_calib_layer *l, const struct qs_scale *scale, int width, char *buf, size_t n)
{
    static const char letters[] = { [QS_CALIB_WAITING] = '.', [QS_CALIB_COLLECTING] = 'c', [QS_CALIB_FACTORING] = 'f',
                                    [QS_CALIB_ENCODING] = 'e', [QS_CALIB_DONE] = '+', [QS_CALIB_FAILED] = '!' };
    if (l->state != QS_CALIB_DONE || isnan(l->after))
        snprintf(buf, n, "%c", letters[l->state]);
    else if (width >= 6)
        snprintf(buf, n, "%.*f", l->after >= 0.1 ? 1 : 2, 100 * l->after);
    else if (width >= 3)
        snprintf(buf, n, "%.0f", 100 * l->after);
    else
        snprintf(buf, n, "%u", qs_scale_level(scale, l->after));
}

static struct qs_style layer_style(struct qs_app *a, const struct qs_calib_layer *l, const struct qs_scale *scale)
{
    static const enum qs_look looks[] = {
        [QS_CALIB_WAITING] = QS_LOOK_UNKNOWN,    [QS_CALIB_COLLECTING] = QS_LOOK_SERIES_1,
        [QS_CALIB_FACTORING] = QS_LOOK_SERIES_2, [QS_CALIB_ENCODING] = QS_LOOK_SERIES_3,
        [QS_CALIB_DONE] = QS_LOOK_GOOD,          [QS_CALIB_FAILED] = QS_LOOK_ERROR
    };
    if (l->state == QS_CALIB_DONE && !isnan(l->after))
        return qs_theme_heat(qs_app_theme(a), qs_scale_position(scale, l->after));
    return qs_app_look(a, looks[l->state]);
}

int calibrate_layers_draw(struct qs_app *a, const struct qs_canvas *c, const struct qs_calib_view *v)
{
    const struct strip s = strip_of(qs_canvas_rows(c), qs_canvas_cols(c), v->n_layers);
    const struct qs_scale scale = errors_of(v);
    for (size_t i = 0; i < v->n_layers; i++) {
        const int y = (int)(i / (size_t)s.per_row), x = LABEL + (int)(i % (size_t)s.per_row) * s.width;
        char text[16];
        if (x == LABEL)
            qs_draw_textf(c, y, 0, qs_app_look(a, QS_LOOK_MUTED), "%3zu", i);
        layer_text(&v->layer[i], &scale, s.width, text, sizeof text);
        qs_draw_fit(c, y, x, layer_style(a, &v->layer[i], &scale), text, s.width - (s.width > 1), QS_FIT_CENTER);
    }
    return s.rows;
}

/* ---- where it stands ---- */

static void add_running(struct qs_app *a, struct qs_str *out, const struct qs_calibrating *s)
{
    const struct qs_work *w = qs_workbench_job_by_id(qs_app_bench(a), s->job);
    char memory[24], took[32], left[32];
    if (!w)
        return;
    const struct qs_job_status *st = &w->status;
    const char *stage = qs_calib_stage_name(s->view ? s->view->stage : QS_STAGE_WAITING);
    qs_str_add(out, stage);
    if (s->runs && st->phase[0] && st->total && strcmp(st->phase, stage) != 0)
        qs_str_addf(out, ", %s", st->phase);
    if (s->runs && st->total)
        qs_str_addf(out, ": %llu of %llu %s", (unsigned long long)st->done, (unsigned long long)st->total, st->unit);
    if (s->runs && st->rate > 0)
        qs_str_addf(out, ", %.*f %s/s", st->rate < 100 ? 1 : 0, st->rate, st->unit);
    qs_fmt_seconds(took, sizeof took, st->elapsed);
    qs_str_addf(out, s->runs ? ", %s so far" : ", in %s", took);
    if (s->runs && st->eta >= 0)
        qs_str_addf(out, ", %s left", qs_fmt_seconds(left, sizeof left, st->eta));
    if (s->runs)
        qs_str_addf(out, ", %s of memory", qs_fmt_bytes(memory, sizeof memory, st->memory));
    if (s->runs && s->told && s->told->need.memory)
        qs_str_addf(out, " (%s foretold)", qs_fmt_bytes(memory, sizeof memory, s->told->need.memory));
    qs_str_addc(out, '\n');
}

static void add_end(struct qs_app *a, struct qs_str *out, const struct qs_calibrating *s)
{
    if (s->runs)
        return;
    if (s->err.code == QS_ECANCELLED) {
        qs_str_add(out, "Cancelled; what is done is kept: r goes on from there.\n");
    } else if (s->err.code) {
        qs_str_add(out, "Failed: ");
        qs_text_clean(out, s->err.msg, qs_app_ascii(a));
        qs_str_add(out, " r goes on from what is done.\n");
    } else if (s->ended_well) {
        qs_str_add(out, "Done.");
        if (s->statistics) {
            qs_str_add(out, " Statistics: ");
            qs_text_clean(out, s->statistics, qs_app_ascii(a));
        }
        if (s->store) {
            qs_str_add(out, " Weights: ");
            qs_text_clean(out, s->store, qs_app_ascii(a));
        }
        qs_str_addc(out, '\n');
    }
}

static int draw_words(struct qs_app *a, const struct qs_canvas *c, const struct qs_calibrating *s)
{
    struct qs_str text = QS_STR_INIT;
    qs_text_clean(&text, s->title, qs_app_ascii(a));
    if (!s->of_document)
        qs_str_add(&text, " (not open any more)");
    qs_str_addc(&text, '\n');
    add_running(a, &text, s);
    add_end(a, &text, s);
    const bool failed = s->err.code && s->err.code != QS_ECANCELLED;
    const int used = text.failed ? 0
                                 : qs_draw_wrapped(c, 0, 0, 2, qs_app_look(a, failed ? QS_LOOK_ERROR : QS_LOOK_TEXT),
                                                   text.data);
    qs_str_free(&text);
    return used;
}

static void draw_progress(struct qs_app *a, const struct qs_canvas *c, const struct qs_calibrating *s)
{
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    if (!s->request) {
        qs_draw_wrapped(c, 0, 0, 0, qs_app_look(a, QS_LOOK_MUTED),
                        qs_workbench_calib_stopped(qs_app_bench(a)) ? CALIBRATE_STOPPED
                                                                    : "Nothing is calibrated: c starts what Setup says.");
        return;
    }
    int y = draw_words(a, c, s);
    if (!s->view)
        return;
    y += y + 12 < rows;
    qs_draw_fit(c, y++, 0, qs_app_look(a, QS_LOOK_MUTED),
                "Layers: . waiting c collecting f factoring e encoding + done, or error in %", cols,
                QS_FIT_LEFT);
    const int most = (rows - y) / 2 > 1 ? (rows - y) / 2 : 1;
    const struct qs_canvas cells = qs_canvas_part(c, (struct qs_rect){ y, 0, most, cols });
    y += calibrate_layers_draw(a, &cells, s->view);
    y += y + 10 < rows;
    const struct qs_canvas roles = qs_canvas_part(c, (struct qs_rect){ y, 0, rows - y, cols });
    calibrate_roles_draw(a, &roles);
}

/* ---- all of it ---- */

static void draw_setup(struct qs_app *a, const struct qs_canvas *c, bool focus)
{
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    const int all = (int)calibrate_rows(calibrate_of(a));
    const struct qs_canvas none = { c->cells, { c->at.y, c->at.x + 1, 0, cols - 1 }, c->ascii };
    const int wanted = calibrate_outlook_draw(a, &none), most = rows >= 16 ? rows * 6 / 10 : rows >= 8 ? 3 : 0;
    const int least = wanted < most ? wanted : most;
    const int fields = all < rows - least - 1 ? all : rows - least - (least > 0);
    const struct qs_canvas up = qs_canvas_part(c, (struct qs_rect){ 0, 0, fields, cols });
    calibrate_setup_draw(a, &up, focus);
    if (!least)
        return;
    const struct qs_canvas down = qs_canvas_part(c, (struct qs_rect){ fields + 1, 1, rows - fields - 1, cols - 1 });
    qs_draw_hline(c, fields, 0, cols, qs_app_look(a, QS_LOOK_FRAME));
    calibrate_outlook_draw(a, &down);
}

static void draw_view(struct qs_app *a, const struct qs_canvas *c, enum calibrate_view view,
                      const struct qs_calibrating *s, bool focus)
{
    switch (view) {
    case CALIBRATE_SETUP: draw_setup(a, c, focus); break;
    case CALIBRATE_PROGRESS: draw_progress(a, c, s); break;
    case CALIBRATE_TENSORS: calibrate_tensors_draw(a, c, focus); break;
    case CALIBRATE_OUTLIERS: calibrate_outliers_draw(a, c); break;
    case CALIBRATE_LOG: calibrate_log_draw(a, c); break;
    case CALIBRATE_VIEWS: break;
    }
}

static void draw_wide(struct qs_app *a, const struct qs_canvas *c, const struct qs_calibrating *s)
{
    const struct calibrate *v = calibrate_of(a);
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c), right = cols - LEFT - 2;
    const int log = rows >= 40 ? 8 : 0, up = (rows - log) * 6 / 10, middle = rows - up - log - 1 - (log > 0);
    const struct qs_canvas left = qs_canvas_part(c, (struct qs_rect){ 0, 0, rows, LEFT });
    const struct qs_canvas run = qs_canvas_part(c, (struct qs_rect){ 0, LEFT + 2, up, right });
    const struct qs_canvas beside = qs_canvas_part(c, (struct qs_rect){ up + 1, LEFT + 2, middle, right });
    const struct qs_canvas last = qs_canvas_part(c, (struct qs_rect){ rows - log, LEFT + 2, log, right });
    const struct qs_style frame = qs_app_look(a, QS_LOOK_FRAME);
    draw_view(a, &left, CALIBRATE_SETUP, s, v->view == CALIBRATE_SETUP);
    qs_draw_vline(c, 0, LEFT, rows, frame);
    draw_view(a, &run, CALIBRATE_PROGRESS, s, false);
    qs_draw_hline(c, up, LEFT + 1, right + 1, frame);
    draw_view(a, &beside, v->beside, s, v->view == v->beside);
    if (!log)
        return;
    qs_draw_hline(c, rows - log - 1, LEFT + 1, right + 1, frame);
    draw_view(a, &last, v->beside == CALIBRATE_LOG ? CALIBRATE_OUTLIERS : CALIBRATE_LOG, s, false);
}

void calibrate_draw(struct qs_app *a, const struct qs_canvas *c)
{
    struct calibrate *v = calibrate_of(a);
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c), head = rows >= 3 ? 2 : rows >= 2 ? 1 : 0;
    struct qs_calibrating s;
    qs_workbench_calib(qs_app_bench(a), &s);
    if (head)
        draw_head(a, c, &s);
    const struct qs_canvas body = qs_canvas_part(c, (struct qs_rect){ head, 0, rows - head, cols });
    if (v->view >= CALIBRATE_TENSORS)
        v->beside = v->view;
    if (cols >= WIDE && rows >= WIDE_ROWS)
        draw_wide(a, &body, &s);
    else
        draw_view(a, &body, v->view, &s, true);
}
