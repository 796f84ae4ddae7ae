/* report_bench_compare.c - two runs of the bench side by side. Computes nothing but ratios. */
#include "core/report/report_bench.h"

#include <math.h>
#include <string.h>

#define N(columns) (sizeof columns / sizeof *columns)

static void run_facts(struct qs_report *r, const char *key, const char *title, const struct qs_bench *b)
{
    struct qs_section *s = qs_report_facts(r, key, title);
    qs_fact_str(s, "machine", "machine", b->machine);
    qs_fact_int(s, "threads", "threads", b->threads, QS_UNIT_COUNT);
    qs_fact_str(s, "level", "level", b->level);
    qs_fact_str(s, "version", "program", b->version);
    qs_fact_str(s, "date", "date", b->date);
    qs_fact_bool(s, "stopped", "stopped before its end", b->stopped);
}

/* The best that this run saw of a limit, whatever the loop. */
static double best_limit(const struct qs_bench *b, const char *unit)
{
    double best = NAN;
    for (size_t i = 0; i < b->n_limits; i++)
        if (strcmp(b->limit[i].unit, unit) == 0 && !(b->limit[i].best <= best))
            best = b->limit[i].best;
    return best;
}

static void limits(struct qs_report *r, const struct qs_bench *a, const struct qs_bench *b, bool data)
{
    static const struct qs_column columns[] = {
        { .key = "limit", .title = "limit", .left = true }, { .key = "a", .title = "a" },
        { .key = "b", .title = "b" },                       { .key = "ratio", .title = "b / a" },
        { .key = "unit", .title = "per second", .left = true },
    };
    struct qs_section *s = qs_report_table(r, "limits", "Limits, the best of each run", columns, N(columns));
    const double scale = data ? 1 : 1e-9;
    for (int u = 0; u < QS_LIMITS; u++) {
        const char *unit = qs_limit_name((enum qs_limit)u);
        const double of_a = best_limit(a, unit), of_b = best_limit(b, unit);
        if (isnan(of_a) && isnan(of_b))
            continue;
        qs_row(s);
        qs_cell_str(s, 0, unit);
        qs_cell_num(s, 1, of_a * scale);
        qs_cell_num(s, 2, of_b * scale);
        qs_cell_num(s, 3, of_b / of_a);
        qs_cell_str(s, 4, u == QS_LIMIT_READ ? (data ? "B" : "GB") : data ? "op" : "Gop");
    }
}

static void pair_row(struct qs_section *s, const struct qs_bench_number *x, const struct qs_bench_number *y)
{
    qs_row(s);
    qs_cell_str(s, 0, qs_bench_part_name(x->part));
    qs_cell_str(s, 1, x->subject);
    qs_cell_str(s, 2, x->detail);
    qs_cell_int(s, 3, (int64_t)x->size);
    qs_cell_num(s, 4, x->median);
    qs_cell_num(s, 5, y->median);
    qs_cell_num(s, 6, y->median / x->median);
    qs_cell_str(s, 7, x->unit);
    qs_cell_num(s, 8, x->share);
    qs_cell_num(s, 9, y->share);
    qs_cell_num(s, 10, y->share / x->share);
}

/* What stands in one run alone, named as far as a line has room. */
static void remark_missing(struct qs_section *s, const char *name, const struct qs_bench *in,
                           const struct qs_bench *other)
{
    size_t n = 0;
    const struct qs_bench_number *first = NULL;
    for (size_t i = 0; i < in->n_numbers; i++)
        if (!qs_bench_same(other, &in->number[i])) {
            first = first ? first : &in->number[i];
            n++;
        }
    if (n)
        qs_section_note(s, "%zu numbers stand in %s alone, the first: %s, %s %s %llu.", n, name,
                        qs_bench_part_name(first->part), first->subject, first->detail, (unsigned long long)first->size);
}

struct qs_report *qs_report_bench_compare(const struct qs_bench *a, const struct qs_bench *b, bool data)
{
    static const struct qs_column columns[] = {
        { .key = "part", .title = "part", .left = true },
        { .key = "subject", .title = "of", .left = true },
        { .key = "detail", .title = "", .left = true },
        { .key = "size", .title = "size", .unit = QS_UNIT_COUNT },
        { .key = "a", .title = "a" },
        { .key = "b", .title = "b" },
        { .key = "ratio", .title = "b / a" },
        { .key = "unit", .title = "unit", .left = true },
        { .key = "share_a", .title = "share a", .unit = QS_UNIT_PERCENT },
        { .key = "share_b", .title = "share b", .unit = QS_UNIT_PERCENT },
        { .key = "share_ratio", .title = "b / a" },
    };
    struct qs_report *r = qs_report_new("bench-compare");
    if (!r)
        return NULL;
    run_facts(r, "a", "Run a", a);
    run_facts(r, "b", "Run b", b);
    limits(r, a, b, data);
    struct qs_section *s =
        qs_report_table(r, "numbers", "Medians, and shares of the limits beside them", columns, N(columns));
    for (size_t i = 0; i < a->n_numbers; i++) {
        const struct qs_bench_number *y = qs_bench_same(b, &a->number[i]);
        if (y)
            pair_row(s, &a->number[i], y);
    }
    remark_missing(s, "a", a, b);
    remark_missing(s, "b", b, a);
    if (strcmp(a->machine, b->machine) != 0)
        qs_section_note(s, "The machines differ: shares tell more than speeds.");
    return r;
}
