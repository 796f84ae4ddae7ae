/* terminal.c - asks the system about a terminal; changes nothing. The screen's own terminal is ui/term.c. */
#include "src/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

unsigned qs_terminal_width(int fd)
{
    struct winsize ws;
    if (!isatty(fd))
        return 0;
    return ioctl(fd, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0 ? ws.ws_col : 80;
}
