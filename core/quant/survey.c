/* survey.c - owns the table: its rows and columns, the lock over what is filled in, and the copies that readers get.
 *
 * Measures nothing: survey_lab.c does, and survey_run.c puts in what came of it. Numbers outside of the table (counts,
 * version, that somebody measures) have the same lock; the version can be read without.
 */
#include "core/quant/survey_internal.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/regex.h"
#include "core/quant/encode.h"
#include "core/quant/importance.h"
#include "core/quant/survey_lab.h"

#define DEFAULT_SAMPLE 65536

const char *qs_gap_text(enum qs_gap g)
{
    static const char *const text[] = {
        [QS_GAP_NONE] = "", [QS_GAP_NOT_MEASURED] = "not measured",
        [QS_GAP_SHAPE] = "rows are no multiple of the block",
        [QS_GAP_ONE_DIM] = "one-dimensional tensors are not quantized",
        [QS_GAP_NO_ENCODER] = "this type cannot be written",
        [QS_GAP_OVERFLOW] = "overflows: weights are too large for it",
    };
    return (size_t)g < sizeof text / sizeof *text ? text[g] : "?";
}

/* ---- rows and columns ---------------------------------------------------------------------------------------- */

static int by_bpw(const void *a, const void *b)
{
    const struct qs_format *x = qs_format_by_id(*(const int *)a), *y = qs_format_by_id(*(const int *)b);
    const double p = qs_format_bpw(x), q = qs_format_bpw(y);
    return p < q ? -1 : p > q ? 1 : x->id < y->id ? -1 : x->id > y->id;
}

static int choose_types(const struct qs_survey_args *args, struct qs_survey *s, struct qs_err *e)
{
    const size_t most = args->types ? args->n_types : qs_format_count();
    int *type = qs_calloc(most + 1, sizeof *type);
    if (!type)
        return qs_fail_mem(e, most * sizeof *type, "a survey");
    s->type = type;
    for (size_t i = 0; i < most; i++) {
        const struct qs_format *f = args->types ? qs_format_by_id(args->types[i]) : qs_format_at(i);
        if (!f)
            return qs_fail(e, QS_EINVAL, "type number %d is unknown", args->types[i]);
        bool there = false;
        for (size_t k = 0; k < s->n_types; k++)
            there |= type[k] == f->id;
        if (there || (!args->types && ((f->flags & (QS_NO_ENCODE | QS_INTERNAL)) || !qs_format_ops(f->id)->fit)))
            continue;
        type[s->n_types++] = f->id;
    }
    qsort(type, s->n_types, sizeof *type, by_bpw);
    return QS_OK;
}

static bool can_decode(const struct qs_tensor *t)
{
    const unsigned bad = QS_TENSOR_BAD_RANGE | QS_TENSOR_BAD_SHAPE;
    return t->format && qs_format_ops(t->format->id)->decode && t->n && !(t->marks & bad);
}

static int choose_rows(struct qs_survey *s, const struct qs_survey_args *args, struct qs_err *e)
{
    const struct qs_model *m = s->model;
    struct qs_regex *re = NULL;
    int rc = args->match ? qs_regex_compile(args->match, 0, &re, e) : QS_OK;
    const struct qs_tensor **tensor = rc ? NULL : qs_calloc(m->n_tensors + 1, sizeof *tensor);
    if (!rc && !tensor)
        rc = qs_fail_mem(e, m->n_tensors * sizeof *tensor, "a survey");
    s->tensor = tensor;
    for (size_t i = 0; !rc && i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        if (!can_decode(t))
            continue;
        const int found = re ? qs_regex_find(re, t->name, strlen(t->name), 0, NULL, e) : 1;
        if (found < 0)
            rc = e && e->code ? (int)e->code : QS_ELIMIT;
        if (found == 1)
            tensor[s->n_tensors++] = t;
    }
    qs_regex_free(re);
    if (!rc && !s->n_tensors && args->match)
        rc = qs_fail(e, QS_EINVAL, "%s: --match '%s' matches none of the %zu tensors", m->path, args->match,
                     m->n_tensors);
    return rc;
}

/* The tensor at the type has the bytes of the file, or as good as. */
static bool keeps(const struct qs_tensor *t, int type)
{
    return type == t->type || (qs_format_by_id(type)->flags & QS_LOSSLESS_F32);
}

