/* model_internal.h - how a model is filled from something that is no GGUF file; for the files of core/model alone. */
#ifndef QS_CORE_MODEL_INTERNAL_H
#define QS_CORE_MODEL_INTERNAL_H

#include "base/map.h"
#include "core/model/model.h"

/* Bytes in a file of the model that a made tensor is made of. */
struct qs_model_piece { unsigned part; uint64_t offset, size; };

/* What makes the tensors that are `made`: all functions from any thread. */
struct qs_model_source {
    int (*make)(const struct qs_model *m, size_t tensor, struct qs_weight **out, struct qs_err *e);
    /* The k-th piece of such a tensor; false: there are no more. */
    bool (*piece)(const struct qs_model *m, size_t tensor, size_t k, struct qs_model_piece *out);
    void (*free)(struct qs_model_source *src);
    struct qs_weight_cache *made;
};

/* Takes the headers, on failure too. */
int qs_model_of_headers(const char *path, struct qs_gguf *g, struct qs_model **out, struct qs_err *e);

/* The mapping of a part (owned by the model), made when first asked for. */
int qs_model_map(const struct qs_model *m, unsigned part, struct qs_map **out, struct qs_err *e);

#endif
