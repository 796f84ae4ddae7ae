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

#include "base/mem.h"
#include "base/pool.h"
#include "base/regex.h"
#include "base/str.h"
#include "base/unicode.h"
#include "core/job/job.h"
#include "core/model/model.h"
#include "core/report/report_info.h"
#include "core/report/report_tensors.h"
#include "ui/map_page.h"
#include "ui/term.h"

enum { PAGE_OVERVIEW, PAGE_MAP, PAGE_TENSORS, PAGE_HELP, PAGES };
static const char *const page_names[PAGES] = { "1 Overview", "2 Map", "3 Tensors", "? Help" };

struct page {
    struct qs_str text;
    size_t *line; size_t n_lines, cap; /* offsets of line starts; one more entry at the end */
    size_t top, left;
    unsigned width; /* it was made for */
};

struct viewer {
    const char *path;
    struct qs_model *model;
    struct qs_pool *pool;
    struct page page[PAGES];
    int now;
    bool quit;
    struct qs_job *job;
    int pipe[2];
    struct qs_map_page map;
    struct qs_err map_err; /* why nothing could be measured */
    bool map_done;
    char message[256]; /* replaces the footer until the next key */
    char pattern[256];
    bool typing;       /* a pattern */
};

/* ---- keys ---- */

typedef void act_fn(struct viewer *v);
static void go_page(struct viewer *v, int page);

static size_t body_rows(void) { return LINES > 2 ? (size_t)LINES - 2 : 1; }

static void scroll_to(struct viewer *v, long top)
{
    struct page *p = &v->page[v->now];
    const long last = (long)p->n_lines - (long)body_rows();
    p->top = (size_t)(top > last ? (last > 0 ? last : 0) : top < 0 ? 0 : top);
}

static long top_of(const struct viewer *v) { return (long)v->page[v->now].top; }
static void key_down(struct viewer *v) { scroll_to(v, top_of(v) + 1); }
static void key_up(struct viewer *v) { scroll_to(v, top_of(v) - 1); }
static void key_page_down(struct viewer *v) { scroll_to(v, top_of(v) + (long)body_rows()); }
static void key_page_up(struct viewer *v) { scroll_to(v, top_of(v) - (long)body_rows()); }
static void key_top(struct viewer *v) { scroll_to(v, 0); }
static void key_bottom(struct viewer *v) { scroll_to(v, (long)v->page[v->now].n_lines); }
static void key_right(struct viewer *v) { v->page[v->now].left += 8; }
static void key_left(struct viewer *v) { size_t *l = &v->page[v->now].left; *l -= *l < 8 ? *l : 8; }
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

