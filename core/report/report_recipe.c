/* report_recipe.c - recipes as tables. Owns nothing; the report owns copies of all strings. Any thread. */
#include "core/report/report_recipe.h"

#include <string.h>

static const char *type_or_preset(int type)
{
    return type == QS_TYPE_NONE ? "as the preset" : qs_type_name(type);
}

/* ---- one recipe --------------------------------------------------------------------------------------------- */

static const struct qs_column item_columns[] = {
    { .key = "order", .title = "#" },
    { .key = "kind", .title = "kind", .left = true },
    { .key = "pattern", .title = "tensor or pattern", .left = true },
    { .key = "type", .title = "type", .left = true },
    { .key = "line", .title = "line", .optional = true },
    { .key = "matched", .title = "matches", .unit = QS_UNIT_COUNT },
    { .key = "decided", .title = "decides", .unit = QS_UNIT_COUNT },
};
enum { I_ORDER, I_KIND, I_PATTERN, I_TYPE, I_LINE, I_MATCHED, I_DECIDED };

static void add_settings(struct qs_report *rep, const struct qs_recipe *r)
{
    struct qs_section *s = qs_report_facts(rep, "settings", "Settings");
    qs_fact_str(s, "preset", "preset", r->preset->name);
    qs_fact_str(s, "about", "which is", r->preset->about);
    qs_fact_bool(s, "pure", "pure", r->pure);
    qs_fact_str(s, "output_type", "output type", type_or_preset(r->output_type));
    qs_fact_str(s, "token_embd_type", "token embedding type", type_or_preset(r->token_embd_type));
    qs_fact_bool(s, "leave_output", "output left as it is", r->leave_output);
    qs_fact_bool(s, "strict", "strict", r->strict);
    qs_fact_bool(s, "steady", "steady", r->steady);
}

static void add_items(struct qs_report *rep, const struct qs_recipe *r, const struct qs_resolved *x)
{
    size_t columns = sizeof item_columns / sizeof *item_columns - (x ? 0 : 2);
    struct qs_section *s = qs_report_table(rep, "items", "Pins and rules, first match wins", item_columns, columns);
    for (size_t i = 0; i < r->n_pins + r->n_rules; i++) {
        bool pin = i < r->n_pins;
        const struct qs_recipe_item *item = pin ? &r->pin[i] : &r->rule[i - r->n_pins];
        qs_row(s);
        qs_cell_int(s, I_ORDER, (int64_t)i + 1);
        qs_cell_str(s, I_KIND, pin ? "pin" : "rule");
        qs_cell_str(s, I_PATTERN, item->pattern);
        qs_cell_str(s, I_TYPE, qs_type_name(item->type));
        if (item->line)
            qs_cell_int(s, I_LINE, item->line);
        if (x) {
            qs_cell_int(s, I_MATCHED, x->match[i].matched);
            qs_cell_int(s, I_DECIDED, x->match[i].decided);
        }
    }
}

struct qs_report *qs_report_recipe(const struct qs_recipe *r)
{
    struct qs_report *rep = qs_report_new("recipe");
    if (!rep)
        return NULL;
    add_settings(rep, r);
    add_items(rep, r, NULL);
    return rep;
}

static const struct qs_column tensor_columns[] = {
    { .key = "name", .title = "tensor", .left = true },
    { .key = "from", .title = "from", .left = true },
    { .key = "to", .title = "to", .left = true },
    { .key = "why", .title = "why", .left = true },
    { .key = "item", .title = "#" },
    { .key = "reason", .title = "reason", .left = true },
};

struct qs_report *qs_report_recipe_resolved(const struct qs_recipe *r, const struct qs_model *m,
                                            const struct qs_resolved *x)
{
    struct qs_report *rep = qs_report_new("recipe_resolve");
    if (!rep)
        return NULL;
    add_settings(rep, r);
    add_items(rep, r, x);
    struct qs_section *shifted = qs_report_facts(rep, "shifted", "Moved by the count of the preset");
    qs_fact_int(shifted, "tensors", "tensors", (int64_t)x->n_shifted, QS_UNIT_COUNT);
    qs_fact_str(shifted, "first", "first", x->shifted ? x->shifted->name : NULL);
    if (x->n_shifted)
        qs_section_note(shifted, "%s", x->shift_text);
    struct qs_section *s = qs_report_table(rep, "tensors", "Tensors", tensor_columns,
                                           sizeof tensor_columns / sizeof *tensor_columns);
    for (size_t i = 0; i < x->n_tensors; i++) {
        qs_row(s);
        qs_cell_str(s, 0, m->tensor[i].name);
        qs_cell_str(s, 1, qs_type_name(m->tensor[i].type));
        qs_cell_str(s, 2, qs_type_name(x->choice[i].type));
        qs_cell_str(s, 3, qs_why_name(x->choice[i].why));
        if (x->by[i] >= 0)
            qs_cell_int(s, 4, x->by[i] + 1);
        qs_cell_str(s, 5, x->choice[i].reason);
    }
    return rep;
}

/* ---- two recipes -------------------------------------------------------------------------------------------- */

static const struct qs_column change_columns[] = {
    { .key = "what", .title = "what", .left = true },
    { .key = "pattern", .title = "tensor or pattern", .left = true },
    { .key = "a", .title = "A", .left = true },
    { .key = "b", .title = "B", .left = true },
};

static const struct qs_column changed_tensors[] = {
    { .key = "name", .title = "tensor", .left = true },
    { .key = "a", .title = "A", .left = true },
    { .key = "b", .title = "B", .left = true },
    { .key = "bytes_a", .title = "size A", .unit = QS_UNIT_BYTES },
    { .key = "bytes_b", .title = "size B", .unit = QS_UNIT_BYTES },
    { .key = "delta", .title = "B - A", .unit = QS_UNIT_COUNT },
};

