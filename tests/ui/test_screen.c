/* test_screen.c - the whole program on a pseudo-terminal: a sitting from the open model to the written file, the
 * picker, one axis at a time (terminal, locale, colours, theme, size), stopping, every way to end while work runs, and
 * keys that are heard while it does. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "tests/lib/qs_test.h"
#include "tests/model/make_model.h"
#include "tests/ui/pty.h"

static char program[4096], demo[4096];

/* words: of the command line, divided by blanks; env: "NAME=VALUE" words likewise. */
static struct qs_pty *start(const char *words, const char *env, unsigned rows, unsigned cols)
{
    static char copy[2][1024];
    const char *argv[12] = { program }, *vars[12] = { NULL };
    const char **list[2] = { argv + 1, vars };
    const char *text[2] = { words, env };
    for (int l = 0; l < 2; l++) {
        (void)snprintf(copy[l], sizeof *copy, "%s", text[l]);
        char *rest = copy[l];
        for (const char **to = list[l]; rest && *rest && to < list[l] + 10;)
            *to++ = strsep(&rest, " ");
    }
    struct qs_pty *p = qs_pty_start(&(struct qs_pty_args){ .argv = argv, .env = vars, .rows = rows, .cols = cols });
    assert_non_null(p);
    return p;
}

static void shows(struct qs_pty *p, const char *text)
{
    assert_true(qs_pty_wait_text(p, text));
}

static void keys(struct qs_pty *p, const char *bytes, const char *then)
{
    qs_pty_send(p, bytes);
    shows(p, then);
}

/* As it was before the program: what it set is taken back, lines are edited and echoed again. */
static void is_clean(struct qs_pty *p)
{
    const struct qs_pty_modes m = qs_pty_modes(p);
    struct termios t;
    qs_pty_tty(p, &t);
    if (m.alternate || m.cursor_hidden || m.mouse || m.sgr_mouse || m.paste || m.sync)
        qs_pty_print(p);
    assert_false(m.alternate || m.cursor_hidden || m.mouse || m.sgr_mouse || m.paste || m.sync);
    assert_true(t.c_lflag & ICANON && t.c_lflag & ECHO && t.c_lflag & ISIG && t.c_iflag & ICRNL && t.c_oflag & OPOST);
}

static void leaves(struct qs_pty *p)
{
    int status = -1;
    assert_true(qs_pty_wait_exit(p, &status));
    if (status)
        qs_pty_print(p);
    assert_int_equal(status, 0);
    is_clean(p);
    qs_pty_end(p);
}

/* ---- a sitting ---- */

static const unsigned sizes[][2] = { { 24, 80 }, { 50, 200 } };

/* Finds the worst tensor, raises it, takes that back, raises it again, writes, leaves. */
static void test_a_sitting(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char words[4200], command[64], name[32];
        struct stat st;
        (void)snprintf(words, sizeof words, "screen %s --threads 2", demo);
        struct qs_pty *p = start(words, "COLORTERM=truecolor", sizes[i][0], sizes[i][1]);
        shows(p, "[1 Overview]");
        shows(p, "storyteller");
        keys(p, "2", "[2 Map]");
        shows(p, "error 6.0"); /* all that the recipe needs has been measured */
        keys(p, "b", "blk.4.attn_v.weight");
        keys(p, "+", "+ 1 pin");
        keys(p, "u", "undone");
        qs_pty_send(p, "\033");
        assert_true(qs_pty_wait_no_text(p, "+ 1 pin"));
        keys(p, "2t", "Type of ");
        keys(p, "\033", "[2 Map]");
        keys(p, "/attn_k\r+", "+ 1 pin");
        keys(p, "3", "[3 Tensors]");
        keys(p, "4", "pin  blk.");
        keys(p, "9", "opened ");
        keys(p, "?", "Everywhere");
        (void)snprintf(name, sizeof name, "sitting%zu.gguf", i);
        (void)snprintf(command, sizeof command, "\025%s\r", name);
        keys(p, "W", "write to: ");
        keys(p, command, "writing sitting");
        keys(p, "w", "[8 Jobs]");
        shows(p, "relative RMS error");
        keys(p, "q", "not saved");
        qs_pty_send(p, "q");
        leaves(p);
        assert_int_equal(stat(name, &st), 0);
        assert_true(st.st_size > 5 << 20);
    }
}

static void test_picker(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct qs_pty *p = start("", "", sizes[i][0], sizes[i][1]);
        shows(p, "Models on this machine");
        shows(p, "many");
        keys(p, "2", "No model is open");
        keys(p, "1", "small.gguf");
        keys(p, "/^small\r", "small.gguf");
        keys(p, "\r", "architecture");
        keys(p, "2", "attn_q");
        qs_pty_send(p, "q");
        leaves(p);
    }
}

