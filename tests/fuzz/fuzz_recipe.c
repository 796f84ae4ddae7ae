/* fuzz_recipe.c - any bytes as a recipe: what is accepted prints and reads back as the same, can be edited, applied to
 * a small model and exported; what is refused says why. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/quant/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
    if (!truth)
        abort();
}

static struct qs_tensor tensor[6];
static struct qs_model model;

static void make_model(void)
{
    static const char *const name[] = { "token_embd.weight", "output.weight", "blk.0.attn_norm.weight",
                                        "blk.0.attn_q.weight", "blk.0.attn_v.weight", "blk.0.ffn_down.weight" };
    for (size_t i = 0; i < 6; i++) {
        uint64_t cols = i == 5 ? 320 : 256, rows = i == 2 ? 1 : 64;
        int type = i == 2 ? QS_F32 : QS_F16;
        tensor[i] = (struct qs_tensor){ .name = name[i], .type = type, .format = qs_format_by_id(type), .layer = -1,
                                        .n_dims = i == 2 ? 1 : 2, .ne = { cols, rows, 1, 1 }, .n = cols * rows,
                                        .rows = rows };
    }
    memcpy(model.hp.arch, "llama", 6);
    model.hp.n_layer = 1;
    model.hp.n_head = model.hp.n_head_kv = 4;
    model.tensor = tensor;
    model.n_tensors = 6;
}

static void same_items(const struct qs_recipe_item *a, size_t na, const struct qs_recipe_item *b, size_t nb)
{
    must(na == nb);
    for (size_t i = 0; i < na; i++)
        must(a[i].type == b[i].type && strcmp(a[i].pattern, b[i].pattern) == 0);
}

static void same(const struct qs_recipe *a, const struct qs_recipe *b)
{
    must(a->preset == b->preset && a->pure == b->pure && a->leave_output == b->leave_output && a->strict == b->strict);
    must(a->steady == b->steady);
    must(a->output_type == b->output_type && a->token_embd_type == b->token_embd_type);
    same_items(a->pin, a->n_pins, b->pin, b->n_pins);
    same_items(a->rule, a->n_rules, b->rule, b->n_rules);
}

/* Printed and read again: the same recipe, and the same text from then on. */
static void round_trip(const struct qs_recipe *r)
{
    struct qs_str one = QS_STR_INIT, two = QS_STR_INIT;
    struct qs_recipe *again = NULL;
    struct qs_err e = QS_ERR_INIT;
    must(qs_recipe_print(r, &one, &e) == QS_OK);
    must(qs_recipe_parse("again", one.data, one.len, &again, &e) == QS_OK);
    same(r, again);
    must(qs_recipe_print(again, &two, &e) == QS_OK);
    must(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
    qs_recipe_free(again);
    qs_str_free(&one);
    qs_str_free(&two);
}

static void edit(const struct qs_recipe *r, const uint8_t *data, size_t size)
{
    struct qs_recipe *c = NULL;
    struct qs_err e = QS_ERR_INIT;
    must(qs_recipe_copy(r, &c, &e) == QS_OK);
    same(r, c);
    char *name = qs_strndup((const char *)data, size < 40 ? size : 40);
    must(name != NULL);
    if (qs_recipe_pin(c, name, QS_Q8_0, &e) == QS_OK)
        round_trip(c);
    if (qs_recipe_add_rule(c, name, QS_Q6_K, &e) == QS_OK)
        round_trip(c);
    if (c->n_pins)
        must(qs_recipe_pin(c, r->n_pins ? r->pin[0].pattern : name, QS_TYPE_NONE, &e) == QS_OK);
    c->strict = !c->strict;
    c->steady = !c->steady;
    c->output_type = c->output_type == QS_TYPE_NONE ? QS_F16 : QS_TYPE_NONE;
    round_trip(c);
    qs_free(name);
    qs_recipe_free(c);
}

static void apply(const struct qs_recipe *r)
{
    struct qs_resolved *x = NULL;
    struct qs_err e = QS_ERR_INIT;
    struct qs_str file = QS_STR_INIT, args = QS_STR_INIT;
    if (qs_recipe_resolve(r, &model, true, true, &x, &e) == QS_OK) {
        for (size_t i = 0; i < model.n_tensors; i++)
            must(qs_format_by_id(x->choice[i].type) != NULL && x->choice[i].reason[0] != 0);
        qs_resolved_free(x);
    } else {
        must(e.msg[0] != 0 && x == NULL);
    }
    if (qs_recipe_export_llama(r, &model, false, &file, &args, &e) != QS_OK)
        must(e.msg[0] != 0);
    qs_str_free(&file);
    qs_str_free(&args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_recipe *r = NULL;
    uint64_t held = qs_mem_in_use();
    if (!model.tensor)
        make_model();
    if (qs_recipe_parse("fuzz", (const char *)data, size, &r, &e) != QS_OK) {
        must(e.code != QS_OK && e.msg[0] && !r);
    } else {
        round_trip(r);
        edit(r, data, size);
        apply(r);
    }
    qs_recipe_free(r);
    must(qs_mem_in_use() == held);
    return 0;
}
