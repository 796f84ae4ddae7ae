/* statistics_text.c - the JSON texts in a statistics file: facts and inputs, the tables of errors and swaps.
 *
 * Owns nothing. Texts of a file are not trusted: sizes are bounded, what is missing or of another kind is refused
 * (inputs) or left out (cells of types or methods that this program does not know).
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "core/calib/statistics_internal.h"
#include "kernels/format.h"

#define VERSION 1
#define MAX_INPUTS (1u << 18)
#define MAX_NAME 1024u

/* ---- out ---- */

static int print(struct qs_json *root, struct qs_str *out, struct qs_err *e)
{
    const bool ok = root && qs_json_print(root, false, out) && !out->failed;
    qs_json_free(root);
    return ok ? QS_OK : qs_fail_mem(e, 0, "statistics");
}

static bool put_key(struct qs_json *o, const char *name, struct qs_key k)
{
    char hex[33];
    qs_key_hex(k, hex);
    return qs_json_add_str(o, name, k.lo | k.hi ? hex : "");
}

static bool put_input(struct qs_json *list, const struct qs_input_stats *s)
{
    struct qs_json *o = qs_json_add_object(list, NULL), *massive, *tensors;
    bool ok = qs_json_add_int(o, "layer", s->layer) && qs_json_add_str(o, "point", qs_point_name(s->point)) &&
              qs_json_add_uint(o, "cols", s->cols) && qs_json_add_uint(o, "experts", s->experts) &&
              qs_json_add_uint(o, "nonfinite", s->nonfinite) && qs_json_add_uint(o, "bad_window", s->bad_window) &&
              (massive = qs_json_add_array(o, "massive")) && (tensors = qs_json_add_array(o, "tensors"));
    for (unsigned i = 0; ok && i < s->n_massive; i++) {
        const struct qs_massive *m = &s->massive[i];
        struct qs_json *x = qs_json_add_array(massive, NULL);
        ok = qs_json_add_uint(x, NULL, m->window) && qs_json_add_uint(x, NULL, m->pos) && qs_json_add_int(x, NULL, m->token) &&
             qs_json_add_num(x, NULL, (double)m->max) && qs_json_add_num(x, NULL, m->ratio);
    }
    for (size_t i = 0; ok && i < s->n_tensors; i++)
        ok = qs_json_add_str(tensors, NULL, s->tensor[i]);
    return ok;
}

int qs_statistics_facts_text(const struct qs_statistics *s, struct qs_str *out, struct qs_err *e)
{
    struct qs_json *root = qs_json_object(), *list = NULL;
    bool ok = root && qs_json_add_int(root, "version", VERSION) && put_key(root, "model", s->model) &&
              put_key(root, "corpus", s->corpus) && qs_json_add_uint(root, "tokens", s->tokens) &&
              qs_json_add_uint(root, "windows", s->windows) && qs_json_add_uint(root, "n_ctx", s->n_ctx) &&
              qs_json_add_str(root, "precision", qs_calib_precision_name(s->precision)) &&
              (list = qs_json_add_array(root, "inputs"));
    for (size_t i = 0; ok && i < s->n_inputs; i++)
        ok = put_input(list, &s->input[i]);
    if (!ok) {
        qs_json_free(root);
        root = NULL;
    }
    return print(root, out, e);
}

static const char *type_name(int type)
{
    const struct qs_format *f = qs_format_by_id(type);
    return f ? f->name : "?";
}

int qs_statistics_errors_text(const struct qs_statistics *s, struct qs_str *out, struct qs_err *e)
{
    struct qs_json *root = qs_json_object(), *list = NULL;
    bool ok = root != NULL;
    for (size_t i = 0; ok && i < s->n_errors; i++) {
        const struct qs_error_cell *c = &s->error[i];
        if (i == 0 || strcmp(c[-1].tensor, c->tensor) != 0)
            list = qs_json_add_array(root, c->tensor);
        struct qs_json *x = qs_json_add_array(list, NULL);
        ok = qs_json_add_str(x, NULL, type_name(c->type)) && qs_json_add_str(x, NULL, qs_calib_method_name(c->method)) &&
             qs_json_add_num(x, NULL, c->error) && qs_json_add_num(x, NULL, c->fitted) && qs_json_add_num(x, NULL, c->seconds);
    }
    if (!ok) {
        qs_json_free(root);
        root = NULL;
    }
    return print(root, out, e);
}

