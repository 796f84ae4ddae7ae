/* app_desk.h - an app without a terminal for tests, in a scratch folder that is home and working folder, with models in it:
 * small.gguf, experts.gguf, quantized.gguf, empty.gguf (no tensors), broken.gguf.
 */
#ifndef QS_TESTS_UI_APP_DESK_H
#define QS_TESTS_UI_APP_DESK_H

#include "tests/ui/widgets.h"
#include "ui/app_internal.h"

/* Seconds until a test that waits has failed. */
enum { APP_PATIENCE = QS_TEST_SANITIZED ? 240 : 60 };

extern const enum qs_tier app_tiers[4];

int app_folder(void **state); /* for cmocka_run_group_tests */
struct qs_app *app_new(const char *path, enum qs_tier tier, bool unicode);
/* Takes in what jobs did and draws. Whatever is drawn: whole characters that do nothing to a terminal, in colours that the
 * tier has. */
void app_draw(struct qs_app *a, struct qs_cells *c);
void app_size(struct qs_cells *c, unsigned rows, unsigned cols);
void app_press(struct qs_app *a, uint32_t k);
void app_type(struct qs_app *a, const char *text); /* ASCII; \r is Enter */
void app_wait(struct qs_app *a, struct qs_cells *c); /* until nothing is under way; fails when that lasts */

#endif
