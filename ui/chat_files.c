/* chat_files.c - conversations and comparisons in files, and what is sent to the terminal's clipboard.
 *
 * Files are read and written by jobs, on memory that nobody else sees; what is written is what there was when it was
 * asked for. A file that is read takes the place of what was there only when all of it is good. Refuses to write over
 * a file unless told so.
 */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "ui/chat.h"

/* A file that is read or written, by a job. */
struct chat_file {
    unsigned job;                     /* 0: none runs */
    char *path;
    const char *again;                /* the command that writes over it */
    bool overwrite;
    struct qs_talk *talk;             /* what is written, or came of reading; NULL: it is a comparison */
    const struct qs_talk *of;         /* what is written is a copy of it */
    struct qs_answer *answer;
    int rc;
    struct qs_err err;
};

void chat_file_free(struct chat_file *f)
{
    if (!f)
        return;
    qs_talk_free(f->talk);
    qs_answer_free(f->answer);
    qs_free(f->path);
    qs_free(f);
}

static int file_new(const char *path, struct chat_file **out, struct qs_err *e)
{
    struct chat_file *f = qs_calloc(1, sizeof *f);
    if (f)
        f->path = qs_strdup(path);
    if (!f || !f->path) {
        chat_file_free(f);
        return qs_fail_mem(e, strlen(path), "a file name");
    }
    *out = f;
    return QS_OK;
}

/* The file is the screen's from here on, or gone. */
static void start(struct qs_app *a, struct chat_file *f, int rc, const char *word, qs_job_fn *fn,
                  struct chat_file **to, struct qs_err *e)
{
    if (!rc)
        rc = qs_workbench_start(qs_app_bench(a), word, f->path, fn, f, NULL, &f->job, e);
    if (rc) {
        qs_app_fail(a, e);
        chat_file_free(f);
    } else {
        *to = f;
    }
}

static bool has_ended(struct qs_app *a, const struct chat_file *f)
{
    const struct qs_work *w = f ? qs_workbench_job_by_id(qs_app_bench(a), f->job) : NULL;
    return f && (!w || w->status.state > QS_JOB_PAUSED); /* only ended ones can leave the list */
}

bool chat_unsaved(const struct chat *c)
{
    return c->talk->n && c->talk->said != c->in_file;
}

/* ---- writing ---- */

static int write_file(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct chat_file *f = ctx;
    qs_job_phase(job, "saving", "", 0);
    f->rc = f->talk ? qs_talk_save(f->talk, f->path, f->overwrite, e)
                    : qs_answer_save(f->answer, f->path, f->overwrite, e);
    if (f->rc)
        f->err = *e;
    return f->rc;
}

static void tell_exists(struct qs_app *a, const char *path, const char *again)
{
    qs_app_warn(a, "%s exists: :%s %s replaces it", path, again, path);
}

static void start_saving(struct qs_app *a, const char *path, bool compares, bool overwrite)
{
    struct chat *c = chat_of(a);
    struct chat_file *f = NULL;
    struct qs_err e = QS_ERR_INIT;
    const char *again = compares ? "comparison-save!" : "chat-save!";
    if (c->saving) {
        qs_app_warn(a, "a file is being written");
        return;
    }
    if (!overwrite && qs_file_exists(path)) {
        tell_exists(a, path, again);
        return;
    }
    int rc = file_new(path, &f, &e);
    if (!rc)
        rc = compares ? qs_answer_copy(c->answer, &f->answer, &e) : qs_talk_copy(c->talk, &f->talk, &e);
    if (!rc) {
        f->again = again;
        f->of = c->talk;
        f->overwrite = overwrite;
    }
    start(a, f, rc, "saving", write_file, &c->saving, &e);
}

void chat_save(struct qs_app *a, const char *arg) { start_saving(a, arg, false, false); }
void chat_save_over(struct qs_app *a, const char *arg) { start_saving(a, arg, false, true); }
void chat_comparison_save(struct qs_app *a, const char *arg) { start_saving(a, arg, true, false); }
void chat_comparison_save_over(struct qs_app *a, const char *arg) { start_saving(a, arg, true, true); }

static void saved(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    struct chat_file *f = c->saving;
    c->saving = NULL;
    if (f->rc == QS_EEXISTS)
        tell_exists(a, f->path, f->again);
    else if (f->rc)
        qs_app_tell_failed(a, &f->err);
    else
        qs_app_say(a, "written: %s", f->path);
    if (!f->rc && f->talk && f->of == c->talk)
        c->in_file = f->talk->said;
    chat_file_free(f);
}

/* ---- reading ---- */

static int read_file(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct chat_file *f = ctx;
    qs_job_phase(job, "reading", "", 0);
    f->rc = f->talk ? qs_talk_load(f->talk, f->path, e) : qs_answer_load(f->path, &f->answer, e);
    if (f->rc)
        f->err = *e;
    return f->rc;
}

static void start_reading(struct qs_app *a, const char *path, bool compares)
{
    struct chat *c = chat_of(a);
    struct chat_file *f = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (c->loading) {
        qs_app_warn(a, "a file is being read");
        return;
    }
    int rc = file_new(path, &f, &e);
    if (!rc && !compares)
        rc = qs_talk_new(&f->talk, &e);
    if (!rc && !compares)
        rc = qs_talk_settings_of(f->talk, c->talk, &e); /* a plain list has none of its own */
    start(a, f, rc, "reading", read_file, &c->loading, &e);
}

static void load_answered(struct qs_app *a, size_t answer, void *ctx)
{
    (void)answer, (void)ctx;
    start_reading(a, chat_of(a)->to_load, false);
}

