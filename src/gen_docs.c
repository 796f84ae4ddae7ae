/* gen_docs.c - the generated parts of the manual and the shell completions, from the tables of verbs and options.
 *
 *     gen_docs man FILE   FILE with the text between its BEGIN and END markers made anew
 *     gen_docs bash | zsh | fish
 *     gen_docs keys       "VERB<tab>KEY" for every key of the JSON output, for tests
 *     gen_docs check      only looks for faults in the tables (every form does that first)
 *
 * Prints to standard output; `make update-docs` puts the results where they belong, and a test compares them. Not
 * installed.
 */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "core/quant/preset.h"
#include "core/text/chat.h"
#include "kernels/format.h"
#include "kernels/level.h"
#include "src/verb.h"
#include "ui/config.h"
#include "ui/ui.h"

typedef void verb_fn(struct qs_str *out, const struct qs_verb *parent, const struct qs_verb *verb);

/* Every verb that runs, sub-verbs under their parent. */
static void each_verb(struct qs_str *out, verb_fn *fn)
{
    for (const struct qs_verb *const *v = qs_verbs; *v; v++) {
        fn(out, NULL, *v);
        for (const struct qs_verb *const *s = (*v)->subs; s && *s; s++)
            fn(out, *v, *s);
    }
}

static void verb_path(struct qs_str *out, const struct qs_verb *parent, const struct qs_verb *verb)
{
    if (parent)
        qs_str_addf(out, "%s ", parent->name);
    qs_str_add(out, verb->name);
}

static void type_names(struct qs_str *out)
{
    for (size_t i = 0; i < qs_format_count(); i++)
        if (!(qs_format_at(i)->flags & (QS_INTERNAL | QS_NO_ENCODE)))
            qs_str_addf(out, "%s%s", out->len ? " " : "", qs_format_at(i)->name);
}

static void preset_names(struct qs_str *out)
{
    for (size_t i = 0; i < qs_preset_count(); i++) {
        qs_str_addf(out, "%s%s", out->len ? " " : "", qs_preset_at(i)->name);
        if (qs_preset_at(i)->alias)
            qs_str_addf(out, " %s", qs_preset_at(i)->alias);
    }
}

/* ---- manual ------------------------------------------------------------------------------------------------- */

/* Text for roff: backslashes and hyphens escaped, no line that starts like a request, one sentence per line is not
 * needed. A blank line becomes .PP. */
static void roff(struct qs_str *out, const char *text, const char *paragraph)
{
    bool start = true;
    for (; *text; text++) {
        if (text[0] == '\n' && text[1] == '\n') {
            qs_str_addf(out, "\n%s\n", paragraph);
            start = true;
            text++;
            continue;
        }
        if (start && (*text == '.' || *text == '\''))
            qs_str_add(out, "\\&");
        start = *text == '\n';
        if (*text == '\\')
            qs_str_add(out, "\\e");
        else if (*text == '-')
            qs_str_add(out, "\\-");
        else if (*text == '~' || *text == '^')
            qs_str_add(out, *text == '~' ? "\\(ti" : "\\(ha");
        else if (*text == '`' || *text == '\'')
            qs_str_add(out, *text == '`' ? "\\(ga" : "\\(aq");
        else
            qs_str_addc(out, *text);
    }
}

static void roff_options(struct qs_str *out, const struct qs_opt *o)
{
    for (; o && o->name; o++) {
        qs_str_add(out, ".TP\n");
        if (o->letter)
            qs_str_addf(out, "\\fB\\-%c\\fR, ", o->letter);
        qs_str_add(out, "\\fB\\-\\-");
        roff(out, o->name, "");
        qs_str_add(out, "\\fR");
        if (o->arg) {
            qs_str_add(out, " \\fI");
            roff(out, o->arg, "");
            qs_str_add(out, "\\fR");
        }
        qs_str_addc(out, '\n');
        roff(out, o->help, "");
        if (o->kind == QS_OPT_CHOICE) {
            qs_str_add(out, " (");
            roff(out, o->choices, "");
            qs_str_addc(out, ')');
        }
        struct qs_str words = QS_STR_INIT;
        qs_opt_words(&words, o);
        roff(out, words.len ? words.data : "", "");
        out->failed |= words.failed;
        qs_str_free(&words);
        qs_str_add(out, o->many ? "; may be repeated\n" : "\n");
    }
}

