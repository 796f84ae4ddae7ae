/* fuzz_store.c - whatever stands in a store, opening it believes whole tensors only; an unfinished one can be gone on
 * with.
 *
 * Each input is read as it is, and again with the checksums of its head and records repaired, for otherwise no mutation
 * would pass them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/quant/store_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void put_u64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static void repair(uint8_t *b, size_t n)
{
    if (n < QS_STORE_HEAD)
        return;
    const size_t facts = (size_t)(get_u64(b + 8) >> 32);
    memcpy(b, "QSCALIB1\1\0\0\0", 12);
    if (facts <= n - QS_STORE_HEAD) {
        const struct qs_key k = qs_hash_bytes(b + QS_STORE_HEAD, facts);
        put_u64(b + 32, k.lo);
        put_u64(b + 40, k.hi);
    }
    put_u64(b + 56, qs_store_sum(b, 56));
    size_t at = (size_t)qs_store_aligned(QS_STORE_HEAD + (facts <= n ? facts : 0));
    while (at < n && n - at >= QS_STORE_RECORD && !memcmp(b + at, "QSTENSOR", 8)) {
        const uint64_t bytes = get_u64(b + at + 296);
        put_u64(b + at + QS_STORE_RECORD - 8, qs_store_sum(b + at, QS_STORE_RECORD - 8));
        if (bytes > n)
            return;
        at += QS_STORE_RECORD + (size_t)qs_store_aligned(bytes);
    }
}

static void look(struct qs_store *s)
{
    for (size_t i = 0; i < qs_store_count(s); i++) {
        struct qs_weight *w;
        const struct qs_stored *t = qs_store_at(s, i);
        must(qs_store_find(s, t->name) == t);
        if (qs_store_weight(s, t, &w, NULL) == QS_OK) {
            must(w->bytes == t->bytes);
            qs_weight_unref(w);
        }
    }
}

static void try_file(const char *path, const uint8_t *data, size_t size)
{
    char part[600];
    snprintf(part, sizeof part, "%s.part", path);
    for (int k = 0; k < 2; k++) {
        FILE *f = fopen(k ? part : path, "wb");
        must(f && fwrite(data, 1, size, f) == size);
        fclose(f);
    }
    struct qs_store *s;
    char *facts = NULL;
    struct qs_key key = { 1, 2 };
    if (qs_store_open(path, &s, NULL) == QS_OK) {
        look(s);
        qs_store_unref(s);
    }
    FILE *f = fopen(part, "rb"); /* key and facts from the input where it has some, so that records are read */
    must(f != NULL);
    const bool head = qs_store_read_head(fileno(f), size, part, &key, &facts, NULL) == QS_OK;
    fclose(f);
    if (qs_store_create(path, key, head ? facts : "{}", size % 2, &s, NULL) == QS_OK) {
        const struct qs_stored t = { .name = "\1none", .type = 0 };
        const float one = 1;
        look(s);
        must(qs_store_put(s, &t, &one, NULL) != QS_OK);
        const size_t had = qs_store_count(s);
        const struct qs_stored good = { .name = "fuzz.new.weight", .type = QS_F32, .n_dims = 1, .ne = { 1, 1, 1, 1 },
                                        .method = "GPTQ", .bytes = 4 };
        const bool put = qs_store_put(s, &good, &one, NULL) == QS_OK;
        qs_store_unref(s);
        must(qs_store_create(path, key, head ? facts : "{}", false, &s, NULL) == QS_OK);
        must(qs_store_count(s) == had + put);
        qs_store_unref(s);
    }
    qs_free(facts);
    unlink(path);
    unlink(part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *tmp = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%.400s/fuzz_store.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    const int fd = mkstemp(path);
    must(fd >= 0);
    close(fd);
    uint8_t *copy = qs_malloc(size + 1);
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    try_file(path, copy, size);
    repair(copy, size);
    try_file(path, copy, size);
    qs_free(copy);
    return 0;
}
