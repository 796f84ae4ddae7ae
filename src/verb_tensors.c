/* verb_tensors.c - `tensors`: the table of tensors, filtered and sorted. Reads headers only. */
#include <string.h>

#include "core/report/report_tensors.h"
#include "src/verb.h"

static const struct qs_opt options[] = {
    { .name = "match", .letter = 'm', .kind = QS_OPT_STR, .arg = "REGEX", .help = "only tensors whose name matches" },
    { .name = "role", .letter = 'r', .kind = QS_OPT_STR, .arg = "ROLE",
      .help = "only tensors of this role (attn_q, ffn_down ...)" },
    { .name = "sort", .letter = 's', .kind = QS_OPT_STR, .arg = "KEY",
      .help = "sort by a column; -KEY: largest first" },
    { .name = NULL }
};

/* -1: no such role. */
static int role_by_name(const char *name)
{
    for (int r = 0; r < QS_ROLE_COUNT; r++)
        if (strcmp(qs_role_name((enum qs_role)r), name) == 0)
            return r;
    return -1;
}

static int unknown_role(struct qs_cli *cli, const char *name)
{
    const char *names[QS_ROLE_COUNT + 1] = { NULL };
    for (int r = 0; r < QS_ROLE_COUNT; r++)
        names[r] = qs_role_name((enum qs_role)r);
    const char *close = qs_did_you_mean(name, names);
    return qs_cli_usage(cli, "--role: '%s' is no role%s%s%s (quantscape info lists those of a model)", name,
                        close ? "; did you mean '" : "", close ? close : "", close ? "'?" : "");
}

static int show(struct qs_cli *cli, const struct qs_tensors_args *args)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    struct qs_report *r;
    int exit_code;
    if (qs_model_open(qs_cli_arg(cli, 0), &m, &e) != QS_OK)
        return qs_cli_fail(cli, &e);
    int rc = qs_report_tensors(m, args, &r, &e);
    if (rc == QS_EINVAL)
        exit_code = qs_cli_usage(cli, "--sort: %s", e.msg);
    else
        exit_code = rc != QS_OK ? qs_cli_fail(cli, &e) : qs_cli_print(cli, r, NULL);
    qs_report_free(r);
    qs_model_close(m);
    return exit_code;
}

static int run(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    const char *match = qs_cli_str(cli, "match", NULL), *role = qs_cli_str(cli, "role", NULL);
    struct qs_tensors_args args = { .role = -1, .sort = qs_cli_str(cli, "sort", NULL) };
    struct qs_regex *regex = NULL;
    if (role && (args.role = role_by_name(role)) < 0)
        return unknown_role(cli, role);
    if (match) {
        int rc = qs_regex_compile(match, 0, &regex, &e);
        if (rc == QS_EINVAL)
            return qs_cli_usage(cli, "--match: %s", e.msg);
        if (rc != QS_OK)
            return qs_cli_fail(cli, &e);
    }
    args.match = regex;
    int exit_code = show(cli, &args);
    qs_regex_free(regex);
    return exit_code;
}

static const struct qs_key_doc keys[] = {
    { "tensors[].name", "tensor" },
    { "tensors[].role", "what it is for" },
    { "tensors[].layer", "its block; null outside of blocks" },
    { "tensors[].type", "type, or 'unknown (NUMBER)'" },
    { "tensors[].shape", "columns x rows x experts" },
    { "tensors[].weights", "number of weights" },
    { "tensors[].bytes", "bytes in the file" },
    { "tensors[].bpw", "bits per weight; null for unknown types" },
    { "tensors[].offset", "of the first byte, in its own file" },
    { "tensors[].part", "which file of a split model, from 1" },
    { "tensors[].marks", "empty, 'unknown type' or 'damaged'" },
    { NULL, NULL }
};

const struct qs_verb qs_verb_tensors = {
    .name = "tensors",
    .args = "FILE",
    .min_args = 1,
    .max_args = 1,
    .summary = "list the tensors of a model",
    .description =
        "Lists every tensor with its role, type, shape and size. Names are matched as regular expressions (PCRE2), "
        "found anywhere in the name. Reads the file's headers only.",
    .examples = "quantscape tensors model.gguf\tall tensors in file order\n"
                "quantscape tensors --match 'blk\\.0\\.' model.gguf\tthe first layer\n"
                "quantscape tensors --role ffn_down --sort -bytes model.gguf\tdown projections, largest first\n",
    .opts = options,
    .keys = keys,
    .run = run,
};