/* ---- one axis at a time ---- */

static void walk(struct qs_pty *p)
{
    static const char *const tab[][2] = { { "2", "[2 Map]" },     { "3", "[3 Tensors]" }, { "4", "[4 Recipe]" },
                                          { "5", "[5 Calib]" },   { "6", "[6 Eval]" },    { "7", "[7 Chat]" },
                                          { "8", "[8 Jobs]" },    { "9", "[9 Log]" },
                                          { "?", "[? Help]" },
                                          { "1", "[1 Overview]" } };
    shows(p, "[1 Overview]");
    for (size_t i = 0; i < sizeof tab / sizeof *tab; i++)
        keys(p, tab[i][0], tab[i][1]);
    keys(p, "2", "attn_q");
}

static bool colored(struct qs_pty *p, unsigned rows, unsigned cols, enum qs_pty_color_kind kind)
{
    for (unsigned y = 0; y < rows; y++)
        for (unsigned x = 0; x < cols; x++) {
            const struct qs_pty_cell c = qs_pty_cell(p, (int)y, (int)x);
            if (c.fg.kind == kind || c.bg.kind == kind)
                return true;
        }
    return false;
}

static void test_axes(void **state)
{
    (void)state;
    static const struct {
        const char *words, *env;
        unsigned rows, cols;
        int color; /* that the map has; -1: none at all */
        bool ascii;
    } row[] = {
        { "", "TERM=xterm-256color", 24, 80, QS_PTY_INDEX, false },
        { "", "TERM=tmux-256color", 24, 80, QS_PTY_INDEX, false },
        { "", "TERM=screen", 24, 80, QS_PTY_INDEX, false },
        { "", "TERM=linux", 24, 80, QS_PTY_INDEX, false },
        { "", "TERM=vt100", 24, 80, -1, false },
        { "", "LC_ALL=C", 24, 80, QS_PTY_INDEX, true },
        { "--ascii", "", 24, 80, QS_PTY_INDEX, true },
        { "", "COLORTERM=truecolor", 24, 80, QS_PTY_RGB, false },
        { "", "NO_COLOR=1 COLORTERM=truecolor", 24, 80, -1, false },
        { "--color truecolor", "", 24, 80, QS_PTY_RGB, false },
        { "--color 256", "COLORTERM=truecolor", 24, 80, QS_PTY_INDEX, false },
        { "--color 16", "", 24, 80, QS_PTY_INDEX, false },
        { "--color mono", "", 24, 80, -1, false },
        { "--theme light", "COLORTERM=truecolor", 24, 80, QS_PTY_RGB, false },
        { "--theme high-contrast", "COLORTERM=truecolor", 24, 80, QS_PTY_RGB, false },
        { "--theme colorblind", "COLORTERM=truecolor", 24, 80, QS_PTY_RGB, false },
        { "--theme mono", "COLORTERM=truecolor", 24, 80, -1, false },
        { "", "", 10, 40, QS_PTY_INDEX, false },
        { "", "", 20, 60, QS_PTY_INDEX, false },
        { "", "", 50, 200, QS_PTY_INDEX, false },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char words[256];
        size_t n;
        (void)snprintf(words, sizeof words, "screen small.gguf%s%s", *row[i].words ? " " : "", row[i].words);
        struct qs_pty *p = start(words, row[i].env, row[i].rows, row[i].cols);
        walk(p);
        assert_true(qs_pty_wait_idle(p));
        const unsigned rows = row[i].rows, cols = row[i].cols;
        if (row[i].color >= 0 ? !colored(p, rows, cols, (enum qs_pty_color_kind)row[i].color)
                              : colored(p, rows, cols, QS_PTY_RGB) || colored(p, rows, cols, QS_PTY_INDEX)) {
            qs_pty_print(p);
            fail_msg("'%s' '%s': not the colours that were expected", row[i].words, row[i].env);
        }
        const char *out = qs_pty_output(p, &n);
        for (size_t k = 0; row[i].ascii && k < n; k++)
            assert_false((unsigned char)out[k] & 0x80);
        qs_pty_send(p, "q");
        leaves(p);
    }
}

