/* Themes: the five built-in ones at every tier (graded ramps, contrast, looks told apart without colour), the file
 * format and its messages, what is left out, where themes come from, the manual page. */
#include "tests/lib/qs_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/color.h"
#include "base/file.h"
#include "base/mem.h"
#include "ui/theme_internal.h"

static const char *const themes[] = { "dark", "light", "high-contrast", "colorblind", "mono" };
enum { THEMES = sizeof themes / sizeof themes[0] };
static const enum qs_tier tiers[] = { QS_TIER_MONO, QS_TIER_16, QS_TIER_256, QS_TIER_RGB };

static struct qs_theme load(const char *name, enum qs_tier tier)
{
    struct qs_theme t;
    struct qs_err e = QS_ERR_INIT;
    if (qs_theme_load(name, tier, false, &t, &e) != QS_OK)
        fail_msg("%s at %s: %s", name, qs_tier_name(tier), e.msg);
    return t;
}

/* ---- colours as they appear ---- */

/* ANSI colours as known terminals have them. */
static const struct { const char *name; uint32_t rgb[16]; } palettes[] = {
    { "xterm", { 0x000000, 0xcd0000, 0x00cd00, 0xcdcd00, 0x0000ee, 0xcd00cd, 0x00cdcd, 0xe5e5e5, 0x7f7f7f, 0xff0000, 0x00ff00,
                 0xffff00, 0x5c5cff, 0xff00ff, 0x00ffff, 0xffffff } },
    { "VGA", { 0x000000, 0xaa0000, 0x00aa00, 0xaa5500, 0x0000aa, 0xaa00aa, 0x00aaaa, 0xaaaaaa, 0x555555, 0xff5555, 0x55ff55,
               0xffff55, 0x5555ff, 0xff55ff, 0x55ffff, 0xffffff } },
    { "Windows", { 0x0c0c0c, 0xc50f1f, 0x13a10e, 0xc19c00, 0x0037da, 0x881798, 0x3a96dd, 0xcccccc, 0x767676, 0xe74856,
                   0x16c60c, 0xf9f1a5, 0x3b78ff, 0xb4009e, 0x61d6d6, 0xf2f2f2 } },
    { "GNOME", { 0x2e3436, 0xcc0000, 0x4e9a06, 0xc4a000, 0x3465a4, 0x75507b, 0x06989a, 0xd3d7cf, 0x555753, 0xef2929, 0x8ae234,
                 0xfce94f, 0x729fcf, 0xad7fa8, 0x34e2e2, 0xeeeeec } },
    { "macOS", { 0x000000, 0x990000, 0x00a600, 0x999900, 0x0000b2, 0xb200b2, 0x00a6b2, 0xbfbfbf, 0x666666, 0xe50000, 0x00d900,
                 0xe5e500, 0x0000ff, 0xe500e5, 0x00e5e5, 0xe5e5e5 } },
    { "Solarized", { 0x073642, 0xdc322f, 0x859900, 0xb58900, 0x268bd2, 0xd33682, 0x2aa198, 0xeee8d5, 0x002b36, 0xcb4b16,
                     0x586e75, 0x657b83, 0x839496, 0x6c71c4, 0x93a1a1, 0xfdf6e3 } },
    { "Gruvbox", { 0x282828, 0xcc241d, 0x98971a, 0xd79921, 0x458588, 0xb16286, 0x689d6a, 0xa89984, 0x928374, 0xfb4934,
                   0xb8bb26, 0xfabd2f, 0x83a598, 0xd3869b, 0x8ec07c, 0xebdbb2 } },
    { "Dracula", { 0x21222c, 0xff5555, 0x50fa7b, 0xf1fa8c, 0xbd93f9, 0xff79c6, 0x8be9fd, 0xf8f8f2, 0x6272a4, 0xff6e6e,
                   0x69ff94, 0xffffa5, 0xd6acff, 0xff92df, 0xa4ffff, 0xffffff } },
    { "Nord", { 0x3b4252, 0xbf616a, 0xa3be8c, 0xebcb8b, 0x81a1c1, 0xb48ead, 0x88c0d0, 0xe5e9f0, 0x4c566a, 0xbf616a, 0xa3be8c,
                0xebcb8b, 0x81a1c1, 0xb48ead, 0x8fbcbb, 0xeceff4 } },
    { "One Half", { 0x282c34, 0xe06c75, 0x98c379, 0xe5c07b, 0x61afef, 0xc678dd, 0x56b6c2, 0xdcdfe4, 0x5d677a, 0xe06c75,
                    0x98c379, 0xe5c07b, 0x61afef, 0xc678dd, 0x56b6c2, 0xdcdfe4 } },
};
enum { PALETTES = sizeof palettes / sizeof palettes[0] };

