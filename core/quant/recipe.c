/* recipe.c - recipes: settings, pins and rules in memory.
 *
 * Owns the recipe: its items, and the lines they stood in, so that a saved recipe keeps its comments and its order.
 * Pins and rules are checked on the way in: valid UTF-8 without control characters, types that can be written. Edits
 * are recipe_edit.c, reading and printing text is recipe_text.c, applying to a model recipe_resolve.c, llama.cpp's form
 * recipe_export.c. A recipe belongs to one thread at a time; copies are independent.
 */
#include "core/quant/recipe.h"

#include <string.h>

#include "base/mem.h"
#include "base/near.h"
#include "base/unicode.h"
#include "core/quant/recipe_internal.h"

#define NAME_MAX_BYTES 255
#define PATTERN_MAX_BYTES 2000

/* ---- settings ----------------------------------------------------------------------------------------------- */

const char *qs_recipe_key(enum qs_recipe_setting s)
{
    static const char *const key[QS_SETTINGS] = {
        [QS_SET_PRESET] = "preset",           [QS_SET_PURE] = "pure",
        [QS_SET_LEAVE_OUTPUT] = "leave-output", [QS_SET_STRICT] = "strict",
        [QS_SET_STEADY] = "steady",           [QS_SET_OUTPUT_TYPE] = "output-type",
        [QS_SET_TOKEN_EMBD_TYPE] = "token-embd-type",
    };
    return key[s];
}

static int preset_place(const struct qs_preset *p)
{
    for (size_t i = 0; i < qs_preset_count(); i++)
        if (qs_preset_at(i) == p)
            return (int)i;
    return 0;
}

int qs_recipe_value(const struct qs_recipe *r, enum qs_recipe_setting s)
{
    switch (s) {
    case QS_SET_PRESET:          return preset_place(r->preset);
    case QS_SET_PURE:            return r->pure;
    case QS_SET_LEAVE_OUTPUT:    return r->leave_output;
    case QS_SET_STRICT:          return r->strict;
    case QS_SET_STEADY:          return r->steady;
    case QS_SET_OUTPUT_TYPE:     return r->output_type;
    case QS_SET_TOKEN_EMBD_TYPE: return r->token_embd_type;
    case QS_SETTINGS:            break;
    }
    return 0;
}

void qs_recipe_set(struct qs_recipe *r, enum qs_recipe_setting s, int value)
{
    switch (s) {
    case QS_SET_PRESET:          r->preset = qs_preset_at((size_t)value); break;
    case QS_SET_PURE:            r->pure = value; break;
    case QS_SET_LEAVE_OUTPUT:    r->leave_output = value; break;
    case QS_SET_STRICT:          r->strict = value; break;
    case QS_SET_STEADY:          r->steady = value; break;
    case QS_SET_OUTPUT_TYPE:     r->output_type = value; break;
    case QS_SET_TOKEN_EMBD_TYPE: r->token_embd_type = value; break;
    case QS_SETTINGS:            break;
    }
}

int qs_recipe_default(enum qs_recipe_setting s)
{
    if (s == QS_SET_PRESET)
        return preset_place(qs_preset_by_name(QS_PRESET_DEFAULT));
    return s == QS_SET_OUTPUT_TYPE || s == QS_SET_TOKEN_EMBD_TYPE ? QS_TYPE_NONE : 0;
}

const char *qs_recipe_contradiction(const struct qs_recipe *r, enum qs_recipe_setting *a, enum qs_recipe_setting *b)
{
    if (r->leave_output && r->output_type != QS_TYPE_NONE) {
        *a = QS_SET_LEAVE_OUTPUT;
        *b = QS_SET_OUTPUT_TYPE;
        return "leave-output keeps the output tensor as it is, output-type gives it another type";
    }
    if (r->pure && r->preset->base == QS_TYPE_NONE) {
        *a = QS_SET_PRESET;
        *b = QS_SET_PURE;
        return "pure gives every tensor the preset's base type, and this preset has none";
    }
    return NULL;
}

/* ---- names of types and presets ----------------------------------------------------------------------------- */

