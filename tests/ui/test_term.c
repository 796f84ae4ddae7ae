/* test_term.c - the terminal as people meet it: the probe (term_probe.c) on a pseudo-terminal, over terminals, colours,
 * keys, sizes, stopping, and every way to die. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/lib/qs_test.h"
#include "tests/ui/pty.h"

static char probe[4096];

/* words: of the probe, divided by blanks; env: "NAME=VALUE" words likewise. */
static struct qs_pty *start(const char *words, const char *env, unsigned rows, unsigned cols, const char *background)
{
    static char copy[2][512];
    const char *argv[8] = { probe }, *vars[8] = { NULL };
    const char **list[2] = { argv + 1, vars };
    const char *text[2] = { words, env };
    for (int l = 0; l < 2; l++) {
        (void)snprintf(copy[l], sizeof *copy, "%s", text[l]);
        char *rest = copy[l];
        for (const char **to = list[l]; rest && *rest && to < list[l] + 6;)
            *to++ = strsep(&rest, " ");
    }
    const struct qs_pty_args args = { .argv = argv, .env = vars, .rows = rows, .cols = cols, .background = background };
    struct qs_pty *p = qs_pty_start(&args);
    assert_non_null(p);
    return p;
}

static struct qs_pty *start_plain(const char *words, const char *env)
{
    struct qs_pty *p = start(words, env, 24, 80, NULL);
    assert_true(qs_pty_wait_text(p, "probe 24x80"));
    assert_true(qs_pty_wait_text(p, "stray:")); /* the last of the first frame */
    return p;
}

static void leaves(struct qs_pty *p, const struct termios *before)
{
    const struct qs_pty_modes m = qs_pty_modes(p);
    struct termios now;
    qs_pty_tty(p, &now);
    assert_false(m.alternate || m.cursor_hidden || m.mouse || m.sgr_mouse || m.paste || m.sync);
    assert_true(qs_pty_tty_equal(&now, before));
}

static void quits(struct qs_pty *p)
{
    int status = -1;
    qs_pty_send(p, "q");
    assert_true(qs_pty_wait_exit(p, &status));
    if (status != 0)
        qs_pty_print(p);
    assert_int_equal(status, 0);
    qs_pty_end(p);
}

static void color_is(struct qs_pty_color c, enum qs_pty_color_kind kind, uint32_t value)
{
    assert_int_equal(c.kind, kind);
    assert_int_equal(c.value, value);
}

/* ---- colours ---- */

static void test_rgb(void **state)
{
    (void)state;
    static const char *const env[] = { "COLORTERM=truecolor", "COLORTERM=24bit TERM=tmux-256color",
                                       "COLORTERM=truecolor TERM=xterm", "COLORTERM=truecolor TERMINFO=/nowhere" };
    for (size_t i = 0; i < sizeof env / sizeof *env; i++) {
        struct qs_pty *p = start_plain("sync", env[i]);
        assert_true(qs_pty_wait_text(p, "tier rgb"));
        struct qs_pty_cell c = qs_pty_cell(p, 1, 0);
        assert_string_equal(c.text, "\xE2\x96\x80");
        color_is(c.fg, QS_PTY_RGB, 0x440154);
        color_is(c.bg, QS_PTY_RGB, 0xfde725);
        c = qs_pty_cell(p, 1, 1);
        color_is(c.fg, QS_PTY_RGB, 0x000003);
        color_is(c.bg, QS_PTY_RGB, 0xffffff);
        c = qs_pty_cell(p, 1, 2);
        color_is(c.fg, QS_PTY_RGB, 0x070000);
        color_is(c.bg, QS_PTY_DEFAULT, 0);
        c = qs_pty_cell(p, 1, 3);
        color_is(c.fg, QS_PTY_INDEX, 196);
        color_is(c.bg, QS_PTY_INDEX, 21);
        c = qs_pty_cell(p, 1, 4);
        color_is(c.fg, QS_PTY_INDEX, 9);
        color_is(c.bg, QS_PTY_INDEX, 4);
        quits(p);
    }
}

