/* calibrate_need.c - what a calibration would take: memory by the sizes of its parts, time by a short measurement.
 *
 * Owns nothing. The measurement runs one window through one block and one Hessian of the widest input, some hundredths
 * of a second each.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/calibrate_internal.h"
#include "core/calib/swap.h"

static size_t layers(const struct qs_calibration *c) { return qs_engine_config(c->origin)->n_layer; }

static size_t windows(const struct qs_calibration *c) { return c->corpus ? c->corpus->n_fit + c->corpus->n_held : 0; }

/* ---- memory ---- */

static uint64_t input_work(const struct qs_calibration *c, const struct qs_input *in, size_t experts)
{
    uint64_t most = 0;
    for (size_t i = 0; i < in->n_tensors; i++) {
        if (qs_calibrate_type(c, in->tensor[i]) == QS_TYPE_NONE)
            continue;
        const uint64_t n = qs_calib_encode_need(c, in, in->tensor[i]);
        most = n > most ? n : most;
    }
    return most ? most + qs_calib_look_need(c, in, experts) : 0;
}

static struct qs_stream_args stream_args(const struct qs_calibration *c)
{
    return (struct qs_stream_args){ .engine = c->origin, .token = c->corpus->token, .n_windows = windows(c),
                                    .n_ctx = c->corpus->n_ctx, .memory = 1 };
}

/* Of the widest input with one expert at a time; *streams_fixed: of a stream without hidden states in memory. */
uint64_t qs_calib_encode_memory(const struct qs_calibration *c, uint64_t *streams_fixed)
{
    uint64_t most = 0;
    for (size_t i = 0; i < c->inputs->n; i++) {
        const uint64_t n = input_work(c, &c->inputs->input[i], 1);
        most = n > most ? n : most;
    }
    most += qs_calib_fold_need(c);
    *streams_fixed = 0;
    if (c->corpus) {
        const struct qs_stream_args a = stream_args(c);
        *streams_fixed = qs_stream_need(&a);
    }
    return most;
}

/* How often the windows go through for one input: once, or once for each group of experts that fits the memory. */
size_t qs_calib_passes(const struct qs_calibration *c, const struct qs_input *in, size_t *experts_at_once)
{
    uint64_t fixed;
    size_t n = in->experts;
    (void)qs_calib_encode_memory(c, &fixed);
    while (n > 1 && c->corpus && input_work(c, in, n) + 2 * fixed > c->memory)
        n = (n + 1) / 2;
    if (experts_at_once)
        *experts_at_once = n;
    return (in->experts + n - 1) / n;
}

int qs_calib_check_memory(const struct qs_calibration *c, struct qs_err *e)
{
    char need[24], have[24];
    uint64_t fixed;
    const uint64_t work = qs_calib_encode_memory(c, &fixed), least = work + 2 * fixed;
    if (least <= c->memory)
        return QS_OK;
    return qs_fail(e, QS_ELIMIT, "calibrating needs at least %s of memory, and %s may be taken",
                   qs_fmt_bytes(need, sizeof need, least), qs_fmt_bytes(have, sizeof have, c->memory));
}

static int encode_memory(struct qs_calibration *c, struct qs_calibrate_need *out, struct qs_err *e)
{
    uint64_t fixed, most = 0;
    const uint64_t work = qs_calib_encode_memory(c, &fixed);
    const int rc = qs_calib_check_memory(c, e);
    if (rc || !c->corpus)
        return rc;
    for (size_t i = 0; i < c->inputs->n; i++) {
        size_t at_once;
        (void)qs_calib_passes(c, &c->inputs->input[i], &at_once);
        const uint64_t n = input_work(c, &c->inputs->input[i], at_once);
        most = n > most ? n : most;
    }
    struct qs_stream_args a = stream_args(c);
    a.memory = c->memory > work + 2 * fixed ? (c->memory - work - 2 * fixed) / 2 : 1;
    const uint64_t total = most + qs_calib_fold_need(c) + 2 * qs_stream_need(&a), spill = 2 * qs_stream_spill(&a);
    out->memory = total > out->memory ? total : out->memory;
    out->spill = spill > out->spill ? spill : out->spill;
    return QS_OK;
}

/* ---- time ---- */

struct speed {
    double token, flop, fit;
}; /* seconds: of a token through a block; of a float operation; of fitting a weight */

