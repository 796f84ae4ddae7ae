/* test_safetensors.c - headers of safetensors files: what is read, and everything that is refused, by its words. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/format/safetensors.h"
#include "tests/format/make_st.h"
#include "tests/lib/qs_test.h"

static void test_reads(void **state)
{
    (void)state;
    const struct st_tensor t[] = { { "b", "BF16", { 3, 4 }, 1 }, { "a", "F32", { 5 }, 2 }, { "one", "I8", { 1 }, 3 } };
    struct qs_err e = QS_ERR_INIT;
    struct qs_safetensors *s;
    st_write(qs_test_tmp_path("m.safetensors"), t, 3);
    assert_int_equal(qs_safetensors_open(qs_test_tmp_path("m.safetensors"), &s, &e), QS_OK);
    assert_int_equal(s->n_tensors, 3);
    assert_string_equal(s->tensor[0].name, "b");
    assert_string_equal(s->tensor[0].dtype->name, "BF16");
    assert_int_equal(s->tensor[0].n_dims, 2);
    assert_int_equal(s->tensor[0].shape[0], 3);
    assert_int_equal(s->tensor[0].shape[1], 4);
    assert_int_equal(s->tensor[0].shape[2], 1);
    assert_int_equal(s->tensor[0].offset, s->header_size);
    assert_int_equal(s->tensor[1].offset, s->header_size + 24);
    assert_int_equal(s->tensor[1].size, 20);
    assert_int_equal(s->file_size, s->header_size + 45);
    assert_true(s->bytes_read <= s->file_size && s->ino != 0);
    qs_safetensors_close(s);
}

/* A file with this header and so many bytes of data. */
static void refused(const char *header, size_t data, enum qs_code code, const char *words)
{
    static const char zeros[256];
    struct qs_str file = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_safetensors *s;
    st_raw(&file, header, zeros, data);
    const int rc = qs_safetensors_open_mem(file.data, file.len, file.len, &s, &e);
    qs_safetensors_close(s);
    if (rc != (int)code || !strstr(e.msg, words))
        fail_msg("%s: %d \"%s\", not %d \"%s\"", header, rc, e.msg, (int)code, words);
    qs_str_free(&file);
}

static void accepted(const char *header, size_t data)
{
    static const char zeros[256];
    struct qs_str file = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_safetensors *s;
    st_raw(&file, header, zeros, data);
    if (qs_safetensors_open_mem(file.data, file.len, file.len, &s, &e) != QS_OK)
        fail_msg("%s: %s", header, e.msg);
    qs_safetensors_close(s);
    qs_str_free(&file);
}

