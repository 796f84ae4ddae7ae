/* calibrate_encode.c - goes through the layers in turn: both models' windows, half a block at a time; what each input
 * shows, the tensors that read it, and on with the encoded ones in place.
 *
 * Owns the two streams while it runs. What the store has already is taken as it is.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/calibrate_internal.h"

/* ---- how much there is to do ---- */

static uint64_t tokens_of(const struct qs_calibration *c)
{
    return c->corpus ? (uint64_t)(c->corpus->n_fit + c->corpus->n_held) * c->corpus->n_ctx : 0;
}

static bool wanted(const struct qs_calibration *c, size_t tensor)
{
    return qs_calibrate_type(c, tensor) != QS_TYPE_NONE && !qs_store_find(c->store, c->args.model->tensor[tensor].name);
}

static bool input_wanted(const struct qs_calibration *c, const struct qs_input *in)
{
    for (size_t i = 0; i < in->n_tensors; i++)
        if (wanted(c, in->tensor[i]))
            return true;
    return false;
}

static bool anything_wanted(const struct qs_calibration *c)
{
    for (size_t i = 0; i < c->inputs->n; i++)
        if (input_wanted(c, &c->inputs->input[i]))
            return true;
    return false;
}

/* Encoding is counted as tokens too: as many as would take about as long on their way through a block. */
static uint64_t tokens_like(const struct qs_calibration *c, size_t tensor)
{
    const struct qs_tensor *t = &c->args.model->tensor[tensor];
    return c->corpus ? tokens_of(c) / 8 + t->ne[0] : t->rows;
}

static uint64_t all_steps(const struct qs_calibration *c)
{
    const uint64_t tokens = tokens_of(c), n_layer = qs_engine_config(c->origin)->n_layer;
    uint64_t n = c->corpus ? 2 * 2 * n_layer * tokens : 0;
    for (size_t i = 0; i < c->inputs->n; i++) {
        const struct qs_input *in = &c->inputs->input[i];
        if (!input_wanted(c, in))
            continue;
        const unsigned times = c->corpus && c->args.methods.awq && in->point != QS_POINT_HEAD ? 2 : 1;
        n += c->corpus ? times * 2 * tokens * qs_calib_passes(c, in, NULL) : 0;
        for (size_t k = 0; k < in->n_tensors; k++)
            n += wanted(c, in->tensor[k]) ? times * tokens_like(c, in->tensor[k]) : 0;
    }
    return n;
}

/* ---- one input ---- */

static void tell_state(struct qs_calibration *c, const struct qs_input *in, size_t tensor, enum qs_calib_state state)
{
    qs_calib_watch_tensor_state(c->args.watch, tensor, state);
    qs_calib_watch_layer_state(c->args.watch, (size_t)in->layer, state);
}

/* The experts that were looked at, of every tensor on the input. */
static int encode_slices(struct qs_calib_look *k, uint8_t **bytes, struct qs_calib_made *made, struct qs_err *e)
{
    struct qs_calibration *c = k->c;
    const struct qs_input *in = k->input;
    int rc = QS_OK;
    for (size_t i = 0; !rc && i < in->n_tensors; i++) {
        const size_t tensor = in->tensor[i];
        const struct qs_tensor *t = &c->args.model->tensor[tensor];
        const int type = qs_calibrate_type(c, tensor);
        if (!bytes[i])
            continue;
        tell_state(c, in, tensor, QS_CALIB_ENCODING);
        qs_job_item(c->job, "%s %s", t->name, qs_type_name(type));
        const size_t slice = (size_t)(qs_tensor_bytes_as(t, type) / in->experts);
        for (size_t x = 0; !rc && x < k->n; x++)
            rc = qs_calib_encode_slice(k, &k->slice[x], tensor, k->first + x, bytes[i] + (k->first + x) * slice,
                                       &made[i], e);
        if (!rc && k->first + k->n == in->experts)
            rc = c->trial ? qs_calib_trial_put(c, tensor, &made[i], bytes[i], e)
                          : qs_calib_keep(c, tensor, 0, &made[i], bytes[i], e);
        if (!rc)
            rc = qs_job_step(c->job, tokens_like(c, tensor) * k->n / in->experts, e);
        if (!rc && k->first + k->n == in->experts) { /* room for the next one */
            qs_free(bytes[i]);
            bytes[i] = NULL;
        }
    }
    return rc;
}

