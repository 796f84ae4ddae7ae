/* outliers.c - owns the candidates and crossings of one search; see outliers.h for what is an outlier. */
#include "core/quant/outliers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/quant/survey.h" /* QS_OUTLIER_RATIO */

#define NEAR_RATIO 2.0            /* where no channel reaches that, none is an outlier behind others either */
#define TRIM 8                    /* the largest 1/8 of the channels is left out of the first yardstick */
#define MAX_CANDIDATES (1u << 18) /* rows or columns that stand out; beyond, all of them are named */
#define MAX_CROSSINGS (UINT64_C(1) << 27)
#define STEPS_PER_LOOK (1u << 20) /* of naming between two looks at the job: some ms */

static int no_memory(uint64_t bytes, struct qs_err *e)
{
    return qs_fail_mem(e, bytes, "the outliers of a tensor");
}

/* ---- yardsticks ---------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Those above 0, ascending; returns how many. */
static size_t sort_positive(const float *v, float *sorted, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (v[i] > 0)
            sorted[k++] = v[i];
    if (k)
        qsort(sorted, k, sizeof *sorted, by_value);
    return k;
}

double qs_outlier_yardstick(const float *v, float *sorted, size_t n)
{
    const size_t k = sort_positive(v, sorted, n);
    return k ? ((double)sorted[(k - 1) / 2] + (double)sorted[k / 2]) / 2 : 0;
}

static bool reaches(double largest, double from)
{
    return largest > 0 && largest >= from;
}

bool qs_outlier_stands_out(double largest, double yardstick)
{
    return reaches(largest, QS_OUTLIER_RATIO * yardstick);
}

/* ---- naming -------------------------------------------------------------------------------------------------- */

int qs_outlier_grid_new(size_t rows, size_t cols, struct qs_outlier_grid *out, struct qs_err *e)
{
    *out = (struct qs_outlier_grid){ .n = { rows, cols }, .words = (cols + 63) / 64 };
    for (int axis = 0; axis < 2; axis++) {
        out->own[axis] = qs_calloc(out->n[axis] + 1, sizeof *out->own[axis]);
        out->named[axis] = qs_calloc(out->n[axis] + 1, sizeof *out->named[axis]);
        out->bits[axis] = qs_calloc(rows * out->words + 1, sizeof *out->bits[axis]);
        if (!out->own[axis] || !out->named[axis] || !out->bits[axis])
            return no_memory((rows * out->words + 1) * sizeof *out->bits[axis], e);
    }
    return QS_OK;
}

void qs_outlier_grid_free(struct qs_outlier_grid *g)
{
    for (int axis = 0; axis < 2; axis++) {
        qs_free(g->own[axis]);
        qs_free(g->named[axis]);
        qs_free(g->bits[axis]);
    }
    *g = (struct qs_outlier_grid){ .steps = g->steps };
}

/* A candidate and the large weights that it explained when the entry was made; that number only falls. */
struct entry { uint64_t left; size_t at; int axis; };

struct naming {
    struct qs_outlier_grid *g;
    struct qs_job *job;
    uint64_t looked;           /* g->steps at the last look at the job */
    uint64_t *left[2];         /* per candidate that is not named: large weights that nothing named explains */
    uint64_t *mask;            /* a bit per column */
    struct entry *heap; size_t n_heap; /* the best one first */
};

static int take_steps(struct naming *m, uint64_t n, struct qs_err *e)
{
    m->g->steps += n;
    if (m->g->steps - m->looked < STEPS_PER_LOOK)
        return QS_OK;
    m->looked = m->g->steps;
    return qs_job_step(m->job, 0, e);
}

static const uint64_t *bits_of(const struct qs_outlier_grid *g, int axis, size_t row)
{
    return g->bits[axis] + row * g->words;
}

static bool better(const struct entry *a, const struct entry *b)
{
    if (a->left != b->left)
        return a->left > b->left;
    return a->axis != b->axis ? a->axis > b->axis : a->at < b->at;
}

static void sift_down(struct naming *m, size_t at)
{
    const struct entry x = m->heap[at];
    for (size_t child; (child = 2 * at + 1) < m->n_heap; at = child) {
        if (child + 1 < m->n_heap && better(&m->heap[child + 1], &m->heap[child]))
            child++;
        if (!better(&m->heap[child], &x))
            break;
        m->heap[at] = m->heap[child];
    }
    m->heap[at] = x;
}

