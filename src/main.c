/* main.c - the command line: finds the verb, parses its options, runs it, and answers for standard output.
 *
 * Owns the process: locale, signals, exit code. Everything it does is in tables elsewhere (verbs.c, opt.h). Refuses
 * what it does not know with one line and exit code 2.
 */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "core/model/engine.h"
#include "kernels/level.h"
#include "src/verb.h"
#include "ui/ui.h"

/* ---- what is common to all verbs ---------------------------------------------------------------------------- */

static int apply_common(struct qs_cli *cli)
{
    const char *level = qs_cli_str(cli, "level", NULL);
    cli->json |= qs_cli_has(cli, "json");
    cli->csv = qs_cli_has(cli, "csv");
    cli->quiet = qs_cli_has(cli, "quiet");
    cli->threads = (unsigned)qs_cli_num(cli, "threads", 0);
    if (qs_cli_has(cli, "pack"))
        qs_engine_pack_limit(qs_cli_num(cli, "pack", 0) ? qs_cli_num(cli, "pack", 0) : QS_PACK_NONE);
    if (cli->json && cli->csv)
        return qs_cli_usage(cli, "--json and --csv exclude each other");
    enum qs_level l;
    if (level && qs_level_parse(level, &l)) { /* the table of options lets no other words through */
        if (!qs_level_available(l))
            return qs_cli_usage(cli, "--level: this machine or build has no %s", level);
        qs_level_limit(l);
    }
    return QS_EXIT_DONE;
}

static int print_text(struct qs_cli *cli, struct qs_str *text)
{
    int rc = text->failed ? QS_EXIT_FAILED : qs_cli_write(cli, text->data, text->len);
    qs_str_free(text);
    return rc;
}

static int show_help(struct qs_cli *cli, const struct qs_verb *parent, const struct qs_verb *verb)
{
    struct qs_str text = QS_STR_INIT;
    if (verb)
        qs_help_verb(&text, parent, verb, qs_cli_width());
    else
        qs_help_program(&text, qs_cli_width());
    return print_text(cli, &text);
}

static int show_version(struct qs_cli *cli)
{
    static const char line[] = "quantscape " QS_VERSION "\n";
    return qs_cli_write(cli, line, sizeof line - 1);
}

