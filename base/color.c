/* color.c - pure functions: colour spaces, contrast, palettes. No state: any thread may call. */
#include "base/color.h"

#include <math.h>
#include <string.h>

static double to_linear(double v)
{
    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static uint8_t from_linear(double v)
{
    const double c = v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
    return (uint8_t)(c <= 0 ? 0 : c >= 1 ? 255 : c * 255 + 0.5);
}

static void linear(const uint8_t rgb[3], double out[3])
{
    for (int i = 0; i < 3; i++)
        out[i] = to_linear(rgb[i] / 255.0);
}

/* Matrices of Björn Ottosson's definition of Oklab. */
void qs_color_to_oklab(const uint8_t rgb[3], double lab[3])
{
    double c[3];
    linear(rgb, c);
    const double l = cbrt(0.4122214708 * c[0] + 0.5363325363 * c[1] + 0.0514459929 * c[2]),
                 m = cbrt(0.2119034982 * c[0] + 0.6806995451 * c[1] + 0.1073969566 * c[2]),
                 s = cbrt(0.0883024619 * c[0] + 0.2817188376 * c[1] + 0.6299787005 * c[2]);
    lab[0] = 0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s;
    lab[1] = 1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s;
    lab[2] = 0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s;
}

void qs_color_from_oklab(const double lab[3], uint8_t rgb[3])
{
    const double p = lab[0] + 0.3963377774 * lab[1] + 0.2158037573 * lab[2],
                 q = lab[0] - 0.1055613458 * lab[1] - 0.0638541728 * lab[2],
                 r = lab[0] - 0.0894841775 * lab[1] - 1.2914855480 * lab[2];
    const double x = p * p * p, y = q * q * q, z = r * r * r;
    rgb[0] = from_linear(4.0767416621 * x - 3.3077115913 * y + 0.2309699292 * z);
    rgb[1] = from_linear(-1.2684380046 * x + 2.6097574011 * y - 0.3413193965 * z);
    rgb[2] = from_linear(-0.0041960863 * x - 0.7034186147 * y + 1.7076147010 * z);
}

double qs_color_lightness(const uint8_t rgb[3])
{
    double lab[3];
    qs_color_to_oklab(rgb, lab);
    return lab[0];
}

double qs_color_distance(const uint8_t a[3], const uint8_t b[3])
{
    double x[3], y[3];
    qs_color_to_oklab(a, x);
    qs_color_to_oklab(b, y);
    return sqrt((x[0] - y[0]) * (x[0] - y[0]) + (x[1] - y[1]) * (x[1] - y[1]) + (x[2] - y[2]) * (x[2] - y[2]));
}

static double luminance(const uint8_t rgb[3])
{
    double c[3];
    linear(rgb, c);
    return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
}

double qs_color_contrast(const uint8_t a[3], const uint8_t b[3])
{
    const double x = luminance(a) + 0.05, y = luminance(b) + 0.05;
    return x > y ? x / y : y / x;
}

void qs_color_deuteranopia(const uint8_t rgb[3], uint8_t out[3])
{
    /* Their projection in cone space, multiplied out for linear sRGB: red and green become one, blue hardly changes. */
    double c[3];
    linear(rgb, c);
    out[0] = out[1] = from_linear(0.29275 * c[0] + 0.70725 * c[1]);
    out[2] = from_linear(-0.02234 * c[0] + 0.02234 * c[1] + c[2]);
}

void qs_color_palette(uint8_t index, uint8_t rgb[3])
{
    static const uint8_t ansi[16][3] = {
        { 0, 0, 0 },       { 205, 0, 0 },   { 0, 205, 0 },   { 205, 205, 0 },
        { 0, 0, 238 },     { 205, 0, 205 }, { 0, 205, 205 }, { 229, 229, 229 },
        { 127, 127, 127 }, { 255, 0, 0 },   { 0, 255, 0 },   { 255, 255, 0 },
        { 92, 92, 255 },   { 255, 0, 255 }, { 0, 255, 255 }, { 255, 255, 255 },
    };
    if (index < 16) {
        memcpy(rgb, ansi[index], 3);
        return;
    }
    if (index >= 232) {
        rgb[0] = rgb[1] = rgb[2] = (uint8_t)(8 + 10 * (index - 232));
        return;
    }
    const unsigned cube = index - 16u, part[3] = { cube / 36, cube / 6 % 6, cube % 6 };
    for (int i = 0; i < 3; i++)
        rgb[i] = (uint8_t)(part[i] ? 55 + 40 * part[i] : 0);
}
