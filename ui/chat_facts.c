/* chat_facts.c - numbers of the Chat screen: speeds, context and memory of each side, how far the two are apart, and
 * what both would have said at the token under the cursor. Pure but for reading what is there.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ui/chat.h"

/* ---- one side ---- */

static void rate(char *buf, size_t n, double r)
{
    if (isnan(r))
        (void)snprintf(buf, n, "-");
    else
        (void)snprintf(buf, n, r < 10 ? "%.1f" : "%.0f", r);
}

static const char *state_of(const struct qs_answer_side *s)
{
    switch (s->state) {
    case QS_ANSWER_WAITING: return "waiting";
    case QS_ANSWER_PREFILL: return "reading";
    case QS_ANSWER_DECODING: return "writing";
    case QS_ANSWER_ENDED: return s->stop == QS_STOP_END ? "ended" : qs_answer_stop_name(s->stop);
    case QS_ANSWER_EMPTY: break;
    }
    return "";
}

static void speeds(const struct qs_answer_side *s, struct qs_str *out)
{
    char prefill[24], decode[24];
    rate(prefill, sizeof prefill, qs_answer_prefill_rate(s));
    rate(decode, sizeof decode, qs_answer_decode_rate(s));
    if (s->state == QS_ANSWER_PREFILL)
        qs_str_addf(out, "%s %zu of %zu tokens, %s t/s", state_of(s), s->reused + s->prefilled, s->prompt, prefill);
    else
        qs_str_addf(out, "%s; prefill %s, decode %s t/s", state_of(s), prefill, decode);
    chat_guesses(s, out);
}

static void room(const struct qs_answer_side *s, bool full, struct qs_str *out)
{
    char weights[24], cache[24];
    qs_str_addf(out, full ? "context %zu of %zu tokens; weights %s, cache %s" : "%zu/%zu tokens; %s + %s", s->used,
                s->context, qs_fmt_bytes(weights, sizeof weights, s->memory.mapped + s->memory.heap),
                qs_fmt_bytes(cache, sizeof cache, s->memory.cache));
    if (full && s->precision[0])
        qs_str_addf(out, ", %s", s->precision);
}

/* ---- both ---- */

static void apart(const struct qs_answer *x, bool full, struct qs_str *out)
{
    char mean[QS_FMT_MAX], most[QS_FMT_MAX], same[QS_FMT_MAX];
    const double speed = qs_answer_decode_rate(&x->side[1]) / qs_answer_decode_rate(&x->side[0]);
    const uint64_t shared = x->shared.mapped + x->shared.heap + x->shared.cache;
    if (!x->follow && x->parted != QS_ANSWER_NONE)
        qs_str_addf(out, full ? "parted at token %zu  " : "parted at %zu  ", x->parted + 1);
    if (x->sum.n)
        qs_str_addf(out, full ? "KLD mean %s, largest %s at token %zu; same likeliest token %s of %zu"
                              : "KLD mean %s max %s at %zu  same top %s of %zu",
                    qs_fmt_fixed(mean, sizeof mean, x->sum.mean_kld, 4),
                    qs_fmt_fixed(most, sizeof most, x->sum.max_kld, 3), x->sum.max_at + 1,
                    qs_fmt_percent(same, sizeof same, (double)x->sum.same_top / (double)x->sum.n, 1), x->sum.n);
    if (isfinite(speed))
        qs_str_addf(out, full ? "; speed x%.2f" : "  x%.2f", speed);
    if (shared && full)
        qs_str_addf(out, "; shared %s", qs_fmt_bytes(mean, sizeof mean, shared));
}

static bool has_facts(const struct chat *c)
{
    return c->answer->n_sides && (c->replay || c->answer_at != SIZE_MAX);
}

static bool shows_two(const struct chat *c)
{
    return c->answer->n_sides > 1 && (c->replay || chat_two(c));
}

enum { WIDE = 84 }; /* columns where one side needs one line */

int chat_facts_rows(struct qs_app *a, int cols)
{
    const struct chat *c = chat_of(a);
    if (!has_facts(c))
        return 0;
    if (!shows_two(c))
        return cols >= WIDE ? 2 : 3;
    return (cols / 2 >= WIDE ? 1 : 2) + 2;
}

/* In a line, or in two; in fewer words where there is no room. */
static void draw_side(struct qs_app *a, const struct qs_canvas *c, const struct qs_answer_side *s)
{
    const struct qs_style style = qs_app_look(a, QS_LOOK_NUMBER);
    const bool one = qs_canvas_rows(c) < 2;
    struct qs_str first = QS_STR_INIT, second = QS_STR_INIT;
    speeds(s, &first);
    room(s, true, &second);
    if ((int)second.len + (one ? (int)first.len + 2 : 0) > qs_canvas_cols(c)) {
        qs_str_clear(&second);
        room(s, false, &second);
    }
    qs_draw_text(c, 0, 0, style, first.data, -1);
    qs_draw_text(c, one ? 0 : 1, one ? (int)first.len + 2 : 0, style, second.data, -1);
    qs_str_free(&first);
    qs_str_free(&second);
}

