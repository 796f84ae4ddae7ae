/* chat_guess.c - a small model that guesses tokens ahead for the one that answers, and how many guesses came true.
 *
 * It has a seat among the files. Refuses one that answers itself, and one with another vocabulary.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "ui/chat.h"

static void nobody(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    if (c->draft)
        chat_seat_leave(a, c->draft);
    c->draft = 0;
    if (c->talk->settings.speculate == QS_SPECULATE_DRAFT)
        (void)qs_talk_set(c->talk, "speculate", "auto", NULL);
}

void chat_draft(struct qs_app *a, const char *arg)
{
    struct chat *c = chat_of(a);
    if (!arg && c->draft) {
        qs_app_say(a, "%s guesses ahead", qs_path_base(c->seat[c->draft].path));
        return;
    }
    if (!arg || strcmp(arg, "none") == 0) {
        nobody(a);
        qs_app_say(a, "no model guesses ahead; :chat-set speculate says whether the text does");
        return;
    }
    const int seat = chat_seat_for(c, arg);
    if (seat == CHAT_NOBODY || seat == c->at[0] || seat == c->at[1]) {
        qs_app_warn(a, seat == CHAT_NOBODY ? "there is room for %d files beside the model that is open"
                                           : "that model answers itself (%d files have room)",
                    CHAT_SEATS - CHAT_FILES);
        return;
    }
    if (c->draft != seat)
        nobody(a);
    c->draft = seat;
    (void)qs_talk_set(c->talk, "speculate", "draft", NULL);
    qs_app_say(a, "%s guesses ahead, from the next answer on", qs_path_base(arg));
}

int chat_draft_ready(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    struct qs_err e = QS_ERR_INIT;
    if (!c->draft || c->talk->settings.speculate == QS_SPECULATE_OFF ||
        c->talk->settings.speculate == QS_SPECULATE_NGRAM)
        return 1;
    if (c->draft == c->at[0] || c->draft == c->at[1]) { /* it was given another place */
        c->draft = 0;
        nobody(a);
        return 1;
    }
    const int rc = chat_seat_ready(a, c->draft);
    if (rc == 1 && qs_side_can_draft(c->seat[c->draft].side, c->seat[c->at[0]].side, &e)) {
        qs_app_fail(a, &e);
        nobody(a);
        return -1;
    }
    if (rc < 0)
        nobody(a);
    return rc;
}

void chat_guesses(const struct qs_answer_side *s, struct qs_str *out)
{
    char share[QS_FMT_MAX];
    if (s->drafted)
        qs_str_addf(out, ", guessed %zu: %s right", s->drafted,
                    qs_fmt_percent(share, sizeof share, qs_answer_acceptance(s), 0));
}
