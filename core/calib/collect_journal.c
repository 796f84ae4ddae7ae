/* collect_journal.c - layers that a collection is through with: what came of them, appended and synced one by one.
 *
 * FILE (little-endian). A head {magic "QSCOLL01", length of a text, the text, checksum}: the text has a line for
 * everything that the result depends on, by which a journal of other work is told from ours, and said how. Then records
 * {layer, bytes, checksum of these, checksum of what follows} each with its bytes. A torn or damaged tail is cut off;
 * nothing after it is believed. The open journal is locked.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/calib/collect_internal.h"

#define HEAD_MAX 65536
#define RECORD_HEAD 32
#define MASSIVE 5 /* numbers of a token that stands out */
#define CELL 6    /* numbers of an error */
static const char magic[8] = "QSCOLL01";

struct qs_collect_journal {
    const struct qs_collect_args *a;
    int fd;
    char *path;
    uint64_t end;
};

static uint64_t checksum(const void *p, size_t n) { return qs_hash_bytes(p, n).lo; }

/* ---- the head ---- */

static void put_key(struct qs_str *s, const char *name, struct qs_key k)
{
    char hex[33];
    qs_key_hex(k, hex);
    qs_str_addf(s, "%s: %s\n", name, hex);
}

static int facts(const struct qs_collect_args *a, struct qs_str *s, struct qs_err *e)
{
    struct qs_key model;
    const struct qs_corpus *c = a->corpus;
    int rc = qs_model_content_key(qs_engine_model(a->engine), &model, e);
    if (rc != QS_OK)
        return rc;
    put_key(s, "the model's content", model);
    put_key(s, "the text", c->key);
    qs_str_addf(s, "windows: %zu and %zu held out, of %zu tokens\n", c->n_fit, c->n_held, c->n_ctx);
    put_key(s, "its tokens", qs_hash_bytes(c->token, (c->n_fit + c->n_held) * c->n_ctx * sizeof *c->token));
    qs_str_add(s, "types:");
    for (size_t i = 0; i < a->n_types; i++)
        qs_str_addf(s, " %s", qs_type_name(a->type[i]));
    qs_str_addf(s, "%s\nsweeps: %u\nencoders: version %d\n", a->n_types ? "" : " none", a->n_types ? a->sweeps : 0,
                QS_ENCODER_VERSION);
    qs_str_addf(s, "precision: %s\n", qs_engine_precision(a->engine) == QS_EXACT ? "exact" : "fast");
    return s->failed ? qs_fail_mem(e, s->len, "a journal's head") : QS_OK;
}

static int whole_head(const struct qs_collect_args *a, struct qs_str *out, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    int rc = facts(a, &text, e);
    const uint64_t n = text.len;
    qs_str_addn(out, magic, sizeof magic);
    qs_str_addn(out, &n, sizeof n);
    qs_str_addn(out, text.data, text.len);
    const uint64_t sum = checksum(out->data, out->len);
    qs_str_addn(out, &sum, sizeof sum);
    if (rc == QS_OK && (text.failed || out->failed))
        rc = qs_fail_mem(e, text.len, "a journal's head");
    qs_str_free(&text);
    return rc;
}

/* The first line in which two texts differ: name, and both values. */
static int refuse(const char *path, const char *there, const char *here, struct qs_err *e)
{
    while (*there && *here) {
        const size_t a = strcspn(there, "\n"), b = strcspn(here, "\n");
        if (a != b || memcmp(there, here, a) != 0)
            break;
        there += a + (there[a] == '\n');
        here += b + (here[b] == '\n');
    }
    const char *value = strchr(here, ':'), *other = strchr(there, ':');
    const int name = value ? (int)(value - here) : 4;
    value = value ? value + 2 : here;
    other = other ? other + 2 : there;
    return qs_fail_advise(e, QS_EEXISTS, QS_ADVISE_DISCARD,
                          "%s is the journal of another calibration: %.*s is %.*s there and %.*s here", path, name,
                          value == here ? "what" : here, (int)strcspn(other, "\n"), other, (int)strcspn(value, "\n"), value);
}

