/* pty_shell.c - the process between the test and the program: a shell with one job. See pty.h. Runs after fork: uses nothing
 * of the test but its arguments. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/ui/pty_internal.h"

static void tell(int fd, char what, int value)
{
    const struct news n = { what, value };
    if (write(fd, &n, sizeof n) != (ssize_t)sizeof n)
        _exit(99);
}

static void set_environment(const char *const *env)
{
    static const char *const usual[] = { "COLORTERM", "NO_COLOR", "COLORFGBG", "LINES", "COLUMNS", "TERMINFO", "TMUX",
                                         "TERM=xterm-256color", "LC_ALL=C.UTF-8", NULL };
    const char *const *lists[] = { usual, env };
    for (int l = 0; l < 2; l++)
        for (const char *const *v = lists[l]; v && *v; v++) {
            char name[64];
            const char *eq = strchr(*v, '=');
            (void)snprintf(name, sizeof name, "%.*s", eq ? (int)(eq - *v) : 63, *v);
            if (eq)
                setenv(name, eq + 1, 1);
            else
                unsetenv(name);
        }
}

static _Noreturn void run_program(const struct qs_pty_args *args, int idle)
{
    char number[16];
    static const int usual[] = { SIGTTOU, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGTERM, SIGPIPE };
    setpgid(0, 0);
    tcsetpgrp(STDIN_FILENO, getpgrp());
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        signal(usual[i], SIG_DFL);
    (void)snprintf(number, sizeof number, "%d", idle);
    setenv("QS_IDLE_FD", number, 1);
    set_environment(args->env);
    execv(args->argv[0], (char *const *)(uintptr_t)args->argv);
    _exit(127);
}

/* Job control as of an interactive shell: the program has the terminal while it runs, we have it while it is stopped. */
_Noreturn void qs_pty_shell(const struct qs_pty_args *args, int idle, int news, int orders)
{
    static const int ignored[] = { SIGTTOU, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGPIPE };
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    const pid_t pid = fork();
    if (pid == 0)
        run_program(args, idle);
    close(idle);
    setpgid(pid, pid);
    tcsetpgrp(STDIN_FILENO, pid);
    tell(news, 'P', (int)pid);
    for (;;) {
        int status;
        char order;
        if (waitpid(pid, &status, WUNTRACED) != pid)
            _exit(98);
        if (!WIFSTOPPED(status)) {
            tell(news, 'X', status);
            _exit(0);
        }
        tcsetpgrp(STDIN_FILENO, getpgrp());
        tell(news, 'S', 0);
        if (read(orders, &order, 1) != 1) {
            kill(-pid, SIGKILL);
        } else {
            tcsetpgrp(STDIN_FILENO, pid);
            kill(-pid, SIGCONT);
        }
    }
}
