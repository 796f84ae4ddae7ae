/* pty.c - a program on a pseudo-terminal with libvterm. See pty.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <util.h>
#else
#include <pty.h>
#endif

#include "base/mem.h"
#include "base/str.h"
#include "tests/ui/pty_internal.h"

#define WAIT_MS 30000

static long long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* ---- taking in what comes ---- */

static void answer(const char *bytes, size_t n, void *p)
{
    qs_pty_sendn(p, bytes, n);
}

/* Modes by the sequences that set them: libvterm tells some, by version. */
static void note_mode(struct qs_pty *p, int mode, bool on)
{
    struct qs_pty_modes *m = &p->modes;
    switch (mode) {
    case 25: m->cursor_hidden = !on; break;
    case 47: case 1047: case 1049: m->alternate = on; break;
    case 1000: case 1002: case 1003: m->mouse = on; break;
    case 1006: m->sgr_mouse = on; break;
    case 2004: m->paste = on; break;
    case 2026: m->sync = on; p->frames += on; break;
    default: break;
    }
}

/* "\033[?1002;1006h": the end of it; NULL: it goes on in what is not there yet. */
static const char *private_modes(struct qs_pty *p, const char *s, const char *end)
{
    const char *stop = s + 3;
    while (stop < end && (*stop == ';' || (*stop >= '0' && *stop <= '9')))
        stop++;
    if (stop == end)
        return NULL;
    for (const char *q = s + 3; q < stop; q++) {
        char *next;
        const long mode = strtol(q, &next, 10);
        if (*stop == 'h' || *stop == 'l')
            note_mode(p, (int)mode, *stop == 'h');
        q = next;
    }
    return stop;
}

static void scan_output(struct qs_pty *p)
{
    static const char question[] = "\033]11;?";
    const char *s = p->output.data + p->scanned, *const end = p->output.data + p->output.len;
    while ((s = memchr(s, '\033', (size_t)(end - s))) != NULL) {
        const char *next = s + 1;
        if (end - s < 6)
            break;
        if (s[1] == '[' && s[2] == '?')
            next = private_modes(p, s, end);
        else if (strncmp(s, question, sizeof question - 1) == 0 && p->background) {
            char text[64];
            (void)snprintf(text, sizeof text, "\033]11;%s\033\\", p->background);
            qs_pty_send(p, text);
        }
        if (!next)
            break;
        s = next;
    }
    p->scanned = s ? (size_t)(s - p->output.data) : p->output.len;
}

static void take_output(struct qs_pty *p)
{
    char buf[16384];
    const ssize_t n = read(p->master, buf, sizeof buf);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        p->closed = true;
        return;
    }
    qs_str_addn(&p->output, buf, (size_t)n);
    vterm_input_write(p->vt, buf, (size_t)n);
    scan_output(p);
}

static void take_idle(struct qs_pty *p)
{
    char buf[512];
    const ssize_t n = read(p->idle, buf, sizeof buf);
    for (ssize_t i = 0; i < n; i++)
        if (buf[i] == '\n') {
            p->idle_text[p->idle_len] = 0;
            p->acted = strtoull(p->idle_text, NULL, 10);
            p->idle_len = 0;
        } else if (p->idle_len + 1 < sizeof p->idle_text) {
            p->idle_text[p->idle_len++] = buf[i];
        }
    if (n == 0) {
        close(p->idle);
        p->idle = -1;
    }
}

static void take_news(struct qs_pty *p)
{
    struct news n;
    if (read(p->news, &n, sizeof n) != (ssize_t)sizeof n) {
        p->ended = true;
        return;
    }
    if (n.what == 'P')
        p->pid = n.value;
    p->stopped = n.what == 'S';
    if (n.what == 'X') {
        p->ended = true;
        p->status = n.value;
    }
}

bool qs_pty_pump(struct qs_pty *p, int ms)
{
    struct pollfd f[3] = { { .fd = p->closed ? -1 : p->master, .events = POLLIN }, { .fd = p->idle, .events = POLLIN },
                           { .fd = p->ended ? -1 : p->news, .events = POLLIN } };
    if (poll(f, 3, ms) <= 0)
        return false;
    if (f[0].revents)
        take_output(p);
    if (f[1].revents)
        take_idle(p);
    if (f[2].revents)
        take_news(p);
    return true;
}

/* ---- starting and ending ---- */

