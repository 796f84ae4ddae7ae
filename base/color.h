/* color.h - colour arithmetic: sRGB, Oklab, contrast, the xterm palette, what red-green-deficient eyes see.
 *
 * Colours are 8-bit sRGB, rgb[3]. Pure functions.
 */
#ifndef QS_BASE_COLOR_H
#define QS_BASE_COLOR_H

#include <stdint.h>

/* Oklab (Ottosson 2020): lab[0] is lightness 0..1, the others run from green to red and from blue to yellow. */
void qs_color_to_oklab(const uint8_t rgb[3], double lab[3]);
/* What lies outside of sRGB is cut at its edge. */
void qs_color_from_oklab(const double lab[3], uint8_t rgb[3]);
double qs_color_lightness(const uint8_t rgb[3]); /* lab[0] */
/* How different two colours look: their distance in Oklab; about 0.02 can just be told apart. */
double qs_color_distance(const uint8_t a[3], const uint8_t b[3]);

/* Contrast of text and its background, 1..21 (WCAG 2.1: 4.5 is legible, 7 is enhanced). */
double qs_color_contrast(const uint8_t a[3], const uint8_t b[3]);

/* As an eye without green-sensitive cones sees it (Viénot, Brettel, Mollon 1999). */
void qs_color_deuteranopia(const uint8_t rgb[3], uint8_t out[3]);

/* Entry of the xterm palette. 0-15, the ANSI colours, are xterm's own; terminals have others there. */
void qs_color_palette(uint8_t index, uint8_t rgb[3]);

#endif
