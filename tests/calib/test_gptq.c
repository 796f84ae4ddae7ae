/* test_gptq.c - GPTQ against the textbook in double precision; descent and refits by what they promise; corrections
 * against a plain solve; and Hessians that are poor, empty or broken.
 */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/gptq.h"
#include "kernels/lattice.h"
#include "tests/calib/gptq_oracle.h"

enum { ROWS_MAX = 300, COLS_MAX = 512, N_MAX = ROWS_MAX * COLS_MAX, TOKENS = 1500 };

static const int types[] = { QS_Q2_K, QS_Q3_K, QS_Q4_K, QS_Q5_K, QS_Q6_K, QS_Q4_0, QS_Q4_1, QS_Q5_0, QS_Q5_1, QS_Q8_0,
                             QS_IQ4_NL, QS_IQ4_XS, QS_TQ2_0, QS_MXFP4, QS_NVFP4, QS_Q2_0 };
enum { TYPES = sizeof types / sizeof *types };

static float w[N_MAX], d[N_MAX], scale[N_MAX], offset[N_MAX];
static float h[COLS_MAX * COLS_MAX], held[COLS_MAX * COLS_MAX], tokens[TOKENS * COLS_MAX];
static double margin[N_MAX];
static uint8_t packed[N_MAX * 2], packed2[N_MAX * 2], code[N_MAX], scratch_code[N_MAX];
static _Alignas(16) uint8_t grid[N_MAX];
static struct qs_pool *pool;

/* A matrix and the Hessians of two sets of tokens. */
static struct qs_hessian make(size_t rows, size_t cols, size_t n, size_t dead)
{
    uint64_t seed = 11 + rows + cols;
    for (size_t i = 0; i < rows * cols; i++)
        w[i] = (float)(0.02 * gptq_bell(&seed));
    gptq_inputs(3, n, cols, 24, dead, tokens);
    gptq_gram(tokens, n, cols, h);
    gptq_inputs(4, n, cols, 24, dead, tokens);
    gptq_gram(tokens, n, cols, held);
    return (struct qs_hessian){ .cols = cols, .rows = n, .h = h };
}

static struct qs_gptq_args args_of(const struct qs_hessian *hessian, const struct qs_gptq_factor *f, int type)
{
    return (struct qs_gptq_args){ .h = hessian, .factor = f, .type = type, .pool = pool, .prio = QS_PRIO_JOB };
}

static struct qs_gptq_factor *factor(const struct qs_hessian *hessian, double damp, bool natural)
{
    struct qs_gptq_factor *f;
    struct qs_err e = QS_ERR_INIT;
    if (qs_gptq_factor_new(hessian, &(struct qs_gptq_factor_args){ damp, natural, -1 }, &f, NULL, &e))
        fail_msg("%s", e.msg);
    return f;
}

static struct qs_gptq_result encode(const struct qs_gptq_args *a, size_t rows, size_t cols, uint8_t *dst)
{
    struct qs_gptq_result out;
    struct qs_err e = QS_ERR_INIT;
    if (qs_gptq_encode(a, w, rows, cols, dst, &out, NULL, &e))
        fail_msg("%s: %s", qs_type_name(a->type), e.msg);
    return out;
}

/* What is in the file, minus the weights: into d. */
static void difference(int type, const uint8_t *from, size_t rows, size_t cols)
{
    qs_format_ops(type)->decode(&(struct qs_const_parts){ { from } }, rows, cols, d, cols);
    for (size_t i = 0; i < rows * cols; i++)
        d[i] -= w[i];
}

static void near(const char *what, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * fabs(want)))
        fail_msg("%s: %.9g is not %.9g", what, got, want);
}

/* ---- the textbook */

struct at { float h; size_t col; };
static int by_turn(const void *a, const void *b)
{
    const struct at *x = a, *y = b;
    return x->h != y->h ? (x->h > y->h ? -1 : 1) : x->col < y->col ? -1 : 1;
}

