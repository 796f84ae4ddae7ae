/* panel_super.c - products of panels of super-blocks at AVX-512 with VNNI. */
#include "kernels/x86_avx512/panel_vec.h"

#include "kernels/panel_super_few.h"
#include "kernels/x86_avx512/panels.h"

typedef void few_fn(const uint8_t *panel, size_t lane, size_t cols, const uint8_t *const x[FEW], float (*out)[QS_PV_LANES]);

#define FEW_OF(name, t)                                                                                                \
    static void few_##name##_##t(const uint8_t *panel, size_t lane, size_t cols, const uint8_t *const x[FEW],          \
                                 float (*out)[QS_PV_LANES])                                                                  \
    {                                                                                                                  \
        few_tokens(t, kind_##name, panel, lane, cols, x, out);                                                         \
    }
#define FEW_ALL(name)                                                                                                  \
    FEW_OF(name, 1) FEW_OF(name, 2) FEW_OF(name, 3) FEW_OF(name, 4) FEW_OF(name, 5) FEW_OF(name, 6) FEW_OF(name, 7)    \
    FEW_OF(name, 8)                                                                                                    \
    static few_fn *const few_##name[FEW] = { few_##name##_1, few_##name##_2, few_##name##_3, few_##name##_4,           \
                                             few_##name##_5, few_##name##_6, few_##name##_7, few_##name##_8 };

/* n rows of a panel with all tokens, a few at a time. */
static void panel_of_few(const struct qs_panel_job *j, few_fn *const few[FEW], const uint8_t *panel, size_t row, size_t n)
{
    float sums[FEW][QS_PV_LANES];
    for (size_t t = 0, some; t < j->tokens; t += some) {
        const size_t left = j->tokens - t, parts = (left + FEW - 1) / FEW;
        const uint8_t *x[FEW];
        some = (left + parts - 1) / parts;
        for (size_t i = 0; i < FEW; i++)
            x[i] = j->x + (t + (i < some ? i : some - 1)) * j->x_stride;
        few[some - 1](panel, 0, j->cols, x, sums);
        for (size_t i = 0; i < some; i++)
            qs_pf_store_some(j->out + (t + i) * j->out_stride + row, qs_pf_load(sums[i]), n);
    }
}

static void products(const struct qs_panel_job *j, const struct qs_panel_super *layout, few_fn *const few[FEW])
{
    const size_t bytes = j->cols / QS_SUPER * layout->block * QS_PANEL_ROWS;
    for (size_t r = 0; r < j->rows; r += QS_PANEL_ROWS) {
        const size_t n = j->rows - r < QS_PANEL_ROWS ? j->rows - r : QS_PANEL_ROWS;
        panel_of_few(j, few, j->panels + r / QS_PANEL_ROWS * bytes, r, n);
    }
}

#define PRODUCT(name)                                                                                                  \
    FEW_ALL(name)                                                                                                      \
    static void product_##name(const struct qs_panel_job *j) { products(j, &qs_panel_##name, few_##name); }
PRODUCT(q4_k)
PRODUCT(q5_k)
PRODUCT(q6_k)

void qs_avx512_panels_of_super_blocks(struct qs_panel_ops *ops)
{
    qs_panel_super_layouts(ops);
    qs_avx512_panel_entry(ops, QS_Q4_K)->product = product_q4_k;
    qs_avx512_panel_entry(ops, QS_Q5_K)->product = product_q5_k;
    qs_avx512_panel_entry(ops, QS_Q6_K)->product = product_q6_k;
}
