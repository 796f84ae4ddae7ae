/* survey_run.c - owns one run of measuring: the list, what of it is known, the order, the cache, and the job's total.
 *
 * First what the cache has is put into the table, then the list is gone through, with whatever is urgent in between.
 * Each result is in the table and in the cache as soon as it exists. The run holds the survey's right to be the one
 * that measures; so it may read the table without its lock (survey_internal.h).
 */
#include <math.h>

#include "base/mem.h"
#include "core/quant/survey_cache.h"
#include "core/quant/survey_internal.h"
#include "core/quant/survey_lab.h"

/* What the list asks of one row; all of it together decides whether the mean square has to be measured by itself. */
struct asked {
    size_t last;          /* its last entry in the list, counted from 1; 0: none */
    bool stats;           /* a distribution, which gives the mean square */
    bool kept;            /* a type that keeps the weights, and gives none */
    bool others, pending; /* a type that does not: it is known (and gives one), it is to be measured */
    bool whole;
    bool square_counted;  /* the mean square is measured by itself, and is in the job's total */
    bool square_left;     /* the same, and it was not known at the start */
};

struct run {
    struct qs_survey *s;
    const struct qs_survey_want *want; size_t n;
    bool *left;           /* per entry: it was not known at the start */
    struct asked *asked;  /* per row */
    struct qs_survey_cache *cache;
    struct qs_lab *lab;
    struct qs_job *job;
    uint64_t total, known; /* weights */
};

/* ---- the list ------------------------------------------------------------------------------------------------ */

/* The row and column that an entry means (column QS_SURVEY_NOWHERE: the distribution). False: none. */
static bool find_place(const struct qs_survey *s, const struct qs_survey_want *w, size_t *row, size_t *type)
{
    *row = w->tensor ? qs_survey_row_index(s, w->tensor) : QS_SURVEY_NOWHERE;
    *type = qs_survey_type_index(s, w->type);
    return *row != QS_SURVEY_NOWHERE && (*type != QS_SURVEY_NOWHERE || w->type == QS_TYPE_NONE);
}

static uint64_t sample_of(const struct run *r, bool whole)
{
    return whole ? 0 : r->s->sample_weights;
}

static bool is_known(const struct run *r, const struct qs_survey_want *w, size_t row, size_t type)
{
    const struct qs_survey_row *x = &r->s->table->row[row];
    return type == QS_SURVEY_NOWHERE ? x->stats.known : qs_survey_is_settled(&x->cell[type], w->whole);
}

/* Weights that measuring it anew takes; 0 where there is nothing to measure. */
static uint64_t cost_of(const struct run *r, const struct qs_survey_want *w, size_t type)
{
    if (type == QS_SURVEY_NOWHERE)
        return w->tensor->n;
    return qs_survey_can_measure(w->tensor, w->type) ? qs_lab_weights(w->tensor, sample_of(r, w->whole)) : 0;
}

/* A matrix that is kept at every type asked for is encoded nowhere, and one that overflows at all others gives no
 * number there: its mean square has to be measured by itself. */
static bool lacks_square(const struct asked *a, const struct qs_tensor *t)
{
    return t->n_dims >= 2 && a->kept && !a->stats && !a->others && !a->pending;
}

static void take_entry(struct run *r, size_t i)
{
    const struct qs_survey_want *w = &r->want[i];
    size_t row, type;
    if (!find_place(r->s, w, &row, &type))
        return;
    struct asked *a = &r->asked[row];
    const uint64_t cost = cost_of(r, w, type);
    r->left[i] = !is_known(r, w, row, type);
    r->total += cost;
    r->known += r->left[i] ? 0 : cost;
    a->last = i + 1;
    a->whole |= w->whole;
    if (type == QS_SURVEY_NOWHERE) {
        a->stats = true;
        return;
    }
    const struct qs_survey_cell *c = &r->s->table->row[row].cell[type];
    a->kept |= c->known && !cost;
    a->others |= c->known && cost;
    a->pending |= r->left[i];
}

