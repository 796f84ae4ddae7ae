/* calibrate.c - opens a calibration, checks what can be checked before the work, and runs its stages in turn.
 *
 * Owns text, engines, table of inputs, statistics and store; the model and the pool are the caller's. Refuses recipes
 * that cannot be carried out, sources that are quantized already unless allowed, and stages without what they need.
 */
#include "core/calib/calibrate.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/calib/calibrate_internal.h"
#include "core/calib/swap.h"
#include "core/model/need.h"
#include "core/model/vocabulary.h"
#include "core/quant/survey.h"

int qs_calibrate_warn(struct qs_calibration *c, struct qs_err *e, const char *fmt, ...)
{
    struct qs_str s = QS_STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    qs_str_addv(&s, fmt, ap);
    va_end(ap);
    char *line = qs_str_take(&s);
    if (!line || !qs_grow(&c->warning, &c->cap_warnings, c->n_warnings + 1, sizeof *c->warning)) {
        qs_free(line);
        return qs_fail_mem(e, 0, "a warning");
    }
    c->warning[c->n_warnings++] = line;
    return QS_OK;
}

int qs_calibrate_type(const struct qs_calibration *c, size_t i)
{
    const struct qs_tensor *t = &c->args.model->tensor[i];
    const int type = c->types ? c->types->choice[i].type : t->type;
    if (type == t->type || t->n_dims < 2)
        return QS_TYPE_NONE;
    const struct qs_input *in = c->args.methods.head ? NULL : qs_inputs_of(c->inputs, i);
    return in && in->point == QS_POINT_HEAD ? QS_TYPE_NONE : type;
}

/* ---- opening ---- */

/* The model's own template; messages in a text are refused where it has none that can be used. */
static int open_vocab(struct qs_calibration *c, struct qs_err *e)
{
    const int rc = qs_model_vocab(c->args.model, &c->vocab, e);
    const char *source = rc ? NULL : qs_vocab_source(c->vocab)->chat_template;
    if (source && qs_chat_template_new(source, strlen(source), &c->chat, NULL))
        c->chat = NULL;
    return rc;
}

static int open_text(struct qs_calibration *c, struct qs_err *e)
{
    struct qs_corpus_args text = c->args.text;
    if (!text.n_sources)
        return QS_OK;
    int rc = open_vocab(c, e);
    if (!text.model_ctx)
        text.model_ctx = (size_t)c->args.model->hp.n_ctx;
    if (!rc)
        rc = qs_corpus_open(&text, c->vocab, c->chat, &c->corpus, e);
    for (size_t i = 0; !rc && i < c->corpus->n_warnings; i++)
        rc = qs_calibrate_warn(c, e, "%s", c->corpus->warning[i]);
    if (!rc && !c->corpus->n_held && c->args.recipe)
        rc = qs_calibrate_warn(
            c, e, "no window is held out: nothing is judged, every tensor gets the method that is usually best");
    return rc;
}

static int check_sources(const struct qs_calibration *c, struct qs_err *e)
{
    for (size_t i = 0; i < c->args.model->n_tensors; i++) {
        const struct qs_tensor *t = &c->args.model->tensor[i];
        if (qs_calibrate_type(c, i) == QS_TYPE_NONE)
            continue;
        if (qs_tensor_is_quantized(t) && t->type != QS_Q8_0 && !c->args.allow_requantize)
            return qs_fail_advise(e, QS_EINVAL, QS_ADVISE_REQUANTIZE,
                                  "%s is %s already: converting it again loses quality "
                                  "twice. Start from an F16, BF16 or F32 file",
                                  t->name, t->format->name);
        const struct qs_format *f = qs_format_by_id(qs_calibrate_type(c, i));
        if (!f || !qs_format_ops(f->id)->fit)
            return qs_fail(e, QS_EUNSUPPORTED, "%s: type %s cannot be encoded", t->name,
                           qs_type_name(qs_calibrate_type(c, i)));
    }
    return QS_OK;
}

