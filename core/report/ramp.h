/* ramp.h - the one colour ramp of heat maps: evenly graded, safe for colour-blind eyes, readable in grey.
 *
 * A straight line in Oklab (Ottosson 2020) from dark blue over grey to light yellow: equal steps look equal, lightness only
 * ever rises, and blue against yellow is the axis that red-green-deficient eyes see. Dark text belongs
 * on a lightness (base/color.h) of 0.6 and above.
 */
#ifndef QS_CORE_RAMP_H
#define QS_CORE_RAMP_H

#include <stdbool.h>
#include <stdint.h>

#define QS_RAMP_LEVELS 10

void qs_ramp_rgb(double t, uint8_t rgb[3]);          /* t in 0..1, clamped; sRGB */
uint8_t qs_ramp_256(unsigned level);                 /* colour number of the xterm palette; level < QS_RAMP_LEVELS */

/* Where there are only ANSI colours, which are whatever the terminal's palette makes of them: four steps, strictly lighter
 * from one to the next, for both kinds of eye, in the palettes of xterm, VGA, Windows, GNOME, macOS and in Solarized,
 * Gruvbox, Dracula, Nord and One Half (tests/ui/test_theme.c). bright: from dark grey to bright white, which stay apart
 * from a black background; a terminal that has eight colours shows those of the other ramp for them. */
#define QS_RAMP_ANSI_STEPS 4
struct qs_ramp_ansi { uint8_t color; /* 0-15 */ bool dark_text; };
struct qs_ramp_ansi qs_ramp_ansi(unsigned step, bool bright); /* step < QS_RAMP_ANSI_STEPS */

#endif
