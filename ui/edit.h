/* edit.h - a line of text being typed, or several: editing keys, history, completion.
 *
 * The text is valid UTF-8 without control characters: what is typed or pasted otherwise is left out; what a completion
 * or the caller puts in may hold anything, and is drawn harmlessly. The cursor moves by characters as people see them (what
 * combines stays together). Keys: arrows, Home, End, Ctrl-A E B F, Ctrl-Left and Ctrl-Right (by words), Backspace, Ctrl-H,
 * Delete, Ctrl-D, Ctrl-K (to the end), Ctrl-U (to the start), Ctrl-W (word before), Up, Down, Ctrl-P, Ctrl-N (history),
 * Tab, Shift-Tab (completion), Enter, Esc, Ctrl-C, Ctrl-G. With `lines` the text may hold line feeds: Ctrl-J puts one in,
 * pasted ones stay, Up and Down go through the rows as last drawn before they go through the history, Home and End within
 * one. No globals, one thread.
 */
#ifndef QS_UI_EDIT_H
#define QS_UI_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "ui/cells.h"
#include "ui/event.h"
#include "ui/theme.h"

#define QS_EDIT_MAX 65536 /* bytes */

/* Earlier lines, the oldest first: the caller owns and saves them. Empty lines and repetitions of the last are not taken. */
#define QS_TYPED_MAX 200
struct qs_typed { char *line[QS_TYPED_MAX]; size_t n; };
void qs_typed_add(struct qs_typed *h, const char *line); /* the oldest goes when full; no memory: nothing happens */
void qs_typed_free(struct qs_typed *h);

/* What could stand there. A callback adds them in the order in which they shall be offered. */
struct qs_candidates {
    size_t start;             /* the callback sets it: candidates replace the text from this byte to the cursor */
    char **text, **note;      /* note: shown behind it, may be "" */
    size_t n, text_cap, note_cap;
};
#define QS_CANDIDATES_MAX 2000
bool qs_candidates_add(struct qs_candidates *c, const char *text, const char *note); /* false: full or no memory */
void qs_candidates_free(struct qs_candidates *c);

/* text up to byte `at` is what has been typed; the rest stands behind the cursor. */
typedef void qs_complete_fn(void *ctx, const char *text, size_t at, struct qs_candidates *out);

struct qs_edit {
    char text[QS_EDIT_MAX + 1]; /* terminated */
    size_t len, at;             /* bytes; the typing cursor stands before byte `at` */
    struct qs_typed *history; /* NULL: none */
    qs_complete_fn *complete;   /* NULL: none */
    void *ctx;                  /* of complete */
    bool lines;                 /* line feeds are let in */
    /* Inside. */
    size_t left;                /* the first byte in view */
    int width, top;             /* of several lines: cells of a row, and the first row in view, as last drawn */
    size_t recalled;            /* entries back in the history; 0: the line itself */
    char *draft;                /* the line itself meanwhile */
    struct qs_candidates found; /* found.n: being offered */
    size_t chosen;              /* of them; found.n: none yet */
    char *typed;                /* what they replace, as it was typed */
};
#define QS_EDIT_INIT { .len = 0 }

/* Starts over with this text (cut at a character where too long), the cursor behind it; history and completion stay. */
void qs_edit_set(struct qs_edit *ed, const char *text);
void qs_edit_free(struct qs_edit *ed); /* what it allocated; the history is the caller's */

/* IGNORED: the event is not for an editor (a function key, the mouse): the caller may use it. Accepting adds to the
 * history. Esc first takes back offered candidates, then cancels. */
enum qs_edit_result { QS_EDIT_GOES_ON, QS_EDIT_ACCEPTED, QS_EDIT_CANCELLED, QS_EDIT_IGNORED };
enum qs_edit_result qs_edit_event(struct qs_edit *ed, const struct qs_event *e);
/* Puts clean text in at the cursor, as if pasted; what does not fit is left out whole. */
void qs_edit_insert(struct qs_edit *ed, const char *text);

/* Draws prompt and text in the first row of the canvas; returns the column (of the canvas) of the typing cursor. hint: seen
 * behind the cursor while the text is empty; NULL: none. */
int qs_edit_draw(struct qs_edit *ed, const struct qs_canvas *c, const struct qs_theme *t, const char *prompt,
                 const char *hint);
/* With `lines`: the rows that the text takes at this width, at most `most`; and drawn over all of the canvas, *row and *col
 * where the typing cursor is. */
int qs_edit_rows(const struct qs_edit *ed, int width, int most);
void qs_edit_draw_lines(struct qs_edit *ed, const struct qs_canvas *c, const struct qs_theme *t, const char *hint,
                        int *row, int *col);
/* What is offered, the chosen one between [ ]: on a canvas of one row in a strip, on a higher one below each other with
 * their notes. Rows wanted: 0 when nothing is offered. */
int qs_edit_candidate_rows(const struct qs_edit *ed, int most);
void qs_edit_draw_candidates(const struct qs_edit *ed, const struct qs_canvas *c, const struct qs_theme *t);

#endif
