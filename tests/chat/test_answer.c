/* Answers as data, without models: files and their hostile forms, copies that grow, replays that are paced and
 * stopped, the marks below a text. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/chat/answer_internal.h"
#include "core/chat/chat_run.h"
#include "core/report/report_chat.h"
#include "tests/lib/qs_test.h"

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        struct qs_err ok_e = QS_ERR_INIT, *e = &ok_e;                                                                  \
        if (call)                                                                                                      \
            fail_msg("%s: %s", #call, ok_e.msg);                                                                       \
    } while (0)

struct token { int32_t id; const char *text; double kld; bool flip; };

static void add(struct qs_answer *a, size_t k, const struct token *x, double seconds)
{
    struct qs_answer_side *s = &a->side[k];
    struct qs_answer_token t = { .token = x->id, .p = 0.5, .seconds = seconds, .kld = x->kld, .flip = x->flip,
                                 .n_best = 2 };
    OK(qs_answer_add_piece(a, x->text, strlen(x->text), &t.piece, e));
    t.best[0] = (struct qs_answer_candidate){ x->id, t.piece, 0.5 };
    t.best[1] = (struct qs_answer_candidate){ x->id + 1, t.piece, 0.25 };
    OK(qs_answer_add_text(s, x->text, strlen(x->text), e));
    t.text_end = s->text_len;
    OK(qs_answer_add_token(s, &t, e));
    if (k == 1)
        qs_answer_count(a, s->n - 1);
    qs_answer_part(a);
}

/* Two sides that say the same four tokens, but for the last one in free mode. */
static struct qs_answer *two_sides(bool follow)
{
    static const struct token base[] = { { 1, "The", NAN, false }, { 2, " end", NAN, false }, { 3, "\n", NAN, false },
                                         { 4, "of \xc3\xa4 day", NAN, false } };
    static const struct token with[] = { { 1, "The", 0, false }, { 2, " end", 0.002, false }, { 3, "\n", 0.05, false },
                                         { 4, "of \xc3\xa4 day", 2, true } };
    static const struct token other = { 5, "of it", 0.7, true };
    struct qs_answer *a = NULL;
    OK(qs_answer_new(&a, e));
    OK(qs_answer_set_prompt(a, "Tell me", e));
    a->number = a->version = 1;
    a->n_sides = 2;
    a->follow = follow;
    a->seed = 42;
    for (size_t i = 0; i < 4; i++) {
        add(a, 0, &base[i], 0.01 * (double)(i + 1));
        add(a, 1, i == 3 && !follow ? &other : &with[i], 0.01 * (double)(i + 1) + 0.005);
    }
    for (size_t k = 0; k < 2; k++) {
        struct qs_answer_side *s = &a->side[k];
        snprintf(s->label, sizeof s->label, k ? "small" : "large");
        snprintf(s->precision, sizeof s->precision, "fast");
        s->state = QS_ANSWER_ENDED;
        s->stop = QS_STOP_LIMIT;
        s->prompt = 7;
        s->prefilled = 7;
        s->decoded = 3;
        s->prefill_seconds = 0.1;
        s->decode_seconds = 0.3;
        s->used = 10;
        s->context = 64;
        s->memory = (struct qs_answer_memory){ 1000, 200, 30 };
    }
    a->state = QS_ANSWER_ENDED;
    a->seconds = 0.05;
    return a;
}

static void test_parts(void **state)
{
    (void)state;
    struct qs_answer *a = two_sides(false), *b = two_sides(true);
    assert_int_equal(a->parted, 3);
    assert_true(b->parted == QS_ANSWER_NONE);
    assert_int_equal(b->sum.n, 4);
    assert_int_equal(b->sum.same_top, 3);
    assert_int_equal(b->sum.max_at, 3);
    assert_true(fabs(b->sum.mean_kld - 2.052 / 4) < 1e-15);
    assert_int_equal(qs_answer_at(&a->side[0], 0), 0);
    assert_int_equal(qs_answer_at(&a->side[0], 3), 1);
    assert_true(qs_answer_at(&a->side[0], 1000) == QS_ANSWER_NONE);
    assert_true(fabs(qs_answer_decode_rate(&a->side[0]) - 10) < 1e-9);
    qs_answer_free(a);
    qs_answer_free(b);
}

