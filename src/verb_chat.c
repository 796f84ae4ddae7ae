/* verb_chat.c - `chat`: talk to a model, or to two side by side, on a plain terminal or through a pipe.
 *
 * Owns models, the candidate, conversation and chat while it runs. One message comes from --prompt or a pipe; on a
 * terminal lines are read (chat_line.c). The answer is core/chat's; how it is shown is chat_answer.c.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/model/need.h"
#include "core/quant/candidate.h"
#include "core/text/chat.h"
#include "src/chat_line.h"
#include "src/recipe_opts.h"

#define TEMPLATE_MAX (1u << 20)

static const struct qs_opt options[] = {
    { .name = "prompt", .letter = 'p', .kind = QS_OPT_STR, .arg = "TEXT",
      .help = "the message; without it a pipe, or lines from the terminal" },
    { .name = "system", .letter = 's', .kind = QS_OPT_STR, .arg = "TEXT", .help = "system prompt" },
    { .name = "compare", .letter = 'c', .kind = QS_OPT_FILE, .arg = "MODEL",
      .help = "let a second model answer beside the first" },
    { .name = "type", .letter = 't', .kind = QS_OPT_PRESET, .arg = "TYPE",
      .help = "let the candidate answer beside it: the model as this preset or file type would make it, in memory" },
    { .name = "recipe", .letter = 'r', .kind = QS_OPT_FILE, .arg = "FILE", .help = "the same by a recipe file" },
    { .name = "imatrix", .kind = QS_OPT_FILE, .arg = "FILE", .help = "importance matrix for the candidate" },
    QS_CALIBRATED_OPTION,
    { .name = "allow-requantize", .help = "accept a model that is quantized below Q8_0 already" },
    { .name = "follow", .help = "feed the second model the first one's tokens, and measure the divergence at each" },
    { .name = "temp", .kind = QS_OPT_STR, .arg = "X", .help = "temperature; 0: always the likeliest token" },
    { .name = "top-k", .kind = QS_OPT_STR, .arg = "N", .help = "choose among the N likeliest tokens; 0: all" },
    { .name = "top-p", .kind = QS_OPT_STR, .arg = "P",
      .help = "choose among the likeliest that together have probability P" },
    { .name = "min-p", .kind = QS_OPT_STR, .arg = "P",
      .help = "leave out what is less likely than P times the likeliest" },
    { .name = "repeat-penalty", .kind = QS_OPT_STR, .arg = "X",
      .help = "make tokens that were there less likely; 1: off" },
    { .name = "presence-penalty", .kind = QS_OPT_STR, .arg = "X",
      .help = "take X from the logits of tokens that were there" },
    { .name = "frequency-penalty", .kind = QS_OPT_STR, .arg = "X",
      .help = "take X for each time that a token was there" },
    { .name = "repeat-last-n", .kind = QS_OPT_STR, .arg = "N", .help = "how far the penalties look back; -1: all" },
    { .name = "seed", .kind = QS_OPT_STR, .arg = "N",
      .help = "of the random numbers; the same seed gives the same answer" },
    { .name = "max-tokens", .letter = 'n', .kind = QS_OPT_STR, .arg = "N",
      .help = "tokens of an answer (default: 512); 0: until the context is full" },
    { .name = "ctx", .kind = QS_OPT_STR, .arg = "N",
      .help = "tokens of context (default: the model's own, at most 4096)" },
    { .name = "cache-type-k", .kind = QS_OPT_STR, .arg = "TYPE",
      .help = "keys in the cache: F32, F16, Q8_0, Q4_0 (default: F16)" },
    { .name = "cache-type-v", .kind = QS_OPT_STR, .arg = "TYPE", .help = "values in the cache, likewise" },
    { .name = "rotate-cache", .help = "rotate keys and values before they are stored: less error in Q8_0 and Q4_0" },
    { .name = "speculate", .kind = QS_OPT_CHOICE, .arg = "HOW", .choices = "auto off ngram draft",
      .help = "guess tokens ahead and verify them together, for the very same answer: ngram (what followed before in "
              "the text), draft (by the model of --draft), off; auto: draft or ngram, off where two models answer" },
    { .name = "draft", .letter = 'd', .kind = QS_OPT_FILE, .arg = "MODEL",
      .help = "a small model with the same vocabulary that guesses tokens ahead" },
    { .name = "stats", .help = "print speeds, guesses, context and memory behind the answer" },
    { .name = "precision", .kind = QS_OPT_CHOICE, .arg = "WHICH", .choices = "fast exact",
      .help = "fast: integer products where the types have them; exact: float32 activations" },
    { .name = "template", .kind = QS_OPT_STR, .arg = "NAME", .words = qs_chat_builtin_name,
      .help = "instead of the model's own chat template a file with Jinja, or a built-in one" },
    { .name = "no-template", .help = "no template: the model goes on with the text as it is" },
    { .name = "load", .kind = QS_OPT_FILE, .arg = "FILE",
      .help = "go on with a conversation kept by /save, or a list of messages" },
    { .name = "save", .kind = QS_OPT_FILE, .arg = "FILE",
      .help = "keep the answer or the comparison as JSON, to be replayed" },
    { .name = "force", .letter = 'f', .help = "overwrite an existing file" },
    { .name = "replay", .kind = QS_OPT_FILE, .arg = "FILE", .help = "show what --save has kept; no model is needed" },
    { .name = "speed", .kind = QS_OPT_STR, .arg = "X",
      .help = "with --replay: X times its own pace (default: at once)" },
    { .name = NULL }
};

struct work {
    struct qs_chat_line line;
    struct qs_pool *pool;
    struct qs_side *draft;
    /* the candidate */
    struct qs_recipe *recipe;
    struct qs_imatrix *imatrix;
    struct qs_store *store;
    struct qs_plan *plan;
    struct qs_candidate *candidate;
    struct qs_engine *engine;
    char label[QS_ANSWER_LABEL];
};

