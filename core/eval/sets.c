/* sets.c - prompts and tasks out of their files. Owns no file: the caller has read it. */
#include "core/eval/sets.h"

#include <stdbool.h>
#include <string.h>

#include "base/ascii.h"
#include "base/mem.h"
#include "base/unicode.h"

struct lines { const char *name, *p, *end; size_t line; };

/* The next line that is not empty, without its end; false: no more. */
static bool next_line(struct lines *l, const char **text, size_t *n)
{
    while (l->p < l->end) {
        const char *stop = memchr(l->p, '\n', (size_t)(l->end - l->p));
        const char *start = l->p;
        size_t len = (size_t)((stop ? stop : l->end) - start);
        l->p = stop ? stop + 1 : l->end;
        l->line++;
        if (len && start[len - 1] == '\r')
            len--;
        size_t blanks = 0;
        while (blanks < len && (start[blanks] == ' ' || start[blanks] == '\t'))
            blanks++;
        if (blanks < len) {
            *text = start;
            *n = len;
            return true;
        }
    }
    return false;
}

static int refuse(const struct lines *l, struct qs_err *e, enum qs_code code, const char *what)
{
    return qs_fail(e, code, "%s, line %zu: %s", l->name, l->line, what);
}

static int check_line(const struct lines *l, const char *text, size_t n, size_t have, struct qs_err *e)
{
    if (n > QS_SET_LINE_MAX)
        return refuse(l, e, QS_ELIMIT, "longer than 1 MiB");
    if (have >= QS_SET_LINES)
        return refuse(l, e, QS_ELIMIT, "more than 100,000 entries");
    if (memchr(text, 0, n))
        return refuse(l, e, QS_EFORMAT, "a zero character");
    return qs_utf8_invalid_at(text, n) < n ? refuse(l, e, QS_EFORMAT, "no valid UTF-8") : QS_OK;
}

static int parse_object(const struct lines *l, const char *text, size_t n, struct qs_json **out, struct qs_err *e)
{
    const int rc = qs_json_parse(text, n, out, e);
    if (rc) {
        qs_err_prefix(e, "%s, line %zu", l->name, l->line);
        return rc;
    }
    if (qs_json_type(*out) == QS_JSON_OBJECT)
        return QS_OK;
    qs_json_free(*out);
    *out = NULL;
    return refuse(l, e, QS_EFORMAT, "no JSON object");
}

/* A text that is not empty and holds no zero character. */
static bool good_text(const struct qs_json *v)
{
    return qs_json_type(v) == QS_JSON_STRING && qs_json_len(v) && strlen(qs_json_str(v, "")) == qs_json_len(v);
}

/* ---- prompts ---- */

static int check_messages(const struct lines *l, const struct qs_json *m, struct qs_err *e)
{
    if (qs_json_type(m) != QS_JSON_ARRAY || qs_json_len(m) == 0)
        return refuse(l, e, QS_EFORMAT, "needs \"text\", or \"messages\" with at least one entry");
    for (size_t i = 0; i < qs_json_len(m); i++)
        if (qs_json_type(qs_json_get(qs_json_at(m, i), "role")) != QS_JSON_STRING ||
            !qs_json_get(qs_json_at(m, i), "content"))
            return refuse(l, e, QS_EFORMAT, "an entry of \"messages\" without \"role\" or \"content\"");
    return QS_OK;
}

static int parse_prompt(const struct lines *l, const char *text, size_t n, bool json, struct qs_prompt *p,
                        struct qs_err *e)
{
    *p = (struct qs_prompt){ .line = l->line };
    if (!json) {
        p->text = qs_strndup(text, n);
        return p->text ? QS_OK : qs_fail_mem(e, n, "a prompt");
    }
    int rc = parse_object(l, text, n, &p->root, e);
    if (rc)
        return rc;
    const struct qs_json *t = qs_json_get(p->root, "text");
    t = t ? t : qs_json_get(p->root, "prompt");
    if (!t) {
        p->messages = qs_json_get(p->root, "messages");
        return check_messages(l, p->messages, e);
    }
    if (!good_text(t))
        return refuse(l, e, QS_EFORMAT, "\"text\" has to be a text that is not empty and holds no zero character");
    p->text = qs_strdup(qs_json_str(t, ""));
    return p->text ? QS_OK : qs_fail_mem(e, n, "a prompt");
}