void chat_load(struct qs_app *a, const char *arg)
{
    static const struct qs_app_answer answers[] = { { 'l', "load" } };
    struct chat *c = chat_of(a);
    if (!chat_unsaved(c)) {
        start_reading(a, arg, false);
        return;
    }
    qs_free(c->to_load);
    c->to_load = qs_strdup(arg);
    if (!c->to_load)
        qs_app_warn(a, "out of memory");
    else
        qs_app_ask(a, "Load a conversation", "The one that is here is not saved (:chat-save FILE keeps it).", answers,
                   1, load_answered, NULL);
}

void chat_replay(struct qs_app *a, const char *arg) { start_reading(a, arg, true); }

static void show_comparison(struct qs_app *a, const struct chat_file *f)
{
    struct chat *c = chat_of(a);
    struct qs_err e = QS_ERR_INIT;
    chat_job_leaves(a);
    if (qs_chat_replay(c->run, f->answer, 1, qs_app_wake_fd(a), &e)) {
        qs_app_fail(a, &e);
        return;
    }
    chat_job_stands(a, "replaying");
    c->replay = true;
    c->wanted = c->behind = false;
    c->answer_at = SIZE_MAX;
    c->token = QS_ANSWER_NONE;
}

/* The settings that are others than before, as "NAME VALUE". */
static void add_other_settings(const struct qs_talk *before, const struct qs_talk *now, struct qs_str *out)
{
    struct qs_talk_setting s;
    bool any = false;
    for (size_t i = 0; qs_talk_setting_at(i, &s); i++) {
        struct qs_str was = QS_STR_INIT, is = QS_STR_INIT;
        qs_talk_show(before, s.name, &was);
        qs_talk_show(now, s.name, &is);
        if (was.failed || is.failed || strcmp(was.data, is.data) != 0) {
            qs_str_addf(out, "%s %s %s", any ? "," : "; settings:", s.name, is.len ? is.data : "-");
            any = true;
        }
        qs_str_free(&was);
        qs_str_free(&is);
    }
}

static void tell_loaded(struct qs_app *a, const struct qs_talk *before, const struct chat_file *f)
{
    const struct qs_talk *now = f->talk;
    struct qs_str text = QS_STR_INIT, room = QS_STR_INIT;
    qs_str_addf(&text, "%zu message%s from %s", now->n, now->n == 1 ? "" : "s", qs_path_base(f->path));
    add_other_settings(before, now, &text);
    if (now->settings.n_ctx != before->settings.n_ctx)
        chat_context_remark(a, &now->settings, &room);
    if (text.failed || room.failed)
        qs_app_warn(a, "out of memory");
    else if (room.len)
        qs_app_warn(a, "%s; %s", text.data, room.data);
    else
        qs_app_say(a, "%s", text.data);
    qs_str_free(&text);
    qs_str_free(&room);
}

static void show_conversation(struct qs_app *a, struct chat_file *f)
{
    struct chat *c = chat_of(a);
    tell_loaded(a, c->talk, f);
    qs_talk_free(c->talk);
    c->talk = f->talk;
    f->talk = NULL;
    c->in_file = c->talk->said;
    c->editing = 0;
    chat_note(c, "");
    if (c->saving)
        c->saving->of = NULL;
    c->replay = c->wanted = c->behind = false;
    c->answer_at = SIZE_MAX;
    c->token = QS_ANSWER_NONE;
    c->rows_talk = UINT64_MAX;
}

/* What was read is shown only where no answer has begun meanwhile. */
static void loaded(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    struct chat_file *f = c->loading;
    c->loading = NULL;
    if (f->rc)
        qs_app_tell_failed(a, &f->err);
    else if (chat_runs(c))
        qs_app_warn(a, "an answer is being written: %s is not shown", f->path);
    else if (f->answer)
        show_comparison(a, f);
    else
        show_conversation(a, f);
    chat_file_free(f);
}

bool chat_files_poll(struct qs_app *a)
{
    const bool read = has_ended(a, chat_of(a)->loading), written = has_ended(a, chat_of(a)->saving);
    if (read)
        loaded(a);
    if (written)
        saved(a);
    return read || written;
}

/* ---- the clipboard ---- */

static void add_conversation(const struct qs_talk *t, struct qs_str *out)
{
    if (t->system[0])
        qs_str_addf(out, "system: %s\n\n", t->system);
    for (size_t i = 0; i < t->n; i++)
        qs_str_addf(out, "%s: %s\n\n", qs_talk_role_name(t->message[i].role), t->message[i].text);
}

static void add_last(const struct qs_talk *t, enum qs_talk_role role, bool other, struct qs_str *out)
{
    const struct qs_talk_message *m = qs_talk_last(t, role);
    if (m)
        qs_str_add(out, other && m->other ? m->other : m->text);
}

void chat_copy(struct qs_app *a, const char *arg)
{
    const struct chat *c = chat_of(a);
    const char *what = arg ? arg : "answer";
    struct qs_str text = QS_STR_INIT;
    if (strcmp(what, "all") == 0)
        add_conversation(c->talk, &text);
    else if (strcmp(what, "prompt") == 0)
        add_last(c->talk, QS_TALK_USER, false, &text);
    else if (c->replay && c->answer->n_sides)
        qs_str_add(&text, c->answer->side[strcmp(what, "other") == 0 && c->answer->n_sides > 1].text);
    else
        add_last(c->talk, QS_TALK_ASSISTANT, strcmp(what, "other") == 0, &text);
    if (text.failed || !text.len)
        qs_app_warn(a, text.failed ? "out of memory" : "there is nothing to copy yet");
    else
        qs_app_wants(a, QS_WISH_CLIPBOARD, text.data);
    qs_str_free(&text);
}