/* Whether the file begins with our head; *size is 0 then where there is nothing in it yet. */
static int check_head(struct qs_collect_journal *j, const struct qs_str *want, uint64_t *size, struct qs_err *e)
{
    const size_t n = *size < HEAD_MAX ? (size_t)*size : HEAD_MAX;
    char *have = qs_calloc(1, n + 1);
    int rc = have ? qs_pread_all(j->fd, have, n, 0, j->path, e) : qs_fail_mem(e, n, "a journal's head");
    uint64_t len = 0, sum = 0;
    if (rc != QS_OK) {
    } else if (!memcmp(have, want->data, n < want->len ? n : want->len)) {
        *size = n < want->len ? 0 : *size;
    } else {
        const bool ours = n > sizeof magic + sizeof len && !memcmp(have, magic, sizeof magic);
        if (ours)
            memcpy(&len, have + sizeof magic, sizeof len);
        const uint64_t at = sizeof magic + sizeof len + len;
        const bool whole = ours && len < HEAD_MAX && at + sizeof sum <= n;
        if (whole)
            memcpy(&sum, have + at, sizeof sum);
        if (whole && sum == checksum(have, (size_t)at)) {
            have[at] = '\0';
            want->data[want->len - sizeof sum] = '\0';
            rc = refuse(j->path, have + sizeof magic + sizeof len, want->data + sizeof magic + sizeof len, e);
        } else {
            rc = qs_fail_advise(e, QS_EEXISTS, QS_ADVISE_DISCARD, "%s is no journal of ours, or a damaged one", j->path);
        }
    }
    qs_free(have);
    return rc;
}

/* ---- a layer's record ---- */

static size_t cells_of(const struct qs_collect_args *a, const struct qs_statistics *s, size_t tensor, size_t from)
{
    const char *name = qs_engine_model(a->engine)->tensor[tensor].name;
    while (from < s->n_errors && strcmp(s->error[from].tensor, name) != 0)
        from++;
    return from;
}

static void write_stats(struct qs_str *s, const struct qs_input_stats *t)
{
    const size_t n = t->experts * t->cols;
    const uint64_t head[6] = { (uint64_t)t->point, t->cols, t->experts, t->n_rows, t->nonfinite, t->bad_window };
    qs_str_addn(s, head, sizeof head);
    qs_str_addn(s, t->sum2, n * sizeof *t->sum2);
    qs_str_addn(s, t->sum, n * sizeof *t->sum);
    qs_str_addn(s, t->max, n * sizeof *t->max);
    qs_str_addn(s, t->count, t->experts * sizeof *t->count);
    qs_str_addn(s, t->row, t->n_rows * t->cols * sizeof *t->row);
    qs_str_addn(s, t->row_expert, t->n_rows * sizeof *t->row_expert);
    qs_str_addn(s, &t->n_massive, sizeof t->n_massive);
    for (unsigned i = 0; i < t->n_massive; i++) {
        const struct qs_massive *m = &t->massive[i];
        const double v[MASSIVE] = { (double)m->window, (double)m->pos, m->token, (double)m->max, m->ratio };
        qs_str_addn(s, v, sizeof v);
    }
}

static void write_cells(struct qs_str *s, const struct qs_collect_args *a, const struct qs_statistics *from, size_t tensor)
{
    for (size_t i = cells_of(a, from, tensor, 0); i < from->n_errors; i = cells_of(a, from, tensor, i + 1)) {
        const struct qs_error_cell *c = &from->error[i];
        const double v[CELL] = { (double)tensor, c->type, (double)c->method, c->error, c->fitted, c->seconds };
        qs_str_addn(s, v, sizeof v);
    }
}

struct cursor { const char *at; size_t left; };

static bool take(struct cursor *c, void *to, size_t n)
{
    if (n > c->left)
        return false;
    memcpy(to, c->at, n);
    c->at += n;
    c->left -= n;
    return true;
}

/* Of a window to fit, and numbers that fit their types: a journal may be whole and yet not from us. */
static bool take_massive(struct cursor *c, const struct qs_corpus *text, struct qs_massive *m)
{
    double v[MASSIVE];
    if (!take(c, v, sizeof v) || !(v[0] >= 0 && v[0] < (double)text->n_fit) || !(v[1] >= 0 && v[1] < (double)text->n_ctx) ||
        !(v[2] >= INT32_MIN && v[2] <= INT32_MAX))
        return false;
    *m = (struct qs_massive){ (size_t)v[0], (size_t)v[1], (int32_t)v[2], (float)v[3], v[4] };
    return true;
}

