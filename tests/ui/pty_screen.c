/* pty_screen.c - what is on the screen of a pseudo-terminal, its modes and attributes. See pty.h. */
#include <stdio.h>
#include <string.h>

#include "tests/ui/pty_internal.h"

static struct qs_pty_color color_of(const VTermColor *c, bool is_default)
{
    if (is_default)
        return (struct qs_pty_color){ QS_PTY_DEFAULT, 0 };
    if (VTERM_COLOR_IS_INDEXED(c))
        return (struct qs_pty_color){ QS_PTY_INDEX, c->indexed.idx };
    return (struct qs_pty_color){ QS_PTY_RGB, (uint32_t)c->rgb.red << 16 | (uint32_t)c->rgb.green << 8 | c->rgb.blue };
}

static void put_utf8(char *out, size_t n, uint32_t cp)
{
    size_t at = strlen(out);
    if (cp == (uint32_t)-1 || at + 5 > n)
        return;
    const int tail = cp < 0x80 ? 0 : cp < 0x800 ? 1 : cp < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = { 0, 0xC0, 0xE0, 0xF0 };
    out[at++] = (char)(lead[tail] | cp >> (6 * tail));
    for (int i = tail - 1; i >= 0; i--)
        out[at++] = (char)(0x80 | (cp >> (6 * i) & 0x3F));
    out[at] = 0;
}

struct qs_pty_cell qs_pty_cell(struct qs_pty *p, int row, int col)
{
    VTermScreenCell c;
    struct qs_pty_cell out = { .text = "" };
    memset(&c, 0, sizeof c);
    vterm_screen_get_cell(p->screen, (VTermPos){ .row = row, .col = col }, &c);
    for (int i = 0; i < VTERM_MAX_CHARS_PER_CELL && c.chars[i]; i++)
        put_utf8(out.text, sizeof out.text, c.chars[i]);
    out.width = (unsigned)c.width;
    out.fg = color_of(&c.fg, VTERM_COLOR_IS_DEFAULT_FG(&c.fg));
    out.bg = color_of(&c.bg, VTERM_COLOR_IS_DEFAULT_BG(&c.bg));
    out.bold = c.attrs.bold;
    out.underline = c.attrs.underline != 0;
    out.reverse = c.attrs.reverse;
    out.italic = c.attrs.italic;
    return out;
}

const char *qs_pty_row(struct qs_pty *p, int row)
{
    qs_str_clear(&p->line);
    for (int x = 0; x < (int)p->cols; x++) {
        VTermScreenCell c;
        memset(&c, 0, sizeof c);
        vterm_screen_get_cell(p->screen, (VTermPos){ .row = row, .col = x }, &c);
        if (c.chars[0] == (uint32_t)-1)
            continue;
        char text[32] = "";
        for (int i = 0; i < VTERM_MAX_CHARS_PER_CELL && c.chars[i]; i++)
            put_utf8(text, sizeof text, c.chars[i]);
        qs_str_add(&p->line, *text ? text : " ");
    }
    while (p->line.len && p->line.data[p->line.len - 1] == ' ')
        p->line.data[--p->line.len] = 0;
    return p->line.data;
}

int qs_pty_find(struct qs_pty *p, const char *text, int *col)
{
    for (int y = 0; y < (int)p->rows; y++) {
        const char *row = qs_pty_row(p, y), *at = strstr(row, text);
        if (!at)
            continue;
        int cells = 0; /* characters before it; wide ones count once: good for ASCII */
        for (const char *s = row; s < at; s++)
            cells += (*s & 0xC0) != 0x80;
        if (col)
            *col = cells;
        return y;
    }
    return -1;
}

void qs_pty_cursor(struct qs_pty *p, int *row, int *col)
{
    VTermPos at;
    vterm_state_get_cursorpos(vterm_obtain_state(p->vt), &at);
    *row = at.row;
    *col = at.col;
}

struct qs_pty_modes qs_pty_modes(const struct qs_pty *p)
{
    return p->modes;
}

void qs_pty_tty(const struct qs_pty *p, struct termios *t)
{
    memset(t, 0, sizeof *t);
    if (tcgetattr(p->master, t))
        perror("tcgetattr");
}

bool qs_pty_tty_equal(const struct termios *a, const struct termios *b)
{
    return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag && a->c_lflag == b->c_lflag && a->c_cflag == b->c_cflag &&
           memcmp(a->c_cc, b->c_cc, sizeof a->c_cc) == 0;
}

void qs_pty_tty_set(struct qs_pty *p, const struct termios *t)
{
    if (tcsetattr(p->master, TCSANOW, t))
        perror("tcsetattr");
}

pid_t qs_pty_pid(const struct qs_pty *p)
{
    return p->pid;
}

const char *qs_pty_output(const struct qs_pty *p, size_t *n)
{
    *n = p->output.len;
    return p->output.data;
}

void qs_pty_forget_output(struct qs_pty *p)
{
    while (qs_pty_pump(p, 0) && !p->closed)
        ;
    qs_str_clear(&p->output);
    p->scanned = 0;
}

unsigned qs_pty_frames(const struct qs_pty *p)
{
    return p->frames;
}

void qs_pty_print(struct qs_pty *p)
{
    (void)fprintf(stderr, "---- screen of %u x %u%s, %zu bytes of output kept\n", p->rows, p->cols,
                  p->ended ? ", program ended" : p->stopped ? ", program stopped" : "", p->output.len);
    for (int y = 0; y < (int)p->rows; y++) {
        const char *row = qs_pty_row(p, y);
        if (*row)
            (void)fprintf(stderr, "%3d|%s\n", y, row);
    }
}