/* Rows agree up to the first decision that was nearly a tie, which changes all that come after it. */
static size_t agreeing_rows(const struct qs_lattice *l, size_t rows, size_t cols, bool natural)
{
    struct at turn[COLS_MAX];
    size_t same = 0;
    for (size_t k = 0; k < cols; k++)
        turn[k] = (struct at){ natural ? 0 : h[k * (cols + 1)], k };
    qsort(turn, cols, sizeof *turn, by_turn);
    for (size_t r = 0; r < rows; r++) {
        size_t k = 0;
        for (; k < cols; k++) {
            const size_t i = r * cols + turn[k].col;
            const float want = offset[i / l->sub] + scale[i / l->sub] * l->level[code[i]];
            if (d[i] + w[i] != want && fabsf(d[i] + w[i] - want) > 0.01f * fabsf(scale[i / l->sub]))
                break;
        }
        if (k < cols && margin[r * cols + turn[k].col] > 2e-3)
            fail_msg("%s: row %zu, column %zu (turn %zu): another code than the textbook's, though %g steps from a tie",
                     qs_type_name(l->type), r, turn[k].col, k, margin[r * cols + turn[k].col]);
        same += k == cols;
    }
    return same;
}

static void test_textbook(void **state)
{
    (void)state;
    const size_t rows = 37, cols = getenv("QS_REDUCED") ? 256 : 512; /* the textbook's way is cubic */
    const struct qs_hessian hessian = make(rows, cols, 900, 3);
    for (int natural = 0; natural < 2; natural++) {
        struct qs_gptq_factor *f = factor(&hessian, 0.01, natural);
        for (size_t t = 0; t < TYPES; t++) {
            const struct qs_lattice *l = qs_lattice_of(types[t]);
            float importance[COLS_MAX];
            for (size_t k = 0; k < cols; k++)
                importance[k] = h[k * (cols + 1)] + 0.01f;
            struct qs_gptq_args a = args_of(&hessian, f, types[t]);
            a.importance = importance;
            encode(&a, rows, cols, packed);
            difference(types[t], packed, rows, cols);
            qs_format_ops(types[t])->fit(&(struct qs_rows){ w, rows, cols, cols, importance }, grid, scratch_code);
            l->spread(grid, rows, cols, scale, offset);
            gptq_oracle(l, scale, offset, w, rows, cols, h, 0.01, natural, code, margin);
            const size_t same = agreeing_rows(l, rows, cols, natural);
            if (same < rows * 3 / 4)
                fail_msg("%s: only %zu of %zu rows are the textbook's throughout", qs_type_name(types[t]), same, rows);
        }
        qs_gptq_factor_free(f);
    }
}

/* ---- what the steps promise */

static void test_steps(void **state)
{
    (void)state;
    /* The most that held-out error may be of the weighted fit's, after GPTQ and descent, and after refits. */
    static const struct { int type; double descent, refit; } most[] = {
        { QS_Q2_K, 0.67, 0.63 }, { QS_Q3_K, 0.65, 0.64 }, { QS_Q4_K, 0.67, 0.65 }, { QS_Q5_K, 0.66, 0.63 },
        { QS_Q6_K, 0.66, 0.65 }, { QS_Q4_0, 0.64, 0.63 }, { QS_Q4_1, 0.68, 0.66 }, { QS_Q5_0, 0.63, 0.61 },
        { QS_Q5_1, 0.65, 0.63 }, { QS_Q8_0, 0.65, 0.60 }, { QS_IQ4_NL, 0.62, 0.61 }, { QS_IQ4_XS, 0.62, 0.61 },
        { QS_MXFP4, 0.61, 0.60 }, { QS_NVFP4, 0.62, 0.59 },
    };
    const size_t rows = 70, cols = 256;
    const struct qs_hessian hessian = make(rows, cols, TOKENS, 0);
    struct qs_gptq_factor *f;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_gptq_factor_new(&hessian, NULL, &f, NULL, &e), QS_OK);
    for (size_t t = 0; t < sizeof most / sizeof *most; t++) {
        struct qs_gptq_args a = args_of(&hessian, f, most[t].type);
        const char *name = qs_type_name(most[t].type);
        a.plain = true;
        const struct qs_gptq_result plain = encode(&a, rows, cols, packed);
        difference(a.type, packed, rows, cols);
        const double before = gptq_energy(d, held, rows, cols);
        near(name, plain.fit, gptq_energy(d, h, rows, cols), 1e-4);
        near(name, plain.norm, gptq_energy(w, h, rows, cols), 1e-4);
        assert_true(isnan(plain.gptq) && isnan(plain.descent) && isnan(plain.refit) && plain.changed == 0);
        a.plain = false;
        a.sweeps = 4;
        const struct qs_gptq_result descent = encode(&a, rows, cols, packed);
        difference(a.type, packed, rows, cols);
        near(name, descent.descent, gptq_energy(d, h, rows, cols), 1e-4);
        assert_true(descent.fit == plain.fit && descent.gptq < descent.fit && descent.descent <= descent.gptq);
        assert_true(descent.changed > 0 && descent.sweeps > 0);
        const double after = gptq_energy(d, held, rows, cols) / before;
        a.refits = 2;
        const struct qs_gptq_result refit = encode(&a, rows, cols, packed);
        difference(a.type, packed, rows, cols);
        near(name, refit.refit, gptq_energy(d, h, rows, cols), 1e-4);
        assert_true(refit.descent == descent.descent && refit.refit <= refit.descent);
        const double fitted = gptq_energy(d, held, rows, cols) / before;
        print_message("%-7s held-out error, of the weighted fit's: descent %.3f, refit %.3f\n", name, after, fitted);
        if (!(after <= most[t].descent && fitted <= most[t].refit))
            fail_msg("%s: held-out error falls to %.3f and %.3f only", name, after, fitted);
    }
    qs_gptq_factor_free(f);
}

