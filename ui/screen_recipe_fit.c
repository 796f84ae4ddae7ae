/* screen_recipe_fit.c - a budget on the Recipe screen: asked for and found by a job, the frontier of size against
 * predicted KL divergence with presets and saved recipes as points, and why a tensor has its type.
 *
 * What was found is the workbench's (core/workbench_calib.h); here it is only drawn.
 */
#include "ui/recipe_fit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/workbench_calib.h"
#include "kernels/format.h"

static void state_of(struct qs_app *a, struct qs_fit_state *out)
{
    qs_workbench_fit_state(qs_app_bench(a), out);
}

static const char *cost_name(const struct qs_fit *f)
{
    return f->kld ? "KL divergence" : "sum of squared errors";
}

bool qs_recipe_fit_shown(struct qs_app *a)
{
    struct qs_fit_state s;
    state_of(a, &s);
    return (s.fit || s.runs) && !qs_recipe_fit_of(a)->hidden;
}

/* ---- asking -------------------------------------------------------------------------------------------------- */

static void begin(struct qs_app *a, const char *budget)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_workbench_fit(qs_app_bench(a), budget, qs_recipe_fit_of(a)->tie, &e)) {
        qs_app_fail(a, &e);
        return;
    }
    qs_recipe_fit_of(a)->hidden = false;
    qs_app_say(a, "fitting %s", budget);
}

/* ---- statistics beside the model ---- */

/* What Calibrate has left there, where the document has no importance matrix yet. */
static bool statistics_beside(struct qs_app *a, struct qs_str *path)
{
    const struct qs_doc *d = qs_app_doc(a);
    struct qs_err why = QS_ERR_INIT;
    return d && !d->imatrix && !qs_workbench_imatrix_reading(qs_app_bench(a)) &&
           !qs_workbench_calib_places(qs_app_bench(a), path, NULL, &why) && qs_file_exists(path->data);
}

static void answered(struct qs_app *a, size_t answer, void *ctx)
{
    struct qs_recipe_fit *f = qs_recipe_fit_of(a);
    struct qs_str path = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    (void)ctx;
    if (answer == 1 || !statistics_beside(a, &path)) {
        begin(a, f->budget);
        f->budget[0] = 0;
    } else if (qs_workbench_imatrix(qs_app_bench(a), path.data, &e)) {
        qs_app_fail(a, &e);
    } else {
        f->reading = true;
        qs_app_say(a, "reading the statistics %s, then fitting %s", path.data, f->budget);
    }
    qs_str_free(&path);
}

/* The statistics are there, or why they are not: then the budget is fitted with them, or not at all. */
static bool read_poll(struct qs_app *a)
{
    struct qs_recipe_fit *f = qs_recipe_fit_of(a);
    if (!f->reading || qs_workbench_imatrix_reading(qs_app_bench(a)))
        return false;
    f->reading = false;
    if (qs_app_doc(a) && qs_app_doc(a)->imatrix)
        begin(a, f->budget);
    f->budget[0] = 0;
    return true;
}

static void fit(struct qs_app *a, const char *budget)
{
    static const struct qs_app_answer answers[] = { { 'u', "use them" }, { 'w', "without" } };
    struct qs_recipe_fit *f = qs_recipe_fit_of(a);
    struct qs_str path = QS_STR_INIT, why = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_budget checked;
    if (!*budget)
        return;
    if (qs_app_doc(a) && qs_budget_parse(budget, qs_app_doc(a)->model, &checked, &e))
        qs_app_fail(a, &e);
    else if (!statistics_beside(a, &path)) {
        begin(a, budget);
    } else {
        snprintf(f->budget, sizeof f->budget, "%s", budget);
        qs_text_clean(&why, qs_path_base(path.data), qs_app_ascii(a));
        qs_str_add(&why, " lies beside the model: statistics of a calibration tell what an error of each tensor costs "
                         "better than the weights alone do.");
        qs_app_ask(a, "Fit a budget", why.failed ? "" : why.data, answers, 2, answered, NULL);
    }
    qs_str_free(&path);
    qs_str_free(&why);
}

