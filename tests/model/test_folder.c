/* test_folder.c - Hugging Face folders: how they are named, what is mapped and what is made, and every refusal.
 *
 * A tiny llama is written as a folder; each test changes one thing about it. What the tensors must be is in
 * test_folder_golden.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/model/engine.h"
#include "core/model/folder.h"
#include "core/model/model.h"
#include "tests/format/make_st.h"
#include "tests/lib/qs_room.h"
#include "tests/lib/qs_test.h"

/* ---- a folder ---------------------------------------------------------------------------------------------------- */

#define NUMBERS "\"num_hidden_layers\":2,\"hidden_size\":32,\"intermediate_size\":48,\"num_attention_heads\":2," \
                "\"num_key_value_heads\":1,\"vocab_size\":40"
#define LLAMA "{\"architectures\":[\"LlamaForCausalLM\"]," NUMBERS

static const struct st_tensor outer[] = { { "model.embed_tokens.weight", "BF16", { 40, 32 }, 1 },
                                          { "model.norm.weight", "BF16", { 32 }, 2 } };
static const struct st_tensor layer[] = {
    { "input_layernorm.weight", "BF16", { 32 }, 3 },          { "self_attn.q_proj.weight", "BF16", { 32, 32 }, 4 },
    { "self_attn.k_proj.weight", "BF16", { 16, 32 }, 5 },     { "self_attn.v_proj.weight", "BF16", { 16, 32 }, 6 },
    { "self_attn.o_proj.weight", "BF16", { 32, 32 }, 7 },     { "post_attention_layernorm.weight", "BF16", { 32 }, 8 },
    { "mlp.gate_proj.weight", "BF16", { 48, 32 }, 9 },        { "mlp.up_proj.weight", "BF16", { 48, 32 }, 10 },
    { "mlp.down_proj.weight", "BF16", { 32, 48 }, 11 },
};
#define LAYER (sizeof layer / sizeof *layer)
#define ALL (2 + 2 * LAYER)

/* All tensors of the folder; names live in `name`. */
struct tensors { struct st_tensor t[ALL + 1]; size_t n; char name[ALL + 1][80]; };

static void usual(struct tensors *x)
{
    x->n = 0;
    for (size_t i = 0; i < 2; i++)
        x->t[x->n++] = outer[i];
    for (int l = 0; l < 2; l++)
        for (size_t i = 0; i < LAYER; i++) {
            (void)snprintf(x->name[x->n], sizeof x->name[0], "model.layers.%d.%s", l, layer[i].name);
            x->t[x->n] = layer[i];
            x->t[x->n].name = x->name[x->n];
            x->t[x->n].seed += 100u * (unsigned)l;
            x->n++;
        }
}

static struct st_tensor *tensor(struct tensors *x, const char *name)
{
    for (size_t i = 0; i < x->n; i++)
        if (strcmp(x->t[i].name, name) == 0)
            return &x->t[i];
    fail_msg("no %s", name);
    return NULL;
}

static void drop(struct tensors *x, const char *name)
{
    *tensor(x, name) = x->t[--x->n];
}

/* A path below the temporary folder, in buffers of its own. */
static const char *at(const char *dir, const char *name)
{
    static char path[8][600];
    static unsigned next;
    char *p = path[next++ % 8];
    (void)snprintf(p, sizeof path[0], "%s%s%s", qs_test_tmp_path(dir), name[0] ? "/" : "", name);
    return p;
}

static void put_text(const char *dir, const char *name, const char *text)
{
    qs_test_write(at(dir, name), text, strlen(text));
}

static void put_config(const char *dir, const char *head, const char *more)
{
    struct qs_str s = QS_STR_INIT;
    qs_test_mkdirs(at(dir, ""));
    qs_str_addf(&s, "%s%s}", head, more);
    put_text(dir, "config.json", s.data);
    qs_str_free(&s);
}

static const char *put(const char *dir, const struct tensors *x)
{
    put_config(dir, LLAMA, "");
    st_write(at(dir, "model.safetensors"), x->t, x->n);
    return at(dir, "");
}

