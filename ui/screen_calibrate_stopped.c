/* screen_calibrate_stopped.c - a calibration that was killed, or left, before it was done: Setup shows again what was
 * asked for, and it is gone on with. The workbench keeps it (core/workbench_calib.h).
 */
#include <string.h>

#include "base/mem.h"
#include "core/calib/places.h"
#include "ui/calibrate.h"

static void clear(struct calibrate *v)
{
    for (size_t i = 0; i < v->n_text; i++)
        qs_free(v->text[i].path);
    for (size_t i = 0; i < sizeof v->file / sizeof *v->file; i++) {
        qs_free(v->file[i]);
        v->file[i] = NULL;
    }
    v->n_text = 0;
}

/* The usual places stay words. */
static bool is_usual(struct qs_app *a, const struct qs_calib_stopped *s, const char *path, bool store)
{
    struct qs_str usual = QS_STR_INIT, name = QS_STR_INIT;
    struct qs_err why = QS_ERR_INIT;
    const char *model = qs_app_doc(a)->model->path;
    int rc = QS_EINVAL;
    if (!store)
        rc = qs_calib_statistics_place(model, &usual, &why);
    else if (s->recipe && !qs_calib_recipe_name(s->recipe, &name, &why))
        rc = qs_calib_store_place(model, name.data, &usual, &why);
    qs_str_free(&name);
    const char *tail = usual.data + (strncmp(usual.data, "./", 2) == 0 ? 2 : 0);
    const size_t n = strlen(path), len = strlen(tail);
    const bool same = !rc && (strcmp(path, tail) == 0 || /* the model was named by a relative path */
                              (tail[0] != '/' && n > len && path[n - len - 1] == '/' &&
                               strcmp(path + n - len, tail) == 0));
    qs_str_free(&usual);
    return same;
}

static bool take_texts(struct calibrate *v, const struct qs_calib_request *q)
{
    if (!qs_grow(&v->text, &v->cap_text, q->n_sources + 1, sizeof *v->text))
        return false;
    for (; v->n_text < q->n_sources; v->n_text++) {
        const struct qs_corpus_source *from = &q->source[v->n_text];
        v->text[v->n_text] = (struct calibrate_text){ qs_strdup(from->path), from->weight };
        if (!v->text[v->n_text].path)
            return false;
    }
    return true;
}

static bool take_files(struct qs_app *a, struct calibrate *v, const struct qs_calib_stopped *s)
{
    const struct qs_calib_request *q = s->request;
    const bool own_out = q->statistics_out && !is_usual(a, s, q->statistics_out, false);
    const bool own_store = q->store && !is_usual(a, s, q->store, true);
    const char *const file[4] = { q->evaluation, q->statistics_in, own_out ? q->statistics_out : NULL,
                                  own_store ? q->store : NULL };
    for (int i = 0; i < 4; i++)
        if (file[i] && !(v->file[i] = qs_strdup(file[i])))
            return false;
    return true;
}

void calibrate_take_stopped(struct qs_app *a)
{
    struct calibrate *v = calibrate_of(a);
    const struct qs_calib_stopped *s = qs_workbench_calib_stopped(qs_app_bench(a));
    if (!s)
        return;
    clear(v);
    qs_free((void *)(uintptr_t)v->q.source);
    v->q = *s->request;
    v->q.source = NULL;
    v->q.n_sources = 0;
    v->q.overwrite = false;
    if (!take_texts(v, s->request) || !take_files(a, v, s))
        qs_app_warn(a, "out of memory");
    qs_list_set(&v->rows, calibrate_rows(v), v->rows.shown);
    v->ask = true;
    qs_app_say(a, "%s", CALIBRATE_STOPPED);
}

static void over(struct qs_app *a, size_t answer, void *ctx)
{
    (void)answer, (void)ctx;
    calibrate_go_on(a, true);
}

void calibrate_go_on(struct qs_app *a, bool overwrite)
{
    static const struct qs_app_answer answers[] = { { 'o', "overwrite" } };
    struct qs_err e = QS_ERR_INIT;
    const int rc = qs_workbench_calib_go_on(qs_app_bench(a), overwrite, NULL, &e);
    if (rc == QS_EEXISTS)
        qs_app_ask(a, "Calibrate", e.msg, answers, 1, over, NULL);
    else if (rc)
        qs_app_fail(a, &e);
    else
        calibrate_of(a)->view = CALIBRATE_PROGRESS;
    qs_app_touch(a);
}
