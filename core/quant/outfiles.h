/* outfiles.h - what the output will look like on disk: file names, exact headers, the place of every tensor.
 *
 * Pure arithmetic on a plan; nothing is written here. Metadata: everything the source states, without its split.* keys,
 * plus general.quantization_version, general.file_type, quantize.imatrix.* as llama.cpp writes them, the recipe and the
 * version of this program (quantscape.recipe, quantscape.version; where every tensor is copied, what the source says of
 * how it was made stays), then the person's removals and overrides. Keys that the writer or the form of the file decides
 * cannot be edited, nor may a value change its kind.
 */
#ifndef QS_CORE_OUTFILES_H
#define QS_CORE_OUTFILES_H

#include "base/str.h"
#include "core/quant/writer.h"

struct qs_outfile {
    char *final, *part;      /* NAME and NAME.part */
    struct qs_str header;
    uint64_t size;           /* bytes, padding included */
};

struct qs_place { unsigned file; uint64_t offset; };

struct qs_outfiles {
    struct qs_outfile *file; unsigned n_files;
    struct qs_place *place;  /* per tensor of the plan */
    uint64_t bytes;          /* all files */
    char *journal;           /* NAME.part.journal */
    char *modelfile;         /* "DIR/NAME.Modelfile" of the first file */
};

/* args->path NULL: names are left out (sizes only). */
int qs_outfiles_make(const struct qs_plan *plan, const struct qs_writer_args *args, struct qs_outfiles **out, struct qs_err *e);
void qs_outfiles_free(struct qs_outfiles *o);

#endif
