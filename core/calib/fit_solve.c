/* fit_solve.c - one option per group at least cost under a budget of bytes, and the proof that nothing costs less.
 *
 * ROAD. Of every group the options that no other beats, and of these the lower convex hull. The hulls' steps in the
 * order of cost saved per byte, as far as the budget goes, give the multiplier lambda, a first solution, and the bound
 * of the linear relaxation L = sum of min(cost + lambda bytes) - lambda budget. Every solution costs exactly
 *
 *     L + sum of r + lambda * (bytes left over),      r = what its option's cost + lambda bytes is above the minimum,
 *
 * so options whose r alone reaches the gap to the best known solution are out, and what remains is gone through group
 * by group: states (bytes, sum of r) that another state beats, or that cannot end below the best known, are dropped,
 * groups whose change costs least first. When no state is left the best known is the optimum. Where the states become
 * too many the least promising are dropped, and nothing is called proven. Refuses groups without options, numbers that
 * are not finite, and budgets below the smallest sum. One thread, pure but for allocations, the same result everywhere.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/fit.h"

#define NODES_MOST ((size_t)2 << 20) /* states kept in all: 32 MiB, below a second */
#define WIDTH_MOST ((size_t)1 << 17) /* of them after one group */

struct point {                /* an option that no other of its group beats */
    uint64_t bytes;
    double cost, r;
    size_t index;             /* in the caller's list */
    bool hull;
    size_t before;            /* on the hull */
};

struct group {
    struct point *p;
    size_t n, base, best;     /* points: of the least cost + lambda bytes, of the first solution */
    double up, down;          /* least r per byte more, per byte less */
    size_t number;            /* the caller's */
};

struct step { double slope; size_t group, from, to; };

/* Some groups decided. Bytes, cost: against all groups at their base. Node: of the state it came from, and the option
 * of the group that is being decided; afterwards its own. */
struct state { int64_t bytes; double cost, r; uint32_t node, choice; };
struct list { struct state *x; size_t n, cap; };
struct node { uint32_t before, choice; };

struct solve {
    struct group *g;
    size_t n;
    struct point *pool;       /* of all groups */
    struct step *step;
    size_t n_steps;
    double lambda, bound;     /* the multiplier, L */
    uint64_t budget, base_bytes;
    double best_cost;         /* of the best known, against the base solution */
    struct node *node;
    size_t n_nodes, cap_nodes;
    size_t *best;             /* per group (by its place in g): the point */
    bool cut;                 /* states were dropped unproven */
    double *up, *down;        /* of all groups from this one on: least of theirs */
};

/* ---- options that count -------------------------------------------------------------------------------------- */

static int by_bytes(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    if (x->cost < y->cost || y->cost < x->cost)
        return x->cost < y->cost ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* More bytes have to cost less. */
static void drop_beaten(struct group *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++)
        if (n == 0 || g->p[i].cost < g->p[n - 1].cost)
            g->p[n++] = g->p[i];
    g->n = n;
}

static double slope(const struct point *a, const struct point *b)
{
    return (a->cost - b->cost) / (double)(b->bytes - a->bytes);
}

/* Marks the lower convex hull: cost saved per byte falls from step to step. */
static void mark_hull(struct group *g)
{
    size_t top = SIZE_MAX;
    for (size_t i = 0; i < g->n; i++) {
        while (top != SIZE_MAX && g->p[top].before != SIZE_MAX &&
               slope(&g->p[g->p[top].before], &g->p[top]) <= slope(&g->p[top], &g->p[i])) {
            g->p[top].hull = false;
            top = g->p[top].before;
        }
        g->p[i].hull = true;
        g->p[i].before = top;
        top = i;
    }
}

static int take_groups(struct solve *s, const struct qs_fit_group *in, struct qs_err *e)
{
    struct point *p = s->pool;
    uint64_t least = 0;
    for (size_t i = 0; i < s->n; i++) {
        struct group *g = &s->g[i];
        *g = (struct group){ .p = p, .n = in[i].n, .number = i };
        if (!g->n)
            return qs_fail(e, QS_EINVAL, "group %zu of the budget has no option", i + 1);
        for (size_t k = 0; k < g->n; k++) {
            const struct qs_fit_option *o = &in[i].option[k];
            if (!isfinite(o->cost) || o->bytes > (uint64_t)1 << 50)
                return qs_fail(e, QS_EINVAL, "option %zu of group %zu of the budget has no finite cost or size", k + 1,
                               i + 1);
            p[k] = (struct point){ .bytes = o->bytes, .cost = o->cost, .index = k };
        }
        qsort(p, g->n, sizeof *p, by_bytes);
        p += g->n;
        drop_beaten(g);
        mark_hull(g);
        if (!qs_add_u64(least, g->p[0].bytes, &least))
            return qs_fail(e, QS_ELIMIT, "the sizes of the groups overflow");
    }
    s->base_bytes = least;
    if (least <= s->budget)
        return QS_OK;
    return qs_fail(e, QS_ELIMIT, "the smallest types take %llu bytes, the budget is %llu: %llu bytes more are needed",
                   (unsigned long long)least, (unsigned long long)s->budget, (unsigned long long)(least - s->budget));
}

