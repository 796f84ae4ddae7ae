/* answer.c - an answer as data: memory, look-ups, rates, classes of divergence, and bringing a copy up to date. */
#include "core/chat/answer.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/chat/answer_internal.h"

const char *qs_answer_stop_name(enum qs_answer_stop s)
{
    static const char *const name[] = { "none", "end", "limit", "context", "cancelled", "nan", "failed" };
    return (size_t)s < sizeof name / sizeof *name ? name[s] : "?";
}

/* ---- memory -------------------------------------------------------------------------------------------------- */

int qs_answer_new(struct qs_answer **out, struct qs_err *e)
{
    struct qs_answer *a = qs_calloc(1, sizeof *a);
    if (!a)
        return qs_fail_mem(e, sizeof *a, "an answer");
    const int rc = qs_answer_reset(a, e);
    if (rc)
        qs_answer_free(a);
    else
        *out = a;
    return rc;
}

void qs_answer_free(struct qs_answer *a)
{
    if (!a)
        return;
    for (int i = 0; i < QS_ANSWER_SIDES; i++) {
        qs_free(a->side[i].token);
        qs_free(a->side[i].text);
    }
    qs_free(a->prompt);
    qs_free(a->pieces);
    qs_free(a);
}

int qs_answer_reset(struct qs_answer *a, struct qs_err *e)
{
    struct qs_answer fresh = { .parted = QS_ANSWER_NONE, .prompt = qs_strdup(""), .pieces = a->pieces,
                               .pieces_cap = a->pieces_cap };
    bool ok = fresh.prompt && qs_grow(&fresh.pieces, &fresh.pieces_cap, 1, 1);
    for (int i = 0; ok && i < QS_ANSWER_SIDES; i++) {
        struct qs_answer_side *s = &fresh.side[i], *old = &a->side[i];
        ok = qs_grow(&old->text, &old->text_cap, 1, 1);
        *s = (struct qs_answer_side){ .token = old->token, .cap = old->cap, .text = old->text,
                                      .text_cap = old->text_cap };
    }
    a->pieces = fresh.pieces; /* grown or not, it is the only one */
    a->pieces_cap = fresh.pieces_cap;
    if (!ok) {
        qs_free(fresh.prompt);
        return qs_fail_mem(e, sizeof fresh, "an answer");
    }
    for (int i = 0; i < QS_ANSWER_SIDES; i++)
        fresh.side[i].text[0] = 0;
    fresh.pieces[0] = 0; /* offset 0 is the empty text */
    fresh.pieces_len = 1;
    fresh.sum.mean_kld = fresh.sum.max_kld = (double)NAN;
    qs_free(a->prompt);
    fresh.number = a->number;
    fresh.version = a->version;
    *a = fresh;
    return QS_OK;
}

int qs_answer_set_prompt(struct qs_answer *a, const char *text, struct qs_err *e)
{
    char *copy = qs_strdup(text);
    if (!copy)
        return qs_fail_mem(e, strlen(text), "the prompt");
    qs_free(a->prompt);
    a->prompt = copy;
    return QS_OK;
}

int qs_answer_add_piece(struct qs_answer *a, const char *text, size_t n, uint32_t *at, struct qs_err *e)
{
    if (a->pieces_len + n + 1 > UINT32_MAX)
        return qs_fail(e, QS_ELIMIT, "the answer has more token texts than can be kept");
    if (!qs_grow(&a->pieces, &a->pieces_cap, a->pieces_len + n + 1, 1))
        return qs_fail_mem(e, n + 1, "the text of a token");
    *at = (uint32_t)a->pieces_len;
    memcpy(a->pieces + a->pieces_len, text, n);
    a->pieces[a->pieces_len + n] = 0;
    a->pieces_len += n + 1;
    return QS_OK;
}

int qs_answer_add_text(struct qs_answer_side *s, const char *text, size_t n, struct qs_err *e)
{
    if (!qs_grow(&s->text, &s->text_cap, s->text_len + n + 1, 1))
        return qs_fail_mem(e, n + 1, "the text of an answer");
    if (n)
        memcpy(s->text + s->text_len, text, n);
    s->text_len += n;
    s->text[s->text_len] = 0;
    return QS_OK;
}

int qs_answer_add_token(struct qs_answer_side *s, const struct qs_answer_token *t, struct qs_err *e)
{
    if (!qs_grow(&s->token, &s->cap, s->n + 1, sizeof *s->token))
        return qs_fail_mem(e, sizeof *t, "a token of an answer");
    s->token[s->n++] = *t;
    return QS_OK;
}

/* ---- bringing a copy up to date ------------------------------------------------------------------------------ */

/* What only grows is copied from where the copy ends; the last token again, since the end of an answer may give it the
 * rest of a character. */
static bool make_room(const struct qs_answer *from, struct qs_answer *to)
{
    bool ok = qs_grow(&to->pieces, &to->pieces_cap, from->pieces_len + 1, 1);
    for (int i = 0; ok && i < QS_ANSWER_SIDES; i++) {
        const struct qs_answer_side *f = &from->side[i];
        struct qs_answer_side *t = &to->side[i];
        ok = qs_grow(&t->text, &t->text_cap, f->text_len + 1, 1) &&
             qs_grow(&t->token, &t->cap, f->n + 1, sizeof *t->token);
    }
    return ok;
}

