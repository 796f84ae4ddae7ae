/* term.c - owns the terminal's state and the signal handlers while a screen is up.
 *
 * Handlers do only what signal-safety(7) allows: set a flag and write a byte to a pipe, or, in a crash, tcsetattr and
 * one write of a constant string before the signal is raised again with its default action.
 */
#include "ui/term.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <ncurses.h>
#include <term.h>

static const int crash_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
static const int end_signals[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT };
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Normal screen, cursor shown, attributes off, bracketed paste and mouse off. */
static const char reset_text[] = "\033[?1049l\033[?25h\033[0m\033[?2004l\033[?1000l\033[?1002l\033[?1006l\r\n";

static struct termios saved;
static volatile sig_atomic_t active, ending;
static bool gone;          /* the terminal */
static bool promised;      /* poll saw something to read, no key has come of it yet */
static unsigned broken;    /* promises in a row */
static int wake_pipe[2] = { -1, -1 };
static struct sigaction old_end[COUNT(end_signals)];
static SCREEN *screen;
static bool colored;

static void on_crash(int sig)
{
    if (active) {
        tcsetattr(STDIN_FILENO, TCSANOW, &saved);
        const ssize_t n = write(STDOUT_FILENO, reset_text, sizeof reset_text - 1);
        (void)n;
    }
    signal(sig, SIG_DFL);
    raise(sig);
}

static void on_end(int sig)
{
    const int keep = errno;
    ending = sig;
    const ssize_t n = write(wake_pipe[1], "", 1);
    (void)n;
    errno = keep;
}

void qs_term_guard(void)
{
    static _Alignas(16) char stack[65536];
    const stack_t alt = { .ss_sp = stack, .ss_size = sizeof stack };
    sigaltstack(&alt, NULL);
    for (size_t i = 0; i < COUNT(crash_signals); i++) {
        struct sigaction sa = { .sa_handler = on_crash, .sa_flags = SA_ONSTACK };
        sigemptyset(&sa.sa_mask);
        sigaction(crash_signals[i], &sa, NULL);
    }
}

/* What is ignored was meant to be (nohup). */
static void catch_endings(void)
{
    for (size_t i = 0; i < COUNT(end_signals); i++) {
        struct sigaction sa = { .sa_handler = on_end };
        sigemptyset(&sa.sa_mask);
        if (old_end[i].sa_handler != SIG_IGN)
            sigaction(end_signals[i], &sa, NULL);
    }
}

/* Curses would take a terminal that cannot place its cursor, and draw rubbish on it. */
static int check_type(struct qs_err *e)
{
    const char *term = getenv("TERM");
    int found = 0;
    if (!term || !*term)
        return qs_fail(e, QS_EUNSUPPORTED, "no terminal type is given: set TERM, or use the verbs (quantscape --help)");
    if (setupterm(term, STDOUT_FILENO, &found) == ERR)
        return qs_fail(e, QS_EUNSUPPORTED, "the terminal type %.80s is not known here: set TERM, or use the verbs "
                       "(quantscape --help)", term);
    const char *place = tigetstr("cup");
    const bool able = place && place != (const char *)-1;
    del_curterm(cur_term);
    if (!able)
        return qs_fail(e, QS_EUNSUPPORTED, "the terminal type %.80s cannot place the cursor: set TERM to another one, "
                       "or use the verbs (quantscape --help)", term);
    return QS_OK;
}

static void close_pipe(void)
{
    for (int i = 0; i < 2; i++) {
        if (wake_pipe[i] >= 0)
            close(wake_pipe[i]);
        wake_pipe[i] = -1;
    }
}

int qs_term_open(struct qs_err *e)
{
    if (tcgetattr(STDIN_FILENO, &saved))
        return qs_fail(e, QS_EUNSUPPORTED, "standard input is no terminal");
    const int rc = check_type(e);
    if (rc)
        return rc;
    if (pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK))
        return qs_fail_errno(e, errno, "cannot make a pipe");
    for (size_t i = 0; i < COUNT(end_signals); i++) /* before curses puts its own in place */
        sigaction(end_signals[i], NULL, &old_end[i]);
    screen = newterm(NULL, stdout, stdin);
    if (!screen) {
        close_pipe();
        return qs_fail(e, QS_EUNSUPPORTED, "the terminal cannot be set up: use the verbs (quantscape --help)");
    }
    active = 1;
    catch_endings();
    set_escdelay(25);
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    curs_set(0);
    const char *no_color = getenv("NO_COLOR");
    if (has_colors() && !(no_color && *no_color)) {
        colored = start_color() == OK;
        use_default_colors();
    }
    return QS_OK;
}

void qs_term_close(void)
{
    if (!active)
        return;
    endwin();
    delscreen(screen);
    screen = NULL;
    colored = false;
    active = 0;
    for (size_t i = 0; i < COUNT(end_signals); i++)
        sigaction(end_signals[i], &old_end[i], NULL);
    close_pipe();
}

int qs_term_colors(void)
{
    return active && colored ? COLORS : 0;
}

int qs_term_pair(int fg, int bg)
{
    if (fg >= qs_term_colors() || bg >= qs_term_colors())
        return 0;
    const int pair = alloc_pair(fg, bg); /* the same one again for the same colours */
    return pair > 0 ? pair : 0;
}

static void drain(int fd)
{
    char buf[256];
    while (read(fd, buf, sizeof buf) == (ssize_t)sizeof buf)
        ;
}

void qs_term_wait(int fd, int timeout_ms)
{
    struct pollfd p[3] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = wake_pipe[0], .events = POLLIN },
                           { .fd = fd, .events = POLLIN } };
    if (poll(p, 3, timeout_ms) < 0)
        return; /* a signal: SIGWINCH shows as KEY_RESIZE */
    if (p[0].revents & (POLLHUP | POLLERR | POLLNVAL)) /* even with POLLIN: what is to be read then is the end */
        gone = true;
    promised = p[0].revents & POLLIN;
    for (int i = 1; i < 3; i++)
        if (p[i].revents & POLLIN)
            drain(p[i].fd);
}

/* Bytes that become no key do occur (half a character), but not one after the other for ever: then reading fails, as it
 * does for a process that was put into the background of a terminal that is no more its own. */
#define BROKEN_MAX 64

int qs_term_key(wint_t *c)
{
    const int kind = get_wch(c);
    if (kind != ERR) {
        broken = 0;
        promised = false;
    } else if (promised) {
        promised = false;
        if (++broken > BROKEN_MAX)
            gone = true;
    }
    return kind;
}

int qs_term_ending(void)
{
    return ending ? ending : gone ? QS_TERM_GONE : 0;
}