static const char *put_usual(const char *dir)
{
    struct tensors x;
    usual(&x);
    return put(dir, &x);
}

static struct qs_model *open_model(const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    if (qs_model_open(path, &m, &e) != QS_OK)
        fail_msg("%s", e.msg);
    return m;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static void test_names(void **state)
{
    (void)state;
    char want[600], home[600];
    const char *const names[] = { "", "/", "///", "/config.json", "/model.safetensors" };
    (void)snprintf(want, sizeof want, "%s", put_usual("named"));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[700];
        (void)snprintf(path, sizeof path, "%s%s", want, names[i]);
        struct qs_model *m = open_model(path);
        assert_string_equal(m->path, want);
        assert_true(m->is_folder);
        assert_string_equal(m->hp.arch, "llama");
        assert_string_equal(m->hp.name, "Named");
        qs_model_close(m);
    }
    assert_non_null(getcwd(home, sizeof home));
    assert_int_equal(chdir(want), 0);
    struct qs_model *m = open_model("."), *up = open_model("../named");
    assert_string_equal(qs_path_base(m->path), "named");
    assert_string_equal(up->path, "../named");
    qs_model_close(m);
    qs_model_close(up);
    assert_int_equal(chdir(home), 0);
}

static void stem(const char *path, bool folder, const char *dir, const char *name)
{
    struct qs_str d = QS_STR_INIT, s = QS_STR_INIT;
    qs_model_stem(path, folder, &d, &s);
    assert_string_equal(d.data, dir);
    assert_string_equal(s.data, name);
    qs_str_free(&d);
    qs_str_free(&s);
}

static void test_stem(void **state)
{
    (void)state;
    stem("a/b.gguf", false, "a", "b");
    stem("b-00001-of-00003.gguf", false, ".", "b");
    stem("a/Model-1B", true, "a", "Model-1B");
    stem("Model", true, ".", "Model");
    stem("/hub/models--org--Some-Model/snapshots/0123abcd", true, ".", "Some-Model");
    stem("/hub/models--gpt2/snapshots/0123abcd", true, ".", "gpt2");
    stem("/hub/other/snapshots/0123abcd", true, "/hub/other/snapshots", "0123abcd");
    stem("/hub/models--a--b/snapshots/r/sub", true, "/hub/models--a--b/snapshots/r", "sub");
}

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

static const struct qs_tensor *named(const struct qs_model *m, const char *name)
{
    const struct qs_tensor *t = qs_model_find(m, name);
    if (!t)
        fail_msg("no %s", name);
    return t;
}

/* What lies ready is mapped from where the table says, the rest is made. */
static void test_mapped_and_made(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = open_model(put_usual("ways"));
    unsigned n_parts;
    const struct qs_gguf_part *part = qs_model_parts(m, &n_parts);
    assert_int_equal(n_parts, 2);
    assert_true(!part[0].beside && part[1].beside);
    const struct qs_tensor *v = named(m, "blk.1.attn_v.weight"), *q = named(m, "blk.1.attn_q.weight");
    assert_true(!v->made && q->made && named(m, "blk.0.attn_norm.weight")->made);
    assert_true(named(m, "output_norm.weight")->made);
    assert_true(!named(m, "token_embd.weight")->made && named(m, "blk.0.attn_k.weight")->made);
    struct qs_weight *w;
    char *file;
    size_t n;
    assert_int_equal(qs_file_read(part[0].path, 1 << 20, &file, &n, &e), QS_OK);
    assert_int_equal(qs_model_weight(m, v, &w, &e), QS_OK);
    assert_non_null(w->map);
    assert_memory_equal(w->parts.p[0], file + v->offset, (size_t)v->size);
    qs_weight_unref(w);
    assert_int_equal(qs_model_weight(m, q, &w, &e), QS_OK); /* two heads of 16 rows: 0, 8, 1, 9 ... */
    for (unsigned r = 0; r < 32; r++) {
        const unsigned from = r / 16 * 16 + r % 2 * 8 + r % 16 / 2;
        assert_memory_equal(w->parts.p[0] + r * 64, file + q->offset + from * 64, 64);
    }
    qs_weight_unref(w);
    qs_free(file);
    qs_model_close(m);
}

