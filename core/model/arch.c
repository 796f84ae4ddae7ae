/* arch.c - the table of architectures that can be run: what each does that others do not.
 *
 * Names, tensors and rules are those of llama.cpp 0c1e57098 (src/llama-model.cpp, src/models/). Where llama.cpp leaves
 * out something that the model was trained with (sliding windows of Mistral and Phi-3), the model is run as trained,
 * which is what the files of these models say. Owns nothing.
 */
#include <string.h>

#include "core/model/config.h"

#define ALL 0  /* window_every: every layer has the window */
#define NONE 1 /* none has */

static const struct qs_arch table[] = {
    { .name = "llama", .people = "Llama, SmolLM2, Mistral, Mixtral", .flags = QS_ARCH_EXPERT_NORMALISE,
      .rope = QS_ROPE_NORM, .glu = QS_GLU_SILU, .window_every = ALL },
    { .name = "qwen2", .people = "Qwen2, Qwen2.5", .rope = QS_ROPE_NEOX, .glu = QS_GLU_SILU, .window_every = NONE },
    { .name = "qwen3", .people = "Qwen3", .flags = QS_ARCH_QK_NORM_HEAD, .rope = QS_ROPE_NEOX, .glu = QS_GLU_SILU,
      .window_every = NONE },
    { .name = "gemma2", .people = "Gemma 2", .flags = QS_ARCH_EMBED_SCALE | QS_ARCH_POST_NORM, .rope = QS_ROPE_NEOX,
      .glu = QS_GLU_GELU, .window_every = 2, .window = 4096, .wide_layers = 46, .attn_softcap = 50,
      .final_softcap = 30 },
    { .name = "gemma3", .people = "Gemma 3",
      .flags = QS_ARCH_EMBED_SCALE | QS_ARCH_POST_NORM | QS_ARCH_QK_NORM_HEAD | QS_ARCH_WINDOW_PLAIN_ROPE,
      .rope = QS_ROPE_NEOX, .glu = QS_GLU_GELU, .window_every = 6, .window_rope_base = 10000, .wide_layers = 62 },
    { .name = "phi3", .people = "Phi-3, Phi-3.5, Phi-4", .rope = QS_ROPE_NEOX, .glu = QS_GLU_SILU,
      .window_every = ALL },
    { .name = "smollm3", .people = "SmolLM3", .rope = QS_ROPE_NORM, .glu = QS_GLU_SILU, .window_every = NONE,
      .no_rope_every = 4 },
    { .name = "olmo2", .people = "OLMo 2, OLMo 3",
      .flags = QS_ARCH_NO_PRE_NORM | QS_ARCH_POST_NORM | QS_ARCH_QK_NORM_ROW | QS_ARCH_WINDOW_PLAIN_ROPE,
      .rope = QS_ROPE_NEOX, .glu = QS_GLU_SILU, .window_every = 4 },
    { .name = "granite", .people = "Granite 3", .flags = QS_ARCH_ROPE_SWITCH, .rope = QS_ROPE_NORM,
      .glu = QS_GLU_SILU, .window_every = NONE },
    { .name = "qwen2moe", .people = "Qwen1.5-MoE, Qwen2-MoE", .rope = QS_ROPE_NEOX, .glu = QS_GLU_SILU,
      .window_every = NONE, .expert = true },
    { .name = "qwen3moe", .people = "Qwen3 with experts", .flags = QS_ARCH_QK_NORM_HEAD | QS_ARCH_EXPERT_NORMALISE,
      .rope = QS_ROPE_NEOX, .glu = QS_GLU_SILU, .window_every = NONE, .expert = true },
    { .name = "gpt-oss", .people = "gpt-oss",
      .flags = QS_ARCH_SINKS | QS_ARCH_EXPERT_SOFTMAX_AFTER | QS_ARCH_FFN_NORM_IS_POST_ATTN | QS_ARCH_YARN_SMOOTH,
      .rope = QS_ROPE_NEOX, .glu = QS_GLU_OAI, .window_every = 2, .expert = true },
};

const struct qs_arch *qs_arch_at(size_t i) { return i < sizeof table / sizeof *table ? &table[i] : NULL; }

const struct qs_arch *qs_arch_find(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}
