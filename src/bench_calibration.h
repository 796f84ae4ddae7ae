/* bench_calibration.h - what `bench` times of calibration: collections and Hessians, as core/calib makes them. */
#ifndef QS_SRC_BENCH_CALIBRATION_H
#define QS_SRC_BENCH_CALIBRATION_H

#include "core/calib/hessian.h"
#include "core/eval/bench.h"

struct qs_bench_hessians {
    struct qs_pool *pool;
    struct qs_hessian *sum;  /* made when first used */
    float *plain;            /* of the library alone */
};

/* The functions for qs_bench_args, working on `h`. */
struct qs_bench_calibration qs_bench_calibration_of(struct qs_bench_hessians *h);
void qs_bench_hessians_free(struct qs_bench_hessians *h);

#endif
