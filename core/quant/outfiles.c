/* outfiles.c - owns the layout of an output until it is freed; writes nothing.
 *
 * Split output follows gguf-split: tensors are dealt in order to files NAME-00001-of-0000N.gguf, the first carries all
 * metadata, every file carries split.no, split.count and split.tensors.count. A tensor is never cut.
 */
#include "core/quant/outfiles.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/format/gguf_write.h"

#define QNT_VERSION 2 /* ggml's GGML_QNT_VERSION: the layout of quantized blocks */

#ifndef QS_VERSION
#define QS_VERSION "unknown"
#endif

/* As in the source, which may be laid out more tightly than programs write. */
static uint32_t alignment_of(const struct qs_plan *plan)
{
    const uint32_t a = qs_model_alignment(plan->model);
    return a < QS_GGUF_OUT_ALIGNMENT_MIN ? QS_GGUF_OUT_ALIGNMENT : a;
}

static bool copies_all(const struct qs_plan *plan)
{
    for (size_t i = 0; i < plan->n; i++)
        if (!plan->enc[i].copy)
            return false;
    return true;
}

/* Where nothing is encoded the file was made by whoever made the source: what it says of that stays. */
static int describe_making(struct qs_gguf_meta *m, const struct qs_plan *plan, const struct qs_writer_args *args,
                           struct qs_err *e)
{
    int rc = QS_OK;
    const bool copies = copies_all(plan);
    if (plan->imatrix && !copies) {
        rc = qs_gguf_meta_str(m, "quantize.imatrix.file", args->imatrix_path ? args->imatrix_path : "", e);
        if (!rc && plan->imatrix->dataset && *plan->imatrix->dataset)
            rc = qs_gguf_meta_str(m, "quantize.imatrix.dataset", plan->imatrix->dataset, e);
        if (!rc)
            rc = qs_gguf_meta_u32(m, "quantize.imatrix.entries_count", (uint32_t)plan->imatrix->n_entries, e);
        if (!rc && plan->imatrix->chunks)
            rc = qs_gguf_meta_u32(m, "quantize.imatrix.chunks_count", (uint32_t)plan->imatrix->chunks, e);
    }
    if (!rc && plan->n_stored)
        rc = qs_gguf_meta_str(m, "quantscape.calibration", qs_store_facts(plan->store), e);
    if (rc || (copies && qs_gguf_meta_has(m, "quantscape.recipe")))
        return rc;
    struct qs_str text = QS_STR_INIT;
    rc = qs_recipe_print(plan->recipe, &text, e);
    if (!rc && text.failed)
        rc = qs_fail_mem(e, text.len, "the recipe's text");
    if (!rc)
        rc = qs_gguf_meta_str(m, "quantscape.recipe", text.data, e);
    if (!rc)
        rc = qs_gguf_meta_str(m, "quantscape.version", QS_VERSION, e);
    qs_str_free(&text);
    return rc;
}

/* Metadata of the first file, overrides not yet applied. */
static int describe(struct qs_gguf_meta *m, const struct qs_plan *plan, const struct qs_writer_args *args, struct qs_err *e)
{
    int rc = qs_model_copy_metadata(plan->model, m, e);
    for (const char *const *k = (const char *const[]){ "split.no", "split.count", "split.tensors.count", NULL }; *k; k++)
        qs_gguf_meta_remove(m, *k);
    if (!rc && alignment_of(plan) != qs_model_alignment(plan->model))
        rc = qs_gguf_meta_u32(m, "general.alignment", alignment_of(plan), e);
    if (!rc && plan->file_type >= 0)
        rc = qs_gguf_meta_u32(m, "general.file_type", (uint32_t)plan->file_type, e);
    if (!rc)
        rc = qs_gguf_meta_u32(m, "general.quantization_version", QNT_VERSION, e);
    return rc ? rc : describe_making(m, plan, args, e);
}

/* Why nobody may edit this key; NULL: it may be edited. */
static const char *why_owned(const struct qs_plan *plan, const char *key)
{
    static const struct { const char *key, *why; } owned[] = {
        { "general.alignment", "it decides where the tensors lie" },
        { "general.quantization_version", "it states how the blocks written here are laid out" },
        { "general.type", "it says what kind of file this is" },
    };
    if (!strncmp(key, "split.", 6))
        return "it says how the parts of the file belong together";
    if (!strcmp(key, "general.file_type") && plan->recipe->preset->file_type >= 0)
        return "it states the preset that is written";
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        if (!strcmp(key, owned[i].key))
            return owned[i].why;
    return NULL;
}

static const char *kind_of(int type)
{
    switch (type) {
    case QS_GGUF_STRING: return "a text";
    case QS_GGUF_ARRAY: return "a list";
    case QS_GGUF_BOOL: return "true or false";
    case QS_GGUF_F32: case QS_GGUF_F64: return "a fraction";
    default: return "a whole number";
    }
}

