/* theme.c - looks by name, what a theme leaves out, where themes come from, and looks for each tier.
 *
 * Reads files of the built-in table and of the person's folder; owns nothing afterwards: a theme is one flat struct.
 * Refuses what the parser refuses, and a ramp that is not graded. Any thread.
 */
#include "ui/theme.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/color.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/unicode.h"
#include "ui/theme_internal.h"

#define SUFFIX ".theme"

/* The looks. A look that a theme leaves out has the colours of `parent` and these attributes; so have all looks on a
 * terminal without colour, and with 16 colours these and the ANSI colour for a dark and a light background (-1: the
 * parent's). bar, cursor, mark, match, warning and error are told apart by the attributes alone. */
static const struct look {
    const char *name;
    enum qs_look parent;
    unsigned attr;
    signed char dark, light;
} looks[QS_LOOKS] = {
    [QS_LOOK_TEXT] = { "text", QS_LOOK_TEXT, 0, -1, -1 },
    [QS_LOOK_MUTED] = { "muted", QS_LOOK_TEXT, QS_DIM, -1, -1 },
    [QS_LOOK_TITLE] = { "title", QS_LOOK_TEXT, QS_BOLD, -1, -1 },
    [QS_LOOK_NUMBER] = { "number", QS_LOOK_TEXT, 0, -1, -1 },
    [QS_LOOK_BAR] = { "bar", QS_LOOK_TEXT, QS_REVERSE, -1, -1 },
    [QS_LOOK_BAR_KEY] = { "bar-key", QS_LOOK_BAR, QS_REVERSE | QS_UNDERLINE, -1, -1 },
    [QS_LOOK_BAR_HERE] = { "bar-here", QS_LOOK_BAR, QS_BOLD, -1, -1 },
    [QS_LOOK_FRAME] = { "frame", QS_LOOK_MUTED, QS_DIM, -1, -1 },
    [QS_LOOK_FRAME_FOCUS] = { "frame-focus", QS_LOOK_TITLE, QS_BOLD, -1, -1 },
    [QS_LOOK_CURSOR] = { "cursor", QS_LOOK_TEXT, QS_REVERSE | QS_BOLD, -1, -1 },
    [QS_LOOK_CURSOR_AWAY] = { "cursor-away", QS_LOOK_TEXT, QS_REVERSE | QS_DIM, -1, -1 },
    [QS_LOOK_MARK] = { "mark", QS_LOOK_TEXT, QS_BOLD, 3, 5 },
    [QS_LOOK_MATCH] = { "match", QS_LOOK_TEXT, QS_UNDERLINE, 6, 4 },
    [QS_LOOK_CHANGED] = { "changed", QS_LOOK_MARK, QS_BOLD | QS_ITALIC, 5, 5 },
    [QS_LOOK_GOOD] = { "good", QS_LOOK_TEXT, 0, 6, 4 },
    [QS_LOOK_WARNING] = { "warning", QS_LOOK_TEXT, QS_BOLD | QS_UNDERLINE, 3, 5 },
    [QS_LOOK_ERROR] = { "error", QS_LOOK_TEXT, QS_REVERSE | QS_BOLD | QS_UNDERLINE, 9, 1 },
    [QS_LOOK_INPUT] = { "input", QS_LOOK_TEXT, QS_UNDERLINE, -1, -1 },
    [QS_LOOK_HINT] = { "hint", QS_LOOK_MUTED, QS_DIM, -1, -1 },
    [QS_LOOK_POPUP] = { "popup", QS_LOOK_TEXT, 0, -1, -1 },
    [QS_LOOK_POPUP_KEY] = { "popup-key", QS_LOOK_POPUP, QS_BOLD, -1, -1 },
    [QS_LOOK_BUTTON] = { "button", QS_LOOK_POPUP, QS_REVERSE, -1, -1 },
    [QS_LOOK_GAUGE] = { "gauge", QS_LOOK_TEXT, 0, 6, 4 },
    [QS_LOOK_GAUGE_REST] = { "gauge-rest", QS_LOOK_MUTED, QS_DIM, -1, -1 },
    [QS_LOOK_UNKNOWN] = { "unknown", QS_LOOK_MUTED, QS_DIM, -1, -1 },
    [QS_LOOK_KEPT] = { "kept", QS_LOOK_MUTED, QS_DIM, -1, -1 },
    [QS_LOOK_SERIES_1] = { "series-1", QS_LOOK_TEXT, 0, 6, 4 },
    [QS_LOOK_SERIES_2] = { "series-2", QS_LOOK_TEXT, QS_BOLD, 3, 1 },
    [QS_LOOK_SERIES_3] = { "series-3", QS_LOOK_TEXT, QS_DIM, 5, 5 },
};

