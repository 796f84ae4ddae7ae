/* folder.c - the tokenizer of a Hugging Face folder: which files there are, and which says what.
 *
 * Follows llama.cpp's converter (convert_hf_to_gguf.py and gguf-py's SpecialVocab, 0c1e57098): special ids by the texts
 * of tokenizer_config.json among the added tokens of tokenizer.json, then by config.json; BOS and EOS as the
 * post-processor puts them; the chat template of tokenizer_config.json, else of its own file. Beyond it:
 * special_tokens_map.json and the texts of the vocabulary itself are asked where these say nothing, and
 * generation_config.json's ends of a generation are kept. Owns the parsed files while it reads. Refuses files that are
 * not JSON, or too large; a file that is absent says nothing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/text/vocab_build.h"

#define FILE_MAX ((size_t)512 << 20)

enum which { TOKENIZER, CONFIG, ADDED, SPECIAL_MAP, GENERATION, MODEL_CONFIG, TEMPLATE, FILES };
static const char *const file_name[FILES] = {
    [TOKENIZER] = "tokenizer.json", [CONFIG] = "tokenizer_config.json", [ADDED] = "added_tokens.json",
    [SPECIAL_MAP] = "special_tokens_map.json", [GENERATION] = "generation_config.json", [MODEL_CONFIG] = "config.json",
    [TEMPLATE] = "chat_template.json",
};

struct folder {
    const char *dir;
    struct qs_json *file[FILES]; /* NULL: absent */
    const char *added_special[QS_SPECIALS]; /* text that the post-processor states; NULL: as tokenizer_config.json */
};

/* The types the converter looks for, in its order. */
static const enum qs_special kinds[] = { QS_SPECIAL_BOS, QS_SPECIAL_EOS, QS_SPECIAL_UNK, QS_SPECIAL_SEP, QS_SPECIAL_PAD,
                                         QS_SPECIAL_MASK };

/* Bytes of a file of the folder; *data NULL where there is none. */
static int read_bytes(const char *dir, const char *name, char **data, size_t *n, struct qs_err *e)
{
    struct qs_str path = QS_STR_INIT;
    qs_path_join(dir, name, &path);
    *data = NULL;
    *n = 0;
    int rc = path.failed ? qs_fail_mem(e, strlen(dir), "a path") : QS_OK;
    if (rc == QS_OK && qs_file_exists(path.data))
        rc = qs_file_read(path.data, FILE_MAX, data, n, e);
    qs_str_free(&path);
    return rc;
}

static int read_json(const char *dir, const char *name, struct qs_json **out, struct qs_err *e)
{
    char *data;
    size_t n;
    *out = NULL;
    int rc = read_bytes(dir, name, &data, &n, e);
    if (rc != QS_OK || !data)
        return rc;
    rc = qs_json_parse(data, n, out, e);
    if (rc == QS_OK && qs_json_type(*out) != QS_JSON_OBJECT)
        rc = qs_fail(e, QS_EFORMAT, "it is no JSON object");
    if (rc != QS_OK)
        qs_err_prefix(e, "%s/%s", dir, name);
    qs_free(data);
    return rc;
}

/* --- special tokens ----------------------------------------------------------------------------------------------- */

/* The text of "bos_token" ..., which is a string or an object with "content". */
static const char *token_text(const struct qs_json *file, const char *kind)
{
    char key[40];
    snprintf(key, sizeof key, "%s_token", kind);
    const struct qs_json *v = qs_json_get(file, key);
    return qs_json_str(v, qs_json_str(qs_json_get(v, "content"), NULL));
}

static int32_t added_id(const struct folder *f, const char *text)
{
    const struct qs_json *added = qs_json_get(f->file[TOKENIZER], "added_tokens");
    for (size_t i = 0; text && i < qs_json_len(added); i++) {
        const struct qs_json *a = qs_json_at(added, i);
        if (strcmp(qs_json_str(qs_json_get(a, "content"), ""), text) == 0)
            return (int32_t)qs_json_int(qs_json_get(a, "id"), QS_NO_TOKEN);
    }
    return QS_NO_TOKEN;
}

