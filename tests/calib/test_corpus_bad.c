/* test_corpus_bad.c - calibration text that is too little, too uniform, damaged or hostile: every warning with its
 * numbers, every refusal, memory that runs out.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/corpus.h"
#include "tests/lib/qs_test.h"
#include "tests/text/tv.h"

static struct qs_vocab *bytes;
static char *books, *code;

static struct qs_corpus *opened(const struct qs_corpus_args *a)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_corpus *c;
    if (qs_corpus_open(a, bytes, NULL, &c, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return c;
}

/* This warning, once and in one line; frees the corpus. */
static void warns(struct qs_corpus *c, const char *words)
{
    size_t found = 0;
    for (size_t i = 0; i < c->n_warnings; i++) {
        assert_null(strchr(c->warning[i], '\n'));
        found += strstr(c->warning[i], words) != NULL;
    }
    for (size_t i = 0; found != 1 && i < c->n_warnings; i++)
        print_message("%s\n", c->warning[i]);
    if (found != 1)
        fail_msg("'%s' was said %zu times", words, found);
    qs_corpus_free(c);
}

static void silent(struct qs_corpus *c)
{
    for (size_t i = 0; i < c->n_warnings; i++)
        fail_msg("%s", c->warning[i]);
    qs_corpus_free(c);
}

static void refused(const struct qs_corpus_args *a, enum qs_code want, const char *words)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_corpus *c = (struct qs_corpus *)&e;
    const uint64_t held = qs_mem_in_use();
    assert_int_equal(qs_corpus_open(a, bytes, NULL, &c, &e), want);
    assert_null(c);
    assert_int_equal(qs_mem_in_use(), held);
    if (!strstr(e.msg, words))
        fail_msg("'%s' does not say '%s'", e.msg, words);
}

static struct qs_corpus_args args_of(const struct qs_corpus_source *s, size_t n)
{
    return (struct qs_corpus_args){ .source = s, .n_sources = n, .held_out = -1, .model_ctx = 4096 };
}

/* ---- warnings about the whole ---- */

static void test_amount(void **state)
{
    (void)state;
    const struct qs_corpus_source s[] = { { books, 1 }, { code, 1 } };
    struct qs_corpus_args a = args_of(s, 2);
    silent(opened(&a));
    a.n_windows = 64;
    a.held_out = 0.125;
    silent(opened(&a));
    a.n_windows = 63;
    warns(opened(&a), "63 windows of 512 tokens are few: statistics are reliable from 64 on");
    a.n_windows = 100;
    a.n_ctx = 511;
    warns(opened(&a), "windows of 511 tokens are short: with less than 512");
    a.n_ctx = a.model_ctx = 200; /* the model's own is as long as it can be */
    silent(opened(&a));
    a.n_ctx = 199;
    warns(opened(&a), "windows of 199 tokens are short: with less than 200");
    a.n_ctx = 0;
    struct qs_corpus *c = opened(&a);
    assert_int_equal(c->n_ctx, 200);
    silent(c);
    a.n_windows = 10000;
    a.model_ctx = 0;
    warns(opened(&a), "windows of 512 tokens, 10000 were asked for");
    a.n_windows = 0;
    a.n_sources = 1;
    warns(opened(&a), "/text/books-calibration.txt: one kind of text calibrates for one kind of text");
}

static void test_held_warnings(void **state)
{
    (void)state;
    const struct qs_corpus_source s[] = { { books, 1 }, { code, 1 } };
    struct qs_corpus_args a = args_of(s, 2);
    a.n_windows = 70;
    warns(opened(&a), "7 held-out windows (3584 tokens) are too small a part");
    a.n_windows = 75;
    silent(opened(&a));
    a.held_out = 0;
    warns(opened(&a), "nothing is held out of 75 windows");
    a.held_out = 0.01;
    warns(opened(&a), "1 held-out window (512 tokens) is too small a part");
}

