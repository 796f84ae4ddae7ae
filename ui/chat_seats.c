/* chat_seats.c - the models that can be spoken to: the document's, its candidate, and files by name.
 *
 * A seat is made by a job (headers, vocabulary, an engine over mapped weights) and freed only while no answer runs
 * and nothing is loaded, since sides lean on each other. Of two, what they take is stated before they are used, and
 * before the candidate is made. The candidate's seat is made anew for every candidate.
 */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/model/need.h"
#include "ui/chat.h"

/* ---- loading ---- */

struct chat_load {
    unsigned job;
    struct qs_pool *pool;
    enum qs_precision precision;
    const struct qs_model *model;      /* of the document; NULL: `path` */
    char *path, label[QS_ANSWER_LABEL];
    struct qs_candidate *made;   /* to be put into the engine; NULL: the model's own weights */
    struct qs_side *beside;
    struct qs_engine *engine;          /* what came of it */
    struct qs_side *side;
    int rc;
    struct qs_err err;
    bool stale;                        /* not wanted any more as it was started: it is thrown away when it has ended */
};

static int load_engine(struct chat_load *l, struct qs_err *e)
{
    const struct qs_engine_args args = { .pool = l->pool, .precision = l->precision, .prio = QS_PRIO_INTERACTIVE };
    const int rc = qs_engine_new(l->model, &args, &l->engine, e);
    return rc || !l->made ? rc : qs_candidate_apply(l->made, l->engine, NULL, e);
}

static int load(struct qs_job *job, void *ctx, struct qs_err *e)
{
    struct chat_load *l = ctx;
    const struct qs_side_args args = { .pool = l->pool, .precision = l->precision, .label = l->label,
                                       .beside = l->beside };
    qs_job_phase(job, "headers", "", 0);
    int rc = l->model ? load_engine(l, e) : QS_OK;
    if (!rc)
        rc = l->model ? qs_side_new(l->engine, &args, &l->side, e) : qs_side_open(l->path, &args, &l->side, e);
    l->rc = rc;
    if (rc)
        l->err = *e;
    return rc;
}

static void load_free(struct chat_load *l)
{
    if (!l)
        return;
    qs_side_free(l->side);
    qs_engine_free(l->engine);
    qs_candidate_unref(l->made);
    qs_free(l->path);
    qs_free(l);
}

/* What seats are made of. Takes nothing over on failure but what load_free gives back. */
static int load_fill(struct qs_app *a, int seat, struct chat_load *l, struct qs_err *e)
{
    struct chat *c = chat_of(a);
    struct chat_seat *s = &c->seat[seat];
    const struct qs_doc_candidate *dc = qs_workbench_candidate(qs_app_bench(a));
    l->pool = qs_app_pool(a);
    l->precision = c->precision;
    l->beside = seat != CHAT_ORIGINAL ? c->seat[CHAT_ORIGINAL].side : NULL;
    chat_seat_name(a, seat, l->label, sizeof l->label);
    if (seat < CHAT_FILES || l->beside)
        s->held = qs_workbench_hold(qs_app_bench(a)); /* a file may turn out to be the document's own */
    if (seat >= CHAT_FILES)
        return (l->path = qs_strdup(s->path)) ? QS_OK : qs_fail_mem(e, strlen(s->path), "a file name");
    l->model = qs_held_model(s->held);
    if (seat == CHAT_CANDIDATE)
        l->made = qs_candidate_ref(dc->candidate);
    return QS_OK;
}

static void start_load(struct qs_app *a, int seat)
{
    struct chat_seat *s = &chat_of(a)->seat[seat];
    struct chat_load *l = qs_calloc(1, sizeof *l);
    struct qs_str title = QS_STR_INIT;
    int rc = l ? load_fill(a, seat, l, &s->err) : qs_fail_mem(&s->err, sizeof *l, "a model to talk to");
    if (!rc) {
        qs_str_addf(&title, "load %s", l->label);
        rc = qs_workbench_start(qs_app_bench(a), "loading", title.failed ? "load a model" : title.data, load, l, NULL,
                                &l->job, &s->err);
    }
    qs_str_free(&title);
    if (rc) {
        qs_log_add(qs_workbench_log(qs_app_bench(a)), QS_LOG_ERROR, "%s", s->err.msg); /* no job has told it */
        load_free(l);
        qs_workbench_let_go(s->held);
        s->held = NULL;
        return;
    }
    s->load = l;
}

