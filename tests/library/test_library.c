/* test_library.c - the list of models: layouts of other programs, split files, bounds, hostile folders, the recent
 * list. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/format/gguf.h"
#include "core/library.h"
#include "tests/format/tf.h"
#include "tests/lib/qs_test.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char root[4096]; /* of the test now running; also the home folder */

static const char *at(const char *rel)
{
    static char path[4][8192];
    static unsigned turn;
    char *p = path[turn++ % 4];
    (void)snprintf(p, sizeof path[0], "%s/%s", root, rel);
    return p;
}

static void put(const char *rel, const void *data, size_t n)
{
    struct qs_str dir = QS_STR_INIT;
    qs_path_dir(at(rel), &dir);
    qs_test_mkdirs(dir.data);
    qs_str_free(&dir);
    qs_test_write(at(rel), data, n);
}

static void put_text(const char *rel, const char *text)
{
    put(rel, text, strlen(text));
}

static void header(struct qs_str *s, const char *arch, int file_type, size_t vocabulary, bool type_last)
{
    tf_head(s, 3, 0, 1u + (file_type >= 0) + (vocabulary > 0));
    tf_kv_str(s, "general.architecture", arch);
    if (file_type >= 0 && !type_last)
        tf_kv_u32(s, "general.file_type", (uint32_t)file_type);
    if (vocabulary) {
        tf_text(s, "tokenizer.ggml.tokens");
        tf_u32(s, QS_GGUF_ARRAY);
        tf_u32(s, QS_GGUF_STRING);
        tf_u64(s, vocabulary);
        for (size_t i = 0; i < vocabulary; i++)
            tf_text(s, "some token");
    }
    if (file_type >= 0 && type_last)
        tf_kv_u32(s, "general.file_type", (uint32_t)file_type);
}

static void put_model(const char *rel, const char *arch, int file_type)
{
    struct qs_str s = QS_STR_INIT;
    header(&s, arch, file_type, 0, false);
    put(rel, s.data, s.len);
    qs_str_free(&s);
}

static void link_to(const char *target, const char *rel)
{
    struct qs_str dir = QS_STR_INIT;
    qs_path_dir(at(rel), &dir);
    qs_test_mkdirs(dir.data);
    qs_str_free(&dir);
    assert_int_equal(symlink(target, at(rel)), 0);
}

/* A home of its own for every test, nothing else in the environment. */
static int setup(void **state)
{
    static const char *const names[] = { "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME",
                                         "XDG_STATE_HOME", "OLLAMA_MODELS", "LLAMA_CACHE" };
    static unsigned n;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    (void)snprintf(root, sizeof root, "%s/%u", qs_test_tmp(), n++);
    qs_test_mkdirs(at("cwd"));
    assert_int_equal(chmod(qs_test_tmp(), 0755), 0);
    assert_int_equal(setenv("HOME", root, 1), 0);
    assert_int_equal(chdir(at("cwd")), 0);
    return 0;
}

/* Looks everywhere or in one folder. */
static struct qs_library *scan(const char *folder)
{
    struct qs_library *lib;
    struct qs_err e = QS_ERR_INIT;
    const struct qs_library_options o = { .folder = &folder, .n_folders = 1 };
    assert_int_equal(qs_library_new(folder ? &o : NULL, &lib, &e), QS_OK);
    assert_int_equal(qs_library_scan(NULL, lib, &e), QS_OK);
    return lib;
}

static struct qs_library_entry found; /* by the last call of find */

static bool find(struct qs_library *lib, enum qs_library_group g, const char *name)
{
    for (size_t i = 0; qs_library_get(lib, i, &found); i++)
        if (found.group == g && strcmp(found.name, name) == 0)
            return true;
    return false;
}

static size_t count(struct qs_library *lib, enum qs_library_group g)
{
    size_t n = 0;
    for (size_t i = 0; qs_library_get(lib, i, &found); i++)
        n += found.group == g;
    return n;
}

