/* screen_recipe.c - the recipe: preset, settings, pins and ordered rules with what each of them decides; edited in place,
 * saved, loaded, compared with another, exported.
 *
 * Owns the list of lines, which follows the document, and the comparison shown below it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/unicode.h"
#include "core/report/report_recipe.h"
#include "ui/app_internal.h"
#include "ui/facts_view.h"
#include "ui/layout.h"
#include "ui/list.h"
#include "ui/match.h"
#include "ui/recipe_fit.h"

enum kind {
    PRESET,
    PURE,
    OUTPUT_TYPE,
    EMBD_TYPE,
    LEAVE_OUTPUT,
    STRICT,
    STEADY,
    SETTINGS,
    PIN = SETTINGS,
    RULE,
    ADD_RULE,
    GAP
};

struct item { enum kind kind; size_t index; };

struct recipe {
    struct qs_list list;
    struct item *item;
    size_t n, cap;
    uint64_t doc_version;
    bool made;
    struct qs_recipe *other;    /* compared with; NULL: none */
    struct qs_report *compared;
    struct qs_facts_view below;
    char with[256];             /* what it is compared with; "": nothing */
    size_t editing;             /* rule being edited */
    int name_width;             /* of the longest name */
    struct qs_recipe_fit fit;
};

static void compare_anew(struct qs_app *a);

static struct recipe *recipe_of(struct qs_app *a) { return qs_app_state(a, &qs_screen_recipe); }

struct qs_recipe_fit *qs_recipe_fit_of(struct qs_app *a) { return &recipe_of(a)->fit; }

static const char *type_or(int type, const char *otherwise)
{
    return type == QS_TYPE_NONE ? otherwise : qs_format_by_id(type)->name;
}

/* ---- lines ---- */

static bool add(struct recipe *r, enum kind kind, size_t index)
{
    if (!qs_grow(&r->item, &r->cap, r->n + 1, sizeof *r->item))
        return false;
    r->item[r->n++] = (struct item){ kind, index };
    return true;
}

/* Name, value, remark of a line. */
struct texts { char name[300], value[64], remark[200]; bool problem; };

static bool flag_of(const struct qs_recipe *r, enum kind kind)
{
    return kind == PURE ? r->pure : kind == LEAVE_OUTPUT ? r->leave_output : kind == STRICT ? r->strict : r->steady;
}

static void setting_texts(const struct qs_doc *d, enum kind kind, struct texts *out)
{
    static const struct { const char *name, *about; } settings[SETTINGS] = {
        [PRESET] = { "preset", "" },
        [PURE] = { "pure", "every tensor the preset's base type" },
        [OUTPUT_TYPE] = { "output-type", "type of the output tensor; beats rules" },
        [EMBD_TYPE] = { "token-embd-type", "type of the token embedding; beats rules" },
        [LEAVE_OUTPUT] = { "leave-output", "the output tensor stays as it is" },
        [STRICT] = { "strict", "refuse instead of falling back where a shape does not suit a type" },
        [STEADY] = { "steady", "pins and rules leave the other tensors as they are" },
    };
    const struct qs_recipe *r = d->recipe;
    const bool on = flag_of(r, kind);
    snprintf(out->name, sizeof out->name, "%s", settings[kind].name);
    snprintf(out->remark, sizeof out->remark, "%s", kind == PRESET ? r->preset->about : settings[kind].about);
    snprintf(out->value, sizeof out->value, "%s", kind == PRESET ? r->preset->name
             : kind == OUTPUT_TYPE ? type_or(r->output_type, "as the preset says")
             : kind == EMBD_TYPE ? type_or(r->token_embd_type, "as the preset says") : on ? "yes" : "no");
}

