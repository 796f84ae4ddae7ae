/* overlap.c - shingles of 64 bytes, rolling hashes, a set of them. Memory: at most 64 MiB. */
#include "core/eval/overlap.h"

#include <string.h>

#include "base/mem.h"

#define MOST ((size_t)1 << 22)  /* shingles of the other text that are kept */
#define FACTOR 0x9E3779B97F4A7C15u

/* Bytes of a text as they are compared. */
struct reader { const unsigned char *p, *end; bool blank; };

static int next_byte(struct reader *r)
{
    while (r->p < r->end) {
        unsigned char c = *r->p++;
        const bool blank = c == ' ' || (c >= '\t' && c <= '\r');
        if (blank && r->blank)
            continue;
        r->blank = blank;
        if (c >= 'A' && c <= 'Z')
            c = (unsigned char)(c + 32);
        return blank ? ' ' : c;
    }
    return -1;
}

struct roll { struct reader r; unsigned char ring[QS_SHINGLE]; size_t n; uint64_t hash, out_factor; };

static void roll_start(struct roll *x, const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    *x = (struct roll){ .r = { p, p + n, true }, .out_factor = 1 };
    for (int i = 0; i < QS_SHINGLE; i++)
        x->out_factor *= FACTOR;
}

static uint64_t mix(uint64_t h) /* the low bits of a polynomial are poor: spread (splitmix64's last steps) */
{
    h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9u;
    h = (h ^ (h >> 27)) * 0x94D049BB133111EBu;
    h ^= h >> 31;
    return h ? h : 1;
}

/* The next shingle's hash, never 0; false at the end. */
static bool roll_next(struct roll *x, uint64_t *hash)
{
    int c;
    while ((c = next_byte(&x->r)) >= 0) {
        unsigned char *slot = &x->ring[x->n % QS_SHINGLE];
        const uint64_t gone = x->n >= QS_SHINGLE ? (uint64_t)*slot + 1 : 0;
        x->hash = x->hash * FACTOR + (uint64_t)c + 1 - gone * x->out_factor;
        *slot = (unsigned char)c;
        if (++x->n >= QS_SHINGLE) {
            *hash = mix(x->hash);
            return true;
        }
    }
    return false;
}

struct set { uint64_t *slot; size_t mask; };

static bool set_find(const struct set *s, uint64_t h, bool add)
{
    size_t i = (size_t)(h >> 20) & s->mask;
    while (s->slot[i] && s->slot[i] != h)
        i = (i + 1) & s->mask;
    const bool found = s->slot[i] == h;
    if (add)
        s->slot[i] = h;
    return found;
}

int qs_overlap(const char *text, size_t n, const char *other, size_t n_other, struct qs_overlap *out, struct qs_err *e)
{
    struct roll x;
    uint64_t h, every = 1;
    size_t slots = 1024;
    *out = (struct qs_overlap){ 0 };
    while (n_other / every > MOST / 2 && n / (every * 2) >= 65536)
        every *= 2;
    while (slots < n_other / every * 2)
        slots *= 2;
    struct set s = { qs_calloc(slots, sizeof *s.slot), slots - 1 };
    if (!s.slot)
        return qs_fail_mem(e, slots * sizeof *s.slot, "the comparison of two texts");
    size_t kept = 0;
    roll_start(&x, other, n_other);
    while (roll_next(&x, &h))
        if (h % every == 0 && kept < slots / 4 * 3) /* hashes of a hostile text may all be of this share */
            kept += !set_find(&s, h, true);
    roll_start(&x, text, n);
    while (roll_next(&x, &h))
        if (h % every == 0) {
            out->shingles++;
            out->found += set_find(&s, h, false);
        }
    out->sampled = every > 1;
    out->share = out->shingles ? (double)out->found / (double)out->shingles : 0;
    qs_free(s.slot);
    return QS_OK;
}
