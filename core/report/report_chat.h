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

#endif
