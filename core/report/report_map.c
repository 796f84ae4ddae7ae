/* report_map.c - owns the map's cells: which tensor goes where, its value, and the range of the colours.
 *
 * Drawing is elsewhere. The map refers to the model's tensors, which have to outlive it.
 */
#include "core/report/report_map.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "core/report/ramp.h"

const char *qs_map_measure_name(enum qs_map_measure m)
{
    static const char *const name[] = {
        [QS_MAP_ERROR] = "error", [QS_MAP_OUTLIERS] = "outliers", [QS_MAP_KURTOSIS] = "kurtosis", [QS_MAP_BITS] = "bits",
    };
    return (size_t)m < sizeof name / sizeof *name ? name[m] : "?";
}

/* ---- positions on the ramp ----------------------------------------------------------------------------------- */

double qs_heat_position(const struct qs_heat *h, double v)
{
    if (isnan(v) || !(h->high > h->low))
        return 0;
    if (h->log && !(v > 0))
        return 0;
    const double t = h->log ? log(v / h->low) / log(h->high / h->low) : (v - h->low) / (h->high - h->low);
    return t > 0 ? (t < 1 ? t : 1) : 0;
}

unsigned qs_heat_level(const struct qs_heat *h, double v)
{
    const unsigned level = (unsigned)(qs_heat_position(h, v) * QS_RAMP_LEVELS);
    return level < QS_RAMP_LEVELS ? level : QS_RAMP_LEVELS - 1;
}

double qs_heat_level_from(const struct qs_heat *h, unsigned level)
{
    const double t = (double)level / QS_RAMP_LEVELS;
    return h->log ? h->low * pow(h->high / h->low, t) : h->low + t * (h->high - h->low);
}

bool qs_heat_worse(const struct qs_heat *h, const struct qs_heat_cell *a, const struct qs_heat_cell *b)
{
    if (isnan(a->value) || isnan(b->value))
        return isnan(b->value) && !isnan(a->value);
    return h->measure == QS_MAP_BITS ? a->value < b->value : a->value > b->value;
}

/* Colours span at least a factor of two, so that small differences look small. */
static void find_range(struct qs_heat *h)
{
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < h->n_items; i++) {
        const double v = h->item[i].value;
        if (!isfinite(v) || (h->log && !(v > 0)))
            continue;
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    if (!(low <= high))
        low = high = 1;
    if (h->log && high < 2 * low) {
        const double middle = sqrt(low * high);
        low = middle / sqrt(2);
        high = middle * sqrt(2);
    } else if (!h->log && high < 2 * low) {
        low = high / 2;
    }
    h->low = low;
    h->high = high > low ? high : low + 1;
}

/* ---- values -------------------------------------------------------------------------------------------------- */

static struct qs_heat_cell value_of(const struct qs_model *m, const struct qs_survey *s, const struct qs_heat_args *args,
                                    const struct qs_tensor *t)
{
    struct qs_heat_cell c = { .tensor = t, .type = t->type, .value = NAN, .how = QS_HOW_WHOLE };
    const struct qs_survey_row *row = s ? qs_survey_row_of(s, t) : NULL;
    if (args->type && args->type[qs_model_index(m, t)] != QS_TYPE_NONE)
        c.type = args->type[qs_model_index(m, t)];
    const struct qs_format *f = qs_format_by_id(c.type);
    if (args->measure == QS_MAP_BITS) {
        c.how = QS_HOW_EXACT;
        c.value = c.type == t->type ? 8 * (double)t->size / (double)t->n : f && t->ne[0] % f->block == 0 ? qs_format_bpw(f) : (double)NAN;
    } else if (args->measure == QS_MAP_ERROR) {
        const struct qs_survey_cell *x = s ? qs_survey_cell(s, t, c.type) : NULL;
        if (x && x->known) {
            c.value = x->error;
            c.how = x->how;
            c.std_error = x->error_se;
        } else if (c.type == t->type) {
            c.value = 0; /* copied */
        }
    } else if (row && row->stats.known) {
        c.value = args->measure == QS_MAP_OUTLIERS ? row->stats.max_sigma : row->stats.kurtosis;
    }
    c.tensors = 1;
    c.known = !isnan(c.value);
    return c;
}

