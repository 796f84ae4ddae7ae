/* file.c - files: whole reads, atomic writes, locks, free space, paths.
 *
 * Owns the rules of writing: a file appears under its name whole or not at all, and what is there is never lost by a
 * half write. Refuses what is not asked for (overwriting, more than `max` bytes). No shared state but a counter for
 * temporary names; any thread may call.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

#define IO_PIECE ((size_t)1 << 30) /* Linux moves at most 2 GiB per call */

/* --- paths -------------------------------------------------------------------------------------------------------- */

const char *qs_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool qs_path_ends(const char *path, const char *tail)
{
    const size_t n = strlen(path), m = strlen(tail);
    return n >= m && strcmp(path + n - m, tail) == 0;
}

void qs_path_dir(const char *path, struct qs_str *out)
{
    struct qs_str s = QS_STR_INIT;
    size_t n = (size_t)(qs_path_base(path) - path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (n == 0)
        qs_str_add(&s, ".");
    else
        qs_str_addn(&s, path, n);
    qs_str_free(out);
    *out = s;
}

void qs_path_join(const char *dir, const char *name, struct qs_str *out)
{
    struct qs_str s = QS_STR_INIT;
    if (name[0] != '/') {
        qs_str_add(&s, dir);
        if (s.len && s.data[s.len - 1] != '/')
            qs_str_addc(&s, '/');
    }
    qs_str_add(&s, name);
    qs_str_free(out);
    *out = s;
}

/* --- sizes -------------------------------------------------------------------------------------------------------- */

uint64_t qs_file_size_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur;
}

int qs_fail_file_size(struct qs_err *e, const char *path, uint64_t size)
{
    const uint64_t most = qs_file_size_limit();
    char a[32], b[32];
    qs_fmt_bytes(a, sizeof a, size);
    if (most >= size)
        return qs_fail(e, QS_ENOSPACE, "'%s' needs %s: its file system takes no file of that size", path, a);
    return qs_fail(e, QS_ENOSPACE, "'%s' needs %s, and files may have %s at most: raise the limit (ulimit -f)", path, a,
                   qs_fmt_bytes(b, sizeof b, most));
}

/* --- reading and writing at offsets ------------------------------------------------------------------------------- */

int qs_pread_all(int fd, void *buf, size_t n, uint64_t off, const char *path, struct qs_err *e)
{
    uint8_t *p = buf;
    while (n > 0) {
        ssize_t got = off > INT64_MAX ? (errno = EOVERFLOW, -1) : pread(fd, p, n < IO_PIECE ? n : IO_PIECE, (off_t)off);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return qs_fail_errno(e, errno, "cannot read '%s' at offset %" PRIu64, path, off);
        if (got == 0)
            return qs_fail(e, QS_EIO, "'%s' ends at offset %" PRIu64 ", %zu bytes too early", path, off, n);
        p += got;
        n -= (size_t)got;
        off += (uint64_t)got;
    }
    return QS_OK;
}

int qs_pwrite_all(int fd, const void *buf, size_t n, uint64_t off, const char *path, struct qs_err *e)
{
    const uint8_t *p = buf;
    while (n > 0) {
        ssize_t put =
            off > INT64_MAX ? (errno = EOVERFLOW, -1) : pwrite(fd, p, n < IO_PIECE ? n : IO_PIECE, (off_t)off);
        if (put < 0 && errno == EINTR)
            continue;
        if (put == 0)
            errno = EIO;
        if (put <= 0 && errno == EFBIG)
            return qs_fail_file_size(e, path, off + n);
        if (put <= 0)
            return qs_fail_errno(e, errno, "cannot write '%s' at offset %" PRIu64, path, off);
        p += put;
        n -= (size_t)put;
        off += (uint64_t)put;
    }
    return QS_OK;
}

/* Reads to the end; *data grows as bytes come, so that files without a known size (/proc, pipes) work too. */
static int read_rest(int fd, const char *path, size_t max, char **data, size_t *len, struct qs_err *e)
{
    size_t cap = 0, n = 0;
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && (uint64_t)st.st_size <= max)
        cap = (size_t)st.st_size + 1; /* one spare byte: the read that finds the end needs room */
    if (!(*data = qs_malloc(cap + 1)))
        return qs_fail_mem(e, cap + 1, path);
    for (;;) {
        if (n == cap) {
            size_t more = cap < 4096 ? 4096 : cap > SIZE_MAX / 2 - 1 ? SIZE_MAX - 1 : cap * 2;
            char *grown = qs_realloc(*data, more + 1);
            if (!grown)
                return qs_fail_mem(e, more, path);
            *data = grown;
            cap = more;
        }
        size_t room = cap - n;
        ssize_t got = read(fd, *data + n, room < IO_PIECE ? room : IO_PIECE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return qs_fail_errno(e, errno, "cannot read '%s'", path);
        n += (size_t)got;
        if (n > max)
            return qs_fail(e, QS_ELIMIT, "'%s' has more than %zu bytes, the most this kind of file may have", path,
                           max);
        if (got == 0)
            break;
    }
    (*data)[n] = 0;
    *len = n;
    return QS_OK;
}

