/* sampler_settings.c - the settings of the sampler: one table for screens, options and files.
 *
 * Owns names, ranges and initial values, and reading and writing them as text, alike in every locale.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/near.h"
#include "core/text/sampler.h"

#define AT(field) offsetof(struct qs_sampler_settings, field)

static const struct qs_sampler_setting table[] = {
    { "temperature", "temperature", false, 0.8, 0, 10, AT(temperature),
      "spread of the choice; 0: always the likeliest" },
    { "top-k", "top_k", true, 40, 0, 1e6, AT(top_k), "only the k likeliest; 0: all" },
    { "top-p", "top_p", false, 0.95, 0, 1, AT(top_p), "only the likeliest that make up this share; 1: all" },
    { "min-p", "min_p", false, 0.05, 0, 1, AT(min_p), "only what has this share of the likeliest; 0: all" },
    { "repeat-penalty", "repeat_penalty", false, 1, 0.01, 100, AT(repeat_penalty),
      "makes what was said less likely; 1: off" },
    { "presence-penalty", "presence_penalty", false, 0, -100, 100, AT(presence_penalty),
      "taken off once for what was said" },
    { "frequency-penalty", "frequency_penalty", false, 0, -100, 100, AT(frequency_penalty),
      "taken off for each time it was said" },
    { "repeat-last-n", "repeat_last_n", true, 64, -1, 1e9, AT(repeat_last_n),
      "tokens the penalties look back on; -1: all" },
    { "seed", "seed", true, 1, 0, 0x1p53, AT(seed), "of the random numbers: the same seed, the same answer" },
};

const struct qs_sampler_setting *qs_sampler_table(size_t *n)
{
    *n = sizeof table / sizeof *table;
    return table;
}

static void store(struct qs_sampler_settings *s, const struct qs_sampler_setting *row, double v)
{
    char *at = (char *)s + row->offset;
    int64_t whole = (int64_t)v;
    if (row->whole)
        memcpy(at, &whole, sizeof whole);
    else
        memcpy(at, &v, sizeof v);
}

static double load(const struct qs_sampler_settings *s, const struct qs_sampler_setting *row, int64_t *whole)
{
    const char *at = (const char *)s + row->offset;
    double v;
    *whole = 0;
    if (!row->whole) {
        memcpy(&v, at, sizeof v);
        return v;
    }
    memcpy(whole, at, sizeof *whole);
    return (double)*whole;
}

void qs_sampler_defaults(struct qs_sampler_settings *s)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        store(s, &table[i], table[i].initial);
}

/* A number as JSON writes it; %g would follow the locale. */
static void number_text(struct qs_str *out, double v)
{
    struct qs_json *a = qs_json_array();
    struct qs_str text = QS_STR_INIT;
    bool whole = !(v < trunc(v)) && !(v > trunc(v)) && fabs(v) < 0x1p60;
    if (whole)
        qs_json_add_int(a, NULL, (int64_t)v);
    else
        qs_json_add_num(a, NULL, v);
    if (a && qs_json_print(qs_json_at(a, 0), false, &text))
        qs_str_addn(out, text.data, text.len);
    else
        out->failed = true;
    qs_str_free(&text);
    if (a)
        qs_json_free(a);
}

void qs_sampler_show(const struct qs_sampler_settings *s, const struct qs_sampler_setting *row, struct qs_str *out)
{
    int64_t whole;
    double v = load(s, row, &whole);
    if (row->whole)
        qs_str_addf(out, "%" PRId64, whole);
    else
        number_text(out, v);
}

static int check_row(const struct qs_sampler_settings *s, const struct qs_sampler_setting *row, struct qs_err *e)
{
    int64_t whole;
    double v = load(s, row, &whole);
    if (v >= row->min && v <= row->max)
        return QS_OK;
    struct qs_str text = QS_STR_INIT;
    qs_str_addf(&text, "%s must lie between ", row->name);
    number_text(&text, row->min);
    qs_str_add(&text, " and ");
    number_text(&text, row->max);
    qs_str_add(&text, ", not ");
    qs_sampler_show(s, row, &text);
    int rc = qs_fail(e, QS_EINVAL, "%s", text.data);
    qs_str_free(&text);
    return rc;
}

int qs_sampler_check(const struct qs_sampler_settings *s, struct qs_err *e)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int rc = check_row(s, &table[i], e);
        if (rc)
            return rc;
    }
    return QS_OK;
}

int qs_sampler_set(struct qs_sampler_settings *s, const char *name, const char *value, struct qs_err *e)
{
    char buf[200];
    struct qs_near near;
    const struct qs_sampler_setting *row = NULL;
    qs_near_start(&near, name);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (qs_ascii_equal(name, table[i].name) || qs_ascii_equal(name, table[i].key))
            row = &table[i];
        qs_near_try(&near, table[i].name);
    }
    if (!row)
        return qs_fail(e, QS_ENOTFOUND, "no sampler setting is named '%.60s'%s", name,
                       qs_near_text(&near, buf, sizeof buf));
    struct qs_json *j = NULL;
    char padded[64];
    snprintf(padded, sizeof padded, "%s%.60s", *value == '.' ? "0" : "", value); /* .5 is 0.5 */
    bool number = strlen(value) < 60 && !qs_json_parse(padded, strlen(padded), &j, NULL) &&
                  (qs_json_type(j) == QS_JSON_INT || qs_json_type(j) == QS_JSON_DOUBLE);
    double v = number ? qs_json_num(j, 0) : 0;
    if (j)
        qs_json_free(j);
    if (!number || (row->whole && (v < trunc(v) || v > trunc(v))))
        return qs_fail(e, QS_EINVAL, "%s needs a %s, not '%.60s'", row->name,
                       row->whole ? "whole number" : "number", value);
    struct qs_sampler_settings changed = *s;
    store(&changed, row, v > 0x1p62 ? 0x1p62 : v < -0x1p62 ? -0x1p62 : v);
    int rc = check_row(&changed, row, e);
    if (!rc)
        *s = changed;
    return rc;
}
