/* test_writer.c - the writer: right bytes, whole or not at all, resumable after anything.
 *
 * The kill tests run the writer in a child with every record made durable at once, kill it (SIGKILL) when its journal
 * has reached a seeded number of records, and let the same plan go on: the result must be the bytes of an undisturbed
 * run. QS_KILLS sets how often (default 20; fewer with QS_REDUCED).
 */
#include "tests/lib/qs_test.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/quant/bad_weights.h"
#include "core/quant/diff.h"
#include "core/quant/journal.h"
#include "core/quant/outfiles.h"
#include "core/quant/writer.h"
#include "tests/model/make_model.h"

/* The program's own fdatasync takes the place of the library's: the n-th call and later ones may fail. */
static atomic_int sync_budget = -1; /* calls that still succeed; -1: all */
static int sync_errno;

int fdatasync(int fd)
{
    if (atomic_load(&sync_budget) >= 0 && atomic_fetch_sub(&sync_budget, 1) <= 0) {
        atomic_store(&sync_budget, 0);
        errno = sync_errno;
        return -1;
    }
    return fsync(fd);
}

struct bench { /* a model, a plan for it, a pool */
    struct qs_model *model;
    struct qs_recipe *recipe;
    struct qs_plan *plan;
    struct qs_pool *pool;
};

static char source[512]; /* small model made once */

static int open_plan(struct bench *b, const char *path, const char *preset, unsigned threads, struct qs_err *e)
{
    const struct qs_plan_args args = { 0 };
    memset(b, 0, sizeof *b);
    int rc = qs_model_open(path, &b->model, e);
    if (!rc)
        rc = qs_recipe_new(preset, &b->recipe, e);
    if (!rc)
        rc = qs_plan_make(b->model, b->recipe, &args, &b->plan, e);
    if (!rc)
        rc = qs_pool_new(threads, &b->pool, e);
    return rc;
}

static void close_plan(struct bench *b)
{
    qs_pool_free(b->pool);
    qs_plan_free(b->plan);
    qs_recipe_free(b->recipe);
    qs_model_close(b->model);
}

static void setup_plan(struct bench *b, const char *path, const char *preset, unsigned threads)
{
    struct qs_err e = QS_ERR_INIT;
    if (open_plan(b, path, preset, threads, &e))
        fail_msg("%s", e.msg);
}

static int write_to(const struct bench *b, const struct qs_writer_args *args, struct qs_err *e)
{
    struct qs_writer_result *x = NULL;
    const int rc = qs_writer_run(b->plan, args, b->pool, NULL, &x, e);
    qs_writer_result_free(x);
    return rc;
}

static void read_file(const char *path, char **data, size_t *n)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_file_read(path, (size_t)1 << 30, data, n, &e))
        fail_msg("%s", e.msg);
}

static void assert_same_file(const char *a, const char *b)
{
    char *da, *db;
    size_t na, nb;
    read_file(a, &da, &na);
    read_file(b, &db, &nb);
    assert_int_equal(na, nb);
    assert_memory_equal(da, db, na);
    qs_free(da);
    qs_free(db);
}

static const char *with(const char *path, const char *suffix)
{
    static char buf[4][600];
    static unsigned at;
    char *out = buf[at++ % 4];
    snprintf(out, sizeof buf[0], "%s%s", path, suffix);
    return out;
}

static void assert_nothing_left(const char *path)
{
    assert_false(qs_file_exists(with(path, ".part")));
    assert_false(qs_file_exists(with(path, ".part.journal")));
}

/* ---- the bytes ---- */

static void test_bytes_are_those_of_the_encoder(void **state)
{
    (void)state;
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    char out[512];
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("bytes.gguf"));
    setup_plan(&b, source, "Q4_K_M", 2);
    const struct qs_writer_args args = { .path = out };
    struct qs_writer_result *x;
    assert_int_equal(qs_writer_run(b.plan, &args, b.pool, NULL, &x, &e), QS_OK);
    assert_nothing_left(out);
    assert_int_equal(x->n_files, 1);
    assert_string_equal(x->file[0], out);

    struct qs_writer_forecast f;
    struct qs_file_stat st;
    assert_int_equal(qs_writer_forecast(b.plan, &args, 2, &f, &e), QS_OK);
    assert_int_equal(f.refusal.code, QS_EEXISTS); /* it is there by now */
    assert_int_equal(qs_file_stat(out, &st, &e), QS_OK);
    assert_int_equal(f.bytes, st.size);
    assert_int_equal(f.claim, st.size);
    assert_int_equal(x->bytes, st.size);

    struct qs_model *made;
    assert_int_equal(qs_model_open(out, &made, &e), QS_OK);
    assert_int_equal(made->n_tensors, b.model->n_tensors);
    assert_int_equal(made->file_type, 15); /* MOSTLY_Q4_K_M */
    struct qs_encoder *enc;
    assert_int_equal(qs_encoder_new(b.pool, 4096, &enc, &e), QS_OK);
    unsigned encoded = 0;
    for (size_t i = 0; i < b.plan->n; i++) {
        const struct qs_encoding *p = &b.plan->enc[i];
        const struct qs_tensor *t = qs_model_find(made, p->tensor->name);
        assert_non_null(t);
        assert_int_equal(t->type, p->type);
        assert_int_equal(t->size, p->bytes);
        struct qs_weight *from, *to;
        assert_int_equal(qs_model_weight(b.model, p->tensor, &from, &e), QS_OK);
        assert_int_equal(qs_model_weight(made, t, &to, &e), QS_OK);
        uint8_t *want = qs_malloc(p->bytes);
        struct qs_error_sums sums = { 0 };
        assert_int_equal(qs_encode_rows(enc, QS_PRIO_JOB, from, 0, from->rows, p->type, NULL, want, &sums, NULL, &e), QS_OK);
        assert_memory_equal(want, to->parts.p[0], p->bytes);
        assert_int_equal(x->tensor[i].copied, p->copy);
        if (!p->copy) {
            encoded++;
            assert_true(x->tensor[i].sums.n == sums.n);
            assert_true(qs_error_rms(&x->tensor[i].sums) == qs_error_rms(&sums) ||
                        fabs(qs_error_rms(&x->tensor[i].sums) / qs_error_rms(&sums) - 1) < 1e-12);
            assert_true(qs_error_rms(&sums) > 0.001 && qs_error_rms(&sums) < 0.2);
        }
        qs_free(want);
        qs_weight_unref(from);
        qs_weight_unref(to);
    }
    assert_true(encoded >= 14);
    const char *text;
    size_t n;
    assert_true(qs_kv_str(qs_gguf_kv(made->gguf, "quantscape.recipe"), &text, &n));
    assert_true(n > 8);
    assert_int_equal(qs_gguf_u64(made->gguf, "general.quantization_version", 0), 2);
    qs_encoder_free(enc);
    qs_model_close(made);
    qs_writer_result_free(x);
    close_plan(&b);
}

