/* model.c - an opened model: the table of tensors, the numbers that describe it, and mappings made when asked for.
 *
 * Owns the headers (qs_gguf), the table and one mapping per part, made on first use under a lock. Refuses names that
 * could do harm where they are shown or written. Immutable after open but for the lazily made mappings and key.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/unicode.h"
#include "core/format/gguf_write.h"
#include "core/model/model_internal.h"
#include "core/model/weight_cache.h"

#define GGUF_ALIGNMENT 32 /* where a file states none */

struct qs_model_maps {
    pthread_mutex_t lock; /* over map[] being filled and the key */
    bool has_key, has_content;
    struct qs_key key, content;
    void *note;
    void (*free_note)(void *);
    struct qs_weight_cache *weights; /* those that are mapped: who asks for the same one shares what it was packed into */
    unsigned n;
    struct qs_map *map[];
};

/* ---- numbers that describe the model ---- */

/* arch.suffix as a number; an array gives its maximum, *varied says whether its elements differ. What no 32 bits hold
 * (nor llama.cpp reads) counts as not stated. */
static uint64_t read_hp(const struct qs_gguf *g, const char *arch, const char *suffix, bool *varied)
{
    char key[256];
    if (varied)
        *varied = false;
    if (snprintf(key, sizeof key, "%s.%s", arch, suffix) >= (int)sizeof key)
        return 0;
    const struct qs_kv *kv = qs_gguf_kv(g, key);
    uint64_t v = 0;
    if (!kv || qs_kv_u64(kv, &v) || kv->type != QS_GGUF_ARRAY || kv->count > 65536)
        return v <= INT32_MAX ? v : 0;
    double first = 0, most = 0, x;
    for (uint64_t i = 0; i < kv->count && qs_kv_array_f64(kv, i, &x); i++) {
        if (i == 0)
            first = x;
        if (varied && (x < first || x > first))
            *varied = true;
        if (x > most)
            most = x;
    }
    return most <= INT32_MAX ? (uint64_t)most : 0;
}

static void clean_text(const struct qs_kv *kv, char *out, size_t cap)
{
    const char *s;
    size_t n;
    out[0] = 0;
    if (!qs_kv_str(kv, &s, &n))
        return;
    struct qs_str text = QS_STR_INIT;
    qs_utf8_clean(&text, s, n < 4 * cap ? n : 4 * cap, 0);
    size_t keep = text.len < cap ? text.len : cap - 1;
    while (keep > 0 && keep < text.len && ((unsigned char)text.data[keep] & 0xC0) == 0x80)
        keep--; /* never half a character */
    memcpy(out, text.data, keep);
    out[keep] = 0;
    qs_str_free(&text);
}

static void derive(struct qs_model *m, uint64_t n_tokens)
{
    struct qs_hparams *hp = &m->hp;
    if (hp->n_head_kv == 0)
        hp->n_head_kv = hp->n_head;
    if (hp->n_head && hp->head_dim_k == 0)
        hp->head_dim_k = hp->n_embd / hp->n_head;
    if (hp->n_head && hp->head_dim_v == 0)
        hp->head_dim_v = hp->n_embd / hp->n_head;
    const struct qs_tensor *embd = qs_model_find(m, "token_embd.weight");
    if (n_tokens)
        hp->n_vocab = n_tokens;
    else if (hp->n_vocab == 0 && embd)
        hp->n_vocab = embd->ne[1];
}

