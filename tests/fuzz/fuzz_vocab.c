/* fuzz_vocab.c - any bytes as tokenizer.json, as a SentencePiece model or as GGUF metadata: what is accepted tokenizes
 * the rest of the bytes, gives only ids of its own, and says the same twice. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "core/text/vocab.h"
#include "core/text/vocab_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
    if (!truth)
        abort();
}

static int from_json(const char *text, size_t n, struct qs_vocab_data **d, struct qs_err *e)
{
    struct qs_json *v = NULL;
    int rc = qs_json_parse(text, n, &v, e);
    if (rc == QS_OK)
        rc = qs_tokenizer_json_read(v, n % 3 ? 0 : n % 4096, d, e);
    if (rc == QS_OK && (rc = qs_vocab_data_finish(*d, e)) != QS_OK)
        qs_vocab_data_free(*d);
    qs_json_free(v);
    return rc;
}

static int from_gguf(const uint8_t *data, size_t n, struct qs_vocab_data **d, struct qs_err *e)
{
    struct qs_gguf *g;
    int rc = qs_gguf_open_mem(data, n, &g, e);
    if (rc != QS_OK)
        return rc;
    rc = qs_vocab_data_kv(g->kv, g->n_kv, d, e);
    qs_gguf_close(g);
    return rc;
}

static int read_data(const uint8_t *data, size_t n, struct qs_vocab_data **d, struct qs_err *e)
{
    if (n >= 4 && memcmp(data, "GGUF", 4) == 0)
        return from_gguf(data, n, d, e);
    if (!qs_sentencepiece_looks(data, n))
        return from_json((const char *)data, n, d, e);
    int rc = qs_sentencepiece_read(data, n, 0, d, e);
    if (rc == QS_OK && (rc = qs_vocab_data_finish(*d, e)) != QS_OK)
        qs_vocab_data_free(*d);
    return rc;
}

static void use(const struct qs_vocab *v, const char *text, size_t n)
{
    struct qs_tokens one = { 0 }, two = { 0 };
    struct qs_str s = QS_STR_INIT;
    unsigned flags = QS_TOKENIZE_ADD_SPECIAL | QS_TOKENIZE_PARSE_SPECIAL | QS_TOKENIZE_REPLACE;
    must(qs_tokenize(v, text, n, flags, &one, NULL) == QS_OK);
    must(qs_tokenize(v, text, n, flags, &two, NULL) == QS_OK);
    must(one.n == two.n && (one.n == 0 || memcmp(one.id, two.id, one.n * sizeof *one.id) == 0));
    for (size_t i = 0; i < one.n; i++)
        must(one.id[i] >= 0 && (size_t)one.id[i] < qs_vocab_size(v));
    qs_detokenize(v, one.id, one.n, QS_DETOK_SPECIAL, &s);
    must(qs_vocab_same(v, v, NULL));
    qs_str_free(&s);
    qs_tokens_free(&one);
    qs_tokens_free(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_vocab_data *d = NULL;
    struct qs_vocab *v = NULL;
    uint64_t held = qs_mem_in_use();
    int rc = read_data(data, size, &d, &e);
    if (rc == QS_OK)
        rc = qs_vocab_new(d, &v, &e);
    must((rc == QS_OK) == (e.msg[0] == 0));
    if (v)
        use(v, (const char *)data, size < 2000 ? size : 2000);
    qs_vocab_free(v);
    must(qs_mem_in_use() == held);
    return 0;
}
