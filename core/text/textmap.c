/* textmap.c - byte strings to numbers, and GPT-2's printable alphabet of bytes. Owns the slots, never the strings. */
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "core/text/vocab_internal.h"

bool qs_textmap_init(struct qs_textmap *m, size_t expected)
{
    size_t room = 16;
    while (room < expected * 2)
        room *= 2;
    *m = (struct qs_textmap){ qs_calloc(room, sizeof *m->slot), room, 0 };
    return m->slot != NULL;
}

void qs_textmap_free(struct qs_textmap *m)
{
    qs_free(m->slot);
    *m = (struct qs_textmap){ 0 };
}

/* The slot of the text, or the free one where it belongs. */
static struct qs_textslot *slot_of(const struct qs_textmap *m, const char *text, size_t n)
{
    size_t at = (size_t)qs_hash_bytes(text, n).lo & (m->room - 1);
    while (m->slot[at].text && (m->slot[at].len != n || memcmp(m->slot[at].text, text, n) != 0))
        at = (at + 1) & (m->room - 1);
    return &m->slot[at];
}

int32_t qs_textmap_get(const struct qs_textmap *m, const char *text, size_t n)
{
    if (!m->slot)
        return -1;
    const struct qs_textslot *s = slot_of(m, text, n);
    return s->text ? s->value : -1;
}

static bool grow(struct qs_textmap *m)
{
    struct qs_textmap larger;
    if (!qs_textmap_init(&larger, m->room))
        return false;
    for (size_t i = 0; i < m->room; i++)
        if (m->slot[i].text)
            *slot_of(&larger, m->slot[i].text, m->slot[i].len) = m->slot[i];
    larger.n = m->n;
    qs_textmap_free(m);
    *m = larger;
    return true;
}

int32_t qs_textmap_put(struct qs_textmap *m, const char *text, size_t n, int32_t value)
{
    if ((m->n + 1) * 2 > m->room && !grow(m))
        return -1;
    struct qs_textslot *s = slot_of(m, text, n);
    if (!s->text) {
        *s = (struct qs_textslot){ text, (uint32_t)n, value };
        m->n++;
    }
    return s->value;
}

/* --- GPT-2's alphabet ----------------------------------------------------------------------------------------------
 * Bytes that are printable in Latin-1 are their own characters; the others follow one after the other from U+0100. */

static bool own_character(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

unsigned qs_byte_letter(unsigned char byte, char out[2])
{
    uint32_t cp = byte;
    if (!own_character(byte)) /* 0 to 0x20, 0x7F to 0xA0, 0xAD */
        cp = 0x100u + (byte <= 0x20 ? byte : byte <= 0xA0 ? byte - 0x7Fu + 33u : 67u);
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    out[0] = (char)(0xC0 | (cp >> 6));
    out[1] = (char)(0x80 | (cp & 0x3F));
    return 2;
}

int qs_letter_byte(uint32_t cp)
{
    if (cp < 0x100)
        return own_character(cp) ? (int)cp : -1;
    cp -= 0x100;
    return cp <= 0x20 ? (int)cp : cp < 67 ? (int)(cp - 33 + 0x7F) : cp == 67 ? 0xAD : -1;
}
