/* term_stray.c - standard error while the screen is up: into a file without a name, from there to whoever asks, and in the
 * end to where it would have gone.
 *
 * Only where standard error is the terminal: what the person has sent elsewhere (2>file) goes there. Writers never wait, as
 * they would on a full pipe. The file lives from qs_stray_start to qs_stray_end. One thread, but for the writers.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/str.h"
#include "base/text.h"
#include "ui/term_parts.h"

static int kept = -1, real = -1; /* the file; standard error as it was */
static off_t taken;              /* handed out so far */
static struct qs_str lines = QS_STR_INIT;

static int nameless_file(void)
{
#ifdef MFD_CLOEXEC
    return memfd_create("stderr", MFD_CLOEXEC);
#else
    FILE *f = tmpfile();
    const int fd = f ? fcntl(fileno(f), F_DUPFD_CLOEXEC, 3) : -1;
    if (f)
        fclose(f);
    return fd;
#endif
}

void qs_stray_start(void)
{
    if (!isatty(STDERR_FILENO))
        return;
    fflush(stderr);
    kept = nameless_file();
    real = kept < 0 ? -1 : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    taken = 0;
    if (real >= 0 && dup2(kept, STDERR_FILENO) >= 0)
        return;
    if (kept >= 0)
        close(kept);
    if (real >= 0)
        close(real);
    kept = real = -1;
}

/* The next piece, cut behind its last line end where it has one and more may follow. */
static size_t next_piece(char *buf, size_t n, bool all)
{
    const ssize_t got = kept < 0 ? 0 : pread(kept, buf, n, taken);
    size_t len = got > 0 ? (size_t)got : 0;
    while (!all && len && len < n && buf[len - 1] != '\n')
        len--;
    taken += (off_t)len;
    return len;
}

static void add_clean(char *line, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (line[i] == 0)
            line[i] = '?';
    if (n && line[n - 1] == '\r')
        n--;
    line[n] = 0;
    qs_text_clean(&lines, line, !qs_locale_utf8());
}

/* Whole lines, or all there is, clean. */
static const char *collect(bool all)
{
    char buf[4096];
    qs_str_clear(&lines);
    for (size_t n; (n = next_piece(buf, sizeof buf - 1, all)) > 0;) {
        for (char *p = buf, *end = buf + n; p < end;) {
            char *stop = memchr(p, '\n', (size_t)(end - p));
            add_clean(p, (size_t)((stop ? stop : end) - p));
            if (stop)
                qs_str_addc(&lines, '\n');
            p = stop ? stop + 1 : end;
        }
    }
    if (all && lines.len && lines.data[lines.len - 1] != '\n')
        qs_str_addc(&lines, '\n');
    return lines.failed ? "" : lines.data;
}

const char *qs_term_stray(void)
{
    return collect(false);
}

void qs_stray_end(void)
{
    if (kept < 0)
        return;
    fflush(stderr);
    dup2(real, STDERR_FILENO);
    fputs(collect(true), stderr);
    fflush(stderr);
    qs_str_free(&lines);
    close(kept);
    close(real);
    kept = real = -1;
}

void qs_stray_crash(void)
{
    char buf[512];
    for (size_t n; (n = next_piece(buf, sizeof buf, true)) > 0;) {
        for (size_t i = 0; i < n; i++)
            if (buf[i] != '\n' && (buf[i] < ' ' || buf[i] > '~'))
                buf[i] = '?';
        if (write(real, buf, n) < 0)
            return;
    }
}

void qs_stray_let_go(int nowhere)
{
    if (real >= 0)
        dup2(nowhere, real);
}
