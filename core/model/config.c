/* config.c - the numbers of a forward pass, read from a model's metadata and checked.
 *
 * Keys, defaults and their meaning are llama.cpp's (0c1e57098: load_hparams and src/models/); the YaRN ramp follows
 * https://arxiv.org/abs/2309.00071, appendix A.2. Refuses numbers that would divide by zero, overflow a shape or make
 * no head; shapes of tensors are the engine's business (engine_slots.c).
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/model/config.h"

#define WIDTH_MAX (1u << 20) /* of any row */
#define LAYERS_MAX 4096

struct in { /* what is being read */
    const struct qs_model *m;
    struct qs_config *c;
    struct qs_err *e;
};

/* ---- metadata, behind "ARCHITECTURE." ---- */

static const struct qs_kv *find(const struct in *in, const char *suffix)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", in->c->arch->name, suffix);
    return qs_model_kv(in->m, key);
}

static int bad(const struct in *in, enum qs_code code, const char *suffix, const char *fmt, ...) QS_PRINTF(4, 5);
static int bad(const struct in *in, enum qs_code code, const char *suffix, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return qs_fail(in->e, code, "%s: %s.%s: %s", in->m->path, in->c->arch->name, suffix, text);
}

/* A finite number; absent: `otherwise`. */
static int number(const struct in *in, const char *suffix, double otherwise, double *out)
{
    const struct qs_kv *kv = find(in, suffix);
    *out = otherwise;
    if (kv && (!qs_kv_f64(kv, out) || !isfinite(*out)))
        return bad(in, QS_EFORMAT, suffix, "is no finite number");
    return QS_OK;
}

static int positive(const struct in *in, const char *suffix, double otherwise, double *out)
{
    int rc = number(in, suffix, otherwise, out);
    if (rc == QS_OK && !(*out > 0 && *out < 1e30))
        rc = bad(in, QS_EFORMAT, suffix, "is %g, must be positive", *out);
    return rc;
}

/* A size; absent: `otherwise`. */
static int size(const struct in *in, const char *suffix, size_t otherwise, size_t *out)
{
    const struct qs_kv *kv = find(in, suffix);
    uint64_t v = otherwise;
    if (kv && (!qs_kv_u64(kv, &v) || v > INT32_MAX))
        return bad(in, QS_EFORMAT, suffix, "is no number below 2^31");
    *out = (size_t)v;
    return QS_OK;
}

/* One size for every layer, or an array of them. */
static int per_layer(const struct in *in, const char *suffix, size_t otherwise, size_t offset)
{
    const struct qs_kv *kv = find(in, suffix);
    const bool array = kv && kv->type == QS_GGUF_ARRAY;
    size_t all = otherwise;
    int rc = array ? QS_OK : size(in, suffix, otherwise, &all);
    if (rc == QS_OK && array && kv->count != in->c->n_layer)
        rc = bad(in, QS_EFORMAT, suffix, "has %" PRIu64 " numbers for %zu layers", kv->count, in->c->n_layer);
    for (size_t l = 0; rc == QS_OK && l < in->c->n_layer; l++) {
        double x = (double)all;
        if (array && (!qs_kv_array_f64(kv, l, &x) || !(x >= 0 && x <= WIDTH_MAX)))
            rc = bad(in, QS_EFORMAT, suffix, "of layer %zu is no size", l);
        else
            memcpy((char *)&in->c->layer[l] + offset, &(size_t){ (size_t)x }, sizeof(size_t));
    }
    return rc;
}

static bool is_text(const struct qs_kv *kv, const char *text)
{
    const char *s;
    size_t n;
    return kv && qs_kv_str(kv, &s, &n) && n == strlen(text) && memcmp(s, text, n) == 0;
}

/* ---- parts ---- */