static void item_texts(const struct qs_doc *d, const struct item *it, struct texts *out)
{
    const struct qs_recipe *r = d->recipe;
    *out = (struct texts){ .name = "" };
    if (it->kind < SETTINGS) {
        setting_texts(d, it->kind, out);
        return;
    }
    if (it->kind == ADD_RULE)
        snprintf(out->name, sizeof out->name, "(new rule)");
    if (it->kind != PIN && it->kind != RULE)
        return;
    const struct qs_recipe_item *x = it->kind == PIN ? &r->pin[it->index] : &r->rule[it->index];
    const struct qs_recipe_match *m = &d->plan->resolved->match[it->kind == PIN ? it->index : r->n_pins + it->index];
    snprintf(out->name, sizeof out->name, "%s%.280s", it->kind == PIN ? "pin  " : "rule ", x->pattern);
    snprintf(out->value, sizeof out->value, "%s", qs_format_by_id(x->type)->name);
    out->problem = !m->matched || m->refused;
    if (!m->matched)
        snprintf(out->remark, sizeof out->remark, "matches no tensor");
    else if (m->refused)
        snprintf(out->remark, sizeof out->remark, "%u of %u tensors cannot have this type", m->refused, m->matched);
    else if (it->kind == RULE)
        snprintf(out->remark, sizeof out->remark, "matches %u, decides %u", m->matched, m->decided);
    else if (!m->decided)
        snprintf(out->remark, sizeof out->remark, "changes nothing: an option decides");
}

static void refresh(struct qs_app *a)
{
    struct recipe *r = recipe_of(a);
    const struct qs_doc *d = qs_app_doc(a);
    bool ok = true;
    if (r->made && r->doc_version == d->version)
        return;
    r->n = 0;
    for (int i = 0; i < SETTINGS; i++)
        ok &= add(r, (enum kind)i, 0);
    ok &= add(r, GAP, 0);
    for (size_t i = 0; i < d->recipe->n_pins; i++)
        ok &= add(r, PIN, i);
    for (size_t i = 0; i < d->recipe->n_rules; i++)
        ok &= add(r, RULE, i);
    ok &= add(r, ADD_RULE, 0);
    if (!ok)
        qs_app_warn(a, "out of memory");
    r->name_width = 17;
    for (size_t i = 0; i < r->n; i++) {
        struct texts t;
        item_texts(d, &r->item[i], &t);
        const int w = (int)qs_utf8_width(t.name, strlen(t.name));
        r->name_width = w > r->name_width ? w : r->name_width;
    }
    r->made = true;
    r->doc_version = d->version;
    qs_list_set(&r->list, r->n, r->list.shown);
    compare_anew(a);
}

/* ---- drawing ---- */

