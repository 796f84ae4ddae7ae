/* talk_internal.h - the insides of a conversation, for core/chat alone. */
#ifndef QS_CORE_TALK_INTERNAL_H
#define QS_CORE_TALK_INTERNAL_H

#include "core/chat/talk.h"

#define QS_TALK_FORM_NONE "none"
#define QS_TALK_FORM_FILE "file"
#define QS_TALK_FORM_MODEL "model" /* as people write the empty name */

/* A text that may be part of a conversation; `what` begins the message. */
int qs_talk_check_text(const char *what, const char *text, size_t n, struct qs_err *e);
/* One more message, whatever stands before it. */
int qs_talk_add(struct qs_talk *t, enum qs_talk_role role, const char *text, size_t n, const char *other,
                size_t n_other, struct qs_err *e);

/* ---- JSON files of this room ---- */
/* A text of a file, checked as above; QS_EFORMAT: `what` is missing or none. Points into j. */
int qs_chat_json_text(const struct qs_json *j, const char *what, const char **text, size_t *n, struct qs_err *e);
/* QS_EFORMAT: not a file of this kind; QS_EUNSUPPORTED: of another version. */
int qs_chat_json_kind(const struct qs_json *j, const char *kind, int version, struct qs_err *e);
int qs_chat_load_json(const char *path, size_t max, struct qs_json **out, struct qs_err *e);
/* frees j */
int qs_chat_save_json(struct qs_json *j, const char *path, bool overwrite, const char *what, struct qs_err *e);

#endif
