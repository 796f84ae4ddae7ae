/* screen_overview.c - what the open model is, weighs and needs; without one, or on request, the models to open.
 *
 * Owns the report of the model and the list of models found, which a job of its own fills.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/text.h"
#include "core/library.h"
#include "core/model/need.h"
#include "core/report/report_info.h"
#include "ui/app_internal.h"
#include "ui/facts_view.h"
#include "ui/list.h"
#include "ui/match.h"

struct overview {
    struct qs_report *report;
    struct qs_facts_view facts;
    bool metadata;               /* all of it */
    bool picking;                /* models are shown though one is open */
    struct qs_library *library;
    unsigned job;                /* that looks for models; 0: none yet */
    uint64_t version;
    struct qs_list list;         /* lines: headings and models */
    struct row { bool heading; enum qs_library_group group; size_t entry; } *row;
    size_t n, cap;
    struct qs_library_entry *entry; /* scratch */
};

static struct overview *overview_of(struct qs_app *a) { return qs_app_state(a, &qs_screen_overview); }
static bool picks(struct qs_app *a) { return !qs_app_doc(a) || overview_of(a)->picking; }

/* ---- looking for models ---- */

static bool looking(struct qs_app *a)
{
    const struct qs_work *w = qs_workbench_job_by_id(qs_app_bench(a), overview_of(a)->job);
    return w && (w->status.state == QS_JOB_RUNNING || w->status.state == QS_JOB_PAUSED);
}

static void look(struct qs_app *a)
{
    struct overview *o = overview_of(a);
    struct qs_err e = QS_ERR_INIT;
    int rc = QS_OK;
    if (looking(a) || qs_app_private(a))
        return;
    if (!o->library)
        rc = qs_library_new(NULL, &o->library, &e);
    if (!rc)
        rc = qs_workbench_start(qs_app_bench(a), "looking", "look for models on this machine", qs_library_scan,
                                o->library, NULL, &o->job, &e);
    if (rc)
        qs_app_fail(a, &e);
}

static bool add_row(struct overview *o, struct row r)
{
    if (!qs_grow(&o->row, &o->cap, o->n + 1, sizeof *o->row))
        return false;
    o->row[o->n++] = r;
    return true;
}

/* Lines anew: groups in their order, each with a heading. The cursor stays with its model. */
static void list_models(struct overview *o)
{
    const size_t n = o->library ? qs_library_count(o->library) : 0;
    const bool was = o->list.cursor < o->n && !o->row[o->list.cursor].heading;
    const struct row at = was ? o->row[o->list.cursor] : (struct row){ true, QS_LIBRARY_RECENT, 0 };
    bool ok = true;
    o->n = 0;
    for (int g = 0; g < QS_LIBRARY_GROUPS; g++) {
        bool heading = false;
        for (size_t i = 0; i < n && ok; i++) {
            if (!qs_library_get(o->library, i, o->entry) || o->entry->group != (enum qs_library_group)g)
                continue;
            if (!heading)
                ok &= add_row(o, (struct row){ true, (enum qs_library_group)g, 0 });
            heading = true;
            ok &= add_row(o, (struct row){ false, (enum qs_library_group)g, i });
        }
    }
    qs_list_set(&o->list, o->n, o->list.shown);
    for (size_t i = 0; was && i < o->n; i++)
        if (!o->row[i].heading && o->row[i].group == at.group && o->row[i].entry == at.entry)
            qs_list_to(&o->list, i);
}

static bool poll(struct qs_app *a)
{
    struct overview *o = overview_of(a);
    if (!o->library || qs_library_version(o->library) == o->version)
        return false;
    o->version = qs_library_version(o->library);
    list_models(o);
    return true;
}

/* ---- drawing ---- */

static void draw_model(struct qs_app *a, const struct qs_canvas *c, int y, const struct qs_library_entry *m, bool here)
{
    const int cols = qs_canvas_cols(c), name = cols >= 100 ? cols / 2 : cols - 34 > 12 ? cols - 34 : 12;
    const struct qs_style style = qs_app_look(a, here ? QS_LOOK_CURSOR : m->openable ? QS_LOOK_TEXT : QS_LOOK_MUTED);
    char size[24], label[520];
    snprintf(label, sizeof label, "%s%s%s", m->name, m->file[0] ? "  " : "", m->file);
    qs_draw_fill(c, (struct qs_rect){ y, 0, 1, cols }, style);
    qs_draw_text(c, y, 0, style, here ? ">" : " ", 1);
    qs_draw_fit(c, y, 2, style, label, name, QS_FIT_MIDDLE);
    qs_draw_matches(c, y, 2, label, name, qs_app_search(a), qs_app_look(a, QS_LOOK_MATCH));
    qs_draw_fit(c, y, name + 3, style, m->missing ? "missing" : qs_fmt_bytes(size, sizeof size, m->bytes), 11,
                QS_FIT_RIGHT);
    qs_draw_fit(c, y, name + 16, style, m->type, 8, QS_FIT_LEFT);
    qs_draw_text(c, y, name + 25, style, m->openable ? m->arch : m->note, -1);
}

