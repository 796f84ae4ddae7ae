/* store_other.c - a store is of other work: which of the facts it depends on differs, in words; told before any work.
 * Owns nothing. */
#include "core/quant/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

#define WORDS 80 /* of a value in a message */

static void words_of(const struct qs_json *v, char out[WORDS])
{
    struct qs_str s = QS_STR_INIT;
    if (v)
        qs_json_print(v, false, &s);
    const bool cut = s.len >= WORDS;
    snprintf(out, WORDS, "%.*s%s", (int)(cut ? WORDS - 4 : s.len), s.data, cut ? "..." : "");
    if (!v)
        snprintf(out, WORDS, "nothing");
    qs_str_free(&s);
}

static bool equal(const struct qs_json *a, const struct qs_json *b)
{
    struct qs_str x = QS_STR_INIT, y = QS_STR_INIT;
    const bool same = a && b && qs_json_print(a, false, &x) && qs_json_print(b, false, &y) && !strcmp(x.data, y.data);
    qs_str_free(&x);
    qs_str_free(&y);
    return same || (!a && !b);
}

/* The first key that differs, with what stands before it in `where`; false: none does. except: a key passed over. */
static bool difference(const struct qs_json *old, const struct qs_json *now, const char *except, struct qs_str *where,
                       char a[WORDS], char b[WORDS])
{
    for (int turn = 0; turn < 2; turn++) { /* what is new in `now`, then what only `old` had */
        const struct qs_json *walk = turn ? old : now;
        for (size_t i = 0; i < qs_json_len(walk); i++) {
            const struct qs_json *v;
            const char *key = qs_json_key_at(walk, i, &v);
            const struct qs_json *x = qs_json_get(old, key), *y = qs_json_get(now, key);
            if (equal(x, y) || (except && !strcmp(key, except)))
                continue;
            qs_str_addf(where, "%s%s", where->len ? "." : "", key);
            if (qs_json_type(x) == QS_JSON_OBJECT && qs_json_type(y) == QS_JSON_OBJECT && difference(x, y, NULL, where, a, b))
                return true;
            words_of(x, a);
            words_of(y, b);
            return true;
        }
    }
    return false;
}

/* The two texts as objects; false: they are not, or differ in nothing but `except`. */
static bool told_apart(const char *old_text, const char *new_text, const char *except, struct qs_str *where, char a[WORDS],
                       char b[WORDS])
{
    struct qs_json *old = NULL, *now = NULL;
    const bool told = !qs_json_parse(old_text, strlen(old_text), &old, NULL) &&
                      !qs_json_parse(new_text, strlen(new_text), &now, NULL) && qs_json_type(old) == QS_JSON_OBJECT &&
                      qs_json_type(now) == QS_JSON_OBJECT && difference(old, now, except, where, a, b) && !where->failed;
    qs_json_free(old);
    qs_json_free(now);
    return told;
}

static int refuse(const char *path, const char *where, const char *a, const char *b, struct qs_err *e)
{
    return qs_fail_advise(e, QS_EEXISTS, QS_ADVISE_DISCARD,
                          "%s: an unfinished calibration of other work left this: its %.100s was %s and is now %s", path,
                          where, a, b);
}

int qs_store_refuse_other(const char *path, const char *old_text, const char *new_text, struct qs_err *e)
{
    struct qs_str where = QS_STR_INIT;
    char a[WORDS], b[WORDS];
    const int rc =
        told_apart(old_text, new_text, NULL, &where, a, b)
            ? refuse(path, where.data, a, b, e)
            : qs_fail_advise(e, QS_EEXISTS, QS_ADVISE_DISCARD,
                             "%s: an unfinished calibration by another version of this program left this", path);
    qs_str_free(&where);
    return rc;
}

void qs_store_forget(const char *path)
{
    struct qs_str part = QS_STR_INIT;
    char begin[8];
    uint64_t size;
    int fd = -1;
    qs_str_addf(&part, "%s.part", path);
    if (!part.failed && qs_file_exists(part.data) &&
        !qs_file_open_locked(part.data, "unfinished calibration", &fd, &size, NULL)) {
        if (size >= sizeof begin && !qs_pread_all(fd, begin, sizeof begin, 0, part.data, NULL) &&
            !memcmp(begin, "QSCALIB1", sizeof begin))
            (void)unlink(part.data); /* while it is locked */
        close(fd);
    }
    qs_str_free(&part);
}

/* ---- before any work ---- */

/* The facts of a file; QS_OK with NULL: there is none, or no more than a beginning of one. */
static int facts_of(const char *path, uint64_t most, char **facts, struct qs_err *e)
{
    struct qs_key key;
    struct qs_file_stat st;
    char magic[8] = "";
    *facts = NULL;
    const int fd = qs_file_exists(path) ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0)
        return qs_file_exists(path) ? qs_fail_errno(e, errno, "cannot open %s", path) : QS_OK;
    int rc = qs_file_stat(path, &st, e);
    const size_t n = !rc && st.size < sizeof magic ? (size_t)st.size : sizeof magic;
    if (!rc && st.is_regular && !qs_pread_all(fd, magic, n, 0, path, NULL) && st.size < most &&
        !memcmp(magic, "QSCALIB1", n)) {
        close(fd);
        return QS_OK;
    }
    if (!rc)
        rc = st.is_regular ? qs_store_read_head(fd, st.size, path, &key, facts, e) : QS_EFORMAT;
    close(fd);
    return rc == QS_EFORMAT || rc == QS_EUNSUPPORTED
               ? qs_fail_advise(e, QS_EEXISTS, QS_ADVISE_DISCARD,
                                "%s is no unfinished calibration of ours, or a damaged one", path)
               : rc;
}

static int check_part(const char *path, const char *now, const char *unknown, struct qs_err *e)
{
    struct qs_str part = QS_STR_INIT, where = QS_STR_INIT;
    char a[WORDS], b[WORDS], *was = NULL;
    qs_str_addf(&part, "%s.part", path);
    int rc = part.failed ? qs_fail_mem(e, part.len, "a file name")
                         : facts_of(part.data, qs_store_aligned(QS_STORE_HEAD + strlen(now)), &was, e);
    if (!rc && was && told_apart(was, now, unknown, &where, a, b))
        rc = refuse(part.data, where.data, a, b, e);
    else if (!rc && was && !unknown && strcmp(was, now))
        rc = qs_store_refuse_other(part.data, was, now, e);
    qs_free(was);
    qs_str_free(&where);
    qs_str_free(&part);
    return rc;
}

int qs_store_check_place(const char *path, const char *facts_json, const char *unknown, bool overwrite, struct qs_err *e)
{
    struct qs_store *s = NULL;
    struct qs_str where = QS_STR_INIT;
    char a[WORDS], b[WORDS];
    bool same = false;
    if (!overwrite && qs_file_exists(path) && !qs_store_open(path, &s, NULL))
        same = unknown ? !told_apart(qs_store_facts(s), facts_json, unknown, &where, a, b)
                       : !strcmp(qs_store_facts(s), facts_json);
    qs_store_unref(s);
    qs_str_free(&where);
    if (same)
        return QS_OK;
    const int rc = qs_file_check_output(path, overwrite, e);
    return rc ? rc : check_part(path, facts_json, unknown, e);
}
