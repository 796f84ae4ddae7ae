/* zoom.c - owns the result of a look at one tensor: its sizes, what is published of it, and the copies readers take.
 *
 * The runner (zoom_run.c) fills `now` and the channels, which nobody else sees; publishing derives what is drawn and copies
 * it into `front` under the lock; readers copy from there under the same lock. Refuses, before any work, what cannot be
 * measured. Any number of threads may read while one runs.
 */
#include "core/quant/zoom.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/quant/zoom_internal.h"

#define COLUMN_UNIT 32         /* tiles have whole blocks of so many columns, where rows are made of such */
#define PUBLISH_EVERY 0.02     /* seconds, at least; */
#define PUBLISH_SHARE 20       /* and at least so many times what the last one took */

/* ---- views --------------------------------------------------------------------------------------------------- */

struct sizes { uint64_t rows, cols; unsigned tiles[2], bins[2]; };

static size_t block_bytes(const struct sizes *s)
{
    return (size_t)(s->tiles[QS_ROWS] + s->tiles[QS_COLS] + 2) * sizeof(uint64_t) +
           (size_t)(s->bins[QS_ROWS] + s->bins[QS_COLS]) * sizeof(struct qs_zoom_bin) +
           (size_t)s->tiles[QS_ROWS] * s->tiles[QS_COLS] * sizeof(struct qs_zoom_tile);
}

/* Points the view's arrays into its block: 8-byte items first. */
static void bind(struct qs_zoom_view *v)
{
    uint64_t *from = v->block;
    for (int a = 0; a < 2; a++) {
        v->axis[a].tile_from = from;
        from += v->axis[a].n_tiles + 1;
    }
    struct qs_zoom_bin *bin = (void *)from;
    for (int a = 0; a < 2; a++) {
        v->axis[a].bin = bin;
        bin += v->axis[a].n_bins;
    }
    v->tile = (void *)bin;
}

static struct qs_zoom_view *view_new(const struct sizes *s)
{
    struct qs_zoom_view *v = qs_calloc(1, sizeof *v);
    if (!v)
        return NULL;
    v->block_bytes = block_bytes(s);
    v->block = qs_malloc(v->block_bytes);
    if (!v->block) {
        qs_free(v);
        return NULL;
    }
    for (int a = 0; a < 2; a++) {
        v->axis[a].n = a == QS_ROWS ? s->rows : s->cols;
        v->axis[a].n_tiles = s->tiles[a];
        v->axis[a].n_bins = s->bins[a];
    }
    bind(v);
    return v;
}

void qs_zoom_view_free(struct qs_zoom_view *v)
{
    if (!v)
        return;
    qs_free(v->block);
    qs_free(v);
}

static void view_copy(struct qs_zoom_view *to, const struct qs_zoom_view *from)
{
    void *const block = to->block;
    memcpy(block, from->block, from->block_bytes);
    *to = *from;
    to->block = block;
    bind(to);
}

static struct sizes sizes_of(const struct qs_zoom_view *v)
{
    return (struct sizes){ v->axis[QS_ROWS].n, v->axis[QS_COLS].n, { v->axis[QS_ROWS].n_tiles, v->axis[QS_COLS].n_tiles },
                           { v->axis[QS_ROWS].n_bins, v->axis[QS_COLS].n_bins } };
}

int qs_zoom_view_new(const struct qs_zoom *z, struct qs_zoom_view **out, struct qs_err *e)
{
    const struct sizes s = sizes_of(z->now); /* constant */
    struct qs_zoom_view *v = view_new(&s);
    if (!v)
        return qs_fail_mem(e, sizeof *v + block_bytes(&s), "a view of a tensor");
    for (size_t i = 0; i < (size_t)s.tiles[0] * s.tiles[1]; i++)
        v->tile[i] = (struct qs_zoom_tile){ NAN, NAN };
    memset(v->block, 0, (size_t)((unsigned char *)v->tile - (unsigned char *)v->block));
    *out = v;
    return QS_OK;
}

