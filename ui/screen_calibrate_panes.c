/* screen_calibrate_panes.c - panes beside a calibration: output error by role, all tensors, activation outliers by
 * layer, and what the log has of it.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/text.h"
#include "core/calib/inputs.h"
#include "ui/calibrate.h"
#include "ui/chart.h"

static bool none_yet(struct qs_app *a, const struct qs_canvas *c, const struct qs_calibrating *s)
{
    if (s->view)
        return false;
    qs_draw_wrapped(c, 0, 0, 0, qs_app_look(a, QS_LOOK_MUTED), "Nothing was calibrated yet: c starts what Setup says.");
    return true;
}

/* ---- by role ---- */

/* "attn_q   5.61 -> 3.42%  8/8  #####---": the bar is the weighted fit's error, its full part what is left of it. */
static void draw_role(struct qs_app *a, const struct qs_canvas *c, int y, const struct qs_calib_roles *r, double most)
{
    const int cols = qs_canvas_cols(c), name = cols >= 60 ? 14 : 11;
    char numbers[48] = "", count[24];
    const struct qs_style text = qs_app_look(a, QS_LOOK_TEXT);
    qs_draw_fit(c, y, 0, text, qs_role_name(r->role), name, QS_FIT_MIDDLE);
    if (r->done)
        snprintf(numbers, sizeof numbers, "%5.2f %s %5.2f%%", 100 * r->before, qs_app_ascii(a) ? "->" : "\u2192",
                 100 * r->after);
    qs_draw_text(c, y, name + 1, text, numbers, -1);
    snprintf(count, sizeof count, "%zu/%zu", r->done, r->tensors);
    qs_draw_fit(c, y, name + 18, qs_app_look(a, QS_LOOK_MUTED), count, 7, QS_FIT_RIGHT);
    const int room = cols - name - 27, length = r->done && most > 0 ? (int)lround(room * r->before / most) : 0;
    if (room > 4 && length > 0)
        qs_draw_gauge(c, y, name + 27, length, r->before > 0 ? fmin(1, r->after / r->before) : 0,
                      qs_app_look(a, QS_LOOK_GAUGE), qs_app_look(a, QS_LOOK_GAUGE_REST));
}

void calibrate_roles_draw(struct qs_app *a, const struct qs_canvas *c)
{
    struct qs_calibrating s;
    struct qs_calib_roles role[QS_ROLE_COUNT];
    double most = 0;
    qs_workbench_calib(qs_app_bench(a), &s);
    if (none_yet(a, c, &s))
        return;
    const size_t n = qs_calib_by_role(s.model, s.view, role);
    for (size_t i = 0; i < n; i++)
        most = role[i].before > most ? role[i].before : most;
    qs_draw_fit(c, 0, 0, qs_app_look(a, QS_LOOK_MUTED),
                "Output error by role, weighted fit and chosen method, tensors done", qs_canvas_cols(c), QS_FIT_LEFT);
    for (size_t i = 0; i < n && 1 + (int)i < qs_canvas_rows(c); i++)
        draw_role(a, c, 1 + (int)i, &role[i], most);
}

/* ---- tensors ---- */

#define TABLE_SECONDS 0.5 /* between two tables while it runs, at least */

void calibrate_refresh(struct qs_app *a)
{
    struct calibrate *v = calibrate_of(a);
    struct qs_calibrating s;
    struct qs_err e = QS_ERR_INIT;
    qs_workbench_calib(qs_app_bench(a), &s);
    const uint64_t version = s.view ? s.view->version : 0;
    if (!s.view || (v->report && v->report_of == s.model && v->report_version == version) ||
        (v->report && s.runs && qs_now() - v->report_at < TABLE_SECONDS))
        return;
    const struct qs_calib_report x = { .model = s.model, .view = s.view, .seconds = -1 };
    struct qs_report *r = qs_report_calibrate_tensors(&x);
    const bool ok = r && !qs_report_failed(r);
    if (qs_table_view_set(&v->tensors, ok ? qs_report_section(r, 0) : NULL, &e))
        qs_app_fail(a, &e);
    qs_report_free(v->report);
    v->report = r;
    v->report_version = version;
    v->report_of = s.model;
    v->report_at = qs_now();
}

void calibrate_tensors_draw(struct qs_app *a, const struct qs_canvas *c, bool focus)
{
    struct calibrate *v = calibrate_of(a);
    struct qs_calibrating s;
    qs_workbench_calib(qs_app_bench(a), &s);
    if (none_yet(a, c, &s))
        return;
    v->tensors.search = qs_app_search(a);
    v->tensors.focus = focus;
    qs_table_view_draw(&v->tensors, c, qs_app_theme(a));
}

/* ---- outliers ---- */

enum { POINTS = sizeof((struct qs_calib_layer *)0)->outlier_ratio / sizeof(double), NAME = 13, HEAD = 3 };

/* Points that some layer has a value for, and the values: point by point. */
static size_t gather(const struct qs_calib_view *v, double *value, enum qs_point point[POINTS])
{
    size_t n = 0;
    for (size_t p = 0; p < POINTS; p++) {
        bool any = false;
        for (size_t i = 0; i < v->n_layers; i++) {
            value[n * v->n_layers + i] = v->layer[i].outlier_ratio[p];
            any |= !isnan(v->layer[i].outlier_ratio[p]);
        }
        if (any)
            point[n++] = (enum qs_point)p;
    }
    return n;
}

