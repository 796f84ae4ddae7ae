/* desk.h - a workbench for tests: waiting for it without sleeping, and holding up its compute pool.
 *
 * A desk wakes up through its own pipe, as a screen does. While the pool is held no weight is encoded or measured, so a
 * job stands still at a known place, and pausing or cancelling it there hits it for certain.
 */
#ifndef QS_TESTS_WORKBENCH_DESK_H
#define QS_TESTS_WORKBENCH_DESK_H

#include "tests/lib/qs_test.h"

#include "core/workbench.h"
#include "tests/model/make_model.h"

struct desk { struct qs_pool *pool; struct qs_workbench *w; int pipe[2]; };

/* A cache of its own below the temporary folder, so that nothing is known from before. */
void desk_start(struct desk *d, const char *preset);
void desk_end(struct desk *d);

typedef bool desk_condition(const struct desk *d, const void *ctx);
/* Polls until it holds; fails the test after a minute (four where code is instrumented). ctx of the two below is NULL; of desk_ended the job's id. */
void desk_wait(struct desk *d, desk_condition *holds, const void *ctx);
bool desk_opened(const struct desk *d, const void *ctx); /* nothing is being opened */
bool desk_idle(const struct desk *d, const void *ctx);   /* no job runs, paused ones neither */
bool desk_ended(const struct desk *d, const void *ctx);
bool desk_paused(const struct desk *d, const void *ctx);

void desk_open(struct desk *d, const char *path);        /* and waits for it; it has to work */
unsigned desk_job(const struct desk *d, enum qs_work_kind kind); /* id of the newest that has not ended; 0: none */

struct hold;
struct hold *desk_hold(struct qs_pool *pool); /* until desk_release */
void desk_release(struct hold *h);

size_t desk_tensor(const struct desk *d, const char *name); /* its index; fails the test where there is none */
bool desk_known(const struct desk *d, size_t tensor, int type);
char *desk_recipe(const struct desk *d);                 /* printed; qs_free it */
const char *desk_demo(void);
/* A model of two layers of this type in the temporary folder. */
const char *desk_model(const char *name, int type);
/* An importance matrix for the model of a desk, in the temporary folder; columns: 0 the right number, else that. */
const char *desk_imatrix(const struct desk *d, const char *name, size_t columns);
/* The same of one tensor alone. */
const char *desk_imatrix_of(const struct desk *d, const char *name, size_t tensor);
void desk_take_imatrix(struct desk *d, const char *path); /* and waits for it; it has to work */
bool desk_read(const struct desk *d, const void *ctx);   /* no importance matrix is being read */
void desk_same_files(const char *a, const char *b);

#endif
