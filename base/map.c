/* map.c - mapped files that survive being cut short; the owner of SIGBUS.
 *
 * Owns every mapping of a file (read-only, or of a scratch file without a name), a lock-free table of the live ones,
 * and the SIGBUS handler that looks faults up in it. A fault inside a live mapping puts a page of zeros there and
 * flags the mapping; any other fault goes to the handler that was installed before. Refuses what is not a regular
 * file. The handler calls nothing but mmap and sigaction and takes no lock.
 *
 * Table and threads. A slot is written under a mutex, between two steps of its sequence number (odd: being written).
 * The handler skips slots that are odd or that change while it reads them: they cannot be the mapping it looks for,
 * since whoever faults in a mapping holds a reference to it, so its slot stands still.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"

#define SLOTS 4096 /* files mapped at one time; the kernel's own bound on mappings is 65530 */

struct slot {
    _Atomic unsigned sequence;
    _Atomic uintptr_t begin, end; /* whole pages; begin == end: free */
    _Atomic bool damaged, writable;
};

struct qs_map {
    const uint8_t *data;
    uint64_t size;
    int fd; /* kept open to see a cut inside the last page, which raises no signal */
    struct slot *slot;
    _Atomic unsigned refs;
    char *path;
};

static struct slot slots[SLOTS];
static _Atomic unsigned slots_used; /* no slot at or above this was ever taken */
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uintptr_t page_size;

/* Handlers that were there before ours. A ring, so that the entry in use is never written. */
#define OLD_RING 8
static struct sigaction old_actions[OLD_RING];
static _Atomic unsigned old_current;

/* --- the handler -------------------------------------------------------------------------------------------------- */

/* The slot whose mapping holds `at`, or NULL; *end: where that mapping ends. */
static struct slot *find_slot(uintptr_t at, uintptr_t *end)
{
    unsigned used = atomic_load_explicit(&slots_used, memory_order_acquire);
    for (unsigned i = 0; i < used; i++) {
        struct slot *s = &slots[i];
        unsigned before = atomic_load_explicit(&s->sequence, memory_order_acquire);
        uintptr_t b = atomic_load_explicit(&s->begin, memory_order_acquire);
        uintptr_t e = atomic_load_explicit(&s->end, memory_order_acquire);
        if ((before & 1) || at < b || at >= e)
            continue;
        if (atomic_load_explicit(&s->sequence, memory_order_acquire) == before) {
            *end = e;
            return s;
        }
    }
    return NULL;
}

/* The bare system call where there is one: mmap() itself may be wrapped (sanitizers do), and a wrapper is nothing to
 * run in a signal handler. */
static bool put_zeros(uintptr_t at, size_t n, bool writable)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, protection = PROT_READ | (writable ? PROT_WRITE : 0);
#if defined(SYS_mmap) && defined(__LP64__) && !defined(__s390x__)
    return syscall(SYS_mmap, at, n, protection, flags, -1, 0L) == (long)at;
#else
    return mmap((void *)at, n, protection, flags, -1, 0) == (void *)at;
#endif
}

static void pass_on(int sig, siginfo_t *info, void *context)
{
    const struct sigaction *old = &old_actions[atomic_load_explicit(&old_current, memory_order_acquire) % OLD_RING];
    bool sent = info->si_code <= 0; /* by kill() and the like: not a fault */
    if (old->sa_flags & SA_SIGINFO) {
        old->sa_sigaction(sig, info, context);
    } else if (old->sa_handler == SIG_IGN && sent) {
        return;
    } else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
        old->sa_handler(sig);
    } else {
        /* The default is to die. A fault comes again by itself when we return, a sent signal has to be sent again. */
        struct sigaction plain;
        memset(&plain, 0, sizeof plain);
        plain.sa_handler = SIG_DFL;
        sigaction(sig, &plain, NULL);
        if (sent)
            raise(sig);
    }
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
    int kept = errno;
    if (info->si_code > 0) {
        uintptr_t page = atomic_load_explicit(&page_size, memory_order_relaxed), end = 0;
        uintptr_t at = (uintptr_t)info->si_addr & ~(page - 1);
        struct slot *s = find_slot(at, &end);
        /* When the kernel has no more mappings for single pages, all the rest is given up at once. */
        const bool writable = s && atomic_load_explicit(&s->writable, memory_order_relaxed);
        if (s && (put_zeros(at, page, writable) || put_zeros(at, end - at, writable))) {
            atomic_store_explicit(&s->damaged, true, memory_order_release);
            errno = kept;
            return;
        }
    }
    pass_on(sig, info, context);
    errno = kept;
}

