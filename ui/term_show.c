/* term_show.c - the grid of cells to curses: what changed, colours to pairs, one update a frame.
 *
 * Owns what was shown last and the table of colour pairs. Pairs are an int in setcchar and init_extended_pair: COLOR_PAIR
 * knows 255 only. A pair that a cell of the frame uses is never given other colours: when the table is full, pairs that no
 * cell uses any more are taken, and when there are none the foreground is the default one (and then the background).
 */
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include <ncurses.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/unicode.h"
#include "ui/term_parts.h"

#define BUCKETS 4096
#define ENOUGH_PAIRS 32768 /* more than that many on one screen is noise */

struct pair { int fg, bg, next; unsigned frame; }; /* next in the bucket; 0: none */

static struct {
    enum qs_tier tier;
    bool sync, utf8, own_default; /* the terminal's own colours can be asked for */
    bool anew;                    /* the next frame is written whole */
    unsigned frame;
    int cursor_row, cursor_col;
    struct qs_glyph *shown;       /* rows * cols, as on the terminal; NULL: not known */
    unsigned rows, cols;
    struct pair *pair;            /* 1 .. pairs */
    size_t pair_cap;
    int pairs, pair_limit, hand;
    bool stamped;                 /* pairs that this frame uses are marked */
    bool poor;                    /* a cell of the last frame did not get its colours */
    int bucket[BUCKETS];
} show;

/* ---- pairs ---- */

static int *bucket_of(int fg, int bg)
{
    return &show.bucket[((unsigned)fg * 2654435761u ^ (unsigned)bg * 2246822519u) >> 20];
}

static int pair_find(int fg, int bg)
{
    int i = *bucket_of(fg, bg);
    while (i && (show.pair[i].fg != fg || show.pair[i].bg != bg))
        i = show.pair[i].next;
    return i;
}

static void pair_unlink(int i)
{
    int *p = bucket_of(show.pair[i].fg, show.pair[i].bg);
    while (*p != i)
        p = &show.pair[*p].next;
    *p = show.pair[i].next;
}

/* Curses' number of a colour, as far as the tier has it. */
static int color_number(qs_color c, bool foreground)
{
    const int standard = show.own_default ? -1 : foreground ? COLOR_WHITE : COLOR_BLACK;
    const int index = (int)(c & 0xFF);
    if (c == QS_COLOR_DEFAULT)
        return standard;
    if (c < QS_COLOR_PALETTE(0))
        return show.tier == QS_TIER_RGB ? (int)(c & 0xFFFFFF) : standard;
    if (show.tier == QS_TIER_RGB)
        return 0x1000000 + index; /* as our description has it */
    if (index < COLORS)
        return index;
    if (index >= 16)
        return standard;
    return foreground && index == 8 ? COLOR_WHITE : index - 8; /* eight colours: bright black is no text colour */
}

static void color_numbers(const struct qs_style *s, int *fg, int *bg)
{
    *bg = color_number(s->bg, false);
    *fg = color_number(s->fg, true);
    if (*fg == *bg && s->fg != s->bg && *fg >= 0) /* two colours that are one here: text must be seen */
        *fg = *bg == COLOR_WHITE ? COLOR_BLACK : COLOR_WHITE;
}

/* Marks the pairs of the whole frame, so that none of them is taken. */
static void stamp_all(const struct qs_cells *c)
{
    for (size_t i = 0; i < (size_t)c->rows * c->cols; i++) {
        int fg, bg;
        color_numbers(&c->glyph[i].style, &fg, &bg);
        const int p = pair_find(fg, bg);
        if (p)
            show.pair[p].frame = show.frame;
    }
    show.stamped = true;
}

/* A pair that may be given new colours; 0: there is none. */
static int pair_spare(const struct qs_cells *c)
{
    if (show.pairs < show.pair_limit && qs_grow(&show.pair, &show.pair_cap, (size_t)show.pairs + 2, sizeof *show.pair))
        return ++show.pairs;
    if (!show.stamped)
        stamp_all(c);
    for (int n = 0; n < show.pairs; n++) {
        show.hand = show.hand % show.pairs + 1;
        if (show.pair[show.hand].frame == show.frame)
            continue;
        pair_unlink(show.hand);
        return show.hand;
    }
    return 0;
}

