/* test_levels.c - every operation of every instruction set against plain C: same bits, nothing outside the rows touched.
 *
 * Inputs end where an unreadable page begins, outputs are followed by guard bytes. On a machine (or build) that has plain
 * C only, the comparison is skipped and says so.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/format.h"
#include "kernels/level.h"
#include "tests/kernels/golden_input.h"

enum { MAX_ROWS = 19, MAX_COLS = 1024, STRIDE = MAX_COLS + 5, GUARD = 64, KINDS = GOLDEN_KINDS + 6 };
enum { MAX_BYTES = MAX_ROWS * MAX_COLS * 8 };

/* Memory whose last byte is the last readable one. */
static void *at_the_edge(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    uint8_t *p = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    assert_int_equal(mprotect(p + whole, page, PROT_NONE), 0);
    return p + whole - bytes;
}

static void free_edge(void *mem, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    assert_int_equal(munmap((uint8_t *)mem + bytes - whole, whole + page), 0);
}

static float of_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* The kinds of the goldens, and what only an attacker or a broken file would bring. */
static float weight_of(int kind, size_t c, uint64_t *s)
{
    static const uint32_t odd[] = {0x7fc00000, 0x7f800000, 0xff800000, 0x7f7fffff, 0xff7fffff, 1, 0x80000001, 0x7f800001};
    uint64_t r = golden_next(s);
    switch (kind - GOLDEN_KINDS) {
    case 0: return of_bits((uint32_t)r);                                              /* any bits at all */
    case 1: return r % 23 == 0 ? of_bits(odd[r / 23 % 8]) : golden_bell(s);           /* a few odd ones */
    case 2: return of_bits((uint32_t)(r & 0x807fffff) | (uint32_t)(90 + r / 7 % 80) << 23); /* all magnitudes */
    case 3: return of_bits((uint32_t)r & 0x800fffff);                                 /* subnormal */
    case 4: return (r & 1 ? -1.0f : 1.0f) * (c % 16 == 9 ? 3e38f : golden_uniform(s) * 1e38f); /* sums overflow */
    case 5: return c % 32 == 0 ? 1.0f : golden_bell(s) * 1e-9f;
    default: return golden_weight(kind, c, s);
    }
}

struct input {
    float *x, *w;
    size_t rows, cols, floats;
};

static struct input make_input(int kind, size_t rows, size_t cols)
{
    uint64_t s = (uint64_t)kind * 1000 + rows * 31 + cols;
    struct input in = {.rows = rows, .cols = cols, .floats = (rows - 1) * STRIDE + cols};
    in.x = at_the_edge(in.floats * sizeof(float));
    in.w = at_the_edge(cols * sizeof(float));
    for (size_t i = 0; i < in.floats; i++)
        in.x[i] = i % STRIDE < cols ? weight_of(kind, i % STRIDE, &s) : NAN;
    for (size_t c = 0; c < cols; c++) {
        float g = golden_bell(&s);
        in.w[c] = kind % 3 == 1 && golden_uniform(&s) < 0.1f ? 0.0f : g * g + 0.001f;
    }
    return in;
}

static void free_input(struct input *in)
{
    free_edge(in->x, in->floats * sizeof(float));
    free_edge(in->w, in->cols * sizeof(float));
}

/* What one level makes of one input. */
struct result {
    uint8_t bytes[MAX_BYTES + GUARD], codes[MAX_BYTES + GUARD], rounded[MAX_BYTES + GUARD];
    float decoded[MAX_ROWS * STRIDE];
    size_t scanned;
};

static struct result plain, fast;
static _Alignas(16) uint8_t grid[MAX_BYTES];

static size_t row_codes(const struct qs_format *f, size_t cols)
{
    return cols / f->block * f->codes_per_block * f->code_bytes;
}

static void run_encode(const struct qs_format *f, const struct input *in, bool weighted, struct result *out)
{
    const struct qs_format_ops *ops = qs_format_ops(f->id);
    const struct qs_rows rows = {in->x, in->rows, in->cols, STRIDE, weighted ? in->w : NULL};
    const struct qs_parts dst = {{out->bytes}};
    memset(out->bytes, 0x77, sizeof out->bytes);
    memset(out->codes, 0x77, sizeof out->codes);
    memset(out->rounded, 0x77, sizeof out->rounded);
    ops->fit(&rows, grid, out->codes);
    ops->pack(in->rows, in->cols, grid, out->codes, &dst);
    ops->round(&rows, grid, out->rounded);
}

static void run_decode(const struct qs_format *f, const uint8_t *src, size_t rows, size_t cols, struct result *out)
{
    const struct qs_format_ops *ops = qs_format_ops(f->id);
    const struct qs_const_parts parts = {{src}};
    for (size_t i = 0; i < MAX_ROWS * STRIDE; i++)
        out->decoded[i] = -3;
    ops->decode(&parts, rows, cols, out->decoded + 1, STRIDE); /* + 1: dst need not be aligned */
    out->scanned = ops->scan(&parts, rows, cols);
}

