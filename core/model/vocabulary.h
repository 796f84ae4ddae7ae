/* vocabulary.h - the vocabulary of an opened model: metadata to a tokenizer, in one step. */
#ifndef QS_CORE_VOCABULARY_H
#define QS_CORE_VOCABULARY_H

#include "core/model/model.h"
#include "core/text/vocab.h"

/* A tokenizer of its own (qs_vocab_free), which outlives the model. QS_ENOTFOUND: the model has none; otherwise the
 * errors of qs_vocab_data_kv. Messages begin with the model's path. */
int qs_model_vocab(const struct qs_model *m, struct qs_vocab **out, struct qs_err *e);

#endif
