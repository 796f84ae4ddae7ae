/* bench_encode.c - how fast rows are encoded, by type, with and without importance: one thread's own time.
 *
 * Rows of made-up float16 weights, as many as take a fraction of a second. Goes through core/quant/encode.c as a
 * quantization does.
 */
#include "core/eval/bench_internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "core/quant/encode.h"
#include "kernels/half.h"

enum { COLS = 2048, ROWS_MOST = 512, ROWS_FIRST = 4 };
#define RUN_SECONDS 0.1

struct encoding {
    struct qs_encoder *encoder;
    struct qs_weight *source;
    struct qs_imatrix_entry importance;
    bool weighted;
    int type;
    uint64_t rows;
    uint8_t *out;
};

static double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int encode_once(void *ctx, double *seconds, struct qs_err *e)
{
    struct encoding *x = ctx;
    const double start = thread_seconds();
    const int rc = qs_encode_rows(x->encoder, QS_PRIO_JOB, x->source, 0, x->rows, x->type,
                                  x->weighted ? &x->importance : NULL, x->out, NULL, NULL, e);
    *seconds = thread_seconds() - start;
    return rc;
}

/* Sums of four uniform numbers: close to a bell, as weights are. */
static int make_source(struct encoding *x, struct qs_err *e)
{
    struct qs_parts parts;
    uint32_t state = 3;
    const uint64_t ne[4] = { COLS, ROWS_MOST, 1, 1 };
    int rc = qs_weight_heap(qs_format_by_id(QS_F16), ne, &x->source, &parts, e);
    x->importance = (struct qs_imatrix_entry){ .name = (char *)"made up", .n = COLS, .experts = 1, .count = 1 };
    x->importance.value = qs_malloc(COLS * sizeof(float));
    x->out = qs_malloc(ROWS_MOST * COLS * sizeof(float));
    if (!rc && (!x->importance.value || !x->out))
        rc = qs_fail_mem(e, ROWS_MOST * COLS * sizeof(float), "rows to encode");
    for (size_t i = 0; !rc && i < (size_t)ROWS_MOST * COLS; i++) {
        float sum = -2;
        for (int k = 0; k < 4; k++) {
            state = state * 1664525 + 1013904223;
            sum += (float)(state >> 8) / 0x1p24f;
        }
        const uint16_t h = qs_f32_to_f16(sum / 32);
        memcpy(parts.p[0] + i * sizeof h, &h, sizeof h);
    }
    for (size_t i = 0; !rc && i < COLS; i++)
        x->importance.value[i] = 0.25f + (float)(i * 7919 % 1009) / 256;
    return rc ? rc : qs_encoder_new(NULL, COLS, &x->encoder, e);
}

static int one_type(struct qs_bench_run_state *s, struct encoding *x, int type, bool weighted, struct qs_err *e)
{
    struct qs_bench_number out = { .part = QS_BENCH_ENCODE, .unit = "weights/CPU s" };
    struct qs_bench_try t = { .ctx = x, .once = encode_once };
    double seconds = 0;
    x->type = type;
    x->weighted = weighted;
    x->rows = ROWS_FIRST;
    int rc = encode_once(x, &seconds, e);
    rc = rc ? rc : encode_once(x, &seconds, e);
    const double rows = ROWS_FIRST * RUN_SECONDS / (seconds > 1e-7 ? seconds : 1e-7);
    x->rows = rows > ROWS_MOST ? ROWS_MOST : rows < ROWS_FIRST ? ROWS_FIRST : (uint64_t)rows;
    t.amount = (double)x->rows * COLS;
    snprintf(out.subject, sizeof out.subject, "%s", qs_type_name(type));
    snprintf(out.detail, sizeof out.detail, "%s", weighted ? "importance" : "plain");
    snprintf(out.how, sizeof out.how, "rows of %d float16 weights, the time of one thread", COLS);
    return rc ? rc : qs_bench_take(s, &t, &out, e);
}

int qs_bench_encode(struct qs_bench_run_state *s, struct qs_err *e)
{
    struct encoding x = { .encoder = NULL };
    int rc = make_source(&x, e);
    qs_job_phase(s->job, "encode", "numbers", 2 * s->args->n_types);
    for (size_t i = 0; rc == QS_OK && i < s->args->n_types; i++) {
        const struct qs_format *f = qs_format_by_id(s->args->type[i]);
        if (!(f->flags & QS_NEEDS_IMATRIX))
            rc = one_type(s, &x, f->id, false, e);
        if (rc == QS_OK && f->flags & (QS_USES_IMATRIX | QS_NEEDS_IMATRIX))
            rc = one_type(s, &x, f->id, true, e);
    }
    qs_encoder_free(x.encoder);
    qs_weight_unref(x.source);
    qs_free(x.importance.value);
    qs_free(x.out);
    return rc;
}
