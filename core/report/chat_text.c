/* chat_text.c - answers as text with marks below the tokens, so that a plain terminal shows where two models disagree
 * without colour.
 *
 * A line of text and its line of marks are built cell by cell and given out together; lines break at the last blank
 * where there is one. Everything that a terminal could act on is shown as an escape.
 */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/unicode.h"
#include "core/report/report_chat.h"

#define WIDTH_UNLESS_KNOWN 80

struct painter {
    struct qs_str *out;
    struct qs_str text, marks;   /* of the line; marks: one byte a cell */
    size_t cells, width;
    size_t blank_text, blank_cell; /* behind the last blank: bytes of text and cells; 0: none in this line */
    size_t shown;                /* bytes of text that were given out before the line is whole */
    bool ascii;
};

static void put_line(struct painter *p, size_t bytes, size_t cells)
{
    size_t last = cells < p->marks.len ? cells : p->marks.len;
    while (last && p->marks.data[last - 1] == ' ')
        last--;
    qs_str_addn(p->out, p->text.data + p->shown, bytes - p->shown);
    qs_str_addc(p->out, '\n');
    p->shown = 0;
    if (last) {
        qs_str_addn(p->out, p->marks.data, last);
        qs_str_addc(p->out, '\n');
    }
}

/* Gives the line out up to there; what is left begins the next one. */
static void break_line(struct painter *p, size_t bytes, size_t cells)
{
    struct qs_str text = QS_STR_INIT, marks = QS_STR_INIT;
    put_line(p, bytes, cells);
    qs_str_addn(&text, p->text.data + bytes, p->text.len - bytes);
    qs_str_addn(&marks, p->marks.data + cells, p->marks.len - cells);
    p->out->failed |= text.failed | marks.failed | p->text.failed | p->marks.failed;
    qs_str_free(&p->text);
    qs_str_free(&p->marks);
    p->text = text;
    p->marks = marks;
    p->cells -= cells;
    p->blank_text = p->blank_cell = 0;
}

/* One character of `cells` cells, or an escape. */
static void put_char(struct painter *p, const char *s, size_t n, size_t cells, char mark)
{
    if (p->cells + cells > p->width && p->cells) {
        if (p->blank_cell)
            break_line(p, p->blank_text, p->blank_cell);
        else
            break_line(p, p->text.len, p->cells);
    }
    qs_str_addn(&p->text, s, n);
    for (size_t i = 0; i < cells; i++)
        qs_str_addc(&p->marks, mark);
    p->cells += cells;
    if (n == 1 && *s == ' ') {
        p->blank_text = p->text.len;
        p->blank_cell = p->cells;
    }
}

/* The text of one token; its first cell may have a mark of its own (0: none). */
static void put_token(struct painter *p, const char *text, size_t n, char mark, char first)
{
    struct qs_str clean = QS_STR_INIT;
    for (size_t at = 0, bytes; at < n; at += bytes) {
        unsigned cells = 1;
        bytes = qs_utf8_char(text + at, n - at, &cells);
        const char *shown = text + at;
        size_t len = bytes;
        const bool plain = bytes == 1 && (unsigned char)text[at] >= ' ' && text[at] != 127;
        if (text[at] == '\n') {
            if (first || mark != ' ')
                put_char(p, " ", 1, 1, first ? first : mark); /* a mark needs a cell to stand under */
            break_line(p, p->text.len, p->cells);
            first = 0;
            continue;
        }
        if (!plain) {
            char one[64];
            memcpy(one, text + at, bytes < sizeof one ? bytes : sizeof one - 1);
            one[bytes < sizeof one ? bytes : sizeof one - 1] = 0;
            qs_str_clear(&clean);
            qs_text_clean(&clean, one, p->ascii);
            shown = clean.data;
            len = clean.len;
            cells = (unsigned)qs_utf8_width(clean.data, clean.len);
        }
        put_char(p, shown, len, cells, first ? first : mark);
        first = 0;
    }
    p->out->failed |= clean.failed;
    qs_str_free(&clean);
}

/* Token i of side k. marks: the side whose divergence stands below it; NULL: none. */
static void put_answer_token(struct painter *p, const struct qs_answer *a, size_t k, size_t i,
                             const struct qs_answer_side *marks)
{
    size_t n;
    const char *text = qs_answer_text(&a->side[k], i, &n);
    char mark = ' ', first = 0;
    if (marks && i < marks->n) {
        const int class = qs_divergence_class(marks->token[i].kld);
        mark = class >= 0 ? qs_divergence_mark(class) : ' ';
        first = marks->token[i].flip ? '!' : 0;
    }
    if (!a->follow && i == a->parted)
        mark = '^';
    if (n == 0 && !a->follow && i == a->parted) { /* one ended here: its end is marked */
        text = " ";
        n = 1;
    }
    put_token(p, text, n, mark, first);
}

static void end_text(struct painter *p)
{
    if (p->text.len)
        break_line(p, p->text.len, p->cells);
}

static void put_heading(struct qs_str *out, const struct qs_answer *a, size_t k, bool ascii)
{
    qs_str_add(out, k ? "\n--- " : "--- ");
    qs_text_clean(out, a->side[k].label, ascii);
    qs_str_add(out, a->follow && k == 1 ? " follows ---\n" : " ---\n");
}

