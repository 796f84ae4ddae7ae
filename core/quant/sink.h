/* sink.h - the writing half of the writer: a thread that puts finished slices on disk and journals them.
 *
 * DESIGN. A ring of QS_SINK_PIECES buffers between one producer (encoder) and the sink's thread. A piece is written at
 * its place, hashed, and counted as pending; when enough bytes or two seconds have gathered, or the next piece belongs to
 * another file, the file is made durable (fdatasync) and only then the pending records are appended to the journal. One
 * file is open at a time. The first failure sticks: later pieces are dropped, records whose bytes may be lost are never
 * appended (a failed fdatasync is told once only), and the producer learns it at its next call.
 */
#ifndef QS_CORE_SINK_H
#define QS_CORE_SINK_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "core/quant/journal.h"

#define QS_SINK_PIECES 4

struct qs_piece {
    uint8_t *data;      /* `capacity` bytes, to be filled by the producer */
    size_t len;
    unsigned file;      /* index into the paths */
    uint64_t offset;
    uint32_t tensor, slice;
    struct qs_error_sums sums;
};

struct qs_sink;

/* The files exist already; paths and journal stay the caller's and must outlive the sink. sync_bytes: batch size (0: 64
 * MiB). */
int qs_sink_new(char *const *path, struct qs_journal *journal, size_t capacity, uint64_t sync_bytes, struct qs_sink **out,
                struct qs_err *e);
/* A free piece (waits for one). Fails with the sink's first error. */
int qs_sink_take(struct qs_sink *s, struct qs_piece **out, struct qs_err *e);
void qs_sink_put(struct qs_sink *s, struct qs_piece *p);
/* Waits until everything put is durable and journalled; frees the sink. The first error that occurred. */
int qs_sink_end(struct qs_sink *s, struct qs_err *e);

#endif