int qs_prompts_parse(const char *name, const char *data, size_t n, struct qs_prompts *out, struct qs_err *e)
{
    struct lines l = { name, data, data + n, 0 };
    const char *text;
    size_t len;
    bool json = false;
    int rc = QS_OK;
    *out = (struct qs_prompts){ 0 };
    while (!rc && next_line(&l, &text, &len)) {
        rc = check_line(&l, text, len, out->n, e);
        if (!rc && !qs_grow(&out->item, &out->cap, out->n + 1, sizeof *out->item))
            rc = qs_fail_mem(e, (out->n + 1) * sizeof *out->item, "prompts");
        if (rc)
            break;
        json = out->n == 0 ? text[strspn(text, " \t")] == '{' : json;
        rc = parse_prompt(&l, text, len, json, &out->item[out->n++], e); /* half made ones are freed with the rest */
    }
    if (!rc && out->n == 0)
        rc = qs_fail(e, QS_EINVAL, "%s: no prompt in it", name);
    if (rc)
        qs_prompts_free(out);
    return rc;
}

void qs_prompts_free(struct qs_prompts *p)
{
    for (size_t i = 0; i < p->n; i++) {
        qs_free(p->item[i].text);
        qs_json_free(p->item[i].root);
    }
    qs_free(p->item);
    *p = (struct qs_prompts){ 0 };
}

/* ---- tasks ---- */

static int take_answer(const struct lines *l, const struct qs_json *v, struct qs_task *t, struct qs_err *e)
{
    const char *s = qs_json_str(v, "");
    t->answer = SIZE_MAX;
    if (qs_json_type(v) == QS_JSON_INT && qs_json_int(v, -1) >= 0)
        t->answer = (size_t)qs_json_int(v, -1);
    else if (qs_json_type(v) == QS_JSON_STRING) {
        for (size_t i = 0; i < t->n_choices && t->answer == SIZE_MAX; i++)
            if (strcmp(s, t->choice[i]) == 0)
                t->answer = i;
        if (t->answer == SIZE_MAX && s[0] && !s[1] && qs_ascii_lower(s[0]) >= 'a' && qs_ascii_lower(s[0]) <= 'z')
            t->answer = (size_t)(qs_ascii_lower(s[0]) - 'a');
    }
    if (t->answer < t->n_choices)
        return QS_OK;
    return refuse(l, e, QS_EFORMAT,
                  "\"answer\" has to be the place of one of \"choices\" (from 0), its letter or its text");
}

static int take_task(const struct lines *l, const struct qs_json *root, struct qs_task *t, struct qs_err *e)
{
    const struct qs_json *q = qs_json_get(root, "question"), *c = qs_json_get(root, "choices");
    q = q ? q : qs_json_get(root, "prompt");
    if (!good_text(q))
        return refuse(l, e, QS_EFORMAT, "needs \"question\" (or \"prompt\"), a text");
    if (qs_json_type(c) != QS_JSON_ARRAY || qs_json_len(c) < 2 || qs_json_len(c) > QS_SET_CHOICES)
        return refuse(l, e, QS_EFORMAT, "needs \"choices\", a list of 2 to 26 texts");
    if (!(t->question = qs_strdup(qs_json_str(q, ""))))
        return qs_fail_mem(e, qs_json_len(q), "a question");
    for (size_t i = 0; i < qs_json_len(c); i++) {
        const struct qs_json *x = qs_json_at(c, i);
        if (!good_text(x))
            return refuse(l, e, QS_EFORMAT, "an entry of \"choices\" that is no text, or is empty");
        if (!(t->choice[i] = qs_strdup(qs_json_str(x, ""))))
            return qs_fail_mem(e, qs_json_len(x), "a choice");
        t->n_choices++;
    }
    return take_answer(l, qs_json_get(root, "answer"), t, e);
}

int qs_tasks_parse(const char *name, const char *data, size_t n, struct qs_tasks *out, struct qs_err *e)
{
    struct lines l = { name, data, data + n, 0 };
    const char *text;
    size_t len;
    int rc = QS_OK;
    *out = (struct qs_tasks){ 0 };
    while (!rc && next_line(&l, &text, &len)) {
        struct qs_json *root = NULL;
        rc = check_line(&l, text, len, out->n, e);
        if (!rc && !qs_grow(&out->item, &out->cap, out->n + 1, sizeof *out->item))
            rc = qs_fail_mem(e, (out->n + 1) * sizeof *out->item, "tasks");
        rc = rc ? rc : parse_object(&l, text, len, &root, e);
        if (!rc) {
            out->item[out->n] = (struct qs_task){ .line = l.line };
            rc = take_task(&l, root, &out->item[out->n++], e);
        }
        qs_json_free(root);
    }
    if (!rc && out->n == 0)
        rc = qs_fail(e, QS_EINVAL, "%s: no task in it", name);
    if (rc)
        qs_tasks_free(out);
    return rc;
}

void qs_tasks_free(struct qs_tasks *t)
{
    for (size_t i = 0; i < t->n; i++) {
        qs_free(t->item[i].question);
        for (size_t k = 0; k < t->item[i].n_choices; k++)
            qs_free(t->item[i].choice[k]);
    }
    qs_free(t->item);
    *t = (struct qs_tasks){ 0 };
}
