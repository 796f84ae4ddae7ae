/* prompts.c - answers of two models to the same prompts. Owns its sessions and samplers while it runs; engines,
 * vocabulary and prompts are the caller's. One thread. */
#include "core/eval/prompts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/eval/stats.h"

#define ROWS 32

struct run;

struct side {
    struct run *run;
    struct qs_engine *engine;
    struct qs_session *session;
    struct qs_sampler *sampler;
    const struct qs_config *config;
    struct qs_tokens token;     /* prompt and answer */
    float *logits;              /* ROWS rows */
    float *last;                /* the last block's hidden states of the rows being followed */
    size_t n_last;
};

struct run {
    const struct qs_prompts_args *a;
    struct qs_prompts_result *x;
    struct side side[2];        /* [0] the model, [1] the reference */
    struct qs_kld_row row[ROWS];
    const int32_t *next;
    size_t n_vocab;             /* ids that count, in both */
    double sum_kld, sum_cosine; /* over all prompts */
    uint64_t n_kld, n_cosine, n_same;
};

/* ---- one prompt as tokens ---- */

static int prompt_tokens(struct run *r, const struct qs_prompt *p, struct qs_str *text, struct qs_tokens *out,
                         struct qs_err *e)
{
    const struct qs_prompts_args *a = r->a;
    const struct qs_chat_args args = { .messages_json = p->messages, .add_generation_prompt = true, .now = a->now };
    out->n = 0;
    if (p->text) {
        qs_str_add(text, p->text);
        return text->failed ? qs_fail_mem(e, text->len, "a prompt")
                            : qs_tokenize(a->vocab, text->data, text->len, QS_TOKENIZE_ADD_SPECIAL, out, e);
    }
    if (!a->chat)
        return qs_fail(e, QS_EINVAL, "the prompt of line %zu has messages, and the model has no chat template",
                       p->line);
    const int rc = qs_chat_tokens(a->chat, &args, a->vocab, QS_TOKENIZE_ADD_SPECIAL | QS_TOKENIZE_PARSE_SPECIAL, text,
                                  out, e);
    return rc ? qs_err_prefix(e, "the prompt of line %zu", p->line) : QS_OK;
}

/* ---- free ---- */

static int write_answer(struct side *s, size_t n_prompt, struct qs_prompt_answer *answer, struct qs_job *job,
                        struct qs_err *e)
{
    const struct qs_prompts_args *a = s->run->a;
    struct qs_tokens *t = &s->token;
    qs_session_keep(s->session, 0);
    qs_session_watch(s->session, NULL, NULL);
    qs_sampler_restart(s->sampler, a->sampler.seed);
    int rc = qs_session_feed(s->session, t->id, n_prompt, n_prompt - 1, s->logits, e);
    while (!rc && answer->n < a->n_tokens) {
        /* A token cannot be chosen where a logit is NaN: the answer ends; following tells how many. */
        const int32_t id = qs_sampler_pick(s->sampler, s->logits, s->run->n_vocab, t->id, t->n, e);
        if (id < 0 && e && e->code == QS_EFORMAT) {
            *e = (struct qs_err)QS_ERR_INIT;
            break;
        }
        rc = id < 0 ? QS_ENOMEM : qs_tokens_add(t, id, e);
        answer->n += rc == QS_OK;
        answer->ended = !rc && qs_vocab_is_eog(a->vocab, id);
        if (answer->ended)
            break;
        if (!rc && answer->n < a->n_tokens)
            rc = qs_session_feed(s->session, &id, 1, 0, s->logits, e);
        rc = rc ? rc : qs_job_step(job, 0, e);
    }
    return rc;
}

static int finish_answer(struct side *s, size_t n_prompt, struct qs_prompt_answer *answer, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    const int32_t *id = s->token.id + n_prompt;
    answer->repeated = qs_repeated4(id, answer->n);
    answer->loop = qs_loop_period(id, answer->n);
    qs_detokenize(s->run->a->vocab, id, answer->n, QS_DETOK_MIDDLE, &text);
    answer->text = text.len ? qs_str_take(&text) : qs_strdup("");
    return answer->text ? QS_OK : qs_fail_mem(e, 0, "an answer");
}

/* ---- follow ---- */

static void keep_last(void *ctx, int layer, size_t pos, size_t n, const float *hidden)
{
    struct side *s = ctx;
    const size_t width = s->config->n_embd;
    (void)pos;
    if (layer + 1 != (int)s->config->n_layer || s->n_last + n > ROWS)
        return;
    memcpy(s->last + s->n_last * width, hidden, n * width * sizeof *hidden);
    s->n_last += n;
}

static double cosine(const float *x, const float *y, size_t n)
{
    double xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        xx += (double)x[i] * x[i];
        yy += (double)y[i] * y[i];
        xy += (double)x[i] * y[i];
    }
    return xx > 0 && yy > 0 ? fmin(xy / sqrt(xx * yy), 1) : (double)NAN;
}

