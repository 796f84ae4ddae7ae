/* text.c - reading and tokenizing what is measured on. */
#include "core/eval/text.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"

/* n, or less where that would cut a character: bytes 10xxxxxx go on with one. */
static size_t whole_characters(const char *data, size_t len, size_t n)
{
    size_t back = n;
    while (back > 0 && n - back < 4 && ((unsigned char)data[back] & 0xC0) == 0x80)
        back--;
    return n < len && n - back < 4 ? back : n;
}

int qs_eval_text_read(const char *path, uint64_t most, struct qs_eval_text *out, struct qs_err *e)
{
    *out = (struct qs_eval_text){ 0 };
    int rc = qs_file_read(path, QS_EVAL_TEXT_MAX, &out->data, &out->n, e);
    if (!rc && most && most < out->n)
        out->n = whole_characters(out->data, out->n, (size_t)most);
    if (!rc && out->n && out->data[out->n - 1] == '\n')
        out->n--;
    if (!rc && out->n == 0)
        rc = qs_fail(e, QS_EINVAL, "%s: nothing in it to measure on", path);
    if (!rc) {
        out->data[out->n] = '\0';
        out->key = qs_hash_bytes(out->data, out->n);
        out->path = qs_strdup(path);
        rc = out->path ? QS_OK : qs_fail_mem(e, strlen(path), "a file name");
    }
    if (rc)
        qs_eval_text_free(out);
    return rc;
}

int qs_eval_text_tokenize(struct qs_eval_text *t, const struct qs_vocab *v, struct qs_err *e)
{
    t->token.n = 0;
    const int rc = qs_tokenize(v, t->data, t->n, QS_TOKENIZE_ADD_SPECIAL, &t->token, e);
    return rc ? qs_err_prefix(e, "%s", t->path) : QS_OK;
}

void qs_eval_text_free(struct qs_eval_text *t)
{
    qs_free(t->path);
    qs_free(t->data);
    qs_tokens_free(&t->token);
    *t = (struct qs_eval_text){ 0 };
}