static void test_threads_do_not_change_bytes(void **state)
{
    (void)state;
    char out[2][512];
    for (unsigned k = 0; k < 2; k++) {
        struct bench b;
        struct qs_err e = QS_ERR_INIT;
        snprintf(out[k], sizeof out[k], "%s", qs_test_tmp_path(k ? "t3.gguf" : "t1.gguf"));
        setup_plan(&b, source, "Q3_K_M", k ? 3 : 1);
        const struct qs_writer_args args = { .path = out[k] };
        assert_int_equal(write_to(&b, &args, &e), QS_OK);
        close_plan(&b);
    }
    assert_same_file(out[0], out[1]);
}

/* Sums are added in the same order whatever the number of threads: all bits are the same. */
static void test_threads_do_not_change_sums(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct bench b;
    setup_plan(&b, source, "Q4_K_M", 1);
    const struct qs_tensor *t = qs_model_find(b.model, "blk.0.ffn_up.weight");
    struct qs_weight *w;
    assert_non_null(t);
    assert_int_equal(qs_model_weight(b.model, t, &w, &e), QS_OK);
    uint8_t *dst = qs_malloc(t->size);
    struct qs_error_sums want = { 0 };
    for (unsigned threads = 1; threads <= 4; threads++) {
        struct qs_pool *pool;
        struct qs_encoder *x;
        struct qs_error_sums sums = { 0 };
        assert_int_equal(qs_pool_new(threads, &pool, &e), QS_OK);
        assert_int_equal(qs_encoder_new(pool, t->ne[0], &x, &e), QS_OK);
        assert_int_equal(qs_encode_rows(x, QS_PRIO_JOB, w, 0, t->rows, QS_Q4_0, NULL, dst, &sums, NULL, &e), QS_OK);
        if (threads == 1)
            want = sums;
        assert_true(want.n == t->n && want.err2 > 0);
        assert_memory_equal(&want, &sums, sizeof sums);
        qs_encoder_free(x);
        qs_pool_free(pool);
    }
    qs_free(dst);
    qs_weight_unref(w);
    close_plan(&b);
}

/* One dst holds one component: what is stored in several is refused, not written wrongly. */
static void test_components_are_refused(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_pool *pool;
    struct qs_encoder *x;
    struct qs_format two = *qs_format_by_id(QS_F16);
    two.n_components = 2;
    two.component[1] = (struct qs_component){ "more", 2 };
    const uint64_t ne[4] = { 32, 2, 1, 1 };
    struct qs_weight *w;
    struct qs_parts parts;
    uint8_t dst[512] = { 0 };
    assert_int_equal(qs_pool_new(1, &pool, &e), QS_OK);
    assert_int_equal(qs_encoder_new(pool, 32, &x, &e), QS_OK);
    assert_int_equal(qs_weight_heap(&two, ne, &w, &parts, &e), QS_OK);
    memset(parts.p[0], 1, 128);
    assert_int_equal(qs_encode_rows(x, QS_PRIO_JOB, w, 0, 2, QS_F16, NULL, dst, NULL, NULL, &e), QS_EUNSUPPORTED);
    assert_non_null(strstr(e.msg, "2 separate components"));
    assert_int_equal(dst[0], 0);
    qs_weight_unref(w);
    qs_encoder_free(x);
    qs_pool_free(pool);
}

static void test_split_parts_hold_the_same_tensors(void **state)
{
    (void)state;
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    char out[512];
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("split.gguf"));
    setup_plan(&b, source, "Q8_0", 2);
    const struct qs_writer_args args = { .path = out, .split_max_bytes = 300000 };
    struct qs_writer_result *x;
    assert_int_equal(qs_writer_run(b.plan, &args, b.pool, NULL, &x, &e), QS_OK);
    assert_true(x->n_files >= 3);
    for (unsigned f = 0; f < x->n_files; f++) { /* headers count; only a tensor that is larger alone may exceed it */
        struct qs_file_stat st;
        struct qs_model *part;
        assert_int_equal(qs_file_stat(x->file[f], &st, &e), QS_OK);
        if (st.size > args.split_max_bytes) {
            assert_int_equal(qs_model_open(x->file[f], &part, &e), QS_OK);
            unsigned mine = 0;
            for (size_t i = 0; i < part->n_tensors; i++)
                mine += part->tensor[i].part == f;
            assert_int_equal(mine, 1);
            qs_model_close(part);
        }
    }
    struct qs_model *made;
    assert_int_equal(qs_model_open(x->file[0], &made, &e), QS_OK);
    assert_int_equal(made->n_tensors, b.model->n_tensors);
    assert_int_equal(made->gguf->n_parts, x->n_files);
    for (size_t i = 0; i < b.plan->n; i++)
        assert_int_equal(qs_model_find(made, b.plan->enc[i].tensor->name)->type, b.plan->enc[i].type);
    qs_model_close(made);
    qs_writer_result_free(x);
    close_plan(&b);
}

/* A source with tensors at an alignment that programs refuse to write, as a file: `from` is one aligned to 8. */
static void align_by_one(const char *from, const char *to)
{
    static const char key[] = "general.alignment";
    struct qs_err e = QS_ERR_INIT;
    struct qs_gguf *was, *now;
    char *data;
    size_t n;
    read_file(from, &data, &n);
    assert_int_equal(qs_gguf_open_mem(data, n, &was, &e), QS_OK);
    char *at = memmem(data, n, key, sizeof key - 1);
    assert_non_null(at);
    at += sizeof key - 1 + 4; /* behind the type */
    assert_int_equal(*at, 8);
    *at = 1;
    assert_int_equal(qs_gguf_open_mem(data, n, &now, &e), QS_OK);
    const size_t old = (size_t)was->part[0].data_offset, start = (size_t)now->part[0].data_offset;
    assert_true(start <= old);
    memmove(data + start, data + old, n - old);
    qs_test_file(qs_path_base(to), data, n - (old - start));
    qs_gguf_close(was);
    qs_gguf_close(now);
    qs_free(data);
}

static void assert_same_tensors(const struct qs_model *a, const struct qs_model *b, struct qs_pool *pool)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_diff *d = NULL;
    assert_int_equal(qs_diff_run(a, b, false, pool, NULL, &d, &e), QS_OK);
    assert_int_equal(d->n_rows, a->n_tensors);
    for (size_t i = 0; i < d->n_rows; i++)
        assert_int_equal(d->row[i].state, QS_DIFF_SAME);
    qs_diff_free(d);
}