const char *qs_look_name(enum qs_look l)
{
    return looks[l].name;
}

const char *qs_tier_name(enum qs_tier t)
{
    static const char *const name[] = { "mono", "16", "256", "truecolor" };
    return name[t];
}

int qs_tier_by_name(const char *name)
{
    for (int t = QS_TIER_MONO; t <= QS_TIER_RGB; t++)
        if (strcmp(name, qs_tier_name((enum qs_tier)t)) == 0)
            return t;
    return -1;
}

/* ---- looks for a tier ---- */

static qs_color for_tier(qs_color c, enum qs_tier tier)
{
    uint8_t rgb[3];
    if (c == QS_COLOR_DEFAULT || tier == QS_TIER_RGB)
        return c;
    qs_color_split(c, rgb);
    return QS_COLOR_PALETTE(qs_theme_nearest(rgb));
}

/* As the theme says; parents come before their children in the table. */
static void own_looks(const struct qs_theme_def *d, struct qs_theme *out)
{
    for (unsigned i = 0; i < QS_LOOKS; i++) {
        const struct qs_theme_look *own = &d->look[i];
        const struct qs_style parent = i ? out->look[looks[i].parent] : (struct qs_style){ 0 };
        out->look[i] = (struct qs_style){
            own->has_fg ? for_tier(own->style.fg, out->tier) : parent.fg,
            own->has_bg ? for_tier(own->style.bg, out->tier) : parent.bg,
            own->given ? own->style.attr : looks[i].attr,
        };
    }
}

/* Attributes alone, of the theme or of the table. */
static void mono_looks(const struct qs_theme_def *d, struct qs_theme *out)
{
    for (unsigned i = 0; i < QS_LOOKS; i++)
        out->look[i].attr = d->no_ramp && d->look[i].given ? d->look[i].style.attr : looks[i].attr;
}

static void ansi_looks(struct qs_theme *out)
{
    for (unsigned i = 0; i < QS_LOOKS; i++) {
        const int entry = out->light ? looks[i].light : looks[i].dark;
        const qs_color parent = i ? out->look[looks[i].parent].fg : QS_COLOR_DEFAULT;
        const qs_color fg = entry < 0 ? parent : QS_COLOR_PALETTE((unsigned)entry);
        out->look[i] = (struct qs_style){ fg, QS_COLOR_DEFAULT, looks[i].attr };
    }
}

int qs_theme_resolve(const struct qs_theme_def *d, enum qs_tier tier, struct qs_theme *out, struct qs_err *e)
{
    const qs_color black = QS_COLOR_RGB(0, 0, 0), white = QS_COLOR_RGB(255, 255, 255);
    *out = (struct qs_theme){
        .light = d->light,
        .tier = d->no_ramp ? QS_TIER_MONO : tier,
        .paper = d->has_paper ? d->paper : d->light ? white : black,
        .ink = d->has_ink ? d->ink : d->light ? black : white,
    };
    if (out->tier == QS_TIER_MONO)
        mono_looks(d, out);
    else if (out->tier == QS_TIER_16)
        ansi_looks(out);
    else
        own_looks(d, out);
    return qs_theme_resolve_ramp(d, out, e);
}

/* ---- where themes are ---- */