/* Why measuring cannot fill the cell; QS_GAP_NOT_MEASURED: it can. */
static enum qs_gap find_gap(const struct qs_tensor *t, const struct qs_format *f)
{
    if (t->ne[0] % f->block)
        return QS_GAP_SHAPE;
    if (keeps(t, f->id))
        return QS_GAP_NONE;
    if (t->n_dims < 2 && f->kind != QS_KIND_FLOAT)
        return QS_GAP_ONE_DIM;
    if (!qs_format_ops(f->id)->fit || (f->flags & (QS_NO_ENCODE | QS_INTERNAL)))
        return QS_GAP_NO_ENCODER;
    return QS_GAP_NOT_MEASURED;
}

bool qs_survey_can_measure(const struct qs_tensor *t, int type)
{
    return find_gap(t, qs_format_by_id(type)) == QS_GAP_NOT_MEASURED;
}

static struct qs_survey_cell empty_cell(enum qs_gap gap)
{
    return (struct qs_survey_cell){ .gap = gap, .error = NAN, .error_se = NAN, .max_error = NAN, .weighted = NAN,
                                    .mean_square = NAN };
}

static struct qs_survey_cell first_cell(const struct qs_tensor *t, int type, bool weighted)
{
    struct qs_survey_cell c = empty_cell(find_gap(t, qs_format_by_id(type)));
    c.bytes = qs_tensor_bytes_as(t, type);
    if (c.gap == QS_GAP_NONE) {
        c.known = true;
        c.how = QS_HOW_WHOLE;
        c.sample = t->n;
        c.error = c.error_se = c.max_error = 0;
        c.weighted = weighted ? 0 : (double)NAN;
    }
    return c;
}

static int make_rows(struct qs_survey *s, const struct qs_imatrix *imatrix, struct qs_err *e)
{
    int rc = QS_OK;
    struct qs_survey_row *const rows = s->table->row = qs_calloc(s->n_tensors + 1, sizeof *rows);
    if (!rows)
        return qs_fail_mem(e, s->n_tensors * sizeof *rows, "a survey");
    for (size_t i = 0; !rc && i < s->n_tensors; i++) {
        struct qs_survey_row *row = &rows[i];
        row->square = row->alone = (struct qs_survey_square){ NAN, QS_HOW_WHOLE };
        row->cell = qs_calloc(s->n_types + 1, sizeof *row->cell);
        if (!row->cell)
            return qs_fail_mem(e, s->n_types * sizeof *row->cell, "a survey");
        rc = qs_importance_for(imatrix, s->tensor[i], &row->importance, e);
        if (row->importance)
            row->statistics = imatrix->key;
        for (size_t k = 0; k < s->n_types; k++)
            row->cell[k] = first_cell(s->tensor[i], s->type[k], row->importance != NULL);
    }
    return rc;
}

int qs_survey_new(const struct qs_model *m, const struct qs_survey_args *args, struct qs_survey **out, struct qs_err *e)
{
    struct qs_survey *s = qs_calloc(1, sizeof *s);
    if (!s)
        return qs_fail_mem(e, sizeof *s, "a survey");
    s->model = m;
    s->sample_weights = args->whole ? 0 : args->sample_weights ? args->sample_weights : DEFAULT_SAMPLE;
    s->seed = args->seed;
    s->weighted = args->imatrix != NULL;
    s->errors = args->errors;
    s->table = qs_calloc(1, sizeof *s->table);
    int rc = s->table ? QS_OK : qs_fail_mem(e, sizeof *s->table, "a survey");
    if (!rc) {
        pthread_mutex_init(&s->table->lock, NULL);
        s->table->imatrix = args->imatrix;
        s->table->no_cache = args->no_cache;
        rc = choose_types(args, s, e);
    }
    if (!rc)
        rc = choose_rows(s, args, e);
    if (!rc)
        rc = make_rows(s, args->imatrix, e);
    if (rc)
        qs_survey_free(s);
    else
        *out = s;
    return rc;
}

static bool same_questions(const struct qs_survey *a, const struct qs_survey *b)
{
    return a->model == b->model && a->n_tensors == b->n_tensors && a->n_types == b->n_types && a->seed == b->seed &&
           a->sample_weights == b->sample_weights &&
           memcmp(a->tensor, b->tensor, a->n_tensors * sizeof *a->tensor) == 0 &&
           memcmp(a->type, b->type, a->n_types * sizeof *a->type) == 0;
}