/* What colours (attributes) and marks of tokens mean, over the line above, where half of it stays. */
static void draw_legend(struct qs_app *a, const struct qs_canvas *c)
{
    enum { COLS = 30 };
    char one[32];
    int x = qs_canvas_cols(c) - COLS - 1;
    if (x < COLS)
        return;
    x += qs_draw_text(c, 0, x, qs_app_look(a, QS_LOOK_MUTED), " KLD", -1);
    for (int k = 1; k < QS_DIVERGENCE_CLASSES; k++) {
        x += qs_draw_text(c, 0, x, qs_app_look(a, QS_LOOK_TEXT), " ", -1);
        (void)snprintf(one, sizeof one, "%c %g", qs_divergence_mark(k), qs_divergence_from(k));
        x += qs_draw_text(c, 0, x, chat_divergence_style(a, qs_divergence_from(k)), one, -1);
    }
    (void)qs_draw_text(c, 0, x, qs_app_look(a, QS_LOOK_TEXT), " ", -1);
}

void chat_facts_draw(struct qs_app *a, const struct qs_canvas *c)
{
    const struct qs_answer *x = chat_of(a)->answer;
    const bool two = shows_two(chat_of(a));
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c), width = two ? (cols - 5) / 2 : cols - 3;
    const int per_side = rows - (two ? 2 : 1);
    qs_draw_hline(c, 0, 0, cols, qs_app_look(a, QS_LOOK_FRAME));
    if (two && (x->follow || x->sum.n))
        draw_legend(a, c);
    for (int i = 0; i < (two ? QS_ANSWER_SIDES : 1); i++) {
        const struct qs_canvas side = qs_canvas_part(c, (struct qs_rect){ 1, i ? width + 5 : 2, per_side, width });
        draw_side(a, &side, &x->side[i]);
    }
    if (two) {
        struct qs_str text = QS_STR_INIT;
        apart(x, true, &text);
        if ((int)text.len > cols - 3) {
            qs_str_clear(&text);
            apart(x, false, &text);
        }
        qs_draw_fit(c, rows - 1, 2, qs_app_look(a, QS_LOOK_NUMBER), text.data, cols - 3, QS_FIT_LEFT);
        qs_str_free(&text);
    }
}

/* ---- one token ---- */

int chat_token_rows(struct qs_app *a)
{
    const struct chat *c = chat_of(a);
    return c->token != QS_ANSWER_NONE && has_facts(c) ? 2 + QS_ANSWER_BEST : 0;
}

/* Its text between quotes that are not in it, with everything that cannot be seen as escapes. */
static void add_piece(struct qs_app *a, struct qs_str *out, uint32_t piece)
{
    const char *text = qs_answer_piece(chat_of(a)->answer, piece);
    const char quote = strchr(text, '"') && !strchr(text, '\'') ? '\'' : '"';
    struct qs_str clean = QS_STR_INIT;
    qs_text_clean(&clean, text, qs_app_ascii(a));
    qs_str_addc(out, quote);
    for (size_t i = 0; i < clean.len && !clean.failed; i++) {
        if (clean.data[i] == quote)
            qs_str_addc(out, '\\');
        qs_str_addc(out, clean.data[i]);
    }
    qs_str_addc(out, quote);
    qs_str_free(&clean);
}

static void draw_best(struct qs_app *a, const struct qs_canvas *c, const struct qs_answer_token *t)
{
    for (unsigned i = 0; i < t->n_best; i++) {
        struct qs_str text = QS_STR_INIT;
        const bool taken = t->best[i].token == t->token;
        qs_str_addf(&text, "%c %6.2f%%  ", taken ? '>' : ' ', 100 * t->best[i].p);
        add_piece(a, &text, t->best[i].piece);
        qs_draw_fit(c, (int)i, 0, qs_app_look(a, taken ? QS_LOOK_TITLE : QS_LOOK_TEXT), text.data, qs_canvas_cols(c),
                    QS_FIT_LEFT);
        qs_str_free(&text);
    }
}

static void headline(struct qs_app *a, struct qs_str *out)
{
    const struct chat *c = chat_of(a);
    const struct qs_answer *x = c->answer;
    char kld[QS_FMT_MAX];
    qs_str_addf(out, "token %zu", c->token + 1);
    for (size_t i = 0; i < (shows_two(c) ? x->n_sides : 1); i++) {
        const struct qs_answer_side *s = &x->side[i];
        if (c->token >= s->n)
            continue;
        if (i == 0 || s->token[c->token].token != x->side[0].token[c->token < x->side[0].n ? c->token : 0].token) {
            qs_str_addc(out, ' ');
            add_piece(a, out, s->token[c->token].piece);
        }
        qs_str_addf(out, i ? "; %.2f%%" : " %.2f%%", 100 * s->token[c->token].p);
        if (i && !isnan(s->token[c->token].kld))
            qs_str_addf(out, "  KLD %s%s", qs_fmt_fixed(kld, sizeof kld, s->token[c->token].kld, 4),
                        s->token[c->token].flip ? "  another likeliest token (!)" : "");
    }
}

void chat_token_draw(struct qs_app *a, const struct qs_canvas *c)
{
    const struct chat *x = chat_of(a);
    const bool two = shows_two(x);
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c), width = two ? (cols - 5) / 2 : cols - 3;
    struct qs_str text = QS_STR_INIT;
    qs_draw_hline(c, 0, 0, cols, qs_app_look(a, QS_LOOK_FRAME));
    headline(a, &text);
    qs_draw_fit(c, 1, 2, qs_app_look(a, QS_LOOK_TITLE), text.data, cols - 3, QS_FIT_LEFT);
    qs_str_free(&text);
    for (size_t i = 0; i < (two ? x->answer->n_sides : 1); i++) {
        const struct qs_answer_side *s = &x->answer->side[i];
        const struct qs_canvas at = qs_canvas_part(c, (struct qs_rect){ 2, i ? width + 5 : 2, rows - 2, width });
        if (x->token < s->n)
            draw_best(a, &at, &s->token[x->token]);
    }
}
