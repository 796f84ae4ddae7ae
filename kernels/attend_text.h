/* attend_text.h - the pieces of attention (attend.h), written once for the vectors of a level.
 *
 * The file that includes this defines vec, W (floats of a vector), NV (vectors of a block of columns), v_zero,
 * v_set1, v_load, v_store, v_fma(a, b, c) = a * b + c, v_add, v_sub, v_mul, v_max, v_exp, v_most and v_sum16;
 * loaders of W values of a row, load_f32 .. load_q4_0;
 * for codes: CODES in 32 bits of an ivec, NQ_CODES queries at a time, v_izero, v_iset1, v_iload, v_join (the
 * float of sums of high and low bytes), v_dot (sum += dot products of 32 bits each), pick_fn's pick_q8_0 and pick_q4_0
 * (numbers 4 * quad .. of a block, ready for the dot product) and what they add to codes, OFFSET_Q8_0, OFFSET_Q4_0;
 * and what turns rows into columns of a tile: turn_f16 (eight float16 of each of sixteen rows, from byte `at` on), turn_f32
 * (four floats of each of eight rows), turn_picked (a quad of each of eight rows), put_halves (sixteen float16 as
 * floats), join16 (sixteen high bytes and the low ones, `apart` bytes from them, to int16).
 *
 * Logits and mixes are the same sums: rows of numbers, each times a row of floats. A block of NV vectors of columns
 * of six rows stays in registers over the whole sum. For logits a tile of keys is turned first, so that keys are
 * columns.
 */
#include <stdbool.h>
#include <string.h>

#include "kernels/inline.h"
#include "kernels/ref/attend.h"

typedef vec load_fn(const uint8_t *row, size_t i); /* values i .. i + W - 1 */

/* y[i] = (scale ? y[i] * scale[i] : 0), then fma(c[i][r], row r of m, y[i]) for r ascending. */
struct sums {
    const float *c;
    size_t c_stride, rows;
    const uint8_t *m;
    size_t m_stride;     /* bytes */
    const float *scale;
    float *y;
    size_t y_stride;
};

#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5)

#define START_FLOATS(i) vec a##i = v_zero(), b##i = a##i, c##i = a##i, d##i = a##i;

#define START(i)                                                                                                       \
    START_FLOATS(i)                                                                                                    \
    if (nq > i && scaled) {                                                                                            \
        const vec f = v_set1(j->scale[q + i]);                                                                         \
        a##i = v_mul(v_load(y + i * apart), f);                                                                  \
        b##i = nv > 1 ? v_mul(v_load(y + i * apart + W), f) : b##i;                                              \
        c##i = nv > 2 ? v_mul(v_load(y + i * apart + 2 * W), f) : c##i;                                          \
        d##i = nv > 2 ? v_mul(v_load(y + i * apart + 3 * W), f) : d##i;                                          \
    }

#define STEP(i)                                                                                                        \
    if (nq > i) {                                                                                                      \
        const vec w = v_set1(p[i * stride]);                                                                           \
        a##i = v_fma(w, m0, a##i);                                                                                     \
        b##i = nv > 1 ? v_fma(w, m1, b##i) : b##i;                                                                     \
        c##i = nv > 2 ? v_fma(w, m2, c##i) : c##i;                                                                     \
        d##i = nv > 2 ? v_fma(w, m3, d##i) : d##i;                                                                     \
    }

