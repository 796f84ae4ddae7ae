/* recipe.h - what a person decided: a preset, pins, and ordered rules; a commented text file.
 *
 *     # a comment
 *     preset = Q4_K_M
 *     pure = no
 *     output-type = Q6_K
 *     token-embd-type = Q8_0
 *     pin  blk.3.ffn_down.weight = Q6_K
 *     rule blk\.(0|1)\.attn_v\.weight = Q8_0      # PCRE2 on GGUF names, unanchored search, case matters
 *
 * Pins (exact names) come before rules, the first matching rule wins, what neither names follows the preset. The
 * options output-type, token-embd-type and leave-output beat rules, as in llama.cpp; a pin on such a tensor beats the
 * option. '#' starts a comment at the beginning of a line or after a blank; the type stands behind the last '='. Names
 * and patterns that begin or end with a blank, begin with '#' or '"', or hold a blank followed by '#' are written in
 * double quotes, where "" is one quote. Lines that did not change keep their text when a recipe is saved again,
 * changed ones their comments, all of them their order.
 */
#ifndef QS_CORE_RECIPE_H
#define QS_CORE_RECIPE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "base/str.h"
#include "core/model/model.h"
#include "core/quant/preset.h"

struct qs_recipe_line; /* one line of the file, comments included */

struct qs_recipe_item { /* a pin or a rule */
    char *pattern;      /* exact name or regular expression */
    int type;
    unsigned line;      /* in the file; 0: made by program */
};

struct qs_recipe {
    char *name;         /* of the file, for messages; NULL: made by program */
    const struct qs_preset *preset; /* never NULL after parse; Q4_K_M by default */
    bool pure, leave_output, strict;
    int output_type, token_embd_type; /* QS_TYPE_NONE: the preset decides */
    struct qs_recipe_item *pin;  size_t n_pins;
    struct qs_recipe_item *rule; size_t n_rules;
    struct qs_recipe_line *text; size_t n_lines; /* for saving with comments */
};

/* Names from people: a type that tensors can be written in (pins, rules, options), a preset. QS_EINVAL names near ones.
 */
int qs_recipe_type(const char *name, int *type, struct qs_err *e);
int qs_recipe_preset(const char *name, const struct qs_preset **out, struct qs_err *e);

int qs_recipe_new(const char *preset, struct qs_recipe **out, struct qs_err *e);
int qs_recipe_parse(const char *name, const char *text, size_t len, struct qs_recipe **out, struct qs_err *e);
int qs_recipe_load(const char *path, struct qs_recipe **out, struct qs_err *e);
void qs_recipe_free(struct qs_recipe *r);
int qs_recipe_print(const struct qs_recipe *r, struct qs_str *out, struct qs_err *e); /* parses back to the same */
int qs_recipe_copy(const struct qs_recipe *r, struct qs_recipe **out, struct qs_err *e); /* for undo */

/* Edits. Setting a pin replaces one of the same name; type QS_TYPE_NONE removes it. */
int qs_recipe_pin(struct qs_recipe *r, const char *tensor, int type, struct qs_err *e);
int qs_recipe_add_rule(struct qs_recipe *r, const char *regex, int type, struct qs_err *e); /* at the end */

/* Applies to a model: per pin and rule the tensors matched, and those it decided (first match wins). */
struct qs_recipe_match { unsigned matched, decided; };
struct qs_resolved {
    int *forced;                    /* per tensor; QS_TYPE_NONE: preset decides */
    int *by;                        /* per tensor: -1 none, i: pin i, n_pins + j: rule j */
    struct qs_recipe_match *match;  /* n_pins + n_rules */
    struct qs_choice *choice;       /* per tensor, complete */
    size_t n_tensors;
    /* Presets number attn_v and ffn_* and, as llama.cpp does, pass over tensors that are forced: others may get another
     * type than the preset alone would give them. */
    size_t n_shifted;               /* how many do; 0 too where the preset alone is refused for this model */
    const struct qs_tensor *shifted; /* the first of them, NULL: none */
    char shift_text[400];           /* the same for people, ready as a warning; "" when there are none */
};
/* QS_EINVAL when a pin or rule matches no tensor (unless `lenient`), or forces a type onto a shape it cannot have. */
int qs_recipe_resolve(const struct qs_recipe *r, const struct qs_model *m, bool have_imatrix, bool lenient,
                      struct qs_resolved **out, struct qs_err *e);
void qs_resolved_free(struct qs_resolved *x);

/* The bare form for llama.cpp's --tensor-type-file, plus the command line that goes with it (preset, output and
 * embedding flags) in *args. Refuses, naming the line, what that reader cannot express: white space in a pattern,
 * upper case in a pattern (it lower-cases them), syntax outside ECMAScript. */
int qs_recipe_export_llama(const struct qs_recipe *r, const struct qs_model *m, struct qs_str *file,
                           struct qs_str *args, struct qs_err *e);

#endif
