/* screen_help.c - help: keys and commands of the screen we come from, of all screens, and words; what it lists can be run.
 *
 * Made from the tables that dispatch. Owns its list of lines.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ui/app_internal.h"
#include "ui/list.h"

enum kind { HEADING, TEXT, ACTION, WORD };

struct help_line { enum kind kind; const struct qs_action *action; const char *text, *more; };

struct help {
    struct qs_list list;
    struct help_line *line;
    size_t n, cap;
    const struct qs_screen *of; /* listed first */
    bool made;
};

static const struct { const char *word, *meaning; } words[] = {
    { "bpw", "bits per weight, scales and minima included" },
    { "block", "weights that share a scale: 32, or 256 in a super-block" },
    { "error", "relative RMS error of a tensor's weights: sqrt(sum (w - w')^2 / sum w^2)" },
    { "~", "the number was measured on a sample of whole rows; M measures all weights" },
    { "importance matrix", "how much each input channel matters, from a calibration; encoders weigh errors by it" },
    { "kurtosis", "how heavy the tails of a distribution are; 3 for a Gaussian" },
    { "outlier", "a row or column whose largest weight is 4 times that of the median one or more" },
    { "pin", "a type for one tensor by its name; comes before rules and preset" },
    { "preset", "llama.cpp's mixture of types of one name, such as Q4_K_M" },
    { "recipe", "preset, pins and ordered rules: what each tensor becomes" },
    { "role", "what a tensor is for: attn_q, ffn_down, token_embd" },
    { "rule", "a regular expression on names and a type; the first that matches decides" },
    { "sd", "standard deviation" },
};

static bool add(struct help *h, struct help_line l)
{
    if (!qs_grow(&h->line, &h->cap, h->n + 1, sizeof *h->line))
        return false;
    h->line[h->n++] = l;
    return true;
}

static void add_actions(struct help *h, const char *name, const char *about, const struct qs_action *t)
{
    if (!t || !t->name)
        return;
    add(h, (struct help_line){ .kind = HEADING, .text = name, .more = about });
    for (; t->name; t++)
        add(h, (struct help_line){ .kind = ACTION, .action = t });
    add(h, (struct help_line){ .kind = TEXT, .text = "" });
}

static struct help *help_of(struct qs_app *a) { return qs_app_state(a, &qs_screen_help); }

static void refresh(struct qs_app *a)
{
    struct help *h = help_of(a);
    if (h->made)
        return;
    h->n = 0;
    if (h->of && h->of != &qs_screen_help)
        add_actions(h, h->of->name, h->of->about, h->of->actions);
    add_actions(h, "Moving", "on every screen that has lines", qs_move_actions);
    add_actions(h, "Everywhere", "on every screen", qs_global_actions);
    for (size_t i = 0; qs_screens[i]; i++)
        if (qs_screens[i] != h->of && qs_screens[i] != &qs_screen_help)
            add_actions(h, qs_screens[i]->name, qs_screens[i]->about, qs_screens[i]->actions);
    add(h, (struct help_line){ .kind = HEADING, .text = "Words", .more = "" });
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        add(h, (struct help_line){ .kind = WORD, .text = words[i].word, .more = words[i].meaning });
    add(h, (struct help_line){ .kind = TEXT, .text = "" });
    add(h, (struct help_line) { .kind = TEXT,
                                .text = "Everything can also be had from the command line: quantscape --help." });
    h->made = true;
}

static void enter(struct qs_app *a)
{
    struct help *h = help_of(a);
    h->of = qs_app_before(a);
    h->made = false;
    h->list.cursor = h->list.top = 0;
}

/* ---- drawing ---- */

static void draw_line(struct qs_app *a, const struct qs_canvas *c, int y, const struct help_line *l, bool here)
{
    const int cols = qs_canvas_cols(c), keys = cols >= 70 ? 20 : 12, name = cols >= 90 ? 18 : 0;
    struct qs_style style = qs_app_look(a, here ? QS_LOOK_CURSOR : QS_LOOK_TEXT);
    qs_draw_fill(c, (struct qs_rect){ y, 0, 1, cols }, style);
    if (here)
        qs_draw_text(c, y, 0, style, ">", 1);
    switch (l->kind) {
    case HEADING: {
        const int n = qs_draw_text(c, y, 1, here ? style : qs_app_look(a, QS_LOOK_TITLE), l->text, -1);
        qs_draw_text(c, y, n + 3, here ? style : qs_app_look(a, QS_LOOK_MUTED), l->more, -1);
        break;
    }
    case TEXT: qs_draw_text(c, y, 1, style, l->text, -1); break;
    case WORD:
        qs_draw_fit(c, y, 2, here ? style : qs_app_look(a, QS_LOOK_TITLE), l->text, keys, QS_FIT_LEFT);
        qs_draw_text(c, y, 3 + keys, style, l->more, -1);
        break;
    case ACTION: {
        char command[64];
        snprintf(command, sizeof command, ":%s", l->action->name);
        qs_draw_fit(c, y, 2, here ? style : qs_app_look(a, QS_LOOK_POPUP_KEY),
                    l->action->keys ? l->action->keys : command, keys, QS_FIT_LEFT);
        if (name)
            qs_draw_fit(c, y, 3 + keys, here ? style : qs_app_look(a, QS_LOOK_MUTED), command, name, QS_FIT_LEFT);
        qs_draw_text(c, y, 3 + keys + (name ? name + 1 : 0), style, l->action->help, -1);
        break;
    }
    }
}

