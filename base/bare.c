/* bare.c - what the engine needs of the wrapped libraries, where there are none (--enable-kernels-only).
 *
 * Takes the place of unicode.c and hash.c. Text is made harmless by showing nothing but ASCII; keys are two 64-bit
 * FNV-1a hashes (offsets differ), which are other keys than those of the whole program: nothing keeps them.
 */
#include "base/hash.h"
#include "base/mem.h"
#include "base/unicode.h"
#include "base/utf8.h"

#define FNV_PRIME 0x100000001b3u
#define FNV_START 0xcbf29ce484222325u
#define OTHER_START 0x84222325cbf29ce4u

/* ---- text ---- */

void qs_utf8_clean(struct qs_str *out, const char *s, size_t n, size_t max_cells)
{
    struct qs_str piece = QS_STR_INIT;
    size_t cells = 0;
    for (size_t pos = 0; pos < n && !out->failed && !piece.failed;) {
        const size_t at = pos;
        const uint32_t cp = qs_utf8_next(s, n, &pos);
        qs_str_clear(&piece);
        if (cp >= 0x20 && cp < 0x7F)
            qs_str_addc(&piece, (char)cp);
        else if (cp == 0xFFFD && pos == at + 1)
            qs_str_addf(&piece, "\\x%02X", (unsigned)(unsigned char)s[at]);
        else
            qs_str_addf(&piece, cp < 0x80 ? "\\x%02X" : "\\u{%X}", (unsigned)cp);
        if (max_cells && cells + piece.len + 3 > max_cells && pos < n) {
            qs_str_add(out, "...");
            break;
        }
        qs_str_addn(out, piece.data, piece.len);
        cells += piece.len;
    }
    out->failed = out->failed || piece.failed;
    qs_str_free(&piece);
}

/* ---- keys ---- */

struct qs_hash {
    struct qs_key now;
};

static struct qs_key more(struct qs_key k, const void *p, size_t n)
{
    const unsigned char *byte = p;
    for (size_t i = 0; i < n; i++) {
        k.lo = (k.lo ^ byte[i]) * FNV_PRIME;
        k.hi = (k.hi ^ byte[i]) * FNV_PRIME;
    }
    return k;
}

static const struct qs_key start = { .lo = FNV_START, .hi = OTHER_START };

struct qs_key qs_hash_bytes(const void *p, size_t n) { return more(start, p, n); }

struct qs_hash *qs_hash_new(void)
{
    struct qs_hash *h = qs_malloc(sizeof *h);
    if (h)
        h->now = start;
    return h;
}

void qs_hash_add(struct qs_hash *h, const void *p, size_t n) { h->now = more(h->now, p, n); }

struct qs_key qs_hash_end(struct qs_hash *h)
{
    const struct qs_key k = h->now;
    qs_free(h);
    return k;
}
