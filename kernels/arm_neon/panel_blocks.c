/* panel_blocks.c - products of panels of blocks of 32 by NEON: kernels/panel_blocks_text.h with the vectors of this folder. */
#include <stdbool.h>

#include "kernels/arm_neon/panel_vec.h"
#include "kernels/arm_neon/panels.h"
#include "kernels/ref/fp4.h"
#include "kernels/ref/tables_iq.h"

#include "kernels/panel_blocks_text.h"

void qs_neon_panels_of_blocks(struct qs_panel_ops *ops) { panel_blocks_fill(ops); }
