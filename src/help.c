/* help.c - the texts of --help, made from the tables of verbs and options.
 *
 * Owns nothing; appends to a qs_str. Lines are wrapped at `width` columns (0: 80). All texts are ASCII by rule, so
 * bytes are columns.
 */
#include <string.h>

#include "base/str.h"
#include "src/verb.h"

const struct qs_verb *qs_verb_find(const struct qs_verb *const *verbs, const char *name)
{
    for (; verbs && *verbs; verbs++)
        if (strcmp((*verbs)->name, name) == 0)
            return *verbs;
    return NULL;
}

static void blanks(struct qs_str *out, size_t n)
{
    while (n-- > 0)
        qs_str_addc(out, ' ');
}

/* Text wrapped at white space, the first line starting at column `at`, the others indented to `indent`. An empty line
 * in the text starts a new paragraph. Ends with a newline. */
static void wrap(struct qs_str *out, const char *text, size_t at, size_t indent, size_t width)
{
    bool first = true;
    while (*text) {
        size_t gap = strspn(text, " \n"), n = strcspn(text + gap, " \n");
        const char *nl = memchr(text, '\n', gap);
        bool paragraph = nl && memchr(nl + 1, '\n', gap - (size_t)(nl + 1 - text));
        if (n == 0)
            break;
        if (!first && (paragraph || at + 1 + n > width)) {
            qs_str_add(out, paragraph ? "\n\n" : "\n");
            blanks(out, indent);
            at = indent;
        } else if (!first) {
            qs_str_addc(out, ' ');
            at++;
        }
        qs_str_addn(out, text + gap, n);
        at += n;
        text += gap + n;
        first = false;
    }
    qs_str_addc(out, '\n');
}

/* "  label   help", with the help starting at column `indent` or, after a long label, on the next line. */
static void entry(struct qs_str *out, const char *label, const char *help, size_t indent, size_t width)
{
    size_t n = strlen(label) + 2;
    qs_str_addf(out, "  %s", label);
    if (n + 2 > indent) {
        qs_str_addc(out, '\n');
        n = 0;
    }
    blanks(out, indent - n);
    wrap(out, help, indent, indent, width);
}

static void options(struct qs_str *out, const char *title, const struct qs_opt *o, size_t width)
{
    if (!o || !o->name)
        return;
    qs_str_addf(out, "\n%s:\n", title);
    for (; o->name; o++) {
        struct qs_str label = QS_STR_INIT, help = QS_STR_INIT;
        if (o->letter)
            qs_str_addf(&label, "-%c, --%s", o->letter, o->name);
        else
            qs_str_addf(&label, "    --%s", o->name);
        if (o->arg)
            qs_str_addf(&label, " %s", o->arg);
        qs_str_add(&help, o->help);
        if (o->kind == QS_OPT_CHOICE)
            qs_str_addf(&help, " (%s)", o->choices);
        qs_opt_words(&help, o);
        if (o->many)
            qs_str_add(&help, "; may be repeated");
        entry(out, label.data, help.data, 28, width);
        out->failed |= label.failed || help.failed;
        qs_str_free(&label);
        qs_str_free(&help);
    }
}

static void verb_list(struct qs_str *out, const struct qs_verb *const *verbs, size_t width)
{
    for (; *verbs; verbs++)
        entry(out, (*verbs)->name, (*verbs)->summary, 13, width);
}

void qs_help_program(struct qs_str *out, unsigned width)
{
    size_t w = width ? width : 80;
    qs_str_add(out, "Usage: quantscape [FILE]\n       quantscape VERB [OPTION]... [ARGUMENT]...\n\n");
    wrap(out,
         "A terminal workbench for quantizing language models. Without a verb it opens FILE on the screen; where "
         "standard output is no terminal it prints what `quantscape info FILE` prints.", 0, 0, w);
    qs_str_add(out, "\nVerbs:\n");
    verb_list(out, qs_verbs, w);
    options(out, "Options of every verb", qs_common_options, w);
    qs_str_add(out, "\nquantscape VERB --help tells more about a verb; man quantscape tells all.\n");
    qs_str_add(out, "Exit status: 0 done, 1 failed, 2 wrong usage.\n");
}

static void examples(struct qs_str *out, const char *text, size_t width)
{
    qs_str_add(out, "\nExamples:\n");
    while (*text) {
        size_t n = strcspn(text, "\t\n"), m;
        qs_str_add(out, "  ");
        qs_str_addn(out, text, n);
        qs_str_addc(out, '\n');
        text += n + (text[n] == '\t');
        m = strcspn(text, "\n");
        if (m) {
            struct qs_str meaning = QS_STR_INIT;
            qs_str_addn(&meaning, text, m);
            blanks(out, 6);
            wrap(out, meaning.data, 6, 6, width);
            out->failed |= meaning.failed;
            qs_str_free(&meaning);
        }
        text += m + (text[m] == '\n');
    }
}

void qs_help_verb(struct qs_str *out, const struct qs_verb *parent, const struct qs_verb *verb, unsigned width)
{
    size_t w = width ? width : 80;
    qs_str_add(out, "Usage: quantscape ");
    if (parent)
        qs_str_addf(out, "%s ", parent->name);
    if (verb->subs)
        qs_str_addf(out, "%s VERB [OPTION]... [ARGUMENT]...\n\n", verb->name);
    else
        qs_str_addf(out, "%s [OPTION]...%s%s\n\n", verb->name, *verb->args ? " " : "", verb->args);
    wrap(out, verb->description ? verb->description : verb->summary, 0, 0, w);
    if (verb->subs) {
        qs_str_add(out, "\nVerbs:\n");
        verb_list(out, verb->subs, w);
    }
    options(out, "Options", verb->opts, w);
    options(out, "Options of every verb", qs_common_options, w);
    if (verb->examples)
        examples(out, verb->examples, w);
}
