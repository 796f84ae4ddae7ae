/* test_json.c - JSON: the grammar and its bounds, numbers, building, printing. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "tests/lib/qs_test.h"

static struct qs_json *parse(const char *text)
{
    struct qs_json *v = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_json_parse(text, strlen(text), &v, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return v;
}

static void expect_print(const struct qs_json *v, bool pretty, const char *text)
{
    struct qs_str s = QS_STR_INIT;
    assert_true(qs_json_print(v, pretty, &s));
    assert_string_equal(s.data, text);
    qs_str_free(&s);
}

static void expect_round(const char *text, const char *printed)
{
    struct qs_json *v = parse(text);
    expect_print(v, false, printed);
    qs_json_free(v);
}

static void accepts(void **state)
{
    (void)state;
    static const struct { const char *text, *printed; } table[] = {
        { "null", "null" },
        { " true\n", "true" },
        { "[]", "[]" },
        { "{ }", "{}" },
        { "[1,[2,[3]],{}]", "[1,[2,[3]],{}]" },
        { "{\"z\":1,\"a\":{\"n\":null},\"m\":[false]}", "{\"z\":1,\"a\":{\"n\":null},\"m\":[false]}" },
        { "{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}" }, /* the last wins, the place stays */
        { "\"\\u00e9\\ud83d\\ude00\\/\\\"\\\\\\b\\f\\n\\r\\t\"",
          "\"\xc3\xa9\xf0\x9f\x98\x80/\\\"\\\\\\b\\f\\n\\r\\t\"" },
        { "\"\\u0000\\u001f\\u007f\"", "\"\\u0000\\u001f\\u007f\"" },
        { "\"\\uFFFF\\u0800\\u07ff\"", "\"\xef\xbf\xbf\xe0\xa0\x80\xdf\xbf\"" },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        expect_round(table[i].text, table[i].printed);
}

static void refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", " ", "nul", "True", "NaN", "Infinity", "-Infinity", "[1,]", "[,1]", "[1 2]", "{\"a\":1,}", "{\"a\" 1}",
        "{a:1}", "{\"a\":}", "{1:2}", "[", "{", "{\"a\"", "{\"a\":", "[1", "]", "1 2", "null null", "{}x", "'a'",
        "\"a", "\"\\x41\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\ude00\"", "\"\\ud800\\u0041\"",
        "\"\\ud83d", "\"\\", "\"a\nb\"", "\"tab\there\"", "01", "-", "-a", "+1", "1.", ".5", "1.e5", "1e", "1e+",
        "0x10", "--1", "-01", "1e999", "-1e400",
        "// c\n1", "/* c */1", "1 // c", "{\"a\\u0000b\":1}", "\xef\xbb\xbf{}",
        "\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "[\"\xe2\x82\"]",
    };
    uint64_t held = qs_mem_in_use();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct qs_json *v = NULL;
        struct qs_err e = QS_ERR_INIT;
        if (qs_json_parse(bad[i], strlen(bad[i]), &v, &e) != QS_EFORMAT)
            fail_msg("accepted: %s", bad[i]);
        assert_null(v);
        assert_non_null(strstr(e.msg, "offset"));
    }
    struct qs_json *v;
    struct qs_err e;
    assert_int_equal(qs_json_parse("1\0", 2, &v, &e), QS_EFORMAT);
    assert_int_equal(qs_json_parse("\"\0\"", 3, &v, &e), QS_EFORMAT);
    assert_int_equal(qs_json_parse("[1]]", 3, &v, &e), QS_OK); /* the length counts, not a terminator */
    qs_json_free(v);
    assert_int_equal(qs_mem_in_use(), held);
}

static void errors_say_where(void **state)
{
    (void)state;
    struct qs_json *v;
    struct qs_err e;
    const char *text = "{\n  \"a\": 1,\n  \"b\": tru\n}";
    assert_int_equal(qs_json_parse(text, strlen(text), &v, &e), QS_EFORMAT);
    assert_non_null(strstr(e.msg, "line 3"));
    assert_non_null(strstr(e.msg, "offset 19"));
}

