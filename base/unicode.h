/* unicode.h - UTF-8: validity, width, harmless text; the only file that knows utf8proc. */
#ifndef QS_BASE_UNICODE_H
#define QS_BASE_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/str.h"

/* Offset of the first invalid byte, or n when all of it is valid UTF-8 (RFC 3629: no surrogates, no overlongs). */
size_t qs_utf8_invalid_at(const char *s, size_t n);
/* Next code point at *pos (advances it); invalid bytes give U+FFFD and advance by one. */
uint32_t qs_utf8_next(const char *s, size_t n, size_t *pos);
unsigned qs_utf8_width_cp(uint32_t cp);          /* terminal cells: 0, 1 or 2 */
size_t qs_utf8_width(const char *s, size_t n);   /* cells of a whole string */
/* Bytes of the first character as people see it: a code point and the marks that combine with it (at most 8). *cells
 * (may be NULL): its cells; an invalid byte or a control character is 1 byte, or code point, of 1 cell. 0 only for n ==
 * 0. */
size_t qs_utf8_char(const char *s, size_t n, unsigned *cells);
/* Whether a terminal does nothing with the code point but draw it: no control character, no direction mark. */
bool qs_utf8_harmless(uint32_t cp);
/* Appends s with everything a terminal could act on made harmless: C0, DEL, C1, bidi controls and invalid bytes become
 * visible escapes (\n, \t, \xNN, \u{...}). Stops with an ellipsis after max_cells cells (0: no limit). */
void qs_utf8_clean(struct qs_str *out, const char *s, size_t n, size_t max_cells);

/* Case of one code point by Unicode's simple mapping (itself where there is none). */
uint32_t qs_utf8_upper(uint32_t cp);
uint32_t qs_utf8_lower(uint32_t cp);
/* The general category: two letters ("Lu", "Nd", "Zs" ...). */
const char *qs_utf8_category(uint32_t cp);

#endif
