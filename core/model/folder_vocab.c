/* folder_vocab.c - the tokenizer of a folder as metadata. */
#include <stdio.h>

#include "core/model/folder_internal.h"

int qs_folder_vocab(struct qs_folder *f, struct qs_gguf_meta *m, struct qs_err *e)
{
    char key[80];
    snprintf(key, sizeof key, "%s.vocab_size", f->family->arch);
    int rc = qs_gguf_meta_str(m, "tokenizer.ggml.model", "none", e);
    return rc ? rc : qs_gguf_meta_u32(m, key, (uint32_t)f->n.n_vocab, e);
}
