/* iq.c - the inner searches of the IQ2 and IQ3 encoders at AVX-512: kernels/lanes/iq_text.h with the vectors of this
 * folder.
 */
#include "kernels/x86_avx512/vec.h"

#include "kernels/lanes/iq_text.h"
#include "kernels/x86_avx512/iq.h"

#define FIT(name, fns)                                                                                                 \
    void qs_avx512_##name##_fit(const struct qs_rows *in, void *grid, void *codes)                                     \
    {                                                                                                                  \
        qs_##name##_fit_with(&(fns), in, grid, codes);                                                                 \
    }
FIT(iq2_xxs, iq_fns)
FIT(iq2_xs, iq_fns)
FIT(iq2_s, iq_fns)
FIT(iq3_xxs, iq_fns)
FIT(iq3_s, iq_fns)
