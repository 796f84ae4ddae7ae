/* test_corpus.c - calibration text: windows found again in the sources' tokens, shares, what is held out, the same for
 * the same arguments, chats as qs_chat_tokens has them. Warnings and refusals: test_corpus_bad.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/corpus.h"
#include "tests/lib/qs_test.h"
#include "tests/text/tv.h"

static struct qs_vocab *spm, *bytes; /* of Llama, which adds BOS; a token for every byte and <|im_start|>, <|im_end|> */
static char *books, *code, *c4;

static struct qs_corpus *opened(const struct qs_corpus_args *a, const struct qs_vocab *v,
                                const struct qs_chat_template *t)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_corpus *c;
    if (qs_corpus_open(a, v, t, &c, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return c;
}

static struct qs_tokens tokens_of(const struct qs_vocab *v, const char *path, unsigned flags)
{
    struct qs_tokens t = { 0 };
    size_t n;
    char *text = tv_file(path, &n);
    assert_int_equal(qs_tokenize(v, text, text[n - 1] == '\n' ? n - 1 : n, flags, &t, NULL), QS_OK);
    qs_free(text);
    return t;
}

/* ---- shares, places, parts ---- */

/* Where in the tokens a window was cut: which one, from 0. The first token may be BOS. */
static size_t place_of(const struct qs_tokens *t, const int32_t *window, size_t n)
{
    for (size_t at = 0; (at + 1) * n <= t->n; at++)
        if (memcmp(t->id + at * n + 1, window + 1, (n - 1) * sizeof *window) == 0)
            return at;
    fail_msg("a window is none of its source's");
    return 0;
}

static int by_size(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/* One window of every stretch of the source, none twice. */
static void check_places(const struct qs_corpus *c, size_t source, const char *path)
{
    struct qs_tokens t = tokens_of(spm, path, QS_TOKENIZE_ADD_SPECIAL);
    const struct qs_corpus_mix *m = &c->mix[source];
    const size_t all = t.n / c->n_ctx;
    size_t *at = malloc(m->windows * sizeof *at), n = 0;
    assert_int_equal(m->tokens, t.n);
    assert_string_equal(m->path, path);
    assert_string_equal(m->kind, "text");
    for (size_t i = 0; i < c->n_fit + c->n_held; i++)
        if (c->origin[i] == source) {
            assert_int_equal(c->token[i * c->n_ctx], qs_vocab_special(spm, QS_SPECIAL_BOS));
            at[n++] = place_of(&t, c->token + i * c->n_ctx, c->n_ctx);
        }
    assert_int_equal(n, m->windows);
    qsort(at, n, sizeof *at, by_size);
    for (size_t i = 0; i < n; i++)
        assert_true(at[i] >= all * i / n && at[i] < all * (i + 1) / n);
    free(at);
    qs_tokens_free(&t);
}

static void test_shares(void **state)
{
    (void)state;
    const struct qs_corpus_source s[] = { { books, 2 }, { code, 1 }, { c4, 1 } };
    const struct qs_corpus_args a = {
        .source = s, .n_sources = 3, .n_windows = 100, .held_out = -1, .seed = 7, .bos = true, .model_ctx = 2048
    };
    struct qs_corpus *c = opened(&a, spm, NULL);
    assert_int_equal(c->n_ctx, 512);
    assert_int_equal(c->n_fit, 90);
    assert_int_equal(c->n_held, 10);
    assert_int_equal(c->mix[0].windows, 50);
    assert_int_equal(c->mix[1].windows, 25);
    assert_int_equal(c->mix[2].windows, 25);
    assert_true(c->mix[0].share > 0.499 && c->mix[0].share < 0.501);
    assert_int_equal(c->n_warnings, 0);
    size_t held[3] = { 0 };
    for (size_t i = c->n_fit; i < 100; i++)
        held[c->origin[i]]++;
    assert_in_range(held[0], 4, 6); /* the held-out part has the mix of the whole */
    assert_in_range(held[1], 2, 3);
    assert_in_range(held[2], 2, 3);
    bool mixed = false; /* and the order of those to fit is not that of the sources */
    for (size_t i = 1; i < c->n_fit; i++)
        mixed = mixed || c->origin[i] < c->origin[i - 1];
    assert_true(mixed);
    check_places(c, 0, books);
    check_places(c, 1, code);
    check_places(c, 2, c4);
    qs_corpus_free(c);
}

/* A source that has no more leaves its share to the others. */
static void test_short_source(void **state)
{
    (void)state;
    static char small[5 * 64];
    for (size_t i = 0; i < sizeof small; i++)
        small[i] = (char)('a' + i * i % 23 + i / 64);
    const struct qs_corpus_source s[] = { { qs_test_file("small.txt", small, sizeof small), 8 },
                                          { code, 1 },
                                          { c4, 1 } };
    const struct qs_corpus_args a = { .source = s, .n_sources = 3, .n_ctx = 64, .n_windows = 85, .held_out = 0 };
    struct qs_corpus *c = opened(&a, bytes, NULL);
    assert_int_equal(c->n_fit, 85);
    assert_int_equal(c->n_held, 0);
    assert_int_equal(c->mix[0].windows, 5);
    assert_int_equal(c->mix[1].windows, 40);
    assert_int_equal(c->mix[2].windows, 40);
    qs_corpus_free(c);
}

static void test_held_out(void **state)
{
    (void)state;
    static const struct {
        double share;
        size_t n, held;
    } want[] = {
        { -1, 160, 16 }, { 0, 40, 0 },  { 0.25, 40, 10 }, { -1, 4, 1 },
        { -1, 3, 0 },    { 0.5, 2, 1 }, { 0.99, 5, 4 },   { 0.001, 4, 1 },
    };
    const struct qs_corpus_source s = { books, 1 };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const struct qs_corpus_args a = {
            .source = &s, .n_sources = 1, .n_ctx = 128, .n_windows = want[i].n, .held_out = want[i].share, .seed = i
        };
        struct qs_corpus *c = opened(&a, bytes, NULL);
        const size_t size = c->n_ctx * sizeof *c->token;
        assert_int_equal(c->n_held, want[i].held);
        assert_int_equal(c->n_fit + c->n_held, want[i].n);
        for (size_t h = c->n_fit; h < want[i].n; h++)
            for (size_t f = 0; f < c->n_fit; f++)
                assert_memory_not_equal(c->token + h * c->n_ctx, c->token + f * c->n_ctx, size);
        qs_corpus_free(c);
    }
}

static bool same(const struct qs_corpus *a, const struct qs_corpus *b)
{
    const size_t n = a->n_fit + a->n_held;
    return n == b->n_fit + b->n_held && a->n_ctx == b->n_ctx &&
           memcmp(a->token, b->token, n * a->n_ctx * sizeof *a->token) == 0 && qs_key_equal(a->key, b->key);
}

static void test_same(void **state)
{
    (void)state;
    struct qs_corpus_source s[] = { { code, 1 }, { c4, 1 } };
    const struct qs_corpus_args a = { .source = s, .n_sources = 2, .n_windows = 70, .held_out = -1, .seed = 3 };
    struct qs_corpus_args b = a;
    struct qs_corpus *c = opened(&a, bytes, NULL), *d = opened(&a, bytes, NULL);
    assert_true(same(c, d));
    assert_int_equal(c->n_warnings, d->n_warnings);
    qs_corpus_free(d);
    b.seed = 4;
    d = opened(&b, bytes, NULL);
    assert_false(same(c, d) || qs_key_equal(c->key, d->key));
    qs_corpus_free(d);
    s[0].weight = 1.5;
    d = opened(&a, bytes, NULL);
    assert_false(qs_key_equal(c->key, d->key));
    qs_corpus_free(d);
    qs_corpus_free(c);
}

/* ---- kinds ---- */

/* All windows of a file, put in order again: its stream of tokens. */
static void gives(const struct qs_corpus_args *a, const struct qs_vocab *v, const struct qs_chat_template *t,
                  const struct qs_tokens *want, const char *kind)
{
    struct qs_corpus *c = opened(a, v, t);
    const size_t n = want->n / c->n_ctx;
    bool *seen = calloc(n, 1);
    assert_string_equal(c->mix[0].kind, kind);
    assert_int_equal(c->mix[0].tokens, want->n);
    assert_int_equal(c->n_fit, n);
    for (size_t i = 0; i < n; i++) {
        size_t at = 0;
        while (at < n &&
               (seen[at] || memcmp(c->token + i * c->n_ctx, want->id + at * c->n_ctx, c->n_ctx * sizeof *want->id)))
            at++;
        assert_true(at < n);
        seen[at] = true;
    }
    free(seen);
    qs_corpus_free(c);
}

static struct qs_corpus_args all_of(const struct qs_corpus_source *s, size_t n_ctx)
{
    return (struct qs_corpus_args){ .source = s, .n_sources = 1, .n_ctx = n_ctx, .n_windows = 100000, .held_out = 0 };
}

static void test_special(void **state)
{
    (void)state;
    static const char text[] = "one<|im_start|>two and three, four<|im_end|> five six\n";
    const struct qs_corpus_source s = { qs_test_file("special.txt", text, sizeof text - 1), 1 };
    for (int special = 0; special < 2; special++) {
        struct qs_corpus_args a = all_of(&s, 8);
        struct qs_tokens t = tokens_of(bytes, s.path, special ? QS_TOKENIZE_PARSE_SPECIAL : 0);
        assert_int_equal(t.n, special ? 33 : 53);
        a.special = special;
        gives(&a, bytes, NULL, &t, "text");
        qs_tokens_free(&t);
    }
}

/* Texts in JSON lines are a plain text with empty lines between them, however lines end. */
static void test_json_texts(void **state)
{
    (void)state;
    static const char lines[] =
        "\n{\"text\": \"Once upon a time\\nthere was\", \"id\": 7}\r\n\n{\"text\": \"\\u00e4nother <|im_end|>\"}";
    static const char plain[] = "Once upon a time\nthere was\n\n\xC3\xA4nother <|im_end|>\n\n";
    const struct qs_corpus_source s = { qs_test_file("a.data", lines, sizeof lines - 1), 1 };
    const struct qs_corpus_args a = all_of(&s, 8);
    struct qs_tokens t = { 0 };
    assert_int_equal(qs_tokenize(bytes, plain, sizeof plain - 1, 0, &t, NULL), QS_OK);
    gives(&a, bytes, NULL, &t, "JSON lines: text");
    qs_tokens_free(&t);
}

static void test_chats(void **state)
{
    (void)state;
    static const char *const chat[] = {
        "[{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": \"user\", \"content\": \"Why?\"}, "
        "{\"role\": \"assistant\", \"content\": \"Because.\"}]",
        "[{\"role\": \"user\", \"content\": \"And \\u00fcber?\"}, {\"role\": \"assistant\", \"content\": "
        "\"Over.\\nThere.\"}]",
    };
    static const struct qs_vocab **const vocabs[] = { (const struct qs_vocab **)&bytes,
                                                      (const struct qs_vocab **)&spm };
    struct qs_str file = QS_STR_INIT, text = QS_STR_INIT;
    struct qs_chat_template *t;
    assert_int_equal(qs_chat_template_builtin("chatml", &t, NULL), QS_OK);
    for (size_t i = 0; i < 2; i++)
        qs_str_addf(&file, "{\"messages\": %s, \"source\": \"test\"}\n", chat[i]);
    const struct qs_corpus_source s = { qs_test_file("chats.jsonl", file.data, file.len), 1 };
    for (size_t v = 0; v < 2; v++) {
        const struct qs_corpus_args a = all_of(&s, 16);
        struct qs_tokens want = { 0 };
        for (size_t i = 0; i < 2; i++) {
            struct qs_json *m;
            assert_int_equal(qs_json_parse(chat[i], strlen(chat[i]), &m, NULL), QS_OK);
            const struct qs_chat_args args = { .messages_json = m };
            assert_int_equal(qs_chat_tokens(t, &args, *vocabs[v], QS_TOKENIZE_ADD_SPECIAL | QS_TOKENIZE_PARSE_SPECIAL,
                                            &text, &want, NULL),
                             QS_OK);
            qs_json_free(m);
        }
        if (v == 0) /* marks of turns are control tokens */
            assert_int_equal(want.id[0], qs_vocab_find(bytes, "<|im_start|>", 12));
        gives(&a, *vocabs[v], t, &want, "JSON lines: chats");
        qs_tokens_free(&want);
    }
    qs_str_free(&file);
    qs_str_free(&text);
    qs_chat_template_free(t);
}

/* More than the tokenizer takes at once: cut behind a line, and, in one line without end, between characters. */
static void test_long(void **state)
{
    (void)state;
    const size_t n = ((size_t)17 << 20) + 5;
    char *text = malloc(n);
    for (int lines = 0; lines < 2; lines++) {
        for (size_t i = 0, x = 1; i < n; i++, x = x * 1103515245u + 12345)
            text[i] = i % 3 ? (char)('a' + (x >> 16) % 26) : ' ';
        for (size_t i = 2; !lines && i + 2 < n; i += 3)
            memcpy(text + i, "\xC3\xA9", 2);
        for (size_t i = 999; lines && i < n; i += 1000)
            text[i] = '\n';
        const struct qs_corpus_source s = { qs_test_file("long.txt", text, n), 1 };
        const struct qs_corpus_args a = { .source = &s, .n_sources = 1, .n_windows = 64, .held_out = 0 };
        struct qs_corpus *c = opened(&a, bytes, NULL);
        assert_int_equal(c->mix[0].tokens, n);
        assert_int_equal(c->mix[0].bytes, n);
        assert_int_equal(c->n_warnings, 2); /* one source, nothing held out: every character is whole */
        qs_corpus_free(c);
    }
    free(text);
}

int main(void)
{
    static const struct tv_token marks[] = { { "<|im_start|>", QS_TOKEN_CONTROL, 0 },
                                             { "<|im_end|>", QS_TOKEN_CONTROL, 0 },
                                             { NULL, 0, 0 } };
    books = strdup(qs_test_data("text/books-calibration.txt"));
    code = strdup(qs_test_data("text/code.txt"));
    c4 = strdup(qs_test_data("text/c4.txt"));
    spm = tv_open(qs_test_data("vocab/ggml-vocab-llama-spm.gguf"));
    bytes = tv_bytes("gpt-2", NULL, marks);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares), cmocka_unit_test(test_short_source), cmocka_unit_test(test_held_out),
        cmocka_unit_test(test_same),   cmocka_unit_test(test_special),      cmocka_unit_test(test_json_texts),
        cmocka_unit_test(test_chats),  cmocka_unit_test(test_long),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    qs_vocab_free(spm);
    qs_vocab_free(bytes);
    free(books);
    free(code);
    free(c4);
    return failed;
}
