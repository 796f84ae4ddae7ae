/* app_run.c - finds and runs actions: by key, by name after ':', from the palette; and completes what is being typed.
 *
 * Owns the rule which action a key or a name means: the screen's own first, then the global ones, then (by name only)
 * those of other screens, which are gone to.
 */
#include "ui/app_internal.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/unicode.h"
#include "core/quant/preset.h"
#include "kernels/format.h"
#include "ui/theme.h"
#include "ui/ui.h"

/* ---- finding ---- */

bool qs_action_has_key(const struct qs_action *t, uint32_t key)
{
    char name[24];
    for (const char *at = t->keys; at && *at;) {
        const size_t n = strcspn(at, " ");
        snprintf(name, sizeof name, "%.*s", (int)n, at);
        if (qs_key_parse(name) == key)
            return true;
        at += n + (at[n] == ' ');
    }
    return false;
}

static const struct qs_action *by_key(const struct qs_action *t, uint32_t key)
{
    for (; t && t->name; t++)
        if (qs_action_has_key(t, key))
            return t;
    return NULL;
}

const struct qs_action *qs_action_by_key(struct qs_app *a, uint32_t key)
{
    const bool usable = qs_app_doc(a) || !a->screen->needs_document;
    const struct qs_action *t = usable ? by_key(a->screen->actions, key) : NULL;
    if (!t && usable && a->screen->move)
        t = by_key(qs_move_actions, key);
    return t ? t : by_key(qs_global_actions, key);
}

static const struct qs_action *by_name(const struct qs_action *t, const char *name, size_t n)
{
    for (; t && t->name; t++)
        if (strlen(t->name) == n && strncmp(t->name, name, n) == 0)
            return t;
    return NULL;
}

static const struct qs_action *find_name(struct qs_app *a, const char *name, size_t n)
{
    const struct qs_action *t = by_name(a->screen->actions, name, n);
    if (!t && a->screen->move)
        t = by_name(qs_move_actions, name, n);
    if (!t)
        t = by_name(qs_global_actions, name, n);
    for (size_t i = 0; !t && qs_screens[i]; i++)
        t = by_name(qs_screens[i]->actions, name, n);
    return t;
}

const struct qs_screen *qs_action_screen(const struct qs_app *a, const struct qs_action *t)
{
    (void)a;
    for (size_t i = 0; qs_screens[i]; i++)
        for (const struct qs_action *s = qs_screens[i]->actions; s && s->name; s++)
            if (s == t)
                return qs_screens[i];
    return NULL;
}

/* Of several with one name the first is meant. */
static size_t add_actions(const struct qs_action *t, const struct qs_action **out, size_t n, size_t max)
{
    for (; t && t->name && n < max; t++) {
        size_t i = 0;
        while (i < n && strcmp(out[i]->name, t->name) != 0)
            i++;
        if (i == n)
            out[n++] = t;
    }
    return n;
}

size_t qs_actions_here(struct qs_app *a, const struct qs_action **out, size_t max)
{
    size_t n = add_actions(a->screen->actions, out, 0, max);
    if (a->screen->move)
        n = add_actions(qs_move_actions, out, n, max);
    n = add_actions(qs_global_actions, out, n, max);
    for (size_t i = 0; qs_screens[i]; i++)
        if (qs_screens[i] != a->screen)
            n = add_actions(qs_screens[i]->actions, out, n, max);
    return n;
}

/* ---- running ---- */

static void prompted(struct qs_app *a, const char *text, void *ctx)
{
    if (*text)
        qs_action_do(a, ctx, text);
}

bool qs_action_do(struct qs_app *a, const struct qs_action *t, const char *arg)
{
    const struct qs_screen *home = qs_action_screen(a, t);
    if (home && home->needs_document && !qs_app_doc(a)) {
        qs_app_warn(a, "%s needs an open model: :open FILE", t->name);
        return false;
    }
    if (home)
        qs_app_go(a, home);
    qs_screen_refresh(a);
    const char *why = t->refuse ? t->refuse(a) : NULL;
    if (why) {
        qs_app_warn(a, "%s", why);
        return false;
    }
    if (t->arg != QS_ARG_NONE && !t->arg_optional && !(arg && *arg)) {
        char label[64];
        snprintf(label, sizeof label, "%s: ", t->name);
        qs_app_prompt(a, label, NULL, t->arg, t->words, prompted, (void *)(uintptr_t)t);
        return true;
    }
    struct qs_str path = QS_STR_INIT;
    if (t->arg == QS_ARG_FILE && arg && *arg) {
        qs_app_expand_home(arg, &path);
        arg = path.data;
    }
    if (path.failed)
        qs_app_warn(a, "out of memory");
    else
        t->run(a, arg && *arg ? arg : NULL);
    qs_str_free(&path);
    a->dirty = true;
    return true;
}