int qs_recipe_type(const char *name, int *type, struct qs_err *e)
{
    const struct qs_format *f = qs_format_by_name(name);
    char near_text[160];
    if (f && (f->flags & (QS_NO_ENCODE | QS_INTERNAL) || f->kind == QS_KIND_INT))
        return qs_fail(e, QS_EINVAL, "tensors cannot be written as %s", f->name);
    if (f) {
        *type = f->id;
        return QS_OK;
    }
    struct qs_near near;
    qs_near_start(&near, name);
    for (size_t i = 0; i < qs_format_count(); i++)
        if (!(qs_format_at(i)->flags & (QS_NO_ENCODE | QS_INTERNAL)))
            qs_near_try(&near, qs_format_at(i)->name);
    if (qs_preset_by_name(name) && name[0] > '9')
        return qs_fail(e, QS_EINVAL, "%.40s is a preset, not a type; a tensor has one type, such as %s", name,
                       qs_format_by_id(qs_preset_by_name(name)->base)
                           ? qs_format_by_id(qs_preset_by_name(name)->base)->name
                           : "Q4_K");
    return qs_fail(e, QS_EINVAL, "unknown type \"%.40s\"%s", name, qs_near_text(&near, near_text, sizeof near_text));
}

int qs_recipe_preset(const char *name, const struct qs_preset **out, struct qs_err *e)
{
    const struct qs_preset *p = qs_preset_by_name(name);
    char near_text[160];
    if (p) {
        *out = p;
        return QS_OK;
    }
    struct qs_near near;
    qs_near_start(&near, name);
    for (size_t i = 0; i < qs_preset_count(); i++)
        qs_near_try(&near, qs_preset_at(i)->name);
    return qs_fail(e, QS_EINVAL, "unknown preset \"%.40s\"%s", name, qs_near_text(&near, near_text, sizeof near_text));
}

/* ---- making and freeing ------------------------------------------------------------------------------------- */

struct qs_recipe *qs_recipe_empty(void)
{
    struct qs_recipe *r = qs_calloc(1, sizeof *r);
    if (r)
        for (int s = 0; s < QS_SETTINGS; s++)
            qs_recipe_set(r, (enum qs_recipe_setting)s, qs_recipe_default((enum qs_recipe_setting)s));
    return r;
}

int qs_recipe_new(const char *preset, struct qs_recipe **out, struct qs_err *e)
{
    const struct qs_preset *p = NULL;
    int rc = qs_recipe_preset(preset ? preset : QS_PRESET_DEFAULT, &p, e);
    if (rc)
        return rc;
    struct qs_recipe *r = qs_recipe_empty();
    if (!r)
        return qs_fail_mem(e, sizeof *r, "a recipe");
    r->preset = p;
    const struct qs_recipe_line line = { .kind = QS_LINE_SETTING, .setting = QS_SET_PRESET };
    rc = qs_recipe_insert_line(r, 0, &line, e);
    if (rc)
        qs_recipe_free(r);
    else
        *out = r;
    return rc;
}

const char *qs_recipe_name(const struct qs_recipe *r)
{
    return r->name ? r->name : "recipe";
}

void qs_recipe_free(struct qs_recipe *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n_pins; i++)
        qs_free(r->pin[i].pattern);
    for (size_t i = 0; i < r->n_rules; i++)
        qs_free(r->rule[i].pattern);
    for (size_t i = 0; i < r->n_lines; i++) {
        qs_free(r->text[i].raw);
        qs_free(r->text[i].comment);
    }
    qs_free(r->pin);
    qs_free(r->rule);
    qs_free(r->text);
    qs_free(r->name);
    qs_free(r);
}

int qs_recipe_copy(const struct qs_recipe *r, struct qs_recipe **out, struct qs_err *e)
{
    struct qs_recipe *c = qs_recipe_empty();
    int rc = QS_OK;
    if (!c)
        return qs_fail_mem(e, sizeof *c, "a recipe");
    if (r->name && !(c->name = qs_strdup(r->name)))
        rc = qs_fail_mem(e, strlen(r->name), "a recipe");
    if (!rc)
        rc = qs_recipe_reserve(c, r->n_pins, r->n_rules, r->n_lines, e);
    for (int s = 0; s < QS_SETTINGS; s++)
        qs_recipe_set(c, (enum qs_recipe_setting)s, qs_recipe_value(r, (enum qs_recipe_setting)s));
    for (size_t i = 0; i < r->n_pins && !rc; i++)
        rc = qs_recipe_add_item(c, true, r->pin[i].pattern, strlen(r->pin[i].pattern), r->pin[i].type, r->pin[i].line,
                                e);
    for (size_t i = 0; i < r->n_rules && !rc; i++)
        rc = qs_recipe_add_item(c, false, r->rule[i].pattern, strlen(r->rule[i].pattern), r->rule[i].type,
                                r->rule[i].line, e);
    for (size_t i = 0; i < r->n_lines && !rc; i++)
        rc = qs_recipe_insert_line(c, i, &r->text[i], e);
    if (rc)
        qs_recipe_free(c);
    else
        *out = c;
    return rc;
}

