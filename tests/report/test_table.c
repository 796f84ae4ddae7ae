/* test_table.c - reports: text at several widths, JSON and CSV with stable keys, sorting, hostile text, failing memory.
 */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/unicode.h"
#include "core/report/table.h"

static const struct qs_column columns[] = {
    { .key = "name", .title = "name", .left = true },
    { .key = "bytes", .title = "size", .unit = QS_UNIT_BYTES },
    { .key = "error", .title = "error", .unit = QS_UNIT_PERCENT },
    { .key = "bpw", .title = "bpw", .unit = QS_UNIT_BPW, .optional = true },
    { .key = "kurtosis", .title = "kurtosis", .digits = 4, .optional = true },
    { .key = "ok", .title = "ok" },
};

static struct qs_report *sample_report(void)
{
    struct qs_report *r = qs_report_new("sample");
    struct qs_section *f = qs_report_facts(r, "model", "Model");
    qs_fact_str(f, "name", "name", "story\x1b[31mteller");
    qs_fact_int(f, "weights", "weights", 8917248, QS_UNIT_WEIGHTS);
    qs_fact_int(f, "bytes", "size", 17939808, QS_UNIT_BYTES);
    qs_fact_num(f, "bpw", "bits per weight", 4.5, QS_UNIT_BPW, QS_HOW_EXACT);
    qs_fact_num(f, "error", "error", 0.0742, QS_UNIT_PERCENT, QS_HOW_SAMPLED);
    qs_fact_bool(f, "tied", "tied", true);
    qs_section_note(f, "sizes are in %s", "MiB of 2^20 bytes");
    struct qs_section *s = qs_report_table(r, "tensors", "Tensors", columns, sizeof columns / sizeof *columns);
    static const char *const name[] = { "blk.10.attn_q.weight", "blk.2.attn_q.weight", "with, \"quotes\"" };
    for (size_t i = 0; i < 3; i++) {
        qs_row(s);
        qs_cell_str(s, 0, name[i]);
        qs_cell_int(s, 1, (int64_t)(i * 131072));
        qs_cell_num(s, 2, 0.0123456 * (double)(i + 1));
        qs_cell_how(s, 2, i ? QS_HOW_SAMPLED : QS_HOW_WHOLE, i ? 0.0005 : 0);
        qs_cell_num(s, 3, 4.5);
        qs_cell_num(s, 4, i == 1 ? (double)NAN : 12345.678);
        qs_cell_bool(s, 5, i != 1);
    }
    return r;
}

static void check_num(double v, enum qs_unit u, int digits, const char *want)
{
    struct qs_str s = QS_STR_INIT;
    qs_fmt_num(&s, v, u, digits);
    assert_string_equal(s.data, want);
    qs_str_free(&s);
}

static void test_numbers(void **state)
{
    (void)state;
    check_num(0, QS_UNIT_NONE, 0, "0");
    check_num((double)NAN, QS_UNIT_PERCENT, 0, "-");
    check_num(-(double)INFINITY, QS_UNIT_NONE, 0, "-inf");
    check_num(0.0742, QS_UNIT_PERCENT, 0, "7.42%");
    check_num(0.99999, QS_UNIT_PERCENT, 3, "100%");
    check_num(9.9999, QS_UNIT_NONE, 3, "10.0");
    check_num(1, QS_UNIT_PERCENT, 4, "100.0%");
    check_num(1e-9, QS_UNIT_PERCENT, 3, "1.00e-07%");
    check_num(1234567.8, QS_UNIT_NONE, 3, "1,234,568");
    check_num(-1234567.8, QS_UNIT_NONE, 3, "-1,234,568");
    check_num(-0.00123, QS_UNIT_NONE, 3, "-0.00123");
    check_num(1e20, QS_UNIT_NONE, 3, "1.00e+20");
    check_num(4.5625, QS_UNIT_BPW, 0, "4.56");
    check_num(4.5625, QS_UNIT_BPW, 5, "4.5625");
    check_num(1536, QS_UNIT_BYTES, 0, "1.50 KiB");
    check_num(75, QS_UNIT_SECONDS, 0, "1 min 15 s");
    struct qs_str s = QS_STR_INIT;
    qs_fmt_int(&s, INT64_MIN, QS_UNIT_COUNT);
    assert_string_equal(s.data, "-9,223,372,036,854,775,808");
    qs_str_clear(&s);
    qs_fmt_int(&s, 999, QS_UNIT_COUNT);
    assert_string_equal(s.data, "999");
    qs_str_clear(&s);
    qs_fmt_int(&s, 49152, QS_UNIT_ID);
    assert_string_equal(s.data, "49152");
    qs_str_free(&s);
}

