/* importance.h - which importance weights a tensor gets; the survey, the plan and the writer judge by this one rule. */
#ifndef QS_CORE_IMPORTANCE_H
#define QS_CORE_IMPORTANCE_H

#include "core/format/imatrix.h"
#include "core/model/model.h"

/* The entry of tensor t, NULL where there is none. As in llama.cpp an entry fits when it has one value per column and
 * expert, ne[0] * ne[2] of them; of token_embd another number is no entry (llama.cpp counts embeddings by token), of any
 * other tensor it is QS_EINVAL: the matrix belongs to another model. One-dimensional tensors have none. im may be NULL. */
int qs_importance_for(const struct qs_imatrix *im, const struct qs_tensor *t, const struct qs_imatrix_entry **out,
                      struct qs_err *e);

#endif
