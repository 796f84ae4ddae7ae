/* limits.h - what this machine can do at most: how fast memory is read, how fast numbers are multiplied and added.
 *
 * A *line* is one way to ask: a loop of a level, a number of threads, a kind of pages. Lines are known at once and
 * are measured one by one, as often as wanted; each keeps its best and the median of all tries. The loops do nothing
 * else than what they measure (limits cannot be reached by work that also decodes and stores), run at every level
 * that this machine has whatever qs_level_limit() says, and are the same for every kernel whose share is told.
 *
 * On a machine shared with others the limits move from one minute to the next: who tells a share measures the line
 * again beside the work (qs_limits_look) and divides by what was possible then.
 */
#ifndef QS_KERNELS_LIMITS_H
#define QS_KERNELS_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/pool.h"
#include "kernels/level.h"

enum qs_limit { QS_LIMIT_READ, QS_LIMIT_INT8, QS_LIMIT_BF16, QS_LIMIT_F32, QS_LIMITS };

/* ---- what a level gives */

struct qs_limit_loop {
    enum qs_limit what;
    const char *name;      /* "vpdpbusd, 512 bits" */
    double per_round;      /* operations of a round; a multiply-add is two. 0: reads */
    void (*work)(size_t rounds);
    uint64_t (*read)(const uint8_t *p, size_t bytes); /* bytes: a multiple of QS_LIMIT_PIECE; p: of 64 */
};
enum { QS_LIMIT_PIECE = 16384 };

/* For loops that multiply: twelve sums, more than hide any latency, by name, since compilers keep arrays in memory. */
#define QS_LIMIT_SUMS 12
#define QS_LIMIT_EACH(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11)

size_t qs_ref_limits(const struct qs_limit_loop **out);
size_t qs_avx2_limits(const struct qs_limit_loop **out);
size_t qs_avxvnni_limits(const struct qs_limit_loop **out);
size_t qs_avx512_limits(const struct qs_limit_loop **out);
size_t qs_avx512bf16_limits(const struct qs_limit_loop **out);
size_t qs_neon_limits(const struct qs_limit_loop **out);

/* The levels that were compiled in and have loops of their own (they build on those of the level below), from ref up; returns
 * how many. Whether this machine has one is for qs_level_available() to say. */
struct qs_limit_giver {
    enum qs_level level;
    size_t (*loops)(const struct qs_limit_loop **out);
};
size_t qs_limit_givers(const struct qs_limit_giver **out);

/* ---- measuring */

struct qs_limit_line {
    enum qs_limit what;
    const char *loop;
    enum qs_level level;
    unsigned threads;
    bool huge;             /* reads: huge pages were asked for */
    uint64_t buffer, granted; /* reads: bytes that are read again and again, those of them in huge pages */
    size_t tries;          /* 0: not measured yet */
    double median, best;   /* bytes or operations a second */
};

struct qs_limits;

/* `most`: bytes that the buffer of the reads may take, which is made when the first is measured; at least QS_LIMIT_BUFFER_LEAST
 * are, and QS_ENOMEM is told by qs_limits_measure and qs_limits_look when not even these are to be had. The pool (NULL: one
 * thread) outlives the limits. */
#define QS_LIMIT_BUFFER (UINT64_C(256) << 20)       /* beyond most caches */
#define QS_LIMIT_BUFFER_LEAST (UINT64_C(8) << 20)
int qs_limits_new(struct qs_pool *pool, uint64_t most, struct qs_limits **out, struct qs_err *e);
void qs_limits_free(struct qs_limits *l); /* NULL allowed */

size_t qs_limits_count(const struct qs_limits *l);
const struct qs_limit_line *qs_limits_line(const struct qs_limits *l, size_t i);
/* Measures line i for about so many seconds. */
int qs_limits_measure(struct qs_limits *l, size_t i, double seconds, struct qs_err *e);

/* Measures the best line of this kind on all threads again, a few milliseconds, and gives the best of these tries: the
 * limit of this moment. 0: this machine has no such unit. The first look tries every line once. */
int qs_limits_look(struct qs_limits *l, enum qs_limit what, double *now, struct qs_err *e);
double qs_limits_best(const struct qs_limits *l, enum qs_limit what); /* of all tries on all threads so far; 0: none */
/* The unit that works on stored weights of this type, in fast or exact precision (op.h), on a machine that has bf16 or
 * not. */
enum qs_limit qs_limit_unit(int type, bool fast, bool bf16);
bool qs_limits_have(const struct qs_limits *l, enum qs_limit what);

#endif
