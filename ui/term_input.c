/* term_input.c - bytes of a terminal to events: UTF-8, control characters, key sequences, mouse reports, pasted text, and
 * the terminal's answers.
 *
 * Refuses to guess: a sequence that is not in the tables below, or is cut off, is dropped whole, so that no part of it acts
 * as a key. Grammar: ECMA-48 5.4 (control sequences), xterm's ctlseqs (keys, SGR mouse reports, bracketed paste).
 */
#include "ui/term_input.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/unicode.h"

#define ESC 27
#define ESC_MS 25          /* a lone Esc is a key after this */
#define SEQUENCE_MS 500    /* the rest of a sequence may be late on a slow line */
#define PASTE_MS 10000     /* a paste that never ends is ended: its text must not become keys */
#define PARAMS 4

#define COUNT(a) (sizeof(a) / sizeof *(a))

size_t qs_input_put(struct qs_input *in, const void *bytes, size_t n)
{
    const size_t room = sizeof in->byte - in->len;
    n = n < room ? n : room;
    memcpy(in->byte + in->len, bytes, n);
    in->len += n;
    return n;
}

void qs_input_free(struct qs_input *in)
{
    qs_str_free(&in->paste);
    *in = (struct qs_input){ .paste = QS_STR_INIT };
}

static bool give(struct qs_event *out, uint32_t key)
{
    *out = (struct qs_event){ .kind = QS_EVENT_KEY, .key = key };
    return key != QS_KEY_NONE;
}

/* ---- characters ---- */

/* A code point, or 0: dropped. *got bytes; 0: more are needed. */
static uint32_t character(const unsigned char *p, size_t n, size_t *got)
{
    const unsigned char a = p[0];
    const size_t need = a < 0xC2 ? 1 : a < 0xE0 ? 2 : a < 0xF0 ? 3 : a < 0xF5 ? 4 : 1;
    size_t have = 1, at = 0;
    while (have < need && have < n && (p[have] & 0xC0) == 0x80)
        have++;
    if (have < need && have == n) {
        *got = 0;
        return 0;
    }
    const uint32_t cp = qs_utf8_next((const char *)p, have, &at);
    *got = at;
    return cp == 0xFFFD || (cp >= 0x80 && cp < 0xA0) ? 0 : cp;
}

static uint32_t control_key(const struct qs_input *in, unsigned char c)
{
    if (c == QS_KEY_TAB || c == QS_KEY_ENTER || c == QS_KEY_BACKSPACE)
        return c;
    if (c == 8 && in->erases_by_bs)
        return QS_KEY_BACKSPACE;
    const unsigned letter = c == 0 ? ' ' : c <= 26 ? c + 'a' - 1u : c + 0x40u;
    return QS_CTRL | letter;
}

/* ---- tables of keys ---- */

static const struct { unsigned code; uint32_t key; } tilde_keys[] = { /* CSI code ~ */
    { 1, QS_KEY_HOME }, { 2, QS_KEY_INSERT }, { 3, QS_KEY_DELETE }, { 4, QS_KEY_END }, { 5, QS_KEY_PAGE_UP },
    { 6, QS_KEY_PAGE_DOWN }, { 7, QS_KEY_HOME }, { 8, QS_KEY_END },
    { 11, QS_KEY_F1 }, { 12, QS_KEY_F1 + 1 }, { 13, QS_KEY_F1 + 2 }, { 14, QS_KEY_F1 + 3 }, { 15, QS_KEY_F1 + 4 },
    { 17, QS_KEY_F1 + 5 }, { 18, QS_KEY_F1 + 6 }, { 19, QS_KEY_F1 + 7 }, { 20, QS_KEY_F1 + 8 }, { 21, QS_KEY_F1 + 9 },
    { 23, QS_KEY_F1 + 10 }, { 24, QS_KEY_F12 },
};
static const struct { char final; uint32_t key; } letter_keys[] = { /* CSI letter, SS3 letter */
    { 'A', QS_KEY_UP }, { 'B', QS_KEY_DOWN }, { 'C', QS_KEY_RIGHT }, { 'D', QS_KEY_LEFT }, { 'H', QS_KEY_HOME },
    { 'F', QS_KEY_END }, { 'P', QS_KEY_F1 }, { 'Q', QS_KEY_F1 + 1 }, { 'R', QS_KEY_F1 + 2 }, { 'S', QS_KEY_F1 + 3 },
};

