/* test_input.c - bytes of a terminal to events: every sequence whole, cut at every place, and noise. */
#include <stdio.h>
#include <string.h>

#include "tests/lib/qs_test.h"
#include "ui/term_input.h"

/* Events as text: "k61 " a key, "m0/1@5,299 " mouse kind, button, row, column, "p[text] ", "b1 " a light background. */
static void describe(char *out, size_t n, const struct qs_event *ev)
{
    const size_t at = strlen(out);
    switch (ev->kind) {
    case QS_EVENT_KEY: (void)snprintf(out + at, n - at, "k%x ", ev->key); break;
    case QS_EVENT_MOUSE:
        (void)snprintf(out + at, n - at, "m%d/%u@%d,%d ", (int)ev->mouse, ev->button, ev->row, ev->col);
        break;
    case QS_EVENT_PASTE: (void)snprintf(out + at, n - at, "p[%s] ", ev->text); break;
    case QS_EVENT_BACKGROUND: (void)snprintf(out + at, n - at, "b%d ", ev->light); break;
    }
}

static void decode(struct qs_input *in, const char *bytes, size_t n, bool waited, char *out, size_t room)
{
    struct qs_event ev;
    assert_int_equal(qs_input_put(in, bytes, n), n);
    while (qs_input_next(in, waited, &ev) == QS_INPUT_EVENT)
        describe(out, room, &ev);
}

static const struct { const char *bytes, *events;
} rows[] = {
    { "a", "k61 " },
    { "aZ ", "k61 k5a k20 " },
    { "\xC3\xA4\xE6\xBC\xA2\xF0\x9F\x98\x80", "ke4 k6f22 k1f600 " },
    { "\xFFq\xC3q\x80q", "k71 k71 k71 " }, /* what is no UTF-8 is dropped, nothing else */
    { "\xC2\x9Bq", "k71 " }, /* C1 */
    { "\t\r\x7F\x03\x1A\x0A\x08", "k9 kd k7f k40000063 k4000007a k4000006a k40000068 " },
    { "\x1C", "k4000005c " },
    { "\033[A\033[B\033[C\033[D", "k110000 k110001 k110003 k110002 " },
    { "\033OA\033OH\033OF\033OM", "k110000 k110004 k110005 kd " },
    { "\033[H\033[F\033[1~\033[4~\033[7~\033[8~", "k110004 k110005 k110004 k110005 k110004 k110005 " },
    { "\033[5~\033[6~\033[2~\033[3~", "k110006 k110007 k110008 k110009 " },
    { "\033OP\033[11~\033[[A\033[15~\033[24~", "k11000a k11000a k11000a k11000e k110015 " },
    { "\033[1;5A\033[1;2D\033[5;5~\033[1;2R", "k40110000 k20110002 k40110006 k2011000c " },
    { "\033[1;3Aq", "k71 " }, /* Alt is nobody's */
    { "\033[Z", "k20000009 " },
    { "\033x", "k1b k78 " },
    { "\033\033[A", "k1b k110000 " },
    { "\033[<0;301;7M\033[<0;301;7m", "m0/1@6,300 m1/1@6,300 " },
    { "\033[<32;5;6M\033[<2;1;1M\033[<1;1;1m", "m2/1@5,4 m0/3@0,0 m1/2@0,0 " },
    { "\033[<64;3;4M\033[<65;3;4M\033[<66;3;4Mq", "m3/0@3,2 m4/0@3,2 k71 " },
    { "\033[<0;0;1M\033[<0;1M\033[<128;1;1M\033[<35;1;1Mq", "k71 " },
    { "\033[M !!\033[M#\"\"\033[M`!!", "m0/1@0,0 m1/1@1,1 m3/0@0,0 " },
    { "\033[200~hello\nthere\r\nx\ty\033[31m\x07\xC2\x9B\xE2\x80\xAE\xC3\xA4\033[201~q",
      "p[hello\nthere\nx y[31m\xC3\xA4] k71 " },
    { "\033[200~\033[201~", "p[] " },
    { "\033[201~q", "k71 " },
    { "\033]11;rgb:ffff/ffff/ffff\033\\q", "b1 k71 " },
    { "\033]11;rgb:00/00/00\aq", "b0 k71 " },
    { "\033]11;rgba:fd/f6/e3/ff\a", "b1 " },
    { "\033]11;rgb:zz/00/00\a\033]11;rgb:-1/+1/00\a\033]11;rgb:ff/ff\a\033]4;1;rgb:ff/ff/ff\a\033]11;red\aq", "k71 " },
    { "\033[?1;2cq\033[>0;95;0cq\033[3;4Rq\033[?2026;2$yq", "k71 k71 k71 k71 " },
    { "\033P>|xterm(3)\033\\q\033_Gq\033\\q\033^q\033\\q", "k71 k71 k71 " },
    { "\033[Iq\033[Oq\033[97;5uq\033[27;5;97~q", "k71 k71 k71 k71 " },
    { "\033[123:4;5q\033[1;2;3;4;5;6~q\033[99999999999999999999~q\033[ qq", "k71 k71 k71 " },
    { "\033[12\033[A\033O\033[B\033]11;q\033[C", "k110000 k110001 k110003 " }, /* broken off by the next one */
};

