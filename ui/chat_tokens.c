/* chat_tokens.c - the token under the cursor: where it goes, by keys and by the mouse, and the marks below the tokens.
 *
 * Owns nothing but the place in the answer that is shown.
 */
#include "ui/chat.h"
#include "ui/layout.h"

/* ---- tokens ---- */

static size_t tokens_of(const struct chat *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->answer->n_sides; i++)
        n = c->answer->side[i].n > n ? c->answer->side[i].n : n;
    return n;
}

const char *chat_no_tokens(struct qs_app *a)
{
    const struct chat *c = chat_of(a);
    return (c->replay || c->answer_at != SIZE_MAX) && tokens_of(c) ? NULL : "there is no answer to look at yet";
}

static void to_token(struct qs_app *a, size_t token)
{
    chat_of(a)->token = token;
    chat_of(a)->behind = true; /* the view follows the token, not the end */
}

void chat_token_left(struct qs_app *a, const char *arg)
{
    const struct chat *c = chat_of(a);
    (void)arg;
    to_token(a, c->token == QS_ANSWER_NONE ? tokens_of(c) - 1 : c->token ? c->token - 1 : 0);
}

void chat_token_right(struct qs_app *a, const char *arg)
{
    const struct chat *c = chat_of(a);
    (void)arg;
    to_token(a, c->token == QS_ANSWER_NONE ? 0 : c->token + 1 < tokens_of(c) ? c->token + 1 : c->token);
}

const char *chat_not_two(struct qs_app *a)
{
    const struct chat *c = chat_of(a);
    return chat_no_tokens(a) ? chat_no_tokens(a) : c->answer->n_sides > 1 ? NULL : "this answer is of one model alone";
}

void chat_worst_token(struct qs_app *a, const char *arg)
{
    const struct qs_answer *x = chat_of(a)->answer;
    (void)arg;
    if (x->sum.n)
        to_token(a, x->sum.max_at);
    else
        qs_app_say(a, "nowhere is the divergence known");
}

/* Where the likeliest token is another, or the answers part. */
static void next_flip(struct qs_app *a, int step)
{
    const struct chat *c = chat_of(a);
    const struct qs_answer_side *s = &c->answer->side[1];
    const size_t n = tokens_of(c);
    size_t i = c->token == QS_ANSWER_NONE ? step > 0 ? n - 1 : 0 : c->token;
    for (size_t k = 0; k < n; k++) {
        i = (i + n + (size_t)(step + (int)n)) % n;
        if ((i < s->n && s->token[i].flip) || (!c->answer->follow && i == c->answer->parted)) {
            to_token(a, i);
            return;
        }
    }
    qs_app_say(a, "the likeliest token is the same everywhere");
}

void chat_flip_after(struct qs_app *a, const char *arg) { (void)arg; next_flip(a, 1); }
void chat_flip_before(struct qs_app *a, const char *arg) { (void)arg; next_flip(a, -1); }

void chat_marks(struct qs_app *a, const char *arg)
{
    (void)arg;
    chat_of(a)->marks = !chat_of(a)->marks;
    chat_of(a)->marks_set = true;
}

/* ---- mouse ---- */

bool chat_click(struct qs_app *a, const struct qs_event *ev)
{
    struct chat *c = chat_of(a);
    chat_rows_again(a);
    for (int side = 0; side < QS_ANSWER_SIDES; side++) {
        if (!qs_rect_has(c->pane[side], ev->row, ev->col) || (size_t)side >= c->answer->n_sides)
            continue;
        int y = c->pane[side].y;
        for (size_t r = c->top; r < c->rows.n && y <= ev->row; r++) {
            const struct chat_row *row = &c->rows.row[r];
            const int height = c->marks && row->kind == CHAT_TOKENS ? 2 : 1;
            if (ev->row < y + height && row->kind == CHAT_TOKENS && row->of[side].there) {
                const size_t at = chat_row_byte(c, row, side, ev->col - c->pane[side].x);
                const size_t token = qs_answer_at(&c->answer->side[side], at);
                if (token != QS_ANSWER_NONE)
                    to_token(a, token);
                return true;
            }
            y += height;
        }
    }
    return false;
}
