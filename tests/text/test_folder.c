/* test_folder.c - tokenizers of Hugging Face folders: the ids of Hugging Face's own library (data/, made by
 * tests/oracle/make_tokenizer_goldens.py), special tokens, padding, and folders that are damaged or not for us. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "tests/text/tv.h"

static const struct { const char *name, *pre; enum qs_vocab_kind kind; } kinds[] = {
    { "llama3", "llama-bpe", QS_VOCAB_BPE }, { "qwen2", "qwen2", QS_VOCAB_BPE },   { "gpt2", "gpt-2", QS_VOCAB_BPE },
    { "digits", "smollm", QS_VOCAB_BPE },    { "tekken", "tekken", QS_VOCAB_BPE }, { "spm", "default", QS_VOCAB_SPM },
};

static const char *data(const char *rel)
{
    char path[200];
    snprintf(path, sizeof path, "tests/text/data/%s", rel);
    return qs_test_src(path);
}

static void test_goldens(void **state)
{
    size_t n;
    char *json = tv_file(data("texts.json"), &n);
    struct qs_json *parsed = NULL;
    (void)state;
    assert_int_equal(qs_json_parse(json, n, &parsed, NULL), QS_OK);
    const struct qs_json *texts = qs_json_get(parsed, "texts");
    assert_true(qs_json_len(texts) >= 15);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        char name[100];
        struct qs_vocab *v = tv_open(data(kinds[k].name));
        snprintf(name, sizeof name, "%s.ids", kinds[k].name);
        char *ids = tv_file(data(name), &n), *line = ids;
        assert_int_equal(qs_vocab_source(v)->kind, kinds[k].kind);
        assert_string_equal(qs_vocab_source(v)->pre, kinds[k].pre);
        assert_null(qs_vocab_warning(v, 0));
        for (size_t i = 0; i < qs_json_len(texts); i++) {
            const struct qs_json *text = qs_json_at(texts, i);
            char *end = strchr(line, '\n');
            assert_non_null(end);
            *end = 0;
            const char *got = tv_ids(v, qs_json_str(text, ""), qs_json_len(text), QS_TOKENIZE_PARSE_SPECIAL);
            if (strcmp(got, line) != 0)
                fail_msg("%s, text %zu '%s': %s instead of %s", kinds[k].name, i, qs_json_str(text, ""), got, line);
            line = end + 1;
        }
        qs_free(ids);
        qs_vocab_free(v);
    }
    qs_json_free(parsed);
    qs_free(json);
}

static void test_specials(void **state)
{
    struct qs_vocab *v = tv_open(data("llama3"));
    int32_t start = qs_vocab_find(v, "<|im_start|>", 12), end = qs_vocab_find(v, "<|im_end|>", 10);
    (void)state;
    assert_true(start >= 0 && end >= 0);
    assert_int_equal(qs_vocab_special(v, QS_SPECIAL_BOS), QS_NO_TOKEN);
    assert_int_equal(qs_vocab_special(v, QS_SPECIAL_EOS), end);
    assert_true(qs_vocab_is_eog(v, end) && !qs_vocab_is_eog(v, start));
    assert_int_equal(qs_vocab_source(v)->token[start].type, QS_TOKEN_CONTROL);
    assert_false(qs_vocab_adds_bos(v));
    assert_string_equal(qs_vocab_source(v)->chat_template, "{{ bos_token }}llama3");
    qs_vocab_free(v);
    v = tv_open(data("spm"));
    assert_int_equal(qs_vocab_special(v, QS_SPECIAL_BOS), 1);
    assert_int_equal(qs_vocab_special(v, QS_SPECIAL_UNK), 0);
    assert_true(qs_vocab_adds_bos(v));
    assert_string_equal(tv(v, "", QS_TOKENIZE_ADD_SPECIAL), "1");
    qs_vocab_free(v);
}

/* --- folders made here -------------------------------------------------------------------------------------------- */

static const char *file_in(const char *dir, const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return qs_test_tmp_path(path);
}

static void put(const char *dir, const char *name, const char *text)
{
    qs_test_mkdirs(qs_test_tmp_path(dir));
    qs_test_write(file_in(dir, name), text, strlen(text));
}

#define BYTES "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"use_regex\":true}"
#define SMALL "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}," BYTES "," \
    "\"added_tokens\":[{\"id\":3,\"content\":\"<|x|>\",\"special\":false},{\"id\":4,\"content\":\"\xE2\x96\x81 y\"," \
    "\"special\":false},{\"id\":5,\"content\":\"<e>\",\"special\":true}]}"

static int read_folder(const char *dir, size_t rows, struct qs_vocab_data **d, struct qs_err *e)
{
    *e = (struct qs_err)QS_ERR_INIT;
    return qs_vocab_data_folder(qs_test_tmp_path(dir), rows, d, e);
}