static int open_engines(struct qs_calibration *c, struct qs_err *e)
{
    const struct qs_engine_args args = { .pool = c->args.pool, .precision = QS_EXACT, .prio = c->args.prio };
    int rc = qs_engine_new(c->args.model, &args, &c->origin, e);
    if (!rc && c->args.recipe)
        rc = qs_engine_new(c->args.model, &args, &c->made, e);
    return rc ? rc : qs_inputs_new(c->origin, &c->inputs, e);
}

static int check_args(const struct qs_calibrate_args *a, struct qs_err *e)
{
    if (!a->text.n_sources && !a->statistics_in)
        return qs_fail(e, QS_EINVAL, "nothing to calibrate with: give a text, or statistics of an earlier one");
    if (a->recipe && !a->store)
        return qs_fail(e, QS_EINVAL, "encoded tensors need a file to go to");
    if (a->statistics_out && !a->text.n_sources && !a->statistics_in)
        return qs_fail(e, QS_EINVAL, "there are no statistics to keep");
    if (a->swap_windows && !a->text.n_sources)
        return qs_fail(e, QS_EINVAL, "the KL divergence of single tensors is measured on a text: none is given");
    if (a->errors && !a->text.n_sources)
        return qs_fail(e, QS_EINVAL, "errors of types are measured on a text: none is given");
    return QS_OK;
}

/* All that this run asks for, of this text and this model, wherever their files lie. */
static bool is_ours(const struct qs_calibration *c, const struct qs_statistics *s)
{
    struct qs_key model;
    return qs_key_equal(s->corpus, c->corpus->key) && !qs_model_content_key(c->args.model, &model, NULL) &&
           qs_key_equal(s->model, model) && (!c->args.errors || s->n_errors);
}

/* " 67%", which another draw of windows changes. */
static size_t share_at(const char *s)
{
    const size_t n = *s == ' ' ? strspn(s + 1, "0123456789") : 0;
    return n && s[1 + n] == '%' ? n + 2 : 0;
}

static bool same_texts(const char *a, const char *b)
{
    for (;; a++, b++) {
        a += share_at(a);
        b += share_at(b);
        if (*a != *b || !*a)
            return *a == *b;
    }
}

/* The first thing in which statistics that lie in the place of ours are others; s NULL: they cannot be read. */
static void tell_difference(const struct qs_calibration *c, const struct qs_statistics *s, const struct qs_err *why,
                            struct qs_str *out)
{
    const struct qs_key none = { 0 };
    struct qs_key model = none;
    struct qs_str name = QS_STR_INIT;
    qs_corpus_name(c->corpus, &name);
    (void)qs_model_content_key(c->args.model, &model, NULL);
    if (!s)
        qs_str_add(out, why->msg);
    else if (qs_key_equal(s->corpus, none) || qs_key_equal(s->model, none))
        qs_str_add(out, "it does not say of which");
    else if (!qs_key_equal(s->model, model))
        qs_str_add(out, "it is of another model");
    else if (!name.failed && !same_texts(s->dataset, name.data))
        qs_str_addf(out, "it is of %s, and %s is asked for", s->dataset[0] ? s->dataset : "other text", name.data);
    else if (s->n_ctx != c->corpus->n_ctx)
        qs_str_addf(out, "its windows have %llu tokens, and %zu are asked for", (unsigned long long)s->n_ctx,
                    c->corpus->n_ctx);
    else if (s->windows != c->corpus->n_fit)
        qs_str_addf(out, "it has %llu windows, and %zu are asked for", (unsigned long long)s->windows,
                    c->corpus->n_fit);
    else if (!qs_key_equal(s->corpus, c->corpus->key))
        qs_str_add(out, "the texts have the same names, but the windows are others: by the seed, the weights or what "
                        "the files hold");
    else
        qs_str_add(out, "it has no errors of types, and they are asked for");
    qs_str_free(&name);
}

static int refuse_others(const struct qs_calibration *c, const char *difference, struct qs_err *e)
{
    return qs_fail(e, QS_EEXISTS, "%s exists already and is not of this text and model: %s. Name another place for the "
                   "statistics, or allow it to be overwritten", c->args.statistics_out, difference);
}

