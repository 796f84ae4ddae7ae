/* functions.c - the names every template knows: range, dict, namespace, raise_exception, strftime_now.
 *
 * Owns the calendar of strftime_now: the Gregorian one in UTC, English names, whatever the machine's locale and zone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/text/jinja/internal.h"

static struct jvalue range_(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    int64_t v[3] = { 0, 0, 1 };
    (void)self;
    for (size_t i = 0; i < a->n && i < 3; i++) {
        if (a->at[i].kind == J_INT || a->at[i].kind == J_BOOL)
            v[a->n == 1 ? 1 : i] = a->at[i].kind == J_INT ? a->at[i].i : a->at[i].b;
        else
            jfail(r, QS_EFORMAT, "range needs whole numbers, not %s", jtype_name(a->at[i]));
    }
    if (v[2] == 0)
        jfail(r, QS_EFORMAT, "the step of range cannot be zero");
    if (a->n > 3 || a->n_keys)
        jfail(r, QS_EFORMAT, "range takes one to three arguments without names");
    struct jrange *g = r->rc ? NULL : jget(r, sizeof *g);
    if (!g)
        return jnone();
    uint64_t span = v[2] > 0 ? (v[1] > v[0] ? (uint64_t)v[1] - (uint64_t)v[0] : 0)
                             : (v[0] > v[1] ? (uint64_t)v[0] - (uint64_t)v[1] : 0);
    uint64_t step = v[2] > 0 ? (uint64_t)v[2] : 0 - (uint64_t)v[2], n = span / step + (span % step != 0);
    if (n > QS_JINJA_RANGE_MAX)
        jfail(r, QS_ELIMIT, "range of more than %d items", QS_JINJA_RANGE_MAX);
    *g = (struct jrange){ v[0], v[2], (size_t)n, v[1] };
    return (struct jvalue){ .kind = J_RANGE, .range = g };
}

/* dict() and namespace(): a dictionary or pairs, then names. */
static struct jdict *filled(struct jrun *r, const struct jargs *a)
{
    struct jdict *d = jdict_new(r);
    if (a->n > 1)
        jfail(r, QS_EFORMAT, "at most one argument without a name is taken here");
    if (a->n && a->at[0].kind == J_DICT) {
        for (size_t i = 0; i < a->at[0].dict->n && !r->rc; i++)
            jdict_set(r, d, a->at[0].dict->at[i].key, a->at[0].dict->at[i].value);
    } else if (a->n) {
        const struct jlist *l = jiterate(r, a->at[0]);
        for (size_t i = 0; i < l->n && !r->rc; i++) {
            const struct jlist *pair = jiterate(r, l->at[i]);
            if (pair->n == 2)
                jdict_set(r, d, pair->at[0], pair->at[1]);
            else
                jfail(r, QS_EFORMAT, "a dictionary is made of pairs");
        }
    }
    for (size_t i = 0; i < a->n_keys && !r->rc; i++)
        jdict_set(r, d, (struct jvalue){ .kind = J_STR, .s = a->key[i] }, a->value[i]);
    return d;
}

static struct jvalue dict_(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    (void)self;
    return jdict_value(filled(r, a));
}

static struct jvalue namespace_(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    (void)self;
    return (struct jvalue){ .kind = J_NAMESPACE, .dict = filled(r, a) };
}

static struct jvalue raise_exception(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct jvalue s = jto_str(r, *a->slot[0]);
    (void)self;
    if (!r->rc)
        jfail(r, QS_EINVAL, "%.*s", (int)(s.s->n < 400 ? s.s->n : 400), s.s->p);
    return jnone();
}

/* --- the clock ---------------------------------------------------------------------------------------------------- */

struct moment {
    int64_t year;
    int month, day, hour, minute, second, weekday, yearday; /* from 0: month, weekday (Sunday), yearday */
};

