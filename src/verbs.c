/* verbs.c - the table of verbs, in the order of the help, and the options that all of them take. */
#include "src/verb.h"

extern const struct qs_verb qs_verb_screen, qs_verb_models;
extern const struct qs_verb qs_verb_info;
extern const struct qs_verb qs_verb_check;
extern const struct qs_verb qs_verb_tensors;
extern const struct qs_verb qs_verb_types;
extern const struct qs_verb qs_verb_tokenize;
extern const struct qs_verb qs_verb_survey;
extern const struct qs_verb qs_verb_map;
extern const struct qs_verb qs_verb_inspect;
extern const struct qs_verb qs_verb_recipe;
extern const struct qs_verb qs_verb_fit;
extern const struct qs_verb qs_verb_plan;
extern const struct qs_verb qs_verb_quantize;
extern const struct qs_verb qs_verb_diff;
extern const struct qs_verb qs_verb_calibrate;
extern const struct qs_verb qs_verb_eval;
extern const struct qs_verb qs_verb_bench;
extern const struct qs_verb qs_verb_chat;
extern const struct qs_verb qs_verb_imatrix;
extern const struct qs_verb qs_verb_config;

const struct qs_verb *const qs_verbs[] = {
    &qs_verb_screen,
    &qs_verb_models,
    &qs_verb_info,
    &qs_verb_check,
    &qs_verb_tensors,
    &qs_verb_types,
    &qs_verb_tokenize,
    &qs_verb_survey,
    &qs_verb_map,
    &qs_verb_inspect,
    &qs_verb_recipe,
    &qs_verb_fit,
    &qs_verb_plan,
    &qs_verb_quantize,
    &qs_verb_diff,
    &qs_verb_calibrate,
    &qs_verb_imatrix,
    &qs_verb_eval,
    &qs_verb_bench,
    &qs_verb_chat,
    &qs_verb_config,
    NULL
};

const struct qs_opt qs_common_options[] = {
    { .name = "json", .help = "print JSON; errors too, as {\"error\": {\"code\", \"message\"}}" },
    { .name = "csv", .help = "print the main table as CSV" },
    { .name = "quiet", .letter = 'q', .help = "no progress, no remarks; errors only" },
    { .name = "threads", .letter = 'j', .kind = QS_OPT_NUM, .arg = "N", .min = 1, .max = 1024,
      .help = "compute with N threads instead of one per core" },
    /* gen_docs compares the words with the levels there are (kernels/level.h). */
    { .name = "level", .kind = QS_OPT_CHOICE, .arg = "NAME",
      .choices = "ref avx2 avxvnni avx512-256 avx512 avx512bf16 neon",
      .help = "use no CPU level above NAME; same but for Hessians" },
    { .name = "pack", .kind = QS_OPT_SIZE, .arg = "SIZE",
      .help = "let weights that are laid out anew for speed take SIZE; 0: run from the file (default: half of the free memory)" },
    { .name = "help", .letter = 'h', .help = "show this help" },
    { .name = "version", .letter = 'V', .help = "show the version" },
    { .name = NULL }
};
