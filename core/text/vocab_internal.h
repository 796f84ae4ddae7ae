/* vocab_internal.h - inside core/text: what a vocabulary is made of. */
#ifndef QS_CORE_VOCAB_INTERNAL_H
#define QS_CORE_VOCAB_INTERNAL_H

#include "core/text/pre.h"
#include "core/text/vocab.h"

/* Byte strings to numbers: open addressing, never shrinks. The strings stay the caller's. */
struct qs_textmap { struct qs_textslot { const char *text; uint32_t len; int32_t value; } *slot; size_t room, n; };
bool qs_textmap_init(struct qs_textmap *m, size_t expected); /* false: out of memory */
void qs_textmap_free(struct qs_textmap *m);
int32_t qs_textmap_get(const struct qs_textmap *m, const char *text, size_t n); /* -1: not there */
/* Adds where it is not there yet. The value that is there now; -1: out of memory. */
int32_t qs_textmap_put(struct qs_textmap *m, const char *text, size_t n, int32_t value);

/* Two parts that become a third. */
struct qs_bpe_pair { uint64_t key; uint32_t rank; int32_t result; }; /* key: left << 32 | right, UINT64_MAX: free */

/* Merges in numbers: a part is a text that stands in merges; pairs of parts are looked up without their texts. */
struct qs_bpe {
    struct qs_bpe_pair *pair;
    size_t room;                 /* power of two */
    int32_t *token;              /* id of the token with the part's text, QS_NO_TOKEN */
    size_t n_parts;
    struct qs_textmap parts;     /* text -> part; kept where symbols are characters, not bytes */
    char *texts;                 /* of results */
    int32_t byte_part[256];      /* part of the byte's own text, -1 */
    int32_t byte_token[256];     /* its token, QS_NO_TOKEN */
};
int qs_bpe_build(struct qs_vocab *v, struct qs_err *e);
void qs_bpe_free(struct qs_bpe *b);

/* Special tokens in text: a trie over their bytes. A node's children are a list of siblings. */
struct qs_trie_node { int32_t child, sibling, token; unsigned char byte; };

/* What tokenizing does to a token; more than one may be set. */
enum { QS_ATTR_NORMAL = 1, QS_ATTR_UNKNOWN = 2, QS_ATTR_CONTROL = 4, QS_ATTR_USER = 8, QS_ATTR_UNUSED = 16,
       QS_ATTR_BYTE = 32, QS_ATTR_RSTRIP = 64 /* white space behind it belongs to it */ };
#define QS_ATTR_IN_TEXT (QS_ATTR_CONTROL | QS_ATTR_USER | QS_ATTR_UNKNOWN) /* looked for in the text itself */

struct qs_vocab {
    struct qs_vocab_data *data;
    uint8_t *attr;
    struct qs_textmap ids;           /* token text -> id */
    uint32_t longest;                /* bytes of the longest token text */
    int32_t special[QS_SPECIALS];
    uint8_t *eog;                    /* a byte a token: 1: ends a generation */
    bool add_bos, add_eos, space_prefix, raw /* SPM's way of blanks */, ignore_merges, whole_newlines;
    int32_t byte_id[256];            /* SPM and raw BPE: token of a byte that no text token covers */
    const struct qs_pre_name *pre_name;
    struct qs_pre *pre;              /* NULL for SPM */
    struct qs_bpe bpe;
    struct qs_trie_node *trie;       /* node 0 is the root */
    size_t n_trie, trie_cap;
    bool trie_first[256];            /* a token in the text may begin with the byte */
    char (*warning)[200];
    size_t n_warnings;
};

/* GPT-2's printable alphabet: a byte's character in UTF-8 (1 or 2 bytes), and back (-1: no such character). */
unsigned qs_byte_letter(unsigned char byte, char out[2]);
int qs_letter_byte(uint32_t cp);

/* Working memory of one call. */
struct qs_symbol { int32_t prev, next, part; uint32_t at, len; };
struct qs_merge_try { float score; uint32_t rank; int32_t left, right, result; uint32_t len; };
struct qs_tokenizing {
    const struct qs_vocab *v;
    struct qs_tokens *out;
    struct qs_symbol *symbol;
    size_t n_symbols, symbol_cap;
    struct qs_merge_try *heap;
    size_t n_heap, heap_cap;
    struct qs_str text;              /* one piece, blanks escaped */
    struct qs_str letters;           /* one word in GPT-2's alphabet */
    struct qs_pre_words words;
    struct qs_err *e;
};
bool qs_heap_push(struct qs_tokenizing *t, struct qs_merge_try m);  /* false: out of memory */
/* Queues the merge of two neighbouring symbols of the text where there is one; -1: no neighbour. False: out of memory.
 */
typedef bool qs_try_pair_fn(struct qs_tokenizing *t, const char *text, int32_t left, int32_t right);
/* Merges the symbols until nothing merges any more, the best pair first. False: out of memory. */
bool qs_merge_all(struct qs_tokenizing *t, const char *text, qs_try_pair_fn *try_pair);
int qs_spm_tokenize(struct qs_tokenizing *t, const char *text, size_t n); /* escaped text */
int qs_bpe_tokenize(struct qs_tokenizing *t, const char *text, size_t n);

#endif
