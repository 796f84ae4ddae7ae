/* sets.h - files of prompts and of tasks, as people have them.
 *
 * PROMPTS: a line of text each; or, where the first line begins with '{', a JSON object each with "text" (or "prompt")
 * or with "messages", a list of {"role", "content"} that goes through the model's chat template. TASKS: a JSON object
 * each: "question" (or "prompt"), "choices" (a list of texts), "answer" (the place of the right one from 0, its letter
 * "A", "B" ..., or its text). Empty lines are passed over. Input is hostile until checked: errors name file, line and
 * field.
 */
#ifndef QS_CORE_SETS_H
#define QS_CORE_SETS_H

#include <stddef.h>
#include "base/err.h"
#include "base/json.h"

#define QS_SET_LINES 100000     /* prompts or tasks */
#define QS_SET_LINE_MAX (1 << 20)
#define QS_SET_CHOICES 26

struct qs_prompt {
    char *text;                  /* NULL: messages */
    struct qs_json *root;        /* owns messages */
    const struct qs_json *messages;
    size_t line;                 /* from 1 */
};
struct qs_prompts { struct qs_prompt *item; size_t n, cap; };

struct qs_task {
    char *question, *choice[QS_SET_CHOICES];
    size_t n_choices, answer, line;
};
struct qs_tasks { struct qs_task *item; size_t n, cap; };

/* name: for messages. QS_EFORMAT, QS_ELIMIT; QS_EINVAL: no prompt (task) in it. */
int qs_prompts_parse(const char *name, const char *data, size_t n, struct qs_prompts *out, struct qs_err *e);
void qs_prompts_free(struct qs_prompts *p);
int qs_tasks_parse(const char *name, const char *data, size_t n, struct qs_tasks *out, struct qs_err *e);
void qs_tasks_free(struct qs_tasks *t);

#endif
