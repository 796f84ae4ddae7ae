/* side.c - a model that can be spoken to: owns (or borrows) model and engine, owns vocabulary, template and session.
 *
 * Two sides over one file share what was opened. A session is made for the first answer and made anew when its settings
 * change; its cache is emptied when a weight of the engine has changed since it was filled.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/chat/chat_internal.h"
#include "core/model/need.h"
#include "core/model/vocabulary.h"

#define CONTEXT_UNLESS_ASKED 4096 /* tokens, where the model was trained with more */

/* ---- what is opened ------------------------------------------------------------------------------------------ */

static void source_free(struct qs_side_source *s)
{
    if (!s || --s->refs > 0)
        return;
    qs_vocab_free(s->vocab);
    qs_model_close(s->own);
    qs_free(s);
}

static int open_vocab(struct qs_side_source *s, struct qs_err *e)
{
    int rc = qs_model_vocab(s->model, &s->vocab, e);
    if (rc == QS_ENOTFOUND)
        return qs_fail(e, QS_EUNSUPPORTED, "%s has no tokenizer: it can be mapped and quantized, not spoken to",
                       s->model->path);
    return rc;
}

/* model: somebody else's, or NULL: the file is opened. */
static int source_new(const char *path, const struct qs_model *model, struct qs_side_source **out, struct qs_err *e)
{
    struct qs_side_source *s = qs_calloc(1, sizeof *s);
    if (!s)
        return qs_fail_mem(e, sizeof *s, "a model to speak to");
    s->refs = 1;
    s->model = model;
    int rc = QS_OK;
    if (!model) {
        rc = qs_model_open(path, &s->own, e);
        s->model = s->own;
        if (!rc)
            rc = qs_engine_can(s->model, e);
    }
    if (!rc)
        rc = open_vocab(s, e);
    if (rc)
        source_free(s);
    else
        *out = s;
    return rc;
}

/* The very file that the model was read from, unchanged: of several parts the first one. A folder has no such thing to
 * compare. */
static bool same_file(const struct qs_model *m, const char *path)
{
    struct qs_file_stat st;
    const struct qs_gguf_part *p = m->gguf->n_parts ? &m->gguf->part[0] : NULL;
    return p && !m->is_folder && qs_file_stat(path, &st, NULL) == QS_OK && st.dev == p->dev &&
           st.ino == p->ino && st.size == p->file_size && st.mtime_ns == p->mtime_ns;
}

/* The source of `beside` where it is the same, else one of its own. */
static int find_source(const char *path, const struct qs_model *model, const struct qs_side *beside,
                       struct qs_side_source **out, struct qs_err *e)
{
    struct qs_side_source *b = beside ? beside->source : NULL;
    if (!b || (model ? b->model != model : !same_file(b->model, path)))
        return source_new(path, model, out, e);
    b->refs++;
    *out = b;
    return QS_OK;
}

/* ---- sides --------------------------------------------------------------------------------------------------- */

static bool has_token(const void *vocabulary, const char *token)
{
    const struct qs_vocab *v = vocabulary;
    const int32_t id = qs_vocab_find(v, token, strlen(token));
    return id != QS_NO_TOKEN;
}

static void read_template(struct qs_side *s)
{
    const char *source = qs_vocab_source(s->source->vocab)->chat_template;
    struct qs_err e = QS_ERR_INIT;
    s->guess = qs_chat_template_guess(has_token, s->source->vocab);
    if (!source || !*source)
        snprintf(s->template_error, sizeof s->template_error, "the model has no chat template");
    else if (qs_chat_template_new(source, strlen(source), &s->template, &e))
        snprintf(s->template_error, sizeof s->template_error, "%s", e.msg);
}