static uint32_t letter_key(unsigned char final)
{
    for (size_t i = 0; i < COUNT(letter_keys); i++)
        if (letter_keys[i].final == (char)final)
            return letter_keys[i].key;
    return QS_KEY_NONE;
}

/* xterm's modifier parameter: 1 + (1 Shift, 2 Alt, 4 Ctrl, 8 Meta). Keys with Alt or Meta are not ours. */
static uint32_t with_modifier(uint32_t key, unsigned modifier)
{
    const unsigned bits = modifier ? modifier - 1 : 0;
    if (key == QS_KEY_NONE || bits & ~5u)
        return QS_KEY_NONE;
    return key | (bits & 1 ? QS_SHIFT : 0) | (bits & 4 ? QS_CTRL : 0);
}

/* ---- the mouse ---- */

/* b: the button code of X10 and SGR reports; row and column from 1. */
static bool mouse(struct qs_event *out, unsigned b, unsigned col, unsigned row, bool release)
{
    const unsigned button = b & 3;
    if (b & 128 || row < 1 || col < 1 || row > 65535 || col > 65535)
        return false;
    *out = (struct qs_event){ .kind = QS_EVENT_MOUSE, .row = (int)row - 1, .col = (int)col - 1 };
    if (b & 64) { /* buttons 4 and 5; 6 and 7 would be sideways */
        out->mouse = button == 0 ? QS_MOUSE_WHEEL_UP : QS_MOUSE_WHEEL_DOWN;
        return button < 2 && !release;
    }
    out->button = button + 1;
    out->mouse = release ? QS_MOUSE_RELEASE : b & 32 ? QS_MOUSE_DRAG : QS_MOUSE_PRESS;
    return button < 3;
}

/* CSI M and three bytes: terminals that do not know SGR reports. Which button was let go of is not told. */
static size_t old_mouse(const struct qs_input *in, struct qs_event *out, bool *got)
{
    if (in->len < 6)
        return 0;
    const unsigned b = in->byte[3] - 32u, col = in->byte[4] - 32u, row = in->byte[5] - 32u;
    const bool release = (b & (3 | 64)) == 3 && !(b & 32);
    *got = mouse(out, release ? 0 : b, col, row, release);
    return 6;
}

/* ---- control sequences ---- */

struct csi {
    char private;                /* < = > ? or 0 */
    unsigned param[PARAMS], n;   /* how many were given */
    bool plain;                  /* nothing but decimal parameters */
    unsigned char final;
};

static void csi_parse(const unsigned char *p, size_t n, struct csi *c)
{
    *c = (struct csi){ .plain = true, .final = p[n - 1] };
    size_t i = 0;
    if (n > 1 && p[0] >= '<' && p[0] <= '?')
        c->private = (char)p[i++];
    for (; i + 1 < n; i++) {
        if (c->n == 0)
            c->n = 1;
        if (p[i] >= '0' && p[i] <= '9') {
            if (c->n <= PARAMS && c->param[c->n - 1] < 100000)
                c->param[c->n - 1] = c->param[c->n - 1] * 10 + p[i] - '0';
        } else if (p[i] == ';') {
            c->n++;
        } else {
            c->plain = false;
        }
    }
}

static bool csi_act(struct qs_input *in, const struct csi *c, struct qs_event *out)
{
    if (!c->plain || c->n > PARAMS)
        return false;
    if (c->private == '<' && (c->final == 'M' || c->final == 'm') && c->n == 3)
        return mouse(out, c->param[0], c->param[1], c->param[2], c->final == 'm');
    if (c->private == '?' && c->final == 'c')
        in->answered = true;
    if (c->private)
        return false;
    if (c->final == 'Z')
        return give(out, QS_SHIFT | QS_KEY_TAB);
    if (c->final != '~') /* the first parameter of CSI 1 ; 2 R is one: other reports look alike */
        return c->param[0] <= 1 && give(out, with_modifier(letter_key(c->final), c->param[1]));
    if (c->param[0] == 200) {
        in->pasting = true;
        in->after_cr = false;
        qs_str_clear(&in->paste);
        return false;
    }
    for (size_t i = 0; i < COUNT(tilde_keys); i++)
        if (tilde_keys[i].code == c->param[0])
            return give(out, with_modifier(tilde_keys[i].key, c->param[1]));
    return false;
}

