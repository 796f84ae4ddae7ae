/* panels.c - the panels of NEON: super-blocks of 256 (panel_super.c) and blocks of 32 (panel_blocks.c). */
#include "kernels/arm_neon/panels.h"
#include "kernels/level.h"

void qs_neon_panels(struct qs_panel_ops *ops)
{
    qs_neon_panels_of_super_blocks(ops);
    qs_neon_panels_of_blocks(ops);
}
