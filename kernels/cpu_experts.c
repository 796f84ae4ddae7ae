/* cpu_experts.c - a mixture of experts: routing, the chosen experts on their tokens, the weighted sum.
 *
 * Every (token, chosen expert) is an assignment. Assignments are sorted by expert, then token, and worked off in slices
 * of at most SLICE, so that scratch memory is bounded; the tokens of one expert go through its matrices together. Since
 * slices run in order, each token's experts are added in index order.
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu_device.h"
#include "kernels/ref/funcs.h"

enum { SLICE = 256, COLUMNS = 256 /* of the output that one item adds up */ };

struct assignment {
    size_t token, expert;
    float weight;
    uint32_t rank;               /* of the expert among those that the token uses */
};

/* The area of one operation. */
struct place {
    float *logits;               /* n rows of n_expert */
    struct assignment *all;      /* n * n_used, sorted */
    size_t *begin;               /* n_expert + 1 */
    struct qs_cpu_product *list; /* 2 * SLICE */
    uint8_t *x[QS_ACT_COUNT];    /* inputs of a slice, in the forms that gate and up want */
    uint8_t *h;                  /* inputs of down */
    float *gate, *up, *y;        /* gate: the result of glu too; fused: gate holds 2 * ff */
};

struct shape {
    bool fused;
    enum qs_act act[2], act_h;   /* of gate and up */
    size_t slice, x_bytes[QS_ACT_COUNT], h_bytes, gate_stride;
};

static struct shape shape_of(const struct qs_op *op)
{
    const enum qs_precision p = op->u.experts.precision;
    const size_t all = op->n * op->u.experts.n_used, ff = op->u.experts.ff;
    struct shape s = { .fused = !op->u.experts.gate.parts.p[0], .slice = all < SLICE ? all : SLICE };
    s.act[1] = qs_cpu_act(op->u.experts.up.format, p);
    s.act[0] = s.fused ? s.act[1] : qs_cpu_act(op->u.experts.gate.format, p);
    s.act_h = qs_cpu_act(op->u.experts.down.format, p);
    for (int i = 0; i < 2; i++)
        s.x_bytes[s.act[i]] = qs_act_bytes(s.act[i], op->u.experts.cols);
    s.h_bytes = s.act_h == QS_ACT_F32 ? 0 : qs_act_bytes(s.act_h, ff);
    s.gate_stride = s.fused ? 2 * ff : ff;
    return s;
}

static void *piece(uint8_t *base, size_t *used, size_t bytes)
{
    uint8_t *at = base ? base + *used : NULL;
    *used += qs_cpu_round(bytes);
    return at;
}

static size_t carve(const struct qs_op *op, const struct shape *s, uint8_t *base, struct place *p)
{
    const size_t n = op->n, experts = op->u.experts.n_expert;
    size_t bytes = 0;
    p->logits = piece(base, &bytes, n * experts * sizeof *p->logits);
    p->all = piece(base, &bytes, n * op->u.experts.n_used * sizeof *p->all);
    p->begin = piece(base, &bytes, (experts + 1) * sizeof *p->begin);
    p->list = piece(base, &bytes, 2 * s->slice * sizeof *p->list);
    for (int a = 0; a < QS_ACT_COUNT; a++)
        p->x[a] = piece(base, &bytes, s->slice * s->x_bytes[a]);
    p->h = piece(base, &bytes, s->slice * s->h_bytes);
    p->gate = piece(base, &bytes, s->slice * s->gate_stride * sizeof(float));
    p->up = piece(base, &bytes, s->fused ? 0 : s->slice * op->u.experts.ff * sizeof(float));
    p->y = piece(base, &bytes, s->slice * op->u.experts.cols * sizeof(float));
    return bytes;
}

void qs_cpu_experts_need(const struct qs_op *op, struct qs_cpu_need *need)
{
    const struct shape s = shape_of(op);
    struct place p;
    const size_t bytes[] = { qs_cpu_product_local(&op->u.experts.router, QS_ACT_F32, op->n),
                             qs_cpu_product_local(&op->u.experts.up, s.act[1], s.slice),
                             qs_cpu_product_local(&op->u.experts.down, s.act_h, s.slice),
                             s.fused ? 0 : qs_cpu_product_local(&op->u.experts.gate, s.act[0], s.slice) };
    need->area = carve(op, &s, NULL, &p);
    for (int i = 0; i < 4; i++)
        need->local = bytes[i] > need->local ? bytes[i] : need->local;
}

/* ---- routing */

static float key_of(float logit) { return logit == logit ? logit : -INFINITY; } /* NaN is chosen last */

