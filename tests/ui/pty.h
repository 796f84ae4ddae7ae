/* pty.h - runs a program on a pseudo-terminal whose screen is libvterm, for tests.
 *
 * The program runs as a job of a small shell of our own in the pseudo-terminal's session, so that it can be stopped and
 * continued, in the foreground, as by a person. Nothing sleeps: every wait ends with what is waited for, or fails at a
 * deadline, and then prints the screen. Bytes that the terminal answers by itself (what it is) are sent as typed keys are.
 *
 * The idle mark: a program that finds the variable QS_IDLE_FD writes "N\n" to that descriptor when it has nothing to do,
 * where N is how many bytes of the terminal it has acted on (qs_term_taken). qs_pty_wait_idle waits until N is what was sent.
 * What the program showed before its mark may still be under way: wait for the text.
 */
#ifndef QS_TESTS_UI_PTY_H
#define QS_TESTS_UI_PTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <termios.h>

struct qs_pty;

struct qs_pty_args {
    const char *const *argv;  /* ended by NULL; argv[0] is a path */
    const char *const *env;   /* "NAME=VALUE", or "NAME" to remove; ended by NULL, may be NULL. Before that: TERM is
                               * xterm-256color, LC_ALL C.UTF-8, and nothing says anything about colours or sizes */
    unsigned rows, cols;
    const char *background;   /* the answer to a question for it: "rgb:ffff/ffff/ffff"; NULL: none is given */
};

enum qs_pty_color_kind { QS_PTY_DEFAULT, QS_PTY_INDEX, QS_PTY_RGB };
struct qs_pty_color { enum qs_pty_color_kind kind; uint32_t value; /* index, or 0xRRGGBB */ };
struct qs_pty_cell {
    char text[32];            /* UTF-8; "" : blank, or the rest of a wide character */
    unsigned width;
    struct qs_pty_color fg, bg;
    bool bold, underline, reverse, italic;
};
struct qs_pty_modes { bool alternate, cursor_hidden, mouse, sgr_mouse, paste, sync; };

/* NULL: it could not be started (said on standard error). */
struct qs_pty *qs_pty_start(const struct qs_pty_args *args);
void qs_pty_end(struct qs_pty *p); /* kills what still runs; NULL allowed */

/* ---- what a person does ---- */
void qs_pty_send(struct qs_pty *p, const char *bytes);
void qs_pty_sendn(struct qs_pty *p, const void *bytes, size_t n);
void qs_pty_paste(struct qs_pty *p, const char *text); /* in brackets where the program asked for them */
/* As the terminal reports it in the modes that the program has set; nothing where it has not asked. Buttons 1 to 3, wheel 4
 * and 5 (press only). */
void qs_pty_mouse(struct qs_pty *p, int row, int col, int button, bool press);
void qs_pty_mouse_move(struct qs_pty *p, int row, int col);
void qs_pty_resize(struct qs_pty *p, unsigned rows, unsigned cols);
void qs_pty_signal(struct qs_pty *p, int sig); /* to the program's process */
void qs_pty_continue(struct qs_pty *p);        /* after qs_pty_wait_stopped: as "fg" */
void qs_pty_hang_up(struct qs_pty *p);         /* the terminal goes away */

/* ---- waiting: false at the deadline (30 s), with the screen on standard error ---- */
typedef bool qs_pty_test(struct qs_pty *p, void *ctx);
bool qs_pty_wait(struct qs_pty *p, qs_pty_test *test, void *ctx, const char *what);
bool qs_pty_wait_text(struct qs_pty *p, const char *text);      /* anywhere on the screen, within a row */
bool qs_pty_wait_no_text(struct qs_pty *p, const char *text);
bool qs_pty_wait_output(struct qs_pty *p, const char *bytes);   /* anywhere in what was written since qs_pty_forget_output */
bool qs_pty_wait_idle(struct qs_pty *p);
bool qs_pty_wait_stopped(struct qs_pty *p);
/* Nobody reads meanwhile what the program writes: until the terminal takes no more; until the program has ended. */
bool qs_pty_wait_stuck(struct qs_pty *p);
bool qs_pty_wait_exit_unread(struct qs_pty *p);
bool qs_pty_wait_exit(struct qs_pty *p, int *status);           /* of waitpid; all output has been taken in then */

/* ---- what there is ---- */
struct qs_pty_cell qs_pty_cell(struct qs_pty *p, int row, int col);
const char *qs_pty_row(struct qs_pty *p, int row);  /* blanks at its end cut; valid until the next call */
int qs_pty_find(struct qs_pty *p, const char *text, int *col); /* its row, -1 */
void qs_pty_cursor(struct qs_pty *p, int *row, int *col);
struct qs_pty_modes qs_pty_modes(const struct qs_pty *p);
void qs_pty_tty(const struct qs_pty *p, struct termios *t);     /* the attributes of its terminal now */
bool qs_pty_tty_equal(const struct termios *a, const struct termios *b);
void qs_pty_tty_set(struct qs_pty *p, const struct termios *t);
pid_t qs_pty_pid(const struct qs_pty *p);
const char *qs_pty_output(const struct qs_pty *p, size_t *n);   /* raw, since the last qs_pty_forget_output */
void qs_pty_forget_output(struct qs_pty *p);
unsigned qs_pty_frames(const struct qs_pty *p);                 /* synchronized updates so far */
void qs_pty_print(struct qs_pty *p);                            /* the screen, to standard error */

#endif