static void draw_picker(struct qs_app *a, const struct qs_canvas *c)
{
    struct overview *o = overview_of(a);
    const int cols = qs_canvas_cols(c), rows = qs_canvas_rows(c) - 3;
    qs_draw_text(c, 0, 1, qs_app_look(a, QS_LOOK_TITLE),
                 qs_workbench_opening(qs_app_bench(a)) ? "A model is being opened ..."
                 : looking(a)                          ? "Models on this machine (looking ...)"
                                                       : "Models on this machine",
                 -1);
    const bool on_model = o->list.cursor < o->n && !o->row[o->list.cursor].heading &&
                          qs_library_get(o->library, o->row[o->list.cursor].entry, o->entry) && o->entry->note[0];
    qs_draw_text(c, 1, 1, qs_app_look(a, QS_LOOK_MUTED),
                 on_model ? o->entry->note : "Enter opens, o opens a file by its name", -1);
    if (!o->n && !looking(a) && o->library)
        qs_draw_wrapped(&(struct qs_canvas) { c->cells, { c->at.y + 3, c->at.x + 1, rows, cols - 1 }, c->ascii }, 0, 0,
                        0, qs_app_look(a, QS_LOOK_TEXT),
                        "None was found in this folder nor where Hugging Face, Ollama, LM Studio and "
                        "llama.cpp keep theirs.");
    qs_list_set(&o->list, o->n, rows > 0 ? (size_t)rows : 1);
    const struct qs_canvas lines = qs_canvas_part(c, (struct qs_rect){ 3, 0, rows, cols });
    o->list.at = lines.at;
    for (int y = 0; y < rows && o->list.top + (size_t)y < o->n; y++) {
        const size_t i = o->list.top + (size_t)y;
        if (o->row[i].heading) {
            const struct qs_style style = qs_app_look(a, i == o->list.cursor ? QS_LOOK_CURSOR : QS_LOOK_TITLE);
            qs_draw_fill(&lines, (struct qs_rect){ y, 0, 1, cols }, style);
            qs_draw_text(&lines, y, 0, style, qs_library_group_title(o->row[i].group), -1);
        } else if (qs_library_get(o->library, o->row[i].entry, o->entry)) {
            draw_model(a, &lines, y, o->entry, i == o->list.cursor);
        }
    }
}

static void draw_facts(struct qs_app *a, const struct qs_canvas *c)
{
    struct overview *o = overview_of(a);
    if (!o->report) {
        const struct qs_info_args args = { .memory = qs_machine_memory(), .metadata = o->metadata };
        o->report = qs_report_info(qs_app_doc(a)->model, &args);
        qs_facts_view_set(&o->facts, o->report);
    }
    o->facts.search = qs_app_search(a);
    qs_facts_view_draw(&o->facts, c, qs_app_theme(a));
}

static void draw(struct qs_app *a, const struct qs_canvas *c)
{
    if (picks(a))
        draw_picker(a, c);
    else
        draw_facts(a, c);
}

/* ---- doing ---- */

static void move(struct qs_app *a, enum qs_list_move m)
{
    struct overview *o = overview_of(a);
    if (!picks(a)) {
        qs_facts_view_move(&o->facts, m);
        return;
    }
    qs_list_move(&o->list, m);
    if (o->list.cursor < o->n && o->row[o->list.cursor].heading && (m == QS_LIST_UP || m == QS_LIST_DOWN)) {
        if (!qs_list_move(&o->list, m)) /* a heading is nothing to stand on, but at the top */
            qs_list_move(&o->list, QS_LIST_DOWN);
    }
}


static const char *not_picking(struct qs_app *a) { return picks(a) ? NULL : "M shows the models that can be opened"; }
static const char *not_reading(struct qs_app *a) { return picks(a) ? "no model is shown" : NULL; }

static void open_entry(struct qs_app *a, const char *arg)
{
    struct overview *o = overview_of(a);
    (void)arg;
    if (o->list.cursor < o->n && o->row[o->list.cursor].heading)
        qs_list_move(&o->list, QS_LIST_DOWN);
    if (o->list.cursor >= o->n || o->row[o->list.cursor].heading ||
        !qs_library_get(o->library, o->row[o->list.cursor].entry, o->entry))
        return;
    if (o->entry->missing)
        qs_app_warn(a, "%s is gone", o->entry->name);
    else if (!o->entry->openable)
        qs_app_warn(a, "%s", o->entry->note);
    else
        qs_app_open_asking(a, o->entry->path);
}