bool qs_app_run(struct qs_app *a, const char *line)
{
    a->message[0] = 0;
    line += strspn(line, " :");
    const size_t n = strcspn(line, " ");
    const char *arg = line + n + strspn(line + n, " ");
    if (!n)
        return true;
    const struct qs_action *t = find_name(a, line, n);
    if (!t) {
        qs_app_warn(a, "there is no command \"%.*s\": ? lists them", (int)n, line);
        return false;
    }
    if (*arg && t->arg == QS_ARG_NONE) {
        qs_app_warn(a, "%s takes nothing after it", t->name);
        return false;
    }
    return qs_action_do(a, t, *arg ? arg : NULL);
}

static void command_typed(struct qs_app *a, const char *text, void *ctx)
{
    (void)ctx;
    qs_app_run(a, text);
}

void qs_app_command(struct qs_app *a, const char *initial)
{
    qs_app_prompt(a, ":", initial, QS_ARG_TEXT, NULL, command_typed, NULL);
    a->prompt.command = true;
    a->prompt.edit.history = &a->command_history;
}

/* ---- the palette: everything that can be run, with its keys ---- */

static void first_key(const struct qs_action *t, char *buf, size_t n)
{
    snprintf(buf, n, "%.*s", t->keys ? (int)strcspn(t->keys, " ") : 0, t->keys ? t->keys : "");
}

static void palette_item(struct qs_app *a, size_t i, struct qs_app_item *out, void *ctx)
{
    (void)ctx;
    const struct qs_action *t = a->palette[i];
    const struct qs_screen *home = qs_action_screen(a, t);
    snprintf(out->label, sizeof out->label, "%s", t->name);
    snprintf(out->detail[0], sizeof out->detail[0], "%s%s%s", home && home != a->screen ? home->name : "",
             home && home != a->screen ? ": " : "", t->help);
    if (!home || home == a->screen)
        first_key(t, out->key, sizeof out->key);
    out->refused = home && home->needs_document && !qs_app_doc(a) ? "needs an open model"
                   : t->refuse && (!home || home == a->screen) ? t->refuse(a) : NULL;
}

static void palette_picked(struct qs_app *a, size_t i, void *ctx)
{
    (void)ctx;
    qs_action_do(a, a->palette[i], NULL);
}

void qs_app_palette(struct qs_app *a)
{
    a->n_palette = qs_actions_here(a, a->palette, sizeof a->palette / sizeof *a->palette);
    qs_app_pick(a, &(struct qs_app_list){ .title = "Commands", .n = a->n_palette }, palette_item, palette_picked, NULL);
}

/* ---- completion ---- */

/* What is being completed: the part of the line it is about, and where the answers go. */
struct completing { struct qs_app *app; const char *text; struct qs_candidates *out; };

static void offer(struct completing *c, const char *word, const char *note)
{
    if (strncasecmp(word, c->text, strlen(c->text)) == 0)
        qs_candidates_add(c->out, word, note ? note : "");
}

static void offer_words(struct completing *c, const char *words)
{
    char word[128];
    for (const char *at = words; at && *at;) {
        const size_t n = strcspn(at, " \n");
        snprintf(word, sizeof word, "%.*s", (int)n, at);
        if (n)
            offer(c, word, NULL);
        at += n + (at[n] != 0);
    }
}

static void offer_types(struct completing *c)
{
    for (size_t i = 0; i < qs_format_count(); i++) {
        const struct qs_format *f = qs_format_at(i);
        if (!(f->flags & (QS_NO_ENCODE | QS_INTERNAL)))
            offer(c, f->name, NULL);
    }
}

static void offer_presets(struct completing *c)
{
    for (size_t i = 0; i < qs_preset_count(); i++)
        offer(c, qs_preset_at(i)->name, qs_preset_at(i)->about);
}

static void offer_tensors(struct completing *c)
{
    const struct qs_doc *d = qs_app_doc(c->app);
    for (size_t i = 0; d && i < d->model->n_tensors; i++)
        offer(c, d->model->tensor[i].name, NULL);
}

static void offer_themes(struct completing *c)
{
    struct qs_str list = QS_STR_INIT;
    qs_theme_list(&list);
    offer_words(c, list.data);
    qs_str_free(&list);
}