/* What has weights of its own is named; what the others explain beside those is counted. */
static int count_rest(struct naming *m, struct qs_err *e)
{
    struct qs_outlier_grid *const g = m->g;
    int rc = QS_OK;
    for (int axis = 0; axis < 2; axis++)
        for (size_t i = 0; i < g->n[axis]; i++)
            g->named[axis][i] = g->own[axis][i] > 0;
    for (size_t c = 0; c < g->n[QS_COLS]; c++)
        m->mask[c / 64] |= (uint64_t)!g->named[QS_COLS][c] << c % 64;
    for (size_t r = 0; !rc && r < g->n[QS_ROWS]; r++) {
        if (g->named[QS_ROWS][r])
            continue;
        uint64_t steps = g->words + 1;
        for (size_t k = 0; k < g->words; k++) {
            m->left[QS_ROWS][r] += (unsigned)__builtin_popcountll(bits_of(g, QS_ROWS, r)[k] & m->mask[k]);
            for (uint64_t b = bits_of(g, QS_COLS, r)[k] & m->mask[k]; b; b &= b - 1, steps++)
                m->left[QS_COLS][k * 64 + (unsigned)__builtin_ctzll(b)]++;
        }
        rc = take_steps(m, steps, e);
    }
    return rc;
}

static int make_heap(struct naming *m, struct qs_err *e)
{
    const struct qs_outlier_grid *g = m->g;
    for (int axis = 0; axis < 2; axis++)
        for (size_t i = 0; i < g->n[axis]; i++)
            if (!g->named[axis][i] && m->left[axis][i])
                m->heap[m->n_heap++] = (struct entry){ m->left[axis][i], i, axis };
    for (size_t i = m->n_heap / 2; i-- > 0;)
        sift_down(m, i);
    return take_steps(m, g->n[QS_ROWS] + g->n[QS_COLS], e);
}

/* Names a candidate: what crosses it is explained. */
static int name_one(struct naming *m, int axis, size_t at, struct qs_err *e)
{
    struct qs_outlier_grid *const g = m->g;
    g->named[axis][at] = true;
    if (axis == QS_COLS) {
        const uint64_t bit = UINT64_C(1) << at % 64;
        for (size_t r = 0; r < g->n[QS_ROWS]; r++)
            m->left[QS_ROWS][r] -= !g->named[QS_ROWS][r] && bits_of(g, QS_ROWS, r)[at / 64] & bit;
        return take_steps(m, g->n[QS_ROWS], e);
    }
    for (size_t k = 0; k < g->words; k++)
        for (uint64_t b = bits_of(g, QS_COLS, at)[k]; b; b &= b - 1) {
            const size_t c = k * 64 + (unsigned)__builtin_ctzll(b);
            m->left[QS_COLS][c] -= !g->named[QS_COLS][c];
        }
    return take_steps(m, g->n[QS_COLS] + 1, e);
}

/* The candidate that explains most, then those that explain most of the rest. An entry whose number has fallen goes back
 * to where it belongs; at most once for each fall, and in practice once or twice for all. */
static int name_rest(struct naming *m, struct qs_err *e)
{
    int rc = QS_OK;
    while (!rc && m->n_heap) {
        struct entry *const top = &m->heap[0];
        const uint64_t now = m->left[top->axis][top->at];
        if (now == top->left) {
            rc = name_one(m, top->axis, top->at, e);
            m->left[top->axis][top->at] = 0;
        }
        if (now == top->left || !now)
            *top = m->heap[--m->n_heap];
        else
            top->left = now;
        if (m->n_heap)
            sift_down(m, 0);
        if (!rc)
            rc = take_steps(m, 1, e);
    }
    return rc;
}

