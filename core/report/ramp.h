/* ramp.h - the one colour ramp of heat maps: evenly graded, safe for colour-blind eyes, readable in grey.
 *
 * A straight line in Oklab (Ottosson 2020) from dark blue over grey to light yellow: equal steps look equal, lightness only
 * ever rises, and blue against yellow is the axis that red-green-deficient eyes see. Dark text belongs on a lightness (base/color.h) of 0.6 and above.
 */
#ifndef QS_CORE_RAMP_H
#define QS_CORE_RAMP_H

#include <stdint.h>

#define QS_RAMP_LEVELS 10

void qs_ramp_rgb(double t, uint8_t rgb[3]);          /* t in 0..1, clamped; sRGB */
uint8_t qs_ramp_256(unsigned level);                 /* colour number of the xterm palette; level < QS_RAMP_LEVELS */

#endif
