/* fit_budget.c - what a person says about size, as bytes for the tensors.
 *
 * Three ways: the size of the file (its header counts), bits per weight (tensors alone), or memory to run in (the KV
 * cache of a context and working memory count). Refuses what it does not understand word by word. Any thread; reads
 * headers only.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/mem.h"
#include "base/str.h"
#include "core/calib/fit_internal.h"
#include "core/model/need.h"
#include "core/quant/writer.h"

#define MORE_KEYS                                                                                                      \
    8192 /* bytes of metadata for the importance matrix, the calibration, a recipe's options and comments */
#define PIN_WORDS 24       /* of a line of a recipe that pins a tensor, beside its name */
#define WORK_TOKENS 512    /* that go through the model together */
#define DEFAULT_CONTEXT 4096
#define WORDS 24
#define UNITLESS 65536     /* a number below, without a unit, is no size in bytes */

static const char how_to[] = "write it like 4.2GiB, 900 MiB, 4.5 bpw, or fits in 8 GiB with 8k context";

uint64_t qs_fit_padded(const struct qs_model *m, uint64_t bytes)
{
    const uint64_t align = qs_model_alignment(m), over = bytes % align;
    return over ? bytes + align - over : bytes;
}

/* ---- what is not weights ------------------------------------------------------------------------------------- */

/* A file tells the recipe it was made by: every tensor may have a pin. And a calibration names each one's type. */
static uint64_t recipe_bytes(const struct qs_model *m)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < m->n_tensors; i++)
        if (qs_preset_settable(m, &m->tensor[i]))
            bytes += 2 * (strlen(m->tensor[i].name) + PIN_WORDS);
    return bytes;
}

/* Of the file that would be written: everything but the tensors, at most. */
static int header_bytes(const struct qs_model *m, uint64_t *out, struct qs_err *e)
{
    const struct qs_plan_args args = { .foretell = true };
    const struct qs_writer_args write = { .path = NULL };
    struct qs_writer_forecast f;
    struct qs_recipe *r = NULL;
    struct qs_plan *p = NULL;
    int rc = qs_recipe_new("Q8_0", &r, e);
    if (!rc)
        rc = qs_plan_make(m, r, &args, &p, e);
    if (!rc)
        rc = qs_writer_forecast(p, &write, 1, &f, e);
    if (!rc) {
        uint64_t tensors = 0;
        for (size_t i = 0; i < p->n; i++)
            tensors += qs_fit_padded(m, p->enc[i].bytes);
        *out = (f.bytes > tensors ? f.bytes - tensors : 0) + recipe_bytes(m) + MORE_KEYS;
    }
    qs_plan_free(p);
    qs_recipe_free(r);
    return rc;
}

/* Rows of logits, of the feed-forward part and of hidden states, in single precision. */
static uint64_t work_bytes(const struct qs_model *m)
{
    const struct qs_hparams *h = &m->hp;
    return WORK_TOKENS * sizeof(float) * (h->n_vocab + 2 * h->n_ff + 4 * h->n_embd);
}

static int subtract(struct qs_budget *b, uint64_t all, const char *text, struct qs_err *e)
{
    char have[24], need[24];
    if (b->kv + b->overhead < all) {
        b->bytes = all - b->kv - b->overhead;
        return QS_OK;
    }
    return qs_fail(e, QS_ELIMIT, "'%s': nothing is left for weights: %s of %s go to %s", text,
                   qs_fmt_bytes(need, sizeof need, b->kv + b->overhead), qs_fmt_bytes(have, sizeof have, all),
                   b->kv ? "the KV cache and working memory" : "the file's header");
}

/* ---- words --------------------------------------------------------------------------------------------------- */

struct words { char *copy; char *w[WORDS]; size_t n; };

