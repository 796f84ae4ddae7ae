/* fit_plot.c - size against predicted divergence, in characters. ASCII alone; pure drawing. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "core/report/report_fit.h"

#define LINES 16
#define LABEL 10 /* cells of the numbers at the left */

struct canvas {
    char *cell;
    size_t width;
    double low, high, least, most; /* logarithms: divergence, bytes */
};

static void widen(struct canvas *c, uint64_t bytes, double predicted)
{
    if (!(predicted > 0) || !bytes)
        return;
    c->low = fmin(c->low, log10(predicted));
    c->high = fmax(c->high, log10(predicted));
    c->least = fmin(c->least, log10((double)bytes));
    c->most = fmax(c->most, log10((double)bytes));
}

static void put(const struct canvas *c, uint64_t bytes, double predicted, char sign)
{
    if (!(predicted > 0) || !bytes)
        return;
    const double x = (log10((double)bytes) - c->least) / (c->most - c->least);
    const double y = (c->high - log10(predicted)) / (c->high - c->low);
    if (!(x >= 0 && x <= 1 && y >= 0 && y <= 1))
        return;
    c->cell[(size_t)(y * (LINES - 1) + 0.5) * c->width + (size_t)(x * (double)(c->width - 1) + 0.5)] = sign;
}

static char letter(size_t i) { return (char)(i < 26 ? 'a' + (int)i : i < 52 ? 'A' + (int)(i - 26) : '+'); }

/* Presets far above the frontier would flatten it: what is drawn ends a little above its left end. */
static void fill(struct canvas *c, const struct qs_fit_view *v)
{
    for (size_t i = 0; i < v->n_points; i++)
        widen(c, v->point[i].bytes, v->point[i].predicted);
    widen(c, v->fit->bytes, v->fit->predicted);
    c->high += 0.3;
    for (size_t i = 0; i < v->n_points; i++)
        put(c, v->point[i].bytes, v->point[i].predicted, '*');
    for (size_t i = 0; i < v->n_presets; i++)
        put(c, v->preset[i].bytes, v->preset[i].predicted, letter(i));
    put(c, v->fit->bytes, v->fit->predicted, '@');
}

static void print(const struct canvas *c, const struct qs_fit_view *v, struct qs_str *out)
{
    char left[24], right[24];
    for (size_t y = 0; y < LINES; y++) {
        size_t n = c->width;
        while (n && c->cell[y * c->width + n - 1] == ' ')
            n--;
        if (y % 5 == 0)
            qs_str_addf(out, "%*.3g |", LABEL - 2, pow(10, c->high - (c->high - c->low) * (double)y / (LINES - 1)));
        else
            qs_str_addf(out, "%*s |", LABEL - 2, "");
        qs_str_addn(out, c->cell + y * c->width, n);
        qs_str_addc(out, '\n');
    }
    qs_str_addf(out, "%*s +", LABEL - 2, "");
    for (size_t i = 0; i < c->width; i++)
        qs_str_addc(out, '-');
    qs_fmt_bytes(left, sizeof left, (unsigned long long)(pow(10, c->least) + 0.5));
    qs_fmt_bytes(right, sizeof right, (unsigned long long)(pow(10, c->most) + 0.5));
    qs_str_addf(out, "\n%*s%s%*s\n", LABEL, "", left, (int)(c->width - strlen(left)), right);
    qs_str_addf(out, "* the least %s at each size   @ this recipe",
                v->fit->kld ? "predicted KL divergence" : "sum of squared errors");
    size_t used = SIZE_MAX;
    for (size_t i = 0; i < v->n_presets; i++) {
        if (!memchr(c->cell, letter(i), c->width * LINES))
            continue;
        const size_t more = strlen(v->preset[i].name) + 4;
        used = used == SIZE_MAX || used + more > c->width + LABEL ? (qs_str_addc(out, '\n'), 0) : used;
        qs_str_addf(out, "%s%c %s", used ? "  " : "", letter(i), v->preset[i].name);
        used += more;
    }
    qs_str_add(out, "\n");
}

void qs_fit_plot(const struct qs_fit_view *v, unsigned width, struct qs_str *out)
{
    struct canvas c = { .width = (width < 40    ? 40
                                  : width > 120 ? 120
                                                : width) -
                                 LABEL,
                        .low = INFINITY,
                        .high = -INFINITY,
                        .least = INFINITY,
                        .most = -INFINITY };
    if (v->n_points < 2)
        return;
    c.cell = qs_malloc(c.width * LINES);
    if (!c.cell) {
        out->failed = true;
        return;
    }
    memset(c.cell, ' ', c.width * LINES);
    fill(&c, v);
    if (c.high > c.low && c.most > c.least)
        print(&c, v, out);
    qs_free(c.cell);
}