static void appears(qs_color c, qs_color otherwise, unsigned palette, uint8_t rgb[3])
{
    if (c == QS_COLOR_DEFAULT)
        c = otherwise;
    if (c >> 24 == 2 && (c & 0xFF) < 16)
        qs_color_split(palettes[palette].rgb[c & 0xFF], rgb);
    else if (c >> 24 == 2)
        qs_color_palette((uint8_t)c, rgb);
    else
        qs_color_split(c, rgb);
}

/* ---- the ramp ---- */

static void ramp_rises(const struct qs_theme *t, unsigned palette)
{
    double last[2] = { -1, -1 };
    for (unsigned i = 0; i < t->ramp_steps; i++) {
        uint8_t rgb[3], seen[3];
        appears(t->ramp[i], 0, palette, rgb);
        qs_color_deuteranopia(rgb, seen);
        const double now[2] = { qs_color_lightness(rgb), qs_color_lightness(seen) };
        for (int eye = 0; eye < 2; eye++)
            if (!(now[eye] > last[eye]))
                fail_msg("%s at %s, palette %s, %s eye: step %u has lightness %.4f after %.4f", t->name, qs_tier_name(t->tier),
                         palettes[palette].name, eye ? "deutan" : "normal", i, now[eye], last[eye]);
        memcpy(last, now, sizeof last);
    }
}

static void test_ramp_is_graded(void **state)
{
    (void)state;
    static const unsigned steps[] = { 0, 4, 12, 64 };
    for (int i = 0; i < THEMES; i++)
        for (int k = 0; k < 4; k++) {
            const struct qs_theme t = load(themes[i], tiers[k]);
            assert_int_equal(t.ramp_steps, i == 4 ? 0 : steps[k]);
            for (unsigned p = 0; p < PALETTES; p++)
                ramp_rises(&t, p);
        }
}

/* Eight colours: the bright ones are shown as the others. */
static void test_ramp_on_eight_colors(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct qs_theme t = load(themes[i], QS_TIER_16);
        for (unsigned k = 0; k < t.ramp_steps; k++)
            t.ramp[k] = QS_COLOR_PALETTE(t.ramp[k] & 7);
        for (unsigned p = 0; p < PALETTES; p++)
            ramp_rises(&t, p);
    }
}

static void apart(const struct qs_theme *t, qs_color a, qs_color b, double least, const char *what)
{
    uint8_t x[3], y[3], p[3], q[3];
    appears(a, t->paper, 0, x);
    appears(b, t->paper, 0, y);
    qs_color_deuteranopia(x, p);
    qs_color_deuteranopia(y, q);
    if (qs_color_distance(x, y) < least || qs_color_distance(p, q) < least)
        fail_msg("%s at %s: %s are %.3f apart, for deutan eyes %.3f", t->name, qs_tier_name(t->tier), what,
                 qs_color_distance(x, y), qs_color_distance(p, q));
}

static void test_ramp_ends_show(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        for (int k = 1; k < 4; k++) {
            const struct qs_theme t = load(themes[i], tiers[k]);
            const qs_color white = QS_COLOR_RGB(255, 255, 255), black = QS_COLOR_RGB(0, 0, 0);
            apart(&t, t.ramp[0], t.light ? white : black, 0.05, "low end and background");
            apart(&t, t.ramp[t.ramp_steps - 1], t.light ? white : black, 0.05, "high end and background");
            if (k > 1) {
                apart(&t, t.ramp[0], t.paper, 0.1, "low end and paper");
                apart(&t, t.ramp[t.ramp_steps - 1], t.paper, 0.1, "high end and paper");
            }
        }
}

