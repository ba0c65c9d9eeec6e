/* What the processor has, for the few files whose inner loops are compiled more than once: the body
 * is ALWAYS_INLINE, each level's function around it has that level's TARGET, and a pointer to the
 * best one is chosen when a model is made. Any thread. */
#ifndef ISOLDE_COMMON_CPU_H
#define ISOLDE_COMMON_CPU_H

#include <stdbool.h>

/* Each is the one before and more. */
enum cpu_level { CPU_BASELINE, CPU_AVX2, CPU_AVX512, CPU_LEVELS };

bool cpu_has(enum cpu_level level);

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Beside those loops, in a file that is compiled for speed: what is done once a model. */
#define ONCE __attribute__((cold))

#if defined(__x86_64__)
/* gcc 12 takes half as wide vectors unless it is told; clang does not know the word. */
#if defined(__clang__)
#define CPU_WIDE ""
#else
#define CPU_WIDE ",prefer-vector-width=512"
#endif
#define TARGET_AVX2 __attribute__((target("avx2")))
#define TARGET_AVX512 __attribute__((target("avx2,avx512f,avx512bw,avx512dq,avx512vl" CPU_WIDE)))
#endif

/* What a loop overwrites before it reads it need not be set to zero, which can cost as much. */
#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define UNINITIALIZED __attribute__((uninitialized))
#endif
#endif
#ifndef UNINITIALIZED
#define UNINITIALIZED
#endif

#endif
