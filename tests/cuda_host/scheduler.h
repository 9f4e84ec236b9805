/* Shared by cuda_host.cc, which runs threads, and warpgroup.cc, which runs what they ask a warp group for. */
#ifndef LRC_TESTS_CUDA_HOST_SCHEDULER_H
#define LRC_TESTS_CUDA_HOST_SCHEDULER_H

#include "cuda_runtime.h"

namespace cuda_host
{

/* Of the thread that runs, in its block; of the block. */
size_t thread_number();
size_t thread_count();
/* Ends the program, naming kernel, block and thread. */
[[noreturn]] void stop_thread(size_t number, const char *words);

/* A block begins; all of its threads have come to a barrier; all have ended. */
void warpgroup_begin(size_t shared_bytes, unsigned seed);
void warpgroup_barrier();
void warpgroup_end();
/* An asynchronous copy, of at most 16 bytes, is asked for by the thread that runs, and has arrived. */
void warpgroup_copy_asked(const void *to_shared);
void warpgroup_copy_arrived(const void *to_shared);

} // namespace cuda_host

#endif