int qs_statistics_swaps_text(const struct qs_statistics *s, struct qs_str *out, struct qs_err *e)
{
    struct qs_json *root = qs_json_array();
    bool ok = root != NULL;
    for (size_t i = 0; ok && i < s->n_swaps; i++) {
        const struct qs_swap_cell *c = &s->swap[i];
        struct qs_json *x = qs_json_add_array(root, NULL);
        ok = qs_json_add_str(x, NULL, c->tensor) && qs_json_add_str(x, NULL, type_name(c->type)) &&
             qs_json_add_str(x, NULL, qs_calib_method_name(c->method)) && qs_json_add_num(x, NULL, c->kld) &&
             qs_json_add_num(x, NULL, c->kld_se) && qs_json_add_uint(x, NULL, c->windows) && qs_json_add_num(x, NULL, c->error);
    }
    if (!ok) {
        qs_json_free(root);
        root = NULL;
    }
    return print(root, out, e);
}

/* ---- in ---- */

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* As qs_key_hex writes it; what is not is no key. */
static struct qs_key get_key(const struct qs_json *o, const char *name)
{
    const char *s = qs_json_str(qs_json_get(o, name), "");
    struct qs_key k = { 0, 0 };
    for (int i = 0; strlen(s) == 32 && i < 32; i++) {
        const int d = digit(s[i]);
        if (d < 0)
            return (struct qs_key){ 0, 0 };
        uint64_t *half = i < 16 ? &k.hi : &k.lo;
        *half = *half << 4 | (unsigned)d;
    }
    return k;
}

static enum qs_point point_by_name(const char *name)
{
    for (int p = 0; p < QS_POINTS; p++)
        if (strcmp(qs_point_name((enum qs_point)p), name) == 0)
            return (enum qs_point)p;
    return QS_POINTS;
}

static int bad(struct qs_err *e, const char *what)
{
    return qs_fail(e, QS_EFORMAT, "the statistics' facts (" QS_STATISTICS_FACTS ") are damaged: %s", what);
}

static void get_massive(const struct qs_json *list, struct qs_input_stats *s)
{
    for (size_t i = 0; i < qs_json_len(list) && s->n_massive < QS_MASSIVE_TOKENS; i++) {
        const struct qs_json *x = qs_json_at(list, i);
        s->massive[s->n_massive++] = (struct qs_massive){
            .window = (size_t)qs_json_uint(qs_json_at(x, 0), 0), .pos = (size_t)qs_json_uint(qs_json_at(x, 1), 0),
            .token = (int32_t)qs_json_int(qs_json_at(x, 2), 0), .max = (float)qs_json_num(qs_json_at(x, 3), NAN),
            .ratio = qs_json_num(qs_json_at(x, 4), NAN),
        };
    }
}

static int get_input(const struct qs_json *o, struct qs_input_stats *s, struct qs_err *e)
{
    const struct qs_json *tensors = qs_json_get(o, "tensors"), *massive = qs_json_get(o, "massive");
    const uint64_t cols = qs_json_uint(qs_json_get(o, "cols"), 0), experts = qs_json_uint(qs_json_get(o, "experts"), 0);
    const int64_t layer = qs_json_int(qs_json_get(o, "layer"), -1);
    *s = (struct qs_input_stats){ .layer = layer >= -1 && layer < INT32_MAX ? (int)layer : -1, .cols = (size_t)cols,
                                  .experts = (size_t)experts };
    s->point = point_by_name(qs_json_str(qs_json_get(o, "point"), ""));
    s->nonfinite = qs_json_uint(qs_json_get(o, "nonfinite"), 0);
    s->bad_window = qs_json_uint(qs_json_get(o, "bad_window"), 0);
    if (s->point == QS_POINTS)
        return bad(e, "an input's point is none");
    if (cols == 0 || experts == 0 || cols > UINT32_MAX || experts > 65536)
        return bad(e, "an input's columns or experts cannot be");
    if (qs_json_type(tensors) != QS_JSON_ARRAY || qs_json_len(tensors) == 0 || qs_json_len(tensors) > 64)
        return bad(e, "an input names no tensors");
    if (qs_json_type(massive) == QS_JSON_ARRAY)
        get_massive(massive, s);
    int rc = QS_OK;
    for (size_t i = 0; rc == QS_OK && i < qs_json_len(tensors); i++) {
        const char *name = qs_json_str(qs_json_at(tensors, i), "");
        rc = *name && strlen(name) <= MAX_NAME ? qs_input_stats_name(s, name, e) : bad(e, "an input names no tensors");
    }
    return rc;
}

