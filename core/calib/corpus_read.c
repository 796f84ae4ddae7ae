/* corpus_read.c - one source of calibration text: told apart, taken out of its lines, made into tokens. Owns no file:
 * the caller has read it. Lines that cannot be used are counted and the first is named; refused is what leaves nothing.
 */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/unicode.h"
#include "core/calib/corpus_internal.h"

#define PIECE ((size_t)8 << 20) /* bytes tokenized at once: the tokenizer takes about 40 times as many */
#define TODAY 1735732800        /* what templates take for now: 2025-01-01, so that tokens do not depend on the day */

/* ---- lines ---- */

struct lines {
    const char *p, *end;
    uint64_t at;
};

/* The next line that is not empty, without its end; false: no more. */
static bool next_line(struct lines *l, const char **text, size_t *n)
{
    while (l->p < l->end) {
        const char *stop = memchr(l->p, '\n', (size_t)(l->end - l->p));
        const char *from = l->p, *to = stop ? stop : l->end;
        l->p = stop ? stop + 1 : l->end;
        l->at++;
        while (from < to && (*from == ' ' || *from == '\t' || *from == '\r'))
            from++;
        while (to > from && (to[-1] == ' ' || to[-1] == '\t' || to[-1] == '\r'))
            to--;
        if (from < to) {
            *text = from;
            *n = (size_t)(to - from);
            return true;
        }
    }
    return false;
}

static int parse_line(const char *text, size_t n, struct qs_json **out, struct qs_err *e)
{
    *out = NULL;
    if (n > QS_CORPUS_LINE_MAX)
        return qs_fail(e, QS_ELIMIT, "longer than %zu MiB", QS_CORPUS_LINE_MAX >> 20);
    if (qs_utf8_invalid_at(text, n) < n)
        return qs_fail(e, QS_EFORMAT, "not valid UTF-8");
    int rc = qs_json_parse(text, n, out, e);
    if (rc == QS_OK && qs_json_type(*out) != QS_JSON_OBJECT) {
        qs_json_free(*out);
        *out = NULL;
        rc = qs_fail(e, QS_EFORMAT, "no JSON object");
    }
    return rc;
}

/* ---- which kind ---- */

enum form { PLAIN, TEXTS, CHATS, OTHER_JSON, NO_JSON };

static int form_of_line(const char *text, size_t n, enum form *out, struct qs_err *e)
{
    struct qs_json *v;
    *out = NO_JSON;
    if (text[0] != '{') {
        (void)qs_fail(e, QS_EFORMAT, "it begins with no '{'");
        return QS_OK;
    }
    const int rc = parse_line(text, n, &v, e);
    if (rc == QS_OK)
        *out = qs_json_get(v, "text") ? TEXTS : qs_json_get(v, "messages") ? CHATS : OTHER_JSON;
    qs_json_free(v);
    return rc == QS_ENOMEM ? rc : QS_OK;
}

/* By the first line; a file that is named as JSON lines is, whatever its first line says. */
static int form_of(const char *name, const char *data, size_t n, enum form *out, struct qs_err *e)
{
    const bool named = qs_path_ends(name, ".jsonl") || qs_path_ends(name, ".ndjson");
    struct lines l = { data, data + n, 0 };
    const char *text;
    size_t len;
    bool other = false;
    struct qs_err first = QS_ERR_INIT;
    uint64_t broken = 0;
    *out = PLAIN;
    while (next_line(&l, &text, &len)) {
        enum form f;
        struct qs_err why = QS_ERR_INIT;
        if (form_of_line(text, len, &f, &why) != QS_OK)
            return qs_fail_mem(e, len, "a line of JSON");
        other = other || f == OTHER_JSON;
        if (f == NO_JSON && !broken) {
            broken = l.at;
            first = why;
        }
        if (f == TEXTS || f == CHATS) {
            *out = f;
            return QS_OK;
        }
        if (!named)
            break;
    }
    if (named && broken && !other)
        return qs_fail(e, QS_EFORMAT, "%s: line %llu is not JSON: %.300s", name, (unsigned long long)broken,
                       first.msg + (strncmp(first.msg, "JSON: ", 6) == 0 ? 6 : 0));
    if (other || named)
        return qs_fail(e, QS_EFORMAT,
                       "%s: JSON lines without \"text\" or \"messages\": there is nothing to calibrate on", name);
    return QS_OK;
}

