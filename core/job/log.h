/* log.h - what happened, in order: the last lines, each with its time and weight. One thread. */
#ifndef QS_CORE_LOG_H
#define QS_CORE_LOG_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

#define QS_LOG_LINES 2000 /* kept; older ones go */

enum qs_log_level { QS_LOG_NOTE, QS_LOG_WARNING, QS_LOG_ERROR };

struct qs_log_line { int64_t time; /* seconds since 1970 */ enum qs_log_level level; char text[QS_ERR_MAX]; };

struct qs_log;

struct qs_log *qs_log_new(void); /* NULL: out of memory */
void qs_log_free(struct qs_log *l);
void qs_log_add(struct qs_log *l, enum qs_log_level level, const char *fmt, ...) QS_PRINTF(3, 4);
size_t qs_log_count(const struct qs_log *l);                          /* lines kept */
const struct qs_log_line *qs_log_at(const struct qs_log *l, size_t i); /* 0: the oldest kept */
uint64_t qs_log_version(const struct qs_log *l);                      /* lines ever added */

#endif
