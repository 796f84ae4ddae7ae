/* pool.h - the one compute pool and its leases; clock; atomically published flags.
 *
 * DESIGN. As many threads as physical cores allowed to us, started on first use; between the regions of one who
 * has entered (qs_pool_enter) they spin for some microseconds, then and otherwise they sleep on a condition. One parallel region runs at a time; who asks for a region waits until the lease is free, higher priority
 * first. Inside a region the items [0, n) are handed out by an atomic counter, in chunks of `grain`. The caller's
 * thread works too. A region entered from inside a region of the same pool runs inline on the calling thread. (Regions
 * of two pools must not be nested in both orders: each would wait for the other's lease.)
 * Results must not depend on how items are dealt out: items write to disjoint places.
 */
#ifndef QS_BASE_POOL_H
#define QS_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

enum qs_prio { QS_PRIO_BACKGROUND, QS_PRIO_JOB, QS_PRIO_INTERACTIVE };

struct qs_pool;

/* threads == 0: physical cores in our affinity mask. */
int  qs_pool_new(unsigned threads, struct qs_pool **out, struct qs_err *e);
void qs_pool_free(struct qs_pool *p);
unsigned qs_pool_threads(const struct qs_pool *p); /* NULL: 1 */

typedef void qs_work_fn(void *ctx, size_t begin, size_t end, unsigned thread); /* thread < qs_pool_threads() */

/* Runs fn over [0, n) in chunks of at most `grain` items; returns when all are done. Never fails. NULL: no pool, all
 * of it on the caller's thread, as thread 0. */
void qs_pool_run(struct qs_pool *p, enum qs_prio prio, size_t n, size_t grain, qs_work_fn *fn, void *ctx);

/* The calling thread has a run of regions to come and only short work between them (it must not wait for another user
 * of the pool before it leaves). Other users of its priority or above get their turn between two regions, others after
 * the end. False, and nothing changed: no pool, one thread, within a region or already entered. leave takes what enter
 * gave back. */
bool qs_pool_enter(struct qs_pool *p, enum qs_prio prio);
void qs_pool_leave(struct qs_pool *p, bool was_entered);

/* True when somebody with a higher priority than `prio` waits for the lease: end your region soon. */
bool qs_pool_wanted(const struct qs_pool *p, enum qs_prio prio);

unsigned qs_cpu_count(void); /* physical cores allowed to us (affinity, cgroup quota) */

double qs_now(void); /* seconds, monotonic */

#endif
