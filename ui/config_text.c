/* config_text.c - the text of the settings file, line by line.
 *
 * Owns the rule of comments and blanks. Any bytes are taken: a line that is no setting is passed on as it is. Line ends
 * of other systems and the mark that some editors put before UTF-8 stay where they are. No state.
 */
#include "ui/config_text.h"

#include <string.h>

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* An empty span stays at its start. */
static struct qs_settings_span trim(const char *text, size_t from, size_t to)
{
    size_t first = from;
    while (first < to && blank(text[first]))
        first++;
    if (first == to)
        return (struct qs_settings_span){ from, from };
    while (blank(text[to - 1]))
        to--;
    return (struct qs_settings_span){ first, to };
}

/* text[from .. to) is one line without its end. */
static void split(const char *text, size_t from, size_t to, struct qs_settings_line *out)
{
    size_t end = from;
    while (end < to && !(text[end] == '#' && (end == from || blank(text[end - 1]))))
        end++;
    const char *eq = end > from ? memchr(text + from, '=', end - from) : NULL;
    const size_t middle = eq ? (size_t)(eq - text) : end;
    out->key = trim(text, from, middle);
    out->value = trim(text, eq ? middle + 1 : end, end);
    out->setting = eq && out->key.from < out->key.to && !memchr(text + from, 0, end - from);
    if (eq && !out->setting)
        out->key = (struct qs_settings_span){ from, end }; /* not to be taken for a comment */
}

bool qs_settings_next_line(const char *text, size_t len, size_t *at, struct qs_settings_line *out)
{
    if (*at == 0 && len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        *at = 3;
    if (*at >= len)
        return false;
    const char *end = memchr(text + *at, '\n', len - *at);
    const size_t to = end ? (size_t)(end - text) : len;
    split(text, *at, to, out);
    *at = to + 1;
    return true;
}

static bool find_value(const struct qs_str *text, const char *key, struct qs_settings_span *out)
{
    struct qs_settings_line l;
    bool found = false;
    for (size_t at = 0; qs_settings_next_line(text->data, text->len, &at, &l);)
        if (l.setting && l.key.to - l.key.from == strlen(key) && qs_ascii_begins(text->data + l.key.from, key)) {
            *out = l.value;
            found = true;
        }
    return found;
}

void qs_settings_edit(struct qs_str *text, const char *key, const char *value)
{
    struct qs_str s = QS_STR_INIT;
    struct qs_settings_span v;
    if (find_value(text, key, &v)) {
        qs_str_addn(&s, text->data, v.from);
        qs_str_addf(&s, "%s%s", v.from == v.to ? " " : "", value); /* "key =" stood there without a value */
        qs_str_addn(&s, text->data + v.to, text->len - v.to);
    } else {
        qs_str_addn(&s, text->data, text->len);
        if (s.len && s.data[s.len - 1] != '\n')
            qs_str_addc(&s, '\n');
        qs_str_addf(&s, "%s = %s\n", key, value);
    }
    s.failed |= text->failed;
    qs_str_free(text);
    *text = s;
}
