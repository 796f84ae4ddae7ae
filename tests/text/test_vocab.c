/* test_vocab.c - tokenizers made by hand: every rule once, and what is refused. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "core/text/chat.h"
#include "core/text/pre.h"
#include "core/text/vocab_internal.h"
#include "tests/format/tf.h"
#include "tests/text/tv.h"

#define MARK "\xE2\x96\x81"
#define REPLACED "\xEF\xBF\xBD"
enum { N = QS_TOKEN_NORMAL, U = QS_TOKEN_UNKNOWN, C = QS_TOKEN_CONTROL, D = QS_TOKEN_USER_DEFINED, X = QS_TOKEN_UNUSED,
       B = QS_TOKEN_BYTE };

static const struct tv_token spm_tokens[] = {
    { "<unk>", U, 0 },      { "<s>", C, 0 },         { "</s>", C, 0 },        { MARK, N, -9 },      { "a", N, -8 },
    { "b", N, -8 },         { "ab", N, -2 },         { MARK "a", N, -1 },     { "bab", N, -3 },     { "<0xC3>", B, 0 },
    { "<0xA4>", B, 0 },     { "<0x0A>", B, 0 },      { "<u>", D, 0 },         { "<uu>", D, 0 },     { "[PAD14]", X, 0 },
    { "\xC3\xB6", N, -8 },  { "<|im_end|>", N, -8 }, { NULL, 0, 0 },
};

static void test_spm_rules(void **state)
{
    struct qs_vocab *v = tv_make(QS_VOCAB_SPM, "default", spm_tokens, NULL);
    (void)state;
    assert_string_equal(tv(v, "", 0), "");
    assert_string_equal(tv(v, "", QS_TOKENIZE_ADD_SPECIAL), "1");
    assert_string_equal(tv(v, "ab", 0), "7 5");               /* the blank before it and "a" have the best score */
    assert_string_equal(tv(v, "bab", 0), "3 8");
    assert_string_equal(tv(v, "bbab", 0), "3 5 8");
    assert_string_equal(tv(v, " ab", 0), "3 7 5");            /* its own blank and the one put before it */
    assert_string_equal(tv(v, "\xC3\xA4\n", 0), "3 9 10 11"); /* bytes where there is no token */
    assert_string_equal(tv(v, "\xC3\xB6", 0), "3 15");
    assert_string_equal(tv(v, "c", 0), "3 0");                /* no token for the byte either */
    assert_string_equal(tv(v, "<s>a", QS_TOKENIZE_PARSE_SPECIAL), "1 7");
    assert_string_equal(tv(v, "a<u>a<uu>", 0), "7 12 7 13"); /* user-defined ones always, and a blank behind each */
    assert_true(qs_vocab_is_eog(v, 2) && qs_vocab_is_eog(v, 16)); /* "</s>"; "<|im_end|>" whatever its type */
    assert_int_equal(qs_vocab_special(v, QS_SPECIAL_BOS), 1);
    assert_int_equal(qs_vocab_special(v, QS_SPECIAL_EOT), 16);
    assert_int_equal(qs_vocab_find(v, "ab", 2), 6);
    assert_int_equal(qs_vocab_find(v, "zz", 2), QS_NO_TOKEN);
    assert_null(qs_vocab_warning(v, 0));
    qs_vocab_free(v);
}

static void piece(const struct qs_vocab *v, int32_t id, bool special, const char *want)
{
    struct qs_str s = QS_STR_INIT;
    qs_vocab_piece(v, id, special, &s);
    assert_string_equal(s.data, want);
    qs_str_free(&s);
}

