/* term.c - owns the terminal while a screen is up: entering and leaving, modes, signals, waiting.
 *
 * Handlers do only what signal-safety(7) allows: set a flag and write a byte to a pipe, or, in a crash, tcsetattr, one
 * write of a string made beforehand, and the copying of what was written to standard error, before the signal is raised
 * again with its default action. Whatever thread a signal hits, the pipe wakes the one that waits here.
 *
 * A terminal that takes nothing any more (nobody reads the other end) holds whoever writes to it, curses too, which
 * goes on after every signal. Who is told to end and still has the terminal a second later, while it takes nothing,
 * lets go of it: what is written from then on goes nowhere, so that the thread comes out of its write and the program
 * ends.
 */
#include "ui/term.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <ncurses.h>

#include "ui/term_parts.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define ANSWER_MS 100    /* on leaving: for answers under way, which would be typed into the shell */
#define STUCK_S 1        /* a signal to end waits so long for a terminal that takes nothing */
#define CLIPBOARD_MAX 74994 /* bytes of base64: what terminals take at least */

static const int crash_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
static const int watched_signals[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH, SIGALRM };

static struct {
    bool open, mouse, gone, asked;
    bool guess, guess_light;      /* an event yet to be given: what COLORFGBG says */
    enum qs_tier tier;
    struct qs_input in;
    long long last_byte;          /* ms */
    bool partial;                 /* what is kept may be the start of more */
    unsigned long long taken;
    pthread_t thread;             /* that writes */
    struct termios saved;
    struct sigaction old[COUNT(watched_signals)];
    char reset[512];
    size_t reset_len;
    int wake[2];
} term = { .in.paste = QS_STR_INIT, .wake = { -1, -1 } };

static volatile sig_atomic_t up;                      /* the terminal is ours at this moment */
static volatile sig_atomic_t ending, stop, continued; /* signals that came */

/* ---- small things ---- */

void qs_term_write(const char *bytes, size_t n)
{
    while (n) {
        const ssize_t done = write(STDOUT_FILENO, bytes, n);
        if (done > 0) {
            bytes += done;
            n -= (size_t)done;
        } else if (errno == EAGAIN) {
            struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };
            poll(&p, 1, -1);
        } else if (errno != EINTR) {
            return;
        }
    }
}

static void send(const char *text)
{
    qs_term_write(text, strlen(text));
}

static long long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* ---- signals ---- */

static void on_crash(int sig)
{
    if (up) {
        tcsetattr(STDIN_FILENO, TCSANOW, &term.saved);
        const ssize_t n = write(STDOUT_FILENO, term.reset, term.reset_len);
        (void)n;
        qs_stray_crash();
    }
    signal(sig, SIG_DFL);
    raise(sig);
}

static void on_signal(int sig)
{
    const int keep = errno;
    if (sig == SIGTSTP)
        stop = 1;
    else if (sig == SIGCONT)
        continued = 1;
    else if (sig != SIGWINCH) {
        ending = sig;
        alarm(STUCK_S);
    }
    const ssize_t n = write(term.wake[1], "", 1);
    (void)n;
    errno = keep;
}

static void let_go(void)
{
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere < 0)
        return;
    tcflush(STDOUT_FILENO, TCOFLUSH);
    dup2(nowhere, STDOUT_FILENO);
    qs_stray_let_go(nowhere);
    close(nowhere);
}

static void on_alarm(int sig)
{
    const int keep = errno;
    struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };
    if (poll(&p, 1, 0) == 0)
        let_go();
    else
        alarm(STUCK_S);
    if (!pthread_equal(pthread_self(), term.thread))
        pthread_kill(term.thread, sig); /* out of its write */
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

/* Before curses, which handles what it finds at its default. What is ignored was meant to be (nohup). */
static void watch_signals(void)
{
    for (size_t i = 0; i < COUNT(watched_signals); i++) {
        const int sig = watched_signals[i];
        struct sigaction sa = { .sa_handler = sig == SIGALRM ? on_alarm : on_signal };
        sigemptyset(&sa.sa_mask);
        sigaction(sig, NULL, &term.old[i]);
        if (term.old[i].sa_handler != SIG_IGN || sig == SIGWINCH || sig == SIGCONT || sig == SIGALRM)
            sigaction(sig, &sa, NULL);
    }
}

static void unwatch_signals(void)
{
    alarm(0);
    for (size_t i = 0; i < COUNT(watched_signals); i++)
        sigaction(watched_signals[i], &term.old[i], NULL);
}