static void take_square(struct run *r, size_t row)
{
    const struct qs_tensor *t = r->s->tensor[row];
    struct asked *a = &r->asked[row];
    a->square_counted = lacks_square(a, t);
    if (!a->square_counted)
        return;
    const uint64_t cost = qs_lab_weights(t, sample_of(r, a->whole));
    a->square_left = isnan(r->s->table->row[row].square.value);
    r->total += cost;
    r->known += a->square_left ? 0 : cost;
}

/* ---- the cache ----------------------------------------------------------------------------------------------- */

static void load_stats(struct run *r, size_t row)
{
    struct qs_survey_stats x;
    if (r->s->table->row[row].stats.known ||
        !qs_survey_cache_stats(r->cache, qs_survey_tensor_key(r->s->tensor[row]), &x))
        return;
    qs_survey_put_stats(r->s, row, &x);
    qs_survey_count(r->s, 0, 1);
}

/* The cache answers for a sample with all weights where it has them; so only those who want all ask for less. */
static void load_cell(struct run *r, size_t row, size_t type, bool whole)
{
    const struct qs_tensor *t = r->s->tensor[row];
    struct qs_survey_cell c = r->s->table->row[row].cell[type];
    const struct qs_cell_id id = qs_survey_cell_id(r->s, t, r->s->type[type], whole);
    if (qs_survey_is_settled(&c, whole) || !qs_survey_can_measure(t, r->s->type[type]) ||
        !qs_survey_cache_cell(r->cache, &id, &c))
        return;
    qs_survey_put_cell(r->s, row, type, &c);
    qs_survey_count(r->s, 0, 1);
}

static bool load_square(struct run *r, size_t row, bool whole)
{
    const struct qs_tensor *t = r->s->tensor[row];
    const struct qs_cell_id id = qs_survey_square_id(r->s, t, whole);
    struct qs_survey_cell c;
    if (!isnan(r->s->table->row[row].square.value) || !qs_survey_cache_cell(r->cache, &id, &c))
        return false;
    qs_survey_put_square(r->s, row, c.mean_square, c.how);
    return true;
}

static void load_table(struct run *r)
{
    for (size_t row = 0; row < r->s->n_tensors; row++) {
        load_stats(r, row);
        for (size_t k = 0; k < r->s->n_types; k++)
            load_cell(r, row, k, false);
        if (load_square(r, row, false))
            qs_survey_count(r->s, 0, 1);
    }
}

static void load_entry(struct run *r, size_t i)
{
    size_t row, type;
    if (!find_place(r->s, &r->want[i], &row, &type))
        return;
    if (type == QS_SURVEY_NOWHERE)
        load_stats(r, row);
    else
        load_cell(r, row, type, r->want[i].whole);
}

/* Without a key of the model nothing is cached. */
static void open_cache(struct run *r)
{
    const struct qs_imatrix *imatrix = r->s->table->imatrix;
    const struct qs_key none = { 0, 0 };
    struct qs_key model;
    if (!r->s->table->no_cache && !qs_model_key(r->s->model, &model, NULL))
        r->cache = qs_survey_cache_open(model, imatrix ? imatrix->key : none);
}

/* ---- measuring ----------------------------------------------------------------------------------------------- */

static int run_stats(struct run *r, size_t row, struct qs_err *e)
{
    const struct qs_tensor *t = r->s->tensor[row];
    struct qs_survey_stats x = { 0 };
    qs_job_item(r->job, "%s", t->name);
    const int rc = qs_lab_stats(r->lab, t, &x, e);
    if (rc)
        return rc;
    qs_survey_cache_put_stats(r->cache, qs_survey_tensor_key(t), &x);
    qs_survey_put_stats(r->s, row, &x);
    qs_survey_count(r->s, 1, 0);
    return QS_OK;
}

