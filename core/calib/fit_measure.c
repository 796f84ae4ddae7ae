/* fit_measure.c - errors that a budget's costs are made from, measured where neither statistics nor survey know them.
 *
 * Owns the list of one measuring. Of what a calibration has kept activation rows the output errors are measured, unless
 * its own table has them; of the rest, errors of the weights, which go into the survey.
 */
#include <poll.h>
#include <string.h>

#include "base/mem.h"
#include "core/calib/fit_internal.h"

enum { WAIT_MS = 20 };

/* Free to be chosen, whatever a recipe says: presets are compared by the same costs. */
static bool settable(const struct qs_fit_args *a, size_t i)
{
    return qs_preset_settable(a->model, &a->model->tensor[i]);
}

int qs_fit_measure_outputs(const struct qs_fit_args *a, struct qs_pool *pool, struct qs_job *job,
                           struct qs_outputs **out, struct qs_err *e)
{
    const size_t n_types = qs_format_count();
    const struct qs_output_args how = { .pool = pool, .prio = QS_PRIO_JOB, .job = job };
    struct qs_output_want *want = NULL;
    size_t n = 0;
    *out = NULL;
    if (!a->statistics || a->statistics->n_errors)
        return QS_OK;
    int rc = qs_outputs_new(a->model, a->statistics, out, e);
    if (!rc && qs_outputs_any(*out)) {
        want = qs_calloc(a->model->n_tensors * n_types + 1, sizeof *want);
        rc = want ? QS_OK : qs_fail_mem(e, a->model->n_tensors * n_types * sizeof *want, "what is to be measured");
    }
    for (size_t i = 0; want && i < a->model->n_tensors; i++)
        for (size_t k = 0; settable(a, i) && k < n_types; k++)
            if (qs_fit_may_choose(a, i, qs_format_at(k)->id))
                want[n++] = (struct qs_output_want){ i, qs_format_at(k)->id };
    if (!rc && n)
        rc = qs_outputs_measure(*out, want, n, &how, e);
    qs_free(want);
    if (rc || !n) {
        qs_outputs_free(*out);
        *out = NULL;
    }
    return rc;
}

/* Some type of the tensor has an output error already. */
static bool has_output(const struct qs_fit_args *a, size_t i)
{
    const char *name = a->model->tensor[i].name;
    struct qs_output known;
    for (size_t k = 0; a->statistics && k < a->statistics->n_errors; k++)
        if (strcmp(a->statistics->error[k].tensor, name) == 0)
            return true;
    for (size_t k = 0; a->outputs && k < qs_format_count(); k++)
        if (qs_format_at(k)->id != a->model->tensor[i].type && qs_outputs_get(a->outputs, i, qs_format_at(k)->id, &known))
            return true;
    return false;
}

static int list_open(const struct qs_fit_args *a, const struct qs_survey *s, struct qs_survey_want **out, size_t *n,
                     struct qs_err *e)
{
    const size_t most = a->model->n_tensors * qs_format_count() + 1;
    struct qs_survey_want *want = qs_calloc(most, sizeof *want);
    *n = 0;
    for (size_t i = 0; want && i < a->model->n_tensors; i++) {
        const struct qs_tensor *t = &a->model->tensor[i];
        if (!settable(a, i) || has_output(a, i))
            continue;
        for (size_t k = 0; k < qs_format_count(); k++) {
            const int type = qs_format_at(k)->id;
            struct qs_survey_cell c;
            if (qs_fit_may_choose(a, i, type) && !qs_survey_cell(s, t, type, &c) && c.gap == QS_GAP_NOT_MEASURED)
                want[(*n)++] = (struct qs_survey_want){ .tensor = t, .type = type };
        }
    }
    *out = want;
    return want ? QS_OK : qs_fail_mem(e, most * sizeof *want, "what is to be measured");
}

int qs_fit_measure_survey(const struct qs_fit_args *a, struct qs_survey *s, struct qs_pool *pool, struct qs_job *job,
                          struct qs_err *e)
{
    for (;;) {
        struct qs_survey_want *want;
        struct qs_err busy = QS_ERR_INIT;
        size_t n;
        int rc = list_open(a, s, &want, &n, e);
        if (!rc && n)
            rc = qs_survey_measure(s, want, n, NULL, NULL, pool, job, &busy);
        qs_free(want);
        if (rc != QS_EBUSY || !n) {
            if (rc && busy.code)
                *e = busy;
            return rc;
        }
        rc = qs_job_step(job, 0, e); /* somebody else measures, most likely the same: what is left then is ours */
        if (rc)
            return rc;
        (void)poll(NULL, 0, WAIT_MS);
    }
}
