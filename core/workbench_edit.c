/* workbench_edit.c - edits of the recipe: each a step of undo and a new plan, or nothing at all.
 *
 * A plan is made of the draft first; only when it stands is the draft committed. Types set on tensors become pins, as
 * few as there can be: where the recipe gives the type anyway, none. Where the recipe is not steady, presets number
 * some tensors and pass over those that are forced, so a pin may change what another tensor gets; therefore it is looked
 * again after pinning.
 */
#include "core/workbench_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

/* ---- drafts -------------------------------------------------------------------------------------------------- */

struct qs_recipe *qs_workbench_edit(struct qs_workbench *w, struct qs_err *e)
{
    if (!w->doc) {
        qs_wb_no_document(e);
        return NULL;
    }
    return qs_history_begin(w->doc->history, &w->doc->draft, e) ? NULL : w->doc->draft;
}

void qs_workbench_abandon(struct qs_workbench *w)
{
    if (!w->doc)
        return;
    qs_history_abandon(w->doc->history);
    w->doc->draft = NULL;
}

/* Of the draft as it is. */
static int make_plan(const struct qs_wb_doc *d, struct qs_wb_plans *out, struct qs_err *e)
{
    return qs_wb_doc_plan(d, d->src, d->draft, d->pub.allow_requantize, false, out, e);
}

/* Commits the open draft, of which the plans were made (abandons it on failure). Takes them over, whatever happens. */
static int commit(struct qs_workbench *w, struct qs_wb_plans *made, const char *label, struct qs_err *e)
{
    struct qs_wb_doc *d = w->doc;
    const uint64_t version = qs_history_version(d->history);
    const int rc = qs_history_commit(d->history, label, e);
    if (rc)
        qs_history_abandon(d->history);
    d->draft = NULL;
    if (rc || version == qs_history_version(d->history)) {
        qs_wb_plans_free(made);
        qs_wb_doc_refresh(d); /* the current recipe may be another copy */
        return rc;
    }
    qs_wb_doc_take(w, made);
    return QS_OK;
}

int qs_workbench_commit(struct qs_workbench *w, const char *label, struct qs_err *e)
{
    struct qs_wb_plans made = { 0 };
    if (!w->doc || !w->doc->draft)
        return qs_fail(e, QS_EINVAL, "no edit of the recipe has been begun");
    const int rc = make_plan(w->doc, &made, e);
    if (rc) {
        qs_workbench_abandon(w);
        return rc;
    }
    return commit(w, &made, label, e);
}

/* ---- undo and redo ------------------------------------------------------------------------------------------- */

typedef bool move_fn(struct qs_history *h, const char **label, struct qs_err *e);

static const char *move(struct qs_workbench *w, move_fn *there, move_fn *back, struct qs_err *e)
{
    struct qs_wb_plans made;
    const char *label = NULL;
    struct qs_wb_doc *d = w->doc;
    if (!d) {
        qs_wb_no_document(e);
        return NULL;
    }
    if (!there(d->history, &label, e))
        return NULL;
    if (qs_wb_doc_plan(d, d->src, qs_history_current(d->history), d->pub.allow_requantize, false, &made, e)) {
        (void)back(d->history, NULL, NULL);
        qs_wb_doc_refresh(d);
        return NULL;
    }
    qs_wb_doc_take(w, &made);
    return label;
}

const char *qs_workbench_undo(struct qs_workbench *w, struct qs_err *e)
{
    return move(w, qs_history_undo, qs_history_redo, e);
}

const char *qs_workbench_redo(struct qs_workbench *w, struct qs_err *e)
{
    return move(w, qs_history_redo, qs_history_undo, e);
}

/* ---- types by pins ------------------------------------------------------------------------------------------- */

enum { ROUNDS = 4 }; /* of looking again; then all get a pin */

struct setting {
    struct qs_wb_doc *d;
    const size_t *tensor;    /* to be set */
    const int *type;         /* each to this; QS_TYPE_NONE: its pin goes */
    size_t n;
    struct qs_pin *pin;
};

