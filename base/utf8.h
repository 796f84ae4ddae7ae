/* utf8.h - one character of UTF-8, for the files of this folder. Everybody else: unicode.h. */
#ifndef QS_BASE_UTF8_H
#define QS_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length of the valid character at p (n > 0 bytes left), 0 when it is invalid; *cp is set when valid. */
size_t qs_utf8_decode(const unsigned char *p, size_t n, uint32_t *cp);

#endif