static void typed(struct qs_app *a, const char *text, void *ctx) { (void)ctx; fit(a, text); }

void qs_recipe_fit_ask(struct qs_app *a, const char *arg)
{
    if (arg)
        fit(a, arg);
    else
        qs_app_prompt(a, "budget (4.2GiB, 4.5 bpw, fits in 8 GiB with 8k context): ", NULL, QS_ARG_TEXT, NULL, typed,
                      NULL);
}

void qs_recipe_fit_bpw(struct qs_app *a, const char *arg)
{
    char text[64];
    snprintf(text, sizeof text, "%.40s bpw", arg);
    fit(a, text);
}

void qs_recipe_fit_apply(struct qs_app *a, const char *arg)
{
    struct qs_err e = QS_ERR_INIT;
    (void)arg;
    if (qs_workbench_fit_apply(qs_app_bench(a), &e))
        qs_app_fail(a, &e);
    else
        qs_app_say(a, "the recipe that was found (u takes it back)");
}

void qs_recipe_fit_tie(struct qs_app *a, const char *arg)
{
    struct qs_recipe_fit *f = qs_recipe_fit_of(a);
    f->tie = arg ? strcmp(arg, "on") == 0 : !f->tie;
    qs_app_say(a, f->tie ? "q k v, gate and up, and experts of a layer will get one type each"
                         : "every tensor will get a type of its own");
}

void qs_recipe_fit_toggle(struct qs_app *a, const char *arg)
{
    struct qs_recipe_fit *f = qs_recipe_fit_of(a);
    (void)arg;
    f->hidden = !f->hidden;
    qs_app_touch(a);
}

bool qs_recipe_fit_poll(struct qs_app *a)
{
    struct qs_recipe_fit *f = qs_recipe_fit_of(a);
    struct qs_fit_state s;
    char size[24];
    if (read_poll(a) || qs_recipe_prove_poll(a))
        return true;
    state_of(a, &s);
    if (s.runs || !s.job || s.job == f->told_job)
        return false;
    f->told_job = s.job;
    if (s.err.code == QS_ECANCELLED)
        qs_app_say(a, "the budget was not fitted: cancelled");
    else if (s.err.code)
        qs_app_tell_failed(a, &s.err);
    else if (s.fit)
        qs_app_say(a, "%s: %s, %.3f bpw, predicted %s %.5f (u takes it back)", s.budget.text,
                   qs_fmt_bytes(size, sizeof size, s.fit->bytes), s.fit->bpw, cost_name(s.fit), s.fit->predicted);
    return true;
}

/* ---- why ----------------------------------------------------------------------------------------------------- */

static const char *how_text(enum qs_fit_how how)
{
    static const char *const text[] = { [QS_FIT_SWAP] = "measured by changing it alone",
                                        [QS_FIT_ROLE] = "as measured for its role",
                                        [QS_FIT_ALL] = "as measured for other tensors",
                                        [QS_FIT_ERROR] = "by its error alone" };
    return text[how];
}

static const char *type_text(int type)
{
    const struct qs_format *f = qs_format_by_id(type);
    return f ? f->name : "?";
}

