/* test_store.c - encoded tensors made beforehand: the file that grows tensor by tensor, and plans, candidates and
 * written files that take its bytes. */
#include "tests/lib/qs_test.h"

#include <math.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/quant/candidate.h"
#include "core/quant/store.h"
#include "core/quant/writer.h"
#include "tests/model/make_model.h"

static struct qs_pool *pool;
static const struct qs_key key = { 11, 22 };
static const char *const facts = "{\"model\":\"0\",\"recipe\":\"Q4_K_M\",\"text\":{\"windows\":32}}";

/* Tensor k of `some`: a few rows of F32 whose numbers name it. */
static struct qs_stored some(unsigned k, float *value)
{
    struct qs_stored t = { .type = QS_F32,
                           .n_dims = 2,
                           .ne = { 3 + k, 2, 1, 1 },
                           .method = "GPTQ",
                           .group = k % 3,
                           .before = 0.5,
                           .after = k ? 0.25 : NAN,
                           .bytes = (3 + k) * 2 * 4 };
    snprintf(t.name, sizeof t.name, "blk.%u.ffn_down.weight", k);
    if (k % 2)
        snprintf(t.note, sizeof t.note, "note of %u", k);
    for (unsigned i = 0; i < (3 + k) * 2; i++)
        value[i] = (float)(k * 100 + i);
    return t;
}

static struct qs_store *create(const char *path, bool restart)
{
    struct qs_store *s = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_store_create(path, key, facts, restart, &s, &e))
        fail_msg("%s", e.msg);
    return s;
}

static void put_some(struct qs_store *s, unsigned from, unsigned to)
{
    float value[64];
    struct qs_err e = QS_ERR_INIT;
    for (unsigned k = from; k < to; k++) {
        const struct qs_stored t = some(k, value);
        if (qs_store_put(s, &t, value, &e))
            fail_msg("%s", e.msg);
    }
}

/* It holds the first n of them. */
static void expect_some(struct qs_store *s, unsigned n)
{
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_store_count(s), n);
    for (unsigned k = 0; k < n; k++) {
        float value[64];
        struct qs_weight *w;
        const struct qs_stored want = some(k, value), *t = qs_store_at(s, k);
        assert_ptr_equal(qs_store_find(s, want.name), t);
        assert_string_equal(t->name, want.name);
        assert_string_equal(t->method, want.method);
        assert_string_equal(t->note, want.note);
        assert_memory_equal(t->ne, want.ne, sizeof want.ne);
        assert_int_equal(t->group, want.group);
        assert_true(t->before == want.before && (t->after == want.after || (isnan(t->after) && isnan(want.after))));
        assert_int_equal(t->at % 64, 0);
        if (qs_store_weight(s, t, &w, &e))
            fail_msg("%s", e.msg);
        assert_int_equal(w->bytes, want.bytes);
        assert_memory_equal(w->parts.p[0], value, (size_t)want.bytes);
        qs_weight_unref(w);
    }
    assert_null(qs_store_find(s, "nobody"));
}

static void test_put_finish_open(void **state)
{
    (void)state;
    char path[512];
    struct qs_err e = QS_ERR_INIT;
    snprintf(path, sizeof path, "%s", qs_test_tmp_path("a.qscal"));
    struct qs_store *s = create(path, false), *x;
    put_some(s, 0, 5);
    expect_some(s, 5);
    struct qs_weight *early; /* a view that outlives the store */
    assert_int_equal(qs_store_weight(s, qs_store_at(s, 2), &early, &e), QS_OK);
    put_some(s, 5, 9);
    float value[64];
    struct qs_stored t = some(3, value);
    assert_int_equal(qs_store_put(s, &t, value, &e), QS_EINVAL); /* twice */
    assert_int_equal(qs_store_open(path, &x, &e), QS_ENOTFOUND);
    assert_int_equal(qs_store_finish(s, false, &e), QS_OK);
    expect_some(s, 9);
    t = some(10, value);
    assert_int_equal(qs_store_put(s, &t, value, &e), QS_EINVAL); /* it is finished */
    assert_int_equal(qs_store_open(path, &x, &e), QS_OK);
    qs_store_unref(s);
    expect_some(x, 9);
    assert_string_equal(qs_store_facts(x), facts);
    const struct qs_key k = qs_store_key(x);
    assert_true(qs_key_equal(k, key));
    qs_store_unref(x);
    some(2, value);
    assert_memory_equal(early->parts.p[0], value, (size_t)early->bytes);
    qs_weight_unref(early);

    s = create(path, false); /* another run */
    put_some(s, 0, 1);
    assert_int_equal(qs_store_finish(s, false, &e), QS_EEXISTS);
    assert_int_equal(qs_store_finish(s, true, &e), QS_OK);
    qs_store_unref(s);
    s = create(path, false); /* nothing is put in: nothing is left */
    qs_store_unref(s);
    assert_false(qs_file_exists(qs_test_tmp_path("a.qscal.part")));
}

