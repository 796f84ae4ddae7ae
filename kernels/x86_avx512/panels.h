/* panels.h - between the files of this folder that multiply panels: their entries. */
#ifndef QS_KERNELS_X86_AVX512_PANELS_H
#define QS_KERNELS_X86_AVX512_PANELS_H

#include "kernels/panel.h"

/* The entry of one type in a table that is indexed like qs_format_at(). */
static inline struct qs_panel_ops *qs_avx512_panel_entry(struct qs_panel_ops *ops, int id)
{
    return &ops[qs_format_by_id(id) - qs_format_at(0)];
}

void qs_avx512_panels_of_super_blocks(struct qs_panel_ops *ops);
void qs_avx512_panels_of_blocks(struct qs_panel_ops *ops);

#endif
