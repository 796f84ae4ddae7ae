/* panel_blocks.c - products of panels of blocks of 32: kernels/panel_blocks_text.h in vectors of 256 bits. */
#include <stdbool.h>

#include "kernels/ref/fp4.h"
#include "kernels/ref/tables_iq.h"
#include "kernels/x86_avxvnni/panel_vec.h"
#include "kernels/x86_avxvnni/panels.h"

#include "kernels/panel_blocks_text.h"

void QS_PANELS_NAME(panels_of_blocks)(struct qs_panel_ops *ops) { panel_blocks_fill(ops); }
