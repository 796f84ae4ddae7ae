/* swap_pass.c - windows through a model with one tensor changed, from its block on, against the original.
 *
 * Owns a session, the original's hidden states before some blocks and behind the last one, and, where they fit, its
 * logits. As core/eval/lockstep.h has it, the first half of a window is context alone. One thread; rows of logits are
 * compared on the pool.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/swap_internal.h"

#define MOST_ROWS 64
#define DEFAULT_MEMORY ((uint64_t)1 << 30)

struct qs_swap_pass {
    const struct qs_swap_args *a;
    struct qs_job *job;
    struct qs_swap_sizes size;
    const struct qs_config *config;
    struct qs_session *session;
    float *kept;              /* n_kept of group windows each */
    float *hidden;            /* group windows: on their way */
    float *last;              /* of the original, behind the last block: the scored rows of group windows */
    float *all;               /* their logits; NULL: made again each time */
    float *base, *logits;     /* rows */
    struct qs_kld_row *row;
    const float *row_base;    /* while rows are scored */
    const int32_t *next;
    struct qs_weight *own;    /* the original's, while another is in its place */
    size_t w, n;              /* windows that are kept now */
};

/* ---- sizes --------------------------------------------------------------------------------------------------- */

static uint64_t state_bytes(const struct qs_config *c, size_t tokens)
{
    return (uint64_t)tokens * c->n_embd * sizeof(float);
}

static uint64_t bytes_of(const struct qs_swap_sizes *s, const struct qs_config *c)
{
    return s->group * ((s->n_kept + 1) * state_bytes(c, s->n_ctx) + state_bytes(c, s->scored)) +
           (s->rows * 2 + (s->logits ? s->group * s->scored : 0)) * c->n_vocab * sizeof(float);
}

void qs_swap_choose_sizes(const struct qs_swap_args *a, struct qs_swap_sizes *s)
{
    const struct qs_config *c = qs_engine_config(a->engine);
    const uint64_t memory = a->memory ? a->memory : DEFAULT_MEMORY;
    const size_t widest = c->n_layer / 4 ? c->n_layer / 4 : 1;
    *s = (struct qs_swap_sizes){ .n_ctx = a->corpus->n_ctx, .rows = qs_engine_batch(a->engine) };
    s->rows = s->rows < MOST_ROWS ? s->rows : MOST_ROWS;
    s->n_windows = a->n_windows && a->n_windows < a->corpus->n_fit ? a->n_windows : a->corpus->n_fit;
    s->first = s->n_ctx / 2;
    s->scored = s->n_ctx > s->first + 1 ? s->n_ctx - 1 - s->first : 0;
    s->group = s->n_windows;
    for (s->stride = 1;; s->stride++) {
        s->n_kept = (c->n_layer + s->stride - 1) / s->stride;
        if (bytes_of(s, c) <= memory || s->stride >= widest)
            break;
    }
    while (s->group > 1 && bytes_of(s, c) > memory)
        s->group--;
    s->logits = true;
    s->logits = bytes_of(s, c) <= memory;
    s->bytes = bytes_of(s, c);
}

const struct qs_swap_sizes *qs_swap_pass_sizes(const struct qs_swap_pass *p) { return &p->size; }

int qs_swap_first_block(const struct qs_swap_args *a, size_t tensor)
{
    const struct qs_config *c = qs_engine_config(a->engine);
    const struct qs_tensor *t = &qs_engine_model(a->engine)->tensor[tensor];
    if (t->layer >= 0 && (size_t)t->layer < c->n_layer)
        return t->layer;
    return t->role == QS_ROLE_OUTPUT ? (int)c->n_layer : -1;
}

