/* str.c - a growing byte string, and the few ways sizes and times are said and read.
 *
 * Owns the memory behind struct qs_str. The first failed allocation sticks: later appends do nothing. Sizes and
 * times are put together from integers; other numbers go by LC_NUMERIC, which the program leaves as it is in C. No
 * shared state.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static const struct qs_str empty = QS_STR_INIT;

void qs_str_free(struct qs_str *s)
{
    if (s->cap)
        qs_free(s->data);
    *s = empty;
}

void qs_str_clear(struct qs_str *s)
{
    if (s->cap)
        s->data[0] = 0;
    else
        s->data = empty.data;
    s->len = 0;
    s->failed = false;
}

/* Room for n more bytes and the terminator. */
static bool reserve(struct qs_str *s, size_t n)
{
    if (s->failed)
        return false;
    if (s->cap > s->len && n < s->cap - s->len)
        return true;
    size_t need = 0;
    char *data = s->cap ? s->data : NULL;
    if (__builtin_add_overflow(s->len, n, &need) || need == SIZE_MAX || !qs_grow(&data, &s->cap, need + 1, 1)) {
        s->failed = true;
        return false;
    }
    s->data = data;
    s->data[s->len] = 0;
    return true;
}

void qs_str_addn(struct qs_str *s, const void *bytes, size_t n)
{
    if (n == 0)
        return;
    /* A piece of the string itself may be appended: its place is noted before the memory moves. */
    uintptr_t from = (uintptr_t)bytes, base = (uintptr_t)s->data;
    bool own = s->cap && from >= base && from < base + s->cap;
    if (!reserve(s, n))
        return;
    memmove(s->data + s->len, own ? s->data + (from - base) : bytes, n);
    s->len += n;
    s->data[s->len] = 0;
}

void qs_str_add(struct qs_str *s, const char *text)
{
    qs_str_addn(s, text, strlen(text));
}

void qs_str_addc(struct qs_str *s, char c)
{
    qs_str_addn(s, &c, 1);
}

void qs_str_addv(struct qs_str *s, const char *fmt, va_list ap)
{
    char small[256];
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    if (n >= 0 && (size_t)n < sizeof small) {
        qs_str_addn(s, small, (size_t)n);
    } else if (n < 0) {
        s->failed = true;
    } else {
        /* Formatted beside the string: arguments may point into it. */
        char *big = qs_malloc((size_t)n + 1);
        if (big && vsnprintf(big, (size_t)n + 1, fmt, again) == n)
            qs_str_addn(s, big, (size_t)n);
        else
            s->failed = true;
        qs_free(big);
    }
    va_end(again);
}

void qs_str_addf(struct qs_str *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    qs_str_addv(s, fmt, ap);
    va_end(ap);
}

char *qs_str_take(struct qs_str *s)
{
    char *p = NULL;
    if (!s->failed)
        p = s->cap ? s->data : qs_strdup("");
    if (p != s->data)
        qs_str_free(s);
    *s = empty;
    return p;
}

const char *qs_fmt_bytes(char *buf, size_t n, unsigned long long bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    if (bytes < 1024) {
        (void)snprintf(buf, n, "%llu B", bytes);
        return buf;
    }
    size_t u = 0;
    double v = (double)bytes;
    /* 1023.5 KiB would be printed as 1024: it is the next unit already. */
    while (v >= 1023.5 && u + 1 < sizeof units / sizeof units[0]) {
        v /= 1024;
        u++;
    }
    unsigned long long hundredths = (unsigned long long)(v * 100 + 0.5), tenths = (unsigned long long)(v * 10 + 0.5);
    if (hundredths < 1000)
        (void)snprintf(buf, n, "%llu.%02llu %s", hundredths / 100, hundredths % 100, units[u]);
    else if (tenths < 1000)
        (void)snprintf(buf, n, "%llu.%llu %s", tenths / 10, tenths % 10, units[u]);
    else
        (void)snprintf(buf, n, "%llu %s", (unsigned long long)(v + 0.5), units[u]);
    return buf;
}

