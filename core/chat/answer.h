/* answer.h - one answer, or a comparison of two, token by token: what a running answer publishes, what a file keeps
 * and what a replay shows.
 *
 * Everything in it can be shown without a model. Texts are valid UTF-8 and may hold control characters: whoever draws
 * makes them harmless (base/unicode.h).
 *
 * FREE: each side writes its own answer; `parted` is the first place where the tokens differ. FOLLOW: side 0 writes,
 * side 1 is fed the same tokens; token i of side 1 is that of side 0, with side 1's own probabilities.
 *
 * DIVERGENCE of token i: KL(side 0 || side 1) = sum p0 (log p0 - log p1) over the vocabulary, in nats and double, of
 * the distributions that the token was chosen from (plain logits, before the sampler). In free mode it is known as
 * long as both sides have seen the same tokens, that is up to and with `parted`, when their prompts were the same.
 */
#ifndef QS_CORE_ANSWER_H
#define QS_CORE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/json.h"

#define QS_ANSWER_SIDES 2
#define QS_ANSWER_BEST 5
#define QS_ANSWER_LABEL 96
#define QS_ANSWER_NONE SIZE_MAX

enum qs_answer_state { QS_ANSWER_EMPTY, QS_ANSWER_WAITING, QS_ANSWER_PREFILL, QS_ANSWER_DECODING, QS_ANSWER_ENDED };
enum qs_answer_stop {
    QS_STOP_NONE,      /* not ended yet */
    QS_STOP_END,       /* the model ended its answer */
    QS_STOP_LIMIT,     /* as many tokens as were asked for */
    QS_STOP_CONTEXT,   /* the context is full; `message` says what can be done */
    QS_STOP_CANCELLED, /* stopped by the person */
    QS_STOP_NAN,       /* logits are NaN or infinite; `message` names them */
    QS_STOP_FAILED,    /* an error; `message` */
};
const char *qs_answer_stop_name(enum qs_answer_stop s);   /* "end", "limit", "context", "cancelled", "nan", "failed" */

struct qs_answer_candidate {
    int32_t token;
    uint32_t piece;        /* its text: offset into answer.pieces, terminated there. Special tokens by name; bytes that
                            * are no UTF-8 by themselves as <0xNN> */
    double p;
};

struct qs_answer_token {
    int32_t token;         /* a token that ends the answer is the last one, and adds no text */
    uint32_t piece;        /* as above */
    size_t text_end;       /* bytes of side.text after this token; a character that is not whole yet comes later */
    double p;              /* probability this side gives it */
    double seconds;        /* since the answer began */
    unsigned n_best;
    struct qs_answer_candidate best[QS_ANSWER_BEST]; /* likeliest first */
    double kld;            /* in tokens of side 1: divergence here; else, and where unknown, NaN */
    bool flip;             /* in tokens of side 1, with a known kld: the sides' likeliest tokens differ */
};

struct qs_answer_memory {  /* bytes */
    uint64_t mapped;       /* weights in files: pages come and go */
    uint64_t heap;         /* weights in private memory */
    uint64_t cache;        /* KV cache and working buffers */
};

struct qs_answer_side {
    char label[QS_ANSWER_LABEL];
    enum qs_answer_state state;
    enum qs_answer_stop stop;
    struct qs_answer_token *token;
    size_t n, cap;
    char *text;            /* whole characters only; terminated; "" when empty */
    size_t text_len, text_cap;
    size_t prompt, reused, prefilled; /* tokens of the prompt; already in the cache; of the rest, done so far */
    size_t decoded;        /* steps that took decode_seconds */
    size_t drafted, accepted; /* tokens guessed ahead; those of them that came true (speculate.h) */
    double prefill_seconds, decode_seconds; /* this side's own steps alone */
    size_t used, context;  /* tokens in the cache, and how many fit */
    struct qs_answer_memory memory;
    char precision[8];     /* "exact", "fast" */
};

/* Over the tokens of side 1 with a known divergence. */
struct qs_answer_summary {
    size_t n;
    double mean_kld, max_kld; /* NaN: n is 0 */
    size_t max_at;            /* token with the largest */
    size_t same_top;          /* tokens whose likeliest token is the same */
};

struct qs_answer {
    uint64_t number;       /* of answers of this chat; grows */
    uint64_t version;      /* grows with every change */
    enum qs_answer_state state;
    bool follow, replayed;
    size_t n_sides;        /* 0: nothing yet */
    struct qs_answer_side side[QS_ANSWER_SIDES];
    size_t parted;         /* first token where the sides differ; QS_ANSWER_NONE: nowhere so far */
    struct qs_answer_summary sum;
    int64_t seed;
    double seconds;        /* since it began; its length when it has ended */
    char *prompt;          /* the message that is answered; "" when empty */
    char *pieces;          /* terminated strings */
    size_t pieces_len, pieces_cap;
    enum qs_code code;     /* of the failure, with `message` */
    bool no_template;      /* it failed since a model's own template could not be used; not kept in files */
    char message[QS_ERR_MAX]; /* why it stopped, where that needs words; "" else */
    struct qs_answer_memory shared; /* parts of the sides' memory that are counted in both and exist once */
};

int qs_answer_new(struct qs_answer **out, struct qs_err *e); /* empty */
void qs_answer_free(struct qs_answer *a);                    /* NULL allowed */
int qs_answer_copy(const struct qs_answer *from, struct qs_answer **out, struct qs_err *e);
const char *qs_answer_piece(const struct qs_answer *a, uint32_t piece);
/* Text that token i of a side added: *n bytes at the result, 0 for half a character. */
const char *qs_answer_text(const struct qs_answer_side *s, size_t i, size_t *n);
/* The token whose text holds byte `at` of side.text; QS_ANSWER_NONE: none. */
size_t qs_answer_at(const struct qs_answer_side *s, size_t at);
/* Tokens per second by this side's own step time; NaN: nothing was done. */
double qs_answer_prefill_rate(const struct qs_answer_side *s);
double qs_answer_decode_rate(const struct qs_answer_side *s);
double qs_answer_acceptance(const struct qs_answer_side *s); /* accepted of drafted; NaN: nothing was guessed */

/* Classes of divergence, for marks and colours: 0 below 0.001, 1 below 0.01, 2 below 0.1, 3 below 1, 4; -1: unknown. */
#define QS_DIVERGENCE_CLASSES 5
int qs_divergence_class(double kld);
double qs_divergence_from(int c);  /* lower end of a class */
char qs_divergence_mark(int c);    /* ' ', '.', ':', '*', '#'; 0 for -1 */

/* ---- files: {"quantscape": "comparison", "version": 1, ...}; a whole answer, ended or stopped ---- */
struct qs_json *qs_answer_json(const struct qs_answer *a);   /* NULL: out of memory */
int qs_answer_from_json(const struct qs_json *j, struct qs_answer **out, struct qs_err *e);
int qs_answer_save(const struct qs_answer *a, const char *path, bool overwrite, struct qs_err *e);
int qs_answer_load(const char *path, struct qs_answer **out, struct qs_err *e); /* at most 256 MiB */

#endif
