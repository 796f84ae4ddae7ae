/* eval_keys.h - the keys of the JSON of `eval`, for the manual: a long table in a file of its own. */
#ifndef QS_SRC_EVAL_KEYS_H
#define QS_SRC_EVAL_KEYS_H

#include "src/verb.h"

extern const struct qs_key_doc qs_eval_keys[];

#endif