static void expect_token(const struct qs_vocab_data *d, size_t id, const char *text, int type)
{
    assert_true(id < d->n_tokens);
    assert_string_equal(d->token[id].text, text);
    assert_int_equal(d->token[id].type, type);
}

static void test_padding_and_types(void **state)
{
    struct qs_err e;
    struct qs_vocab_data *d = NULL;
    (void)state;
    put("pad", "tokenizer.json", SMALL);
    put("pad", "config.json", "{\"model_type\":\"llama\",\"eos_token_id\":[5,2],\"bos_token_id\":1}");
    put("pad", "generation_config.json", "{\"eos_token_id\":[5,99]}");
    put("pad", "special_tokens_map.json", "{\"eos_token\":{\"content\":\"<e>\"}}");
    put("pad", "chat_template.json", "{\"chat_template\":[{\"name\":\"tools\",\"template\":\"T\"},"
        "{\"name\":\"default\",\"template\":\"D\"}]}");
    assert_int_equal(read_folder("pad", 8, &d, &e), QS_OK);
    assert_int_equal(d->n_tokens, 8);
    expect_token(d, 2, "ab", QS_TOKEN_NORMAL);
    expect_token(d, 3, "<|x|>", QS_TOKEN_CONTROL);      /* by its looks */
    expect_token(d, 4, "  y", QS_TOKEN_USER_DEFINED);   /* U+2581 is a blank there */
    expect_token(d, 5, "<e>", QS_TOKEN_CONTROL);
    expect_token(d, 6, "[PAD6]", QS_TOKEN_UNUSED);
    expect_token(d, 7, "[PAD7]", QS_TOKEN_UNUSED);
    assert_string_equal(d->arch, "llama");
    assert_int_equal(d->special[QS_SPECIAL_BOS], 1);
    assert_int_equal(d->special[QS_SPECIAL_EOS], 5);
    assert_int_equal(d->n_eog, 2); /* 5 and 2; 99 is no token */
    assert_string_equal(d->chat_template, "D");
    assert_false(d->has_scores);
    qs_vocab_data_free(d);
    put("pad", "chat_template.jinja", "J"); /* comes before the .json */
    assert_int_equal(read_folder("pad", 0, &d, &e), QS_OK);
    assert_int_equal(d->n_tokens, 6);
    assert_string_equal(d->chat_template, "J");
    qs_vocab_data_free(d);
    assert_int_equal(read_folder("pad", 4, &d, &e), QS_OK); /* rows that were cut off the embedding */
    assert_int_equal(d->n_tokens, 4);
    assert_non_null(strstr(d->warning, "beyond the rows"));
    qs_vocab_data_free(d);
}

