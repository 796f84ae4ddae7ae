/* viewer.c - the screen of an opened model: overview, map, tensors, help, as pages of text to move over and search.
 *
 * Owns the pages and the job that measures the map. Pages are the reports that the verbs print; nothing is measured
 * here. The thread that runs this is the only one that touches the terminal; the survey runs as a job and wakes it
 * through a pipe. Keys, footer and help come from one table.
 */
#include "ui/ui.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include <ncurses.h>

#include "base/pool.h"
#include "base/regex.h"
#include "base/str.h"
#include "base/text.h"
#include "base/unicode.h"
#include "core/job/job.h"
#include "core/model/model.h"
#include "core/quant/preset.h"
#include "core/report/report_info.h"
#include "core/report/report_tensors.h"
#include "ui/draw.h"
#include "ui/map_page.h"
#include "ui/pager.h"
#include "ui/term.h"

enum { PAGE_OVERVIEW, PAGE_MAP, PAGE_TENSORS, PAGE_HELP, PAGES };
static const struct { const char *key, *name; } page_names[PAGES] = {
    { "1", "Overview" }, { "2", "Map" }, { "3", "Tensors" }, { "?", "Help" }
};

struct page {
    struct qs_pager pager;
    unsigned width; /* its text was made for; 0: it must be made */
};

struct viewer {
    const struct qs_ui_args *args;
    struct qs_model *model;
    struct qs_pool *pool;
    struct page page[PAGES];
    int now;
    bool quit;
    struct qs_job *job;
    bool paused;       /* wanted: the job's own state follows at its next step */
    int pipe[2];
    struct qs_map_page map;
    struct qs_err map_err; /* why nothing could be measured */
    bool map_done;
    char message[QS_ERR_MAX]; /* replaces the footer until the next key */
    char pattern[256];
    struct qs_regex *search;  /* of the last pattern that was one; NULL: none yet */
    bool typing;              /* a pattern */
};

/* ---- keys ---- */

typedef void act_fn(struct viewer *v);
static void go_page(struct viewer *v, int page);

static size_t body_rows(void) { return LINES > 2 ? (size_t)LINES - 2 : 1; }
static struct qs_pager *pager(struct viewer *v) { return &v->page[v->now].pager; }

static void key_down(struct viewer *v) { qs_pager_down(pager(v), 1); }
static void key_up(struct viewer *v) { qs_pager_down(pager(v), -1); }
static void key_page_down(struct viewer *v) { qs_pager_down(pager(v), (long)body_rows()); }
static void key_page_up(struct viewer *v) { qs_pager_down(pager(v), -(long)body_rows()); }
static void key_top(struct viewer *v) { qs_pager_to(pager(v), 0); }
static void key_bottom(struct viewer *v) { qs_pager_to(pager(v), (long)pager(v)->n_lines); }
static void key_right(struct viewer *v) { qs_pager_right(pager(v), 8); }
static void key_left(struct viewer *v) { qs_pager_right(pager(v), -8); }
static void key_overview(struct viewer *v) { go_page(v, PAGE_OVERVIEW); }
static void key_map(struct viewer *v) { go_page(v, PAGE_MAP); }
static void key_tensors(struct viewer *v) { go_page(v, PAGE_TENSORS); }
static void key_help(struct viewer *v) { go_page(v, PAGE_HELP); }
static void key_next_page(struct viewer *v) { go_page(v, (v->now + 1) % PAGES); }
static void key_previous_page(struct viewer *v) { go_page(v, (v->now + PAGES - 1) % PAGES); }
static void key_quit(struct viewer *v) { v->quit = true; }
static void key_search(struct viewer *v) { v->typing = true; v->pattern[0] = 0; }
static void key_next_match(struct viewer *v);
static void key_previous_match(struct viewer *v);
static void key_pause(struct viewer *v);

#define CODE(key) (-(key)) /* a curses code: the numbers of codes are those of letters too */

