/* report_quantize.c - the table of a finished quantization. */
#include "core/report/report_quantize.h"

#include <math.h>

#include "base/file.h"

static const struct qs_column columns[] = {
    { .key = "name", .title = "tensor", .left = true },
    { .key = "from", .title = "from", .left = true },
    { .key = "to", .title = "to", .left = true },
    { .key = "bytes", .title = "size", .unit = QS_UNIT_BYTES },
    { .key = "error", .title = "rel. RMS error", .unit = QS_UNIT_PERCENT },
    { .key = "max_error", .title = "largest error", .digits = 3, .optional = true },
    { .key = "weighted_error", .title = "weighted error", .unit = QS_UNIT_PERCENT, .optional = true },
    { .key = "copied", .title = "copied", .optional = true },
};
enum { C_NAME, C_FROM, C_TO, C_BYTES, C_ERROR, C_MAX, C_WEIGHTED, C_COPIED };

static void add_row(struct qs_section *s, const struct qs_encoding *enc, const struct qs_writer_tensor *t)
{
    const struct qs_format *to = qs_format_by_id(enc->type);
    qs_row(s);
    qs_cell_str(s, C_NAME, enc->tensor->name);
    qs_cell_str(s, C_FROM, enc->tensor->format ? enc->tensor->format->name : "?");
    qs_cell_str(s, C_TO, to ? to->name : "?");
    qs_cell_int(s, C_BYTES, (int64_t)enc->bytes);
    qs_cell_bool(s, C_COPIED, t->copied);
    if (t->copied)
        return;
    qs_cell_num(s, C_ERROR, qs_error_rms(&t->sums));
    qs_cell_how(s, C_ERROR, QS_HOW_WHOLE, 0);
    qs_cell_num(s, C_MAX, t->sums.max_abs);
    qs_cell_num(s, C_WEIGHTED, t->sums.wref2 > 0 ? sqrt(t->sums.werr2 / t->sums.wref2) : NAN);
}

struct qs_report *qs_report_quantize(const struct qs_plan *plan, const struct qs_writer_result *x, bool tensors)
{
    struct qs_report *r = qs_report_new("quantize");
    if (!r)
        return NULL;
    struct qs_section *f = qs_report_facts(r, "result", "Written");
    qs_fact_str(f, "file", "file", x->file[0]);
    qs_fact_int(f, "files", "files", x->n_files, QS_UNIT_NONE);
    qs_fact_str(f, "preset", "preset", plan->recipe->preset->name);
    if (plan->store) {
        qs_fact_str(f, "calibrated", "calibrated by", qs_path_base(qs_store_path(plan->store)));
        qs_fact_int(f, "calibrated_tensors", "calibrated tensors", (int64_t)plan->n_stored, QS_UNIT_NONE);
    }
    qs_fact_int(f, "bytes", x->n_files > 1 ? "size of the files" : "size of the file", (int64_t)x->bytes, QS_UNIT_BYTES);
    qs_fact_int(f, "tensor_bytes", "tensors of the result", (int64_t)plan->bytes, QS_UNIT_BYTES);
    qs_fact_int(f, "source_bytes", "tensors of the source", (int64_t)plan->source_bytes, QS_UNIT_BYTES);
    qs_fact_num(f, "bpw", "bits per weight", plan->bpw, QS_UNIT_BPW, QS_HOW_EXACT);
    if (x->total.n)
        qs_fact_num(f, "error", "relative RMS error of what was encoded", qs_error_rms(&x->total), QS_UNIT_PERCENT,
                    QS_HOW_WHOLE);
    qs_fact_num(f, "seconds", "time", x->seconds, QS_UNIT_SECONDS, QS_HOW_MEASURED);
    if (x->resumed_bytes)
        qs_fact_int(f, "resumed_bytes", "found done by an earlier run", (int64_t)x->resumed_bytes, QS_UNIT_BYTES);
    if (x->n_files > 1) {
        static const struct qs_column names[] = { { .key = "file", .title = "file", .left = true } };
        struct qs_section *s = qs_report_table(r, "files", "Files", names, 1);
        for (unsigned i = 0; i < x->n_files; i++) {
            qs_row(s);
            qs_cell_str(s, 0, x->file[i]);
        }
    }
    if (!tensors)
        return r;
    struct qs_section *s = qs_report_table(r, "tensors", "Tensors", columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < plan->n; i++)
        add_row(s, &plan->enc[i], &x->tensor[i]);
    qs_section_note(s, "Relative RMS error = sqrt(sum (w - w')^2 / sum w^2) against the source file, over every weight encoded; "
                    "copied tensors have none.");
    return r;
}