int qs_statistics_read_facts(const char *text, size_t n, struct qs_statistics *s, struct qs_err *e)
{
    struct qs_json *root;
    int rc = qs_json_parse(text, n, &root, e);
    if (rc != QS_OK)
        return rc;
    const struct qs_json *list = qs_json_get(root, "inputs");
    const size_t n_inputs = qs_json_type(list) == QS_JSON_ARRAY ? qs_json_len(list) : 0;
    const int64_t version = qs_json_int(qs_json_get(root, "version"), 0);
    if (version != VERSION)
        rc = version > VERSION ? qs_fail(e, QS_EUNSUPPORTED, "these statistics were written by a newer quantscape")
                               : bad(e, "they have no version");
    else if (n_inputs > MAX_INPUTS)
        rc = bad(e, "too many inputs");
    else if (!(s->input = qs_calloc(n_inputs + 1, sizeof *s->input)))
        rc = qs_fail_mem(e, n_inputs * sizeof *s->input, "statistics");
    for (size_t i = 0; rc == QS_OK && i < n_inputs; i++) {
        s->n_inputs++; /* half-made ones are freed too */
        rc = get_input(qs_json_at(list, i), &s->input[i], e);
    }
    s->model = get_key(root, "model");
    s->corpus = get_key(root, "corpus");
    s->tokens = qs_json_uint(qs_json_get(root, "tokens"), 0);
    s->windows = qs_json_uint(qs_json_get(root, "windows"), 0);
    s->n_ctx = qs_json_uint(qs_json_get(root, "n_ctx"), 0);
    s->precision = qs_calib_precision_named(qs_json_str(qs_json_get(root, "precision"), "exact")); /* once all were */
    qs_json_free(root);
    return rc;
}

/* False: not known to this program. */
static bool get_type_method(const struct qs_json *x, size_t at, int *type, enum qs_calib_method *method)
{
    const struct qs_format *f = qs_format_by_name(qs_json_str(qs_json_at(x, at), ""));
    const char *name = qs_json_str(qs_json_at(x, at + 1), "");
    int m = 0;
    while (m < QS_CALIB_METHODS && strcmp(qs_calib_method_name((enum qs_calib_method)m), name) != 0)
        m++;
    *type = f ? f->id : QS_TYPE_NONE;
    *method = (enum qs_calib_method)m;
    return f && m < QS_CALIB_METHODS;
}

int qs_statistics_read_errors(const char *text, size_t n, struct qs_statistics *s, struct qs_err *e)
{
    struct qs_json *root;
    int rc = qs_json_parse(text, n, &root, e);
    if (rc != QS_OK)
        return rc;
    const size_t tensors = qs_json_type(root) == QS_JSON_OBJECT ? qs_json_len(root) : 0;
    for (size_t i = 0; rc == QS_OK && i < tensors; i++) {
        const struct qs_json *list;
        const char *name = qs_json_key_at(root, i, &list);
        for (size_t k = 0; rc == QS_OK && qs_json_type(list) == QS_JSON_ARRAY && k < qs_json_len(list); k++) {
            const struct qs_json *x = qs_json_at(list, k);
            struct qs_error_cell c = { .tensor = (char *)name, .error = qs_json_num(qs_json_at(x, 2), NAN),
                                       .fitted = qs_json_num(qs_json_at(x, 3), NAN),
                                       .seconds = qs_json_num(qs_json_at(x, 4), NAN) };
            if (get_type_method(x, 0, &c.type, &c.method))
                rc = qs_statistics_put_error(s, &c, e);
        }
    }
    qs_json_free(root);
    return rc;
}

int qs_statistics_read_swaps(const char *text, size_t n, struct qs_statistics *s, struct qs_err *e)
{
    struct qs_json *root;
    int rc = qs_json_parse(text, n, &root, e);
    if (rc != QS_OK)
        return rc;
    const size_t n_swaps = qs_json_type(root) == QS_JSON_ARRAY ? qs_json_len(root) : 0;
    for (size_t i = 0; rc == QS_OK && i < n_swaps; i++) {
        const struct qs_json *x = qs_json_at(root, i);
        struct qs_swap_cell c = { .tensor = (char *)qs_json_str(qs_json_at(x, 0), ""),
                                  .kld = qs_json_num(qs_json_at(x, 3), NAN), .kld_se = qs_json_num(qs_json_at(x, 4), NAN),
                                  .windows = (size_t)qs_json_uint(qs_json_at(x, 5), 0),
                                  .error = qs_json_num(qs_json_at(x, 6), NAN) };
        if (*c.tensor && get_type_method(x, 1, &c.type, &c.method))
            rc = qs_statistics_put_swap(s, &c, e);
    }
    qs_json_free(root);
    return rc;
}
