/* cpus.h - how many processor cores and how much memory we may use (Linux: affinity mask, topology, cgroup limits). */
#ifndef QS_BASE_CPUS_H
#define QS_BASE_CPUS_H

#include <stddef.h>
#include <stdint.h>

#define QS_CPUS_MAX 8192

/* Physical cores among the logical processors set in `allowed` (bit i of byte i/8), siblings counted once.
 * `sys` is the folder that holds cpu0, cpu1 ... ("/sys/devices/system/cpu"). At least 1. */
unsigned qs_cpus_physical(const char *sys, const uint8_t allowed[QS_CPUS_MAX / 8]);

/* The tightest CPU quota of our cgroup (version 2) and its ancestors, rounded up to whole cores; 0: no quota.
 * `self` is "/proc/self/cgroup", `mount` "/sys/fs/cgroup". */
unsigned qs_cpus_quota(const char *self, const char *mount);

/* The same walk for memory: the tightest memory.max of our cgroup and its ancestors, and the least that one of them has
 * left below its own. Both 0: no limit. */
void qs_cgroup_memory(const char *self, const char *mount, uint64_t *limit, uint64_t *left);

#endif
