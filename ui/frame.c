/* frame.c - what stands around every screen: tabs, the state of the document, the footer with keys and running jobs.
 *
 * Owns where each of them is and what gives way where room is short. Draws; decides nothing else.
 */
#include "ui/app_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/text.h"
#include "base/unicode.h"

static int width_of(const char *s)
{
    return (int)qs_utf8_width(s, strlen(s));
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* ---- tabs ---- */

static uint32_t tab_key(const struct qs_screen *s)
{
    return s == &qs_screen_help ? '?' : (uint32_t)('1' + qs_screen_index(s));
}

static const char *tab_name(const struct qs_screen *s) { return s->tab ? s->tab : s->name; }

enum { NARROW = 60, NAME_LEAST = 12 /* columns */ };

static void draw_tab(struct qs_app *a, const struct qs_canvas *c, const struct qs_rect *at, int *x,
                     const struct qs_screen *s, bool name)
{
    const bool here = a->screen == s;
    char text[48];
    snprintf(text, sizeof text, "%s%c%s%s%s", here ? "[" : " ", (char)tab_key(s), name ? " " : "", name ? tab_name(s) : "",
             here ? "]" : name || at->cols >= NARROW ? " " : "");
    const int n = width_of(text);
    if (*x + n > at->cols)
        return;
    if (a->n_tabs < QS_SCREENS_MAX)
        a->tab[a->n_tabs++] = (struct qs_tab){ at->y, at->x + *x, at->x + *x + n, s };
    qs_draw_text(c, 0, *x, qs_app_look(a, here ? QS_LOOK_BAR_HERE : QS_LOOK_BAR), text, n);
    *x += n;
}

/* With their names, each one's last column the next one's first: the one that is open is drawn again over its
 * neighbours. */
static void draw_tight_tabs(struct qs_app *a, const struct qs_canvas *c, const struct qs_rect *at, int *x)
{
    int open = 0;
    for (size_t i = 0; qs_screens[i]; i++) {
        if (qs_screens[i]->hidden)
            continue;
        if (a->screen == qs_screens[i])
            open = *x;
        draw_tab(a, c, at, x, qs_screens[i], true);
        --*x;
    }
    if (!a->screen->hidden) {
        draw_tab(a, c, at, &open, a->screen, true);
        a->n_tabs--;
    }
    ++*x;
}

static int tabs_width(const struct qs_app *a, bool names)
{
    int n = 0;
    for (size_t i = 0; qs_screens[i]; i++)
        if (!qs_screens[i]->hidden)
            n += 3 + (names || a->screen == qs_screens[i] ? 1 + (int)strlen(tab_name(qs_screens[i])) : 0);
    return n;
}

static int tabs_count(void)
{
    int n = 0;
    for (size_t i = 0; qs_screens[i]; i++)
        n += !qs_screens[i]->hidden;
    return n;
}

/* All tabs with their names, closer where that is too long, or the others by key alone; the file at the right. */
static void draw_tabs(struct qs_app *a, const struct qs_canvas *all, struct qs_rect at)
{
    const struct qs_canvas c = qs_canvas_part(all, at);
    const int wide = tabs_width(a, true);
    const bool names = wide <= at.cols, tight = !names && wide - tabs_count() + 1 <= at.cols;
    int x = 0;
    a->n_tabs = 0;
    qs_draw_fill(&c, (struct qs_rect){ 0, 0, 1, at.cols }, qs_app_look(a, QS_LOOK_BAR));
    if (tight)
        draw_tight_tabs(a, &c, &at, &x);
    for (size_t i = 0; !tight && qs_screens[i]; i++)
        if (!qs_screens[i]->hidden)
            draw_tab(a, &c, &at, &x, qs_screens[i], names || a->screen == qs_screens[i]);
    const struct qs_doc *d = qs_app_doc(a);
    a->file_shown = at.cols - x >= NAME_LEAST;
    if (!d || !a->file_shown)
        return;
    struct qs_str name = QS_STR_INIT;
    qs_text_clean(&name, file_name(d->model->path), a->ascii);
    qs_draw_fit(&c, 0, x + 1, qs_app_look(a, QS_LOOK_BAR), name.data, at.cols - x - 2, QS_FIT_RIGHT);
    qs_str_free(&name);
}

/* ---- the document ---- */

/* The change against the preset; short: without its name. */
static void add_change(struct qs_str *out, const struct qs_doc *d, bool full)
{
    char size[24];
    const uint64_t now = d->plan->bytes, before = d->baseline ? d->baseline->bytes : now;
    if (!d->baseline)
        return;
    if (now == before)
        qs_str_addf(out, full ? "  as %s" : "  =", d->recipe->preset->name);
    else
        qs_str_addf(out, "  %s%s", now > before ? "+" : "-",
                    qs_fmt_bytes(size, sizeof size, now > before ? now - before : before - now));
    if (now != before && full)
        qs_str_addf(out, " against %s", d->recipe->preset->name);
}

/* The file's name, where the tabs have left no room for it. */
static void add_name(const struct qs_app *a, const struct qs_doc *d, struct qs_str *out)
{
    struct qs_str name = QS_STR_INIT;
    qs_text_clean(&name, file_name(d->model->path), a->ascii);
    qs_text_shorten(out, name.data, 24, a->ascii);
    qs_str_add(out, "  ");
    qs_str_free(&name);
}

static void add_recipe(const struct qs_doc *d, bool full, struct qs_str *out)
{
    const struct qs_recipe *r = d->recipe;
    qs_str_addf(out, "%s%s%s", d->plan->blocker.code ? "! " : "", r->preset->name, r->pure ? " pure" : "");
    if (r->n_pins)
        qs_str_addf(out, full ? " + %zu pin%s" : " +%zup", r->n_pins, r->n_pins == 1 ? "" : "s");
    if (r->n_rules)
        qs_str_addf(out, full ? " + %zu rule%s" : " +%zur", r->n_rules, r->n_rules == 1 ? "" : "s");
    if (full && d->recipe_changed && d->recipe_path)
        qs_str_add(out, " (not saved)");
}

static void add_error(struct qs_app *a, struct qs_str *out)
{
    const struct qs_total_error t = qs_workbench_error(a->bench);
    char error[QS_FMT_MAX];
    if (!isnan(t.rms))
        qs_str_addf(out, "  error %s%s", qs_fmt_percent(error, sizeof error, t.rms, 2),
                    t.sampled || t.known < t.tensors ? "~" : "");
    if (t.known < t.tensors)
        qs_str_addf(out, "%s%zu of %zu known", isnan(t.rms) ? "  error: " : ", ", t.known, t.tensors);
}

/* Left: what the file is made by; right: what it will weigh and cost. From all of it down to what fits. */
static void draw_state(struct qs_app *a, const struct qs_canvas *all, struct qs_rect at)
{
    static const struct { bool name, recipe, change, error; } forms[] = {
        { true, true, true, true },    { true, true, false, true },   { false, true, true, true },
        { false, true, false, true },  { false, false, false, true }, { false, false, false, false },
    };
    const struct qs_canvas c = qs_canvas_part(all, at);
    const struct qs_style bar = qs_app_look(a, QS_LOOK_BAR);
    const struct qs_doc *d = qs_app_doc(a);
    qs_draw_fill(&c, (struct qs_rect){ 0, 0, 1, at.cols }, bar);
    if (!d) {
        qs_draw_text(&c, 0, 1, bar, qs_workbench_opening(a->bench) ? "opening ..." : "no model is open", at.cols - 1);
        return;
    }
    struct qs_str left = QS_STR_INIT, right = QS_STR_INIT;
    char size[24];
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        qs_str_clear(&left);
        qs_str_clear(&right);
        if (forms[i].name && !a->file_shown)
            add_name(a, d, &left);
        add_recipe(d, forms[i].recipe, &left);
        qs_str_addf(&right, "%s  %.3f bpw", qs_fmt_bytes(size, sizeof size, qs_app_file_bytes(a)), d->plan->bpw);
        add_change(&right, d, forms[i].change);
        if (forms[i].error)
            add_error(a, &right);
        if (width_of(left.data) + width_of(right.data) + 4 <= at.cols)
            break;
    }
    const int n = width_of(right.data);
    qs_draw_text(&c, 0, at.cols - 1 - n > 1 ? at.cols - 1 - n : 1, bar, right.data, at.cols - 2);
    qs_draw_fit(&c, 0, 1, d->plan->blocker.code ? qs_app_look(a, QS_LOOK_WARNING) : bar, left.data,
                at.cols - n - 4 > 0 ? at.cols - n - 4 : 0, QS_FIT_LEFT);
    qs_str_free(&left);
    qs_str_free(&right);
}

