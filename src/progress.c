/* progress.c - watching a job from the command line.
 *
 * Owns the signal handlers while a job runs and one line of the terminal on standard error. Copies the job's status,
 * never holds its lock. One job at a time, one thread.
 */
#include "src/progress.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/unicode.h"

#define REDRAW_SECONDS 0.1

static volatile sig_atomic_t interrupts;

static void on_signal(int sig)
{
    interrupts = interrupts + 1;
    if (interrupts < 2)
        return;
    signal(sig, SIG_DFL); /* delivered again, and then deadly, when this handler returns */
    raise(sig);
}

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

static void add_totals(struct qs_str *out, const struct qs_job_status *s)
{
    bool bytes = strcmp(s->unit, "bytes") == 0;
    if (s->total > 0) {
        double share = (double)s->done / (double)s->total;
        qs_str_addf(out, " %3.0f%%  ", 100 * (share < 1 ? share : 1));
        add_amount(out, s->unit, (double)s->done);
        qs_str_add(out, " of ");
        add_amount(out, s->unit, (double)s->total);
    } else {
        qs_str_add(out, "  ");
        add_amount(out, s->unit, (double)s->done);
    }
    if (!bytes && s->unit[0])
        qs_str_addf(out, " %s", s->unit);
    if (s->rate > 0) {
        qs_str_add(out, "  ");
        add_amount(out, s->unit, s->rate);
        qs_str_add(out, "/s");
    }
}

void qs_progress_line(const struct qs_job_status *s, unsigned width, struct qs_str *out)
{
    char buf[48];
    struct qs_str all = QS_STR_INIT;
    qs_str_add(&all, s->state == QS_JOB_PAUSED ? "paused" : s->phase[0] ? s->phase : "working");
    add_totals(&all, s);
    if (s->eta >= 0)
        qs_str_addf(&all, "  ETA %s", qs_fmt_seconds(buf, sizeof buf, s->eta));
    if (s->memory > 0)
        qs_str_addf(&all, "  memory %s", qs_fmt_bytes(buf, sizeof buf, s->memory));
    if (s->error >= 0)
        qs_str_addf(&all, "  error %.4f", s->error);
    if (s->item[0])
        qs_str_addf(&all, "  %s", s->item);
    qs_utf8_clean(out, all.data, all.len, width);
    out->failed |= all.failed;
    qs_str_free(&all);
}

struct screen {
    bool draws, escapes; /* escapes: the terminal can erase to the end of the line */
    size_t shown;        /* columns in use */
};

static unsigned columns(void)
{
    struct winsize ws;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 1 ? ws.ws_col : 80;
}

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
    qs_job_status(job, &s);
    if (s.state == QS_JOB_RUNNING || s.state == QS_JOB_PAUSED) {
        qs_progress_line(&s, columns() - 1, &line); /* the last column makes some terminals wrap */
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

static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
#define N_SIGNALS (sizeof signals / sizeof *signals)

void qs_progress_watch(struct qs_job *job, bool quiet)
{
    const char *term = getenv("TERM");
    struct screen sc = { !quiet && isatty(STDERR_FILENO), term && strcmp(term, "dumb") != 0, 0 };
    struct sigaction act, before[N_SIGNALS];
    bool cancelled = false;
    memset(&act, 0, sizeof act);
    act.sa_handler = on_signal;
    act.sa_flags = SA_RESTART;
    sigemptyset(&act.sa_mask);
    interrupts = 0;
    for (size_t i = 0; i < N_SIGNALS; i++) {
        sigaction(signals[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN) /* nohup stays nohup */
            sigaction(signals[i], &act, NULL);
    }
    while (!qs_job_wait_for(job, REDRAW_SECONDS)) {
        if (interrupts && !cancelled) {
            cancelled = true;
            qs_job_cancel(job);
            erase(&sc);
            if (!quiet)
                fputs("quantscape: cancelling; press Ctrl-C again to stop at once\n", stderr);
            sc.draws = false;
        }
        if (sc.draws)
            draw(&sc, job);
    }
    erase(&sc);
    for (size_t i = 0; i < N_SIGNALS; i++)
        sigaction(signals[i], &before[i], NULL);
}
