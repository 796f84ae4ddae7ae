/* history.c - the file of past evaluations: read whole, appended by whole lines under a lock. Refuses nothing of what
 * it finds: what cannot be read is counted. */
#include "core/eval/history.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"

#define MOST_BYTES ((size_t)64 << 20)
#define TRIES 100 /* of 50 ms */

static const struct { const char *key; size_t offset; } strings[] = {
    { "model", offsetof(struct qs_eval_history_run, model) },
    { "model_key", offsetof(struct qs_eval_history_run, model_key) },
    { "recipe", offsetof(struct qs_eval_history_run, recipe) },
    { "mix", offsetof(struct qs_eval_history_run, mix) },
    { "recipe_key", offsetof(struct qs_eval_history_run, recipe_key) },
    { "reference", offsetof(struct qs_eval_history_run, reference) },
    { "reference_key", offsetof(struct qs_eval_history_run, reference_key) },
    { "stand_in", offsetof(struct qs_eval_history_run, stand_in) },
    { "text", offsetof(struct qs_eval_history_run, text) },
    { "text_key", offsetof(struct qs_eval_history_run, text_key) },
    { "precision", offsetof(struct qs_eval_history_run, precision) },
    { "cache", offsetof(struct qs_eval_history_run, cache) },
};
static const struct { const char *key; size_t offset; } counts[] = {
    { "bytes", offsetof(struct qs_eval_history_run, bytes) },
    { "tokens", offsetof(struct qs_eval_history_run, tokens) },
    { "n_ctx", offsetof(struct qs_eval_history_run, n_ctx) },
    { "windows", offsetof(struct qs_eval_history_run, windows) },
    { "scored", offsetof(struct qs_eval_history_run, scored) },
    { "model_bytes", offsetof(struct qs_eval_history_run, model_bytes) },
};
#define N(table) (sizeof table / sizeof *table)

static char **string_at(const struct qs_eval_history_run *r, size_t i)
{
    return (char **)((char *)r + strings[i].offset);
}
static uint64_t *count_at(const struct qs_eval_history_run *r, size_t i)
{
    return (uint64_t *)((char *)r + counts[i].offset);
}

/* Frees the strings; r becomes empty. */
static void run_clear(struct qs_eval_history_run *r)
{
    for (size_t i = 0; i < N(strings); i++)
        qs_free(*string_at(r, i));
    *r = (struct qs_eval_history_run){ 0 };
}

int qs_eval_history_path(struct qs_str *out, struct qs_err *e)
{
    struct qs_str dir = QS_STR_INIT;
    const int rc = qs_xdg_path("state", NULL, &dir, e);
    if (!rc)
        qs_path_join(dir.data, "evaluations.jsonl", out);
    const bool failed = dir.failed || out->failed;
    qs_str_free(&dir);
    return rc ? rc : failed ? qs_fail_mem(e, 0, "a file name") : QS_OK;
}

/* ---- writing ---- */

static bool print_run(const struct qs_eval_history_run *r, struct qs_str *out)
{
    struct qs_json *root = qs_json_object();
    bool good = qs_json_add_int(root, "version", 1) && qs_json_add_str(root, "date", r->date) &&
                qs_json_add_str(root, "program", r->version);
    for (size_t i = 0; i < N(strings) && good; i++)
        good = qs_json_add_str(root, strings[i].key, *string_at(r, i) ? *string_at(r, i) : "");
    for (size_t i = 0; i < N(counts) && good; i++)
        good = qs_json_add_uint(root, counts[i].key, *count_at(r, i));
    struct qs_json *numbers = qs_json_add_object(root, "numbers");
    for (int i = 0; i < QS_KLD_NUMBERS && good; i++)
        if (isfinite(r->number[i]))
            good = qs_json_add_num(numbers, qs_kld_names[i].key, r->number[i]);
    good = good && numbers && qs_json_print(root, false, out);
    qs_json_free(root);
    return good && !out->failed;
}

static void name_line(struct qs_eval_history_run *r, const char *line, size_t n)
{
    char hex[33];
    qs_key_hex(qs_hash_bytes(line, n), hex);
    snprintf(r->id, sizeof r->id, "%.8s", hex);
}

