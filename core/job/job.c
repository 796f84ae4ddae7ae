/* job.c - owns the thread, the status and the pause/cancel flags of one running piece of work.
 *
 * One mutex guards everything; it is held for copies and sums only, never while the work function runs, except that a
 * paused job sleeps on the condition (which releases it). Times count from the start with pauses taken out, so that
 * rate and ETA stay true after a pause. The rate looks back over a ring of samples, about five seconds of them; the ETA
 * takes the mean of the phase once that has lasted, as steps of the same size may cost differently, and adds what was
 * foretold of later phases.
 */
#include "core/job/job.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pool.h"

#define RING 64           /* samples */
#define SAMPLE_EVERY 0.08 /* seconds between samples: the ring spans about five seconds */
#define RECENT 15         /* seconds of a phase after which its mean rate foretells better than the recent one */
#define WAKE_EVERY (1.0 / 30)

struct sample { double at; uint64_t done; };

struct qs_job {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool joined;
    bool pause, cancel;
    int wake_fd;
    qs_job_fn *fn;
    void *ctx;
    struct qs_job_status st;
    int result;
    double started, paused_total, last_wake;
    uint64_t skipped;     /* of st.done: not made by this run */
    double later;         /* seconds foretold for what comes after this phase */
    double phase_at;      /* active seconds when it began */
    struct sample ring[RING];
    unsigned ring_n, ring_at;
};

/* Active seconds since the start. Lock held. */
static double active_time(const struct qs_job *j)
{
    return qs_now() - j->started - j->paused_total;
}

/* Lock held. `always`: state changes are never swallowed by the limit of 30 a second. */
static void wake(struct qs_job *j, bool always)
{
    j->st.version++;
    pthread_cond_broadcast(&j->changed);
    if (j->wake_fd < 0)
        return;
    const double now = qs_now();
    if (!always && now - j->last_wake < WAKE_EVERY)
        return;
    j->last_wake = now;
    const ssize_t n = write(j->wake_fd, "", 1);
    (void)n; /* a full pipe already wakes its reader */
}

static void add_sample(struct qs_job *j, double at)
{
    const unsigned last = (j->ring_at + RING - 1) % RING;
    if (j->ring_n && at - j->ring[last].at < SAMPLE_EVERY)
        return;
    j->ring[j->ring_at] = (struct sample){ at, j->st.done - j->skipped };
    j->ring_at = (j->ring_at + 1) % RING;
    if (j->ring_n < RING)
        j->ring_n++;
}

/* Lock held: rate over the ring, ETA from it. */
static void refresh(struct qs_job *j)
{
    const double now = active_time(j);
    const uint64_t made = j->st.done - j->skipped;
    j->st.elapsed = now;
    j->st.memory = qs_mem_in_use();
    j->st.rate = 0;
    j->st.eta = -1;
    if (j->ring_n) {
        const struct sample *first = &j->ring[(j->ring_at + RING - j->ring_n) % RING];
        if (now - first->at > 0.05 && made >= first->done)
            j->st.rate = (double)(made - first->done) / (now - first->at);
    }
    const double mean = now - j->phase_at > RECENT ? (double)made / (now - j->phase_at) : j->st.rate;
    if (mean > 0 && j->st.total >= j->st.done && j->st.total > 0)
        j->st.eta = (double)(j->st.total - j->st.done) / mean + j->later;
}

static void finish(struct qs_job *j, int rc, const struct qs_err *err)
{
    pthread_mutex_lock(&j->lock);
    refresh(j);
    j->result = rc;
    j->st.err = *err;
    j->st.state = rc == QS_OK ? QS_JOB_DONE : rc == QS_ECANCELLED ? QS_JOB_CANCELLED : QS_JOB_FAILED;
    j->st.eta = rc == QS_OK ? 0 : -1;
    wake(j, true);
    pthread_mutex_unlock(&j->lock);
}

static void *job_main(void *arg)
{
    struct qs_job *j = arg;
    struct qs_err err = QS_ERR_INIT;
    const int rc = j->fn(j, j->ctx, &err);
    finish(j, rc, &err);
    return NULL;
}

static int job_new(const char *title, qs_job_fn *fn, void *ctx, int wake_fd, struct qs_job **out, struct qs_err *e)
{
    struct qs_job *j = qs_calloc(1, sizeof *j);
    if (!j)
        return qs_fail_mem(e, sizeof *j, "a job");
    pthread_condattr_t attr;
    pthread_mutex_init(&j->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&j->changed, &attr);
    pthread_condattr_destroy(&attr);
    j->fn = fn;
    j->ctx = ctx;
    j->wake_fd = wake_fd;
    j->started = qs_now();
    j->st.eta = -1;
    j->st.error = -1;
    snprintf(j->st.title, sizeof j->st.title, "%s", title);
    *out = j;
    return QS_OK;
}

