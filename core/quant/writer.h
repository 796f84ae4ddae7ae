/* writer.h - the plan carried out into a file: NAME.part with its journal, renamed when whole.
 *
 * DESIGN. Reading (mapped source), encoding (pool) and writing (a thread of its own with a bounded queue) overlap. The
 * output is NAME.part (of a split file: each part), preallocated; NAME.part.journal is an append-only list of records
 * {tensor, slice, hash of its bytes, error sums}, each with a checksum, behind a header that holds the key of
 * everything the bytes depend on (source, plan, importance, metadata, encoder version). A record is appended only after
 * its bytes are on disk (fdatasync batches). The same command finds the pair, checks the key, verifies the last
 * records' bytes and goes on; a different key is refused unless --restart. The journal is locked against a second
 * process. The final rename happens after fsync; of a split file the first part is renamed last. A full disk is
 * predicted before the start (the room is claimed then, where the file system can) and otherwise ends in QS_ENOSPACE with
 * everything resumable; so does a limit on the size of files. The source is never opened for writing, and an output that
 * is a file which is read (same inode) is refused even with force. Weights or scales that are NaN or infinite, in the
 * source or in what would be written, end the run (QS_EFORMAT) and leave nothing behind: it could never be finished.
 */
#ifndef QS_CORE_WRITER_H
#define QS_CORE_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include "base/file.h"
#include "core/job/job.h"
#include "core/quant/plan.h"
#include "core/quant/encode.h"

/* ---- watching a run ---- */

enum qs_writer_state {
    QS_WRITER_WAITING,
    QS_WRITER_WORKING,
    QS_WRITER_DONE,     /* encoded */
    QS_WRITER_COPIED,
    QS_WRITER_RESUMED,  /* all of it found finished from an earlier run */
    QS_WRITER_STATES
};

struct qs_writer_watched {
    enum qs_writer_state state;
    double done;                   /* share of the tensor's bytes, 0 to 1; of one that waits: what an earlier run left */
    struct qs_error_sums sums;     /* so far; at the end those of the result, bit for bit */
};

struct qs_writer_totals {
    size_t n[QS_WRITER_STATES];    /* tensors in each state */
    struct qs_error_sums sums;     /* over all tensors, so far; at the end the result's total */
    uint64_t version;              /* grows with every change */
};

/* What every tensor of a plan is doing, kept by a run for others to look at: any thread, any time, before, during and after
 * the run. Made for n tensors (those of the plan) and owned by the caller, who frees it after the run. A run that is stopped
 * or fails leaves it as it stood; the next one begins anew. */
struct qs_writer_watch;
int qs_writer_watch_new(size_t n, struct qs_writer_watch **out, struct qs_err *e);
void qs_writer_watch_free(struct qs_writer_watch *w); /* NULL allowed */
bool qs_writer_watch_get(struct qs_writer_watch *w, size_t i, struct qs_writer_watched *out); /* false: no such tensor */
void qs_writer_watch_totals(struct qs_writer_watch *w, struct qs_writer_totals *out);

/* ---- writing ---- */

struct qs_writer_args {
    const char *path;              /* final name (of a split output: the name whose -00001-of-000NN parts are made) */
    bool force;                    /* overwrite an existing output */
    bool restart;                  /* discard a .part that belongs to something else */
    uint64_t split_max_bytes;      /* 0: one file; else parts of at most this many bytes, headers included; a tensor is
                                    * never cut: one that is larger makes a larger part */
    const char *const *override_kv; size_t n_override_kv; /* "key=type:value" */
    const char *const *remove_kv; size_t n_remove_kv;
    bool modelfile;                /* also write an Ollama Modelfile: DIR/NAME.Modelfile */
    const char *imatrix_path;      /* stated in the metadata */
    const struct qs_file_input *input; size_t n_input; /* what else is read and must not be written over */
    struct qs_writer_watch *watch; /* kept up to date; NULL: nobody watches */
    uint64_t sync_bytes;           /* a batch of records is made durable after this many bytes; 0: 64 MiB */
};

struct qs_writer_tensor { struct qs_error_sums sums; bool copied; };

struct qs_writer_result {
    uint64_t bytes;                /* all files */
    unsigned n_files;
    char **file;                   /* final names */
    struct qs_writer_tensor *tensor; /* per model tensor */
    struct qs_error_sums total;    /* over encoded tensors */
    double seconds;
    uint64_t resumed_bytes;        /* found finished from an earlier run */
};

/* Runs on the caller's thread (inside a job). Refuses a plan with a blocker, with its words. */
int qs_writer_run(const struct qs_plan *plan, const struct qs_writer_args *args, struct qs_pool *pool, struct qs_job *job,
                  struct qs_writer_result **out, struct qs_err *e);
void qs_writer_result_free(struct qs_writer_result *r);

/* The first tensor that makes a part larger than asked for; NULL: none does. */
const struct qs_encoding *qs_writer_too_large(const struct qs_plan *plan, uint64_t split_max_bytes);

/* What writing would come to, without writing: for `plan` and tests. args->path NULL: sizes and memory only. */
struct qs_writer_forecast {
    uint64_t bytes;                /* of all files, exact */
    uint64_t claim;                /* of them still to be claimed on the disk: unfinished parts hold the rest */
    unsigned n_files;
    uint64_t memory;               /* private bytes at the most, predicted: scratch, buffers, headers, importance matrix */
    uint64_t free_disk;            /* where the output would lie; 0: unknown */
    struct qs_err refusal;         /* why qs_writer_run would refuse to start; QS_OK: nothing is known of */
};
int qs_writer_forecast(const struct qs_plan *plan, const struct qs_writer_args *args, unsigned threads,
                       struct qs_writer_forecast *out, struct qs_err *e);

/* "MODEL.TYPE.gguf" beside the source. */
int qs_writer_default_name(const struct qs_model *m, const struct qs_recipe *r, struct qs_str *out, struct qs_err *e);

#endif
