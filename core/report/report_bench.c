/* report_bench.c - a bench as tables. Computes nothing. */
#include "core/report/report_bench.h"

#include <string.h>

#define N(columns) (sizeof columns / sizeof *columns)

static void head(struct qs_report *r, const struct qs_bench *b)
{
    struct qs_section *s = qs_report_facts(r, "bench", "Bench");
    qs_fact_str(s, "machine", "machine", b->machine);
    qs_fact_int(s, "threads", "threads", b->threads, QS_UNIT_COUNT);
    qs_fact_str(s, "level", "level", b->level);
    qs_fact_str(s, "precision", "precision", b->precision);
    qs_fact_str(s, "cache", "type of the cache", b->cache);
    qs_fact_int(s, "batch", "batch, tokens", (int64_t)b->batch, QS_UNIT_COUNT);
    qs_fact_str(s, "version", "program", b->version);
    qs_fact_str(s, "date", "date", b->date);
    qs_fact_bool(s, "stopped", "stopped before its end", b->stopped);
    for (size_t i = 0; i < b->n_notes; i++)
        qs_section_note(s, "%s", b->note[i]);
}

static void models(struct qs_report *r, const struct qs_bench *b)
{
    static const struct qs_column columns[] = {
        { .key = "name", .title = "model", .left = true },
        { .key = "source", .title = "shape or file", .left = true },
        { .key = "weights", .title = "weights", .unit = QS_UNIT_COUNT },
        { .key = "bytes", .title = "tensors", .unit = QS_UNIT_BYTES },
        { .key = "bytes_per_token", .title = "read for a token", .unit = QS_UNIT_BYTES },
    };
    struct qs_section *s = qs_report_table(r, "models", "Models", columns, N(columns));
    for (size_t i = 0; i < b->n_subjects; i++) {
        const struct qs_bench_subject *m = &b->subject[i];
        qs_row(s);
        qs_cell_str(s, 0, m->name);
        qs_cell_str(s, 1, m->source);
        qs_cell_int(s, 2, (int64_t)m->weights);
        qs_cell_int(s, 3, (int64_t)m->bytes);
        if (m->bytes_per_token)
            qs_cell_int(s, 4, (int64_t)m->bytes_per_token);
    }
}

static void limits(struct qs_report *r, const struct qs_bench *b, bool data)
{
    static const struct qs_column columns[] = {
        { .key = "limit", .title = "limit", .left = true },
        { .key = "loop", .title = "loop", .left = true },
        { .key = "level", .title = "level", .left = true, .optional = true },
        { .key = "threads", .title = "threads", .unit = QS_UNIT_COUNT },
        { .key = "pages", .title = "pages", .left = true },
        { .key = "median", .title = "median" },
        { .key = "best", .title = "best" },
        { .key = "unit", .title = "per second", .left = true },
        { .key = "tries", .title = "tries", .unit = QS_UNIT_COUNT, .optional = true },
        { .key = "buffer", .title = "buffer", .unit = QS_UNIT_BYTES, .optional = true },
        { .key = "in_huge_pages", .title = "in huge pages", .unit = QS_UNIT_BYTES, .optional = true },
    };
    struct qs_section *s = qs_report_table(r, "limits", "What the machine can do", columns, data ? N(columns) : 9);
    const double scale = data ? 1 : 1e-9;
    for (size_t i = 0; i < b->n_limits; i++) {
        const struct qs_bench_limit *l = &b->limit[i];
        const bool read = strcmp(l->unit, qs_limit_name(QS_LIMIT_READ)) == 0;
        qs_row(s);
        qs_cell_str(s, 0, l->unit);
        qs_cell_str(s, 1, l->loop);
        qs_cell_str(s, 2, l->level);
        qs_cell_int(s, 3, l->threads);
        qs_cell_str(s, 4, !read ? "" : !l->huge ? "4 KiB" : l->granted < l->buffer / 10 * 9 ? "huge refused" : "huge");
        qs_cell_num(s, 5, l->median * scale);
        qs_cell_num(s, 6, l->best * scale);
        qs_cell_str(s, 7, data ? read ? "B" : "op" : read ? "GB" : "Gop");
        qs_cell_int(s, 8, (int64_t)l->tries);
        if (!data || !read)
            continue;
        qs_cell_int(s, 9, (int64_t)l->buffer);
        qs_cell_int(s, 10, (int64_t)l->granted);
    }
    qs_section_note(s, "A multiply-add is two operations. Loops that do nothing else; memory is read from a buffer that "
                       "caches do not hold, again between the runs below.");
}

/* ---- numbers ---- */

static const struct { const char *title, *subject, *size; } part_titles[QS_BENCH_PARTS] = {
    [QS_BENCH_LIMITS] = { "", "", "" },
    [QS_BENCH_STARTUP] = { "Start", "model", "" },
    [QS_BENCH_PREFILL] = { "Prefill", "model", "prompt" },
    [QS_BENCH_DECODE] = { "Decode", "model", "context" },
    [QS_BENCH_ATTENTION] = { "Attention in prefill", "cache", "prompt" },
    [QS_BENCH_ENCODE] = { "Encode", "type", "" },
    [QS_BENCH_CALIBRATE] = { "Calibrate", "model", "size" },
};

/* What is told of a number; tables of parts leave out what none of theirs has. */
enum { SUBJECT, DETAIL, SIZE, MEDIAN, BEST, UNIT, LIMIT, LIMITED_BY, SHARE, SHARE_BEST, SPREAD, RUNS, COLUMNS };