static size_t csi_take(struct qs_input *in, struct qs_event *out, bool *got)
{
    const unsigned char *p = in->byte;
    if (in->len < 3)
        return 0;
    if (p[2] == '[') { /* the Linux console: F1 to F5 */
        if (in->len > 3 && p[3] >= 'A' && p[3] <= 'E')
            *got = give(out, QS_KEY_F1 + (p[3] - 'A'));
        return in->len > 3 ? 4 : 0;
    }
    if (p[2] == 'M')
        return old_mouse(in, out, got);
    for (size_t i = 2; i < in->len; i++) {
        if (p[i] >= 0x20 && p[i] < 0x40)
            continue;
        if (p[i] < 0x20 || p[i] > 0x7E) /* broken off */
            return i;
        struct csi c;
        csi_parse(p + 2, i - 1, &c);
        *got = csi_act(in, &c, out);
        return i + 1;
    }
    return 0;
}

static size_t ss3_take(const struct qs_input *in, struct qs_event *out, bool *got)
{
    static const char keypad[] = "*+,-./0123456789"; /* SS3 j to y */
    const unsigned char *p = in->byte;
    if (in->len < 3)
        return 0;
    if (p[2] < 0x20 || p[2] > 0x7E)
        return 2;
    if (p[2] >= '0' && p[2] <= '9') /* an old form of modifiers */
        return in->len > 3 ? 4 : 0;
    if (p[2] == 'M')
        *got = give(out, QS_KEY_ENTER);
    else if (p[2] >= 'j' && p[2] <= 'y')
        *got = give(out, (unsigned char)keypad[p[2] - 'j']);
    else
        *got = give(out, letter_key(p[2]));
    return 3;
}

/* ---- answers ---- */

bool qs_color_is_light(double r, double g, double b)
{
    const double v[3] = { r, g, b }, weight[3] = { 0.2126, 0.7152, 0.0722 };
    double y = 0;
    for (int i = 0; i < 3; i++)
        y += weight[i] * (v[i] <= 0.04045 ? v[i] / 12.92 : pow((v[i] + 0.055) / 1.055, 2.4));
    return y > 0.1791; /* sqrt(1.05 * 0.05) - 0.05 */
}

/* "11;rgb:RRRR/GGGG/BBBB", one to four hexadecimal digits each, terminated. */
static bool background(char *text, struct qs_event *out)
{
    double v[3];
    if (strncmp(text, "11;rgb", 6) != 0)
        return false;
    char *p = text + 6 + (text[6] == 'a');
    for (int i = 0; i < 3; i++) {
        char *end;
        if (*p != (i ? '/' : ':'))
            return false;
        const unsigned long x = strtoul(++p, &end, 16);
        const long digits = end - p;
        if (digits < 1 || digits > 4 || !strchr("0123456789abcdefABCDEF", *p))
            return false;
        v[i] = (double)x / (double)((1ul << (4 * digits)) - 1);
        p = end;
    }
    *out = (struct qs_event){ .kind = QS_EVENT_BACKGROUND, .light = qs_color_is_light(v[0], v[1], v[2]) };
    return true;
}

/* OSC, DCS, SOS, PM, APC: up to ST, or BEL. */
static size_t string_take(const struct qs_input *in, struct qs_event *out, bool *got)
{
    const unsigned char *p = in->byte;
    for (size_t i = 2; i < in->len; i++) {
        if (p[i] == ESC && i + 1 == in->len)
            return 0;
        if (p[i] == ESC && p[i + 1] != '\\')
            return i; /* broken off by another sequence */
        if (p[i] == 0x18 || p[i] == 0x1A)
            return i + 1;
        if (p[i] != ESC && p[i] != 7)
            continue;
        char text[40];
        if (p[1] == ']' && i - 2 < sizeof text) {
            memcpy(text, p + 2, i - 2);
            text[i - 2] = 0;
            *got = background(text, out);
        }
        return p[i] == ESC ? i + 2 : i + 1;
    }
    return 0;
}

