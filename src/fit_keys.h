/* fit_keys.h - what the JSON output of `fit` consists of, for the manual. */
#ifndef QS_SRC_FIT_KEYS_H
#define QS_SRC_FIT_KEYS_H

#include "src/verb.h"

extern const struct qs_key_doc qs_fit_keys[];

#endif
