/* writer_watch.c - owns the state of every tensor of a run, for whoever wants to look. Any thread: one lock, held no longer
 * than a copy or a sum over the tensors. */
#include <pthread.h>

#include "base/mem.h"
#include "core/quant/writer_internal.h"

struct qs_writer_watch {
    pthread_mutex_t lock;
    struct qs_writer_watched *tensor;
    size_t n;
    uint64_t version;
};

int qs_writer_watch_new(size_t n, struct qs_writer_watch **out, struct qs_err *e)
{
    struct qs_writer_watch *w = qs_calloc(1, sizeof *w);
    if (w)
        w->tensor = qs_calloc(n ? n : 1, sizeof *w->tensor);
    if (!w || !w->tensor) {
        qs_free(w);
        return qs_fail_mem(e, n * sizeof *w->tensor, "watching the writer");
    }
    pthread_mutex_init(&w->lock, NULL);
    w->n = n;
    w->version = 1;
    *out = w;
    return QS_OK;
}

void qs_writer_watch_free(struct qs_writer_watch *w)
{
    if (!w)
        return;
    pthread_mutex_destroy(&w->lock);
    qs_free(w->tensor);
    qs_free(w);
}

bool qs_writer_watch_get(struct qs_writer_watch *w, size_t i, struct qs_writer_watched *out)
{
    if (i >= w->n)
        return false;
    pthread_mutex_lock(&w->lock);
    *out = w->tensor[i];
    pthread_mutex_unlock(&w->lock);
    return true;
}

void qs_writer_watch_totals(struct qs_writer_watch *w, struct qs_writer_totals *out)
{
    struct qs_writer_totals t = { 0 };
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < w->n; i++) { /* in this order, as the result's sum is made */
        t.n[w->tensor[i].state]++;
        qs_error_sums_add(&t.sums, &w->tensor[i].sums);
    }
    t.version = w->version;
    pthread_mutex_unlock(&w->lock);
    *out = t;
}

int qs_writer_watch_begin(struct qs_writer_watch *w, size_t n, struct qs_err *e)
{
    if (w->n != n)
        return qs_fail(e, QS_EINVAL, "the writer is watched for %zu tensors, the plan has %zu", w->n, n);
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < n; i++)
        w->tensor[i] = (struct qs_writer_watched){ .state = QS_WRITER_WAITING };
    w->version++;
    pthread_mutex_unlock(&w->lock);
    return QS_OK;
}

void qs_writer_watch_set(struct qs_writer_watch *w, size_t i, const struct qs_writer_watched *now)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->tensor[i] = *now;
    w->version++;
    pthread_mutex_unlock(&w->lock);
}
