/* candidate.c - owns the list of weights that a plan comes to, and the folder where scratch files go; see candidate.h.
 *
 * Encodes through the writer's slices, into the place where the weight lies. Refuses plans that stand in their own way.
 * One thread makes a candidate; once it is whole it never changes, and only its references are counted atomically.
 */
#include "core/quant/candidate.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/quant/writer_internal.h"

#define HEAP_MOST (UINT64_C(64) << 10) /* bytes of a weight that is not worth a mapping */

struct item {
    struct qs_weight *weight;   /* NULL: to be made */
    int type;
    bool shared;
    bool weighed;               /* with importance weights: */
    struct qs_key importance;   /* hash of them */
    bool stored;                /* made beforehand: */
    struct qs_key bytes;        /* hash of them */
    struct qs_error_sums sums;
};

struct qs_candidate {
    int refs;
    const struct qs_model *model;
    const struct qs_plan *plan; /* while it is made */
    struct item *item;
    size_t n, missing;
};

/* ---- what is the same ---------------------------------------------------------------------------------------- */

static struct item item_of(const struct qs_encoding *enc)
{
    struct item x = { .type = enc->type, .shared = enc->copy, .stored = enc->stored != NULL };
    if (enc->stored)
        x.bytes = enc->stored->hash;
    else if (!enc->copy && enc->importance) {
        x.weighed = true;
        x.importance = qs_hash_bytes(enc->importance->value, enc->importance->n * sizeof *enc->importance->value);
    }
    return x;
}

static bool same(const struct item *a, const struct item *b)
{
    return a->type == b->type && a->shared == b->shared && a->weighed == b->weighed &&
           a->stored == b->stored && (!a->weighed || qs_key_equal(a->importance, b->importance)) &&
           (!a->stored || qs_key_equal(a->bytes, b->bytes));
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

int qs_candidate_take(struct qs_candidate *c, const struct qs_candidate *from, struct qs_err *e)
{
    if (from->model != c->model)
        return qs_fail(e, QS_EINVAL, "the candidate before is of another model");
    for (size_t i = 0; i < c->n; i++) {
        struct item *x = &c->item[i];
        const struct item *old = &from->item[i];
        if (x->weight || !old->weight || !same(x, old))
            continue;
        x->weight = qs_weight_ref(old->weight);
        x->sums = old->sums;
        c->missing--;
    }
    if (!c->missing)
        c->plan = NULL;
    return QS_OK;
}

int qs_candidate_new(const struct qs_plan *plan, const struct qs_candidate *before,
                     struct qs_candidate **out, struct qs_err *e)
{
    *out = NULL;
    if (plan->blocker.code) {
        if (e)
            *e = plan->blocker;
        return (int)plan->blocker.code;
    }
    struct qs_candidate *c = qs_calloc(1, sizeof *c);
    struct item *item = qs_calloc(plan->n + 1, sizeof *item);
    if (!c || !item) {
        qs_free(c);
        qs_free(item);
        return qs_fail_mem(e, plan->n * sizeof *item, "a candidate");
    }
    *c = (struct qs_candidate){ .refs = 1, .model = plan->model, .plan = plan, .item = item, .n = plan->n,
                                .missing = plan->n };
    for (size_t i = 0; i < c->n; i++)
        c->item[i] = item_of(&plan->enc[i]);
    const int rc = before ? qs_candidate_take(c, before, e) : QS_OK;
    if (rc)
        qs_candidate_unref(c);
    else
        *out = c;
    return rc;
}

struct qs_candidate *qs_candidate_ref(struct qs_candidate *c)
{
    __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    return c;
}

void qs_candidate_unref(struct qs_candidate *c)
{
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < c->n; i++)
        qs_weight_unref(c->item[i].weight);
    qs_free(c->item);
    qs_free(c);
}

/* ---- making it ----------------------------------------------------------------------------------------------- */