static int read_shape(const struct in *in)
{
    struct qs_config *c = in->c;
    const struct qs_hparams *hp = &in->m->hp;
    const struct qs_tensor *embd = qs_model_find(in->m, "token_embd.weight");
    if (!embd)
        return qs_fail(in->e, QS_EFORMAT, "%s: there is no tensor token_embd.weight", in->m->path);
    c->n_vocab = (size_t)embd->ne[1];
    c->n_embd = (size_t)hp->n_embd;
    c->n_layer = (size_t)hp->n_layer;
    c->n_ctx_train = (size_t)hp->n_ctx;
    if (c->n_ctx_train == 0)
        return bad(in, QS_EFORMAT, "context_length", "is not stated, or 0");
    if (c->n_embd == 0 || c->n_embd > WIDTH_MAX)
        return bad(in, QS_EFORMAT, "embedding_length", "is %zu", c->n_embd);
    if (c->n_layer == 0 || c->n_layer > LAYERS_MAX)
        return bad(in, QS_EFORMAT, "block_count", "is %zu", c->n_layer);
    c->layer = qs_calloc(c->n_layer, sizeof *c->layer);
    return c->layer ? QS_OK : qs_fail_mem(in->e, c->n_layer * sizeof *c->layer, "the configuration of layers");
}

static int read_heads(const struct in *in)
{
    struct qs_config *c = in->c;
    int rc = per_layer(in, "attention.head_count", 0, offsetof(struct qs_layer_config, n_head));
    if (rc == QS_OK && find(in, "attention.head_count_kv"))
        rc = per_layer(in, "attention.head_count_kv", 0, offsetof(struct qs_layer_config, n_kv));
    else
        for (size_t l = 0; rc == QS_OK && l < c->n_layer; l++)
            c->layer[l].n_kv = c->layer[l].n_head;
    if (rc == QS_OK)
        rc = per_layer(in, "feed_forward_length", 0, offsetof(struct qs_layer_config, ff));
    const size_t head = rc == QS_OK && c->layer[0].n_head ? c->n_embd / c->layer[0].n_head : 0;
    if (rc == QS_OK)
        rc = size(in, "attention.key_length", head, &c->dk);
    if (rc == QS_OK)
        rc = size(in, "attention.value_length", head, &c->dv);
    for (size_t l = 0; rc == QS_OK && l < c->n_layer; l++) {
        const struct qs_layer_config *x = &c->layer[l];
        if (x->n_head == 0 || x->n_kv == 0 || x->n_head % x->n_kv != 0 || x->n_head > 65536)
            rc = bad(in, QS_EFORMAT, "attention.head_count", "of layer %zu: %zu heads cannot share %zu KV heads", l,
                     x->n_head, x->n_kv);
        else if (x->ff > WIDTH_MAX)
            rc = bad(in, QS_EFORMAT, "feed_forward_length", "of layer %zu is %zu", l, x->ff);
        c->max_head = x->n_head > c->max_head ? x->n_head : c->max_head;
        c->max_kv = x->n_kv > c->max_kv ? x->n_kv : c->max_kv;
        c->max_ff = x->ff > c->max_ff ? x->ff : c->max_ff;
    }
    if (rc == QS_OK && (c->dk == 0 || c->dv == 0 || c->dk > WIDTH_MAX / c->max_head || c->dv > WIDTH_MAX / c->max_head))
        rc = bad(in, QS_EFORMAT, "attention.key_length", "heads of %zu and %zu floats", c->dk, c->dv);
    return rc;
}

