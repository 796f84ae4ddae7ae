/* report_tensors.c - the table of tensors. Reads no tensor data. */
#include <stdio.h>
#include <string.h>

#include "core/report/report_choice.h"
#include "core/report/report_tensors.h"

enum { C_NAME, C_ROLE, C_LAYER, C_TYPE, C_SHAPE, C_WEIGHTS, C_BYTES, C_BPW, C_OFFSET, C_PART, C_MARKS };

static const struct qs_column columns[] = {
    { .key = "name", .title = "tensor", .left = true },
    { .key = "role", .title = "role", .left = true, .optional = true },
    { .key = "layer", .title = "layer", .optional = true },
    { .key = "type", .title = "type", .left = true },
    { .key = "shape", .title = "shape", .left = true },
    { .key = "weights", .title = "weights", .unit = QS_UNIT_WEIGHTS },
    { .key = "bytes", .title = "size", .unit = QS_UNIT_BYTES },
    { .key = "bpw", .title = "bpw", .unit = QS_UNIT_BPW, .digits = 5 },
    { .key = "offset", .title = "offset", .optional = true },
    { .key = "part", .title = "part", .optional = true },
    { .key = "marks", .title = "marks", .left = true },
};

static void put_row(struct qs_section *s, const struct qs_tensor *t)
{
    char shape[100], type[32];
    qs_shape_text(t, shape, sizeof shape);
    if (t->format)
        snprintf(type, sizeof type, "%s", t->format->name);
    else
        snprintf(type, sizeof type, "unknown (%d)", t->type);
    qs_row(s);
    qs_cell_str(s, C_NAME, t->name);
    qs_cell_str(s, C_ROLE, qs_role_name(t->role));
    if (t->layer >= 0)
        qs_cell_int(s, C_LAYER, t->layer);
    qs_cell_str(s, C_TYPE, type);
    qs_cell_str(s, C_SHAPE, shape);
    qs_cell_int(s, C_WEIGHTS, (int64_t)t->n);
    qs_cell_int(s, C_BYTES, (int64_t)t->size);
    if (t->format)
        qs_cell_num(s, C_BPW, qs_format_bpw(t->format));
    qs_cell_int(s, C_OFFSET, (int64_t)t->offset);
    qs_cell_int(s, C_PART, (int64_t)t->part + 1);
    qs_cell_str(s, C_MARKS, t->marks & QS_TENSOR_UNKNOWN_TYPE ? "unknown type" : t->marks ? "damaged" : "");
}

int qs_report_tensors(const struct qs_model *m, const struct qs_tensors_args *args, struct qs_report **out,
                      struct qs_err *e)
{
    *out = NULL;
    struct qs_report *r = qs_report_new("tensors");
    if (!r)
        return qs_fail_mem(e, 0, "a report");
    struct qs_section *s = qs_report_table(r, "tensors", "Tensors", columns, sizeof columns / sizeof *columns);
    size_t shown = 0;
    uint64_t bytes = 0, weights = 0;
    int rc = QS_OK;
    for (size_t i = 0; rc == QS_OK && i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        if (args->role >= 0 && (int)t->role != args->role)
            continue;
        int hit = args->match ? qs_regex_find(args->match, t->name, strlen(t->name), 0, NULL, e) : 1;
        if (hit < 0)
            rc = QS_ELIMIT;
        if (hit <= 0)
            continue;
        put_row(s, t);
        shown++;
        bytes += t->size;
        weights += t->n;
    }
    char size[24];
    struct qs_str n_weights = QS_STR_INIT;
    qs_fmt_int(&n_weights, (int64_t)weights, QS_UNIT_WEIGHTS);
    qs_section_note(s, "%zu of %zu tensors, %s weights, %s.", shown, m->n_tensors, n_weights.failed ? "?" : n_weights.data,
                    qs_fmt_bytes(size, sizeof size, bytes));
    qs_str_free(&n_weights);
    if (rc == QS_OK && !shown && (args->match || args->role >= 0))
        rc = qs_fail(e, QS_ENOTFOUND, "%s: none of the %zu tensors fits %s%s%s", m->path, m->n_tensors,
                     args->match ? "the pattern" : "", args->match && args->role >= 0 ? " and " : "",
                     args->role >= 0 ? "the role" : "");
    if (rc == QS_OK && args->sort)
        rc = qs_section_sort(s, args->sort, e);
    if (rc != QS_OK) {
        qs_report_free(r);
        return rc;
    }
    *out = r;
    return QS_OK;
}
