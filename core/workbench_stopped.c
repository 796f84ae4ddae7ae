/* workbench_stopped.c - owns the file that says what a calibration was asked for while it is not done: written when it
 * starts, removed when it ends well, read when its model is opened again.
 *
 * JSON, one object. Everything in it is checked, as it may be torn or another's: numbers by their range, texts by their
 * length, the recipe by its parser, the model by its size. What is not as it should be is not gone on with.
 */
#include "core/workbench_stopped.h"

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/unicode.h"
#include "core/calib/places.h"

enum { MOST_BYTES = 8 << 20, MOST_TEXTS = 4096 };

static const char kind_word[] = "calibration that was begun";
static const char *const text_key[4] = { "evaluation", "statistics_in", "statistics_out", "store" };

/* ---- writing ------------------------------------------------------------------------------------------------- */

static void add_path(struct qs_json *o, const char *key, const char *path, bool *good)
{
    struct qs_str s = QS_STR_INIT;
    char here[PATH_MAX];
    if (!path || !path[0])
        return;
    if (path[0] != '/' && getcwd(here, sizeof here))
        qs_path_join(here, path + (strncmp(path, "./", 2) == 0 ? 2 : 0), &s);
    else
        qs_str_add(&s, path);
    *good = *good && !s.failed && qs_utf8_invalid_at(s.data, s.len) == s.len && qs_json_add_strn(o, key, s.data, s.len);
    qs_str_free(&s);
}

static bool add_methods(struct qs_json *o, const struct qs_calib_methods *m)
{
    return o && qs_json_add_bool(o, "imatrix", m->imatrix) && qs_json_add_bool(o, "gptq", m->gptq) &&
           qs_json_add_bool(o, "awq", m->awq) && qs_json_add_bool(o, "hqq", m->hqq) &&
           qs_json_add_num(o, "damp", m->damp) && qs_json_add_bool(o, "natural_order", m->natural_order) &&
           qs_json_add_uint(o, "sweeps", m->sweeps) && qs_json_add_uint(o, "refits", m->refits) &&
           qs_json_add_bool(o, "correct", m->correct) && qs_json_add_num(o, "strength", m->strength) &&
           qs_json_add_num(o, "pull", m->pull) && qs_json_add_bool(o, "head", m->head);
}

static bool add_request(struct qs_json *o, const struct qs_calib_request *q)
{
    const char *const text[4] = { q->evaluation, q->statistics_in, q->statistics_out, q->store };
    struct qs_json *texts = qs_json_add_array(o, "texts");
    bool good = texts != NULL;
    for (size_t i = 0; good && i < q->n_sources; i++) {
        struct qs_json *t = qs_json_add_object(texts, NULL);
        add_path(t, "path", q->source[i].path, &good);
        good = good && qs_json_add_num(t, "weight", q->source[i].weight);
    }
    for (int i = 0; i < 4; i++)
        add_path(o, text_key[i], text[i], &good);
    return good && qs_json_add_uint(o, "ctx", q->n_ctx) && qs_json_add_uint(o, "windows", q->n_windows) &&
           qs_json_add_num(o, "held_out", q->held_out) && qs_json_add_uint(o, "seed", q->seed) &&
           qs_json_add_bool(o, "special", q->special) && qs_json_add_bool(o, "errors", q->errors) &&
           qs_json_add_str(o, "precision", qs_calib_precision_name(q->precision)) &&
           qs_json_add_uint(o, "swap_windows", q->swap_windows) && qs_json_add_bool(o, "encode", q->encode) &&
           qs_json_add_uint(o, "memory", q->memory) && qs_json_add_bool(o, "overwrite", q->overwrite) &&
           add_methods(qs_json_add_object(o, "methods"), &q->methods);
}

static bool add_recipe(struct qs_json *o, const struct qs_recipe *r, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    const bool good = !r || (!qs_recipe_print(r, &text, e) && !text.failed &&
                             qs_utf8_invalid_at(text.data, text.len) == text.len &&
                             qs_json_add_strn(o, "recipe", text.data, text.len));
    qs_str_free(&text);
    return good;
}

