/* talk_settings.c - the settings of a conversation by name: those of the sampler, and the rows below. Reads and writes
 * them as text; refuses values that make no sense, and says what would.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/near.h"
#include "core/chat/talk_internal.h"
#include "core/text/chat.h"
#include "kernels/format.h"

#define COUNT_MAX (1ul << 30) /* tokens: more than any model's context */

enum { MAX_TOKENS, CONTEXT, CACHE_K, CACHE_V, ROTATE, SPECULATE, TEMPLATE, OWN };

static const struct qs_talk_setting own[OWN] = {
    [MAX_TOKENS] = { "max-tokens", "max_tokens", "tokens of an answer; 0: until the context is full" },
    [CONTEXT] = { "ctx", "ctx", "tokens of context; 0: the model's own, at most 4096" },
    [CACHE_K] = { "cache-type-k", "cache_type_k", "keys in the cache: F32, F16, Q8_0, Q4_0" },
    [CACHE_V] = { "cache-type-v", "cache_type_v", "values in the cache: F32, F16, Q8_0, Q4_0" },
    [ROTATE] = { "rotate-cache", "rotate_cache", "rotate keys and values before they are stored: on, off" },
    [SPECULATE] = { "speculate", "speculate", "guess tokens ahead, same answer: auto, off, ngram, draft" },
    [TEMPLATE] = { "template", "template", "model: the model's own; none: raw text; or a built-in form" },
};

bool qs_talk_setting_at(size_t i, struct qs_talk_setting *out)
{
    size_t n;
    const struct qs_sampler_setting *s = qs_sampler_table(&n);
    if (i >= n + OWN)
        return false;
    *out = i < n ? (struct qs_talk_setting){ s[i].name, s[i].key, s[i].help } : own[i - n];
    return true;
}

/* Which own row, by name or key; OWN: none. */
static size_t find_own(const char *name)
{
    size_t i = 0;
    while (i < OWN && strcmp(own[i].name, name) != 0 && strcmp(own[i].key, name) != 0)
        i++;
    return i;
}

static const struct qs_sampler_setting *find_sampler(const char *name)
{
    size_t n;
    if (strcmp(name, "temp") == 0) /* as the option is called */
        name = "temperature";
    const struct qs_sampler_setting *s = qs_sampler_table(&n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(s[i].name, name) == 0 || strcmp(s[i].key, name) == 0)
            return &s[i];
    return NULL;
}

/* ---- values -------------------------------------------------------------------------------------------------- */

static int set_count(const char *name, const char *value, size_t *out, struct qs_err *e)
{
    char *end;
    errno = 0;
    const unsigned long n = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || n > COUNT_MAX)
        return qs_fail(e, QS_EINVAL, "%s is a whole number from 0 to %lu, not '%.40s'", name, COUNT_MAX, value);
    *out = n;
    return QS_OK;
}

static int set_type(const char *name, const char *value, int *out, struct qs_err *e)
{
    static const int type[] = { QS_F32, QS_F16, QS_Q8_0, QS_Q4_0 };
    for (size_t i = 0; i < sizeof type / sizeof *type; i++)
        if (strcasecmp(value, qs_type_name(type[i])) == 0) {
            *out = type[i];
            return QS_OK;
        }
    return qs_fail(e, QS_EINVAL, "%s is F32, F16, Q8_0 or Q4_0, not '%.40s'", name, value);
}

static int set_bool(const char *name, const char *value, bool *out, struct qs_err *e)
{
    static const char *const word[2][4] = { { "off", "no", "false", "0" }, { "on", "yes", "true", "1" } };
    for (int b = 0; b < 2; b++)
        for (int i = 0; i < 4; i++)
            if (strcasecmp(value, word[b][i]) == 0) {
                *out = b;
                return QS_OK;
            }
    return qs_fail(e, QS_EINVAL, "%s is on or off, not '%.40s'", name, value);
}

static const char *const speculate[] = {
    [QS_SPECULATE_AUTO] = "auto", [QS_SPECULATE_OFF] = "off", [QS_SPECULATE_NGRAM] = "ngram",
    [QS_SPECULATE_DRAFT] = "draft",
};

