/* vocab.c - a vocabulary: what each token is, which end a generation, which are looked for in the text itself.
 *
 * Owns the data it was made of and the tables over it; nothing changes after qs_vocab_new. The rules by texts are
 * llama.cpp's: files often do not state what their tokens are for.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/ascii.h"
#include "base/mem.h"
#include "core/text/vocab_internal.h"

#define WARNINGS_MAX 8u

/* Texts by which a special token is found where the file does not state its id; the first that the vocabulary has. */
static const struct { enum qs_special special; const char *text; } known_specials[] = {
    { QS_SPECIAL_EOT, "<|eot_id|>" },
    { QS_SPECIAL_EOT, "<|im_end|>" },
    { QS_SPECIAL_EOT, "<|end|>" },
    { QS_SPECIAL_EOT, "<end_of_turn>" },
    { QS_SPECIAL_EOT, "<|endoftext|>" },
    { QS_SPECIAL_EOT, "<|end_of_text|>" },
    { QS_SPECIAL_EOT, "<EOT>" },
    { QS_SPECIAL_EOT, "_<EOT>" },
    { QS_SPECIAL_EOT, "[EOT]" },
    { QS_SPECIAL_EOT, "<\357\275\234end\342\226\201of\342\226\201sentence\357\275\234>" },
    { QS_SPECIAL_EOT, "<end_of_utterance>" },
    { QS_SPECIAL_EOM, "<|eom_id|>" },
    { QS_SPECIAL_FIM_PRE, "<|fim_prefix|>" },
    { QS_SPECIAL_FIM_PRE, "<fim-prefix>" },
    { QS_SPECIAL_FIM_PRE, "<fim_prefix>" },
    { QS_SPECIAL_FIM_PRE, "<\357\275\234fim\342\226\201begin\357\275\234>" },
    { QS_SPECIAL_FIM_PRE, "<PRE>" },
    { QS_SPECIAL_FIM_PRE, "\342\226\201<PRE>" },
    { QS_SPECIAL_FIM_PRE, "<|code_prefix|>" },
    { QS_SPECIAL_FIM_PRE, "<|prefix|>" },
    { QS_SPECIAL_FIM_SUF, "<|fim_suffix|>" },
    { QS_SPECIAL_FIM_SUF, "<fim-suffix>" },
    { QS_SPECIAL_FIM_SUF, "<fim_suffix>" },
    { QS_SPECIAL_FIM_SUF, "<\357\275\234fim\342\226\201hole\357\275\234>" },
    { QS_SPECIAL_FIM_SUF, "<SUF>" },
    { QS_SPECIAL_FIM_SUF, "\342\226\201<SUF>" },
    { QS_SPECIAL_FIM_SUF, "<|code_suffix|>" },
    { QS_SPECIAL_FIM_SUF, "<|suffix|>" },
    { QS_SPECIAL_FIM_MID, "<|fim_middle|>" },
    { QS_SPECIAL_FIM_MID, "<fim-middle>" },
    { QS_SPECIAL_FIM_MID, "<fim_middle>" },
    { QS_SPECIAL_FIM_MID, "<\357\275\234fim\342\226\201end\357\275\234>" },
    { QS_SPECIAL_FIM_MID, "<MID>" },
    { QS_SPECIAL_FIM_MID, "\342\226\201<MID>" },
    { QS_SPECIAL_FIM_MID, "<|code_middle|>" },
    { QS_SPECIAL_FIM_MID, "<|middle|>" },
    { QS_SPECIAL_FIM_PAD, "<|fim_pad|>" },
    { QS_SPECIAL_FIM_PAD, "<fim-pad>" },
    { QS_SPECIAL_FIM_PAD, "<fim_pad>" },
    { QS_SPECIAL_FIM_PAD, "<PAD>" },
    { QS_SPECIAL_FIM_PAD, "[PAD]" },
    { QS_SPECIAL_FIM_REP, "<|fim_repo|>" },
    { QS_SPECIAL_FIM_REP, "<|repo_name|>" },
    { QS_SPECIAL_FIM_REP, "<fim-repo>" },
    { QS_SPECIAL_FIM_REP, "<REPO>" },
    { QS_SPECIAL_FIM_REP, "<reponame>" },
    { QS_SPECIAL_FIM_SEP, "<|file_sep|>" },
};

/* Texts that end a generation. */
static const char *const eog_texts[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
    "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
    "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
    "<\357\275\234end\342\226\201of\342\226\201sentence\357\275\234>", "[e~[",
};

/* Marks inside an answer that are shown (gpt-oss). */
static const char *const shown_marks[] = { "<|channel|>", "<|message|>", "<|start|>", "<|constrain|>" };

/* --- small questions ---------------------------------------------------------------------------------------------- */