static int pair_of(const struct qs_cells *c, int fg, int bg)
{
    int p = pair_find(fg, bg);
    if (!p) {
        p = pair_spare(c);
        if (!p)
            return 0;
        int *b = bucket_of(fg, bg);
        show.pair[p] = (struct pair){ fg, bg, *b, 0 };
        *b = p;
        init_extended_pair(p, fg, bg);
    }
    show.pair[p].frame = show.frame;
    return p;
}

static int pair_for(const struct qs_cells *c, const struct qs_style *s)
{
    if (show.tier == QS_TIER_MONO || (s->fg == QS_COLOR_DEFAULT && s->bg == QS_COLOR_DEFAULT))
        return 0;
    int fg, bg;
    color_numbers(s, &fg, &bg);
    int p = pair_of(c, fg, bg);
    if (!p) {
        show.poor = true;
        p = pair_of(c, color_number(QS_COLOR_DEFAULT, true), bg);
    }
    return p;
}

/* ---- cells ---- */

static attr_t attributes(unsigned attr)
{
    static const struct { unsigned ours; attr_t theirs; } table[] = {
        { QS_BOLD, A_BOLD }, { QS_DIM, A_DIM }, { QS_UNDERLINE, A_UNDERLINE }, { QS_REVERSE, A_REVERSE }, { QS_ITALIC, A_ITALIC },
    };
    attr_t a = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (attr & table[i].ours)
            a |= table[i].theirs;
    return a;
}

/* The characters of a glyph where the C library gives it the same width as we do, else a sign that takes as much room.
 * Returns how many curses cells it takes: 2 where a blank must follow. */
static int characters(const struct qs_glyph *g, wchar_t *out)
{
    const size_t n = strlen(g->text);
    size_t at = 0, len = 0;
    const uint32_t base = qs_utf8_next(g->text, n, &at);
    const bool can = base < 0x80 || show.utf8;
    const int width = base < 0x80 ? 1 : wcwidth((wchar_t)base);
    out[len++] = !can || base < 0x20 ? L'?' : (width == 1 || width == g->width) ? (wchar_t)base : L'\xFFFD';
    const bool same = can && width == g->width;
    while (same && at < n && len < CCHARW_MAX) {
        const uint32_t mark = qs_utf8_next(g->text, n, &at);
        if (wcwidth((wchar_t)mark) == 0 && qs_utf8_harmless(mark) && mark != 0x200D)
            out[len++] = (wchar_t)mark;
    }
    out[len] = 0;
    return g->width == 2 && !same ? 2 : 1;
}

static void put_row(const struct qs_cells *c, unsigned row, unsigned cols)
{
    cchar_t line[QS_CELLS_MAX + 1];
    wchar_t text[CCHARW_MAX + 1];
    int n = 0;
    for (unsigned x = 0; x < cols; x++) {
        const struct qs_glyph *g = qs_cells_at(c, row, x);
        const int pair = pair_for(c, &g->style);
        const attr_t attr = attributes(g->style.attr);
        if (g->width == 0) /* went with the one before */
            continue;
        int cells = 1;
        if (x + g->width > cols || g->text[0] == ' ')
            text[0] = L' ', text[1] = 0;
        else
            cells = characters(g, text);
        setcchar(&line[n++], text, attr, 0, &pair);
        if (cells == 2)
            setcchar(&line[n++], L" ", attr, 0, &pair);
    }
    mvadd_wchnstr((int)row, 0, line, n);
}

static bool row_differs(const struct qs_cells *c, unsigned row, unsigned cols)
{
    for (unsigned x = 0; x < cols; x++)
        if (!qs_glyph_equal(qs_cells_at(c, row, x), &show.shown[(size_t)row * show.cols + x]))
            return true;
    return false;
}

