/* text.c - strings as Python has them: counted in code points, with Unicode's white space, case and lines.
 *
 * Owns no memory but what it appends to. Case is Unicode's simple mapping (one code point to one), so the German
 * sharp s stays as it is in upper case.
 */
#include <string.h>

#include "base/unicode.h"
#include "core/text/jinja/internal.h"

/* str.isspace() of Python. */
bool jtext_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || (cp >= 0x1C && cp <= 0x20) || cp == 0x85 || cp == 0xA0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F ||
           cp == 0x3000;
}

size_t jtext_offset(const struct jstr *s, size_t chars)
{
    if (s->chars == s->n)
        return chars < s->n ? chars : s->n;
    size_t i = 0;
    for (; i < s->n && chars > 0; chars--)
        do
            i++;
        while (i < s->n && ((unsigned char)s->p[i] & 0xC0) == 0x80);
    return i;
}

static bool in_set(struct jrun *r, const struct jstr *chars, const char *p, size_t n)
{
    if (!chars) {
        size_t i = 0;
        return jtext_space(qs_utf8_next(p, n, &i));
    }
    return jwork(r, chars->n) && jtext_find(chars->p, chars->n, p, n) <= chars->n;
}

void jtext_strip(struct jrun *r, const char **p, size_t *n, const struct jstr *chars, bool left, bool right)
{
    while (left && *n > 0) {
        size_t k = 0;
        qs_utf8_next(*p, *n, &k);
        if (!in_set(r, chars, *p, k))
            break;
        *p += k;
        *n -= k;
    }
    while (right && *n > 0) {
        size_t k = *n - 1;
        while (k > 0 && ((unsigned char)(*p)[k] & 0xC0) == 0x80)
            k--;
        if (!in_set(r, chars, *p + k, *n - k))
            break;
        *n = k;
    }
}

static void add_cp(struct qs_str *out, uint32_t cp)
{
    char b[4];
    unsigned n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = { 0, 0, 0xC0, 0xE0, 0xF0 };
    for (unsigned i = n; i-- > 1; cp >>= 6)
        b[i] = (char)(0x80 | (cp & 0x3F));
    b[0] = (char)(lead[n] | cp);
    qs_str_addn(out, b, n);
}

/* title: as the method str.title(), a word begins behind whatever has no case. */
void jtext_case(struct qs_str *out, const char *p, size_t n, int how)
{
    bool first = true;
    for (size_t i = 0; i < n;) {
        uint32_t cp = qs_utf8_next(p, n, &i), low = qs_utf8_lower(cp), up = qs_utf8_upper(cp);
        bool upper = how == 1 || (how >= 2 && first);
        add_cp(out, upper ? up : low);
        first = how == 3 && low == up;
    }
}

/* Bytes of the line end at p, 0: none. Python counts a few more than \n and \r. */
static size_t line_end(const char *p, size_t n)
{
    if (*p == '\r')
        return n > 1 && p[1] == '\n' ? 2 : 1;
    if ((*p >= '\n' && *p <= '\f') || (*p >= 0x1C && *p <= 0x1E))
        return 1;
    size_t k = 0;
    uint32_t cp = (unsigned char)*p < 0x80 ? 0 : qs_utf8_next(p, n, &k);
    return cp == 0x85 || cp == 0x2028 || cp == 0x2029 ? k : 0;
}

struct jlist *jtext_lines(struct jrun *r, const struct jstr *s, bool keep)
{
    struct jlist *l = jlist_new(r);
    size_t from = 0;
    for (size_t i = 0; i < s->n && !r->rc;) {
        size_t k = line_end(s->p + i, s->n - i);
        if (k)
            jlist_push(r, l, jstr_share(r, s->p + from, i - from + (keep ? k : 0)));
        i += k ? k : 1;
        from = k ? i : from;
    }
    if (from < s->n)
        jlist_push(r, l, jstr_share(r, s->p + from, s->n - from));
    return l;
}

