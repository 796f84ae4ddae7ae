/* tv.c - vocabularies for the tests of tokenizers. */
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/text/vocab_internal.h"
#include "tests/text/tv.h"

struct qs_vocab *tv_open(const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_file_stat st;
    struct qs_vocab_data *d = NULL;
    struct qs_vocab *v = NULL;
    struct qs_gguf *g = NULL;
    int rc = qs_file_stat(path, &st, &e);
    if (rc == QS_OK && st.is_dir)
        rc = qs_vocab_data_folder(path, 0, &d, &e);
    else if (rc == QS_OK && (rc = qs_gguf_open(path, &g, &e)) == QS_OK)
        rc = qs_vocab_data_kv(g->kv, g->n_kv, &d, &e);
    qs_gguf_close(g);
    if (rc == QS_OK)
        rc = qs_vocab_new(d, &v, &e);
    if (rc != QS_OK)
        fail_msg("%s: %s", path, e.msg);
    return v;
}

struct qs_vocab_data *tv_data(enum qs_vocab_kind kind, const char *pre, const struct tv_token *tokens,
                              const char *const *merges)
{
    struct qs_vocab_data *d = qs_vocab_data_start(kind, kind == QS_VOCAB_SPM ? "llama" : "gpt2", NULL);
    size_t n = 0, cap = 0;
    while (tokens[n].text)
        n++;
    assert_non_null(d);
    strncpy(d->pre, pre, sizeof d->pre - 1);
    assert_int_equal(qs_vocab_data_room(d, n, NULL), QS_OK);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(qs_vocab_data_text(d, i, tokens[i].text, strlen(tokens[i].text), NULL), QS_OK);
        d->token[i].type = tokens[i].type;
        d->token[i].score = tokens[i].score;
    }
    d->has_types = d->has_scores = true;
    for (; merges && *merges; merges++)
        assert_int_equal(qs_vocab_data_merge(d, &cap, *merges, strlen(*merges), NULL), QS_OK);
    return d;
}

static struct qs_vocab *finished(struct qs_vocab_data *d)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_vocab *v = NULL;
    assert_int_equal(qs_vocab_data_finish(d, &e), QS_OK);
    if (qs_vocab_new(d, &v, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return v;
}

struct qs_vocab *tv_make(enum qs_vocab_kind kind, const char *pre, const struct tv_token *tokens,
                         const char *const *merges)
{
    return finished(tv_data(kind, pre, tokens, merges));
}

struct qs_vocab *tv_bytes(const char *pre, const char *const *merges, const struct tv_token *more)
{
    static struct tv_token token[400];
    static char text[400][32];
    size_t n = 0;
    for (; n < 256; n++) {
        memset(text[n], 0, sizeof text[n]);
        qs_byte_letter((unsigned char)n, text[n]);
        token[n] = (struct tv_token){ text[n], QS_TOKEN_NORMAL, 0 };
    }
    for (size_t i = 0; merges && merges[i]; i++, n++) {
        size_t at = 0;
        for (const char *c = merges[i]; *c; c++)
            if (*c != ' ')
                text[n][at++] = *c;
        text[n][at] = 0;
        token[n] = (struct tv_token){ text[n], QS_TOKEN_NORMAL, 0 };
    }
    for (; more && more->text; more++)
        token[n++] = *more;
    token[n].text = NULL;
    return tv_make(QS_VOCAB_BPE, pre, token, merges);
}

const char *tv_ids(const struct qs_vocab *v, const char *text, size_t n, unsigned flags)
{
    static struct qs_str s;
    struct qs_err e = QS_ERR_INIT;
    struct qs_tokens t = { 0 };
    qs_str_free(&s);
    if (qs_tokenize(v, text, n, flags, &t, &e) != QS_OK)
        fail_msg("'%.100s': %s", text, e.msg);
    for (size_t i = 0; i < t.n; i++)
        qs_str_addf(&s, "%s%d", i ? " " : "", t.id[i]);
    qs_tokens_free(&t);
    return s.data;
}

char *tv_file(const char *path, size_t *n)
{
    struct qs_err e = QS_ERR_INIT;
    char *data = NULL;
    if (qs_file_read(path, (size_t)1 << 30, &data, n, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return data;
}
