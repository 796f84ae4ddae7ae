/* verb_recipe.c - `recipe`: make, check, show, apply, export and compare recipe files. */
#include <limits.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/unicode.h"
#include "core/model/model.h"
#include "core/quant/recipe.h"
#include "core/report/report_recipe.h"
#include "src/verb.h"

/* ---- help --------------------------------------------------------------------------------------------------- */

static int no_memory(struct qs_cli *cli, const char *what)
{
    struct qs_err e = QS_ERR_INIT;
    qs_fail_mem(&e, 0, what);
    return qs_cli_fail(cli, &e);
}

static int load(struct qs_cli *cli, size_t arg, struct qs_recipe **out)
{
    struct qs_err e = QS_ERR_INIT;
    return qs_recipe_load(qs_cli_arg(cli, arg), out, &e) ? qs_cli_fail(cli, &e) : QS_EXIT_DONE;
}

/* The file's name before a message that does not begin with it already (FILE:LINE). */
static void name_recipe(struct qs_err *e, const char *path)
{
    const size_t n = strlen(path);
    if (strncmp(e->msg, path, n) != 0 || e->msg[n] != ':')
        qs_err_prefix(e, "%s", path);
}

static int open_model(struct qs_cli *cli, size_t arg, struct qs_model **out)
{
    struct qs_err e = QS_ERR_INIT;
    return qs_model_open(qs_cli_arg(cli, arg), out, &e) ? qs_cli_fail(cli, &e) : QS_EXIT_DONE;
}

/* Standard output, or the file of --output. */
static int write_text(struct qs_cli *cli, const struct qs_str *text)
{
    struct qs_err e = QS_ERR_INIT;
    const char *path = qs_cli_str(cli, "output", NULL);
    if (text->failed)
        return no_memory(cli, "the text");
    if (!path)
        return qs_cli_write(cli, text->data, text->len);
    if (qs_file_write_atomic(path, text->data, text->len, qs_cli_has(cli, "force"), &e))
        return qs_cli_fail(cli, &e);
    return QS_EXIT_DONE;
}

#define OUTPUT_OPTIONS                                                                                                 \
    { .name = "output", .letter = 'o', .kind = QS_OPT_FILE, .arg = "FILE", .help = "write to FILE" },                  \
    { .name = "force", .letter = 'f', .help = "overwrite an existing file" }

static const struct qs_opt output_options[] = { OUTPUT_OPTIONS, { .name = NULL } };

/* ---- recipe new --------------------------------------------------------------------------------------------- */

static void template_text(struct qs_str *s, const struct qs_preset *p)
{
    qs_str_add(s,
               "# A recipe for quantscape: a preset, exceptions to it, and comments like this one.\n"
               "# What comes first in this list decides: pins, output-type and token-embd-type, rules in their order,\n"
               "# the preset. See recipe(5).\n\n");
    qs_str_addf(s, "preset = %s  # %s\n\n", p->name, p->about);
    qs_str_add(s, "# pure = yes               # every tensor the base type, no mix\n"
                  "# output-type = Q8_0       # the output tensor\n"
                  "# token-embd-type = Q8_0   # the token embeddings\n"
                  "# leave-output = yes       # the output tensor stays as in the source\n"
                  "# strict = yes             # fail where a row length forces another type\n"
                  "# steady = yes             # pins and rules leave the types of all other tensors alone\n\n"
                  "# One tensor, by its exact name:\n"
                  "# pin  blk.0.ffn_down.weight = Q6_K\n\n"
                  "# All tensors whose name a regular expression finds:\n"
                  "# rule blk\\.(0|1)\\.attn_v\\.weight = Q8_0\n");
}

static int run_new(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_recipe *r = NULL;
    struct qs_str text = QS_STR_INIT;
    if (qs_recipe_new(qs_cli_arg(cli, 0), &r, &e))
        return e.code == QS_EINVAL ? qs_cli_usage(cli, "%s", e.msg) : qs_cli_fail(cli, &e);
    template_text(&text, r->preset);
    qs_recipe_free(r);
    int rc = write_text(cli, &text);
    qs_str_free(&text);
    return rc;
}

static const struct qs_verb verb_new = {
    .name = "new",
    .args = "[PRESET]",
    .min_args = 0,
    .max_args = 1,
    .summary = "print a commented recipe to start from",
    .description =
        "Prints a recipe file with the preset (Q4_K_M without one) and a commented line for everything else that "
        "a recipe can say.",
    .examples = "quantscape recipe new Q5_K_M -o my.recipe\ta file to edit\n",
    .opts = output_options,
    .no_csv = true,
    .run = run_new,
};

