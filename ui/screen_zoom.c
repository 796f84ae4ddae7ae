/* screen_zoom.c - one tensor closely: error by block, profile of its channels, histogram, worst channels; measured by a
 * job and drawn as it comes.
 *
 * Owns a copy of what has been measured so far. All panes at once where there is room, else one at a time.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "core/quant/zoom.h"
#include "kernels/format.h"
#include "ui/app.h"
#include "ui/chart.h"
#include "ui/choose.h"
#include "ui/layout.h"
#include "ui/zoom.h"

enum pane { BLOCKS, COLUMNS, ROWS, HISTOGRAM, WORST, PANES };
static const char *const pane_names[PANES] = { "error by block", "columns (input channels)", "rows (output channels)",
                                               "histogram", "worst channels" };

struct zoom {
    size_t tensor;
    int type;
    uint64_t doc_version;
    struct qs_zoom *zoom;
    struct qs_zoom_view *view;
    uint64_t version;
    enum pane pane;
    bool log;               /* vertical axis of the histogram */
    bool sigma;             /* its horizontal axis in standard deviations */
    int measure;            /* of the profiles: enum qs_zoom_measure */
    double *scratch; size_t scratch_cap;
};

static struct zoom *zoom_of(struct qs_app *a) { return qs_app_state(a, &qs_screen_zoom); }

/* Looks at a tensor as a type. Where that cannot be, what is shown stays. */
static bool start(struct qs_app *a, size_t tensor, int type)
{
    struct zoom *z = zoom_of(a);
    struct qs_err e = QS_ERR_INIT;
    struct qs_zoom_view *view = NULL;
    struct qs_zoom *zoom = qs_workbench_zoom(qs_app_bench(a), tensor, type, 96, 160, &e);
    if (!zoom) {
        qs_app_fail(a, &e);
        return false;
    }
    qs_zoom_view_free(z->view); /* the workbench has ended what it was of */
    z->view = NULL;
    z->zoom = zoom;
    z->tensor = tensor;
    z->type = type;
    z->doc_version = qs_app_doc(a)->version;
    if (qs_zoom_view_new(zoom, &view, &e)) {
        qs_app_fail(a, &e);
        return false;
    }
    z->view = view;
    qs_zoom_copy(zoom, view);
    z->version = view->version;
    return true;
}

/* Another importance matrix stopped it: what it showed would be of the one before. */
static void refresh(struct qs_app *a)
{
    struct zoom *z = zoom_of(a);
    if (z->view && z->view->stage == QS_ZOOM_STOPPED && z->doc_version != qs_app_doc(a)->version)
        start(a, z->tensor, z->type);
}

void qs_zoom_into(struct qs_app *a, size_t tensor)
{
    if (start(a, tensor, qs_app_doc(a)->type[tensor]))
        qs_app_go(a, &qs_screen_zoom);
}

/* ---- panes ---- */

static double *scratch(struct zoom *z, size_t n)
{
    return qs_grow(&z->scratch, &z->scratch_cap, n, sizeof *z->scratch) ? z->scratch : NULL;
}