/* Named rows all of whose weights named columns explain, then columns the same way. */
static int take_back(struct naming *m, struct qs_err *e)
{
    struct qs_outlier_grid *const g = m->g;
    int rc = QS_OK;
    memset(m->mask, 0, g->words * sizeof *m->mask);
    for (size_t c = 0; c < g->n[QS_COLS]; c++)
        m->mask[c / 64] |= (uint64_t)!g->named[QS_COLS][c] << c % 64;
    for (size_t r = 0; !rc && r < g->n[QS_ROWS]; r++) {
        bool needed = g->own[QS_ROWS][r] > 0;
        for (size_t k = 0; k < g->words && !needed; k++)
            needed = bits_of(g, QS_ROWS, r)[k] & m->mask[k];
        g->named[QS_ROWS][r] &= needed;
        rc = take_steps(m, g->words + 1, e);
    }
    memset(m->mask, 0, g->words * sizeof *m->mask);
    for (size_t r = 0; !rc && r < g->n[QS_ROWS]; r++) {
        for (size_t k = 0; k < g->words && !g->named[QS_ROWS][r]; k++)
            m->mask[k] |= bits_of(g, QS_COLS, r)[k];
        rc = take_steps(m, g->words + 1, e);
    }
    for (size_t c = 0; c < g->n[QS_COLS]; c++)
        g->named[QS_COLS][c] &= g->own[QS_COLS][c] > 0 || (m->mask[c / 64] >> c % 64 & 1);
    return rc;
}

int qs_outliers_name(struct qs_outlier_grid *g, struct qs_job *job, struct qs_err *e)
{
    struct naming m = { .g = g, .job = job };
    const size_t all = g->n[QS_ROWS] + g->n[QS_COLS];
    g->steps = 0;
    m.left[QS_ROWS] = qs_calloc(g->n[QS_ROWS] + 1, sizeof *m.left[QS_ROWS]);
    m.left[QS_COLS] = qs_calloc(g->n[QS_COLS] + 1, sizeof *m.left[QS_COLS]);
    m.mask = qs_calloc(g->words + 1, sizeof *m.mask);
    m.heap = qs_calloc(all + 1, sizeof *m.heap);
    int rc = m.left[QS_ROWS] && m.left[QS_COLS] && m.mask && m.heap ? QS_OK : no_memory(all * sizeof *m.heap, e);
    if (!rc)
        rc = count_rest(&m, e);
    if (!rc)
        rc = make_heap(&m, e);
    if (!rc)
        rc = name_rest(&m, e);
    if (!rc)
        rc = take_back(&m, e);
    qs_free(m.left[QS_ROWS]);
    qs_free(m.left[QS_COLS]);
    qs_free(m.mask);
    qs_free(m.heap);
    return rc;
}

/* ---- the search ---------------------------------------------------------------------------------------------- */

struct search {
    struct qs_pass *p;
    const struct qs_channels *ch;
    const float *chunk_max;
    uint64_t look_worth;
    bool *row_out, *col_out; /* outliers so far */
    float *sorted;           /* room for as many as there are rows or columns */
};

struct yardsticks { double row, col; };

static struct yardsticks measure_rest(const struct search *s)
{
    return (struct yardsticks){ qs_outlier_yardstick(s->ch->row_rest, s->sorted, (size_t)s->p->rows),
                                qs_outlier_yardstick(s->ch->col_rest, s->sorted, s->p->cols) };
}

/* Largest of each row outside of the columns left out, of each column outside of the rows left out. */
struct rest_look { const struct qs_pass *p; const bool *row_out, *col_out; float *row_rest; };

static void read_rest(void *ctx, uint64_t chunk, const float *x, float *col_max)
{
    const struct rest_look *l = ctx;
    const size_t rows = qs_pass_chunk_rows(l->p, chunk), cols = l->p->cols;
    for (size_t r = 0; r < rows; r++, x += cols) {
        const size_t row = (size_t)(chunk * l->p->rows_per_chunk) + r;
        float most = 0;
        for (size_t c = 0; c < cols; c++) {
            const float a = fabsf(x[c]);
            if (!isfinite(a))
                continue;
            most = a > most && !l->col_out[c] ? a : most;
            col_max[c] = a > col_max[c] && !l->row_out[row] ? a : col_max[c];
        }
        l->row_rest[row] = most;
    }
}

static int take_rest(struct search *s, struct qs_err *e)
{
    struct rest_look l = { s->p, s->row_out, s->col_out, s->ch->row_rest };
    const int rc = qs_pass_look(s->p, NULL, read_rest, &l, s->look_worth, e);
    qs_pass_join_columns(s->p, s->ch->col_rest);
    return rc;
}

