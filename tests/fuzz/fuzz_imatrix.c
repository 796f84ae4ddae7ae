/* fuzz_imatrix.c - any bytes as an importance matrix: what is accepted has finite values and can be looked up. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "core/format/imatrix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
    if (!truth)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_imatrix *m;
    uint64_t held = qs_mem_in_use();
    if (qs_imatrix_open_mem(data, size, &m, &e) != QS_OK) {
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
    must(qs_mem_in_use() == held);
    return 0;
}