static void draw_blocks(struct qs_app *a, const struct qs_canvas *c)
{
    struct zoom *z = zoom_of(a);
    const struct qs_zoom_view *v = z->view;
    const size_t rows = v->axis[QS_ROWS].n_tiles, cols = v->axis[QS_COLS].n_tiles, n = rows * cols;
    double *value = scratch(z, n + 1);
    if (!value || !n || qs_canvas_rows(c) < 3)
        return;
    for (size_t i = 0; i < n; i++)
        value[i] = v->as_stored ? v->tile[i].mean_abs : v->tile[i].error;
    const struct qs_scale scale = qs_scale_of(value, n, false);
    /* Tiles are put together by their mean where there are more than fit. */
    const size_t fit_rows =
        (size_t)(qs_canvas_rows(c) - 1) * (qs_app_ascii(a) || qs_app_theme(a)->tier < QS_TIER_256 ? 1 : 2);
    const size_t fit_cols = (size_t)(qs_canvas_cols(c) > 0 ? qs_canvas_cols(c) : 1);
    const size_t by_row = (rows + fit_rows - 1) / fit_rows, by_col = (cols + fit_cols - 1) / fit_cols;
    const size_t out_rows = (rows + by_row - 1) / by_row, out_cols = (cols + by_col - 1) / by_col;
    double *small = qs_calloc(out_rows * out_cols, sizeof *small);
    if (!small)
        return;
    for (size_t r = 0; r < out_rows; r++)
        for (size_t k = 0; k < out_cols; k++) {
            double sum = 0;
            size_t m = 0;
            for (size_t i = r * by_row; i < rows && i < (r + 1) * by_row; i++)
                for (size_t j = k * by_col; j < cols && j < (k + 1) * by_col; j++)
                    if (!isnan(value[i * cols + j])) {
                        sum += value[i * cols + j];
                        m++;
                    }
            small[r * out_cols + k] = m ? sum / (double)m : (double)NAN;
        }
    const size_t wide = fit_cols / out_cols;
    const struct qs_grid grid = { .value = small,
                                  .rows = out_rows,
                                  .cols = out_cols,
                                  .scale = scale,
                                  .cell = (int)(wide < 1   ? 1
                                                : wide > 8 ? 8
                                                           : wide),
                                  .half = true,
                                  .sign = QS_GRID_DENSITY };
    qs_legend_draw(c, 0, 0, qs_canvas_cols(c), qs_app_theme(a), v->as_stored ? "mean size" : "error", &scale,
                   v->as_stored ? QS_UNIT_NONE : QS_UNIT_PERCENT, 3, QS_GRID_DENSITY);
    const struct qs_canvas body = qs_canvas_part(c, (struct qs_rect){ 1, 0, qs_canvas_rows(c) - 1, qs_canvas_cols(c) });
    qs_grid_draw(&body, qs_app_theme(a), &grid);
    qs_free(small);
}

static void draw_profile(struct qs_app *a, const struct qs_canvas *c, int axis)
{
    struct zoom *z = zoom_of(a);
    const struct qs_zoom_axis *x = &z->view->axis[axis];
    double *value = scratch(z, x->n_bins + 1u);
    if (!value || !x->n_bins)
        return;
    for (unsigned i = 0; i < x->n_bins; i++)
        value[i] = (double)x->bin[i].max[z->measure];
    const struct qs_profile p = { .value = value,
                                  .n = x->n_bins,
                                  .scale = qs_scale_of(value, x->n_bins, false),
                                  .area = true,
                                  .unit = z->measure == QS_ZOOM_ERROR ? QS_UNIT_PERCENT : QS_UNIT_NONE,
                                  .mark = (size_t)-1,
                                  .dots = QS_DOTS_BRAILLE,
                                  .name = x->n_bins < x->n ? "bin of channels (largest of each)" : "channel" };
    qs_profile_draw(c, qs_app_theme(a), &p);
}

static void draw_histogram(struct qs_app *a, const struct qs_canvas *c)
{
    struct zoom *z = zoom_of(a);
    const struct qs_zoom_view *v = z->view;
    const int scale = z->sigma ? QS_ZOOM_BY_SIGMA : QS_ZOOM_BY_VALUE;
    double *count = scratch(z, 2 * (size_t)QS_ZOOM_BINS);
    if (!count)
        return;
    for (size_t i = 0; i < QS_ZOOM_BINS; i++) {
        count[i] = (double)v->weights[scale].count[i];
        count[QS_ZOOM_BINS + i] = (double)v->decoded[scale].count[i];
    }
    const struct qs_histogram h = { .count = count,
                                    .after = v->as_stored ? NULL : count + QS_ZOOM_BINS,
                                    .n = QS_ZOOM_BINS,
                                    .low = qs_zoom_bin_from(v, scale, 0),
                                    .high = qs_zoom_bin_from(v, scale, QS_ZOOM_BINS),
                                    .unit = z->sigma ? QS_UNIT_SIGMA : QS_UNIT_NONE,
                                    .log = z->log,
                                    .name = "weights",
                                    .after_name = v->as_stored ? NULL : "quantized" };
    qs_histogram_draw(c, qs_app_theme(a), &h);
}

