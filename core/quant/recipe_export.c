/* recipe_export.c - a recipe in the bare form that llama.cpp's llama-quantize --tensor-type-file reads.
 *
 * How that reader works (llama.cpp at commit 0c1e57098, tools/quantize/quantize.cpp and src/llama-quant.cpp): the file
 * is split at white space, each word at its first '='; the part before it is lower-cased and searched for, unanchored,
 * in the tensor names as an ECMAScript regular expression; the first word that matches decides; a type that does not
 * fit a row is replaced without asking; the whole list is ignored where the base type is F32, F16 or BF16, and by
 * COPY. So pins become anchored, escaped words in front, and everything that would be read differently there is
 * refused with the line it stands in. What is let through of regular expressions is a list of what both worlds read
 * alike. There the preset's running numbers always pass over tensors that are forced: of a steady recipe, an equal one
 * that is not is exported. Owns nothing. Any thread.
 */
#include <string.h>

#include "base/mem.h"
#include "core/quant/recipe_internal.h"

struct exporting {
    const struct qs_recipe *r;
    const struct qs_model *m;
    const struct qs_resolved *x;
    struct qs_str *file;
    bool have_imatrix;
    int output_type, token_embd_type;
    struct qs_err *e;
};

/* As in the C locale, whatever the locale is. */
static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_alnum(char c) { return is_digit(c) || (qs_ascii_lower(c) >= 'a' && qs_ascii_lower(c) <= 'z'); }
static bool is_punct(char c) { return c > ' ' && c < 127 && !is_alnum(c); }

static int refuse(struct exporting *s, bool pin, const struct qs_recipe_item *item, const char *why)
{
    if (item->line)
        return qs_fail(s->e, QS_EUNSUPPORTED, "%s:%u: llama.cpp cannot read the %s %.200s: %s",
                       qs_recipe_name(s->r), item->line, pin ? "pin" : "rule", item->pattern, why);
    return qs_fail(s->e, QS_EUNSUPPORTED, "llama.cpp cannot read the %s %.200s: %s", pin ? "pin" : "rule",
                   item->pattern, why);
}

/* ---- what both kinds of regular expressions read alike ------------------------------------------------------ */

static const char upper_case[] = "upper case, which it turns into lower case";

/* A quantifier at p: its length, 0 for none, -1 for one that is read differently. */
static int quantifier(const char *p)
{
    int n = 0;
    if (*p == '*' || *p == '+' || *p == '?') {
        n = 1;
    } else if (*p == '{') {
        n = 1;
        while (is_digit(p[n]))
            n++;
        if (n == 1)
            return -1;
        if (p[n] == ',')
            for (n++; is_digit(p[n]);)
                n++;
        if (p[n++] != '}')
            return -1;
    }
    if (n && p[n] == '+')
        return -1; /* possessive */
    return n && p[n] == '?' ? n + 1 : n;
}

static bool class_letter(char c)
{
    return c == 'd' || c == 'w' || c == 's';
}

/* An escape at p (p[0] is '\\'): its length, 0 when it is read differently. Punctuation stands for itself. */
static int escape(const char *p, bool in_set)
{
    if (class_letter(p[1]) || (p[1] == 'b' && !in_set))
        return 2;
    return p[1] && is_punct(p[1]) && p[1] != '_' ? 2 : 0;
}

/* One member of a set at p: its length, 0 when it is read differently. *plain: it may start or end a range. */
static int member(const char *p, bool *plain)
{
    *plain = *p != '\\' || !class_letter(p[1]);
    if (*p == '[' || *p == '-' || *p == ']' || *p == 0)
        return 0;
    return *p == '\\' ? escape(p, true) : 1;
}

/* A set at p (p[0] is '['): its length, 0 when it is read differently. '-' means a range, or itself at the end. */
static int char_set(const char *p)
{
    int i = p[1] == '^' ? 2 : 1;
    bool plain = true;
    do {
        int n = member(p + i, &plain);
        if (n == 0)
            return 0; /* also "]" in front: a member here, the end there */
        i += n;
        if (p[i] != '-')
            continue;
        if (!plain)
            return 0;
        if (p[++i] == ']')
            break;
        n = member(p + i, &plain);
        if (n == 0 || !plain)
            return 0;
        i += n;
    } while (p[i] && p[i] != ']');
    return p[i] == ']' ? i + 1 : 0;
}

/* A parenthesis that opens a group: its length, 0 for other kinds. */
static int group(const char *p)
{
    if (p[1] != '?')
        return p[1] == '*' ? 0 : 1;
    return p[2] == ':' || p[2] == '!' ? 3 : 0;
}

