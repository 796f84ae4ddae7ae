/* sink.c - owns the writing thread, its buffers and the records that are not yet durable. */
#include "core/quant/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/pool.h"

#define SYNC_BYTES (UINT64_C(64) << 20)
#define SYNC_SECONDS 2.0

struct qs_sink {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct qs_piece piece[QS_SINK_PIECES];
    uint64_t put, taken, written; /* counts: piece i lives in slot i % QS_SINK_PIECES */
    bool ending;
    struct qs_err err;            /* sticky */
    /* the thread's own */
    char *const *path;
    int fd;                       /* of path[file], -1: none is open */
    unsigned file;
    struct qs_journal *journal;
    struct qs_record *pending;
    size_t n_pending, cap_pending;
    uint64_t pending_bytes, sync_bytes;
    double last_sync;
};

/* Makes the open file durable, then journals what is pending. Whatever fails, what was pending is not tried again. */
static int flush_pending(struct qs_sink *s, struct qs_err *e)
{
    const size_t n = s->n_pending;
    s->last_sync = qs_now();
    s->n_pending = 0;
    s->pending_bytes = 0;
    if (!n)
        return QS_OK;
    if (fdatasync(s->fd))
        return qs_fail_errno(e, errno, "cannot make %s durable", s->path[s->file]);
    return qs_journal_append(s->journal, s->pending, n, e);
}

static int close_file(struct qs_sink *s, struct qs_err *e)
{
    const int rc = flush_pending(s, e);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    return rc;
}

static int switch_file(struct qs_sink *s, unsigned file, struct qs_err *e)
{
    if (s->fd >= 0 && s->file == file)
        return QS_OK;
    const int rc = close_file(s, e);
    if (rc)
        return rc;
    s->file = file;
    s->fd = open(s->path[file], O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    return s->fd < 0 ? qs_fail_errno(e, errno, "cannot open %s", s->path[file]) : QS_OK;
}

static int write_piece(struct qs_sink *s, const struct qs_piece *p, struct qs_err *e)
{
    int rc = switch_file(s, p->file, e);
    if (!rc)
        rc = qs_pwrite_all(s->fd, p->data, p->len, p->offset, s->path[p->file], e);
    if (rc)
        return rc;
    if (!qs_grow(&s->pending, &s->cap_pending, s->n_pending + 1, sizeof *s->pending))
        return qs_fail_mem(e, (s->n_pending + 1) * sizeof *s->pending, "journal records");
    s->pending[s->n_pending++] = (struct qs_record){ .tensor = p->tensor, .slice = p->slice,
                                                     .hash = qs_hash_bytes(p->data, p->len), .sums = p->sums };
    s->pending_bytes += p->len;
    if (s->pending_bytes >= s->sync_bytes || qs_now() - s->last_sync > SYNC_SECONDS)
        rc = flush_pending(s, e);
    return rc;
}

static void *sink_main(void *arg)
{
    struct qs_sink *s = arg;
    struct qs_err err = QS_ERR_INIT;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (s->written == s->put && !s->ending)
            pthread_cond_wait(&s->changed, &s->lock);
        if (s->written == s->put)
            break;
        const bool failed = s->err.code != QS_OK;
        const struct qs_piece *p = &s->piece[s->written % QS_SINK_PIECES];
        pthread_mutex_unlock(&s->lock);
        const int rc = failed ? QS_OK : write_piece(s, p, &err);
        pthread_mutex_lock(&s->lock);
        if (rc && !s->err.code)
            s->err = err;
        s->written++;
        pthread_cond_broadcast(&s->changed);
    }
    const bool failed = s->err.code != QS_OK;
    pthread_mutex_unlock(&s->lock);
    /* Also after a failure: what did reach the disk is worth keeping; a second failure changes nothing. */
    const int rc = close_file(s, &err);
    if (rc && !failed)
        s->err = err;
    return NULL;
}

static void sink_free(struct qs_sink *s)
{
    for (int i = 0; i < QS_SINK_PIECES; i++)
        qs_free(s->piece[i].data);
    qs_free(s->pending);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    qs_free(s);
}

int qs_sink_new(char *const *path, struct qs_journal *journal, size_t capacity, uint64_t sync_bytes, struct qs_sink **out,
                struct qs_err *e)
{
    struct qs_sink *s = qs_calloc(1, sizeof *s);
    if (!s)
        return qs_fail_mem(e, sizeof *s, "the writer");
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->fd = -1;
    s->path = path;
    s->journal = journal;
    s->sync_bytes = sync_bytes ? sync_bytes : SYNC_BYTES;
    s->last_sync = qs_now();
    bool ok = true;
    for (int i = 0; ok && i < QS_SINK_PIECES; i++)
        ok = (s->piece[i].data = qs_malloc(capacity)) != NULL;
    int rc = ok ? QS_OK : qs_fail_mem(e, capacity * QS_SINK_PIECES, "the writer's buffers");
    if (!rc) {
        const int err = pthread_create(&s->thread, NULL, sink_main, s);
        if (err)
            rc = qs_fail_errno(e, err, "cannot start the writing thread");
    }
    if (rc)
        sink_free(s);
    else
        *out = s;
    return rc;
}

int qs_sink_take(struct qs_sink *s, struct qs_piece **out, struct qs_err *e)
{
    pthread_mutex_lock(&s->lock);
    while (s->taken - s->written >= QS_SINK_PIECES && !s->err.code)
        pthread_cond_wait(&s->changed, &s->lock);
    const struct qs_err err = s->err;
    if (!err.code)
        *out = &s->piece[s->taken++ % QS_SINK_PIECES];
    pthread_mutex_unlock(&s->lock);
    if (err.code && e)
        *e = err;
    return (int)err.code;
}

void qs_sink_put(struct qs_sink *s, struct qs_piece *p)
{
    (void)p; /* pieces are put in the order they were taken */
    pthread_mutex_lock(&s->lock);
    s->put++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

int qs_sink_end(struct qs_sink *s, struct qs_err *e)
{
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    const struct qs_err err = s->err;
    sink_free(s);
    if (err.code && e)
        *e = err;
    return (int)err.code;
}