static void test_heat(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        for (int k = 1; k < 4; k++) {
            const struct qs_theme t = load(themes[i], tiers[k]);
            assert_int_equal(qs_theme_heat_color(&t, -1), t.ramp[0]);
            assert_int_equal(qs_theme_heat_color(&t, 0.0 / 0.0), t.ramp[0]);
            assert_int_equal(qs_theme_heat_color(&t, 1), t.ramp[t.ramp_steps - 1]);
            assert_int_equal(qs_theme_heat_color(&t, 1e300), t.ramp[t.ramp_steps - 1]);
            assert_int_equal(qs_theme_heat_color(&t, 0.999 / t.ramp_steps), t.ramp[0]);
            for (unsigned s = 0; s < t.ramp_steps && k > 1; s++) {
                uint8_t fg[3], bg[3];
                const struct qs_style heat = qs_theme_heat(&t, (s + 0.5) / t.ramp_steps);
                assert_int_equal(heat.bg, t.ramp[s]);
                appears(heat.fg, 0, 0, fg);
                appears(heat.bg, 0, 0, bg);
                if (qs_color_contrast(fg, bg) < 4.5)
                    fail_msg("%s at %s: text on step %u has %.2f", t.name, qs_tier_name(t.tier), s, qs_color_contrast(fg, bg));
            }
        }
    const struct qs_theme mono = load("dark", QS_TIER_MONO);
    const struct qs_style none = qs_theme_heat(&mono, 0.5);
    assert_true(none.fg == 0 && none.bg == 0 && none.attr == 0 && qs_theme_heat_color(&mono, 0.5) == QS_COLOR_DEFAULT);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(strlen(qs_theme_density(i, true)), 1);
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(qs_theme_density(i, false), qs_theme_density(k, false));
    }
    assert_string_equal(qs_theme_density(99, true), "@");
}

/* ---- looks ---- */

static bool is_text(enum qs_look l)
{
    return l != QS_LOOK_FRAME && l != QS_LOOK_GAUGE_REST;
}

static void test_contrast(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        for (int k = 2; k < 4; k++) {
            const struct qs_theme t = load(themes[i], tiers[k]);
            const double text = strcmp(themes[i], "high-contrast") == 0 ? 7 : 4.5;
            for (unsigned l = 0; l < QS_LOOKS; l++) {
                uint8_t fg[3], bg[3];
                appears(t.look[l].fg, t.ink, 0, fg);
                appears(t.look[l].bg, t.paper, 0, bg);
                const double contrast = qs_color_contrast(fg, bg);
                if (contrast < (is_text((enum qs_look)l) ? text : 3))
                    fail_msg("%s at %s: '%s' has a contrast of %.2f", t.name, qs_tier_name(t.tier), qs_look_name((enum qs_look)l),
                             contrast);
            }
        }
}

/* At 16 colours and without any, these are told apart by attributes alone. */
static void test_told_apart_without_color(void **state)
{
    (void)state;
    static const enum qs_look must[] = { QS_LOOK_TEXT, QS_LOOK_BAR, QS_LOOK_CURSOR, QS_LOOK_MARK, QS_LOOK_MATCH, QS_LOOK_WARNING,
                                         QS_LOOK_ERROR };
    for (int i = 0; i < THEMES; i++)
        for (int k = 0; k < 4; k++) {
            const struct qs_theme t = load(themes[i], tiers[k]);
            if (k > 1 && t.tier != QS_TIER_MONO)
                continue;
            for (unsigned a = 0; a < sizeof must / sizeof must[0]; a++)
                for (unsigned b = 0; b < a; b++)
                    if (t.look[must[a]].attr == t.look[must[b]].attr)
                        fail_msg("%s at %s: '%s' and '%s' have the same attributes", t.name, qs_tier_name(t.tier),
                                 qs_look_name(must[a]), qs_look_name(must[b]));
            for (unsigned l = 0; l < QS_LOOKS && t.tier == QS_TIER_MONO; l++)
                assert_true(t.look[l].fg == QS_COLOR_DEFAULT && t.look[l].bg == QS_COLOR_DEFAULT);
        }
}

