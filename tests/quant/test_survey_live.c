/* test_survey_live.c - the survey as a table that is read while it is filled: gaps, lists, urgent cells, whole after
 * sampled, the cache first, one that measures, and readers beside it (under TSan as well). */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/quant/survey.h"
#include "core/quant/survey_cache.h"
#include "core/report/report_map.h"
#include "core/report/report_survey.h"
#include "tests/quant/made_tensors.h"

enum { EMBD, NORM, Q, DOWN, ODD, EXPERT_0, EXPERT_1, EXPERT_2, N };
static struct made_tensor tensors[N] = {
    { "token_embd.weight", { 256, 400 }, NULL },     { "blk.0.attn_norm.weight", { 256 }, NULL },
    { "blk.0.attn_q.weight", { 256, 256 }, NULL },   { "blk.0.ffn_down.weight", { 512, 256 }, NULL },
    { "blk.0.odd.weight", { 96, 120 }, NULL },       { "blk.0.ffn_gate.0.weight", { 256, 8 }, NULL },
    { "blk.0.ffn_gate.1.weight", { 256, 8 }, NULL }, { "blk.0.ffn_gate.2.weight", { 256, 8 }, NULL },
};
static const int types[] = { QS_Q8_0, QS_Q4_K, QS_Q5_0, QS_F32 };
enum { N_TYPES = sizeof types / sizeof *types };

static struct qs_model *model;
static struct qs_pool *pool;
static char cache_path[1024];

static struct qs_survey_args args_of(bool cache)
{
    return (struct qs_survey_args){ .errors = true, .stats = true, .types = types, .n_types = N_TYPES,
                                    .sample_weights = 8192, .no_cache = !cache };
}

static struct qs_survey *new_survey(bool cache)
{
    struct qs_survey *s = NULL;
    struct qs_err e = QS_ERR_INIT;
    const struct qs_survey_args args = args_of(cache);
    if (qs_survey_new(model, &args, &s, &e))
        fail_msg("%s", e.msg);
    return s;
}

static const struct qs_tensor *tensor(int i)
{
    return qs_model_find(model, tensors[i].name);
}

static struct qs_survey_cell cell(const struct qs_survey *s, int i, int type)
{
    struct qs_survey_cell c;
    const bool known = qs_survey_cell(s, tensor(i), type, &c);
    assert_int_equal(known, c.known);
    return c;
}

static bool has_stats(const struct qs_survey *s, int i)
{
    struct qs_survey_stats x;
    return qs_survey_stats(s, tensor(i), &x);
}

static uint64_t measured(const struct qs_survey *s)
{
    return qs_survey_counts(s).measured;
}

static void must(int rc, const struct qs_err *e)
{
    if (rc)
        fail_msg("%s", e->msg);
}

/* Everything, tensor by tensor; n entries. */
static struct qs_survey_want *list_all(const struct qs_survey *s, size_t *n)
{
    struct qs_survey_want *want = calloc(s->n_tensors * (s->n_types + 1), sizeof *want);
    *n = 0;
    for (size_t i = 0; i < s->n_tensors; i++) {
        want[(*n)++] = (struct qs_survey_want){ .tensor = s->tensor[i], .type = QS_TYPE_NONE };
        for (size_t k = 0; k < s->n_types; k++)
            want[(*n)++] = (struct qs_survey_want){ .tensor = s->tensor[i], .type = s->type[k] };
    }
    return want;
}

static void assert_same(const struct qs_survey *a, const struct qs_survey *b)
{
    for (size_t i = 0; i < a->n_tensors; i++) {
        struct qs_survey_stats p, q;
        enum qs_how how[2];
        const double x = qs_survey_mean_square(a, a->tensor[i], &how[0]),
                     y = qs_survey_mean_square(b, b->tensor[i], &how[1]);
        qs_survey_stats(a, a->tensor[i], &p);
        qs_survey_stats(b, b->tensor[i], &q);
        assert_memory_equal(&p, &q, sizeof p);
        assert_true(memcmp(&x, &y, sizeof x) == 0 && how[0] == how[1]);
        for (size_t k = 0; k < a->n_types; k++) {
            struct qs_survey_cell c, d;
            assert_int_equal(qs_survey_cell(a, a->tensor[i], a->type[k], &c),
                             qs_survey_cell(b, b->tensor[i], b->type[k], &d));
            assert_true(c.gap == d.gap && c.how == d.how && c.sample == d.sample && c.bytes == d.bytes);
            assert_memory_equal(&c.error, &d.error, sizeof c.error);
            assert_memory_equal(&c.error_se, &d.error_se, sizeof c.error_se);
        }
    }
}