/* Marks the largest eighth of the channels that are not all zero; of equal ones at the limit, none. */
static void trim(const float *v, float *sorted, size_t n, bool *out)
{
    const size_t k = sort_positive(v, sorted, n);
    const float above = k > TRIM ? sorted[k - k / TRIM - 1] : INFINITY;
    for (size_t i = 0; i < n; i++)
        out[i] = v[i] > above;
}

/* The first yardsticks, without the largest channels of both axes; where nothing is left beside those, with them. */
static int trimmed_yardsticks(struct search *s, struct yardsticks *y, struct qs_err *e)
{
    const size_t rows = (size_t)s->p->rows, cols = s->p->cols;
    trim(s->ch->row_all, s->sorted, rows, s->row_out);
    trim(s->ch->col_all, s->sorted, cols, s->col_out);
    const int rc = take_rest(s, e);
    if (rc)
        return rc;
    const struct yardsticks rest = measure_rest(s);
    y->row = rest.row > 0 ? rest.row : y->row;
    y->col = rest.col > 0 ? rest.col : y->col;
    memset(s->row_out, 0, rows * sizeof *s->row_out);
    memset(s->col_out, 0, cols * sizeof *s->col_out);
    return QS_OK;
}

/* Candidates of one round, and from where on a weight makes its row, its column one. */
struct crossing {
    const struct search *s;
    struct qs_outlier_grid grid;
    double row_from, col_from;
    uint32_t *place[2]; /* of every row, column: number among the candidates + 1; 0: none */
    size_t *index[2];   /* the other way */
};

static bool skip_small(const void *ctx, uint64_t chunk)
{
    const struct crossing *x = ctx;
    return (double)x->s->chunk_max[chunk] < fmin(x->row_from, x->col_from);
}

/* One large weight that no outlier explains so far. Rows belong to one chunk and so to one thread; columns do not. */
static void mark_large(struct crossing *x, size_t row, size_t col, double a)
{
    struct qs_outlier_grid *const g = &x->grid;
    const size_t at_row = x->place[QS_ROWS][row], at_col = x->place[QS_COLS][col];
    if (at_row && a >= x->row_from) {
        if (at_col)
            qs_outlier_grid_mark(g, QS_ROWS, at_row - 1, at_col - 1);
        else
            g->own[QS_ROWS][at_row - 1]++;
    }
    if (at_col && a >= x->col_from) {
        if (at_row)
            qs_outlier_grid_mark(g, QS_COLS, at_row - 1, at_col - 1);
        else
            __atomic_add_fetch(&g->own[QS_COLS][at_col - 1], 1, __ATOMIC_RELAXED);
    }
}

static void read_crossings(void *ctx, uint64_t chunk, const float *w, float *col_max)
{
    struct crossing *x = ctx;
    const struct qs_pass *p = x->s->p;
    const double least = fmin(x->row_from, x->col_from);
    const size_t rows = qs_pass_chunk_rows(p, chunk);
    (void)col_max;
    for (size_t r = 0; r < rows; r++, w += p->cols) {
        const size_t row = (size_t)(chunk * p->rows_per_chunk) + r;
        for (size_t c = 0; c < p->cols && !x->s->row_out[row]; c++) {
            const double a = fabs((double)w[c]);
            if (isfinite(a) && reaches(a, least) && !x->s->col_out[c])
                mark_large(x, row, c, a);
        }
    }
}

static void crossing_free(struct crossing *x)
{
    qs_outlier_grid_free(&x->grid);
    for (int axis = 0; axis < 2; axis++) {
        qs_free(x->place[axis]);
        qs_free(x->index[axis]);
    }
}

static size_t count_candidates(const float *rest, const bool *out, size_t n, double from)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        k += !out[i] && reaches(rest[i], from);
    return k;
}

static int index_candidates(struct crossing *x, int axis, const float *rest, const bool *out, size_t n, double from,
                            struct qs_err *e)
{
    x->place[axis] = qs_calloc(n, sizeof *x->place[axis]);
    x->index[axis] = qs_calloc(x->grid.n[axis] + 1, sizeof *x->index[axis]);
    if (!x->place[axis] || !x->index[axis])
        return no_memory(n * sizeof *x->place[axis], e);
    for (size_t i = 0, k = 0; i < n && k < x->grid.n[axis]; i++)
        if (!out[i] && reaches(rest[i], from)) {
            x->index[axis][k] = i;
            x->place[axis][i] = (uint32_t)++k;
        }
    return QS_OK;
}

