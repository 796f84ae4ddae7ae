/* verb_info.c - `info`: what a model is, what it weighs, what it takes to run. Reads headers only. */
#include "core/report/report_info.h"
#include "src/verb.h"

static const struct qs_opt options[] = {
    { .name = "metadata", .letter = 'm', .help = "list every metadata entry as well" },
    { .name = NULL }
};

static int run(struct qs_cli *cli)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    if (qs_model_open(qs_cli_arg(cli, 0), &m, &e) != QS_OK)
        return qs_cli_fail(cli, &e);
    const struct qs_info_args args = { .data = cli->json || cli->csv, .metadata = qs_cli_has(cli, "metadata"),
                                         .memory = qs_machine_memory() };
    const int exit_code = qs_cli_show(cli, qs_report_info(m, &args), args.metadata ? "metadata" : "roles");
    qs_model_close(m);
    return exit_code;
}

static const struct qs_key_doc keys[] = {
    { "model.name", "general.name" },
    { "model.architecture", "general.architecture" },
    { "model.file", "file as given" },
    { "model.format", "GGUF, or Hugging Face folder" },
    { "model.parts", "files the model is split into" },
    { "model.file_type", "preset that general.file_type names" },
    { "model.gguf_version", "version of the format" },
    { "model.alignment", "tensors lie at multiples of it" },
    { "model.metadata_entries", "number of metadata entries" },
    { "model.tensors", "number of tensors" },
    { "model.weights", "number of weights" },
    { "model.active_weights", "weights that one token passes through; null without experts" },
    { "model.bytes", "bytes of all tensors" },
    { "model.file_bytes", "bytes of the file or of all its parts" },
    { "model.bpw", "bits per weight over all tensors" },
    { "model.can_run", "whether this program can run it" },
    { "model.cannot_run", "why not; null when it can" },
    { "shape.layers", "blocks; what the file does not state is null, here and below" },
    { "shape.width", "numbers of which a token's hidden state consists" },
    { "shape.feed_forward", "width of the feed-forward part" },
    { "shape.heads", "heads of attention" },
    { "shape.kv_heads", "heads of keys and values" },
    { "shape.head_dim_k", "width of a key" },
    { "shape.head_dim_v", "width of a value" },
    { "shape.experts", "experts per block" },
    { "shape.experts_used", "experts that one token passes through" },
    { "shape.context", "tokens of context it was trained for" },
    { "shape.sliding_window", "tokens that layers with a sliding window see" },
    { "shape.vocabulary", "number of tokens there are" },
    { "shape.tied_embeddings", "whether the embeddings serve as output" },
    { "roles[].role", "what tensors are for" },
    { "roles[].tensors", "tensors of that role" },
    { "roles[].weights", "their weights" },
    { "roles[].bytes", "their bytes" },
    { "roles[].bpw", "bits per weight" },
    { "roles[].share", "share of the bytes of all tensors, 0 to 1" },
    { "roles[].types", "types with the number of tensors that have them" },
    { "types[].type", "a type" },
    { "types[].tensors", "tensors of that type" },
    { "types[].weights", "their weights" },
    { "types[].bytes", "their bytes" },
    { "types[].bpw", "bits per weight" },
    { "types[].share", "share of the bytes of all tensors, 0 to 1" },
    { "memory[].context", "tokens of context" },
    { "memory[].cache_type", "type the KV cache is kept in" },
    { "memory[].weights_bytes", "bytes of all tensors" },
    { "memory[].cache_bytes", "bytes of the KV cache" },
    { "memory[].total_bytes", "both together" },
    { "memory[].fits", "yes, no, 'when memory is freed', or unknown" },
    { "tokenizer.model", "its kind" },
    { "tokenizer.pre", "how text is cut before" },
    { "tokenizer.tokens", "number of tokens" },
    { "tokenizer.merges", "number of merges" },
    { "tokenizer.bos", "token that begins a text: number and text" },
    { "tokenizer.eos", "token that ends a text" },
    { "tokenizer.eot", "token that ends a turn" },
    { "tokenizer.add_bos", "whether texts begin with bos" },
    { "tokenizer.chat_template", "whether there is one" },
    { "tokenizer.chat_template_bytes", "its length" },
    { "metadata[].key", "with --metadata: name of an entry" },
    { "metadata[].type", "its type" },
    { "metadata[].value", "its value; long texts and arrays are cut" },
    { NULL, NULL }
};

const struct qs_verb qs_verb_info = {
    .name = "info",
    .args = "FILE",
    .min_args = 1,
    .max_args = 1,
    .summary = "what a model is, what it weighs, and what it takes to run",
    .description =
        "Shows name and architecture, number of weights, size and bits per weight, the same by role and by type, the "
        "memory that weights and KV cache need for several lengths of context, and the tokenizer; and whether this "
        "program can run the model or only show and quantize it. Reads the file's headers only, so it is quick for a "
        "model of any size. Any part of a split model stands for all of it.\n\n"
        "A Hugging Face folder (config.json and safetensors) is named like a file and is shown, here and everywhere, "
        "as the GGUF file that it would be converted to.\n\n"
        "The KV cache is counted as llama.cpp lays it out. Memory that the running program needs for itself comes on "
        "top.",
    .examples = "quantscape info model.gguf\tthe overview\n"
                "quantscape info Qwen3-0.6B\ta Hugging Face folder\n"
                "quantscape info --metadata model.gguf\twith every metadata entry\n"
                "quantscape info --json model.gguf\tfor programs\n",
    .opts = options,
    .keys = keys,
    .run = run,
};
