/* fuzz_journal.c - whatever stands in a journal, opening it believes whole records only and can be appended to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/quant/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *tmp = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%.400s/fuzz_journal.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    const int fd = mkstemp(path);
    must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
    /* The key is taken from the input where there is one, so that records are read and not only refused. */
    struct qs_key key = { 1, 2 };
    if (size >= 24)
        memcpy(&key, data + 8, sizeof key);
    struct qs_journal j;
    bool fresh;
    if (qs_journal_open(path, key, size % 2, &j, &fresh, NULL) == QS_OK) {
        const size_t had = j.n;
        const struct qs_record r = { .tensor = 7, .slice = 9, .hash = { 3, 4 }, .sums = { .err2 = 1.5, .n = 5 } };
        must(!fresh || had == 0);
        must(qs_journal_append(&j, &r, 1, NULL) == QS_OK);
        qs_journal_close(&j, false);
        must(qs_journal_open(path, key, false, &j, &fresh, NULL) == QS_OK);
        must(!fresh && j.n == had + 1);
        must(j.record[had].tensor == 7 && j.record[had].slice == 9 && j.record[had].sums.err2 == 1.5);
        qs_journal_close(&j, false);
    }
    unlink(path);
    return 0;
}
