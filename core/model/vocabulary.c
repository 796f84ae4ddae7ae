/* vocabulary.c - the vocabulary of an opened model. Owns nothing. */
#include "core/model/vocabulary.h"

int qs_model_vocab(const struct qs_model *m, struct qs_vocab **out, struct qs_err *e)
{
    struct qs_vocab_data *data = NULL;
    size_t n = 0;
    const struct qs_kv *kv = qs_model_metadata(m, &n);
    int rc = qs_vocab_data_kv(kv, n, &data, e);
    rc = rc ? rc : qs_vocab_new(data, out, e);
    return rc ? qs_err_prefix(e, "%s", m->path) : QS_OK;
}