static void job_destroy(struct qs_job *j)
{
    pthread_cond_destroy(&j->changed);
    pthread_mutex_destroy(&j->lock);
    qs_free(j);
}

int qs_job_start(const char *title, qs_job_fn *fn, void *ctx, int wake_fd, struct qs_job **out, struct qs_err *e)
{
    struct qs_job *j = NULL;
    const int rc = job_new(title, fn, ctx, wake_fd, &j, e);
    if (rc)
        return rc;
    const int err = pthread_create(&j->thread, NULL, job_main, j);
    if (err) {
        job_destroy(j);
        return qs_fail_errno(e, err, "cannot start a thread for a job");
    }
    *out = j;
    return QS_OK;
}

void qs_job_status(struct qs_job *j, struct qs_job_status *out)
{
    pthread_mutex_lock(&j->lock);
    if (j->st.state == QS_JOB_RUNNING)
        refresh(j);
    *out = j->st;
    pthread_mutex_unlock(&j->lock);
}

void qs_job_pause(struct qs_job *j, bool paused)
{
    pthread_mutex_lock(&j->lock);
    j->pause = paused;
    wake(j, true);
    pthread_mutex_unlock(&j->lock);
}

void qs_job_cancel(struct qs_job *j)
{
    pthread_mutex_lock(&j->lock);
    j->cancel = true;
    wake(j, true);
    pthread_mutex_unlock(&j->lock);
}

int qs_job_wait(struct qs_job *j, struct qs_err *e)
{
    if (!j->joined) {
        pthread_join(j->thread, NULL);
        j->joined = true;
    }
    if (j->result && e)
        *e = j->st.err;
    return j->result;
}

bool qs_job_wait_for(struct qs_job *j, double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const double end = (double)until.tv_sec + (double)until.tv_nsec * 1e-9 + (seconds > 0 ? seconds : 0);
    until.tv_sec = (time_t)end;
    until.tv_nsec = (long)((end - floor(end)) * 1e9);
    pthread_mutex_lock(&j->lock);
    int rc = 0;
    while (j->st.state <= QS_JOB_PAUSED && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&j->changed, &j->lock, &until);
    const bool ended = j->st.state > QS_JOB_PAUSED;
    pthread_mutex_unlock(&j->lock);
    return ended;
}

void qs_job_free(struct qs_job *j)
{
    if (!j)
        return;
    if (!j->joined) {
        qs_job_cancel(j);
        qs_job_wait(j, NULL);
    }
    job_destroy(j);
}

void qs_job_phase(struct qs_job *j, const char *phase, const char *unit, uint64_t total)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    snprintf(j->st.phase, sizeof j->st.phase, "%s", phase);
    snprintf(j->st.unit, sizeof j->st.unit, "%s", unit);
    j->st.done = 0;
    j->st.total = total;
    j->skipped = 0;
    j->ring_n = j->ring_at = 0;
    j->phase_at = active_time(j);
    add_sample(j, j->phase_at);
    wake(j, false);
    pthread_mutex_unlock(&j->lock);
}

void qs_job_later(struct qs_job *j, double seconds)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->later = seconds > 0 ? seconds : 0;
    pthread_mutex_unlock(&j->lock);
}

void qs_job_more(struct qs_job *j, uint64_t n)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->st.total += n;
    wake(j, false);
    pthread_mutex_unlock(&j->lock);
}

void qs_job_item(struct qs_job *j, const char *fmt, ...)
{
    if (!j)
        return;
    va_list ap;
    va_start(ap, fmt);
    pthread_mutex_lock(&j->lock);
    vsnprintf(j->st.item, sizeof j->st.item, fmt, ap);
    wake(j, false);
    pthread_mutex_unlock(&j->lock);
    va_end(ap);
}

void qs_job_error(struct qs_job *j, double rms)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->st.error = rms;
    pthread_mutex_unlock(&j->lock);
}

void qs_job_skip(struct qs_job *j, uint64_t n)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->st.done += n;
    j->skipped += n;
    wake(j, false);
    pthread_mutex_unlock(&j->lock);
}

int qs_job_step(struct qs_job *j, uint64_t n, struct qs_err *e)
{
    if (!j)
        return QS_OK;
    pthread_mutex_lock(&j->lock);
    j->st.done += n;
    add_sample(j, active_time(j));
    wake(j, false);
    if (j->pause && !j->cancel) {
        refresh(j);
        const double from = qs_now();
        j->st.state = QS_JOB_PAUSED;
        wake(j, true);
        while (j->pause && !j->cancel)
            pthread_cond_wait(&j->changed, &j->lock);
        j->paused_total += qs_now() - from;
        j->st.state = QS_JOB_RUNNING;
        wake(j, true);
    }
    const bool cancel = j->cancel;
    pthread_mutex_unlock(&j->lock);
    return cancel ? qs_fail(e, QS_ECANCELLED, "cancelled") : QS_OK;
}
