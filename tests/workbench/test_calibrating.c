/* test_calibrating.c - calibrations as jobs of the workbench: what they take beforehand, what is seen while they run,
 * what they leave in the document, and budgets fitted to it. */
#include "tests/workbench/desk.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "core/workbench_calib.h"

/* The bundled model under another name in the temporary folder: results go beside it. */
static const char *model_here(const char *name)
{
    static char path[4096];
    struct qs_err e = QS_ERR_INIT;
    char *data = NULL;
    size_t len = 0;
    if (qs_file_read(desk_demo(), (size_t)1 << 30, &data, &len, &e))
        fail_msg("%s", e.msg);
    snprintf(path, sizeof path, "%s", qs_test_file(name, data, len));
    qs_free(data);
    return path;
}

static const char *story(const char *name)
{
    static char path[2][4096];
    static int at;
    struct qs_str text = QS_STR_INIT;
    for (int i = 0; i < 120; i++)
        qs_str_addf(&text, "Once upon a time there were %d little birds and %d cats in the park number %d. "
                    "They %s all day, and %s.\n", i, i * 7 % 11, i * 3, i % 2 ? "sang and played" : "looked at the big tree",
                    i % 3 ? "the sun was warm" : "a girl named Lily came with some bread");
    at ^= 1;
    snprintf(path[at], sizeof path[at], "%s", qs_test_file(name, text.data, text.len));
    qs_str_free(&text);
    return path[at];
}

static struct qs_corpus_source source;

static struct qs_calib_request request(void)
{
    source = (struct qs_corpus_source){ story("story.txt"), 1 };
    return (struct qs_calib_request){ .source = &source, .n_sources = 1, .n_ctx = 32, .n_windows = 12, .held_out = 0.25,
                                      .encode = true, .methods = QS_CALIB_METHODS_INIT };
}

static struct qs_calibrating state_of(struct desk *d)
{
    struct qs_calibrating s;
    (void)qs_workbench_poll(d->w);
    qs_workbench_calib(d->w, &s);
    return s;
}

static unsigned start(struct desk *d, const struct qs_calib_request *q)
{
    struct qs_err e = QS_ERR_INIT;
    unsigned id = 0;
    if (qs_workbench_calib_start(d->w, q, &id, &e))
        fail_msg("%s", e.msg);
    return id;
}

static bool looked(const struct desk *d, const void *ctx)
{
    struct qs_calib_outlook o;
    (void)ctx;
    qs_workbench_calib_outlook(d->w, &o);
    return !o.looking;
}

static bool is_encoding(const struct desk *d, const void *ctx)
{
    struct qs_calibrating s;
    qs_workbench_calib(d->w, &s);
    size_t done = 0;
    for (size_t i = 0; s.view && i < s.view->n_tensors; i++)
        done += !isnan(s.view->tensor[i].after);
    return !s.runs || done >= *(const size_t *)ctx;
}

static void test_beforehand(void **unused)
{
    (void)unused;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    struct qs_calib_outlook o;
    struct qs_calib_request q = request();
    struct qs_str statistics = QS_STR_INIT, store = QS_STR_INIT;
    desk_start(&d, "Q4_K_M");
    assert_int_equal(qs_workbench_calib_start(d.w, &q, NULL, &e), QS_EINVAL); /* no document */
    desk_open(&d, model_here("places.gguf"));
    assert_int_equal(qs_workbench_calib_places(d.w, &statistics, &store, &e), QS_OK);
    assert_true(qs_path_ends(statistics.data, "/places.imatrix.gguf"));
    assert_true(qs_path_ends(store.data, "/places.Q4_K_M.qscal"));
    qs_str_free(&statistics);
    qs_str_free(&store);
    assert_int_equal(qs_workbench_calib_look(d.w, &q, &e), QS_OK);
    desk_wait(&d, looked, NULL);
    qs_workbench_calib_outlook(d.w, &o);
    assert_true(!o.err.code && o.told);
    assert_int_equal(o.told->n_mix, 1);
    assert_int_equal(o.told->n_ctx, 32);
    assert_int_equal(o.told->n_fit + o.told->n_held, 12);
    assert_true(o.told->need.memory > 0 && o.told->need.seconds > 0);
    assert_true(o.told->n_warnings > 0); /* 12 windows are few */
    q.n_sources = 0;
    assert_int_equal(qs_workbench_calib_look(d.w, &q, &e), QS_EINVAL);
    source.path = "missing.txt";
    q.n_sources = 1;
    assert_int_equal(qs_workbench_calib_look(d.w, &q, &e), QS_OK);
    desk_wait(&d, looked, NULL);
    qs_workbench_calib_outlook(d.w, &o);
    assert_true(!o.told && o.err.code);
    assert_non_null(strstr(o.err.msg, "missing.txt"));
    desk_end(&d);
}