static void test_tiers(void **state)
{
    (void)state;
    static const struct { const char *words, *env, *tier; } row[] = {
        { "", "", "256" },
        { "", "TERM=tmux-256color", "256" },
        { "", "TERM=screen-256color", "256" },
        { "", "TERM=xterm", "16" },
        { "", "TERM=linux", "16" },
        { "", "TERM=vt100", "mono" },
        { "", "TERM=vt100 COLORTERM=truecolor", "mono" },
        { "", "NO_COLOR=1", "mono" },
        { "", "NO_COLOR=1 COLORTERM=truecolor", "mono" },
        { "", "NO_COLOR=", "256" },
        { "tier=3", "NO_COLOR=1", "rgb" },
        { "tier=2", "TERM=xterm NO_COLOR=1", "256" },
        { "tier=1", "", "16" },
        { "tier=1", "TERM=vt100", "16" },
        { "tier=0", "COLORTERM=truecolor", "mono" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct qs_pty *p = start_plain(row[i].words, row[i].env);
        char tier[32];
        (void)snprintf(tier, sizeof tier, "tier %s", row[i].tier);
        assert_true(qs_pty_wait_text(p, tier));
        assert_true(qs_pty_wait_idle(p));
        const struct qs_pty_cell d = qs_pty_cell(p, 1, 3), e = qs_pty_cell(p, 1, 4), f = qs_pty_cell(p, 1, 5),
                                 g = qs_pty_cell(p, 1, 6), h = qs_pty_cell(p, 1, 7);
        assert_string_equal(d.text, "D");
        assert_true(f.bold);
        assert_true(g.reverse && g.underline);
        if (strcmp(row[i].tier, "mono") == 0) {
            color_is(d.fg, QS_PTY_DEFAULT, 0);
            color_is(e.fg, QS_PTY_DEFAULT, 0);
            color_is(f.fg, QS_PTY_DEFAULT, 0);
        } else {
            color_is(f.fg, QS_PTY_INDEX, 2);
            color_is(e.bg, QS_PTY_INDEX, 4);
            assert_true(h.fg.value != h.bg.value || h.fg.kind != h.bg.kind);
        }
        if (strcmp(row[i].tier, "256") == 0) {
            color_is(d.fg, QS_PTY_INDEX, 196);
            color_is(d.bg, QS_PTY_INDEX, 21);
            color_is(e.fg, QS_PTY_INDEX, 9);
        }
        quits(p);
    }
}

/* On eight by eight pairs, less the one of the default colours: no cell ever shows a colour that is not its own. */
static void test_few_pairs(void **state)
{
    (void)state;
    struct qs_pty *p = start_plain("", "TERM=xterm");
    static const char *const keys[] = { "p", "P", "p", "P" };
    for (int round = 0; round < 4; round++) {
        char mark[16];
        const int pairs = *keys[round] == 'p' ? 60 : 64;
        int defaults = 0;
        qs_pty_send(p, keys[round]);
        (void)snprintf(mark, sizeof mark, "%d: key %x", round * 2 + 1, (unsigned)*keys[round]);
        assert_true(qs_pty_wait_text(p, mark));
        qs_pty_send(p, "x"); /* its frame comes after the one with the pairs */
        (void)snprintf(mark, sizeof mark, "%d: key 78", round * 2 + 2);
        assert_true(qs_pty_wait_text(p, mark));
        for (int i = 0; i < pairs; i++) {
            const struct qs_pty_cell c = qs_pty_cell(p, 12, i);
            const uint32_t bg = (uint32_t)i / 8;
            assert_string_equal(c.text, "x");
            if (c.fg.kind == QS_PTY_DEFAULT) {
                defaults++;
                assert_true(c.bg.kind == QS_PTY_DEFAULT || c.bg.value == bg);
            } else {
                color_is(c.fg, QS_PTY_INDEX, (uint32_t)i % 8);
                color_is(c.bg, QS_PTY_INDEX, bg);
            }
        }
        assert_in_range(defaults, pairs == 64, pairs == 64 ? 8 : 0);
    }
    quits(p);
}

/* ---- what is written ---- */

static bool frame_is_whole(struct qs_pty *p, void *ctx)
{
    (void)ctx;
    return !qs_pty_modes(p).sync;
}

static void test_nothing_new_writes_nothing(void **state)
{
    (void)state;
    struct qs_pty *p = start_plain("sync", "COLORTERM=truecolor");
    qs_pty_send(p, "x");
    assert_true(qs_pty_wait_text(p, "1: key 78"));
    assert_true(qs_pty_wait_idle(p));
    assert_true(qs_pty_wait(p, frame_is_whole, NULL, "end of the frame"));
    qs_pty_forget_output(p);
    const unsigned frames = qs_pty_frames(p);
    qs_pty_send(p, "n");
    assert_true(qs_pty_wait_idle(p));
    qs_pty_send(p, "y");
    assert_true(qs_pty_wait_text(p, "2: key 79"));
    assert_true(qs_pty_wait(p, frame_is_whole, NULL, "end of the frame"));
    assert_int_equal(qs_pty_frames(p), frames + 1); /* that of the y */
    size_t n;
    const char *out = qs_pty_output(p, &n);
    assert_memory_equal(out, "\033[?2026h", 8); /* and nothing before it */
    assert_memory_equal(out + n - 8, "\033[?2026l", 8);
    assert_true(n < 400);
    qs_pty_forget_output(p);
    qs_pty_send(p, "a");
    assert_true(qs_pty_wait_text(p, "3: key 61"));
    assert_true(qs_pty_wait_idle(p));
    assert_true(qs_pty_wait_output(p, "probe 24x80")); /* every cell */
    quits(p);
}

static void test_wide_and_cursor(void **state)
{
    (void)state;
    struct qs_pty *p = start_plain("", "");
    struct qs_pty_cell c = qs_pty_cell(p, 2, 0);
    int row, col;
    assert_string_equal(c.text, "\xE6\xBC\xA2");
    assert_int_equal(c.width, 2);
    assert_string_equal(qs_pty_cell(p, 2, 2).text, "|");
    assert_string_equal(qs_pty_cell(p, 2, 3).text, "e\xCC\x81");
    assert_string_equal(qs_pty_cell(p, 2, 4).text, "|");
    assert_true(qs_pty_modes(p).cursor_hidden);
    qs_pty_send(p, "t");
    assert_true(qs_pty_wait_text(p, "1: key 74"));
    qs_pty_send(p, "x");
    assert_true(qs_pty_wait_text(p, "2: key 78"));
    assert_false(qs_pty_modes(p).cursor_hidden);
    qs_pty_cursor(p, &row, &col);
    assert_int_equal(row, 3);
    assert_int_equal(col, 5);
    quits(p);
    p = start_plain("", "LC_ALL=C");
    assert_string_equal(qs_pty_cell(p, 2, 0).text, "?");
    assert_string_equal(qs_pty_cell(p, 2, 2).text, "|");
    quits(p);
}

/* ---- keys and the mouse ---- */

static void test_keys(void **state)
{
    (void)state;
    static const char *const env[] = { "", "TERM=linux", "TERM=tmux-256color", "TERM=vt100" };
    static const struct { const char *bytes, *key;
    } row[] = {
        { "x", "key 78" },           { "\033", "key 1b" },
        { "\033OA", "key 110000" },  { "\033[B", "key 110001" },
        { "\033[6~", "key 110007" }, { "\003", "key 40000063" },
        { "\032", "key 4000007a" },  { "\034", "key 4000005c" },
        { "\023", "key 40000073" },  { "\033[Z", "key 20000009" },
        { "\xC3\xA4", "key e4" },    { "\r", "key d" },
        { "\177", "key 7f" },        { "\033OP", "key 11000a" },
    };
    for (size_t t = 0; t < sizeof env / sizeof *env; t++) {
        struct qs_pty *p = start_plain("", env[t]);
        for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
            char text[64];
            qs_pty_send(p, row[i].bytes);
            (void)snprintf(text, sizeof text, "%zu: %s", i + 1, row[i].key);
            assert_true(qs_pty_wait_text(p, text));
        }
        qs_pty_send(p, "\033[99;99X\033[?5;5R\033]0;q\aw"); /* none of these is a q */
        assert_true(qs_pty_wait_text(p, "15: key 77"));
        quits(p);
    }
}

