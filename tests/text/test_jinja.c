/* test_jinja.c - the template language, case by case against Jinja2; where errors are said to be; the bounds. */
#include "tests/lib/qs_test.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/text/jinja/jinja.h"

static int run(const char *source, size_t n, const struct qs_json *variables, struct qs_str *out, struct qs_err *e)
{
    struct qs_jinja *t = NULL;
    struct qs_jinja_run args = { .variables = variables, .now = 1768478400 };
    int rc = qs_jinja_compile(source, n, &t, e);
    if (!rc)
        rc = qs_jinja_render(t, &args, out, e);
    qs_jinja_free(t);
    return rc;
}

static struct qs_json *goldens(void)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_json *all = NULL;
    char *text = NULL;
    size_t n = 0;
    if (qs_file_read(qs_test_src("tests/text/data/jinja.json"), 1 << 20, &text, &n, &e) ||
        qs_json_parse(text, n, &all, &e))
        fail_msg("%s", e.msg);
    qs_free(text);
    return all;
}

/* Same text, or refused by both. */
static void as_jinja2(void **state)
{
    struct qs_json *all = goldens();
    const struct qs_json *cases = qs_json_get(all, "cases"), *variables = qs_json_get(all, "variables");
    size_t bad = 0;
    (void)state;
    assert_true(qs_json_len(cases) > 500);
    for (size_t i = 0; i < qs_json_len(cases); i++) {
        struct qs_str out = QS_STR_INIT;
        struct qs_err e = QS_ERR_INIT;
        const struct qs_json *c = qs_json_at(cases, i), *source = qs_json_at(c, 0), *want = qs_json_at(c, 1);
        int rc = run(qs_json_str(source, ""), qs_json_len(source), variables, &out, &e);
        const char *text = qs_json_str(want, NULL);
        bool same = text ? !rc && out.len == qs_json_len(want) && memcmp(out.data, text, out.len) == 0 : rc != 0;
        if (!same)
            print_message("%s\n    wanted: %s\n    got:    %s\n", qs_json_str(source, ""), text ? text : "(refused)",
                          rc ? e.msg : out.data);
        bad += !same;
        qs_str_free(&out);
    }
    qs_json_free(all);
    assert_int_equal(bad, 0);
}

/* --- errors ------------------------------------------------------------------------------------------------------- */

static void says(const char *source, enum qs_code code, const char *message)
{
    struct qs_str out = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    qs_str_add(&out, "kept");
    assert_int_equal(run(source, strlen(source), NULL, &out, &e), code);
    assert_string_equal(e.msg, message);
    assert_string_equal(out.data, "kept");
    qs_str_free(&out);
}

static void errors(void **state)
{
    (void)state;
    says("a\n {{ x.y }}", QS_EFORMAT, "'x' is undefined (line 2, column 6)");
    says("\xC3\xA9{{ {'a': 1}.b.c }}", QS_EFORMAT, "'dict object' has no attribute 'b' (line 1, column 15)");
    says("{{ 'a' + 1 }}", QS_EFORMAT, "str + int is not possible (line 1, column 8)");
    says("{{ raise_exception('No\nway') }}", QS_EINVAL, "No?way (line 1, column 19)");
    says("{% for a in l %}", QS_EFORMAT, "'for' is not closed: {% endfor %} is missing (line 1, column 4)");
    says("{{ 1 + }}", QS_EFORMAT, "an expression expected, not }} (line 1, column 8)");
    says("{% if a b %}{% endif %}", QS_EFORMAT, "%} expected, not 'b' (line 1, column 9)");
    says("{% include 'a' %}", QS_EUNSUPPORTED,
         "the statement 'include' is not supported in chat templates (line 1, column 4)");
    says("{% for a in l recursive %}{% endfor %}", QS_EUNSUPPORTED,
         "recursive loops are not supported (line 1, column 15)");
    says("{{ x|wordwrap }}", QS_EUNSUPPORTED, "the filter 'wordwrap' is not supported (line 1, column 6)");
    says("{{ x|nope }}", QS_EUNSUPPORTED, "no filter named 'nope' (line 1, column 6)");
    says(
        "{{ [].append(1) }}", QS_EFORMAT,
        "'append' would change a list, which templates cannot (as in the sandbox of transformers) (line 1, column 13)");
    says("{{ 'a\xFF' }}", QS_EFORMAT, "not valid UTF-8 (line 1, column 6)");
    says("{{ 9223372036854775807 + 1 }}", QS_ELIMIT, "an integer needs more than 64 bits (line 1, column 24)");
    says("{{ lipsum() }}", QS_EFORMAT, "'lipsum' is undefined (line 1, column 10)");
}

/* --- bounds ------------------------------------------------------------------------------------------------------- */

