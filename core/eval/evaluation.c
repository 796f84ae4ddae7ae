/* evaluation.c - one evaluation from files to results. Owns all that it makes. One thread at a time. */
#include "core/eval/evaluation.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/eval/evaluation_internal.h"

#define SET_FILE_MAX ((size_t)256 << 20)

const char *qs_precision_name(enum qs_precision p) { return p == QS_EXACT ? "exact" : "fast"; }

/* ---- opening ---- */

static int read_text(const char *path, const struct qs_evaluation *x, struct qs_eval_text *t, struct qs_err *e)
{
    if (!path)
        return QS_OK;
    const int rc = qs_eval_text_read(path, x->args.bytes, t, e);
    return rc ? rc : qs_eval_text_tokenize(t, x->pair->vocab, e);
}

typedef int parse_fn(struct qs_evaluation *x, const char *path, const char *data, size_t n, struct qs_err *e);

static int parse_prompts(struct qs_evaluation *x, const char *path, const char *data, size_t n, struct qs_err *e)
{
    return qs_prompts_parse(path, data, n, &x->prompts, e);
}

static int parse_tasks(struct qs_evaluation *x, const char *path, const char *data, size_t n, struct qs_err *e)
{
    return qs_tasks_parse(path, data, n, &x->tasks, e);
}

static int read_set(struct qs_evaluation *x, const char *path, parse_fn *parse, struct qs_err *e)
{
    char *data = NULL;
    size_t n = 0;
    int rc = qs_file_read(path, SET_FILE_MAX, &data, &n, e);
    rc = rc ? rc : parse(x, path, data, n, e);
    qs_free(data);
    return rc;
}

static int read_prompts(struct qs_evaluation *x, struct qs_err *e)
{
    int rc = read_set(x, x->args.prompts, parse_prompts, e);
    bool chat = false;
    for (size_t i = 0; !rc && i < x->prompts.n; i++)
        chat = chat || x->prompts.item[i].messages;
    const char *source = qs_vocab_source(x->pair->vocab)->chat_template;
    if (!rc && chat && source)
        rc = qs_chat_template_new(source, strlen(source), &x->chat, e);
    if (!rc && chat && !source)
        rc = qs_fail(e, QS_EINVAL, "%s has messages, and %s has no chat template", x->args.prompts,
                     x->pair->model->path);
    if (!rc && !x->pair->reference)
        rc = qs_fail(e, QS_EINVAL, "prompts compare two models, and there is no reference");
    return rc;
}

static int compare_texts(struct qs_evaluation *x, struct qs_err *e)
{
    struct qs_eval_text other = { 0 };
    int rc = QS_OK;
    if (x->args.calibration && x->text.n) {
        rc = qs_eval_text_read(x->args.calibration, 0, &other, e);
        rc = rc ? rc : qs_overlap(x->text.data, x->text.n, other.data, other.n, &x->overlap, e);
        x->has_overlap = !rc;
    }
    if (!rc && x->held_out.n) { /* new to both: to what was calibrated with, and to the first text */
        const struct qs_eval_text *than = other.n ? &other : &x->text;
        rc = qs_overlap(x->held_out.data, x->held_out.n, than->data, than->n, &x->held_overlap, e);
        x->has_held_overlap = !rc;
    }
    qs_eval_text_free(&other);
    return rc;
}

static int check_lengths(const struct qs_evaluation *x, struct qs_err *e)
{
    const struct qs_eval_text *const texts[] = { &x->text, &x->held_out };
    for (size_t i = 0; i < 2; i++)
        if (texts[i]->n && texts[i]->token.n < x->n_ctx)
            return qs_fail(e, QS_EINVAL,
                           "%s has %zu tokens, one window takes %zu; take a longer text or a shorter window",
                           texts[i]->path, texts[i]->token.n, x->n_ctx);
    return QS_OK;
}

