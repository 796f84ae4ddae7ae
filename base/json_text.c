/* json_text.c - JSON values from text and to text (RFC 8259, strictly).
 *
 * Owns the grammar: exactly one value, no comments, no trailing commas, no leading zeros, valid UTF-8, at most 64
 * levels. Integers beyond 64 bits become doubles. Errors say line and offset. Printing is independent of the locale.
 * Knows values through base/json.h alone. No state but a C locale made once.
 */
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/mem.h"
#include "base/unicode.h"

#define DEPTH_MAX 64

static locale_t c_locale;
static pthread_once_t locale_once = PTHREAD_ONCE_INIT;

static void make_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* Makes this thread read and write numbers with a point; hand the result to numbers_end. */
static locale_t numbers_begin(void)
{
    pthread_once(&locale_once, make_locale);
    return c_locale ? uselocale(c_locale) : (locale_t)0;
}

static void numbers_end(locale_t old)
{
    if (old)
        uselocale(old);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct parser {
    const char *text;
    size_t len, pos;
    unsigned depth;
    struct qs_str scratch; /* the string being read */
    struct qs_str number;
    struct qs_err *e;
};

static int fail_at(struct parser *p, size_t at, enum qs_code code, const char *what)
{
    size_t line = 1;
    for (size_t i = 0; i < at; i++)
        line += p->text[i] == '\n';
    return qs_fail(p->e, code, "JSON: %s (line %zu, offset %zu)", what, line, at);
}

static int fail_here(struct parser *p, const char *what)
{
    return fail_at(p, p->pos, QS_EFORMAT, p->pos < p->len ? what : "the text ends too early");
}

static int fail_memory(struct parser *p)
{
    return fail_at(p, p->pos, QS_ENOMEM, "out of memory");
}

/* The byte at the cursor; 0 at the end (a NUL in the text is in no place allowed, so the two need no telling apart). */
static char peek(const struct parser *p)
{
    return p->pos < p->len ? p->text[p->pos] : 0;
}

static void skip_blanks(struct parser *p)
{
    while (p->pos < p->len && strchr(" \t\r\n", p->text[p->pos]) && p->text[p->pos])
        p->pos++;
}

static bool four_hex(struct parser *p, uint32_t *out)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++, p->pos++) {
        char c = peek(p), low = (char)(c | 0x20);
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            v = v << 4 | (uint32_t)(low - 'a' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

static void add_utf8(struct qs_str *s, uint32_t cp)
{
    char b[4];
    size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = { 0, 0x00, 0xC0, 0xE0, 0xF0 };
    for (size_t i = n; i-- > 1; cp >>= 6)
        b[i] = (char)(0x80 | (cp & 0x3F));
    b[0] = (char)(lead[n] | cp);
    qs_str_addn(s, b, n);
}

/* Behind "\u". */
static int read_unicode_escape(struct parser *p)
{
    size_t at = p->pos;
    uint32_t cp, low;
    if (!four_hex(p, &cp))
        return fail_here(p, "four hexadecimal digits belong behind \\u");
    if (cp >= 0xD800 && cp < 0xDC00 && peek(p) == '\\' && p->pos + 1 < p->len && p->text[p->pos + 1] == 'u') {
        p->pos += 2;
        if (!four_hex(p, &low))
            return fail_here(p, "four hexadecimal digits belong behind \\u");
        if (low < 0xDC00 || low > 0xDFFF)
            return fail_at(p, at, QS_EFORMAT, "half of a surrogate pair");
        cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
    } else if (cp >= 0xD800 && cp < 0xE000) {
        return fail_at(p, at, QS_EFORMAT, "half of a surrogate pair");
    }
    add_utf8(&p->scratch, cp);
    return QS_OK;
}

/* Reads a string (the cursor is on its quote) into p->scratch. */
static int read_string(struct parser *p)
{
    static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    qs_str_clear(&p->scratch);
    p->pos++;
    for (;;) {
        size_t from = p->pos;
        while (p->pos < p->len && (unsigned char)p->text[p->pos] >= 0x20 && p->text[p->pos] != '"' &&
               p->text[p->pos] != '\\')
            p->pos++;
        qs_str_addn(&p->scratch, p->text + from, p->pos - from);
        char c = peek(p);
        if (p->pos >= p->len)
            return fail_here(p, "");
        if ((unsigned char)c < 0x20)
            return fail_here(p, "a control character inside a string");
        p->pos++;
        if (c == '"')
            return p->scratch.failed ? fail_memory(p) : QS_OK;
        c = peek(p);
        const char *known = c ? strchr(names, c) : NULL;
        if (!known && c != 'u')
            return fail_here(p, "an unknown escape");
        p->pos++;
        int rc = QS_OK;
        if (known)
            qs_str_addc(&p->scratch, bytes[known - names]);
        else
            rc = read_unicode_escape(p);
        if (rc)
            return rc;
    }
}

/* Passes one digit or more; false when there is none. */
static bool digits(struct parser *p)
{
    size_t from = p->pos;
    while (peek(p) >= '0' && peek(p) <= '9')
        p->pos++;
    return p->pos > from;
}

static int read_number(struct parser *p, struct qs_json *parent, const char *key)
{
    size_t from = p->pos;
    bool negative = peek(p) == '-', whole = true;
    p->pos += negative;
    if (peek(p) == '0')
        p->pos++;
    else if (!digits(p))
        return fail_here(p, "a digit is missing");
    if (peek(p) >= '0' && peek(p) <= '9')
        return fail_here(p, "a number may not start with 0");
    if (peek(p) == '.') {
        whole = false;
        p->pos++;
        if (!digits(p))
            return fail_here(p, "a digit is missing");
    }
    if ((peek(p) | 0x20) == 'e') {
        whole = false;
        p->pos++;
        p->pos += peek(p) == '+' || peek(p) == '-';
        if (!digits(p))
            return fail_here(p, "a digit is missing");
    }
    qs_str_clear(&p->number);
    qs_str_addn(&p->number, p->text + from, p->pos - from);
    if (p->number.failed)
        return fail_memory(p);
    errno = 0;
    if (whole) {
        int64_t i = negative ? (int64_t)strtoll(p->number.data, NULL, 10) : 0;
        uint64_t u = negative ? 0 : (uint64_t)strtoull(p->number.data, NULL, 10);
        bool zero = negative && i == 0; /* -0 keeps its sign as a double */
        if (errno == 0 && !zero)
            return (negative ? qs_json_add_int(parent, key, i) : qs_json_add_uint(parent, key, u)) ? QS_OK
                                                                                                   : fail_memory(p);
    }
    locale_t old = numbers_begin();
    double d = strtod(p->number.data, NULL);
    numbers_end(old);
    if (isinf(d))
        return fail_at(p, from, QS_EFORMAT, "a number too large for a double");
    return qs_json_add_num(parent, key, d) ? QS_OK : fail_memory(p);
}

static int read_literal(struct parser *p, struct qs_json *parent, const char *key)
{
    static const struct { const char *word; size_t len; } words[] = { { "null", 4 }, { "false", 5 }, { "true", 4 } };
    for (size_t i = 0; i < 3; i++) {
        if (p->len - p->pos < words[i].len || memcmp(p->text + p->pos, words[i].word, words[i].len) != 0)
            continue;
        p->pos += words[i].len;
        bool done = i == 0 ? qs_json_add_null(parent, key) : qs_json_add_bool(parent, key, i == 2);
        return done ? QS_OK : fail_memory(p);
    }
    return fail_here(p, "a value is missing");
}

static int read_value(struct parser *p, struct qs_json *parent, const char *key);

static int read_member(struct parser *p, struct qs_json *obj)
{
    if (peek(p) != '"')
        return fail_here(p, "the name of a member is missing");
    size_t at = p->pos;
    int rc = read_string(p);
    if (rc)
        return rc;
    if (memchr(p->scratch.data, 0, p->scratch.len))
        return fail_at(p, at, QS_EFORMAT, "a NUL character in the name of a member");
    char *key = qs_strndup(p->scratch.data, p->scratch.len);
    if (!key)
        return fail_memory(p);
    skip_blanks(p);
    if (peek(p) != ':') {
        rc = fail_here(p, "':' is missing");
    } else {
        p->pos++;
        rc = read_value(p, obj, key);
    }
    qs_free(key);
    return rc;
}

/* An array or object; the cursor is on its bracket. */
static int read_container(struct parser *p, struct qs_json *parent, const char *key)
{
    bool object = peek(p) == '{';
    char close = object ? '}' : ']';
    if (p->depth >= DEPTH_MAX)
        return fail_at(p, p->pos, QS_ELIMIT, "more than 64 levels of nesting");
    struct qs_json *me = object ? qs_json_add_object(parent, key) : qs_json_add_array(parent, key);
    if (!me)
        return fail_memory(p);
    p->depth++;
    p->pos++;
    skip_blanks(p);
    bool first = true;
    int rc = QS_OK;
    while (!rc && !(peek(p) == close && first)) {
        rc = object ? read_member(p, me) : read_value(p, me, NULL);
        first = false;
        if (rc)
            break;
        skip_blanks(p);
        if (peek(p) == close)
            break;
        if (peek(p) != ',') {
            rc = fail_here(p, object ? "',' or '}' is missing" : "',' or ']' is missing");
            break;
        }
        p->pos++;
        skip_blanks(p);
    }
    if (rc)
        return rc;
    p->pos++;
    p->depth--;
    if (object)
        qs_json_index(me);
    return QS_OK;
}

static int read_value(struct parser *p, struct qs_json *parent, const char *key)
{
    skip_blanks(p);
    char c = peek(p);
    if (c == '{' || c == '[')
        return read_container(p, parent, key);
    if (c == '-' || (c >= '0' && c <= '9'))
        return read_number(p, parent, key);
    if (c != '"')
        return read_literal(p, parent, key);
    int rc = read_string(p);
    if (rc)
        return rc;
    return qs_json_add_strn(parent, key, p->scratch.data, p->scratch.len) ? QS_OK : fail_memory(p);
}

int qs_json_parse(const char *text, size_t len, struct qs_json **out, struct qs_err *e)
{
    struct parser p = { .text = text, .len = len, .scratch = QS_STR_INIT, .number = QS_STR_INIT, .e = e };
    *out = NULL;
    size_t bad = qs_utf8_invalid_at(text, len);
    if (bad < len)
        return fail_at(&p, bad, QS_EFORMAT, "not valid UTF-8");
    struct qs_json *holder = qs_json_array(); /* every value has a parent while it is read */
    if (!holder)
        return fail_memory(&p);
    int rc = read_value(&p, holder, NULL);
    if (!rc) {
        skip_blanks(&p);
        if (p.pos < len)
            rc = fail_here(&p, "something follows the value");
    }
    qs_str_free(&p.scratch);
    qs_str_free(&p.number);
    if (rc)
        qs_json_free(holder);
    else
        *out = qs_json_detach_only(holder);
    return rc;
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

static void print_string(struct qs_str *out, const char *s, size_t n)
{
    static const char names[] = "\"\\bfnrt", bytes[] = "\"\\\b\f\n\r\t";
    qs_str_addc(out, '"');
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7F)
            continue;
        qs_str_addn(out, s + from, i - from);
        from = i + 1;
        const char *known = c ? strchr(bytes, c) : NULL;
        if (known)
            qs_str_addf(out, "\\%c", names[known - bytes]);
        else
            qs_str_addf(out, "\\u%04x", c);
    }
    qs_str_addn(out, s + from, n - from);
    qs_str_addc(out, '"');
}

/* The fewest digits that read back as the same number: 15 always tell apart what 15 can say, 17 always suffice; only
 * numbers next to zero, which have fewer bits, may do with less than 15. */
static void print_double(struct qs_str *out, double v)
{
    char buf[40];
    if (isnan(v) || isinf(v)) {
        qs_str_add(out, "null");
        return;
    }
    locale_t old = numbers_begin();
    for (int precision = fabs(v) < DBL_MIN ? 1 : 15; precision <= 17; precision++) {
        (void)snprintf(buf, sizeof buf, "%.*g", precision, v);
        double back = strtod(buf, NULL);
        if (memcmp(&back, &v, sizeof v) == 0)
            break;
    }
    numbers_end(old);
    qs_str_add(out, buf);
    if (!strpbrk(buf, ".e"))
        qs_str_add(out, ".0"); /* stays a number with a fraction when it is read again */
}

static void new_line(struct qs_str *out, unsigned level)
{
    qs_str_addc(out, '\n');
    for (unsigned i = 0; i < level; i++)
        qs_str_add(out, "  ");
}

static void print_value(struct qs_str *out, const struct qs_json *v, bool pretty, unsigned level);

static void print_container(struct qs_str *out, const struct qs_json *v, bool pretty, unsigned level)
{
    bool object = qs_json_type(v) == QS_JSON_OBJECT;
    size_t n = qs_json_len(v);
    qs_str_addc(out, object ? '{' : '[');
    struct qs_json_walk walk;
    qs_json_walk_begin(&walk, v);
    for (size_t i = 0; i < n && !out->failed; i++) {
        const struct qs_json *item = object ? NULL : qs_json_at(v, i);
        if (i)
            qs_str_addc(out, ',');
        if (pretty)
            new_line(out, level + 1);
        if (object) {
            const char *key = qs_json_walk_next(&walk, &item);
            print_string(out, key ? key : "", key ? strlen(key) : 0);
            qs_str_add(out, pretty ? ": " : ":");
        }
        print_value(out, item, pretty, level + 1);
    }
    if (pretty && n)
        new_line(out, level);
    qs_str_addc(out, object ? '}' : ']');
}

static void print_value(struct qs_str *out, const struct qs_json *v, bool pretty, unsigned level)
{
    switch (qs_json_type(v)) {
    case QS_JSON_NULL: qs_str_add(out, "null"); break;
    case QS_JSON_BOOL: qs_str_add(out, qs_json_bool(v, false) ? "true" : "false"); break;
    case QS_JSON_DOUBLE: print_double(out, qs_json_num(v, 0)); break;
    case QS_JSON_STRING: print_string(out, qs_json_str(v, ""), qs_json_len(v)); break;
    case QS_JSON_ARRAY:
    case QS_JSON_OBJECT: print_container(out, v, pretty, level); break;
    case QS_JSON_INT: {
        /* Only a value beyond INT64_MAX gives two different answers here. */
        int64_t i = qs_json_int(v, 0);
        if (i == 0 && qs_json_int(v, 1) == 1)
            qs_str_addf(out, "%" PRIu64, qs_json_uint(v, 0));
        else
            qs_str_addf(out, "%" PRId64, i);
        break;
    }
    }
}

bool qs_json_print(const struct qs_json *v, bool pretty, struct qs_str *out)
{
    print_value(out, v, pretty, 0);
    if (pretty)
        qs_str_addc(out, '\n');
    return !out->failed;
}
