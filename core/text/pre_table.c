/* pre_table.c - the pre-tokenizers there are: names, expressions, and how tokenizer.json is recognised. Tables only.
 *
 * The expressions are those that llama.cpp 0c1e57098 (MIT) runs for each name, put in PCRE2's words: categories as it
 * collapses them (where it takes all letters for one class, so is it here), lookaheads over single characters as
 * classes, \s as its list of white space. Backtracking over long words is avoided by classes and possessive repeats
 * that match the same.
 */
#include <string.h>

#include "core/text/pre.h"

#define SPACE "\\x{9}-\\x{d}\\x{20}\\x{85}" \
    "\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define S "[" SPACE "]"
#define NOT_S "[^" SPACE "]"
#define LAST_BLANKS S "+(?!" NOT_S ")|" S "+"
#define BLANKS(n) S "{" n "}(?!" NOT_S ")|"
#define NEWLINES S "*[\\r\\n]+|"
#define SHORTENED "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define WORD "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define SIGNS " ?[^" SPACE "\\p{L}\\p{N}]+"
#define CJK "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"
/* U+0800 to U+9FA5 without white space, and Korean. */
#define CJK_KOREAN "[\\x{800}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}" \
    "\\x{2060}-\\x{2fff}\\x{3001}-\\x{9fa5}\\x{ac00}-\\x{d7ff}]+"
#define SIGN_WORD "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|" SIGNS "|" LAST_BLANKS
#define LIKE_LLAMA3(numbers) SHORTENED "|" WORD "|" numbers "|" SIGNS "[\\r\\n]*|" NEWLINES LAST_BLANKS
/* Words that begin a new one at a capital; of other scripts than Latin every letter may be either. */
#define CAPITAL "[^\\P{L}a-z]"
#define SMALL "[^\\P{L}A-Z]"
#define CAMEL(end) \
    "[^\\r\\n\\p{L}\\p{N}]?" CAPITAL "*" SMALL "+" end "|[^\\r\\n\\p{L}\\p{N}]?" CAPITAL "+" SMALL "*" end "|"
/* Letters and marks: what is of no other category. */
#define CAPITAL_MARK "[^\\p{C}\\p{N}\\p{P}\\p{S}\\p{Z}a-z]"
#define SMALL_MARK "[^\\p{C}\\p{N}\\p{P}\\p{S}\\p{Z}A-Z]"
#define HAN "\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{20000}-\\x{2a6df}\\x{2a700}-\\x{2b73f}\\x{2b740}-\\x{2b81f}" \
    "\\x{2b820}-\\x{2ceaf}\\x{2ceb0}-\\x{2ebef}\\x{f900}-\\x{faff}\\x{2f800}-\\x{2fa1f}"
/* Letters that have capitals, as DeepSeek's tokenizer.json lists them. */
#define CASED \
    "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}" \
    "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}" \
    "\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}" \
    "\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}" \
    "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}" \
    "\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}" \
    "\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}" \
    "\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}" \
    "\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}" \
    "\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}" \
    "\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}" \
    "\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}" \
    "\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}" \
    "\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}" \
    "\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"

#define ONE(p) { { { QS_PRE_REGEX, p } } }
#define CUT(p) { QS_PRE_REGEX, p }

