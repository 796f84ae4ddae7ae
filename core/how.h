/* how.h - how a number was obtained; every value that is shown names one of these. */
#ifndef QS_CORE_HOW_H
#define QS_CORE_HOW_H

enum qs_how {
    QS_HOW_EXACT,     /* counted, or stated by the file */
    QS_HOW_WHOLE,     /* measured on all weights */
    QS_HOW_SAMPLED,   /* measured on a sample of rows; has a standard error */
    QS_HOW_PREDICTED, /* computed from other measurements */
    QS_HOW_MEASURED   /* measured on the running model */
};

const char *qs_how_name(enum qs_how h); /* "exact", "whole", "sampled", "predicted", "measured" */

#endif