uint64_t qs_zoom_version(struct qs_zoom *z)
{
    pthread_mutex_lock(&z->lock);
    const uint64_t version = z->front->version;
    pthread_mutex_unlock(&z->lock);
    return version;
}

void qs_zoom_copy(struct qs_zoom *z, struct qs_zoom_view *to)
{
    pthread_mutex_lock(&z->lock);
    view_copy(to, z->front);
    pthread_mutex_unlock(&z->lock);
}

/* ---- publishing ---------------------------------------------------------------------------------------------- */

/* Columns are sums until they are looked at; rows are final as soon as they are done. */
static void finish_columns(struct qs_zoom *z)
{
    for (uint64_t c = 0; c < z->cols; c++) {
        const struct qs_zoom_column *k = &z->column[c];
        const struct qs_error_sums s = { .err2 = k->err2, .ref2 = k->ref2, .n = z->now->rows_done,
                                         .nonfinite = k->nonfinite };
        const uint64_t n = s.n - s.nonfinite;
        z->channel[QS_COLS][QS_ZOOM_RMS][c] = n ? (float)sqrt(s.ref2 / (double)n) : NAN;
        z->channel[QS_COLS][QS_ZOOM_ERROR][c] = (float)qs_error_rms(&s);
    }
}

static void fill_bins(const struct qs_zoom *z, int axis)
{
    struct qs_zoom_axis *const x = &z->now->axis[axis];
    for (uint64_t b = 0; b < x->n_bins; b++)
        for (int k = 0; k < QS_ZOOM_MEASURES; k++) {
            double sum = 0, most = -1;
            uint64_t n = 0;
            for (uint64_t i = x->n * b / x->n_bins; i < x->n * (b + 1) / x->n_bins; i++) {
                const double v = z->channel[axis][k][i];
                if (isnan(v))
                    continue;
                sum += v;
                most = v > most ? v : most;
                n++;
            }
            x->bin[b].max[k] = n ? (float)most : NAN;
            x->bin[b].mean[k] = n ? (float)(sum / (double)n) : NAN;
        }
}

static void find_worst(const struct qs_zoom *z, int axis)
{
    struct qs_zoom_axis *const x = &z->now->axis[axis];
    const float *error = z->channel[axis][QS_ZOOM_ERROR];
    x->median_error = qs_outlier_yardstick(error, z->sorted, (size_t)x->n);
    x->n_worst = 0;
    for (uint64_t i = 0; i < x->n; i++) {
        const double v = error[i];
        if (!(v > 0) || (x->n_worst == QS_ZOOM_WORST && !(v > x->worst[x->n_worst - 1].error)))
            continue;
        unsigned at = x->n_worst < QS_ZOOM_WORST ? x->n_worst++ : x->n_worst - 1;
        for (; at > 0 && v > x->worst[at - 1].error; at--)
            x->worst[at] = x->worst[at - 1];
        x->worst[at] = (struct qs_zoom_worst){ i, v, v / x->median_error };
    }
}

void qs_zoom_publish(struct qs_zoom *z, bool always)
{
    const double began = qs_now();
    if (!always && began < z->next_publish)
        return;
    z->now->error = qs_error_rms(&z->now->total);
    finish_columns(z);
    for (int a = 0; a < 2; a++) {
        fill_bins(z, a);
        find_worst(z, a);
    }
    z->now->version++;
    pthread_mutex_lock(&z->lock);
    view_copy(z->front, z->now);
    pthread_mutex_unlock(&z->lock);
    const double took = PUBLISH_SHARE * (qs_now() - began);
    z->next_publish = qs_now() + (took > PUBLISH_EVERY ? took : PUBLISH_EVERY);
}

void qs_zoom_publish_stage(struct qs_zoom *z, enum qs_zoom_stage stage)
{
    pthread_mutex_lock(&z->lock);
    z->front->stage = stage;
    z->front->version++;
    pthread_mutex_unlock(&z->lock);
}

/* ---- making one ---------------------------------------------------------------------------------------------- */

