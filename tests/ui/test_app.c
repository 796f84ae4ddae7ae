/* test_app.c - the app without a terminal: tables of keys, every screen at every size, tiers and themes, hostile names,
 * keys within a frame, documents that come and go.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/pool.h" /* run under the thread sanitizer too */
#include "tests/model/make_model.h"
#include "tests/ui/app_desk.h"

/* ---- tables ---- */

static void check_action(const char *screen, const struct qs_action *t)
{
    char name[24];
    if (!t->help || !*t->help || isupper((unsigned char)t->help[0]) || t->help[strlen(t->help) - 1] == '.')
        fail_msg("%s: %s: help is one line in lower case", screen, t->name);
    assert_non_null(t->run);
    assert_true(strlen(t->name) < 24 && !strchr(t->name, ' '));
    assert_true((t->arg == QS_ARG_WORDS) == (t->words != NULL));
    assert_true(t->keys || !t->brief);
    assert_true(t->arg != QS_ARG_NONE || !t->arg_optional);
    for (const char *at = t->keys; at && *at;) {
        const size_t n = strcspn(at, " ");
        assert_true(n > 0 && n < sizeof name);
        (void)snprintf(name, sizeof name, "%.*s", (int)n, at);
        if (qs_key_parse(name) == QS_KEY_NONE)
            fail_msg("%s: %s: %s is no key", screen, t->name, name);
        at += n + (at[n] == ' ');
    }
}

/* The first key that both have; none: NULL. */
static const char *common_key(const struct qs_action *a, const struct qs_action *b)
{
    static char name[24];
    for (const char *at = a->keys; at && *at;) {
        const size_t n = strcspn(at, " ");
        (void)snprintf(name, sizeof name, "%.*s", (int)n, at);
        if (qs_action_has_key(b, qs_key_parse(name)))
            return name;
        at += n + (at[n] == ' ');
    }
    return NULL;
}

static void check_table(const char *screen, const struct qs_action *table)
{
    for (const struct qs_action *t = table; t->name; t++) {
        check_action(screen, t);
        for (const struct qs_action *u = t + 1; u->name; u++) {
            if (strcmp(t->name, u->name) == 0)
                fail_msg("%s: two commands are called %s", screen, t->name);
            if (common_key(t, u))
                fail_msg("%s: %s and %s have the key %s", screen, t->name, u->name, common_key(t, u));
        }
    }
}

static void test_tables(void **state)
{
    (void)state;
    check_table("everywhere", qs_global_actions);
    for (size_t i = 0; qs_screens[i]; i++) {
        check_table(qs_screens[i]->name, qs_screens[i]->actions);
        /* What a key means everywhere it means here too, but for Esc, which leads out of what is nearest. */
        for (const struct qs_action *t = qs_screens[i]->actions; t->name; t++)
            for (const struct qs_action *g = qs_global_actions; g->name; g++) {
                const char *k = common_key(t, g);
                if ((k && strcmp(k, "Esc") != 0) || strcmp(t->name, g->name) == 0)
                    fail_msg("%s: %s hides %s", qs_screens[i]->name, t->name, g->name);
            }
    }
}

/* ---- every screen at every size ---- */

static const unsigned some_rows[] = { 1, 2, 3, 4, 6, 8, 9, 10, 11, 13, 16, 20, 23, 24, 25, 30, 36, 40, 50, 60 };
static const unsigned some_cols[] = { 1,  2,  3,  5,  8,  13, 20, 30, 38,  39,  40,  41,
                                      50, 60, 69, 79, 80, 81, 95, 96, 100, 119, 120, 200 };

/* With QS_REDUCED a different fifth of them each time. */
static void draw_all_sizes(struct qs_app *a, struct qs_cells *c)
{
    static size_t turn;
    const size_t every = getenv("QS_REDUCED") ? 5 : 1;
    turn++;
    for (size_t y = 0; y < sizeof some_rows / sizeof *some_rows; y++)
        for (size_t x = (turn + y) % every; x < sizeof some_cols / sizeof *some_cols; x += every) {
            app_size(c, some_rows[y], some_cols[x]);
            app_draw(a, c);
        }
    app_size(c, 24, 80);
    app_draw(a, c);
}

