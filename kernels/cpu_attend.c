/* cpu_attend.c - attention over the cache, in tiles of QS_ATTEND_TILE keys (attend.h) and runs of RUN tiles.
 *
 * DEFINITION. Queries are multiplied by the scale; where keys are quantized they then become integers (attend.h), on
 * every level and in both precisions. For a token and a head, a run of tiles that holds keys it may see starts from
 * (M, L, Y) = (-inf, 0, 0); each of its tiles that holds some changes that, over those keys in order: logits cap(q
 * k), one sum each (attend.h), N = the largest of M and all, a = exp(M - N), p = exp(logit - N): L = L * a + sum of
 * p, Y = Y * a, then Y = fma(p, v, Y) key by key, M = N. Runs are merged in key order into such a state, from (-inf,
 * 0, 0): with N = max(M, m), a = exp(M - N), b = exp(m - N): L = L * a + l * b, Y = Y * a + y * b, M = N. A sink is
 * one more run with l = 1, y = 0 at the end. out = Y * (1 / L). Runs are counted from position 0, so nothing depends on
 * which tokens, heads, tiles or runs are worked on together.
 *
 * WORK. An item is a KV head with some tokens: what a tile needs (keys turned so that they are columns, values
 * decoded) is made once for all their queries. Where there are few tokens, an item is instead one run for all tokens
 * and several KV heads, whose rows lie side by side and are so read in order; states are kept and merged afterwards.
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu_device.h"
#include "kernels/ref/funcs.h"

enum {
    TILE = QS_ATTEND_TILE,
    RUN = 4,                 /* tiles of a run */
    QUERIES = 96,            /* about so many share a tile */
    TOGETHER = 256,          /* as many queries of all heads are worked on together */
    DECODED_FROM = 16,       /* so many queries are worth decoding values for */
    PARTS_FLOATS = 2 << 20,  /* limit of what is kept of all runs */
};

/* What both ways of working share. */
struct job {
    const struct qs_cpu *c;
    const struct qs_op *op;
    size_t group;        /* heads that share a KV head */
    size_t step;         /* tokens of an item */
    size_t items;        /* token steps times KV heads */
    size_t heads;        /* KV heads of an item of one run */
    size_t first, runs;  /* run with the first key that is seen, and how many there are from it on */
    float *parts;        /* for each KV head, run and query: y, max, sum */
};

/* States of some queries: one of each for each query, y `stride` floats apart. */
struct states {
    float *max, *sum, *y;
};

/* Local memory of one item; of all its heads: q, act, run, all. */
struct place {
    float *q;                 /* queries times the scale */
    uint8_t *act;             /* the same as integers */
    struct states run, all;
    float *turned, *values, *score, *scale; /* of one tile and head */
};

static enum qs_kv_kind kv_of(int type)
{
    return type == QS_F32 ? QS_KV_F32 : type == QS_F16 ? QS_KV_F16 : type == QS_Q8_0 ? QS_KV_Q8_0 : QS_KV_Q4_0;
}

static size_t group_of(const struct qs_op *op) { return op->u.attend.n_head / op->u.attend.n_kv; }
static size_t y_stride(const struct qs_op *op) { return (op->u.attend.dv + 15) / 16 * 16; }
static size_t part_floats(const struct qs_op *op) { return y_stride(op) + 2; }

/* The most tokens an item may have. */
static size_t tokens_of_item(const struct qs_op *op)
{
    const size_t group = group_of(op), n = group < QUERIES ? QUERIES / group : 1;
    return n < op->n ? n : op->n;
}

static bool together(const struct qs_op *op) { return op->n <= TOGETHER / op->u.attend.n_head; }

