/* smollm2.c - smollm2 MODEL GOLDEN TEXTS [CHATS [TEXTS]]: a real model against an independent implementation.
 *
 * GOLDEN is smollm2.json: what transformers makes of the same weights in float32 (its README says how). Every chat
 * prompt has to become the same ids by the model's own template and tokenizer, and in exact precision the same
 * greedy tokens while the golden's margin is above SMALL_MARGIN; where a smaller margin lets the two part, the
 * golden's token is fed and it goes on. Every text of the folder TEXTS has to become the same ids, and each next
 * token has to have the same log-probability to CLOSE. Fast precision is measured against exact on the same texts
 * and must stay near it. CHATS and TEXTS: how many of each are run (all by default). The last line of standard
 * output has a hash of all exact logits of the texts: equal for models that compute the same bits.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/model/engine.h"
#include "core/text/chat.h"
#include "core/text/vocab.h"

#define CLOSE 2e-3        /* of log-probabilities */
#define SMALL_MARGIN 0.01 /* between the two best logits: below it the best may be the other */
#define FAST_KLD 0.01     /* mean, of fast against exact precision */
#define FAST_TOP 0.90     /* share of positions with the same top token */
#define CONTEXT 600

static int failures;

static void die(const char *what)
{
    fprintf(stderr, "smollm2: %s\n", what);
    exit(1);
}

#define FAIL(...)                                                                                                      \
    do {                                                                                                               \
        printf("FAIL: " __VA_ARGS__);                                                                                  \
        putchar('\n');                                                                                                 \
        failures++;                                                                                                    \
    } while (0)

struct bench { /* what one run has at hand */
    struct qs_model *model;
    struct qs_vocab *vocab;
    struct qs_chat_template *form;
    struct qs_pool *pool;
    struct qs_engine *engine[2]; /* by precision */
    struct qs_session *session[2];
    size_t n_vocab;
    const char *texts;
    struct qs_hash *hash;
};

/* ---- what the model says ---- */

static size_t best_of(const float *logit, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (logit[i] > logit[best])
            best = i;
    return best;
}

static double log_sum(const float *logit, size_t n)
{
    const double top = (double)logit[best_of(logit, n)];
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)logit[i] - top);
    return top + log(sum);
}

/* KL divergence of q from p, both logits. */
static double divergence(const float *p, const float *q, size_t n)
{
    const double lp = log_sum(p, n), lq = log_sum(q, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double a = (double)p[i] - lp;
        sum += exp(a) * (a - ((double)q[i] - lq));
    }
    return sum;
}

/* Logits of the last n - from tokens; qs_free them. */
static float *feed(struct bench *b, enum qs_precision how, const int32_t *id, size_t n, size_t from)
{
    struct qs_err e = QS_ERR_INIT;
    float *out = qs_malloc((n - from) * b->n_vocab * sizeof *out);
    if (!out || qs_session_feed(b->session[how], id, n, from, out, &e))
        die(out ? e.msg : "not enough memory for logits");
    return out;
}

static bool same_ids(const char *what, const struct qs_json *want, const struct qs_tokens *have, size_t n)
{
    if (have->n != n)
        FAIL("%s: %zu ids, not %zu", what, have->n, n);
    for (size_t i = 0; i < n && i < have->n; i++)
        if (qs_json_int(qs_json_at(want, i), -1) != have->id[i]) {
            FAIL("%s: id %zu is %d, not %d", what, i, (int)have->id[i], (int)qs_json_int(qs_json_at(want, i), -1));
            return false;
        }
    return have->n == n;
}

/* ---- one chat ---- */

static void chat_ids(struct bench *b, const char *prompt, struct qs_tokens *out)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_str text = QS_STR_INIT, bos = QS_STR_INIT, eos = QS_STR_INIT;
    const struct qs_chat_message message = { "user", prompt };
    qs_vocab_piece(b->vocab, qs_vocab_special(b->vocab, QS_SPECIAL_BOS), true, &bos);
    qs_vocab_piece(b->vocab, qs_vocab_special(b->vocab, QS_SPECIAL_EOS), true, &eos);
    const struct qs_chat_args args = { .messages = &message, .n_messages = 1, .add_generation_prompt = true,
                                       .bos_token = bos.data, .eos_token = eos.data };
    if (qs_chat_render(b->form, &args, &text, &e) ||
        qs_tokenize(b->vocab, text.data, text.len, QS_TOKENIZE_PARSE_SPECIAL, out, &e))
        die(e.msg);
    qs_str_free(&text);
    qs_str_free(&bos);
    qs_str_free(&eos);
}