static void draw_item(struct qs_app *a, const struct qs_canvas *c, int y, const struct item *it, bool here)
{
    struct texts t;
    const int cols = qs_canvas_cols(c), value = 20;
    const int name = recipe_of(a)->name_width < cols * 4 / 10 ? recipe_of(a)->name_width : cols * 4 / 10;
    item_texts(qs_app_doc(a), it, &t);
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
    struct texts t;
    int y = 0;
    if (r->list.cursor < r->n) {
        item_texts(qs_app_doc(a), &r->item[r->list.cursor], &t);
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
    const struct item *it = r->list.cursor < r->n ? &r->item[r->list.cursor] : NULL;
    const char *name = it && it->kind == PIN ? d->recipe->pin[it->index].pattern : NULL;
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

static void draw(struct qs_app *a, const struct qs_canvas *c)
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

/* ---- edits ---- */

/* Of the recipe as it is now: an edit may not have been drawn yet. */
static const struct item *here(struct qs_app *a)
{
    const struct recipe *r = recipe_of(a);
    return r->list.cursor < r->n ? &r->item[r->list.cursor] : NULL;
}

/* Ends an edit: rc is what changing the copy came to. */
static bool commit(struct qs_app *a, int rc, struct qs_err *e, const char *label)
{
    if (rc)
        qs_workbench_abandon(qs_app_bench(a));
    else
        rc = qs_workbench_commit(qs_app_bench(a), label, e);
    if (rc)
        qs_app_fail(a, e);
    else
        qs_app_say(a, "%s", label);
    return rc == QS_OK;
}

static void preset_item(struct qs_app *a, size_t i, struct qs_app_item *out, void *ctx)
{
    const struct qs_preset *p = qs_preset_at(i);
    (void)ctx;
    snprintf(out->label, sizeof out->label, "%s", p->name);
    snprintf(out->detail[0], sizeof out->detail[0], "%s", p->about);
    out->current = qs_app_doc(a)->recipe->preset == p;
}

static void set_preset(struct qs_app *a, const char *name)
{
    struct qs_err e = QS_ERR_INIT;
    const struct qs_preset *p;
    char label[64];
    if (qs_recipe_preset(name, &p, &e)) {
        qs_app_fail(a, &e);
        return;
    }
    struct qs_recipe *r = qs_workbench_edit(qs_app_bench(a), &e);
    snprintf(label, sizeof label, "preset = %s", p->name);
    if (!r)
        qs_app_fail(a, &e);
    else
        commit(a, qs_recipe_set_preset(r, p->name, &e), &e, label);
}

static void preset_picked(struct qs_app *a, size_t i, void *ctx)
{
    (void)ctx;
    set_preset(a, qs_preset_at(i)->name);
}

static void choose_preset(struct qs_app *a, const char *arg)
{
    size_t first = 0;
    if (arg) {
        set_preset(a, arg);
        return;
    }
    for (size_t i = 0; i < qs_preset_count(); i++)
        first = qs_preset_at(i) == qs_app_doc(a)->recipe->preset ? i : first;
    qs_app_pick(a,
                &(struct qs_app_list) { .title = "Preset", .n = qs_preset_count(), .first = first, .keep_order = true },
                preset_item, preset_picked, NULL);
}

static void set_flag(struct qs_app *a, enum kind kind)
{
    struct qs_err e = QS_ERR_INIT;
    char label[64];
    struct qs_recipe *r = qs_workbench_edit(qs_app_bench(a), &e);
    if (!r) {
        qs_app_fail(a, &e);
        return;
    }
    const enum qs_recipe_setting flag = kind == PURE ? QS_SET_PURE : kind == LEAVE_OUTPUT ? QS_SET_LEAVE_OUTPUT
                                        : kind == STRICT ? QS_SET_STRICT : QS_SET_STEADY;
    const bool on = !flag_of(r, kind);
    snprintf(label, sizeof label, "%s = %s", qs_recipe_key(flag), on ? "yes" : "no");
    commit(a, qs_recipe_set_option(r, flag, on, &e), &e, label);
}

/* A type by name; "-" or nothing: none. */
static int parse_type(const char *text, int *type, struct qs_err *e)
{
    *type = QS_TYPE_NONE;
    return !*text || strcmp(text, "-") == 0 ? QS_OK : qs_recipe_type(text, type, e);
}

static void typed_option(struct qs_app *a, const char *text, void *ctx)
{
    const bool output = ctx != NULL;
    struct qs_err e = QS_ERR_INIT;
    char label[64];
    int type;
    if (parse_type(text, &type, &e)) {
        qs_app_fail(a, &e);
        return;
    }
    struct qs_recipe *r = qs_workbench_edit(qs_app_bench(a), &e);
    snprintf(label, sizeof label, "%s = %s", output ? "output-type" : "token-embd-type",
             type_or(type, "as the preset says"));
    if (!r)
        qs_app_fail(a, &e);
    else
        commit(a, qs_recipe_set_option(r, output ? QS_SET_OUTPUT_TYPE : QS_SET_TOKEN_EMBD_TYPE, type, &e), &e, label);
}

static void typed_pin(struct qs_app *a, const char *text, void *ctx)
{
    const struct item *it = here(a);
    struct qs_err e = QS_ERR_INIT;
    char label[320];
    int type;
    (void)ctx;
    if (!it || it->kind != PIN)
        return;
    if (parse_type(text, &type, &e)) {
        qs_app_fail(a, &e);
        return;
    }
    struct qs_recipe *r = qs_workbench_edit(qs_app_bench(a), &e);
    if (!r) {
        qs_app_fail(a, &e);
        return;
    }
    const char *name = qs_app_doc(a)->recipe->pin[it->index].pattern; /* lives until the commit */
    snprintf(label, sizeof label, "%s = %s", name, type_or(type, "as rules and preset say"));
    commit(a, qs_recipe_pin(r, name, type, &e), &e, label);
}

/* "REGEX = TYPE", split at the last '='. */
static bool split_rule(struct qs_app *a, const char *text, char *pattern, size_t n, int *type)
{
    const char *eq = strrchr(text, '=');
    struct qs_err e = QS_ERR_INIT;
    if (!eq || eq == text) {
        qs_app_warn(a, "write REGEX = TYPE, for example attn_v = Q8_0");
        return false;
    }
    size_t end = (size_t)(eq - text);
    while (end && text[end - 1] == ' ')
        end--;
    snprintf(pattern, n, "%.*s", (int)(end < n ? end : n - 1), text);
    if (qs_recipe_type(eq + 1 + strspn(eq + 1, " "), type, &e)) {
        qs_app_fail(a, &e);
        return false;
    }
    return true;
}

static void typed_rule(struct qs_app *a, const char *text, void *ctx);

/* What was typed is no rule: it is there to be mended, and the message says why. */
static void type_rule_again(struct qs_app *a, const char *text)
{
    qs_app_prompt(a, "rule (REGEX = TYPE): ", text, QS_ARG_REGEX, NULL, typed_rule, NULL);
}

static void typed_rule(struct qs_app *a, const char *text, void *ctx)
{
    struct recipe *s = recipe_of(a);
    struct qs_err e = QS_ERR_INIT;
    char pattern[QS_EDIT_MAX + 1], label[160];
    int type = QS_TYPE_NONE;
    (void)ctx;
    if (!*text)
        return;
    if (!split_rule(a, text, pattern, sizeof pattern, &type)) {
        type_rule_again(a, text);
        return;
    }
    struct qs_recipe *r = qs_workbench_edit(qs_app_bench(a), &e);
    if (!r) {
        qs_app_fail(a, &e);
        return;
    }
    const bool fresh = s->editing >= r->n_rules;
    snprintf(label, sizeof label, "rule %zu: %.100s = %s", fresh ? r->n_rules + 1 : s->editing + 1, pattern,
             qs_format_by_id(type)->name);
    const int rc = fresh ? qs_recipe_add_rule(r, pattern, type, &e)
                         : qs_recipe_replace_rule(r, s->editing, pattern, type, &e);
    if (!commit(a, rc, &e, label))
        type_rule_again(a, text);
}

static void ask_rule(struct qs_app *a, size_t index)
{
    const struct qs_recipe *r = qs_app_doc(a)->recipe;
    struct qs_str text = QS_STR_INIT;
    recipe_of(a)->editing = index;
    if (index < r->n_rules)
        qs_str_addf(&text, "%s = %s", r->rule[index].pattern, qs_format_by_id(r->rule[index].type)->name);
    qs_app_prompt(a, "rule (REGEX = TYPE): ", text.data, QS_ARG_REGEX, NULL, typed_rule, NULL);
    qs_str_free(&text);
}

static void edit(struct qs_app *a, const char *arg)
{
    static char yes[] = "output";
    const struct item *it = here(a);
    (void)arg;
    if (!it)
        return;
    switch (it->kind) {
    case PRESET: choose_preset(a, NULL); break;
    case PURE: case LEAVE_OUTPUT: case STRICT: case STEADY: set_flag(a, it->kind); break;
    case OUTPUT_TYPE: qs_app_prompt(a, "output-type (- for none): ", NULL, QS_ARG_TYPE, NULL, typed_option, yes); break;
    case EMBD_TYPE:
        qs_app_prompt(a, "token-embd-type (- for none): ", NULL, QS_ARG_TYPE, NULL, typed_option, NULL);
        break;
    case PIN: qs_app_prompt(a, "type (- removes the pin): ", NULL, QS_ARG_TYPE, NULL, typed_pin, NULL); break;
    case RULE: ask_rule(a, it->index); break;
    case ADD_RULE: ask_rule(a, (size_t)-1); break;
    case GAP: break;
    }
}

static void add_rule(struct qs_app *a, const char *arg)
{
    recipe_of(a)->editing = (size_t)-1;
    if (arg)
        typed_rule(a, arg, NULL);
    else
        ask_rule(a, (size_t)-1);
}

static void remove_item(struct qs_app *a, const char *arg)
{
    const struct item *it = here(a);
    struct qs_err e = QS_ERR_INIT;
    char label[64];
    (void)arg;
    if (it && it->kind == PIN) {
        typed_pin(a, "-", NULL);
        return;
    }
    if (!it || it->kind != RULE) {
        qs_app_say(a, "only pins and rules can be removed");
        return;
    }
    const size_t index = it->index;
    struct qs_recipe *r = qs_workbench_edit(qs_app_bench(a), &e);
    snprintf(label, sizeof label, "rule %zu removed", index + 1);
    if (!r)
        qs_app_fail(a, &e);
    else
        commit(a, qs_recipe_remove_rule(r, index, &e), &e, label);
}

static void move_rule(struct qs_app *a, int step)
{
    struct recipe *s = recipe_of(a);
    const struct item *it = here(a);
    struct qs_err e = QS_ERR_INIT;
    char label[64];
    if (!it || it->kind != RULE) {
        qs_app_say(a, "only rules have an order");
        return;
    }
    const size_t from = it->index, to = from + (size_t)(long)step;
    if ((step < 0 && from == 0) || (step > 0 && to >= qs_app_doc(a)->recipe->n_rules))
        return;
    struct qs_recipe *r = qs_workbench_edit(qs_app_bench(a), &e);
    snprintf(label, sizeof label, "rule %zu is now rule %zu", from + 1, to + 1);
    if (!r) {
        qs_app_fail(a, &e);
        return;
    }
    if (commit(a, qs_recipe_move_rule(r, from, to, &e), &e, label))
        s->list.cursor += (size_t)(long)step;
}

static void rule_up(struct qs_app *a, const char *arg) { (void)arg; move_rule(a, -1); }
static void rule_down(struct qs_app *a, const char *arg) { (void)arg; move_rule(a, 1); }

/* ---- files ---- */

static void save_to(struct qs_app *a, const char *name, bool overwrite)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_str path = QS_STR_INIT; /* the document's own name does not outlive the saving */
    qs_str_add(&path, name);
    const int rc = path.failed ? qs_fail_mem(&e, path.len, "a file name")
                               : qs_workbench_recipe_save(qs_app_bench(a), path.data, overwrite, &e);
    if (rc == QS_EEXISTS)
        qs_app_warn(a, "%s exists: :recipe-save! %s overwrites it", path.data, path.data);
    else if (rc)
        qs_app_fail(a, &e);
    else
        qs_app_say(a, "saved: %s", path.data);
    qs_str_free(&path);
}

static void save(struct qs_app *a, const char *arg)
{
    const char *known = qs_app_doc(a)->recipe_path;
    if (arg || known)
        save_to(a, arg ? arg : known, !arg || (known && strcmp(arg, known) == 0));
    else
        qs_app_run(a, "recipe-save-as");
}

static void save_as(struct qs_app *a, const char *arg) { save_to(a, arg, false); }
static void save_over(struct qs_app *a, const char *arg) { save_to(a, arg, true); }

static void load(struct qs_app *a, const char *arg)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_workbench_recipe_load(qs_app_bench(a), arg, &e))
        qs_app_fail(a, &e);
    else
        qs_app_say(a, "loaded: %s (u takes it back)", arg);
}