static void test_sequences(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const size_t n = strlen(rows[i].bytes);
        for (size_t cut = 0; cut <= n; cut++) {
            struct qs_input in = { .paste = QS_STR_INIT };
            char out[512] = "";
            decode(&in, rows[i].bytes, cut, false, out, sizeof out);
            decode(&in, rows[i].bytes + cut, n - cut, false, out, sizeof out);
            if (strcmp(out, rows[i].events) != 0)
                fail_msg("row %zu cut at %zu: %s instead of %s", i, cut, out, rows[i].events);
            assert_int_equal(in.len, 0);
            qs_input_free(&in);
        }
    }
}

/* What is cut off for good gives no key, except Esc. */
static void test_cut_off(void **state)
{
    (void)state;
    static const struct { const char *bytes, *events;
    } cut[] = {
        { "\033", "k1b " },     { "\033[", "" },     { "\033O", "" },
        { "\033[1;5", "" },     { "\033[<0;3", "" }, { "\033[M !", "" },
        { "\033]11;rgb:", "" }, { "\xE6\xBC", "" },  { "\033[200~half\033[20", "p[half] " },
        { "\033[[", "" },
    };
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        struct qs_input in = { .paste = QS_STR_INIT };
        struct qs_event ev;
        char out[128] = "";
        assert_int_equal(qs_input_put(&in, cut[i].bytes, strlen(cut[i].bytes)), strlen(cut[i].bytes));
        assert_int_equal(qs_input_next(&in, false, &ev), QS_INPUT_PARTIAL);
        assert_in_range(qs_input_patience(&in), i == 0 ? 25 : 500, i == 0 ? 25 : 10000);
        decode(&in, "", 0, true, out, sizeof out);
        assert_string_equal(out, cut[i].events);
        decode(&in, "q", 1, false, out, sizeof out);
        assert_string_equal(out + strlen(cut[i].events), "k71 ");
        qs_input_free(&in);
    }
}

static void test_keys_of_the_terminal(void **state)
{
    (void)state;
    struct qs_input in = { .paste = QS_STR_INIT, .n_known = 2, .erases_by_bs = true,
                           .known = { { "\033x", QS_KEY_F12 }, { "\033[17^", QS_KEY_UP } } };
    char out[128] = "";
    decode(&in, "\033x\033[17^\033[17~\010", 13, false, out, sizeof out);
    assert_string_equal(out, "k110015 k110000 k11000f k7f ");
    qs_input_free(&in);
}