/* NULL, or what is read differently. The pattern compiles with PCRE2, so parentheses are balanced. */
static const char *syntax(const char *p)
{
    bool repeatable = false;
    while (*p) {
        int n = quantifier(p);
        if (n < 0 || (n > 0 && !repeatable))
            return "this use of * + ? { }";
        if (n > 0) {
            p += n;
            repeatable = false;
            continue;
        }
        switch (*p) {
        case '\\':
            n = escape(p, false);
            repeatable = p[1] != 'b';
            if (n == 0)
                return "an escape that is no class (\\d \\w \\s \\b) and no escaped sign";
            break;
        case '[':
            n = char_set(p);
            repeatable = true;
            if (n == 0)
                return "this kind of [...]";
            break;
        case '(':
            n = group(p);
            repeatable = false;
            if (n == 0)
                return "a group other than (...), (?:...) and (?!...)";
            break;
        case '^': case '$': case '|':
            n = 1;
            repeatable = false;
            break;
        case ']': case '}':
            return "a bracket without its partner";
        default:
            n = 1;
            repeatable = true;
        }
        p += n;
    }
    return NULL;
}

/* ")" after a lookahead may not be repeated there; rather than tracking groups, "(?!" with a quantifier behind is rare
 * enough to be refused whole. */
static bool repeated_lookahead(const char *p)
{
    return strstr(p, "(?!") && (strstr(p, ")*") || strstr(p, ")+") || strstr(p, ")?") || strstr(p, "){"));
}

static const char *difference(const char *p)
{
    for (const char *c = p; *c; c++) {
        if ((unsigned char)*c >= 0x80)
            return "signs outside of ASCII";
        if (is_space(*c))
            return "white space, at which it splits";
        if (is_upper(*c))
            return upper_case;
        if (*c == '=')
            return "\"=\", at which it splits";
    }
    if (repeated_lookahead(p))
        return "this use of * + ? { }";
    return syntax(p);
}

/* ---- words -------------------------------------------------------------------------------------------------- */

static void add_type(struct qs_str *out, int type)
{
    qs_str_addf(out, "=%s\n", qs_format_by_id(type)->name);
}

static void add_name(struct qs_str *out, const char *name, int type)
{
    qs_str_addc(out, '^');
    for (; *name; name++) {
        if (!is_alnum(*name) && *name != '_' && *name != '-')
            qs_str_addc(out, '\\');
        qs_str_addc(out, *name);
    }
    qs_str_addc(out, '$');
    add_type(out, type);
}

static const char *name_difference(const char *name)
{
    for (const char *c = name; *c; c++) {
        if ((unsigned char)*c >= 0x80)
            return "signs outside of ASCII";
        if (is_space(*c) || *c == '=')
            return "a sign at which it splits";
        if (is_upper(*c))
            return upper_case;
    }
    return NULL;
}

/* A pin on the tensor of an option replaces the option, as it does here. */
static bool pin_as_option(struct exporting *s, const struct qs_recipe_item *pin)
{
    if (s->output_type != QS_TYPE_NONE && strcmp(pin->pattern, "output.weight") == 0) {
        s->output_type = pin->type;
        return true;
    }
    if (s->token_embd_type != QS_TYPE_NONE && strcmp(pin->pattern, "token_embd.weight") == 0) {
        s->token_embd_type = pin->type;
        return true;
    }
    return false;
}

static int export_pins(struct exporting *s)
{
    for (size_t i = 0; i < s->r->n_pins; i++) {
        const struct qs_recipe_item *pin = &s->r->pin[i];
        if (s->x->match[i].decided == 0 || pin_as_option(s, pin))
            continue; /* a tensor that has this type anyway, or an option */
        const char *why = name_difference(pin->pattern);
        if (why)
            return refuse(s, true, pin, why);
        add_name(s->file, pin->pattern, pin->type);
    }
    if (s->token_embd_type == s->r->token_embd_type)
        return QS_OK;
    for (size_t i = 0; i < s->m->n_tensors; i++) /* keeps the option that the pin on token_embd replaced */
        if (strcmp(s->m->tensor[i].name, "per_layer_token_embd.weight") == 0 && s->x->by[i] < 0)
            add_name(s->file, "per_layer_token_embd.weight", s->r->token_embd_type);
    return QS_OK;
}

static int export_rules(struct exporting *s)
{
    for (size_t j = 0; j < s->r->n_rules; j++) {
        const struct qs_recipe_item *rule = &s->r->rule[j];
        const char *why = difference(rule->pattern);
        if (why)
            return refuse(s, false, rule, why);
        qs_str_add(s->file, rule->pattern);
        add_type(s->file, rule->type);
    }
    return QS_OK;
}

/* Names outside of ASCII: '.' is a character here and a byte there. */
static int check_names(struct exporting *s)
{
    for (size_t i = 0; s->r->n_rules > 0 && i < s->m->n_tensors; i++)
        for (const char *c = s->m->tensor[i].name; *c; c++)
            if ((unsigned char)*c >= 0x80)
                return qs_fail(s->e, QS_EUNSUPPORTED, "the model has tensor names outside of ASCII (%.200s), which "
                               "llama.cpp's rules read byte by byte: use pins", s->m->tensor[i].name);
    return QS_OK;
}

