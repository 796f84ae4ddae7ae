/* methods.c - the methods of strings, lists, tuples and dictionaries.
 *
 * Owns the tables by kind. What would change a list or a dictionary is in them without a function: such a template
 * fails in the sandbox of `transformers` too, and here it says which method it was.
 */
#include <string.h>

#include "base/unicode.h"
#include "core/text/jinja/internal.h"

/* --- strings ------------------------------------------------------------------------------------------------------ */

static const struct jstr *text(struct jrun *r, const struct jvalue *v)
{
    static const struct jstr empty = { "", 0, 0 };
    if (v && v->kind == J_STR)
        return v->s;
    if (v)
        jfail(r, QS_EFORMAT, "a string is needed, not %s", jtype_name(*v));
    return &empty;
}

static struct jvalue stripped(struct jrun *r, struct jvalue self, const struct jargs *a, bool left, bool right)
{
    const char *p = self.s->p;
    size_t n = self.s->n;
    const struct jstr *chars = jgiven(a->slot[0]) ? text(r, a->slot[0]) : NULL;
    if (!jwork(r, n))
        return jnone();
    jtext_strip(r, &p, &n, chars, left, right);
    return jstr_share(r, p, n);
}

J_CALL(s_strip, stripped(r, self, a, true, true))
J_CALL(s_lstrip, stripped(r, self, a, true, false))
J_CALL(s_rstrip, stripped(r, self, a, false, true))

/* The next run of what is no white space from *i on; false: there is none. */
static bool word_at(const struct jstr *s, size_t *i, size_t *end)
{
    size_t k = *i;
    while (k < s->n && jtext_space(qs_utf8_next(s->p, s->n, &k)))
        *i = k;
    *end = *i;
    for (k = *i; k < s->n && !jtext_space(qs_utf8_next(s->p, s->n, &k));)
        *end = k;
    return *i < s->n;
}

static struct jvalue split_words(struct jrun *r, const struct jstr *s, int64_t most)
{
    struct jlist *l = jlist_new(r);
    size_t end;
    for (size_t i = 0; !r->rc && word_at(s, &i, &end); i = end) {
        if (most >= 0 && (int64_t)l->n == most)
            end = s->n; /* all that is left, blanks too */
        jlist_push(r, l, jstr_share(r, s->p + i, end - i));
    }
    return jlist_value(J_LIST, l);
}

static struct jvalue s_split(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jstr *s = self.s, *by = jgiven(a->slot[0]) ? text(r, a->slot[0]) : NULL;
    int64_t most = jwhole(r, a->slot[1], -1);
    struct jlist *l = jlist_new(r);
    size_t i = 0;
    if (!by)
        return split_words(r, s, most);
    if (by->n == 0)
        jfail(r, QS_EFORMAT, "split needs a separator that is not empty");
    while (!r->rc && jwork(r, 0) && (most < 0 || (int64_t)l->n < most)) {
        size_t at = jtext_find(s->p + i, s->n - i, by->p, by->n);
        if (at > s->n - i)
            break;
        jlist_push(r, l, jstr_share(r, s->p + i, at));
        i += at + by->n;
    }
    jlist_push(r, l, jstr_share(r, s->p + i, s->n - i));
    return jlist_value(J_LIST, l);
}

/* The last place of `what` in the first n bytes; n + 1: none. Every place that begins alike is work. */
static size_t rfind(struct jrun *r, const char *p, size_t n, const struct jstr *what)
{
    for (size_t i = n >= what->n ? n - what->n + 1 : 0; i-- > 0;)
        if (what->n == 0 || (p[i] == *what->p && jwork(r, what->n) && memcmp(p + i, what->p, what->n) == 0))
            return i;
    return n + 1;
}

static struct jvalue reversed_list(struct jrun *r, const struct jlist *from)
{
    struct jlist *l = jlist_new(r);
    for (size_t i = from->n; i-- > 0 && !r->rc;)
        jlist_push(r, l, from->at[i]);
    return jlist_value(J_LIST, l);
}

