/* json_text.h - what base/json_text.c (text of JSON values) needs of base/json.c beyond the public header. */
#ifndef QS_BASE_JSON_TEXT_H
#define QS_BASE_JSON_TEXT_H

#include "base/json.h"

/* Takes the first item out of an array and releases the array. */
struct qs_json *qs_json_detach_only(struct qs_json *array);

/* Makes qs_json_key_at quick for an object that is complete. */
void qs_json_index(struct qs_json *obj);

/* The members one after the other, in order, for objects that have no such index. */
struct qs_json_walk { const void *next; };
void qs_json_walk_begin(struct qs_json_walk *w, const struct qs_json *obj);
const char *qs_json_walk_next(struct qs_json_walk *w, const struct qs_json **value); /* NULL at the end */

#endif
