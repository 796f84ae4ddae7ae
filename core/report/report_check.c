/* report_check.c - findings about a file, the worst first, and names that nobody knows. Reads no tensor data. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/unicode.h"
#include "core/report/report_check.h"

enum { C_KIND, C_PART, C_OFFSET, C_FIELD, C_MESSAGE };

static const struct qs_column columns[] = {
    { .key = "kind", .title = "kind", .left = true },
    { .key = "part", .title = "part", .optional = true },
    { .key = "offset", .title = "offset" },
    { .key = "field", .title = "field", .left = true },
    { .key = "message", .title = "message", .left = true },
};

static const char *const kinds[] = {
    [QS_FINDING_NOTE] = "note", [QS_FINDING_WARNING] = "warning", [QS_FINDING_FATAL] = "error",
};

struct list { struct qs_section *s; size_t count[3]; enum qs_finding_kind now; };

/* Adds the row when it is this kind's turn. */
static void put(struct list *l, enum qs_finding_kind kind, unsigned part, uint64_t offset, const char *field,
                const char *msg)
{
    if (kind != l->now)
        return;
    l->count[kind]++;
    qs_row(l->s);
    qs_cell_str(l->s, C_KIND, kinds[kind]);
    qs_cell_int(l->s, C_PART, (int64_t)part + 1);
    if (offset <= INT64_MAX)
        qs_cell_int(l->s, C_OFFSET, (int64_t)offset);
    qs_cell_str(l->s, C_FIELD, field);
    qs_cell_str(l->s, C_MESSAGE, msg);
}

/* One note for all tensors whose names llama.cpp does not know: they are copied, but no program will look at them. */
static void put_strangers(struct list *l, const struct qs_gguf *g)
{
    size_t n = 0, first = 0;
    for (size_t i = 0; i < g->n_tensors; i++)
        if (qs_utf8_invalid_at(g->tensor[i].name, g->tensor[i].name_len) == g->tensor[i].name_len &&
            !qs_role_known(g->tensor[i].name) && n++ == 0) /* what is not even text is an error already */
            first = i;
    const struct qs_kv *type = qs_gguf_kv(g, "general.type");
    const char *text;
    size_t len;
    if (n == 0 || (qs_kv_str(type, &text, &len) && (len != 5 || memcmp(text, "model", 5) != 0)))
        return;
    char msg[160];
    struct qs_str field = QS_STR_INIT;
    qs_str_add(&field, "tensor ");
    qs_utf8_clean(&field, g->tensor[first].name, g->tensor[first].name_len, 60);
    snprintf(msg, sizeof msg,
             n == 1
                 ? "%zu of %zu tensors has a name that llama.cpp does not know for any architecture"
                 : "%zu of %zu tensors, this the first, have names that llama.cpp does not know for any architecture",
             n, g->n_tensors);
    put(l, QS_FINDING_NOTE, g->tensor[first].part, g->tensor[first].offset, field.data, msg);
    qs_str_free(&field);
}

static void put_all(struct list *l, const struct qs_check_args *a)
{
    for (size_t i = 0; i < a->gguf->n_findings; i++) {
        const struct qs_finding *f = &a->gguf->finding[i];
        put(l, f->kind, f->part, f->offset, f->field, f->msg);
    }
    for (size_t i = 0; i < a->n_damage; i++) {
        const struct qs_check_damage *d = &a->damage[i];
        char field[300];
        snprintf(field, sizeof field, "tensor %s: %s", d->tensor, d->field);
        put(l, QS_FINDING_FATAL, d->part, d->offset, field, d->msg);
    }
    if (a->data_error)
        put(l, QS_FINDING_FATAL, 0, UINT64_MAX, "data", a->data_error);
    put_strangers(l, a->gguf);
}

/* Files with tensors; of a folder there are others. */
static int64_t count_parts(const struct qs_gguf *g)
{
    int64_t n = 0;
    for (unsigned i = 0; i < g->n_parts; i++)
        n += !g->part[i].beside;
    return n;
}

struct qs_report *qs_report_check(const struct qs_check_args *a, size_t *errors)
{
    struct qs_report *r = qs_report_new("check");
    *errors = 0;
    if (!r)
        return NULL;
    struct qs_section *s = qs_report_facts(r, "summary", "Check");
    struct list l = { .s = qs_report_table(r, "findings", "Findings", columns, sizeof columns / sizeof *columns) };
    for (int k = QS_FINDING_FATAL; k >= QS_FINDING_NOTE; k--) {
        l.now = (enum qs_finding_kind)k;
        put_all(&l, a);
    }
    *errors = l.count[QS_FINDING_FATAL];
    qs_fact_str(s, "file", "file", a->path);
    qs_fact_int(s, "parts", "parts", count_parts(a->gguf), QS_UNIT_COUNT);
    qs_fact_int(s, "tensors", "tensors", (int64_t)a->gguf->n_tensors, QS_UNIT_COUNT);
    qs_fact_bool(s, "data_read", "weights read", a->data_read);
    qs_fact_int(s, "errors", "errors", (int64_t)l.count[QS_FINDING_FATAL], QS_UNIT_COUNT);
    qs_fact_int(s, "warnings", "warnings", (int64_t)l.count[QS_FINDING_WARNING], QS_UNIT_COUNT);
    qs_fact_int(s, "notes", "notes", (int64_t)l.count[QS_FINDING_NOTE], QS_UNIT_COUNT);
    qs_fact_bool(s, "sound", "sound", *errors == 0);
    if (l.count[0] + l.count[1] + l.count[2] == 0)
        qs_section_note(s, "Nothing is wrong with %s.", a->data_read ? "headers and weights" : "the headers");
    return r;
}