static int worst_of(struct qs_app *a, const struct qs_canvas *c, int y, const char *title, const struct qs_zoom_axis *x,
                    const struct qs_worst *large, unsigned n_large)
{
    char error[QS_FMT_MAX];
    qs_draw_text(c, y++, 0, qs_app_look(a, QS_LOOK_TITLE), title, -1);
    for (unsigned i = 0; i < 8 && (i < x->n_worst || i < n_large) && y < qs_canvas_rows(c); i++, y++) {
        if (i < x->n_worst)
            qs_draw_textf(c, y, 1, qs_app_look(a, QS_LOOK_TEXT), "%7llu  error %s, %.1f times the median",
                          (unsigned long long)x->worst[i].index,
                          qs_fmt_percent(error, sizeof error, x->worst[i].error, 2), x->worst[i].ratio);
        if (i < n_large && qs_canvas_cols(c) >= 84)
            qs_draw_textf(c, y, 44, qs_app_look(a, QS_LOOK_TEXT), "%7llu  largest %.4g, %.1f times the median%s",
                          (unsigned long long)large[i].index, large[i].max_abs, large[i].ratio,
                          large[i].ratio >= QS_OUTLIER_RATIO ? " !" : "");
    }
    return y;
}

static void draw_worst(struct qs_app *a, const struct qs_canvas *c)
{
    const struct qs_zoom_view *v = zoom_of(a)->view;
    int y = worst_of(a, c, 0, "columns (input channels)", &v->axis[QS_COLS], v->stats.col,
                     v->stats.known ? v->stats.n_cols_worst : 0);
    worst_of(a, c, y + 1, "rows (output channels)", &v->axis[QS_ROWS], v->stats.row,
             v->stats.known ? v->stats.n_rows_worst : 0);
}

/* ", worst 2.70%: rows 12-15, columns 32-63" */
static void name_worst(const struct qs_zoom_view *v, const struct qs_canvas *c, int x, struct qs_style style)
{
    const struct qs_zoom_axis *rows = &v->axis[QS_ROWS], *cols = &v->axis[QS_COLS];
    char error[QS_FMT_MAX];
    size_t worst = (size_t)-1;
    for (size_t i = 0; i < (size_t)rows->n_tiles * cols->n_tiles; i++)
        if (!isnan((double)v->tile[i].error) && (worst == (size_t)-1 || v->tile[i].error > v->tile[worst].error))
            worst = i;
    if (v->as_stored || worst == (size_t)-1)
        return;
    const size_t r = worst / cols->n_tiles, k = worst % cols->n_tiles;
    qs_draw_textf(c, 0, x, style, ", worst %s: rows %llu-%llu, columns %llu-%llu",
                  qs_fmt_percent(error, sizeof error, (double)v->tile[worst].error, 2),
                  (unsigned long long)rows->tile_from[r], (unsigned long long)rows->tile_from[r + 1] - 1,
                  (unsigned long long)cols->tile_from[k], (unsigned long long)cols->tile_from[k + 1] - 1);
}

static void draw_pane(struct qs_app *a, const struct qs_canvas *c, enum pane pane, bool titled)
{
    static const char *const measures[] = {
        [QS_ZOOM_MAX_ABS] = "largest weight", [QS_ZOOM_RMS] = "root mean square", [QS_ZOOM_ERROR] = "error"
    };
    const struct zoom *z = zoom_of(a);
    struct qs_canvas in = *c;
    if (titled) {
        const bool profile = pane == COLUMNS || pane == ROWS;
        const int n = qs_draw_text(c, 0, 0, qs_app_look(a, QS_LOOK_TITLE), pane_names[pane], -1);
        if (profile)
            qs_draw_textf(c, 0, n, qs_app_look(a, QS_LOOK_MUTED), ": %s", measures[z->measure]);
        if (pane == BLOCKS && qs_canvas_cols(c) >= 60)
            name_worst(z->view, c, n, qs_app_look(a, QS_LOOK_MUTED));
        in = qs_canvas_part(c, (struct qs_rect){ 1, 0, qs_canvas_rows(c) - 1, qs_canvas_cols(c) });
    }
    switch (pane) {
    case BLOCKS: draw_blocks(a, &in); break;
    case COLUMNS: draw_profile(a, &in, QS_COLS); break;
    case ROWS: draw_profile(a, &in, QS_ROWS); break;
    case HISTOGRAM: draw_histogram(a, &in); break;
    case WORST: draw_worst(a, &in); break;
    case PANES: break;
    }
}

/* ---- all ---- */