/* ---- recipe check, show ------------------------------------------------------------------------------------- */

static int say_good(struct qs_cli *cli, const struct qs_recipe *r)
{
    struct qs_str line = QS_STR_INIT;
    qs_utf8_clean(&line, qs_cli_arg(cli, 0), strlen(qs_cli_arg(cli, 0)), 0);
    qs_str_addf(&line, ": a recipe of %s with %zu pin%s and %zu rule%s\n", r->preset->name, r->n_pins,
                r->n_pins == 1 ? "" : "s", r->n_rules, r->n_rules == 1 ? "" : "s");
    int rc = line.failed ? no_memory(cli, "the text") : qs_cli_write(cli, line.data, line.len);
    qs_str_free(&line);
    return rc;
}

static int run_check(struct qs_cli *cli)
{
    struct qs_recipe *r = NULL;
    int rc = load(cli, 0, &r);
    if (rc != QS_EXIT_DONE)
        return rc;
    if (cli->json)
        rc = qs_cli_show(cli, qs_report_recipe(r), "items");
    else
        rc = say_good(cli, r);
    qs_recipe_free(r);
    return rc;
}

static int run_show(struct qs_cli *cli)
{
    struct qs_recipe *r = NULL;
    int rc = load(cli, 0, &r);
    if (rc == QS_EXIT_DONE)
        rc = qs_cli_show(cli, qs_report_recipe(r), "items");
    qs_recipe_free(r);
    return rc;
}

#define SETTING_KEYS                                                                                                   \
    { "settings.preset", "preset" },                                                                                   \
    { "settings.about", "what that preset is, for people" },                                                           \
    { "settings.pure", "every tensor the base type" },                                                                 \
    { "settings.output_type", "type of the output tensor" },                                                           \
    { "settings.token_embd_type", "type of the token embeddings" },                                                    \
    { "settings.leave_output", "output tensor stays as it is" },                                                       \
    { "settings.strict", "fail rather than fall back" },                                                               \
    { "settings.steady", "pins and rules leave the types of all other tensors alone" },                                \
    { "items[].order", "place in the order of decision, from 1" },                                                     \
    { "items[].kind", "pin or rule" },                                                                                 \
    { "items[].pattern", "exact tensor name, or regular expression" },                                                 \
    { "items[].type", "type it gives" },                                                                               \
    { "items[].line", "line of the file" }

static const struct qs_key_doc show_keys[] = { SETTING_KEYS, { NULL, NULL } };

static const struct qs_verb verb_check = {
    .name = "check",
    .args = "RECIPE",
    .min_args = 1,
    .max_args = 1,
    .summary = "tell whether a recipe file can be read",
    .description =
        "Reads a recipe and says what is wrong with it, with the number of the line. Whether its pins and rules "
        "find tensors is what resolve tells.",
    .keys = show_keys,
    .no_csv = true,
    .run = run_check,
};

static const struct qs_verb verb_show = {
    .name = "show", .args = "RECIPE", .min_args = 1, .max_args = 1,
    .summary = "print what a recipe says",
    .description = "Prints the settings of a recipe, its pins and its rules in the order in which they decide.",
    .keys = show_keys, .run = run_show,
};

/* ---- recipe resolve ----------------------------------------------------------------------------------------- */

static const struct qs_opt resolve_options[] = {
    { .name = "with-imatrix", .help = "choose as if an importance matrix were given (some presets differ)" },
    { .name = "lenient", .help = "accept pins and rules that match nothing" },
    { .name = NULL }
};

static int run_resolve(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_recipe *r = NULL;
    struct qs_model *m = NULL;
    struct qs_resolved *x = NULL;
    int rc = load(cli, 0, &r);
    if (rc == QS_EXIT_DONE)
        rc = open_model(cli, 1, &m);
    if (rc == QS_EXIT_DONE &&
        qs_recipe_resolve(r, m, qs_cli_has(cli, "with-imatrix"), qs_cli_has(cli, "lenient"), &x, &e)) {
        name_recipe(&e, qs_cli_arg(cli, 0));
        rc = qs_cli_fail(cli, &e);
    }
    if (rc == QS_EXIT_DONE)
        rc = qs_cli_show(cli, qs_report_recipe_resolved(r, m, x), "tensors");
    qs_resolved_free(x);
    qs_model_close(m);
    qs_recipe_free(r);
    return rc;
}

