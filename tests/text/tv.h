/* tv.h - vocabularies for the tests of tokenizers. */
#ifndef QS_TESTS_TV_H
#define QS_TESTS_TV_H

#include "base/str.h"
#include "core/text/vocab.h"
#include "core/text/vocab_build.h"
#include "tests/lib/qs_test.h"

/* Of a GGUF file or a folder; fails the test where it cannot be opened. */
struct qs_vocab *tv_open(const char *path);

/* Built by hand: texts with their types and scores, up to one without a text; merges up to NULL (NULL: none). */
struct tv_token { const char *text; uint8_t type; float score; };
struct qs_vocab_data *tv_data(enum qs_vocab_kind kind, const char *pre, const struct tv_token *tokens,
                              const char *const *merges);
struct qs_vocab *tv_make(enum qs_vocab_kind kind, const char *pre, const struct tv_token *tokens,
                         const char *const *merges);
/* Byte-level, with a token for each byte (ids 0 to 255) and then for each merge and each further text. */
struct qs_vocab *tv_bytes(const char *pre, const char *const *merges, const struct tv_token *more);

/* The ids as "1 2 3", in a buffer that the next call overwrites; fails the test where tokenizing fails. */
const char *tv_ids(const struct qs_vocab *v, const char *text, size_t n, unsigned flags);
#define tv(v, text, flags) tv_ids(v, text, strlen(text), flags)

/* The whole file; qs_free it. */
char *tv_file(const char *path, size_t *n);

#endif
