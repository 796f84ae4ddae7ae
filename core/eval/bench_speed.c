/* bench_speed.c - prefill and decode of a model, and how long its start takes.
 *
 * Owns an engine and a session while they run. Contexts are filled with made-up keys and values, since computing them
 * would take longer than what is measured. Sizes beyond the model's context, the memory or the patience are left out,
 * and that is said.
 */
#include "core/eval/bench_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { DECODE_MOST = 64, DECODE_LEAST = 4, STARTUP_RUNS = 5 };
#define DECODE_SECONDS 0.5  /* of a run */
#define TOO_LONG 12.0       /* times the seconds of a number: such a prompt is left out */

struct speed {
    struct qs_bench_run_state *s;
    struct qs_engine *engine;
    struct qs_session *session;
    float *logits;
    int32_t *token;
    size_t most;               /* tokens that fit */
    size_t prompt, context, tokens; /* of the number at hand */
};

static int feed(struct speed *p, size_t n, size_t step, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t at = 0; rc == QS_OK && at < n; at += step) {
        const size_t now = n - at < step ? n - at : step;
        const bool logits = step == 1 || at + now == n;
        rc = qs_session_feed(p->session, p->token + at, now, logits ? now - 1 : now, logits ? p->logits : NULL, e);
        rc = rc ? rc : qs_job_step(p->s->job, 0, e);
    }
    return rc;
}

static int prefill_once(void *ctx, double *seconds, struct qs_err *e)
{
    struct speed *p = ctx;
    qs_session_keep(p->session, 0);
    const double start = qs_now();
    const int rc = feed(p, p->prompt, qs_engine_batch(p->engine), e);
    *seconds = qs_now() - start;
    return rc;
}

static int decode_once(void *ctx, double *seconds, struct qs_err *e)
{
    struct speed *p = ctx;
    qs_session_keep(p->session, p->context);
    const double start = qs_now();
    const int rc = feed(p, p->tokens, 1, e);
    *seconds = qs_now() - start;
    return rc;
}

static struct qs_bench_number number_of(const struct qs_bench_run_state *s, enum qs_bench_part part, uint64_t size)
{
    struct qs_bench_number out = { .part = part, .size = size, .unit = "tokens/s" };
    snprintf(out.subject, sizeof out.subject, "%s", s->subject);
    return out;
}

static int prefill(struct speed *p, struct qs_err *e)
{
    struct qs_bench_run_state *s = p->s;
    double per_token = 0; /* seconds, of the size before */
    for (size_t i = 0; i < s->args->n_prefill; i++) {
        struct qs_bench_number out = number_of(s, QS_BENCH_PREFILL, s->args->prefill[i]);
        struct qs_bench_try t = { .ctx = p, .once = prefill_once, .amount = (double)s->args->prefill[i] };
        p->prompt = s->args->prefill[i];
        if (p->prompt > p->most)
            continue;
        if (per_token * (double)p->prompt > TOO_LONG * s->args->seconds) {
            qs_bench_note(s, "%s: a prompt of %zu tokens would take about %.0f s and is left out; more time for each "
                             "number allows it", s->subject, p->prompt, per_token * (double)p->prompt);
            continue;
        }
        snprintf(out.how, sizeof out.how, "fed at once into an empty context, logits of the last token");
        qs_bench_work_prefill(p->engine, p->prompt, 1, s->args->precision, s->bf16, &t.work);
        const int rc = qs_bench_take(s, &t, &out, e);
        if (rc != QS_OK)
            return rc;
        per_token = 1 / out.median;
    }
    return QS_OK;
}

/* How many tokens a run decodes: about half a second, by the time of the second one. */
static int choose_tokens(struct speed *p, struct qs_err *e)
{
    double seconds = 0;
    p->tokens = 1;
    int rc = decode_once(p, &seconds, e);
    rc = rc ? rc : decode_once(p, &seconds, e);
    const double n = DECODE_SECONDS / (seconds > 1e-6 ? seconds : 1e-6);
    p->tokens = n > DECODE_MOST ? DECODE_MOST : n < DECODE_LEAST ? DECODE_LEAST : (size_t)n;
    return rc;
}

