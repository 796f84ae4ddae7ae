/* answer_file.c - answers and comparisons as JSON, to be kept and replayed. What follows from the tokens (text,
 * summary, where the sides part) is not stored twice but derived again. Files are hostile until checked: messages
 * name the field.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/chat/answer_internal.h"
#include "core/chat/talk_internal.h"

#define FILE_MAX_BYTES (256u << 20)
#define KIND "comparison"
#define VERSION 1
#define PLACE 64 /* bytes of "sides[1].tokens[123456].best[4].piece" */

/* ---- writing ------------------------------------------------------------------------------------------------- */

static bool add_memory(struct qs_json *to, const char *key, const struct qs_answer_memory *m)
{
    struct qs_json *o = qs_json_add_object(to, key);
    return o && qs_json_add_uint(o, "mapped", m->mapped) && qs_json_add_uint(o, "heap", m->heap) &&
           qs_json_add_uint(o, "cache", m->cache);
}

static bool add_token(struct qs_json *list, const struct qs_answer *a, const struct qs_answer_side *s, size_t i)
{
    const struct qs_answer_token *t = &s->token[i];
    struct qs_json *o = qs_json_add_object(list, NULL);
    size_t n;
    const char *text = qs_answer_text(s, i, &n);
    bool ok = o && qs_json_add_int(o, "id", t->token) && qs_json_add_str(o, "piece", qs_answer_piece(a, t->piece)) &&
              qs_json_add_strn(o, "text", text, n) && qs_json_add_num(o, "p", t->p) &&
              qs_json_add_num(o, "seconds", t->seconds);
    if (ok && !isnan(t->kld))
        ok = qs_json_add_num(o, "kld", t->kld) && qs_json_add_bool(o, "flip", t->flip);
    struct qs_json *best = ok ? qs_json_add_array(o, "best") : NULL;
    ok = best != NULL;
    for (unsigned k = 0; ok && k < t->n_best; k++) {
        struct qs_json *c = qs_json_add_object(best, NULL);
        ok = c && qs_json_add_int(c, "id", t->best[k].token) &&
             qs_json_add_str(c, "piece", qs_answer_piece(a, t->best[k].piece)) && qs_json_add_num(c, "p", t->best[k].p);
    }
    return ok;
}

static bool add_side(struct qs_json *list, const struct qs_answer *a, const struct qs_answer_side *s)
{
    struct qs_json *o = qs_json_add_object(list, NULL);
    bool ok = o && qs_json_add_str(o, "label", s->label) && qs_json_add_str(o, "precision", s->precision) &&
              qs_json_add_str(o, "stop", qs_answer_stop_name(s->stop)) &&
              qs_json_add_uint(o, "prompt_tokens", s->prompt) &&
              qs_json_add_uint(o, "reused_tokens", s->reused) && qs_json_add_uint(o, "prefilled", s->prefilled) &&
              qs_json_add_uint(o, "decoded", s->decoded) && qs_json_add_uint(o, "drafted", s->drafted) &&
              qs_json_add_uint(o, "accepted", s->accepted) &&
              qs_json_add_num(o, "prefill_seconds", s->prefill_seconds) &&
              qs_json_add_num(o, "decode_seconds", s->decode_seconds) && qs_json_add_uint(o, "used", s->used) &&
              qs_json_add_uint(o, "context", s->context) && add_memory(o, "memory", &s->memory);
    struct qs_json *tokens = ok ? qs_json_add_array(o, "tokens") : NULL;
    ok = tokens != NULL;
    for (size_t i = 0; ok && i < s->n; i++)
        ok = add_token(tokens, a, s, i);
    return ok;
}