/* Which layers have a window: a pattern in the file, as one number or a flag per layer, else the architecture's. */
static int read_windows(const struct in *in)
{
    struct qs_config *c = in->c;
    size_t window, every = c->arch->window_every;
    int rc = size(in, "attention.sliding_window", c->arch->window, &window);
    const struct qs_kv *pattern = find(in, "attention.sliding_window_pattern");
    const bool flags = pattern && pattern->type == QS_GGUF_ARRAY;
    if (rc == QS_OK && flags && pattern->count < c->n_layer)
        rc = bad(in, QS_EFORMAT, "attention.sliding_window_pattern", "has %" PRIu64 " flags for %zu layers",
                 pattern->count, c->n_layer);
    if (rc == QS_OK && pattern && !flags)
        rc = size(in, "attention.sliding_window_pattern", every, &every);
    uint64_t on = 1;
    const struct qs_kv *rope = c->arch->flags & QS_ARCH_ROPE_SWITCH ? find(in, "rope.scaling.finetuned") : NULL;
    if (rope)
        (void)qs_kv_u64(rope, &on);
    for (size_t l = 0; rc == QS_OK && l < c->n_layer; l++) {
        double flag = every == 0 || l % every < every - 1;
        if (flags && !qs_kv_array_f64(pattern, l, &flag))
            rc = bad(in, QS_EFORMAT, "attention.sliding_window_pattern", "is no list of flags");
        c->layer[l].window = flag > 0 ? window : 0;
        c->layer[l].rope_set = c->layer[l].window > 0;
        c->layer[l].rope = on && (c->arch->no_rope_every == 0 || (l + 1) % c->arch->no_rope_every != 0);
    }
    return rc;
}

/* What YaRN adds. A stated attention factor is the magnitude itself, as in transformers; without one it follows from
 * the factor. Other mixtures of old and new frequencies than the ramp's own are not known to be used by any model
 * here. */
static int read_yarn(const struct in *in, struct qs_rope_config *r)
{
    double log_mul, ext, attn;
    int rc = number(in, "rope.scaling.yarn_log_multiplier", 0, &log_mul);
    if (rc == QS_OK)
        rc = number(in, "rope.scaling.yarn_ext_factor", 1, &ext);
    if (rc == QS_OK)
        rc = positive(in, "rope.scaling.yarn_attn_factor", 1 + 0.1 * log(1 / r->freq_scale), &attn);
    if (rc == QS_OK)
        rc = positive(in, "rope.scaling.yarn_beta_fast", 32, &r->beta_fast);
    if (rc == QS_OK)
        rc = positive(in, "rope.scaling.yarn_beta_slow", 1, &r->beta_slow);
    if (rc != QS_OK)
        return rc;
    if (log_mul > 0 || log_mul < 0)
        return bad(in, QS_EUNSUPPORTED, "rope.scaling.yarn_log_multiplier", "cannot be run");
    if (ext > 1 || ext < 1)
        return bad(in, QS_EUNSUPPORTED, "rope.scaling.yarn_ext_factor", "%g cannot be run (1 can be)", ext);
    r->magnitude *= attn;
    return QS_OK;
}

static int read_rope(const struct in *in)
{
    struct qs_config *c = in->c;
    struct qs_rope_config *r = &c->rope[0];
    const struct qs_kv *type = find(in, "rope.scaling.type");
    double factor, old, attn;
    size_t orig;
    int rc = positive(in, "rope.freq_base", 10000, &r->base);
    if (rc == QS_OK)
        rc = size(in, "rope.dimension_count", c->dk, &r->n_rot);
    if (rc == QS_OK)
        rc = number(in, "rope.scale_linear", 0, &old);
    if (rc == QS_OK)
        rc = number(in, "rope.scaling.factor", old, &factor);
    if (rc == QS_OK)
        rc = positive(in, "rope.scaling.attn_factor", 1, &attn);
    if (rc == QS_OK)
        rc = size(in, "rope.scaling.original_context_length", c->n_ctx_train, &orig);
    if (rc != QS_OK)
        return rc;
    if (r->n_rot == 0 || r->n_rot % 2 != 0 || r->n_rot > c->dk)
        return bad(in, QS_EFORMAT, "rope.dimension_count", "is %zu for heads of %zu floats", r->n_rot, c->dk);
    if (factor < 0)
        return bad(in, QS_EFORMAT, "rope.scaling.factor", "is %g", factor);
    if (type && !is_text(type, "none") && !is_text(type, "linear") && !is_text(type, "yarn") &&
        !is_text(type, "longrope"))
        return bad(in, QS_EUNSUPPORTED, "rope.scaling.type", "a kind of RoPE scaling that cannot be run");
    r->n_ctx_orig = orig;
    r->freq_scale = factor > 0 && !is_text(type, "none") ? 1 / factor : 1;
    r->yarn = is_text(type, "yarn");
    r->smooth = (c->arch->flags & QS_ARCH_YARN_SMOOTH) != 0;
    r->magnitude = attn;
    rc = r->yarn ? read_yarn(in, r) : QS_OK;
    if (rc != QS_OK)
        return rc;
    c->rope[1] = *r;
    if (c->arch->flags & QS_ARCH_WINDOW_PLAIN_ROPE) {
        c->rope[1].freq_scale = c->rope[1].magnitude = 1;
        c->rope[1].yarn = false;
    }
    const double base = c->arch->window_rope_base > 0 ? c->arch->window_rope_base : r->base;
    return positive(in, "rope.freq_base_swa", base, &c->rope[1].base);
}

