/* test_keys.c - the app under random keys, mouse, paste and sizes, with work going on: 10,000 events, or 100,000 with
 * QS_TORTURE; QS_SEED and QS_EVENTS choose another run.
 *
 * Nothing is written outside the scratch folder: what is typed into a line never holds a '/' or '~', so that no name
 * leads out of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/pool.h" /* run under the thread sanitizer too */
#include "base/unicode.h"
#include "tests/ui/app_desk.h"

struct fuzz { struct qs_app *app; struct qs_cells cells; uint32_t random; unsigned long apps, quits; };

static uint32_t pick(struct fuzz *f, uint32_t n) { return next_random(&f->random) % n; }

static const char *const words[] = {
    "q4_k", "Q8_0", "f16", "Q5_K_M", "attn", "ffn_(up|down)", "(", "blk.0 = Q6_K", "out.gguf", "b.recipe",
    "pic.svg", "pic.txt", "small.gguf", "experts.gguf", "quantized.gguf", "broken.gguf", "error", "bits",
    "-error", "on", "off", "dark", "mono", "frame-rate 7", "2MiB", "none", "\xC3\xA4\xE6\xBC\xA2", "x", ""
};

/* A key that some table has, where the fingers are likelier to be. */
static uint32_t table_key(struct fuzz *f)
{
    const struct qs_action *all[512];
    const size_t own = 40, n = qs_actions_here(f->app, all, 512);
    const struct qs_action *t = all[pick(f, pick(f, 2) ? (uint32_t)(n < own ? n : own) : (uint32_t)n)];
    char name[24];
    if (!t->keys)
        return ':';
    const char *second = strchr(t->keys, ' ');
    const char *at = second && pick(f, 2) ? second + 1 : t->keys;
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(at, " "), at);
    return qs_key_parse(name);
}

static void typed_word(struct fuzz *f)
{
    const char *w = words[pick(f, sizeof words / sizeof *words)];
    const size_t n = strlen(w);
    for (size_t at = 0; at < n;)
        app_press(f->app, qs_utf8_next(w, n, &at));
    app_press(f->app, pick(f, 4) ? QS_KEY_ENTER : QS_KEY_TAB);
}

/* ":command argument" */
static void typed_command(struct fuzz *f)
{
    const struct qs_action *all[512];
    const struct qs_action *t = all[pick(f, (uint32_t)qs_actions_here(f->app, all, 512))];
    if (strcmp(t->name, "quit!") == 0)
        return;
    app_press(f->app, ':');
    app_type(f->app, t->name);
    if (t->arg != QS_ARG_NONE) {
        app_press(f->app, ' ');
        typed_word(f);
    } else {
        app_press(f->app, QS_KEY_ENTER);
    }
}

static void one_event(struct fuzz *f)
{
    const uint32_t what = pick(f, 100);
    if (what < 45) {
        app_press(f->app, table_key(f));
    } else if (what < 55) {
        typed_word(f);
    } else if (what < 60) {
        typed_command(f);
    } else if (what < 63) {
        qs_app_event(f->app, &(struct qs_event){ .kind = QS_EVENT_BACKGROUND, .light = pick(f, 2) });
    } else if (what < 64) {
        qs_app_stray(f->app, "stray\n");
    } else {
        const struct qs_event ev = random_event(&f->random, f->cells.rows, f->cells.cols);
        const bool leads_out = ev.kind == QS_EVENT_KEY ? ev.key == '/' || ev.key == '~'
                                                       : ev.kind == QS_EVENT_PASTE && strpbrk(ev.text, "/~");
        if (!(leads_out && f->app->modal == QS_MODAL_PROMPT))
            qs_app_event(f->app, &ev);
    }
    const char *clipboard;
    qs_app_wish(f->app, &clipboard);
}

static void another_size(struct fuzz *f)
{
    static const unsigned large[][2] = { { 24, 80 }, { 60, 200 }, { 10, 40 }, { 40, 120 }, { 25, 80 } };
    const uint32_t i = pick(f, 8);
    app_size(&f->cells, i < 5 ? large[i][0] : 1 + pick(f, 60), i < 5 ? large[i][1] : 1 + pick(f, 200));
}

static void another_app(struct fuzz *f)
{
    static const char *const models[] = { "small.gguf", "experts.gguf", "quantized.gguf", NULL };
    qs_app_free(f->app);
    f->app = app_new(models[pick(f, 4)], app_tiers[pick(f, 4)], pick(f, 3) > 0);
    f->apps++;
}

static unsigned long number(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoul(text, NULL, 10) : otherwise;
}

static void test_random_keys(void **state)
{
    (void)state;
    const unsigned long seed = number("QS_SEED", getenv("QS_TORTURE") ? (unsigned long)getpid() : 1);
    const unsigned long n = number("QS_EVENTS", getenv("QS_TORTURE") ? 100000 : 10000);
    struct fuzz f = { .cells = QS_CELLS_INIT, .random = (uint32_t)seed * 2654435761u | 1 };
    print_message("QS_SEED=%lu QS_EVENTS=%lu\n", seed, n);
    app_size(&f.cells, 24, 80);
    another_app(&f);
    for (unsigned long i = 0; i < n; i++) {
        one_event(&f);
        if (pick(&f, 25) == 0)
            another_size(&f);
        if (pick(&f, 8)) /* now and then several within one frame */
            app_draw(f.app, &f.cells);
        f.quits += qs_app_quits(f.app);
        if (qs_app_quits(f.app) ? pick(&f, 8) == 0 : pick(&f, 2000) == 0)
            another_app(&f);
        f.app->quit = false; /* long lives find more */
    }
    print_message("%lu apps, left by keys %lu times\n", f.apps, f.quits);
    qs_app_free(f.app);
    qs_cells_free(&f.cells);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random_keys) };
    return cmocka_run_group_tests(tests, app_folder, NULL);
}
