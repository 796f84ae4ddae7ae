/* bench_read.c - runs of the bench that were saved, read back and set beside each other.
 *
 * Reads what core/report/report_bench.c writes for programs. Refuses files of other kinds, and rows that say nothing.
 */
#include "core/eval/bench.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

enum { FILE_MOST = 16 << 20 };

static void word(const struct qs_json *obj, const char *key, char *out, size_t room)
{
    snprintf(out, room, "%s", qs_json_str(qs_json_get(obj, key), ""));
}

static double number(const struct qs_json *obj, const char *key) { return qs_json_num(qs_json_get(obj, key), NAN); }

static void read_head(const struct qs_json *root, struct qs_bench *b)
{
    const struct qs_json *h = qs_json_get(root, "bench");
    word(h, "machine", b->machine, sizeof b->machine);
    word(h, "level", b->level, sizeof b->level);
    word(h, "precision", b->precision, sizeof b->precision);
    word(h, "cache", b->cache, sizeof b->cache);
    word(h, "version", b->version, sizeof b->version);
    word(h, "date", b->date, sizeof b->date);
    b->threads = (unsigned)qs_json_int(qs_json_get(h, "threads"), 0);
    b->batch = qs_json_uint(qs_json_get(h, "batch"), 0);
    b->stopped = qs_json_bool(qs_json_get(h, "stopped"), false);
}

static int read_models(const struct qs_json *list, struct qs_bench *b, struct qs_err *e)
{
    const size_t n = qs_json_len(list);
    if (n && !qs_grow(&b->subject, &b->cap_subjects, n, sizeof *b->subject))
        return qs_fail_mem(e, n * sizeof *b->subject, "measured models");
    for (size_t i = 0; i < n; i++) {
        const struct qs_json *x = qs_json_at(list, i);
        struct qs_bench_subject *to = &b->subject[b->n_subjects++];
        *to = (struct qs_bench_subject){ .weights = qs_json_uint(qs_json_get(x, "weights"), 0),
                                         .bytes = qs_json_uint(qs_json_get(x, "bytes"), 0),
                                         .bytes_per_token = qs_json_uint(qs_json_get(x, "bytes_per_token"), 0) };
        word(x, "name", to->name, sizeof to->name);
        word(x, "source", to->source, sizeof to->source);
    }
    return QS_OK;
}

static int read_limits(const struct qs_json *list, struct qs_bench *b, struct qs_err *e)
{
    const size_t n = qs_json_len(list);
    if (n && !qs_grow(&b->limit, &b->cap_limits, n, sizeof *b->limit))
        return qs_fail_mem(e, n * sizeof *b->limit, "measured limits");
    for (size_t i = 0; i < n; i++) {
        const struct qs_json *x = qs_json_at(list, i);
        struct qs_bench_limit *to = &b->limit[b->n_limits++];
        *to = (struct qs_bench_limit){ .threads = (unsigned)qs_json_int(qs_json_get(x, "threads"), 0),
                                       .tries = (size_t)qs_json_uint(qs_json_get(x, "tries"), 0),
                                       .buffer = qs_json_uint(qs_json_get(x, "buffer"), 0),
                                       .granted = qs_json_uint(qs_json_get(x, "in_huge_pages"), 0),
                                       .median = number(x, "median"), .best = number(x, "best") };
        to->huge = strncmp(qs_json_str(qs_json_get(x, "pages"), ""), "huge", 4) == 0;
        word(x, "limit", to->unit, sizeof to->unit);
        word(x, "loop", to->loop, sizeof to->loop);
        word(x, "level", to->level, sizeof to->level);
    }
    return QS_OK;
}

static int read_number(const struct qs_json *x, struct qs_bench_number *to, struct qs_err *e)
{
    const char *part = qs_json_str(qs_json_get(x, "part"), "");
    *to = (struct qs_bench_number){ .size = qs_json_uint(qs_json_get(x, "size"), 0),
                                    .runs = (size_t)qs_json_uint(qs_json_get(x, "runs"), 0),
                                    .median = number(x, "median"), .best = number(x, "best"),
                                    .spread = number(x, "spread"), .limit = number(x, "limit"),
                                    .share = number(x, "share"), .share_best = number(x, "share_best") };
    word(x, "subject", to->subject, sizeof to->subject);
    word(x, "detail", to->detail, sizeof to->detail);
    word(x, "unit", to->unit, sizeof to->unit);
    word(x, "limited_by", to->limited_by, sizeof to->limited_by);
    word(x, "how", to->how, sizeof to->how);
    if (!qs_bench_part_parse(part, &to->part))
        return qs_fail(e, QS_EFORMAT, "a number is of the part \"%s\", which this program does not know", part);
    if (!(to->median > 0) || !to->unit[0])
        return qs_fail(e, QS_EFORMAT, "a number of %s has no value or no unit", part);
    return QS_OK;
}