/* Returns the rows taken. */
static int draw_head(struct qs_app *a, const struct qs_canvas *c)
{
    const struct zoom *z = zoom_of(a);
    const struct qs_zoom_view *v = z->view;
    char error[QS_FMT_MAX], size[24];
    qs_draw_textf(c, 0, 0, qs_app_look(a, QS_LOOK_TITLE), "%s as %s", v->tensor->name, qs_format_by_id(v->type)->name);
    struct qs_str line = QS_STR_INIT;
    qs_str_addf(&line, "%s, %.3f bpw", qs_fmt_bytes(size, sizeof size, v->bytes), v->bpw);
    if (v->overflow)
        qs_str_add(&line, ", weights are too large for this type");
    else if (!v->as_stored)
        qs_str_addf(&line, ", error %s", qs_fmt_percent(error, sizeof error, v->error, 3));
    if (v->rows_done < v->axis[QS_ROWS].n)
        qs_str_addf(&line, ", %s of the rows measured",
                    qs_fmt_percent(error, sizeof error, (double)v->rows_done / (double)v->axis[QS_ROWS].n, 0));
    else
        qs_str_add(&line, ", all weights measured");
    if (v->weighted)
        qs_str_add(&line, ", encoded with importance weights");
    if (v->stage == QS_ZOOM_STOPPED)
        qs_str_add(&line, " (stopped)");
    if (v->stats.known)
        qs_str_addf(&line, ", kurtosis %.2f, largest %.1f sd", v->stats.kurtosis, v->stats.max_sigma);
    const int rows =
        line.failed
            ? 0
            : qs_draw_wrapped(&(struct qs_canvas) { c->cells, { c->at.y + 1, c->at.x, 2, c->at.cols }, c->ascii }, 0, 0,
                              0, qs_app_look(a, QS_LOOK_TEXT), line.data);
    qs_str_free(&line);
    return 1 + (rows > 2 ? 2 : rows);
}

static void draw(struct qs_app *a, const struct qs_canvas *c)
{
    struct zoom *z = zoom_of(a);
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    if (!z->view) {
        qs_draw_text(c, 1, 1, qs_app_look(a, QS_LOOK_MUTED), "Enter on the map or on a tensor looks into it", -1);
        return;
    }
    if (z->zoom && qs_zoom_version(z->zoom) != z->version) {
        qs_zoom_copy(z->zoom, z->view);
        z->version = z->view->version;
    }
    const int said = draw_head(a, c), head = rows >= 14 ? said + 1 : 1;
    if (head == 1) /* the picture counts more than the numbers above it */
        qs_draw_fill(c, (struct qs_rect){ 1, 0, rows - 1, cols }, qs_app_look(a, QS_LOOK_TEXT));
    const struct qs_rect body = { head, 0, rows - head, cols };
    if (cols < 120 || rows < 36) {
        const struct qs_canvas one = qs_canvas_part(c, body);
        draw_pane(a, &one, z->pane, true);
        return;
    }
    const int half = cols / 2, upper = (rows - head) / 2;
    const struct { enum pane pane; struct qs_rect at;
    } at[] = {
        { BLOCKS, { head, 0, upper - 1, half - 2 } },
        { z->pane == ROWS ? ROWS : COLUMNS, { head, half, upper - 1, cols - half } },
        { HISTOGRAM, { head + upper, 0, rows - head - upper, half - 2 } },
        { WORST, { head + upper, half, rows - head - upper, cols - half } },
    };
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        const struct qs_canvas part = qs_canvas_part(c, at[i].at);
        draw_pane(a, &part, at[i].pane, true);
    }
}

/* ---- doing ---- */

static void next_pane(struct qs_app *a, const char *arg)
{
    struct zoom *z = zoom_of(a);
    (void)arg;
    z->pane = (enum pane)((z->pane + 1) % PANES);
}
static void pane_before(struct qs_app *a, const char *arg)
{
    struct zoom *z = zoom_of(a);
    (void)arg;
    z->pane = (enum pane)((z->pane + PANES - 1) % PANES);
}
static void scale(struct qs_app *a, const char *arg) { struct zoom *z = zoom_of(a); (void)arg; z->log = !z->log; }
static void sigma(struct qs_app *a, const char *arg) { struct zoom *z = zoom_of(a); (void)arg; z->sigma = !z->sigma; }
static void measure(struct qs_app *a, const char *arg)
{
    struct zoom *z = zoom_of(a);
    (void)arg;
    z->measure = (z->measure + 1) % QS_ZOOM_MEASURES;
}