static bool of_precision(const struct qs_calibration *c, const struct qs_statistics *s)
{
    return c->args.precision == QS_CALIB_ANY || c->args.precision == s->precision;
}

static int other_precision(const struct qs_calibration *c, enum qs_calib_precision there, struct qs_err *e)
{
    return qs_fail(e, QS_EEXISTS, "%s holds the statistics of this text and model with precision %s, and %s is asked for: "
                   "name another place for them, or allow them to be overwritten", c->args.statistics_out,
                   qs_calib_precision_name(there), qs_calib_precision_name(c->args.precision));
}

/* What an earlier run has left of the same text and model is taken instead of being collected again: a run that was
 * killed while it encoded goes on from there. */
static int take_earlier(struct qs_calibration *c, struct qs_err *e)
{
    const struct qs_calibrate_args *a = &c->args;
    struct qs_statistics *s = NULL;
    struct qs_err why = QS_ERR_INIT;
    if (!a->statistics_out || a->statistics_in)
        return QS_OK;
    const bool ours = !a->restart && c->corpus && qs_file_exists(a->statistics_out) &&
                      !qs_statistics_open(a->statistics_out, c->inputs, a->model, &s, &why) && is_ours(c, s);
    if (ours && of_precision(c, s)) {
        c->statistics = s;
        return QS_OK;
    }
    const enum qs_calib_precision there = s ? s->precision : QS_CALIB_ANY;
    struct qs_str difference = QS_STR_INIT;
    if (c->corpus)
        tell_difference(c, s, &why, &difference);
    qs_statistics_free(s);
    int rc = ours && !a->overwrite ? other_precision(c, there, e)
                                   : qs_file_check_output(a->statistics_out, a->overwrite || a->restart, e);
    if (!ours && rc == QS_EEXISTS && c->corpus && !difference.failed)
        rc = refuse_others(c, difference.data, e);
    qs_str_free(&difference);
    return rc;
}

static int open_all(struct qs_calibration *c, struct qs_err *e)
{
    int rc = check_args(&c->args, e);
    if (!rc)
        rc = qs_engine_can(c->args.model, e);
    if (!rc)
        rc = open_text(c, e);
    if (!rc)
        rc = open_engines(c, e);
    if (!rc)
        rc = take_earlier(c, e);
    if (!rc && c->args.recipe)
        rc = qs_recipe_resolve(c->args.recipe, c->args.model, true, false, &c->types, e);
    if (!rc && c->types)
        rc = check_sources(c, e);
    if (!rc && c->types && c->args.methods.awq)
        rc = qs_calib_fold_warn(c, e);
    if (!rc && c->args.statistics_in)
        rc = qs_statistics_open(c->args.statistics_in, c->inputs, c->args.model, &c->statistics, e);
    if (!rc && c->types)
        rc = qs_calib_keep_check(c, e);
    return rc;
}

int qs_calibrate_open(const struct qs_calibrate_args *a, struct qs_calibration **out, struct qs_err *e)
{
    *out = NULL;
    struct qs_calibration *c = qs_calloc(1, sizeof *c);
    if (!c)
        return qs_fail_mem(e, sizeof *c, "a calibration");
    c->args = *a;
    const uint64_t free_memory = qs_machine_memory().available;
    c->memory = a->memory ? a->memory : free_memory ? free_memory / 2 : UINT64_MAX;
    const int rc = open_all(c, e);
    if (rc)
        qs_calibrate_free(c);
    else
        *out = c;
    return rc;
}

void qs_calibrate_free(struct qs_calibration *c)
{
    if (!c)
        return;
    for (int k = 0; k < 2; k++)
        qs_stream_free(c->stream[k]);
    qs_store_unref(c->store);
    qs_statistics_free(c->statistics);
    qs_resolved_free(c->types);
    qs_inputs_free(c->inputs);
    qs_engine_free(c->made);
    qs_engine_free(c->origin);
    qs_corpus_free(c->corpus);
    qs_chat_template_free(c->chat);
    qs_vocab_free(c->vocab);
    for (size_t i = 0; i < c->n_warnings; i++)
        qs_free(c->warning[i]);
    qs_free(c->warning);
    qs_free(c->facts);
    qs_free(c);
}

