/* json.h - JSON values; the only file that knows json-c.
 *
 * A value is a reference to a node: containers own what is put into them. Builders on a NULL value do nothing and
 * return NULL, so a chain may be built first and tested once at the end. Integers keep 64 bits; numbers too long for
 * that keep their digits as doubles. Objects keep the order of insertion. Numbers print with the shortest form that
 * reads back to the same double; NaN and infinities print as null.
 */
#ifndef QS_BASE_JSON_H
#define QS_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

struct qs_json; /* opaque node */

enum qs_json_type {
    QS_JSON_NULL, QS_JSON_BOOL, QS_JSON_INT, QS_JSON_DOUBLE, QS_JSON_STRING, QS_JSON_ARRAY, QS_JSON_OBJECT
};

/* Parses exactly one value; errors carry line/offset. Depth is limited to 64, duplicate keys: the last wins. */
int qs_json_parse(const char *text, size_t len, struct qs_json **out, struct qs_err *e);
void qs_json_free(struct qs_json *v); /* roots only; NULL allowed */

struct qs_json *qs_json_object(void);
struct qs_json *qs_json_array(void);
/* obj[key] = value; for arrays use key NULL (append). All return the new child or NULL. Invalid UTF-8 is replaced. */
struct qs_json *qs_json_add_object(struct qs_json *parent, const char *key);
struct qs_json *qs_json_add_array(struct qs_json *parent, const char *key);
bool qs_json_add_str(struct qs_json *parent, const char *key, const char *s);
bool qs_json_add_strn(struct qs_json *parent, const char *key, const char *s, size_t n);
bool qs_json_add_int(struct qs_json *parent, const char *key, int64_t v);
bool qs_json_add_uint(struct qs_json *parent, const char *key, uint64_t v);
bool qs_json_add_num(struct qs_json *parent, const char *key, double v);
bool qs_json_add_bool(struct qs_json *parent, const char *key, bool v);
bool qs_json_add_null(struct qs_json *parent, const char *key);

enum qs_json_type qs_json_type(const struct qs_json *v); /* NULL pointer: QS_JSON_NULL */
const struct qs_json *qs_json_get(const struct qs_json *obj, const char *key); /* NULL when absent (a null is a node) */
const struct qs_json *qs_json_at(const struct qs_json *arr, size_t i);
size_t qs_json_len(const struct qs_json *v); /* items of an array, members of an object, bytes of a string */
const char *qs_json_str(const struct qs_json *v, const char *otherwise);
int64_t qs_json_int(const struct qs_json *v, int64_t otherwise); /* whole doubles too; what does not fit: otherwise */
uint64_t qs_json_uint(const struct qs_json *v, uint64_t otherwise); /* all 64 bits; negative: otherwise */
double qs_json_num(const struct qs_json *v, double otherwise);
bool qs_json_bool(const struct qs_json *v, bool otherwise);
const char *qs_json_key_at(const struct qs_json *obj, size_t i, const struct qs_json **value); /* members in order */

/* Text of the value; pretty: two blanks per level and a final newline. False when memory is out. */
bool qs_json_print(const struct qs_json *v, bool pretty, struct qs_str *out);

#endif