/* ---- the relaxation ------------------------------------------------------------------------------------------ */

static int by_slope(const void *a, const void *b)
{
    const struct step *x = a, *y = b;
    if (x->slope < y->slope || y->slope < x->slope)
        return x->slope > y->slope ? -1 : 1;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return x->to < y->to ? -1 : x->to > y->to;
}

static void make_steps(struct solve *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct group *g = &s->g[i];
        size_t from = 0; /* the first point is always on the hull */
        for (size_t k = 1; k < g->n; k++) {
            if (!g->p[k].hull)
                continue;
            s->step[s->n_steps++] = (struct step){ slope(&g->p[from], &g->p[k]), i, from, k };
            from = k;
        }
    }
    qsort(s->step, s->n_steps, sizeof *s->step, by_slope);
}

/* Steps as far as they go without a gap; the first that does not fit has the multiplier. */
static void relax(struct solve *s)
{
    size_t i = 0;
    for (; i < s->n_steps; i++) {
        const struct step *t = &s->step[i];
        struct group *g = &s->g[t->group];
        const uint64_t more = g->p[t->to].bytes - g->p[t->from].bytes;
        if (more > s->budget - s->base_bytes)
            break;
        s->base_bytes += more;
        g->base = t->to;
    }
    s->lambda = i < s->n_steps ? s->step[i].slope : 0;
    s->bound = -s->lambda * (double)(s->budget - s->base_bytes);
    for (size_t k = 0; k < s->n; k++) {
        struct group *g = &s->g[k];
        const struct point *b = &g->p[g->base];
        s->bound += b->cost;
        for (size_t j = 0; j < g->n; j++) {
            const double bytes = g->p[j].bytes < b->bytes ? -(double)(b->bytes - g->p[j].bytes)
                                                          : (double)(g->p[j].bytes - b->bytes);
            const double r = j == g->base ? 0 : g->p[j].cost - b->cost + s->lambda * bytes;
            g->p[j].r = r > 0 ? r : 0;
        }
    }
}

/* What the best known solution is above L. */
static double gap(const struct solve *s)
{
    return s->best_cost + s->lambda * (double)(s->budget - s->base_bytes);
}

/* The rest of the steps, whichever still fit: the first solution that is known. */
static void fill_up(struct solve *s)
{
    uint64_t left = s->budget - s->base_bytes;
    for (size_t i = 0; i < s->n; i++)
        s->best[i] = s->g[i].base;
    for (size_t i = 0; i < s->n_steps; i++) {
        const struct step *t = &s->step[i];
        const struct point *p = s->g[t->group].p;
        const size_t now = s->best[t->group];
        if (t->to <= now || p[t->to].bytes - p[now].bytes > left)
            continue;
        left -= p[t->to].bytes - p[now].bytes;
        s->best[t->group] = t->to;
        s->best_cost += p[t->to].cost - p[now].cost;
    }
}

/* ---- states -------------------------------------------------------------------------------------------------- */