static bool start_terminal(struct qs_pty *p, unsigned rows, unsigned cols)
{
    p->vt = vterm_new((int)rows, (int)cols);
    if (!p->vt)
        return false;
    vterm_set_utf8(p->vt, 1);
    vterm_output_set_callback(p->vt, answer, p);
    p->screen = vterm_obtain_screen(p->vt);
    vterm_screen_enable_altscreen(p->screen, 1);
    vterm_screen_reset(p->screen, 1);
    p->rows = rows;
    p->cols = cols;
    return true;
}

static bool start_shell(struct qs_pty *p, const struct qs_pty_args *args)
{
    int idle[2], news[2], orders[2];
    struct winsize ws = { .ws_row = (unsigned short)args->rows, .ws_col = (unsigned short)args->cols };
    if (pipe(idle) || pipe(news) || pipe(orders))
        return false;
    const int ours[] = { idle[0], news[0], orders[1] }, theirs[] = { idle[1], news[1], orders[0] };
    for (int i = 0; i < 3; i++)
        fcntl(ours[i], F_SETFD, FD_CLOEXEC);
    fcntl(news[1], F_SETFD, FD_CLOEXEC);
    fcntl(orders[0], F_SETFD, FD_CLOEXEC);
    fcntl(idle[1], F_SETFL, O_NONBLOCK);
    p->shell = forkpty(&p->master, NULL, NULL, &ws);
    if (p->shell == 0) {
        for (int i = 0; i < 3; i++)
            close(ours[i]);
        qs_pty_shell(args, idle[1], news[1], orders[0]);
    }
    for (int i = 0; i < 3; i++)
        close(theirs[i]);
    p->idle = idle[0];
    p->news = news[0];
    p->orders = orders[1];
    if (p->shell < 0)
        return false;
    fcntl(p->master, F_SETFD, FD_CLOEXEC);
    const long long end = now_ms() + WAIT_MS;
    while (p->pid == 0 && !p->ended && now_ms() < end)
        qs_pty_pump(p, 100);
    return p->pid > 0;
}

struct qs_pty *qs_pty_start(const struct qs_pty_args *args)
{
    struct qs_pty *p = qs_calloc(1, sizeof *p);
    if (!p)
        return NULL;
    *p = (struct qs_pty){ .master = -1, .idle = -1, .news = -1, .orders = -1, .background = args->background,
                          .output = QS_STR_INIT, .line = QS_STR_INIT };
    signal(SIGPIPE, SIG_IGN);
    if (start_terminal(p, args->rows, args->cols) && start_shell(p, args))
        return p;
    (void)fprintf(stderr, "cannot start %s on a pseudo-terminal: %s\n", args->argv[0], strerror(errno));
    qs_pty_end(p);
    return NULL;
}

void qs_pty_end(struct qs_pty *p)
{
    if (!p)
        return;
    if (p->pid > 0 && !p->ended)
        kill(-p->pid, SIGKILL);
    const int fds[] = { p->master, p->idle, p->news, p->orders };
    for (int i = 0; i < 4; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (p->shell > 0)
        waitpid(p->shell, NULL, 0);
    if (p->vt)
        vterm_free(p->vt);
    qs_str_free(&p->output);
    qs_str_free(&p->line);
    qs_free(p);
}

/* ---- what a person does ---- */

/* A program that does not read must not stop us from reading what it writes. */
void qs_pty_sendn(struct qs_pty *p, const void *bytes, size_t n)
{
    const char *s = bytes;
    while (n && !p->closed) {
        struct pollfd f = { .fd = p->master, .events = POLLOUT };
        const size_t piece = n < 256 ? n : 256;
        if (poll(&f, 1, WAIT_MS) <= 0)
            return;
        const ssize_t done = write(p->master, s, piece);
        if (done <= 0)
            return;
        s += done;
        n -= (size_t)done;
        p->sent += (unsigned long long)done;
    }
}

void qs_pty_send(struct qs_pty *p, const char *bytes)
{
    qs_pty_sendn(p, bytes, strlen(bytes));
}

void qs_pty_paste(struct qs_pty *p, const char *text)
{
    if (p->modes.paste)
        qs_pty_send(p, "\033[200~");
    qs_pty_send(p, text);
    if (p->modes.paste)
        qs_pty_send(p, "\033[201~");
}

void qs_pty_mouse_move(struct qs_pty *p, int row, int col)
{
    vterm_mouse_move(p->vt, row, col, VTERM_MOD_NONE); /* says nothing where moves were not asked for */
}

void qs_pty_mouse(struct qs_pty *p, int row, int col, int button, bool press)
{
    qs_pty_mouse_move(p, row, col);
    if (p->modes.mouse) /* libvterm would report it all the same */
        vterm_mouse_button(p->vt, button, press, VTERM_MOD_NONE);
}

void qs_pty_resize(struct qs_pty *p, unsigned rows, unsigned cols)
{
    struct winsize ws = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols };
    p->rows = rows;
    p->cols = cols;
    vterm_set_size(p->vt, (int)rows, (int)cols);
    ioctl(p->master, TIOCSWINSZ, &ws);
}

