/* report_map.c - owns the map's cells: which tensor goes where, its value, and the range of the colours.
 *
 * Drawing is elsewhere. The map refers to the model's tensors, which have to outlive it.
 */
#include "core/report/report_map.h"

#include <limits.h>
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
        [QS_MAP_ERROR] = "error", [QS_MAP_OUTLIERS] = "outliers",     [QS_MAP_KURTOSIS] = "kurtosis",
        [QS_MAP_BITS] = "bits",   [QS_MAP_DIVERGENCE] = "divergence", [QS_MAP_OUTPUT] = "output",
        [QS_MAP_ACTIVATIONS] = "activations", [QS_MAP_SWAP] = "kld",
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

#define LEAST_SPREAD 1.1 /* of the highest value over the lowest */

void qs_heat_find_range(struct qs_heat *h)
{
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < h->n_items; i++) {
        const double v = h->item[i].value;
        if (!isfinite(v) || (h->log && !(v > 0)))
            continue;
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    if (!(low <= high)) {
        h->low = h->high = NAN;
        return;
    }
    if (high < LEAST_SPREAD * low) { /* differences that small are not worth all colours */
        const double middle = sqrt(low * high);
        low = middle / sqrt(LEAST_SPREAD);
        high = middle * sqrt(LEAST_SPREAD);
    }
    h->low = low;
    h->high = high > low ? high : low + 1;
}

const char *qs_heat_no_range(const struct qs_heat *h)
{
    bool known = false;
    if (!isnan(h->low))
        return NULL;
    for (size_t i = 0; i < h->n_items && !known; i++)
        known = !isnan(h->item[i].value);
    return known ? "no colours: all that is known is 0" : "nothing measured yet";
}

/* ---- values -------------------------------------------------------------------------------------------------- */

static double bits_of(const struct qs_tensor *t, int type)
{
    const struct qs_format *f = qs_format_by_id(type);
    if (type == t->type)
        return 8 * (double)t->size / (double)t->n;
    return f && t->ne[0] % f->block == 0 ? qs_format_bpw(f) : (double)NAN;
}

static void put_error(const struct qs_survey *s, struct qs_heat_cell *c)
{
    struct qs_survey_cell x = { .gap = QS_GAP_NOT_MEASURED };
    if (s && qs_survey_cell(s, c->tensor, c->type, &x)) {
        c->value = x.error;
        c->how = x.how;
        c->std_error = x.error_se;
    } else if (c->type == c->tensor->type) {
        c->value = 0; /* copied */
    } else {
        c->gap = x.gap;
    }
}

static void put_distribution(const struct qs_survey *s, enum qs_map_measure measure, struct qs_heat_cell *c)
{
    struct qs_survey_stats x;
    if (s && qs_survey_stats(s, c->tensor, &x))
        c->value = measure == QS_MAP_OUTLIERS ? x.max_sigma : x.kurtosis;
    else
        c->gap = QS_GAP_NOT_MEASURED;
}

/* Of the block that the tensor is in; outside of blocks the embedding alone has a state behind it. */
static void put_divergence(const struct qs_heat_args *args, struct qs_heat_cell *c)
{
    const struct qs_tensor *t = c->tensor;
    if (t->layer >= 0 && (size_t)t->layer < args->n_after)
        c->value = args->after[t->layer];
    else if (t->layer < 0 && t->role == QS_ROLE_TOKEN_EMBD && args->n_after)
        c->value = args->after_embedding;
    c->gap = isnan(c->value) ? QS_GAP_NOT_MEASURED : QS_GAP_NONE;
}

/* From statistics; a tensor that keeps its type has no output error, whether or not its input is known. */
static void put_output(const struct qs_model *m, const struct qs_heat_args *args, struct qs_heat_cell *c)
{
    const size_t i = qs_model_index(m, c->tensor);
    struct qs_output x;
    if (args->measure == QS_MAP_ACTIVATIONS) {
        c->value = args->outputs ? qs_outputs_activation(args->outputs, i) : (double)NAN;
    } else if (args->outputs && qs_outputs_get(args->outputs, i, c->type, &x)) {
        c->value = x.error;
        c->how = x.how;
        c->std_error = x.error_se;
    } else if (c->type == c->tensor->type) {
        c->value = 0;
    }
    c->gap = isnan(c->value) ? QS_GAP_NOT_MEASURED : QS_GAP_NONE;
}

