/* Conversations: what may follow what, settings by name, files of ours and of others, broken ones. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/chat/talk.h"
#include "kernels/format.h"
#include "tests/lib/qs_test.h"

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        struct qs_err ok_e = QS_ERR_INIT, *e = &ok_e;                                                                  \
        if (call)                                                                                                      \
            fail_msg("%s: %s", #call, ok_e.msg);                                                                       \
    } while (0)

static struct qs_talk *fresh(void)
{
    struct qs_talk *t = NULL;
    OK(qs_talk_new(&t, e));
    return t;
}

static void say(struct qs_talk *t, const char *text)
{
    OK(qs_talk_say(t, text, strlen(text), e));
}

static void answer(struct qs_talk *t, const char *text, const char *other)
{
    OK(qs_talk_answer(t, text, strlen(text), other, other ? strlen(other) : 0, e));
}

static void test_turns(void **state)
{
    (void)state;
    struct qs_talk *t = fresh();
    struct qs_err why = QS_ERR_INIT;
    char *text = NULL;
    assert_int_equal(qs_talk_answer(t, "x", 1, NULL, 0, &why), QS_EINVAL);
    assert_int_equal(qs_talk_regenerate(t, &why), QS_EINVAL);
    assert_int_equal(qs_talk_take_back(t, &text, &why), QS_EINVAL);
    assert_int_equal(qs_talk_say_again(t, "x", 1, &why), QS_EINVAL);
    say(t, "one");
    assert_int_equal(qs_talk_say(t, "two", 3, &why), QS_EINVAL);
    answer(t, "first", "erster");
    assert_string_equal(t->message[1].other, "erster");
    assert_int_equal(qs_talk_answer(t, "x", 1, NULL, 0, &why), QS_EINVAL);
    OK(qs_talk_regenerate(t, e));
    assert_int_equal(t->n, 1);
    assert_int_equal(t->attempt, 1);
    answer(t, "second", "second");
    assert_null(t->message[1].other); /* the same is not kept twice */
    say(t, "two");
    assert_int_equal(t->attempt, 0);
    answer(t, "", NULL); /* an answer may be empty */
    OK(qs_talk_regenerate(t, e));
    answer(t, "other", NULL);
    uint64_t said = t->said;
    assert_int_equal(qs_talk_say_again(t, "", 0, &why), QS_EINVAL);
    assert_int_equal(qs_talk_say_again(t, "\xFF", 1, &why), QS_EINVAL);
    OK(qs_talk_set(t, "seed", "3", e));
    assert_true(t->said == said && t->n == 4); /* nothing was said, nothing is lost */
    OK(qs_talk_say_again(t, "too", 3, e));
    assert_true(t->said > said && t->n == 3 && t->attempt == 0);
    assert_string_equal(qs_talk_last(t, QS_TALK_USER)->text, "too");
    OK(qs_talk_say_again(t, "two", 3, e));
    OK(qs_talk_take_back(t, &text, e));
    assert_string_equal(text, "two");
    assert_int_equal(t->n, 2);
    assert_string_equal(qs_talk_last(t, QS_TALK_USER)->text, "one");
    qs_free(text);
    OK(qs_talk_system(t, "Be brief.", 9, e));
    qs_talk_clear(t);
    assert_int_equal(t->n, 0);
    assert_string_equal(t->system, "Be brief.");
    OK(qs_talk_set(t, "template", "none", e));
    say(t, "raw text");
    say(t, " goes on"); /* without a template there are no turns */
    qs_talk_free(t);
}

static void test_bad_text(void **state)
{
    (void)state;
    struct qs_talk *t = fresh();
    struct qs_err why = QS_ERR_INIT;
    assert_int_equal(qs_talk_say(t, "", 0, &why), QS_EINVAL);
    assert_non_null(strstr(why.msg, "empty"));
    assert_int_equal(qs_talk_say(t, "ab\xff", 3, &why), QS_EINVAL);
    assert_non_null(strstr(why.msg, "not valid UTF-8 at byte 3"));
    assert_int_equal(qs_talk_say(t, "a\0b", 3, &why), QS_EINVAL);
    assert_non_null(strstr(why.msg, "0 byte"));
    assert_int_equal(qs_talk_system(t, "\xc3", 1, &why), QS_EINVAL);
    char *large = qs_malloc(QS_TALK_TEXT + 1);
    memset(large, 'a', QS_TALK_TEXT + 1);
    assert_int_equal(qs_talk_say(t, large, QS_TALK_TEXT + 1, &why), QS_ELIMIT);
    qs_free(large);
    assert_int_equal(t->n, 0);
    qs_talk_free(t);
}

