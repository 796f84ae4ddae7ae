/* fuzz_regex.c - a byte of flags, a pattern up to the first newline, the rest is searched: it ends, within bounds. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
    if (!truth)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_regex *r = NULL;
    if (size < 2)
        return 0;
    uint64_t held = qs_mem_in_use();
    const uint8_t *end = memchr(data + 1, '\n', size - 1);
    size_t n = end ? (size_t)(end - data) - 1 : size - 1;
    const char *text = end ? (const char *)end + 1 : "";
    size_t left = end ? size - n - 2 : 0;
    char *pattern = qs_strndup((const char *)data + 1, n);
    must(pattern != NULL);
    if (qs_regex_compile(pattern, data[0] & QS_REGEX_ICASE, &r, &e) != QS_OK) {
        must(!r && e.msg[0]);
    } else {
        size_t span[2] = { 0, 0 };
        for (size_t at = 0, tries = 0; at <= left && tries < 100; tries++) {
            int rc = qs_regex_find(r, text, left, at, span, &e);
            must(rc >= -1 && rc <= 1);
            if (rc != 1)
                break;
            must(span[0] <= span[1] && span[1] <= left);
            at = span[1] > at ? span[1] : at + 1;
        }
    }
    qs_regex_free(r);
    qs_free(pattern);
    must(qs_mem_in_use() == held);
    return 0;
}