static int32_t vocabulary_id(const struct qs_vocab_data *d, const char *text)
{
    size_t n = text ? strlen(text) : 0;
    for (size_t i = 0; n && i < d->n_tokens; i++)
        if (d->token[i].len == n && memcmp(d->token[i].text, text, n) == 0)
            return (int32_t)i;
    return QS_NO_TOKEN;
}

static int32_t config_id(const struct folder *f, const char *kind)
{
    char key[40];
    snprintf(key, sizeof key, "%s_token_id", kind);
    const struct qs_json *v = qs_json_get(f->file[MODEL_CONFIG], key);
    if (qs_json_type(v) != QS_JSON_INT)
        v = qs_json_get(qs_json_get(f->file[MODEL_CONFIG], "text_config"), key);
    int64_t id = qs_json_type(v) == QS_JSON_INT ? qs_json_int(v, -1) : -1;
    return id >= 0 && id < QS_VOCAB_MAX ? (int32_t)id : QS_NO_TOKEN;
}

static void find_specials(const struct folder *f, struct qs_vocab_data *d)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const enum qs_special s = kinds[i];
        const char *name = qs_special_name(s), *text = f->added_special[s];
        if (!text)
            text = token_text(f->file[CONFIG], name);
        int32_t id = added_id(f, text);
        if (id < 0)
            id = config_id(f, name);
        if (id < 0)
            id = vocabulary_id(d, text ? text : token_text(f->file[SPECIAL_MAP], name));
        d->special[s] = id;
    }
    d->special[QS_SPECIAL_EOT] = added_id(f, f->added_special[QS_SPECIAL_EOT]);
}

/* --- what is put before and behind a text ------------------------------------------------------------------------- */

static const char *special_of(const struct qs_json *step)
{
    return qs_json_str(qs_json_get(qs_json_get(step, "SpecialToken"), "id"), NULL);
}

/* One TemplateProcessing: BOS where its first thing is a special token, EOS where its last is. */
static void read_template_step(struct folder *f, const struct qs_json *step, struct qs_vocab_data *d)
{
    const struct qs_json *single = qs_json_get(step, "single");
    size_t n = qs_json_len(single);
    if (n < 2)
        return;
    const char *first = special_of(qs_json_at(single, 0)), *last = special_of(qs_json_at(single, n - 1));
    const char *bos = token_text(f->file[CONFIG], "bos"), *cls = token_text(f->file[CONFIG], "cls");
    const char *eos = token_text(f->file[CONFIG], "eos");
    if (first) {
        if (!bos && (!cls || strcmp(first, cls) != 0))
            f->added_special[QS_SPECIAL_BOS] = bos = first;
        d->add_bos = (bos && strcmp(first, bos) == 0) || !cls || strcmp(first, cls) == 0;
    }
    if (last) {
        if (eos && strcmp(last, eos) != 0)
            f->added_special[QS_SPECIAL_EOT] = eos;
        f->added_special[QS_SPECIAL_EOS] = last;
        d->add_eos = 1;
    }
}

static void read_step(struct folder *f, const struct qs_json *step, struct qs_vocab_data *d)
{
    const char *type = qs_json_str(qs_json_get(step, "type"), "");
    if (strcmp(type, "TemplateProcessing") == 0) {
        read_template_step(f, step, d);
    } else if (strcmp(type, "RobertaProcessing") == 0) {
        d->add_bos = d->add_eos = d->add_sep = 1;
    } else if (strcmp(type, "ByteLevel") == 0) {
        d->add_bos = d->add_bos == QS_UNSTATED ? 0 : d->add_bos;
        d->add_eos = d->add_eos == QS_UNSTATED ? 0 : d->add_eos;
    }
}