static const struct qs_theme_file *find_builtin(const char *name)
{
    for (const struct qs_theme_file *f = qs_theme_builtin; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

/* The person's folder; false: there is none that could be named. */
static bool own_folder(struct qs_str *out)
{
    return qs_xdg_path("config", "themes", out, NULL) == QS_OK;
}

/* Whether a file of the person's folder is a theme: NAME.theme, the name printable and short. Bytes of the name, or 0. */
static size_t theme_name(const char *file)
{
    const size_t n = strlen(file), suffix = sizeof SUFFIX - 1;
    if (n <= suffix || n - suffix >= sizeof ((struct qs_theme *)0)->name || strcmp(file + n - suffix, SUFFIX) != 0 ||
        file[0] == '.')
        return 0;
    if (qs_utf8_invalid_at(file, n) != n)
        return 0;
    for (size_t at = 0; at < n;)
        if (!qs_utf8_harmless(qs_utf8_next(file, n, &at)))
            return 0;
    return n - suffix;
}

#define NAME_BYTES sizeof ((struct qs_theme *)0)->name

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Names of the person's themes that are not called as a built-in one, in their order. */
static void list_own(const char *folder, struct qs_str *out)
{
    char (*name)[NAME_BYTES] = NULL;
    size_t n = 0, cap = 0;
    DIR *dir = opendir(folder);
    for (const struct dirent *d; dir && (d = readdir(dir));) {
        const size_t bytes = theme_name(d->d_name);
        if (bytes == 0)
            continue;
        if (!qs_grow(&name, &cap, n + 1, sizeof *name)) {
            out->failed = true;
            break;
        }
        (void)snprintf(name[n], sizeof name[n], "%.*s", (int)bytes, d->d_name);
        n += !find_builtin(name[n]);
    }
    if (dir)
        closedir(dir);
    if (n)
        qsort(name, n, sizeof *name, by_name);
    for (size_t i = 0; i < n; i++)
        qs_str_addf(out, "%s\n", name[i]);
    qs_free(name);
}

void qs_theme_list(struct qs_str *out)
{
    struct qs_str folder = QS_STR_INIT;
    for (const struct qs_theme_file *f = qs_theme_builtin; f->name; f++)
        qs_str_addf(out, "%s\n", f->name);
    if (own_folder(&folder))
        list_own(folder.data, out);
    qs_str_free(&folder);
}

static int not_found(const char *name, struct qs_err *e)
{
    struct qs_str list = QS_STR_INIT, clean = QS_STR_INIT;
    qs_theme_list(&list);
    for (size_t i = 0; i < list.len; i++)
        if (list.data[i] == '\n')
            list.data[i] = i + 1 < list.len ? ' ' : 0;
    qs_utf8_clean(&clean, name, strlen(name), 64);
    const int rc = qs_fail(e, QS_ENOTFOUND, "there is no theme '%s'; themes are: auto %s", clean.data, list.data);
    qs_str_free(&list);
    qs_str_free(&clean);
    return rc;
}

static int load_text(const char *name, const char *text, size_t n, enum qs_tier tier, struct qs_theme *out,
                     struct qs_err *e)
{
    struct qs_theme_def d;
    int rc = qs_theme_parse(name, text, n, &d, e);
    if (!rc) {
        rc = qs_theme_resolve(&d, tier, out, e);
        if (rc)
            (void)qs_err_prefix(e, "%s", name);
    }
    return rc;
}

static int load_file(const char *path, enum qs_tier tier, struct qs_theme *out, struct qs_err *e)
{
    char *text = NULL;
    size_t n = 0;
    int rc = qs_file_read(path, QS_THEME_FILE_MAX, &text, &n, e);
    if (!rc)
        rc = load_text(path, text, n, tier, out, e);
    qs_free(text);
    return rc;
}

/* Without the suffix that a path has, harmless. */
static void set_name(const char *base, struct qs_theme *out)
{
    struct qs_str s = QS_STR_INIT;
    const size_t known = theme_name(base);
    qs_utf8_clean(&s, base, known ? known : strlen(base), sizeof out->name / 4);
    (void)snprintf(out->name, sizeof out->name, "%s", s.data);
    qs_str_free(&s);
}

int qs_theme_load(const char *name, enum qs_tier tier, bool light_background, struct qs_theme *out, struct qs_err *e)
{
    struct qs_str path = QS_STR_INIT;
    if (strcmp(name, "auto") == 0)
        name = light_background ? "light" : "dark";
    if (strchr(name, '/'))
        qs_str_add(&path, name);
    else if (own_folder(&path))
        qs_str_addf(&path, "/%s" SUFFIX, name);
    const struct qs_theme_file *const builtin = find_builtin(name);
    int rc;
    if (path.failed)
        rc = qs_fail_mem(e, path.len, "a path");
    else if (path.len && (strchr(name, '/') || qs_file_exists(path.data)))
        rc = load_file(path.data, tier, out, e);
    else if (builtin)
        rc = load_text(name, builtin->text, strlen(builtin->text), tier, out, e);
    else
        rc = not_found(name, e);
    qs_str_free(&path);
    if (!rc)
        set_name(qs_path_base(name), out);
    return rc;
}
