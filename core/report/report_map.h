/* report_map.h - the map: layers across, roles down, one cell a tensor, coloured by a measure.
 *
 * Made from a model and a survey, which may be one that is being filled (values not known yet say why); then drawn as
 * text (map_text.c) or SVG (map_svg.c), or listed as a report. Rows are name stems ("attn_q" of blk.3.attn_q.weight) in
 * the order of roles; stems a model does not have take no row; experts that are stored one by one are folded into their
 * row ("ffn_gate.*"): a cell shows the worst of those known, and carries which tensors it stands for and of how many
 * the value is known. One such row can be unfolded into a row for each expert. Tensors outside of blocks stand on lines
 * of their own. One-dimensional tensors are not drawn: they are never quantized. The picture is bounded (QS_MAP_CELLS,
 * QS_MAP_ROWS), whatever names a file has; tensors beyond are counted in totals and lists, and a note says so.
 */
#ifndef QS_CORE_REPORT_MAP_H
#define QS_CORE_REPORT_MAP_H

#include "core/calib/output.h"
#include "core/quant/survey.h"
#include "core/report/table.h"

#define QS_MAP_ROWS 1024           /* rows in blocks at most; lines outside of blocks at most */
#define QS_MAP_LABEL 48            /* bytes of a row's label, with its end; longer ones are cut */
#define QS_MAP_CELLS (1u << 18)    /* rows times layers at most */

enum qs_map_measure { QS_MAP_ERROR, QS_MAP_OUTLIERS, QS_MAP_KURTOSIS, QS_MAP_BITS,
                      QS_MAP_OUTPUT, QS_MAP_ACTIVATIONS, /* output error, outlier channels of inputs: from statistics */
                      QS_MAP_DIVERGENCE /* of hidden states, from an evaluation; not one of files by themselves */,
                      QS_MAP_SWAP /* KLD with one tensor alone changed, from a calibration; likewise */, QS_MAP_MEASURES };

struct qs_heat_cell {
    const struct qs_tensor *tensor; /* NULL: there is none */
    int type;                       /* under the recipe; the file's own where none is given */
    double value;                   /* NaN: unknown */
    enum qs_gap gap;                /* why it is unknown; QS_GAP_NONE: it is known */
    enum qs_how how;
    double std_error;
    unsigned tensors, known; /* it stands for so many, of which the values of so many are known; above 1 for folded
                              * experts (then tensor, type, value and so on are those of the worst one) */
    const struct qs_tensor **member; /* those tensors, in the order of the file; NULL: none. The heat owns them */
};

struct qs_heat_row {
    char label[QS_MAP_LABEL];
    enum qs_role role;
    unsigned came;                  /* rank among the rows of the file; the same for rows of one that was unfolded */
    int expert;                     /* of a row that was unfolded: its number; -1: of others */
    struct qs_heat_cell *cell;      /* n_layers of them; for a single line one */
};

struct qs_heat {
    enum qs_map_measure measure;
    char title[256];                /* "Error under Q4_K_M of model.gguf" */
    char what[128];                 /* "Q4_K_M"; empty: the file as it is */
    char unfolded[QS_MAP_LABEL];             /* label of the row that is; empty: none */
    enum qs_unit unit;
    size_t n_layers;
    struct qs_heat_row *row;    size_t n_rows;    /* in blocks */
    struct qs_heat_row *single; size_t n_singles; /* outside of blocks */
    struct qs_heat_cell *item;  size_t n_items;   /* every tensor drawn, in the order of the file */
    const struct qs_tensor **member;              /* n_items of them, what the members of cells point into */
    double low, high;               /* range of the colours; NaN: nothing is known that has a place in one */
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
    const double *after;     /* QS_MAP_DIVERGENCE: relative error of the hidden state after each of n_after blocks, the
                              * same for all tensors of a block; NaN: not known */
    size_t n_after;
    const struct qs_outputs *outputs; /* QS_MAP_OUTPUT, QS_MAP_ACTIVATIONS; NULL: nothing is known. May be filled meanwhile */
    double after_embedding;  /* of the state that enters the first block: the token embedding's */
    const double *given;     /* per model tensor, NaN: not known; takes the place of what else is known. NULL: nothing is
                              * handed in */
    const char *unfold; /* label of a folded row ("ffn_gate.*"): a row for each of its experts, by number; NULL: none */
};