bool qs_recipe_fit_why(struct qs_app *a, size_t tensor, struct qs_str *out)
{
    const struct qs_doc *d = qs_app_doc(a);
    struct qs_fit_state s;
    char error[QS_FMT_MAX], size[24];
    state_of(a, &s);
    if (!s.fit || !d || tensor >= d->model->n_tensors || s.fit->choice[tensor].type == QS_TYPE_NONE ||
        s.fit->choice[tensor].type != d->type[tensor])
        return false;
    const struct qs_fit_choice *c = &s.fit->choice[tensor];
    qs_str_addf(out, "%s: ", type_text(c->type));
    if (c->pinned)
        qs_str_add(out, "pinned; ");
    if (!isnan(c->error))
        qs_str_addf(out, "error %s (%s), ", qs_fmt_percent(error, sizeof error, c->error, 2),
                    qs_calib_method_name(c->method));
    qs_str_addf(out, "costs %s%.6f, %s", s.fit->kld ? "KLD " : "", c->cost, how_text(c->how));
    if (c->up != QS_TYPE_NONE)
        qs_str_addf(out, "; %s takes %s more and saves %.6f", type_text(c->up),
                    qs_fmt_bytes(size, sizeof size, c->up_bytes), c->up_saves);
    if (c->down != QS_TYPE_NONE)
        qs_str_addf(out, "; %s gives back %s for %.6f", type_text(c->down),
                    qs_fmt_bytes(size, sizeof size, c->down_bytes), c->down_costs);
    return !out->failed;
}

/* ---- the frontier -------------------------------------------------------------------------------------------- */

struct plot {
    struct qs_canvas c;        /* without axes */
    double x0, x1, y0, y1;     /* bytes; log of KLD, low to high */
    uint8_t *taken;            /* cells with a mark or name */
};

static bool on_plot(const struct plot *p, double bytes, double kld, int *y, int *x)
{
    const int rows = qs_canvas_rows(&p->c), cols = qs_canvas_cols(&p->c);
    if (!(kld > 0) || bytes < p->x0 || bytes > p->x1)
        return false;
    const double v = log(kld);
    *x = (int)lround((bytes - p->x0) / (p->x1 - p->x0) * (cols - 1));
    *y = (int)lround((p->y1 - v) / (p->y1 - p->y0) * (rows - 1));
    return *x >= 0 && *x < cols && *y >= 0 && *y < rows;
}

static void widen(struct plot *p, double bytes, double kld)
{
    if (!(kld > 0) || !isfinite(kld))
        return;
    p->x0 = fmin(p->x0, bytes);
    p->x1 = fmax(p->x1, bytes);
    p->y0 = fmin(p->y0, log(kld));
    p->y1 = fmax(p->y1, log(kld));
}

/* Between two points straight lines in the plot. */
static void draw_curve(struct qs_app *a, struct plot *p, const struct qs_fit_state *s)
{
    const struct qs_style style = qs_app_look(a, QS_LOOK_SERIES_1);
    for (size_t i = 0; i + 1 < s->n_points; i++) {
        const struct qs_fit_point *u = &s->point[i], *w = &s->point[i + 1];
        if (!(u->predicted > 0) || !(w->predicted > 0))
            continue;
        for (int k = 0; k <= 40; k++) {
            const double t = k / 40.0;
            int y, x;
            if (on_plot(p, (double)u->bytes + t * ((double)w->bytes - (double)u->bytes),
                        exp(log(u->predicted) + t * (log(w->predicted) - log(u->predicted))), &y, &x))
                qs_draw_glyph(&p->c, y, x, style, qs_app_ascii(a) ? "." : "\u00b7");
        }
    }
}

static bool is_free(const struct plot *p, int y, int x, int n)
{
    const int cols = qs_canvas_cols(&p->c);
    if (x < 0 || x + n > cols)
        return false;
    for (int i = 0; i < n; i++)
        if (p->taken[y * cols + x + i])
            return false;
    return true;
}

/* A point with its name. All points come first, so that no name hides one. */
struct mark { double bytes, kld; const char *glyph, *name; struct qs_style style; };

static void draw_point(struct plot *p, const struct mark *m)
{
    int y, x;
    if (!on_plot(p, m->bytes, m->kld, &y, &x))
        return;
    qs_draw_glyph(&p->c, y, x, m->style, m->glyph);
    p->taken[y * qs_canvas_cols(&p->c) + x] = 1;
}

/* Where n cells are free at the right or left of a point; -1: nowhere. */
static int place_of(const struct plot *p, int y, int x, int n)
{
    if (y < 0 || y >= qs_canvas_rows(&p->c))
        return -1;
    return is_free(p, y, x + 1, n) ? x + 1 : is_free(p, y, x - n, n) ? x - n : -1;
}