struct qs_json *qs_answer_json(const struct qs_answer *a)
{
    struct qs_json *root = qs_json_object();
    bool ok = qs_json_add_str(root, "quantscape", KIND) && qs_json_add_int(root, "version", VERSION) &&
              qs_json_add_str(root, "mode", a->n_sides < 2 ? "single" : a->follow ? "follow" : "free") &&
              qs_json_add_str(root, "prompt", a->prompt) && qs_json_add_int(root, "seed", a->seed) &&
              qs_json_add_num(root, "seconds", a->seconds) && qs_json_add_str(root, "message", a->message) &&
              add_memory(root, "shared", &a->shared);
    struct qs_json *sides = ok ? qs_json_add_array(root, "sides") : NULL;
    ok = sides != NULL;
    for (size_t i = 0; ok && i < a->n_sides; i++)
        ok = add_side(sides, a, &a->side[i]);
    if (ok)
        return root;
    qs_json_free(root);
    return NULL;
}

int qs_answer_save(const struct qs_answer *a, const char *path, bool overwrite, struct qs_err *e)
{
    if (a->n_sides == 0)
        return qs_fail(e, QS_EINVAL, "there is no answer to save yet");
    return qs_chat_save_json(qs_answer_json(a), path, overwrite, "the comparison's file", e);
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static int bad(struct qs_err *e, const char *where, const char *key, const char *what)
{
    return qs_fail(e, QS_EFORMAT, "%s%s%s is %s", where, *where ? "." : "", key, what);
}

static int read_size(const struct qs_json *o, const char *where, const char *key, uint64_t *out, struct qs_err *e)
{
    const struct qs_json *v = qs_json_get(o, key);
    if (qs_json_type(v) != QS_JSON_INT || qs_json_int(v, -1) < 0)
        return bad(e, where, key, "no whole number from 0 on");
    *out = qs_json_uint(v, 0);
    return QS_OK;
}

static int read_count(const struct qs_json *o, const char *where, const char *key, size_t *out, struct qs_err *e)
{
    uint64_t n = 0;
    const int rc = read_size(o, where, key, &n, e);
    *out = (size_t)n;
    return rc;
}

/* A number in [0, max]. */
static int read_num(const struct qs_json *o, const char *where, const char *key, double max, double *out,
                    struct qs_err *e)
{
    const struct qs_json *v = qs_json_get(o, key);
    const enum qs_json_type t = qs_json_type(v);
    *out = qs_json_num(v, -1);
    if ((t != QS_JSON_INT && t != QS_JSON_DOUBLE) || !(*out >= 0 && *out <= max))
        return bad(e, where, key, max == 1 ? "no number from 0 to 1" : "no number from 0 on");
    return QS_OK;
}

static int read_text(const struct qs_json *o, const char *where, const char *key, const char **text, size_t *n,
                     struct qs_err *e)
{
    char what[PLACE + 32];
    snprintf(what, sizeof what, "%s%s%s", where, *where ? "." : "", key);
    return qs_chat_json_text(qs_json_get(o, key), what, text, n, e);
}

static int read_label(const struct qs_json *o, const char *where, const char *key, char *out, size_t size,
                      struct qs_err *e)
{
    const char *text;
    size_t n;
    const int rc = read_text(o, where, key, &text, &n, e);
    if (!rc && n >= size)
        return bad(e, where, key, "too long");
    if (!rc)
        memcpy(out, text, n + 1);
    return rc;
}

static int read_memory(const struct qs_json *o, const char *where, const char *key, struct qs_answer_memory *m,
                       struct qs_err *e)
{
    const struct qs_json *v = qs_json_get(o, key);
    int rc = read_size(v, where, "mapped", &m->mapped, e);
    if (!rc)
        rc = read_size(v, where, "heap", &m->heap, e);
    return rc ? rc : read_size(v, where, "cache", &m->cache, e);
}

static int read_id(const struct qs_json *o, const char *where, int32_t *out, struct qs_err *e)
{
    const int64_t id = qs_json_int(qs_json_get(o, "id"), -1);
    if (id < 0 || id > INT32_MAX)
        return bad(e, where, "id", "no token id");
    *out = (int32_t)id;
    return QS_OK;
}

static int read_piece(struct qs_answer *a, const struct qs_json *o, const char *where, uint32_t *out, struct qs_err *e)
{
    const char *text;
    size_t n;
    const int rc = read_text(o, where, "piece", &text, &n, e);
    return rc ? rc : qs_answer_add_piece(a, text, n, out, e);
}

static int read_best(struct qs_answer *a, const struct qs_json *list, const char *where, struct qs_answer_token *t,
                     struct qs_err *e)
{
    char place[PLACE + 16];
    int rc = QS_OK;
    if (qs_json_type(list) != QS_JSON_ARRAY || qs_json_len(list) > QS_ANSWER_BEST)
        return bad(e, where, "best", "no list of at most 5");
    for (t->n_best = 0; !rc && t->n_best < qs_json_len(list); t->n_best++) {
        const struct qs_json *o = qs_json_at(list, t->n_best);
        struct qs_answer_candidate *c = &t->best[t->n_best];
        snprintf(place, sizeof place, "%s.best[%u]", where, t->n_best);
        rc = read_id(o, place, &c->token, e);
        if (!rc)
            rc = read_piece(a, o, place, &c->piece, e);
        if (!rc)
            rc = read_num(o, place, "p", 1, &c->p, e);
    }
    return rc;
}

static int read_token(struct qs_answer *a, struct qs_answer_side *s, const struct qs_json *o, const char *where,
                      struct qs_err *e)
{
    struct qs_answer_token t = { .kld = (double)NAN };
    const char *text;
    size_t n;
    int rc = read_id(o, where, &t.token, e);
    if (!rc)
        rc = read_piece(a, o, where, &t.piece, e);
    if (!rc)
        rc = read_text(o, where, "text", &text, &n, e);
    if (!rc)
        rc = qs_answer_add_text(s, text, n, e);
    if (!rc)
        rc = read_num(o, where, "p", 1, &t.p, e);
    if (!rc)
        rc = read_num(o, where, "seconds", HUGE_VAL, &t.seconds, e);
    if (!rc && qs_json_get(o, "kld")) {
        rc = read_num(o, where, "kld", HUGE_VAL, &t.kld, e);
        t.flip = qs_json_bool(qs_json_get(o, "flip"), false);
    }
    if (!rc)
        rc = read_best(a, qs_json_get(o, "best"), where, &t, e);
    t.text_end = s->text_len;
    return rc ? rc : qs_answer_add_token(s, &t, e);
}

static int read_stop(const struct qs_json *o, const char *where, enum qs_answer_stop *out, struct qs_err *e)
{
    const char *name = qs_json_str(qs_json_get(o, "stop"), "");
    for (enum qs_answer_stop s = QS_STOP_END; s <= QS_STOP_FAILED; s++)
        if (strcmp(name, qs_answer_stop_name(s)) == 0) {
            *out = s;
            return QS_OK;
        }
    return bad(e, where, "stop", "no reason to stop that this program knows");
}

static int read_numbers(struct qs_answer_side *s, const struct qs_json *o, const char *where, struct qs_err *e)
{
    const struct { const char *key; size_t *to; } count[] = {
        { "prompt_tokens", &s->prompt }, { "reused_tokens", &s->reused }, { "prefilled", &s->prefilled },
        { "decoded", &s->decoded }, { "used", &s->used }, { "context", &s->context },
    };
    int rc = read_label(o, where, "label", s->label, sizeof s->label, e);
    if (!rc)
        rc = read_label(o, where, "precision", s->precision, sizeof s->precision, e);
    for (size_t i = 0; !rc && i < sizeof count / sizeof *count; i++)
        rc = read_count(o, where, count[i].key, count[i].to, e);
    if (!rc && qs_json_get(o, "drafted")) /* files of before do not have it */
        rc = read_count(o, where, "drafted", &s->drafted, e);
    if (!rc && qs_json_get(o, "accepted"))
        rc = read_count(o, where, "accepted", &s->accepted, e);
    if (!rc && s->accepted > s->drafted)
        rc = bad(e, where, "accepted", "more than was drafted");
    if (!rc)
        rc = read_num(o, where, "prefill_seconds", HUGE_VAL, &s->prefill_seconds, e);
    if (!rc)
        rc = read_num(o, where, "decode_seconds", HUGE_VAL, &s->decode_seconds, e);
    if (!rc)
        rc = read_memory(o, where, "memory", &s->memory, e);
    return rc ? rc : read_stop(o, where, &s->stop, e);
}

static int read_side(struct qs_answer *a, size_t i, const struct qs_json *o, struct qs_err *e)
{
    struct qs_answer_side *s = &a->side[i];
    char where[PLACE];
    snprintf(where, sizeof where, "sides[%zu]", i);
    int rc = read_numbers(s, o, where, e);
    const struct qs_json *list = qs_json_get(o, "tokens");
    if (!rc && qs_json_type(list) != QS_JSON_ARRAY)
        rc = bad(e, where, "tokens", "no list");
    for (size_t k = 0; !rc && k < qs_json_len(list); k++) {
        snprintf(where, sizeof where, "sides[%zu].tokens[%zu]", i, k);
        rc = read_token(a, s, qs_json_at(list, k), where, e);
        if (!rc && k && s->token[k].seconds < s->token[k - 1].seconds)
            rc = bad(e, where, "seconds", "before those of the token before it");
    }
    s->state = QS_ANSWER_ENDED;
    return rc;
}

static int read_head(struct qs_answer *a, const struct qs_json *j, struct qs_err *e)
{
    const char *prompt, *mode = qs_json_str(qs_json_get(j, "mode"), "");
    size_t n;
    int rc = read_text(j, "", "prompt", &prompt, &n, e);
    if (!rc)
        rc = qs_answer_set_prompt(a, prompt, e);
    if (!rc)
        rc = read_label(j, "", "message", a->message, sizeof a->message, e);
    if (!rc)
        rc = read_num(j, "", "seconds", HUGE_VAL, &a->seconds, e);
    if (!rc)
        rc = read_memory(j, "shared", "shared", &a->shared, e);
    a->seed = qs_json_int(qs_json_get(j, "seed"), 0);
    a->follow = strcmp(mode, "follow") == 0;
    a->n_sides = strcmp(mode, "single") == 0 ? 1 : 2;
    if (!rc && !a->follow && a->n_sides == 2 && strcmp(mode, "free") != 0)
        rc = bad(e, "", "mode", "none of single, free, follow");
    if (!rc && qs_json_len(qs_json_get(j, "sides")) != a->n_sides)
        rc = bad(e, "", "sides", "no list of as many as the mode has");
    return rc;
}

/* What the tokens say together. */
static int derive(struct qs_answer *a, struct qs_err *e)
{
    const struct qs_answer_side *s = a->side;
    for (size_t i = 0; i < s[1].n; i++) {
        if (a->follow && (i >= s[0].n || s[0].token[i].token != s[1].token[i].token))
            return qs_fail(e, QS_EFORMAT, "sides[1].tokens[%zu] does not follow side 0", i);
        qs_answer_count(a, i);
    }
    for (size_t i = 0; !a->follow && a->parted == QS_ANSWER_NONE && i < s[0].n && i < s[1].n; i++)
        if (s[0].token[i].token != s[1].token[i].token)
            a->parted = i;
    return QS_OK;
}

int qs_answer_from_json(const struct qs_json *j, struct qs_answer **out, struct qs_err *e)
{
    struct qs_answer *a = NULL;
    int rc = qs_chat_json_kind(j, KIND, VERSION, e);
    if (!rc)
        rc = qs_answer_new(&a, e);
    if (!rc)
        rc = read_head(a, j, e);
    for (size_t i = 0; !rc && i < a->n_sides; i++)
        rc = read_side(a, i, qs_json_at(qs_json_get(j, "sides"), i), e);
    if (!rc)
        rc = derive(a, e);
    if (rc) {
        qs_answer_free(a);
        return rc;
    }
    a->state = QS_ANSWER_ENDED;
    a->number = a->version = 1;
    *out = a;
    return QS_OK;
}

int qs_answer_load(const char *path, struct qs_answer **out, struct qs_err *e)
{
    struct qs_json *j = NULL;
    int rc = qs_chat_load_json(path, FILE_MAX_BYTES, &j, e);
    if (rc)
        return rc;
    rc = qs_answer_from_json(j, out, e);
    qs_json_free(j);
    if (rc)
        qs_err_prefix(e, "%s", path);
    return rc;
}
