/* map_list.c - the map in words: what folded cells stand for, and the map as a report. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/report/report_map.h"

/* ---- notes --------------------------------------------------------------------------------------------------- */

const char *qs_heat_cell_note(const struct qs_heat_cell *c, char *buf, size_t n)
{
    const unsigned unknown = c->tensors - c->known;
    buf[0] = 0;
    if (c->tensors < 2)
        return buf;
    if (!unknown)
        snprintf(buf, n, "worst of %u", c->tensors);
    else if (c->known)
        snprintf(buf, n, "worst of %u, %u of %u unknown", c->known, unknown, c->tensors);
    else
        snprintf(buf, n, "%u of %u unknown", unknown, c->tensors);
    return buf;
}

const char *qs_heat_folded_note(const struct qs_heat *h, char *buf, size_t n)
{
    buf[0] = 0;
    if (!h->folded)
        return buf;
    snprintf(buf, n, "%u cell%s for several tensors, the worst of those known shown", h->folded,
             h->folded == 1 ? " stands" : "s stand");
    if (h->folded_unknown) {
        const size_t len = strlen(buf);
        snprintf(buf + len, n - len, "; in %u of them some are unknown", h->folded_unknown);
    }
    return buf;
}

/* ---- as a list ----------------------------------------------------------------------------------------------- */

static void add_folded_row(struct qs_section *t, const struct qs_heat *h, const char *label,
                           const struct qs_heat_cell *c)
{
    char note[64];
    if (c->tensors < 2)
        return;
    qs_row(t);
    qs_cell_str(t, 0, label);
    if (c->tensor->layer >= 0)
        qs_cell_int(t, 1, c->tensor->layer);
    qs_cell_str(t, 2, c->tensor->name);
    qs_cell_num(t, 3, c->value);
    qs_cell_how(t, 3, c->how, c->std_error);
    if (!isnan(c->value))
        qs_cell_int(t, 4, qs_heat_level(h, c->value));
    qs_cell_int(t, 5, c->tensors);
    qs_cell_int(t, 6, c->tensors - c->known);
    qs_cell_str(t, 7, qs_heat_cell_note(c, note, sizeof note));
}

static void add_folded(struct qs_report *r, const struct qs_heat *h)
{
    const struct qs_column columns[] = {
        { .key = "row", .title = "row", .left = true }, { .key = "layer", .title = "layer" },
        { .key = "worst", .title = "worst tensor", .left = true },
        { .key = "value", .title = qs_map_measure_name(h->measure), .unit = h->unit }, { .key = "level", .title = "level" },
        { .key = "tensors", .title = "stands for" }, { .key = "unknown", .title = "unknown" },
        { .key = "note", .title = "note", .left = true },
    };
    if (!h->folded)
        return;
    struct qs_section *t = qs_report_table(r, "folded", "Cells that stand for several tensors", columns,
                                           sizeof columns / sizeof *columns);
    for (size_t k = 0; k < h->n_rows; k++)
        for (size_t i = 0; i < h->n_layers; i++)
            add_folded_row(t, h, h->row[k].label, &h->row[k].cell[i]);
    for (size_t k = 0; k < h->n_singles; k++)
        add_folded_row(t, h, h->single[k].label, &h->single[k].cell[0]);
}

int qs_report_map(const struct qs_heat *h, struct qs_report **out, struct qs_err *e)
{
    const struct qs_column columns[] = {
        { .key = "name", .title = "tensor", .left = true }, { .key = "row", .title = "row", .left = true },
        { .key = "layer", .title = "layer" }, { .key = "type", .title = "type", .left = true },
        { .key = "value", .title = qs_map_measure_name(h->measure), .unit = h->unit }, { .key = "level", .title = "level" },
    };
    struct qs_report *r = qs_report_new("map");
    struct qs_section *f = qs_report_facts(r, "map", h->title);
    qs_fact_str(f, "measure", "measure", qs_map_measure_name(h->measure));
    qs_fact_str(f, "under", "under", h->what[0] ? h->what : NULL);
    qs_fact_int(f, "layers", "layers", (int64_t)h->n_layers, QS_UNIT_COUNT);
    qs_fact_int(f, "bytes", "size", (int64_t)h->bytes, QS_UNIT_BYTES);
    qs_fact_num(f, "total", "over all", h->total, h->unit, h->total_sampled ? QS_HOW_SAMPLED : QS_HOW_EXACT);
    qs_fact_str(f, "scale", "scale", h->log ? "log" : "linear");
    qs_fact_num(f, "low", "from", h->low, h->unit, QS_HOW_EXACT);
    qs_fact_num(f, "high", "to", h->high, h->unit, QS_HOW_EXACT);
    qs_fact_int(f, "not_drawn", "not drawn", h->not_drawn, QS_UNIT_COUNT);
    qs_fact_int(f, "folded", "cells of several tensors", h->folded, QS_UNIT_COUNT);
    qs_fact_int(f, "folded_unknown", "of these, with unknown ones", h->folded_unknown, QS_UNIT_COUNT);
    qs_fact_int(f, "without_row", "without a row of their own", h->without_row, QS_UNIT_COUNT);
    struct qs_section *t = qs_report_table(r, "tensors", "Tensors", columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < h->n_items; i++) {
        const struct qs_heat_cell *c = &h->item[i];
        char label[QS_MAP_LABEL];
        qs_row(t);
        qs_cell_str(t, 0, c->tensor->name);
        qs_cell_str(t, 1, qs_heat_label(h, c->tensor, label, sizeof label));
        if (c->tensor->layer >= 0)
            qs_cell_int(t, 2, c->tensor->layer);
        qs_cell_str(t, 3, qs_type_name(c->type));
        qs_cell_num(t, 4, c->value);
        qs_cell_how(t, 4, c->how, c->std_error);
        if (!isnan(c->value))
            qs_cell_int(t, 5, qs_heat_level(h, c->value));
    }
    add_folded(r, h);
    if (qs_report_failed(r)) {
        qs_report_free(r);
        return qs_fail(e, QS_ENOMEM, "out of memory while making the report");
    }
    *out = r;
    return QS_OK;
}
