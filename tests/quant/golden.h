/* golden.h - reads tests/quant/snapshots: model shapes, and the types llama.cpp gives to their tensors.
 *
 * One file is one model:
 *
 *     # comment
 *     model NAME
 *     arch llama
 *     hparams embd=512 ff=1024 layers=8 heads=8 kv=2 experts=8
 *     tensor NAME TYPE NE0 [NE1 [NE2]]           in file order
 *     run HEAD [| HEAD]... : TYPE=I,J-K ...      the tensors that have each type, by index
 *     run HEAD [| HEAD]... : stops NAME          llama-quantize stops at this tensor
 *
 * HEAD is a preset and its options, as on a command line without dashes: "Q4_K_M imatrix pure output-type=q8_0
 * token-embd-type=q4_K leave-output rule=PATTERN=TYPE".
 */
#ifndef QS_TESTS_QUANT_GOLDEN_H
#define QS_TESTS_QUANT_GOLDEN_H

#include "core/model/model.h"
#include "core/quant/preset.h"

#define QS_GOLDEN_RULES 8

struct qs_golden_run {
    struct qs_preset_args args;   /* forced is NULL */
    char text[200];               /* the head, for messages */
    unsigned n_rules;
    struct { char pattern[64]; int type; } rule[QS_GOLDEN_RULES];
    const int *type;              /* per tensor; NULL: llama-quantize stops */
    const char *stops;            /* at this tensor; NULL otherwise */
};

typedef void qs_golden_fn(void *ctx, const struct qs_model *m, const struct qs_golden_run *run);

/* Calls fn for every run of every model in tests/quant/snapshots whose file name starts with `prefix`. Returns how many
 * runs there were. Failures to read are failures of the test. */
size_t qs_golden_each(const char *prefix, qs_golden_fn *fn, void *ctx);

#endif
