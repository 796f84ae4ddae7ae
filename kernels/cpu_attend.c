/* cpu_attend.c - attention over the cache, in tiles of QS_ATTEND_TILE keys.
 *
 * DEFINITION. For a token and a head, each tile that holds keys it may see gives, for those keys in order: logits
 * cap(scale * q k) (products as QS_F32's of dot.h), m = the largest, p = exp(logit - m), l = the sum of p (k % 8 apart),
 * y = sum of p * v by fma in key order. Tiles are merged in key order into (M, L, Y), from (-inf, 0, 0): with
 * N = max(M, m), a = exp(M - N), b = exp(m - N): L = L * a + l * b, Y = Y * a + y * b, M = N. A sink is one more tile with
 * l = 1, y = 0 at the end. out = Y / L. So nothing depends on which tokens, heads or tiles are worked on together.
 *
 * WORK. An item is a KV head with a few tokens: its tiles are decoded once for all their queries (F32, and F16 where there are
 * few queries, are used as they lie). Where few tokens leave threads idle, an item is instead a run of tiles, whose
 * (m, l, y) are kept and merged afterwards.
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu_device.h"
#include "kernels/ref/funcs.h"

enum {
    TILE = QS_ATTEND_TILE,
    QUERIES = 48,            /* about so many share a decoded tile */
    DECODED_FROM = 6,        /* so many queries are worth decoding F16 */
    PARTS_FLOATS = 2 << 20,  /* limit of what is kept per tile */
};

/* What both ways of working share. */
struct job {
    const struct qs_cpu *c;
    const struct qs_op *op;
    size_t group;        /* heads that share a KV head */
    size_t step;         /* tokens of an item */
    size_t items;        /* token steps times KV heads */
    size_t tiles, runs, run_tiles; /* tiles up to the last key; > 1 runs: cut by tiles */
    float *parts;        /* for each item and tile and query: m, l, y */
};

/* Local memory of one item. */
struct place {
    float *q, *k, *v, *score, *state, *y;
};

static size_t tokens_of_item(const struct qs_op *op)
{
    const size_t group = op->u.attend.n_head / op->u.attend.n_kv, n = group < QUERIES ? QUERIES / group : 1;
    return n < op->n ? n : op->n;
}

static size_t part_floats(const struct qs_op *op) { return op->u.attend.dv + 2; }

static size_t carve(const struct qs_op *op, float *base, struct place *p)
{
    const size_t queries = tokens_of_item(op) * (op->u.attend.n_head / op->u.attend.n_kv), unit = QS_CPU_ALIGN / sizeof(float);
    const size_t need[6] = { queries * op->u.attend.dk, TILE * op->u.attend.dk, TILE * op->u.attend.dv, queries * TILE,
                             queries * part_floats(op), op->u.attend.dv };
    float *at[6];
    size_t floats = 0;
    for (int i = 0; i < 6; i++) {
        at[i] = base ? base + floats : NULL;
        floats += (need[i] + unit - 1) / unit * unit;
    }
    *p = (struct place){ at[0], at[1], at[2], at[3], at[4], at[5] };
    return floats;
}

/* One tile of one head of a cache: where, as F32 or F16, and how many values apart. */
struct tile {
    const uint8_t *at;
    size_t stride;
    int type;
};

/* Keys from `keys` on are not there. room: what decoding needs. */
static struct tile tile_of(const struct qs_cache *c, size_t head, size_t dim, size_t tile, size_t keys, size_t queries,
                           float *room)
{
    const struct qs_format *f = qs_format_by_id(c->type);
    const uint8_t *at = c->buf->p + c->at + tile * TILE * c->row_bytes + head * qs_format_row_bytes(f, dim);
    if (c->type == QS_F32 || (c->type == QS_F16 && queries < DECODED_FROM))
        return (struct tile){ at, c->row_bytes / qs_format_row_bytes(f, 1), c->type };
    qs_decode_fn *decode = qs_format_ops(c->type)->decode;
    for (size_t k = 0; k < keys; k++, at += c->row_bytes) {
        const struct qs_const_parts src = { { at } };
        decode(&src, 1, dim, room + k * dim, dim);
    }
    return (struct tile){ (const uint8_t *)room, dim, QS_F32 };
}

/* y = sum of p[k] * value k, from value `from` of the tile on. */
static void mix(const struct tile *v, size_t from, const float *p, size_t keys, size_t dv, float *y)
{
    if (v->type == QS_F32)
        qs_row_ops()->mix(p, keys, (const float *)v->at + from * v->stride, v->stride, dv, y);
    else
        qs_row_ops()->mix_f16(p, keys, (const uint16_t *)v->at + from * v->stride, v->stride, dv, y);
}

