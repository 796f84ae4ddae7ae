/* config_text.h - lines `key = value` with comments: finding what they say, changing one value and nothing else. */
#ifndef QS_UI_CONFIG_TEXT_H
#define QS_UI_CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include "base/str.h"

struct qs_settings_span { size_t from, to; }; /* bytes of the text */
struct qs_settings_line {
    bool setting;                   /* a key and an equals sign */
    struct qs_settings_span key, value; /* without blanks around them; an empty key: nothing but a comment */
};

/* The line at *at, which moves to the next one; starts at 0. False at the end. */
bool qs_settings_next_line(const char *text, size_t len, size_t *at, struct qs_settings_line *out);

/* Puts `value` in the place of the value in the last line of this key, or adds a line. See text->failed. */
void qs_settings_edit(struct qs_str *text, const char *key, const char *value);

#endif
