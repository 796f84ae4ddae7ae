/* report_zoom.h - a look at one tensor as tables and as text pictures.
 *
 * Everything is drawn from a view (core/quant/zoom.h), so that a screen may draw it while it is measured; the table of all
 * channels takes them from the zoom itself, after the run.
 */
#ifndef QS_CORE_REPORT_ZOOM_H
#define QS_CORE_REPORT_ZOOM_H

#include "core/quant/zoom.h"
#include "core/report/report_map.h"
#include "core/report/table.h"

struct qs_zoom_report {
    const char *source;        /* file name of the model */
    const char *reason;        /* why this type, for people */
    bool quantized;            /* the model's weights are quantized already */
    bool data;                 /* for programs: with tiles, histograms and all channels, and all that are named */
};
/* Tables "largest" and "worst" (channels named), the facts "zoom"; data: "tiles", "histogram", "histogram_sd", "channels"
 * too. z ran and ended well, v is its last view. */
int qs_report_zoom(const struct qs_zoom *z, const struct qs_zoom_view *v, const struct qs_zoom_report *how,
                   struct qs_report **out, struct qs_err *e);

struct qs_zoom_style {
    struct qs_heat_style heat; /* width (0: 80, fewer than 40: 40), colours, ASCII */
    bool log;                  /* histogram: logarithmic axis of counts */
    bool sigma;                /* histogram: in standard deviations from the mean instead of values */
};
/* The most tile columns that fit the width. */
unsigned qs_zoom_text_tiles(unsigned width);
/* The histogram of the weights, that of what the type makes of them, the tiles by their error (as stored: by their mean
 * |w|) with a legend. */
void qs_zoom_text(const struct qs_zoom_view *v, const struct qs_zoom_style *style, struct qs_str *out);

#endif