/* What could be read is written, aligned as usual. */
static void test_tight_sources_are_aligned(void **state)
{
    (void)state;
    char even[512], tight[512], out[512], split[512];
    struct qs_err e = QS_ERR_INIT;
    const struct mm_spec s = { .layers = 1, .alignment = 8 };
    snprintf(even, sizeof even, "%s", qs_test_tmp_path("even.gguf"));
    snprintf(tight, sizeof tight, "%s", qs_test_tmp_path("tight.gguf"));
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("loose.gguf"));
    snprintf(split, sizeof split, "%s", qs_test_tmp_path("loose2.gguf"));
    if (mm_file(even, &s, &e))
        fail_msg("%s", e.msg);
    align_by_one(even, tight);
    static const char *const preset[] = { "Q4_K_M", "COPY" };
    for (size_t i = 0; i < 2; i++) {
        struct bench b, plain;
        setup_plan(&b, tight, preset[i], 2);
        setup_plan(&plain, even, preset[i], 2);
        assert_int_equal(qs_model_alignment(b.model), 1);
        const struct qs_writer_args args = { .path = out, .force = true }, ref = { .path = split, .force = true },
                                    parts = { .path = split, .force = true, .split_max_bytes = 100000 };
        struct qs_writer_result *x = NULL;
        struct qs_model *one = NULL, *many = NULL, *want = NULL;
        if (write_to(&b, &args, &e) || write_to(&plain, &ref, &e) || qs_writer_run(b.plan, &parts, b.pool, NULL, &x, &e) ||
            qs_model_open(out, &one, &e) || qs_model_open(x->file[0], &many, &e) || qs_model_open(split, &want, &e))
            fail_msg("%s", e.msg);
        assert_true(x->n_files > 1);
        assert_int_equal(qs_model_alignment(one), 32);
        for (unsigned f = 0; f < many->gguf->n_parts; f++)
            assert_int_equal(many->gguf->part[f].alignment, 32);
        assert_same_tensors(one, want, b.pool);
        assert_same_tensors(many, want, b.pool);
        qs_model_close(one);
        qs_model_close(many);
        qs_model_close(want);
        qs_writer_result_free(x);
        close_plan(&b);
        close_plan(&plain);
    }
}

static void test_metadata_overrides(void **state)
{
    (void)state;
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    char out[512];
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("meta.gguf"));
    setup_plan(&b, source, "Q8_0", 1);
    const char *set[] = { "test.text=str:another", "test.number=int:7" };
    const char *gone[] = { "general.name" };
    struct qs_writer_args args = { .path = out, .override_kv = set, .n_override_kv = 2, .remove_kv = gone, .n_remove_kv = 1,
                                   .modelfile = true };
    assert_int_equal(write_to(&b, &args, &e), QS_OK);
    struct qs_model *made;
    assert_int_equal(qs_model_open(out, &made, &e), QS_OK);
    const char *text_value;
    size_t text_len;
    assert_true(qs_kv_str(qs_gguf_kv(made->gguf, "test.text"), &text_value, &text_len) && text_len == 7);
    assert_int_equal(qs_gguf_u64(made->gguf, "test.number", 0), 7);
    assert_null(qs_gguf_kv(made->gguf, "general.name"));
    qs_model_close(made);
    char *text;
    size_t n;
    read_file(qs_test_tmp_path("meta.Modelfile"), &text, &n);
    assert_non_null(strstr(text, "\nFROM ./meta.gguf\n"));
    qs_free(text);
    gone[0] = "no.such.key";
    args.force = true;
    assert_int_equal(write_to(&b, &args, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "no.such.key"));
    close_plan(&b);
}

/* Keys that the form of the file decides, and values that would no longer be what programs look for. */
static void test_edits_that_break_a_file_are_refused(void **state)
{
    (void)state;
    static const struct { const char *set, *gone, *says; } bad[] = {
        { "split.count=u16:9", NULL, "cannot be set: it " },
        { "split.no=u16:1", NULL, "cannot be set: it " },
        { "split.tensors.count=i32:3", NULL, "cannot be set: it " },
        { "general.alignment=u32:64", NULL, "cannot be set: it " },
        { "general.quantization_version=u32:77", NULL, "cannot be set: it " },
        { "general.file_type=u32:1", NULL, "cannot be set: it " },
        { "general.type=str:imatrix", NULL, "cannot be set: it " },
        { "general.architecture=int:3", NULL, "is a text" },
        { "general.architecture=str:", NULL, "without a name" },
        { "tokenizer.ggml.tokens=str:a", NULL, "is a list" },
        { "llama.context_length=str:512", NULL, "is a whole number" },
        { "llama.context_length=float:512", NULL, "is a whole number" },
        { NULL, "general.architecture", "without it" },
        { NULL, "split.count", "cannot be left out: it " },
        { NULL, "general.quantization_version", "cannot be left out: it " },
    };
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    char out[512];
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("broken.gguf"));
    setup_plan(&b, source, "Q8_0", 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct qs_writer_args args = { .path = out, .override_kv = &bad[i].set, .n_override_kv = bad[i].set != NULL,
                                             .remove_kv = &bad[i].gone, .n_remove_kv = bad[i].gone != NULL };
        if (write_to(&b, &args, &e) != QS_EINVAL || !strstr(e.msg, bad[i].says))
            fail_msg("%s: %s", bad[i].set ? bad[i].set : bad[i].gone, e.msg);
        assert_false(qs_file_exists(out));
        assert_nothing_left(out);
    }
    const char *good = "llama.context_length=u64:4096";
    const struct qs_writer_args args = { .path = out, .override_kv = &good, .n_override_kv = 1 };
    assert_int_equal(write_to(&b, &args, &e), QS_OK);
    close_plan(&b);
}

/* Where nothing is encoded, what the source says of how it was made stays. */
static void test_copy_keeps_how_it_was_made(void **state)
{
    (void)state;
    static const char *const preset[] = { "Q8_0", "COPY", "COPY" };
    char path[4][512];
    struct qs_err e = QS_ERR_INIT;
    snprintf(path[0], sizeof path[0], "%s", source);
    for (int k = 0; k < 3; k++) { /* k = 2: of a source that says nothing */
        static const char *const name[] = { "made.gguf", "copied.gguf", "plain-copy.gguf" };
        struct bench b;
        struct qs_model *made;
        const char *text;
        size_t n;
        snprintf(path[k + 1], sizeof path[0], "%s", qs_test_tmp_path(name[k]));
        setup_plan(&b, k == 2 ? source : path[k], preset[k], 1);
        const struct qs_writer_args args = { .path = path[k + 1] };
        assert_int_equal(write_to(&b, &args, &e), QS_OK);
        assert_int_equal(qs_model_open(path[k + 1], &made, &e), QS_OK);
        assert_true(qs_kv_str(qs_gguf_kv(made->gguf, "quantscape.recipe"), &text, &n));
        const char *want = k == 2 ? "preset = COPY" : "preset = Q8_0";
        assert_true(n >= strlen(want) && !memcmp(text, want, strlen(want)));
        assert_non_null(qs_gguf_kv(made->gguf, "quantscape.version"));
        qs_model_close(made);
        close_plan(&b);
    }
}

/* ---- weights that are no numbers ---- */

struct spoil { const char *name; uint64_t row, col; float value; };

static void spoil_row(void *ctx, const char *name, uint64_t row, uint64_t cols, float *x)
{
    const struct spoil *s = ctx;
    const struct mm_spec plain = { 0 };
    mm_random_row(&plain, name, row, cols, x);
    if (!strcmp(name, s->name) && row == s->row)
        x[s->col] = s->value;
}

static int spoiled_type(void *ctx, const char *name, int type)
{
    (void)ctx;
    return strcmp(name, "blk.1.attn_v.weight") ? type : QS_Q8_0;
}

