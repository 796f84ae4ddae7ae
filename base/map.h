/* map.h - mapped files that survive being cut short.
 *
 * All mappings of files are made here, read-only but for scratch files without a name, and the SIGBUS handler lives
 * here: a page lost because a file was cut short while mapped reads as zeros from then on and the mapping is flagged.
 * Readers look at qs_map_damaged() after a piece of work and discard what they made. SIGBUS anywhere else goes to the
 * handler that was there before.
 */
#ifndef QS_BASE_MAP_H
#define QS_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct qs_map; /* reference-counted */

/* Maps the whole file read-only, shared; touches no page. An empty file gives a map of size 0. */
int qs_map_open(const char *path, struct qs_map **out, struct qs_err *e);
/* `size` writable bytes of a file without a name in `dir`, which is gone with its last reference: pageable memory,
 * whose room on the disk is claimed at once (QS_ENOSPACE) where the file system can do that; elsewhere a full disk
 * damages the map when it is written to, so whoever fills it looks at qs_map_check behind. *data: the bytes, zero, to
 * be filled before the map is shared. */
int qs_map_scratch(const char *dir, uint64_t size, struct qs_map **out, uint8_t **data, struct qs_err *e);
struct qs_map *qs_map_ref(struct qs_map *m);
void qs_map_unref(struct qs_map *m); /* NULL allowed */

const uint8_t *qs_map_data(const struct qs_map *m);
uint64_t qs_map_size(const struct qs_map *m);
bool qs_map_damaged(const struct qs_map *m); /* sticky */
/* QS_OK, or QS_EIO "FILE was cut short while it was read" (of a scratch file, its folder) when damaged. */
int qs_map_check(const struct qs_map *m, struct qs_err *e);
/* will_need false: drop from our page tables. */
void qs_map_advise(const struct qs_map *m, uint64_t off, uint64_t len, bool will_need);
/* Bytes in memory, by mincore. Linux says "all" for files that we neither own nor may write. */
uint64_t qs_map_resident(const struct qs_map *m, uint64_t off, uint64_t len);

#endif
