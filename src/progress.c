/* progress.c - watching a job from the command line.
 *
 * Owns one line of the terminal on standard error. Copies the job's status,
 * never holds its lock. One job at a time, one thread.
 */
#include "src/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "base/unicode.h"
#include "src/interrupt.h"
#include "src/terminal.h"

#define REDRAW_SECONDS 0.1

/* "3.91" with a decimal prefix: counts of weights and tensors, not bytes. */
static void add_count(struct qs_str *out, double n)
{
    static const char *const prefix[] = { "", " k", " M", " G", " T" };
    size_t i = 0;
    while (n >= 999.5 && i + 1 < sizeof prefix / sizeof *prefix) {
        n /= 1000;
        i++;
    }
    qs_str_addf(out, i == 0 ? "%.0f" : n < 10 ? "%.2f" : n < 100 ? "%.1f" : "%.0f", n);
    qs_str_add(out, prefix[i]);
}

static void add_amount(struct qs_str *out, const char *unit, double n)
{
    char buf[32];
    if (strcmp(unit, "bytes") == 0)
        qs_str_add(out, qs_fmt_bytes(buf, sizeof buf, (unsigned long long)n));
    else
        add_count(out, n);
}

/* " weights", behind an amount; bytes have said it. */
static void add_unit(struct qs_str *out, const char *unit)
{
    if (unit[0] && strcmp(unit, "bytes") != 0)
        qs_str_addf(out, " %s", unit);
}

/* The parts of the line, as they stand in it. */
enum part { SHARE, TOTALS, RATE, ETA, MEMORY, ERROR_SO_FAR, ITEM, PARTS };

/* What goes first where there is no room, the least worth first; the share stays. */
static const enum part order_of_leaving[] = { TOTALS, ITEM, ERROR_SO_FAR, MEMORY, ETA, RATE };

#define GAP 2
#define MIN_NAME 10 /* a name is shortened to this, not further: nobody would know it */

static void add_share(struct qs_str *out, const struct qs_job_status *s, bool brief)
{
    qs_text_clean(out, s->state == QS_JOB_PAUSED ? "paused" : s->phase[0] ? s->phase : "working", true);
    if (s->total > 0) {
        const double share = (double)s->done / (double)s->total;
        qs_str_addf(out, brief ? " %.0f%%" : " %3.0f%%", 100 * (share < 1 ? share : 1));
    }
}

static void add_totals(struct qs_str *out, const struct qs_job_status *s, bool unit)
{
    add_amount(out, s->unit, (double)s->done);
    if (s->total > 0) {
        qs_str_add(out, " of ");
        add_amount(out, s->unit, (double)s->total);
    }
    if (unit)
        add_unit(out, s->unit);
}

/* "blk.3.ffn_down.weight -> Q6_K 7.17%"; briefly "blk.3.ffn_down Q6_K 7.17%". Of what is longer than `cells` the
 * tensor's own error goes, then the first word, a name, is shortened in the middle. Nothing where there is no room for
 * that. */
static void add_item(struct qs_str *out, const char *item, bool brief, size_t cells, bool ascii)
{
    static const char suffix[] = ".weight", arrow[] = " -> ";
    struct qs_str all = QS_STR_INIT, name = QS_STR_INIT;
    qs_text_clean(&all, item, ascii);
    size_t n = strcspn(all.data, " ");
    const char *rest = all.data + n;
    if (brief && n > sizeof suffix - 1 && strncmp(rest - (sizeof suffix - 1), suffix, sizeof suffix - 1) == 0)
        n -= sizeof suffix - 1;
    qs_str_addn(&name, all.data, n);
    if (brief && strncmp(rest, arrow, sizeof arrow - 1) == 0)
        rest += sizeof arrow - 2;
    size_t len = strlen(rest);
    if (brief && len && rest[len - 1] == '%' && qs_utf8_width(name.data, name.len) + qs_utf8_width(rest, len) > cells)
        while (len && rest[--len] != ' ')
            ;
    const size_t beside = qs_utf8_width(rest, len);
    const size_t room = cells > beside ? cells - beside : 0;
    if (room >= MIN_NAME || qs_utf8_width(name.data, name.len) <= room) {
        qs_text_shorten(out, name.data, room, ascii);
        qs_str_addn(out, rest, len);
    }
    out->failed |= all.failed || name.failed;
    qs_str_free(&all);
    qs_str_free(&name);
}

/* Over all that is done; that of a single tensor stands in the item, as the job says it. */
static void add_error(struct qs_str *out, double share, bool brief)
{
    char buf[QS_FMT_MAX];
    qs_str_add(out, brief ? "err " : "error so far ");
    qs_str_add(out, qs_fmt_percent(buf, sizeof buf, share, 2));
}

/* How wordy the line is. */
enum words { FULL, SHORT_NAMES, NO_TOTALS, BRIEF };