static int room_for(const struct qs_encoding *enc, const char *dir, struct qs_weight **out, struct qs_parts *parts,
                    struct qs_err *e)
{
    const struct qs_format *f = qs_format_by_id(enc->type);
    const struct qs_tensor *t = enc->tensor;
    uint64_t ne[4] = { 1, 1, 1, 1 };
    for (unsigned d = 0; d < t->n_dims && d < 4; d++)
        ne[d] = t->ne[d];
    if (!f || f->n_components != 1)
        return qs_fail(e, QS_EUNSUPPORTED, "tensor %s: type %s cannot be made in memory", t->name,
                       qs_type_name(enc->type));
    return enc->bytes > HEAP_MOST ? qs_weight_scratch(f, ne, dir, out, parts, e)
                                  : qs_weight_heap(f, ne, out, parts, e);
}

/* All slices of a tensor, each into its place. */
static int encode(struct qs_writing *r, size_t i, const struct qs_weight *from, uint8_t *to, struct qs_error_sums *sums,
                  struct qs_error_sums *total, struct qs_err *e)
{
    const struct qs_encoding *enc = &r->plan->enc[i];
    const struct qs_slices *s = &r->cut[i];
    for (uint64_t k = 0; k < s->n; k++) {
        struct qs_piece p = { .data = to + qs_slice_offset(s, k), .tensor = (uint32_t)i, .slice = (uint32_t)k };
        int rc = qs_writing_fill_slice(r, i, k, from, &p, e);
        if (rc)
            return rc;
        qs_error_sums_add(sums, &p.sums);
        qs_error_sums_add(total, &p.sums);
        if (total->n)
            qs_job_error(r->job, qs_error_rms(total));
        rc = qs_job_step(r->job, qs_slice_weights(enc, s, k), e);
        if (rc)
            return rc;
    }
    return QS_OK;
}

static int make_encoded(struct qs_candidate *c, struct qs_writing *r, size_t i, const char *dir, struct qs_err *e)
{
    const struct qs_encoding *enc = &r->plan->enc[i];
    struct qs_weight *from = NULL, *made = NULL;
    struct qs_parts parts;
    struct qs_error_sums sums = { 0 };
    qs_job_item(r->job, "%s -> %s", enc->tensor->name, qs_type_name(enc->type));
    int rc = room_for(enc, dir, &made, &parts, e);
    if (!rc)
        rc = qs_model_weight(c->model, enc->tensor, &from, e);
    if (!rc)
        rc = encode(r, i, from, parts.p[0], &sums, &r->total, e);
    if (!rc)
        rc = qs_weight_intact(made, e);
    qs_weight_unref(from);
    if (rc) {
        qs_weight_unref(made);
        return rc;
    }
    c->item[i].weight = made;
    c->item[i].sums = sums;
    c->missing--;
    return QS_OK;
}

/* The store's mapped bytes, measured against the source as the writer does. */
static int make_stored(struct qs_candidate *c, struct qs_writing *r, size_t i, struct qs_err *e)
{
    const struct qs_encoding *enc = &r->plan->enc[i];
    struct qs_weight *from = NULL, *made = NULL;
    struct qs_error_sums sums = { 0 };
    const struct qs_slices *s = &r->cut[i];
    qs_job_item(r->job, "%s -> %s, calibrated", enc->tensor->name, qs_type_name(enc->type));
    int rc = qs_store_weight(r->plan->store, enc->stored, &made, e);
    if (!rc)
        rc = qs_model_weight(c->model, enc->tensor, &from, e);
    for (uint64_t k = 0; !rc && k < s->n; k++) {
        struct qs_error_sums one = { 0 };
        const uint64_t row = k * s->rows_per, n = qs_min_u64(s->rows_per, enc->tensor->rows - row);
        rc = qs_writing_made_sums(r, i, row, n, from, made, NULL, &one, e);
        qs_error_sums_add(&sums, &one);
        qs_error_sums_add(&r->total, &one);
        if (!rc && r->total.n)
            qs_job_error(r->job, qs_error_rms(&r->total));
        rc = rc ? rc : qs_job_step(r->job, qs_slice_weights(enc, s, k), e);
    }
    if (!rc && sums.nonfinite)
        rc = qs_fail(e, QS_EFORMAT, "%s: %llu weights are NaN or infinite, in the source or in its calibrated form",
                     enc->tensor->name, (unsigned long long)sums.nonfinite);
    qs_weight_unref(from);
    if (rc) {
        qs_weight_unref(made);
        return rc;
    }
    c->item[i].weight = made;
    c->item[i].sums = sums;
    c->missing--;
    return QS_OK;
}