static void work_free(struct work *w)
{
    struct qs_chat_line *l = &w->line;
    qs_chat_free(l->chat);
    qs_side_free(w->draft);
    qs_side_free(l->side[1]);
    qs_engine_free(w->engine);
    qs_candidate_unref(w->candidate);
    qs_plan_free(w->plan);
    qs_side_free(l->side[0]); /* its model is what the candidate was made of */
    qs_imatrix_free(w->imatrix);
    qs_store_unref(w->store);
    qs_recipe_free(w->recipe);
    qs_answer_free(l->answer);
    qs_talk_free(l->talk);
}

/* ---- settings ------------------------------------------------------------------------------------------------ */

static int set_template(struct qs_cli *cli, struct qs_talk *t)
{
    const char *name = qs_cli_str(cli, "template", NULL);
    struct qs_err e = QS_ERR_INIT;
    char *text = NULL;
    size_t n = 0;
    if (qs_cli_has(cli, "no-template"))
        return qs_talk_set(t, "template", "none", &e) ? qs_cli_fail(cli, &e) : QS_EXIT_DONE;
    if (!name)
        return QS_EXIT_DONE;
    if (!strchr(name, '/') && !strchr(name, '.') && !qs_file_exists(name))
        return qs_talk_set(t, "template", name, &e) ? qs_cli_usage(cli, "--template: %s", e.msg) : QS_EXIT_DONE;
    int rc = qs_file_read(name, TEMPLATE_MAX, &text, &n, &e);
    if (!rc && (rc = qs_talk_set_template(t, text, n, &e)) != QS_OK)
        qs_err_prefix(&e, "%s", name);
    qs_free(text);
    return rc ? qs_cli_fail(cli, &e) : QS_EXIT_DONE;
}

