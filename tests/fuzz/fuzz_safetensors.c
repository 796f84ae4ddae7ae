/* fuzz_safetensors.c - any bytes as a safetensors file: what is accepted has tensors that lie in it, side by side. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/format/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
    if (!truth)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_safetensors *s;
    const uint64_t held = qs_mem_in_use();
    if (qs_safetensors_open_mem(data, size, size, &s, &e) != QS_OK) {
        must(!s && e.code != QS_OK && e.code != QS_ENOMEM && e.msg[0]);
    } else {
        uint64_t reached = s->header_size;
        for (size_t i = 0; i < s->n_tensors; i++) {
            const struct qs_st_tensor *t = &s->tensor[i];
            must(t->offset == reached && t->size <= size - reached && strlen(t->name) <= 255);
            must(t->n_dims <= QS_ST_MAX_DIMS);
            must(t->n * t->dtype->bits == t->size * 8);
            reached += t->size;
        }
        must(reached == size);
        qs_safetensors_close(s);
    }
    must(qs_mem_in_use() == held);
    return 0;
}
