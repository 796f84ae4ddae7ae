/* llama_rules.c - owns nothing; see llama_rules.h. Text that llama-quantize would refuse fails the test. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/quant/llama_rules.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/regex.h"

#define MAX_WORDS 512
struct reader {
    struct qs_regex *re[MAX_WORDS];
    int type[MAX_WORDS];
    size_t n;
};

/* Words split at white space, at the first '=', the left part in lower case. */
static void llama_read(struct reader *r, const char *text)
{
    char *copy = strdup(text), *save = NULL;
    for (char *w = strtok_r(copy, " \t\r\n\v\f", &save); w; w = strtok_r(NULL, " \t\r\n\v\f", &save)) {
        char *eq = strchr(w, '=');
        assert_true(eq && eq > w && eq[1] && r->n < MAX_WORDS);
        *eq = 0;
        for (char *c = w; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        struct qs_err e = QS_ERR_INIT;
        if (qs_regex_compile(w, 0, &r->re[r->n], &e))
            fail_msg("%s", e.msg);
        assert_non_null(qs_format_by_name(eq + 1));
        r->type[r->n++] = qs_format_by_name(eq + 1)->id;
    }
    free(copy);
}

static void llama_free(struct reader *r)
{
    for (size_t i = 0; i < r->n; i++)
        qs_regex_free(r->re[i]);
}

/* Flags as llama-quantize parses them; the rest of the line is file names and the preset. */
static void llama_args(const char *text, struct qs_preset_args *a)
{
    char *copy = strdup(text), *save = NULL, *last = NULL;
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        if (!strcmp(w, "--imatrix"))
            a->have_imatrix = strtok_r(NULL, " ", &save) != NULL;
        else if (!strcmp(w, "--pure"))
            a->pure = true;
        else if (!strcmp(w, "--leave-output-tensor"))
            a->leave_output = true;
        else if (!strcmp(w, "--output-tensor-type"))
            a->output_type = qs_format_by_name(strtok_r(NULL, " ", &save))->id;
        else if (!strcmp(w, "--token-embedding-type"))
            a->token_embd_type = qs_format_by_name(strtok_r(NULL, " ", &save))->id;
        last = w;
    }
    a->preset = qs_preset_by_name(last);
    assert_non_null(a->preset);
    free(copy);
}

void llama_rules_types(const struct qs_model *m, const char *file, const char *args, struct qs_choice *c)
{
    struct reader r = { .n = 0 };
    struct qs_err e = QS_ERR_INIT;
    struct qs_preset_args a = { .output_type = QS_TYPE_NONE, .token_embd_type = QS_TYPE_NONE };
    int *forced = malloc((m->n_tensors + 1) * sizeof *forced);
    assert_non_null(forced);
    llama_read(&r, file);
    llama_args(args, &a);
    for (size_t i = 0; i < m->n_tensors; i++) {
        forced[i] = QS_TYPE_NONE;
        for (size_t j = 0; j < r.n && forced[i] == QS_TYPE_NONE; j++)
            if (qs_regex_find(r.re[j], m->tensor[i].name, strlen(m->tensor[i].name), 0, NULL, &e) == 1)
                forced[i] = r.type[j];
    }
    a.forced = forced;
    if (qs_preset_choose(m, &a, c, &e))
        fail_msg("%s", e.msg);
    llama_free(&r);
    free(forced);
}
