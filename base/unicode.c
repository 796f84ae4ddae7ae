/* unicode.c - UTF-8: width, harmless text. The only file that knows utf8proc.
 *
 * Owns the rule of what may be shown on a terminal as it is; validity is utf8.c's. No state: any thread may call.
 */
#include <utf8proc.h>

#include "base/unicode.h"
#include "base/utf8.h"

#define MARKS_MAX 8 /* marks on one character that are shown; real text has two or three */

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
    const size_t first = qs_utf8_decode((const unsigned char *)s, n, &cp);
    *width = first && qs_utf8_harmless(cp) ? qs_utf8_width_cp(cp) : 1;
    if (first == 0 || !qs_utf8_harmless(cp))
        return first ? first : 1;
    size_t at = first;
    for (size_t k; at < n && marks < MARKS_MAX; at += k, marks++) {
        k = qs_utf8_decode((const unsigned char *)s + at, n - at, &cp);
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
        size_t k = qs_utf8_decode((const unsigned char *)at, n - pos, &cp), width = k ? qs_utf8_width_cp(cp) : 0;
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

uint32_t qs_utf8_upper(uint32_t cp)
{
    return (uint32_t)utf8proc_toupper((utf8proc_int32_t)cp);
}

uint32_t qs_utf8_lower(uint32_t cp)
{
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
}

const char *qs_utf8_category(uint32_t cp)
{
    return utf8proc_category_string((utf8proc_int32_t)cp);
}
