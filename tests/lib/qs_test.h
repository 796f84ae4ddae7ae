/* qs_test.h - what the tests of every room share: places, temporary folders, failing allocations.
 *
 * Include after the cmocka headers (or use qs_test.h alone: it includes them). Paths returned here live in a ring of
 * 16 buffers: keep one for a few calls, copy it for longer. Not for use by several threads at once.
 */
#ifndef QS_TESTS_LIB_QS_TEST_H
#define QS_TESTS_LIB_QS_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>

#include "base/err.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define QS_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define QS_TEST_SANITIZED 1
#endif
#endif
#ifndef QS_TEST_SANITIZED
#define QS_TEST_SANITIZED 0
#endif

/* Path of a file of the shared test data: $QS_TEST_DATA/rel, or $QS_SRCDIR/../shared/rel. Where it is missing the test
 * program ends: exit code 77 (counted as skipped), or 1 when CI=true. Call it before the first group of tests runs. */
const char *qs_test_data(const char *rel);
bool qs_test_has_data(const char *rel); /* only asks */

/* Path of a file of the source tree: $QS_SRCDIR/rel ("." without it). */
const char *qs_test_src(const char *rel);

/* A fresh folder of this test program under $TMPDIR, removed with all that is in it when the program ends; and the path
 * of a name in it. */
const char *qs_test_tmp(void);
const char *qs_test_tmp_path(const char *name);

/* The temporary folder becomes the person's home, all their XDG folders and the working folder, and nothing names another
 * place with models. False: it cannot be entered. */
bool qs_test_home(void);

/* Writes a file into the temporary folder and returns its path; fails the test when that does not work. */
const char *qs_test_file(const char *name, const void *data, size_t n);
void qs_test_write(const char *path, const void *data, size_t n); /* the same, for a path */

/* Makes a folder and those above it that are missing; fails the test when that does not work. */
void qs_test_mkdirs(const char *path);

/* Runs `body` once plainly (it has to return QS_OK), then again with the 1st, 2nd, 3rd ... allocation and all later
 * ones failing. Each such run has to return QS_ENOMEM (or QS_OK, where it could do without) with a message, and has to
 * leave no memory behind. With more than 2,000 allocations an even sample of them is taken. */
typedef int qs_test_body(void *ctx, struct qs_err *e);
void qs_test_each_alloc(qs_test_body *body, void *ctx);

#endif