static int check_type(const struct qs_tensor *t, int type, struct qs_err *e)
{
    const struct qs_format *f = qs_format_by_id(type);
    if (!t->format || !qs_format_ops(t->type)->decode)
        return qs_fail(e, QS_EUNSUPPORTED, "%s: its type %s holds no weights that can be looked at", t->name,
                       t->format ? t->format->name : "is unknown to this program and");
    if (type == t->type)
        return QS_OK;
    if (t->format->kind == QS_KIND_INT)
        return qs_fail(e, QS_EUNSUPPORTED, "%s holds integers (%s), which are never quantized: look at it as stored", t->name,
                       t->format->name);
    if (!f || !qs_format_ops(type)->fit || (f->flags & (QS_NO_ENCODE | QS_INTERNAL)))
        return qs_fail(e, QS_EUNSUPPORTED, "%s: tensors cannot be written as %s", t->name, qs_type_name(type));
    if (t->n_dims < 2 && f->kind != QS_KIND_FLOAT)
        return qs_fail(e, QS_EINVAL, "%s cannot be %s: %s", t->name, f->name, qs_gap_text(QS_GAP_ONE_DIM));
    if (t->ne[0] % f->block)
        return qs_fail(e, QS_EINVAL, "%s cannot be %s: its rows of %llu weights are no multiple of the block of %u", t->name,
                       f->name, (unsigned long long)t->ne[0], (unsigned)f->block);
    return QS_OK;
}

static int check(const struct qs_zoom_args *a, int type, struct qs_err *e)
{
    const struct qs_tensor *t = a->tensor;
    const uint64_t experts = t->ne[1] ? t->rows / t->ne[1] : 0;
    if (!t->n)
        return qs_fail(e, QS_EINVAL, "%s has no weights", t->name);
    if (a->expert != QS_ZOOM_ALL && a->expert >= experts)
        return experts > 1 ? qs_fail(e, QS_EINVAL, "%s has no expert %llu: there are %llu, counted from 0", t->name,
                                     (unsigned long long)a->expert, (unsigned long long)experts)
                           : qs_fail(e, QS_EINVAL, "%s has no experts to choose from", t->name);
    if (!a->tile_rows || !a->tile_cols || a->tile_rows > QS_ZOOM_TILES || a->tile_cols > QS_ZOOM_TILES || !a->bins ||
        a->bins > QS_ZOOM_BINS_MAX)
        return qs_fail(e, QS_EINVAL, "a picture of %u x %u tiles with profiles of %u bins is none", a->tile_rows,
                       a->tile_cols, a->bins);
    if (a->stats && (!a->stats->known || a->stats->n != (a->expert == QS_ZOOM_ALL ? t->n : t->n / experts)))
        return qs_fail(e, QS_EINVAL, "the distribution given is not that of %s", t->name);
    return check_type(t, type, e);
}

static struct sizes choose_sizes(const struct qs_zoom *z)
{
    const uint64_t units = z->cols % COLUMN_UNIT ? z->cols : z->cols / COLUMN_UNIT;
    const struct qs_zoom_args *a = &z->args;
    return (struct sizes){
        .rows = z->rows, .cols = z->cols,
        .tiles = { a->tile_rows < z->rows ? a->tile_rows : (unsigned)z->rows, a->tile_cols < units ? a->tile_cols : (unsigned)units },
        .bins = { a->bins < z->rows ? a->bins : (unsigned)z->rows, a->bins < z->cols ? a->bins : (unsigned)z->cols },
    };
}

/* i n / parts without overflow: tiles and bins are few, but n may be anything. */
static uint64_t cut(uint64_t n, unsigned parts, unsigned i)
{
    return n / parts * i + n % parts * i / parts;
}