static void compare_encode(enum qs_level l, const struct qs_format *f, const struct input *in, int kind, bool weighted)
{
    qs_level_limit(QS_LEVEL_REF);
    run_encode(f, in, weighted, &plain);
    qs_level_limit(l);
    run_encode(f, in, weighted, &fast);
    /* Whole buffers: the guards behind the data are compared too, and must be untouched in both. */
    const size_t bytes = in->rows * qs_format_row_bytes(f, in->cols), codes = in->rows * row_codes(f, in->cols);
    if (memcmp(plain.bytes, fast.bytes, bytes + GUARD) != 0 || memcmp(plain.codes, fast.codes, codes + GUARD) != 0)
        fail_msg("%s at %s: fit differs (kind %d, %zu rows of %zu%s)", f->name, qs_level_name(l), kind, in->rows, in->cols,
                 weighted ? ", weighted" : "");
    if (memcmp(plain.rounded, fast.rounded, codes + GUARD) != 0)
        fail_msg("%s at %s: round differs (kind %d)", f->name, qs_level_name(l), kind);
    for (size_t i = 0; i < GUARD; i++)
        assert_true(fast.bytes[bytes + i] == 0x77 && fast.codes[codes + i] == 0x77 && fast.rounded[codes + i] == 0x77);
}

static void compare_decode(enum qs_level l, const struct qs_format *f, size_t rows, size_t cols, uint64_t seed)
{
    const size_t bytes = rows * qs_format_row_bytes(f, cols);
    uint8_t *src = at_the_edge(bytes);
    golden_random_bytes(seed, src, bytes);
    qs_level_limit(QS_LEVEL_REF);
    run_decode(f, src, rows, cols, &plain);
    qs_level_limit(l);
    run_decode(f, src, rows, cols, &fast);
    if (golden_hash_floats(plain.decoded, MAX_ROWS * STRIDE) != golden_hash_floats(fast.decoded, MAX_ROWS * STRIDE))
        fail_msg("%s at %s: decode differs (%zu rows of %zu)", f->name, qs_level_name(l), rows, cols);
    assert_int_equal(plain.scanned, fast.scanned);
    free_edge(src, bytes);
}

static void compare_format(enum qs_level l, const struct qs_format *f)
{
    static const size_t shapes[][2] = {{1, 256}, {3, 512}, {MAX_ROWS, 256}, {2, MAX_COLS}};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
        for (uint64_t seed = 0; seed < 8; seed++)
            compare_decode(l, f, shapes[k][0], shapes[k][1], seed + 10 * k);
    for (size_t cols = 1; f->block == 1 && cols < 36; cols++)
        compare_decode(l, f, 2, cols, cols);
    if (f->flags & QS_NO_ENCODE)
        return;
    for (int kind = 0; kind < KINDS; kind++) {
        const size_t *shape = shapes[kind % 4];
        struct input in = make_input(kind, shape[0], f->block == 1 ? shape[1] - (size_t)kind : shape[1]);
        for (int weighted = f->flags & QS_NEEDS_IMATRIX ? 1 : 0; weighted < 2; weighted++)
            compare_encode(l, f, &in, kind, weighted == 1);
        free_input(&in);
    }
}

static void levels_agree(void **state)
{
    (void)state;
    int compared = 0;
    for (int l = QS_LEVEL_REF + 1; l < QS_LEVEL_COUNT; l++) {
        if (!qs_level_available((enum qs_level)l))
            continue;
        for (size_t i = 0; i < qs_format_count(); i++)
            compare_format((enum qs_level)l, qs_format_at(i));
        compared++;
    }
    qs_level_limit(QS_LEVEL_COUNT - 1);
    if (compared == 0) {
        print_message("only plain C here: nothing to compare\n");
        skip();
    }
}

static void limits_hold(void **state)
{
    enum qs_level l;
    (void)state;
    assert_true(qs_level_available(QS_LEVEL_REF));
    assert_true(qs_level_available(qs_level_best()));
    assert_false(qs_level_available(QS_LEVEL_COUNT));
    for (int i = 0; i < QS_LEVEL_COUNT; i++) {
        assert_true(qs_level_parse(qs_level_name((enum qs_level)i), &l));
        assert_int_equal(l, i);
        qs_level_limit(l);
        assert_true(qs_level_now() <= l && qs_level_now() <= qs_level_best());
    }
    assert_false(qs_level_parse("avx", &l));
    assert_false(qs_level_parse("", &l));
    qs_level_limit(QS_LEVEL_REF);
    assert_int_equal(qs_level_now(), QS_LEVEL_REF);
    qs_level_limit(QS_LEVEL_COUNT - 1);
    assert_int_equal(qs_level_now(), qs_level_best());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(levels_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