static int check_regular(int fd, const char *path, struct qs_err *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return qs_fail_errno(e, errno, "cannot examine '%s'", path);
    if (S_ISDIR(st.st_mode))
        return qs_fail(e, QS_EINVAL, "'%s' is a folder", path);
    return S_ISREG(st.st_mode) ? QS_OK : qs_fail(e, QS_EINVAL, "'%s' is not a regular file", path);
}

static int read_file(const char *path, bool any, size_t max, char **data, size_t *len, struct qs_err *e)
{
    *data = NULL;
    *len = 0;
    /* O_NONBLOCK: a pipe is refused, not waited for */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | (any ? 0 : O_NONBLOCK));
    if (fd < 0)
        return qs_fail_errno(e, errno, "cannot open '%s'", path);
    int rc = any ? QS_OK : check_regular(fd, path, e);
    if (!rc)
        rc = read_rest(fd, path, max, data, len, e);
    close(fd);
    if (rc) {
        qs_free(*data);
        *data = NULL;
    }
    return rc;
}

int qs_file_read(const char *path, size_t max, char **data, size_t *len, struct qs_err *e)
{
    return read_file(path, false, max, data, len, e);
}

int qs_file_read_any(const char *path, size_t max, char **data, size_t *len, struct qs_err *e)
{
    return read_file(path, true, max, data, len, e);
}

/* --- names: rename, remove, stat ---------------------------------------------------------------------------------- */

int qs_file_stat(const char *path, struct qs_file_stat *out, struct qs_err *e)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return qs_fail_errno(e, errno, "cannot examine '%s'", path);
    *out = (struct qs_file_stat){
        .size = (uint64_t)st.st_size,
        .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
        .dev = (uint64_t)st.st_dev,
        .ino = (uint64_t)st.st_ino,
        .is_dir = S_ISDIR(st.st_mode),
        .is_regular = S_ISREG(st.st_mode),
    };
    return QS_OK;
}

bool qs_file_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* Makes a change of names in the folder of `path` last through a power cut. */
static int sync_folder(const char *path, struct qs_err *e)
{
    struct qs_str dir = QS_STR_INIT;
    qs_path_dir(path, &dir);
    if (dir.failed) {
        qs_str_free(&dir);
        return qs_fail_mem(e, strlen(path), "a path");
    }
    int rc = QS_OK, fd = open(dir.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* A folder that may be written but not read, or a file system that cannot do it, is no failure of the write. */
    if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL && errno != EROFS && errno != EBADF && errno != ENOTSUP)
        rc = qs_fail_errno(e, errno, "cannot make the folder '%s' safe on disk", dir.data);
    if (fd >= 0)
        close(fd);
    qs_str_free(&dir);
    return rc;
}

/* rename that fails with EEXIST; 0 or an errno value. */
static int rename_new(const char *from, const char *to)
{
#ifdef RENAME_NOREPLACE
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)
        return errno;
#endif
    if (link(from, to) == 0)
        return unlink(from) == 0 ? 0 : errno;
    if (errno == EEXIST || errno == ENOENT || errno == ENOSPC || errno == EDQUOT || errno == EROFS)
        return errno;
    /* File systems without hard links (FAT, some network shares): the name is claimed by an empty file first, which
     * the rename then replaces, so two writers still cannot both win. */
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return errno;
    close(fd);
    if (rename(from, to) == 0)
        return 0;
    int why = errno;
    (void)unlink(to);
    return why;
}

static int rename_checked(const char *from, const char *to, bool overwrite, struct qs_err *e)
{
    int why = overwrite ? (rename(from, to) == 0 ? 0 : errno) : rename_new(from, to);
    if (why == EEXIST && !overwrite)
        return qs_fail_advise(e, QS_EEXISTS, QS_ADVISE_OVERWRITE, "'%s' exists already", to);
    if (why)
        return qs_fail_errno(e, why, "cannot give a file the name '%s'", to);
    return sync_folder(to, e);
}

int qs_file_rename(const char *from, const char *to, bool overwrite, struct qs_err *e)
{
    return rename_checked(from, to, overwrite, e);
}

/* --- places for output -------------------------------------------------------------------------------------------- */