static size_t carve(const struct qs_op *op, uint8_t *base, struct place *p)
{
    const size_t some = tokens_of_item(op) * group_of(op), dk = op->u.attend.dk, dv = op->u.attend.dv;
    const size_t every = together(op) ? op->n * op->u.attend.n_head : some;
    const size_t each = every * sizeof(float), y = every * y_stride(op) * sizeof(float);
    const size_t need[] = {
        each * dk, kv_of(op->u.attend.kc.type) > QS_KV_F16 ? every * qs_query_bytes(dk) : 0, each, each, y, each, each, y,
        (TILE + some) * dk * sizeof(float), TILE * dv * sizeof(float), some * TILE * sizeof(float), some * sizeof(float),
    };
    void *at[sizeof need / sizeof *need];
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof need / sizeof *need; i++) {
        at[i] = base ? base + bytes : NULL;
        bytes += qs_cpu_round(need[i]);
    }
    *p = (struct place){ at[0], at[1], { at[2], at[3], at[4] }, { at[5], at[6], at[7] }, at[8], at[9], at[10], at[11] };
    return bytes;
}

/* Keys token t may see: [from, to). */
static void seen(const struct qs_op *op, size_t t, size_t *from, size_t *to)
{
    *to = op->u.attend.pos + t + 1;
    *from = op->u.attend.window && *to > op->u.attend.window ? *to - op->u.attend.window : 0;
}

/* The same within one tile: [0, TILE) at most; false: none. */
static bool seen_of(const struct qs_op *op, size_t t, size_t tile, size_t *from, size_t *to)
{
    seen(op, t, from, to);
    *from = *from > tile * TILE ? *from - tile * TILE : 0;
    *to = *to > tile * TILE ? *to - tile * TILE : 0;
    *to = *to < TILE ? *to : TILE;
    return *from < *to;
}

/* Units of so many keys that tokens [t0, t1) may see. */
static void range_of(const struct qs_op *op, size_t t0, size_t t1, size_t keys, size_t *first, size_t *last)
{
    size_t from, to, unused;
    seen(op, t0, &from, &unused);
    seen(op, t1 - 1, &unused, &to);
    *first = from / keys;
    *last = (to - 1) / keys + 1;
}

static void reset(const struct qs_op *op, const struct states *s, size_t queries)
{
    for (size_t i = 0; i < queries; i++) {
        s->max[i] = -INFINITY;
        s->sum[i] = 0;
    }
    memset(s->y, 0, queries * y_stride(op) * sizeof *s->y);
}

/* Merges one run into a state; y NULL: zeros. */
static void merge(float *to_max, float *to_sum, float *to_y, float max, float sum, const float *y, size_t dv)
{
    const float n = max > *to_max ? max : *to_max;
    const float a = qs_exp(*to_max - n), b = qs_exp(max - n);
    *to_max = n;
    *to_sum = *to_sum * a + sum * b;
    if (y)
        qs_row_ops()->merge(to_y, a, y, b, dv);
    else
        for (size_t i = 0; i < dv; i++)
            to_y[i] *= a;
}

static void finish(const struct qs_op *op, size_t t, size_t head, float *max, float *sum, float *y)
{
    const size_t dv = op->u.attend.dv;
    float *out = qs_cpu_row(&op->u.attend.out, t) + head * dv;
    if (op->u.attend.sinks)
        merge(max, sum, y, op->u.attend.sinks[head], 1, NULL, dv);
    memcpy(out, y, dv * sizeof *out);
    qs_row_ops()->softcap(out, dv, 0, 1 / *sum);
}

/* ---- a tile */

/* Tokens [t0, t1) of KV heads [kv0, kv1). */
struct item {
    const struct job *j;
    const struct place *p;
    size_t kv0, kv1, t0, t1;
};

/* Queries of one KV head. */
static size_t queries_of(const struct item *it) { return (it->t1 - it->t0) * it->j->group; }

static void load_queries(const struct item *it)
{
    const struct qs_op *op = it->j->op;
    const size_t dk = op->u.attend.dk, n = it->j->group * dk, bytes = qs_query_bytes(dk);
    float *q = it->p->q;
    for (size_t kv = it->kv0; kv < it->kv1; kv++)
        for (size_t t = it->t0; t < it->t1; t++, q += n) {
            memcpy(q, qs_cpu_row(&op->u.attend.q, t) + kv * n, n * sizeof *q);
            qs_row_ops()->softcap(q, n, 0, op->u.attend.scale);
        }
    for (size_t i = 0; kv_of(op->u.attend.kc.type) > QS_KV_F16 && i < (it->kv1 - it->kv0) * queries_of(it); i++)
        qs_row_ops()->attend.query(it->p->q + i * dk, dk, it->p->act + i * bytes);
}

