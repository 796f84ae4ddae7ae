/* screen_calibrate_setup.c - what is to be calibrated: texts with their weights, a list of settings, what it will take
 * and of what the text is mixed, and the start.
 *
 * One table has all settings. What it takes is found out by a job of the workbench whenever a setting changed, and shown
 * by screen_calibrate_outlook.c.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "ui/calibrate.h"

enum kind { ON_OFF, WORD, NUMBER, SHARE, SIZE, FILE_IN, FILE_OUT };

static const struct {
    const char *name, *label, *help;
    enum kind kind;
    const char *word;   /* what nothing means */
    double least, most; /* NUMBER, SHARE */
} fields[CALIBRATE_FIELDS] = {
    [CALIBRATE_WINDOWS] = { "windows", "windows", "how many, held-out ones included", NUMBER, "160", 1, 1e6 },
    [CALIBRATE_CTX] = { "ctx", "tokens of a window", "at most the model's context", NUMBER, "512", 4, 1 << 20 },
    [CALIBRATE_HELD_OUT] = { "held-out", "held out", "share that methods are judged on", SHARE, "10%", 0, 50 },
    [CALIBRATE_SEED] = { "seed", "seed", "which windows are drawn", NUMBER, "0", 0, 1e15 },
    [CALIBRATE_SPECIAL] = { "special", "special tokens", "marks in plain text are such tokens", ON_OFF, NULL, 0, 0 },
    [CALIBRATE_EVALUATION] = { "evaluation", "evaluation text", "to warn where it overlaps", FILE_IN, "none", 0, 0 },
    [CALIBRATE_STATISTICS] = { "statistics", "statistics", "a file instead of the text", FILE_IN, "collect", 0, 0 },
    [CALIBRATE_ERRORS] = { "errors", "errors of all types", "what each type costs each tensor", ON_OFF, NULL, 0, 0 },
    [CALIBRATE_PRECISION] = { "precision", "precision", "of collecting; any: exact with errors, else fast", WORD, NULL,
                              0, 0 },
    [CALIBRATE_SWAPS] = { "swaps", "swap windows", "measure KLD of single tensors, for budgets", NUMBER, "off", 1,
                          1e5 },
    [CALIBRATE_ENCODE] = { "encode", "encode the recipe", "or statistics alone", ON_OFF, NULL, 0, 0 },
    [CALIBRATE_GPTQ] = { "gptq", "GPTQ", "error feedback by column", ON_OFF, NULL, 0, 0 },
    [CALIBRATE_AWQ] = { "awq", "AWQ", "scales folded into the layer before", ON_OFF, NULL, 0, 0 },
    [CALIBRATE_HQQ] = { "hqq", "HQQ", "fit of scale and zero without text", ON_OFF, NULL, 0, 0 },
    [CALIBRATE_CORRECT] = { "correct", "correct inputs", "make up for layers before", ON_OFF, NULL, 0, 0 },
    [CALIBRATE_HEAD] = { "head", "the head too", "output or tied embedding", ON_OFF, NULL, 0, 0 },
    [CALIBRATE_MEMORY] = { "memory", "memory at most", "else states go to disk", SIZE, "half of what is free", 0, 0 },
    [CALIBRATE_OUT] = { "out", "statistics to", "an importance matrix and more", FILE_OUT, "beside the model", 0, 0 },
    [CALIBRATE_STORE] = { "store", "weights to", "encoded tensors, the journal", FILE_OUT, "beside the model", 0, 0 },
};

size_t calibrate_rows(const struct calibrate *v) { return v->n_text + 1 + CALIBRATE_FIELDS; }

/* ---- values ---- */

static bool *flag_of(struct calibrate *v, enum calibrate_field f)
{
    switch (f) {
    case CALIBRATE_SPECIAL: return &v->q.special;
    case CALIBRATE_ERRORS: return &v->q.errors;
    case CALIBRATE_ENCODE: return &v->q.encode;
    case CALIBRATE_GPTQ: return &v->q.methods.gptq;
    case CALIBRATE_AWQ: return &v->q.methods.awq;
    case CALIBRATE_HQQ: return &v->q.methods.hqq;
    case CALIBRATE_CORRECT: return &v->q.methods.correct;
    default: return &v->q.methods.head;
    }
}

static char **file_of(struct calibrate *v, enum calibrate_field f)
{
    return &v->file[f == CALIBRATE_EVALUATION ? 0 : f == CALIBRATE_STATISTICS ? 1 : f == CALIBRATE_OUT ? 2 : 3];
}

