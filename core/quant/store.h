/* store.h - encoded tensors that were made beforehand: what a calibration leaves, and its resume journal at once.
 *
 * FILE (NAME.qscal; while it is made NAME.qscal.part, locked). A head {magic "QSCALIB1", key of everything that the bytes
 * depend on, a JSON text that tells what that is, checksum}, then records, appended and synced one by one: {tensor name, type, shape,
 * method, group, errors, note, hash of the bytes, checksum} followed by the bytes, aligned to 64. A torn or damaged tail
 * is cut off on opening to go on; nothing after it is believed. An opened store is mapped: its weights are views of it.
 * GROUP: tensors that are only true together (AWQ folds scales out of one into the others) have one group number; a
 * plan takes all of a group or none.
 */
#ifndef QS_CORE_STORE_H
#define QS_CORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/hash.h"
#include "core/model/model.h"
#include "core/model/weight.h"

struct qs_stored {
    char name[128];
    int type;
    unsigned n_dims; uint64_t ne[4];
    char method[16];              /* "GPTQ", "imatrix" ... */
    uint32_t group;               /* 0: by itself */
    double before, after;         /* relative held-out output error of the weighted fit and of this; NaN: not known */
    char note[80];
    uint64_t at, bytes;           /* in the file */
    struct qs_key hash;           /* of the bytes */
};

struct qs_store;

/* To go on or begin: opens or creates PATH.part, locks. QS_EBUSY: another process has it; QS_EEXISTS: it is of other work and
 * `restart` is false: told with the difference between the two JSON texts (first key that differs, both values). */
int qs_store_create(const char *path, struct qs_key key, const char *facts_json, bool restart, struct qs_store **out, struct qs_err *e);
/* Whether qs_store_create of these facts could go on with what is there; nothing is locked or changed. `unknown`: a key of
 * the facts that is not known yet and not compared; NULL: all are. QS_EEXISTS: PATH.part is of other work (the difference
 * is named), or PATH is there, not of these facts, and `overwrite` is false. */
int qs_store_check_place(const char *path, const char *facts_json, const char *unknown, bool overwrite, struct qs_err *e);
/* Removes PATH.part, where it is ours and no other process has it. PATH itself stays. */
void qs_store_forget(const char *path);
/* Appends one whole tensor and syncs. */
int qs_store_put(struct qs_store *s, const struct qs_stored *t, const void *bytes, struct qs_err *e);
/* PATH.part becomes PATH (an existing one is replaced only with overwrite). The store stays open for reading. */
int qs_store_finish(struct qs_store *s, bool overwrite, struct qs_err *e);
/* A finished one, for reading; QS_EFORMAT. */
int qs_store_open(const char *path, struct qs_store **out, struct qs_err *e);
struct qs_store *qs_store_ref(struct qs_store *s);
void qs_store_unref(struct qs_store *s); /* NULL allowed */

size_t qs_store_count(const struct qs_store *s);
const struct qs_stored *qs_store_at(const struct qs_store *s, size_t i);
const struct qs_stored *qs_store_find(const struct qs_store *s, const char *name); /* NULL: none */
const char *qs_store_path(const struct qs_store *s);   /* of the file, for people */
const char *qs_store_facts(const struct qs_store *s);  /* the JSON text */
struct qs_key qs_store_key(const struct qs_store *s);
/* A weight over the mapped bytes. Checks the hash the first time. */
int qs_store_weight(struct qs_store *s, const struct qs_stored *t, struct qs_weight **out, struct qs_err *e);
/* QS_EINVAL: its facts name another model (content key "model"). */
int qs_store_fits(const struct qs_store *s, const struct qs_model *m, struct qs_err *e);

#endif