/* Blanks, commas part words; lower case. */
static int cut(const char *text, struct words *x, struct qs_err *e)
{
    *x = (struct words){ .copy = qs_strdup(text) };
    if (!x->copy)
        return qs_fail_mem(e, strlen(text), "the budget");
    for (char *p = x->copy; *p; p++)
        *p = *p == ',' || *p == '\t' ? ' ' : qs_ascii_lower(*p);
    char *save;
    for (char *p = strtok_r(x->copy, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
        if (x->n == WORDS)
            return qs_fail(e, QS_EINVAL, "'%.60s...' has too many words for a budget; %s", text, how_to);
        x->w[x->n++] = p;
    }
    return QS_OK;
}

static bool is(const struct words *x, size_t i, const char *word)
{
    return i < x->n && strcmp(x->w[i], word) == 0;
}

/* A positive number, all of the word but `unit` behind it. */
static bool number(const char *word, const char *unit, double *out)
{
    char *end;
    if (!(*word >= '0' && *word <= '9') && *word != '.')
        return false;
    *out = strtod(word, &end);
    return strcmp(end, unit) == 0 && isfinite(*out) && *out > 0;
}

/* "4.2gib", or "4.2" "gib": how many words; 0: no size. */
static size_t size_words(const struct words *x, size_t at, uint64_t *out)
{
    char two[64];
    unsigned long long bytes = 0;
    if (at >= x->n)
        return 0;
    if (at + 1 < x->n && snprintf(two, sizeof two, "%s%s", x->w[at], x->w[at + 1]) < (int)sizeof two &&
        !(x->w[at + 1][0] >= '0' && x->w[at + 1][0] <= '9') && qs_parse_bytes(two, &bytes, NULL) == QS_OK) {
        *out = bytes;
        return 2;
    }
    const int rc = qs_parse_bytes(x->w[at], &bytes, NULL);
    *out = bytes;
    return rc ? 0 : 1;
}

/* ---- the three ways ------------------------------------------------------------------------------------------ */

/* "bpw 4.5", "4.5 bpw", "4.5bpw". False: it is none of them. */
static bool find_bpw(const struct words *x, double *bpw)
{
    return (x->n == 2 && is(x, 0, "bpw") && number(x->w[1], "", bpw)) ||
           (x->n == 2 && is(x, 1, "bpw") && number(x->w[0], "", bpw)) || (x->n == 1 && number(x->w[0], "bpw", bpw));
}

static int by_bpw(double bpw, const struct qs_model *m, struct qs_budget *b, const char *text, struct qs_err *e)
{
    if (!(bpw <= 64))
        return qs_fail(e, QS_EINVAL, "'%s': no type has so many bits per weight", text);
    b->bytes = (uint64_t)(bpw * (double)m->n_weights / 8);
    (void)snprintf(b->text, sizeof b->text, "%.4g bits per weight, tensors alone", bpw);
    return QS_OK;
}

static int by_file(uint64_t all, const struct qs_model *m, struct qs_budget *b, const char *text, struct qs_err *e)
{
    char size[24], head[24];
    int rc = header_bytes(m, &b->overhead, e);
    if (!rc)
        rc = subtract(b, all, text, e);
    (void)snprintf(b->text, sizeof b->text, "a file of %s, of which %s are its header",
                   qs_fmt_bytes(size, sizeof size, all), qs_fmt_bytes(head, sizeof head, b->overhead));
    return rc;
}

struct run_in { uint64_t all, context; int cache; };

static int read_context(const char *word, uint64_t *out)
{
    double v;
    if (number(word, "k", &v) && v <= 1 << 20)
        *out = (uint64_t)(v * 1024);
    else if (number(word, "", &v) && v <= 1 << 30 && v >= 1)
        *out = (uint64_t)v;
    else
        return QS_EINVAL;
    return QS_OK;
}

/* What stands behind the size: "with 8k context", "q8_0 cache", in any order. */
static int read_rest(const struct words *x, size_t i, struct run_in *in, struct qs_err *e)
{
    for (; i < x->n; i++) {
        const char *w = x->w[i];
        const struct qs_format *f = qs_format_by_name(w);
        if (is(x, i, "with") || is(x, i, "and") || is(x, i, "of") || is(x, i, "memory") || is(x, i, "a") ||
            is(x, i, "in") || is(x, i, "ram") || is(x, i, "vram") || (in->context && is(x, i, "context")))
            continue;
        if (f && is(x, i + 1, "cache")) {
            if (f->id != QS_F32 && f->id != QS_F16 && f->id != QS_Q8_0 && f->id != QS_Q4_0)
                return qs_fail(e, QS_EINVAL, "a KV cache cannot be %s: take F16, Q8_0, Q4_0 or F32", f->name);
            in->cache = f->id;
            i++;
        } else if ((is(x, i + 1, "context") || is(x, i + 1, "ctx") || is(x, i + 1, "tokens")) &&
                   read_context(w, &in->context) == QS_OK) {
            i++;
        } else {
            return qs_fail(e, QS_EINVAL, "'%s' is not understood here; write it like fits in 8 GiB with 8k context and "
                           "q8_0 cache", w);
        }
    }
    return QS_OK;
}

static int by_memory(const struct words *x, const struct qs_model *m, struct qs_budget *b, const char *text,
                     struct qs_err *e)
{
    struct run_in in = { .cache = QS_F16 };
    const size_t first = 2, n = size_words(x, first, &in.all);
    char cache[24], work[24], size[24];
    if (!is(x, 1, "in") || !n)
        return qs_fail(e, QS_EINVAL, "'%s' names no size to fit in; %s", text, how_to);
    int rc = read_rest(x, first + n, &in, e);
    if (rc)
        return rc;
    if (!in.context)
        in.context = m->hp.n_ctx && m->hp.n_ctx < DEFAULT_CONTEXT ? m->hp.n_ctx : DEFAULT_CONTEXT;
    if (m->hp.n_ctx && in.context > m->hp.n_ctx)
        return qs_fail(e, QS_EINVAL, "'%s': the model's context is %llu tokens", text, (unsigned long long)m->hp.n_ctx);
    b->kv = qs_need_kv_cache(m, in.context, in.cache);
    b->overhead = work_bytes(m);
    if (!b->kv)
        return qs_fail(e, QS_EUNSUPPORTED,
                       "the KV cache of this model cannot be told from its metadata; say the size of "
                       "the file instead");
    rc = subtract(b, in.all, text, e);
    (void)snprintf(b->text, sizeof b->text, "%s of memory: %s KV cache (%llu tokens, %s), %s working",
                   qs_fmt_bytes(size, sizeof size, in.all), qs_fmt_bytes(cache, sizeof cache, b->kv),
                   (unsigned long long)in.context, qs_type_name(in.cache),
                   qs_fmt_bytes(work, sizeof work, b->overhead));
    return rc;
}

/* "4.5", "8": nobody means so few bytes. */
static bool lacks_unit(const struct words *x)
{
    double v;
    return x->n == 1 && number(x->w[0], "", &v) && v < UNITLESS;
}

int qs_budget_parse(const char *text, const struct qs_model *m, struct qs_budget *out, struct qs_err *e)
{
    struct words x;
    double bpw = 0;
    uint64_t all = 0;
    *out = (struct qs_budget){ .bytes = 0 };
    int rc = cut(text, &x, e);
    if (!rc && (is(&x, 0, "fits") || is(&x, 0, "fit")))
        rc = by_memory(&x, m, out, text, e);
    else if (!rc && find_bpw(&x, &bpw))
        rc = by_bpw(bpw, m, out, text, e);
    else if (!rc && lacks_unit(&x))
        rc = qs_fail(e, QS_EINVAL, "'%s' has no unit: %s bpw are bits per weight, %s GiB the size of the file (a number "
                     "alone is bytes)", x.w[0], x.w[0], x.w[0]);
    else if (!rc && x.n && size_words(&x, 0, &all) == x.n)
        rc = by_file(all, m, out, text, e);
    else if (!rc)
        rc = qs_fail(e, QS_EINVAL, "'%.100s' is not a budget; %s", text, how_to);
    out->bpw = m->n_weights ? 8.0 * (double)out->bytes / (double)m->n_weights : 0;
    qs_free(x.copy);
    return rc;
}
