/* cpus.c - how many processor cores and how much memory we may use.
 *
 * Owns the reading of Linux's topology and quota files; whatever cannot be read counts as "no restriction". Allocates
 * nothing, keeps nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cpus.h"
#include "base/pool.h"

/* A small text file into buf, terminated. False when there is none. */
static bool read_text(const char *path, char *buf, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t n = 0;
    while (n + 1 < cap) {
        ssize_t got = read(fd, buf + n, cap - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    close(fd);
    buf[n] = 0;
    return n > 0;
}

unsigned qs_cpus_physical(const char *sys, const uint8_t allowed[QS_CPUS_MAX / 8])
{
    uint8_t seen[QS_CPUS_MAX / 8] = { 0 };
    unsigned cores = 0;
    for (unsigned cpu = 0; cpu < QS_CPUS_MAX; cpu++) {
        if (!(allowed[cpu / 8] >> (cpu % 8) & 1))
            continue;
        /* Siblings share one list ("0,64" or "0-1"); its first number stands for the core. */
        char path[512], text[256];
        unsigned core = cpu;
        (void)snprintf(path, sizeof path, "%s/cpu%u/topology/thread_siblings_list", sys, cpu);
        if (read_text(path, text, sizeof text) && text[0] >= '0' && text[0] <= '9') {
            unsigned long first = strtoul(text, NULL, 10);
            if (first < QS_CPUS_MAX)
                core = (unsigned)first;
        }
        if (!(seen[core / 8] >> (core % 8) & 1)) {
            seen[core / 8] |= (uint8_t)(1u << (core % 8));
            cores++;
        }
    }
    return cores ? cores : 1;
}

/* "max 100000" or "150000 100000" -> cores, rounded up; 0: none. */
static unsigned quota_of(const char *text)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return 0;
    unsigned long long quota = strtoull(text, &end, 10), period = strtoull(end, NULL, 10);
    if (period == 0)
        return 0;
    unsigned long long cores = quota / period + (quota % period != 0);
    return cores == 0 ? 1 : cores > QS_CPUS_MAX ? QS_CPUS_MAX : (unsigned)cores;
}

/* Calls `look` with the folder of our cgroup and of each of its ancestors, from the innermost out. */
typedef void look_fn(const char *folder, void *ctx);

static void each_cgroup(const char *self, const char *mount, look_fn *look, void *ctx)
{
    char text[4096], path[2048], folder[4096];
    if (!read_text(self, text, sizeof text))
        return;
    /* Version 2 has the one line that starts with "0::". */
    const char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (!line)
        return;
    line += line[0] == '\n' ? 4 : 3;
    size_t n = strcspn(line, "\n");
    if (n >= sizeof path || line[0] != '/')
        return;
    memcpy(path, line, n);
    path[n] = 0;
    for (;;) {
        (void)snprintf(folder, sizeof folder, "%s%s", mount, strcmp(path, "/") == 0 ? "" : path);
        look(folder, ctx);
        char *slash = strrchr(path, '/');
        if (!slash)
            return;
        *slash = 0;
    }
}

static bool read_in(const char *folder, const char *name, char *buf, size_t cap)
{
    char file[4608];
    (void)snprintf(file, sizeof file, "%s/%s", folder, name);
    return read_text(file, buf, cap);
}

static void look_at_quota(const char *folder, void *ctx)
{
    unsigned *tightest = ctx;
    char text[256];
    const unsigned here = read_in(folder, "cpu.max", text, sizeof text) ? quota_of(text) : 0;
    if (here && (*tightest == 0 || here < *tightest))
        *tightest = here;
}

unsigned qs_cpus_quota(const char *self, const char *mount)
{
    unsigned tightest = 0;
    each_cgroup(self, mount, look_at_quota, &tightest);
    return tightest;
}

struct memory { uint64_t limit, left; };

static void look_at_memory(const char *folder, void *ctx)
{
    struct memory *m = ctx;
    char text[64];
    if (!read_in(folder, "memory.max", text, sizeof text) || text[0] < '0' || text[0] > '9') /* "max": no limit */
        return;
    const uint64_t limit = strtoull(text, NULL, 10);
    const uint64_t used = read_in(folder, "memory.current", text, sizeof text) ? strtoull(text, NULL, 10) : 0;
    const uint64_t left = used < limit ? limit - used : 0;
    if (m->limit == 0 || left < m->left)
        m->left = left;
    if (m->limit == 0 || limit < m->limit)
        m->limit = limit;
}

void qs_cgroup_memory(const char *self, const char *mount, uint64_t *limit, uint64_t *left)
{
    struct memory m = { 0, 0 };
    each_cgroup(self, mount, look_at_memory, &m);
    *limit = m.limit;
    *left = m.left;
}

unsigned qs_cpu_count(void)
{
    uint8_t allowed[QS_CPUS_MAX / 8] = { 0 };
    bool known = false;
    /* The kernel refuses a set smaller than its own (EINVAL), so it gets one for QS_CPUS_MAX processors. */
    union {
        cpu_set_t one;
        uint8_t bytes[QS_CPUS_MAX / 8];
    } set;
    memset(&set, 0, sizeof set);
    if (sched_getaffinity(0, sizeof set, &set.one) == 0)
        for (size_t cpu = 0; cpu < QS_CPUS_MAX; cpu++)
            if (CPU_ISSET_S(cpu, sizeof set, &set.one)) {
                allowed[cpu / 8] |= (uint8_t)(1u << (cpu % 8));
                known = true;
            }
    if (!known) {
        long n = sysconf(_SC_NPROCESSORS_ONLN);
        for (long cpu = 0; cpu < n && cpu < QS_CPUS_MAX; cpu++)
            allowed[cpu / 8] |= (uint8_t)(1u << (cpu % 8));
    }
    unsigned cores = qs_cpus_physical("/sys/devices/system/cpu", allowed);
    unsigned quota = qs_cpus_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    return quota && quota < cores ? quota : cores;
}
