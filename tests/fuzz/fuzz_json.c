/* fuzz_json.c - any bytes as JSON: what is accepted prints, and reads back as the same text. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
    if (!truth)
        abort();
}

static size_t touch(const struct qs_json *v, unsigned depth)
{
    size_t sum = (size_t)qs_json_type(v) + qs_json_len(v) + (size_t)qs_json_int(v, 1) + (size_t)qs_json_uint(v, 1);
    const struct qs_json *item = NULL;
    must(depth <= 64);
    for (size_t i = 0; i < qs_json_len(v) && qs_json_type(v) == QS_JSON_ARRAY; i++)
        sum += touch(qs_json_at(v, i), depth + 1);
    for (size_t i = 0; qs_json_key_at(v, i, &item); i++) {
        must(qs_json_get(v, qs_json_key_at(v, i, NULL)) == item);
        sum += touch(item, depth + 1);
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_json *v = NULL, *again = NULL;
    struct qs_str one = QS_STR_INIT, two = QS_STR_INIT;
    uint64_t held = qs_mem_in_use();
    if (qs_json_parse((const char *)data, size, &v, &e) != QS_OK) {
        must(e.code != QS_OK && e.msg[0] && !v);
    } else {
        (void)touch(v, 0);
        must(qs_json_print(v, (size & 1) != 0, &one));
        must(qs_json_parse(one.data, one.len, &again, &e) == QS_OK);
        must(qs_json_print(again, (size & 1) != 0, &two));
        must(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
    }
    qs_json_free(v);
    qs_json_free(again);
    qs_str_free(&one);
    qs_str_free(&two);
    must(qs_mem_in_use() == held);
    return 0;
}
