/* app_modal.c - what lies over a screen, one thing at a time: a line to type, a list to pick from, a question.
 *
 * Owns the rule that whatever is open takes the keys first, and that it is closed before its answer is acted upon, so that
 * the action may open the next.
 */
#include "ui/app_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void qs_modal_close(struct qs_app *a)
{
    if (a->modal == QS_MODAL_PROMPT)
        qs_edit_free(&a->prompt.edit);
    if (a->modal == QS_MODAL_PICK)
        qs_pick_close(&a->pick);
    a->modal = QS_MODAL_NONE;
    a->dirty = true;
}

/* ---- a line ---- */

void qs_app_prompt(struct qs_app *a, const char *label, const char *initial, enum qs_arg arg, const char *words,
                   qs_app_text_fn *done, void *ctx)
{
    qs_modal_close(a);
    a->prompt = (struct qs_app_line){ .arg = arg, .done = done, .ctx = ctx, .edit = QS_EDIT_INIT };
    snprintf(a->prompt.label, sizeof a->prompt.label, "%s", label);
    snprintf(a->prompt.words, sizeof a->prompt.words, "%s", words ? words : "");
    a->prompt.edit.complete = qs_app_complete;
    a->prompt.edit.ctx = a;
    a->prompt.edit.history = &a->text_history;
    qs_edit_set(&a->prompt.edit, initial ? initial : "");
    a->modal = QS_MODAL_PROMPT;
}

static void prompt_event(struct qs_app *a, const struct qs_event *ev)
{
    /* Backspace on an empty command line leaves it, as people know it. */
    const bool empty = a->prompt.edit.len == 0 && ev->kind == QS_EVENT_KEY && ev->key == QS_KEY_BACKSPACE;
    const enum qs_edit_result r = empty ? QS_EDIT_CANCELLED : qs_edit_event(&a->prompt.edit, ev);
    if (r == QS_EDIT_CANCELLED) {
        qs_modal_close(a);
    } else if (r == QS_EDIT_ACCEPTED) {
        qs_app_text_fn *done = a->prompt.done;
        void *ctx = a->prompt.ctx;
        struct qs_str typed = QS_STR_INIT;
        if (a->prompt.arg == QS_ARG_FILE)
            qs_app_expand_home(a->prompt.edit.text, &typed);
        else
            qs_str_add(&typed, a->prompt.edit.text);
        qs_modal_close(a);
        if (typed.failed)
            qs_app_warn(a, "out of memory");
        else
            done(a, typed.data, ctx);
        qs_str_free(&typed);
    }
}

/* ---- a list ---- */

_Static_assert(QS_APP_DETAILS == QS_PICK_DETAILS, "an item of the app fits one of the list");

static void list_item(void *ctx, size_t i, struct qs_pick_item *out)
{
    struct qs_app *a = ctx;
    a->item = (struct qs_app_item){ .label = "" };
    a->pick_item(a, i, &a->item, a->pick_ctx);
    out->label = a->item.label;
    for (int d = 0; d < QS_PICK_DETAILS && a->item.detail[d][0]; d++)
        out->detail[d] = a->item.detail[d];
    out->key = a->item.key[0] ? a->item.key : NULL;
    out->disabled = a->item.refused;
    out->current = a->item.current;
}

void qs_app_pick(struct qs_app *a, const struct qs_app_list *list, qs_app_item_fn *item, qs_app_picked_fn *done,
                 void *ctx)
{
    struct qs_err e = QS_ERR_INIT;
    qs_modal_close(a);
    a->pick_item = item;
    a->picked = done;
    a->pick_ctx = ctx;
    struct qs_pick_source from = { .title = list->title, .n = list->n, .item = list_item, .ctx = a,
                                   .label_head = list->label_head, .numbers = list->numbers, .first = list->first,
                                   .keep_order = list->keep_order };
    for (int d = 0; d < QS_PICK_DETAILS; d++)
        from.head[d] = list->head[d];
    if (qs_pick_open(&a->pick, &from, &e))
        qs_app_fail(a, &e);
    else
        a->modal = QS_MODAL_PICK;
}

static void pick_event(struct qs_app *a, const struct qs_event *ev)
{
    size_t item = 0;
    const enum qs_pick_result r = qs_pick_event(&a->pick, ev, &item);
    if (r == QS_PICK_GOES_ON)
        return;
    qs_app_picked_fn *done = a->picked;
    void *ctx = a->pick_ctx;
    qs_modal_close(a);
    if (r == QS_PICK_PICKED)
        done(a, item, ctx);
}