static void test_post_processors(void **state)
{
    static const struct { const char *post; int bos, eos; } cases[] = {
        { "{\"type\":\"ByteLevel\"}", 0, 0 },
        { "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<e>\"}},{\"Sequence\":{}}]}",
          1, -1 },
        { "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":\"TemplateProcessing\","
          "\"single\":[{\"Sequence\":{}},{\"SpecialToken\":{\"id\":\"<e>\"}}]}]}", 0, 1 },
        { "null", -1, -1 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct qs_err e;
        struct qs_vocab_data *d = NULL;
        struct qs_str s = QS_STR_INIT;
        qs_str_addf(&s, "{\"post_processor\":%s,%s", cases[i].post, &SMALL[1]);
        put("post", "tokenizer.json", s.data);
        assert_int_equal(read_folder("post", 0, &d, &e), QS_OK);
        assert_int_equal(d->add_bos, cases[i].bos);
        assert_int_equal(d->add_eos, cases[i].eos);
        if (cases[i].eos == 1)
            assert_int_equal(d->special[QS_SPECIAL_EOS], 5);
        qs_vocab_data_free(d);
        qs_str_free(&s);
    }
}

static void test_refusals(void **state)
{
    static const struct { const char *file, *text; int code; const char *says; } cases[] = {
        { "x", "", QS_ENOTFOUND, "neither tokenizer.json nor tokenizer.model" },
        { "tokenizer.json", "{", QS_EFORMAT, "tokenizer.json: " },
        { "tokenizer.json", "[]", QS_EFORMAT, "no JSON object" },
        { "tokenizer.json", "{}", QS_EFORMAT, "no object 'model'" },
        { "tokenizer.json", "{\"model\":{\"type\":\"Unigram\"}}", QS_EUNSUPPORTED, "'Unigram'" },
        { "tokenizer.json", "{\"model\":{\"type\":\"WordPiece\"}}", QS_EUNSUPPORTED, "'WordPiece'" },
        { "tokenizer.json", "{\"model\":{\"type\":\"BPE\"}}", QS_EUNSUPPORTED, "byte_fallback" },
        { "tokenizer.json", "{\"model\":{\"type\":\"BPE\"}," BYTES "}", QS_EFORMAT, "model.vocab" },
        { "tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1}}," BYTES "}", QS_EFORMAT, "'a'" },
        { "tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1e15}}," BYTES "}", QS_EFORMAT, "'a'" },
        { "tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{}}," BYTES "}", QS_EFORMAT, "0 tokens" },
        { "tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[1]}," BYTES "}", QS_EFORMAT,
          "model.merges[0]" },
        { "tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}," BYTES "}",
          QS_EFORMAT, "model.merges[0]" },
        { "tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}},\"added_tokens\":[7]," BYTES "}",
          QS_EFORMAT, "added_tokens[0]" },
        { "tokenizer.model", "\x0A\x05\x0A\x01", QS_EFORMAT, "tokenizer.model: " },
        { "tokenizer.model", "\x0A\x03\x0A\x01" "a", QS_EFORMAT, "trainer_spec" },
        { "tokenizer.model", "\x0A\x03\x0A\x01" "a\x12\x02\x18\x01", QS_EUNSUPPORTED, "Unigram" },
        { "tokenizer.model", "IQ== 0\n", QS_EFORMAT, "tokenizer.model: " },
        { "tokenizer.model", "", QS_EFORMAT, "0 tokens" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char dir[32];
        struct qs_err e;
        struct qs_vocab_data *d = NULL;
        snprintf(dir, sizeof dir, "bad%zu", i);
        put(dir, cases[i].file, cases[i].text);
        int rc = read_folder(dir, 0, &d, &e);
        if (rc != cases[i].code || !strstr(e.msg, cases[i].says))
            fail_msg("%s %s: %d, '%s'", cases[i].file, cases[i].text, rc, e.msg);
        assert_null(d);
    }
}

/* A SentencePiece model of two pieces whose trainer says BPE. */
static void test_sentencepiece(void **state)
{
    struct qs_err e;
    struct qs_vocab_data *d = NULL;
    (void)state;
    put("sp", "tokenizer.model", "\x0A\x07\x0A\x05<unk>"
        "\x0A\x0A\x0A\x01" "a\x15\x01\x01\x80\xBF\x18\x04" "\x12\x02\x18\x02");
    put("sp", "added_tokens.json", "{\"<new>\": 3}");
    assert_int_equal(read_folder("sp", 0, &d, &e), QS_OK);
    assert_int_equal(d->n_tokens, 4);
    expect_token(d, 1, "a", QS_TOKEN_NORMAL); /* user-defined pieces are normal tokens, as the converter writes them */
    assert_true(d->token[1].score < -1.0f && d->token[1].score > -1.01f);
    expect_token(d, 2, "[PAD2]", QS_TOKEN_UNUSED);
    expect_token(d, 3, "<new>", QS_TOKEN_USER_DEFINED);
    qs_vocab_data_free(d);
}

/* A pre-tokenizer that nobody knows is said, and taken as the default. */
static void test_unknown_pre(void **state)
{
    struct qs_err e;
    struct qs_vocab_data *d = NULL;
    (void)state;
    put("odd", "tokenizer.json",
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]},"
        "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"
        "\"x+\"}},"
        "{\"type\":\"ByteLevel\",\"use_regex\":false}]}}");
    assert_int_equal(read_folder("odd", 0, &d, &e), QS_OK);
    assert_string_equal(d->pre, "default");
    assert_non_null(strstr(d->warning, "pre-tokenizer of tokenizer.json is not known"));
    assert_null(strstr(d->warning, "normalizer"));
    qs_vocab_data_free(d);
    put("odd", "tokenizer.json", "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},"
        "{\"type\":\"Lowercase\"}]},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}," BYTES "}");
    assert_int_equal(read_folder("odd", 0, &d, &e), QS_OK);
    assert_string_equal(d->warning, "the normalizer 'Lowercase' of tokenizer.json is not applied, tokens may differ");
    qs_vocab_data_free(d);
}

static int open_whole(void *ctx, struct qs_err *e)
{
    struct qs_vocab_data *d;
    struct qs_vocab *v;
    int rc = qs_vocab_data_folder(ctx, 600, &d, e);
    if (rc == QS_OK)
        rc = qs_vocab_new(d, &v, e);
    if (rc == QS_OK)
        qs_vocab_free(v);
    return rc;
}

static void test_out_of_memory(void **state)
{
    char dir[300];
    (void)state;
    snprintf(dir, sizeof dir, "%s", data("qwen2"));
    qs_test_each_alloc(open_whole, dir);
    snprintf(dir, sizeof dir, "%s", data("spm"));
    qs_test_each_alloc(open_whole, dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),          cmocka_unit_test(test_specials),
        cmocka_unit_test(test_padding_and_types), cmocka_unit_test(test_post_processors),
        cmocka_unit_test(test_refusals),         cmocka_unit_test(test_sentencepiece),
        cmocka_unit_test(test_unknown_pre),      cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
