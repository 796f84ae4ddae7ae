/* outcheck.c - owns nothing and changes nothing: looks at names, files and the disk. Any thread. */
#include "core/quant/outcheck.h"

#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

/* A line break in a name would end the line of a Modelfile, and an escape sequence is nobody's wish. */
static int check_name(const char *path, struct qs_err *e)
{
    for (const char *c = path; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return qs_fail_advise(e, QS_EINVAL, QS_ADVISE_OTHER_OUTPUT, "the output's name holds control characters");
    return *path ? QS_OK : qs_fail_advise(e, QS_EINVAL, QS_ADVISE_OTHER_OUTPUT, "the output's name is empty");
}

/* By the files that were opened: their names may lead elsewhere by now. */
static int refuse_model(const struct qs_plan *plan, const char *path, struct qs_err *e)
{
    unsigned n_parts;
    const struct qs_gguf_part *part = qs_model_parts(plan->model, &n_parts);
    struct qs_file_stat st;
    if (qs_file_stat(path, &st, NULL))
        return QS_OK;
    for (unsigned i = 0; i < n_parts; i++)
        if (part[i].dev == st.dev && part[i].ino == st.ino)
            return qs_fail_advise(e, QS_EINVAL, QS_ADVISE_OTHER_OUTPUT, "%s is the model that is read", path);
    return QS_OK;
}

static int check_one(const struct qs_plan *plan, const struct qs_writer_args *args, const char *path, struct qs_err *e)
{
    int rc = qs_file_check_output(path, true, e);
    if (!rc)
        rc = refuse_model(plan, path, e);
    return rc ? rc : qs_file_refuse_inputs(path, args->input, args->n_input, e);
}

int qs_outcheck_places(const struct qs_plan *plan, const struct qs_writer_args *args, const struct qs_outfiles *o,
                       struct qs_err *e)
{
    int rc = check_name(args->path, e);
    for (unsigned f = 0; !rc && f < o->n_files; f++) {
        rc = check_one(plan, args, o->file[f].final, e);
        if (!rc)
            rc = check_one(plan, args, o->file[f].part, e);
    }
    if (!rc)
        rc = check_one(plan, args, o->journal, e);
    if (!rc && args->modelfile)
        rc = check_one(plan, args, o->modelfile, e);
    return rc;
}

int qs_outcheck_existing(const struct qs_writer_args *args, const struct qs_outfiles *o, struct qs_err *e)
{
    const char *found = NULL;
    for (unsigned f = 0; f < o->n_files && !found; f++)
        if (qs_file_exists(o->file[f].final))
            found = o->file[f].final;
    if (!found && args->modelfile && qs_file_exists(o->modelfile))
        found = o->modelfile;
    return found && !args->force
               ? qs_fail_advise(e, QS_EEXISTS, QS_ADVISE_OVERWRITE_OR_OTHER, "%s exists", found) : QS_OK;
}

int qs_outcheck_no_space(const char *path, uint64_t need, struct qs_err *e)
{
    uint64_t space = 0;
    char a[32], b[32];
    qs_file_free_space(path, &space, NULL);
    return qs_fail(e, QS_ENOSPACE, "%s needs %s more on its disk, %s are free; make room and run the same command again", path,
                   qs_fmt_bytes(a, sizeof a, need), qs_fmt_bytes(b, sizeof b, space));
}

uint64_t qs_outcheck_claim(const struct qs_outfiles *o)
{
    uint64_t claim = 0;
    for (unsigned f = 0; f < o->n_files; f++) {
        struct stat st;
        const uint64_t held = o->file[f].part && !stat(o->file[f].part, &st) ? (uint64_t)st.st_blocks * 512 : 0;
        claim += o->file[f].size > held ? o->file[f].size - held : 0;
    }
    return claim;
}

int qs_outcheck_room(const struct qs_outfiles *o, struct qs_err *e)
{
    const uint64_t limit = qs_file_size_limit();
    for (unsigned f = 0; f < o->n_files; f++)
        if (o->file[f].size > limit) {
            qs_fail_file_size(e, o->file[f].part, o->file[f].size);
            return qs_fail_advise(e, QS_ENOSPACE, QS_ADVISE_SMALLER_PARTS, "%s and run the same command again",
                                  e ? e->msg : "");
        }
    const uint64_t claim = qs_outcheck_claim(o);
    uint64_t space = 0;
    if (qs_file_free_space(o->file[0].part, &space, NULL) || claim <= space)
        return QS_OK;
    return qs_outcheck_no_space(o->file[0].part, claim, e);
}
