/* chat_steps.c - makes an answer: prefill, then token by token, two sides in turn. The job's thread alone runs here;
 * what it finds goes into the answer that watchers copy.
 *
 * A side's time is that of its own feeds. The sampler sees the logits of the vocabulary's tokens (rows beyond them, of
 * padded models, are no tokens). In follow mode side 0 alone chooses.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "core/chat/chat_steps.h"
#include "core/eval/kld.h"

/* ---- getting ready ------------------------------------------------------------------------------------------- */

static int too_long(const struct qs_chat_lane *l, const struct qs_talk *talk, size_t n_ctx, struct qs_err *e)
{
    const size_t trained = qs_engine_config(l->side->engine)->n_ctx_train, n = l->prompt.n;
    const bool longer = n_ctx < trained && n < trained, earlier = talk->n > 1;
    char model[96] = "";
    if (longer)
        snprintf(model, sizeof model, " or make the context longer (the model was trained with %zu)", trained);
    else if (trained)
        snprintf(model, sizeof model, " (the model was trained with a context of %zu)", trained);
    return qs_fail(e, QS_ELIMIT, "%s: the prompt has %zu tokens, %zu more than a context of %zu leaves room for with "
                   "one token of answer. Nothing was dropped: shorten the message%s%s%s", l->side->label, n,
                   n + 1 - n_ctx, n_ctx, !earlier ? "" : longer ? ", take earlier ones back" :
                   " or take earlier ones back", longer && earlier ? "," : "", model);
}

static int copy_tokens(const struct qs_tokens *from, struct qs_tokens *to, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t i = 0; !rc && i < from->n; i++)
        rc = qs_tokens_add(to, from->id[i], e);
    return rc;
}

/* Who follows is given the very tokens of side 0, prompt and all. */
static int prepare_lane(struct qs_chat_steps *r, size_t k, size_t n_ctx, struct qs_err *e)
{
    struct qs_chat_lane *l = &r->lane[k];
    struct qs_chat *c = r->c;
    bool no_template = false;
    struct qs_sampler_settings sampler = c->talk->settings.sampler;
    const bool raw = strcmp(c->talk->settings.form, QS_TALK_FORM_NONE) == 0;
    l->side = c->side[k];
    sampler.seed += c->talk->attempt;
    l->stop = qs_side_stop_token(l->side, &c->talk->settings);
    qs_detok_init(&l->detok, qs_side_vocab(l->side), raw ? QS_DETOK_MIDDLE : 0);
    int rc = k && c->follow ? copy_tokens(&r->lane[0].prompt, &l->prompt, e)
                            : qs_side_tokens(l->side, c->talk, (int)k, &l->prompt, &no_template, e);
    if (no_template) {
        qs_chat_lock(c)->no_template = true;
        qs_chat_unlock(c);
    }
    if (!rc && l->prompt.n >= n_ctx)
        rc = too_long(l, c->talk, n_ctx, e);
    if (!rc)
        rc = qs_sampler_new(&sampler, &l->sampler, e);
    if (!rc)
        rc = qs_side_ready(l->side, &c->talk->settings, n_ctx, e);
    const size_t n = qs_engine_config(l->side->engine)->n_vocab;
    if (!rc && !(l->logits = qs_malloc(n * sizeof *l->logits)))
        rc = qs_fail_mem(e, n * sizeof *l->logits, "logits");
    return rc;
}

static void publish_ready(struct qs_chat_steps *r, const struct qs_chat_need *need)
{
    struct qs_answer *a = qs_chat_lock(r->c);
    a->state = QS_ANSWER_PREFILL;
    a->shared = need->shared;
    for (size_t k = 0; k < r->c->n; k++) {
        const struct qs_session *session = r->lane[k].side->session;
        struct qs_answer_side *s = &a->side[k];
        s->prompt = r->lane[k].prompt.n;
        s->context = qs_session_context(session);
        s->memory = need->side[k];
        s->memory.cache = qs_session_memory(session);
        snprintf(s->precision, sizeof s->precision, "%s",
                 qs_engine_precision(r->lane[k].side->engine) == QS_EXACT ? "exact" : "fast");
    }
    qs_chat_unlock(r->c);
}

