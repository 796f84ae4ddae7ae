/* diff.h - two model files compared: metadata, tensors present, types, bytes, and the error between decoded weights. */
#ifndef QS_CORE_DIFF_H
#define QS_CORE_DIFF_H

#include "core/job/job.h"
#include "core/model/model.h"
#include "core/quant/encode.h"

enum qs_diff_state { QS_DIFF_SAME /* identical bytes */, QS_DIFF_VALUES /* other bytes */, QS_DIFF_SHAPE, QS_DIFF_ONLY_A, QS_DIFF_ONLY_B };

struct qs_diff_row {
    const struct qs_tensor *a, *b;
    enum qs_diff_state state;
    struct qs_error_sums sums;  /* of b against a */
    double cosine;              /* of all weights, NaN when not measured */
};
struct qs_diff_kv { char *key; char *a, *b; /* printable, NULL: absent there */ };
struct qs_diff {
    struct qs_diff_row *row; size_t n_rows;
    struct qs_diff_kv *kv; size_t n_kv;   /* only those that differ */
    struct qs_error_sums total;
};

/* headers_only: types and shapes without reading weights (state SAME means "same type and shape" then). */
int qs_diff_run(const struct qs_model *a, const struct qs_model *b, bool headers_only, struct qs_pool *pool,
                struct qs_job *job, struct qs_diff **out, struct qs_err *e);
void qs_diff_free(struct qs_diff *d);

#endif