static void print_args(const struct exporting *s, struct qs_str *args)
{
    const struct qs_recipe *r = s->r;
    if (s->have_imatrix)
        qs_str_add(args, "--imatrix IMATRIX ");
    if (r->pure)
        qs_str_add(args, "--pure ");
    if (r->leave_output)
        qs_str_add(args, "--leave-output-tensor ");
    if (s->output_type != QS_TYPE_NONE)
        qs_str_addf(args, "--output-tensor-type %s ", qs_format_by_id(s->output_type)->name);
    if (s->token_embd_type != QS_TYPE_NONE)
        qs_str_addf(args, "--token-embedding-type %s ", qs_format_by_id(s->token_embd_type)->name);
    if (s->file->len)
        qs_str_add(args, "--tensor-type-file RULES ");
    qs_str_addf(args, "IN.gguf OUT.gguf %s", r->preset->name);
}

/* ---- steady recipes ----------------------------------------------------------------------------------------- */

/* A pin in r for every tensor that does not come out as `want` has it. */
static int pin_differences(struct qs_recipe *r, const struct qs_model *m, bool have_imatrix,
                           const struct qs_resolved *want, struct qs_pin *pin, struct qs_err *e)
{
    struct qs_resolved *x = NULL;
    size_t n = 0;
    const int rc = qs_recipe_resolve(r, m, have_imatrix, false, &x, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < m->n_tensors; i++)
        if (x->choice[i].type != want->choice[i].type)
            pin[n++] = (struct qs_pin){ m->tensor[i].name, want->choice[i].type };
    qs_resolved_free(x);
    return qs_recipe_pin_all(r, pin, n, e);
}

/* New pins give other tensors other numbers, so it is looked again until there are none; a tensor gets one at most. */
static int pin_until_same(struct qs_recipe *r, const struct qs_model *m, bool have_imatrix,
                          const struct qs_resolved *want, struct qs_err *e)
{
    struct qs_pin *pin = qs_calloc(m->n_tensors ? m->n_tensors : 1, sizeof *pin);
    size_t before;
    int rc = pin ? QS_OK : qs_fail_mem(e, m->n_tensors * sizeof *pin, "pins");
    do {
        before = r->n_pins;
        if (!rc)
            rc = pin_differences(r, m, have_imatrix, want, pin, e);
    } while (!rc && r->n_pins > before);
    qs_free(pin);
    return rc;
}

static int without_steady(const struct qs_recipe *r, const struct qs_model *m, bool have_imatrix,
                          struct qs_recipe **out, struct qs_err *e)
{
    struct qs_resolved *want = NULL;
    struct qs_recipe *plain = NULL;
    int rc = qs_recipe_resolve(r, m, have_imatrix, false, &want, e);
    if (rc)
        return rc;
    rc = qs_recipe_copy(r, &plain, e);
    if (!rc) {
        plain->steady = false;
        plain->strict = false; /* met by the types wanted; on the way to them a fallback does not matter */
        rc = pin_until_same(plain, m, have_imatrix, want, e);
    }
    qs_resolved_free(want);
    if (rc)
        qs_recipe_free(plain);
    else
        *out = plain;
    return rc;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static int export_plain(const struct qs_recipe *r, const struct qs_model *m, bool have_imatrix, struct qs_str *file,
                        struct qs_str *args, struct qs_err *e)
{
    const struct qs_format *base = qs_format_by_id(r->preset->base);
    struct qs_resolved *x = NULL;
    int rc = qs_recipe_resolve(r, m, have_imatrix, false, &x, e);
    if (rc)
        return rc;
    struct exporting s = { .r = r, .m = m, .x = x, .file = file, .have_imatrix = have_imatrix,
                           .output_type = r->output_type, .token_embd_type = r->token_embd_type, .e = e };
    if (r->n_pins + r->n_rules > 0 && (!base || base->kind == QS_KIND_FLOAT))
        rc = qs_fail(e, QS_EUNSUPPORTED, "llama.cpp ignores pins and rules under the preset %s", r->preset->name);
    if (!rc)
        rc = check_names(&s);
    if (!rc)
        rc = export_pins(&s);
    if (!rc)
        rc = export_rules(&s);
    if (!rc)
        print_args(&s, args);
    if (!rc && (file->failed || args->failed))
        rc = qs_fail_mem(e, file->len, "the exported recipe");
    qs_resolved_free(x);
    return rc;
}

int qs_recipe_export_llama(const struct qs_recipe *r, const struct qs_model *m, bool have_imatrix, struct qs_str *file,
                           struct qs_str *args, struct qs_err *e)
{
    struct qs_recipe *plain = NULL;
    int rc = r->steady ? without_steady(r, m, have_imatrix, &plain, e) : QS_OK;
    if (!rc)
        rc = export_plain(plain ? plain : r, m, have_imatrix, file, args, e);
    qs_recipe_free(plain);
    return rc;
}
