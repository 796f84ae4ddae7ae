/* widgets.h - what the tests of the parts of the screen share: a grid with a theme, its text, random events. */
#ifndef QS_TESTS_UI_WIDGETS_H
#define QS_TESTS_UI_WIDGETS_H

#include "tests/lib/qs_test.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/report/table.h"
#include "ui/cells.h"
#include "ui/event.h"
#include "ui/theme.h"

struct screen { struct qs_cells cells; struct qs_canvas canvas; struct qs_theme theme; };

void screen_make(struct screen *s, unsigned rows, unsigned cols, bool ascii, enum qs_tier tier);
void screen_size(struct screen *s, unsigned rows, unsigned cols); /* blank again */
void screen_free(struct screen *s);
/* The text of the rows, blanks at the ends cut. */
void screen_shows(const struct screen *s, const char *want);
/* Whether that cell has the look (all of it). */
bool screen_look(const struct screen *s, unsigned row, unsigned col, enum qs_look look);
/* For tests of any size: nothing but ASCII is on it; something is on it at all. */
bool screen_is_ascii(const struct screen *s);
bool screen_is_empty(const struct screen *s);

static inline struct qs_event key(uint32_t k) { return (struct qs_event){ .kind = QS_EVENT_KEY, .key = k }; }
static inline struct qs_event paste(const char *text) { return (struct qs_event){ .kind = QS_EVENT_PASTE, .text = text }; }
static inline struct qs_event mouse(enum qs_mouse what, int row, int col)
{
    return (struct qs_event){ .kind = QS_EVENT_MOUSE, .mouse = what, .row = row, .col = col, .button = 1 };
}

uint32_t next_random(uint32_t *state);
/* Keys of all kinds, letters mostly; the mouse anywhere on and around a grid of that size; paste. */
struct qs_event random_event(uint32_t *state, unsigned rows, unsigned cols);

/* A table of n tensors: name (text), size (bytes), error (percent, sampled), bpw and kurtosis (optional), note (text). */
struct qs_report *tensor_report(size_t n);

#endif