/* What stands in the way of a plan is told by the plan. */
static int pass_over(void *ctx, const struct qs_tensor *t, const void *cause, struct qs_err *why)
{
    (void)ctx, (void)t, (void)cause, (void)why;
    return QS_OK;
}

/* A pin for those that do not come out as asked; how many more than before. */
static size_t pin_rest(struct setting *s, const struct qs_resolved *x, bool all)
{
    size_t more = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->pin[i].type != QS_TYPE_NONE || s->type[i] == QS_TYPE_NONE)
            continue;
        if (!all && x->choice[s->tensor[i]].type == s->type[i])
            continue;
        s->pin[i].type = s->type[i];
        more++;
    }
    return more;
}

/* The draft without pins on these tensors. */
static int without_pins(const struct setting *s, struct qs_resolved **out, struct qs_err *e)
{
    struct qs_recipe *bare = NULL;
    int rc = qs_recipe_copy(s->d->draft, &bare, e);
    if (!rc)
        rc = qs_recipe_pin_all(bare, s->pin, s->n, e);
    if (!rc)
        rc = qs_recipe_resolve_all(bare, s->d->pub.model, s->d->src->imatrix != NULL, pass_over, NULL, out, e);
    qs_recipe_free(bare);
    return rc;
}

/* Where none has, the plan there is says already what they are without. */
static bool some_have_pins(const struct setting *s)
{
    const struct qs_plan *p = s->d->made.plan;
    for (size_t i = 0; i < s->n; i++) {
        const int by = p->resolved->by[s->tensor[i]];
        if (by >= 0 && (size_t)by < p->recipe->n_pins)
            return true;
    }
    return false;
}

/* *made: the plans of the draft as it is then. */
static int pin_all(struct setting *s, struct qs_wb_plans *made, struct qs_err *e)
{
    struct qs_resolved *bare = NULL;
    int rc = some_have_pins(s) ? without_pins(s, &bare, e) : QS_OK;
    const struct qs_resolved *x = bare ? bare : s->d->made.plan->resolved;
    for (unsigned round = 0; !rc; round++) {
        const size_t more = pin_rest(s, x, round == ROUNDS);
        if (!more && round)
            break;
        qs_wb_plans_free(made);
        rc = qs_recipe_pin_all(s->d->draft, s->pin, s->n, e);
        if (!rc)
            rc = make_plan(s->d, made, e);
        if (!rc)
            x = made->plan->resolved;
    }
    qs_resolved_free(bare);
    return rc;
}

/* Options may hold a tensor back where nothing of its own does. */
static int check_outcome(const struct setting *s, const struct qs_resolved *x, struct qs_err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        const int type = s->type[i];
        if (type != QS_TYPE_NONE && x->choice[s->tensor[i]].type != type)
            return qs_fail(e, QS_EINVAL, "%s cannot be %s under this recipe: %s", s->pin[i].tensor, qs_type_name(type),
                           s->d->pub.recipe->leave_output ? "leave-output keeps it as it is"
        : "another setting decides it");
    }
    return QS_OK;
}

/* Types under the recipe that differ between two plans, of the tensors listed; the first of them. */
static size_t count_changes(const struct setting *s, const struct qs_plan *a, const struct qs_resolved *b,
                            size_t *first)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (a->enc[s->tensor[i]].type != b->choice[s->tensor[i]].type && n++ == 0)
            *first = i;
    return n;
}

/* "blk.3.ffn_down.weight = Q6_K", "12 tensors = Q6_K", "12 tensors one step up" */
static void make_label(const struct setting *s, size_t first, size_t n, const char *what, char *buf, size_t room)
{
    char type[32];
    snprintf(type, sizeof type, "= %s", qs_type_name(s->type[first]));
    if (n == 1)
        snprintf(buf, room, s->type[first] == QS_TYPE_NONE ? "%s without its pin" : "%s %s", s->pin[first].tensor,
                 type);
    else
        snprintf(buf, room, "%zu tensors %s", n, what ? what : s->type[first] == QS_TYPE_NONE ? "without their pins"
                 : type);
}

