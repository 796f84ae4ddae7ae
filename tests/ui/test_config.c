/* test_config.c - the settings: values and defaults, messages, what saving leaves alone, writing that fails. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "tests/lib/qs_test.h"
#include "ui/config.h"

static char path[4096]; /* of the settings file of the test now running */

static int setup(void **state)
{
    static unsigned n;
    (void)state;
    (void)snprintf(path, sizeof path, "%s/%u", qs_test_tmp(), n++);
    assert_int_equal(setenv("XDG_CONFIG_HOME", path, 1), 0);
    (void)strncat(path, "/quantscape", sizeof path - strlen(path) - 1);
    qs_test_mkdirs(path);
    (void)strncat(path, "/config", sizeof path - strlen(path) - 1);
    return 0;
}

static struct qs_settings *load(void)
{
    struct qs_settings *c;
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_settings_load(NULL, &c, &e), QS_OK);
    assert_string_equal(qs_settings_path(c), path);
    return c;
}

static struct qs_settings *load_text(const char *text)
{
    qs_test_write(path, text, strlen(text));
    return load();
}

static void set(struct qs_settings *c, const char *key, const char *value)
{
    struct qs_err e = QS_ERR_INIT;
    assert_int_equal(qs_settings_set(c, key, value, &e), QS_OK);
}

static void expect_file(const char *text)
{
    char *data;
    size_t n;
    assert_int_equal(qs_file_read(path, 1 << 20, &data, &n, NULL), QS_OK);
    assert_string_equal(data, text);
    qs_free(data);
}

/* Loads `before`, sets one thing, saves: the file is `after`. */
static void edited(const char *before, const char *key, const char *value, const char *after)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_settings *c = load_text(before);
    set(c, key, value);
    assert_int_equal(qs_settings_save(c, &e), QS_OK);
    qs_settings_free(c);
    expect_file(after);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static void expect_defaults(const struct qs_settings *c)
{
    assert_string_equal(qs_settings_text(c, QS_CONF_THEME), "auto");
    assert_int_equal(qs_settings_choice(c, QS_CONF_COLOR), QS_CONF_COLOR_AUTO);
    assert_int_equal(qs_settings_choice(c, QS_CONF_UNICODE), QS_CONF_UNICODE_AUTO);
    assert_true(qs_settings_bool(c, QS_CONF_MOUSE));
    assert_string_equal(qs_settings_text(c, QS_CONF_PRESET), "Q4_K_M");
    assert_int_equal(qs_settings_choice(c, QS_CONF_CELLS), QS_CONF_CELLS_AUTO);
    assert_true(qs_settings_bool(c, QS_CONF_CONFIRM_QUIT));
    assert_int_equal(qs_settings_number(c, QS_CONF_FRAME_RATE), 30);
    assert_true(qs_settings_bool(c, QS_CONF_SYNC));
    assert_int_equal(qs_settings_number(c, QS_CONF_THREADS), 0);
}

static void test_no_file(void **state)
{
    (void)state;
    struct qs_settings *c = load();
    expect_defaults(c);
    assert_null(qs_settings_problem(c, 0));
    for (unsigned i = 0; i < QS_CONF_COUNT; i++)
        assert_false(qs_settings_is_set(c, (enum qs_setting)i));
    assert_int_equal(qs_settings_save(c, NULL), QS_OK); /* nothing to write */
    assert_false(qs_file_exists(path));
    qs_settings_free(c);
}

/* Every default is a value of its own setting, and the file of them is one that says nothing new. */
static void test_default_file(void **state)
{
    struct qs_str text = QS_STR_INIT;
    (void)state;
    qs_settings_default_text(&text);
    assert_false(text.failed);
    struct qs_settings *c = load_text(text.data);
    qs_str_free(&text);
    assert_null(qs_settings_problem(c, 0));
    expect_defaults(c);
    for (unsigned i = 0; i < QS_CONF_COUNT; i++) {
        const struct qs_setting_def *d = qs_setting((enum qs_setting)i);
        assert_true(qs_settings_is_set(c, (enum qs_setting)i));
        assert_string_equal(qs_settings_text(c, (enum qs_setting)i), d->otherwise);
        assert_true(d->help && d->help[0] && qs_setting_kind_name(d->kind)[0]);
        assert_true((d->kind == QS_SETTING_BOOL || d->kind == QS_SETTING_CHOICE) == (d->choices != NULL));
    }
    qs_settings_free(c);
}

