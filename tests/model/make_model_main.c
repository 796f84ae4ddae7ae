/* make_model_main.c - the model-maker as a program, for shell tests: make_model PATH [word=value]... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/make_model.h"

static const char usage[] =
    "usage: make_model PATH [layers=2 embd=256 ff=512 heads=4 kv_heads=2 vocab=512 ctx=512 head_dim=0 experts=0\n"
    "       experts_used=2 expert_ff=0 dense_layers=0 seed=0 alignment=32 parts=1 type=F16 arch=llama name=...\n"
    "       fill=random|sparse flags=untied,fused_qkv,qk_norms,post_norms,biases,no_gate,shared_expert,no_tokenizer,\n"
    "             byte_tokens]\n";

static unsigned number(const char *s)
{
    return (unsigned)strtoul(s, NULL, 10);
}

static bool set_number(struct mm_spec *s, const char *word, size_t n, const char *value)
{
    const struct { const char *word; unsigned *to; } words[] = {
        {"layers", &s->layers}, {"embd", &s->embd}, {"ff", &s->ff}, {"heads", &s->heads}, {"kv_heads", &s->kv_heads},
        {"vocab", &s->vocab}, {"ctx", &s->ctx}, {"head_dim", &s->head_dim}, {"experts", &s->experts},
        {"experts_used", &s->experts_used}, {"expert_ff", &s->expert_ff}, {"dense_layers", &s->dense_layers},
        {"alignment", &s->alignment}, {"parts", &s->parts},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i].word) == n && strncmp(words[i].word, word, n) == 0) {
            *words[i].to = number(value);
            return true;
        }
    return false;
}

static bool set_flags(struct mm_spec *s, const char *value)
{
    const struct { const char *word; bool *to; } words[] = {
        { "untied", &s->untied },
        { "fused_qkv", &s->fused_qkv },
        { "qk_norms", &s->qk_norms },
        { "post_norms", &s->post_norms },
        { "biases", &s->biases },
        { "no_gate", &s->no_gate },
        { "shared_expert", &s->shared_expert },
        { "no_tokenizer", &s->no_tokenizer },
        { "byte_tokens", &s->byte_tokens },
    };
    while (*value) {
        size_t n = strcspn(value, ","), i = 0, count = sizeof words / sizeof *words;
        while (i < count && (strlen(words[i].word) != n || strncmp(words[i].word, value, n) != 0))
            i++;
        if (i == count)
            return false;
        *words[i].to = true;
        value += n + (value[n] == ',');
    }
    return true;
}

static bool set_word(struct mm_spec *s, const char *arg)
{
    const char *equals = strchr(arg, '=');
    if (!equals)
        return false;
    size_t n = (size_t)(equals - arg);
    const char *v = equals + 1;
    if (set_number(s, arg, n, v))
        return true;
    if (strncmp(arg, "seed=", 5) == 0)
        s->seed = number(v);
    else if (strncmp(arg, "arch=", 5) == 0)
        s->arch = v;
    else if (strncmp(arg, "name=", 5) == 0)
        s->name = v;
    else if (strncmp(arg, "flags=", 6) == 0)
        return set_flags(s, v);
    else if (strncmp(arg, "fill=", 5) == 0)
        s->fill = strcmp(v, "sparse") == 0 ? MM_SPARSE : MM_RANDOM;
    else if (strncmp(arg, "type=", 5) == 0 && qs_format_by_name(v)) {
        s->type = qs_format_by_name(v)->id;
        s->type_set = true;
    } else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    struct mm_spec s = { 0 };
    struct qs_err e = QS_ERR_INIT;
    for (int i = 2; i < argc; i++)
        if (!set_word(&s, argv[i])) {
            fprintf(stderr, "make_model: %s\n%s", argv[i], usage);
            return 2;
        }
    if (argc < 2) {
        fputs(usage, stderr);
        return 2;
    }
    if (mm_file(argv[1], &s, &e) != QS_OK) {
        fprintf(stderr, "make_model: %s\n", e.msg);
        return 1;
    }
    return 0;
}
