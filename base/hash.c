/* hash.c - content keys: XXH3 with 128 bits. The only file that knows xxhash.
 *
 * Owns the streaming state. The library is compiled in here (it is a header), so that the state's size and alignment
 * are known and its memory comes from base/mem.h. A state belongs to one thread at a time.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/hash.h"
#include "base/mem.h"

struct qs_hash {
    XXH3_state_t state;
};

static struct qs_key key_of(XXH128_hash_t h)
{
    return (struct qs_key){ .lo = h.low64, .hi = h.high64 };
}

struct qs_key qs_hash_bytes(const void *p, size_t n)
{
    return key_of(XXH3_128bits(n ? p : "", n));
}

struct qs_hash *qs_hash_new(void)
{
    struct qs_hash *h = qs_alloc_aligned(_Alignof(struct qs_hash), sizeof *h);
    if (h)
        XXH3_128bits_reset(&h->state);
    return h;
}

void qs_hash_add(struct qs_hash *h, const void *p, size_t n)
{
    if (n)
        XXH3_128bits_update(&h->state, p, n);
}

struct qs_key qs_hash_end(struct qs_hash *h)
{
    struct qs_key k = key_of(XXH3_128bits_digest(&h->state));
    qs_free(h);
    return k;
}

void qs_key_hex(struct qs_key k, char out[33])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        out[i] = digits[k.hi >> (60 - 4 * i) & 15];
        out[16 + i] = digits[k.lo >> (60 - 4 * i) & 15];
    }
    out[32] = 0;
}

int qs_key_equal(struct qs_key a, struct qs_key b)
{
    return a.lo == b.lo && a.hi == b.hi;
}
