/* recipe.h - what a person decided: a preset, pins, and ordered rules; a commented text file.
 *
 *     # a comment
 *     preset = Q4_K_M
 *     pure = no
 *     output-type = Q6_K
 *     token-embd-type = Q8_0
 *     steady = yes                                # pins and rules leave other tensors alone
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

enum qs_recipe_setting {
    QS_SET_PRESET, QS_SET_PURE, QS_SET_LEAVE_OUTPUT, QS_SET_STRICT, QS_SET_STEADY, QS_SET_OUTPUT_TYPE,
    QS_SET_TOKEN_EMBD_TYPE, QS_SETTINGS
};
const char *qs_recipe_key(enum qs_recipe_setting s); /* the word in the file: "output-type" */

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
    bool steady;        /* pins and rules leave the types of all other tensors as the preset alone gives them */
    int output_type, token_embd_type; /* QS_TYPE_NONE: the preset decides */
    struct qs_recipe_item *pin;  size_t n_pins;
    struct qs_recipe_item *rule; size_t n_rules;
    struct qs_recipe_line *text; size_t n_lines; /* for saving with comments */
    size_t cap_pins, cap_rules, cap_lines;
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
int qs_recipe_copy(const struct qs_recipe *r, struct qs_recipe **out, struct qs_err *e);

/* Edits. One that is refused, or for which memory is out, leaves the recipe as it was. Lines that are not touched keep
 * their text, changed ones their comment; an item that no longer says what its line says has line 0.
 *
 * Settings: preset by name; the options by their new value (flags 0 or 1, types a number or QS_TYPE_NONE, the preset its
 * place in the table of presets). QS_EINVAL: no such preset, a type that cannot be written, a contradiction (leave-output
 * with output-type, pure with a preset without a base type). */
int qs_recipe_set_preset(struct qs_recipe *r, const char *name, struct qs_err *e);
int qs_recipe_set_option(struct qs_recipe *r, enum qs_recipe_setting s, int value, struct qs_err *e);

/* Pins a list of tensors, all or none; a pin of the same name is replaced, type QS_TYPE_NONE takes it out (where there
 * is none nothing happens). Of a name that is listed twice the later one counts. New pins come behind the others, in the
 * order of the list. Takes time for n log n + pins log n comparisons. */
struct qs_pin { const char *tensor; int type; };
int qs_recipe_pin_all(struct qs_recipe *r, const struct qs_pin *pin, size_t n, struct qs_err *e);
int qs_recipe_pin(struct qs_recipe *r, const char *tensor, int type, struct qs_err *e); /* one */

/* Rules by their index in r->rule. Inserting before rule `at` (r->n_rules: behind the last one, at the end of the file)
 * puts the line behind that of the rule before it. A rule that moves takes its line along and has the index `to`
 * afterwards. QS_EINVAL: a pattern that does not compile (with the place), a type that cannot be written, no such rule. */
int qs_recipe_add_rule(struct qs_recipe *r, const char *regex, int type, struct qs_err *e); /* at the end */
int qs_recipe_insert_rule(struct qs_recipe *r, size_t at, const char *regex, int type, struct qs_err *e);
int qs_recipe_replace_rule(struct qs_recipe *r, size_t at, const char *regex, int type, struct qs_err *e);
int qs_recipe_remove_rule(struct qs_recipe *r, size_t at, struct qs_err *e);
int qs_recipe_move_rule(struct qs_recipe *r, size_t from, size_t to, struct qs_err *e);

/* Applies to a model: per pin and rule the tensors matched, and those it decided (first match wins). */
struct qs_recipe_match {
    unsigned matched, decided;
    unsigned refused;               /* could not have its type: told by qs_recipe_resolve_all, else an error */
};
struct qs_resolved {
    int *forced;                    /* per tensor; QS_TYPE_NONE: preset decides */
    int *by;                        /* per tensor: -1 none, i: pin i, n_pins + j: rule j */
    struct qs_recipe_match *match;  /* n_pins + n_rules */
    struct qs_choice *choice;       /* per tensor, complete */
    size_t n_tensors;
    /* Presets number attn_v and ffn_* and, as llama.cpp does, pass over tensors that are forced: others may get another
     * type than the preset alone would give them. Never where the recipe is steady. */
    size_t n_shifted;               /* how many do; 0 too where the preset alone is refused for this model */
    const struct qs_tensor *shifted; /* the first of them, NULL: none */
    char shift_text[400];           /* the same for people, ready as a warning; "" when there are none */
};
/* QS_EINVAL when a pin or rule matches no tensor (unless `lenient`), or forces a type onto a shape it cannot have. */
int qs_recipe_resolve(const struct qs_recipe *r, const struct qs_model *m, bool have_imatrix, bool lenient,
                      struct qs_resolved **out, struct qs_err *e);
/* The same, but what would be an error is told to `problem` and passed over: pins and rules that match nothing, or whose
 * type a tensor cannot have (then the preset decides), strict fallbacks, tensors for which there is no type (they stay as
 * in the source). Fails when memory is out, or as `problem` says. */
int qs_recipe_resolve_all(const struct qs_recipe *r, const struct qs_model *m, bool have_imatrix, qs_problem_fn *problem,
                          void *ctx, struct qs_resolved **out, struct qs_err *e);
void qs_resolved_free(struct qs_resolved *x);

/* The bare form for llama.cpp's --tensor-type-file, plus the command line that goes with it (preset, output and
 * embedding flags, --imatrix) in *args. llama.cpp has no word for steady: as many more pins as it takes stand in its place;
 * which ones may depend on whether there is an importance matrix. Refuses, naming the line, what that reader cannot
 * express: white space in a pattern, upper case in a pattern (it lower-cases them), syntax outside ECMAScript. */
int qs_recipe_export_llama(const struct qs_recipe *r, const struct qs_model *m, bool have_imatrix, struct qs_str *file,
                           struct qs_str *args, struct qs_err *e);

#endif
