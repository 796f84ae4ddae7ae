/* app.h - the program on the screen, without a terminal: events in, a grid of cells out.
 *
 * DESIGN. The app owns the workbench, the theme, the screens and whatever lies over them (prompt, pick list, question). It
 * never waits and knows no terminal: run.c gives it events and shows its cells, tests and scripts do the same without one.
 * A screen is one file with one `struct qs_screen`; what can be done on it is one table of `struct qs_action`, the source
 * of its keys, the footer, the help, completion after ':', the palette and the manual. Screens draw what they see in the
 * workbench at that moment and keep no copies of it that could go stale; what is dear to make is kept with the version it
 * was made for.
 */
#ifndef QS_UI_APP_H
#define QS_UI_APP_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "base/regex.h"
#include "core/workbench.h"
#include "ui/cells.h"
#include "ui/event.h"
#include "ui/list.h"
#include "ui/theme.h"

struct qs_app;
struct qs_settings;

/* ---- actions ------------------------------------------------------------------------------------------------- */

enum qs_arg { /* what may follow the name after ':' ; asked for by a prompt where it is missing and needed */
    QS_ARG_NONE, QS_ARG_TEXT, QS_ARG_FILE, QS_ARG_TYPE, QS_ARG_PRESET, QS_ARG_REGEX, QS_ARG_THEME, QS_ARG_SETTING,
    QS_ARG_WORDS /* one of `words` */
};

struct qs_action {
    const char *name;       /* "next-worst": after ':', in the palette and the manual */
    const char *keys;       /* as qs_key_parse knows them, separated by blanks: "j Down"; NULL: by name only */
    enum qs_arg arg;
    bool arg_optional;
    const char *words;      /* QS_ARG_WORDS: separated by blanks */
    const char *brief;      /* in the footer: "raise"; NULL: not there */
    unsigned char rank;     /* in the footer, where room is short: low ones stay */
    const char *help;       /* one line, lower case */
    const char *(*refuse)(struct qs_app *a);            /* NULL: can always be done; else why not now, NULL: it can */
    void (*run)(struct qs_app *a, const char *arg);     /* arg: NULL where none was given */
};

/* ---- screens ------------------------------------------------------------------------------------------------- */

struct qs_screen {
    const char *name;                /* "Map": tabs, help */
    const char *tab;                 /* shorter, for the tabs; NULL: the name */
    const char *about;               /* one line for the help */
    const struct qs_action *actions; /* ended by one without a name */
    bool needs_document;             /* without one, the screen says how to open one */
    bool hidden;                     /* no tab and no number: other screens lead to it */
    size_t state_size;               /* of its state: zeroed, then init; see qs_app_state */
    int (*init)(struct qs_app *a, void *state, struct qs_err *e); /* NULL: zeros will do */
    void (*done)(void *state);                                    /* NULL: nothing to free */
    void (*enter)(struct qs_app *a);                              /* shown again; may be NULL */
    void (*document)(struct qs_app *a);                           /* another document was opened, or closed; may be NULL */
    /* What it keeps is made to fit the document as it is now: called before its actions, move, event, find and draw. May
     * be NULL. */
    void (*refresh)(struct qs_app *a);
    void (*draw)(struct qs_app *a, const struct qs_canvas *c);    /* all of c */
    void (*move)(struct qs_app *a, enum qs_list_move m);          /* the keys that move everywhere (qs_move_actions); may be NULL */
    bool (*event)(struct qs_app *a, const struct qs_event *ev);   /* before the actions (mouse, text fields); true: taken. Mouse
                                                                   * positions are the canvas's. May be NULL */
    /* Search by regular expression (`/ n N`): goes to the next place that matches, step 1 or -1; step 0: the first from the
     * cursor on, the cursor's place included. False: none. NULL: the screen has nothing to search. */
    bool (*find)(struct qs_app *a, const struct qs_regex *re, int step);
    bool (*poll)(struct qs_app *a);                               /* looks after what comes by itself; true: draw again. May be NULL */
    /* What is typed goes into a field: the keys that mean something there, for the footer; NULL: keys act. May be NULL */
    const char *(*typing)(struct qs_app *a);
    bool (*busy)(struct qs_app *a);                               /* work runs that the workbench does not know; may be NULL */
    /* What a person would lose with the program's end, as a sentence; NULL: nothing. May be NULL */
    const char *(*unsaved)(struct qs_app *a);
};