/* ---- tokens of text ---- */

/* Where a piece of at most PIECE bytes ends: behind a line, or else between characters. */
static size_t piece_of(const char *text, size_t n)
{
    if (n <= PIECE)
        return n;
    for (size_t k = PIECE; k > PIECE / 2; k--)
        if (text[k - 1] == '\n')
            return k;
    size_t k = PIECE;
    while (k > PIECE - 4 && ((unsigned char)text[k] & 0xC0) == 0x80)
        k--;
    return k;
}

static int tokenize_all(const struct qs_corpus_how *how, struct qs_corpus_read *r, struct qs_err *e)
{
    const unsigned flags = QS_TOKENIZE_REPLACE | (how->special ? QS_TOKENIZE_PARSE_SPECIAL : 0u);
    int rc = QS_OK;
    if (how->bos && qs_vocab_adds_bos(how->v))
        rc = qs_tokens_add(&r->token, qs_vocab_special(how->v, QS_SPECIAL_BOS), e);
    for (size_t at = 0, n; rc == QS_OK && at < r->n_text; at += n) {
        n = piece_of(r->text + at, r->n_text - at);
        rc = qs_tokenize(how->v, r->text + at, n, flags, &r->token, e);
    }
    return rc;
}

static uint64_t invalid_bytes(const char *text, size_t n)
{
    uint64_t found = 0;
    for (size_t at = 0; (at += qs_utf8_invalid_at(text + at, n - at)) < n; at++)
        found++;
    return found;
}

/* ---- plain text ---- */

static size_t blanks_before(const char *text, size_t n)
{
    size_t k = 0;
    while (k < n && (text[k] == ' ' || text[k] == '\t' || text[k] == '\r' || text[k] == '\n'))
        k++;
    return k;
}

static int read_plain(const char *name, const char *data, size_t n, const struct qs_corpus_how *how,
                      struct qs_corpus_read *r, struct qs_err *e)
{
    const char *zero = memchr(data, 0, n);
    if (zero)
        return qs_fail(e, QS_EFORMAT, "%s: byte %zu is zero: not a text in UTF-8", name, (size_t)(zero - data));
    r->kind = "text";
    r->text = data;
    r->n_text = n > 0 && data[n - 1] == '\n' ? n - 1 : n; /* as llama.cpp's tools read a file */
    r->invalid = invalid_bytes(data, n);
    const char first = data[blanks_before(data, n)]; /* there is something: qs_corpus_read looked */
    r->one_value = qs_path_ends(name, ".json") && (first == '[' || first == '{');
    return tokenize_all(how, r, e);
}

/* ---- JSON lines ---- */

static int take_text(const struct qs_json *line, struct qs_corpus_read *r, struct qs_err *e)
{
    const struct qs_json *v = qs_json_get(line, "text");
    const char *text = qs_json_str(v, NULL);
    const size_t n = qs_json_len(v);
    if (!text || n == 0)
        return qs_fail(e, QS_EFORMAT, "no \"text\" with something in it");
    if (strlen(text) != n)
        return qs_fail(e, QS_EFORMAT, "a zero character in \"text\"");
    qs_str_addn(&r->own, text, n);
    qs_str_add(&r->own, "\n\n");
    return r->own.failed ? qs_fail_mem(e, r->own.len + n, "the texts of a file") : QS_OK;
}

static int check_messages(const struct qs_json *m, struct qs_err *e)
{
    if (qs_json_type(m) != QS_JSON_ARRAY || qs_json_len(m) == 0)
        return qs_fail(e, QS_EFORMAT, "no \"messages\" with at least one entry");
    for (size_t i = 0; i < qs_json_len(m); i++) {
        const struct qs_json *one = qs_json_at(m, i);
        if (qs_json_type(one) != QS_JSON_OBJECT || qs_json_type(qs_json_get(one, "role")) != QS_JSON_STRING)
            return qs_fail(e, QS_EFORMAT, "message %zu has no \"role\"", i + 1);
    }
    return QS_OK;
}

