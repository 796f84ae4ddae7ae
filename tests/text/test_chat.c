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

/* --- published templates ------------------------------------------------------------------------------------------ */

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
            fail_msg("%s, %s: %s", qs_json_str(qs_json_get(c, "template"), ""), qs_json_str(qs_json_get(c, "case"), ""),
                     e.msg);
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

/* --- built-in forms ----------------------------------------------------------------------------------------------- */

static const struct qs_chat_message talk[] = {
    { "system", "Be brief." }, { "user", " Hi " }, { "assistant", "Hello." }, { "user", "Bye" },
};

static const struct { const char *name, *text;
} forms[] = {
    { "chatml",
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\nHello."
      "<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n" },
    { "llama3",
      "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>"
      "\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|><|start_header_id|>user"
      "<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n" },
    { "gemma", "<s><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello.<end_of_turn>\n"
               "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n" },
    { "mistral", "<s>[INST]  Hi [/INST] Hello.</s>[INST] Be brief.\n\nBye[/INST]" },
    { "llama2", "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] Bye [/INST]" },
    { "phi3",
      "<|system|>\nBe brief.<|end|>\n<|user|>\n Hi <|end|>\n<|assistant|>\nHello.<|end|>\n<|user|>\nBye<|end|>\n"
      "<|assistant|>\n" },
    { "zephyr",
      "<|system|>\nBe brief.</s>\n<|user|>\n Hi </s>\n<|assistant|>\nHello.</s>\n<|user|>\nBye</s>\n<|assistant|>\n" },
    { "granite",
      "<|start_of_role|>system<|end_of_role|>Be brief.<|end_of_text|>\n<|start_of_role|>user<|end_of_role|> Hi "
      "<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>Hello.<|end_of_text|>\n<|start_of_role|>user"
      "<|end_of_role|>Bye<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>" },
    { "deepseek",
      "<s>Be brief.<\uFF5CUser\uFF5C> Hi <\uFF5CAssistant\uFF5C>Hello.<\uFF5Cend\u2581of\u2581sentence\uFF5C>"
      "<\uFF5CUser\uFF5C>Bye<\uFF5CAssistant\uFF5C>" },
    { "plain", "<s>System: Be brief.\n\nUser:  Hi \n\nAssistant: Hello.\n\nUser: Bye\n\nAssistant:" },
};

static void built_in(void **state)
{
    const struct qs_chat_args a = {
        .messages = talk, .n_messages = 4, .add_generation_prompt = true, .bos_token = "<s>", .eos_token = "</s>"
    };
    size_t n, seen = 0;
    const struct qs_chat_builtin *rows = qs_chat_builtins(&n);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        struct qs_chat_template *t = NULL;
        struct qs_err e = QS_ERR_INIT;
        struct qs_str out = QS_STR_INIT;
        if (qs_chat_template_builtin(rows[i].name, &t, &e) || qs_chat_render(t, &a, &out, &e))
            fail_msg("%s: %s", rows[i].name, e.msg);
        assert_non_null(strstr(out.data, "Be brief."));
        assert_true(strstr(out.data, "Hi") < strstr(out.data, "Hello.") &&
                    strstr(out.data, "Hello.") < strstr(out.data, "Bye"));
        for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
            if (strcmp(forms[k].name, rows[i].name) != 0)
                continue;
            assert_string_equal(out.data, forms[k].text);
            seen++;
        }
        qs_str_free(&out);
        qs_chat_template_free(t);
    }
    assert_int_equal(seen, sizeof forms / sizeof *forms);
}

static bool has(const void *vocabulary, const char *token)
{
    return strstr(vocabulary, token) != NULL;
}

static void guess(void **state)
{
    struct qs_chat_template *t = NULL;
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    assert_string_equal(qs_chat_template_guess(has, "<|im_start|> <|im_end|>"), "chatml");
    assert_string_equal(qs_chat_template_guess(has, "<|im_start|> <|im_sep|>"), "phi4");
    assert_string_equal(qs_chat_template_guess(has, "<|end|> <|user|>"), "phi3");
    assert_string_equal(qs_chat_template_guess(has, "<|end|> <|channel|>"), "harmony");
    assert_string_equal(qs_chat_template_guess(has, "<s> </s>"), "plain");
    assert_int_equal(qs_chat_template_builtin("chatlm", &t, &e), QS_ENOTFOUND);
    assert_string_equal(e.msg, "no built-in chat template is named 'chatlm'; did you mean chatml? "
                        "(harmony, phi4, chatml, llama3, gemma, granite, deepseek, command-r, phi3, mistral, llama2, "
                        "zephyr, tulu, vicuna, plain)");
    assert_null(t);
}

/* --- what a template is given ------------------------------------------------------------------------------------- */

static void given(const char *source, const struct qs_chat_args *a, const char *want)
{
    struct qs_str out = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    if (render(source, a, &out, &e))
        fail_msg("%s: %s", source, e.msg);
    assert_string_equal(out.data, want);
    qs_str_free(&out);
}

static void variables(void **state)
{
    struct qs_json *extra = NULL;
    struct qs_err e = QS_ERR_INIT;
    struct qs_chat_args a = { .messages = talk, .n_messages = 2, .now = 0 };
    static const char json[] = "{\"tools\": [1], \"add_generation_prompt\": 7, \"enable_thinking\": false}";
    (void)state;
    given("{{ tools is none and documents is none and bos_token is undefined }} {{ messages[0].content }}", &a,
          "True Be brief.");
    given("{{ add_generation_prompt }} {{ strftime_now('%Y') }}", &a, "False 1970");
    a.now = -1;
    given("{{ strftime_now('%c') }}", &a, "Wed Dec 31 23:59:59 1969");
    a.bos_token = "B";
    assert_int_equal(qs_json_parse(json, sizeof json - 1, &extra, &e), QS_OK);
    a.extra = extra;
    given("{{ bos_token }} {{ tools }} {{ add_generation_prompt }} {{ enable_thinking }}", &a, "B [1] 7 False");
    qs_json_free(extra);
    a.extra = NULL;
    a.messages = (const struct qs_chat_message[]){ { "user", "a\xFF" "b" } };
    a.n_messages = 1;
    given("{{ messages[0].content }}", &a, "a\xEF\xBF\xBD" "b");
    a.n_messages = 0;
    given("{{ messages }}", &a, "[]");
}

static void where(void **state)
{
    struct qs_str out = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    const struct qs_chat_args a = { .messages = talk, .n_messages = 1 };
    (void)state;
    assert_int_equal(render("{% if %}", &a, &out, &e), QS_EFORMAT);
    assert_string_equal(e.msg, "chat template: an expression expected, not %} (line 1, column 7)");
    assert_int_equal(render("\n{{ messages[1].role }}", &a, &out, &e), QS_EFORMAT);
    assert_string_equal(e.msg, "list object has no element 1 (line 2, column 15)");
    assert_string_equal(out.data, "");
}

static int once(void *ctx, struct qs_err *e)
{
    struct qs_str out = QS_STR_INIT;
    const struct qs_chat_args a = { .messages = talk, .n_messages = 4, .bos_token = "<s>", .eos_token = "</s>" };
    int rc = render(ctx, &a, &out, e);
    qs_str_free(&out);
    return rc;
}

static void no_memory(void **state)
{
    static char source[] = "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}";
    (void)state;
    qs_test_each_alloc(once, source);
}

/* --- by hand ------------------------------------------------------------------------------------------------------ */

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
        cmocka_unit_test(built_in),
        cmocka_unit_test(guess),
        cmocka_unit_test(variables),
        cmocka_unit_test(where),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