/* With colour: what must not be taken for something else differs for deutan eyes too, or by an attribute. */
static void test_told_apart_with_color(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        for (int k = 2; k < 4; k++) {
            const struct qs_theme t = load(themes[i], tiers[k]);
            apart(&t, t.look[QS_LOOK_SERIES_1].fg, t.look[QS_LOOK_SERIES_2].fg, 0.1, "series 1 and 2");
            apart(&t, t.look[QS_LOOK_SERIES_2].fg, t.look[QS_LOOK_SERIES_3].fg, 0.1, "series 2 and 3");
            apart(&t, t.look[QS_LOOK_SERIES_1].fg, t.look[QS_LOOK_SERIES_3].fg, 0.1, "series 1 and 3");
            apart(&t, t.look[QS_LOOK_CURSOR].bg, t.paper, 0.1, "cursor and background");
            apart(&t, t.look[QS_LOOK_CURSOR].bg, t.look[QS_LOOK_CURSOR_AWAY].bg, 0.08, "cursor with and without focus");
            apart(&t, t.look[QS_LOOK_MATCH].bg, t.paper, 0.1, "match and background");
            apart(&t, t.look[QS_LOOK_UNKNOWN].bg, t.look[QS_LOOK_KEPT].bg, 0.04, "unknown and kept");
            assert_int_not_equal(t.look[QS_LOOK_GOOD].attr, t.look[QS_LOOK_WARNING].attr);
            assert_int_not_equal(t.look[QS_LOOK_WARNING].attr, t.look[QS_LOOK_ERROR].attr);
        }
}

/* ---- the file ---- */

static int parse(const char *text, struct qs_theme *out, struct qs_err *e)
{
    struct qs_theme_def d;
    *e = (struct qs_err)QS_ERR_INIT;
    int rc = qs_theme_parse("my.theme", text, strlen(text), &d, e);
    return rc ? rc : qs_theme_resolve(&d, QS_TIER_RGB, out, e);
}