static struct qs_heat_cell value_of(const struct qs_model *m, const struct qs_survey *s,
                                    const struct qs_heat_args *args, const struct qs_tensor *t)
{
    struct qs_heat_cell c = { .tensor = t, .type = t->type, .value = NAN, .how = QS_HOW_WHOLE };
    if (args->type && args->type[qs_model_index(m, t)] != QS_TYPE_NONE)
        c.type = args->type[qs_model_index(m, t)];
    if (args->measure == QS_MAP_BITS) {
        c.how = QS_HOW_EXACT;
        c.value = bits_of(t, c.type);
        c.gap = isnan(c.value) ? QS_GAP_SHAPE : QS_GAP_NONE;
    } else if (args->measure == QS_MAP_DIVERGENCE) {
        put_divergence(args, &c);
    } else if (args->given || args->measure == QS_MAP_SWAP) {
        c.value = args->given ? args->given[qs_model_index(m, t)] : (double)NAN;
        c.gap = isnan(c.value) ? QS_GAP_NOT_MEASURED : QS_GAP_NONE;
    } else if (args->measure == QS_MAP_OUTPUT || args->measure == QS_MAP_ACTIVATIONS) {
        put_output(m, args, &c);
    } else if (args->measure == QS_MAP_ERROR) {
        put_error(s, &c);
    } else {
        put_distribution(s, args->measure, &c);
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
        enum qs_how square_how;
        const uint64_t as = qs_tensor_bytes_as(c->tensor, c->type), bytes = as ? as : c->tensor->size;
        h->bytes += bytes;
        h->sampled += c->how == QS_HOW_SAMPLED && !isnan(c->value);
        h->unknown += isnan(c->value);
        h->kept += !(c->value > 0) && !isnan(c->value);
        weights += (double)c->tensor->n;
        bits += 8 * (double)bytes;
        if (h->measure != QS_MAP_ERROR || !s || isnan(c->value))
            continue;
        const double ms = qs_survey_mean_square(s, c->tensor, &square_how) * (double)c->tensor->n;
        if (isnan(ms))
            continue;
        err2 += c->value * c->value * ms;
        ref2 += ms;
        sampled |= c->how == QS_HOW_SAMPLED || square_how == QS_HOW_SAMPLED;
    }
    h->total = NAN;
    h->total_sampled = sampled && err2 > 0;
    if (h->measure == QS_MAP_ERROR && ref2 > 0)
        h->total = sqrt(err2 / ref2);
    else if (h->measure == QS_MAP_BITS && weights > 0)
        h->total = bits / weights;
}

/* ---- places -------------------------------------------------------------------------------------------------- */

/* As much of a name as there is room for. This is done for every tensor at every edit: printf would take longer than
 * all the rest of a map. Returns the length. */
static size_t cut_name(char *out, size_t room, const char *from, size_t n)
{
    n = n < room ? n : room - 1;
    memcpy(out, from, n);
    out[n] = 0;
    return n;
}

/* "blk.3.ffn_gate.7.weight" -> "ffn_gate.*": the row of a tensor; "ffn_gate.7" where that row is the one unfolded, and
 * then the number. */
static int label_of(const struct qs_heat *h, const struct qs_tensor *t, char *out, size_t n)
{
    const char *from = t->name;
    char full[QS_MAP_LABEL];
    if (t->layer >= 0) {
        const char *dot = strchr(from, '.');
        dot = dot ? strchr(dot + 1, '.') : NULL;
        from = dot ? dot + 1 : from;
    }
    size_t len = cut_name(full, sizeof full, from, strlen(from));
    if (len > 7 && strcmp(full + len - 7, ".weight") == 0)
        full[len -= 7] = 0;
    (void)cut_name(out, n, full, len);
    const char *last = strrchr(full, '.');
    const size_t digits = last && last > full ? strspn(last + 1, "0123456789") : 0;
    if (!digits || last[1 + digits])
        return -1;
    const size_t stem = cut_name(out, n, full, (size_t)(last - full));
    (void)cut_name(out + stem, n - stem, ".*", 2);
    if (strcmp(out, h->unfolded) != 0)
        return -1;
    (void)cut_name(out, n, full, len);
    return digits < 10 ? (int)strtol(last + 1, NULL, 10) : INT_MAX;
}

