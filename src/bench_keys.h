/* bench_keys.h - the keys of the JSON of `bench`. */
#ifndef QS_SRC_BENCH_KEYS_H
#define QS_SRC_BENCH_KEYS_H

#include "src/verb.h"

extern const struct qs_key_doc qs_bench_keys[];

#endif
