/* err.c - errors as values: one code and one line of text.
 *
 * Owns the text rules of a message: UTF-8, no control characters, cut at a character and not inside one.
 * Refuses nothing and allocates nothing, so it works when memory is out. No shared state: any thread may call.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

/* Length of the UTF-8 character at p (at most `left` bytes), 0 when the bytes are not one. Lax about overlongs of
 * three and four bytes: a message only has to be shown. */
static size_t char_length(const unsigned char *p, size_t left)
{
    size_t need = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
    if (need == 0 || need > left)
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return need;
}

/* Makes the text one harmless line; a character cut off at the end by the size of the buffer is dropped. */
static void tidy(char *text, bool cut)
{
    size_t n = strlen(text);
    unsigned char *p = (unsigned char *)text;
    for (size_t i = 0; i < n;) {
        size_t k = char_length(p + i, n - i);
        if (k == 0 && cut && n - i < 4 && p[i] >= 0xC2) {
            p[i] = 0;
            return;
        }
        if (k == 0 || p[i] < 0x20 || p[i] == 0x7F || (p[i] == 0xC2 && p[i + 1] < 0xA0)) {
            for (size_t j = 0; j < (k ? k : 1); j++)
                p[i + j] = '?';
        }
        i += k ? k : 1;
    }
}

static void put_line(struct qs_err *e, const char *text)
{
    size_t n = strlen(text);
    bool cut = n >= sizeof e->msg;
    if (cut)
        n = sizeof e->msg - 1;
    memcpy(e->msg, text, n);
    e->msg[n] = 0;
    tidy(e->msg, cut);
}

static int fail(struct qs_err *e, enum qs_code code, enum qs_advice advice, const char *fmt, va_list ap) QS_PRINTF(4, 0);

static int fail(struct qs_err *e, enum qs_code code, enum qs_advice advice, const char *fmt, va_list ap)
{
    if (!e)
        return (int)code;
    /* Formatted beside it first: the arguments may point into e->msg. */
    char line[QS_ERR_MAX + 8];
    if (vsnprintf(line, sizeof line, fmt, ap) < 0)
        line[0] = 0;
    e->code = code;
    e->advice = advice;
    put_line(e, line);
    return (int)code;
}

int qs_fail(struct qs_err *e, enum qs_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int rc = fail(e, code, QS_ADVISE_NONE, fmt, ap);
    va_end(ap);
    return rc;
}

int qs_fail_advise(struct qs_err *e, enum qs_code code, enum qs_advice advice, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int rc = fail(e, code, advice, fmt, ap);
    va_end(ap);
    return rc;
}

static enum qs_code code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT: return QS_ENOSPACE;
    case ENOMEM: return QS_ENOMEM;
    case ENOENT: return QS_ENOTFOUND;
    default: return QS_EIO;
    }
}

/* strerror_r has two shapes; this takes either. */
static const char *errno_text(int errnum, char *buf, size_t n)
{
    buf[0] = 0;
#if defined(__GLIBC__) && defined(_GNU_SOURCE)
    return strerror_r(errnum, buf, n);
#else
    if (strerror_r(errnum, buf, n) != 0)
        (void)snprintf(buf, n, "error %d", errnum);
    return buf;
#endif
}

int qs_fail_errno(struct qs_err *e, int errnum, const char *fmt, ...)
{
    enum qs_code code = code_of_errno(errnum);
    if (!e)
        return (int)code;
    char why[128];
    const char *reason = errno_text(errnum, why, sizeof why);
    char line[QS_ERR_MAX];
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(line, sizeof line, fmt, ap) < 0)
        line[0] = 0;
    va_end(ap);
    /* A long path must not push the reason out. */
    size_t room = sizeof e->msg - 3 - strlen(reason);
    bool cut = strlen(line) > room;
    if (cut)
        line[room] = 0;
    tidy(line, cut);
    return qs_fail(e, code, "%s: %s", line, reason);
}

int qs_fail_mem(struct qs_err *e, unsigned long long bytes, const char *what)
{
    return qs_fail(e, QS_ENOMEM, "out of memory: %llu bytes for %s", bytes, what);
}

int qs_err_prefix(struct qs_err *e, const char *fmt, ...)
{
    if (!e)
        return QS_OK;
    char line[2 * QS_ERR_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, QS_ERR_MAX, fmt, ap);
    va_end(ap);
    if (n < 0)
        line[0] = 0;
    size_t len = strlen(line);
    (void)snprintf(line + len, sizeof line - len, ": %s", e->msg);
    put_line(e, line);
    return (int)e->code;
}

const char *qs_code_name(enum qs_code code)
{
    static const char *const names[] = {
        [QS_OK] = "ok",           [QS_ENOMEM] = "memory",     [QS_EIO] = "io",
        [QS_EFORMAT] = "format",  [QS_EUNSUPPORTED] = "unsupported", [QS_EINVAL] = "invalid",
        [QS_ENOTFOUND] = "not-found", [QS_EEXISTS] = "exists", [QS_EBUSY] = "busy",
        [QS_ENOSPACE] = "no-space", [QS_ECANCELLED] = "cancelled", [QS_ELIMIT] = "limit",
    };
    size_t i = (size_t)code;
    return i < sizeof names / sizeof names[0] ? names[i] : "unknown";
}