/* Large tensors that are made lie in a scratch file, whose room is claimed first; the header tells how much. */
static void test_made_large(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct tensors x;
    usual(&x);
    struct qs_model *m = open_model(put("small", &x));
    uint64_t scratch, all = 0;
    for (size_t i = 0; i < m->n_tensors; i++)
        all += m->tensor[i].made ? m->tensor[i].size : 0;
    assert_true(all > 0);
    assert_int_equal(qs_model_made_bytes(m, &scratch), all);
    assert_int_equal(scratch, 0);
    qs_model_close(m);
    tensor(&x, "model.embed_tokens.weight")->dtype = "F64"; /* becomes F32: 20,000 x 32 x 4 bytes */
    tensor(&x, "model.embed_tokens.weight")->shape[0] = 20000;
    put_config("large", "{\"architectures\":[\"LlamaForCausalLM\"],\"num_hidden_layers\":2,\"hidden_size\":32,"
               "\"intermediate_size\":48,\"num_attention_heads\":2,\"num_key_value_heads\":1,",
               "\"vocab_size\":20000");
    st_write(at("large", "model.safetensors"), x.t, x.n);
    m = open_model(at("large", ""));
    const struct qs_tensor *t = named(m, "token_embd.weight");
    struct qs_weight *w;
    const uint64_t held = qs_mem_in_use();
    assert_true(t->made && t->size == 20000 * 32 * 4 && t->size > QS_MADE_HEAP_MOST);
    assert_int_equal(qs_model_made_bytes(m, &scratch), all + t->size);
    assert_int_equal(scratch, t->size);
    assert_int_equal(qs_model_weight(m, t, &w, &e), QS_OK);
    assert_non_null(w->map);
    assert_true(qs_mem_in_use() - held < 10000);
    char *file;
    size_t n;
    double last;
    assert_int_equal(qs_file_read(qs_model_parts(m, &(unsigned){ 0 })[0].path, 8 << 20, &file, &n, &e), QS_OK);
    memcpy(&last, file + t->offset + (20000 * 32 - 1) * sizeof last, sizeof last);
    assert_true(((const float *)(const void *)w->parts.p[0])[20000 * 32 - 1] == (float)last);
    qs_free(file);
    qs_test_room_free = 1 << 20;
    assert_int_equal(qs_model_made_room(m, &e), QS_OK); /* held: nothing more is needed */
    qs_weight_unref(w);
    assert_int_equal(qs_model_made_room(m, &e), QS_ENOSPACE);
    if (!strstr(e.msg, "2.44 MiB of scratch files") || !strstr(e.msg, "1.00 MiB are free"))
        fail_msg("%s", e.msg);
    struct qs_engine *engine;
    assert_int_equal(qs_engine_new(m, &(struct qs_engine_args){ .precision = QS_FAST }, &engine, &e), QS_ENOSPACE);
    qs_test_room_free = 0;
    qs_test_room_error = ENOSPC;
    assert_int_equal(qs_model_weight(m, t, &w, &e), QS_ENOSPACE);
    assert_null(w);
    qs_test_room_error = 0;
    qs_model_close(m);
}

/* Numbers at odd addresses are not handed out where they lie. */
static void test_unaligned(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct tensors x;
    struct qs_str file = QS_STR_INIT;
    usual(&x);
    struct qs_model *a = open_model(put("even", &x));
    put("odd", &x);
    st_make(&file, x.t, x.n, 3);
    qs_test_write(at("odd", "model.safetensors"), file.data, file.len);
    qs_str_free(&file);
    struct qs_model *b = open_model(at("odd", ""));
    assert_int_equal(a->n_tensors, b->n_tensors);
    for (size_t i = 0; i < a->n_tensors; i++) {
        struct qs_weight *v, *w;
        assert_true(b->tensor[i].made);
        assert_int_equal(qs_model_weight(a, &a->tensor[i], &v, &e), QS_OK);
        assert_int_equal(qs_model_weight(b, &b->tensor[i], &w, &e), QS_OK);
        assert_int_equal((uintptr_t)w->parts.p[0] % 64, 0);
        assert_memory_equal(v->parts.p[0], w->parts.p[0], (size_t)v->bytes);
        qs_weight_unref(v);
        qs_weight_unref(w);
    }
    qs_model_close(a);
    qs_model_close(b);
}