static const struct qs_pre_family
    by_default = { { CUT("[\\p{P}\\$\\+<=>\\^~\\|]+"), CUT(GPT2), CUT("\\p{N}+"), CUT("[0-9][0-9][0-9]") } },
    gpt2 = ONE(GPT2),
    digits_gpt2 = { { CUT("\\p{N}"), CUT(GPT2) } },
    llama3 = ONE(LIKE_LLAMA3("\\p{N}{1,3}")),
    qwen2 = ONE(LIKE_LLAMA3("\\p{N}")),
    qwen35 = ONE(SHORTENED "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^" SPACE "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|"
                 NEWLINES LAST_BLANKS),
    jais2 = ONE(SHORTENED "|" WORD "|\\p{N}{1,3}|" SIGNS "[\\r\\n]*|" NEWLINES BLANKS("512") BLANKS("256") BLANKS("128")
                BLANKS("64") BLANKS("32") BLANKS("16") BLANKS("8") BLANKS("4") BLANKS("1,2") S),
    deepseek_llm = { { CUT("[\\r\\n]"), CUT(S "?[" CASED "]+"),
                       CUT(S "?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3001}\\x{3002}]+"),
                       CUT(S "+\\z"), CUT(CJK_KOREAN), CUT("\\p{N}+") } },
    deepseek_coder = { { CUT("[\\r\\n]"), CUT(S "?\\p{L}+"), CUT(S "?\\p{P}+"), CUT(CJK_KOREAN), CUT("\\p{N}") } },
    deepseek3 = { { CUT("\\p{N}{1,3}"), CUT(CJK), CUT(SIGN_WORD " ?[\\p{P}\\p{S}]+[\\r\\n]*|" NEWLINES LAST_BLANKS) } },
    spark = { { CUT("\\p{N}{1,3}"), CUT(CJK), CUT(SIGN_WORD " ?[\\p{P}\\p{S}]+|[\\r\\n]|" LAST_BLANKS),
                CUT("\\p{N}") } },
    youtu = { { CUT("[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}\\x{2018}\\x{2019}"
                    "\\x{2014}\\x{ff1a}\\x{ff1b}\\x{ff0c}\\x{3001}-\\x{303f}\\x{fe30}-\\x{fe4f}]+|"
                    "[\\x{3105}-\\x{312f}]+|" CJK),
                CUT("[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+" SHORTENED "?|\\p{N}|" SIGNS "[\\r\\n/]*|" NEWLINES
                    LAST_BLANKS) } },
    falcon = { { CUT("[\\p{P}\\$\\+<=>\\^~\\|`]+"), CUT(GPT2), CUT("[0-9][0-9][0-9]") } },
    bloom = ONE(" ?[^(" SPACE "|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"),
    viking = { { CUT(" ?[^(" SPACE "|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"),
                 CUT("\\p{N}") } },
    tekken = ONE(CAMEL("") "\\p{N}|" SIGNS "[\\r\\n/]*|" NEWLINES LAST_BLANKS),
    gpt4o = ONE(CAMEL(SHORTENED "?") "\\p{N}{1,3}|" SIGNS "[\\r\\n/]*|" NEWLINES LAST_BLANKS),
    granite_multi = ONE("[^\\r\\n\\p{L}\\p{N}]?" CAPITAL_MARK "*" SMALL_MARK "+" SHORTENED "?|[^\\r\\n\\p{L}\\p{N}]?"
                        CAPITAL_MARK "+" SMALL_MARK "*" SHORTENED "?|\\p{N}{1,3}|" SIGNS "[\\r\\n/]*|" NEWLINES
                        LAST_BLANKS),
    tiny_aya = { { { QS_PRE_THREES, "\\p{N}+" },
                   CUT("[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+" SHORTENED "?|\\p{N}{1,3}|" SIGNS "[\\r\\n/]*|" NEWLINES
                       LAST_BLANKS) } },
    kimi = ONE("[" HAN "]+|[^\\r\\n\\p{L}\\p{N}]?[^\\P{L}" HAN "]+" SHORTENED "?|\\p{N}{1,3}|" SIGNS "[\\r\\n]*|"
               NEWLINES LAST_BLANKS),
    superbpe = { { CUT("\\p{N}+"), { QS_PRE_THREES_INSIDE, "[0-9]+" } } },
    bailing = ONE("'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|" WORD "|\\p{N}|" SIGNS "[\\r\\n]*|" S "*[\\r\\n]|"
                  LAST_BLANKS),
    seed_coder = ONE(SHORTENED "|" WORD "|\\p{N}| ?[^" SPACE "\\p{L}\\p{N}\\r\\n]+|" NEWLINES LAST_BLANKS),
    ufakzeka = ONE(WORD "|\\p{N}|" SIGNS "[\\r\\n]*|" NEWLINES LAST_BLANKS),
    afmoe = { { { QS_PRE_THREES, "\\p{N}+" },
                CUT("[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{8c48}-\\x{faff}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}"
                    "\\x{ff65}-\\x{ff9f}\\x{2f00}-\\x{2fdf}\\x{e40}-\\x{e7f}\\x{e80}-\\x{eff}\\x{1780}-\\x{17ff}"
                    "\\x{1000}-\\x{109f}\\x{aa60}-\\x{aa7f}\\x{a9e0}-\\x{a9ff}\\x{ac00}-\\x{d7af}"
                    "\\x{1100}-\\x{11ff}]+"),
                CUT(SIGN_WORD " ?[\\p{P}\\p{S}]+[\\r\\n]*|" NEWLINES LAST_BLANKS) } },
    laguna = { { CUT("[^\\n]+|[\\n]+"), CUT(LIKE_LLAMA3("\\p{N}")) } },
    exaone_moe = ONE(SHORTENED "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}(?:[\\p{L}\\p{M}]++| \\p{L})*+|\\p{N}|" SIGNS "[\\r\\n/]?|"
                     S "*[\\r\\n]|" LAST_BLANKS),
    lines = ONE("[^\\n]+|[\\n]+"),
    minicpm5 = { { CUT("\\p{N}{1,3}"), CUT(LIKE_LLAMA3("\\p{N}+")) } },
    chameleon = { { CUT("<sentinel:[0-9]+>"), CUT("IMGIMG[A-I]{1,4}Z"), CUT("[\\t\\n]|    |  "), CUT("\\p{N}"),
                    CUT("[\\p{P}!-/:-@\\[-`{-~]"), CUT(GPT2) } };

#define MERGELESS QS_PRE_IGNORE_MERGES
#define BOS QS_PRE_ADD_BOS