/* NaN, infinity and what overflows, encoded or copied: an error that says where, and nothing is left. */
static void test_bad_weights_end_it(void **state)
{
    (void)state;
    static const char up[] = "blk.0.ffn_up.weight", down[] = "blk.1.ffn_down.weight";
    static const struct { struct spoil spoil; const char *preset, *says[2]; bool resumed; } cases[] = {
        { { up, 3, 17, NAN }, "Q4_K_M", { "1 of 131072 weights is NaN or infinite", "row 3, column 17 " }, false },
        { { up, 511, 255, INFINITY }, "Q8_0", { "1 of 131072 weights is NaN", "row 511, column 255 " }, false },
        { { down, 200, 511, -INFINITY }, "COPY", { "1 of 131072 weights is NaN", "row 200, column 511 " }, true },
        { { "blk.1.ffn_norm.weight", 0, 9, NAN }, "Q4_K_M", { "1 of 256 weights is", "row 0, column 9 " }, true },
        { { "blk.1.attn_v.weight", 100, 40, INFINITY }, "Q8_0", { "1 of 1024 blocks of Q8_0 has a scale that is NaN",
                                                                  "row 100, column 32 " }, false },
        { { up, 5, 44, 1e37f }, "Q4_K_M", { "256 of 131072 weights would be NaN or infinite as Q4_K", "row 5, column 0 " }, false },
        { { up, 5, 44, 1e37f }, "F16", { "1 of 131072 weights would be NaN or infinite as F16", "row 5, column 44 " }, true },
        { { up, 5, 70, 1e37f }, "Q8_0", { "32 of 131072 weights would be NaN", "row 5, column 64 " }, true },
        { { up, 5, 70, 1e37f }, "Q6_K", { "1 of 131072 weights would be lost as Q6_K", "row 5, column 70 " }, false },
        { { up, 5, 70, -1e30f }, "IQ4_XS", { "1 of 131072 weights would be lost", "as large as 1e+30 " }, false },
    };
    char path[512], out[512];
    snprintf(path, sizeof path, "%s", qs_test_tmp_path("spoiled.gguf"));
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("never.gguf"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct spoil spoil = cases[i].spoil;
        const struct mm_spec s = { .layers = 2, .type = QS_F32, .type_set = true, .fill = MM_CUSTOM, .custom = spoil_row,
                                   .type_of = spoiled_type, .ctx_arg = &spoil };
        struct bench b;
        struct qs_err e = QS_ERR_INIT;
        if (mm_file(path, &s, &e))
            fail_msg("%s", e.msg);
        setup_plan(&b, path, cases[i].preset, 2);
        struct qs_writer_args args = { .path = out, .sync_bytes = 1 };
        if (cases[i].resumed) { /* also when some of it is kept from a run that was stopped */
            sync_errno = EIO;
            atomic_store(&sync_budget, 3);
            assert_int_not_equal(write_to(&b, &args, &e), QS_OK);
            atomic_store(&sync_budget, -1);
        }
        if (write_to(&b, &args, &e) != QS_EFORMAT || !strstr(e.msg, cases[i].says[0]) ||
            !strstr(e.msg, cases[i].says[1]) || !strstr(e.msg, spoil.name))
            fail_msg("case %zu: %s", i, e.msg);
        assert_false(qs_file_exists(out));
        assert_nothing_left(out);
        close_plan(&b);
    }
}

/* Only types that cannot hold such weights lose them: their absolute error is large where they hold them, too. */
static void test_lost_by_size(void **state)
{
    (void)state;
    static const struct { int type; bool lost; } type[] = {
        { QS_F32, false }, { QS_BF16, false }, { QS_MXFP4, false }, { QS_NVFP4, true }, { QS_Q8_0, true }, { QS_Q6_K, true },
        { QS_IQ4_XS, true }, { QS_TQ2_0, true },
    };
    for (size_t i = 0; i < sizeof type / sizeof *type; i++) {
        assert_int_equal(qs_bad_lost(qs_format_by_id(type[i].type), 1e20), type[i].lost);
        assert_false(qs_bad_lost(qs_format_by_id(type[i].type), 1e6));
    }
}

/* The importance matrix is blamed where the weights cannot be at fault, and only there. */
static void test_importance_is_blamed(void **state)
{
    (void)state;
    float value[3] = { 1, 9e15f, 0 };
    const struct qs_imatrix_entry importance = { .name = (char *)(uintptr_t)"x", .value = value, .n = 3, .experts = 1 };
    static const struct { double largest; bool given, blamed; } cases[] = {
        { 0.2, true, true }, { 0.2, false, false }, { 1e30, true, false }, { 65504, true, true },
    };
    struct bench b;
    setup_plan(&b, source, "Q4_K_M", 1);
    const struct qs_scan bad = { .n = 3 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct qs_err e = QS_ERR_INIT;
        assert_int_equal(qs_bad_result(b.plan->enc[0].tensor, QS_Q4_K, &bad, "would be NaN", cases[i].largest,
                                       cases[i].given ? &importance : NULL, &e), QS_EFORMAT);
        assert_int_equal(strstr(e.msg, "matrix is the likely cause, its values for this tensor reach 9e+15") != NULL,
                         cases[i].blamed);
        assert_int_equal(strstr(e.msg, "mend the source") != NULL, !cases[i].blamed);
    }
    close_plan(&b);
}

/* ---- nothing is lost ---- */

static void test_existing_output_is_kept(void **state)
{
    (void)state;
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    char out[512];
    snprintf(out, sizeof out, "%s", qs_test_file("mine.gguf", "precious", 8));
    setup_plan(&b, source, "Q8_0", 1);
    struct qs_writer_args args = { .path = out };
    assert_int_equal(write_to(&b, &args, &e), QS_EEXISTS);
    assert_int_equal(e.advice, QS_ADVISE_OVERWRITE_OR_OTHER);
    assert_nothing_left(out);
    char *text;
    size_t n;
    read_file(out, &text, &n);
    assert_memory_equal(text, "precious", 8);
    qs_free(text);
    args.force = true;
    assert_int_equal(write_to(&b, &args, &e), QS_OK);
    close_plan(&b);
}

static void test_source_is_never_the_output(void **state)
{
    (void)state;
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    char alias[512], copy[512];
    char *data;
    size_t n;
    read_file(source, &data, &n);
    snprintf(copy, sizeof copy, "%s", qs_test_file("src2.gguf", data, n));
    snprintf(alias, sizeof alias, "%s", qs_test_tmp_path("alias.gguf"));
    assert_int_equal(link(copy, alias), 0);
    setup_plan(&b, copy, "Q8_0", 1);
    struct qs_writer_args args = { .path = copy, .force = true };
    assert_int_equal(write_to(&b, &args, &e), QS_EINVAL);
    args.path = alias;
    assert_int_equal(write_to(&b, &args, &e), QS_EINVAL);
    const struct qs_file_input in = { qs_test_file("read.imatrix", "precious", 8), "the importance matrix" };
    args.path = in.path;
    args.input = &in;
    args.n_input = 1;
    assert_int_equal(write_to(&b, &args, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "the importance matrix that is read"));
    char *now;
    size_t n_now;
    read_file(copy, &now, &n_now);
    assert_int_equal(n, n_now);
    assert_memory_equal(data, now, n);
    qs_free(now);
    qs_free(data);
    close_plan(&b);
}

