/* chart_internal.h - the axes that histograms and profiles share. */
#ifndef QS_UI_CHART_INTERNAL_H
#define QS_UI_CHART_INTERNAL_H

#include "ui/chart.h"

struct qs_axes {
    const char *top, *bottom;          /* numbers of the vertical axis */
    bool log;                          /* it is logarithmic, and says so */
    const char *left, *name, *right;   /* below the horizontal axis */
    double mark;                       /* 0..1: place on the horizontal axis that is pointed at; negative: none */
    int gutter;                        /* cells that the numbers at the left take at least; negative: they are left out */
};
/* Cells that they take on a canvas of that width; 0: they are left out. */
int qs_chart_gutter(const struct qs_axes *a, int cols);
/* Draws as much of them as there is room for; the part of the canvas that is left for the picture, at least one cell. */
struct qs_canvas qs_chart_axes(const struct qs_canvas *c, const struct qs_theme *t, const struct qs_axes *a);

/* Block of 0..8 eighths of a cell, from below; ASCII: thirds. */
const char *qs_chart_eighth(int eighths, bool ascii);
/* A number for an axis. Returns buf. */
const char *qs_chart_number(char *buf, size_t n, double value, enum qs_unit unit, int digits);

/* Of n things, those in column i of `columns`: [*from, *to), never empty (fewer things than columns repeat). */
static inline void qs_chart_share(size_t n, size_t columns, size_t i, size_t *from, size_t *to)
{
    *from = n / columns * i + n % columns * i / columns;
    *to = n / columns * (i + 1) + n % columns * (i + 1) / columns;
    if (*to <= *from)
        *to = *from + 1;
}

#endif
