/* check.c - every stored weight of a model read once: which tensors hold what is not a number.
 *
 * Owns nothing beyond the call; the looking is scan.c's. Pages already read are dropped from our page tables, so that a
 * large model does not look like a large process.
 */
#include "core/job/job.h"
#include "core/model/model.h"
#include "core/model/scan.h"

static void tell(const struct qs_tensor *t, const struct qs_scan *found, qs_model_check_fn *fn, void *ctx)
{
    char msg[QS_SCAN_TEXT];
    fn(ctx, t, t->format->block == 1 ? "weights" : "scales", found->n, qs_scan_text(t, found, msg, sizeof msg));
}

static bool readable(const struct qs_tensor *t)
{
    const struct qs_format_ops *ops = t->format && t->marks == 0 ? qs_format_ops(t->format->id) : NULL;
    return ops && ops->scan;
}

int qs_model_check_data(const struct qs_model *m, struct qs_pool *pool, struct qs_job *job, qs_model_check_fn *fn,
                        void *ctx, struct qs_err *e)
{
    uint64_t total = 0;
    for (size_t i = 0; i < m->n_tensors; i++)
        total += readable(&m->tensor[i]) ? m->tensor[i].size : 0;
    qs_job_phase(job, "read", "bytes", total);
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        struct qs_weight *w;
        if (!readable(t))
            continue;
        qs_job_item(job, "%s", t->name);
        int rc = qs_model_weight(m, t, &w, e);
        struct qs_scan found = { 0 };
        if (rc == QS_OK) {
            rc = qs_scan_weight(w, pool, job, 0, true, &found, e);
            if (w->map)
                qs_map_advise(w->map, t->offset, t->size, false);
            qs_weight_unref(w);
        }
        if (rc != QS_OK)
            return rc;
        if (found.n)
            tell(t, &found, fn, ctx);
    }
    return QS_OK;
}
