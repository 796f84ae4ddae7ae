/* choose.c - choosing types for tensors: edits of the recipe, the list of types, and what is said about one tensor. */
#include "ui/choose.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "core/report/report_choice.h"
#include "ui/app_internal.h"

void qs_chosen_add(struct qs_chosen *c, size_t tensor)
{
    c->failed = c->failed || !qs_grow(&c->tensor, &c->cap, c->n + 1, sizeof *c->tensor);
    if (!c->failed)
        c->tensor[c->n++] = tensor;
}

/* Whether there is something to work on; says so where not. */
static bool usable(struct qs_app *a, const struct qs_chosen *c)
{
    if (c->failed)
        qs_app_warn(a, "out of memory");
    else if (!c->n)
        qs_app_warn(a, "there is no tensor here");
    return !c->failed && c->n;
}

void qs_chosen_free(struct qs_chosen *c)
{
    qs_free(c->tensor);
    *c = (struct qs_chosen){ .tensor = NULL };
}

/* ---- marks ---- */

const struct qs_marks *qs_marks(struct qs_app *a) { return &a->marks; }

bool qs_marked(struct qs_app *a, size_t tensor)
{
    return a->marks.n && a->marks.bit[tensor / 8] >> tensor % 8 & 1;
}

void qs_mark(struct qs_app *a, size_t tensor, bool on)
{
    struct qs_marks *m = &a->marks;
    const size_t bytes = (qs_app_doc(a)->model->n_tensors + 7) / 8, had = m->cap;
    if (!qs_grow(&m->bit, &m->cap, bytes, 1)) {
        qs_app_warn(a, "out of memory");
        return;
    }
    if (m->cap > had)
        memset(m->bit + had, 0, m->cap - had);
    if (((m->bit[tensor / 8] >> tensor % 8 & 1) != 0) == on)
        return;
    m->bit[tensor / 8] ^= (uint8_t)(1u << tensor % 8);
    m->n += on ? 1 : (size_t)-1;
}

void qs_marks_clear(struct qs_app *a)
{
    if (a->marks.bit)
        memset(a->marks.bit, 0, a->marks.cap);
    a->marks.n = 0;
}

static const char *type_name(int type)
{
    const struct qs_format *f = type == QS_TYPE_NONE ? NULL : qs_format_by_id(type);
    return f ? f->name : "as it is";
}

/* ---- edits ---- */

/* What changed, in the size of the file: the person's next question. */
static void tell(struct qs_app *a, const char *what, size_t changed, uint64_t before)
{
    const struct qs_doc *d = qs_app_doc(a);
    const uint64_t now = d->plan->bytes;
    char size[24];
    if (!changed)
        qs_app_say(a, "%s: nothing changes", what);
    else
        qs_app_say(a, "%s: %zu tensor%s, %s%s", what, changed, changed == 1 ? "" : "s", now >= before ? "+" : "-",
                   qs_fmt_bytes(size, sizeof size, now >= before ? now - before : before - now));
}

void qs_choose_step(struct qs_app *a, const struct qs_chosen *c, int direction)
{
    struct qs_err e = QS_ERR_INIT;
    size_t changed = 0;
    const uint64_t before = qs_app_doc(a)->plan->bytes;
    if (!usable(a, c))
        return;
    if (qs_workbench_step(qs_app_bench(a), c->tensor, c->n, direction, &changed, &e))
        qs_app_fail(a, &e);
    else
        tell(a, direction > 0 ? "raised" : "lowered", changed, before);
}

static void set_type(struct qs_app *a, const struct qs_chosen *c, int type, const char *what)
{
    struct qs_err e = QS_ERR_INIT;
    size_t changed = 0;
    const uint64_t before = qs_app_doc(a)->plan->bytes;
    if (!usable(a, c))
        return;
    if (qs_workbench_set(qs_app_bench(a), c->tensor, c->n, type, &changed, &e))
        qs_app_fail(a, &e);
    else
        tell(a, what, changed, before);
}