static const struct binding {
    int key[4];        /* curses codes; 0 ends */
    const char *label; /* as shown */
    const char *brief; /* in the footer; NULL: not there */
    const char *help;
    act_fn *act;
} bindings[] = {
    { { '1' }, "1", NULL, "overview: what the model is, what it weighs, what it needs", key_overview },
    { { '2' }, "2", NULL, "map: layers across, roles down, error of the default preset", key_map },
    { { '3' }, "3", NULL, "tensors", key_tensors },
    { { '\t' }, "Tab", "Tab next page", "next page", key_next_page },
    { { KEY_BTAB }, "Shift-Tab", NULL, "previous page", key_previous_page },
    { { 'j', KEY_DOWN }, "j Down", "j k scroll", "one line down", key_down },
    { { 'k', KEY_UP }, "k Up", NULL, "one line up", key_up },
    { { 'l', KEY_RIGHT }, "l Right", NULL, "eight columns right", key_right },
    { { 'h', KEY_LEFT }, "h Left", NULL, "eight columns left", key_left },
    { { ' ', KEY_NPAGE, 'D' - '@' }, "Space PgDn Ctrl-D", NULL, "one screen down", key_page_down },
    { { 'b', KEY_PPAGE, 'U' - '@' }, "b PgUp Ctrl-U", NULL, "one screen up", key_page_up },
    { { 'g', KEY_HOME }, "g Home", NULL, "first line", key_top },
    { { 'G', KEY_END }, "G End", NULL, "last line", key_bottom },
    { { '/' }, "/", "/ search", "search by regular expression on this page", key_search },
    { { 'n' }, "n", NULL, "next match", key_next_match },
    { { 'N' }, "N", NULL, "previous match", key_previous_match },
    { { 'p' }, "p", NULL, "pause or go on measuring", key_pause },
    { { '?', KEY_F(1) }, "? F1", "? help", "this list", key_help },
    { { 'q' }, "q", "q quit", "quit", key_quit },
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

static void set_text(struct page *p, struct qs_str *text)
{
    qs_str_free(&p->text);
    p->text = *text;
    *text = (struct qs_str)QS_STR_INIT;
    p->n_lines = 0;
    for (size_t at = 0; at < p->text.len;) {
        if (!qs_grow(&p->line, &p->cap, p->n_lines + 2, sizeof *p->line))
            break; /* the rest is not shown */
        const char *end = memchr(p->text.data + at, '\n', p->text.len - at);
        p->line[p->n_lines++] = at;
        at = end ? (size_t)(end - p->text.data) + 1 : p->text.len + 1;
        p->line[p->n_lines] = at;
    }
}

static void report_to(struct qs_report *r, unsigned width, struct qs_str *out)
{
    if (!r || qs_report_failed(r))
        qs_str_add(out, "out of memory\n");
    else
        qs_report_text(r, width, out);
    qs_report_free(r);
}

static void help_text(struct qs_str *out)
{
    qs_str_add(out, "Keys\n\n");
    for (size_t i = 0; i < N_BINDINGS; i++)
        qs_str_addf(out, "  %-20s %s\n", bindings[i].label, bindings[i].help);
    qs_str_add(out, "\nEverything here, and more, can be had from the command line: quantscape --help.\n"
                    "quantscape map MODEL -t PRESET draws the map of any preset; quantscape quantize writes a file.\n");
}

static void map_text(struct viewer *v, unsigned width, struct qs_str *out)
{
    struct qs_err e = QS_ERR_INIT;
    if (!v->map_done)
        qs_str_add(out, "The error of every tensor under Q4_K_M is being measured on a sample of its rows ...\n");
    else if (v->map_err.code)
        qs_str_addf(out, "Nothing could be measured: %s\n", v->map_err.msg);
    else if (qs_map_page_text(&v->map, width, out, &e))
        qs_str_addf(out, "%s\n", e.msg);
}

static void overview_text(struct viewer *v, unsigned width, struct qs_str *out)
{
    const struct qs_info_args args = { .memory = qs_machine_memory() };
    report_to(qs_report_info(v->model, &args), width, out);
}

static void tensors_text(struct viewer *v, unsigned width, struct qs_str *out)
{
    const struct qs_tensors_args args = { .role = -1 };
    struct qs_report *r = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_report_tensors(v->model, &args, &r, &e))
        qs_str_addf(out, "%s\n", e.msg);
    else
        report_to(r, width, out);
}

static void make_page(struct viewer *v, int page, unsigned width)
{
    struct qs_str out = QS_STR_INIT;
    switch (page) {
    case PAGE_OVERVIEW: overview_text(v, width, &out); break;
    case PAGE_MAP: map_text(v, width, &out); break;
    case PAGE_TENSORS: tensors_text(v, width, &out); break;
    default: help_text(&out); break;
    }
    set_text(&v->page[page], &out);
    v->page[page].width = width;
}

static void go_page(struct viewer *v, int page)
{
    v->now = page;
    if (v->page[page].width != (unsigned)COLS || !v->page[page].n_lines)
        make_page(v, page, (unsigned)COLS);
    scroll_to(v, top_of(v));
}

/* ---- search ---- */

static void find_from(struct viewer *v, long from, long step)
{
    struct page *p = &v->page[v->now];
    struct qs_regex *re;
    struct qs_err e = QS_ERR_INIT;
    if (!v->pattern[0])
        return;
    if (qs_regex_compile(v->pattern, QS_REGEX_ICASE, &re, &e)) {
        snprintf(v->message, sizeof v->message, "%s", e.msg);
        return;
    }
    long hit = -1;
    for (long i = from; i >= 0 && i < (long)p->n_lines && hit < 0; i += step)
        if (qs_regex_find(re, p->text.data + p->line[i], p->line[i + 1] - p->line[i] - 1, 0, NULL, &e) == 1)
            hit = i;
    qs_regex_free(re);
    if (hit >= 0)
        scroll_to(v, hit);
    else
        snprintf(v->message, sizeof v->message, "no %smatch for %.200s", step > 0 ? "further " : "earlier ", v->pattern);
}

static void key_next_match(struct viewer *v) { find_from(v, top_of(v) + 1, 1); }
static void key_previous_match(struct viewer *v) { find_from(v, top_of(v) - 1, -1); }

