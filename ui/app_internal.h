/* app_internal.h - the insides of the app, for what belongs to it: app*.c, frame.c, actions.c, write.c, save.c, choose.c and
 * the help, which lists the actions. */
#ifndef QS_UI_APP_INTERNAL_H
#define QS_UI_APP_INTERNAL_H

#include "ui/app.h"
#include "ui/ask.h"
#include "ui/choose.h"
#include "ui/config.h"
#include "ui/edit.h"
#include "ui/layout.h"
#include "ui/pick.h"

#define QS_SCREENS_MAX 12

enum qs_modal { QS_MODAL_NONE, QS_MODAL_PROMPT, QS_MODAL_PICK, QS_MODAL_ASK };

struct qs_app_line {
    char label[64];
    enum qs_arg arg;
    char words[256];
    bool command;               /* the line after ':' */
    qs_app_text_fn *done;
    void *ctx;
    struct qs_edit edit;
};

struct qs_write_state { struct qs_str path; uint64_t split; bool overwrite, restart, modelfile;
                        unsigned told; /* the last job whose end was told */ }; /* what is being asked for */

struct qs_app {
    struct qs_app_args args;
    struct qs_pool *pool;
    struct qs_workbench *bench;
    struct qs_settings *config;
    struct qs_theme theme;
    bool light;
    bool ascii;
    bool mouse;
    const struct qs_screen *screen;
    const struct qs_screen *before[QS_SCREENS_MAX]; /* where Esc leads back to, the last one last */
    size_t n_before;
    void *state[QS_SCREENS_MAX];
    const struct qs_model *document;         /* as last told to the screens */
    bool dirty, quit, open_failed, reading_imatrix;
    bool small_ignored;                      /* the terminal is too small, and the person goes on all the same */
    enum qs_app_wish wish;
    struct qs_str clipboard;

    char message[QS_ERR_MAX + 128];          /* above the footer until the next key */
    enum qs_log_level message_level;

    char pattern[256];
    struct qs_regex *search;

    enum qs_modal modal;
    struct qs_app_line prompt;
    struct qs_typed command_history, search_history, text_history;
    struct qs_pick pick;
    qs_app_item_fn *pick_item;
    qs_app_picked_fn *picked;
    void *pick_ctx;
    struct qs_app_item item;                 /* the one last handed to the list */
    struct qs_ask ask;
    struct qs_str ask_title, ask_text;
    qs_app_answer_fn *answered;
    void *answer_ctx;
    const struct qs_action *palette[512];    /* what the palette lists, by index */
    size_t n_palette;

    struct qs_write_state write;
    uint64_t file_bytes, file_version; const struct qs_model *file_of; /* as of that version of the document */
    struct qs_str opening;                   /* the model that is to be opened when the question is answered */
    struct qs_marks marks;
    struct qs_picking picking;

    unsigned rows, cols;                     /* as last drawn */
    int cursor_row, cursor_col;              /* of the screen that is drawn; -1: none */
    struct qs_rect body;                     /* of the screen, as last drawn: for the mouse */
    struct qs_tab { int row, x0, x1; const struct qs_screen *screen; } tab[QS_SCREENS_MAX]; /* likewise */
    size_t n_tabs;
    bool file_shown;                         /* the document's name, beside them */
    struct qs_button { int row, x0, x1; const struct qs_action *action; } button[64];       /* keys in the footer */
    size_t n_buttons;
};

uint64_t qs_app_file_bytes(struct qs_app *a); /* what writing the recipe would come to, metadata included */
void qs_screen_refresh(struct qs_app *a); /* of the screen shown, where it can be used */

/* ---- actions (app_run.c) ---- */
size_t qs_screen_index(const struct qs_screen *s);
bool qs_action_has_key(const struct qs_action *t, uint32_t key);
/* The action of a key: the screen's own first, then the global ones; NULL: none. */
const struct qs_action *qs_action_by_key(struct qs_app *a, uint32_t key);
/* Does it, or says why not; asks for the argument where one is needed and none is given. */
bool qs_action_do(struct qs_app *a, const struct qs_action *t, const char *arg);
/* All that can be run from here: of the screen, global, of other screens. */
size_t qs_actions_here(struct qs_app *a, const struct qs_action **out, size_t max);
const struct qs_screen *qs_action_screen(const struct qs_app *a, const struct qs_action *t); /* NULL: global */
void qs_app_palette(struct qs_app *a);
void qs_app_command(struct qs_app *a, const char *initial);
/* Completes what is typed in the prompt of the app (ctx). */
void qs_app_complete(void *ctx, const char *text, size_t at, struct qs_candidates *out);

/* ---- over the screen (app_modal.c) ---- */
bool qs_modal_event(struct qs_app *a, const struct qs_event *ev);
void qs_modal_draw(struct qs_app *a, const struct qs_canvas *all, int *row, int *col);
void qs_modal_close(struct qs_app *a);

/* ---- writing (write.c) ---- */
void qs_app_write(struct qs_app *a, const char *arg);
void qs_app_write_parts(struct qs_app *a, const char *arg);
bool qs_write_poll(struct qs_app *a); /* tells of files that are whole, or could not be written */
void qs_app_write_modelfile(struct qs_app *a, const char *arg);

/* ---- around the screen (frame.c) ---- */
void qs_frame_message(struct qs_app *a, const struct qs_canvas *c); /* the message, in one line with its sign and colour */
void qs_frame_draw(struct qs_app *a, const struct qs_canvas *all, int *row, int *col);

/* Takes effect at once and is kept in the settings file (not where the app is private). */
int qs_app_change_setting(struct qs_app *a, const char *key, const char *value, struct qs_err *e);
const char *qs_app_setting(const struct qs_app *a, const char *key); /* its text; NULL: there is no such setting */
bool qs_setting_at_once(enum qs_setting s);                          /* takes effect without a new start */
int qs_app_set_theme(struct qs_app *a, const char *name, struct qs_err *e);
bool qs_app_set_search(struct qs_app *a, const char *pattern); /* false: it cannot be read; said so, the one before stays */

#endif