static bool noted(struct qs_library *lib, const char *part)
{
    char note[600];
    for (size_t i = 0; qs_library_note(lib, i, note, sizeof note); i++)
        if (strstr(note, part))
            return true;
    return false;
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

#define HF ".cache/huggingface/hub/models--some-org--A-Model/"

static void test_huggingface(void **state)
{
    (void)state;
    put_model(HF "blobs/aa", "qwen3", 15);
    link_to("../../blobs/aa", HF "snapshots/rev1/A-Q4_K_M.gguf");
    link_to("../../blobs/aa", HF "snapshots/rev2/A-Q4_K_M.gguf");
    link_to("../../blobs/gone", HF "snapshots/rev2/A-Q8_0.gguf");
    put_model(HF "snapshots/rev2/BF16/A-BF16.gguf", "qwen3", -1);
    put_text(".cache/huggingface/hub/models--gpt2/snapshots/r/config.json", "{}");
    put_text(".cache/huggingface/hub/models--gpt2/snapshots/r/model-00001-of-00002.safetensors", "12345");
    put_text(".cache/huggingface/hub/models--gpt2/snapshots/r/model-00002-of-00002.safetensors", "678");
    put_model(".cache/huggingface/hub/datasets--x--y/snapshots/r/no.gguf", "llama", 1);
    struct qs_library *lib = scan(NULL);
    assert_int_equal(count(lib, QS_LIBRARY_HF), 4);
    for (size_t i = 0; qs_library_get(lib, i, &found); i++) {
        if (found.kind == QS_LIBRARY_SAFETENSORS) {
            assert_string_equal(found.name, "gpt2");
            assert_int_equal(found.bytes, 8);
            assert_false(found.openable);
            assert_non_null(strstr(found.note, "architectures"));
            continue;
        }
        assert_string_equal(found.name, "some-org/A-Model");
        if (strcmp(found.file, "A-Q4_K_M.gguf") == 0) {
            assert_string_equal(found.path, at(HF "snapshots/rev1/A-Q4_K_M.gguf"));
            assert_string_equal(found.arch, "qwen3");
            assert_string_equal(found.type, "Q4_K_M");
            assert_true(found.openable && !found.type_from_name && !found.missing);
        } else if (strcmp(found.file, "A-Q8_0.gguf") == 0) {
            assert_true(found.missing && !found.openable);
            assert_non_null(strstr(found.note, "link"));
        } else {
            assert_string_equal(found.file, "BF16/A-BF16.gguf");
            assert_string_equal(found.type, "BF16");
            assert_true(found.openable && found.type_from_name);
        }
    }
    qs_library_free(lib);
}

static void test_environment_names_the_place(void **state)
{
    (void)state;
    put_model("a/models--o--direct/snapshots/r/m.gguf", "llama", 1);
    put_model("b/hub/models--o--home/snapshots/r/m.gguf", "llama", 1);
    put_model("c/huggingface/hub/models--o--xdg/snapshots/r/m.gguf", "llama", 1);
    put_model("c/llama.cpp/o_m.gguf", "llama", 1);
    put_model("d/other.gguf", "llama", 1);
    setenv("XDG_CACHE_HOME", at("c"), 1);
    struct qs_library *lib = scan(NULL);
    assert_true(find(lib, QS_LIBRARY_HF, "o/xdg"));
    assert_true(find(lib, QS_LIBRARY_LLAMACPP, "o_m.gguf"));
    qs_library_free(lib);
    setenv("HF_HOME", "~/b", 1);
    setenv("LLAMA_CACHE", at("d"), 1);
    lib = scan(NULL);
    assert_true(find(lib, QS_LIBRARY_HF, "o/home") && !find(lib, QS_LIBRARY_HF, "o/xdg"));
    assert_true(find(lib, QS_LIBRARY_LLAMACPP, "other.gguf") && !find(lib, QS_LIBRARY_LLAMACPP, "o_m.gguf"));
    qs_library_free(lib);
    setenv("HF_HUB_CACHE", "../a", 1);
    setenv("OLLAMA_MODELS", "/nonexistent/models", 1);
    lib = scan(NULL);
    assert_true(find(lib, QS_LIBRARY_HF, "o/direct") && !find(lib, QS_LIBRARY_HF, "o/home"));
    assert_true(noted(lib, "/nonexistent/models"));
    qs_library_free(lib);
}

static void put_manifest(const char *rel, const char *digest)
{
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "{\"schemaVersion\":2,\"layers\":["
                   "{\"mediaType\":\"application/vnd.ollama.image.license\",\"digest\":\"x\"},"
                   "{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"%s\",\"size\":9}]}", digest);
    put_text(rel, text);
}

