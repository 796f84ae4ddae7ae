/* screen_evaluate_history.c - earlier evaluations: the list, two of them compared, and what is written into files.
 *
 * The history is the person's (core/eval/history.h); where nothing may be kept it is neither read nor written. It is
 * read anew when the list is looked at after an evaluation.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "ui/evaluate.h"

void evaluate_history_refresh(struct qs_app *a)
{
    struct evaluate *v = evaluate_of(a);
    const struct qs_eval_view view = { .data = false };
    struct qs_eval_history *h = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (v->loaded || qs_app_private(a))
        return;
    v->loaded = true;
    v->history_err = (struct qs_err)QS_ERR_INIT;
    if (qs_eval_history_load(&h, &v->history_err))
        return;
    struct qs_report *runs = qs_report_eval_history(h, &view);
    const bool grown = !v->history || v->history->n != h->n;
    if (!runs || qs_report_failed(runs) || qs_table_view_set(&v->table, qs_report_section(runs, 0), &e)) {
        qs_table_view_set(&v->table, NULL, &e);
        qs_report_free(runs);
        runs = NULL;
        qs_fail_mem(&v->history_err, 0, "the history");
    }
    if (runs && grown && h->n)
        qs_table_view_go(&v->table, h->n - 1);
    qs_report_free(v->runs);
    qs_eval_history_free(v->history);
    v->runs = runs;
    v->history = h;
}

/* ---- comparing ---- */

static const struct qs_eval_history_run *run_here(const struct evaluate *v)
{
    const size_t row = qs_table_view_row(&v->table);
    return v->history && row != QS_NO_ROW && row < v->history->n ? &v->history->run[row] : NULL;
}

static const struct qs_eval_history_run *run_first(const struct evaluate *v)
{
    for (size_t i = 0; v->first[0] && v->history && i < v->history->n; i++)
        if (strcmp(v->history->run[i].id, v->first) == 0)
            return &v->history->run[i];
    return NULL;
}

void evaluate_compare_end(struct evaluate *v)
{
    qs_facts_view_set(&v->compare, NULL);
    qs_report_free(v->compared);
    v->compared = NULL;
}

void evaluate_compare(struct qs_app *a)
{
    struct evaluate *v = evaluate_of(a);
    const struct qs_eval_view view = { .data = false };
    evaluate_history_refresh(a);
    const struct qs_eval_history_run *here = run_here(v), *first = run_first(v);
    if (!here) {
        qs_app_say(a, "there is no run to compare");
    } else if (!first) {
        snprintf(v->first, sizeof v->first, "%s", here->id);
        qs_app_say(a, "run %s; c on another run compares the two", here->id);
    } else if (first == here) {
        v->first[0] = 0;
        qs_app_say(a, "no run is chosen any more");
    } else {
        evaluate_compare_end(v);
        v->compared = qs_report_eval_compare(first, here, &view);
        v->compare.top = 0;
        qs_facts_view_set(&v->compare, v->compared);
    }
}

/* ---- files ---- */

static bool ends_with(const char *path, const char *end)
{
    const size_t n = strlen(path), k = strlen(end);
    return n > k && strcmp(path + n - k, end) == 0;
}

/* What is seen, for programs or, as .txt, for people. */
static struct qs_report *report_of(struct qs_app *a, const struct qs_eval_view *view)
{
    struct evaluate *v = evaluate_of(a);
    struct qs_eval_state s;
    qs_workbench_eval(qs_app_bench(a), &s);
    if (v->view == EVALUATE_HISTORY && v->compared && run_here(v) && run_first(v))
        return qs_report_eval_compare(run_first(v), run_here(v), view);
    if (v->view == EVALUATE_HISTORY)
        return v->history ? qs_report_eval_history(v->history, view) : NULL;
    return s.result ? qs_report_eval(s.result, view) : NULL;
}

static int print(const struct qs_report *r, const char *path, bool layers, struct qs_str *out, struct qs_err *e)
{
    const struct qs_text_style style = { .width = 100 };
    if (ends_with(path, ".csv"))
        return qs_report_csv(r, layers ? "layers" : NULL, out, e);
    if (ends_with(path, ".json"))
        qs_report_json(r, out);
    else
        qs_report_text(r, &style, out);
    return QS_OK;
}

void evaluate_save(struct qs_app *a, const char *arg, bool overwrite)
{
    struct evaluate *v = evaluate_of(a);
    struct qs_str out = QS_STR_INIT, path = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    const bool csv = ends_with(arg, ".csv"), data = csv || ends_with(arg, ".json");
    const bool layers = csv && v->view == EVALUATE_LAYERS;
    /* a comparison's one table comes after facts: it is found by its key */
    const struct qs_eval_view view = { .data = data, .csv = csv && !layers };
    if (!data && !ends_with(arg, ".txt")) {
        qs_app_warn(a, "%s: the name has to end in .csv, .json or .txt", arg);
        return;
    }
    evaluate_history_refresh(a);
    struct qs_report *r = report_of(a, &view);
    if (!r) {
        qs_app_warn(a, "there is nothing to be saved here yet");
        return;
    }
    qs_app_expand_home(arg, &path);
    int rc = qs_report_failed(r) || path.failed ? qs_fail_mem(&e, 0, "a report") : print(r, arg, layers, &out, &e);
    if (!rc)
        rc = out.failed ? qs_fail_mem(&e, out.len, "a report")
                        : qs_file_write_atomic(path.data, out.data, out.len, overwrite, &e);
    if (rc == QS_EEXISTS)
        qs_app_warn(a, "%s exists: :eval-save! %s replaces it", arg, arg);
    else if (rc)
        qs_app_fail(a, &e);
    else
        qs_app_say(a, "written: %s", arg);
    qs_report_free(r);
    qs_str_free(&out);
    qs_str_free(&path);
}

