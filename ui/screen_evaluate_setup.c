/* screen_evaluate_setup.c - what is to be evaluated: a list of fields with their values, what it will take, and the
 * start.
 *
 * One table has all fields. Texts used before are offered: those of this session, then those of the history.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/model/need.h"
#include "ui/evaluate.h"

enum kind { ONE_OF, NUMBER, TEXT_FILE, MODEL_FILE };

static const struct {
    const char *name, *label, *help;
    enum kind kind;
    const char *words;  /* ONE_OF: the values, separated by blanks */
} fields[EVALUATE_FIELDS] = {
    [EVALUATE_WHAT] = { "what", "what", "what is measured, and against what", ONE_OF, "alone candidate file against" },
    [EVALUATE_FILE] = { "file", "the other file", "for \"file\" and \"against\"", MODEL_FILE, NULL },
    [EVALUATE_TEXT] = { "text", "text", "what the models read", TEXT_FILE, NULL },
    [EVALUATE_CTX] = { "ctx", "tokens of a window", 
                       "a number, or auto: 512, or the model's context where that is shorter", NUMBER, "auto" },
    [EVALUATE_CHUNKS] = { "chunks", "windows", "the first so many, or all", NUMBER, "all" },
    [EVALUATE_PRECISION] = { "precision", "precision", "of activations", ONE_OF, "exact fast" },
    [EVALUATE_CACHE] = { "cache", "type of the cache", "of keys and values", ONE_OF, "F16 F32 Q8_0 Q4_0" },
    [EVALUATE_ROTATE] = { "rotate", "rotate the cache", "before it is stored", ONE_OF, "off on" },
    [EVALUATE_HELD_OUT] = { "held-out", "held-out text", "measured too: do candidates change ranks?", TEXT_FILE, NULL },
    [EVALUATE_CALIBRATION] = { "calibration", "calibration text", "to warn where the text stands in it",
                               TEXT_FILE, NULL },
    [EVALUATE_NOISE] = { "noise", "noise floor", "what the arithmetic alone changes", ONE_OF, "on off" },
};

const char *evaluate_field_name(enum evaluate_field f) { return fields[f].name; }

/* ---- values ---- */

static char **file_of(struct evaluate *v, enum evaluate_field f)
{
    return f == EVALUATE_FILE ? &v->file : f == EVALUATE_TEXT ? &v->text : f == EVALUATE_HELD_OUT ? &v->held_out
                                                                                                 : &v->calibration;
}

static size_t word_count(const char *words)
{
    size_t n = *words != 0;
    for (const char *p = words; *p; p++)
        n += *p == ' ';
    return n;
}

static void word_at(const char *words, size_t i, char *out, size_t n)
{
    for (; i && *words; words++)
        i -= *words == ' ';
    snprintf(out, n, "%.*s", (int)strcspn(words, " "), words);
}

/* Which of its words a field has now. */
static size_t word_now(const struct evaluate *v, enum evaluate_field f)
{
    static const int caches[] = { QS_F16, QS_F32, QS_Q8_0, QS_Q4_0 };
    size_t k = 0;
    switch (f) {
    case EVALUATE_WHAT: return (size_t)v->q.what;
    case EVALUATE_PRECISION: return v->q.precision == QS_FAST;
    case EVALUATE_ROTATE: return v->q.cache.rotate;
    case EVALUATE_NOISE: return !v->q.noise;
    case EVALUATE_CACHE:
        while (k < 3 && caches[k] != v->q.cache.type_k)
            k++;
        return k;
    default: return 0;
    }
}

static void set_word(struct evaluate *v, enum evaluate_field f, size_t i)
{
    static const int caches[] = { QS_F16, QS_F32, QS_Q8_0, QS_Q4_0 };
    switch (f) {
    case EVALUATE_WHAT: v->q.what = (enum qs_eval_what)i; break;
    case EVALUATE_PRECISION: v->q.precision = i ? QS_FAST : QS_EXACT; break;
    case EVALUATE_ROTATE: v->q.cache.rotate = i == 1; break;
    case EVALUATE_NOISE: v->q.noise = i == 0; break;
    case EVALUATE_CACHE: v->q.cache.type_k = v->q.cache.type_v = caches[i]; break;
    default: break;
    }
}

static size_t *number_of(struct evaluate *v, enum evaluate_field f)
{
    return f == EVALUATE_CTX ? &v->q.n_ctx : &v->q.n_windows;
}

static bool needs_file(const struct evaluate *v)
{
    return v->q.what == QS_EVAL_FILE || v->q.what == QS_EVAL_AGAINST;
}

