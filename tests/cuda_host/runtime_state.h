/* Shared by the two halves of the stand-in's runtime: runtime.cc, which holds memory and the device, and
 * streams.cc, which holds what is queued and recorded. */
#ifndef LRC_TESTS_CUDA_HOST_RUNTIME_STATE_H
#define LRC_TESTS_CUDA_HOST_RUNTIME_STATE_H

#include "cuda_runtime.h"

#include <mutex>

namespace cuda_host
{

typedef std::lock_guard<std::recursive_mutex> guard;
extern std::recursive_mutex                   lock; /* several threads of the host may call */
extern cudaError_t                            lost; /* the device; sticky */
extern size_t                                 n_graph_launches;

/* An error is kept for cudaGetLastError(). */
cudaError_t       remember(cudaError_t error);
bool              fails(const char *word); /* LRC_CUDA_HOST_FAIL is this word */
[[noreturn]] void stop(const char *where, const char *words);
/* Device memory, which nobody may touch but while work runs. */
void memory_open();
void memory_close();
/* Runs what was queued in a stream, or in all. */
cudaError_t drain(cudaStream_t stream);
cudaError_t drain_all();

} // namespace cuda_host

#endif