static const char *shown(const struct qs_talk *t, const char *name)
{
    static char buf[64];
    struct qs_str s = QS_STR_INIT;
    qs_talk_show(t, name, &s);
    snprintf(buf, sizeof buf, "%s", s.data);
    qs_str_free(&s);
    return buf;
}

static void test_settings(void **state)
{
    (void)state;
    static const struct { const char *name, *good, *bad, *shown; } row[] = {
        { "temperature", "0.5", "warm", "0.5" },  { "top-k", "7", "-3", "7" },       { "seed", "11", "x", "11" },
        { "max-tokens", "0", "-1", "0" },         { "ctx", "128", "12x", "128" },    { "cache-type-k", "q8_0", "Q4_K",
                                                                                       "Q8_0" },
        { "cache_type_v", "f32", "int", "F32" },  { "rotate-cache", "yes", "2", "on" }, { "template", "chatml",
                                                                                          "chatmal", "chatml" },
        { "template", "model", "file", "model" }, { "temp", "0.25", "warm", "0.25" },
    };
    struct qs_talk *t = fresh();
    struct qs_talk_setting s;
    size_t n = 0;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct qs_err why = QS_ERR_INIT;
        OK(qs_talk_set(t, row[i].name, row[i].good, e));
        const uint64_t version = t->version;
        assert_int_equal(qs_talk_set(t, row[i].name, row[i].bad, &why), QS_EINVAL);
        assert_true(t->version == version && why.msg[0]);
        assert_string_equal(shown(t, row[i].name), row[i].shown);
    }
    struct qs_err why = QS_ERR_INIT;
    assert_int_equal(qs_talk_set(t, "temperatur", "1", &why), QS_ENOTFOUND);
    assert_non_null(strstr(why.msg, "temperature"));
    assert_true(t->settings.sampler.temperature == 0.25); /* "temp" is another name of it */
    assert_int_equal(qs_talk_set(t, "template", "nothing", &why), QS_EINVAL);
    assert_non_null(strstr(why.msg, "built-in: harmony, "));
    assert_non_null(strstr(why.msg, ", plain)"));
    for (; qs_talk_setting_at(n, &s); n++) /* all of them can be read back as they are shown */
        OK(qs_talk_set(t, s.name, shown(t, s.key), e));
    assert_true(n >= 15);
    qs_talk_free(t);
}

static void test_files(void **state)
{
    (void)state;
    struct qs_talk *t = fresh(), *u = fresh();
    char path[1024];
    snprintf(path, sizeof path, "%s", qs_test_tmp_path("talk.json"));
    OK(qs_talk_system(t, "Sei kurz: \xc3\xa4\n\"x\"", 16, e));
    say(t, "one");
    answer(t, "first", "erster");
    say(t, "two");
    answer(t, "", NULL);
    OK(qs_talk_regenerate(t, e));
    OK(qs_talk_set(t, "temperature", "0.3", e));
    OK(qs_talk_set(t, "cache-type-v", "Q4_0", e));
    OK(qs_talk_set_template(t, "{{ messages[0].content }}", 25, e));
    OK(qs_talk_save(t, path, false, e));
    struct qs_err why = QS_ERR_INIT;
    assert_int_equal(qs_talk_save(t, path, false, &why), QS_EEXISTS);
    OK(qs_talk_load(u, path, e));
    assert_int_equal(u->n, 3);
    assert_string_equal(u->system, t->system);
    assert_string_equal(u->message[1].other, "erster");
    assert_string_equal(u->template_source, t->template_source);
    assert_string_equal(u->settings.form, "file");
    assert_true(u->settings.sampler.temperature == 0.3 && u->settings.type_v == QS_Q4_0 && u->attempt == 1);
    qs_talk_free(t);
    qs_talk_free(u);
}

static int load(struct qs_talk *t, const char *text, struct qs_err *e)
{
    return qs_talk_load(t, qs_test_file("in.json", text, strlen(text)), e);
}