static int apply_settings(struct qs_cli *cli, struct qs_talk *t)
{
    static const struct { const char *option, *name; } row[] = {
        { "temp", "temperature" }, { "top-k", "top-k" }, { "top-p", "top-p" }, { "min-p", "min-p" },
        { "repeat-penalty", "repeat-penalty" }, { "presence-penalty", "presence-penalty" },
        { "frequency-penalty", "frequency-penalty" }, { "repeat-last-n", "repeat-last-n" }, { "seed", "seed" },
        { "max-tokens", "max-tokens" }, { "ctx", "ctx" }, { "cache-type-k", "cache-type-k" },
        { "cache-type-v", "cache-type-v" }, { "speculate", "speculate" },
    };
    struct qs_err e = QS_ERR_INIT;
    const char *load = qs_cli_str(cli, "load", NULL), *system = qs_cli_str(cli, "system", NULL);
    if (load && qs_talk_load(t, load, &e))
        return qs_cli_fail(cli, &e);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const char *value = qs_cli_str(cli, row[i].option, NULL);
        if (value && qs_talk_set(t, row[i].name, value, &e))
            return qs_cli_usage(cli, "--%s: %s", row[i].option, e.msg);
    }
    if (qs_cli_has(cli, "rotate-cache") && qs_talk_set(t, "rotate-cache", "on", &e))
        return qs_cli_fail(cli, &e);
    if (qs_cli_has(cli, "draft") && qs_talk_set(t, "speculate", "draft", &e))
        return qs_cli_fail(cli, &e);
    if (system && qs_talk_system(t, system, strlen(system), &e))
        return qs_cli_usage(cli, "--system: %s", e.msg);
    return set_template(cli, t);
}

/* ---- sides --------------------------------------------------------------------------------------------------- */

static enum qs_precision precision(struct qs_cli *cli)
{
    return strcmp(qs_cli_str(cli, "precision", "fast"), "exact") == 0 ? QS_EXACT : QS_FAST;
}

static int making(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct work *w = ctx;
    return qs_candidate_run(w->candidate, w->pool, job, e);
}

static void warn_memory(struct qs_cli *cli, uint64_t private_bytes)
{
    char size[24], free[24];
    const struct qs_machine_memory machine = qs_machine_memory();
    if (machine.available && private_bytes > machine.available)
        qs_cli_warn(cli, "%s of memory are needed, and %s are free", qs_fmt_bytes(size, sizeof size, private_bytes),
                    qs_fmt_bytes(free, sizeof free, machine.available));
}

/* What both will take, before either is loaded or made. */
static void tell_need(struct qs_cli *cli, uint64_t private_bytes, uint64_t files, uint64_t shared)
{
    char size[24], more[24], both[24];
    qs_cli_note(cli, "both together take %s of memory and %s of files, %s of it shared by both",
                qs_fmt_bytes(size, sizeof size, private_bytes), qs_fmt_bytes(more, sizeof more, files),
                qs_fmt_bytes(both, sizeof both, shared));
    warn_memory(cli, private_bytes);
}

/* By their headers. */
static int tell_files(struct qs_cli *cli, const struct work *w, const char *const path[QS_ANSWER_SIDES],
                      struct qs_err *e)
{
    struct qs_model *m[QS_ANSWER_SIDES] = { NULL };
    struct qs_chat_need need;
    int rc = qs_model_open(path[0], &m[0], e);
    if (!rc)
        rc = qs_model_open(path[1], &m[1], e);
    if (!rc) {
        qs_chat_need_models((const struct qs_model *const[]){ m[0], m[1] }, 2, &w->line.talk->settings, &need);
        tell_need(cli, need.private_bytes, need.total - need.private_bytes, need.shared.mapped + need.shared.heap);
    }
    qs_model_close(m[1]);
    qs_model_close(m[0]);
    return rc;
}

/* Of the model, and of the candidate that is to be made of it. */
static int tell_candidate(struct qs_cli *cli, struct work *w, struct qs_err *e)
{
    struct qs_chat_need need;
    struct qs_candidate_need made;
    char scratch[24], heap[24];
    int rc = qs_candidate_need(w->plan, NULL, qs_pool_threads(w->pool), &made, e);
    if (!rc)
        rc = qs_chat_need(w->line.side, 1, &w->line.talk->settings, &need, e);
    if (rc)
        return rc;
    qs_cli_note(cli, "the candidate takes %s of scratch file and, while it is made, %s of memory",
                qs_fmt_bytes(scratch, sizeof scratch, made.scratch),
                qs_fmt_bytes(heap, sizeof heap, made.heap + made.working));
    tell_need(cli, need.private_bytes + need.side[0].cache + made.heap,
              need.total - need.private_bytes + made.scratch, made.shared);
    return QS_OK;
}

