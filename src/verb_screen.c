/* verb_screen.c - `screen`: the workbench on the terminal, with choices of how it looks; or driven by a script, without one.
 *
 * The screen itself is ui/; `quantscape FILE` is this verb without options.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "src/verb.h"
#include "ui/ui.h"

#define SCRIPT_MAX (1u << 20)

static const struct qs_opt options[] = {
    { .name = "theme", .kind = QS_OPT_STR, .arg = "NAME",
      .help = "theme by name, or a file with a '/' in its name; not kept" },
    { .name = "color", .kind = QS_OPT_CHOICE, .arg = "COLORS", .choices = "truecolor 256 16 mono",
      .help = "colours to use instead of those that the terminal is known to have" },
    { .name = "ascii", .help = "nothing but ASCII on the screen" },
    { .name = "play", .kind = QS_OPT_FILE, .arg = "SCRIPT",
      .help = "no terminal: press the keys of SCRIPT (- standard input)" },
    { .name = "size", .kind = QS_OPT_STR, .arg = "COLSxROWS",
      .help = "with --play: size of the screen (default: 80x24)" },
    { .name = NULL }
};

static int play(struct qs_cli *cli, const struct qs_ui_args *args, const char *script)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_str out = QS_STR_INIT;
    unsigned cols = 0, rows = 0;
    char *text = NULL, end;
    size_t n = 0;
    const char *size = qs_cli_str(cli, "size", "80x24");
    if (sscanf(size, "%ux%u%c", &cols, &rows, &end) != 2 || !cols || !rows || cols > 1000 || rows > 1000)
        return qs_cli_usage(cli, "--size %s: COLSxROWS is expected, each 1 to 1000", size);
    int rc = qs_file_read_any(strcmp(script, "-") == 0 ? "/dev/stdin" : script, SCRIPT_MAX, &text, &n, &e);
    if (!rc && !n)
        rc = qs_fail(&e, QS_EINVAL, "%s: the script is empty", script);
    if (!rc)
        rc = qs_ui_play(args, script, text, n, rows, cols, &out, &e);
    int code = out.failed ? QS_EXIT_FAILED : qs_cli_write(cli, out.data, out.len);
    if (rc)
        code = qs_cli_fail(cli, &e);
    qs_free(text);
    qs_str_free(&out);
    return code;
}

static int run(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    const char *script = qs_cli_str(cli, "play", NULL);
    const struct qs_ui_args args = { .path = qs_cli_arg(cli, 0),
                                     .threads = cli->threads,
                                     .theme = qs_cli_str(cli, "theme", NULL),
                                     .color = qs_cli_str(cli, "color", NULL),
                                     .ascii = qs_cli_has(cli, "ascii") };
    if (script)
        return play(cli, &args, script);
    if (qs_cli_has(cli, "size"))
        return qs_cli_usage(cli, "--size goes with --play: a terminal has its own");
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return qs_cli_usage(cli, "the screen needs a terminal, or a script: usage: quantscape screen [FILE] --play SCRIPT");
    return qs_ui_run(&args, &e) ? qs_cli_fail(cli, &e) : QS_EXIT_DONE;
}

const struct qs_verb qs_verb_screen = {
    .name = "screen",
    .args = "[FILE]",
    .max_args = 1,
    .summary = "the workbench on the terminal",
    .description =
        "Opens a model on the screen: a map of its tensors, types to choose, the file to write. Without a file the "
        "models found on this machine are shown. \"quantscape FILE\" is the same without options.\n\n"
        "With --play the screen has no terminal: it is driven by a script and leaves what its lines print. A line of a "
        "script is "
        "one of: keys by name and text in quotes (j j Enter \"attn\"); a command after a colon (:types); wait, until "
        "nothing is "
        "under way; expect REGEX, which fails unless the screen shows it; print, the screen as text; size COLSxROWS; "
        "burst and keys, which come all at once; click, drag, "
        "release, wheel-up or wheel-down with ROW COL, from 0; # a comment. Settings and recent files are left alone, "
        "and no models are looked for.",
    .examples = "quantscape screen model.gguf --theme light\tother colours\n"
                "quantscape screen model.gguf --play script.txt --size 120x40\twhat a script shows\n",
    .opts = options,
    .run = run
};
