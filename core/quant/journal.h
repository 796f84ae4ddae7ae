/* journal.h - the append-only list of what is already on disk: NAME.part.journal.
 *
 * Layout (little-endian, fixed): a 48-byte head {magic "QSJRNL01", key of everything the bytes depend on, 16 reserved,
 * checksum}, then 96-byte records. A torn or damaged tail is cut off on opening; nothing after it is believed.
 * The open journal holds the lock that keeps a second process away.
 */
#ifndef QS_CORE_JOURNAL_H
#define QS_CORE_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/hash.h"
#include "core/quant/encode.h"

#define QS_JOURNAL_COMMIT UINT32_MAX /* tensor number of a record that says: file `slice` is whole and may be renamed */

struct qs_record {
    uint32_t tensor, slice;
    struct qs_key hash;        /* of the slice's bytes */
    struct qs_error_sums sums;
};

struct qs_journal {
    int fd;
    char *path;
    struct qs_record *record; size_t n, cap;
};

/* Opens or creates, locks, reads. QS_EBUSY: another process has it. QS_EEXISTS: it belongs to other work (other key) or is
 * no journal at all, and `restart` is false; with restart it is emptied. A symbolic link is refused always. What was not
 * opened is not changed. *fresh: there was nothing to resume (nothing there, an empty file, a head torn while written). */
int qs_journal_open(const char *path, struct qs_key key, bool restart, struct qs_journal *out, bool *fresh, struct qs_err *e);
/* Appends and remembers. Not durable before qs_journal_sync. */
int qs_journal_append(struct qs_journal *j, const struct qs_record *r, size_t n, struct qs_err *e);
int qs_journal_sync(struct qs_journal *j, struct qs_err *e);
void qs_journal_close(struct qs_journal *j, bool remove);

#endif