static int time_block(struct qs_calibration *c, struct speed *s, struct qs_err *e)
{
    struct qs_session_args args = { c->corpus->n_ctx, QS_F32, QS_F32, false };
    struct qs_session *x = NULL;
    const size_t width = qs_engine_config(c->origin)->n_embd, batch = qs_engine_batch(c->origin);
    const size_t n = c->corpus->n_ctx < batch ? c->corpus->n_ctx : batch;
    float *hidden = qs_calloc(n * width, sizeof *hidden);
    int rc = hidden ? qs_session_new(c->origin, &args, &x, e)
                    : qs_fail_mem(e, n * width * sizeof *hidden, "a measurement");
    if (!rc)
        rc = qs_session_embed(x, c->corpus->token, n, hidden, e);
    if (!rc)
        rc = qs_session_block(x, 0, 0, n, hidden, e); /* pages, caches */
    const double began = qs_now();
    if (!rc)
        rc = qs_session_block(x, layers(c) > 1 ? 1 : 0, 0, n, hidden, e);
    s->token = (qs_now() - began) / (double)n;
    qs_session_free(x);
    qs_free(hidden);
    return rc;
}

/* Operations of single precision, as Hessians, GPTQ and judging are made of. */
static int time_products(struct qs_calibration *c, struct speed *s, struct qs_err *e)
{
    const size_t cols = qs_engine_config(c->origin)->n_embd < 1024 ? qs_engine_config(c->origin)->n_embd : 1024;
    struct qs_hessian *h = NULL;
    float *rows = qs_malloc(QS_HESSIAN_CHUNK * cols * sizeof *rows);
    int rc = rows ? qs_hessian_new(cols, false, c->args.pool, c->args.prio, &h, e)
                  : qs_fail_mem(e, QS_HESSIAN_CHUNK * cols * sizeof *rows, "a measurement");
    for (size_t i = 0; !rc && i < QS_HESSIAN_CHUNK * cols; i++)
        rows[i] = (float)(i % 1013) / 1013.0f - 0.5f;
    double began = 0;
    for (int k = 0; !rc && k < 3; k++) {
        began = k == 1 ? qs_now() : began;
        rc = qs_hessian_add(h, rows, NULL, QS_HESSIAN_CHUNK, cols, e);
    }
    s->flop = (qs_now() - began) / 2 / (QS_HESSIAN_CHUNK * (double)cols * (double)cols);
    qs_hessian_free(h);
    qs_free(rows);
    return rc;
}

static int time_fit(struct qs_calibration *c, int type, struct speed *s, struct qs_err *e)
{
    enum { ROWS = 64, COLS = 256 };
    const struct qs_format *f = qs_format_by_id(type);
    float *rows = qs_malloc(ROWS * COLS * 2 * sizeof *rows);
    uint8_t *to = qs_malloc(ROWS * qs_format_row_bytes(f, COLS));
    int rc = rows && to ? QS_OK : qs_fail_mem(e, ROWS * COLS * sizeof *rows, "a measurement");
    for (size_t i = 0; !rc && i < ROWS * COLS; i++)
        rows[i] = (float)(i * 2654435761u % 1013) / 1013.0f - 0.5f;
    for (size_t i = 0; !rc && i < COLS; i++)
        rows[ROWS * COLS + i] = 1 + (float)(i % 7);
    const double began = qs_now();
    if (!rc)
        rc = qs_calib_fit_rows(c, type, rows, ROWS, COLS, rows + ROWS * COLS, to, e);
    s->fit = (qs_now() - began) / (ROWS * COLS);
    qs_free(rows);
    qs_free(to);
    return rc;
}

/* GPTQ's feedback, sweeps of descent and refits come to about so many operations for each weight and column. */
static double gptq_operations(const struct qs_calib_methods *m)
{
    return m->gptq ? 2 + 1.0 * m->sweeps + 3.0 * m->refits : 0;
}

