/* library.c - the growing list of models: what is in it, under one lock, and the job that fills it.
 *
 * Owns the entries, the notes and the places to look. The lock is held for copies only. One thread fills (the scan);
 * any number read. An entry is stored as long as its path is, which stands last.
 */
#include "core/library.h"

#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "core/library_internal.h"

struct item { struct qs_library_entry *entry; struct qs_library_id id; };

struct qs_library {
    pthread_mutex_t lock; /* over everything but `places` */
    struct item *item;
    size_t n, cap;
    char *note[QS_LIBRARY_MAX_NOTES];
    size_t n_notes;
    uint64_t version;
    struct qs_library_places places;
};

static const struct { const char *key, *title; } groups[QS_LIBRARY_GROUPS] = {
    [QS_LIBRARY_RECENT] = { "recent", "Recent" },
    [QS_LIBRARY_FOLDER] = { "folder", "Folder" },
    [QS_LIBRARY_HF] = { "huggingface", "Hugging Face cache" },
    [QS_LIBRARY_OLLAMA] = { "ollama", "Ollama" },
    [QS_LIBRARY_LMSTUDIO] = { "lmstudio", "LM Studio" },
    [QS_LIBRARY_LLAMACPP] = { "llamacpp", "llama.cpp cache" },
};

const char *qs_library_group_key(enum qs_library_group g)
{
    return groups[g].key;
}

const char *qs_library_group_title(enum qs_library_group g)
{
    return groups[g].title;
}

void qs_library_clean(char *out, size_t cap, const char *text)
{
    struct qs_str s = QS_STR_INIT;
    qs_utf8_clean(&s, text, strlen(text), 0);
    size_t n = s.len < cap ? s.len : cap - 1;
    while (n > 0 && n < s.len && ((unsigned char)s.data[n] & 0xC0) == 0x80)
        n--; /* not within a character */
    memcpy(out, s.data, n);
    out[n] = 0;
    qs_str_free(&s);
}

/* ---- making and emptying --------------------------------------------------------------------------------------- */

int qs_library_new(const struct qs_library_options *options, struct qs_library **out, struct qs_err *e)
{
    static const struct qs_library_options everywhere = { .recent = true, .here = true, .programs = true };
    *out = NULL;
    struct qs_library *lib = qs_calloc(1, sizeof *lib);
    if (!lib)
        return qs_fail_mem(e, sizeof *lib, "the list of models");
    if (pthread_mutex_init(&lib->lock, NULL) != 0) {
        qs_free(lib);
        return qs_fail_mem(e, sizeof lib->lock, "a lock");
    }
    const int rc = qs_library_find_places(options ? options : &everywhere, &lib->places, e);
    if (rc)
        qs_library_free(lib);
    else
        *out = lib;
    return rc;
}

static void empty(struct qs_library *lib)
{
    pthread_mutex_lock(&lib->lock);
    for (size_t i = 0; i < lib->n; i++)
        qs_free(lib->item[i].entry);
    for (size_t i = 0; i < lib->n_notes; i++)
        qs_free(lib->note[i]);
    lib->n = lib->n_notes = 0;
    lib->version++;
    pthread_mutex_unlock(&lib->lock);
}

