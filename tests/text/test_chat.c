/* test_chat.c - chat templates: published ones against Jinja2's text, the built-in forms, what a template is given.
 *
 * `test_chat render` reads cases from its input instead (see tests/oracle/check_templates.py). */
#include "tests/lib/qs_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/text/chat.h"

static char *read_file(const char *path, size_t *n)
{
    struct qs_str s = QS_STR_INIT;
    char buf[65536];
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot open %s", path);
    for (size_t k; (k = fread(buf, 1, sizeof buf, f)) > 0;)
        qs_str_addn(&s, buf, k);
    fclose(f);
    *n = s.len;
    return qs_str_take(&s);
}

static int render(const char *source, const struct qs_chat_args *a, struct qs_str *out, struct qs_err *e)
{
    struct qs_chat_template *t = NULL;
    int rc = qs_chat_template_new(source, strlen(source), &t, e);
    if (!rc)
        rc = qs_chat_render(t, a, out, e);
    qs_chat_template_free(t);
    return rc;
}

static const char *folder; /* of the published templates */

/* --- published templates --------------------------------------------------------------------------------------------- */

static void one_case(const struct qs_json *c, const char *source, size_t *refused)
{
    struct qs_str out = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_chat_args a = {
        .messages_json = qs_json_get(c, "messages"),
        .add_generation_prompt = qs_json_bool(qs_json_get(c, "add_generation_prompt"), false),
        .bos_token = qs_json_str(qs_json_get(c, "bos_token"), NULL),
        .eos_token = qs_json_str(qs_json_get(c, "eos_token"), NULL),
        .now = 1768478400, /* 2026-01-15T12:00:00, the clock of all cases */
    };
    assert_string_equal(qs_json_str(qs_json_get(c, "now"), ""), "2026-01-15T12:00:00");
    int rc = render(source, &a, &out, &e);
    if (qs_json_get(c, "expected")) {
        if (rc)
            fail_msg("%s, %s: %s", qs_json_str(qs_json_get(c, "template"), ""), qs_json_str(qs_json_get(c, "case"), ""), e.msg);
        assert_string_equal(out.data, qs_json_str(qs_json_get(c, "expected"), ""));
    } else {
        const char *words = qs_json_str(qs_json_get(c, "error"), "?");
        assert_int_equal(rc, QS_EINVAL);
        assert_memory_equal(e.msg, words, strlen(words));
        assert_non_null(strstr(e.msg + strlen(words), " (line "));
        ++*refused;
    }
    qs_str_free(&out);
}

static void published(void **state)
{
    char path[4096];
    size_t n = 0, refused = 0;
    (void)state;
    struct qs_json *cases = NULL;
    snprintf(path, sizeof path, "%s/cases.json", folder);
    char *text = read_file(path, &n);
    assert_int_equal(qs_json_parse(text, n, &cases, NULL), QS_OK);
    qs_free(text);
    assert_true(qs_json_len(cases) >= 40);
    for (size_t i = 0; i < qs_json_len(cases); i++) {
        const struct qs_json *c = qs_json_at(cases, i);
        snprintf(path, sizeof path, "%s/%s", folder, qs_json_str(qs_json_get(c, "template"), ""));
        char *source = read_file(path, &n);
        one_case(c, source, &refused);
        qs_free(source);
    }
    assert_int_equal(refused, 1);
    qs_json_free(cases);
}

/* --- by hand --------------------------------------------------------------------------------------------------------- */

static void answer(const char *line, size_t n)
{
    struct qs_json *job = NULL, *reply = qs_json_object();
    struct qs_str out = QS_STR_INIT, text = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    int rc = qs_json_parse(line, n, &job, &e);
    const struct qs_json *args = qs_json_get(job, "args");
    struct qs_chat_args a = { .messages_json = qs_json_get(args, "messages"), .extra = args,
                              .now = qs_json_int(qs_json_get(job, "now"), 0) };
    if (!rc)
        rc = render(qs_json_str(qs_json_get(job, "template"), ""), &a, &out, &e);
    if (rc)
        qs_json_add_str(reply, "error", e.msg);
    else
        qs_json_add_strn(reply, "text", out.data, out.len);
    qs_json_print(reply, false, &text);
    puts(text.data);
    qs_str_free(&out);
    qs_str_free(&text);
    qs_json_free(reply);
    qs_json_free(job);
}

static int by_hand(void)
{
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;)
        answer(line, (size_t)n);
    free(line);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "render") == 0)
        return by_hand();
    static char path[4096];
    snprintf(path, sizeof path, "%s", qs_test_data("templates"));
    folder = path;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