static int encode_looks(struct qs_calibration *c, const struct qs_input *in, uint8_t **bytes,
                        struct qs_calib_made *made, struct qs_err *e)
{
    size_t at_once = in->experts;
    int rc = QS_OK;
    (void)qs_calib_passes(c, in, &at_once);
    for (size_t first = 0; !rc && first < in->experts; first += at_once) {
        struct qs_calib_look k;
        const size_t n = in->experts - first < at_once ? in->experts - first : at_once;
        for (size_t i = 0; i < in->n_tensors; i++)
            if (bytes[i])
                tell_state(c, in, in->tensor[i], QS_CALIB_COLLECTING);
        qs_job_item(c->job, "%s of layer %d", qs_point_name(in->point), in->layer);
        rc = c->corpus ? qs_calib_look_new(c, in, first, n, &k, e) : qs_calib_look_statistics(c, in, &k, e);
        if (!rc && c->trial && c->trial->folds)
            rc = qs_calib_fold_search(c, &k, e);
        if (!rc)
            rc = encode_slices(&k, bytes, made, e);
        if (!rc || k.slice)
            qs_calib_look_free(&k);
    }
    return rc;
}

static int encode_input(struct qs_calibration *c, const struct qs_input *in, struct qs_err *e)
{
    uint8_t **bytes = qs_calloc(in->n_tensors, sizeof *bytes);
    struct qs_calib_made *made = qs_calloc(in->n_tensors, sizeof *made);
    int rc = bytes && made ? QS_OK : qs_fail_mem(e, in->n_tensors * sizeof *made, "the tensors of an input");
    bool any = false;
    for (size_t i = 0; !rc && i < in->n_tensors; i++) {
        bool there = true;
        if (c->trial)
            there = qs_calibrate_type(c, in->tensor[i]) == QS_TYPE_NONE;
        else if (qs_calibrate_type(c, in->tensor[i]) != QS_TYPE_NONE)
            rc = qs_calib_take_kept(c, in->tensor[i], &there, e);
        if (rc || there)
            continue;
        any = true;
        const uint64_t n = qs_tensor_bytes_as(&c->args.model->tensor[in->tensor[i]],
                                              qs_calibrate_type(c, in->tensor[i]));
        bytes[i] = qs_malloc((size_t)n);
        if (!bytes[i])
            rc = qs_fail_mem(e, n, "an encoded tensor");
    }
    if (!rc && any)
        rc = encode_looks(c, in, bytes, made, e);
    for (size_t i = 0; bytes && i < in->n_tensors; i++)
        qs_free(bytes[i]);
    qs_free(bytes);
    qs_free(made);
    return rc;
}

/* ---- layers ---- */

/* Root of the mean square of its tensors' errors, each by its weights. */
static void tell_layer(struct qs_calibration *c, size_t layer, double seconds)
{
    struct qs_calib_layer now = { .state = QS_CALIB_DONE, .seconds = seconds };
    double before = 0, after = 0, weights = 0;
    for (size_t p = 0; p < sizeof now.outlier_ratio / sizeof *now.outlier_ratio; p++)
        now.outlier_ratio[p] = NAN;
    for (size_t i = 0; i < c->inputs->n; i++) {
        const struct qs_input *in = &c->inputs->input[i];
        const struct qs_input_stats *x = c->statistics ? qs_statistics_of(c->statistics, in->layer, in->point) : NULL;
        struct qs_channel_facts facts;
        if ((size_t)in->layer != layer)
            continue;
        if (x && (size_t)in->point < sizeof now.outlier_ratio / sizeof *now.outlier_ratio) {
            qs_channel_facts(x, c->statistics->tokens, &facts);
            now.outlier_ratio[in->point] = facts.outlier_ratio;
        }
        for (size_t k = 0; k < in->n_tensors; k++) {
            const struct qs_tensor *t = &c->args.model->tensor[in->tensor[k]];
            const struct qs_stored *s = qs_store_find(c->store, t->name);
            if (!s || !isfinite(s->after))
                continue;
            before += s->before * s->before * (double)t->n;
            after += s->after * s->after * (double)t->n;
            weights += (double)t->n;
        }
    }
    now.before = weights > 0 ? sqrt(before / weights) : NAN;
    now.after = weights > 0 ? sqrt(after / weights) : NAN;
    qs_calib_watch_layer(c->args.watch, layer, &now);
}

