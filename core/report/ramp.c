/* ramp.c - pure functions: colours computed, not listed; the palette forms are chosen so that lightness rises as well. */
#include "core/report/ramp.h"

#include "base/color.h"

static const double ends[2][3] = { { 0.24, -0.012, -0.105 }, { 0.95, -0.028, 0.150 } };

void qs_ramp_rgb(double t, uint8_t rgb[3])
{
    double lab[3];
    t = t > 0 ? (t < 1 ? t : 1) : 0;
    for (int i = 0; i < 3; i++)
        lab[i] = ends[0][i] + t * (ends[1][i] - ends[0][i]);
    qs_color_from_oklab(lab, rgb);
}

uint8_t qs_ramp_256(unsigned level)
{
    /* Entries of the 6x6x6 cube and the grey stairs near the ramp's colours, each lighter than the one before. */
    static const uint8_t entry[QS_RAMP_LEVELS] = { 17, 237, 239, 59, 243, 101, 143, 179, 186, 228 };
    return entry[level < QS_RAMP_LEVELS ? level : QS_RAMP_LEVELS - 1];
}

struct qs_ramp_ansi qs_ramp_ansi(unsigned step, bool bright)
{
    static const struct qs_ramp_ansi table[2][QS_RAMP_ANSI_STEPS] = {
        { { 0, false }, { 1, false }, { 6, true }, { 7, true } },
        { { 8, false }, { 9, true }, { 14, true }, { 15, true } },
    };
    return table[bright][step < QS_RAMP_ANSI_STEPS ? step : QS_RAMP_ANSI_STEPS - 1];
}