static void change(struct qs_section *s, const char *what, const char *pattern, const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return;
    qs_row(s);
    qs_cell_str(s, 0, what);
    qs_cell_str(s, 1, pattern);
    qs_cell_str(s, 2, a);
    qs_cell_str(s, 3, b);
}

static const char *yes_no(bool v)
{
    return v ? "yes" : "no";
}

static const struct qs_recipe_item *find_item(const struct qs_recipe_item *list, size_t n, const char *pattern)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].pattern, pattern) == 0)
            return &list[i];
    return NULL;
}

static void diff_items(struct qs_section *s, const char *what, const struct qs_recipe_item *a, size_t na,
                       const struct qs_recipe_item *b, size_t nb)
{
    for (size_t i = 0; i < na; i++) {
        const struct qs_recipe_item *other = find_item(b, nb, a[i].pattern);
        change(s, what, a[i].pattern, qs_type_name(a[i].type), other ? qs_type_name(other->type) : "-");
    }
    for (size_t i = 0; i < nb; i++)
        if (!find_item(a, na, b[i].pattern))
            change(s, what, b[i].pattern, "-", qs_type_name(b[i].type));
}

/* Rules in another order decide otherwise even when each of them is in both recipes. */
static bool order_differs(const struct qs_recipe *a, const struct qs_recipe *b)
{
    size_t j = 0;
    for (size_t i = 0; i < a->n_rules; i++) {
        const struct qs_recipe_item *other = find_item(b->rule, b->n_rules, a->rule[i].pattern);
        if (!other)
            continue;
        if ((size_t)(other - b->rule) < j)
            return true;
        j = (size_t)(other - b->rule);
    }
    return false;
}

static size_t diff_text(struct qs_report *rep, const struct qs_recipe *a, const struct qs_recipe *b)
{
    struct qs_section *s = qs_report_table(rep, "changes", "What differs", change_columns,
                                           sizeof change_columns / sizeof *change_columns);
    change(s, "setting", "preset", a->preset->name, b->preset->name);
    change(s, "setting", "pure", yes_no(a->pure), yes_no(b->pure));
    change(s, "setting", "output-type", type_or_preset(a->output_type), type_or_preset(b->output_type));
    change(s, "setting", "token-embd-type", type_or_preset(a->token_embd_type), type_or_preset(b->token_embd_type));
    change(s, "setting", "leave-output", yes_no(a->leave_output), yes_no(b->leave_output));
    change(s, "setting", "strict", yes_no(a->strict), yes_no(b->strict));
    change(s, "setting", "steady", yes_no(a->steady), yes_no(b->steady));
    diff_items(s, "pin", a->pin, a->n_pins, b->pin, b->n_pins);
    diff_items(s, "rule", a->rule, a->n_rules, b->rule, b->n_rules);
    if (order_differs(a, b))
        change(s, "order of rules", "", "A", "B");
    return qs_section_rows(s);
}

static size_t diff_tensors(struct qs_report *rep, const struct qs_model *m, const struct qs_resolved *xa,
                           const struct qs_resolved *xb)
{
    uint64_t sum_a = 0, sum_b = 0;
    struct qs_section *facts = qs_report_facts(rep, "totals", "Totals");
    struct qs_section *s = qs_report_table(rep, "tensors", "Tensors of another type", changed_tensors,
                                           sizeof changed_tensors / sizeof *changed_tensors);
    for (size_t i = 0; i < m->n_tensors; i++) {
        int a = xa->choice[i].type, b = xb->choice[i].type;
        uint64_t bytes_a = qs_tensor_bytes_as(&m->tensor[i], a), bytes_b = qs_tensor_bytes_as(&m->tensor[i], b);
        sum_a += bytes_a;
        sum_b += bytes_b;
        if (a == b)
            continue;
        qs_row(s);
        qs_cell_str(s, 0, m->tensor[i].name);
        qs_cell_str(s, 1, qs_type_name(a));
        qs_cell_str(s, 2, qs_type_name(b));
        qs_cell_int(s, 3, (int64_t)bytes_a);
        qs_cell_int(s, 4, (int64_t)bytes_b);
        qs_cell_int(s, 5, (int64_t)bytes_b - (int64_t)bytes_a);
    }
    qs_section_note(s, "B - A in bytes");
    double weights = m->n_weights ? (double)m->n_weights : 1;
    qs_fact_int(facts, "bytes_a", "tensors with A", (int64_t)sum_a, QS_UNIT_BYTES);
    qs_fact_int(facts, "bytes_b", "tensors with B", (int64_t)sum_b, QS_UNIT_BYTES);
    qs_fact_int(facts, "delta", "B - A, bytes", (int64_t)sum_b - (int64_t)sum_a, QS_UNIT_COUNT);
    qs_fact_num(facts, "bpw_a", "bits per weight with A", 8.0 * (double)sum_a / weights, QS_UNIT_BPW, QS_HOW_EXACT);
    qs_fact_num(facts, "bpw_b", "bits per weight with B", 8.0 * (double)sum_b / weights, QS_UNIT_BPW, QS_HOW_EXACT);
    return qs_section_rows(s);
}

struct qs_report *qs_report_recipe_diff(const struct qs_recipe *a, const struct qs_recipe *b, const struct qs_model *m,
                                        const struct qs_resolved *xa, const struct qs_resolved *xb, bool *same)
{
    struct qs_report *rep = qs_report_new("recipe_diff");
    if (!rep)
        return NULL;
    size_t n = diff_text(rep, a, b);
    if (m)
        n += diff_tensors(rep, m, xa, xb);
    if (same)
        *same = n == 0;
    return rep;
}