static void test_text(void **state)
{
    (void)state;
    struct qs_report *r = sample_report();
    struct qs_str s = QS_STR_INIT;
    qs_report_text(r, &(struct qs_text_style){ .width = 0 }, &s);
    assert_string_equal(s.data,
        "Model\n"
        "  name             story\\x1B[31mteller\n"
        "  weights          8,917,248\n"
        "  size             17.1 MiB\n"
        "  bits per weight  4.50 bpw\n"
        "  error            ~7.42%\n"
        "  tied             yes\n"
        "  ~ measured on a sample of rows\n"
        "  sizes are in MiB of 2^20 bytes\n"
        "\n"
        "Tensors\n"
        "  name                     size   error   bpw  kurtosis   ok\n"
        "  --------------------  -------  ------  ----  --------  ---\n"
        "  blk.10.attn_q.weight      0 B   1.23%  4.50    12,346  yes\n"
        "  blk.2.attn_q.weight   128 KiB  ~2.47%  4.50         -   no\n"
        "  with, \"quotes\"        256 KiB  ~3.70%  4.50    12,346  yes\n"
        "  ~ measured on a sample of rows\n");
    qs_str_free(&s);
    qs_report_free(r);
}

static size_t widest_line(const char *text)
{
    size_t most = 0;
    for (const char *p = text; *p;) {
        const size_t n = strcspn(p, "\n"), w = qs_utf8_width(p, n);
        most = w > most ? w : most;
        p += n + (p[n] != 0);
    }
    return most;
}

static void test_widths(void **state)
{
    (void)state;
    struct qs_report *r = sample_report();
    for (unsigned width = 34; width < 100; width++) {
        struct qs_str s = QS_STR_INIT;
        qs_report_text(r, &(struct qs_text_style){ .width = width }, &s);
        assert_true(widest_line(s.data) <= width);
        assert_true(strstr(s.data, width < 60 ? "not shown at this width" : "12,346") != NULL);
        assert_true((strstr(s.data, "blk.10.attn_q.weight") == NULL) == (width < 44)); /* shortened only when needed */
        qs_str_free(&s);
    }
    qs_report_free(r);
}

static void test_wrapped_last_column(void **state)
{
    (void)state;
    static const struct qs_column two[] = { { .key = "k", .title = "k", .left = true },
                                            { .key = "about", .title = "about", .left = true } };
    struct qs_report *r = qs_report_new("w");
    struct qs_section *t = qs_report_table(r, "t", "", two, 2);
    qs_row(t);
    qs_cell_str(t, 0, "a");
    qs_cell_str(t, 1, "the quick brown fox jumps over the lazy dog and runs");
    struct qs_str s = QS_STR_INIT;
    qs_report_text(r, &(struct qs_text_style){ .width = 40 }, &s);
    assert_string_equal(s.data, "  k  about\n"
                                "  -  -----------------------------------\n"
                                "  a  the quick brown fox jumps over the\n"
                                "     lazy dog and runs\n");
    qs_str_free(&s);
    qs_report_free(r);
}

/* Text of a table of two columns, a name and a number or a text, at a width. */
static void check_two(const struct qs_column *second, const char *const name[], const double *num,
                      const char *const text[], size_t rows, struct qs_text_style style, const char *want)
{
    const struct qs_column c[] = { { .key = "name", .title = "name", .left = true },
                                   { .key = "size", .title = "size", .unit = QS_UNIT_BYTES, .optional = true },
                                   { .key = "empty", .title = "empty", .left = true }, *second };
    struct qs_report *r = qs_report_new("two");
    struct qs_section *t = qs_report_table(r, "t", "", c, 4);
    for (size_t i = 0; i < rows; i++) {
        qs_row(t);
        qs_cell_str(t, 0, name[i]);
        qs_cell_int(t, 1, 1024);
        qs_cell_str(t, 2, "");
        if (num)
            qs_cell_num(t, 3, num[i]);
        else
            qs_cell_str(t, 3, text[i]);
    }
    struct qs_str s = QS_STR_INIT;
    qs_report_text(r, &style, &s);
    assert_string_equal(s.data, want);
    qs_str_free(&s);
    qs_report_free(r);
}