/* One greedy step; returns whether the golden's token is the best. */
static bool step_agrees(const char *prompt, size_t step, const float *logit, size_t n, size_t want, double margin)
{
    const size_t top = best_of(logit, n);
    float second = -INFINITY;
    for (size_t i = 0; i < n; i++)
        second = i != top && logit[i] > second ? logit[i] : second;
    const double ours = (double)(logit[top] - second);
    if (top == want && fabs(ours - margin) > 2 * CLOSE + 1e-4) /* the golden's is rounded to four places */
        FAIL("%s: token %zu is ahead by %.4f, not by %.4f", prompt, step, ours, margin);
    if (top != want && margin > SMALL_MARGIN)
        FAIL("%s: token %zu is %zu, not %zu (margin %.4f)", prompt, step, top, want, margin);
    return top == want;
}

static void check_chat(struct bench *b, const struct qs_json *chat)
{
    const char *prompt = qs_json_str(qs_json_get(chat, "prompt"), "");
    const struct qs_json *want = qs_json_get(chat, "prompt_ids"), *greedy = qs_json_get(chat, "greedy_ids");
    const struct qs_json *margin = qs_json_get(chat, "margin");
    struct qs_tokens ids = { 0 };
    size_t same = 0;
    chat_ids(b, prompt, &ids);
    if (qs_json_len(want) == 0 || qs_json_len(greedy) == 0 || qs_json_len(greedy) != qs_json_len(margin))
        die("the golden is not what this program knows");
    if (!same_ids(prompt, want, &ids, qs_json_len(want))) {
        qs_tokens_free(&ids);
        return;
    }
    qs_session_keep(b->session[QS_EXACT], 0);
    float *logit = feed(b, QS_EXACT, ids.id, ids.n, ids.n - 1);
    for (size_t i = 0; i < qs_json_len(greedy); i++) {
        const int32_t id = (int32_t)qs_json_int(qs_json_at(greedy, i), -1);
        same += step_agrees(prompt, i, logit, b->n_vocab, (size_t)id, qs_json_num(qs_json_at(margin, i), 0));
        qs_free(logit);
        logit = feed(b, QS_EXACT, &id, 1, 0);
    }
    qs_free(logit);
    printf("chat: %zu ids, %zu of %zu greedy tokens: %s\n", ids.n, same, qs_json_len(greedy), prompt);
    qs_tokens_free(&ids);
}

/* ---- one text ---- */

/* Characters [first, last) of the text. */
static void text_ids(struct bench *b, const struct qs_json *text, struct qs_tokens *out)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_str path = QS_STR_INIT;
    char *data;
    size_t n, at = 0, from = 0, to = 0;
    const int64_t first = qs_json_int(qs_json_get(text, "first_char"), -1);
    const int64_t last = qs_json_int(qs_json_get(text, "last_char"), -1);
    qs_path_join(b->texts, qs_json_str(qs_json_get(text, "file"), "?"), &path);
    if (qs_file_read(path.data, 1u << 30, &data, &n, &e))
        die(e.msg);
    for (int64_t c = 0; at < n && c <= last; c++) {
        from = c == first ? at : from;
        to = at;
        for (at++; at < n && ((unsigned char)data[at] & 0xc0) == 0x80;)
            at++;
    }
    if (qs_tokenize(b->vocab, data + from, to - from, 0, out, &e))
        die(e.msg);
    qs_free(data);
    qs_str_free(&path);
}

/* Log-probability of every next token, the top token, the perplexity. logit: n - 1 rows and more. */
static void check_logits(const struct bench *b, const struct qs_json *text, const char *name,
                         const struct qs_tokens *ids, const float *logit)
{
    const struct qs_json *want = qs_json_get(text, "logprob_next"), *top = qs_json_get(text, "top");
    const size_t n = qs_json_len(want);
    double worst = 0, sum = 0;
    size_t same = 0;
    if (n == 0 || n >= ids->n + 1 || qs_json_len(top) != n)
        die("the golden is not what this program knows");
    for (size_t i = 0; i < n; i++) {
        const float *row = logit + i * b->n_vocab;
        const double lp = (double)row[ids->id[i + 1]] - log_sum(row, b->n_vocab);
        const double far = fabs(lp - qs_json_num(qs_json_at(want, i), NAN));
        const size_t best = best_of(row, b->n_vocab), theirs = (size_t)qs_json_int(qs_json_at(top, i), 0);
        sum += lp;
        worst = far > worst ? far : worst;
        if (!(far <= CLOSE))
            FAIL("%s: log-probability %zu is %.6f, %.6f away from the golden", name, i, lp, far);
        if (theirs >= b->n_vocab || (double)(row[best] - row[theirs]) > SMALL_MARGIN)
            FAIL("%s: the top token at %zu is %zu, not %zu", name, i, best, theirs);
        same += best == theirs;
    }
    const double ppl = exp(-sum / (double)n), ppl_want = qs_json_num(qs_json_get(text, "perplexity"), 0);
    if (!(fabs(ppl / ppl_want - 1) < 1e-4))
        FAIL("%s: perplexity %.5f, not %.5f", name, ppl, ppl_want);
    printf("text: %s: %zu ids, log-probabilities within %.2g, %zu of %zu top tokens, perplexity %.5f (golden %.5f)\n",
           name, ids->n, worst, same, n, ppl, ppl_want);
}