static void close_wake(void)
{
    for (int i = 0; i < 2; i++) {
        if (term.wake[i] >= 0)
            close(term.wake[i]);
        term.wake[i] = -1;
    }
}

/* ---- reading ---- */

/* What is there now; never waits. */
static void fill(void)
{
    struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
    unsigned char buf[QS_INPUT_BYTES];
    const size_t room = sizeof term.in.byte - term.in.len;
    if (!room || poll(&p, 1, 0) <= 0 || !p.revents)
        return;
    const ssize_t n = read(STDIN_FILENO, buf, room);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
        term.gone = true;
    } else if (n > 0) {
        qs_input_put(&term.in, buf, (size_t)n);
        term.last_byte = now_ms();
        term.partial = false;
        term.taken += (unsigned long long)n;
    }
}

static int patience_left(void)
{
    const long long left = term.last_byte + qs_input_patience(&term.in) - now_ms();
    return left > 0 ? (int)left : 0;
}

bool qs_term_event(struct qs_event *out)
{
    if (term.guess) {
        term.guess = false;
        *out = (struct qs_event){ .kind = QS_EVENT_BACKGROUND, .light = term.guess_light };
        return true;
    }
    if (!up)
        return false;
    fill();
    enum qs_input_state state = qs_input_next(&term.in, false, out);
    if (state == QS_INPUT_PARTIAL && patience_left() == 0)
        state = qs_input_next(&term.in, true, out);
    term.partial = state == QS_INPUT_PARTIAL;
    return state == QS_INPUT_EVENT;
}

unsigned long long qs_term_taken(void)
{
    return term.taken - term.in.len;
}

/* ---- entering and leaving ---- */

static void mouse_mode(bool on)
{
    send(on ? "\033[?1002h\033[?1006h" : "\033[?1006l\033[?1002l");
}

void qs_term_mouse(bool on)
{
    term.mouse = on;
    if (up)
        mouse_mode(on);
}

/* Curses has the screen; the rest of the modes. */
static void enter(void)
{
    reset_prog_mode();
    send("\033[?2004h");
    if (term.mouse)
        mouse_mode(true);
    qs_term_show_anew();
    up = 1;
}

/* Answers that are under way would be typed into the shell. Every terminal says what it is, and after what was asked
 * before. */
static void await_answers(void)
{
    const long long end = now_ms() + ANSWER_MS;
    struct qs_event unused;
    struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
    while (term.asked && !term.in.answered && !term.gone && now_ms() < end && poll(&p, 1, (int)(end - now_ms()) + 1) > 0) {
        fill();
        while (qs_input_next(&term.in, false, &unused) == QS_INPUT_EVENT)
            ;
    }
    term.asked = false;
}

static void leave(void)
{
    await_answers();
    if (term.mouse)
        mouse_mode(false);
    send("\033[?2004l");
    endwin();
    tcsetattr(STDIN_FILENO, TCSADRAIN, &term.saved);
    up = 0;
}

/* "15;0", "0;default;15": the last is the background, by the numbers of the 16 colours. */
static void guess_background(void)
{
    const char *v = getenv("COLORFGBG"), *last = v ? strrchr(v, ';') : NULL;
    char *end;
    if (!last || last[1] < '0' || last[1] > '9')
        return;
    const long color = strtol(last + 1, &end, 10);
    term.guess = *end == 0 && color < 16;
    term.guess_light = color == 7 || color > 8;
}

static void ask_background(void)
{
    if (!qs_term_caps_modern())
        return;
    send("\033]11;?\033\\\033[c");
    term.asked = true;
}

static int start_curses(const struct qs_term_args *args, struct qs_err *e)
{
    int rc = qs_term_caps_look(args->tier, &term.tier, e);
    if (rc)
        return rc;
    if (pipe2(term.wake, O_CLOEXEC | O_NONBLOCK))
        return qs_fail_errno(e, errno, "cannot make a pipe");
    fflush(stdout);
    term.thread = pthread_self();
    watch_signals();
    if (qs_term_caps_start(&term.tier))
        return QS_OK;
    unwatch_signals();
    close_wake();
    return qs_fail(e, QS_EUNSUPPORTED, "the terminal cannot be set up: use the verbs (quantscape --help)");
}

