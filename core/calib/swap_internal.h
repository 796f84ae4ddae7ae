/* swap_internal.h - for swap.c and swap_pass.c: windows of the original kept at some blocks, and passes from there on.
 */
#ifndef QS_CALIB_SWAP_INTERNAL_H
#define QS_CALIB_SWAP_INTERNAL_H

#include "core/calib/swap.h"
#include "core/eval/kld.h"

struct qs_swap_sizes {
    size_t n_windows, n_ctx, scored; /* scored: positions of a window */
    size_t first;                    /* of them */
    size_t stride, n_kept;           /* hidden states are kept before blocks 0, stride, 2 stride ... */
    size_t group;                    /* windows that are kept at a time */
    size_t rows;                     /* of logits at a time */
    bool logits;                     /* the original's logits are kept too */
    uint64_t bytes;                  /* of all that */
};
void qs_swap_choose_sizes(const struct qs_swap_args *a, struct qs_swap_sizes *out);

/* The block from which on a changed tensor is run: n_layer for the head alone, -1 from the embedding on. */
int qs_swap_first_block(const struct qs_swap_args *a, size_t tensor);
bool qs_swap_changes_head(const struct qs_swap_args *a, size_t tensor);

struct qs_swap_pass;
int qs_swap_pass_new(const struct qs_swap_args *a, struct qs_job *job, struct qs_swap_pass **out, struct qs_err *e);
void qs_swap_pass_free(struct qs_swap_pass *p); /* NULL allowed */
const struct qs_swap_sizes *qs_swap_pass_sizes(const struct qs_swap_pass *p);
/* Windows [w, w + n) through the original; n at most the group. The engine has the original's weights. */
int qs_swap_pass_original(struct qs_swap_pass *p, size_t w, size_t n, struct qs_err *e);
/* The same windows with `changed` in the place of the tensor: adds the divergences of all scored positions. *bad:
 * positions that are not finite. The engine has the original's weights again afterwards, whatever happens. */
int qs_swap_pass_changed(struct qs_swap_pass *p, size_t tensor, struct qs_weight *changed, struct qs_moment *kld,
                         uint64_t *n, uint64_t *bad, struct qs_err *e);

#endif