/* Names in the folder that has been typed so far; folders end in '/'. Hidden ones only where a '.' is typed. */
static void offer_files(struct completing *c)
{
    const char *slash = strrchr(c->text, '/');
    const size_t stem = slash ? (size_t)(slash - c->text) + 1 : 0;
    struct qs_str folder = QS_STR_INIT, path = QS_STR_INIT, typed = QS_STR_INIT;
    qs_str_addn(&typed, c->text, stem);
    qs_app_expand_home(typed.data, &folder);
    DIR *d = folder.failed ? NULL : opendir(folder.len ? folder.data : ".");
    for (struct dirent *f; d && (f = readdir(d)) != NULL;) {
        struct stat st;
        if (!strcmp(f->d_name, ".") || !strcmp(f->d_name, "..") || (f->d_name[0] == '.' && c->text[stem] != '.') ||
            qs_utf8_invalid_at(f->d_name, strlen(f->d_name)) < strlen(f->d_name))
            continue;
        qs_str_clear(&path);
        qs_str_addn(&path, c->text, stem);
        qs_str_add(&path, f->d_name);
        if (fstatat(dirfd(d), f->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode))
            qs_str_addc(&path, '/');
        if (!path.failed && strncmp(path.data, c->text, strlen(c->text)) == 0)
            qs_candidates_add(c->out, path.data, "");
    }
    if (d)
        closedir(d);
    qs_str_free(&folder);
    qs_str_free(&path);
    qs_str_free(&typed);
}

/* Names; behind a name, its values. */
static void offer_settings(struct completing *c)
{
    const size_t n = strcspn(c->text, " ");
    enum qs_setting s;
    char key[64];
    if (!c->text[n]) {
        for (int i = 0; i < QS_CONF_COUNT; i++)
            offer(c, qs_setting((enum qs_setting)i)->key, qs_setting((enum qs_setting)i)->help);
        return;
    }
    snprintf(key, sizeof key, "%.*s", (int)n, c->text);
    const size_t skip = n + strspn(c->text + n, " ");
    c->out->start += skip;
    c->text += skip;
    if (qs_setting_find(key, &s) && s == QS_CONF_THEME)
        offer_themes(c);
    else if (qs_setting_find(key, &s))
        offer_words(c, qs_setting(s)->kind == QS_SETTING_BOOL ? "on off" : qs_setting(s)->choices);
}

static void offer_argument(struct completing *c, enum qs_arg arg, const char *words)
{
    switch (arg) {
    case QS_ARG_FILE: offer_files(c); break;
    case QS_ARG_TYPE: offer_types(c); break;
    case QS_ARG_PRESET: offer_presets(c); break;
    case QS_ARG_REGEX: offer_tensors(c); break;
    case QS_ARG_WORDS: offer_words(c, words); break;
    case QS_ARG_THEME: offer_themes(c); break;
    case QS_ARG_SETTING: offer_settings(c); break;
    case QS_ARG_NONE:
    case QS_ARG_TEXT: break;
    }
}

void qs_app_complete_argument(struct qs_app *a, const struct qs_action *t, const char *text, size_t start,
                              struct qs_candidates *out)
{
    struct completing c = { a, text, out };
    out->start = start;
    offer_argument(&c, t->arg, t->words);
}

static void offer_names(struct completing *c)
{
    const struct qs_action *all[512];
    const size_t count = qs_actions_here(c->app, all, sizeof all / sizeof *all);
    for (size_t i = 0; i < count; i++)
        offer(c, all[i]->name, all[i]->help);
}

void qs_app_complete(void *ctx, const char *text, size_t at, struct qs_candidates *out)
{
    struct qs_app *a = ctx;
    struct qs_str typed = QS_STR_INIT;
    qs_str_addn(&typed, text, at);
    struct completing c = { a, typed.data, out };
    const size_t n = strcspn(typed.data, " ");
    out->start = 0;
    if (typed.failed) {
        /* nothing is offered */
    } else if (!a->prompt.command) {
        offer_argument(&c, a->prompt.arg, a->prompt.words);
    } else if (!typed.data[n]) {
        offer_names(&c);
    } else {
        const struct qs_action *t = find_name(a, typed.data, n);
        out->start = n + strspn(typed.data + n, " ");
        c.text = typed.data + out->start;
        if (t)
            offer_argument(&c, t->arg, t->words);
    }
    qs_str_free(&typed);
}

/* ---- for the manual ---- */

static bool action_at(const struct qs_action *t, const char *screen, unsigned *left, struct qs_ui_action *out)
{
    for (; t && t->name; t++)
        if ((*left)-- == 0) {
            *out = (struct qs_ui_action){ screen, t->keys ? t->keys : "", t->name, t->help };
            return true;
        }
    return false;
}

bool qs_ui_action_at(unsigned i, struct qs_ui_action *out)
{
    bool found = action_at(qs_global_actions, "", &i, out) || action_at(qs_move_actions, "Moving", &i, out);
    for (size_t k = 0; qs_screens[k] && !found; k++)
        found = action_at(qs_screens[k]->actions, qs_screens[k]->name, &i, out);
    return found;
}