static int check_folder(const char *path, const char *name, enum qs_advice other, struct qs_err *e)
{
    struct qs_str dir = QS_STR_INIT;
    struct stat st;
    int rc = QS_OK;
    qs_path_dir(path, &dir);
    if (dir.failed)
        rc = qs_fail_mem(e, strlen(path), "a path");
    else if (stat(dir.data, &st) != 0 && errno == ENOENT)
        rc =
            qs_fail_advise(e, QS_ENOTFOUND, other, "cannot write '%s': the folder '%s' does not exist", name, dir.data);
    else if (stat(dir.data, &st) == 0 && !S_ISDIR(st.st_mode))
        rc = qs_fail_advise(e, QS_EINVAL, other, "cannot write '%s': '%s' is no folder", name, dir.data);
    else if (faccessat(AT_FDCWD, dir.data, W_OK | X_OK, AT_EACCESS) != 0) {
        rc = qs_fail_errno(e, errno, "cannot write '%s': no file can be made in the folder '%s'", name, dir.data);
        if (e)
            e->advice = other;
    }
    qs_str_free(&dir);
    return rc;
}

/* `other`: the advice where another name would help, or none. `target`: what `path` is behind links. */
static int check_place(const char *path, const char *target, bool overwrite, enum qs_advice other, struct qs_err *e)
{
    struct stat st;
    const bool there = stat(path, &st) == 0;
    if (there && S_ISDIR(st.st_mode))
        return qs_fail_advise(e, QS_EINVAL, other, "'%s' is a folder", path);
    if (there && !S_ISREG(st.st_mode))
        return qs_fail_advise(e, QS_EINVAL, other, "'%s' is not a regular file", path);
    if (!overwrite && qs_file_exists(path))
        return qs_fail_advise(e, QS_EEXISTS, other ? QS_ADVISE_OVERWRITE_OR_OTHER : QS_ADVISE_OVERWRITE,
                              "'%s' exists already", path);
    return check_folder(target, path, other, e);
}

int qs_file_check_output(const char *path, bool overwrite, struct qs_err *e)
{
    return check_place(path, path, overwrite, QS_ADVISE_OTHER_OUTPUT, e);
}

int qs_file_refuse_inputs(const char *path, const struct qs_file_input *in, size_t n, struct qs_err *e)
{
    struct stat out, read;
    if (stat(path, &out) != 0)
        return QS_OK;
    for (size_t i = 0; i < n; i++)
        if (in[i].path && stat(in[i].path, &read) == 0 && read.st_dev == out.st_dev && read.st_ino == out.st_ino)
            return qs_fail_advise(e, QS_EINVAL, QS_ADVISE_OTHER_OUTPUT, "%s is %s that is read", path, in[i].what);
    return QS_OK;
}

/* --- atomic write ------------------------------------------------------------------------------------------------- */

/* Creates a file PATH.tmp.XXXXXX that did not exist. Not mkstemp: that fixes the mode at 0600, while a file a person
 * asked for follows the umask. */
static int create_beside(const char *path, struct qs_str *tmp, int *fd, struct qs_err *e)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    static _Atomic uint64_t turn;
    for (int attempt = 0; attempt < 100; attempt++) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        uint64_t x = (uint64_t)now.tv_nsec ^ ((uint64_t)now.tv_sec << 20) ^ ((uint64_t)getpid() << 40);
        x = (x + atomic_fetch_add(&turn, 1)) * 0x9E3779B97F4A7C15u;
        x ^= x >> 31;
        qs_str_clear(tmp);
        qs_str_addf(tmp, "%s.tmp.", path);
        for (int i = 0; i < 6; i++, x /= 36)
            qs_str_addc(tmp, letters[x % 36]);
        if (tmp->failed)
            return qs_fail_mem(e, strlen(path), "a path");
        *fd = open(tmp->data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (*fd >= 0)
            return QS_OK;
        if (errno != EEXIST)
            return qs_fail_errno(e, errno, "cannot write '%s'", path);
    }
    return qs_fail(e, QS_EIO, "cannot find a free temporary name beside '%s'", path);
}

/* Messages name the target: the temporary name means nothing to anybody. */
static int write_and_close(int fd, qs_file_pieces_fn *write, void *ctx, const char *target, struct qs_err *e)
{
    struct stat old;
    int rc = write(ctx, fd, target, e);
    if (!rc && stat(target, &old) == 0)
        (void)fchmod(fd, old.st_mode & 07777); /* the permissions of the file it replaces; best effort */
    if (!rc && fsync(fd) != 0)
        rc = qs_fail_errno(e, errno, "cannot make '%s' safe on disk", target);
    if (close(fd) != 0 && !rc && errno != EINTR)
        rc = qs_fail_errno(e, errno, "cannot close '%s'", target);
    return rc;
}

