/* detok.c - ids to text: the bytes of a token, whole characters only as they come, and whether two vocabularies agree.
 * Owns nothing. */
#include <string.h>

#include "base/unicode.h"
#include "core/text/vocab_internal.h"

/* U+2581 as a blank. */
static void unescape(struct qs_str *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        bool mark = n - i >= 3 && memcmp(text + i, "\xE2\x96\x81", 3) == 0;
        qs_str_addc(out, mark ? ' ' : text[i]);
        i += mark ? 3 : 1;
    }
}

/* The bytes behind GPT-2's alphabet; what is not in it stays as it is. */
static void decode(struct qs_str *out, const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        size_t from = at;
        int byte = qs_letter_byte(qs_utf8_next(text, n, &at));
        if (byte >= 0)
            qs_str_addc(out, (char)byte);
        else
            qs_str_addn(out, text + from, at - from);
    }
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void qs_vocab_piece(const struct qs_vocab *v, int32_t id, bool special, struct qs_str *out)
{
    if (id < 0 || (size_t)id >= v->data->n_tokens)
        return;
    const struct qs_vocab_token *t = &v->data->token[id];
    const unsigned attr = v->attr[id];
    if (attr & (QS_ATTR_CONTROL | QS_ATTR_UNKNOWN)) {
        if (special)
            qs_str_addn(out, t->text, t->len);
    } else if (attr & QS_ATTR_USER) {
        qs_str_addn(out, t->text, t->len);
    } else if (attr & QS_ATTR_NORMAL) {
        if (v->raw)
            unescape(out, t->text, t->len);
        else
            decode(out, t->text, t->len);
    } else if ((attr & QS_ATTR_BYTE) && t->len == 6 && hex(t->text[3]) >= 0 && hex(t->text[4]) >= 0) {
        qs_str_addc(out, (char)(hex(t->text[3]) * 16 + hex(t->text[4])));
    }
}

void qs_detok_init(struct qs_detok *d, const struct qs_vocab *v, unsigned flags)
{
    *d = (struct qs_detok){ .v = v, .flags = flags, .strip = v->space_prefix && !(flags & QS_DETOK_MIDDLE) };
}

/* Bytes that a character with this first byte has; 0: none begins so. */
static unsigned length_of(unsigned char c)
{
    return c < 0x80 ? 1 : c >= 0xC2 && c <= 0xDF ? 2 : (c & 0xF0) == 0xE0 ? 3 : c >= 0xF0 && c <= 0xF4 ? 4 : 0;
}

/* Whether `held` with the next byte may still become a character. */
static bool may_follow(const struct qs_detok *d, unsigned char c)
{
    const unsigned char first = d->held[0];
    if (d->n_held > 1)
        return (c & 0xC0) == 0x80;
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    return c >= low && c <= high;
}

static void put_byte(struct qs_detok *d, unsigned char c, struct qs_str *out)
{
    if (d->n_held && !may_follow(d, c)) {
        qs_str_add(out, "\xEF\xBF\xBD");
        d->n_held = 0;
    }
    if (c == 0 || (d->n_held == 0 && length_of(c) == 0)) { /* a 0 byte would end the text for those who read it */
        qs_str_add(out, "\xEF\xBF\xBD");
        return;
    }
    d->held[d->n_held++] = c;
    if (d->n_held == length_of(d->held[0])) {
        qs_str_addn(out, d->held, d->n_held);
        d->n_held = 0;
    }
}

void qs_detok_add(struct qs_detok *d, int32_t id, struct qs_str *out)
{
    struct qs_str piece = QS_STR_INIT;
    size_t from = 0;
    const bool known = id >= 0 && (size_t)id < d->v->data->n_tokens;
    const bool in_text = known && (d->v->attr[id] & QS_ATTR_IN_TEXT);
    qs_vocab_piece(d->v, id, (d->flags & QS_DETOK_SPECIAL) != 0, &piece);
    if (d->strip && !in_text && piece.len) {
        from = piece.data[0] == ' ';
        d->strip = false;
    }
    for (size_t i = from; i < piece.len; i++)
        put_byte(d, (unsigned char)piece.data[i], out);
    if (in_text)
        d->strip = d->v->space_prefix;
    out->failed = out->failed || piece.failed;
    qs_str_free(&piece);
}