static void test_pieces(void **state)
{
    static const char *const merges[] = { "\xC4\xA0 a", NULL };
    static const struct tv_token more[] = { { "<|im_end|>", C, 0 }, { "a " MARK, D, 0 }, { NULL, 0, 0 } };
    struct qs_vocab *v = tv_make(QS_VOCAB_SPM, "default", spm_tokens, NULL);
    (void)state;
    piece(v, 7, false, " a");
    piece(v, 10, false, "\xA4");
    piece(v, 12, false, "<u>");
    piece(v, 1, false, "");
    piece(v, 1, true, "<s>");
    piece(v, 0, true, "<unk>");
    piece(v, 14, true, "");
    piece(v, -1, true, "");
    piece(v, 17, true, "");
    qs_vocab_free(v);
    v = tv_bytes("gpt-2", merges, more);
    piece(v, 256, false, " a");
    piece(v, '\n', false, "\n");
    piece(v, 0xAD, false, "\xAD");
    piece(v, 0xFF, false, "\xFF");
    piece(v, 257, false, "");
    piece(v, 257, true, "<|im_end|>");
    piece(v, 258, false, "a " MARK); /* added ones are text as they stand */
    qs_vocab_free(v);
}

static void test_bytes_alphabet(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        char letter[2];
        size_t n = qs_byte_letter((unsigned char)i, letter), at = 0;
        assert_int_equal(qs_letter_byte(qs_utf8_next(letter, n, &at)), i);
        assert_int_equal(at, n);
    }
    assert_int_equal(qs_letter_byte(0x20), -1);
    assert_int_equal(qs_letter_byte(0x144), -1);
    assert_int_equal(qs_letter_byte(0x2581), -1);
}

static void test_bpe_rules(void **state)
{
    static const char *const merges[] = { "b c", "a b", "\xC4\xA0 a", "a bc", "x y", NULL };
    static const struct tv_token more[] = { { "abcd", N, 0 }, { "<|e|>", C, 0 }, { "<u>", D, 0 }, { NULL, 0, 0 } };
    struct qs_vocab *v = tv_bytes("gpt-2", merges, more);
    (void)state;
    assert_string_equal(tv(v, "abc", 0), "259");      /* b c comes first, then a bc */
    assert_string_equal(tv(v, "ab", 0), "257");
    assert_string_equal(tv(v, "abcd", 0), "259 100"); /* the whole word is a token, but its merges do not make it */
    assert_string_equal(tv(v, " abc", 0), "258 256");
    assert_string_equal(tv(v, "xyxy", 0), "260 260");
    assert_string_equal(tv(v, "x y", 0), "120 32 121"); /* never across words */
    assert_string_equal(tv(v, "\xC3\xA4", 0), "195 164");
    assert_string_equal(tv(v, "a<|e|>b", 0), "97 60 124 101 124 62 98");
    assert_string_equal(tv(v, "a<|e|>b", QS_TOKENIZE_PARSE_SPECIAL), "97 262 98");
    assert_string_equal(tv(v, "<u>", 0), "263");
    assert_false(qs_vocab_adds_bos(v));
    qs_vocab_free(v);
    v = tv_bytes("llama-bpe", merges, more); /* ignore_merges */
    assert_string_equal(tv(v, "abcd abcd", 0), "261 258 256 100");
    qs_vocab_free(v);
}

/* Of special tokens that overlap the longer wins, wherever it begins; Phi-3's swallow the white space behind them. */
static void test_special_in_text(void **state)
{
    static const struct tv_token more[] = { { "<a", D, 0 }, { "a>b>", D, 0 }, { "aa", D, 0 }, { NULL, 0, 0 } };
    struct qs_vocab *v = tv_bytes("gpt-2", NULL, more);
    (void)state;
    assert_string_equal(tv(v, "<a>b>", 0), "60 257");
    assert_string_equal(tv(v, "<a>b", 0), "256 62 98");
    assert_string_equal(tv(v, "aaa", 0), "258 97");
    assert_string_equal(tv(v, "aaaa", 0), "258 258");
    qs_vocab_free(v);
    struct qs_vocab_data *d = tv_data(QS_VOCAB_SPM, "default", spm_tokens, NULL);
    struct qs_vocab *phi = NULL;
    memcpy(d->arch, "phi3", sizeof "phi3");
    assert_int_equal(qs_vocab_new(d, &phi, NULL), QS_OK);
    assert_string_equal(tv(phi, "<u>\n \ta<s>\n", QS_TOKENIZE_PARSE_SPECIAL), "12 7 1 3 11");
    qs_vocab_free(phi);
}