static void test_paste(void **state)
{
    (void)state;
    struct qs_pty *p = start_plain("", "");
    assert_true(qs_pty_modes(p).paste);
    qs_pty_paste(p, "q\nqq\033[31m\x07.");
    assert_true(qs_pty_wait_text(p, "1: paste 9 [q|qq[31m.]"));
    quits(p);
}

static void test_mouse(void **state)
{
    (void)state;
    static const char *const env[] = { "", "TERM=tmux-256color", "TERM=linux" };
    for (size_t t = 0; t < sizeof env / sizeof *env; t++) {
        struct qs_pty *p = start("mouse", env[t], 50, 320, NULL);
        assert_true(qs_pty_wait_text(p, "probe 50x320"));
        assert_true(qs_pty_wait_idle(p));
        qs_pty_mouse(p, 40, 300, 1, true);
        assert_true(qs_pty_wait_text(p, "1: press 1 at 40 300"));
        qs_pty_mouse_move(p, 41, 301);
        assert_true(qs_pty_wait_text(p, "2: drag 1 at 41 301"));
        qs_pty_mouse(p, 41, 301, 1, false);
        assert_true(qs_pty_wait_text(p, "3: release 1 at 41 301"));
        qs_pty_mouse(p, 41, 301, 4, true);
        assert_true(qs_pty_wait_text(p, "4: wheel-up 0 at 41 301"));
        qs_pty_mouse(p, 41, 301, 5, true);
        assert_true(qs_pty_wait_text(p, "5: wheel-down 0 at 41 301"));
        qs_pty_send(p, "M");
        assert_true(qs_pty_wait_text(p, "6: key 4d"));
        assert_false(qs_pty_modes(p).mouse);
        qs_pty_mouse(p, 1, 1, 1, true);
        qs_pty_mouse(p, 1, 1, 1, false);
        qs_pty_send(p, "m");
        assert_true(qs_pty_wait_text(p, "7: key 6d"));
        assert_true(qs_pty_modes(p).sgr_mouse);
        quits(p);
    }
}