#define OLLAMA ".ollama/models/manifests/"
#define LIBRARY OLLAMA "registry.ollama.ai/library/"

static void test_ollama(void **state)
{
    (void)state;
    put_model(".ollama/models/blobs/sha256-" HEX64, "gemma3", 17);
    put_manifest(LIBRARY "gemma3/4b", "sha256:" HEX64);
    put_manifest(LIBRARY "gemma3/latest", "sha256:" HEX64);
    put_manifest(OLLAMA "registry.ollama.ai/me/mine/v1", "sha256:" HEX64);
    put_manifest(OLLAMA "hf.co/o/r-GGUF/Q4_K_M",
                 "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210");
    /* Hostile ones: none ends the list, none makes a path of its own. */
    put_model("etc/secret.gguf", "llama", 1);
    put_manifest(LIBRARY "bad/traversal", "sha256:../../../../etc/secret.gguf");
    put_manifest(LIBRARY "bad/upper", "sha256:0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF");
    put_text(LIBRARY "bad/text", "this is no JSON \033[31m");
    put_text(LIBRARY "bad/types", "{\"layers\":{\"0\":7}}");
    put_text(LIBRARY "bad/items",
             "{\"layers\":[7,null,[],{\"mediaType\":3},{\"mediaType\":\"application/vnd.ollama.image.model\"}]}");
    put_text(LIBRARY "bad/remote", "{\"layers\":[]}");
    put_text(LIBRARY "tensors/latest", "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.tensor\"}]}");
    assert_int_equal(mkfifo(at(LIBRARY "bad/pipe"), 0600), 0);
    struct qs_library *lib = scan(NULL);
    assert_true(find(lib, QS_LIBRARY_OLLAMA, "gemma3:4b") && found.openable);
    assert_string_equal(found.path, at(".ollama/models/blobs/sha256-" HEX64));
    assert_string_equal(found.arch, "gemma3");
    assert_string_equal(found.type, "Q5_K_M");
    assert_true(find(lib, QS_LIBRARY_OLLAMA, "gemma3:latest") && found.openable);
    assert_true(find(lib, QS_LIBRARY_OLLAMA, "me/mine:v1") && found.openable);
    assert_true(find(lib, QS_LIBRARY_OLLAMA, "hf.co/o/r-GGUF:Q4_K_M") && found.missing && !found.openable);
    assert_true(find(lib, QS_LIBRARY_OLLAMA, "tensors:latest") && !found.openable);
    assert_int_equal(found.kind, QS_LIBRARY_SAFETENSORS);
    assert_int_equal(count(lib, QS_LIBRARY_OLLAMA), 5);
    assert_true(noted(lib, "traversal") && noted(lib, "bad/upper"));
    assert_true(noted(lib, "bad/text") && noted(lib, "bad/items"));
    qs_library_free(lib);
}

/* Folders of safetensors: what config.json says, and what stands against opening them. */
static void test_folders(void **state)
{
    (void)state;
    put_text("hf/good/config.json", "{\"architectures\":[\"LlamaForCausalLM\"],\"torch_dtype\":\"bfloat16\"}");
    put_text("hf/good/model.safetensors", "12345678");
    put_text("hf/gptq/config.json",
             "{\"architectures\":[\"LlamaForCausalLM\"],\"quantization_config\":{\"quant_method\":\"gptq\"}}");
    put_text("hf/gptq/model.safetensors", "12345678");
    put_text("hf/other/config.json", "{\"architectures\":[\"WhisperForConditionalGeneration\"]}");
    put_text("hf/other/model.safetensors", "12345678");
    put_text("hf/part/config.json", "{\"model_type\":\"qwen3\"}");
    put_text("hf/part/model-00001-of-00003.safetensors", "12");
    put_text("hf/part/model-00003-of-00003.safetensors", "12");
    put_text("hf/bin/config.json", "{\"model_type\":\"qwen3\"}");
    put_text("hf/bin/pytorch_model.bin", "12");
    struct qs_library *lib = scan(at("hf"));
    assert_true(find(lib, QS_LIBRARY_FOLDER, "good") && found.openable && found.kind == QS_LIBRARY_SAFETENSORS);
    assert_string_equal(found.arch, "llama");
    assert_string_equal(found.type, "BF16");
    assert_string_equal(found.path, at("hf/good"));
    assert_true(find(lib, QS_LIBRARY_FOLDER, "gptq") && !found.openable && strstr(found.note, "gptq"));
    assert_true(find(lib, QS_LIBRARY_FOLDER, "other") && !found.openable && strstr(found.note, "Whisper"));
    assert_true(find(lib, QS_LIBRARY_FOLDER, "part") && !found.openable);
    assert_non_null(strstr(found.note, "1 of 3 files is missing"));
    assert_int_equal(count(lib, QS_LIBRARY_FOLDER), 4);
    qs_library_free(lib);
}