static int write_all(int fd, const char *p, size_t n, const char *path, struct qs_err *e)
{
    const off_t end = lseek(fd, 0, SEEK_END);
    char last = '\n';
    if (end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n' && write(fd, "\n", 1) != 1) /* a line cut short */
        return qs_fail_errno(e, errno, "%s", path);
    const ssize_t done = write(fd, p, n); /* O_APPEND: one piece */
    if (done == (ssize_t)n && fsync(fd) == 0)
        return QS_OK;
    const int why = done >= 0 && done < (ssize_t)n ? ENOSPC : errno;
    if (end >= 0 && ftruncate(fd, end) != 0) /* a rest is passed over by readers */
        return qs_fail_errno(e, why, "%s", path);
    return qs_fail_errno(e, why, "%s", path);
}

static int append_line(const char *path, const char *line, size_t n, struct qs_err *e)
{
    const int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    int rc = QS_EBUSY;
    if (fd < 0)
        return qs_fail_errno(e, errno, "%s", path);
    for (int i = 0; i < TRIES && rc == QS_EBUSY; i++) {
        rc = qs_file_lock(fd, path, e);
        if (rc == QS_EBUSY)
            nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
    }
    if (!rc)
        rc = write_all(fd, line, n, path, e);
    close(fd);
    return rc;
}

int qs_eval_history_append(struct qs_eval_history_run *r, struct qs_err *e)
{
    struct qs_str path = QS_STR_INIT, dir = QS_STR_INIT, line = QS_STR_INIT;
    const time_t now = time(NULL);
    struct tm tm;
    if (!gmtime_r(&now, &tm) || !strftime(r->date, sizeof r->date, "%Y-%m-%dT%H:%M:%SZ", &tm))
        r->date[0] = '\0';
    snprintf(r->version, sizeof r->version, "%s", QS_VERSION);
    int rc = qs_xdg_dir("state", NULL, &dir, e);
    rc = rc ? rc : qs_eval_history_path(&path, e);
    if (!rc && !print_run(r, &line))
        rc = qs_fail_mem(e, line.len, "the history");
    if (!rc) {
        name_line(r, line.data, line.len);
        qs_str_addc(&line, '\n');
        rc = line.failed ? qs_fail_mem(e, line.len, "the history") : append_line(path.data, line.data, line.len, e);
    }
    qs_str_free(&path);
    qs_str_free(&dir);
    qs_str_free(&line);
    return rc;
}

/* ---- reading ---- */

static int read_run(const char *line, size_t n, struct qs_eval_history_run *r, bool *good, struct qs_err *e)
{
    struct qs_json *root = NULL;
    *r = (struct qs_eval_history_run){ 0 };
    *good = false;
    const int rc = qs_json_parse(line, n, &root, NULL);
    if (rc)
        return rc == QS_ENOMEM ? qs_fail_mem(e, n, "the history") : QS_OK;
    const struct qs_json *numbers = qs_json_get(root, "numbers");
    *good = qs_json_int(qs_json_get(root, "version"), 0) == 1 && qs_json_type(numbers) == QS_JSON_OBJECT;
    bool memory = true;
    name_line(r, line, n);
    snprintf(r->date, sizeof r->date, "%s", qs_json_str(qs_json_get(root, "date"), ""));
    snprintf(r->version, sizeof r->version, "%s", qs_json_str(qs_json_get(root, "program"), ""));
    for (size_t i = 0; i < N(strings) && *good; i++) {
        *string_at(r, i) = qs_strdup(qs_json_str(qs_json_get(root, strings[i].key), ""));
        memory = memory && *string_at(r, i);
    }
    for (size_t i = 0; i < N(counts); i++)
        *count_at(r, i) = qs_json_uint(qs_json_get(root, counts[i].key), 0);
    for (int i = 0; i < QS_KLD_NUMBERS; i++)
        r->number[i] = qs_json_num(qs_json_get(numbers, qs_kld_names[i].key), (double)NAN);
    qs_json_free(root);
    return memory ? QS_OK : qs_fail_mem(e, n, "the history");
}

static int read_lines(struct qs_eval_history *h, const char *data, size_t n, struct qs_err *e)
{
    size_t cap = 0;
    for (size_t at = 0; at < n;) {
        const char *end = memchr(data + at, '\n', n - at);
        const size_t len = end ? (size_t)(end - data) - at : n - at;
        if (!qs_grow(&h->run, &cap, h->n + 1, sizeof *h->run))
            return qs_fail_mem(e, (h->n + 1) * sizeof *h->run, "the history");
        bool good = false;
        const int rc = len ? read_run(data + at, len, &h->run[h->n], &good, e) : QS_OK;
        if (len && (rc || !good))
            run_clear(&h->run[h->n]);
        if (rc)
            return rc;
        h->n += good;
        h->unread += len && !good;
        at += len + 1;
    }
    return QS_OK;
}

int qs_eval_history_parse(const char *data, size_t n, struct qs_eval_history **out, struct qs_err *e)
{
    struct qs_eval_history *h = qs_calloc(1, sizeof *h);
    const int rc = h ? read_lines(h, data, n, e) : qs_fail_mem(e, sizeof *h, "the history");
    if (rc)
        qs_eval_history_free(h);
    else
        *out = h;
    return rc;
}

int qs_eval_history_load(struct qs_eval_history **out, struct qs_err *e)
{
    struct qs_str path = QS_STR_INIT;
    char *data = NULL;
    size_t n = 0;
    int rc = qs_eval_history_path(&path, e);
    if (!rc && qs_file_exists(path.data))
        rc = qs_file_read(path.data, MOST_BYTES, &data, &n, e);
    rc = rc ? rc : qs_eval_history_parse(data ? data : "", n, out, e);
    qs_free(data);
    qs_str_free(&path);
    return rc;
}

void qs_eval_history_free(struct qs_eval_history *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->n; i++)
        run_clear(&h->run[i]);
    qs_free(h->run);
    qs_free(h);
}