/* Makes sure that our handler is the one installed; called with the table locked. Looked at for every new mapping,
 * because a library or a test runner may have put its own there since. */
static int install(struct qs_err *e)
{
    struct sigaction now;
    if (atomic_load(&page_size) == 0) {
        long page = sysconf(_SC_PAGESIZE);
        atomic_store(&page_size, page > 0 ? (uintptr_t)page : 4096);
    }
    if (sigaction(SIGBUS, NULL, &now) != 0)
        return qs_fail_errno(e, errno, "cannot ask for the SIGBUS handler");
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_sigbus)
        return QS_OK;
    /* Put back by signal(), ours may have lost its flags; it must never become its own predecessor. */
    if (now.sa_handler != (void (*)(int))(uintptr_t)on_sigbus) {
        unsigned next = atomic_load(&old_current) + 1;
        old_actions[next % OLD_RING] = now;
        atomic_store(&old_current, next);
    }
    struct sigaction ours;
    memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = on_sigbus;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&ours.sa_mask);
    if (sigaction(SIGBUS, &ours, NULL) != 0)
        return qs_fail_errno(e, errno, "cannot install the SIGBUS handler");
    return QS_OK;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static void write_slot(struct slot *s, uintptr_t begin, uintptr_t end, bool writable)
{
    atomic_fetch_add(&s->sequence, 1);
    atomic_store(&s->begin, begin);
    atomic_store(&s->end, end);
    atomic_store(&s->damaged, false);
    atomic_store(&s->writable, writable);
    atomic_fetch_add(&s->sequence, 1);
}

/* A slot for the mapping; NULL when all are taken. Called with the table locked. */
static struct slot *claim_slot(uintptr_t begin, uintptr_t end, bool writable)
{
    unsigned used = atomic_load(&slots_used);
    for (unsigned i = 0; i < SLOTS; i++) {
        if (i < used && atomic_load(&slots[i].begin) != atomic_load(&slots[i].end))
            continue;
        write_slot(&slots[i], begin, end, writable);
        if (i >= used)
            atomic_store_explicit(&slots_used, i + 1, memory_order_release);
        return &slots[i];
    }
    return NULL;
}

static uint64_t whole_pages(uint64_t n)
{
    uint64_t page = atomic_load_explicit(&page_size, memory_order_relaxed);
    return (n + page - 1) & ~(page - 1);
}

/* --- mappings ----------------------------------------------------------------------------------------------------- */

static int map_pages(struct qs_map *m, int protection, struct qs_err *e)
{
    pthread_mutex_lock(&table_lock);
    int rc = install(e);
    pthread_mutex_unlock(&table_lock);
    if (rc || m->size == 0)
        return rc;
    void *p = mmap(NULL, (size_t)m->size, protection, MAP_SHARED, m->fd, 0);
    if (p == MAP_FAILED)
        return qs_fail_errno(e, errno, "cannot map '%s' into memory", m->path);
    pthread_mutex_lock(&table_lock);
    m->slot = claim_slot((uintptr_t)p, (uintptr_t)p + (uintptr_t)whole_pages(m->size),
                         (protection & PROT_WRITE) != 0);
    pthread_mutex_unlock(&table_lock);
    if (!m->slot) {
        munmap(p, (size_t)m->size);
        return qs_fail(e, QS_ELIMIT, "cannot map '%s': %d files are mapped already", m->path, SLOTS);
    }
    m->data = p;
    return QS_OK;
}

