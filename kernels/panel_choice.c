/* panel_choice.c - which of two levels multiplies panels faster on this CPU, by a short measurement (a fraction of a
 * millisecond, once): CPUs with AVX-512 differ in whether 512 bits at a time pay, and no flag tells. Both give the same bits.
 */
#include <string.h>
#include <time.h>

#include "kernels/panel.h"

enum { ROWS = QS_PANEL_ROWS, COLS = 512, TOKENS = 8, TRIES = 24 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double time_once(const struct qs_panel_ops *ops, const struct qs_panel_job *job)
{
    const double start = now();
    for (int i = 0; i < 4; i++)
        ops->product(job);
    return now() - start;
}

bool qs_panel_faster(const struct qs_panel_ops *a, const struct qs_panel_ops *b)
{
    static _Alignas(QS_PANEL_ALIGN) uint8_t panel[COLS / 32 * 34 * ROWS], x[TOKENS * (COLS + 3 * 4 * COLS / 32)];
    static float out[TOKENS * ROWS];
    const struct qs_panel_job job = { panel, ROWS, COLS, x, qs_act_bytes(QS_ACT_Q8, COLS), TOKENS, out, ROWS, NULL };
    double best[2] = { 1e9, 1e9 };
    for (int i = 0; i < TRIES; i++) { /* in turns, so that both see the same neighbours */
        const double t[2] = { time_once(a, &job), time_once(b, &job) };
        for (int k = 0; k < 2; k++)
            best[k] = t[k] < best[k] ? t[k] : best[k];
    }
    return best[0] < best[1];
}