static void test_classes(void **state)
{
    (void)state;
    assert_int_equal(qs_divergence_class((double)NAN), -1);
    assert_int_equal(qs_divergence_class(0), 0);
    for (int c = 1; c < QS_DIVERGENCE_CLASSES; c++) {
        assert_int_equal(qs_divergence_class(qs_divergence_from(c)), c);
        assert_int_equal(qs_divergence_class(qs_divergence_from(c) * 0.999), c - 1);
        assert_true(qs_divergence_mark(c) > ' ');
    }
    assert_int_equal(qs_divergence_class(HUGE_VAL), QS_DIVERGENCE_CLASSES - 1);
}

/* A copy that is brought up to date at every token equals the original. */
static void test_update(void **state)
{
    (void)state;
    struct qs_answer *a = two_sides(true), *b = NULL;
    static const struct token more = { 9, " more", 0.1, false };
    OK(qs_answer_new(&b, e));
    for (int i = 0; i < 50; i++) {
        OK(qs_answer_update(a, b, e));
        assert_true(b->version == a->version && b->side[0].n == a->side[0].n && b->pieces_len == a->pieces_len);
        assert_string_equal(b->side[1].text, a->side[1].text);
        assert_memory_equal(b->side[1].token, a->side[1].token, a->side[1].n * sizeof *a->side[1].token);
        add(a, 0, &more, i);
        add(a, 1, &more, i);
        a->version++;
    }
    OK(qs_answer_reset(a, e));
    a->number++;
    OK(qs_answer_update(a, b, e));
    assert_true(b->side[0].n == 0 && b->side[0].text_len == 0 && b->n_sides == 0 && !*b->prompt);
    qs_answer_free(a);
    qs_answer_free(b);
}

static void test_file(void **state)
{
    (void)state;
    char path[1024];
    snprintf(path, sizeof path, "%s", qs_test_tmp_path("answer.json"));
    for (int follow = 0; follow < 2; follow++) {
        struct qs_answer *a = two_sides(follow), *b = NULL;
        OK(qs_answer_save(a, path, true, e));
        OK(qs_answer_load(path, &b, e));
        assert_true(b->parted == a->parted && b->follow == a->follow && b->sum.n == a->sum.n && b->seed == 42);
        assert_true(b->sum.mean_kld == a->sum.mean_kld);
        assert_string_equal(b->side[1].text, a->side[1].text);
        assert_string_equal(qs_answer_piece(b, b->side[0].token[3].best[1].piece), "of \xc3\xa4 day");
        qs_answer_free(a);
        qs_answer_free(b);
    }
}

/* One place after the other is broken; every form is refused with the name of what is wrong. */
static void test_broken_files(void **state)
{
    (void)state;
    static const struct { const char *from, *to, *says; } edit[] = {
        { "\"comparison\"", "\"conversation\"", "no comparison" },
        { "\"version\": 1", "\"version\": 3", "version 3" },
        { "\"follow\"", "\"fellow\"", "mode is none of" },
        { "\"follow\"", "\"single\"", "sides is no list" },
        { "\"prompt\": \"Tell me\"", "\"prompt\": 3", "prompt is not a text" },
        { "\"label\": \"large\"", "\"lable\": \"large\"", "sides[0].label is missing" },
        { "\"stop\": \"limit\"", "\"stop\": \"lunch\"", "sides[0].stop" },
        { "\"p\": 0.5", "\"p\": 1.5", "tokens[0].p is no number from 0 to 1" },
        { "\"id\": 1", "\"id\": -1", "tokens[0].id" },
        { "\"id\": 1", "\"id\": 7", "does not follow side 0" },
        { "\"piece\": \"The\"", "\"piece\": null", "piece" },
        { "\"seconds\": 0.02", "\"seconds\": 0.001", "before those of the token before it" },
        { "\"kld\": 0.002", "\"kld\": -1", "kld is no number" },
        { "\"best\"", "\"bast\"", "best is no list" },
        { "\"context\": 64", "\"context\": 6.5", "context" },
        { "\"shared\"", "\"spared\"", "shared" },
    };
    struct qs_answer *a = two_sides(true), *b = NULL;
    struct qs_json *j = qs_answer_json(a);
    struct qs_str text = QS_STR_INIT;
    assert_true(qs_json_print(j, true, &text));
    for (size_t i = 0; i < sizeof edit / sizeof *edit; i++) {
        struct qs_str out = QS_STR_INIT;
        struct qs_err why = QS_ERR_INIT;
        const char *at = strstr(text.data, edit[i].from);
        if (!at)
            fail_msg("%s is not in the file", edit[i].from);
        qs_str_addn(&out, text.data, (size_t)(at - text.data));
        qs_str_add(&out, edit[i].to);
        qs_str_add(&out, at + strlen(edit[i].from));
        if (qs_answer_load(qs_test_file("bad.json", out.data, out.len), &b, &why) == QS_OK)
            fail_msg("%s was taken", edit[i].to);
        if (!strstr(why.msg, edit[i].says))
            fail_msg("'%s' does not say '%s'", why.msg, edit[i].says);
        qs_str_free(&out);
    }
    for (size_t n = 0; n < text.len - 2; n += 97) { /* cut anywhere */
        struct qs_err why = QS_ERR_INIT;
        assert_int_not_equal(qs_answer_load(qs_test_file("cut.json", text.data, n), &b, &why), QS_OK);
    }
    qs_str_free(&text);
    qs_json_free(j);
    qs_answer_free(a);
}