/* What it leaves is the document's importance matrix and where its plan takes bytes from; of another type it does not. */
static void test_leaves(void **unused)
{
    (void)unused;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    struct qs_made_output o;
    const struct qs_calib_request q = request();
    desk_start(&d, "Q4_K_M");
    desk_open(&d, model_here("leaves.gguf"));
    const size_t t = desk_tensor(&d, "blk.3.attn_output.weight");
    assert_false(qs_workbench_output(d.w, t, &o));
    const uint64_t version = qs_workbench_output_version(d.w);
    const unsigned id = start(&d, &q);
    assert_int_equal(qs_workbench_calib_start(d.w, &q, NULL, &e), QS_EBUSY);
    desk_wait(&d, desk_ended, &id);
    const struct qs_calibrating s = state_of(&d);
    if (s.err.code)
        fail_msg("%s", s.err.msg);
    assert_true(s.ended_well && s.of_document && s.view && s.view->stage == QS_STAGE_DONE);
    assert_true(qs_file_exists(s.statistics) && qs_file_exists(s.store));
    const struct qs_doc *doc = qs_workbench_doc(d.w);
    assert_true(doc->imatrix && doc->statistics && doc->store);
    assert_string_equal(doc->imatrix_path, s.statistics);
    assert_true(doc->plan->n_stored > 0 && doc->plan->enc[t].stored);
    assert_true(qs_workbench_output_version(d.w) != version);
    assert_true(qs_workbench_output(d.w, t, &o));
    assert_true(o.after > 0 && o.after <= o.before && o.before < 1 && o.type == doc->type[t]);
    assert_int_equal(qs_workbench_set(d.w, &t, 1, QS_Q8_0, NULL, &e), QS_OK);
    assert_null(qs_workbench_doc(d.w)->plan->enc[t].stored);
    assert_false(qs_workbench_output(d.w, t, &o) && !o.running);
    assert_non_null(qs_workbench_undo(d.w, &e));
    assert_non_null(qs_workbench_doc(d.w)->plan->enc[t].stored);
    /* taken off, and read again from its file */
    char *path = qs_strdup(s.store);
    assert_int_equal(qs_workbench_calibration(d.w, NULL, &e), QS_OK);
    assert_null(qs_workbench_doc(d.w)->plan->enc[t].stored);
    assert_int_equal(qs_workbench_calibration(d.w, path, &e), QS_OK);
    desk_wait(&d, desk_idle, NULL);
    assert_false(qs_workbench_calibration_reading(d.w));
    assert_non_null(qs_workbench_doc(d.w)->plan->enc[t].stored);
    /* a file that is none */
    assert_int_equal(qs_workbench_calibration(d.w, source.path, &e), QS_OK);
    desk_wait(&d, desk_idle, NULL);
    assert_true(qs_workbench_calibration_error(d.w)->code);
    assert_non_null(qs_workbench_doc(d.w)->store);
    /* results are not written over unasked */
    struct qs_err there = QS_ERR_INIT;
    assert_int_equal(qs_workbench_calib_start(d.w, &q, NULL, &there), QS_EEXISTS);
    assert_non_null(strstr(there.msg, "leaves."));
    qs_free(path);
    desk_end(&d);
}

