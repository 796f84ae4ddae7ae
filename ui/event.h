/* event.h - what a person does: keys, mouse, pasted text; and the names of keys. */
#ifndef QS_UI_EVENT_H
#define QS_UI_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A key is a code point, or one of these, perhaps with a modifier. Control characters arrive as QS_CTRL | letter (lower
 * case), except Tab, Enter, Esc and Backspace; Alt is not relied upon (Esc and a letter look the same). */
#define QS_CTRL 0x40000000u
#define QS_SHIFT 0x20000000u /* of special keys and Tab only */
enum qs_special_key {
    QS_KEY_NONE = 0, QS_KEY_TAB = 9, QS_KEY_ENTER = 13, QS_KEY_ESC = 27, QS_KEY_SPACE = ' ', QS_KEY_BACKSPACE = 127,
    QS_KEY_UP = 0x110000, QS_KEY_DOWN, QS_KEY_LEFT, QS_KEY_RIGHT, QS_KEY_HOME, QS_KEY_END, QS_KEY_PAGE_UP, QS_KEY_PAGE_DOWN,
    QS_KEY_INSERT, QS_KEY_DELETE, QS_KEY_F1, QS_KEY_F12 = QS_KEY_F1 + 11
};

enum qs_event_kind { QS_EVENT_KEY, QS_EVENT_MOUSE, QS_EVENT_PASTE, QS_EVENT_BACKGROUND /* the terminal told its colour */ };
enum qs_mouse { QS_MOUSE_PRESS, QS_MOUSE_RELEASE, QS_MOUSE_DRAG, QS_MOUSE_WHEEL_UP, QS_MOUSE_WHEEL_DOWN };

struct qs_event {
    enum qs_event_kind kind;
    uint32_t key;
    enum qs_mouse mouse;
    int row, col;      /* of the mouse, from 0 */
    unsigned button;   /* 1 left, 2 middle, 3 right */
    const char *text;  /* pasted: clean but for line feeds; valid until the next event is asked for */
    bool light;        /* QS_EVENT_BACKGROUND */
};

/* "q", "G", "Space", "Ctrl-R", "Shift-Tab", "PgDn", "F1". buf of >= 24 bytes; returns buf. */
const char *qs_key_name(uint32_t key, char *buf, size_t n);
/* The key of such a name (any case for names of several letters; "C-r" too); QS_KEY_NONE: there is none. */
uint32_t qs_key_parse(const char *name);

#endif
