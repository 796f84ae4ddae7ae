/* library_internal.h - what the files of the library share; nobody else includes it. */
#ifndef QS_CORE_LIBRARY_INTERNAL_H
#define QS_CORE_LIBRARY_INTERNAL_H

#include "base/str.h"
#include "core/library.h"

struct qs_library_place;
struct qs_library_walk;
typedef int qs_library_place_fn(struct qs_library_walk *w, const struct qs_library_place *p);

struct qs_library_place {
    enum qs_library_group group;
    qs_library_place_fn *fn;
    char *path;      /* NULL: the function knows */
    unsigned depth;  /* levels of folders below */
    bool named;      /* by the person: a note when it is not there */
};

struct qs_library_places { struct qs_library_place *item; size_t n, cap; };

/* One run over all places; one thread. */
struct qs_library_walk {
    struct qs_library *lib;
    struct qs_job *job;
    enum qs_library_group group;
    unsigned depth;                              /* of this place */
    uint64_t names;                              /* of this place, so far */
    bool told;                                   /* that the place has too many names */
    bool full;                                   /* so is the list */
    const char *label;                           /* name of what is found; NULL: from its place below the root */
    struct qs_library_id { uint64_t dev, ino; } *seen; /* folders of this group */
    size_t n_seen, seen_cap;
    struct qs_err *e;
};

/* Where to look, from options and environment (library_places.c). */
int qs_library_find_places(const struct qs_library_options *o, struct qs_library_places *out, struct qs_err *e);
void qs_library_free_places(struct qs_library_places *p);

/* Appends an entry, unless the same file is there already. QS_ENOMEM. */
int qs_library_add(struct qs_library_walk *w, const struct qs_library_entry *entry, struct qs_library_id id);
void qs_library_add_note(struct qs_library_walk *w, const char *path, const char *fmt, ...) QS_PRINTF(3, 4);

/* A .gguf file, or any part of a split one; fills the rest of an entry whose group, name and file are set
 * (library_file.c). */
int qs_library_fill(struct qs_library_entry *entry, const char *path, struct qs_library_id *id, struct qs_err *e);
/* "NAME-00002-of-00005.gguf": length of NAME, else 0. */
size_t qs_library_part(const char *path, unsigned *no, unsigned *count);

/* Names in a folder, sorted: folders and what looks like a model; every_file: all files. Hidden names are left out, and
 * those beyond the bound of the place. A folder that cannot be read or was seen before gives none. */
enum qs_library_what { QS_NAME_OTHER, QS_NAME_DIR, QS_NAME_GGUF, QS_NAME_TENSORS, QS_NAME_CONFIG, QS_NAME_FILE };
struct qs_library_names { struct qs_library_name { char *name; enum qs_library_what what; } *item; size_t n, cap; };
int qs_library_list(struct qs_library_walk *w, const char *dir, bool every_file, struct qs_library_names *out);
void qs_library_free_names(struct qs_library_names *names);

/* Folders (library_walk.c): all models in them, `rel` is the path below the root of the place. */
int qs_library_walk_folder(struct qs_library_walk *w, const char *dir, const char *rel, unsigned level);
/* A folder in the form of Hugging Face: config.json beside *.safetensors (*is_one). Fills an entry whose group, name
 * and file are set. QS_ENOMEM. */
int qs_library_fill_folder(struct qs_library_entry *entry, const char *dir, const struct qs_library_names *names,
                           struct qs_library_id *id, bool *is_one, struct qs_err *e);

/* Text that is harmless for terminals, cut to fit. */
void qs_library_clean(char *out, size_t cap, const char *text);

/* The recent list (library_recent.c). */
struct qs_library_recent { struct qs_library_past { char *path; int64_t opened; } *item; size_t n, cap; };
int qs_library_load_recent(struct qs_library_recent *out, struct qs_err *e);
void qs_library_free_recent(struct qs_library_recent *r);

#endif