int qs_calib_encode_inputs(struct qs_calibration *c, size_t layer, enum qs_half half, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t i = 0; !rc && i < c->inputs->n; i++) {
        const struct qs_input *in = &c->inputs->input[i];
        if ((size_t)in->layer == layer && qs_point_half(in->point) == half)
            rc = encode_input(c, in, e);
    }
    return rc;
}

static int encode_half(struct qs_calibration *c, size_t layer, enum qs_half half, struct qs_err *e)
{
    const bool fold = c->args.methods.awq && c->corpus && c->statistics && half != QS_HALF_HEAD;
    int rc = fold ? qs_calib_encode_folded(c, layer, half, e) : qs_calib_encode_inputs(c, layer, half, e);
    for (int k = 0; !rc && half != QS_HALF_HEAD && c->corpus && k < 2; k++)
        rc = qs_stream_half(c->stream[k], layer, half, 0, true, NULL, NULL, c->job, e);
    return rc;
}

static int encode_layers(struct qs_calibration *c, struct qs_err *e)
{
    const size_t n_layer = qs_engine_config(c->origin)->n_layer;
    int rc = QS_OK;
    for (size_t l = 0; !rc && l <= n_layer; l++) {
        const double began = qs_now();
        qs_calib_watch_layer_state(c->args.watch, l, QS_CALIB_COLLECTING);
        if (l == n_layer) {
            rc = encode_half(c, l, QS_HALF_HEAD, e);
        } else {
            rc = encode_half(c, l, QS_HALF_ATTN, e);
            rc = rc ? rc : encode_half(c, l, QS_HALF_FFN, e);
        }
        if (!rc)
            tell_layer(c, l, qs_now() - began);
        else if (rc != QS_ECANCELLED)
            qs_calib_watch_layer_state(c->args.watch, l, QS_CALIB_FAILED);
    }
    return rc;
}

/* ---- what no input is known of ---- */

static int encode_plain(struct qs_calibration *c, size_t tensor, struct qs_err *e)
{
    const struct qs_tensor *t = &c->args.model->tensor[tensor];
    const struct qs_format *f = qs_format_by_id(qs_calibrate_type(c, tensor));
    const size_t cols = (size_t)t->ne[0], row = qs_format_row_bytes(f, cols),
                 most = cols > 1 << 20 ? 1 : ((size_t)1 << 22) / cols;
    struct qs_calib_made made = { .n = { [QS_CALIB_PLAIN] = 1 }, .note = "rows are looked up: no input to go by" };
    struct qs_weight *w = NULL;
    float *x = qs_malloc(most * cols * sizeof *x);
    uint8_t *bytes = qs_malloc((size_t)qs_tensor_bytes_as(t, f->id));
    int rc = x && bytes ? QS_OK : qs_fail_mem(e, qs_tensor_bytes_as(t, f->id), "an encoded tensor");
    if (!rc && (f->flags & QS_NEEDS_IMATRIX))
        rc = qs_fail(e, QS_EINVAL,
                     "%s as %s needs importance weights, and nothing flows through it that they could be taken of",
                     t->name, f->name);
    if (!rc)
        rc = qs_model_weight(c->args.model, t, &w, e);
    qs_job_item(c->job, "%s %s", t->name, f->name);
    for (uint64_t at = 0; !rc && at < t->rows; at += most) {
        const size_t n = t->rows - at < most ? (size_t)(t->rows - at) : most;
        rc = qs_weight_decode(w, at, n, x, e);
        for (size_t i = 0; !rc && i < n * cols; i++)
            if (!isfinite(x[i]))
                rc = qs_fail(e, QS_EFORMAT, "%s: the weight at row %llu, column %zu is NaN or infinite", t->name,
                             (unsigned long long)(at + i / cols), i % cols);
        if (!rc)
            rc = qs_calib_fit_rows(c, f->id, x, n, cols, NULL, bytes + at * row, e);
    }
    if (!rc)
        rc = qs_weight_intact(w, e);
    if (!rc)
        rc = qs_calib_keep(c, tensor, 0, &made, bytes, e);
    qs_weight_unref(w);
    qs_free(bytes);
    qs_free(x);
    return rc;
}