static const uint8_t *tile_at(const struct qs_cache *c, size_t head, size_t dim, size_t tile)
{
    return c->buf->p + c->at + tile * TILE * c->row_bytes + head * qs_format_row_bytes(qs_format_by_id(c->type), dim);
}

/* What is read after this head of this tile: the head in the next tile, or the head's share of all heads' rows
 * there. */
static struct qs_ahead ahead_of(const struct item *it, const struct qs_cache *c, size_t kv, size_t dim, size_t tile)
{
    const size_t heads = it->kv1 - it->kv0, from = (kv - it->kv0) * TILE / heads, to = (kv - it->kv0 + 1) * TILE / heads;
    const size_t end = it->j->op->u.attend.pos + it->t1;
    if ((tile + 2) * TILE > end) /* not all of it is there */
        return (struct qs_ahead){ 0 };
    return (struct qs_ahead){ tile_at(c, it->kv0, dim, tile + 1) + from * c->row_bytes, to - from, c->row_bytes,
                              heads * qs_format_row_bytes(qs_format_by_id(c->type), dim) };
}

static void tile_logits(const struct item *it, size_t kv, size_t tile, size_t keys)
{
    const struct qs_cache *c = &it->j->op->u.attend.kc;
    const size_t queries = queries_of(it), dk = it->j->op->u.attend.dk, act = qs_query_bytes(dk);
    const enum qs_kv_kind kind = kv_of(c->type);
    struct qs_logits l = { .k = tile_at(c, kv, dk, tile), .stride = c->row_bytes, .keys = keys, .queries = queries, .n = dk,
                           .out = it->p->score, .ahead = ahead_of(it, c, kv, dk, tile), .room = it->p->turned };
    l.q_stride = kind <= QS_KV_F16 ? dk * sizeof(float) : act;
    l.q = (kind <= QS_KV_F16 ? (const uint8_t *)it->p->q : it->p->act) + (kv - it->kv0) * queries * l.q_stride;
    qs_row_ops()->attend.logits[kind](&l);
}

/* Values of a tile, as stored, or decoded where that serves many queries. */
static void tile_values(const struct item *it, size_t kv, size_t tile, size_t keys, struct qs_mix *mix,
                        enum qs_kv_kind *kind)
{
    const struct qs_cache *c = &it->j->op->u.attend.vc;
    const size_t dv = it->j->op->u.attend.dv;
    mix->v = tile_at(c, kv, dv, tile);
    mix->stride = c->row_bytes;
    mix->ahead = ahead_of(it, c, kv, dv, tile);
    *kind = kv_of(c->type);
    if (*kind == QS_KV_F32 || queries_of(it) < DECODED_FROM)
        return;
    qs_decode_fn *decode = qs_format_ops(c->type)->decode;
    for (size_t k = 0; k < keys; k++)
        decode(&(struct qs_const_parts){ { mix->v + k * mix->stride } }, 1, dv, it->p->values + k * dv, dv);
    mix->v = (const uint8_t *)it->p->values;
    mix->stride = dv * sizeof(float);
    *kind = QS_KV_F32;
}

