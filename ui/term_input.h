/* term_input.h - bytes of a terminal to events. Knows no descriptor, no clock and no curses: the caller brings bytes, and
 * says when it has waited long enough for the rest of a sequence. One thread.
 */
#ifndef QS_UI_TERM_INPUT_H
#define QS_UI_TERM_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include "base/str.h"
#include "ui/event.h"

#define QS_INPUT_BYTES 4096   /* kept; no sequence of a terminal is longer, what claims to be is dropped */
#define QS_INPUT_KEYS 40      /* keys that the terminal's description tells */
#define QS_PASTE_MAX 65536    /* bytes of clean text; the rest of a paste is dropped */

struct qs_input {
    unsigned char byte[QS_INPUT_BYTES];
    size_t len;
    struct { const char *bytes; uint32_t key; } known[QS_INPUT_KEYS]; /* before what all terminals have in common */
    size_t n_known;
    bool erases_by_bs;        /* Backspace sends ^H here */
    bool answered;            /* the terminal has said what it is (primary device attributes) */
    bool pasting, after_cr;
    struct qs_str paste;
};

enum qs_input_state { QS_INPUT_EMPTY, QS_INPUT_EVENT, QS_INPUT_PARTIAL };

/* Takes what fits of n bytes, returns how many. */
size_t qs_input_put(struct qs_input *in, const void *bytes, size_t n);
/* The next event. QS_INPUT_PARTIAL: what is there may be the start of more; `waited` says that no more will come: then it
 * is taken for what it is (Esc), or dropped. */
enum qs_input_state qs_input_next(struct qs_input *in, bool waited, struct qs_event *out);
int qs_input_patience(const struct qs_input *in); /* ms to wait for the rest of what is partial */
void qs_input_free(struct qs_input *in);

/* Whether text in black is read better than text in white on a colour (0..1 each, sRGB): WCAG 2.1's relative luminance,
 * above the point where the contrast to both is equal. */
bool qs_color_is_light(double r, double g, double b);

#endif
