/* bench_internal.h - between the files of the bench: what runs, and the one way to take a number. */
#ifndef QS_CORE_BENCH_INTERNAL_H
#define QS_CORE_BENCH_INTERNAL_H

#include "core/eval/bench.h"

enum { QS_BENCH_RUNS = 99 };

struct qs_bench_run_state {
    const struct qs_bench_args *args;
    struct qs_job *job;
    struct qs_bench *result;
    struct qs_limits *limits;
    double now[QS_LIMITS];    /* limits of the last look */
    bool bf16;                /* the machine has that unit */
    /* the model at hand */
    struct qs_model *model;
    char subject[QS_BENCH_NAME];
};

/* Something that is timed again and again. */
struct qs_bench_try {
    void *ctx;
    int (*once)(void *ctx, double *seconds, struct qs_err *e);
    double amount;                 /* of the unit, in one run; 0: the seconds are the number */
    struct qs_bench_work work;     /* what a run takes at least; nothing: no limit is known */
    size_t runs_most;              /* 0: as many as there is time for */
};

/* Takes the number, adds it to the result and counts it in the job. `out`: part, subject, detail, size, unit, how. */
int qs_bench_take(struct qs_bench_run_state *s, struct qs_bench_try *t, struct qs_bench_number *out, struct qs_err *e);
/* Measures the limits that the work asks for. */
int qs_bench_look(struct qs_bench_run_state *s, const struct qs_bench_work *w, double now[QS_LIMITS], struct qs_err *e);
void qs_bench_note(struct qs_bench_run_state *s, const char *fmt, ...) QS_PRINTF(2, 3);

/* The parts. Those of a model measure the one at hand. */
int qs_bench_limits(struct qs_bench_run_state *s, struct qs_err *e);
int qs_bench_startup(struct qs_bench_run_state *s, const char *path, struct qs_err *e);
int qs_bench_speed(struct qs_bench_run_state *s, struct qs_err *e); /* prefill, decode */
int qs_bench_attention(struct qs_bench_run_state *s, struct qs_err *e);
int qs_bench_collect(struct qs_bench_run_state *s, struct qs_err *e);
int qs_bench_hessian(struct qs_bench_run_state *s, struct qs_err *e);
int qs_bench_encode(struct qs_bench_run_state *s, struct qs_err *e);

#endif