static bool leap(int64_t y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

/* Days to a date by eras of 400 years (H. Hinnant, chrono-compatible low-level date algorithms). */
static struct moment moment_of(int64_t seconds)
{
    static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    int64_t days = seconds / 86400 - (seconds % 86400 < 0), rest = seconds - days * 86400;
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int mp = (int)((5 * doy + 2) / 153);
    struct moment m = { .year = yoe + era * 400, .day = (int)(doy - (153 * mp + 2) / 5) + 1,
                        .month = mp < 10 ? mp + 2 : mp - 10, .hour = (int)(rest / 3600),
                        .minute = (int)(rest / 60 % 60), .second = (int)(rest % 60) };
    m.year += m.month <= 1;
    m.weekday = (int)(((days + 4) % 7 + 7) % 7);
    m.yearday = before[m.month] + m.day - 1 + (m.month > 1 && leap(m.year));
    return m;
}

/* The week of ISO 8601 and its year. */
static int iso_week(const struct moment *m, int64_t *year)
{
    int monday0 = (m->weekday + 6) % 7, week = (m->yearday - monday0 + 10) / 7;
    *year = m->year;
    if (week < 1) {
        struct moment last = *m;
        last.year = --*year;
        last.yearday = m->yearday + 365 + leap(*year);
        return (last.yearday - monday0 + 10) / 7;
    }
    if (week == 53 && m->yearday - monday0 + 3 >= 365 + leap(m->year)) {
        ++*year;
        return 1;
    }
    return week;
}

static const char *const day_names[] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" };
static const char *const month_names[] = { "January", "February", "March", "April", "May", "June", "July", "August",
                                           "September", "October", "November", "December" };

/* What stands for a letter in terms of others; NULL: it is a field of its own. */
static const char *compound(char c)
{
    switch (c) {
    case 'c': return "%a %b %e %H:%M:%S %Y";
    case 'D': case 'x': return "%m/%d/%y";
    case 'F': return "%Y-%m-%d";
    case 'R': return "%H:%M";
    case 'r': return "%I:%M:%S %p";
    case 'T': case 'X': return "%H:%M:%S";
    default: return NULL;
    }
}

static const char *word_of(char c, const struct moment *m, int *n)
{
    *n = c == 'a' || c == 'b' || c == 'h' ? 3 : 99;
    switch (c) {
    case 'a': case 'A': return day_names[m->weekday];
    case 'b': case 'B': case 'h': return month_names[m->month];
    case 'p': return m->hour < 12 ? "AM" : "PM";
    case 'P': return m->hour < 12 ? "am" : "pm";
    case 'n': return "\n";
    case 't': return "\t";
    case '%': return "%";
    case 'z': case 'Z': return "";
    default: return NULL;
    }
}

/* A number, how wide, and what it is filled with; false: not such a letter. */
static bool number_of(char c, const struct moment *m, int64_t now, int64_t *v, int *width, char *fill)
{
    int64_t iso_year;
    int week = iso_week(m, &iso_year), hour12 = m->hour % 12 ? m->hour % 12 : 12;
    const struct { char c; int64_t v; int width; char fill; } table[] = {
        { 'd', m->day, 2, '0' }, { 'e', m->day, 2, ' ' }, { 'm', m->month + 1, 2, '0' }, { 'Y', m->year, 1, '0' },
        { 'y', (m->year % 100 + 100) % 100, 2, '0' }, { 'C', m->year / 100, 2, '0' }, { 'H', m->hour, 2, '0' },
        { 'k', m->hour, 2, ' ' }, { 'I', hour12, 2, '0' }, { 'l', hour12, 2, ' ' }, { 'M', m->minute, 2, '0' },
        { 'S', m->second, 2, '0' }, { 'f', 0, 6, '0' }, { 'j', m->yearday + 1, 3, '0' }, { 'w', m->weekday, 1, '0' },
        { 'u', m->weekday ? m->weekday : 7, 1, '0' }, { 'U', (m->yearday + 7 - m->weekday) / 7, 2, '0' },
        { 'W', (m->yearday + 7 - (m->weekday + 6) % 7) / 7, 2, '0' }, { 'V', week, 2, '0' }, { 'G', iso_year, 1, '0' },
        { 'g', (iso_year % 100 + 100) % 100, 2, '0' }, { 's', now, 1, '0' },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].c != c)
            continue;
        *v = table[i].v;
        *width = table[i].width;
        *fill = table[i].fill;
        return true;
    }
    return false;
}

static void add_time(struct jrun *r, struct qs_str *out, const char *f, size_t n, const struct moment *m)
{
    for (size_t i = 0; i < n && jroom(r, out, 64, "strftime_now"); i++) {
        int64_t v;
        int width, cut;
        char fill;
        if (f[i] != '%' || i + 1 == n) {
            qs_str_addc(out, f[i]);
            continue;
        }
        bool bare = f[i + 1] == '-' && i + 2 < n; /* %-d: no filling */
        i += bare ? 2 : 1;
        const char *more = compound(f[i]), *word = word_of(f[i], m, &cut);
        if (more)
            add_time(r, out, more, strlen(more), m);
        else if (word)
            qs_str_addf(out, "%.*s", cut, word);
        else if (!number_of(f[i], m, r->now, &v, &width, &fill))
            jfail(r, QS_EUNSUPPORTED, "strftime_now: %%%c is not supported", f[i]);
        else if (bare || width == 1)
            qs_str_addf(out, "%" PRId64, v);
        else
            qs_str_addf(out, fill == '0' ? "%0*" PRId64 : "%*" PRId64, width, v);
    }
}

static struct jvalue strftime_now(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct qs_str out = QS_STR_INIT;
    (void)self;
    if (a->slot[0]->kind != J_STR)
        jfail(r, QS_EFORMAT, "strftime_now needs a string, not %s", jtype_name(*a->slot[0]));
    int64_t most = (int64_t)250000000000; /* years of five digits and less */
    int64_t now = r->now > most ? most : r->now < -most / 4 ? -most / 4 : r->now;
    struct moment m = moment_of(now);
    if (!r->rc)
        add_time(r, &out, a->slot[0]->s->p, a->slot[0]->s->n, &m);
    return jstr_take(r, &out);
}

static const struct jcallable functions[] = {
    { "range", range_, "*", 1 },
    { "dict", dict_, "*", 0 },
    { "namespace", namespace_, "*", 0 },
    { "raise_exception", raise_exception, "message", 1 },
    { "strftime_now", strftime_now, "format", 1 },
};

const struct jcallable *jfunction_find(const char *p, size_t n)
{
    return jcallable_in(functions, sizeof functions / sizeof *functions, p, n);
}
