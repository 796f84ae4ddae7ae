/* unicode.c - UTF-8: validity, width, harmless text. The only file that knows utf8proc.
 *
 * Owns the rule of what may be shown on a terminal as it is. Validity is RFC 3629 to the letter (no overlong forms,
 * no surrogates, nothing past U+10FFFF). No state: any thread may call.
 */
#include <utf8proc.h>

#include "base/unicode.h"

#define MARKS_MAX 8 /* marks on one character that are shown; real text has two or three */

/* Length of the valid character at p (n > 0 bytes left), 0 when it is invalid; *cp is set when valid. */
static size_t decode(const unsigned char *p, size_t n, uint32_t *cp)
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
        size_t k = decode(p + i, n - i, &cp);
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
    size_t k = decode((const unsigned char *)s + *pos, n - *pos, &cp);
    if (k == 0)
        cp = 0xFFFD;
    *pos += k ? k : 1;
    return cp;
}

unsigned qs_utf8_width_cp(uint32_t cp)
{
    if (cp < 0x7F)
        return cp >= 0x20;
    if (cp > 0x10FFFF)
        return 1;
    int w = utf8proc_charwidth((utf8proc_int32_t)cp);
    return w < 0 ? 0 : w > 2 ? 2 : (unsigned)w;
}

size_t qs_utf8_width(const char *s, size_t n)
{
    size_t cells = 0;
    for (size_t pos = 0; pos < n;)
        cells += qs_utf8_width_cp(qs_utf8_next(s, n, &pos));
    return cells;
}

/* The two joiners are harmless: scripts and emoji need them, and they only tie neighbours together. */
bool qs_utf8_harmless(uint32_t cp)
{
    if (cp < 0x20 || (cp >= 0x7F && cp < 0xA0))
        return false;
    if (cp < 0x80 || cp == 0x200C || cp == 0x200D)
        return true;
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF: /* direction marks and overrides, soft hyphen, tags, byte order mark */
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return false;
    default: return true;
    }
}

size_t qs_utf8_char(const char *s, size_t n, unsigned *cells)
{
    unsigned ignored, marks = 0;
    unsigned *const width = cells ? cells : &ignored;
    uint32_t cp = 0;
    *width = 0;
    if (n == 0)
        return 0;
    const size_t first = decode((const unsigned char *)s, n, &cp);
    *width = first && qs_utf8_harmless(cp) ? qs_utf8_width_cp(cp) : 1;
    if (first == 0 || !qs_utf8_harmless(cp))
        return first ? first : 1;
    size_t at = first;
    for (size_t k; at < n && marks < MARKS_MAX; at += k, marks++) {
        k = decode((const unsigned char *)s + at, n - at, &cp);
        if (k == 0 || !qs_utf8_harmless(cp) || qs_utf8_width_cp(cp) != 0)
            break;
    }
    if (*width == 0)
        *width = 1; /* a mark without a character to stand on takes a cell of its own */
    return at;
}

/* The visible form of one byte or character. All of it is ASCII, so its cells are its bytes. */
static void escape(struct qs_str *out, uint32_t cp, bool byte)
{
    if (!byte && cp == '\n')
        qs_str_add(out, "\\n");
    else if (!byte && cp == '\t')
        qs_str_add(out, "\\t");
    else if (!byte && cp == '\r')
        qs_str_add(out, "\\r");
    else if (byte || cp < 0x80)
        qs_str_addf(out, "\\x%02X", (unsigned)cp);
    else
        qs_str_addf(out, "\\u{%X}", (unsigned)cp);
}

void qs_utf8_clean(struct qs_str *out, const char *s, size_t n, size_t max_cells)
{
    struct qs_str piece = QS_STR_INIT;
    size_t cells = 0, cut = out->len; /* cut: the longest end behind which an ellipsis still fits */
    unsigned marks = 0;
    for (size_t pos = 0; pos < n && !out->failed && !piece.failed;) {
        uint32_t cp = 0xFFFD;
        const char *at = s + pos;
        size_t k = decode((const unsigned char *)at, n - pos, &cp), width = k ? qs_utf8_width_cp(cp) : 0;
        marks = k && width == 0 ? marks + 1 : 0;
        qs_str_clear(&piece);
        if (k == 0)
            escape(&piece, (unsigned char)*at, true);
        else if (!qs_utf8_harmless(cp) || marks > MARKS_MAX)
            escape(&piece, cp, false);
        const char *text = piece.len ? piece.data : at;
        size_t bytes = piece.len ? piece.len : k;
        width = piece.len ? piece.len : width;
        if (max_cells && cells + width > max_cells) {
            if (out->len > cut) {
                out->data[cut] = 0;
                out->len = cut;
            }
            qs_str_add(out, "\xE2\x80\xA6");
            break;
        }
        qs_str_addn(out, text, bytes);
        cells += width;
        if (cells < max_cells)
            cut = out->len;
        pos += k ? k : 1;
    }
    if (piece.failed)
        out->failed = true;
    qs_str_free(&piece);
}
