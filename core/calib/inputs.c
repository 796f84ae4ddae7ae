/* inputs.c - which input each matrix of a model reads.
 *
 * Owns the table from slots of the forward pass to points. Refuses a model without any matrix that can be quantized.
 * Matrices that the forward pass does not run (a dense feed-forward part beside a router) and those that always stay as
 * they are (routers) are in no input.
 */
#include <inttypes.h>

#include "base/mem.h"
#include "core/calib/inputs.h"
#include "core/model/engine_internal.h"
#include "core/quant/preset.h"

static const struct { const char *name; enum qs_half half; } points[QS_POINTS] = {
    [QS_POINT_ATTN_IN] = { "attn_in", QS_HALF_ATTN },
    [QS_POINT_ATTN_OUT] = { "attn_out", QS_HALF_ATTN },
    [QS_POINT_FFN_IN] = { "ffn_in", QS_HALF_FFN },
    [QS_POINT_FFN_DOWN] = { "ffn_down", QS_HALF_FFN },
    [QS_POINT_BLOCK] = { "block", QS_HALF_FFN },
    [QS_POINT_HEAD] = { "head", QS_HALF_HEAD },
    [QS_POINT_SHARED_DOWN] = { "shared_down", QS_HALF_FFN },
    [QS_POINT_EXPERTS_IN] = { "experts_in", QS_HALF_FFN },
    [QS_POINT_EXPERTS_DOWN] = { "experts_down", QS_HALF_FFN },
};

/* As a block reaches them. */
static const enum qs_point order[] = { QS_POINT_ATTN_IN, QS_POINT_ATTN_OUT, QS_POINT_FFN_IN, QS_POINT_FFN_DOWN,
                                       QS_POINT_EXPERTS_IN, QS_POINT_EXPERTS_DOWN, QS_POINT_SHARED_DOWN };

const char *qs_point_name(enum qs_point p) { return (unsigned)p < QS_POINTS ? points[p].name : "?"; }
enum qs_half qs_point_half(enum qs_point p) { return (unsigned)p < QS_POINTS ? points[p].half : QS_HALF_HEAD; }

/* QS_POINT_BLOCK: no matrix that is run from an input of its own. */
static enum qs_point point_of(int slot, bool routed)
{
    switch (slot) {
    case QS_SLOT_Q: case QS_SLOT_K: case QS_SLOT_V: case QS_SLOT_QKV: return QS_POINT_ATTN_IN;
    case QS_SLOT_O: return QS_POINT_ATTN_OUT;
    case QS_SLOT_GATE: case QS_SLOT_UP: return routed ? QS_POINT_BLOCK : QS_POINT_FFN_IN;
    case QS_SLOT_DOWN: return routed ? QS_POINT_BLOCK : QS_POINT_FFN_DOWN;
    case QS_SLOT_GATE_SHARED: case QS_SLOT_UP_SHARED: return QS_POINT_FFN_IN;
    case QS_SLOT_DOWN_SHARED: return QS_POINT_SHARED_DOWN;
    case QS_SLOT_GATE_EXPS: case QS_SLOT_UP_EXPS: case QS_SLOT_GATE_UP_EXPS: return QS_POINT_EXPERTS_IN;
    case QS_SLOT_DOWN_EXPS: return QS_POINT_EXPERTS_DOWN;
    case QS_SLOT_OUTPUT: return QS_POINT_HEAD;
    default: return QS_POINT_BLOCK;
    }
}

