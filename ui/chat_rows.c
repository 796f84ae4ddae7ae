/* chat_rows.c - the conversation cut into rows: of one pane, or of two whose rows stand beside each other.
 *
 * A row says which text it is of and where in it, and holds for the conversation and the answer that it was made of:
 * whoever looks at rows has them made first (chat_rows_make, chat_rows_again), which costs nothing where nothing has
 * changed. What stands before the answer stays as it is while the answer grows. Where memory is out the rows end early
 * and say so.
 */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/unicode.h"
#include "ui/chat.h"

struct making { struct chat *c; int width; bool two; size_t message; };

const char *chat_row_text(const struct chat *c, const struct chat_row *r, int side)
{
    const struct qs_talk_message *m = r->message < c->talk->n ? &c->talk->message[r->message] : NULL;
    switch ((enum chat_row_kind)r->kind) {
    case CHAT_SYSTEM: return c->talk->system;
    case CHAT_PROMPT: return c->rows_replay ? c->answer->prompt : m ? m->text : "";
    case CHAT_WORDS: return !m ? "" : side && m->other ? m->other : m->text;
    case CHAT_TOKENS: return c->answer->side[side].text;
    case CHAT_NOTE: return c->answer->message;
    case CHAT_HOW: return c->note;
    case CHAT_BLANK: break;
    }
    return "";
}

static struct chat_row *add(struct making *m, struct chat_row row)
{
    struct chat_rows *r = &m->c->rows;
    if (r->failed || !qs_grow(&r->row, &r->cap, r->n + 1, sizeof *r->row)) {
        r->failed = true;
        return NULL;
    }
    r->row[r->n] = row;
    return &r->row[r->n++];
}

static void add_blank(struct making *m)
{
    (void)add(m, (struct chat_row){ .kind = CHAT_BLANK });
}

/* One more line of a text, from *at on; false: there is none. *at always moves on. */
static bool next_line(const char *text, size_t len, int width, size_t *at, size_t *from, size_t *n)
{
    if (*at >= len)
        return false;
    *from = *at;
    *n = qs_text_line_n(text + *at, len - *at, (size_t)(width > 0 ? width : 1), true);
    *at += *n;
    while (*at < len && text[*at] == ' ')
        *at += 1;
    if (*at < len && text[*at] == '\n')
        *at += 1;
    return true;
}

/* Texts beside each other, or one for both; sides: how many. */
static void add_texts(struct making *m, enum chat_row_kind kind, const size_t len[QS_ANSWER_SIDES], int sides,
                      int width)
{
    size_t at[QS_ANSWER_SIDES] = { 0 };
    for (bool first = true;; first = false) {
        struct chat_row row = { .kind = (unsigned char)kind, .first = first, .apart = sides > 1,
                                .message = m->message };
        bool some = false;
        for (int i = 0; i < sides; i++) {
            const char *text = chat_row_text(m->c, &row, i);
            row.of[i].there = next_line(text, len[i], width, &at[i], &row.of[i].at, &row.of[i].n);
            some |= row.of[i].there;
        }
        if (!some && !first)
            return;
        if (!add(m, row) || !some)
            return; /* an empty text has a row all the same */
    }
}

static void add_text(struct making *m, enum chat_row_kind kind, int width)
{
    const struct chat_row row = { .kind = (unsigned char)kind, .message = m->message };
    const size_t len[QS_ANSWER_SIDES] = { strlen(chat_row_text(m->c, &row, 0)) };
    add_texts(m, kind, len, 1, width);
}

/* What people say goes across both panes. */
static int across(const struct making *m)
{
    return m->two ? 2 * m->width + 3 : m->width;
}