/* ---- the table ----------------------------------------------------------------------------------------------- */

static void test_empty(void **state)
{
    (void)state;
    struct qs_survey *s = new_survey(false);
    enum qs_how how;
    struct qs_survey_cell c;
    assert_int_equal(s->n_tensors, N);
    assert_int_equal(cell(s, Q, QS_Q4_K).gap, QS_GAP_NOT_MEASURED);
    assert_int_equal(cell(s, Q, QS_Q4_K).bytes, 256 * 144);
    assert_int_equal(cell(s, ODD, QS_Q4_K).gap, QS_GAP_SHAPE);
    assert_int_equal(cell(s, NORM, QS_Q8_0).gap, QS_GAP_ONE_DIM);
    assert_true(cell(s, Q, QS_F32).known); /* the file's own */
    assert_false(qs_survey_cell(s, tensor(Q), QS_Q6_K, &c)); /* no column */
    assert_true(c.gap == QS_GAP_NOT_MEASURED && isnan(c.error));
    assert_false(has_stats(s, Q));
    assert_true(isnan(qs_survey_mean_square(s, tensor(Q), &how)));
    assert_int_equal(qs_survey_version(s), 0);
    qs_survey_free(s);
}

/* Unknown cells are told with their gap; members of folded cells; a row for each expert where that is asked. */
static void test_heat_of_unfilled(void **state)
{
    (void)state;
    struct qs_survey *s = new_survey(false);
    int type[N];
    struct qs_heat *h = NULL;
    struct qs_err e = QS_ERR_INIT;
    for (int i = 0; i < N; i++)
        type[i] = QS_Q4_K;
    struct qs_heat_args args = { .measure = QS_MAP_ERROR, .type = type, .scale = -1 };
    const struct qs_survey_want want = { .tensor = tensor(EXPERT_1), .type = QS_Q4_K };
    must(qs_survey_measure(s, &want, 1, NULL, NULL, pool, NULL, &e), &e);
    must(qs_heat_make(model, s, &args, &h, &e), &e);
    assert_int_equal(h->n_rows, 4);
    assert_int_equal(h->unknown, h->n_items - 1);
    for (size_t r = 0; r < h->n_rows; r++) {
        const struct qs_heat_cell *c = &h->row[r].cell[0];
        const bool folded = strcmp(h->row[r].label, "ffn_gate.*") == 0;
        assert_int_equal(c->tensors, folded ? 3 : 1);
        assert_int_equal(c->known, folded);
        for (unsigned i = 0; i < c->tensors; i++)
            assert_ptr_equal(c->member[i], folded ? tensor(EXPERT_0 + (int)i) : c->tensor);
        if (folded)
            assert_true(c->value > 0 && c->gap == QS_GAP_NONE && c->tensor == tensor(EXPERT_1));
        else
            assert_true(isnan(c->value) && c->gap == (c->tensor == tensor(ODD) ? QS_GAP_SHAPE : QS_GAP_NOT_MEASURED));
        assert_int_equal(h->row[r].expert, -1);
    }
    for (size_t i = 0; i < h->n_items; i++)
        assert_ptr_equal(h->item[i].member[0], h->item[i].tensor);
    qs_heat_free(h);
    args.unfold = "ffn_gate.*";
    must(qs_heat_make(model, s, &args, &h, &e), &e);
    assert_int_equal(h->n_rows, 6);
    assert_int_equal(h->folded, 0);
    unsigned experts = 0;
    for (size_t r = 0; r < h->n_rows; r++) {
        char label[QS_MAP_LABEL];
        if (h->row[r].expert < 0)
            continue;
        assert_int_equal(h->row[r].expert, experts); /* by number, side by side */
        assert_true(experts == 0 || h->row[r - 1].expert == (int)experts - 1);
        assert_ptr_equal(h->row[r].cell[0].tensor, tensor(EXPERT_0 + (int)experts));
        assert_string_equal(h->row[r].label, qs_heat_label(h, h->row[r].cell[0].tensor, label, sizeof label));
        experts++;
    }
    assert_int_equal(experts, 3);
    qs_heat_free(h);
    qs_survey_free(s);
}

