/* bench.h - how fast this machine runs a model, quantizes and calibrates, beside what it can do at most.
 *
 * LIMITS. A decoded token has to read the stored weights that it passes through (of embeddings the one row that it
 * takes), and the keys and values before it: these bytes over the reading speed are the least time. A prompt has to
 * multiply and add: two operations for each weight in the blocks and each token, and once the rows of the head, over
 * the peak of the unit that works on them: int8 where weights of that type meet quantized activations, bfloat16 for
 * BF16 where the machine has it, else float32. Attention is not counted there; it has a number of its own. Limits are
 * measured before and after every run (kernels/limits.h), and a run's share is told by the better of the two.
 *
 * Every number is the median of some runs, with the best and the spread, and says how it was obtained. Nothing is
 * written but scratch files of made-up models, gone at the end.
 */
#ifndef QS_CORE_BENCH_H
#define QS_CORE_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/pool.h"
#include "core/eval/bench_model.h"
#include "core/job/job.h"
#include "core/model/engine.h"
#include "kernels/limits.h"

enum qs_bench_part {
    QS_BENCH_LIMITS, QS_BENCH_STARTUP, QS_BENCH_PREFILL, QS_BENCH_DECODE, QS_BENCH_ATTENTION, QS_BENCH_ENCODE,
    QS_BENCH_CALIBRATE, QS_BENCH_PARTS
};
const char *qs_bench_part_name(enum qs_bench_part p);           /* "limits": options, JSON */
bool qs_bench_part_parse(const char *name, enum qs_bench_part *out);
const char *qs_limit_name(enum qs_limit what);                  /* "read", "int8", "bf16", "f32" */

/* ---- counting ---- */

/* What a piece of work takes at least: bytes read, operations of each unit. */
struct qs_bench_work { double need[QS_LIMITS]; };

/* One token at position pos with logits: weights as stored, and rows of the cache. */
void qs_bench_work_decode(const struct qs_engine *x, const struct qs_session_args *cache, size_t pos,
                          struct qs_bench_work *add);
/* n tokens through the blocks, `heads` rows of logits. bf16: the machine has that unit. */
void qs_bench_work_prefill(const struct qs_engine *x, size_t n, size_t heads, enum qs_precision p, bool bf16,
                           struct qs_bench_work *add);

/* ---- results ---- */

enum { QS_BENCH_WORD = 48, QS_BENCH_NAME = 256, QS_BENCH_HOW = 160 };

struct qs_bench_number {
    enum qs_bench_part part;
    char subject[QS_BENCH_NAME];  /* what was measured: preset or file, type */
    char detail[QS_BENCH_WORD];   /* which side of it: type of the cache, "importance" ...; "": none */
    uint64_t size;                /* tokens of the prompt or the context ...; 0: none */
    char unit[QS_BENCH_WORD];     /* "tokens/s"; seconds, where less is better: "s" */
    size_t runs;
    double median, best, spread;  /* spread: half of the runs lie in a range of this share of the median */
    double limit;                 /* in that unit, median of those beside the runs; NaN: none is known */
    char limited_by[QS_BENCH_WORD]; /* unit with the largest part of it; "" */
    double share, share_best;     /* of the limit: median of the runs; of the best run by the best limit */
    char how[QS_BENCH_HOW];
};

struct qs_bench_limit {           /* a line of kernels/limits.h that was measured */
    char unit[QS_BENCH_WORD], loop[QS_BENCH_WORD], level[QS_BENCH_WORD];
    unsigned threads;
    uint64_t buffer, granted;     /* of reads */
    bool huge;
    size_t tries;
    double median, best;
};

struct qs_bench_subject {         /* a model that was measured */
    char name[QS_BENCH_NAME], source[256]; /* name: one of its own in this run; source: shape or path */
    uint64_t weights, bytes, bytes_per_token;
};

struct qs_bench {
    char version[24], date[24], machine[96], level[16], precision[8], cache[24];
    unsigned threads;
    uint64_t batch;
    struct qs_bench_subject *subject; size_t n_subjects, cap_subjects;
    struct qs_bench_limit *limit; size_t n_limits, cap_limits;
    struct qs_bench_number *number; size_t n_numbers, cap_numbers;
    char (*note)[256]; size_t n_notes, cap_notes;
    bool stopped;                 /* before its end */
};
void qs_bench_free(struct qs_bench *b); /* NULL allowed */

/* ---- measuring ---- */

/* Work of rooms above, timed here; members may be NULL: then that is left out. */
struct qs_bench_calibration {
    /* Importance of every input, from windows * n_ctx tokens. */
    int (*collect)(void *ctx, struct qs_engine *x, const int32_t *tokens, size_t windows, size_t n_ctx, struct qs_err *e);
    /* Add rows * cols numbers to a Hessian that is kept from call to call: as calibration does it, and by the library
     * alone on one thread. */
    int (*hessian)(void *ctx, const float *x, size_t rows, size_t cols, struct qs_err *e);
    int (*library)(void *ctx, const float *x, size_t rows, size_t cols, struct qs_err *e);
    void *ctx;
};

struct qs_bench_args {
    unsigned parts;                        /* 1 << enum qs_bench_part */
    const char *const *model; size_t n_models;   /* files, or: */
    const struct qs_bench_shape *shape;
    const char *const *preset; size_t n_presets; /* of models of that shape */
    const size_t *prefill; size_t n_prefill;
    const size_t *context; size_t n_context;
    const int *type; size_t n_types;       /* to encode */
    struct qs_session_args cache;          /* its types */
    enum qs_precision precision;
    size_t batch;                          /* of the engine; 0: its default */
    double seconds;                        /* about, for each number */
    uint64_t memory;                       /* bytes that may be taken */
    struct qs_pool *pool;
    struct qs_bench_calibration calibration;
};

/* *out is there, with what was measured, after an error and a cancelled job too; NULL without memory alone. */
int qs_bench_run(const struct qs_bench_args *a, struct qs_job *job, struct qs_bench **out, struct qs_err *e);

/* ---- runs that were saved ---- */

/* A run as `bench --json` printed it. QS_EFORMAT: the file is none, with what is missing. Remarks are not read. */
int qs_bench_read(const char *path, struct qs_bench **out, struct qs_err *e);

/* QS_EINVAL where the numbers of both cannot stand beside each other, with what differs: threads, precision, type of the
 * cache, batch, or models of one name that are not the same. Machines, levels and versions may differ: these are what
 * is compared. */
int qs_bench_comparable(const struct qs_bench *a, const struct qs_bench *b, struct qs_err *e);
/* The number of b that was measured as this one; NULL: none. */
const struct qs_bench_number *qs_bench_same(const struct qs_bench *b, const struct qs_bench_number *x);

#endif
