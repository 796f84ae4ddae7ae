/* format.c - Python's two ways of putting values into a text: "%s %d" % values, and "{} {0} {name}".format().
 *
 * Owns flags, width and precision of %, and of format() fill, align, sign, zeros, width, grouping by comma, precision
 * and the types s d f e g x X o b c %. Refuses what is left (attributes and items in format fields, nested fields) by
 * name.
 */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/unicode.h"
#include "core/text/jinja/internal.h"

#define WIDTH_MAX 65536

struct field {
    char fill[8];
    char align, sign, type; /* 0: not given */
    bool alternate, zero, comma;
    int64_t width, precision; /* -1: not given */
};

/* The decimal point of C's own locale, wherever the program runs. */
static void point(char *text)
{
    for (char *p = text; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '+' && *p != '-') {
            *p = '.';
            if ((unsigned char)p[1] >= 0x80) /* a separator of two bytes */
                memmove(p + 1, p + 2, strlen(p + 2) + 1);
            return;
        }
}

static void float_digits(double f, const struct field *x, char *text, size_t n)
{
    int precision = x->precision < 0 ? 6 : x->precision > 300 ? 300 : (int)x->precision;
    char low = qs_ascii_lower(x->type);
    if (!isfinite(f)) {
        snprintf(text, n, "%s", isnan(f) ? "nan" : "inf");
        for (char *p = text; isupper((unsigned char)x->type) && *p; p++)
            *p = (char)(*p - 32);
        return;
    }
    if (low == 'e')
        snprintf(text, n, x->type == 'e' ? "%.*e" : "%.*E", precision, fabs(f));
    else if (low == 'g')
        snprintf(text, n, x->type == 'g' ? "%.*g" : "%.*G", precision, fabs(f));
    else
        snprintf(text, n, "%.*f", precision, fabs(f));
    point(text);
}

