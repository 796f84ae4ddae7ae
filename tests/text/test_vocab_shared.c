/* test_vocab_shared.c - vocabularies of real models: the ids of llama.cpp's test texts, texts that come back. */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tests/text/tv.h"

#define SEPARATOR "\n__ggml_vocab_test__\n"

static const char *const names[] = { "deepseek-coder", "falcon", "gpt-2", "llama-spm" };
#define NAMES (sizeof names / sizeof *names)

static struct qs_vocab *vocab[NAMES];

static const char *path_of(size_t i, const char *end)
{
    char rel[100];
    snprintf(rel, sizeof rel, "vocab/ggml-vocab-%s.gguf%s", names[i], end);
    return qs_test_data(rel);
}

/* Texts with a separator between them, ids line by line. */
static void test_expected_ids(void **state)
{
    (void)state;
    for (size_t i = 0; i < NAMES; i++) {
        size_t n, count = 0;
        char *in = tv_file(path_of(i, ".inp"), &n), *out = tv_file(path_of(i, ".out"), &n), *text = in;
        for (char *line = out, *end; line && *line; line = end ? end + 1 : NULL) {
            char *next = strstr(text, SEPARATOR);
            end = strchr(line, '\n');
            if (end)
                *end = 0;
            line += line[0] == ' '; /* " 1 2 3" */
            const char *got = tv_ids(vocab[i], text, next ? (size_t)(next - text) : strlen(text), 0);
            if (strcmp(got, line) != 0)
                fail_msg("%s, text %zu: %s instead of %s", names[i], count, got, line);
            text = next ? next + strlen(SEPARATOR) : text + strlen(text);
            count++;
        }
        assert_true(count >= 40);
        qs_free(in);
        qs_free(out);
    }
}

static void round_trip(const struct qs_vocab *v, const char *name, const char *text, size_t n, unsigned flags)
{
    struct qs_tokens t = { 0 };
    struct qs_str back = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    if (qs_tokenize(v, text, n, flags, &t, &e) != QS_OK)
        fail_msg("%s: %s", name, e.msg);
    assert_true(t.n > n / 8 && t.n < n);
    qs_detokenize(v, t.id, t.n, QS_DETOK_SPECIAL, &back);
    if (back.len != n || memcmp(back.data, text, n) != 0)
        fail_msg("%s: %zu bytes came back as %zu others", name, n, back.len);
    qs_str_free(&back);
    qs_tokens_free(&t);
}

static void test_round_trips(void **state)
{
    static const char *const files[] = { "text/multilingual.txt", "text/code.txt", "text/wiki.txt" };
    (void)state;
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        size_t n, most = QS_TEST_SANITIZED ? 60000 : 150000;
        char *text = tv_file(qs_test_data(files[f]), &n);
        n = n < most ? n : most;
        for (char *mark = text; (mark = strstr(mark, "\xE2\x96\x81")) != NULL;)
            memcpy(mark, "...", 3); /* U+2581 cannot come back from SentencePiece: it is how blanks are written */
        while (((unsigned char)text[n] & 0xC0) == 0x80)
            n--;
        for (size_t i = 0; i < NAMES; i++)
            round_trip(vocab[i], names[i], text, n, QS_TOKENIZE_PARSE_SPECIAL);
        qs_free(text);
    }
}

/* A word of a million letters, and a million blanks: the time for them must not grow with the square (the test would
 * not end in the time it has). */
