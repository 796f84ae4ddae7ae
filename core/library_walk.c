/* library_walk.c - looking through folders for models, within bounds.
 *
 * Owns the names of one folder at a time per level. Never leaves the depth of its place, never enters a folder twice
 * (links may form loops), waits for nothing but the file system. What cannot be read is noted and left.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/library_internal.h"
#include "core/model/folder.h"

#define CANCEL_EVERY 256 /* names between looks at the job */

/* ---- names of a folder ------------------------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n > m && qs_ascii_equal(name + n - m, end);
}

static enum qs_library_what kind_of_file(const char *name, bool every_file)
{
    if (every_file)
        return QS_NAME_FILE;
    if (ends_with(name, ".gguf"))
        return QS_NAME_GGUF;
    if (ends_with(name, ".safetensors"))
        return QS_NAME_TENSORS;
    return strcmp(name, "config.json") == 0 ? QS_NAME_CONFIG : QS_NAME_OTHER;
}

/* What a name stands for. Only links are looked at closer, and names on file systems that do not tell. */
static enum qs_library_what what_is(int dir, const struct dirent *d, bool every_file)
{
    struct stat st;
    const enum qs_library_what what = kind_of_file(d->d_name, every_file);
    if (d->d_type == DT_DIR)
        return QS_NAME_DIR;
    if (d->d_type == DT_REG)
        return what;
    if (d->d_type != DT_LNK && d->d_type != DT_UNKNOWN)
        return QS_NAME_OTHER;
    if (fstatat(dir, d->d_name, &st, 0) != 0)
        return what; /* a link to nothing: shown as missing */
    return S_ISDIR(st.st_mode) ? QS_NAME_DIR : S_ISREG(st.st_mode) ? what : QS_NAME_OTHER;
}

void qs_library_free_names(struct qs_library_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        qs_free(names->item[i].name);
    qs_free(names->item);
    *names = (struct qs_library_names){ .n = 0 };
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct qs_library_name *)a)->name, ((const struct qs_library_name *)b)->name);
}

static int keep_name(struct qs_library_walk *w, struct qs_library_names *out, const char *name,
                     enum qs_library_what what)
{
    char *copy = qs_strdup(name);
    if (!copy || !qs_grow(&out->item, &out->cap, out->n + 1, sizeof *out->item)) {
        qs_free(copy);
        return qs_fail_mem(w->e, strlen(name), "the names of a folder");
    }
    out->item[out->n++] = (struct qs_library_name){ copy, what };
    return QS_OK;
}

static int read_names(struct qs_library_walk *w, DIR *dir, const char *path, bool every_file,
                      struct qs_library_names *out)
{
    int rc = QS_OK;
    for (const struct dirent *d; !rc && (d = readdir(dir));) {
        if (d->d_name[0] == '.')
            continue;
        if (w->names == QS_LIBRARY_MAX_NAMES) {
            if (!w->told)
                qs_library_add_note(w, path, "more than %d names here: the rest is not looked at",
                                    QS_LIBRARY_MAX_NAMES);
            w->told = true;
            break;
        }
        const enum qs_library_what what = what_is(dirfd(dir), d, every_file);
        if (++w->names % CANCEL_EVERY == 0)
            rc = qs_job_step(w->job, 0, w->e);
        if (!rc && what != QS_NAME_OTHER)
            rc = keep_name(w, out, d->d_name, what);
    }
    if (!rc && out->n > 1)
        qsort(out->item, out->n, sizeof *out->item, by_name);
    return rc;
}

/* Notes the folder; *again: it was entered before. */
static int enter(struct qs_library_walk *w, int fd, bool *again)
{
    struct stat st;
    *again = false;
    if (fstat(fd, &st) != 0)
        return QS_OK;
    for (size_t i = 0; i < w->n_seen && !*again; i++)
        *again = w->seen[i].dev == (uint64_t)st.st_dev && w->seen[i].ino == (uint64_t)st.st_ino;
    if (*again)
        return QS_OK;
    if (!qs_grow(&w->seen, &w->seen_cap, w->n_seen + 1, sizeof *w->seen))
        return qs_fail_mem(w->e, sizeof *w->seen, "the list of folders");
    w->seen[w->n_seen++] = (struct qs_library_id){ (uint64_t)st.st_dev, (uint64_t)st.st_ino };
    return QS_OK;
}

