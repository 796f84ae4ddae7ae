/* str.h - a growing byte string with a sticky failure.
 *
 * Append freely and look at `failed` once at the end. `data` is always terminated (never NULL after init).
 */
#ifndef QS_BASE_STR_H
#define QS_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include "base/ascii.h"
#include "base/err.h"

struct qs_str {
    char *data;
    size_t len, cap;
    bool failed; /* an allocation failed; the content is a prefix of what was asked for */
};

#define QS_STR_INIT { (char *)"", 0, 0, false }

void qs_str_free(struct qs_str *s);  /* back to QS_STR_INIT */
void qs_str_clear(struct qs_str *s); /* keeps the memory */
void qs_str_add(struct qs_str *s, const char *text);
void qs_str_addn(struct qs_str *s, const void *bytes, size_t n);
void qs_str_addc(struct qs_str *s, char c);
void qs_str_addf(struct qs_str *s, const char *fmt, ...) QS_PRINTF(2, 3);
void qs_str_addv(struct qs_str *s, const char *fmt, va_list ap) QS_PRINTF(2, 0);
char *qs_str_take(struct qs_str *s); /* hands over an allocated string (qs_free), NULL if failed; s is reset */

/* Sizes for people: "5.44 MiB", "812 B" (powers of 1024). buf of >= 24 bytes. Returns buf. */
const char *qs_fmt_bytes(char *buf, size_t n, unsigned long long bytes);
/* "3.12": so many decimals. Zero is "0", what is too small for them "<0.01", NaN "-". buf of QS_FMT_MAX bytes. */
#define QS_FMT_MAX 48
const char *qs_fmt_fixed(char *buf, size_t n, double value, int decimals);
/* A share as percent, likewise: 0.0312 -> "3.12%". */
const char *qs_fmt_percent(char *buf, size_t n, double share, int decimals);
/* "4.25GiB", "800 MiB", "1024", "8G" -> bytes. K/M/G/T and KiB.. are powers of 1024, KB.. powers of 1000. */
int qs_parse_bytes(const char *text, unsigned long long *out, struct qs_err *e);
/* Durations for people: "3.2 s", "4 min 10 s", "2 h 05 min". */
const char *qs_fmt_seconds(char *buf, size_t n, double seconds);

#endif