static void roff_examples(struct qs_str *out, const char *text)
{
    while (*text) {
        struct qs_str part = QS_STR_INIT;
        size_t n = strcspn(text, "\t\n"), m;
        qs_str_addn(&part, text, n);
        qs_str_add(out, ".TP\n\\fB");
        roff(out, part.data, "");
        qs_str_add(out, "\\fR\n");
        text += n + (text[n] == '\t');
        m = strcspn(text, "\n");
        qs_str_clear(&part);
        qs_str_addn(&part, text, m);
        roff(out, part.data, "");
        qs_str_addc(out, '\n');
        text += m + (text[m] == '\n');
        out->failed |= part.failed;
        qs_str_free(&part);
    }
}

static void roff_keys(struct qs_str *out, const struct qs_verb *parent, const struct qs_verb *v)
{
    if (!v->keys)
        return;
    qs_str_add(out, ".SS ");
    verb_path(out, parent, v);
    qs_str_addc(out, '\n');
    for (const struct qs_key_doc *k = v->keys; k->key; k++) {
        qs_str_add(out, ".TP\n\\fB");
        roff(out, k->key, "");
        qs_str_add(out, "\\fR\n");
        roff(out, k->help, "");
        qs_str_addc(out, '\n');
    }
}

static void roff_verb(struct qs_str *out, const struct qs_verb *parent, const struct qs_verb *v)
{
    struct qs_str head = QS_STR_INIT;
    verb_path(&head, parent, v);
    qs_str_addf(&head, "%s%s", v->subs || *v->args ? " " : "", v->subs ? "VERB" : v->args);
    qs_str_add(out, ".SS \"");
    roff(out, head.data, "");
    qs_str_add(out, "\"\n");
    roff(out, v->description ? v->description : v->summary, ".PP");
    qs_str_addc(out, '\n');
    roff_options(out, v->opts);
    if (v->examples)
        roff_examples(out, v->examples);
    out->failed |= head.failed;
    qs_str_free(&head);
}

static void man_verbs(struct qs_str *out)   { each_verb(out, roff_verb); }
static void man_options(struct qs_str *out) { roff_options(out, qs_common_options); }

/* What stands in the JSON of more than one verb. */
static const struct qs_key_doc common_keys[] = {
    { "report", "kind of the report" },
    { "version", "of its keys" },
    { "notes[]", "remarks for people, where there are any" },
    { "NAME_how",
      "beside a number that is not exact in itself: how the number NAME was obtained (whole, sampled, predicted, "
      "measured); in a table in all rows or in none" },
    { "NAME_se", "beside a number from a sample: standard error of the number NAME" },
    { "error.code", "instead of all others: format, io, invalid, usage ..." },
    { "error.message", "what standard error says" },
    { NULL, NULL }
};

static void man_keys(struct qs_str *out)
{
    const struct qs_verb all = { .name = "\"All verbs\"", .keys = common_keys };
    roff_keys(out, NULL, &all);
    each_verb(out, roff_keys);
}

static void list_keys(struct qs_str *out, const struct qs_verb *parent, const struct qs_verb *v)
{
    for (const struct qs_key_doc *k = v->keys; k && k->key; k++) {
        verb_path(out, parent, v);
        qs_str_addf(out, "\t%s\n", k->key);
    }
}

static void man_version(struct qs_str *out)
{
    qs_str_add(out, ".ds quantscape " QS_VERSION "\n");
}

static void man_types(struct qs_str *out)
{
    struct qs_str names = QS_STR_INIT;
    type_names(&names);
    roff(out, names.data, "");
    qs_str_addc(out, '\n');
    out->failed |= names.failed;
    qs_str_free(&names);
}

static void man_presets(struct qs_str *out)
{
    for (size_t i = 0; i < qs_preset_count(); i++) {
        const struct qs_preset *p = qs_preset_at(i);
        qs_str_addf(out, ".TP\n\\fB%s\\fR", p->name);
        if (p->alias)
            qs_str_addf(out, " (%s)", p->alias);
        qs_str_addc(out, '\n');
        roff(out, p->about ? p->about : "", "");
        qs_str_addc(out, '\n');
    }
}