static int carry_out(struct qs_workbench *w, struct setting *s, const char *what, size_t *changed, struct qs_err *e)
{
    struct qs_wb_plans made = { 0 };
    char label[400];
    size_t first = 0;
    int rc = pin_all(s, &made, e);
    if (!rc)
        rc = check_outcome(s, made.plan->resolved, e);
    if (rc) {
        qs_wb_plans_free(&made);
        qs_workbench_abandon(w);
        return rc;
    }
    const size_t n = count_changes(s, s->d->pub.plan, made.plan->resolved, &first);
    make_label(s, first, n ? n : s->n, what, label, sizeof label);
    rc = commit(w, &made, label, e);
    if (!rc && changed)
        *changed = n;
    return rc;
}

static int set_types(struct qs_workbench *w, const size_t *tensor, const int *type, size_t n, const char *what,
                     size_t *changed, struct qs_err *e)
{
    struct setting s = { .d = w->doc, .tensor = tensor, .type = type, .n = n };
    if (changed)
        *changed = 0;
    if (n == 0)
        return QS_OK;
    s.pin = qs_calloc(n, sizeof *s.pin);
    if (!s.pin)
        return qs_fail_mem(e, n * sizeof *s.pin, "pins");
    for (size_t i = 0; i < n; i++)
        s.pin[i] = (struct qs_pin){ s.d->pub.model->tensor[tensor[i]].name, QS_TYPE_NONE };
    const int rc = qs_workbench_edit(w, e) ? carry_out(w, &s, what, changed, e) : e ? (int)e->code : QS_EBUSY;
    qs_free(s.pin);
    return rc;
}

static int check_list(const struct qs_wb_doc *d, const size_t *tensor, size_t n, struct qs_err *e)
{
    for (size_t i = 0; i < n; i++)
        if (tensor[i] >= d->pub.model->n_tensors)
            return qs_fail(e, QS_EINVAL, "the model has no tensor number %zu", tensor[i]);
    return QS_OK;
}

/* Which of the tensors can be set to what: those that may, and their types. */
struct list { size_t *tensor; int *type; size_t n; };

static int list_new(struct list *x, size_t most, struct qs_err *e)
{
    *x = (struct list){ qs_calloc(most + 1, sizeof *x->tensor), qs_calloc(most + 1, sizeof *x->type), 0 };
    if (x->tensor && x->type)
        return QS_OK;
    return qs_fail_mem(e, most * sizeof *x->tensor, "a list of tensors");
}

static void list_free(struct list *x)
{
    qs_free(x->tensor);
    qs_free(x->type);
}

static int fill_for_set(const struct qs_wb_doc *d, const size_t *tensor, size_t n, int type, struct list *x,
                        struct qs_err *e)
{
    for (size_t i = 0; i < n; i++) {
        const struct qs_tensor *t = &d->pub.model->tensor[tensor[i]];
        const char *why = type == QS_TYPE_NONE ? NULL : qs_wb_refusal(d, t, type);
        if (why)
            return qs_fail(e, QS_EINVAL, "%s cannot be %s: %s", t->name, qs_type_name(type), why);
        if (type != QS_TYPE_NONE && !qs_preset_settable(d->pub.model, t))
            continue; /* has the type, and always keeps it */
        x->tensor[x->n] = tensor[i];
        x->type[x->n++] = type;
    }
    return QS_OK;
}

int qs_workbench_set(struct qs_workbench *w, const size_t *tensor, size_t n, int type, size_t *changed,
                     struct qs_err *e)
{
    struct list x = { 0 };
    struct qs_err own = QS_ERR_INIT;
    e = e ? e : &own;
    if (!w->doc)
        return qs_wb_no_document(e);
    int rc = check_list(w->doc, tensor, n, e);
    if (!rc)
        rc = list_new(&x, n, e);
    if (!rc)
        rc = fill_for_set(w->doc, tensor, n, type, &x, e);
    if (!rc)
        rc = set_types(w, x.tensor, x.type, x.n, NULL, changed, e);
    list_free(&x);
    return rc;
}