/* Plan and empty candidate. */
static int plan_candidate(struct qs_cli *cli, struct work *w, struct qs_err *e)
{
    const struct qs_plan_args args = { .imatrix = w->imatrix, .store = w->store,
                                       .allow_requantize = qs_cli_has(cli, "allow-requantize") };
    int rc = qs_plan_make(qs_side_model(w->line.side[0]), w->recipe, &args, &w->plan, e);
    for (size_t i = 0; !rc && i < w->plan->n_warnings; i++)
        qs_cli_warn(cli, "%s", w->plan->warning[i]);
    if (!rc)
        rc = tell_candidate(cli, w, e);
    return rc ? rc : qs_candidate_new(w->plan, NULL, &w->candidate, e);
}

static int open_candidate(struct qs_cli *cli, struct work *w, struct qs_err *e)
{
    const struct qs_engine_args engine = { .pool = w->pool, .precision = precision(cli), .prio = QS_PRIO_INTERACTIVE };
    const char *path = qs_cli_str(cli, "recipe", NULL);
    int rc = plan_candidate(cli, w, e);
    if (!rc)
        rc = qs_cli_job(cli, "candidate", making, w, NULL, e);
    if (!rc)
        rc = qs_engine_new(qs_side_model(w->line.side[0]), &engine, &w->engine, e);
    if (!rc)
        rc = qs_candidate_apply(w->candidate, w->engine, NULL, e);
    if (rc)
        return rc;
    snprintf(w->label, sizeof w->label, "candidate %.60s", path ? qs_path_base(path) : qs_cli_str(cli, "type", ""));
    const struct qs_side_args args = { .label = w->label, .beside = w->line.side[0] };
    return qs_side_new(w->engine, &args, &w->line.side[1], e);
}

/* What a person should know about the models before the first answer. A side that is made of the first one's file has
 * its tokenizer. */
static void warn(struct qs_cli *cli, const struct work *w)
{
    const struct qs_chat_line *l = &w->line;
    struct qs_chat_need need;
    if (l->n_sides == 1 && qs_chat_need(l->side, 1, &l->talk->settings, &need, NULL) == QS_OK)
        warn_memory(cli, need.private_bytes);
    const bool other = qs_cli_has(cli, "compare") && l->n_sides == 2 &&
                       qs_side_vocab(l->side[0]) != qs_side_vocab(l->side[1]);
    for (size_t k = 0; k < l->n_sides; k++) {
        const size_t trained = qs_engine_config(qs_side_engine(l->side[k]))->n_ctx_train;
        if (trained && l->talk->settings.n_ctx > trained)
            qs_cli_warn(cli, "%s was trained with a context of %zu tokens: what lies beyond may make no sense",
                        qs_side_label(l->side[k]), trained);
        for (size_t i = 0; (k == 0 || other) && qs_side_warning(l->side[k], i); i++)
            qs_cli_warn(cli, "%s: %s", qs_side_label(l->side[k]), qs_side_warning(l->side[k], i));
    }
}

/* The model that guesses, and what it takes. */
static int open_draft(struct qs_cli *cli, struct work *w, struct qs_err *e)
{
    const char *path = qs_cli_str(cli, "draft", NULL);
    const struct qs_side_args args = { .pool = w->pool, .precision = QS_FAST, .beside = w->line.side[0] };
    struct qs_chat_need need;
    char size[24], files[24];
    int rc = path ? qs_side_open(path, &args, &w->draft, e) : QS_OK;
    if (!rc && path)
        rc = qs_side_can_draft(w->draft, w->line.side[0], e);
    if (!rc && path)
        rc = qs_chat_need(&w->draft, 1, &w->line.talk->settings, &need, e);
    if (rc || !path)
        return rc;
    qs_cli_note(cli, "the model that guesses takes up to %s of memory and %s of files",
                qs_fmt_bytes(size, sizeof size, need.private_bytes),
                qs_fmt_bytes(files, sizeof files, need.total - need.private_bytes));
    return qs_chat_draft(w->line.chat, w->draft, e);
}