static void test_sources(void **state)
{
    (void)state;
    char text[2000];
    for (size_t i = 0, x = 7; i < sizeof text; i++, x = x * 1103515245u + 12345)
        text[i] = (char)('a' + (x >> 16) % 26);
    struct qs_corpus_source s[] = { { books, 1 }, { qs_test_file("little.txt", text, 2000), 1 } };
    struct qs_corpus_args a = args_of(s, 2);
    warns(opened(&a), "little.txt: has text for 3 windows only; by its weight 80 would be taken from it");
    s[1].path = qs_test_file("less.txt", text, 400);
    warns(opened(&a), "less.txt: its 400 tokens are less than one window of 512: nothing was taken from it");
    warns(opened(&a), "all 160 windows come from one source"); /* that gave something */
    s[1].path = qs_test_file("odd.json", "[\n{\"text\": \"a\"}\n]", 17);
    warns(opened(&a), "odd.json: begins like one JSON value");
    for (size_t i = 0; i < 2000; i++)
        text[i] = "the same again. "[i % 16];
    s[1].path = qs_test_file("same.txt", text, 2000);
    warns(opened(&a), "2 windows that repeat others word by word were left out");
}

static void test_overlap(void **state)
{
    (void)state;
    char part[40000];
    FILE *f = fopen(books, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 30000, SEEK_SET), 0);
    assert_int_equal(fread(part, 1, sizeof part, f), sizeof part);
    (void)fclose(f);
    const struct qs_corpus_source s[] = { { books, 1 }, { code, 1 } },
                                  small[] = { { qs_test_file("part.txt", part, 5000), 1 } };
    struct qs_corpus_args a = args_of(s, 2);
    a.evaluation = books;
    warns(opened(&a), "books-calibration.txt: 100.0% of the evaluation text");
    a.evaluation = qs_test_file("held.txt", part, sizeof part);
    warns(opened(&a), "100.0% of the evaluation text");
    a.evaluation = code;
    warns(opened(&a), "code.txt: 100.0% of the evaluation text");
    a = args_of(small, 1);
    a.evaluation = qs_test_data("text/wiki.txt");
    struct qs_corpus *c = opened(&a);
    for (size_t i = 0; i < c->n_warnings; i++)
        assert_null(strstr(c->warning[i], "evaluation"));
    qs_corpus_free(c);
    a.evaluation = books; /* the other way round: half a percent of the evaluation text, but all of the calibration's */
    warns(opened(&a), "part.txt: 100.0% of it stands in the evaluation text");
    a.evaluation = "/nowhere/text.txt";
    warns(opened(&a), "not compared with the evaluation text: cannot open '/nowhere/text.txt'");
}

/* ---- files ---- */

static void test_bad_lines(void **state)
{
    (void)state;
    struct qs_str f = QS_STR_INIT;
    for (int i = 0; i < 400; i++)
        qs_str_addf(&f, "{\"text\": \"line %d of the texts, number %d, goes on\"}\n", i, i * 7919 % 1000);
    qs_str_add(&f, "{\"text\": \"no end\n\n{\"text\": 7}\n{\"text\": \"\"}\n{\"messages\": "
                   "[]}\n[1]\n\xFF\xFE\n{\"text\": \"a\\u0000b\"}\n");
    const struct qs_corpus_source s[] = { { books, 1 }, { qs_test_file("bad\nlines.jsonl", f.data, f.len), 1 } };
    const struct qs_corpus_args a = args_of(s, 2);
    struct qs_corpus *c = opened(&a);
    assert_int_equal(c->mix[1].bad_lines, 7);
    assert_int_equal(c->mix[1].first_bad, 401);
    warns(c, "bad?lines.jsonl: 7 of 407 lines were left out; the first is line 401: ");
    qs_str_free(&f);
}

