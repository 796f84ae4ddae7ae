/* pick.h - a popup to pick one of many from: typing filters, arrows move, Enter picks, Esc cancels.
 *
 * Items come by index through a callback, so that nothing is copied: what it hands out must stay valid until the next
 * call of it. The number of items is fixed while the popup is open. All text is made clean when it is drawn. One thread.
 */
#ifndef QS_UI_PICK_H
#define QS_UI_PICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "ui/edit.h"
#include "ui/list.h"

#define QS_PICK_DETAILS 6

struct qs_pick_item { /* all but label may be NULL */
    const char *label;
    const char *detail[QS_PICK_DETAILS]; /* columns behind the label; numbers are right-aligned (see numbers) */
    const char *key;                     /* the key that does the same */
    const char *disabled;                /* the reason why it cannot be picked: shown in place of the details */
    bool current;                        /* what holds now: marked '*' */
};

struct qs_pick_source {
    const char *title;
    size_t n;
    void (*item)(void *ctx, size_t i, struct qs_pick_item *out); /* *out comes zeroed */
    void *ctx;
    const char *head[QS_PICK_DETAILS];   /* titles of the details; all NULL: no header line */
    const char *label_head;              /* title of the labels, where there is a header line */
    unsigned numbers;                    /* bit d: details of column d are right-aligned */
    size_t first;                        /* item that the cursor starts at */
    bool keep_order;                     /* what matches stays in the order of the items, instead of best first */
};

struct qs_pick_found { uint32_t item; int score; };

struct qs_pick {
    struct qs_pick_source from;
    struct qs_edit filter;
    struct qs_list list;            /* of what matches */
    struct qs_pick_found *found;    /* from.n of them allocated */
    int label, detail[QS_PICK_DETAILS], key; /* widths, measured when opened */
    struct qs_rect at;              /* of the popup, when last drawn */
    const char *refused;            /* why Enter did nothing */
};

int qs_pick_open(struct qs_pick *p, const struct qs_pick_source *from, struct qs_err *e); /* p: anything; QS_ENOMEM */
void qs_pick_close(struct qs_pick *p);

/* PICKED: *item is its index. Disabled items are not picked. A click on an item picks it, one outside cancels. */
enum qs_pick_result { QS_PICK_GOES_ON, QS_PICK_PICKED, QS_PICK_CANCELLED };
enum qs_pick_result qs_pick_event(struct qs_pick *p, const struct qs_event *e, size_t *item);
/* The item under the cursor, for who shows what it would do; false: nothing matches. */
bool qs_pick_current(const struct qs_pick *p, size_t *item);

/* In the middle of the canvas, as large as it needs to be. The typing cursor's place on the canvas. */
void qs_pick_draw(struct qs_pick *p, const struct qs_canvas *c, const struct qs_theme *t, int *cursor_row, int *cursor_col);

#endif
