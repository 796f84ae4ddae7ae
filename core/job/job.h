/* job.h - a running piece of work: progress, pause, cancel.
 *
 * DESIGN. A job is a thread that waits plus a status that others copy. The work function calls qs_job_step() at every
 * piece (about 10 ms to 1 s of work): there it publishes progress, sleeps while paused, and learns that it was
 * cancelled. Watchers copy the status under a lock held no longer than the copy and are woken through the write
 * end of a pipe (non-blocking, the watcher's own). Nothing here prints.
 */
#ifndef QS_CORE_JOB_H
#define QS_CORE_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

enum qs_job_state { QS_JOB_RUNNING, QS_JOB_PAUSED, QS_JOB_DONE, QS_JOB_FAILED, QS_JOB_CANCELLED };

struct qs_job_status {
    enum qs_job_state state;
    char title[80];     /* "quantize demo.gguf to Q4_K_M" */
    char phase[32];     /* "encode" */
    char item[128];     /* "blk.3.ffn_down.weight -> Q6_K" */
    char unit[16];      /* "weights", "bytes", "tensors" */
    uint64_t done, total; /* in `unit`; total 0: unknown */
    double rate;        /* unit per second, over about the last 5 s, pauses left out */
    double eta;         /* seconds, negative: unknown */
    double elapsed;     /* seconds since start, pauses left out */
    uint64_t memory;    /* bytes of private memory now held (qs_mem_in_use) */
    double error;       /* relative RMS error so far, negative: not applicable */
    struct qs_err err;  /* when FAILED or CANCELLED */
    uint64_t version;   /* grows with every change */
};

struct qs_job;

typedef int qs_job_fn(struct qs_job *job, void *ctx, struct qs_err *e);

/* Starts `fn` on a thread of its own. wake_fd: gets one byte after changes, at most 30 times a second (changes of the
 * state and the end always); its owner makes it non-blocking; -1: nobody to wake. A change that comes too soon after
 * another wakes nobody, then or later, and neither does time, which moves the rate and the ETA: who shows them looks
 * again by itself about ten times a second while the job runs. */
int qs_job_start(const char *title, qs_job_fn *fn, void *ctx, int wake_fd, struct qs_job **out, struct qs_err *e);

void qs_job_status(struct qs_job *job, struct qs_job_status *out);
void qs_job_pause(struct qs_job *job, bool paused);
void qs_job_cancel(struct qs_job *job);            /* ends a pause too; safe to call from any thread */
int  qs_job_wait(struct qs_job *job, struct qs_err *e); /* joins; the function's result. */
bool qs_job_wait_for(struct qs_job *job, double seconds); /* true: it has ended */
void qs_job_free(struct qs_job *job);              /* cancels and joins if still running; NULL allowed */

/* For the work function; all accept a NULL job (then they do nothing and return 0). */
void qs_job_phase(struct qs_job *job, const char *phase, const char *unit, uint64_t total);
/* What comes after this phase takes about so many seconds: they are part of the ETA until another number is said. */
void qs_job_later(struct qs_job *job, double seconds);
void qs_job_more(struct qs_job *job, uint64_t n);  /* n more to do in this phase: the total grows */
void qs_job_item(struct qs_job *job, const char *fmt, ...) QS_PRINTF(2, 3);
void qs_job_error(struct qs_job *job, double rms);
void qs_job_skip(struct qs_job *job, uint64_t n);  /* done before this run (resume): counts as done, not in the rate */
int  qs_job_step(struct qs_job *job, uint64_t n, struct qs_err *e); /* n more done; QS_ECANCELLED when cancelled */

#endif