static void test_foreign_part_is_kept(void **state)
{
    (void)state;
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    char out[512];
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("foreign.gguf"));
    qs_test_file("foreign.gguf.part", "a download", 10);
    setup_plan(&b, source, "Q8_0", 1);
    struct qs_writer_args args = { .path = out };
    assert_int_equal(write_to(&b, &args, &e), QS_EEXISTS);
    assert_true(qs_file_exists(with(out, ".part")));
    args.restart = true;
    assert_int_equal(write_to(&b, &args, &e), QS_OK);
    close_plan(&b);
}

/* A file that is there under the journal's name and is none of ours: nothing is done to it without --restart. */
static void test_foreign_journal_is_kept(void **state)
{
    (void)state;
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    char out[512], journal[520];
    static char letter[300];
    memset(letter, 'x', sizeof letter);
    memcpy(letter, "QSJRNL01", 8); /* even one that begins like ours */
    setup_plan(&b, source, "Q8_0", 1);
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("fj.gguf"));
    snprintf(journal, sizeof journal, "%s.part.journal", out);
    struct qs_writer_args args = { .path = out };
    static const size_t sizes[] = { 9, 47, 48, 300 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *now;
        size_t n;
        qs_test_write(journal, letter, sizes[i]);
        args.restart = false;
        assert_int_equal(write_to(&b, &args, &e), QS_EEXISTS);
        assert_non_null(strstr(e.msg, journal));
        assert_int_equal(e.advice, QS_ADVISE_DISCARD);
        assert_false(qs_file_exists(with(out, ".part")));
        read_file(journal, &now, &n);
        assert_int_equal(n, sizes[i]);
        assert_memory_equal(now, letter, n);
        qs_free(now);
        args.restart = true;
        assert_int_equal(write_to(&b, &args, &e), QS_OK);
        assert_nothing_left(out);
        assert_int_equal(unlink(out), 0);
    }
    /* Links are not followed, whatever is asked for. */
    char *now;
    size_t n;
    const char *target = qs_test_file("fj.precious", letter, sizeof letter);
    assert_int_equal(symlink(target, journal), 0);
    assert_int_equal(write_to(&b, &args, &e), QS_EEXISTS);
    assert_non_null(strstr(e.msg, "symbolic link"));
    assert_int_equal(unlink(journal), 0);
    read_file(qs_test_tmp_path("fj.precious"), &now, &n);
    assert_int_equal(n, sizeof letter);
    assert_memory_equal(now, letter, n);
    qs_free(now);
    close_plan(&b);
}

/* A head that was torn while it was written is the beginning of what is written again; another work's is not. */
static void test_torn_head_of_the_journal(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_journal j;
    bool fresh;
    char path[512], *head;
    size_t n;
    snprintf(path, sizeof path, "%s", qs_test_tmp_path("torn.journal"));
    const struct qs_key key = { 7, 8 }, other = { 9, 8 };
    assert_int_equal(qs_journal_open(path, key, false, &j, &fresh, &e), QS_OK);
    assert_true(fresh);
    qs_journal_close(&j, false);
    read_file(path, &head, &n);
    assert_int_equal(n, 48);
    for (size_t cut = 0; cut < n; cut++) {
        qs_test_write(path, head, cut);
        assert_int_equal(qs_journal_open(path, other, false, &j, &fresh, &e), cut <= 8 ? QS_OK : QS_EEXISTS);
        if (cut <= 8)
            qs_journal_close(&j, false);
        qs_test_write(path, head, cut);
        assert_int_equal(qs_journal_open(path, key, false, &j, &fresh, &e), QS_OK);
        assert_true(fresh && j.n == 0);
        qs_journal_close(&j, false);
    }
    assert_int_equal(qs_journal_open(path, key, false, &j, &fresh, &e), QS_OK);
    assert_false(fresh);
    qs_journal_close(&j, false);
    qs_free(head);
}

/* ---- kills ---- */

static uint64_t journal_records(const char *out)
{
    struct stat st;
    return stat(with(out, ".part.journal"), &st) || st.st_size < 48 ? 0 : ((uint64_t)st.st_size - 48) / 96;
}

/* Runs the writer in a child and kills it once its journal has `records` records. Returns false when it got through. */
static bool run_and_kill(const char *path, const char *preset, const struct qs_writer_args *args, uint64_t records)
{
    fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct bench b;
        struct qs_err e = QS_ERR_INIT;
        if (open_plan(&b, path, preset, 2, &e))
            _exit(3);
        _exit(write_to(&b, args, &e) ? 4 : 0);
    }
    int status = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (journal_records(args->path) >= records) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            break;
        }
        const struct timespec t = { .tv_nsec = 200000 };
        nanosleep(&t, NULL);
    }
    if (WIFEXITED(status))
        assert_int_equal(WEXITSTATUS(status), 0);
    return WIFSIGNALED(status);
}

static unsigned kills_wanted(void)
{
    const char *n = getenv("QS_KILLS");
    return n ? (unsigned)strtoul(n, NULL, 10) : getenv("QS_REDUCED") ? 4 : 20;
}

static uint64_t next_random(uint64_t *s)
{
    *s += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *s;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void test_killed_anywhere_it_goes_on(void **state)
{
    (void)state;
    char want[512], out[512];
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    snprintf(want, sizeof want, "%s", qs_test_tmp_path("want.gguf"));
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("killed.gguf"));
    setup_plan(&b, source, "Q4_K_M", 2);
    const struct qs_writer_args whole = { .path = want }, piecewise = { .path = out, .sync_bytes = 1 };
    assert_int_equal(write_to(&b, &whole, &e), QS_OK);
    close_plan(&b);
    uint64_t seed = 1, most = 0;
    unsigned killed = 0;
    for (unsigned i = 0; i < kills_wanted(); i++) {
        const uint64_t at = next_random(&seed) % 24;
        const bool dead = run_and_kill(source, "Q4_K_M", &piecewise, at);
        killed += dead;
        if (dead && journal_records(out) > most)
            most = journal_records(out);
        if (dead)
            assert_true(!qs_file_exists(out) || !qs_file_exists(with(out, ".part")));
        if (dead && next_random(&seed) % 2)
            continue; /* kill the run that goes on, too */
        setup_plan(&b, source, "Q4_K_M", 1 + (unsigned)(next_random(&seed) % 3));
        if (!qs_file_exists(out) || qs_file_exists(with(out, ".part.journal")))
            assert_int_equal(write_to(&b, &piecewise, &e), QS_OK);
        close_plan(&b);
        assert_same_file(want, out);
        assert_nothing_left(out);
        assert_int_equal(unlink(out), 0);
    }
    assert_true(killed > 0);
    assert_true(most > 0); /* at least one kill hit a run that had got somewhere */
}