const struct qs_pre_name qs_pre_names[] = {
    { "default", &by_default, 0 },
    { "llama-bpe", &llama3, MERGELESS | BOS },
    { "llama3", &llama3, MERGELESS | BOS },
    { "llama-v3", &llama3, MERGELESS | BOS },
    { "falcon3", &llama3, MERGELESS | BOS },
    { "falcon-h1", &llama3, MERGELESS | BOS },
    { "pixtral", &llama3, MERGELESS | BOS },
    { "midm-2.0", &llama3, MERGELESS | BOS },
    { "lfm2", &llama3, MERGELESS | BOS },
    { "jina-v5-nano", &llama3, MERGELESS | BOS },
    { "dbrx", &llama3, 0 },
    { "smaug-bpe", &llama3, 0 },
    { "chatglm-bpe", &llama3, 0 },
    { "glm4", &llama3, MERGELESS },
    { "glm5", &llama3, MERGELESS },
    { "minicpm5", &minicpm5, MERGELESS },
    { "jais-2", &jais2, 0 },
    { "deepseek-llm", &deepseek_llm, 0 },
    { "deepseek-coder", &deepseek_coder, 0 },
    { "deepseek-v3", &deepseek3, 0 },
    { "hunyuan-dense", &deepseek3, 0 },
    { "joyai-llm", &deepseek3, 0 },
    { "hy_v4", &deepseek3, 0 },
    { "spark2_5", &spark, 0 },
    { "youtu", &youtu, MERGELESS },
    { "falcon", &falcon, 0 },
    { "starcoder", &digits_gpt2, 0 },
    { "refact", &digits_gpt2, 0 },
    { "command-r", &digits_gpt2, 0 },
    { "smollm", &digits_gpt2, 0 },
    { "codeshell", &digits_gpt2, 0 },
    { "exaone", &digits_gpt2, 0 },
    { "minerva-7b", &digits_gpt2, 0 },
    { "mellum2", &digits_gpt2, 0 },
    { "gpt-2", &gpt2, 0 },
    { "phi-2", &gpt2, 0 },
    { "mpt", &gpt2, 0 },
    { "olmo", &gpt2, 0 },
    { "jais", &gpt2, 0 },
    { "trillion", &gpt2, 0 },
    { "granite-docling", &gpt2, 0 },
    { "exaone4", &gpt2, 0 },
    { "gigachat", &gpt2, 0 },
    { "mellum", &gpt2, 0 },
    { "a.x-4.0", &gpt2, 0 },
    { "modern-bert", &gpt2, 0 },
    { "jina-es", &gpt2, 0 },
    { "jina-de", &gpt2, 0 },
    { "jina-v1-en", &gpt2, 0 },
    { "jina-v2-es", &gpt2, 0 },
    { "jina-v2-de", &gpt2, 0 },
    { "jina-v2-code", &gpt2, 0 },
    { "roberta-bpe", &gpt2, 0 },
    { "qwen2", &qwen2, 0 },
    { "deepseek-r1-qwen", &qwen2, 0 },
    { "kormo", &qwen2, 0 },
    { "f2llmv2", &qwen2, 0 },
    { "megrez", &qwen2, 0 },
    { "stablelm2", &qwen2, 0 },
    { "hunyuan", &qwen2, 0 },
    { "solar-open", &qwen2, 0 },
    { "grok-2", &qwen2, 0 },
    { "qwen35", &qwen35, 0 },
    { "ufakzeka", &ufakzeka, 0 },
    { "bloom", &bloom, 0 },
    { "poro-chat", &bloom, 0 },
    { "gpt3-finnish", &bloom, 0 },
    { "viking", &viking, 0 },
    { "tekken", &tekken, MERGELESS | BOS },
    { "gpt-4o", &gpt4o, 0 },
    { "llama4", &gpt4o, 0 },
    { "kanana2", &gpt4o, 0 },
    { "talkie", &gpt4o, 0 },
    { "minimax-m2", &gpt4o, 0 },
    { "granite-embed-multi-97m", &granite_multi, MERGELESS },
    { "tiny_aya", &tiny_aya, 0 },
    { "cohere2moe", &tiny_aya, 0 },
    { "kimi-k2", &kimi, 0 },
    { "superbpe", &superbpe, 0 },
    { "bailingmoe", &bailing, 0 },
    { "bailingmoe2", &bailing, 0 },
    { "llada-moe", &bailing, 0 },
    { "seed-coder", &seed_coder, 0 },
    { "afmoe", &afmoe, 0 },
    { "laguna", &laguna, 0 },
    { "exaone-moe", &exaone_moe, 0 },
    { "chameleon", &chameleon, BOS },
    { "gemma4", &lines, QS_PRE_RAW | QS_PRE_FORCE_BOS | QS_PRE_NEWLINES },
    { "granite-embed-multi-311m", &lines, QS_PRE_RAW | QS_PRE_FORCE_BOS | QS_PRE_NEWLINES },
    { "sarvam-moe", &lines, QS_PRE_RAW },
    { NULL, NULL, 0 }
};
