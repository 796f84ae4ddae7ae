/* screen_recipe.c - the recipe: preset, settings, pins and ordered rules with what each of them decides; the list of lines,
 * which follows the document, and the table of what can be done.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "core/report/report_recipe.h"
#include "ui/match.h"
#include "ui/recipe.h"

struct recipe *recipe_of(struct qs_app *a) { return qs_app_state(a, &qs_screen_recipe); }

struct qs_recipe_fit *qs_recipe_fit_of(struct qs_app *a) { return &recipe_of(a)->fit; }

const char *recipe_type_or(int type, const char *otherwise)
{
    return type == QS_TYPE_NONE ? otherwise : qs_format_by_id(type)->name;
}

/* ---- lines ---- */

static bool add(struct recipe *r, enum recipe_line kind, size_t index)
{
    if (!qs_grow(&r->item, &r->cap, r->n + 1, sizeof *r->item))
        return false;
    r->item[r->n++] = (struct recipe_item){ kind, index };
    return true;
}

bool recipe_flag(const struct qs_recipe *r, enum recipe_line kind)
{
    return kind == RECIPE_PURE           ? r->pure
           : kind == RECIPE_LEAVE_OUTPUT ? r->leave_output
           : kind == RECIPE_STRICT       ? r->strict
                                         : r->steady;
}

static void setting_texts(const struct qs_doc *d, enum recipe_line kind, struct recipe_texts *out)
{
    static const struct { const char *name, *about; } settings[RECIPE_SETTINGS] = {
        [RECIPE_PRESET] = { "preset", "" },
        [RECIPE_PURE] = { "pure", "every tensor the preset's base type" },
        [RECIPE_OUTPUT_TYPE] = { "output-type", "type of the output tensor; beats rules" },
        [RECIPE_EMBD_TYPE] = { "token-embd-type", "type of the token embedding; beats rules" },
        [RECIPE_LEAVE_OUTPUT] = { "leave-output", "the output tensor stays as it is" },
        [RECIPE_STRICT] = { "strict", "refuse instead of falling back where a shape does not suit a type" },
        [RECIPE_STEADY] = { "steady", "pins and rules leave the other tensors as they are" },
    };
    const struct qs_recipe *r = d->recipe;
    const bool on = recipe_flag(r, kind);
    snprintf(out->name, sizeof out->name, "%s", settings[kind].name);
    snprintf(out->remark, sizeof out->remark, "%s", kind == RECIPE_PRESET ? r->preset->about : settings[kind].about);
    snprintf(out->value, sizeof out->value, "%s", kind == RECIPE_PRESET ? r->preset->name
             : kind == RECIPE_OUTPUT_TYPE ? recipe_type_or(r->output_type, "as the preset says")
             : kind == RECIPE_EMBD_TYPE ? recipe_type_or(r->token_embd_type, "as the preset says") : on ? "yes" : "no");
}

void recipe_item_texts(const struct qs_doc *d, const struct recipe_item *it, struct recipe_texts *out)
{
    const struct qs_recipe *r = d->recipe;
    *out = (struct recipe_texts){ .name = "" };
    if (it->kind < RECIPE_SETTINGS) {
        setting_texts(d, it->kind, out);
        return;
    }
    if (it->kind == RECIPE_ADD_RULE)
        snprintf(out->name, sizeof out->name, "(new rule)");
    if (it->kind != RECIPE_PIN && it->kind != RECIPE_RULE)
        return;
    const struct qs_recipe_item *x = it->kind == RECIPE_PIN ? &r->pin[it->index] : &r->rule[it->index];
    const struct qs_recipe_match *m = &d->plan->resolved->match[it->kind == RECIPE_PIN ? it->index : r->n_pins + it->index];
    snprintf(out->name, sizeof out->name, "%s%.280s", it->kind == RECIPE_PIN ? "pin  " : "rule ", x->pattern);
    snprintf(out->value, sizeof out->value, "%s", qs_format_by_id(x->type)->name);
    out->problem = !m->matched || m->refused;
    if (!m->matched)
        snprintf(out->remark, sizeof out->remark, "matches no tensor");
    else if (m->refused)
        snprintf(out->remark, sizeof out->remark, "%u of %u tensors cannot have this type", m->refused, m->matched);
    else if (it->kind == RECIPE_RULE)
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
    for (int i = 0; i < RECIPE_SETTINGS; i++)
        ok &= add(r, (enum recipe_line)i, 0);
    ok &= add(r, RECIPE_GAP, 0);
    for (size_t i = 0; i < d->recipe->n_pins; i++)
        ok &= add(r, RECIPE_PIN, i);
    for (size_t i = 0; i < d->recipe->n_rules; i++)
        ok &= add(r, RECIPE_RULE, i);
    ok &= add(r, RECIPE_ADD_RULE, 0);
    if (!ok)
        qs_app_warn(a, "out of memory");
    r->name_width = 17;
    for (size_t i = 0; i < r->n; i++) {
        struct recipe_texts t;
        recipe_item_texts(d, &r->item[i], &t);
        const int w = (int)qs_utf8_width(t.name, strlen(t.name));
        r->name_width = w > r->name_width ? w : r->name_width;
    }
    r->made = true;
    r->doc_version = d->version;
    qs_list_set(&r->list, r->n, r->list.shown);
    recipe_compare_anew(a);
}

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
        if (r->list.cursor < r->n && r->item[r->list.cursor].kind == RECIPE_GAP) /* nothing to stand on */
            qs_list_move(&r->list,
                         m == QS_LIST_UP || m == QS_LIST_HALF_UP || m == QS_LIST_PAGE_UP ? QS_LIST_UP : QS_LIST_DOWN);
    }
}