static struct jvalue s_rsplit(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jstr *s = self.s, *by = jgiven(a->slot[0]) ? text(r, a->slot[0]) : NULL;
    int64_t most = jwhole(r, a->slot[1], -1);
    struct jlist *l = jlist_new(r);
    const char *p = s->p;
    size_t n = s->n;
    if (by && by->n == 0)
        jfail(r, QS_EFORMAT, "rsplit needs a separator that is not empty");
    if (most < 0 && !by)
        return split_words(r, s, -1);
    if (!by)
        jtext_strip(NULL, &p, &n, NULL, false, true);
    while (!r->rc && jwork(r, n / 8) && (most < 0 || (int64_t)l->n < most)) {
        size_t at = by ? rfind(r, p, n, by) : n, skip = by ? by->n : 0;
        for (size_t k = n; !by && k > 0; k = at) { /* the last white space */
            do
                k--;
            while (k > 0 && ((unsigned char)p[k] & 0xC0) == 0x80);
            size_t next = k;
            at = k;
            if (jtext_space(qs_utf8_next(p, n, &next))) {
                skip = next - k;
                break;
            }
        }
        if (at > n || (!by && !skip))
            break;
        jlist_push(r, l, jstr_share(r, p + at + skip, n - at - skip));
        n = at;
        if (!by)
            jtext_strip(NULL, &p, &n, NULL, false, true);
    }
    if (!by)
        jtext_strip(NULL, &p, &n, NULL, (int64_t)l->n < most || most < 0, true);
    if (by || n)
        jlist_push(r, l, jstr_share(r, p, n));
    return reversed_list(r, l);
}

J_CALL(s_splitlines, jlist_value(J_LIST, jtext_lines(r, self.s, a->slot[0] && jtruth(*a->slot[0]))))

/* s[start:end] for the methods that take such bounds. False: beyond the end, where nothing is found. */
static bool window(struct jrun *r, const struct jstr *s, const struct jvalue *from, const struct jvalue *to, size_t *at,
                   size_t *n)
{
    int64_t first, by;
    size_t count = jtext_slice_count(r, s->chars, from, to, NULL, &first, &by);
    jwork(r, s->n);
    *at = jtext_offset(s, (size_t)first);
    *n = count ? jtext_offset(s, (size_t)first + count) - *at : 0;
    return !r->rc && !(jgiven(from) && from->kind == J_INT && from->i > (int64_t)s->chars);
}

static struct jvalue affix(struct jrun *r, struct jvalue self, const struct jargs *a, bool ends)
{
    size_t at, n;
    struct jvalue one = *a->slot[0];
    bool fits = window(r, self.s, a->slot[1], a->slot[2], &at, &n);
    const struct jlist single = { .at = &one, .n = 1 }, *l = one.kind == J_TUPLE ? one.list : &single;
    for (size_t i = 0; i < l->n && fits && !r->rc; i++) {
        const struct jstr *s = text(r, &l->at[i]);
        if (s->n <= n && memcmp(self.s->p + at + (ends ? n - s->n : 0), s->p, s->n) == 0)
            return jbool(true);
    }
    return jbool(false);
}

J_CALL(s_startswith, affix(r, self, a, false))
J_CALL(s_endswith, affix(r, self, a, true))

static int64_t find(struct jrun *r, const struct jstr *s, const struct jargs *a, bool last)
{
    size_t at, n, found;
    const struct jstr *what = text(r, a->slot[0]);
    if (!window(r, s, a->slot[1], a->slot[2], &at, &n))
        return -1;
    found = last ? rfind(r, s->p + at, n, what) : jtext_find(s->p + at, n, what->p, what->n);
    if (found > n)
        return -1;
    int64_t chars = 0;
    for (size_t i = 0; i < at + found; i++)
        chars += ((unsigned char)s->p[i] & 0xC0) != 0x80;
    return chars;
}

J_CALL(s_find, jint(find(r, self.s, a, false)))
J_CALL(s_rfind, jint(find(r, self.s, a, true)))

static struct jvalue found(struct jrun *r, int64_t i)
{
    if (i < 0)
        jfail(r, QS_EFORMAT, "index: this string is not in it");
    return jint(i);
}

J_CALL(s_index, found(r, find(r, self.s, a, false)))
J_CALL(s_rindex, found(r, find(r, self.s, a, true)))

static struct jvalue s_count(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jstr *what = text(r, a->slot[0]);
    size_t at, n, i = 0;
    int64_t count = 0;
    if (!window(r, self.s, a->slot[1], a->slot[2], &at, &n))
        return jint(0);
    if (what->n == 0) {
        for (i = 0; i < n; i++)
            count += ((unsigned char)self.s->p[at + i] & 0xC0) != 0x80;
        return jint(count + 1);
    }
    for (size_t k; (k = jtext_find(self.s->p + at + i, n - i, what->p, what->n)) <= n - i; i += k + what->n)
        count++;
    return jint(count);
}

static struct jvalue s_replace(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct qs_str out = QS_STR_INIT;
    const struct jstr *old = text(r, a->slot[0]), *new_ = text(r, a->slot[1]);
    jtext_replace(r, &out, self.s, old, new_, jwhole(r, a->slot[2], -1));
    return jstr_take(r, &out);
}

