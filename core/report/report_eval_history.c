/* report_eval_history.c - past evaluations as tables. Computes nothing but differences. */
#include <math.h>

#include "base/file.h"
#include "core/report/report_eval_internal.h"

#define N(columns) (sizeof columns / sizeof *columns)

/* What is told of a run, in this order, before its numbers. */
static const struct qs_column run_columns[] = {
    { .key = "id", .title = "run", .left = true },
    { .key = "date", .title = "date", .left = true },
    { .key = "model", .title = "model", .left = true },
    { .key = "recipe", .title = "recipe", .left = true },
    { .key = "bytes", .title = "size", .unit = QS_UNIT_BYTES },
    { .key = "text", .title = "text", .left = true },
    { .key = "n_ctx", .title = "window", .unit = QS_UNIT_COUNT, .optional = true },
    { .key = "windows", .title = "windows", .unit = QS_UNIT_COUNT },
    { .key = "scored", .title = "scored", .unit = QS_UNIT_COUNT, .optional = true },
    { .key = "reference", .title = "reference", .left = true, .optional = true },
    { .key = "stand_in", .title = "stand-in", .left = true, .optional = true },
    { .key = "precision", .title = "precision", .left = true, .optional = true },
    { .key = "cache", .title = "cache", .left = true, .optional = true },
    { .key = "mix", .title = "types", .left = true },
    { .key = "version", .title = "program", .left = true },
    { .key = "model_key", .title = "model's key", .left = true },
    { .key = "recipe_key", .title = "recipe's key", .left = true },
    { .key = "reference_key", .title = "reference's key", .left = true },
    { .key = "text_key", .title = "text's key", .left = true },
    { .key = "text_bytes", .title = "text", .unit = QS_UNIT_BYTES },
    { .key = "text_tokens", .title = "tokens", .unit = QS_UNIT_COUNT },
};
#define FOR_PEOPLE 13 /* of them; the rest is for programs */

static const char *shown(const char *path, bool data) { return path && !data ? qs_path_base(path) : path; }

static void run_cells(struct qs_section *s, const struct qs_eval_history_run *r, bool data)
{
    qs_cell_str(s, 0, r->id);
    qs_cell_str(s, 1, r->date);
    qs_cell_str(s, 2, shown(r->model, data));
    qs_cell_str(s, 3, r->recipe);
    qs_cell_int(s, 4, (int64_t)r->model_bytes);
    qs_cell_str(s, 5, shown(r->text, data));
    qs_cell_int(s, 6, (int64_t)r->n_ctx);
    qs_cell_int(s, 7, (int64_t)r->windows);
    qs_cell_int(s, 8, (int64_t)r->scored);
    qs_cell_str(s, 9, shown(r->reference, data));
    qs_cell_str(s, 10, r->stand_in);
    qs_cell_str(s, 11, r->precision);
    qs_cell_str(s, 12, r->cache);
    if (!data)
        return;
    qs_cell_str(s, 13, r->mix);
    qs_cell_str(s, 14, r->version);
    qs_cell_str(s, 15, r->model_key);
    qs_cell_str(s, 16, r->recipe_key);
    qs_cell_str(s, 17, r->reference_key);
    qs_cell_str(s, 18, r->text_key);
    qs_cell_int(s, 19, (int64_t)r->bytes);
    qs_cell_int(s, 20, (int64_t)r->tokens);
}

static const enum qs_kld_number people_numbers[] = { QS_KLD_PPL, QS_KLD_MEAN, QS_KLD_MEAN_SE, QS_KLD_99,
                                                     QS_KLD_SAME_TOP };