/* Tokens that see the same keys of the tile go together. */
static void do_tile(const struct item *it, size_t kv, size_t tile)
{
    const struct qs_op *op = it->j->op;
    const size_t end = op->u.attend.pos + it->t1, keys = end - tile * TILE < TILE ? end - tile * TILE : TILE;
    const size_t group = it->j->group, before = (kv - it->kv0) * queries_of(it);
    const struct place *p = it->p;
    struct qs_mix mix = { .n = op->u.attend.dv, .y_stride = y_stride(op) };
    enum qs_kv_kind kind;
    tile_logits(it, kv, tile, keys);
    tile_values(it, kv, tile, keys, &mix, &kind);
    for (size_t t = it->t0, n, from, to, f, e; t < it->t1; t += n) {
        const bool some = seen_of(op, t, tile, &from, &to);
        for (n = 1; t + n < it->t1 && seen_of(op, t + n, tile, &f, &e) == some && f == from && e == to;)
            n++;
        if (!some)
            continue;
        const size_t at = (t - it->t0) * group, all = before + at;
        float *score = p->score + at * TILE;
        if (op->u.attend.softcap != 0)
            for (size_t i = 0; i < n * group; i++)
                qs_row_ops()->softcap(score + i * TILE + from, to - from, op->u.attend.softcap, 1);
        qs_row_ops()->attend.softmax(&(struct qs_softmax){ score, n * group, from, to, p->run.max + all, p->run.sum + all,
                                                           p->scale + at });
        mix.p = score;
        mix.queries = n * group;
        mix.from = from;
        mix.to = to;
        mix.scale = p->scale + at;
        mix.y = p->run.y + all * mix.y_stride;
        qs_row_ops()->attend.mix[kind](&mix);
        mix.ahead.rows = 0;
    }
}

static void do_run(const struct item *it, size_t run)
{
    size_t first, last;
    range_of(it->j->op, it->t0, it->t1, TILE, &first, &last);
    first = first > run * RUN ? first : run * RUN;
    last = last < run * RUN + RUN ? last : run * RUN + RUN;
    reset(it->j->op, &it->p->run, (it->kv1 - it->kv0) * queries_of(it));
    for (size_t tile = first; tile < last; tile++)
        for (size_t kv = it->kv0; kv < it->kv1; kv++)
            do_tile(it, kv, tile);
}

/* ---- items of whole tokens */

static void merge_run(const struct item *it)
{
    const struct states *r = &it->p->run, *all = &it->p->all;
    const size_t stride = y_stride(it->j->op);
    for (size_t i = 0; i < queries_of(it); i++)
        if (r->sum[i] != 0) /* 0: the token sees none of the run */
            merge(&all->max[i], &all->sum[i], all->y + i * stride, r->max[i], r->sum[i], r->y + i * stride,
                  it->j->op->u.attend.dv);
}

static void whole(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct job *j = ctx;
    const struct qs_op *op = j->op;
    struct place p;
    (void)carve(op, qs_cpu_local(j->c, thread), &p);
    for (size_t i = begin; i < end; i++) {
        const size_t t0 = i / op->u.attend.n_kv * j->step, t1 = op->n - t0 < j->step ? op->n : t0 + j->step;
        const size_t kv = i % op->u.attend.n_kv;
        const struct item it = { j, &p, kv, kv + 1, t0, t1 };
        const struct states *s = &p.all;
        size_t first, last;
        load_queries(&it);
        reset(op, s, queries_of(&it));
        range_of(op, t0, t1, TILE * RUN, &first, &last);
        for (size_t run = first; run < last; run++) {
            do_run(&it, run);
            merge_run(&it);
        }
        for (size_t k = 0; k < queries_of(&it); k++)
            finish(op, t0 + k / j->group, kv * j->group + k % j->group, &s->max[k], &s->sum[k], s->y + k * y_stride(op));
    }
}

/* ---- items of one run: one step of tokens holds the whole batch */

static float *part_of(const struct job *j, size_t kv, size_t run, size_t query)
{
    return j->parts + ((kv * j->runs + run - j->first) * j->op->n * j->group + query) * part_floats(j->op);
}

