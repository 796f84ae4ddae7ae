/* llama_rules.h - the form of `recipe export --llama`, read as llama-quantize reads it (commit 0c1e57098). */
#ifndef QS_TESTS_QUANT_LLAMA_RULES_H
#define QS_TESTS_QUANT_LLAMA_RULES_H

#include "core/quant/preset.h"

/* The types that llama.cpp would give: `file` the text for --tensor-type-file, `args` the command line; c of m->n_tensors
 * entries. */
void llama_rules_types(const struct qs_model *m, const char *file, const char *args, struct qs_choice *c);

#endif