bool qs_swap_changes_head(const struct qs_swap_args *a, size_t tensor)
{
    const struct qs_tensor *t = &qs_engine_model(a->engine)->tensor[tensor];
    return t->layer < 0;
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

int qs_swap_pass_new(const struct qs_swap_args *a, struct qs_job *job, struct qs_swap_pass **out, struct qs_err *e)
{
    struct qs_swap_pass *p = qs_calloc(1, sizeof *p);
    if (!p)
        return qs_fail_mem(e, sizeof *p, "swaps");
    p->a = a;
    p->job = job;
    p->config = qs_engine_config(a->engine);
    qs_swap_choose_sizes(a, &p->size);
    const struct qs_swap_sizes *s = &p->size;
    struct qs_session_args args = QS_SESSION_ARGS_INIT;
    args.n_ctx = s->n_ctx;
    p->kept = qs_malloc(s->n_kept * s->group * state_bytes(p->config, s->n_ctx));
    p->hidden = qs_malloc(s->group * state_bytes(p->config, s->n_ctx));
    p->last = qs_malloc(s->group * state_bytes(p->config, s->scored));
    p->base = qs_calloc(s->rows, p->config->n_vocab * sizeof *p->base);
    p->logits = qs_calloc(s->rows, p->config->n_vocab * sizeof *p->logits);
    p->row = qs_calloc(s->rows, sizeof *p->row);
    if (s->logits)
        p->all = qs_malloc(s->group * s->scored * p->config->n_vocab * sizeof *p->all);
    const bool ok = p->kept && p->hidden && p->last && p->base && p->logits && p->row && (p->all || !s->logits);
    const int rc = ok ? qs_session_new(a->engine, &args, &p->session, e) : qs_fail_mem(e, s->bytes, "hidden states");
    if (rc)
        qs_swap_pass_free(p);
    else
        *out = p;
    return rc;
}

void qs_swap_pass_free(struct qs_swap_pass *p)
{
    if (!p)
        return;
    qs_session_free(p->session);
    qs_free(p->kept);
    qs_free(p->hidden);
    qs_free(p->last);
    qs_free(p->all);
    qs_free(p->base);
    qs_free(p->logits);
    qs_free(p->row);
    qs_free(p);
}

/* ---- blocks -------------------------------------------------------------------------------------------------- */

static float *at(const struct qs_swap_pass *p, float *states, size_t window, size_t pos)
{
    return states + (window * p->size.n_ctx + pos) * p->config->n_embd;
}

/* The windows in p->hidden through a block (-1: into it, by the embedding). */
static int through(struct qs_swap_pass *p, int layer, struct qs_err *e)
{
    const size_t n_ctx = p->size.n_ctx, batch = qs_engine_batch(p->a->engine);
    int rc = QS_OK;
    for (size_t i = 0; i < p->n && !rc; i++) {
        const int32_t *token = p->a->corpus->token + (p->w + i) * n_ctx;
        for (size_t pos = 0; pos < n_ctx && !rc; pos += batch) {
            const size_t m = n_ctx - pos < batch ? n_ctx - pos : batch;
            float *hidden = at(p, p->hidden, i, pos);
            rc = layer < 0 ? qs_session_embed(p->session, token + pos, m, hidden, e)
                           : qs_session_block(p->session, (size_t)layer, pos, m, hidden, e);
            rc = rc ? rc : qs_job_step(p->job, layer < 0 ? 0 : m, e);
        }
    }
    return rc;
}

static size_t kept_floats(const struct qs_swap_pass *p) { return p->size.group * p->size.n_ctx * p->config->n_embd; }

/* ---- logits -------------------------------------------------------------------------------------------------- */

static void score_rows(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct qs_swap_pass *p = ctx;
    const size_t v = p->config->n_vocab;
    (void)thread;
    for (size_t i = begin; i < end; i++)
        qs_kld_row(p->row_base + i * v, p->logits + i * v, v, p->next[i], &p->row[i]);
}

static void add(struct qs_moment *m, uint64_t *n, double x)
{
    const double d = x - m->mean;
    m->mean += d / (double)++*n;
    m->m2 += d * (x - m->mean);
}

/* The original's logits of n scored positions of a window from the k-th on. `tensor` is changed in the engine at the
 * moment. */
static int original_rows(struct qs_swap_pass *p, size_t i, size_t k, size_t n, size_t tensor, struct qs_weight *changed,
                         const float **out, struct qs_err *e)
{
    const float *last = p->last + (i * p->size.scored + k) * p->config->n_embd;
    *out = p->base;
    if (p->all) {
        *out = p->all + (i * p->size.scored + k) * p->config->n_vocab;
        return QS_OK;
    }
    const bool head = qs_swap_changes_head(p->a, tensor);
    int rc = head ? qs_engine_set(p->a->engine, tensor, p->own, e) : QS_OK;
    rc = rc ? rc : qs_session_head(p->session, last, n, p->base, e);
    return rc || !head ? rc : qs_engine_set(p->a->engine, tensor, changed, e);
}

struct sum { struct qs_moment *kld; uint64_t *n, *bad; };

/* A window's scored positions; `last`: their hidden states behind the last block. */
static int score(struct qs_swap_pass *p, size_t i, const float *last, size_t tensor, struct qs_weight *changed,
                 const struct sum *sum, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t k = 0; k < p->size.scored && !rc; k += p->size.rows) {
        const size_t n = p->size.scored - k < p->size.rows ? p->size.scored - k : p->size.rows;
        rc = original_rows(p, i, k, n, tensor, changed, &p->row_base, e);
        rc = rc ? rc : qs_session_head(p->session, last + k * p->config->n_embd, n, p->logits, e);
        if (rc)
            break;
        p->next = p->a->corpus->token + (p->w + i) * p->size.n_ctx + p->size.first + k + 1;
        qs_pool_run(p->a->pool, p->a->prio, n, 1, score_rows, p);
        for (size_t r = 0; r < n; r++) {
            if (p->row[r].bad || p->row[r].bad_base)
                ++*sum->bad;
            else
                add(sum->kld, sum->n, p->row[r].kld);
        }
        rc = qs_job_step(p->job, 0, e);
    }
    return rc ? rc : qs_job_step(p->job, p->size.n_ctx, e);
}

