/* talk_file.c - conversations as JSON: our own form with a version, and plain lists of messages of others.
 *
 * What is read replaces a conversation as a whole or not at all; messages say which message or field is wrong.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/chat/talk_internal.h"
#include "kernels/format.h"

#define FILE_MAX_BYTES (64u << 20)
#define KIND "conversation"
#define VERSION 1

/* ---- writing ------------------------------------------------------------------------------------------------- */

static bool add_settings(struct qs_json *to, const struct qs_talk *t)
{
    const struct qs_talk_settings *s = &t->settings;
    size_t n;
    const struct qs_sampler_setting *row = qs_sampler_table(&n);
    bool ok = to != NULL;
    for (size_t i = 0; i < n; i++) {
        const char *field = (const char *)&s->sampler + row[i].offset;
        int64_t whole;
        double number;
        memcpy(&whole, field, sizeof whole);
        memcpy(&number, field, sizeof number);
        ok &= row[i].whole ? qs_json_add_int(to, row[i].key, whole) : qs_json_add_num(to, row[i].key, number);
    }
    ok &= qs_json_add_uint(to, "max_tokens", s->max_tokens) && qs_json_add_uint(to, "ctx", s->n_ctx);
    ok &= qs_json_add_str(to, "cache_type_k", qs_type_name(s->type_k));
    ok &= qs_json_add_str(to, "cache_type_v", qs_type_name(s->type_v));
    ok &= qs_json_add_bool(to, "rotate_cache", s->rotate);
    return ok && qs_json_add_str(to, "template", *s->form ? s->form : QS_TALK_FORM_MODEL);
}

static bool add_message(struct qs_json *list, const struct qs_talk_message *m)
{
    struct qs_json *o = qs_json_add_object(list, NULL);
    bool ok = o && qs_json_add_str(o, "role", qs_talk_role_name(m->role)) && qs_json_add_str(o, "content", m->text);
    return ok && (!m->other || qs_json_add_str(o, "other", m->other));
}

struct qs_json *qs_talk_json(const struct qs_talk *t)
{
    struct qs_json *root = qs_json_object();
    bool ok = qs_json_add_str(root, "quantscape", KIND) && qs_json_add_int(root, "version", VERSION) &&
              qs_json_add_str(root, "system", t->system) && add_settings(qs_json_add_object(root, "settings"), t);
    if (ok && t->template_source)
        ok = qs_json_add_str(root, "template_source", t->template_source);
    ok = ok && qs_json_add_uint(root, "attempt", t->attempt);
    struct qs_json *list = ok ? qs_json_add_array(root, "messages") : NULL;
    ok = list != NULL;
    for (size_t i = 0; ok && i < t->n; i++)
        ok = add_message(list, &t->message[i]);
    if (ok)
        return root;
    qs_json_free(root);
    return NULL;
}

int qs_chat_save_json(struct qs_json *j, const char *path, bool overwrite, const char *what, struct qs_err *e)
{
    struct qs_str text = QS_STR_INIT;
    int rc = QS_OK;
    if (!j || !qs_json_print(j, true, &text) || text.failed)
        rc = qs_fail_mem(e, text.len, what);
    if (!rc)
        rc = qs_file_write_atomic(path, text.data, text.len, overwrite, e);
    qs_str_free(&text);
    qs_json_free(j);
    return rc;
}

