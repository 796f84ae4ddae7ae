/* panel_super.c - products of panels of super-blocks by NEON: kernels/panel_super_tiles.h with the vectors of this folder. */
#include "kernels/arm_neon/panel_vec.h"

#include "kernels/arm_neon/panels.h"
#include "kernels/panel_super_tiles.h"

void qs_neon_panels_of_super_blocks(struct qs_panel_ops *ops) { panel_super_fill(ops); }
