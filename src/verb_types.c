/* verb_types.c - `types`: every tensor type, what it costs, what it needs, what it is good for.
 *
 * Prints the table of kernels/format.h; opens no file.
 */
#include "kernels/format.h"
#include "src/verb.h"

static const struct qs_column columns[] = {
    { .key = "type", .title = "type", .left = true },
    { .key = "id", .title = "id", .optional = true },
    { .key = "bpw", .title = "bpw", .unit = QS_UNIT_BPW, .digits = 5 },
    { .key = "block", .title = "block", .unit = QS_UNIT_WEIGHTS },
    { .key = "block_bytes", .title = "bytes", .unit = QS_UNIT_COUNT, .optional = true },
    { .key = "kind", .title = "kind", .left = true, .optional = true },
    { .key = "importance", .title = "imatrix", .left = true },
    { .key = "encode", .title = "can write", .optional = true },
    { .key = "good_for", .title = "good for", .left = true },
};

enum { C_TYPE, C_ID, C_BPW, C_BLOCK, C_BYTES, C_KIND, C_IMPORTANCE, C_ENCODE, C_GOOD_FOR };

static const char *kind_name(enum qs_kind k)
{
    static const char *const name[] = {
        [QS_KIND_FLOAT] = "float", [QS_KIND_INT] = "integer", [QS_KIND_LEGACY] = "block", [QS_KIND_K] = "K",
        [QS_KIND_IQ] = "IQ", [QS_KIND_TERNARY] = "ternary", [QS_KIND_FP4] = "FP4", [QS_KIND_BIT] = "bits",
    };
    return name[k];
}

/* From what the encoder cannot do without to what makes no difference to it. */
static const char *importance_name(const struct qs_format *f)
{
    return f->flags & QS_NEEDS_IMATRIX ? "needed" : f->flags & QS_RULE_IMATRIX ? "by rule"
         : f->flags & QS_USES_IMATRIX ? "used" : "no";
}

static void add_row(struct qs_section *s, const struct qs_format *f)
{
    uint32_t bytes = 0;
    for (unsigned i = 0; i < f->n_components; i++)
        bytes += f->component[i].bytes_per_block;
    qs_row(s);
    qs_cell_str(s, C_TYPE, f->name);
    qs_cell_int(s, C_ID, f->id);
    qs_cell_num(s, C_BPW, qs_format_bpw(f));
    qs_cell_int(s, C_BLOCK, f->block);
    qs_cell_int(s, C_BYTES, bytes);
    qs_cell_str(s, C_KIND, kind_name(f->kind));
    qs_cell_str(s, C_IMPORTANCE, importance_name(f));
    qs_cell_bool(s, C_ENCODE, !(f->flags & QS_NO_ENCODE));
    qs_cell_str(s, C_GOOD_FOR, f->good_for ? f->good_for : "");
}

static int run(struct qs_cli *cli)
{
    struct qs_report *r = qs_report_new("types");
    if (!r) {
        struct qs_err e = QS_ERR_INIT;
        qs_fail_mem(&e, 0, "the report");
        return qs_cli_fail(cli, &e);
    }
    struct qs_section *s = qs_report_table(r, "types", "Tensor types", columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < qs_format_count(); i++)
        if (!(qs_format_at(i)->flags & QS_INTERNAL))
            add_row(s, qs_format_at(i));
    qs_section_note(s, "bpw: bits per weight, scales and minima included. bytes: of one block.");
    qs_section_note(s, "imatrix: needed - nothing can be written in it without importance weights; by rule - the encoder can do "
                       "without, but as in llama.cpp only embeddings and the output tensor are written so (Q2_K too in the preset Q2_K_S); used - they "
                       "make it better.");
    int rc = qs_cli_print(cli, r, NULL);
    qs_report_free(r);
    return rc;
}

static const struct qs_key_doc keys[] = {
    { "types[].type", "name" },
    { "types[].id", "number in GGUF files" },
    { "types[].bpw", "bits per weight, scales and minima included" },
    { "types[].block", "weights per block; rows must be a multiple of it" },
    { "types[].block_bytes", "bytes of one block" },
    { "types[].kind", "family: float, integer, block, K, IQ, ternary, FP4, bits" },
    { "types[].importance", "importance weights (imatrix): needed (the encoder cannot do without), by rule (llama.cpp writes "
                            "only embeddings and output without), used, or no" },
    { "types[].encode", "whether tensors can be written in it" },
    { "types[].good_for", "one line for people" },
    { NULL, NULL }
};

const struct qs_verb qs_verb_types = {
    .name = "types",
    .args = "",
    .summary = "list every tensor type with its size and what it is good for",
    .description =
        "Lists every type a tensor can have: the weights of a block and its bytes, true bits per weight, whether "
        "importance weights are needed to write it, and what it is good for. Presets such as Q4_K_M mix several types; "
        "quantscape plan shows which tensor gets which.",
    .examples = "quantscape types\tthe table\n"
                "quantscape types --csv\tthe same for a spreadsheet\n",
    .keys = keys,
    .run = run,
};