static struct jvalue cased(struct jrun *r, struct jvalue self, int how)
{
    struct qs_str out = QS_STR_INIT;
    jtext_case(&out, self.s->p, self.s->n, how);
    return jstr_take(r, &out);
}

J_CALL(s_lower, cased(r, self, 0))
J_CALL(s_upper, cased(r, self, 1))
J_CALL(s_capitalize, cased(r, self, 2))
J_CALL(s_title, cased(r, self, 3))

static struct jvalue s_swapcase(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct qs_str out = QS_STR_INIT;
    (void)a;
    for (size_t i = 0; i < self.s->n;) {
        size_t at = i;
        uint32_t cp = qs_utf8_next(self.s->p, self.s->n, &i);
        jtext_case(&out, self.s->p + at, i - at, qs_utf8_lower(cp) == cp);
    }
    return jstr_take(r, &out);
}

static struct jvalue s_join(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct qs_str out = QS_STR_INIT;
    const struct jlist *l = jiterate(r, *a->slot[0]);
    for (size_t i = 0; i < l->n && !r->rc; i++) {
        if (i)
            jwrite(r, &out, self);
        text(r, &l->at[i]);
        jwrite(r, &out, l->at[i]);
    }
    return jstr_take(r, &out);
}

static struct jvalue s_removeprefix(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jstr *s = self.s, *x = text(r, a->slot[0]);
    size_t cut = x->n <= s->n && memcmp(s->p, x->p, x->n) == 0 ? x->n : 0;
    return jstr_share(r, s->p + cut, s->n - cut);
}

static struct jvalue s_removesuffix(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jstr *s = self.s, *x = text(r, a->slot[0]);
    size_t cut = x->n <= s->n && memcmp(s->p + s->n - x->n, x->p, x->n) == 0 ? x->n : 0;
    return jstr_share(r, s->p, s->n - cut);
}

static struct jvalue partition(struct jrun *r, struct jvalue self, const struct jargs *a, bool last)
{
    const struct jstr *s = self.s, *by = text(r, a->slot[0]);
    struct jlist *l = jlist_new(r);
    if (by->n == 0)
        jfail(r, QS_EFORMAT, "partition needs a separator that is not empty");
    if (!jwork(r, s->n))
        return jnone();
    size_t at = last ? rfind(r, s->p, s->n, by) : jtext_find(s->p, s->n, by->p, by->n);
    bool there = at <= s->n;
    if (!there)
        at = last ? 0 : s->n;
    jlist_push(r, l, jstr_share(r, s->p, at));
    jlist_push(r, l, jstr_share(r, by->p, there ? by->n : 0));
    jlist_push(r, l, jstr_share(r, s->p + at + (there ? by->n : 0), s->n - at - (there ? by->n : 0)));
    return jlist_value(J_TUPLE, l);
}

J_CALL(s_partition, partition(r, self, a, false))
J_CALL(s_rpartition, partition(r, self, a, true))

/* side: how much of the blanks goes left: 0 none (ljust), 1 half (center), 2 all (rjust). */
static struct jvalue justified(struct jrun *r, struct jvalue self, const struct jargs *a, int side)
{
    struct qs_str out = QS_STR_INIT;
    const struct jstr *fill = a->slot[1] ? text(r, a->slot[1]) : NULL;
    int64_t width = jwhole(r, a->slot[0], 0), n = width - (int64_t)self.s->chars;
    if (fill && fill->chars != 1)
        jfail(r, QS_EFORMAT, "the fill must be one character");
    if (n > 1 << 20)
        jfail(r, QS_ELIMIT, "a text filled up to more than %d characters", 1 << 20);
    if (r->rc || n <= 0)
        return self;
    int64_t left = side == 0 ? 0 : side == 2 ? n : n / 2 + (n & width & 1);
    for (int64_t i = 0; i <= n; i++) {
        if (i == left)
            qs_str_addn(&out, self.s->p, self.s->n);
        if (i < n)
            qs_str_addn(&out, fill ? fill->p : " ", fill ? fill->n : 1);
    }
    return jstr_take(r, &out);
}

J_CALL(s_ljust, justified(r, self, a, 0))
J_CALL(s_center, justified(r, self, a, 1))
J_CALL(s_rjust, justified(r, self, a, 2))