/* ---- looking things up ---- */

int qs_eval_history_find(const struct qs_eval_history *h, const char *name, const struct qs_eval_history_run **out,
                         struct qs_err *e)
{
    size_t found = 0, at = 0;
    char *end;
    if (h->n == 0)
        return qs_fail(e, QS_ENOTFOUND, "the history is empty");
    if (strcmp(name, "last") == 0) {
        *out = &h->run[h->n - 1];
        return QS_OK;
    }
    for (size_t i = 0; i < h->n; i++)
        if (strlen(name) >= 3 && strncmp(h->run[i].id, name, strlen(name)) == 0) {
            found++;
            at = i;
        }
    if (found > 1)
        return qs_fail(e, QS_EINVAL, "'%s' begins the names of %zu runs; give more of it", name, found);
    if (!found) {
        const unsigned long number = strtoul(name, &end, 10);
        if (*name < '0' || *name > '9' || *end || number < 1 || number > h->n)
            return qs_fail(e, QS_ENOTFOUND, "no run is called '%s'; the history has %zu of them", name, h->n);
        at = number - 1;
    }
    *out = &h->run[at];
    return QS_OK;
}

static bool same(const char *a, const char *b) { return a && b && strcmp(a, b) == 0; }

const char *qs_eval_history_unlike(const struct qs_eval_history_run *a, const struct qs_eval_history_run *b)
{
    if (!same(a->text_key, b->text_key))
        return "the text";
    if (a->n_ctx != b->n_ctx)
        return "the window";
    if (a->windows != b->windows)
        return "the number of windows";
    if (!same(a->reference_key, b->reference_key) || !same(a->stand_in, b->stand_in))
        return "the reference";
    if (!same(a->precision, b->precision))
        return "the precision";
    return same(a->cache, b->cache) ? NULL : "the type of the cache";
}

/* Whether both measured the same thing: model and recipe. */
static int same_candidate(const struct qs_eval_history_run *a, const struct qs_eval_history_run *b)
{
    return same(a->model_key, b->model_key) && same(a->recipe_key, b->recipe_key);
}

static double rank_by(const struct qs_eval_history_run *r)
{
    return isfinite(r->number[QS_KLD_MEAN]) ? r->number[QS_KLD_MEAN] : r->number[QS_KLD_PPL];
}

/* The newest run of the candidate of `like` under the conditions of `as`. */
static const struct qs_eval_history_run *counterpart(const struct qs_eval_history *h,
                                                     const struct qs_eval_history_run *like,
                                                     const struct qs_eval_history_run *as)
{
    for (size_t i = h->n; i-- > 0;)
        if (same_candidate(&h->run[i], like) && !qs_eval_history_unlike(&h->run[i], as))
            return &h->run[i];
    return NULL;
}

size_t qs_eval_history_rank_change(const struct qs_eval_history *h, size_t i,
                                   const struct qs_eval_history_run *calibration,
                                   const struct qs_eval_history_run *held_out,
                                   const struct qs_eval_history_run **on_calibration,
                                   const struct qs_eval_history_run **on_held_out)
{
    for (; i < h->n; i++) {
        const struct qs_eval_history_run *x = &h->run[i];
        if (same_candidate(x, held_out) || qs_eval_history_unlike(x, held_out) ||
            counterpart(h, x, held_out) != x)
            continue; /* each candidate once, by its newest run */
        const struct qs_eval_history_run *y = counterpart(h, x, calibration);
        if (!y)
            continue;
        const double there = rank_by(y) - rank_by(calibration), here = rank_by(x) - rank_by(held_out);
        if ((there < 0 && here > 0) || (there > 0 && here < 0)) {
            *on_calibration = y;
            *on_held_out = x;
            return i;
        }
    }
    return h->n;
}