int qs_library_list(struct qs_library_walk *w, const char *path, bool every_file, struct qs_library_names *out)
{
    char clean[128];
    bool again = false;
    *out = (struct qs_library_names){ .n = 0 };
    qs_library_clean(clean, sizeof clean, path);
    qs_job_item(w->job, "%s", clean);
    int rc = qs_job_step(w->job, 0, w->e);
    if (rc)
        return rc;
    DIR *dir = opendir(path);
    if (!dir) {
        qs_library_add_note(w, path, "%s", strerror(errno));
        return QS_OK;
    }
    rc = enter(w, dirfd(dir), &again);
    if (!rc && !again)
        rc = read_names(w, dir, path, every_file, out);
    closedir(dir);
    if (rc)
        qs_library_free_names(out);
    return rc;
}

/* ---- what is in them --------------------------------------------------------------------------------------------- */

/* The name people know a thing by, and the file below it: from the label or from the place below the root. LM Studio
 * keeps ORG/REPO/FILE. */
static void set_name(const struct qs_library_walk *w, struct qs_library_entry *entry, const char *rel)
{
    if (w->label) {
        qs_library_clean(entry->name, sizeof entry->name, w->label);
        qs_library_clean(entry->file, sizeof entry->file, rel);
        return;
    }
    qs_library_clean(entry->name, sizeof entry->name, rel[0] ? rel : ".");
    const char *org = strchr(rel, '/'), *repo = org ? strchr(org + 1, '/') : NULL;
    if (w->group == QS_LIBRARY_LMSTUDIO && repo) {
        char name[sizeof entry->name];
        (void)snprintf(name, sizeof name, "%.*s", (int)(repo - rel < 255 ? repo - rel : 255), rel);
        qs_library_clean(entry->name, sizeof entry->name, name);
        qs_library_clean(entry->file, sizeof entry->file, repo + 1);
    }
}

static int add_file(struct qs_library_walk *w, const char *path, const char *rel)
{
    struct qs_library_entry entry = { .group = w->group, .kind = QS_LIBRARY_GGUF };
    struct qs_library_id id;
    if (strlen(path) >= sizeof entry.path) {
        qs_library_add_note(w, path, "the name is too long");
        return QS_OK;
    }
    set_name(w, &entry, rel);
    const int rc = qs_library_fill(&entry, path, &id, w->e);
    return rc ? rc : qs_library_add(w, &entry, id);
}

/* "model-00001-of-00003.safetensors": 3, else 0. */
static unsigned shards(const char *name)
{
    unsigned no, count;
    int used = 0;
    const char *at = strstr(name, "-of-");
    while (at && strstr(at + 1, "-of-"))
        at = strstr(at + 1, "-of-");
    if (!at || at < name + 6 || sscanf(at - 6, "-%5u-of-%5u.safetensors%n", &no, &count, &used) != 2 || !used ||
        at[used - 6] || count > QS_LIBRARY_MAX_PARTS)
        return 0;
    return count;
}

/* What config.json says, and what stands against opening it. */
static int judge_folder(struct qs_library_entry *entry, const char *dir, struct qs_err *e)
{
    struct qs_folder_peek peek;
    struct qs_err why = QS_ERR_INIT;
    const int rc = qs_folder_peek(dir, &peek, &why);
    memcpy(entry->arch, peek.arch, sizeof entry->arch);
    memcpy(entry->type, peek.type, sizeof entry->type);
    if (rc == QS_ENOMEM)
        return qs_fail(e, rc, "%s", why.msg);
    entry->openable = rc == QS_OK && entry->parts_missing == 0;
    if (rc)
        qs_library_clean(entry->note, sizeof entry->note, why.msg);
    else if (entry->parts_missing)
        (void)snprintf(entry->note, sizeof entry->note, "%u of %u files %s missing", entry->parts_missing, entry->parts,
                       entry->parts_missing == 1 ? "is" : "are");
    return QS_OK;
}