static void test_killed_split_goes_on(void **state)
{
    (void)state;
    char want[512], out[512];
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    snprintf(want, sizeof want, "%s", qs_test_tmp_path("wantsplit.gguf"));
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("killedsplit.gguf"));
    setup_plan(&b, source, "Q8_0", 2);
    const struct qs_writer_args whole = { .path = want, .split_max_bytes = 300000 },
                                piecewise = { .path = out, .split_max_bytes = 300000, .sync_bytes = 1 };
    assert_int_equal(write_to(&b, &whole, &e), QS_OK);
    struct qs_outfiles *files, *wanted;
    assert_int_equal(qs_outfiles_make(b.plan, &piecewise, &files, &e), QS_OK);
    assert_int_equal(qs_outfiles_make(b.plan, &whole, &wanted, &e), QS_OK);
    for (uint64_t at = 1; at < 40; at += 7) {
        run_and_kill(source, "Q8_0", &piecewise, at);
        if (qs_file_exists(with(out, ".part.journal")) || !qs_file_exists(files->file[0].final))
            assert_int_equal(write_to(&b, &piecewise, &e), QS_OK);
        for (unsigned f = 0; f < files->n_files; f++) {
            assert_same_file(wanted->file[f].final, files->file[f].final);
            assert_int_equal(unlink(files->file[f].final), 0);
        }
        assert_nothing_left(out);
    }
    qs_outfiles_free(files);
    qs_outfiles_free(wanted);
    close_plan(&b);
}

/* As after a kill between two renames: everything durable, the journal says so, some files have their names already. */
static void test_stopped_between_renames(void **state)
{
    (void)state;
    char out[512];
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("renames.gguf"));
    setup_plan(&b, source, "Q8_0", 2);
    const struct qs_writer_args args = { .path = out, .split_max_bytes = 300000, .sync_bytes = 1 };
    struct qs_outfiles *files;
    struct qs_key key = { 0, 0 };
    assert_int_equal(qs_outfiles_make(b.plan, &args, &files, &e), QS_OK);
    for (int tries = 0; tries < 50 && !key.lo; tries++) { /* the key stands in the journal of a run that was stopped */
        run_and_kill(source, "Q8_0", &args, 4);
        const int fd = open(with(out, ".part.journal"), O_RDONLY);
        if (fd < 0)
            continue;
        assert_int_equal(pread(fd, &key, sizeof key, 8), sizeof key);
        close(fd);
    }
    assert_true(key.lo != 0);
    struct qs_writer_args again = args;
    again.force = true;
    assert_int_equal(write_to(&b, &again, &e), QS_OK);
    for (unsigned renamed = 0; renamed <= files->n_files; renamed++) {
        struct qs_journal j;
        bool fresh;
        assert_int_equal(qs_journal_open(with(out, ".part.journal"), key, false, &j, &fresh, &e), QS_OK);
        for (unsigned f = 0; f < files->n_files; f++) {
            const struct qs_record commit = { .tensor = QS_JOURNAL_COMMIT, .slice = f };
            assert_int_equal(qs_journal_append(&j, &commit, 1, &e), QS_OK);
            if (f < files->n_files - renamed) /* the last files are renamed first */
                assert_int_equal(rename(files->file[f].final, files->file[f].part), 0);
        }
        qs_journal_close(&j, false);
        assert_int_equal(write_to(&b, &args, &e), QS_OK); /* no --force needed: the work is ours */
        assert_nothing_left(out);
        for (unsigned f = 0; f < files->n_files; f++) {
            struct qs_file_stat st;
            assert_int_equal(qs_file_stat(files->file[f].final, &st, &e), QS_OK);
            assert_int_equal(st.size, files->file[f].size);
            assert_false(qs_file_exists(files->file[f].part));
        }
    }
    qs_outfiles_free(files);
    close_plan(&b);
}

/* ---- other endings ---- */

struct cancel_at { struct bench *b; const struct qs_writer_args *args; };

static int writing(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct cancel_at *c = ctx;
    struct qs_writer_result *x = NULL;
    const int rc = qs_writer_run(c->b->plan, c->args, c->b->pool, job, &x, e);
    qs_writer_result_free(x);
    return rc;
}

/* Cancelled before its first step ends: one tensor's slice may be done, the rest is not. */
static void test_cancelled_it_goes_on(void **state)
{
    (void)state;
    char want[512], out[512];
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    snprintf(want, sizeof want, "%s", qs_test_tmp_path("want.gguf"));
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("cancelled.gguf"));
    setup_plan(&b, source, "Q4_K_M", 2);
    const struct qs_writer_args args = { .path = out, .sync_bytes = 1 };
    struct cancel_at c = { &b, &args };
    struct qs_job *job;
    assert_int_equal(qs_job_start("write", writing, &c, -1, &job, &e), QS_OK);
    qs_job_cancel(job);
    assert_int_equal(qs_job_wait(job, &e), QS_ECANCELLED);
    assert_non_null(strstr(e.msg, "goes on from there"));
    assert_non_null(strstr(e.msg, with(out, ".part and the same command")));
    assert_false(qs_file_exists(out));
    assert_true(journal_records(out) >= 1);
    struct qs_writer_result *x;
    assert_int_equal(qs_writer_run(b.plan, &args, b.pool, NULL, &x, &e), QS_OK);
    assert_true(x->resumed_bytes > 0);
    qs_writer_result_free(x);
    qs_job_free(job);
    assert_same_file(want, out);
    assert_nothing_left(out);
    close_plan(&b);
}

/* The message of a cancelled run names a file that is there. */
static void test_cancelled_split_names_its_part(void **state)
{
    (void)state;
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    setup_plan(&b, source, "Q8_0", 2);
    const struct qs_writer_args args = { .path = qs_test_tmp_path("cs.gguf"), .split_max_bytes = 300000, .sync_bytes = 1 };
    struct cancel_at c = { &b, &args };
    struct qs_job *job;
    assert_int_equal(qs_job_start("write", writing, &c, -1, &job, &e), QS_OK);
    qs_job_cancel(job);
    assert_int_equal(qs_job_wait(job, &e), QS_ECANCELLED);
    qs_job_free(job);
    const char *from = strstr(e.msg, "kept in "), *to = strstr(e.msg, " and the parts behind it");
    if (!from || !to || !strstr(e.msg, "cs-00001-of-0000"))
        fail_msg("%s", e.msg);
    char name[512];
    snprintf(name, sizeof name, "%.*s", (int)(to - from - 8), from + 8);
    assert_true(qs_file_exists(name));
    close_plan(&b);
}

/* Stops a run after some records; the part and its journal stay. */
static void leave_unfinished(const char *out, const char *preset)
{
    const struct qs_writer_args args = { .path = out, .sync_bytes = 1 };
    for (int tries = 0; tries < 50; tries++) {
        if (run_and_kill(source, preset, &args, 4) && journal_records(out) >= 4 && !qs_file_exists(out))
            return;
        unlink(out);
    }
    fail_msg("no run could be stopped in the middle");
}