/* Beside its point, with a blank on either side where there is room, so that the curve ends before it; what was found (the
 * first) above or below it rather than not at all. */
static void draw_name(struct plot *p, const struct mark *m, bool first)
{
    static const struct { int dy, pad; } way[] = { { 0, 1 }, { 0, 0 }, { -1, 0 }, { 1, 0 } };
    const int cols = qs_canvas_cols(&p->c), len = (int)strlen(m->name);
    char text[sizeof ((struct qs_fit_mark *)0)->name + 3];
    int y, x, at = -1;
    if (!on_plot(p, m->bytes, m->kld, &y, &x))
        return;
    for (size_t i = 0; at < 0 && i < (first ? 4 : 2); i++) {
        const int n = len + 2 * way[i].pad;
        if ((at = place_of(p, y + way[i].dy, x, n)) < 0)
            continue;
        y += way[i].dy;
        snprintf(text, sizeof text, way[i].pad ? " %s " : "%s", m->name);
        qs_draw_text(&p->c, y, at, m->style, text, n);
        memset(p->taken + y * cols + at, 1, (size_t)n);
    }
}

static struct mark mark_of(struct qs_app *a, const struct qs_fit_state *s, size_t i)
{
    const bool ascii = qs_app_ascii(a);
    if (i == 0)
        return (struct mark){ (double)s->fit->bytes, s->fit->predicted, ascii ? "@" : "\u25c6", "this",
                              qs_app_look(a, QS_LOOK_CHANGED) };
    const struct qs_fit_mark *m = &s->mark[i - 1];
    return (struct mark){ (double)m->bytes, m->predicted, m->file ? (ascii ? "*" : "\u25b2") : ascii ? "o" : "\u25cb",
                          m->name, qs_app_look(a, m->file ? QS_LOOK_SERIES_3 : QS_LOOK_TEXT) };
}

static void draw_marks(struct qs_app *a, struct plot *p, const struct qs_fit_state *s)
{
    for (size_t i = s->n_marks + 1; i-- > 0;) { /* ours last: on top */
        const struct mark m = mark_of(a, s, i);
        draw_point(p, &m);
    }
    for (size_t i = 0; i <= s->n_marks; i++) {
        const struct mark m = mark_of(a, s, i);
        draw_name(p, &m, i == 0);
    }
}

enum { AXIS = 9 };

static void draw_axes(struct qs_app *a, const struct qs_canvas *c, const struct plot *p, bool kld)
{
    const int rows = qs_canvas_rows(&p->c), cols = qs_canvas_cols(&p->c);
    const struct qs_style style = qs_app_look(a, QS_LOOK_MUTED);
    char low[24], high[24];
    for (int i = 0; i < 3; i++) {
        const int y = i * (rows - 1) / 2;
        qs_draw_textf(c, y, 0, style, "%8.2g", exp(p->y1 - (p->y1 - p->y0) * y / (rows > 1 ? rows - 1 : 1)));
    }
    qs_fmt_bytes(low, sizeof low, (unsigned long long)p->x0);
    qs_fmt_bytes(high, sizeof high, (unsigned long long)p->x1);
    qs_draw_text(c, rows, AXIS, style, low, -1);
    qs_draw_fit(c, rows, AXIS + cols - (int)strlen(high), style, high, (int)strlen(high), QS_FIT_LEFT);
    const char *name = kld ? "size of tensors, against predicted KLD (log)"
                           : "size of tensors, against squared error (log)";
    if ((int)(strlen(low) + strlen(high) + strlen(name)) + 6 < cols)
        qs_draw_fit(c, rows, AXIS + (int)strlen(low) + 2, style, name,
                    cols - (int)strlen(low) - (int)strlen(high) - 4, QS_FIT_CENTER);
}