static int take_chat(const struct qs_json *line, const struct qs_corpus_how *how, struct qs_corpus_read *r,
                     struct qs_err *e)
{
    const struct qs_chat_args args = { .messages_json = qs_json_get(line, "messages"), .now = TODAY };
    const unsigned flags = QS_TOKENIZE_ADD_SPECIAL | QS_TOKENIZE_PARSE_SPECIAL | QS_TOKENIZE_REPLACE;
    const size_t text = r->own.len, tokens = r->token.n;
    int rc = check_messages(args.messages_json, e);
    if (rc == QS_OK)
        rc = qs_chat_tokens(how->chat, &args, how->v, flags, &r->own, &r->token, e);
    if (rc == QS_OK && memchr(r->own.data + text, 0, r->own.len - text))
        rc = qs_fail(e, QS_EFORMAT, "a zero character in \"messages\"");
    if (rc != QS_OK && r->own.len > text) { /* nothing of it stays */
        r->own.len = text;
        r->own.data[text] = '\0';
    }
    if (rc != QS_OK)
        r->token.n = tokens;
    return rc;
}

static void note_bad(struct qs_corpus_read *r, uint64_t line, const struct qs_err *e)
{
    if (r->bad++ > 0)
        return;
    r->first_bad = line;
    snprintf(r->why, sizeof r->why, "%s", e->msg);
    r->why[qs_utf8_invalid_at(r->why, strlen(r->why))] = '\0'; /* no half character at the end */
}

static int read_lines(const char *name, const char *data, size_t n, bool chats, const struct qs_corpus_how *how,
                      struct qs_corpus_read *r, struct qs_err *e)
{
    struct lines l = { data, data + n, 0 };
    const char *text;
    size_t len;
    if (chats && !how->chat)
        return qs_fail(e, QS_EINVAL, "%s: chats, and there is no chat template to write them with", name);
    while (next_line(&l, &text, &len)) {
        struct qs_err bad = QS_ERR_INIT;
        struct qs_json *line;
        int rc = parse_line(text, len, &line, &bad);
        if (rc == QS_OK)
            rc = chats ? take_chat(line, how, r, &bad) : take_text(line, r, &bad);
        qs_json_free(line);
        r->lines++;
        if (rc == QS_ENOMEM)
            return qs_fail(e, QS_ENOMEM, "%s", bad.msg);
        if (rc != QS_OK)
            note_bad(r, l.at, &bad);
    }
    r->kind = chats ? "JSON lines: chats" : "JSON lines: text";
    r->text = r->own.data;
    r->n_text = r->own.len;
    if (r->bad == r->lines)
        return qs_fail(e, QS_EFORMAT, "%s: none of its %llu lines can be used; line %llu: %s", name,
                       (unsigned long long)r->lines, (unsigned long long)r->first_bad, r->why);
    return chats ? QS_OK : tokenize_all(how, r, e);
}

int qs_corpus_read(const char *name, const char *data, size_t n, const struct qs_corpus_how *how,
                   struct qs_corpus_read *out, struct qs_err *e)
{
    *out = (struct qs_corpus_read){ .own = QS_STR_INIT };
    enum form form;
    if (n >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0) { /* the mark that some editors put before a text */
        data += 3;
        n -= 3;
    }
    if (blanks_before(data, n) == n)
        return qs_fail(e, QS_EINVAL, "%s: nothing in it to calibrate on", name);
    int rc = form_of(name, data, n, &form, e);
    if (rc == QS_OK)
        rc = form == PLAIN ? read_plain(name, data, n, how, out, e)
                           : read_lines(name, data, n, form == CHATS, how, out, e);
    if (rc != QS_OK)
        qs_corpus_read_free(out);
    return rc;
}

void qs_corpus_read_free(struct qs_corpus_read *r)
{
    qs_str_free(&r->own);
    qs_tokens_free(&r->token);
    *r = (struct qs_corpus_read){ .own = QS_STR_INIT };
}
