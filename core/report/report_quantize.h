/* report_quantize.h - what a finished quantization wrote, and the error of every tensor. */
#ifndef QS_CORE_REPORT_QUANTIZE_H
#define QS_CORE_REPORT_QUANTIZE_H

#include "core/quant/writer.h"
#include "core/report/table.h"

/* Facts (files, bytes, bpw, error, time) and, with `tensors`, one row per tensor. NULL: out of memory. Errors are relative RMS errors
 * against the source file, measured on every weight that was encoded. */
struct qs_report *qs_report_quantize(const struct qs_plan *plan, const struct qs_writer_result *result, bool tensors);

#endif
