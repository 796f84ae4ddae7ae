/* ramp.c - pure functions: colours computed, not listed; the palette form is chosen so that lightness rises as well. */
#include "core/report/ramp.h"

#include <math.h>

struct lab { double l, a, b; };

static const struct lab ends[2] = { { 0.24, -0.012, -0.105 }, { 0.95, -0.028, 0.150 } };

static double to_linear(double v)
{
    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static uint8_t from_linear(double v)
{
    const double c = v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
    return (uint8_t)(c <= 0 ? 0 : c >= 1 ? 255 : c * 255 + 0.5);
}

/* Matrices of Björn Ottosson's definition of Oklab. */
void qs_ramp_rgb(double t, uint8_t rgb[3])
{
    t = t > 0 ? (t < 1 ? t : 1) : 0;
    const double l = ends[0].l + t * (ends[1].l - ends[0].l), a = ends[0].a + t * (ends[1].a - ends[0].a),
                 b = ends[0].b + t * (ends[1].b - ends[0].b);
    const double p = l + 0.3963377774 * a + 0.2158037573 * b, q = l - 0.1055613458 * a - 0.0638541728 * b,
                 r = l - 0.0894841775 * a - 1.2914855480 * b;
    const double x = p * p * p, y = q * q * q, z = r * r * r;
    rgb[0] = from_linear(4.0767416621 * x - 3.3077115913 * y + 0.2309699292 * z);
    rgb[1] = from_linear(-1.2684380046 * x + 2.6097574011 * y - 0.3413193965 * z);
    rgb[2] = from_linear(-0.0041960863 * x - 0.7034186147 * y + 1.7076147010 * z);
}

double qs_ramp_lightness(const uint8_t rgb[3])
{
    const double r = to_linear(rgb[0] / 255.0), g = to_linear(rgb[1] / 255.0), b = to_linear(rgb[2] / 255.0);
    const double l = cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b),
                 m = cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b),
                 s = cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
    return 0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s;
}

void qs_palette_256(uint8_t index, uint8_t rgb[3])
{
    if (index >= 232) {
        rgb[0] = rgb[1] = rgb[2] = (uint8_t)(8 + 10 * (index - 232));
        return;
    }
    const unsigned cube = index >= 16 ? index - 16u : 0;
    const unsigned part[3] = { cube / 36, cube / 6 % 6, cube % 6 };
    for (int i = 0; i < 3; i++)
        rgb[i] = (uint8_t)(part[i] ? 55 + 40 * part[i] : 0);
}

uint8_t qs_ramp_256(unsigned level)
{
    /* Entries of the 6x6x6 cube and the grey stairs near the ramp's colours, each lighter than the one before. */
    static const uint8_t entry[QS_RAMP_LEVELS] = { 17, 237, 239, 59, 243, 101, 143, 179, 186, 228 };
    return entry[level < QS_RAMP_LEVELS ? level : QS_RAMP_LEVELS - 1];
}
