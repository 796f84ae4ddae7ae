/* table_text.c - a report as text for people: columns fitted to the width, harmless for terminals.
 *
 * Nothing is cached: cells are formatted to measure and again to print. Writes only to the caller's string.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/unicode.h"
#include "core/report/table_internal.h"

#define GAP 2           /* blanks between columns */
#define INDENT 2
#define HANG 6          /* indent of a text that stands below its row */
#define MIN_WRAP 16     /* a column of text is not made narrower than this */
#define MIN_LINES 28    /* nor than half of its text, up to this, while there is another way */
#define MIN_NAME 16     /* nor one of names, as long as there are other columns to leave out */
#define MIN_STRING 8    /* nor at all below this */

/* ---- cells --------------------------------------------------------------------------------------------------- */

static bool is_blank(const struct qs_cell *c)
{
    return c->type == QS_CELL_NONE || (c->type == QS_CELL_NUM && isnan(c->num)) || (c->type == QS_CELL_STR && !c->str[0]);
}

void qs_text_blanks(struct qs_str *out, size_t n)
{
    while (n-- > 0)
        qs_str_addc(out, ' ');
}

void qs_text_end_line(struct qs_str *out)
{
    while (out->len && out->data[out->len - 1] == ' ' && !out->failed)
        out->data[--out->len] = 0;
    qs_str_addc(out, '\n');
}

/* Clean text broken at blanks; the cursor stands at column `at`, later lines start at `indent`. width 0: one line. */
static void wrap(struct qs_str *out, const char *text, size_t at, size_t indent, size_t width)
{
    for (;; at = indent) {
        const size_t room = !width ? 0 : width > at ? width - at : 1;
        text += strspn(text, " ");
        const size_t n = qs_text_line(text, room, true);
        qs_str_addn(out, text, n);
        qs_text_end_line(out);
        text += n + strspn(text + n, " ");
        if (!*text || out->failed)
            return;
        qs_text_blanks(out, indent);
    }
}

void qs_text_wrap(struct qs_str *out, const char *text, size_t at, size_t indent, size_t width, bool ascii)
{
    struct qs_str clean = QS_STR_INIT;
    qs_text_clean(&clean, text, ascii);
    wrap(out, clean.data, at, indent, width > indent + MIN_STRING ? width : 0);
    out->failed |= clean.failed;
    qs_str_free(&clean);
}

/* ---- facts --------------------------------------------------------------------------------------------------- */

static void fact_value(struct qs_str *out, const struct qs_column *c, const struct qs_cell *v, bool ascii)
{
    static const char *const suffix[] = { [QS_UNIT_BPW] = " bpw", [QS_UNIT_SIGMA] = " sd", [QS_UNIT_COUNT] = "" };
    qs_cell_text(out, c, v, QS_DECIMALS_EACH, ascii);
    const bool number = v->type == QS_CELL_INT || (v->type == QS_CELL_NUM && isfinite(v->num));
    if (number && c->unit < sizeof suffix / sizeof *suffix && suffix[c->unit])
        qs_str_add(out, suffix[c->unit]);
}

static void print_facts(const struct qs_section *s, const struct qs_text_style *style, struct qs_str *out)
{
    const size_t width = style->width;
    size_t label = 0;
    struct qs_str text = QS_STR_INIT;
    for (size_t i = 0; i < s->n_columns; i++) {
        const size_t n = qs_utf8_width(s->column[i].title, strlen(s->column[i].title));
        label = n > label ? n : label;
    }
    if (width && INDENT + label + GAP + MIN_WRAP > width) /* long labels get a line of their own */
        label = width / 2 > INDENT + GAP ? width / 2 - INDENT - GAP : 1;
    for (size_t i = 0; i < s->n_columns; i++) {
        const char *title = s->column[i].title;
        const size_t n = qs_utf8_width(title, strlen(title)), at = INDENT + label + GAP;
        qs_text_blanks(out, INDENT);
        if (n > label) {
            qs_text_wrap(out, title, INDENT, INDENT, width, style->ascii);
            qs_text_blanks(out, at);
        } else {
            qs_str_add(out, title);
            qs_text_blanks(out, at - INDENT - n);
        }
        qs_str_clear(&text);
        fact_value(&text, &s->column[i], &s->cell[i], style->ascii);
        wrap(out, text.data, at, at, width > at + MIN_STRING ? width : 0);
    }
    out->failed |= text.failed;
    qs_str_free(&text);
}

