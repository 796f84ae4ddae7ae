/* cells_save.c - what is on the grid as text, with escape sequences, and as lines for tests.
 *
 * Only reads the grid; the caller owns the string. One thread.
 */
#include <string.h>

#include "ui/cells_internal.h"

static const struct qs_style plain = { 0 };

/* One behind the last cell of a row that is no blank; with `styled`, no blank in the default style. */
static unsigned row_end(const struct qs_cells *c, unsigned row, bool styled)
{
    unsigned end = c->cols;
    for (; end > 0; end--) {
        const struct qs_glyph *g = qs_cells_at(c, row, end - 1);
        if (!qs_glyph_blank(g) || (styled && !qs_style_equal(&g->style, &plain)))
            break;
    }
    return end;
}

void qs_cells_text(const struct qs_cells *c, struct qs_str *out)
{
    for (unsigned row = 0; row < c->rows; row++) {
        const unsigned end = row_end(c, row, false);
        for (unsigned col = 0; col < end; col++)
            qs_str_add(out, qs_cells_at(c, row, col)->text);
        qs_str_addc(out, '\n');
    }
}

/* ---- escape sequences ---- */

static const struct { unsigned bit, sgr; char letter; } attributes[] = {
    { QS_BOLD, 1, 'b' }, { QS_DIM, 2, 'd' }, { QS_UNDERLINE, 4, 'u' }, { QS_REVERSE, 7, 'r' }, { QS_ITALIC, 3, 'i' },
};
enum { ATTRIBUTES = sizeof attributes / sizeof attributes[0] };

static bool is_rgb(qs_color c)
{
    return c >> 24 == 1;
}

/* base: 30 for the foreground, 40 for the background */
static void sgr_color(struct qs_str *out, qs_color c, unsigned base)
{
    const unsigned entry = c & 0xFF;
    if (c == QS_COLOR_DEFAULT)
        return;
    if (is_rgb(c))
        qs_str_addf(out, ";%u;2;%u;%u;%u", base + 8, (unsigned)(c >> 16 & 0xFF), (unsigned)(c >> 8 & 0xFF), entry);
    else if (entry < 16)
        qs_str_addf(out, ";%u", entry < 8 ? base + entry : base + 60 + entry - 8);
    else
        qs_str_addf(out, ";%u;5;%u", base + 8, entry);
}

static void sgr(struct qs_str *out, const struct qs_style *s)
{
    qs_str_add(out, "\x1b[0");
    for (unsigned i = 0; i < ATTRIBUTES; i++)
        if (s->attr & attributes[i].bit)
            qs_str_addf(out, ";%u", attributes[i].sgr);
    sgr_color(out, s->fg, 30);
    sgr_color(out, s->bg, 40);
    qs_str_addc(out, 'm');
}

void qs_cells_ansi(const struct qs_cells *c, struct qs_str *out)
{
    for (unsigned row = 0; row < c->rows; row++) {
        const unsigned end = row_end(c, row, true);
        struct qs_style now = plain; /* at the start of each line, so that no colour runs on into the margin */
        for (unsigned col = 0; col < end; col++) {
            const struct qs_glyph *g = qs_cells_at(c, row, col);
            if (!qs_style_equal(&g->style, &now))
                sgr(out, &g->style);
            now = g->style;
            qs_str_add(out, g->text);
        }
        if (!qs_style_equal(&now, &plain))
            qs_str_add(out, "\x1b[0m");
        qs_str_addc(out, '\n');
    }
}

/* ---- for tests ---- */

static void dump_color(struct qs_str *out, qs_color c)
{
    if (c == QS_COLOR_DEFAULT)
        qs_str_add(out, " -");
    else if (is_rgb(c))
        qs_str_addf(out, " #%06x", (unsigned)(c & 0xFFFFFF));
    else
        qs_str_addf(out, " @%u", (unsigned)(c & 0xFF));
}

void qs_cells_dump(const struct qs_cells *c, struct qs_str *out)
{
    for (unsigned row = 0; row < c->rows; row++)
        for (unsigned col = 0; col < c->cols; col++) {
            const struct qs_glyph *g = qs_cells_at(c, row, col);
            const bool blank = qs_glyph_blank(g);
            if (g->width == 0 || (blank && qs_style_equal(&g->style, &plain)))
                continue;
            qs_str_addf(out, "%u %u %u %s", row, col, g->width, blank ? "SP" : g->text);
            dump_color(out, g->style.fg);
            dump_color(out, g->style.bg);
            qs_str_addc(out, ' ');
            for (unsigned i = 0; i < ATTRIBUTES; i++)
                if (g->style.attr & attributes[i].bit)
                    qs_str_addc(out, attributes[i].letter);
            qs_str_add(out, g->style.attr ? "\n" : "-\n");
        }
}