static void test_values(void **state)
{
    (void)state;
    struct qs_settings *c = load_text("\xEF\xBB\xBFtheme = my theme  # of mine\r\n"
                                    "  COLOR=16\n"
                                    "unicode\t=\tOFF\n"
                                    "# mouse = on\n"
                                    "mouse = no\n"
                                    "preset = q6_k\n"
                                    "cells = full#no-comment\n"
                                    "frame-rate = 1\n"
                                    "sync = False\n"
                                    "threads = 1024");
    assert_string_equal(qs_settings_text(c, QS_CONF_THEME), "my theme");
    assert_int_equal(qs_settings_choice(c, QS_CONF_COLOR), QS_CONF_COLOR_16);
    assert_int_equal(qs_settings_choice(c, QS_CONF_UNICODE), QS_CONF_UNICODE_OFF);
    assert_false(qs_settings_bool(c, QS_CONF_MOUSE));
    assert_string_equal(qs_settings_text(c, QS_CONF_PRESET), "q6_k");
    assert_int_equal(qs_settings_number(c, QS_CONF_FRAME_RATE), 1);
    assert_false(qs_settings_bool(c, QS_CONF_SYNC));
    assert_int_equal(qs_settings_number(c, QS_CONF_THREADS), 1024);
    assert_non_null(strstr(qs_settings_problem(c, 0), ":7: cells is one of auto half full, not 'full#no-comment'"));
    assert_null(qs_settings_problem(c, 1));
    qs_settings_free(c);
}

static void test_problems(void **state)
{
    static const struct { const char *line, *says; } cases[] = {
        { "them = dark", "no setting 'them'; did you mean theme?" },
        { "frame-rate = 31", "a whole number from 1 to 30, not '31'" },
        { "frame-rate = 0", "a whole number from 1 to 30" },
        { "threads = -1", "from 0 to 1024, not '-1'" },
        { "threads = 99999999999999999999", "from 0 to 1024" },
        { "threads = 4x", "from 0 to 1024" },
        { "mouse = maybe", "mouse is on or off, not 'maybe'" },
        { "color = on off", "color is one of" },
        { "color =", "color is one of" },
        { "theme =   # nothing", "theme is a text" },
        { "theme = a\033[31mb", "theme is a text" },
        { "theme = \xff\xfe", "theme is a text" },
        { "preset = Q4_K_N", "no preset; did you mean Q4_K_M" },
        { "just words", "expected key = value" },
        { "= dark", "expected key = value" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256], where[5000];
        (void)snprintf(text, sizeof text, "# first\n%s\nsync = off\n", cases[i].line);
        (void)snprintf(where, sizeof where, "%s:2: ", path);
        struct qs_settings *c = load_text(text);
        const char *said = qs_settings_problem(c, 0);
        assert_non_null(said);
        assert_int_equal(strncmp(said, where, strlen(where)), 0);
        if (!strstr(said, cases[i].says))
            fail_msg("\"%s\": \"%s\" does not say \"%s\"", cases[i].line, said, cases[i].says);
        for (const char *p = said; *p; p++)
            assert_true((unsigned char)*p >= 0x20 && *p != 0x7F);
        assert_null(qs_settings_problem(c, 1)); /* one message each, and the next line counts */
        assert_false(qs_settings_bool(c, QS_CONF_SYNC));
        qs_test_write(path, "", 0);
        qs_settings_free(c);
    }
}

static void test_twice(void **state)
{
    (void)state;
    struct qs_settings *c = load_text("theme = a\ntheme = b\nmouse = off\nmouse = perhaps\n");
    assert_string_equal(qs_settings_text(c, QS_CONF_THEME), "b");
    assert_false(qs_settings_bool(c, QS_CONF_MOUSE)); /* what cannot be read takes nothing back */
    assert_non_null(strstr(qs_settings_problem(c, 0), ":2: theme was set in line 1 already"));
    assert_non_null(strstr(qs_settings_problem(c, 1), ":4: mouse is on or off"));
    assert_null(qs_settings_problem(c, 2));
    qs_settings_free(c);
    edited("theme = a\ntheme = b\n", "theme", "c", "theme = a\ntheme = c\n");
}

