/* how.c - the names of the ways a number is obtained. */
#include "core/how.h"

#include <stddef.h>

const char *qs_how_name(enum qs_how h)
{
    static const char *const name[] = {
        [QS_HOW_EXACT] = "exact", [QS_HOW_WHOLE] = "whole", [QS_HOW_SAMPLED] = "sampled",
        [QS_HOW_PREDICTED] = "predicted", [QS_HOW_MEASURED] = "measured",
    };
    return (size_t)h < sizeof name / sizeof *name ? name[h] : "?";
}