static void forget_report(struct recipe *r)
{
    qs_facts_view_set(&r->below, NULL);
    qs_report_free(r->compared);
    r->compared = NULL;
}

static void forget_comparison(struct recipe *r)
{
    forget_report(r);
    qs_recipe_free(r->other);
    r->other = NULL;
    r->with[0] = 0;
}

/* The comparison with r->other as the recipe is now. */
static void compare_anew(struct qs_app *a)
{
    struct recipe *r = recipe_of(a);
    const struct qs_doc *d = qs_app_doc(a);
    struct qs_resolved *theirs = NULL;
    struct qs_err e = QS_ERR_INIT;
    forget_report(r);
    if (!r->other)
        return;
    if (qs_recipe_resolve(r->other, d->model, d->imatrix != NULL, true, &theirs, &e)) {
        qs_app_fail(a, &e);
        forget_comparison(r);
        return;
    }
    r->compared = qs_report_recipe_diff(r->other, d->recipe, d->model, theirs, d->plan->resolved, NULL);
    qs_facts_view_set(&r->below, r->compared);
    qs_resolved_free(theirs);
}

/* With a recipe file, or with what a preset alone says. */
static void compare(struct qs_app *a, const char *arg)
{
    struct recipe *r = recipe_of(a);
    struct qs_recipe *other = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_preset_by_name(arg) ? qs_recipe_new(arg, &other, &e) : qs_recipe_load(arg, &other, &e)) {
        qs_app_fail(a, &e);
        return;
    }
    forget_comparison(r);
    r->other = other;
    snprintf(r->with, sizeof r->with, "%s", arg);
    compare_anew(a);
}