int qs_talk_save(const struct qs_talk *t, const char *path, bool overwrite, struct qs_err *e)
{
    return qs_chat_save_json(qs_talk_json(t), path, overwrite, "the conversation's file", e);
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

int qs_chat_json_text(const struct qs_json *j, const char *what, const char **text, size_t *n, struct qs_err *e)
{
    if (qs_json_type(j) != QS_JSON_STRING)
        return qs_fail(e, QS_EFORMAT, "%s is %s", what, j ? "not a text" : "missing");
    *text = qs_json_str(j, "");
    *n = qs_json_len(j);
    const int rc = qs_talk_check_text(what, *text, *n, e);
    if (rc && e)
        e->code = QS_EFORMAT;
    return rc ? QS_EFORMAT : QS_OK;
}

/* A value as qs_talk_set reads it; NULL: of no such kind. */
static const char *value_text(const struct qs_json *v, char *buf, size_t n)
{
    switch (qs_json_type(v)) {
    case QS_JSON_BOOL:   return qs_json_bool(v, false) ? "on" : "off";
    case QS_JSON_INT:    snprintf(buf, n, "%" PRId64, qs_json_int(v, 0)); return buf;
    case QS_JSON_DOUBLE: snprintf(buf, n, "%.17g", qs_json_num(v, 0)); return buf;
    case QS_JSON_STRING: return qs_json_str(v, "");
    default:             return NULL;
    }
}

static int read_settings(struct qs_talk *t, const struct qs_json *j, struct qs_err *e)
{
    if (!j)
        return QS_OK;
    if (qs_json_type(j) != QS_JSON_OBJECT)
        return qs_fail(e, QS_EFORMAT, "settings is no object");
    for (size_t i = 0; i < qs_json_len(j); i++) {
        const struct qs_json *v = NULL;
        const char *key = qs_json_key_at(j, i, &v);
        char buf[40];
        const char *text = value_text(v, buf, sizeof buf);
        if (!text)
            return qs_fail(e, QS_EFORMAT, "settings.%.60s is neither a number nor a word", key);
        struct qs_err why = QS_ERR_INIT;
        if (qs_talk_set(t, key, text, &why))
            return qs_fail(e, why.code == QS_ENOMEM ? QS_ENOMEM : QS_EFORMAT, "settings.%.60s: %.400s", key, why.msg);
    }
    return QS_OK;
}

static int read_message(struct qs_talk *t, const struct qs_json *j, size_t i, struct qs_err *e)
{
    char what[64];
    const char *text = NULL, *other = NULL, *role = qs_json_str(qs_json_get(j, "role"), NULL);
    size_t n = 0, n_other = 0;
    if (qs_json_type(j) != QS_JSON_OBJECT || !role)
        return qs_fail(e, QS_EFORMAT, "message %zu is no object with a role", i + 1);
    snprintf(what, sizeof what, "content of message %zu", i + 1);
    int rc = qs_chat_json_text(qs_json_get(j, "content"), what, &text, &n, e);
    if (!rc && strcmp(role, "system") == 0) {
        if (t->n || *t->system)
            return qs_fail(e, QS_EFORMAT, "message %zu is a second or late system message: there is one, before all "
                                          "others", i + 1);
        return qs_talk_system(t, text, n, e);
    }
    if (!rc && qs_json_get(j, "other")) {
        snprintf(what, sizeof what, "other of message %zu", i + 1);
        rc = qs_chat_json_text(qs_json_get(j, "other"), what, &other, &n_other, e);
    }
    if (rc)
        return rc;
    for (enum qs_talk_role r = QS_TALK_USER; r <= QS_TALK_ASSISTANT; r++)
        if (strcmp(role, qs_talk_role_name(r)) == 0)
            return qs_talk_add(t, r, text, n, r == QS_TALK_ASSISTANT ? other : NULL, n_other, e);
    return qs_fail(e, QS_EFORMAT, "message %zu: the role '%.40s' is none of system, user, assistant", i + 1, role);
}

static int read_messages(struct qs_talk *t, const struct qs_json *list, struct qs_err *e)
{
    int rc = QS_OK;
    if (qs_json_type(list) != QS_JSON_ARRAY)
        return qs_fail(e, QS_EFORMAT, "there is no list of messages in it");
    for (size_t i = 0; !rc && i < qs_json_len(list); i++)
        rc = read_message(t, qs_json_at(list, i), i, e);
    return rc;
}

int qs_chat_json_kind(const struct qs_json *j, const char *kind, int version, struct qs_err *e)
{
    const char *is = qs_json_str(qs_json_get(j, "quantscape"), NULL);
    if (!is || strcmp(is, kind) != 0)
        return qs_fail(e, QS_EFORMAT, "this is no %s (quantscape: %.40s)", kind, is ? is : "not stated");
    if (qs_json_int(qs_json_get(j, "version"), 0) != version)
        return qs_fail(e, QS_EUNSUPPORTED, "this is a %s of version %" PRId64 "; this program reads version %d", kind,
                       qs_json_int(qs_json_get(j, "version"), 0), version);
    return QS_OK;
}

static int read_own(struct qs_talk *t, const struct qs_json *j, struct qs_err *e)
{
    const char *text;
    size_t n;
    int rc = qs_chat_json_kind(j, KIND, VERSION, e);
    if (!rc && qs_json_get(j, "system")) {
        rc = qs_chat_json_text(qs_json_get(j, "system"), "system", &text, &n, e);
        if (!rc)
            rc = qs_talk_system(t, text, n, e);
    }
    if (!rc && qs_json_get(j, "template_source")) {
        rc = qs_chat_json_text(qs_json_get(j, "template_source"), "template_source", &text, &n, e);
        if (!rc)
            rc = qs_talk_set_template(t, text, n, e);
    }
    return rc ? rc : read_settings(t, qs_json_get(j, "settings"), e);
}

static int read_any(struct qs_talk *t, const struct qs_json *j, struct qs_err *e)
{
    const bool object = qs_json_type(j) == QS_JSON_OBJECT;
    int rc = QS_OK;
    if (object && qs_json_get(j, "quantscape"))
        rc = read_own(t, j, e);
    if (!rc)
        rc = read_messages(t, object ? qs_json_get(j, "messages") : j, e);
    const uint64_t attempt = qs_json_uint(qs_json_get(j, "attempt"), 0);
    t->attempt = attempt < 1000000 ? (unsigned)attempt : 0;
    return rc;
}

int qs_talk_from_json(struct qs_talk *t, const struct qs_json *j, struct qs_err *e)
{
    struct qs_talk *fresh = NULL, old;
    int rc = qs_talk_new(&fresh, e);
    if (rc)
        return rc;
    const bool own = qs_json_type(j) == QS_JSON_OBJECT && qs_json_get(j, "quantscape");
    if (!own) /* a plain list says nothing about settings */
        rc = qs_talk_settings_of(fresh, t, e);
    if (!rc)
        rc = read_any(fresh, j, e);
    if (!rc) {
        old = *t;
        *t = *fresh;
        t->version = old.version + 1;
        *fresh = old;
    }
    qs_talk_free(fresh);
    return rc;
}

int qs_chat_load_json(const char *path, size_t max, struct qs_json **out, struct qs_err *e)
{
    char *data = NULL;
    size_t n = 0;
    int rc = qs_file_read(path, max, &data, &n, e);
    if (rc)
        return rc;
    rc = qs_json_parse(data, n, out, e);
    qs_free(data);
    if (rc)
        qs_err_prefix(e, "%s", path);
    return rc;
}

int qs_talk_load(struct qs_talk *t, const char *path, struct qs_err *e)
{
    struct qs_json *j = NULL;
    int rc = qs_chat_load_json(path, FILE_MAX_BYTES, &j, e);
    if (rc)
        return rc;
    rc = qs_talk_from_json(t, j, e);
    qs_json_free(j);
    if (rc)
        qs_err_prefix(e, "%s", path);
    return rc;
}
