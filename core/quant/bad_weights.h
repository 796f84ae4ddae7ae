/* bad_weights.h - weights that are no finite numbers: found before they reach a file, and told where they are.
 *
 * llama.cpp refuses to load files that hold such weights or scales, so the writer refuses to make them.
 */
#ifndef QS_CORE_BAD_WEIGHTS_H
#define QS_CORE_BAD_WEIGHTS_H

#include "core/job/job.h"
#include "core/model/model.h"

struct qs_bad_weights {
    uint64_t n;        /* weights (of block types: blocks) that are NaN or infinite */
    uint64_t row, col; /* of the first one, counted from 0; rows over all experts */
};

/* How many of the stored weights (scales) in `bytes` bytes of whole blocks, on all cores; 0 for types without a scan. */
uint64_t qs_bad_count(struct qs_pool *pool, const struct qs_format *f, const uint8_t *data, uint64_t bytes);
/* All of a tensor as it is stored. The job may cancel it. */
int qs_bad_find(const struct qs_weight *w, struct qs_job *job, struct qs_bad_weights *out, struct qs_err *e);
/* The first weight of `rows` stored rows that decodes to no finite number; false: there is none. */
bool qs_bad_first(const struct qs_format *f, const uint8_t *data, uint64_t rows, uint64_t cols, struct qs_bad_weights *out);
/* Beyond this the types with half-precision scales hold no weight; some encoders then write zeros. */
#define QS_BAD_TOO_LARGE 1e10
/* Whether an absolute error says that such weights were lost, and where they are. *largest: the largest of them. */
bool qs_bad_lost(const struct qs_format *to, double max_abs_error);
int qs_bad_find_large(const struct qs_weight *w, struct qs_job *job, struct qs_bad_weights *out, double *largest,
                      struct qs_err *e);
/* The messages (QS_EFORMAT). `path`: the file the tensor is in; become: what happens to the weights ("would be NaN or
 * infinite"); largest: size of the largest weight there. */
int qs_bad_source(const struct qs_tensor *t, const char *path, const struct qs_bad_weights *bad, struct qs_err *e);
int qs_bad_result(const struct qs_tensor *t, int type, const struct qs_bad_weights *bad, const char *become,
                  double largest, struct qs_err *e);

#endif
