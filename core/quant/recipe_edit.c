/* recipe_edit.c - edits of a recipe: settings, pins, rules, each with the line it stands in.
 *
 * Owns nothing. Everything that can fail (checks, memory) comes before the first change, so that a refused edit leaves
 * the recipe as it was. Keeps two promises to the printer: every item has one line, and rules (pins too) stand in the
 * file in the order of their indices. One thread at a time per recipe.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/regex.h"
#include "core/quant/recipe_internal.h"

/* ---- what may go in ----------------------------------------------------------------------------------------- */

int qs_recipe_check_item(bool pin, const char *pattern, size_t n, struct qs_err *e)
{
    int rc = qs_recipe_check_pattern(pin, pattern, n, e);
    if (rc || pin)
        return rc;
    struct qs_regex *re = NULL;
    rc = qs_regex_compile(pattern, 0, &re, e);
    qs_regex_free(re);
    return rc;
}

static int check_type(int type, struct qs_err *e)
{
    const struct qs_format *f = qs_format_by_id(type);
    int ignored;
    if (!f)
        return qs_fail(e, QS_EINVAL, "unknown type number %d", type);
    return qs_recipe_type(f->name, &ignored, e);
}

static int check_rule(const char *regex, int type, struct qs_err *e)
{
    const int rc = qs_recipe_check_item(false, regex, strlen(regex), e);
    return rc ? rc : check_type(type, e);
}

static int check_index(const struct qs_recipe *r, size_t at, struct qs_err *e)
{
    return at < r->n_rules ? QS_OK
                           : qs_fail(e, QS_EINVAL, "there is no rule %zu: the recipe has %zu", at + 1, r->n_rules);
}

/* ---- settings ----------------------------------------------------------------------------------------------- */

static int check_value(enum qs_recipe_setting s, int *value, struct qs_err *e)
{
    switch (s) {
    case QS_SET_PRESET:
        return *value >= 0 && (size_t)*value < qs_preset_count() ? QS_OK
                                                                 : qs_fail(e, QS_EINVAL, "there is no preset %d",
                                                                           *value);
    case QS_SET_OUTPUT_TYPE:
    case QS_SET_TOKEN_EMBD_TYPE:
        return *value == QS_TYPE_NONE ? QS_OK : check_type(*value, e);
    case QS_SET_PURE:
    case QS_SET_LEAVE_OUTPUT:
    case QS_SET_STRICT:
    case QS_SET_STEADY:
        *value = *value != 0;
        return QS_OK;
    case QS_SETTINGS:
        break;
    }
    return qs_fail(e, QS_EINVAL, "there is no setting %d", (int)s);
}

int qs_recipe_set_option(struct qs_recipe *r, enum qs_recipe_setting s, int value, struct qs_err *e)
{
    struct qs_recipe then = *r; /* looked at, never freed */
    enum qs_recipe_setting a, b;
    const int rc = check_value(s, &value, e);
    if (rc)
        return rc;
    qs_recipe_set(&then, s, value);
    const char *why = qs_recipe_contradiction(&then, &a, &b);
    if (why)
        return qs_fail(e, QS_EINVAL, "%s: they exclude each other", why);
    qs_recipe_set(r, s, value);
    return QS_OK;
}

int qs_recipe_set_preset(struct qs_recipe *r, const char *name, struct qs_err *e)
{
    const struct qs_preset *p = NULL;
    const int rc = qs_recipe_preset(name, &p, e);
    if (rc)
        return rc;
    int at = 0;
    while (qs_preset_at((size_t)at) != p)
        at++;
    return qs_recipe_set_option(r, QS_SET_PRESET, at, e);
}

/* ---- pins --------------------------------------------------------------------------------------------------- */

struct wish { /* what is asked for one tensor */
    const char *tensor;
    int type;
    size_t at;   /* in the caller's list */
    bool met;    /* there was a pin of this name */
    char *copy;  /* of the name, for a new pin */
};

static int by_name(const void *va, const void *vb)
{
    const struct wish *a = va, *b = vb;
    const int d = strcmp(a->tensor, b->tensor);
    return d ? d : a->at < b->at ? -1 : a->at > b->at;
}

static int by_name_alone(const void *va, const void *vb)
{
    const struct wish *a = va, *b = vb;
    return strcmp(a->tensor, b->tensor);
}

static int by_place(const void *va, const void *vb)
{
    const struct wish *a = va, *b = vb;
    return a->at < b->at ? -1 : a->at > b->at;
}

static int check_pins(const struct qs_pin *pin, size_t n, struct qs_err *e)
{
    for (size_t i = 0; i < n; i++) {
        int rc = qs_recipe_check_pattern(true, pin[i].tensor, strlen(pin[i].tensor), e);
        if (!rc && pin[i].type != QS_TYPE_NONE)
            rc = check_type(pin[i].type, e);
        if (rc)
            return rc;
    }
    return QS_OK;
}