int qs_workbench_step(struct qs_workbench *w, const size_t *tensor, size_t n, int direction, size_t *changed,
                      struct qs_err *e)
{
    struct list x = { 0 };
    struct qs_err own = QS_ERR_INIT;
    e = e ? e : &own;
    if (!w->doc)
        return qs_wb_no_document(e);
    int rc = check_list(w->doc, tensor, n, e);
    if (!rc)
        rc = list_new(&x, n, e);
    for (size_t i = 0; !rc && i < n; i++) {
        const struct qs_encoding *enc = &w->doc->pub.plan->enc[tensor[i]];
        const int next = qs_workbench_next_type(w, enc->tensor, enc->type, direction);
        x.tensor[x.n] = tensor[i];
        x.type[x.n] = next;
        x.n += next != QS_TYPE_NONE;
    }
    if (!rc)
        rc = set_types(w, x.tensor, x.type, x.n, direction > 0 ? "one step up" : "one step down", changed, e);
    list_free(&x);
    return rc;
}

/* ---- recipe files -------------------------------------------------------------------------------------------- */

static int load(struct qs_workbench *w, struct qs_recipe **r, const char *path, struct qs_err *e)
{
    char label[300];
    struct qs_wb_doc *d = w->doc;
    struct qs_wb_plans made = { 0 };
    int rc = qs_wb_doc_plan(d, d->src, *r, d->pub.allow_requantize, false, &made, e);
    snprintf(label, sizeof label, "recipe %.280s loaded", qs_path_base(path));
    if (!rc)
        rc = qs_history_load(d->history, *r, path, label, e);
    if (rc) {
        qs_wb_plans_free(&made);
        return rc;
    }
    *r = NULL;
    qs_wb_doc_take(w, &made);
    return QS_OK;
}

int qs_workbench_recipe_load(struct qs_workbench *w, const char *path, struct qs_err *e)
{
    struct qs_recipe *r = NULL;
    if (!w->doc)
        return qs_wb_no_document(e);
    int rc = qs_recipe_load(path, &r, e);
    if (!rc)
        rc = load(w, &r, path, e);
    if (rc) {
        qs_recipe_free(r);
        return rc;
    }
    qs_log_add(w->log, QS_LOG_NOTE, "recipe %s loaded", path);
    return QS_OK;
}

static int refuse_inputs(const struct qs_wb_doc *d, const char *path, struct qs_err *e)
{
    unsigned n = 0;
    const struct qs_gguf_part *part = qs_model_parts(d->pub.model, &n);
    const struct qs_file_input imatrix = { d->src->imatrix_path, "the importance matrix" };
    int rc = qs_file_refuse_inputs(path, &imatrix, 1, e);
    for (unsigned i = 0; !rc && i < n; i++) {
        const struct qs_file_input model = { part[i].path, "the model" };
        rc = qs_file_refuse_inputs(path, &model, 1, e);
    }
    return rc;
}

int qs_workbench_recipe_save(struct qs_workbench *w, const char *path, bool overwrite, struct qs_err *e)
{
    size_t len;
    if (!w->doc)
        return qs_wb_no_document(e);
    const char *text = qs_history_text(w->doc->history, &len);
    char *copy = qs_strdup(path);
    int rc = copy ? refuse_inputs(w->doc, path, e) : qs_fail_mem(e, strlen(path), "a file name");
    if (!rc)
        rc = qs_file_write_atomic(path, text, len, overwrite, e);
    if (rc) {
        qs_free(copy);
        return rc;
    }
    qs_log_add(w->log, QS_LOG_NOTE, "recipe saved to %s", path);
    qs_history_mark_saved(w->doc->history, copy); /* path may be the one before */
    qs_wb_doc_refresh(w->doc);
    return QS_OK;
}
