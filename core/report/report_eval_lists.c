/* report_eval_lists.c - the long tables of an evaluation: layers, tokens, answers, tasks. Computes nothing. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/report/report_eval_internal.h"

#define N(columns) (sizeof columns / sizeof *columns)
#define WORST 10 /* prompts and tasks in the text for people */

/* ---- layers ---- */

void qs_report_eval_layers(struct qs_report *r, const struct qs_evaluation *x, const struct qs_eval_view *view)
{
    static const struct qs_column columns[] = {
        { .key = "layer", .title = "after", .left = true },
        { .key = "error", .title = "error", .unit = QS_UNIT_PERCENT },
        { .key = "cosine_distance", .title = "1 - cosine" },
        { .key = "error_worst", .title = "worst", .unit = QS_UNIT_PERCENT },
        { .key = "worst_at", .title = "at token", .unit = QS_UNIT_COUNT },
        { .key = "cosine_distance_worst", .title = "worst 1 - cosine", .optional = true },
        { .key = "above", .title = "above 10 %", .left = true },
        { .key = "bad", .title = "NaN, Inf", .unit = QS_UNIT_COUNT, .optional = true },
        { .key = "bad_reference", .title = "reference", .unit = QS_UNIT_COUNT, .optional = true },
    };
    struct qs_section *s = qs_report_table(r, "layers", "Hidden states", columns, N(columns));
    for (size_t i = 0; i < x->x->n_layers; i++) {
        const struct qs_layer_stat *l = &x->x->layer[i];
        char name[32] = "embedding";
        if (i)
            snprintf(name, sizeof name, "block %zu", i - 1);
        qs_row(s);
        qs_cell_str(s, 0, name);
        qs_cell_num(s, 1, l->n ? l->error : (double)NAN);
        qs_cell_num(s, 2, l->n ? 1 - l->cosine : (double)NAN);
        qs_cell_num(s, 3, l->n ? l->error_worst : (double)NAN);
        if (l->n)
            qs_cell_int(s, 4, (int64_t)l->worst_at);
        qs_cell_num(s, 5, l->n ? 1 - l->cosine_worst : (double)NAN);
        if (view->data)
            qs_cell_bool(s, 6, l->n && l->error >= QS_LAYER_WARN);
        else
            qs_cell_str(s, 6, l->n && l->error >= QS_LAYER_WARN ? "yes" : "");
        qs_cell_int(s, 7, (int64_t)l->bad);
        qs_cell_int(s, 8, (int64_t)l->bad_base);
    }
    qs_section_note(
        s, "error: |h - b| / |b| of the hidden state against the reference's, mean over all tokens; worst: of one "
           "token, counted from 0.");
}

/* ---- tokens ---- */

static void piece(struct qs_section *s, size_t column, const struct qs_vocab *v, int32_t id)
{
    struct qs_str text = QS_STR_INIT;
    if (id >= 0) {
        qs_vocab_piece(v, id, true, &text);
        qs_cell_str(s, column, text.data);
    }
    qs_str_free(&text);
}

void qs_report_eval_tokens(struct qs_report *r, const struct qs_evaluation *x)
{
    static const struct qs_column columns[] = {
        { .key = "at", .title = "at", .unit = QS_UNIT_COUNT },
        { .key = "token", .title = "token" },
        { .key = "text", .title = "text", .left = true },
        { .key = "ln_p", .title = "ln p", .digits = -4 },
        { .key = "ln_p_reference", .title = "reference", .digits = -4 },
        { .key = "kld", .title = "KLD", .digits = -6 },
        { .key = "top", .title = "top", .optional = true },
        { .key = "top_text", .title = "top token", .left = true },
        { .key = "top_reference", .title = "reference", .optional = true },
        { .key = "top_reference_text", .title = "reference's", .left = true },
    };
    const struct qs_vocab *v = x->pair->vocab;
    struct qs_section *s = qs_report_table(r, "tokens", "Tokens", columns, N(columns));
    for (size_t i = 0; i < x->n_tokens; i++) {
        const struct qs_lockstep_token *t = &x->token[i];
        qs_row(s);
        qs_cell_int(s, 0, (int64_t)t->at);
        qs_cell_int(s, 1, t->token);
        piece(s, 2, v, t->token);
        qs_cell_num(s, 3, -t->row.nll);
        qs_cell_num(s, 4, -t->row.nll_base);
        qs_cell_num(s, 5, t->row.kld);
        if (t->row.top >= 0)
            qs_cell_int(s, 6, t->row.top);
        piece(s, 7, v, t->row.top);
        if (t->row.top_base >= 0)
            qs_cell_int(s, 8, t->row.top_base);
        piece(s, 9, v, t->row.top_base);
    }
}

/* ---- answers to prompts ---- */

