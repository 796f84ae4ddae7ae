/* level.c - which instruction set runs: detection, the limit, and one table of operations per level.
 *
 * The tables are built once, on first use (pthread_once), and never change; a limit only moves the number of the table in
 * force, so a caller holding an old table still runs correct code. This is the only file above the level folders that
 * knows which CPUs exist. __builtin_cpu_supports asks cpuid and, for AVX, whether the operating system saves the wide
 * registers (xgetbv). On ARM the kernel tells; every 64-bit CPU of Apple's computers has the dot product.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#include "kernels/level.h"

#define MAX_FORMATS 64 /* tests/kernels/test_levels counts */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct qs_format_ops tables[QS_LEVEL_COUNT][MAX_FORMATS];
static struct qs_dot_ops dots[QS_LEVEL_COUNT][MAX_FORMATS];
static struct qs_panel_ops panels[QS_LEVEL_COUNT][MAX_FORMATS];
static struct qs_row_ops rows[QS_LEVEL_COUNT];
static bool available[QS_LEVEL_COUNT];
static atomic_int limit = QS_LEVEL_COUNT - 1;

/* ---- what this CPU has */

static bool has_ref(void) { return true; }
static void fill_ref(const struct qs_level_tables *t)
{
    qs_ref_formats(t->formats);
    qs_ref_dots(t->dots);
    qs_ref_rows(t->rows);
}

#ifdef QS_HAVE_AVX2
static bool has_avx2(void)
{
    unsigned a, b, c = 0, d;
    __builtin_cpu_init();
    const bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C); /* older clangs have no name for it */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c;
}
static void fill_avx2(const struct qs_level_tables *t)
{
    qs_avx2_formats(t->formats);
    qs_avx2_dots(t->dots);
    qs_avx2_rows(t->rows);
}
#endif

#ifdef QS_HAVE_AVXVNNI
static bool has_avxvnni(void)
{
    unsigned a = 0, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
static void fill_avxvnni(const struct qs_level_tables *t) { qs_avxvnni_panels(t->panels); }
#endif

#ifdef QS_HAVE_AVX512
static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
}
static void fill_avx512_256(const struct qs_level_tables *t) { qs_avx512_256_panels(t->panels); }

/* In t->panels are those of 256 bits, which stay where they are faster. */
static void fill_avx512_panels(struct qs_panel_ops *ops)
{
    static struct qs_panel_ops wide[MAX_FORMATS];
    const size_t at = qs_format_index(QS_Q8_0);
    memcpy(wide, ops, sizeof wide);
    qs_avx512_panels(wide);
    if (!qs_panel_faster(&ops[at], &wide[at]))
        memcpy(ops, wide, sizeof wide);
}

static void fill_avx512(const struct qs_level_tables *t)
{
    qs_avx512_formats(t->formats);
    qs_avx512_dots(t->dots);
    fill_avx512_panels(t->panels);
    qs_avx512_rows(t->rows);
}
#endif

#ifdef QS_HAVE_AVX512BF16
static bool has_avx512bf16(void)
{
    unsigned a = 0, b, c, d;
    return has_avx512() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}
static void fill_avx512bf16(const struct qs_level_tables *t)
{
    qs_avx512bf16_dots(t->dots);
    qs_avx512bf16_rows(t->rows);
}
#endif

#ifdef QS_HAVE_NEON
static bool has_neon(void)
{
#if defined(__linux__)
    enum { ASIMDDP = 1 << 20 }; /* HWCAP_ASIMDDP, which older headers lack */
    return getauxval(AT_HWCAP) & ASIMDDP;
#elif defined(__APPLE__)
    return true;
#else
    return false; /* nobody to ask */
#endif
}
static void fill_neon(const struct qs_level_tables *t)
{
    qs_neon_formats(t->formats);
    qs_neon_dots(t->dots);
    qs_neon_panels(t->panels);
    qs_neon_rows(t->rows);
}
#endif

/* ---- the levels: each starts from the tables of `below` */

