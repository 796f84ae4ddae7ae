/* folder_files.c - which files of a folder hold the weights, and which tensors are in them.
 *
 * Owns the open headers and the list of names. Refuses folders without safetensors (saying what is there instead),
 * indexes that name files elsewhere, shards and tensors that are missing, and one name in two files.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/model/folder_internal.h"

#define MAX_FILES 10000u

static int add_part(struct qs_folder_parts *l, const struct qs_gguf_part *p, struct qs_err *e)
{
    char *path = qs_strdup(p->path);
    if (!path || !qs_grow(&l->part, &l->cap, l->n + 1, sizeof *l->part)) {
        qs_free(path);
        return qs_fail_mem(e, strlen(p->path), "the list of files");
    }
    l->part[l->n] = *p;
    l->part[l->n++].path = path;
    return QS_OK;
}

void qs_folder_free_parts(struct qs_folder_parts *l)
{
    for (size_t i = 0; i < l->n; i++)
        qs_free(l->part[i].path);
    qs_free(l->part);
    *l = (struct qs_folder_parts){ .n = 0 };
}

int qs_folder_beside(struct qs_folder *f, const char *name, struct qs_err *e)
{
    struct qs_str path = QS_STR_INIT;
    struct qs_file_stat st;
    int rc = QS_OK;
    qs_path_join(f->dir, name, &path);
    if (path.failed)
        rc = qs_fail_mem(e, strlen(f->dir), "a path");
    else if (qs_file_exists(path.data) && !(rc = qs_file_stat(path.data, &st, e)))
        rc = add_part(&f->beside, &(struct qs_gguf_part){ .path = path.data, .file_size = st.size, .beside = true,
                                                          .mtime_ns = st.mtime_ns, .dev = st.dev, .ino = st.ino }, e);
    qs_str_free(&path);
    return rc;
}

int qs_folder_json(struct qs_folder *f, const char *name, struct qs_json **out, struct qs_err *e)
{
    struct qs_str path = QS_STR_INIT;
    struct qs_err why = QS_ERR_INIT;
    char *text = NULL;
    size_t n;
    int rc = QS_OK;
    *out = NULL;
    qs_path_join(f->dir, name, &path);
    if (path.failed)
        rc = qs_fail_mem(e, strlen(f->dir), "a path");
    else if (qs_file_exists(path.data) && !(rc = qs_folder_beside(f, name, e)) &&
             !(rc = qs_file_read(path.data, QS_FOLDER_MAX_JSON, &text, &n, e)) &&
             (rc = qs_json_parse(text, n, out, &why)) != QS_OK)
        rc = qs_fail(e, rc, "%s: %s", path.data, why.msg);
    qs_free(text);
    qs_str_free(&path);
    return rc;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* Weights of what is not the text model, by parts of their names. */
static bool other_model(const char *name)
{
    static const char *const words[] = { "vision_", "vision.", "visual.", "audio_", "audio.", "projector." };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(name, words[i]))
            return true;
    return false;
}

/* The name without the level that a text model has inside of a larger one. */
static char *plain_name(const char *name)
{
    static const char word[] = "language_model.";
    char *copy = qs_strdup(name);
    char *at = copy ? strstr(copy, word) : NULL;
    if (at)
        memmove(at, at + sizeof word - 1, strlen(at + sizeof word - 1) + 1);
    return copy;
}

static int add_names(struct qs_folder *f, const struct qs_safetensors *s, unsigned part, struct qs_err *e)
{
    for (size_t i = 0; i < s->n_tensors; i++) {
        if (other_model(s->tensor[i].name))
            continue;
        char *name = plain_name(s->tensor[i].name);
        if (!name || !qs_grow(&f->found, &f->found_cap, f->n_found + 1, sizeof *f->found)) {
            qs_free(name);
            return qs_fail_mem(e, sizeof *f->found, "the list of tensors");
        }
        f->found[f->n_found++] = (struct qs_folder_found){ .name = name, .t = &s->tensor[i], .part = part };
    }
    return QS_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct qs_folder_found *)a)->name, ((const struct qs_folder_found *)b)->name);
}