/* ---- lists --------------------------------------------------------------------------------------------------- */

/* Measuring the list of everything is the same as running it all at once; a second time there is nothing to do. */
static void test_same_as_run(void **state)
{
    (void)state;
    const struct qs_survey_args args = args_of(false);
    struct qs_survey *whole = NULL, *s = new_survey(false);
    struct qs_err e = QS_ERR_INIT;
    size_t n;
    struct qs_survey_want *want = list_all(s, &n);
    must(qs_survey_run(model, &args, pool, NULL, &whole, &e), &e);
    for (size_t i = 0; i < n / 2; i++) { /* backwards */
        const struct qs_survey_want w = want[i];
        want[i] = want[n - 1 - i];
        want[n - 1 - i] = w;
    }
    must(qs_survey_measure(s, want, n, NULL, NULL, pool, NULL, &e), &e);
    assert_same(whole, s);
    assert_int_equal(measured(s), measured(whole));
    const uint64_t version = qs_survey_version(s);
    assert_int_equal(version, measured(s));
    must(qs_survey_measure(s, want, n, NULL, NULL, pool, NULL, &e), &e);
    assert_int_equal(qs_survey_version(s), version);
    free(want);
    qs_survey_free(whole);
    qs_survey_free(s);
}

static void test_whole_after_sampled(void **state)
{
    (void)state;
    struct qs_survey *s = new_survey(false);
    struct qs_survey_want want[] = { { .tensor = tensor(DOWN), .type = QS_Q4_K }, { .tensor = NULL, .type = QS_Q4_K },
                                     { .tensor = tensor(DOWN), .type = QS_Q6_K },
                                     { .tensor = tensor(ODD), .type = QS_Q4_K } };
    struct qs_err e = QS_ERR_INIT;
    must(qs_survey_measure(s, want, 4, NULL, NULL, pool, NULL, &e), &e); /* those without a place are passed over */
    assert_int_equal(measured(s), 1);
    const struct qs_survey_cell part = cell(s, DOWN, QS_Q4_K);
    assert_int_equal(part.how, QS_HOW_SAMPLED);
    want[0].whole = true;
    must(qs_survey_measure(s, want, 1, NULL, NULL, pool, NULL, &e), &e);
    const struct qs_survey_cell all = cell(s, DOWN, QS_Q4_K);
    assert_true(all.how == QS_HOW_WHOLE && all.sample == 512 * 256 && all.bytes == part.bytes);
    assert_true(fabs(all.error - part.error) < 6 * part.error_se);
    want[0].whole = false;
    must(qs_survey_measure(s, want, 1, NULL, NULL, pool, NULL, &e), &e);
    assert_int_equal(cell(s, DOWN, QS_Q4_K).how, QS_HOW_WHOLE);
    assert_int_equal(measured(s), 2);
    qs_survey_free(s);
}

/* Hands in what it has, and notes what was there at each call. */
struct queue {
    struct qs_survey *s;
    const struct qs_survey_want *want; size_t n, at;
    uint64_t version[32]; size_t calls;
    int busy;
    atomic_uint *round; unsigned last; /* of a reader beside; NULL: none */
};

static bool next_urgent(void *ctx, struct qs_survey_want *out)
{
    struct queue *q = ctx;
    struct qs_err e = QS_ERR_INIT;
    if (q->calls < 32)
        q->version[q->calls] = qs_survey_version(q->s);
    q->calls++;
    while (q->round && atomic_load(q->round) == q->last) /* the reader begins anew, and reads during the next cell */
        sched_yield();
    q->last = q->round ? atomic_load(q->round) : 0;
    q->busy += qs_survey_measure(q->s, q->want, q->n, NULL, NULL, pool, NULL, &e) == QS_EBUSY && e.code == QS_EBUSY;
    if (q->at < q->n)
        *out = q->want[q->at++];
    return q->at <= q->n && q->calls <= q->n;
}

