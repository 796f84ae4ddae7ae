/* chat_draw.c - the Chat screen as it is seen: titles, panes, marks, the field to type in.
 *
 * Owns where everything stands and what gives way where room is short. Colour is never the only sign: what parts and
 * what flips has a mark in the margin, classes of divergence have attributes where there are no colours, and a line of
 * marks below them where it is wanted.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/unicode.h"
#include "ui/chat.h"
#include "ui/layout.h"

enum { MARGIN = 2, INPUT_MOST = 6, TEXT_LEAST = 3 };

/* ---- tokens ---- */

static bool is_colored(struct qs_app *a)
{
    return qs_app_theme(a)->tier != QS_TIER_MONO && qs_app_theme(a)->ramp_steps;
}

static bool parts_at(const struct qs_answer *x, size_t token)
{
    return !x->follow && x->n_sides > 1 && x->parted == token;
}

/* Where a divergence lies between the lower ends of the first and the last class that have a colour, on a log scale:
 * the ramp shows more steps than there are marks. */
static double heat_of(double kld)
{
    const double low = qs_divergence_from(1), high = qs_divergence_from(QS_DIVERGENCE_CLASSES - 1);
    return fmin(1, fmax(0, log(kld / low) / log(high / low)));
}

struct qs_style chat_divergence_style(struct qs_app *a, double kld)
{
    static const unsigned mono[QS_DIVERGENCE_CLASSES] = { 0, 0, QS_UNDERLINE, QS_UNDERLINE | QS_BOLD, QS_REVERSE };
    struct qs_style style = qs_app_look(a, QS_LOOK_TEXT);
    const int class = qs_divergence_class(kld);
    if (class > 0 && is_colored(a))
        return qs_theme_heat(qs_app_theme(a), heat_of(kld));
    style.attr |= class > 0 ? mono[class] : 0;
    return style;
}

struct qs_style chat_token_style(struct qs_app *a, int side, size_t token)
{
    const struct chat *c = chat_of(a);
    const struct qs_answer *x = c->answer;
    const struct qs_answer_token *t = &x->side[side].token[token];
    struct qs_style style = qs_app_look(a, QS_LOOK_TEXT);
    if (c->token == token)
        return qs_app_look(a, QS_LOOK_CURSOR);
    if (parts_at(x, token)) {
        style = qs_app_look(a, QS_LOOK_MARK);
        style.attr |= QS_REVERSE;
        return style;
    }
    if (side == 1)
        style = chat_divergence_style(a, t->kld);
    if (side == 1 && t->flip)
        style.attr |= QS_BOLD | QS_UNDERLINE;
    return style;
}

/* Where a character begins that is drawn as one blank. */
static bool is_blank(char ch)
{
    return (unsigned char)ch < ' ';
}

/* One character of text at a place; bytes taken, its cells in *cells. */
static size_t draw_char(const struct qs_canvas *c, int y, int x, struct qs_style style, const char *text, size_t n,
                        int *cells)
{
    unsigned width;
    char one[64];
    const size_t bytes = qs_utf8_char(text, n, &width);
    const size_t kept = bytes < sizeof one ? bytes : 0;
    memcpy(one, text, kept);
    one[kept] = 0;
    *cells = (int)width;
    qs_draw_text(c, y, x, style, is_blank(text[0]) ? " " : kept ? one : "?", (int)width);
    return bytes;
}

/* The mark of a token, in the line below it: class of divergence, and '!' where the likeliest token is another. */
static void draw_mark(struct qs_app *a, const struct qs_canvas *c, int y, int x, int side, size_t token)
{
    const struct qs_answer *answer = chat_of(a)->answer;
    const struct qs_answer_token *t = &answer->side[side].token[token];
    char mark[4] = "";
    size_t n = 0;
    const int class = side == 1 ? qs_divergence_class(t->kld) : -1;
    if (parts_at(answer, token))
        mark[n++] = '^';
    else if (class > 0)
        mark[n++] = qs_divergence_mark(class);
    if (side == 1 && t->flip)
        mark[n++] = '!';
    mark[n] = 0;
    qs_draw_text(c, y, x, qs_app_look(a, QS_LOOK_MUTED), mark, -1);
}

