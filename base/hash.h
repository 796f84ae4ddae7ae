/* hash.h - content keys; the only file that knows xxhash (XXH3, 128 bits). */
#ifndef QS_BASE_HASH_H
#define QS_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct qs_key { uint64_t lo, hi; };
struct qs_hash; /* streaming state */

struct qs_key qs_hash_bytes(const void *p, size_t n);
struct qs_hash *qs_hash_new(void); /* NULL: out of memory */
void qs_hash_add(struct qs_hash *h, const void *p, size_t n);
struct qs_key qs_hash_end(struct qs_hash *h); /* also frees */
void qs_key_hex(struct qs_key k, char out[33]);
int qs_key_equal(struct qs_key a, struct qs_key b);

#endif
