/* report_plan.c - a plan as tables. Owns nothing; the report owns copies of all strings. Any thread. */
#include "core/report/report_plan.h"

#include <math.h>

#include "base/file.h"

static const struct qs_column type_columns[] = {
    { .key = "type", .title = "type", .left = true },
    { .key = "tensors", .title = "tensors", .unit = QS_UNIT_COUNT },
    { .key = "weights", .title = "weights", .unit = QS_UNIT_WEIGHTS },
    { .key = "bytes", .title = "size", .unit = QS_UNIT_BYTES },
    { .key = "share", .title = "share", .unit = QS_UNIT_PERCENT, .digits = -1 },
};

static const struct qs_column warning_columns[] = { { .key = "warning", .title = "warning", .left = true } };

static void add_facts(struct qs_report *r, const struct qs_plan *p, const struct qs_writer_forecast *w)
{
    struct qs_section *f = qs_report_facts(r, "plan", "Plan");
    qs_fact_str(f, "source", "source", p->model->path ? qs_path_base(p->model->path) : "");
    qs_fact_str(f, "preset", "preset", p->recipe->preset->name);
    if (p->store) {
        qs_fact_str(f, "calibrated", "calibrated by", qs_path_base(qs_store_path(p->store)));
        qs_fact_int(f, "calibrated_tensors", "calibrated tensors", (int64_t)p->n_stored, QS_UNIT_NONE);
    }
    qs_fact_int(f, "tensors", "tensors", (int64_t)p->n, QS_UNIT_NONE);
    qs_fact_int(f, "weights", "weights", (int64_t)p->model->n_weights, QS_UNIT_WEIGHTS);
    qs_fact_int(f, "source_bytes", "tensors of the source", (int64_t)p->source_bytes, QS_UNIT_BYTES);
    qs_fact_int(f, "bytes", "tensors of the result", (int64_t)p->bytes, QS_UNIT_BYTES);
    if (w) {
        qs_fact_int(f, "file_bytes", w->n_files > 1 ? "files" : "file", (int64_t)w->bytes, QS_UNIT_BYTES);
        qs_fact_int(f, "files", "number of files", w->n_files, QS_UNIT_NONE);
    }
    qs_fact_num(f, "bpw", "bits per weight", p->bpw, QS_UNIT_BPW, QS_HOW_EXACT);
    qs_fact_num(f, "ratio", "share of the source", p->source_bytes ? (double)p->bytes / (double)p->source_bytes : NAN,
                QS_UNIT_PERCENT, QS_HOW_EXACT);
    if (w)
        qs_fact_int(f, "peak_memory", "private memory needed", (int64_t)w->memory, QS_UNIT_BYTES);
    if (w && w->free_disk) {
        qs_fact_int(f, "free_disk", "free disk", (int64_t)w->free_disk, QS_UNIT_BYTES);
        qs_fact_bool(f, "fits_disk", "fits the disk", w->claim <= w->free_disk); /* an unfinished run holds the rest */
    }
    qs_fact_bool(f, "writable", "quantize would start", p->blocker.code == QS_OK);
    qs_fact_int(f, "warnings", "warnings", (int64_t)p->n_warnings, QS_UNIT_NONE);
    qs_section_note(f, "Nothing has been written. Memory is a prediction; file-backed pages are not counted.");
}

static void add_type_row(struct qs_section *s, const struct qs_plan *p, const char *name, int id)
{
    int64_t tensors = 0, weights = 0, bytes = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (id == QS_TYPE_NONE ? qs_format_by_id(p->enc[i].type) != NULL : p->enc[i].type != id)
            continue;
        tensors++;
        weights += (int64_t)p->enc[i].tensor->n;
        bytes += (int64_t)p->enc[i].bytes;
    }
    if (!tensors)
        return;
    qs_row(s);
    qs_cell_str(s, 0, name);
    qs_cell_int(s, 1, tensors);
    qs_cell_int(s, 2, weights);
    qs_cell_int(s, 3, bytes);
    qs_cell_num(s, 4, p->bytes ? (double)bytes / (double)p->bytes : NAN);
}

static void add_types(struct qs_report *r, const struct qs_plan *p)
{
    struct qs_section *s = qs_report_table(r, "types", "Types of the result", type_columns,
                                           sizeof type_columns / sizeof *type_columns);
    for (size_t i = 0; i < qs_format_count(); i++)
        add_type_row(s, p, qs_format_at(i)->name, qs_format_at(i)->id);
    add_type_row(s, p, "unknown", QS_TYPE_NONE);
}

struct qs_report *qs_report_plan(const struct qs_plan *p, const struct qs_choice_view *v, const struct qs_writer_forecast *f)
{
    struct qs_report *r = qs_report_new("plan");
    if (!r)
        return NULL;
    qs_report_choice(r, p, v);
    add_types(r, p);
    struct qs_section *w = qs_report_table(r, "warnings", "Warnings", warning_columns, 1);
    for (size_t i = 0; i < p->n_warnings; i++) {
        qs_row(w);
        qs_cell_str(w, 0, p->warning[i]);
    }
    add_facts(r, p, f); /* last: what remains on the screen */
    return r;
}
