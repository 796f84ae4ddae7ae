/* theme_ramp.c - the heat ramp of a theme for each tier, strictly rising in lightness for every eye.
 *
 * Pure functions on the caller's memory. Refuses stops between which lightness does not rise: a ramp that cannot be
 * read in grey is no ramp. Any thread.
 */
#include <math.h>
#include <string.h>

#include "base/color.h"
#include "core/report/ramp.h"
#include "ui/theme_internal.h"

enum { STEPS_256 = 12, FIRST = 16, ENTRIES = 256 - FIRST };

/* Between neighbours of the palette chain: steps that can be told apart. */
#define LEAST_STEP 0.02
/* Between the ends: less leaves no 64 different colours between them. */
#define LEAST_RANGE 0.4

struct gray { double normal, deutan; }; /* lightness for both kinds of eye */

static struct gray gray_of(const uint8_t rgb[3])
{
    uint8_t seen[3];
    qs_color_deuteranopia(rgb, seen);
    return (struct gray){ qs_color_lightness(rgb), qs_color_lightness(seen) };
}

static bool rises(struct gray from, struct gray to, double by)
{
    return to.normal > from.normal + by && to.deutan > from.deutan + by;
}

/* The colour at 0..1: straight lines in Oklab between stops that stand at equal distances. */
static void color_at(const struct qs_theme_def *d, double position, uint8_t rgb[3])
{
    if (d->stops == 0) {
        qs_ramp_rgb(position, rgb);
        return;
    }
    double from[3], to[3], at = position * (d->stops - 1);
    unsigned i = (unsigned)at;
    i = i < d->stops - 1 ? i : d->stops - 2;
    qs_color_to_oklab(d->stop[i], from);
    qs_color_to_oklab(d->stop[i + 1], to);
    for (int k = 0; k < 3; k++)
        from[k] += (at - i) * (to[k] - from[k]);
    qs_color_from_oklab(from, rgb);
}

static int check_stops(const struct qs_theme_def *d, struct qs_err *e)
{
    for (unsigned i = 1; i < d->stops; i++)
        if (!rises(gray_of(d->stop[i - 1]), gray_of(d->stop[i]), 0))
            return qs_fail(e, QS_EINVAL, "key 'ramp': stop %u must be lighter than stop %u, also for eyes that do "
                           "not tell red from green", i + 1, i);
    if (d->stops && !rises(gray_of(d->stop[0]), gray_of(d->stop[d->stops - 1]), LEAST_RANGE))
        return qs_fail(e, QS_EINVAL, "key 'ramp': the last stop must be much lighter than the first (by %.1f of 1 in "
                       "Oklab)", LEAST_RANGE);
    return QS_OK;
}

/* Text on a colour of the ramp: whichever ink has more contrast. */
static bool dark_text(const uint8_t rgb[3], const qs_color ink[2])
{
    uint8_t light[3], dark[3];
    qs_color_split(ink[0], light);
    qs_color_split(ink[1], dark);
    return qs_color_contrast(rgb, dark) >= qs_color_contrast(rgb, light);
}

static int ramp_rgb(const struct qs_theme_def *d, struct qs_theme *out, struct qs_err *e)
{
    struct gray last = { -1, -1 };
    out->ramp_steps = QS_RAMP_STEPS;
    for (unsigned i = 0; i < QS_RAMP_STEPS; i++) {
        uint8_t rgb[3];
        color_at(d, i / (double)(QS_RAMP_STEPS - 1), rgb);
        const struct gray g = gray_of(rgb);
        if (!rises(last, g, 0))
            return qs_fail(e, QS_EINVAL, "key 'ramp': lightness does not rise everywhere between the stops (at colour "
                           "%u of %d): let stops be about equally far apart", i + 1, QS_RAMP_STEPS);
        last = g;
        out->ramp[i] = QS_COLOR_RGB(rgb[0], rgb[1], rgb[2]);
        out->ramp_dark_text[i] = dark_text(rgb, d->ramp_ink);
    }
    return QS_OK;
}

uint8_t qs_theme_nearest(const uint8_t rgb[3])
{
    double least = INFINITY;
    unsigned best = FIRST;
    for (unsigned i = FIRST; i < 256; i++) {
        uint8_t entry[3];
        qs_color_palette((uint8_t)i, entry);
        const double distance = qs_color_distance(rgb, entry);
        if (distance < least) {
            least = distance;
            best = i;
        }
    }
    return (uint8_t)best;
}

/* How far an entry is from a colour of the ramp, squared. Hue counts more than in qs_color_distance, most of all
 * towards red or green, where a ramp has no business; lightness less, as the rule that it rises keeps it in order. */
static double off_ramp(const double want[3], const double entry[3])
{
    static const double weight[3] = { 0.25, 2, 1 };
    double sum = 0;
    for (int i = 0; i < 3; i++)
        sum += weight[i] * (want[i] - entry[i]) * (want[i] - entry[i]);
    return sum;
}

