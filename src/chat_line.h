/* chat_line.h - a chat on a plain terminal or a pipe: what `chat` and its line input share. */
#ifndef QS_SRC_CHAT_LINE_H
#define QS_SRC_CHAT_LINE_H

#include "core/chat/chat_run.h"
#include "src/verb.h"

struct qs_chat_line {
    struct qs_cli *cli;
    struct qs_talk *talk;
    struct qs_side *side[QS_ANSWER_SIDES];
    size_t n_sides;
    bool follow, stats;       /* stats: speeds behind the answer of one model too */
    struct qs_chat *chat;
    struct qs_answer *answer; /* a copy of the last one */
};

bool qs_chat_line_candidate(struct qs_cli *cli); /* the second model is to be made of the first */
/* Options that exclude each other, or that would have no effect: QS_EXIT_USAGE, and it was said. */
int qs_chat_line_check(struct qs_cli *cli);

/* Waits for the answer that runs and copies it. Its text goes to standard output as it comes, that of two sides only
 * where this is a terminal. Else, and where the verb prints data: progress on standard error, where that is one. The
 * first Ctrl-C stops the answer, a second one ends the program. What the job ended with. */
int qs_chat_line_wait(struct qs_chat_line *l, struct qs_err *e);
/* Answers the last message, prints it, and makes it a part of the conversation. A message that cannot be answered is
 * taken back. QS_EXIT_*; stopped: whether the person did. */
int qs_chat_line_answer(struct qs_chat_line *l, bool *stopped);
/* Prints what has not been streamed: data, or two answers with their tables. */
int qs_chat_line_print(struct qs_chat_line *l);
/* Shows what --replay names, and prints it. */
int qs_chat_line_replay(struct qs_chat_line *l);
/* Lines from standard input until its end or /quit. */
int qs_chat_line_loop(struct qs_chat_line *l);

#endif