/* The pace is that of the recording; a stopped replay says so; a pause holds it. */
static void test_replay(void **state)
{
    (void)state;
    struct qs_answer *a = two_sides(true), *view = NULL;
    struct qs_chat *c = NULL;
    struct qs_err why = QS_ERR_INIT;
    OK(qs_chat_new(&c, e));
    OK(qs_answer_new(&view, e));
    assert_int_equal(qs_chat_replay(c, view, 1, -1, &why), QS_EINVAL); /* empty */
    assert_int_equal(qs_chat_replay(c, a, -1, -1, &why), QS_EINVAL);
    OK(qs_chat_replay(c, a, 1, -1, e));
    assert_true(qs_chat_wait(c, -1));
    OK(qs_chat_look(c, view, e));
    assert_true(view->replayed && view->state == QS_ANSWER_ENDED && view->side[1].stop == QS_STOP_LIMIT);
    assert_string_equal(view->side[1].text, a->side[1].text);
    struct qs_job_status st;
    qs_job_status(qs_chat_job(c), &st);
    assert_true(st.elapsed >= 0.05);
    OK(qs_chat_replay(c, a, 0.001, -1, e)); /* a minute */
    assert_int_equal(qs_chat_replay(c, a, 1, -1, &why), QS_EBUSY);
    qs_chat_pause(c, true);
    qs_chat_stop(c);
    assert_true(qs_chat_wait(c, -1));
    OK(qs_chat_look(c, view, e));
    assert_int_equal(view->side[0].stop, QS_STOP_CANCELLED);
    assert_true(view->number == 2 && view->side[0].n < 4);
    qs_chat_free(c);
    qs_answer_free(view);
    qs_answer_free(a);
}

static void test_text(void **state)
{
    (void)state;
    struct qs_answer *a = two_sides(true);
    struct qs_str out = QS_STR_INIT;
    qs_chat_text(a, 40, false, &out);
    if (!strstr(out.data, "--- small follows ---\nThe end \n   ....:\nof \xc3\xa4 day\n!#######\n"))
        fail_msg("%s", out.data);
    assert_non_null(strstr(out.data, "--- large ---\nThe end\nof \xc3\xa4 day\n"));
    qs_str_clear(&out);
    qs_chat_text(a, 4, true, &out); /* narrow: lines break, nothing is lost */
    assert_non_null(strstr(out.data, "The \nend\n"));
    qs_str_clear(&out);
    qs_answer_free(a);
    a = two_sides(false);
    qs_chat_text(a, 40, false, &out);
    if (!strstr(out.data, "of \xc3\xa4 day\n^^^^^^^^\n") || !strstr(out.data, "of it\n^^^^^\n"))
        fail_msg("%s", out.data);
    qs_str_free(&out);
    qs_answer_free(a);
}

/* As it was when the first side had n tokens, and the second `behind` fewer. */
static void at_token(const struct qs_answer *a, size_t n, size_t behind, struct qs_answer *out)
{
    *out = *a;
    out->state = QS_ANSWER_DECODING;
    for (size_t k = 0; k < 2; k++) {
        const size_t now = k && n >= behind ? n - behind : k ? 0 : n;
        out->side[k].n = now < a->side[k].n ? now : a->side[k].n;
        out->side[k].state = QS_ANSWER_DECODING;
    }
    if (a->parted != QS_ANSWER_NONE && out->side[1].n <= a->parted)
        out->parted = QS_ANSWER_NONE;
}

