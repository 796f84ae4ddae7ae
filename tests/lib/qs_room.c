/* qs_room.c - see qs_room.h. Owns a descriptor of the last scratch file. */
#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tests/lib/qs_room.h"
#include "tests/lib/qs_test.h"

int qs_test_room_error;
uint64_t qs_test_room_free;
static int last = -1;

int posix_fallocate(int fd, off_t at, off_t n)
{
    if (last >= 0)
        close(last);
    last = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (qs_test_room_error)
        return qs_test_room_error;
    return fallocate(fd, 0, at, n) ? errno : 0;
}

int statvfs(const char *restrict path, struct statvfs *restrict out)
{
    const int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -1;
    const int rc = fstatvfs(fd, out);
    if (rc == 0 && qs_test_room_free)
        out->f_bavail = qs_test_room_free / out->f_frsize;
    close(fd);
    return rc;
}

void qs_test_room_cut(uint64_t bytes)
{
    assert_true(last >= 0);
    assert_int_equal(ftruncate(last, (off_t)bytes), 0);
}
