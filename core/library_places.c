/* library_places.c - where the programs people use keep their models, and how each of them names them.
 *
 * Owns the list of places, made once from the environment. Files of other programs (Ollama's manifests, LM Studio's
 * settings) are hostile until checked: bounded, digests are digits and nothing else, paths have to be absolute.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/library_internal.h"

#define FOLDER_DEPTH 4
#define SMALL_FILE (1u << 20) /* manifests, settings */

/* ---- recent ------------------------------------------------------------------------------------------------------ */

static int add_recent(struct qs_library_walk *w, const struct qs_library_past *past)
{
    struct qs_library_entry entry = { .group = QS_LIBRARY_RECENT, .opened = past->opened };
    struct qs_library_id id = { 0, 0 };
    struct qs_library_names names;
    struct qs_file_stat st;
    int rc = QS_OK;
    if (strlen(past->path) >= sizeof entry.path)
        return QS_OK;
    qs_library_clean(entry.name, sizeof entry.name, qs_path_base(past->path));
    if (qs_file_stat(past->path, &st, NULL) != QS_OK || !st.is_dir) {
        rc = qs_library_fill(&entry, past->path, &id, w->e);
        return rc ? rc : qs_library_add(w, &entry, id);
    }
    rc = qs_library_list(w, past->path, false, &names);
    if (!rc) {
        bool is_one;
        rc = qs_library_fill_folder(&entry, past->path, &names, &id, &is_one, w->e);
        if (!rc && !is_one)
            (void)snprintf(entry.note, sizeof entry.note, "a folder without a model");
        rc = rc ? rc : qs_library_add(w, &entry, id);
        qs_library_free_names(&names);
    }
    return rc;
}

static int recent(struct qs_library_walk *w, const struct qs_library_place *p)
{
    struct qs_library_recent list;
    struct qs_err why = QS_ERR_INIT;
    (void)p;
    int rc = qs_library_load_recent(&list, &why);
    if (rc == QS_ENOMEM)
        return qs_fail(w->e, QS_ENOMEM, "%s", why.msg);
    if (rc)
        qs_library_add_note(w, "recent list", "%s", why.msg);
    rc = QS_OK;
    for (size_t i = 0; i < list.n && !rc; i++)
        rc = add_recent(w, &list.item[i]);
    qs_library_free_recent(&list);
    return rc;
}

/* ---- plain folders ----------------------------------------------------------------------------------------------- */

/* Whether a place is there at all. That it is not is worth a word only where a person has named it; that it may not be
 * looked at always is. */
static bool there(struct qs_library_walk *w, const char *path, bool named)
{
    struct stat st;
    if (stat(path, &st) == 0) {
        if (!S_ISDIR(st.st_mode))
            qs_library_add_note(w, path, "not a folder");
        return S_ISDIR(st.st_mode);
    }
    if (named || (errno != ENOENT && errno != ENOTDIR))
        qs_library_add_note(w, path, "%s", errno == ENOENT ? "there is no such folder" : strerror(errno));
    return false;
}

static int folder(struct qs_library_walk *w, const struct qs_library_place *p)
{
    return there(w, p->path, p->named) ? qs_library_walk_folder(w, p->path, "", 0) : QS_OK;
}

/* Runs fn on every name of `dir` that is of this kind. */
typedef int each_fn(struct qs_library_walk *w, const char *path, const char *name, void *ctx);

static int each(struct qs_library_walk *w, const char *dir, enum qs_library_what what, each_fn *fn, void *ctx)
{
    struct qs_library_names names;
    struct qs_str path = QS_STR_INIT;
    int rc = qs_library_list(w, dir, what == QS_NAME_FILE, &names);
    if (rc)
        return rc;
    for (size_t i = 0; i < names.n && !rc && !w->full; i++) {
        if (names.item[i].what != what)
            continue;
        qs_path_join(dir, names.item[i].name, &path);
        rc = path.failed ? qs_fail_mem(w->e, strlen(dir), "a path") : fn(w, path.data, names.item[i].name, ctx);
    }
    qs_str_free(&path);
    qs_library_free_names(&names);
    return rc;
}

/* ---- Hugging Face ------------------------------------------------------------------------------------------------ */

static int revision(struct qs_library_walk *w, const char *path, const char *name, void *ctx)
{
    (void)name;
    (void)ctx;
    return qs_library_walk_folder(w, path, "", 0);
}