static void other_type(struct qs_app *a, const char *arg)
{
    struct zoom *z = zoom_of(a);
    struct qs_err e = QS_ERR_INIT;
    int type;
    if (qs_recipe_type(arg, &type, &e)) {
        qs_app_fail(a, &e);
        return;
    }
    start(a, z->tensor, type);
}

static void step(struct qs_app *a, int direction)
{
    struct zoom *z = zoom_of(a);
    /* The model's tensor: the copy of the picture may not have been filled yet. */
    const int next =
        z->view ? qs_workbench_next_type(qs_app_bench(a), &qs_app_doc(a)->model->tensor[z->tensor], z->type, direction)
                : QS_TYPE_NONE;
    if (next == QS_TYPE_NONE) {
        qs_app_say(a, "no further step");
        return;
    }
    start(a, z->tensor, next);
}

static void step_up(struct qs_app *a, const char *arg) { (void)arg; step(a, 1); }
static void step_down(struct qs_app *a, const char *arg) { (void)arg; step(a, -1); }

/* The type looked at becomes the tensor's own in the recipe. */
static void take(struct qs_app *a, const char *arg)
{
    struct zoom *z = zoom_of(a);
    (void)arg;
    if (z->view && z->type != QS_TYPE_NONE)
        qs_choose_set(a, &(struct qs_chosen){ .tensor = &z->tensor, .n = 1 }, qs_format_by_id(z->type)->name);
}

static void leave(struct qs_app *a, const char *arg)
{
    (void)arg;
    qs_app_back(a);
}

static bool poll(struct qs_app *a)
{
    const struct zoom *z = zoom_of(a);
    return z->zoom && z->view && qs_app_screen(a) == &qs_screen_zoom && qs_zoom_version(z->zoom) != z->version;
}

static void forget(struct zoom *z)
{
    qs_zoom_view_free(z->view);
    z->view = NULL;
    z->zoom = NULL;
}

static void done(void *state)
{
    struct zoom *z = state;
    forget(z);
    qs_free(z->scratch);
}

static void document(struct qs_app *a)
{
    qs_workbench_zoom_end(qs_app_bench(a));
    forget(zoom_of(a));
    if (qs_app_screen(a) == &qs_screen_zoom)
        qs_app_go(a, &qs_screen_map);
}

static const struct qs_action actions[] = {
    { .name = "next-pane", .keys = "v l Right", .brief = "view", .rank = 2,
      .help = "the next picture: blocks, columns, rows, histogram, worst channels", .run = next_pane },
    { .name = "previous-pane", .keys = "V h Left", .help = "the picture before", .run = pane_before },
    { .name = "axis", .keys = "s", .brief = "log/linear", .rank = 4,
      .help = "histogram on a logarithmic or a linear axis", .run = scale },
    { .name = "sigma", .keys = "d",
      .help = "histogram in standard deviations, or in the weights' own unit", .run = sigma },
    { .name = "profile", .keys = "m", .brief = "measure", .rank = 5,
      .help = "profiles show the largest weight, the root mean square, or the error", .run = measure },
    { .name = "step-up", .keys = "+ =", .brief = "one type up", .rank = 3,
      .help = "look at the next type with more bits; the recipe stays", .run = step_up },
    { .name = "step-down", .keys = "-", .help = "look at the next type with fewer bits", .run = step_down },
    { .name = "as", .keys = "t", .arg = QS_ARG_TYPE, .help = "look at another type", .run = other_type },
    { .name = "take", .keys = "Enter", .brief = "take it", .rank = 4,
      .help = "give the tensor the type that is looked at", .run = take },
    { .name = "leave", .keys = "Esc z", .brief = "back", .rank = 1, .help = "back", .run = leave },
    { .name = NULL }
};

const struct qs_screen qs_screen_zoom = {
    .name = "Zoom",
    .about = "one tensor: error by block, channels, histogram",
    .actions = actions,
    .needs_document = true,
    .hidden = true,
    .state_size = sizeof(struct zoom),
    .done = done,
    .document = document,
    .refresh = refresh,
    .draw = draw,
    .poll = poll,
};
