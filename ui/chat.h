/* chat.h - the inside of the Chat screen: what it keeps, shared by its files; nobody else includes it.
 *
 * screen_chat.c has the table of what can be done and takes the events; chat_seats.c the models that can be spoken to,
 * chat_talk.c what is said and answered, chat_settings.c how, chat_rows.c the text in rows, chat_draw.c and
 * chat_facts.c what is seen of it, chat_tokens.c the token under the cursor, chat_files.c what is kept in files and
 * copied.
 */
#ifndef QS_UI_CHAT_H
#define QS_UI_CHAT_H

#include "core/chat/answer.h"
#include "core/chat/chat_run.h"
#include "core/chat/talk.h"
#include "ui/app.h"
#include "ui/edit.h"

/* ---- seats: models that can be spoken to ---- */

enum { CHAT_ORIGINAL, CHAT_CANDIDATE, CHAT_FILES /* and behind it: files by name */, CHAT_SEATS = 8, CHAT_NOBODY = -1 };

struct chat_load;                     /* a seat being made, by a job */
struct chat_file;                     /* a file being read or written, by a job */
struct chat_seat {
    char *path;                       /* of a file; NULL: the original, the candidate, or an empty seat */
    struct qs_wb_model *held;         /* the document's model, while engine or side stand on it, a file's too */
    struct qs_candidate *made;        /* the candidate that the engine has */
    struct qs_engine *engine;         /* ours; NULL: the side has its own */
    struct qs_side *side;             /* NULL: not there */
    struct chat_load *load;
    bool agreed;                      /* to the memory that it takes beside another */
    bool warned;                      /* of what its tokenizer lacks */
    struct qs_err err;                /* why it is not there; code QS_OK: nobody has asked */
};

/* ---- rows ---- */

enum chat_row_kind { CHAT_BLANK, CHAT_SYSTEM, CHAT_PROMPT, CHAT_WORDS /* of an answer, without tokens */, CHAT_TOKENS,
                     CHAT_NOTE, CHAT_HOW /* to go on */ };
struct chat_row {
    unsigned char kind;
    bool first;                       /* of its text */
    bool apart;                       /* each side has a text of its own; else [0] alone, across both */
    size_t message;                   /* of the conversation, where its text is one */
    struct { size_t at, n; bool there; } of[QS_ANSWER_SIDES]; /* bytes of chat_row_text */
};
struct chat_rows { struct chat_row *row; size_t n, cap; bool failed; };

/* ---- the screen ---- */

struct chat {
    struct qs_talk *talk;
    struct qs_chat *run;
    unsigned job;                     /* of the answer, in the list of jobs; 0: there was none yet */
    struct qs_answer *answer;         /* as of the last look */
    size_t answer_at;                 /* the message that it is, or will be; SIZE_MAX: none that is shown */
    uint64_t kept;                    /* number of the last answer that was taken into the conversation */
    char note[QS_ERR_MAX];            /* how to go on, where no answer could be written; "": nothing to say */
    bool replay;                      /* a comparison from a file is shown in place of the conversation */
    struct chat_file *loading, *saving; /* by jobs; NULL: none */
    uint64_t in_file;                 /* talk->said, as of what a file has of it */
    char *to_load;                    /* file that is asked about */

    struct chat_seat seat[CHAT_SEATS];
    struct chat_seat *retired; size_t n_retired, cap_retired; /* freed when nothing runs */
    int at[QS_ANSWER_SIDES];          /* who answers: a seat, or nobody on the right */
    int draft;                        /* seat of the file that guesses ahead; 0: none */
    bool follow, wanted;              /* wanted: an answer, as soon as those who answer are there */
    bool preparing;                   /* models that were chosen are loaded before anything is said */
    bool asked;                       /* a question is open about what they take */
    enum qs_precision precision;

    bool typing;
    struct qs_edit edit;
    uint64_t editing;                 /* talk->said, while its last message is edited; 0: a new one is typed */
    struct qs_typed said;             /* what was sent: the history of the editor */

    struct chat_rows rows;
    uint64_t rows_talk, rows_answer, rows_number; /* what they were made for */
    size_t rows_answer_at, rows_settled; /* rows before the answer: they stay while it grows */
    int rows_width;                   /* 0: none were made yet */
    bool rows_two, rows_replay;
    size_t top, shown;
    bool behind;                      /* the person looks at earlier rows: the view stays */
    bool marks;                       /* a line of marks below the tokens */
    bool marks_set;                   /* chosen by the person */
    size_t token;                     /* under the cursor; QS_ANSWER_NONE: none */
    struct qs_rect pane[QS_ANSWER_SIDES]; /* as last drawn, of the canvas: for the mouse */
};

struct chat *chat_of(struct qs_app *a);

/* ---- seats (chat_seats.c) ---- */

/* Everybody who is to answer is there and is what the recipe says: 1; not yet, work is under way or a question open: 0;
 * cannot be: -1, and it was said why. */