/* The rules for --tensor-type-file; what goes on the command line is told. */
static void export_to(struct qs_app *a, const char *arg, bool overwrite)
{
    const struct qs_doc *d = qs_app_doc(a);
    struct qs_str file = QS_STR_INIT, args = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    int rc = qs_recipe_export_llama(d->recipe, d->model, d->imatrix != NULL, &file, &args, &e);
    if (!rc)
        rc = qs_file_write_atomic(arg, file.data, file.len, overwrite, &e);
    if (rc == QS_EEXISTS)
        qs_app_warn(a, "%s exists: :recipe-export! %s overwrites it", arg, arg);
    else if (rc)
        qs_app_fail(a, &e);
    else
        qs_app_say(a, "written: %s, for llama-quantize %s", arg, args.data);
    qs_str_free(&file);
    qs_str_free(&args);
}

static void export_llama(struct qs_app *a, const char *arg) { export_to(a, arg, false); }
static void export_over(struct qs_app *a, const char *arg) { export_to(a, arg, true); }

/* ---- moving ---- */

/* Half and whole screens move the comparison where there is one. */
static void move(struct qs_app *a, enum qs_list_move m)
{
    struct recipe *r = recipe_of(a);
    const bool line = m == QS_LIST_UP || m == QS_LIST_DOWN || m == QS_LIST_HOME || m == QS_LIST_END;
    if (r->compared && !line)
        qs_facts_view_move(&r->below, m);
    else {
        qs_list_move(&r->list, m);
        if (r->list.cursor < r->n && r->item[r->list.cursor].kind == GAP) /* nothing to stand on */
            qs_list_move(&r->list,
                         m == QS_LIST_UP || m == QS_LIST_HALF_UP || m == QS_LIST_PAGE_UP ? QS_LIST_UP : QS_LIST_DOWN);
    }
}