static int open_sides(struct qs_cli *cli, struct work *w, struct qs_err *e)
{
    struct qs_chat_line *l = &w->line;
    const char *other = qs_cli_str(cli, "compare", NULL);
    struct qs_side_args args = { .precision = precision(cli) };
    int rc = qs_cli_pool(cli, &w->pool, e);
    args.pool = w->pool;
    if (!rc && other)
        rc = tell_files(cli, w, (const char *const[]){ qs_cli_arg(cli, 0), other }, e);
    if (!rc)
        rc = qs_side_open(qs_cli_arg(cli, 0), &args, &l->side[0], e);
    args.beside = l->side[0];
    l->n_sides = 1;
    if (!rc && (other || qs_chat_line_candidate(cli))) {
        l->n_sides = 2;
        rc = other ? qs_side_open(other, &args, &l->side[1], e) : open_candidate(cli, w, e);
        if (!rc)
            rc = qs_sides_comparable(l->side[0], l->side[1], e);
    }
    l->follow = qs_cli_has(cli, "follow");
    l->stats = qs_cli_has(cli, "stats");
    if (!rc)
        rc = open_draft(cli, w, e);
    if (!rc)
        warn(cli, w);
    return rc;
}

/* ---- one answer ---------------------------------------------------------------------------------------------- */

static int save(struct qs_cli *cli, const struct qs_answer *a)
{
    struct qs_err e = QS_ERR_INIT;
    const char *path = qs_cli_str(cli, "save", NULL);
    if (!path || a->n_sides == 0)
        return QS_EXIT_DONE;
    return qs_answer_save(a, path, qs_cli_has(cli, "force"), &e) ? qs_cli_fail(cli, &e) : QS_EXIT_DONE;
}

static int answer_one(struct qs_cli *cli, struct work *w)
{
    const char *prompt = qs_cli_str(cli, "prompt", NULL);
    struct qs_err e = QS_ERR_INIT;
    bool stopped = false;
    char *text = NULL;
    size_t n = prompt ? strlen(prompt) : 0;
    if (!prompt && qs_file_read_any("/dev/stdin", QS_TALK_TEXT, &text, &n, &e))
        return qs_cli_fail(cli, &e);
    if (text && n && text[n - 1] == '\n')
        n--; /* the end of the last line is none of the message */
    const int rc = qs_talk_say(w->line.talk, prompt ? prompt : text, n, &e);
    qs_free(text);
    if (rc)
        return qs_cli_fail(cli, &e);
    int exit_code = qs_chat_line_answer(&w->line, &stopped);
    const int saved = save(cli, w->line.answer);
    exit_code = exit_code == QS_EXIT_DONE ? saved : exit_code;
    if (stopped && exit_code == QS_EXIT_DONE) {
        qs_fail(&e, QS_ECANCELLED, "stopped after %zu tokens", w->line.answer->side[0].n);
        cli->error_shown = true; /* with --json what there is has been printed */
        exit_code = qs_cli_fail(cli, &e);
    }
    return exit_code;
}

/* ---- the whole ----------------------------------------------------------------------------------------------- */

static int check_output(struct qs_cli *cli, const struct qs_model *m)
{
    const char *path = qs_cli_str(cli, "save", NULL);
    struct qs_err e = QS_ERR_INIT;
    const struct qs_file_input in[] = { { qs_cli_str(cli, "load", NULL), "the conversation" },
                                        { qs_cli_str(cli, "compare", NULL), "the second model" },
                                        { qs_cli_str(cli, "draft", NULL), "the model that guesses" },
                                        { qs_cli_str(cli, "recipe", NULL), "the recipe" },
                                        { qs_cli_str(cli, "imatrix", NULL), "the importance matrix" },
                                        { qs_cli_str(cli, "calibrated", NULL), "the calibrated tensors" } };
    if (path && qs_cli_output(cli, path, "--save", m, in, sizeof in / sizeof *in, &e))
        return qs_cli_fail(cli, &e);
    return QS_EXIT_DONE;
}