/* ---- the footer ---- */

static void key_label(const struct qs_action *t, char *buf, size_t n)
{
    snprintf(buf, n, "%.*s", (int)strcspn(t->keys, " "), t->keys);
}

/* The actions worth a place in the footer, up to a rank, the screen's own first. Returns the cells they take. */
static int footer_actions(struct qs_app *a, unsigned rank, const struct qs_action **out, size_t max, size_t *n)
{
    const struct qs_action *const lists[] = { qs_app_doc(a) || !a->screen->needs_document ? a->screen->actions : NULL,
                                              qs_global_actions };
    int cells = 0;
    *n = 0;
    for (size_t k = 0; k < 2; k++)
        for (const struct qs_action *t = lists[k]; t && t->name; t++)
            if (t->brief && t->keys && t->rank <= rank && *n < max && !(t->refuse && t->refuse(a))) {
                char key[24];
                key_label(t, key, sizeof key);
                cells += (int)strlen(key) + 1 + (int)strlen(t->brief) + 2;
                out[(*n)++] = t;
            }
    return cells;
}

/* What runs, in few words: "survey 43 %, 12 s left". */
static void add_jobs(struct qs_app *a, struct qs_str *out)
{
    size_t running = 0;
    const struct qs_work *shown = NULL;
    for (size_t i = 0; i < qs_workbench_jobs(a->bench); i++) {
        const struct qs_work *w = qs_workbench_job(a->bench, i);
        if (w->status.state != QS_JOB_RUNNING && w->status.state != QS_JOB_PAUSED)
            continue;
        running++;
        if (!shown || w->kind == QS_WORK_WRITE)
            shown = w;
    }
    if (!shown)
        return;
    const struct qs_job_status *st = &shown->status;
    char eta[32];
    qs_str_add(out, shown->pause_wanted ? "paused: " : "");
    qs_str_add(out, shown->word);
    if (st->total)
        qs_str_addf(out, " %.0f %%", 100.0 * (double)st->done / (double)st->total);
    if (st->eta >= 0 && !shown->pause_wanted)
        qs_str_addf(out, ", %s left", qs_fmt_seconds(eta, sizeof eta, st->eta));
    if (running > 1)
        qs_str_addf(out, " (+%zu)", running - 1);
}