static void score_rows(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct run *r = ctx;
    const struct side *m = &r->side[0], *b = &r->side[1];
    (void)thread;
    for (size_t i = begin; i < end; i++)
        qs_kld_row(b->logits + i * b->config->n_vocab, m->logits + i * m->config->n_vocab, r->n_vocab, r->next[i],
                   &r->row[i]);
}

struct sums { double kld, cosine; uint64_t n, n_cosine, same; };

static void take_rows(struct run *r, size_t n, struct qs_prompt_result *p, struct sums *sum)
{
    const size_t width = r->side[0].config->n_embd;
    const bool comparable = width == r->side[1].config->n_embd && r->side[0].n_last == n && r->side[1].n_last == n;
    for (size_t i = 0; i < n; i++) {
        const struct qs_kld_row *row = &r->row[i];
        p->bad += row->bad;
        p->bad_base += row->bad_base;
        if (row->bad || row->bad_base)
            continue;
        sum->n++;
        sum->kld += row->kld;
        sum->same += row->top == row->top_base;
        p->kld_max = sum->n == 1 || row->kld > p->kld_max ? row->kld : p->kld_max;
        const double c =
            comparable ? cosine(r->side[0].last + i * width, r->side[1].last + i * width, width) : (double)NAN;
        if (!isfinite(c))
            continue;
        sum->cosine += c;
        sum->n_cosine++;
    }
}

/* The logits at token i tell of token i + 1: those of the answer are told by the last of the prompt and all but the
 * last of the answer itself. */
static int follow(struct run *r, size_t n_prompt, struct qs_prompt_result *p, struct qs_err *e)
{
    const struct qs_tokens *t = &r->side[1].token;
    struct sums sum = { 0 };
    int rc = QS_OK;
    for (int s = 0; s < 2 && !rc; s++) {
        qs_session_watch(r->side[s].session, NULL, NULL);
        qs_session_keep(r->side[s].session, 0);
        if (n_prompt > 1)
            rc = qs_session_feed(r->side[s].session, t->id, n_prompt - 1, n_prompt - 1, NULL, e);
        qs_session_watch(r->side[s].session, keep_last, &r->side[s]);
    }
    for (size_t at = n_prompt - 1; at + 1 < t->n && !rc; at += ROWS) {
        const size_t n = t->n - 1 - at < ROWS ? t->n - 1 - at : ROWS;
        for (int s = 0; s < 2 && !rc; s++) {
            r->side[s].n_last = 0;
            rc = qs_session_feed(r->side[s].session, t->id + at, n, 0, r->side[s].logits, e);
        }
        if (rc)
            break;
        r->next = t->id + at + 1;
        qs_pool_run(r->a->pool, r->a->prio, n, 1, score_rows, r);
        take_rows(r, n, p, &sum);
    }
    p->kld = sum.n ? sum.kld / (double)sum.n : (double)NAN;
    p->same_top = sum.n ? (double)sum.same / (double)sum.n : (double)NAN;
    p->cosine = sum.n_cosine ? sum.cosine / (double)sum.n_cosine : (double)NAN;
    r->sum_kld += sum.kld;
    r->sum_cosine += sum.cosine;
    r->n_kld += sum.n;
    r->n_cosine += sum.n_cosine;
    r->n_same += sum.same;
    return rc;
}

/* ---- all prompts ---- */

static int run_prompt(struct run *r, const struct qs_prompt *p, struct qs_prompt_result *x, struct qs_job *job,
                      struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    struct side *model = &r->side[0], *base = &r->side[1];
    int rc = prompt_tokens(r, p, &text, &base->token, e);
    x->kld = x->same_top = x->cosine = (double)NAN;
    x->text = text.len ? qs_str_take(&text) : qs_strdup("");
    if (!rc && !x->text)
        rc = qs_fail_mem(e, 0, "a prompt");
    const size_t n = base->token.n;
    if (rc || n == 0 || n + r->a->n_tokens > qs_session_context(base->session) ||
        n + r->a->n_tokens > qs_session_context(model->session)) {
        r->x->passed_over += !rc;
        return rc;
    }
    x->n_prompt = n;
    model->token.n = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = qs_tokens_add(&model->token, base->token.id[i], e);
    for (int s = 1; s >= 0 && !rc; s--) {
        struct qs_prompt_answer *answer = s ? &x->base : &x->model;
        rc = write_answer(&r->side[s], n, answer, job, e);
        rc = rc ? rc : finish_answer(&r->side[s], n, answer, e);
    }
    if (rc)
        return rc;
    const size_t longer = x->base.n > x->model.n ? x->base.n : x->model.n;
    while (x->same < x->base.n && x->same < x->model.n && base->token.id[n + x->same] == model->token.id[n + x->same])
        x->same++;
    x->parted = x->same < longer;
    x->agreement = longer ? (double)x->same / (double)longer : 1;
    return follow(r, n, x, e);
}

static int worst_first(const void *a, const void *b)
{
    const struct qs_prompt_result *x = a, *y = b;
    const double kx = x->n_prompt ? (isfinite(x->kld) ? x->kld : HUGE_VAL) : -1;
    const double ky = y->n_prompt ? (isfinite(y->kld) ? y->kld : HUGE_VAL) : -1;
    if (kx > ky || kx < ky)
        return kx > ky ? -1 : 1;
    return (x->prompt > y->prompt) - (x->prompt < y->prompt);
}

