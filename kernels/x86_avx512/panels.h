/* panels.h - between the files of this folder that multiply panels: their entries. */
#ifndef QS_KERNELS_X86_AVX512_PANELS_H
#define QS_KERNELS_X86_AVX512_PANELS_H

#include "kernels/panel.h"

void qs_avx512_panels_of_super_blocks(struct qs_panel_ops *ops);
void qs_avx512_panels_of_blocks(struct qs_panel_ops *ops);

#endif