/* Of all weights that are read for a window: mapped ones and those in scratch files. */
static uint64_t model_bytes(const struct qs_pair *p)
{
    const uint64_t reference = !p->reference ? 0 : p->stand_in ? p->stand_in->bytes : p->reference->bytes;
    const bool shared = p->reference == p->model && !p->plan && !p->stand_in;
    return qs_pair_bytes(p) + (shared ? 0 : reference);
}

/* For hidden states and rows of logits. */
static uint64_t working_memory(const struct qs_evaluation *x)
{
    const uint64_t share = x->args.memory / 8, most = (uint64_t)1 << 30, least = (uint64_t)16 << 20;
    return !x->args.by_layer || !x->args.memory ? 0 : share > most ? most : share < least ? least : share;
}

int qs_evaluation_open(const struct qs_evaluation_args *args, struct qs_pool *pool, struct qs_evaluation **out,
                       struct qs_err *e)
{
    struct qs_evaluation *x = qs_calloc(1, sizeof *x);
    if (!x)
        return qs_fail_mem(e, sizeof *x, "the evaluation");
    x->args = *args;
    x->noise = (double)NAN;
    int rc = qs_pair_open(&args->pair, pool, &x->pair, e);
    if (!rc) {
        const size_t train = (size_t)x->pair->model->hp.n_ctx;
        x->n_ctx = args->n_ctx ? args->n_ctx : train && train < 512 ? train : 512;
        x->args.by_layer = args->by_layer || (args->memory && model_bytes(x->pair) > args->memory);
    }
    rc = rc ? rc : read_text(args->text, x, &x->text, e);
    rc = rc ? rc : read_text(args->held_out, x, &x->held_out, e);
    rc = rc ? rc : check_lengths(x, e);
    rc = rc ? rc : compare_texts(x, e);
    if (!rc && args->prompts)
        rc = read_prompts(x, e);
    if (!rc && args->tasks)
        rc = read_set(x, args->tasks, parse_tasks, e);
    if (rc)
        qs_evaluation_free(x);
    else
        *out = x;
    return rc;
}

void qs_evaluation_free(struct qs_evaluation *x)
{
    if (!x)
        return;
    qs_lockstep_free(x->x);
    qs_lockstep_free(x->held);
    qs_prompts_result_free(x->prompts_result);
    qs_tasks_result_free(x->tasks_result);
    qs_prompts_free(&x->prompts);
    qs_tasks_free(&x->tasks);
    qs_eval_text_free(&x->text);
    qs_eval_text_free(&x->held_out);
    qs_chat_template_free(x->chat);
    qs_pair_free(x->pair);
    qs_free(x->token);
    for (size_t i = 0; i < x->n_warnings; i++)
        qs_free(x->warning[i]);
    qs_free(x->warning);
    qs_free(x);
}

/* ---- running ---- */

static int keep_token(void *ctx, const struct qs_lockstep_token *t, struct qs_err *e)
{
    struct qs_evaluation *x = ctx;
    if (!qs_grow(&x->token, &x->cap_tokens, x->n_tokens + 1, sizeof *x->token))
        return qs_fail_mem(e, (x->n_tokens + 1) * sizeof *x->token, "the list of tokens");
    x->token[x->n_tokens++] = *t;
    return QS_OK;
}

static int tell_window(void *ctx, size_t windows, const double running[QS_KLD_NUMBERS], struct qs_err *e)
{
    const struct qs_evaluation *x = ctx;
    return x->args.on_window(x->args.window_ctx, windows, running, e);
}

static struct qs_lockstep_args lockstep_args(const struct qs_evaluation *x, const struct qs_eval_text *t)
{
    const struct qs_pair *p = x->pair;
    return (struct qs_lockstep_args){
        .model = p->engine,
        .base = p->base,
        .pool = p->pool,
        .prio = p->prio,
        .token = t->token.id,
        .n_tokens = t->token.n,
        .n_ctx = x->n_ctx,
        .n_windows = x->args.n_windows,
        .cache = x->args.cache,
        .by_layer = x->args.by_layer,
        .n_vocab = qs_vocab_size(p->vocab),
        .bos = qs_vocab_adds_bos(p->vocab) ? qs_vocab_special(p->vocab, QS_SPECIAL_BOS) : -1,
        .memory = working_memory(x),
    };
}

