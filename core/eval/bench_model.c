/* bench_model.c - files of named shapes with made-up weights.
 *
 * Owns the table of shapes. The types are those that the presets choose for a model of this kind: a file of headers is
 * opened to ask them. Refuses shapes whose rows the types do not fit.
 */
#include "core/eval/bench_model.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/format/gguf_write.h"
#include "core/quant/preset.h"
#include "kernels/format.h"

/* name, about, layers, width, ff, heads, kv_heads, head, vocab, context */
static const struct qs_bench_shape shapes[] = {
    { "llama-tiny", "2 million weights, for trying things out", 2, 256, 768, 4, 2, 64, 512, 4096 },
    { "llama-160m", "160 million weights", 12, 768, 3072, 12, 12, 64, 32000, 16384 },
    { "llama-1.1b", "1.1 billion weights", 16, 2048, 8192, 32, 8, 64, 32000, 16384 },
    { "llama-3b", "3.6 billion weights", 28, 3072, 8192, 24, 8, 128, 128256, 16384 },
    { "llama-8b", "8 billion weights", 32, 4096, 14336, 32, 8, 128, 128256, 16384 },
    { "llama-70b", "70 billion weights", 80, 8192, 28672, 64, 8, 128, 128256, 16384 },
};

const struct qs_bench_shape *qs_bench_shape_at(size_t i)
{
    return i < sizeof shapes / sizeof *shapes ? &shapes[i] : NULL;
}

const char *qs_bench_shape_name(size_t i) { return i < sizeof shapes / sizeof *shapes ? shapes[i].name : NULL; }

const struct qs_bench_shape *qs_bench_shape_find(const char *name)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    return NULL;
}

/* ---- the tensors ---- */

enum { PER_LAYER = 9, OTHERS = 3, NAME_MAX_LEN = 40 };

struct list {
    struct qs_gguf_out *out;
    char (*name)[NAME_MAX_LEN];
    size_t n;
};

static void add(struct list *l, int layer, const char *name, uint64_t cols, uint64_t rows)
{
    struct qs_gguf_out *t = &l->out[l->n];
    if (layer < 0)
        snprintf(l->name[l->n], NAME_MAX_LEN, "%s.weight", name);
    else
        snprintf(l->name[l->n], NAME_MAX_LEN, "blk.%d.%s.weight", layer, name);
    *t = (struct qs_gguf_out){ .name = l->name[l->n], .n_dims = rows ? 2 : 1, .ne = { cols, rows ? rows : 1, 1, 1 },
                               .type = rows ? QS_F16 : QS_F32 };
    l->n++;
}

static void list_tensors(const struct qs_bench_shape *s, struct list *l)
{
    const uint64_t w = s->width, q = (uint64_t)s->heads * s->head, kv = (uint64_t)s->kv_heads * s->head;
    add(l, -1, "token_embd", w, s->vocab);
    for (int i = 0; i < (int)s->layers; i++) {
        add(l, i, "attn_norm", w, 0);
        add(l, i, "attn_q", w, q);
        add(l, i, "attn_k", w, kv);
        add(l, i, "attn_v", w, kv);
        add(l, i, "attn_output", q, w);
        add(l, i, "ffn_norm", w, 0);
        add(l, i, "ffn_gate", w, s->ff);
        add(l, i, "ffn_up", w, s->ff);
        add(l, i, "ffn_down", s->ff, w);
    }
    add(l, -1, "output_norm", w, 0);
    add(l, -1, "output", w, s->vocab);
}

static int set_float(struct qs_gguf_meta *m, const char *key, float v, struct qs_err *e)
{
    return qs_gguf_meta_raw(m, key, QS_GGUF_F32, &v, sizeof v, e);
}

static int metadata(const struct qs_bench_shape *s, const struct qs_preset *preset, struct qs_gguf_meta *m,
                    struct qs_err *e)
{
    const struct { const char *key; uint32_t value; } number[] = {
        { "general.file_type", (uint32_t)preset->file_type },
        { "llama.block_count", s->layers }, { "llama.context_length", s->context },
        { "llama.embedding_length", s->width }, { "llama.feed_forward_length", s->ff },
        { "llama.attention.head_count", s->heads }, { "llama.attention.head_count_kv", s->kv_heads },
        { "llama.attention.key_length", s->head }, { "llama.attention.value_length", s->head },
        { "llama.rope.dimension_count", s->head }, { "llama.vocab_size", s->vocab },
    };
    int rc = qs_gguf_meta_str(m, "general.architecture", "llama", e);
    rc = rc ? rc : qs_gguf_meta_str(m, "general.name", s->name, e);
    for (size_t i = 0; !rc && i < sizeof number / sizeof *number; i++)
        rc = qs_gguf_meta_u32(m, number[i].key, number[i].value, e);
    rc = rc ? rc : set_float(m, "llama.attention.layer_norm_rms_epsilon", 1e-5f, e);
    return rc ? rc : set_float(m, "llama.rope.freq_base", 500000, e);
}

