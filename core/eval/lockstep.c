/* lockstep.c - windows of a text through one or two models, block by block. Owns sessions, hidden states and rows while
 * it runs; the engines are the caller's. One thread. */
#include "core/eval/lockstep.h"

#include <math.h>
#include <string.h>

#include "base/finite.h"
#include "base/mem.h"

#define DEFAULT_MEMORY ((uint64_t)64 << 20)
#define MOST_ROWS 64

struct side {                     /* one model */
    struct qs_engine *engine;
    struct qs_session *session;
    const struct qs_config *config;
    float *hidden;                /* group * n_ctx rows */
    float *logits;                /* rows */
    double *seconds;
    struct qs_bad_place *bad;
};

struct run {
    const struct qs_lockstep_args *a;
    struct qs_job *job;
    struct qs_lockstep *x;
    struct side side[2];          /* [0] the model, [1] the reference */
    size_t n_sides;
    size_t n_windows, group, rows, batch;
    size_t n_vocab;               /* ids that count */
    int32_t *token;               /* of one window, BOS in its place */
    struct qs_kld_row *row;
    const int32_t *next;          /* the tokens that follow the rows being scored */
    uint64_t told;                /* tokens the job knows as done */
};

/* ---- sizes ---- */

static size_t hidden_bytes(const struct qs_engine *x, size_t n)
{
    return n * qs_engine_config(x)->n_embd * sizeof(float);
}

static void choose_sizes(struct run *r)
{
    const struct qs_lockstep_args *a = r->a;
    const uint64_t memory = a->memory ? a->memory : DEFAULT_MEMORY;
    const uint64_t row = qs_engine_config(a->model)->n_vocab * sizeof(float) * (a->base ? 2 : 1);
    const uint64_t window = hidden_bytes(a->model, a->n_ctx) + (a->base ? hidden_bytes(a->base, a->n_ctx) : 0);
    const uint64_t rows = memory / 2 / (row ? row : 1), group = memory / 2 / (window ? window : 1);
    r->n_windows = a->n_tokens / a->n_ctx;
    if (a->n_windows && a->n_windows < r->n_windows)
        r->n_windows = a->n_windows;
    r->rows = rows < 1 ? 1 : rows > MOST_ROWS ? MOST_ROWS : (size_t)rows;
    r->group = !a->by_layer || group < 1 ? 1 : group > r->n_windows ? r->n_windows : (size_t)group;
    if (r->group < 1)
        r->group = 1;
}

static struct qs_session_args session_args(const struct qs_lockstep_args *a)
{
    struct qs_session_args s = a->cache;
    s.n_ctx = a->n_ctx;
    return s;
}

uint64_t qs_lockstep_need(const struct qs_lockstep_args *a)
{
    struct run r = { .a = a };
    const struct qs_session_args s = session_args(a);
    uint64_t need = 0;
    if (a->n_ctx < 1)
        return 0;
    choose_sizes(&r);
    for (int i = 0; i < 2; i++) {
        const struct qs_engine *x = i ? a->base : a->model;
        if (x)
            need += qs_session_need(x, &s) + hidden_bytes(x, r.group * a->n_ctx) +
                    r.rows * qs_engine_config(x)->n_vocab * sizeof(float);
    }
    return need;
}

/* ---- one group of windows ---- */

/* The job counts tokens: a block's share of them when it is through, so that progress is smooth with large models. */
static int tell(struct run *r, size_t group_tokens, size_t part, size_t parts, struct qs_err *e)
{
    const uint64_t now = r->x->tokens + (uint64_t)group_tokens * part / parts, more = now > r->told ? now - r->told : 0;
    r->told += more;
    return qs_job_step(r->job, more, e);
}

/* The tokens of window w as the models see them. */
static const int32_t *window_tokens(struct run *r, size_t w)
{
    memcpy(r->token, r->a->token + w * r->a->n_ctx, r->a->n_ctx * sizeof *r->token);
    if (r->a->bos >= 0)
        r->token[0] = r->a->bos;
    return r->token;
}

/* A row that is not finite: remembered when it lies in an earlier layer than what was seen before. */
static void note_bad(struct qs_bad_place *b, int layer, uint64_t at)
{
    if (b->n && (layer > b->layer || (layer == b->layer && at >= b->at))) {
        b->n += layer == b->layer;
        return;
    }
    *b = (struct qs_bad_place){ layer, at, b->n && layer == b->layer ? b->n + 1 : 1 };
}

struct distance { double error, cosine; bool known, bad, bad_base; };