static const struct binding {
    int key[4];        /* characters and CODEs; 0 ends */
    const char *label; /* as shown */
    const char *brief; /* in the footer; NULL: not there */
    unsigned rank;     /* of those in the footer: low ones are shown first where the screen is narrow */
    const char *help;
    act_fn *act;
} bindings[] = {
    { { '1' }, "1", NULL, 0, "overview: what the model is, what it weighs, what it needs", key_overview },
    { { '2' }, "2", NULL, 0, "map: layers across, roles down, error of the default preset", key_map },
    { { '3' }, "3", NULL, 0, "tensors", key_tensors },
    { { '\t' }, "Tab", "Tab page", 3, "next page", key_next_page },
    { { CODE(KEY_BTAB) }, "Shift-Tab", NULL, 0, "previous page", key_previous_page },
    { { 'j', CODE(KEY_DOWN) }, "j Down", "j k line", 5, "one line down", key_down },
    { { 'k', CODE(KEY_UP) }, "k Up", NULL, 0, "one line up", key_up },
    { { 'l', CODE(KEY_RIGHT) }, "l Right", "h l sideways", 9, "eight columns right", key_right },
    { { 'h', CODE(KEY_LEFT) }, "h Left", NULL, 0, "eight columns left", key_left },
    { { ' ', CODE(KEY_NPAGE), 'D' - '@' }, "Space PgDn Ctrl-D", "Space b screen", 6, "one screen down",
      key_page_down },
    { { 'b', CODE(KEY_PPAGE), 'U' - '@' }, "b PgUp Ctrl-U", NULL, 0, "one screen up", key_page_up },
    { { 'g', CODE(KEY_HOME) }, "g Home", "g G ends", 8, "first line", key_top },
    { { 'G', CODE(KEY_END) }, "G End", NULL, 0, "last line", key_bottom },
    { { '/' }, "/", "/ search", 4, "search by regular expression on this page", key_search },
    { { 'n' }, "n", "n N matches", 7, "next match", key_next_match },
    { { 'N' }, "N", NULL, 0, "previous match", key_previous_match },
    { { 'p' }, "p", "p pause", 10, "pause or go on measuring", key_pause },
    { { '?', CODE(KEY_F(1)) }, "? F1", "? help", 2, "this list", key_help },
    { { 'q' }, "q", "q quit", 1, "quit", key_quit },
};
#define N_BINDINGS (sizeof bindings / sizeof *bindings)

bool qs_ui_key(unsigned i, const char **keys, const char **help)
{
    if (i >= N_BINDINGS)
        return false;
    *keys = bindings[i].label;
    *help = bindings[i].help;
    return true;
}

/* ---- pages ---- */

static void report_to(struct qs_report *r, unsigned width, struct qs_str *out)
{
    if (!r || qs_report_failed(r))
        qs_str_add(out, "out of memory\n");
    else
        qs_report_text_as(r, &(struct qs_text_style){ .width = width, .ascii = !qs_locale_utf8() }, out);
    qs_report_free(r);
}

static void help_text(unsigned width, struct qs_str *out)
{
    const bool narrow = width < 60;
    qs_str_add(out, "Keys\n\n");
    for (size_t i = 0; i < N_BINDINGS; i++) {
        qs_str_addf(out, narrow ? "  %s\n      " : "  %-18s ", bindings[i].label);
        qs_draw_wrapped(out, bindings[i].help, narrow ? 6 : 21, width);
    }
    qs_str_addc(out, '\n');
    qs_draw_wrapped(out, "Everything here, and more, can be had from the command line: quantscape --help. quantscape map MODEL -t "
                "PRESET draws the map of any preset; quantscape quantize writes a file.", 0, width);
}

static void why_not_measured(const struct viewer *v, unsigned width, struct qs_str *out)
{
    struct qs_str text = QS_STR_INIT;
    qs_str_add(&text, "Nothing could be measured: ");
    qs_text_clean(&text, v->map_err.msg, !qs_locale_utf8());
    qs_draw_wrapped(out, text.data, 0, width);
    qs_str_free(&text);
}

static void map_text(struct viewer *v, unsigned width, struct qs_str *out)
{
    struct qs_err e = QS_ERR_INIT;
    if (!v->map_done)
        qs_draw_wrapped(out, "The error of every tensor under " QS_PRESET_DEFAULT " is being measured on a sample of its "
                        "rows ...", 0, width);
    else if (v->map_err.code)
        why_not_measured(v, width, out);
    else if (qs_map_page_text(&v->map, width, !qs_locale_utf8(), out, &e))
        qs_draw_wrapped(out, e.msg, 0, width);
}