static void fill_hparams(struct qs_model *m)
{
    struct qs_hparams *hp = &m->hp;
    const struct qs_gguf *g = m->gguf;
    clean_text(qs_gguf_kv(g, "general.architecture"), hp->arch, sizeof hp->arch);
    clean_text(qs_gguf_kv(g, "general.name"), hp->name, sizeof hp->name);
    const struct {
        const char *suffix;
        uint64_t *to;
        unsigned varied;
    } keys[] = {
        {"block_count", &hp->n_layer, 0},
        {"embedding_length", &hp->n_embd, 0},
        {"feed_forward_length", &hp->n_ff, QS_VARIED_FF},
        {"attention.head_count", &hp->n_head, QS_VARIED_HEAD},
        {"attention.head_count_kv", &hp->n_head_kv, QS_VARIED_HEAD_KV},
        {"expert_count", &hp->n_expert, 0},
        {"expert_used_count", &hp->n_expert_used, 0},
        {"context_length", &hp->n_ctx, 0},
        {"vocab_size", &hp->n_vocab, 0},
        {"attention.key_length", &hp->head_dim_k, 0},
        {"attention.value_length", &hp->head_dim_v, 0},
        {"attention.sliding_window", &hp->sliding_window, 0},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        bool varied;
        *keys[i].to = read_hp(g, hp->arch, keys[i].suffix, &varied);
        if (varied)
            hp->varied |= keys[i].varied;
    }
    const struct qs_kv *tokens = qs_gguf_kv(g, "tokenizer.ggml.tokens");
    derive(m, tokens && tokens->type == QS_GGUF_ARRAY ? tokens->count : 0);
    uint64_t ftype = qs_gguf_u64(g, "general.file_type", UINT64_MAX);
    m->file_type = ftype <= INT32_MAX ? (int32_t)ftype : -1;
}

/* ---- the table ---- */

static int trust_name(const struct qs_model *m, const struct qs_gguf_tensor *t, struct qs_err *e)
{
    const char *why = NULL;
    size_t pos = 0;
    if (t->name_len == 0)
        why = "is empty";
    else if (t->name_len > 255)
        why = "is longer than 255 bytes";
    else if (qs_utf8_invalid_at(t->name, t->name_len) < t->name_len)
        why = "is not valid UTF-8";
    while (!why && pos < t->name_len) {
        uint32_t c = qs_utf8_next(t->name, t->name_len, &pos);
        if (c < 0x20 || (c >= 0x7F && c < 0xA0))
            why = "contains control characters";
    }
    if (!why)
        return QS_OK;
    struct qs_str shown = QS_STR_INIT;
    qs_utf8_clean(&shown, t->name, t->name_len, 60);
    int rc = qs_fail(e, QS_EFORMAT, "%s: tensor %zu (\"%s\"): the name %s (data at offset %" PRIu64 ")",
                     m->gguf->part[t->part].path, (size_t)(t - m->gguf->tensor), shown.data, why, t->offset);
    qs_str_free(&shown);
    return rc;
}

static int fill_table(struct qs_model *m, struct qs_err *e)
{
    const struct qs_gguf *g = m->gguf;
    m->tensor = qs_calloc(g->n_tensors ? g->n_tensors : 1, sizeof *m->tensor);
    if (!m->tensor)
        return qs_fail_mem(e, g->n_tensors * sizeof *m->tensor, "the table of tensors");
    m->n_tensors = g->n_tensors;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct qs_gguf_tensor *from = &g->tensor[i];
        struct qs_tensor *t = &m->tensor[i];
        int rc = trust_name(m, from, e);
        if (rc != QS_OK)
            return rc;
        t->name = from->name;
        t->role = qs_role_of(from->name, &t->layer);
        t->n_dims = from->n_dims;
        memcpy(t->ne, from->ne, sizeof t->ne);
        t->type = from->type;
        t->format = from->marks & QS_TENSOR_UNKNOWN_TYPE ? NULL : qs_format_by_id(from->type);
        t->offset = from->offset;
        t->size = from->size;
        t->part = from->part;
        t->marks = from->marks;
        t->rows = t->ne[1] * t->ne[2] * t->ne[3]; /* the parser refused products that overflow */
        t->n = t->ne[0] * t->rows;
        if (!qs_add_u64(m->n_weights, t->n, &m->n_weights) || !qs_add_u64(m->bytes, t->size, &m->bytes))
            return qs_fail(e, QS_EFORMAT, "%s: tensor %s: the weights of all tensors together overflow",
                           g->part[t->part].path, t->name);
    }
    return QS_OK;
}

