/* watch.h - what a running calibration shows: written by its thread, copied by those who look. */
#ifndef QS_CALIB_WATCH_H
#define QS_CALIB_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "core/calib/statistics.h"

enum qs_calib_stage { QS_STAGE_WAITING, QS_STAGE_TEXT, QS_STAGE_COLLECT, QS_STAGE_SWAP, QS_STAGE_ENCODE, QS_STAGE_DONE };
const char *qs_calib_stage_name(enum qs_calib_stage s);
enum qs_calib_state { QS_CALIB_WAITING, QS_CALIB_COLLECTING, QS_CALIB_FACTORING, QS_CALIB_ENCODING, QS_CALIB_DONE, QS_CALIB_FAILED };
const char *qs_calib_state_name(enum qs_calib_state s); /* "waiting", "collecting" ... */

struct qs_calib_tensor {             /* one matrix */
    enum qs_calib_state state;
    int type;                        /* that it gets; QS_TYPE_NONE: only looked at */
    enum qs_calib_method method;     /* chosen */
    double before, after;            /* relative held-out output error: weighted fit, chosen method; NaN: not known yet */
    double plain;                    /* of the type's search without importance; NaN: not measured */
    char note[80];                   /* why: "GPTQ did not factor: weighted fit"; "" none */
};
struct qs_calib_layer {
    enum qs_calib_state state;
    double before, after;            /* of its tensors, rms by their weights; NaN: not known */
    double seconds;
    double outlier_ratio[QS_POINTS]; /* by enum qs_point where it has one; NaN */
};

struct qs_calib_watch;               /* has a lock of its own */
int qs_calib_watch_new(size_t n_layers /* blocks; one more for the head is added */, size_t n_tensors, struct qs_calib_watch **out, struct qs_err *e);
void qs_calib_watch_free(struct qs_calib_watch *w);
/* Writers. */
void qs_calib_watch_stage(struct qs_calib_watch *w, enum qs_calib_stage s);
void qs_calib_watch_layer(struct qs_calib_watch *w, size_t layer, const struct qs_calib_layer *v);
void qs_calib_watch_layer_state(struct qs_calib_watch *w, size_t layer, enum qs_calib_state s);
void qs_calib_watch_tensor(struct qs_calib_watch *w, size_t tensor, const struct qs_calib_tensor *v);
void qs_calib_watch_tensor_state(struct qs_calib_watch *w, size_t tensor, enum qs_calib_state s);
/* All take a NULL watch and then do nothing. Readers: copies. */
struct qs_calib_view {
    enum qs_calib_stage stage;
    struct qs_calib_layer *layer; size_t n_layers;
    struct qs_calib_tensor *tensor; size_t n_tensors;
    uint64_t version;
};
int qs_calib_watch_copy(struct qs_calib_watch *w, struct qs_calib_view *out, struct qs_err *e); /* qs_calib_view_free */
void qs_calib_view_free(struct qs_calib_view *v);
uint64_t qs_calib_watch_version(const struct qs_calib_watch *w);

#endif
