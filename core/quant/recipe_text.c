/* recipe_text.c - recipe files: a strict reader with line numbers, and the printer that keeps lines as they were.
 *
 * One line is one thing: a setting, a pin, a rule, a comment or nothing. '#' starts a comment at the beginning of a
 * line or after a blank. The type stands behind the last '='. Names and patterns that begin or end with a blank, begin
 * with '#' or '"', or hold a blank followed by '#' are written in double quotes, where "" is one quote. Refuses:
 * invalid UTF-8, control characters, unknown words, anything twice, settings that exclude each other. Takes CRLF and a byte order mark.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/near.h"
#include "base/unicode.h"
#include "core/quant/recipe_internal.h"

#define FILE_MAX_BYTES (16u << 20)
#define LINES_MAX 300000

struct reader {
    struct qs_recipe *r;
    const char *name;
    unsigned line;
    unsigned seen[QS_SETTINGS]; /* line of each setting, 0: not yet */
    struct qs_err *e;
};

struct span {
    const char *p;
    size_t n;
};

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct span trim(struct span s)
{
    while (s.n && blank(s.p[0]))
        s.p++, s.n--;
    while (s.n && blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

static bool is_word(struct span s, const char *word)
{
    return s.n == strlen(word) && memcmp(s.p, word, s.n) == 0;
}

/* A terminated copy, cut at the buffer's end: for look-ups and messages. */
static const char *text_of(struct span s, char *buf, size_t n)
{
    size_t k = s.n < n - 1 ? s.n : n - 1;
    memcpy(buf, s.p, k);
    buf[k] = 0;
    return buf;
}

static int at_line(struct reader *x, int rc)
{
    if (rc && x->e)
        qs_err_prefix(x->e, "%s:%u", x->name, x->line);
    return rc;
}

/* ---- parts of a line ---------------------------------------------------------------------------------------- */

/* Cuts the comment off; *comment is from '#' on. Quoted text (where `quoted` says how long it is) is passed over. */
static struct span cut_comment(struct span s, size_t from, struct span *comment)
{
    for (size_t i = from; i < s.n; i++) {
        if (s.p[i] == '#' && (i == 0 || blank(s.p[i - 1]))) {
            *comment = (struct span){ s.p + i, s.n - i };
            s.n = i;
            break;
        }
    }
    return s;
}

/* "..." at the start of s: its length with quotes, 0 when it does not end. The text goes to `out`. */
static size_t unquote(struct span s, struct qs_str *out)
{
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] != '"')
            qs_str_addc(out, s.p[i]);
        else if (i + 1 < s.n && s.p[i + 1] == '"')
            qs_str_addc(out, s.p[i++]);
        else
            return i + 1;
    }
    return 0;
}

static int read_bool(struct span v, int *out, struct qs_err *e)
{
    static const struct { const char *word; int value; } words[] = {
        { "yes", 1 }, { "no", 0 }, { "true", 1 }, { "false", 0 }, { "on", 1 }, { "off", 0 },
    };
    char buf[48];
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (is_word(v, words[i].word)) {
            *out = words[i].value;
            return QS_OK;
        }
    }
    return qs_fail(e, QS_EINVAL, "\"%s\" is neither yes nor no", text_of(v, buf, sizeof buf));
}

static int preset_value(const char *name, int *value, struct qs_err *e)
{
    const struct qs_preset *p = NULL;
    int rc = qs_recipe_preset(name, &p, e);
    for (size_t i = 0; !rc && i < qs_preset_count(); i++)
        if (qs_preset_at(i) == p)
            *value = (int)i;
    return rc;
}

/* ---- kinds of lines ----------------------------------------------------------------------------------------- */

static int keep_line(struct reader *x, struct qs_recipe_line *line, struct span raw, struct span comment)
{
    struct qs_recipe *r = x->r;
    const int rc = qs_recipe_reserve(r, 0, 0, 1, x->e);
    if (rc)
        return rc;
    line->raw = qs_strndup(raw.p, raw.n);
    line->comment = comment.n ? qs_strndup(comment.p, comment.n) : NULL;
    if (!line->raw || (comment.n && !line->comment)) {
        qs_free(line->raw);
        qs_free(line->comment);
        return qs_fail_mem(x->e, raw.n + comment.n + 2, "the recipe");
    }
    r->text[r->n_lines++] = *line;
    return QS_OK;
}