/* models--ORG--NAME: the label is ORG/NAME. */
static int repository(struct qs_library_walk *w, const char *path, const char *name, void *ctx)
{
    static const char prefix[] = "models--";
    struct qs_str label = QS_STR_INIT, snapshots = QS_STR_INIT;
    int rc = QS_OK;
    (void)ctx;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return QS_OK;
    name += sizeof prefix - 1;
    const char *gap = strstr(name, "--");
    qs_str_addn(&label, name, gap ? (size_t)(gap - name) : strlen(name));
    if (gap)
        qs_str_addf(&label, "/%s", gap + 2);
    qs_path_join(path, "snapshots", &snapshots);
    if (label.failed || snapshots.failed)
        rc = qs_fail_mem(w->e, strlen(path), "a path");
    w->label = label.data;
    if (!rc && there(w, snapshots.data, false))
        rc = each(w, snapshots.data, QS_NAME_DIR, revision, NULL);
    w->label = NULL;
    qs_str_free(&label);
    qs_str_free(&snapshots);
    return rc;
}

static int huggingface(struct qs_library_walk *w, const struct qs_library_place *p)
{
    return there(w, p->path, p->named) ? each(w, p->path, QS_NAME_DIR, repository, NULL) : QS_OK;
}

/* ---- Ollama ------------------------------------------------------------------------------------------------------ */

struct ollama { const char *root; char rel[4][256]; unsigned level; };

/* "NAME:TAG" of the library of ollama.com, "SPACE/NAME:TAG" of others there, else with the host in front. */
static void ollama_name(const struct ollama *o, char *out, size_t cap)
{
    char name[1100];
    const bool home = strcmp(o->rel[0], "registry.ollama.ai") == 0, own = home && strcmp(o->rel[1], "library") == 0;
    (void)snprintf(name, sizeof name, "%s%s%s%s%s:%s", home ? "" : o->rel[0], home ? "" : "/", own ? "" : o->rel[1],
                   own ? "" : "/", o->rel[2], o->rel[3]);
    qs_library_clean(out, cap, name);
}

/* blobs/sha256-HEX of a digest "sha256:HEX"; nothing else is ever taken for a file name. */
static bool blob_path(const char *root, const char *digest, struct qs_str *out)
{
    static const char prefix[] = "sha256:";
    const char *hex = digest + sizeof prefix - 1;
    if (strncmp(digest, prefix, sizeof prefix - 1) != 0 || strlen(hex) != 64 || hex[strspn(hex, "0123456789abcdef")])
        return false;
    qs_str_clear(out);
    qs_str_addf(out, "%s/blobs/sha256-%s", root, hex);
    return true;
}

/* The digest of the weights; *tensors: they are not GGUF but one layer per tensor. */
static const char *model_layer(const struct qs_json *manifest, bool *tensors)
{
    const struct qs_json *layers = qs_json_get(manifest, "layers");
    *tensors = false;
    for (size_t i = 0; qs_json_type(layers) == QS_JSON_ARRAY && i < qs_json_len(layers); i++) {
        const struct qs_json *layer = qs_json_at(layers, i);
        const char *type = qs_json_str(qs_json_get(layer, "mediaType"), "");
        if (strcmp(type, "application/vnd.ollama.image.model") == 0)
            return qs_json_str(qs_json_get(layer, "digest"), "");
        *tensors |= strcmp(type, "application/vnd.ollama.image.tensor") == 0;
    }
    return NULL;
}

static int add_manifest(struct qs_library_walk *w, const struct ollama *o, const char *path,
                        const struct qs_json *manifest)
{
    struct qs_library_entry entry = { .group = w->group, .kind = QS_LIBRARY_GGUF };
    struct qs_library_id id = { 0, 0 };
    struct qs_str blob = QS_STR_INIT;
    bool tensors;
    int rc = QS_OK;
    const char *digest = model_layer(manifest, &tensors);
    ollama_name(o, entry.name, sizeof entry.name);
    if (!digest && !tensors)
        return QS_OK; /* a model that runs elsewhere has no weights here */
    if (digest && !blob_path(o->root, digest, &blob))
        qs_library_add_note(w, path, "the digest of the model makes no sense");
    else if (blob.failed || strlen(blob.data) >= sizeof entry.path || strlen(path) >= sizeof entry.path)
        qs_library_add_note(w, path, "the name is too long");
    else {
        if (digest)
            rc = qs_library_fill(&entry, blob.data, &id, w->e);
        else {
            entry.kind = QS_LIBRARY_SAFETENSORS;
            (void)snprintf(entry.path, sizeof entry.path, "%s", path);
            (void)snprintf(entry.note, sizeof entry.note, "%s",
                           "stored as safetensors in a form of Ollama's own, which cannot be opened yet");
        }
        if (!rc)
            rc = qs_library_add(w, &entry, (struct qs_library_id){ 0, 0 }); /* tags may share a blob: each is listed */
    }
    qs_str_free(&blob);
    return rc;
}