static const char *line_text(const struct help_line *l)
{
    return l->kind == ACTION ? l->action->help : l->kind == WORD ? l->more : l->text;
}

/* The line under the cursor in full: it may be cut above. */
static void draw_below(struct qs_app *a, const struct qs_canvas *c, const struct help_line *l)
{
    char text[400];
    snprintf(text, sizeof text, "%s%s%s", l->kind == ACTION ? l->action->name : l->kind == WORD ? l->text : "",
             l->kind == ACTION || l->kind == WORD ? ": " : "", line_text(l));
    qs_draw_wrapped(c, 0, 0, 2, qs_app_look(a, QS_LOOK_TEXT), text);
}

static void draw(struct qs_app *a, const struct qs_canvas *c)
{
    struct help *h = help_of(a);
    const int all = qs_canvas_rows(c), cols = qs_canvas_cols(c), detail = all >= 12 && cols < 140 ? 2 : 0;
    const int rows = all - detail - (detail > 0);
    qs_list_set(&h->list, h->n, rows > 0 ? (size_t)rows : 1);
    h->list.at = (struct qs_rect){ c->at.y, c->at.x, rows, cols };
    for (int y = 0; y < rows && h->list.top + (size_t)y < h->n; y++) {
        const size_t i = h->list.top + (size_t)y;
        draw_line(a, c, y, &h->line[i], i == h->list.cursor);
    }
    qs_list_draw_bar(&h->list, &(struct qs_canvas){ c->cells, { c->at.y, c->at.x + cols - 1, rows, 1 }, c->ascii },
                     qs_app_theme(a));
    if (detail && h->list.cursor < h->n) {
        const struct qs_canvas below = qs_canvas_part(c, (struct qs_rect){ rows + 1, 0, detail, cols });
        qs_draw_hline(c, rows, 0, cols, qs_app_look(a, QS_LOOK_FRAME));
        draw_below(a, &below, &h->line[h->list.cursor]);
    }
}

/* ---- doing ---- */

static void move(struct qs_app *a, enum qs_list_move m) { qs_list_move(&help_of(a)->list, m); }

static void run_it(struct qs_app *a, const char *arg)
{
    const struct help *h = help_of(a);
    (void)arg;
    if (h->list.cursor >= h->n || h->line[h->list.cursor].kind != ACTION) {
        qs_app_say(a, "there is nothing to run in this line");
        return;
    }
    const struct qs_action *t = h->line[h->list.cursor].action;
    qs_app_back(a); /* it is meant for where we came from */
    qs_action_do(a, t, NULL);
}

static bool matches(void *ctx, size_t line)
{
    const struct qs_app_find *f = ctx;
    const struct help_line *l = &help_of(f->app)->line[line];
    const char *const texts[] = { line_text(l), l->kind == ACTION ? l->action->name : l->text,
                                  l->kind == ACTION ? l->action->keys : NULL };
    for (int k = 0; k < 3; k++)
        if (texts[k] && qs_regex_find(f->re, texts[k], strlen(texts[k]), 0, NULL, NULL) == 1)
            return true;
    return false;
}

static bool find(struct qs_app *a, const struct qs_regex *re, int step)
{
    return qs_list_find(&help_of(a)->list, step, matches, &(struct qs_app_find){ a, re });
}

static bool event(struct qs_app *a, const struct qs_event *ev)
{
    struct qs_event screen = *ev;
    qs_app_to_screen(a, &screen);
    return ev->kind == QS_EVENT_MOUSE && qs_list_mouse(&help_of(a)->list, &screen);
}

static void done(void *state)
{
    struct help *h = state;
    qs_free(h->line);
}

static const struct qs_action actions[] = {
    { .name = "run", .keys = "Enter", .brief = "run it", .rank = 2,
      .help = "run the command under the cursor", .run = run_it },
    { .name = NULL }
};

const struct qs_screen qs_screen_help = {
    .name = "Help",
    .about = "keys, commands, words",
    .actions = actions,
    .state_size = sizeof(struct help),
    .done = done,
    .enter = enter,
    .refresh = refresh,
    .draw = draw,
    .move = move,
    .event = event,
    .find = find,
};