static int side_make(const char *path, struct qs_engine *engine, const struct qs_side_args *a, struct qs_side **out,
                     struct qs_err *e)
{
    const struct qs_model *model = engine ? qs_engine_model(engine) : NULL;
    struct qs_side *s = qs_calloc(1, sizeof *s);
    if (!s)
        return qs_fail_mem(e, sizeof *s, "a model to speak to");
    int rc = find_source(path, model, a->beside, &s->source, e);
    if (!rc && !engine) {
        const struct qs_engine_args args = { .pool = a->pool, .precision = a->precision, .prio = QS_PRIO_INTERACTIVE };
        rc = qs_engine_new(s->source->model, &args, &s->own_engine, e);
    }
    s->engine = engine ? engine : s->own_engine;
    if (rc) {
        qs_side_free(s);
        return rc;
    }
    snprintf(s->label, sizeof s->label, "%s", a->label ? a->label : qs_path_base(s->source->model->path));
    read_template(s);
    *out = s;
    return QS_OK;
}

int qs_side_open(const char *path, const struct qs_side_args *args, struct qs_side **out, struct qs_err *e)
{
    return side_make(path, NULL, args, out, e);
}

int qs_side_new(struct qs_engine *engine, const struct qs_side_args *args, struct qs_side **out, struct qs_err *e)
{
    return side_make(NULL, engine, args, out, e);
}

void qs_side_free(struct qs_side *s)
{
    if (!s)
        return;
    qs_session_free(s->session);
    qs_engine_free(s->own_engine);
    qs_chat_template_free(s->template);
    source_free(s->source);
    qs_free(s);
}

const char *qs_side_label(const struct qs_side *s)
{
    return s->label;
}

struct qs_engine *qs_side_engine(const struct qs_side *s)
{
    return s->engine;
}

const struct qs_model *qs_side_model(const struct qs_side *s)
{
    return s->source->model;
}

const struct qs_vocab *qs_side_vocab(const struct qs_side *s)
{
    return s->source->vocab;
}

const char *qs_side_warning(const struct qs_side *s, size_t i)
{
    return qs_vocab_warning(s->source->vocab, i);
}

const char *qs_side_template_error(const struct qs_side *s)
{
    return s->template ? NULL : s->template_error;
}

const char *qs_side_template_guess(const struct qs_side *s)
{
    return s->guess;
}

void qs_side_forget(struct qs_side *s)
{
    qs_session_free(s->session);
    s->session = NULL;
}

int qs_sides_comparable(const struct qs_side *a, const struct qs_side *b, struct qs_err *e)
{
    struct qs_str where = QS_STR_INIT;
    int rc = QS_OK;
    if (a->source != b->source && !qs_vocab_same(a->source->vocab, b->source->vocab, &where))
        rc = qs_fail(e, QS_EINVAL, "%s and %s cannot be compared token by token: their vocabularies differ (%s)",
                     a->label, b->label, where.data);
    qs_str_free(&where);
    return rc;
}

int qs_side_can_draft(const struct qs_side *draft, const struct qs_side *side, struct qs_err *e)
{
    struct qs_str where = QS_STR_INIT;
    int rc = QS_OK;
    if (draft->source != side->source && !qs_vocab_same(side->source->vocab, draft->source->vocab, &where))
        rc = qs_fail(e, QS_EINVAL, "%s cannot guess the tokens of %s: their vocabularies differ (%s). Take a small "
                     "model of the same family", draft->label, side->label, where.data);
    qs_str_free(&where);
    return rc;
}

/* ---- sessions ------------------------------------------------------------------------------------------------ */

static size_t context_of(size_t trained, const struct qs_talk_settings *t)
{
    if (t->n_ctx)
        return t->n_ctx;
    return trained && trained < CONTEXT_UNLESS_ASKED ? trained : CONTEXT_UNLESS_ASKED;
}

size_t qs_side_context(const struct qs_side *s, const struct qs_talk_settings *t)
{
    return context_of(qs_engine_config(s->engine)->n_ctx_train, t);
}

static struct qs_session_args session_args(const struct qs_talk_settings *t, size_t n_ctx)
{
    return (struct qs_session_args){ .n_ctx = n_ctx, .type_k = t->type_k, .type_v = t->type_v, .rotate = t->rotate };
}