static void overview_text(struct viewer *v, unsigned width, struct qs_str *out)
{
    const struct qs_info_args args = { .memory = qs_machine_memory() };
    report_to(qs_report_info(v->model, &args), width, out);
}

/* Narrower, a table cuts its names to pieces: it is better moved over sideways. */
enum { TABLE_WIDTH = 80 };

static void tensors_text(struct viewer *v, unsigned width, struct qs_str *out)
{
    const struct qs_tensors_args args = { .role = -1 };
    struct qs_report *r = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_report_tensors(v->model, &args, &r, &e))
        qs_str_addf(out, "%s\n", e.msg);
    else
        report_to(r, width < TABLE_WIDTH ? TABLE_WIDTH : width, out);
}

static void make_page(struct viewer *v, int page, unsigned width)
{
    struct qs_str out = QS_STR_INIT;
    switch (page) {
    case PAGE_OVERVIEW: overview_text(v, width, &out); break;
    case PAGE_MAP: map_text(v, width, &out); break;
    case PAGE_TENSORS: tensors_text(v, width, &out); break;
    default: help_text(width, &out); break;
    }
    qs_pager_set(&v->page[page].pager, &out);
    v->page[page].width = width;
}

/* The page shown, made for the screen as it is now. */
static void fit_page(struct viewer *v)
{
    struct page *p = &v->page[v->now];
    if (p->width != (unsigned)COLS)
        make_page(v, v->now, (unsigned)COLS);
    qs_pager_size(&p->pager, body_rows(), (size_t)COLS);
}

static void go_page(struct viewer *v, int page)
{
    v->now = page;
    fit_page(v);
}

/* ---- search ---- */

static void no_match(struct viewer *v, const char *which)
{
    snprintf(v->message, sizeof v->message, "no %smatch for %s", which, v->pattern);
}

static void search(struct viewer *v)
{
    struct qs_regex *re;
    struct qs_err e = QS_ERR_INIT;
    if (!v->pattern[0])
        return;
    if (qs_regex_compile(v->pattern, QS_REGEX_ICASE, &re, &e)) {
        snprintf(v->message, sizeof v->message, "%s", e.msg);
        return;
    }
    qs_regex_free(v->search);
    v->search = re;
    if (!qs_pager_find(pager(v), re))
        no_match(v, "further ");
}

static void search_on(struct viewer *v, int step)
{
    if (!v->search)
        snprintf(v->message, sizeof v->message, "nothing to search for yet: / asks for a pattern");
    else if (!qs_pager_find_next(pager(v), v->search, step))
        no_match(v, step > 0 ? "further " : "earlier ");
}

static void key_next_match(struct viewer *v) { search_on(v, 1); }
static void key_previous_match(struct viewer *v) { search_on(v, -1); }

static void type_key(struct viewer *v, wint_t c, bool code)
{
    const size_t n = strlen(v->pattern);
    if (c == '\r' || c == '\n' || (code && c == KEY_ENTER)) {
        v->typing = false;
        search(v);
    } else if (c == 27 && !code) {
        v->typing = false;
    } else if ((code && c == KEY_BACKSPACE) || c == 127 || c == 8) {
        size_t cut = n;
        while (cut && ((unsigned char)v->pattern[cut - 1] & 0xc0) == 0x80)
            cut--;
        v->pattern[cut ? cut - 1 : 0] = 0;
    } else if (!code && c >= ' ') {
        char mb[16] = "";
        mbstate_t st = { 0 };
        const size_t len = wcrtomb(mb, (wchar_t)c, &st);
        if (len != (size_t)-1 && n + len < sizeof v->pattern)
            snprintf(v->pattern + n, sizeof v->pattern - n, "%.*s", (int)len, mb);
    }
}

/* ---- drawing ---- */

/* "[1 Overview] 2 Map  3 Tensors  ? Help ", or, where that is too long, the other pages by key alone. */
static void add_pages(const struct viewer *v, bool names, struct qs_str *out)
{
    for (int i = 0; i < PAGES; i++) {
        const bool here = i == v->now, full = here || names;
        qs_str_addf(out, "%s%s%s%s%s", here ? "[" : " ", page_names[i].key, full ? " " : "",
                    full ? page_names[i].name : "", here ? "]" : " ");
    }
    qs_str_add(out, " ");
}