static int run_cell(struct run *r, size_t row, size_t type, bool whole, struct qs_err *e)
{
    const struct qs_tensor *t = r->s->tensor[row];
    const int id = r->s->type[type];
    struct qs_survey_cell c = r->s->table->row[row].cell[type];
    qs_job_item(r->job, "%s -> %s", t->name, qs_format_by_id(id)->name);
    const int rc = qs_lab_cell(r->lab, t, id, r->s->table->row[row].importance, sample_of(r, whole), &c, e);
    if (rc)
        return rc;
    const struct qs_cell_id key = qs_survey_cell_id(r->s, t, id, whole);
    qs_survey_cache_put_cell(r->cache, &key, &c);
    qs_survey_put_cell(r->s, row, type, &c);
    qs_survey_count(r->s, 1, 0);
    return QS_OK;
}

static int run_place(struct run *r, const struct qs_survey_want *w, size_t row, size_t type, struct qs_err *e)
{
    return type == QS_SURVEY_NOWHERE ? run_stats(r, row, e) : run_cell(r, row, type, w->whole, e);
}

/* One that turned out to be missing only now, because every type measured overflowed, is not in the job's total. */
static int run_square(struct run *r, size_t row, struct qs_err *e)
{
    const struct asked *a = &r->asked[row];
    const struct qs_tensor *t = r->s->tensor[row];
    const struct qs_cell_id id = qs_survey_square_id(r->s, t, a->whole);
    struct qs_survey_cell c;
    if (!a->square_counted && load_square(r, row, a->whole))
        return QS_OK;
    qs_job_item(r->job, "%s", t->name);
    const int rc = qs_lab_square(r->lab, t, sample_of(r, a->whole), a->square_counted, &c, e);
    if (rc)
        return rc;
    qs_survey_put_square(r->s, row, c.mean_square, c.how);
    if (!isnan(c.mean_square))
        qs_survey_cache_put_cell(r->cache, &id, &c);
    qs_survey_count(r->s, 1, 0);
    return QS_OK;
}

/* After the last entry of a row. */
static int finish_row(struct run *r, size_t row, struct qs_err *e)
{
    struct asked *a = &r->asked[row];
    const bool known = !isnan(r->s->table->row[row].square.value);
    a->pending = false;
    if (known && a->square_left) /* something urgent gave it */
        qs_job_skip(r->job, qs_lab_weights(r->s->tensor[row], sample_of(r, a->whole)));
    return !known && lacks_square(a, r->s->tensor[row]) ? run_square(r, row, e) : QS_OK;
}

static int run_entry(struct run *r, size_t i, struct qs_err *e)
{
    const struct qs_survey_want *w = &r->want[i];
    size_t row, type;
    int rc = QS_OK;
    if (!find_place(r->s, w, &row, &type))
        return QS_OK;
    if (!is_known(r, w, row, type))
        rc = run_place(r, w, row, type, e);
    else if (r->left[i]) /* it was listed twice, or something urgent */
        qs_job_skip(r->job, cost_of(r, w, type));
    if (!rc && type != QS_SURVEY_NOWHERE)
        r->asked[row].others |= r->s->table->row[row].cell[type].known && cost_of(r, w, type);
    return rc || r->asked[row].last != i + 1 ? rc : finish_row(r, row, e);
}

static int run_urgent(struct run *r, qs_survey_urgent_fn *urgent, void *ctx, struct qs_err *e)
{
    struct qs_survey_want w;
    size_t row, type;
    int rc = QS_OK;
    while (!rc && urgent && urgent(ctx, &w)) {
        rc = qs_job_step(r->job, 0, e); /* also where all that is handed in is known */
        if (rc || !find_place(r->s, &w, &row, &type) || is_known(r, &w, row, type))
            continue;
        qs_job_more(r->job, cost_of(r, &w, type));
        rc = run_place(r, &w, row, type, e);
    }
    return rc;
}