/* The list by name, of each name the last; *n: how many are left. NULL: memory is out. */
static struct wish *sort_wishes(const struct qs_pin *pin, size_t *n)
{
    struct wish *w = qs_calloc(*n ? *n : 1, sizeof *w);
    size_t keep = 0;
    if (!w)
        return NULL;
    for (size_t i = 0; i < *n; i++)
        w[i] = (struct wish){ .tensor = pin[i].tensor, .type = pin[i].type, .at = i };
    qsort(w, *n, sizeof *w, by_name);
    for (size_t i = 0; i < *n; i++)
        if (i + 1 == *n || strcmp(w[i].tensor, w[i + 1].tensor) != 0)
            w[keep++] = w[i];
    *n = keep;
    return w;
}

static struct wish *wish_for(struct wish *w, size_t n, const char *tensor)
{
    const struct wish key = { .tensor = tensor };
    return n ? bsearch(&key, w, n, sizeof *w, by_name_alone) : NULL;
}

/* The place after the last pin's line; without one, before the first rule's, or the end. */
static size_t pin_place(const struct qs_recipe *r)
{
    size_t after = 0, first = r->n_lines;
    for (size_t i = 0; i < r->n_lines; i++) {
        if (r->text[i].kind == QS_LINE_PIN)
            after = i + 1;
        if (r->text[i].kind == QS_LINE_RULE && first == r->n_lines)
            first = i;
    }
    return after ? after : first;
}

static void free_line(struct qs_recipe_line *l)
{
    qs_free(l->raw);
    qs_free(l->comment);
}

/* Changes and removes the pins there are; `now` (one per pin) becomes their new index, SIZE_MAX: none. */
static void change_pins(struct qs_recipe *r, struct wish *w, size_t n, size_t *now)
{
    size_t keep = 0;
    for (size_t i = 0; i < r->n_pins; i++) {
        const struct wish *x = wish_for(w, n, r->pin[i].pattern);
        now[i] = SIZE_MAX;
        if (x && x->type == QS_TYPE_NONE) {
            qs_free(r->pin[i].pattern);
            continue;
        }
        if (x && x->type != r->pin[i].type) {
            r->pin[i].type = x->type;
            r->pin[i].line = 0; /* no longer what that line says */
        }
        now[i] = keep;
        r->pin[keep++] = r->pin[i];
    }
    r->n_pins = keep;
}

/* Takes out the lines of pins that are gone; returns where `place` lies then. */
static size_t drop_pin_lines(struct qs_recipe *r, const size_t *now, size_t place)
{
    size_t keep = 0, at = place;
    for (size_t i = 0; i < r->n_lines; i++) {
        struct qs_recipe_line l = r->text[i];
        if (i == place)
            at = keep;
        if (l.kind == QS_LINE_PIN && now[l.item] == SIZE_MAX) {
            free_line(&l);
            continue;
        }
        if (l.kind == QS_LINE_PIN)
            l.item = now[l.item];
        r->text[keep++] = l;
    }
    if (place == r->n_lines)
        at = keep;
    r->n_lines = keep;
    return at;
}

/* Room is there already. */
static void add_pins(struct qs_recipe *r, struct wish *w, size_t n, size_t added, size_t place)
{
    qsort(w, n, sizeof *w, by_place);
    memmove(r->text + place + added, r->text + place, (r->n_lines - place) * sizeof *r->text);
    r->n_lines += added;
    for (size_t i = 0; i < n; i++) {
        if (!w[i].copy)
            continue;
        r->text[place++] = (struct qs_recipe_line){ .kind = QS_LINE_PIN, .item = r->n_pins };
        r->pin[r->n_pins++] = (struct qs_recipe_item){ w[i].copy, w[i].type, 0 };
    }
}

/* Marks what is met, copies the names of new pins; *added: how many these are. */
static int prepare_pins(struct qs_recipe *r, struct wish *w, size_t n, size_t *added, struct qs_err *e)
{
    *added = 0;
    for (size_t i = 0; i < r->n_pins; i++) {
        struct wish *x = wish_for(w, n, r->pin[i].pattern);
        if (x)
            x->met = true;
    }
    for (size_t i = 0; i < n; i++) {
        if (w[i].met || w[i].type == QS_TYPE_NONE)
            continue;
        w[i].copy = qs_strdup(w[i].tensor);
        if (!w[i].copy)
            return qs_fail_mem(e, strlen(w[i].tensor) + 1, "the recipe");
        ++*added;
    }
    return qs_recipe_reserve(r, *added, 0, *added, e);
}

int qs_recipe_pin_all(struct qs_recipe *r, const struct qs_pin *pin, size_t n, struct qs_err *e)
{
    size_t added = 0;
    int rc = check_pins(pin, n, e);
    if (rc)
        return rc;
    struct wish *w = sort_wishes(pin, &n);
    size_t *now = qs_calloc(r->n_pins + 1, sizeof *now);
    rc = w && now ? prepare_pins(r, w, n, &added, e) : qs_fail_mem(e, n * sizeof *w + r->n_pins * sizeof *now,
                                                                   "the pins");
    if (!rc) {
        const size_t place = pin_place(r);
        change_pins(r, w, n, now);
        add_pins(r, w, n, added, drop_pin_lines(r, now, place));
    }
    for (size_t i = 0; rc && w && i < n; i++)
        qs_free(w[i].copy);
    qs_free(w);
    qs_free(now);
    return rc;
}

