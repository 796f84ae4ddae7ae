/* cells_internal.h - what the files of the grid share. */
#ifndef QS_UI_CELLS_INTERNAL_H
#define QS_UI_CELLS_INTERNAL_H

#include "ui/cells.h"

/* The glyph of the first character of `text` (n > 0 bytes): harmless, of 1 or 2 cells, its style not set. Returns the
 * bytes of `text` that it stands for. In ASCII a character may become two; *more (may be NULL) is then the second. */
size_t qs_glyph_make(const char *text, size_t n, bool ascii, struct qs_glyph *out, char *more);
/* Puts a glyph made by qs_glyph_make. */
void qs_glyph_put(const struct qs_canvas *c, int y, int x, const struct qs_glyph *g);

static inline bool qs_glyph_blank(const struct qs_glyph *g)
{
    return g->text[0] == ' ' && g->text[1] == 0;
}

static inline bool qs_style_equal(const struct qs_style *a, const struct qs_style *b)
{
    return a->fg == b->fg && a->bg == b->bg && a->attr == b->attr;
}

#endif