static const struct qs_key_doc resolve_keys[] = {
    SETTING_KEYS,
    { "items[].matched", "tensors whose name it matches" },
    { "items[].decided", "tensors it decides" },
    { "shifted.tensors", "tensors that no pin or rule names and that get another type than with the preset alone" },
    { "shifted.first", "the first of them; null when there are none" },
    { "tensors[].name", "tensor" },
    { "tensors[].from", "type in the model" },
    { "tensors[].to", "type the recipe gives" },
    { "tensors[].why", "base, preset, pin, rule, option, kept, same or copy" },
    { "tensors[].item", "which pin or rule decided (items[].order), or null" },
    { "tensors[].reason", "the same for people" },
    { NULL, NULL }
};

static const struct qs_verb verb_resolve = {
    .name = "resolve",
    .args = "RECIPE MODEL",
    .min_args = 2,
    .max_args = 2,
    .summary = "apply a recipe to a model: match counts, and the type of every tensor",
    .description =
        "Prints how many tensors every pin and rule matches and decides, and what each tensor becomes. A pin or "
        "rule that matches nothing is an error, and so is a type that does not fit the rows of a tensor. Says how many "
        "tensors that they do not name get another type than with the preset alone (see recipe(5)).",
    .opts = resolve_options,
    .keys = resolve_keys,
    .run = run_resolve,
};

/* ---- recipe export ------------------------------------------------------------------------------------------ */

static const struct qs_opt export_options[] = {
    { .name = "llama", .help = "the form of llama.cpp's --tensor-type-file (the only one so far)" },
    { .name = "with-imatrix", .help = "for use with an importance matrix (some presets differ)" },
    OUTPUT_OPTIONS,
    { .name = NULL }
};

static int print_export(struct qs_cli *cli, const struct qs_str *file, const struct qs_str *args)
{
    if (file->failed || args->failed)
        return no_memory(cli, "the exported recipe");
    if (cli->json) {
        struct qs_report *rep = qs_report_new("recipe_export");
        if (!rep)
            return no_memory(cli, "the report");
        struct qs_section *s = qs_report_facts(rep, "export", "For llama.cpp");
        qs_fact_str(s, "rules", "rules", file->data);
        qs_fact_str(s, "arguments", "arguments", args->data);
        int rc = qs_cli_show(cli, rep, NULL);
        return rc == QS_EXIT_DONE && qs_cli_has(cli, "output") ? write_text(cli, file) : rc;
    }
    int rc = write_text(cli, file);
    if (rc == QS_EXIT_DONE)
        qs_cli_note(cli, "use it with: llama-quantize %s", args->data);
    return rc;
}

static int run_export(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_recipe *r = NULL;
    struct qs_model *m = NULL;
    struct qs_str file = QS_STR_INIT, args = QS_STR_INIT;
    if (!qs_cli_has(cli, "llama"))
        return qs_cli_usage(cli, "recipe export: say for whom: --llama");
    int rc = load(cli, 0, &r);
    if (rc == QS_EXIT_DONE)
        rc = open_model(cli, 1, &m);
    const char *path = qs_cli_str(cli, "output", NULL);
    const struct qs_file_input in = { qs_cli_arg(cli, 0), "the recipe" };
    if (rc == QS_EXIT_DONE && path && qs_cli_output(cli, path, "-o", m, &in, 1, &e))
        rc = qs_cli_fail(cli, &e);
    if (rc == QS_EXIT_DONE && qs_recipe_export_llama(r, m, qs_cli_has(cli, "with-imatrix"), &file, &args, &e)) {
        name_recipe(&e, qs_cli_arg(cli, 0));
        rc = qs_cli_fail(cli, &e);
    }
    if (rc == QS_EXIT_DONE)
        rc = print_export(cli, &file, &args);
    qs_str_free(&file);
    qs_str_free(&args);
    qs_model_close(m);
    qs_recipe_free(r);
    return rc;
}

static const struct qs_key_doc export_keys[] = {
    { "export.rules", "the text of the file" },
    { "export.arguments", "arguments of llama-quantize; RULES, IMATRIX, IN.gguf and OUT.gguf stand for file names" },
    { NULL, NULL }
};

