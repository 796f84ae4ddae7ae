/* bench.c - a bench from beginning to end: limits, then each model, then what needs none.
 *
 * Owns the result, the limits and the scratch files of made-up models, which have no name while they are measured.
 */
#include "core/eval/bench_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/model/need.h"
#include "core/quant/preset.h"

static const char *const part_names[QS_BENCH_PARTS] = {
    [QS_BENCH_LIMITS] = "limits", [QS_BENCH_STARTUP] = "startup", [QS_BENCH_PREFILL] = "prefill",
    [QS_BENCH_DECODE] = "decode", [QS_BENCH_ATTENTION] = "attention", [QS_BENCH_ENCODE] = "encode",
    [QS_BENCH_CALIBRATE] = "calibrate",
};
static const char *const limit_names[QS_LIMITS] = {
    [QS_LIMIT_READ] = "read", [QS_LIMIT_INT8] = "int8", [QS_LIMIT_BF16] = "bf16", [QS_LIMIT_F32] = "f32",
};

const char *qs_bench_part_name(enum qs_bench_part p) { return (unsigned)p < QS_BENCH_PARTS ? part_names[p] : "?"; }
const char *qs_limit_name(enum qs_limit what) { return (unsigned)what < QS_LIMITS ? limit_names[what] : "?"; }

bool qs_bench_part_parse(const char *name, enum qs_bench_part *out)
{
    for (int p = 0; p < QS_BENCH_PARTS; p++)
        if (strcmp(name, part_names[p]) == 0) {
            *out = (enum qs_bench_part)p;
            return true;
        }
    return false;
}

void qs_bench_free(struct qs_bench *b)
{
    if (!b)
        return;
    qs_free(b->subject);
    qs_free(b->limit);
    qs_free(b->number);
    qs_free(b->note);
    qs_free(b);
}

/* ---- the machine ---- */

static void machine_name(char *out, size_t n)
{
    char line[256];
    struct utsname u;
    snprintf(out, n, "%s", uname(&u) == 0 ? u.machine : "?");
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        const char *name = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (!name)
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, n, "%s", name + 1 + strspn(name + 1, " "));
        break;
    }
    if (f)
        fclose(f);
}

static void fill_head(struct qs_bench *b, const struct qs_bench_args *a)
{
    const time_t now = time(NULL);
    struct tm t;
    snprintf(b->version, sizeof b->version, "%s", QS_VERSION);
    if (gmtime_r(&now, &t))
        strftime(b->date, sizeof b->date, "%Y-%m-%dT%H:%M:%SZ", &t);
    machine_name(b->machine, sizeof b->machine);
    b->threads = qs_pool_threads(a->pool);
    snprintf(b->level, sizeof b->level, "%s", qs_level_name(qs_level_now()));
    snprintf(b->precision, sizeof b->precision, "%s", a->precision == QS_FAST ? "fast" : "exact");
    snprintf(b->cache, sizeof b->cache, "%s/%s", qs_type_name(a->cache.type_k), qs_type_name(a->cache.type_v));
}

/* ---- limits ---- */

#define LINE_SECONDS 0.15

int qs_bench_limits(struct qs_bench_run_state *s, struct qs_err *e)
{
    int rc = QS_OK;
    qs_job_phase(s->job, "limits", "numbers", qs_limits_count(s->limits));
    for (size_t i = 0; rc == QS_OK && i < qs_limits_count(s->limits); i++) {
        const struct qs_limit_line *l = qs_limits_line(s->limits, i);
        qs_job_item(s->job, "%s: %s, %u threads", qs_limit_name(l->what), l->loop, l->threads);
        rc = qs_limits_measure(s->limits, i, LINE_SECONDS, e);
        rc = rc ? rc : qs_job_step(s->job, 1, e);
    }
    return rc;
}

/* All that was ever tried, with what was measured between the runs. */
static int keep_limits(struct qs_bench_run_state *s, struct qs_err *e)
{
    struct qs_bench *b = s->result;
    for (size_t i = 0; s->limits && i < qs_limits_count(s->limits); i++) {
        const struct qs_limit_line *l = qs_limits_line(s->limits, i);
        if (l->tries == 0)
            continue;
        if (!qs_grow(&b->limit, &b->cap_limits, b->n_limits + 1, sizeof *b->limit))
            return qs_fail_mem(e, (b->n_limits + 1) * sizeof *b->limit, "measured limits");
        struct qs_bench_limit *to = &b->limit[b->n_limits++];
        *to = (struct qs_bench_limit){ .threads = l->threads, .buffer = l->buffer, .granted = l->granted,
                                       .huge = l->huge, .tries = l->tries, .median = l->median, .best = l->best };
        snprintf(to->unit, sizeof to->unit, "%s", qs_limit_name(l->what));
        snprintf(to->loop, sizeof to->loop, "%s", l->loop);
        snprintf(to->level, sizeof to->level, "%s", qs_level_name(l->level));
    }
    return QS_OK;
}

