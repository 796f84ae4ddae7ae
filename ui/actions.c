/* actions.c - what can be done everywhere: the table of global actions. */
#include "ui/app_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "ui/save.h"

/* ---- screens ---- */

static void go(struct qs_app *a, size_t i) { qs_app_go(a, qs_screens[i]); }
static void to_overview(struct qs_app *a, const char *arg) { (void)arg; qs_app_go(a, &qs_screen_overview); }
static void to_map(struct qs_app *a, const char *arg) { (void)arg; qs_app_go(a, &qs_screen_map); }
static void to_tensors(struct qs_app *a, const char *arg) { (void)arg; qs_app_go(a, &qs_screen_tensors); }
static void to_recipe(struct qs_app *a, const char *arg) { (void)arg; qs_app_go(a, &qs_screen_recipe); }
static void to_calibrate(struct qs_app *a, const char *arg) { (void)arg; qs_app_go(a, &qs_screen_calibrate); }
static void to_chat(struct qs_app *a, const char *arg) { (void)arg; qs_app_go(a, &qs_screen_chat); }
static void to_evaluate(struct qs_app *a, const char *arg) { (void)arg; qs_app_go(a, &qs_screen_evaluate); }
static void to_jobs(struct qs_app *a, const char *arg) { (void)arg; qs_app_go(a, &qs_screen_jobs); }
static void to_log(struct qs_app *a, const char *arg) { (void)arg; qs_app_go(a, &qs_screen_log); }
static void to_help(struct qs_app *a, const char *arg) { (void)arg; qs_app_go(a, &qs_screen_help); }

/* The next screen that has a tab. */
static void tab(struct qs_app *a, int step)
{
    size_t n = 0;
    while (qs_screens[n])
        n++;
    size_t i = qs_screen_index(a->screen);
    do
        i = (i + n + (size_t)(step + (int)n)) % n;
    while (qs_screens[i]->hidden);
    go(a, i);
}

static void next_screen(struct qs_app *a, const char *arg) { (void)arg; tab(a, 1); }
static void previous_screen(struct qs_app *a, const char *arg) { (void)arg; tab(a, -1); }

/* ---- leaving ---- */

static bool runs(struct qs_app *a, enum qs_work_kind kind)
{
    for (size_t i = 0; i < qs_workbench_jobs(a->bench); i++) {
        const struct qs_work *w = qs_workbench_job(a->bench, i);
        if (w->kind == kind && (w->status.state == QS_JOB_RUNNING || w->status.state == QS_JOB_PAUSED))
            return true;
    }
    return false;
}

/* What a person would lose, as sentences; empty: nothing. Jobs and what screens keep go on where a model is opened. */
static void at_stake(struct qs_app *a, bool quits, struct qs_str *out)
{
    const struct qs_doc *d = qs_app_doc(a);
    if (quits && runs(a, QS_WORK_WRITE))
        qs_str_add(out, "A file is being written. Quitting stops it; what is finished is kept, and writing the same file again goes "
                   "on from there.\n");
    if (quits && runs(a, QS_WORK_CALIBRATE))
        qs_str_add(out, "A calibration runs. Quitting stops it; what is finished is kept, and starting the same one again goes "
                   "on from there.\n");
    if (d && d->recipe_changed)
        qs_str_add(out, "The recipe was changed and is not saved (:recipe-save FILE keeps it).\n");
    for (size_t i = 0; quits && qs_screens[i]; i++) {
        const char *lost = qs_screens[i]->unsaved ? qs_screens[i]->unsaved(a) : NULL;
        if (lost)
            qs_str_addf(out, "%s\n", lost);
    }
}

static void quit_answered(struct qs_app *a, size_t answer, void *ctx)
{
    (void)answer, (void)ctx;
    a->quit = true;
}

static void quit(struct qs_app *a, const char *arg)
{
    (void)arg;
    static const struct qs_app_answer answers[] = { { 'q', "quit" } };
    struct qs_str stake = QS_STR_INIT;
    if (qs_settings_bool(a->config, QS_CONF_CONFIRM_QUIT))
        at_stake(a, true, &stake);
    if (stake.len)
        qs_app_ask(a, "Quit", stake.data, answers, 1, quit_answered, NULL);
    else
        a->quit = true;
    qs_str_free(&stake);
}

static void open_it(struct qs_app *a)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_app_open(a, a->opening.data, &e))
        qs_app_fail(a, &e);
}

static void open_answered(struct qs_app *a, size_t answer, void *ctx)
{
    (void)answer, (void)ctx;
    open_it(a);
}

