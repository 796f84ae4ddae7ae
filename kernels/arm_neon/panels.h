/* panels.h - between the files of this folder that multiply panels: their entries. */
#ifndef QS_KERNELS_ARM_NEON_PANELS_H
#define QS_KERNELS_ARM_NEON_PANELS_H

#include "kernels/panel.h"

void qs_neon_panels_of_super_blocks(struct qs_panel_ops *ops);
void qs_neon_panels_of_blocks(struct qs_panel_ops *ops);

#endif
