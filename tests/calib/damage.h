/* damage.h - makes a model that says the same and quantizes badly: some channels of every norm are louder, the columns
 * that read them quieter by as much. For tests of what is to name such channels and to repair the model. */
#ifndef QS_TESTS_CALIB_DAMAGE_H
#define QS_TESTS_CALIB_DAMAGE_H

#include "core/model/model.h"

/* Writes the damaged model to path (GGUF): channels channel[0 ... n) of attn_norm and ffn_norm times `by`, the columns
 * of what reads them divided by it. Tensors that change become F32, all others keep their bytes. */
int damage_model(const struct qs_model *m, const char *path, const size_t *channel, size_t n, float by,
                 struct qs_err *e);

#endif