const char *qs_heat_label(const struct qs_heat *h, const struct qs_tensor *t, char *buf, size_t n)
{
    (void)label_of(h, t, buf, n);
    return buf;
}

/* While rows are made: a table of labels (open addressing, indices + 1), in blocks and outside of them. */
struct places {
    struct qs_heat *h;
    size_t cap[2], most[2];
    uint16_t slot[2][4 * QS_MAP_ROWS];
    unsigned unfolded[2];       /* rank of the row that was unfolded, counted from 1; 0: not met */
    struct qs_heat_cell **cell; /* of every item, NULL: without a row */
};

/* The row of a tensor; NULL with QS_OK: the picture is full. */
static int row_for(struct places *p, const struct qs_tensor *t, struct qs_heat_row **out, struct qs_err *e)
{
    const bool single = t->layer < 0;
    struct qs_heat_row **rows = single ? &p->h->single : &p->h->row;
    size_t *n = single ? &p->h->n_singles : &p->h->n_rows;
    const size_t slots = 4 * QS_MAP_ROWS, cells = single ? 1 : p->h->n_layers;
    char label[QS_MAP_LABEL];
    const int expert = label_of(p->h, t, label, sizeof label);
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
    *row = (struct qs_heat_row){ .role = t->role, .came = (unsigned)*n, .expert = expert, .cell = cell };
    if (expert >= 0) {
        p->unfolded[single] = p->unfolded[single] ? p->unfolded[single] : row->came + 1;
        row->came = p->unfolded[single] - 1;
    }
    memcpy(row->label, label, sizeof row->label);
    p->slot[single][at] = (uint16_t)++*n;
    *out = row;
    return QS_OK;
}

/* By role, others last, then as they came; experts by number. */
static int by_role(const void *a, const void *b)
{
    const struct qs_heat_row *x = a, *y = b;
    if (x->role != y->role)
        return x->role == QS_ROLE_OTHER ? 1 : y->role == QS_ROLE_OTHER ? -1 : x->role < y->role ? -1 : 1;
    if (x->came != y->came)
        return x->came < y->came ? -1 : 1;
    return x->expert != y->expert ? (x->expert < y->expert ? -1 : 1) : strcmp(x->label, y->label);
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

/* Every cell gets a stretch of the list of tensors, filled from its end. */
static void find_members(struct places *p)
{
    struct qs_heat *h = p->h;
    size_t end = 0;
    for (size_t i = 0; i < h->n_items; i++) {
        struct qs_heat_cell *c = p->cell[i] ? p->cell[i] : &h->item[i];
        if (!c->member) {
            end += c->tensors;
            c->member = h->member + end;
        }
    }
    for (size_t i = h->n_items; i-- > 0;) {
        struct qs_heat_cell *c = p->cell[i] ? p->cell[i] : &h->item[i];
        *--c->member = h->item[i].tensor;
        h->item[i].member = c->member;
    }
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

static int place_all(struct places *p, const struct qs_model *m, const struct qs_survey *s,
                     const struct qs_heat_args *args, struct qs_err *e)
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
        p->cell[h->n_items - 1] = &row->cell[t->layer < 0 ? 0 : t->layer];
        fold(h, &c, p->cell[h->n_items - 1]);
    }
    find_members(p);
    count_folded_unknown(h);
    if (h->n_rows)
        qsort(h->row, h->n_rows, sizeof *h->row, by_role);
    if (h->n_singles)
        qsort(h->single, h->n_singles, sizeof *h->single, by_role);
    return QS_OK;
}