static void test_bad_chats(void **state)
{
    (void)state;
    static const char refuse[] =
        "{% for m in messages %}{% if m.role == 'bad' %}{{ raise_exception('no ' + m.role) }}{% endif %}"
        "{{ m.role }}: {{ m.content }}\n{% endfor %}";
    static const char lines[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello there.\"}]}\n"
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"bad\", \"content\": \"b\"}]}\n"
        "{\"messages\": [{\"content\": \"no role\"}]}\n{\"messages\": [\"x\"]}\n{\"messages\": \"y\"}\n"
        "{\"messages\": [{\"role\": \"user\", \"content\": \"zero\\u0000\"}]}\n"
        "{\"messages\": [{\"role\": \"user\", \"content\": \"Good bye.\"}]}\n";
    struct qs_chat_template *t;
    struct qs_err e = QS_ERR_INIT;
    struct qs_corpus *c;
    const struct qs_corpus_source s = { qs_test_file("chats.jsonl", lines, sizeof lines - 1), 1 };
    struct qs_corpus_args a = args_of(&s, 1);
    a.n_ctx = 16;
    refused(&a, QS_EINVAL, "chats.jsonl: chats, and there is no chat template");
    assert_int_equal(qs_chat_template_new(refuse, sizeof refuse - 1, &t, &e), QS_OK);
    assert_int_equal(qs_corpus_open(&a, bytes, t, &c, &e), QS_OK);
    assert_int_equal(c->mix[0].bad_lines, 5);
    assert_int_equal(c->mix[0].tokens, strlen("user: Hello there.\nuser: Good bye.\n"));
    warns(c, "5 of 7 lines were left out; the first is line 2: chat template: no bad");
    qs_chat_template_free(t);
}

static void test_encoding(void **state)
{
    (void)state;
    char text[3000];
    for (size_t i = 0, x = 3; i < sizeof text; i++, x = x * 1103515245u + 12345)
        text[i] = (char)('a' + (x >> 16) % 26);
    text[100] = (char)0xFF;
    text[200] = (char)0xC3; /* half a character */
    text[2999] = (char)0x80;
    struct qs_corpus_source s[] = { { books, 1 }, { qs_test_file("latin.txt", text, sizeof text), 1 } };
    struct qs_corpus_args a = args_of(s, 2);
    struct qs_corpus *c = opened(&a);
    assert_int_equal(c->mix[1].tokens, 2997 + 3 * 3);
    warns(c, "latin.txt: 3 bytes are not valid UTF-8");
    text[1500] = '\0';
    s[1].path = qs_test_file("zero.txt", text, sizeof text);
    refused(&a, QS_EFORMAT, "zero.txt: byte 1500 is zero");
    memcpy(text, "\xEF\xBB\xBFtext", 7); /* a mark before the text is none of it */
    s[1].path = qs_test_file("mark.txt", text, 1000);
    c = opened(&a);
    assert_int_equal(c->mix[1].tokens, 997 + 2 * 2);
    qs_corpus_free(c);
}

static void test_hostile(void **state)
{
    (void)state;
    struct qs_corpus_source s[] = { { books, 1 }, { qs_test_file("empty.txt", "", 0), 1 } };
    const struct qs_corpus_args a = args_of(s, 2);
    refused(&a, QS_EINVAL, "empty.txt: nothing in it");
    s[1].path = qs_test_file("blank.txt", "\n \t\r\n\n", 6);
    refused(&a, QS_EINVAL, "blank.txt: nothing in it");
    s[1].path = qs_test_tmp();
    refused(&a, QS_EINVAL, qs_test_tmp());
    s[1].path = "/nowhere/a.txt";
    refused(&a, QS_ENOTFOUND, "/nowhere/a.txt");
    s[1].path = qs_test_file("other.jsonl", "{\"input\": \"a\"}\n{\"output\": 1}\n", 30);
    refused(&a, QS_EFORMAT, "other.jsonl: JSON lines without \"text\" or \"messages\"");
    s[1].path = qs_test_file("none.jsonl", "{\"text\": 1}\n{\"text\": \"\"}\n", 25);
    refused(&a, QS_EFORMAT, "none.jsonl: none of its 2 lines can be used; line 1: no \"text\"");
    s[1].path = qs_test_file("garbage.jsonl", "}}}}\n", 5);
    refused(&a, QS_EFORMAT, "garbage.jsonl: line 1 is not JSON");
    const size_t n = ((size_t)17 << 20);
    char *text = malloc(n); /* one line of brackets; then one text that is too long, and one behind it */
    memset(text, '{', n);
    s[1].path = qs_test_file("deep.txt", text, n);
    struct qs_corpus *c = opened(&a);
    assert_string_equal(c->mix[1].kind, "text");
    qs_corpus_free(c);
    memset(text, 'x', n);
    memcpy(text, "{\"text\": \"ok\"}\n{\"text\": \"", 26);
    memcpy(text + n - 3, "\"}\n", 3);
    s[1].path = qs_test_file("long.txt", text, n);
    c = opened(&a);
    assert_int_equal(c->mix[1].first_bad, 2);
    warns(c, "line 2: longer than 16 MiB");
    free(text);
}

static void test_arguments(void **state)
{
    (void)state;
    struct qs_corpus_source s[] = { { books, 1 }, { books, 1 } };
    struct qs_corpus_args a = args_of(s, 2);
    refused(&a, QS_EINVAL, "is given twice");
    a.n_sources = 0;
    refused(&a, QS_EINVAL, "no text");
    a.n_sources = 1;
    a.n_ctx = 1;
    refused(&a, QS_EINVAL, "a window of 1 token ");
    a.n_ctx = 4097;
    refused(&a, QS_EINVAL, "windows of 4097 tokens are longer than the model's context of 4096");
    a.model_ctx = 0;
    a.n_ctx = 2000000;
    refused(&a, QS_EINVAL, "has 1000040 tokens, less than one window of 2000000");
    a.n_ctx = 0;
    a.held_out = 1;
    refused(&a, QS_EINVAL, "held-out share of 1");
    a.held_out = (double)NAN;
    refused(&a, QS_EINVAL, "held-out share");
    a.held_out = 0.1;
    static const double weights[] = { 0, -1, (double)NAN, (double)INFINITY };
    for (size_t i = 0; i < 4; i++) {
        s[0].weight = weights[i];
        refused(&a, QS_EINVAL, "its weight is");
    }
}

static int body(void *ctx, struct qs_err *e)
{
    struct qs_corpus *c;
    const int rc = qs_corpus_open(ctx, bytes, NULL, &c, e);
    if (rc == QS_OK)
        qs_corpus_free(c);
    return rc;
}

static void test_no_memory(void **state)
{
    (void)state;
    static const char lines[] =
        "{\"text\": \"some text here, and more\"}\n{\"text\": 1}\n{\"text\": \"and more of it\"}\n";
    char text[500];
    for (size_t i = 0, x = 3; i < sizeof text; i++, x = x * 1103515245u + 12345)
        text[i] = (char)('a' + (x >> 16) % 26);
    const struct qs_corpus_source s[] = { { qs_test_file("memory.txt", text, sizeof text), 1 },
                                          { qs_test_file("memory.jsonl", lines, sizeof lines - 1), 1 } };
    struct qs_corpus_args a = args_of(s, 2);
    char held[256];
    snprintf(held, sizeof held, "%s", qs_test_file("memory-held.txt", text, 200));
    a.n_ctx = 16;
    a.evaluation = held;
    qs_test_each_alloc(body, &a);
}

int main(void)
{
    books = strdup(qs_test_data("text/books-calibration.txt"));
    code = strdup(qs_test_data("text/code.txt"));
    bytes = tv_bytes("gpt-2", NULL, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_amount),    cmocka_unit_test(test_held_warnings), cmocka_unit_test(test_sources),
        cmocka_unit_test(test_overlap),   cmocka_unit_test(test_bad_lines),     cmocka_unit_test(test_bad_chats),
        cmocka_unit_test(test_encoding),  cmocka_unit_test(test_hostile),       cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_no_memory),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    qs_vocab_free(bytes);
    free(books);
    free(code);
    return failed;
}
