/* imatrix_internal.h - what reading and making importance matrices share. */
#ifndef QS_CORE_IMATRIX_INTERNAL_H
#define QS_CORE_IMATRIX_INTERNAL_H

#include "core/format/imatrix.h"

/* A new entry with room for n values, already counted in m; NULL: out of memory. */
struct qs_imatrix_entry *qs_imatrix_new_entry(struct qs_imatrix *m, const char *name, size_t name_len, size_t n);
/* Room for sums and counts. */
bool qs_imatrix_make_raw(struct qs_imatrix_entry *x, size_t experts, bool sum);
/* One value from a sum and its count, as llama.cpp reads it; 1 where nothing was counted. */
static inline float qs_imatrix_mean(float sum2, float count) { return count < 1 ? 1.0f : sum2 / count; }
/* One expert's count is known: notes it. */
void qs_imatrix_count(struct qs_imatrix_entry *x, float count);
/* Sorts and checks the entries, makes dataset and key. */
int qs_imatrix_finish(struct qs_imatrix *m, struct qs_err *e);

#endif