const struct qs_vocab_data *qs_vocab_source(const struct qs_vocab *v)
{
    return v->data;
}

size_t qs_vocab_size(const struct qs_vocab *v)
{
    return v->data->n_tokens;
}

static bool in_range(const struct qs_vocab *v, int32_t id)
{
    return id >= 0 && (size_t)id < v->data->n_tokens;
}

int32_t qs_vocab_special(const struct qs_vocab *v, enum qs_special s)
{
    return (unsigned)s < QS_SPECIALS ? v->special[s] : QS_NO_TOKEN;
}

size_t qs_vocab_rows(const struct qs_vocab *v, size_t rows)
{
    return rows < v->data->n_tokens ? rows : v->data->n_tokens;
}

bool qs_vocab_adds_bos(const struct qs_vocab *v)
{
    return v->add_bos && v->special[QS_SPECIAL_BOS] >= 0;
}

bool qs_vocab_adds_eos(const struct qs_vocab *v)
{
    return v->add_eos && v->special[QS_SPECIAL_EOS] >= 0;
}

bool qs_vocab_is_eog(const struct qs_vocab *v, int32_t id)
{
    return in_range(v, id) && v->eog[id];
}

int32_t qs_vocab_find(const struct qs_vocab *v, const char *text, size_t n)
{
    return qs_textmap_get(&v->ids, text, n);
}

const char *qs_vocab_warning(const struct qs_vocab *v, size_t i)
{
    return i < v->n_warnings ? v->warning[i] : NULL;
}

static void warn(struct qs_vocab *v, const char *fmt, ...) QS_PRINTF(2, 3);
static void warn(struct qs_vocab *v, const char *fmt, ...)
{
    if (v->n_warnings == WARNINGS_MAX)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(v->warning[v->n_warnings++], sizeof v->warning[0], fmt, ap);
    va_end(ap);
}

/* --- making it ---------------------------------------------------------------------------------------------------- */

void qs_vocab_free(struct qs_vocab *v)
{
    if (!v)
        return;
    qs_vocab_data_free(v->data);
    qs_textmap_free(&v->ids);
    qs_bpe_free(&v->bpe);
    qs_pre_free(v->pre);
    qs_free(v->trie);
    qs_free(v->attr);
    qs_free(v->eog);
    qs_free(v->warning);
    qs_free(v);
}

static const uint8_t attr_of_type[] = {
    [QS_TOKEN_NORMAL] = QS_ATTR_NORMAL, [QS_TOKEN_UNKNOWN] = QS_ATTR_UNKNOWN, [QS_TOKEN_CONTROL] = QS_ATTR_CONTROL,
    [QS_TOKEN_USER_DEFINED] = QS_ATTR_USER, [QS_TOKEN_UNUSED] = QS_ATTR_UNUSED, [QS_TOKEN_BYTE] = QS_ATTR_BYTE,
};

static int index_texts(struct qs_vocab *v, struct qs_err *e)
{
    const struct qs_vocab_data *d = v->data;
    size_t twice = 0;
    if (!qs_textmap_init(&v->ids, d->n_tokens))
        return qs_fail_mem(e, d->n_tokens, "a vocabulary");
    for (size_t i = 0; i < d->n_tokens; i++) {
        const struct qs_vocab_token *t = &d->token[i];
        int32_t id = qs_textmap_put(&v->ids, t->text, t->len, (int32_t)i);
        if (id < 0)
            return qs_fail_mem(e, d->n_tokens, "a vocabulary");
        twice += id != (int32_t)i;
        v->attr[i] = t->type < sizeof attr_of_type && t->type ? attr_of_type[t->type] : QS_ATTR_UNUSED;
        if (t->len > v->longest)
            v->longest = t->len;
    }
    if (twice)
        warn(v, "%zu tokens have the text of an earlier one, which is the one that counts", twice);
    return QS_OK;
}

static int32_t find_text(const struct qs_vocab *v, const char *text)
{
    return qs_textmap_get(&v->ids, text, strlen(text));
}

static void set_specials(struct qs_vocab *v)
{
    const struct qs_vocab_data *d = v->data;
    static const struct { enum qs_special special; int32_t id; } spm[] = {
        { QS_SPECIAL_BOS, 1 }, { QS_SPECIAL_EOS, 2 }, { QS_SPECIAL_UNK, 0 },
    };
    memcpy(v->special, d->special, sizeof v->special);
    for (size_t i = 0; i < sizeof spm / sizeof *spm && d->kind == QS_VOCAB_SPM; i++)
        if (v->special[spm[i].special] < 0 && in_range(v, spm[i].id))
            v->special[spm[i].special] = spm[i].id;
    bool stated[QS_SPECIALS];
    for (int s = 0; s < QS_SPECIALS; s++)
        stated[s] = v->special[s] >= 0;
    for (size_t i = 0; i < sizeof known_specials / sizeof *known_specials; i++) {
        int32_t id = find_text(v, known_specials[i].text), *to = &v->special[known_specials[i].special];
        if (stated[known_specials[i].special] || *to >= 0 || id < 0)
            continue;
        *to = id;
        v->attr[id] |= QS_ATTR_CONTROL;
    }
}

