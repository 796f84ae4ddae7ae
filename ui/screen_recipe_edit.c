/* screen_recipe_edit.c - changes of the recipe, each one step of undo: preset, settings, pins, rules and their order. */
#include <stdio.h>
#include <string.h>

#include "ui/edit.h"
#include "ui/recipe.h"

/* Of the recipe as it is now: an edit may not have been drawn yet. */
static const struct recipe_item *here(struct qs_app *a)
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

void recipe_choose_preset(struct qs_app *a, const char *arg)
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

static void set_flag(struct qs_app *a, enum recipe_line kind)
{
    struct qs_err e = QS_ERR_INIT;
    char label[64];
    struct qs_recipe *r = qs_workbench_edit(qs_app_bench(a), &e);
    if (!r) {
        qs_app_fail(a, &e);
        return;
    }
    const enum qs_recipe_setting flag = kind == RECIPE_PURE ? QS_SET_PURE : kind == RECIPE_LEAVE_OUTPUT ? QS_SET_LEAVE_OUTPUT
                                        : kind == RECIPE_STRICT ? QS_SET_STRICT : QS_SET_STEADY;
    const bool on = !recipe_flag(r, kind);
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
             recipe_type_or(type, "as the preset says"));
    if (!r)
        qs_app_fail(a, &e);
    else
        commit(a, qs_recipe_set_option(r, output ? QS_SET_OUTPUT_TYPE : QS_SET_TOKEN_EMBD_TYPE, type, &e), &e, label);
}

static void typed_pin(struct qs_app *a, const char *text, void *ctx)
{
    const struct recipe_item *it = here(a);
    struct qs_err e = QS_ERR_INIT;
    char label[320];
    int type;
    (void)ctx;
    if (!it || it->kind != RECIPE_PIN)
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
    snprintf(label, sizeof label, "%s = %s", name, recipe_type_or(type, "as rules and preset say"));
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

void recipe_edit(struct qs_app *a, const char *arg)
{
    static char yes[] = "output";
    const struct recipe_item *it = here(a);
    (void)arg;
    if (!it)
        return;
    switch (it->kind) {
    case RECIPE_PRESET: recipe_choose_preset(a, NULL); break;
    case RECIPE_PURE: case RECIPE_LEAVE_OUTPUT: case RECIPE_STRICT: case RECIPE_STEADY: set_flag(a, it->kind); break;
    case RECIPE_OUTPUT_TYPE: qs_app_prompt(a, "output-type (- for none): ", NULL, QS_ARG_TYPE, NULL, typed_option, yes); break;
    case RECIPE_EMBD_TYPE:
        qs_app_prompt(a, "token-embd-type (- for none): ", NULL, QS_ARG_TYPE, NULL, typed_option, NULL);
        break;
    case RECIPE_PIN: qs_app_prompt(a, "type (- removes the pin): ", NULL, QS_ARG_TYPE, NULL, typed_pin, NULL); break;
    case RECIPE_RULE: ask_rule(a, it->index); break;
    case RECIPE_ADD_RULE: ask_rule(a, (size_t)-1); break;
    case RECIPE_GAP: break;
    }
}

void recipe_add_rule(struct qs_app *a, const char *arg)
{
    recipe_of(a)->editing = (size_t)-1;
    if (arg)
        typed_rule(a, arg, NULL);
    else
        ask_rule(a, (size_t)-1);
}

void recipe_remove(struct qs_app *a, const char *arg)
{
    const struct recipe_item *it = here(a);
    struct qs_err e = QS_ERR_INIT;
    char label[64];
    (void)arg;
    if (it && it->kind == RECIPE_PIN) {
        typed_pin(a, "-", NULL);
        return;
    }
    if (!it || it->kind != RECIPE_RULE) {
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
    const struct recipe_item *it = here(a);
    struct qs_err e = QS_ERR_INIT;
    char label[64];
    if (!it || it->kind != RECIPE_RULE) {
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

void recipe_rule_up(struct qs_app *a, const char *arg) { (void)arg; move_rule(a, -1); }
void recipe_rule_down(struct qs_app *a, const char *arg) { (void)arg; move_rule(a, 1); }