static int read_experts(const struct in *in)
{
    struct qs_config *c = in->c;
    size_t ff = c->max_ff;
    int rc = size(in, "expert_count", 0, &c->n_expert);
    if (rc == QS_OK)
        rc = size(in, "expert_used_count", 0, &c->n_expert_used);
    if (rc == QS_OK && c->arch->expert && c->n_expert == 0)
        rc = bad(in, QS_EFORMAT, "expert_count", "is not stated");
    if (rc != QS_OK || c->n_expert == 0)
        return rc;
    if (c->n_expert > 65536 || c->n_expert_used == 0 || c->n_expert_used > c->n_expert)
        return bad(in, QS_EFORMAT, "expert_used_count", "is %zu of %zu", c->n_expert_used, c->n_expert);
    if (c->n_expert_used > QS_EXPERTS_USED_MAX)
        return bad(in, QS_EUNSUPPORTED, "expert_used_count", "%zu experts for one token are too many (at most %d)",
                   c->n_expert_used, QS_EXPERTS_USED_MAX);
    rc = size(in, "expert_feed_forward_length", ff, &c->ff_expert);
    if (rc == QS_OK)
        rc = size(in, "expert_shared_feed_forward_length", ff, &c->ff_shared);
    double scale = 1;
    if (rc == QS_OK)
        rc = number(in, "expert_weights_scale", 1, &scale);
    c->expert_scale = scale > 0 || scale < 0 ? (float)scale : 1; /* 0 is written for "none" */
    c->expert_normalise = (c->arch->flags & QS_ARCH_EXPERT_NORMALISE) != 0;
    uint64_t flag;
    const struct qs_kv *normalise = find(in, "expert_weights_norm");
    if (normalise && qs_kv_u64(normalise, &flag))
        c->expert_normalise = flag != 0;
    if (rc == QS_OK && (c->ff_expert == 0 || c->ff_expert > WIDTH_MAX || c->ff_shared > WIDTH_MAX))
        rc = bad(in, QS_EFORMAT, "expert_feed_forward_length", "is %zu", c->ff_expert);
    return rc;
}

static int read_scales(const struct in *in)
{
    struct qs_config *c = in->c;
    double eps, embed, residual, attn, logit, attn_cap, final_cap;
    const bool wide = c->arch->wide_layers && c->n_layer == c->arch->wide_layers;
    const double head = wide ? (double)(c->n_embd / c->layer[0].n_head) : (double)c->dk;
    const double embed_default = c->arch->flags & QS_ARCH_EMBED_SCALE ? sqrt((double)c->n_embd) : 1;
    int rc = find(in, "attention.layer_norm_rms_epsilon")
                 ? positive(in, "attention.layer_norm_rms_epsilon", 1e-5, &eps)
                 : bad(in, QS_EFORMAT, "attention.layer_norm_rms_epsilon", "is not stated");
    if (rc == QS_OK)
        rc = number(in, "embedding_scale", embed_default, &embed);
    if (rc == QS_OK)
        rc = number(in, "residual_scale", 1, &residual);
    if (rc == QS_OK)
        rc = number(in, "attention.scale", 0, &attn);
    if (rc == QS_OK)
        rc = number(in, "logit_scale", 0, &logit);
    if (rc == QS_OK)
        rc = number(in, "attn_logit_softcapping", c->arch->attn_softcap, &attn_cap);
    if (rc == QS_OK)
        rc = number(in, "final_logit_softcapping", c->arch->final_softcap, &final_cap);
    if (rc == QS_OK && (attn_cap < 0 || final_cap < 0))
        rc = bad(in, QS_EFORMAT, "attn_logit_softcapping", "is negative");
    if (rc != QS_OK)
        return rc;
    c->norm = QS_NORM_RMS;
    c->eps = (float)eps;
    c->embed_scale = (float)embed;
    c->residual_scale = residual > 0 || residual < 0 ? (float)residual : 1;
    c->attn_scale = attn > 0 || attn < 0 ? (float)attn : (float)(1 / sqrt(head));
    c->logit_scale = logit > 0 || logit < 0 ? (float)(1 / logit) : 1;
    c->attn_softcap = (float)attn_cap;
    c->final_softcap = (float)final_cap;
    c->glu_alpha = 1.702f; /* of QS_GLU_OAI, as gpt-oss has them */
    c->glu_limit = 7.0f;
    return QS_OK;
}