static void show_what(struct qs_app *a, struct qs_str *out)
{
    const struct evaluate *v = evaluate_of(a);
    const struct qs_doc *d = qs_app_doc(a);
    const char *own = d ? qs_path_base(d->model->path) : "the model";
    const char *file = v->file ? qs_path_base(v->file) : "a file";
    switch (v->q.what) {
    case QS_EVAL_ALONE: qs_str_addf(out, "%s alone", own); break;
    case QS_EVAL_CANDIDATE:
        qs_str_addf(out, "candidate%s%s%s, against %s", d ? " " : "", d ? d->recipe->preset->name : "",
                    d && d->recipe->n_pins + d->recipe->n_rules ? " with its rules" : "", own);
        break;
    case QS_EVAL_FILE: qs_str_addf(out, "%s, against %s", file, own); break;
    case QS_EVAL_AGAINST: qs_str_addf(out, "%s, against %s", own, file); break;
    }
}

static void show(struct qs_app *a, enum evaluate_field f, struct qs_str *out)
{
    struct evaluate *v = evaluate_of(a);
    char word[32];
    if (f == EVALUATE_WHAT) {
        show_what(a, out);
    } else if (fields[f].kind == ONE_OF) {
        word_at(fields[f].words, word_now(v, f), word, sizeof word);
        qs_str_add(out, word);
    } else if (fields[f].kind == NUMBER) {
        if (*number_of(v, f))
            qs_str_addf(out, "%zu", *number_of(v, f));
        else
            qs_str_add(out, fields[f].words);
    } else {
        const char *path = *file_of(v, f);
        qs_text_clean(out, path ? path : f == EVALUATE_TEXT ? "none yet: t chooses one" : "none", qs_app_ascii(a));
    }
}

/* ---- changing ---- */

static void remember(struct evaluate *v, const char *path)
{
    char *own = qs_strdup(path);
    size_t i = 0;
    if (!own)
        return;
    while (i < v->n_recent && strcmp(v->recent[i], path) != 0)
        i++;
    if (i == EVALUATE_RECENT)
        i--;
    if (i < v->n_recent)
        qs_free(v->recent[i]);
    else
        v->n_recent++;
    memmove(v->recent + 1, v->recent, i * sizeof *v->recent);
    v->recent[0] = own;
}

static void set_file(struct qs_app *a, enum evaluate_field f, const char *value)
{
    struct evaluate *v = evaluate_of(a);
    struct qs_str path = QS_STR_INIT;
    struct qs_file_stat st;
    struct qs_err e = QS_ERR_INIT;
    char *own = NULL;
    if (*value && strcmp(value, "none") != 0) {
        qs_app_expand_home(value, &path);
        if (path.failed || !(own = qs_str_take(&path))) {
            qs_app_warn(a, "out of memory");
            qs_str_free(&path);
            return;
        }
        const int rc = qs_file_stat(own, &st, &e);
        if (rc || (fields[f].kind == TEXT_FILE && !st.is_regular)) {
            if (rc)
                qs_app_fail(a, &e);
            else
                qs_app_warn(a, "%s is no file of text", own);
            qs_free(own);
            return;
        }
    }
    qs_free(*file_of(v, f));
    *file_of(v, f) = own;
    if (own && fields[f].kind == TEXT_FILE)
        remember(v, own);
    if (own && f == EVALUATE_FILE && !needs_file(v))
        v->q.what = QS_EVAL_FILE;
}

static bool set_number(struct qs_app *a, enum evaluate_field f, const char *value)
{
    char *end;
    const unsigned long least = f == EVALUATE_CTX ? 4 : 1, most = f == EVALUATE_CTX ? 1ul << 20 : 1ul << 30;
    const unsigned long n = strtoul(value, &end, 10);
    const bool word = strcmp(value, fields[f].words) == 0;
    if (!word && (*value < '0' || *value > '9' || *end || n < least || n > most)) {
        qs_app_warn(a, "%s: a number from %lu to %lu is expected, or %s", fields[f].name, least, most, fields[f].words);
        return false;
    }
    *number_of(evaluate_of(a), f) = word ? 0 : (size_t)n;
    return true;
}

static bool set_one_of(struct qs_app *a, enum evaluate_field f, const char *value)
{
    char word[32];
    for (size_t i = 0; i < word_count(fields[f].words); i++) {
        word_at(fields[f].words, i, word, sizeof word);
        if (strcmp(word, value) == 0) {
            set_word(evaluate_of(a), f, i);
            return true;
        }
    }
    qs_app_warn(a, "%s: %.40s is none of: %s", fields[f].name, value, fields[f].words);
    return false;
}

