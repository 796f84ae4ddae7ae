/* term_probe.c - a small program on ui/term.h for the tests: draws a known grid, prints the events it gets.
 *
 * Words: tier=N, mouse, sync. Keys that do something (all but n are printed): q quits, n shows the same frame three
 * times, z suspends, m takes the mouse, M lets it go, e writes to standard error, c sends to the clipboard, C sends too
 * much, p shows many pairs of colours, P more of them, t types (shows the cursor), a writes all anew.
 */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "ui/term.h"

#define LOG_ROWS 6

static struct {
    struct qs_term_args args;
    struct qs_cells cells;
    char log[LOG_ROWS][120];
    unsigned events, pairs, frames;
    char stray[120];
    bool typing, quit;
} probe = { .args = { .tier = -1 }, .cells = QS_CELLS_INIT };

static void options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "tier=", 5) == 0)
            probe.args.tier = argv[i][5] - '0';
        probe.args.mouse |= strcmp(argv[i], "mouse") == 0;
        probe.args.sync |= strcmp(argv[i], "sync") == 0;
    }
}

static void note(const char *fmt, ...) QS_PRINTF(1, 2);
static void note(const char *fmt, ...)
{
    va_list ap;
    memmove(probe.log, probe.log + 1, sizeof probe.log - sizeof *probe.log);
    const int n = snprintf(probe.log[LOG_ROWS - 1], sizeof *probe.log, "%u: ", ++probe.events);
    va_start(ap, fmt);
    (void)vsnprintf(probe.log[LOG_ROWS - 1] + n, sizeof *probe.log - (size_t)n, fmt, ap);
    va_end(ap);
}

/* A paste with its line feeds as '|'. */
static const char *one_line(const char *text)
{
    static char out[64];
    (void)snprintf(out, sizeof out, "%s", text);
    for (char *p = out; *p; p++)
        if (*p == '\n')
            *p = '|';
    return out;
}

/* ---- drawing ---- */

static void draw_colors(const struct qs_canvas *c)
{
    static const struct { qs_color fg, bg; unsigned attr; const char *glyph; } cell[] = {
        { QS_COLOR_RGB(0x44, 0x01, 0x54), QS_COLOR_RGB(0xfd, 0xe7, 0x25), 0, "\xE2\x96\x80" },
        { QS_COLOR_RGB(0, 0, 3), QS_COLOR_RGB(255, 255, 255), 0, "B" },
        { QS_COLOR_RGB(7, 0, 0), QS_COLOR_DEFAULT, 0, "C" },
        { QS_COLOR_PALETTE(196), QS_COLOR_PALETTE(21), 0, "D" },
        { QS_COLOR_PALETTE(9), QS_COLOR_PALETTE(4), 0, "E" },
        { QS_COLOR_PALETTE(2), QS_COLOR_DEFAULT, QS_BOLD, "F" },
        { QS_COLOR_DEFAULT, QS_COLOR_DEFAULT, QS_REVERSE | QS_UNDERLINE, "G" },
        { QS_COLOR_PALETTE(8), QS_COLOR_PALETTE(0), 0, "H" },
    };
    for (size_t i = 0; i < sizeof cell / sizeof *cell; i++)
        qs_draw_glyph(c, 1, (int)i, (struct qs_style){ cell[i].fg, cell[i].bg, cell[i].attr }, cell[i].glyph);
}

/* One cell for each pair, from row 12 on: foreground and background tell the pair. */
static void draw_pairs(const struct qs_canvas *c)
{
    const int cols = qs_canvas_cols(c);
    for (unsigned i = 0; i < probe.pairs; i++) {
        const struct qs_style s = { QS_COLOR_PALETTE(i % 8), QS_COLOR_PALETTE(i / 8 % 8), 0 };
        qs_draw_glyph(c, 12 + (int)i / cols, (int)i % cols, s, "x");
    }
}

