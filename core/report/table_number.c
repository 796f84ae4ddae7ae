/* table_number.c - one number as people read it: significant digits, thousands, units. Pure functions. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/report/table.h"

/* Digits of a whole number with a comma between thousands. */
static void add_thousands(struct qs_str *out, const char *digits)
{
    if (*digits == '-')
        qs_str_addc(out, *digits++);
    const size_t n = strlen(digits);
    for (size_t i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            qs_str_addc(out, ',');
        qs_str_addc(out, digits[i]);
    }
}

static void add_significant(struct qs_str *out, double v, int digits)
{
    char buf[64];
    snprintf(buf, sizeof buf, "%.*e", digits - 1, v);
    const char *exp_at = strchr(buf, 'e');
    const int exponent = exp_at ? (exp_at[1] == '-' ? -1 : 1) * (int)(strtoul(exp_at + 2, NULL, 10) % 1000) : 0;
    if (exponent < -4 || exponent > 14) {
        qs_str_add(out, buf);
        return;
    }
    const int decimals = digits - 1 - exponent;
    snprintf(buf, sizeof buf, "%.*f", decimals > 0 ? decimals : 0, v);
    if (decimals > 0)
        qs_str_add(out, buf);
    else
        add_thousands(out, buf);
}

void qs_fmt_int(struct qs_str *out, int64_t value, enum qs_unit unit)
{
    char buf[48];
    if (unit == QS_UNIT_BYTES && value >= 0) {
        qs_str_add(out, qs_fmt_bytes(buf, sizeof buf, (unsigned long long)value));
    } else if (unit == QS_UNIT_PERCENT || unit == QS_UNIT_SECONDS) {
        qs_fmt_num(out, (double)value, unit, 0);
    } else {
        snprintf(buf, sizeof buf, "%lld", (long long)value);
        if (unit == QS_UNIT_ID)
            qs_str_add(out, buf);
        else
            add_thousands(out, buf);
    }
}

void qs_fmt_num(struct qs_str *out, double value, enum qs_unit unit, int digits)
{
    char buf[QS_FMT_MAX];
    if (isnan(value)) {
        qs_str_add(out, "-");
        return;
    }
    if (isinf(value)) {
        qs_str_add(out, value < 0 ? "-inf" : "inf");
        return;
    }
    const double v = unit == QS_UNIT_PERCENT ? 100 * value : value;
    const bool zero = !(v < 0 || v > 0);
    switch (unit) {
    case QS_UNIT_BYTES:
        if (v >= 0 && v < 0x1p63) {
            qs_str_add(out, qs_fmt_bytes(buf, sizeof buf, (unsigned long long)(v + 0.5)));
            return;
        }
        break;
    case QS_UNIT_SECONDS:
        qs_str_add(out, qs_fmt_seconds(buf, sizeof buf, v));
        return;
    case QS_UNIT_BPW:
        if (!digits) {
            qs_str_add(out, qs_fmt_fixed(buf, sizeof buf, v, 2));
            return;
        }
        break;
    case QS_UNIT_PERCENT:
        if (zero)
            qs_str_addc(out, '0');
        else
            add_significant(out, v, digits ? digits : 3);
        qs_str_addc(out, '%');
        return;
    default:
        break;
    }
    if (zero)
        qs_str_addc(out, '0');
    else
        add_significant(out, v, digits ? digits : 3);
}