void evaluate_set(struct qs_app *a, enum evaluate_field f, const char *value)
{
    if (fields[f].kind == ONE_OF)
        set_one_of(a, f, value);
    else if (fields[f].kind == NUMBER)
        set_number(a, f, value);
    else
        set_file(a, f, value);
    evaluate_of(a)->fields.cursor = f;
}

void evaluate_set_named(struct qs_app *a, const char *arg)
{
    const size_t n = strcspn(arg, " =");
    const char *value = arg + n + strspn(arg + n, " =");
    for (int f = 0; f < EVALUATE_FIELDS; f++)
        if (strlen(fields[f].name) == n && strncmp(fields[f].name, arg, n) == 0) {
            if (!*value)
                qs_app_say(a, "%s: %s", fields[f].name, fields[f].help);
            else
                evaluate_set(a, (enum evaluate_field)f, value);
            return;
        }
    qs_app_warn(a, "there is no setting %.*s: what, file, text, ctx, chunks, precision, cache, rotate, held-out, "
                "calibration, noise", (int)(n < 40 ? n : 40), arg);
}

static void typed(struct qs_app *a, const char *text, void *ctx)
{
    evaluate_set(a, (enum evaluate_field)(uintptr_t)ctx, text);
}

static void prompt(struct qs_app *a, enum evaluate_field f)
{
    struct evaluate *v = evaluate_of(a);
    const bool file = fields[f].kind != NUMBER;
    char label[64], number[32];
    snprintf(number, sizeof number, "%zu", file ? 0 : *number_of(v, f));
    snprintf(label, sizeof label, "%s: ", fields[f].label);
    const char *now = file ? *file_of(v, f) : *number_of(v, f) ? number : "";
    qs_app_prompt(a, label, now, file ? QS_ARG_FILE : QS_ARG_TEXT, NULL, typed, (void *)(uintptr_t)f);
}

/* Texts that were used before, behind "another file" (and "none" where the field may be empty). */
static void recent_item(struct qs_app *a, size_t i, struct qs_app_item *out, void *ctx)
{
    const struct evaluate *v = evaluate_of(a);
    const bool none = (enum evaluate_field)(uintptr_t)ctx != EVALUATE_TEXT;
    if (i == 0)
        snprintf(out->label, sizeof out->label, "another file ...");
    else if (none && i == 1)
        snprintf(out->label, sizeof out->label, "none");
    else if (i - 1 - none < v->n_recent)
        snprintf(out->label, sizeof out->label, "%s", v->recent[i - 1 - none]);
}

static void recent_picked(struct qs_app *a, size_t i, void *ctx)
{
    const struct evaluate *v = evaluate_of(a);
    const enum evaluate_field f = (enum evaluate_field)(uintptr_t)ctx;
    const bool none = f != EVALUATE_TEXT;
    if (i == 0)
        prompt(a, f);
    else if (none && i == 1)
        evaluate_set(a, f, "none");
    else if (i - 1 - none < v->n_recent) {
        char *own = qs_strdup(v->recent[i - 1 - none]); /* the list changes meanwhile */
        if (own)
            evaluate_set(a, f, own);
        qs_free(own);
    }
}

static void recall_texts(struct qs_app *a)
{
    struct evaluate *v = evaluate_of(a);
    evaluate_history_refresh(a);
    for (size_t i = v->history ? v->history->n : 0; i-- > 0 && v->n_recent < EVALUATE_RECENT;) {
        const char *path = v->history->run[i].text;
        bool have = !path || !path[0] || !qs_file_exists(path);
        for (size_t k = 0; k < v->n_recent; k++)
            have = have || strcmp(v->recent[k], path) == 0;
        if (!have && (v->recent[v->n_recent] = qs_strdup(path)))
            v->n_recent++;
    }
}

static void pick_text(struct qs_app *a, enum evaluate_field f)
{
    struct evaluate *v = evaluate_of(a);
    const size_t more = f != EVALUATE_TEXT ? 2 : 1;
    recall_texts(a);
    if (!v->n_recent) {
        prompt(a, f);
        return;
    }
    qs_app_pick(a, &(struct qs_app_list){ .title = f == EVALUATE_TEXT ? "Texts used before" : fields[f].label,
                                          .n = v->n_recent + more, .keep_order = true },
                recent_item, recent_picked, (void *)(uintptr_t)f);
}

