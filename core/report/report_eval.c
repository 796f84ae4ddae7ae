/* report_eval.c - an evaluation as tables: what was measured, perplexity, divergence, change of probability, warnings.
 * Computes nothing. */
#include "core/report/report_eval_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Decimals so that the error has two digits, and a value without one four; shares three. */
static int decimals(double value, double error, bool share)
{
    const double by = isfinite(error) && error > 0 ? error : fabs(value) / 100;
    if (share || !(by > 0))
        return share ? 3 : 6;
    const int n = 1 - (int)floor(log10(by));
    return n < 2 ? 2 : n > 8 ? 8 : n;
}

void qs_eval_text_number(struct qs_str *out, double value, double error, bool share)
{
    const double by = share ? 100 : 1;
    if (!isfinite(value)) {
        qs_str_add(out, "-");
        return;
    }
    const int n = decimals(by * value, by * error, share);
    qs_str_addf(out, "%.*f", n, by * value);
    if (isfinite(error))
        qs_str_addf(out, " +- %.*f", n, by * error);
    if (share)
        qs_str_add(out, "%");
}

static void add_numbers(struct qs_report *r, const struct qs_evaluation *x, char group, const char *key,
                        const char *title, const struct qs_eval_view *view)
{
    struct qs_section *s = qs_report_facts(r, key, title);
    const bool paired = x->x->kld.paired;
    for (int i = 0; i < QS_KLD_NUMBERS; i++) {
        const struct qs_kld_name *n = &qs_kld_names[i];
        if (n->group != group)
            continue;
        if (view->data) {
            qs_fact_num(s, n->key, n->label ? n->label : n->key, x->number[i], QS_UNIT_NONE, QS_HOW_MEASURED);
        } else if (n->label && (paired || !n->paired)) {
            struct qs_str text = QS_STR_INIT;
            const bool with = i + 1 < QS_KLD_NUMBERS && !qs_kld_names[i + 1].label;
            qs_eval_text_number(&text, x->number[i], with ? x->number[i + 1] : (double)NAN, n->share);
            qs_fact_str(s, n->key, n->label, text.data);
            qs_str_free(&text);
        }
    }
}

static void csv_numbers(struct qs_report *r, const struct qs_evaluation *x)
{
    static const struct qs_column columns[] = {
        { .key = "number", .title = "number", .left = true }, { .key = "value", .title = "value" },
    };
    struct qs_section *s = qs_report_table(r, "numbers", "Numbers", columns, sizeof columns / sizeof *columns);
    for (int i = 0; i < QS_KLD_NUMBERS; i++) {
        qs_row(s);
        qs_cell_str(s, 0, qs_kld_names[i].key);
        qs_cell_num(s, 1, x->number[i]);
    }
}

/* ---- what was measured ---- */

static void fact_or_null(struct qs_section *s, const char *key, const char *label, const char *value, bool data)
{
    if ((value && value[0]) || data)
        qs_fact_str(s, key, label, value && value[0] ? value : NULL);
}

static void text_facts(struct qs_section *f, const struct qs_evaluation *x, bool data)
{
    const struct qs_lockstep *r = x->x;
    char way[96] = "window by window", hex[33];
    if (!r) {
        return;
    }
    if (x->args.by_layer)
        snprintf(way, sizeof way, "layer by layer, %zu windows at a time", r->group);
    qs_key_hex(x->text.key, hex);
    qs_fact_str(f, "text", "text", x->text.path);
    if (data)
        qs_fact_str(f, "text_key", "text's key", hex);
    qs_fact_int(f, "text_bytes", "its bytes", (int64_t)x->text.n, QS_UNIT_BYTES);
    qs_fact_int(f, "text_tokens", "its tokens", (int64_t)x->text.token.n, QS_UNIT_COUNT);
    qs_fact_int(f, "n_ctx", "window, tokens", (int64_t)x->n_ctx, QS_UNIT_COUNT);
    qs_fact_int(f, "windows", "windows", (int64_t)r->windows, QS_UNIT_COUNT);
    qs_fact_int(f, "scored", "positions scored", (int64_t)r->kld.n, QS_UNIT_COUNT);
    qs_fact_str(f, "way", "way", way);
    if (data || r->kld.n_bad + r->kld.n_bad_base) {
        qs_fact_int(f, "bad", "not finite", (int64_t)r->kld.n_bad, QS_UNIT_COUNT);
        qs_fact_int(f, "bad_reference", "not finite, reference", (int64_t)r->kld.n_bad_base, QS_UNIT_COUNT);
    }
    if (data || !qs_sketch_exact(&r->kld.klds))
        qs_fact_bool(f, "percentiles_exact", "percentiles are exact", qs_sketch_exact(&r->kld.klds));
    if (data || isfinite(x->noise))
        qs_fact_num(f, "noise", "exact against fast, mean KLD", x->noise, QS_UNIT_NONE, QS_HOW_MEASURED);
    if (data || x->has_overlap)
        qs_fact_num(f, "overlap", "share that was calibrated with", x->has_overlap ? x->overlap.share : (double)NAN,
                    QS_UNIT_PERCENT, x->overlap.sampled ? QS_HOW_SAMPLED : QS_HOW_EXACT);
    qs_fact_int(f, "memory", "sessions and hidden states", (int64_t)qs_evaluation_need(x), QS_UNIT_BYTES);
    qs_fact_num(f, "tokens_per_second", "tokens per second",
                r->seconds > 0 ? (double)r->tokens / r->seconds : (double)NAN, QS_UNIT_NONE, QS_HOW_MEASURED);
    if (data || r->kld.paired)
        qs_fact_num(f, "tokens_per_second_reference", "of the reference",
                    r->seconds_base > 0 ? (double)r->tokens / r->seconds_base : (double)NAN, QS_UNIT_NONE,
                    QS_HOW_MEASURED);
}

