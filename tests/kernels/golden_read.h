/* golden_read.h - the records of tests/kernels/goldens/formats.bin (see golden_input.h for the layout). */
#ifndef QS_TESTS_KERNELS_GOLDEN_READ_H
#define QS_TESTS_KERNELS_GOLDEN_READ_H

#include "tests/kernels/golden_input.h"

struct golden {
    struct golden_record r;
    const uint8_t *bytes; /* r.bytes of them, inside the file image */
};

struct goldens {
    uint8_t *image;
    struct golden *at;
    size_t count;
};

/* Reads the file below $QS_SRCDIR (or the current folder). 0, or -1 when it is missing or damaged. */
int goldens_open(struct goldens *g);
void goldens_close(struct goldens *g);

#endif
