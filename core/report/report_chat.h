/* report_chat.h - an answer, or two side by side, as a report and as marked text. */
#ifndef QS_CORE_REPORT_CHAT_H
#define QS_CORE_REPORT_CHAT_H

#include "core/chat/answer.h"
#include "core/report/table.h"

struct qs_chat_report {
    bool data;   /* for programs: texts, every token, and the candidates of each */
};

/* Never NULL but when memory is out; see qs_report_failed. */
struct qs_report *qs_report_chat(const struct qs_answer *a, const struct qs_chat_report *v);

/* The answers for a plain terminal, one after the other, lines of at most `width` cells (0: 80). Below a line of text
 * stand the marks of its tokens, where there are any: in follow mode the class of their divergence ('.', ':', '*', '#';
 * qs_divergence_mark) and '!' where the likeliest token is another one; in free mode '^' where the sides part. One
 * side: its text alone. */
void qs_chat_text(const struct qs_answer *a, unsigned width, bool ascii, struct qs_str *out);

/* The same of two sides while they are written: words go out as they come, a line of marks when its line is whole. The
 * first side's answer is first; the second one's follows under its own heading, and is then given out as far as it
 * is. In follow mode there is one text, the first side's, and below it how far the second one diverges. */
struct qs_chat_stream;
int qs_chat_stream_new(unsigned width, bool ascii, struct qs_chat_stream **out, struct qs_err *e); /* QS_ENOMEM */
void qs_chat_stream_free(struct qs_chat_stream *s);                                                /* NULL allowed */
/* Appends what is new in `a` since the last call, which was with the same answer at an earlier time; with the end of
 * the answer all of it. Nothing for an answer that ended without a token, or of one side. */
void qs_chat_stream_more(struct qs_chat_stream *s, const struct qs_answer *a, struct qs_str *out);

#endif
