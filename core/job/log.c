/* log.c - owns the last lines of what happened: a ring that is full size from the start, so that adding never fails.
 *
 * Text of any origin is taken: what a terminal could act on is made harmless, and what is too long loses its end.
 */
#include "core/job/log.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/unicode.h"

struct qs_log {
    uint64_t added;
    struct qs_log_line line[QS_LOG_LINES]; /* number i of all ever added is at i % QS_LOG_LINES */
};

struct qs_log *qs_log_new(void)
{
    return qs_calloc(1, sizeof(struct qs_log));
}

void qs_log_free(struct qs_log *l)
{
    qs_free(l);
}

/* Copies at most n - 1 bytes, whole characters only. */
static void copy_cut(char *to, size_t n, const char *from, size_t len)
{
    size_t keep = len < n - 1 ? len : n - 1;
    if (keep < len)
        keep = qs_utf8_invalid_at(from, keep);
    memcpy(to, from, keep);
    to[keep] = 0;
}

void qs_log_add(struct qs_log *l, enum qs_log_level level, const char *fmt, ...)
{
    struct qs_str raw = QS_STR_INIT, clean = QS_STR_INIT;
    struct qs_log_line *line = &l->line[l->added % QS_LOG_LINES];
    va_list ap;
    va_start(ap, fmt);
    qs_str_addv(&raw, fmt, ap);
    va_end(ap);
    if (!raw.failed)
        qs_utf8_clean(&clean, raw.data, raw.len, 0);
    line->time = (int64_t)time(NULL);
    line->level = level;
    if (raw.failed || clean.failed)
        copy_cut(line->text, sizeof line->text, "(no memory for this line)", strlen("(no memory for this line)"));
    else
        copy_cut(line->text, sizeof line->text, clean.data, clean.len);
    l->added++;
    qs_str_free(&raw);
    qs_str_free(&clean);
}

size_t qs_log_count(const struct qs_log *l)
{
    return l->added < QS_LOG_LINES ? (size_t)l->added : QS_LOG_LINES;
}

const struct qs_log_line *qs_log_at(const struct qs_log *l, size_t i)
{
    const size_t n = qs_log_count(l);
    return i < n ? &l->line[(l->added - n + i) % QS_LOG_LINES] : NULL;
}

uint64_t qs_log_version(const struct qs_log *l)
{
    return l->added;
}
