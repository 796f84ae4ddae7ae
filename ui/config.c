/* config.c - the person's settings: the table of them, their values, the file they are read from and written to.
 *
 * Owns values and messages. The file is read anew at every save, so that comments, order, unknown lines and what
 * another process wrote meanwhile stay. Refuses values that a line cannot hold. One thread.
 */
#include "ui/config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/near.h"
#include "base/unicode.h"
#include "core/quant/preset.h"
#include "ui/config_text.h"

#define MAX_FILE (256u << 10)
#define MAX_PROBLEMS 100
#define SHOWN 60 /* bytes of a wrong word that a message shows */

struct qs_settings {
    char *path;
    char *value[QS_CONF_COUNT];  /* NULL: the default */
    bool changed[QS_CONF_COUNT]; /* since load or save */
    char *problem[MAX_PROBLEMS];
    size_t n_problems;
};

/* ---- the table -------------------------------------------------------------------------------------------------- */

static int check_preset(const char *text, struct qs_err *e)
{
    struct qs_near near;
    char hint[160];
    if (qs_preset_by_name(text))
        return QS_OK;
    qs_near_start(&near, text);
    for (size_t i = 0; i < qs_preset_count(); i++)
        qs_near_try(&near, qs_preset_at(i)->name);
    return qs_fail(e, QS_EINVAL, "'%.*s' is no preset%s", SHOWN, text, qs_near_text(&near, hint, sizeof hint));
}

static const struct qs_setting_def settings[QS_CONF_COUNT] = {
    [QS_CONF_THEME] = { .key = "theme", .kind = QS_SETTING_TEXT, .otherwise = "auto",
        .help = "name of a theme, or auto: one that fits the background of the terminal" },
    [QS_CONF_COLOR] = { .key = "color", .kind = QS_SETTING_CHOICE, .otherwise = "auto",
        .choices = "auto truecolor 256 16 mono", .help = "colours the terminal can show; auto goes by its type" },
    [QS_CONF_UNICODE] = { .key = "unicode", .kind = QS_SETTING_CHOICE, .otherwise = "auto", .choices = "auto on off",
        .help = "characters beyond ASCII; auto goes by the locale" },
    [QS_CONF_MOUSE] = { .key = "mouse", .kind = QS_SETTING_BOOL, .otherwise = "on", .choices = "on off",
        .help = "the screen takes clicks and the wheel; off leaves them to the terminal" },
    [QS_CONF_CELLS] = { .key = "cells", .kind = QS_SETTING_CHOICE, .otherwise = "auto", .choices = "auto half full",
        .help = "cells of the map: two to a character, one, or as many as fit the terminal" },
    [QS_CONF_SYNC] = { .key = "sync", .kind = QS_SETTING_BOOL, .otherwise = "on", .choices = "on off",
        .help = "synchronized output: the terminal shows whole frames; off where it draws nonsense instead" },
    [QS_CONF_FRAME_RATE] = { .key = "frame-rate", .kind = QS_SETTING_NUMBER, .otherwise = "30", .min = 1, .max = 30,
        .help = "frames a second at most; fewer suit a slow connection" },
    [QS_CONF_CONFIRM_QUIT] = { .key = "confirm-quit", .kind = QS_SETTING_BOOL, .otherwise = "on", .choices = "on off",
        .help = "ask before quitting while work runs or changes are not saved" },
    [QS_CONF_PRESET] = { .key = "preset", .kind = QS_SETTING_TEXT, .otherwise = QS_PRESET_DEFAULT,
        .check = check_preset, .help = "preset that a newly opened model starts with" },
    [QS_CONF_THREADS] = { .key = "threads", .kind = QS_SETTING_NUMBER, .otherwise = "0", .min = 0, .max = 1024,
        .help = "threads that compute; 0: one per core" },
};

const struct qs_setting_def *qs_setting(enum qs_setting s)
{
    return &settings[s];
}

bool qs_setting_find(const char *key, enum qs_setting *out)
{
    for (unsigned i = 0; i < QS_CONF_COUNT; i++)
        if (qs_ascii_equal(settings[i].key, key)) {
            *out = (enum qs_setting)i;
            return true;
        }
    return false;
}