/* What a reader of the limits has to know. */
static void remark_limits(struct qs_bench_run_state *s)
{
    for (size_t i = 0; s->limits && i < qs_limits_count(s->limits); i++) {
        const struct qs_limit_line *l = qs_limits_line(s->limits, i);
        if (l->tries == 0 || l->what != QS_LIMIT_READ || !l->huge)
            continue;
        if (l->granted < l->buffer / 10 * 9)
            qs_bench_note(s, "huge pages were asked for and %s (%llu of %llu MiB)",
                          l->granted ? "granted in part" : "not granted", (unsigned long long)l->granted >> 20,
                          (unsigned long long)l->buffer >> 20);
        if (l->buffer < QS_LIMIT_BUFFER)
            qs_bench_note(s, "memory is short: a buffer of %llu MiB is read, which caches may hold a part of",
                          (unsigned long long)l->buffer >> 20);
        return;
    }
}

/* ---- models ---- */

static bool wants(const struct qs_bench_run_state *s, enum qs_bench_part p) { return s->args->parts >> p & 1; }

static bool wants_model(const struct qs_bench_args *a)
{
    const unsigned of_models = 1u << QS_BENCH_STARTUP | 1u << QS_BENCH_PREFILL | 1u << QS_BENCH_DECODE
                               | 1u << QS_BENCH_ATTENTION;
    return a->parts & of_models || (a->parts >> QS_BENCH_CALIBRATE & 1 && a->calibration.collect);
}

/* Models of one file name, from several folders, are numbered. */
static void name_subject(struct qs_bench_run_state *s, const char *name)
{
    size_t same = 1;
    snprintf(s->subject, sizeof s->subject, "%s", name);
    for (size_t i = 0; i < s->result->n_subjects; i++)
        if (strcmp(s->result->subject[i].name, s->subject) == 0) {
            snprintf(s->subject, sizeof s->subject, "%.200s (%zu)", name, ++same);
            i = (size_t)-1; /* the new name may be another's */
        }
}

static int add_subject(struct qs_bench_run_state *s, const char *name, const char *source, struct qs_err *e)
{
    struct qs_bench *b = s->result;
    if (!qs_grow(&b->subject, &b->cap_subjects, b->n_subjects + 1, sizeof *b->subject))
        return qs_fail_mem(e, (b->n_subjects + 1) * sizeof *b->subject, "measured models");
    name_subject(s, name);
    struct qs_bench_subject *to = &b->subject[b->n_subjects++];
    *to = (struct qs_bench_subject){ .weights = s->model->n_weights, .bytes = s->model->bytes };
    snprintf(to->name, sizeof to->name, "%s", s->subject);
    snprintf(to->source, sizeof to->source, "%s", source);
    const uint64_t free = qs_machine_memory().available;
    if (free && s->model->bytes > free)
        qs_bench_note(s, "%s is larger than the memory that is free: it is read from the disk again and again", name);
    return QS_OK;
}

static int measure_model(struct qs_bench_run_state *s, struct qs_err *e)
{
    const struct qs_bench_args *a = s->args;
    const size_t prompts = wants(s, QS_BENCH_PREFILL) ? a->n_prefill : 0;
    const size_t speeds = prompts + (wants(s, QS_BENCH_DECODE) ? a->n_context : 0);
    int rc = QS_OK;
    if (speeds) {
        qs_job_phase(s->job, s->subject, "numbers", speeds);
        rc = qs_bench_speed(s, e);
    }
    if (!rc && wants(s, QS_BENCH_ATTENTION) && s->result->n_subjects == 1) { /* the same for all types of a shape */
        if (a->n_models > 1)
            qs_bench_note(s, "attention: measured with the shape of %s alone", s->subject);
        qs_job_phase(s->job, "attention", "numbers", 2);
        rc = qs_bench_attention(s, e);
    }
    const bool original = !a->shape || !qs_model_is_quantized(s->model);
    if (!rc && wants(s, QS_BENCH_CALIBRATE) && a->calibration.collect && original) {
        qs_job_phase(s->job, "calibrate", "numbers", 1);
        rc = qs_bench_collect(s, e);
    }
    return rc;
}

static int one_model(struct qs_bench_run_state *s, const char *name, const char *source, const char *path,
                     struct qs_err *e)
{
    int rc = qs_model_open(path, &s->model, e);
    rc = rc ? rc : add_subject(s, name, source, e);
    if (!rc && wants(s, QS_BENCH_STARTUP)) {
        qs_job_phase(s->job, "startup", "numbers", 4);
        rc = qs_bench_startup(s, path, e);
    }
    rc = rc ? rc : measure_model(s, e);
    qs_model_close(s->model);
    s->model = NULL;
    return rc;
}

