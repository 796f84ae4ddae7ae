/* corpus_warn.c - what a person should know about a calibration text before hours are spent on it: one line each. */
#include <stdarg.h>

#include "base/mem.h"
#include "core/calib/corpus_internal.h"
#include "core/eval/overlap.h"

enum { FEW_WINDOWS = 64, SHORT_WINDOW = 512, FEW_HELD = 8 };

int qs_corpus_warn(struct qs_corpus *c, struct qs_err *e, const char *fmt, ...)
{
    struct qs_str s = QS_STR_INIT;
    va_list ap;
    char **more = qs_realloc_array(c->warning, c->n_warnings + 1, sizeof *more);
    if (!more)
        return qs_fail_mem(e, sizeof *more, "a warning");
    c->warning = more;
    va_start(ap, fmt);
    qs_str_addv(&s, fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.data[i] < 0x20 || s.data[i] == 0x7F)
            s.data[i] = '?';
    char *line = qs_str_take(&s);
    if (!line)
        return qs_fail_mem(e, 0, "a warning");
    c->warning[c->n_warnings++] = line;
    return QS_OK;
}

int qs_corpus_warn_read(struct qs_corpus *c, const char *path, const struct qs_corpus_read *r, struct qs_err *e)
{
    int rc = QS_OK;
    if (r->bad)
        rc = qs_corpus_warn(c, e, "%s: %llu of %llu lines were left out; the first is line %llu: %s", path,
                            (unsigned long long)r->bad, (unsigned long long)r->lines, (unsigned long long)r->first_bad,
                            r->why);
    if (rc == QS_OK && r->invalid)
        rc = qs_corpus_warn(c, e, "%s: %llu bytes are not valid UTF-8 and were read as U+FFFD", path,
                            (unsigned long long)r->invalid);
    if (rc == QS_OK && r->one_value)
        rc = qs_corpus_warn(c, e,
                            "%s: begins like one JSON value and was read as plain text, brackets and names with it; "
                            "JSON lines have one object a line",
                            path);
    if (rc == QS_OK && r->token.n < c->n_ctx)
        rc = qs_corpus_warn(c, e, "%s: its %zu tokens are less than one window of %zu: nothing was taken from it", path,
                            r->token.n, c->n_ctx);
    return rc;
}

int qs_corpus_warn_overlap(struct qs_corpus *c, const char *path, const struct qs_corpus_read *r,
                           const char *evaluation, const char *text, size_t n, struct qs_err *e)
{
    struct qs_overlap in, back;
    char share[QS_FMT_MAX];
    int rc = qs_overlap(text, n, r->text, r->n_text, &in, e);
    if (rc == QS_OK)
        rc = qs_overlap(r->text, r->n_text, text, n, &back, e);
    if (rc != QS_OK)
        return rc;
    if (in.share >= QS_OVERLAP_SHARE)
        return qs_corpus_warn(
            c, e,
            "%s: %s of the evaluation text %s stands in it: the model would be measured on what it was "
            "calibrated with",
            path, qs_fmt_percent(share, sizeof share, in.share, 1), evaluation);
    if (back.share >= QS_OVERLAP_SHARE)
        return qs_corpus_warn(c, e,
                              "%s: %s of it stands in the evaluation text %s: part of what is measured was calibrated "
                              "with",
                              path, qs_fmt_percent(share, sizeof share, back.share, 1), evaluation);
    return QS_OK;
}

/* ---- the whole ---- */

static const char *s_of(size_t n) { return n == 1 ? "" : "s"; }

static int warn_amount(struct qs_corpus *c, const struct qs_corpus_args *a, size_t repeated, struct qs_err *e)
{
    const size_t n = c->n_fit + c->n_held;
    int rc = QS_OK;
    if (repeated)
        rc = qs_corpus_warn(c, e, "%zu window%s that repeat%s others word by word %s left out", repeated,
                            s_of(repeated), repeated == 1 ? "s" : "", repeated == 1 ? "was" : "were");
    if (rc == QS_OK && a->n_windows > n)
        rc = qs_corpus_warn(c, e, "the text is enough for %zu window%s of %zu tokens, %zu were asked for", n, s_of(n),
                            c->n_ctx, a->n_windows);
    if (rc == QS_OK && n < FEW_WINDOWS)
        rc = qs_corpus_warn(c, e, "%zu window%s of %zu tokens %s few: statistics are reliable from %d on", n, s_of(n),
                            c->n_ctx, n == 1 ? "is" : "are", FEW_WINDOWS);
    const size_t least = a->model_ctx && a->model_ctx < SHORT_WINDOW ? a->model_ctx : SHORT_WINDOW;
    if (rc == QS_OK && c->n_ctx < least)
        rc = qs_corpus_warn(
            c, e,
            "windows of %zu tokens are short: with less than %zu the model is not seen at work on longer "
            "text",
            c->n_ctx, least);
    return rc;
}

/* Sources whose text does not reach for what their weight asks for. */
static int warn_shares(struct qs_corpus *c, const struct qs_corpus_args *a, struct qs_err *e)
{
    const double n = (double)(c->n_fit + c->n_held);
    double all = 0;
    int rc = QS_OK;
    for (size_t i = 0; i < c->n_mix; i++)
        all += a->source[i].weight;
    for (size_t i = 0; rc == QS_OK && i < c->n_mix; i++) {
        const struct qs_corpus_mix *m = &c->mix[i];
        const double due = n * m->weight / all;
        if (m->windows > 0 && (double)m->windows + 1 < due && m->windows == m->tokens / c->n_ctx)
            rc = qs_corpus_warn(c, e, "%s: has text for %zu window%s only; by its weight %.0f would be taken from it",
                                m->path, m->windows, s_of(m->windows), due);
    }
    return rc;
}

int qs_corpus_warn_mix(struct qs_corpus *c, const struct qs_corpus_args *a, size_t repeated, struct qs_err *e)
{
    size_t used = 0, last = 0;
    for (size_t i = 0; i < c->n_mix; i++)
        if (c->mix[i].windows > 0) {
            used++;
            last = i;
        }
    int rc = warn_amount(c, a, repeated, e);
    if (rc == QS_OK)
        rc = warn_shares(c, a, e);
    if (rc == QS_OK && used == 1)
        rc = qs_corpus_warn(
            c, e, "all %zu window%s come%s from one source, %s: one kind of text calibrates for one kind of text",
            c->n_fit + c->n_held, s_of(c->n_fit + c->n_held), c->n_fit + c->n_held == 1 ? "s" : "", c->mix[last].path);
    if (rc == QS_OK && c->n_held == 0)
        rc = qs_corpus_warn(
            c, e, "nothing is held out of %zu window%s: methods cannot be compared on text that they did not see",
            c->n_fit, s_of(c->n_fit));
    else if (rc == QS_OK && c->n_held < FEW_HELD)
        rc = qs_corpus_warn(
            c, e,
            "%zu held-out window%s (%zu tokens) %s too small a part to compare methods on: from %d on small "
            "differences mean something",
            c->n_held, s_of(c->n_held), c->n_held * c->n_ctx, c->n_held == 1 ? "is" : "are", FEW_HELD);
    return rc;
}