/* Errors of the command line itself must already know whether JSON is wanted. */
static bool wants_json(int argc, char *const *argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

/* ---- verbs -------------------------------------------------------------------------------------------------- */

/* The words of the command line still to be read; removing one keeps the order of the rest. */
struct words {
    char **word;
    int n;
};

static void remove_word(struct words *w, int i)
{
    memmove(w->word + i, w->word + i + 1, (size_t)(w->n - i - 1) * sizeof *w->word);
    w->n--;
}

static int unknown_word(struct qs_cli *cli, const struct qs_verb *parent, const char *word)
{
    const char *words[64];
    size_t n = 0;
    const struct qs_verb *const *verbs = parent ? parent->subs : qs_verbs;
    for (; verbs[n] && n + 1 < sizeof words / sizeof *words; n++)
        words[n] = verbs[n]->name;
    words[n] = NULL;
    const char *near = qs_did_you_mean(word, words);
    const char *prefix = parent ? parent->name : "", *gap = parent ? " " : "";
    const char *what = parent ? "verb of this name" : "verb or file of this name";
    if (near)
        return qs_cli_usage(cli, "%s%s\"%s\": there is no %s; did you mean \"%s%s%s\"?", prefix, gap, word, what,
                            prefix, gap, near);
    return qs_cli_usage(cli, "%s%s\"%s\": there is no %s; quantscape %s%s--help lists the verbs", prefix, gap, word,
                        what, prefix, gap);
}

static int check_count(struct qs_cli *cli)
{
    const struct qs_verb *v = cli->verb;
    const char *prefix = cli->parent ? cli->parent->name : "", *gap = cli->parent ? " " : "";
    size_t n = cli->args.n_args;
    if (n < v->min_args)
        return qs_cli_usage(cli, "%s%s%s needs %s%s%s; usage: quantscape %s%s%s %s", prefix, gap, v->name,
                            n ? "one argument more than \"" : "an argument", n ? cli->args.arg[n - 1] : "",
                            n ? "\"" : "", prefix, gap, v->name, v->args);
    if (n > v->max_args)
        return qs_cli_usage(cli, "%s%s%s: \"%s\" is one argument too many; usage: quantscape %s%s%s%s%s", prefix, gap,
                            v->name, cli->args.arg[v->max_args], prefix, gap, v->name, *v->args ? " " : "", v->args);
    return QS_EXIT_DONE;
}

/* The rest of the words belong to cli->verb. */
static int run_verb(struct qs_cli *cli, const struct words *w)
{
    const struct qs_opt *tables[] = { cli->verb->opts, qs_common_options };
    struct qs_err e = QS_ERR_INIT;
    int rc;
    if (qs_args_parse(tables, 2, w->n, w->word, false, &cli->args, NULL, &e))
        rc = qs_cli_usage(cli, "%s: %s", cli->verb->name, e.msg);
    else if (qs_cli_has(cli, "help"))
        rc = show_help(cli, cli->parent, cli->verb);
    else if (qs_cli_has(cli, "version"))
        rc = show_version(cli);
    else if ((rc = apply_common(cli)) == QS_EXIT_DONE && (rc = check_count(cli)) == QS_EXIT_DONE) {
        if (cli->json && !cli->verb->keys)
            rc = qs_cli_usage(cli, "%s has no --json form", cli->verb->name);
        else if (cli->csv && (cli->verb->no_csv || !cli->verb->keys))
            rc = qs_cli_usage(cli, "%s has no --csv form", cli->verb->name);
        else
            rc = cli->verb->run(cli);
    }
    qs_args_free(&cli->args);
    return rc;
}

/* ---- the screen --------------------------------------------------------------------------------------------- */

static bool on_terminal(void)
{
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

static int open_screen(struct qs_cli *cli, const char *path)
{
    struct qs_err e = QS_ERR_INIT;
    const struct qs_ui_args args = { .path = path, .threads = cli->threads };
    return qs_ui_run(&args, &e) == QS_OK ? QS_EXIT_DONE : qs_cli_fail(cli, &e);
}

/* quantscape [OPTION]... with nothing else. `cli->args` holds the options. */
static int run_alone(struct qs_cli *cli)
{
    int rc;
    if (qs_cli_has(cli, "help"))
        return show_help(cli, NULL, NULL);
    if (qs_cli_has(cli, "version"))
        return show_version(cli);
    if ((rc = apply_common(cli)) != QS_EXIT_DONE)
        return rc;
    if (on_terminal())
        return open_screen(cli, NULL);
    return qs_cli_usage(cli, "no file and no verb given; quantscape --help lists what can be done");
}

static bool wants(const struct words *w, const char *option)
{
    for (int i = 0; i < w->n; i++)
        if (strcmp(w->word[i], option) == 0)
            return true;
    return false;
}

/* quantscape FILE [OPTION]...: the screen, or what `info` prints where nobody could use a screen. */
static int run_file(struct qs_cli *cli, struct words *w, int at)
{
    int rc = apply_common(cli);
    const bool plain = !qs_cli_has(cli, "help") && !qs_cli_has(cli, "version") && !cli->json && !cli->csv;
    if (rc == QS_EXIT_DONE && plain && w->n == at + 1 && on_terminal())
        return open_screen(cli, w->word[at]);
    qs_args_free(&cli->args);
    const bool screen = plain && on_terminal() && !wants(w, "--json") && !wants(w, "--csv");
    cli->verb = qs_verb_find(qs_verbs, screen ? "screen" : "info");
    if (rc != QS_EXIT_DONE || !cli->verb)
        return rc != QS_EXIT_DONE ? rc : unknown_word(cli, NULL, w->word[at]);
    return run_verb(cli, w);
}

static bool looks_like_file(const char *word)
{
    return strchr(word, '/') || strchr(word, '.') || qs_file_exists(word);
}

/* Finds the verb: the first word that is no option, options of every verb may stand before it. */
static int dispatch(struct qs_cli *cli, struct words *w)
{
    const struct qs_opt *common[] = { qs_common_options };
    struct qs_err e = QS_ERR_INIT;
    int at = 0;
    if (qs_args_parse(common, 1, w->n, w->word, true, &cli->args, &at, &e))
        return qs_cli_usage(cli, "%s", e.msg);
    if (at == w->n && !cli->verb)
        return run_alone(cli);
    if (at == w->n && qs_cli_has(cli, "help"))
        return show_help(cli, NULL, cli->verb);
    if (at == w->n)
        return qs_cli_usage(cli, "%s needs one of its verbs; quantscape %s --help lists them", cli->verb->name,
                            cli->verb->name);
    const struct qs_verb *parent = cli->verb;
    const struct qs_verb *verb = qs_verb_find(parent ? parent->subs : qs_verbs, w->word[at]);
    if (!verb && !parent && looks_like_file(w->word[at]))
        return run_file(cli, w, at);
    if (!verb)
        return unknown_word(cli, parent, w->word[at]);
    remove_word(w, at);
    qs_args_free(&cli->args);
    cli->parent = parent;
    cli->verb = verb;
    return verb->subs ? dispatch(cli, w) : run_verb(cli, w);
}

/* Results that did not reach standard output are a failure; a reader that went away on purpose is none. */
static int close_output(struct qs_cli *cli, int rc)
{
    qs_cli_flush(cli);
    if (cli->write_errno != 0 && cli->write_errno != EPIPE) {
        struct qs_err e = QS_ERR_INIT;
        qs_fail_errno(&e, cli->write_errno, "writing to standard output");
        cli->json = false; /* there is nowhere to print it */
        rc = qs_cli_fail(cli, &e);
    }
    return rc;
}

/* Characters go by the locale; numbers stay as they are in C. A locale that is not installed here, as in a container,
 * still says what the terminal takes. */
static void set_locale(void)
{
    static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };
    const char *wanted = NULL;
    if (setlocale(LC_CTYPE, ""))
        return;
    for (size_t i = 0; i < sizeof names / sizeof *names && !(wanted && *wanted); i++)
        wanted = getenv(names[i]);
    if (wanted && (strcasestr(wanted, "UTF-8") || strcasestr(wanted, "UTF8")))
        setlocale(LC_CTYPE, "C.UTF-8");
}

int main(int argc, char **argv)
{
    struct qs_cli cli = { .json = wants_json(argc, argv) };
    struct words w = { argv + 1, argc > 0 ? argc - 1 : 0 };
    set_locale();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error to be told, like a full disk */
    if (w.n > 0 && strcmp(w.word[0], "help") == 0) { /* "help VERB" is "VERB --help" */
        static char option[] = "--help";
        remove_word(&w, 0);
        argv[w.n + 1] = option;
        w.n++;
    }
    int rc = dispatch(&cli, &w);
    qs_args_free(&cli.args);
    qs_pool_free(cli.pool);
    return close_output(&cli, rc);
}