/* Special tokens may have characters beyond ASCII, all of them of three bytes. */
static void roff_token(struct qs_str *out, const char *token)
{
    for (; *token; token++) {
        const unsigned char *u = (const unsigned char *)token;
        if (u[0] >= 0xe0 && u[0] < 0xf0) {
            qs_str_addf(out, "\\[u%04X]", (unsigned)((u[0] & 15) << 12 | (u[1] & 63) << 6 | (u[2] & 63)));
            token += 2;
        } else {
            roff(out, (const char[]){ *token, 0 }, "");
        }
    }
}

static void man_templates(struct qs_str *out)
{
    size_t n;
    const struct qs_chat_builtin *b = qs_chat_builtins(&n);
    for (size_t i = 0; i < n; i++) {
        qs_str_add(out, ".TP\n\\fB");
        roff(out, b[i].name, "");
        qs_str_add(out, "\\fR\n");
        roff(out, b[i].help, "");
        if (b[i].mark) {
            qs_str_add(out, "; known by \\fB");
            roff_token(out, b[i].mark);
            qs_str_add(out, "\\fR");
        }
        if (b[i].stop) {
            qs_str_add(out, "; ends an answer with \\fB");
            roff_token(out, b[i].stop);
            qs_str_add(out, "\\fR\n");
        } else {
            qs_str_add(out, "; an answer ends with the model\\(aqs end of text\n");
        }
    }
}

static void man_screen(struct qs_str *out)
{
    struct qs_ui_action t;
    const char *screen = NULL;
    for (unsigned i = 0; qs_ui_action_at(i, &t); i++) {
        if (!screen || strcmp(screen, t.screen) != 0)
            qs_str_addf(out, ".SS %s\n", t.screen[0] ? t.screen : "Everywhere");
        screen = t.screen;
        qs_str_add(out, ".TP\n\\fB");
        roff(out, t.keys, "");
        qs_str_addf(out, "%s\\fR\\fI:", t.keys[0] ? "\\fR  \\fB" : "");
        roff(out, t.name, "");
        qs_str_add(out, "\\fR\n");
        roff(out, t.help, "");
        qs_str_addc(out, '\n');
    }
}

static void man_settings(struct qs_str *out)
{
    for (unsigned i = 0; i < QS_CONF_COUNT; i++) {
        const struct qs_setting_def *d = qs_setting((enum qs_setting)i);
        qs_str_add(out, ".TP\n\\fB");
        roff(out, d->key, "");
        qs_str_add(out, " = \\fI");
        for (const char *p = d->choices; p && *p; p++)
            if (*p == ' ')
                qs_str_add(out, " | ");
            else
                qs_str_addc(out, *p);
        if (d->kind == QS_SETTING_NUMBER)
            qs_str_addf(out, "%u \\fRto\\fI %u", d->min, d->max);
        if (d->kind == QS_SETTING_TEXT)
            qs_str_add(out, "NAME");
        qs_str_add(out, "\\fR\n");
        roff(out, d->help, "");
        qs_str_add(out, " (default: ");
        roff(out, d->otherwise, "");
        qs_str_add(out, ")\n");
    }
}

static const struct { const char *name; void (*fn)(struct qs_str *); } sections[] = {
    { "version", man_version }, { "verbs", man_verbs }, { "options", man_options }, { "keys", man_keys },
    { "types", man_types }, { "presets", man_presets }, { "templates", man_templates },
    { "screen", man_screen }, { "settings", man_settings },
};

#define BEGIN ".\\\" BEGIN "
#define END ".\\\" END"