int chat_seats_ready(struct qs_app *a);
/* The same of one seat; the reason was said, and stays its own. */
int chat_seat_ready(struct qs_app *a, int seat);
void chat_seat_leave(struct qs_app *a, int seat); /* a file's: empty again */
bool chat_seats_poll(struct qs_app *a);          /* takes in what was loaded; true: something changed */
void chat_seats_sweep(struct qs_app *a);         /* frees what nobody uses any more */
void chat_seats_document(struct qs_app *a);      /* another document */
void chat_seats_free(struct chat *c);
void chat_seats_alone(struct qs_app *a);         /* one model answers: the candidate is let go */
void chat_seat_retire(struct qs_app *a, int seat); /* its side goes when nothing runs; it is made anew when needed */
/* A seat for a file: the one that has it, or an empty one. CHAT_NOBODY: all are taken. */
int chat_seat_for(struct chat *c, const char *path);
void chat_seat_name(struct qs_app *a, int seat, char *buf, size_t n); /* "candidate Q4_K_M + 1 pin", "x.gguf" */
int chat_seat_next(struct qs_app *a, int seat);  /* the next one that could answer beside the left one; CHAT_NOBODY */
bool chat_two(const struct chat *c);
/* What is under way, in few words; "" nothing. */
void chat_seats_state(struct qs_app *a, char *buf, size_t n);

/* ---- conversation (chat_talk.c) ---- */

bool chat_runs(struct chat *c);
/* Around the start of an answer: the one before leaves the list of jobs, the new one stands there ("answering"). */
void chat_job_leaves(struct qs_app *a);
void chat_job_stands(struct qs_app *a, const char *word);
void chat_send(struct qs_app *a, const char *text); /* a message, or a command that begins with '/' */
void chat_want(struct qs_app *a);                   /* an answer to the last message */
void chat_note(struct chat *c, const char *text);   /* below the conversation, until an answer is wanted */
bool chat_poll(struct qs_app *a);
void chat_complete(void *ctx, const char *text, size_t at, struct qs_candidates *out);

/* ---- settings (chat_settings.c) ---- */

void chat_settings(struct qs_app *a, const char *arg);
const char *chat_set_refused(struct qs_app *a);
void chat_set(struct qs_app *a, const char *arg);   /* "NAME VALUE" */
/* Values of a setting that begin so, where they are words: for completion. */
void chat_offer_values(const char *setting, const char *typed, struct qs_candidates *out);
/* What should be known of a context that was chosen, with the model that answers: smaller than it could be, or longer
 * than it was trained with and what it takes. Appends; nothing where there is nothing to say. */
void chat_context_remark(struct qs_app *a, const struct qs_talk_settings *s, struct qs_str *out);
/* An answer of these takes more memory than there is: QS_ENOMEM, with both in words and what helps. */
int chat_too_much(struct qs_app *a, struct qs_side *const *side, size_t n, struct qs_err *e);

/* ---- guesses (chat_guess.c) ---- */

void chat_draft(struct qs_app *a, const char *arg); /* who guesses ahead: a file, or none; NULL: it is told */
int chat_draft_ready(struct qs_app *a);             /* as chat_seats_ready; nobody is asked: 1 */
void chat_guesses(const struct qs_answer_side *s, struct qs_str *out); /* how many came true; nothing where none were made */

/* ---- rows (chat_rows.c) ---- */

/* Made anew where conversation, answer or width (of a pane) changed. */
void chat_rows_make(struct qs_app *a, int width);
/* At the width they have: for those who look at rows between two frames, when what they are of may have changed. */
void chat_rows_again(struct qs_app *a);
const char *chat_row_text(const struct chat *c, const struct chat_row *r, int side); /* what a row is of */
/* Whether row r shows the token of a side, and from which byte. */
bool chat_row_has(const struct chat *c, const struct chat_row *r, int side, size_t token);
size_t chat_row_byte(const struct chat *c, const struct chat_row *r, int side, int col); /* of its text, at a column */
size_t chat_row_of(const struct chat *c, size_t token); /* the row of the token under the cursor; rows.n: none */

/* ---- drawing ---- */

void chat_draw(struct qs_app *a, const struct qs_canvas *c);
/* Rows that speeds, memory and divergence take at this width, and they drawn. */
int chat_facts_rows(struct qs_app *a, int cols);
void chat_facts_draw(struct qs_app *a, const struct qs_canvas *c);
int chat_token_rows(struct qs_app *a);              /* of the read-out of a token; 0: no token is chosen */
void chat_token_draw(struct qs_app *a, const struct qs_canvas *c);
/* How a divergence is seen: in the ramp's colours, by attributes where there are none. A token: so, if of side 1. */
struct qs_style chat_divergence_style(struct qs_app *a, double kld);
struct qs_style chat_token_style(struct qs_app *a, int side, size_t token);

/* ---- the token under the cursor (chat_tokens.c) ---- */

const char *chat_no_tokens(struct qs_app *a); /* why there is none to go to; NULL: there are some */
const char *chat_not_two(struct qs_app *a);
void chat_token_left(struct qs_app *a, const char *arg);
void chat_token_right(struct qs_app *a, const char *arg);
void chat_worst_token(struct qs_app *a, const char *arg);
void chat_flip_after(struct qs_app *a, const char *arg);
void chat_flip_before(struct qs_app *a, const char *arg);
void chat_marks(struct qs_app *a, const char *arg);
bool chat_click(struct qs_app *a, const struct qs_event *ev);

/* ---- files (chat_files.c) ---- */

void chat_save(struct qs_app *a, const char *arg);
void chat_save_over(struct qs_app *a, const char *arg);
void chat_load(struct qs_app *a, const char *arg);
void chat_comparison_save(struct qs_app *a, const char *arg);
void chat_comparison_save_over(struct qs_app *a, const char *arg);
void chat_replay(struct qs_app *a, const char *arg);
void chat_copy(struct qs_app *a, const char *arg);
bool chat_files_poll(struct qs_app *a);
bool chat_unsaved(const struct chat *c);         /* messages that no file has */
void chat_file_free(struct chat_file *f);        /* NULL allowed; its job has ended */

#endif