static void depth_is_bounded(void **state)
{
    (void)state;
    static char text[400000];
    struct qs_json *v;
    struct qs_err e;
    for (int depth = 63; depth <= 66; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        int rc = qs_json_parse(text, 2 * (size_t)depth, &v, &e);
        assert_int_equal(rc, depth <= 64 ? QS_OK : QS_ELIMIT);
        qs_json_free(v);
    }
    memset(text, '[', sizeof text);
    assert_int_equal(qs_json_parse(text, sizeof text, &v, &e), QS_ELIMIT);
    for (size_t i = 0; i + 5 <= sizeof text; i += 5)
        memcpy(text + i, "{\"\":[", 5);
    assert_int_equal(qs_json_parse(text, sizeof text, &v, &e), QS_ELIMIT);
    /* Many siblings are no depth. */
    for (size_t i = 1; i + 3 < sizeof text; i += 3)
        memcpy(text + i, "[],", 3);
    text[0] = '[';
    memcpy(text + 300001, "1]", 2);
    assert_int_equal(qs_json_parse(text, 300003, &v, &e), QS_OK);
    assert_int_equal(qs_json_len(v), 100001);
    qs_json_free(v);
}

static void numbers_keep_their_digits(void **state)
{
    (void)state;
    static const struct { const char *text, *printed; enum qs_json_type type; } table[] = {
        { "0", "0", QS_JSON_INT },
        { "-0", "-0.0", QS_JSON_DOUBLE },
        { "9223372036854775807", "9223372036854775807", QS_JSON_INT },
        { "-9223372036854775808", "-9223372036854775808", QS_JSON_INT },
        { "9223372036854775808", "9223372036854775808", QS_JSON_INT },
        { "18446744073709551615", "18446744073709551615", QS_JSON_INT },
        { "18446744073709551616", "1.8446744073709552e+19", QS_JSON_DOUBLE },
        { "-9223372036854775809", "-9.223372036854776e+18", QS_JSON_DOUBLE },
        { "1000000000000000019884624838656", "1e+30", QS_JSON_DOUBLE },
        { "0.1", "0.1", QS_JSON_DOUBLE },
        { "1.0", "1.0", QS_JSON_DOUBLE },
        { "1E2", "100.0", QS_JSON_DOUBLE },
        { "0.30000000000000004", "0.30000000000000004", QS_JSON_DOUBLE },
        { "5e-324", "5e-324", QS_JSON_DOUBLE },
        { "1e-400", "0.0", QS_JSON_DOUBLE },
        { "1.7976931348623157e308", "1.7976931348623157e+308", QS_JSON_DOUBLE },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct qs_json *v = parse(table[i].text);
        assert_int_equal(qs_json_type(v), table[i].type);
        struct qs_str s = QS_STR_INIT;
        assert_true(qs_json_print(v, false, &s));
        assert_string_equal(s.data, table[i].printed);
        struct qs_json *again = parse(s.data);
        double a = qs_json_num(v, 7), b = qs_json_num(again, 8);
        assert_memory_equal(&a, &b, sizeof a);
        qs_json_free(again);
        qs_str_free(&s);
        qs_json_free(v);
    }
    struct qs_json *v = parse("[18446744073709551615, 2.0, 2.5, -1, 1e30, \"7\", true, 9223372036854775807]");
    assert_true(qs_json_uint(qs_json_at(v, 0), 1) == UINT64_MAX);
    assert_int_equal(qs_json_int(qs_json_at(v, 0), -7), -7);
    assert_true(qs_json_num(qs_json_at(v, 0), 0) > 1.8e19);
    assert_int_equal(qs_json_int(qs_json_at(v, 1), -7), 2);
    assert_int_equal(qs_json_int(qs_json_at(v, 2), -7), -7);
    assert_int_equal(qs_json_int(qs_json_at(v, 3), -7), -1);
    assert_int_equal(qs_json_uint(qs_json_at(v, 3), 7), 7);
    assert_int_equal(qs_json_int(qs_json_at(v, 4), -7), -7);
    assert_int_equal(qs_json_int(qs_json_at(v, 5), -7), -7);
    assert_int_equal(qs_json_int(qs_json_at(v, 6), -7), -7);
    assert_true(qs_json_int(qs_json_at(v, 7), -7) == INT64_MAX);
    qs_json_free(v);
}

