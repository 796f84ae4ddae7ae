/* chat_check.c - the options of `chat` that exclude each other, or that would have no effect: refused before anything
 * is opened.
 */
#include <string.h>

#include "src/chat_line.h"

bool qs_chat_line_candidate(struct qs_cli *cli)
{
    return qs_cli_has(cli, "type") || qs_cli_has(cli, "recipe");
}

static int check_replay(struct qs_cli *cli)
{
    static const char *const without[] = { "prompt", "compare", "type", "recipe", "follow", "load", "save",
                                          "draft", "speculate" };
    if (qs_cli_args(cli) > 0)
        return qs_cli_usage(cli, "--replay shows a file and takes no model");
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        if (qs_cli_has(cli, without[i]))
            return qs_cli_usage(cli, "--replay and --%s exclude each other", without[i]);
    return QS_EXIT_DONE;
}

static int check_guesses(struct qs_cli *cli, bool two)
{
    const char *how = qs_cli_str(cli, "speculate", NULL);
    if (qs_cli_has(cli, "draft") && how && strcmp(how, "draft") != 0 && strcmp(how, "auto") != 0)
        return qs_cli_usage(cli, "--draft names a model that guesses, and --speculate %s does not ask it", how);
    if (how && strcmp(how, "draft") == 0 && !qs_cli_has(cli, "draft"))
        return qs_cli_usage(cli, "--speculate draft takes a small model: --draft MODEL");
    if (qs_cli_has(cli, "stats") && (two || cli->json || cli->csv))
        return qs_cli_usage(cli, "--stats goes with the plain answer of one model: %s them in any case",
                            two ? "two models come with" : "data has");
    return QS_EXIT_DONE;
}

int qs_chat_line_check(struct qs_cli *cli)
{
    const bool two = qs_cli_has(cli, "compare") || qs_chat_line_candidate(cli);
    if (qs_cli_has(cli, "replay"))
        return check_replay(cli);
    if (qs_cli_args(cli) == 0)
        return qs_cli_usage(cli, "chat needs a model; usage: quantscape chat MODEL");
    if (qs_cli_has(cli, "speed"))
        return qs_cli_usage(cli, "--speed goes with --replay");
    if (qs_cli_has(cli, "compare") && qs_chat_line_candidate(cli))
        return qs_cli_usage(cli, "--compare and the candidate of --type or --recipe exclude each other: two "
                            "models answer");
    if (qs_cli_has(cli, "follow") && !two)
        return qs_cli_usage(cli, "--follow takes a second model: --compare, --type or --recipe");
    if (qs_cli_has(cli, "template") && qs_cli_has(cli, "no-template"))
        return qs_cli_usage(cli, "--template and --no-template exclude each other");
    if ((qs_cli_has(cli, "imatrix") || qs_cli_has(cli, "calibrated") || qs_cli_has(cli, "allow-requantize")) &&
        !qs_chat_line_candidate(cli))
        return qs_cli_usage(cli, "--imatrix, --calibrated and --allow-requantize go with --type or --recipe");
    return check_guesses(cli, two);
}
