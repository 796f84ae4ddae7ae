/* answer_internal.h - how an answer is filled, for core/chat alone. None of these locks. */
#ifndef QS_CORE_ANSWER_INTERNAL_H
#define QS_CORE_ANSWER_INTERNAL_H

#include "core/chat/answer.h"

/* Empty again but for number and version; memory is kept. */
int qs_answer_reset(struct qs_answer *a, struct qs_err *e);
int qs_answer_set_prompt(struct qs_answer *a, const char *text, struct qs_err *e);
/* The text of a token: n bytes of UTF-8 without a 0. */
int qs_answer_add_piece(struct qs_answer *a, const char *text, size_t n, uint32_t *at, struct qs_err *e);
int qs_answer_add_text(struct qs_answer_side *s, const char *text, size_t n, struct qs_err *e);
int qs_answer_add_token(struct qs_answer_side *s, const struct qs_answer_token *t, struct qs_err *e);
/* Puts token i of side 1 into the summary; once per token, in order. */
void qs_answer_count(struct qs_answer *a, size_t i);
/* Looks whether the sides part at the last token that both have; to be asked after every token of a side. */
void qs_answer_part(struct qs_answer *a);
/* `to` becomes equal to `from`, by copying what is new in it: same number means that lists and texts only grew. */
int qs_answer_update(const struct qs_answer *from, struct qs_answer *to, struct qs_err *e);

#endif
