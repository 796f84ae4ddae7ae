/* writer_forecast.c - what writing a plan would come to: sizes, memory, disk, the name; nothing is written. Any thread.
 */
#include <string.h>

#include "base/file.h"
#include "core/quant/outcheck.h"
#include "core/quant/writer_internal.h"

const struct qs_encoding *qs_writer_too_large(const struct qs_plan *plan, uint64_t split_max_bytes)
{
    for (size_t i = 0; split_max_bytes && i < plan->n; i++)
        if (plan->enc[i].bytes > split_max_bytes)
            return &plan->enc[i];
    return NULL;
}

/* What the encoders and the sink take, and what is held all the while. */
static uint64_t predict_memory(const struct qs_plan *plan, const struct qs_outfiles *o, unsigned threads)
{
    uint64_t held = 0;
    unsigned n_parts;
    const struct qs_gguf_part *part = qs_model_parts(plan->model, &n_parts);
    for (unsigned i = 0; i < n_parts; i++)
        held += part[i].header_size;
    for (unsigned f = 0; f < o->n_files; f++)
        held += 2 * o->file[f].header.len; /* the second: its metadata while it is made */
    for (size_t i = 0; plan->imatrix && i < plan->imatrix->n_entries; i++)
        held += plan->imatrix->entry[i].n * sizeof(float);
    uint64_t made = 0; /* one tensor at a time, large ones in scratch files */
    for (size_t i = 0; i < plan->n; i++) {
        const struct qs_tensor *t = plan->enc[i].tensor;
        if (t->made && t->size > made && t->size <= QS_MADE_HEAP_MOST)
            made = t->size;
    }
    held += made;
    held += plan->n * (sizeof *plan->enc + sizeof *plan->resolved->choice);
    return held + qs_encoder_memory(threads ? threads : 1, qs_slices_widest_row(plan)) +
           QS_SINK_PIECES * qs_slices_largest(plan);
}

static uint64_t free_disk(const char *path)
{
    struct qs_str dir = QS_STR_INIT;
    uint64_t space = 0;
    qs_path_dir(path, &dir);
    if (dir.failed || qs_file_free_space(dir.data, &space, NULL))
        space = 0;
    qs_str_free(&dir);
    return space;
}

int qs_writer_forecast(const struct qs_plan *plan, const struct qs_writer_args *args, unsigned threads,
                       struct qs_writer_forecast *out, struct qs_err *e)
{
    struct qs_outfiles *o;
    int rc = qs_outfiles_make(plan, args, &o, e);
    if (rc)
        return rc;
    *out = (struct qs_writer_forecast){ .bytes = o->bytes, .claim = qs_outcheck_claim(o), .n_files = o->n_files,
                                        .memory = predict_memory(plan, o, threads),
                                        .free_disk = args->path ? free_disk(args->path) : 0 };
    rc = args->path ? qs_outcheck_places(plan, args, o, &out->refusal) : QS_OK;
    if (!rc && args->path && !qs_file_exists(o->journal)) /* an unfinished run goes on */
        rc = qs_outcheck_existing(args, o, &out->refusal);
    if (!rc && args->path)
        (void)qs_outcheck_room(o, &out->refusal);
    qs_outfiles_free(o);
    return QS_OK;
}

int qs_writer_default_name(const struct qs_model *m, const struct qs_recipe *r, struct qs_str *out, struct qs_err *e)
{
    struct qs_str dir = QS_STR_INIT, name = QS_STR_INIT;
    qs_model_stem(m->path, m->is_folder, &dir, &name);
    qs_str_addf(&name, ".%s.gguf", r->preset->name);
    qs_path_join(dir.data, name.data, out);
    const bool failed = dir.failed || name.failed || out->failed;
    qs_str_free(&dir);
    qs_str_free(&name);
    return failed ? qs_fail_mem(e, name.len, "a file name") : QS_OK;
}