static void type_key(struct viewer *v, wint_t c, bool code)
{
    const size_t n = strlen(v->pattern);
    if (c == '\r' || c == '\n' || (code && c == KEY_ENTER)) {
        v->typing = false;
        find_from(v, top_of(v), 1);
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

/* One line of text from column `left` on, clipped to the screen. */
static void draw_line(int y, const char *s, size_t n, size_t left)
{
    size_t at = 0, column = 0;
    move(y, 0);
    while (at < n) {
        const size_t from = at;
        const uint32_t cp = qs_utf8_next(s, n, &at);
        const unsigned w = qs_utf8_width_cp(cp);
        if (column >= left && column + w <= left + (size_t)COLS)
            addnstr(s + from, (int)(at - from));
        column += w;
    }
}

static void draw_bar(int y, const char *text)
{
    attron(A_REVERSE);
    mvhline(y, 0, ' ', COLS);
    draw_line(y, text, strlen(text), 0);
    attroff(A_REVERSE);
}

static void draw_footer(struct viewer *v)
{
    struct qs_str s = QS_STR_INIT;
    struct qs_job_status st;
    if (v->typing) {
        qs_str_addf(&s, "/%s_", v->pattern);
    } else if (v->message[0]) {
        qs_str_add(&s, v->message);
    } else {
        for (size_t i = 0; i < N_BINDINGS; i++)
            if (bindings[i].brief)
                qs_str_addf(&s, " %s ", bindings[i].brief);
        if (v->job) {
            qs_job_status(v->job, &st);
            char eta[32];
            qs_str_addf(&s, "| %s %s", st.state == QS_JOB_PAUSED ? "paused" : "measuring", st.item);
            if (st.total)
                qs_str_addf(&s, " %.0f %%", 100.0 * (double)st.done / (double)st.total);
            if (st.eta >= 0)
                qs_str_addf(&s, ", %s left", qs_fmt_seconds(eta, sizeof eta, st.eta));
        }
    }
    draw_bar(LINES - 1, s.data);
    qs_str_free(&s);
}

static void draw(struct viewer *v)
{
    struct page *p = &v->page[v->now];
    struct qs_str title = QS_STR_INIT;
    erase();
    if (LINES < 5 || COLS < 20) {
        draw_line(0, "too small", 9, 0);
        refresh();
        return;
    }
    if (p->width != (unsigned)COLS)
        make_page(v, v->now, (unsigned)COLS);
    scroll_to(v, top_of(v));
    for (int i = 0; i < PAGES; i++)
        qs_str_addf(&title, i == v->now ? "[%s]" : " %s ", page_names[i]);
    qs_str_add(&title, "  ");
    qs_utf8_clean(&title, v->path, strlen(v->path), 0);
    draw_bar(0, title.data);
    qs_str_free(&title);
    for (size_t i = 0; i < body_rows() && p->top + i < p->n_lines; i++)
        draw_line((int)i + 1, p->text.data + p->line[p->top + i], p->line[p->top + i + 1] - p->line[p->top + i] - 1, p->left);
    draw_footer(v);
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
    struct qs_job_status st;
    if (!v->job)
        return;
    qs_job_status(v->job, &st);
    qs_job_pause(v->job, st.state != QS_JOB_PAUSED);
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

static void dispatch(struct viewer *v, wint_t c)
{
    v->message[0] = 0;
    for (size_t i = 0; i < N_BINDINGS; i++)
        for (int k = 0; k < 4 && bindings[i].key[k]; k++)
            if (bindings[i].key[k] == (int)c) {
                bindings[i].act(v);
                return;
            }
}

static void take_keys(struct viewer *v)
{
    wint_t c;
    int kind;
    while ((kind = get_wch(&c)) != ERR) {
        if (kind == KEY_CODE_YES && c == KEY_RESIZE)
            continue; /* pages are made anew when drawn */
        if (v->typing)
            type_key(v, c, kind == KEY_CODE_YES);
        else
            dispatch(v, c);
    }
}

static void loop(struct viewer *v)
{
    while (!v->quit && !qs_term_ending()) {
        look_at_job(v);
        draw(v);
        qs_term_wait(v->pipe[0], -1);
        take_keys(v);
    }
}

static int start(struct viewer *v, struct qs_err *e)
{
    int rc = qs_model_open(v->path, &v->model, e);
    if (!rc)
        rc = qs_pool_new(0, &v->pool, e);
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
    for (int i = 0; i < PAGES; i++) {
        qs_str_free(&v->page[i].text);
        qs_free(v->page[i].line);
    }
    for (int i = 0; i < 2; i++)
        if (v->pipe[i] >= 0)
            close(v->pipe[i]);
    qs_pool_free(v->pool);
    qs_model_close(v->model);
}

int qs_ui_run(const char *path, struct qs_err *e)
{
    if (!path)
        return qs_fail(e, QS_EINVAL, "name a model to open: quantscape FILE.gguf (quantscape --help lists the verbs)");
    struct viewer v = { .path = path, .pipe = { -1, -1 } };
    for (int i = 0; i < PAGES; i++)
        v.page[i].text = (struct qs_str)QS_STR_INIT;
    qs_term_guard();
    const int rc = start(&v, e);
    if (!rc)
        loop(&v);
    end(&v);
    if (qs_term_ending()) { /* die of the signal, as the sender expects, now that the terminal is itself again */
        signal(qs_term_ending(), SIG_DFL);
        raise(qs_term_ending());
    }
    return rc;
}