/* No code alone can be changed for the better. */
static void test_descent_ends(void **state)
{
    (void)state;
    const size_t rows = 20, cols = 512;
    const struct qs_hessian hessian = make(rows, cols, 900, 0);
    struct qs_gptq_factor *f = factor(&hessian, 0, false);
    float importance[COLS_MAX];
    for (size_t k = 0; k < cols; k++)
        importance[k] = h[k * (cols + 1)];
    for (size_t t = 0; t < TYPES; t++) {
        const struct qs_lattice *l = qs_lattice_of(types[t]);
        struct qs_gptq_args a = args_of(&hessian, f, types[t]);
        a.importance = importance;
        a.sweeps = 100;
        const struct qs_gptq_result out = encode(&a, rows, cols, packed);
        assert_true(out.sweeps < 100);
        difference(types[t], packed, rows, cols);
        qs_format_ops(types[t])->fit(&(struct qs_rows){ w, rows, cols, cols, importance }, grid, scratch_code);
        l->spread(grid, rows, cols, scale, offset);
        for (size_t i = 0; i < rows * cols; i++) {
            const size_t k = i % cols;
            double dh = 0, size = 0; /* of what was added: single precision forgets some of it */
            for (size_t j = 0; j < cols; j++) {
                dh += (double)d[i - k + j] * (double)h[j * cols + k];
                size += fabs((double)d[i - k + j] * (double)h[j * cols + k]);
            }
            for (int c = 0; c < l->n_levels; c++) {
                const float value = offset[i / l->sub] + scale[i / l->sub] * l->level[c];
                const double step = (double)value - (double)(d[i] + w[i]);
                const double change = step * (2 * dh + step * (double)h[k * (cols + 1)]);
                if (fabs(step) > 0.01 * fabs((double)scale[i / l->sub]) && change < -1e-5 * fabs(step) * size)
                    fail_msg("%s: weight %zu would be better off with code %d: %g (%g of what was summed)",
                             qs_type_name(types[t]), i, c, change, change / fabs(step) / size);
            }
        }
    }
    qs_gptq_factor_free(f);
}

/* Plain: the bytes of the encoder, without a factor. */
static void test_plain(void **state)
{
    (void)state;
    const size_t rows = 133, cols = 256;
    const struct qs_hessian hessian = make(rows, cols, 300, 0);
    float importance[COLS_MAX];
    for (size_t k = 0; k < cols; k++)
        importance[k] = 0.1f + (float)k;
    for (size_t t = 0; t < TYPES; t++) {
        const struct qs_format *format = qs_format_by_id(types[t]);
        struct qs_gptq_args a = args_of(&hessian, NULL, types[t]);
        a.importance = importance;
        a.plain = true;
        encode(&a, rows, cols, packed);
        void *scratch = qs_alloc_aligned(16, qs_format_scratch(format, rows, cols));
        const struct qs_rows in = { w, rows, cols, cols, importance };
        qs_format_encode(format, &in, &(struct qs_parts){ { packed2 } }, scratch);
        qs_free(scratch);
        assert_memory_equal(packed, packed2, rows * qs_format_row_bytes(format, cols));
    }
}