void qs_library_free(struct qs_library *lib)
{
    if (!lib)
        return;
    empty(lib);
    qs_free(lib->item);
    qs_library_free_places(&lib->places);
    pthread_mutex_destroy(&lib->lock);
    qs_free(lib);
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

size_t qs_library_count(struct qs_library *lib)
{
    pthread_mutex_lock(&lib->lock);
    const size_t n = lib->n;
    pthread_mutex_unlock(&lib->lock);
    return n;
}

uint64_t qs_library_version(struct qs_library *lib)
{
    pthread_mutex_lock(&lib->lock);
    const uint64_t v = lib->version;
    pthread_mutex_unlock(&lib->lock);
    return v;
}

static size_t stored_size(const struct qs_library_entry *entry)
{
    return offsetof(struct qs_library_entry, path) + strlen(entry->path) + 1;
}

bool qs_library_get(struct qs_library *lib, size_t i, struct qs_library_entry *out)
{
    pthread_mutex_lock(&lib->lock);
    const bool there = i < lib->n;
    if (there)
        memcpy(out, lib->item[i].entry, stored_size(lib->item[i].entry));
    pthread_mutex_unlock(&lib->lock);
    return there;
}

bool qs_library_note(struct qs_library *lib, size_t i, char *buf, size_t n)
{
    pthread_mutex_lock(&lib->lock);
    const bool there = i < lib->n_notes;
    if (there)
        qs_library_clean(buf, n, lib->note[i]);
    pthread_mutex_unlock(&lib->lock);
    return there;
}

/* ---- filling --------------------------------------------------------------------------------------------------- */

/* A file that was met before, under whatever name; the recent list stands for itself. */
static bool met_before(const struct qs_library *lib, const struct qs_library_entry *entry, struct qs_library_id id)
{
    if (entry->group == QS_LIBRARY_RECENT || id.ino == 0)
        return false;
    for (size_t i = 0; i < lib->n; i++)
        if (lib->item[i].id.ino == id.ino && lib->item[i].id.dev == id.dev &&
            lib->item[i].entry->group != QS_LIBRARY_RECENT)
            return true;
    return false;
}

int qs_library_add(struct qs_library_walk *w, const struct qs_library_entry *entry, struct qs_library_id id)
{
    struct qs_library *lib = w->lib;
    if (met_before(lib, entry, id)) /* this thread alone writes: no lock to read */
        return QS_OK;
    if (lib->n == QS_LIBRARY_MAX_ENTRIES) {
        if (!w->full)
            qs_library_add_note(w, groups[w->group].title, "more than %d models: the rest is left out",
                                QS_LIBRARY_MAX_ENTRIES);
        w->full = true;
        return QS_OK;
    }
    const size_t size = stored_size(entry);
    struct qs_library_entry *copy = qs_malloc(size);
    if (!copy)
        return qs_fail_mem(w->e, size, "the list of models");
    memcpy(copy, entry, size);
    pthread_mutex_lock(&lib->lock);
    const bool room = qs_grow(&lib->item, &lib->cap, lib->n + 1, sizeof *lib->item);
    if (room)
        lib->item[lib->n++] = (struct item){ copy, id };
    lib->version++;
    pthread_mutex_unlock(&lib->lock);
    if (!room) {
        qs_free(copy);
        return qs_fail_mem(w->e, size, "the list of models");
    }
    return qs_job_step(w->job, 1, w->e);
}

/* A note that finds no memory is dropped: the list itself counts. */
void qs_library_add_note(struct qs_library_walk *w, const char *path, const char *fmt, ...)
{
    struct qs_library *lib = w->lib;
    struct qs_str s = QS_STR_INIT;
    va_list ap;
    qs_str_addf(&s, "%s: ", path);
    va_start(ap, fmt);
    qs_str_addv(&s, fmt, ap);
    va_end(ap);
    if (lib->n_notes == QS_LIBRARY_MAX_NOTES - 1) {
        qs_str_clear(&s);
        qs_str_add(&s, "more could not be looked through");
    }
    char *text = qs_str_take(&s);
    pthread_mutex_lock(&lib->lock);
    if (text && lib->n_notes < QS_LIBRARY_MAX_NOTES) {
        lib->note[lib->n_notes++] = text;
        lib->version++;
        text = NULL;
    }
    pthread_mutex_unlock(&lib->lock);
    qs_free(text);
}

int qs_library_scan(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_library *lib = ctx;
    struct qs_library_walk w = { .lib = lib, .job = job, .group = QS_LIBRARY_GROUPS, .e = e };
    int rc = QS_OK;
    empty(lib);
    qs_job_phase(job, "looking for models", "models", 0);
    for (size_t i = 0; i < lib->places.n && !rc && !w.full; i++) {
        const struct qs_library_place *p = &lib->places.item[i];
        if (p->group != w.group)
            w.n_seen = 0;
        w.group = p->group;
        w.depth = p->depth;
        w.names = 0;
        w.told = false;
        w.label = NULL;
        rc = p->fn(&w, p);
    }
    qs_free(w.seen);
    return rc;
}
