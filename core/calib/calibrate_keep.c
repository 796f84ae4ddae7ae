/* calibrate_keep.c - the store of a calibration: what its bytes depend on, what is put in, what an earlier run left.
 *
 * Owns the text of facts. Refuses, through the store, what is of other work.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/calib/calibrate_internal.h"
#include "core/calib/hessian.h"
#include "core/quant/encode.h"

static void add_key(struct qs_json *to, const char *name, struct qs_key k)
{
    char hex[33];
    qs_key_hex(k, hex);
    qs_json_add_str(to, name, hex);
}

static void add_text(struct qs_json *root, const struct qs_calibration *c)
{
    struct qs_json *text = qs_json_add_object(root, "text");
    if (!c->corpus) {
        if (c->statistics)
            add_key(root, "statistics", c->statistics->key);
        return;
    }
    struct qs_json *from = qs_json_add_array(text, "sources");
    for (size_t i = 0; i < c->corpus->n_mix; i++)
        qs_json_add_str(from, NULL, qs_path_base(c->corpus->mix[i].path));
    qs_json_add_uint(text, "tokens_of_a_window", c->corpus->n_ctx);
    qs_json_add_uint(text, "windows", c->corpus->n_fit);
    qs_json_add_uint(text, "held_out", c->corpus->n_held);
    add_key(text, "key", c->corpus->key);
}

static void add_methods(struct qs_json *root, const struct qs_calibration *c)
{
    const struct qs_calib_methods *m = &c->args.methods;
    struct qs_json *to = qs_json_add_object(root, "methods");
    qs_json_add_bool(to, "imatrix", m->imatrix);
    qs_json_add_bool(to, "gptq", m->gptq);
    qs_json_add_bool(to, "awq", m->awq);
    qs_json_add_bool(to, "hqq", m->hqq);
    qs_json_add_num(to, "damp", m->damp);
    qs_json_add_bool(to, "natural_order", m->natural_order);
    qs_json_add_uint(to, "sweeps", m->sweeps);
    qs_json_add_uint(to, "refits", m->refits);
    qs_json_add_bool(to, "correct", m->correct);
    qs_json_add_num(to, "strength", m->correct ? m->strength : 0);
    qs_json_add_num(to, "pull", m->correct ? m->pull : 0);
    qs_json_add_bool(to, "head", m->head);
    if (m->gptq)
        qs_json_add_str(to, "hessian", qs_hessian_inputs());
    if (m->awq && c->corpus && c->statistics)
        add_key(root, "statistics", c->statistics->key); /* its sums decide the scales */
}

/* The recipe as it came out: the type of every tensor that gets another one, by name, so that one that differs is told. */
static void add_recipe(struct qs_json *root, const struct qs_calibration *c)
{
    qs_json_add_str(root, "preset", c->args.recipe->preset->name);
    struct qs_json *types = qs_json_add_object(root, "types");
    for (size_t i = 0; i < c->args.model->n_tensors; i++)
        if (qs_calibrate_type(c, i) != QS_TYPE_NONE)
            qs_json_add_str(types, c->args.model->tensor[i].name, qs_type_name(qs_calibrate_type(c, i)));
}

static int make_facts(struct qs_calibration *c, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    struct qs_key model;
    int rc = qs_model_content_key(c->args.model, &model, e);
    struct qs_json *root = rc ? NULL : qs_json_object();
    if (rc)
        return rc;
    qs_json_add_uint(root, "version", QS_CALIB_VERSION);
    qs_json_add_uint(root, "encoder", QS_ENCODER_VERSION);
    add_key(root, "model", model);
    qs_json_add_str(root, "name", qs_path_base(c->args.model->path));
    add_recipe(root, c);
    add_text(root, c);
    add_methods(root, c);
    const bool ok = root && qs_json_print(root, false, &text);
    qs_json_free(root);
    qs_free(c->facts);
    c->facts = qs_str_take(&text);
    return ok && c->facts ? QS_OK : qs_fail_mem(e, 0, "what a calibration depends on");
}

/* The same work was finished by an earlier run: it is taken as it is. */
static bool open_finished(struct qs_calibration *c)
{
    struct qs_store *s;
    if (c->args.restart || c->args.overwrite || qs_store_open(c->args.store, &s, NULL))
        return false;
    const struct qs_key key = qs_store_key(s);
    if (!qs_key_equal(key, c->key) || strcmp(qs_store_facts(s), c->facts)) {
        qs_store_unref(s);
        return false;
    }
    c->store = s;
    return c->finished_before = true;
}

