/* importance.c - owns the rule that ties entries of an importance matrix to tensors; keeps nothing, any thread. */
#include "core/quant/importance.h"

#include "core/quant/preset_rules.h"

int qs_importance_for(const struct qs_imatrix *im, const struct qs_tensor *t, const struct qs_imatrix_entry **out,
                      struct qs_err *e)
{
    const struct qs_imatrix_entry *x = im && t->n_dims >= 2 ? qs_imatrix_find(im, t->name) : NULL;
    *out = x;
    if (!x || (x->n == t->ne[0] * t->ne[2] && (x->experts <= 1 || x->experts == t->ne[2])))
        return QS_OK;
    *out = NULL;
    if (qs_mix_kind_of(t->name) == QS_MIX_TOKEN_EMBD)
        return QS_OK;
    return qs_fail(e, QS_EINVAL,
                   "%s: the importance matrix has %zu values, %llu are needed (%llu columns, %llu expert%s): it belongs to "
                   "another model", t->name, x->n, (unsigned long long)(t->ne[0] * t->ne[2]), (unsigned long long)t->ne[0],
                   (unsigned long long)t->ne[2], t->ne[2] == 1 ? "" : "s");
}