static int run_text(struct qs_evaluation *x, struct qs_job *job, struct qs_err *e)
{
    if (!x->text.n)
        return QS_OK;
    struct qs_lockstep_args a = lockstep_args(x, &x->text);
    a.layers = x->args.layers && x->pair->base;
    a.on_token = x->args.tokens ? keep_token : NULL;
    a.on_window = x->args.on_window ? tell_window : NULL;
    a.ctx = x;
    int rc = qs_lockstep_run(&a, job, &x->x, e);
    if (!rc)
        qs_kld_numbers(&x->x->kld, x->number);
    if (rc || !x->held_out.n)
        return rc;
    a = lockstep_args(x, &x->held_out);
    rc = qs_lockstep_run(&a, job, &x->held, e);
    if (!rc)
        qs_kld_numbers(&x->held->kld, x->held_number);
    return rc;
}

/* What the arithmetic alone changes: the reference in both precisions, on the first window. */
static int run_noise(struct qs_evaluation *x, struct qs_job *job, struct qs_err *e)
{
    struct qs_engine *other = NULL;
    struct qs_lockstep *r = NULL;
    if (!x->args.noise || !x->text.n || !x->pair->base)
        return QS_OK;
    int rc = qs_pair_engine(x->pair, x->pair->precision == QS_EXACT ? QS_FAST : QS_EXACT, &other, e);
    struct qs_lockstep_args a = lockstep_args(x, &x->text);
    a.model = other;
    a.base = x->pair->base;
    a.n_windows = 1;
    rc = rc ? rc : qs_lockstep_run(&a, job, &r, e);
    if (!rc && r->kld.n)
        x->noise = r->kld.kld.mean;
    qs_lockstep_free(r);
    qs_engine_free(other);
    return rc;
}

static int run_prompts(struct qs_evaluation *x, struct qs_job *job, struct qs_err *e)
{
    const struct qs_pair *p = x->pair;
    if (!x->prompts.n)
        return QS_OK;
    const struct qs_prompts_args a = {
        .model = p->engine,
        .base = p->base,
        .vocab = p->vocab,
        .chat = x->chat,
        .pool = p->pool,
        .prio = p->prio,
        .prompts = &x->prompts,
        .most = x->args.most_prompts,
        .n_tokens = x->args.answer_tokens ? x->args.answer_tokens : 64,
        .cache = x->args.cache,
        .sampler = x->args.sampler,
        .now = x->args.now,
    };
    return qs_prompts_run(&a, job, &x->prompts_result, e);
}

static int run_tasks(struct qs_evaluation *x, struct qs_job *job, struct qs_err *e)
{
    const struct qs_pair *p = x->pair;
    if (!x->tasks.n)
        return QS_OK;
    const struct qs_tasks_args a = { .model = p->engine, .base = p->base, .vocab = p->vocab, .tasks = &x->tasks,
                                     .most = x->args.most_tasks, .cache = x->args.cache };
    return qs_tasks_run(&a, job, &x->tasks_result, e);
}

uint64_t qs_evaluation_need(const struct qs_evaluation *x)
{
    if (!x->pair->engine || !x->text.n)
        return x->need;
    const struct qs_lockstep_args a = lockstep_args(x, &x->text);
    return qs_lockstep_need(&a);
}

int qs_evaluation_run(struct qs_evaluation *x, struct qs_job *job, struct qs_err *e)
{
    int rc = qs_pair_make(x->pair, job, e);
    qs_job_item(job, "%s", x->text.path ? x->text.path : ""); /* no longer a tensor and its error */
    qs_job_error(job, -1);
    x->need = qs_evaluation_need(x);
    rc = rc ? rc : run_text(x, job, e);
    rc = rc ? rc : run_noise(x, job, e);
    rc = rc ? rc : run_prompts(x, job, e);
    rc = rc ? rc : run_tasks(x, job, e);
    return rc ? rc : qs_evaluation_judge(x, e);
}