static void test_invalid_text(void **state)
{
    struct qs_vocab *v = tv_bytes("gpt-2", NULL, NULL);
    struct qs_err e = QS_ERR_INIT;
    struct qs_tokens t = { 0 };
    (void)state;
    assert_int_equal(qs_tokens_add(&t, 7, &e), QS_OK);
    assert_int_equal(qs_tokenize(v, "ab\xFF", 3, 0, &t, &e), QS_EINVAL);
    assert_string_equal(e.msg, "the text is not valid UTF-8: byte 0xFF at offset 2");
    assert_int_equal(t.n, 1); /* as it was */
    assert_int_equal(qs_tokenize(v, "ab", (size_t)1 << 30, 0, &t, &e), QS_ELIMIT);
    qs_tokens_free(&t);
    assert_string_equal(tv_ids(v, "a\xFF" "b\xC3", 4, QS_TOKENIZE_REPLACE), "97 239 191 189 98 239 191 189");
    assert_string_equal(tv_ids(v, "a\0b", 3, 0), "97 0 98");
    qs_vocab_free(v);
}

static void stream(const struct qs_vocab *v, unsigned flags, const int32_t *ids, size_t n, const char *const *want)
{
    struct qs_detok d;
    struct qs_str s = QS_STR_INIT;
    qs_detok_init(&d, v, flags);
    for (size_t i = 0; i <= n; i++) {
        qs_str_clear(&s);
        if (i < n)
            qs_detok_add(&d, ids[i], &s);
        else
            qs_detok_end(&d, &s);
        assert_string_equal(s.data, want[i]);
    }
    qs_str_free(&s);
}

/* Never half a character; what never becomes one is U+FFFD, once for what could have begun one. */
static void test_streaming(void **state)
{
    struct qs_vocab *v = tv_bytes("gpt-2", NULL, NULL), *spm = tv_make(QS_VOCAB_SPM, "default", spm_tokens, NULL);
    (void)state;
    stream(v, 0, (const int32_t[]){ 0xF0, 0x9F, 0xA6, 0x99, 'a' }, 5,
           (const char *const[]){ "", "", "", "\xF0\x9F\xA6\x99", "a", "" });
    stream(v, 0, (const int32_t[]){ 'a', 0, 0xE2, 0, 'b' }, 5,
           (const char *const[]){ "a", REPLACED, "", REPLACED REPLACED, "b", "" });
    stream(v, 0, (const int32_t[]){ 0xE2, 0x82 }, 2, (const char *const[]){ "", "", REPLACED });
    stream(v, 0, (const int32_t[]){ 0xE2, 'a', 0x80, 0xFF, 0xC0 }, 5,
           (const char *const[]){ "", REPLACED "a", REPLACED, REPLACED, REPLACED, "" });
    stream(v, 0, (const int32_t[]){ 0xE0, 0x80, 0xED, 0xA0, 0xC3, 0xC3, 0xA4 }, 7, /* overlong, surrogate */
           (const char *const[]){ "", REPLACED REPLACED, "", REPLACED REPLACED, "", REPLACED, "\xC3\xA4", "" });
    stream(spm, 0, (const int32_t[]){ 7, 7, 1, 7, 3 }, 5, (const char *const[]){ "a", " a", "", "a", " ", "" });
    stream(spm, QS_DETOK_MIDDLE, (const int32_t[]){ 7, 9, 10 }, 3, (const char *const[]){ " a", "", "\xC3\xA4", "" });
    stream(spm, QS_DETOK_SPECIAL, (const int32_t[]){ 1, 7 }, 2, (const char *const[]){ "<s>", "a", "" });
    qs_vocab_free(v);
    qs_vocab_free(spm);
}

/* --- pre-tokenizers ----------------------------------------------------------------------------------------------- */