static void test_threads(void **state)
{
    (void)state;
    const size_t rows = 299, cols = 288; /* no multiple of a strip; a last block of 32 columns */
    const struct qs_hessian hessian = make(rows, cols, 400, 1);
    struct qs_gptq_factor *f = factor(&hessian, 0, false);
    const int some[] = { QS_Q4_0, QS_IQ4_NL, QS_Q5_1 };
    for (size_t t = 0; t < 3; t++) {
        struct qs_gptq_result first = { 0 };
        for (unsigned n = 1; n <= 3; n++) {
            struct qs_gptq_args a = args_of(&hessian, f, some[t]);
            struct qs_err e = QS_ERR_INIT;
            assert_int_equal(qs_pool_new(n, &a.pool, &e), QS_OK);
            a.sweeps = 2;
            a.refits = 1;
            const struct qs_gptq_result out = encode(&a, rows, cols, n == 1 ? packed : packed2);
            if (n == 1)
                first = out;
            else
                assert_memory_equal(packed, packed2, rows * qs_format_row_bytes(qs_format_by_id(some[t]), cols));
            assert_true(out.norm == first.norm && out.fit == first.fit && out.gptq == first.gptq &&
                        out.descent == first.descent && out.refit == first.refit && out.changed == first.changed &&
                        out.sweeps == first.sweeps);
            qs_pool_free(a.pool);
        }
    }
    qs_gptq_factor_free(f);
}

/* ---- poor Hessians */

static void test_few_tokens(void **state)
{
    (void)state;
    const size_t rows = 40, cols = 512;
    for (int single = 0; single < 2; single++) { /* 60 tokens: rank 60; one token: rank 1 */
        const struct qs_hessian hessian = make(rows, cols, single ? 1 : 60, 0);
        struct qs_gptq_factor_facts facts;
        struct qs_gptq_factor *f;
        struct qs_err e = QS_ERR_INIT;
        const struct qs_gptq_factor_args how = { .ridge = -1 };
        assert_int_equal(qs_gptq_factor_new(&hessian, &how, &f, &facts, &e), QS_OK);
        assert_true(facts.damp >= 0.01 && facts.damp <= 1 && facts.tries >= 1 && facts.dead == 0);
        struct qs_gptq_args a = args_of(&hessian, f, QS_Q3_K);
        a.sweeps = 3;
        a.refits = 1;
        const struct qs_gptq_result out = encode(&a, rows, cols, packed);
        assert_true(out.gptq < 0.5 * out.fit && out.descent <= out.gptq && out.refit <= out.descent);
        assert_int_equal(qs_format_ops(QS_Q3_K)->scan(&(struct qs_const_parts){ { packed } }, rows, cols), 0);
        qs_gptq_factor_free(f);
    }
}

/* Four tokens to a column: the ridge makes other tokens' error lower, though these tokens' is higher. */
static void test_ridge(void **state)
{
    (void)state;
    const size_t rows = 40, cols = 256;
    const struct qs_hessian hessian = make(rows, cols, 4 * cols, 0);
    double error[2], fits[2];
    gptq_inputs(5, TOKENS, cols, 24, 0, tokens);
    gptq_gram(tokens, TOKENS, cols, held);
    for (int with = 0; with < 2; with++) {
        struct qs_gptq_factor_facts facts;
        struct qs_gptq_factor *f;
        struct qs_err e = QS_ERR_INIT;
        const struct qs_gptq_factor_args how = { .ridge = with ? 0 : -1 };
        assert_int_equal(qs_gptq_factor_new(&hessian, &how, &f, &facts, &e), QS_OK);
        assert_true(with ? facts.ridge == 0.5 : facts.ridge == 0);
        struct qs_gptq_args a = args_of(&hessian, f, QS_Q3_K);
        a.sweeps = 4;
        a.refits = 2;
        fits[with] = encode(&a, rows, cols, packed).refit;
        difference(QS_Q3_K, packed, rows, cols);
        error[with] = gptq_energy(d, held, rows, cols);
        qs_gptq_factor_free(f);
    }
    print_message("held-out error with the ridge, of that without: %.3f; own error: %.3f\n", error[1] / error[0],
                  fits[1] / fits[0]);
    assert_true(error[1] < 0.97 * error[0] && fits[1] > fits[0]);
}

