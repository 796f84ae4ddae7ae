/* tasks.c - choices scored by their likelihood. Owns its sessions while it runs. One thread. */
#include "core/eval/tasks.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/eval/kld.h"
#include "core/eval/stats.h"

#define ROWS 32

struct run {
    const struct qs_tasks_args *a;
    struct qs_tasks_result *x;
    struct qs_session *session[2];
    float *logits;
    size_t n_vocab;             /* ids that count, in both */
    struct qs_tokens question, whole;
    struct qs_str text;
};

/* ---- one choice ---- */

static bool blank_between(const char *question, const char *choice)
{
    const char last = question[0] ? question[strlen(question) - 1] : ' ';
    return !(last == ' ' || last == '\n' || last == '\t' || choice[0] == ' ' || choice[0] == '\n');
}

/* Tokens of question and choice, and how many of them are context. */
static int choice_tokens(struct run *r, const struct qs_task *t, size_t c, size_t *context, struct qs_err *e)
{
    qs_str_clear(&r->text);
    qs_str_add(&r->text, t->question);
    if (blank_between(t->question, t->choice[c]))
        qs_str_addc(&r->text, ' ');
    qs_str_add(&r->text, t->choice[c]);
    if (r->text.failed)
        return qs_fail_mem(e, r->text.len, "a choice");
    r->whole.n = 0;
    int rc = qs_tokenize(r->a->vocab, r->text.data, r->text.len, QS_TOKENIZE_ADD_SPECIAL, &r->whole, e);
    *context = 0;
    for (size_t i = 0; i < r->whole.n && !rc; i++)
        if ((size_t)r->whole.id[i] >= r->n_vocab)
            rc = qs_fail(e, QS_EINVAL, "the task of line %zu has token %ld, the model knows %zu", t->line,
                         (long)r->whole.id[i], r->n_vocab);
    while (!rc && *context < r->question.n && *context + 1 < r->whole.n &&
           r->question.id[*context] == r->whole.id[*context])
        ++*context;
    return rc;
}

/* ln p of token[context ...), given those before. What the session holds of the same tokens is used again. */
static int score(struct run *r, int side, size_t context, double *ln_p, struct qs_err *e)
{
    struct qs_session *s = r->session[side];
    const size_t width = qs_engine_config(qs_session_engine(s))->n_vocab;
    const int32_t *id = r->whole.id;
    size_t have = 0;
    while (have < qs_session_length(s) && have + 1 < context && qs_session_tokens(s)[have] == id[have])
        have++;
    qs_session_keep(s, have);
    int rc = QS_OK;
    if (have + 1 < context)
        rc = qs_session_feed(s, id + have, context - 1 - have, context - 1 - have, NULL, e);
    *ln_p = 0;
    for (size_t at = context - 1; at + 1 < r->whole.n && !rc; at += ROWS) {
        const size_t n = r->whole.n - 1 - at < ROWS ? r->whole.n - 1 - at : ROWS;
        rc = qs_session_feed(s, id + at, n, 0, r->logits, e);
        for (size_t i = 0; i < n && !rc; i++) {
            struct qs_kld_row row;
            qs_kld_row(NULL, r->logits + i * width, r->n_vocab, id[at + i + 1], &row);
            *ln_p -= row.nll; /* NaN stays */
        }
    }
    return rc;
}

static void choose(const struct qs_task *t, struct qs_task_score *s)
{
    double best = 0, best_normalised = 0;
    s->by_sum = s->by_normalised = SIZE_MAX;
    for (size_t c = 0; c < t->n_choices; c++) {
        const double normalised = s->ln_p[c] / (double)strlen(t->choice[c]);
        if (!isfinite(s->ln_p[c]))
            continue;
        if (s->by_sum == SIZE_MAX || s->ln_p[c] > best) {
            s->by_sum = c;
            best = s->ln_p[c];
        }
        if (s->by_normalised == SIZE_MAX || normalised > best_normalised) {
            s->by_normalised = c;
            best_normalised = normalised;
        }
    }
}

static int run_task(struct run *r, const struct qs_task *t, struct qs_task_result *x, struct qs_job *job,
                    struct qs_err *e)
{
    r->question.n = 0;
    int rc = qs_tokenize(r->a->vocab, t->question, strlen(t->question), QS_TOKENIZE_ADD_SPECIAL, &r->question, e);
    for (size_t c = 0; c < t->n_choices && !rc; c++) {
        size_t context = 0;
        rc = choice_tokens(r, t, c, &context, e);
        for (int s = 0; s < 2 && !rc && r->session[s] && !x->passed_over; s++) {
            /* A choice without anything before it cannot be scored: there is nothing to tell its first token from. */
            x->passed_over = context == 0 || r->whole.n > qs_session_context(r->session[s]);
            if (!x->passed_over)
                rc = score(r, s, context, s ? &x->base.ln_p[c] : &x->model.ln_p[c], e);
            rc = rc ? rc : qs_job_step(job, 0, e);
        }
    }
    if (rc || x->passed_over)
        return rc;
    choose(t, &x->model);
    choose(t, &x->base);
    return QS_OK;
}

