/* iq.c - the inner searches of the IQ2 and IQ3 encoders by NEON: kernels/lanes/iq_text.h with the vectors of this folder. */
#include "kernels/arm_neon/vec.h"

#include "kernels/arm_neon/fits.h"
#include "kernels/lanes/iq_text.h"

#define FIT(name)                                                                                                      \
    void qs_neon_##name##_fit(const struct qs_rows *in, void *grid, void *codes)                                       \
    {                                                                                                                  \
        qs_##name##_fit_with(&iq_fns, in, grid, codes);                                                                \
    }
FIT(iq2_xxs)
FIT(iq2_xs)
FIT(iq2_s)
FIT(iq3_xxs)
FIT(iq3_s)