static int encode_plain_ones(struct qs_calibration *c, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t i = 0; !rc && i < c->args.model->n_tensors; i++) {
        bool there = true;
        if (!qs_calibrate_plain(c, i))
            continue;
        rc = qs_calib_take_kept(c, i, &there, e);
        if (!rc && !there)
            rc = encode_plain(c, i, e);
    }
    return rc;
}

/* ---- all of it ---- */

static int streams_new(struct qs_calibration *c, struct qs_err *e)
{
    int rc = QS_OK;
    for (int k = 0; !rc && c->corpus && k < 2; k++) {
        uint64_t fixed;
        const uint64_t work = qs_calib_encode_memory(c, &fixed);
        const uint64_t left = c->memory > work + 2 * fixed ? (c->memory - work - 2 * fixed) / 2 : 1;
        const struct qs_stream_args a = { .engine = k ? c->made : c->origin, .token = c->corpus->token,
                                          .n_windows = c->corpus->n_fit + c->corpus->n_held, .n_ctx = c->corpus->n_ctx,
                                          .memory = left };
        rc = qs_stream_new(&a, &c->stream[k], e);
    }
    return rc;
}

static int take_all_kept(struct qs_calibration *c, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t i = 0; !rc && i < c->args.model->n_tensors; i++) {
        bool there;
        rc = qs_calib_take_kept(c, i, &there, e);
    }
    return rc;
}

/* Whatever an earlier stage showed: these are still to be encoded. */
static void tell_waiting(struct qs_calibration *c)
{
    const size_t n_layer = qs_engine_config(c->origin)->n_layer;
    for (size_t i = 0; i < c->args.model->n_tensors; i++) {
        const struct qs_calib_tensor now = {
            .type = qs_calibrate_type(c, i), .before = NAN, .after = NAN, .plain = NAN
        };
        if (now.type != QS_TYPE_NONE)
            qs_calib_watch_tensor(c->args.watch, i, &now);
    }
    for (size_t l = 0; l <= n_layer; l++)
        qs_calib_watch_layer_state(c->args.watch, l, QS_CALIB_WAITING);
}

int qs_calib_encode(struct qs_calibration *c, struct qs_err *e)
{
    tell_waiting(c);
    qs_calib_watch_stage(c->args.watch, QS_STAGE_ENCODE);
    qs_job_phase(c->job, "encode", "tokens", all_steps(c));
    int rc = qs_calib_check_memory(c, e);
    if (!rc)
        rc = encode_plain_ones(c, e);
    if (!rc && anything_wanted(c)) {
        rc = streams_new(c, e);
        if (!rc)
            rc = encode_layers(c, e);
    } else if (!rc) {
        rc = take_all_kept(c, e);
        for (size_t l = 0; !rc && l <= qs_engine_config(c->origin)->n_layer; l++)
            tell_layer(c, l, 0);
    }
    for (int k = 0; k < 2; k++) {
        qs_stream_free(c->stream[k]);
        c->stream[k] = NULL;
    }
    if (!rc && !c->finished_before)
        rc = qs_store_finish(c->store, c->args.overwrite || c->args.restart, e);
    return rc;
}