/* ---- a question ---- */

void qs_app_ask(struct qs_app *a, const char *title, const char *text, const struct qs_app_answer *answer, size_t n,
                qs_app_answer_fn *done, void *ctx)
{
    qs_modal_close(a);
    qs_str_clear(&a->ask_title);
    qs_str_clear(&a->ask_text);
    qs_str_add(&a->ask_title, title);
    qs_str_add(&a->ask_text, text);
    if (a->ask_title.failed || a->ask_text.failed) {
        qs_app_warn(a, "out of memory");
        return;
    }
    a->ask = (struct qs_ask){ .title = a->ask_title.data, .text = a->ask_text.data, .chosen = n };
    for (size_t i = 0; i < n && i < QS_ASK_ANSWERS; i++)
        a->ask.answer[i] = (struct qs_ask_answer){ (unsigned char)answer[i].key, answer[i].label };
    a->answered = done;
    a->answer_ctx = ctx;
    a->modal = QS_MODAL_ASK;
}

void qs_app_unask(struct qs_app *a, qs_app_answer_fn *done, void *ctx)
{
    if (a->modal == QS_MODAL_ASK && a->answered == done && a->answer_ctx == ctx)
        qs_modal_close(a);
}

bool qs_app_over(const struct qs_app *a)
{
    return a->modal != QS_MODAL_NONE;
}

static void ask_event(struct qs_app *a, const struct qs_event *ev)
{
    const int answer = qs_ask_event(&a->ask, ev);
    if (answer == QS_ASK_GOES_ON)
        return;
    qs_app_answer_fn *done = a->answered;
    void *ctx = a->answer_ctx;
    qs_modal_close(a);
    if (answer >= 0)
        done(a, (size_t)answer, ctx);
}

/* ---- all three ---- */

bool qs_modal_event(struct qs_app *a, const struct qs_event *ev)
{
    switch (a->modal) {
    case QS_MODAL_PROMPT: prompt_event(a, ev); return true;
    case QS_MODAL_PICK: pick_event(a, ev); return true;
    case QS_MODAL_ASK: ask_event(a, ev); return true;
    case QS_MODAL_NONE: break;
    }
    return false;
}

/* A prompt stands in the footer's place, what it offers above it. */
static void draw_prompt(struct qs_app *a, const struct qs_canvas *all, int *row, int *col)
{
    const int rows = qs_canvas_rows(all), cols = qs_canvas_cols(all);
    const struct qs_canvas line = qs_canvas_part(all, (struct qs_rect){ rows - 1, 0, 1, cols });
    const int most = rows > 6 ? (rows - 4 < 10 ? rows - 4 : 10) : 1, n = qs_edit_candidate_rows(&a->prompt.edit, most);
    qs_draw_fill(&line, (struct qs_rect){ 0, 0, 1, cols }, qs_app_look(a, QS_LOOK_INPUT));
    if (a->message[0] && n == 0 && rows > 2) { /* why it is asked for again, or what ended meanwhile */
        const struct qs_canvas above = qs_canvas_part(all, (struct qs_rect){ rows - 2, 0, 1, cols });
        qs_frame_message(a, &above);
    }
    *row = rows - 1;
    *col = qs_edit_draw(&a->prompt.edit, &line, &a->theme, a->prompt.label, NULL);
    if (n > 0 && rows > n + 1) {
        const struct qs_canvas above = qs_canvas_part(all, (struct qs_rect){ rows - 1 - n, 0, n, cols });
        qs_draw_fill(&above, (struct qs_rect){ 0, 0, n, cols }, qs_app_look(a, QS_LOOK_POPUP));
        qs_edit_draw_candidates(&a->prompt.edit, &above, &a->theme);
    }
}

void qs_modal_draw(struct qs_app *a, const struct qs_canvas *all, int *row, int *col)
{
    switch (a->modal) {
    case QS_MODAL_PROMPT: draw_prompt(a, all, row, col); break;
    case QS_MODAL_PICK: qs_pick_draw(&a->pick, all, &a->theme, row, col); break;
    case QS_MODAL_ASK: qs_ask_draw(&a->ask, all, &a->theme); break;
    case QS_MODAL_NONE: break;
    }
}