struct measuring { struct qs_survey *s; const struct qs_survey_want *want; size_t n; struct queue *q; };

static int measure_in_job(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct measuring *m = ctx;
    return qs_survey_measure(m->s, m->want, m->n, m->q ? next_urgent : NULL, m->q, pool, job, e);
}

static struct qs_job_status finished_job(struct measuring *m)
{
    struct qs_job *job = NULL;
    struct qs_job_status st;
    struct qs_err e = QS_ERR_INIT;
    must(qs_job_start("survey", measure_in_job, m, -1, &job, &e), &e);
    must(qs_job_wait(job, &e), &e);
    qs_job_status(job, &st);
    qs_job_free(job);
    assert_int_equal(st.done, st.total);
    return st;
}

/* Urgent ones go first and make the total grow, once each; all that was announced is done in the end. Who comes second
 * is turned away. */
static void test_urgent(void **state)
{
    (void)state;
    const struct qs_survey_want list[] = {
        { .tensor = tensor(Q), .type = QS_Q4_K }, { .tensor = tensor(Q), .type = QS_Q8_0 },
        { .tensor = tensor(Q), .type = QS_Q4_K }, { .tensor = tensor(ODD), .type = QS_F32 },
    };
    const struct qs_survey_want urgent[] = {
        { .tensor = tensor(DOWN), .type = QS_Q4_K, .whole = true },
        { .tensor = tensor(DOWN), .type = QS_Q4_K },     /* known by then */
        { .tensor = tensor(Q), .type = QS_Q8_0 },        /* listed too */
        { .tensor = tensor(ODD), .type = QS_TYPE_NONE }, /* gives its mean square */
        { .tensor = tensor(ODD), .type = QS_Q4_K },      /* impossible */
    };
    struct qs_survey *s = new_survey(false);
    struct queue q = { .s = s, .want = urgent, .n = 5 };
    struct measuring m = { s, list, 4, &q };
    enum qs_how how;
    const struct qs_job_status st = finished_job(&m);
    const uint64_t sample = 8192, odd = 96 * 120, listed = 3 * sample + odd, grown = 512 * 256 + sample + odd;
    /* ODD is measured as it is: its sample is 86 rows of 96. */
    assert_int_equal(st.total, listed - odd + 86 * 96 + grown);
    assert_true(q.busy > 0 && q.busy == (int)q.calls);
    assert_int_equal(measured(s), 4);
    const uint64_t versions[] = { 0, 1, 1, 2, 3, 3, 4 };
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) /* all of them before the list's first */
        assert_int_equal(q.version[i], versions[i]);
    assert_true(has_stats(s, ODD) && cell(s, DOWN, QS_Q4_K).how == QS_HOW_WHOLE);
    qs_survey_mean_square(s, tensor(ODD), &how);
    assert_int_equal(how, QS_HOW_WHOLE);
    m.q = NULL;
    assert_int_equal(finished_job(&m).total, listed - odd + 86 * 96); /* all known: the same rule for the total */
    assert_int_equal(measured(s), 4);
    qs_survey_free(s);
}

/* A job that always finds something urgent ends when it is cancelled. */
static bool always_urgent(void *ctx, struct qs_survey_want *out)
{
    *out = (struct qs_survey_want){ .tensor = tensor(Q), .type = QS_F32 };
    return ctx;
}

static int endless(struct qs_job *job, void *ctx, struct qs_err *e)
{
    return qs_survey_measure(ctx, NULL, 0, always_urgent, ctx, pool, job, e);
}

static void test_cancel_while_urgent(void **state)
{
    (void)state;
    struct qs_survey *s = new_survey(false);
    struct qs_job *job = NULL;
    struct qs_err e = QS_ERR_INIT;
    must(qs_job_start("survey", endless, s, -1, &job, &e), &e);
    qs_job_cancel(job);
    assert_int_equal(qs_job_wait(job, &e), QS_ECANCELLED);
    qs_job_free(job);
    assert_int_equal(qs_survey_measure(s, NULL, 0, NULL, NULL, pool, NULL, &e), QS_OK); /* nobody holds it any more */
    qs_survey_free(s);
}

/* ---- the cache ----------------------------------------------------------------------------------------------- */

