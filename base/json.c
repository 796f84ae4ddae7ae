/* json.c - JSON values: a tree that is built and read. The only file that knows json-c.
 *
 * Owns the nodes. A null is a node of its own here (json-c says it with a NULL pointer, which could not be told from
 * "absent"). Text in both directions is base/json_text.c: json-c's own reader turns long integers into wrong ones or
 * refuses them, and what it lets pass differs between the versions in use. A tree belongs to one thread while it is
 * built; once built any number may read it.
 */
#include <json-c/json.h>
#include <json-c/linkhash.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/json_text.h"
#include "base/mem.h"
#include "base/unicode.h"

#define INDEX_FROM 16 /* objects with fewer members are walked */

/* The one null node; only its address counts. */
static const char null_node;

static struct qs_json *null_value(void)
{
    return (struct qs_json *)(uintptr_t)&null_node;
}

static json_object *node(const struct qs_json *v)
{
    return (const char *)v == &null_node ? NULL : (json_object *)(uintptr_t)v;
}

/* What json-c gives, as our node: its NULL is a null. */
static struct qs_json *value(json_object *o)
{
    return o ? (struct qs_json *)o : null_value();
}

void qs_json_free(struct qs_json *v)
{
    json_object_put(node(v));
}

struct qs_json *qs_json_object(void)
{
    return (struct qs_json *)json_object_new_object();
}

struct qs_json *qs_json_array(void)
{
    return (struct qs_json *)json_object_new_array();
}

/* --- building ----------------------------------------------------------------------------------------------------- */

/* Appends s to `out` with U+FFFD for every invalid byte. */
static void repair(struct qs_str *out, const char *s, size_t n)
{
    while (n > 0) {
        size_t good = qs_utf8_invalid_at(s, n);
        qs_str_addn(out, s, good);
        if (good == n)
            return;
        qs_str_add(out, "\xEF\xBF\xBD");
        s += good + 1;
        n -= good + 1;
    }
}

/* Puts `child` (may be NULL: a JSON null) under its parent, which owns it then. On failure the child is released. */
static bool put(struct qs_json *parent, const char *key, json_object *child)
{
    json_object *p = node(parent);
    bool done = false;
    if (p && !key && json_object_is_type(p, json_type_array)) {
        done = json_object_array_add(p, child) == 0;
    } else if (p && key && json_object_is_type(p, json_type_object)) {
        struct qs_str fixed = QS_STR_INIT;
        size_t n = strlen(key);
        if (qs_utf8_invalid_at(key, n) < n) {
            repair(&fixed, key, n);
            key = fixed.data;
        }
        json_object_set_userdata(p, NULL, NULL); /* an index of the members would be stale now */
        done = !fixed.failed && json_object_object_add(p, key, child) == 0;
        qs_str_free(&fixed);
    }
    if (!done)
        json_object_put(child);
    return done;
}

/* Like put for a child that json-c could not make when it is NULL. */
static bool put_made(struct qs_json *parent, const char *key, json_object *child)
{
    return child && put(parent, key, child);
}

struct qs_json *qs_json_add_object(struct qs_json *parent, const char *key)
{
    if (!parent)
        return NULL;
    json_object *child = json_object_new_object();
    return put_made(parent, key, child) ? (struct qs_json *)child : NULL;
}

struct qs_json *qs_json_add_array(struct qs_json *parent, const char *key)
{
    if (!parent)
        return NULL;
    json_object *child = json_object_new_array();
    return put_made(parent, key, child) ? (struct qs_json *)child : NULL;
}

bool qs_json_add_strn(struct qs_json *parent, const char *key, const char *s, size_t n)
{
    struct qs_str fixed = QS_STR_INIT;
    json_object *child = NULL;
    if (!parent)
        return false;
    if (qs_utf8_invalid_at(s, n) < n) {
        repair(&fixed, s, n);
        s = fixed.data;
        n = fixed.len;
    }
    if (!fixed.failed && n < INT_MAX)
        child = json_object_new_string_len(n ? s : "", (int)n);
    qs_str_free(&fixed);
    return put_made(parent, key, child);
}

bool qs_json_add_str(struct qs_json *parent, const char *key, const char *s)
{
    return s ? qs_json_add_strn(parent, key, s, strlen(s)) : qs_json_add_null(parent, key);
}

bool qs_json_add_int(struct qs_json *parent, const char *key, int64_t v)
{
    return parent && put_made(parent, key, json_object_new_int64(v));
}

bool qs_json_add_uint(struct qs_json *parent, const char *key, uint64_t v)
{
    if (v <= INT64_MAX)
        return qs_json_add_int(parent, key, (int64_t)v);
    return parent && put_made(parent, key, json_object_new_uint64(v));
}

bool qs_json_add_num(struct qs_json *parent, const char *key, double v)
{
    return parent && put_made(parent, key, json_object_new_double(v));
}

bool qs_json_add_bool(struct qs_json *parent, const char *key, bool v)
{
    return parent && put_made(parent, key, json_object_new_boolean(v));
}

bool qs_json_add_null(struct qs_json *parent, const char *key)
{
    return parent && put(parent, key, NULL);
}

