/* stem.c - what files made of a model are called, and where they go, where nobody says it. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "core/model/model.h"

static void of_file(const char *path, struct qs_str *dir, struct qs_str *stem)
{
    const char *base = qs_path_base(path);
    size_t len = strlen(base);
    unsigned no, count;
    int used = 0;
    if (len > 5 && !strcmp(base + len - 5, ".gguf"))
        len -= 5;
    if (len > 15 && sscanf(base + len - 15, "-%5u-of-%5u%n", &no, &count, &used) == 2 && used == 15)
        len -= 15; /* NAME-00001-of-00003 */
    qs_path_dir(path, dir);
    qs_str_addn(stem, base, len);
}

/* NAME of .../models--ORG--NAME/snapshots/REVISION, and its length; NULL: the folder is no such thing. */
static const char *cached_name(const char *path, size_t *n)
{
    const char *revision = strstr(path, "/snapshots/");
    if (!revision || strchr(revision + strlen("/snapshots/"), '/'))
        return NULL;
    const char *repo = revision;
    while (repo > path && repo[-1] != '/')
        repo--;
    if (strncmp(repo, "models--", 8) != 0)
        return NULL;
    const char *name = repo + 8;
    for (const char *s = name; s + 2 < revision; s++)
        if (s[0] == '-' && s[1] == '-')
            name = s + 2;
    *n = (size_t)(revision - name);
    return *n ? name : NULL;
}

void qs_model_stem(const char *path, bool is_folder, struct qs_str *dir, struct qs_str *stem)
{
    qs_str_clear(dir);
    qs_str_clear(stem);
    if (!is_folder) {
        of_file(path, dir, stem);
        return;
    }
    char real[PATH_MAX];
    const char *full = realpath(path, real) ? real : path, *base = qs_path_base(path);
    size_t n;
    const char *name = cached_name(full, &n);
    if (name) {
        qs_str_add(dir, ".");
        qs_str_addn(stem, name, n);
    } else {
        qs_path_dir(path, dir);
        qs_str_add(stem, base[0] ? base : "model");
    }
}