static bool read_stats(struct cursor *c, const struct qs_corpus *text, struct qs_input_stats *t)
{
    const size_t n = t->experts * t->cols;
    uint64_t head[6];
    if (!take(c, head, sizeof head) || head[0] != (uint64_t)t->point || head[1] != t->cols || head[2] != t->experts ||
        head[3] > QS_SAMPLE_ROWS)
        return false;
    t->n_rows = (size_t)head[3];
    t->nonfinite = head[4];
    t->bad_window = head[5];
    if (!take(c, t->sum2, n * sizeof *t->sum2) || !take(c, t->sum, n * sizeof *t->sum) ||
        !take(c, t->max, n * sizeof *t->max) || !take(c, t->count, t->experts * sizeof *t->count) ||
        !take(c, t->row, t->n_rows * t->cols * sizeof *t->row) ||
        !take(c, t->row_expert, t->n_rows * sizeof *t->row_expert) ||
        !take(c, &t->n_massive, sizeof t->n_massive) || t->n_massive > QS_MASSIVE_TOKENS)
        return false;
    for (size_t r = 0; r < t->n_rows; r++)
        if (t->row_expert[r] >= t->experts)
            return false;
    for (unsigned i = 0; i < t->n_massive; i++)
        if (!take_massive(c, text, &t->massive[i]))
            return false;
    return true;
}

static bool is_type(const struct qs_collect_args *a, double type)
{
    bool is = false;
    for (size_t i = 0; i < a->n_types; i++)
        is = is || type == a->type[i];
    return is;
}

static int read_cells(struct cursor *c, const struct qs_collect_args *a, struct qs_statistics *to, bool *good,
                      struct qs_err *e)
{
    const struct qs_model *m = qs_engine_model(a->engine);
    double v[CELL];
    int rc = QS_OK;
    while (rc == QS_OK && *good && c->left) {
        *good = take(c, v, sizeof v) && v[0] >= 0 && v[0] < (double)m->n_tensors && is_type(a, v[1]) &&
                v[2] >= 0 && v[2] < QS_CALIB_METHODS;
        if (!*good)
            break;
        const struct qs_error_cell cell = { (char *)m->tensor[(size_t)v[0]].name, (int)v[1], (enum qs_calib_method)v[2], v[3],
                                            v[4], v[5] };
        rc = qs_statistics_put_error(to, &cell, e);
    }
    return rc;
}

int qs_collect_journal_put(struct qs_collect_journal *j, const struct qs_statistics *from, size_t layer, struct qs_err *e)
{
    struct qs_str s = QS_STR_INIT;
    uint64_t head[RECORD_HEAD / 8] = { layer, 0, 0, 0 };
    qs_str_addn(&s, head, sizeof head);
    for (size_t i = 0; i < j->a->inputs->n; i++)
        if ((size_t)j->a->inputs->input[i].layer == layer)
            write_stats(&s, &from->input[i]);
    for (size_t i = 0; i < j->a->inputs->n; i++)
        for (size_t k = 0; (size_t)j->a->inputs->input[i].layer == layer && k < j->a->inputs->input[i].n_tensors; k++)
            write_cells(&s, j->a, from, j->a->inputs->input[i].tensor[k]);
    int rc = s.failed ? qs_fail_mem(e, s.len, "a journal's record") : QS_OK;
    if (rc == QS_OK) {
        head[1] = s.len - sizeof head;
        head[2] = checksum(s.data + sizeof head, (size_t)head[1]);
        head[3] = checksum(head, 3 * sizeof *head);
        memcpy(s.data, head, sizeof head);
        rc = qs_pwrite_all(j->fd, s.data, s.len, j->end, j->path, e);
    }
    if (rc == QS_OK && fdatasync(j->fd))
        rc = qs_fail_errno(e, errno, "cannot make %s durable", j->path);
    if (rc == QS_OK)
        j->end += s.len;
    qs_str_free(&s);
    return rc;
}

/* ---- reading ---- */

static int read_payload(struct qs_collect_journal *j, const char *data, size_t n, size_t layer, struct qs_statistics *to,
                        bool *good, struct qs_err *e)
{
    struct cursor c = { data, n };
    for (size_t i = 0; *good && i < j->a->inputs->n; i++)
        if ((size_t)j->a->inputs->input[i].layer == layer)
            *good = read_stats(&c, j->a->corpus, &to->input[i]);
    return *good ? read_cells(&c, j->a, to, good, e) : QS_OK;
}

