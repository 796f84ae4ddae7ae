/* recipe_history.c - owns the current recipe, its text, an open edit, and the steps in both directions.
 *
 * steps[0, done) can be undone, steps[done, n) redone. Everything that may fail is made before anything is changed.
 * Files have names, which belong to the recipe and not to its text: a step that changes the name keeps both. Which file
 * the recipe belongs to, and what was saved there, changes with saving, which is no step, and with steps that load one:
 * such a step has what there is on its other side, and both change places when it is undone or redone.
 */
#include "core/quant/recipe_history.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "core/quant/recipe_internal.h"

struct file { char *path; struct qs_key saved; }; /* NULL: none; of the text that was saved */

struct step {
    bool loads;
    struct file other;         /* of a step that loads: on its other side */
    size_t at;                 /* where the texts part */
    size_t n_old, n_new;       /* so many bytes there became so many */
    const char *label;         /* these point into `data` */
    const char *old_text, *new_text;
    bool renamed;              /* then the names of the file before and after; NULL: none */
    const char *old_name, *new_name;
    char data[];
};

struct qs_history {
    struct qs_recipe *now;
    struct qs_recipe *draft;   /* the open edit, NULL: none */
    char *text;                /* of `now` */
    size_t len;
    struct qs_key key;         /* of `text` */
    struct file file;
    struct step **step;
    size_t n, cap, done;
    uint64_t version;
};

static bool same_name(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* The text of a recipe that is to become the current one. */
static int print(struct qs_recipe *r, struct qs_str *out, struct qs_err *e)
{
    enum qs_recipe_setting a, b;
    const char *why = qs_recipe_contradiction(r, &a, &b);
    if (why)
        return qs_fail(e, QS_EINVAL, "%s: they exclude each other", why);
    return qs_recipe_print_numbered(r, out, e);
}

/* Cannot fail any more. Takes over both. */
static void take(struct qs_history *h, struct qs_recipe *r, char *text, size_t len)
{
    qs_recipe_free(h->now);
    qs_free(h->text);
    h->now = r;
    h->text = text;
    h->len = len;
    h->key = qs_hash_bytes(text, len);
    h->version++;
}

int qs_history_new(struct qs_recipe *r, struct qs_history **out, struct qs_err *e)
{
    struct qs_history *h = qs_calloc(1, sizeof *h);
    struct qs_str s = QS_STR_INIT;
    int rc = h ? print(r, &s, e) : qs_fail_mem(e, sizeof *h, "the history");
    const size_t len = s.len;
    char *text = rc ? NULL : qs_str_take(&s);
    if (!rc && !text)
        rc = qs_fail_mem(e, len, "the recipe's text");
    qs_str_free(&s);
    if (rc) {
        qs_free(h);
        return rc;
    }
    take(h, r, text, len);
    qs_history_mark_saved(h, NULL);
    *out = h;
    return QS_OK;
}

static void step_free(struct step *s)
{
    if (s)
        qs_free(s->other.path);
    qs_free(s);
}

void qs_history_free(struct qs_history *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->n; i++)
        step_free(h->step[i]);
    qs_free(h->file.path);
    qs_free(h->step);
    qs_free(h->text);
    qs_recipe_free(h->draft);
    qs_recipe_free(h->now);
    qs_free(h);
}

const struct qs_recipe *qs_history_current(const struct qs_history *h)
{
    return h->now;
}

const char *qs_history_text(const struct qs_history *h, size_t *len)
{
    if (len)
        *len = h->len;
    return h->text;
}

uint64_t qs_history_version(const struct qs_history *h)
{
    return h->version;
}

void qs_history_mark_saved(struct qs_history *h, char *path)
{
    h->file.saved = h->key;
    if (!path)
        return;
    qs_free(h->file.path);
    h->file.path = path;
}

const char *qs_history_path(const struct qs_history *h)
{
    return h->file.path;
}

bool qs_history_changed(const struct qs_history *h)
{
    return !qs_key_equal(h->key, h->file.saved);
}

/* ---- steps -------------------------------------------------------------------------------------------------- */

static const char *put(char **to, const char *bytes, size_t n)
{
    char *at = *to;
    memcpy(at, bytes, n);
    *to = at + n;
    return at;
}

static struct step *make_step(const struct qs_history *h, const struct qs_recipe *r, const struct qs_str *text,
                              const char *label)
{
    size_t least = h->len < text->len ? h->len : text->len, at = 0, tail = 0;
    while (at < least && h->text[at] == text->data[at])
        at++;
    while (tail < least - at && h->text[h->len - 1 - tail] == text->data[text->len - 1 - tail])
        tail++;
    const size_t n_old = h->len - at - tail, n_new = text->len - at - tail, n_label = strlen(label) + 1;
    const bool renamed = !same_name(h->now->name, r->name);
    const char *old_name = renamed ? h->now->name : NULL, *new_name = renamed ? r->name : NULL;
    const size_t n_names = (old_name ? strlen(old_name) + 1 : 0) + (new_name ? strlen(new_name) + 1 : 0);
    struct step *s = qs_malloc(sizeof *s + n_label + n_old + n_new + n_names);
    if (!s)
        return NULL;
    char *to = s->data;
    *s = (struct step){ .at = at, .n_old = n_old, .n_new = n_new, .renamed = renamed };
    s->label = put(&to, label, n_label);
    s->old_text = put(&to, h->text + at, n_old);
    s->new_text = put(&to, text->data + at, n_new);
    if (old_name)
        s->old_name = put(&to, old_name, strlen(old_name) + 1);
    if (new_name)
        s->new_name = put(&to, new_name, strlen(new_name) + 1);
    return s;
}