/* Whatever a kill leaves of the file, the whole tensors at its beginning are there and the rest is made again, to the
 * same bytes. */
static void test_killed_at_any_byte(void **state)
{
    (void)state;
    char path[512], part[520], *whole, *again;
    size_t n, m;
    struct qs_err e = QS_ERR_INIT;
    snprintf(path, sizeof path, "%s", qs_test_tmp_path("k.qscal"));
    snprintf(part, sizeof part, "%s.part", path);
    struct qs_store *s = create(path, false);
    size_t ends[4];
    for (unsigned k = 0; k < 4; k++) {
        put_some(s, k, k + 1);
        ends[k] = (size_t)(qs_store_at(s, k)->at + qs_store_at(s, k)->bytes);
    }
    qs_store_unref(s);
    assert_int_equal(qs_file_read(part, 1 << 20, &whole, &n, &e), QS_OK);
    for (size_t cut = 0; cut <= n; cut += 1 + cut % 7 / 6) {
        unsigned had = 0;
        while (had < 4 && ends[had] <= cut)
            had++;
        qs_test_write(part, whole, cut);
        s = create(path, false);
        assert_int_equal(qs_store_count(s), had);
        put_some(s, had, 4);
        expect_some(s, 4);
        qs_store_unref(s);
        assert_int_equal(qs_file_read(part, 1 << 20, &again, &m, &e), QS_OK);
        assert_int_equal(m, n);
        assert_memory_equal(again, whole, n);
        qs_free(again);
    }
    for (size_t at = 0; at < n; at++) { /* one bit flipped: nothing after it is believed */
        unsigned whole_before = 0;
        while (whole_before < 4 && ends[whole_before] <= at)
            whole_before++;
        whole[at] ^= 4;
        qs_test_write(part, whole, n);
        whole[at] ^= 4;
        const int rc = qs_store_create(path, key, facts, false, &s, &e);
        if (rc) {
            assert_int_equal(rc, QS_EEXISTS); /* the head */
            assert_int_equal(whole_before, 0);
            continue;
        }
        assert_true(qs_store_count(s) >= whole_before);
        put_some(s, (unsigned)qs_store_count(s), 4);
        expect_some(s, 4);
        qs_store_unref(s);
    }
    s = create(path, true);
    assert_int_equal(qs_store_count(s), 0);
    qs_store_unref(s);
    qs_free(whole);
}

/* A finished file has to be whole: cut short or changed anywhere, it is refused, or the tensor is. */
static void test_damaged(void **state)
{
    (void)state;
    char path[512], *whole;
    size_t n;
    struct qs_err e = QS_ERR_INIT;
    snprintf(path, sizeof path, "%s", qs_test_tmp_path("d.qscal"));
    struct qs_store *s = create(path, false);
    put_some(s, 0, 3);
    assert_int_equal(qs_store_finish(s, false, &e), QS_OK);
    qs_store_unref(s);
    assert_int_equal(qs_file_read(path, 1 << 20, &whole, &n, &e), QS_OK);
    for (size_t cut = 0; cut < n; cut++) {
        qs_test_write(path, whole, cut);
        assert_int_equal(qs_store_open(path, &s, &e), QS_EFORMAT);
    }
    size_t refused = 0, tensor = 0;
    for (size_t at = 0; at < n; at++) {
        whole[at] ^= 32;
        qs_test_write(path, whole, n);
        whole[at] ^= 32;
        const int rc = qs_store_open(path, &s, &e);
        if (rc) {
            assert_true(rc == QS_EFORMAT || rc == QS_EUNSUPPORTED);
            refused++;
            continue;
        }
        for (size_t k = 0; k < qs_store_count(s); k++) {
            struct qs_weight *w;
            const struct qs_stored *t = qs_store_at(s, k);
            const bool hit = at >= t->at && at < t->at + t->bytes;
            assert_int_equal(qs_store_weight(s, t, &w, &e), hit ? QS_EFORMAT : QS_OK);
            if (!hit)
                qs_weight_unref(w);
            else
                assert_non_null(strstr(e.msg, t->name));
            tensor += hit;
        }
        qs_store_unref(s);
    }
    assert_int_equal(tensor, 3 * 8 + 4 * 8 + 5 * 8);
    assert_true(refused > 3 * 300);
    qs_free(whole);
    assert_int_equal(
        qs_store_open(qs_test_file("text.qscal", "no store at all, and quite a bit longer than its head is", 56), &s,
                      &e),
        QS_EFORMAT);
    assert_int_equal(qs_store_open(qs_test_tmp(), &s, &e), QS_EINVAL);
}