static int name_candidates(struct search *s, struct crossing *x, struct qs_err *e)
{
    const struct qs_channels *ch = s->ch;
    int rc = index_candidates(x, QS_ROWS, ch->row_rest, s->row_out, (size_t)s->p->rows, x->row_from, e);
    if (!rc)
        rc = index_candidates(x, QS_COLS, ch->col_rest, s->col_out, s->p->cols, x->col_from, e);
    if (!rc)
        rc = qs_pass_look(s->p, skip_small, read_crossings, x, s->look_worth, e);
    if (!rc)
        rc = qs_outliers_name(&x->grid, s->p->job, e);
    for (int axis = 0; !rc && axis < 2; axis++)
        for (size_t i = 0; i < x->grid.n[axis]; i++)
            (axis == QS_COLS ? s->col_out : s->row_out)[x->index[axis][i]] = x->grid.named[axis][i];
    return rc;
}

/* One round: which of the channels that stand out are outliers. *more: there were any, and what the rest has has been
 * taken again without them. */
static int find_round(struct search *s, struct yardsticks y, bool *more, struct qs_err *e)
{
    struct crossing x = { .s = s, .row_from = QS_OUTLIER_RATIO * y.row, .col_from = QS_OUTLIER_RATIO * y.col };
    const size_t n_rows = count_candidates(s->ch->row_rest, s->row_out, (size_t)s->p->rows, x.row_from);
    const size_t n_cols = count_candidates(s->ch->col_rest, s->col_out, s->p->cols, x.col_from);
    *more = n_rows + n_cols > 0 && n_rows <= MAX_CANDIDATES && n_cols <= MAX_CANDIDATES &&
            (uint64_t)n_rows * n_cols <= MAX_CROSSINGS;
    if (!*more)
        return QS_OK;
    int rc = qs_outlier_grid_new(n_rows, n_cols, &x.grid, e);
    if (!rc)
        rc = name_candidates(s, &x, e);
    crossing_free(&x);
    return rc ? rc : take_rest(s, e);
}

static bool any_reaches(const float *v, size_t n, double from)
{
    for (size_t i = 0; i < n; i++)
        if (reaches(v[i], from))
            return true;
    return false;
}

static void start_rest(struct search *s)
{
    memcpy(s->ch->row_rest, s->ch->row_all, (size_t)s->p->rows * sizeof *s->ch->row_rest);
    memcpy(s->ch->col_rest, s->ch->col_all, s->p->cols * sizeof *s->ch->col_rest);
}

static int run_search(struct search *s, struct qs_err *e)
{
    const size_t rows = (size_t)s->p->rows, cols = s->p->cols;
    start_rest(s);
    struct yardsticks y = measure_rest(s);
    if (!any_reaches(s->ch->row_all, rows, NEAR_RATIO * y.row) && !any_reaches(s->ch->col_all, cols, NEAR_RATIO * y.col))
        return QS_OK;
    int rc = trimmed_yardsticks(s, &y, e);
    start_rest(s);
    bool more = true;
    for (int round = 0; !rc && more && round < QS_OUTLIER_ROUNDS; round++) {
        rc = find_round(s, y, &more, e);
        y = measure_rest(s);
    }
    return rc;
}

int qs_outliers_find(struct qs_pass *p, const float *chunk_max, const struct qs_channels *ch, uint64_t look_worth,
                     struct qs_err *e)
{
    const size_t rows = (size_t)p->rows, most = rows > p->cols ? rows : p->cols;
    struct search s = { .p = p, .ch = ch, .chunk_max = chunk_max, .look_worth = look_worth };
    s.row_out = qs_calloc(rows, sizeof *s.row_out);
    s.col_out = qs_calloc(p->cols, sizeof *s.col_out);
    s.sorted = qs_calloc(most, sizeof *s.sorted);
    const int rc = s.row_out && s.col_out && s.sorted ? run_search(&s, e) : no_memory(most * sizeof *s.sorted, e);
    qs_free(s.row_out);
    qs_free(s.col_out);
    qs_free(s.sorted);
    return rc;
}