static void put_legend(struct qs_str *out, const struct qs_answer *a)
{
    if (a->follow)
        qs_str_add(out,
                   "\nbelow the text: KLD from 0.001 '.', 0.01 ':', 0.1 '*', 1 '#'; '!' another likeliest token\n\n");
    else if (a->parted != QS_ANSWER_NONE)
        qs_str_add(out, "\n'^' the first token where they part\n\n");
    else
        qs_str_add(out, "\nboth are the same, as far as both go\n\n");
}

static void painter_free(struct painter *p)
{
    qs_str_free(&p->text);
    qs_str_free(&p->marks);
}

void qs_chat_text(const struct qs_answer *a, unsigned width, bool ascii, struct qs_str *out)
{
    for (size_t k = 0; k < a->n_sides; k++) {
        struct painter p = { .out = out, .text = QS_STR_INIT, .marks = QS_STR_INIT, .ascii = ascii,
                             .width = width ? width : WIDTH_UNLESS_KNOWN };
        if (a->n_sides == 2)
            put_heading(out, a, k, ascii);
        for (size_t i = 0; i < a->side[k].n; i++)
            put_answer_token(&p, a, k, i, a->follow && k == 1 ? &a->side[1] : NULL);
        end_text(&p);
        out->failed |= p.text.failed | p.marks.failed;
        painter_free(&p);
    }
    if (a->n_sides == 2)
        put_legend(out, a);
}

/* ---- while they are written ---------------------------------------------------------------------------------- */

struct qs_chat_stream {
    struct painter p;
    size_t side, fed;  /* whose text is given out, and how many of its tokens were */
    bool headed, over;
};

int qs_chat_stream_new(unsigned width, bool ascii, struct qs_chat_stream **out, struct qs_err *e)
{
    struct qs_chat_stream *s = qs_calloc(1, sizeof *s);
    if (!s)
        return qs_fail_mem(e, sizeof *s, "the text of an answer");
    s->p = (struct painter){ .text = QS_STR_INIT, .marks = QS_STR_INIT, .ascii = ascii,
                             .width = width ? width : WIDTH_UNLESS_KNOWN };
    *out = s;
    return QS_OK;
}

void qs_chat_stream_free(struct qs_chat_stream *s)
{
    if (s)
        painter_free(&s->p);
    qs_free(s);
}

/* The tokens of side k whose text and marks will not change any more. The last one may still be given the rest of a
 * character; what is said of a token of the first side is known when the second has come to it. */
static size_t settled(const struct qs_answer *a, size_t k)
{
    const struct qs_answer_side *s = &a->side[k], *other = &a->side[1];
    const bool over = a->state == QS_ANSWER_ENDED;
    size_t n = over || s->state == QS_ANSWER_ENDED || !s->n ? s->n : s->n - 1;
    if (k == 0 && !over && other->state != QS_ANSWER_ENDED && (a->follow || a->parted == QS_ANSWER_NONE))
        n = n < other->n ? n : other->n;
    return n;
}

static void put_stream_heading(struct qs_chat_stream *s, const struct qs_answer *a, struct qs_str *out)
{
    if (!a->follow) {
        put_heading(out, a, s->side, s->p.ascii);
    } else {
        qs_str_add(out, "--- ");
        qs_text_clean(out, a->side[0].label, s->p.ascii);
        qs_str_add(out, ", followed by ");
        qs_text_clean(out, a->side[1].label, s->p.ascii);
        qs_str_add(out, " ---\n");
    }
    s->headed = true;
}

/* What there is of one side; true: all of it was given out. */
static bool put_some(struct qs_chat_stream *s, const struct qs_answer *a, struct qs_str *out)
{
    const size_t n = settled(a, s->side);
    const bool over = a->state == QS_ANSWER_ENDED || a->side[s->side].state == QS_ANSWER_ENDED;
    if (!s->headed && (n || over))
        put_stream_heading(s, a, out);
    for (; s->fed < n; s->fed++)
        put_answer_token(&s->p, a, s->side, s->fed, a->follow ? &a->side[1] : NULL);
    if (over && s->fed == a->side[s->side].n) {
        end_text(&s->p);
        return true;
    }
    if (s->p.blank_text > s->p.shown) { /* whole words stay in this line, whatever follows */
        qs_str_addn(out, s->p.text.data + s->p.shown, s->p.blank_text - s->p.shown);
        s->p.shown = s->p.blank_text;
    }
    return false;
}

void qs_chat_stream_more(struct qs_chat_stream *s, const struct qs_answer *a, struct qs_str *out)
{
    const size_t sides = a->follow ? 1 : 2;
    if (s->over || a->n_sides != 2 || (a->state == QS_ANSWER_ENDED && !a->side[0].n && !a->side[1].n))
        return;
    s->p.out = out;
    while (s->side < sides && put_some(s, a, out)) {
        s->side++;
        s->fed = 0;
        s->headed = false;
    }
    if (s->side == sides && a->state == QS_ANSWER_ENDED) {
        put_legend(out, a);
        s->over = true;
    }
    out->failed |= s->p.text.failed | s->p.marks.failed;
}