static void test_other_work_is_refused_and_restart_discards(void **state)
{
    (void)state;
    char out[512];
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("other.gguf"));
    leave_unfinished(out, "Q4_K_M");
    setup_plan(&b, source, "Q8_0", 2);
    struct qs_writer_args args = { .path = out };
    assert_int_equal(write_to(&b, &args, &e), QS_EEXISTS);
    assert_int_equal(e.advice, QS_ADVISE_DISCARD);
    assert_true(qs_file_exists(with(out, ".part")));
    assert_true(journal_records(out) >= 4);
    args.restart = true;
    assert_int_equal(write_to(&b, &args, &e), QS_OK);
    assert_nothing_left(out);
    close_plan(&b);
}

/* What an unfinished part holds on the disk need not be found again. */
static void test_forecast_counts_what_is_there(void **state)
{
    (void)state;
    char out[512];
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    struct qs_writer_forecast before, after;
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("forecast.gguf"));
    setup_plan(&b, source, "Q4_K_M", 2);
    const struct qs_writer_args args = { .path = out };
    assert_int_equal(qs_writer_forecast(b.plan, &args, 2, &before, &e), QS_OK);
    assert_int_equal(before.refusal.code, QS_OK);
    assert_int_equal(before.claim, before.bytes);
    assert_true(before.free_disk > 0);
    assert_true(before.memory > qs_encoder_memory(2, 512));
    assert_int_equal(qs_writer_forecast(b.plan, &args, 5, &after, &e), QS_OK); /* a scratch for each thread */
    assert_int_equal(after.memory - before.memory, 3 * (qs_encoder_memory(1, 512) - qs_encoder_memory(0, 512)));
    const struct qs_writer_args sizes = { .split_max_bytes = 0 };
    assert_int_equal(qs_writer_forecast(b.plan, &sizes, 2, &after, &e), QS_OK);
    assert_true(after.free_disk == 0 && after.memory > 0 && after.bytes == before.bytes);
    leave_unfinished(out, "Q4_K_M");
    assert_int_equal(qs_writer_forecast(b.plan, &args, 2, &after, &e), QS_OK);
    assert_int_equal(after.bytes, before.bytes);
    assert_true(after.claim < before.claim);
    close_plan(&b);
}

static void test_damaged_part_is_noticed(void **state)
{
    (void)state;
    char want[512], out[512];
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    snprintf(want, sizeof want, "%s", qs_test_tmp_path("want.gguf"));
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("damaged.gguf"));
    leave_unfinished(out, "Q4_K_M");
    setup_plan(&b, source, "Q4_K_M", 2);
    const struct qs_writer_args args = { .path = out };
    struct qs_outfiles *files;
    assert_int_equal(qs_outfiles_make(b.plan, &args, &files, &e), QS_OK);
    int fd = open(with(out, ".part"), O_RDWR);
    assert_true(fd >= 0);
    for (size_t i = 0; i < b.plan->n; i++) /* a wrong byte in every tensor, written or not */
        assert_int_equal(pwrite(fd, "\x5a", 1, (off_t)(files->place[i].offset + b.plan->enc[i].bytes / 2)), 1);
    close(fd);
    fd = open(with(out, ".part.journal"), O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "torn record", 11), 11);
    close(fd);
    assert_int_equal(write_to(&b, &args, &e), QS_OK);
    assert_same_file(want, out);
    qs_outfiles_free(files);
    close_plan(&b);
}

static void test_second_process_is_kept_away(void **state)
{
    (void)state;
    char out[512];
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("locked.gguf"));
    int go[2];
    assert_int_equal(pipe(go), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        struct qs_journal j;
        bool fresh;
        const struct qs_key key = { 1, 2 };
        close(go[0]);
        if (qs_journal_open(with(out, ".part.journal"), key, false, &j, &fresh, NULL))
            _exit(1);
        const ssize_t n = write(go[1], "x", 1);
        (void)n;
        pause();
        _exit(0);
    }
    close(go[1]);
    char c;
    assert_int_equal(read(go[0], &c, 1), 1);
    close(go[0]);
    setup_plan(&b, source, "Q8_0", 1);
    const struct qs_writer_args args = { .path = out, .restart = true };
    const int rc = write_to(&b, &args, &e);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(rc, QS_EBUSY);
    assert_int_equal(write_to(&b, &args, &e), QS_OK);
    close_plan(&b);
}

/* Not even the journal's head fits: no empty journal stays; one that was refused does. */
static void test_no_room_for_a_journal(void **state)
{
    (void)state;
    char out[512];
    struct qs_err e = QS_ERR_INIT;
    struct bench b;
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("start.gguf"));
    const pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit limit = { 10, 10 };
        signal(SIGXFSZ, SIG_IGN);
        if (open_plan(&b, source, "Q4_K_M", 1, &e))
            _exit(1);
        setrlimit(RLIMIT_FSIZE, &limit);
        const struct qs_writer_args args = { .path = out };
        _exit(write_to(&b, &args, &e) == QS_OK ? 2 : 0);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_false(qs_file_exists(out));
    assert_nothing_left(out);
}

/* Room that cannot be claimed (here: a limit on file size) is told before anything is kept. */
static void test_no_room_is_told(void **state)
{
    (void)state;
    char out[512];
    struct qs_err e = QS_ERR_INIT;
    struct bench b;
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("full.gguf"));
    const pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit limit = { 100000, 100000 };
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        if (open_plan(&b, source, "Q4_K_M", 1, &e))
            _exit(1);
        const struct qs_writer_args args = { .path = out };
        const int rc = write_to(&b, &args, &e);
        _exit(rc != QS_ENOSPACE || !strstr(e.msg, "full.gguf.part") || !strstr(e.msg, "97.7 KiB") ? 2 : 0);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_false(qs_file_exists(out));
    assert_nothing_left(out);
}

/* The disk fails in the middle: told, kept, and what was not durable is made again. */
static void test_failing_disk_is_told_and_resumable(void **state)
{
    (void)state;
    static const int codes[] = { ENOSPC, EIO };
    char want[512], out[512];
    struct bench b;
    snprintf(want, sizeof want, "%s", qs_test_tmp_path("want.gguf"));
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("failing.gguf"));
    setup_plan(&b, source, "Q4_K_M", 1);
    for (int k = 0; k < 2; k++) {
        const struct qs_writer_args args = { .path = out, .sync_bytes = 1 };
        struct qs_err e = QS_ERR_INIT;
        sync_errno = codes[k];
        atomic_store(&sync_budget, 5);
        const int rc = write_to(&b, &args, &e);
        atomic_store(&sync_budget, -1);
        assert_int_equal(rc, codes[k] == ENOSPC ? QS_ENOSPACE : QS_EIO);
        assert_non_null(strstr(e.msg, "failing.gguf.part"));
        assert_false(qs_file_exists(out));
        assert_int_equal(journal_records(out), 5); /* the sixth is not believed: its bytes may be lost */
        struct qs_writer_result *x;
        assert_int_equal(qs_writer_run(b.plan, &args, b.pool, NULL, &x, &e), QS_OK);
        assert_true(x->resumed_bytes > 0);
        qs_writer_result_free(x);
        assert_same_file(want, out);
        assert_int_equal(unlink(out), 0);
    }
    close_plan(&b);
}