static void test_dead_columns(void **state)
{
    (void)state;
    const size_t rows = 40, cols = 256, dead = 48; /* a whole sub-block and more */
    const struct qs_hessian hessian = make(rows, cols, 500, dead);
    struct qs_gptq_factor_facts facts;
    struct qs_gptq_factor *f;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_gptq_factor_new(&hessian, NULL, &f, &facts, &e), QS_OK);
    assert_int_equal(facts.dead, dead);
    struct qs_gptq_args a = args_of(&hessian, f, QS_Q4_0);
    a.sweeps = 2;
    encode(&a, rows, cols, packed);
    difference(QS_Q4_0, packed, rows, cols);
    double error = 0, norm = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < dead; k++) {
            error += pow((double)d[r * cols + k], 2);
            norm += pow((double)w[r * cols + k], 2);
        }
    assert_true(error < 0.02 * norm); /* rounded as they stand */
    qs_gptq_factor_free(f);
}

static int refused(const struct qs_hessian *hessian, struct qs_err *e)
{
    struct qs_gptq_factor *f;
    struct qs_gptq_factor_facts facts;
    const int rc = qs_gptq_factor_new(hessian, NULL, &f, &facts, e);
    if (rc == QS_OK)
        qs_gptq_factor_free(f);
    return rc;
}

static void test_refusals(void **state)
{
    (void)state;
    const size_t rows = 9, cols = 256;
    struct qs_err e = QS_ERR_INIT;
    struct qs_hessian hessian = make(rows, cols, 500, 0);
    h[5 * cols + 9] = NAN;
    assert_int_equal(refused(&hessian, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "NaN at column 9, row 5"));
    h[5 * cols + 9] = h[9 * cols + 5];
    for (size_t i = 0; i < cols; i++)
        h[i * cols + (i + 1) % cols] = h[(i + 1) % cols * cols + i] = 1e6f; /* of no inputs at all */
    assert_int_equal(refused(&hessian, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "does not factor"));
    memset(h, 0, sizeof h);
    assert_int_equal(refused(&hessian, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "zero"));

    struct qs_gptq_args a = args_of(&hessian, NULL, QS_Q4_K); /* what is left then */
    struct qs_gptq_result out;
    a.plain = true;
    assert_int_equal(qs_gptq_encode(&a, w, rows, cols, packed, &out, NULL, &e), QS_OK);
    assert_true(out.fit == 0 && out.norm == 0);
    a.type = QS_IQ2_S;
    assert_int_equal(qs_gptq_encode(&a, w, rows, cols, packed, &out, NULL, &e), QS_EUNSUPPORTED);
    assert_non_null(strstr(e.msg, "IQ2_S"));
    a.type = QS_Q4_K;
    w[3 * cols + 17] = INFINITY;
    assert_int_equal(qs_gptq_encode(&a, w, rows, cols, packed, &out, NULL, &e), QS_EFORMAT);
    assert_non_null(strstr(e.msg, "weight 17 of row 3 is infinite"));
    w[3 * cols + 17] = 0;
    assert_int_equal(qs_gptq_encode(&a, w, rows, cols / 2, packed, &out, NULL, &e), QS_EINVAL);
}

/* ---- the correction */