int qs_model_of_headers(const char *path, struct qs_gguf *g, struct qs_model **out, struct qs_err *e)
{
    *out = NULL;
    struct qs_model *m = qs_calloc(1, sizeof *m);
    if (!m) {
        qs_gguf_close(g);
        return qs_fail_mem(e, sizeof *m, "a model");
    }
    const size_t bytes = sizeof *m->maps + g->n_parts * sizeof m->maps->map[0];
    int rc = QS_OK;
    m->gguf = g;
    m->path = qs_strdup(path);
    m->maps = qs_calloc(1, bytes);
    if (!m->path || !m->maps)
        rc = qs_fail_mem(e, bytes, "a model");
    if (rc == QS_OK) {
        pthread_mutex_init(&m->maps->lock, NULL);
        m->maps->n = g->n_parts;
        rc = fill_table(m, e);
        m->maps->weights = rc == QS_OK ? qs_weight_cache_new(m->n_tensors) : NULL;
        if (rc == QS_OK && !m->maps->weights)
            rc = qs_fail_mem(e, m->n_tensors * sizeof(void *), "a model");
    } else {
        qs_free(m->maps); /* its lock is not there yet */
        m->maps = NULL;
    }
    if (rc != QS_OK) {
        qs_model_close(m);
        return rc;
    }
    fill_hparams(m);
    *out = m;
    return QS_OK;
}

int qs_model_open_gguf(const char *path, struct qs_model **out, struct qs_err *e)
{
    struct qs_gguf *g;
    *out = NULL;
    const int rc = qs_gguf_open(path, &g, e);
    return rc ? rc : qs_model_of_headers(path, g, out, e);
}

void qs_model_close(struct qs_model *m)
{
    if (!m)
        return;
    if (m->maps) {
        for (unsigned i = 0; i < m->maps->n; i++)
            qs_map_unref(m->maps->map[i]);
        if (m->maps->note)
            m->maps->free_note(m->maps->note);
        qs_weight_cache_free(m->maps->weights);
        pthread_mutex_destroy(&m->maps->lock);
    }
    qs_free(m->maps);
    if (m->source)
        m->source->free(m->source);
    qs_free(m->tensor);
    qs_free(m->path);
    qs_gguf_close(m->gguf);
    qs_free(m);
}

const struct qs_tensor *qs_model_find(const struct qs_model *m, const char *name)
{
    const struct qs_gguf_tensor *t = m->gguf ? qs_gguf_tensor_by_name(m->gguf, name) : NULL;
    if (m->gguf)
        return t ? &m->tensor[t - m->gguf->tensor] : NULL;
    for (size_t i = 0; i < m->n_tensors; i++)
        if (strcmp(m->tensor[i].name, name) == 0)
            return &m->tensor[i];
    return NULL;
}

size_t qs_model_index(const struct qs_model *m, const struct qs_tensor *t)
{
    return (size_t)(t - m->tensor);
}

const struct qs_kv *qs_model_kv(const struct qs_model *m, const char *key)
{
    return m->gguf ? qs_gguf_kv(m->gguf, key) : NULL;
}

const struct qs_kv *qs_model_metadata(const struct qs_model *m, size_t *n)
{
    *n = m->gguf ? m->gguf->n_kv : 0;
    return m->gguf ? m->gguf->kv : NULL;
}

const struct qs_gguf_part *qs_model_parts(const struct qs_model *m, unsigned *n)
{
    *n = m->gguf ? m->gguf->n_parts : 0;
    return m->gguf ? m->gguf->part : NULL;
}

int qs_model_copy_metadata(const struct qs_model *m, struct qs_gguf_meta *to, struct qs_err *e)
{
    return m->gguf ? qs_gguf_meta_copy(to, m->gguf, e) : QS_OK;
}

uint32_t qs_model_alignment(const struct qs_model *m)
{
    return m->gguf ? m->gguf->alignment : GGUF_ALIGNMENT;
}

uint64_t qs_tensor_bytes_as(const struct qs_tensor *t, int type)
{
    const struct qs_format *f = qs_format_by_id(type);
    if (type == t->type)
        return t->size;
    return f && t->ne[0] % f->block == 0 ? t->rows * qs_format_row_bytes(f, (size_t)t->ne[0]) : 0;
}