int qs_recipe_pin(struct qs_recipe *r, const char *tensor, int type, struct qs_err *e)
{
    const struct qs_pin one = { tensor, type };
    return qs_recipe_pin_all(r, &one, 1, e);
}

/* ---- rules -------------------------------------------------------------------------------------------------- */

static size_t rule_line(const struct qs_recipe *r, size_t at)
{
    size_t i = 0;
    while (r->text[i].kind != QS_LINE_RULE || r->text[i].item != at)
        i++;
    return i;
}

/* Where the line of a new rule `at` goes: behind that of the rule before it, so that a comment stays above the rule it
 * was written for. */
static size_t rule_place(const struct qs_recipe *r, size_t at)
{
    if (at > 0)
        return rule_line(r, at - 1) + 1;
    return r->n_rules ? rule_line(r, 0) : r->n_lines;
}

/* Rules stand in the file in the order of their indices. */
static void number_rules(struct qs_recipe *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_lines; i++)
        if (r->text[i].kind == QS_LINE_RULE)
            r->text[i].item = n++;
}

static void move_item(struct qs_recipe_item *v, size_t from, size_t to)
{
    const struct qs_recipe_item item = v[from];
    if (from < to)
        memmove(v + from, v + from + 1, (to - from) * sizeof *v);
    else
        memmove(v + to + 1, v + to, (from - to) * sizeof *v);
    v[to] = item;
}

int qs_recipe_insert_rule(struct qs_recipe *r, size_t at, const char *regex, int type, struct qs_err *e)
{
    const struct qs_recipe_line line = { .kind = QS_LINE_RULE };
    int rc = at == r->n_rules ? QS_OK : check_index(r, at, e);
    if (!rc)
        rc = check_rule(regex, type, e);
    if (rc)
        return rc;
    const size_t place = at == r->n_rules ? r->n_lines : rule_place(r, at);
    rc = qs_recipe_add_item(r, false, regex, strlen(regex), type, 0, e);
    if (rc)
        return rc;
    rc = qs_recipe_insert_line(r, place, &line, e);
    if (rc) { /* as if nothing had happened */
        qs_free(r->rule[--r->n_rules].pattern);
        return rc;
    }
    move_item(r->rule, r->n_rules - 1, at);
    number_rules(r);
    return QS_OK;
}

int qs_recipe_add_rule(struct qs_recipe *r, const char *regex, int type, struct qs_err *e)
{
    return qs_recipe_insert_rule(r, r->n_rules, regex, type, e);
}

int qs_recipe_replace_rule(struct qs_recipe *r, size_t at, const char *regex, int type, struct qs_err *e)
{
    int rc = check_index(r, at, e);
    if (!rc)
        rc = check_rule(regex, type, e);
    if (rc)
        return rc;
    struct qs_recipe_item *item = &r->rule[at];
    const bool same = strcmp(item->pattern, regex) == 0;
    char *pattern = same ? NULL : qs_strdup(regex);
    if (!same && !pattern)
        return qs_fail_mem(e, strlen(regex) + 1, "the recipe");
    if (!same || item->type != type)
        item->line = 0;
    item->type = type;
    if (same)
        return QS_OK;
    qs_free(item->pattern);
    item->pattern = pattern;
    struct qs_recipe_line *l = &r->text[rule_line(r, at)];
    qs_free(l->raw);
    l->raw = NULL;
    return QS_OK;
}

int qs_recipe_remove_rule(struct qs_recipe *r, size_t at, struct qs_err *e)
{
    const int rc = check_index(r, at, e);
    if (rc)
        return rc;
    const size_t l = rule_line(r, at);
    free_line(&r->text[l]);
    memmove(r->text + l, r->text + l + 1, (r->n_lines - l - 1) * sizeof *r->text);
    r->n_lines--;
    qs_free(r->rule[at].pattern);
    memmove(r->rule + at, r->rule + at + 1, (r->n_rules - at - 1) * sizeof *r->rule);
    r->n_rules--;
    number_rules(r);
    return QS_OK;
}

int qs_recipe_move_rule(struct qs_recipe *r, size_t from, size_t to, struct qs_err *e)
{
    int rc = check_index(r, from, e);
    if (!rc)
        rc = check_index(r, to, e);
    if (rc || from == to)
        return rc;
    /* Moving down the line goes behind the one whose place is taken, moving up before it: with it, in both cases, go no
     * comments of others. */
    const size_t old = rule_line(r, from);
    const size_t place = from < to ? rule_line(r, to) : rule_place(r, to);
    const struct qs_recipe_line line = r->text[old];
    if (old < place)
        memmove(r->text + old, r->text + old + 1, (place - old) * sizeof *r->text);
    else
        memmove(r->text + place + 1, r->text + place, (old - place) * sizeof *r->text);
    r->text[place] = line;
    move_item(r->rule, from, to);
    number_rules(r);
    return QS_OK;
}
