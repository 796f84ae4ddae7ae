/* statistics.h - what a calibration knows of a model's inputs: kept in one file that is also an importance matrix.
 *
 * FILE. llama.cpp's GGUF form (NAME.in_sum2, NAME.counts, NAME.in_sum per tensor; imatrix.datasets, chunk_count,
 * chunk_size), which llama-quantize and llama-imatrix read, and beside it tensors of our own whose names those readers
 * pass over: per input the largest magnitudes (quantscape.N.max) and the sample of rows (quantscape.N.rows in F16, each
 * row times a power of two of its own). Our keys are "quantscape.*": one JSON text of facts (content keys of model and
 * corpus, tokens, the inputs with their tensors and massive tokens), the tables of errors and of swaps.
 * Also written in the legacy .dat form, without our part. A plain imatrix opens as statistics that know importance
 * alone.
 *
 * What the file cannot hold is rounded off by sealing (sums and counts to single precision, rows to half), so that
 * statistics just collected and those read from their file are the same, and so is all that is made of them.
 */
#ifndef QS_CALIB_STATISTICS_H
#define QS_CALIB_STATISTICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/hash.h"
#include "core/calib/corpus.h"
#include "core/calib/inputs.h"
#include "core/format/imatrix.h"

#define QS_SAMPLE_ROWS 256
#define QS_MASSIVE_TOKENS 8

struct qs_massive { size_t window, pos; int32_t token; float max; double ratio; }; /* largest |x| of a row over the median row's */

struct qs_input_stats {
    int layer; enum qs_point point;
    size_t cols, experts;
    double *sum2, *sum;       /* experts * cols: of squares, of values; sum NULL: not known (plain imatrix) */
    float *max;               /* experts * cols: largest magnitude; NULL: not known (plain imatrix) */
    uint64_t *count;          /* experts: rows */
    float *row; uint32_t *row_expert; size_t n_rows; /* the sample: evenly spread over the windows to fit; 0: not known */
    uint64_t nonfinite, bad_window; /* rows with NaN or infinity, and the first window that has one */
    struct qs_massive massive[QS_MASSIVE_TOKENS]; unsigned n_massive; /* worst first */
    char **tensor; size_t n_tensors; /* names of the matrices that read it; from seal and open on */
};

/* Output error of a tensor at a type: relative, sqrt(tr(D H D^T) / tr(W H W^T)), with its Hessian, or ||(W-W^)X|| /
 * ||WX||. */
enum qs_calib_method { QS_CALIB_PLAIN /* the type's search without importance */, QS_CALIB_IMATRIX, QS_CALIB_GPTQ, QS_CALIB_AWQ,
                       QS_CALIB_AWQ_GPTQ, QS_CALIB_HQQ, QS_CALIB_METHODS };
const char *qs_calib_method_name(enum qs_calib_method m); /* "plain", "imatrix", "GPTQ", "AWQ", "AWQ+GPTQ", "HQQ" */

struct qs_error_cell { char *tensor; int type; enum qs_calib_method method; double error /* held-out */, fitted; double seconds; };
/* KLD of the model when that tensor alone is changed. */
struct qs_swap_cell { char *tensor; int type; enum qs_calib_method method; double kld, kld_se; size_t windows; double error; };

/* Precision of the activations that were looked at (kernels/op.h). Of a request ANY means what is usual: fast, and exact
 * where errors of types are measured too; of statistics that it is not known (plain imatrix, merged of both). */
enum qs_calib_precision { QS_CALIB_ANY, QS_CALIB_EXACT, QS_CALIB_FAST, QS_CALIB_PRECISIONS };
const char *qs_calib_precision_name(enum qs_calib_precision p); /* "any", "exact", "fast" */
enum qs_calib_precision qs_calib_precision_named(const char *name); /* ANY where it is none */

struct qs_statistics {
    struct qs_input_stats *input; size_t n_inputs;
    struct qs_error_cell *error; size_t n_errors, cap_errors;
    struct qs_swap_cell *swap; size_t n_swaps, cap_swaps;
    struct qs_key model, corpus;   /* 0: unknown */
    char *dataset;                 /* sources, for people */
    uint64_t tokens, windows, n_ctx;
    enum qs_calib_precision precision;
    struct qs_key key;             /* hash of importance, rows: what encoded bytes depend on */
    struct qs_imatrix *imatrix;    /* the same importance as the rest of the program takes it; owned; qs_statistics_seal makes it */
};