static void count(struct qs_heat *h, const struct qs_survey *s)
{
    double err2 = 0, ref2 = 0, weights = 0, bits = 0;
    bool sampled = false;
    for (size_t i = 0; i < h->n_items; i++) {
        const struct qs_heat_cell *c = &h->item[i];
        const struct qs_survey_row *row = s ? qs_survey_row_of(s, c->tensor) : NULL;
        const struct qs_format *f = qs_format_by_id(c->type);
        const bool fits = c->type != c->tensor->type && f && c->tensor->ne[0] % f->block == 0;
        const uint64_t bytes = fits ? c->tensor->rows * qs_format_row_bytes(f, (size_t)c->tensor->ne[0]) : c->tensor->size;
        h->bytes += bytes;
        h->sampled += c->how == QS_HOW_SAMPLED && !isnan(c->value);
        h->unknown += isnan(c->value);
        h->kept += !(c->value > 0) && !isnan(c->value);
        weights += (double)c->tensor->n;
        bits += 8 * (double)bytes;
        if (h->measure != QS_MAP_ERROR || !row || isnan(c->value))
            continue;
        const double ms = row->mean_square * (double)c->tensor->n;
        if (isnan(ms))
            continue;
        err2 += c->value * c->value * ms;
        ref2 += ms;
        sampled |= c->how == QS_HOW_SAMPLED || row->square_how == QS_HOW_SAMPLED;
    }
    h->total = NAN;
    h->total_sampled = sampled && err2 > 0;
    if (h->measure == QS_MAP_ERROR && ref2 > 0)
        h->total = sqrt(err2 / ref2);
    else if (h->measure == QS_MAP_BITS && weights > 0)
        h->total = bits / weights;
}

/* ---- places -------------------------------------------------------------------------------------------------- */

/* "blk.3.ffn_gate.7.weight" -> "ffn_gate.*": the row of a tensor. */
static void stem_of(const struct qs_tensor *t, char *out, size_t n)
{
    const char *from = t->name;
    if (t->layer >= 0) {
        const char *dot = strchr(from, '.');
        dot = dot ? strchr(dot + 1, '.') : NULL;
        from = dot ? dot + 1 : from;
    }
    snprintf(out, n, "%s", from);
    const size_t len = strlen(out);
    if (len > 7 && strcmp(out + len - 7, ".weight") == 0)
        out[len - 7] = 0;
    char *last = strrchr(out, '.');
    if (last && last > out && last[1] && strspn(last + 1, "0123456789") == strlen(last + 1))
        snprintf(last, n - (size_t)(last - out), ".*");
}

/* While rows are made: a table of labels (open addressing, indices + 1), in blocks and outside of them. */
struct places {
    struct qs_heat *h;
    size_t cap[2], most[2];
    uint16_t slot[2][4 * QS_MAP_ROWS];
};

/* The row of a tensor; NULL with QS_OK: the picture is full. */
static int row_for(struct places *p, const struct qs_tensor *t, struct qs_heat_row **out, struct qs_err *e)
{
    const bool single = t->layer < 0;
    struct qs_heat_row **rows = single ? &p->h->single : &p->h->row;
    size_t *n = single ? &p->h->n_singles : &p->h->n_rows;
    const size_t slots = 4 * QS_MAP_ROWS, cells = single ? 1 : p->h->n_layers;
    char label[sizeof (*rows)->label];
    stem_of(t, label, sizeof label);
    size_t at = (size_t)qs_hash_bytes(label, strlen(label)).lo % slots;
    while (p->slot[single][at] && strcmp((*rows)[p->slot[single][at] - 1].label, label) != 0)
        at = (at + 1) % slots;
    *out = p->slot[single][at] ? &(*rows)[p->slot[single][at] - 1] : NULL;
    if (*out || *n >= p->most[single])
        return QS_OK;
    struct qs_heat_cell *cell = qs_calloc(cells + 1, sizeof *cell);
    if (!cell || !qs_grow(rows, &p->cap[single], *n + 1, sizeof **rows)) {
        qs_free(cell);
        return qs_fail_mem(e, cells * sizeof *cell, "a map");
    }
    struct qs_heat_row *row = &(*rows)[*n];
    *row = (struct qs_heat_row){ .role = t->role, .came = (unsigned)*n, .cell = cell };
    memcpy(row->label, label, sizeof row->label);
    p->slot[single][at] = (uint16_t)++*n;
    *out = row;
    return QS_OK;
}

/* By role, others last, then as they came. */
static int by_role(const void *a, const void *b)
{
    const struct qs_heat_row *x = a, *y = b;
    if (x->role != y->role)
        return x->role == QS_ROLE_OTHER ? 1 : y->role == QS_ROLE_OTHER ? -1 : x->role < y->role ? -1 : 1;
    return x->came < y->came ? -1 : x->came > y->came;
}

static bool is_drawn(const struct qs_tensor *t)
{
    return t->n_dims >= 2 && t->format && qs_format_ops(t->format->id)->decode && t->n > 0 && t->layer < 4096;
}

/* Joins a tensor to the cell where others may be already. */
static void fold(struct qs_heat *h, const struct qs_heat_cell *c, struct qs_heat_cell *at)
{
    const unsigned tensors = at->tensors + c->tensors, known = at->known + c->known;
    if (!at->tensor || qs_heat_worse(h, c, at))
        *at = *c;
    h->folded += tensors == 2;
    at->tensors = tensors;
    at->known = known;
}