static void set_eog(struct qs_vocab *v)
{
    static const enum qs_special ending[] = { QS_SPECIAL_FIM_PAD, QS_SPECIAL_FIM_REP, QS_SPECIAL_FIM_SEP,
                                              QS_SPECIAL_EOS, QS_SPECIAL_EOT, QS_SPECIAL_EOM };
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        if (in_range(v, v->special[ending[i]]))
            v->eog[v->special[ending[i]]] = 1;
    for (size_t i = 0; i < sizeof eog_texts / sizeof *eog_texts; i++) {
        int32_t id = find_text(v, eog_texts[i]);
        if (id < 0)
            continue;
        v->eog[id] = 1;
        v->attr[id] |= QS_ATTR_CONTROL;
    }
    for (size_t i = 0; i < sizeof shown_marks / sizeof *shown_marks; i++) {
        int32_t id = find_text(v, shown_marks[i]);
        if (id >= 0)
            v->attr[id] = QS_ATTR_USER;
    }
}

static bool ends(const struct qs_vocab *v, const char *text)
{
    return qs_vocab_is_eog(v, find_text(v, text));
}

/* Where a vocabulary has other tokens for it, these do not end a generation. */
static void mend_eog(struct qs_vocab *v)
{
    bool calls = ends(v, "<|call|>") || ends(v, "<|calls|>");
    int32_t end = find_text(v, "<|end|>"), s = find_text(v, "</s>");
    if (qs_vocab_is_eog(v, end) && calls && (ends(v, "<|return|>") || ends(v, "<|flush|>"))) {
        v->eog[end] = 0; /* gpt-oss: the end of one message, more may follow */
        v->attr[end] = QS_ATTR_USER;
    }
    if (qs_vocab_is_eog(v, s) && (ends(v, "<|tool_response>") || ends(v, "<|plamo:eos|>"))) {
        v->eog[s] = 0;
        v->attr[s] = QS_ATTR_NORMAL;
    }
    for (size_t i = 0; i < v->data->n_eog; i++)
        if (in_range(v, v->data->eog[i]))
            v->eog[v->data->eog[i]] = 1;
}

static bool contains(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (; *text; text++) {
        size_t i = 0;
        while (i < n && text[i] && (text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]) == word[i])
            i++;
        if (i == n)
            return true;
    }
    return false;
}

/* Phi-3's control tokens swallow the white space behind them, which GGUF cannot state. */
static void phi3_strips(struct qs_vocab *v)
{
    static const char *const not[] = { "<unk>", "<s>", "<|endoftext|>" };
    if (v->data->kind != QS_VOCAB_SPM ||
        (!contains(v->data->name, "phi-3") && !contains(v->data->name, "phi3") && strcmp(v->data->arch, "phi3") != 0))
        return;
    for (size_t i = 0; i < v->data->n_tokens; i++)
        if (v->attr[i] & QS_ATTR_IN_TEXT)
            v->attr[i] |= QS_ATTR_RSTRIP;
    int32_t id = find_text(v, "</s>");
    if (id >= 0)
        v->attr[id] |= QS_ATTR_RSTRIP;
    for (size_t i = 0; i < sizeof not / sizeof *not; i++)
        if ((id = find_text(v, not[i])) >= 0)
            v->attr[id] &= (uint8_t)~QS_ATTR_RSTRIP;
}

/* Bytes that no text covers: "<0xHH>", or a token of the byte itself. */
static void find_bytes(struct qs_vocab *v)
{
    for (unsigned i = 0; i < 256; i++) {
        char text[8];
        const char itself = (char)i;
        snprintf(text, sizeof text, "<0x%02X>", i);
        v->byte_id[i] = find_text(v, text);
        if (v->byte_id[i] < 0 && v->data->kind == QS_VOCAB_SPM)
            v->byte_id[i] = qs_textmap_get(&v->ids, &itself, 1);
        if (v->byte_id[i] < 0 && v->data->kind == QS_VOCAB_SPM)
            v->byte_id[i] = v->special[QS_SPECIAL_UNK];
    }
}

static int32_t trie_child(const struct qs_vocab *v, int32_t node, unsigned char byte)
{
    int32_t c = v->trie[node].child;
    while (c >= 0 && v->trie[c].byte != byte)
        c = v->trie[c].sibling;
    return c;
}