static void make_parts(const struct qs_job_status *s, enum words words, bool ascii, struct qs_str part[PARTS])
{
    const bool brief = words == BRIEF;
    char buf[48];
    for (int i = 0; i < PARTS; i++)
        qs_str_clear(&part[i]);
    add_share(&part[SHARE], s, brief);
    if (words < NO_TOTALS || s->total == 0)
        add_totals(&part[TOTALS], s, words == FULL || s->rate <= 0); /* the rate has the unit as well */
    if (s->rate > 0) {
        add_amount(&part[RATE], s->unit, s->rate);
        add_unit(&part[RATE], s->unit);
        qs_str_add(&part[RATE], "/s");
    }
    if (s->eta >= 0)
        qs_str_addf(&part[ETA], "ETA %s", qs_fmt_seconds(buf, sizeof buf, s->eta));
    if (s->memory > 0)
        qs_str_addf(&part[MEMORY], "%s%s", brief ? "" : "memory ", qs_fmt_bytes(buf, sizeof buf, s->memory));
    if (s->error >= 0)
        add_error(&part[ERROR_SO_FAR], s->error, brief);
    if (s->item[0])
        add_item(&part[ITEM], s->item, brief || words == SHORT_NAMES, 200, ascii);
}

static size_t cells(const struct qs_str *part)
{
    return qs_utf8_width(part->data, part->len);
}

static size_t all_cells(const struct qs_str part[PARTS])
{
    size_t sum = 0;
    for (int i = 0; i < PARTS; i++)
        sum += part[i].len ? cells(&part[i]) + (sum ? GAP : 0) : 0;
    return sum;
}

/* Short words first, then a shorter name, then whole parts go. */
static void fit_parts(const struct qs_job_status *s, size_t width, bool ascii, struct qs_str part[PARTS])
{
    make_parts(s, FULL, ascii, part);
    for (enum words words = SHORT_NAMES; words <= BRIEF && all_cells(part) > width; words++)
        make_parts(s, words, ascii, part);
    for (size_t i = 0; i < sizeof order_of_leaving / sizeof *order_of_leaving; i++) {
        const size_t now = all_cells(part), item = cells(&part[ITEM]);
        if (now <= width)
            return;
        qs_str_clear(&part[order_of_leaving[i]]);
        if (order_of_leaving[i] == ITEM && now - item < width)
            add_item(&part[ITEM], s->item, true, width - (now - item), ascii);
    }
}

void qs_progress_line(const struct qs_job_status *s, unsigned width, bool ascii, struct qs_str *out)
{
    struct qs_str part[PARTS];
    for (int i = 0; i < PARTS; i++)
        part[i] = (struct qs_str)QS_STR_INIT;
    fit_parts(s, width, ascii, part);
    for (int i = 0; i < PARTS; i++) {
        if (part[i].len && out->len)
            qs_str_add(out, "  ");
        if (i == SHARE) /* the only part that is never left out: cut where there is room for nothing */
            qs_str_addn(out, part[i].data, part[i].len < width ? part[i].len : width);
        else
            qs_str_addn(out, part[i].data, part[i].len);
        out->failed |= part[i].failed;
        qs_str_free(&part[i]);
    }
}

struct screen {
    bool draws, escapes; /* escapes: the terminal can erase to the end of the line */
    size_t shown;        /* columns in use */
};

static void put_line(struct screen *sc, const char *text, size_t n)
{
    size_t cells = qs_utf8_width(text, n);
    fprintf(stderr, "\r%.*s", (int)n, text);
    if (sc->escapes)
        fputs("\033[K", stderr);
    else
        for (size_t i = cells; i < sc->shown; i++)
            fputc(' ', stderr);
    sc->shown = cells;
    fflush(stderr);
}

static void draw(struct screen *sc, struct qs_job *job)
{
    struct qs_job_status s;
    struct qs_str line = QS_STR_INIT;
    const unsigned columns = qs_terminal_width(STDERR_FILENO);
    qs_job_status(job, &s);
    if (!columns)
        return;
    if (s.state == QS_JOB_RUNNING || s.state == QS_JOB_PAUSED) {
        qs_progress_line(&s, columns - 1, !qs_locale_utf8(), &line); /* the last column makes some terminals wrap */
        if (!line.failed)
            put_line(sc, line.data, line.len);
    }
    qs_str_free(&line);
}

static void erase(struct screen *sc)
{
    if (sc->shown == 0)
        return;
    put_line(sc, "", 0);
    fputc('\r', stderr);
    fflush(stderr);
}

void qs_progress_watch(struct qs_job *job, bool quiet)
{
    qs_progress_watch_with(job, quiet, NULL, NULL);
}

void qs_progress_watch_with(struct qs_job *job, bool quiet, void (*tick)(void *ctx), void *ctx)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
    const char *term = getenv("TERM");
    struct screen sc = { !quiet && isatty(STDERR_FILENO), term && strcmp(term, "dumb") != 0, 0 };
    struct qs_interrupt watch;
    bool cancelled = false;
    qs_interrupt_begin(&watch, signals, sizeof signals / sizeof *signals);
    while (!qs_job_wait_for(job, REDRAW_SECONDS)) {
        if (qs_interrupted() && !cancelled) {
            cancelled = true;
            qs_job_cancel(job);
            erase(&sc);
            if (!quiet)
                fputs("quantscape: cancelling; press Ctrl-C again to stop at once\n", stderr);
            sc.draws = false;
        }
        if (tick)
            tick(ctx);
        if (sc.draws)
            draw(&sc, job);
    }
    erase(&sc);
    if (tick)
        tick(ctx);
    qs_interrupt_end(&watch);
}
