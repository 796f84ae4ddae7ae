/* awq_scales.c - which scales lower the output error of a type most.
 *
 * Owns the grid. Candidates are judged on evenly spread rows of all matrices of the input, the winner on all rows,
 * against no change. Refuses types without encoder and Hessians of another width. The same bits for any thread count.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/awq_internal.h"

#define GRID 20
#define SEARCH_WEIGHTS (1u << 20) /* of all matrices together that candidates are judged on, about */
#define SEARCH_ROWS_LEAST 256
#define SEARCH_ROWS_MOST 1024
#define SAMPLE_LEAST 32  /* rows of a sample from which mean |x| is taken */
#define FLOOR 1e-4f

struct search {
    const struct qs_awq_search *a;
    const struct qs_awq_matrix *m;
    size_t n, cols, heads, kv_heads;
    struct qs_awq_rooms *rooms; /* per matrix; those of one type share theirs with the first */
    float *importance;          /* cols */
    float *xm, *wm;             /* cols: mean |x|, mean relative |w| */
    float *try, *best;          /* cols */
    double *error;              /* of rows */
};

/* ---- the error of one candidate ---- */

struct region {
    const struct search *s;
    const struct qs_awq_matrix *m;
    const struct qs_awq_rooms *rooms;
    const struct qs_format *f;
    const float *h, *scale; /* scale NULL: none */
    size_t step, taken;     /* rows 0, step, 2 step ...: so many */
};

static void panels(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct region *g = ctx;
    const size_t cols = g->s->cols;
    const struct qs_awq_room *room = &g->rooms->room[thread];
    for (size_t p = begin; p < end; p++) {
        const size_t first = p * QS_AWQ_PANEL, left = g->taken - first, n = left < QS_AWQ_PANEL ? left : QS_AWQ_PANEL;
        for (size_t r = 0; r < n; r++) {
            memcpy(room->x + r * cols, g->m->w + (first + r) * g->step * cols, cols * sizeof(float));
            if (g->scale)
                qs_awq_scale_columns(room->x + r * cols, 1, cols, g->scale);
        }
        qs_awq_there_and_back(g->f, room, n, cols, g->s->importance);
        for (size_t i = 0; i < n * cols; i++) {
            const float made = g->scale ? room->made[i] / g->scale[i % cols] : room->made[i];
            room->made[i] = made - g->m->w[(first + i / cols) * g->step * cols + i % cols];
        }
        qs_awq_row_errors(g->h, room, n, cols, g->s->error + first);
    }
}

static const struct qs_hessian *hessian_of(const struct search *s, const struct qs_awq_matrix *m)
{
    return m->h ? m->h : s->a->h;
}

static int type_of(const struct search *s, const struct qs_awq_matrix *m)
{
    return m->type == QS_TYPE_NONE ? s->a->type : m->type;
}

/* Sum over all matrices; a matrix that saw a share of the rows counts by it. */
static double error_of(struct search *s, const float *scale, size_t step)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct qs_hessian *h = hessian_of(s, &s->m[i]);
        const bool share = s->m[i].h && s->a->h && s->a->h->rows > 0;
        const struct region g = { s, &s->m[i], &s->rooms[i], qs_format_by_id(type_of(s, &s->m[i])), h->h, scale, step,
                                  (s->m[i].rows + step - 1) / step };
        const size_t n = (g.taken + QS_AWQ_PANEL - 1) / QS_AWQ_PANEL;
        qs_awq_importance(h, scale, s->importance);
        qs_pool_run(s->a->pool, s->a->prio, n, 1, panels, (void *)&g);
        double own = 0;
        for (size_t r = 0; r < g.taken; r++)
            own += s->error[r];
        sum += share ? own * (double)h->rows / (double)s->a->h->rows : own;
    }
    return sum;
}

/* ---- candidates ---- */

/* The mean over the columns that share a scale, in each of them. */
static void tie(const struct search *s, float *v)
{
    const size_t dim = s->cols / s->heads, group = s->heads / s->kv_heads;
    for (size_t j = 0; group > 1 && j < s->cols; j++) {
        if (j / dim % group != 0)
            continue;
        float sum = 0;
        for (size_t k = 0; k < group; k++)
            sum += v[j + k * dim];
        for (size_t k = 0; k < group; k++)
            v[j + k * dim] = sum / (float)group;
    }
}

static size_t sum_rows(const struct search *s, double *sum)
{
    const struct qs_input_stats *t = s->a->stats;
    size_t n = 0;
    for (size_t r = 0; t && t->row && r < t->n_rows; r++) {
        if (t->experts > 1 && t->row_expert && t->row_expert[r] != s->a->expert)
            continue;
        n++;
        for (size_t j = 0; j < s->cols; j++)
            sum[j] += fabs((double)t->row[r * s->cols + j]);
    }
    return n;
}