/* survey: NULL where the measure needs none (bits). It is only read here and may be filled meanwhile; the heat keeps
 * copies. The model has to outlive the heat. */
int qs_heat_make(const struct qs_model *m, const struct qs_survey *survey, const struct qs_heat_args *args,
                 struct qs_heat **out, struct qs_err *e);
void qs_heat_free(struct qs_heat *h);

const char *qs_map_measure_name(enum qs_map_measure m); /* "error", "outliers", "kurtosis", "bits", "output", "activations",
                                                         * "divergence", "kld" */
/* low and high from the items' values: at least a tenth apart, so that what hardly differs looks alike. */
void qs_heat_find_range(struct qs_heat *h);
/* What stands in the place of a legend where there is no range (low is NaN): "nothing measured yet"; NULL: there is. */
const char *qs_heat_no_range(const struct qs_heat *h);
double qs_heat_position(const struct qs_heat *h, double value); /* 0..1 on the ramp */
unsigned qs_heat_level(const struct qs_heat *h, double value);  /* 0..QS_RAMP_LEVELS - 1 */
double qs_heat_level_from(const struct qs_heat *h, unsigned level); /* the least value of a level */
bool qs_heat_worse(const struct qs_heat *h, const struct qs_heat_cell *a, const struct qs_heat_cell *b); /* a than b */

/* Label of the row that the tensor belongs to, also where the picture has no room for it. buf: QS_MAP_LABEL bytes. */
const char *qs_heat_label(const struct qs_heat *h, const struct qs_tensor *t, char *buf, size_t n);

/* What a cell stands for: "worst of 8", "worst of 7, 1 of 8 unknown", "8 of 8 unknown"; "" for a single tensor. */
const char *qs_heat_cell_note(const struct qs_heat_cell *c, char *buf, size_t n);
/* The remark below a picture with folded cells: "58 cells stand for several tensors, the worst of those known shown; in
 * 2 of them some are unknown"; "" where there are none. */
const char *qs_heat_folded_note(const struct qs_heat *h, char *buf, size_t n);

/* QS_HEAT_8: four ANSI backgrounds (ramp.h), a coarse scale, on terminals that have no more. */
enum qs_heat_color { QS_HEAT_PLAIN, QS_HEAT_8, QS_HEAT_256, QS_HEAT_RGB };
struct qs_heat_style {
    unsigned width;            /* terminal cells; 0: 100 */
    enum qs_heat_color color;  /* colour is never the only sign: levels are digits as well, or numbers where they fit */
    bool ascii;                /* no shade characters */
};
void qs_heat_text(const struct qs_heat *h, const struct qs_heat_style *style, struct qs_str *out);
/* Parts of such a picture, for others that have a heat's items and range: one value in one terminal cell, and the
 * levels with the value each begins at. */
void qs_heat_mark(const struct qs_heat *h, const struct qs_heat_style *style, double value, struct qs_str *out);
void qs_heat_legend(const struct qs_heat *h, const struct qs_heat_style *style, struct qs_str *out);

/* A standalone file with title, legend, axis labels and a tooltip for each cell. */
void qs_heat_svg(const struct qs_heat *h, struct qs_str *out);

/* Facts "map"; the table "tensors", one row a tensor. Where experts are folded also the table "folded", one row a cell
 * that stands for several, with how many they are, how many are unknown, and qs_heat_cell_note. */
int qs_report_map(const struct qs_heat *h, struct qs_report **out, struct qs_err *e);

#endif