static void close_comparison(struct qs_app *a, const char *arg)
{
    struct recipe *r = recipe_of(a);
    (void)arg;
    if (r->compared)
        recipe_forget_comparison(r);
    else
        qs_app_back(a);
}

static bool matches(void *ctx, size_t line)
{
    const struct qs_app_find *f = ctx;
    struct recipe_texts t;
    recipe_item_texts(qs_app_doc(f->app), &recipe_of(f->app)->item[line], &t);
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
    recipe_forget_comparison(r);
    qs_facts_view_free(&r->below);
    qs_free(r->item);
}

static void document(struct qs_app *a)
{
    struct recipe *r = recipe_of(a);
    recipe_forget_comparison(r);
    r->made = false;
    r->n = r->list.cursor = r->list.top = 0;
}

static const struct qs_action actions[] = {
    { .name = "edit", .keys = "Enter e", .brief = "edit", .rank = 2, .help = "edit this line", .run = recipe_edit },
    { .name = "preset", .keys = "p", .arg = QS_ARG_PRESET, .arg_optional = true, .brief = "preset", .rank = 3,
      .help = "choose the preset", .run = recipe_choose_preset },
    { .name = "rule", .keys = "a", .arg = QS_ARG_TEXT, .arg_optional = true, .brief = "rule", .rank = 4,
      .help = "add a rule: REGEX = TYPE", .run = recipe_add_rule },
    { .name = "remove", .keys = "x Delete", .brief = "remove", .rank = 5,
      .help = "remove this pin or rule", .run = recipe_remove },
    { .name = "rule-up", .keys = "K", .help = "this rule before the one above", .run = recipe_rule_up },
    { .name = "rule-down", .keys = "J", .help = "this rule behind the one below", .run = recipe_rule_down },
    { .name = "recipe-save", .keys = "s", .arg = QS_ARG_FILE, .arg_optional = true, .brief = "save", .rank = 6,
      .help = "save the recipe, where it was saved last or in FILE", .run = recipe_save },
    { .name = "recipe-save-as", .arg = QS_ARG_FILE, .help = "save the recipe in a new file", .run = recipe_save_as },
    { .name = "recipe-save!", .arg = QS_ARG_FILE, .help = "save the recipe over a file that exists", .run = recipe_save_over },
    { .name = "recipe-load", .keys = "L", .arg = QS_ARG_FILE, .brief = "load", .rank = 7,
      .help = "load a recipe; one step of undo", .run = recipe_load },
    { .name = "compare", .keys = "c", .arg = QS_ARG_FILE, .brief = "compare", .rank = 8,
      .help = "compare with a recipe file, or with a preset by its name", .run = recipe_compare },
    { .name = "recipe-export", .keys = "X", .arg = QS_ARG_FILE,
      .help = "write the rules as llama-quantize reads them (--tensor-type-file)", .run = recipe_export },
    { .name = "recipe-export!", .arg = QS_ARG_FILE, .help = "the same, over a file that exists", .run = recipe_export_over },
    { .name = "fit", .keys = "f", .arg = QS_ARG_TEXT, .arg_optional = true, .brief = "fit", .rank = 3,
      .help = "find the recipe for a budget: 4.2GiB, 4.5 bpw, fits in 8 GiB with 8k context; one step of undo",
      .run = qs_recipe_fit_ask },
    { .name = "bpw", .arg = QS_ARG_TEXT, .help = "find the recipe for so many bits per weight",
      .run = qs_recipe_fit_bpw },
    { .name = "fit-apply", .help = "take the recipe again that was found last", .run = qs_recipe_fit_apply },
    { .name = "fit-tied", .arg = QS_ARG_WORDS, .arg_optional = true, .words = "on off",
      .help = "give q k v, gate and up, and experts of a layer one type each when a budget is fitted",
      .run = qs_recipe_fit_tie },
    { .name = "fit-prove", .arg = QS_ARG_FILE, .arg_optional = true,
      .help = "measure what was found on held-out text, against presets and uniform types of at most its bytes",
      .run = qs_recipe_fit_prove },
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
    .draw = recipe_draw,
    .move = move,
    .event = event,
    .find = find,
    .poll = qs_recipe_fit_poll,
};