/* All zero, an entry for each input: sum2, sum, max, count, and row and row_expert with room for QS_SAMPLE_ROWS (n_rows
 * 0). */
int qs_statistics_new(const struct qs_inputs *in, struct qs_statistics **out, struct qs_err *e);
void qs_statistics_free(struct qs_statistics *s); /* NULL allowed */
/* Makes imatrix and key from what was collected. m gives the tensors' names; both NULL: those known already. Inputs
 * without any count (nothing is known of them) are left out of the imatrix. QS_EFORMAT: a sum or row that is no finite
 * number, or absurd. */
int qs_statistics_seal(struct qs_statistics *s, const struct qs_inputs *in, const struct qs_model *m, struct qs_err *e);
/* in and m as for seal. path appears only when whole. legacy: the .dat form. QS_EEXISTS without overwrite. */
int qs_statistics_save(const struct qs_statistics *s, const struct qs_inputs *in, const struct qs_model *m, const char *path,
                       bool legacy, bool overwrite, struct qs_err *e);
/* Either form. QS_EINVAL: it belongs to another model (names which tensor). Inputs of which the file knows nothing have
 * counts 0. in and m NULL: inputs as the file has them (of a plain imatrix every entry by itself), to be looked at,
 * merged and saved. */
int qs_statistics_open(const char *path, const struct qs_inputs *in, const struct qs_model *m, struct qs_statistics **out,
                       struct qs_err *e);
int qs_statistics_open_mem(const void *bytes, size_t n, const struct qs_inputs *in, const struct qs_model *m,
                           struct qs_statistics **out, struct qs_err *e);
/* in and m NULL; the .dat form counts calls of `chunk` tokens (0: QS_IMATRIX_CHUNK). */
int qs_statistics_open_alone(const char *path, uint32_t chunk, struct qs_statistics **out, struct qs_err *e);
/* to += more (sums, counts, largest values; samples drawn anew from both), and seals it again. Errors and swaps are
 * dropped: they were of other statistics. What only one of them knows (largest values, sums, samples) is not known of
 * both. Both sealed or opened; inputs find each other by their tensors' names. QS_EINVAL: of different models, by their
 * shapes, or by their content keys where both are known; `other_models` allows the latter (another type of the same
 * model), and the result has no such key. */
int qs_statistics_merge(struct qs_statistics *to, const struct qs_statistics *more, bool other_models, struct qs_err *e);
const struct qs_input_stats *qs_statistics_of(const struct qs_statistics *s, int layer, enum qs_point point);

int qs_statistics_put_error(struct qs_statistics *s, const struct qs_error_cell *c, struct qs_err *e); /* replaces its like */
int qs_statistics_put_swap(struct qs_statistics *s, const struct qs_swap_cell *c, struct qs_err *e);
const struct qs_error_cell *qs_statistics_error(const struct qs_statistics *s, const char *tensor, int type, enum qs_calib_method m);
const struct qs_swap_cell *qs_statistics_swap(const struct qs_statistics *s, const char *tensor); /* the newest */

/* Activation outliers of an input: channels by largest magnitude over the median one's among those that are not always
 * 0. */
struct qs_channel_facts {
    double outlier_ratio;     /* largest over median */
    double salient;           /* share of channels at or above QS_SALIENT_RATIO times the median */
    size_t worst[8]; double worst_ratio[8]; unsigned n_worst;
    size_t dead;              /* channels that are always 0 */
    size_t unseen;            /* experts without a row */
    size_t rare;              /* experts with fewer rows than columns, those without any included ... */
    uint64_t tokens_needed;   /* ... and about how many more tokens of such text all of them need (unseen: as if seen once) */
    bool by_rms;              /* largest magnitudes are not known: ratios are of the channels' RMS instead */
};
#define QS_SALIENT_RATIO 8.0
void qs_channel_facts(const struct qs_input_stats *s, uint64_t tokens, struct qs_channel_facts *out);

/* ||(W - W^) X|| / ||W X|| over the sample of rows; `made` are rows of W^ in float. In double. With experts: an equal
 * number of rows of each, one after the other. NaN where W X is 0. QS_ENOTFOUND: no sample. */
int qs_output_error(const struct qs_input_stats *s, const float *w, const float *made, size_t rows, double *out, struct qs_err *e);

#endif
