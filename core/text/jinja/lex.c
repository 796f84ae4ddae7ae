/* lex.c - a template's characters to tokens, with Jinja2's rules for white space.
 *
 * Owns the delimiters ({% %}, {{ }}, {# #}, raw), the signs - and + at them, trim_blocks (the newline behind a block or
 * comment goes), lstrip_blocks (blanks before a block or comment that begins a line go), line ends (all become \n, the
 * last one of the template goes), and literals. Refuses what is open at the end, unknown characters, integers past 64
 * bits. Text of tokens lives in the arena.
 */
#include <string.h>

#include "base/mem.h"
#include "base/unicode.h"
#include "core/text/jinja/internal.h"

struct lexer {
    const char *s; /* the template with its line ends made \n */
    size_t n, pos;
    size_t seen;   /* line and col belong to this offset */
    uint32_t line, col;
    bool line_start;
    struct jarena *arena;
    struct jtokens *out;
    struct jtoken none; /* what a failed lexer gives */
    struct qs_err *e;
    int rc;
};

static void locate(struct lexer *x, size_t at)
{
    for (; x->seen < at; x->seen++) {
        unsigned char c = (unsigned char)x->s[x->seen];
        if (c == '\n') {
            x->line++;
            x->col = 1;
        } else if ((c & 0xC0) != 0x80) {
            x->col++;
        }
    }
}

static void fail(struct lexer *x, size_t at, enum qs_code code, const char *what)
{
    if (x->rc)
        return;
    locate(x, at);
    x->rc = qs_fail(x->e, code, "%s (line %u, column %u)", what, x->line, x->col);
}

static struct jtoken *add(struct lexer *x, enum jtoken_kind kind, size_t at, const char *p, size_t n)
{
    if (x->rc || !qs_grow(&x->out->at, &x->out->cap, x->out->n + 1, sizeof *x->out->at)) {
        if (!x->rc)
            x->rc = qs_fail_mem(x->e, x->out->n * sizeof *x->out->at, "the tokens of a template");
        return &x->none;
    }
    locate(x, at);
    struct jtoken *t = &x->out->at[x->out->n++];
    *t = (struct jtoken){ .kind = kind, .line = x->line, .col = x->col, .p = p, .n = n };
    return t;
}

/* Bytes of the white-space character at pos, 0: none. */
static size_t space_at(const struct lexer *x, size_t pos)
{
    size_t next = pos;
    if (pos >= x->n)
        return 0;
    return jtext_space(qs_utf8_next(x->s, x->n, &next)) ? next - pos : 0;
}

static size_t skip_spaces(const struct lexer *x, size_t pos)
{
    for (size_t k; (k = space_at(x, pos)) > 0;)
        pos += k;
    return pos;
}

static bool has(const struct lexer *x, size_t pos, const char *text)
{
    size_t k = strlen(text);
    return x->n - pos >= k && memcmp(x->s + pos, text, k) == 0;
}

/* Behind a block's or comment's end whose text (without sign) is `end`, at pos: the offset after it and what it eats;
 * 0: there is no such end here. */
static size_t after_end(const struct lexer *x, size_t pos, const char *end)
{
    if (x->s[pos] == '-' && has(x, pos + 1, end))
        return skip_spaces(x, pos + 1 + strlen(end));
    if (x->s[pos] == '+' && has(x, pos + 1, end))
        return pos + 1 + strlen(end);
    if (!has(x, pos, end))
        return 0;
    pos += strlen(end);
    return pos + (pos < x->n && x->s[pos] == '\n');
}

/* Data [from, to) before a tag with this sign ('-', '+' or 0). */
static void add_data(struct lexer *x, size_t from, size_t to, char sign, bool variable)
{
    const char *p = x->s + from;
    size_t n = to - from;
    if (sign == '-') {
        jtext_strip(NULL, &p, &n, NULL, false, true);
    } else if (sign != '+' && !variable) {
        size_t start = n;
        while (start > 0 && p[start - 1] != '\n')
            start--;
        if ((start > 0 || x->line_start) && start < n && skip_spaces(x, from + start) >= to)
            n = start;
    }
    if (n > 0)
        add(x, T_DATA, from, p, n);
}