/* A long paste is cut at a character, and its rest becomes no keys. */
static void test_long_paste(void **state)
{
    (void)state;
    struct qs_input in = { .paste = QS_STR_INIT };
    struct qs_event ev;
    static char piece[3000];
    for (size_t i = 0; i < sizeof piece; i += 3)
        memcpy(piece + i, "\xE6\xBC\xA2", 3);
    assert_int_equal(qs_input_put(&in, "\033[200~", 6), 6);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(qs_input_next(&in, false, &ev), QS_INPUT_PARTIAL);
        assert_int_equal(qs_input_put(&in, piece, sizeof piece), sizeof piece);
    }
    assert_int_equal(qs_input_next(&in, false, &ev), QS_INPUT_PARTIAL);
    assert_int_equal(qs_input_put(&in, "\033[201~q", 7), 7);
    assert_int_equal(qs_input_next(&in, false, &ev), QS_INPUT_EVENT);
    assert_int_equal(ev.kind, QS_EVENT_PASTE);
    assert_int_equal(strlen(ev.text), QS_PASTE_MAX / 3 * 3);
    assert_int_equal(qs_input_next(&in, false, &ev), QS_INPUT_EVENT);
    assert_int_equal(ev.key, 'q');
    qs_input_free(&in);
}

/* A sequence without end takes no more than its buffer, and what follows is read again. */
static void test_endless(void **state)
{
    (void)state;
    struct qs_input in = { .paste = QS_STR_INIT };
    struct qs_event ev;
    static char junk[QS_INPUT_BYTES];
    memset(junk, '1', sizeof junk);
    memcpy(junk, "\033[", 2);
    assert_int_equal(qs_input_put(&in, junk, sizeof junk), sizeof junk);
    assert_int_equal(qs_input_put(&in, "q", 1), 0);
    assert_int_equal(qs_input_next(&in, false, &ev), QS_INPUT_EMPTY);
    assert_int_equal(qs_input_put(&in, "q", 1), 1);
    assert_int_equal(qs_input_next(&in, false, &ev), QS_INPUT_EVENT);
    qs_input_free(&in);
}

static void test_noise(void **state)
{
    (void)state;
    static const char *const spice[] = { "\033[",     "\033O",  "\033]11;rgb:", "\033[<", "\033[200~",
                                         "\033[201~", "\033[M", "\033\\",       "~",      "M" };
    struct qs_input in = { .paste = QS_STR_INIT };
    struct qs_event ev;
    uint32_t seed = 1;
    for (int i = 0; i < 200000; i++) {
        seed = seed * 1664525u + 1013904223u;
        const unsigned r = seed >> 8;
        const char byte = (char)(r >> 4);
        if (r % 4 == 0) {
            const char *s = spice[(r >> 2) % 10];
            qs_input_put(&in, s, strlen(s));
        } else {
            qs_input_put(&in, &byte, 1);
        }
        while (qs_input_next(&in, r % 97 == 0, &ev) == QS_INPUT_EVENT)
            switch (ev.kind) {
            case QS_EVENT_KEY: {
                const uint32_t key = ev.key & ~(QS_CTRL | QS_SHIFT);
                assert_in_range(key, 1, QS_KEY_F12);
                assert_true(ev.key & QS_CTRL || key >= ' ' || key == 9 || key == 13 || key == 27);
                break;
            }
            case QS_EVENT_MOUSE: assert_true(ev.row >= 0 && ev.col >= 0 && ev.button <= 3); break;
            case QS_EVENT_PASTE: assert_true(strlen(ev.text) <= QS_PASTE_MAX && !strpbrk(ev.text, "\033\r\x7F")); break;
            case QS_EVENT_BACKGROUND: break;
            }
        assert_true(in.len < sizeof in.byte);
    }
    qs_input_free(&in);
}

static void test_light(void **state)
{
    (void)state;
    assert_true(qs_color_is_light(1, 1, 1));
    assert_false(qs_color_is_light(0, 0, 0));
    assert_true(qs_color_is_light(0x76 / 255., 0x76 / 255., 0x76 / 255.)); /* 4.54:1 to white, 4.62:1 to black */
    assert_false(qs_color_is_light(0x75 / 255., 0x75 / 255., 0x75 / 255.)); /* 4.61:1 to white, 4.56:1 to black */
    assert_false(qs_color_is_light(0, 0, 1));
    assert_true(qs_color_is_light(0, 1, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_keys_of_the_terminal),
        cmocka_unit_test(test_long_paste),
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_light),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