/* Copies `text` to `out`; what stands between the markers is replaced. */
static int man_page(const char *path, struct qs_str *out, struct qs_err *e)
{
    char *text = NULL;
    size_t len = 0;
    int rc = qs_file_read(path, 1 << 22, &text, &len, e);
    if (rc)
        return rc;
    bool skipping = false;
    for (const char *line = text; *line && rc == QS_OK; ) {
        size_t n = strcspn(line, "\n");
        bool end = strncmp(line, END, sizeof END - 1) == 0;
        if (end)
            skipping = false;
        if (!skipping) {
            qs_str_addn(out, line, n);
            qs_str_addc(out, '\n');
        }
        if (strncmp(line, BEGIN, sizeof BEGIN - 1) == 0) {
            const char *name = line + sizeof BEGIN - 1;
            size_t m = strcspn(name, " \n"), i = 0;
            while (i < sizeof sections / sizeof *sections &&
                   (strlen(sections[i].name) != m || memcmp(sections[i].name, name, m) != 0))
                i++;
            if (i == sizeof sections / sizeof *sections)
                rc = qs_fail(e, QS_EINVAL, "%s: no generated part is called %.*s", path, (int)m, name);
            else
                sections[i].fn(out);
            skipping = true;
        }
        line += n + (line[n] == '\n');
    }
    qs_free(text);
    return rc;
}

/* ---- completions -------------------------------------------------------------------------------------------- */

/* Words of an option's value, or "" when they are files or free. */
static void value_words(struct qs_str *out, const struct qs_opt *o)
{
    if (o->kind == QS_OPT_CHOICE)
        qs_str_add(out, o->choices);
    else if (o->kind == QS_OPT_TYPE)
        qs_str_add(out, "$types");
    else if (o->kind == QS_OPT_PRESET)
        qs_str_add(out, "$presets");
    for (size_t i = 0; o->words && o->words(i); i++)
        qs_str_addf(out, "%s%s", i ? " " : "", o->words(i));
}

static void header(struct qs_str *out)
{
    qs_str_add(out,
               "# Completion for quantscape(1). Generated from the option tables by src/gen_docs.c; do not edit.\n");
}

static void bash_words(struct qs_str *out, const struct qs_opt *o)
{
    for (; o && o->name; o++)
        qs_str_addf(out, " --%s", o->name);
}

static void bash_verb(struct qs_str *out, const struct qs_verb *parent, const struct qs_verb *v)
{
    qs_str_add(out, "    '");
    verb_path(out, parent, v);
    qs_str_add(out, "') options=\"");
    bash_words(out, v->opts);
    qs_str_add(out, "\" verbs=\"");
    for (const struct qs_verb *const *s = v->subs; s && *s; s++)
        qs_str_addf(out, "%s%s", s == v->subs ? "" : " ", (*s)->name);
    qs_str_addf(out, "\" files=%d ;;\n", v->subs ? 0 : v->max_args > 0);
}

static void bash_values(struct qs_str *out, const char *verb, const struct qs_opt *o)
{
    for (; o && o->name; o++) {
        struct qs_str words = QS_STR_INIT;
        if (o->kind == QS_OPT_FLAG)
            continue;
        value_words(&words, o);
        qs_str_addf(out, "    \"%s\"'--%s'", verb, o->name);
        if (o->letter)
            qs_str_addf(out, "|\"%s\"'-%c'", verb, o->letter);
        if (words.len)
            qs_str_addf(out, ") mapfile -t COMPREPLY < <(compgen -W \"%s\" -- \"$cur\"); return ;;\n", words.data);
        else if (o->kind == QS_OPT_FILE || o->kind == QS_OPT_DIR)
            qs_str_addf(out, ") mapfile -t COMPREPLY < <(compgen -%c -- \"$cur\"); return ;;\n",
                        o->kind == QS_OPT_DIR ? 'd' : 'f');
        else
            qs_str_add(out, ") return ;;\n");
        out->failed |= words.failed;
        qs_str_free(&words);
    }
}

static void bash_verb_values(struct qs_str *out, const struct qs_verb *parent, const struct qs_verb *v)
{
    struct qs_str path = QS_STR_INIT;
    verb_path(&path, parent, v);
    qs_str_addc(&path, ':');
    bash_values(out, path.data, v->opts);
    out->failed |= path.failed;
    qs_str_free(&path);
}

static void lists(struct qs_str *out, const char *format)
{
    struct qs_str types = QS_STR_INIT, presets = QS_STR_INIT;
    type_names(&types);
    preset_names(&presets);
    qs_str_addf(out, format[0] == 'b' ? "    local types='%s'\n    local presets='%s'\n"
                     : format[0] == 'z' ? "    local -a types=(%s) presets=(%s)\n"
                                        : "set -g __quantscape_types %s\nset -g __quantscape_presets %s\n",
                types.data, presets.data);
    out->failed |= types.failed || presets.failed;
    qs_str_free(&types);
    qs_str_free(&presets);
}