static void test_locks_and_other_work(void **state)
{
    (void)state;
    char path[512];
    struct qs_err e = QS_ERR_INIT;
    struct qs_store *s, *x;
    snprintf(path, sizeof path, "%s", qs_test_tmp_path("l.qscal"));
    s = create(path, false);
    put_some(s, 0, 1);
    assert_int_equal(qs_store_create(path, key, facts, false, &x, &e), QS_EBUSY);
    assert_int_equal(qs_store_create(path, key, facts, true, &x, &e), QS_EBUSY);
    qs_store_unref(s);
    const struct qs_key other = { 11, 23 };
    assert_int_equal(qs_store_create(path, other, "{\"model\":\"0\",\"recipe\":\"Q3_K_M\",\"text\":{\"windows\":32}}",
                                     false, &x, &e),
                     QS_EEXISTS);
    assert_int_equal(e.advice, QS_ADVISE_DISCARD);
    assert_non_null(strstr(e.msg, "its recipe was \"Q4_K_M\" and is now \"Q3_K_M\""));
    assert_int_equal(qs_store_create(path, other, "{\"model\":\"0\",\"recipe\":\"Q4_K_M\",\"text\":{\"windows\":64}}",
                                     false, &x, &e),
                     QS_EEXISTS);
    assert_non_null(strstr(e.msg, "its text.windows was 32 and is now 64"));
    assert_int_equal(qs_store_create(path, other, facts, false, &x, &e), QS_EEXISTS);
    assert_non_null(strstr(e.msg, "another version"));
    s = create(path, false); /* what was refused is as it was */
    expect_some(s, 1);
    qs_store_unref(s);
    assert_int_equal(qs_store_create(path, other, facts, true, &x, &e), QS_OK);
    assert_int_equal(qs_store_count(x), 0);
    qs_store_unref(x);
    char part[520];
    snprintf(part, sizeof part, "%s.part", path);
    assert_int_equal(symlink("/dev/null", part), 0);
    assert_int_equal(qs_store_create(path, key, facts, true, &x, &e), QS_EEXISTS);
    unlink(part);
    qs_test_write(part, "somebody's notes, which are none of ours and longer than our head is", 68);
    assert_int_equal(qs_store_create(path, key, facts, false, &x, &e), QS_EEXISTS);
    unlink(part);
}

/* ---- with a model --------------------------------------------------------------------------------------------- */

static struct qs_model *model_of(const char *name)
{
    static const struct mm_spec spec = { .layers = 2, .embd = 256, .ff = 512, .vocab = 300, .untied = true };
    const char *path = qs_test_tmp_path(name);
    struct qs_model *m = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (!qs_file_exists(path))
        assert_int_equal(mm_file(path, &spec, &e), QS_OK);
    if (qs_model_open(path, &m, &e))
        fail_msg("%s", e.msg);
    return m;
}

static char *facts_of(const struct qs_model *m)
{
    struct qs_key k;
    char hex[33];
    struct qs_err e = QS_ERR_INIT;
    struct qs_str s = QS_STR_INIT;
    assert_int_equal(qs_model_content_key(m, &k, &e), QS_OK);
    qs_key_hex(k, hex);
    qs_str_addf(&s, "{\"model\":\"%s\",\"name\":\"a model\"}", hex);
    return qs_str_take(&s);
}