extern const struct qs_screen *const qs_screens[]; /* in the order of the number keys, ended by NULL */
extern const struct qs_action qs_global_actions[];
extern const struct qs_action qs_move_actions[]; /* of every screen that moves */
extern const struct qs_screen qs_screen_overview, qs_screen_map, qs_screen_tensors, qs_screen_recipe, qs_screen_jobs,
    qs_screen_log, qs_screen_help, qs_screen_zoom, qs_screen_chat, qs_screen_calibrate, qs_screen_evaluate;

/* ---- for run.c, scripts and tests ---------------------------------------------------------------------------- */

struct qs_app_args {
    const char *path;          /* model to open; NULL: the picker */
    unsigned threads;          /* 0: as many as there are cores */
    int wake_fd;               /* gets a byte when a job has news; -1: none */
    enum qs_tier tier;
    bool unicode;
    const char *theme;         /* overrides the setting; NULL */
    struct qs_settings *config;  /* settings, taken over by the app if it is made; NULL: all defaults */
    bool private;              /* nothing is kept: settings, recent files (tests, scripts) */
};

int qs_app_new(const struct qs_app_args *args, struct qs_app **out, struct qs_err *e);
void qs_app_free(struct qs_app *a); /* waits for jobs to end: after the terminal is given back */
void qs_app_event(struct qs_app *a, const struct qs_event *ev);
void qs_app_stray(struct qs_app *a, const char *text);  /* what a library wrote to standard error: to the log */
bool qs_app_poll(struct qs_app *a);      /* takes in what jobs did; true: draw again */
bool qs_app_dirty(const struct qs_app *a);              /* events or jobs changed something since the last drawing */
/* Draws all of it. *row, *col: the typing cursor, -1 where there is none. */
void qs_app_draw(struct qs_app *a, struct qs_cells *cells, int *row, int *col);
bool qs_app_quits(const struct qs_app *a);
/* Nothing to draw, no job runs that is not paused. */
bool qs_app_idle(struct qs_app *a);
/* What the terminal has to do for the app: taken once. */
enum qs_app_wish { QS_WISH_NONE, QS_WISH_SUSPEND, QS_WISH_REDRAW, QS_WISH_MOUSE_ON, QS_WISH_MOUSE_OFF, QS_WISH_CLIPBOARD };
enum qs_app_wish qs_app_wish(struct qs_app *a, const char **clipboard);

/* ---- for screens --------------------------------------------------------------------------------------------- */

void *qs_app_state(struct qs_app *a, const struct qs_screen *s);
struct qs_workbench *qs_app_bench(struct qs_app *a);
const struct qs_doc *qs_app_doc(struct qs_app *a);              /* NULL: none is open */
const struct qs_theme *qs_app_theme(const struct qs_app *a);
struct qs_style qs_app_look(const struct qs_app *a, enum qs_look l);
bool qs_app_ascii(const struct qs_app *a);
const struct qs_regex *qs_app_search(const struct qs_app *a);   /* of the last `/`; NULL: none */
const struct qs_settings *qs_app_config(const struct qs_app *a);
const struct qs_screen *qs_app_screen(const struct qs_app *a);
void qs_app_go(struct qs_app *a, const struct qs_screen *s);
void qs_app_back(struct qs_app *a);                             /* to the screen we came from */
const struct qs_screen *qs_app_before(const struct qs_app *a);  /* that one */
/* "~/x" with the person's home; anything else as it is. Appends; see out->failed. */
void qs_app_expand_home(const char *path, struct qs_str *out);
bool qs_app_private(const struct qs_app *a);                    /* nothing may be read from or kept in the person's folders */
int qs_app_open(struct qs_app *a, const char *path, struct qs_err *e); /* a model, in place of the one that is open */
void qs_app_open_asking(struct qs_app *a, const char *path);    /* the same, after asking where something would be lost */
bool qs_app_busy(struct qs_app *a);
struct qs_pool *qs_app_pool(struct qs_app *a);
int qs_app_wake_fd(const struct qs_app *a);                     /* gets a byte when work has news; -1: none */
void qs_app_cursor(struct qs_app *a, const struct qs_canvas *c, int row, int col); /* of who draws: where typing goes */
struct qs_app_find { struct qs_app *app; const struct qs_regex *re; }; /* what a search through lines is given */
void qs_app_to_screen(const struct qs_app *a, struct qs_event *ev); /* a mouse event's place: from the canvas to the whole screen */
void qs_app_touch(struct qs_app *a);                            /* draw again */
void qs_app_wants(struct qs_app *a, enum qs_app_wish wish, const char *clipboard);