static void some_runs(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct job *j = ctx;
    const struct qs_op *op = j->op;
    const size_t stride = y_stride(op);
    struct place p;
    (void)carve(op, qs_cpu_local(j->c, thread), &p);
    for (size_t i = begin; i < end; i++) {
        const size_t cuts = (op->u.attend.n_kv + j->heads - 1) / j->heads, run = j->first + i / cuts;
        const size_t kv = i % cuts * j->heads;
        const size_t last = kv + j->heads < op->u.attend.n_kv ? kv + j->heads : op->u.attend.n_kv;
        const struct item it = { j, &p, kv, last, 0, op->n };
        load_queries(&it);
        do_run(&it, run);
        for (size_t k = 0; k < (last - kv) * queries_of(&it); k++) {
            float *part = part_of(j, kv + k / queries_of(&it), run, k % queries_of(&it));
            memcpy(part, p.run.y + k * stride, stride * sizeof *part);
            part[stride] = p.run.max[k];
            part[stride + 1] = p.run.sum[k];
        }
    }
}

static void merge_parts(void *ctx, size_t begin, size_t end, unsigned thread)
{
    const struct job *j = ctx;
    const struct qs_op *op = j->op;
    const size_t stride = y_stride(op);
    struct place p;
    (void)carve(op, qs_cpu_local(j->c, thread), &p);
    for (size_t i = begin; i < end; i++) {
        const size_t head = i % op->u.attend.n_head, t = i / op->u.attend.n_head;
        const struct states *s = &p.all;
        size_t first, last;
        range_of(op, t, t + 1, TILE * RUN, &first, &last);
        reset(op, s, 1);
        for (size_t run = first; run < last; run++) {
            const float *part = part_of(j, head / j->group, run, t * j->group + head % j->group);
            merge(s->max, s->sum, s->y, part[stride], part[stride + 1], part, op->u.attend.dv);
        }
        finish(op, t, head, s->max, s->sum, s->y);
    }
}

/* ---- the operation */

/* 0: runs are not worked on apart. */
static size_t parts_floats(const struct qs_op *op)
{
    size_t first, last;
    range_of(op, 0, op->n, TILE * RUN, &first, &last);
    const size_t runs = last - first, each = op->n * op->u.attend.n_head * part_floats(op);
    return tokens_of_item(op) == op->n && runs > 1 && each <= PARTS_FLOATS / runs ? runs * each : 0;
}

void qs_cpu_attend_need(const struct qs_op *op, struct qs_cpu_need *need)
{
    struct place p;
    need->local = carve(op, NULL, &p);
    need->area = parts_floats(op) * sizeof(float);
}

void qs_cpu_attend(const struct qs_cpu *c, const struct qs_op *op)
{
    struct job j = { .c = c, .op = op, .group = group_of(op), .step = tokens_of_item(op) };
    const size_t n_kv = op->u.attend.n_kv, wanted = c->threads > 1 ? 4u * c->threads : 1;
    size_t last;
    range_of(op, 0, op->n, TILE * RUN, &j.first, &last);
    j.runs = last - j.first;
    const double keys = (double)((op->u.attend.pos + op->n) - j.first * TILE * RUN);
    const double heads = (double)op->n * (double)op->u.attend.n_head;
    const double work = heads * keys * (double)(op->u.attend.dk + op->u.attend.dv + 4);
    j.items = (op->n + j.step - 1) / j.step * n_kv;
    if (parts_floats(op) > 0 && (together(op) || (j.items < wanted && work > 1e6))) {
        j.parts = (float *)c->area;
        for (j.heads = together(op) ? n_kv : 1; j.heads > 1 && j.runs * n_kv < wanted * j.heads;)
            j.heads = (j.heads + 1) / 2;
        qs_cpu_run(c, (n_kv + j.heads - 1) / j.heads * j.runs, 1, work, some_runs, &j);
        qs_cpu_run(c, op->n * op->u.attend.n_head, 1, 4.0 * heads * (double)(j.runs * op->u.attend.dv), merge_parts, &j);
        return;
    }
    if (j.items < wanted) { /* smaller steps */
        j.step = op->n * n_kv / wanted > 1 ? op->n * n_kv / wanted : 1;
        j.items = (op->n + j.step - 1) / j.step * n_kv;
    }
    qs_cpu_run(c, j.items, 1, work, whole, &j);
}
