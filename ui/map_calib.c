/* map_calib.c - what the map shows of calibrations: measured output error as it comes in, outliers of activations, and
 * the measured divergence of single tensors. Owns nothing.
 */
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"
#include "core/calib/output.h"
#include "core/workbench_calib.h"
#include "ui/map_internal.h"

static bool value_of(struct qs_app *a, enum qs_map_measure measure, size_t tensor, double *out)
{
    const struct qs_doc *d = qs_app_doc(a);
    struct qs_made_output o;
    struct qs_channel_facts f;
    *out = NAN;
    const struct qs_error_cell *cell;
    struct qs_output sampled;
    if (measure == QS_MAP_OUTPUT && qs_workbench_output(qs_app_bench(a), tensor, &o))
        *out = isnan(o.after) ? o.before : o.after;
    else if (measure == QS_MAP_OUTPUT && d->outputs &&
             qs_outputs_get(d->outputs, tensor, d->plan->enc[tensor].type, &sampled))
        *out = sampled.error;
    else if (measure == QS_MAP_OUTPUT && d->statistics && d->type[tensor] != QS_TYPE_NONE &&
             (cell = qs_statistics_error(d->statistics, d->model->tensor[tensor].name, d->type[tensor],
                                         QS_CALIB_IMATRIX)) != NULL)
        *out = cell->error;
    else if (measure == QS_MAP_ACTIVATIONS && qs_workbench_channels(qs_app_bench(a), tensor, &f))
        *out = f.outlier_ratio;
    else if (measure == QS_MAP_SWAP && d->statistics) {
        const struct qs_swap_cell *s = qs_statistics_swap(d->statistics, d->model->tensor[tensor].name);
        *out = s ? s->kld : (double)NAN;
    }
    return !isnan(*out);
}

bool qs_map_has(struct qs_app *a, enum qs_map_measure measure)
{
    const struct qs_doc *d = qs_app_doc(a);
    struct qs_calibrating s;
    double value;
    qs_workbench_calib(qs_app_bench(a), &s);
    if (measure == QS_MAP_OUTPUT && ((s.runs && s.of_document) || (d && d->outputs)))
        return true;
    for (size_t i = 0; d && i < d->model->n_tensors; i++)
        if (value_of(a, measure, i, &value))
            return true;
    return false;
}

double *qs_map_given(struct qs_app *a, enum qs_map_measure measure)
{
    const size_t n = qs_app_doc(a)->model->n_tensors;
    double *given = qs_calloc(n + 1, sizeof *given);
    for (size_t i = 0; given && i < n; i++)
        (void)value_of(a, measure, i, &given[i]);
    return given;
}

void qs_map_given_title(struct qs_app *a, enum qs_map_measure measure, struct qs_str *out)
{
    struct qs_calibrating s;
    qs_workbench_calib(qs_app_bench(a), &s);
    if (measure == QS_MAP_ACTIVATIONS)
        qs_str_add(out, "Activations: largest channel over the median channel");
    else if (measure == QS_MAP_SWAP)
        qs_str_add(out, "KL divergence when this tensor alone is changed, measured");
    else
        qs_str_add(out, s.runs && s.of_document ? "Output error in %, on held-out text (calibrating)"
                                                : "Output error in %, by the calibration or its activations");
}

/* Of the type that the plan gives, as encoders write it. */
static int draw_sampled(struct qs_app *a, const struct qs_canvas *c, size_t tensor)
{
    const struct qs_doc *d = qs_app_doc(a);
    const int type = d->plan->enc[tensor].type;
    struct qs_output o;
    char error[QS_FMT_MAX];
    if (!d->outputs || !qs_outputs_get(d->outputs, tensor, type, &o) || isnan(o.error))
        return 0;
    qs_draw_textf(c, 0, 0, qs_app_look(a, QS_LOOK_TITLE), "output error %s%s as %s, on the statistics' activations",
                  o.how == QS_HOW_SAMPLED ? "~" : "", qs_fmt_percent(error, sizeof error, o.error, 2),
                  qs_type_name(type));
    return 1;
}

static int draw_output(struct qs_app *a, const struct qs_canvas *c, size_t tensor)
{
    struct qs_made_output o;
    char before[QS_FMT_MAX], after[QS_FMT_MAX];
    if (!qs_workbench_output(qs_app_bench(a), tensor, &o))
        return draw_sampled(a, c, tensor);
    if (isnan(o.after)) {
        qs_draw_textf(c, 0, 0, qs_app_look(a, QS_LOOK_TITLE), "%s", qs_calib_state_name(o.state));
        return 1;
    }
    qs_draw_textf(c, 0, 0, qs_app_look(a, QS_LOOK_TITLE), "output error %s %s %s by %s",
                  qs_fmt_percent(before, sizeof before, o.before, 2), qs_app_ascii(a) ? "->" : "\u2192",
                  qs_fmt_percent(after, sizeof after, o.after, 2), o.method);
    return o.note[0] ? 1 + qs_draw_wrapped(&(struct qs_canvas){ c->cells, { c->at.y + 1, c->at.x, c->at.rows - 1,
                                                                            c->at.cols }, c->ascii },
                                           0, 0, 2, qs_app_look(a, QS_LOOK_WARNING), o.note)
                     : 1;
}

static int draw_channels(struct qs_app *a, const struct qs_canvas *c, size_t tensor)
{
    struct qs_channel_facts f;
    char salient[QS_FMT_MAX];
    if (!qs_workbench_channels(qs_app_bench(a), tensor, &f))
        return 0;
    qs_draw_textf(c, 0, 0, qs_app_look(a, QS_LOOK_TITLE),
                  "channel %zu: %.1f times the median; %s of channels above %.0f", f.n_worst ? f.worst[0] : 0,
                  f.outlier_ratio, qs_fmt_percent(salient, sizeof salient, f.salient, 1), QS_SALIENT_RATIO);
    return 1;
}

static int draw_swap(struct qs_app *a, const struct qs_canvas *c, size_t tensor)
{
    const struct qs_doc *d = qs_app_doc(a);
    const struct qs_swap_cell *s = d->statistics ? qs_statistics_swap(d->statistics, d->model->tensor[tensor].name)
                                                 : NULL;
    const struct qs_format *f = s ? qs_format_by_id(s->type) : NULL;
    if (!s)
        return 0;
    qs_draw_textf(c, 0, 0, qs_app_look(a, QS_LOOK_TITLE), "alone as %s (%s): KL divergence %.6f %s %.6f",
                  f ? f->name : "?", qs_calib_method_name(s->method), s->kld, qs_app_ascii(a) ? "+-" : "\u00b1",
                  s->kld_se);
    return 1;
}

int qs_map_given_draw(struct qs_app *a, const struct qs_canvas *c, const struct qs_heat_cell *cell)
{
    const size_t tensor = qs_model_index(qs_app_doc(a)->model, cell->tensor);
    switch (qs_map_of(a)->heat->measure) {
    case QS_MAP_OUTPUT: return draw_output(a, c, tensor);
    case QS_MAP_ACTIVATIONS: return draw_channels(a, c, tensor);
    case QS_MAP_SWAP: return draw_swap(a, c, tensor);
    default: return 0;
    }
}