/* The words of a text with '|' between them. */
static const char *cut(const char *pre, const char *text)
{
    static struct qs_str s;
    struct qs_err e = QS_ERR_INIT;
    struct qs_pre *p = NULL;
    struct qs_pre_words w = { 0 };
    assert_non_null(qs_pre_find(pre));
    if (qs_pre_new(qs_pre_find(pre), &p, &e) != QS_OK || qs_pre_cut(p, text, strlen(text), &w, &e) != QS_OK)
        fail_msg("%s: %s", pre, e.msg);
    qs_str_free(&s);
    for (size_t i = 0, from = 0; i < w.n; from = w.end[i++]) {
        qs_str_add(&s, i ? "|" : "");
        qs_str_addn(&s, text + from, w.end[i] - from);
    }
    qs_pre_words_free(&w);
    qs_pre_free(p);
    return s.data;
}

static void test_cuts(void **state)
{
    static const struct { const char *pre, *text, *want; } cases[] = {
        { "gpt-2", "I'll go  to 12345, OK?\n\n x", "I|'ll| go| | to| 12345|,| OK|?|\n\n| x" },
        { "gpt-2", "a  ", "a|  " },
        { "llama-bpe", "I'LL go  to 12345, OK?\n\n x", "I|'LL| go| | to| |123|45|,| OK|?\n\n| x" },
        { "qwen2", "a123", "a|1|2|3" },
        { "smollm", "a 12", "a| |1|2" },
        { "falcon", "a,1234", "a|,|123|4" },
        { "tekken", "HelloWorld XMLHttp\xC3\x84s", "Hello|World| XMLHttp\xC3\x84s" },
        { "gpt-4o", "HelloWorld's", "Hello|World's" },
        { "deepseek-coder", "if x1:\n", "if| x|1|:|\n" },
        { "deepseek-v3", "x1234,y", "x|123|4|,y" },
        { "superbpe", "a1234567b", "a|1|234|567|b" },
        { "superbpe", "123456", "123|456" },
        { "afmoe", "ab1234567 c", "ab|1|234|567| c" },
        { "bloom", "Hi, you", "Hi|,| you" },
        { "gemma4", "a b\n\nc", "a b|\n\n|c" },
        { "default", "a1234+b", "a|123|4|+|b" },
        { "command-r", "it's 4u", "it|'s| |4|u" },
        { "exaone-moe", "ab cd 1", "ab cd| |1" },
        { "kimi-k2", "ab\xE4\xBD\xA0\xE5\xA5\xBD" "cd 1234", "ab|\xE4\xBD\xA0\xE5\xA5\xBD|cd| |123|4" },
        { "jais-2", "a     b", "a|    | b" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(cut(cases[i].pre, cases[i].text), cases[i].want) != 0)
            fail_msg("%s: %s instead of %s", cases[i].pre, cut(cases[i].pre, cases[i].text), cases[i].want);
}

/* Every expression there is can be compiled and runs over long words of every kind. */
static void test_every_pre(void **state)
{
    static const char *const units[] = { "a", "A", " ", "\n", "1", "\xD0\x9F", "\xE4\xBD\xA0", ".", "aB ", " a" };
    const size_t n = QS_TEST_SANITIZED ? 20000 : 150000;
    (void)state;
    for (const struct qs_pre_name *p = qs_pre_names; p->name; p++) {
        bool seen = false; /* one name of each family is enough */
        for (const struct qs_pre_name *q = qs_pre_names; q < p; q++)
            seen = seen || q->family == p->family;
        for (size_t i = 0; !seen && i < sizeof units / sizeof *units; i++) {
            struct qs_str s = QS_STR_INIT;
            while (s.len < n)
                qs_str_add(&s, units[i]);
            assert_true(strlen(cut(p->name, s.data)) >= s.len);
            qs_str_free(&s);
        }
    }
}

/* --- the prompt of a chat ----------------------------------------------------------------------------------------- */

static void prompt(const struct qs_vocab *v, const char *source, unsigned flags, const char *want_text,
                   const char *want)
{
    const struct qs_chat_message m = { "user", "a" };
    const struct qs_chat_args a = { .messages = &m, .n_messages = 1 };
    struct qs_chat_template *t;
    struct qs_tokens list = { 0 };
    struct qs_str text = QS_STR_INIT, ids = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_chat_template_new(source, strlen(source), &t, &e), QS_OK);
    if (qs_chat_tokens(t, &a, v, flags, &text, &list, &e))
        fail_msg("%s: %s", source, e.msg);
    for (size_t i = 0; i < list.n; i++)
        qs_str_addf(&ids, "%s%d", i ? " " : "", list.id[i]);
    assert_string_equal(text.data, want_text);
    assert_string_equal(ids.data, want);
    qs_str_free(&ids);
    qs_str_free(&text);
    qs_tokens_free(&list);
    qs_chat_template_free(t);
}