static const struct qs_verb verb_export = {
    .name = "export",
    .args = "RECIPE MODEL",
    .min_args = 2,
    .max_args = 2,
    .summary = "print a recipe in the form that llama.cpp reads",
    .description = "Prints the pins and rules of a recipe as llama-quantize --tensor-type-file reads them, so that it "
                   "chooses the same "
                   "types for this model, and on standard error the arguments that go with them. That reader splits at "
                   "white space, "
                   "turns patterns into lower case and knows other regular expressions: what it would read differently "
                   "is refused, "
                   "with the line it stands in.",
    .examples = "quantscape recipe export --llama my.recipe model.gguf -o rules.txt\tfor llama-quantize\n",
    .opts = export_options,
    .keys = export_keys,
    .no_csv = true,
    .run = run_export,
};

/* ---- recipe diff -------------------------------------------------------------------------------------------- */

struct pair {
    struct qs_recipe *r[2];
    struct qs_resolved *x[2];
    struct qs_model *m;
};

static int resolve_pair(struct qs_cli *cli, struct pair *p)
{
    for (size_t i = 0; i < 2; i++) {
        struct qs_err e = QS_ERR_INIT;
        if (qs_recipe_resolve(p->r[i], p->m, qs_cli_has(cli, "with-imatrix"), true, &p->x[i], &e)) {
            name_recipe(&e, qs_cli_arg(cli, i));
            return qs_cli_fail(cli, &e);
        }
    }
    return QS_EXIT_DONE;
}

static int run_diff(struct qs_cli *cli)
{
    struct pair p = { { NULL, NULL }, { NULL, NULL }, NULL };
    bool same = false;
    int rc = load(cli, 0, &p.r[0]);
    if (rc == QS_EXIT_DONE)
        rc = load(cli, 1, &p.r[1]);
    if (rc == QS_EXIT_DONE && qs_cli_args(cli) > 2)
        rc = open_model(cli, 2, &p.m);
    if (rc == QS_EXIT_DONE && p.m)
        rc = resolve_pair(cli, &p);
    if (rc == QS_EXIT_DONE)
        rc = qs_cli_show(cli, qs_report_recipe_diff(p.r[0], p.r[1], p.m, p.x[0], p.x[1], &same),
                          p.m ? "tensors" : "changes");
    if (rc == QS_EXIT_DONE && same)
        qs_cli_note(cli, "the two recipes say the same");
    for (size_t i = 0; i < 2; i++) {
        qs_resolved_free(p.x[i]);
        qs_recipe_free(p.r[i]);
    }
    qs_model_close(p.m);
    return rc;
}

static const struct qs_opt diff_options[] = {
    { .name = "with-imatrix", .help = "choose as if an importance matrix were given (some presets differ)" },
    { .name = NULL }
};

static const struct qs_key_doc diff_keys[] = {
    { "changes[].what", "setting, pin, rule, or order of rules" },
    { "changes[].pattern", "setting, tensor or pattern" },
    { "changes[].a", "in A; \"-\": absent" },
    { "changes[].b", "in B" },
    { "totals.bytes_a", "bytes of the model's tensors with A" },
    { "totals.bytes_b", "with B" },
    { "totals.delta", "B - A" },
    { "totals.bpw_a", "bits per weight with A" },
    { "totals.bpw_b", "with B" },
    { "tensors[].name", "tensor that gets another type" },
    { "tensors[].a", "type with A" },
    { "tensors[].b", "type with B" },
    { "tensors[].bytes_a", "bytes with A" },
    { "tensors[].bytes_b", "bytes with B" },
    { "tensors[].delta", "B - A, in bytes" },
    { NULL, NULL }
};

static const struct qs_verb verb_diff = {
    .name = "diff",
    .args = "A B [MODEL]",
    .min_args = 2,
    .max_args = 3,
    .summary = "compare two recipes, with a model tensor by tensor",
    .description =
        "Prints the settings, pins and rules that differ. With a model it prints the tensors that get another "
        "type as well, and what that costs or saves.",
    .opts = diff_options,
    .keys = diff_keys,
    .run = run_diff,
};

/* ---- recipe ------------------------------------------------------------------------------------------------- */

static const struct qs_verb *const subs[] = {
    &verb_new, &verb_check, &verb_show, &verb_resolve, &verb_export, &verb_diff, NULL
};

const struct qs_verb qs_verb_recipe = {
    .name = "recipe",
    .args = "VERB ...",
    .min_args = 0,
    .max_args = UINT_MAX,
    .summary = "make, check, apply, export and compare recipe files",
    .description = "A recipe is a commented text file: a preset, pins (exact tensor names) and rules (regular "
                   "expressions on tensor "
                   "names, the first match wins). recipe(5) describes it.",
    .subs = subs,
};