/* ---- the two kinds of passes --------------------------------------------------------------------------------- */

static int keep_logits(struct qs_swap_pass *p, struct qs_err *e)
{
    const size_t rows = p->n * p->size.scored, v = p->config->n_vocab;
    int rc = QS_OK;
    for (size_t k = 0; p->all && k < rows && !rc; k += p->size.rows)
        rc = qs_session_head(p->session, p->last + k * p->config->n_embd,
                             rows - k < p->size.rows ? rows - k : p->size.rows, p->all + k * v, e);
    return rc ? rc : qs_job_step(p->job, p->n * p->size.n_ctx, e);
}

int qs_swap_pass_original(struct qs_swap_pass *p, size_t w, size_t n, struct qs_err *e)
{
    const size_t width = p->config->n_embd, scored = p->size.scored * width;
    p->w = w;
    p->n = n;
    int rc = through(p, -1, e);
    for (size_t l = 0; l < p->config->n_layer && !rc; l++) {
        if (l % p->size.stride == 0)
            memcpy(p->kept + l / p->size.stride * kept_floats(p), p->hidden,
                   n * p->size.n_ctx * width * sizeof *p->kept);
        rc = through(p, (int)l, e);
    }
    for (size_t i = 0; i < n && !rc; i++)
        memcpy(p->last + i * scored, at(p, p->hidden, i, p->size.first), scored * sizeof *p->last);
    return rc ? rc : keep_logits(p, e);
}

static int changed_pass(struct qs_swap_pass *p, size_t tensor, struct qs_weight *changed, const struct sum *sum,
                        struct qs_err *e)
{
    const int first = qs_swap_first_block(p->a, tensor), n_layer = (int)p->config->n_layer;
    const int start = first < 0 || first == n_layer ? first : first - first % (int)p->size.stride;
    int rc = start < 0 ? through(p, -1, e) : QS_OK;
    if (start >= 0 && start < n_layer)
        memcpy(p->hidden, p->kept + (size_t)start / p->size.stride * kept_floats(p),
               p->n * p->size.n_ctx * p->config->n_embd * sizeof *p->hidden);
    for (int l = start < 0 ? 0 : start; l < n_layer && !rc; l++)
        rc = through(p, l, e);
    for (size_t i = 0; i < p->n && !rc; i++)
        rc = score(p, i, start == n_layer ? p->last + i * p->size.scored * p->config->n_embd
                                          : at(p, p->hidden, i, p->size.first), tensor, changed, sum, e);
    return rc;
}

int qs_swap_pass_changed(struct qs_swap_pass *p, size_t tensor, struct qs_weight *changed, struct qs_moment *kld,
                         uint64_t *n, uint64_t *bad, struct qs_err *e)
{
    const struct sum sum = { kld, n, bad };
    struct qs_err back = QS_ERR_INIT;
    p->own = qs_weight_ref((struct qs_weight *)(uintptr_t)qs_engine_weight(p->a->engine, tensor));
    int rc = qs_engine_set(p->a->engine, tensor, changed, e);
    if (!rc)
        rc = changed_pass(p, tensor, changed, &sum, e);
    const int restored = qs_engine_set(p->a->engine, tensor, p->own, &back); /* claims no memory */
    qs_weight_unref(p->own);
    p->own = NULL;
    if (!rc && restored && e)
        *e = back;
    return rc ? rc : restored;
}
