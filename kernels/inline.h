/* inline.h - how the compiler is told that a text is for constants: shared by the files that are written once for the vectors of
 * several levels.
 */
#ifndef QS_KERNELS_INLINE_H
#define QS_KERNELS_INLINE_H

#define QS_INLINE static inline __attribute__((always_inline))

/* Before a loop whose count is a constant: arrays that it indexes become registers. */
#ifdef __clang__
#define QS_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define QS_UNROLL /* gcc loses the annotation of instrumented loops, and warns of it */
#else
#define QS_UNROLL _Pragma("GCC unroll 16")
#endif

/* The same, a few turns at a time, where the count is not known to every compiler. */
#if !defined(__clang__) && (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__))
#define QS_UNROLL_SOME
#else
#define QS_UNROLL_SOME _Pragma("GCC unroll 8")
#endif

#endif