static int write_file(const struct qs_model *m, const struct qs_calib_request *q, const struct qs_recipe *recipe,
                      bool allow_requantize, struct qs_err *e)
{
    struct qs_json *o = qs_json_object();
    struct qs_str path = QS_STR_INIT, text = QS_STR_INIT;
    struct qs_err why = QS_ERR_INIT;
    int rc = qs_calib_request_place(m->path, true, &path, e);
    if (!rc && !(qs_json_add_str(o, "quantscape", kind_word) && qs_json_add_uint(o, "version", 1) &&
                 qs_json_add_uint(o, "bytes", m->bytes) && qs_json_add_uint(o, "tensors", m->n_tensors) &&
                 add_request(o, q) && add_recipe(o, q->encode ? recipe : NULL, &why) &&
                 qs_json_add_bool(o, "allow_requantize", allow_requantize) && qs_json_print(o, true, &text)))
        rc = qs_fail(e, QS_EINVAL, "a file name or the recipe is not UTF-8, or memory is out");
    rc = rc ? rc : qs_file_write_atomic(path.data, text.data, text.len, true, e);
    qs_json_free(o);
    qs_str_free(&path);
    qs_str_free(&text);
    return rc;
}

void qs_wb_stopped_unlock(struct qs_workbench *w)
{
    if (w->calib_locked)
        close(w->calib_lock);
    w->calib_locked = false;
}