static void read_flags(struct folder *f, struct qs_vocab_data *d)
{
    const struct qs_json *post = qs_json_get(f->file[TOKENIZER], "post_processor");
    const struct qs_json *list = qs_json_get(post, "processors");
    if (qs_json_type(list) != QS_JSON_ARRAY)
        read_step(f, post, d);
    for (size_t i = 0; qs_json_type(list) == QS_JSON_ARRAY && i < qs_json_len(list); i++)
        read_step(f, qs_json_at(list, i), d);
    const struct { const char *key; int8_t *flag; } stated[] = {
        { "add_bos_token", &d->add_bos }, { "add_eos_token", &d->add_eos }, { "add_sep_token", &d->add_sep },
    };
    for (size_t i = 0; i < sizeof stated / sizeof *stated; i++) {
        const struct qs_json *v = qs_json_get(f->file[CONFIG], stated[i].key);
        if (qs_json_type(v) == QS_JSON_BOOL && *stated[i].flag == QS_UNSTATED)
            *stated[i].flag = qs_json_bool(v, false);
    }
    const struct qs_json *prefix = qs_json_get(f->file[CONFIG], "add_prefix_space");
    if (d->kind == QS_VOCAB_SPM && d->add_space_prefix == QS_UNSTATED && qs_json_type(prefix) == QS_JSON_BOOL)
        d->add_space_prefix = qs_json_bool(prefix, true);
}

/* --- the chat template -------------------------------------------------------------------------------------------- */

/* A template itself, or the one called "default" of a list of them. */
static const char *template_text(const struct qs_json *v)
{
    for (size_t i = 0; qs_json_type(v) == QS_JSON_ARRAY && i < qs_json_len(v); i++) {
        const struct qs_json *one = qs_json_at(v, i);
        if (strcmp(qs_json_str(qs_json_get(one, "name"), ""), "default") == 0)
            return qs_json_str(qs_json_get(one, "template"), NULL);
    }
    return qs_json_str(v, NULL);
}

static int read_template(const struct folder *f, struct qs_vocab_data *d, struct qs_err *e)
{
    const char *text = template_text(qs_json_get(f->file[CONFIG], "chat_template"));
    size_t n;
    int rc = QS_OK;
    if (!text)
        rc = read_bytes(f->dir, "chat_template.jinja", &d->chat_template, &n, e);
    if (!text && rc == QS_OK && !d->chat_template)
        text = template_text(qs_json_get(f->file[TEMPLATE], "chat_template"));
    if (text && !(d->chat_template = qs_strdup(text)))
        rc = qs_fail_mem(e, strlen(text), "the chat template");
    return rc;
}

/* --- tokens that tokenizer.model does not have -------------------------------------------------------------------- */

static int add_tokens(const struct folder *f, struct qs_vocab_data *d, struct qs_err *e)
{
    const struct qs_json *value = NULL, *decoder = qs_json_get(f->file[CONFIG], "added_tokens_decoder");
    const char *key;
    int rc = QS_OK;
    for (size_t i = 0; rc == QS_OK && (key = qs_json_key_at(f->file[ADDED], i, &value)); i++) {
        int64_t id = qs_json_int(value, -1);
        if (id < 0 || (size_t)id >= d->n_tokens || d->kind != QS_VOCAB_SPM)
            continue;
        d->token[id].type = QS_TOKEN_USER_DEFINED;
        d->token[id].score = -1000.0f;
        rc = qs_vocab_data_text(d, (size_t)id, key, strlen(key), e);
    }
    for (size_t i = 0; rc == QS_OK && (key = qs_json_key_at(decoder, i, &value)); i++) {
        char *end;
        unsigned long id = strtoul(key, &end, 10);
        const char *text = qs_json_str(qs_json_get(value, "content"), NULL);
        if (*end || end == key || id >= d->n_tokens || !text)
            continue;
        if (d->kind == QS_VOCAB_SPM || d->token[id].type == QS_TOKEN_UNUSED)
            rc = qs_vocab_data_added(d, id, text, qs_json_bool(qs_json_get(value, "special"), false), e);
    }
    return rc;
}

/* Rows for what these two name, where the caller does not know how many there are. */
static size_t rows_named(const struct folder *f, size_t n)
{
    const struct qs_json *value = NULL, *decoder = qs_json_get(f->file[CONFIG], "added_tokens_decoder");
    const char *key;
    for (size_t i = 0; qs_json_key_at(f->file[ADDED], i, &value); i++) {
        int64_t id = qs_json_int(value, -1);
        n = id >= 0 && id < QS_VOCAB_MAX && (size_t)id >= n ? (size_t)id + 1 : n;
    }
    for (size_t i = 0; (key = qs_json_key_at(decoder, i, &value)); i++) {
        unsigned long id = strtoul(key, NULL, 10);
        n = id < QS_VOCAB_MAX && id >= n ? id + 1 : n;
    }
    return n;
}

