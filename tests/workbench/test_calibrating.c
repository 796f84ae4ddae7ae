/* test_calibrating.c - calibrations as jobs of the workbench: what they take beforehand, what is seen while they run,
 * what they leave in the document, and budgets fitted to it. */
#include "tests/workbench/desk.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "core/calib/places.h"
#include "core/workbench_calib.h"

/* A model that reads any text, in the temporary folder: results go beside it. Reduced it is narrow, of types that take fewer
 * than 256 columns, and deep, so that it is not done before it can be stopped. */
static const char *model_here(const char *name)
{
    static char path[4096];
    const bool narrow = getenv("QS_REDUCED") != NULL;
    const unsigned width = narrow ? 64 : 256;
    const struct mm_spec spec = { .layers = narrow && !QS_TEST_SANITIZED ? 16 : 4, .embd = width, .ff = width, .vocab = 300,
                                  .byte_tokens = true };
    struct qs_err e = QS_ERR_INIT;
    snprintf(path, sizeof path, "%s", qs_test_tmp_path(name));
    if (mm_file(path, &spec, &e))
        fail_msg("%s", e.msg);
    return path;
}

static const char *story(const char *name)
{
    static char path[2][4096];
    static int at;
    struct qs_str text = QS_STR_INIT;
    for (int i = 0; i < 120; i++)
        qs_str_addf(&text,
                    "Once upon a time there were %d little birds and %d cats in the park number %d. "
                    "They %s all day, and %s.\n",
                    i, i * 7 % 11, i * 3, i % 2 ? "sang and played" : "looked at the big tree",
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

/* In the cache, which all models share, those of the same name do not meet. */
static void test_places(void **unused)
{
    (void)unused;
    struct qs_err e = QS_ERR_INIT;
    struct qs_str s[3] = { QS_STR_INIT, QS_STR_INIT, QS_STR_INIT };
    setenv("XDG_CACHE_HOME", qs_test_tmp_path("cache"), 1);
    assert_int_equal(qs_calib_store_place("/nowhere/a/model.gguf", "Q4_K_M", &s[0], &e), QS_OK);
    assert_int_equal(qs_calib_store_place("/nowhere/b/model.gguf", "Q4_K_M", &s[1], &e), QS_OK);
    assert_int_equal(qs_calib_store_place("/nowhere/a/model.gguf", "Q4_K_M", &s[2], &e), QS_OK);
    assert_string_not_equal(s[0].data, s[1].data);
    assert_string_equal(s[0].data, s[2].data);
    assert_non_null(strstr(s[0].data, "/calibrations/model-"));
    assert_true(qs_path_ends(s[0].data, ".Q4_K_M.qscal"));
    assert_int_equal(qs_calib_statistics_place("/nowhere/a/model.gguf", &s[0], &e), QS_OK);
    assert_int_equal(qs_calib_statistics_place("/nowhere/b/model.gguf", &s[1], &e), QS_OK);
    assert_string_not_equal(s[0].data, s[1].data);
    for (int i = 0; i < 3; i++)
        qs_str_free(&s[i]);
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
    const size_t pinned = desk_tensor(&d, "blk.1.attn_output.weight"); /* another recipe, another place */
    assert_int_equal(qs_workbench_set(d.w, &pinned, 1, QS_Q8_0, NULL, &e), QS_OK);
    assert_int_equal(qs_workbench_calib_places(d.w, NULL, &store, &e), QS_OK);
    assert_non_null(strstr(store.data, "/places.Q4_K_M-"));
    assert_non_null(qs_workbench_undo(d.w, &e));
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

/* What a process that is killed while it encodes leaves: a file of what it was asked for, and a journal. */
static void be_killed(const char *model, const char *store)
{
    const size_t some = 5;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct desk d;
        struct qs_calib_request q = request();
        q.seed = 3;
        q.store = store;
        q.methods.refits = 2;
        desk_start(&d, "Q4_K_M");
        desk_open(&d, model);
        const size_t t = desk_tensor(&d, "blk.1.attn_output.weight");
        struct qs_err e = QS_ERR_INIT;
        if (qs_workbench_set(d.w, &t, 1, QS_Q5_1, NULL, &e))
            _exit(1);
        (void)start(&d, &q);
        desk_wait(&d, is_encoding, &some);
        (void)kill(getpid(), SIGKILL);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static char *kept_file(const char *model)
{
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    setenv("XDG_STATE_HOME", qs_test_tmp_path("state"), 1);
    assert_int_equal(qs_calib_request_place(model, false, &s, &e), QS_OK);
    return qs_str_take(&s);
}

/* Killed and opened again by another process: all that was asked for is known, and the same bytes come of it as in one
 * go. */
static void test_killed(void **unused)
{
    (void)unused;
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    const char *model = model_here("killed.gguf");
    char *store = qs_strdup(qs_test_tmp_path("killed.qscal")), *whole = qs_strdup(qs_test_tmp_path("whole.qscal"));
    char *kept = kept_file(model);
    be_killed(model, store);
    assert_true(qs_file_exists(kept) && !qs_file_exists(store));
    desk_start(&d, "Q6_K"); /* its recipe is that of then */
    assert_null(qs_workbench_calib_stopped(d.w));
    desk_open(&d, model);
    const struct qs_calib_stopped *s = qs_workbench_calib_stopped(d.w);
    assert_non_null(s);
    const struct qs_calib_request *q = s->request;
    assert_true(q->n_sources == 1 && q->source[0].weight == 1 && qs_path_ends(q->source[0].path, "/story.txt"));
    assert_true(q->n_ctx == 32 && q->n_windows == 12 && q->held_out == 0.25 && q->seed == 3 && q->encode);
    assert_true(q->methods.gptq && q->methods.refits == 2 && q->methods.strength == 1);
    assert_string_equal(q->store, store);
    assert_true(s->recipe && s->recipe->n_pins == 1);
    assert_string_equal(s->recipe->preset->name, "Q4_K_M");
    unsigned id = 0;
    assert_int_equal(qs_workbench_calib_go_on(d.w, false, &id, &e), QS_OK);
    assert_null(qs_workbench_calib_stopped(d.w));
    assert_true(qs_file_exists(kept));
    desk_wait(&d, desk_ended, &id);
    if (state_of(&d).err.code)
        fail_msg("%s", state_of(&d).err.msg);
    assert_false(qs_file_exists(kept));
    assert_int_equal(qs_workbench_calib_go_on(d.w, false, &id, &e), QS_ENOTFOUND);
    /* in one go */
    struct qs_calib_request again = *state_of(&d).request;
    desk_open(&d, model);
    assert_null(qs_workbench_calib_stopped(d.w));
    const size_t t = desk_tensor(&d, "blk.1.attn_output.weight");
    assert_int_equal(qs_workbench_preset(d.w, "Q4_K_M", &e), QS_OK);
    desk_open(&d, model);
    assert_int_equal(qs_workbench_set(d.w, &t, 1, QS_Q5_1, NULL, &e), QS_OK);
    again.store = whole;
    again.restart = again.overwrite = true;
    id = start(&d, &again);
    desk_wait(&d, desk_ended, &id);
    desk_same_files(store, whole);
    desk_end(&d);
    qs_free(store);
    qs_free(whole);
    qs_free(kept);
}

/* A second window of the same model knows that it runs, and leaves it alone; once it was stopped, it can be forgotten. */
static void test_elsewhere_and_forgotten(void **unused)
{
    (void)unused;
    struct desk a, b;
    struct qs_err e = QS_ERR_INIT;
    const struct qs_calib_request q = request();
    char *model = qs_strdup(model_here("twice.gguf")), *kept = kept_file(model);
    struct qs_str part = QS_STR_INIT;
    desk_start(&a, "Q4_K_M");
    desk_open(&a, model);
    unsigned id = start(&a, &q);
    desk_start(&b, "Q4_K_M");
    desk_open(&b, model);
    assert_null(qs_workbench_calib_stopped(b.w));
    assert_true(qs_workbench_calib_elsewhere(b.w));
    assert_int_equal(qs_workbench_calib_start(b.w, &q, NULL, &e), QS_EBUSY);
    assert_int_equal(qs_workbench_calib_forget(b.w, &e), QS_EBUSY);
    assert_int_equal(qs_workbench_calib_forget(a.w, &e), QS_EBUSY);
    desk_wait(&a, is_encoding, &(size_t){ 2 });
    qs_workbench_job_cancel(a.w, id);
    desk_wait(&a, desk_ended, &id);
    qs_str_addf(&part, "%s.part", state_of(&a).store);
    assert_true(qs_file_exists(part.data) && qs_file_exists(kept));
    desk_open(&b, model);
    assert_false(qs_workbench_calib_elsewhere(b.w));
    assert_non_null(qs_workbench_calib_stopped(b.w));
    assert_int_equal(qs_workbench_calib_forget(a.w, &e), QS_OK);
    assert_false(qs_file_exists(part.data) || qs_file_exists(kept));
    assert_int_equal(state_of(&a).job, 0);
    assert_int_equal(qs_workbench_calib_forget(a.w, &e), QS_ENOTFOUND);
    assert_int_equal(qs_workbench_calib_forget(b.w, &e), QS_OK); /* nothing of it is left, but it was known */
    assert_null(qs_workbench_calib_stopped(b.w));
    desk_end(&a);
    desk_end(&b);
    qs_str_free(&part);
    qs_free(model);
    qs_free(kept);
}

/* Files that are torn, another's or not to be believed are passed over, each with a line in the log. */
static void test_hostile(void **unused)
{
    (void)unused;
    static const struct { const char *was, *is; } lies[] = {
        { "\"windows\": 12", "\"windows\": 1e300" }, { "\"windows\": 12", "\"windows\": -1" },
        { "\"weight\": 1", "\"weight\": 0" }, { "\"held_out\": 0.25", "\"held_out\": null" },
        { "\"texts\": [", "\"text\": [" }, { "\"path\": \"/", "\"path\": \"" }, { "\"version\": 1", "\"version\": 2" },
        { "\"bytes\": ", "\"bytes\": 1" }, { "preset = ", "preset = no" }, { "\"methods\": {", "\"ways\": {" },
        { "\"sweeps\": 4", "\"sweeps\": 4000000000" }, { "\"gptq\": true", "\"gptq\": \"true\"" },
    };
    struct desk d;
    struct qs_err e = QS_ERR_INIT;
    const struct qs_calib_request q = request();
    char *good = NULL, *model = qs_strdup(model_here("hostile.gguf")), *kept = kept_file(model);
    size_t len = 0;
    desk_start(&d, "Q4_K_M");
    desk_open(&d, model);
    (void)start(&d, &q);
    desk_end(&d); /* left: what it was asked for stays */
    assert_int_equal(qs_file_read(kept, 1 << 20, &good, &len, &e), QS_OK);
    desk_start(&d, "Q4_K_M");
    desk_open(&d, model);
    assert_non_null(qs_workbench_calib_stopped(d.w));
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        const char *at = strstr(good, lies[i].was);
        struct qs_str s = QS_STR_INIT;
        if (!at)
            fail_msg("no %s in %s", lies[i].was, good);
        qs_str_addn(&s, good, (size_t)(at - good));
        qs_str_addf(&s, "%s%s", lies[i].is, at + strlen(lies[i].was));
        assert_int_equal(qs_file_write_atomic(kept, s.data, s.len, true, &e), QS_OK);
        qs_str_free(&s);
        desk_open(&d, model);
        if (qs_workbench_calib_stopped(d.w))
            fail_msg("%s is believed", lies[i].is);
    }
    for (size_t n = 0; n + 2 < len; n += 1 + len / 16) {
        assert_int_equal(qs_file_write_atomic(kept, good, n, true, &e), QS_OK);
        const size_t lines = qs_log_count(qs_workbench_log(d.w));
        desk_open(&d, model);
        assert_null(qs_workbench_calib_stopped(d.w));
        size_t told = 0;
        for (size_t i = lines; i < qs_log_count(qs_workbench_log(d.w)); i++)
            told += strstr(qs_log_at(qs_workbench_log(d.w), i)->text, "is passed over") != NULL;
        assert_int_equal(told, 1);
    }
    assert_int_equal(qs_file_write_atomic(kept, good, len, true, &e), QS_OK);
    desk_open(&d, model);
    assert_non_null(qs_workbench_calib_stopped(d.w));
    desk_end(&d);
    qs_free(good);
    qs_free(model);
    qs_free(kept);
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
    desk_open(&d, desk_demo());
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
    /* What a budget has pinned does not bind the next one; a person's pin does. */
    const double first = s.fit->predicted;
    const size_t mine = qs_model_index(doc->model, qs_model_find(doc->model, "blk.1.attn_q.weight"));
    for (int own = 0; own < 2; own++) {
        if (own)
            assert_int_equal(qs_workbench_set(d.w, &mine, 1, QS_Q8_0, NULL, &e), QS_OK);
        for (int i = 0; i < 2; i++) {
            const unsigned number = s.number;
            assert_int_equal(qs_workbench_fit(d.w, i ? "4.6 bpw" : "7 bpw", false, &e), QS_OK);
            for (qs_workbench_fit_state(d.w, &s); s.number == number && !s.err.code; qs_workbench_fit_state(d.w, &s))
                qs_workbench_poll(d.w);
            assert_int_equal(s.err.code, QS_OK);
        }
        assert_true(s.fit->choice[mine].pinned == (own == 1));
        assert_true(own ? s.fit->predicted > first && s.fit->choice[mine].type == QS_Q8_0
                        : s.fit->predicted <= first && s.fit->predicted >= first);
    }
    desk_end(&d);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places), cmocka_unit_test(test_killed), cmocka_unit_test(test_elsewhere_and_forgotten),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_beforehand), cmocka_unit_test(test_leaves), cmocka_unit_test(test_resumed),
        cmocka_unit_test(test_other_document), cmocka_unit_test(test_budget),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