static void close_comparison(struct qs_app *a, const char *arg)
{
    struct recipe *r = recipe_of(a);
    (void)arg;
    if (r->compared)
        forget_comparison(r);
    else
        qs_app_back(a);
}

static bool matches(void *ctx, size_t line)
{
    const struct qs_app_find *f = ctx;
    struct texts t;
    item_texts(qs_app_doc(f->app), &recipe_of(f->app)->item[line], &t);
    return qs_regex_find(f->re, t.name, strlen(t.name), 0, NULL, NULL) == 1 ||
           qs_regex_find(f->re, t.value, strlen(t.value), 0, NULL, NULL) == 1;
}

static bool find(struct qs_app *a, const struct qs_regex *re, int step)
{
    return qs_list_find(&recipe_of(a)->list, step, matches, &(struct qs_app_find){ a, re });
}

static bool event(struct qs_app *a, const struct qs_event *ev)
{
    struct recipe *r = recipe_of(a);
    struct qs_event screen = *ev;
    qs_app_to_screen(a, &screen);
    return ev->kind == QS_EVENT_MOUSE &&
           (qs_list_mouse(&r->list, &screen) || (r->compared && qs_facts_view_mouse(&r->below, &screen)));
}

/* ---- life ---- */

static int init(struct qs_app *a, void *state, struct qs_err *e)
{
    (void)a, (void)e;
    ((struct recipe *)state)->below = (struct qs_facts_view)QS_FACTS_VIEW_INIT;
    return QS_OK;
}