/* In the footer until the next key. fail: the message, which goes into the log too, and what the screen advises. */
void qs_app_say(struct qs_app *a, const char *fmt, ...) QS_PRINTF(2, 3);
void qs_app_warn(struct qs_app *a, const char *fmt, ...) QS_PRINTF(2, 3);
void qs_app_fail(struct qs_app *a, const struct qs_err *e);
void qs_app_tell_failed(struct qs_app *a, const struct qs_err *e); /* of a job, whose failure the log has already */

/* Runs "NAME ARG" as typed after ':' (the current screen's actions first, then global ones, then other screens': those go
 * to their screen). False: said why not. */
bool qs_app_run(struct qs_app *a, const char *line);

/* ---- over the screen: one thing at a time; a new one replaces the one before ---- */

struct qs_candidates;
/* What could stand behind the name of an action; text: typed of it so far, `start` bytes behind the start of the line. */
void qs_app_complete_argument(struct qs_app *a, const struct qs_action *t, const char *text, size_t start,
                              struct qs_candidates *out);

typedef void qs_app_text_fn(struct qs_app *a, const char *text, void *ctx);
/* Asks for a line. label ends in ": "; initial may be NULL; arg: how it is completed (words: QS_ARG_WORDS). done is called
 * with what was accepted; nothing is when it is cancelled. ctx has to live as long (static, or a screen's state). */
void qs_app_prompt(struct qs_app *a, const char *label, const char *initial, enum qs_arg arg, const char *words,
                   qs_app_text_fn *done, void *ctx);

struct qs_app_answer { char key; const char *label; }; /* label contains the key's letter: "overwrite" */
typedef void qs_app_answer_fn(struct qs_app *a, size_t answer, void *ctx);
/* Asks a question; Esc does nothing. */
void qs_app_ask(struct qs_app *a, const char *title, const char *text, const struct qs_app_answer *answer, size_t n,
                qs_app_answer_fn *done, void *ctx);

/* Closes the question that `done` and ctx belong to, if it is still open: it has become pointless. */
void qs_app_unask(struct qs_app *a, qs_app_answer_fn *done, void *ctx);

bool qs_app_over(const struct qs_app *a);                       /* something lies over the screen */

#define QS_APP_DETAILS 6
struct qs_app_item {                 /* an item of a list, filled in anew each time it is asked for */
    char label[128], detail[QS_APP_DETAILS][96], key[24];
    const char *refused;             /* why it cannot be picked; NULL: it can */
    bool current;                    /* what holds now */
};
struct qs_app_list {
    const char *title;
    size_t n, first;                 /* first: where the cursor starts */
    const char *label_head, *head[QS_APP_DETAILS]; /* headings; all NULL: none */
    unsigned numbers;                /* bit d: details d are numbers */
    bool keep_order;                 /* typing filters, without putting the best match first */
};
typedef void qs_app_item_fn(struct qs_app *a, size_t i, struct qs_app_item *out, void *ctx);
typedef void qs_app_picked_fn(struct qs_app *a, size_t i, void *ctx);
/* A list to pick from, filtered by typing. Texts of `list` have to live as long. */
void qs_app_pick(struct qs_app *a, const struct qs_app_list *list, qs_app_item_fn *item, qs_app_picked_fn *done, void *ctx);

#endif