static void draw_keys(struct qs_app *a, const struct qs_canvas *c, struct qs_rect at, int room)
{
    const struct qs_action *t[64];
    const char *typing = a->screen->typing ? a->screen->typing(a) : NULL;
    if (typing) {
        qs_draw_fit(c, 0, 0, qs_app_look(a, QS_LOOK_BAR), typing, room, QS_FIT_LEFT);
        return;
    }
    size_t n = 0;
    unsigned rank = 20;
    while (footer_actions(a, rank, t, 64, &n) > room && rank > 0)
        rank--;
    int x = 0;
    for (size_t i = 0; i < n; i++) {
        char key[24];
        key_label(t[i], key, sizeof key);
        const int from = x;
        x += qs_draw_text(c, 0, x, qs_app_look(a, QS_LOOK_BAR_KEY), key, -1) + 1;
        x += qs_draw_text(c, 0, x, qs_app_look(a, QS_LOOK_BAR), t[i]->brief, -1) + 2;
        if (a->n_buttons < sizeof a->button / sizeof *a->button)
            a->button[a->n_buttons++] = (struct qs_button){ at.y, at.x + from, at.x + x - 1, t[i] };
    }
}

/* With a sign of its weight besides the colour. */
static const char *marked_message(const struct qs_app *a, char *buf, size_t n)
{
    static const char *const marks[] = { [QS_LOG_NOTE] = "", [QS_LOG_WARNING] = "! ", [QS_LOG_ERROR] = "error: " };
    snprintf(buf, n, "%s%s", marks[a->message_level], a->message);
    return buf;
}

static struct qs_style message_style(const struct qs_app *a)
{
    static const enum qs_look looks[] = { [QS_LOG_NOTE] = QS_LOOK_BAR, [QS_LOG_WARNING] = QS_LOOK_WARNING,
                                          [QS_LOG_ERROR] = QS_LOOK_ERROR };
    return qs_app_look(a, looks[a->message_level]);
}