/* The file `path`, empty so far, becomes a model and is measured. Where the system can open a file by its descriptor it has lost
 * its name before: nothing is left behind by a program that is killed. */
static int scratch_model(struct qs_bench_run_state *s, const char *preset, const char *path, struct qs_err *e)
{
    char name[64];
    const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return qs_fail_errno(e, errno, "%s (XDG_CACHE_HOME chooses another folder)", path);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    const bool nameless = access(name, R_OK | W_OK) == 0 && unlink(path) == 0;
    const char *file = nameless ? name : path;
    int rc = qs_bench_model_write(s->args->shape, preset, file, s->job, e);
    if (rc == QS_ENOSPACE) {
        const struct qs_err why = *e;
        rc = qs_fail(e, QS_ENOSPACE, "%s: %s; XDG_CACHE_HOME chooses another folder", path, why.msg);
    }
    rc = rc ? rc : one_model(s, preset, s->args->shape->name, file, e);
    if (!nameless)
        unlink(path);
    close(fd);
    return rc;
}

static int made_model(struct qs_bench_run_state *s, const char *preset, struct qs_err *e)
{
    struct qs_str dir = QS_STR_INIT, path = QS_STR_INIT;
    char name[96];
    int rc = qs_scratch_dir(&dir, e);
    snprintf(name, sizeof name, "bench-%ld-%s.gguf", (long)getpid(), s->args->shape->name);
    if (rc == QS_OK) {
        qs_path_join(dir.data, name, &path);
        if (path.failed)
            rc = qs_fail_mem(e, path.len, "a name");
    }
    rc = rc ? rc : scratch_model(s, preset, path.data, e);
    qs_str_free(&dir);
    qs_str_free(&path);
    return rc;
}

/* Whether one of the made-up models is such as calibrations start from. */
static bool any_float(const struct qs_bench_args *a)
{
    bool any = false;
    for (size_t i = 0; i < a->n_presets; i++)
        any = any || qs_format_by_id(qs_preset_by_name(a->preset[i])->base)->kind == QS_KIND_FLOAT;
    return any;
}

static int all_models(struct qs_bench_run_state *s, struct qs_err *e)
{
    const struct qs_bench_args *a = s->args;
    int rc = QS_OK;
    for (size_t i = 0; rc == QS_OK && i < a->n_models; i++)
        rc = one_model(s, qs_path_base(a->model[i]), a->model[i], a->model[i], e);
    for (size_t i = 0; rc == QS_OK && a->shape && i < a->n_presets; i++)
        rc = made_model(s, a->preset[i], e);
    if (rc == QS_OK && a->shape && wants(s, QS_BENCH_CALIBRATE) && a->calibration.collect && !any_float(a)) {
        struct qs_bench_args alone = *a; /* one more model, for this part only */
        alone.parts = 1u << QS_BENCH_CALIBRATE;
        s->args = &alone;
        rc = made_model(s, "BF16", e);
        s->args = a;
    }
    return rc;
}

static int all_parts(struct qs_bench_run_state *s, struct qs_err *e)
{
    int rc = wants(s, QS_BENCH_LIMITS) ? qs_bench_limits(s, e) : QS_OK;
    if (!rc && wants_model(s->args))
        rc = all_models(s, e);
    if (!rc && wants(s, QS_BENCH_ENCODE))
        rc = qs_bench_encode(s, e);
    if (!rc && wants(s, QS_BENCH_CALIBRATE)) {
        qs_job_phase(s->job, "Hessians", "numbers", 2);
        rc = qs_bench_hessian(s, e);
    }
    return rc;
}

int qs_bench_run(const struct qs_bench_args *a, struct qs_job *job, struct qs_bench **out, struct qs_err *e)
{
    struct qs_bench_run_state s = { .args = a, .job = job };
    s.result = *out = qs_calloc(1, sizeof **out);
    if (!*out)
        return qs_fail_mem(e, sizeof **out, "the results of a bench");
    fill_head(*out, a);
    int rc = qs_limits_new(a->pool, a->memory / 4, &s.limits, e);
    s.bf16 = !rc && qs_limits_have(s.limits, QS_LIMIT_BF16);
    rc = rc ? rc : all_parts(&s, e);
    const int kept = keep_limits(&s, rc ? NULL : e);
    rc = rc ? rc : kept;
    remark_limits(&s);
    (*out)->stopped = rc != QS_OK;
    qs_limits_free(s.limits);
    return rc;
}
