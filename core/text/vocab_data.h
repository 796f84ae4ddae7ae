/* vocab_data.h - what a tokenizer is, wherever it comes from, in GGUF's terms.
 *
 * Read from GGUF metadata (the keys tokenizer.*, as ggml's docs/gguf.md and llama.cpp 0c1e57098 have them) or from the
 * files of a Hugging Face folder, which come out as llama.cpp's convert_hf_to_gguf.py would write them: token texts,
 * types, scores, merges, the name of the pre-tokenizer, special ids, flags. Values that the source does not state stay
 * "not stated" here (QS_NO_TOKEN, QS_UNSTATED); what is then done about them is vocab.h's affair.
 *
 * All texts are byte strings with a length (and also 0-terminated) in memory that the struct owns. Token texts stand as
 * GGUF has them: of byte-level vocabularies in GPT-2's printable alphabet, of SentencePiece with U+2581 for the blank.
 * Input is hostile until checked: counts, lengths, ids and types are bounded; messages name the file and the field.
 */
#ifndef QS_CORE_VOCAB_DATA_H
#define QS_CORE_VOCAB_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "core/format/gguf.h"

enum qs_vocab_kind {
    QS_VOCAB_SPM, /* tokenizer.ggml.model "llama": SentencePiece BPE with scores and byte fallback */
    QS_VOCAB_BPE, /* "gpt2" (byte level) and "gemma4" (merges over UTF-8): BPE with merges */
};

/* tokenizer.ggml.token_type */
enum qs_token_type {
    QS_TOKEN_NORMAL = 1, QS_TOKEN_UNKNOWN, QS_TOKEN_CONTROL, QS_TOKEN_USER_DEFINED, QS_TOKEN_UNUSED, QS_TOKEN_BYTE
};

#define QS_NO_TOKEN (-1)
#define QS_UNSTATED (-1)

struct qs_vocab_token {
    const char *text;
    uint32_t len;
    float score;      /* finite */
    uint8_t type;     /* enum qs_token_type */
};

struct qs_vocab_merge {
    const char *text; /* "LEFT RIGHT": the blank between them is the first one behind the first byte */
    uint32_t len;
};

/* Special tokens. The keys are tokenizer.ggml.NAME_token_id. */
enum qs_special {
    QS_SPECIAL_BOS, QS_SPECIAL_EOS, QS_SPECIAL_EOT, QS_SPECIAL_EOM, QS_SPECIAL_UNK, QS_SPECIAL_SEP, QS_SPECIAL_PAD,
    QS_SPECIAL_MASK, QS_SPECIAL_FIM_PRE, QS_SPECIAL_FIM_SUF, QS_SPECIAL_FIM_MID, QS_SPECIAL_FIM_PAD,
    QS_SPECIAL_FIM_REP, QS_SPECIAL_FIM_SEP, QS_SPECIALS
};
const char *qs_special_name(enum qs_special s); /* "bos", "fim_pre" ...: the key without the rest */
/* The key itself: "tokenizer.ggml.bos_token_id", but "tokenizer.ggml.unknown_token_id", "seperator", "padding" as GGUF
 * spells them. */
const char *qs_special_key(enum qs_special s);

struct qs_vocab_data {
    enum qs_vocab_kind kind;
    char model[16];                /* tokenizer.ggml.model */
    char pre[64];                  /* tokenizer.ggml.pre; "": not stated */
    char arch[64], name[128];      /* of the model (general.architecture, general.name); "": not stated */
    struct qs_vocab_token *token;
    size_t n_tokens;               /* 1 to QS_VOCAB_MAX */
    bool has_scores, has_types;    /* stated by the source (types: all NORMAL else, scores: 0) */
    struct qs_vocab_merge *merge;  /* in the order of their rank */
    size_t n_merges;
    int32_t special[QS_SPECIALS];  /* ids below n_tokens, or QS_NO_TOKEN */
    int32_t *eog;                  /* more ids that end a generation (generation_config.json) */
    size_t n_eog;
    /* 0, 1 or QS_UNSTATED */
    int8_t add_bos, add_eos, add_sep, add_space_prefix;
    int8_t remove_extra_whitespaces; /* kept for writing: neither kind looks at it, as in llama.cpp */
    int8_t ignore_merges;          /* of tokenizer.json; counts where `pre`, which says it by its name, is unknown */
    char *chat_template;           /* NULL: none. Not trusted to be UTF-8 */
    char warning[256];             /* "": none. What was done about something odd */
    struct qs_vocab_store *store;  /* memory behind the texts */
};

#define QS_VOCAB_MAX (1u << 22)    /* tokens; the largest known have 262,400 */
#define QS_TOKEN_TEXT_MAX 65535u   /* bytes of one token's text */

/* From metadata entries (qs_model_metadata, or those of a header). QS_ENOTFOUND: the file has no tokenizer at all.
 * QS_EUNSUPPORTED names a kind that this program has not (bert, t5, rwkv ...). QS_EFORMAT: wrong types, counts that
 * disagree. Special ids beyond the vocabulary are dropped, with a warning. */
int qs_vocab_data_kv(const struct qs_kv *kv, size_t n, struct qs_vocab_data **out, struct qs_err *e);

/* From a Hugging Face folder: tokenizer.json or tokenizer.model, with tokenizer_config.json, added_tokens.json,
 * special_tokens_map.json, generation_config.json, config.json, chat_template.jinja or .json where they are. n_rows:
 * rows of the embedding; ids up to there that no file names become unused tokens "[PADn]" (0: only as many as the files
 * name). QS_ENOTFOUND: no tokenizer in the folder. */
int qs_vocab_data_folder(const char *dir, size_t n_rows, struct qs_vocab_data **out, struct qs_err *e);

/* Frees all of it; NULL is allowed. */
void qs_vocab_data_free(struct qs_vocab_data *d);

#endif
