/* outcheck.h - what stands in the way of an output, told before anything is written. */
#ifndef QS_CORE_OUTCHECK_H
#define QS_CORE_OUTCHECK_H

#include "core/quant/outfiles.h"

/* Names, folders and kinds of files; and that no file of the output is one that is read. */
int qs_outcheck_places(const struct qs_plan *plan, const struct qs_writer_args *args, const struct qs_outfiles *o,
                       struct qs_err *e);
/* QS_EEXISTS: a file of the output is there and args->force is not given. */
int qs_outcheck_existing(const struct qs_writer_args *args, const struct qs_outfiles *o, struct qs_err *e);
/* Bytes still to be claimed on the disk: all of the output without what unfinished parts hold already. */
uint64_t qs_outcheck_claim(const struct qs_outfiles *o);
/* QS_ENOSPACE: the disk, or the limit on the size of files, is too small. */
int qs_outcheck_room(const struct qs_outfiles *o, struct qs_err *e);
int qs_outcheck_no_space(const char *path, uint64_t need, struct qs_err *e); /* the message: QS_ENOSPACE */

#endif
