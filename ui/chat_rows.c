/* chat_rows.c - the conversation cut into rows: of one pane, or of two whose rows stand beside each other.
 *
 * Rows point into the texts of the conversation and of the answer, and are made anew before they could dangle: when
 * one of those, or the width, has changed. Where memory is out the rows end early and say so.
 */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/unicode.h"
#include "ui/chat.h"

struct making { struct chat *c; int width; bool two; };

static struct chat_row *add(struct making *m, enum chat_row_kind kind)
{
    struct chat_rows *r = &m->c->rows;
    if (r->failed || !qs_grow(&r->row, &r->cap, r->n + 1, sizeof *r->row)) {
        r->failed = true;
        return NULL;
    }
    r->row[r->n] = (struct chat_row){ .kind = (unsigned char)kind };
    return &r->row[r->n++];
}

/* One more line of a text, from *at on; false: there is none. */
static bool next_line(const char *text, size_t len, int width, size_t *at, size_t *from, size_t *n)
{
    if (*at >= len)
        return false;
    *from = *at;
    *n = qs_text_line(text + *at, (size_t)(width > 0 ? width : 1), true);
    *at += *n;
    if (*at < len && text[*at] == ' ')
        *at += strspn(text + *at, " ");
    if (*at < len && text[*at] == '\n')
        *at += 1;
    return true;
}

/* Texts beside each other; text[1] NULL: one for both. */
static void add_texts(struct making *m, enum chat_row_kind kind, const char *const text[QS_ANSWER_SIDES],
                      const size_t len[QS_ANSWER_SIDES], int width)
{
    size_t at[QS_ANSWER_SIDES] = { 0 };
    for (bool first = true;; first = false) {
        struct chat_row row = { .kind = (unsigned char)kind, .first = first };
        bool some = false;
        for (int i = 0; i < QS_ANSWER_SIDES; i++) {
            if (!text[i])
                continue;
            row.of[i].text = text[i];
            row.of[i].there = next_line(text[i], len[i], width, &at[i], &row.of[i].at, &row.of[i].n);
            some |= row.of[i].there;
        }
        if (!some && !first)
            return;
        struct chat_row *r = add(m, kind);
        if (!r)
            return;
        *r = row;
        if (!some)
            return; /* an empty text has a row all the same */
    }
}

static void add_text(struct making *m, enum chat_row_kind kind, const char *text, int width)
{
    const char *const texts[QS_ANSWER_SIDES] = { text };
    const size_t len[QS_ANSWER_SIDES] = { strlen(text) };
    add_texts(m, kind, texts, len, width);
}

/* What people say goes across both panes. */
static int across(const struct making *m)
{
    return m->two ? 2 * m->width + 3 : m->width;
}

static void add_answer(struct making *m)
{
    const struct qs_answer *x = m->c->answer;
    const char *text[QS_ANSWER_SIDES] = { NULL };
    size_t len[QS_ANSWER_SIDES] = { 0 };
    for (size_t i = 0; i < x->n_sides && i < QS_ANSWER_SIDES && (i == 0 || m->two); i++) {
        text[i] = x->side[i].text;
        len[i] = x->side[i].text_len;
    }
    if (x->n_sides)
        add_texts(m, CHAT_TOKENS, text, len, m->width);
    if (x->message[0])
        add_text(m, CHAT_NOTE, x->message, across(m));
}

static void add_message(struct making *m, const struct qs_talk_message *x)
{
    const char *text[QS_ANSWER_SIDES] = { x->text, m->two ? x->other ? x->other : x->text : NULL };
    const size_t len[QS_ANSWER_SIDES] = { strlen(text[0]), text[1] ? strlen(text[1]) : 0 };
    if (x->role == QS_TALK_USER)
        add_text(m, CHAT_PROMPT, x->text, across(m));
    else
        add_texts(m, CHAT_WORDS, text, len, m->width);
}

static void add_conversation(struct making *m)
{
    const struct chat *c = m->c;
    const struct qs_talk *t = c->talk;
    if (t->system[0]) {
        add_text(m, CHAT_SYSTEM, t->system, across(m));
        add(m, CHAT_BLANK);
    }
    for (size_t i = 0; i < t->n; i++) {
        if (i == c->answer_at)
            add_answer(m);
        else
            add_message(m, &t->message[i]);
        if (i + 1 < t->n || c->answer_at == t->n)
            add(m, CHAT_BLANK);
    }
    if (c->answer_at == t->n)
        add_answer(m);
}

static void add_replay(struct making *m)
{
    if (m->c->answer->prompt[0]) {
        add_text(m, CHAT_PROMPT, m->c->answer->prompt, across(m));
        add(m, CHAT_BLANK);
    }
    add_answer(m);
}

void chat_rows_make(struct qs_app *a, int width)
{
    struct chat *c = chat_of(a);
    const bool two = c->replay ? c->answer->n_sides > 1 : chat_two(c);
    if (c->rows_talk == c->talk->version && c->rows_answer == c->answer->version &&
        c->rows_number == c->answer->number && c->rows_width == width && c->rows_two == two &&
        c->rows_replay == c->replay && !c->rows.failed)
        return;
    c->rows_talk = c->talk->version;
    c->rows_answer = c->answer->version;
    c->rows_number = c->answer->number;
    c->rows_width = width;
    c->rows_two = two;
    c->rows_replay = c->replay;
    c->rows.n = 0;
    c->rows.failed = false;
    struct making m = { c, width, two };
    if (c->replay)
        add_replay(&m);
    else
        add_conversation(&m);
}

bool chat_row_has(const struct chat *c, const struct chat_row *r, int side, size_t token)
{
    const struct qs_answer_side *s = &c->answer->side[side];
    if (r->kind != CHAT_TOKENS || !r->of[side].there || token >= s->n)
        return false;
    const size_t from = token ? s->token[token - 1].text_end : 0, at = r->of[side].at;
    const bool empty = s->token[token].text_end == from;
    return from >= at && (from < at + r->of[side].n || (empty && from == at + r->of[side].n));
}

size_t chat_row_byte(const struct chat_row *r, int side, int col)
{
    const size_t to = r->of[side].at + r->of[side].n;
    size_t at = r->of[side].at;
    while (at < to) {
        unsigned cells;
        const size_t n = qs_utf8_char(r->of[side].text + at, to - at, &cells);
        if (col < (int)cells)
            break;
        col -= (int)cells;
        at += n;
    }
    return at;
}

/* Blanks that a line leaves out stand in no row: the one before has them. */
size_t chat_row_of(const struct chat *c, size_t token)
{
    size_t best = c->rows.n;
    for (int i = 0; i < QS_ANSWER_SIDES; i++) {
        const struct qs_answer_side *s = &c->answer->side[i];
        if ((size_t)i >= c->answer->n_sides || token >= s->n)
            continue;
        const size_t from = token ? s->token[token - 1].text_end : 0;
        for (size_t r = 0; r < c->rows.n; r++)
            if (c->rows.row[r].kind == CHAT_TOKENS && c->rows.row[r].of[i].there && c->rows.row[r].of[i].at <= from)
                best = r;
        if (best < c->rows.n)
            return best;
    }
    return best;
}
