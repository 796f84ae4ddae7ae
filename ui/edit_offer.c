/* edit_offer.c - what the line editor offers: earlier lines, and completions.
 *
 * Owns the candidates, the text that they stand in for, and the line that was being typed while an earlier one is looked
 * at. Where memory is out, nothing is offered and what was typed stays.
 */
#include <string.h>

#include "base/mem.h"
#include "ui/edit_internal.h"

/* ---- history ---- */

void qs_typed_add(struct qs_typed *h, const char *line)
{
    if (!line[0] || (h->n && strcmp(h->line[h->n - 1], line) == 0))
        return;
    char *copy = qs_strdup(line);
    if (!copy)
        return;
    if (h->n == QS_TYPED_MAX) {
        qs_free(h->line[0]);
        memmove(h->line, h->line + 1, (--h->n) * sizeof *h->line);
    }
    h->line[h->n++] = copy;
}

void qs_typed_free(struct qs_typed *h)
{
    for (size_t i = 0; i < h->n; i++)
        qs_free(h->line[i]);
    h->n = 0;
}

static void show(struct qs_edit *ed, const char *text)
{
    const size_t n = strlen(text);
    if (n <= QS_EDIT_MAX)
        qs_edit_replace(ed, 0, ed->len, text, n);
}

void qs_edit_recall(struct qs_edit *ed, bool older)
{
    const struct qs_typed *h = ed->history;
    if (!h || (older ? ed->recalled >= h->n : !ed->recalled))
        return;
    if (older && !ed->recalled) {
        qs_free(ed->draft);
        ed->draft = qs_strdup(ed->text);
        if (!ed->draft)
            return;
    }
    ed->recalled += older ? 1 : -1;
    if (ed->recalled <= h->n)
        show(ed, ed->recalled ? h->line[h->n - ed->recalled] : ed->draft);
    if (!ed->recalled)
        qs_edit_recall_end(ed);
}

void qs_edit_recall_end(struct qs_edit *ed)
{
    qs_free(ed->draft);
    ed->draft = NULL;
    ed->recalled = 0;
}

/* ---- completion ---- */

bool qs_candidates_add(struct qs_candidates *c, const char *text, const char *note)
{
    if (c->n >= QS_CANDIDATES_MAX || !qs_grow(&c->text, &c->text_cap, c->n + 1, sizeof *c->text) ||
        !qs_grow(&c->note, &c->note_cap, c->n + 1, sizeof *c->note))
        return false;
    c->text[c->n] = qs_strdup(text);
    c->note[c->n] = qs_strdup(note ? note : "");
    if (c->text[c->n] && c->note[c->n]) {
        c->n++;
        return true;
    }
    qs_free(c->text[c->n]);
    qs_free(c->note[c->n]);
    return false;
}

void qs_candidates_free(struct qs_candidates *c)
{
    for (size_t i = 0; i < c->n; i++) {
        qs_free(c->text[i]);
        qs_free(c->note[i]);
    }
    qs_free(c->text);
    qs_free(c->note);
    *c = (struct qs_candidates){ 0 };
}

/* Bytes that all of them begin with, whole characters. */
static size_t common_start(const struct qs_candidates *c)
{
    size_t n = strlen(c->text[0]);
    for (size_t i = 1; i < c->n; i++) {
        size_t k = 0;
        while (k < n && c->text[i][k] == c->text[0][k])
            k++;
        n = k;
    }
    while (n && ((unsigned char)c->text[0][n] & 0xC0) == 0x80)
        n--;
    return n;
}

/* Asks for candidates, and puts in what all of them have in common. true: there is something to go through, at once. */
static bool offer(struct qs_edit *ed)
{
    struct qs_candidates *c = &ed->found;
    ed->complete(ed->ctx, ed->text, ed->at, c);
    if (c->n == 0 || c->start > ed->at) {
        qs_edit_offer_end(ed, false);
        return false;
    }
    const size_t typed = ed->at - c->start, common = common_start(c);
    const bool longer = common > typed && memcmp(c->text[0], ed->text + c->start, typed) == 0;
    if (c->n == 1) {
        qs_edit_replace(ed, c->start, ed->at, c->text[0], strlen(c->text[0]));
        qs_edit_offer_end(ed, false);
        return false;
    }
    if (longer)
        qs_edit_replace(ed, c->start, ed->at, c->text[0], common);
    ed->chosen = c->n;
    ed->typed = qs_strndup(ed->text + c->start, ed->at - c->start);
    if (!ed->typed) {
        qs_edit_offer_end(ed, false);
        return false;
    }
    return !longer;
}

void qs_edit_complete(struct qs_edit *ed, bool backwards)
{
    struct qs_candidates *c = &ed->found;
    if (!c->n && !offer(ed))
        return;
    const size_t n = c->n, last = ed->chosen;
    const size_t next = last == n ? (backwards ? n - 1 : 0) : backwards ? (last + n - 1) % n : (last + 1) % n;
    if (qs_edit_replace(ed, c->start, ed->at, c->text[next], strlen(c->text[next])))
        ed->chosen = next;
}

void qs_edit_offer_end(struct qs_edit *ed, bool take_back)
{
    if (take_back && ed->found.n && ed->typed && ed->found.start <= ed->at)
        qs_edit_replace(ed, ed->found.start, ed->at, ed->typed, strlen(ed->typed));
    qs_candidates_free(&ed->found);
    qs_free(ed->typed);
    ed->typed = NULL;
    ed->chosen = 0;
}