static void update_side(const struct qs_answer_side *from, struct qs_answer_side *to)
{
    struct qs_answer_side old = *to;
    const size_t had = old.n ? old.n - 1 : 0;
    if (from->n > had)
        memcpy(old.token + had, from->token + had, (from->n - had) * sizeof *old.token);
    memcpy(old.text + old.text_len, from->text + old.text_len, from->text_len + 1 - old.text_len);
    *to = *from;
    to->token = old.token;
    to->cap = old.cap;
    to->text = old.text;
    to->text_cap = old.text_cap;
}

int qs_answer_update(const struct qs_answer *from, struct qs_answer *to, struct qs_err *e)
{
    if (to->number == from->number && to->version == from->version)
        return QS_OK;
    const bool other = to->number != from->number;
    char *prompt = other ? qs_strdup(from->prompt) : to->prompt;
    if (!prompt || !make_room(from, to)) {
        if (other)
            qs_free(prompt);
        return qs_fail_mem(e, from->pieces_len + from->side[0].text_len, "a copy of an answer");
    }
    if (other) {
        qs_free(to->prompt);
        to->pieces_len = 0;
        for (int i = 0; i < QS_ANSWER_SIDES; i++)
            to->side[i].n = to->side[i].text_len = 0;
    }
    struct qs_answer old = *to;
    memcpy(old.pieces + old.pieces_len, from->pieces + old.pieces_len, from->pieces_len - old.pieces_len);
    for (int i = 0; i < QS_ANSWER_SIDES; i++)
        update_side(&from->side[i], &old.side[i]);
    *to = *from;
    memcpy(to->side, old.side, sizeof to->side);
    to->prompt = prompt;
    to->pieces = old.pieces;
    to->pieces_cap = old.pieces_cap;
    return QS_OK;
}

/* What a fresh one becomes when it is brought up to date. */
int qs_answer_copy(const struct qs_answer *from, struct qs_answer **out, struct qs_err *e)
{
    struct qs_answer *copy = NULL;
    int rc = qs_answer_new(&copy, e);
    if (rc)
        return rc;
    copy->number = from->number + 1; /* another one, in any case */
    rc = qs_answer_update(from, copy, e);
    if (rc)
        qs_answer_free(copy);
    else
        *out = copy;
    return rc;
}

/* ---- looking ------------------------------------------------------------------------------------------------- */

const char *qs_answer_piece(const struct qs_answer *a, uint32_t piece)
{
    return piece < a->pieces_len ? a->pieces + piece : "";
}

const char *qs_answer_text(const struct qs_answer_side *s, size_t i, size_t *n)
{
    const size_t from = i < s->n && i > 0 ? s->token[i - 1].text_end : 0;
    *n = i < s->n ? s->token[i].text_end - from : 0;
    return s->text + from;
}

size_t qs_answer_at(const struct qs_answer_side *s, size_t at)
{
    size_t lo = 0, hi = s->n; /* the first token that ends behind `at` */
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (s->token[mid].text_end > at)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo < s->n ? lo : QS_ANSWER_NONE;
}

static double rate(size_t n, double seconds)
{
    return n && seconds > 0 ? (double)n / seconds : (double)NAN;
}

double qs_answer_prefill_rate(const struct qs_answer_side *s)
{
    return rate(s->prefilled, s->prefill_seconds);
}

double qs_answer_decode_rate(const struct qs_answer_side *s)
{
    return rate(s->decoded, s->decode_seconds);
}

double qs_answer_acceptance(const struct qs_answer_side *s)
{
    return s->drafted ? (double)s->accepted / (double)s->drafted : (double)NAN;
}

/* ---- divergence ---------------------------------------------------------------------------------------------- */

static const double class_from[QS_DIVERGENCE_CLASSES] = { 0, 0.001, 0.01, 0.1, 1 };

int qs_divergence_class(double kld)
{
    if (isnan(kld))
        return -1;
    int c = QS_DIVERGENCE_CLASSES - 1;
    while (c > 0 && kld < class_from[c])
        c--;
    return c;
}

double qs_divergence_from(int c)
{
    return c > 0 && c < QS_DIVERGENCE_CLASSES ? class_from[c] : 0;
}

char qs_divergence_mark(int c)
{
    static const char mark[QS_DIVERGENCE_CLASSES] = { ' ', '.', ':', '*', '#' };
    return c >= 0 && c < QS_DIVERGENCE_CLASSES ? mark[c] : 0;
}

void qs_answer_count(struct qs_answer *a, size_t i)
{
    const struct qs_answer_token *t = &a->side[1].token[i];
    struct qs_answer_summary *s = &a->sum;
    if (isnan(t->kld))
        return;
    s->mean_kld = s->n ? s->mean_kld + (t->kld - s->mean_kld) / (double)(s->n + 1) : t->kld;
    if (!s->n || t->kld > s->max_kld) {
        s->max_kld = t->kld;
        s->max_at = i;
    }
    s->n++;
    s->same_top += !t->flip;
}

void qs_answer_part(struct qs_answer *a)
{
    const struct qs_answer_side *s = a->side;
    const size_t n = s[0].n < s[1].n ? s[0].n : s[1].n;
    if (a->n_sides < 2 || a->follow || a->parted != QS_ANSWER_NONE || n == 0)
        return;
    /* All before were looked at when they came; both sides grow by one token at most between two looks. */
    if (s[0].token[n - 1].token != s[1].token[n - 1].token)
        a->parted = n - 1;
}