/* A copy elsewhere, of another time, is the same model to a store; one with other weights is not. */
static void test_fits_a_copy(void **state)
{
    (void)state;
    char *bytes, copy[512], path[512];
    size_t n;
    struct qs_err e = QS_ERR_INIT;
    struct qs_store *s;
    struct qs_model *m = model_of("original.gguf"), *c;
    char *said = facts_of(m);
    const size_t at = (size_t)qs_model_find(m, "blk.1.ffn_up.weight")->offset;
    snprintf(copy, sizeof copy, "%s", qs_test_tmp_path("a-copy.gguf"));
    snprintf(path, sizeof path, "%s", qs_test_tmp_path("copy.qscal"));
    assert_int_equal(qs_store_create(path, qs_hash_bytes(said, strlen(said)), said, false, &s, &e), QS_OK);
    assert_int_equal(qs_file_read(m->path, UINT64_MAX, &bytes, &n, &e), QS_OK);
    for (int changed = 0; changed < 2; changed++) {
        const struct timespec old[2] = { { 1000000, 5 }, { 1000000, 5 } };
        bytes[at] = (char)(bytes[at] ^ changed);
        qs_test_write(copy, bytes, n);
        assert_int_equal(utimensat(AT_FDCWD, copy, old, 0), 0);
        assert_int_equal(qs_model_open(copy, &c, &e), QS_OK);
        assert_int_equal(qs_store_fits(s, c, &e), changed ? QS_EINVAL : QS_OK);
        assert_true(!changed || strstr(e.msg, "another model"));
        qs_model_close(c);
    }
    qs_store_unref(s);
    qs_free(bytes);
    qs_free(said);
    qs_model_close(m);
}

/* What nobody else would make of that tensor: it is encoded with every weight moved a little. */
static void put_moved(struct qs_store *s, const struct qs_model *m, const char *name, int type, uint32_t group)
{
    const struct qs_tensor *t = qs_model_find(m, name);
    const struct qs_format *f = qs_format_by_id(type);
    struct qs_err e = QS_ERR_INIT;
    struct qs_weight *w;
    assert_non_null(t);
    assert_int_equal(qs_model_weight(m, t, &w, &e), QS_OK);
    float *x = qs_calloc((size_t)t->n, sizeof *x);
    assert_int_equal(qs_weight_decode(w, 0, t->rows, x, &e), QS_OK);
    for (uint64_t i = 0; i < t->n; i++)
        x[i] *= 1.0f + 0.01f * (float)(i % 7);
    const uint64_t bytes = qs_format_row_bytes(f, (size_t)t->ne[0]) * t->rows;
    uint8_t *to = qs_calloc(1, (size_t)bytes);
    void *scratch = qs_alloc_aligned(16, qs_format_scratch(f, (size_t)t->rows, (size_t)t->ne[0]) + 16);
    const struct qs_rows in = { .x = x, .rows = (size_t)t->rows, .cols = (size_t)t->ne[0], .stride = (size_t)t->ne[0] };
    qs_format_encode(f, &in, &(struct qs_parts){ { to } }, scratch);
    struct qs_stored r = { .type = type, .n_dims = t->n_dims, .group = group,
                           .before = 0.05, .after = 0.031, .bytes = bytes };
    snprintf(r.name, sizeof r.name, "%s", name);
    snprintf(r.method, sizeof r.method, "%s", group ? "AWQ+GPTQ" : "GPTQ");
    memcpy(r.ne, t->ne, sizeof r.ne);
    if (qs_store_put(s, &r, to, &e))
        fail_msg("%s", e.msg);
    qs_free(scratch);
    qs_free(to);
    qs_free(x);
    qs_weight_unref(w);
}

static struct qs_store *store_of(const struct qs_model *m, const char *path)
{
    struct qs_store *s = NULL;
    struct qs_err e = QS_ERR_INIT;
    char *text = facts_of(m);
    if (qs_store_create(path, key, text, true, &s, &e))
        fail_msg("%s", e.msg);
    qs_free(text);
    put_moved(s, m, "blk.0.attn_q.weight", QS_Q4_K, 0);
    put_moved(s, m, "blk.1.attn_v.weight", QS_Q4_K, 0); /* Q4_K_M gives it Q6_K: not taken there */
    put_moved(s, m, "blk.0.ffn_norm.weight", QS_F32, 7);
    put_moved(s, m, "blk.0.ffn_gate.weight", QS_Q4_K, 7);
    put_moved(s, m, "blk.0.ffn_up.weight", QS_Q4_K, 7);
    if (qs_store_finish(s, true, &e))
        fail_msg("%s", e.msg);
    return s;
}