static int manifest(struct qs_library_walk *w, const char *path, const struct ollama *o)
{
    struct qs_err why = QS_ERR_INIT;
    struct qs_json *json = NULL;
    char *text = NULL;
    size_t len = 0;
    int rc = qs_file_read(path, SMALL_FILE, &text, &len, &why);
    if (!rc)
        rc = qs_json_parse(text, len, &json, &why);
    qs_free(text);
    if (rc == QS_ENOMEM)
        return qs_fail(w->e, QS_ENOMEM, "%s", why.msg);
    if (rc) {
        qs_library_add_note(w, path, "%s", why.msg);
        return QS_OK;
    }
    rc = add_manifest(w, o, path, json);
    qs_json_free(json);
    return rc;
}

/* manifests/HOST/SPACE/NAME/TAG: three levels of folders, then files. */
static int manifest_level(struct qs_library_walk *w, const char *path, const char *name, void *ctx)
{
    struct ollama *o = ctx;
    const unsigned level = o->level;
    (void)snprintf(o->rel[level], sizeof o->rel[level], "%s", name);
    if (level == 3)
        return manifest(w, path, o);
    o->level = level + 1;
    const int rc = each(w, path, o->level == 3 ? QS_NAME_FILE : QS_NAME_DIR, manifest_level, o);
    o->level = level;
    return rc;
}

static int ollama(struct qs_library_walk *w, const struct qs_library_place *p)
{
    struct qs_str manifests = QS_STR_INIT;
    struct ollama o = { .root = p->path };
    int rc = QS_OK;
    qs_path_join(p->path, "manifests", &manifests);
    if (manifests.failed)
        rc = qs_fail_mem(w->e, strlen(p->path), "a path");
    else if (there(w, p->path, p->named) && there(w, manifests.data, false))
        rc = each(w, manifests.data, QS_NAME_DIR, manifest_level, &o);
    qs_str_free(&manifests);
    return rc;
}

/* ---- LM Studio --------------------------------------------------------------------------------------------------- */

/* A settings file may name another folder for models. */
static int lmstudio_settings(struct qs_library_walk *w, const struct qs_library_place *p)
{
    struct qs_json *json = NULL;
    char *text = NULL;
    size_t len = 0;
    int rc = qs_file_read(p->path, SMALL_FILE, &text, &len, NULL);
    if (rc == QS_ENOTFOUND || rc == QS_EINVAL) /* none, or nothing that anybody reads */
        return QS_OK;
    const bool was_read = rc == QS_OK;
    rc = QS_OK;
    if (was_read && qs_json_parse(text, len, &json, NULL) == QS_OK) {
        const char *named = qs_json_str(qs_json_get(json, "downloadsFolder"), "");
        if (named[0] == '/' && there(w, named, false))
            rc = qs_library_walk_folder(w, named, "", 0);
    } else
        qs_library_add_note(w, p->path, "not the settings of LM Studio that were expected");
    qs_free(text);
    qs_json_free(json);
    return rc;
}

/* ---- the list of places ------------------------------------------------------------------------------------------ */

void qs_library_free_places(struct qs_library_places *p)
{
    for (size_t i = 0; i < p->n; i++)
        qs_free(p->item[i].path);
    qs_free(p->item);
    *p = (struct qs_library_places){ .n = 0 };
}

struct finder { struct qs_library_places *out; struct qs_err *e; int rc; const char *home; /* NULL: unknown */ };

/* Adds the place DIR/TAIL; `dir` NULL: there is none. A path from the environment may be relative or begin with ~/. */
static void place(struct finder *f, enum qs_library_group g, qs_library_place_fn *fn, unsigned depth, bool named,
                  const char *dir, const char *tail)
{
    struct qs_str path = QS_STR_INIT;
    char here[PATH_MAX];
    if (f->rc || !dir || !dir[0])
        return;
    if (strncmp(dir, "~/", 2) == 0 && f->home) {
        qs_str_addf(&path, "%s/", f->home);
        dir += 2;
    } else if (dir[0] != '/' && getcwd(here, sizeof here)) {
        qs_str_add(&path, here);
        if (strcmp(dir, ".") != 0)
            qs_str_addc(&path, '/');
        else
            dir++;
    }
    qs_str_addf(&path, "%s%s", dir, tail);
    char *text = qs_str_take(&path);
    if (!text || !qs_grow(&f->out->item, &f->out->cap, f->out->n + 1, sizeof *f->out->item)) {
        qs_free(text);
        f->rc = qs_fail_mem(f->e, strlen(dir), "a path");
        return;
    }
    f->out->item[f->out->n++] =
        (struct qs_library_place){ .group = g, .fn = fn, .path = text, .depth = depth, .named = named };
}

