/* need.h - what running a model takes: weights, KV cache by context and cache type, and what this machine has. */
#ifndef QS_CORE_NEED_H
#define QS_CORE_NEED_H

#include <stdbool.h>
#include <stdint.h>
#include "core/model/model.h"

/* Bytes of the KV cache for `ctx` tokens when keys and values are stored in `type` (QS_F16, QS_Q8_0, QS_Q4_0), as
 * llama.cpp lays it out: one row of keys and one of values per token, KV head and layer that attends. Layers without
 * attention cost nothing; latent attention (deepseek2 and its kin, files that state key_length_mla) stores keys alone.
 * Layers with a sliding window are counted with the whole context. 0: the metadata does not say enough. */
uint64_t qs_need_kv_cache(const struct qs_model *m, uint64_t ctx, int type);

/* Weights that one token passes through: all but the experts it is not routed to. */
uint64_t qs_need_active_weights(const struct qs_model *m);

struct qs_machine_memory { uint64_t total, available; }; /* bytes of RAM for us (cgroup limits applied); 0: unknown */
struct qs_machine_memory qs_machine_memory(void);

#endif