static struct qs_plan *plan_of(const struct qs_model *m, const char *recipe, struct qs_store *s)
{
    const struct qs_plan_args args = { .store = s };
    struct qs_recipe *r = NULL;
    struct qs_plan *p = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_recipe_parse("r", recipe, strlen(recipe), &r, &e) || qs_plan_make(m, r, &args, &p, &e))
        fail_msg("%s", e.msg);
    qs_recipe_free(r);
    return p;
}

static const struct qs_encoding *enc_of(const struct qs_plan *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->enc[i].tensor->name, name))
            return &p->enc[i];
    fail_msg("no %s", name);
    return NULL;
}

static bool warns(const struct qs_plan *p, const char *text)
{
    for (size_t i = 0; i < p->n_warnings; i++)
        if (strstr(p->warning[i], text))
            return true;
    return false;
}

static void test_plan_takes_what_matches(void **state)
{
    (void)state;
    char path[512];
    struct qs_model *m = model_of("model.gguf");
    snprintf(path, sizeof path, "%s", qs_test_tmp_path("m.qscal"));
    struct qs_store *s = store_of(m, path);
    struct qs_plan *p = plan_of(m, "preset = Q4_K_S\nsteady = yes\npin blk.1.attn_v.weight = Q6_K\n", s);
    qs_store_unref(s); /* the plan has its own reference */
    assert_int_equal(p->n_stored, 4);
    const struct qs_encoding *q = enc_of(p, "blk.0.attn_q.weight"), *norm = enc_of(p, "blk.0.ffn_norm.weight");
    assert_non_null(q->stored);
    assert_non_null(strstr(q->reason, "GPTQ, output error 0.0310, -38 % against the weighted fit"));
    assert_true(norm->stored && !norm->copy);
    assert_null(enc_of(p, "blk.1.attn_v.weight")->stored);
    assert_true(warns(p, "calibrated for Q4_K, the recipe has Q6_K: encoded without calibration: attn_v of layer 1"));
    assert_true(warns(p, "not calibrated: encoded without calibration: "));
    qs_plan_free(p);

    s = store_of(m, path); /* one of the group is another type: none of it is taken */
    p = plan_of(m, "preset = Q4_K_S\npure = yes\npin blk.0.ffn_up.weight = Q5_K\n", s);
    assert_int_equal(p->n_stored, 2);
    assert_null(enc_of(p, "blk.0.ffn_gate.weight")->stored);
    assert_true(enc_of(p, "blk.0.ffn_norm.weight")->copy);
    assert_true(warns(p, "calibrated for Q4_K, the recipe has Q5_K"));
    assert_true(warns(p, "folded through all of them): encoded without calibration: ffn_gate of layer 0"));
    assert_true(warns(p, "copied as they are: ffn_norm of layer 0"));
    qs_plan_free(p);

    struct qs_model *other = NULL; /* the same tensors in another file */
    static const struct mm_spec spec = { .layers = 2, .embd = 256, .ff = 512, .vocab = 301, .untied = true };
    struct qs_err e = QS_ERR_INIT;
    struct qs_recipe *r;
    assert_int_equal(mm_file(qs_test_tmp_path("other.gguf"), &spec, &e), QS_OK);
    assert_int_equal(qs_model_open(qs_test_tmp_path("other.gguf"), &other, &e), QS_OK);
    assert_int_equal(qs_recipe_new("Q4_K_S", &r, &e), QS_OK);
    struct qs_plan_args args = { .store = s };
    assert_int_equal(qs_plan_make(other, r, &args, &p, &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "calibrated for another model (a model)"));
    args.foretell = true;
    assert_int_equal(qs_plan_make(other, r, &args, &p, &e), QS_OK);
    assert_int_equal(p->blocker.code, QS_EINVAL);
    assert_int_equal(p->n_stored, 0);
    qs_plan_free(p);
    qs_recipe_free(r);
    qs_model_close(other);
    qs_store_unref(s);
    qs_model_close(m);
}