static double number_of(const struct calibrate *v, enum calibrate_field f)
{
    switch (f) {
    case CALIBRATE_WINDOWS: return (double)v->q.n_windows;
    case CALIBRATE_CTX: return (double)v->q.n_ctx;
    case CALIBRATE_SEED: return (double)v->q.seed;
    case CALIBRATE_SWAPS: return (double)v->q.swap_windows;
    case CALIBRATE_MEMORY: return (double)v->q.memory;
    default: return v->q.held_out < 0 ? 0 : 100 * v->q.held_out;
    }
}

static void set_number(struct calibrate *v, enum calibrate_field f, double n)
{
    switch (f) {
    case CALIBRATE_WINDOWS: v->q.n_windows = (size_t)n; break;
    case CALIBRATE_CTX: v->q.n_ctx = (size_t)n; break;
    case CALIBRATE_SEED: v->q.seed = (uint64_t)n; break;
    case CALIBRATE_SWAPS: v->q.swap_windows = (size_t)n; break;
    case CALIBRATE_MEMORY: v->q.memory = (uint64_t)n; break;
    default: v->q.held_out = n < 0 ? -1 : n / 100; break;
    }
}

static bool is_idle(const struct calibrate *v, enum calibrate_field f)
{
    return (f >= CALIBRATE_GPTQ && f <= CALIBRATE_HEAD && !v->q.encode) || (f == CALIBRATE_STORE && !v->q.encode) ||
           ((f == CALIBRATE_OUT || f == CALIBRATE_PRECISION) && v->file[1]);
}

static void show(struct qs_app *a, enum calibrate_field f, struct qs_str *out)
{
    struct calibrate *v = calibrate_of(a);
    char size[24];
    const char *path;
    switch (fields[f].kind) {
    case ON_OFF: qs_str_add(out, *flag_of(v, f) ? "on" : "off"); break;
    case WORD: qs_str_add(out, qs_calib_precision_name(v->q.precision)); break;
    case NUMBER:
        if (number_of(v, f) > 0)
            qs_str_addf(out, "%.0f", number_of(v, f));
        else
            qs_str_add(out, fields[f].word);
        break;
    case SHARE:
        qs_str_addf(out, "%.4g%%", v->q.held_out < 0 ? 10 : 100 * v->q.held_out);
        break;
    case SIZE:
        qs_str_add(out, v->q.memory ? qs_fmt_bytes(size, sizeof size, v->q.memory) : fields[f].word);
        break;
    case FILE_IN: case FILE_OUT:
        path = *file_of(v, f);
        qs_text_clean(out, path ? path : fields[f].word, qs_app_ascii(a));
        break;
    }
    if (f == CALIBRATE_ENCODE && *flag_of(v, f) && qs_app_doc(a))
        qs_str_addf(out, ": %s", qs_app_doc(a)->recipe->preset->name);
}

/* ---- changing ---- */

static void changed(struct qs_app *a)
{
    calibrate_of(a)->ask = true;
    qs_app_touch(a);
}

static char *own_path(struct qs_app *a, const char *value)
{
    struct qs_str path = QS_STR_INIT;
    qs_app_expand_home(value, &path);
    char *own = path.failed ? NULL : qs_str_take(&path);
    if (!own)
        qs_app_warn(a, "out of memory");
    qs_str_free(&path);
    return own;
}

static bool is_file(struct qs_app *a, const char *path)
{
    struct qs_file_stat st;
    struct qs_err e = QS_ERR_INIT;
    if (qs_file_stat(path, &st, &e))
        qs_app_fail(a, &e);
    else if (!st.is_regular)
        qs_app_warn(a, "%s is no file", path);
    else
        return true;
    return false;
}

static void set_file(struct qs_app *a, enum calibrate_field f, const char *value)
{
    struct calibrate *v = calibrate_of(a);
    char *own = NULL;
    if (*value && strcmp(value, "none") != 0 && strcmp(value, fields[f].word) != 0) {
        own = own_path(a, value);
        if (!own || (fields[f].kind == FILE_IN && !is_file(a, own))) {
            qs_free(own);
            return;
        }
    }
    qs_free(*file_of(v, f));
    *file_of(v, f) = own;
}

