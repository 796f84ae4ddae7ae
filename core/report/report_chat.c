/* report_chat.c - turns an answer into tables; computes nothing but shares. People count the tokens of
 * an answer from 1, as the screen does; data counts them from 0. */
#include "core/report/report_chat.h"

#include <math.h>
#include <string.h>

static size_t tokens_compared(const struct qs_answer *a)
{
    return a->n_sides == 2 ? a->sum.n : 0;
}

static int64_t place(size_t token, bool data)
{
    return (int64_t)token + !data;
}

static void add_facts(struct qs_report *r, const struct qs_answer *a, bool data)
{
    struct qs_section *f = qs_report_facts(r, "chat", "Answer");
    qs_fact_str(f, "mode", "mode", a->n_sides < 2 ? "single" : a->follow ? "follow" : "free");
    if (data)
        qs_fact_str(f, "prompt", "prompt", a->prompt);
    qs_fact_int(f, "seed", "seed", a->seed, QS_UNIT_ID);
    qs_fact_num(f, "seconds", "time", a->seconds, QS_UNIT_SECONDS, QS_HOW_EXACT);
    if (data || *a->message)
        qs_fact_str(f, "message", "remark", a->message);
    if (a->parted != QS_ANSWER_NONE)
        qs_fact_int(f, "parted", "first token where they part", place(a->parted, data), QS_UNIT_COUNT);
    else if (data)
        qs_fact_num(f, "parted", "first token where they part", (double)NAN, QS_UNIT_COUNT, QS_HOW_EXACT);
    if (data || a->n_sides == 2)
        qs_fact_int(f, "shared_bytes", "weights that both share", (int64_t)(a->shared.mapped + a->shared.heap),
                    QS_UNIT_BYTES);
}

static void add_divergence(struct qs_report *r, const struct qs_answer *a, bool data)
{
    const size_t n = tokens_compared(a);
    struct qs_section *f = qs_report_facts(r, "divergence", "Divergence of the second from the first");
    qs_fact_int(f, "tokens", "tokens compared", (int64_t)n, QS_UNIT_COUNT);
    qs_fact_num(f, "mean_kld", "mean KL divergence", n ? a->sum.mean_kld : (double)NAN, QS_UNIT_NONE, QS_HOW_MEASURED);
    qs_fact_num(f, "max_kld", "largest", n ? a->sum.max_kld : (double)NAN, QS_UNIT_NONE, QS_HOW_MEASURED);
    if (n)
        qs_fact_int(f, "max_at", "at token", place(a->sum.max_at, data), QS_UNIT_COUNT);
    else
        qs_fact_num(f, "max_at", "at token", (double)NAN, QS_UNIT_COUNT, QS_HOW_EXACT);
    qs_fact_num(f, "same_top", "same likeliest token", n ? (double)a->sum.same_top / (double)n : (double)NAN,
                QS_UNIT_PERCENT, QS_HOW_MEASURED);
}

static void add_sides(struct qs_report *r, const struct qs_answer *a, bool data)
{
    static const struct qs_column columns[] = {
        { .key = "model", .title = "model", .left = true },
        { .key = "precision", .title = "precision", .left = true, .optional = true },
        { .key = "stop", .title = "stopped by", .left = true },
        { .key = "prompt_tokens", .title = "prompt", .unit = QS_UNIT_COUNT, .optional = true },
        { .key = "reused_tokens", .title = "reused", .unit = QS_UNIT_COUNT, .optional = true },
        { .key = "tokens", .title = "answer", .unit = QS_UNIT_COUNT },
        { .key = "prefill_rate", .title = "prefill tokens/s", .optional = true },
        { .key = "decode_rate", .title = "decode tokens/s" },
        { .key = "drafted", .title = "guessed", .unit = QS_UNIT_COUNT, .optional = true },
        { .key = "accepted", .title = "came true", .unit = QS_UNIT_COUNT, .optional = true },
        { .key = "acceptance", .title = "guesses right", .unit = QS_UNIT_PERCENT },
        { .key = "used", .title = "context used", .unit = QS_UNIT_COUNT, .optional = true },
        { .key = "context", .title = "context", .unit = QS_UNIT_COUNT, .optional = true },
        { .key = "mapped_bytes", .title = "weights in files", .unit = QS_UNIT_BYTES, .optional = true },
        { .key = "heap_bytes", .title = "in memory", .unit = QS_UNIT_BYTES, .optional = true },
        { .key = "cache_bytes", .title = "cache", .unit = QS_UNIT_BYTES, .optional = true },
        { .key = "text", .title = "text", .left = true },
    };
    const size_t n = sizeof columns / sizeof *columns;
    struct qs_section *t = qs_report_table(r, "sides", a->n_sides == 2 ? "Sides" : "Model", columns, data ? n : n - 1);
    for (size_t k = 0; k < a->n_sides; k++) {
        const struct qs_answer_side *s = &a->side[k];
        qs_row(t);
        qs_cell_str(t, 0, s->label);
        qs_cell_str(t, 1, s->precision);
        qs_cell_str(t, 2, qs_answer_stop_name(s->stop));
        qs_cell_int(t, 3, (int64_t)s->prompt);
        qs_cell_int(t, 4, (int64_t)s->reused);
        qs_cell_int(t, 5, (int64_t)s->n);
        qs_cell_num(t, 6, qs_answer_prefill_rate(s));
        qs_cell_num(t, 7, qs_answer_decode_rate(s));
        qs_cell_int(t, 8, (int64_t)s->drafted);
        qs_cell_int(t, 9, (int64_t)s->accepted);
        qs_cell_num(t, 10, qs_answer_acceptance(s));
        qs_cell_int(t, 11, (int64_t)s->used);
        qs_cell_int(t, 12, (int64_t)s->context);
        qs_cell_int(t, 13, (int64_t)s->memory.mapped);
        qs_cell_int(t, 14, (int64_t)s->memory.heap);
        qs_cell_int(t, 15, (int64_t)s->memory.cache);
        if (data)
            qs_cell_str(t, 16, s->text);
    }
}