/* A made weight is one for all that hold it, goes with the last of them, and may outlive the model. */
static void test_shared(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    const uint64_t before = qs_mem_in_use();
    struct qs_model *m = open_model(put_usual("shared"));
    const struct qs_tensor *q = named(m, "blk.0.attn_q.weight");
    struct qs_weight *a, *b;
    assert_int_equal(qs_model_weight(m, q, &a, &e), QS_OK);
    qs_weight_unref(a);
    const uint64_t held = qs_mem_in_use(); /* with the mapping */
    assert_int_equal(qs_model_weight(m, q, &a, &e), QS_OK);
    assert_int_equal(qs_model_weight(m, q, &b, &e), QS_OK);
    assert_ptr_equal(a, b);
    assert_null(a->map);
    qs_weight_unref(a);
    assert_true(qs_mem_in_use() > held);
    qs_weight_unref(b);
    assert_int_equal(qs_mem_in_use(), held);
    assert_int_equal(qs_model_weight(m, q, &a, &e), QS_OK);
    qs_model_close(m);
    uint8_t sum = 0;
    for (uint64_t i = 0; i < a->bytes; i++)
        sum = (uint8_t)(sum | a->parts.p[0][i]);
    assert_int_not_equal(sum, 0);
    qs_weight_unref(a);
    assert_int_equal(qs_mem_in_use(), before);
}

struct worker { pthread_t thread; const struct qs_model *m; unsigned seed; bool good; };