static int prepare(struct qs_chat_steps *r, struct qs_err *e)
{
    struct qs_chat *c = r->c;
    struct qs_chat_need need = { 0 };
    size_t n_ctx = SIZE_MAX;
    int rc = QS_OK;
    for (size_t k = 0; k < c->n; k++) { /* what both can hold: neither is full before the other */
        const size_t room = qs_side_context(c->side[k], &c->talk->settings);
        n_ctx = room < n_ctx ? room : n_ctx;
    }
    r->n_vocab = SIZE_MAX;
    for (size_t k = 0; !rc && k < c->n; k++) {
        rc = prepare_lane(r, k, n_ctx, e);
        const size_t n =
            qs_vocab_rows(qs_side_vocab(c->side[k]), qs_engine_config(c->side[k]->engine)->n_vocab);
        r->n_vocab = n < r->n_vocab ? n : r->n_vocab;
    }
    if (!rc)
        rc = qs_chat_need(c->side, c->n, &c->talk->settings, &need, e);
    if (rc)
        return rc;
    const struct qs_tokens *a = &r->lane[0].prompt, *b = &r->lane[1].prompt;
    r->together = c->n == 2 && a->n == b->n && memcmp(a->id, b->id, a->n * sizeof *a->id) == 0;
    publish_ready(r, &need);
    return QS_OK;
}

/* ---- one token ----------------------------------------------------------------------------------------------- */

static void end_lane(struct qs_chat_steps *r, size_t k, enum qs_answer_stop why)
{
    struct qs_chat_lane *l = &r->lane[k];
    struct qs_str rest = QS_STR_INIT;
    l->done = true;
    qs_detok_end(&l->detok, &rest);
    struct qs_answer_side *s = &qs_chat_lock(r->c)->side[k];
    /* Out of memory for the rest of half a character: the answer stays without it. */
    if (rest.len && s->n && qs_answer_add_text(s, rest.data, rest.len, NULL) == QS_OK)
        s->token[s->n - 1].text_end = s->text_len;
    s->state = QS_ANSWER_ENDED;
    s->stop = why;
    qs_chat_unlock(r->c);
    qs_str_free(&rest);
}

/* Logits that no sampler can use end this side; false then. */
static bool check_logits(struct qs_chat_steps *r, size_t k)
{
    struct qs_chat_lane *l = &r->lane[k];
    l->lse = qs_logsumexp(l->logits, r->n_vocab);
    if (isfinite(l->lse))
        return true;
    size_t i = 0;
    while (i + 1 < r->n_vocab && !isnan(l->logits[i]) && !(isinf(l->logits[i]) && l->logits[i] > 0))
        i++;
    struct qs_err why = QS_ERR_INIT;
    qs_fail(&why, QS_EFORMAT, "%s computes %s after %zu tokens (the logit of token %zu): its weights are damaged, or "
            "too large for a type that they were given", l->side->label, isnan(l->logits[i]) ? "NaN" : "infinities",
            qs_speculate_length(l->ahead), i);
    if (!r->bad.code)
        r->bad = why;
    end_lane(r, k, QS_STOP_NAN);
    return false;
}

/* The text of a token as tables show it. */
static void piece_text(const struct qs_vocab *v, int32_t id, struct qs_str *out)
{
    struct qs_str raw = QS_STR_INIT;
    qs_vocab_piece(v, id, true, &raw);
    for (size_t at = 0; at < raw.len;) {
        const size_t good = qs_utf8_invalid_at(raw.data + at, raw.len - at);
        const char *zero = memchr(raw.data + at, 0, good);
        const size_t n = zero ? (size_t)(zero - raw.data) - at : good;
        qs_str_addn(out, raw.data + at, n);
        at += n;
        if (at < raw.len)
            qs_str_addf(out, "<0x%02X>", (unsigned char)raw.data[at++]);
    }
    out->failed |= raw.failed;
    qs_str_free(&raw);
}

static int add_piece(struct qs_answer *a, const struct qs_vocab *v, int32_t id, uint32_t *at, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    piece_text(v, id, &text);
    const int rc = text.failed ? qs_fail_mem(e, text.len, "the text of a token")
                               : qs_answer_add_piece(a, text.data, text.len, at, e);
    qs_str_free(&text);
    return rc;
}