static void test_too_small(void **state)
{
    (void)state;
    struct qs_pty *p = start("small.gguf", "", 5, 20);
    shows(p, "small: 40 columns");
    qs_pty_resize(p, 24, 80);
    shows(p, "[1 Overview]");
    qs_pty_resize(p, 9, 39);
    shows(p, "too small");
    qs_pty_send(p, "q");
    leaves(p);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct { const char *words, *env, *says; } row[] = {
        { "small.gguf", "TERM=dumb", "quantscape: " }, { "screen small.gguf --theme nothing", "", "nothing" },
        { "screen small.gguf --size 80x24", "", "--play" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct qs_pty *p = start(row[i].words, row[i].env, 24, 80);
        int status = 0;
        assert_true(qs_pty_wait_exit(p, &status));
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 0);
        shows(p, row[i].says);
        is_clean(p);
        qs_pty_end(p);
    }
}

/* ---- quiet, sizes, stopping ---- */

static void test_nothing_new_writes_nothing(void **state)
{
    (void)state;
    struct qs_pty *p = start("small.gguf", "COLORTERM=truecolor", 24, 80);
    size_t n;
    shows(p, "[1 Overview]");
    keys(p, "2", "attn_q");
    shows(p, "error ");
    qs_pty_send(p, "gg00");
    for (int quiet = 0; quiet < 200; quiet++) { /* until the survey has ended and is drawn: nothing comes after a key */
        qs_pty_forget_output(p);
        qs_pty_send(p, "g");
        assert_true(qs_pty_wait_idle(p));
        qs_pty_output(p, &n);
        if (!n && qs_pty_find(p, "measuring", NULL) < 0 && quiet > 20)
            break;
        assert_true(quiet < 199);
    }
    qs_pty_forget_output(p);
    for (int i = 0; i < 20; i++) {
        qs_pty_send(p, i % 2 ? "g" : "\033[20~" /* F9 */);
        assert_true(qs_pty_wait_idle(p));
    }
    qs_pty_output(p, &n);
    assert_int_equal(n, 0);
    qs_pty_send(p, "q");
    leaves(p);
}

static void test_resize_storm(void **state)
{
    (void)state;
    struct qs_pty *p = start("screen many.gguf --threads 1", "COLORTERM=truecolor", 24, 80);
    shows(p, "[1 Overview]");
    for (unsigned i = 0; i < 300; i++) {
        qs_pty_resize(p, 1 + i * 7 % 60, 1 + i * 31 % 250);
        if (i % 5 == 0)
            qs_pty_send(p, i % 2 ? "2" : "3");
    }
    qs_pty_resize(p, 31, 117);
    keys(p, "2", "[2 Map]");
    shows(p, "attn_q");
    qs_pty_resize(p, 24, 80);
    keys(p, "3", "[3 Tensors]");
    qs_pty_send(p, ":quit!\r");
    leaves(p);
}

static void test_stop_and_continue(void **state)
{
    (void)state;
    struct qs_pty *p = start("screen many.gguf --threads 1", "", 24, 80);
    shows(p, "[1 Overview]");
    keys(p, "2", "attn_q");
    shows(p, "measuring");
    for (int way = 0; way < 2; way++) {
        if (way)
            qs_pty_signal(p, SIGTSTP);
        else
            qs_pty_send(p, "\032"); /* Ctrl-Z */
        assert_true(qs_pty_wait_stopped(p));
        assert_true(qs_pty_wait_output(p, "\033[?1049l"));
        is_clean(p);
        qs_pty_forget_output(p);
        qs_pty_continue(p);
        shows(p, "[2 Map]");
        keys(p, "3", "[3 Tensors]");
        const struct qs_pty_modes m = qs_pty_modes(p);
        assert_true(m.alternate && m.cursor_hidden && m.mouse && m.paste);
        keys(p, "2", "[2 Map]");
    }
    qs_pty_send(p, "q");
    leaves(p);
}

/* ---- every way to end, while work runs ---- */