static void go_to(struct qs_app *a, struct qs_cells *c, const struct qs_screen *s)
{
    qs_app_go(a, s);
    app_draw(a, c);
    assert_ptr_equal(qs_app_screen(a), s);
}

static void test_sizes(void **state)
{
    (void)state;
    static const char *const over[] = { "palette", "command", "types", "preset", "write", "quit" };
    for (int form = 0; form < 4; form++) { /* with and without a model, UTF-8 and ASCII */
        struct qs_app *a = app_new(form < 2 ? "small.gguf" : NULL, app_tiers[form], form % 2 == 0);
        struct qs_cells c = QS_CELLS_INIT;
        app_size(&c, 24, 80);
        app_wait(a, &c);
        if (form < 2) { /* a job with tensors, a comparison, a zoom */
            qs_app_run(a, form ? "write sizes1.gguf" : "write sizes0.gguf");
            qs_app_run(a, "compare Q8_0");
            qs_app_run(a, "map");
            app_press(a, QS_KEY_ENTER);
            app_wait(a, &c);
            assert_ptr_equal(qs_app_screen(a), &qs_screen_zoom);
        }
        for (size_t i = 0; qs_screens[i]; i++) {
            go_to(a, &c, qs_screens[i]);
            draw_all_sizes(a, &c);
        }
        app_size(&c, 1, 1); /* goes on though it is too small */
        app_draw(a, &c);
        app_press(a, 'i');
        for (size_t i = 0; qs_screens[i]; i++) {
            go_to(a, &c, qs_screens[i]);
            draw_all_sizes(a, &c);
        }
        for (size_t i = 0; i < sizeof over / sizeof *over; i++) {
            qs_app_run(a, over[i]);
            draw_all_sizes(a, &c);
            app_press(a, QS_KEY_TAB);
            app_type(a, "e");
            draw_all_sizes(a, &c);
            qs_modal_close(a);
        }
        qs_cells_free(&c);
        qs_app_free(a);
    }
}

static void test_tiers_and_themes(void **state)
{
    (void)state;
    struct qs_str themes = QS_STR_INIT;
    qs_theme_list(&themes);
    for (size_t i = 0; i < sizeof app_tiers / sizeof *app_tiers; i++) {
        struct qs_app *a = app_new("small.gguf", app_tiers[i], true);
        struct qs_cells c = QS_CELLS_INIT;
        struct qs_err e = QS_ERR_INIT;
        app_size(&c, 40, 130);
        app_wait(a, &c);
        for (const char *at = themes.data; *at;) {
            char name[64];
            const size_t n = strcspn(at, "\n");
            (void)snprintf(name, sizeof name, "%.*s", (int)n, at);
            at += n + 1;
            if (qs_app_set_theme(a, name, &e))
                fail_msg("%s", e.msg);
            for (size_t s = 0; qs_screens[s]; s++)
                go_to(a, &c, qs_screens[s]);
        }
        qs_cells_free(&c);
        qs_app_free(a);
    }
    qs_str_free(&themes);
}

/* ---- hostile names ---- */

/* Escape sequences, a control character of two bytes, one that turns the direction; @@ becomes bytes that are no
 * UTF-8. */
#define EVIL "\033[2J\033]0;title\a\xC2\x9B" "31m\xE2\x80\xAE\r\n@@"

static void make_invalid(const char *path)
{
    char *data = NULL;
    size_t n = 0;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_file_read(path, 1u << 24, &data, &n, &e), QS_OK);
    for (char *at = data; (at = memmem(at, n - (size_t)(at - data), "@@", 2)) != NULL; at += 2)
        memcpy(at, "\x9B\xFF", 2);
    qs_test_write(path, data, n);
    qs_free(data);
}