static void count_folded_unknown(struct qs_heat *h)
{
    for (size_t r = 0; r < h->n_rows + h->n_singles; r++) {
        const bool single = r >= h->n_rows;
        const struct qs_heat_cell *cell = single ? h->single[r - h->n_rows].cell : h->row[r].cell;
        for (size_t i = 0; i < (single ? 1 : h->n_layers); i++)
            h->folded_unknown += cell[i].tensors > 1 && cell[i].known < cell[i].tensors;
    }
}

static int place_all(struct places *p, const struct qs_model *m, const struct qs_survey *s, const struct qs_heat_args *args,
                     struct qs_err *e)
{
    struct qs_heat *h = p->h;
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        struct qs_heat_row *row;
        if (!is_drawn(t)) {
            h->not_drawn++;
            continue;
        }
        const struct qs_heat_cell c = value_of(m, s, args, t);
        const int rc = row_for(p, t, &row, e);
        if (rc)
            return rc;
        h->item[h->n_items++] = c;
        if (!row) {
            h->without_row++;
            continue;
        }
        fold(h, &c, &row->cell[t->layer < 0 ? 0 : t->layer]);
    }
    count_folded_unknown(h);
    if (h->n_rows)
        qsort(h->row, h->n_rows, sizeof *h->row, by_role);
    if (h->n_singles)
        qsort(h->single, h->n_singles, sizeof *h->single, by_role);
    return QS_OK;
}

static int place(struct qs_heat *h, const struct qs_model *m, const struct qs_survey *s, const struct qs_heat_args *args,
                 struct qs_err *e)
{
    for (size_t i = 0; i < m->n_tensors; i++)
        if (is_drawn(&m->tensor[i]) && m->tensor[i].layer >= 0 && (size_t)m->tensor[i].layer >= h->n_layers)
            h->n_layers = (size_t)m->tensor[i].layer + 1;
    h->item = qs_calloc(m->n_tensors + 1, sizeof *h->item);
    struct places *p = qs_calloc(1, sizeof *p);
    int rc = h->item && p ? QS_OK : qs_fail_mem(e, m->n_tensors * sizeof *h->item, "a map");
    if (!rc) {
        const size_t fit = h->n_layers ? QS_MAP_CELLS / h->n_layers : 0;
        p->h = h;
        p->most[0] = fit < QS_MAP_ROWS ? fit : QS_MAP_ROWS;
        p->most[1] = QS_MAP_ROWS;
        rc = place_all(p, m, s, args, e);
    }
    qs_free(p);
    return rc;
}

static void make_title(struct qs_heat *h, const struct qs_model *m)
{
    static const char *const text[] = {
        [QS_MAP_ERROR] = "Relative RMS error", [QS_MAP_OUTLIERS] = "Largest weight over standard deviation",
        [QS_MAP_KURTOSIS] = "Kurtosis", [QS_MAP_BITS] = "Bits per weight",
    };
    const bool under = h->what[0] && (h->measure == QS_MAP_ERROR || h->measure == QS_MAP_BITS);
    snprintf(h->title, sizeof h->title, "%s of %s%s%s", text[h->measure], qs_path_base(m->path), under ? " under " : "",
             under ? h->what : "");
}

int qs_heat_make(const struct qs_model *m, const struct qs_survey *survey, const struct qs_heat_args *args,
                 struct qs_heat **out, struct qs_err *e)
{
    static const enum qs_unit unit[] = {
        [QS_MAP_ERROR] = QS_UNIT_PERCENT, [QS_MAP_OUTLIERS] = QS_UNIT_SIGMA, [QS_MAP_KURTOSIS] = QS_UNIT_NONE,
        [QS_MAP_BITS] = QS_UNIT_BPW,
    };
    struct qs_heat *h = qs_calloc(1, sizeof *h);
    if (!h)
        return qs_fail_mem(e, sizeof *h, "a map");
    h->measure = args->measure;
    h->unit = unit[args->measure];
    h->log = args->scale < 0 ? args->measure != QS_MAP_BITS : args->scale > 0;
    snprintf(h->what, sizeof h->what, "%s", args->what ? args->what : "");
    make_title(h, m);
    const int rc = place(h, m, survey, args, e);
    if (rc) {
        qs_heat_free(h);
        return rc;
    }
    find_range(h);
    count(h, survey);
    *out = h;
    return QS_OK;
}

void qs_heat_free(struct qs_heat *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->n_rows; i++)
        qs_free(h->row[i].cell);
    for (size_t i = 0; i < h->n_singles; i++)
        qs_free(h->single[i].cell);
    qs_free(h->row);
    qs_free(h->single);
    qs_free(h->item);
    qs_free(h);
}

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

static void add_folded_row(struct qs_section *t, const struct qs_heat *h, const char *label, const struct qs_heat_cell *c)
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
        char label[48];
        stem_of(c->tensor, label, sizeof label);
        qs_row(t);
        qs_cell_str(t, 0, c->tensor->name);
        qs_cell_str(t, 1, label);
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
