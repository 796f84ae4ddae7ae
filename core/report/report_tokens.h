/* report_tokens.h - a text as a model reads it: its tokens, one row each. */
#ifndef QS_CORE_REPORT_TOKENS_H
#define QS_CORE_REPORT_TOKENS_H

#include "core/report/table.h"
#include "core/text/vocab.h"

struct qs_tokens_report_args {
    const char *path;              /* of the model */
    const struct qs_vocab *vocab;
    const struct qs_tokens *tokens;
    size_t bytes;                  /* of the text */
    const char *chat;              /* the text that a chat template made; NULL: none did */
};

/* NULL: out of memory. Facts "summary" and a table "tokens". */
struct qs_report *qs_report_tokens(const struct qs_tokens_report_args *args);

#endif
