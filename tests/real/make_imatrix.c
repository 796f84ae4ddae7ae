/* make_imatrix.c - make_imatrix MODEL OUT: an importance matrix that nobody measured, for tests of what needs one.
 *
 * Writes llama.cpp's older form with an entry for every matrix of the layers: values of one seed, spread over three
 * decades as those of real models are, every 97th column 30 times as large. The same model gives the same file.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/model/model.h"

static uint64_t seed = 1;

/* splitmix64, in [0, 1) */
static double next_random(void)
{
    uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static bool put_u32(FILE *f, uint32_t v)
{
    const unsigned char b[4] = { (unsigned char)v, (unsigned char)(v >> 8), (unsigned char)(v >> 16), (unsigned char)(v >> 24) };
    return fwrite(b, 1, sizeof b, f) == sizeof b;
}

static bool put_float(FILE *f, float x)
{
    uint32_t v;
    memcpy(&v, &x, sizeof v);
    return put_u32(f, v);
}

static bool is_matrix(const struct qs_tensor *t)
{
    return strncmp(t->name, "blk.", 4) == 0 && t->rows > 1;
}

static bool put_entry(FILE *f, const struct qs_tensor *t)
{
    const uint32_t n = (uint32_t)(t->ne[0] * t->ne[2]); /* one set of values for each expert */
    bool ok = put_u32(f, (uint32_t)strlen(t->name)) && fputs(t->name, f) >= 0 && put_u32(f, 1) && put_u32(f, n);
    for (uint32_t i = 0; ok && i < n; i++)
        ok = put_float(f, (float)(exp(7 * next_random() - 5) * (i % 97 == 5 ? 30 : 1)));
    return ok;
}

int main(int argc, char **argv)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    if (argc != 3) {
        fputs("usage: make_imatrix MODEL OUT\n", stderr);
        return 2;
    }
    if (qs_model_open(argv[1], &m, &e)) {
        fprintf(stderr, "make_imatrix: %s\n", e.msg);
        return 1;
    }
    FILE *f = fopen(argv[2], "wb");
    uint32_t n = 0;
    for (size_t i = 0; i < m->n_tensors; i++)
        n += is_matrix(&m->tensor[i]);
    bool ok = f && put_u32(f, n);
    for (size_t i = 0; ok && i < m->n_tensors; i++)
        if (is_matrix(&m->tensor[i]))
            ok = put_entry(f, &m->tensor[i]);
    static const char dataset[] = "none";
    ok = ok && put_u32(f, 1) && put_u32(f, sizeof dataset - 1) && fputs(dataset, f) >= 0;
    if (f && fclose(f) != 0)
        ok = false;
    qs_model_close(m);
    if (!ok)
        perror("make_imatrix");
    return ok ? 0 : 1;
}
