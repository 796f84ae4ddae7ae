/* chat_files.c - conversations and comparisons in files, and what is sent to the terminal's clipboard.
 *
 * Files are read by a job on memory that nobody else sees; a file that is read takes the place of what was there
 * only when all of it is good. Refuses to write over a file unless told so.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ui/chat.h"

/* ---- writing ---- */

static void told(struct qs_app *a, int rc, const char *path, const char *again, const struct qs_err *e)
{
    if (rc == QS_EEXISTS)
        qs_app_warn(a, "%s exists: :%s %s replaces it", path, again, path);
    else if (rc)
        qs_app_fail(a, e);
    else
        qs_app_say(a, "written: %s", path);
}

static void save(struct qs_app *a, const char *path, bool overwrite)
{
    struct qs_err e = QS_ERR_INIT;
    told(a, qs_talk_save(chat_of(a)->talk, path, overwrite, &e), path, "chat-save!", &e);
}

void chat_save(struct qs_app *a, const char *arg) { save(a, arg, false); }
void chat_save_over(struct qs_app *a, const char *arg) { save(a, arg, true); }

static void save_comparison(struct qs_app *a, const char *path, bool overwrite)
{
    struct qs_err e = QS_ERR_INIT;
    told(a, qs_answer_save(chat_of(a)->answer, path, overwrite, &e), path, "comparison-save!", &e);
}

void chat_comparison_save(struct qs_app *a, const char *arg) { save_comparison(a, arg, false); }
void chat_comparison_save_over(struct qs_app *a, const char *arg) { save_comparison(a, arg, true); }

/* ---- reading ---- */

static int read_file(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct chat *c = ctx;
    qs_job_phase(job, "reading", "", 0);
    c->file_rc = c->file_compares ? qs_answer_load(c->file, &c->loaded, e) : qs_talk_load(c->loaded_talk, c->file, e);
    if (c->file_rc)
        c->file_err = *e;
    return c->file_rc;
}

static void start_reading(struct qs_app *a, const char *path, bool compares)
{
    struct chat *c = chat_of(a);
    struct qs_err e = QS_ERR_INIT;
    if (c->loading) {
        qs_app_warn(a, "a file is being read");
        return;
    }
    c->file_compares = compares;
    c->file = qs_strdup(path);
    int rc = c->file ? QS_OK : qs_fail_mem(&e, strlen(path), "a file name");
    if (!rc && !compares)
        rc = qs_talk_new(&c->loaded_talk, &e);
    if (!rc) {
        if (c->loaded_talk)
            c->loaded_talk->settings = c->talk->settings; /* a plain list has none of its own */
        rc = qs_workbench_start(qs_app_bench(a), "reading", path, read_file, c, NULL, &c->loading, &e);
    }
    if (rc)
        qs_app_fail(a, &e);
}

void chat_load(struct qs_app *a, const char *arg) { start_reading(a, arg, false); }
void chat_replay(struct qs_app *a, const char *arg) { start_reading(a, arg, true); }

static void show_comparison(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    struct qs_err e = QS_ERR_INIT;
    if (qs_chat_replay(c->run, c->loaded, 1, qs_app_wake_fd(a), &e)) {
        qs_app_fail(a, &e);
        return;
    }
    c->replay = true;
    c->wanted = c->behind = false;
    c->answer_at = SIZE_MAX;
    c->token = QS_ANSWER_NONE;
}

static void show_conversation(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    qs_talk_free(c->talk);
    c->talk = c->loaded_talk;
    c->loaded_talk = NULL;
    c->replay = c->wanted = c->behind = false;
    c->answer_at = SIZE_MAX;
    c->token = QS_ANSWER_NONE;
    c->rows_talk = UINT64_MAX;
    qs_app_say(a, "%zu messages from %s", c->talk->n, c->file);
}

/* What was read is shown only where no answer has begun meanwhile. */
bool chat_files_poll(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    const struct qs_work *w = c->loading ? qs_workbench_job_by_id(qs_app_bench(a), c->loading) : NULL;
    if (!c->loading || (w && w->status.state <= QS_JOB_PAUSED))
        return false;
    c->loading = 0;
    if (c->file_rc)
        qs_app_fail(a, &c->file_err);
    else if (chat_runs(c))
        qs_app_warn(a, "an answer is being written: %s is not shown", c->file);
    else if (c->file_compares)
        show_comparison(a);
    else
        show_conversation(a);
    qs_answer_free(c->loaded);
    qs_talk_free(c->loaded_talk);
    qs_free(c->file);
    c->loaded = NULL;
    c->loaded_talk = NULL;
    c->file = NULL;
    return true;
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
