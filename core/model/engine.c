/* engine.c - what runs a model and does not change from token to token: its weights, its configuration, its device.
 *
 * Owns references to weights (mapped, or given by qs_engine_set) and decoded copies of the small vectors. Refuses,
 * before anything is mapped, models whose architecture, tensors or shapes it does not know. The forward pass itself
 * is forward.c, timelines are session.c.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "core/model/engine_internal.h"
#include "core/model/need.h"

#define BATCH_DEFAULT 512
#define BATCH_MAX 4096

struct qs_slot_place *qs_engine_place(const struct qs_engine *x, size_t layer, enum qs_slot s)
{
    return s < QS_SLOT_BLOCK ? &x->block[layer * QS_SLOT_BLOCK + s]
                             : (struct qs_slot_place *)&x->whole[s - QS_SLOT_BLOCK];
}

/* ---- what is there ---- */

/* slot[i]: of tensor i, or -1. Every slot at most once: has[] as qs_slots_complete takes it. */
static int find_slots(const struct qs_model *m, const struct qs_config *c, int *slot, const struct qs_tensor **has,
                      struct qs_err *e)
{
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        int rc = qs_slot_of(m, c, t, &slot[i], e);
        if (rc != QS_OK)
            return rc;
        if (slot[i] < 0)
            continue;
        const struct qs_tensor **at =
            has + (slot[i] < QS_SLOT_BLOCK ? (size_t)t->layer * QS_SLOT_BLOCK + (size_t)slot[i]
                                           : c->n_layer * QS_SLOT_BLOCK + (size_t)(slot[i] - QS_SLOT_BLOCK));
        if (*at)
            return qs_fail(e, QS_EFORMAT, "%s: tensor %s is there twice", m->path, t->name);
        *at = t;
    }
    return qs_slots_complete(m, c, has, e);
}

static int look(const struct qs_model *m, struct qs_config **config, int **slot, struct qs_err *e)
{
    int rc = qs_config_new(m, config, e);
    if (rc != QS_OK)
        return rc;
    const size_t n = (*config)->n_layer * QS_SLOT_BLOCK + (QS_SLOTS - QS_SLOT_BLOCK);
    const struct qs_tensor **has = qs_calloc(n, sizeof(const struct qs_tensor *));
    *slot = qs_calloc(m->n_tensors + 1, sizeof **slot);
    rc = has && *slot ? find_slots(m, *config, *slot, has, e)
                      : qs_fail_mem(e, n * sizeof(const struct qs_tensor *), "the table of an engine");
    for (size_t l = 0; rc == QS_OK && l < (*config)->n_layer; l++)
        rc = qs_slots_agree(m, *config, l, has + l * QS_SLOT_BLOCK, e);
    qs_free(has);
    return rc;
}

int qs_engine_can(const struct qs_model *m, struct qs_err *e)
{
    struct qs_config *config = NULL;
    int *slot = NULL;
    int rc = look(m, &config, &slot, e);
    qs_free(slot);
    qs_config_free(config);
    return rc;
}

/* ---- filling the slots ---- */

static int decode_vector(const struct qs_weight *w, float **out, struct qs_err *e)
{
    const uint64_t n = w->rows * w->ne[0];
    float *vec = qs_malloc((size_t)n * sizeof *vec);
    if (!vec)
        return qs_fail_mem(e, n * sizeof *vec, "a norm or bias");
    int rc = qs_weight_decode(w, 0, w->rows, vec, e);
    if (rc != QS_OK)
        qs_free(vec);
    else
        *out = vec;
    return rc;
}

/* Takes over nothing; the place gets a reference or a decoded copy. */
static int put(struct qs_slot_place *p, bool matrix, struct qs_weight *w, struct qs_err *e)
{
    float *vec = NULL;
    int rc = matrix ? QS_OK : decode_vector(w, &vec, e);
    if (rc != QS_OK)
        return rc;
    struct qs_weight *old = p->weight;
    p->weight = qs_weight_ref(w);
    qs_weight_unref(old);
    qs_free(p->vec);
    p->vec = vec;
    return QS_OK;
}