static void test_import(void **state)
{
    (void)state;
    struct qs_talk *t = fresh();
    OK(qs_talk_set(t, "seed", "5", e));
    OK(load(t, "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"Q\"},"
               "{\"role\":\"assistant\",\"content\":\"A\"}]", e));
    assert_true(t->n == 2 && strcmp(t->system, "S") == 0 && strcmp(t->message[1].text, "A") == 0);
    assert_int_equal(t->settings.sampler.seed, 5); /* a plain list leaves the settings alone */
    OK(load(t, "{\"messages\":[{\"role\":\"user\",\"content\":\"only\"}],\"model\":\"x\"}", e));
    assert_true(t->n == 1 && !*t->system);
    OK(load(t, "{\"quantscape\":\"conversation\",\"version\":1,\"messages\":[{\"role\":\"user\","
               "\"content\":\"A\"}]}", e)); /* ours, with neither a system prompt nor settings */
    assert_true(t->n == 1 && !*t->system && t->settings.sampler.seed != 5);
    qs_talk_free(t);
}

static void test_broken_files(void **state)
{
    (void)state;
    static const struct { const char *text, *says; } bad[] = {
        { "", "" },
        { "{\"quantscape\": \"conversation\", \"version\": 1", "" },
        { "17", "no list of messages" },
        { "{}", "no list of messages" },
        { "{\"quantscape\":\"comparison\",\"version\":1}", "no conversation" },
        { "{\"quantscape\":\"conversation\",\"version\":2,\"system\":\"\",\"messages\":[]}", "version 2" },
        { "{\"quantscape\":\"conversation\",\"version\":1,\"system\":5,\"messages\":[]}", "system is not a text" },
        { "{\"quantscape\":\"conversation\",\"version\":1,\"system\":\"\",\"settings\":{\"top_k\":\"many\"},\"messages\":[]}",
          "settings.top_k" },
        { "{\"quantscape\":\"conversation\",\"version\":1,\"system\":\"\",\"settings\":{\"nose\":1},\"messages\":[]}",
          "settings.nose" },
        { "{\"quantscape\":\"conversation\",\"version\":1,\"system\":\"\",\"settings\":[],\"messages\":[]}",
          "settings" },
        { "[{\"role\":\"user\"}]", "content of message 1 is missing" },
        { "[{\"role\":\"user\",\"content\":[]}]", "content of message 1 is not a text" },
        { "[{\"role\":\"tool\",\"content\":\"x\"}]", "'tool'" },
        { "[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"system\",\"content\":\"x\"}]", "message 2" },
        { "[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]", "0 byte" },
        { "[\"x\"]", "message 1" },
    };
    struct qs_talk *t = fresh();
    say(t, "stays");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct qs_err why = QS_ERR_INIT;
        if (load(t, bad[i].text, &why) == QS_OK)
            fail_msg("taken: %s", bad[i].text);
        if (!strstr(why.msg, bad[i].says) || !strstr(why.msg, "in.json"))
            fail_msg("%s: '%s' does not say '%s'", bad[i].text, why.msg, bad[i].says);
        assert_true(t->n == 1 && strcmp(t->message[0].text, "stays") == 0);
    }
    struct qs_err why = QS_ERR_INIT;
    assert_int_equal(qs_talk_load(t, "nowhere.json", &why), QS_ENOTFOUND);
    qs_talk_free(t);
}

static int whole_life(void *ctx, struct qs_err *e)
{
    struct qs_talk *t = NULL;
    (void)ctx;
    int rc = qs_talk_new(&t, e);
    if (!rc)
        rc = qs_talk_say(t, "one", 3, e);
    if (!rc)
        rc = qs_talk_answer(t, "two", 3, "three", 5, e);
    if (!rc)
        rc = qs_talk_system(t, "s", 1, e);
    qs_talk_free(t);
    return rc;
}

static void test_no_memory(void **state)
{
    (void)state;
    qs_test_each_alloc(whole_life, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns),  cmocka_unit_test(test_bad_text), cmocka_unit_test(test_settings),
        cmocka_unit_test(test_files),  cmocka_unit_test(test_import),   cmocka_unit_test(test_broken_files),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
