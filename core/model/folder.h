/* folder.h - Hugging Face folders: config.json and safetensors, opened as the GGUF file that they would be converted
 * to.
 *
 * Names, shapes, types, metadata and bytes are those that convert_hf_to_gguf.py of llama.cpp 0c1e57098 gives, weights
 * in the type they are stored in; where more is told than there, the reason stands beside it (folder_meta.c). Tensors
 * that lie in the files as GGUF wants them are mapped; the others are made when asked for (folder_make.c): rows of Q
 * and K in another order, gemma's norms plus one, experts stacked, fused expert tensors split, MXFP4 blocks repacked,
 * norms and biases in F32. Nothing in the folder is ever written.
 *
 * Refused, by name: architectures that are not in the table (folder_config.c); adapters; weights of PyTorch's own
 * format or in Mistral's own layout; shards that are missing; folders whose quantization_config is not gpt-oss' MXFP4
 * (GPTQ, AWQ, bitsandbytes, fp8, compressed-tensors ...); F8 and integer weights; tensors that are missing, unknown, or
 * of another shape than config.json makes them.
 */
#ifndef QS_CORE_FOLDER_H
#define QS_CORE_FOLDER_H

#include <stdbool.h>
#include "base/err.h"
#include "base/str.h"
#include "core/model/model.h"

/* Whether the name is that of a folder, or of a config.json or a safetensors file or index; *dir (replaced) is then the
 * folder. A folder without any of those is one too: qs_folder_open says what it lacks. */
bool qs_folder_named(const char *path, struct qs_str *dir);

/* Opens the folder. Model and tensors as in model.h; model->path is the folder without a slash at its end. */
int qs_folder_open(const char *dir, struct qs_model **out, struct qs_err *e);

/* What config.json alone says: general.architecture and the type of the weights ("BF16"; "" where it does not say it).
 * The reasons why the folder cannot be opened that are seen there are errors. Reads nothing else. */
struct qs_folder_peek { char arch[48], type[24]; };
int qs_folder_peek(const char *dir, struct qs_folder_peek *out, struct qs_err *e);

/* The architectures of folders that can be opened, as config.json names them; NULL past the end. */
const char *qs_folder_architecture(size_t i);

#endif
