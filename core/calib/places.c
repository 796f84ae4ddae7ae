/* places.c - names of what a calibration leaves. Owns nothing. */
#include "core/calib/places.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"

enum { BUDGET_NAME = 40 }; /* characters */

/* "model-q" of "/x/model-q-00001-of-00003.gguf" and of "/x/model-q/". */
static void add_stem(const char *path, size_t len, struct qs_str *out)
{
    const char *base = path;
    for (size_t i = 0; i + 1 < len; i++)
        if (path[i] == '/')
            base = path + i + 1;
    size_t n = len - (size_t)(base - path);
    if (n > 5 && strncmp(base + n - 5, ".gguf", 5) == 0)
        n -= 5;
    if (n > 15 && base[n - 15] == '-' && strncmp(base + n - 9, "-of-", 4) == 0)
        n -= 15;
    qs_str_addn(out, n ? base : "model", n ? n : 5);
}

/* "-1f2e3d4c", of the absolute path: models of the same name in other folders are told apart where they share one. */
static void add_hash(const char *path, size_t len, struct qs_str *out)
{
    struct qs_str name = QS_STR_INIT;
    char real[PATH_MAX], hex[33];
    qs_str_addn(&name, path, len);
    if (!name.failed && realpath(name.data, real)) {
        qs_str_clear(&name);
        qs_str_add(&name, real);
    }
    qs_key_hex(qs_hash_bytes(name.data, name.len), hex);
    qs_str_addf(out, "-%.8s", hex);
    out->failed |= name.failed;
    qs_str_free(&name);
}

/* The model's folder with its '/', or that of the cache where nothing can be written there. */
static int add_folder(const char *path, size_t len, struct qs_str *out, bool *shared, struct qs_err *e)
{
    size_t n = len;
    while (n && path[n - 1] != '/')
        n--;
    qs_str_addn(out, path, n);
    if (!n)
        qs_str_add(out, "./");
    *shared = out->failed || access(out->data, W_OK) != 0;
    if (!*shared)
        return QS_OK;
    const int rc = qs_xdg_dir("cache", "calibrations", out, e);
    qs_str_addc(out, '/');
    return rc;
}

static size_t length_of(const char *model)
{
    size_t len = strlen(model);
    while (len > 1 && model[len - 1] == '/')
        len--;
    return len;
}

static int place(const char *model, const char *name, const char *tail, struct qs_str *out, struct qs_err *e)
{
    const size_t len = length_of(model);
    bool shared = false;
    qs_str_clear(out);
    const int rc = add_folder(model, len, out, &shared, e);
    if (rc)
        return rc;
    add_stem(model, len, out);
    if (shared)
        add_hash(model, len, out);
    if (name)
        qs_str_addf(out, ".%s", name);
    qs_str_add(out, tail);
    return out->failed ? qs_fail_mem(e, len, "a file name") : QS_OK;
}

int qs_calib_statistics_place(const char *model, struct qs_str *out, struct qs_err *e)
{
    return place(model, NULL, ".imatrix.gguf", out, e);
}

int qs_calib_store_place(const char *model, const char *name, struct qs_str *out, struct qs_err *e)
{
    return place(model, name, ".qscal", out, e);
}

int qs_calib_recipe_name(const struct qs_recipe *r, struct qs_str *out, struct qs_err *e)
{
    const bool bare = !r->n_pins && !r->n_rules && !r->pure && !r->leave_output && !r->strict &&
                      r->output_type == QS_TYPE_NONE && r->token_embd_type == QS_TYPE_NONE;
    struct qs_str text = QS_STR_INIT;
    char hex[33];
    qs_str_add(out, r->preset->name);
    int rc = bare ? QS_OK : qs_recipe_print(r, &text, e);
    if (!rc && !bare) {
        qs_key_hex(qs_hash_bytes(text.data, text.len), hex);
        qs_str_addf(out, "-%.8s", hex);
    }
    if (!rc && (text.failed || out->failed))
        rc = qs_fail_mem(e, text.len, "a file name");
    qs_str_free(&text);
    return rc;
}

/* Letters, digits and points of it. */
void qs_calib_budget_name(const char *budget, struct qs_str *out)
{
    qs_str_add(out, "fit-");
    for (size_t n = 0; *budget && n < BUDGET_NAME; budget++) {
        const bool kept = (*budget >= '0' && *budget <= '9') || (*budget >= 'a' && *budget <= 'z') ||
                          (*budget >= 'A' && *budget <= 'Z') || *budget == '.';
        if (kept)
            qs_str_addc(out, *budget);
        n += kept;
    }
}

int qs_calib_request_place(const char *model, bool make, struct qs_str *out, struct qs_err *e)
{
    const size_t len = length_of(model);
    const int rc = (make ? qs_xdg_dir : qs_xdg_path)("state", "calibrations", out, e);
    if (rc)
        return rc;
    qs_str_addc(out, '/');
    add_stem(model, len, out);
    add_hash(model, len, out);
    qs_str_add(out, ".json");
    return out->failed ? qs_fail_mem(e, len, "a file name") : QS_OK;
}