/* `{% raw %}` at pos: the offset behind it, 0: it is not. */
static size_t raw_begin(const struct lexer *x, size_t pos)
{
    pos += 2;
    if (pos < x->n && (x->s[pos] == '-' || x->s[pos] == '+'))
        pos++;
    pos = skip_spaces(x, pos);
    if (!has(x, pos, "raw"))
        return 0;
    pos = skip_spaces(x, pos + 3);
    if (has(x, pos, "-%}"))
        return skip_spaces(x, pos + 3);
    return has(x, pos, "%}") ? pos + 2 : 0;
}

static void lex_raw(struct lexer *x, size_t tag, size_t from)
{
    if (from == x->n) { /* open, but with nothing in it: Jinja2 lets that pass */
        x->pos = from;
        return;
    }
    for (size_t i = from; i + 1 < x->n; i++) {
        if (!has(x, i, "{%"))
            continue;
        size_t p = i + 2;
        char sign = p < x->n && (x->s[p] == '-' || x->s[p] == '+') ? x->s[p++] : 0;
        p = skip_spaces(x, p);
        if (!has(x, p, "endraw"))
            continue;
        p = skip_spaces(x, p + 6);
        size_t end = p < x->n ? after_end(x, p, "%}") : 0;
        if (!end)
            continue;
        x->line_start = x->s[from - 1] == '\n';
        add_data(x, from, i, sign, false);
        x->line_start = x->s[end - 1] == '\n';
        x->pos = end;
        return;
    }
    fail(x, tag, QS_EFORMAT, "the template ends inside a raw block: {% endraw %} is missing");
}

static void lex_comment(struct lexer *x, size_t tag, size_t from)
{
    if (from == x->n) {
        x->pos = from;
        return;
    }
    for (size_t i = from; i + 1 < x->n; i++) {
        size_t end = after_end(x, i, "#}");
        if (!end)
            continue;
        x->line_start = x->s[end - 1] == '\n';
        x->pos = end;
        return;
    }
    fail(x, tag, QS_EFORMAT, "the template ends inside a comment: #} is missing");
}

/* --- inside a tag ------------------------------------------------------------------------------------------------- */

static bool digit_of(char c, unsigned base, unsigned *value)
{
    char low = qs_ascii_lower(c);
    unsigned v = c >= '0' && c <= '9' ? (unsigned)(c - '0')
               : low >= 'a' && low <= 'f' ? (unsigned)(low - 'a' + 10) : 99;
    *value = v;
    return v < base;
}

/* Digits with single underscores between them; returns the offset behind. *value saturates into *big. */
static size_t digits(const struct lexer *x, size_t pos, unsigned base, uint64_t *value, bool *big)
{
    unsigned d;
    for (bool first = true; pos < x->n; first = false) {
        size_t at = pos + (!first && x->s[pos] == '_');
        if (at >= x->n || !digit_of(x->s[at], base, &d))
            break;
        *big |= *value > ((uint64_t)INT64_MAX - d) / base;
        *value = *value * base + d;
        pos = at + 1;
    }
    return pos;
}

/* Behind the integer part: the end of a float, or pos when it is none. */
static size_t float_end(const struct lexer *x, size_t pos)
{
    size_t end = pos;
    uint64_t v = 0;
    bool big = false;
    if (end < x->n && x->s[end] == '.') {
        size_t k = digits(x, end + 1, 10, &v, &big);
        if (k == end + 1)
            return pos;
        end = k;
    }
    if (end < x->n && (x->s[end] == 'e' || x->s[end] == 'E')) {
        size_t k = end + 1;
        k += k < x->n && (x->s[k] == '+' || x->s[k] == '-');
        size_t m = digits(x, k, 10, &v, &big);
        if (m > k)
            end = m;
    }
    return end;
}