static void int_digits(uint64_t v, char type, char *text, size_t n)
{
    char back[66];
    size_t k = 0;
    unsigned base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
    do
        back[k++] = (type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[v % base];
    while ((v /= base) > 0);
    for (size_t i = 0; i < k && i + 1 < n; i++)
        text[i] = back[k - 1 - i];
    text[k] = 0;
}

static void group(const char *digits, struct qs_str *out)
{
    size_t whole = strspn(digits, "0123456789");
    for (size_t i = 0; i < whole; i++) {
        if (i && (whole - i) % 3 == 0)
            qs_str_addc(out, ',');
        qs_str_addc(out, digits[i]);
    }
    qs_str_add(out, digits + whole);
}

static void pad(struct jrun *r, struct qs_str *out, const struct field *x, const char *sign, const char *body, size_t n,
                size_t chars)
{
    int64_t missing = x->width - (int64_t)chars - (int64_t)strlen(sign), left = 0;
    if (missing < 0)
        missing = 0;
    if (missing > WIDTH_MAX) {
        jfail(r, QS_ELIMIT, "a field wider than %d", WIDTH_MAX);
        return;
    }
    if (!jroom(r, out, strlen(sign) + n + (size_t)missing * strlen(x->fill), "a format"))
        return;
    left = x->align == '<' ? 0 : x->align == '^' ? missing / 2 : missing;
    if (x->align == '=')
        qs_str_add(out, sign);
    for (int64_t i = 0; i < left; i++)
        qs_str_add(out, x->fill);
    if (x->align != '=')
        qs_str_add(out, sign);
    qs_str_addn(out, body, n);
    for (int64_t i = left; i < missing; i++)
        qs_str_add(out, x->fill);
}

static void add_number(struct jrun *r, struct qs_str *out, struct field *x, struct jvalue v)
{
    char digits[700], sign[4] = "";
    struct qs_str body = QS_STR_INIT;
    bool as_float = x->type && strchr("eEfFgG%", x->type), negative;
    if (as_float) {
        double f = jnumber(v) * (x->type == '%' ? 100 : 1);
        negative = signbit(f);
        float_digits(f, x, digits, sizeof digits);
    } else {
        int64_t i = v.kind == J_FLOAT ? (int64_t)v.f : v.kind == J_BOOL ? v.b : v.i;
        negative = i < 0;
        int_digits(negative ? 0 - (uint64_t)i : (uint64_t)i, x->type, digits, sizeof digits);
    }
    if (negative || x->sign == '+' || x->sign == ' ')
        sign[0] = negative ? '-' : x->sign;
    if (x->alternate && x->type && strchr("xXob", x->type))
        snprintf(sign + strlen(sign), 3, "0%c", x->type);
    if (x->comma)
        group(digits, &body);
    else
        qs_str_add(&body, digits);
    if (x->type == '%')
        qs_str_addc(&body, '%');
    pad(r, out, x, sign, body.data, body.len, body.len);
    qs_str_free(&body);
}

static void add_text(struct jrun *r, struct qs_str *out, const struct field *x, struct jvalue v)
{
    struct jvalue s = jto_str(r, v);
    if (r->rc)
        return;
    size_t n = s.s->n, chars = s.s->chars;
    if (x->precision >= 0 && (uint64_t)x->precision < chars) {
        chars = (size_t)x->precision;
        n = jtext_offset(s.s, chars);
    }
    pad(r, out, x, "", s.s->p, n, chars);
}

static int64_t read_number(const char *p, size_t n, size_t *i)
{
    int64_t v = -1;
    for (; *i < n && isdigit((unsigned char)p[*i]); ++*i)
        v = v > WIDTH_MAX ? v : (v < 0 ? 0 : v * 10) + (p[*i] - '0');
    return v;
}

/* --- % ------------------------------------------------------------------------------------------------------------ */

struct percent { struct jvalue args; size_t next; bool by_name; };

static struct jvalue next_arg(struct jrun *r, struct percent *c)
{
    bool many = c->args.kind == J_TUPLE;
    if (c->next >= (many ? c->args.list->n : 1)) {
        jfail(r, QS_EFORMAT, "not enough values for the format");
        return jnone();
    }
    c->next++;
    return many ? c->args.list->at[c->next - 1] : c->args;
}

static void percent_field(struct jrun *r, struct qs_str *out, struct field *x, struct jvalue v)
{
    if (r->rc)
        return;
    if (strchr("sra", x->type)) {
        struct qs_str s = QS_STR_INIT;
        if (x->type != 's') {
            jrepr(r, &s, v);
            v = jstr_take(r, &s);
        }
        add_text(r, out, x, v);
    } else if (x->type == 'c' && v.kind == J_STR && v.s->chars == 1) {
        add_text(r, out, x, v);
    } else if (strchr("diuxXoeEfFgG", x->type) && x->type) {
        if (!jis_number(v) || (v.kind == J_FLOAT && strchr("xXo", x->type)) ||
            (v.kind == J_FLOAT && strchr("diu", x->type) && !(fabs(v.f) < 0x1p63))) {
            jfail(r, QS_EFORMAT, "%%%c needs a number, not %s", x->type, jtype_name(v));
            return;
        }
        if (x->zero && x->align != '<') {
            x->align = '=';
            x->fill[0] = '0';
        }
        add_number(r, out, x, v);
    } else {
        jfail(r, QS_EUNSUPPORTED, "%%%c is not supported in formats", isprint((unsigned char)x->type) ? x->type : '?');
    }
}

struct jvalue jformat_percent(struct jrun *r, const struct jstr *format, struct jvalue args)
{
    struct qs_str out = QS_STR_INIT;
    struct percent c = { .args = args };
    const char *p = format->p;
    size_t n = format->n;
    for (size_t i = 0; i < n && jwork(r, 0); i++) {
        if (p[i] != '%') {
            qs_str_addc(&out, p[i]);
            continue;
        }
        struct field x = { .fill = " ", .align = '>', .width = -1, .precision = -1 };
        struct jvalue v = jnone();
        bool named = ++i < n && p[i] == '(';
        if (named) {
            const char *close = memchr(p + i, ')', n - i);
            size_t len = close ? (size_t)(close - p) - i - 1 : 0;
            const struct jvalue *found = args.kind == J_DICT && close ? jdict_getn(r, args.dict, p + i + 1, len) : NULL;
            if (!found) {
                jfail(r, QS_EFORMAT, "the format names a value that is not given");
                break;
            }
            v = *found;
            c.by_name = true;
            i += len + 2;
        }
        for (; i < n && p[i] && strchr("#0- +", p[i]); i++) {
            x.alternate |= p[i] == '#';
            x.zero |= p[i] == '0';
            x.align = p[i] == '-' ? '<' : x.align;
            x.sign = p[i] == '+' ? '+' : p[i] == ' ' && !x.sign ? ' ' : x.sign;
        }
        x.width = read_number(p, n, &i);
        if (i < n && p[i] == '.') {
            i++;
            x.precision = read_number(p, n, &i);
            x.precision = x.precision < 0 ? 0 : x.precision;
        }
        x.type = i < n ? p[i] : 0;
        if (x.type == '%') {
            qs_str_addc(&out, '%');
            continue;
        }
        if (!x.type)
            jfail(r, QS_EFORMAT, "the format ends inside a field");
        else
            percent_field(r, &out, &x, named ? v : next_arg(r, &c));
    }
    if (!c.by_name && args.kind != J_DICT && !r->rc && c.next < (args.kind == J_TUPLE ? args.list->n : 1))
        jfail(r, QS_EFORMAT, "not all values were used by the format");
    return jstr_take(r, &out);
}

/* --- format() ----------------------------------------------------------------------------------------------------- */

static void braces_spec(struct jrun *r, const char *p, size_t n, struct field *x)
{
    size_t i = 0, k = 0;
    if (n > 0)
        qs_utf8_next(p, n, &k);
    if (k < n && strchr("<>^=", p[k]) && p[k]) {
        memcpy(x->fill, p, k);
        x->fill[k] = 0;
        x->align = p[k];
        i = k + 1;
    } else if (n > 0 && *p && strchr("<>^=", *p)) {
        x->align = *p;
        i = 1;
    }
    if (i < n && p[i] && strchr("+- ", p[i]))
        x->sign = p[i++];
    if (i < n && p[i] == '#') {
        x->alternate = true;
        i++;
    }
    if (i < n && p[i] == '0') {
        x->zero = true;
        i++;
    }
    x->width = read_number(p, n, &i);
    if (i < n && p[i] == ',') {
        x->comma = true;
        i++;
    }
    if (i < n && p[i] == '.') {
        i++;
        x->precision = read_number(p, n, &i);
    }
    if (i < n)
        x->type = p[i++];
    if (i < n || (x->type && !strchr("sdfFeEgGxXobn%", x->type)))
        jfail(r, QS_EUNSUPPORTED, "the format '%.*s' is not supported", (int)(n < 100 ? n : 100), p);
}

static void braces_field(struct jrun *r, struct qs_str *out, struct jvalue v, char conversion, const char *spec,
                         size_t n)
{
    struct field x = { .fill = " ", .width = -1, .precision = -1 };
    struct qs_str s = QS_STR_INIT;
    braces_spec(r, spec, n, &x);
    if (r->rc)
        return;
    if (conversion == 'r' || conversion == 'a') {
        jrepr(r, &s, v);
        v = jstr_take(r, &s);
    } else if (conversion == 's') {
        v = jto_str(r, v);
    }
    bool number = jis_number(v) && (v.kind != J_BOOL || x.type) && x.type != 's';
    if (x.zero && !x.align) {
        x.align = number ? '=' : '<';
        x.fill[0] = '0';
        x.fill[1] = 0;
    }
    if (!x.align)
        x.align = number ? '>' : '<';
    if (!number && x.type && x.type != 's') {
        jfail(r, QS_EFORMAT, "the format '%c' needs a number, not %s", x.type, jtype_name(v));
    } else if (number && v.kind == J_FLOAT && !x.type && x.precision < 0 && !x.comma) {
        struct qs_str f = QS_STR_INIT;
        jfloat_text(&f, fabs(v.f));
        const char sign[2] = { signbit(v.f) ? '-' : x.sign == '-' ? 0 : x.sign, 0 };
        pad(r, out, &x, sign, f.data, f.len, f.len);
        qs_str_free(&f);
    } else if (number && v.kind == J_FLOAT && (!x.type || strchr("dxXob", x.type))) {
        if (x.type)
            jfail(r, QS_EFORMAT, "the format '%c' needs a whole number", x.type);
        x.type = x.comma && x.precision < 0 ? 'f' : 'g';
        add_number(r, out, &x, v);
    } else if (number) {
        add_number(r, out, &x, v);
    } else {
        add_text(r, out, &x, v);
    }
}

/* The value a field names: by number, by name, or the next one. */
static struct jvalue braces_value(struct jrun *r, const struct jargs *a, const char *p, size_t n, size_t *next)
{
    size_t i = 0;
    int64_t number = n ? read_number(p, n, &i) : (int64_t)(*next)++;
    if (i == n && number >= 0 && (uint64_t)number < a->n)
        return a->at[number];
    for (size_t k = 0; n && i < n && k < a->n_keys; k++)
        if (a->key[k]->n == n && memcmp(a->key[k]->p, p, n) == 0)
            return a->value[k];
    if (memchr(p, '.', n) || memchr(p, '[', n))
        jfail(r, QS_EUNSUPPORTED, "attributes and items in fields of format() are not supported");
    else
        jfail(r, QS_EFORMAT, "format() has no value for the field '%.*s'", (int)(n < 100 ? n : 100), p);
    return jnone();
}

struct jvalue jformat_braces(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct qs_str out = QS_STR_INIT;
    const char *p = self.s->p;
    size_t n = self.s->n, next = 0;
    for (size_t i = 0; i < n && jwork(r, 0); i++) {
        if ((p[i] == '{' || p[i] == '}') && i + 1 < n && p[i + 1] == p[i]) {
            qs_str_addc(&out, p[i++]);
        } else if (p[i] == '{') {
            const char *end = memchr(p + i, '}', n - i);
            const char *name = p + i + 1, *stop;
            if (!end || memchr(name, '{', (size_t)(end - name))) {
                jfail(r, QS_EFORMAT, "a field of format() is not closed, or has fields inside");
                break;
            }
            for (stop = name; stop < end && *stop != '!' && *stop != ':'; stop++)
                ;
            char conversion = *stop == '!' && stop + 1 < end ? stop[1] : 0;
            const char *spec = stop + (conversion ? 2 : 0);
            spec += spec < end && *spec == ':';
            struct jvalue v = braces_value(r, a, name, (size_t)(stop - name), &next);
            braces_field(r, &out, v, conversion, spec, (size_t)(end - spec));
            i = (size_t)(end - p);
        } else if (p[i] == '}') {
            jfail(r, QS_EFORMAT, "a single } in a format()");
        } else {
            qs_str_addc(&out, p[i]);
        }
    }
    return jstr_take(r, &out);
}