/* BOS once where the vocabulary adds one, whoever writes it; where it adds none, what the template wrote; never EOS. */
static void test_prompt(void **state)
{
    const unsigned both = QS_TOKENIZE_ADD_SPECIAL | QS_TOKENIZE_PARSE_SPECIAL;
    static const char bare[] = "{{ messages[0].content }}", writes[] = "{{ bos_token }}{{ messages[0].content }}";
    (void)state;
    for (int adds = 0; adds < 2; adds++) {
        struct qs_vocab_data *d = tv_data(QS_VOCAB_SPM, "", spm_tokens, NULL);
        struct qs_vocab *v;
        struct qs_err e = QS_ERR_INIT;
        d->special[QS_SPECIAL_BOS] = 1;
        d->special[QS_SPECIAL_EOS] = 2;
        d->add_bos = d->add_eos = (int8_t)adds;
        d->add_space_prefix = 0;
        assert_int_equal(qs_vocab_data_finish(d, &e), QS_OK);
        assert_int_equal(qs_vocab_new(d, &v, &e), QS_OK);
        prompt(v, bare, both, "a", adds ? "1 4" : "4");
        prompt(v, writes, both, "<s>a", "1 4");
        prompt(v, bare, QS_TOKENIZE_PARSE_SPECIAL, "a", "4"); /* asked for none */
        prompt(v, "a{{ bos_token }}{{ eos_token }}", both, "a<s></s>", adds ? "1 4 1 2" : "4 1 2");
        qs_vocab_free(v);
    }
}

static void test_unknown_pre(void **state)
{
    struct qs_vocab *v = tv_bytes("brand-new", NULL, NULL);
    (void)state;
    assert_non_null(strstr(qs_vocab_warning(v, 0), "'brand-new'"));
    assert_string_equal(tv(v, "a1", 0), "97 49");
    qs_vocab_free(v);
}

/* --- two vocabularies --------------------------------------------------------------------------------------------- */

static void differ(enum qs_vocab_kind kind, size_t id, const struct tv_token *instead, const char *want)
{
    struct tv_token changed[sizeof spm_tokens / sizeof *spm_tokens];
    struct qs_str where = QS_STR_INIT;
    memcpy(changed, spm_tokens, sizeof changed);
    changed[id] = *instead;
    struct qs_vocab *a = tv_make(kind, "gpt-2", spm_tokens, NULL), *b = tv_make(kind, "gpt-2", changed, NULL);
    assert_int_equal(qs_vocab_same(a, b, &where), want == NULL);
    assert_string_equal(where.data, want ? want : "");
    qs_str_free(&where);
    qs_vocab_free(a);
    qs_vocab_free(b);
}

static void test_same(void **state)
{
    (void)state;
    differ(QS_VOCAB_SPM, 4, &(struct tv_token){ "a", N, -8 }, NULL);
    differ(QS_VOCAB_SPM, 4, &(struct tv_token){ "A", N, -8 }, "token 4 is 'a' and 'A'");
    differ(QS_VOCAB_SPM, 4, &(struct tv_token){ "a", N, -7 }, "token 4, 'a', has another type or score");
    differ(QS_VOCAB_BPE, 4, &(struct tv_token){ "a", N, -7 }, NULL); /* scores are nothing to it */
    differ(QS_VOCAB_SPM, 4, &(struct tv_token){ "a", C, -8 }, "token 4, 'a', has another type or score");
    struct qs_vocab *a = tv_bytes("gpt-2", NULL, NULL), *b = tv_bytes("qwen2", NULL, NULL);
    struct qs_vocab *c = tv_bytes("phi-2", NULL, NULL);
    struct qs_str where = QS_STR_INIT;
    assert_false(qs_vocab_same(a, b, &where));
    assert_string_equal(where.data, "pre-tokenizers 'gpt-2' and 'qwen2'");
    assert_true(qs_vocab_same(a, c, NULL)); /* another name for the same cuts */
    qs_str_free(&where);
    qs_vocab_free(a);
    qs_vocab_free(b);
    qs_vocab_free(c);
}

