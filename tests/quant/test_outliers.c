/* test_outliers.c - which candidates are named: small cases by hand, random ones against a slow search, large ones by their
 * steps; yardsticks with zeros. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/quant/outliers.h"
#include "tests/quant/made_tensors.h"

/* A drawing, one string per row: '.' no large weight, 'b' large for both, 'r' for its row, 'c' for its column. */
struct drawing {
    const char *what, *row[6];
    const char *own_rows, *own_cols; /* digits */
    const char *rows, *cols;         /* 'x': named */
};

static const struct drawing drawings[] = {
    { "an outlier column makes every row large", { "b", "b", "b", "b" }, "0000", "0", "....", "x" },
    { "an outlier row makes every column large", { "bbbb" }, "0", "0000", "x", "...." },
    { "one weight alone is its column's", { ".b.", "..." }, "00", "000", "..", ".x." },
    { "no large weight, no outlier", { "...", "..." }, "00", "000", "..", "..." },
    { "a weight of its own names a row, which explains its crossing", { "b" }, "1", "0", "x", "." },
    { "the same for a column", { "b" }, "0", "2", ".", "x" },
    { "two of each", { "bbbbb", "bbbbb", "bb...", "bb..." }, "0000", "00000", "xx..", "xx..." },
    { "large for their rows only: the column explains nothing", { "r", "r" }, "00", "0", "xx", "." },
    { "the column explains most at first, and is not needed at the end", { "bbb....", "b..bb..", "b....bb" }, "000",
      "0000000", "xxx", "......." },
    { "both columns have weights of their own", { "bb" }, "0", "11", ".", "xx" },
};

static void fill(struct qs_outlier_grid *g, size_t r, size_t c, char mark)
{
    if (mark == 'b' || mark == 'r')
        qs_outlier_grid_mark(g, QS_ROWS, r, c);
    if (mark == 'b' || mark == 'c')
        qs_outlier_grid_mark(g, QS_COLS, r, c);
}

static void test_by_hand(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof drawings / sizeof *drawings; k++) {
        const struct drawing *d = &drawings[k];
        const size_t rows = strlen(d->own_rows), cols = strlen(d->own_cols);
        struct qs_outlier_grid g;
        struct qs_err e = QS_ERR_INIT;
        assert_int_equal(qs_outlier_grid_new(rows, cols, &g, &e), QS_OK);
        for (size_t r = 0; r < rows; r++) {
            g.own[QS_ROWS][r] = (uint64_t)(d->own_rows[r] - '0');
            for (size_t c = 0; c < cols; c++)
                fill(&g, r, c, d->row[r][c]);
        }
        for (size_t c = 0; c < cols; c++)
            g.own[QS_COLS][c] = (uint64_t)(d->own_cols[c] - '0');
        assert_int_equal(qs_outliers_name(&g, NULL, &e), QS_OK);
        for (size_t r = 0; r < rows; r++)
            if (g.named[QS_ROWS][r] != (d->rows[r] == 'x'))
                fail_msg("%s: row %zu", d->what, r);
        for (size_t c = 0; c < cols; c++)
            if (g.named[QS_COLS][c] != (d->cols[c] == 'x'))
                fail_msg("%s: column %zu", d->what, c);
        qs_outlier_grid_free(&g);
    }
}

/* ---- against a slow search ----------------------------------------------------------------------------------- */

static bool bit(const struct qs_outlier_grid *g, int axis, size_t r, size_t c)
{
    return g->bits[axis][r * g->words + c / 64] >> c % 64 & 1;
}

/* Large weights of a candidate that no named channel of the other axis explains. */
static uint64_t unexplained(const struct qs_outlier_grid *g, bool *const named[2], int axis, size_t i)
{
    uint64_t n = 0;
    for (size_t k = 0; k < g->n[!axis]; k++)
        n += !named[!axis][k] && (axis == QS_ROWS ? bit(g, QS_ROWS, i, k) : bit(g, QS_COLS, k, i));
    return n;
}

static void name_slowly(const struct qs_outlier_grid *g, bool *const named[2])
{
    for (int axis = 0; axis < 2; axis++)
        for (size_t i = 0; i < g->n[axis]; i++)
            named[axis][i] = g->own[axis][i] > 0;
    for (;;) {
        uint64_t most = 0;
        int axis = 0;
        size_t at = 0;
        for (int a = 1; a >= 0; a--)
            for (size_t i = 0; i < g->n[a]; i++)
                if (!named[a][i] && unexplained(g, named, a, i) > most) {
                    most = unexplained(g, named, a, i);
                    axis = a;
                    at = i;
                }
        if (!most)
            break;
        named[axis][at] = true;
    }
    for (int axis = 0; axis < 2; axis++)
        for (size_t i = 0; i < g->n[axis]; i++)
            named[axis][i] = named[axis][i] && (g->own[axis][i] || unexplained(g, named, axis, i));
}

