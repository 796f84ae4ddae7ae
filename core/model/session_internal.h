/* session_internal.h - what a session is, for the files that make one and fill one. */
#ifndef QS_CORE_SESSION_INTERNAL_H
#define QS_CORE_SESSION_INTERNAL_H

#include "core/model/forward.h"

struct qs_session {
    struct qs_engine *x;
    struct qs_session_args args;
    struct qs_forward_buffers b;
    struct qs_cache *kc, *vc;       /* n_layer each */
    size_t rotate_k, rotate_v;
    int32_t *token;                 /* n_ctx */
    size_t length;
    float *angles;                  /* host: batch * n_rot */
    const float *factor[2];         /* RoPE factors of the two sets, NULL: none */
    float *hidden;                  /* host: batch * n_embd, for the watcher; made when somebody looks */
    qs_hidden_fn *watch;
    void *watch_ctx;
    struct qs_tap_point *tap;
    size_t n_taps;
    uint64_t bytes;
};

#endif