static void doubles_round_trip(void **state)
{
    (void)state;
    uint64_t x = 12345;
    for (int i = 0; i < 3000; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        double d, back;
        memcpy(&d, &x, sizeof d);
        if (isnan(d) || isinf(d))
            continue;
        struct qs_json *v = qs_json_array();
        struct qs_str s = QS_STR_INIT;
        assert_true(qs_json_add_num(v, NULL, d));
        assert_true(qs_json_print(v, false, &s));
        struct qs_json *again = parse(s.data);
        assert_int_equal(qs_json_type(qs_json_at(again, 0)), QS_JSON_DOUBLE);
        back = qs_json_num(qs_json_at(again, 0), 0);
        assert_memory_equal(&d, &back, sizeof d);
        qs_json_free(again);
        qs_json_free(v);
        qs_str_free(&s);
    }
}

static void the_locale_does_not_matter(void **state)
{
    (void)state;
    static const char *const names[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "ps_AF" };
    bool set = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !set; i++)
        set = setlocale(LC_ALL, names[i]) && strcmp(localeconv()->decimal_point, ".") != 0;
    if (!set)
        skip(); /* no locale with a decimal comma is installed */
    expect_round("[1.5,2.25e-7]", "[1.5,2.25e-07]");
    setlocale(LC_ALL, "C");
}

static void builds(void **state)
{
    (void)state;
    struct qs_json *o = qs_json_object();
    assert_true(qs_json_add_str(o, "s", "text"));
    assert_true(qs_json_add_strn(o, "n", "a\0b", 3));
    assert_true(qs_json_add_int(o, "i", INT64_MIN));
    assert_true(qs_json_add_uint(o, "u", UINT64_MAX));
    assert_true(qs_json_add_num(o, "d", 5));
    assert_true(qs_json_add_num(o, "nan", (double)NAN));
    assert_true(qs_json_add_num(o, "inf", -(double)INFINITY));
    assert_true(qs_json_add_bool(o, "t", true));
    assert_true(qs_json_add_null(o, "z"));
    struct qs_json *a = qs_json_add_array(o, "list");
    assert_true(qs_json_add_str(a, NULL, "x"));
    assert_non_null(qs_json_add_object(a, NULL));
    assert_true(qs_json_add_int(qs_json_add_object(a, NULL), "k", 1));
    assert_true(qs_json_add_str(o, "\xff", "bad \xc3( end\xe2\x82"));
    expect_print(o, false,
                 "{\"s\":\"text\",\"n\":\"a\\u0000b\",\"i\":-9223372036854775808,\"u\":18446744073709551615,\"d\":5.0,"
                 "\"nan\":null,\"inf\":null,\"t\":true,\"z\":null,\"list\":[\"x\",{},{\"k\":1}],"
                 "\"\xef\xbf\xbd\":\"bad \xef\xbf\xbd( end\xef\xbf\xbd\xef\xbf\xbd\"}");
    assert_int_equal(qs_json_len(qs_json_get(o, "n")), 3);
    qs_json_free(o);
}

static void pretty_text(void **state)
{
    (void)state;
    struct qs_json *v = parse("{\"a\":[1,{\"b\":null}],\"c\":[],\"d\":{}}");
    expect_print(v, true,
                 "{\n  \"a\": [\n    1,\n    {\n      \"b\": null\n    }\n  ],\n  \"c\": [],\n  \"d\": {}\n}\n");
    qs_json_free(v);
}