void qs_survey_take_over(struct qs_survey *s, const struct qs_survey *from)
{
    if (!same_questions(s, from))
        return;
    pthread_mutex_lock(&from->table->lock);
    for (size_t i = 0; i < s->n_tensors; i++) {
        struct qs_survey_row *row = &s->table->row[i];
        const struct qs_survey_row *known = &from->table->row[i];
        row->stats = known->stats;
        row->alone = known->alone;
        row->square = known->square;
        if (qs_key_equal(row->statistics, known->statistics))
            memcpy(row->cell, known->cell, s->n_types * sizeof *row->cell);
    }
    pthread_mutex_unlock(&from->table->lock);
    atomic_fetch_add(&s->table->version, 1);
}

void qs_survey_free(struct qs_survey *s)
{
    if (!s)
        return;
    for (size_t i = 0; s->table && s->table->row && i < s->n_tensors; i++)
        qs_free(s->table->row[i].cell);
    if (s->table) {
        pthread_mutex_destroy(&s->table->lock);
        qs_free(s->table->row);
    }
    qs_free(s->table);
    qs_free((void *)(uintptr_t)s->tensor);
    qs_free((void *)(uintptr_t)s->type);
    qs_free(s);
}

size_t qs_survey_row_index(const struct qs_survey *s, const struct qs_tensor *t)
{
    size_t low = 0, high = s->n_tensors; /* rows stand in the order of the model's tensors */
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (s->tensor[mid] < t)
            low = mid + 1;
        else
            high = mid;
    }
    return low < s->n_tensors && s->tensor[low] == t ? low : QS_SURVEY_NOWHERE;
}

size_t qs_survey_type_index(const struct qs_survey *s, int type)
{
    for (size_t i = 0; i < s->n_types; i++)
        if (s->type[i] == type)
            return i;
    return QS_SURVEY_NOWHERE;
}

/* ---- what a number is of ------------------------------------------------------------------------------------- */

struct qs_key qs_survey_tensor_key(const struct qs_tensor *t)
{
    uint64_t facts[6] = { (uint64_t)t->type, t->ne[0], t->ne[1], t->ne[2], t->ne[3] };
    const struct qs_key name = qs_hash_bytes(t->name, strlen(t->name));
    facts[5] = name.lo;
    struct qs_key k = qs_hash_bytes(facts, sizeof facts);
    k.hi ^= name.hi;
    return k;
}

static struct qs_cell_id make_id(const struct qs_survey *s, const struct qs_tensor *t, struct qs_key statistics,
                                 int type, bool whole)
{
    whole |= qs_lab_is_whole(t, s->sample_weights);
    return (struct qs_cell_id){
        .tensor = qs_survey_tensor_key(t), .type = type, .method = QS_METHOD_REFERENCE, .statistics = statistics,
        .sample_weights = whole ? 0 : s->sample_weights, .seed = whole ? 0 : s->seed, .encoder = QS_ENCODER_VERSION,
    };
}

struct qs_cell_id qs_survey_cell_id(const struct qs_survey *s, const struct qs_tensor *t, int type, bool whole)
{
    const size_t row = qs_survey_row_index(s, t);
    const struct qs_key none = { 0, 0 };
    return make_id(s, t, row == QS_SURVEY_NOWHERE ? none : s->table->row[row].statistics, type, whole);
}

struct qs_cell_id qs_survey_square_id(const struct qs_survey *s, const struct qs_tensor *t, bool whole)
{
    return make_id(s, t, (struct qs_key){ 0, 0 }, t->type, whole);
}

/* ---- filling ------------------------------------------------------------------------------------------------- */

bool qs_survey_begin(struct qs_survey *s)
{
    pthread_mutex_lock(&s->table->lock);
    const bool mine = !s->table->measuring;
    s->table->measuring = true;
    pthread_mutex_unlock(&s->table->lock);
    return mine;
}

void qs_survey_end(struct qs_survey *s)
{
    pthread_mutex_lock(&s->table->lock);
    s->table->measuring = false;
    pthread_mutex_unlock(&s->table->lock);
}

bool qs_survey_is_settled(const struct qs_survey_cell *c, bool whole)
{
    return c->known ? c->how == QS_HOW_WHOLE || !whole : c->gap != QS_GAP_NOT_MEASURED;
}