static bool has_ended(struct qs_app *a, unsigned job)
{
    const struct qs_work *w = qs_workbench_job_by_id(qs_app_bench(a), job);
    return !w || w->status.state > QS_JOB_PAUSED; /* only ended ones can leave the list */
}

/* What the tokenizer cannot do as the model's makers meant it: once for a model. */
static void warn(struct qs_app *a, struct chat_seat *s)
{
    for (size_t i = 0; !s->warned && qs_side_warning(s->side, i); i++) {
        qs_app_warn(a, "%s: %s", qs_side_label(s->side), qs_side_warning(s->side, i));
        qs_log_add(qs_workbench_log(qs_app_bench(a)), QS_LOG_WARNING, "%s: %s", qs_side_label(s->side),
                   qs_side_warning(s->side, i));
    }
    s->warned = true;
}

static void take_in(struct chat_seat *s)
{
    struct chat_load *l = s->load;
    s->load = NULL;
    if (l->rc || l->stale) {
        s->err = l->stale ? (struct qs_err)QS_ERR_INIT : l->err;
        load_free(l);
        qs_workbench_let_go(s->held);
        s->held = NULL;
        return;
    }
    s->err = (struct qs_err)QS_ERR_INIT;
    s->side = l->side;
    s->engine = l->engine;
    s->made = l->made;
    l->side = NULL;
    l->engine = NULL;
    l->made = NULL;
    if (s->held && qs_side_model(s->side) != qs_held_model(s->held)) {
        qs_workbench_let_go(s->held);
        s->held = NULL;
    }
    load_free(l);
}

bool chat_seats_poll(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    bool changed = false;
    for (int i = 0; i < CHAT_SEATS; i++)
        if (c->seat[i].load && has_ended(a, c->seat[i].load->job)) {
            take_in(&c->seat[i]);
            if (c->seat[i].side && i != CHAT_CANDIDATE) /* which has the original's */
                warn(a, &c->seat[i]);
            changed = true;
        }
    return changed;
}

/* ---- leaving ---- */

static void agreed(struct qs_app *a, size_t answer, void *ctx);

/* The question about two models is about others now. */
static void unask(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    if (c->asked)
        qs_app_unask(a, agreed, NULL);
    c->asked = false;
}

static void seat_free(struct chat_seat *s)
{
    qs_side_free(s->side);
    qs_engine_free(s->engine);
    qs_candidate_unref(s->made);
    qs_workbench_let_go(s->held);
    qs_free(s->path);
}

/* Where there is no memory to put it aside, it stays until the end. */
void chat_seat_retire(struct qs_app *a, int seat)
{
    struct chat *c = chat_of(a);
    struct chat_seat *s = &c->seat[seat];
    if (s->load)
        s->load->stale = true;
    if (!s->side || !qs_grow(&c->retired, &c->cap_retired, c->n_retired + 1, sizeof *c->retired))
        return;
    c->retired[c->n_retired++] = (struct chat_seat){ .held = s->held, .made = s->made, .engine = s->engine,
                                                     .side = s->side };
    s->held = NULL;
    s->made = NULL;
    s->engine = NULL;
    s->side = NULL;
    s->err = (struct qs_err)QS_ERR_INIT;
    chat_seats_sweep(a);
}

void chat_seats_sweep(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    bool quiet = !chat_runs(c);
    for (int i = 0; i < CHAT_SEATS; i++)
        quiet = quiet && !c->seat[i].load;
    while (quiet && c->n_retired)
        seat_free(&c->retired[--c->n_retired]);
}

void chat_seats_free(struct chat *c)
{
    for (int i = 0; i < CHAT_SEATS; i++) {
        load_free(c->seat[i].load);
        c->seat[i].load = NULL;
    }
    while (c->n_retired)
        seat_free(&c->retired[--c->n_retired]);
    for (int i = CHAT_SEATS; i-- > 0;)
        seat_free(&c->seat[i]);
    qs_free(c->retired);
}

void chat_seats_document(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    c->wanted = false;
    unask(a);
    qs_chat_stop(c->run);
    for (int i = 0; i < CHAT_FILES; i++) {
        c->seat[i].agreed = c->seat[i].warned = false;
        chat_seat_retire(a, i);
    }
}