static void add_text(struct qs_section *t, size_t column, const struct qs_answer_side *s, size_t i)
{
    struct qs_str text = QS_STR_INIT;
    size_t n;
    const char *p = qs_answer_text(s, i, &n);
    qs_str_addn(&text, p, n);
    qs_cell_str(t, column, text.data);
    qs_str_free(&text);
}

static void add_tokens(struct qs_report *r, const struct qs_answer *a)
{
    static const struct qs_column columns[] = {
        { .key = "side", .title = "side" },
        { .key = "index", .title = "token" },
        { .key = "id", .title = "id", .unit = QS_UNIT_ID },
        { .key = "piece", .title = "piece", .left = true },
        { .key = "text", .title = "text", .left = true },
        { .key = "p", .title = "probability" },
        { .key = "kld", .title = "KLD" },
        { .key = "flip", .title = "flip", .left = true },
        { .key = "seconds", .title = "time", .unit = QS_UNIT_SECONDS },
    };
    struct qs_section *t = qs_report_table(r, "tokens", "Tokens", columns, sizeof columns / sizeof *columns);
    for (size_t k = 0; k < a->n_sides; k++)
        for (size_t i = 0; i < a->side[k].n; i++) {
            const struct qs_answer_token *x = &a->side[k].token[i];
            qs_row(t);
            qs_cell_int(t, 0, (int64_t)k);
            qs_cell_int(t, 1, (int64_t)i);
            qs_cell_int(t, 2, x->token);
            qs_cell_str(t, 3, qs_answer_piece(a, x->piece));
            add_text(t, 4, &a->side[k], i);
            qs_cell_num(t, 5, x->p);
            qs_cell_num(t, 6, x->kld);
            if (!isnan(x->kld))
                qs_cell_bool(t, 7, x->flip);
            qs_cell_num(t, 8, x->seconds);
        }
}

static void add_best(struct qs_report *r, const struct qs_answer *a)
{
    static const struct qs_column columns[] = {
        { .key = "side", .title = "side" },
        { .key = "index", .title = "token" },
        { .key = "rank", .title = "rank" },
        { .key = "id", .title = "id", .unit = QS_UNIT_ID },
        { .key = "piece", .title = "piece", .left = true },
        { .key = "p", .title = "probability" },
    };
    struct qs_section *t = qs_report_table(r, "best", "Candidates", columns, sizeof columns / sizeof *columns);
    for (size_t k = 0; k < a->n_sides; k++)
        for (size_t i = 0; i < a->side[k].n; i++)
            for (unsigned b = 0; b < a->side[k].token[i].n_best; b++) {
                const struct qs_answer_candidate *c = &a->side[k].token[i].best[b];
                qs_row(t);
                qs_cell_int(t, 0, (int64_t)k);
                qs_cell_int(t, 1, (int64_t)i);
                qs_cell_int(t, 2, (int64_t)b + 1);
                qs_cell_int(t, 3, c->token);
                qs_cell_str(t, 4, qs_answer_piece(a, c->piece));
                qs_cell_num(t, 5, c->p);
            }
}

struct qs_report *qs_report_chat(const struct qs_answer *a, const struct qs_chat_report *v)
{
    struct qs_report *r = qs_report_new("chat");
    if (!r)
        return NULL;
    add_facts(r, a, v->data);
    if (a->n_sides == 2)
        add_divergence(r, a, v->data);
    add_sides(r, a, v->data);
    if (v->data) {
        add_tokens(r, a);
        add_best(r, a);
    }
    return r;
}
