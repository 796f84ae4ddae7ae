/* app_desk.c - makes the scratch folder, the apps and the frames of the tests of the app; see app_desk.h. */
#include "tests/ui/app_desk.h"

#include <poll.h>

#include "base/pool.h"
#include "base/unicode.h"
#include "tests/model/make_model.h"

const enum qs_tier app_tiers[4] = { QS_TIER_RGB, QS_TIER_256, QS_TIER_16, QS_TIER_MONO };

int app_folder(void **state)
{
    const struct mm_spec small = {
        .layers = 3, .embd = 256, .ff = 256, .heads = 4, .kv_heads = 2, .vocab = 64, .type = QS_F16
    };
    const struct mm_spec experts = {
        .layers = 2, .embd = 64, .ff = 64, .heads = 2, .kv_heads = 1, .vocab = 32, .experts = 4, .experts_used =
        2, .shared_expert = true, .dense_layers = 1, .type_set = true, .type = QS_F32, .untied = true
    };
    const struct mm_spec quantized = {
        .layers = 2, .embd = 64, .ff = 128, .heads = 2, .kv_heads = 1, .vocab = 32, .type = QS_Q8_0
    };
    const struct mm_spec empty = { .only_extra = true, .no_tokenizer = true };
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    if (!qs_test_home() || mm_file("small.gguf", &small, &e) || mm_file("experts.gguf", &experts, &e) ||
        mm_file("quantized.gguf", &quantized, &e) || mm_file("empty.gguf", &empty, &e)) {
        print_error("%s\n", e.msg);
        return -1;
    }
    qs_test_file("broken.gguf", "GGUF\3\0\0\0\377\377\377\377", 12);
    return 0;
}

struct qs_app *app_new(const char *path, enum qs_tier tier, bool unicode)
{
    const struct qs_app_args args = { .path = path, .threads = 1, .wake_fd = -1, .tier = tier, .unicode = unicode };
    struct qs_err e = QS_ERR_INIT;
    struct qs_app *a = NULL;
    if (qs_app_new(&args, &a, &e))
        fail_msg("%s", e.msg);
    return a;
}

/* Whatever is drawn: whole characters that do nothing to a terminal, in colours that the tier has. */
static void check_cells(const struct qs_app *a, const struct qs_cells *c, int row, int col)
{
    for (unsigned y = 0; y < c->rows; y++)
        for (unsigned x = 0; x < c->cols; x++) {
            const struct qs_glyph *g = qs_cells_at(c, y, x);
            const size_t n = strlen(g->text);
            const qs_color color[] = { g->style.fg, g->style.bg };
            assert_true(g->width ? n > 0 && x + g->width <= c->cols
                                 : !n && x > 0 && qs_cells_at(c, y, x - 1)->width == 2);
            for (size_t at = 0; at < n;) {
                const uint32_t cp = qs_utf8_next(g->text, n, &at);
                if (!qs_utf8_harmless(cp) || cp == 0xFFFD || (a->ascii && cp > 0x7E))
                    fail_msg("U+%04X at %u %u of %ux%u on %s", (unsigned)cp, y, x, c->cols, c->rows, a->screen->name);
            }
            for (size_t i = 0; i < 2; i++)
                assert_true(color[i] == QS_COLOR_DEFAULT || a->theme.tier == QS_TIER_RGB ||
                            (a->theme.tier == QS_TIER_256 && color[i] >> 24 == 2) ||
                            (a->theme.tier == QS_TIER_16 && color[i] >> 24 == 2 && (color[i] & 0xFF) < 16));
        }
    assert_true(row < (int)c->rows && col < (int)c->cols && (row < 0) == (col < 0));
}

void app_draw(struct qs_app *a, struct qs_cells *c)
{
    int row, col;
    qs_app_poll(a);
    qs_app_draw(a, c, &row, &col);
    assert_false(qs_app_dirty(a));
    check_cells(a, c, row, col);
}

void app_size(struct qs_cells *c, unsigned rows, unsigned cols)
{
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_cells_resize(c, rows, cols, &e), QS_OK);
}

void app_press(struct qs_app *a, uint32_t k)
{
    const struct qs_event ev = key(k);
    qs_app_event(a, &ev);
}

void app_type(struct qs_app *a, const char *text)
{
    for (; *text; text++)
        app_press(a, (unsigned char)*text);
}

void app_wait(struct qs_app *a, struct qs_cells *c)
{
    const double until = qs_now() + APP_PATIENCE;
    for (app_draw(a, c); !qs_app_idle(a); app_draw(a, c)) {
        if (qs_now() > until)
            fail_msg("work goes on for %d s", APP_PATIENCE);
        poll(NULL, 0, 1); /* nobody wakes us */
    }
}