/* ---- all of them ---- */

static void count(struct qs_task_totals *t, bool right, bool right_base)
{
    t->right += right;
    t->right_base += right_base;
    t->only_model += right && !right_base;
    t->only_base += right_base && !right;
}

static void finish(struct qs_task_totals *t, uint64_t n, bool paired)
{
    t->accuracy = n ? (double)t->right / (double)n : (double)NAN;
    qs_wilson(t->right, n, &t->low, &t->high);
    t->accuracy_base = paired && n ? (double)t->right_base / (double)n : (double)NAN;
    qs_wilson(t->right_base, paired ? n : 0, &t->low_base, &t->high_base);
    t->p = paired ? qs_mcnemar(t->only_model, t->only_base) : (double)NAN;
}

static void sum_up(struct run *r)
{
    struct qs_tasks_result *x = r->x;
    const uint64_t n = x->n - x->passed_over;
    for (size_t i = 0; i < x->n; i++) {
        const struct qs_task_result *y = &x->item[i];
        const struct qs_task *t = &r->a->tasks->item[y->task];
        if (y->passed_over)
            continue;
        x->chance += 1.0 / (double)t->n_choices / (double)n;
        for (size_t c = 0; c < t->n_choices; c++) {
            x->bad += !isfinite(y->model.ln_p[c]);
            x->bad_base += r->session[1] && !isfinite(y->base.ln_p[c]);
        }
        count(&x->sum, y->model.by_sum == t->answer, r->session[1] && y->base.by_sum == t->answer);
        count(&x->normalised, y->model.by_normalised == t->answer, r->session[1] && y->base.by_normalised == t->answer);
    }
    finish(&x->sum, n, r->session[1] != NULL);
    finish(&x->normalised, n, r->session[1] != NULL);
}

static int prepare(struct run *r, struct qs_err *e)
{
    const struct qs_tasks_args *a = r->a;
    const size_t rows = qs_engine_config(a->model)->n_vocab, base = a->base ? qs_engine_config(a->base)->n_vocab : rows;
    const size_t width = rows > base ? rows : base;
    const size_t n = a->most && a->most < a->tasks->n ? a->most : a->tasks->n;
    r->n_vocab = qs_vocab_rows(a->vocab, rows < base ? rows : base);
    r->x = qs_calloc(1, sizeof *r->x);
    if (!r->x || !(r->x->item = qs_calloc(n, sizeof *r->x->item)))
        return qs_fail_mem(e, n * sizeof *r->x->item, "tasks");
    r->x->n = n;
    if (!(r->logits = qs_calloc(ROWS, width * sizeof *r->logits)))
        return qs_fail_mem(e, (uint64_t)ROWS * width * sizeof *r->logits, "rows of logits");
    int rc = qs_session_new(a->model, &a->cache, &r->session[0], e);
    return rc || !a->base ? rc : qs_session_new(a->base, &a->cache, &r->session[1], e);
}

int qs_tasks_run(const struct qs_tasks_args *a, struct qs_job *job, struct qs_tasks_result **out, struct qs_err *e)
{
    struct run r = { .a = a, .text = QS_STR_INIT };
    int rc = prepare(&r, e);
    if (!rc)
        qs_job_phase(job, "tasks", "tasks", r.x->n);
    for (size_t i = 0; !rc && i < r.x->n; i++) {
        r.x->item[i].task = i;
        rc = run_task(&r, &a->tasks->item[i], &r.x->item[i], job, e);
        r.x->passed_over += r.x->item[i].passed_over;
        rc = rc ? rc : qs_model_intact(qs_engine_model(a->model), e);
        rc = rc || !a->base ? rc : qs_model_intact(qs_engine_model(a->base), e);
        rc = rc ? rc : qs_job_step(job, 1, e);
    }
    if (!rc && r.x->passed_over == r.x->n)
        rc = qs_fail(e, QS_EINVAL, "none of the %zu tasks fits a context of %zu tokens", r.x->n,
                     qs_session_context(r.session[0]));
    if (!rc)
        sum_up(&r);
    for (int s = 0; s < 2; s++)
        qs_session_free(r.session[s]);
    qs_free(r.logits);
    qs_tokens_free(&r.question);
    qs_tokens_free(&r.whole);
    qs_str_free(&r.text);
    if (rc)
        qs_tasks_result_free(r.x);
    else
        *out = r.x;
    return rc;
}

void qs_tasks_result_free(struct qs_tasks_result *x)
{
    if (!x)
        return;
    qs_free(x->item);
    qs_free(x);
}