/* The record at j->end; *good: it is whole, and was taken. */
static int read_record(struct qs_collect_journal *j, uint64_t size, size_t layer, struct qs_statistics *to, bool *good,
                       struct qs_err *e)
{
    uint64_t head[RECORD_HEAD / 8];
    *good = size - j->end >= sizeof head;
    int rc = *good ? qs_pread_all(j->fd, head, sizeof head, j->end, j->path, e) : QS_OK;
    if (rc != QS_OK || !*good)
        return rc;
    *good = head[3] == checksum(head, 3 * sizeof *head) && head[0] == layer && head[1] <= size - j->end - sizeof head;
    if (!*good)
        return QS_OK;
    char *data = qs_malloc((size_t)head[1]);
    rc = data ? qs_pread_all(j->fd, data, (size_t)head[1], j->end + sizeof head, j->path, e)
              : qs_fail_mem(e, head[1], "a journal's record");
    *good = rc == QS_OK && head[2] == checksum(data, (size_t)head[1]);
    bool fits = *good;
    if (*good)
        rc = read_payload(j, data, (size_t)head[1], layer, to, &fits, e);
    qs_free(data);
    if (*good && !fits && rc == QS_OK)
        return qs_fail_advise(e, QS_EEXISTS, QS_ADVISE_DISCARD, "%s holds a layer that is not of this model", j->path);
    if (rc == QS_OK && *good)
        j->end += sizeof head + head[1];
    return rc;
}

static int read_records(struct qs_collect_journal *j, uint64_t size, struct qs_statistics *to, size_t *done, struct qs_err *e)
{
    bool good = true;
    int rc = QS_OK;
    for (*done = 0; rc == QS_OK && good && j->end < size; *done += rc == QS_OK && good)
        rc = read_record(j, size, *done, to, &good, e);
    if (rc == QS_OK && j->end < size && ftruncate(j->fd, (off_t)j->end))
        rc = qs_fail_errno(e, errno, "%s: cannot cut off its torn end", j->path);
    return rc;
}

/* ---- opening ---- */

int qs_collect_journal_open(const struct qs_collect_args *a, struct qs_statistics *to, struct qs_collect_journal **out,
                            size_t *done, struct qs_err *e)
{
    struct qs_str head = QS_STR_INIT;
    struct qs_collect_journal *j = qs_calloc(1, sizeof *j);
    uint64_t size = 0;
    *done = 0;
    if (!j || !(j->path = qs_strdup(a->journal))) {
        qs_free(j);
        return qs_fail_mem(e, sizeof *j, "a journal");
    }
    j->a = a;
    j->fd = -1;
    int rc = whole_head(a, &head, e);
    if (rc == QS_OK)
        rc = qs_file_open_locked(j->path, "journal", &j->fd, &size, e);
    if (rc == QS_OK && size)
        rc = check_head(j, &head, &size, e);
    if (rc == QS_OK && size == 0) {
        rc = ftruncate(j->fd, 0) ? qs_fail_errno(e, errno, "cannot empty %s", j->path) : QS_OK;
        if (rc == QS_OK)
            rc = qs_pwrite_all(j->fd, head.data, head.len, 0, j->path, e);
    }
    j->end = head.len;
    if (rc == QS_OK && size)
        rc = read_records(j, size, to, done, e);
    qs_str_free(&head);
    if (rc == QS_OK)
        *out = j;
    else
        qs_collect_journal_close(j);
    return rc;
}

void qs_collect_journal_close(struct qs_collect_journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0)
        close(j->fd);
    qs_free(j->path);
    qs_free(j);
}

/* Only what a collection has left there, and nobody is at work with. */
void qs_collect_forget(const char *journal)
{
    char begin[sizeof magic];
    uint64_t size;
    int fd = -1;
    if (!journal || !qs_file_exists(journal) || qs_file_open_locked(journal, "journal", &fd, &size, NULL))
        return;
    if (size >= sizeof begin && !qs_pread_all(fd, begin, sizeof begin, 0, journal, NULL) &&
        memcmp(begin, magic, sizeof magic) == 0)
        unlink(journal); /* while it is locked */
    close(fd);
}
