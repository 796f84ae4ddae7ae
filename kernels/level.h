/* level.h - CPU levels: which code runs.
 *
 * Tables of operations are filled with the plain C of kernels/ref first and overwritten upward by instruction set, as
 * detected when first used and masked by qs_level_limit(), so that tests can force any level. All levels give the same
 * bits for codecs, products and operations on rows.
 */
#ifndef QS_KERNELS_LEVEL_H
#define QS_KERNELS_LEVEL_H

#include <stdbool.h>
#include "kernels/dot.h"
#include "kernels/format.h"
#include "kernels/panel.h"
#include "kernels/rows.h"

/* x86: AVX512 is F, BW, DQ, VL and VNNI, AVX512_256 the same with vectors of 256 bits; AVXVNNI is for CPUs without AVX-512.
 * Where 512 bits at a time turn out no faster (panel.h), AVX512 keeps the panels of AVX512_256.
 * ARM: NEON is that of 64 bits (aarch64) with its dot product of bytes (dotprod). */
enum qs_level {
    QS_LEVEL_REF, QS_LEVEL_AVX2, QS_LEVEL_AVXVNNI, QS_LEVEL_AVX512_256, QS_LEVEL_AVX512, QS_LEVEL_AVX512BF16,
    QS_LEVEL_NEON, QS_LEVEL_COUNT
};

const char *qs_level_name(enum qs_level l);      /* "ref", "avx2" ... */
bool qs_level_parse(const char *name, enum qs_level *out);
bool qs_level_available(enum qs_level l);        /* compiled in, and this CPU and OS can run it */
enum qs_level qs_level_best(void);
enum qs_level qs_level_now(void);
/* Use no level above `l` from now on. Call before work starts (not thread-safe against running kernels). */
void qs_level_limit(enum qs_level l);

/* What a level fills, starting from the tables of the level below it. formats, dots, panels are indexed like qs_format_at(). */
struct qs_level_tables {
    struct qs_format_ops *formats;
    struct qs_dot_ops *dots;
    struct qs_panel_ops *panels;
    struct qs_row_ops *rows;
};

/* Each level's own files define these: overwrite what this level does better. */
void qs_ref_formats(struct qs_format_ops *ops);
void qs_ref_dots(struct qs_dot_ops *ops);
void qs_ref_rows(struct qs_row_ops *ops);
void qs_avx2_formats(struct qs_format_ops *ops);
void qs_avx2_dots(struct qs_dot_ops *ops);
void qs_avx2_rows(struct qs_row_ops *ops);
void qs_avxvnni_panels(struct qs_panel_ops *ops);
void qs_avx512_256_panels(struct qs_panel_ops *ops);
void qs_avx512_formats(struct qs_format_ops *ops);
void qs_avx512_dots(struct qs_dot_ops *ops);
void qs_avx512_panels(struct qs_panel_ops *ops);
void qs_avx512_rows(struct qs_row_ops *ops);
void qs_avx512bf16_dots(struct qs_dot_ops *ops);
void qs_avx512bf16_rows(struct qs_row_ops *ops);
void qs_neon_formats(struct qs_format_ops *ops);
void qs_neon_dots(struct qs_dot_ops *ops);
void qs_neon_panels(struct qs_panel_ops *ops);
void qs_neon_rows(struct qs_row_ops *ops);

#endif