struct qs_report *qs_report_eval_history(const struct qs_eval_history *h, const struct qs_eval_view *view)
{
    struct qs_column columns[N(run_columns) + QS_KLD_NUMBERS];
    struct qs_report *r = qs_report_new("eval-history");
    const size_t head = view->data ? N(run_columns) : FOR_PEOPLE;
    const size_t numbers = view->data ? QS_KLD_NUMBERS : N(people_numbers);
    if (!r)
        return NULL;
    for (size_t i = 0; i < head; i++)
        columns[i] = run_columns[i];
    for (size_t i = 0; i < numbers; i++) {
        const struct qs_kld_name *n = &qs_kld_names[view->data ? i : people_numbers[i]];
        columns[head + i] = (struct qs_column){ .key = n->key, .title = n->label ? n->label : "+-", .digits = 4,
                                                .unit = n->share && !view->data ? QS_UNIT_PERCENT : QS_UNIT_NONE };
        if (!view->data && n->group == 'k' && n->label)
            columns[head + i].title = people_numbers[i] == QS_KLD_MEAN ? "KLD" : "KLD 99 %";
    }
    struct qs_section *s = qs_report_table(r, "runs", "Evaluations", columns, head + numbers);
    for (size_t k = 0; k < h->n; k++) {
        qs_row(s);
        run_cells(s, &h->run[k], view->data);
        for (size_t i = 0; i < numbers; i++)
            qs_cell_num(s, head + i, h->run[k].number[view->data ? i : people_numbers[i]]);
    }
    if (h->n == 0)
        qs_section_note(s, "Nothing was evaluated yet.");
    if (h->unread)
        qs_section_note(s, "%zu lines of the history cannot be read and are passed over.", h->unread);
    return r;
}

static void run_facts(struct qs_report *r, const char *key, const char *title, const struct qs_eval_history_run *x,
                      bool data)
{
    struct qs_section *f = qs_report_facts(r, key, title);
    qs_fact_str(f, "id", "run", x->id);
    qs_fact_str(f, "date", "date", x->date);
    qs_fact_str(f, "version", "program", x->version);
    qs_fact_str(f, "model", "model", x->model);
    if (data || x->recipe[0])
        qs_fact_str(f, "recipe", "recipe", x->recipe[0] ? x->recipe : NULL);
    qs_fact_str(f, "mix", "types of tensors", x->mix);
    qs_fact_int(f, "bytes", "tensors", (int64_t)x->model_bytes, QS_UNIT_BYTES);
    if (data || x->reference[0])
        qs_fact_str(f, "reference", "reference", x->reference[0] ? x->reference : NULL);
    if (data || x->stand_in[0])
        qs_fact_str(f, "stand_in", "stands in for it", x->stand_in[0] ? x->stand_in : NULL);
    qs_fact_str(f, "precision", "precision", x->precision);
    qs_fact_str(f, "cache", "type of the cache", x->cache);
    qs_fact_str(f, "text", "text", x->text);
    qs_fact_int(f, "n_ctx", "window, tokens", (int64_t)x->n_ctx, QS_UNIT_COUNT);
    qs_fact_int(f, "windows", "windows", (int64_t)x->windows, QS_UNIT_COUNT);
    qs_fact_int(f, "scored", "positions scored", (int64_t)x->scored, QS_UNIT_COUNT);
}

struct qs_report *qs_report_eval_compare(const struct qs_eval_history_run *a, const struct qs_eval_history_run *b,
                                         const struct qs_eval_view *view)
{
    static const char *const groups[] = { ['p'] = "perplexity", ['k'] = "KL divergence", ['d'] = "probability" };
    static const struct qs_column columns[] = {
        { .key = "group", .title = "of", .left = true },
        { .key = "number", .title = "number", .left = true },
        { .key = "a", .title = "a", .digits = 5 },
        { .key = "b", .title = "b", .digits = 5 },
        { .key = "difference", .title = "b - a", .digits = 3 },
    };
    struct qs_report *r = qs_report_new("eval-compare");
    if (!r)
        return NULL;
    run_facts(r, "a", "Run a", a, view->data);
    run_facts(r, "b", "Run b", b, view->data);
    struct qs_section *s = qs_report_table(r, "numbers", "Numbers", columns, N(columns));
    for (int i = 0; i < QS_KLD_NUMBERS; i++) {
        const struct qs_kld_name *n = &qs_kld_names[i];
        if (!view->data && (!n->label || (isnan(a->number[i]) && isnan(b->number[i]))))
            continue;
        qs_row(s);
        qs_cell_str(s, 0, groups[(size_t)n->group]);
        qs_cell_str(s, 1, view->data ? n->key : n->label);
        qs_cell_num(s, 2, a->number[i]);
        qs_cell_num(s, 3, b->number[i]);
        qs_cell_num(s, 4, b->number[i] - a->number[i]);
    }
    const char *unlike = qs_eval_history_unlike(a, b);
    if (unlike)
        qs_section_note(s, "The runs differ in %s: their numbers cannot be compared.", unlike);
    return r;
}