/* From whatever is known of the row; with the lock held. */
static void find_square(struct qs_survey_row *row, size_t n_types)
{
    const struct qs_survey_stats *x = &row->stats;
    row->square = row->alone;
    if (x->known) {
        row->square = (struct qs_survey_square){ x->sd * x->sd + x->mean * x->mean, QS_HOW_WHOLE };
        if (!isnan(row->square.value))
            return;
    }
    const struct qs_survey_cell *from = NULL; /* the first that is known; of all weights before of a sample */
    for (size_t i = 0; i < n_types; i++) {
        const struct qs_survey_cell *c = &row->cell[i];
        if (c->known && !isnan(c->mean_square) && (!from || (c->how == QS_HOW_WHOLE && from->how != QS_HOW_WHOLE)))
            from = c;
    }
    if (from)
        row->square = (struct qs_survey_square){ from->mean_square, from->how };
}

/* With the lock held. */
static void changed(struct qs_survey *s, size_t row)
{
    find_square(&s->table->row[row], s->n_types);
    atomic_fetch_add(&s->table->version, 1);
}

void qs_survey_put_cell(struct qs_survey *s, size_t row, size_t type, const struct qs_survey_cell *c)
{
    pthread_mutex_lock(&s->table->lock);
    s->table->row[row].cell[type] = *c;
    changed(s, row);
    pthread_mutex_unlock(&s->table->lock);
}

void qs_survey_put_stats(struct qs_survey *s, size_t row, const struct qs_survey_stats *x)
{
    pthread_mutex_lock(&s->table->lock);
    s->table->row[row].stats = *x;
    changed(s, row);
    pthread_mutex_unlock(&s->table->lock);
}

void qs_survey_put_square(struct qs_survey *s, size_t row, double mean_square, enum qs_how how)
{
    pthread_mutex_lock(&s->table->lock);
    s->table->row[row].alone = (struct qs_survey_square){ mean_square, how };
    changed(s, row);
    pthread_mutex_unlock(&s->table->lock);
}

void qs_survey_count(struct qs_survey *s, uint64_t measured, uint64_t reused)
{
    pthread_mutex_lock(&s->table->lock);
    s->table->counts.measured += measured;
    s->table->counts.reused += reused;
    pthread_mutex_unlock(&s->table->lock);
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

bool qs_survey_cell(const struct qs_survey *s, const struct qs_tensor *t, int type, struct qs_survey_cell *out)
{
    const size_t row = qs_survey_row_index(s, t), k = qs_survey_type_index(s, type);
    if (row == QS_SURVEY_NOWHERE || k == QS_SURVEY_NOWHERE) {
        *out = empty_cell(QS_GAP_NOT_MEASURED);
        return false;
    }
    pthread_mutex_lock(&s->table->lock);
    *out = s->table->row[row].cell[k];
    pthread_mutex_unlock(&s->table->lock);
    return out->known;
}

bool qs_survey_stats(const struct qs_survey *s, const struct qs_tensor *t, struct qs_survey_stats *out)
{
    const size_t row = qs_survey_row_index(s, t);
    if (row == QS_SURVEY_NOWHERE) {
        *out = (struct qs_survey_stats){ 0 };
        return false;
    }
    pthread_mutex_lock(&s->table->lock);
    *out = s->table->row[row].stats;
    pthread_mutex_unlock(&s->table->lock);
    return out->known;
}

double qs_survey_mean_square(const struct qs_survey *s, const struct qs_tensor *t, enum qs_how *how)
{
    const size_t row = qs_survey_row_index(s, t);
    struct qs_survey_square square = { NAN, QS_HOW_WHOLE };
    if (row != QS_SURVEY_NOWHERE) {
        pthread_mutex_lock(&s->table->lock);
        square = s->table->row[row].square;
        pthread_mutex_unlock(&s->table->lock);
    }
    *how = square.how;
    return square.value;
}

uint64_t qs_survey_version(const struct qs_survey *s)
{
    return atomic_load(&s->table->version);
}

struct qs_survey_counts qs_survey_counts(const struct qs_survey *s)
{
    pthread_mutex_lock(&s->table->lock);
    const struct qs_survey_counts n = s->table->counts;
    pthread_mutex_unlock(&s->table->lock);
    return n;
}