static void draw(void)
{
    const struct qs_style plain = { 0 };
    const struct qs_canvas c = qs_canvas_of(&probe.cells, false);
    qs_draw_fill(&c, c.at, plain);
    qs_draw_textf(&c, 0, 0, plain, "probe %ux%u tier %s", probe.cells.rows, probe.cells.cols,
                  (const char *[]){ "mono", "16", "256", "rgb" }[qs_term_tier()]);
    draw_colors(&c);
    qs_draw_text(&c, 2, 0, plain, "\xE6\xBC\xA2|e\xCC\x81|", -1);
    qs_draw_textf(&c, 3, 0, plain, "stray: %s", probe.stray);
    for (int i = 0; i < LOG_ROWS; i++)
        qs_draw_text(&c, 4 + i, 0, plain, probe.log[i], -1);
    draw_pairs(&c);
}

static void show(bool all)
{
    qs_term_show(&probe.cells, all, probe.typing ? 3 : -1, probe.typing ? 5 : -1);
}

/* ---- events ---- */

static void act(uint32_t key)
{
    switch (key) {
    case 'q': probe.quit = true; break;
    case 'z': qs_term_suspend(); break;
    case 'm': qs_term_mouse(true); break;
    case 'M': qs_term_mouse(false); break;
    case 'e': fputs("a \033[31mstray\nline\nwithout end", stderr); break;
    case 'c': note("clipboard %d", qs_term_clipboard("hello")); break;
    case 'C': {
        static char text[80000];
        memset(text, 'x', sizeof text - 1);
        note("clipboard %d", qs_term_clipboard(text));
        break;
    }
    case 'p': probe.pairs = 60; break;
    case 'P': probe.pairs = 64; break;
    case 't': probe.typing = !probe.typing; break;
    case 'a': show(true); break;
    default: break;
    }
}

static void take(const struct qs_event *ev)
{
    static const char *const what[] = { "press", "release", "drag", "wheel-up", "wheel-down" };
    if (ev->kind == QS_EVENT_KEY && ev->key == 'n') { /* nothing is to change */
        for (int i = 0; i < 3; i++)
            show(false);
        return;
    }
    if (ev->kind == QS_EVENT_KEY)
        note("key %x", ev->key);
    else if (ev->kind == QS_EVENT_MOUSE)
        note("%s %u at %d %d", what[ev->mouse], ev->button, ev->row, ev->col);
    else if (ev->kind == QS_EVENT_PASTE)
        note("paste %zu [%.60s]", strlen(ev->text), one_line(ev->text));
    else
        note("background %s", ev->light ? "light" : "dark");
    if (ev->kind == QS_EVENT_KEY)
        act(ev->key);
}

static void take_stray(void)
{
    const char *s = qs_term_stray();
    if (!*s)
        return;
    size_t n = 0;
    for (; *s && n + 1 < sizeof probe.stray; s++)
        probe.stray[n++] = *s == '\n' ? '/' : *s;
    probe.stray[n] = 0;
}

static void say_idle(void)
{
    const char *fd = getenv("QS_IDLE_FD");
    char text[32];
    const int n = snprintf(text, sizeof text, "%llu\n", qs_term_taken());
    if (fd && write((int)strtol(fd, NULL, 10), text, (size_t)n) != n)
        return;
}

int main(int argc, char **argv)
{
    struct qs_err e = QS_ERR_INIT;
    setlocale(LC_CTYPE, "");
    options(argc, argv);
    qs_term_guard();
    if (qs_term_open(&probe.args, &e)) {
        fprintf(stderr, "refused: %s\n", e.msg);
        return 3;
    }
    while (!probe.quit && !qs_term_ending()) {
        struct qs_event ev;
        unsigned rows, cols;
        while (qs_term_event(&ev))
            take(&ev);
        take_stray();
        qs_term_size(&rows, &cols);
        if (qs_cells_resize(&probe.cells, rows, cols, &e))
            break;
        draw();
        show(false);
        say_idle();
        if (!probe.quit)
            qs_term_wait(-1, -1);
    }
    const int sig = qs_term_ending();
    qs_term_close();
    qs_cells_free(&probe.cells);
    if (sig > 0)
        raise(sig);
    return sig < 0 ? 4 : 0;
}