static void check_fast(const struct bench *b, const char *name, size_t n, const float *exact, const float *fast)
{
    double sum = 0, worst = 0;
    size_t same = 0;
    for (size_t i = 0; i < n; i++) {
        const float *p = exact + i * b->n_vocab, *q = fast + i * b->n_vocab;
        const double kld = divergence(p, q, b->n_vocab);
        sum += kld;
        worst = kld > worst ? kld : worst;
        same += best_of(p, b->n_vocab) == best_of(q, b->n_vocab);
    }
    const double mean = sum / (double)n, share = (double)same / (double)n;
    printf("fast: %s: mean KLD against exact %.6f (largest %.4f), same top token %.1f %%\n", name, mean, worst,
           100 * share);
    if (!(mean < FAST_KLD) || share < FAST_TOP)
        FAIL("%s: fast precision is too far from exact", name);
}

static void check_text(struct bench *b, const struct qs_json *text)
{
    const char *name = qs_json_str(qs_json_get(text, "file"), "?");
    const size_t n = qs_json_len(qs_json_get(text, "ids"));
    struct qs_tokens ids = { 0 };
    text_ids(b, text, &ids);
    if (ids.n > n)
        ids.n = n; /* the golden keeps the first ones */
    if (same_ids(name, qs_json_get(text, "ids"), &ids, n)) {
        qs_session_keep(b->session[QS_EXACT], 0);
        qs_session_keep(b->session[QS_FAST], 0);
        float *exact = feed(b, QS_EXACT, ids.id, n, 0), *fast = feed(b, QS_FAST, ids.id, n, 0);
        check_logits(b, text, name, &ids, exact);
        check_fast(b, name, n, exact, fast);
        qs_hash_add(b->hash, exact, n * b->n_vocab * sizeof *exact);
        qs_free(exact);
        qs_free(fast);
    }
    qs_tokens_free(&ids);
}

/* ---- the model ---- */

static void open_all(struct bench *b, const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_vocab_data *data;
    size_t n_kv;
    if (qs_model_open(path, &b->model, &e) || qs_pool_new(0, &b->pool, &e))
        die(e.msg);
    const struct qs_kv *kv = qs_model_metadata(b->model, &n_kv);
    if (qs_vocab_data_kv(kv, n_kv, &data, &e) || qs_vocab_new(data, &b->vocab, &e))
        die(e.msg);
    const char *source = qs_vocab_source(b->vocab)->chat_template;
    if (!source)
        die("the model has no chat template");
    if (qs_chat_template_new(source, strlen(source), &b->form, &e))
        die(e.msg);
    for (int how = 0; how < 2; how++) {
        const struct qs_engine_args args = { b->pool, (enum qs_precision)how, QS_PRIO_JOB, 0, 0 };
        const struct qs_session_args sizes = { CONTEXT, QS_F32, QS_F32, false };
        if (qs_engine_new(b->model, &args, &b->engine[how], &e) ||
            qs_session_new(b->engine[how], &sizes, &b->session[how], &e))
            die(e.msg);
    }
    b->n_vocab = qs_engine_config(b->engine[0])->n_vocab;
    b->hash = qs_hash_new();
}

static void close_all(struct bench *b)
{
    for (int how = 0; how < 2; how++) {
        qs_session_free(b->session[how]);
        qs_engine_free(b->engine[how]);
    }
    qs_chat_template_free(b->form);
    qs_vocab_free(b->vocab);
    qs_model_close(b->model);
    qs_pool_free(b->pool);
}

int main(int argc, char **argv)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_json *golden;
    struct bench b = { 0 };
    char *text, hex[33];
    size_t len;
    if (argc < 4 || argc > 6) {
        fputs("usage: smollm2 MODEL GOLDEN TEXTS [CHATS [TEXTS]]\n", stderr);
        return 2;
    }
    if (qs_file_read(argv[2], 64 << 20, &text, &len, &e) || qs_json_parse(text, len, &golden, &e))
        die(e.msg);
    b.texts = argv[3];
    open_all(&b, argv[1]);
    const struct qs_json *chats = qs_json_get(golden, "chat"), *texts = qs_json_get(golden, "text");
    const size_t n_chats = argc > 4 ? strtoul(argv[4], NULL, 10) : qs_json_len(chats);
    const size_t n_texts = argc > 5 ? strtoul(argv[5], NULL, 10) : qs_json_len(texts);
    if (n_chats > qs_json_len(chats) || n_texts > qs_json_len(texts) || n_texts == 0)
        die("the golden has fewer chats or texts");
    for (size_t i = 0; i < n_chats; i++)
        check_chat(&b, qs_json_at(chats, i));
    for (size_t i = 0; i < n_texts; i++)
        check_text(&b, qs_json_at(texts, i));
    qs_key_hex(qs_hash_end(b.hash), hex);
    printf("logits %s\n", hex);
    close_all(&b);
    qs_json_free(golden);
    qs_free(text);
    return failures ? 1 : 0;
}
