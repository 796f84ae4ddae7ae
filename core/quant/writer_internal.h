/* writer_internal.h - inside core/quant: one run of the writer, and how tensors are cut into slices.
 *
 * The candidate in memory (candidate.c) makes its slices here too: the same bytes, the same refusals.
 * writer.c carries a run out; slices are cut in writer_slices.c, filled (copied or encoded, and looked at) in
 * writer_fill.c, believed from an earlier run in writer_resume.c. sink.h puts them on disk with a thread of its own.
 */
#ifndef QS_CORE_WRITER_INTERNAL_H
#define QS_CORE_WRITER_INTERNAL_H

#include "base/hash.h"
#include "core/quant/journal.h"
#include "core/quant/outfiles.h"
#include "core/quant/sink.h"
#include "core/quant/writer.h"

#define QS_SLICE_WEIGHTS (UINT64_C(1) << 20) /* encoded per piece: half a second at worst */
#define QS_COPY_BYTES (UINT64_C(4) << 20)    /* copied per piece, in whole blocks */

struct qs_slices {            /* how one tensor is cut */
    uint64_t rows_per;     /* encoded */
    uint64_t bytes_per;    /* of every slice but the last */
    uint64_t n;
    size_t first;          /* index of slice 0 in run.done / run.sums */
};

struct qs_writing {
    const struct qs_plan *plan;
    const struct qs_writer_args *args;
    struct qs_pool *pool;
    struct qs_job *job;
    struct qs_outfiles *out;
    struct qs_journal journal;
    struct qs_slices *cut;    /* per tensor */
    bool *done;            /* per slice */
    struct qs_error_sums *sums;
    size_t n_slices;
    char **part;           /* per output file */
    unsigned n_sources;
    int *source;           /* per file of the model: descriptor for copying, -1: not open yet */
    bool committed;        /* every byte was durable: only renaming is left */
    bool renamed;          /* the output stands under its name: the journal has served */
    bool fresh;
    bool hopeless;         /* this run can never be finished: the source, or what became of it, is no number */
    unsigned parts_made;   /* part files this run has made or taken over */
    uint64_t resumed;
    struct qs_encoder *encoder;
    struct qs_sink *sink;
    struct qs_error_sums total;
};

/* ---- slices: cut by the tensor's shape alone, so that every run of a plan makes the same ones ---- */

struct qs_slices qs_slices_of(const struct qs_encoding *enc);
uint64_t qs_slice_offset(const struct qs_slices *s, uint64_t i);
uint64_t qs_slice_bytes(const struct qs_encoding *enc, const struct qs_slices *s, uint64_t i);
uint64_t qs_slice_weights(const struct qs_encoding *enc, const struct qs_slices *s, uint64_t i);
uint64_t qs_slices_largest(const struct qs_plan *plan); /* bytes */
uint64_t qs_slices_widest_row(const struct qs_plan *plan); /* weights, of what is encoded */
int qs_writing_cut(struct qs_writing *r, struct qs_err *e); /* all tensors */

/* ---- resume ---- */

int qs_writing_key(struct qs_writing *r, struct qs_key *out, struct qs_err *e); /* of everything the bytes depend on */
int qs_writing_believe(struct qs_writing *r, struct qs_err *e);
bool qs_writing_was_committed(const struct qs_writing *r);
void qs_writing_believe_commit(struct qs_writing *r);

/* ---- one slice ---- */

/* Fills p with slice i of a tensor; w: its weight where it is encoded. QS_EFORMAT (and r->hopeless): what would be
 * written is no number. */
int qs_writing_fill_slice(struct qs_writing *r, size_t tensor, uint64_t i, const struct qs_weight *w,
                          struct qs_piece *p, struct qs_err *e);

/* How far rows [row, row + n) of `made`, the store's, are from those of w, the source's; dst (NULL: nowhere) gets them. */
int qs_writing_made_sums(struct qs_writing *r, size_t tensor, uint64_t row, uint64_t n, const struct qs_weight *w,
                         const struct qs_weight *made, uint8_t *dst, struct qs_error_sums *sums, struct qs_err *e);

/* ---- watching ---- */

/* Everything waits. QS_EINVAL: it was made for another number of tensors. */
int qs_writer_watch_begin(struct qs_writer_watch *w, size_t n, struct qs_err *e);
/* NULL: does nothing */
void qs_writer_watch_set(struct qs_writer_watch *w, size_t i, const struct qs_writer_watched *now);

static inline uint64_t qs_min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }

#endif