static void draw_tokens(struct qs_app *a, const struct qs_canvas *c, int y, const struct chat_row *r, int side,
                        bool marks)
{
    const struct qs_answer_side *s = &chat_of(a)->answer->side[side];
    const size_t from = r->of[side].at, to = from + r->of[side].n;
    size_t token = qs_answer_at(s, from);
    int x = 0, cells;
    size_t marked = QS_ANSWER_NONE;
    for (size_t at = from; at < to; x += cells) {
        while (token != QS_ANSWER_NONE && token < s->n && s->token[token].text_end <= at)
            token++;
        const bool known = token != QS_ANSWER_NONE && token < s->n;
        if (marks && known && token != marked && (token ? s->token[token - 1].text_end : 0) >= from)
            draw_mark(a, c, y + 1, x, side, token);
        marked = token;
        at += draw_char(c, y, x, known ? chat_token_style(a, side, token) : qs_app_look(a, QS_LOOK_TEXT), s->text + at,
                        to - at, &cells);
    }
}

/* ---- rows ---- */

static void draw_plain(const struct qs_canvas *c, int y, struct qs_style style, const struct chat *x,
                       const struct chat_row *r, int side)
{
    const char *text = chat_row_text(x, r, side);
    const size_t to = r->of[side].at + r->of[side].n;
    int col = 0, cells;
    for (size_t at = r->of[side].at; at < to; col += cells)
        at += draw_char(c, y, col, style, text + at, to - at, &cells);
}

/* In the margin: where the answers part, and where the likeliest token flips. */
static const char *margin_of(const struct chat *c, const struct chat_row *r, int side)
{
    const struct qs_answer *x = c->answer;
    const struct qs_answer_side *s = &x->side[side];
    if (x->n_sides < 2 || !r->of[side].there)
        return "";
    if (x->parted != QS_ANSWER_NONE && !x->follow && chat_row_has(c, r, side, x->parted))
        return "^";
    size_t token = qs_answer_at(s, r->of[side].at);
    for (; side == 1 && token < s->n && s->token[token].text_end <= r->of[side].at + r->of[side].n; token++)
        if (s->token[token].flip)
            return "!";
    return "";
}

static const struct { enum qs_look look; const char *sign; } kinds[] = {
    [CHAT_BLANK] = { QS_LOOK_TEXT, "" },    [CHAT_SYSTEM] = { QS_LOOK_MUTED, "#" },
    [CHAT_PROMPT] = { QS_LOOK_TITLE, ">" }, [CHAT_WORDS] = { QS_LOOK_TEXT, "" },
    [CHAT_TOKENS] = { QS_LOOK_TEXT, "" },   [CHAT_NOTE] = { QS_LOOK_WARNING, "!" },
    [CHAT_HOW] = { QS_LOOK_HINT, "" },
};

static int row_height(const struct chat *c, const struct chat_row *r)
{
    return c->marks && r->kind == CHAT_TOKENS ? 2 : 1;
}

/* Where a model came beside an answer that was made without it. */
static void draw_hint_beside(struct qs_app *a, const struct qs_canvas *c, int y, int width)
{
    qs_draw_fit(c, y, 2 * MARGIN + width + 1, qs_app_look(a, QS_LOOK_HINT), "r: both answer", width, QS_FIT_LEFT);
}

static void draw_row(struct qs_app *a, const struct qs_canvas *c, int y, const struct chat_row *r, bool two, int width)
{
    const struct chat *x = chat_of(a);
    const struct qs_style style = qs_app_look(a, kinds[r->kind].look);
    for (int side = 0; side < (two ? QS_ANSWER_SIDES : 1); side++) {
        const int left = side ? MARGIN + width + 1 : 0;
        const struct qs_canvas pane =
            qs_canvas_part(c, (struct qs_rect){ y, left + MARGIN, row_height(x, r),
                                                r->apart || side ? width : qs_canvas_cols(c) - MARGIN });
        if (!r->of[side].there && !(r->first && side == 0))
            continue;
        if (r->kind == CHAT_TOKENS)
            draw_tokens(a, &pane, 0, r, side, x->marks);
        else
            draw_plain(&pane, 0, style, x, r, side);
        if (r->kind == CHAT_TOKENS && two && !r->apart && r->first && !chat_runs(chat_of(a)))
            draw_hint_beside(a, c, y, width);
        if (r->kind == CHAT_TOKENS)
            qs_draw_text(c, y, left, qs_app_look(a, QS_LOOK_MARK), margin_of(x, r, side), 1);
        else if (r->first && side == 0)
            qs_draw_text(c, y, 0, style, kinds[r->kind].sign, 1);
    }
}