static void done(void *state)
{
    struct recipe *r = state;
    forget_comparison(r);
    qs_facts_view_free(&r->below);
    qs_free(r->item);
}

static void document(struct qs_app *a)
{
    struct recipe *r = recipe_of(a);
    forget_comparison(r);
    r->made = false;
    r->n = r->list.cursor = r->list.top = 0;
}

static const struct qs_action actions[] = {
    { .name = "edit", .keys = "Enter e", .brief = "edit", .rank = 2, .help = "edit this line", .run = edit },
    { .name = "preset", .keys = "p", .arg = QS_ARG_PRESET, .arg_optional = true, .brief = "preset", .rank = 3,
      .help = "choose the preset", .run = choose_preset },
    { .name = "rule", .keys = "a", .arg = QS_ARG_TEXT, .arg_optional = true, .brief = "rule", .rank = 4,
      .help = "add a rule: REGEX = TYPE", .run = add_rule },
    { .name = "remove", .keys = "x Delete", .brief = "remove", .rank = 5,
      .help = "remove this pin or rule", .run = remove_item },
    { .name = "rule-up", .keys = "K", .help = "this rule before the one above", .run = rule_up },
    { .name = "rule-down", .keys = "J", .help = "this rule behind the one below", .run = rule_down },
    { .name = "recipe-save", .keys = "s", .arg = QS_ARG_FILE, .arg_optional = true, .brief = "save", .rank = 6,
      .help = "save the recipe, where it was saved last or in FILE", .run = save },
    { .name = "recipe-save-as", .arg = QS_ARG_FILE, .help = "save the recipe in a new file", .run = save_as },
    { .name = "recipe-save!", .arg = QS_ARG_FILE, .help = "save the recipe over a file that exists", .run = save_over },
    { .name = "recipe-load", .keys = "L", .arg = QS_ARG_FILE, .brief = "load", .rank = 7,
      .help = "load a recipe; one step of undo", .run = load },
    { .name = "compare", .keys = "c", .arg = QS_ARG_FILE, .brief = "compare", .rank = 8,
      .help = "compare with a recipe file, or with a preset by its name", .run = compare },
    { .name = "recipe-export", .keys = "X", .arg = QS_ARG_FILE,
      .help = "write the rules as llama-quantize reads them (--tensor-type-file)", .run = export_llama },
    { .name = "recipe-export!", .arg = QS_ARG_FILE, .help = "the same, over a file that exists", .run = export_over },
    { .name = "fit", .keys = "f", .arg = QS_ARG_TEXT, .arg_optional = true, .brief = "fit", .rank = 3,
      .help = "find the recipe for a budget: 4.2GiB, 4.5 bpw, fits in 8 GiB with 8k context; one step of undo",
      .run = qs_recipe_fit_ask },
    { .name = "bpw", .arg = QS_ARG_TEXT, .help = "find the recipe for so many bits per weight",
      .run = qs_recipe_fit_bpw },
    { .name = "fit-apply", .help = "take the recipe again that was found last", .run = qs_recipe_fit_apply },
    { .name = "fit-tied", .arg = QS_ARG_WORDS, .arg_optional = true, .words = "on off",
      .help = "give q k v, gate and up, and experts of a layer one type each when a budget is fitted",
      .run = qs_recipe_fit_tie },
    { .name = "fit-show", .keys = "F", .help = "show or hide what was found for a budget", .run = qs_recipe_fit_toggle },
    { .name = "close", .keys = "Esc", .help = "close the comparison, or back", .run = close_comparison },
    { .name = NULL }
};

const struct qs_screen qs_screen_recipe = {
    .name = "Recipe",
    .about = "preset, pins and rules, with what each decides",
    .actions = actions,
    .needs_document = true,
    .state_size = sizeof(struct recipe),
    .init = init,
    .done = done,
    .document = document,
    .refresh = refresh,
    .draw = draw,
    .move = move,
    .event = event,
    .find = find,
    .poll = qs_recipe_fit_poll,
};
