/* screen_recipe_files.c - recipes in files: saved, loaded, exported, and compared with the one that is edited. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "core/report/report_recipe.h"
#include "ui/app_internal.h"
#include "ui/recipe.h"

static void save_to(struct qs_app *a, const char *name, bool overwrite)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_str path = QS_STR_INIT; /* the document's own name does not outlive the saving */
    qs_str_add(&path, name);
    const int rc = path.failed ? qs_fail_mem(&e, path.len, "a file name")
                               : qs_workbench_recipe_save(qs_app_bench(a), path.data, overwrite, &e);
    if (rc == QS_EEXISTS)
        qs_app_warn(a, "%s exists: :recipe-save! %s overwrites it", path.data, path.data);
    else if (rc)
        qs_app_fail(a, &e);
    else
        qs_app_say(a, "saved: %s", path.data);
    qs_str_free(&path);
}

void recipe_save(struct qs_app *a, const char *arg)
{
    const char *known = qs_app_doc(a)->recipe_path;
    if (arg || known)
        save_to(a, arg ? arg : known, !arg || (known && strcmp(arg, known) == 0));
    else
        qs_app_run(a, "recipe-save-as");
}

void recipe_save_as(struct qs_app *a, const char *arg) { save_to(a, arg, false); }
void recipe_save_over(struct qs_app *a, const char *arg) { save_to(a, arg, true); }

void recipe_load(struct qs_app *a, const char *arg)
{
    struct qs_err e = QS_ERR_INIT;
    if (qs_workbench_recipe_load(qs_app_bench(a), arg, &e))
        qs_app_fail(a, &e);
    else
        qs_app_say(a, "loaded: %s (u takes it back)", arg);
}

static void forget_report(struct recipe *r)
{
    qs_facts_view_set(&r->below, NULL);
    qs_report_free(r->compared);
    r->compared = NULL;
}

void recipe_forget_comparison(struct recipe *r)
{
    forget_report(r);
    qs_recipe_free(r->other);
    r->other = NULL;
    r->with[0] = 0;
}

/* The comparison with r->other as the recipe is now. */
void recipe_compare_anew(struct qs_app *a)
{
    struct recipe *r = recipe_of(a);
    const struct qs_doc *d = qs_app_doc(a);
    struct qs_resolved *theirs = NULL;
    struct qs_err e = QS_ERR_INIT;
    forget_report(r);
    if (!r->other)
        return;
    if (qs_recipe_resolve(r->other, d->model, d->imatrix != NULL, true, &theirs, &e)) {
        qs_app_fail(a, &e);
        recipe_forget_comparison(r);
        return;
    }
    r->compared = qs_report_recipe_diff(r->other, d->recipe, d->model, theirs, d->plan->resolved, NULL);
    qs_facts_view_set(&r->below, r->compared);
    qs_resolved_free(theirs);
}

/* With a recipe file, or with what a preset alone says. */
void recipe_compare(struct qs_app *a, const char *arg)
{
    struct recipe *r = recipe_of(a);
    struct qs_recipe *other = NULL;
    struct qs_err e = QS_ERR_INIT;
    if (qs_preset_by_name(arg) ? qs_recipe_new(arg, &other, &e) : qs_recipe_load(arg, &other, &e)) {
        qs_app_fail(a, &e);
        return;
    }
    recipe_forget_comparison(r);
    r->other = other;
    snprintf(r->with, sizeof r->with, "%s", arg);
    recipe_compare_anew(a);
}

/* The rules for --tensor-type-file; what goes on the command line is told. */
static void export_to(struct qs_app *a, const char *arg, bool overwrite)
{
    const struct qs_doc *d = qs_app_doc(a);
    struct qs_str file = QS_STR_INIT, args = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    int rc = qs_recipe_export_llama(d->recipe, d->model, d->imatrix != NULL, &file, &args, &e);
    if (!rc)
        rc = qs_file_write_atomic(arg, file.data, file.len, overwrite, &e);
    if (rc == QS_EEXISTS)
        qs_app_warn(a, "%s exists: :recipe-export! %s overwrites it", arg, arg);
    else if (rc)
        qs_app_fail(a, &e);
    else
        qs_app_say(a, "written: %s, for llama-quantize %s", arg, args.data);
    qs_str_free(&file);
    qs_str_free(&args);
}

void recipe_export(struct qs_app *a, const char *arg) { export_to(a, arg, false); }
void recipe_export_over(struct qs_app *a, const char *arg) { export_to(a, arg, true); }