/* ---- stages ---- */

static int journal_name(const struct qs_calibration *c, struct qs_str *out, struct qs_err *e)
{
    const char *base = c->args.statistics_out ? c->args.statistics_out : c->args.store;
    if (base)
        qs_str_addf(out, "%s.collect", base);
    return out->failed ? qs_fail_mem(e, out->len, "a file name") : QS_OK;
}

size_t qs_calib_ladder(const struct qs_calibration *c, int *type, size_t most)
{
    static const int steps[] = { QS_Q2_K, QS_Q3_K, QS_Q4_K, QS_Q5_K, QS_Q6_K, QS_Q8_0 };
    size_t n = 0;
    for (size_t i = 0; c->args.errors && i < sizeof steps / sizeof *steps && n < most; i++)
        type[n++] = steps[i];
    return n;
}

/* The engine that looks; its panels, which live as long as the model's weights are held, are a part of the memory that was not
 * limited. NULL: the original's does. */
static int collecting_engine(const struct qs_calibration *c, struct qs_engine **out, struct qs_err *e)
{
    const enum qs_calib_precision asked = c->args.precision;
    const struct qs_engine_args args = { .pool = c->args.pool, .precision = QS_FAST, .prio = c->args.prio,
                                         .pack = c->args.memory ? QS_PACK_NONE : 0 };
    *out = NULL;
    if (asked == QS_CALIB_EXACT || (asked == QS_CALIB_ANY && c->args.errors))
        return QS_OK;
    return qs_engine_new(c->args.model, &args, out, e);
}

static int collect(struct qs_calibration *c, struct qs_err *e)
{
    struct qs_str journal = QS_STR_INIT;
    struct qs_engine *fast;
    int type[16];
    const size_t n = qs_calib_ladder(c, type, 16);
    uint64_t packed;
    int rc = journal_name(c, &journal, e);
    if (!rc)
        rc = collecting_engine(c, &fast, e);
    if (rc) {
        qs_str_free(&journal);
        return rc;
    }
    packed = fast ? qs_engine_packed(fast) : 0; /* by others too */
    packed = packed < c->memory / 2 ? packed : c->memory / 2;
    const struct qs_collect_args a = { .engine = fast ? fast : c->origin,
                                       .inputs = c->inputs,
                                       .corpus = c->corpus,
                                       .pool = c->args.pool,
                                       .prio = c->args.prio,
                                       .memory = c->memory - packed,
                                       .type = type,
                                       .n_types = n,
                                       .sweeps = c->args.methods.sweeps,
                                       .journal = journal.len ? journal.data : NULL,
                                       .watch = c->args.watch };
    if (c->args.restart && journal.len)
        (void)unlink(journal.data);
    qs_calib_watch_stage(c->args.watch, QS_STAGE_COLLECT);
    qs_job_later(c->job, c->foretold.swap + c->foretold.encode);
    rc = qs_collect_run(&a, c->job, &c->statistics, e);
    qs_engine_free(fast);
    qs_str_free(&journal);
    return rc;
}

static int swap(struct qs_calibration *c, struct qs_err *e)
{
    const struct qs_swap_args a = { .engine = c->origin,
                                    .inputs = c->inputs,
                                    .corpus = c->corpus,
                                    .n_windows = c->args.swap_windows,
                                    .statistics = c->statistics,
                                    .type = QS_TYPE_NONE,
                                    .memory = c->memory,
                                    .pool = c->args.pool,
                                    .prio = c->args.prio,
                                    .watch = c->args.watch };
    qs_calib_watch_stage(c->args.watch, QS_STAGE_SWAP);
    qs_job_later(c->job, c->foretold.encode);
    return qs_swap_run(&a, c->job, e);
}

