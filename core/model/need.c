/* need.c - what running a model takes. Pure functions of the headers, and two small files of the kernel. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cpus.h"
#include "base/mem.h"
#include "core/model/need.h"

/* arch.suffix, scalar or the element of that layer; `otherwise` when it is absent. */
static uint64_t by_layer(const struct qs_model *m, const char *suffix, uint64_t layer, uint64_t otherwise)
{
    char key[256];
    if (snprintf(key, sizeof key, "%s.%s", m->hp.arch, suffix) >= (int)sizeof key)
        return otherwise;
    const struct qs_kv *kv = qs_model_kv(m, key);
    uint64_t v;
    double d;
    if (qs_kv_u64(kv, &v))
        return v;
    return qs_kv_array_f64(kv, layer, &d) && d >= 0 && d < 1e9 ? (uint64_t)d : otherwise;
}

/* Which layers attend: those with a tensor that makes keys. NULL: out of memory. */
static bool *attending(const struct qs_model *m, uint64_t layers)
{
    bool *has = qs_calloc((size_t)layers, sizeof *has);
    for (size_t i = 0; has && i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        if (t->layer < 0 || (uint64_t)t->layer >= layers)
            continue;
        if (t->role == QS_ROLE_ATTN_K || t->role == QS_ROLE_ATTN_QKV || t->role == QS_ROLE_ATTN_KV_A)
            has[t->layer] = true;
    }
    return has;
}

/* Bytes of n values in whole blocks of that type. */
static uint64_t stored(const struct qs_format *f, uint64_t n)
{
    return (n + f->block - 1) / f->block * f->component[0].bytes_per_block;
}

uint64_t qs_need_kv_cache(const struct qs_model *m, uint64_t ctx, int type)
{
    const struct qs_hparams *hp = &m->hp;
    const struct qs_format *f = qs_format_by_id(type);
    uint64_t per_token = 0, bytes;
    /* latent attention: values lie in the rows of the keys */
    bool keys_only = by_layer(m, "attention.key_length_mla", 0, 0) > 0;
    if (!f || hp->n_layer == 0 || hp->n_layer > 65536 || hp->n_head == 0)
        return 0;
    bool *has = attending(m, hp->n_layer);
    for (uint64_t l = 0; has && l < hp->n_layer; l++) {
        uint64_t heads = by_layer(m, "attention.head_count_kv", l, hp->n_head_kv);
        if ((m->n_tensors && !has[l]) || heads >= 1u << 20 || hp->head_dim_k >= 1u << 20 || hp->head_dim_v >= 1u << 20)
            continue;
        per_token += stored(f, heads * hp->head_dim_k) + (keys_only ? 0 : stored(f, heads * hp->head_dim_v));
    }
    qs_free(has);
    return qs_mul_u64(per_token, ctx, &bytes) ? bytes : 0;
}

uint64_t qs_need_active_weights(const struct qs_model *m)
{
    uint64_t n = 0;
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct qs_tensor *t = &m->tensor[i];
        bool experts = t->role == QS_ROLE_FFN_GATE_EXPS || t->role == QS_ROLE_FFN_UP_EXPS ||
                       t->role == QS_ROLE_FFN_DOWN_EXPS || t->role == QS_ROLE_FFN_GATE_UP_EXPS;
        if (!experts || m->hp.n_expert == 0 || m->hp.n_expert_used > m->hp.n_expert)
            n += t->n;
        else
            n += t->n / m->hp.n_expert * m->hp.n_expert_used;
    }
    return n;
}

/* ---- this machine ---- */

static uint64_t read_number(const char *path)
{
    char text[64] = "";
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    return strtoull(text, NULL, 10);
}

static uint64_t mem_available(void)
{
    char line[128];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib * 1024;
}

struct qs_machine_memory qs_machine_memory(void)
{
    struct qs_machine_memory m = { 0, mem_available() };
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0)
        m.total = (uint64_t)pages * (uint64_t)page;
    uint64_t limit, left;
    qs_cgroup_memory("/proc/self/cgroup", "/sys/fs/cgroup", &limit, &left);
    if (limit == 0) { /* version 1 */
        const uint64_t used = read_number("/sys/fs/cgroup/memory/memory.usage_in_bytes");
        limit = read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes");
        left = used < limit ? limit - used : 0;
    }
    if (limit > 0 && limit < m.total) {
        m.total = limit;
        m.available = m.available && m.available < left ? m.available : left;
    }
    return m;
}