static void misuse_does_nothing(void **state)
{
    (void)state;
    assert_null(qs_json_add_object(NULL, "a"));
    assert_null(qs_json_add_array(NULL, NULL));
    assert_false(qs_json_add_str(NULL, "a", "b"));
    assert_false(qs_json_add_int(qs_json_add_object(NULL, "a"), "b", 1));
    struct qs_json *o = qs_json_object(), *a = qs_json_array();
    assert_false(qs_json_add_int(o, NULL, 1));
    assert_false(qs_json_add_int(a, "key", 1));
    assert_int_equal(qs_json_len(o), 0);
    assert_int_equal(qs_json_len(a), 0);
    assert_null(qs_json_at(o, 0));
    assert_null(qs_json_at(a, 0));
    assert_null(qs_json_get(a, "x"));
    assert_null(qs_json_get(NULL, "x"));
    assert_null(qs_json_key_at(o, 0, NULL));
    assert_int_equal(qs_json_type(NULL), QS_JSON_NULL);
    assert_string_equal(qs_json_str(NULL, "otherwise"), "otherwise");
    assert_true(qs_json_bool(NULL, true));
    qs_json_free(o);
    qs_json_free(a);
    qs_json_free(NULL);
}

static void null_is_not_absent(void **state)
{
    (void)state;
    struct qs_json *v = parse("{\"here\":null,\"list\":[null]}"), *only = parse("null");
    const struct qs_json *here = qs_json_get(v, "here");
    assert_non_null(here);
    assert_int_equal(qs_json_type(here), QS_JSON_NULL);
    assert_null(qs_json_get(v, "there"));
    assert_non_null(qs_json_at(qs_json_get(v, "list"), 0));
    assert_null(qs_json_at(qs_json_get(v, "list"), 1));
    assert_non_null(only);
    assert_false(qs_json_add_int(only, "x", 1));
    qs_json_free(only);
    qs_json_free(v);
}

static void members_in_order(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct qs_str s = QS_STR_INIT;
    for (int i = 0; i < COUNT; i++)
        qs_str_addf(&s, "%s\"key%d\":%d", i ? "," : "{", (i * 7919) % COUNT, i);
    qs_str_addc(&s, '}');
    struct qs_json *v = parse(s.data);
    assert_int_equal(qs_json_len(v), COUNT);
    for (int i = 0; i < COUNT; i++) { /* quick enough only when a member is found without walking */
        const struct qs_json *item = NULL;
        char key[24];
        (void)snprintf(key, sizeof key, "key%d", (i * 7919) % COUNT);
        if (strcmp(qs_json_key_at(v, (size_t)i, &item), key) != 0 || qs_json_int(item, -1) != i)
            fail_msg("member %d", i);
        if (qs_json_get(v, key) != item)
            fail_msg("member %s", key);
    }
    assert_null(qs_json_key_at(v, COUNT, NULL));
    /* A change after reading makes no stale answers. */
    assert_true(qs_json_add_int(v, "new", 1));
    assert_string_equal(qs_json_key_at(v, COUNT, NULL), "new");
    assert_string_equal(qs_json_key_at(v, 1, NULL), "key7919");
    qs_json_free(v);
    qs_str_free(&s);
}

static int read_and_print(void *ctx, struct qs_err *e)
{
    struct qs_json *v;
    struct qs_str s = QS_STR_INIT;
    int rc = qs_json_parse(ctx, strlen(ctx), &v, e);
    if (!rc && !qs_json_print(v, true, &s))
        rc = qs_fail_mem(e, s.len, "text");
    qs_json_free(v);
    qs_str_free(&s);
    return rc;
}

static void memory_runs_out(void **state)
{
    (void)state;
    char text[] = "{\"a\":[1,2.5,\"a longer string than the others are, so that it needs memory\",{\"b\":null}],"
                  "\"1\":1,\"2\":2,\"3\":3,\"4\":4,\"5\":5,\"6\":6,\"7\":7,\"8\":8,\"9\":9,\"10\":10,\"11\":1,"
                  "\"12\":1,\"13\":1,\"14\":1,\"15\":1,\"16\":1}";
    qs_test_each_alloc(read_and_print, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts),             cmocka_unit_test(refuses),
        cmocka_unit_test(errors_say_where),    cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(numbers_keep_their_digits), cmocka_unit_test(doubles_round_trip),
        cmocka_unit_test(the_locale_does_not_matter), cmocka_unit_test(builds),
        cmocka_unit_test(pretty_text),         cmocka_unit_test(misuse_does_nothing),
        cmocka_unit_test(null_is_not_absent),  cmocka_unit_test(members_in_order),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
