/* chart.h - pictures of numbers: heat grid with legend, histogram, profile. Pure drawing, no state.
 *
 * Every one takes any size of canvas, draws what it can there, and reads without colour. NaN is "not known" and drawn
 * apart; infinities lie at the ends of the scale.
 */
#ifndef QS_UI_CHART_H
#define QS_UI_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include "core/report/table.h"
#include "ui/cells.h"
#include "ui/theme.h"

/* ---- scale ---- */

struct qs_scale { double low, high; bool log; };
/* From the finite values (log: the positive ones) there are; widened where they are all alike. none: 0..1 (log: 0.1..1). */
struct qs_scale qs_scale_of(const double *value, size_t n, bool log);
/* 0..1, clamped (log: what is not positive lies at 0). NaN for NaN. */
double qs_scale_position(const struct qs_scale *s, double value);
double qs_scale_value(const struct qs_scale *s, double position); /* the way back */
unsigned qs_scale_level(const struct qs_scale *s, double value);  /* 0..9; of a value that is not NaN */

/* ---- heat grid ---- */

enum qs_grid_sign {
    QS_GRID_COLOR,   /* colours; where the theme has none, level digits */
    QS_GRID_DENSITY, /* colours; where the theme has none, density characters */
    QS_GRID_DIGITS   /* level digits on colours: 0 lowest, 9 highest */
};

struct qs_grid {
    const double *value;       /* rows * cols, row by row */
    size_t rows, cols;
    struct qs_scale scale;
    int cell;                  /* cells across for each value; at least 1 */
    bool half;                 /* two rows to a line by half blocks; where that cannot be drawn (ASCII, no colour, digits)
                                * the larger of the two stands for both. Not known is left out unless both are. */
    enum qs_grid_sign sign;
    size_t first_row, first_col; /* at the upper left corner */
};
/* Not known is '?' (QS_LOOK_UNKNOWN). Returns the lines that the rest of the grid would take, drawn or not. */
int qs_grid_draw(const struct qs_canvas *c, const struct qs_theme *t, const struct qs_grid *h);

/* The scale in one line: title, then numbers with the colours (levels) between them, as many as fit; "log" where it is
 * one; "? unknown" where there is room. Without room: low and high alone. digits as in qs_fmt_num. */
void qs_legend_draw(const struct qs_canvas *c, int y, int x, int cells, const struct qs_theme *t, const char *title,
                    const struct qs_scale *s, enum qs_unit unit, int digits, enum qs_grid_sign sign);

/* ---- histogram ---- */

struct qs_histogram {
    const double *count;         /* n bins; not negative */
    const double *after;         /* a second series of n bins; NULL: none */
    size_t n;
    double low, high;            /* of the horizontal axis: left edge of the first bin, right edge of the last */
    enum qs_unit unit;           /* of the horizontal axis */
    bool log;                    /* vertical axis: log(1 + count); the axis says so */
    const char *name, *after_name; /* of the series, for the legend; NULL: no legend */
    const char *axis;            /* of the horizontal axis: "weight"; NULL: not named */
};
/* Vertical bars in eighths of a cell (ASCII: thirds); the second series is a dot ('o') at its height, so that both can be
 * told apart without colour. Where there are more bins than columns, so many bins are added up for each that all have as
 * many (but the last). */
void qs_histogram_draw(const struct qs_canvas *c, const struct qs_theme *t, const struct qs_histogram *h);

/* ---- profile ---- */

enum qs_dots { QS_DOTS_BRAILLE /* 2x4 dots to a cell */, QS_DOTS_BLOCKS /* eighths of a cell */, QS_DOTS_ASCII };

struct qs_profile {
    const double *value;         /* n channels */
    size_t n;
    struct qs_scale scale;       /* of the vertical axis */
    enum qs_unit unit;           /* of the values */
    enum qs_dots dots;           /* as the person wants it; an ASCII canvas always has QS_DOTS_ASCII */
    bool area;                   /* filled down to the axis; else a line from the least to the largest of each column */
    size_t mark;                 /* a channel pointed at below the axis; n or more: none */
    const char *name;            /* of the horizontal axis: "channel" */
};
/* Where there are more channels than columns, each column shows the least and largest of its own, so that no spike is
 * lost. Axis numbers at the left, channel numbers below. */
void qs_profile_draw(const struct qs_canvas *c, const struct qs_theme *t, const struct qs_profile *p);

#endif