static void add_facts(struct qs_report *r, const struct qs_evaluation *x, bool data)
{
    const struct qs_pair *p = x->pair;
    const struct qs_format *k = qs_format_by_id(x->args.cache.type_k);
    struct qs_section *f = qs_report_facts(r, "eval", "Evaluation");
    struct qs_str mix = QS_STR_INIT;
    qs_pair_mix(p, &mix);
    qs_fact_str(f, "model", "model", p->model->path);
    fact_or_null(f, "recipe", "recipe, in memory", p->plan ? x->args.recipe_name : NULL, data);
    qs_fact_str(f, "mix", "types of tensors", mix.data);
    qs_fact_int(f, "bytes", "tensors", (int64_t)qs_pair_bytes(p), QS_UNIT_BYTES);
    fact_or_null(f, "reference", "reference", p->reference ? p->reference->path : NULL, data);
    fact_or_null(f, "stand_in", "stands in for it", p->stand_in ? "Q8_0" : NULL, data);
    qs_fact_str(f, "precision", "precision", qs_precision_name(p->precision));
    qs_fact_str(f, "cache", "type of the cache", k ? k->name : "?");
    text_facts(f, x, data);
    qs_str_free(&mix);
}

/* ---- two texts ---- */

static void add_held_out(struct qs_report *r, const struct qs_evaluation *x)
{
    static const struct qs_column columns[] = {
        { .key = "text", .title = "text", .left = true },
        { .key = "tokens", .title = "tokens", .unit = QS_UNIT_COUNT, .optional = true },
        { .key = "scored", .title = "scored", .unit = QS_UNIT_COUNT },
        { .key = "ppl", .title = "perplexity", .digits = 5 },
        { .key = "ppl_error", .title = "+-", .digits = 2 },
        { .key = "ratio", .title = "ratio", .digits = 5 },
        { .key = "kld", .title = "KLD", .digits = 4 },
        { .key = "kld_error", .title = "+-", .digits = 2 },
        { .key = "kld_99", .title = "99 %" },
        { .key = "same_top", .title = "same top", .unit = QS_UNIT_PERCENT },
        { .key = "overlap", .title = "known", .unit = QS_UNIT_PERCENT },
    };
    static const enum qs_kld_number numbers[] = { QS_KLD_PPL, QS_KLD_PPL_SE, QS_KLD_RATIO, QS_KLD_MEAN, QS_KLD_MEAN_SE,
                                                  QS_KLD_99, QS_KLD_SAME_TOP };
    struct qs_section *s = qs_report_table(r, "held_out", "Both texts", columns, sizeof columns / sizeof *columns);
    for (int i = 0; i < 2; i++) {
        const struct qs_eval_text *t = i ? &x->held_out : &x->text;
        const struct qs_lockstep *l = i ? x->held : x->x;
        qs_row(s);
        qs_cell_str(s, 0, t->path);
        qs_cell_int(s, 1, (int64_t)t->token.n);
        qs_cell_int(s, 2, (int64_t)l->kld.n);
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
            qs_cell_num(s, 3 + k, (i ? x->held_number : x->number)[numbers[k]]);
        if (i ? x->has_held_overlap : x->has_overlap)
            qs_cell_num(s, 10, i ? x->held_overlap.share : x->overlap.share);
    }
    qs_section_note(
        s, "known: share of the text that stands in the calibration text, or, of the second text without one, in "
           "the first.");
}

static void add_warnings(struct qs_report *r, const struct qs_evaluation *x)
{
    static const struct qs_column columns[] = { { .key = "message", .title = "warning", .left = true } };
    struct qs_section *s = qs_report_table(r, "warnings", "Warnings", columns, 1);
    for (size_t i = 0; i < x->n_warnings; i++) {
        qs_row(s);
        qs_cell_str(s, 0, x->warning[i]);
    }
}

struct qs_report *qs_report_eval(const struct qs_evaluation *x, const struct qs_eval_view *view)
{
    struct qs_report *r = qs_report_new("eval");
    if (!r)
        return NULL;
    if (view->csv && x->x)
        csv_numbers(r, x);
    add_facts(r, x, view->data);
    if (x->x) {
        add_numbers(r, x, 'p', "perplexity", "Perplexity", view);
        if (x->x->kld.paired || view->data) {
            add_numbers(r, x, 'k', "divergence", "KL divergence from the reference", view);
            add_numbers(r, x, 'd', "probability", "Change of the right token's probability", view);
        }
    }
    if (x->held)
        add_held_out(r, x);
    if (x->x && x->x->layer)
        qs_report_eval_layers(r, x, view);
    if (x->prompts_result)
        qs_report_eval_prompts(r, x, view);
    if (x->tasks_result)
        qs_report_eval_tasks(r, x, view);
    if (x->args.tokens && x->x)
        qs_report_eval_tokens(r, x);
    if (view->data || x->n_warnings)
        add_warnings(r, x);
    return r;
}
