/* fuzzy.c - the best alignment of typed letters with a text, by dynamic programming. Pure.
 *
 * Two scores are kept for each (letter, place): the best alignment that ends with the letter exactly there, and the best
 * that ends there or before. A letter next to the one before it gets a bonus, one at the start of a word a larger one, so
 * that "gq" finds "go to ... quantize" rather than two letters inside a word.
 */
#include "ui/fuzzy.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FOUND 16      /* any letter that is there */
#define NEXT 20       /* it follows the letter before it at once */
#define WORD 18       /* it begins a word */
#define FIRST 8       /* ... the first one */
#define LONG_TEXT 64  /* for each 64 bytes of text one less: of two equal ones the shorter */
#define BARRED (-30000)

static bool is_letter(unsigned char b)
{
    return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || b >= 0x80;
}

static unsigned char fold(unsigned char b)
{
    return b >= 'A' && b <= 'Z' ? (unsigned char)(b + 32) : b;
}

static bool begins_word(const char *text, size_t j)
{
    const unsigned char b = (unsigned char)text[j], before = j ? (unsigned char)text[j - 1] : ' ';
    if (!is_letter(b))
        return false;
    const bool upper = b >= 'A' && b <= 'Z', upper_before = before >= 'A' && before <= 'Z';
    const bool digit = b >= '0' && b <= '9', digit_before = before >= '0' && before <= '9';
    return !is_letter(before) || (upper && !upper_before) || (digit && !digit_before);
}

static int worth(const char *text, size_t j)
{
    return FOUND + (begins_word(text, j) ? WORD : 0) + (j == 0 ? FIRST : 0);
}

/* All letters are there, in this order: a quick no for most texts. */
static bool is_there(const unsigned char *letter, size_t m, const char *text, size_t n)
{
    size_t i = 0;
    for (size_t j = 0; j < n && i < m; j++)
        i += fold((unsigned char)text[j]) == letter[i];
    return i == m;
}

/* One letter: from the best alignments of the letters before it (`best`, by their last place or before; `here`, ending
 * exactly there) to its own. follows[j]: its best at j is right behind the letter before it. */
static void advance(const char *text, size_t n, unsigned char letter, bool first, int16_t *here, int16_t *best,
                    uint8_t *follows)
{
    int16_t here_before = BARRED, best_before = first ? 0 : BARRED, so_far = BARRED;
    for (size_t j = 0; j < n; j++) {
        const int16_t old_here = here[j], old_best = best[j];
        int score = BARRED;
        follows[j] = 0;
        if (fold((unsigned char)text[j]) == letter) {
            const int apart = best_before > BARRED ? best_before + worth(text, j) : BARRED;
            const int next = !first && here_before > BARRED ? here_before + FOUND + NEXT : BARRED;
            follows[j] = next >= apart && next > BARRED;
            score = next > apart ? next : apart;
        }
        here_before = old_here;
        best_before = first ? 0 : old_best;
        here[j] = (int16_t)score;
        so_far = score > so_far ? (int16_t)score : so_far;
        best[j] = so_far;
    }
}

/* Where each letter stands in the best alignment, from the last one back: its scores are made again up to each letter,
 * which is cheap for the few texts that are seen. */
static void trace(const unsigned char *letter, size_t m, const char *text, size_t n, size_t *at)
{
    int16_t here[QS_FUZZY_TEXT], best[QS_FUZZY_TEXT];
    uint8_t follows[QS_FUZZY_TEXT];
    size_t end = n;    /* the letter stands before this */
    bool fixed = false; /* exactly at end - 1 */
    for (size_t i = m; i-- > 0;) {
        for (size_t k = 0; k <= i; k++)
            advance(text, n, letter[k], k == 0, here, best, follows);
        size_t j = end - 1;
        if (!fixed)
            for (size_t k = j; k-- > 0;)
                j = here[k] >= here[j] ? k : j;
        at[i] = j;
        fixed = follows[j] != 0;
        end = j;
    }
}

int qs_fuzzy(const char *pattern, const char *text, size_t *at, size_t *n_at)
{
    unsigned char letter[QS_FUZZY_LETTERS];
    int16_t here[QS_FUZZY_TEXT], best[QS_FUZZY_TEXT];
    uint8_t follows[QS_FUZZY_TEXT];
    size_t m = 0;
    const char *const zero = memchr(text, 0, QS_FUZZY_TEXT);
    const size_t n = zero ? (size_t)(zero - text) : QS_FUZZY_TEXT;
    for (; *pattern && m < QS_FUZZY_LETTERS; pattern++)
        if (*pattern != ' ')
            letter[m++] = fold((unsigned char)*pattern);
    if (n_at)
        *n_at = 0;
    if (!m)
        return 0;
    if (!is_there(letter, m, text, n))
        return QS_FUZZY_NONE;
    for (size_t i = 0; i < m; i++)
        advance(text, n, letter[i], i == 0, here, best, follows);
    if (at && n_at) {
        trace(letter, m, text, n, at);
        *n_at = m;
    }
    const int score = best[n - 1] - (int)(n / LONG_TEXT);
    return score > 0 ? score : 1;
}