static int set_speculate(const char *name, const char *value, enum qs_talk_speculate *out, struct qs_err *e)
{
    for (size_t i = 0; i < sizeof speculate / sizeof *speculate; i++)
        if (strcasecmp(value, speculate[i]) == 0) {
            *out = (enum qs_talk_speculate)i;
            return QS_OK;
        }
    return qs_fail(e, QS_EINVAL, "%s is auto, off, ngram or draft, not '%.40s'", name, value);
}

static int set_form(struct qs_talk *t, const char *value, struct qs_err *e)
{
    const char *form = strcmp(value, QS_TALK_FORM_MODEL) == 0 ? "" : value;
    bool known = !*form || strcmp(form, QS_TALK_FORM_NONE) == 0;
    struct qs_near near;
    char text[200], all[256];
    const char *name;
    if (strcmp(form, QS_TALK_FORM_FILE) == 0 && !t->template_source)
        return qs_fail(e, QS_EINVAL, "no template was read from a file");
    known = known || strcmp(form, QS_TALK_FORM_FILE) == 0;
    qs_near_start(&near, value);
    qs_near_try(&near, QS_TALK_FORM_MODEL);
    qs_near_try(&near, QS_TALK_FORM_NONE);
    for (size_t i = 0; (name = qs_chat_builtin_name(i)); i++) {
        known = known || strcmp(form, name) == 0;
        qs_near_try(&near, name);
    }
    if (!known || strlen(form) >= sizeof t->settings.form)
        return qs_fail(e, QS_EINVAL, "there is no template form '%.40s'%s (model, none, or built-in: %s)", value,
                       qs_near_text(&near, text, sizeof text), qs_chat_builtin_names(all, sizeof all));
    memmove(t->settings.form, form, strlen(form) + 1);
    return QS_OK;
}

static int set_own(struct qs_talk *t, size_t row, const char *value, struct qs_err *e)
{
    struct qs_talk_settings *s = &t->settings;
    const char *name = own[row].name;
    switch (row) {
    case MAX_TOKENS: return set_count(name, value, &s->max_tokens, e);
    case CONTEXT:    return set_count(name, value, &s->n_ctx, e);
    case CACHE_K:    return set_type(name, value, &s->type_k, e);
    case CACHE_V:    return set_type(name, value, &s->type_v, e);
    case ROTATE:     return set_bool(name, value, &s->rotate, e);
    case SPECULATE:  return set_speculate(name, value, &s->speculate, e);
    default:         return set_form(t, value, e);
    }
}

int qs_talk_set(struct qs_talk *t, const char *name, const char *value, struct qs_err *e)
{
    const size_t row = find_own(name);
    int rc;
    if (row < OWN) {
        rc = set_own(t, row, value, e);
    } else if (find_sampler(name)) {
        rc = qs_sampler_set(&t->settings.sampler, find_sampler(name)->name, value, e);
    } else {
        struct qs_talk_setting s;
        struct qs_near near;
        char text[200];
        qs_near_start(&near, name);
        for (size_t i = 0; qs_talk_setting_at(i, &s); i++)
            qs_near_try(&near, s.name);
        return qs_fail(e, QS_ENOTFOUND, "there is no setting '%.40s'%s", name, qs_near_text(&near, text, sizeof text));
    }
    if (!rc)
        t->version++;
    return rc;
}

void qs_talk_show(const struct qs_talk *t, const char *name, struct qs_str *out)
{
    const struct qs_talk_settings *s = &t->settings;
    const struct qs_sampler_setting *sampler = find_sampler(name);
    if (sampler) {
        qs_sampler_show(&s->sampler, sampler, out);
        return;
    }
    switch (find_own(name)) {
    case MAX_TOKENS: qs_str_addf(out, "%zu", s->max_tokens); break;
    case CONTEXT:    qs_str_addf(out, "%zu", s->n_ctx); break;
    case CACHE_K:    qs_str_add(out, qs_type_name(s->type_k)); break;
    case CACHE_V:    qs_str_add(out, qs_type_name(s->type_v)); break;
    case ROTATE:     qs_str_add(out, s->rotate ? "on" : "off"); break;
    case SPECULATE:  qs_str_add(out, speculate[s->speculate]); break;
    case TEMPLATE:   qs_str_add(out, *s->form ? s->form : QS_TALK_FORM_MODEL); break;
    default: break;
    }
}