/* What an earlier process measured is there first, listed or not; of what is in both forms the whole one. */
static void test_warm_cache(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_survey *cold = new_survey(true), *warm = new_survey(true);
    size_t n;
    struct qs_survey_want *want = list_all(cold, &n);
    const struct qs_survey_want whole = { .tensor = tensor(DOWN), .type = QS_Q4_K, .whole = true };
    unlink(cache_path);
    must(qs_survey_measure(cold, want, n, NULL, NULL, pool, NULL, &e), &e);
    must(qs_survey_measure(cold, &whole, 1, NULL, NULL, pool, NULL, &e), &e);
    must(qs_survey_measure(warm, NULL, 0, NULL, NULL, pool, NULL, &e), &e);
    assert_same(cold, warm);
    assert_int_equal(cell(warm, DOWN, QS_Q4_K).how, QS_HOW_WHOLE);
    assert_true(measured(warm) == 0 && qs_survey_counts(warm).reused == measured(cold) - 1);
    must(qs_survey_measure(warm, want, n, NULL, NULL, pool, NULL, &e), &e);
    assert_int_equal(measured(warm), 0);
    free(want);
    qs_survey_free(cold);
    qs_survey_free(warm);
}

/* The convenience shows what was asked for, however much more the cache has. */
static void test_run_takes_no_more(void **state)
{
    (void)state;
    struct qs_survey_args args = args_of(true);
    struct qs_survey *s = NULL;
    struct qs_err e = QS_ERR_INIT;
    must(qs_survey_run(model, &args, pool, NULL, &s, &e), &e);
    qs_survey_free(s);
    int only[N];
    for (int i = 0; i < N; i++)
        only[i] = QS_Q8_0;
    args.only_type = only;
    args.stats = false;
    must(qs_survey_run(model, &args, pool, NULL, &s, &e), &e);
    assert_int_equal(measured(s), 0);
    assert_true(cell(s, Q, QS_Q8_0).known);
    assert_int_equal(cell(s, Q, QS_Q4_K).gap, QS_GAP_NOT_MEASURED);
    assert_false(has_stats(s, Q));
    qs_survey_free(s);
}

/* ---- threads ------------------------------------------------------------------------------------------------- */

/* What was seen of the table so far: nothing that was known goes, and numbers are whole. */
struct seen { bool known[N][N_TYPES], stats[N]; double error[N][N_TYPES]; uint64_t version; };

static void look(const struct qs_survey *s, struct seen *seen)
{
    const uint64_t version = qs_survey_version(s);
    assert_true(version >= seen->version);
    seen->version = version;
    for (size_t i = 0; i < s->n_tensors; i++) {
        struct qs_survey_stats x;
        enum qs_how how;
        const bool stats = qs_survey_stats(s, s->tensor[i], &x); /* not the other way round: the square comes with it */
        assert_true(stats || !seen->stats[i]);
        assert_true(!stats || (x.known && x.n == s->tensor[i]->n && x.sd > 0));
        seen->stats[i] = stats;
        const double square = qs_survey_mean_square(s, s->tensor[i], &how);
        assert_true(stats ? square > 0 && how == QS_HOW_WHOLE : isnan(square) || square > 0);
        for (size_t k = 0; k < s->n_types; k++) {
            struct qs_survey_cell c;
            const bool known = qs_survey_cell(s, s->tensor[i], s->type[k], &c);
            assert_true(known || !seen->known[i][k]);
            assert_true(known ? c.gap == QS_GAP_NONE && c.bytes && c.sample : isnan(c.error) && c.gap);
            assert_int_equal(known, isfinite(c.error));
            if (seen->known[i][k] && c.how == QS_HOW_SAMPLED)
                assert_memory_equal(&seen->error[i][k], &c.error, sizeof c.error);
            seen->known[i][k] = known;
            seen->error[i][k] = c.error;
        }
    }
}

static void draw(const struct qs_survey *s, enum qs_map_measure measure)
{
    int type[N];
    struct qs_heat *h = NULL;
    struct qs_report *r = NULL;
    struct qs_str out = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    for (int i = 0; i < N; i++)
        type[i] = QS_Q5_0;
    const struct qs_heat_args args = { .measure = measure, .type = type, .scale = -1 };
    must(qs_heat_make(model, s, &args, &h, &e), &e);
    for (size_t i = 0; i < h->n_items; i++)
        assert_int_equal(isnan(h->item[i].value), h->item[i].gap != QS_GAP_NONE);
    qs_heat_text(h, &(struct qs_heat_style){ .width = 80 }, &out);
    assert_false(out.failed);
    qs_str_free(&out);
    qs_heat_free(h);
    must(qs_report_survey(s, &(struct qs_survey_view){ .data = true }, &r, &e), &e);
    qs_report_free(r);
}