/* A lock that cannot be had for another reason than another's is none: nothing depends on it. */
static void lock(struct qs_workbench *w, const char *model)
{
    struct qs_str path = QS_STR_INIT;
    struct qs_err why = QS_ERR_INIT;
    qs_wb_stopped_unlock(w);
    const int fd = qs_calib_request_place(model, false, &path, &why) ? -1
                                                                     : open(path.data, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    w->calib_locked = fd >= 0 && !qs_file_lock(fd, path.data, &why);
    if (w->calib_locked)
        w->calib_lock = fd;
    else if (fd >= 0)
        close(fd);
    qs_str_free(&path);
}

int qs_wb_stopped_elsewhere(const struct qs_workbench *w, const char *model, struct qs_err *e)
{
    struct qs_str path = QS_STR_INIT;
    struct qs_err why = QS_ERR_INIT;
    const int fd = w->args.private || qs_calib_request_place(model, false, &path, &why)
                       ? -1
                       : open(path.data, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    const bool busy = fd >= 0 && qs_file_lock(fd, path.data, &why) == QS_EBUSY;
    if (fd >= 0)
        close(fd);
    qs_str_free(&path);
    return busy ? qs_fail(e, QS_EBUSY, "another window or process calibrates this model") : QS_OK;
}

void qs_wb_stopped_keep(struct qs_workbench *w, const struct qs_wb_sources *src, const struct qs_calib_request *q,
                        const struct qs_recipe *recipe, bool allow_requantize)
{
    struct qs_err e = QS_ERR_INIT;
    if (!w->args.private && write_file(src->model->model, q, recipe, allow_requantize, &e))
        qs_log_add(w->log, QS_LOG_WARNING, "calibration: what was asked for is not kept, should it be killed: %s",
                   e.msg);
    else if (!w->args.private)
        lock(w, src->model->model->path);
    if (!w->doc || w->doc->src->model != src->model)
        return;
    qs_wb_stopped_free(w->stopped);
    w->stopped = NULL;
}

void qs_wb_stopped_remove(const struct qs_workbench *w, const char *model)
{
    struct qs_str path = QS_STR_INIT;
    struct qs_err why = QS_ERR_INIT;
    if (!w->args.private && !qs_calib_request_place(model, false, &path, &why))
        (void)unlink(path.data);
    qs_str_free(&path);
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static size_t read_size(const struct qs_json *o, const char *key, uint64_t most, bool *good)
{
    const uint64_t n = qs_json_uint(qs_json_get(o, key), UINT64_MAX);
    *good &= n <= most;
    return (size_t)n;
}

static double read_real(const struct qs_json *o, const char *key, double least, double most, bool *good)
{
    const double x = qs_json_num(qs_json_get(o, key), NAN);
    *good &= x >= least && x <= most;
    return x;
}

static bool read_flag(const struct qs_json *o, const char *key, bool *good)
{
    const struct qs_json *v = qs_json_get(o, key);
    *good &= qs_json_type(v) == QS_JSON_BOOL;
    return qs_json_bool(v, false);
}

/* An absolute path; absent: NULL where that is allowed. */
static char *read_path(const struct qs_json *o, const char *key, bool needed, bool *good)
{
    const struct qs_json *v = qs_json_get(o, key);
    const char *path = qs_json_type(v) == QS_JSON_STRING ? qs_json_str(v, "") : "";
    if (!v) {
        *good &= !needed;
        return NULL;
    }
    *good &= path[0] == '/' && strlen(path) == qs_json_len(v) && strlen(path) < PATH_MAX;
    char *own = *good ? qs_strdup(path) : NULL;
    *good &= own != NULL;
    return own;
}

static void read_methods(const struct qs_json *o, struct qs_calib_methods *m, bool *good)
{
    *m = (struct qs_calib_methods){
        .imatrix = read_flag(o, "imatrix", good), .gptq = read_flag(o, "gptq", good), .awq = read_flag(o, "awq", good),
        .hqq = read_flag(o, "hqq", good), .damp = read_real(o, "damp", 0, 1e6, good),
        .natural_order = read_flag(o, "natural_order", good), .sweeps = (unsigned)read_size(o, "sweeps", 1000, good),
        .refits = (unsigned)read_size(o, "refits", 1000, good), .correct = read_flag(o, "correct", good),
        .strength = read_real(o, "strength", 0, 1e6, good), .pull = read_real(o, "pull", 0, 1e6, good),
        .head = read_flag(o, "head", good),
    };
}

static void read_texts(const struct qs_json *texts, struct qs_wb_stopped *s, bool *good)
{
    const size_t n = qs_json_type(texts) == QS_JSON_ARRAY ? qs_json_len(texts) : SIZE_MAX;
    *good = *good && n <= MOST_TEXTS && (s->source = qs_calloc(n + 1, sizeof *s->source));
    for (size_t i = 0; *good && i < n; i++) {
        const struct qs_json *t = qs_json_at(texts, i);
        s->source[i].path = read_path(t, "path", true, good);
        s->source[i].weight = read_real(t, "weight", 1e-12, 1e12, good);
        s->q.n_sources = i + 1;
    }
    s->q.source = s->source;
}

static void read_request(const struct qs_json *o, struct qs_wb_stopped *s, bool *good)
{
    struct qs_calib_request *q = &s->q;
    *q = (struct qs_calib_request){
        .n_ctx = read_size(o, "ctx", 1 << 20, good), .n_windows = read_size(o, "windows", 1000000, good),
        .held_out = read_real(o, "held_out", -1, 1, good), .seed = qs_json_uint(qs_json_get(o, "seed"), 0),
        .special = read_flag(o, "special", good), .errors = read_flag(o, "errors", good),
        .precision = qs_calib_precision_named(qs_json_str(qs_json_get(o, "precision"), "any")),
        .swap_windows = read_size(o, "swap_windows", 1000000, good), .encode = read_flag(o, "encode", good),
        .memory = qs_json_uint(qs_json_get(o, "memory"), 0), .overwrite = read_flag(o, "overwrite", good),
    };
    *good &= qs_json_type(qs_json_get(o, "seed")) == QS_JSON_INT;
    read_methods(qs_json_get(o, "methods"), &q->methods, good);
    read_texts(qs_json_get(o, "texts"), s, good);
    for (int i = 0; *good && i < 4; i++)
        s->text[i] = read_path(o, text_key[i], i == 3, good);
    q->evaluation = s->text[0];
    q->statistics_in = s->text[1];
    q->statistics_out = s->text[2];
    q->store = s->text[3];
    *good &= q->n_sources || q->statistics_in;
}

static int read_recipe(const struct qs_json *o, struct qs_wb_stopped *s, struct qs_err *e)
{
    const struct qs_json *text = qs_json_get(o, "recipe");
    if (!s->q.encode)
        return QS_OK;
    if (qs_json_type(text) != QS_JSON_STRING)
        return qs_fail(e, QS_EFORMAT, "it has no recipe");
    return qs_recipe_parse(NULL, qs_json_str(text, ""), qs_json_len(text), &s->recipe, e);
}

static int take(const struct qs_json *o, const struct qs_model *m, struct qs_wb_stopped *s, struct qs_err *e)
{
    bool good = strcmp(qs_json_str(qs_json_get(o, "quantscape"), ""), kind_word) == 0 &&
                qs_json_uint(qs_json_get(o, "version"), 0) == 1;
    if (!good)
        return qs_fail(e, QS_EFORMAT, "it is none of ours");
    if (qs_json_uint(qs_json_get(o, "bytes"), 0) != m->bytes ||
        qs_json_uint(qs_json_get(o, "tensors"), 0) != m->n_tensors)
        return qs_fail(e, QS_EFORMAT, "it is of another model that had this name");
    read_request(o, s, &good);
    s->allow_requantize = read_flag(o, "allow_requantize", &good);
    return good ? read_recipe(o, s, e) : qs_fail(e, QS_EFORMAT, "something in it is missing or out of range");
}

static int read_file(const char *path, const struct qs_model *m, struct qs_wb_stopped **out, struct qs_err *e)
{
    struct qs_json *o = NULL;
    char *data = NULL;
    size_t len = 0;
    struct qs_wb_stopped *s = qs_calloc(1, sizeof *s);
    int rc = s ? qs_file_read(path, MOST_BYTES, &data, &len, e) : qs_fail_mem(e, sizeof *s, "a calibration");
    rc = rc ? rc : qs_json_parse(data, len, &o, e);
    rc = rc ? rc : take(o, m, s, e);
    qs_json_free(o);
    qs_free(data);
    if (rc) {
        qs_wb_stopped_free(s);
        return rc;
    }
    s->pub = (struct qs_calib_stopped){ &s->q, s->recipe };
    *out = s;
    return QS_OK;
}

void qs_wb_stopped_free(struct qs_wb_stopped *s)
{
    if (!s)
        return;
    for (size_t i = 0; s->source && i < s->q.n_sources; i++)
        qs_free((char *)(uintptr_t)s->source[i].path);
    for (int i = 0; i < 4; i++)
        qs_free(s->text[i]);
    qs_free(s->source);
    qs_recipe_free(s->recipe);
    qs_free(s);
}

/* ---- the workbench's ----------------------------------------------------------------------------------------- */

void qs_wb_stopped_look(struct qs_workbench *w)
{
    const struct qs_model *m = w->doc->pub.model;
    struct qs_str path = QS_STR_INIT;
    struct qs_err why = QS_ERR_INIT;
    struct qs_calibrating now;
    qs_wb_stopped_free(w->stopped);
    w->stopped = NULL;
    w->calib_elsewhere = false;
    qs_workbench_calib(w, &now);
    if (w->args.private || (now.runs && strcmp(now.model->path, m->path) == 0))
        return; /* it was not stopped */
    w->calib_elsewhere = qs_wb_stopped_elsewhere(w, m->path, &why) != QS_OK;
    if (w->calib_elsewhere) {
        qs_log_add(w->log, QS_LOG_NOTE, "calibration: %s", why.msg);
        return;
    }
    int rc = qs_calib_request_place(m->path, false, &path, &why);
    rc = rc ? rc : read_file(path.data, m, &w->stopped, &why);
    if (w->stopped)
        qs_log_add(w->log, QS_LOG_NOTE, "a calibration of this model was stopped: it can be gone on with");
    else if (rc != QS_ENOTFOUND)
        qs_log_add(w->log, QS_LOG_WARNING, "%s, which a stopped calibration has left, is passed over: %s",
                   path.data, why.msg);
    qs_str_free(&path);
}

const struct qs_calib_stopped *qs_workbench_calib_stopped(const struct qs_workbench *w)
{
    return w->doc && w->stopped ? &w->stopped->pub : NULL;
}
