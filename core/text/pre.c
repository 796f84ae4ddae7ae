/* pre.c - cutting text into words. Owns the compiled expressions; a cut has its working memory with the caller, so that
 * threads may share a pre-tokenizer. Refuses nothing but expressions that run out of their bounds (base/regex.h). */
#include <string.h>

#include "base/mem.h"
#include "base/regex.h"
#include "core/text/pre.h"

struct qs_pre {
    size_t n;
    struct { enum qs_pre_cut cut; struct qs_regex *regex; } stage[QS_PRE_STAGES];
};

const struct qs_pre_name *qs_pre_find(const char *name)
{
    for (const struct qs_pre_name *p = qs_pre_names; p->name; p++)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}

void qs_pre_free(struct qs_pre *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        qs_regex_free(p->stage[i].regex);
    qs_free(p);
}

int qs_pre_new(const struct qs_pre_name *name, struct qs_pre **out, struct qs_err *e)
{
    *out = NULL;
    struct qs_pre *p = qs_calloc(1, sizeof *p);
    if (!p)
        return qs_fail_mem(e, sizeof *p, "a pre-tokenizer");
    for (size_t i = 0; i < QS_PRE_STAGES && name->family->stage[i].pattern; i++) {
        int rc = qs_regex_compile(name->family->stage[i].pattern, QS_REGEX_CHECKED, &p->stage[i].regex, e);
        if (rc != QS_OK) {
            qs_pre_free(p);
            return rc;
        }
        p->stage[i].cut = name->family->stage[i].cut;
        p->n = i + 1;
    }
    *out = p;
    return QS_OK;
}

void qs_pre_words_free(struct qs_pre_words *w)
{
    qs_free(w->end);
    qs_free(w->next);
    *w = (struct qs_pre_words){ 0 };
}

/* A list of ends that grows; an end that is not beyond the last one says nothing new. */
struct ends { size_t *end, n, cap; };

static bool put(struct ends *l, size_t end)
{
    if (end <= (l->n ? l->end[l->n - 1] : 0))
        return true;
    if (!qs_grow(&l->end, &l->cap, l->n + 1, sizeof *l->end))
        return false;
    l->end[l->n++] = end;
    return true;
}

static size_t characters(const char *s, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)s[i] & 0xC0) != 0x80;
    return count;
}

static size_t next_character(const char *s, size_t at, size_t n)
{
    do
        at++;
    while (at < n && ((unsigned char)s[at] & 0xC0) == 0x80);
    return at;
}

/* The match [from, to) in threes from its end; what comes before it is cut off only where `inside` finds all threes. */
static bool put_threes(struct ends *l, const char *text, size_t from, size_t to, bool inside)
{
    bool ok = true;
    size_t at = from;
    for (size_t left = characters(text + from, to - from); ok && left > 0; left--) {
        if (left % 3 == 0 && (inside || at > from))
            ok = put(l, at);
        at = next_character(text, at, to);
    }
    return ok && (inside || put(l, to));
}

/* Cuts the piece [from, to). */
static int cut_piece(const struct qs_pre *p, size_t stage, const char *text, size_t from, size_t to, struct ends *l,
                     struct qs_err *e)
{
    size_t at = 0, n = to - from, span[2];
    while (at < n) {
        int found = qs_regex_find(p->stage[stage].regex, text + from, n, at, span, e);
        if (found < 0)
            return e && e->code ? (int)e->code : QS_ELIMIT;
        if (!found)
            break;
        const bool ok = p->stage[stage].cut == QS_PRE_REGEX
                            ? put(l, from + span[0]) && put(l, from + span[1])
                            : put_threes(l, text, from + span[0], from + span[1],
                                         p->stage[stage].cut == QS_PRE_THREES_INSIDE);
        if (!ok)
            return qs_fail_mem(e, l->n * sizeof *l->end, "the words of a text");
        at = span[1] > span[0] ? span[1] : next_character(text + from, span[1], n);
    }
    return put(l, to) ? QS_OK : qs_fail_mem(e, l->n * sizeof *l->end, "the words of a text");
}

int qs_pre_cut(const struct qs_pre *p, const char *text, size_t n, struct qs_pre_words *w, struct qs_err *e)
{
    struct ends now = { w->end, 0, w->cap }, next = { w->next, 0, w->next_cap };
    struct qs_err mine = QS_ERR_INIT;
    int rc = put(&now, n) ? QS_OK : qs_fail_mem(&mine, sizeof n, "the words of a text");
    for (size_t s = 0; s < p->n && rc == QS_OK; s++) {
        next.n = 0;
        for (size_t i = 0, from = 0; i < now.n && rc == QS_OK; from = now.end[i++])
            rc = cut_piece(p, s, text, from, now.end[i], &next, &mine);
        struct ends swap = now;
        now = next;
        next = swap;
    }
    *w = (struct qs_pre_words){ now.end, now.n, now.cap, next.end, next.cap };
    if (rc != QS_OK && e)
        *e = mine;
    return rc;
}
