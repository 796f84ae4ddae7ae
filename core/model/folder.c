/* folder.c - a Hugging Face folder as a model: the steps of opening it, and what stays of them.
 *
 * Owns the folder's headers and recipes as long as the model lives: they are its source (model_internal.h). The
 * metadata and the table of tensors become a GGUF header in memory, which is parsed like any other, so that everything
 * above sees what it sees of a file. Refuses what its steps refuse (folder.h).
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/model/folder_internal.h"
#include "core/model/weight_cache.h"

/* ---- the source of made tensors ---------------------------------------------------------------------------------- */

struct folder_source { struct qs_model_source pub; struct qs_folder f; };

static void free_source(struct qs_model_source *src)
{
    struct folder_source *s = (struct folder_source *)(void *)src;
    struct qs_folder *f = &s->f;
    qs_weight_cache_free(src->made);
    for (size_t i = 0; i < f->n_tensors; i++) {
        qs_free(f->tensor[i].r.src);
        qs_free(f->tensor[i].r.value);
    }
    qs_free(f->tensor);
    for (size_t i = 0; i < f->n_found; i++)
        qs_free(f->found[i].name);
    qs_free(f->found);
    for (size_t i = 0; i < f->n_files; i++)
        qs_safetensors_close(f->file[i]);
    qs_free(f->file);
    qs_folder_free_parts(&f->weights);
    qs_folder_free_parts(&f->beside);
    qs_json_free(f->config);
    qs_str_free(&f->remarks);
    qs_free(f->dir);
    qs_free(s);
}

static const struct qs_folder_tensor *tensor_of(const struct qs_model *m, size_t i)
{
    return &((const struct folder_source *)(const void *)m->source)->f.tensor[i];
}

static int make(const struct qs_model *m, size_t tensor, struct qs_weight **out, struct qs_err *e)
{
    return qs_folder_make(tensor_of(m, tensor), m, out, e);
}

static bool piece(const struct qs_model *m, size_t tensor, size_t k, struct qs_model_piece *out)
{
    const struct qs_folder_recipe *r = &tensor_of(m, tensor)->r;
    if (k >= r->n_src)
        return false;
    *out = (struct qs_model_piece){ r->src[k]->part, r->src[k]->t->offset, r->src[k]->t->size };
    return true;
}

/* ---- the header -------------------------------------------------------------------------------------------------- */

static int make_header(struct qs_folder *f, struct qs_str *header, uint64_t *end, struct qs_err *e)
{
    struct qs_gguf_meta *meta = qs_gguf_meta_new();
    struct qs_gguf_out *out = qs_calloc(f->n_tensors ? f->n_tensors : 1, sizeof *out);
    int rc = meta && out ? qs_folder_metadata(f, meta, e) : qs_fail_mem(e, f->n_tensors * sizeof *out, "a header");
    for (size_t i = 0; i < f->n_tensors && !rc; i++) {
        const struct qs_folder_tensor *t = &f->tensor[i];
        out[i] = (struct qs_gguf_out){ .name = t->name, .n_dims = t->n_dims, .type = t->type, .size = t->size };
        memcpy(out[i].ne, t->ne, sizeof out[i].ne);
    }
    if (!rc)
        rc = qs_gguf_layout(meta, out, f->n_tensors, QS_GGUF_OUT_ALIGNMENT, header, end, e);
    qs_gguf_meta_free(meta);
    qs_free(out);
    return rc;
}

/* The parsed header over the folder's files: the weights, then what was read beside them. */
static int open_header(const struct qs_folder *f, const struct qs_str *header, uint64_t end, struct qs_gguf **out,
                       struct qs_err *e)
{
    const size_t n = f->weights.n + f->beside.n;
    struct qs_gguf_part *part = qs_calloc(n, sizeof *part);
    if (!part)
        return qs_fail_mem(e, n * sizeof *part, "the list of files");
    memcpy(part, f->weights.part, f->weights.n * sizeof *part);
    if (f->beside.n)
        memcpy(part + f->weights.n, f->beside.part, f->beside.n * sizeof *part);
    const int rc = qs_gguf_open_made(header->data, header->len, end, part, (unsigned)n, out, e);
    qs_free(part);
    return rc;
}