static struct distance distance(const float *h, const float *b, size_t n)
{
    double dd = 0, hh = 0, bb = 0, hb = 0;
    for (size_t i = 0; i < n; i++) {
        const double x = h[i], y = b[i];
        dd += (x - y) * (x - y);
        hh += x * x;
        bb += y * y;
        hb += x * y;
    }
    struct distance d = { .bad = !isfinite(hh), .bad_base = !isfinite(bb) };
    d.known = !d.bad && !d.bad_base && bb > 0;
    if (d.known) {
        d.error = sqrt(dd / bb);
        d.cosine = !(dd > 0) ? 1 : hh > 0 ? fmin(hb / sqrt(hh * bb), 1) : 0;
    }
    return d;
}

static void add_distance(struct qs_layer_stat *s, const struct distance *d, uint64_t at)
{
    s->bad += d->bad;
    s->bad_base += d->bad_base;
    if (!d->known)
        return;
    if (s->n == 0 || d->error > s->error_worst) {
        s->error_worst = d->error;
        s->worst_at = at;
    }
    s->cosine_worst = s->n == 0 || d->cosine < s->cosine_worst ? d->cosine : s->cosine_worst;
    s->n++;
    s->error += (d->error - s->error) / (double)s->n;
    s->cosine += (d->cosine - s->cosine) / (double)s->n;
}

/* What the states after `layer` (-1: the embedding) look like, over `n` positions of the text from `at` on. */
static void look(struct run *r, int layer, uint64_t at, size_t n)
{
    for (size_t s = 0; s < r->n_sides; s++) {
        const size_t width = r->side[s].config->n_embd;
        for (size_t i = 0; i < n; i++)
            if (!qs_finite_row(r->side[s].hidden + i * width, width))
                note_bad(r->side[s].bad, layer, at + i);
    }
    if (!r->x->layer)
        return;
    const size_t width = r->side[0].config->n_embd;
    for (size_t i = 0; i < n; i++) {
        const struct distance d = distance(r->side[0].hidden + i * width, r->side[1].hidden + i * width, width);
        add_distance(&r->x->layer[layer + 1], &d, at + i);
    }
}

/* Windows [w, w + n) of one side through a block, or (layer -1) through the embedding. */
static int pass(struct run *r, struct side *s, int layer, size_t w, size_t n, struct qs_err *e)
{
    const double start = qs_now();
    const size_t n_ctx = r->a->n_ctx, width = s->config->n_embd, batch = qs_engine_batch(s->engine);
    int rc = QS_OK;
    for (size_t i = 0; i < n && !rc; i++) {
        const int32_t *token = layer < 0 ? window_tokens(r, w + i) : NULL;
        for (size_t pos = 0; pos < n_ctx && !rc; pos += batch) {
            const size_t m = n_ctx - pos < batch ? n_ctx - pos : batch;
            float *hidden = s->hidden + (i * n_ctx + pos) * width;
            rc = layer < 0 ? qs_session_embed(s->session, token + pos, m, hidden, e)
                           : qs_session_block(s->session, (size_t)layer, pos, m, hidden, e);
            if (!rc)
                rc = qs_job_step(r->job, 0, e); /* pause, cancel */
        }
    }
    *s->seconds += qs_now() - start;
    return rc;
}

static size_t n_layers(const struct run *r, size_t side) { return r->side[side].config->n_layer; }

static int run_blocks(struct run *r, size_t w, size_t n, struct qs_err *e)
{
    const uint64_t at = (uint64_t)w * r->a->n_ctx;
    const size_t most = r->n_sides > 1 && n_layers(r, 1) > n_layers(r, 0) ? n_layers(r, 1) : n_layers(r, 0);
    for (int layer = -1; layer < (int)most; layer++) {
        for (size_t s = 0; s < r->n_sides; s++) {
            if (layer >= (int)n_layers(r, s))
                continue;
            const int rc = pass(r, &r->side[s], layer, w, n, e);
            if (rc)
                return rc;
        }
        look(r, layer, at, n * r->a->n_ctx);
        const int rc = tell(r, n * r->a->n_ctx, (size_t)(layer + 2), most + 2, e);
        if (rc)
            return rc;
    }
    return QS_OK;
}

static void score_rows(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct run *r = ctx;
    const struct side *m = &r->side[0], *b = &r->side[1];
    (void)thread;
    for (size_t i = begin; i < end; i++)
        qs_kld_row(r->n_sides > 1 ? b->logits + i * b->config->n_vocab : NULL, m->logits + i * m->config->n_vocab,
                   r->n_vocab, r->next[i], &r->row[i]);
}