/* ---- tables: the columns -------------------------------------------------------------------------------------- */

struct shape {
    size_t width, least; /* least: not narrowed further, but at last to its title */
    int decimals;
    bool shown;
    bool empty;  /* nothing in any row: not worth a word when it is left out */
    bool words;  /* blanks inside: may be wrapped */
    bool wraps;  /* is narrower than its texts, which take more than one line */
    bool hangs;  /* what does not fit behind its row stands below it; the last one shown */
};

/* Without columns that hang. */
static size_t total_width(const struct shape *w, size_t n)
{
    size_t sum = INDENT, shown = 0;
    for (size_t i = 0; i < n; i++)
        if (w[i].shown && !w[i].hangs) {
            sum += w[i].width;
            shown++;
        }
    return sum + (shown ? (shown - 1) * GAP : 0);
}

static size_t title_width(const struct qs_section *s, size_t c)
{
    return qs_utf8_width(s->column[c].title, strlen(s->column[c].title));
}

static void measure(const struct qs_section *s, struct shape *w, bool ascii)
{
    struct qs_str text = QS_STR_INIT;
    for (size_t c = 0; c < s->n_columns; c++) {
        w[c] = (struct shape){ .width = title_width(s, c), .decimals = qs_section_decimals(s, c, 0), .shown = true,
                               .empty = s->n_rows > 0 };
        for (size_t r = 0; r < s->n_rows; r++) {
            const struct qs_cell *cell = &s->cell[r * s->n_columns + c];
            qs_str_clear(&text);
            qs_cell_text(&text, &s->column[c], cell, w[c].decimals, ascii);
            const size_t n = qs_utf8_width(text.data, text.len);
            if (n > w[c].width)
                w[c].width = n;
            w[c].words |= s->column[c].left && strchr(text.data, ' ') != NULL;
            w[c].empty &= is_blank(cell);
        }
        if (w[c].empty && s->column[c].left)
            w[c].shown = false; /* a title over nothing */
    }
    qs_str_free(&text);
}

static size_t last_shown(const struct shape *w, size_t n)
{
    size_t last = n;
    for (size_t c = 0; c < n; c++)
        if (w[c].shown)
            last = c;
    return last;
}

/* Optional columns go, empty ones first, then from the last one on; what then fits after all comes back. */
static void drop_optional(const struct qs_section *s, struct shape *w, size_t width)
{
    const size_t n = s->n_columns;
    for (size_t c = n; c-- > 0 && total_width(w, n) > width;)
        if (w[c].empty)
            w[c].shown = false;
    for (size_t c = n; c-- > 0 && total_width(w, n) > width;)
        if (s->column[c].optional)
            w[c].shown = false;
    for (size_t c = 0; c < n && total_width(w, n) <= width; c++)
        if (s->column[c].optional && !w[c].shown && !w[c].empty && total_width(w, n) + GAP + w[c].width <= width)
            w[c].shown = true;
}

/* A text shall have half its width, so that it takes about two lines, within these limits. */
static void set_least(struct shape *w, size_t n, size_t least, size_t most)
{
    for (size_t c = 0; c < n; c++) {
        const size_t half = w[c].width / 2;
        w[c].least = half < least ? least : half < most ? half : most;
    }
}

/* The widest of the columns of texts, or of names, gives way, cell by cell, down to its least or its title. */
static void narrow(const struct qs_section *s, struct shape *w, size_t width, bool words)
{
    const size_t n = s->n_columns;
    while (total_width(w, n) > width) {
        size_t widest = n;
        for (size_t c = 0; c < n; c++) {
            const size_t title = title_width(s, c), end = title > w[c].least ? title : w[c].least;
            if (w[c].shown && !w[c].hangs && s->column[c].left && w[c].words == words && w[c].width > end &&
                (widest == n || w[c].width > w[widest].width))
                widest = c;
        }
        if (widest == n)
            return;
        w[widest].width--;
        w[widest].wraps = words;
    }
}

