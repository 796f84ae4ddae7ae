/* candidate_apply.c - a candidate's weights go into an engine, and only those that it does not have yet.
 *
 * Owns nothing: the engine takes references of its own. A file apart, so that who makes candidates needs no engine.
 */
#include "core/quant/candidate.h"

static bool has_it(const struct qs_engine *x, size_t i, const struct qs_weight *w)
{
    const struct qs_weight *now = qs_engine_weight(x, i);
    return !now || (now->format == w->format && now->parts.p[0] == w->parts.p[0]);
}

int qs_candidate_apply(const struct qs_candidate *c, struct qs_engine *x, size_t *changed, struct qs_err *e)
{
    const struct qs_model *m = qs_candidate_model(c);
    size_t n = 0;
    if (qs_engine_model(x) != m)
        return qs_fail(e, QS_EINVAL, "the candidate is of another model");
    if (!qs_candidate_whole(c))
        return qs_fail(e, QS_EINVAL, "the candidate is not whole yet");
    for (size_t i = 0; i < m->n_tensors; i++) {
        struct qs_weight *w = qs_candidate_weight(c, i);
        if (has_it(x, i, w))
            continue;
        const int rc = qs_engine_set(x, i, qs_candidate_shares(c, i) ? NULL : w, e);
        if (rc)
            return rc;
        n++;
    }
    if (changed)
        *changed = n;
    return QS_OK;
}
