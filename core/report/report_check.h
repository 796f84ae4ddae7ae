/* report_check.h - everything that is wrong with a file. */
#ifndef QS_CORE_REPORT_CHECK_H
#define QS_CORE_REPORT_CHECK_H

#include "core/model/model.h"
#include "core/report/table.h"

struct qs_check_damage { char tensor[256]; char field[16]; char msg[200]; uint64_t offset; unsigned part; };

struct qs_check_args {
    const char *path;
    const struct qs_gguf *gguf;           /* from qs_gguf_check */
    const struct qs_check_damage *damage; /* what reading the data showed */
    size_t n_damage;
    bool data_read;                       /* all weights were read */
    const char *data_error;               /* why reading them ended early; NULL */
};

/* NULL: out of memory. Facts "summary" and a table "findings", the worst first. *errors: how many are fatal. */
struct qs_report *qs_report_check(const struct qs_check_args *args, size_t *errors);

#endif