/* The n_used largest logits, ties to the lower index. */
static void choose(const float *logits, size_t n, size_t used, struct assignment *out)
{
    float last = INFINITY;
    size_t last_at = n; /* none yet */
    for (size_t u = 0; u < used; u++) {
        size_t best = n;
        for (size_t i = 0; i < n; i++) {
            const float k = key_of(logits[i]);
            const bool left = last_at == n || k < last || (k == last && i > last_at);
            if (left && (best == n || k > key_of(logits[best])))
                best = i;
        }
        out[u].expert = best;
        last = key_of(logits[best]);
        last_at = best;
    }
    for (size_t a = 1; a < used; a++) /* into index order */
        for (size_t b = a; b > 0 && out[b].expert < out[b - 1].expert; b--) {
            const struct assignment swap = out[b];
            out[b] = out[b - 1];
            out[b - 1] = swap;
        }
}

/* Weights of the chosen: a softmax over all logits, or over theirs. */
static void weigh(const struct qs_op *op, const float *logits, struct assignment *out)
{
    const size_t n = op->u.experts.n_expert, used = op->u.experts.n_used;
    const bool after = op->u.experts.softmax_after;
    float most = -INFINITY, sum = 0, chosen = 0;
    for (size_t i = 0; i < n; i++)
        most = logits[i] > most ? logits[i] : most;
    for (size_t i = 0; !after && i < n; i++)
        sum += qs_exp(logits[i] - most);
    for (size_t u = 0; u < used; u++) {
        out[u].weight = qs_exp(logits[out[u].expert] - most);
        sum += after ? out[u].weight : 0;
    }
    for (size_t u = 0; u < used; u++) {
        out[u].weight /= sum;
        chosen += out[u].weight;
    }
    for (size_t u = 0; u < used; u++)
        out[u].weight = (op->u.experts.normalise ? out[u].weight / chosen : out[u].weight) * op->u.experts.scale;
}

/* Sorts the assignments by expert, then token: tokens come in order, so counting is enough. */
static void route(const struct qs_op *op, const struct place *p)
{
    const size_t n = op->n, experts = op->u.experts.n_expert, used = op->u.experts.n_used;
    memset(p->begin, 0, (experts + 1) * sizeof *p->begin);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t t = 0; t < n; t++) {
            struct assignment out[QS_EXPERTS_USED_MAX];
            const float *logits = p->logits + t * experts;
            choose(logits, experts, used, out);
            weigh(op, logits, out);
            for (size_t u = 0; u < used; u++) {
                out[u].token = t;
                out[u].rank = (uint32_t)u;
                if (pass == 0)
                    p->begin[out[u].expert + 1]++;
                else
                    p->all[p->begin[out[u].expert]++] = out[u];
            }
        }
        for (size_t i = 0; pass == 0 && i < experts; i++)
            p->begin[i + 1] += p->begin[i];
    }
}

/* ---- taps: pairs go to the place that token and rank give them, so that the order of the work does not matter */

static void keep_pair(const struct qs_op *op, struct qs_tap *tap, const struct assignment *a, const float *row)
{
    const size_t at = tap->n_rows + a->token * op->u.experts.n_used + a->rank;
    if (at >= tap->max_rows)
        return;
    tap->pair_row[at] = (uint32_t)(tap->count + a->token);
    tap->pair_expert[at] = (uint32_t)a->expert;
    if (tap->rows)
        memcpy(tap->rows + at * tap->cols, row, tap->cols * sizeof *row);
}

static void end_tap(const struct qs_op *op, struct qs_tap *tap)
{
    const size_t left = tap ? tap->max_rows - tap->n_rows : 0, came = op->n * op->u.experts.n_used;
    if (!tap)
        return;
    tap->n_rows += came < left ? came : left;
    tap->count += op->n;
}

/* ---- a slice */

struct job {
    const struct qs_cpu *c;
    const struct qs_op *op;
    const struct shape *s;
    const struct place *p;
    const struct assignment *slice;
    size_t n;
};

static void gather(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct job *j = ctx;
    const size_t cols = j->op->u.experts.cols;
    struct qs_tap *tap = j->op->u.experts.tap_in;
    (void)thread;
    for (size_t i = begin; tap && i < end; i++)
        keep_pair(j->op, tap, &j->slice[i], qs_cpu_row(&j->op->u.experts.in, j->slice[i].token));
    for (int a = 0; a < QS_ACT_COUNT; a++)
        for (size_t i = begin; j->s->x_bytes[a] && i < end; i++) {
            const float *x = qs_cpu_row(&j->op->u.experts.in, j->slice[i].token);
            uint8_t *to = j->p->x[a] + i * j->s->x_bytes[a];
            if (a == QS_ACT_F32)
                memcpy(to, x, cols * sizeof *x);
            else
                qs_row_ops()->quantize[a](x, cols, to);
        }
}

