/* fuzz_sets.c - prompts, tasks and the history of evaluations as anybody may have written them: taken or refused with a
 * message, and what was taken keeps its bounds. */
#include <stdlib.h>
#include <string.h>

#include "core/eval/history.h"
#include "core/eval/overlap.h"
#include "core/eval/sets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct qs_err e = QS_ERR_INIT;
    struct qs_prompts p;
    struct qs_tasks t;
    struct qs_eval_history *h;
    struct qs_overlap o;
    if (qs_prompts_parse("prompts", text, size, &p, &e) == QS_OK) {
        for (size_t i = 0; i < p.n; i++)
            must((p.item[i].text && p.item[i].text[0]) || qs_json_len(p.item[i].messages) > 0);
        qs_prompts_free(&p);
    } else {
        must(e.msg[0] != '\0');
    }
    e = (struct qs_err)QS_ERR_INIT;
    if (qs_tasks_parse("tasks", text, size, &t, &e) == QS_OK) {
        for (size_t i = 0; i < t.n; i++)
            must(t.item[i].n_choices >= 2 && t.item[i].answer < t.item[i].n_choices && t.item[i].choice[1][0]);
        qs_tasks_free(&t);
    } else {
        must(e.msg[0] != '\0');
    }
    if (qs_eval_history_parse(text, size, &h, &e) == QS_OK) {
        for (size_t i = 0; i < h->n; i++)
            must(strlen(h->run[i].id) == 8 && h->run[i].model && h->run[i].cache);
        qs_eval_history_free(h);
    }
    must(qs_overlap(text, size, text, size / 2, &o, &e) == QS_OK && o.found <= o.shingles);
    return 0;
}