static int open_regular(const char *path, int *fd, uint64_t *size, struct qs_err *e)
{
    struct stat st;
    /* O_NONBLOCK: a named pipe must not hang us before it can be refused. */
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return qs_fail_errno(e, errno, "cannot open '%s'", path);
    if (fstat(*fd, &st) != 0)
        return qs_fail_errno(e, errno, "cannot examine '%s'", path);
    if (!S_ISREG(st.st_mode))
        return qs_fail(e, QS_EINVAL, "'%s' is not a regular file", path);
    *size = (uint64_t)st.st_size;
    if (*size > SIZE_MAX / 2)
        return qs_fail(e, QS_ELIMIT, "'%s' is too large to be mapped here", path);
    return QS_OK;
}

static int new_map(const char *path, struct qs_map **out, struct qs_err *e)
{
    static const uint8_t nothing[1];
    *out = NULL;
    struct qs_map *m = qs_calloc(1, sizeof *m);
    if (!m || !(m->path = qs_strdup(path))) {
        qs_free(m);
        return qs_fail_mem(e, sizeof *m, "a mapped file");
    }
    m->fd = -1;
    m->data = nothing;
    atomic_init(&m->refs, 1);
    *out = m;
    return QS_OK;
}

int qs_map_open(const char *path, struct qs_map **out, struct qs_err *e)
{
    struct qs_map *m;
    *out = NULL;
    int rc = new_map(path, &m, e);
    if (rc)
        return rc;
    rc = open_regular(path, &m->fd, &m->size, e);
    if (!rc)
        rc = map_pages(m, PROT_READ, e);
    if (rc) {
        qs_map_unref(m);
        return rc;
    }
    *out = m;
    return QS_OK;
}

/* A file without a name, where the file system knows such; else one that loses its name at once. */
static int open_nameless(const char *dir, int *fd, struct qs_err *e)
{
    char path[4096];
    *fd = open(dir, O_RDWR | O_CLOEXEC | O_TMPFILE, 0600);
    if (*fd >= 0)
        return QS_OK;
    if (snprintf(path, sizeof path, "%s/scratch.XXXXXX", dir) >= (int)sizeof path)
        return qs_fail(e, QS_ELIMIT, "the name of the folder '%s' is too long", dir);
    *fd = mkostemp(path, O_CLOEXEC);
    if (*fd < 0)
        return qs_fail_errno(e, errno, "cannot make a scratch file in '%s'", dir);
    unlink(path);
    return QS_OK;
}

/* A page without room behind it is lost when it is written to, so the room is claimed at once. Some file systems
 * cannot: there the page is lost when the disk is full, and the map is damaged. */
static int claim_room(int fd, uint64_t size, const char *dir, struct qs_err *e)
{
    int failed = posix_fallocate(fd, 0, (off_t)size);
    if (failed == EOPNOTSUPP || failed == ENOSYS || failed == EINVAL)
        failed = ftruncate(fd, (off_t)size) ? errno : 0;
    return failed ? qs_fail_errno(e, failed, "cannot claim %llu bytes for a scratch file in '%s'",
                                  (unsigned long long)size, dir)
                  : QS_OK;
}

int qs_map_scratch(const char *dir, uint64_t size, struct qs_map **out, uint8_t **data, struct qs_err *e)
{
    struct qs_map *m;
    *out = NULL;
    if (size == 0 || size > SIZE_MAX / 2)
        return qs_fail(e, QS_EINVAL, "a scratch file of %llu bytes is impossible", (unsigned long long)size);
    int rc = new_map(dir, &m, e);
    if (rc)
        return rc;
    m->size = size;
    rc = open_nameless(dir, &m->fd, e);
    if (!rc)
        rc = claim_room(m->fd, size, dir, e);
    if (!rc)
        rc = map_pages(m, PROT_READ | PROT_WRITE, e);
    if (m->fd >= 0)
        close(m->fd); /* nobody else can cut it short; descriptors are few */
    m->fd = -1;
    if (rc) {
        qs_map_unref(m);
        return rc;
    }
    *out = m;
    *data = (uint8_t *)(uintptr_t)m->data;
    return QS_OK;
}

