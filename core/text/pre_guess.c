/* pre_guess.c - which of the known pre-tokenizers a tokenizer.json describes, by the expressions it is written with.
 *
 * llama.cpp tells them apart by a hash over the ids of a test text, which needs the tokenizer to run first; the
 * expressions say the same. Names that cut alike (command-r, smollm, starcoder) cannot be told apart, and need not be.
 * Owns nothing.
 */
#include <string.h>

#include "base/str.h"
#include "core/text/pre.h"

#define WORD "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define ENDS "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SIGNS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define SHORTENED "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define BIG "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
#define BIG2 "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
#define SLASH_SIGNS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
#define CL100K(numbers) "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|" numbers \
    "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"
#define SIGN_WORD "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|"
#define SIGN_REST "[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" ENDS

/* How many Splits there are (0: any number), the pattern of the last one (written with \r and \n, not the characters),
 * ignore_merges (-1: either). */
static const struct { const char *name; size_t splits; const char *last; int ignore_merges; } splits[] = {
    { "llama-bpe", 1, SHORTENED "|" WORD "|\\p{N}{1,3}" SIGNS ENDS, 1 },
    { "dbrx", 1, SHORTENED "|" WORD "|\\p{N}{1,3}" SIGNS ENDS, 0 },
    { "dbrx", 1, CL100K("\\p{N}{1,3}"), -1 },
    { "bailingmoe", 1, CL100K("\\p{N}"), -1 },
    { "qwen2", 1, SHORTENED "|" WORD "|\\p{N}" SIGNS ENDS, -1 },
    { "qwen35", 1, SHORTENED "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" ENDS,
      -1 },
    { "ufakzeka", 1, WORD "|\\p{N}" SIGNS ENDS, -1 },
    { "tekken", 1, BIG "|" BIG2 "|\\p{N}" SLASH_SIGNS ENDS, -1 },
    { "gpt-4o", 1, BIG SHORTENED "?|" BIG2 SHORTENED "?|\\p{N}{1,3}" SLASH_SIGNS ENDS, -1 },
    { "minicpm5", 2, SHORTENED "|" WORD "|\\p{N}+" SIGNS ENDS, -1 },
    { "seed-coder", 1, SHORTENED "|" WORD "|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" ENDS, -1 },
    { "exaone-moe", 1, SHORTENED "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}"
      "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+", -1 },
    { "jais-2", 1, SHORTENED "|" WORD "|\\p{N}{1,3}" SIGNS "|\\s*[\\r\\n]+|\\s{512}(?!\\S)"
      "|\\s{256}(?!\\S)|\\s{128}(?!\\S)"
      "|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}", -1 },
    { "deepseek-v3", 3, SIGN_WORD SIGN_REST, -1 },
    { "bloom", 1, " ?[^(\\s|[.,!?\xE2\x80\xA6\xE3\x80\x82\xEF\xBC\x8C\xE3\x80\x81\xE0\xA5\xA4\xDB\x94\xD8\x8C])]+",
      -1 },
};

/* Control characters as expressions write them. */
static void written(struct qs_str *out, const char *pattern)
{
    for (; *pattern; pattern++) {
        if (*pattern == '\r')
            qs_str_add(out, "\\r");
        else if (*pattern == '\n')
            qs_str_add(out, "\\n");
        else
            qs_str_addc(out, *pattern);
    }
}

static const char *by_splits(const struct qs_pre_hint *h)
{
    struct qs_str last = QS_STR_INIT;
    const char *name = NULL;
    written(&last, h->pattern[h->n_patterns - 1]);
    for (size_t i = 0; i < sizeof splits / sizeof *splits && !name; i++)
        if ((splits[i].splits == 0 || splits[i].splits == h->n_patterns) && strcmp(splits[i].last, last.data) == 0 &&
            (splits[i].ignore_merges < 0 || splits[i].ignore_merges == h->ignore_merges))
            name = splits[i].name;
    qs_str_free(&last);
    return name;
}

const char *qs_pre_guess(const struct qs_pre_hint *h)
{
    if (h->n_patterns == 0) /* GPT-2's own expression, single digits before it or not */
        return !h->byte_regex || h->punctuation ? NULL : h->digits ? "smollm" : "gpt-2";
    if (h->punctuation)
        return h->byte_regex && strcmp(h->pattern[h->n_patterns - 1], "[0-9][0-9][0-9]") == 0 ? "falcon" : NULL;
    if (h->byte_regex)
        return h->n_patterns == 1 && strcmp(h->pattern[0], "\\p{N}") == 0 ? "smollm" : NULL;
    if (h->n_patterns >= 4 && strcmp(h->pattern[1], "\\s?\\p{L}+") == 0 && strcmp(h->pattern[2], "\\s?\\p{P}+") == 0)
        return "deepseek-coder";
    if (h->n_patterns >= 4 && strncmp(h->pattern[1], "\\s?[A-Za-z\xC2\xB5", 12) == 0)
        return "deepseek-llm";
    return by_splits(h);
}