#define ENTRY(shape, offsets) "{\"t\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void test_odd_but_right(void **state)
{
    (void)state;
    accepted("{}", 0);
    accepted("{\"__metadata__\":{}}   ", 0);
    accepted(ENTRY("[]", "[0,4]"), 4);        /* a single number */
    accepted(ENTRY("[0,7]", "[0,0]"), 0);     /* none */
    accepted(ENTRY("[1,1,1,1,1,1,1,1]", "[0,4]"), 4);
    accepted("{\"a:{\\\"\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]},"
             /* in another order than their bytes */
             "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 4);
    accepted("{\"f\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,2]}}", 2);
}

static void test_refusals(void **state)
{
    (void)state;
    refused("[]", 0, QS_EFORMAT, "no JSON object");
    refused("{ ", 0, QS_EFORMAT, "header: ");
    refused("not json at all", 0, QS_EFORMAT, "header: ");
    refused("{\"t\":7}", 0, QS_EFORMAT, "tensor t: is not described");
    refused("{\"t\":{}}", 0, QS_EFORMAT, "\"dtype\" is missing");
    refused("{\"\":{}}", 0, QS_EFORMAT, "1 to 255 bytes");
    refused("{\"t\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, QS_EUNSUPPORTED, "F33 is not known");
    refused("{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, QS_EFORMAT, "\"shape\" is no list");
    refused("{\"t\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, QS_EFORMAT, "\"data_offsets\" are not two numbers");
    refused(ENTRY("[-1]", "[0,4]"), 4, QS_EFORMAT, "no whole number");
    refused(ENTRY("[1.5]", "[0,4]"), 4, QS_EFORMAT, "no whole number");
    refused(ENTRY("[\"1\"]", "[0,4]"), 4, QS_EFORMAT, "no whole number");
    refused(ENTRY("[18446744073709551615]", "[0,4]"), 4, QS_EFORMAT, "no whole number");
    refused(ENTRY("[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, QS_EFORMAT, "8 dimensions");
    refused(ENTRY("[4294967296,4294967296,4294967296]", "[0,4]"), 4, QS_EFORMAT, "overflows");
    refused(ENTRY("[4611686018427387904]", "[0,0]"), 0, QS_EFORMAT, "are not the 0 bytes"); /* bytes overflow */
    refused(ENTRY("[2]", "[0,4]"), 4, QS_EFORMAT, "2 numbers of F32 are not the 4 bytes");
    refused(ENTRY("[1]", "[4,0]"), 4, QS_EFORMAT, "end before they begin");
    refused(ENTRY("[1]", "[0]"), 4, QS_EFORMAT, "not two numbers");
    refused(ENTRY("[1]", "[0,4,8]"), 4, QS_EFORMAT, "not two numbers");
    refused(ENTRY("[1]", "[-4,0]"), 4, QS_EFORMAT, "not two numbers");
    refused(ENTRY("[1]", "[0,4]"), 3, QS_EFORMAT, "cut short: fetch it again");
    refused(ENTRY("[1]", "[18446744073709551600,18446744073709551604]"), 4, QS_EFORMAT, "cut short");
    refused(ENTRY("[1]", "[0,4]"), 9, QS_EFORMAT, "5 bytes behind the last tensor");
    refused(ENTRY("[1]", "[4,8]"), 8, QS_EFORMAT, "4 bytes before tensor t belong to none");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
            "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}", 6, QS_EFORMAT, "a and b overlap");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
            "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, QS_EFORMAT, "a name stands twice");
    refused("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, QS_EFORMAT, "3 numbers of F4");
    char name[400] = "{\"";
    memset(name + 2, 'n', 300);
    (void)snprintf(name + 302, sizeof name - 302, "\":{}}");
    refused(name, 0, QS_EFORMAT, "1 to 255 bytes");
}

static void raw(const void *bytes, size_t n, uint64_t file_size, enum qs_code code, const char *words)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_safetensors *s;
    assert_int_equal(qs_safetensors_open_mem(bytes, n, file_size, &s, &e), code);
    assert_null(s);
    if (!strstr(e.msg, words))
        fail_msg("%s", e.msg);
}

static void test_lengths(void **state)
{
    (void)state;
    raw("", 0, 0, QS_EFORMAT, "0 bytes are no safetensors");
    raw("\x02\0\0\0\0\0\0\0{", 9, 9, QS_EFORMAT, "9 bytes are no safetensors");
    raw("\x03\0\0\0\0\0\0\0{}", 10, 10, QS_EFORMAT, "said to have 3 bytes");
    raw("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, 10, QS_EFORMAT, "said to have");
    raw("GGUF\3\0\0\0{}", 10, 10, QS_EFORMAT, "no safetensors file, or cut short");
    raw("\x01\0\0\x04\0\0\0\0{}", 10, 1u << 30, QS_ELIMIT, "at most");
}

static void test_files(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_safetensors *s;
    assert_int_equal(qs_safetensors_open(qs_test_tmp_path("none"), &s, &e), QS_ENOTFOUND);
    assert_int_equal(qs_safetensors_open(qs_test_tmp(), &s, &e), QS_EINVAL);
    assert_null(s);
}

static int open_it(void *ctx, struct qs_err *e)
{
    struct qs_safetensors *s;
    const int rc = qs_safetensors_open(ctx, &s, e);
    qs_safetensors_close(s);
    return rc;
}

static void test_failing_memory(void **state)
{
    (void)state;
    const struct st_tensor t[] = { { "b", "BF16", { 3, 4 }, 1 }, { "a", "F32", { 5 }, 2 } };
    char path[512];
    (void)snprintf(path, sizeof path, "%s", qs_test_tmp_path("f.safetensors"));
    st_write(path, t, 2);
    qs_test_each_alloc(open_it, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),    cmocka_unit_test(test_odd_but_right), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_lengths),  cmocka_unit_test(test_files),         cmocka_unit_test(test_failing_memory),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
