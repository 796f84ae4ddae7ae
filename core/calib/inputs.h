/* inputs.h - which input each matrix of a model reads: the one table that statistics, Hessians and errors go by. */
#ifndef QS_CALIB_INPUTS_H
#define QS_CALIB_INPUTS_H

#include <stdbool.h>
#include <stddef.h>
#include "core/model/engine.h"

struct qs_input {
    int layer;              /* n_layer for the head */
    enum qs_point point;
    size_t cols, experts;   /* experts 1: dense */
    const size_t *tensor;   /* indices of the model: the matrices that read it, in the order of the model */
    size_t n_tensors;
};
struct qs_inputs { struct qs_input *input; size_t n; }; /* ascending layer, then the order in which a block reaches them */

/* Of all matrices that can be quantized and take part in the forward pass. Tied embeddings belong to the head; an untied
 * token_embd has no input (rows are looked up) and is in none. */
int qs_inputs_new(const struct qs_engine *x, struct qs_inputs **out, struct qs_err *e);
void qs_inputs_free(struct qs_inputs *in); /* NULL allowed */
const struct qs_input *qs_inputs_of(const struct qs_inputs *in, size_t tensor); /* NULL: none */
const char *qs_point_name(enum qs_point p); /* "attn_in": screens, files */
enum qs_half qs_point_half(enum qs_point p);

#endif