static void test_correct(void **state)
{
    (void)state;
    const size_t rows = 70, cols = 96;
    struct qs_hessian hessian = make(rows, cols, 300, 2);
    static float cross[96 * 96], drift[70 * 96], out[70 * 96];
    static double a[96 * 96], inv[96 * 96], b[96];
    uint64_t seed = 8;
    double mean = 0;
    for (size_t i = 0; i < cols * cols; i++)
        cross[i] = (float)(0.1 * gptq_bell(&seed));
    for (size_t i = 0; i < rows * cols; i++)
        drift[i] = (float)(0.05 * gptq_bell(&seed));
    for (size_t i = 0; i < cols; i++)
        mean += (double)h[i * (cols + 1)] / (double)cols;
    for (size_t i = 0; i < cols * cols; i++)
        a[i] = (double)h[i] + (i % (cols + 1) == 0 ? 0.01 * mean : 0);
    gptq_invert(a, cols, inv);
    hessian.cross = cross;
    hessian.drift = drift;
    hessian.width = rows;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_gptq_correct(&hessian, 0.01, 0.5, 0.25, w, rows, out, pool, QS_PRIO_JOB, &e), QS_OK);
    for (size_t r = 0; r < rows; r++) {
        for (size_t k = 0; k < cols; k++) {
            b[k] = 0.25 * (double)drift[r * cols + k];
            for (size_t j = 0; j < cols; j++)
                b[k] += 0.5 * (double)w[r * cols + j] * (double)cross[j * cols + k];
        }
        for (size_t k = 0; k < cols; k++) {
            double want = (double)w[r * cols + k];
            for (size_t j = 0; j < cols; j++)
                want += b[j] * inv[j * cols + k];
            if (!(fabs(want - (double)out[r * cols + k]) < 1e-5 * (fabs(want) + 0.1)))
                fail_msg("row %zu, column %zu: %g is not %g", r, k, (double)out[r * cols + k], want);
        }
    }
    static float same[70 * 96];
    memcpy(same, w, rows * cols * sizeof *w);
    assert_int_equal(qs_gptq_correct(&hessian, 0.01, 0.5, 0.25, same, rows, same, pool, QS_PRIO_JOB, &e), QS_OK);
    assert_memory_equal(same, out, sizeof out); /* in place */
    hessian.width = rows + 1; /* of another matrix */
    assert_int_equal(qs_gptq_correct(&hessian, 0.01, 0.5, 0.25, w, rows, out, pool, QS_PRIO_JOB, &e), QS_EINVAL);
    hessian.cross = NULL;
    assert_int_equal(qs_gptq_correct(&hessian, 0.01, 1, 0, w, rows, out, pool, QS_PRIO_JOB, &e), QS_EINVAL);
}

/* ---- memory */

static int body(void *ctx, struct qs_err *e)
{
    const struct qs_hessian *hessian = ctx;
    struct qs_gptq_factor *f;
    struct qs_gptq_result out;
    int rc = qs_gptq_factor_new(hessian, NULL, &f, NULL, e);
    if (rc)
        return rc;
    struct qs_gptq_args a = args_of(hessian, f, QS_Q4_K);
    a.sweeps = 1;
    a.refits = 1;
    rc = qs_gptq_encode(&a, w, 3, hessian->cols, packed, &out, NULL, e);
    qs_gptq_factor_free(f);
    if (rc == QS_OK)
        rc = qs_gptq_correct(hessian, 0, 1, 0, w, 3, d, pool, QS_PRIO_JOB, e);
    return rc;
}

static void test_memory(void **state)
{
    (void)state;
    struct qs_hessian hessian = make(3, 256, 300, 0);
    hessian.cross = held;
    qs_test_each_alloc(body, &hessian);
    const uint64_t before = qs_mem_in_use();
    struct qs_gptq_factor *f = factor(&hessian, 0, false);
    assert_true(qs_mem_in_use() - before <= qs_gptq_need(256, 3, qs_pool_threads(pool)));
    qs_gptq_factor_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_textbook), cmocka_unit_test(test_steps), cmocka_unit_test(test_descent_ends),
        cmocka_unit_test(test_plain), cmocka_unit_test(test_threads), cmocka_unit_test(test_few_tokens),
        cmocka_unit_test(test_ridge), cmocka_unit_test(test_dead_columns), cmocka_unit_test(test_refusals), cmocka_unit_test(test_correct),
        cmocka_unit_test(test_memory),
    };
    struct qs_err e = QS_ERR_INIT;
    if (qs_pool_new(2, &pool, &e))
        return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    qs_pool_free(pool);
    return failed;
}