static const char *const two_names[] = { "a", "blk.10.attn_output.weight" };

/* Points stand below each other; a column that is empty takes no room. */
static void test_decimals(void **state)
{
    (void)state;
    static const double near[] = { 0.123, 0.0712 }, far[] = { 0.311, 0.0000239 }, bpw[] = { 32, 8.5 };
    struct qs_column c = { .key = "v", .title = "v", .unit = QS_UNIT_PERCENT };
    check_two(&c, two_names, near, NULL, 2, (struct qs_text_style){ 0, false },
              "  name                           size       v\n"
              "  -------------------------  --------  ------\n"
              "  a                          1.00 KiB  12.30%\n"
              "  blk.10.attn_output.weight  1.00 KiB   7.12%\n");
    check_two(&c, two_names, far, NULL, 2, (struct qs_text_style){ 40, false }, /* too far apart */
              "  name                              v\n"
              "  -------------------------  --------\n"
              "  a                             31.1%\n"
              "  blk.10.attn_output.weight  0.00239%\n"
              "  not shown at this width: size\n");
    c.digits = -2;
    check_two(&c, two_names, far, NULL, 2, (struct qs_text_style){ 40, false },
              "  name                            v\n"
              "  -------------------------  ------\n"
              "  a                          31.10%\n"
              "  blk.10.attn_output.weight  <0.01%\n"
              "  not shown at this width: size\n");
    c = (struct qs_column){ .key = "v", .title = "bpw", .unit = QS_UNIT_BPW, .digits = 5 };
    check_two(&c, two_names, bpw, NULL, 2, (struct qs_text_style){ 31, true }, /* names give way in the middle */
              "  name                      bpw\n"
              "  --------------------  -------\n"
              "  a                     32.0000\n"
              "  blk.10.attn_output..   8.5000\n"
              "  not shown at this width: size\n");
}

/* A last column of text is wrapped; where that would take many lines, what does not fit stands below its row. */
static void test_text_columns(void **state)
{
    (void)state;
    static const char *const text[] = { "short",
                                        "a caf\xc3\xa9 that is told about in a good many words, all of them needed" };
    const struct qs_column c = { .key = "about", .title = "about", .left = true };
    check_two(&c, two_names, NULL, text, 2, (struct qs_text_style){ 62, false },
              "  name                       about\n"
              "  -------------------------  ---------------------------------\n"
              "  a                          short\n"
              "  blk.10.attn_output.weight  a caf\xc3\xa9 that is told about in a\n"
              "                             good many words, all of them\n"
              "                             needed\n"
              "  not shown at this width: size\n");
    check_two(&c, two_names, NULL, text, 2, (struct qs_text_style){ 44, true },
              "  name                       about\n"
              "  -------------------------  -----\n"
              "  a                          short\n"
              "  blk.10.attn_output.weight\n"
              "      a caf\\u{E9} that is told about in a\n"
              "      good many words, all of them needed\n"
              "  not shown at this width: size\n");
}

static void test_json(void **state)
{
    (void)state;
    struct qs_report *r = sample_report();
    struct qs_str s = QS_STR_INIT;
    struct qs_json *v = NULL;
    struct qs_err e = QS_ERR_INIT;
    assert_true(qs_report_json(r, &s));
    assert_int_equal(qs_json_parse(s.data, s.len, &v, &e), 0);
    assert_string_equal(qs_json_str(qs_json_get(v, "report"), ""), "sample");
    assert_int_equal(qs_json_int(qs_json_get(v, "version"), 0), 1);
    const struct qs_json *m = qs_json_get(v, "model"), *t = qs_json_get(v, "tensors");
    assert_int_equal(qs_json_int(qs_json_get(m, "bytes"), 0), 17939808);
    assert_string_equal(qs_json_str(qs_json_get(m, "error_how"), ""), "sampled");
    assert_string_equal(qs_json_str(qs_json_get(m, "name"), ""), "story\x1b[31mteller");
    assert_true(qs_json_bool(qs_json_get(m, "tied"), false));
    assert_int_equal(qs_json_len(t), 3);
    const struct qs_json *row = qs_json_at(t, 1);
    assert_true(fabs(qs_json_num(qs_json_get(row, "error"), 0) - 2 * 0.0123456) < 1e-17);
    assert_true(fabs(qs_json_num(qs_json_get(row, "error_se"), 0) - 0.0005) < 1e-17);
    assert_string_equal(qs_json_str(qs_json_get(row, "error_how"), ""), "sampled");
    assert_int_equal(qs_json_type(qs_json_get(row, "kurtosis")), QS_JSON_NULL);
    assert_null(qs_json_get(row, "bpw_how"));
    assert_string_equal(qs_json_str(qs_json_get(qs_json_at(t, 0), "error_how"), ""), "whole");
    assert_int_equal(qs_json_len(qs_json_get(v, "notes")), 1);
    qs_json_free(v);
    qs_str_free(&s);
    qs_report_free(r);
}