const char *qs_fmt_fixed(char *buf, size_t n, double value, int decimals)
{
    double least = 1;
    for (int i = 0; i < decimals; i++)
        least /= 10;
    if (isnan(value))
        (void)snprintf(buf, n, "-");
    else if (isinf(value))
        (void)snprintf(buf, n, value < 0 ? "-inf" : "inf");
    else if (!(value < 0 || value > 0))
        (void)snprintf(buf, n, "0");
    else if (fabs(value) < least / 2)
        (void)snprintf(buf, n, "<%.*f", decimals, least);
    else
        (void)snprintf(buf, n, fabs(value) < 1e15 ? "%.*f" : "%.*e", decimals, value);
    return buf;
}

const char *qs_fmt_percent(char *buf, size_t n, double share, int decimals)
{
    (void)qs_fmt_fixed(buf, n, 100 * share, decimals);
    const size_t len = strlen(buf);
    if (isfinite(share) && len + 1 < n)
        memcpy(buf + len, "%", 2);
    return buf;
}

/* The factor of a unit as written after a size; 0 when it is none. */
static unsigned long long unit_factor(const char *unit)
{
    static const char letters[] = "KMGTPE";
    if (unit[0] == 0 || qs_ascii_equal(unit, "B"))
        return 1;
    unsigned long long two = 1, ten = 1;
    for (size_t i = 0; letters[i]; i++) {
        two *= 1024;
        ten *= 1000;
        if ((unit[0] & ~0x20) != letters[i])
            continue;
        if (unit[1] == 0 || qs_ascii_equal(unit + 1, "iB") || qs_ascii_equal(unit + 1, "i"))
            return two;
        if (qs_ascii_equal(unit + 1, "B"))
            return ten;
    }
    return 0;
}

int qs_parse_bytes(const char *text, unsigned long long *out, struct qs_err *e)
{
    const char *p = text;
    unsigned long long whole = 0, bytes = 0;
    double fraction = 0, place = 1;
    bool digits = false, fits = true;
    while (*p == ' ')
        p++;
    for (; *p >= '0' && *p <= '9'; p++, digits = true)
        fits = fits && !__builtin_mul_overflow(whole, 10ULL, &whole) &&
               !__builtin_add_overflow(whole, (unsigned long long)(*p - '0'), &whole);
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9'; p++, digits = true)
            fraction += (*p - '0') * (place /= 10);
    while (*p == ' ')
        p++;
    unsigned long long factor = unit_factor(p);
    if (!digits || factor == 0)
        return qs_fail(e, QS_EINVAL, "'%s' is not a size: write it like 4.25GiB, 800MiB or 1024", text);
    fits = fits && !__builtin_mul_overflow(whole, factor, &bytes) &&
           !__builtin_add_overflow(bytes, (unsigned long long)(fraction * (double)factor + 0.5), &bytes);
    if (!fits)
        return qs_fail(e, QS_EINVAL, "the size '%s' is too large", text);
    *out = bytes;
    return QS_OK;
}

const char *qs_fmt_seconds(char *buf, size_t n, double seconds)
{
    if (!(seconds >= 0) || isinf(seconds) || seconds > 1e15) {
        (void)snprintf(buf, n, "-");
        return buf;
    }
    unsigned long long tenths = (unsigned long long)(seconds * 10 + 0.5), s = (unsigned long long)(seconds + 0.5);
    if (tenths < 600)
        (void)snprintf(buf, n, "%llu.%llu s", tenths / 10, tenths % 10);
    else if (s < 3600)
        (void)snprintf(buf, n, "%llu min %02llu s", s / 60, s % 60);
    else if (s < 100 * 3600)
        (void)snprintf(buf, n, "%llu h %02llu min", s / 3600, s % 3600 / 60);
    else
        (void)snprintf(buf, n, "%llu d %02llu h", s / 86400, s % 86400 / 3600);
    return buf;
}