static int32_t trie_add(struct qs_vocab *v, int32_t parent, unsigned char byte)
{
    if (!qs_grow(&v->trie, &v->trie_cap, v->n_trie + 1, sizeof *v->trie))
        return -1;
    int32_t at = (int32_t)v->n_trie++;
    v->trie[at] = (struct qs_trie_node){ -1, -1, QS_NO_TOKEN, byte };
    if (parent >= 0) {
        v->trie[at].sibling = v->trie[parent].child;
        v->trie[parent].child = at;
    }
    return at;
}

static int build_trie(struct qs_vocab *v, struct qs_err *e)
{
    if (trie_add(v, -1, 0) < 0)
        return qs_fail_mem(e, sizeof *v->trie, "a vocabulary");
    for (size_t i = 0; i < v->data->n_tokens; i++) {
        const struct qs_vocab_token *t = &v->data->token[i];
        if (!(v->attr[i] & QS_ATTR_IN_TEXT))
            continue;
        int32_t node = 0;
        for (uint32_t k = 0; k < t->len && node >= 0; k++) {
            int32_t child = trie_child(v, node, (unsigned char)t->text[k]);
            node = child >= 0 ? child : trie_add(v, node, (unsigned char)t->text[k]);
        }
        if (node < 0)
            return qs_fail_mem(e, v->n_trie * sizeof *v->trie, "a vocabulary");
        if (v->trie[node].token < 0)
            v->trie[node].token = (int32_t)i;
        v->trie_first[(unsigned char)t->text[0]] = true;
    }
    return QS_OK;
}

/* The pre-tokenizer and what hangs on its name. */
static int set_bpe(struct qs_vocab *v, struct qs_err *e)
{
    const struct qs_vocab_data *d = v->data;
    const char *name = strcmp(d->model, "gemma4") == 0 ? "gemma4" : d->pre[0] ? d->pre : "default";
    v->pre_name = qs_pre_find(name);
    if (!d->pre[0] && v->raw == false && strcmp(name, "default") == 0)
        warn(v, "the file does not name its pre-tokenizer (tokenizer.ggml.pre): taken as 'default', tokens may differ");
    if (!v->pre_name) {
        warn(v, "the pre-tokenizer '%s' (tokenizer.ggml.pre) is not known: taken as 'default', tokens may differ",
             name);
        v->pre_name = qs_pre_names;
        v->ignore_merges = d->ignore_merges == 1;
    }
    const unsigned flags = v->pre_name->flags;
    v->raw = flags & QS_PRE_RAW;
    v->whole_newlines = flags & QS_PRE_NEWLINES;
    v->ignore_merges = v->ignore_merges || (flags & QS_PRE_IGNORE_MERGES);
    v->add_bos = flags & QS_PRE_FORCE_BOS || (d->add_bos == QS_UNSTATED ? flags & QS_PRE_ADD_BOS : d->add_bos == 1);
    return qs_pre_new(v->pre_name, &v->pre, e);
}

static int set_up(struct qs_vocab *v, struct qs_err *e)
{
    const struct qs_vocab_data *d = v->data;
    int rc = index_texts(v, e);
    if (rc != QS_OK)
        return rc;
    if (d->warning[0])
        warn(v, "%.190s", d->warning);
    set_specials(v);
    set_eog(v);
    mend_eog(v);
    phi3_strips(v);
    find_bytes(v);
    v->add_eos = d->add_eos == 1;
    if (d->kind == QS_VOCAB_SPM) {
        v->add_bos = d->add_bos != 0;
        v->space_prefix = d->add_space_prefix != 0;
        v->raw = true;
        if (!d->has_scores)
            warn(v, "the file has no scores for its tokens: texts are split wherever two tokens join");
    } else if ((rc = set_bpe(v, e)) == QS_OK) {
        rc = qs_bpe_build(v, e);
    }
    return rc == QS_OK ? build_trie(v, e) : rc;
}

int qs_vocab_new(struct qs_vocab_data *data, struct qs_vocab **out, struct qs_err *e)
{
    *out = NULL;
    struct qs_vocab *v = qs_calloc(1, sizeof *v);
    if (!v) {
        qs_vocab_data_free(data);
        return qs_fail_mem(e, sizeof *v, "a vocabulary");
    }
    v->data = data;
    v->attr = qs_calloc(data->n_tokens, 1);
    v->eog = qs_calloc(data->n_tokens, 1);
    v->warning = qs_calloc(WARNINGS_MAX, sizeof *v->warning);
    int rc = v->attr && v->eog && v->warning ? set_up(v, e) : qs_fail_mem(e, data->n_tokens, "a vocabulary");
    if (rc != QS_OK) {
        qs_vocab_free(v);
        return rc;
    }
    *out = v;
    return QS_OK;
}