static int talk(struct qs_cli *cli, struct work *w)
{
    struct qs_err e = QS_ERR_INIT;
    int exit_code = apply_settings(cli, w->line.talk);
    if (exit_code == QS_EXIT_DONE && qs_chat_line_candidate(cli))
        exit_code = qs_cli_recipe(cli, &w->recipe);
    if (exit_code == QS_EXIT_DONE)
        exit_code = qs_cli_imatrix(cli, &w->imatrix);
    if (exit_code == QS_EXIT_DONE)
        exit_code = qs_cli_store(cli, &w->store);
    if (exit_code == QS_EXIT_DONE && open_sides(cli, w, &e))
        exit_code = qs_cli_fail(cli, &e);
    if (exit_code == QS_EXIT_DONE)
        exit_code = check_output(cli, qs_side_model(w->line.side[0]));
    if (exit_code != QS_EXIT_DONE)
        return exit_code;
    if (qs_cli_has(cli, "prompt") || !isatty(STDIN_FILENO))
        return answer_one(cli, w);
    if (cli->json || cli->csv || qs_cli_has(cli, "save"))
        return qs_cli_usage(cli, "%s takes one message: give it with --prompt or through a pipe",
                            cli->json ? "--json" : cli->csv ? "--csv" : "--save");
    qs_cli_note(cli, "%s; /help lists the commands, Ctrl-C stops an answer, /quit ends",
                qs_side_label(w->line.side[0]));
    return qs_chat_line_loop(&w->line);
}

static int run(struct qs_cli *cli)
{
    struct work w = { .line = { .cli = cli } };
    struct qs_err e = QS_ERR_INIT;
    int exit_code = qs_chat_line_check(cli);
    if (exit_code == QS_EXIT_DONE &&
        (qs_talk_new(&w.line.talk, &e) || qs_chat_new(&w.line.chat, &e) || qs_answer_new(&w.line.answer, &e)))
        exit_code = qs_cli_fail(cli, &e);
    if (exit_code == QS_EXIT_DONE)
        exit_code = qs_cli_has(cli, "replay") ? qs_chat_line_replay(&w.line) : talk(cli, &w);
    work_free(&w);
    return exit_code;
}