static const char *environment(const char *name)
{
    const char *v = getenv(name);
    return v && v[0] ? v : NULL;
}

/* The first of these variables that is set names the place; the last one stands for the home folder. */
struct variable { const char *name, *tail; bool named; };

static void first_set(struct finder *f, enum qs_library_group g, qs_library_place_fn *fn, unsigned depth,
                      const struct variable *v, const char *in_home)
{
    for (; v->name; v++)
        if (environment(v->name)) {
            place(f, g, fn, depth, v->named, environment(v->name), v->tail);
            return;
        }
    place(f, g, fn, depth, false, f->home, in_home);
}

static void lmstudio_places(struct finder *f)
{
    static const char *const homes[] = { "/.lmstudio", "/.cache/lm-studio" };
    struct qs_str pointer = QS_STR_INIT;
    char *text = NULL;
    size_t len = 0;
    if (!f->home)
        return;
    qs_str_addf(&pointer, "%s/.lmstudio-home-pointer", f->home);
    if (qs_file_read(pointer.data, PATH_MAX, &text, &len, NULL) == QS_OK) {
        text[strcspn(text, "\r\n")] = 0;
        if (text[0] == '/') {
            place(f, QS_LIBRARY_LMSTUDIO, folder, 3, false, text, "/models");
            place(f, QS_LIBRARY_LMSTUDIO, lmstudio_settings, 3, false, text, "/settings.json");
        }
    }
    qs_free(text);
    qs_str_free(&pointer);
    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++) {
        char tail[64];
        (void)snprintf(tail, sizeof tail, "%s/models", homes[i]);
        place(f, QS_LIBRARY_LMSTUDIO, folder, 3, false, f->home, tail);
        (void)snprintf(tail, sizeof tail, "%s/settings.json", homes[i]);
        place(f, QS_LIBRARY_LMSTUDIO, lmstudio_settings, 3, false, f->home, tail);
    }
    place(f, QS_LIBRARY_LMSTUDIO, lmstudio_settings, 3, false, f->home, "/.config/LM Studio/settings.json");
}

static void program_places(struct finder *f)
{
    static const struct variable hf[] = {
        { "HF_HUB_CACHE", "", true }, { "HUGGINGFACE_HUB_CACHE", "", true }, { "HF_HOME", "/hub", true },
        { "XDG_CACHE_HOME", "/huggingface/hub", false }, { NULL, NULL, false },
    };
    static const struct variable llama[] = {
        { "LLAMA_CACHE", "", true }, { "XDG_CACHE_HOME", "/llama.cpp", false }, { NULL, NULL, false },
    };
    first_set(f, QS_LIBRARY_HF, huggingface, 2, hf, "/.cache/huggingface/hub");
    place(f, QS_LIBRARY_OLLAMA, ollama, 0, true, environment("OLLAMA_MODELS"), "");
    place(f, QS_LIBRARY_OLLAMA, ollama, 0, false, f->home, "/.ollama/models");
    place(f, QS_LIBRARY_OLLAMA, ollama, 0, false, "/usr/share/ollama/.ollama/models", "");
    lmstudio_places(f);
    first_set(f, QS_LIBRARY_LLAMACPP, folder, 1, llama, "/.cache/llama.cpp");
}

int qs_library_find_places(const struct qs_library_options *o, struct qs_library_places *out, struct qs_err *e)
{
    const char *home = environment("HOME");
    struct finder f = { .out = out, .e = e, .home = home && home[0] == '/' ? home : NULL };
    if (o->recent)
        place(&f, QS_LIBRARY_RECENT, recent, 0, false, "/", "");
    if (o->here)
        place(&f, QS_LIBRARY_FOLDER, folder, 1, false, ".", "");
    for (size_t i = 0; i < o->n_folders; i++)
        place(&f, QS_LIBRARY_FOLDER, folder, FOLDER_DEPTH, true, o->folder[i], "");
    if (o->programs)
        program_places(&f);
    return f.rc;
}
