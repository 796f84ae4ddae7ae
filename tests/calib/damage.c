/* damage.c - owns nothing; knows norms and their readers by name. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/format/gguf_write.h"
#include "core/model/weight.h"
#include "tests/calib/damage.h"

static bool one_of(const char *name, const char *const *ends)
{
    const char *dot = strncmp(name, "blk.", 4) == 0 ? strchr(name + 4, '.') : NULL;
    for (; dot && *ends; ends++)
        if (strcmp(dot + 1, *ends) == 0)
            return true;
    return false;
}

static bool is_norm(const char *name)
{
    static const char *const ends[] = { "attn_norm.weight", "ffn_norm.weight", NULL };
    return one_of(name, ends);
}

static bool is_reader(const char *name)
{
    static const char *const ends[] = { "attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_qkv.weight",
                                        "ffn_gate.weight", "ffn_up.weight", "ffn_gate_inp.weight",
                                        "ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_gate_shexp.weight",
                                        "ffn_up_shexp.weight", "ffn_gate_inp_shexp.weight", NULL };
    return one_of(name, ends);
}

static int put_changed(FILE *f, const struct qs_tensor *t, const struct qs_weight *w, const size_t *channel, size_t n,
                       float by, struct qs_err *e)
{
    const size_t cols = (size_t)t->ne[0];
    float *row = qs_malloc(cols * sizeof *row);
    int rc = row ? QS_OK : qs_fail_mem(e, cols * sizeof *row, "a row");
    for (uint64_t r = 0; rc == QS_OK && r < w->rows; r++) {
        rc = qs_weight_decode(w, r, 1, row, e);
        for (size_t k = 0; k < n; k++)
            row[channel[k]] = is_norm(t->name) ? row[channel[k]] * by : row[channel[k]] / by;
        if (rc == QS_OK && fwrite(row, sizeof *row, cols, f) != cols)
            rc = qs_fail(e, QS_EIO, "the damaged model could not be written");
    }
    qs_free(row);
    return rc;
}

static int put_tensor(FILE *f, const struct qs_model *m, const struct qs_tensor *t, uint64_t at, const size_t *channel,
                      size_t n, float by, struct qs_err *e)
{
    struct qs_weight *w;
    int rc = qs_model_weight(m, t, &w, e);
    if (rc != QS_OK)
        return rc;
    if (fseek(f, (long)at, SEEK_SET) != 0)
        rc = qs_fail(e, QS_EIO, "the damaged model could not be written");
    else if (is_norm(t->name) || is_reader(t->name))
        rc = put_changed(f, t, w, channel, n, by, e);
    else if (fwrite(w->parts.p[0], 1, (size_t)w->bytes, f) != (size_t)w->bytes)
        rc = qs_fail(e, QS_EIO, "the damaged model could not be written");
    qs_weight_unref(w);
    return rc;
}

int damage_model(const struct qs_model *m, const char *path, const size_t *channel, size_t n, float by,
                 struct qs_err *e)
{
    struct qs_gguf_meta *meta = qs_gguf_meta_new();
    struct qs_gguf_out *out = qs_calloc(m->n_tensors, sizeof *out);
    struct qs_str header = QS_STR_INIT;
    uint64_t size = 0;
    FILE *f = fopen(path, "wb");
    int rc = meta && out && f ? qs_model_copy_metadata(m, meta, e) : qs_fail(e, QS_EIO, "%s cannot be made", path);
    for (size_t i = 0; rc == QS_OK && i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        const bool touched = is_norm(t->name) || is_reader(t->name);
        out[i] = (struct qs_gguf_out){ .name = t->name, .n_dims = t->n_dims, .type = touched ? QS_F32 : t->type };
        out[i].size = qs_tensor_bytes_as(t, out[i].type);
        memcpy(out[i].ne, t->ne, sizeof out[i].ne);
    }
    if (rc == QS_OK)
        rc = qs_gguf_layout(meta, out, m->n_tensors, QS_GGUF_OUT_ALIGNMENT, &header, &size, e);
    if (rc == QS_OK && fwrite(header.data, 1, header.len, f) != header.len)
        rc = qs_fail(e, QS_EIO, "%s cannot be written", path);
    for (size_t i = 0; rc == QS_OK && i < m->n_tensors; i++)
        rc = put_tensor(f, m, &m->tensor[i], out[i].offset, channel, n, by, e);
    /* The last tensor is padded as the layout says. */
    if (rc == QS_OK && (uint64_t)ftell(f) < size && (fseek(f, (long)size - 1, SEEK_SET) != 0 || fputc(0, f) == EOF))
        rc = qs_fail(e, QS_EIO, "%s cannot be written", path);
    if (f && fclose(f) != 0 && rc == QS_OK)
        rc = qs_fail(e, QS_EIO, "%s cannot be written", path);
    qs_str_free(&header);
    qs_free(out);
    qs_gguf_meta_free(meta);
    return rc;
}