void chat_seats_alone(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    if (chat_two(c) || c->at[0] == CHAT_CANDIDATE || !qs_app_doc(a))
        return;
    c->seat[CHAT_CANDIDATE].agreed = false;
    chat_seat_retire(a, CHAT_CANDIDATE);
    (void)qs_workbench_candidate_want(qs_app_bench(a), false, NULL);
}

/* ---- who there is ---- */

bool chat_two(const struct chat *c)
{
    return c->at[1] != CHAT_NOBODY;
}

int chat_seat_for(struct chat *c, const char *path)
{
    for (int i = CHAT_FILES; i < CHAT_SEATS; i++)
        if (c->seat[i].path && strcmp(c->seat[i].path, path) == 0)
            return i;
    for (int i = CHAT_FILES; i < CHAT_SEATS; i++)
        if (!c->seat[i].path && !c->seat[i].side)
            return (c->seat[i].path = qs_strdup(path)) ? i : CHAT_NOBODY;
    return CHAT_NOBODY;
}

int chat_seat_next(struct qs_app *a, int seat)
{
    const struct chat *c = chat_of(a);
    const int from = seat == CHAT_NOBODY ? CHAT_SEATS - 1 : seat;
    for (int k = 1; k <= CHAT_SEATS; k++) {
        const int i = (from + k) % CHAT_SEATS;
        if (i != c->at[0] && i != seat && (i != c->draft || !i) && (i < CHAT_FILES ? qs_app_doc(a) != NULL : c->seat[i].path != NULL))
            return i;
    }
    return CHAT_NOBODY;
}

void chat_seat_name(struct qs_app *a, int seat, char *buf, size_t n)
{
    const struct qs_doc *d = qs_app_doc(a);
    const struct qs_recipe *r = d ? d->recipe : NULL;
    char pins[32] = "", rules[32] = "";
    if (seat >= CHAT_FILES) {
        (void)snprintf(buf, n, "%s", qs_path_base(chat_of(a)->seat[seat].path));
    } else if (!d) {
        (void)snprintf(buf, n, "no model");
    } else if (seat == CHAT_ORIGINAL) {
        (void)snprintf(buf, n, "%s", qs_path_base(d->model->path));
    } else {
        if (r->n_pins)
            (void)snprintf(pins, sizeof pins, " + %zu pin%s", r->n_pins, r->n_pins == 1 ? "" : "s");
        if (r->n_rules)
            (void)snprintf(rules, sizeof rules, " + %zu rule%s", r->n_rules, r->n_rules == 1 ? "" : "s");
        (void)snprintf(buf, n, "candidate %s%s%s", r->preset->name, pins, rules);
    }
}

/* ---- what it takes ---- */

static void add_memory(struct qs_str *out, const char *who, const struct qs_answer_memory *m)
{
    char mapped[24], heap[24], cache[24];
    qs_str_addf(out, "%s: %s of weights in its file, %s in memory, %s of cache and buffers.\n", who,
                qs_fmt_bytes(mapped, sizeof mapped, m->mapped), qs_fmt_bytes(heap, sizeof heap, m->heap),
                qs_fmt_bytes(cache, sizeof cache, m->cache));
}

static void add_machine(struct qs_str *out, uint64_t private_bytes)
{
    char size[24], all[24];
    const struct qs_machine_memory m = qs_machine_memory();
    qs_str_addf(out, "Private memory in all: %s", qs_fmt_bytes(size, sizeof size, private_bytes));
    if (m.available)
        qs_str_addf(out, "; this machine has %s to give", qs_fmt_bytes(all, sizeof all, m.available));
    qs_str_add(out, ". Pages of files come and go as there is room.\n");
}

