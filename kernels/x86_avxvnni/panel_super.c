/* panel_super.c - products of panels of super-blocks: kernels/panel_super_tiles.h in vectors of 256 bits. */
#include "kernels/x86_avxvnni/panel_vec.h"

#include "kernels/panel_super_tiles.h"
#include "kernels/x86_avxvnni/panels.h"

void QS_PANELS_NAME(panels_of_super_blocks)(struct qs_panel_ops *ops) { panel_super_fill(ops); }