static int place(struct qs_heat *h, const struct qs_model *m, const struct qs_survey *s,
                 const struct qs_heat_args *args, struct qs_err *e)
{
    for (size_t i = 0; i < m->n_tensors; i++)
        if (is_drawn(&m->tensor[i]) && m->tensor[i].layer >= 0 && (size_t)m->tensor[i].layer >= h->n_layers)
            h->n_layers = (size_t)m->tensor[i].layer + 1;
    h->item = qs_calloc(m->n_tensors + 1, sizeof *h->item);
    h->member = qs_calloc(m->n_tensors + 1, sizeof *h->member);
    struct qs_heat_cell **cell = qs_calloc(m->n_tensors + 1, sizeof *cell);
    struct places *p = qs_calloc(1, sizeof *p);
    int rc = h->item && h->member && cell && p ? QS_OK : qs_fail_mem(e, m->n_tensors * sizeof *h->item, "a map");
    if (!rc) {
        const size_t fit = h->n_layers ? QS_MAP_CELLS / h->n_layers : 0;
        p->h = h;
        p->cell = cell;
        p->most[0] = fit < QS_MAP_ROWS ? fit : QS_MAP_ROWS;
        p->most[1] = QS_MAP_ROWS;
        rc = place_all(p, m, s, args, e);
    }
    qs_free(p);
    qs_free(cell);
    return rc;
}

static void make_title(struct qs_heat *h, const struct qs_model *m)
{
    static const char *const text[] = {
        [QS_MAP_ERROR] = "Relative RMS error", [QS_MAP_OUTLIERS] = "Largest weight over standard deviation",
        [QS_MAP_KURTOSIS] = "Kurtosis", [QS_MAP_BITS] = "Bits per weight",
        [QS_MAP_DIVERGENCE] = "Relative error of the hidden state after the block",
        [QS_MAP_OUTPUT] = "Relative error of the output", [QS_MAP_ACTIVATIONS] = "Largest input channel over the median one",
        [QS_MAP_SWAP] = "KL divergence with this tensor alone changed",
    };
    const bool under = h->what[0] && h->measure != QS_MAP_OUTLIERS && h->measure != QS_MAP_KURTOSIS &&
                       h->measure != QS_MAP_ACTIVATIONS;
    snprintf(h->title, sizeof h->title, "%s of %s%s%s", text[h->measure], qs_path_base(m->path), under ? " under " : "",
             under ? h->what : "");
}

int qs_heat_make(const struct qs_model *m, const struct qs_survey *survey, const struct qs_heat_args *args,
                 struct qs_heat **out, struct qs_err *e)
{
    static const enum qs_unit unit[] = {
        [QS_MAP_ERROR] = QS_UNIT_PERCENT, [QS_MAP_OUTLIERS] = QS_UNIT_SIGMA, [QS_MAP_KURTOSIS] = QS_UNIT_NONE,
        [QS_MAP_BITS] = QS_UNIT_BPW,
        [QS_MAP_DIVERGENCE] = QS_UNIT_PERCENT, [QS_MAP_OUTPUT] = QS_UNIT_PERCENT, [QS_MAP_ACTIVATIONS] = QS_UNIT_NONE,
        [QS_MAP_SWAP] = QS_UNIT_NONE,
    };
    struct qs_heat *h = qs_calloc(1, sizeof *h);
    if (!h)
        return qs_fail_mem(e, sizeof *h, "a map");
    h->measure = args->measure;
    h->unit = unit[args->measure];
    h->log = args->scale < 0 ? args->measure != QS_MAP_BITS : args->scale > 0;
    snprintf(h->what, sizeof h->what, "%s", args->what ? args->what : "");
    snprintf(h->unfolded, sizeof h->unfolded, "%s", args->unfold ? args->unfold : "");
    make_title(h, m);
    const int rc = place(h, m, survey, args, e);
    if (rc) {
        qs_heat_free(h);
        return rc;
    }
    qs_heat_find_range(h);
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
    qs_free(h->member);
    qs_free(h);
}
