/* verb_diff.c - `diff A B`: what two model files have in common, and how far their weights are apart.
 *
 * Owns both models while it runs; the comparing is core/quant/diff.c, the tables are core/report/report_diff.c.
 */
#include "core/quant/diff.h"
#include "core/report/report_diff.h"
#include "src/verb.h"

static const struct qs_opt options[] = {
    { .name = "headers-only", .help = "compare metadata, types and shapes; read no weights" },
    { .name = "match", .letter = 'm', .kind = QS_OPT_STR, .arg = "RE", .help = "report only tensors whose name matches" },
    { .name = NULL }
};

struct work {
    struct qs_model *a, *b;
    bool headers_only;
    struct qs_pool *pool;
    struct qs_diff *diff;
};

static int compare(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct work *w = ctx;
    return qs_diff_run(w->a, w->b, w->headers_only, w->pool, job, &w->diff, e);
}

static int show(struct qs_cli *cli, const struct work *w)
{
    struct qs_report *r = NULL;
    struct qs_err e = QS_ERR_INIT;
    const struct qs_diff_view view = { .data = cli->json || cli->csv, .headers_only = w->headers_only,
                                       .match = qs_cli_str(cli, "match", NULL) };
    if (qs_report_diff(w->a, w->b, w->diff, &view, &r, &e))
        return qs_cli_fail(cli, &e);
    const int exit_code = qs_cli_print(cli, r, "tensors");
    qs_report_free(r);
    return exit_code;
}

static int run(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct work w = { .headers_only = qs_cli_has(cli, "headers-only") };
    int rc = qs_model_open(qs_cli_arg(cli, 0), &w.a, &e);
    if (!rc)
        rc = qs_model_open(qs_cli_arg(cli, 1), &w.b, &e);
    if (!rc)
        rc = qs_cli_pool(cli, &w.pool, &e);
    if (!rc)
        rc = qs_cli_job(cli, "diff", compare, &w, NULL, &e);
    const int exit_code = rc ? qs_cli_fail(cli, &e) : show(cli, &w);
    qs_diff_free(w.diff);
    qs_model_close(w.b);
    qs_model_close(w.a);
    return exit_code;
}

static const struct qs_key_doc keys[] = {
    { "diff.a", "path of A" },
    { "diff.b", "path of B" },
    { "diff.headers_only", "whether weights were left unread" },
    { "diff.bytes_a", "bytes of the tensors of A" },
    { "diff.bytes_b", "bytes of the tensors of B" },
    { "diff.same", "tensors with the same bytes; with --headers-only: same type and shape" },
    { "diff.values", "tensors with other bytes; with --headers-only: of another type" },
    { "diff.shape", "tensors of another shape" },
    { "diff.only_a", "tensors only A has" },
    { "diff.only_b", "tensors only B has" },
    { "diff.metadata", "metadata entries that differ" },
    { "diff.error", "relative RMS error of B against A over all weights both have; null with --headers-only" },
    { "diff.max_error", "largest absolute difference" },
    { "diff.nonfinite", "weights left out because they are NaN or infinite in A or B" },
    { "metadata[].key", "name of an entry that differs" },
    { "metadata[].a", "value in A; null: absent" },
    { "metadata[].b", "value in B; null: absent" },
    { "tensors[].name", "tensor" },
    { "tensors[].state", "same, values, shape, only a, or only b" },
    { "tensors[].type_a", "type in A" },
    { "tensors[].type_b", "type in B" },
    { "tensors[].bytes_a", "bytes in A" },
    { "tensors[].bytes_b", "bytes in B" },
    { "tensors[].error", "relative RMS error of B against A; null when not measured" },
    { "tensors[].cosine_distance", "1 minus the cosine between all weights of A and B" },
    { "tensors[].max_error", "largest absolute difference" },
    { "tensors[].nonfinite", "weights left out" },
    { NULL, NULL }
};

const struct qs_verb qs_verb_diff = {
    .name = "diff",
    .args = "A B",
    .min_args = 2,
    .max_args = 2,
    .summary = "compare two model files: metadata, tensors, types, and the error between their weights",
    .description =
        "Pairs the tensors of both files by name, compares their bytes, and decodes both to measure the relative RMS error "
        "of B against A, sqrt(sum (a - b)^2 / sum a^2), the cosine and the largest difference. The text lists what "
        "differs; --json and --csv list every tensor. The exit code says whether the comparison could be made, not whether "
        "the files are equal.",
    .examples = "quantscape diff model-f16.gguf model.Q4_K_M.gguf\twhat quantizing did\n"
                "quantscape diff a.gguf b.gguf --headers-only\ttypes, shapes and metadata only\n",
    .opts = options,
    .keys = keys,
    .run = run,
};