/* Whether products take this slot's tensor: the embedding's rows are only looked up, unless they are the head too. */
static bool multiplied(const struct qs_engine *x, int slot)
{
    return slot != QS_SLOT_EMBED ? qs_slot_is_matrix(slot) && slot != QS_SLOT_ROUTER
                                 : !qs_engine_place(x, 0, QS_SLOT_OUTPUT)->weight;
}

static _Atomic uint64_t pack_limit;

void qs_engine_pack_limit(uint64_t bytes) { atomic_store(&pack_limit, bytes); }

uint64_t qs_engine_packed(const struct qs_engine *x)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < x->model->n_tensors; i++)
        if (x->of[i] && x->of[i]->weight)
            bytes += qs_weight_packed(x->of[i]->weight);
    return bytes;
}

/* Memory for panels is no condition: without it products go by rows. */
static void pack(const struct qs_engine *x, struct qs_weight *w)
{
    const uint64_t packed = qs_engine_packed(x);
    uint64_t took;
    if (packed < x->pack_most)
        (void)qs_weight_pack(w, x->args.pool, x->args.prio, x->pack_most - packed, &took, NULL);
}

static void pack_all(struct qs_engine *x, const int *slot)
{
    const uint64_t most = x->args.pack ? x->args.pack : atomic_load(&pack_limit);
    if (x->args.precision != QS_FAST || most == QS_PACK_NONE)
        return;
    x->pack_most = most ? most : qs_machine_memory().available / 2;
    for (size_t i = 0; i < x->model->n_tensors; i++)
        if (slot[i] >= 0 && multiplied(x, slot[i]))
            pack(x, x->of[i]->weight);
}

static int load(struct qs_engine *x, const int *slot, struct qs_err *e)
{
    const struct qs_model *m = x->model;
    int rc = QS_OK;
    for (size_t i = 0; rc == QS_OK && i < m->n_tensors; i++) {
        if (slot[i] < 0)
            continue;
        const struct qs_tensor *t = &m->tensor[i];
        struct qs_weight *w;
        rc = qs_model_weight(m, t, &w, e);
        if (rc != QS_OK)
            break;
        x->of[i] = qs_engine_place(x, t->layer < 0 ? 0 : (size_t)t->layer, (enum qs_slot)slot[i]);
        rc = put(x->of[i], qs_slot_is_matrix(slot[i]), w, e);
        qs_weight_unref(w);
    }
    return rc;
}

int qs_engine_new(const struct qs_model *m, const struct qs_engine_args *args, struct qs_engine **out, struct qs_err *e)
{
    *out = NULL;
    int *slot = NULL;
    struct qs_engine *x = qs_calloc(1, sizeof *x);
    if (!x)
        return qs_fail_mem(e, sizeof *x, "an engine");
    x->model = m;
    x->args = *args;
    if (x->args.batch == 0)
        x->args.batch = BATCH_DEFAULT;
    if (x->args.batch > BATCH_MAX)
        x->args.batch = BATCH_MAX;
    int rc = look(m, &x->config, &slot, e);
    if (rc == QS_OK) {
        x->block = qs_calloc(x->config->n_layer * QS_SLOT_BLOCK, sizeof *x->block);
        x->of = qs_calloc(m->n_tensors + 1, sizeof(struct qs_slot_place *));
        x->replaced = qs_calloc(m->n_tensors + 1, sizeof(struct qs_weight *));
        if (!x->block || !x->of || !x->replaced)
            rc = qs_fail_mem(e, m->n_tensors * sizeof(void *), "an engine");
    }
    if (rc == QS_OK)
        rc = qs_cpu_device_new(args->pool, &x->device, e);
    if (rc == QS_OK)
        rc = qs_model_made_room(m, e);
    if (rc == QS_OK)
        rc = load(x, slot, e);
    if (rc == QS_OK)
        pack_all(x, slot);
    if (rc == QS_OK)
        rc = qs_engine_intact(x, e);
    qs_free(slot);
    if (rc != QS_OK)
        qs_engine_free(x);
    else
        *out = x;
    return rc;
}