/* What goes out while two sides write is, at the end, the text of both; words are there before the end. */
static void test_stream(void **state)
{
    (void)state;
    for (size_t behind = 0; behind < 3; behind++)
        for (unsigned width = 3; width <= 40; width++) {
            struct qs_answer *a = two_sides(false), now;
            struct qs_chat_stream *s = NULL;
            struct qs_str whole = QS_STR_INIT, out = QS_STR_INIT;
            OK(qs_chat_stream_new(width, false, &s, e));
            for (size_t n = 0; n <= a->side[0].n + behind; n++) {
                at_token(a, n, behind, &now);
                qs_chat_stream_more(s, &now, &out);
            }
            assert_non_null(strstr(out.data, "--- large ---\nThe"));
            assert_null(strstr(out.data, "--- small"));
            qs_chat_stream_more(s, a, &out);
            qs_chat_stream_more(s, a, &out); /* once is enough */
            qs_chat_text(a, width, false, &whole);
            assert_string_equal(out.data, whole.data);
            qs_chat_stream_free(s);
            qs_str_free(&whole);
            qs_str_free(&out);
            qs_answer_free(a);
        }
}

/* One text, with the marks of the second side below each line as soon as it is whole; a side that drops out marks no
 * more, and the text goes on. */
static void test_stream_follow(void **state)
{
    (void)state;
    struct qs_answer *a = two_sides(true), now;
    struct qs_chat_stream *s = NULL;
    struct qs_str out = QS_STR_INIT;
    OK(qs_chat_stream_new(40, false, &s, e));
    at_token(a, a->side[0].n, 1, &now);
    qs_chat_stream_more(s, &now, &out);
    assert_non_null(strstr(out.data, "--- large, followed by small ---\nThe "));
    qs_chat_stream_more(s, a, &out);
    if (!strstr(out.data, "small ---\nThe end \n   ....:\nof \xc3\xa4 day\n!#######\n\nbelow the text"))
        fail_msg("%s", out.data);
    qs_chat_stream_free(s);
    qs_str_clear(&out);
    OK(qs_chat_stream_new(40, false, &s, e));
    at_token(a, a->side[0].n, a->side[0].n, &now);
    now.side[1].state = QS_ANSWER_ENDED;
    now.state = QS_ANSWER_ENDED;
    qs_chat_stream_more(s, &now, &out);
    assert_non_null(strstr(out.data, "small ---\nThe end\nof \xc3\xa4 day\n\nbelow"));
    qs_chat_stream_free(s);
    qs_str_clear(&out);
    OK(qs_chat_stream_new(40, false, &s, e)); /* ended before its first token */
    at_token(a, 0, 0, &now);
    now.state = QS_ANSWER_ENDED;
    qs_chat_stream_more(s, &now, &out);
    assert_int_equal(out.len, 0);
    qs_chat_stream_free(s);
    qs_str_free(&out);
    qs_answer_free(a);
}

static int copies(void *ctx, struct qs_err *e)
{
    struct qs_answer *from = ctx, *to = NULL, *back = NULL;
    struct qs_json *j = NULL;
    int rc = qs_answer_new(&to, e);
    if (!rc)
        rc = qs_answer_update(from, to, e);
    qs_answer_free(to);
    if (!rc && !(j = qs_answer_json(from)))
        rc = qs_fail_mem(e, 0, "json");
    if (!rc)
        rc = qs_answer_from_json(j, &back, e);
    qs_answer_free(back);
    qs_json_free(j);
    return rc;
}

static void test_no_memory(void **state)
{
    (void)state;
    struct qs_answer *a = two_sides(true);
    qs_test_each_alloc(copies, a);
    qs_answer_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),  cmocka_unit_test(test_classes),      cmocka_unit_test(test_update),
        cmocka_unit_test(test_file),   cmocka_unit_test(test_broken_files), cmocka_unit_test(test_replay),
        cmocka_unit_test(test_text),   cmocka_unit_test(test_no_memory),   cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