/* --- odd and hostile vocabularies --------------------------------------------------------------------------------- */

static void test_odd_vocabularies(void **state)
{
    static const struct tv_token twice[] = {
        { "a", N, 0 }, { "a", N, 0 }, { "", N, 0 }, { "b", N, 0 }, { NULL, 0, 0 }
    };
    static const char *const bad_merges[] = { "a", " ", "a  b", "", "a b", "a b", NULL };
    struct qs_vocab *v = tv_make(QS_VOCAB_BPE, "gpt-2", twice, bad_merges);
    (void)state;
    assert_string_equal(tv(v, "ab", 0), "0 3");
    piece(v, 2, false, "[EMPTY_2]");
    assert_non_null(qs_vocab_warning(v, 0));
    qs_vocab_free(v);
    struct qs_vocab_data *d = tv_data(QS_VOCAB_SPM, "", spm_tokens, NULL);
    d->special[QS_SPECIAL_EOS] = 4000;
    d->token[4].score = -__builtin_inff();
    d->token[5].score = __builtin_nanf("");
    assert_int_equal(qs_vocab_data_eog(d, 4000, NULL), QS_OK);
    assert_int_equal(qs_vocab_data_finish(d, NULL), QS_OK);
    assert_int_equal(d->special[QS_SPECIAL_EOS], QS_NO_TOKEN);
    assert_int_equal(d->n_eog, 0);
    assert_non_null(strstr(d->warning, "eos"));
    assert_int_equal(qs_vocab_new(d, &v, NULL), QS_OK);
    assert_string_equal(tv(v, "bab", 0), "3 8");
    qs_vocab_free(v);
}

static int tokenize_some(void *ctx, struct qs_err *e)
{
    struct qs_tokens t = { 0 };
    int rc = qs_tokenize(ctx, "abc <u> I'll\n  12 \xFF abc", 22,
                         QS_TOKENIZE_PARSE_SPECIAL | QS_TOKENIZE_REPLACE, &t, e);
    qs_tokens_free(&t);
    return rc;
}

static void test_out_of_memory(void **state)
{
    static const char *const merges[] = { "b c", "a bc", NULL };
    static const struct tv_token more[] = { { "<u>", D, 0 }, { NULL, 0, 0 } };
    struct qs_vocab *v = tv_bytes("llama-bpe", merges, more), *spm = tv_make(QS_VOCAB_SPM, "", spm_tokens, NULL);
    (void)state;
    qs_test_each_alloc(tokenize_some, v);
    qs_test_each_alloc(tokenize_some, spm);
    qs_vocab_free(v);
    qs_vocab_free(spm);
}

/* --- from GGUF ---------------------------------------------------------------------------------------------------- */

static void array(struct qs_str *s, const char *key, uint32_t item, uint64_t n)
{
    tf_text(s, key);
    tf_u32(s, QS_GGUF_ARRAY);
    tf_u32(s, item);
    tf_u64(s, n);
}

enum { NO_TOKENS = 1, NUMBER_TOKENS = 2, FEW_SCORES = 4, NO_MERGES = 8, BAD_ID = 16, TYPES_F32 = 32 };