static void test_signals(void **state)
{
    (void)state;
    static const int sig[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
    for (size_t i = 0; i < sizeof sig / sizeof *sig; i++) {
        struct qs_pty *p = start("screen many.gguf --threads 1", "COLORTERM=truecolor", 24, 80);
        int status = 0;
        shows(p, "measuring");
        assert_true(qs_pty_modes(p).alternate);
        qs_pty_signal(p, sig[i]);
        assert_true(qs_pty_wait_exit(p, &status));
        if (!WIFSIGNALED(status) || WTERMSIG(status) != sig[i])
            fail_msg("signal %d: it ended with %x", sig[i], (unsigned)status);
        is_clean(p);
        qs_pty_end(p);
    }
}

static void test_hang_up(void **state)
{
    (void)state;
    struct qs_pty *p = start("screen many.gguf --threads 1", "", 24, 80);
    int status = 0;
    shows(p, "measuring");
    qs_pty_hang_up(p);
    assert_true(qs_pty_wait_exit(p, &status));
    qs_pty_end(p);
}

/* ---- keys are heard while work runs ---- */

/* One thread that never rests: the model takes minutes to measure. Every key is answered, on a screen that waits for
 * none of it; an open that fails and a zoom go on beside it. */
static void test_keys_while_measuring(void **state)
{
    (void)state;
    struct qs_pty *p = start("screen many.gguf --threads 1 --level ref", "", 24, 80);
    shows(p, "measuring");
    for (int i = 0; i < 10; i++) {
        keys(p, "2", "[2 Map]");
        keys(p, "3", "[3 Tensors]");
        keys(p, "4", "[4 Recipe]");
    }
    keys(p, "2\r", " as ");
    keys(p, "v", "columns (input channels)");
    keys(p, "\033", "[2 Map]");
    keys(p, ":open nothing.gguf\r", "cannot open");
    keys(p, "2/blk.25.ffn_up\r", "blk.25.ffn_up");
    keys(p, "+", "+ 1 pin");
    keys(p, "g", "measuring"); /* it has not ended meanwhile */
    qs_pty_send(p, ":quit!\r");
    leaves(p);
}

/* Paused, everything can be looked at and nothing goes on; cancelled, what is finished is kept; then it is written. */
static void test_writing_paused_cancelled_resumed(void **state)
{
    (void)state;
    struct stat st;
    struct qs_pty *p = start("screen some.gguf --threads 1 --level ref", "", 24, 80);
    shows(p, "[1 Overview]");
    shows(p, "architecture");
    qs_pty_send(p, ":write written.gguf\rwp");
    shows(p, "[8 Jobs]");
    shows(p, "paus");
    for (int i = 0; i < 3; i++) {
        keys(p, "2", "[2 Map]");
        keys(p, "3", "[3 Tensors]");
        keys(p, "w", "paus");
    }
    assert_int_not_equal(stat("written.gguf", &st), 0);
    keys(p, "p", "running");
    keys(p, "x", "Stop writing");
    keys(p, "s", "cancelled");
    assert_int_not_equal(stat("written.gguf", &st), 0);
    keys(p, "r", "kept");
    shows(p, "relative RMS error");
    assert_int_equal(stat("written.gguf", &st), 0);
    /* Again, over it: asked for, and left while it runs. */
    keys(p, ":write written.gguf\r", "exists");
    keys(p, "o", "writing written.gguf");
    qs_pty_send(p, ":quit!\r");
    leaves(p);
}

/* ---- two models ---- */

/* Original and candidate answer side by side: what both take is said first; token by token, stopped, in free mode. */
static void test_two_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char words[4200];
        (void)snprintf(words, sizeof words, "screen %s --threads 2", demo);
        struct qs_pty *p = start(words, "COLORTERM=truecolor", sizes[i][0], sizes[i][1]);
        shows(p, "error 6.0");
        keys(p, ":preset Q2_K\r", "3.365 bpw");
        keys(p, "7", "[7 Chat]");
        keys(p, "s", "Two models side by side");
        shows(p, "Private memory in all");
        keys(p, "l", "candidate Q2_K");
        keys(p, ":chat-set max-tokens 300\r", "max-tokens = 300");
        keys(p, "i", "a message, or / and a command");
        qs_pty_paste(p, "Once upon a time\nthere was");
        shows(p, "there was");
        keys(p, "\r", "writing; prefill"); /* while it streams */
        shows(p, "KLD mean 0.0");
        keys(p, "\033x", "cancelled");
        assert_true(colored(p, sizes[i][0], sizes[i][1], QS_PTY_RGB));
        keys(p, "l", "token 1 ");
        keys(p, "\033:chat-set max-tokens 12\r", "max-tokens = 12");
        keys(p, "f", "free: each writes its own answer");
        keys(p, "r", "parted at ");
        keys(p, "2", "[2 Map]");
        keys(p, "q", "not saved");
        qs_pty_send(p, "q");
        leaves(p);
    }
}

/* Text beside the model: 60 lines of a story. */
static bool write_story(const char *path)
{
    FILE *f = fopen(path, "w");
    for (int i = 0; f && i < 60; i++)
        (void)fprintf(f, "Once upon a time there were %d birds in a tree, and %d cats looked at them all day long.\n", i,
                      i * 7 % 11);
    return f && fclose(f) == 0;
}

