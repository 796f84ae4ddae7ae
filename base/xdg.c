/* xdg.c - the places of the XDG base directory specification, and folders made along the way.
 *
 * Owns the rule where settings, caches, journals and data live. Relative paths in the environment are ignored, as the
 * specification asks. Reads the environment, changes nothing but the file system.
 */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

/* mkdir -p: for this person alone what has to be made. */
static int make_path(const char *path, struct qs_err *e)
{
    const size_t n = strlen(path);
    char *part = qs_strndup(path, n);
    if (!part)
        return qs_fail_mem(e, n, "a path");
    int rc = QS_OK;
    for (size_t i = 1; i <= n && !rc; i++) {
        if (part[i] != '/' && part[i] != 0)
            continue;
        char kept = part[i];
        part[i] = 0;
        struct stat st;
        if (mkdir(part, 0700) != 0) {
            int why = errno;
            /* Read-only and forbidden parents exist all the same: what counts is whether a folder is there. */
            if (stat(part, &st) != 0)
                rc = qs_fail_errno(e, why == EEXIST ? ENOTDIR : why, "cannot make the folder '%s'", part);
            else if (!S_ISDIR(st.st_mode))
                rc = qs_fail(e, QS_EIO, "cannot make the folder '%s': '%s' is a file", path, part);
        }
        part[i] = kept;
    }
    qs_free(part);
    return rc;
}

/* The person's home: HOME when it is absolute, else the password database. Appends to `out`; false: none known. */
static bool home(struct qs_str *out)
{
    const char *env = getenv("HOME");
    if (env && env[0] == '/') {
        qs_str_add(out, env);
        return true;
    }
    char buf[4096];
    struct passwd pw, *found = NULL;
    if (getpwuid_r(getuid(), &pw, buf, sizeof buf, &found) != 0 || !found || !pw.pw_dir || pw.pw_dir[0] != '/')
        return false;
    qs_str_add(out, pw.pw_dir);
    return true;
}

int qs_xdg_path(const char *kind, const char *sub, struct qs_str *out, struct qs_err *e)
{
    static const struct place { const char *kind, *variable, *otherwise; } places[] = {
        { "config", "XDG_CONFIG_HOME", "/.config" },
        { "cache", "XDG_CACHE_HOME", "/.cache" },
        { "state", "XDG_STATE_HOME", "/.local/state" },
        { "data", "XDG_DATA_HOME", "/.local/share" },
    };
    const struct place *place = NULL;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (strcmp(places[i].kind, kind) == 0)
            place = &places[i];
    if (!place)
        return qs_fail(e, QS_EINVAL, "'%s' is no kind of folder", kind);
    qs_str_clear(out);
    const char *env = getenv(place->variable);
    if (env && env[0] == '/')
        qs_str_add(out, env);
    else if (home(out))
        qs_str_add(out, place->otherwise);
    else
        return qs_fail(e, QS_ENOTFOUND, "no home folder is known: set HOME or %s", place->variable);
    qs_str_add(out, "/quantscape");
    if (sub && sub[0]) {
        qs_str_addc(out, '/');
        qs_str_add(out, sub);
    }
    return out->failed ? qs_fail_mem(e, out->len, "a path") : QS_OK;
}

int qs_xdg_dir(const char *kind, const char *sub, struct qs_str *out, struct qs_err *e)
{
    const int rc = qs_xdg_path(kind, sub, out, e);
    return rc ? rc : make_path(out->data, e);
}

int qs_scratch_dir(struct qs_str *out, struct qs_err *e)
{
    if (qs_xdg_dir("cache", "scratch", out, NULL) == QS_OK && access(out->data, W_OK) == 0)
        return QS_OK;
    const char *tmp = getenv("TMPDIR");
    qs_str_clear(out);
    qs_str_add(out, tmp && tmp[0] == '/' ? tmp : "/tmp");
    return out->failed ? qs_fail_mem(e, out->len, "a path") : QS_OK;
}