/* Of a model's own keys: the last part of its name is `tail`. */
static bool is_of_arch(const char *key, const char *arch, const char *tail)
{
    const size_t n = strlen(arch);
    return n && !strncmp(key, arch, n) && key[n] == '.' && !strcmp(key + n + 1, tail);
}

/* Why no program could load the file without this key; NULL: it can be left out. Beside the keys that every model needs:
 * those from which the sizes of its tensors follow, and what its layers compute with. */
static const char *why_needed(const struct qs_plan *plan, const char *key)
{
    static const char *const layers[] = { "feed_forward_length", "attention.head_count", "attention.head_count_kv",
                                          "attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon", NULL };
    static const char *const always[] = { "general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.tokens", NULL };
    const char *arch = plan->model->hp.arch;
    for (const char *const *k = always; *k; k++)
        if (!strcmp(key, *k))
            return k == always ? "no program can open a model without it" : "llama.cpp needs it to load a model";
    for (const char *const *k = qs_gguf_needed_keys(); *k; k++)
        if (is_of_arch(key, arch, *k))
            return "llama.cpp needs it to load a model";
    for (const char *const *k = layers; *k; k++)
        if (is_of_arch(key, arch, *k))
            return "llama.cpp needs it to load this model";
    return NULL;
}

static int remove_key(struct qs_gguf_meta *m, const struct qs_plan *plan, const char *key, struct qs_err *e)
{
    const char *why = why_owned(plan, key);
    if (why)
        return qs_fail(e, QS_EINVAL, "metadata %s cannot be left out: %s", key, why);
    const char *needed = why_needed(plan, key);
    if (needed)
        return qs_fail(e, QS_EINVAL, "metadata %s cannot be left out: %s", key, needed);
    if (!qs_gguf_meta_remove(m, key))
        return qs_fail(e, QS_EINVAL, "metadata %s cannot be left out: the model states no such key", key);
    return QS_OK;
}

/* The value keeps its kind: programs that look for a text or a list stop at anything else. */
static int check_kind(const struct qs_gguf_meta *m, const struct qs_gguf_meta *one, const char *key, struct qs_err *e)
{
    int now = qs_gguf_meta_type(m, key);
    const int then = qs_gguf_meta_type(one, key);
    if (now < 0 && !strcmp(key, "general.architecture"))
        now = QS_GGUF_STRING;
    if (now < 0 || kind_of(now) == kind_of(then))
        return QS_OK;
    return qs_fail(e, QS_EINVAL, "metadata %s cannot be set: its value is %s (%s), which %s (%s) cannot replace", key,
                   kind_of(now), qs_gguf_type_name(now), kind_of(then), qs_gguf_type_name(then));
}

static int check_architecture(const struct qs_plan *plan, const char *name, struct qs_err *e)
{
    const char *now;
    size_t n;
    if (!*name)
        return qs_fail(e, QS_EINVAL,
                       "metadata general.architecture cannot be set: no program can open a model without a name there");
    if (!qs_kv_str(qs_model_kv(plan->model, "general.architecture"), &now, &n) || n == 0)
        return QS_OK; /* nobody could load it so far */
    return n == strlen(name) && !memcmp(now, name, n)
               ? QS_OK
               : qs_fail(e, QS_EINVAL,
                         "metadata general.architecture cannot be set: tensors and metadata of this model are those of %s, and no "
                         "program loads them as another",
                         plan->model->hp.arch);
}

static int override_key(struct qs_gguf_meta *m, const struct qs_plan *plan, const char *text, struct qs_err *e)
{
    struct qs_gguf_meta *one = qs_gguf_meta_new(); /* the entry by itself: is it well-formed, and of what type? */
    char *key = qs_strndup(text, strcspn(text, "="));
    int rc = one && key ? qs_gguf_meta_override(one, text, e) : qs_fail_mem(e, strlen(text), "metadata");
    const char *why = rc ? NULL : why_owned(plan, key);
    if (why)
        rc = qs_fail(e, QS_EINVAL, "metadata %s cannot be set: %s", key, why);
    if (!rc)
        rc = check_kind(m, one, key, e);
    if (!rc && !strcmp(key, "general.architecture"))
        rc = check_architecture(plan, strchr(text + strlen(key), ':') + 1, e); /* well-formed: it has one */
    if (!rc)
        rc = qs_gguf_meta_override(m, text, e);
    qs_gguf_meta_free(one);
    qs_free(key);
    return rc;
}

static int apply_edits(struct qs_gguf_meta *m, const struct qs_plan *plan, const struct qs_writer_args *args,
                       struct qs_err *e)
{
    int rc = QS_OK;
    for (size_t i = 0; !rc && i < args->n_remove_kv; i++)
        rc = remove_key(m, plan, args->remove_kv[i], e);
    for (size_t i = 0; !rc && i < args->n_override_kv; i++)
        rc = override_key(m, plan, args->override_kv[i], e);
    return rc;
}

