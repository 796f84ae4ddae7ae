/* screen_recipe_draw.c - the recipe as it is drawn: its lines, what the one under the cursor means, and below or beside it a
 * comparison or what was found for a budget.
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ui/layout.h"
#include "ui/match.h"
#include "ui/recipe.h"

static void draw_item(struct qs_app *a, const struct qs_canvas *c, int y, const struct recipe_item *it, bool here)
{
    struct recipe_texts t;
    const int cols = qs_canvas_cols(c), value = 20;
    const int name = recipe_of(a)->name_width < cols * 4 / 10 ? recipe_of(a)->name_width : cols * 4 / 10;
    recipe_item_texts(qs_app_doc(a), it, &t);
    const struct qs_style style = qs_app_look(a, here ? QS_LOOK_CURSOR : t.problem ? QS_LOOK_WARNING : QS_LOOK_TEXT);
    qs_draw_fill(c, (struct qs_rect){ y, 0, 1, cols }, style);
    qs_draw_text(c, y, 0, style, here ? ">" : t.problem ? "!" : " ", 1);
    qs_draw_fit(c, y, 2, style, t.name, name, QS_FIT_MIDDLE);
    qs_draw_matches(c, y, 2, t.name, name, qs_app_search(a), qs_app_look(a, QS_LOOK_MATCH));
    if (t.value[0])
        qs_draw_textf(c, y, 3 + name, style, "= %s", t.value);
    if (cols > 5 + name + value)
        qs_draw_text(c, y, 5 + name + value, here ? style : qs_app_look(a, t.problem ? QS_LOOK_WARNING : QS_LOOK_MUTED),
                     t.remark, -1);
}

static void draw_state(struct qs_app *a, const struct qs_canvas *c)
{
    const struct qs_doc *d = qs_app_doc(a);
    struct qs_str path = QS_STR_INIT;
    qs_text_clean(&path, d->recipe_path ? d->recipe_path : "not saved in a file", qs_app_ascii(a));
    qs_draw_textf(c, 0, 0, qs_app_look(a, QS_LOOK_TITLE), "Recipe: %s%s", path.failed ? "?" : path.data,
                  d->recipe_path && d->recipe_changed ? " (changed since)" : "");
    qs_str_free(&path);
}

/* In full: what the line under the cursor means, and what is wrong with the recipe. Returns the rows it takes. */
static int draw_below(struct qs_app *a, const struct qs_canvas *c)
{
    const struct recipe *r = recipe_of(a);
    const struct qs_plan *p = qs_app_doc(a)->plan;
    struct recipe_texts t;
    int y = 0;
    if (r->list.cursor < r->n) {
        recipe_item_texts(qs_app_doc(a), &r->item[r->list.cursor], &t);
        if (t.remark[0])
            y += qs_draw_wrapped(c, y, 0, 2, qs_app_look(a, t.problem ? QS_LOOK_WARNING : QS_LOOK_MUTED), t.remark);
    }
    for (size_t i = 0; i < p->n_warnings; i++) /* they tell the problems too */
        y += qs_draw_wrapped(c, y, 0, 2, qs_app_look(a, QS_LOOK_WARNING), p->warning[i]);
    return y;
}

/* The tensor that the line under the cursor pins; SIZE_MAX: none. */
static size_t tensor_here(struct qs_app *a)
{
    const struct recipe *r = recipe_of(a);
    const struct qs_doc *d = qs_app_doc(a);
    const struct recipe_item *it = r->list.cursor < r->n ? &r->item[r->list.cursor] : NULL;
    const char *name = it && it->kind == RECIPE_PIN ? d->recipe->pin[it->index].pattern : NULL;
    for (size_t i = 0; name && i < d->model->n_tensors; i++)
        if (strcmp(d->model->tensor[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

/* What was found for a budget takes the place at the right, or below. Returns the canvas that is left. */
static struct qs_canvas draw_fit(struct qs_app *a, const struct qs_canvas *c)
{
    const struct qs_rect all = { 0, 0, qs_canvas_rows(c), qs_canvas_cols(c) };
    struct qs_split s = qs_layout_right(all, all.cols / 2, 0, 60, 60, true);
    if (!s.both)
        s = qs_layout_bottom(all, all.rows * 6 / 10, 5, 5, true);
    const int gap = s.both && s.rule.rows > 1;
    const struct qs_canvas side = qs_canvas_part(c, (struct qs_rect){ s.side.y, s.side.x + gap, s.side.rows,
                                                                      s.side.cols - gap });
    if (gap)
        qs_draw_vline(c, s.rule.y, s.rule.x, s.rule.rows, qs_app_look(a, QS_LOOK_FRAME));
    else if (s.both)
        qs_draw_hline(c, s.rule.y, s.rule.x, s.rule.cols, qs_app_look(a, QS_LOOK_FRAME));
    if (s.both)
        qs_recipe_fit_draw(a, &side, tensor_here(a));
    return qs_canvas_part(c, s.main);
}

static void draw_rest(struct qs_app *a, const struct qs_canvas *c);

void recipe_draw(struct qs_app *a, const struct qs_canvas *c)
{
    struct qs_canvas rest = *c;
    if (!recipe_of(a)->compared && qs_recipe_fit_shown(a))
        rest = draw_fit(a, c);
    draw_rest(a, &rest);
}

static void draw_rest(struct qs_app *a, const struct qs_canvas *c)
{
    struct recipe *r = recipe_of(a);
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c), head = 2;
    struct qs_split s = { .main = { 0, 0, rows, cols } };
    if (r->compared) {
        s = qs_layout_bottom(s.main, rows / 2, 5, 3, true);
    } else {
        const struct qs_canvas count = qs_canvas_part(c, (struct qs_rect){ 0, 0, 1, cols });
        s = qs_layout_bottom(
            s.main, draw_below(a, &(struct qs_canvas) { c->cells, { count.at.y, count.at.x, 0, cols }, c->ascii }), 8,
            1, true);
    }
    const struct qs_canvas main = qs_canvas_part(c, s.main);
    draw_state(a, &main);
    const struct qs_canvas lines = qs_canvas_part(&main, (struct qs_rect){ head, 0, s.main.rows - head, cols });
    qs_list_set(&r->list, r->n, qs_canvas_rows(&lines) > 0 ? (size_t)qs_canvas_rows(&lines) : 1);
    r->list.at = lines.at;
    for (int y = 0; y < qs_canvas_rows(&lines) && r->list.top + (size_t)y < r->n; y++)
        draw_item(a, &lines, y, &r->item[r->list.top + (size_t)y], r->list.top + (size_t)y == r->list.cursor);
    if (s.both && !r->compared) {
        const struct qs_canvas below = qs_canvas_part(c, s.side);
        qs_draw_hline(c, s.rule.y, 0, cols, qs_app_look(a, QS_LOOK_FRAME));
        draw_below(a, &below);
    } else if (s.both) {
        const struct qs_canvas below = qs_canvas_part(c, s.side);
        qs_draw_hline(c, s.rule.y, 0, cols, qs_app_look(a, QS_LOOK_FRAME));
        qs_draw_textf(c, s.rule.y, 2, qs_app_look(a, QS_LOOK_TITLE),
                      " A: %s, B: this recipe (Ctrl-D Ctrl-U scroll, Esc closes) ", r->with);
        r->below.search = qs_app_search(a);
        qs_facts_view_draw(&r->below, &below, qs_app_theme(a));
    }
}