static int sort_names(struct qs_folder *f, struct qs_err *e)
{
    if (f->n_found)
        qsort(f->found, f->n_found, sizeof *f->found, by_name);
    for (size_t i = 1; i < f->n_found; i++)
        if (strcmp(f->found[i - 1].name, f->found[i].name) == 0)
            return qs_fail(e, QS_EFORMAT, "%s: tensor %.120s stands in %s and in %s", f->dir, f->found[i].name,
                           qs_path_base(f->weights.part[f->found[i - 1].part].path),
                           qs_path_base(f->weights.part[f->found[i].part].path));
    return QS_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

struct names { char **name; size_t n, cap; };

static void free_names(struct names *l)
{
    for (size_t i = 0; i < l->n; i++)
        qs_free(l->name[i]);
    qs_free(l->name);
    *l = (struct names){ .n = 0 };
}

static int add_name(struct names *l, const char *name, struct qs_err *e)
{
    char *copy = qs_strdup(name);
    if (!copy || !qs_grow(&l->name, &l->cap, l->n + 1, sizeof *l->name)) {
        qs_free(copy);
        return qs_fail_mem(e, strlen(name), "the list of files");
    }
    l->name[l->n++] = copy;
    return QS_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What stands in a folder that has no safetensors of the usual names. */
struct seen { bool adapter, bin, mistral, gguf; };

static int list_folder(const struct qs_folder *f, struct names *out, struct seen *seen, struct qs_err *e)
{
    int rc = QS_OK;
    DIR *dir = opendir(f->dir);
    if (!dir)
        return qs_fail_errno(e, errno, "cannot look into %s", f->dir);
    for (const struct dirent *d; !rc && (d = readdir(dir));) {
        const char *s = d->d_name;
        const bool tensors = qs_path_ends(s, ".safetensors");
        seen->adapter |= strncmp(s, "adapter_", 8) == 0;
        seen->bin |= qs_path_ends(s, ".bin") || qs_path_ends(s, ".pth") || qs_path_ends(s, ".bin.index.json");
        seen->gguf |= qs_path_ends(s, ".gguf");
        seen->mistral |= tensors && strncmp(s, "consolidated", 12) == 0;
        if (tensors && strncmp(s, "model", 5) == 0 && out->n < MAX_FILES)
            rc = add_name(out, s, e);
    }
    closedir(dir);
    if (!rc && out->n > 1)
        qsort(out->name, out->n, sizeof *out->name, by_text);
    return rc;
}

static int refuse_empty(const struct qs_folder *f, const struct seen *s, const char *lacks, struct qs_err *e)
{
    if (s->adapter)
        return qs_fail(e, QS_EUNSUPPORTED, "%s holds an adapter (LoRA), not a model: merge it into its model first",
                       f->dir);
    if (s->mistral)
        return qs_fail(e, QS_EUNSUPPORTED, "%s holds weights in Mistral's own layout (consolidated.safetensors): take "
                       "the model.safetensors of the same model", f->dir);
    if (s->bin)
        return qs_fail(e, QS_EUNSUPPORTED, "%s holds weights of PyTorch (.bin): convert them to safetensors first",
                       f->dir);
    if (s->gguf)
        return qs_fail(e, QS_EINVAL, "%s is a folder without %s: name the .gguf file in it", f->dir, lacks);
    return qs_fail(e, QS_ENOTFOUND, "%s holds no %s: it is no folder of a model", f->dir, lacks);
}

int qs_folder_refuse(const struct qs_folder *f, const char *lacks, struct qs_err *e)
{
    struct names list = { .n = 0 };
    struct seen seen = { .bin = false };
    const int rc = list_folder(f, &list, &seen, e);
    free_names(&list);
    return rc ? rc : refuse_empty(f, &seen, lacks, e);
}

/* Files NAME-00001-of-0000N.safetensors without an index: all N must be there. */
static int check_numbers(const struct qs_folder *f, const struct names *l, struct qs_err *e)
{
    unsigned no, count;
    int used = 0;
    if (l->n == 0 || sscanf(l->name[0], "model-%5u-of-%5u.safetensors%n", &no, &count, &used) != 2 || used == 0 ||
        l->name[0][used] || count == l->n || count == 0 || count > MAX_FILES)
        return QS_OK;
    for (unsigned i = 1; i <= count; i++) {
        char want[64];
        bool there = false;
        (void)snprintf(want, sizeof want, "model-%05u-of-%05u.safetensors", i, count);
        for (size_t k = 0; k < l->n && !there; k++)
            there = strcmp(l->name[k], want) == 0;
        if (!there)
            return qs_fail(e, QS_ENOTFOUND, "%s: %s is missing", f->dir, want);
    }
    return QS_OK;
}

/* The files that an index names, each once. */
static int read_index(const struct qs_folder *f, const struct qs_json *map, struct names *out, struct qs_err *e)
{
    for (size_t i = 0; i < qs_json_len(map); i++) {
        const struct qs_json *v;
        const char *tensor = qs_json_key_at(map, i, &v), *file = qs_json_str(v, "");
        bool have = false;
        if (!file[0] || strchr(file, '/') || !qs_path_ends(file, ".safetensors"))
            return qs_fail(e, QS_EFORMAT, "%s/model.safetensors.index.json: tensor %.100s: \"%.80s\" is no "
                           "safetensors file of this folder", f->dir, tensor, file);
        for (size_t k = out->n; k-- > 0 && !have;) /* from the end: names of one file follow each other */
            have = strcmp(out->name[k], file) == 0;
        if (have)
            continue;
        if (out->n == MAX_FILES)
            return qs_fail(e, QS_ELIMIT, "%s/model.safetensors.index.json: more than %u files", f->dir, MAX_FILES);
        const int rc = add_name(out, file, e);
        if (rc)
            return rc;
    }
    if (out->n > 1)
        qsort(out->name, out->n, sizeof *out->name, by_text);
    return QS_OK;
}

static int open_file(struct qs_folder *f, const char *name, struct qs_err *e)
{
    struct qs_str path = QS_STR_INIT;
    struct qs_safetensors *s = NULL;
    int rc;
    qs_path_join(f->dir, name, &path);
    if (path.failed || !qs_grow(&f->file, &f->file_cap, f->n_files + 1, sizeof *f->file))
        rc = qs_fail_mem(e, strlen(name), "the list of files");
    else if (!qs_file_exists(path.data))
        rc = qs_fail(e, QS_ENOTFOUND, "%s: %s is missing", f->dir, name);
    else
        rc = qs_safetensors_open(path.data, &s, e);
    qs_str_free(&path);
    if (rc)
        return rc;
    const unsigned part = (unsigned)f->n_files;
    f->file[f->n_files++] = s;
    const struct qs_gguf_part p = { .path = s->path, .file_size = s->file_size, .header_size = s->header_size,
                                    .data_offset = s->header_size, .bytes_read = s->bytes_read,
                                    .mtime_ns = s->mtime_ns, .dev = s->dev, .ino = s->ino, .n_tensors = s->n_tensors };
    rc = add_part(&f->weights, &p, e);
    return rc ? rc : add_names(f, s, part, e);
}

/* Every tensor of the index is in the file that it names. */
static int check_index(const struct qs_folder *f, const struct qs_json *map, struct qs_err *e)
{
    for (size_t i = 0; i < qs_json_len(map); i++) {
        const struct qs_json *v;
        const char *tensor = qs_json_key_at(map, i, &v), *file = qs_json_str(v, "");
        if (other_model(tensor))
            continue;
        struct qs_folder_found key = { .name = plain_name(tensor) };
        if (!key.name)
            return qs_fail_mem(e, strlen(tensor), "a name");
        const struct qs_folder_found *have =
            f->n_found ? bsearch(&key, f->found, f->n_found, sizeof key, by_name) : NULL;
        qs_free(key.name);
        if (!have || strcmp(qs_path_base(f->weights.part[have->part].path), file) != 0)
            return qs_fail(e, QS_EFORMAT, "%s/%.80s lacks the tensor %.120s, which model.safetensors.index.json "
                           "says is there", f->dir, file, tensor);
    }
    return QS_OK;
}

int qs_folder_files(struct qs_folder *f, struct qs_err *e)
{
    struct names list = { .n = 0 };
    struct seen seen = { .bin = false };
    struct qs_json *index;
    int rc = list_folder(f, &list, &seen, e);
    if (rc) {
        free_names(&list);
        return rc;
    }
    rc = qs_folder_json(f, "model.safetensors.index.json", &index, e);
    const struct qs_json *map = qs_json_get(index, "weight_map");
    if (!rc && index && qs_json_type(map) != QS_JSON_OBJECT)
        rc = qs_fail(e, QS_EFORMAT, "%s/model.safetensors.index.json: \"weight_map\" is missing", f->dir);
    if (!rc && index) {
        free_names(&list);
        rc = read_index(f, map, &list, e);
    } else if (!rc) {
        rc = check_numbers(f, &list, e);
    }
    if (!rc && list.n == 0)
        rc = refuse_empty(f, &seen, "model.safetensors", e);
    for (size_t i = 0; i < list.n && !rc; i++)
        rc = open_file(f, list.name[i], e);
    if (!rc)
        rc = sort_names(f, e);
    if (!rc && index)
        rc = check_index(f, map, e);
    free_names(&list);
    qs_json_free(index);
    return rc;
}
