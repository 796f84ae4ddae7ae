/* verb_models.c - `models`: the models a person has, as the picker of the screen lists them.
 *
 * Prints what core/library.h finds; what could not be looked through is a note. Reads the start of each header, no
 * weights.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "core/library.h"
#include "src/verb.h"

enum { C_GROUP, C_NAME, C_FILE, C_BYTES, C_TYPE, C_ARCH, C_MODIFIED, C_KIND, C_OPENABLE, C_PARTS, C_LOST, C_MISSING,
       C_GUESSED, C_PATH, C_NOTE };

static const struct qs_column columns[] = {
    [C_GROUP] = { .key = "group", .title = "found in", .left = true },
    [C_NAME] = { .key = "name", .title = "name", .left = true },
    [C_FILE] = { .key = "file", .title = "file", .left = true },
    [C_BYTES] = { .key = "bytes", .title = "size", .unit = QS_UNIT_BYTES },
    [C_TYPE] = { .key = "type", .title = "type", .left = true },
    [C_ARCH] = { .key = "architecture", .title = "architecture", .left = true, .optional = true },
    [C_MODIFIED] = { .key = "modified", .title = "modified", .left = true, .optional = true },
    [C_KIND] = { .key = "kind", .title = "kind", .left = true },
    [C_OPENABLE] = { .key = "openable", .title = "opens" },
    [C_PARTS] = { .key = "parts", .title = "parts", .unit = QS_UNIT_COUNT },
    [C_LOST] = { .key = "parts_missing", .title = "missing", .unit = QS_UNIT_COUNT },
    [C_MISSING] = { .key = "missing", .title = "gone" },
    [C_GUESSED] = { .key = "type_from_name", .title = "type by name" },
    [C_PATH] = { .key = "path", .title = "path", .left = true },
    [C_NOTE] = { .key = "note", .title = "note", .left = true },
};

/* What people see; programs get all of it. */
static const int shown[] = { C_GROUP, C_NAME, C_FILE, C_BYTES, C_TYPE, C_ARCH, C_MODIFIED, C_NOTE };

#define ALL (sizeof columns / sizeof *columns)
#define SHOWN (sizeof shown / sizeof *shown)

struct table { struct qs_section *s; int at[ALL]; bool programs; /* column of each fact, -1: not printed */ };

static void cell_str(const struct table *t, int c, const char *v)
{
    if (t->at[c] >= 0)
        qs_cell_str(t->s, (size_t)t->at[c], v);
}

static void cell_int(const struct table *t, int c, uint64_t v)
{
    if (t->at[c] >= 0)
        qs_cell_int(t->s, (size_t)t->at[c], (int64_t)v);
}

static void cell_bool(const struct table *t, int c, bool v)
{
    if (t->at[c] >= 0)
        qs_cell_bool(t->s, (size_t)t->at[c], v);
}