/* ---- the view over the rows ---- */

static size_t rows_shown(const struct chat *c, size_t top, int height)
{
    size_t n = 0;
    int used = 0;
    while (top + n < c->rows.n && used + row_height(c, &c->rows.row[top + n]) <= height)
        used += row_height(c, &c->rows.row[top + n++]);
    return n ? n : 1;
}

/* The first row from which on everything fits to the end. */
static size_t last_top(const struct chat *c, int height)
{
    size_t top = c->rows.n;
    int used = 0;
    while (top > 0 && used + row_height(c, &c->rows.row[top - 1]) <= height)
        used += row_height(c, &c->rows.row[--top]);
    return top < c->rows.n ? top : c->rows.n ? c->rows.n - 1 : 0;
}

static void place(struct chat *c, int height)
{
    const size_t last = last_top(c, height);
    const size_t here = c->token == QS_ANSWER_NONE ? c->rows.n : chat_row_of(c, c->token);
    if (!c->behind || c->top > last)
        c->top = last;
    c->shown = rows_shown(c, c->top, height);
    if (here >= c->rows.n || !c->behind)
        return;
    if (here < c->top)
        c->top = here;
    while (here >= c->top + c->shown) {
        c->top++;
        c->shown = rows_shown(c, c->top, height);
    }
}

static void draw_rows(struct qs_app *a, const struct qs_canvas *c, bool two, int width)
{
    struct chat *x = chat_of(a);
    const int height = qs_canvas_rows(c);
    place(x, height);
    int y = 0;
    for (size_t r = x->top; r < x->rows.n && y < height; r++) {
        draw_row(a, c, y, &x->rows.row[r], two, width);
        if (two && (x->rows.row[r].kind == CHAT_TOKENS || x->rows.row[r].kind == CHAT_WORDS))
            qs_draw_vline(c, y, MARGIN + width, row_height(x, &x->rows.row[r]), qs_app_look(a, QS_LOOK_FRAME));
        y += row_height(x, &x->rows.row[r]);
    }
    if (x->rows.failed)
        qs_draw_text(c, height - 1, MARGIN, qs_app_look(a, QS_LOOK_ERROR), "out of memory", -1);
}

/* ---- around them ---- */

static void title_of(struct qs_app *a, int side, char *buf, size_t n)
{
    const struct chat *c = chat_of(a);
    if (c->replay)
        (void)snprintf(buf, n, "%s (replayed)", c->answer->side[side].label);
    else
        chat_seat_name(a, c->at[side], buf, n);
}

static void draw_titles(struct qs_app *a, const struct qs_canvas *c, bool two, int width)
{
    const struct chat *x = chat_of(a);
    struct qs_str clean = QS_STR_INIT;
    char title[QS_ANSWER_LABEL + 16], state[96];
    const struct qs_style style = qs_app_look(a, QS_LOOK_TITLE);
    chat_seats_state(a, state, sizeof state);
    const char *mode = state[0] ? state : !two ? "" : (x->replay ? x->answer->follow : x->follow) ? "follow" : "free";
    const int cols = qs_canvas_cols(c), n = (int)strlen(mode) + 2 < cols / 2 ? (int)strlen(mode) : 0;
    for (int side = 0; side < (two ? QS_ANSWER_SIDES : 1); side++) {
        qs_str_clear(&clean);
        title_of(a, side, title, sizeof title);
        qs_text_clean(&clean, title, qs_app_ascii(a));
        qs_draw_fit(c, 0, side ? 2 * MARGIN + width + 1 : MARGIN, style, clean.data,
                    side || !two ? width - (n ? n + 2 : 0) : width, QS_FIT_MIDDLE);
    }
    qs_str_free(&clean);
    if (n)
        qs_draw_text(c, 0, cols - n - 1, qs_app_look(a, QS_LOOK_MUTED), mode, n);
}