void qs_choose_set(struct qs_app *a, const struct qs_chosen *c, const char *type)
{
    struct qs_err e = QS_ERR_INIT;
    int id = QS_TYPE_NONE;
    if (qs_recipe_type(type, &id, &e))
        qs_app_fail(a, &e);
    else
        set_type(a, c, id, type_name(id));
}

void qs_choose_reset(struct qs_app *a, const struct qs_chosen *c)
{
    set_type(a, c, QS_TYPE_NONE, "pins removed");
}

/* ---- what an error is called ---- */

const char *qs_choose_error(const struct qs_survey_cell *cell, bool known, bool full, bool ascii, char *buf, size_t n)
{
    char error[QS_FMT_MAX], se[QS_FMT_MAX];
    if (!known) {
        snprintf(buf, n, "%s", cell->gap == QS_GAP_NOT_MEASURED ? "..." : full ? qs_gap_text(cell->gap) : "-");
        return buf;
    }
    qs_fmt_percent(error, sizeof error, cell->error, 2);
    if (cell->how != QS_HOW_SAMPLED)
        snprintf(buf, n, "%s", error);
    else if (full)
        snprintf(buf, n, "%s %s %s", error, ascii ? "+-" : "±", qs_fmt_percent(se, sizeof se, cell->error_se, 2));
    else
        snprintf(buf, n, "%s~", error);
    return buf;
}

/* ---- the list of types ---- */

void qs_picking_end(struct qs_picking *p)
{
    qs_chosen_free(&p->chosen);
    qs_free(p->choice);
    *p = (struct qs_picking){ .choice = NULL };
}

static void type_item(struct qs_app *a, size_t i, struct qs_app_item *out, void *ctx)
{
    struct qs_picking *p = ctx;
    struct qs_type_choice *t = &p->choice[i];
    char size[24], error[64];
    /* Measured meanwhile, perhaps. */
    const bool known = qs_survey_cell(qs_app_doc(a)->survey, p->tensor, t->type, &t->cell);
    snprintf(out->label, sizeof out->label, "%s", type_name(t->type));
    snprintf(out->detail[0], sizeof out->detail[0], "%s", qs_fmt_bytes(size, sizeof size, t->bytes));
    snprintf(out->detail[1], sizeof out->detail[1], "%.3f", t->bpw);
    snprintf(out->detail[2], sizeof out->detail[2], "%7s",
             qs_choose_error(&t->cell, known, false, qs_app_ascii(a), error, sizeof error));
    snprintf(out->detail[3], sizeof out->detail[3], "%s", t->preset ? "preset" : t->ladder ? "step" : " ");
    out->refused = t->refused;
    out->current = t->now;
}

static void type_picked(struct qs_app *a, size_t i, void *ctx)
{
    struct qs_picking *p = ctx;
    const int type = p->choice[i].type;
    set_type(a, &p->chosen, type, type_name(type));
    qs_picking_end(p);
}

void qs_choose_pick(struct qs_app *a, const struct qs_chosen *c)
{
    const struct qs_doc *d = qs_app_doc(a);
    struct qs_picking *p = &a->picking;
    if (!usable(a, c))
        return;
    qs_picking_end(p);
    p->choice = qs_calloc(qs_format_count() + 1, sizeof *p->choice);
    for (size_t i = 0; i < c->n; i++)
        qs_chosen_add(&p->chosen, c->tensor[i]);
    if (!p->choice || p->chosen.failed) {
        qs_picking_end(p);
        qs_app_warn(a, "out of memory");
        return;
    }
    p->tensor = &d->model->tensor[c->tensor[0]];
    p->n = qs_workbench_choices(qs_app_bench(a), p->tensor, p->choice);
    qs_workbench_focus(qs_app_bench(a), c->tensor[0]);
    size_t first = 0;
    for (size_t i = 0; i < p->n; i++)
        first = p->choice[i].now ? i : first;
    if (c->n > 1)
        snprintf(p->title, sizeof p->title, "Type of %zu tensors (numbers: %.80s)", c->n, p->tensor->name);
    else
        snprintf(p->title, sizeof p->title, "Type of %.120s", p->tensor->name);
    const struct qs_app_list list = { .title = p->title,
                                      .n = p->n,
                                      .first = first,
                                      .label_head = "type",
                                      .numbers = 7,
                                      .keep_order = true,
                                      .head = { "size", "bpw", "error", "" } };
    qs_app_pick(a, &list, type_item, type_picked, p);
}

