/* survey_cache.h - the file that keeps survey results: one per model, importance matrix and encoder version.
 *
 * FILE: a header of 64 bytes, then records one after the other, each with its own checksum; little-endian.
 *
 *     header   "QSSURVEY" | u32 version | u32 64 | model key 16 | imatrix key 16 | u32 encoder | u32 0 | u64 checksum
 *     record   u32 kind | u32 payload length | tensor key 16 | payload | u64 checksum of all that before it
 *
 * The tensor key is the hash of the tensor's name, type and shape. The payload of a cell holds the rest of its
 * qs_cell_id, that of a distribution QS_STATS_VERSION; distributions of another version are passed over. Cells that
 * overflow are kept too. Records are only ever appended, each by one write, so a file cut short anywhere loses at most its
 * last record; reading stops at the first record that is not whole, and the writer cuts the file there before it appends.
 * Later records win over earlier ones. A damaged, foreign or over-long file counts as empty; one that cannot be read is
 * left alone. Within a process all users of one file share one open cache. Of several processes one writes at a time; the
 * others wait 200 ms for it and then measure without storing. Files that were not opened for 90 days are removed. Nothing
 * here ever fails a survey. Any thread.
 */
#ifndef QS_CORE_SURVEY_CACHE_H
#define QS_CORE_SURVEY_CACHE_H

#include "base/str.h"
#include "core/quant/survey.h"

struct qs_survey_cache;

/* Opens or creates DIR/KEY.survey in the XDG cache, or shares the one that is open. NULL when there is no place or no memory for it. */
struct qs_survey_cache *qs_survey_cache_open(struct qs_key model, struct qs_key imatrix);
/* Over bytes in memory, read-only (tests, fuzzing). */
struct qs_survey_cache *qs_survey_cache_open_mem(const void *bytes, size_t n, struct qs_key model, struct qs_key imatrix);
void qs_survey_cache_free(struct qs_survey_cache *c); /* NULL allowed */

/* Where the file of these keys lies (tests). False: no place. */
bool qs_survey_cache_path(struct qs_key model, struct qs_key imatrix, struct qs_str *out);

/* False: not there. A whole cell also answers for a sampled one. Fields that need no measuring are left alone. NULL caches
 * have nothing and keep nothing. */
bool qs_survey_cache_cell(struct qs_survey_cache *c, const struct qs_cell_id *id, struct qs_survey_cell *out);
bool qs_survey_cache_stats(struct qs_survey_cache *c, struct qs_key tensor, struct qs_survey_stats *out);

/* Stored at once (cells that are known or overflow, known distributions); a failed write ends the storing, quietly. */
void qs_survey_cache_put_cell(struct qs_survey_cache *c, const struct qs_cell_id *id, const struct qs_survey_cell *cell);
void qs_survey_cache_put_stats(struct qs_survey_cache *c, struct qs_key tensor, const struct qs_survey_stats *s);

#endif