/* Statistics that are still to be collected are no fact yet; all others are. */
int qs_calib_keep_check(struct qs_calibration *c, struct qs_err *e)
{
    const struct qs_calibrate_args *a = &c->args;
    const int rc = a->restart ? QS_OK : make_facts(c, e);
    if (a->restart || rc)
        return rc ? rc : qs_file_check_output(a->store, true, e);
    return qs_store_check_place(a->store, c->facts, c->statistics ? NULL : "statistics", a->overwrite, e);
}

int qs_calib_keep_open(struct qs_calibration *c, struct qs_err *e)
{
    int rc = make_facts(c, e);
    if (rc)
        return rc;
    c->key = qs_hash_bytes(c->facts, strlen(c->facts));
    if (open_finished(c))
        return QS_OK;
    rc = qs_file_check_output(c->args.store, c->args.overwrite || c->args.restart, e);
    return rc ? rc : qs_store_create(c->args.store, c->key, c->facts, c->args.restart, &c->store, e);
}

/* ---- one tensor ---- */

static void watch_kept(struct qs_calibration *c, size_t tensor, const struct qs_stored *s, double plain)
{
    struct qs_calib_tensor now = {
        .state = QS_CALIB_DONE, .type = s->type, .before = s->before, .after = s->after, .plain = plain
    };
    for (int m = 0; m < QS_CALIB_METHODS; m++)
        if (!strcmp(qs_calib_method_name((enum qs_calib_method)m), s->method))
            now.method = (enum qs_calib_method)m;
    snprintf(now.note, sizeof now.note, "%s", s->note);
    qs_calib_watch_tensor(c->args.watch, tensor, &now);
}

static enum qs_calib_method method_of(const struct qs_calib_made *made)
{
    int at = QS_CALIB_PLAIN;
    for (int m = 0; m < QS_CALIB_METHODS; m++)
        if (made->n[m] > made->n[at])
            at = m;
    return (enum qs_calib_method)at;
}

static int give(struct qs_calibration *c, size_t tensor, const struct qs_stored *s, struct qs_err *e)
{
    struct qs_weight *w;
    int rc = qs_store_weight(c->store, s, &w, e);
    if (rc)
        return rc;
    rc = qs_engine_set(c->made, tensor, w, e);
    qs_weight_unref(w);
    return rc;
}

int qs_calib_keep(struct qs_calibration *c, size_t tensor, uint32_t group, const struct qs_calib_made *made,
                  const uint8_t *bytes, struct qs_err *e)
{
    const struct qs_tensor *t = &c->args.model->tensor[tensor];
    const int type = qs_calibrate_type(c, tensor) == QS_TYPE_NONE ? t->type : qs_calibrate_type(c, tensor);
    struct qs_stored s = { .type = type, .n_dims = t->n_dims, .group = group, .before = NAN, .after = NAN };
    if (strlen(t->name) >= sizeof s.name)
        return qs_fail(e, QS_EUNSUPPORTED, "%s: a name of more than %zu bytes cannot be kept", t->name,
                       sizeof s.name - 1);
    snprintf(s.name, sizeof s.name, "%s", t->name);
    snprintf(s.method, sizeof s.method, "%s", qs_calib_method_name(method_of(made)));
    snprintf(s.note, sizeof s.note, "%s", made->note);
    if (made->few)
        snprintf(s.note, sizeof s.note, "%llu experts saw fewer rows than columns: weighted fit, layer's importance",
                 (unsigned long long)made->few);
    for (unsigned d = 0; d < 4; d++)
        s.ne[d] = d < t->n_dims ? t->ne[d] : 1;
    s.bytes = qs_tensor_bytes_as(t, type);
    if (made->norm > 0) {
        s.before = sqrt(made->before / made->norm);
        s.after = sqrt(made->lost / made->norm);
    }
    int rc = qs_store_put(c->store, &s, bytes, e);
    const struct qs_stored *kept = rc ? NULL : qs_store_find(c->store, s.name);
    if (!rc)
        rc = give(c, tensor, kept, e);
    if (!rc)
        watch_kept(c, tensor, kept, made->norm > 0 ? sqrt(made->plain / made->norm) : NAN);
    return rc;
}

int qs_calib_take_kept(struct qs_calibration *c, size_t tensor, bool *there, struct qs_err *e)
{
    const struct qs_tensor *t = &c->args.model->tensor[tensor];
    const struct qs_stored *s = qs_store_find(c->store, t->name);
    *there = s != NULL;
    if (!s)
        return QS_OK;
    watch_kept(c, tensor, s, NAN);
    return give(c, tensor, s, e);
}
