/* preset.h - llama.cpp's file types: which type each tensor gets, exactly as at commit 0c1e57098.
 *
 * The rules are data where they are regular, and one function per exception where they are not. They see only what
 * llama.cpp's see: architecture, layer count, heads, experts, tensor names, shapes and order in the file, whether an
 * importance matrix is given, and which tensors carry an override.
 */
#ifndef QS_CORE_PRESET_H
#define QS_CORE_PRESET_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "core/model/model.h"

#define QS_PRESET_DEFAULT "Q4_K_M" /* where none is named */

struct qs_preset {
    const char *name;    /* "Q4_K_M" */
    const char *alias;   /* "Q4_K" or NULL */
    int file_type;       /* general.file_type */
    int base;            /* enum qs_type of most tensors; QS_TYPE_NONE for COPY */
    const char *about;   /* one line: size and quality class, what it mixes */
};

size_t qs_preset_count(void);
const struct qs_preset *qs_preset_at(size_t i);
const struct qs_preset *qs_preset_by_name(const char *name); /* name, alias or number; case ignored; NULL: unknown */
const struct qs_preset *qs_preset_by_file_type(int file_type); /* NULL: unknown */

/* Told of what cannot be done, instead of the first such thing ending the work: the tensor (NULL: none), what asked for it
 * (the pin or rule; NULL: the preset or an option), and why. Anything but QS_OK ends the work with that code and `why`. */
typedef int qs_problem_fn(void *ctx, const struct qs_tensor *t, const void *cause, struct qs_err *why);

struct qs_preset_args {
    const struct qs_preset *preset;
    bool pure;           /* every tensor the base type */
    bool have_imatrix;
    int output_type;     /* QS_TYPE_NONE or override of the output tensor (token_embd too when tied) */
    int token_embd_type; /* QS_TYPE_NONE or override */
    bool leave_output;   /* keep the output tensor as it is */
    bool strict;         /* QS_EINVAL instead of a shape fallback */
    /* per tensor of the model: type forced by a pin or rule, or QS_TYPE_NONE; NULL: none. They do not advance the
     * counters by which the preset numbers attn_v and ffn_down (llama.cpp's behaviour), unless `steady`. */
    const int *forced;
    bool steady;         /* forced tensors are numbered like all others: the types of the others are as without `forced` */
    qs_problem_fn *problem; /* NULL: the first problem is the error; else a fallback is taken where there is one, and */
    void *problem_ctx;      /* other tensors with a problem stay as in the source */
};

enum qs_why {            /* why a tensor has its type */
    QS_WHY_BASE,         /* the preset's base type */
    QS_WHY_PRESET,       /* the preset raises or lowers this role here */
    QS_WHY_PIN, QS_WHY_RULE,
    QS_WHY_OPTION,       /* --output-type, --token-embd-type, --leave-output */
    QS_WHY_KEPT,         /* not quantized: norms, 1-D, routers ...; stays as in the source */
    QS_WHY_SAME,         /* already has this type: copied byte for byte */
    QS_WHY_COPY          /* COPY preset, or unknown type copied through */
};

struct qs_choice {
    int type;            /* type to write */
    int wanted;          /* before the shape fallback; == type when none */
    enum qs_why why;
    char reason[96];     /* for people: "attn_v of a use_more_bits layer", "rows of 576 are no multiple of 256" */
};

/* Fills choice[m->n_tensors]. QS_EINVAL: strict mode met a fallback, or no type fits a shape (tensor named). */
int qs_preset_choose(const struct qs_model *m, const struct qs_preset_args *args, struct qs_choice *choice,
                     struct qs_err *e);

/* Whether llama.cpp quantizes this tensor at all. */
bool qs_preset_quantizes(const struct qs_model *m, const struct qs_tensor *t);
/* Whether a recipe can give it another type: neither that, nor integers, doubles or types unknown to us. */
bool qs_preset_settable(const struct qs_model *m, const struct qs_tensor *t);
/* The type llama.cpp falls back to when rows are no multiple of the block; QS_TYPE_NONE when it has none. */
int qs_preset_fallback(int type);
/* Whether a tensor of this name may not get this type without importance weights (llama.cpp's rule: the embeddings and
 * the output are exempt where the encoder can do without; Q2_K counts in Q2_K_S alone). preset may be NULL. */
bool qs_preset_needs_importance(const struct qs_preset *preset, const char *tensor_name, int type);
const char *qs_why_name(enum qs_why w);

#endif
