/* sentencepiece.c - tokenizer.model: the vocabulary of a SentencePiece model, as far as a GGUF file keeps it.
 *
 * A small reader for the one protobuf message it is (sentencepiece_model.proto of google/sentencepiece: ModelProto has
 * pieces in field 1, trainer_spec in 2, normalizer_spec in 3). Owns nothing. Refuses lengths beyond the file and models
 * that are not BPE: Unigram models split by another rule. What it does not know it skips, as protobuf wants it.
 */
#include <inttypes.h>
#include <string.h>

#include "core/text/vocab_build.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
enum { MODEL_UNIGRAM = 1, MODEL_BPE = 2 };

struct message { const uint8_t *at, *end; bool bad; };
struct field { uint64_t number; unsigned wire; uint64_t value; struct message bytes; };

static uint64_t varint(struct message *m)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && m->at < m->end; shift += 7) {
        uint8_t byte = *m->at++;
        v |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return v;
    }
    m->bad = true;
    return 0;
}

static uint64_t fixed(struct message *m, unsigned n)
{
    uint64_t v = 0;
    if ((size_t)(m->end - m->at) < n) {
        m->bad = true;
        return 0;
    }
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)m->at[i] << (8 * i);
    m->at += n;
    return v;
}

/* The next field; false at the end, or when the message is damaged (m->bad). */
static bool next(struct message *m, struct field *f)
{
    if (m->bad || m->at >= m->end)
        return false;
    uint64_t tag = varint(m);
    *f = (struct field){ .number = tag >> 3, .wire = (unsigned)(tag & 7) };
    switch (f->wire) {
    case WIRE_VARINT: f->value = varint(m); break;
    case WIRE_64: f->value = fixed(m, 8); break;
    case WIRE_32: f->value = fixed(m, 4); break;
    case WIRE_BYTES: {
        uint64_t n = varint(m);
        if (m->bad || n > (uint64_t)(m->end - m->at)) {
            m->bad = true;
            return false;
        }
        f->bytes = (struct message){ m->at, m->at + n, false };
        m->at += n;
        break;
    }
    default: m->bad = true;
    }
    return !m->bad && f->number != 0;
}

bool qs_sentencepiece_looks(const void *bytes, size_t n)
{
    struct message m = { bytes, (const uint8_t *)bytes + n, false };
    struct field f, g;
    return n > 0 && next(&m, &f) && f.number == 1 && f.wire == WIRE_BYTES && next(&f.bytes, &g) && g.number == 1 &&
           g.wire == WIRE_BYTES;
}

/* The type as GGUF numbers it, which is the same but for user-defined pieces: those are normal tokens, as
 * convert_hf_to_gguf.py writes them. */
static uint8_t gguf_type(uint64_t type)
{
    return type >= QS_TOKEN_NORMAL && type <= QS_TOKEN_BYTE && type != QS_TOKEN_USER_DEFINED ? (uint8_t)type
                                                                                              : QS_TOKEN_NORMAL;
}

static int read_piece(struct message m, size_t id, struct qs_vocab_data *d, struct qs_err *e)
{
    struct field f;
    uint64_t type = QS_TOKEN_NORMAL;
    float score = 0;
    const char *text = "";
    size_t n = 0;
    while (next(&m, &f)) {
        uint32_t bits = (uint32_t)f.value;
        if (f.number == 1 && f.wire == WIRE_BYTES) {
            text = (const char *)f.bytes.at;
            n = (size_t)(f.bytes.end - f.bytes.at);
        } else if (f.number == 2 && f.wire == WIRE_32) {
            memcpy(&score, &bits, sizeof score);
        } else if (f.number == 3 && f.wire == WIRE_VARINT) {
            type = f.value;
        }
    }
    if (m.bad)
        return qs_fail(e, QS_EFORMAT, "piece %zu is damaged", id);
    d->token[id].score = score;
    d->token[id].type = gguf_type(type);
    return qs_vocab_data_text(d, id, text, n, e);
}

static int read_spec(struct message m, uint64_t which, struct qs_vocab_data *d, struct qs_err *e)
{
    struct field f;
    uint64_t type = MODEL_UNIGRAM; /* what the format means where nothing is stated */
    while (next(&m, &f)) {
        if (which == 2 && f.number == 3 && f.wire == WIRE_VARINT)
            type = f.value;
        if (which == 3 && f.number == 3 && f.wire == WIRE_VARINT && f.value == 0)
            d->add_space_prefix = 0;
    }
    if (m.bad)
        return qs_fail(e, QS_EFORMAT, "its %s is damaged", which == 2 ? "trainer_spec" : "normalizer_spec");
    if (which == 2 && type != MODEL_BPE)
        return qs_fail(e, QS_EUNSUPPORTED, "a SentencePiece model of type %" PRIu64 "%s cannot be used yet: only BPE "
                       "can", type, type == MODEL_UNIGRAM ? " (Unigram)" : "");
    return QS_OK;
}

static int count(struct message m, size_t *n, struct qs_err *e)
{
    struct field f;
    *n = 0;
    while (next(&m, &f))
        *n += f.number == 1 && f.wire == WIRE_BYTES;
    return m.bad ? qs_fail(e, QS_EFORMAT, "it is damaged or cut short after %zu pieces", *n) : QS_OK;
}

static int read_all(struct message m, size_t n_rows, struct qs_vocab_data *d, struct qs_err *e)
{
    struct field f;
    size_t n, id = 0;
    bool trained = false;
    int rc = count(m, &n, e);
    if (rc == QS_OK)
        rc = qs_vocab_data_padded(d, n_rows ? n_rows : n, e);
    while (rc == QS_OK && next(&m, &f)) {
        if (f.wire != WIRE_BYTES)
            continue;
        if (f.number == 1 && id < d->n_tokens)
            rc = read_piece(f.bytes, id++, d, e);
        else if (f.number == 2 || f.number == 3)
            rc = read_spec(f.bytes, f.number, d, e);
        trained = trained || f.number == 2;
    }
    if (rc == QS_OK && !trained)
        rc = qs_fail(e, QS_EFORMAT, "it does not say how it was trained (trainer_spec)");
    if (rc == QS_OK && n > d->n_tokens)
        qs_vocab_data_warn(d, "tokens from id %zu on lie beyond the rows of the embedding", d->n_tokens);
    return rc;
}

int qs_sentencepiece_read(const void *bytes, size_t n, size_t n_rows, struct qs_vocab_data **out, struct qs_err *e)
{
    *out = NULL;
    struct qs_vocab_data *d = qs_vocab_data_start(QS_VOCAB_SPM, "llama", e);
    if (!d)
        return QS_ENOMEM;
    memcpy(d->pre, "default", sizeof "default");
    d->has_scores = d->has_types = true;
    int rc = read_all((struct message){ bytes, (const uint8_t *)bytes + n, false }, n_rows, d, e);
    if (rc == QS_OK)
        *out = d;
    else
        qs_vocab_data_free(d);
    return rc;
}