static void *ask(void *ctx)
{
    struct worker *w = ctx;
    w->good = true;
    for (int i = 0; i < 400; i++) {
        struct qs_weight *x;
        w->seed = w->seed * 1664525 + 1013904223;
        const struct qs_tensor *t = &w->m->tensor[w->seed >> 16 & 3];
        if (qs_model_weight(w->m, t, &x, NULL) != QS_OK || x->bytes != t->size) {
            w->good = false;
            return NULL;
        }
        qs_weight_unref(x);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct worker w[4];
    struct qs_model *m = open_model(put_usual("threads"));
    assert_true(m->tensor[1].made && m->tensor[2].made && m->tensor[3].made);
    for (unsigned i = 0; i < 4; i++) {
        w[i] = (struct worker){ .m = m, .seed = i };
        assert_int_equal(pthread_create(&w[i].thread, NULL, ask, &w[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(w[i].thread, NULL), 0);
        assert_true(w[i].good);
    }
    qs_model_close(m);
}

/* ---- files that change ------------------------------------------------------------------------------------------- */

static void set_time(const char *path)
{
    const struct timespec t[2] = { { 1000000, 5 }, { 1000000, 5 } };
    assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static struct qs_key key_of(const char *dir)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_key k;
    set_time(at(dir, "model.safetensors"));
    struct qs_model *m = open_model(at(dir, ""));
    assert_int_equal(qs_model_key(m, &k, &e), QS_OK);
    qs_model_close(m);
    return k;
}

static void test_key(void **state)
{
    (void)state;
    put_usual("key");
    set_time(at("key", "config.json"));
    const struct qs_key k = key_of("key");
    assert_true(qs_key_equal(k, key_of("key")));
    struct qs_model *m = open_model(at("key", ""));
    const long offset = (long)named(m, "blk.1.attn_q.weight")->offset; /* of a made tensor */
    qs_model_close(m);
    FILE *f = fopen(at("key", "model.safetensors"), "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, offset + 40, SEEK_SET), 0);
    const int old = getc(f);
    assert_int_equal(fseek(f, offset + 40, SEEK_SET), 0);
    assert_true(putc(old ^ 1, f) >= 0);
    assert_int_equal(fclose(f), 0);
    const struct qs_key other = key_of("key");
    assert_false(qs_key_equal(k, other));
    put_config("key", LLAMA, ",\"rms_norm_eps\":1e-3"); /* the same weights, another model */
    set_time(at("key", "config.json"));
    assert_false(qs_key_equal(other, key_of("key")));
}

static void test_cut_short(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct tensors x;
    usual(&x);
    struct st_tensor *embd = tensor(&x, "model.embed_tokens.weight"), *last = &x.t[x.n - 1], swap = *embd;
    swap.shape[0] = 4000; /* so large that what is behind it lies on other pages */
    *embd = *last;
    *last = swap;
    put("cut", &x);
    put_config("cut", LLAMA, ",\"vocab_size\":4000"); /* the last of two counts */
    struct qs_model *m = open_model(at("cut", ""));
    struct qs_weight *w, *q;
    assert_int_equal(qs_model_weight(m, named(m, "token_embd.weight"), &w, &e), QS_OK);
    assert_int_equal(qs_model_intact(m, &e), QS_OK);
    assert_int_equal(truncate(at("cut", "model.safetensors"), 4096), 0);
    assert_int_equal(qs_model_weight(m, named(m, "blk.1.attn_q.weight"), &q, &e), QS_EIO);
    assert_null(q);
    assert_non_null(strstr(e.msg, "cut short"));
    assert_int_equal(qs_model_intact(m, &e), QS_EIO);
    qs_weight_unref(w);
    qs_model_close(m);
}

static void test_replaced(void **state)
{
    (void)state;
    struct qs_err e = QS_ERR_INIT;
    struct qs_weight *w;
    struct qs_model *m = open_model(put_usual("replaced"));
    assert_int_equal(rename(at("replaced", "model.safetensors"), at("replaced", "old")), 0);
    put_usual("replaced");
    assert_int_equal(qs_model_weight(m, named(m, "blk.0.attn_q.weight"), &w, &e), QS_EIO);
    assert_non_null(strstr(e.msg, "changed or replaced"));
    qs_model_close(m);
}

static int open_and_read(void *ctx, struct qs_err *e)
{
    struct qs_model *m;
    struct qs_weight *w = NULL;
    struct qs_key k;
    int rc = qs_model_open(ctx, &m, e);
    if (!rc)
        rc = qs_model_weight(m, qs_model_find(m, "blk.0.attn_q.weight"), &w, e);
    if (!rc)
        rc = qs_model_key(m, &k, e);
    qs_weight_unref(w);
    qs_model_close(m);
    return rc;
}

static void test_failing_memory(void **state)
{
    (void)state;
    char path[600];
    (void)snprintf(path, sizeof path, "%s", put_usual("memory"));
    qs_test_each_alloc(open_and_read, path);
}

/* ---- shards ------------------------------------------------------------------------------------------------------ */

/* The usual tensors in two files, the embedding in the second; an index that names them. */
static void put_shards(const char *dir, const struct tensors *x, bool index)
{
    const char *const file[] = { "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors" };
    struct qs_str s = QS_STR_INIT;
    put_config(dir, LLAMA, "");
    st_write(at(dir, file[1]), x->t, 2);
    st_write(at(dir, file[0]), x->t + 2, x->n - 2);
    qs_str_add(&s, "{\"metadata\":{\"total_size\":1},\"weight_map\":{");
    for (size_t i = 0; i < x->n; i++)
        qs_str_addf(&s, "%s\"%s\":\"%s\"", i ? "," : "", x->t[i].name, file[i < 2]);
    qs_str_add(&s, "}}");
    if (index)
        put_text(dir, "model.safetensors.index.json", s.data);
    qs_str_free(&s);
}

static void refused(const char *path, enum qs_code code, const char *words)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m;
    const uint64_t held = qs_mem_in_use();
    const int rc = qs_model_open(path, &m, &e);
    assert_null(m);
    if (rc != (int)code || !strstr(e.msg, words))
        fail_msg("%d \"%s\", not %d \"%s\"", rc, e.msg, (int)code, words);
    assert_int_equal(qs_mem_in_use(), held);
}

static void test_shards(void **state)
{
    (void)state;
    struct tensors x;
    usual(&x);
    put_shards("shards", &x, true);
    put_shards("loose", &x, false);
    struct qs_model *a = open_model(at("shards", "model.safetensors.index.json")), *b = open_model(at("loose", ""));
    unsigned n;
    (void)qs_model_parts(a, &n);
    assert_int_equal(n, 4); /* two files, config.json, the index */
    assert_int_equal(named(a, "token_embd.weight")->part, 1);
    assert_int_equal(named(a, "blk.1.ffn_up.weight")->part, 0);
    assert_int_equal(a->bytes, b->bytes);
    qs_model_close(a);
    qs_model_close(b);
    assert_int_equal(unlink(at("loose", "model-00002-of-00002.safetensors")), 0);
    refused(at("loose", ""), QS_ENOTFOUND, "model-00002-of-00002.safetensors is missing");
    assert_int_equal(unlink(at("shards", "model-00001-of-00002.safetensors")), 0);
    refused(at("shards", ""), QS_ENOTFOUND, "model-00001-of-00002.safetensors is missing");
    st_write(at("shards", "model-00001-of-00002.safetensors"), x.t + 3, x.n - 3);
    refused(at("shards", ""), QS_EFORMAT, "lacks the tensor model.layers.0.input_layernorm.weight");
    st_write(at("shards", "model-00001-of-00002.safetensors"), x.t + 1, x.n - 1);
    refused(at("shards", ""), QS_EFORMAT, "model.norm.weight stands in model-00001-of-00002.safetensors and in");
    put_text("shards", "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"../../secret.safetensors\"}}");
    refused(at("shards", ""), QS_EFORMAT, "is no safetensors file of this folder");
    put_text("shards", "model.safetensors.index.json", "{\"weight_map\":{\"a\":7}}");
    refused(at("shards", ""), QS_EFORMAT, "is no safetensors file of this folder");
    put_text("shards", "model.safetensors.index.json", "{}");
    refused(at("shards", ""), QS_EFORMAT, "\"weight_map\" is missing");
    put_text("shards", "model.safetensors.index.json", "{");
    refused(at("shards", ""), QS_EFORMAT, "model.safetensors.index.json: ");
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static void test_no_model(void **state)
{
    (void)state;
    qs_test_mkdirs(at("none", ""));
    refused(at("none", ""), QS_ENOTFOUND, "holds no config.json");
    refused(at("none", "config.json"), QS_ENOTFOUND, "holds no config.json");
    put_text("none", "a.gguf", "x");
    refused(at("none", ""), QS_EINVAL, "name the .gguf file in it");
    put_config("none", LLAMA, "");
    refused(at("none", ""), QS_EINVAL, "without model.safetensors: name the .gguf file in it");
    put_text("none", "pytorch_model.bin", "x");
    refused(at("none", ""), QS_EUNSUPPORTED, "weights of PyTorch (.bin): convert them to safetensors first");
    put_text("none", "consolidated.safetensors", "x");
    refused(at("none", ""), QS_EUNSUPPORTED, "Mistral's own layout");
    put_text("none", "adapter_config.json", "{}");
    refused(at("none", ""), QS_EUNSUPPORTED, "an adapter (LoRA), not a model");
    assert_int_equal(unlink(at("none", "config.json")), 0);
    refused(at("none", ""), QS_EUNSUPPORTED, "an adapter (LoRA), not a model");
    refused(at("nowhere", "model.safetensors"), QS_ENOTFOUND, "cannot look into");
}

static void test_config(void **state)
{
    (void)state;
    static const struct { const char *config, *words; enum qs_code code; } row[] = {
        { "{", "config.json: ", QS_EFORMAT },
        { "[]", "no JSON object", QS_EFORMAT },
        { "{}", "neither \"architectures\" nor \"model_type\"", QS_EFORMAT },
        { "{\"architectures\":[\"MambaForCausalLM\"]," NUMBERS "}", "architecture MambaForCausalLM cannot",
          QS_EUNSUPPORTED },
        { "{\"architectures\":[7],\"model_type\":\"mamba\"}", "mamba cannot be opened", QS_EUNSUPPORTED },
        { LLAMA ",\"quantization_config\":{\"quant_method\":\"gptq\"}}", "quantized by gptq", QS_EUNSUPPORTED },
        { LLAMA ",\"quantization_config\":{\"quant_method\":\"awq\"}}", "quantized by awq", QS_EUNSUPPORTED },
        { LLAMA ",\"quantization_config\":{\"quant_method\":\"bitsandbytes\"}}", "by bitsandbytes", QS_EUNSUPPORTED },
        { LLAMA ",\"quantization_config\":{\"quant_method\":\"fp8\"}}", "quantized by fp8", QS_EUNSUPPORTED },
        { LLAMA ",\"quantization_config\":{\"quant_method\":\"mxfp4\"}}", "quantized by mxfp4", QS_EUNSUPPORTED },
        { LLAMA ",\"quantization_config\":{\"quant_method\":\"compressed-tensors\"}}", "compressed-tensors",
          QS_EUNSUPPORTED },
        { LLAMA ",\"quantization_config\":{}}", "a method that config.json does not name", QS_EUNSUPPORTED },
        { "{\"model_type\":\"llama\"}", "num_hidden_layers is missing", QS_EFORMAT },
        { LLAMA ",\"num_hidden_layers\":0}", "num_hidden_layers is no number", QS_EFORMAT },
        { LLAMA ",\"num_hidden_layers\":5000}", "5000 is more than 4096", QS_ELIMIT },
        { LLAMA ",\"hidden_size\":-1}", "hidden_size is no number", QS_EFORMAT },
        { LLAMA ",\"hidden_size\":\"32\"}", "hidden_size is no number", QS_EFORMAT },
        { LLAMA ",\"hidden_size\":1e300}", "hidden_size is no number", QS_EFORMAT },
        { LLAMA ",\"num_attention_heads\":3,\"num_key_value_heads\":2}", "no multiple", QS_EFORMAT },
        { LLAMA ",\"num_attention_heads\":64}", "an even number is needed", QS_EFORMAT },
        { LLAMA ",\"head_dim\":1000000}", "head_dim 1000000 is more than 65536", QS_ELIMIT },
        { LLAMA ",\"num_hidden_layers\":3}",
          "model.layers.2.input_layernorm.weight is missing: a LlamaForCausalLM of 3",
          QS_EFORMAT },
        { LLAMA ",\"num_hidden_layers\":1}", "model.layers.1.", QS_EUNSUPPORTED },
        { LLAMA ",\"intermediate_size\":64}", "is 48 x 32, but by config.json it is 64 x 32", QS_EFORMAT },
        { LLAMA ",\"vocab_size\":41}", "embed_tokens.weight is 40 x 32, but by config.json it is 41 x 32", QS_EFORMAT },
        { LLAMA ",\"vocab_size\":39}", "embed_tokens.weight is 40 x 32", QS_EFORMAT },
        { LLAMA ",\"head_dim\":32}", "q_proj.weight is 32 x 32, but by config.json it is 64 x 32", QS_EFORMAT },
        { LLAMA ",\"tie_word_embeddings\":false}", "lm_head.weight is missing", QS_EFORMAT },
        { LLAMA ",\"rope_theta\":-1}", "rope_theta -1 is no number above 0", QS_EFORMAT },
        { LLAMA ",\"rms_norm_eps\":1e300}", "1e+300 as llama.attention.layer_norm_rms_epsilon makes no sense",
          QS_EFORMAT },
        { LLAMA ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":0}}",
          "rope_scaling: factor is no number above 0",
          QS_EFORMAT },
    };
    put_usual("config");
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        put_text("config", "config.json", row[i].config);
        refused(at("config", ""), row[i].code, row[i].words);
    }
}

static void with(const char *name, const char *dtype, uint64_t rows, uint64_t cols, enum qs_code code,
                 const char *words)
{
    struct tensors x;
    usual(&x);
    struct st_tensor *t = tensor(&x, name);
    if (dtype)
        t->dtype = dtype;
    if (rows) {
        t->shape[0] = rows;
        t->shape[1] = cols;
    }
    put("changed", &x);
    if (words)
        refused(at("changed", ""), code, words);
    else
        qs_model_close(open_model(at("changed", "")));
}

static void test_tensors(void **state)
{
    (void)state;
    struct tensors x;
    with("model.layers.0.mlp.up_proj.weight", NULL, 32, 48, QS_EFORMAT, "up_proj.weight is 32 x 48, but");
    with("model.layers.0.input_layernorm.weight", NULL, 32, 1, QS_EFORMAT, "is 32 x 1, but by config.json it is 32");
    with("model.norm.weight", NULL, 1, 32, QS_EFORMAT, "is 1 x 32");
    with("model.layers.1.mlp.up_proj.weight", "F8_E4M3", 0, 0, QS_EUNSUPPORTED, "stored as F8_E4M3");
    with("model.layers.1.mlp.up_proj.weight", "I8", 0, 0, QS_EUNSUPPORTED, "stored as I8");
    with("model.layers.1.mlp.up_proj.weight", "F32", 0, 0, QS_OK, NULL); /* types may be mixed */
    with("model.layers.1.mlp.up_proj.weight", "F64", 0, 0, QS_OK, NULL);
    usual(&x);
    drop(&x, "model.layers.1.self_attn.o_proj.weight");
    put("changed", &x);
    refused(at("changed", ""), QS_EFORMAT, "tensor model.layers.1.self_attn.o_proj.weight is missing");
    usual(&x);
    x.t[x.n++] = (struct st_tensor){ "model.layers.0.self_attn.q_proj.qweight", "I8", { 4 }, 1 };
    put("changed", &x);
    refused(at("changed", ""), QS_EUNSUPPORTED, "q_proj.qweight: a LlamaForCausalLM of 2 layers (config.json) has no "
            "such");
    usual(&x);
    x.t[x.n++] = (struct st_tensor){ "model.layers.0.self_attn.rotary_emb.inv_freq", "F32", { 4 }, 1 };
    put("changed", &x);
    qs_model_close(open_model(at("changed", ""))); /* a constant of old checkpoints */
    usual(&x);
    x.t[x.n++] = (struct st_tensor){ "lm_head.weight", "BF16", { 40, 32 }, 1 };
    put("changed", &x);
    struct qs_model *m = open_model(at("changed", ""));
    assert_non_null(qs_model_find(m, "output.weight"));
    qs_model_close(m);
    put_text("changed", "model.safetensors", "not one");
    refused(at("changed", ""), QS_EFORMAT, "model.safetensors: 7 bytes are no safetensors file");
}

/* Numbers that disagree with GGUF's, or that GGUF has no word for, are told. */
static void test_remarks(void **state)
{
    (void)state;
    put_usual("remarks");
    put_config("remarks", LLAMA, ",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2.0}");
    struct qs_model *m = open_model(at("remarks", ""));
    bool rope = false, tokenizer = false;
    for (size_t i = 0; i < m->gguf->n_findings; i++) {
        rope |= strstr(m->gguf->finding[i].msg, "\"dynamic\" cannot be said in GGUF") != NULL;
        tokenizer |= strstr(m->gguf->finding[i].msg, "there is no tokenizer") != NULL;
    }
    assert_true(rope && tokenizer);
    qs_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),          cmocka_unit_test(test_stem),     cmocka_unit_test(test_mapped_and_made),
        cmocka_unit_test(test_made_large),
        cmocka_unit_test(test_unaligned),      cmocka_unit_test(test_shared),   cmocka_unit_test(test_threads),
        cmocka_unit_test(test_key),            cmocka_unit_test(test_cut_short), cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_failing_memory), cmocka_unit_test(test_shards),   cmocka_unit_test(test_no_model),
        cmocka_unit_test(test_config),         cmocka_unit_test(test_tensors),  cmocka_unit_test(test_remarks),
    };
    return cmocka_run_group_tests_name("folders", tests, NULL, NULL);
}