static void bash(struct qs_str *out)
{
    header(out);
    qs_str_add(out, "_quantscape()\n{\n");
    lists(out, "bash");
    qs_str_add(out,
               "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb='' word skip='' i\n"
               "    local options='' verbs='' files=1 common=\"");
    bash_words(out, qs_common_options);
    qs_str_add(out,
               "\"\n    for ((i = 1; i < COMP_CWORD; i++)); do\n"
               "        word=${COMP_WORDS[i]}\n"
               "        if [[ -n $skip ]]; then skip=''; continue; fi\n"
               "        case $word in\n"
               "        --threads|--level|-j) skip=1 ;;\n"
               "        -*) ;;\n"
               "        *) if [[ -z $verb ]]; then verb=$word; else verb=\"$verb $word\"; fi\n"
               "           case \" $verb \" in ");
    bool first = true;
    for (const struct qs_verb *const *v = qs_verbs; *v; v++)
        if ((*v)->subs) {
            qs_str_addf(out, "%s\" %s \"", first ? "" : "|", (*v)->name);
            first = false;
        }
    qs_str_add(out, first ? "'') ;; *) break ;; esac ;;\n" : ") ;; *) break ;; esac ;;\n");
    qs_str_add(out, "        esac\n    done\n    case $verb in\n    '') verbs=\"");
    for (const struct qs_verb *const *v = qs_verbs; *v; v++)
        qs_str_addf(out, "%s%s", v == qs_verbs ? "" : " ", (*v)->name);
    qs_str_add(out, "\" ;;\n");
    each_verb(out, bash_verb);
    qs_str_add(out, "    esac\n    case \"$verb:$prev\" in\n");
    each_verb(out, bash_verb_values);
    bash_values(out, "$verb:", qs_common_options);
    qs_str_add(out,
               "    esac\n"
               "    if [[ $cur == -* ]]; then\n"
               "        mapfile -t COMPREPLY < <(compgen -W \"$options $common\" -- \"$cur\")\n"
               "        return\n"
               "    fi\n"
               "    COMPREPLY=()\n"
               "    [[ -n $verbs ]] && mapfile -t COMPREPLY < <(compgen -W \"$verbs\" -- \"$cur\")\n"
               "    ((files)) && mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$cur\")\n"
               "    return 0\n"
               "}\n"
               "complete -o filenames -F _quantscape quantscape\n");
}

/* Text inside a single-quoted shell word; with `spec` also what _arguments takes for its own. */
static void quoted(struct qs_str *out, const char *text, bool spec, const char *apostrophe)
{
    for (; *text; text++)
        if (*text == '\'')
            qs_str_add(out, apostrophe);
        else if (spec && strchr("[]:\\", *text))
            qs_str_addf(out, "\\%c", *text);
        else
            qs_str_addc(out, *text);
}

static void zsh_action(struct qs_str *out, const struct qs_opt *o)
{
    struct qs_str words = QS_STR_INIT;
    value_words(&words, o);
    qs_str_addc(out, ':');
    quoted(out, o->arg ? o->arg : "", true, "'\\''");
    if (words.len && words.data[0] == '$')
        qs_str_addf(out, ":(%s)", o->kind == QS_OPT_TYPE ? "'\"$types\"'" : "'\"$presets\"'");
    else if (words.len)
        qs_str_addf(out, ":(%s)", words.data);
    else
        qs_str_add(out, o->kind == QS_OPT_FILE ? ":_files" : o->kind == QS_OPT_DIR ? ":_files -/" : ": ");
    out->failed |= words.failed;
    qs_str_free(&words);
}