static void test_lmstudio(void **state)
{
    char settings[8400];
    (void)state;
    put_model(".lmstudio/models/org/repo/m-Q6_K.gguf", "llama", 18);
    put_model(".lmstudio/models/lone.gguf", "llama", 1);
    put_model("elsewhere/models/o2/r2/n.gguf", "phi3", 1);
    put_model("disk/o3/r3/p.gguf", "phi3", 1);
    put_text(".lmstudio-home-pointer", at("elsewhere"));
    (void)snprintf(settings, sizeof settings, "{\"downloadsFolder\": \"%s\"}", at("disk"));
    put_text(".config/LM Studio/settings.json", settings);
    put_text(".lmstudio/settings.json", "[");
    struct qs_library *lib = scan(NULL);
    assert_true(find(lib, QS_LIBRARY_LMSTUDIO, "org/repo"));
    assert_string_equal(found.file, "m-Q6_K.gguf");
    assert_true(find(lib, QS_LIBRARY_LMSTUDIO, "lone.gguf"));
    assert_true(find(lib, QS_LIBRARY_LMSTUDIO, "o2/r2"));
    assert_true(find(lib, QS_LIBRARY_LMSTUDIO, "o3/r3"));
    assert_true(noted(lib, ".lmstudio/settings.json"));
    qs_library_free(lib);
}

static void test_current_folder(void **state)
{
    (void)state;
    put_model("cwd/here.gguf", "llama", 1);
    put_model("cwd/UPPER.GGUF", "llama", 1);
    put_model("cwd/sub/below.gguf", "llama", 1);
    put_model("cwd/sub/sub/deep.gguf", "llama", 1);
    put_model("cwd/.hidden/no.gguf", "llama", 1);
    put_text("cwd/no.txt", "GGUF");
    struct qs_library *lib = scan(NULL);
    assert_int_equal(count(lib, QS_LIBRARY_FOLDER), 3);
    assert_true(find(lib, QS_LIBRARY_FOLDER, "here.gguf") && find(lib, QS_LIBRARY_FOLDER, "UPPER.GGUF"));
    assert_true(find(lib, QS_LIBRARY_FOLDER, "sub/below.gguf"));
    assert_string_equal(found.path, at("cwd/sub/below.gguf"));
    qs_library_free(lib);
    lib = scan("."); /* named: deeper */
    assert_true(find(lib, QS_LIBRARY_FOLDER, "sub/sub/deep.gguf"));
    qs_library_free(lib);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void test_split_files(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 3; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "cwd/whole-%05u-of-00003.gguf", i);
        put_model(name, "llama", 7);
    }
    put_model("cwd/hole-00001-of-00004.gguf", "llama", 7);
    put_model("cwd/hole-00004-of-00004.gguf", "llama", 7);
    put_model("cwd/headless-00002-of-00002.gguf", "llama", 7);
    put_model("cwd/lie-00001-of-99999.gguf", "llama", 7);
    struct qs_library *lib = scan(NULL);
    assert_int_equal(count(lib, QS_LIBRARY_FOLDER), 4);
    assert_true(find(lib, QS_LIBRARY_FOLDER, "whole-00001-of-00003.gguf") && found.openable);
    assert_int_equal(found.parts, 3);
    assert_int_equal(found.parts_missing, 0);
    struct qs_file_stat st;
    assert_int_equal(qs_file_stat(at("cwd/whole-00002-of-00003.gguf"), &st, NULL), QS_OK);
    assert_int_equal(found.bytes, 3 * st.size);
    assert_true(find(lib, QS_LIBRARY_FOLDER, "hole-00001-of-00004.gguf") && !found.openable && !found.missing);
    assert_string_equal(found.note, "2 of 4 parts are missing: 2, 3");
    assert_true(find(lib, QS_LIBRARY_FOLDER, "headless-00002-of-00002.gguf") && !found.openable);
    assert_string_equal(found.note, "1 of 2 parts is missing: 1");
    assert_true(find(lib, QS_LIBRARY_FOLDER, "lie-00001-of-99999.gguf") && found.parts == 1);
    qs_library_free(lib);
}