/* Stopped between tensors and gone on with: the same bytes as in one go. */
static void test_resumed(void **unused)
{
    (void)unused;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    struct qs_calib_request q = request();
    const size_t some = 5;
    desk_start(&d, "Q4_K_M");
    desk_open(&d, model_here("resumed.gguf"));
    unsigned id = start(&d, &q);
    desk_wait(&d, desk_ended, &id);
    char *whole = qs_strdup(state_of(&d).store);
    char other[4096];
    snprintf(other, sizeof other, "%s.again", whole);
    q.store = other;
    q.overwrite = true;
    id = start(&d, &q);
    desk_wait(&d, is_encoding, &some);
    qs_workbench_job_cancel(d.w, id);
    desk_wait(&d, desk_ended, &id);
    const struct qs_work *w = qs_workbench_job_by_id(d.w, id);
    assert_true(w && w->kind == QS_WORK_CALIBRATE && w->resumable);
    assert_int_equal(state_of(&d).err.code, QS_ECANCELLED);
    assert_false(qs_file_exists(other));
    assert_int_equal(qs_workbench_job_resume(d.w, id, &e), QS_OK);
    id = state_of(&d).job;
    desk_wait(&d, desk_ended, &id);
    const struct qs_calibrating s = state_of(&d);
    if (s.err.code)
        fail_msg("%s", s.err.msg);
    desk_same_files(whole, other);
    qs_free(whole);
    desk_end(&d);
}

/* Another document while it runs: it goes on, and leaves that one alone. */
static void test_other_document(void **unused)
{
    (void)unused;
    struct desk d;
    const struct qs_calib_request q = request();
    desk_start(&d, "Q4_K_M");
    desk_open(&d, model_here("first.gguf"));
    const unsigned id = start(&d, &q);
    desk_open(&d, desk_model("second.gguf", QS_F16));
    desk_wait(&d, desk_ended, &id);
    const struct qs_calibrating s = state_of(&d);
    assert_true(s.ended_well && !s.of_document);
    assert_true(!qs_workbench_doc(d.w)->imatrix && !qs_workbench_doc(d.w)->store);
    desk_end(&d);
}

static bool fitted(const struct desk *d, const void *ctx)
{
    struct qs_fit_state s;
    (void)ctx;
    qs_workbench_fit_state(d->w, &s);
    return !s.runs;
}

static void test_budget(void **unused)
{
    (void)unused;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    struct qs_fit_state s;
    desk_start(&d, "Q4_K_M");
    desk_open(&d, model_here("budget.gguf"));
    desk_wait(&d, desk_idle, NULL); /* errors are measured */
    assert_int_equal(qs_workbench_fit(d.w, "no budget", false, &e), QS_EINVAL);
    assert_int_equal(qs_workbench_fit_apply(d.w, &e), QS_ENOTFOUND);
    const uint64_t before = qs_workbench_doc(d.w)->plan->bytes;
    const size_t undos = qs_workbench_doc(d.w)->undos;
    assert_int_equal(qs_workbench_fit(d.w, "4.6 bpw", false, &e), QS_OK);
    desk_wait(&d, fitted, NULL);
    qs_workbench_fit_state(d.w, &s);
    if (s.err.code)
        fail_msg("%s", s.err.msg);
    assert_true(s.fit && s.applied && s.n_points > 4 && s.n_marks > 4);
    assert_true(s.fit->bpw <= 4.6 && s.fit->bpw > 4.3);
    const struct qs_doc *doc = qs_workbench_doc(d.w);
    assert_int_equal(doc->plan->bytes, s.fit->bytes);
    assert_true(doc->plan->bytes < before);
    assert_int_equal(doc->undos, undos + 1);
    for (size_t i = 0; i + 1 < s.n_points; i++)
        assert_true(s.point[i].bytes <= s.point[i + 1].bytes && s.point[i].predicted >= s.point[i + 1].predicted);
    assert_non_null(qs_workbench_undo(d.w, &e));
    assert_int_equal(qs_workbench_doc(d.w)->plan->bytes, before);
    qs_workbench_fit_state(d.w, &s);
    assert_false(s.applied);
    assert_int_equal(qs_workbench_fit_apply(d.w, &e), QS_OK);
    qs_workbench_fit_state(d.w, &s);
    assert_true(s.applied);
    desk_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beforehand), cmocka_unit_test(test_leaves), cmocka_unit_test(test_resumed),
        cmocka_unit_test(test_other_document), cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