static void zsh_options(struct qs_str *out, const struct qs_opt *o)
{
    for (; o && o->name; o++)
        for (int form = o->letter ? 0 : 1; form < 2; form++) { /* -x and --name, each hiding the other */
            const char *many = o->many ? "*" : "";
            if (o->letter && !o->many)
                qs_str_addf(out, " \\\n            '(-%c --%s)'", o->letter, o->name);
            else
                qs_str_add(out, " \\\n            ");
            if (form == 0)
                qs_str_addf(out, "'%s-%c[", many, o->letter);
            else
                qs_str_addf(out, "'%s--%s%s[", many, o->name, o->kind == QS_OPT_FLAG ? "" : "=");
            quoted(out, o->help, true, "'\\''");
            qs_str_addc(out, ']');
            if (o->kind != QS_OPT_FLAG)
                zsh_action(out, o);
            qs_str_addc(out, '\'');
        }
}

static void zsh_verb_list(struct qs_str *out, const struct qs_verb *const *verbs)
{
    for (; verbs && *verbs; verbs++) {
        qs_str_addf(out, "            '%s:", (*verbs)->name);
        quoted(out, (*verbs)->summary, true, "'\\''");
        qs_str_add(out, "'\n");
    }
}

static void zsh_verb(struct qs_str *out, const struct qs_verb *parent, const struct qs_verb *v)
{
    qs_str_add(out, "    '");
    verb_path(out, parent, v);
    qs_str_add(out, "')\n");
    if (v->subs) {
        qs_str_add(out, "        verbs=(\n");
        zsh_verb_list(out, v->subs);
        qs_str_add(out, "        )\n        _describe -t verbs verb verbs ;;\n");
        return;
    }
    qs_str_add(out, "        _arguments -S $common");
    zsh_options(out, v->opts);
    qs_str_add(out, v->max_args ? " \\\n            '*:file:_files' ;;\n" : " ;;\n");
}

static void zsh(struct qs_str *out)
{
    qs_str_add(out, "#compdef quantscape\n");
    header(out);
    qs_str_add(out, "_quantscape()\n{\n");
    lists(out, "zsh");
    qs_str_add(out, "    local -a verbs common=(");
    struct qs_str options = QS_STR_INIT;
    zsh_options(&options, qs_common_options);
    for (const char *p = options.data; *p; p++) /* an array needs no line continuation */
        if (!(p[0] == '\\' && p[1] == '\n'))
            qs_str_addc(out, *p);
    out->failed |= options.failed;
    qs_str_free(&options);
    qs_str_add(out, "\n    )\n    local verb='' i=2\n"
                    "    while ((i < CURRENT)); do\n"
                    "        case $words[i] in\n"
                    "        --threads|--level|-j) ((i++)) ;;\n"
                    "        -*) ;;\n"
                    "        *) if [[ -z $verb ]]; then verb=$words[i]; else verb=\"$verb $words[i]\"; fi\n"
                    "           [[ ");
    bool first = true;
    for (const struct qs_verb *const *v = qs_verbs; *v; v++)
        if ((*v)->subs) {
            qs_str_addf(out, "%s$verb == %s", first ? "" : " || ", (*v)->name);
            first = false;
        }
    qs_str_add(out, first ? "-n '' ]] || break ;;\n" : " ]] || break ;;\n");
    qs_str_add(out, "        esac\n        ((i++))\n    done\n"
                    "    if [[ -n $verb ]]; then\n"
                    "        words=(\"$words[1]\" \"${(@)words[i+1,-1]}\")\n"
                    "        ((CURRENT -= i - 1))\n"
                    "    fi\n"
                    "    case $verb in\n    '')\n        verbs=(\n");
    zsh_verb_list(out, qs_verbs);
    qs_str_add(out, "        )\n        if [[ $PREFIX == -* ]]; then _arguments -S $common; else\n"
                    "            _describe -t verbs verb verbs; _files\n        fi ;;\n");
    each_verb(out, zsh_verb);
    qs_str_add(out, "    *) _files ;;\n    esac\n}\n_quantscape \"$@\"\n");
}

