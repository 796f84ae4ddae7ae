/* theme.h - what things look like: looks by name, one heat ramp, resolved for what the terminal can show.
 *
 * DESIGN. A theme is a text file "key = value" (themes/NAME.theme in the source, built into the program; the person's
 * own in $XDG_CONFIG_HOME/quantscape/themes/): for every look foreground, background and attributes as #rrggbb or
 * "default", for the ramp a list of stops. It is resolved once per tier: 24-bit as it stands; 256 colours by the
 * nearest entry of the palette, the ramp by the chain of entries nearest to it whose lightness strictly rises, also as
 * red-green-deficient eyes see it (Viénot, Brettel, Mollon 1999); 16 colours by a table of ANSI colours that every
 * palette grades alike; without colour by attributes and density characters. With 16 colours and without colour the
 * attributes are the program's own, except for themes that have no colours themselves. Screens name looks and ramp
 * positions only. Colour is never the only sign. What a theme leaves out follows the table of looks in theme.c;
 * quantscape-theme(5) describes the file.
 */
#ifndef QS_UI_THEME_H
#define QS_UI_THEME_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "ui/cells.h"

enum qs_tier { QS_TIER_MONO, QS_TIER_16, QS_TIER_256, QS_TIER_RGB };
const char *qs_tier_name(enum qs_tier t); /* "mono", "16", "256", "truecolor" */
int qs_tier_by_name(const char *name);    /* -1: no such tier ("auto" is none) */

enum qs_look {
    QS_LOOK_TEXT, QS_LOOK_MUTED /* secondary */, QS_LOOK_TITLE /* headings in a pane */, QS_LOOK_NUMBER,
    QS_LOOK_BAR /* header and footer */, QS_LOOK_BAR_KEY /* a key named in the footer */, QS_LOOK_BAR_HERE /* the screen we are on */,
    QS_LOOK_FRAME, QS_LOOK_FRAME_FOCUS,
    QS_LOOK_CURSOR /* the line or cell under the cursor */, QS_LOOK_CURSOR_AWAY /* of a pane without focus */, QS_LOOK_MARK /* marked */,
    QS_LOOK_MATCH /* found by search */, QS_LOOK_CHANGED /* differs from the preset */,
    QS_LOOK_GOOD, QS_LOOK_WARNING, QS_LOOK_ERROR,
    QS_LOOK_INPUT /* a line being typed */, QS_LOOK_HINT /* completion, ghost text */,
    QS_LOOK_POPUP, QS_LOOK_POPUP_KEY, QS_LOOK_BUTTON,
    QS_LOOK_GAUGE, QS_LOOK_GAUGE_REST,
    QS_LOOK_UNKNOWN /* a map cell whose value is not known */, QS_LOOK_KEPT /* a map cell that is not quantized */,
    QS_LOOK_SERIES_1, QS_LOOK_SERIES_2, QS_LOOK_SERIES_3, /* lines and bars of charts */
    QS_LOOKS
};
const char *qs_look_name(enum qs_look l); /* the key in theme files: "cursor-away" */

#define QS_RAMP_STEPS 64 /* of the 24-bit tier; fewer on others */

struct qs_theme {
    char name[64];
    bool light;                             /* made for a light background */
    enum qs_tier tier;                      /* as asked for; QS_TIER_MONO where the theme itself has no colours */
    qs_color paper, ink;                    /* RGB: what stands for the terminal's own colours in pictures */
    struct qs_style look[QS_LOOKS];
    unsigned ramp_steps;                    /* colours of the ramp: 64, 12, 4; mono: 0 */
    qs_color ramp[QS_RAMP_STEPS];           /* low to high */
    bool ramp_dark_text[QS_RAMP_STEPS];     /* dark text is read better on it */
    qs_color ramp_ink[2];                   /* text on the ramp: light, dark */
};

/* name: of a built-in or own theme, or a path (with a '/'); "auto": dark, or light where light_background. Own themes
 * win over built-in ones of the same name. QS_ENOTFOUND lists the names; a bad line names file, line, key, and what is
 * allowed. */
int qs_theme_load(const char *name, enum qs_tier tier, bool light_background, struct qs_theme *out, struct qs_err *e);
/* Names, built-in ones first, then own ones that are not called as one of those, in their order, each ended by \n. */
void qs_theme_list(struct qs_str *out);

static inline struct qs_style qs_look(const struct qs_theme *t, enum qs_look l) { return t->look[l]; }
/* The ramp at 0..1 (clamped): as a background with readable text on it. Mono: the default style. */
struct qs_style qs_theme_heat(const struct qs_theme *t, double position);
qs_color qs_theme_heat_color(const struct qs_theme *t, double position); /* for half blocks; mono: default */
/* Ten density characters, by level 0..9: " ", "·", ":", ... to "█", or ASCII " .:-=+*#%@". */
const char *qs_theme_density(unsigned level, bool ascii);

#endif