static void test_long_words(void **state)
{
    const size_t n = QS_TEST_SANITIZED ? 200000 : 1000000;
    char *text = qs_malloc(n + 1);
    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < NAMES; i++) {
        struct qs_tokens t = { 0 };
        struct qs_str back = QS_STR_INIT;
        for (const char *c = "a \xE4"; *c; c++) {
            memset(text, *c, n);
            text[n] = 0;
            if (*c == '\xE4') /* Chinese characters */
                for (size_t k = 0; k + 3 <= n; k += 3)
                    memcpy(text + k, "\xE4\xBD\xA0", 3);
            const size_t len = *c == '\xE4' ? n / 3 * 3 : n;
            t.n = 0;
            qs_str_clear(&back);
            assert_int_equal(qs_tokenize(vocab[i], text, len, 0, &t, NULL), QS_OK);
            qs_detokenize(vocab[i], t.id, t.n, 0, &back);
            assert_true(back.len == len && memcmp(back.data, text, len) == 0);
        }
        qs_tokens_free(&t);
        qs_str_free(&back);
    }
    qs_free(text);
}

/* Each file against the others: what differs is named. */
static void test_differences(void **state)
{
    struct qs_str where = QS_STR_INIT;
    struct qs_vocab *again = tv_open(path_of(2, ""));
    (void)state;
    assert_true(qs_vocab_same(vocab[2], again, &where));
    assert_int_equal(where.len, 0);
    assert_false(qs_vocab_same(vocab[0], vocab[3], &where));
    assert_string_equal(where.data, "the tokenizers are of different kinds: 'gpt2' and 'llama'");
    qs_str_clear(&where);
    assert_false(qs_vocab_same(vocab[0], vocab[1], &where));
    assert_string_equal(where.data, "32256 tokens and 65024 tokens");
    qs_str_free(&where);
    qs_vocab_free(again);
}

/* The same tokenizer as tokenizer.model in a folder and in the GGUF made of it. */
static void test_folder_and_gguf(void **state)
{
    struct qs_vocab *gguf = tv_open(qs_test_data("models/storyteller-9m-f16.gguf"));
    struct qs_vocab *folder = tv_open(qs_test_data("models/storyteller-hf"));
    struct qs_str where = QS_STR_INIT;
    size_t n;
    char *text = tv_file(qs_test_data("text/multilingual.txt"), &n);
    static const char chat[] = "<s><|user|>Tell me a story.<|end|><|assistant|> Once";
    (void)state;
    if (!qs_vocab_same(gguf, folder, &where))
        fail_msg("%s", where.data);
    for (int s = 0; s < QS_SPECIALS; s++)
        assert_int_equal(qs_vocab_special(gguf, (enum qs_special)s), qs_vocab_special(folder, (enum qs_special)s));
    for (size_t i = 0; i < qs_vocab_size(gguf); i++)
        assert_int_equal(qs_vocab_is_eog(gguf, (int32_t)i), qs_vocab_is_eog(folder, (int32_t)i));
    assert_string_equal(qs_vocab_source(gguf)->chat_template, qs_vocab_source(folder)->chat_template);
    struct qs_str one = QS_STR_INIT;
    qs_str_add(&one, tv_ids(gguf, text, n / 4, QS_TOKENIZE_ADD_SPECIAL | QS_TOKENIZE_REPLACE));
    assert_string_equal(tv_ids(folder, text, n / 4, QS_TOKENIZE_ADD_SPECIAL | QS_TOKENIZE_REPLACE), one.data);
    qs_str_clear(&one);
    qs_str_add(&one, tv(gguf, chat, QS_TOKENIZE_PARSE_SPECIAL));
    assert_string_equal(tv(folder, chat, QS_TOKENIZE_PARSE_SPECIAL), one.data);
    round_trip(folder, "storyteller-hf", chat, strlen(chat), QS_TOKENIZE_PARSE_SPECIAL);
    qs_str_free(&one);
    qs_str_free(&where);
    qs_free(text);
    qs_vocab_free(gguf);
    qs_vocab_free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expected_ids), cmocka_unit_test(test_round_trips), cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_differences),  cmocka_unit_test(test_folder_and_gguf),
    };
    for (size_t i = 0; i < NAMES; i++)
        vocab[i] = tv_open(path_of(i, ""));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < NAMES; i++)
        qs_vocab_free(vocab[i]);
    return failed;
}