static int read_numbers(const struct qs_json *list, struct qs_bench *b, struct qs_err *e)
{
    const size_t n = qs_json_len(list);
    int rc = QS_OK;
    if (n && !qs_grow(&b->number, &b->cap_numbers, n, sizeof *b->number))
        return qs_fail_mem(e, n * sizeof *b->number, "measured numbers");
    for (size_t i = 0; rc == QS_OK && i < n; i++)
        rc = read_number(qs_json_at(list, i), &b->number[b->n_numbers++], e);
    return rc;
}

static bool is_bench(const struct qs_json *root)
{
    return strcmp(qs_json_str(qs_json_get(root, "report"), ""), "bench") == 0
           && qs_json_type(qs_json_get(root, "numbers")) == QS_JSON_ARRAY && qs_json_get(root, "bench");
}

int qs_bench_read(const char *path, struct qs_bench **out, struct qs_err *e)
{
    struct qs_json *root = NULL;
    char *text = NULL;
    size_t n = 0;
    struct qs_bench *b = *out = qs_calloc(1, sizeof *b);
    if (!b)
        return qs_fail_mem(e, sizeof *b, "a saved bench");
    int rc = qs_file_read(path, FILE_MOST, &text, &n, e);
    if (!rc && (rc = qs_json_parse(text, n, &root, e)) == QS_OK && !is_bench(root))
        rc = qs_fail(e, QS_EFORMAT, "this is no saved run of the bench (its JSON)");
    if (!rc)
        read_head(root, b);
    rc = rc ? rc : read_models(qs_json_get(root, "models"), b, e);
    rc = rc ? rc : read_limits(qs_json_get(root, "limits"), b, e);
    rc = rc ? rc : read_numbers(qs_json_get(root, "numbers"), b, e);
    if (rc == QS_EFORMAT)
        qs_err_prefix(e, "%s", path);
    qs_json_free(root);
    qs_free(text);
    if (rc) {
        qs_bench_free(b);
        *out = NULL;
    }
    return rc;
}

/* ---- side by side ---- */

static int same_word(const char *what, const char *a, const char *b, struct qs_err *e)
{
    return strcmp(a, b) == 0 ? QS_OK : qs_fail(e, QS_EINVAL, "the runs differ in %s: %s and %s", what, a, b);
}

static int same_number(const char *what, uint64_t a, uint64_t b, struct qs_err *e)
{
    return a == b ? QS_OK : qs_fail(e, QS_EINVAL, "the runs differ in %s: %" PRIu64 " and %" PRIu64, what, a, b);
}

static int same_model(const struct qs_bench_subject *a, const struct qs_bench_subject *b, struct qs_err *e)
{
    char what[2 * QS_BENCH_NAME];
    snprintf(what, sizeof what, "the weights of %s", a->name);
    int rc = same_number(what, a->weights, b->weights, e);
    snprintf(what, sizeof what, "the bytes of %s", a->name);
    return rc ? rc : same_number(what, a->bytes, b->bytes, e);
}

int qs_bench_comparable(const struct qs_bench *a, const struct qs_bench *b, struct qs_err *e)
{
    int rc = same_number("threads", a->threads, b->threads, e);
    rc = rc ? rc : same_word("precision", a->precision, b->precision, e);
    rc = rc ? rc : same_word("the type of the cache", a->cache, b->cache, e);
    if (!rc && a->batch && b->batch)
        rc = same_number("the batch", a->batch, b->batch, e);
    for (size_t i = 0; rc == QS_OK && i < a->n_subjects; i++)
        for (size_t k = 0; rc == QS_OK && k < b->n_subjects; k++)
            if (strcmp(a->subject[i].name, b->subject[k].name) == 0)
                rc = same_model(&a->subject[i], &b->subject[k], e);
    bool common = false;
    for (size_t i = 0; i < a->n_numbers; i++)
        common = common || qs_bench_same(b, &a->number[i]);
    if (rc == QS_OK && !common && (a->n_numbers || b->n_numbers))
        return qs_fail(e, QS_EINVAL, "the two runs have no number in common: other models, parts or lengths");
    return rc;
}

const struct qs_bench_number *qs_bench_same(const struct qs_bench *b, const struct qs_bench_number *x)
{
    for (size_t i = 0; i < b->n_numbers; i++) {
        const struct qs_bench_number *y = &b->number[i];
        if (y->part == x->part && y->size == x->size && strcmp(y->subject, x->subject) == 0
            && strcmp(y->detail, x->detail) == 0 && strcmp(y->unit, x->unit) == 0)
            return y;
    }
    return NULL;
}