/* A vocabulary of two tokens, with one thing or another wrong. */
static int from_gguf(const char *model, unsigned wrong, struct qs_vocab_data **d, struct qs_err *e)
{
    struct qs_str s = QS_STR_INIT;
    struct qs_gguf *g;
    *e = (struct qs_err)QS_ERR_INIT;
    *d = NULL;
    tf_head(&s, 3, 0, 7);
    tf_kv_str(&s, "general.architecture", "llama");
    tf_kv_str(&s, "tokenizer.ggml.model", model);
    array(&s, wrong & NO_TOKENS ? "x.tokens" : "tokenizer.ggml.tokens",
          wrong & NUMBER_TOKENS ? QS_GGUF_U32 : QS_GGUF_STRING, 2);
    for (uint32_t i = 0; i < 2; i++)
        if (wrong & NUMBER_TOKENS)
            tf_u32(&s, i);
        else
            tf_text(&s, i ? "b" : "a");
    array(&s, "tokenizer.ggml.scores", QS_GGUF_F32, wrong & FEW_SCORES ? 1 : 2);
    tf_f32(&s, -1);
    if (!(wrong & FEW_SCORES))
        tf_f32(&s, -2);
    array(&s, "tokenizer.ggml.token_type", wrong & TYPES_F32 ? QS_GGUF_F32 : QS_GGUF_I32, 2);
    tf_u32(&s, 1);
    tf_u32(&s, 77);
    array(&s, wrong & NO_MERGES ? "x.merges" : "tokenizer.ggml.merges", QS_GGUF_STRING, 1);
    tf_text(&s, "a b");
    tf_kv_u32(&s, "tokenizer.ggml.eos_token_id", wrong & BAD_ID ? 2 : 1);
    tf_pad(&s, 32, 0);
    assert_int_equal(qs_gguf_open_mem(s.data, s.len, &g, e), QS_OK);
    int rc = qs_vocab_data_kv(g->kv, g->n_kv, d, e);
    qs_gguf_close(g);
    qs_str_free(&s);
    return rc;
}

static void test_from_gguf(void **state)
{
    static const struct { const char *model; unsigned wrong; int code; const char *says; } cases[] = {
        { "bert", 0, QS_EUNSUPPORTED, "'bert'" },
        { "t5", 0, QS_EUNSUPPORTED, "'t5'" },
        { "none", 0, QS_ENOTFOUND, "no tokenizer" },
        { "", 0, QS_ENOTFOUND, "no tokenizer" },
        { "llama", NO_TOKENS, QS_EFORMAT, "tokenizer.ggml.tokens is missing" },
        { "llama", NUMBER_TOKENS, QS_EFORMAT, "tokenizer.ggml.tokens: an array of u32, not of strings" },
        { "llama", FEW_SCORES, QS_EFORMAT, "tokenizer.ggml.scores: 1 entries for 2 tokens" },
        { "llama", TYPES_F32, QS_EFORMAT, "tokenizer.ggml.token_type: an array of f32, not of i32" },
        { "gpt2", NO_MERGES, QS_EFORMAT, "tokenizer.ggml.merges is missing" },
        { "llama", NO_MERGES, QS_OK, "" },
        { "gpt2", 0, QS_OK, "" },
        { "llama", BAD_ID, QS_OK, "" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct qs_vocab_data *d;
        struct qs_err e;
        int rc = from_gguf(cases[i].model, cases[i].wrong, &d, &e);
        if (rc != cases[i].code || (rc != QS_OK && !strstr(e.msg, cases[i].says)))
            fail_msg("%s %u: %d, '%s'", cases[i].model, cases[i].wrong, rc, e.msg);
        assert_int_equal(d != NULL, rc == QS_OK);
        if (d) {
            assert_int_equal(d->token[1].type, QS_TOKEN_UNUSED); /* 77 is no type */
            assert_int_equal(d->special[QS_SPECIAL_EOS], cases[i].wrong & BAD_ID ? QS_NO_TOKEN : 1);
            assert_int_equal(d->warning[0] != 0, (cases[i].wrong & BAD_ID) != 0);
        }
        qs_vocab_data_free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spm_rules),        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_bytes_alphabet),   cmocka_unit_test(test_bpe_rules),
        cmocka_unit_test(test_special_in_text),  cmocka_unit_test(test_invalid_text),
        cmocka_unit_test(test_streaming),        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_every_pre),        cmocka_unit_test(test_prompt),
        cmocka_unit_test(test_unknown_pre),      cmocka_unit_test(test_same),
        cmocka_unit_test(test_odd_vocabularies), cmocka_unit_test(test_from_gguf),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