/* What side 1 thinks of a place that both came to by the same tokens; nothing is known of others. */
static void compare(const struct qs_chat_steps *r, size_t k, struct qs_answer_token *t)
{
    struct qs_kld_row row;
    t->kld = (double)NAN;
    if (k == 0 || !r->together || isnan(r->lane[0].lse))
        return;
    qs_kld_row(r->lane[0].logits, r->lane[1].logits, r->n_vocab, t->token, &row);
    t->kld = row.kld;
    t->flip = row.top != row.top_base;
}

/* Everything there is to say of token `id` at this place, by side k. */
static int record(struct qs_chat_steps *r, size_t k, int32_t id, bool ends, struct qs_err *e)
{
    struct qs_chat_lane *l = &r->lane[k];
    const struct qs_vocab *v = qs_side_vocab(l->side);
    struct qs_token_chance best[QS_ANSWER_BEST];
    struct qs_answer_token t = { .token = id, .p = exp((double)l->logits[id] - l->lse) };
    struct qs_str text = QS_STR_INIT;
    t.n_best = (unsigned)qs_top_tokens(l->logits, r->n_vocab, QS_ANSWER_BEST, best);
    compare(r, k, &t);
    if (!ends)
        qs_detok_add(&l->detok, id, &text);
    struct qs_answer *a = qs_chat_lock(r->c);
    struct qs_answer_side *s = &a->side[k];
    int rc = text.failed ? qs_fail_mem(e, text.len, "the text of a token") : add_piece(a, v, id, &t.piece, e);
    for (unsigned i = 0; !rc && i < t.n_best; i++) {
        t.best[i] = (struct qs_answer_candidate){ .token = best[i].token, .p = best[i].p };
        if (best[i].token == id)
            t.best[i].piece = t.piece;
        else
            rc = add_piece(a, v, best[i].token, &t.best[i].piece, e);
    }
    if (!rc)
        rc = qs_answer_add_text(s, text.data, text.len, e);
    t.text_end = s->text_len;
    t.seconds = qs_now() - r->c->began;
    if (!rc)
        rc = qs_answer_add_token(s, &t, e);
    if (!rc && k == 1)
        qs_answer_count(a, s->n - 1);
    if (!rc)
        qs_answer_part(a);
    a->seconds = t.seconds;
    qs_chat_unlock(r->c);
    qs_str_free(&text);
    l->next = id;
    l->n++;
    return rc;
}

static bool ends(const struct qs_chat_lane *l, int32_t id)
{
    return qs_vocab_is_eog(qs_side_vocab(l->side), id) || id == l->stop;
}

static int choose(struct qs_chat_steps *r, size_t k, int32_t *id, struct qs_err *e)
{
    struct qs_chat_lane *l = &r->lane[k];
    *id = qs_sampler_pick(l->sampler, l->logits, r->n_vocab, qs_session_tokens(l->side->session),
                          qs_speculate_length(l->ahead), e);
    return *id >= 0 ? QS_OK : e ? (int)e->code : QS_EFORMAT;
}

/* Why this side ends after the token it has just been given; QS_STOP_NONE: it goes on. */
static enum qs_answer_stop reason(const struct qs_chat_steps *r, const struct qs_chat_lane *l)
{
    const size_t limit = r->c->talk->settings.max_tokens;
    if (ends(l, l->next))
        return QS_STOP_END;
    if (limit && l->n >= limit)
        return QS_STOP_LIMIT;
    return qs_speculate_length(l->ahead) >= qs_session_context(l->side->session) ? QS_STOP_CONTEXT : QS_STOP_NONE;
}

/* Of two that write for themselves: whose. */
static void say_context_full(struct qs_chat_steps *r, size_t k)
{
    const struct qs_chat_lane *l = &r->lane[k];
    struct qs_answer *a = qs_chat_lock(r->c);
    const bool one_of_two = r->c->n == 2 && !r->c->follow;
    const char *whose = a->side[!k].stop == QS_STOP_CONTEXT ? "both models" : l->side->label;
    snprintf(a->message, sizeof a->message, "%s%sthe context of %zu tokens is full: nothing was dropped. Make it "
             "longer, clear the conversation, or take messages back to go on", one_of_two ? whose : "",
             one_of_two ? ": " : "", qs_session_context(l->side->session));
    qs_chat_unlock(r->c);
}

