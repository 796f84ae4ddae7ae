/* panels.c - the panels of AVX-512: super-blocks of 256 (panel_super.c) and blocks of 32 (panel_blocks.c). */
#include "kernels/level.h"
#include "kernels/x86_avx512/panels.h"

void qs_avx512_panels(struct qs_panel_ops *ops)
{
    qs_avx512_panels_of_super_blocks(ops);
    qs_avx512_panels_of_blocks(ops);
}
