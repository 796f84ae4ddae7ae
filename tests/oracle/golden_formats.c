/* golden_formats.c - writes tests/kernels/goldens/formats.bin: what ggml's quantizers make of the golden inputs.
 *
 * Run by make_goldens.sh. Usage: golden_formats OUTPUT. The file is described in tests/kernels/golden_input.h. Encoded
 * bytes are stored whole for the first set of rows and for block formats; the rest is hashes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "golden_ggml.h"
#include "tests/kernels/golden_input.h"

static void put(FILE *out, const struct oracle_type *t, int row, int what, const uint8_t *bytes, size_t n, int keep,
                const float *decoded, size_t n_decoded)
{
    struct golden_record r = {(uint16_t)t->id, (uint8_t)row, (uint8_t)what, keep ? (uint32_t)n : 0,
                              golden_hash(bytes, n), golden_hash_floats(decoded, n_decoded)};
    fwrite(&r.type, 2, 1, out);
    fwrite(&r.row, 1, 1, out);
    fwrite(&r.what, 1, 1, out);
    fwrite(&r.bytes, 4, 1, out);
    fwrite(&r.encoded, 8, 1, out);
    fwrite(&r.decoded, 8, 1, out);
    if (keep)
        fwrite(bytes, 1, n, out);
}

int main(int argc, char **argv)
{
    static float x[GOLDEN_COLS], w[GOLDEN_COLS], y[GOLDEN_RANDOM_BLOCKS * 256];
    static uint8_t bytes[GOLDEN_RANDOM_BLOCKS * 512];
    size_t n_types;
    const struct oracle_type *types = oracle_types(&n_types);
    FILE *out = argc == 2 ? fopen(argv[1], "wb") : NULL;
    if (!out) {
        fprintf(stderr, "usage: golden_formats OUTPUT\n");
        return 1;
    }
    fwrite(GOLDEN_MAGIC, 1, 8, out);
    for (size_t i = 0; i < n_types; i++) {
        const struct oracle_type *t = &types[i];
        const size_t n = GOLDEN_COLS / (size_t)t->block * t->bytes;
        for (int row = 0; row < GOLDEN_ROWS; row++) {
            golden_row(row, x);
            golden_importance(row, w);
            for (int weighted = t->needs_weights; weighted <= t->uses_weights; weighted++) {
                oracle_encode(t, x, 1, GOLDEN_COLS, weighted ? w : NULL, bytes);
                oracle_decode(t, bytes, GOLDEN_COLS, y);
                put(out, t, row, weighted, bytes, n, row < GOLDEN_KINDS && t->block > 1, y, GOLDEN_COLS);
            }
        }
        golden_random_bytes((uint64_t)t->id, bytes, GOLDEN_RANDOM_BLOCKS * t->bytes);
        oracle_decode(t, bytes, GOLDEN_RANDOM_BLOCKS * (size_t)t->block, y);
        put(out, t, 0, 2, bytes, GOLDEN_RANDOM_BLOCKS * t->bytes, 0, y, GOLDEN_RANDOM_BLOCKS * (size_t)t->block);
    }
    return fclose(out) == 0 ? 0 : 1;
}