static void fish_options(struct qs_str *out, const char *condition, const struct qs_opt *o)
{
    for (; o && o->name; o++) {
        struct qs_str words = QS_STR_INIT;
        qs_str_addf(out, "complete -c quantscape%s -l %s", condition, o->name);
        if (o->letter)
            qs_str_addf(out, " -s %c", o->letter);
        value_words(&words, o);
        if (words.len && words.data[0] == '$')
            qs_str_addf(out, " -x -a '$__quantscape_%s'", words.data + 1);
        else if (words.len)
            qs_str_addf(out, " -x -a '%s'", words.data);
        else if (o->kind == QS_OPT_DIR)
            qs_str_add(out, " -x -a '(__fish_complete_directories)'");
        else if (o->kind != QS_OPT_FLAG)
            qs_str_add(out, o->kind == QS_OPT_FILE ? " -r" : " -x");
        qs_str_add(out, " -d '");
        quoted(out, o->help, false, "\\'");
        qs_str_add(out, "'\n");
        out->failed |= words.failed;
        qs_str_free(&words);
    }
}

static void fish_verb(struct qs_str *out, const struct qs_verb *parent, const struct qs_verb *v)
{
    struct qs_str condition = QS_STR_INIT;
    qs_str_add(&condition, " -n '__quantscape_verb_is \"");
    verb_path(&condition, parent, v);
    qs_str_add(&condition, "\"'");
    fish_options(out, condition.data, v->opts);
    for (const struct qs_verb *const *s = v->subs; s && *s; s++) {
        qs_str_addf(out, "complete -c quantscape%s -f -a %s -d '", condition.data, (*s)->name);
        quoted(out, (*s)->summary, false, "\\'");
        qs_str_add(out, "'\n");
    }
    if (v->max_args == 0)
        qs_str_addf(out, "complete -c quantscape%s -f\n", condition.data);
    out->failed |= condition.failed;
    qs_str_free(&condition);
}

static void fish(struct qs_str *out)
{
    header(out);
    lists(out, "fish");
    qs_str_add(out, "\nfunction __quantscape_verb_is --description 'whether the command line stands in this verb'\n"
                    "    set -l found\n"
                    "    set -l skip 0\n"
                    "    for word in (commandline -opc)[2..-1]\n"
                    "        if test $skip = 1\n"
                    "            set skip 0\n"
                    "            continue\n"
                    "        end\n"
                    "        switch $word\n"
                    "            case --threads --level -j\n"
                    "                set skip 1\n"
                    "            case '-*'\n"
                    "            case '*'\n"
                    "                set -a found $word\n"
                    "                switch \"$found\"\n"
                    "                    case");
    for (const struct qs_verb *const *v = qs_verbs; *v; v++)
        if ((*v)->subs)
            qs_str_addf(out, " %s", (*v)->name);
    qs_str_add(out, " ''\n"
                    "                    case '*'\n"
                    "                        break\n"
                    "                end\n"
                    "        end\n"
                    "    end\n"
                    "    test \"$found\" = \"$argv[1]\"\n"
                    "end\n\n");
    for (const struct qs_verb *const *v = qs_verbs; *v; v++) {
        qs_str_addf(out, "complete -c quantscape -n '__quantscape_verb_is \"\"' -a %s -d '", (*v)->name);
        quoted(out, (*v)->summary, false, "\\'");
        qs_str_add(out, "'\n");
    }
    fish_options(out, "", qs_common_options);
    each_verb(out, fish_verb);
}

/* ---- what every table must hold ------------------------------------------------------------------------------- */

static const char *text_fault(const char *text, bool line)
{
    if (!text || !*text)
        return "is missing";
    for (const char *p = text; *p; p++)
        if (!(*p >= ' ' && *p <= '~') && (line || (*p != '\n' && *p != '\t')))
            return "is not plain ASCII";
    if (line && text[strlen(text) - 1] == '.')
        return "ends with a full stop";
    return NULL;
}

static bool lists_levels(const struct qs_opt *o)
{
    struct qs_str levels = QS_STR_INIT;
    for (int l = 0; l < QS_LEVEL_COUNT; l++)
        qs_str_addf(&levels, "%s%s", l ? " " : "", qs_level_name((enum qs_level)l));
    const bool same = !levels.failed && o->choices && strcmp(o->choices, levels.data) == 0;
    qs_str_free(&levels);
    return same;
}