static const struct {
    const char *name;
    enum qs_level below;
    bool (*has)(void); /* NULL: not compiled in */
    void (*fill)(const struct qs_level_tables *t);
} levels[QS_LEVEL_COUNT] = {
    [QS_LEVEL_REF] = { "ref", QS_LEVEL_REF, has_ref, fill_ref },
#ifdef QS_HAVE_AVX2
    [QS_LEVEL_AVX2] = { "avx2", QS_LEVEL_REF, has_avx2, fill_avx2 },
#else
    [QS_LEVEL_AVX2] = { "avx2", QS_LEVEL_REF, NULL, NULL },
#endif
#ifdef QS_HAVE_AVXVNNI
    [QS_LEVEL_AVXVNNI] = { "avxvnni", QS_LEVEL_AVX2, has_avxvnni, fill_avxvnni },
#else
    [QS_LEVEL_AVXVNNI] = { "avxvnni", QS_LEVEL_AVX2, NULL, NULL },
#endif
#ifdef QS_HAVE_AVX512
    [QS_LEVEL_AVX512_256] = { "avx512-256", QS_LEVEL_AVX2, has_avx512, fill_avx512_256 },
    [QS_LEVEL_AVX512] = { "avx512", QS_LEVEL_AVX512_256, has_avx512, fill_avx512 },
#else
    [QS_LEVEL_AVX512_256] = { "avx512-256", QS_LEVEL_AVX2, NULL, NULL },
    [QS_LEVEL_AVX512] = { "avx512", QS_LEVEL_AVX512_256, NULL, NULL },
#endif
#ifdef QS_HAVE_AVX512BF16
    [QS_LEVEL_AVX512BF16] = { "avx512bf16", QS_LEVEL_AVX512, has_avx512bf16, fill_avx512bf16 },
#else
    [QS_LEVEL_AVX512BF16] = { "avx512bf16", QS_LEVEL_AVX512, NULL, NULL },
#endif
#ifdef QS_HAVE_NEON
    [QS_LEVEL_NEON] = { "neon", QS_LEVEL_REF, has_neon, fill_neon },
#else
    [QS_LEVEL_NEON] = { "neon", QS_LEVEL_REF, NULL, NULL },
#endif
};

static void build(void)
{
    for (int l = 0; l < QS_LEVEL_COUNT; l++) {
        const enum qs_level below = levels[l].below;
        available[l] = levels[l].has && levels[l].has();
        if (!available[l])
            continue;
        if (l > 0) {
            memcpy(tables[l], tables[below], sizeof tables[l]);
            memcpy(dots[l], dots[below], sizeof dots[l]);
            memcpy(panels[l], panels[below], sizeof panels[l]);
            rows[l] = rows[below];
        }
        levels[l].fill(&(struct qs_level_tables){ tables[l], dots[l], panels[l], &rows[l] });
    }
}

const char *qs_level_name(enum qs_level l) { return (unsigned)l < QS_LEVEL_COUNT ? levels[l].name : "unknown"; }

bool qs_level_parse(const char *name, enum qs_level *out)
{
    for (int l = 0; name && l < QS_LEVEL_COUNT; l++)
        if (strcmp(name, levels[l].name) == 0) {
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

/* The highest available level not above `most`. */
static enum qs_level highest(int most)
{
    pthread_once(&once, build);
    while (most > QS_LEVEL_REF && !qs_level_available((enum qs_level)most))
        most--;
    return (enum qs_level)most;
}

enum qs_level qs_level_best(void) { return highest(QS_LEVEL_COUNT - 1); }
enum qs_level qs_level_now(void) { return highest(atomic_load(&limit)); }

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

const struct qs_panel_ops *qs_panel_ops(int id)
{
    const struct qs_format *f = qs_format_by_id(id);
    const struct qs_panel_ops *ops = f ? &panels[qs_level_now()][f - qs_format_at(0)] : NULL;
    return ops && ops->product ? ops : NULL;
}

const struct qs_row_ops *qs_row_ops(void) { return &rows[qs_level_now()]; }
