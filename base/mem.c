/* mem.c - the one door to the heap.
 *
 * Owns the counters (bytes held, peak, number of allocations) and the injected failure. Refuses single requests of a
 * TiB and more: none is honest, and sizes computed from a hostile file end here. All counters are atomic, any thread
 * may call. Sizes are those the C library really set aside (malloc_usable_size), so no header of our own is needed
 * and a pointer from here is a plain malloc pointer.
 */
#include <sys/mman.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#if SIZE_MAX > 0xFFFFFFFFu
#define MAX_REQUEST (((size_t)1 << 40) - 65536)
#else
#define MAX_REQUEST (SIZE_MAX / 2 - 65536)
#endif

static _Atomic uint64_t in_use, peak, count, fail_at;

/* Counts one allocation; false when it has to fail. */
static bool admit(size_t n)
{
    uint64_t nth = atomic_fetch_add_explicit(&count, 1, memory_order_relaxed) + 1;
    uint64_t at = atomic_load_explicit(&fail_at, memory_order_relaxed);
    return n <= MAX_REQUEST && (at == 0 || nth < at);
}

static void *account(void *p)
{
    if (!p)
        return NULL;
    uint64_t size = malloc_usable_size(p);
    uint64_t now = atomic_fetch_add_explicit(&in_use, size, memory_order_relaxed) + size;
    uint64_t old = atomic_load_explicit(&peak, memory_order_relaxed);
    while (now > old && !atomic_compare_exchange_weak_explicit(&peak, &old, now, memory_order_relaxed,
                                                               memory_order_relaxed))
        ;
    return p;
}

void *qs_malloc(size_t n)
{
    return admit(n) ? account(malloc(n ? n : 1)) : NULL;
}

void *qs_calloc(size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        bytes = SIZE_MAX;
    return admit(bytes) ? account(calloc(bytes ? bytes : 1, 1)) : NULL;
}

void *qs_realloc(void *p, size_t n)
{
    if (!p)
        return qs_malloc(n);
    if (!admit(n))
        return NULL;
    uint64_t before = malloc_usable_size(p);
    void *q = realloc(p, n ? n : 1);
    if (!q)
        return NULL;
    atomic_fetch_sub_explicit(&in_use, before, memory_order_relaxed);
    return account(q);
}

void *qs_realloc_array(void *p, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        bytes = SIZE_MAX;
    return qs_realloc(p, bytes);
}

void *qs_alloc_aligned(size_t align, size_t n)
{
    void *p = NULL;
    if (align < 16 || (align & (align - 1)) != 0 || !admit(n))
        return NULL;
    if (posix_memalign(&p, align, n ? n : 1) != 0)
        return NULL;
    return account(p);
}

void *qs_alloc_large(size_t n)
{
    const size_t huge = (size_t)2 << 20;
    if (n < 2 * huge)
        return qs_alloc_aligned(64, n);
    void *p = qs_alloc_aligned(huge, n);
#ifdef MADV_HUGEPAGE
    if (p)
        (void)madvise(p, n / huge * huge, MADV_HUGEPAGE); /* a wish: without it everything is as before */
#endif
    return p;
}

void qs_free(void *p)
{
    if (!p)
        return;
    atomic_fetch_sub_explicit(&in_use, malloc_usable_size(p), memory_order_relaxed);
    free(p);
}

char *qs_strdup(const char *s)
{
    return qs_strndup(s, strlen(s));
}

char *qs_strndup(const char *s, size_t n)
{
    if (n == SIZE_MAX)
        return NULL;
    char *p = qs_malloc(n + 1);
    if (!p)
        return NULL;
    if (n)
        memcpy(p, s, n);
    p[n] = 0;
    return p;
}

bool qs_grow(void *p, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return true;
    size_t want = *cap > SIZE_MAX / 2 ? need : *cap * 2;
    if (want < 8)
        want = 8;
    if (want < need)
        want = need;
    /* The caller's variable is a pointer of any type: it is copied as bytes, never read through void **. */
    void *old;
    memcpy(&old, p, sizeof old);
    void *grown = qs_realloc_array(old, want, size);
    if (!grown)
        return false;
    memcpy(p, &grown, sizeof grown);
    *cap = want;
    return true;
}

bool qs_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

bool qs_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

uint64_t qs_mem_in_use(void)
{
    return atomic_load_explicit(&in_use, memory_order_relaxed);
}

uint64_t qs_mem_peak(void)
{
    return atomic_load_explicit(&peak, memory_order_relaxed);
}

void qs_mem_fail_after(uint64_t n)
{
    atomic_store(&fail_at, n ? atomic_load(&count) + n : 0);
}

uint64_t qs_mem_count(void)
{
    return atomic_load_explicit(&count, memory_order_relaxed);
}
