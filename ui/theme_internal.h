/* theme_internal.h - a theme as its file says it, before it is resolved for a tier. */
#ifndef QS_UI_THEME_INTERNAL_H
#define QS_UI_THEME_INTERNAL_H

#include <stdint.h>
#include "ui/theme.h"

/* The files of themes/, ended by a name of NULL (made by themes/embed.awk). */
struct qs_theme_file { const char *name, *text; };
extern const struct qs_theme_file qs_theme_builtin[];

#define QS_THEME_FILE_MAX 65536 /* bytes */
#define QS_THEME_STOPS 16

struct qs_theme_look {
    bool given, has_fg, has_bg; /* what is not there is inherited */
    struct qs_style style;      /* RGB or default */
};

struct qs_theme_def {
    bool light, no_ramp;
    bool has_paper, has_ink;
    qs_color paper, ink, ramp_ink[2];
    unsigned stops; /* 0: no line says so, the usual ramp */
    uint8_t stop[QS_THEME_STOPS][3];
    struct qs_theme_look look[QS_LOOKS];
};

/* Reads the text of a theme file; `name` is for messages. Hostile text is refused with the number of its line. */
int qs_theme_parse(const char *name, const char *text, size_t n, struct qs_theme_def *out, struct qs_err *e);
/* Resolves for a tier; name and tier of `out` are set. QS_EINVAL: the ramp is not strictly graded. */
int qs_theme_resolve(const struct qs_theme_def *d, enum qs_tier tier, struct qs_theme *out, struct qs_err *e);
/* The ramp of a theme for out->tier, which is set, as are paper and ink. */
int qs_theme_resolve_ramp(const struct qs_theme_def *d, struct qs_theme *out, struct qs_err *e);
/* The entry of the 256-colour palette (16 and up) nearest to an RGB colour. */
uint8_t qs_theme_nearest(const uint8_t rgb[3]);

static inline void qs_color_split(qs_color c, uint8_t rgb[3])
{
    rgb[0] = (uint8_t)(c >> 16);
    rgb[1] = (uint8_t)(c >> 8);
    rgb[2] = (uint8_t)c;
}

#endif
