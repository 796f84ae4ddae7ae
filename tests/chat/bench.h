/* bench.h - what the tests of chats share: the demo model, its Q2_K, conversations, answers waited for. All of it
 * fails the test where something goes wrong. */
#ifndef QS_TESTS_CHAT_BENCH_H
#define QS_TESTS_CHAT_BENCH_H

#include "core/chat/chat_run.h"
#include "tests/lib/qs_test.h"

const char *bench_demo(void);                /* demo/storyteller-9m-f16.gguf of the source tree */
const char *bench_small(void);               /* the same as Q2_K, made once */
struct qs_side *bench_side(const char *path, struct qs_pool *pool, struct qs_side *beside);
/* name, value, ..., NULL; greedy, 24 tokens */
struct qs_talk *bench_talk(const char *prompt, const char *const *settings);
/* Waits for the answer and copies it; what the job ended with in *rc. */
struct qs_answer *bench_answer(struct qs_chat *c, int *rc);
/* Starts, waits, copies; the answer has to end well. */
struct qs_answer *bench_run(struct qs_chat *c, const struct qs_talk *t, struct qs_side *a, struct qs_side *b,
                            bool follow);
void bench_same_tokens(const struct qs_answer_side *a, const struct qs_answer_side *b);

#endif