/* `others`: a table whose names and letters are taken too; may be NULL. */
static void check_options(struct qs_str *out, const char *where, const struct qs_opt *o, const struct qs_opt *others)
{
    for (; o && o->name; o++) {
        const char *fault = text_fault(o->help, true);
        if (fault)
            qs_str_addf(out, "%s --%s: the help %s\n", where, o->name, fault);
        if ((o->kind == QS_OPT_FLAG) != (o->arg == NULL))
            qs_str_addf(out, "%s --%s: a flag has no value name, everything else has one\n", where, o->name);
        if ((o->kind == QS_OPT_CHOICE) != (o->choices != NULL))
            qs_str_addf(out, "%s --%s: a choice has words to choose from, nothing else has\n", where, o->name);
        if (strcmp(o->name, "level") == 0 && !lists_levels(o))
            qs_str_addf(out, "%s --level: the words are not those of the levels there are\n", where);
        if (o->name[strspn(o->name, "abcdefghijklmnopqrstuvwxyz0123456789-")])
            qs_str_addf(out, "%s --%s: letters, digits and hyphens only\n", where, o->name);
        for (int pass = 0; pass < 2; pass++)
            for (const struct qs_opt *p = pass ? others : o + 1; p && p->name; p++) {
                if (strcmp(p->name, o->name) == 0)
                    qs_str_addf(out, "%s --%s: the name is there twice\n", where, o->name);
                if (o->letter && p->letter == o->letter)
                    qs_str_addf(out, "%s --%s: -%c is --%s already\n", where, o->name, o->letter, p->name);
            }
    }
}

static void check_verb(struct qs_str *out, const struct qs_verb *parent, const struct qs_verb *v)
{
    struct qs_str path = QS_STR_INIT;
    const char *fault;
    verb_path(&path, parent, v);
    if ((fault = text_fault(v->summary, true)))
        qs_str_addf(out, "%s: the summary %s\n", path.data, fault);
    if (v->description && (fault = text_fault(v->description, false)))
        qs_str_addf(out, "%s: the description %s\n", path.data, fault);
    if (!v->run == !v->subs)
        qs_str_addf(out, "%s: a verb runs or has verbs of its own\n", path.data);
    if (!v->args || v->min_args > v->max_args || (!v->subs && (v->max_args > 0) != (*v->args != '\0')))
        qs_str_addf(out, "%s: the arguments do not fit their numbers\n", path.data);
    for (const struct qs_key_doc *k = v->keys; k && k->key; k++)
        if ((fault = text_fault(k->help, true)))
            qs_str_addf(out, "%s: key %s: the help %s\n", path.data, k->key, fault);
    check_options(out, path.data, v->opts, qs_common_options);
    out->failed |= path.failed;
    qs_str_free(&path);
}

static int check_tables(struct qs_err *e)
{
    struct qs_str faults = QS_STR_INIT;
    check_options(&faults, "every verb", qs_common_options, NULL);
    each_verb(&faults, check_verb);
    int rc = faults.failed ? qs_fail_mem(e, 0, "the tables") : QS_OK;
    if (rc == QS_OK && faults.len) {
        fputs(faults.data, stderr);
        rc = qs_fail(e, QS_EINVAL, "the tables of verbs and options have faults");
    }
    qs_str_free(&faults);
    return rc;
}

int main(int argc, char **argv)
{
    struct qs_str out = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    const char *what = argc > 1 ? argv[1] : "";
    int rc = check_tables(&e);
    if (rc)
        what = "";
    else if (strcmp(what, "man") == 0 && argc == 3)
        rc = man_page(argv[2], &out, &e);
    else if (strcmp(what, "bash") == 0)
        bash(&out);
    else if (strcmp(what, "zsh") == 0)
        zsh(&out);
    else if (strcmp(what, "fish") == 0)
        fish(&out);
    else if (strcmp(what, "keys") == 0)
        each_verb(&out, list_keys);
    else if (strcmp(what, "check") != 0)
        rc = qs_fail(&e, QS_EINVAL, "usage: gen_docs check | keys | man FILE | bash | zsh | fish");
    if (rc == QS_OK && out.failed)
        rc = qs_fail(&e, QS_ENOMEM, "out of memory");
    if (rc == QS_OK && (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0))
        rc = qs_fail(&e, QS_EIO, "standard output cannot be written");
    if (rc)
        fprintf(stderr, "gen_docs: %s\n", e.msg);
    qs_str_free(&out);
    return rc ? 1 : 0;
}
