/* panel_super.c - products of panels of super-blocks at AVX-512 with VNNI. */
#include "kernels/x86_avx512/panel_vec.h"

#include "kernels/panel_super_tiles.h"
#include "kernels/x86_avx512/panels.h"

void qs_avx512_panels_of_super_blocks(struct qs_panel_ops *ops) { panel_super_fill(ops); }