void qs_app_open_asking(struct qs_app *a, const char *path)
{
    static const struct qs_app_answer answers[] = { { 'o', "open" } };
    struct qs_str stake = QS_STR_INIT;
    qs_str_clear(&a->opening);
    qs_str_add(&a->opening, path);
    at_stake(a, false, &stake);
    if (a->opening.failed || stake.failed)
        qs_app_warn(a, "out of memory");
    else if (stake.len)
        qs_app_ask(a, "Open another model", stake.data, answers, 1, open_answered, NULL);
    else
        open_it(a);
    qs_str_free(&stake);
}

static void quit_now(struct qs_app *a, const char *arg) { (void)arg; a->quit = true; }
static void suspend(struct qs_app *a, const char *arg) { (void)arg; qs_app_wants(a, QS_WISH_SUSPEND, NULL); }
static void redraw(struct qs_app *a, const char *arg) { (void)arg; qs_app_wants(a, QS_WISH_REDRAW, NULL); }
static void back(struct qs_app *a, const char *arg) { (void)arg; qs_app_back(a); }

/* ---- search ---- */

static const char *cannot_search(struct qs_app *a)
{
    return a->screen->find && (qs_app_doc(a) || !a->screen->needs_document)
               ? NULL
               : "there is nothing to search on this screen";
}

static void find(struct qs_app *a, int step)
{
    qs_screen_refresh(a);
    if (!a->search) {
        qs_app_say(a, "nothing to search for yet: / asks for an expression");
        return;
    }
    if (!a->screen->find(a, a->search, step))
        qs_app_warn(a, "nothing matches %s", a->pattern);
}

static void search_typed(struct qs_app *a, const char *text, void *ctx)
{
    (void)ctx;
    if (qs_app_set_search(a, text) && a->search && *text && !cannot_search(a))
        find(a, 0);
}

static void search(struct qs_app *a, const char *arg)
{
    if (arg) {
        search_typed(a, arg, NULL);
        return;
    }
    qs_app_prompt(a, "/", NULL, QS_ARG_REGEX, NULL, search_typed, NULL);
    a->prompt.edit.history = &a->search_history;
}

static void find_next(struct qs_app *a, const char *arg) { (void)arg; find(a, 1); }
static void find_previous(struct qs_app *a, const char *arg) { (void)arg; find(a, -1); }

/* ---- undo ---- */

static const char *cannot_undo(struct qs_app *a)
{
    const struct qs_doc *d = qs_app_doc(a);
    return d && d->undos ? NULL : "nothing to undo";
}

static const char *cannot_redo(struct qs_app *a)
{
    const struct qs_doc *d = qs_app_doc(a);
    return d && d->redos ? NULL : "nothing to redo";
}

static void undo(struct qs_app *a, const char *arg)
{
    struct qs_err e = QS_ERR_INIT;
    (void)arg;
    const char *what = qs_workbench_undo(a->bench, &e);
    if (what)
        qs_app_say(a, "undone: %s", what);
    else if (e.code != QS_ENOTFOUND)
        qs_app_fail(a, &e);
}

static void redo(struct qs_app *a, const char *arg)
{
    struct qs_err e = QS_ERR_INIT;
    (void)arg;
    const char *what = qs_workbench_redo(a->bench, &e);
    if (what)
        qs_app_say(a, "done again: %s", what);
    else if (e.code != QS_ENOTFOUND)
        qs_app_fail(a, &e);
}

/* ---- commands ---- */

static void command(struct qs_app *a, const char *arg) { (void)arg; qs_app_command(a, NULL); }
static void palette(struct qs_app *a, const char *arg) { (void)arg; qs_app_palette(a); }

void qs_app_expand_home(const char *path, struct qs_str *out)
{
    const char *home = path[0] == '~' && (path[1] == '/' || !path[1]) ? getenv("HOME") : NULL;
    qs_str_add(out, home ? home : "");
    qs_str_add(out, home ? path + 1 : path);
}

static void open_file(struct qs_app *a, const char *arg) { qs_app_open_asking(a, arg); }

static const char *needs_document(struct qs_app *a)
{
    return qs_app_doc(a) ? NULL : "no model is open";
}

static void set_imatrix(struct qs_app *a, const char *arg)
{
    struct qs_err e = QS_ERR_INIT;
    const bool none = strcmp(arg, "none") == 0;
    if (qs_workbench_imatrix(a->bench, none ? NULL : arg, &e))
        qs_app_fail(a, &e);
    else
        qs_app_say(a, none ? "no importance matrix any more" : "reading the importance matrix %s", arg);
}

static void requantize(struct qs_app *a, const char *arg)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_workbench_requantize(a->bench, strcmp(arg, "on") == 0, &e))
        qs_app_fail(a, &e);
    else
        qs_app_say(a, "weights that are quantized already may %sbe quantized again",
                   strcmp(arg, "on") == 0 ? "" : "not ");
}

/* ---- looks and settings ---- */

