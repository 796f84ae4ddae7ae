/* panel.h - weights in panels: sixteen rows interleaved, so that one vector holds a sum of each of them.
 *
 * LAYOUT. A second layout of the same bytes (DESIGN.md section 3): rows are cut into panels of QS_PANEL_ROWS; a panel takes as
 * many bytes as its rows do, and the last one of a matrix is filled up with rows of zero bytes. The order inside belongs to the
 * type, is the same on every level, and has an exact way back (unpack). Codes lie so that a vector of 64 bytes holds four
 * consecutive columns of each of the sixteen rows: what vpdpbusd, vdotq and their kin multiply with four activations that are
 * broadcast. The files kernels/panel_*.c say where everything is.
 *
 * BITS. Products are those of dot.h, bit for bit: in a panel, too, every row has one sum of its own.
 *
 * Only types with integer activations have panels, and only levels with an integer dot product use them.
 */
#ifndef QS_KERNELS_PANEL_H
#define QS_KERNELS_PANEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/dot.h"

enum { QS_PANEL_ROWS = 16, QS_PANEL_ALIGN = 64 /* of panels and of local memory */ };

/* out[t * out_stride + r] = row r times token t, for `rows` rows from the first of `panels` on. */
struct qs_panel_job {
    const uint8_t *panels;   /* panel i at i * QS_PANEL_ROWS * (bytes of a row) */
    size_t rows, cols;       /* cols: a multiple of the type's block */
    const uint8_t *x;        /* activations of the type's form (dot.h), at multiples of QS_ACT_ALIGN */
    size_t x_stride;         /* bytes between tokens */
    size_t tokens;
    float *out;
    size_t out_stride;       /* floats between tokens */
    void *local;             /* ops->local(cols) bytes that nobody else uses meanwhile */
};

/* What one type has at one level. */
struct qs_panel_ops {
    /* n rows (1 to QS_PANEL_ROWS) of the canonical layout, `stride` bytes apart, into one panel; and back. */
    void (*pack)(const uint8_t *rows, size_t stride, size_t n, size_t cols, uint8_t *panel);
    void (*unpack)(const uint8_t *panel, size_t n, size_t cols, uint8_t *rows, size_t stride);
    size_t (*local)(size_t cols);                  /* bytes that product needs; NULL: none */
    void (*product)(const struct qs_panel_job *job); /* any number of rows and tokens >= 1 */
};

/* Those in force (level.h); NULL: this type has no panels at this level. */
const struct qs_panel_ops *qs_panel_ops(int id);

/* Whether `a` is faster than `b` here: measured, with the panels of Q8_0. Not for two threads at once. */
bool qs_panel_faster(const struct qs_panel_ops *a, const struct qs_panel_ops *b);

static inline size_t qs_panel_count(size_t rows) { return (rows + QS_PANEL_ROWS - 1) / QS_PANEL_ROWS; }
static inline size_t qs_panel_bytes(const struct qs_format *f, size_t cols)
{
    return QS_PANEL_ROWS * qs_format_row_bytes(f, cols);
}

#endif