static void test_against_slow(void **state)
{
    (void)state;
    enum { MOST = 140 };
    bool want[2][MOST];
    bool *const named[2] = { want[0], want[1] };
    uint64_t seed = 3, named_in_all = 0;
    for (int round = 0; round < 400; round++) {
        const size_t rows = 1 + (size_t)(made_uniform(&seed) * 30), cols = (size_t)(made_uniform(&seed) * (round % 2 ? 8 : MOST));
        const double share = made_uniform(&seed) * made_uniform(&seed), own = made_uniform(&seed) * 0.3;
        struct qs_outlier_grid g;
        struct qs_err e = QS_ERR_INIT;
        assert_int_equal(qs_outlier_grid_new(rows, cols, &g, &e), QS_OK);
        for (int axis = 0; axis < 2; axis++)
            for (size_t i = 0; i < g.n[axis]; i++)
                g.own[axis][i] = made_uniform(&seed) < own;
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < cols; c++)
                if (made_uniform(&seed) < share)
                    fill(&g, r, c, "bbrc"[(size_t)(made_uniform(&seed) * 4)]);
        name_slowly(&g, named);
        assert_int_equal(qs_outliers_name(&g, NULL, &e), QS_OK);
        for (int axis = 0; axis < 2; axis++)
            for (size_t i = 0; i < g.n[axis]; i++) {
                if (g.named[axis][i] != want[axis][i])
                    fail_msg("round %d: %s %zu", round, axis ? "column" : "row", i);
                named_in_all += want[axis][i];
            }
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < cols; c++)
                assert_true((!bit(&g, QS_ROWS, r, c) && !bit(&g, QS_COLS, r, c)) || g.named[QS_ROWS][r] || g.named[QS_COLS][c] ||
                            bit(&g, QS_ROWS, r, c) != bit(&g, QS_COLS, r, c));
        qs_outlier_grid_free(&g);
    }
    assert_true(named_in_all > 1000);
}

/* ---- large ones ---------------------------------------------------------------------------------------------- */

static void test_steps_are_bounded(void **state)
{
    (void)state;
    enum { ROWS = 200000 };
    struct qs_outlier_grid g;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_outlier_grid_new(ROWS, 0, &g, &e), QS_OK); /* each for itself */
    for (size_t r = 0; r < ROWS; r++)
        g.own[QS_ROWS][r] = 1;
    assert_int_equal(qs_outliers_name(&g, NULL, &e), QS_OK);
    assert_true(g.steps < 10 * (uint64_t)ROWS);
    for (size_t r = 0; r < ROWS; r++)
        assert_true(g.named[QS_ROWS][r]);
    qs_outlier_grid_free(&g);

    assert_int_equal(qs_outlier_grid_new(ROWS, 3, &g, &e), QS_OK); /* none for itself: no row is named */
    for (size_t r = 0; r < ROWS; r++)
        fill(&g, r, r % 3, 'b');
    assert_int_equal(qs_outliers_name(&g, NULL, &e), QS_OK);
    assert_true(g.steps < 20 * (uint64_t)ROWS);
    for (size_t r = 0; r < ROWS; r++)
        assert_false(g.named[QS_ROWS][r]);
    qs_outlier_grid_free(&g);

    enum { SIDE = 4000 }; /* each row and column explains one weight: all columns are named, one by one */
    assert_int_equal(qs_outlier_grid_new(SIDE, SIDE, &g, &e), QS_OK);
    for (size_t r = 0; r < SIDE; r++)
        fill(&g, r, r, 'b');
    assert_int_equal(qs_outliers_name(&g, NULL, &e), QS_OK);
    assert_true(g.steps < 2 * (uint64_t)SIDE * SIDE);
    for (size_t i = 0; i < SIDE; i++)
        assert_true(g.named[QS_COLS][i] && !g.named[QS_ROWS][i]);
    qs_outlier_grid_free(&g);
}

static int name_cancelled(struct qs_job *job, void *ctx, struct qs_err *e)
{
    qs_job_cancel(job);
    return qs_outliers_name(ctx, job, e);
}

static void test_cancel(void **state)
{
    (void)state;
    struct qs_outlier_grid g;
    struct qs_job *job = NULL;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_outlier_grid_new(20000, 6400, &g, &e), QS_OK);
    assert_int_equal(qs_job_start("name", name_cancelled, &g, -1, &job, &e), QS_OK);
    assert_int_equal(qs_job_wait(job, &e), QS_ECANCELLED);
    assert_true(g.steps > 0 && g.steps < UINT64_C(1200000)); /* of the two million of the first count alone */
    qs_job_free(job);
    qs_outlier_grid_free(&g);
}

/* ---- yardsticks ---------------------------------------------------------------------------------------------- */

static void test_yardsticks(void **state)
{
    (void)state;
    const float zeros[5] = { 0 }, some[7] = { 0, 3, 0, 1, 0, 0, 2 }, even[4] = { 8, 2, 4, 100 };
    float sorted[7];
    assert_true(fabs(qs_outlier_yardstick(zeros, sorted, 5)) < 1e-30);
    assert_true(fabs(qs_outlier_yardstick(zeros, sorted, 0)) < 1e-30);
    assert_true(fabs(qs_outlier_yardstick(some, sorted, 7) - 2) < 1e-12);
    assert_true(fabs(qs_outlier_yardstick(even, sorted, 4) - 6) < 1e-12);
    assert_true(qs_outlier_stands_out(8, 2) && !qs_outlier_stands_out(7.99, 2));
    assert_false(qs_outlier_stands_out(0, 0));
}

static int naming_body(void *ctx, struct qs_err *e)
{
    struct qs_outlier_grid g;
    (void)ctx;
    int rc = qs_outlier_grid_new(5, 70, &g, e);
    for (size_t c = 0; !rc && c < 70; c++)
        fill(&g, c % 5, c, 'b');
    if (!rc)
        rc = qs_outliers_name(&g, NULL, e);
    qs_outlier_grid_free(&g);
    return rc;
}

static void test_failing_memory(void **state)
{
    (void)state;
    qs_test_each_alloc(naming_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand), cmocka_unit_test(test_against_slow), cmocka_unit_test(test_steps_are_bounded),
        cmocka_unit_test(test_cancel), cmocka_unit_test(test_yardsticks), cmocka_unit_test(test_failing_memory),
    };
    return cmocka_run_group_tests_name("outliers", tests, NULL, NULL);
}
