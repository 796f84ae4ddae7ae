/* report_bench.h - a bench as tables, and two of them side by side. */
#ifndef QS_CORE_REPORT_BENCH_H
#define QS_CORE_REPORT_BENCH_H

#include "core/eval/bench.h"
#include "core/report/table.h"

/* NULL: out of memory. Facts "bench", tables "models", "limits". Numbers: with `data` (for programs) one table "numbers",
 * else a table for each part. */
struct qs_report *qs_report_bench(const struct qs_bench *b, bool data);

/* Facts "a", "b", tables "limits", "numbers": those that both have, with ratios. */
struct qs_report *qs_report_bench_compare(const struct qs_bench *a, const struct qs_bench *b, bool data);

#endif