/* Keys token t may see: [from, to). */
static void seen(const struct qs_op *op, size_t t, size_t *from, size_t *to)
{
    *to = op->u.attend.pos + t + 1;
    *from = op->u.attend.window && *to > op->u.attend.window ? *to - op->u.attend.window : 0;
}

static void merge(float *state, float m, float l, const float *y, size_t dv)
{
    const float n = m > state[0] ? m : state[0];
    const float a = qs_exp(state[0] - n), b = qs_exp(m - n);
    state[0] = n;
    state[1] = state[1] * a + l * b;
    if (y)
        qs_row_ops()->merge(state + 2, a, y, b, dv);
}

/* What one tile gives for one query whose logits are in `score`: m, l, y. False: the token sees none of its keys. */
static bool one_query(const struct qs_op *op, size_t t, size_t tile, float *score, const struct tile *v, float *m, float *l,
                      float *y)
{
    size_t from, to;
    seen(op, t, &from, &to);
    from = from > tile * TILE ? from - tile * TILE : 0;
    to = to > tile * TILE ? to - tile * TILE : 0;
    to = to < TILE ? to : TILE;
    if (from >= to)
        return false;
    const struct qs_row_ops *rows = qs_row_ops();
    rows->softcap(score + from, to - from, op->u.attend.softcap, op->u.attend.scale);
    rows->softmax_tile(score + from, to - from, m, l);
    mix(v, from, score + from, to - from, op->u.attend.dv, y);
    return true;
}

/* Tiles [first, last) for tokens [t0, t1) of one KV head: merged into the states, or kept in parts. */
static void do_tiles(const struct job *j, const struct place *p, size_t kv, size_t t0, size_t t1, size_t first, size_t last,
                     float *parts)
{
    const struct qs_op *op = j->op;
    const size_t end = op->u.attend.pos + t1, queries = (t1 - t0) * j->group, dk = op->u.attend.dk, dv = op->u.attend.dv;
    for (size_t tile = first; tile < last; tile++) {
        const size_t keys = end - tile * TILE < TILE ? end - tile * TILE : TILE;
        const struct tile k = tile_of(&op->u.attend.kc, kv, dk, tile, keys, queries, p->k);
        const struct tile v = tile_of(&op->u.attend.vc, kv, dv, tile, keys, queries, p->v);
        const struct qs_dot dot = { k.at, k.stride * qs_format_row_bytes(qs_format_by_id(k.type), 1), keys, dk,
                                    (const uint8_t *)p->q, dk * sizeof *p->q, queries, p->score, TILE };
        qs_dot_ops(k.type)->f32(&dot);
        for (size_t i = 0; i < queries; i++) {
            float m = 0, l = 0, *part = parts ? parts + (tile * queries + i) * part_floats(op) : NULL;
            const bool some = one_query(op, t0 + i / j->group, tile, p->score + i * TILE, &v, part ? part : &m,
                                        part ? part + 1 : &l, part ? part + 2 : p->y);
            if (some && !part)
                merge(p->state + i * part_floats(op), m, l, p->y, dv);
        }
    }
}

static void reset_state(float *state, size_t dv)
{
    memset(state, 0, (dv + 2) * sizeof *state);
    state[0] = -INFINITY;
}

static void finish(const struct qs_op *op, size_t t, size_t head, float *state)
{
    float *out = qs_cpu_row(&op->u.attend.out, t) + head * op->u.attend.dv;
    const size_t dv = op->u.attend.dv;
    if (op->u.attend.sinks) {
        const float before = state[0];
        merge(state, op->u.attend.sinks[head], 1, NULL, dv);
        const float a = qs_exp(before - state[0]);
        for (size_t i = 0; i < dv; i++)
            state[2 + i] *= a;
    }
    for (size_t i = 0; i < dv; i++)
        out[i] = state[2 + i] / state[1];
}

static void load_queries(const struct job *j, size_t kv, size_t t0, size_t t1, float *q)
{
    const size_t floats = j->group * j->op->u.attend.dk;
    for (size_t t = t0; t < t1; t++)
        memcpy(q + (t - t0) * floats, qs_cpu_row(&j->op->u.attend.q, t) + kv * floats, floats * sizeof *q);
}

/* Tiles that tokens [t0, t1) may see. */
static void tiles_of(const struct qs_op *op, size_t t0, size_t t1, size_t *first, size_t *last)
{
    size_t from, to, unused;
    seen(op, t0, &from, &unused);
    seen(op, t1 - 1, &unused, &to);
    *first = from / TILE;
    *last = (to - 1) / TILE + 1;
}

/* ---- items of whole tokens */