static void prompt_facts(struct qs_report *r, const struct qs_prompts_result *p)
{
    struct qs_section *f = qs_report_facts(r, "answers", "Answers to prompts");
    qs_fact_int(f, "prompts", "prompts", (int64_t)p->n, QS_UNIT_COUNT);
    qs_fact_int(f, "passed_over", "too long, passed over", (int64_t)p->passed_over, QS_UNIT_COUNT);
    qs_fact_int(f, "parted", "answers that part", (int64_t)p->parted, QS_UNIT_COUNT);
    qs_fact_num(f, "agreement", "agreement until they part", p->agreement, QS_UNIT_PERCENT, QS_HOW_MEASURED);
    qs_fact_int(f, "tokens", "tokens followed", (int64_t)p->tokens, QS_UNIT_COUNT);
    qs_fact_num(f, "kld", "mean KLD, following", p->kld, QS_UNIT_NONE, QS_HOW_MEASURED);
    qs_fact_num(f, "same_top", "same top token", p->same_top, QS_UNIT_PERCENT, QS_HOW_MEASURED);
    qs_fact_num(f, "cosine", "cosine of the last block's state", p->cosine, QS_UNIT_NONE, QS_HOW_MEASURED);
    qs_fact_num(f, "length", "tokens of an answer", p->length, QS_UNIT_NONE, QS_HOW_MEASURED);
    qs_fact_num(f, "length_reference", "of the reference", p->length_base, QS_UNIT_NONE, QS_HOW_MEASURED);
    qs_fact_num(f, "repeated", "repeated 4-grams", p->repeated, QS_UNIT_PERCENT, QS_HOW_MEASURED);
    qs_fact_num(f, "repeated_reference", "of the reference", p->repeated_base, QS_UNIT_PERCENT, QS_HOW_MEASURED);
    qs_fact_int(f, "loops", "answers that end in a loop", (int64_t)p->loops, QS_UNIT_COUNT);
    qs_fact_int(f, "loops_reference", "of the reference", (int64_t)p->loops_base, QS_UNIT_COUNT);
}

void qs_report_eval_prompts(struct qs_report *r, const struct qs_evaluation *x, const struct qs_eval_view *view)
{
    static const struct qs_column columns[] = {
        { .key = "line", .title = "line", .unit = QS_UNIT_COUNT },
        { .key = "kld", .title = "KLD" },
        { .key = "kld_max", .title = "largest", .optional = true },
        { .key = "same_top", .title = "same top", .unit = QS_UNIT_PERCENT, .optional = true },
        { .key = "agreement", .title = "agree", .unit = QS_UNIT_PERCENT },
        { .key = "parted_at", .title = "part at", .unit = QS_UNIT_COUNT },
        { .key = "cosine", .title = "cosine", .digits = 5, .optional = true },
        { .key = "tokens", .title = "tokens", .unit = QS_UNIT_COUNT, .optional = true },
        { .key = "tokens_reference", .title = "reference", .unit = QS_UNIT_COUNT, .optional = true },
        { .key = "repeated", .title = "repeated", .unit = QS_UNIT_PERCENT, .optional = true },
        { .key = "repeated_reference", .title = "reference", .unit = QS_UNIT_PERCENT, .optional = true },
        { .key = "loop", .title = "loop", .optional = true },
        { .key = "loop_reference", .title = "reference", .optional = true },
        { .key = "prompt", .title = "prompt", .left = true },
        { .key = "reference", .title = "reference", .left = true },
        { .key = "answer", .title = "model", .left = true },
    };
    /* For people two tables: numbers, and the answers side by side. */
    static const struct qs_column side_by_side[] = {
        { .key = "line", .title = "line", .unit = QS_UNIT_COUNT },
        { .key = "prompt", .title = "prompt", .left = true },
        { .key = "reference", .title = "reference", .left = true },
        { .key = "answer", .title = "model", .left = true },
    };
    const struct qs_prompts_result *p = x->prompts_result;
    prompt_facts(r, p);
    const size_t n = view->data || p->n < WORST ? p->n : WORST;
    struct qs_section *s = qs_report_table(r, "prompts", view->data ? "Prompts" : "Prompts, the worst first", columns,
                                           view->data ? N(columns) : 13);
    struct qs_section *t =
        view->data ? NULL : qs_report_table(r, "texts", "Side by side", side_by_side, N(side_by_side));
    for (size_t i = 0; i < n; i++) {
        const struct qs_prompt_result *q = &p->item[i];
        const int64_t line = (int64_t)x->prompts.item[q->prompt].line;
        qs_row(s);
        qs_cell_int(s, 0, line);
        qs_cell_num(s, 1, q->kld);
        qs_cell_num(s, 2, isfinite(q->kld) ? q->kld_max : (double)NAN);
        qs_cell_num(s, 3, q->same_top);
        qs_cell_num(s, 4, q->n_prompt ? q->agreement : (double)NAN);
        if (q->parted)
            qs_cell_int(s, 5, (int64_t)q->same);
        qs_cell_num(s, 6, q->cosine);
        qs_cell_int(s, 7, (int64_t)q->model.n);
        qs_cell_int(s, 8, (int64_t)q->base.n);
        qs_cell_num(s, 9, q->model.repeated);
        qs_cell_num(s, 10, q->base.repeated);
        qs_cell_int(s, 11, (int64_t)q->model.loop);
        qs_cell_int(s, 12, (int64_t)q->base.loop);
        if (t) {
            qs_row(t);
            qs_cell_int(t, 0, line);
        }
        struct qs_section *to = t ? t : s;
        const size_t at = t ? 1 : 13;
        qs_cell_str(to, at, q->text);
        qs_cell_str(to, at + 1, q->base.text);
        qs_cell_str(to, at + 2, q->model.text);
    }
    if (n < p->n)
        qs_section_note(s, "%zu of %zu prompts are shown; JSON and CSV have all of them.", n, p->n);
}