struct qs_json *qs_json_detach_only(struct qs_json *array)
{
    json_object *only = json_object_get(json_object_array_get_idx(node(array), 0));
    json_object_put(node(array));
    return value(only);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

enum qs_json_type qs_json_type(const struct qs_json *v)
{
    switch (json_object_get_type(node(v))) {
    case json_type_boolean: return QS_JSON_BOOL;
    case json_type_int: return QS_JSON_INT;
    case json_type_double: return QS_JSON_DOUBLE;
    case json_type_string: return QS_JSON_STRING;
    case json_type_array: return QS_JSON_ARRAY;
    case json_type_object: return QS_JSON_OBJECT;
    case json_type_null: break;
    }
    return QS_JSON_NULL;
}

const struct qs_json *qs_json_get(const struct qs_json *obj, const char *key)
{
    json_object *found = NULL;
    if (qs_json_type(obj) != QS_JSON_OBJECT || !json_object_object_get_ex(node(obj), key, &found))
        return NULL;
    return value(found);
}

const struct qs_json *qs_json_at(const struct qs_json *arr, size_t i)
{
    if (qs_json_type(arr) != QS_JSON_ARRAY || i >= json_object_array_length(node(arr)))
        return NULL;
    return value(json_object_array_get_idx(node(arr), i));
}

size_t qs_json_len(const struct qs_json *v)
{
    switch (qs_json_type(v)) {
    case QS_JSON_ARRAY: return json_object_array_length(node(v));
    case QS_JSON_OBJECT: return (size_t)json_object_object_length(node(v));
    case QS_JSON_STRING: return (size_t)json_object_get_string_len(node(v));
    default: return 0;
    }
}

const char *qs_json_str(const struct qs_json *v, const char *otherwise)
{
    return qs_json_type(v) == QS_JSON_STRING ? json_object_get_string(node(v)) : otherwise;
}

/* json-c keeps an integer signed or unsigned and clamps to the kind asked for: beyond INT64_MAX the two differ. */
static bool above_int64(json_object *o)
{
    return json_object_get_int64(o) == INT64_MAX && json_object_get_uint64(o) > (uint64_t)INT64_MAX;
}

int64_t qs_json_int(const struct qs_json *v, int64_t otherwise)
{
    if (qs_json_type(v) == QS_JSON_INT)
        return above_int64(node(v)) ? otherwise : json_object_get_int64(node(v));
    if (qs_json_type(v) != QS_JSON_DOUBLE)
        return otherwise;
    /* 1e6 and 2.0 are whole numbers too; 2^63 itself does not fit. */
    double d = json_object_get_double(node(v));
    return d >= -0x1p63 && d < 0x1p63 && !(d < trunc(d)) && !(d > trunc(d)) ? (int64_t)d : otherwise;
}

uint64_t qs_json_uint(const struct qs_json *v, uint64_t otherwise)
{
    if (qs_json_type(v) == QS_JSON_INT && above_int64(node(v)))
        return json_object_get_uint64(node(v));
    int64_t i = qs_json_int(v, -1);
    return i < 0 ? otherwise : (uint64_t)i;
}

double qs_json_num(const struct qs_json *v, double otherwise)
{
    if (qs_json_type(v) == QS_JSON_DOUBLE)
        return json_object_get_double(node(v));
    if (qs_json_type(v) != QS_JSON_INT)
        return otherwise;
    return above_int64(node(v)) ? (double)json_object_get_uint64(node(v)) : (double)json_object_get_int64(node(v));
}

bool qs_json_bool(const struct qs_json *v, bool otherwise)
{
    return qs_json_type(v) == QS_JSON_BOOL ? json_object_get_boolean(node(v)) != 0 : otherwise;
}

/* json-c's members are a chain: the i-th of 200,000 is 200,000 steps away. Large objects that were read from text get
 * an array of their members, kept with the node. */
static void drop_index(json_object *o, void *index)
{
    (void)o;
    qs_free(index);
}

void qs_json_index(struct qs_json *obj)
{
    json_object *o = node(obj);
    size_t n = qs_json_len(obj), i = 0;
    if (n < INDEX_FROM)
        return;
    struct lh_entry **index = qs_realloc_array(NULL, n, sizeof *index);
    if (!index)
        return; /* slower, not wrong */
    for (struct lh_entry *m = lh_table_head(json_object_get_object(o)); m && i < n; m = lh_entry_next(m))
        index[i++] = m;
    json_object_set_userdata(o, index, drop_index);
}

const char *qs_json_key_at(const struct qs_json *obj, size_t i, const struct qs_json **v)
{
    if (v)
        *v = NULL;
    if (qs_json_type(obj) != QS_JSON_OBJECT || i >= qs_json_len(obj))
        return NULL;
    json_object *o = node(obj);
    struct lh_entry *const *index = json_object_get_userdata(o);
    struct lh_entry *m = index ? index[i] : lh_table_head(json_object_get_object(o));
    for (; !index && m && i > 0; i--)
        m = lh_entry_next(m);
    if (!m)
        return NULL;
    if (v)
        *v = value((json_object *)(uintptr_t)lh_entry_v(m));
    return (const char *)lh_entry_k(m);
}

void qs_json_walk_begin(struct qs_json_walk *w, const struct qs_json *obj)
{
    w->next = qs_json_type(obj) == QS_JSON_OBJECT ? lh_table_head(json_object_get_object(node(obj))) : NULL;
}

const char *qs_json_walk_next(struct qs_json_walk *w, const struct qs_json **v)
{
    const struct lh_entry *m = w->next;
    if (!m)
        return NULL;
    w->next = lh_entry_next(m);
    *v = value((json_object *)(uintptr_t)lh_entry_v(m));
    return (const char *)lh_entry_k(m);
}
