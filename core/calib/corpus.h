/* corpus.h - calibration text: files with weights become windows of tokens, in a fixed order, a part of them held out.
 *
 * SOURCES are plain text, JSON lines with {"text": ...} (read with an empty line between them), or JSON lines with
 * {"messages": [...]} that go through the chat template; told apart by their first line that is not empty, or, named
 * .jsonl or .ndjson, by the first that can be used. Lines that cannot be used are left out, counted and named. Each
 * source is tokenized as a whole (chats one by one, behind each other; more than 8 MiB in pieces that end with a line)
 * and cut into windows; a source gives its share of the windows, by weight, spread over its whole length; the seed
 * decides which windows and their order. The same arguments give the same windows. BOS stands in the place of a
 * window's first token, as in llama.cpp's tools: all windows of a plain text, in whatever order, are those that
 * llama-imatrix sees.
 * HELD OUT: every k-th window (after the draw) is set apart by itself, no window lies in both parts: of those that say
 * the same one is kept.
 */
#ifndef QS_CALIB_CORPUS_H
#define QS_CALIB_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"
#include "core/text/chat.h"
#include "core/text/vocab.h"

struct qs_corpus_source { const char *path; double weight; }; /* weight > 0; 1 is usual */

struct qs_corpus_args {
    const struct qs_corpus_source *source; size_t n_sources;
    size_t n_ctx;            /* tokens of a window; 0: 512, at most the model's context */
    size_t n_windows;        /* to be used, held-out ones included; 0: 160; fewer where the text is shorter */
    double held_out;         /* share set apart; negative: 0.1 (at least one window when there are 4) */
    uint64_t seed;
    bool special;            /* marks of special tokens in plain text are such tokens; chats always */
    bool bos;                /* windows begin with BOS where the vocabulary adds one */
    size_t model_ctx;        /* the model's context, for the warnings */
    const char *evaluation;  /* path of the text to be evaluated on: overlap is warned of; NULL: unknown */
};

struct qs_corpus_mix {       /* what came of a source */
    char *path;
    const char *kind;        /* "text", "JSON lines: text", "JSON lines: chats" */
    double weight, share;    /* share of the windows */
    uint64_t bytes, tokens;  /* it has */
    size_t windows;          /* taken */
    uint64_t bad_lines, first_bad; /* JSON lines left out, and the number of the first */
};

struct qs_corpus {
    struct qs_corpus_mix *mix; size_t n_mix;
    size_t n_ctx;
    size_t n_fit, n_held;      /* windows */
    int32_t *token;            /* (n_fit + n_held) * n_ctx: those to fit first */
    uint32_t *origin;          /* per window: which source */
    struct qs_key key;         /* of sources, arguments and tokens */
    char **warning; size_t n_warnings; /* small, short windows, one domain, overlap: one line each */
};

/* chat may be NULL: chats are then refused (QS_EINVAL, says which file). QS_EINVAL: fewer tokens than one window. */
int qs_corpus_open(const struct qs_corpus_args *a, const struct qs_vocab *v, const struct qs_chat_template *chat,
                   struct qs_corpus **out, struct qs_err *e);
/* "books.txt 67%, wiki.txt 33%". Appends. */
void qs_corpus_name(const struct qs_corpus *c, struct qs_str *out);
void qs_corpus_free(struct qs_corpus *c); /* NULL allowed */

#endif