static void test_background(void **state)
{
    (void)state;
    struct qs_pty *p = start("", "", 24, 80, "rgb:fdfd/f6f6/e3e3");
    assert_true(qs_pty_wait_text(p, "1: background light"));
    quits(p);
    p = start("", "COLORFGBG=0;15", 24, 80, "rgb:00/2b/36");
    assert_true(qs_pty_wait_text(p, "1: background light"));
    assert_true(qs_pty_wait_text(p, "2: background dark"));
    quits(p);
    p = start_plain("", ""); /* no answer: no event, no junk */
    qs_pty_send(p, "x");
    assert_true(qs_pty_wait_text(p, "1: key 78"));
    quits(p);
}

static void test_clipboard(void **state)
{
    (void)state;
    struct qs_pty *p = start_plain("", "");
    qs_pty_send(p, "c");
    assert_true(qs_pty_wait_text(p, "2: clipboard 1"));
    assert_true(qs_pty_wait_output(p, "\033]52;c;aGVsbG8=\033\\"));
    qs_pty_send(p, "C");
    assert_true(qs_pty_wait_text(p, "4: clipboard 0"));
    quits(p);
}

/* ---- sizes, stopping, standard error ---- */

static void test_sizes(void **state)
{
    (void)state;
    struct qs_pty *p = start("", "LINES=10 COLUMNS=20", 24, 80, NULL);
    assert_true(qs_pty_wait_text(p, "probe 24x80")); /* the truth, not what the environment says */
    for (unsigned i = 0; i < 200; i++)
        qs_pty_resize(p, 5 + i * 7 % 60, 20 + i * 31 % 300);
    qs_pty_resize(p, 31, 117);
    assert_true(qs_pty_wait_text(p, "probe 31x117"));
    assert_true(qs_pty_wait_text(p, "stray:"));
    qs_pty_send(p, "x");
    assert_true(qs_pty_wait_text(p, "1: key 78"));
    assert_string_equal(qs_pty_cell(p, 2, 0).text, "\xE6\xBC\xA2");
    qs_pty_resize(p, 1, 1);
    assert_true(qs_pty_wait_text(p, "p"));
    qs_pty_resize(p, 24, 80);
    assert_true(qs_pty_wait_text(p, "probe 24x80"));
    quits(p);
}

