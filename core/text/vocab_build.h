/* vocab_build.h - inside core/text: filling a struct qs_vocab_data. */
#ifndef QS_CORE_VOCAB_BUILD_H
#define QS_CORE_VOCAB_BUILD_H

#include "core/text/vocab_data.h"

/* All unset, no tokens; NULL: out of memory. */
struct qs_vocab_data *qs_vocab_data_start(enum qs_vocab_kind kind, const char *model, struct qs_err *e);
/* Room for n tokens, each normal, without text and with score 0. */
int qs_vocab_data_room(struct qs_vocab_data *d, size_t n, struct qs_err *e);
/* A copy of bytes that lives as long as d, 0-terminated; NULL: out of memory. */
char *qs_vocab_data_keep(struct qs_vocab_data *d, const void *bytes, size_t n, struct qs_err *e);
int qs_vocab_data_text(struct qs_vocab_data *d, size_t id, const char *text, size_t n, struct qs_err *e);
int qs_vocab_data_merge(struct qs_vocab_data *d, size_t *cap, const char *text, size_t n, struct qs_err *e);
int qs_vocab_data_eog(struct qs_vocab_data *d, int32_t id, struct qs_err *e);
/* Adds a sentence to d->warning, as far as there is room. */
void qs_vocab_data_warn(struct qs_vocab_data *d, const char *fmt, ...) QS_PRINTF(2, 3);
/* At the end: tokens without a text get "[EMPTY_n]", special ids beyond the vocabulary are dropped. */
int qs_vocab_data_finish(struct qs_vocab_data *d, struct qs_err *e);

/* The vocabulary in a SentencePiece model file (protobuf, sentencepiece_model.proto): a new SPM vocabulary with texts,
 * scores, types, and whether a blank is put before a text. n_rows: as for qs_vocab_data_folder. */
int qs_sentencepiece_read(const void *bytes, size_t n, size_t n_rows, struct qs_vocab_data **out, struct qs_err *e);
/* Whether the bytes begin like such a file: some folders have another thing under the same name. */
bool qs_sentencepiece_looks(const void *bytes, size_t n);

/* Tokens, merges and the pre-tokenizer's name out of a parsed tokenizer.json: a new vocabulary of its kind.
 * QS_EUNSUPPORTED names the model types that this program has not (Unigram, WordPiece ...). */
struct qs_json;
int qs_tokenizer_json_read(const struct qs_json *tokenizer, size_t n_rows, struct qs_vocab_data **out,
                           struct qs_err *e);
/* Whether its merges go over bytes (and not over characters, as SentencePiece's). */
bool qs_tokenizer_json_bytes(const struct qs_json *tokenizer);

/* Sets text, type and score of a token that stands in a list of added ones. Blanks written as U+2581 become blanks,
 * unless it is a control token. */
int qs_vocab_data_added(struct qs_vocab_data *d, size_t id, const char *text, bool special, struct qs_err *e);
/* Room for n tokens, each an unused "[PADn]". */
int qs_vocab_data_padded(struct qs_vocab_data *d, size_t n, struct qs_err *e);

#endif