static void what_item(struct qs_app *a, size_t i, struct qs_app_item *out, void *ctx)
{
    static const char *const means[] = { "the open model: perplexity", "what the recipe makes of it, against it",
                                         "another file, against the open model",
                                         "the open model, against another file" };
    (void)ctx;
    word_at(fields[EVALUATE_WHAT].words, i, out->label, sizeof out->label);
    snprintf(out->detail[0], sizeof out->detail[0], "%s", means[i]);
    out->current = (size_t)evaluate_of(a)->q.what == i;
}

static void what_picked(struct qs_app *a, size_t i, void *ctx)
{
    struct evaluate *v = evaluate_of(a);
    (void)ctx;
    v->q.what = (enum qs_eval_what)i;
    if (needs_file(v) && !v->file)
        prompt(a, EVALUATE_FILE);
}

void evaluate_change(struct qs_app *a, enum evaluate_field f)
{
    struct evaluate *v = evaluate_of(a);
    if (f == EVALUATE_WHAT)
        qs_app_pick(a, &(struct qs_app_list){ .title = "What is measured", .n = word_count(fields[f].words),
                                              .first = (size_t)v->q.what, .keep_order = true },
                    what_item, what_picked, NULL);
    else if (fields[f].kind == ONE_OF)
        set_word(v, f, (word_now(v, f) + 1) % word_count(fields[f].words));
    else if (fields[f].kind == TEXT_FILE)
        pick_text(a, f);
    else
        prompt(a, f);
}

void evaluate_start(struct qs_app *a)
{
    struct evaluate *v = evaluate_of(a);
    struct qs_err e = QS_ERR_INIT;
    v->q.file = needs_file(v) ? v->file : NULL;
    v->q.text = v->text;
    v->q.held_out = v->held_out;
    v->q.calibration = v->calibration;
    v->q.remember = !qs_app_private(a);
    if (qs_workbench_eval_start(qs_app_bench(a), &v->q, NULL, &e))
        qs_app_fail(a, &e);
    else
        v->view = EVALUATE_PROGRESS;
}

/* Another document: what can be compared is another thing, files stay chosen. */
void evaluate_document(struct qs_app *a)
{
    struct evaluate *v = evaluate_of(a);
    const struct qs_doc *d = qs_app_doc(a);
    v->candidate.doc = UINT64_MAX;
    if (!needs_file(v))
        v->q.what = d && qs_model_is_quantized(d->model) ? QS_EVAL_ALONE : QS_EVAL_CANDIDATE;
}

/* ---- what it takes ---- */

static const struct qs_candidate_need *candidate_need(struct qs_app *a, struct qs_err *e)
{
    struct evaluate *v = evaluate_of(a);
    const struct qs_doc_candidate *c = qs_workbench_candidate(qs_app_bench(a));
    if (v->candidate.doc != qs_app_doc(a)->version || v->candidate.candidate != c->version ||
        v->candidate.number != v->number || v->candidate.rc) {
        v->candidate.rc = qs_workbench_eval_need(qs_app_bench(a), &v->candidate.need, e);
        v->candidate.doc = qs_app_doc(a)->version;
        v->candidate.candidate = c->version;
        v->candidate.number = v->number;
    }
    return v->candidate.rc ? NULL : &v->candidate.need;
}

/* Caches, buffers of a batch of 256 tokens, hidden states of a window, rows of logits: from the headers of the
 * document's model; what it really is stands with the run. */
static uint64_t working(const struct qs_model *m, const struct evaluate *v)
{
    const uint64_t train = m->hp.n_ctx, usual = train && train < 512 ? train : 512;
    const uint64_t ctx = v->q.n_ctx ? v->q.n_ctx : usual, sides = v->q.what == QS_EVAL_ALONE ? 1 : 2;
    const uint64_t floats = 256 * (7 * m->hp.n_embd + 2 * m->hp.n_ff) + ctx * m->hp.n_embd + 128 * m->hp.n_vocab;
    return sides * (qs_need_kv_cache(m, ctx, v->q.cache.type_k) + floats * sizeof(float));
}

static void tell_candidate(struct qs_app *a, struct qs_str *out)
{
    struct qs_err e = QS_ERR_INIT;
    char scratch[24], free_disk[24], make[24], heap[24];
    const struct qs_candidate_need *n = candidate_need(a, &e);
    if (!n) {
        qs_str_add(out, "The candidate cannot be made: ");
        qs_text_clean(out, e.msg, qs_app_ascii(a));
        qs_str_addc(out, '\n');
    } else if (!n->to_make) {
        qs_str_add(out, "The candidate is there.\n");
    } else {
        qs_str_addf(out, "The candidate is made first: %s in scratch files (%s free), %s of memory meanwhile, %s of it "
                    "stays.\n",
                    qs_fmt_bytes(scratch, sizeof scratch, n->scratch),
                    qs_fmt_bytes(free_disk, sizeof free_disk, n->free_disk),
                    qs_fmt_bytes(make, sizeof make, n->working + n->heap), qs_fmt_bytes(heap, sizeof heap, n->heap));
    }
}

