/* library.h - the models a person has: where programs keep them, what each file is, which were opened last.
 *
 * A library is a list that grows while it is filled by a job; any thread may copy from it at any time. Looked through,
 * in this order (a later place never repeats a file of an earlier one; only the recent list does):
 *
 *   recent        state file $XDG_STATE_HOME/quantscape/recent, newest first; what is gone is shown as missing
 *   folder        the current folder and one level below; or the folders that were named, and four levels below
 *   huggingface   the first that is set of HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub,
 *                 XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub:
 *                 models--ORG--NAME/snapshots/REVISION/...
 *                 (https://huggingface.co/docs/hub/local-cache)
 *   ollama        OLLAMA_MODELS, ~/.ollama/models, /usr/share/ollama/.ollama/models: manifests/HOST/SPACE/NAME/TAG name
 *                 blobs/sha256-HEX (ollama's docs and what it writes)
 *   lmstudio      models/ORG/REPO/... under the folder that ~/.lmstudio-home-pointer names, ~/.lmstudio and
 *                 ~/.cache/lm-studio; and "downloadsFolder" of their settings.json and of ~/.config/LM
 *                 Studio/settings.json
 *   llamacpp      LLAMA_CACHE, else XDG_CACHE_HOME/llama.cpp, else ~/.cache/llama.cpp
 *
 * The environment is read by qs_library_new. Bounds: so many entries, names per place and notes as below, folders that
 * were seen are not entered again (links may form loops), hidden names are left out, header reads as stated at
 * qs_library_peek. What exceeds a bound or cannot be read is a note, never an end of the list.
 */
#ifndef QS_CORE_LIBRARY_H
#define QS_CORE_LIBRARY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "core/job/job.h"

#define QS_LIBRARY_MAX_ENTRIES 10000 /* models */
#define QS_LIBRARY_MAX_NAMES 200000  /* names looked at in one place */
#define QS_LIBRARY_MAX_NOTES 50
#define QS_LIBRARY_MAX_RECENT 50
#define QS_LIBRARY_MAX_PARTS 1024    /* of a split file: a larger number in a name is not believed */

enum qs_library_group {
    QS_LIBRARY_RECENT, QS_LIBRARY_FOLDER, QS_LIBRARY_HF, QS_LIBRARY_OLLAMA, QS_LIBRARY_LMSTUDIO, QS_LIBRARY_LLAMACPP,
    QS_LIBRARY_GROUPS
};
enum qs_library_kind { QS_LIBRARY_GGUF, QS_LIBRARY_SAFETENSORS };

const char *qs_library_group_key(enum qs_library_group g);   /* "huggingface": stable */
const char *qs_library_group_title(enum qs_library_group g); /* "Hugging Face cache": for people */

/* name, file, arch and note are harmless for terminals; path is raw: clean it before it is shown. */
struct qs_library_entry {
    enum qs_library_group group;
    enum qs_library_kind kind;
    bool openable;       /* nothing that was seen stands against opening it; else `note` says why */
    bool missing;        /* the file is gone */
    bool type_from_name; /* `type` is what the name of the file says, the part of the header that was read does not */
    unsigned parts, parts_missing; /* files of a split model; 1 and 0 for others */
    uint64_t bytes;      /* of all parts that are there */
    int64_t mtime_ns;    /* of the newest part */
    int64_t opened;      /* recent: seconds since 1970; else 0 */
    char name[256];      /* "ORG/NAME", "NAME:TAG", or the place below the folder */
    char file[256];      /* the file below that; "" where the name says all */
    char arch[48];       /* general.architecture; "" unknown */
    char type[24];       /* "Q4_K_M" by general.file_type; "" unknown */
    char note[256];
    char path[PATH_MAX]; /* absolute: what is to be opened, of a split model the first part; last member */
};

struct qs_library_options {
    bool recent, here, programs; /* the recent list; the current folder; what other programs keep */
    const char *const *folder;   /* and these, as deep as stated above */
    size_t n_folders;
};

struct qs_library;

/* An empty list that knows where to look. Options NULL: everywhere. QS_ENOMEM alone. */
int qs_library_new(const struct qs_library_options *options, struct qs_library **out, struct qs_err *e);
void qs_library_free(struct qs_library *lib); /* after its job has ended */

/* A qs_job_fn; ctx is the library. Fills it anew; the job (may be NULL) counts models. QS_ENOMEM, QS_ECANCELLED: what
 * was found so far stays. One at a time. */
int qs_library_scan(struct qs_job *job, void *lib, struct qs_err *e);

/* From any thread while it is filled. Entries keep their numbers until the next scan begins. */
size_t qs_library_count(struct qs_library *lib);
uint64_t qs_library_version(struct qs_library *lib); /* grows with every change */
bool qs_library_get(struct qs_library *lib, size_t i, struct qs_library_entry *out);
/* What could not be looked through and why, harmless for terminals: copied to buf. False: there are no more. */
bool qs_library_note(struct qs_library *lib, size_t i, char *buf, size_t n);

/* Architecture and file type out of a GGUF header, reading at most max_bytes of it: the architecture comes first, the
 * file type often behind the vocabulary, some MB later. 64 KiB are what the list spends. What was not met stays "".
 * QS_EFORMAT: this is no model that can be opened, in a few words ("not a GGUF file"); QS_EIO, QS_ENOTFOUND. */
#define QS_LIBRARY_PEEK (64u << 10)
struct qs_library_peek { char arch[48], type[24]; uint64_t bytes_read; };
int qs_library_peek(const char *path, uint64_t max_bytes, struct qs_library_peek *out, struct qs_err *e);

/* Puts a model at the top of the recent list, or takes it out. Relative names are made absolute. The file is replaced
 * as a whole; of two processes that do so at once one entry may get lost, no more. Errors are for a log: nothing
 * depends on it. */
int qs_library_remember(const char *path, struct qs_err *e);
int qs_library_forget(const char *path, struct qs_err *e);

#endif