static void gate_up(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct job *j = ctx;
    const struct qs_op *op = j->op;
    const size_t ff = op->u.experts.ff;
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        float *g = j->p->gate + i * j->s->gate_stride;
        const float *u = j->s->fused ? g + ff : j->p->up + i * ff;
        qs_row_ops()->glu[op->u.experts.glu](g, u, ff, op->u.experts.alpha, op->u.experts.limit, g);
        if (op->u.experts.tap_down)
            keep_pair(op, op->u.experts.tap_down, &j->slice[i], g);
        if (j->s->act_h != QS_ACT_F32)
            qs_row_ops()->quantize[j->s->act_h](g, ff, j->p->h + i * j->s->h_bytes);
    }
}

static void add_up(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct job *j = ctx;
    const size_t cols = j->op->u.experts.cols;
    (void)thread;
    for (size_t k = begin; k < end; k++) {
        const size_t from = k * COLUMNS, n = cols - from < COLUMNS ? cols - from : COLUMNS;
        for (size_t i = 0; i < j->n; i++)
            qs_row_ops()->add(qs_cpu_row(&j->op->u.experts.out, j->slice[i].token) + from, j->p->y + i * cols + from, n,
                              j->slice[i].weight);
    }
}

/* One product for each expert of the slice. down: with the result of glu; otherwise up, and gate unless fused. */
static size_t list_products(const struct job *j, bool down)
{
    const struct qs_op *op = j->op;
    const struct shape *s = j->s;
    const struct place *p = j->p;
    const size_t cols = op->u.experts.cols, ff = op->u.experts.ff;
    size_t n = 0;
    for (size_t i = 0, next; i < j->n; i = next) {
        const size_t e = j->slice[i].expert;
        for (next = i; next < j->n && j->slice[next].expert == e; )
            next++;
        struct qs_cpu_product q = { .index = e, .n = next - i };
        if (down) {
            const bool plain = s->act_h == QS_ACT_F32;
            const size_t stride = plain ? s->gate_stride * sizeof(float) : s->h_bytes;
            q.mat = &op->u.experts.down;
            q.act = s->act_h;
            q.x = (plain ? (const uint8_t *)p->gate : p->h) + i * stride;
            q.x_stride = stride;
            q.bias = op->u.experts.down_bias ? op->u.experts.down_bias + e * cols : NULL;
            q.out = p->y + i * cols;
            q.out_stride = cols;
            p->list[n++] = q;
            continue;
        }
        for (int up = s->fused ? 1 : 0; up < 2; up++) {
            const float *bias = up ? op->u.experts.up_bias : op->u.experts.gate_bias;
            q.mat = up ? &op->u.experts.up : &op->u.experts.gate;
            q.act = s->act[up];
            q.x_stride = s->x_bytes[q.act];
            q.x = p->x[q.act] + i * q.x_stride;
            q.bias = bias ? bias + e * q.mat->rows : NULL;
            q.out_stride = up && !s->fused ? ff : s->gate_stride;
            q.out = (up && !s->fused ? p->up : p->gate) + i * q.out_stride;
            p->list[n++] = q;
        }
    }
    return n;
}

static void do_slice(const struct job *j)
{
    const double cols = (double)(j->op->u.experts.cols * j->n), ff = (double)(j->op->u.experts.ff * j->n);
    const size_t grain = j->n / (j->c->threads * 4u) + 1;
    qs_cpu_run(j->c, j->n, grain, 2 * cols, gather, (void *)j);
    qs_cpu_products(j->c, j->p->list, list_products(j, false));
    qs_cpu_run(j->c, j->n, grain, 10 * ff, gate_up, (void *)j);
    qs_cpu_products(j->c, j->p->list, list_products(j, true));
    qs_cpu_run(j->c, (j->op->u.experts.cols + COLUMNS - 1) / COLUMNS, 1, cols, add_up, (void *)j);
}

void qs_cpu_experts(const struct qs_cpu *c, const struct qs_op *op)
{
    const struct shape s = shape_of(op);
    const struct qs_view *in = &op->u.experts.in;
    const size_t all = op->n * op->u.experts.n_used;
    struct place p;
    (void)carve(op, &s, c->area, &p);
    const struct qs_cpu_product router = { .mat = &op->u.experts.router, .act = QS_ACT_F32, .n = op->n,
                                           .x = (const uint8_t *)qs_cpu_row(in, 0), .x_stride = in->stride * sizeof(float),
                                           .bias = op->u.experts.router_bias, .out = p.logits,
                                           .out_stride = op->u.experts.n_expert };
    qs_cpu_products(c, &router, 1);
    route(op, &p);
    for (size_t t = 0; t < op->n; t++)
        memset(qs_cpu_row(&op->u.experts.out, t), 0, op->u.experts.cols * sizeof(float));
    for (size_t at = 0; at < all; at += s.slice) {
        const struct job j = { c, op, &s, &p, p.all + at, all - at < s.slice ? all - at : s.slice };
        do_slice(&j);
    }
    end_tap(op, op->u.experts.tap_in);
    end_tap(op, op->u.experts.tap_down);
}
