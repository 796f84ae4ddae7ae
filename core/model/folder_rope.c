/* folder_rope.c - the tensors of rope factors, out of numbers in config.json.
 *
 * Owns the formulas. Llama 3.x: one divisor of each frequency (rope_freqs.weight), as "llama3" of transformers'
 * modeling_rope_utils.py defines them, in float like the converter of llama.cpp. Phi 3: the two lists
 * (rope_factors_long and _short) as they stand. Refuses numbers that are missing or make no sense.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "core/model/folder_internal.h"

#define TWO_PI 6.28318530717958647692

enum { BASE, FACTOR, LOW, HIGH, CONTEXT, NUMBERS };

static int read_llama3(const struct qs_folder *f, float number[NUMBERS], struct qs_err *e)
{
    const struct { const char *key; double otherwise; } known[NUMBERS] = {
        [BASE] = { "rope_theta", f->family->rope_theta }, [FACTOR] = { "factor", 8 }, [LOW] = { "low_freq_factor", 1 },
        [HIGH] = { "high_freq_factor", 4 }, [CONTEXT] = { "original_max_position_embeddings", 8192 },
    };
    for (size_t i = 0; i < NUMBERS; i++) {
        const double v = qs_json_num(qs_folder_rope(f, known[i].key), known[i].otherwise);
        if (!(v > 0) || !(v < 1e15))
            return qs_fail(e, QS_EFORMAT, "%s/config.json: rope_scaling: %s is no number above 0", f->dir,
                           known[i].key);
        number[i] = (float)v;
    }
    return QS_OK;
}

/* Long waves are divided by the whole factor, short ones by 1, those between by something between. */
static float divisor(float freq, const float number[NUMBERS])
{
    const float wave = (float)TWO_PI / freq;
    if (wave < number[CONTEXT] / number[HIGH])
        return 1;
    if (wave > number[CONTEXT] / number[LOW])
        return number[FACTOR];
    const float smooth = (number[CONTEXT] / wave - number[LOW]) / (number[HIGH] - number[LOW]);
    return 1 / ((1 - smooth) / number[FACTOR] + smooth);
}

static int add_llama3(struct qs_folder *f, struct qs_err *e)
{
    float number[NUMBERS] = { 0 };
    const int rc = read_llama3(f, number, e);
    if (rc)
        return rc;
    const uint64_t dim = f->n.head_dim, n = dim / 2;
    float *v = qs_malloc((size_t)n * sizeof *v);
    if (!v)
        return qs_fail_mem(e, n * sizeof *v, "the factors of the rope");
    for (uint64_t i = 0; i < n; i++)
        v[i] = divisor(1 / powf(number[BASE], (float)(2 * i) / (float)dim), number);
    return qs_folder_add_values(f, "rope_freqs.weight", v, n, e);
}

static int add_list(struct qs_folder *f, const char *key, const char *name, uint64_t n, struct qs_err *e)
{
    const struct qs_json *list = qs_folder_rope(f, key);
    if (qs_json_type(list) != QS_JSON_ARRAY || qs_json_len(list) != n)
        return qs_fail(e, QS_EFORMAT, "%s/config.json: rope_scaling: %s is no list of %" PRIu64 " numbers", f->dir,
                       key, n);
    float *v = qs_malloc((size_t)n * sizeof *v);
    if (!v)
        return qs_fail_mem(e, n * sizeof *v, "the factors of the rope");
    for (uint64_t i = 0; i < n; i++) {
        v[i] = (float)qs_json_num(qs_json_at(list, (size_t)i), NAN);
        if (!isfinite(v[i]) || v[i] <= 0) {
            qs_free(v);
            return qs_fail(e, QS_EFORMAT, "%s/config.json: rope_scaling: %s holds what is no number above 0", f->dir,
                           key);
        }
    }
    return qs_folder_add_values(f, name, v, n, e);
}

uint64_t qs_folder_rope_dims(const struct qs_folder *f)
{
    const double part = qs_json_num(qs_folder_rope(f, "partial_rotary_factor"), 1);
    const uint64_t all = f->n.n_embd;
    return (part > 0 && part <= 1 ? (uint64_t)(part * (double)all) : all) / f->n.n_head;
}

int qs_folder_rope_tensors(struct qs_folder *f, struct qs_err *e)
{
    if (f->family->flags & QS_FOLDER_PERMUTE && strcmp(qs_folder_rope_type(f), "llama3") == 0)
        return add_llama3(f, e);
    if (!(f->family->flags & QS_FOLDER_FUSED) || !qs_folder_rope(f, "long_factor"))
        return QS_OK;
    const uint64_t n = qs_folder_rope_dims(f) / 2;
    const int rc = add_list(f, "long_factor", "rope_factors_long.weight", n, e);
    return rc ? rc : add_list(f, "short_factor", "rope_factors_short.weight", n, e);
}