/* ---- pasted text ---- */

static void paste_add(struct qs_input *in, const unsigned char *p, size_t n, uint32_t cp)
{
    const bool after_cr = in->after_cr;
    in->after_cr = cp == '\r';
    if (cp == '\n' && after_cr)
        return;
    if (cp == '\r')
        p = (const unsigned char *)"\n", n = 1, cp = '\n';
    if (cp == '\t')
        p = (const unsigned char *)" ", n = 1, cp = ' ';
    if (cp && (cp == '\n' || qs_utf8_harmless(cp)) && in->paste.len + n <= QS_PASTE_MAX)
        qs_str_addn(&in->paste, p, n);
}

static bool paste_end(struct qs_input *in, struct qs_event *out)
{
    in->pasting = false;
    *out = (struct qs_event){ .kind = QS_EVENT_PASTE, .text = in->paste.data };
    return true;
}

static size_t paste_take(struct qs_input *in, struct qs_event *out, bool *got)
{
    static const char mark[] = "\033[201~";
    const size_t m = sizeof mark - 1;
    size_t i = 0;
    while (i < in->len) {
        const unsigned char *p = in->byte + i;
        const size_t left = in->len - i;
        size_t n;
        if (memcmp(p, mark, left < m ? left : m) == 0) {
            if (left < m)
                return i;
            *got = paste_end(in, out);
            return i + m;
        }
        const uint32_t cp = character(p, left, &n);
        if (n == 0)
            return i;
        paste_add(in, p, n, cp);
        i += n;
    }
    return i;
}

/* ---- all of it ---- */

static size_t known_take(const struct qs_input *in, struct qs_event *out, bool *got, bool *partial)
{
    for (size_t i = 0; i < in->n_known; i++) {
        const size_t n = strlen(in->known[i].bytes);
        if (memcmp(in->byte, in->known[i].bytes, n < in->len ? n : in->len) != 0)
            continue;
        if (n <= in->len) {
            *got = give(out, in->known[i].key);
            return n;
        }
        *partial = true;
    }
    return 0;
}

/* Bytes taken, 0: more are needed. */
static size_t take(struct qs_input *in, struct qs_event *out, bool *got)
{
    size_t n;
    if (in->pasting)
        return paste_take(in, out, got);
    if (in->byte[0] != ESC) {
        const uint32_t cp = character(in->byte, in->len, &n);
        if (n)
            *got = give(out, in->byte[0] < 32 || in->byte[0] == 127 ? control_key(in, in->byte[0]) : cp);
        return n;
    }
    bool partial = in->len < 2;
    n = known_take(in, out, got, &partial);
    if (n || partial)
        return n;
    switch (in->byte[1]) {
    case '[': return csi_take(in, out, got);
    case 'O': return ss3_take(in, out, got);
    case ']': case 'P': case 'X': case '^': case '_': return string_take(in, out, got);
    default: *got = give(out, QS_KEY_ESC); return 1; /* what follows is a key of its own */
    }
}

/* No more will come. */
static size_t settle(struct qs_input *in, struct qs_event *out, bool *got)
{
    if (in->pasting)
        *got = paste_end(in, out);
    else if (in->len == 1 && in->byte[0] == ESC)
        *got = give(out, QS_KEY_ESC);
    return in->len;
}

enum qs_input_state qs_input_next(struct qs_input *in, bool waited, struct qs_event *out)
{
    bool got = false;
    while (in->len || (in->pasting && waited)) {
        size_t n = in->len ? take(in, out, &got) : 0;
        if (n == 0 && !waited && in->len < sizeof in->byte)
            return QS_INPUT_PARTIAL;
        if (n == 0)
            n = settle(in, out, &got);
        in->len -= n;
        memmove(in->byte, in->byte + n, in->len);
        if (got)
            return QS_INPUT_EVENT;
    }
    return in->pasting ? QS_INPUT_PARTIAL : QS_INPUT_EMPTY;
}

int qs_input_patience(const struct qs_input *in)
{
    return in->pasting ? PASTE_MS : in->len == 1 && in->byte[0] == ESC ? ESC_MS : SEQUENCE_MS;
}