/* Of the original, and of a candidate that may not be there yet: beside what both share, which exists once. */
static int tell_candidate(struct qs_app *a, struct qs_str *out, struct qs_err *e)
{
    struct chat *c = chat_of(a);
    struct qs_chat_need need;
    struct qs_candidate_need made;
    char name[QS_ANSWER_LABEL], scratch[24], shared[24], working[24], free_disk[24];
    int rc = qs_chat_need(&c->seat[CHAT_ORIGINAL].side, 1, &c->talk->settings, &need, e);
    if (!rc)
        rc = qs_workbench_candidate_need(qs_app_bench(a), &made, e);
    if (rc)
        return rc;
    chat_seat_name(a, CHAT_ORIGINAL, name, sizeof name);
    add_memory(out, name, &need.side[0]);
    chat_seat_name(a, CHAT_CANDIDATE, name, sizeof name);
    qs_str_addf(out, "%s: %s in scratch files on the disk (%s free), %s shared with the original and loaded once, the "
                "same again of cache; %s while it is made.\n", name,
                qs_fmt_bytes(scratch, sizeof scratch, made.scratch),
                qs_fmt_bytes(free_disk, sizeof free_disk, made.free_disk),
                qs_fmt_bytes(shared, sizeof shared, made.shared), qs_fmt_bytes(working, sizeof working, made.working));
    add_machine(out, need.private_bytes + need.side[0].cache + made.heap + made.working);
    return QS_OK;
}

static int tell_two(struct qs_app *a, struct qs_str *out, struct qs_err *e)
{
    struct chat *c = chat_of(a);
    struct qs_side *side[QS_ANSWER_SIDES] = { c->seat[c->at[0]].side, c->seat[c->at[1]].side };
    struct qs_chat_need need;
    char name[QS_ANSWER_LABEL], size[24];
    const int rc = qs_chat_need(side, QS_ANSWER_SIDES, &c->talk->settings, &need, e);
    if (rc)
        return rc;
    for (int i = 0; i < QS_ANSWER_SIDES; i++) {
        chat_seat_name(a, c->at[i], name, sizeof name);
        add_memory(out, name, &need.side[i]);
    }
    const uint64_t shared = need.shared.mapped + need.shared.heap + need.shared.cache;
    if (shared)
        qs_str_addf(out, "Of that both share %s, loaded once.\n", qs_fmt_bytes(size, sizeof size, shared));
    add_machine(out, need.private_bytes);
    return QS_OK;
}

static void agreed(struct qs_app *a, size_t answer, void *ctx)
{
    struct chat *c = chat_of(a);
    (void)ctx;
    c->asked = false;
    for (int i = 0; i < QS_ANSWER_SIDES && answer == 0; i++)
        if (c->at[i] != CHAT_NOBODY)
            c->seat[c->at[i]].agreed = true;
    if (answer == 1)
        c->at[1] = CHAT_NOBODY;
    qs_app_go(a, &qs_screen_chat);
    (void)chat_poll(a);
}

/* Only where it is seen, and never in the place of something else. */
static int ask(struct qs_app *a)
{
    static const struct qs_app_answer answers[] = { { 'l', "load both" }, { 'o', "original alone" } };
    struct chat *c = chat_of(a);
    struct qs_str text = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    const bool document = c->at[0] == CHAT_ORIGINAL && c->at[1] == CHAT_CANDIDATE;
    if (qs_app_screen(a) != &qs_screen_chat || qs_app_over(a))
        return 0;
    int rc = document ? tell_candidate(a, &text, &e) : tell_two(a, &text, &e);
    if (!rc && text.failed)
        rc = qs_fail_mem(&e, text.len, "a question");
    if (rc)
        qs_app_fail(a, &e);
    else
        qs_app_ask(a, "Two models side by side", text.data, answers, document ? 2 : 1, agreed, NULL);
    c->asked = rc == QS_OK;
    qs_str_free(&text);
    return rc ? -1 : 0;
}

/* The question was left without an answer. */
static int cancelled(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    c->asked = false;
    c->at[1] = CHAT_NOBODY;
    qs_app_say(a, "one model alone; s: side by side");
    return -1;
}

/* ---- are they there? ---- */

static int not_there(struct qs_app *a, const struct qs_err *e)
{
    qs_app_fail(a, e);
    return -1;
}

/* The candidate's weights; 1: they are what the recipe says. */
static int candidate_ready(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    struct qs_workbench *w = qs_app_bench(a);
    struct qs_err e = QS_ERR_INIT;
    const struct qs_doc_candidate *dc = qs_workbench_candidate(w);
    if ((!dc->wanted || (dc->err.code && !dc->job)) && qs_workbench_candidate_want(w, true, &e))
        return not_there(a, &e);
    if (!dc->fresh)
        return 0;
    if (c->seat[CHAT_CANDIDATE].side && c->seat[CHAT_CANDIDATE].made != dc->candidate)
        chat_seat_retire(a, CHAT_CANDIDATE);
    return 1;
}