static bool shows(const struct qs_cells *c, const char *text)
{
    struct qs_str all = QS_STR_INIT;
    qs_cells_text(c, &all);
    const bool found = !all.failed && strstr(all.data, text);
    qs_str_free(&all);
    return found;
}

static void test_hostile_names(void **state)
{
    (void)state;
    static const char *const meta[] = { "general.name=str:n" EVIL, "general.author=str:" EVIL,
                                        "tokenizer.chat_template=str:{{" EVIL, NULL };
    static const char recipe[] = "preset = Q4_K_M\033\nattn\033[31m = Q8_0\n";
    static const char file[] = "evil\033[31m\xE2\x80\xAE\a.gguf";
    static const struct mm_tensor extra[] = {
        { .name = "blk.0.\xE2\x80\xAE" "evil.weight", .n_dims = 2, .ne = { 64, 64, 1, 1 }, .type = QS_F32 }
    };
    const struct mm_spec spec = {
        .layers = 1, .embd = 64, .ff = 64, .heads = 2, .kv_heads = 1, .vocab = 32, .type = QS_F16, .meta = meta,
        .extra = extra, .n_extra = 1
    };
    struct qs_err e = QS_ERR_INIT;
    if (mm_file(file, &spec, &e))
        fail_msg("%s", e.msg);
    make_invalid(file);
    qs_test_write("evil\033c.recipe", recipe, strlen(recipe));
    for (int ascii = 0; ascii < 2; ascii++) {
        struct qs_app *a = app_new(file, QS_TIER_RGB, !ascii);
        struct qs_cells c = QS_CELLS_INIT;
        app_size(&c, 50, 160);
        app_wait(a, &c);
        if (!qs_app_doc(a))
            fail_msg("%s", qs_workbench_open_error(qs_app_bench(a))->msg);
        assert_true(shows(&c, "\\x1B"));
        app_press(a, 'm'); /* all metadata */
        app_draw(a, &c);
        qs_app_run(a, "raise");
        qs_app_run(a, "recipe-load evil\033c.recipe");
        app_draw(a, &c);
        qs_app_run(a, "recipe-save out\033[5m.recipe");
        app_draw(a, &c);
        qs_app_run(a, "rule \033[31m\x9B = Q8_0");
        app_draw(a, &c);
        qs_app_run(a, "search \033\a");
        app_draw(a, &c);
        qs_app_run(a, "compare evil\033c.recipe");
        qs_app_run(a, "no\033[31m command");
        app_draw(a, &c);
        qs_app_run(a, "set no\033 thing\033");
        app_draw(a, &c);
        qs_app_run(a, "theme \033/x");
        app_draw(a, &c);
        qs_app_run(a, "open gone\033[31m.gguf");
        app_wait(a, &c);
        qs_app_run(a, "write written\033[31m.gguf");
        app_wait(a, &c);
        qs_app_stray(a, "from a library: " EVIL "\nand more" EVIL);
        for (size_t s = 0; qs_screens[s]; s++) {
            go_to(a, &c, qs_screens[s]);
            for (int i = 0; i < 80; i++) {
                app_press(a, QS_KEY_DOWN);
                app_draw(a, &c);
            }
        }
        go_to(a, &c, &qs_screen_tensors);
        app_press(a, 'G'); /* the tensor with the evil name */
        app_press(a, QS_KEY_ENTER);
        app_wait(a, &c);
        static const char *const lines[] = { "open ev", "recipe-load ev", "filter ", "search " };
        for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) { /* what completion lists */
            qs_app_command(a, lines[i]);
            app_press(a, QS_KEY_TAB);
            app_draw(a, &c);
            app_press(a, QS_KEY_TAB);
            app_draw(a, &c);
            qs_modal_close(a);
        }
        qs_app_run(a, "write");
        app_draw(a, &c);
        qs_modal_close(a);
        go_to(a, &c, &qs_screen_overview);
        app_press(a, 'M'); /* the list of models has the file too */
        app_wait(a, &c);
        assert_true(shows(&c, "evil\\x1B"));
        qs_cells_free(&c);
        qs_app_free(a);
    }
}

/* ---- keys before the next frame ---- */