/* ---- what is said about one tensor ---- */

struct lines { const struct qs_canvas *c; int y; };

static void line(struct lines *l, struct qs_style style, const char *fmt, ...) QS_PRINTF(3, 4);

static void line(struct lines *l, struct qs_style style, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    l->y += qs_draw_wrapped(l->c, l->y, 0, 2, style, text);
}

/* "up   Q5_K: +180.00 KiB, error 5.43% to 2.74%~" */
static void step_line(struct qs_app *a, struct lines *l, const struct qs_tensor *t, int now, int direction)
{
    const struct qs_doc *d = qs_app_doc(a);
    const int type = qs_workbench_next_type(qs_app_bench(a), t, now, direction);
    const char *word = direction > 0 ? "up" : "down";
    struct qs_survey_cell cell, from;
    char size[24], error[64], before[64];
    if (type == QS_TYPE_NONE) {
        line(l, qs_app_look(a, QS_LOOK_MUTED), "%-5s no further step", word);
        return;
    }
    const uint64_t bytes = qs_tensor_bytes_as(t, type), have = qs_tensor_bytes_as(t, now);
    const bool known = qs_survey_cell(d->survey, t, type, &cell), was = qs_survey_cell(d->survey, t, now, &from);
    line(l, qs_app_look(a, QS_LOOK_TEXT), "%-5s %s: %s%s, error %s to %s", word, type_name(type),
         bytes >= have ? "+" : "-", qs_fmt_bytes(size, sizeof size, bytes >= have ? bytes - have : have - bytes),
         qs_choose_error(&from, was, false, qs_app_ascii(a), before, sizeof before),
         qs_choose_error(&cell, known, false, qs_app_ascii(a), error, sizeof error));
}

static void error_line(struct qs_app *a, struct lines *l, const struct qs_tensor *t, int type)
{
    struct qs_survey_cell cell;
    char error[128], sample[QS_FMT_MAX];
    const bool known = qs_survey_cell(qs_app_doc(a)->survey, t, type, &cell);
    qs_choose_error(&cell, known, true, qs_app_ascii(a), error, sizeof error);
    char weighted[64] = "", w[QS_FMT_MAX];
    if (known && !isnan(cell.weighted))
        snprintf(weighted, sizeof weighted, ", by importance %s", qs_fmt_percent(w, sizeof w, cell.weighted, 2));
    if (known && cell.how == QS_HOW_SAMPLED)
        line(l, qs_app_look(a, QS_LOOK_TEXT), "error %s%s (%s of the weights measured)", error, weighted,
             qs_fmt_percent(sample, sizeof sample, (double)cell.sample / (double)t->n, 1));
    else
        line(l, qs_app_look(a, QS_LOOK_TEXT), "error %s%s%s", error, weighted,
             known && cell.how == QS_HOW_WHOLE ? " (all weights measured)" : "");
}

static void outlier_line(struct qs_app *a, struct lines *l, const struct qs_tensor *t)
{
    struct qs_survey_stats *s = qs_calloc(1, sizeof *s);
    if (s && qs_survey_stats(qs_app_doc(a)->survey, t, s))
        line(l, qs_app_look(a, QS_LOOK_TEXT), "kurtosis %.2f, largest %.1f sd, outliers: %llu rows, %llu columns",
             s->kurtosis, s->max_sigma, (unsigned long long)s->outlier_rows, (unsigned long long)s->outlier_cols);
    qs_free(s);
}