static int by_rate(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    const double u = fmin(x->up, x->down), v = fmin(y->up, y->down);
    if (u < v || v < u)
        return u < v ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Options that cannot be part of anything better go; groups in the order in which they may help. */
static void reduce(struct solve *s)
{
    const double most = gap(s);
    for (size_t i = 0; i < s->n; i++) {
        struct group *g = &s->g[i];
        const uint64_t base = g->p[g->base].bytes;
        size_t n = 0, at = 0, best = 0;
        g->up = g->down = INFINITY;
        for (size_t k = 0; k < g->n; k++) {
            const struct point *p = &g->p[k];
            if (k != g->base && p->r >= most && k != s->best[i])
                continue;
            if (p->bytes > base)
                g->up = fmin(g->up, p->r / (double)(p->bytes - base));
            if (p->bytes < base)
                g->down = fmin(g->down, p->r / (double)(base - p->bytes));
            if (k == g->base)
                at = n;
            if (k == s->best[i])
                best = n;
            g->p[n++] = *p;
        }
        g->base = at;
        g->best = best;
        g->n = n;
    }
    qsort(s->g, s->n, sizeof *s->g, by_rate);
    for (size_t i = 0; i < s->n; i++)
        s->best[i] = s->g[i].best;
    s->up[s->n] = s->down[s->n] = INFINITY;
    for (size_t i = s->n; i-- > 0;) {
        s->up[i] = fmin(s->up[i + 1], s->g[i].up);
        s->down[i] = fmin(s->down[i + 1], s->g[i].down);
    }
}

/* Nothing that comes of the state, with groups from `next` on still free, is less above L than this. */
static double least(const struct solve *s, const struct state *x, size_t next)
{
    const int64_t slack = (int64_t)(s->budget - s->base_bytes) - x->bytes;
    if (slack < 0)
        return x->r + -(double)slack * s->down[next];
    return slack ? x->r + (double)slack * fmin(s->lambda, s->up[next]) : x->r;
}

/* A state whose remaining groups stay at their base is a solution. */
static void consider(struct solve *s, const struct state *x, size_t next)
{
    const int64_t slack = (int64_t)(s->budget - s->base_bytes) - x->bytes;
    if (slack < 0 || !(x->cost < s->best_cost))
        return;
    s->best_cost = x->cost;
    for (size_t i = next; i < s->n; i++)
        s->best[i] = s->g[i].base;
    uint32_t at = x->node;
    for (size_t i = next; i-- > 0; at = s->node[at].before)
        s->best[i] = s->node[at].choice;
}

static bool room(struct list *l, size_t n)
{
    return qs_grow(&l->x, &l->cap, n, sizeof *l->x);
}

/* to = a and b together, where every state of b takes option k of the group: bytes ascend, costs fall. */
static void merge(struct list *to, const struct list *a, const struct list *b, const struct group *g, size_t k)
{
    const struct point *p = &g->p[k], *base = &g->p[g->base];
    const int64_t bytes = (int64_t)p->bytes - (int64_t)base->bytes;
    const double cost = p->cost - base->cost;
    size_t i = 0, j = 0;
    to->n = 0;
    while (i < a->n || j < b->n) {
        struct state x;
        if (j < b->n) {
            x = b->x[j];
            x = (struct state){ x.bytes + bytes, x.cost + cost, x.r + p->r, x.node, (uint32_t)k };
        }
        if (j >= b->n ||
            (i < a->n && (a->x[i].bytes < x.bytes || (a->x[i].bytes == x.bytes && a->x[i].cost <= x.cost))))
            x = a->x[i++];
        else
            j++;
        if (to->n == 0 || x.cost < to->x[to->n - 1].cost)
            to->x[to->n++] = x;
    }
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Leaves about `width` of the states, those with the least bounds. */
static int cut_to(struct solve *s, struct list *l, size_t next, size_t width, struct qs_err *e)
{
    double *value = qs_calloc(l->n, sizeof *value);
    if (!value)
        return qs_fail_mem(e, l->n * sizeof *value, "the solver's states");
    for (size_t i = 0; i < l->n; i++)
        value[i] = least(s, &l->x[i], next);
    qsort(value, l->n, sizeof *value, by_value);
    const double most = value[width - 1];
    size_t n = 0;
    for (size_t i = 0; i < l->n && n < width; i++)
        if (least(s, &l->x[i], next) <= most)
            l->x[n++] = l->x[i];
    l->n = n;
    s->cut = true;
    qs_free(value);
    return QS_OK;
}

/* What of the states may still end below the best known, `next` groups decided; these get nodes. */
static int prune(struct solve *s, struct list *l, size_t next, struct qs_err *e)
{
    const size_t free_nodes = s->n_nodes < NODES_MOST ? NODES_MOST - s->n_nodes : 0;
    const size_t share = free_nodes / (s->n - next + 1) + 1, width = share < WIDTH_MOST ? share : WIDTH_MOST;
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (least(s, &l->x[i], next) < gap(s))
            l->x[n++] = l->x[i];
    l->n = n;
    if (n > width) {
        const int rc = cut_to(s, l, next, width, e);
        if (rc)
            return rc;
    }
    if (!qs_grow(&s->node, &s->cap_nodes, s->n_nodes + l->n, sizeof *s->node))
        return qs_fail_mem(e, (s->n_nodes + l->n) * sizeof *s->node, "the solver's states");
    for (size_t i = 0; i < l->n; i++) {
        s->node[s->n_nodes] = (struct node){ l->x[i].node, l->x[i].choice };
        l->x[i].node = (uint32_t)s->n_nodes++;
    }
    for (size_t i = 0; i < l->n; i++)
        consider(s, &l->x[i], next);
    return QS_OK;
}

/* All states, group by group. */
static int search(struct solve *s, struct qs_err *e)
{
    struct list now = { NULL, 0, 0 }, sum = now, other = now;
    int rc = room(&now, 1) ? QS_OK : qs_fail_mem(e, sizeof *now.x, "the solver's states");
    if (!rc) {
        now.x[0] = (struct state){ 0, 0, 0, 0, 0 };
        now.n = 1;
    }
    for (size_t i = 0; i < s->n && now.n && !rc; i++) {
        const struct group *g = &s->g[i];
        sum.n = 0;
        for (size_t k = 0; k < g->n && !rc; k++) {
            if (!room(&other, sum.n + now.n)) {
                rc = qs_fail_mem(e, (sum.n + now.n) * sizeof *now.x, "the solver's states");
                break;
            }
            merge(&other, &sum, &now, g, k);
            const struct list swap = sum;
            sum = other;
            other = swap;
        }
        const struct list swap = now;
        now = sum;
        sum = swap;
        rc = rc ? rc : prune(s, &now, i + 1, e);
    }
    qs_free(now.x);
    qs_free(sum.x);
    qs_free(other.x);
    return rc;
}

/* ---- all of it ----------------------------------------------------------------------------------------------- */

static int make_room(struct solve *s, const struct qs_fit_group *in, size_t n, struct qs_err *e)
{
    size_t options = 0;
    for (size_t i = 0; i < n; i++)
        options += in[i].n;
    s->n = n;
    s->g = qs_calloc(n + 1, sizeof *s->g);
    s->pool = qs_calloc(options + 1, sizeof *s->pool);
    s->step = qs_calloc(options + 1, sizeof *s->step);
    s->best = qs_calloc(n + 1, sizeof *s->best);
    s->up = qs_calloc(n + 1, sizeof *s->up);
    s->down = qs_calloc(n + 1, sizeof *s->down);
    return s->g && s->pool && s->step && s->best && s->up && s->down
               ? QS_OK
               : qs_fail_mem(e, (options + n) * sizeof *s->pool, "the solver of a budget");
}

static int hand_out(const struct solve *s, const struct qs_fit_group *in, struct qs_fit_result *out, struct qs_err *e)
{
    *out = (struct qs_fit_result){ .choice = qs_calloc(s->n + 1, sizeof *out->choice), .exact = !s->cut,
                                   .bound = s->bound };
    if (!out->choice)
        return qs_fail_mem(e, s->n * sizeof *out->choice, "the choice of types");
    for (size_t i = 0; i < s->n; i++)
        out->choice[s->g[i].number] = s->g[i].p[s->best[i]].index;
    for (size_t i = 0; i < s->n; i++) {
        out->cost += in[i].option[out->choice[i]].cost;
        out->bytes += in[i].option[out->choice[i]].bytes;
    }
    if (out->bound > out->cost) /* rounding */
        out->bound = out->cost;
    return QS_OK;
}

int qs_fit_solve(const struct qs_fit_group *g, size_t n, uint64_t budget, struct qs_fit_result *out, struct qs_err *e)
{
    struct solve s = { .budget = budget };
    *out = (struct qs_fit_result){ .choice = NULL };
    int rc = make_room(&s, g, n, e);
    if (!rc)
        rc = take_groups(&s, g, e);
    if (!rc) {
        make_steps(&s);
        relax(&s);
        fill_up(&s);
        reduce(&s);
        rc = search(&s, e);
    }
    if (!rc)
        rc = hand_out(&s, g, out, e);
    qs_free(s.g);
    qs_free(s.pool);
    qs_free(s.step);
    qs_free(s.best);
    qs_free(s.up);
    qs_free(s.down);
    qs_free(s.node);
    return rc;
}

void qs_fit_result_free(struct qs_fit_result *r)
{
    qs_free(r->choice);
    *r = (struct qs_fit_result){ .choice = NULL };
}