void jtext_escape(struct jrun *r, struct qs_str *out, const char *p, size_t n)
{
    static const struct { char c; const char *text; } table[] = {
        { '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" }, { '"', "&#34;" }, { '\'', "&#39;" } };
    if (!jroom(r, out, n, "escape"))
        return;
    for (size_t i = 0; i < n && !r->rc; i++) {
        size_t k = 0;
        while (k < 5 && table[k].c != p[i])
            k++;
        if (k < 5 && jroom(r, out, 5, "escape"))
            qs_str_add(out, table[k].text);
        else if (k == 5)
            qs_str_addc(out, p[i]);
    }
}

size_t jtext_find(const char *p, size_t n, const char *what, size_t m)
{
    if (m == 0)
        return 0;
    const char *at = n >= m ? memmem(p, n, what, m) : NULL;
    return at ? (size_t)(at - p) : n + 1;
}

void jtext_replace(struct jrun *r, struct qs_str *out, const struct jstr *s, const struct jstr *old,
                   const struct jstr *new_, int64_t count)
{
    size_t i = 0;
    while (count != 0 && !r->rc && jwork(r, 64)) {
        size_t at = jtext_find(s->p + i, s->n - i, old->p, old->n), skip = old->n;
        if (at > s->n - i)
            break;
        if (old->n == 0 && i < s->n) { /* between all characters, and at both ends */
            size_t k = i;
            qs_utf8_next(s->p, s->n, &k);
            skip = k - i;
            at = 0;
        }
        if (!jroom(r, out, at + new_->n, "replace"))
            return;
        qs_str_addn(out, s->p + i, at);
        qs_str_addn(out, new_->p, new_->n);
        if (old->n == 0) {
            qs_str_addn(out, s->p + i, skip);
            if (i == s->n)
                return;
        }
        i += at + skip;
        count -= count > 0;
    }
    qs_str_addn(out, s->p + i, s->n - i);
}

/* One end of a slice, clamped as Python does. */
static int64_t clamp(int64_t i, int64_t n, int64_t low, int64_t high)
{
    if (i < 0)
        i = i < -n ? low : i + n;
    return i < low ? low : i > high ? high : i;
}

static bool index_of(struct jrun *r, const struct jvalue *v, int64_t otherwise, int64_t *out)
{
    *out = otherwise;
    if (!v || v->kind == J_NONE)
        return false;
    if (v->kind != J_INT && v->kind != J_BOOL) {
        jfail(r, QS_EFORMAT, "a slice needs whole numbers, not %s", jtype_name(*v));
        return false;
    }
    *out = v->kind == J_INT ? v->i : v->b;
    return true;
}

/* Items that [from:to:step] takes of n: how many; the first one and the way to the next in *first and *by. */
size_t jtext_slice_count(struct jrun *r, size_t n, const struct jvalue *from, const struct jvalue *to,
                         const struct jvalue *step, int64_t *first, int64_t *by)
{
    int64_t start, stop, len = (int64_t)n;
    index_of(r, step, 1, by);
    bool has_start = index_of(r, from, 0, &start), has_stop = index_of(r, to, 0, &stop);
    if (*by == 0)
        jfail(r, QS_EFORMAT, "the step of a slice cannot be zero");
    if (r->rc)
        return 0;
    if (*by > 0) {
        start = has_start ? clamp(start, len, 0, len) : 0;
        stop = has_stop ? clamp(stop, len, 0, len) : len;
    } else {
        start = has_start ? clamp(start, len, -1, len - 1) : len - 1;
        stop = has_stop ? clamp(stop, len, -1, len - 1) : -1;
    }
    *first = start;
    if (*by > 0)
        return start < stop ? (size_t)((stop - start - 1) / *by + 1) : 0;
    return stop < start ? (size_t)((start - stop - 1) / (*by == INT64_MIN ? INT64_MAX : -*by) + 1) : 0;
}
