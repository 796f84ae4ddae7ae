/* chat_text.c - answers as text with marks below the tokens, so that a plain terminal shows where two models disagree
 * without colour.
 *
 * A line of text and its line of marks are built cell by cell and given out together; lines break at the last blank
 * where there is one. Everything that a terminal could act on is shown as an escape.
 */
#include <string.h>

#include "base/text.h"
#include "base/unicode.h"
#include "core/report/report_chat.h"

#define WIDTH_UNLESS_KNOWN 80

struct painter {
    struct qs_str *out;
    struct qs_str text, marks;   /* of the line; marks: one byte a cell */
    size_t cells, width;
    size_t blank_text, blank_cell; /* behind the last blank: bytes of text and cells; 0: none in this line */
    bool ascii;
};

static void put_line(struct painter *p, size_t bytes, size_t cells)
{
    size_t last = cells < p->marks.len ? cells : p->marks.len;
    while (last && p->marks.data[last - 1] == ' ')
        last--;
    qs_str_addn(p->out, p->text.data, bytes);
    qs_str_addc(p->out, '\n');
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

static void put_side(struct painter *p, const struct qs_answer *a, size_t k)
{
    const struct qs_answer_side *s = &a->side[k];
    for (size_t i = 0; i < s->n; i++) {
        size_t n;
        const char *text = qs_answer_text(s, i, &n);
        const int class = qs_divergence_class(s->token[i].kld);
        char mark = ' ', first = 0;
        if (a->follow && k == 1 && class >= 0)
            mark = qs_divergence_mark(class);
        if (a->follow && k == 1 && s->token[i].flip)
            first = '!';
        if (!a->follow && i == a->parted)
            mark = '^';
        if (n == 0 && !a->follow && i == a->parted) { /* one ended here: its end is marked */
            text = " ";
            n = 1;
        }
        put_token(p, text, n, mark, first);
    }
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
        qs_str_add(out, "\nbelow the text: KLD from 0.001 '.', 0.01 ':', 0.1 '*', 1 '#'; '!' another likeliest token\n\n");
    else if (a->parted != QS_ANSWER_NONE)
        qs_str_add(out, "\n'^' the first token where they part\n\n");
    else
        qs_str_add(out, "\nboth are the same, as far as both go\n\n");
}

void qs_chat_text(const struct qs_answer *a, unsigned width, bool ascii, struct qs_str *out)
{
    for (size_t k = 0; k < a->n_sides; k++) {
        struct painter p = { .out = out, .text = QS_STR_INIT, .marks = QS_STR_INIT, .ascii = ascii,
                             .width = width ? width : WIDTH_UNLESS_KNOWN };
        if (a->n_sides == 2)
            put_heading(out, a, k, ascii);
        put_side(&p, a, k);
        out->failed |= p.text.failed | p.marks.failed;
        qs_str_free(&p.text);
        qs_str_free(&p.marks);
    }
    if (a->n_sides == 2)
        put_legend(out, a);
}