void qs_engine_free(struct qs_engine *x)
{
    if (!x)
        return;
    for (size_t i = 0; x->of && i < x->model->n_tensors; i++)
        if (x->of[i]) {
            qs_weight_unref(x->of[i]->weight);
            qs_free(x->of[i]->vec);
        }
    for (size_t i = 0; x->replaced && i < x->model->n_tensors; i++)
        qs_weight_unref(x->replaced[i]);
    if (x->device)
        x->device->free(x->device);
    qs_free(x->replaced);
    qs_free(x->of);
    qs_free(x->block);
    qs_config_free(x->config);
    qs_free(x);
}

/* ---- asking and swapping ---- */

const struct qs_config *qs_engine_config(const struct qs_engine *x) { return x->config; }
const struct qs_model *qs_engine_model(const struct qs_engine *x) { return x->model; }
enum qs_precision qs_engine_precision(const struct qs_engine *x) { return x->args.precision; }
size_t qs_engine_batch(const struct qs_engine *x) { return x->args.batch; }
uint64_t qs_engine_generation(const struct qs_engine *x) { return x->generation; }

const struct qs_weight *qs_engine_weight(const struct qs_engine *x, size_t tensor)
{
    return tensor < x->model->n_tensors && x->of[tensor] ? x->of[tensor]->weight : NULL;
}

int qs_engine_set(struct qs_engine *x, size_t tensor, struct qs_weight *w, struct qs_err *e)
{
    const struct qs_model *m = x->model;
    if (tensor >= m->n_tensors)
        return qs_fail(e, QS_EINVAL, "%s has no tensor %zu", m->path, tensor);
    const struct qs_tensor *t = &m->tensor[tensor];
    struct qs_slot_place *p = x->of[tensor];
    if (!p)
        return QS_OK; /* nothing that is run */
    if (w && (memcmp(w->ne, t->ne, sizeof w->ne) != 0 || !qs_format_ops(w->format->id)->decode))
        return qs_fail(e, QS_EINVAL, "tensor %s: another weight must have its shape and a type that can be decoded",
                       t->name);
    struct qs_weight *use = w ? qs_weight_ref(w) : NULL;
    int rc = w ? QS_OK : qs_model_weight(m, t, &use, e);
    const bool matrix = p->vec == NULL;
    int slot;
    if (rc == QS_OK)
        rc = put(p, matrix, use, e);
    if (rc == QS_OK && qs_slot_of(m, x->config, t, &slot, NULL) == QS_OK && slot >= 0 && multiplied(x, slot))
        pack(x, p->weight);
    qs_weight_unref(use);
    if (rc != QS_OK)
        return rc;
    qs_weight_unref(x->replaced[tensor]);
    x->replaced[tensor] = w ? qs_weight_ref(w) : NULL;
    x->generation++;
    return QS_OK;
}

int qs_engine_intact(const struct qs_engine *x, struct qs_err *e)
{
    const struct qs_model *m = x->model;
    const struct qs_map *seen = NULL; /* many weights of one file follow each other */
    int rc = qs_model_intact(m, e);
    for (size_t i = 0; rc == QS_OK && i < m->n_tensors; i++) {
        const struct qs_weight *w = x->of[i] && (x->replaced[i] || m->tensor[i].made) ? x->of[i]->weight : NULL;
        if (w && w->map != seen)
            rc = qs_weight_intact(w, e);
        seen = w ? w->map : seen;
    }
    return rc;
}

uint64_t qs_engine_bytes_per_token(const struct qs_engine *x)
{
    const struct qs_config *c = x->config;
    uint64_t bytes = 0;
    for (size_t i = 0; i < c->n_layer * QS_SLOT_BLOCK; i++) {
        const struct qs_weight *w = x->block[i].weight;
        if (!w)
            continue;
        const uint64_t share = w->ne[2] > 1 ? w->bytes / w->ne[2] * c->n_expert_used : w->bytes;
        bytes += share;
    }
    const struct qs_weight *head = x->whole[QS_SLOT_OUTPUT - QS_SLOT_BLOCK].weight;
    const struct qs_weight *embd = x->whole[QS_SLOT_EMBED - QS_SLOT_BLOCK].weight;
    const struct qs_weight *norm = x->whole[QS_SLOT_OUTPUT_NORM - QS_SLOT_BLOCK].weight;
    return bytes + norm->bytes + (head ? head->bytes + embd->bytes / embd->rows : embd->bytes);
}