/* ---- rows ---- */

enum { TILE_ROWS = 16, SHEET = 1 << 20 };

/* Rows of one type and width: a few encoded ones, and a sheet of rows made of their blocks. */
struct sheet {
    int type;
    uint64_t cols;
    uint8_t *bytes;
    size_t rows, row_bytes;
};

static uint64_t next(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Near enough to a bell: four uniform numbers. Its deviation is 1. */
static float bell(uint64_t *state)
{
    const uint64_t r = next(state);
    const double sum = (double)((r & 0xffff) + (r >> 16 & 0xffff) + (r >> 32 & 0xffff) + (r >> 48)) / 65536 - 2;
    return (float)(sum * 1.7320508);
}

static int encode_tile(const struct qs_format *f, size_t cols, uint8_t *tile, struct qs_err *e)
{
    const size_t n = TILE_ROWS * cols;
    uint64_t state = cols;
    float *x = qs_malloc((n + cols) * sizeof *x), *weight = x ? x + n : NULL;
    void *scratch = qs_alloc_aligned(64, qs_format_scratch(f, TILE_ROWS, cols) + 64);
    for (size_t i = 0; x && i < n; i++)
        x[i] = bell(&state) / sqrtf((float)cols);
    for (size_t i = 0; x && i < cols; i++)
        weight[i] = 1;
    if (x && scratch)
        qs_format_encode(f, &(struct qs_rows){ x, TILE_ROWS, cols, cols, f->flags & QS_NEEDS_IMATRIX ? weight : NULL },
                         &(struct qs_parts){ { tile } }, scratch);
    qs_free(scratch);
    const int rc = x && scratch ? QS_OK : qs_fail_mem(e, n * sizeof *x, "made-up weights");
    qs_free(x);
    return rc;
}

/* Row r of the sheet begins r * 37 blocks further in the tile. */
static int fill_sheet(struct sheet *s, struct qs_err *e)
{
    const struct qs_format *f = qs_format_by_id(s->type);
    const size_t block = f->component[0].bytes_per_block, blocks = s->cols / f->block, all = blocks * TILE_ROWS;
    s->row_bytes = qs_format_row_bytes(f, s->cols);
    s->rows = SHEET / s->row_bytes > TILE_ROWS ? SHEET / s->row_bytes : TILE_ROWS;
    uint8_t *tile = qs_malloc(TILE_ROWS * s->row_bytes);
    s->bytes = qs_malloc(s->rows * s->row_bytes);
    int rc = tile && s->bytes ? encode_tile(f, s->cols, tile, e)
                              : qs_fail_mem(e, s->rows * s->row_bytes, "made-up weights");
    for (size_t r = 0; rc == QS_OK && r < s->rows; r++) {
        const size_t from = r * 37 % all, n = all - from < blocks ? all - from : blocks;
        memcpy(s->bytes + r * s->row_bytes, tile + from * block, n * block);
        memcpy(s->bytes + r * s->row_bytes + n * block, tile, (blocks - n) * block);
    }
    qs_free(tile);
    return rc;
}

static int ones(struct sheet *s, struct qs_err *e)
{
    s->row_bytes = s->cols * sizeof(float);
    s->rows = 1;
    s->bytes = qs_malloc(s->row_bytes);
    if (!s->bytes)
        return qs_fail_mem(e, s->row_bytes, "made-up weights");
    for (size_t i = 0; i < s->cols; i++)
        memcpy(s->bytes + i * sizeof(float), &(const float){ 1 }, sizeof(float));
    return QS_OK;
}

struct writing {
    const char *path;
    int fd;
    struct list list;
    struct sheet sheet;  /* of the tensor before: most follow another of the same kind */
    struct qs_job *job;
};

static int write_tensor(struct writing *w, const struct qs_gguf_out *t, struct qs_err *e)
{
    struct sheet *s = &w->sheet;
    const bool norm = t->n_dims == 1;
    int rc = QS_OK;
    if (!s->bytes || norm || s->type != t->type || s->cols != t->ne[0]) {
        qs_free(s->bytes);
        *s = (struct sheet){ .type = norm ? QS_TYPE_NONE : t->type, .cols = t->ne[0] };
        rc = norm ? ones(s, e) : fill_sheet(s, e);
    }
    for (uint64_t at = 0; !rc && at < t->size;) {
        const uint64_t all = (uint64_t)s->rows * s->row_bytes, n = t->size - at < all ? t->size - at : all;
        rc = qs_pwrite_all(w->fd, s->bytes, (size_t)n, t->offset + at, w->path, e);
        rc = rc ? rc : qs_job_step(w->job, n, e);
        at += n;
    }
    return rc;
}

/* ---- files ---- */

/* The header for the list's types; *size of the whole file. */
static int layout(const struct qs_bench_shape *s, const struct qs_preset *preset, struct list *l, struct qs_str *header,
                  uint64_t *size, struct qs_err *e)
{
    struct qs_gguf_meta *m = qs_gguf_meta_new();
    int rc = m ? metadata(s, preset, m, e) : qs_fail_mem(e, 0, "metadata");
    for (size_t i = 0; i < l->n; i++)
        l->out[i].size = qs_format_row_bytes(qs_format_by_id(l->out[i].type), l->out[i].ne[0]) * l->out[i].ne[1];
    qs_str_clear(header);
    rc = rc ? rc : qs_gguf_layout(m, l->out, l->n, QS_GGUF_OUT_ALIGNMENT, header, size, e);
    qs_gguf_meta_free(m);
    return rc;
}

static int check_room(const struct writing *w, uint64_t size, struct qs_err *e)
{
    uint64_t room = UINT64_MAX;
    if (qs_file_free_space(w->path, &room, NULL) == QS_OK && room < size)
        return qs_fail(e, QS_ENOSPACE, "%s: a model of %" PRIu64 " MiB does not fit where %" PRIu64 " MiB are free", w->path,
                       size >> 20, room >> 20);
    return QS_OK;
}

static int put_header(struct writing *w, const struct qs_str *header, uint64_t size, struct qs_err *e)
{
    if (ftruncate(w->fd, 0) != 0 || ftruncate(w->fd, (off_t)size) != 0)
        return qs_fail_errno(e, errno, "%s: a file of %" PRIu64 " bytes cannot be made", w->path, size);
    return qs_pwrite_all(w->fd, header->data, header->len, 0, w->path, e);
}

/* Asks the preset, of a file that has nothing but a header yet. */
static int choose_types(struct writing *w, const struct qs_preset *preset, struct qs_err *e)
{
    const struct qs_format *base = qs_format_by_id(preset->base);
    const struct qs_preset_args args = {
        .preset = preset, .output_type = QS_TYPE_NONE, .token_embd_type = QS_TYPE_NONE,
        .have_imatrix = base && (base->flags & (QS_NEEDS_IMATRIX | QS_RULE_IMATRIX)),
    };
    struct qs_model *m = NULL;
    struct qs_choice *choice = qs_calloc(w->list.n, sizeof *choice);
    int rc = choice ? qs_model_open_gguf(w->path, &m, e) : qs_fail_mem(e, w->list.n * sizeof *choice, "types");
    rc = rc ? rc : qs_preset_choose(m, &args, choice, e);
    for (size_t i = 0; !rc && i < w->list.n; i++)
        w->list.out[i].type = choice[i].type;
    qs_model_close(m);
    qs_free(choice);
    return rc;
}

static int write_all(struct writing *w, const struct qs_bench_shape *shape, const struct qs_preset *preset,
                     struct qs_err *e)
{
    struct qs_str header = QS_STR_INIT;
    uint64_t size = 0;
    list_tensors(shape, &w->list);
    int rc = layout(shape, preset, &w->list, &header, &size, e);
    rc = rc ? rc : put_header(w, &header, size, e);
    rc = rc ? rc : choose_types(w, preset, e);
    rc = rc ? rc : layout(shape, preset, &w->list, &header, &size, e);
    rc = rc ? rc : check_room(w, size, e);
    rc = rc ? rc : put_header(w, &header, size, e);
    qs_job_phase(w->job, "make a model", "bytes", size);
    for (size_t i = 0; !rc && i < w->list.n; i++)
        rc = write_tensor(w, &w->list.out[i], e);
    qs_str_free(&header);
    return rc;
}

int qs_bench_model_write(const struct qs_bench_shape *shape, const char *preset, const char *path, struct qs_job *job,
                         struct qs_err *e)
{
    const struct qs_preset *p = qs_preset_by_name(preset);
    const size_t most = (size_t)shape->layers * PER_LAYER + OTHERS;
    struct writing w = { .path = path, .job = job };
    if (!p || p->base == QS_TYPE_NONE)
        return qs_fail(e, QS_EINVAL, "there is no preset %s to make a model in", preset);
    w.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (w.fd < 0)
        return qs_fail_errno(e, errno, "%s", path);
    w.list.out = qs_calloc(most, sizeof *w.list.out);
    w.list.name = qs_calloc(most, sizeof *w.list.name);
    int rc = w.list.out && w.list.name ? write_all(&w, shape, p, e) : qs_fail_mem(e, most * NAME_MAX_LEN, "a model");
    if (close(w.fd) != 0 && rc == QS_OK)
        rc = qs_fail_errno(e, errno, "%s", path);
    if (rc != QS_OK)
        unlink(path);
    qs_free(w.list.out);
    qs_free(w.list.name);
    qs_free(w.sheet.bytes);
    return rc;
}