int qs_file_write_pieces(const char *path, qs_file_pieces_fn *write, void *ctx, bool overwrite, struct qs_err *e)
{
    char resolved[PATH_MAX];
    const char *target = path;
    struct stat st;
    /* A link (people keep their settings in another folder) stays a link: the file it names is replaced. */
    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && realpath(path, resolved))
        target = resolved;
    int rc = check_place(path, target, overwrite, QS_ADVISE_NONE, e), fd = -1;
    if (rc)
        return rc;
    struct qs_str tmp = QS_STR_INIT;
    rc = create_beside(target, &tmp, &fd, e);
    if (!rc) {
        rc = write_and_close(fd, write, ctx, target, e);
        bool written = !rc;
        if (written)
            rc = rename_checked(tmp.data, target, overwrite, e);
        if (rc)
            (void)unlink(tmp.data);
    }
    qs_str_free(&tmp);
    return rc;
}

struct one_piece { const void *data; size_t len; };

static int write_one(void *ctx, int fd, const char *path, struct qs_err *e)
{
    const struct one_piece *p = ctx;
    return qs_pwrite_all(fd, p->data, p->len, 0, path, e);
}

int qs_file_write_atomic(const char *path, const void *data, size_t len, bool overwrite, struct qs_err *e)
{
    struct one_piece p = { data, len };
    return qs_file_write_pieces(path, write_one, &p, overwrite, e);
}

/* --- lock and free space ------------------------------------------------------------------------------------------ */

int qs_file_lock(int fd, const char *path, struct qs_err *e)
{
    int got = -1;
#ifdef F_OFD_SETLK
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    do
        got = fcntl(fd, F_OFD_SETLK, &lock);
    while (got != 0 && errno == EINTR);
    /* Only where the file system or kernel knows no such locks is another kind tried: two kinds do not see each
     * other, so both processes have to take the same turn here. */
    if (got != 0 && errno != EINVAL && errno != ENOSYS && errno != ENOLCK && errno != ENOTSUP)
        goto done;
#endif
    if (got != 0)
        do
            got = flock(fd, LOCK_EX | LOCK_NB);
        while (got != 0 && errno == EINTR);
#ifdef F_OFD_SETLK
done:
#endif
    if (got == 0)
        return QS_OK;
    if (errno == EAGAIN || errno == EACCES || errno == EWOULDBLOCK)
        return qs_fail(e, QS_EBUSY, "'%s' is in use by another process", path);
    return qs_fail_errno(e, errno, "cannot lock '%s'", path);
}

int qs_file_open_locked(const char *path, const char *what, int *fd_out, uint64_t *size, struct qs_err *e)
{
    for (int tries = 0; tries < 100; tries++) { /* a finished run removes or renames what it locked */
        const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
        if (fd < 0 && errno == ELOOP)
            return qs_fail_advise(e, QS_EEXISTS, QS_ADVISE_OTHER_OUTPUT,
                                  "%s is a symbolic link, which no %s of ours is and nothing is written through", path, what);
        if (fd < 0)
            return qs_fail_errno(e, errno, "cannot open the %s %s", what, path);
        const int rc = qs_file_lock(fd, path, e);
        if (rc) {
            close(fd);
            return rc;
        }
        struct stat by_fd, by_path;
        if (!fstat(fd, &by_fd) && !lstat(path, &by_path) && by_fd.st_ino == by_path.st_ino && by_fd.st_dev == by_path.st_dev) {
            if (!S_ISREG(by_fd.st_mode)) {
                close(fd);
                return qs_fail_advise(e, QS_EEXISTS, QS_ADVISE_OTHER_OUTPUT, "%s is no regular file, which every %s of ours is",
                                      path, what);
            }
            *fd_out = fd;
            *size = (uint64_t)by_fd.st_size;
            return QS_OK;
        }
        close(fd);
    }
    return qs_fail(e, QS_EBUSY, "%s: keeps being replaced by another process", path);
}

int qs_file_free_space(const char *path_in_fs, uint64_t *bytes, struct qs_err *e)
{
    struct qs_str p = QS_STR_INIT;
    struct statvfs v;
    qs_str_add(&p, path_in_fs);
    int why = 0;
    /* The file that space is wanted for may not exist yet, nor its folder: the nearest folder that does is asked. */
    while (!p.failed && statvfs(p.data, &v) != 0 && (why = errno) == ENOENT && strcmp(p.data, ".") != 0 &&
           strcmp(p.data, "/") != 0) {
        while (p.len > 1 && p.data[p.len - 1] == '/')
            p.data[--p.len] = 0;
        qs_path_dir(p.data, &p);
        why = 0;
    }
    bool failed = p.failed;
    qs_str_free(&p);
    if (failed)
        return qs_fail_mem(e, strlen(path_in_fs), "a path");
    if (why)
        return qs_fail_errno(e, why, "cannot ask for the free space of '%s'", path_in_fs);
    uint64_t unit = v.f_frsize ? v.f_frsize : v.f_bsize, total;
    if (!qs_mul_u64((uint64_t)v.f_bavail, unit, &total))
        total = UINT64_MAX;
    *bytes = total;
    return QS_OK;
}
