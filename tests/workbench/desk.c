/* desk.c - owns the pipe, the pool and the thread that holds it up; see desk.h. */
#include "tests/workbench/desk.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

enum { PATIENCE = QS_TEST_SANITIZED ? 240 : 60 /* seconds */, LOOK_EVERY = 50 /* ms, where nobody wakes us */ };

void desk_start(struct desk *d, const char *preset)
{
    struct qs_err e = QS_ERR_INIT;
    setenv("XDG_CACHE_HOME", qs_test_tmp_path("cache"), 1);
    setenv("XDG_STATE_HOME", qs_test_tmp_path("state"), 1);
    assert_int_equal(pipe(d->pipe), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fcntl(d->pipe[i], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(qs_pool_new(2, &d->pool, &e), QS_OK);
    const struct qs_workbench_args args = { .pool = d->pool, .wake_fd = d->pipe[1], .preset = preset };
    assert_int_equal(qs_workbench_new(&args, &d->w, &e), QS_OK);
}

void desk_end(struct desk *d)
{
    qs_workbench_free(d->w);
    qs_pool_free(d->pool);
    close(d->pipe[0]);
    close(d->pipe[1]);
}

void desk_wait(struct desk *d, desk_condition *holds, const void *ctx)
{
    char bytes[256];
    const double until = qs_now() + PATIENCE;
    for (;;) {
        qs_workbench_poll(d->w);
        if (holds(d, ctx))
            return;
        if (qs_now() > until)
            fail_msg("waited for %d s", PATIENCE);
        struct pollfd p = { .fd = d->pipe[0], .events = POLLIN };
        if (poll(&p, 1, LOOK_EVERY) > 0)
            while (read(d->pipe[0], bytes, sizeof bytes) > 0) {
            }
    }
}

bool desk_opened(const struct desk *d, const void *ctx)
{
    (void)ctx;
    return !qs_workbench_opening(d->w);
}

bool desk_idle(const struct desk *d, const void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < qs_workbench_jobs(d->w); i++)
        if (qs_workbench_job(d->w, i)->status.state <= QS_JOB_PAUSED)
            return false;
    return true;
}

bool desk_ended(const struct desk *d, const void *ctx)
{
    const struct qs_work *x = qs_workbench_job_by_id(d->w, *(const unsigned *)ctx);
    return !x || x->status.state > QS_JOB_PAUSED;
}

bool desk_paused(const struct desk *d, const void *ctx)
{
    const struct qs_work *x = qs_workbench_job_by_id(d->w, *(const unsigned *)ctx);
    return x && x->status.state == QS_JOB_PAUSED;
}

void desk_open(struct desk *d, const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_workbench_open(d->w, path, &e), QS_OK);
    assert_true(qs_workbench_opening(d->w));
    desk_wait(d, desk_opened, NULL);
    if (qs_workbench_open_error(d->w)->code)
        fail_msg("%s", qs_workbench_open_error(d->w)->msg);
    assert_non_null(qs_workbench_doc(d->w));
}

unsigned desk_job(const struct desk *d, enum qs_work_kind kind)
{
    for (size_t i = 0; i < qs_workbench_jobs(d->w); i++) {
        const struct qs_work *x = qs_workbench_job(d->w, i);
        if (x->kind == kind && x->status.state <= QS_JOB_PAUSED)
            return x->id;
    }
    return 0;
}

/* ---- the pool held up ---------------------------------------------------------------------------------------- */

struct hold {
    struct qs_pool *pool;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool held, released;
};

static void stand_still(void *ctx, size_t begin, size_t end, unsigned thread)
{
    struct hold *h = ctx;
    (void)begin, (void)end, (void)thread;
    pthread_mutex_lock(&h->lock);
    h->held = true;
    pthread_cond_broadcast(&h->changed);
    while (!h->released)
        pthread_cond_wait(&h->changed, &h->lock);
    pthread_mutex_unlock(&h->lock);
}

static void *hold_pool(void *ctx)
{
    struct hold *h = ctx;
    qs_pool_run(h->pool, QS_PRIO_INTERACTIVE, 1, 1, stand_still, h);
    return NULL;
}