const char *qs_setting_kind_name(enum qs_setting_kind k)
{
    static const char *const names[] = {
        [QS_SETTING_BOOL] = "bool", [QS_SETTING_CHOICE] = "choice", [QS_SETTING_TEXT] = "text",
        [QS_SETTING_NUMBER] = "number",
    };
    return names[k];
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* Number of the word in a list, -1: it is not there. */
static int word_number(const char *words, const char *word)
{
    const size_t n = strlen(word);
    for (int i = 0; *words; i++) {
        const size_t len = strcspn(words, " ");
        if (len == n && qs_ascii_begins(words, word))
            return i;
        words += len + (words[len] == ' ');
    }
    return -1;
}

/* 1, 0, or -1: no truth value. */
static int truth(const char *text)
{
    const int i = word_number("on yes true off no false", text);
    return i < 0 ? -1 : i < 3;
}

/* Digits alone, within bounds; -1 otherwise. */
static long number(const struct qs_setting_def *d, const char *text)
{
    const size_t n = strlen(text);
    const long v = n > 0 && n <= 6 && text[strspn(text, "0123456789")] == 0 ? strtol(text, NULL, 10) : -1;
    return v >= (long)d->min && v <= (long)d->max ? v : -1;
}

/* What one line can hold and gives back. */
static bool fits_line(const char *text)
{
    const size_t n = strlen(text);
    if (n == 0 || n > 1000 || text[0] == '#' || text[0] == ' ' || text[n - 1] == ' ' ||
        qs_utf8_invalid_at(text, n) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F || (text[i] == '#' && text[i - 1] == ' '))
            return false;
    return true;
}

static int check_value(const struct qs_setting_def *d, const char *text, struct qs_err *e)
{
    switch (d->kind) {
    case QS_SETTING_BOOL:
        if (truth(text) < 0)
            return qs_fail(e, QS_EINVAL, "%s is on or off, not '%.*s'", d->key, SHOWN, text);
        return QS_OK;
    case QS_SETTING_CHOICE:
        if (word_number(d->choices, text) < 0)
            return qs_fail(e, QS_EINVAL, "%s is one of %s, not '%.*s'", d->key, d->choices, SHOWN, text);
        return QS_OK;
    case QS_SETTING_NUMBER:
        if (number(d, text) < 0)
            return qs_fail(e, QS_EINVAL, "%s is a whole number from %u to %u, not '%.*s'", d->key, d->min, d->max,
                           SHOWN, text);
        return QS_OK;
    case QS_SETTING_TEXT:
        if (!fits_line(text))
            return qs_fail(e, QS_EINVAL, "%s is a text without control characters, outer blanks and ' #', not '%.*s'",
                           d->key, SHOWN, text);
        return d->check ? d->check(text, e) : QS_OK;
    }
    return QS_OK;
}

static int unknown_key(const char *key, struct qs_err *e)
{
    struct qs_near near;
    char hint[160];
    qs_near_start(&near, key);
    for (unsigned i = 0; i < QS_CONF_COUNT; i++)
        qs_near_try(&near, settings[i].key);
    return qs_fail(e, QS_EINVAL, "there is no setting '%.*s'%s", SHOWN, key, qs_near_text(&near, hint, sizeof hint));
}

const char *qs_settings_text(const struct qs_settings *c, enum qs_setting s)
{
    return c->value[s] ? c->value[s] : settings[s].otherwise;
}

bool qs_settings_bool(const struct qs_settings *c, enum qs_setting s)
{
    return truth(qs_settings_text(c, s)) == 1;
}

unsigned qs_settings_choice(const struct qs_settings *c, enum qs_setting s)
{
    const int i = settings[s].choices ? word_number(settings[s].choices, qs_settings_text(c, s)) : -1;
    return i < 0 ? 0 : (unsigned)i;
}

unsigned qs_settings_number(const struct qs_settings *c, enum qs_setting s)
{
    const long v = number(&settings[s], qs_settings_text(c, s));
    return v < 0 ? 0 : (unsigned)v;
}

bool qs_settings_is_set(const struct qs_settings *c, enum qs_setting s)
{
    return c->value[s] != NULL;
}

static int take_value(struct qs_settings *c, enum qs_setting s, const char *text, struct qs_err *e)
{
    char *copy = qs_strdup(text);
    if (!copy)
        return qs_fail_mem(e, strlen(text), "a setting");
    qs_free(c->value[s]);
    c->value[s] = copy;
    return QS_OK;
}

int qs_settings_set(struct qs_settings *c, const char *key, const char *text, struct qs_err *e)
{
    enum qs_setting s;
    if (!qs_setting_find(key, &s))
        return unknown_key(key, e);
    int rc = check_value(&settings[s], text, e);
    if (!rc)
        rc = take_value(c, s, text, e);
    if (!rc)
        c->changed[s] = true;
    return rc;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static void add_problem(struct qs_settings *c, unsigned line, const char *msg)
{
    struct qs_str raw = QS_STR_INIT, s = QS_STR_INIT;
    if (c->n_problems == MAX_PROBLEMS)
        return;
    qs_str_add(&raw, c->path);
    if (line)
        qs_str_addf(&raw, ":%u", line);
    qs_str_addf(&raw, ": %s", c->n_problems == MAX_PROBLEMS - 1 ? "there is more to say" : msg);
    qs_utf8_clean(&s, raw.data, raw.len, 0);
    qs_str_free(&raw);
    char *text = qs_str_take(&s);
    if (text) /* a message that finds no memory is dropped */
        c->problem[c->n_problems++] = text;
}

/* One setting of the file; what is wrong with it becomes a problem. QS_ENOMEM alone. */
static int read_setting(struct qs_settings *c, const char *key, const char *value, unsigned line, unsigned *seen,
                        struct qs_err *e)
{
    struct qs_err why = QS_ERR_INIT;
    enum qs_setting s;
    int rc = qs_setting_find(key, &s) ? QS_OK : unknown_key(key, &why);
    if (!rc)
        rc = check_value(&settings[s], value, &why);
    if (!rc && seen[s])
        qs_fail(&why, QS_EINVAL, "%s was set in line %u already; the last one counts", settings[s].key, seen[s]);
    if (why.msg[0])
        add_problem(c, line, why.msg);
    if (rc)
        return QS_OK;
    seen[s] = line;
    return take_value(c, s, value, e);
}

static int read_text(struct qs_settings *c, const char *text, size_t len, struct qs_err *e)
{
    unsigned seen[QS_CONF_COUNT] = { 0 }, line = 0;
    int rc = QS_OK;
    struct qs_settings_line l;
    for (size_t at = 0; !rc && qs_settings_next_line(text, len, &at, &l);) {
        line++;
        if (!l.setting && l.key.from == l.key.to)
            continue;
        if (!l.setting) {
            add_problem(c, line, "expected key = value");
            continue;
        }
        char *key = qs_strndup(text + l.key.from, l.key.to - l.key.from);
        char *value = qs_strndup(text + l.value.from, l.value.to - l.value.from);
        rc = key && value ? read_setting(c, key, value, line, seen, e) : qs_fail_mem(e, at, "a setting");
        qs_free(key);
        qs_free(value);
    }
    return rc;
}

/* The file as it is now; a missing one is empty. */
static int read_file(const char *path, char **text, size_t *len, struct qs_err *e)
{
    struct qs_err why = QS_ERR_INIT;
    const int rc = qs_file_read(path, MAX_FILE, text, len, &why);
    return rc && rc != QS_ENOTFOUND ? qs_fail(e, (enum qs_code)rc, "%s", why.msg) : QS_OK;
}

/* Where the file belongs, also where its folder cannot be made; "" when that is unknown. */
static char *default_path(void)
{
    struct qs_str dir = QS_STR_INIT;
    (void)qs_xdg_dir("config", NULL, &dir, NULL);
    if (dir.len)
        qs_path_join(dir.data, "config", &dir);
    if (!dir.len && !dir.failed)
        return qs_strdup("");
    return qs_str_take(&dir);
}

int qs_settings_load(const char *path, struct qs_settings **out, struct qs_err *e)
{
    struct qs_settings *c = qs_calloc(1, sizeof *c);
    struct qs_err why = QS_ERR_INIT;
    char *text = NULL;
    size_t len = 0;
    *out = NULL;
    if (!c || !(c->path = path ? qs_strdup(path) : default_path())) {
        qs_settings_free(c);
        return qs_fail_mem(e, sizeof *c, "the settings");
    }
    int rc = c->path[0] ? read_file(c->path, &text, &len, &why) : QS_OK;
    if (rc && rc != QS_ENOMEM) {
        add_problem(c, 0, why.msg);
        rc = QS_OK;
    } else if (rc)
        qs_fail(e, QS_ENOMEM, "%s", why.msg);
    if (!rc && text)
        rc = read_text(c, text, len, e);
    qs_free(text);
    if (rc)
        qs_settings_free(c);
    else
        *out = c;
    return rc;
}

void qs_settings_free(struct qs_settings *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < QS_CONF_COUNT; i++)
        qs_free(c->value[i]);
    for (size_t i = 0; i < c->n_problems; i++)
        qs_free(c->problem[i]);
    qs_free(c->path);
    qs_free(c);
}

const char *qs_settings_problem(const struct qs_settings *c, size_t i)
{
    return i < c->n_problems ? c->problem[i] : NULL;
}

const char *qs_settings_path(const struct qs_settings *c)
{
    return c->path;
}

/* ---- saving ------------------------------------------------------------------------------------------------------ */

/* A link to a file that is not there yet: the file is made where the link points to. Replaces `path`. */
static void follow_link(struct qs_str *path)
{
    char target[4096];
    struct stat st;
    struct qs_str dir = QS_STR_INIT;
    for (int links = 0; links < 8 && stat(path->data, &st) != 0; links++) {
        const ssize_t n = readlink(path->data, target, sizeof target - 1);
        if (n <= 0)
            break;
        target[n] = 0;
        qs_path_dir(path->data, &dir);
        qs_path_join(dir.data, target, path);
        path->failed |= dir.failed;
    }
    qs_str_free(&dir);
}

static int write_text(const char *path, const struct qs_str *text, struct qs_err *e)
{
    struct qs_str target = QS_STR_INIT;
    qs_str_add(&target, path);
    follow_link(&target);
    const int rc = target.failed ? qs_fail_mem(e, strlen(path), "a path")
                                 : qs_file_write_atomic(target.data, text->data, text->len, true, e);
    qs_str_free(&target);
    return rc;
}

int qs_settings_save(struct qs_settings *c, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    char *old = NULL;
    size_t len = 0;
    if (!c->path[0])
        return qs_fail(e, QS_ENOTFOUND, "no home folder is known: set HOME or XDG_CONFIG_HOME");
    int rc = read_file(c->path, &old, &len, e);
    if (rc)
        return rc;
    if (old)
        qs_str_addn(&text, old, len);
    for (unsigned i = 0; i < QS_CONF_COUNT; i++)
        if (c->changed[i])
            qs_settings_edit(&text, settings[i].key, c->value[i]);
    if (text.failed)
        rc = qs_fail_mem(e, len, "the settings");
    else if (text.len != len || (old && memcmp(text.data, old, len) != 0))
        rc = write_text(c->path, &text, e);
    if (!rc)
        memset(c->changed, 0, sizeof c->changed);
    qs_free(old);
    qs_str_free(&text);
    return rc;
}

void qs_settings_default_text(struct qs_str *out)
{
    qs_str_add(out, "# Settings of quantscape; see quantscape-config(5). What is not set has its default.\n");
    for (unsigned i = 0; i < QS_CONF_COUNT; i++) {
        const struct qs_setting_def *d = &settings[i];
        qs_str_addf(out, "\n# %s", d->help);
        if (d->choices)
            qs_str_addf(out, " (%s)", d->choices);
        if (d->kind == QS_SETTING_NUMBER)
            qs_str_addf(out, " (%u to %u)", d->min, d->max);
        qs_str_addf(out, "\n%s = %s\n", d->key, d->otherwise);
    }
}