static int unknown_key(struct reader *x, struct span key)
{
    char buf[64], near_text[160];
    struct qs_near near;
    qs_near_start(&near, text_of(key, buf, sizeof buf));
    for (int s = 0; s < QS_SETTINGS; s++)
        qs_near_try(&near, qs_recipe_key((enum qs_recipe_setting)s));
    qs_near_try(&near, "pin");
    qs_near_try(&near, "rule");
    return qs_fail(x->e, QS_EINVAL, "unknown word \"%s\"%s", buf, qs_near_text(&near, near_text, sizeof near_text));
}

static int expected(struct reader *x, enum qs_recipe_setting s)
{
    static const char *const value[] = {
        [QS_SET_PRESET] = "NAME", [QS_SET_PURE] = "yes", [QS_SET_LEAVE_OUTPUT] = "yes", [QS_SET_STRICT] = "yes",
        [QS_SET_STEADY] = "yes", [QS_SET_OUTPUT_TYPE] = "TYPE", [QS_SET_TOKEN_EMBD_TYPE] = "TYPE",
    };
    return qs_fail(x->e, QS_EINVAL, "\"%s = %s\" is expected", qs_recipe_key(s), value[s]);
}

static int read_setting(struct reader *x, struct span body, struct qs_recipe_line *line)
{
    char buf[64];
    const char *eq = memchr(body.p, '=', body.n);
    struct span key = trim((struct span){ body.p, eq ? (size_t)(eq - body.p) : body.n });
    struct span value = { eq ? eq + 1 : "", eq ? body.n - (size_t)(eq - body.p) - 1 : 0 };
    value = trim(value);
    int s = 0, rc;
    while (s < QS_SETTINGS && !is_word(key, qs_recipe_key((enum qs_recipe_setting)s)))
        s++;
    if (s == QS_SETTINGS) {
        size_t n = 0;
        while (n < key.n && !blank(key.p[n]))
            n++;
        const struct span word = { key.p, n };
        for (int k = 0; k < QS_SETTINGS; k++) /* a known word: what stands behind it is no "=" */
            if (is_word(word, qs_recipe_key((enum qs_recipe_setting)k)))
                return expected(x, (enum qs_recipe_setting)k);
        return unknown_key(x, word);
    }
    line->kind = QS_LINE_SETTING;
    line->setting = (enum qs_recipe_setting)s;
    if (!eq || value.n == 0)
        return expected(x, line->setting);
    if (x->seen[s])
        return qs_fail(x->e, QS_EINVAL, "%s is set in line %u already", qs_recipe_key(line->setting), x->seen[s]);
    x->seen[s] = x->line;
    text_of(value, buf, sizeof buf);
    if (line->setting == QS_SET_PRESET)
        rc = preset_value(buf, &line->value, x->e);
    else if (line->setting == QS_SET_OUTPUT_TYPE || line->setting == QS_SET_TOKEN_EMBD_TYPE)
        rc = qs_recipe_type(buf, &line->value, x->e);
    else
        rc = read_bool(value, &line->value, x->e);
    if (rc == QS_OK)
        qs_recipe_set(x->r, line->setting, line->value);
    return rc;
}