static int add_remarks(struct qs_gguf *g, const struct qs_folder *f, struct qs_err *e)
{
    int rc = f->remarks.failed ? qs_fail_mem(e, 0, "the remarks about a folder") : QS_OK;
    for (const char *s = f->remarks.data; *s && !rc;) {
        char line[256];
        const size_t n = strcspn(s, "\n");
        (void)snprintf(line, sizeof line, "%.*s", (int)(n < sizeof line ? n : sizeof line - 1), s);
        rc = qs_gguf_remark(g, "folder", line, e);
        s += n + (s[n] == '\n');
    }
    return rc;
}

/* Where the tensors lie: mapped ones exactly, of made ones the first of their sources. */
static void place(struct qs_gguf *g, const struct qs_folder *f)
{
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct qs_folder_recipe *r = &f->tensor[i].r;
        g->tensor[i].part = r->n_src ? r->src[0]->part : 0;
        g->tensor[i].offset = r->n_src ? r->src[0]->t->offset + r->skip : 0;
    }
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static int read_folder(struct qs_folder *f, struct qs_err *e)
{
    int rc = qs_folder_config(f, e);
    if (!rc)
        rc = qs_folder_files(f, e);
    if (!rc)
        rc = qs_folder_rope_tensors(f, e);
    return rc ? rc : qs_folder_tensors(f, e);
}

static int make_model(struct folder_source *s, struct qs_model **out, struct qs_err *e)
{
    struct qs_folder *f = &s->f;
    struct qs_str header = QS_STR_INIT;
    struct qs_gguf *g = NULL;
    uint64_t end;
    int rc = make_header(f, &header, &end, e);
    if (!rc)
        rc = open_header(f, &header, end, &g, e);
    qs_str_free(&header);
    if (rc)
        return rc;
    place(g, f);
    rc = add_remarks(g, f, e);
    if (rc)
        qs_gguf_close(g);
    else
        rc = qs_model_of_headers(f->dir, g, out, e);
    return rc;
}

/* The folder's name without slashes at its end; where that is none but "." or "..", its full name. */
static char *plain_dir(const char *dir)
{
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    const size_t dots = n >= 2 && memcmp(dir + n - 2, "..", 2) == 0 ? 2 : n >= 1 && dir[n - 1] == '.' ? 1 : 0;
    if (n == 0 || (dots && (dots == n || dir[n - dots - 1] == '/'))) {
        char real[PATH_MAX];
        if (realpath(n ? dir : ".", real))
            return qs_strdup(real);
    }
    return qs_strndup(dir, n);
}

int qs_folder_open(const char *dir, struct qs_model **out, struct qs_err *e)
{
    *out = NULL;
    struct folder_source *s = qs_calloc(1, sizeof *s);
    if (!s)
        return qs_fail_mem(e, sizeof *s, "a model");
    s->pub = (struct qs_model_source){ .make = make, .piece = piece, .free = free_source };
    s->f.remarks = (struct qs_str)QS_STR_INIT;
    s->f.dir = plain_dir(dir);
    int rc = s->f.dir ? read_folder(&s->f, e) : qs_fail_mem(e, strlen(dir), "a path");
    if (!rc && !(s->pub.made = qs_weight_cache_new(s->f.n_tensors)))
        rc = qs_fail_mem(e, s->f.n_tensors, "the list of weights");
    struct qs_model *m = NULL;
    if (!rc)
        rc = make_model(s, &m, e);
    if (rc) {
        free_source(&s->pub);
        return rc;
    }
    m->source = &s->pub;
    m->is_folder = true;
    for (size_t i = 0; i < m->n_tensors; i++)
        m->tensor[i].made = s->f.tensor[i].r.how != QS_FOLDER_MAPPED;
    qs_json_free(s->f.config);
    s->f.config = NULL;
    s->f.text = NULL;
    *out = m;
    return QS_OK;
}