static int take_rows(struct run *r, uint64_t at, size_t n, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t i = 0; i < n && !rc; i++) {
        const struct qs_lockstep_token t = { .at = at + i + 1, .token = r->next[i], .row = r->row[i] };
        if (t.row.bad)
            note_bad(r->side[0].bad, (int)n_layers(r, 0), at + i);
        if (t.row.bad_base)
            note_bad(r->side[1].bad, (int)n_layers(r, 1), at + i);
        rc = qs_kld_add(&r->x->kld, &t.row, t.at, e);
        if (!rc && r->a->on_token)
            rc = r->a->on_token(r->a->ctx, &t, e);
    }
    return rc;
}

/* The scored positions of window w, the i-th of its group. */
static int run_head(struct run *r, size_t w, size_t i, struct qs_err *e)
{
    const size_t n_ctx = r->a->n_ctx;
    int rc = QS_OK;
    for (size_t pos = n_ctx / 2; pos + 1 < n_ctx && !rc; pos += r->rows) {
        size_t n = n_ctx - 1 - pos < r->rows ? n_ctx - 1 - pos : r->rows;
        for (size_t s = 0; s < r->n_sides && !rc; s++) {
            const struct side *x = &r->side[s];
            const double start = qs_now();
            rc = qs_session_head(x->session, x->hidden + (i * n_ctx + pos) * x->config->n_embd, n, x->logits, e);
            *x->seconds += qs_now() - start;
        }
        if (rc)
            break;
        r->next = r->a->token + w * n_ctx + pos + 1;
        qs_pool_run(r->a->pool, r->a->prio, n, 1, score_rows, r);
        rc = take_rows(r, (uint64_t)w * n_ctx + pos, n, e);
        rc = rc ? rc : qs_job_step(r->job, 0, e);
    }
    return rc;
}

static int publish(struct run *r, struct qs_err *e)
{
    double now[QS_KLD_NUMBERS];
    qs_kld_running(&r->x->kld, now);
    if (r->x->kld.paired)
        qs_job_item(r->job, "perplexity %.4f, reference %.4f, KLD %.6f, same top %.2f%%", now[QS_KLD_PPL],
                    now[QS_KLD_PPL_BASE], now[QS_KLD_MEAN], 100 * now[QS_KLD_SAME_TOP]);
    else
        qs_job_item(r->job, "perplexity %.4f +- %.4f", now[QS_KLD_PPL], now[QS_KLD_PPL_SE]);
    return r->a->on_window ? r->a->on_window(r->a->ctx, r->x->windows, now, e) : QS_OK;
}

static int run_group(struct run *r, size_t w, size_t n, struct qs_err *e)
{
    int rc = run_blocks(r, w, n, e);
    for (size_t i = 0; i < n && !rc; i++) {
        rc = run_head(r, w + i, i, e);
        if (rc)
            break;
        r->x->windows++;
        rc = publish(r, e);
    }
    r->x->tokens += rc ? 0 : n * r->a->n_ctx;
    rc = rc ? rc : tell(r, 0, 0, 1, e);
    for (size_t s = 0; s < r->n_sides && !rc; s++) /* pages that were lost read as zeros: nothing of this counts */
        rc = qs_model_intact(qs_engine_model(r->side[s].engine), e);
    return rc;
}

/* ---- the run ---- */

/* Ids that count: rows of both models, and not more than the caller's. */
static size_t vocabulary(const struct qs_lockstep_args *a)
{
    size_t n = qs_engine_config(a->model)->n_vocab;
    if (a->base && qs_engine_config(a->base)->n_vocab < n)
        n = qs_engine_config(a->base)->n_vocab;
    return a->n_vocab && a->n_vocab < n ? a->n_vocab : n;
}

