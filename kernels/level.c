/* level.c - which instruction set runs: detection, the limit, and one table of operations per level.
 *
 * The tables are built once, on first use (pthread_once), and never change; a limit only moves the number of the table in
 * force, so a caller holding an old table still runs correct code. This is the only file above the level folders that
 * knows which CPUs exist. __builtin_cpu_supports asks cpuid and, for AVX, whether the operating system saves the wide
 * registers (xgetbv).
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include "kernels/level.h"

#define MAX_FORMATS 64

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct qs_format_ops tables[QS_LEVEL_COUNT][MAX_FORMATS];
static struct qs_dot_ops dots[QS_LEVEL_COUNT][MAX_FORMATS];
static struct qs_row_ops rows[QS_LEVEL_COUNT];
static bool available[QS_LEVEL_COUNT];
static atomic_int limit = QS_LEVEL_COUNT - 1;

static const char *const names[QS_LEVEL_COUNT] = {[QS_LEVEL_REF] = "ref", [QS_LEVEL_AVX2] = "avx2"};

static bool cpu_has_avx2(void)
{
#if defined(QS_HAVE_AVX2) && (defined(__x86_64__) || defined(__i386__))
    unsigned a, b, c = 0, d;
    __builtin_cpu_init();
    const bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C); /* older clangs have no name for it */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c;
#else
    return false;
#endif
}

/* Each level starts from the one below. */
static void build(void)
{
    available[QS_LEVEL_REF] = true;
    available[QS_LEVEL_AVX2] = cpu_has_avx2();
    qs_ref_formats(tables[QS_LEVEL_REF]);
    qs_ref_dots(dots[QS_LEVEL_REF]);
    qs_ref_rows(&rows[QS_LEVEL_REF]);
    memcpy(tables[QS_LEVEL_AVX2], tables[QS_LEVEL_REF], sizeof tables[QS_LEVEL_REF]);
    memcpy(dots[QS_LEVEL_AVX2], dots[QS_LEVEL_REF], sizeof dots[QS_LEVEL_REF]);
    rows[QS_LEVEL_AVX2] = rows[QS_LEVEL_REF];
#ifdef QS_HAVE_AVX2
    if (available[QS_LEVEL_AVX2]) {
        qs_avx2_formats(tables[QS_LEVEL_AVX2]);
        qs_avx2_dots(dots[QS_LEVEL_AVX2]);
        qs_avx2_rows(&rows[QS_LEVEL_AVX2]);
    }
#endif
}

const char *qs_level_name(enum qs_level l) { return (unsigned)l < QS_LEVEL_COUNT ? names[l] : "unknown"; }

bool qs_level_parse(const char *name, enum qs_level *out)
{
    for (int l = 0; name && l < QS_LEVEL_COUNT; l++)
        if (strcmp(name, names[l]) == 0) {
            *out = (enum qs_level)l;
            return true;
        }
    return false;
}

bool qs_level_available(enum qs_level l)
{
    pthread_once(&once, build);
    return (unsigned)l < QS_LEVEL_COUNT && available[l];
}

enum qs_level qs_level_best(void)
{
    int l = QS_LEVEL_COUNT - 1;
    while (l > QS_LEVEL_REF && !qs_level_available((enum qs_level)l))
        l--;
    return (enum qs_level)l;
}

enum qs_level qs_level_now(void)
{
    int best = (int)qs_level_best(), most = atomic_load(&limit);
    return (enum qs_level)(best < most ? best : most);
}

void qs_level_limit(enum qs_level l) { atomic_store(&limit, (int)l < QS_LEVEL_COUNT ? (int)l : QS_LEVEL_COUNT - 1); }

const struct qs_format_ops *qs_format_ops(int id)
{
    const struct qs_format *f = qs_format_by_id(id);
    return f ? &tables[qs_level_now()][f - qs_format_at(0)] : NULL;
}

const struct qs_dot_ops *qs_dot_ops(int id)
{
    const struct qs_format *f = qs_format_by_id(id);
    return f ? &dots[qs_level_now()][f - qs_format_at(0)] : NULL;
}

const struct qs_row_ops *qs_row_ops(void) { return &rows[qs_level_now()]; }
