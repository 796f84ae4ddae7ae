/* corpus.c - from files with weights to windows to fit and windows held out. Owns tokens, mix and warnings; refuses
 * arguments that make no sense, a file given twice, and text that is not enough for one window.
 */
#include "core/calib/corpus.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/calib/corpus_internal.h"
#include "core/eval/text.h"

#define WINDOW 512
#define WINDOWS 160
#define HELD_OUT 0.1
#define SOURCES_MAX 1000
#define VERSION 1 /* of the way windows are made: part of the key */

/* While it is made. */
struct making {
    const struct qs_corpus_args *a;
    struct qs_corpus_how how;
    struct qs_corpus *c;
    struct qs_eval_text evaluation; /* data NULL: unknown */
    struct qs_tokens *token;        /* per source */
    struct qs_key *key;             /* of the source's bytes */
    size_t *have;                   /* windows it could give */
    struct qs_corpus_pick *pick;
    size_t n, repeated; /* windows; those left out since others say the same */
};

/* ---- arguments ---- */

static int check_sources(const struct qs_corpus_args *a, struct qs_err *e)
{
    if (a->n_sources == 0)
        return qs_fail(e, QS_EINVAL, "no text to calibrate on was given");
    if (a->n_sources > SOURCES_MAX)
        return qs_fail(e, QS_ELIMIT, "%zu calibration texts are too many (at most %d)", a->n_sources, SOURCES_MAX);
    for (size_t i = 0; i < a->n_sources; i++) {
        struct qs_file_stat st, other;
        const double w = a->source[i].weight;
        if (!(w > 0) || !isfinite(w))
            return qs_fail(e, QS_EINVAL, "%s: its weight is %g, which has to be larger than 0", a->source[i].path, w);
        int rc = qs_file_stat(a->source[i].path, &st, e);
        for (size_t k = 0; rc == QS_OK && k < i; k++)
            if (qs_file_stat(a->source[k].path, &other, NULL) == QS_OK && other.dev == st.dev && other.ino == st.ino)
                rc = qs_fail(e, QS_EINVAL, "%s is given twice: give it a larger weight instead", a->source[i].path);
        if (rc != QS_OK)
            return rc;
    }
    return QS_OK;
}

static int check_args(const struct qs_corpus_args *a, struct qs_corpus *c, struct qs_err *e)
{
    const size_t most = a->model_ctx ? a->model_ctx : SIZE_MAX;
    c->n_ctx = a->n_ctx ? a->n_ctx : most < WINDOW ? most : WINDOW;
    if (c->n_ctx > most)
        return qs_fail(e, QS_EINVAL, "windows of %zu tokens are longer than the model's context of %zu", c->n_ctx,
                       most);
    if (c->n_ctx < 2 || c->n_ctx > INT32_MAX)
        return qs_fail(e, QS_EINVAL, "a window of %zu token%s cannot be calibrated on", c->n_ctx,
                       c->n_ctx == 1 ? "" : "s");
    if (isnan(a->held_out) || a->held_out >= 1)
        return qs_fail(e, QS_EINVAL, "a held-out share of %g makes no sense: from 0 to less than 1", a->held_out);
    return check_sources(a, e);
}

/* ---- reading ---- */

/* The text that will be measured on, to be compared with; that it cannot be read is no reason to stop. */
static int read_evaluation(struct making *m, struct qs_err *e)
{
    struct qs_err why = QS_ERR_INIT;
    if (!m->a->evaluation)
        return QS_OK;
    const int rc = qs_eval_text_read(m->a->evaluation, 0, &m->evaluation, &why);
    if (rc == QS_OK)
        return QS_OK;
    return rc == QS_ENOMEM ? qs_fail(e, rc, "%s", why.msg)
                           : qs_corpus_warn(m->c, e, "not compared with the evaluation text: %s", why.msg);
}