static void draw_worst(struct qs_app *a, const struct qs_canvas *c, int y, const double *value,
                       const enum qs_point *point, size_t n, size_t layers)
{
    size_t worst = 0;
    for (size_t i = 1; i < n * layers; i++)
        if (!isnan(value[i]) && !(value[i] <= value[worst]))
            worst = i;
    if (n && layers && !isnan(value[worst]))
        qs_draw_textf(c, y, 0, qs_app_look(a, value[worst] >= QS_SALIENT_RATIO ? QS_LOOK_WARNING : QS_LOOK_TEXT),
                      "worst: %s of %s %zu, %.1f times the median channel", qs_point_name(point[worst / layers]),
                      worst % layers + 1 == layers ? "the head, layer" : "layer", worst % layers, value[worst]);
}

/* Above the cells: of every layer where there is room for it, else of every tenth; the last is the head. */
static void draw_layer_numbers(struct qs_app *a, const struct qs_canvas *c, size_t layers, int cell)
{
    const struct qs_style style = qs_app_look(a, QS_LOOK_MUTED);
    const size_t step = cell >= 4 ? 1 : cell >= 2 ? 5 : 10;
    qs_draw_fit(c, HEAD - 1, 0, style, "layer", NAME - 1, QS_FIT_LEFT);
    for (size_t i = 0; i < layers; i += step) {
        const bool head = i + 1 == layers;
        char text[16];
        snprintf(text, sizeof text, "%zu", i);
        const int room = (int)step * cell;
        qs_draw_fit(c, HEAD - 1, NAME + (int)i * cell, style, head && cell >= 4 ? "head" : text, room,
                    cell >= 4 ? QS_FIT_CENTER : QS_FIT_LEFT);
    }
}

void calibrate_outliers_draw(struct qs_app *a, const struct qs_canvas *c)
{
    struct qs_calibrating s;
    enum qs_point point[POINTS];
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    qs_workbench_calib(qs_app_bench(a), &s);
    if (none_yet(a, c, &s))
        return;
    double *value = qs_calloc(POINTS * s.view->n_layers + 1, sizeof *value);
    if (!value)
        return;
    const size_t n = gather(s.view, value, point), layers = s.view->n_layers;
    const struct qs_scale scale = qs_scale_of(value, n * layers, true);
    qs_draw_fit(c, 0, 0, qs_app_look(a, QS_LOOK_MUTED),
                n ? "Activations by layer: the largest channel over the median channel"
                  : "Activations: no layer has been collected yet",
                cols, QS_FIT_LEFT);
    const int room = (cols - NAME) / (int)(layers ? layers : 1), cell = room < 1 ? 1 : room > 6 ? 6 : room;
    const struct qs_canvas grid = qs_canvas_part(c, (struct qs_rect){ HEAD, NAME, rows - HEAD, cols - NAME });
    const struct qs_grid g = { .value = value, .rows = n, .cols = layers, .scale = scale, .cell = cell,
                               .sign = QS_GRID_DIGITS };
    if (n) {
        qs_legend_draw(c, 1, 0, cols, qs_app_theme(a), "times", &scale, QS_UNIT_NONE, 2, QS_GRID_DIGITS);
        qs_grid_draw(&grid, qs_app_theme(a), &g);
        draw_layer_numbers(a, c, layers, cell);
    }
    for (size_t i = 0; i < n && HEAD + (int)i < rows; i++)
        qs_draw_fit(c, HEAD + (int)i, 0, qs_app_look(a, QS_LOOK_TEXT), qs_point_name(point[i]), NAME - 1, QS_FIT_LEFT);
    if (n && rows > (int)n + HEAD)
        draw_worst(a, c, (int)n + HEAD, value, point, n, layers);
    qs_free(value);
}

/* ---- log ---- */

static bool of_calibration(const struct qs_log_line *l)
{
    return strstr(l->text, "calibrat") != NULL || strstr(l->text, "importance matrix") != NULL;
}

/* The newest lines that fit; moving looks at older ones. */
void calibrate_log_draw(struct qs_app *a, const struct qs_canvas *c)
{
    static const enum qs_look looks[] = {
        [QS_LOG_NOTE] = QS_LOOK_TEXT, [QS_LOG_WARNING] = QS_LOOK_WARNING, [QS_LOG_ERROR] = QS_LOOK_ERROR
    };
    struct calibrate *v = calibrate_of(a);
    const struct qs_log *log = qs_workbench_log(qs_app_bench(a));
    const int rows = qs_canvas_rows(c);
    size_t n = 0, at = 0;
    for (size_t i = 0; i < qs_log_count(log); i++)
        n += of_calibration(qs_log_at(log, i));
    const bool follow = v->view != CALIBRATE_LOG || v->log.cursor + 1 >= v->log.n;
    qs_list_set(&v->log, n, rows > 0 ? (size_t)rows : 1);
    if (follow)
        qs_list_to(&v->log, n ? n - 1 : 0);
    for (size_t i = 0; i < qs_log_count(log); i++) {
        const struct qs_log_line *l = qs_log_at(log, i);
        char when[16];
        struct tm tm;
        const time_t t = (time_t)l->time;
        if (!of_calibration(l) || at++ < v->log.top || at - v->log.top > (size_t)(rows > 0 ? rows : 0))
            continue;
        strftime(when, sizeof when, "%H:%M:%S", localtime_r(&t, &tm));
        const int y = (int)(at - 1 - v->log.top), x = qs_draw_text(c, y, 0, qs_app_look(a, QS_LOOK_MUTED), when, -1);
        qs_draw_fit(c, y, x + 1, qs_app_look(a, looks[l->level]), l->text, qs_canvas_cols(c) - x - 1, QS_FIT_LEFT);
    }
    if (!n)
        qs_draw_text(c, 0, 0, qs_app_look(a, QS_LOOK_MUTED), "nothing has been calibrated yet", -1);
}