/* Hands the rows that differ to curses. True: there are some. */
static bool put_rows(const struct qs_cells *c, bool all)
{
    const unsigned rows = c->rows < show.rows ? c->rows : show.rows, cols = c->cols < show.cols ? c->cols : show.cols;
    bool every = all || !show.shown, any = every;
    for (unsigned y = 0; y < rows && !any; y++)
        any = row_differs(c, y, cols);
    if (!any)
        return false;
    every |= show.poor; /* pairs may have become free */
    show.poor = false;
    show.frame++;
    show.stamped = false;
    for (unsigned y = 0; y < rows; y++)
        if (every || row_differs(c, y, cols)) {
            put_row(c, y, cols);
            if (show.shown)
                memcpy(show.shown + (size_t)y * show.cols, qs_cells_at(c, y, 0), cols * sizeof *show.shown);
        }
    return true;
}

/* ---- frames ---- */

void qs_term_measure(unsigned *rows, unsigned *cols)
{
    struct winsize ws;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) != 0 || ws.ws_row == 0 || ws.ws_col == 0)
        ws = (struct winsize){ .ws_row = (unsigned short)LINES, .ws_col = (unsigned short)COLS };
    *rows = ws.ws_row < QS_CELLS_MAX ? ws.ws_row : QS_CELLS_MAX;
    *cols = ws.ws_col < QS_CELLS_MAX ? ws.ws_col : QS_CELLS_MAX;
}

/* Follows the size of the terminal. True: it is another one. */
static bool fit(void)
{
    unsigned rows, cols;
    qs_term_measure(&rows, &cols);
    if (rows == show.rows && cols == show.cols)
        return false;
    resize_term((int)rows, (int)cols); /* not resizeterm: that one queues a key nobody reads */
    werase(stdscr);
    qs_free(show.shown);
    show.shown = qs_calloc((size_t)rows * cols, sizeof *show.shown);
    show.rows = rows;
    show.cols = cols;
    return true;
}

static bool place_cursor(int row, int col)
{
    if (row < 0 || col < 0 || row >= (int)show.rows || col >= (int)show.cols)
        row = col = -1;
    if (row == show.cursor_row && col == show.cursor_col)
        return false;
    show.cursor_row = row;
    show.cursor_col = col;
    return true;
}

void qs_term_show(const struct qs_cells *c, bool all, int cursor_row, int cursor_col)
{
    if (!show.pair_limit)
        return;
    all |= show.anew;
    all |= fit();
    const bool moved = place_cursor(cursor_row, cursor_col), changed = put_rows(c, all);
    if (!moved && !changed)
        return;
    if (show.sync)
        qs_term_write("\033[?2026h", 8);
    if (all)
        clearok(curscr, TRUE);
    leaveok(stdscr, show.cursor_row < 0);
    move(show.cursor_row < 0 ? 0 : show.cursor_row, show.cursor_row < 0 ? 0 : show.cursor_col);
    wnoutrefresh(stdscr);
    doupdate();
    curs_set(show.cursor_row >= 0);
    if (show.sync)
        qs_term_write("\033[?2026l", 8);
    show.anew = false;
}

void qs_term_show_anew(void)
{
    show.anew = true;
}

enum qs_tier qs_term_show_start(enum qs_tier tier, bool sync)
{
    memset(&show, 0, sizeof show);
    show.sync = sync;
    show.utf8 = qs_locale_utf8();
    show.cursor_row = show.cursor_col = -1;
    show.anew = true;
    show.pair_limit = 1;
    if (tier != QS_TIER_MONO && start_color() == OK) {
        show.tier = tier;
        show.own_default = use_default_colors() == OK;
        show.pair_limit = COLOR_PAIRS - 1 < ENOUGH_PAIRS ? COLOR_PAIRS - 1 : ENOUGH_PAIRS;
    }
    typeahead(-1); /* a frame is not put off because a key was hit */
    curs_set(0);
    return show.tier;
}

void qs_term_show_end(void)
{
    qs_free(show.shown);
    qs_free(show.pair);
    memset(&show, 0, sizeof show);
}
