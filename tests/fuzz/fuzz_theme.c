/* fuzz_theme.c - any bytes as a theme: what is refused says why, in one harmless line; what is accepted resolves for
 * every tier, or its ramp is refused on every tier alike; ramps rise. */
#include <stdlib.h>
#include <string.h>

#include "base/color.h"
#include "base/mem.h"
#include "base/unicode.h"
#include "ui/theme_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
    if (!truth)
        abort();
}

static void told(int rc, const struct qs_err *e)
{
    const size_t n = strlen(e->msg);
    must(rc == (int)e->code && n > 0);
    for (size_t at = 0; at < n;)
        must(qs_utf8_harmless(qs_utf8_next(e->msg, n, &at)));
}

static void check(const struct qs_theme *t)
{
    double last = -1;
    for (unsigned i = 0; i < QS_LOOKS; i++)
        must(t->tier != QS_TIER_MONO || (t->look[i].fg == QS_COLOR_DEFAULT && t->look[i].bg == QS_COLOR_DEFAULT));
    must(t->ramp_steps <= QS_RAMP_STEPS);
    for (unsigned i = 0; i < t->ramp_steps; i++) {
        uint8_t rgb[3];
        if (t->ramp[i] >> 24 == 2)
            qs_color_palette((uint8_t)t->ramp[i], rgb);
        else
            qs_color_split(t->ramp[i], rgb);
        must(t->tier == QS_TIER_16 || qs_color_lightness(rgb) > last);
        last = qs_color_lightness(rgb);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* All tiers in turn, told by the input, as the chain of the palette takes its time. */
    static const enum qs_tier tiers[8] = { QS_TIER_MONO, QS_TIER_16, QS_TIER_RGB, QS_TIER_MONO, QS_TIER_16, QS_TIER_RGB,
                                           QS_TIER_RGB, QS_TIER_256 };
    const uint64_t held = qs_mem_in_use();
    struct qs_theme_def d;
    struct qs_theme t, rgb;
    struct qs_err e = QS_ERR_INIT, again = QS_ERR_INIT;
    int rc = qs_theme_parse("fuzz", (const char *)data, size, &d, &e);
    if (rc) {
        told(rc, &e);
    } else {
        rc = qs_theme_resolve(&d, QS_TIER_RGB, &rgb, &e);
        must(qs_theme_resolve(&d, tiers[size % 8], &t, &again) == rc);
        if (rc) {
            told(rc, &e);
        } else {
            check(&rgb);
            check(&t);
        }
    }
    must(qs_mem_in_use() == held);
    return 0;
}