bool qs_tensor_is_quantized(const struct qs_tensor *t)
{
    return t->n_dims >= 2 && t->format && t->format->kind != QS_KIND_FLOAT && t->format->kind != QS_KIND_INT;
}

bool qs_model_is_quantized(const struct qs_model *m)
{
    for (size_t i = 0; i < m->n_tensors; i++)
        if (qs_tensor_is_quantized(&m->tensor[i]))
            return true;
    return false;
}

/* ---- what others keep with it ---- */

const void *qs_model_note(const struct qs_model *m)
{
    if (!m->maps)
        return NULL;
    pthread_mutex_lock(&m->maps->lock);
    const void *note = m->maps->note;
    pthread_mutex_unlock(&m->maps->lock);
    return note;
}

const void *qs_model_keep(const struct qs_model *m, void *note, void (*free_note)(void *))
{
    if (!m->maps)
        return NULL;
    pthread_mutex_lock(&m->maps->lock);
    const bool first = !m->maps->note;
    if (first) {
        m->maps->note = note;
        m->maps->free_note = free_note;
    }
    const void *kept = m->maps->note;
    pthread_mutex_unlock(&m->maps->lock);
    if (!first)
        free_note(note);
    return kept;
}

/* ---- bytes ---- */

uint64_t qs_model_made_bytes(const struct qs_model *m, uint64_t *scratch)
{
    uint64_t all = 0, large = 0;
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        all += t->made ? t->size : 0;
        large += t->made && t->size > QS_MADE_HEAP_MOST ? t->size : 0;
    }
    if (scratch)
        *scratch = large;
    return all;
}

int qs_model_made_room(const struct qs_model *m, struct qs_err *e)
{
    struct qs_str dir = QS_STR_INIT;
    char want[24], have[24];
    uint64_t need = 0, room;
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        if (t->made && t->size > QS_MADE_HEAP_MOST && !qs_weight_cache_holds(m->source->made, i))
            need += t->size;
    }
    int rc = need ? qs_scratch_dir(&dir, e) : QS_OK;
    if (need && !rc && !qs_file_free_space(dir.data, &room, NULL) && room < need)
        rc = qs_fail(e, QS_ENOSPACE,
                     "%s: %s of scratch files are needed to run it, in %s, where %s are free: make room, or set "
                     "XDG_CACHE_HOME to a folder that has it", m->path, qs_fmt_bytes(want, sizeof want, need), dir.data,
                     qs_fmt_bytes(have, sizeof have, room));
    qs_str_free(&dir);
    return rc;
}

/* The file must still be the one whose header was read. */
int qs_model_map(const struct qs_model *m, unsigned part, struct qs_map **out, struct qs_err *e)
{
    struct qs_model_maps *maps = m->maps;
    const struct qs_gguf_part *p = &m->gguf->part[part];
    int rc = QS_OK;
    pthread_mutex_lock(&maps->lock);
    if (!maps->map[part]) {
        struct qs_file_stat st;
        rc = qs_file_stat(p->path, &st, e);
        if (rc == QS_OK &&
            (st.size != p->file_size || st.dev != p->dev || st.ino != p->ino || st.mtime_ns != p->mtime_ns))
            rc = qs_fail(e, QS_EIO, "%s was changed or replaced since it was opened: open it again", p->path);
        struct qs_map *map = NULL;
        if (rc == QS_OK)
            rc = qs_map_open(p->path, &map, e);
        if (rc == QS_OK && qs_map_size(map) != p->file_size) {
            rc = qs_fail(e, QS_EIO, "%s was changed while it was opened: open it again", p->path);
            qs_map_unref(map);
        } else if (rc == QS_OK) {
            maps->map[part] = map;
        }
    }
    *out = maps->map[part];
    pthread_mutex_unlock(&maps->lock);
    return rc;
}

static int make_weight(void *ctx, size_t i, struct qs_weight **out, struct qs_err *e)
{
    const struct qs_model *m = ctx;
    return m->source->make(m, i, out, e);
}