static struct jvalue s_zfill(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct qs_str out = QS_STR_INIT;
    int64_t n = jwhole(r, a->slot[0], 0) - (int64_t)self.s->chars;
    bool sign = self.s->n > 0 && (*self.s->p == '-' || *self.s->p == '+');
    if (n > 1 << 20)
        jfail(r, QS_ELIMIT, "a text filled up to more than %d characters", 1 << 20);
    if (r->rc)
        return jnone();
    qs_str_addn(&out, self.s->p, sign);
    for (; n > 0; n--)
        qs_str_addc(&out, '0');
    qs_str_addn(&out, self.s->p + sign, self.s->n - sign);
    return jstr_take(r, &out);
}

/* --- what a string is made of: every character passes, and there is one ------------------------------------------- */

static bool all(const struct jstr *s, bool (*fits)(uint32_t cp, const char *category))
{
    for (size_t i = 0; i < s->n;) {
        uint32_t cp = qs_utf8_next(s->p, s->n, &i);
        if (!fits(cp, qs_utf8_category(cp)))
            return false;
    }
    return s->n > 0;
}

static bool is_alpha(uint32_t cp, const char *c)
{
    (void)cp;
    return c[0] == 'L';
}

static bool is_digit(uint32_t cp, const char *c)
{
    return strcmp(c, "Nd") == 0 || cp == 0xB2 || cp == 0xB3 || cp == 0xB9 || cp == 0x2070 ||
           (cp >= 0x2074 && cp <= 0x2079) || (cp >= 0x2080 && cp <= 0x2089);
}

static bool is_decimal(uint32_t cp, const char *c)
{
    (void)cp;
    return strcmp(c, "Nd") == 0;
}

static bool is_numeric(uint32_t cp, const char *c)
{
    (void)cp;
    return c[0] == 'N';
}

static bool is_alnum(uint32_t cp, const char *c)
{
    (void)cp;
    return c[0] == 'L' || c[0] == 'N';
}

static bool is_space(uint32_t cp, const char *c)
{
    (void)c;
    return jtext_space(cp);
}

static bool is_ascii(uint32_t cp, const char *c)
{
    (void)c;
    return cp < 0x80;
}

#define CHARACTERS(name) \
    static struct jvalue s_##name(struct jrun *r, struct jvalue self, const struct jargs *a) \
    { \
        (void)a; \
        return jbool(jwork(r, self.s->n) && all(self.s, name)); \
    }
CHARACTERS(is_alpha)
CHARACTERS(is_digit)
CHARACTERS(is_decimal)
CHARACTERS(is_numeric)
CHARACTERS(is_alnum)
CHARACTERS(is_space)

static struct jvalue s_isascii(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    (void)r, (void)a;
    return jbool(self.s->n == 0 || all(self.s, is_ascii));
}

static struct jvalue by_test(struct jrun *r, struct jvalue self, const char *test)
{
    return jcall_builtin(r, jtest_find(test, 5), self, &(struct jargs){ .n = 0 });
}

J_CALL(s_isupper, by_test(r, self, "upper"))
J_CALL(s_islower, by_test(r, self, "lower"))

static const struct jcallable string_methods[] = {
    { "capitalize", s_capitalize, "", 0 },
    { "casefold", s_lower, "", 0 },
    { "center", s_center, "width fillchar", 1 },
    { "count", s_count, "sub start end", 1 },
    { "endswith", s_endswith, "suffix start end", 1 },
    { "find", s_find, "sub start end", 1 },
    { "format", jformat_braces, "*", 0 },
    { "index", s_index, "sub start end", 1 },
    { "isalnum", s_is_alnum, "", 0 },
    { "isalpha", s_is_alpha, "", 0 },
    { "isascii", s_isascii, "", 0 },
    { "isdecimal", s_is_decimal, "", 0 },
    { "isdigit", s_is_digit, "", 0 },
    { "islower", s_islower, "", 0 },
    { "isnumeric", s_is_numeric, "", 0 },
    { "isspace", s_is_space, "", 0 },
    { "isupper", s_isupper, "", 0 },
    { "join", s_join, "iterable", 1 },
    { "ljust", s_ljust, "width fillchar", 1 },
    { "lower", s_lower, "", 0 },
    { "lstrip", s_lstrip, "chars", 0 },
    { "partition", s_partition, "sep", 1 },
    { "removeprefix", s_removeprefix, "prefix", 1 },
    { "removesuffix", s_removesuffix, "suffix", 1 },
    { "replace", s_replace, "old new count", 2 },
    { "rfind", s_rfind, "sub start end", 1 },
    { "rindex", s_rindex, "sub start end", 1 },
    { "rjust", s_rjust, "width fillchar", 1 },
    { "rpartition", s_rpartition, "sep", 1 },
    { "rsplit", s_rsplit, "sep maxsplit", 0 },
    { "rstrip", s_rstrip, "chars", 0 },
    { "split", s_split, "sep maxsplit", 0 },
    { "splitlines", s_splitlines, "keepends", 0 },
    { "startswith", s_startswith, "prefix start end", 1 },
    { "strip", s_strip, "chars", 0 },
    { "swapcase", s_swapcase, "", 0 },
    { "title", s_title, "", 0 },
    { "upper", s_upper, "", 0 },
    { "zfill", s_zfill, "width", 1 },
};

