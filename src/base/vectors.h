/* Loops outside of kernels/ that are worth wide vectors. */
#ifndef LRC_BASE_VECTORS_H
#define LRC_BASE_VECTORS_H

/* Compiles a function several times and lets the loader pick: vectors as wide as the machine has them. No
 * multiplication is fused with an addition, so all give the same bits. Not under sanitizers, which do not
 * expect to run before they are set up. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF /* gcc does not fuse in ISO C mode, which is how we compile */
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define LRC_SANITIZED 1
#endif
#endif
#if defined(__x86_64__) && defined(__ELF__) && !defined(__SANITIZE_ADDRESS__) && !defined(LRC_SANITIZED)
#define LRC_VECTORS __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define LRC_VECTORS
#endif

#endif
