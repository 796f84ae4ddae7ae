/* library_recent.c - the models that were opened last: a small file of ours.
 *
 * One line each, newest first: seconds since 1970, a blank, the absolute path; a backslash and a line end in a path are
 * written \\ and \n. Lines that are not of this form are passed over. The file is replaced as a whole, never edited in
 * place. Who changes it holds the lock on a file beside it, so that nothing of two who change it at once is lost; a lock
 * that is not to be had in a moment is not waited for, as the list is not worth it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/library_internal.h"

#define MAX_FILE (1u << 20)
#define LOCK_TRIES 50
#define LOCK_NAP_NS 2000000 /* between them */

static int recent_file(struct qs_str *out, struct qs_err *e)
{
    const int rc = qs_xdg_dir("state", NULL, out, e);
    if (rc)
        return rc;
    qs_path_join(out->data, "recent", out);
    return out->failed ? qs_fail_mem(e, 64, "a path") : QS_OK;
}

void qs_library_free_recent(struct qs_library_recent *r)
{
    for (size_t i = 0; i < r->n; i++)
        qs_free(r->item[i].path);
    qs_free(r->item);
    *r = (struct qs_library_recent){ .n = 0 };
}

/* Takes `path` over. */
static int append(struct qs_library_recent *r, char *path, int64_t opened, struct qs_err *e)
{
    if (!path || !qs_grow(&r->item, &r->cap, r->n + 1, sizeof *r->item)) {
        qs_free(path);
        return qs_fail_mem(e, sizeof *r->item, "the recent list");
    }
    r->item[r->n++] = (struct qs_library_past){ path, opened };
    return QS_OK;
}

static int read_line(struct qs_library_recent *r, const char *line, size_t n, struct qs_err *e)
{
    struct qs_str path = QS_STR_INIT;
    char *end = NULL;
    errno = 0;
    const long long opened = n > 0 && line[0] >= '0' && line[0] <= '9' ? strtoll(line, &end, 10) : -1;
    const char *p = end, *stop = line + n;
    if (opened < 0 || errno || stop - p < 2 || p[0] != ' ' || p[1] != '/' || memchr(line, 0, n))
        return QS_OK;
    for (p++; p < stop; p++) {
        const bool escaped = *p == '\\' && p + 1 < stop;
        if (escaped)
            p++;
        qs_str_addc(&path, escaped && *p == 'n' ? '\n' : *p);
    }
    return append(r, qs_str_take(&path), opened, e);
}

int qs_library_load_recent(struct qs_library_recent *out, struct qs_err *e)
{
    struct qs_str path = QS_STR_INIT;
    struct qs_err why = QS_ERR_INIT;
    char *text = NULL;
    size_t len = 0;
    *out = (struct qs_library_recent){ .n = 0 };
    int rc = recent_file(&path, &why);
    if (!rc)
        rc = qs_file_read(path.data, MAX_FILE, &text, &len, &why);
    qs_str_free(&path);
    if (rc == QS_ENOTFOUND || rc == QS_ELIMIT) /* none yet, or nothing that we wrote */
        return QS_OK;
    if (rc)
        return qs_fail(e, (enum qs_code)rc, "%s", why.msg);
    for (size_t at = 0; at < len && out->n < QS_LIBRARY_MAX_RECENT && !rc;) {
        const char *end = memchr(text + at, '\n', len - at);
        const size_t n = end ? (size_t)(end - text) - at : len - at;
        rc = read_line(out, text + at, n, e);
        at += n + 1;
    }
    qs_free(text);
    return rc;
}

static int save(const struct qs_library_recent *r, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT, path = QS_STR_INIT;
    int rc = recent_file(&path, e);
    for (size_t i = 0; i < r->n && i < QS_LIBRARY_MAX_RECENT; i++) {
        qs_str_addf(&text, "%" PRId64 " ", r->item[i].opened);
        for (const char *p = r->item[i].path; *p; p++) {
            if (*p == '\\' || *p == '\n')
                qs_str_addc(&text, '\\');
            qs_str_addc(&text, *p == '\n' ? 'n' : *p);
        }
        qs_str_addc(&text, '\n');
    }
    if (!rc && text.failed)
        rc = qs_fail_mem(e, text.len, "the recent list");
    if (!rc)
        rc = qs_file_write_atomic(path.data, text.data, text.len, true, e);
    qs_str_free(&text);
    qs_str_free(&path);
    return rc;
}

/* The folder without links and dots where it exists; the last name as it is, so that the parts of a split file are
 * found beside a link. */
static int absolute(const char *path, char **out, struct qs_err *e)
{
    struct qs_str s = QS_STR_INIT;
    char real[PATH_MAX];
    *out = NULL;
    if (!path[0])
        return qs_fail(e, QS_EINVAL, "a model needs a name");
    qs_path_dir(path, &s);
    if (!s.failed && realpath(s.data, real))
        qs_path_join(real, qs_path_base(path), &s);
    else if (!s.failed && path[0] != '/' && getcwd(real, sizeof real))
        qs_path_join(real, path, &s);
    else {
        qs_str_clear(&s);
        qs_str_add(&s, path);
    }
    *out = qs_str_take(&s);
    return *out ? QS_OK : qs_fail_mem(e, strlen(path), "a path");
}

/* The lock's descriptor, -1: without. */
static int take_lock(void)
{
    struct qs_str path = QS_STR_INIT;
    int fd = -1, rc = recent_file(&path, NULL);
    qs_str_add(&path, ".lock");
    if (!rc && !path.failed)
        fd = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (int i = 0; fd >= 0 && i < LOCK_TRIES && (rc = qs_file_lock(fd, path.data, NULL)) == QS_EBUSY; i++)
        nanosleep(&(struct timespec){ .tv_nsec = LOCK_NAP_NS }, NULL);
    qs_str_free(&path);
    return fd;
}

/* Takes the path out, and puts it on top when `opened` is a time. */
static int change(const char *path, int64_t opened, struct qs_err *e)
{
    struct qs_library_recent old = { .n = 0 }, now = { .n = 0 };
    char *full = NULL;
    int rc = absolute(path, &full, e), lock = -1;
    if (!rc) {
        lock = take_lock();
        rc = qs_library_load_recent(&old, e);
    }
    if (!rc && opened >= 0)
        rc = append(&now, qs_strdup(full), opened, e);
    for (size_t i = 0; i < old.n && !rc; i++)
        if (strcmp(old.item[i].path, full) != 0)
            rc = append(&now, qs_strdup(old.item[i].path), old.item[i].opened, e);
    if (!rc && (opened >= 0 || now.n != old.n))
        rc = save(&now, e);
    if (lock >= 0)
        close(lock);
    qs_library_free_recent(&old);
    qs_library_free_recent(&now);
    qs_free(full);
    return rc;
}

int qs_library_remember(const char *path, struct qs_err *e)
{
    const time_t now = time(NULL);
    return change(path, now > 0 ? now : 0, e);
}

int qs_library_forget(const char *path, struct qs_err *e)
{
    return change(path, -1, e);
}