static double encode_seconds(struct qs_calibration *c, const struct speed *s)
{
    const double tokens = c->corpus ? (double)windows(c) * (double)c->corpus->n_ctx : 0;
    const struct qs_calib_methods *m = &c->args.methods;
    const double way = 2 * (double)layers(c) * tokens * s->token;
    double seconds = 0;
    for (size_t i = 0; i < c->inputs->n; i++) {
        const struct qs_input *in = &c->inputs->input[i];
        const double cols = (double)in->cols, experts = (double)in->experts;
        double any = 0;
        for (size_t k = 0; k < in->n_tensors; k++) {
            const struct qs_tensor *t = &c->args.model->tensor[in->tensor[k]];
            if (qs_calibrate_type(c, in->tensor[k]) == QS_TYPE_NONE)
                continue;
            any = 1;
            seconds += (double)t->n *
                       (4 * s->fit + s->flop * (gptq_operations(m) * cols + (m->correct ? 6 * cols : 0) +
                                                8 * (in->experts > 1 ? QS_HELD_EXPERT_ROWS : QS_HELD_ROWS)));
        }
        seconds += any * (double)qs_calib_passes(c, in, NULL) * tokens * s->token; /* half a block of two models */
        seconds += any * s->flop * (tokens * cols * cols * (m->correct ? 2 : 1) + experts * cols * cols * cols);
    }
    return way + seconds * (m->awq ? 3 : 1); /* both ways, and the search of scales */
}

static double collect_seconds(struct qs_calibration *c, const struct speed *s)
{
    const double tokens = (double)windows(c) * (double)c->corpus->n_ctx;
    double seconds = 2 * (double)layers(c) * tokens * s->token;
    for (size_t i = 0; c->args.errors && i < c->inputs->n; i++) {
        const struct qs_input *in = &c->inputs->input[i];
        const double cols = (double)in->cols;
        seconds += s->flop * tokens * cols * cols;
        for (size_t k = 0; k < in->n_tensors; k++)
            seconds += 6 * (double)c->args.model->tensor[in->tensor[k]].n *
                       (2 * s->fit + s->flop * gptq_operations(&c->args.methods) * cols);
    }
    return seconds;
}

static int measure(struct qs_calibration *c, struct speed *s, struct qs_err *e)
{
    int type = QS_Q4_K, rc = QS_OK;
    for (size_t i = 0; c->types && i < c->inputs->n; i++)
        if (qs_calibrate_type(c, c->inputs->input[i].tensor[0]) != QS_TYPE_NONE)
            type = qs_calibrate_type(c, c->inputs->input[i].tensor[0]);
    if (c->corpus)
        rc = time_block(c, s, e);
    if (!rc)
        rc = time_products(c, s, e);
    return rc ? rc : time_fit(c, type, s, e);
}

int qs_calibrate_need(struct qs_calibration *c, struct qs_calibrate_need *out, struct qs_err *e)
{
    struct speed s = { 0 };
    *out = (struct qs_calibrate_need){ .windows = windows(c), .tokens = c->corpus ? windows(c) * c->corpus->n_ctx : 0 };
    int rc = measure(c, &s, e);
    if (!rc && c->types)
        rc = encode_memory(c, out, e);
    if (!rc && !c->statistics && c->corpus) {
        int type[16];
        const size_t n_types = qs_calib_ladder(c, type, 16);
        const struct qs_collect_args a = { .engine = c->origin,
                                           .inputs = c->inputs,
                                           .corpus = c->corpus,
                                           .pool = c->args.pool,
                                           .memory = c->memory,
                                           .type = type,
                                           .n_types = n_types,
                                           .sweeps = c->args.methods.sweeps };
        struct qs_collect_need need;
        rc = qs_collect_need(&a, &need, e);
        out->memory = !rc && need.memory > out->memory ? need.memory : out->memory;
        out->spill = !rc && need.spill > out->spill ? need.spill : out->spill;
        out->seconds += collect_seconds(c, &s);
    }
    if (!rc && c->args.swap_windows) {
        uint64_t tokens;
        const struct qs_swap_args a = { .engine = c->origin,
                                        .inputs = c->inputs,
                                        .corpus = c->corpus,
                                        .pool = c->args.pool,
                                        .n_windows = c->args.swap_windows,
                                        .type = QS_TYPE_NONE,
                                        .memory = c->memory };
        const uint64_t memory = qs_swap_need(&a, &tokens);
        out->memory = memory > out->memory ? memory : out->memory;
        c->foretold.swap = (double)tokens * s.token;
    }
    for (size_t i = 0; !rc && c->types && i < c->args.model->n_tensors; i++)
        if (qs_calibrate_type(c, i) != QS_TYPE_NONE)
            out->disk += qs_tensor_bytes_as(&c->args.model->tensor[i], qs_calibrate_type(c, i));
    if (!rc && c->types)
        c->foretold.encode = encode_seconds(c, &s);
    out->seconds += c->foretold.swap + c->foretold.encode;
    return rc;
}
