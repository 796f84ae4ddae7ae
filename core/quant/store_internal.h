/* store_internal.h - inside core/quant: what an opened store holds, and how its file is read (store_read.c). */
#ifndef QS_CORE_STORE_INTERNAL_H
#define QS_CORE_STORE_INTERNAL_H

#include <pthread.h>

#include "base/map.h"
#include "core/quant/store.h"

/* Numbers are little-endian. Everything begins at a multiple of QS_STORE_ALIGN; what is between is zero.
 *   head     magic 8, version u32, bytes of the facts u32, key 16, hash of the facts 16, zero 8, checksum of these 56
 * bytes facts    JSON text record   "QSTENSOR", name 128, method 16, note 80, type u32, dimensions u32, ne 4 * u64,
 * group u32, zero u32, before f64, after f64, bytes u64, hash of the bytes 16, zero, checksum of the 376 bytes before
 * it; then the bytes end      "QSCALEND", records u64, zero, checksum of the 56 bytes before it: only in a finished
 * file */
#define QS_STORE_ALIGN 64u
#define QS_STORE_HEAD 64u
#define QS_STORE_RECORD 384u
#define QS_STORE_END 64u
#define QS_STORE_VERSION 1u
#define QS_STORE_FACTS_MOST (16u << 20)
#define QS_STORE_MOST 65536u /* tensors */

struct qs_store_item {
    struct qs_stored t;
    bool checked;          /* its bytes have the hash: under the lock */
};

struct qs_store {
    int refs;
    pthread_mutex_t lock;  /* of map and checked */
    int fd;                /* open for writing while it is made; -1: for reading */
    char *path, *final;    /* of the file as it stands; as it will be */
    struct qs_key key;
    char *facts;
    struct qs_store_item **item; size_t n, cap;
    size_t *by_name, cap_by_name; /* numbers of items, sorted by name */
    uint64_t end;          /* of the last whole record */
    struct qs_map *map;    /* of the file as far as it is needed */
    bool fresh;            /* made by us; nothing in it yet */
    bool finished;
};

static inline uint64_t qs_store_aligned(uint64_t n)
{
    return (n + QS_STORE_ALIGN - 1) / QS_STORE_ALIGN * QS_STORE_ALIGN;
}

uint64_t qs_store_sum(const void *p, size_t n);
/* Checks what a record says: names that are text, a type that can be stored, a shape that it can have, its bytes. */
int qs_store_check(const struct qs_stored *t, struct qs_err *e);
int qs_store_add_item(struct qs_store *s, const struct qs_stored *t, bool checked, struct qs_err *e);

/* QS_EEXISTS with the first key of the two JSON texts that differs, and both values. */
int qs_store_refuse_other(const char *path, const char *old_text, const char *new_text, struct qs_err *e);

/* Reads the head into key and facts (facts: the caller frees them). QS_EFORMAT: it is none, or damaged. */
int qs_store_read_head(int fd, uint64_t size, const char *path, struct qs_key *key, char **facts, struct qs_err *e);
/* Reads records from s->end on, as many as are whole; `hashes`: their bytes too. *end_mark: the mark of a finished file
 * follows them and nothing behind it. */
int qs_store_read_records(struct qs_store *s, int fd, uint64_t size, bool hashes, bool *end_mark, struct qs_err *e);

#endif
