/* recipe_opts.h - the options that make a recipe and a plan, shared by `plan` and `quantize`. */
#ifndef QS_SRC_RECIPE_OPTS_H
#define QS_SRC_RECIPE_OPTS_H

#include "core/format/imatrix.h"
#include "core/quant/plan.h"
#include "core/quant/recipe.h"
#include "src/verb.h"

#define QS_CALIBRATED_OPTION                                                                                           \
    { .name = "calibrated", .kind = QS_OPT_FILE, .arg = "FILE",                                                        \
      .help = "take the tensors that calibrate has left in FILE.qscal" }
/* Rows for a verb's option table; the second form is for verbs that do something without any of them: they put a row
 * for "type" before it. */
#define QS_RECIPE_OPTIONS                                                                                              \
    { .name = "type", .letter = 't', .kind = QS_OPT_PRESET, .arg = "TYPE",                                             \
      .help = "preset or file type to write: Q4_K_M, IQ4_XS, Q8_0 ... (default: Q4_K_M)" },                            \
    QS_RECIPE_MORE_OPTIONS
#define QS_RECIPE_MORE_OPTIONS                                                                                         \
    QS_RECIPE_OWN_OPTIONS,                                                                                             \
        { .name = "imatrix",                                                                                           \
          .kind = QS_OPT_FILE,                                                                                         \
          .arg = "FILE",                                                                                               \
          .help = "importance matrix (llama.cpp's .dat or .gguf)" },                                                   \
        QS_CALIBRATED_OPTION,                                                                                          \
    {                                                                                                                  \
        .name = "allow-requantize", .help = "accept a source that is quantized below Q8_0 already"                     \
    }
/* Those of the recipe alone. */
#define QS_RECIPE_OWN_OPTIONS                                                                                          \
    { .name = "recipe",                                                                                                \
      .letter = 'r',                                                                                                   \
      .kind = QS_OPT_FILE,                                                                                             \
      .arg = "FILE",                                                                                                   \
      .help = "take preset, pins and rules from a recipe file; the options below add to it" },                         \
        { .name = "pin", .many = true, .kind = QS_OPT_STR, .arg = "NAME=TYPE", .help = "give one tensor a type" },     \
        { .name = "rule",                                                                                              \
          .many = true,                                                                                                \
          .kind = QS_OPT_STR,                                                                                          \
          .arg = "REGEX=TYPE",                                                                                         \
          .help = "give all tensors whose name the regular expression finds a type; the first match wins" },           \
        { .name = "pure", .help = "every tensor the base type: no mix" },                                              \
        { .name = "output-type", .kind = QS_OPT_TYPE, .arg = "TYPE", .help = "type of the output tensor" },            \
        { .name = "token-embd-type", .kind = QS_OPT_TYPE, .arg = "TYPE", .help = "type of the token embeddings" },     \
        { .name = "leave-output", .help = "keep the output tensor as it is in the source" },                           \
        { .name = "strict", .help = "fail where a row length forces another type than wanted" },                       \
        { .name = "steady", .help = "pins and rules leave the types of all other tensors alone" }

/* The recipe these options describe. QS_EXIT_DONE, or the exit code after the message was printed. */
int qs_cli_recipe(struct qs_cli *cli, struct qs_recipe **out);
/* Whether any of these options asks for a recipe at all (--imatrix and --allow-requantize alone do not). */
bool qs_cli_has_recipe(const struct qs_cli *cli);
/* The importance matrix of --imatrix; NULL without the option. Exit codes as above. */
int qs_cli_imatrix(struct qs_cli *cli, struct qs_imatrix **out);
/* The store of --calibrated; NULL without the option. Exit codes as above. */
int qs_cli_store(struct qs_cli *cli, struct qs_store **out);
/* Warns of a tensor that is larger than --split-max-size: its part will be too. */
void qs_cli_warn_split(struct qs_cli *cli, const struct qs_plan *plan);

#endif
