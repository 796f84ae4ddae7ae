/* pty_internal.h - what the files of the pseudo-terminal (pty*.c) share. */
#ifndef QS_TESTS_UI_PTY_INTERNAL_H
#define QS_TESTS_UI_PTY_INTERNAL_H

#include <vterm.h>

#include "base/str.h"
#include "tests/ui/pty.h"

struct news { char what; int value; }; /* of the shell: 'P' pid, 'S' stopped, 'X' ended with a status */

struct qs_pty {
    VTerm *vt;
    VTermScreen *screen;
    int master, idle, news, orders; /* descriptors */
    pid_t shell, pid;
    unsigned rows, cols, frames;
    const char *background;
    struct qs_pty_modes modes;
    struct qs_str output, line;
    size_t scanned;                 /* of output, for modes */
    unsigned long long sent, acted; /* bytes typed, bytes the program has acted on */
    char idle_text[32];
    size_t idle_len;
    bool closed, stopped, ended;
    int status;
};

/* In the pseudo-terminal's first process: runs the program as its job; never returns. Descriptors: idle for the program, news
 * to us, orders from us. */
_Noreturn void qs_pty_shell(const struct qs_pty_args *args, int idle, int news, int orders);
/* Takes in what there is, waiting at most `ms` for it. False: nothing came. */
bool qs_pty_pump(struct qs_pty *p, int ms);

#endif