static int read_source(struct making *m, size_t i, struct qs_err *e)
{
    const char *path = m->a->source[i].path;
    struct qs_corpus_mix *mix = &m->c->mix[i];
    struct qs_corpus_read r;
    char *data;
    size_t n;
    int rc = qs_file_read(path, QS_EVAL_TEXT_MAX, &data, &n, e);
    if (rc != QS_OK)
        return rc;
    m->key[i] = qs_hash_bytes(data, n);
    rc = qs_corpus_read(path, data, n, &m->how, &r, e);
    if (rc == QS_OK) {
        m->have[i] = r.token.n / m->c->n_ctx;
        *mix = (struct qs_corpus_mix){ qs_strdup(path), r.kind,     m->a->source[i].weight, 0, n, r.token.n, 0,
                                       r.bad,           r.first_bad };
        rc = mix->path ? qs_corpus_warn_read(m->c, path, &r, e) : qs_fail_mem(e, strlen(path), "a file name");
        if (rc == QS_OK && m->evaluation.data)
            rc = qs_corpus_warn_overlap(m->c, path, &r, m->a->evaluation, m->evaluation.data, m->evaluation.n, e);
        m->token[i] = r.token;
        r.token = (struct qs_tokens){ 0 };
        qs_corpus_read_free(&r);
    }
    qs_free(data);
    return rc;
}

static int read_sources(struct making *m, struct qs_err *e)
{
    const struct qs_corpus_args *a = m->a;
    size_t all = 0, most = 0;
    m->c->mix = qs_calloc(a->n_sources, sizeof *m->c->mix);
    m->token = qs_calloc(a->n_sources, sizeof *m->token);
    m->key = qs_calloc(a->n_sources, sizeof *m->key);
    m->have = qs_calloc(a->n_sources, sizeof *m->have);
    if (!m->c->mix || !m->token || !m->key || !m->have)
        return qs_fail_mem(e, a->n_sources * sizeof *m->c->mix, "the sources of a text");
    m->c->n_mix = a->n_sources;
    int rc = read_evaluation(m, e);
    for (size_t i = 0; rc == QS_OK && i < a->n_sources; i++) {
        rc = read_source(m, i, e);
        all += m->have[i];
        most = m->token[i].n > m->token[most].n ? i : most;
    }
    if (rc == QS_OK && all == 0)
        rc = qs_fail(e, QS_EINVAL,
                     "%s has %zu tokens, less than one window of %zu: more text is needed, or shorter windows",
                     a->source[most].path, m->token[most].n, m->c->n_ctx);
    return rc;
}

/* ---- windows ---- */

static void copy_window(const struct making *m, const struct qs_corpus_pick *p, int32_t *to)
{
    const size_t n = m->c->n_ctx;
    memcpy(to, m->token[p->source].id + p->at * n, n * sizeof *to);
    if (m->how.bos && qs_vocab_adds_bos(m->how.v)) /* in the place of a token, as llama.cpp's tools do */
        to[0] = qs_vocab_special(m->how.v, QS_SPECIAL_BOS);
}

struct said {
    struct qs_key key;
    size_t pick;
};

static int by_key(const void *a, const void *b)
{
    const struct said *x = a, *y = b;
    if (x->key.hi != y->key.hi)
        return x->key.hi < y->key.hi ? -1 : 1;
    if (x->key.lo != y->key.lo)
        return x->key.lo < y->key.lo ? -1 : 1;
    return (x->pick > y->pick) - (x->pick < y->pick);
}

/* Of windows that say the same one is kept: none may stand in both parts. */
static int leave_out_repeated(struct making *m, struct qs_err *e)
{
    struct said *s = qs_calloc(m->n, sizeof *s);
    int32_t *window = qs_calloc(m->c->n_ctx, sizeof *window);
    bool *gone = qs_calloc(m->n, sizeof *gone);
    const int rc = s && window && gone ? QS_OK : qs_fail_mem(e, m->n * sizeof *s, "the windows of a text");
    for (size_t i = 0; rc == QS_OK && i < m->n; i++) {
        copy_window(m, &m->pick[i], window);
        s[i] = (struct said){ qs_hash_bytes(window, m->c->n_ctx * sizeof *window), i };
    }
    if (rc == QS_OK) {
        qsort(s, m->n, sizeof *s, by_key);
        for (size_t i = 1; i < m->n; i++)
            gone[s[i].pick] = qs_key_equal(s[i].key, s[i - 1].key);
        size_t kept = 0;
        for (size_t i = 0; i < m->n; i++)
            if (!gone[i])
                m->pick[kept++] = m->pick[i];
        m->repeated = m->n - kept;
        m->n = kept;
    }
    qs_free(s);
    qs_free(window);
    qs_free(gone);
    return rc;
}

