/* text.h - making text fit: words to a line, names shortened in the middle, ASCII where the locale has no more. */
#ifndef QS_BASE_TEXT_H
#define QS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include "base/str.h"

/* Whether text may hold more than ASCII: what the locale as it was set (setlocale) can print, whatever its name. */
bool qs_locale_utf8(void);

/* Harmless text (base/unicode.h); in ASCII mode what is not ASCII becomes \u{...}, and an ellipsis two points. */
void qs_text_clean(struct qs_str *out, const char *s, bool ascii);

/* Appends clean text of at most `cells` cells: both ends are kept, the start more of it, a mark stands for the middle;
 * of a tensor's name the common ".weight" goes first. */
void qs_text_shorten(struct qs_str *out, const char *s, size_t cells, bool ascii);

/* Bytes of the first line of clean text broken at blanks to `width` cells (0: no limit), at most up to a \n; a word
 * that is wider than a line is cut there if `split`, else it stands alone, too wide. At least one character where there
 * is one. */
size_t qs_text_line(const char *text, size_t width, bool split);
/* The same of `len` bytes that may hold any and are drawn character by character (qs_utf8_char): a 0 is one of them.
 * With `split` no more is looked at than fills a line. */
size_t qs_text_line_n(const char *text, size_t len, size_t width, bool split);

#endif
