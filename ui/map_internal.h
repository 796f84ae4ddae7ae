/* map_internal.h - the state of the map screen, for screen_map.c and map_draw.c alone.
 *
 * Lines of the map are the rows in blocks (a cell for each layer), then those outside of blocks (one cell).
 */
#ifndef QS_UI_MAP_INTERNAL_H
#define QS_UI_MAP_INTERNAL_H

#include "core/report/report_map.h"
#include "ui/app.h"
#include "ui/choose.h"

enum qs_map_show { QS_SHOW_AUTO, QS_SHOW_LEVELS, QS_SHOW_VALUES, QS_SHOW_TYPES, QS_SHOWS };

struct qs_map {
    struct qs_heat *heat;         /* as of: */
    uint64_t doc_version, survey_version;
    uint64_t calibration;         /* version of what calibrations say, where that is shown */
    unsigned evaluation;          /* number of the one whose divergences are shown */
    bool made;
    double made_at;
    struct qs_err err;            /* why there is none */

    enum qs_map_measure measure;
    int type;                     /* whose error is shown; QS_TYPE_NONE: of the recipe */
    int scale;                    /* 1 log, 0 linear, -1: as suits the measure */
    enum qs_map_show show;
    char unfold[64];              /* label of the row whose experts are shown one by one; "": none */

    size_t line, layer;           /* the cursor */
    size_t walk_line, walk_layer; double walk_value; bool walking; /* where the last jump to a worst one went */
    bool selecting; size_t from_line, from_layer; /* a range from there to the cursor */
    unsigned followed;            /* the newest calibration that the measure was changed for */

    size_t top, left;             /* first place (see qs_map_place) and layer in view */
    int shown_lines, shown_layers, cell, label; /* as last drawn: how many fit, cells across */
    bool half;                    /* as last drawn: two lines to a row of the screen */
    struct qs_rect grid;          /* as last drawn, without labels */
    bool gap;                     /* an empty place parts the lines in blocks from those outside */
};

struct qs_map *qs_map_of(struct qs_app *a);
size_t qs_map_lines(const struct qs_map *m);
const struct qs_heat_row *qs_map_row(const struct qs_map *m, size_t line);
bool qs_map_single(const struct qs_map *m, size_t line);       /* outside of blocks */
/* NULL: there is nothing there. */
const struct qs_heat_cell *qs_map_cell(const struct qs_map *m, size_t line, size_t layer);
bool qs_map_selected(const struct qs_map *m, size_t line, size_t layer); /* within the range */
/* Places: rows of the screen, counted from the first line of the map. In half blocks two lines share one, an empty one may
 * part the lines in blocks from those outside. */
size_t qs_map_places(const struct qs_map *m);
size_t qs_map_place(const struct qs_map *m, size_t line);
bool qs_map_line_at(const struct qs_map *m, size_t place, size_t *line); /* the first of it; false: there is none */
void qs_map_draw(struct qs_app *a, const struct qs_canvas *c);

/* What calibrations say: QS_MAP_OUTPUT, QS_MAP_ACTIVATIONS, QS_MAP_SWAP (map_calib.c). */
static inline bool qs_map_of_calibration(enum qs_map_measure m)
{
    return m == QS_MAP_OUTPUT || m == QS_MAP_ACTIVATIONS || m == QS_MAP_SWAP;
}
bool qs_map_has(struct qs_app *a, enum qs_map_measure measure);
double *qs_map_given(struct qs_app *a, enum qs_map_measure measure); /* per tensor, to be freed; NULL: no memory */
void qs_map_given_title(struct qs_app *a, enum qs_map_measure measure, struct qs_str *out);
int qs_map_given_draw(struct qs_app *a, const struct qs_canvas *c, const struct qs_heat_cell *cell); /* rows taken */

#endif