int qs_side_ready(struct qs_side *s, const struct qs_talk_settings *t, size_t n_ctx, struct qs_err *e)
{
    const struct qs_session_args want = session_args(t, n_ctx), *have = &s->args;
    if (s->session && (have->n_ctx != want.n_ctx || have->type_k != want.type_k || have->type_v != want.type_v ||
                       have->rotate != want.rotate))
        qs_side_forget(s);
    if (!s->session) {
        const int rc = qs_session_new(s->engine, &want, &s->session, e);
        if (rc) {
            qs_err_prefix(e, "%s", s->label);
            return rc;
        }
        s->args = want;
    } else if (s->generation != qs_engine_generation(s->engine)) {
        qs_session_keep(s->session, 0); /* made with other weights */
    }
    s->generation = qs_engine_generation(s->engine);
    return QS_OK;
}

/* ---- what it takes ------------------------------------------------------------------------------------------- */

static void add_weights(const struct qs_side *s, struct qs_answer_memory *m)
{
    for (size_t i = 0; i < s->source->model->n_tensors; i++) {
        const struct qs_weight *w = qs_engine_weight(s->engine, i);
        if (w && w->map)
            m->mapped += w->bytes;
        else if (w)
            m->heap += w->bytes;
    }
    m->heap += qs_engine_packed(s->engine);
}

/* Weights that are the same bytes in both: possible where both are of one model. */
static void add_shared(const struct qs_side *a, const struct qs_side *b, struct qs_answer_memory *m)
{
    if (a->source->model != b->source->model)
        return;
    for (size_t i = 0; i < a->source->model->n_tensors; i++) {
        const struct qs_weight *wa = qs_engine_weight(a->engine, i), *wb = qs_engine_weight(b->engine, i);
        if (!wa || !wb || wa->parts.p[0] != wb->parts.p[0])
            continue;
        *(wa->map ? &m->mapped : &m->heap) += wa->bytes;
        m->heap += wa == wb ? qs_weight_packed(wa) : 0;
    }
}

int qs_chat_need(struct qs_side *const *side, size_t n, const struct qs_talk_settings *t, struct qs_chat_need *out,
                 struct qs_err *e)
{
    struct qs_chat_need need = { 0 };
    if (n == 0 || n > QS_ANSWER_SIDES)
        return qs_fail(e, QS_EINVAL, "a chat has one side or two, not %zu", n);
    for (size_t i = 0; i < n; i++) {
        const struct qs_session_args args = session_args(t, qs_side_context(side[i], t));
        add_weights(side[i], &need.side[i]);
        need.side[i].cache = qs_session_need(side[i]->engine, &args);
        need.private_bytes += need.side[i].heap + need.side[i].cache;
        need.total += need.side[i].mapped;
    }
    if (n == 2)
        add_shared(side[0], side[1], &need.shared);
    need.private_bytes -= need.shared.heap;
    need.total += need.private_bytes - need.shared.mapped;
    *out = need;
    return QS_OK;
}

void qs_chat_need_models(const struct qs_model *const *m, size_t n, const struct qs_talk_settings *t,
                         struct qs_chat_need *out)
{
    struct qs_chat_need need = { 0 };
    for (size_t k = 0; k < n && k < QS_ANSWER_SIDES; k++) {
        struct qs_answer_memory *x = &need.side[k];
        const size_t n_ctx = context_of(m[k]->hp.n_ctx, t);
        for (size_t i = 0; i < m[k]->n_tensors; i++)
            *(m[k]->tensor[i].made ? &x->heap : &x->mapped) += m[k]->tensor[i].size;
        x->cache = qs_need_kv_cache(m[k], n_ctx, t->type_k) / 2 + qs_need_kv_cache(m[k], n_ctx, t->type_v) / 2;
        need.private_bytes += x->heap + x->cache;
        need.total += x->mapped;
    }
    if (n == 2 && same_file(m[0], m[1]->path)) {
        need.shared = need.side[1];
        need.shared.cache = 0;
    }
    need.private_bytes -= need.shared.heap;
    need.total += need.private_bytes - need.shared.mapped;
    *out = need;
}