static void tell_need(struct qs_app *a, struct qs_str *out)
{
    const struct evaluate *v = evaluate_of(a);
    const struct qs_model *m = qs_app_doc(a)->model;
    const struct qs_machine_memory mem = qs_machine_memory();
    struct qs_file_stat st;
    struct qs_err e = QS_ERR_INIT;
    char weights[24], work[24], have[24], text[24];
    uint64_t bytes = m->bytes;
    if (v->q.what == QS_EVAL_CANDIDATE)
        tell_candidate(a, out);
    if (needs_file(v) && v->file && !qs_file_stat(v->file, &st, &e) && st.is_regular)
        bytes += st.size;
    qs_str_addf(out, "Weights: %s mapped from files. Caches and buffers: about %s",
                qs_fmt_bytes(weights, sizeof weights, bytes), qs_fmt_bytes(work, sizeof work, working(m, v)));
    if (mem.available)
        qs_str_addf(out, "; %s are free", qs_fmt_bytes(have, sizeof have, mem.available));
    qs_str_add(out, ".\n");
    if (v->text && !qs_file_stat(v->text, &st, &e))
        qs_str_addf(out, "The text has %s. ", qs_fmt_bytes(text, sizeof text, st.size));
    qs_str_add(out, "How long it takes is told from the first window on.\n");
}

/* ---- drawing ---- */

int evaluate_setup_rows(void) { return EVALUATE_FIELDS + 6; }

static void draw_field(struct qs_app *a, const struct qs_canvas *c, int y, enum evaluate_field f, bool focus)
{
    const struct evaluate *v = evaluate_of(a);
    const bool here = v->fields.cursor == (size_t)f, idle = f == EVALUATE_FILE && !needs_file(v);
    const int cols = qs_canvas_cols(c), label = cols >= 50 ? 20 : cols / 3;
    const struct qs_style style = qs_app_look(a, here && focus ? QS_LOOK_CURSOR : here ? QS_LOOK_CURSOR_AWAY
                                              : idle ? QS_LOOK_MUTED : QS_LOOK_TEXT);
    struct qs_str value = QS_STR_INIT;
    show(a, f, &value);
    qs_draw_fill(c, (struct qs_rect){ y, 0, 1, cols }, style);
    qs_draw_text(c, y, 0, style, here ? ">" : " ", 1);
    qs_draw_fit(c, y, 2, style, fields[f].label, label - 1, QS_FIT_LEFT);
    const int room = cols - label - 2, help = room >= 70 ? 36 : 0;
    qs_draw_fit(c, y, label + 2, style, value.failed ? "" : value.data, room - help,
                fields[f].kind == ONE_OF ? QS_FIT_LEFT : QS_FIT_MIDDLE);
    if (help && !here)
        qs_draw_fit(c, y, cols - help + 1, qs_app_look(a, QS_LOOK_MUTED), fields[f].help, help - 1, QS_FIT_LEFT);
    else if (help)
        qs_draw_fit(c, y, cols - help + 1, style, fields[f].help, help - 1, QS_FIT_LEFT);
    qs_str_free(&value);
}

void evaluate_setup_draw(struct qs_app *a, const struct qs_canvas *c, bool focus)
{
    struct evaluate *v = evaluate_of(a);
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    qs_list_set(&v->fields, EVALUATE_FIELDS, (size_t)(rows > 0 ? rows : 1));
    v->fields.at = (struct qs_rect){ c->at.y, c->at.x, rows < EVALUATE_FIELDS ? rows : EVALUATE_FIELDS, cols };
    for (int y = 0; y < rows && v->fields.top + (size_t)y < EVALUATE_FIELDS; y++)
        draw_field(a, c, y, (enum evaluate_field)(v->fields.top + (size_t)y), focus);
    if (rows <= EVALUATE_FIELDS + 1 || !qs_app_doc(a))
        return;
    struct qs_str need = QS_STR_INIT;
    tell_need(a, &need);
    const struct qs_rect below = { EVALUATE_FIELDS + 1, 1, rows - EVALUATE_FIELDS - 1, cols - 1 };
    const struct qs_canvas rest = qs_canvas_part(c, below);
    if (!need.failed)
        qs_draw_wrapped(&rest, 0, 0, 2, qs_app_look(a, QS_LOOK_MUTED), need.data);
    qs_str_free(&need);
}
