/* report_map.h - the map: layers across, roles down, one cell a tensor, coloured by a measure.
 *
 * Made once from a model and a survey; then drawn as text (map_text.c) or SVG (map_svg.c), or listed as a report. Rows are
 * name stems ("attn_q" of blk.3.attn_q.weight) in the order of roles; stems a model does not have take no row; experts
 * that are stored one by one are folded into their row: a cell shows the worst of those known, and carries how many it
 * stands for and of how many the value is known. Tensors outside of blocks stand on lines of their
 * own. One-dimensional tensors are not drawn: they are never quantized. The picture is bounded (QS_MAP_CELLS,
 * QS_MAP_ROWS), whatever names a file has; tensors beyond are counted in totals and lists, and a note says so.
 */
#ifndef QS_CORE_REPORT_MAP_H
#define QS_CORE_REPORT_MAP_H

#include "core/quant/survey.h"
#include "core/report/table.h"

#define QS_MAP_ROWS 1024           /* rows in blocks at most; lines outside of blocks at most */
#define QS_MAP_CELLS (1u << 18)    /* rows times layers at most */

enum qs_map_measure { QS_MAP_ERROR, QS_MAP_OUTLIERS, QS_MAP_KURTOSIS, QS_MAP_BITS };

struct qs_heat_cell {
    const struct qs_tensor *tensor; /* NULL: there is none */
    int type;                       /* under the recipe; the file's own where none is given */
    double value;                   /* NaN: unknown */
    enum qs_how how;
    double std_error;
    unsigned tensors, known;        /* it stands for so many, of which the values of so many are known; above 1 for folded
                                     * experts (then tensor, type, value and so on are those of the worst one) */
};

struct qs_heat_row {
    char label[48];
    enum qs_role role;
    unsigned came;                  /* rank among the rows of the file */
    struct qs_heat_cell *cell;      /* n_layers of them; for a single line one */
};

struct qs_heat {
    enum qs_map_measure measure;
    char title[256];                /* "Error under Q4_K_M of model.gguf" */
    char what[128];                 /* "Q4_K_M"; empty: the file as it is */
    enum qs_unit unit;
    size_t n_layers;
    struct qs_heat_row *row;    size_t n_rows;    /* in blocks */
    struct qs_heat_row *single; size_t n_singles; /* outside of blocks */
    struct qs_heat_cell *item;  size_t n_items;   /* every tensor drawn, in the order of the file */
    double low, high;               /* range of the colours */
    bool log;
    double total;                   /* error or bits over all tensors drawn; NaN: means nothing here */
    bool total_sampled;
    uint64_t bytes;                 /* of the tensors drawn under the recipe */
    unsigned folded, folded_unknown; /* cells that stand for several tensors; of these, cells with a value not known */
    unsigned sampled, unknown, kept; /* tensors whose value is sampled, not known, exactly 0 */
    unsigned not_drawn;             /* of one dimension or unknown type */
    unsigned without_row;           /* tensors beyond the rows that a picture holds: they count and are listed */
};

struct qs_heat_args {
    enum qs_map_measure measure;
    const int *type;   /* per model tensor, QS_TYPE_NONE: the file's own; NULL: the file's own everywhere */
    const char *what;  /* name of the recipe or type, for the title; may be NULL */
    int scale;         /* 1 log, 0 linear, -1: as suits the measure (bits linear, the others log) */
};

/* survey: NULL where the measure needs none (bits). */
int qs_heat_make(const struct qs_model *m, const struct qs_survey *survey, const struct qs_heat_args *args,
                 struct qs_heat **out, struct qs_err *e);
void qs_heat_free(struct qs_heat *h);

const char *qs_map_measure_name(enum qs_map_measure m); /* "error", "outliers", "kurtosis", "bits" */
double qs_heat_position(const struct qs_heat *h, double value); /* 0..1 on the ramp */
unsigned qs_heat_level(const struct qs_heat *h, double value);  /* 0..QS_RAMP_LEVELS - 1 */
double qs_heat_level_from(const struct qs_heat *h, unsigned level); /* the least value of a level */
bool qs_heat_worse(const struct qs_heat *h, const struct qs_heat_cell *a, const struct qs_heat_cell *b); /* a than b */

/* What a cell stands for: "worst of 8", "worst of 7, 1 of 8 unknown", "8 of 8 unknown"; "" for a single tensor. */
const char *qs_heat_cell_note(const struct qs_heat_cell *c, char *buf, size_t n);
/* The remark below a picture with folded cells: "58 cells stand for several tensors, the worst of those known shown; in 2
 * of them some are unknown"; "" where there are none. */
const char *qs_heat_folded_note(const struct qs_heat *h, char *buf, size_t n);

/* QS_HEAT_8: the ANSI backgrounds blue, magenta, cyan, white, lighter in this order on every palette in use; a coarse
 * scale of four, on terminals that have no more. */
enum qs_heat_color { QS_HEAT_PLAIN, QS_HEAT_8, QS_HEAT_256, QS_HEAT_RGB };
struct qs_heat_style {
    unsigned width;            /* terminal cells; 0: 100 */
    enum qs_heat_color color;  /* colour is never the only sign: levels are digits as well, or numbers where they fit */
    bool ascii;                /* no shade characters */
};
void qs_heat_text(const struct qs_heat *h, const struct qs_heat_style *style, struct qs_str *out);

/* A standalone file with title, legend, axis labels and a tooltip for each cell. */
void qs_heat_svg(const struct qs_heat *h, struct qs_str *out);

/* Facts "map"; the table "tensors", one row a tensor. Where experts are folded also the table "folded", one row a cell
 * that stands for several, with how many they are, how many are unknown, and qs_heat_cell_note. */
int qs_report_map(const struct qs_heat *h, struct qs_report **out, struct qs_err *e);

#endif