static void test_csv(void **state)
{
    (void)state;
    struct qs_report *r = sample_report();
    struct qs_str s = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_report_csv(r, NULL, &s, &e), 0);
    assert_string_equal(s.data,
        "name,bytes,error,error_se,error_how,bpw,kurtosis,ok\r\n"
        "blk.10.attn_q.weight,0,0.0123456,0,whole,4.5,12345.678,true\r\n"
        "blk.2.attn_q.weight,131072,0.0246912,0.0005,sampled,4.5,,false\r\n"
        "\"with, \"\"quotes\"\"\",262144,0.0370368,0.0005,sampled,4.5,12345.678,true\r\n");
    qs_str_clear(&s);
    assert_int_equal(qs_report_csv(r, "model", &s, &e), QS_EINVAL);
    assert_int_equal(qs_report_csv(r, "tensors", &s, &e), 0);
    qs_str_free(&s);
    qs_report_free(r);
}

static void test_sort(void **state)
{
    (void)state;
    struct qs_report *r = sample_report();
    struct qs_section *s = qs_report_section(r, 1);
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_section_sort(s, "name", &e), 0);
    assert_string_equal(qs_section_cell(s, 0, 0)->str, "blk.2.attn_q.weight");
    assert_int_equal(qs_section_sort(s, "-error", &e), 0);
    assert_string_equal(qs_section_cell(s, 0, 0)->str, "with, \"quotes\"");
    assert_int_equal(qs_section_sort(s, "kurtosis", &e), 0); /* ties keep their order, the empty one comes last */
    assert_string_equal(qs_section_cell(s, 0, 0)->str, "with, \"quotes\"");
    assert_string_equal(qs_section_cell(s, 1, 0)->str, "blk.10.attn_q.weight");
    assert_int_equal(qs_section_sort(s, "-kurtosis", &e), 0);
    assert_string_equal(qs_section_cell(s, 2, 0)->str, "blk.2.attn_q.weight");
    assert_int_equal(qs_section_sort(s, "nonsense", &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "name, bytes, error, bpw, kurtosis, ok"));
    qs_section_keep(s, 1);
    assert_int_equal(qs_section_rows(s), 1);
    assert_null(qs_section_cell(s, 1, 0));
    qs_report_free(r);
}

static void test_failing_memory(void **state)
{
    (void)state;
    const uint64_t before = qs_mem_count();
    qs_report_free(sample_report());
    const uint64_t n = qs_mem_count() - before;
    for (uint64_t i = 1; i <= n; i++) {
        struct qs_str s = QS_STR_INIT;
        qs_mem_fail_after(i);
        struct qs_report *r = sample_report();
        assert_true(qs_report_failed(r));
        qs_report_text(r, &(struct qs_text_style){ .width = 40 }, &s); /* prints nothing */
        assert_int_equal(s.len, 0);
        qs_mem_fail_after(0);
        qs_str_free(&s);
        qs_report_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),  cmocka_unit_test(test_text),
        cmocka_unit_test(test_widths),   cmocka_unit_test(test_wrapped_last_column),
        cmocka_unit_test(test_decimals), cmocka_unit_test(test_text_columns),
        cmocka_unit_test(test_json),     cmocka_unit_test(test_csv),
        cmocka_unit_test(test_sort),     cmocka_unit_test(test_failing_memory),
    };
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