static void lex_number(struct lexer *x)
{
    size_t at = x->pos, end;
    uint64_t v = 0;
    bool big = false;
    unsigned base = 10;
    if (x->s[at] == '0' && at + 2 < x->n) {
        char kind = qs_ascii_lower(x->s[at + 1]);
        base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    }
    end = digits(x, base == 10 ? at : at + 2, base, &v, &big);
    bool after_dot = at > 0 && x->s[at - 1] == '.';
    size_t real = base == 10 && !after_dot ? float_end(x, end) : end;
    if (base != 10 && end == at + 2) {
        fail(x, at, QS_EFORMAT, "a number without digits");
    } else if (real > end) {
        struct jtoken *t = add(x, T_FLOAT, at, x->s + at, real - at);
        if (!jfloat_read(x->s + at, real - at, &t->f))
            fail(x, at, QS_EFORMAT, "a number that cannot be read");
    } else if (big) {
        fail(x, at, QS_ELIMIT, "an integer that needs more than 64 bits");
    } else if (base == 10 && x->s[at] == '0' && v != 0) {
        fail(x, at, QS_EFORMAT, "a decimal number may not begin with 0");
    } else {
        add(x, T_INT, at, x->s + at, end - at)->i = (int64_t)v;
    }
    x->pos = real;
}

static void add_cp(char **out, uint32_t cp)
{
    unsigned n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = { 0, 0, 0xC0, 0xE0, 0xF0 };
    for (unsigned i = n; i-- > 1; cp >>= 6)
        (*out)[i] = (char)(0x80 | (cp & 0x3F));
    (*out)[0] = (char)(lead[n] | cp);
    *out += n;
}

/* \x41, \u0041, \U00000041, \101: up to `max` digits; all of them must be there unless octal. */
static size_t numbered_escape(struct lexer *x, size_t pos, unsigned base, unsigned max, char **out)
{
    uint32_t v = 0;
    unsigned d, k = 0;
    for (; k < max && pos < x->n && digit_of(x->s[pos], base, &d); k++, pos++)
        v = v * base + d;
    if (base == 16 && k < max)
        fail(x, pos, QS_EFORMAT, "too few digits in an escape of a string");
    else if (v > 0x10FFFF || (v >= 0xD800 && v < 0xE000))
        fail(x, pos, QS_EFORMAT, "an escape of a string is no character");
    else
        add_cp(out, v);
    return pos;
}

/* Behind the backslash; returns the offset behind the escape. */
static size_t escape(struct lexer *x, size_t pos, char **out)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    char c = x->s[pos];
    const char *known = strchr(from, c);
    if (c == '\n')
        return pos + 1; /* a line goes on */
    if (known && c) {
        *(*out)++ = to[known - from];
        return pos + 1;
    }
    if (c == 'x' || c == 'u' || c == 'U')
        return numbered_escape(x, pos + 1, 16, c == 'x' ? 2 : c == 'u' ? 4 : 8, out);
    if (c >= '0' && c <= '7')
        return numbered_escape(x, pos, 8, 3, out);
    if (c == 'N')
        fail(x, pos, QS_EUNSUPPORTED, "characters by name (\\N{...}) are not supported in strings");
    *(*out)++ = '\\'; /* an unknown one stays as it is */
    return pos;
}

static void lex_string(struct lexer *x)
{
    size_t at = x->pos, end = at + 1;
    char quote = x->s[at];
    while (end < x->n && x->s[end] != quote)
        end += x->s[end] == '\\' ? 2 : 1;
    if (end >= x->n) {
        fail(x, at, QS_EFORMAT, "a string is not closed");
        return;
    }
    char *text = jarena_get(x->arena, end - at), *to = text;
    if (!text) {
        x->rc = qs_fail_mem(x->e, end - at, "a string of a template");
        return;
    }
    for (size_t i = at + 1; i < end && !x->rc;) {
        if (x->s[i] == '\\')
            i = escape(x, i + 1, &to);
        else
            *to++ = x->s[i++];
    }
    add(x, T_STRING, at, text, (size_t)(to - text));
    x->pos = end + 1;
}

static bool name_byte(char c, bool first)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80 ||
           (!first && c >= '0' && c <= '9');
}

static const char *const operators[] = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",", ";"
};

