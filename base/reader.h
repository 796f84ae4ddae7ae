/* reader.h - the bounded reader every file format is parsed with.
 *
 * A cursor over a growing window of a file (pread in chunks, never a mapping) or over memory. Every read checks
 * its bounds; the first failure sticks, later reads return zeros, and the caller looks at `err.code` where it suits.
 * Multi-byte numbers are little-endian. Offsets in messages are absolute file offsets.
 */
#ifndef QS_BASE_READER_H
#define QS_BASE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct qs_reader {
    int fd;             /* -1: memory only */
    uint64_t size;      /* bytes of the whole file or memory */
    uint64_t limit;     /* no byte at or beyond this offset is ever read (<= size) */
    uint64_t pos;       /* cursor */
    uint8_t *buf;       /* bytes [0, have) of the file: pointers into it stay valid only until the next read */
    uint64_t have, cap;
    uint64_t bytes_read; /* total bytes asked of the file: what "opening reads headers only" is measured by */
    bool owns_buf;
    struct qs_err err;  /* sticky */
};

/* Over an open descriptor (not owned). `limit` bounds what may be read (0: the file's size). */
int  qs_reader_open_fd(struct qs_reader *r, int fd, uint64_t limit, struct qs_err *e);
void qs_reader_open_mem(struct qs_reader *r, const void *bytes, size_t n);
void qs_reader_close(struct qs_reader *r);

/* Hands over the window [0, have): the caller frees it with qs_free. Descriptor readers only. */
uint8_t *qs_reader_take(struct qs_reader *r);

bool     qs_reader_has(struct qs_reader *r, uint64_t n);     /* n more bytes exist below limit; sets no error */
uint32_t qs_reader_u32(struct qs_reader *r, const char *field);
uint64_t qs_reader_u64(struct qs_reader *r, const char *field);
double   qs_reader_f64(struct qs_reader *r, const char *field);
/* n raw bytes: pointer into the window, valid until the next read; NULL on failure. */
const uint8_t *qs_reader_bytes(struct qs_reader *r, uint64_t n, const char *field);

/* Sets the sticky error (first one wins). The offset of the cursor is added to the message. Returns the code. */
int qs_reader_fail(struct qs_reader *r, enum qs_code code, const char *fmt, ...) QS_PRINTF(3, 4);

#endif