static int state_split(struct qs_gguf_meta *m, unsigned no, unsigned count, size_t tensors, struct qs_err *e)
{
    const uint16_t no16 = (uint16_t)no, count16 = (uint16_t)count;
    const int32_t n = (int32_t)tensors;
    int rc = qs_gguf_meta_raw(m, "split.no", QS_GGUF_U16, &no16, sizeof no16, e);
    if (!rc)
        rc = qs_gguf_meta_raw(m, "split.count", QS_GGUF_U16, &count16, sizeof count16, e);
    if (!rc)
        rc = qs_gguf_meta_raw(m, "split.tensors.count", QS_GGUF_I32, &n, sizeof n, e);
    return rc;
}

static uint64_t aligned(uint64_t n, uint64_t alignment)
{
    return (n + alignment - 1) / alignment * alignment;
}

/* What a tensor adds to a file: its line in the table (name, dimensions, type, offset) and its padded data. */
static uint64_t footprint(const struct qs_encoding *enc, uint64_t alignment)
{
    return 8 + strlen(enc->tensor->name) + 4 + 8 * (uint64_t)enc->tensor->n_dims + 4 + 8 + aligned(enc->bytes, alignment);
}

/* Deals the tensors to files: fills place[].file; returns the number of files. head: bytes of a header without tensors,
 * of the first file and of each other one. */
static unsigned deal(const struct qs_plan *plan, uint64_t max_bytes, uint64_t alignment, const uint64_t head[2],
                     struct qs_place *place)
{
    unsigned file = 0;
    uint64_t used = head[0] + alignment;
    bool empty = true;
    for (size_t i = 0; i < plan->n; i++) {
        const uint64_t more = footprint(&plan->enc[i], alignment);
        if (max_bytes && !empty && used + more > max_bytes) {
            file++;
            used = head[1] + alignment;
        }
        place[i].file = file;
        used += more;
        empty = false;
    }
    return file + 1;
}

static char *name_of(const char *path, unsigned no, unsigned count, bool split, const char *suffix)
{
    struct qs_str s = QS_STR_INIT;
    size_t len = strlen(path);
    if (split) {
        if (len > 5 && !strcmp(path + len - 5, ".gguf"))
            len -= 5;
        qs_str_addn(&s, path, len);
        qs_str_addf(&s, "-%05u-of-%05u.gguf", no + 1, count);
    } else {
        qs_str_add(&s, path);
    }
    qs_str_add(&s, suffix);
    return qs_str_take(&s);
}

/* Lays out one file: its tensors are those dealt to it. */
static int lay_file(struct qs_outfiles *o, unsigned no, const struct qs_plan *plan, const struct qs_gguf_meta *m,
                    uint32_t alignment, struct qs_gguf_out *list, struct qs_err *e)
{
    size_t n = 0, first = 0;
    for (size_t i = 0; i < plan->n; i++) {
        if (o->place[i].file != no)
            continue;
        if (!n)
            first = i;
        const struct qs_tensor *t = plan->enc[i].tensor;
        list[n] = (struct qs_gguf_out){ .name = t->name, .n_dims = t->n_dims, .type = plan->enc[i].type, .size = plan->enc[i].bytes };
        memcpy(list[n].ne, t->ne, sizeof t->ne);
        n++;
    }
    const int rc = qs_gguf_layout(m, list, n, alignment, &o->file[no].header, &o->file[no].size, e);
    if (rc)
        return rc;
    if (o->file[no].header.failed)
        return qs_fail_mem(e, o->file[no].header.len, "a file header");
    for (size_t i = 0; i < n; i++) /* tensors of one file follow each other in the plan */
        o->place[first + i].offset = list[i].offset;
    o->bytes += o->file[no].size;
    return QS_OK;
}

/* Metadata of file `no` of `count`. */
static int make_meta(const struct qs_plan *plan, const struct qs_writer_args *args, unsigned no, unsigned count,
                     struct qs_gguf_meta **out, struct qs_err *e)
{
    struct qs_gguf_meta *m = qs_gguf_meta_new();
    const uint32_t alignment = alignment_of(plan);
    int rc = m ? QS_OK : qs_fail_mem(e, 0, "metadata");
    if (!rc && no == 0)
        rc = describe(m, plan, args, e);
    if (!rc && no == 0)
        rc = apply_edits(m, plan, args, e);
    if (!rc && no > 0 && qs_model_kv(plan->model, "general.alignment"))
        rc = qs_gguf_meta_u32(m, "general.alignment", alignment, e);
    if (!rc && args->split_max_bytes)
        rc = state_split(m, no, count, plan->n, e);
    if (rc)
        qs_gguf_meta_free(m);
    else
        *out = m;
    return rc;
}

