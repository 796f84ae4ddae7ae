/* vocab.h - a tokenizer at work: text to ids and back.
 *
 * A vocabulary is immutable after qs_vocab_new: any number of threads may use it. The algorithms and their odd corners
 * are llama.cpp's (0c1e57098): a GGUF file gives the same ids in both. SentencePiece: merge the neighbours whose joined
 * text has the best score, bytes where no token fits. Byte-level BPE: split by the pre-tokenizer's expressions (pre.h),
 * then merge by rank. Where this differs from llama.cpp:
 *  - text that is not valid UTF-8 is refused (or replaced, where asked for); llama.cpp always replaces;
 *  - byte-level vocabularies that state no BOS or EOS have none, where llama.cpp takes id 11;
 *  - an unknown tokenizer.ggml.pre is taken as "default" and said, where llama.cpp refuses the file;
 *  - control tokens of Phi-3 swallow the white space behind them whenever the architecture is phi3, where llama.cpp
 * goes by the model's name;
 *  - of two tokens with the same text the first counts, where llama.cpp stops.
 * As in llama.cpp, Unicode normal forms are not made: Qwen's own tokenizer composes characters first (NFC), which makes
 * a difference for texts with decomposed accents alone.
 */
#ifndef QS_CORE_VOCAB_H
#define QS_CORE_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"
#include "core/text/vocab_data.h"

struct qs_vocab;

/* Takes over `data` (freed with the vocabulary; freed on failure too). */
int qs_vocab_new(struct qs_vocab_data *data, struct qs_vocab **out, struct qs_err *e);
void qs_vocab_free(struct qs_vocab *v);

/* What it was made of (texts, flags as the source states them, chat template). Lives as long as v. */
const struct qs_vocab_data *qs_vocab_source(const struct qs_vocab *v);
size_t qs_vocab_size(const struct qs_vocab *v);
/* The ids that count for a model whose output has so many rows: those that are a row and a token, from 0. Rows beyond
 * the tokens pad a matrix: no sampler picks them and no probability is spread over them, in chats and evaluations alike
 * (llama.cpp too goes by the number of tokens). Of two models the smaller number counts for both. */
size_t qs_vocab_rows(const struct qs_vocab *v, size_t rows);
/* After the defaults and the search by known texts ("<|eot_id|>" ...); QS_NO_TOKEN: none. */
int32_t qs_vocab_special(const struct qs_vocab *v, enum qs_special s);
bool qs_vocab_adds_bos(const struct qs_vocab *v); /* what QS_TOKENIZE_ADD_SPECIAL does */
bool qs_vocab_adds_eos(const struct qs_vocab *v);
bool qs_vocab_is_eog(const struct qs_vocab *v, int32_t id);     /* ends a generation */
int32_t qs_vocab_find(const struct qs_vocab *v, const char *text, size_t n); /* by its text in the file; QS_NO_TOKEN */
/* What a person should know about it, one line each, from 0; NULL: no more. */
const char *qs_vocab_warning(const struct qs_vocab *v, size_t i);

/* Appends the raw bytes that the id stands for, which need not be whole UTF-8 characters. Control and unknown tokens
 * have text only where `special`; unused ones never. An id out of range has none. */
void qs_vocab_piece(const struct qs_vocab *v, int32_t id, bool special, struct qs_str *out);

struct qs_tokens { int32_t *id; size_t n, cap; }; /* { 0 } to begin with */
void qs_tokens_free(struct qs_tokens *t);
int qs_tokens_add(struct qs_tokens *t, int32_t id, struct qs_err *e);

enum {
    QS_TOKENIZE_ADD_SPECIAL = 1,   /* BOS before and EOS behind, as the model wants them */
    QS_TOKENIZE_PARSE_SPECIAL = 2, /* control tokens written in the text ("<|im_end|>") become their ids */
    QS_TOKENIZE_REPLACE = 4,       /* each byte of text that is not valid UTF-8 is read as U+FFFD, not refused */
};
/* Appends the ids of text[0, n). User-defined tokens are found in the text whatever the flags say. Time grows with the
 * length (times its logarithm), memory about 40 bytes a byte. QS_EINVAL: not valid UTF-8 (with the offset). QS_ELIMIT:
 * 1 GiB and more. On failure *out has what it had before. */
int qs_tokenize(const struct qs_vocab *v, const char *text, size_t n, unsigned flags, struct qs_tokens *out,
                struct qs_err *e);

/* Ids to text as they come: only whole UTF-8 characters are given out, the bytes of a half one are held back. */
enum {
    QS_DETOK_SPECIAL = 1, /* control tokens show their text */
    QS_DETOK_MIDDLE = 2,  /* the first id goes on where a text stopped: its leading blank is text */
};
struct qs_detok {
    const struct qs_vocab *v;
    unsigned flags;
    bool strip;         /* a blank that the tokenizer put before the text comes next: it is not text */
    unsigned char held[4];
    unsigned n_held;
};
/* Of SentencePiece vocabularies that put a blank before a text, that blank is taken away again: at the start (unless
 * QS_DETOK_MIDDLE) and behind each control or user-defined token, where the tokenizer puts it. */
void qs_detok_init(struct qs_detok *d, const struct qs_vocab *v, unsigned flags);
void qs_detok_add(struct qs_detok *d, int32_t id, struct qs_str *out); /* appends whole characters; invalid, and 0: U+FFFD */
void qs_detok_end(struct qs_detok *d, struct qs_str *out);             /* U+FFFD for what never became whole */
/* All at once; n ids. */
void qs_detokenize(const struct qs_vocab *v, const int32_t *id, size_t n, unsigned flags, struct qs_str *out);

/* Whether both give the same ids for every text, so that the ids of one mean the same to the other. `where` (may be
 * NULL) is then told the first difference, in words; chat templates and scores that order alike are not looked at. */
bool qs_vocab_same(const struct qs_vocab *a, const struct qs_vocab *b, struct qs_str *where);

#endif