static void set_typed_number(struct qs_app *a, enum calibrate_field f, const char *value)
{
    char *end;
    const double n = strtod(value, &end);
    const bool word = !*value || strcmp(value, "auto") == 0 || strcmp(value, fields[f].word) == 0;
    if (fields[f].kind == SHARE && *end == '%')
        end++;
    if (!word && (end == value || *end || !(n >= fields[f].least) || n > fields[f].most))
        qs_app_warn(a, "%s: a number from %.0f to %.0f is expected, or auto", fields[f].name, fields[f].least,
                    fields[f].most);
    else
        set_number(calibrate_of(a), f, !word ? n : fields[f].kind == SHARE ? -1 : 0);
}

static void set_size(struct qs_app *a, enum calibrate_field f, const char *value)
{
    unsigned long long bytes = 0;
    struct qs_err e = QS_ERR_INIT;
    if (*value && strcmp(value, "auto") != 0 && qs_parse_bytes(value, &bytes, &e))
        qs_app_fail(a, &e);
    else
        set_number(calibrate_of(a), f, (double)bytes);
}

static void set_field(struct qs_app *a, enum calibrate_field f, const char *value)
{
    struct calibrate *v = calibrate_of(a);
    switch (fields[f].kind) {
    case ON_OFF:
        if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
            qs_app_warn(a, "%s: on or off", fields[f].name);
        else
            *flag_of(v, f) = strcmp(value, "on") == 0;
        break;
    case WORD:
        if (strcmp(value, "any") != 0 && qs_calib_precision_named(value) == QS_CALIB_ANY)
            qs_app_warn(a, "%s: any, exact or fast", fields[f].name);
        else
            v->q.precision = qs_calib_precision_named(value);
        break;
    case NUMBER: case SHARE: set_typed_number(a, f, value); break;
    case SIZE: set_size(a, f, value); break;
    case FILE_IN: case FILE_OUT: set_file(a, f, value); break;
    }
    qs_list_set(&v->rows, calibrate_rows(v), v->rows.shown);
    qs_list_to(&v->rows, v->n_text + 1 + (size_t)f);
    changed(a);
}

void calibrate_set_named(struct qs_app *a, const char *arg)
{
    const size_t n = strcspn(arg, " =");
    const char *value = arg + n + strspn(arg + n, " =");
    struct qs_str names = QS_STR_INIT;
    for (int f = 0; f < CALIBRATE_FIELDS; f++) {
        if (strlen(fields[f].name) == n && strncmp(fields[f].name, arg, n) == 0) {
            if (!*value)
                qs_app_say(a, "%s: %s", fields[f].name, fields[f].help);
            else
                set_field(a, (enum calibrate_field)f, value);
            qs_str_free(&names);
            return;
        }
        qs_str_addf(&names, "%s%s", f ? ", " : "", fields[f].name);
    }
    qs_app_warn(a, "there is no setting %.*s: %s", (int)(n < 40 ? n : 40), arg, names.failed ? "" : names.data);
    qs_str_free(&names);
}

/* ---- texts ---- */

static void put_text(struct qs_app *a, char *own, double weight)
{
    struct calibrate *v = calibrate_of(a);
    for (size_t i = 0; i < v->n_text; i++)
        if (strcmp(v->text[i].path, own) == 0) {
            v->text[i].weight = weight;
            qs_free(own);
            changed(a);
            return;
        }
    if (!qs_grow(&v->text, &v->cap_text, v->n_text + 1, sizeof *v->text)) {
        qs_app_warn(a, "out of memory");
        qs_free(own);
        return;
    }
    v->text[v->n_text++] = (struct calibrate_text){ own, weight };
    qs_list_set(&v->rows, calibrate_rows(v), v->rows.shown);
    qs_list_to(&v->rows, v->n_text); /* "add a text" */
    changed(a);
}

/* "FILE:2" where that is no file by itself. */
static double split_weight(char *path)
{
    char *colon = strrchr(path, ':'), *end;
    const double w = colon && colon > path ? strtod(colon + 1, &end) : 0;
    if (!colon || colon == path || end == colon + 1 || *end || !(w > 0) || !isfinite(w) || qs_file_exists(path))
        return 1;
    *colon = 0;
    return w;
}

static void text_typed(struct qs_app *a, const char *text, void *ctx)
{
    (void)ctx;
    char *own = *text ? own_path(a, text) : NULL;
    if (!own)
        return;
    const double weight = split_weight(own);
    if (is_file(a, own))
        put_text(a, own, weight);
    else
        qs_free(own);
}