static void test_what_is_no_model(void **state)
{
    struct qs_str s = QS_STR_INIT;
    (void)state;
    put_text("cwd/empty.gguf", "");
    put_text("cwd/pointer.gguf", "version https://git-lfs.github.com/spec/v1\n");
    put_text("cwd/zip.gguf", "PK\003\004 and more");
    put_text("cwd/cut.gguf", "GGUF\003");
    tf_head(&s, 3, 0, 1);
    tf_kv_str(&s, "general.type", "imatrix");
    put("cwd/imatrix.gguf", s.data, s.len);
    qs_str_free(&s);
    assert_int_equal(mkfifo(at("cwd/pipe.gguf"), 0600), 0); /* must not be waited for */
    assert_int_equal(mkdir(at("cwd/folder.gguf"), 0700), 0);
    struct qs_library *lib = scan(NULL);
    static const struct { const char *name, *says; } cases[] = {
        { "empty.gguf", "empty" }, { "pointer.gguf", "Git LFS" }, { "zip.gguf", "not a GGUF" },
        { "cut.gguf", "cut short" }, { "imatrix.gguf", "importance matrix" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(find(lib, QS_LIBRARY_FOLDER, cases[i].name) && !found.openable);
        assert_non_null(strstr(found.note, cases[i].says));
    }
    assert_int_equal(count(lib, QS_LIBRARY_FOLDER), 5);
    qs_library_free(lib);
}

static void test_peek_reads_what_it_may(void **state)
{
    struct qs_str s = QS_STR_INIT;
    struct qs_library_peek p;
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    header(&s, "llama", 15, 50000, true); /* 900 KB of vocabulary in between */
    put("m.gguf", s.data, s.len);
    assert_int_equal(qs_library_peek(at("m.gguf"), QS_LIBRARY_PEEK, &p, &e), QS_OK);
    assert_string_equal(p.arch, "llama");
    assert_string_equal(p.type, "");
    assert_true(p.bytes_read <= QS_LIBRARY_PEEK);
    assert_int_equal(qs_library_peek(at("m.gguf"), 4 << 20, &p, &e), QS_OK);
    assert_string_equal(p.type, "Q4_K_M");
    qs_str_free(&s);
    header(&s, "a\033[31mb", 15, 0, false);
    put("m.gguf", s.data, s.len);
    assert_int_equal(qs_library_peek(at("m.gguf"), QS_LIBRARY_PEEK, &p, &e), QS_OK);
    assert_null(strchr(p.arch, 27));
    qs_str_free(&s);
}

/* Whatever the header says, it is read within bounds and ends. */
static void test_peek_of_damaged_headers(void **state)
{
    char *demo = NULL;
    size_t n = 0;
    uint32_t seed = 12345;
    struct qs_library_peek p;
    (void)state;
    assert_int_equal(qs_file_read(qs_test_src("demo/storyteller-9m-f16.gguf"), 64 << 20, &demo, &n, NULL), QS_OK);
    for (unsigned round = 0; round < 300; round++) {
        uint8_t bytes[3000];
        memcpy(bytes, demo, sizeof bytes);
        for (unsigned i = 0; i < 1 + round % 8; i++) {
            seed = seed * 1664525u + 1013904223u;
            bytes[4 + (seed >> 8) % (round % 2 ? 200 : sizeof bytes - 4)] = (uint8_t)(round % 3 ? seed >> 24 : 0xFF);
        }
        put("m.gguf", bytes, round % 5 ? sizeof bytes : 20 + round);
        const int rc = qs_library_peek(at("m.gguf"), QS_LIBRARY_PEEK, &p, NULL);
        assert_true(rc == QS_OK || rc == QS_EFORMAT);
        assert_true(p.bytes_read <= QS_LIBRARY_PEEK);
    }
    qs_free(demo);
}

/* ---- hostile folders --------------------------------------------------------------------------------------------- */

static void test_loops_of_links(void **state)
{
    (void)state;
    put_model("tree/a/m.gguf", "llama", 1);
    for (unsigned i = 0; i < 30; i++) { /* entered again and again they would be 30^4 folders */
        char name[64];
        (void)snprintf(name, sizeof name, "tree/a/up%u", i);
        link_to("..", name);
        (void)snprintf(name, sizeof name, "tree/self%u", i);
        link_to(".", name);
    }
    link_to("round", "tree/round");
    link_to("circle.gguf", "tree/circle.gguf");
    struct qs_library *lib = scan(at("tree"));
    assert_int_equal(qs_library_count(lib), 2);
    assert_true(find(lib, QS_LIBRARY_FOLDER, "a/m.gguf") && found.openable);
    assert_true(find(lib, QS_LIBRARY_FOLDER, "circle.gguf") && found.missing);
    qs_library_free(lib);
}

static void test_names_cannot_act_on_a_terminal(void **state)
{
    (void)state;
    put_model("cwd/a\033[2Jb\nc.gguf", "llama", 1);
    put_model("cwd/\xff\xfe.gguf", "llama", 1);
    struct qs_library *lib = scan(NULL);
    assert_int_equal(qs_library_count(lib), 2);
    for (size_t i = 0; qs_library_get(lib, i, &found); i++) {
        assert_true(found.openable);
        for (const char *p = found.name; *p; p++)
            assert_true((unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7F);
        assert_true(qs_file_exists(found.path)); /* the path is the real one */
    }
    qs_library_free(lib);
}

static void test_folder_that_cannot_be_read(void **state)
{
    (void)state;
    put_model("tree/closed/m.gguf", "llama", 1);
    put_model("tree/open/m.gguf", "llama", 1);
    put_model("tree/open/private.gguf", "llama", 1);
    assert_int_equal(chmod(at("tree/closed"), 0), 0);
    assert_int_equal(chmod(at("tree/open/private.gguf"), 0), 0);
    const uid_t me = geteuid();
    if (me == 0)
        assert_int_equal(seteuid(65534), 0);
    struct qs_library *lib = scan(at("tree"));
    if (me == 0)
        assert_int_equal(seteuid(me), 0);
    assert_int_equal(qs_library_count(lib), 2);
    assert_true(find(lib, QS_LIBRARY_FOLDER, "open/m.gguf") && found.openable);
    assert_true(find(lib, QS_LIBRARY_FOLDER, "open/private.gguf") && !found.openable);
    assert_true(noted(lib, "tree/closed"));
    assert_int_equal(chmod(at("tree/closed"), 0700), 0);
    qs_library_free(lib);
}

static void make_many(const char *rel, const char *end, unsigned n)
{
    qs_test_mkdirs(at(rel));
    const int dir = open(at(rel), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    for (unsigned i = 0; i < n; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%u%s", i, end);
        const int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    close(dir);
}

static void test_many_files_as_a_job(void **state)
{
    struct qs_library *lib;
    struct qs_job *job;
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    make_many("many", ".txt", 20000);
    make_many("many/models", ".gguf", QS_LIBRARY_MAX_ENTRIES + 50);
    put_model("many/m.gguf", "llama", 1);
    const char *const folder = at("many");
    const struct qs_library_options o = { .folder = &folder, .n_folders = 1 };
    assert_int_equal(qs_library_new(&o, &lib, &e), QS_OK);
    assert_int_equal(qs_job_start("models", qs_library_scan, lib, -1, &job, &e), QS_OK);
    size_t last = 0;
    do { /* a list that is read while it grows */
        const size_t n = qs_library_count(lib);
        assert_true(n >= last);
        last = n;
        assert_true(n == 0 || qs_library_get(lib, n - 1, &found));
        assert_true(n == 0 || found.path[0] == '/');
    } while (!qs_job_wait_for(job, 0.002));
    assert_int_equal(qs_job_wait(job, &e), QS_OK);
    qs_job_free(job);
    assert_int_equal(qs_library_count(lib), QS_LIBRARY_MAX_ENTRIES);
    assert_true(find(lib, QS_LIBRARY_FOLDER, "m.gguf"));
    assert_true(noted(lib, "the rest is left out"));
    /* Cancelled, what was found stays. */
    assert_int_equal(qs_job_start("models", qs_library_scan, lib, -1, &job, &e), QS_OK);
    const uint64_t version = qs_library_version(lib);
    while (qs_library_version(lib) == version && !qs_job_wait_for(job, 0.0005))
        ;
    qs_job_cancel(job);
    assert_int_equal(qs_job_wait(job, &e), QS_ECANCELLED);
    qs_job_free(job);
    assert_true(qs_library_count(lib) < QS_LIBRARY_MAX_ENTRIES);
    qs_library_free(lib);
}

static int whole_scan(void *ctx, struct qs_err *e)
{
    struct qs_library *lib;
    (void)ctx;
    int rc = qs_library_new(NULL, &lib, e);
    if (rc == QS_OK) {
        rc = qs_library_scan(NULL, lib, e);
        qs_library_free(lib);
    }
    return rc;
}

static void test_no_memory(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    put_model("cwd/a.gguf", "llama", 1);
    put_model("cwd/b-00001-of-00002.gguf", "llama", 1);
    put_model(HF "snapshots/rev/x.gguf", "llama", 1);
    put_model(".ollama/models/blobs/sha256-" HEX64, "gemma3", 17);
    put_manifest(LIBRARY "gemma3/4b", "sha256:" HEX64);
    put_text(".lmstudio-home-pointer", at("elsewhere"));
    put_text(".lmstudio/settings.json", "{\"downloadsFolder\": \"/nonexistent\"}");
    assert_int_equal(qs_library_remember("a.gguf", &e), QS_OK);
    qs_test_each_alloc(whole_scan, NULL);
}

/* ---- recent ------------------------------------------------------------------------------------------------------ */

static size_t recent(char name[][64], size_t max)
{
    struct qs_library *lib;
    struct qs_err e = QS_ERR_INIT;
    const struct qs_library_options o = { .recent = true };
    size_t n = 0;
    assert_int_equal(qs_library_new(&o, &lib, &e), QS_OK);
    assert_int_equal(qs_library_scan(NULL, lib, &e), QS_OK);
    for (; n < max && qs_library_get(lib, n, &found); n++)
        (void)snprintf(name[n], 64, "%s", found.name);
    n = qs_library_count(lib);
    qs_library_free(lib);
    return n;
}

static void test_recent(void **state)
{
    char name[60][64];
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    put_model("cwd/a.gguf", "llama", 1);
    put_model("cwd/b.gguf", "llama", 1);
    assert_int_equal(recent(name, 60), 0);
    assert_int_equal(qs_library_remember("a.gguf", &e), QS_OK);
    assert_int_equal(qs_library_remember(at("cwd/b.gguf"), &e), QS_OK);
    assert_int_equal(qs_library_remember("gone.gguf", &e), QS_OK);
    assert_int_equal(qs_library_remember("../cwd/./a.gguf", &e), QS_OK); /* the same as before: moves up */
    assert_int_equal(recent(name, 60), 3);
    assert_string_equal(name[0], "a.gguf");
    assert_string_equal(name[1], "gone.gguf");
    assert_string_equal(name[2], "b.gguf");
    struct qs_library *lib = scan(NULL);
    assert_true(find(lib, QS_LIBRARY_RECENT, "gone.gguf") && found.missing && !found.openable);
    assert_true(found.opened > 1000000000);
    assert_true(find(lib, QS_LIBRARY_RECENT, "a.gguf") && found.openable);
    assert_string_equal(found.path, at("cwd/a.gguf"));
    assert_true(find(lib, QS_LIBRARY_FOLDER, "a.gguf")); /* the recent list takes nothing away from the others */
    qs_library_free(lib);
    assert_int_equal(qs_library_forget("gone.gguf", &e), QS_OK);
    assert_int_equal(qs_library_forget("never.gguf", &e), QS_OK);
    assert_int_equal(recent(name, 60), 2);
    for (unsigned i = 0; i < 60; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/nowhere/%u.gguf", i);
        assert_int_equal(qs_library_remember(path, &e), QS_OK);
    }
    assert_int_equal(recent(name, 60), QS_LIBRARY_MAX_RECENT);
    assert_string_equal(name[0], "59.gguf");
    assert_string_equal(name[49], "10.gguf");
    assert_int_equal(qs_library_remember("", &e), QS_EINVAL);
}

static void test_recent_with_odd_names_and_lines(void **state)
{
    char name[60][64];
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    put_model("cwd/line\nend\\n.gguf", "llama", 1);
    assert_int_equal(qs_library_remember("line\nend\\n.gguf", &e), QS_OK);
    assert_int_equal(recent(name, 60), 1);
    assert_true(found.openable); /* the path came back as it was */
    assert_null(strchr(name[0], '\n'));
    put_text(".local/state/quantscape/recent",
             "garbage\n12\n12 relative\n99999999999999999999999 /x\n7 /\n-4 /x\n 5 /x\n5 /right/one.gguf\n5 /cut");
    assert_int_equal(recent(name, 60), 3); /* "/", one.gguf, cut */
    assert_string_equal(name[1], "one.gguf");
}

/* Two processes at once: the file stays whole, and what both opened is in it. */
static void test_recent_of_two_processes(void **state)
{
    char name[60][64];
    pid_t child[2];
    (void)state;
    for (int k = 0; k < 2; k++) {
        child[k] = fork();
        assert_true(child[k] >= 0);
        for (int i = 0; child[k] == 0 && i < 20; i++) {
            char path[64];
            (void)snprintf(path, sizeof path, "/of/%d-%d.gguf", k, i);
            if (qs_library_remember(path, NULL) != QS_OK)
                _exit(1);
        }
        if (child[k] == 0)
            _exit(0);
    }
    for (int k = 0; k < 2; k++) {
        int status;
        assert_int_equal(waitpid(child[k], &status, 0), child[k]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    const size_t n = recent(name, 60);
    assert_in_range(n, 36, 40); /* a lock that is not to be had in a moment is not waited for */
    for (size_t i = 0; i < n; i++)
        assert_true(name[i][1] == '-' && strstr(name[i], ".gguf"));
}

static void test_recent_that_cannot_be_written(void **state)
{
    char name[60][64];
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    assert_int_equal(qs_library_remember("/a/b.gguf", &e), QS_OK);
    assert_int_equal(chmod(at(".local/state/quantscape"), 0555), 0);
    const uid_t me = geteuid();
    if (me == 0)
        assert_int_equal(seteuid(65534), 0);
    const int rc = qs_library_remember("/c/d.gguf", &e);
    if (me == 0)
        assert_int_equal(seteuid(me), 0);
    assert_true(rc != QS_OK && e.msg[0]);
    assert_int_equal(chmod(at(".local/state/quantscape"), 0755), 0);
    assert_int_equal(recent(name, 60), 1);
    assert_string_equal(name[0], "b.gguf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_huggingface, setup),
        cmocka_unit_test_setup(test_environment_names_the_place, setup),
        cmocka_unit_test_setup(test_ollama, setup),
        cmocka_unit_test_setup(test_folders, setup),
        cmocka_unit_test_setup(test_lmstudio, setup),
        cmocka_unit_test_setup(test_current_folder, setup),
        cmocka_unit_test_setup(test_split_files, setup),
        cmocka_unit_test_setup(test_what_is_no_model, setup),
        cmocka_unit_test_setup(test_peek_reads_what_it_may, setup),
        cmocka_unit_test_setup(test_peek_of_damaged_headers, setup),
        cmocka_unit_test_setup(test_loops_of_links, setup),
        cmocka_unit_test_setup(test_names_cannot_act_on_a_terminal, setup),
        cmocka_unit_test_setup(test_folder_that_cannot_be_read, setup),
        cmocka_unit_test_setup(test_many_files_as_a_job, setup),
        cmocka_unit_test_setup(test_no_memory, setup),
        cmocka_unit_test_setup(test_recent, setup),
        cmocka_unit_test_setup(test_recent_with_odd_names_and_lines, setup),
        cmocka_unit_test_setup(test_recent_of_two_processes, setup),
        cmocka_unit_test_setup(test_recent_that_cannot_be_written, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
