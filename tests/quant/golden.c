/* golden.c - see golden.h. Owns the model of the file being read; nothing outlives qs_golden_each. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/quant/golden.h"

struct reading {
    struct qs_model m;
    size_t cap;
    int *type;
    qs_golden_fn *fn;
    void *ctx;
    size_t n_runs;
};

static int type_of(const char *name)
{
    const struct qs_format *f = qs_format_by_name(name);
    if (!f)
        fail_msg("unknown type %s in a snapshot", name);
    return f->id;
}

static void read_hparams(struct qs_hparams *hp, char *line)
{
    char *save = NULL;
    for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        char *eq = strchr(w, '=');
        assert_non_null(eq);
        uint64_t v = strtoull(eq + 1, NULL, 10);
        *eq = 0;
        if (!strcmp(w, "embd"))
            hp->n_embd = v;
        else if (!strcmp(w, "ff"))
            hp->n_ff = v;
        else if (!strcmp(w, "layers"))
            hp->n_layer = v;
        else if (!strcmp(w, "heads"))
            hp->n_head = v;
        else if (!strcmp(w, "kv"))
            hp->n_head_kv = v;
        else if (!strcmp(w, "experts"))
            hp->n_expert = v;
        else
            fail_msg("unknown hparam %s", w);
    }
}

static void read_tensor(struct reading *r, char *line)
{
    struct qs_model *m = &r->m;
    char *save = NULL;
    if (m->n_tensors == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 64;
        m->tensor = realloc(m->tensor, r->cap * sizeof *m->tensor);
        assert_non_null(m->tensor);
    }
    struct qs_tensor *t = &m->tensor[m->n_tensors++];
    memset(t, 0, sizeof *t);
    t->name = strdup(strtok_r(line, " ", &save));
    t->type = type_of(strtok_r(NULL, " ", &save));
    t->format = qs_format_by_id(t->type);
    t->role = QS_ROLE_OTHER;
    t->layer = -1;
    t->n = 1;
    for (unsigned d = 0; d < QS_MAX_DIMS; d++) {
        char *w = strtok_r(NULL, " ", &save);
        t->ne[d] = w ? strtoull(w, NULL, 10) : 1;
        t->n_dims += w != NULL;
        t->n *= t->ne[d];
    }
    t->rows = t->n / t->ne[0];
    t->size = t->rows * qs_format_row_bytes(t->format, t->ne[0]);
    m->n_weights += t->n;
    m->bytes += t->size;
}

static void read_option(struct qs_golden_run *run, char *w)
{
    char *eq = strchr(w, '=');
    char *value = eq ? eq + 1 : NULL;
    if (!strcmp(w, "imatrix"))
        run->args.have_imatrix = true;
    else if (!strcmp(w, "pure"))
        run->args.pure = true;
    else if (!strcmp(w, "leave-output"))
        run->args.leave_output = true;
    else if (value && !strncmp(w, "output-type=", 12))
        run->args.output_type = type_of(value);
    else if (value && !strncmp(w, "token-embd-type=", 16))
        run->args.token_embd_type = type_of(value);
    else if (value && !strncmp(w, "rule=", 5)) {
        char *last = strrchr(value, '=');
        assert_true(last && run->n_rules < QS_GOLDEN_RULES);
        *last = 0;
        snprintf(run->rule[run->n_rules].pattern, sizeof run->rule[0].pattern, "%s", value);
        run->rule[run->n_rules++].type = type_of(last + 1);
    } else
        fail_msg("unknown option %s", w);
}

static void read_types(struct reading *r, char *text)
{
    char *save = NULL;
    for (size_t i = 0; i < r->m.n_tensors; i++)
        r->type[i] = QS_TYPE_NONE;
    for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        char *p = strchr(w, '=');
        assert_non_null(p);
        *p++ = 0;
        int type = type_of(w);
        while (*p) {
            unsigned long a = strtoul(p, &p, 10), b = a;
            if (*p == '-')
                b = strtoul(p + 1, &p, 10);
            assert_true(b < r->m.n_tensors);
            for (; a <= b; a++)
                r->type[a] = type;
            p += *p == ',';
        }
    }
    for (size_t i = 0; i < r->m.n_tensors; i++)
        assert_int_not_equal(r->type[i], QS_TYPE_NONE);
}

static void read_run(struct reading *r, char *line)
{
    char *body = strstr(line, " :");
    assert_non_null(body);
    *body = 0;
    body += 2;
    bool stops = strncmp(body, " stops ", 7) == 0;
    r->type = realloc(r->type, (r->m.n_tensors ? r->m.n_tensors : 1) * sizeof *r->type);
    assert_non_null(r->type);
    if (!stops)
        read_types(r, body);
    for (char *head = line, *next; head; head = next) {
        struct qs_golden_run run = { .args = { .output_type = QS_TYPE_NONE, .token_embd_type = QS_TYPE_NONE } };
        char *save = NULL;
        next = strstr(head, " | ");
        if (next) {
            *next = 0;
            next += 3;
        }
        snprintf(run.text, sizeof run.text, "%s: %s", r->m.hp.name, head);
        run.args.preset = qs_preset_by_name(strtok_r(head, " ", &save));
        if (!run.args.preset)
            fail_msg("%s: no such preset", run.text);
        for (char *w = strtok_r(NULL, " ", &save); w; w = strtok_r(NULL, " ", &save))
            read_option(&run, w);
        run.type = stops ? NULL : r->type;
        run.stops = stops ? body + 7 : NULL;
        r->fn(r->ctx, &r->m, &run);
        r->n_runs++;
    }
}

static void read_file(struct reading *r, const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("cannot open %s", path);
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, f)) > 0) {
        line[n - 1] = 0;
        if (!strncmp(line, "model ", 6))
            snprintf(r->m.hp.name, sizeof r->m.hp.name, "%s", line + 6);
        else if (!strncmp(line, "arch ", 5))
            snprintf(r->m.hp.arch, sizeof r->m.hp.arch, "%s", line + 5);
        else if (!strncmp(line, "hparams ", 8))
            read_hparams(&r->m.hp, line + 8);
        else if (!strncmp(line, "tensor ", 7))
            read_tensor(r, line + 7);
        else if (!strncmp(line, "run ", 4))
            read_run(r, line + 4);
        else if (*line && *line != '#')
            fail_msg("%s: cannot read: %s", path, line);
    }
    free(line);
    fclose(f);
    for (size_t i = 0; i < r->m.n_tensors; i++)
        free((void *)(uintptr_t)r->m.tensor[i].name);
    free(r->m.tensor);
    free(r->type);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

size_t qs_golden_each(const char *prefix, qs_golden_fn *fn, void *ctx)
{
    char folder[512], *name[128];
    size_t n = 0, runs = 0;
    const char *src = getenv("QS_SRCDIR");
    snprintf(folder, sizeof folder, "%s/tests/quant/snapshots", src ? src : ".");
    DIR *d = opendir(folder);
    if (!d)
        fail_msg("cannot open %s (QS_SRCDIR must name the source folder)", folder);
    for (struct dirent *x; (x = readdir(d)) != NULL;)
        if (!strncmp(x->d_name, prefix, strlen(prefix)) && n < 128)
            name[n++] = strdup(x->d_name);
    closedir(d);
    qsort(name, n, sizeof *name, by_name);
    for (size_t i = 0; i < n; i++) {
        char path[1024];
        struct reading r = { .fn = fn, .ctx = ctx };
        snprintf(path, sizeof path, "%s/%s", folder, name[i]);
        read_file(&r, path);
        runs += r.n_runs;
        free(name[i]);
    }
    return runs;
}