static void add_answer(struct making *m)
{
    const struct qs_answer *x = m->c->answer;
    size_t len[QS_ANSWER_SIDES] = { 0 };
    const int sides = m->two && x->n_sides > 1 ? QS_ANSWER_SIDES : 1;
    for (int i = 0; i < sides; i++)
        len[i] = x->side[i].text_len;
    if (x->n_sides)
        add_texts(m, CHAT_TOKENS, len, sides, m->width);
    if (x->message[0])
        add_text(m, CHAT_NOTE, across(m));
}

static void add_message(struct making *m, const struct qs_talk_message *x)
{
    const size_t len[QS_ANSWER_SIDES] = { strlen(x->text), strlen(x->other ? x->other : x->text) };
    if (x->role == QS_TALK_USER)
        add_text(m, CHAT_PROMPT, across(m));
    else
        add_texts(m, CHAT_WORDS, len, m->two ? QS_ANSWER_SIDES : 1, m->width);
}

/* Messages from m->message up to `to`, but for the one that is the answer; a blank row behind each that something
 * follows. */
static void add_messages(struct making *m, size_t to)
{
    const struct chat *c = m->c;
    for (; m->message < to; m->message++) {
        if (m->message == c->answer_at)
            add_answer(m);
        else
            add_message(m, &c->talk->message[m->message]);
        if (m->message + 1 < c->talk->n || c->answer_at == c->talk->n)
            add_blank(m);
    }
}

/* The message that the answer is, or will be; behind all: it is not shown. */
static size_t answer_message(const struct chat *c)
{
    return c->answer_at < c->talk->n ? c->answer_at : c->talk->n;
}

/* What does not change while an answer grows. */
static void add_before(struct making *m)
{
    const struct chat *c = m->c;
    if (c->replay && c->answer->prompt[0]) {
        add_text(m, CHAT_PROMPT, across(m));
        add_blank(m);
    } else if (!c->replay && c->talk->system[0]) {
        add_text(m, CHAT_SYSTEM, across(m));
        add_blank(m);
    }
    if (!c->replay)
        add_messages(m, answer_message(c));
}

static void add_behind(struct making *m)
{
    const struct chat *c = m->c;
    m->message = answer_message(c);
    if (!c->replay)
        add_messages(m, c->talk->n);
    if (c->replay || c->answer_at == c->talk->n)
        add_answer(m);
    if (!c->replay && c->note[0])
        add_text(m, CHAT_HOW, across(m));
}

void chat_rows_make(struct qs_app *a, int width)
{
    struct chat *c = chat_of(a);
    const bool two = c->replay ? c->answer->n_sides > 1 : chat_two(c);
    const bool before = c->rows_talk == c->talk->version && c->rows_width == width && c->rows_two == two &&
                        c->rows_replay == c->replay && c->rows_answer_at == c->answer_at && !c->rows.failed &&
                        (!c->replay || c->rows_number == c->answer->number);
    if (before && c->rows_answer == c->answer->version && c->rows_number == c->answer->number)
        return;
    c->rows_talk = c->talk->version;
    c->rows_answer = c->answer->version;
    c->rows_number = c->answer->number;
    c->rows_answer_at = c->answer_at;
    c->rows_width = width;
    c->rows_two = two;
    c->rows_replay = c->replay;
    c->rows.failed = false;
    struct making m = { .c = c, .width = width, .two = two };
    if (!before) {
        c->rows.n = 0;
        add_before(&m);
        c->rows_settled = c->rows.n;
    }
    c->rows.n = c->rows_settled;
    add_behind(&m);
}

void chat_rows_again(struct qs_app *a)
{
    if (chat_of(a)->rows_width > 0)
        chat_rows_make(a, chat_of(a)->rows_width);
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

size_t chat_row_byte(const struct chat *c, const struct chat_row *r, int side, int col)
{
    const char *text = chat_row_text(c, r, side);
    const size_t to = r->of[side].at + r->of[side].n;
    size_t at = r->of[side].at;
    while (at < to) {
        unsigned cells;
        const size_t n = qs_utf8_char(text + at, to - at, &cells);
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