/* mean |x| of the sample; without one the root of the mean square, of the statistics or of the Hessian's diagonal. */
static int activations(struct search *s, struct qs_err *e)
{
    const struct qs_input_stats *t = s->a->stats;
    const uint64_t count = t && t->sum2 && t->count ? t->count[s->a->expert] : 0;
    double *sum = qs_calloc(s->cols, sizeof *sum);
    if (!sum)
        return qs_fail_mem(e, s->cols * sizeof *sum, "a search of scales");
    const size_t n = sum_rows(s, sum);
    for (size_t j = 0; j < s->cols; j++) {
        const double square = count ? t->sum2[s->a->expert * s->cols + j] / (double)count
                                    : (double)hessian_of(s, &s->m[0])->h[j * s->cols + j];
        s->xm[j] = (float)(n >= SAMPLE_LEAST ? sum[j] / (double)n : sqrt(square));
    }
    qs_free(sum);
    tie(s, s->xm);
    float least = INFINITY; /* channels that never said anything are like the quietest that did */
    for (size_t j = 0; j < s->cols; j++)
        if (s->xm[j] > 0 && s->xm[j] < least)
            least = s->xm[j];
    for (size_t j = 0; j < s->cols; j++)
        if (!(s->xm[j] > 0))
            s->xm[j] = isfinite(least) ? least : 1;
    return QS_OK;
}

static int weights(struct search *s, struct qs_err *e)
{
    double *sum = qs_calloc(s->cols, sizeof *sum);
    size_t rows = 0;
    if (!sum)
        return qs_fail_mem(e, s->cols * sizeof *sum, "a search of scales");
    for (size_t i = 0; i < s->n; i++) {
        const size_t block = qs_format_by_id(type_of(s, &s->m[i]))->block, group = block > 64 ? 32 : block;
        rows += s->m[i].rows;
        for (size_t r = 0; r < s->m[i].rows; r++)
            for (size_t b = 0; b < s->cols; b += group) {
                const float *w = s->m[i].w + r * s->cols + b;
                const size_t width = s->cols - b < group ? s->cols - b : group;
                float most = 0;
                for (size_t j = 0; j < width; j++)
                    most = fabsf(w[j]) > most ? fabsf(w[j]) : most;
                for (size_t j = 0; most > 0 && j < width; j++)
                    sum[b + j] += (double)(fabsf(w[j]) / most);
            }
    }
    for (size_t j = 0; j < s->cols; j++)
        s->wm[j] = (float)(sum[j] / (double)rows);
    qs_free(sum);
    tie(s, s->wm);
    return QS_OK;
}

/* False where the scales are no finite positive numbers. */
static bool candidate(const struct search *s, double r, bool duo, float *out)
{
    float least = INFINITY, most = 0;
    for (size_t j = 0; j < s->cols; j++) {
        float v = powf(s->xm[j], (float)r);
        if (duo)
            v /= powf(s->wm[j], (float)(1 - r)) + FLOOR;
        v = v < FLOOR ? FLOOR : v;
        out[j] = v;
        least = v < least ? v : least;
        most = v > most ? v : most;
    }
    const float by = sqrtf(most * least);
    for (size_t j = 0; j < s->cols; j++)
        out[j] /= by;
    return isfinite(most) && isfinite(by) && by > 0;
}

static void look(struct search *s, struct qs_awq_result *out)
{
    size_t rows = 0;
    for (size_t i = 0; i < s->n; i++)
        rows += s->m[i].rows;
    size_t taken = SEARCH_WEIGHTS / s->cols;
    taken = taken < SEARCH_ROWS_LEAST ? SEARCH_ROWS_LEAST : taken > SEARCH_ROWS_MOST ? SEARCH_ROWS_MOST : taken;
    const size_t step = (rows + taken - 1) / taken;
    const double plain = error_of(s, NULL, step);
    double least = plain;
    for (int k = 1; k < (s->a->duo ? 2 * GRID : GRID); k++) {
        const bool duo = k >= GRID;
        const double r = (double)(k % GRID) / GRID;
        if (!candidate(s, r, duo, s->try))
            continue;
        const double now = error_of(s, s->try, step);
        out->tried++;
        if (!(now < least)) /* NaN is no gain */
            continue;
        least = now;
        out->r = r;
        out->duo = duo;
        memcpy(s->best, s->try, s->cols * sizeof(float));
    }
    out->before = step == 1 ? plain : error_of(s, NULL, 1);
    out->after = least < plain ? step == 1 ? least : error_of(s, s->best, 1) : out->before;
}

/* ---- the whole ---- */