/* Makes the columns fit: less and less is lost by what comes first. */
static void fit(const struct qs_section *s, struct shape *w, size_t width)
{
    const size_t n = s->n_columns;
    if (!width || total_width(w, n) <= width)
        return;
    drop_optional(s, w, width);
    const size_t last = last_shown(w, n);
    const bool text_last = last < n && last > 0 && w[last].words;
    set_least(w, n, MIN_WRAP, MIN_LINES);
    narrow(s, w, width, true);
    if (text_last && total_width(w, n) > width)
        w[last].hangs = true;
    set_least(w, n, MIN_WRAP, MIN_WRAP);
    narrow(s, w, width, true);
    set_least(w, n, MIN_NAME, MIN_NAME);
    narrow(s, w, width, false);
    for (size_t c = n; c-- > 1 && total_width(w, n) > width;)
        if (!w[c].hangs)
            w[c].shown = false;
    set_least(w, n, MIN_STRING, MIN_STRING);
    narrow(s, w, width, false);
}

/* ---- tables: the lines ---------------------------------------------------------------------------------------- */

struct table {
    const struct qs_section *s;
    const struct qs_text_style *style;
    struct shape *w;
    struct qs_str *text; /* of each column in the row at hand */
    size_t *at;          /* how much of it is printed */
};

static void pad(struct qs_str *out, const char *text, size_t n, size_t width, bool left)
{
    const size_t cells = qs_utf8_width(text, n), gap = width > cells ? width - cells : 0;
    if (!left)
        qs_text_blanks(out, gap);
    qs_str_addn(out, text, n);
    if (left)
        qs_text_blanks(out, gap);
}

static void print_head(const struct table *t, struct qs_str *out)
{
    const struct qs_section *s = t->s;
    for (int rule = 0; rule < 2; rule++) {
        bool first = true;
        size_t at = INDENT;
        qs_text_blanks(out, INDENT);
        for (size_t c = 0; c < s->n_columns; c++) {
            const size_t room = t->style->width > at + GAP ? t->style->width - at - GAP : 0;
            const size_t width = t->w[c].hangs ? (room >= title_width(s, c) ? title_width(s, c) : 0) : t->w[c].width;
            if (!t->w[c].shown || !width)
                continue;
            qs_text_blanks(out, first ? 0 : GAP);
            at += width + (first ? 0 : GAP);
            first = false;
            for (size_t i = 0; rule && i < width; i++)
                qs_str_addc(out, '-');
            if (!rule)
                pad(out, s->column[c].title, strlen(s->column[c].title), width, s->column[c].left);
        }
        qs_text_end_line(out);
    }
}

/* What stands in a column on the next line of a row, advancing. */
static void print_piece(struct table *t, size_t c, struct qs_str *out)
{
    const struct shape *w = &t->w[c];
    const char *text = t->text[c].data + t->at[c];
    const size_t left = t->text[c].len - t->at[c];
    size_t n = left;
    if (w->wraps) {
        n = qs_text_line(text, w->width, true);
        pad(out, text, n, w->width, true);
        n += strspn(text + n, " ");
    } else if (qs_utf8_width(text, left) > w->width) {
        struct qs_str brief = QS_STR_INIT;
        qs_text_shorten(&brief, text, w->width, t->style->ascii);
        pad(out, brief.data, brief.len, w->width, t->s->column[c].left);
        out->failed |= brief.failed;
        qs_str_free(&brief);
    } else {
        pad(out, text, left, w->width, t->s->column[c].left || !left);
    }
    t->at[c] += n;
}