static void whole(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct job *j = ctx;
    const struct qs_op *op = j->op;
    struct place p;
    (void)carve(op, qs_cpu_local(j->c, thread), &p);
    for (size_t i = begin; i < end; i++) {
        const size_t kv = i % op->u.attend.n_kv, t0 = i / op->u.attend.n_kv * j->step;
        const size_t t1 = op->n - t0 < j->step ? op->n : t0 + j->step;
        size_t first, last;
        load_queries(j, kv, t0, t1, p.q);
        for (size_t k = 0; k < (t1 - t0) * j->group; k++)
            reset_state(p.state + k * part_floats(op), op->u.attend.dv);
        tiles_of(op, t0, t1, &first, &last);
        do_tiles(j, &p, kv, t0, t1, first, last, NULL);
        for (size_t k = 0; k < (t1 - t0) * j->group; k++)
            finish(op, t0 + k / j->group, kv * j->group + k % j->group, p.state + k * part_floats(op));
    }
}

/* ---- items of runs of tiles: one step of tokens holds the whole batch */

static float *parts_of(const struct job *j, size_t kv)
{
    return j->parts + kv * j->tiles * j->op->n * j->group * part_floats(j->op);
}

static void some_tiles(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct job *j = ctx;
    const struct qs_op *op = j->op;
    struct place p;
    (void)carve(op, qs_cpu_local(j->c, thread), &p);
    for (size_t i = begin; i < end; i++) {
        const size_t kv = i % op->u.attend.n_kv, from = i / op->u.attend.n_kv * j->run_tiles;
        size_t first, last;
        tiles_of(op, 0, op->n, &first, &last);
        first = first > from ? first : from;
        last = last < from + j->run_tiles ? last : from + j->run_tiles;
        if (first >= last)
            continue;
        load_queries(j, kv, 0, op->n, p.q);
        do_tiles(j, &p, kv, 0, op->n, first, last, parts_of(j, kv));
    }
}

static void merge_parts(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct job *j = ctx;
    const struct qs_op *op = j->op;
    struct place p;
    (void)carve(op, qs_cpu_local(j->c, thread), &p);
    for (size_t i = begin; i < end; i++) {
        const size_t head = i % op->u.attend.n_head, t = i / op->u.attend.n_head, kv = head / j->group;
        const size_t query = t * j->group + head % j->group, queries = op->n * j->group;
        size_t first, last;
        tiles_of(op, t, t + 1, &first, &last);
        reset_state(p.state, op->u.attend.dv);
        for (size_t tile = first; tile < last; tile++) {
            const float *part = parts_of(j, kv) + (tile * queries + query) * part_floats(op);
            merge(p.state, part[0], part[1], part + 2, op->u.attend.dv);
        }
        finish(op, t, head, p.state);
    }
}

/* ---- the operation */

static size_t parts_floats(const struct qs_op *op)
{
    const size_t tiles = (op->u.attend.pos + op->n - 1) / TILE + 1, each = op->n * op->u.attend.n_head * part_floats(op);
    return tokens_of_item(op) == op->n && tiles > 1 && each <= PARTS_FLOATS / tiles ? tiles * each : 0;
}

void qs_cpu_attend_need(const struct qs_op *op, struct qs_cpu_need *need)
{
    struct place p;
    need->local = carve(op, NULL, &p) * sizeof(float);
    need->area = parts_floats(op) * sizeof(float);
}

void qs_cpu_attend(const struct qs_cpu *c, const struct qs_op *op)
{
    struct job j = { .c = c, .op = op, .group = op->u.attend.n_head / op->u.attend.n_kv, .step = tokens_of_item(op) };
    size_t first, last;
    tiles_of(op, 0, op->n, &first, &last);
    const size_t keys = (last - first) * TILE;
    const double work = (double)op->n * (double)op->u.attend.n_head * (double)keys *
                        (double)(op->u.attend.dk + op->u.attend.dv + 4);
    j.items = (op->n + j.step - 1) / j.step * op->u.attend.n_kv;
    if (c->threads > 1 && j.items < 4u * c->threads && last - first > 1 && work > 1e6 && parts_floats(op) > 0) {
        const size_t runs = 4u * c->threads / j.items + 1;
        j.tiles = last;
        j.parts = (float *)c->area;
        j.run_tiles = (last - first + runs - 1) / runs;
        j.runs = (last + j.run_tiles - 1) / j.run_tiles;
        qs_cpu_run(c, j.runs * op->u.attend.n_kv, 1, work, some_tiles, &j);
        qs_cpu_run(c, op->n * op->u.attend.n_head, 1, 2.0 * (double)((last - first) * op->n) * (double)op->u.attend.n_head *
                   (double)op->u.attend.dv, merge_parts, &j);
        return;
    }
    qs_cpu_run(c, j.items, 1, work, whole, &j);
}