/* The chain of palette entries nearest to the ramp among those that rise: the best way to each entry at each step, from
 * the best ways to the darker ones at the step before. The grey stairs of the palette are such a chain, so that there
 * always is one. */
static void ramp_256(const struct qs_theme_def *d, struct qs_theme *out)
{
    double cost[ENTRIES], next[ENTRIES];
    double lab[ENTRIES][3];
    uint8_t from[STEPS_256][ENTRIES], entry[ENTRIES][3];
    struct gray g[ENTRIES];
    for (unsigned i = 0; i < ENTRIES; i++) {
        qs_color_palette((uint8_t)(FIRST + i), entry[i]);
        g[i] = gray_of(entry[i]);
        qs_color_to_oklab(entry[i], lab[i]);
        cost[i] = 0;
    }
    for (unsigned step = 0; step < STEPS_256; step++) {
        uint8_t rgb[3];
        double want[3];
        color_at(d, step / (double)(STEPS_256 - 1), rgb);
        qs_color_to_oklab(rgb, want);
        for (unsigned i = 0; i < ENTRIES; i++) {
            double least = step ? INFINITY : 0;
            from[step][i] = 0;
            for (unsigned k = 0; step && k < ENTRIES; k++)
                if (cost[k] < least && rises(g[k], g[i], LEAST_STEP)) {
                    least = cost[k];
                    from[step][i] = (uint8_t)k;
                }
            next[i] = least + off_ramp(want, lab[i]);
        }
        memcpy(cost, next, sizeof cost);
    }
    unsigned at = 0;
    for (unsigned i = 1; i < ENTRIES; i++)
        if (cost[i] < cost[at])
            at = i;
    out->ramp_steps = STEPS_256;
    for (unsigned step = STEPS_256; step-- > 0; at = from[step][at]) {
        out->ramp[step] = QS_COLOR_PALETTE(FIRST + at);
        out->ramp_dark_text[step] = dark_text(entry[at], d->ramp_ink);
    }
}

static void ramp_16(struct qs_theme *out)
{
    out->ramp_steps = QS_RAMP_ANSI_STEPS;
    for (unsigned i = 0; i < QS_RAMP_ANSI_STEPS; i++) {
        const struct qs_ramp_ansi step = qs_ramp_ansi(i, !out->light);
        out->ramp[i] = QS_COLOR_PALETTE(step.color);
        out->ramp_dark_text[i] = step.dark_text;
    }
}

int qs_theme_resolve_ramp(const struct qs_theme_def *d, struct qs_theme *out, struct qs_err *e)
{
    int rc = check_stops(d, e);
    if (!rc) /* also where it is not shown: a theme is good on every terminal or on none */
        rc = ramp_rgb(d, out, e);
    if (rc)
        return rc;
    uint8_t rgb[3];
    for (int i = 0; i < 2; i++) {
        qs_color_split(d->ramp_ink[i], rgb);
        out->ramp_ink[i] = out->tier == QS_TIER_RGB ? d->ramp_ink[i] : out->tier == QS_TIER_256
            ? QS_COLOR_PALETTE(qs_theme_nearest(rgb)) : QS_COLOR_PALETTE(i ? 0u : 15u);
    }
    if (out->tier == QS_TIER_256)
        ramp_256(d, out);
    else if (out->tier == QS_TIER_16)
        ramp_16(out);
    else if (out->tier == QS_TIER_MONO) {
        out->ramp_steps = 0;
        out->ramp_ink[0] = out->ramp_ink[1] = QS_COLOR_DEFAULT;
    }
    return QS_OK;
}

static unsigned step_at(const struct qs_theme *t, double position)
{
    const double clamped = position > 0 ? position < 1 ? position : 1 : 0, at = clamped * t->ramp_steps;
    return at < t->ramp_steps ? (unsigned)at : t->ramp_steps - 1;
}

qs_color qs_theme_heat_color(const struct qs_theme *t, double position)
{
    return t->ramp_steps ? t->ramp[step_at(t, position)] : QS_COLOR_DEFAULT;
}

struct qs_style qs_theme_heat(const struct qs_theme *t, double position)
{
    if (t->ramp_steps == 0)
        return (struct qs_style){ 0 };
    const unsigned step = step_at(t, position);
    return (struct qs_style){ t->ramp_ink[t->ramp_dark_text[step]], t->ramp[step], 0 };
}

const char *qs_theme_density(unsigned level, bool ascii)
{
    static const char *const plain[] = { " ", ".", ":", "-", "=", "+", "*", "#", "%", "@" };
    static const char *const blocks[] = { " ", "\u00B7", ":", "-", "=", "+", "\u2591", "\u2592", "\u2593", "\u2588" };
    level = level < 10 ? level : 9;
    return ascii ? plain[level] : blocks[level];
}