static void test_messages(void **state)
{
    (void)state;
    static const struct { const char *text, *message; } bad[] = {
        { "\ncursr = bold\n", "my.theme:2: 'cursr' is no key of a theme; did you mean cursor?; quantscape-theme(5) lists them" },
        { "cursor = #12345\n", "my.theme:1: key 'cursor': '#12345' is not allowed here: [COLOUR] [on COLOUR] [bold dim underline "
                               "reverse italic | plain], a COLOUR is #rrggbb or default" },
        { "cursor = #123456 on\n", "my.theme:1: key 'cursor': a colour must follow 'on': #rrggbb or default" },
        { "cursor = on blue\n", "my.theme:1: key 'cursor': 'blue' is no colour: #rrggbb or default" },
        { "cursor\n", "my.theme:1: key 'cursor': a value is missing; a line is 'key = value'" },
        { "cursor =   # nothing\n", "my.theme:1: key 'cursor': a value is missing; a line is 'key = value'" },
        { "cursor bold\n", "my.theme:1: key 'cursor': a '=' must follow; a line is 'key = value'" },
        { "= bold\n", "my.theme:1: a line is 'key = value'; a key is missing" },
        { "text = bold\ntext = dim\n", "my.theme:2: key 'text': stands here a second time" },
        { "ink = #ffffff\nink = #ffffff", "my.theme:2: key 'ink': stands here a second time" },
        { "background = blue\n", "my.theme:1: key 'background': 'blue' is not allowed here: dark or light" },
        { "paper = default\n", "my.theme:1: key 'paper': 'default' is not allowed here: one colour, #rrggbb" },
        { "ramp = #000000\n", "my.theme:1: key 'ramp': 2 to 16 colours #rrggbb from low to high, or none" },
        { "ramp = #000000 white\n", "my.theme:1: key 'ramp': 'white' is no colour: #rrggbb" },
        { "ramp-ink = #000000\n", "my.theme:1: key 'ramp-ink': '#000000' is not allowed here: two colours #rrggbb, of light and of "
                                  "dark text" },
        { "text = \x1b[31m\n", "my.theme:1: key 'text': '\\x1B[31m' is not allowed here: [COLOUR] [on COLOUR] [bold dim underline "
                               "reverse italic | plain], a COLOUR is #rrggbb or default" },
        { "text = bold\n\xff\n", "my.theme:2: this is no text (UTF-8)" },
        { "ramp = #ffffff #000000\n", "key 'ramp': stop 2 must be lighter than stop 1, also for eyes that do not tell red from "
                                      "green" },
        { "ramp = #000000 #222222\n", "key 'ramp': the last stop must be much lighter than the first (by 0.4 of 1 in Oklab)" },
        { "ramp = #000000 #020202 #040404 #060606 #ffffff\n", "key 'ramp': lightness does not rise everywhere between the stops "
                                                              "(at colour 2 of 64): let stops be about equally far apart" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct qs_theme t;
        struct qs_err e;
        assert_int_equal(parse(bad[i].text, &t, &e), QS_EINVAL);
        assert_string_equal(e.msg, bad[i].message);
    }
}

static void test_reads_back(void **state)
{
    (void)state;
    struct qs_theme t;
    struct qs_err e;
    assert_int_equal(parse("\xEF\xBB\xBF# a theme\r\n  text=#010203 on #0a0B0c\r\ntitle = bold # by weight\n#muted = bold\n"
                           "cursor = on #ffffff plain\nmark = underline italic\nbackground = light", &t, &e), QS_OK);
    assert_true(t.light && t.paper == QS_COLOR_RGB(255, 255, 255) && t.ink == QS_COLOR_RGB(0, 0, 0));
    const struct qs_style *l = t.look;
    assert_true(l[QS_LOOK_TEXT].fg == QS_COLOR_RGB(1, 2, 3) && l[QS_LOOK_TEXT].bg == QS_COLOR_RGB(10, 11, 12));
    /* Left out: colours of the parent, attributes of the table. */
    assert_true(l[QS_LOOK_MUTED].fg == QS_COLOR_RGB(1, 2, 3) && l[QS_LOOK_MUTED].attr == QS_DIM);
    assert_true(l[QS_LOOK_TITLE].fg == QS_COLOR_RGB(1, 2, 3) && l[QS_LOOK_TITLE].attr == QS_BOLD);
    assert_true(l[QS_LOOK_CURSOR].fg == QS_COLOR_RGB(1, 2, 3) && l[QS_LOOK_CURSOR].bg == QS_COLOR_RGB(255, 255, 255));
    assert_int_equal(l[QS_LOOK_CURSOR].attr, 0);
    assert_int_equal(l[QS_LOOK_MARK].attr, QS_UNDERLINE | QS_ITALIC);
    assert_int_equal(l[QS_LOOK_CHANGED].attr, QS_BOLD | QS_ITALIC);
    /* Nothing at all is a theme as well, with a graded ramp. */
    assert_int_equal(parse("", &t, &e), QS_OK);
    assert_true(!t.light && t.ramp_steps == QS_RAMP_STEPS && t.look[QS_LOOK_BAR].attr == QS_REVERSE);
    /* Attributes of a theme without colours count. */
    assert_int_equal(parse("ramp = none\nbar = bold", &t, &e), QS_OK);
    assert_true(t.tier == QS_TIER_MONO && t.look[QS_LOOK_BAR].attr == QS_BOLD && t.look[QS_LOOK_CURSOR].attr);
}

static void test_table_is_in_order(void **state)
{
    (void)state;
    for (unsigned i = 0; i < QS_LOOKS; i++) {
        assert_non_null(qs_look_name((enum qs_look)i));
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(qs_look_name((enum qs_look)i), qs_look_name((enum qs_look)k));
        /* A child changes with its parents: parents are resolved first. */
        char text[64];
        struct qs_theme t;
        struct qs_err e;
        (void)snprintf(text, sizeof text, "text = #112233\n%s = #445566", i ? qs_look_name((enum qs_look)i) : "muted");
        assert_int_equal(parse(text, &t, &e), QS_OK);
        assert_true(i == QS_LOOK_TEXT || t.look[i].fg == QS_COLOR_RGB(0x44, 0x55, 0x66));
        for (unsigned k = 0; k < QS_LOOKS; k++)
            assert_true(t.look[k].fg == QS_COLOR_RGB(0x11, 0x22, 0x33) || t.look[k].fg == QS_COLOR_RGB(0x44, 0x55, 0x66));
    }
}

/* ---- where themes come from ---- */

static void put(const char *dir, const char *name, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    qs_test_write(path, text, strlen(text));
}

static void test_places(void **state)
{
    (void)state;
    char dir[400], path[512];
    struct qs_theme t;
    struct qs_err e = QS_ERR_INIT;
    struct qs_str list = QS_STR_INIT;
    assert_int_equal(setenv("XDG_CONFIG_HOME", qs_test_tmp_path("config"), 1), 0);
    assert_int_equal(qs_theme_load("auto", QS_TIER_RGB, true, &t, &e), QS_OK);
    assert_string_equal(t.name, "light");
    assert_true(t.light);
    assert_int_equal(qs_theme_load("auto", QS_TIER_RGB, false, &t, &e), QS_OK);
    assert_string_equal(t.name, "dark");
    assert_false(qs_file_exists(qs_test_tmp_path("config"))); /* looking makes nothing */

    (void)snprintf(dir, sizeof dir, "%s/quantscape/themes", qs_test_tmp_path("config"));
    qs_test_mkdirs(dir);
    put(dir, "zebra.theme", "text = #010101\n");
    put(dir, "dark.theme", "text = #020202\n");
    put(dir, "ant.theme", "nonsense\n");
    put(dir, "bad\x1b[2J.theme", "text = #020202\n");
    put(dir, "notes.txt", "text = #020202\n");
    qs_theme_list(&list);
    assert_string_equal(list.data, "dark\nlight\nhigh-contrast\ncolorblind\nmono\nant\nzebra\n");
    qs_str_free(&list);
    assert_int_equal(qs_theme_load("zebra", QS_TIER_RGB, false, &t, &e), QS_OK);
    assert_string_equal(t.name, "zebra");
    assert_int_equal(qs_theme_load("dark", QS_TIER_RGB, false, &t, &e), QS_OK);
    assert_int_equal(t.look[QS_LOOK_TEXT].fg, QS_COLOR_RGB(2, 2, 2)); /* own ones win */
    (void)snprintf(path, sizeof path, "%s/zebra.theme", dir);
    assert_int_equal(qs_theme_load(path, QS_TIER_RGB, false, &t, &e), QS_OK);
    assert_string_equal(t.name, "zebra");
    assert_int_equal(qs_theme_load("nope\x1b", QS_TIER_RGB, false, &t, &e), QS_ENOTFOUND);
    assert_string_equal(e.msg, "there is no theme 'nope\\x1B'; themes are: auto dark light high-contrast colorblind mono ant zebra");
    assert_int_equal(qs_theme_load("ant", QS_TIER_RGB, false, &t, &e), QS_EINVAL);
    (void)snprintf(path, sizeof path, "%s/ant.theme:1: key 'nonsense': a value is missing; a line is 'key = value'", dir);
    assert_string_equal(e.msg, path);
    (void)snprintf(path, sizeof path, "%s/", dir);
    assert_int_not_equal(qs_theme_load(path, QS_TIER_RGB, false, &t, &e), QS_OK);
}

static int load_body(void *ctx, struct qs_err *e)
{
    struct qs_theme t;
    return qs_theme_load(ctx, QS_TIER_256, false, &t, e);
}

static void test_without_memory(void **state)
{
    (void)state;
    char path[512];
    (void)snprintf(path, sizeof path, "%s/dark.theme", qs_test_src("themes"));
    qs_test_each_alloc(load_body, path);
}

/* The manual page has an entry for each key. */
static void test_manual(void **state)
{
    (void)state;
    char entry[64], *text = NULL;
    size_t n;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_file_read(qs_test_src("man/quantscape-theme.5"), 65536, &text, &n, &e), QS_OK);
    for (unsigned i = 0; i < QS_LOOKS; i++) {
        size_t at = (size_t)snprintf(entry, sizeof entry, "\n.B ");
        for (const char *p = qs_look_name((enum qs_look)i); *p; p++) {
            if (*p == '-')
                entry[at++] = '\\';
            entry[at++] = *p;
        }
        entry[at++] = '\n';
        entry[at] = 0;
        if (!strstr(text, entry))
            fail_msg("quantscape-theme.5 does not tell of '%s'", qs_look_name((enum qs_look)i));
    }
    qs_free(text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ramp_is_graded), cmocka_unit_test(test_ramp_on_eight_colors),
        cmocka_unit_test(test_ramp_ends_show), cmocka_unit_test(test_heat),
        cmocka_unit_test(test_contrast), cmocka_unit_test(test_told_apart_without_color),
        cmocka_unit_test(test_told_apart_with_color), cmocka_unit_test(test_messages),
        cmocka_unit_test(test_reads_back), cmocka_unit_test(test_table_is_in_order),
        cmocka_unit_test(test_places), cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_manual),
    };
    (void)unsetenv("XDG_CONFIG_HOME");
    (void)setenv("HOME", "/nonexistent", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