static void lex_operator(struct lexer *x, char *open, size_t *n_open)
{
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        size_t k = strlen(operators[i]);
        if (!has(x, x->pos, operators[i]))
            continue;
        char c = k == 1 ? operators[i][0] : 0;
        const char *kind = c ? strchr("([{", c) : NULL;
        if (kind && c && *n_open >= QS_JINJA_NESTING_MAX)
            fail(x, x->pos, QS_ELIMIT, "brackets are nested too deeply");
        else if (kind && c)
            open[(*n_open)++] = ")]}"[kind - "([{"];
        else if (c && strchr(")]}", c) && (*n_open == 0 || open[--*n_open] != c))
            fail(x, x->pos, QS_EFORMAT, "a closing bracket that does not fit");
        add(x, T_OP, x->pos, x->s + x->pos, k);
        x->pos += k;
        return;
    }
    fail(x, x->pos, QS_EFORMAT, "a character that means nothing in an expression");
}

/* From behind {% or {{ to behind the end. */
static void lex_tag(struct lexer *x, bool variable)
{
    char open[QS_JINJA_NESTING_MAX];
    size_t n_open = 0, begin = x->pos;
    for (;;) {
        x->pos = skip_spaces(x, x->pos);
        if (x->rc)
            return;
        if (x->pos >= x->n)
            break;
        char c = x->s[x->pos];
        if (n_open == 0) {
            size_t end = 0;
            if (!variable)
                end = after_end(x, x->pos, "%}");
            else if (has(x, x->pos, "-}}"))
                end = skip_spaces(x, x->pos + 3);
            else if (has(x, x->pos, "}}"))
                end = x->pos + 2;
            if (end) {
                add(x, variable ? T_PRINT_END : T_BLOCK_END, x->pos, x->s + x->pos, 2);
                x->line_start = x->s[end - 1] == '\n';
                x->pos = end;
                return;
            }
        }
        if (c >= '0' && c <= '9') {
            lex_number(x);
        } else if (c == '"' || c == '\'') {
            lex_string(x);
        } else if (name_byte(c, true)) {
            size_t at = x->pos;
            while (x->pos < x->n && name_byte(x->s[x->pos], false) && !space_at(x, x->pos))
                x->pos++;
            add(x, T_NAME, at, x->s + at, x->pos - at);
        } else {
            lex_operator(x, open, &n_open);
        }
    }
    fail(x, begin, QS_EFORMAT, variable ? "the template ends inside {{: }} is missing"
                                        : "the template ends inside {%: %} is missing");
}

static void lex(struct lexer *x)
{
    while (!x->rc && x->pos < x->n) {
        size_t tag = x->pos;
        while (tag < x->n && !(x->s[tag] == '{' && tag + 1 < x->n && strchr("%{#", x->s[tag + 1]) && x->s[tag + 1]))
            tag++;
        if (tag == x->n) {
            add(x, T_DATA, x->pos, x->s + x->pos, x->n - x->pos);
            break;
        }
        char kind = x->s[tag + 1], sign = tag + 2 < x->n ? x->s[tag + 2] : 0;
        sign = sign == '-' || sign == '+' ? sign : 0;
        add_data(x, x->pos, tag, sign, kind == '{');
        size_t raw = kind == '%' ? raw_begin(x, tag) : 0, from = tag + 2 + (sign != 0);
        x->pos = from;
        if (raw) {
            lex_raw(x, tag, raw);
        } else if (kind == '#') {
            lex_comment(x, tag, from);
        } else {
            add(x, kind == '{' ? T_PRINT_BEGIN : T_BLOCK_BEGIN, tag, x->s + tag, 2);
            lex_tag(x, kind == '{');
        }
    }
    add(x, T_EOF, x->n, "", 0);
}

int jinja_lex(const char *source, size_t n, struct jarena *arena, struct jtokens *out, struct qs_err *e)
{
    struct lexer x = { .line = 1, .col = 1, .line_start = true, .arena = arena, .out = out, .e = e };
    char *s = jarena_get(arena, n + 1);
    if (!s)
        return qs_fail_mem(e, n + 1, "a template");
    for (size_t i = 0; i < n; i++) {
        if (source[i] == '\r')
            i += i + 1 < n && source[i + 1] == '\n';
        s[x.n++] = source[i] == '\r' ? '\n' : source[i];
    }
    x.s = s;
    x.n -= x.n > 0 && s[x.n - 1] == '\n';
    size_t bad = qs_utf8_invalid_at(s, x.n);
    if (bad < x.n)
        fail(&x, bad, QS_EFORMAT, "not valid UTF-8");
    else
        lex(&x);
    return x.rc;
}
