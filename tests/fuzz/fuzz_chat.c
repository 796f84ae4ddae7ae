/* fuzz_chat.c - whatever a kept conversation or comparison says, it is refused, or written again as it was understood.
 */
#include <stdlib.h>
#include <string.h>

#include "core/chat/answer.h"
#include "core/chat/talk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* Frees j. */
static void print(struct qs_json *j, struct qs_str *out)
{
    must(j && qs_json_print(j, true, out) && !out->failed);
    qs_json_free(j);
}

static void try_talk(const struct qs_json *j)
{
    struct qs_talk *t = NULL, *u = NULL;
    struct qs_str once = QS_STR_INIT, twice = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_json *again = NULL;
    must(qs_talk_new(&t, NULL) == QS_OK && qs_talk_new(&u, NULL) == QS_OK);
    if (qs_talk_from_json(t, j, &e) == QS_OK) {
        print(qs_talk_json(t), &once);
        must(qs_json_parse(once.data, once.len, &again, NULL) == QS_OK && qs_talk_from_json(u, again, NULL) == QS_OK);
        print(qs_talk_json(u), &twice);
        must(strcmp(once.data, twice.data) == 0);
    } else {
        must(e.msg[0] && t->n == 0);
    }
    qs_json_free(again);
    qs_str_free(&once);
    qs_str_free(&twice);
    qs_talk_free(t);
    qs_talk_free(u);
}

static void try_answer(const struct qs_json *j)
{
    struct qs_answer *a = NULL, *b = NULL;
    struct qs_str once = QS_STR_INIT, twice = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    struct qs_json *again = NULL;
    if (qs_answer_from_json(j, &a, &e) == QS_OK) {
        print(qs_answer_json(a), &once);
        must(qs_json_parse(once.data, once.len, &again, NULL) == QS_OK && qs_answer_from_json(again, &b, &e) == QS_OK);
        print(qs_answer_json(b), &twice);
        must(strcmp(once.data, twice.data) == 0 && a->parted == b->parted && a->sum.n == b->sum.n);
    } else {
        must(e.msg[0] != 0);
    }
    qs_json_free(again);
    qs_str_free(&once);
    qs_str_free(&twice);
    qs_answer_free(a);
    qs_answer_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qs_json *j = NULL;
    if (qs_json_parse((const char *)data, size, &j, NULL) != QS_OK)
        return 0;
    try_talk(j);
    try_answer(j);
    qs_json_free(j);
    return 0;
}
