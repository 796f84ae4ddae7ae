/* report_tokens.c - a text as a model reads it. Computes nothing but the pieces of the ids it is given. */
#include <string.h>

#include "base/unicode.h"
#include "core/report/report_tokens.h"

enum { C_INDEX, C_ID, C_PIECE, C_KIND, C_HEX };

static const struct qs_column columns[] = {
    { .key = "index", .title = "#", .optional = true },
    { .key = "id", .title = "id", .unit = QS_UNIT_ID },
    { .key = "piece", .title = "piece", .left = true },
    { .key = "kind", .title = "kind", .left = true },
    { .key = "hex", .title = "bytes", .left = true },
};

static const char *kind_of(const struct qs_vocab *v, int32_t id)
{
    static const char *const of_type[] = {
        [QS_TOKEN_NORMAL] = "", [QS_TOKEN_UNKNOWN] = "unknown", [QS_TOKEN_CONTROL] = "control",
        [QS_TOKEN_USER_DEFINED] = "added", [QS_TOKEN_UNUSED] = "unused", [QS_TOKEN_BYTE] = "byte",
    };
    const struct qs_vocab_data *d = qs_vocab_source(v);
    if (id < 0 || (size_t)id >= d->n_tokens)
        return "";
    if (qs_vocab_is_eog(v, id))
        return "end";
    const unsigned type = d->token[id].type;
    return type < sizeof of_type / sizeof *of_type && of_type[type] ? of_type[type] : "";
}

/* Pieces that are no whole characters (or hold a zero) are given as bytes too. */
static void put_piece(struct qs_section *s, const struct qs_vocab *v, int32_t id, struct qs_str *piece,
                      struct qs_str *hex)
{
    qs_str_clear(piece);
    qs_str_clear(hex);
    qs_vocab_piece(v, id, true, piece);
    if (qs_utf8_invalid_at(piece->data, piece->len) < piece->len || memchr(piece->data, 0, piece->len))
        for (size_t i = 0; i < piece->len; i++)
            qs_str_addf(hex, "%s%02x", i ? " " : "", (unsigned)(unsigned char)piece->data[i]);
    qs_cell_str(s, C_PIECE, piece->data);
    qs_cell_str(s, C_HEX, hex->data);
}

struct qs_report *qs_report_tokens(const struct qs_tokens_report_args *a)
{
    struct qs_report *r = qs_report_new("tokenize");
    struct qs_str piece = QS_STR_INIT, hex = QS_STR_INIT;
    if (!r)
        return NULL;
    const struct qs_vocab_data *d = qs_vocab_source(a->vocab);
    struct qs_section *s = qs_report_facts(r, "summary", "Text");
    qs_fact_str(s, "file", "file", a->path);
    qs_fact_str(s, "tokenizer", "tokenizer", d->model);
    qs_fact_str(s, "pre", "pre-tokenizer", d->pre[0] ? d->pre : "default");
    qs_fact_int(s, "bytes", "bytes", (int64_t)a->bytes, QS_UNIT_NONE);
    qs_fact_int(s, "tokens", "tokens", (int64_t)a->tokens->n, QS_UNIT_COUNT);
    if (a->chat)
        qs_fact_str(s, "chat", "after the chat template", a->chat);
    s = qs_report_table(r, "tokens", "Tokens", columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < a->tokens->n; i++) {
        const int32_t id = a->tokens->id[i];
        qs_row(s);
        qs_cell_int(s, C_INDEX, (int64_t)i);
        qs_cell_int(s, C_ID, id);
        qs_cell_str(s, C_KIND, kind_of(a->vocab, id));
        put_piece(s, a->vocab, id, &piece, &hex);
    }
    bool failed = piece.failed || hex.failed;
    qs_str_free(&piece);
    qs_str_free(&hex);
    if (failed) {
        qs_report_free(r);
        return NULL;
    }
    return r;
}
