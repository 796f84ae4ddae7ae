/* config.h - the person's settings: one table, one plain text file.
 *
 * $XDG_CONFIG_HOME/quantscape/config holds lines `key = value`; # begins a comment at the start of a line or after a
 * blank. quantscape-config(5) describes it, from the same table. What is missing has its default; what is unknown or
 * wrong is told once with file and line, counts for nothing and stays in the file. Saving changes the values of
 * settings that were set, and no other byte. One thread.
 */
#ifndef QS_UI_CONFIG_H
#define QS_UI_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "base/str.h"

enum qs_setting {
    QS_CONF_THEME, QS_CONF_COLOR, QS_CONF_UNICODE, QS_CONF_MOUSE, QS_CONF_CELLS, QS_CONF_SYNC, QS_CONF_FRAME_RATE,
    QS_CONF_CONFIRM_QUIT, QS_CONF_PRESET, QS_CONF_THREADS,
    QS_CONF_COUNT
};

enum qs_setting_kind { QS_SETTING_BOOL, QS_SETTING_CHOICE, QS_SETTING_TEXT, QS_SETTING_NUMBER };

/* The order of the words of a choice: what qs_settings_choice returns. */
enum qs_color_setting {
    QS_CONF_COLOR_AUTO, QS_CONF_COLOR_TRUECOLOR, QS_CONF_COLOR_256, QS_CONF_COLOR_16, QS_CONF_COLOR_MONO
};
enum qs_unicode_setting { QS_CONF_UNICODE_AUTO, QS_CONF_UNICODE_ON, QS_CONF_UNICODE_OFF };
enum qs_cells_setting { QS_CONF_CELLS_AUTO, QS_CONF_CELLS_HALF, QS_CONF_CELLS_FULL };

struct qs_setting_def {
    const char *key;
    enum qs_setting_kind kind;
    const char *otherwise;   /* the default */
    const char *choices;     /* words separated by blanks; NULL where anything goes */
    unsigned min, max;       /* of a number */
    int (*check)(const char *text, struct qs_err *e); /* of a text; NULL: any */
    const char *help;        /* one line, lower case, no full stop */
};

const struct qs_setting_def *qs_setting(enum qs_setting s); /* s < QS_CONF_COUNT: the list for completion and help */
bool qs_setting_find(const char *key, enum qs_setting *out);
const char *qs_setting_kind_name(enum qs_setting_kind k);   /* "choice" */

struct qs_settings;

/* Reads the file; `path` NULL: the one in the XDG folder. Fails for want of memory alone: a missing file is an empty
 * one, an unreadable one a problem. */
int qs_settings_load(const char *path, struct qs_settings **out, struct qs_err *e);
void qs_settings_free(struct qs_settings *c);

/* What is wrong with the file, harmless for terminals, "FILE:LINE: ..."; NULL: no more. At most 100. */
const char *qs_settings_problem(const struct qs_settings *c, size_t i);
const char *qs_settings_path(const struct qs_settings *c); /* "" when no home folder is known */

/* Values in force. text: of any kind, as it is written, valid until the next set. The others want a setting of that
 * kind. */
const char *qs_settings_text(const struct qs_settings *c, enum qs_setting s);
bool qs_settings_bool(const struct qs_settings *c, enum qs_setting s);
unsigned qs_settings_choice(const struct qs_settings *c, enum qs_setting s); /* number of the word in `choices` */
unsigned qs_settings_number(const struct qs_settings *c, enum qs_setting s);
bool qs_settings_is_set(const struct qs_settings *c, enum qs_setting s);     /* by the file or by qs_settings_set */

/* Sets for this run. QS_EINVAL: no such key, or not a value of it; the message says what would be. */
int qs_settings_set(struct qs_settings *c, const char *key, const char *text, struct qs_err *e);
/* Writes what was set since into the file as it is now, atomically; nothing when nothing changes. A link stays a link.
 * On failure the file is as it was, and what was set stays set. */
int qs_settings_save(struct qs_settings *c, struct qs_err *e);

/* A file with every setting at its default, explained. Appends; see out->failed. */
void qs_settings_default_text(struct qs_str *out);

#endif