static int check(const struct search *s, struct qs_err *e)
{
    if (s->n == 0 || s->heads == 0 || s->kv_heads == 0 || s->cols % s->heads != 0 || s->heads % s->kv_heads != 0)
        return qs_fail(e, QS_EINVAL, "scales for %zu columns of %zu heads on %zu cannot be searched", s->cols, s->heads,
                       s->kv_heads);
    if (s->a->stats && (s->a->stats->cols != s->cols || s->a->expert >= s->a->stats->experts))
        return qs_fail(e, QS_EINVAL, "the statistics are of inputs with %zu columns, the matrices have %zu",
                       s->a->stats->cols, s->cols);
    for (size_t i = 0; i < s->n; i++) {
        const struct qs_hessian *h = hessian_of(s, &s->m[i]);
        if (!h || h->cols != s->cols)
            return qs_fail(e, QS_EINVAL, "a search of scales for %zu columns needs a Hessian of that width", s->cols);
    }
    return QS_OK;
}

static size_t first_of_type(const struct search *s, size_t i)
{
    size_t k = 0;
    while (type_of(s, &s->m[k]) != type_of(s, &s->m[i]))
        k++;
    return k;
}

static int make_room(struct search *s, struct qs_err *e)
{
    size_t rows = 0;
    int rc = QS_OK;
    for (size_t i = 0; i < s->n; i++)
        rows = s->m[i].rows > rows ? s->m[i].rows : rows;
    s->rooms = qs_calloc(s->n, sizeof *s->rooms);
    s->importance = qs_calloc(5 * s->cols, sizeof(float));
    s->error = qs_calloc(rows + 1, sizeof *s->error);
    if (!s->rooms || !s->importance || !s->error)
        return qs_fail_mem(e, (5 * s->cols + 2 * rows) * sizeof(float), "a search of scales");
    s->xm = s->importance + s->cols;
    s->wm = s->xm + s->cols;
    s->try = s->wm + s->cols;
    s->best = s->try + s->cols;
    for (size_t i = 0; rc == QS_OK && i < s->n; i++) {
        const size_t k = first_of_type(s, i);
        if (k < i)
            s->rooms[i] = s->rooms[k];
        else
            rc = qs_awq_rooms_new(qs_format_by_id(type_of(s, &s->m[i])), s->cols, s->a->pool, &s->rooms[i], e);
    }
    return rc;
}

int qs_awq_scales(const struct qs_awq_search *a, const struct qs_awq_matrix *m, size_t n, size_t cols, size_t heads,
                  size_t kv_heads, float *scale, struct qs_awq_result *out, struct qs_err *e)
{
    struct search s = { .a = a, .m = m, .n = n, .cols = cols, .heads = heads, .kv_heads = kv_heads };
    *out = (struct qs_awq_result){ 0 };
    int rc = check(&s, e);
    if (rc == QS_OK)
        rc = make_room(&s, e);
    if (rc == QS_OK)
        rc = activations(&s, e);
    if (rc == QS_OK)
        rc = weights(&s, e);
    if (rc == QS_OK) {
        look(&s, out);
        const bool better = out->after < out->before;
        for (size_t j = 0; j < cols; j++)
            scale[j] = better ? s.best[j] : 1;
        if (!better)
            *out = (struct qs_awq_result){ .before = out->before, .after = out->before, .tried = out->tried };
    }
    for (size_t i = n; s.rooms && i-- > 0;)
        if (first_of_type(&s, i) == i)
            qs_awq_rooms_free(&s.rooms[i]);
    qs_free(s.rooms);
    qs_free(s.importance);
    qs_free(s.error);
    return rc;
}

/* ---- what is known of the scaled input ---- */

void qs_awq_rescale_hessian(struct qs_hessian *h, const float *scale)
{
    for (size_t i = 0; i < h->cols; i++)
        for (size_t j = 0; j < h->cols; j++) {
            h->h[i * h->cols + j] /= scale[i] * scale[j];
            if (h->cross)
                h->cross[i * h->cols + j] /= scale[i] * scale[j];
        }
    for (size_t i = 0; h->drift && i < h->width * h->cols; i++)
        h->drift[i] /= scale[i % h->cols];
}

void qs_awq_rescale_stats(struct qs_input_stats *s, size_t expert, const float *scale)
{
    const size_t at = expert * s->cols;
    for (size_t j = 0; j < s->cols; j++) {
        s->sum2[at + j] /= (double)scale[j] * (double)scale[j];
        if (s->sum)
            s->sum[at + j] /= (double)scale[j];
        if (s->max)
            s->max[at + j] /= scale[j];
    }
    for (size_t r = 0; s->row && r < s->n_rows; r++)
        for (size_t j = 0; (s->experts <= 1 || !s->row_expert || s->row_expert[r] == expert) && j < s->cols; j++)
            s->row[r * s->cols + j] /= scale[j];
}