void calibrate_add_text(struct qs_app *a, const char *arg)
{
    if (arg)
        text_typed(a, arg, NULL);
    else
        qs_app_prompt(a, "text (FILE or FILE:WEIGHT): ", NULL, QS_ARG_FILE, NULL, text_typed, NULL);
}

void calibrate_remove(struct qs_app *a)
{
    struct calibrate *v = calibrate_of(a);
    const size_t i = v->rows.cursor;
    if (i >= v->n_text)
        return;
    qs_free(v->text[i].path);
    memmove(v->text + i, v->text + i + 1, (v->n_text - i - 1) * sizeof *v->text);
    v->n_text--;
    qs_list_set(&v->rows, calibrate_rows(v), v->rows.shown);
    changed(a);
}

static void weight_typed(struct qs_app *a, const char *text, void *ctx)
{
    struct calibrate *v = calibrate_of(a);
    char *end;
    const double w = strtod(text, &end);
    (void)ctx;
    if (end == text || *end || !(w > 0) || !isfinite(w))
        qs_app_warn(a, "a weight is a number above 0");
    else if (v->at < v->n_text)
        v->text[v->at].weight = w;
    changed(a);
}

static void typed(struct qs_app *a, const char *text, void *ctx)
{
    set_field(a, (enum calibrate_field)(uintptr_t)ctx, text);
}

static void prompt(struct qs_app *a, enum calibrate_field f)
{
    struct calibrate *v = calibrate_of(a);
    const bool file = fields[f].kind >= FILE_IN;
    char label[64], number[32] = "";
    snprintf(label, sizeof label, "%s%s: ", fields[f].label, file ? " (or none)" : "");
    if (!file && number_of(v, f) > 0)
        snprintf(number, sizeof number, "%.0f", number_of(v, f));
    qs_app_prompt(a, label, file ? *file_of(v, f) : number, file ? QS_ARG_FILE : QS_ARG_TEXT, NULL, typed,
                  (void *)(uintptr_t)f);
}

void calibrate_change(struct qs_app *a)
{
    struct calibrate *v = calibrate_of(a);
    const size_t i = v->rows.cursor;
    char now[32];
    if (i < v->n_text) {
        v->at = i;
        snprintf(now, sizeof now, "%g", v->text[i].weight);
        qs_app_prompt(a, "weight: ", now, QS_ARG_TEXT, NULL, weight_typed, NULL);
    } else if (i == v->n_text) {
        calibrate_add_text(a, NULL);
    } else {
        const enum calibrate_field f = (enum calibrate_field)(i - v->n_text - 1);
        if (fields[f].kind == ON_OFF)
            set_field(a, f, *flag_of(v, f) ? "off" : "on");
        else if (fields[f].kind == WORD)
            set_field(a, f, qs_calib_precision_name((enum qs_calib_precision)((v->q.precision + 1) % QS_CALIB_PRECISIONS)));
        else
            prompt(a, f);
    }
}

/* ---- starting, what it takes ---- */

const struct qs_calib_request *calibrate_request(struct qs_app *a)
{
    struct calibrate *v = calibrate_of(a);
    struct qs_corpus_source *source = qs_calloc(v->n_text + 1, sizeof *source);
    qs_free((void *)(uintptr_t)v->q.source);
    for (size_t i = 0; source && i < v->n_text; i++)
        source[i] = (struct qs_corpus_source){ v->text[i].path, v->text[i].weight };
    v->q.source = source;
    v->q.n_sources = source ? v->n_text : 0;
    v->q.evaluation = v->file[0];
    v->q.statistics_in = v->file[1];
    v->q.statistics_out = v->file[2];
    v->q.store = v->file[3];
    return &v->q;
}

static void start_over(struct qs_app *a, size_t answer, void *ctx)
{
    struct calibrate *v = calibrate_of(a);
    (void)answer, (void)ctx;
    v->q.overwrite = true;
    calibrate_start(a, v->q.restart);
}

void calibrate_ask_overwrite(struct qs_app *a, const char *why)
{
    static const struct qs_app_answer answers[] = { { 'o', "overwrite" } };
    qs_app_ask(a, "Calibrate", why, answers, 1, start_over, NULL);
}