static void end_where_due(struct qs_chat_steps *r, size_t k)
{
    const struct qs_chat_lane *l = &r->lane[k];
    const enum qs_answer_stop why = reason(r, l);
    if (why == QS_STOP_NONE)
        return;
    if (why == QS_STOP_CONTEXT)
        say_context_full(r, k);
    end_lane(r, k, why);
}

/* Free: each chooses by itself. */
static int step_free(struct qs_chat_steps *r, struct qs_err *e)
{
    const bool both = r->c->n == 2 && !r->lane[0].done && !r->lane[1].done;
    int rc = QS_OK;
    for (size_t k = 0; !rc && k < r->c->n; k++) {
        struct qs_chat_lane *l = &r->lane[k];
        int32_t id = QS_NO_TOKEN;
        if (l->done)
            continue;
        if (!check_logits(r, k)) {
            r->together = false;
            continue;
        }
        rc = choose(r, k, &id, e);
        if (!rc)
            rc = record(r, k, id, ends(l, id), e);
    }
    r->together = r->together && both && r->lane[0].next == r->lane[1].next;
    for (size_t k = 0; !rc && k < r->c->n; k++)
        if (!r->lane[k].done)
            end_where_due(r, k);
    return rc;
}

/* Follow: side 0 chooses for both. Side 1 drops out alone when it computes NaN. */
static int step_follow(struct qs_chat_steps *r, struct qs_err *e)
{
    struct qs_chat_lane *l = r->lane;
    int32_t id = QS_NO_TOKEN;
    if (!check_logits(r, 0)) {
        if (!l[1].done)
            end_lane(r, 1, QS_STOP_CANCELLED);
        return QS_OK;
    }
    if (!l[1].done)
        check_logits(r, 1);
    int rc = choose(r, 0, &id, e);
    const bool last = !rc && ends(&l[0], id);
    if (!rc)
        rc = record(r, 0, id, last, e);
    if (!rc && !l[1].done)
        rc = record(r, 1, id, last, e);
    for (size_t k = 0; !rc && k < 2; k++)
        if (!l[k].done)
            end_where_due(r, k);
    return rc;
}

static int decode(struct qs_chat_steps *r, struct qs_err *e)
{
    const size_t limit = r->c->talk->settings.max_tokens;
    int rc = QS_OK;
    qs_job_phase(r->job, "decode", "tokens", limit);
    while (!rc && !(r->lane[0].done && (r->c->n < 2 || r->lane[1].done))) {
        rc = r->c->follow ? step_follow(r, e) : step_free(r, e);
        for (size_t k = 0; !rc && k < r->c->n; k++)
            if (!r->lane[k].done)
                rc = qs_chat_feed(r, k, e);
        if (!rc)
            rc = qs_job_step(r->job, 1, e);
    }
    return rc;
}

/* ---- the whole ----------------------------------------------------------------------------------------------- */

int qs_chat_generate(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct qs_chat_steps r = { .c = ctx, .job = job };
    for (size_t k = 0; k < QS_ANSWER_SIDES; k++)
        r.lane[k].next = r.lane[k].stop = QS_NO_TOKEN;
    int rc = prepare(&r, e);
    if (!rc)
        rc = qs_chat_prefill(&r, e);
    if (!rc)
        rc = decode(&r, e);
    for (size_t k = 0; rc && k < r.c->n; k++) /* what was held back of a character belongs to what was written */
        if (r.lane[k].side && r.lane[k].n && !r.lane[k].done)
            end_lane(&r, k, rc == QS_ECANCELLED ? QS_STOP_CANCELLED : QS_STOP_FAILED);
    if (rc == QS_ECANCELLED)
        qs_chat_end(r.c, QS_STOP_CANCELLED, NULL);
    else
        qs_chat_end(r.c, QS_STOP_FAILED, rc ? e : &r.bad);
    for (size_t k = 0; k < QS_ANSWER_SIDES; k++) {
        qs_tokens_free(&r.lane[k].prompt);
        qs_sampler_free(r.lane[k].sampler);
        qs_speculate_free(r.lane[k].ahead);
        qs_free(r.lane[k].logits);
    }
    if (!rc && r.bad.code) {
        *e = r.bad;
        rc = (int)r.bad.code;
    }
    return rc;
}