static void test_read_while_measured(void **state)
{
    (void)state;
    const struct qs_survey_args args = args_of(false);
    struct qs_survey *whole = NULL, *s = new_survey(true);
    struct qs_err e = QS_ERR_INIT;
    struct qs_job *job = NULL;
    struct seen seen = { .version = 0 };
    size_t n;
    struct qs_survey_want *want = list_all(s, &n);
    atomic_uint round = 0;
    struct queue q = { .s = s, .want = want, .n = n, .round = &round };
    struct measuring m = { s, want, n, &q };
    unlink(cache_path);
    must(qs_job_start("survey", measure_in_job, &m, -1, &job, &e), &e);
    while (!qs_job_wait_for(job, 0)) {
        const unsigned at = atomic_fetch_add(&round, 1);
        look(s, &seen);
        draw(s, (enum qs_map_measure)(at % (QS_MAP_BITS + 1)));
    }
    assert_true(q.calls > n);
    must(qs_job_wait(job, &e), &e);
    qs_job_free(job);
    must(qs_survey_run(model, &args, pool, NULL, &whole, &e), &e);
    look(s, &seen);
    assert_same(whole, s);
    free(want);
    qs_survey_free(whole);
    qs_survey_free(s);
}

/* ---- memory -------------------------------------------------------------------------------------------------- */

static int body(void *ctx, struct qs_err *e)
{
    const struct qs_survey_args args = { .types = types, .n_types = N_TYPES, .sample_weights = 4096,
                                         .match = "attn_q|gate" };
    const struct qs_survey_want want[] = { { .tensor = tensor(Q), .type = QS_Q4_K },
                                           { .tensor = tensor(Q), .type = QS_F32 },
                                           { .tensor = tensor(EXPERT_0), .type = QS_F32 } };
    struct qs_survey *s = NULL;
    struct qs_heat *h = NULL;
    (void)ctx;
    int rc = qs_survey_new(model, &args, &s, e);
    if (!rc)
        rc = qs_survey_measure(s, want, 3, NULL, NULL, pool, NULL, e);
    const struct qs_heat_args heat = { .measure = QS_MAP_ERROR, .scale = -1, .unfold = "ffn_gate.*" };
    if (!rc)
        rc = qs_heat_make(model, s, &heat, &h, e);
    qs_heat_free(h);
    qs_survey_free(s);
    return rc;
}

static void test_failing_memory(void **state)
{
    (void)state;
    qs_test_each_alloc(body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty), cmocka_unit_test(test_heat_of_unfilled), cmocka_unit_test(test_same_as_run),
        cmocka_unit_test(test_whole_after_sampled), cmocka_unit_test(test_urgent),
        cmocka_unit_test(test_cancel_while_urgent), cmocka_unit_test(test_warm_cache),
        cmocka_unit_test(test_run_takes_no_more), cmocka_unit_test(test_read_while_measured),
        cmocka_unit_test(test_failing_memory),
    };
    struct qs_err e = QS_ERR_INIT;
    struct qs_key key;
    struct qs_str path = QS_STR_INIT;
    setenv("XDG_CACHE_HOME", qs_test_tmp_path("cache"), 1);
    made_fill(tensors, N, 1);
    if (qs_model_open(made_file("live.gguf", tensors, N), &model, &e) || qs_pool_new(2, &pool, &e) ||
        qs_model_key(model, &key, &e) || !qs_survey_cache_path(key, (struct qs_key){ 0, 0 }, &path))
        return 1;
    snprintf(cache_path, sizeof cache_path, "%s", path.data);
    qs_str_free(&path);
    const int rc = cmocka_run_group_tests_name("survey_live", tests, NULL, NULL);
    qs_pool_free(pool);
    qs_model_close(model);
    made_free(tensors, N);
    return rc;
}