/* ---- drawing ---- */

static void add_number(struct qs_str *out, const char *name, const struct qs_eval_history_run *r, enum qs_kld_number i,
                       int digits, const char *pm)
{
    if (isnan(r->number[i]))
        return;
    const double by = qs_kld_names[i].share ? 100 : 1;
    qs_str_addf(out, "%s %.*f", name, digits, by * r->number[i]);
    if (i + 1 < QS_KLD_NUMBERS && !qs_kld_names[i + 1].label && !isnan(r->number[i + 1])) /* its error */
        qs_str_addf(out, " %s %.*f", pm, digits, by * r->number[i + 1]);
    qs_str_add(out, qs_kld_names[i].share ? "%  " : "  ");
}

/* The run under the cursor: columns that the window has no room for. */
static void draw_run(struct qs_app *a, const struct qs_canvas *c, const struct qs_eval_history_run *r)
{
    const char *pm = qs_app_ascii(a) ? "+-" : "\u00b1";
    struct qs_str text = QS_STR_INIT;
    qs_text_clean(&text, qs_path_base(r->model), qs_app_ascii(a));
    qs_str_add(&text, r->recipe[0] ? " as " : "");
    qs_text_clean(&text, r->recipe, qs_app_ascii(a));
    qs_str_add(&text, r->reference[0] ? ", against " : "");
    qs_text_clean(&text, qs_path_base(r->reference), qs_app_ascii(a));
    qs_str_add(&text, ", on ");
    qs_text_clean(&text, qs_path_base(r->text), qs_app_ascii(a));
    qs_str_addc(&text, '\n');
    add_number(&text, "perplexity", r, QS_KLD_PPL, 4, pm);
    add_number(&text, "reference", r, QS_KLD_PPL_BASE, 4, pm);
    qs_str_addc(&text, '\n');
    add_number(&text, "KLD", r, QS_KLD_MEAN, 6, pm);
    add_number(&text, "99 %", r, QS_KLD_99, 4, pm);
    add_number(&text, "same top", r, QS_KLD_SAME_TOP, 2, pm);
    qs_str_addc(&text, '\n');
    if (!text.failed)
        qs_draw_wrapped(c, 0, 0, 2, qs_app_look(a, QS_LOOK_TEXT), text.data);
    qs_str_free(&text);
}

static void draw_list(struct qs_app *a, const struct qs_canvas *c, bool focus)
{
    struct evaluate *v = evaluate_of(a);
    const struct qs_eval_history_run *first = run_first(v), *here = run_here(v);
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c), below = rows >= 14 ? 6 : rows >= 8 ? 2 : 0;
    char text[200];
    const struct qs_canvas table = qs_canvas_part(c, (struct qs_rect){ 0, 0, rows - below, cols });
    v->table.search = qs_app_search(a);
    v->table.focus = focus;
    qs_table_view_draw(&v->table, &table, qs_app_theme(a));
    if (!below)
        return;
    const struct qs_canvas run = qs_canvas_part(c, (struct qs_rect){ rows - below + 1, 1, below - 2, cols - 1 });
    if (here && below > 2)
        draw_run(a, &run, here);
    if (first && here && first != here)
        snprintf(text, sizeof text, "c compares run %s with run %s", first->id, here->id);
    else
        snprintf(text, sizeof text, "%zu run%s%s", v->history->n, v->history->n == 1 ? "" : "s",
                 first ? "; this one is chosen: c on another compares the two" : "; c chooses one to be compared");
    if (v->history->unread)
        snprintf(text + strlen(text), sizeof text - strlen(text), "; %zu lines cannot be read", v->history->unread);
    qs_draw_fit(c, rows - 1, 0, qs_app_look(a, QS_LOOK_MUTED), text, cols, QS_FIT_LEFT);
}

void evaluate_history_draw(struct qs_app *a, const struct qs_canvas *c, bool focus)
{
    struct evaluate *v = evaluate_of(a);
    evaluate_history_refresh(a);
    if (v->compared) {
        v->compare.search = qs_app_search(a);
        qs_facts_view_draw(&v->compare, c, qs_app_theme(a));
    } else if (v->history_err.code) {
        struct qs_str s = QS_STR_INIT;
        qs_text_clean(&s, v->history_err.msg, qs_app_ascii(a));
        qs_draw_wrapped(c, 0, 0, 0, qs_app_look(a, QS_LOOK_ERROR), s.failed ? "" : s.data);
        qs_str_free(&s);
    } else if (!v->history || !v->history->n) {
        qs_draw_wrapped(c, 0, 0, 0, qs_app_look(a, QS_LOOK_MUTED),
                        qs_app_private(a) ? "The history is neither read nor written here: nothing is kept."
                                          : "Nothing was evaluated yet.");
    } else {
        draw_list(a, c, focus);
    }
}
