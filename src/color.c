/* color.c - owns the choice of colours on standard output: --color, NO_COLOR, and what the terminal says of itself. */
#include "src/color.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool env_has(const char *name, const char *word)
{
    const char *v = getenv(name);
    return v && strstr(v, word);
}

/* Types of terminals that have at least eight colours, by how their names begin; others (vt100, dumb) get none. */
static bool eight_colors(const char *term)
{
    static const char *const begin[] = { "alacritty", "ansi", "contour", "cygwin", "foot", "gnome", "iterm", "kitty",
                                         "konsole", "linux", "mlterm", "putty", "rxvt", "screen", "st", "tmux", "vte",
                                         "wezterm", "xterm" };
    const size_t n = strcspn(term, "-.");
    if (strstr(term, "-mono") || (strlen(term) >= 2 && strcmp(term + strlen(term) - 2, "-m") == 0))
        return false;
    for (size_t i = 0; i < sizeof begin / sizeof *begin; i++)
        if (strlen(begin[i]) == n && strncmp(term, begin[i], n) == 0)
            return true;
    return strstr(term, "color") != NULL;
}

enum qs_heat_color qs_cli_color(struct qs_cli *cli)
{
    const char *when = qs_cli_str(cli, "color", "auto"), *no = getenv("NO_COLOR"), *term = getenv("TERM");
    const bool always = strcmp(when, "always") == 0;
    if (strcmp(when, "never") == 0)
        return QS_HEAT_PLAIN;
    if (!always && (!isatty(STDOUT_FILENO) || (no && *no) || !term || !*term || strcmp(term, "dumb") == 0))
        return QS_HEAT_PLAIN;
    if (env_has("COLORTERM", "truecolor") || env_has("COLORTERM", "24bit") || env_has("TERM", "-direct"))
        return QS_HEAT_RGB;
    if (env_has("TERM", "256color"))
        return QS_HEAT_256;
    if (isatty(STDOUT_FILENO) && term && eight_colors(term))
        return QS_HEAT_8;
    return always ? QS_HEAT_256 : QS_HEAT_PLAIN;
}