static void start_view(const struct qs_zoom *z, int type)
{
    struct qs_zoom_view *v = z->now;
    const struct qs_format *f = qs_format_by_id(type);
    const uint64_t unit = z->cols % COLUMN_UNIT ? 1 : COLUMN_UNIT;
    v->tensor = z->args.tensor;
    v->type = type;
    v->as_stored = type == z->args.tensor->type;
    v->weighted = z->args.importance && !v->as_stored;
    v->expert = z->args.expert;
    v->error = NAN;
    v->bytes = z->rows * qs_format_row_bytes(f, (size_t)z->cols);
    v->bpw = qs_format_bpw(f);
    if (z->have_stats)
        v->stats = *z->args.stats;
    for (unsigned i = 0; i <= v->axis[QS_ROWS].n_tiles; i++)
        v->axis[QS_ROWS].tile_from[i] = cut(z->rows, v->axis[QS_ROWS].n_tiles, i);
    for (unsigned i = 0; i <= v->axis[QS_COLS].n_tiles; i++)
        v->axis[QS_COLS].tile_from[i] = unit * cut(z->cols / unit, v->axis[QS_COLS].n_tiles, i);
    for (size_t i = 0; i < (size_t)v->axis[QS_ROWS].n_tiles * v->axis[QS_COLS].n_tiles; i++)
        v->tile[i] = (struct qs_zoom_tile){ NAN, NAN };
}

static int allocate(struct qs_zoom *z, int type, struct qs_err *e)
{
    const struct sizes s = choose_sizes(z);
    const uint64_t n[2] = { z->rows, z->cols }, most = z->rows > z->cols ? z->rows : z->cols;
    z->now = view_new(&s);
    z->front = view_new(&s);
    z->column = qs_calloc((size_t)z->cols, sizeof *z->column);
    z->sorted = qs_malloc((size_t)most * sizeof *z->sorted);
    bool ok = z->now && z->front && z->column && z->sorted;
    for (int a = 0; a < 2; a++)
        for (int k = 0; k < QS_ZOOM_MEASURES; k++) {
            z->channel[a][k] = qs_malloc((size_t)n[a] * sizeof(float));
            ok &= z->channel[a][k] != NULL;
            for (uint64_t i = 0; z->channel[a][k] && i < n[a]; i++)
                z->channel[a][k][i] = NAN;
        }
    if (!ok)
        return qs_fail_mem(e, most * sizeof *z->sorted, "the channels of a tensor");
    start_view(z, type);
    qs_zoom_publish(z, true);
    z->next_publish = 0;
    return QS_OK;
}

int qs_zoom_new(const struct qs_zoom_args *args, struct qs_zoom **out, struct qs_err *e)
{
    const struct qs_tensor *t = args->tensor;
    const int type = args->type == QS_TYPE_NONE ? t->type : args->type;
    int rc = check(args, type, e);
    if (rc)
        return rc;
    struct qs_zoom *z = qs_calloc(1, sizeof *z);
    if (!z)
        return qs_fail_mem(e, sizeof *z, "a look at a tensor");
    z->args = *args;
    z->have_stats = args->stats != NULL;
    z->cols = t->ne[0];
    z->rows = args->expert == QS_ZOOM_ALL ? t->rows : t->ne[1];
    z->first_row = args->expert == QS_ZOOM_ALL ? 0 : args->expert * t->ne[1];
    pthread_mutex_init(&z->lock, NULL);
    rc = allocate(z, type, e);
    z->args.stats = NULL; /* copied */
    if (rc)
        qs_zoom_free(z);
    else
        *out = z;
    return rc;
}

void qs_zoom_free(struct qs_zoom *z)
{
    if (!z)
        return;
    for (int a = 0; a < 2; a++)
        for (int k = 0; k < QS_ZOOM_MEASURES; k++)
            qs_free(z->channel[a][k]);
    qs_free(z->column);
    qs_free(z->sorted);
    qs_zoom_view_free(z->now);
    qs_zoom_view_free(z->front);
    pthread_mutex_destroy(&z->lock);
    qs_free(z);
}

/* ---- reading it ---------------------------------------------------------------------------------------------- */

const float *qs_zoom_channels(const struct qs_zoom *z, int axis, enum qs_zoom_measure measure)
{
    return z->channel[axis][measure];
}

double qs_zoom_bin_from(const struct qs_zoom_view *v, int scale, unsigned i)
{
    const double end = scale == QS_ZOOM_BY_SIGMA ? QS_ZOOM_SIGMAS : v->stats.max_abs;
    return end * (2.0 * i / QS_ZOOM_BINS - 1);
}