static int take_windows(struct making *m, struct qs_err *e)
{
    const struct qs_corpus_args *a = m->a;
    struct qs_corpus *c = m->c;
    const double share = a->held_out < 0 ? HELD_OUT : a->held_out;
    int rc = qs_corpus_draw(a->source, m->have, a->n_sources, a->n_windows ? a->n_windows : WINDOWS, a->seed, &m->pick,
                            &m->n, e);
    if (rc == QS_OK)
        rc = leave_out_repeated(m, e);
    if (rc != QS_OK)
        return rc;
    c->n_held = qs_corpus_part(m->pick, m->n, share, a->seed);
    c->n_fit = m->n - c->n_held;
    c->token = qs_calloc(m->n, c->n_ctx * sizeof *c->token);
    c->origin = qs_calloc(m->n, sizeof *c->origin);
    if (!c->token || !c->origin)
        return qs_fail_mem(e, m->n * c->n_ctx * sizeof *c->token, "the windows of a text");
    for (size_t i = 0; i < m->n; i++) {
        copy_window(m, &m->pick[i], c->token + i * c->n_ctx);
        c->origin[i] = m->pick[i].source;
        c->mix[c->origin[i]].windows++;
    }
    for (size_t i = 0; i < c->n_mix; i++)
        c->mix[i].share = (double)c->mix[i].windows / (double)m->n;
    return QS_OK;
}

/* ---- key ---- */

static uint64_t bits(double x)
{
    uint64_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}

static int make_key(struct making *m, struct qs_err *e)
{
    struct qs_corpus *c = m->c;
    const uint64_t args[] = { VERSION,    c->n_ctx,      c->n_fit,  c->n_held,
                              m->a->seed, m->a->special, m->a->bos, m->a->n_sources };
    struct qs_hash *h = qs_hash_new();
    if (!h)
        return qs_fail_mem(e, 0, "a key");
    qs_hash_add(h, args, sizeof args);
    for (size_t i = 0; i < c->n_mix; i++) {
        const uint64_t source[] = { m->key[i].lo, m->key[i].hi, bits(c->mix[i].weight), c->mix[i].windows };
        qs_hash_add(h, source, sizeof source);
        qs_hash_add(h, c->mix[i].kind, strlen(c->mix[i].kind));
    }
    qs_hash_add(h, c->origin, m->n * sizeof *c->origin);
    qs_hash_add(h, c->token, m->n * c->n_ctx * sizeof *c->token);
    c->key = qs_hash_end(h);
    return QS_OK;
}

/* ---- the whole ---- */

static void end_making(struct making *m)
{
    for (size_t i = 0; m->token && i < m->a->n_sources; i++)
        qs_tokens_free(&m->token[i]);
    qs_free(m->token);
    qs_free(m->key);
    qs_free(m->have);
    qs_free(m->pick);
    qs_eval_text_free(&m->evaluation);
}

int qs_corpus_open(const struct qs_corpus_args *a, const struct qs_vocab *v, const struct qs_chat_template *chat,
                   struct qs_corpus **out, struct qs_err *e)
{
    struct making m = { .a = a, .how = { v, chat, a->special, a->bos } };
    *out = NULL;
    m.c = qs_calloc(1, sizeof *m.c);
    if (!m.c)
        return qs_fail_mem(e, sizeof *m.c, "a calibration text");
    int rc = check_args(a, m.c, e);
    if (rc == QS_OK)
        rc = read_sources(&m, e);
    if (rc == QS_OK)
        rc = take_windows(&m, e);
    if (rc == QS_OK)
        rc = make_key(&m, e);
    if (rc == QS_OK)
        rc = qs_corpus_warn_mix(m.c, a, m.repeated, e);
    end_making(&m);
    if (rc != QS_OK)
        qs_corpus_free(m.c);
    else
        *out = m.c;
    return rc;
}

void qs_corpus_name(const struct qs_corpus *c, struct qs_str *out)
{
    for (size_t i = 0; i < c->n_mix; i++)
        qs_str_addf(out, "%s%s %.0f%%", i ? ", " : "", qs_path_base(c->mix[i].path), 100 * c->mix[i].share);
}

void qs_corpus_free(struct qs_corpus *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_mix; i++)
        qs_free(c->mix[i].path);
    for (size_t i = 0; i < c->n_warnings; i++)
        qs_free(c->warning[i]);
    qs_free(c->mix);
    qs_free(c->token);
    qs_free(c->origin);
    qs_free(c->warning);
    qs_free(c);
}