static void theme(struct qs_app *a, const char *arg)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_app_set_theme(a, arg, &e))
        qs_app_fail(a, &e);
    else
        qs_app_say(a, "theme %s, %s colours (:set theme %s keeps it)", a->theme.name, qs_tier_name(a->theme.tier),
                   a->theme.name);
}

static void reload_theme(struct qs_app *a, const char *arg)
{
    (void)arg;
    theme(a, a->theme.name);
}

static void mouse(struct qs_app *a, const char *arg)
{
    a->mouse = arg ? strcmp(arg, "on") == 0 : !a->mouse;
    qs_app_wants(a, a->mouse ? QS_WISH_MOUSE_ON : QS_WISH_MOUSE_OFF, NULL);
    qs_app_say(a, a->mouse ? "the mouse belongs to quantscape" : "the mouse belongs to the terminal: it selects text");
}

static void set(struct qs_app *a, const char *arg)
{
    char key[64];
    enum qs_setting s;
    struct qs_err e = QS_ERR_INIT;
    const size_t n = strcspn(arg, " =");
    const char *value = arg + n + strspn(arg + n, " =");
    snprintf(key, sizeof key, "%.*s", (int)n, arg);
    if (!*value) {
        const char *now = qs_app_setting(a, key);
        qs_app_say(a, now ? "%s = %s" : "there is no setting %s", key, now);
        return;
    }
    if (qs_app_change_setting(a, key, value, &e))
        qs_app_fail(a, &e);
    else
        qs_app_say(a, "%s = %s%s%s", key, value, a->args.private ? " (until the end)" : ", kept",
                   qs_setting_find(key, &s) && !qs_setting_at_once(s) ? "; counts from the next start" : "");
}

/* ---- saving what is seen ---- */

static void save_to(struct qs_app *a, const char *path, bool overwrite)
{
    struct qs_err e = QS_ERR_INIT;
    const int rc = qs_save_screen(a, path, overwrite, &e);
    if (rc == QS_EEXISTS)
        qs_app_warn(a, "%s exists: :save-screen! %s replaces it", path, path);
    else if (rc)
        qs_app_fail(a, &e);
    else
        qs_app_say(a, "written: %s", path);
}

static void save_screen(struct qs_app *a, const char *arg) { save_to(a, arg, false); }
static void save_screen_over(struct qs_app *a, const char *arg) { save_to(a, arg, true); }

/* Keys do not come here where the screen has no lines; the help runs what it lists all the same. */
static void move(struct qs_app *a, enum qs_list_move m)
{
    if (a->screen->move)
        a->screen->move(a, m);
    else
        qs_app_say(a, "nothing here moves by lines");
}

static void up(struct qs_app *a, const char *arg) { (void)arg; move(a, QS_LIST_UP); }
static void down(struct qs_app *a, const char *arg) { (void)arg; move(a, QS_LIST_DOWN); }
static void half_up(struct qs_app *a, const char *arg) { (void)arg; move(a, QS_LIST_HALF_UP); }
static void half_down(struct qs_app *a, const char *arg) { (void)arg; move(a, QS_LIST_HALF_DOWN); }
static void page_up(struct qs_app *a, const char *arg) { (void)arg; move(a, QS_LIST_PAGE_UP); }
static void page_down(struct qs_app *a, const char *arg) { (void)arg; move(a, QS_LIST_PAGE_DOWN); }
static void first(struct qs_app *a, const char *arg) { (void)arg; move(a, QS_LIST_HOME); }
static void last(struct qs_app *a, const char *arg) { (void)arg; move(a, QS_LIST_END); }

const struct qs_action qs_move_actions[] = {
    { .name = "down", .keys = "j Down", .help = "one line down", .run = down },
    { .name = "up", .keys = "k Up", .help = "one line up", .run = up },
    { .name = "half-down", .keys = "Ctrl-D", .help = "half a screen down", .run = half_down },
    { .name = "half-up", .keys = "Ctrl-U", .help = "half a screen up", .run = half_up },
    { .name = "page-down", .keys = "PgDn", .help = "one screen down", .run = page_down },
    { .name = "page-up", .keys = "PgUp", .help = "one screen up", .run = page_up },
    { .name = "first", .keys = "g Home", .help = "the first line", .run = first },
    { .name = "last", .keys = "G End", .help = "the last line", .run = last },
    { .name = NULL }
};