/* Cells of the map whose value is not known; 0: none, or what is seen is half of one frame and half of the next. */
static unsigned unknown(struct qs_pty *p)
{
    char title[32];
    int col;
    unsigned n = 0;
    for (int y = 4; y < 14; y++)
        for (const char *row = qs_pty_row(p, y); (row = strchr(row, '?')) != NULL; row++)
            n++;
    (void)snprintf(title, sizeof title, ", %u of 57 not known", n);
    return qs_pty_find(p, title, &col) >= 0 ? n : 0;
}

static bool fewer_unknown(struct qs_pty *p, void *ctx)
{
    const unsigned n = unknown(p);
    return n && n < *(unsigned *)ctx;
}

/* The map while a calibration runs, seen twice: another picture, and fewer cells that are not known. Then it is cancelled
 * and gone on with to its end, beside a chat. */
static void test_calibrating(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char words[64];
        (void)snprintf(words, sizeof words, "screen cal%zu.gguf --threads 2", i);
        struct qs_pty *p = start(words, "COLORTERM=truecolor", sizes[i][0], sizes[i][1]);
        shows(p, "as Q4_K_M");
        keys(p, "5", "[5 Calib]");
        keys(p, ":calib-text cal.txt\r", "text, weight 1");
        keys(p, ":calib-set windows 16\r", "windows              16");
        keys(p, ":calib-set ctx 64\r", "It takes about");
        keys(p, "c", "Output error by role");
        keys(p, "m", "Output error in %, on held-out text");
        unsigned left[2] = { 57, 0 };
        char row[2][1024] = { "", "" };
        for (int k = 0; k < 2; k++) {
            assert_true(qs_pty_wait(p, fewer_unknown, &left[0], "another tensor on the map"));
            left[1] = left[0];
            left[0] = unknown(p);
            for (int y = 3; y < 14; y++)
                (void)strncat(row[k], qs_pty_row(p, y), 90);
        }
        assert_true(left[0] < left[1]);
        assert_string_not_equal(row[0], row[1]);
        keys(p, "5x", "Cancelled; what is done is kept");
        if (i == 0) { /* once to the end */
            keys(p, "r", "Output error by role");
            keys(p, "7", "[7 Chat]"); /* meanwhile */
            qs_pty_send(p, "5");
            bool done = false; /* it computes for a while: longer than one wait where others compute too */
            for (int tries = 0; tries < 5 && !done; tries++)
                done = qs_pty_wait_text(p, "Done.");
            assert_true(done);
        }
        qs_pty_send(p, "q");
        leaves(p);
    }
}

/* ---- the scratch folder ---- */

static int make(void **state)
{
    const struct mm_spec small = {
        .layers = 2, .embd = 256, .ff = 256, .heads = 4, .kv_heads = 2, .vocab = 64, .type = QS_F16
    };
    const struct mm_spec cal = { .layers = 8, .embd = 256, .ff = 256, .vocab = 300, .byte_tokens = true };
    const struct mm_spec some = {
        .layers = 24, .embd = 512, .ff = 1024, .heads = 4, .kv_heads = 4, .vocab = 64, .type_set = true, .type =
        QS_F32, .fill = MM_SPARSE
    };
    const struct mm_spec many = {
        .layers = 30, .embd = 1024, .ff = 4096, .heads = 4, .kv_heads = 4, .vocab = 512, .type_set = true, .type =
        QS_F32, .fill = MM_SPARSE
    };
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    if (!qs_test_home() || mm_file("cal0.gguf", &cal, &e) || mm_file("cal1.gguf", &cal, &e) || !write_story("cal.txt") ||
        mm_file("small.gguf", &small, &e) || mm_file("some.gguf", &some, &e) ||
        mm_file("many.gguf", &many, &e)) {
        print_error("%s\n", e.msg);
        return -1;
    }
    return 0;
}

int main(void)
{
    const char *dir = getenv("QS_BUILDDIR");
    (void)snprintf(program, sizeof program, "%s/src/quantscape", dir ? dir : ".");
    (void)snprintf(demo, sizeof demo, "%s", qs_test_src("demo/storyteller-9m-f16.gguf"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sitting),
        cmocka_unit_test(test_two_answers),
        cmocka_unit_test(test_calibrating),
        cmocka_unit_test(test_picker),
        cmocka_unit_test(test_axes),
        cmocka_unit_test(test_too_small),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_nothing_new_writes_nothing),
        cmocka_unit_test(test_resize_storm),
        cmocka_unit_test(test_stop_and_continue),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_hang_up),
        cmocka_unit_test(test_keys_while_measuring),
        cmocka_unit_test(test_writing_paused_cancelled_resumed),
    };
    return cmocka_run_group_tests(tests, make, NULL);
}