/* rest: behind the word "pin" or "rule"; without comment unless quoted. */
static int read_item(struct reader *x, bool pin, struct span rest, struct qs_recipe_line *line, struct span *comment)
{
    struct qs_str pattern = QS_STR_INIT;
    struct span type;
    char buf[64];
    const char *what = pin ? "pin NAME = TYPE" : "rule REGEX = TYPE";
    int rc = QS_OK;
    if (rest.n && rest.p[0] == '"') {
        size_t len = unquote(rest, &pattern);
        type = (struct span){ rest.p + len, rest.n - len };
        if (len == 0)
            rc = qs_fail(x->e, QS_EINVAL, "the quoted %s has no end", pin ? "name" : "pattern");
        type = trim(cut_comment(type, 0, comment));
        if (!rc && (type.n == 0 || type.p[0] != '='))
            rc = qs_fail(x->e, QS_EINVAL, "\"%s\" is expected", what);
        else if (!rc)
            type = trim((struct span){ type.p + 1, type.n - 1 });
    } else {
        rest = trim(cut_comment(rest, 0, comment));
        size_t eq = rest.n;
        while (eq > 0 && rest.p[eq - 1] != '=')
            eq--;
        type = trim((struct span){ rest.p + eq, rest.n - eq });
        struct span left = trim((struct span){ rest.p, eq ? eq - 1 : 0 });
        qs_str_addn(&pattern, left.p, left.n);
        if (eq == 0 || left.n == 0)
            rc = qs_fail(x->e, QS_EINVAL, "\"%s\" is expected", what);
    }
    if (pattern.failed && !rc)
        rc = qs_fail_mem(x->e, rest.n, "the recipe");
    if (!rc)
        rc = qs_recipe_check_item(pin, pattern.data, pattern.len, x->e);
    if (!rc && type.n == 0)
        rc = qs_fail(x->e, QS_EINVAL, "\"%s\" is expected", what);
    if (!rc)
        rc = qs_recipe_type(text_of(type, buf, sizeof buf), &line->value, x->e);
    line->kind = pin ? QS_LINE_PIN : QS_LINE_RULE;
    line->item = pin ? x->r->n_pins : x->r->n_rules;
    if (!rc)
        rc = qs_recipe_add_item(x->r, pin, pattern.data, pattern.len, line->value, x->line, x->e);
    qs_str_free(&pattern);
    return rc;
}

static int read_line(struct reader *x, struct span raw)
{
    struct qs_recipe_line line = { .kind = QS_LINE_TEXT };
    struct span comment = { NULL, 0 }, body = trim(raw);
    size_t word = 0, bad = qs_utf8_invalid_at(raw.p, raw.n);
    int rc = QS_OK;
    if (bad < raw.n)
        return qs_fail(x->e, QS_EFORMAT, "no valid UTF-8 at byte %zu of the line", bad + 1);
    for (size_t i = 0; i < raw.n; i++)
        if (((unsigned char)raw.p[i] < 0x20 && raw.p[i] != '\t') || raw.p[i] == 0x7f ||
            (raw.p[i] == '\xc2' && (unsigned char)raw.p[i + 1] < 0xa0)) /* C1; valid UTF-8: a byte follows */
            return qs_fail(x->e, QS_EFORMAT, "a control character at byte %zu of the line", i + 1);
    while (word < body.n && !blank(body.p[word]) && body.p[word] != '=')
        word++;
    struct span first = { body.p, word };
    bool pin = is_word(first, "pin");
    if (body.n == 0 || body.p[0] == '#')
        return keep_line(x, &line, raw, comment);
    if (pin || is_word(first, "rule")) {
        struct span rest = trim((struct span){ body.p + word, body.n - word });
        if (word < body.n && body.p[word] == '=')
            rest.n = 0;
        rc = read_item(x, pin, rest, &line, &comment);
    } else {
        rc = read_setting(x, trim(cut_comment(body, 0, &comment)), &line);
    }
    return rc ? rc : keep_line(x, &line, raw, comment);
}

static int compare_pins(const void *va, const void *vb)
{
    const struct qs_recipe_item *a = va, *b = vb;
    int d = strcmp(a->pattern, b->pattern);
    return d ? d : a->line < b->line ? -1 : a->line > b->line;
}

/* Settings that cannot both be meant are an error in the later line. */
static int refuse_contradictions(struct reader *x)
{
    const unsigned *seen = x->seen;
    enum qs_recipe_setting a, b;
    const char *why = qs_recipe_contradiction(x->r, &a, &b);
    if (!why)
        return QS_OK;
    x->line = seen[a] > seen[b] ? seen[a] : seen[b];
    return qs_fail(x->e, QS_EINVAL, "%s (line %u): they exclude each other", why, seen[a] > seen[b] ? seen[b] : seen[a]);
}

