/* test_open_sparse.c - a 40 GB model opens by reading its headers: at most 16 MiB, and no tensor page is touched. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/model/model.h"
#include "tests/format/tf.h"
#include "tests/model/make_model.h"

static void test_open_sparse(void **state)
{
    (void)state;
    const char *path = qs_test_tmp_path("forty.gguf");
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    struct stat st;
    /* 32 layers of 9 tensors, a real vocabulary in the header */
    struct mm_spec spec = { .layers = 32, .embd = 8192, .ff = 22016, .heads = 64, .kv_heads = 8, .vocab = 128256,
                            .ctx = 8192, .untied = true, .fill = MM_SPARSE };
    if (mm_file(path, &spec, &e) != QS_OK) {
        print_error("%s\n", e.msg); /* no sparse files of that size here */
        skip();
    }
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size > 40000000000);
    assert_true((uint64_t)st.st_blocks * 512 < 16u << 20); /* it is sparse indeed */

    assert_int_equal(qs_model_open(path, &m, &e), QS_OK);
    assert_true(m->n_tensors > 280);
    assert_true(m->gguf->part[0].bytes_read <= 16u << 20);
    assert_true(m->gguf->part[0].bytes_read >= m->gguf->part[0].header_size);
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        struct qs_weight *w;
        assert_int_equal(qs_model_weight(m, t, &w, &e), QS_OK); /* maps, but touches nothing */
        /* read-ahead of the header may reach into the first tensor: 2 MiB are left out */
        uint64_t off = t->offset < 16u << 20 ? 16u << 20 : t->offset;
        if (off < t->offset + t->size)
            assert_int_equal(qs_map_resident(w->map, off, t->offset + t->size - off), 0);
        qs_weight_unref(w);
    }
    const struct qs_tensor *last = &m->tensor[m->n_tensors - 1];
    struct qs_weight *w;
    assert_int_equal(qs_model_weight(m, last, &w, &e), QS_OK);
    assert_int_equal(qs_weight_row(w, last->rows - 1).p[0][0], 0); /* the measure does see a page that is touched */
    assert_true(qs_map_resident(w->map, last->offset, last->size) > 0);
    qs_weight_unref(w);
    qs_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_open_sparse) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
