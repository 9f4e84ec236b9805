/* Fibers that cost a few nanoseconds to switch: on x86-64 by hand, elsewhere by ucontext. A fiber's function
 * never returns. The address sanitizer is told of every switch. */
#ifndef LRC_TESTS_CUDA_HOST_FIBER_H
#define LRC_TESTS_CUDA_HOST_FIBER_H

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#define LRC_FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LRC_FIBER_ASAN 1
#endif
#endif
#ifdef LRC_FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

struct lrc_fiber {
#if defined(__x86_64__)
    void *stack_pointer;
#else
    ucontext_t context;
#endif
    const void
        *bottom; /* of the stack, for the sanitizer; of the first stack it is found out at the first switch */
    size_t bytes;
    void *fake; /* the sanitizer's */
};

#if defined(__x86_64__)
extern "C" void lrc_fiber_switch_x86_64(void **save, void *load);
#endif

inline void lrc_fiber_init(lrc_fiber &fiber, unsigned char *stack, size_t bytes, void (*run)())
{
    fiber.bottom = stack;
    fiber.bytes = bytes;
    fiber.fake = nullptr;
#if defined(__x86_64__)
    /* six registers, the address to go to, and an empty return address: on entry the stack is 8 past a
     * multiple of 16 */
    void **top = reinterpret_cast<void **>((reinterpret_cast<uintptr_t>(stack) + bytes) & ~(uintptr_t)15);
    *--top = nullptr;
    *--top = reinterpret_cast<void *>(run);
    for (int i = 0; i < 6; i++)
        *--top = nullptr;
    fiber.stack_pointer = top;
#else
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = bytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, run, 0);
#endif
}

/* To be called first by a fiber's function: where it came from is known only now. */
inline void lrc_fiber_arrived(lrc_fiber &here, lrc_fiber &from)
{
#ifdef LRC_FIBER_ASAN
    __sanitizer_finish_switch_fiber(here.fake, &from.bottom, &from.bytes);
#else
    (void)here;
    (void)from;
#endif
}

inline void lrc_fiber_switch(lrc_fiber &from, lrc_fiber &to)
{
#ifdef LRC_FIBER_ASAN
    __sanitizer_start_switch_fiber(&from.fake, to.bottom, to.bytes);
#endif
#if defined(__x86_64__)
    lrc_fiber_switch_x86_64(&from.stack_pointer, to.stack_pointer);
#else
    swapcontext(&from.context, &to.context);
#endif
#ifdef LRC_FIBER_ASAN
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(from.fake, &bottom, &bytes);
#endif
}

#endif