/* Bytes of the headers without any tensor: of the first file, and of another one. */
static int measure_heads(const struct qs_plan *plan, const struct qs_writer_args *args, uint64_t head[2],
                         uint32_t *alignment, struct qs_err *e)
{
    int rc = QS_OK;
    *alignment = alignment_of(plan);
    for (unsigned no = 0; !rc && no < 2; no++) {
        struct qs_gguf_meta *m;
        struct qs_str header = QS_STR_INIT;
        uint64_t size;
        rc = make_meta(plan, args, no, 2, &m, e);
        if (rc)
            return rc;
        rc = qs_gguf_layout(m, NULL, 0, *alignment, &header, &size, e);
        head[no] = header.len;
        qs_str_free(&header);
        qs_gguf_meta_free(m);
    }
    return rc;
}

static int lay_all(struct qs_outfiles *o, const struct qs_plan *plan, const struct qs_writer_args *args,
                   uint32_t alignment, struct qs_gguf_out *list, struct qs_err *e)
{
    const bool split = args->split_max_bytes > 0;
    int rc = QS_OK;
    for (unsigned no = 0; !rc && no < o->n_files; no++) {
        struct qs_gguf_meta *m;
        rc = make_meta(plan, args, no, o->n_files, &m, e);
        if (rc)
            return rc;
        if (args->path) {
            o->file[no].final = name_of(args->path, no, o->n_files, split, "");
            o->file[no].part = name_of(args->path, no, o->n_files, split, ".part");
            if (!o->file[no].final || !o->file[no].part)
                rc = qs_fail_mem(e, strlen(args->path), "file names");
        }
        if (!rc)
            rc = lay_file(o, no, plan, m, alignment, list, e);
        qs_gguf_meta_free(m);
    }
    return rc;
}

/* "DIR/NAME.Modelfile" of "DIR/NAME.gguf"; the journal of the whole. */
static int name_others(struct qs_outfiles *o, const struct qs_writer_args *args, struct qs_err *e)
{
    struct qs_str journal = QS_STR_INIT, model = QS_STR_INIT;
    const char *final = o->file[0].final;
    const size_t len = strlen(final), cut = len > 5 && !strcmp(final + len - 5, ".gguf") ? len - 5 : len;
    qs_str_addf(&journal, "%s.part.journal", args->path);
    qs_str_addn(&model, final, cut);
    qs_str_add(&model, ".Modelfile");
    o->journal = qs_str_take(&journal);
    o->modelfile = qs_str_take(&model);
    return o->journal && o->modelfile ? QS_OK : qs_fail_mem(e, len, "file names");
}

int qs_outfiles_make(const struct qs_plan *plan, const struct qs_writer_args *args, struct qs_outfiles **out, struct qs_err *e)
{
    struct qs_outfiles *o = qs_calloc(1, sizeof *o);
    struct qs_gguf_out *list = qs_calloc(plan->n + 1, sizeof *list);
    if (o)
        o->place = qs_calloc(plan->n + 1, sizeof *o->place);
    int rc = QS_OK;
    if (!o || !list || !o->place)
        rc = qs_fail_mem(e, plan->n * (sizeof *list + sizeof *o->place), "the layout");
    uint64_t head[2] = { 0, 0 };
    uint32_t alignment = 32;
    if (!rc)
        rc = measure_heads(plan, args, head, &alignment, e);
    if (!rc) {
        o->n_files = deal(plan, args->split_max_bytes, alignment, head, o->place);
        o->file = qs_calloc(o->n_files, sizeof *o->file);
        if (!o->file)
            rc = qs_fail_mem(e, o->n_files * sizeof *o->file, "the layout");
        else if (o->n_files > 65535)
            rc = qs_fail(e, QS_ELIMIT, "the split size would make %u files; the format counts at most 65535", o->n_files);
    }
    if (!rc) {
        for (unsigned i = 0; i < o->n_files; i++)
            o->file[i].header = (struct qs_str)QS_STR_INIT;
        rc = lay_all(o, plan, args, alignment, list, e);
    }
    if (!rc && args->path)
        rc = name_others(o, args, e);
    qs_free(list);
    if (rc)
        qs_outfiles_free(o);
    else
        *out = o;
    return rc;
}

void qs_outfiles_free(struct qs_outfiles *o)
{
    if (!o)
        return;
    for (unsigned i = 0; o->file && i < o->n_files; i++) {
        qs_free(o->file[i].final);
        qs_free(o->file[i].part);
        qs_str_free(&o->file[i].header);
    }
    qs_free(o->file);
    qs_free(o->place);
    qs_free(o->journal);
    qs_free(o->modelfile);
    qs_free(o);
}