const struct qs_action qs_global_actions[] = {
    { .name = "overview", .keys = "1",
      .help = "what the model is, what it weighs, what it needs; without one: models to open", .run = to_overview },
    { .name = "map", .keys = "2",
      .help = "layers across, roles down, coloured by a measure; types are chosen here", .run = to_map },
    { .name = "tensors", .keys = "3", .help = "all tensors as a table to sort, filter and mark", .run = to_tensors },
    { .name = "recipe", .keys = "4",
      .help = "preset, pins and rules, with what each of them decides", .run = to_recipe },
    { .name = "calibrate", .keys = "5",
      .help = "learn from text which weights count, and encode them with measured error", .run = to_calibrate },
    { .name = "evaluate", .keys = "6",
      .help = "measure the model or its candidate: perplexity, KL divergence, layers", .run = to_evaluate },
    { .name = "chat", .keys = "7",
      .help = "talk to the model, or to it and the candidate side by side", .run = to_chat },
    { .name = "jobs", .keys = "8 w",
      .help = "what runs and what has ended: progress, pause, cancel, go on", .run = to_jobs },
    { .name = "log", .keys = "9", .help = "what happened", .run = to_log },
    { .name = "help", .keys = "? F1", .brief = "help", .rank = 1,
      .help = "keys and commands, which can be run from there; words", .run = to_help },
    { .name = "next-screen", .keys = "Tab", .brief = "screen", .rank = 6,
      .help = "the next screen", .run = next_screen },
    { .name = "previous-screen", .keys = "Shift-Tab", .help = "the screen before", .run = previous_screen },
    { .name = "back", .keys = "Esc", .help = "where we came from", .run = back },
    { .name = "command", .keys = ":", .brief = "command", .rank = 5,
      .help = "type the name of a command; Tab completes", .run = command },
    { .name = "palette", .keys = "Ctrl-P F2", .help = "pick from all commands, with their keys", .run = palette },
    { .name = "search", .keys = "/", .arg = QS_ARG_REGEX, .arg_optional = true, .brief = "search", .rank = 7,
      .help = "search by regular expression", .refuse = cannot_search, .run = search },
    { .name = "next-match", .keys = "n", .help = "the next match", .refuse = cannot_search, .run = find_next },
    { .name = "previous-match", .keys = "N",
      .help = "the match before", .refuse = cannot_search, .run = find_previous },
    { .name = "undo", .keys = "u", .brief = "undo", .rank = 4,
      .help = "take back the last change of the recipe", .refuse = cannot_undo, .run = undo },
    { .name = "redo", .keys = "Ctrl-R",
      .help = "make the change again that was taken back", .refuse = cannot_redo, .run = redo },
    { .name = "open", .keys = "o", .arg = QS_ARG_FILE, .help = "open a model", .run = open_file },
    { .name = "write", .keys = "W", .arg = QS_ARG_FILE, .arg_optional = true, .brief = "write", .rank = 2,
      .help = "write the file as the recipe says; goes on with one that was interrupted", .refuse = needs_document, .run = qs_app_write },
    { .name = "write-parts", .arg = QS_ARG_TEXT,
      .help = "write in parts of at most SIZE (4GiB, 800MiB)", .refuse = needs_document, .run = qs_app_write_parts },
    { .name = "write-modelfile", .arg = QS_ARG_FILE, .arg_optional = true,
      .help = "write the file, and an Ollama Modelfile beside it",
      .refuse = needs_document, .run = qs_app_write_modelfile },
    { .name = "imatrix", .arg = QS_ARG_FILE,
      .help = "use an importance matrix, or none", .refuse = needs_document, .run = set_imatrix },
    { .name = "requantize", .arg = QS_ARG_WORDS, .words = "on off",
      .help = "allow weights that are quantized already to be quantized again",
      .refuse = needs_document, .run = requantize },
    { .name = "theme", .arg = QS_ARG_THEME, .help = "other colours", .run = theme },
    { .name = "theme-reload", .help = "read the theme's file again", .run = reload_theme },
    { .name = "mouse", .keys = "Ctrl-T F12", .brief = "mouse", .rank = 15, .arg = QS_ARG_WORDS, .arg_optional = true,
      .words = "on off",
      .help = "let go of the mouse so that the terminal selects text, or take it", .run = mouse },
    { .name = "set", .arg = QS_ARG_SETTING,
      .help = "change a setting (NAME VALUE) and keep it; NAME alone shows it", .run = set },
    { .name = "save-screen", .arg = QS_ARG_FILE,
      .help = "write what is seen: FILE.txt, FILE.ans or FILE.svg", .run = save_screen },
    { .name = "save-screen!", .arg = QS_ARG_FILE,
      .help = "the same, over a file that exists", .run = save_screen_over },
    { .name = "redraw", .keys = "Ctrl-L", .help = "draw everything anew", .run = redraw },
    { .name = "suspend", .keys = "Ctrl-Z", .help = "stop for a while (fg in the shell goes on)", .run = suspend },
    { .name = "quit", .keys = "q Ctrl-C", .brief = "quit", .rank = 0, .help = "quit", .run = quit },
    { .name = "quit!", .help = "quit without asking", .run = quit_now },
    { .name = NULL }
};