static void sum_up(struct run *r)
{
    struct qs_prompts_result *x = r->x;
    const double n = (double)(x->n - x->passed_over);
    for (size_t i = 0; i < x->n; i++) {
        const struct qs_prompt_result *p = &x->item[i];
        if (!p->n_prompt)
            continue;
        x->agreement += p->agreement / n;
        x->parted += p->parted;
        x->length += (double)p->model.n / n;
        x->length_base += (double)p->base.n / n;
        x->repeated += p->model.repeated / n;
        x->repeated_base += p->base.repeated / n;
        x->loops += p->model.loop > 0;
        x->loops_base += p->base.loop > 0;
        x->bad += p->bad;
        x->bad_base += p->bad_base;
    }
    x->tokens = (size_t)r->n_kld;
    x->kld = r->n_kld ? r->sum_kld / (double)r->n_kld : (double)NAN;
    x->same_top = r->n_kld ? (double)r->n_same / (double)r->n_kld : (double)NAN;
    x->cosine = r->n_cosine ? r->sum_cosine / (double)r->n_cosine : (double)NAN;
    qsort(x->item, x->n, sizeof *x->item, worst_first);
}

static int side_new(struct run *r, int i, struct qs_err *e)
{
    struct side *s = &r->side[i];
    s->run = r;
    s->engine = i ? r->a->base : r->a->model;
    s->config = qs_engine_config(s->engine);
    s->logits = qs_calloc(ROWS, s->config->n_vocab * sizeof *s->logits);
    s->last = qs_calloc(ROWS, s->config->n_embd * sizeof *s->last);
    if (!s->logits || !s->last)
        return qs_fail_mem(e, (uint64_t)ROWS * s->config->n_vocab * sizeof *s->logits, "rows of logits");
    int rc = qs_session_new(s->engine, &r->a->cache, &s->session, e);
    return rc ? rc : qs_sampler_new(&r->a->sampler, &s->sampler, e);
}

static int prepare(struct run *r, struct qs_err *e)
{
    const struct qs_prompts_args *a = r->a;
    const size_t n = a->most && a->most < a->prompts->n ? a->most : a->prompts->n;
    r->n_vocab = qs_vocab_rows(a->vocab, qs_engine_config(a->model)->n_vocab);
    if (qs_engine_config(a->base)->n_vocab < r->n_vocab)
        r->n_vocab = qs_engine_config(a->base)->n_vocab;
    if (a->n_tokens == 0)
        return qs_fail(e, QS_EINVAL, "an answer of 0 tokens cannot be compared");
    r->x = qs_calloc(1, sizeof *r->x);
    if (!r->x || !(r->x->item = qs_calloc(n, sizeof *r->x->item)))
        return qs_fail_mem(e, n * sizeof *r->x->item, "prompts");
    r->x->n = n;
    int rc = side_new(r, 0, e);
    return rc ? rc : side_new(r, 1, e);
}

int qs_prompts_run(const struct qs_prompts_args *a, struct qs_job *job, struct qs_prompts_result **out,
                   struct qs_err *e)
{
    struct run r = { .a = a };
    int rc = prepare(&r, e);
    if (!rc)
        qs_job_phase(job, "prompts", "prompts", r.x->n);
    for (size_t i = 0; !rc && i < r.x->n; i++) {
        r.x->item[i].prompt = i;
        rc = run_prompt(&r, &a->prompts->item[i], &r.x->item[i], job, e);
        for (int s = 0; s < 2 && !rc; s++)
            rc = qs_model_intact(qs_engine_model(r.side[s].engine), e);
        if (!rc && r.n_kld)
            qs_job_item(job, "mean KLD %.6f", r.sum_kld / (double)r.n_kld);
        rc = rc ? rc : qs_job_step(job, 1, e);
    }
    if (!rc && r.x->passed_over == r.x->n)
        rc = qs_fail(e, QS_EINVAL, "none of the %zu prompts leaves room for %zu tokens in a context of %zu", r.x->n,
                     a->n_tokens, qs_session_context(r.side[0].session));
    if (!rc)
        sum_up(&r);
    for (int s = 0; s < 2; s++) {
        qs_session_free(r.side[s].session);
        qs_sampler_free(r.side[s].sampler);
        qs_tokens_free(&r.side[s].token);
        qs_free(r.side[s].logits);
        qs_free(r.side[s].last);
    }
    if (rc)
        qs_prompts_result_free(r.x);
    else
        *out = r.x;
    return rc;
}

void qs_prompts_result_free(struct qs_prompts_result *x)
{
    if (!x)
        return;
    for (size_t i = 0; x->item && i < x->n; i++) {
        qs_free(x->item[i].text);
        qs_free(x->item[i].model.text);
        qs_free(x->item[i].base.text);
    }
    qs_free(x->item);
    qs_free(x);
}