static void draw_plot(struct qs_app *a, const struct qs_canvas *c, const struct qs_fit_state *s)
{
    const int rows = qs_canvas_rows(c) - 1, cols = qs_canvas_cols(c) - AXIS;
    struct plot p = { .x0 = INFINITY, .x1 = -INFINITY, .y0 = INFINITY, .y1 = -INFINITY };
    if (rows < 3 || cols < 20)
        return;
    p.c = qs_canvas_part(c, (struct qs_rect){ 0, AXIS, rows, cols });
    widen(&p, (double)s->fit->bytes, s->fit->predicted);
    for (size_t i = 0; i < s->n_points; i++)
        widen(&p, (double)s->point[i].bytes, s->point[i].predicted);
    for (size_t i = 0; i < s->n_marks; i++)
        if (!s->n_points || (double)s->mark[i].bytes <= (double)s->point[s->n_points - 1].bytes * 1.02)
            widen(&p, (double)s->mark[i].bytes, s->mark[i].predicted);
    if (!(p.x1 > p.x0) || !(p.y1 > p.y0))
        return;
    p.taken = qs_calloc((size_t)rows * (size_t)cols + 1, 1);
    if (!p.taken)
        return;
    draw_axes(a, c, &p, s->fit->kld);
    draw_curve(a, &p, s);
    draw_marks(a, &p, s);
    qs_free(p.taken);
}

/* ---- the pane ------------------------------------------------------------------------------------------------ */

static void add_words(struct qs_app *a, struct qs_str *out, const struct qs_fit_state *s)
{
    char size[24], kv[24];
    qs_str_addf(out, "Fit %s: %s of tensors, %.3f bpw, predicted %s %.5f", s->budget.text,
                qs_fmt_bytes(size, sizeof size, s->fit->bytes), s->fit->bpw, cost_name(s->fit), s->fit->predicted);
    if (s->fit->exact)
        qs_str_add(out, ", proven the least");
    else if (s->fit->bound > 0)
        qs_str_addf(out, ", none is below %.5f", s->fit->bound);
    if (s->budget.kv)
        qs_str_addf(out, "; the KV cache takes %s", qs_fmt_bytes(kv, sizeof kv, s->budget.kv));
    qs_str_addc(out, '\n');
    if (s->fit->base && s->fit->base[0]) {
        qs_str_add(out, "Costs: ");
        qs_text_clean(out, s->fit->base, qs_app_ascii(a));
        qs_str_addc(out, '\n');
    }
    qs_recipe_prove_words(a, out);
    if (!s->applied)
        qs_str_add(out, "The recipe is another one now: :fit-apply takes what was found.\n");
}

void qs_recipe_fit_draw(struct qs_app *a, const struct qs_canvas *c, size_t tensor)
{
    const struct qs_doc *d = qs_app_doc(a);
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    struct qs_fit_state s;
    struct qs_str text = QS_STR_INIT;
    state_of(a, &s);
    if (!s.fit) {
        qs_draw_text(c, 0, 0, qs_app_look(a, QS_LOOK_MUTED), s.runs ? "fitting ..." : "no budget was fitted yet", -1);
        return;
    }
    add_words(a, &text, &s);
    int y = text.failed ? 0 : qs_draw_wrapped(c, 0, 0, 2, qs_app_look(a, QS_LOOK_TEXT), text.data);
    qs_str_clear(&text);
    if (tensor != SIZE_MAX && d) {
        qs_text_clean(&text, d->model->tensor[tensor].name, qs_app_ascii(a));
        qs_str_add(&text, " is ");
        if (qs_recipe_fit_why(a, tensor, &text)) {
            const struct qs_canvas rest = qs_canvas_part(c, (struct qs_rect){ y, 0, rows - y, cols });
            y += qs_draw_wrapped(&rest, 0, 0, 2, qs_app_look(a, QS_LOOK_TITLE), text.data);
        }
    }
    qs_str_free(&text);
    const int height = rows - y > 26 ? 26 : rows - y;
    const struct qs_canvas plot = qs_canvas_part(c, (struct qs_rect){ y, 0, height, cols });
    draw_plot(a, &plot, &s);
}
