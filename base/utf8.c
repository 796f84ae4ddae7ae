/* utf8.c - what is valid UTF-8, to the letter of RFC 3629 (no overlong forms, no surrogates, nothing past U+10FFFF).
 *
 * Needs no library. No state: any thread may call.
 */
#include "base/unicode.h"
#include "base/utf8.h"

size_t qs_utf8_decode(const unsigned char *p, size_t n, uint32_t *cp)
{
    unsigned char a = p[0];
    if (a < 0x80) {
        *cp = a;
        return 1;
    }
    size_t len = a < 0xC2 ? 0 : a < 0xE0 ? 2 : a < 0xF0 ? 3 : a < 0xF5 ? 4 : 0;
    if (len == 0 || len > n)
        return 0;
    /* The second byte's range says it all: it excludes overlongs, surrogates and what is past U+10FFFF. */
    unsigned char low = a == 0xE0 ? 0xA0 : a == 0xF0 ? 0x90 : 0x80;
    unsigned char high = a == 0xED ? 0x9F : a == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high)
        return 0;
    uint32_t v = a & (0x7Fu >> len);
    v = v << 6 | (p[1] & 0x3Fu);
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        v = v << 6 | (p[i] & 0x3Fu);
    }
    *cp = v;
    return len;
}

size_t qs_utf8_invalid_at(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t k = qs_utf8_decode(p + i, n - i, &cp);
        if (k == 0)
            return i;
        i += k;
    }
    return n;
}

uint32_t qs_utf8_next(const char *s, size_t n, size_t *pos)
{
    uint32_t cp = 0xFFFD;
    if (*pos >= n)
        return cp;
    size_t k = qs_utf8_decode((const unsigned char *)s + *pos, n - *pos, &cp);
    if (k == 0)
        cp = 0xFFFD;
    *pos += k ? k : 1;
    return cp;
}