/* ---- the whole ---- */

static int unknown(const struct qs_model *m, struct qs_err *e)
{
    struct qs_str names = QS_STR_INIT;
    for (size_t i = 0; qs_arch_at(i); i++)
        qs_str_addf(&names, "%s%s", i ? ", " : "", qs_arch_at(i)->people);
    int rc = qs_fail(e, QS_EUNSUPPORTED,
                     "%s: models of architecture '%s' can be looked at and quantized, but not run yet (can be run: %s)",
                     m->path, m->hp.arch, names.data);
    qs_str_free(&names);
    return rc;
}

int qs_config_new(const struct qs_model *m, struct qs_config **out, struct qs_err *e)
{
    *out = NULL;
    const struct qs_arch *arch = qs_arch_find(m->hp.arch);
    if (!arch)
        return unknown(m, e);
    struct qs_config *c = qs_calloc(1, sizeof *c);
    if (!c)
        return qs_fail_mem(e, sizeof *c, "a configuration");
    c->arch = arch;
    const struct in in = { m, c, e };
    int (*const part[])(const struct in *) = { read_shape, read_heads,   read_windows,
                                               read_rope,  read_experts, read_scales };
    int rc = QS_OK;
    for (size_t i = 0; rc == QS_OK && i < sizeof part / sizeof *part; i++)
        rc = part[i](&in);
    if (rc != QS_OK)
        qs_config_free(c);
    else
        *out = c;
    return rc;
}

void qs_config_free(struct qs_config *c)
{
    if (!c)
        return;
    qs_free(c->layer);
    qs_free(c);
}

/* ---- RoPE ---- */

/* The dimension pair whose wave turns `turns` times within the original context. */
static double ramp_end(const struct qs_rope_config *r, double turns)
{
    return (double)r->n_rot * log((double)r->n_ctx_orig / (turns * 2 * M_PI)) / (2 * log(r->base));
}

void qs_rope_angles(const struct qs_rope_config *r, const float *factor, size_t pos, float *out)
{
    double low = 0, high = 0;
    if (r->yarn) {
        low = ramp_end(r, r->beta_fast);
        high = ramp_end(r, r->beta_slow);
        if (!r->smooth) {
            low = floor(low);
            high = ceil(high);
        }
        low = fmax(0, low);
        high = fmin((double)r->n_rot - 1, high);
    }
    for (size_t i = 0; i < r->n_rot / 2; i++) {
        const double plain = pow(r->base, -2.0 * (double)i / (double)r->n_rot) / (factor ? (double)factor[i] : 1);
        double freq = plain * r->freq_scale;
        if (r->yarn) {
            const double keep = 1 - fmin(1, fmax(0, ((double)i - low) / fmax(0.001, high - low)));
            freq = freq * (1 - keep) + plain * keep;
        }
        const double angle = (double)pos * freq;
        out[2 * i] = (float)(cos(angle) * r->magnitude);
        out[2 * i + 1] = (float)(sin(angle) * r->magnitude);
    }
}