/* Tensor `name` of the file has the store's bytes. */
static void expect_stored(const struct qs_model *file, struct qs_store *s, const char *name)
{
    struct qs_weight *want, *got;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_store_weight(s, qs_store_find(s, name), &want, &e), QS_OK);
    assert_int_equal(qs_model_weight(file, qs_model_find(file, name), &got, &e), QS_OK);
    assert_int_equal(got->format->id, want->format->id);
    assert_int_equal(got->bytes, want->bytes);
    assert_memory_equal(got->parts.p[0], want->parts.p[0], (size_t)want->bytes);
    qs_weight_unref(want);
    qs_weight_unref(got);
}

static void test_file_and_candidate_have_its_bytes(void **state)
{
    (void)state;
    static const char *const names[] = { "blk.0.attn_q.weight", "blk.1.attn_v.weight", "blk.0.ffn_norm.weight",
                                         "blk.0.ffn_gate.weight", "blk.0.ffn_up.weight" };
    struct qs_err e = QS_ERR_INIT;
    char out[512];
    struct qs_model *m = model_of("model.gguf"), *file = NULL;
    struct qs_store *s = store_of(m, qs_test_tmp_path("w.qscal"));
    struct qs_plan *p = plan_of(m, "preset = Q4_K_S\npure = yes\n", s),
                   *plain = plan_of(m, "preset = Q4_K_S\npure = yes\n", NULL);
    struct qs_candidate *c = NULL, *before = NULL, *again = NULL;
    snprintf(out, sizeof out, "%s", qs_test_tmp_path("out.gguf"));
    const struct qs_writer_args args = { .path = out, .force = true };
    struct qs_writer_result *x = NULL;
    assert_int_equal(p->n_stored, 5);
    if (qs_writer_run(p, &args, pool, NULL, &x, &e) || qs_model_open(out, &file, &e) ||
        qs_candidate_new(plain, NULL, &before, &e) || qs_candidate_run(before, pool, NULL, &e) ||
        qs_candidate_new(p, before, &c, &e))
        fail_msg("%s", e.msg);
    assert_false(qs_candidate_whole(c)); /* what is stored is not what was encoded */
    if (qs_candidate_run(c, pool, NULL, &e) || qs_candidate_new(p, c, &again, &e))
        fail_msg("%s", e.msg);
    assert_true(qs_candidate_whole(again));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const size_t at = (size_t)(enc_of(p, names[i]) - p->enc);
        struct qs_weight *w;
        expect_stored(file, s, names[i]);
        assert_int_equal(qs_store_weight(s, qs_store_find(s, names[i]), &w, &e), QS_OK);
        assert_ptr_equal(qs_candidate_weight(c, at)->parts.p[0], w->parts.p[0]); /* straight from its mapping */
        assert_int_equal(x->tensor[at].copied, false);
        assert_true((x->tensor[at].sums.n > 0) == (enc_of(p, names[i])->stored->group == 0));
        qs_weight_unref(w);
    }
    const struct qs_error_sums sums = qs_candidate_error(c);
    assert_memory_equal(&sums, &x->total, sizeof sums);
    assert_true(qs_error_rms(&x->tensor[enc_of(p, names[0]) - p->enc].sums) > 0.01); /* moved by 3 % on average */
    const struct qs_kv *kv = qs_model_kv(file, "quantscape.calibration");
    assert_non_null(kv);
    qs_candidate_unref(c);
    qs_candidate_unref(before);
    qs_candidate_unref(again);
    qs_writer_result_free(x);
    qs_plan_free(plain);
    qs_plan_free(p);
    qs_model_close(file);
    qs_store_unref(s);
    qs_model_close(m);
}

static int begin(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    setenv("XDG_CACHE_HOME", qs_test_tmp_path("cache"), 1);
    return qs_pool_new(2, &pool, &e);
}

static int end(void **state)
{
    (void)state;
    qs_pool_free(pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fits_a_copy),
        cmocka_unit_test(test_put_finish_open),      cmocka_unit_test(test_killed_at_any_byte),
        cmocka_unit_test(test_damaged),              cmocka_unit_test(test_locks_and_other_work),
        cmocka_unit_test(test_plan_takes_what_matches), cmocka_unit_test(test_file_and_candidate_have_its_bytes),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