struct hold *desk_hold(struct qs_pool *pool)
{
    struct hold *h = qs_calloc(1, sizeof *h);
    assert_non_null(h);
    h->pool = pool;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    assert_int_equal(pthread_create(&h->thread, NULL, hold_pool, h), 0);
    pthread_mutex_lock(&h->lock);
    while (!h->held)
        pthread_cond_wait(&h->changed, &h->lock);
    pthread_mutex_unlock(&h->lock);
    return h;
}

void desk_release(struct hold *h)
{
    pthread_mutex_lock(&h->lock);
    h->released = true;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    qs_free(h);
}

/* ---- what is looked at --------------------------------------------------------------------------------------- */

size_t desk_tensor(const struct desk *d, const char *name)
{
    const struct qs_model *m = qs_workbench_doc(d->w)->model;
    const struct qs_tensor *t = qs_model_find(m, name);
    if (!t)
        fail_msg("no tensor %s", name);
    return qs_model_index(m, t);
}

bool desk_known(const struct desk *d, size_t tensor, int type)
{
    const struct qs_doc *doc = qs_workbench_doc(d->w);
    struct qs_survey_cell c;
    return qs_survey_cell(doc->survey, &doc->model->tensor[tensor], type, &c);
}

char *desk_recipe(const struct desk *d)
{
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_recipe_print(qs_workbench_doc(d->w)->recipe, &s, &e), QS_OK);
    char *text = qs_str_take(&s);
    assert_non_null(text);
    return text;
}

const char *desk_demo(void)
{
    return qs_test_src("demo/storyteller-9m-f16.gguf");
}

const char *desk_model(const char *name, int type)
{
    const struct mm_spec s = { .type = type, .type_set = true };
    struct qs_err e = QS_ERR_INIT;
    const char *path = qs_test_tmp_path(name);
    assert_int_equal(mm_file(path, &s, &e), QS_OK);
    return path;
}

static bool has_entry(const struct qs_model *m, size_t i, size_t only)
{
    return m->tensor[i].n_dims == 2 && (only == SIZE_MAX || only == i);
}

/* In the legacy form: count; name, calls, values of each entry. */
static const char *make_imatrix(const struct desk *d, const char *name, size_t columns, size_t only)
{
    const struct qs_model *m = qs_workbench_doc(d->w)->model;
    struct qs_str s = QS_STR_INIT;
    int32_t n = 0;
    for (size_t i = 0; i < m->n_tensors; i++)
        n += has_entry(m, i, only);
    qs_str_addn(&s, &n, sizeof n);
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        const int32_t len = (int32_t)strlen(t->name), calls = 1, values = (int32_t)(columns ? columns : t->ne[0]);
        if (!has_entry(m, i, only))
            continue;
        qs_str_addn(&s, &len, sizeof len);
        qs_str_addn(&s, t->name, (size_t)len);
        qs_str_addn(&s, &calls, sizeof calls);
        qs_str_addn(&s, &values, sizeof values);
        for (int32_t k = 0; k < values; k++) {
            const float v = 1.0f + (float)(k % 7);
            qs_str_addn(&s, &v, sizeof v);
        }
    }
    assert_false(s.failed);
    const char *path = qs_test_file(name, s.data, s.len);
    qs_str_free(&s);
    return path;
}

const char *desk_imatrix(const struct desk *d, const char *name, size_t columns)
{
    return make_imatrix(d, name, columns, SIZE_MAX);
}

const char *desk_imatrix_of(const struct desk *d, const char *name, size_t tensor)
{
    return make_imatrix(d, name, 0, tensor);
}

bool desk_read(const struct desk *d, const void *ctx)
{
    (void)ctx;
    return !qs_workbench_imatrix_reading(d->w);
}

void desk_take_imatrix(struct desk *d, const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_workbench_imatrix(d->w, path, &e), QS_OK);
    desk_wait(d, desk_read, NULL);
    if (qs_workbench_imatrix_error(d->w)->code)
        fail_msg("%s", qs_workbench_imatrix_error(d->w)->msg);
}

void desk_same_files(const char *a, const char *b)
{
    char *x = NULL, *y = NULL;
    size_t nx = 0, ny = 0;
    struct qs_err e = QS_ERR_INIT;
    if (qs_file_read(a, SIZE_MAX / 4, &x, &nx, &e) || qs_file_read(b, SIZE_MAX / 4, &y, &ny, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(nx, ny);
    assert_memory_equal(x, y, nx);
    qs_free(x);
    qs_free(y);
}