void qs_pty_signal(struct qs_pty *p, int sig)
{
    kill(p->pid, sig);
}

void qs_pty_continue(struct qs_pty *p)
{
    p->stopped = false;
    if (write(p->orders, "c", 1) != 1)
        perror("continue");
}

void qs_pty_hang_up(struct qs_pty *p)
{
    close(p->master);
    p->master = -1;
    p->closed = true;
}

/* ---- waiting ---- */

bool qs_pty_wait(struct qs_pty *p, qs_pty_test *test, void *ctx, const char *what)
{
    const long long end = now_ms() + WAIT_MS;
    for (;;) {
        if (test(p, ctx))
            return true;
        const long long left = end - now_ms();
        if (left <= 0 || (p->ended && p->closed))
            break;
        qs_pty_pump(p, (int)left);
    }
    (void)fprintf(stderr, "waited in vain for: %s\n", what);
    qs_pty_print(p);
    return false;
}

static bool has_text(struct qs_pty *p, void *text)
{
    return qs_pty_find(p, text, NULL) >= 0;
}

static bool has_no_text(struct qs_pty *p, void *text)
{
    return qs_pty_find(p, text, NULL) < 0;
}

static bool has_output(struct qs_pty *p, void *bytes)
{
    return strstr(p->output.data, bytes) != NULL;
}

static bool is_idle(struct qs_pty *p, void *ctx)
{
    (void)ctx;
    return p->acted == p->sent;
}

static bool is_stopped(struct qs_pty *p, void *ctx)
{
    (void)ctx;
    return p->stopped;
}

static bool has_ended(struct qs_pty *p, void *ctx)
{
    (void)ctx;
    return p->ended;
}

bool qs_pty_wait_text(struct qs_pty *p, const char *text)
{
    return qs_pty_wait(p, has_text, (void *)(uintptr_t)text, text);
}

bool qs_pty_wait_no_text(struct qs_pty *p, const char *text)
{
    return qs_pty_wait(p, has_no_text, (void *)(uintptr_t)text, text);
}

bool qs_pty_wait_output(struct qs_pty *p, const char *bytes)
{
    return qs_pty_wait(p, has_output, (void *)(uintptr_t)bytes, "bytes");
}

bool qs_pty_wait_idle(struct qs_pty *p)
{
    return qs_pty_wait(p, is_idle, NULL, "idle mark");
}

bool qs_pty_wait_stopped(struct qs_pty *p)
{
    return qs_pty_wait(p, is_stopped, NULL, "stop");
}

bool qs_pty_wait_stuck(struct qs_pty *p)
{
    const long long end = now_ms() + WAIT_MS;
    const char *name = ptsname(p->master);
    struct pollfd f = { .fd = name ? open(name, O_WRONLY | O_NOCTTY | O_CLOEXEC) : -1, .events = POLLOUT };
    bool stuck = false;
    while (f.fd >= 0 && !stuck && now_ms() < end) {
        stuck = poll(&f, 1, 0) == 0;
        sched_yield();
    }
    if (f.fd >= 0)
        close(f.fd);
    return stuck;
}

bool qs_pty_wait_exit_unread(struct qs_pty *p)
{
    struct pollfd f = { .fd = p->news, .events = POLLIN };
    return poll(&f, 1, WAIT_MS) == 1;
}

bool qs_pty_wait_exit(struct qs_pty *p, int *status)
{
    if (!qs_pty_wait(p, has_ended, NULL, "end of the program"))
        return false;
    *status = p->status;
    const long long end = now_ms() + WAIT_MS; /* the shell's end closes the terminal behind the last of the output */
    while (!p->closed && now_ms() < end)
        qs_pty_pump(p, 100);
    return true;
}