static const struct qs_column number_columns[COLUMNS] = {
    [SUBJECT] = { .key = "subject", .title = "subject", .left = true },
    [DETAIL] = { .key = "detail", .title = "", .left = true },
    [SIZE] = { .key = "size", .title = "size", .unit = QS_UNIT_COUNT },
    [MEDIAN] = { .key = "median", .title = "median" },
    [BEST] = { .key = "best", .title = "best", .optional = true },
    [UNIT] = { .key = "unit", .title = "unit", .left = true },
    [LIMIT] = { .key = "limit", .title = "limit" },
    [LIMITED_BY] = { .key = "limited_by", .title = "by", .left = true },
    [SHARE] = { .key = "share", .title = "share", .unit = QS_UNIT_PERCENT },
    [SHARE_BEST] = { .key = "share_best", .title = "of the best", .unit = QS_UNIT_PERCENT, .optional = true },
    [SPREAD] = { .key = "spread", .title = "spread", .unit = QS_UNIT_PERCENT, .digits = 2, .optional = true },
    [RUNS] = { .key = "runs", .title = "runs", .unit = QS_UNIT_COUNT, .optional = true },
};

/* column[k]: number_columns[k] is cell `at` of the row, or not in it (negative). */
static void number_row(struct qs_section *s, const struct qs_bench_number *x, const int column[COLUMNS])
{
    const struct { int k; double v; } number[] = { { MEDIAN, x->median },         { BEST, x->best },
                                                   { LIMIT, x->limit },           { SHARE, x->share },
                                                   { SHARE_BEST, x->share_best }, { SPREAD, x->spread } };
    const struct { int k; const char *v; } word[] = { { SUBJECT, x->subject }, { DETAIL, x->detail }, { UNIT, x->unit },
                                                      { LIMITED_BY, x->limited_by } };
    qs_row(s);
    for (size_t i = 0; i < N(number); i++)
        if (column[number[i].k] >= 0)
            qs_cell_num(s, (size_t)column[number[i].k], number[i].v);
    for (size_t i = 0; i < N(word); i++)
        if (column[word[i].k] >= 0)
            qs_cell_str(s, (size_t)column[word[i].k], word[i].v);
    if (column[SIZE] >= 0)
        qs_cell_int(s, (size_t)column[SIZE], (int64_t)x->size);
    qs_cell_int(s, (size_t)column[RUNS], (int64_t)x->runs);
}

/* Remarks of a part, each once. */
static void add_hows(struct qs_section *s, const struct qs_bench *b, enum qs_bench_part part)
{
    for (size_t i = 0; i < b->n_numbers; i++) {
        const struct qs_bench_number *x = &b->number[i];
        bool said = x->part != part || !x->how[0];
        for (size_t k = 0; !said && k < i; k++)
            said = b->number[k].part == part && strcmp(b->number[k].how, x->how) == 0;
        if (!said)
            qs_section_note(s, "%s%s%s: %s.", x->subject, x->detail[0] ? " " : "", x->detail, x->how);
    }
}

/* Adds the columns of numbers behind the n that are there; sized, limited: those that tell of it as well. */
static size_t add_columns(struct qs_column *to, size_t n, bool sized, bool limited, int column[COLUMNS])
{
    for (int k = 0; k < COLUMNS; k++) {
        const bool of_limits = k == LIMIT || k == LIMITED_BY || k == SHARE || k == SHARE_BEST;
        column[k] = (k == SIZE && !sized) || (of_limits && !limited) ? -1 : (int)n;
        if (column[k] >= 0)
            to[n++] = number_columns[k];
    }
    return n;
}

static void part_table(struct qs_report *r, const struct qs_bench *b, enum qs_bench_part part)
{
    struct qs_column columns[COLUMNS];
    int column[COLUMNS];
    bool any = false, sized = false, limited = false;
    for (size_t i = 0; i < b->n_numbers; i++) {
        const struct qs_bench_number *x = &b->number[i];
        any = any || x->part == part;
        sized = sized || (x->part == part && (x->size || part == QS_BENCH_DECODE));
        limited = limited || (x->part == part && x->limit > 0);
    }
    if (!any)
        return;
    const size_t n = add_columns(columns, 0, sized, limited, column);
    columns[SUBJECT].title = part_titles[part].subject;
    if (sized)
        columns[SIZE].title = part_titles[part].size;
    struct qs_section *s = qs_report_table(r, qs_bench_part_name(part), part_titles[part].title, columns, n);
    for (size_t i = 0; i < b->n_numbers; i++)
        if (b->number[i].part == part)
            number_row(s, &b->number[i], column);
    add_hows(s, b, part);
}

static void all_numbers(struct qs_report *r, const struct qs_bench *b)
{
    struct qs_column columns[COLUMNS + 2] = { { .key = "part", .title = "part", .left = true } };
    int column[COLUMNS];
    const size_t n = add_columns(columns, 1, true, true, column);
    columns[n] = (struct qs_column){ .key = "how", .title = "how", .left = true };
    struct qs_section *s = qs_report_table(r, "numbers", "Numbers", columns, n + 1);
    for (size_t i = 0; i < b->n_numbers; i++) {
        number_row(s, &b->number[i], column);
        qs_cell_str(s, 0, qs_bench_part_name(b->number[i].part));
        qs_cell_str(s, n, b->number[i].how);
    }
}

struct qs_report *qs_report_bench(const struct qs_bench *b, bool data)
{
    struct qs_report *r = qs_report_new("bench");
    if (!r)
        return NULL;
    head(r, b);
    if (data || b->n_subjects)
        models(r, b);
    limits(r, b, data);
    if (data)
        all_numbers(r, b);
    else
        for (int p = QS_BENCH_LIMITS + 1; p < QS_BENCH_PARTS; p++)
            part_table(r, b, (enum qs_bench_part)p);
    return r;
}