static void stops(const char *source, const char *message)
{
    struct qs_str out = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    int rc = run(source, strlen(source), NULL, &out, &e);
    if (rc != QS_ELIMIT || !strstr(e.msg, message))
        fail_msg("%.60s: %d, %s", source, rc, e.msg);
    qs_str_free(&out);
}

static void stops_nested(const char *before, size_t n, const char *message)
{
    struct qs_str s = QS_STR_INIT;
    qs_str_add(&s, "{{ ");
    for (size_t i = 0; i < n; i++)
        qs_str_add(&s, before);
    qs_str_add(&s, "1 }}");
    stops(s.data, message);
    qs_str_free(&s);
}

static void bounds(void **state)
{
    (void)state;
    stops("{% set l = range(100000)|list %}{% for a in l %}{% for b in l %}{% endfor %}{% endfor %}",
          "does not come to an end");
    stops("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "levels deep");
    stops("{{ range(100001) }}", "range of more than 100000");
    stops("{{ 'aaaaaaaaaaaaaaaa' * 100000000 }}", "more than 64 MiB");
    stops("{% set n = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
          "MiB");
    stops("{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}", "MiB");
    stops("{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}",
          "levels deep");
    stops("{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x|tojson }}",
          "levels deep");
    stops("{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x == [n.x] }}",
          "levels deep");
    stops("{% set a = 'a' * 60000000 %}{{ a }}{{ a }}", "MiB");
    stops("{{ 'ab'.replace('', 'x' * 30000000) }}", "MiB");
    /* Little is asked for, much would be made: each is stopped before it is. */
    stops("{{ [[[[[[1]]]]]]|tojson(indent='x' * 60000000) }}", "tojson makes more than 64 MiB");
    stops("{{ [1, 2, 3]|tojson(separators=['x' * 60000000, ':']) }}", "tojson makes more than 64 MiB");
    stops("{{ ('{0:65535}' * 5000000).format(1) }}", "a format makes more than 64 MiB");
    stops("{{ ('%(a)65535d' * 1500000) % {'a': 1} }}", "a format makes more than 64 MiB");
    stops("{{ ([['x' * 30000000, 1]] * 9999)|urlencode }}", "urlencode makes more than 64 MiB");
    stops("{{ ('>&' * 9000000)|escape }}", "escape makes more than 64 MiB");
    stops("{{ 'a'|indent('x' * 60000000, true)|length + ('a\n' * 9)|indent('x' * 60000000)|length }}",
          "indent makes more than 64 MiB");
    stops("{{ strftime_now('%c' * 30000000) }}", "does not come to an end");
    stops("{{ ('a' * 60000000).rfind('a' * 30000000 ~ 'b') }}", "does not come to an end");
    stops("{{ ('a' * 30000000).strip('b' * 30000000 ~ 'a') }}", "does not come to an end");
    stops_nested("(", 5000, "nested too deeply");
    stops_nested("-", 5000, "levels deep");
    stops_nested("not ", 5000, "levels deep");
    stops_nested("1 if 1 else ", 5000, "levels deep");
    stops_nested("{'a':", 5000, "nested too deeply");
    struct qs_str s = QS_STR_INIT;
    for (int i = 0; i < 5000; i++)
        qs_str_add(&s, "{% if 1 %}");
    stops(s.data, "levels deep");
    qs_str_clear(&s);
    qs_str_add(&s, "{{ a");
    for (int i = 0; i < 5000; i++)
        qs_str_add(&s, ".a");
    qs_str_add(&s, " }}");
    stops(s.data, "levels deep");
    qs_str_clear(&s);
    for (int i = 0; i <= QS_JINJA_SOURCE_MAX; i++)
        qs_str_addc(&s, 'a');
    stops(s.data, "more than 1048576");
    qs_str_free(&s);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static int a_bit_of_all(void *ctx, struct qs_err *e)
{
    static const char source[] =
        "{% macro f(a, b=2) %}{{ a ~ b }}{% endmacro %}{% for i in [3, 1]|sort %}{{ f(i) }}{{ loop.last }}"
        "{% set x = {'k': [i]} %}{{ x|tojson }}{% endfor %}{{ ('%s' % 1).split('x')|join|upper }}{{ v }}";
    struct qs_str out = QS_STR_INIT;
    int rc = run(source, sizeof source - 1, ctx, &out, e);
    if (!rc)
        assert_string_equal(out.data, "12False{\"k\": [1]}32True{\"k\": [3]}1[1, 'a']");
    qs_str_free(&out);
    return rc;
}

static void no_memory(void **state)
{
    struct qs_json *v = NULL;
    (void)state;
    assert_int_equal(qs_json_parse("{\"v\": [1, \"a\"]}", 15, &v, NULL), QS_OK);
    qs_test_each_alloc(a_bit_of_all, v);
    qs_json_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_jinja2),
        cmocka_unit_test(errors),
        cmocka_unit_test(bounds),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