static const struct qs_key_doc keys[] = {
    { "chat.mode", "single; free: each writes its own answer; follow: the second is fed the first one's tokens" },
    { "chat.prompt", "the message that was answered" },
    { "chat.seed", "of the random numbers" },
    { "chat.seconds", "from the start to the end of the answer" },
    { "chat.message", "why it stopped, where that needs words" },
    { "chat.parted",
      "free: the first token where the sides differ, counted from 0 (the text counts from 1); null: nowhere" },
    { "chat.shared_bytes", "bytes of weights that both use and that exist once" },
    { "divergence.tokens", "tokens at which both had seen the same text: in free mode up to the first that differs" },
    { "divergence.mean_kld", "mean of KL(first || second) over them, in nats" },
    { "divergence.max_kld", "the largest" },
    { "divergence.max_at", "token where that is, counted from 0 (the text counts from 1)" },
    { "divergence.same_top", "share of them where the likeliest token is the same" },
    { "sides[].model", "file name, or the candidate" },
    { "sides[].precision", "fast or exact" },
    { "sides[].stop", "end (the model ended its answer), limit, context (full), cancelled, nan, failed" },
    { "sides[].prompt_tokens", "tokens of conversation and message" },
    { "sides[].reused_tokens", "of those: already in the cache" },
    { "sides[].tokens", "tokens of the answer, the one that ends it included" },
    { "sides[].prefill_rate", "tokens of the prompt per second of this side's own steps" },
    { "sides[].decode_rate", "tokens of the answer per second of this side's own steps" },
    { "sides[].drafted", "tokens that were guessed ahead and fed along (--speculate)" },
    { "sides[].accepted", "of those: chosen then" },
    { "sides[].acceptance", "share of them; null: nothing was guessed" },
    { "sides[].used", "tokens in the cache" },
    { "sides[].context", "how many fit" },
    { "sides[].mapped_bytes", "weights used in files" },
    { "sides[].heap_bytes", "weights in private memory" },
    { "sides[].cache_bytes", "KV cache and working buffers" },
    { "sides[].text", "the answer" },
    { "tokens[].side", "0 or 1" },
    { "tokens[].index", "place in the answer, counted from 0" },
    { "tokens[].id", "token" },
    { "tokens[].piece", "its text; special tokens by name, bytes that are no UTF-8 by themselves as <0xNN>" },
    { "tokens[].text", "what it added to the answer: whole characters alone" },
    { "tokens[].p", "probability that this side gives it, before the sampler" },
    { "tokens[].kld", "of side 1: KL(first || second) of the distributions here, in nats; null where unknown" },
    { "tokens[].flip", "of side 1: whether the likeliest tokens differ; null where unknown" },
    { "tokens[].seconds", "when it came, since the start" },
    { "best[].side", "0 or 1: the five likeliest tokens at every place" },
    { "best[].index", "place in the answer, counted from 0" },
    { "best[].rank", "1 to 5" },
    { "best[].id", "token" },
    { "best[].piece", "its text" },
    { "best[].p", "its probability" },
    { NULL, NULL }
};

const struct qs_verb qs_verb_chat = {
    .name = "chat",
    .args = "MODEL",
    .min_args = 0,
    .max_args = 1,
    .summary = "talk to a model, or to two side by side",
    .description =
        "Answers one message (--prompt, or what comes through a pipe), or, on a terminal, line after line; /help "
        "lists the commands there. Ctrl-C stops an answer, a second one ends the program. The model's own chat "
        "template is used; where it has none, or it fails, the message says so, and --template names a built-in "
        "form.\n\n"
        "With a second model (--compare), or the candidate that a preset or recipe would make of the first (--type, "
        "--recipe), both answer the same message with the same seed. Each writes its own answer, and the first token "
        "where they part is marked; with --follow the second is fed the first one's tokens, and marks below the text "
        "tell how far it disagrees: '.' from a KL divergence of 0.001, ':' 0.01, '*' 0.1, '#' 1, '!' where its "
        "likeliest token is another. The models must have the same vocabulary. Speeds are by each model's own steps.\n\n"
        "Tokens are guessed ahead and verified together in one pass, from what followed before in the text "
        "(--speculate ngram, the default for one model), or by a small model with the same vocabulary (--draft). The "
        "answer is the same, token for token, with any sampler. It pays where reading the weights takes the time: "
        "large models, and texts that repeat themselves or are predictable. A pass over several tokens costs more "
        "arithmetic, so what passes take is measured, and where guesses do not pay few are made. --stats tells how "
        "many came true.\n\n"
        "A context that is full ends the answer: nothing that was said is ever dropped silently. Results do not "
        "depend on the number of threads, nor on what was in the cache before.",
    .examples = "quantscape chat model.gguf\ttalk, line after line\n"
                "quantscape chat model.gguf -p 'Why is the sky blue?' --temp 0\tone answer, always the same\n"
                "quantscape chat model-f16.gguf -t Q2_K --follow -p 'Tell me a story.'\twhat Q2_K would change\n"
                "quantscape chat a.gguf --compare b.gguf -p 'Hello' --json\tprobabilities of every token\n"
                "quantscape chat big.gguf --draft small.gguf --stats -p 'Hello'\tthe same answer, sooner\n"
                "quantscape chat --replay story.json --speed 1\tshow a kept comparison\n",
    .opts = options,
    .keys = keys,
    .run = run,
};