/* ---- items and lines ---------------------------------------------------------------------------------------- */

int qs_recipe_check_pattern(bool pin, const char *pattern, size_t n, struct qs_err *e)
{
    const char *what = pin ? "tensor name" : "regular expression";
    size_t bad = qs_utf8_invalid_at(pattern, n);
    if (n == 0)
        return qs_fail(e, QS_EINVAL, "an empty %s", what);
    if (bad < n)
        return qs_fail(e, QS_EINVAL, "the %s is no valid UTF-8 at byte %zu", what, bad + 1);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)pattern[i];
        bool c1 = c == 0xc2 && (unsigned char)pattern[i + 1] < 0xa0; /* valid UTF-8: a byte follows */
        if ((c < 0x20 && c != '\t') || c == 0x7f || c1)
            return qs_fail(e, QS_EINVAL, "a control character (%u) in the %s", c, what);
    }
    if (n > (pin ? NAME_MAX_BYTES : PATTERN_MAX_BYTES))
        return qs_fail(e, QS_ELIMIT, "a %s of %zu bytes; at most %u are taken", what, n,
                       pin ? NAME_MAX_BYTES : PATTERN_MAX_BYTES);
    return QS_OK;
}

int qs_recipe_reserve(struct qs_recipe *r, size_t pins, size_t rules, size_t lines, struct qs_err *e)
{
    const size_t n_pins = r->n_pins + pins, n_rules = r->n_rules + rules, n_lines = r->n_lines + lines;
    if (n_pins > QS_RECIPE_ITEMS_MAX || n_rules > QS_RECIPE_ITEMS_MAX)
        return qs_fail(e, QS_ELIMIT, "more than %d %s", QS_RECIPE_ITEMS_MAX,
                       n_pins > QS_RECIPE_ITEMS_MAX ? "pins" : "rules");
    if ((pins && !qs_grow(&r->pin, &r->cap_pins, n_pins, sizeof *r->pin)) ||
        (rules && !qs_grow(&r->rule, &r->cap_rules, n_rules, sizeof *r->rule)) ||
        (lines && !qs_grow(&r->text, &r->cap_lines, n_lines, sizeof *r->text)))
        return qs_fail_mem(e, n_pins * sizeof *r->pin + n_rules * sizeof *r->rule + n_lines * sizeof *r->text,
                           "the recipe");
    return QS_OK;
}

int qs_recipe_add_item(struct qs_recipe *r, bool pin, const char *pattern, size_t n, int type, unsigned line,
                       struct qs_err *e)
{
    const int rc = qs_recipe_reserve(r, pin, !pin, 0, e);
    if (rc)
        return rc;
    const struct qs_recipe_item item = { qs_strndup(pattern, n), type, line };
    if (!item.pattern)
        return qs_fail_mem(e, n + 1, "the recipe");
    if (pin)
        r->pin[r->n_pins++] = item;
    else
        r->rule[r->n_rules++] = item;
    return QS_OK;
}

int qs_recipe_insert_line(struct qs_recipe *r, size_t at, const struct qs_recipe_line *line, struct qs_err *e)
{
    struct qs_recipe_line copy = *line;
    const int rc = qs_recipe_reserve(r, 0, 0, 1, e);
    if (rc)
        return rc;
    copy.raw = line->raw ? qs_strdup(line->raw) : NULL;
    copy.comment = line->comment ? qs_strdup(line->comment) : NULL;
    if ((line->raw && !copy.raw) || (line->comment && !copy.comment)) {
        qs_free(copy.raw);
        qs_free(copy.comment);
        return qs_fail_mem(e, 0, "the recipe");
    }
    memmove(r->text + at + 1, r->text + at, (r->n_lines - at) * sizeof *r->text);
    r->text[at] = copy;
    r->n_lines++;
    return QS_OK;
}
