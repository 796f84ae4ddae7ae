/* panels.c - the panels of 256-bit vectors: super-blocks of 256 (panel_super.c) and blocks of 32 (panel_blocks.c). */
#include "kernels/x86_avxvnni/panels.h"

void QS_PANELS_NAME(panels)(struct qs_panel_ops *ops)
{
    QS_PANELS_NAME(panels_of_super_blocks)(ops);
    QS_PANELS_NAME(panels_of_blocks)(ops);
}
