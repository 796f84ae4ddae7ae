/* open.c - a model by the name of whatever holds it: a GGUF file or a Hugging Face folder. */
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/model/folder.h"

bool qs_folder_named(const char *path, struct qs_str *dir)
{
    struct stat st;
    const char *name = qs_path_base(path);
    qs_str_clear(dir);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        qs_str_add(dir, path);
    else if (strcmp(name, "config.json") == 0 || qs_path_ends(name, ".safetensors") ||
             qs_path_ends(name, ".safetensors.index.json"))
        qs_path_dir(path, dir);
    return dir->len > 0;
}

int qs_model_open(const char *path, struct qs_model **out, struct qs_err *e)
{
    struct qs_str dir = QS_STR_INIT;
    const bool folder = qs_folder_named(path, &dir);
    *out = NULL;
    const int rc = dir.failed ? qs_fail_mem(e, strlen(path), "a path")
                   : folder   ? qs_folder_open(dir.data, out, e)
                              : qs_model_open_gguf(path, out, e);
    qs_str_free(&dir);
    return rc;
}
