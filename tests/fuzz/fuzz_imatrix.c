/* fuzz_imatrix.c - any bytes as an importance matrix and as statistics: what is accepted has finite values, can be
 * looked up and merged. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "core/calib/statistics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
    if (!truth)
        abort();
}

/* With sums and counts: accepted like without, and a file merged with itself keeps its means. */
static void raw(const uint8_t *data, size_t size, bool accepted)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_imatrix *m, *n;
    const int rc = qs_imatrix_open_raw_mem(data, size, 0, &m, &e);
    must(accepted || rc != QS_OK);
    if (rc != QS_OK)
        return;
    must(qs_imatrix_open_raw_mem(data, size, 0, &n, &e) == QS_OK && qs_imatrix_merge(m, n, &e) == QS_OK);
    for (size_t i = 0; i < m->n_entries; i++)
        must(m->entry[i].experts == n->entry[i].experts && m->entry[i].counts[0] == 2 * n->entry[i].counts[0]);
    qs_imatrix_free(m);
    qs_imatrix_free(n);
}

static void statistics(const uint8_t *data, size_t size)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_statistics *s;
    if (qs_statistics_open_mem(data, size, NULL, NULL, &s, &e) != QS_OK) {
        must(!s && e.code != QS_OK && e.msg[0]);
        return;
    }
    must(s->n_inputs > 0);
    for (size_t i = 0; i < s->n_inputs; i++) {
        const struct qs_input_stats *x = &s->input[i];
        struct qs_channel_facts f;
        must(x->n_tensors > 0 && x->cols > 0 && x->experts > 0 && x->cols * x->experts <= size / 4);
        for (size_t k = 0; k < x->n_rows * x->cols; k++)
            must(isfinite(x->row[k]));
        for (size_t k = 0; k < x->n_rows; k++)
            must(x->row_expert[k] < x->experts);
        qs_channel_facts(x, s->tokens, &f);
    }
    struct qs_statistics *t;
    must(qs_statistics_open_mem(data, size, NULL, NULL, &t, &e) == QS_OK);
    (void)qs_statistics_merge(s, t, true, &e);
    qs_statistics_free(s);
    qs_statistics_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_imatrix *m;
    uint64_t held = qs_mem_in_use();
    const bool accepted = qs_imatrix_open_mem(data, size, &m, &e) == QS_OK;
    if (!accepted) {
        must(!m && e.code != QS_OK && e.code != QS_ENOMEM && e.msg[0]);
    } else {
        must(m->n_entries > 0 && m->dataset);
        for (size_t i = 0; i < m->n_entries; i++) {
            const struct qs_imatrix_entry *x = &m->entry[i];
            must(x->n > 0 && x->n <= size / 4 && x->experts > 0 && x->n % x->experts == 0 && x->unseen <= x->experts);
            must(qs_imatrix_find(m, x->name) == x);
            for (size_t k = 0; k < x->n; k++)
                must(isfinite(x->value[k]) && x->value[k] >= 0);
        }
        qs_imatrix_free(m);
    }
    raw(data, size, accepted);
    statistics(data, size);
    must(qs_mem_in_use() == held);
    return 0;
}