static int become(struct qs_history *h, struct qs_recipe *r, const char *label, bool *changed, struct qs_err *e)
{
    struct qs_str s = QS_STR_INIT;
    struct step *step = NULL;
    int rc = print(r, &s, e);
    *changed = rc || s.len != h->len || memcmp(s.data, h->text, s.len) != 0 || !same_name(h->now->name, r->name);
    if (rc || !*changed) {
        qs_str_free(&s);
        return rc;
    }
    const size_t len = s.len;
    char *text = NULL;
    step = make_step(h, r, &s, label);
    if (step && qs_grow(&h->step, &h->cap, h->done + 1, sizeof *h->step))
        text = qs_str_take(&s);
    qs_str_free(&s);
    if (!text) {
        qs_free(step);
        return qs_fail_mem(e, len, "the history");
    }
    while (h->n > h->done)
        step_free(h->step[--h->n]);
    h->step[h->n++] = step;
    h->done = h->n;
    take(h, r, text, len);
    return QS_OK;
}

static int refuse_open(const struct qs_history *h, struct qs_err *e)
{
    return h->draft ? qs_fail(e, QS_EBUSY, "another edit of the recipe is not finished yet") : QS_OK;
}

int qs_history_begin(struct qs_history *h, struct qs_recipe **draft, struct qs_err *e)
{
    int rc = refuse_open(h, e);
    if (!rc)
        rc = qs_recipe_copy(h->now, &h->draft, e);
    if (!rc)
        *draft = h->draft;
    return rc;
}

void qs_history_abandon(struct qs_history *h)
{
    qs_recipe_free(h->draft);
    h->draft = NULL;
}

int qs_history_commit(struct qs_history *h, const char *label, struct qs_err *e)
{
    bool changed;
    if (!h->draft)
        return qs_fail(e, QS_EINVAL, "no edit of the recipe has been begun");
    const int rc = become(h, h->draft, label, &changed, e);
    if (rc)
        return rc;
    if (changed)
        h->draft = NULL; /* it is the current recipe now */
    qs_history_abandon(h);
    return QS_OK;
}

int qs_history_load(struct qs_history *h, struct qs_recipe *r, const char *path, const char *label, struct qs_err *e)
{
    bool changed;
    char *copy = NULL;
    int rc = refuse_open(h, e);
    if (!rc && !(copy = qs_strdup(path)))
        rc = qs_fail_mem(e, strlen(path), "a file name");
    if (!rc)
        rc = become(h, r, label, &changed, e);
    if (rc) {
        qs_free(copy);
        return rc;
    }
    if (changed) { /* the file before stays with the step */
        h->step[h->done - 1]->loads = true;
        h->step[h->done - 1]->other = h->file;
        h->file.path = NULL;
    } else {
        qs_recipe_free(r);
    }
    qs_history_mark_saved(h, copy);
    return QS_OK;
}

/* ---- back and forth ----------------------------------------------------------------------------------------- */

/* Puts the other side of a step in its place. */
static int turn(struct qs_history *h, const struct step *s, bool back, struct qs_err *e)
{
    const size_t n_out = back ? s->n_new : s->n_old, n_in = back ? s->n_old : s->n_new;
    const size_t len = h->len - n_out + n_in, rest = h->len - s->at - n_out;
    const char *name = !s->renamed ? h->now->name : back ? s->old_name : s->new_name;
    struct qs_recipe *r = NULL;
    char *text = qs_malloc(len + 1);
    if (!text)
        return qs_fail_mem(e, len + 1, "the recipe's text");
    memcpy(text, h->text, s->at);
    memcpy(text + s->at, back ? s->old_text : s->new_text, n_in);
    memcpy(text + s->at + n_in, h->text + s->at + n_out, rest);
    text[len] = 0;
    const int rc = qs_recipe_parse(name, text, len, &r, e);
    if (rc)
        qs_free(text);
    else
        take(h, r, text, len);
    return rc;
}

static bool step_by(struct qs_history *h, bool back, const char **label, struct qs_err *e)
{
    const bool any = back ? h->done > 0 : h->done < h->n;
    if (refuse_open(h, e))
        return false;
    if (!any) {
        qs_fail(e, QS_ENOTFOUND, back ? "there is nothing to undo" : "there is nothing to redo");
        return false;
    }
    struct step *s = h->step[back ? h->done - 1 : h->done];
    if (turn(h, s, back, e))
        return false;
    if (s->loads) {
        const struct file here = h->file;
        h->file = s->other;
        s->other = here;
    }
    h->done = back ? h->done - 1 : h->done + 1;
    if (label)
        *label = s->label;
    return true;
}

bool qs_history_undo(struct qs_history *h, const char **label, struct qs_err *e)
{
    return step_by(h, true, label, e);
}

bool qs_history_redo(struct qs_history *h, const char **label, struct qs_err *e)
{
    return step_by(h, false, label, e);
}

size_t qs_history_undos(const struct qs_history *h)
{
    return h->done;
}

size_t qs_history_redos(const struct qs_history *h)
{
    return h->n - h->done;
}