/* The point that tensor i reads; QS_POINT_BLOCK: none. *layer: n_layer for the head. */
static enum qs_point of_tensor(const struct qs_engine *x, size_t i, int *layer)
{
    const struct qs_slot_place *p = x->of[i];
    const size_t n_layer = x->config->n_layer;
    if (!p || !p->weight || !qs_preset_quantizes(x->model, &x->model->tensor[i]))
        return QS_POINT_BLOCK;
    if (p >= x->whole && p < x->whole + (QS_SLOTS - QS_SLOT_BLOCK)) {
        const int slot = QS_SLOT_BLOCK + (int)(p - x->whole);
        const bool tied = slot == QS_SLOT_EMBED && !qs_engine_place(x, 0, QS_SLOT_OUTPUT)->weight;
        *layer = (int)n_layer;
        return point_of(tied ? QS_SLOT_OUTPUT : slot, false);
    }
    const size_t at = (size_t)(p - x->block), l = at / QS_SLOT_BLOCK;
    *layer = (int)l;
    return point_of((int)(at % QS_SLOT_BLOCK), qs_engine_place(x, l, QS_SLOT_ROUTER)->weight != NULL);
}

struct fill {
    const struct qs_engine *x;
    struct qs_inputs *to;    /* input has room for all */
    size_t *tensor;          /* and so has this */
    size_t used;
};

/* Gathers the matrices that read one point; a new input where there are any. */
static int gather(struct fill *f, int layer, enum qs_point point, struct qs_err *e)
{
    const struct qs_model *m = f->x->model;
    struct qs_input *in = &f->to->input[f->to->n];
    *in = (struct qs_input){ .layer = layer, .point = point, .tensor = f->tensor + f->used };
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        int l = -1;
        if (of_tensor(f->x, i, &l) != point || l != layer)
            continue;
        if (in->n_tensors == 0) {
            in->cols = (size_t)t->ne[0];
            in->experts = t->ne[2] ? (size_t)t->ne[2] : 1;
        }
        if (t->ne[0] != in->cols || t->ne[2] != in->experts)
            return qs_fail(e, QS_EFORMAT, "%s: tensor %s has %" PRIu64 " columns, what it reads has %zu", m->path, t->name,
                           t->ne[0], in->cols);
        f->tensor[f->used++] = i;
        in->n_tensors++;
    }
    f->to->n += in->n_tensors > 0;
    return QS_OK;
}

int qs_inputs_new(const struct qs_engine *x, struct qs_inputs **out, struct qs_err *e)
{
    const size_t n_layer = x->config->n_layer, n_points = sizeof order / sizeof *order;
    const size_t most = n_layer * n_points + 1, n_tensors = x->model->n_tensors;
    struct fill f = { x, qs_calloc(1, sizeof(struct qs_inputs)), NULL, 0 };
    *out = NULL;
    if (f.to && (f.to->input = qs_calloc(most, sizeof *f.to->input)))
        f.to->input[0].tensor = f.tensor = qs_calloc(n_tensors + 1, sizeof *f.tensor);
    int rc = f.tensor ? QS_OK : qs_fail_mem(e, most * sizeof(struct qs_input), "the table of inputs");
    for (size_t l = 0; rc == QS_OK && l < n_layer; l++)
        for (size_t p = 0; rc == QS_OK && p < n_points; p++)
            rc = gather(&f, (int)l, order[p], e);
    if (rc == QS_OK)
        rc = gather(&f, (int)n_layer, QS_POINT_HEAD, e);
    if (rc == QS_OK && f.to->n == 0)
        rc = qs_fail(e, QS_EUNSUPPORTED, "%s: no matrix of this model can be quantized", x->model->path);
    if (rc == QS_OK)
        *out = f.to;
    else
        qs_inputs_free(f.to);
    return rc;
}

void qs_inputs_free(struct qs_inputs *in)
{
    if (!in)
        return;
    if (in->input)
        qs_free((void *)in->input[0].tensor); /* one block, the first input's are its beginning */
    qs_free(in->input);
    qs_free(in);
}

const struct qs_input *qs_inputs_of(const struct qs_inputs *in, size_t tensor)
{
    for (size_t i = 0; i < in->n; i++)
        for (size_t k = 0; k < in->input[i].n_tensors; k++)
            if (in->input[i].tensor[k] == tensor)
                return &in->input[i];
    return NULL;
}
