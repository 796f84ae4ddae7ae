/* text.h - a text to measure on: its bytes, their key, its tokens. */
#ifndef QS_CORE_EVAL_TEXT_H
#define QS_CORE_EVAL_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/hash.h"
#include "core/text/vocab.h"

#define QS_EVAL_TEXT_MAX ((uint64_t)1 << 30) /* bytes of a file */

struct qs_eval_text {
    char *path, *data;      /* data ends with a 0 behind its n bytes */
    size_t n;
    struct qs_key key;      /* of the n bytes */
    struct qs_tokens token; /* with what the vocabulary puts before and behind */
};

/* most: bytes from the start, cut back to whole UTF-8 characters; 0: all. One line end at the end of the file is left
 * out, as llama-perplexity does. QS_EINVAL: nothing in it. */
int qs_eval_text_read(const char *path, uint64_t most, struct qs_eval_text *out, struct qs_err *e);
int qs_eval_text_tokenize(struct qs_eval_text *t, const struct qs_vocab *v, struct qs_err *e);
void qs_eval_text_free(struct qs_eval_text *t);

#endif