/* Errors and swaps are kept too: once they are measured, and again after each stage that adds to them. */
static int keep_statistics(struct qs_calibration *c, bool again, struct qs_err *e)
{
    if (!c->args.statistics_out)
        return QS_OK;
    return qs_statistics_save(c->statistics, c->inputs, c->args.model, c->args.statistics_out, false,
                              again || c->args.overwrite || c->args.restart, e);
}

/* What was collected is in its file, or all that it was for is done: the way to go on with collecting has served. */
static void forget_journal(const struct qs_calibration *c)
{
    struct qs_str journal = QS_STR_INIT;
    if (!journal_name(c, &journal, NULL) && journal.len)
        qs_collect_forget(journal.data);
    qs_str_free(&journal);
}

/* Tensors that an earlier run has measured on as many windows are passed over. What was measured until it was stopped is
 * kept too. */
static int swap_and_keep(struct qs_calibration *c, struct qs_err *e)
{
    const size_t before = c->statistics->n_swaps;
    const int rc = swap(c, e);
    if (rc == QS_ECANCELLED && c->statistics->n_swaps > before)
        (void)keep_statistics(c, true, NULL);
    return rc ? rc : keep_statistics(c, true, e);
}

/* Experts that the text has hardly reached: what is made of them goes by the layer's importance. */
static int warn_rare(struct qs_calibration *c, struct qs_err *e)
{
    const struct qs_statistics *s = c->statistics;
    uint64_t needed = 0;
    size_t rare = 0, unseen = 0, all = 0;
    for (size_t i = 0; i < s->n_inputs; i++) {
        struct qs_channel_facts f;
        if (s->input[i].experts < 2)
            continue;
        qs_channel_facts(&s->input[i], s->tokens, &f);
        all += s->input[i].experts;
        rare += f.rare;
        unseen += f.unseen;
        needed = f.tokens_needed > needed ? f.tokens_needed : needed;
    }
    return !rare ? QS_OK
                 : qs_calibrate_warn(c, e, "of %zu experts (of every routed input) %zu saw fewer rows than they have columns, "
                                     "%zu of these none at all: about %llu more tokens of such text would do", all, rare,
                                     unseen, (unsigned long long)needed);
}

int qs_calibrate_run(struct qs_calibration *c, struct qs_job *job, struct qs_err *e)
{
    const bool collected = !c->statistics;
    int rc = QS_OK;
    c->job = job;
    qs_calib_watch_stage(c->args.watch, QS_STAGE_TEXT);
    if (!c->statistics) {
        rc = collect(c, e);
        if (!rc)
            rc = keep_statistics(c, false, e);
        if (!rc && c->args.statistics_out)
            forget_journal(c);
    }
    rc = rc ? rc : warn_rare(c, e);
    if (!rc && c->args.swap_windows)
        rc = swap_and_keep(c, e);
    if (!rc && c->types && !c->store)
        rc = qs_calib_keep_open(c, e);
    qs_job_later(job, 0);
    if (!rc && c->types)
        rc = qs_calib_encode(c, e);
    if (!rc)
        rc = qs_model_intact(c->args.model, e);
    if (!rc && collected && !c->args.statistics_out)
        forget_journal(c);
    if (!rc)
        qs_calib_watch_stage(c->args.watch, QS_STAGE_DONE);
    if (rc == QS_ECANCELLED && c->store)
        qs_fail(e, QS_ECANCELLED, "cancelled; what is done is kept in %s.part and the same command goes on from there",
                c->args.store);
    c->job = NULL;
    return rc;
}

/* ---- looking ---- */

const struct qs_corpus *qs_calibrate_corpus(const struct qs_calibration *c) { return c->corpus; }
const struct qs_statistics *qs_calibrate_statistics(const struct qs_calibration *c) { return c->statistics; }
struct qs_store *qs_calibrate_store(struct qs_calibration *c) { return c->store; }

const char *const *qs_calibrate_warnings(const struct qs_calibration *c, size_t *n)
{
    *n = c->n_warnings;
    return (const char *const *)c->warning;
}
