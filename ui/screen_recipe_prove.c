/* screen_recipe_prove.c - the proof of what was found for a budget: asked for, and in words; the workbench measures. */
#include <math.h>

#include "base/text.h"
#include "core/report/report_fit.h"
#include "core/workbench_calib.h"
#include "ui/recipe_fit.h"

static void prove(struct qs_app *a, const char *text, void *ctx)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_str path = QS_STR_INIT;
    (void)ctx;
    if (!*text)
        return;
    qs_app_expand_home(text, &path);
    if (path.failed)
        qs_app_warn(a, "out of memory");
    else if (qs_workbench_prove(qs_app_bench(a), path.data, &e))
        qs_app_fail(a, &e);
    else
        qs_app_say(a, "measuring on %d windows of %s; the Jobs screen cancels it", QS_PROVE_WINDOWS, path.data);
    qs_recipe_fit_of(a)->hidden = false;
    qs_str_free(&path);
}

void qs_recipe_fit_prove(struct qs_app *a, const char *arg)
{
    if (arg)
        prove(a, arg, NULL);
    else
        qs_app_prompt(a, "held-out text, not calibrated on: ", NULL, QS_ARG_FILE, NULL, prove, NULL);
}

void qs_recipe_prove_words(struct qs_app *a, struct qs_str *out)
{
    struct qs_proof_state s;
    qs_workbench_proof(qs_app_bench(a), &s);
    const struct qs_work *w = s.runs ? qs_workbench_job_by_id(qs_app_bench(a), s.job) : NULL;
    if (w)
        qs_str_addf(out, "Proof: %s, %.0f %%\n", w->status.phase[0] ? w->status.phase : "measuring",
                    w->status.total ? 100.0 * (double)w->status.done / (double)w->status.total : 0);
    if (w || !s.proof)
        return;
    const struct qs_rival *ours = &s.proof->rival[0];
    qs_str_addf(out, "Measured KL divergence %.5f %s %.5f", ours->kld, qs_app_ascii(a) ? "+-" : "\u00b1", ours->kld_se);
    if (!isnan(s.proof->predicted))
        qs_str_addf(out, ", predicted %.5f", s.proof->predicted);
    qs_str_add(out, ". ");
    qs_fit_verdict(&(struct qs_fit_view){ .proof = s.proof }, out);
    qs_str_addc(out, '\n');
}

bool qs_recipe_prove_poll(struct qs_app *a)
{
    struct qs_recipe_fit *f = qs_recipe_fit_of(a);
    struct qs_proof_state s;
    qs_workbench_proof(qs_app_bench(a), &s);
    if (s.runs || !s.job || s.job == f->told_proof)
        return false;
    f->told_proof = s.job;
    if (s.err.code == QS_ECANCELLED)
        qs_app_say(a, "the proof was cancelled");
    else if (s.err.code)
        qs_app_tell_failed(a, &s.err);
    else
        qs_app_say(a, "proved: the Recipe screen says how it stands");
    return true;
}
