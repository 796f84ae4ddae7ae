/* test_awq_fold.c - folding scales into a model changes nothing of what it says, on every architecture; and where it
 * cannot be done, which is said. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/awq.h"
#include "tests/lib/qs_test.h"
#include "tests/model/tiny.h"

struct model {
    struct qs_model *m;
    struct qs_engine *x;
    struct qs_inputs *in;
    struct tiny_golden g;
    float *logits; /* of the model as it is */
};

static uint64_t state_of_random = 7;

static double uniform(void)
{
    state_of_random = state_of_random * 6364136223846793005u + 1442695040888963407u;
    return (double)(state_of_random >> 11) * 0x1p-53;
}

static float *logits_of(struct model *t)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_session *s;
    const struct qs_session_args args = { t->g.n_ctx, QS_F32, QS_F32, false };
    float *out = qs_malloc(t->g.n * t->g.vocab * sizeof *out);
    assert_non_null(out);
    if (qs_session_new(t->x, &args, &s, &e) != QS_OK || qs_session_feed(s, t->g.id, t->g.n, 0, out, &e) != QS_OK)
        fail_msg("%s", e.msg);
    qs_session_free(s);
    return out;
}

static void open_tiny(const char *name, struct model *t)
{
    struct qs_err e = QS_ERR_INIT;
    const struct qs_engine_args args = { NULL, QS_EXACT, QS_PRIO_JOB, 0, 0 };
    tiny_read(name, "golden.bin", &t->g);
    if (qs_model_open(tiny_path(name, ""), &t->m, &e) != QS_OK || qs_engine_new(t->m, &args, &t->x, &e) != QS_OK ||
        qs_inputs_new(t->x, &t->in, &e) != QS_OK)
        fail_msg("%s", e.msg);
    t->logits = logits_of(t);
}

static void close_tiny(struct model *t)
{
    qs_free(t->logits);
    qs_inputs_free(t->in);
    qs_engine_free(t->x);
    qs_model_close(t->m);
    tiny_free(&t->g);
}

static double changed(struct model *t)
{
    float *now = logits_of(t);
    double err = 0, ref = 0;
    for (size_t i = 0; i < t->g.n * t->g.vocab; i++) {
        err += ((double)now[i] - (double)t->logits[i]) * ((double)now[i] - (double)t->logits[i]);
        ref += (double)t->logits[i] * (double)t->logits[i];
    }
    qs_free(now);
    return sqrt(err / ref);
}

/* Scales from 0.5 to 2; heads on one KV head have the same. */
static float *random_scales(const struct qs_awq_fold *f)
{
    float *s = qs_malloc(f->sets * f->cols * sizeof *s);
    assert_non_null(s);
    const size_t dim = f->cols / f->heads, group = f->heads / f->kv_heads;
    for (size_t j = 0; j < f->sets * f->cols; j++) {
        const size_t head = j / dim, first = f->heads > 1 ? head / group * group * dim + j % dim : j;
        s[j] = first < j ? s[first] : (float)exp2(2 * uniform() - 1);
    }
    return s;
}

static void put_back(struct model *t, size_t tensor)
{
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_engine_set(t->x, tensor, NULL, &e), QS_OK);
}

static void fold(struct model *t, const struct qs_awq_fold *f)
{
    struct qs_err e = QS_ERR_INIT;
    float *s = random_scales(f);
    if (qs_awq_fold_engine(t->x, f, s, &e) != QS_OK)
        fail_msg("%s", e.msg);
    qs_free(s);
}

/* One input alone; then without its half before it, which has to be seen: the comparison can fail. */
static void alone(struct model *t, const char *name, const struct qs_awq_fold *f)
{
    fold(t, f);
    const double d = changed(t);
    for (size_t i = 0; i < f->n_before; i++)
        put_back(t, f->before[i].tensor);
    const double half = changed(t);
    for (size_t i = 0; i < f->n_after; i++)
        put_back(t, f->after[i]);
    if (!(d < 1e-4) || !(half > 1e-3) || changed(t) > 0)
        fail_msg("%s, %s of layer %d: folded, the logits change by %g; half of it by %g", name,
                 qs_point_name(f->input->point), f->input->layer, d, half);
}

/* Whether an input of that architecture is to be refused; the word that says why. */
static const char *refusal(const char *name, enum qs_point p, bool is_tied)
{
    if (strcmp(name, "olmo2") == 0 && (p == QS_POINT_ATTN_IN || p == QS_POINT_FFN_IN))
        return "no norm";
    if (strcmp(name, "gpt-oss") == 0 && p == QS_POINT_EXPERTS_DOWN)
        return "clamps";
    return p == QS_POINT_HEAD && is_tied ? "embedding" : NULL;
}

static void check_refused(const char *name, const struct qs_awq_fold *f, const char *word, struct model *t)
{
    struct qs_err e = QS_ERR_INIT;
    const float one = 1;
    if ((f->refused != NULL) != (word != NULL) || (word && !strstr(f->refused, word)))
        fail_msg("%s, %s: refused '%s', it should be '%s'", name, qs_point_name(f->input->point),
                 f->refused ? f->refused : "", word ? word : "");
    if (word) {
        assert_int_equal(qs_awq_fold_engine(t->x, f, &one, &e), QS_EINVAL);
        assert_non_null(strstr(e.msg, word));
    }
}

static void test_every_architecture(void **state)
{
    (void)state;
    for (size_t k = 0; tiny_names[k]; k++) {
        struct model t;
        size_t folded = 0, refused = 0;
        open_tiny(tiny_names[k], &t);
        const bool is_tied = qs_model_find(t.m, "output.weight") == NULL;
        for (size_t i = 0; i < t.in->n; i++) {
            struct qs_err e = QS_ERR_INIT;
            struct qs_awq_fold f;
            if (qs_awq_fold_of(t.x, &t.in->input[i], &f, &e) != QS_OK)
                fail_msg("%s: %s", tiny_names[k], e.msg);
            check_refused(tiny_names[k], &f, refusal(tiny_names[k], t.in->input[i].point, is_tied), &t);
            refused += f.refused != NULL;
            if (f.refused)
                continue;
            alone(&t, tiny_names[k], &f);
            folded++;
        }
        for (size_t i = 0; i < t.in->n; i++) { /* and all of them, upon each other */
            struct qs_awq_fold f;
            assert_int_equal(qs_awq_fold_of(t.x, &t.in->input[i], &f, NULL), QS_OK);
            if (!f.refused)
                fold(&t, &f);
        }
        const double d = changed(&t);
        print_message("%-12s %2zu inputs folded, %zu refused: logits change by %.1e\n", tiny_names[k], folded,
                      refused, d);
        if (!(d < 1e-4))
            fail_msg("%s: the logits change by %g", tiny_names[k], d);
        close_tiny(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_architecture) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
