/* panel_blocks.c - products of panels of blocks of 32 (AVX-512 with VNNI): kernels/panel_blocks_text.h in vectors of 512 bits. */
#include <stdbool.h>

#include "kernels/ref/fp4.h"
#include "kernels/ref/tables_iq.h"
#include "kernels/x86_avx512/panel_vec.h"
#include "kernels/x86_avx512/panels.h"

#include "kernels/panel_blocks_text.h"

void qs_avx512_panels_of_blocks(struct qs_panel_ops *ops) { panel_blocks_fill(ops); }
