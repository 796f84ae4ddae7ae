/* gptq_oracle.c - see gptq_oracle.h. Slow on purpose. */
#include "tests/calib/gptq_oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double gptq_uniform(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 11) / (double)(1ull << 52) - 1;
}

double gptq_bell(uint64_t *seed)
{
    double sum = 0;
    for (int i = 0; i < 12; i++)
        sum += gptq_uniform(seed);
    return sum;
}

void gptq_inputs(uint64_t seed, size_t n, size_t cols, size_t causes, size_t dead, float *x)
{
    uint64_t mix_seed = 77, size_seed = 99; /* the same channels for all seeds: other tokens, one layer */
    double *mix = malloc(causes * cols * sizeof *mix), *cause = malloc(causes * sizeof *cause);
    for (size_t i = 0; i < causes * cols; i++)
        mix[i] = gptq_bell(&mix_seed);
    for (size_t r = 0; r < n; r++) {
        for (size_t i = 0; i < causes; i++)
            cause[i] = gptq_bell(&seed) / sqrt((double)(1 + i));
        uint64_t s = size_seed;
        for (size_t k = 0; k < cols; k++) {
            double v = 4 * gptq_bell(&seed);
            for (size_t i = 0; i < causes; i++)
                v += cause[i] * mix[i * cols + k];
            const double size = exp(1.2 * gptq_uniform(&s));
            x[r * cols + k] = k < dead ? 0 : (float)(v * size);
        }
    }
    free(mix);
    free(cause);
}

void gptq_gram(const float *x, size_t n, size_t cols, float *h)
{
    double *sum = calloc(cols * cols, sizeof *sum);
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < cols; i++)
            for (size_t k = 0; k <= i; k++)
                sum[i * cols + k] += (double)x[r * cols + i] * (double)x[r * cols + k];
    for (size_t i = 0; i < cols; i++)
        for (size_t k = 0; k <= i; k++)
            h[i * cols + k] = h[k * cols + i] = (float)(sum[i * cols + k] / (double)n);
    free(sum);
}

double gptq_energy(const float *d, const float *h, size_t rows, size_t cols)
{
    double sum = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < cols; i++) {
            double dh = 0;
            for (size_t k = 0; k < cols; k++)
                dh += (double)d[r * cols + k] * (double)h[k * cols + i];
            sum += dh * (double)d[r * cols + i];
        }
    return sum;
}

void gptq_invert(const double *a, size_t n, double *out)
{
    double *m = malloc(n * n * sizeof *m);
    memcpy(m, a, n * n * sizeof *m);
    for (size_t i = 0; i < n * n; i++)
        out[i] = i % (n + 1) == 0;
    for (size_t p = 0; p < n; p++) {
        const double pivot = m[p * n + p];
        for (size_t k = 0; k < n; k++) {
            m[p * n + k] /= pivot;
            out[p * n + k] /= pivot;
        }
        for (size_t i = 0; i < n; i++) {
            const double f = i == p ? 0 : m[i * n + p];
            for (size_t k = 0; f != 0 && k < n; k++) {
                m[i * n + k] -= f * m[p * n + k];
                out[i * n + k] -= f * out[p * n + k];
            }
        }
    }
    free(m);
}

static uint8_t nearest(const struct qs_lattice *l, double x, double scale, double offset, double *margin)
{
    double best = HUGE_VAL, second = HUGE_VAL;
    int at = 0;
    for (int c = 0; c < l->n_levels; c++) {
        const double miss = fabs(offset + scale * (double)l->level[c] - x);
        if (miss < best) {
            second = best;
            best = miss;
            at = c;
        } else if (miss < second && miss > best) {
            second = miss;
        }
    }
    *margin = (second - best) / fabs(scale);
    return (uint8_t)at;
}

/* The rest of the inverse when column p is done: what elimination leaves. */
static void eliminate(double *inv, size_t n, size_t p)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; i != p && k < n; k++)
            if (k != p)
                inv[i * n + k] -= inv[i * n + p] * inv[p * n + k] / inv[p * n + p];
    for (size_t i = 0; i < n; i++)
        if (i != p)
            inv[i * n + p] = inv[p * n + i] = 0;
}

void gptq_oracle(const struct qs_lattice *l, const float *scale, const float *offset, const float *target, size_t rows,
                 size_t cols, const float *h, double damp, int natural, uint8_t *code, double *margin)
{
    const size_t n = cols, subs = n / l->sub;
    double *a = calloc(n * n, sizeof *a), *inv = malloc(n * n * sizeof *inv), *w = malloc(rows * n * sizeof *w);
    double mean = 0;
    char *done = calloc(n, 1);
    for (size_t i = 0; i < n; i++)
        mean += (double)h[i * n + i] / (double)n;
    for (size_t i = 0; i < n * n; i++)
        a[i] = (double)h[i] + (i % (n + 1) == 0 ? damp * mean : 0);
    gptq_invert(a, n, inv);
    for (size_t i = 0; i < rows * n; i++)
        w[i] = (double)target[i];
    for (size_t turn = 0; turn < n; turn++) {
        size_t p = n;
        for (size_t k = n; k-- > 0;)
            if (!done[k] && (p == n || natural || h[k * (n + 1)] >= h[p * (n + 1)]))
                p = k;
        done[p] = 1;
        for (size_t r = 0; r < rows; r++) {
            const double s = (double)scale[r * subs + p / l->sub], o = (double)offset[r * subs + p / l->sub];
            code[r * n + p] = nearest(l, w[r * n + p], s, o, &margin[r * n + p]);
            const double error = w[r * n + p] - (o + s * (double)l->level[code[r * n + p]]);
            for (size_t k = 0; k < n; k++)
                if (!done[k])
                    w[r * n + k] -= error * inv[p * n + k] / inv[p * n + p];
        }
        eliminate(inv, n, p);
    }
    free(a);
    free(inv);
    free(w);
    free(done);
}
