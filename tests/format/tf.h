/* tf.h - raw GGUF bytes for the tests of model files. */
#ifndef QS_TESTS_TF_H
#define QS_TESTS_TF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/str.h"
#include "tests/lib/qs_test.h"

/* Raw bytes, little-endian. */
void tf_u8(struct qs_str *s, unsigned v);
void tf_u16(struct qs_str *s, unsigned v);
void tf_u32(struct qs_str *s, uint32_t v);
void tf_u64(struct qs_str *s, uint64_t v);
void tf_f32(struct qs_str *s, float v);
void tf_f64(struct qs_str *s, double v);
void tf_text(struct qs_str *s, const char *text);                 /* length and bytes */
void tf_bytes(struct qs_str *s, const char *text, size_t n);      /* length and bytes */
void tf_head(struct qs_str *s, uint32_t version, uint64_t n_tensors, uint64_t n_kv);
void tf_kv_u32(struct qs_str *s, const char *key, uint32_t v);
void tf_kv_str(struct qs_str *s, const char *key, const char *v);
void tf_tensor(struct qs_str *s, const char *name, unsigned n_dims, const uint64_t *ne, uint32_t type, uint64_t offset);
void tf_pad(struct qs_str *s, size_t alignment, size_t data);     /* to the alignment, then `data` bytes of zeros */

/* With QS_SAVE_CORPUS set to tests/fuzz/corpus, tests write their small inputs to WHAT/NAME there (to make it anew). */
void tf_save_corpus(const char *what, const char *name, const struct qs_str *s);

#endif
