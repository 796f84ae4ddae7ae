/* formats.c - the codecs of AVX-512: which formats this level does better than the one below.
 *
 * Same bits as kernels/ref. The encoders are in their own files; this one only enters them into the table.
 */
#include "kernels/level.h"
#include "kernels/x86_avx512/iq.h"
#include "kernels/x86_avx512/kquant.h"
#include "kernels/x86_avx512/legacy.h"

void qs_avx512_formats(struct qs_format_ops *ops)
{
    static const struct { int id; qs_fit_fn *fit; } encoders[] = {
        {QS_Q4_0, qs_avx512_q4_0_fit}, {QS_Q4_1, qs_avx512_q4_1_fit}, {QS_Q5_0, qs_avx512_q5_0_fit},
        {QS_Q5_1, qs_avx512_q5_1_fit},
        {QS_IQ2_XXS, qs_avx512_iq2_xxs_fit}, {QS_IQ2_XS, qs_avx512_iq2_xs_fit}, {QS_IQ2_S, qs_avx512_iq2_s_fit},
        {QS_IQ3_XXS, qs_avx512_iq3_xxs_fit}, {QS_IQ3_S, qs_avx512_iq3_s_fit},
        {QS_IQ4_NL, qs_avx512_iq4_nl_fit}, {QS_IQ4_XS, qs_avx512_iq4_xs_fit},
    };
    for (size_t i = 0; i < sizeof encoders / sizeof *encoders; i++)
        ops[qs_format_index(encoders[i].id)].fit = encoders[i].fit;
    qs_avx512_kquant_formats(ops);
}