/* Another file under the source's name, before anything is copied from it. */
static void test_replaced_source_is_noticed(void **state)
{
    (void)state;
    char copy[512], out[512];
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    char *data;
    size_t n;
    read_file(source, &data, &n);
    snprintf(copy, sizeof copy, "%s", qs_test_file("replaced.gguf", data, n));
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("fromreplaced.gguf"));
    setup_plan(&b, copy, "Q8_0", 1);
    struct qs_key key;
    assert_int_equal(qs_model_key(b.model, &key, &e), QS_OK); /* the mappings are made */
    char other[512];
    snprintf(other, sizeof other, "%s", qs_test_file("other-source.gguf", data, n));
    assert_int_equal(rename(other, copy), 0);
    const struct qs_writer_args args = { .path = out };
    assert_int_equal(write_to(&b, &args, &e), QS_EIO);
    assert_non_null(strstr(e.msg, "replaced"));
    assert_false(qs_file_exists(out));
    qs_free(data);
    close_plan(&b);
}

static void test_modelfile_in_the_way_is_told_first(void **state)
{
    (void)state;
    char out[512];
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("way.gguf"));
    qs_test_file("way.Modelfile", "mine", 4);
    setup_plan(&b, source, "Q8_0", 1);
    struct qs_writer_args args = { .path = out, .modelfile = true };
    assert_int_equal(write_to(&b, &args, &e), QS_EEXISTS);
    assert_non_null(strstr(e.msg, "way.Modelfile"));
    assert_false(qs_file_exists(out));
    assert_nothing_left(out);
    args.force = true;
    assert_int_equal(write_to(&b, &args, &e), QS_OK);
    args.path = "bad\nname.gguf";
    assert_int_equal(write_to(&b, &args, &e), QS_EINVAL);
    close_plan(&b);
}

static void test_source_cut_short_leaves_no_output(void **state)
{
    (void)state;
    char copy[512], out[512];
    struct bench b;
    struct qs_err e = QS_ERR_INIT;
    char *data;
    size_t n;
    read_file(source, &data, &n);
    snprintf(copy, sizeof copy, "%s", qs_test_file("shrinks.gguf", data, n));
    qs_free(data);
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("fromshrunk.gguf"));
    setup_plan(&b, copy, "Q4_K_M", 2);
    assert_int_equal(truncate(copy, (off_t)(n / 2)), 0);
    const struct qs_writer_args args = { .path = out };
    assert_int_not_equal(write_to(&b, &args, &e), QS_OK);
    assert_true(*e.msg != 0);
    assert_false(qs_file_exists(out));
    close_plan(&b);
}

static int write_once(void *ctx, struct qs_err *e)
{
    struct bench b;
    const char *out = ctx;
    int rc = open_plan(&b, source, "Q8_0", 1, e);
    if (!rc) {
        const struct qs_writer_args args = { .path = out, .force = true, .restart = true };
        rc = write_to(&b, &args, e);
    }
    close_plan(&b);
    return rc;
}

static void test_failing_allocations(void **state)
{
    (void)state;
    char out[512];
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("nomem.gguf"));
    qs_test_each_alloc(write_once, out);
}

/* A model larger than the private memory allowed: RLIMIT_DATA of 1 GiB, a sparse F32 source of more than that. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    if (QS_TEST_SANITIZED || getenv("QS_REDUCED"))
        skip();
    struct qs_err e = QS_ERR_INIT;
    char big[512], out[512];
    snprintf(big, sizeof big, "%s", qs_test_tmp_path("big.gguf"));
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("big.Q4_0.gguf"));
    const struct mm_spec s = { .layers = 4, .embd = 2048, .ff = 8192, .heads = 16, .kv_heads = 4, .vocab = 32000,
                               .type = QS_F32, .type_set = true, .fill = MM_SPARSE };
    assert_int_equal(mm_file(big, &s, &e), QS_OK);
    struct qs_file_stat st;
    assert_int_equal(qs_file_stat(big, &st, &e), QS_OK);
    assert_true(st.size > (UINT64_C(1) << 30));
    const pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit limit = { (rlim_t)1 << 30, (rlim_t)1 << 30 };
        struct bench b;
        setrlimit(RLIMIT_DATA, &limit);
        if (open_plan(&b, big, "Q4_0", 2, &e))
            _exit(1);
        const struct qs_writer_args args = { .path = out };
        const int rc = write_to(&b, &args, &e);
        if (rc)
            dprintf(2, "%s\n", e.msg);
        struct qs_writer_forecast f;
        if (qs_writer_forecast(b.plan, &args, 2, &f, &e) || qs_mem_peak() > f.memory + (32u << 20))
            _exit(3); /* the prediction must hold */
        _exit(rc ? 2 : 0);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    unlink(out);
    unlink(big);
}

int main(void)
{
    struct qs_err e = QS_ERR_INIT;
    snprintf(source, sizeof source, "%s", qs_test_tmp_path("source.gguf"));
    const struct mm_spec s = { .layers = 2 };
    if (mm_file(source, &s, &e)) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_those_of_the_encoder),
        cmocka_unit_test(test_threads_do_not_change_bytes),
        cmocka_unit_test(test_threads_do_not_change_sums),
        cmocka_unit_test(test_components_are_refused),
        cmocka_unit_test(test_split_parts_hold_the_same_tensors),
        cmocka_unit_test(test_tight_sources_are_aligned),
        cmocka_unit_test(test_metadata_overrides),
        cmocka_unit_test(test_edits_that_break_a_file_are_refused),
        cmocka_unit_test(test_copy_keeps_how_it_was_made),
        cmocka_unit_test(test_bad_weights_end_it),
        cmocka_unit_test(test_lost_by_size),
        cmocka_unit_test(test_importance_is_blamed),
        cmocka_unit_test(test_existing_output_is_kept),
        cmocka_unit_test(test_source_is_never_the_output),
        cmocka_unit_test(test_foreign_part_is_kept),
        cmocka_unit_test(test_foreign_journal_is_kept),
        cmocka_unit_test(test_torn_head_of_the_journal),
        cmocka_unit_test(test_killed_anywhere_it_goes_on),
        cmocka_unit_test(test_killed_split_goes_on),
        cmocka_unit_test(test_stopped_between_renames),
        cmocka_unit_test(test_cancelled_it_goes_on),
        cmocka_unit_test(test_cancelled_split_names_its_part),
        cmocka_unit_test(test_other_work_is_refused_and_restart_discards),
        cmocka_unit_test(test_forecast_counts_what_is_there),
        cmocka_unit_test(test_damaged_part_is_noticed),
        cmocka_unit_test(test_second_process_is_kept_away),
        cmocka_unit_test(test_no_room_for_a_journal),
        cmocka_unit_test(test_no_room_is_told),
        cmocka_unit_test(test_failing_disk_is_told_and_resumable),
        cmocka_unit_test(test_replaced_source_is_noticed),
        cmocka_unit_test(test_modelfile_in_the_way_is_told_first),
        cmocka_unit_test(test_source_cut_short_leaves_no_output),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