static int read_ends(const struct folder *f, struct qs_vocab_data *d, struct qs_err *e)
{
    const struct qs_json *lists[] = { qs_json_get(f->file[GENERATION], "eos_token_id"),
                                      qs_json_get(f->file[MODEL_CONFIG], "eos_token_id") };
    int rc = QS_OK;
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        const bool one = qs_json_type(lists[k]) == QS_JSON_INT;
        for (size_t i = 0; i < (one ? 1 : qs_json_type(lists[k]) == QS_JSON_ARRAY ? qs_json_len(lists[k]) : 0); i++) {
            int64_t id = qs_json_int(one ? lists[k] : qs_json_at(lists[k], i), -1);
            if (rc == QS_OK && id >= 0 && (size_t)id < d->n_tokens)
                rc = qs_vocab_data_eog(d, (int32_t)id, e);
        }
    }
    return rc;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

/* By tokenizer.model where it is SentencePiece's and tokenizer.json is not of the byte-level kind, else by that. */
static int read_tokens(const struct folder *f, size_t n_rows, struct qs_vocab_data **out, struct qs_err *e)
{
    char *bytes = NULL;
    size_t n = 0;
    const struct qs_json *tokenizer = f->file[TOKENIZER];
    int rc = tokenizer && qs_tokenizer_json_bytes(tokenizer) ? QS_OK
                                                             : read_bytes(f->dir, "tokenizer.model", &bytes, &n, e);
    if (rc == QS_OK && bytes && (!tokenizer || qs_sentencepiece_looks(bytes, n))) {
        rc = qs_sentencepiece_read(bytes, n, n_rows, out, e);
        size_t named = rc == QS_OK && !n_rows ? rows_named(f, (*out)->n_tokens) : 0;
        if (rc == QS_OK && !n_rows && named > (*out)->n_tokens) {
            qs_vocab_data_free(*out);
            rc = qs_sentencepiece_read(bytes, n, named, out, e);
        }
        if (rc != QS_OK)
            qs_err_prefix(e, "%s/tokenizer.model", f->dir);
    } else if (rc == QS_OK && tokenizer) {
        rc = qs_tokenizer_json_read(tokenizer, n_rows, out, e);
        if (rc != QS_OK)
            qs_err_prefix(e, "%s/tokenizer.json", f->dir);
    } else if (rc == QS_OK) {
        rc = qs_fail(e, QS_ENOTFOUND, "%s has no tokenizer: neither tokenizer.json nor tokenizer.model", f->dir);
    }
    qs_free(bytes);
    return rc;
}

static int read_folder(struct folder *f, size_t n_rows, struct qs_vocab_data **out, struct qs_err *e)
{
    int rc = QS_OK;
    for (int i = 0; i < FILES && rc == QS_OK; i++)
        rc = read_json(f->dir, file_name[i], &f->file[i], e);
    if (rc == QS_OK)
        rc = read_tokens(f, n_rows, out, e);
    if (rc != QS_OK)
        return rc;
    struct qs_vocab_data *d = *out;
    const struct qs_json *config = f->file[MODEL_CONFIG];
    snprintf(d->arch, sizeof d->arch, "%s", qs_json_str(qs_json_get(config, "model_type"), ""));
    rc = add_tokens(f, d, e);
    read_flags(f, d);
    find_specials(f, d);
    if (rc == QS_OK)
        rc = read_template(f, d, e);
    if (rc == QS_OK)
        rc = read_ends(f, d, e);
    return rc == QS_OK ? qs_vocab_data_finish(d, e) : rc;
}

int qs_vocab_data_folder(const char *dir, size_t n_rows, struct qs_vocab_data **out, struct qs_err *e)
{
    struct folder f = { .dir = dir };
    *out = NULL;
    int rc = read_folder(&f, n_rows, out, e);
    for (int i = 0; i < FILES; i++)
        qs_json_free(f.file[i]);
    if (rc != QS_OK) {
        qs_vocab_data_free(*out);
        *out = NULL;
    }
    return rc;
}