#define STOP(i)                                                                                                        \
    if (nq > i) {                                                                                                      \
        v_store(y + i * apart, a##i);                                                                            \
        if (nv > 1)                                                                                                    \
            v_store(y + i * apart + W, b##i);                                                                    \
        if (nv > 2) {                                                                                                  \
            v_store(y + i * apart + 2 * W, c##i);                                                                \
            v_store(y + i * apart + 3 * W, d##i);                                                                \
        }                                                                                                              \
    }

/* nq rows from q on, nv vectors of columns from `col` on. */
QS_INLINE void block(const int nq, const int nv, const bool scaled, load_fn *load, const struct sums *j, size_t q,
                     size_t col)
{
    const size_t stride = j->c_stride, apart = j->y_stride;
    const float *p = j->c + q * stride, *const end = p + j->rows;
    const uint8_t *m = j->m;
    float *y = j->y + q * j->y_stride + col;
    EACH(START)
    for (; p < end; p++, m += j->m_stride) {
        const vec m0 = load(m, col), m1 = nv > 1 ? load(m, col + W) : m0;
        const vec m2 = nv > 2 ? load(m, col + 2 * W) : m0, m3 = nv > 2 ? load(m, col + 3 * W) : m0;
        EACH(STEP)
    }
    EACH(STOP)
}

/* nq rows, columns up to `cols`, a multiple of W. */
QS_INLINE void strip(const int nq, const bool scaled, load_fn *load, const struct sums *j, size_t q, size_t cols)
{
    size_t c = 0;
    for (; c + NV * W <= cols; c += NV * W)
        block(nq, NV, scaled, load, j, q, c);
    for (; c < cols; c += W)
        block(nq, 1, scaled, load, j, q, c);
}

QS_INLINE void sum_rows(const bool scaled, load_fn *load, const struct sums *j, size_t n, size_t cols)
{
    size_t q = 0;
    for (; q + 6 <= n; q += 6)
        strip(6, scaled, load, j, q, cols);
    if (n - q >= 4) {
        strip(4, scaled, load, j, q, cols);
        q += 4;
    }
    if (n - q >= 2) {
        strip(2, scaled, load, j, q, cols);
        q += 2;
    }
    if (n - q >= 1)
        strip(1, scaled, load, j, q, cols);
}

/* ---- logits: value d of key k to room[d * TILE + k] */

typedef void turn_fn(const uint8_t *const *row, size_t at, float *to);

/* Where keys are, up to a multiple of 16, which is returned; where there is none the last one stands in. */
QS_INLINE size_t key_rows(const struct qs_logits *j, const uint8_t *row[TILE])
{
    const size_t keys = (j->keys + 15) / 16 * 16;
    for (size_t k = 0; k < keys; k++)
        row[k] = j->k + (k < j->keys ? k : j->keys - 1) * j->stride;
    return keys;
}

/* Asks for part `i` of `n`. */
QS_INLINE void fetch(const struct qs_ahead *a, size_t i, size_t n)
{
    for (size_t r = a->rows * i / n; r < a->rows * (i + 1) / n; r++)
        for (size_t k = 0; k < a->bytes; k += 64)
            __builtin_prefetch(a->at + r * a->stride + k, 0, 2);
}

/* Turns `width` values of `high` keys at a time. */
QS_INLINE void turn(const struct qs_logits *j, turn_fn *some, size_t width, size_t high, size_t size, qs_ref_kv_fn *value)
{
    const uint8_t *row[TILE];
    const size_t keys = key_rows(j, row), full = j->n / width * width;
    for (size_t k = 0; k < keys; k += high) {
        fetch(&j->ahead, k / high, keys / high);
        for (size_t d = 0; d < full; d += width)
            some(row + k, d * size, j->room + d * TILE + k);
    }
    for (size_t d = full; d < j->n; d++)
        for (size_t k = 0; k < keys; k++)
            j->room[d * TILE + k] = value(row[k], d);
}

QS_INLINE void logits(const struct qs_logits *j)
{
    const struct sums s = { (const float *)(const void *)j->q, j->n, j->n, (const uint8_t *)j->room,
                            TILE * sizeof(float), NULL, j->out, TILE };
    sum_rows(false, load_f32, &s, j->queries, (j->keys + 15) / 16 * 16);
}

static void logits_f32(const struct qs_logits *j)
{
    turn(j, turn_f32, 4, 8, 4, qs_ref_kv_f32);
    logits(j);
}

static void logits_f16(const struct qs_logits *j)
{
    turn(j, turn_f16, 8, 16, 2, qs_ref_kv_f16);
    logits(j);
}

/* ---- logits of quantized keys
 *
 * Codes are turned like floats, a whole number of them (CODES) in 32 bits, so that one dot product of such numbers serves
 * all keys of a vector. */

enum { BLOCK = 32 / CODES }; /* numbers of a block */

/* Turned numbers, then scales of each block and key, then queries as the dot product takes them. */
struct turned {
    float *number, *scale, *query;
};

QS_INLINE struct turned turn_codes(const struct qs_logits *j, pick_fn *pick, size_t bytes)
{
    const uint8_t *row[TILE];
    const size_t keys = key_rows(j, row), blocks = j->n / 32;
    float *const number = j->room, *const scale = number + blocks * BLOCK * TILE;
    for (size_t b = 0; b < blocks; b++) {
        uint16_t d[TILE];
        for (size_t k = 0; k < keys; k++)
            memcpy(d + k, row[k] + b * bytes, sizeof *d);
        for (size_t k = 0; k < keys; k += 16)
            put_halves(scale + b * TILE + k, d + k);
        for (size_t k = 0; k < keys; k += 8) {
            if (b == 0)
                fetch(&j->ahead, k / 8, keys / 8);
            for (int i = 0; i < BLOCK / 4; i++)
                turn_picked(pick, row + k, b * bytes, i, number + (b * BLOCK + 4 * (size_t)i) * TILE + k);
        }
    }
    return (struct turned){ number, scale, scale + blocks * TILE };
}

#define EACH3(X) X(0) X(1) X(2)

/* Sums of high bytes n, of low ones m; where two bytes are one number, n alone. */
#define START_CODES(i)                                                                                                 \
    ivec na##i = v_izero(), nb##i = na##i, nc##i = na##i, nd##i = na##i;                                               \
    ivec ma##i = nq > i && CODES == 4 ? v_iset1(offset * minus[i][b]) : na##i, mb##i = ma##i, mc##i = ma##i, md##i = ma##i;

#define DOT(s, i, w)                                                                                                   \
    s##a##i = v_dot(s##a##i, k0, w);                                                                                   \
    s##b##i = nv > 1 ? v_dot(s##b##i, k1, w) : s##b##i;                                                                \
    s##c##i = nv > 2 ? v_dot(s##c##i, k2, w) : s##c##i;                                                                \
    s##d##i = nv > 2 ? v_dot(s##d##i, k3, w) : s##d##i;

#define STEP_CODES(i)                                                                                                  \
    if (nq > i) {                                                                                                      \
        int32_t number;                                                                                                \
        memcpy(&number, x[i] + (b * BLOCK + r) * sizeof number, sizeof number);                                        \
        const ivec w = v_iset1(number);                                                                                \
        DOT(n, i, w)                                                                                                   \
        if (CODES == 4) {                                                                                              \
            memcpy(&number, x[i] + n_low + (b * BLOCK + r) * sizeof number, sizeof number);                            \
            const ivec l = v_iset1(number);                                                                            \
            DOT(m, i, l)                                                                                               \
        }                                                                                                              \
    }

#define STOP_CODES(i)                                                                                                  \
    if (nq > i) {                                                                                                      \
        const vec f = v_set1(scale[i][b]);                                                                             \
        a##i = v_fma(v_mul(s0, f), v_join(na##i, ma##i), a##i);                                                        \
        b##i = nv > 1 ? v_fma(v_mul(s1, f), v_join(nb##i, mb##i), b##i) : b##i;                                        \
        c##i = nv > 2 ? v_fma(v_mul(s2, f), v_join(nc##i, mc##i), c##i) : c##i;                                        \
        d##i = nv > 2 ? v_fma(v_mul(s3, f), v_join(nd##i, md##i), d##i) : d##i;                                        \
    }

/* nq queries from q on, nv vectors of keys from `col` on. */
QS_INLINE void block_codes(const int nq, const int nv, const int offset, const struct qs_logits *j, const struct turned *t,
                           size_t q, size_t col)
{
    const uint8_t *x[3];
    const float *scale[3];
    const int32_t *minus[3];
    float *const y = j->out + q * TILE + col;
    const size_t apart = TILE, n_low = j->n;
    for (int i = 0; i < nq; i++) {
        const uint8_t *row = j->q + (q + (size_t)i) * j->q_stride;
        x[i] = CODES == 4 ? row : (const uint8_t *)t->query + (q + (size_t)i) * j->n * 2;
        scale[i] = qs_query_scales(row, j->n);
        minus[i] = qs_query_minus(row, j->n);
    }
    EACH3(START_FLOATS)
    for (size_t b = 0; b < j->n / 32; b++) {
        EACH3(START_CODES)
        for (size_t r = 0; r < BLOCK; r++) {
            const float *k = t->number + (b * BLOCK + r) * TILE + col;
            const ivec k0 = v_iload(k), k1 = nv > 1 ? v_iload(k + W) : k0;
            const ivec k2 = nv > 2 ? v_iload(k + 2 * W) : k0, k3 = nv > 2 ? v_iload(k + 3 * W) : k0;
            EACH3(STEP_CODES)
        }
        const float *s = t->scale + b * TILE + col;
        const vec s0 = v_load(s), s1 = nv > 1 ? v_load(s + W) : s0, s2 = nv > 2 ? v_load(s + 2 * W) : s0;
        const vec s3 = nv > 2 ? v_load(s + 3 * W) : s0;
        EACH3(STOP_CODES)
    }
    EACH3(STOP)
    (void)minus;
    (void)n_low;
}

/* Two bytes of n values side by side, as int16. */
QS_INLINE void join_queries(const struct qs_logits *j, int16_t *to)
{
    for (size_t i = 0; i < j->queries; i++)
        for (size_t k = 0; k < j->n; k += 16)
            join16(j->q + i * j->q_stride + k, j->n, to + i * j->n + k);
}

QS_INLINE void strip_codes(const int nq, const int offset, const struct qs_logits *j, const struct turned *t, size_t q)
{
    const size_t keys = (j->keys + 15) / 16 * 16;
    size_t k = 0;
    for (; k + NV * W <= keys; k += NV * W)
        block_codes(nq, NV, offset, j, t, q, k);
    for (; k < keys; k += W)
        block_codes(nq, 1, offset, j, t, q, k);
}

QS_INLINE void logits_codes(const struct qs_logits *j, pick_fn *pick, size_t bytes, const int offset)
{
    const struct turned t = turn_codes(j, pick, bytes);
    size_t q = 0;
    if (CODES == 2)
        join_queries(j, (int16_t *)t.query);
    for (; q + NQ_CODES <= j->queries; q += NQ_CODES)
        strip_codes(NQ_CODES, offset, j, &t, q);
    for (; q < j->queries; q++)
        strip_codes(1, offset, j, &t, q);
}

static void logits_q8_0(const struct qs_logits *j) { logits_codes(j, pick_q8_0, 34, OFFSET_Q8_0); }
static void logits_q4_0(const struct qs_logits *j) { logits_codes(j, pick_q4_0, 18, OFFSET_Q4_0); }

/* ---- softmax */

/* s[from .. to), with at most 15 on both sides that are -infinity, so that whole groups of 16 can be worked on. */
QS_INLINE float softmax_row(float *s, size_t from, size_t to, float *max)
{
    const size_t first = from / 16 * 16, last = (to + 15) / 16 * 16;
    for (size_t k = first; k < from; k++)
        s[k] = -INFINITY;
    for (size_t k = to; k < last; k++)
        s[k] = -INFINITY;
    vec most = v_set1(*max); /* v_max hands out its second operand where the first is NaN */
    for (size_t k = first; k < last; k += W)
        most = v_max(v_load(s + k), most);
    *max = v_most(most) + 0.0f;
    const vec n = v_set1(*max);
    vec low = v_zero(), high = low; /* sums 0..15, or 0..7 and 8..15 */
    for (size_t k = first; k < last; k += 16) {
        const vec p = v_exp(v_sub(v_load(s + k), n));
        v_store(s + k, p);
        low = v_add(low, p);
        if (W == 8) {
            const vec r = v_exp(v_sub(v_load(s + k + 8), n));
            v_store(s + k + 8, r);
            high = v_add(high, r);
        }
    }
    return v_sum16(low, high);
}

static void softmax(const struct qs_softmax *j)
{
    for (size_t i = 0; i < j->queries; i++) {
        const float before = j->max[i], sum = softmax_row(j->s + i * TILE, j->from, j->to, &j->max[i]);
        j->scale[i] = before == j->max[i] ? 1 : qs_exp(before - j->max[i]); /* exp(0) is 1, and most often it is that */
        j->sum[i] = j->sum[i] * j->scale[i] + sum;
    }
}

/* ---- mix */

QS_INLINE void mix(const struct qs_mix *j, load_fn *load, qs_ref_kv_fn *value)
{
    fetch(&j->ahead, 0, 1);
    const size_t cols = j->n / W * W;
    const struct sums s = { j->p + j->from, TILE, j->to - j->from, j->v + j->from * j->stride, j->stride, j->scale, j->y,
                            j->y_stride };
    sum_rows(true, load, &s, j->queries, cols);
    if (cols < j->n)
        qs_ref_mix_rest(j, cols, value);
}

static void mix_f32(const struct qs_mix *j) { mix(j, load_f32, qs_ref_kv_f32); }
static void mix_f16(const struct qs_mix *j) { mix(j, load_f16, qs_ref_kv_f16); }
static void mix_q8_0(const struct qs_mix *j) { mix(j, load_q8_0, NULL); }
static void mix_q4_0(const struct qs_mix *j) { mix(j, load_q4_0, NULL); }

static void fill(struct qs_attend_ops *ops)
{
    *ops = (struct qs_attend_ops){
        .query = ops->query,
        .logits = { logits_f32, logits_f16, logits_q8_0, logits_q4_0 },
        .softmax = softmax,
        .mix = { mix_f32, mix_f16, mix_q8_0, mix_q4_0 },
    };
}
