/* progress.h - one line on standard error that says how a job is going, and Ctrl-C for it. */
#ifndef QS_SRC_PROGRESS_H
#define QS_SRC_PROGRESS_H

#include <stdbool.h>
#include "base/str.h"
#include "core/job/job.h"

/* Returns when the job has ended. Draws when standard error is a terminal and not `quiet`. The first SIGINT, SIGTERM or
 * SIGHUP cancels the job, a second one ends the program at once (the job's files are then as after a kill: resumable).
 * The caller's signal handlers are put back. */
void qs_progress_watch(struct qs_job *job, bool quiet);
/* Calls `tick` each time it looks, and once after the end. */
void qs_progress_watch_with(struct qs_job *job, bool quiet, void (*tick)(void *ctx), void *ctx);

/* The line itself, at most `width` columns: phase, share, done of total, rate, ETA, memory, error, item. Where that is too
 * long, words get shorter, then the name in the item, then whole parts are left out, those of least worth first. ascii:
 * nothing else. */
void qs_progress_line(const struct qs_job_status *s, unsigned width, bool ascii, struct qs_str *out);

#endif