/* ---- tasks ---- */

static void accuracy(struct qs_section *s, const char *way, const struct qs_task_totals *t, bool paired)
{
    qs_row(s);
    qs_cell_str(s, 0, way);
    qs_cell_num(s, 1, t->accuracy);
    qs_cell_num(s, 2, t->low);
    qs_cell_num(s, 3, t->high);
    qs_cell_num(s, 4, t->accuracy_base);
    qs_cell_num(s, 5, t->low_base);
    qs_cell_num(s, 6, t->high_base);
    if (!paired)
        return;
    qs_cell_int(s, 7, (int64_t)t->only_model);
    qs_cell_int(s, 8, (int64_t)t->only_base);
    qs_cell_num(s, 9, t->p);
}

static void task_choice(struct qs_section *s, size_t column, size_t choice)
{
    if (choice != SIZE_MAX)
        qs_cell_int(s, column, (int64_t)choice);
}

static void task_rows(struct qs_report *r, const struct qs_evaluation *x)
{
    static const struct qs_column columns[] = {
        { .key = "line", .title = "line", .unit = QS_UNIT_COUNT },
        { .key = "right", .title = "right" },
        { .key = "sum", .title = "by sum" },
        { .key = "normalised", .title = "by bytes" },
        { .key = "sum_reference", .title = "reference" },
        { .key = "normalised_reference", .title = "reference" },
        { .key = "question", .title = "question", .left = true },
    };
    struct qs_section *s = qs_report_table(r, "tasks", "Tasks", columns, N(columns));
    for (size_t i = 0; i < x->tasks_result->n; i++) {
        const struct qs_task_result *t = &x->tasks_result->item[i];
        const struct qs_task *task = &x->tasks.item[t->task];
        qs_row(s);
        qs_cell_int(s, 0, (int64_t)task->line);
        qs_cell_int(s, 1, (int64_t)task->answer);
        if (!t->passed_over) {
            task_choice(s, 2, t->model.by_sum);
            task_choice(s, 3, t->model.by_normalised);
            if (x->pair->reference) {
                task_choice(s, 4, t->base.by_sum);
                task_choice(s, 5, t->base.by_normalised);
            }
        }
        qs_cell_str(s, 6, task->question);
    }
}

void qs_report_eval_tasks(struct qs_report *r, const struct qs_evaluation *x, const struct qs_eval_view *view)
{
    static const struct qs_column columns[] = {
        { .key = "way", .title = "score", .left = true },
        { .key = "accuracy", .title = "right", .unit = QS_UNIT_PERCENT, .digits = 4 },
        { .key = "low", .title = "from", .unit = QS_UNIT_PERCENT, .digits = 4 },
        { .key = "high", .title = "to", .unit = QS_UNIT_PERCENT, .digits = 4 },
        { .key = "accuracy_reference", .title = "reference", .unit = QS_UNIT_PERCENT, .digits = 4 },
        { .key = "low_reference", .title = "from", .unit = QS_UNIT_PERCENT, .digits = 4, .optional = true },
        { .key = "high_reference", .title = "to", .unit = QS_UNIT_PERCENT, .digits = 4, .optional = true },
        { .key = "only_model", .title = "only model", .unit = QS_UNIT_COUNT, .optional = true },
        { .key = "only_reference", .title = "only reference", .unit = QS_UNIT_COUNT, .optional = true },
        { .key = "p", .title = "p" },
    };
    const struct qs_tasks_result *t = x->tasks_result;
    struct qs_section *s = qs_report_table(r, "accuracy", "Multiple choice", columns, N(columns));
    accuracy(s, "sum", &t->sum, x->pair->reference != NULL);
    accuracy(s, "normalised", &t->normalised, x->pair->reference != NULL);
    qs_section_note(s,
                    "%zu tasks, chance is right in %.1f%%. sum: ln p of the choice; normalised: divided by its bytes. "
                    "from, to: 95%% (Wilson). p: exact McNemar test of the tasks that one of both got right.",
                    t->n - t->passed_over, 100 * t->chance);
    if (view->data)
        task_rows(r, x);
}