void qs_frame_message(struct qs_app *a, const struct qs_canvas *c)
{
    char text[sizeof a->message + 8];
    qs_draw_fill(c, (struct qs_rect){ 0, 0, 1, qs_canvas_cols(c) }, qs_app_look(a, QS_LOOK_BAR));
    qs_draw_text(c, 0, 0, message_style(a), marked_message(a, text, sizeof text), -1);
}

static void draw_footer(struct qs_app *a, const struct qs_canvas *all, struct qs_rect at)
{
    const struct qs_canvas c = qs_canvas_part(all, at);
    a->n_buttons = 0;
    qs_draw_fill(&c, (struct qs_rect){ 0, 0, 1, at.cols }, qs_app_look(a, QS_LOOK_BAR));
    if (a->message[0]) {
        qs_frame_message(a, &c);
        return;
    }
    struct qs_str jobs = QS_STR_INIT;
    add_jobs(a, &jobs);
    const int n = width_of(jobs.data);
    draw_keys(a, &c, at, at.cols - (n ? n + 2 : 0));
    if (n && n < at.cols)
        qs_draw_text(&c, 0, at.cols - n, qs_app_look(a, QS_LOOK_BAR), jobs.data, n);
    qs_str_free(&jobs);
}

/* A message too long for the footer takes the lines it needs above it. */
static void draw_long_message(struct qs_app *a, const struct qs_canvas *all, const struct qs_layout *l)
{
    char text[sizeof a->message + 8];
    marked_message(a, text, sizeof text);
    if (!a->message[0] || width_of(text) <= l->footer.cols || l->body.rows < 6)
        return;
    const int most = 6;
    struct qs_rect at = { l->footer.y - most, 0, most, l->footer.cols };
    const struct qs_canvas probe = qs_canvas_part(all, l->footer);
    int lines = qs_draw_wrapped(&probe, 1, 0, 2, qs_app_look(a, QS_LOOK_POPUP), text); /* below it: only counted */
    lines = lines < most ? lines : most;
    at = (struct qs_rect){ l->footer.y + 1 - lines, 0, lines, l->footer.cols };
    const struct qs_canvas c = qs_canvas_part(all, at);
    const struct qs_style style = message_style(a);
    qs_draw_fill(&c, (struct qs_rect){ 0, 0, lines, at.cols }, style);
    qs_draw_wrapped(&c, 0, 0, 2, style, text);
}

/* ---- all ---- */

static void draw_body(struct qs_app *a, const struct qs_canvas *all, struct qs_rect at)
{
    const struct qs_canvas c = qs_canvas_part(all, at);
    if (a->screen->needs_document && !qs_app_doc(a))
        qs_draw_wrapped(&c, 1, 0, 0, qs_app_look(a, QS_LOOK_TEXT), qs_workbench_opening(a->bench)
                        ? "The model is being opened ..."
                        : "No model is open. 1 shows the models found on this machine; :open FILE opens one by its name.");
    else {
        qs_screen_refresh(a);
        a->screen->draw(a, &c);
    }
}

void qs_frame_draw(struct qs_app *a, const struct qs_canvas *all, int *row, int *col)
{
    const struct qs_layout l = qs_layout_frame(qs_canvas_rows(all), qs_canvas_cols(all));
    a->n_tabs = a->n_buttons = 0;
    a->body = l.body;
    if (l.kind == QS_LAYOUT_TOO_SMALL && !a->small_ignored) {
        qs_draw_wrapped(all, 0, 0, 0, qs_app_look(a, QS_LOOK_TEXT),
                        "The terminal is too small: 40 columns and 10 rows are "
                        "needed. i: show what fits all the same. q: quit.");
        return;
    }
    if (l.tabs.rows) { /* tabs first, as everywhere */
        draw_tabs(a, all, l.header);
        draw_state(a, all, l.tabs);
    } else if (l.header.rows) {
        draw_tabs(a, all, (struct qs_rect){ l.header.y, l.header.x, 1, l.header.cols });
        draw_state(a, all, (struct qs_rect){ l.header.y + 1, l.header.x, 1, l.header.cols });
    }
    draw_body(a, all, l.body);
    if (l.footer.rows)
        draw_footer(a, all, l.footer);
    if (l.footer.rows)
        draw_long_message(a, all, &l);
    qs_modal_draw(a, all, row, col);
}