static int decode(struct speed *p, struct qs_err *e)
{
    struct qs_bench_run_state *s = p->s;
    for (size_t i = 0; i < s->args->n_context; i++) {
        struct qs_bench_number out = number_of(s, QS_BENCH_DECODE, s->args->context[i]);
        struct qs_bench_try t = { .ctx = p, .once = decode_once };
        p->context = s->args->context[i];
        if (p->context + DECODE_MOST > p->most)
            continue;
        qs_session_keep(p->session, 0);
        int rc = qs_session_fill(p->session, p->context, e);
        rc = rc ? rc : choose_tokens(p, e);
        for (size_t k = 0; !rc && k < p->tokens; k++)
            qs_bench_work_decode(p->engine, &s->args->cache, p->context + k, &t.work);
        t.amount = (double)p->tokens;
        snprintf(out.how, sizeof out.how, "%zu tokens one by one, each with logits%s", p->tokens,
                 p->context ? ", behind a context of made-up keys and values" : "");
        rc = rc ? rc : qs_bench_take(s, &t, &out, e);
        if (rc != QS_OK)
            return rc;
    }
    return QS_OK;
}

/* ---- engine and session ---- */

/* The longest timeline that anything asks for. */
static size_t wanted(const struct qs_bench_args *a)
{
    size_t most = 1;
    for (size_t i = 0; a->parts >> QS_BENCH_PREFILL & 1 && i < a->n_prefill; i++)
        most = a->prefill[i] > most ? a->prefill[i] : most;
    for (size_t i = 0; a->parts >> QS_BENCH_DECODE & 1 && i < a->n_context; i++)
        most = a->context[i] + DECODE_MOST > most ? a->context[i] + DECODE_MOST : most;
    return most;
}

/* Tokens that context and memory allow, and what is left out for it. */
static size_t fit(struct speed *p, size_t want)
{
    struct qs_bench_run_state *s = p->s;
    const size_t own = qs_engine_config(p->engine)->n_ctx_train;
    struct qs_session_args args = s->args->cache;
    args.n_ctx = want;
    if (own && want > own) {
        qs_bench_note(s, "%s: longer than the model's context of %zu tokens are left out", s->subject, own);
        args.n_ctx = own;
    }
    const size_t asked = args.n_ctx;
    while (args.n_ctx > 256 && qs_session_need(p->engine, &args) > s->args->memory)
        args.n_ctx /= 2;
    if (args.n_ctx < asked)
        qs_bench_note(s, "%s: longer than %zu tokens are left out for want of memory", s->subject, args.n_ctx);
    return args.n_ctx;
}

static int prepare(struct speed *p, struct qs_err *e)
{
    struct qs_bench_run_state *s = p->s;
    const struct qs_engine_args args = { .pool = s->args->pool, .precision = s->args->precision, .prio = QS_PRIO_JOB,
                                         .batch = s->args->batch };
    struct qs_session_args sizes = s->args->cache;
    int rc = qs_engine_new(s->model, &args, &p->engine, e);
    if (rc != QS_OK)
        return rc;
    p->most = sizes.n_ctx = fit(p, wanted(s->args));
    rc = qs_session_new(p->engine, &sizes, &p->session, e);
    const size_t vocab = qs_engine_config(p->engine)->n_vocab;
    p->logits = qs_malloc(vocab * sizeof *p->logits);
    p->token = qs_malloc(p->most * sizeof *p->token);
    if (!rc && (!p->logits || !p->token))
        rc = qs_fail_mem(e, vocab * sizeof *p->logits, "logits");
    for (size_t i = 0; !rc && i < p->most; i++)
        p->token[i] = (int32_t)(i * 7919 % vocab);
    qs_job_item(s->job, "%s: the weights come into memory", s->subject);
    return rc ? rc : feed(p, 1, 1, e);
}