static int map_weight(void *ctx, size_t i, struct qs_weight **out, struct qs_err *e)
{
    const struct qs_model *m = ctx;
    const struct qs_tensor *t = &m->tensor[i];
    struct qs_map *map;
    int rc = qs_model_map(m, t->part, &map, e);
    return rc == QS_OK ? qs_weight_mapped(t->format, t->ne, map, t->offset, out, e) : rc;
}

int qs_model_weight(const struct qs_model *m, const struct qs_tensor *t, struct qs_weight **out, struct qs_err *e)
{
    *out = NULL;
    if (t->marks & ~(unsigned)QS_TENSOR_UNKNOWN_TYPE)
        return qs_fail(e, QS_EFORMAT, "%s: tensor %s is damaged", m->gguf->part[t->part].path, t->name);
    if (!t->format)
        return qs_fail(e, QS_EUNSUPPORTED, "%s: tensor %s has a type this program does not know (%d)",
                       m->gguf->part[t->part].path, t->name, t->type);
    return qs_weight_cache_get(t->made ? m->source->made : m->maps->weights, qs_model_index(m, t),
                               t->made ? make_weight : map_weight, (void *)(uintptr_t)m, out, e);
}

int qs_model_intact(const struct qs_model *m, struct qs_err *e)
{
    int rc = QS_OK;
    pthread_mutex_lock(&m->maps->lock);
    for (unsigned i = 0; rc == QS_OK && i < m->maps->n; i++)
        if (m->maps->map[i])
            rc = qs_map_check(m->maps->map[i], e);
    pthread_mutex_unlock(&m->maps->lock);
    return rc;
}

/* ---- the content key ---- */

#define KEY_SAMPLE 4096u
#define CONTENT_SAMPLES 8u /* of each tensor, where no time of a file tells of a change */

static void add_u64(struct qs_hash *h, uint64_t v)
{
    uint8_t b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)(v >> (8 * i));
    qs_hash_add(h, b, sizeof b);
}

/* Names, links and how files were split: they change nothing of what the model computes. */
static bool is_label(const struct qs_kv *kv)
{
    return (strncmp(kv->key, "general.", 8) == 0 && strcmp(kv->key, "general.architecture") != 0) ||
           strncmp(kv->key, "split.", 6) == 0;
}

static void add_headers(struct qs_hash *h, const struct qs_gguf *g, bool content)
{
    for (unsigned i = 0; !content && i < g->n_parts; i++) {
        add_u64(h, g->part[i].file_size);
        add_u64(h, (uint64_t)g->part[i].mtime_ns);
    }
    for (size_t i = 0; i < g->n_kv; i++) {
        if (content && is_label(&g->kv[i]))
            continue;
        qs_hash_add(h, g->kv[i].key, g->kv[i].key_len + 1u);
        add_u64(h, (uint64_t)g->kv[i].type);
        qs_hash_add(h, g->kv[i].raw, (size_t)g->kv[i].raw_len);
    }
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct qs_gguf_tensor *t = &g->tensor[i];
        qs_hash_add(h, t->name, t->name_len + 1u);
        for (int d = 0; d < QS_MAX_DIMS; d++)
            add_u64(h, t->ne[d]);
        add_u64(h, (uint64_t)t->type);
        if (content)
            continue;
        add_u64(h, t->offset);
        add_u64(h, t->part);
    }
}

/* The k-th range of files that a tensor's bytes lie in or are made of; false: there are no more. */
static bool piece_of(const struct qs_model *m, size_t i, size_t k, struct qs_model_piece *out)
{
    const struct qs_tensor *t = &m->tensor[i];
    if (t->made)
        return m->source->piece(m, i, k, out);
    *out = (struct qs_model_piece){ t->part, t->offset, t->size };
    return k == 0;
}