static void test_stop_and_continue(void **state)
{
    (void)state;
    static const struct { const char *key; int sig; } way[] = { { "z", 0 }, { NULL, SIGTSTP }, { NULL, SIGSTOP } };
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        struct qs_pty *p = start("mouse", "", 24, 80, "rgb:00/00/00");
        struct termios before, raw, cooked, now;
        assert_true(qs_pty_wait_text(p, "background dark"));
        assert_true(qs_pty_wait_idle(p));
        qs_pty_tty(p, &raw);
        if (way[i].key)
            qs_pty_send(p, way[i].key);
        else
            qs_pty_signal(p, way[i].sig);
        assert_true(qs_pty_wait_stopped(p));
        qs_pty_tty(p, &before);
        if (way[i].sig != SIGSTOP) {
            assert_true(before.c_lflag & ICANON && before.c_lflag & ECHO && before.c_lflag & ISIG);
            assert_true(qs_pty_wait_output(p, "\033[?1049l"));
            leaves(p, &before);
        } else { /* as shells do it */
            cooked = before;
            cooked.c_lflag |= ICANON | ECHO | ISIG;
            qs_pty_tty_set(p, &cooked);
        }
        qs_pty_forget_output(p);
        qs_pty_continue(p);
        assert_true(qs_pty_wait_output(p, "probe 24x80")); /* all of it is drawn again */
        qs_pty_send(p, "x");
        assert_true(qs_pty_wait_text(p, "key 78"));
        const struct qs_pty_modes m = qs_pty_modes(p);
        assert_true(m.alternate && m.cursor_hidden && m.mouse && m.sgr_mouse && m.paste);
        qs_pty_tty(p, &now);
        assert_true(qs_pty_tty_equal(&now, &raw));
        quits(p);
    }
}

static void test_stray(void **state)
{
    (void)state;
    struct qs_pty *p = start_plain("", "");
    qs_pty_send(p, "e");
    assert_true(qs_pty_wait_text(p, "stray: a \\x1B[31mstray/line/"));
    assert_true(qs_pty_find(p, "without end", NULL) < 0); /* a line is handed out whole */
    int status;
    qs_pty_send(p, "q");
    assert_true(qs_pty_wait_exit(p, &status));
    assert_true(qs_pty_wait_text(p, "without end")); /* on the terminal as it was before */
    assert_false(qs_pty_modes(p).alternate);
    qs_pty_end(p);
}

/* ---- the ways to end ---- */