/* A name pinned twice is an error in the second line. */
static int refuse_twins(struct reader *x)
{
    size_t n = x->r->n_pins;
    if (n < 2)
        return QS_OK;
    struct qs_recipe_item *v = qs_calloc(n, sizeof *v);
    if (!v)
        return qs_fail_mem(x->e, n * sizeof *v, "the pins");
    memcpy(v, x->r->pin, n * sizeof *v);
    qsort(v, n, sizeof *v, compare_pins);
    int rc = QS_OK;
    for (size_t i = 1; i < n && !rc; i++) {
        if (strcmp(v[i - 1].pattern, v[i].pattern) == 0) {
            x->line = v[i].line;
            rc = qs_fail(x->e, QS_EINVAL, "%s is pinned in line %u already", v[i].pattern, v[i - 1].line);
        }
    }
    qs_free(v);
    return rc;
}

int qs_recipe_parse(const char *name, const char *text, size_t len, struct qs_recipe **out, struct qs_err *e)
{
    struct reader x = { .name = name ? name : "recipe", .e = e };
    size_t at = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    int rc = QS_OK;
    x.r = qs_recipe_empty();
    if (!x.r)
        return qs_fail_mem(e, sizeof *x.r, "a recipe");
    if (name && !(x.r->name = qs_strdup(name)))
        rc = qs_fail_mem(e, strlen(name), "a recipe");
    else if (len > FILE_MAX_BYTES)
        rc = qs_fail(e, QS_ELIMIT, "%s: more than %u bytes", x.name, FILE_MAX_BYTES);
    while (at < len && !rc) {
        const char *nl = memchr(text + at, '\n', len - at);
        size_t end = nl ? (size_t)(nl - text) : len;
        struct span line = { text + at, end - at };
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        x.line++;
        rc = x.line > LINES_MAX ? qs_fail(e, QS_ELIMIT, "more than %d lines", LINES_MAX) : read_line(&x, line);
        rc = at_line(&x, rc);
        at = end + 1;
    }
    if (!rc)
        rc = at_line(&x, refuse_twins(&x));
    if (!rc)
        rc = at_line(&x, refuse_contradictions(&x));
    if (rc)
        qs_recipe_free(x.r);
    else
        *out = x.r;
    return rc;
}

int qs_recipe_load(const char *path, struct qs_recipe **out, struct qs_err *e)
{
    char *text = NULL;
    size_t len = 0;
    int rc = qs_file_read(path, FILE_MAX_BYTES, &text, &len, e);
    if (rc)
        return rc;
    rc = qs_recipe_parse(path, text, len, out, e);
    qs_free(text);
    return rc;
}

/* ---- printing ----------------------------------------------------------------------------------------------- */

static bool needs_quotes(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || blank(s[0]) || blank(s[n - 1]) || s[0] == '"' || s[0] == '#')
        return true;
    for (size_t i = 1; i < n; i++)
        if (s[i] == '#' && blank(s[i - 1]))
            return true;
    return false;
}

static void print_pattern(struct qs_str *out, const char *s)
{
    if (!needs_quotes(s)) {
        qs_str_add(out, s);
        return;
    }
    qs_str_addc(out, '"');
    for (; *s; s++) {
        if (*s == '"')
            qs_str_addc(out, '"');
        qs_str_addc(out, *s);
    }
    qs_str_addc(out, '"');
}

static const char *type_name(int type)
{
    const struct qs_format *f = qs_format_by_id(type);
    return f ? f->name : "?";
}

static void end_line(struct qs_str *out, const char *comment)
{
    if (comment) {
        qs_str_add(out, "  ");
        qs_str_add(out, comment);
    }
    qs_str_addc(out, '\n');
}

