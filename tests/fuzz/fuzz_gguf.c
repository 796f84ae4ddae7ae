/* fuzz_gguf.c - any bytes as a GGUF header: what is accepted lies inside the file, can be walked, and can be laid out
 * again with the same entries. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/format/gguf_internal.h"
#include "core/format/gguf_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
    if (!truth)
        abort();
}

static volatile char sink;

static void walk_kv(const struct qs_gguf *g, const struct qs_kv *kv)
{
    uint64_t u = 0, cursor = 0;
    int64_t i;
    double d;
    const char *s;
    size_t n;
    must(kv->key_len > 0 && kv->key[kv->key_len] == 0);
    must(strlen(kv->key) != kv->key_len || qs_gguf_kv(g, kv->key) == kv);
    (void)qs_kv_u64(kv, &u);
    (void)qs_kv_i64(kv, &i);
    (void)qs_kv_f64(kv, &d);
    if (qs_kv_str(kv, &s, &n))
        must(n + 8 == kv->raw_len && (n == 0 || memchr(s, s[n - 1], n) != NULL));
    for (uint64_t k = 0; k < kv->count && qs_kv_array_f64(kv, k, &d); k++)
        u += d > 0;
    uint64_t strings = 0;
    while (qs_kv_next_str(kv, &cursor, &s, &n)) {
        strings++;
        if (n > 0)
            sink = s[n - 1]; /* the last byte can be read */
    }
    must(kv->type != QS_GGUF_ARRAY || kv->item != QS_GGUF_STRING || strings == kv->count);
}

static void walk_tensor(const struct qs_gguf *g, const struct qs_gguf_tensor *t, size_t size)
{
    must(t->offset <= size && t->size <= size - t->offset);
    must((t->marks & ~(unsigned)QS_TENSOR_UNKNOWN_TYPE) == 0 && t->n_dims <= QS_MAX_DIMS);
    must(strlen(t->name) != t->name_len || qs_gguf_tensor_by_name(g, t->name) == t);
    for (int d = 0; d < QS_MAX_DIMS; d++)
        must(t->ne[d] > 0);
}

/* Metadata written again reads back entry by entry. */
static void write_again(const struct qs_gguf *g)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf_meta *m = qs_gguf_meta_new();
    struct qs_str h = QS_STR_INIT;
    struct qs_gguf *again;
    uint64_t size;
    must(m && qs_gguf_meta_copy(m, g, &e) == QS_OK);
    must(qs_gguf_layout(m, NULL, 0, 32, &h, &size, &e) == QS_OK);
    must(qs_gguf_open_mem(h.data, h.len, &again, &e) == QS_OK);
    must(again->n_kv == g->n_kv);
    for (size_t i = 0; i < g->n_kv; i++)
        must(again->kv[i].raw_len == g->kv[i].raw_len &&
             memcmp(again->kv[i].raw, g->kv[i].raw, (size_t)g->kv[i].raw_len) == 0);
    qs_gguf_close(again);
    qs_str_free(&h);
    qs_gguf_meta_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *g;
    uint64_t held = qs_mem_in_use();
    if (qs_gguf_open_mem(data, size, &g, &e) != QS_OK) {
        must(!g && e.code != QS_OK && e.code != QS_ENOMEM && e.msg[0]);
    } else {
        for (size_t i = 0; i < g->n_kv; i++)
            walk_kv(g, &g->kv[i]);
        for (size_t i = 0; i < g->n_tensors; i++)
            walk_tensor(g, &g->tensor[i], size);
        write_again(g);
        qs_gguf_lint(g);
        for (size_t i = 0; i < g->n_findings; i++)
            must(g->finding[i].kind != QS_FINDING_FATAL && g->finding[i].field[0] && g->finding[i].msg[0]);
        qs_gguf_close(g);
    }
    must(qs_mem_in_use() == held);
    return 0;
}