/* What is pressed within one frame means what it would have meant one by one. */
static void test_keys_within_a_frame(void **state)
{
    (void)state;
    struct qs_app *a = app_new("small.gguf", QS_TIER_RGB, true);
    struct qs_cells c = QS_CELLS_INIT;
    app_size(&c, 24, 80);
    app_wait(a, &c);
    app_type(a, "2+");
    assert_int_equal(qs_app_doc(a)->recipe->n_pins, 1);
    app_type(a, "4Gkkx"); /* new rule, gap, pin or the line above it: nothing but a pin may go */
    app_type(a, "xxxx");
    app_draw(a, &c);
    app_type(a, "3+u");
    app_draw(a, &c);
    app_type(a, "2\r+-vsdm3z=\r"); /* looks into a tensor, and on at once */
    app_draw(a, &c);
    qs_app_run(a, "undo");
    app_type(a, "4ax = Q8_0\rGkxxxux/x\rn");
    app_draw(a, &c);
    assert_int_equal(qs_app_doc(a)->recipe->n_rules, 0);
    qs_cells_free(&c);
    qs_app_free(a);
}

/* Every command by its name, on every screen, where no model is open: said why not, or asked for more, or done. */
static void test_commands_without_a_model(void **state)
{
    (void)state;
    struct qs_app *a = app_new(NULL, QS_TIER_RGB, true);
    struct qs_cells c = QS_CELLS_INIT;
    const struct qs_action *all[512];
    app_size(&c, 24, 80);
    app_wait(a, &c);
    for (size_t s = 0; qs_screens[s]; s++) {
        const size_t n = qs_actions_here(a, all, 512);
        for (size_t i = 0; i < n; i++) {
            char line[64];
            if (strcmp(all[i]->name, "open-this") == 0)
                continue;
            qs_app_go(a, qs_screens[s]);
            qs_app_run(a, all[i]->name);
            app_draw(a, &c);
            qs_modal_close(a);
            (void)snprintf(line, sizeof line, "%s x", all[i]->name);
            if (all[i]->arg != QS_ARG_NONE && all[i]->arg != QS_ARG_FILE)
                qs_app_run(a, line);
            app_draw(a, &c);
            qs_modal_close(a);
        }
    }
    assert_null(qs_app_doc(a));
    qs_cells_free(&c);
    qs_app_free(a);
}

/* A document in place of another: what was open over the screen, marked or zoomed into is gone with it. */
static void test_documents(void **state)
{
    (void)state;
    static const char *const next[] = { "experts.gguf", "quantized.gguf", "broken.gguf", "small.gguf", "empty.gguf" };
    struct qs_app *a = app_new("small.gguf", QS_TIER_RGB, true);
    struct qs_cells c = QS_CELLS_INIT;
    char line[64];
    app_size(&c, 40, 120);
    app_wait(a, &c);
    for (size_t s = 0; qs_screens[s]; s++)
        for (size_t i = 0; i < sizeof next / sizeof *next; i++) {
            go_to(a, &c, &qs_screen_map);
            app_type(a, "rG r");
            app_press(a, QS_KEY_ENTER); /* zoom, still at work perhaps */
            go_to(a, &c, qs_screens[s]);
            app_type(a, "jjG");
            (void)snprintf(line, sizeof line, "open %s", next[i]);
            qs_app_run(a, line);
            app_type(a, "t"); /* a list lies over the screen when the model comes */
            app_draw(a, &c);
            app_wait(a, &c);
            app_type(a, "k jl+-");
            app_draw(a, &c);
            qs_modal_close(a);
        }
    qs_cells_free(&c);
    qs_app_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables), cmocka_unit_test(test_sizes), cmocka_unit_test(test_tiers_and_themes),
        cmocka_unit_test(test_hostile_names), cmocka_unit_test(test_keys_within_a_frame),
        cmocka_unit_test(test_commands_without_a_model), cmocka_unit_test(test_documents),
    };
    return cmocka_run_group_tests(tests, app_folder, NULL);
}