static const char *hint_of(struct qs_app *a)
{
    const struct chat *c = chat_of(a);
    if (c->wanted)
        return "the answer begins as soon as the models are there";
    if (c->typing && c->editing)
        return "the message in place of the last one; Esc leaves that as it is";
    if (c->typing)
        return "a message, or / and a command";
    if (chat_runs(chat_of(a)))
        return "x: stop";
    if (c->talk->n && c->talk->message[c->talk->n - 1].role == QS_TALK_USER && !c->replay)
        return "not answered yet: r answers it, e edits it";
    return qs_app_doc(a) || c->at[0] >= CHAT_FILES ? "Enter: write a message" : "no model is open: o opens one";
}

static void draw_input(struct qs_app *a, const struct qs_canvas *c)
{
    struct chat *x = chat_of(a);
    const struct qs_rect behind = { 0, MARGIN, qs_canvas_rows(c), qs_canvas_cols(c) - MARGIN };
    const struct qs_canvas field = qs_canvas_part(c, behind);
    int row = 0, col = 0;
    qs_draw_text(c, 0, 0, qs_app_look(a, x->typing ? QS_LOOK_TITLE : QS_LOOK_MUTED), x->typing ? ">" : ":", 1);
    if (!x->typing && !x->edit.len) {
        qs_draw_text(&field, 0, 0, qs_app_look(a, QS_LOOK_HINT), hint_of(a), -1);
        return;
    }
    qs_edit_draw_lines(&x->edit, &field, qs_app_theme(a), hint_of(a), &row, &col);
    if (x->typing)
        qs_app_cursor(a, &field, row, col);
}

/* What is offered lies over the text, above the field. */
static void draw_offers(struct qs_app *a, const struct qs_canvas *c, int above)
{
    const struct chat *x = chat_of(a);
    const int n = qs_edit_candidate_rows(&x->edit, above < 8 ? above : 8);
    const struct qs_canvas list = qs_canvas_part(c, (struct qs_rect){ above - n, 0, n, qs_canvas_cols(c) });
    if (!x->typing || n < 1)
        return;
    qs_draw_fill(&list, (struct qs_rect){ 0, 0, n, qs_canvas_cols(c) }, qs_app_look(a, QS_LOOK_POPUP));
    qs_edit_draw_candidates(&x->edit, &list, qs_app_theme(a));
}

void chat_draw(struct qs_app *a, const struct qs_canvas *c)
{
    struct chat *x = chat_of(a);
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    const bool two = x->replay ? x->answer->n_sides > 1 : chat_two(x);
    const int width = two ? (cols - 2 * MARGIN - 1) / 2 : cols - MARGIN - 1;
    if (rows < 2 || width < 1)
        return;
    if (!x->marks_set)
        x->marks = !is_colored(a);
    chat_rows_make(a, width);
    /* From below: the field, the facts, the token; the text has what is left, and its least first. */
    int left = rows - 1 - TEXT_LEAST, input = qs_edit_rows(&x->edit, cols - MARGIN, INPUT_MOST);
    input = input > left && left > 0 ? left : input > 0 ? input : 1;
    left -= input;
    int facts = chat_facts_rows(a, cols), token = chat_token_rows(a);
    facts = facts <= left ? facts : 0;
    left -= facts;
    token = token <= left ? token : left > 2 && token ? left : 0;
    const int text = rows - 1 - input - facts - token;
    draw_titles(a, c, two, width);
    const struct qs_canvas view = qs_canvas_part(c, (struct qs_rect){ 1, 0, text > 0 ? text : 0, cols });
    for (int side = 0; side < QS_ANSWER_SIDES; side++)
        x->pane[side] = (struct qs_rect){ 1, side ? 2 * MARGIN + width + 1 : MARGIN, text, side && !two ? 0 : width };
    if (text > 0)
        draw_rows(a, &view, two, width);
    if (token) {
        const struct qs_canvas at = qs_canvas_part(c, (struct qs_rect){ 1 + text, 0, token, cols });
        chat_token_draw(a, &at);
    }
    if (facts) {
        const struct qs_canvas at = qs_canvas_part(c, (struct qs_rect){ 1 + text + token, 0, facts, cols });
        chat_facts_draw(a, &at);
    }
    const struct qs_canvas field = qs_canvas_part(c, (struct qs_rect){ rows - input, 0, input, cols });
    draw_input(a, &field);
    draw_offers(a, c, rows - input);
}
