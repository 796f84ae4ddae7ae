/* verb_config.c - `config`: the settings in force, the file with all defaults, one setting changed.
 *
 * Reads and writes through ui/config.h. What is wrong with the file is a warning.
 */
#include "base/text.h"
#include "src/verb.h"
#include "ui/config.h"
#include "ui/theme.h"

enum { C_KEY, C_VALUE, C_FROM, C_DEFAULT, C_KIND, C_CHOICES, C_MIN, C_MAX, C_HELP };

static const struct qs_column columns[] = {
    [C_KEY] = { .key = "key", .title = "setting", .left = true },
    [C_VALUE] = { .key = "value", .title = "value", .left = true },
    [C_FROM] = { .key = "from", .title = "from", .left = true },
    [C_DEFAULT] = { .key = "default", .title = "default", .left = true },
    [C_KIND] = { .key = "kind", .title = "kind", .left = true, .optional = true },
    [C_CHOICES] = { .key = "choices", .title = "choices", .left = true, .optional = true },
    [C_MIN] = { .key = "min", .title = "min", .optional = true },
    [C_MAX] = { .key = "max", .title = "max", .optional = true },
    [C_HELP] = { .key = "help", .title = "what it is", .left = true },
};

static void put_setting(struct qs_section *s, const struct qs_settings *c, enum qs_setting i)
{
    const struct qs_setting_def *d = qs_setting(i);
    qs_row(s);
    qs_cell_str(s, C_KEY, d->key);
    qs_cell_str(s, C_VALUE, qs_settings_text(c, i));
    qs_cell_str(s, C_FROM, qs_settings_is_set(c, i) ? "file" : "default");
    qs_cell_str(s, C_DEFAULT, d->otherwise);
    qs_cell_str(s, C_KIND, qs_setting_kind_name(d->kind));
    qs_cell_str(s, C_CHOICES, d->choices ? d->choices : "");
    if (d->kind == QS_SETTING_NUMBER) {
        qs_cell_int(s, C_MIN, d->min);
        qs_cell_int(s, C_MAX, d->max);
    }
    qs_cell_str(s, C_HELP, d->help);
}

static int print_all(struct qs_cli *cli, const struct qs_settings *c)
{
    struct qs_report *r = qs_report_new("config");
    if (!r) {
        struct qs_err e = QS_ERR_INIT;
        qs_fail_mem(&e, 0, "the report");
        return qs_cli_fail(cli, &e);
    }
    struct qs_section *s = qs_report_table(r, "settings", "Settings", columns, sizeof columns / sizeof *columns);
    for (unsigned i = 0; i < QS_CONF_COUNT; i++)
        put_setting(s, c, (enum qs_setting)i);
    qs_section_note(s, "The file is %s.", qs_settings_path(c));
    const int rc = qs_cli_print(cli, r, NULL);
    qs_report_free(r);
    return rc;
}

static int print_text(struct qs_cli *cli, struct qs_str *text)
{
    struct qs_err e = QS_ERR_INIT;
    int rc = QS_EXIT_FAILED;
    if (text->failed) {
        qs_fail_mem(&e, 0, "the text");
        rc = qs_cli_fail(cli, &e);
    } else
        rc = qs_cli_write(cli, text->data, text->len);
    qs_str_free(text);
    return rc;
}

static int print_default(struct qs_cli *cli)
{
    struct qs_str text = QS_STR_INIT;
    if (cli->json || cli->csv || qs_cli_args(cli) > 0)
        return qs_cli_usage(cli, "config --default prints a file: no argument, --json or --csv beside it");
    qs_settings_default_text(&text);
    return print_text(cli, &text);
}

/* One value, for scripts. */
static int print_one(struct qs_cli *cli, const struct qs_settings *c, const char *key)
{
    struct qs_str text = QS_STR_INIT;
    enum qs_setting s;
    if (cli->json || cli->csv)
        return qs_cli_usage(cli, "config with --json or --csv prints all settings: name none");
    if (!qs_setting_find(key, &s))
        return qs_cli_usage(cli, "there is no setting '%s'; quantscape config lists them", key);
    qs_text_clean(&text, qs_settings_text(c, s), !qs_locale_utf8());
    qs_str_addc(&text, '\n');
    return print_text(cli, &text);
}

static int change(struct qs_cli *cli, struct qs_settings *c, const char *key, const char *value)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_settings_set(c, key, value, &e))
        return e.code == QS_EINVAL ? qs_cli_usage(cli, "%s", e.msg) : qs_cli_fail(cli, &e);
    if (qs_settings_save(c, &e))
        return qs_cli_fail(cli, &e);
    if (cli->json || cli->csv)
        return print_all(cli, c);
    qs_cli_note(cli, "%s is %s now, in %s", key, value, qs_settings_path(c));
    return QS_EXIT_DONE;
}

/* A theme may be made after it was chosen, so that its name is no error of the settings. */
static void warn_theme(struct qs_cli *cli, const struct qs_settings *c)
{
    struct qs_theme theme;
    struct qs_err e = QS_ERR_INIT;
    if (qs_theme_load(qs_settings_text(c, QS_CONF_THEME), QS_TIER_MONO, false, &theme, &e))
        qs_cli_warn(cli, "%s", e.msg);
}

static int run(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_settings *c = NULL;
    if (qs_cli_has(cli, "default"))
        return print_default(cli);
    if (qs_settings_load(NULL, &c, &e))
        return qs_cli_fail(cli, &e);
    for (size_t i = 0; qs_settings_problem(c, i); i++)
        qs_cli_warn(cli, "%s", qs_settings_problem(c, i));
    const size_t n = qs_cli_args(cli);
    if (n == 0)
        warn_theme(cli, c);
    const int rc = n == 0   ? print_all(cli, c)
                   : n == 1 ? print_one(cli, c, qs_cli_arg(cli, 0))
                            : change(cli, c, qs_cli_arg(cli, 0), qs_cli_arg(cli, 1));
    qs_settings_free(c);
    return rc;
}

static const struct qs_opt options[] = {
    { .name = "default", .help = "print a file with every setting at its default, explained" },
    { .name = NULL }
};

static const struct qs_key_doc keys[] = {
    { "settings[].key", "name" },
    { "settings[].value", "value in force" },
    { "settings[].from", "where it comes from: default or file" },
    { "settings[].default", "value where the file does not set it" },
    { "settings[].kind", "bool, choice, text or number" },
    { "settings[].choices", "words to choose from, separated by blanks; empty where there are none" },
    { "settings[].min", "smallest number; null for other kinds" },
    { "settings[].max", "largest number; null for other kinds" },
    { "settings[].help", "one line for people" },
    { NULL, NULL }
};

const struct qs_verb qs_verb_config = {
    .name = "config",
    .args = "[KEY [VALUE]]",
    .max_args = 2,
    .summary = "show or change the settings of the screen",
    .description =
        "Prints every setting with its value and where that comes from; with KEY the value alone; with KEY and VALUE "
        "it writes the value to the settings file, $XDG_CONFIG_HOME/quantscape/config, and leaves everything else in "
        "it as it is. quantscape-config(5) describes the settings and the file. What is wrong in it is a warning.",
    .examples = "quantscape config\tall settings\n"
                "quantscape config mouse off\tchange one\n"
                "quantscape config --default\ta file to start from\n",
    .opts = options,
    .keys = keys,
    .run = run,
};