/* Pages, file and, at the right, the place in a page that is longer than the screen: in lines or, where it is narrow,
 * how much of the page lies above the end of the screen. */
static void draw_title(struct viewer *v)
{
    const struct qs_pager *p = pager(v);
    const char *slash = strrchr(v->args->path, '/'), *name = slash && slash[1] ? slash + 1 : v->args->path;
    struct qs_str title = QS_STR_INIT, file = QS_STR_INIT;
    const size_t cells = (size_t)COLS, end = p->top + p->rows;
    char place[64] = "";
    qs_text_clean(&file, name, !qs_locale_utf8());
    add_pages(v, true, &title);
    if (p->n_lines > p->rows)
        snprintf(place, sizeof place, " %zu-%zu of %zu ", p->top + 1, end, p->n_lines);
    if (title.len + qs_utf8_width(file.data, file.len) + strlen(place) > cells) {
        qs_str_clear(&title);
        add_pages(v, false, &title);
        if (*place)
            snprintf(place, sizeof place, " %zu%%", end * 100 / p->n_lines);
    }
    const size_t taken = title.len + strlen(place);
    qs_draw_tail(&title, file.data, taken < cells ? cells - taken : 0);
    qs_draw_bar(0, title.data, place);
    qs_str_free(&title);
    qs_str_free(&file);
}

/* The keys of the footer up to a rank, in the order of the table. */
static void add_keys(struct viewer *v, unsigned rank, struct qs_str *out)
{
    qs_str_clear(out);
    for (size_t i = 0; i < N_BINDINGS; i++)
        if (bindings[i].brief && bindings[i].rank <= rank && (bindings[i].act != key_pause || v->job))
            qs_str_addf(out, " %s ", bindings[i].brief);
}

/* What the job does, in `detail` steps from a word (0) to all that is known (2). */
static void add_job(struct viewer *v, int detail, struct qs_str *out)
{
    struct qs_job_status st;
    char eta[32];
    qs_str_clear(out);
    if (!v->job)
        return;
    qs_job_status(v->job, &st);
    qs_str_add(out, !v->paused ? "measuring" : st.state == QS_JOB_PAUSED ? "paused" : "pausing");
    if (detail > 1) {
        qs_str_addc(out, ' ');
        qs_text_clean(out, st.item, !qs_locale_utf8());
    }
    if (st.total)
        qs_str_addf(out, " %.0f %%", 100.0 * (double)st.done / (double)st.total);
    if (detail > 0 && st.eta >= 0)
        qs_str_addf(out, ", %s left", qs_fmt_seconds(eta, sizeof eta, st.eta));
    qs_str_addc(out, ' ');
}

#define RANKS 10
#define RANKS_FIRST 4 /* these are worth more than details of the job */

static void draw_keys(struct viewer *v)
{
    struct qs_str keys = QS_STR_INIT, job = QS_STR_INIT;
    const size_t cells = (size_t)COLS;
    int detail = 2;
    unsigned rank = RANKS;
    add_keys(v, RANKS_FIRST, &keys);
    for (add_job(v, detail, &job); detail > 0 && keys.len + qs_utf8_width(job.data, job.len) > cells;)
        add_job(v, --detail, &job);
    const size_t taken = qs_utf8_width(job.data, job.len);
    for (add_keys(v, rank, &keys); rank > 1 && keys.len + taken > cells;)
        add_keys(v, --rank, &keys);
    qs_draw_bar(LINES - 1, keys.data, job.data);
    qs_str_free(&keys);
    qs_str_free(&job);
}

static void draw_footer(struct viewer *v)
{
    struct qs_str s = QS_STR_INIT;
    if (v->typing) { /* the end of a long pattern is what is being typed */
        qs_str_add(&s, "/");
        qs_draw_tail(&s, v->pattern, COLS > 2 ? (size_t)COLS - 2 : 0);
        qs_str_add(&s, "_");
        qs_draw_bar(LINES - 1, s.data, "");
    } else if (v->message[0]) {
        qs_text_clean(&s, v->message, !qs_locale_utf8());
        qs_draw_bar(LINES - 1, s.data, "");
    } else {
        draw_keys(v);
    }
    qs_str_free(&s);
}

