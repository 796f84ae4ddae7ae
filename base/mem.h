/* mem.h - allocation: checked products, accounting, injected failures.
 *
 * Every allocation of the project goes through here, so that tests can make the n-th one fail and the
 * program can say how much private memory it holds. All functions return NULL on failure and never abort. Single
 * requests of 1 TiB and more always fail.
 */
#ifndef QS_BASE_MEM_H
#define QS_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *qs_malloc(size_t n);                   /* n == 0 gives a unique pointer */
void *qs_calloc(size_t count, size_t size);  /* NULL on overflow too */
void *qs_realloc(void *p, size_t n);         /* on failure `p` stays valid */
void *qs_realloc_array(void *p, size_t count, size_t size);
void *qs_alloc_aligned(size_t align, size_t n); /* align: power of two >= 16; release with qs_free */
void *qs_alloc_large(size_t n);              /* at a multiple of 64, on huge pages where the system grants them; qs_free */
void  qs_free(void *p);                      /* NULL allowed */
char *qs_strdup(const char *s);
char *qs_strndup(const char *s, size_t n);   /* copies exactly n bytes and terminates */

/* Grows *p (array of `size`-byte items, *cap items long) to hold at least `need` items, doubling.
 * Returns false when memory is out or the product overflows; *p and *cap are then unchanged. */
bool qs_grow(void *p, size_t *cap, size_t need, size_t size);

/* Checked arithmetic: false on overflow, *out untouched. */
bool qs_mul_u64(uint64_t a, uint64_t b, uint64_t *out);
bool qs_add_u64(uint64_t a, uint64_t b, uint64_t *out);

uint64_t qs_mem_in_use(void); /* bytes now held through this header (usable sizes) */
uint64_t qs_mem_peak(void);   /* the most so far */

/* For tests: the n-th allocation from now on (1 = the next) and all later ones return NULL; 0 = off. Process-wide. */
void qs_mem_fail_after(uint64_t n);
uint64_t qs_mem_count(void); /* allocations so far: a test runs once to count, then fails each in turn */

#endif