static void put_time(const struct table *t, int64_t ns)
{
    char text[32] = "";
    const time_t s = (time_t)(ns / 1000000000);
    struct tm tm;
    if (ns > 0 && gmtime_r(&s, &tm))
        (void)strftime(text, sizeof text, t->programs ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d", &tm);
    cell_str(t, C_MODIFIED, text);
}

static void put_entry(const struct table *t, const struct qs_library_entry *e)
{
    qs_row(t->s);
    cell_str(t, C_GROUP, t->programs ? qs_library_group_key(e->group) : qs_library_group_title(e->group));
    cell_str(t, C_NAME, e->name);
    cell_str(t, C_FILE, e->file);
    if (!e->missing)
        cell_int(t, C_BYTES, e->bytes);
    cell_str(t, C_TYPE, e->type);
    cell_str(t, C_ARCH, e->arch);
    put_time(t, e->mtime_ns);
    cell_str(t, C_KIND, e->kind == QS_LIBRARY_GGUF ? "gguf" : "safetensors");
    cell_bool(t, C_OPENABLE, e->openable);
    cell_int(t, C_PARTS, e->parts);
    cell_int(t, C_LOST, e->parts_missing);
    cell_bool(t, C_MISSING, e->missing);
    cell_bool(t, C_GUESSED, e->type_from_name);
    cell_str(t, C_PATH, e->path);
    cell_str(t, C_NOTE, e->note);
}

static int print(struct qs_cli *cli, struct qs_library *lib)
{
    struct qs_column used[ALL];
    struct table t = { .programs = cli->json || cli->csv };
    struct qs_err e = QS_ERR_INIT;
    char note[600];
    const size_t n = t.programs ? ALL : SHOWN;
    for (size_t i = 0; i < ALL; i++)
        t.at[i] = -1;
    for (size_t i = 0; i < n; i++) {
        const int c = t.programs ? (int)i : shown[i];
        used[i] = columns[c];
        t.at[c] = (int)i;
    }
    struct qs_report *r = qs_report_new("models");
    struct qs_library_entry *entry = qs_malloc(sizeof *entry);
    int rc = QS_EXIT_FAILED;
    if (r && entry) {
        t.s = qs_report_table(r, "models", "Models", used, n);
        for (size_t i = 0; qs_library_get(lib, i, entry); i++)
            put_entry(&t, entry);
        if (qs_library_count(lib) == 0)
            qs_section_note(t.s, "No model was found. quantscape FILE opens one; --folder DIR looks elsewhere.");
        for (size_t i = 0; qs_library_note(lib, i, note, sizeof note); i++)
            qs_section_note(t.s, "%s", note);
        rc = qs_cli_print(cli, r, NULL);
    } else {
        qs_fail_mem(&e, sizeof *entry, "the report");
        rc = qs_cli_fail(cli, &e);
    }
    qs_free(entry);
    qs_report_free(r);
    return rc;
}

/* A folder that was named on the command line has to be one. */
static int check_folders(const char *const *folder, size_t n, struct qs_err *e)
{
    struct qs_file_stat st;
    for (size_t i = 0; i < n; i++) {
        const int rc = qs_file_stat(folder[i], &st, e);
        if (rc)
            return rc;
        if (!st.is_dir)
            return qs_fail(e, QS_EINVAL, "'%s' is not a folder", folder[i]);
    }
    return QS_OK;
}

static int run(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_library *lib = NULL;
    const size_t n = qs_cli_count(cli, "folder");
    const bool recent = qs_cli_has(cli, "recent"), all = !recent && n == 0;
    const char **folder = qs_calloc(n + 1, sizeof *folder);
    if (!folder) {
        qs_fail_mem(&e, n, "the folders");
        return qs_cli_fail(cli, &e);
    }
    for (size_t i = 0; i < n; i++)
        folder[i] = qs_cli_nth(cli, "folder", i);
    const struct qs_library_options o = {
        .recent = recent || all, .here = all, .programs = all, .folder = folder, .n_folders = n,
    };
    int rc = check_folders(folder, n, &e);
    if (!rc)
        rc = qs_library_new(&o, &lib, &e);
    if (!rc)
        rc = qs_cli_job(cli, "models", qs_library_scan, lib, NULL, &e);
    rc = rc ? qs_cli_fail(cli, &e) : print(cli, lib);
    qs_library_free(lib);
    qs_free(folder);
    return rc;
}

static const struct qs_opt options[] = {
    { .name = "recent", .help = "the models that were opened last, newest first" },
    { .name = "folder", .letter = 'd', .many = true, .kind = QS_OPT_DIR, .arg = "DIR",
      .help = "look in this folder, four levels deep, and not everywhere" },
    { .name = NULL }
};

static const struct qs_key_doc keys[] = {
    { "models[].group", "where it was found: recent, folder, huggingface, ollama, lmstudio, llamacpp" },
    { "models[].name", "what people know it by: ORG/NAME, NAME:TAG, or the file below the folder" },
    { "models[].file", "the file below that, empty where the name says all" },
    { "models[].bytes", "size of all its files; null when they are gone" },
    { "models[].type", "file type by the header, or by the name of the file; empty where neither says" },
    { "models[].architecture", "general.architecture; empty where the start of the header does not say" },
    { "models[].modified", "time of the last change, UTC" },
    { "models[].kind", "gguf or safetensors" },
    { "models[].openable", "whether nothing that was seen stands against opening it" },
    { "models[].parts", "files of a split model" },
    { "models[].parts_missing", "how many of them are not there" },
    { "models[].missing", "whether the file is gone" },
    { "models[].type_from_name", "whether type is what the name says" },
    { "models[].path", "what is to be opened; of a split model the first part" },
    { "models[].note", "why it cannot be opened, if so" },
    { NULL, NULL }
};

const struct qs_verb qs_verb_models = {
    .name = "models",
    .args = "",
    .summary = "list the models on this machine",
    .description =
        "Lists the models that were opened last, those of the current folder and one level below, and what the Hugging "
        "Face cache, Ollama, LM Studio and llama.cpp keep. A split model is one line. A folder of safetensors with "
        "its config.json is one line too, and is opened by the folder's name. Reads the start of each header, no "
        "weights.\n\n"
        "Environment: HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, OLLAMA_MODELS and LLAMA_CACHE name other places, as for "
        "the programs they belong to. At most 10,000 models are listed and 200,000 names of a place looked at; what "
        "was left out, or could not be read, is said below the table.",
    .examples = "quantscape models\teverything there is\n"
                "quantscape models --recent\tthe models that were opened last\n"
                "quantscape models --folder /data/models --json\tone folder, for programs\n",
    .opts = options,
    .keys = keys,
    .run = run,
};