static void test_hostile_files(void **state)
{
    struct qs_settings *c;
    (void)state;
    char *big = qs_malloc(1 << 20);
    assert_non_null(big);
    memset(big, 'x', 1 << 20);
    qs_test_write(path, big, 1 << 20); /* too large */
    c = load();
    assert_non_null(qs_settings_problem(c, 0));
    expect_defaults(c);
    set(c, "theme", "dark");
    assert_int_not_equal(qs_settings_save(c, NULL), QS_OK); /* what could not be read is not replaced */
    qs_settings_free(c);
    for (size_t i = 0; i < 200000; i++) /* a hundred thousand wrong lines */
        big[i] = i % 2 ? '\n' : '=';
    qs_test_write(path, big, 200000);
    c = load();
    size_t n = 0;
    while (qs_settings_problem(c, n))
        n++;
    assert_int_equal(n, 100);
    qs_settings_free(c);
    uint32_t seed = 7;
    for (unsigned round = 0; round < 200; round++) { /* any bytes */
        static const char letters[] = "theme = # \n\r\t\0=\xff\xc3mouse=on";
        for (size_t i = 0; i < 300; i++) {
            seed = seed * 1664525u + 1013904223u;
            big[i] = letters[(seed >> 16) % (sizeof letters - 1)];
        }
        qs_test_write(path, big, 300);
        c = load();
        set(c, "theme", "dark");
        assert_int_equal(qs_settings_save(c, NULL), QS_OK);
        qs_settings_free(c);
        c = load();
        assert_string_equal(qs_settings_text(c, QS_CONF_THEME), "dark");
        qs_settings_free(c);
    }
    qs_free(big);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    c = load();
    assert_non_null(strstr(qs_settings_problem(c, 0), "is a folder"));
    qs_settings_free(c);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* must not be waited for */
    c = load();
    expect_defaults(c);
    qs_settings_free(c);
}

/* ---- setting ----------------------------------------------------------------------------------------------------- */

static void test_set(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    struct qs_settings *c = load();
    set(c, "color", "Truecolor");
    assert_int_equal(qs_settings_choice(c, QS_CONF_COLOR), QS_CONF_COLOR_TRUECOLOR);
    set(c, "Frame-Rate", "12");
    assert_int_equal(qs_settings_number(c, QS_CONF_FRAME_RATE), 12);
    assert_int_equal(qs_settings_set(c, "frame-rate", "31", &e), QS_EINVAL);
    assert_int_equal(qs_settings_number(c, QS_CONF_FRAME_RATE), 12);
    assert_int_equal(qs_settings_set(c, "colour", "16", &e), QS_EINVAL);
    assert_non_null(strstr(e.msg, "did you mean color?"));
    static const char *const no_line[] = { "", " a", "a ", "a\nb", "a #b", "#a", "a\tb", "\xff" };
    for (size_t i = 0; i < sizeof no_line / sizeof *no_line; i++)
        assert_int_equal(qs_settings_set(c, "theme", no_line[i], &e), QS_EINVAL);
    set(c, "theme", "a#b = c"); /* comes back as it is */
    assert_int_equal(qs_settings_save(c, &e), QS_OK);
    qs_settings_free(c);
    c = load();
    assert_string_equal(qs_settings_text(c, QS_CONF_THEME), "a#b = c");
    assert_int_equal(qs_settings_choice(c, QS_CONF_COLOR), QS_CONF_COLOR_TRUECOLOR);
    qs_settings_free(c);
}

static void test_saving_changes_one_value(void **state)
{
    (void)state;
    edited("", "theme", "dark", "theme = dark\n");
    edited("# mine\n\n  theme=light   # bright\nunknown = x\nmouse = perhaps\n", "theme", "dark",
           "# mine\n\n  theme=dark   # bright\nunknown = x\nmouse = perhaps\n");
    edited("mouse = perhaps # ?\n", "mouse", "off", "mouse = off # ?\n");
    edited("theme = a", "mouse", "off", "theme = a\nmouse = off\n");
    edited("theme = a\r\nsync = on\r\n", "theme", "b", "theme = b\r\nsync = on\r\n");
    edited("\xEF\xBB\xBFTheme = a\n", "theme", "b", "\xEF\xBB\xBFTheme = b\n");
    edited("theme =\r\nsync = on", "theme", "b", "theme = b\r\nsync = on");
    edited("theme = # none\n", "theme", "b", "theme = b # none\n");
    edited("#theme = a\n", "theme", "b", "#theme = a\ntheme = b\n");
    edited("theme = a\n", "theme", "a", "theme = a\n");
}

static void test_what_others_wrote_stays(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    (void)state;
    struct qs_settings *one = load_text("theme = a\n"), *two = load();
    set(one, "theme", "b");
    set(two, "mouse", "off");
    assert_int_equal(qs_settings_save(one, &e), QS_OK);
    assert_int_equal(qs_settings_save(two, &e), QS_OK);
    expect_file("theme = b\nmouse = off\n");
    assert_int_equal(qs_settings_save(one, &e), QS_OK); /* saved once, not again */
    expect_file("theme = b\nmouse = off\n");
    qs_settings_free(one);
    qs_settings_free(two);
}