/* The model's own. A type that this program does not know has no weight: nobody can run it either. */
static int make_shared(struct qs_candidate *c, size_t i, struct qs_err *e)
{
    const struct qs_tensor *t = c->plan->enc[i].tensor;
    const int rc = t->format ? qs_model_weight(c->model, t, &c->item[i].weight, e)
                             : qs_fail(e, QS_EUNSUPPORTED, "tensor %s has a type that cannot be run", t->name);
    if (!rc)
        c->missing--;
    return rc;
}

static uint64_t weights_missing(const struct qs_candidate *c)
{
    uint64_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if (!c->item[i].weight && !c->item[i].shared)
            n += c->plan->enc[i].tensor->n;
    return n;
}

/* What is shared costs nothing and comes first. */
static int make_all(struct qs_candidate *c, struct qs_writing *r, const char *dir, struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t i = 0; !rc && i < c->n; i++)
        if (!c->item[i].weight && c->item[i].shared)
            rc = make_shared(c, i, e);
    if (rc || !c->missing)
        return rc;
    rc = qs_writing_cut(r, e);
    if (!rc)
        rc = qs_encoder_new(r->pool, qs_slices_widest_row(r->plan), &r->encoder, e);
    for (size_t i = 0; !rc && i < c->n; i++)
        if (!c->item[i].weight)
            rc = c->item[i].stored ? make_stored(c, r, i, e) : make_encoded(c, r, i, dir, e);
    return rc;
}

int qs_candidate_run(struct qs_candidate *c, struct qs_pool *pool, struct qs_job *job, struct qs_err *e)
{
    if (!c->missing)
        return QS_OK;
    struct qs_writing r = { .plan = c->plan, .pool = pool, .job = job };
    struct qs_str dir = QS_STR_INIT;
    qs_job_phase(job, "encode", "weights", weights_missing(c));
    int rc = qs_scratch_dir(&dir, e);
    if (!rc)
        rc = make_all(c, &r, dir.data, e);
    if (!rc)
        rc = qs_model_intact(c->model, e);
    qs_encoder_free(r.encoder);
    qs_free(r.cut);
    qs_free(r.done);
    qs_free(r.sums);
    qs_str_free(&dir);
    if (!rc)
        c->plan = NULL;
    return rc;
}

/* ---- looking at it ------------------------------------------------------------------------------------------- */

bool qs_candidate_whole(const struct qs_candidate *c)
{
    return c->missing == 0;
}

const struct qs_model *qs_candidate_model(const struct qs_candidate *c)
{
    return c->model;
}

struct qs_weight *qs_candidate_weight(const struct qs_candidate *c, size_t i)
{
    return i < c->n ? c->item[i].weight : NULL;
}

bool qs_candidate_shares(const struct qs_candidate *c, size_t i)
{
    return i < c->n && c->item[i].shared;
}

struct qs_error_sums qs_candidate_error(const struct qs_candidate *c)
{
    struct qs_error_sums total = { 0 };
    for (size_t i = 0; i < c->n; i++)
        qs_error_sums_add(&total, &c->item[i].sums);
    return total;
}

/* ---- before it is made --------------------------------------------------------------------------------------- */

int qs_candidate_need(const struct qs_plan *plan, const struct qs_candidate *before, unsigned threads,
                      struct qs_candidate_need *out, struct qs_err *e)
{
    struct qs_candidate *c;
    struct qs_str dir = QS_STR_INIT;
    *out = (struct qs_candidate_need){ 0 };
    int rc = qs_candidate_new(plan, before, &c, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < c->n; i++) {
        const struct qs_encoding *enc = &plan->enc[i];
        uint64_t *place = enc->copy || enc->stored ? &out->shared : enc->bytes > HEAP_MOST ? &out->scratch : &out->heap;
        *place += enc->bytes;
    }
    out->to_make = weights_missing(c);
    if (out->to_make)
        out->working = qs_encoder_memory(threads, qs_slices_widest_row(plan));
    qs_candidate_unref(c);
    rc = qs_scratch_dir(&dir, e);
    if (!rc && qs_file_free_space(dir.data, &out->free_disk, NULL))
        out->free_disk = 0;
    qs_str_free(&dir);
    return rc;
}