/* --- lists and tuples --------------------------------------------------------------------------------------------- */

static struct jvalue l_count(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    int64_t n = 0;
    for (size_t i = 0; i < self.list->n && !r->rc; i++)
        n += jequal(r, self.list->at[i], *a->slot[0]);
    return jint(n);
}

static struct jvalue l_index(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    int64_t first, by;
    size_t n = jtext_slice_count(r, self.list->n, a->slot[1], a->slot[2], NULL, &first, &by);
    for (size_t i = 0; i < n && !r->rc; i++)
        if (jequal(r, self.list->at[(size_t)first + i], *a->slot[0]))
            return jint(first + (int64_t)i);
    jfail(r, QS_EFORMAT, "index: this value is not in the %s", jtype_name(self));
    return jnone();
}

static struct jvalue l_copy(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct jlist *l = jlist_new(r);
    (void)a;
    for (size_t i = 0; i < self.list->n && !r->rc; i++)
        jlist_push(r, l, self.list->at[i]);
    return jlist_value(J_LIST, l);
}

static const struct jcallable list_methods[] = { /* the first two are those of tuples too */
    { "count", l_count, "value", 1 },
    { "index", l_index, "value start stop", 1 },
    { "copy", l_copy, "", 0 },
    { "append", NULL, "", 0 },
    { "clear", NULL, "", 0 },
    { "extend", NULL, "", 0 },
    { "insert", NULL, "", 0 },
    { "pop", NULL, "", 0 },
    { "remove", NULL, "", 0 },
    { "reverse", NULL, "", 0 },
    { "sort", NULL, "", 0 },
};

/* --- dictionaries ------------------------------------------------------------------------------------------------- */

static struct jvalue d_get(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jvalue *v = jdict_get(r, self.dict, *a->slot[0]);
    return v ? *v : a->slot[1] ? *a->slot[1] : jnone();
}

enum { KEYS = 1, VALUES = 2 };

static struct jvalue view(struct jrun *r, struct jvalue self, int what, const char *name)
{
    struct jlist *l = jlist_new(r);
    for (size_t i = 0; i < self.dict->n && !r->rc; i++) {
        const struct jpair *p = &self.dict->at[i];
        if (what != (KEYS | VALUES)) {
            jlist_push(r, l, what == KEYS ? p->key : p->value);
            continue;
        }
        struct jlist *pair = jlist_new(r);
        jlist_push(r, pair, p->key);
        jlist_push(r, pair, p->value);
        jlist_push(r, l, jlist_value(J_TUPLE, pair));
    }
    if (!r->rc)
        l->name = name;
    return jlist_value(J_VIEW, l);
}

J_CALL(d_keys, view(r, self, KEYS, "dict_keys"))
J_CALL(d_values, view(r, self, VALUES, "dict_values"))
J_CALL(d_items, view(r, self, KEYS | VALUES, "dict_items"))

static struct jvalue d_copy(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct jdict *d = jdict_new(r);
    (void)a;
    for (size_t i = 0; i < self.dict->n && !r->rc; i++)
        jdict_set(r, d, self.dict->at[i].key, self.dict->at[i].value);
    return jdict_value(d);
}

static const struct jcallable dict_methods[] = {
    { "get", d_get, "key default", 1 },
    { "keys", d_keys, "", 0 },
    { "values", d_values, "", 0 },
    { "items", d_items, "", 0 },
    { "copy", d_copy, "", 0 },
    { "clear", NULL, "", 0 },
    { "pop", NULL, "", 0 },
    { "popitem", NULL, "", 0 },
    { "setdefault", NULL, "", 0 },
    { "update", NULL, "", 0 },
};

const struct jcallable *jmethod_find(enum jkind kind, const char *p, size_t n)
{
    switch (kind) {
    case J_STR: return jcallable_in(string_methods, sizeof string_methods / sizeof *string_methods, p, n);
    case J_TUPLE: return jcallable_in(list_methods, 2, p, n);
    case J_LIST: return jcallable_in(list_methods, sizeof list_methods / sizeof *list_methods, p, n);
    case J_DICT: return jcallable_in(dict_methods, sizeof dict_methods / sizeof *dict_methods, p, n);
    default: return NULL;
    }
}