int qs_bench_speed(struct qs_bench_run_state *s, struct qs_err *e)
{
    struct speed p = { .s = s };
    int rc = prepare(&p, e);
    if (!rc && s->result->n_subjects)
        s->result->subject[s->result->n_subjects - 1].bytes_per_token = qs_engine_bytes_per_token(p.engine);
    if (!rc)
        s->result->batch = qs_engine_batch(p.engine);
    if (!rc && s->args->parts >> QS_BENCH_PREFILL & 1)
        rc = prefill(&p, e);
    if (!rc && s->args->parts >> QS_BENCH_DECODE & 1)
        rc = decode(&p, e);
    qs_session_free(p.session);
    qs_engine_free(p.engine);
    qs_free(p.logits);
    qs_free(p.token);
    return rc;
}

/* ---- start ---- */

enum { OPEN, PREPARE, FIRST, ALL, STEPS };

struct startup {
    struct qs_bench_run_state *s;
    const char *path;
    int wanted;                 /* the step that is timed */
};

/* From nothing to the logits of one token. */
static int start_once(void *ctx, double *seconds, struct qs_err *e)
{
    struct startup *u = ctx;
    const struct qs_bench_args *a = u->s->args;
    const struct qs_engine_args args = { .pool = a->pool, .precision = a->precision, .prio = QS_PRIO_JOB,
                                         .batch = a->batch };
    struct qs_session_args sizes = a->cache;
    struct qs_model *m = NULL;
    struct qs_engine *x = NULL;
    struct qs_session *session = NULL;
    float *logits = NULL;
    double at[4] = { qs_now() };
    int rc = qs_model_open(u->path, &m, e);
    at[1] = qs_now();
    rc = rc ? rc : qs_engine_new(m, &args, &x, e);
    sizes.n_ctx = 512;
    rc = rc ? rc : qs_session_new(x, &sizes, &session, e);
    at[2] = qs_now();
    if (!rc && !(logits = qs_malloc(qs_engine_config(x)->n_vocab * sizeof *logits)))
        rc = qs_fail_mem(e, qs_engine_config(x)->n_vocab * sizeof *logits, "logits");
    rc = rc ? rc : qs_session_feed(session, &(const int32_t){ 1 }, 1, 0, logits, e);
    at[3] = qs_now();
    *seconds = u->wanted == ALL ? at[3] - at[0] : at[u->wanted + 1] - at[u->wanted];
    qs_free(logits);
    qs_session_free(session);
    qs_engine_free(x);
    qs_model_close(m);
    return rc;
}

int qs_bench_startup(struct qs_bench_run_state *s, const char *path, struct qs_err *e)
{
    static const struct { const char *detail, *how; } step[STEPS] = {
        [OPEN] = { "open", "reading the headers" },
        [PREPARE] = { "engine", "mapping weights, packing them where that is faster, session (512 tokens) and buffers" },
        [FIRST] = { "first token", "one token through mapped weights, with logits" },
        [ALL] = { "all", "from the name of the file to the first logits; its pages were in memory before" },
    };
    int rc = QS_OK;
    for (int i = 0; !rc && i < STEPS; i++) {
        struct startup u = { .s = s, .path = path, .wanted = i };
        struct qs_bench_number out = number_of(s, QS_BENCH_STARTUP, 0);
        struct qs_bench_try t = { .ctx = &u, .once = start_once, .runs_most = STARTUP_RUNS };
        snprintf(out.unit, sizeof out.unit, "s");
        snprintf(out.detail, sizeof out.detail, "%s", step[i].detail);
        snprintf(out.how, sizeof out.how, "%s", step[i].how);
        rc = qs_bench_take(s, &t, &out, e);
    }
    return rc;
}