static int prepare(struct run *r, bool load_all, struct qs_err *e)
{
    r->left = qs_calloc(r->n + 1, sizeof *r->left);
    r->asked = qs_calloc(r->s->n_tensors + 1, sizeof *r->asked);
    if (!r->left || !r->asked)
        return qs_fail_mem(e, r->n + r->s->n_tensors * sizeof *r->asked, "a survey");
    open_cache(r);
    if (load_all)
        load_table(r);
    for (size_t i = 0; i < r->n; i++) {
        load_entry(r, i);
        take_entry(r, i);
    }
    for (size_t row = 0; row < r->s->n_tensors; row++) {
        if (lacks_square(&r->asked[row], r->s->tensor[row]) && load_square(r, row, r->asked[row].whole))
            qs_survey_count(r->s, 0, 1);
        take_square(r, row);
    }
    return QS_OK;
}

static int run_list(struct run *r, bool load_all, qs_survey_urgent_fn *urgent, void *ctx, struct qs_err *e)
{
    int rc = prepare(r, load_all, e);
    if (rc)
        return rc;
    qs_job_phase(r->job, "survey", "weights", r->total);
    qs_job_skip(r->job, r->known);
    for (size_t i = 0; !rc; i++) {
        rc = run_urgent(r, urgent, ctx, e);
        if (i == r->n)
            break;
        if (!rc)
            rc = run_entry(r, i, e);
    }
    return rc;
}

/* load_all: of what the cache has, all that the table has a place for; else only what is listed. */
static int measure(struct qs_survey *s, const struct qs_survey_want *want, size_t n, bool load_all,
                   qs_survey_urgent_fn *urgent, void *ctx, struct qs_pool *pool, struct qs_job *job, struct qs_err *e)
{
    struct run r = { .s = s, .want = want, .n = n, .job = job };
    if (!qs_survey_begin(s))
        return qs_fail(e, QS_EBUSY, "%s is being surveyed already", s->model->path);
    int rc = qs_lab_new(s->model, s->seed, pool, job, &r.lab, e);
    if (!rc)
        rc = run_list(&r, load_all, urgent, ctx, e);
    qs_lab_free(r.lab);
    qs_survey_cache_free(r.cache);
    qs_free(r.left);
    qs_free(r.asked);
    qs_survey_end(s);
    return rc;
}

int qs_survey_measure(struct qs_survey *s, const struct qs_survey_want *want, size_t n, qs_survey_urgent_fn *urgent,
                      void *ctx, struct qs_pool *pool, struct qs_job *job, struct qs_err *e)
{
    return measure(s, want, n, true, urgent, ctx, pool, job, e);
}

/* ---- all at once --------------------------------------------------------------------------------------------- */

/* What args ask for, tensor by tensor; to be freed with qs_free. */
static int list_all(const struct qs_survey *s, const struct qs_survey_args *args, struct qs_survey_want **out,
                    size_t *n, struct qs_err *e)
{
    const size_t most = s->n_tensors * (s->n_types + 1);
    struct qs_survey_want *want = qs_calloc(most + 1, sizeof *want);
    if (!want)
        return qs_fail_mem(e, most * sizeof *want, "a survey");
    *n = 0;
    for (size_t i = 0; i < s->n_tensors; i++) {
        const struct qs_tensor *t = s->tensor[i];
        const int *only = args->only_type ? &args->only_type[qs_model_index(s->model, t)] : NULL;
        if (args->stats)
            want[(*n)++] = (struct qs_survey_want){ .tensor = t, .type = QS_TYPE_NONE };
        for (size_t k = 0; args->errors && k < s->n_types; k++)
            if (!only || *only == s->type[k])
                want[(*n)++] = (struct qs_survey_want){ .tensor = t, .type = s->type[k] };
    }
    *out = want;
    return QS_OK;
}

int qs_survey_run(const struct qs_model *m, const struct qs_survey_args *args, struct qs_pool *pool, struct qs_job *job,
                  struct qs_survey **out, struct qs_err *e)
{
    struct qs_survey *s = NULL;
    struct qs_survey_want *want = NULL;
    size_t n = 0;
    int rc = qs_survey_new(m, args, &s, e);
    if (!rc)
        rc = list_all(s, args, &want, &n, e);
    if (!rc)
        rc = measure(s, want, n, false, NULL, NULL, pool, job, e);
    qs_free(want);
    if (rc)
        qs_survey_free(s);
    else
        *out = s;
    return rc;
}
