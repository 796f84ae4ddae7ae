/* fuzz_override.c - whatever a person writes after --override-kv or as a size is taken or refused, and what was taken
 * makes a file that opens again and says the same. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "core/format/gguf_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* The entry that was set can be read back, raw bytes and all. */
static void reads_back(const struct qs_gguf_meta *m, const char *text)
{
    struct qs_str header = QS_STR_INIT;
    uint64_t bytes = 0;
    struct qs_gguf *g;
    struct qs_err e = QS_ERR_INIT;
    must(qs_gguf_layout(m, NULL, 0, 32, &header, &bytes, &e) == QS_OK);
    const int rc = qs_gguf_open_mem(header.data, header.len, &g, &e);
    if (rc == QS_OK) { /* a key such as general.alignment may rightly be refused when opened */
        must(g->n_kv == 1);
        must(strncmp(text, g->kv[0].key, g->kv[0].key_len) == 0);
        qs_gguf_close(g);
    }
    qs_str_free(&header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = qs_strndup((const char *)data, size);
    unsigned long long bytes;
    struct qs_gguf_meta *m = qs_gguf_meta_new();
    if (text && m && qs_gguf_meta_override(m, text, NULL) == QS_OK)
        reads_back(m, text);
    if (text)
        qs_parse_bytes(text, &bytes, NULL);
    qs_gguf_meta_free(m);
    qs_free(text);
    return 0;
}
