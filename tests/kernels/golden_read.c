/* golden_read.c - reads the goldens of the number formats. For tests only; one file, read whole. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/kernels/golden_read.h"

enum { RECORD = 24, LARGEST = 1 << 20 };

static uint64_t little(const uint8_t *p, int n)
{
    uint64_t v = 0;
    for (int i = n - 1; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static size_t read_whole(const char *path, uint8_t *image)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return 0;
    size_t n = fread(image, 1, LARGEST, f);
    fclose(f);
    return n;
}

int goldens_open(struct goldens *g)
{
    const char *root = getenv("QS_SRCDIR");
    char path[4096];
    *g = (struct goldens){.image = malloc(LARGEST), .at = calloc(LARGEST / RECORD, sizeof *g->at)};
    snprintf(path, sizeof path, "%s/tests/kernels/goldens/formats.bin", root ? root : ".");
    size_t n = g->image && g->at ? read_whole(path, g->image) : 0, at = 8;
    if (n < 8 || memcmp(g->image, GOLDEN_MAGIC, 8) != 0) {
        goldens_close(g);
        return -1;
    }
    while (n - at >= RECORD) {
        const uint8_t *p = g->image + at;
        struct golden_record r = {(uint16_t)little(p, 2), p[2], p[3], (uint32_t)little(p + 4, 4), little(p + 8, 8),
                                  little(p + 16, 8)};
        at += RECORD;
        if (r.bytes > n - at)
            break;
        g->at[g->count++] = (struct golden){r, g->image + at};
        at += r.bytes;
    }
    if (at != n) {
        goldens_close(g);
        return -1;
    }
    return 0;
}

void goldens_close(struct goldens *g)
{
    free(g->image);
    free(g->at);
    *g = (struct goldens){0};
}