int qs_choose_draw(struct qs_app *a, const struct qs_canvas *c, const struct qs_tensor *t)
{
    const struct qs_doc *d = qs_app_doc(a);
    const struct qs_encoding *enc = &d->plan->enc[qs_model_index(d->model, t)];
    struct lines l = { c, 0 };
    char shape[100], size[24], was[24];
    line(&l, qs_app_look(a, QS_LOOK_TITLE), "%s", t->name);
    line(&l, qs_app_look(a, QS_LOOK_MUTED), "%s, %s, %s: %s", qs_role_name(t->role),
         qs_shape_text(t, shape, sizeof shape), t->format ? t->format->name : "unknown type",
         qs_fmt_bytes(was, sizeof was, t->size));
    if (enc->copy) {
        line(&l, qs_app_look(a, QS_LOOK_TEXT), "copied as it is: %s", enc->reason);
    } else {
        const struct qs_format *f = qs_format_by_id(enc->type);
        line(&l, qs_app_look(a, QS_LOOK_TEXT), "%s, %s, %.3f bpw: %s", f->name,
             qs_fmt_bytes(size, sizeof size, enc->bytes), 8.0 * (double)enc->bytes / (double)t->n, enc->reason);
        error_line(a, &l, t, enc->type);
        step_line(a, &l, t, enc->type, 1);
        step_line(a, &l, t, enc->type, -1);
    }
    if (d->baseline && d->baseline->enc[qs_model_index(d->model, t)].type != enc->type)
        line(&l, qs_app_look(a, QS_LOOK_CHANGED), "the preset alone: %s",
             type_name(d->baseline->enc[qs_model_index(d->model, t)].type));
    outlier_line(a, &l, t);
    if (enc->problem)
        line(&l, qs_app_look(a, QS_LOOK_WARNING), "! %s", enc->problem);
    return l.y;
}

void qs_choose_draw_types(struct qs_app *a, const struct qs_canvas *c, const struct qs_tensor *t)
{
    const struct qs_encoding *enc = &qs_app_doc(a)->plan->enc[qs_model_index(qs_app_doc(a)->model, t)];
    struct qs_type_choice *all = enc->copy ? NULL : qs_calloc(qs_format_count() + 1, sizeof *all);
    size_t n = all ? qs_workbench_choices(qs_app_bench(a), t, all) : 0, steps = 0, now = 0;
    for (size_t i = 0; i < n; i++)
        if (all[i].now || (all[i].ladder && !all[i].refused)) {
            now = all[i].now ? steps : now;
            all[steps++] = all[i];
        }
    const size_t rows = qs_canvas_rows(c) > 1 ? (size_t)qs_canvas_rows(c) - 1 : 0, shown = steps < rows ? steps : rows;
    size_t top = now + shown / 2 < steps ? now + shown / 2 : steps - 1; /* the first line has the most bits */
    top = top + 1 < shown ? shown - 1 : top;
    if (shown)
        qs_draw_text(c, 0, 0, qs_app_look(a, QS_LOOK_MUTED), "  type          size    bpw     error", -1);
    for (size_t k = 0; k < shown; k++) {
        const struct qs_type_choice *x = &all[top - k];
        const struct qs_style style = qs_app_look(a, x->now ? QS_LOOK_TITLE : QS_LOOK_TEXT);
        const int y = (int)k + 1;
        char size[24], error[64];
        qs_draw_textf(c, y, 0, style, "%s %s", x->now ? ">" : " ", type_name(x->type));
        qs_draw_fit(c, y, 9, style, qs_fmt_bytes(size, sizeof size, x->bytes), 10, QS_FIT_RIGHT);
        qs_draw_textf(c, y, 20, style, "%6.3f", x->bpw);
        qs_draw_fit(c, y, 27, style,
                    qs_choose_error(&x->cell, x->cell.known, false, qs_app_ascii(a), error, sizeof error), 9,
                    QS_FIT_RIGHT);
        if (x->preset)
            qs_draw_text(c, y, 38, qs_app_look(a, QS_LOOK_MUTED), "preset", -1);
    }
    qs_free(all);
}