void qs_detok_end(struct qs_detok *d, struct qs_str *out)
{
    if (d->n_held)
        qs_str_add(out, "\xEF\xBF\xBD");
    d->n_held = 0;
}

void qs_detokenize(const struct qs_vocab *v, const int32_t *id, size_t n, unsigned flags, struct qs_str *out)
{
    struct qs_detok d;
    qs_detok_init(&d, v, flags);
    for (size_t i = 0; i < n; i++)
        qs_detok_add(&d, id[i], out);
    qs_detok_end(&d, out);
}

/* --- two vocabularies --------------------------------------------------------------------------------------------- */

static bool say(struct qs_str *where, const char *fmt, ...) QS_PRINTF(2, 3);
static bool say(struct qs_str *where, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (where)
        qs_str_addv(where, fmt, ap);
    va_end(ap);
    return false;
}

static bool token_differs(const struct qs_vocab *a, const struct qs_vocab *b, size_t i)
{
    const struct qs_vocab_token *x = &a->data->token[i], *y = &b->data->token[i];
    return x->len != y->len || memcmp(x->text, y->text, x->len) != 0 || a->attr[i] != b->attr[i] ||
           (a->data->kind == QS_VOCAB_SPM && (x->score < y->score || x->score > y->score));
}

static bool say_token(const struct qs_vocab *a, const struct qs_vocab *b, size_t i, struct qs_str *where)
{
    const struct qs_vocab_token *x = &a->data->token[i], *y = &b->data->token[i];
    struct qs_str one = QS_STR_INIT, two = QS_STR_INIT;
    qs_utf8_clean(&one, x->text, x->len, 40);
    qs_utf8_clean(&two, y->text, y->len, 40);
    if (x->len != y->len || memcmp(x->text, y->text, x->len) != 0)
        (void)say(where, "token %zu is '%s' and '%s'", i, one.data, two.data);
    else
        (void)say(where, "token %zu, '%s', has another type or score", i, one.data);
    qs_str_free(&one);
    qs_str_free(&two);
    return false;
}

bool qs_vocab_same(const struct qs_vocab *a, const struct qs_vocab *b, struct qs_str *where)
{
    const struct qs_vocab_data *x = a->data, *y = b->data;
    if (x->kind != y->kind || a->raw != b->raw)
        return say(where, "the tokenizers are of different kinds: '%s' and '%s'", x->model, y->model);
    if (x->n_tokens != y->n_tokens)
        return say(where, "%zu tokens and %zu tokens", x->n_tokens, y->n_tokens);
    for (size_t i = 0; i < x->n_tokens; i++)
        if (token_differs(a, b, i))
            return say_token(a, b, i, where);
    if (x->kind == QS_VOCAB_BPE && a->pre_name->family != b->pre_name->family)
        return say(where, "pre-tokenizers '%s' and '%s'", x->pre, y->pre);
    if (x->kind == QS_VOCAB_BPE && x->n_merges != y->n_merges)
        return say(where, "%zu merges and %zu merges", x->n_merges, y->n_merges);
    for (size_t i = 0; x->kind == QS_VOCAB_BPE && i < x->n_merges; i++)
        if (x->merge[i].len != y->merge[i].len || memcmp(x->merge[i].text, y->merge[i].text, x->merge[i].len) != 0)
            return say(where, "merge %zu differs", i);
    if (a->space_prefix != b->space_prefix || a->ignore_merges != b->ignore_merges)
        return say(where, a->space_prefix != b->space_prefix ? "one of them puts a blank before a text"
                                                             : "one of them takes whole words without merges");
    if (qs_vocab_adds_bos(a) != qs_vocab_adds_bos(b) || qs_vocab_adds_eos(a) != qs_vocab_adds_eos(b) ||
        (qs_vocab_adds_bos(a) && a->special[QS_SPECIAL_BOS] != b->special[QS_SPECIAL_BOS]) ||
        (qs_vocab_adds_eos(a) && a->special[QS_SPECIAL_EOS] != b->special[QS_SPECIAL_EOS]))
        return say(where, "they put different tokens before or behind a text");
    return true;
}