int qs_term_open(const struct qs_term_args *args, struct qs_err *e)
{
    if (tcgetattr(STDIN_FILENO, &term.saved))
        return qs_fail(e, QS_EUNSUPPORTED, "standard input is no terminal");
    const int rc = start_curses(args, e);
    if (rc)
        return rc;
    ending = stop = continued = 0;
    term.open = true;
    term.gone = term.partial = false;
    term.mouse = args->mouse;
    term.reset_len = qs_term_caps_reset(term.reset, sizeof term.reset);
    term.in.erases_by_bs = term.saved.c_cc[VERASE] == 8;
    qs_term_caps_keys(&term.in);
    raw(); /* no signals, no flow control: these characters are keys */
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    def_prog_mode();
    qs_stray_start();
    term.tier = qs_term_show_start(term.tier, args->sync);
    enter();
    guess_background();
    ask_background();
    return QS_OK;
}

void qs_term_close(void)
{
    if (!term.open)
        return;
    if (up) {
        leave();
        if (term.mouse)
            tcflush(STDIN_FILENO, TCIFLUSH); /* reports of its last movements */
    }
    qs_term_show_end();
    SCREEN *screen = set_term(NULL);
    if (screen)
        delscreen(screen);
    unwatch_signals();
    close_wake();
    qs_input_free(&term.in);
    qs_stray_end();
    term.open = term.guess = false;
}

/* ---- stopping and going on ---- */

static void take_back(void)
{
    continued = 0;
    if (!up)
        return enter();
    endwin(); /* stopped without a chance to leave: somebody else may have set the terminal up */
    enter();
}

/* others: the whole process group, as Ctrl-Z does it: a pipeline stops as one. */
static void halt(bool others)
{
    struct sigaction dfl = { .sa_handler = SIG_DFL }, ignore = { .sa_handler = SIG_IGN }, ours;
    sigaction(SIGTSTP, NULL, &ours);
    stop = 0;
    if (ours.sa_handler == SIG_IGN)
        return;
    leave();
    if (others) {
        sigaction(SIGTSTP, &ignore, NULL);
        kill(0, SIGTSTP);
    }
    sigaction(SIGTSTP, &dfl, NULL);
    raise(SIGTSTP); /* here it stops: this thread takes the signal before raise returns */
    sigaction(SIGTSTP, &ours, NULL);
    take_back();
}

void qs_term_suspend(void)
{
    if (up)
        halt(true);
}

/* ---- waiting ---- */

void qs_term_wait(int fd, int timeout_ms)
{
    struct pollfd p[3] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = term.wake[0], .events = POLLIN },
                           { .fd = fd, .events = POLLIN } };
    if (term.guess || (term.in.len && !term.partial))
        return; /* an event may be there */
    if (term.partial && (timeout_ms < 0 || timeout_ms > patience_left()))
        timeout_ms = patience_left();
    if (poll(p, 3, timeout_ms) > 0) {
        if (p[0].revents & (POLLHUP | POLLERR | POLLNVAL)) /* even with POLLIN: what is to be read then is the end */
            term.gone = true;
        for (int i = 1; i < 3; i++) { /* once: a descriptor that is left for more may block */
            char buf[4096];
            const ssize_t n = p[i].revents & POLLIN ? read(p[i].fd, buf, sizeof buf) : 0;
            (void)n;
        }
    }
    if (stop && up)
        halt(false);
    else if (continued && up)
        take_back();
}

/* ---- the rest of the contract ---- */

enum qs_tier qs_term_tier(void)
{
    return term.open ? term.tier : QS_TIER_MONO;
}

void qs_term_size(unsigned *rows, unsigned *cols)
{
    qs_term_measure(rows, cols);
}

bool qs_term_clipboard(const char *text)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *s = (const unsigned char *)text;
    const size_t n = strlen(text);
    struct qs_str out = QS_STR_INIT;
    if (!up || n > CLIPBOARD_MAX / 4 * 3)
        return false;
    qs_str_add(&out, "\033]52;c;");
    for (size_t i = 0; i < n; i += 3) {
        const unsigned v = (unsigned)s[i] << 16 | (i + 1 < n ? (unsigned)s[i + 1] << 8 | (i + 2 < n ? s[i + 2] : 0) : 0);
        qs_str_addc(&out, digit[v >> 18]);
        qs_str_addc(&out, digit[v >> 12 & 63]);
        qs_str_addc(&out, i + 1 < n ? digit[v >> 6 & 63] : '=');
        qs_str_addc(&out, i + 2 < n ? digit[v & 63] : '=');
    }
    qs_str_add(&out, "\033\\");
    if (!out.failed)
        qs_term_write(out.data, out.len);
    const bool sent = !out.failed;
    qs_str_free(&out);
    return sent;
}

int qs_term_ending(void)
{
    return ending ? ending : term.gone ? QS_TERM_GONE : 0;
}
