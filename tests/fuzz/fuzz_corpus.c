/* fuzz_corpus.c - whatever stands in a calibration text, under whatever name: it is refused with a message, or becomes
 * tokens of the vocabulary, the same twice; and windows are drawn of it that lie in it, each once, in one part alone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/corpus_internal.h"
#include "core/text/vocab_build.h"
#include "core/text/vocab_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
    if (!truth)
        abort();
}

/* A token for every byte, and two marks. */
static struct qs_vocab *byte_vocab(void)
{
    struct qs_vocab_data *d = qs_vocab_data_start(QS_VOCAB_BPE, "gpt2", NULL);
    struct qs_vocab *v = NULL;
    must(d && qs_vocab_data_room(d, 258, NULL) == QS_OK);
    for (size_t i = 0; i < 256; i++) {
        char text[8] = { 0 };
        qs_byte_letter((unsigned char)i, text);
        must(qs_vocab_data_text(d, i, text, strlen(text), NULL) == QS_OK);
        d->token[i].type = QS_TOKEN_NORMAL;
    }
    must(qs_vocab_data_text(d, 256, "<|im_start|>", 12, NULL) == QS_OK);
    must(qs_vocab_data_text(d, 257, "<|im_end|>", 10, NULL) == QS_OK);
    d->token[256].type = d->token[257].type = QS_TOKEN_CONTROL;
    d->has_types = true;
    strcpy(d->pre, "gpt-2");
    must(qs_vocab_data_finish(d, NULL) == QS_OK && qs_vocab_new(d, &v, NULL) == QS_OK);
    return v;
}

/* Windows of 4 tokens of the source and of one as long beside it. */
static void draw(size_t tokens, uint64_t seed)
{
    const struct qs_corpus_source s[2] = { { "a", 1 }, { "b", 0.25 + (double)(seed % 8) } };
    const size_t have[2] = { tokens / 4, tokens / 4 }, want = seed % 40;
    struct qs_corpus_pick *p;
    size_t n;
    must(qs_corpus_draw(s, have, 2, want, seed, &p, &n, NULL) == QS_OK);
    must(n == (want < have[0] + have[1] ? want : have[0] + have[1]));
    const size_t held = qs_corpus_part(p, n, (double)(seed % 100) / 100, seed);
    must(n == 0 ? held == 0 : held < n);
    for (size_t i = 0; i < n; i++) {
        must(p[i].source < 2 && p[i].at < have[p[i].source] && p[i].held == (i >= n - held));
        for (size_t k = 0; k < i; k++)
            must(p[i].source != p[k].source || p[i].at != p[k].at);
    }
    qs_free(p);
}

static void read_as(const char *name, const uint8_t *data, size_t size, const struct qs_corpus_how *how)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_corpus_read r, again;
    const int rc = qs_corpus_read(name, (const char *)data, size, how, &r, &e);
    must((rc == QS_OK) == (e.msg[0] == '\0'));
    if (rc != QS_OK)
        return;
    must(r.kind && r.n_text > 0 && r.bad <= r.lines && (r.bad == 0) == (r.first_bad == 0) &&
         (r.bad == 0) == (r.why[0] == '\0'));
    must(!memchr(r.text, 0, r.n_text));
    for (size_t i = 0; i < r.token.n; i++)
        must(r.token.id[i] >= 0 && (size_t)r.token.id[i] < qs_vocab_size(how->v));
    must(qs_corpus_read(name, (const char *)data, size, how, &again, NULL) == QS_OK && again.token.n == r.token.n);
    must(r.token.n == 0 || memcmp(again.token.id, r.token.id, r.token.n * sizeof *r.token.id) == 0);
    draw(r.token.n, size * 7919 + (size ? data[size / 2] : 0));
    qs_corpus_read_free(&r);
    qs_corpus_read_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct qs_vocab *v;
    static struct qs_chat_template *t;
    if (!v) {
        v = byte_vocab();
        must(qs_chat_template_builtin("chatml", &t, NULL) == QS_OK);
    }
    const uint64_t held = qs_mem_in_use();
    read_as("a.txt", data, size, &(struct qs_corpus_how){ v, NULL, size % 2 != 0, false });
    read_as("a.jsonl", data, size, &(struct qs_corpus_how){ v, t, false, true });
    must(qs_mem_in_use() == held);
    return 0;
}
