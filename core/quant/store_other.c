/* store_other.c - an unfinished store is of other work: which of the facts it depends on differs, in words. Owns
 * nothing. */
#include "core/quant/store_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

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

/* The first key that differs, with what stands before it in `where`; false: none does. */
static bool difference(const struct qs_json *old, const struct qs_json *now, struct qs_str *where, char a[WORDS],
                       char b[WORDS])
{
    for (int turn = 0; turn < 2; turn++) { /* what is new in `now`, then what only `old` had */
        const struct qs_json *walk = turn ? old : now;
        for (size_t i = 0; i < qs_json_len(walk); i++) {
            const struct qs_json *v;
            const char *key = qs_json_key_at(walk, i, &v);
            const struct qs_json *x = qs_json_get(old, key), *y = qs_json_get(now, key);
            if (equal(x, y))
                continue;
            qs_str_addf(where, "%s%s", where->len ? "." : "", key);
            if (qs_json_type(x) == QS_JSON_OBJECT && qs_json_type(y) == QS_JSON_OBJECT && difference(x, y, where, a, b))
                return true;
            words_of(x, a);
            words_of(y, b);
            return true;
        }
    }
    return false;
}

int qs_store_refuse_other(const char *path, const char *old_text, const char *new_text, struct qs_err *e)
{
    struct qs_json *old = NULL, *now = NULL;
    struct qs_str where = QS_STR_INIT;
    char a[WORDS], b[WORDS];
    const bool told = !qs_json_parse(old_text, strlen(old_text), &old, NULL) &&
                      !qs_json_parse(new_text, strlen(new_text), &now, NULL) && qs_json_type(old) == QS_JSON_OBJECT &&
                      qs_json_type(now) == QS_JSON_OBJECT && difference(old, now, &where, a, b) && !where.failed;
    const int rc =
        told ? qs_fail_advise(e, QS_EEXISTS, QS_ADVISE_DISCARD,
                              "%s: an unfinished calibration of other work left this: its %.100s was %s and is now %s",
                              path, where.data, a, b)
             : qs_fail_advise(e, QS_EEXISTS, QS_ADVISE_DISCARD,
                              "%s: an unfinished calibration by another version of this program left this", path);
    qs_json_free(old);
    qs_json_free(now);
    qs_str_free(&where);
    return rc;
}