void calibrate_start(struct qs_app *a, bool restart)
{
    struct calibrate *v = calibrate_of(a);
    struct qs_err e = QS_ERR_INIT;
    v->q.restart = restart;
    const int rc = qs_workbench_calib_start(qs_app_bench(a), calibrate_request(a), NULL, &e);
    v->q.overwrite = false;
    if (rc == QS_EEXISTS)
        calibrate_ask_overwrite(a, e.msg);
    else if (rc)
        qs_app_fail(a, &e);
    else
        v->view = CALIBRATE_PROGRESS;
}

void calibrate_look(struct qs_app *a)
{
    struct calibrate *v = calibrate_of(a);
    const struct qs_doc *d = qs_app_doc(a);
    struct qs_calib_outlook o;
    struct qs_calibrating s;
    struct qs_err e = QS_ERR_INIT;
    qs_workbench_calib_outlook(qs_app_bench(a), &o);
    qs_workbench_calib(qs_app_bench(a), &s);
    if (!d || o.looking || s.runs || (!v->n_text && !v->file[1]) || (!v->ask && v->doc == d->version))
        return;
    v->ask = false;
    v->doc = d->version;
    (void)qs_workbench_calib_look(qs_app_bench(a), calibrate_request(a), &e);
}

/* ---- drawing ---- */

static void draw_label(struct qs_app *a, const struct qs_canvas *c, int y, bool here, bool focus, bool idle,
                       const char *label, const char *value, const char *help)
{
    const int cols = qs_canvas_cols(c), width = cols >= 50 ? 21 : cols / 3;
    const struct qs_style style = qs_app_look(a, here && focus ? QS_LOOK_CURSOR : here ? QS_LOOK_CURSOR_AWAY
                                              : idle ? QS_LOOK_MUTED : QS_LOOK_TEXT);
    const int room = cols - width - 2, side = room >= 66 ? 40 : 0;
    qs_draw_fill(c, (struct qs_rect){ y, 0, 1, cols }, style);
    qs_draw_text(c, y, 0, style, here ? ">" : " ", 1);
    qs_draw_fit(c, y, 2, style, label, width - 1, QS_FIT_LEFT);
    qs_draw_fit(c, y, width + 2, style, value, room - side, QS_FIT_MIDDLE);
    if (side)
        qs_draw_fit(c, y, cols - side + 1, here ? style : qs_app_look(a, QS_LOOK_MUTED), help, side - 1, QS_FIT_LEFT);
}

static void draw_row(struct qs_app *a, const struct qs_canvas *c, int y, size_t i, bool focus)
{
    const struct calibrate *v = calibrate_of(a);
    const bool here = v->rows.cursor == i;
    struct qs_str value = QS_STR_INIT;
    char label[40], help[64] = "Enter: its weight; d: away";
    if (i < v->n_text) {
        snprintf(label, sizeof label, "text, weight %g", v->text[i].weight);
        qs_text_clean(&value, v->text[i].path, qs_app_ascii(a));
    } else if (i == v->n_text) {
        snprintf(label, sizeof label, "add a text");
        snprintf(help, sizeof help, "plain, or lines of JSON");
        qs_str_add(&value, v->n_text ? "t" : "t: none yet");
    } else {
        const enum calibrate_field f = (enum calibrate_field)(i - v->n_text - 1);
        snprintf(label, sizeof label, "%s", fields[f].label);
        snprintf(help, sizeof help, "%s", fields[f].help);
        show(a, f, &value);
    }
    draw_label(a, c, y, here, focus, i > v->n_text && is_idle(v, (enum calibrate_field)(i - v->n_text - 1)), label,
               value.failed ? "" : value.data, help);
    qs_str_free(&value);
}

void calibrate_setup_draw(struct qs_app *a, const struct qs_canvas *c, bool focus)
{
    struct calibrate *v = calibrate_of(a);
    const size_t n = calibrate_rows(v);
    const int rows = qs_canvas_rows(c), cols = qs_canvas_cols(c);
    qs_list_set(&v->rows, n, (size_t)(rows > 0 ? rows : 1));
    v->rows.at = (struct qs_rect){ c->at.y, c->at.x, rows < (int)n ? rows : (int)n, cols };
    for (int y = 0; y < rows && v->rows.top + (size_t)y < n; y++)
        draw_row(a, c, y, v->rows.top + (size_t)y, focus);
    const struct qs_canvas bar = qs_canvas_part(c, (struct qs_rect){ 0, cols - 1, rows, 1 });
    qs_list_draw_bar(&v->rows, &bar, qs_app_theme(a));
}