static const char *not_recent(struct qs_app *a)
{
    const struct overview *o = overview_of(a);
    return picks(a) && o->list.cursor < o->n && !o->row[o->list.cursor].heading &&
                   o->row[o->list.cursor].group == QS_LIBRARY_RECENT
               ? NULL
               : "only recent models can be forgotten";
}

static void forget_entry(struct qs_app *a, const char *arg)
{
    struct overview *o = overview_of(a);
    struct qs_err e = QS_ERR_INIT;
    (void)arg;
    if (!qs_library_get(o->library, o->row[o->list.cursor].entry, o->entry))
        return;
    if (qs_library_forget(o->entry->path, &e))
        qs_app_fail(a, &e);
    else
        qs_app_say(a, "forgotten: %s (the file stays)", o->entry->name);
    look(a);
}

static void models(struct qs_app *a, const char *arg)
{
    struct overview *o = overview_of(a);
    (void)arg;
    o->picking = !o->picking;
    if (o->picking)
        look(a);
}

static void metadata(struct qs_app *a, const char *arg)
{
    struct overview *o = overview_of(a);
    (void)arg;
    o->metadata = !o->metadata;
    qs_facts_view_set(&o->facts, NULL);
    qs_report_free(o->report);
    o->report = NULL;
}

static void leave(struct qs_app *a, const char *arg)
{
    struct overview *o = overview_of(a);
    (void)arg;
    if (o->picking)
        o->picking = false;
    else
        qs_app_back(a);
}

static bool matches(void *ctx, size_t line)
{
    const struct qs_app_find *f = ctx;
    struct overview *o = overview_of(f->app);
    return !o->row[line].heading && qs_library_get(o->library, o->row[line].entry, o->entry) &&
           (qs_regex_find(f->re, o->entry->name, strlen(o->entry->name), 0, NULL, NULL) == 1 ||
            qs_regex_find(f->re, o->entry->file, strlen(o->entry->file), 0, NULL, NULL) == 1);
}

static bool find(struct qs_app *a, const struct qs_regex *re, int step)
{
    return picks(a) ? qs_list_find(&overview_of(a)->list, step, matches, &(struct qs_app_find) { a, re })
                    : qs_facts_view_find(&overview_of(a)->facts, re, step < 0) > 0;
}

static bool event(struct qs_app *a, const struct qs_event *ev)
{
    struct overview *o = overview_of(a);
    struct qs_event screen = *ev;
    qs_app_to_screen(a, &screen);
    if (ev->kind != QS_EVENT_MOUSE)
        return false;
    return picks(a) ? qs_list_mouse(&o->list, &screen) : qs_facts_view_mouse(&o->facts, &screen);
}

/* ---- life ---- */

static int init(struct qs_app *a, void *state, struct qs_err *e)
{
    struct overview *o = state;
    (void)a;
    o->facts = (struct qs_facts_view)QS_FACTS_VIEW_INIT;
    o->entry = qs_calloc(1, sizeof *o->entry);
    return o->entry ? QS_OK : qs_fail_mem(e, sizeof *o->entry, "a list of models");
}

static void done(void *state)
{
    struct overview *o = state;
    qs_library_free(o->library);
    qs_facts_view_free(&o->facts);
    qs_report_free(o->report);
    qs_free(o->row);
    qs_free(o->entry);
}

static void enter(struct qs_app *a)
{
    if (!qs_app_doc(a) && !qs_workbench_opening(qs_app_bench(a)) && !overview_of(a)->library)
        look(a);
}

static void document(struct qs_app *a)
{
    struct overview *o = overview_of(a);
    if (!qs_app_doc(a))
        enter(a);
    qs_facts_view_set(&o->facts, NULL);
    qs_report_free(o->report);
    o->report = NULL;
    o->picking = false;
}

static const struct qs_action actions[] = {
    { .name = "open-this", .keys = "Enter", .brief = "open", .rank = 2,
      .help = "open the model under the cursor", .refuse = not_picking, .run = open_entry },
    { .name = "forget", .keys = "x Delete",
      .help = "take the model off the recent ones; the file stays", .refuse = not_recent, .run = forget_entry },
    { .name = "models", .keys = "M", .brief = "models", .rank = 4,
      .help = "show the models found on this machine, or the open one again", .run = models },
    { .name = "metadata", .keys = "m", .brief = "metadata", .rank = 5,
      .help = "show all metadata, or only what is essential", .refuse = not_reading, .run = metadata },
    { .name = "leave", .keys = "Esc", .help = "from the models to the open one, or back", .run = leave },
    { .name = NULL }
};

const struct qs_screen qs_screen_overview = {
    .name = "Overview",
    .about = "what the model is, weighs and needs; models to open",
    .actions = actions,
    .state_size = sizeof(struct overview),
    .init = init,
    .done = done,
    .enter = enter,
    .document = document,
    .draw = draw,
    .move = move,
    .event = event,
    .find = find,
    .poll = poll,
};