struct qs_map *qs_map_ref(struct qs_map *m)
{
    if (m)
        atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void qs_map_unref(struct qs_map *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (m->slot) {
        /* Out of the table first: once unmapped, the addresses may belong to somebody else. */
        pthread_mutex_lock(&table_lock);
        write_slot(m->slot, 0, 0, false);
        pthread_mutex_unlock(&table_lock);
        munmap((void *)(uintptr_t)m->data, (size_t)m->size);
    }
    if (m->fd >= 0)
        close(m->fd);
    qs_free(m->path);
    qs_free(m);
}

const uint8_t *qs_map_data(const struct qs_map *m)
{
    return m->data;
}

uint64_t qs_map_size(const struct qs_map *m)
{
    return m->size;
}

bool qs_map_damaged(const struct qs_map *m)
{
    if (!m->slot)
        return false;
    if (atomic_load_explicit(&m->slot->damaged, memory_order_acquire))
        return true;
    /* A cut inside the last page reads as zeros without any signal: only the file's size tells. */
    struct stat st;
    if (m->fd < 0 || fstat(m->fd, &st) != 0 || (uint64_t)st.st_size >= m->size)
        return false;
    atomic_store_explicit(&m->slot->damaged, true, memory_order_release);
    return true;
}

int qs_map_check(const struct qs_map *m, struct qs_err *e)
{
    if (!qs_map_damaged(m))
        return QS_OK;
    if (m->fd < 0)
        return qs_fail(e, QS_EIO, "a scratch file in '%s' was lost: its disk is full, or failed", m->path);
    return qs_fail(e, QS_EIO, "'%s' was cut short while it was read, or its disk failed: open it again", m->path);
}

/* Clips [off, off + len) to the mapping; false when nothing is left. */
static bool clip(const struct qs_map *m, uint64_t off, uint64_t *len)
{
    if (off >= m->size || !m->slot)
        return false;
    if (*len > m->size - off)
        *len = m->size - off;
    return *len > 0;
}

void qs_map_advise(const struct qs_map *m, uint64_t off, uint64_t len, bool will_need)
{
    if (!clip(m, off, &len))
        return;
    uint64_t page = atomic_load_explicit(&page_size, memory_order_relaxed);
    /* Outward when wanted; inward when dropped: the neighbours' pages stay. */
    uint64_t begin = will_need ? off & ~(page - 1) : whole_pages(off);
    uint64_t end = will_need || off + len == m->size ? whole_pages(off + len) : (off + len) & ~(page - 1);
    if (begin < end)
        (void)madvise((void *)(uintptr_t)(m->data + begin), (size_t)(end - begin),
                      will_need ? MADV_WILLNEED : MADV_DONTNEED);
}

uint64_t qs_map_resident(const struct qs_map *m, uint64_t off, uint64_t len)
{
    unsigned char there[4096]; /* one byte per page */
    if (!clip(m, off, &len))
        return 0;
    uint64_t page = atomic_load_explicit(&page_size, memory_order_relaxed), end = off + len, total = 0;
    for (uint64_t at = off & ~(page - 1); at < end; at += sizeof there * page) {
        uint64_t n = whole_pages(end - at);
        if (n > sizeof there * page)
            n = sizeof there * page;
        if (mincore((void *)(uintptr_t)(m->data + at), (size_t)n, there) != 0)
            return total;
        for (uint64_t i = 0; i < n / page; i++) {
            uint64_t from = at + i * page, to = from + page;
            if (there[i] & 1)
                total += (to < end ? to : end) - (from > off ? from : off);
        }
    }
    return total;
}