/* Pages, evenly spread from the first to the last, of a piece; one: from its middle. */
static int add_pages(struct qs_hash *h, int fd, const struct qs_model_piece *p, unsigned pages, const char *path,
                     struct qs_err *e)
{
    unsigned char page[KEY_SAMPLE];
    const uint64_t n = p->size < KEY_SAMPLE ? p->size : KEY_SAMPLE, room = p->size - n;
    int rc = QS_OK;
    for (unsigned i = 0; i < (room ? pages : 1) && !rc; i++) {
        const uint64_t gaps = pages - 1;
        const uint64_t at = gaps ? room / gaps * i + room % gaps * i / gaps : room / 2 / KEY_SAMPLE * KEY_SAMPLE;
        rc = qs_pread_all(fd, page, (size_t)n, p->offset + at, path, e);
        if (!rc)
            qs_hash_add(h, page, (size_t)n);
    }
    return rc;
}

/* Some pages of every tensor, or piece of one, of a part: a changed tensor nearly always changes there too. Read, not mapped: a fault would bring in far more than a page, and there may be thousands of tensors on a slow
 * disk. */
static int add_samples(struct qs_hash *h, const struct qs_model *m, unsigned part, unsigned pages, struct qs_err *e)
{
    const char *path = m->gguf->part[part].path;
    struct qs_model_piece p;
    struct qs_map *map;
    int rc = qs_model_map(m, part, &map, e); /* which knows whether the file is still the one that was opened */
    const int fd = rc ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (!rc && fd < 0)
        rc = qs_fail_errno(e, errno, "cannot open %s", path);
    if (fd >= 0)
        posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    for (size_t i = 0; i < m->n_tensors && !rc; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        if (t->marks & ~(unsigned)QS_TENSOR_UNKNOWN_TYPE)
            continue;
        for (size_t k = 0; !rc && piece_of(m, i, k, &p); k++)
            if (p.part == part)
                rc = add_pages(h, fd, &p, pages, path, e);
    }
    if (fd >= 0)
        close(fd);
    return rc ? rc : qs_model_intact(m, e);
}

/* A text beside the weights (configuration, words), whole: without its time nothing else tells of it. */
static int add_beside(struct qs_hash *h, const char *path, struct qs_err *e)
{
    char *data;
    size_t n;
    const int rc = qs_file_read(path, UINT64_C(1) << 30, &data, &n, e);
    if (rc)
        return rc;
    add_u64(h, n);
    qs_hash_add(h, data, n);
    qs_free(data);
    return QS_OK;
}

static int make_key(const struct qs_model *m, bool content, struct qs_key *out, struct qs_err *e)
{
    int rc = QS_OK;
    struct qs_hash *h = qs_hash_new();
    if (!h)
        return qs_fail_mem(e, 0, "a hash");
    add_headers(h, m->gguf, content);
    for (unsigned p = 0; p < m->gguf->n_parts && !rc; p++) {
        if (!m->gguf->part[p].beside)
            rc = add_samples(h, m, p, content ? CONTENT_SAMPLES : 1, e);
        else if (content)
            rc = add_beside(h, m->gguf->part[p].path, e);
    }
    *out = qs_hash_end(h);
    return rc;
}

/* Made once, and kept. */
static int kept_key(const struct qs_model *m, bool content, struct qs_key *out, struct qs_err *e)
{
    struct qs_model_maps *const k = m->maps;
    pthread_mutex_lock(&k->lock);
    const bool have = content ? k->has_content : k->has_key;
    *out = content ? k->content : k->key;
    pthread_mutex_unlock(&k->lock);
    const int rc = have ? QS_OK : make_key(m, content, out, e);
    if (rc || have)
        return rc;
    pthread_mutex_lock(&k->lock);
    *(content ? &k->content : &k->key) = *out;
    *(content ? &k->has_content : &k->has_key) = true;
    pthread_mutex_unlock(&k->lock);
    return QS_OK;
}

int qs_model_key(const struct qs_model *m, struct qs_key *out, struct qs_err *e)
{
    return kept_key(m, false, out, e);
}

int qs_model_content_key(const struct qs_model *m, struct qs_key *out, struct qs_err *e)
{
    return kept_key(m, true, out, e);
}