static void print_row(struct table *t, size_t row, struct qs_str *out)
{
    const size_t n = t->s->n_columns, width = t->style->width;
    const char *below = NULL;
    bool more = true;
    for (size_t c = 0; c < n; c++) {
        qs_str_clear(&t->text[c]);
        qs_cell_text(&t->text[c], &t->s->column[c], &t->s->cell[row * n + c], t->w[c].decimals, t->style->ascii);
        t->at[c] = 0;
        out->failed |= t->text[c].failed;
    }
    while (more && !out->failed) {
        size_t at = INDENT;
        bool first = true;
        more = false;
        qs_text_blanks(out, INDENT);
        for (size_t c = 0; c < n; c++) {
            if (!t->w[c].shown)
                continue;
            qs_text_blanks(out, first ? 0 : GAP);
            at += first ? 0 : GAP;
            first = false;
            if (!t->w[c].hangs) {
                print_piece(t, c, out);
                at += t->w[c].width;
                more |= t->at[c] < t->text[c].len;
            } else if (!t->at[c] && at + qs_utf8_width(t->text[c].data, t->text[c].len) <= width) {
                qs_str_add(out, t->text[c].data);
                t->at[c] = t->text[c].len;
            } else if (!t->at[c]) {
                below = t->text[c].data;
            }
        }
        qs_text_end_line(out);
    }
    if (below) {
        qs_text_blanks(out, HANG);
        wrap(out, below, HANG, HANG, width > HANG + MIN_STRING ? width : 0);
    }
}

static void print_left_out(const struct table *t, struct qs_str *out)
{
    struct qs_str text = QS_STR_INIT;
    unsigned n = 0;
    for (size_t c = 0; c < t->s->n_columns; c++)
        if (!t->w[c].shown && !t->w[c].empty)
            qs_str_addf(&text, "%s%s", n++ ? ", " : "not shown at this width: ", t->s->column[c].title);
    if (n) {
        qs_text_blanks(out, INDENT);
        qs_text_wrap(out, text.data, INDENT, INDENT, t->style->width, t->style->ascii);
    }
    out->failed |= text.failed;
    qs_str_free(&text);
}

static void print_table(const struct qs_section *s, const struct qs_text_style *style, struct qs_str *out)
{
    const size_t n = s->n_columns;
    struct table t = { .s = s, .style = style, .w = qs_calloc(n + 1, sizeof *t.w),
                       .text = qs_calloc(n + 1, sizeof *t.text), .at = qs_calloc(n + 1, sizeof *t.at) };
    if (t.w && t.text && t.at) {
        for (size_t c = 0; c < n; c++)
            t.text[c] = (struct qs_str)QS_STR_INIT;
        measure(s, t.w, style->ascii);
        fit(s, t.w, style->width);
        print_head(&t, out);
        for (size_t r = 0; r < s->n_rows; r++)
            print_row(&t, r, out);
        if (!s->n_rows)
            qs_str_add(out, "  (none)\n");
        print_left_out(&t, out);
        for (size_t c = 0; c < n; c++)
            qs_str_free(&t.text[c]);
    } else {
        out->failed = true;
    }
    qs_free(t.w);
    qs_free(t.text);
    qs_free(t.at);
}

/* ---- the whole ----------------------------------------------------------------------------------------------- */

static void print_note(const char *text, const struct qs_text_style *style, struct qs_str *out)
{
    qs_text_blanks(out, INDENT);
    qs_text_wrap(out, text, INDENT, INDENT, style->width, style->ascii);
}

static void print_legend(const struct qs_section *s, const struct qs_text_style *style, struct qs_str *out)
{
    bool sampled = false, predicted = false;
    for (size_t i = 0; i < s->n_cells; i++) {
        sampled |= s->cell[i].how == QS_HOW_SAMPLED;
        predicted |= s->cell[i].how == QS_HOW_PREDICTED;
    }
    if (sampled)
        print_note("~ measured on a sample of rows", style, out);
    if (predicted)
        print_note("^ predicted from other measurements", style, out);
}

void qs_report_text(const struct qs_report *r, const struct qs_text_style *style, struct qs_str *out)
{
    bool first = true;
    for (size_t i = 0; !qs_report_failed(r) && i < r->n_sections; i++) {
        const struct qs_section *s = r->section[i];
        if (s->facts && !s->n_columns && !s->n_notes)
            continue;
        if (!first)
            qs_str_addc(out, '\n');
        first = false;
        if (s->title && s->title[0])
            qs_text_wrap(out, s->title, 0, 0, style->width, style->ascii);
        if (s->facts)
            print_facts(s, style, out);
        else
            print_table(s, style, out);
        print_legend(s, style, out);
        for (size_t k = 0; k < s->n_notes; k++)
            print_note(s->note[k], style, out);
    }
}