static void print_setting(struct qs_str *out, const struct qs_recipe *r, enum qs_recipe_setting s, const char *comment)
{
    int v = qs_recipe_value(r, s);
    bool is_type = s == QS_SET_OUTPUT_TYPE || s == QS_SET_TOKEN_EMBD_TYPE;
    if (is_type && v == QS_TYPE_NONE) { /* no longer set: its comment stays */
        if (comment) {
            qs_str_add(out, comment);
            qs_str_addc(out, '\n');
        }
        return;
    }
    qs_str_addf(out, "%s = %s", qs_recipe_key(s),
                s == QS_SET_PRESET ? r->preset->name : is_type ? type_name(v) : v ? "yes" : "no");
    end_line(out, comment);
}

static void print_item(struct qs_str *out, bool pin, const struct qs_recipe_item *item, const char *comment)
{
    qs_str_add(out, pin ? "pin  " : "rule ");
    print_pattern(out, item->pattern);
    qs_str_addf(out, " = %s", type_name(item->type));
    end_line(out, comment);
}

static void print_line(struct qs_str *out, const struct qs_recipe *r, const struct qs_recipe_line *l)
{
    bool pin = l->kind == QS_LINE_PIN;
    const struct qs_recipe_item *item = pin ? &r->pin[l->item] : l->kind == QS_LINE_RULE ? &r->rule[l->item] : NULL;
    int now = item ? item->type : l->kind == QS_LINE_SETTING ? qs_recipe_value(r, l->setting) : l->value;
    if (l->raw && now == l->value) {
        qs_str_add(out, l->raw);
        qs_str_addc(out, '\n');
    } else if (l->kind == QS_LINE_SETTING) {
        print_setting(out, r, l->setting, l->comment);
    } else if (item) {
        print_item(out, pin, item, l->comment);
    }
}

/* Settings that no line states: behind the last setting, else before the first pin or rule. */
static size_t place_of_unstated(const struct qs_recipe *r)
{
    size_t after = 0, first = r->n_lines;
    for (size_t i = 0; i < r->n_lines; i++) {
        if (r->text[i].kind == QS_LINE_SETTING)
            after = i + 1;
        else if (r->text[i].kind != QS_LINE_TEXT && first == r->n_lines)
            first = i;
    }
    return after ? after : first;
}

static void print_unstated(struct qs_str *out, const struct qs_recipe *r, const bool *stated)
{
    for (int s = 0; s < QS_SETTINGS; s++)
        if (!stated[s] && qs_recipe_value(r, (enum qs_recipe_setting)s) != qs_recipe_default((enum qs_recipe_setting)s))
            print_setting(out, r, (enum qs_recipe_setting)s, NULL);
}

/* Appends the text; where `numbered` is the recipe itself its items learn the lines they stand in. */
static int print(const struct qs_recipe *r, struct qs_recipe *numbered, struct qs_str *out, struct qs_err *e)
{
    bool stated[QS_SETTINGS] = { false };
    size_t place = place_of_unstated(r), seen = out->len;
    unsigned no = 0;
    for (size_t i = 0; i < r->n_lines; i++)
        if (r->text[i].kind == QS_LINE_SETTING)
            stated[r->text[i].setting] = true;
    for (size_t i = 0; i <= r->n_lines; i++) {
        if (i == place)
            print_unstated(out, r, stated);
        if (i == r->n_lines)
            break;
        const struct qs_recipe_line *l = &r->text[i];
        print_line(out, r, l);
        for (; seen < out->len; seen++)
            no += out->data[seen] == '\n';
        if (numbered && l->kind == QS_LINE_PIN)
            numbered->pin[l->item].line = no;
        if (numbered && l->kind == QS_LINE_RULE)
            numbered->rule[l->item].line = no;
    }
    return out->failed ? qs_fail_mem(e, out->len, "the recipe's text") : QS_OK;
}

int qs_recipe_print(const struct qs_recipe *r, struct qs_str *out, struct qs_err *e)
{
    return print(r, NULL, out, e);
}

int qs_recipe_print_numbered(struct qs_recipe *r, struct qs_str *out, struct qs_err *e)
{
    return print(r, r, out, e);
}