int chat_seat_ready(struct qs_app *a, int seat)
{
    struct chat *c = chat_of(a);
    struct chat_seat *s = &c->seat[seat];
    if (seat < CHAT_FILES && !qs_app_doc(a)) {
        qs_app_warn(a, "no model is open: :open FILE opens one, :instead FILE talks to one without it");
        return -1;
    }
    if (s->load)
        return 0;
    if (seat == CHAT_CANDIDATE) {
        const int rc = candidate_ready(a);
        if (rc < 1)
            return rc;
    }
    if (s->side)
        return 1;
    if (s->err.code) {
        const struct qs_err e = s->err;
        s->err = (struct qs_err)QS_ERR_INIT; /* the next time it is tried again */
        qs_app_tell_failed(a, &e);
        return -1;
    }
    start_load(a, seat);
    return s->load ? 0 : chat_seat_ready(a, seat);
}

void chat_seat_leave(struct qs_app *a, int seat)
{
    struct chat_seat *s = &chat_of(a)->seat[seat];
    chat_seat_retire(a, seat);
    qs_free(s->path);
    s->path = NULL;
    s->agreed = s->warned = false;
}

/* Who cannot answer leaves the place; a file leaves its seat too. */
static int give_up(struct qs_app *a, int side)
{
    struct chat *c = chat_of(a);
    unask(a);
    if (c->at[side] >= CHAT_FILES)
        chat_seat_leave(a, c->at[side]);
    c->at[side] = side ? CHAT_NOBODY : CHAT_ORIGINAL;
    if (c->at[0] == c->at[1])
        c->at[1] = CHAT_NOBODY;
    return -1;
}

/* The one beside, of two files, or of one that is compared with the document. */
static int right_ready(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    struct qs_err e = QS_ERR_INIT;
    const int rc = chat_seat_ready(a, c->at[1]);
    if (rc < 1)
        return rc < 0 ? give_up(a, 1) : rc;
    if (qs_sides_comparable(c->seat[c->at[0]].side, c->seat[c->at[1]].side, &e)) {
        (void)not_there(a, &e);
        return give_up(a, 1);
    }
    return 1;
}

int chat_seats_ready(struct qs_app *a)
{
    struct chat *c = chat_of(a);
    const int left = chat_seat_ready(a, c->at[0]);
    if (left < 0)
        return give_up(a, 0);
    if (left < 1 || !chat_two(c))
        return left < 1 ? left : chat_draft_ready(a);
    /* What both take is known before the candidate is made, and when the headers of a file have been read. */
    const bool document = c->at[0] == CHAT_ORIGINAL && c->at[1] == CHAT_CANDIDATE;
    const int right = document ? 1 : right_ready(a);
    if (right < 1)
        return right;
    const bool agreed_to = c->seat[c->at[0]].agreed && c->seat[c->at[1]].agreed;
    if (!agreed_to && c->asked)
        return qs_app_over(a) ? 0 : cancelled(a);
    if (!agreed_to)
        return ask(a) < 0 ? give_up(a, 1) : 0;
    const int both = document ? right_ready(a) : 1;
    return both < 1 ? both : chat_draft_ready(a);
}

void chat_seats_state(struct qs_app *a, char *buf, size_t n)
{
    const struct chat *c = chat_of(a);
    const struct qs_doc_candidate *dc = qs_workbench_candidate(qs_app_bench(a));
    const struct qs_work *w = dc && dc->job ? qs_workbench_job_by_id(qs_app_bench(a), dc->job) : NULL;
    const struct qs_work *answer = c->job ? qs_workbench_job_by_id(qs_app_bench(a), c->job) : NULL;
    buf[0] = 0;
    if (answer && answer->status.state == QS_JOB_PAUSED)
        (void)snprintf(buf, n, "paused");
    for (int i = 0; i < CHAT_SEATS; i++)
        if (c->seat[i].load)
            (void)snprintf(buf, n, "loading %s ...", c->seat[i].load->label);
    if (w && w->status.total && c->at[1] == CHAT_CANDIDATE)
        (void)snprintf(buf, n, "encoding the candidate: %.0f %%",
                       100.0 * (double)w->status.done / (double)w->status.total);
}