static int check(const struct qs_lockstep_args *a, struct qs_err *e)
{
    if (a->n_ctx < 4)
        return qs_fail(e, QS_EINVAL, "a window of %zu tokens is too short; it takes at least 4", a->n_ctx);
    if (a->n_tokens < a->n_ctx)
        return qs_fail(e, QS_EINVAL,
                       "the text has %zu tokens, one window takes %zu; take a longer text or a shorter window",
                       a->n_tokens, a->n_ctx);
    const struct qs_config *m = qs_engine_config(a->model), *b = a->base ? qs_engine_config(a->base) : NULL;
    const size_t n_vocab = vocabulary(a);
    for (size_t i = 0; i < a->n_tokens; i++)
        if (a->token[i] < 0 || (size_t)a->token[i] >= n_vocab)
            return qs_fail(e, QS_EINVAL, "token %zu of the text has the number %ld; %s has %zu tokens", i + 1,
                           (long)a->token[i], qs_engine_model(a->model)->path, n_vocab);
    if (!b)
        return QS_OK;
    if (!a->n_vocab && m->n_vocab != b->n_vocab)
        return qs_fail(e, QS_EINVAL,
                       "the vocabularies differ: %zu tokens in %s, %zu in %s; probabilities cannot be compared",
                       m->n_vocab, qs_engine_model(a->model)->path, b->n_vocab, qs_engine_model(a->base)->path);
    if (a->layers && (m->n_layer != b->n_layer || m->n_embd != b->n_embd))
        return qs_fail(e, QS_EINVAL, "layers cannot be compared: %zu blocks of width %zu in %s, %zu of %zu in %s",
                       m->n_layer, m->n_embd, qs_engine_model(a->model)->path, b->n_layer, b->n_embd,
                       qs_engine_model(a->base)->path);
    return QS_OK;
}

static int side_new(struct run *r, size_t i, struct qs_err *e)
{
    struct side *s = &r->side[i];
    const struct qs_session_args args = session_args(r->a);
    const size_t bytes = hidden_bytes(s->engine, r->group * r->a->n_ctx);
    s->config = qs_engine_config(s->engine);
    s->seconds = i ? &r->x->seconds_base : &r->x->seconds;
    s->bad = i ? &r->x->bad_base : &r->x->bad;
    if (!(s->hidden = qs_malloc(bytes)))
        return qs_fail_mem(e, bytes, "hidden states");
    if (!(s->logits = qs_calloc(r->rows, s->config->n_vocab * sizeof *s->logits)))
        return qs_fail_mem(e, (uint64_t)r->rows * s->config->n_vocab * sizeof *s->logits, "rows of logits");
    return qs_session_new(s->engine, &args, &s->session, e);
}

static int prepare(struct run *r, struct qs_err *e)
{
    r->x = qs_calloc(1, sizeof *r->x);
    if (!r->x)
        return qs_fail_mem(e, sizeof *r->x, "the evaluation");
    qs_kld_init(&r->x->kld, r->a->base != NULL);
    choose_sizes(r);
    r->n_vocab = vocabulary(r->a);
    r->x->group = r->group;
    r->side[0].engine = r->a->model;
    r->side[1].engine = r->a->base;
    r->n_sides = r->a->base ? 2 : 1;
    r->token = qs_calloc(r->a->n_ctx, sizeof *r->token);
    r->row = qs_calloc(r->rows, sizeof *r->row);
    if (!r->token || !r->row)
        return qs_fail_mem(e, r->a->n_ctx * sizeof *r->token, "a window of tokens");
    if (r->a->layers && r->a->base) {
        r->x->n_layers = qs_engine_config(r->a->model)->n_layer + 1;
        r->x->layer = qs_calloc(r->x->n_layers, sizeof *r->x->layer);
        if (!r->x->layer)
            return qs_fail_mem(e, r->x->n_layers * sizeof *r->x->layer, "layers");
    }
    int rc = QS_OK;
    for (size_t i = 0; i < r->n_sides && !rc; i++)
        rc = side_new(r, i, e);
    return rc;
}

int qs_lockstep_run(const struct qs_lockstep_args *a, struct qs_job *job, struct qs_lockstep **out, struct qs_err *e)
{
    struct run r = { .a = a, .job = job };
    int rc = check(a, e);
    if (rc)
        return rc;
    rc = prepare(&r, e);
    if (!rc)
        qs_job_phase(job, "evaluate", "tokens", (uint64_t)r.n_windows * a->n_ctx);
    for (size_t w = 0; w < r.n_windows && !rc; w += r.group)
        rc = run_group(&r, w, r.n_windows - w < r.group ? r.n_windows - w : r.group, e);
    for (size_t i = 0; i < 2; i++) {
        qs_session_free(r.side[i].session);
        qs_free(r.side[i].hidden);
        qs_free(r.side[i].logits);
    }
    qs_free(r.token);
    qs_free(r.row);
    if (rc)
        qs_lockstep_free(r.x);
    else
        *out = r.x;
    return rc;
}

void qs_lockstep_free(struct qs_lockstep *x)
{
    if (!x)
        return;
    qs_kld_free(&x->kld);
    qs_free(x->layer);
    qs_free(x);
}
