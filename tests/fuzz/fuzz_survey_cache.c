/* fuzz_survey_cache.c - the survey's cache file: any bytes are read without harm, and what is found can be looked up.
 *
 * The header's keys are zero, so that a corpus file reaches the records. Each input is read as it is, and again with the
 * encoder version and the checksums of header and records repaired, for otherwise no mutation would pass them.
 */
#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "core/quant/survey_cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_sum(uint8_t *at, const uint8_t *from, size_t n)
{
    const uint64_t sum = qs_hash_bytes(from, n).lo;
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(sum >> 8 * i);
}

static void repair(uint8_t *b, size_t n)
{
    if (n < 64)
        return;
    b[48] = QS_ENCODER_VERSION & 255; /* an older corpus stays useful */
    put_sum(b + 56, b, 56);
    for (size_t at = 64; n - at >= 32;) {
        const size_t len = b[at + 4] | (size_t)b[at + 5] << 8 | (size_t)b[at + 6] << 16;
        if (len > n - at - 32)
            return;
        put_sum(b + at + 24 + len, b + at, 24 + len);
        at += 32 + len;
    }
}

static void look(const uint8_t *data, size_t size)
{
    const struct qs_key zero = { 0, 0 };
    struct qs_survey_cache *c = qs_survey_cache_open_mem(data, size, zero, zero);
    const struct qs_cell_id id = { .tensor = zero, .type = 12, .sample_weights = 65536, .encoder = QS_ENCODER_VERSION };
    struct qs_survey_cell cell = { 0 };
    struct qs_survey_stats stats;
    if (qs_survey_cache_cell(c, &id, &cell) &&
        ((cell.how != QS_HOW_WHOLE && cell.how != QS_HOW_SAMPLED) || cell.known != (cell.gap == QS_GAP_NONE)))
        __builtin_trap();
    if (qs_survey_cache_stats(c, zero, &stats) && (stats.n_rows_worst > QS_WORST || stats.n_cols_worst > QS_WORST))
        __builtin_trap();
    qs_survey_cache_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = qs_malloc(size);
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    look(copy, size);
    repair(copy, size);
    look(copy, size);
    qs_free(copy);
    return 0;
}