static void test_every_end(void **state)
{
    (void)state;
    static const int sig[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
    static const char *const terms[] = { "COLORTERM=truecolor", "TERM=tmux-256color" };
    for (size_t i = 0; i < sizeof sig / sizeof *sig * 2; i++) {
        struct qs_pty *p = start_plain("mouse sync", terms[i % 2]);
        struct termios before, after;
        int status = 0;
        assert_true(qs_pty_wait_idle(p));
        qs_pty_tty(p, &before);
        assert_false(before.c_lflag & (ICANON | ECHO | ISIG));
        qs_pty_send(p, "e");
        assert_true(qs_pty_wait_text(p, "key 65"));
        assert_true(qs_pty_wait_idle(p));
        qs_pty_signal(p, sig[i / 2]);
        assert_true(qs_pty_wait_exit(p, &status));
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == sig[i / 2]);
        assert_true(qs_pty_wait_text(p, "without end"));
        qs_pty_tty(p, &after);
        assert_true(after.c_lflag & ICANON && after.c_lflag & ECHO && after.c_lflag & ISIG);
        leaves(p, &after);
        qs_pty_end(p);
    }
}

/* Nobody reads what the program writes: it waits in the middle of a frame, and ends of a signal all the same. */
static void test_ends_where_nobody_reads(void **state)
{
    (void)state;
    char keys[400];
    int status = 0;
    struct qs_pty *p = start("mouse sync", "COLORTERM=truecolor", 60, 200, NULL);
    assert_true(qs_pty_wait_text(p, "probe 60x200"));
    assert_true(qs_pty_wait_idle(p));
    memset(keys, 'a', sizeof keys); /* everything anew, more often than a terminal holds */
    keys[0] = 'e';
    qs_pty_sendn(p, keys, sizeof keys);
    assert_true(qs_pty_wait_stuck(p));
    qs_pty_signal(p, SIGTERM);
    assert_true(qs_pty_wait_exit_unread(p));
    assert_true(qs_pty_wait_exit(p, &status));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    qs_pty_end(p);
}

static void test_quit_restores(void **state)
{
    (void)state;
    struct qs_pty *p = start_plain("mouse sync", "COLORTERM=truecolor");
    struct termios after;
    int status;
    qs_pty_send(p, "q");
    assert_true(qs_pty_wait_exit(p, &status));
    assert_int_equal(status, 0);
    qs_pty_tty(p, &after);
    assert_true(after.c_lflag & ICANON && after.c_lflag & ECHO && after.c_iflag & ICRNL);
    leaves(p, &after);
    qs_pty_end(p);
}

static void test_hang_up(void **state)
{
    (void)state;
    struct qs_pty *p = start_plain("", "");
    int status;
    qs_pty_hang_up(p);
    assert_true(qs_pty_wait_exit(p, &status));
    assert_true((WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP) || (WIFEXITED(status) && WEXITSTATUS(status) == 4));
    qs_pty_end(p);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct { const char *env, *says; } row[] = {
        { "TERM=dumb", "refused: the terminal type dumb cannot place the cursor" },
        { "TERM=no-such-thing", "refused: the terminal type no-such-thing is not known here" },
        { "TERM", "refused: no terminal type is given" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct qs_pty *p = start("", row[i].env, 24, 120, NULL);
        int status;
        size_t n;
        assert_true(qs_pty_wait_exit(p, &status));
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
        assert_true(qs_pty_wait_text(p, row[i].says));
        assert_false(strchr(qs_pty_output(p, &n), '\033')); /* it is untouched */
        qs_pty_end(p);
    }
}

int main(void)
{
    const char *dir = getenv("QS_BUILDDIR");
    (void)snprintf(probe, sizeof probe, "%s/tests/ui/term_probe", dir ? dir : ".");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rgb),
        cmocka_unit_test(test_tiers),
        cmocka_unit_test(test_few_pairs),
        cmocka_unit_test(test_nothing_new_writes_nothing),
        cmocka_unit_test(test_wide_and_cursor),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_paste),
        cmocka_unit_test(test_mouse),
        cmocka_unit_test(test_background),
        cmocka_unit_test(test_clipboard),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_stop_and_continue),
        cmocka_unit_test(test_stray),
        cmocka_unit_test(test_every_end),
        cmocka_unit_test(test_ends_where_nobody_reads),
        cmocka_unit_test(test_quit_restores),
        cmocka_unit_test(test_hang_up),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