int qs_library_fill_folder(struct qs_library_entry *entry, const char *dir, const struct qs_library_names *names,
                           struct qs_library_id *id, bool *is_one, struct qs_err *e)
{
    unsigned whole = 0;
    bool config = false;
    struct stat st;
    struct qs_str path = QS_STR_INIT;
    *id = (struct qs_library_id){ 0, 0 };
    entry->kind = QS_LIBRARY_SAFETENSORS;
    entry->parts = 0;
    for (size_t i = 0; i < names->n; i++) {
        config |= names->item[i].what == QS_NAME_CONFIG;
        if (names->item[i].what != QS_NAME_TENSORS)
            continue;
        qs_path_join(dir, names->item[i].name, &path);
        entry->parts++;
        if (shards(names->item[i].name) > whole)
            whole = shards(names->item[i].name);
        if (stat(path.data, &st) != 0) {
            entry->parts_missing++;
            continue;
        }
        const int64_t mtime = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        if (id->ino == 0)
            *id = (struct qs_library_id){ (uint64_t)st.st_dev, (uint64_t)st.st_ino };
        entry->bytes += (uint64_t)st.st_size;
        entry->mtime_ns = mtime > entry->mtime_ns ? mtime : entry->mtime_ns;
    }
    qs_str_free(&path);
    (void)snprintf(entry->path, sizeof entry->path, "%s", dir);
    *is_one = config && entry->parts > 0;
    if (whole > entry->parts) {
        entry->parts_missing += whole - entry->parts;
        entry->parts = whole;
    }
    return *is_one ? judge_folder(entry, dir, e) : QS_OK;
}

static int add_folder(struct qs_library_walk *w, const char *dir, const char *rel, const struct qs_library_names *names)
{
    struct qs_library_entry entry = { .group = w->group };
    struct qs_library_id id;
    bool is_one;
    if (strlen(dir) >= sizeof entry.path)
        return QS_OK;
    const int rc = qs_library_fill_folder(&entry, dir, names, &id, &is_one, w->e);
    if (rc || !is_one)
        return rc;
    set_name(w, &entry, rel);
    return qs_library_add(w, &entry, id);
}

/* A later part of the split file that the name before belongs to. */
static bool same_split(const char *name, const char *before)
{
    unsigned no, count, no_before, count_before;
    const size_t stem = qs_library_part(name, &no, &count);
    return stem && stem == qs_library_part(before, &no_before, &count_before) && count == count_before &&
           memcmp(name, before, stem) == 0;
}

static int walk_name(struct qs_library_walk *w, const char *dir, const char *rel, unsigned level,
                     const struct qs_library_name *it)
{
    struct qs_str path = QS_STR_INIT, below = QS_STR_INIT;
    int rc = QS_OK;
    qs_path_join(dir, it->name, &path);
    qs_path_join(rel, it->name, &below);
    if (path.failed || below.failed)
        rc = qs_fail_mem(w->e, strlen(dir), "a path");
    else if (it->what == QS_NAME_DIR && level < w->depth)
        rc = qs_library_walk_folder(w, path.data, below.data, level + 1);
    else if (it->what == QS_NAME_GGUF)
        rc = add_file(w, path.data, below.data);
    qs_str_free(&path);
    qs_str_free(&below);
    return rc;
}

int qs_library_walk_folder(struct qs_library_walk *w, const char *dir, const char *rel, unsigned level)
{
    struct qs_library_names names;
    int rc = qs_library_list(w, dir, false, &names);
    if (rc)
        return rc;
    rc = add_folder(w, dir, rel, &names);
    const char *before = ""; /* files first, so that a folder's own models stand together */
    for (size_t i = 0; i < names.n && !rc && !w->full; i++) {
        if (names.item[i].what != QS_NAME_GGUF)
            continue;
        if (!same_split(names.item[i].name, before))
            rc = walk_name(w, dir, rel, level, &names.item[i]);
        before = names.item[i].name;
    }
    for (size_t i = 0; i < names.n && !rc && !w->full; i++)
        if (names.item[i].what == QS_NAME_DIR)
            rc = walk_name(w, dir, rel, level, &names.item[i]);
    qs_library_free_names(&names);
    return rc;
}
