/* panels.h - between the files of this folder, which are compiled twice: for AVX-VNNI, and for AVX-512 with VNNI at vectors of
 * 256 bits. Their entries, by the names of each.
 */
#ifndef QS_KERNELS_X86_AVXVNNI_PANELS_H
#define QS_KERNELS_X86_AVXVNNI_PANELS_H

#include "kernels/level.h"

#ifdef __AVX512VNNI__
#define QS_PANELS_NAME(what) qs_avx512_256_##what
#else
#define QS_PANELS_NAME(what) qs_avxvnni_##what
#endif

void QS_PANELS_NAME(panels_of_super_blocks)(struct qs_panel_ops *ops);
void QS_PANELS_NAME(panels_of_blocks)(struct qs_panel_ops *ops);

#endif
