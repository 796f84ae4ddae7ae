/* bad_weights.c - owns nothing; says what is too large, and tells a person where bad weights are. Any thread. */
#include "core/quant/bad_weights.h"

#include <inttypes.h>

#define HALF_MAX 65504.0 /* scales of half precision hold weights up to this in every type */

bool qs_bad_lost(const struct qs_format *f, double max_abs)
{
    return max_abs > QS_BAD_TOO_LARGE && f->kind != QS_KIND_FLOAT && f->id != QS_MXFP4;
}

int qs_bad_source(const struct qs_tensor *t, const char *path, const struct qs_scan *bad, struct qs_err *e)
{
    char what[QS_SCAN_TEXT];
    return qs_fail(e, QS_EFORMAT,
                   "tensor %s: %s: a model with such weights computes NaN, so none is written; get %.120s again "
                   "(quantscape check lists every such tensor)",
                   t->name, qs_scan_text(t, bad, what, sizeof what), path);
}

int qs_bad_result(const struct qs_tensor *t, int type, const struct qs_scan *bad, const char *become, double largest,
                  const struct qs_imatrix_entry *importance, struct qs_err *e)
{
    char where[96];
    float most = 0;
    for (size_t k = 0; importance && k < importance->n; k++)
        most = importance->value[k] > most ? importance->value[k] : most;
    if (importance && largest <= HALF_MAX)
        return qs_fail(e, QS_EFORMAT,
                       "tensor %s: %" PRIu64 " of %" PRIu64 " weights %s as %s, the first at %s (counted from 0), though "
                       "the weights there are not above %.3g: the importance matrix is the likely cause, its values for "
                       "this tensor reach %.3g",
                       t->name, bad->n, t->n, become, qs_type_name(type), qs_scan_place(t, bad, where, sizeof where),
                       largest, (double)most);
    return qs_fail(e, QS_EFORMAT,
                   "tensor %s: %" PRIu64 " of %" PRIu64 " weights %s as %s, the first at %s (counted from 0): weights as "
                   "large as %.3g overflow its range; give this tensor another type (BF16, F32) by a pin, or mend the "
                   "source",
                   t->name, bad->n, t->n, become, qs_type_name(type), qs_scan_place(t, bad, where, sizeof where), largest);
}
