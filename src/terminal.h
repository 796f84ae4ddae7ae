/* terminal.h - what the command line asks of a terminal. */
#ifndef QS_SRC_TERMINAL_H
#define QS_SRC_TERMINAL_H

/* Columns of the terminal behind a descriptor, 80 where it does not say; 0: it is none. */
unsigned qs_terminal_width(int fd);

#endif
