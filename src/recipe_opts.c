/* recipe_opts.c - a recipe from command line options.
 *
 * Owns nothing. A recipe file and -t exclude each other (which of two presets?); every other option adds to the file's
 * recipe: pins replace those of the same name, rules come behind the file's rules.
 */
#include "src/recipe_opts.h"

#include <string.h>

#include "base/ascii.h"
#include "base/mem.h"
#include "core/quant/writer.h"

/* "LEFT=TYPE", split at the last '='; left is a copy. */
static int split(struct qs_cli *cli, const char *option, const char *text, char **left, int *type)
{
    struct qs_err e = QS_ERR_INIT;
    const char *eq = strrchr(text, '=');
    if (!eq || eq == text || eq[1] == 0)
        return qs_cli_usage(cli, "--%s %s: %s=TYPE is expected", option, text,
                            strcmp(option, "pin") ? "REGEX" : "NAME");
    if (qs_recipe_type(eq + 1, type, &e))
        return qs_cli_usage(cli, "--%s %s: %s", option, text, e.msg);
    *left = qs_strndup(text, (size_t)(eq - text));
    if (!*left) {
        qs_fail_mem(&e, strlen(text), "an option");
        return qs_cli_fail(cli, &e);
    }
    return QS_EXIT_DONE;
}

/* Two pins of one tensor on the command line must agree. (A recipe file's pins are replaced, which is what they are
 * given for.) */
static int check_pins(struct qs_cli *cli)
{
    const char *b;
    for (size_t i = 0; (b = qs_cli_nth(cli, "pin", i)) != NULL; i++)
        for (size_t k = 0; k < i; k++) {
            const char *a = qs_cli_nth(cli, "pin", k), *type_a = strrchr(a, '='), *type_b = strrchr(b, '=');
            if (type_a && type_b && type_a - a == type_b - b && !strncmp(a, b, (size_t)(type_a - a)) &&
                !qs_ascii_equal(type_a, type_b))
                return qs_cli_usage(cli, "--pin gives %.*s two types: %s and %s", (int)(type_a - a), a, type_a + 1,
                                    type_b + 1);
        }
    return QS_EXIT_DONE;
}

/* Options that cannot both be meant, alone or with what a recipe file says; the file by itself is judged by its reader.
 */
static int check_sense(struct qs_cli *cli, const struct qs_recipe *r)
{
    const bool asked = qs_cli_has(cli, "leave-output") || qs_cli_has(cli, "output-type");
    if (asked && r->leave_output && r->output_type != QS_TYPE_NONE)
        return qs_cli_usage(cli,
                            "--leave-output keeps the output tensor as it is, --output-type gives it another type: "
                            "they exclude each other");
    if (qs_cli_has(cli, "pure") && r->preset->base == QS_TYPE_NONE)
        return qs_cli_usage(cli, "--pure gives every tensor the preset's base type, and %s has none: they exclude each "
                            "other", r->preset->name);
    return check_pins(cli);
}

static int add_items(struct qs_cli *cli, struct qs_recipe *r, bool pins)
{
    const char *option = pins ? "pin" : "rule", *text;
    int rc = QS_EXIT_DONE;
    for (size_t i = 0; rc == QS_EXIT_DONE && (text = qs_cli_nth(cli, option, i)) != NULL; i++) {
        struct qs_err e = QS_ERR_INIT;
        char *left = NULL;
        int type = QS_TYPE_NONE;
        rc = split(cli, option, text, &left, &type);
        if (rc == QS_EXIT_DONE && (pins ? qs_recipe_pin(r, left, type, &e) : qs_recipe_add_rule(r, left, type, &e)))
            rc = qs_cli_usage(cli, "--%s %s: %s", option, text, e.msg);
        qs_free(left);
    }
    return rc;
}

static int set_type(struct qs_cli *cli, const char *option, int *type)
{
    struct qs_err e = QS_ERR_INIT;
    const char *text = qs_cli_str(cli, option, NULL);
    if (text && qs_recipe_type(text, type, &e))
        return qs_cli_usage(cli, "--%s: %s", option, e.msg);
    return QS_EXIT_DONE;
}

static int start(struct qs_cli *cli, struct qs_recipe **out)
{
    struct qs_err e = QS_ERR_INIT;
    const char *type = qs_cli_str(cli, "type", NULL), *file = qs_cli_str(cli, "recipe", NULL);
    if (type && file)
        return qs_cli_usage(cli, "--type and --recipe exclude each other: a recipe file names its preset");
    if (file)
        return qs_recipe_load(file, out, &e) ? qs_cli_fail(cli, &e) : QS_EXIT_DONE;
    if (qs_recipe_new(type, out, &e) == QS_OK)
        return QS_EXIT_DONE;
    return e.code == QS_EINVAL ? qs_cli_usage(cli, "--type: %s", e.msg) : qs_cli_fail(cli, &e);
}

int qs_cli_recipe(struct qs_cli *cli, struct qs_recipe **out)
{
    struct qs_recipe *r = NULL;
    int rc = start(cli, &r);
    if (rc != QS_EXIT_DONE)
        return rc;
    r->pure |= qs_cli_has(cli, "pure");
    r->leave_output |= qs_cli_has(cli, "leave-output");
    r->strict |= qs_cli_has(cli, "strict");
    r->steady |= qs_cli_has(cli, "steady");
    rc = set_type(cli, "output-type", &r->output_type);
    if (rc == QS_EXIT_DONE)
        rc = set_type(cli, "token-embd-type", &r->token_embd_type);
    if (rc == QS_EXIT_DONE)
        rc = check_sense(cli, r);
    if (rc == QS_EXIT_DONE)
        rc = add_items(cli, r, true);
    if (rc == QS_EXIT_DONE)
        rc = add_items(cli, r, false);
    if (rc == QS_EXIT_DONE)
        *out = r;
    else
        qs_recipe_free(r);
    return rc;
}

bool qs_cli_has_recipe(const struct qs_cli *cli)
{
    static const char *const options[] = { "type", "recipe", "pin", "rule", "pure", "output-type", "token-embd-type",
                                           "leave-output", "strict", "steady" };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (qs_cli_has(cli, options[i]))
            return true;
    return false;
}

int qs_cli_imatrix(struct qs_cli *cli, struct qs_imatrix **out)
{
    struct qs_err e = QS_ERR_INIT;
    const char *path = qs_cli_str(cli, "imatrix", NULL);
    *out = NULL;
    return path && qs_imatrix_open(path, out, &e) ? qs_cli_fail(cli, &e) : QS_EXIT_DONE;
}

int qs_cli_store(struct qs_cli *cli, struct qs_store **out)
{
    struct qs_err e = QS_ERR_INIT;
    const char *path = qs_cli_str(cli, "calibrated", NULL);
    *out = NULL;
    return path && qs_store_open(path, out, &e) ? qs_cli_fail(cli, &e) : QS_EXIT_DONE;
}

void qs_cli_warn_split(struct qs_cli *cli, const struct qs_plan *plan)
{
    const struct qs_encoding *large = qs_writer_too_large(plan, qs_cli_num(cli, "split-max-size", 0));
    if (large)
        qs_cli_warn(cli, "%s alone is larger than the size asked for; its part will be too", large->tensor->name);
}