static void draw(struct viewer *v)
{
    erase();
    if (LINES < 5 || COLS < 20) {
        qs_draw_text(0, 0, "too small", 9, 0, (size_t)COLS);
    } else {
        fit_page(v);
        draw_title(v);
        qs_pager_draw(pager(v), 1, v->search);
        draw_footer(v);
    }
    refresh();
}

/* ---- the job ---- */

static int survey_work(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct viewer *v = ctx;
    return qs_map_page_measure(&v->map, v->model, v->pool, job, e);
}

static void key_pause(struct viewer *v)
{
    if (!v->job)
        return;
    v->paused = !v->paused;
    qs_job_pause(v->job, v->paused);
}

static void look_at_job(struct viewer *v)
{
    if (!v->job || !qs_job_wait_for(v->job, 0))
        return;
    qs_job_wait(v->job, &v->map_err);
    qs_job_free(v->job);
    v->job = NULL;
    v->map_done = true;
    v->page[PAGE_MAP].width = 0;
}

/* ---- the loop ---- */

static void dispatch(struct viewer *v, wint_t c, bool code)
{
    const int key = code ? CODE((int)c) : (int)c;
    v->message[0] = 0;
    for (size_t i = 0; i < N_BINDINGS; i++)
        for (int k = 0; k < 4 && bindings[i].key[k]; k++)
            if (bindings[i].key[k] == key) {
                bindings[i].act(v);
                return;
            }
}

static void take_keys(struct viewer *v)
{
    wint_t c;
    int kind;
    while ((kind = qs_term_key(&c)) != ERR) {
        if (kind == KEY_CODE_YES && c == KEY_RESIZE)
            continue; /* pages are made anew when drawn */
        if (v->typing)
            type_key(v, c, kind == KEY_CODE_YES);
        else
            dispatch(v, c, kind == KEY_CODE_YES);
    }
}

/* A job wakes the screen, but not for every change, and its time left changes by itself: while it runs, the screen looks
 * again now and then. Curses writes what has changed, so nothing where nothing has. */
#define LOOK_AGAIN_MS 100

static void loop(struct viewer *v)
{
    while (!v->quit && !qs_term_ending()) {
        look_at_job(v);
        draw(v);
        qs_term_wait(v->pipe[0], v->job && !v->paused ? LOOK_AGAIN_MS : -1);
        take_keys(v);
    }
}

static int start(struct viewer *v, struct qs_err *e)
{
    int rc = qs_model_open(v->args->path, &v->model, e);
    if (!rc)
        rc = qs_pool_new(v->args->threads, &v->pool, e);
    if (!rc && pipe2(v->pipe, O_CLOEXEC | O_NONBLOCK))
        rc = qs_fail_errno(e, errno, "cannot make a pipe");
    if (!rc)
        rc = qs_term_open(e);
    if (!rc)
        rc = qs_job_start("survey", survey_work, v, v->pipe[1], &v->job, e);
    return rc;
}

static void end(struct viewer *v)
{
    qs_term_close();
    qs_job_free(v->job);
    qs_map_page_free(&v->map);
    for (int i = 0; i < PAGES; i++)
        qs_pager_free(&v->page[i].pager);
    qs_regex_free(v->search);
    for (int i = 0; i < 2; i++)
        if (v->pipe[i] >= 0)
            close(v->pipe[i]);
    qs_pool_free(v->pool);
    qs_model_close(v->model);
}

int qs_ui_run(const struct qs_ui_args *args, struct qs_err *e)
{
    if (!args->path)
        return qs_fail(e, QS_EINVAL, "name a model to open: quantscape FILE.gguf (quantscape --help lists the verbs)");
    struct viewer v = { .args = args, .pipe = { -1, -1 } };
    for (int i = 0; i < PAGES; i++)
        qs_pager_init(&v.page[i].pager);
    qs_term_guard();
    int rc = start(&v, e);
    if (!rc)
        loop(&v);
    end(&v);
    const int ending = qs_term_ending();
    if (ending > 0) { /* die of the signal, as the sender expects, now that the terminal is itself again */
        signal(ending, SIG_DFL);
        raise(ending);
    }
    if (!rc && ending == QS_TERM_GONE)
        rc = qs_fail(e, QS_EIO, "the terminal is gone");
    return rc;
}
