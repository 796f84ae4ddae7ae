/* folder_general.c - the metadata general.*: what the model is called, how large it is, how it is stored, how to
 * sample.
 *
 * Owns the guesses: a name from the folder's, a size from the weights, as the converter of llama.cpp makes them. What
 * generation_config.json advises becomes general.sampling.*.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/model/folder_internal.h"

/* general.file_type: the file types of llama.h */
enum { FTYPE_F32 = 0, FTYPE_F16 = 1, FTYPE_BF16 = 32, FTYPE_MXFP4_MOE = 38 };

/* "my-model-v1" -> "My Model v1": words in small letters begin with a large one, but numbers and versions. */
static void title(const char *s, struct qs_str *out)
{
    while (*s) {
        const size_t gap = strspn(s, "- ");
        s += gap;
        const size_t n = strcspn(s, "- ");
        if (n && out->len)
            qs_str_addc(out, ' ');
        bool small = n > 0 && (s[0] < '0' || s[0] > '9') && !(s[0] == 'v' && n > 1 && s[1] >= '0' && s[1] <= '9');
        bool letter = false;
        for (size_t i = 0; i < n; i++) {
            small = small && !(s[i] >= 'A' && s[i] <= 'Z');
            letter = letter || (s[i] >= 'a' && s[i] <= 'z');
        }
        bool begins = true;
        for (size_t i = 0; i < n; i++) {
            const bool is = s[i] >= 'a' && s[i] <= 'z';
            qs_str_addc(out, small && letter && begins && is ? (char)(s[i] - 'a' + 'A') : s[i]);
            begins = !is && !(s[i] >= 'A' && s[i] <= 'Z');
        }
        s += n;
    }
}

static int put_name(const struct qs_folder *f, struct qs_gguf_meta *m, struct qs_err *e)
{
    struct qs_str dir = QS_STR_INIT, name = QS_STR_INIT, text = QS_STR_INIT;
    qs_model_stem(f->dir, true, &dir, &name);
    title(name.data, &text);
    const int rc = name.failed || text.failed ? qs_fail_mem(e, name.len, "a name")
                                              : qs_gguf_meta_str(m, "general.name", text.data, e);
    qs_str_free(&dir);
    qs_str_free(&name);
    qs_str_free(&text);
    return rc;
}

/* What most of the matrices' bytes are stored as; experts in MXFP4 give their name to the whole. */
uint32_t qs_folder_file_type(const struct qs_folder *f)
{
    static const struct { int type; uint32_t ftype; } types[] = {
        { QS_MXFP4, FTYPE_MXFP4_MOE }, { QS_BF16, FTYPE_BF16 }, { QS_F16, FTYPE_F16 }, { QS_F32, FTYPE_F32 },
    };
    uint64_t most = 0;
    uint32_t out = FTYPE_F32;
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        uint64_t n = 0;
        for (size_t i = 0; i < f->n_tensors; i++)
            n += f->tensor[i].type == types[k].type && f->tensor[i].n_dims >= 2 ? f->tensor[i].size : 0;
        if (n > 0 && types[k].type == QS_MXFP4)
            return FTYPE_MXFP4_MOE;
        if (n > most) {
            most = n;
            out = types[k].ftype;
        }
    }
    return out;
}

/* "9M", "8x7.1B": two digits at least, as file names have them. */
static int put_size_label(const struct qs_folder *f, struct qs_gguf_meta *m, struct qs_err *e)
{
    static const struct { double over, unit; char name; } units[] = {
        { 1e12, 1e12, 'T' }, { 1e9, 1e9, 'B' }, { 1e6, 1e6, 'M' }, { -1, 1e3, 'K' },
    };
    double n = 0;
    for (size_t i = 0; i < f->n_tensors; i++) {
        const struct qs_folder_tensor *t = &f->tensor[i];
        double own = 1;
        for (unsigned d = 0; d < t->n_dims; d++)
            own *= (double)t->ne[d];
        n += strstr(t->name, "_exps.") ? own / (double)f->n.n_expert : own;
    }
    size_t u = 0;
    while (n <= units[u].over)
        u++;
    const double scaled = n / units[u].unit;
    const int digits = scaled < 0.5 ? 0 : scaled < 9.5 ? 1 : 2; /* of the whole number; 0 counts for none */
    char number[32], text[64];
    (void)snprintf(number, sizeof number, "%.*f%c", 2 - digits, scaled, units[u].name);
    if (f->n.n_expert)
        (void)snprintf(text, sizeof text, "%" PRIu64 "x%s", f->n.n_expert, number);
    else
        (void)snprintf(text, sizeof text, "%s", number);
    return qs_gguf_meta_str(m, "general.size_label", text, e);
}

/* What generation_config.json advises. */
static int put_sampling(struct qs_folder *f, struct qs_gguf_meta *m, struct qs_err *e)
{
    static const struct { const char *from, *to; } number[] = {
        { "top_p", "general.sampling.top_p" }, { "min_p", "general.sampling.min_p" },
        { "temperature", "general.sampling.temp" }, { "repetition_penalty", "general.sampling.penalty_repeat" },
    };
    struct qs_json *g;
    int rc = qs_folder_json(f, "generation_config.json", &g, e);
    const int64_t k = qs_json_int(qs_json_get(g, "top_k"), -1);
    if (!rc && k >= 0 && k <= INT32_MAX) {
        const uint8_t raw[4] = { (uint8_t)k, (uint8_t)(k >> 8), (uint8_t)(k >> 16), (uint8_t)(k >> 24) };
        rc = qs_gguf_meta_raw(m, "general.sampling.top_k", QS_GGUF_I32, raw, sizeof raw, e);
    }
    for (size_t i = 0; i < sizeof number / sizeof *number && !rc; i++) {
        const double v = qs_json_num(qs_json_get(g, number[i].from), NAN);
        if (isfinite(v))
            rc = qs_folder_put_f32(f, m, number[i].to, v, e);
    }
    qs_json_free(g);
    return rc;
}

int qs_folder_general(struct qs_folder *f, struct qs_gguf_meta *m, struct qs_err *e)
{
    int rc = qs_gguf_meta_str(m, "general.architecture", f->family->arch, e);
    if (!rc)
        rc = qs_gguf_meta_str(m, "general.type", "model", e);
    if (!rc)
        rc = put_sampling(f, m, e);
    if (!rc)
        rc = put_name(f, m, e);
    return rc ? rc : put_size_label(f, m, e);
}