static void test_links_stay_links(void **state)
{
    struct stat st;
    (void)state;
    char real[5000];
    (void)snprintf(real, sizeof real, "%s.real", path);
    for (int dangling = 0; dangling < 2; dangling++) {
        if (!dangling)
            qs_test_write(real, "theme = a\n", 10);
        assert_int_equal(symlink("config.real", path), 0);
        struct qs_settings *c = load();
        set(c, "theme", "b");
        assert_int_equal(qs_settings_save(c, NULL), QS_OK);
        qs_settings_free(c);
        assert_int_equal(lstat(path, &st), 0);
        assert_true(S_ISLNK(st.st_mode));
        assert_int_equal(lstat(real, &st), 0);
        assert_true(S_ISREG(st.st_mode));
        expect_file("theme = b\n");
        assert_int_equal(unlink(path), 0);
        assert_int_equal(unlink(real), 0);
    }
}

/* ---- writing that fails ------------------------------------------------------------------------------------------ */

static size_t files_beside(void)
{
    char command[5000];
    size_t n = 0;
    (void)snprintf(command, sizeof command, "ls -A '%.*s'", (int)(strlen(path) - strlen("/config")), path);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    for (int c; (c = fgetc(p)) != EOF;)
        n += c == '\n';
    assert_int_equal(pclose(p), 0);
    return n;
}

static void test_read_only_folder(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    char dir[4096];
    (void)state;
    struct qs_settings *c = load_text("theme = a\n");
    (void)snprintf(dir, sizeof dir, "%.*s", (int)(strlen(path) - strlen("/config")), path);
    assert_int_equal(chmod(qs_test_tmp(), 0755), 0);
    assert_int_equal(chmod(dir, 0555), 0);
    const uid_t me = geteuid();
    if (me == 0)
        assert_int_equal(seteuid(65534), 0);
    set(c, "theme", "b");
    const int rc = qs_settings_save(c, &e);
    if (me == 0)
        assert_int_equal(seteuid(me), 0);
    assert_int_equal(rc, QS_EIO);
    assert_non_null(strstr(e.msg, "config"));
    assert_string_equal(qs_settings_text(c, QS_CONF_THEME), "b"); /* for this run */
    expect_file("theme = a\n");
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(qs_settings_save(c, &e), QS_OK); /* and written when it can be */
    expect_file("theme = b\n");
    qs_settings_free(c);
}

static void test_write_cut_short(void **state)
{
    struct qs_err e = QS_ERR_INIT;
    struct rlimit old, tight;
    (void)state;
    struct qs_settings *c = load_text("# a comment that is longer than the limit\ntheme = a\n");
    set(c, "theme", "b");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    tight = old;
    tight.rlim_cur = 16;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    const int rc = qs_settings_save(c, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(rc, QS_ENOSPACE);
    expect_file("# a comment that is longer than the limit\ntheme = a\n");
    assert_int_equal(files_beside(), 1); /* nothing half written stays */
    assert_int_equal(qs_settings_save(c, &e), QS_OK);
    expect_file("# a comment that is longer than the limit\ntheme = b\n");
    qs_settings_free(c);
}

static int whole_round(void *ctx, struct qs_err *e)
{
    struct qs_settings *c;
    (void)ctx;
    qs_test_write(path, "theme = a\nwrong = 1\nmouse = off\n", 32);
    int rc = qs_settings_load(path, &c, e);
    if (rc == QS_OK) {
        rc = qs_settings_set(c, "frame-rate", "5", e);
        if (rc == QS_OK)
            rc = qs_settings_save(c, e);
        qs_settings_free(c);
    }
    return rc;
}

static void test_no_memory(void **state)
{
    (void)state;
    qs_test_each_alloc(whole_round, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_no_file, setup),
        cmocka_unit_test_setup(test_default_file, setup),
        cmocka_unit_test_setup(test_values, setup),
        cmocka_unit_test_setup(test_problems, setup),
        cmocka_unit_test_setup(test_twice, setup),
        cmocka_unit_test_setup(test_hostile_files, setup),
        cmocka_unit_test_setup(test_set, setup),
        cmocka_unit_test_setup(test_saving_changes_one_value, setup),
        cmocka_unit_test_setup(test_what_others_wrote_stays, setup),
        cmocka_unit_test_setup(test_links_stay_links, setup),
        cmocka_unit_test_setup(test_read_only_folder, setup),
        cmocka_unit_test_setup(test_write_cut_short, setup),
        cmocka_unit_test_setup(test_no_memory, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
