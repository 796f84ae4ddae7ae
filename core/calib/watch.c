/* watch.c - owns the shared picture of a running calibration: one writer's thread, any number of readers that copy. */
#include "core/calib/watch.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"

struct qs_calib_watch {
    pthread_mutex_t lock;
    struct qs_calib_view now;
};

const char *qs_calib_stage_name(enum qs_calib_stage s)
{
    static const char *const name[] = { "waiting", "text", "collect", "swap", "encode", "done" };
    return (unsigned)s < sizeof name / sizeof *name ? name[s] : "?";
}

const char *qs_calib_state_name(enum qs_calib_state s)
{
    static const char *const name[] = { "waiting", "collecting", "factoring", "encoding", "done", "failed" };
    return (unsigned)s < sizeof name / sizeof *name ? name[s] : "?";
}

static void forget(struct qs_calib_view *v)
{
    for (size_t i = 0; i < v->n_layers; i++) {
        v->layer[i] = (struct qs_calib_layer){ .before = NAN, .after = NAN };
        for (size_t p = 0; p < sizeof v->layer[i].outlier_ratio / sizeof *v->layer[i].outlier_ratio; p++)
            v->layer[i].outlier_ratio[p] = NAN;
    }
    for (size_t i = 0; i < v->n_tensors; i++)
        v->tensor[i] = (struct qs_calib_tensor){ .type = QS_TYPE_NONE, .before = NAN, .after = NAN, .plain = NAN };
}

static int room(struct qs_calib_view *v, size_t n_layers, size_t n_tensors, struct qs_err *e)
{
    v->layer = qs_calloc(n_layers + 1, sizeof *v->layer);
    v->tensor = qs_calloc(n_tensors + 1, sizeof *v->tensor);
    v->n_layers = n_layers;
    v->n_tensors = n_tensors;
    if (v->layer && v->tensor)
        return QS_OK;
    qs_calib_view_free(v);
    return qs_fail_mem(e, n_layers * sizeof *v->layer + n_tensors * sizeof *v->tensor, "what a calibration shows");
}

int qs_calib_watch_new(size_t n_layers, size_t n_tensors, struct qs_calib_watch **out, struct qs_err *e)
{
    *out = NULL;
    struct qs_calib_watch *w = qs_calloc(1, sizeof *w);
    if (!w)
        return qs_fail_mem(e, sizeof *w, "what a calibration shows");
    const int rc = room(&w->now, n_layers + 1, n_tensors, e);
    if (rc) {
        qs_free(w);
        return rc;
    }
    forget(&w->now);
    pthread_mutex_init(&w->lock, NULL);
    *out = w;
    return QS_OK;
}

void qs_calib_watch_free(struct qs_calib_watch *w)
{
    if (!w)
        return;
    pthread_mutex_destroy(&w->lock);
    qs_calib_view_free(&w->now);
    qs_free(w);
}

/* ---- writers ---- */

static void changed(struct qs_calib_watch *w)
{
    __atomic_add_fetch(&w->now.version, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&w->lock);
}

void qs_calib_watch_stage(struct qs_calib_watch *w, enum qs_calib_stage s)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->now.stage = s;
    changed(w);
}

void qs_calib_watch_layer(struct qs_calib_watch *w, size_t layer, const struct qs_calib_layer *v)
{
    if (!w || layer >= w->now.n_layers)
        return;
    pthread_mutex_lock(&w->lock);
    w->now.layer[layer] = *v;
    changed(w);
}

void qs_calib_watch_layer_state(struct qs_calib_watch *w, size_t layer, enum qs_calib_state s)
{
    if (!w || layer >= w->now.n_layers)
        return;
    pthread_mutex_lock(&w->lock);
    w->now.layer[layer].state = s;
    changed(w);
}

void qs_calib_watch_tensor(struct qs_calib_watch *w, size_t tensor, const struct qs_calib_tensor *v)
{
    if (!w || tensor >= w->now.n_tensors)
        return;
    pthread_mutex_lock(&w->lock);
    w->now.tensor[tensor] = *v;
    changed(w);
}

void qs_calib_watch_tensor_state(struct qs_calib_watch *w, size_t tensor, enum qs_calib_state s)
{
    if (!w || tensor >= w->now.n_tensors)
        return;
    pthread_mutex_lock(&w->lock);
    w->now.tensor[tensor].state = s;
    changed(w);
}

/* ---- readers ---- */

int qs_calib_watch_copy(struct qs_calib_watch *w, struct qs_calib_view *out, struct qs_err *e)
{
    *out = (struct qs_calib_view){ 0 };
    const int rc = room(out, w->now.n_layers, w->now.n_tensors, e);
    if (rc)
        return rc;
    pthread_mutex_lock(&w->lock);
    memcpy(out->layer, w->now.layer, out->n_layers * sizeof *out->layer);
    memcpy(out->tensor, w->now.tensor, out->n_tensors * sizeof *out->tensor);
    out->stage = w->now.stage;
    out->version = w->now.version;
    pthread_mutex_unlock(&w->lock);
    return QS_OK;
}

void qs_calib_view_free(struct qs_calib_view *v)
{
    qs_free(v->layer);
    qs_free(v->tensor);
    *v = (struct qs_calib_view){ 0 };
}

uint64_t qs_calib_watch_version(const struct qs_calib_watch *w)
{
    return __atomic_load_n(&w->now.version, __ATOMIC_ACQUIRE);
}
