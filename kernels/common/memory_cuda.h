/* Device memory behind the seam (struct lrc_backend in backend.h says what each does). */
#ifndef LRC_KERNELS_COMMON_MEMORY_CUDA_H
#define LRC_KERNELS_COMMON_MEMORY_CUDA_H

#include "base/status.h"

#include <stddef.h>

struct lrc_stream;

void            lrc_cuda_zero(struct lrc_stream *stream, void *memory, size_t size_bytes);
enum lrc_status lrc_cuda_allocate(void **memory, size_t size_bytes, struct lrc_error *err);
void            lrc_cuda_release(void *memory);
enum lrc_status lrc_cuda_upload(struct lrc_stream *stream, void *to, const void *from, size_t size_bytes,
                                struct lrc_error *err);
enum lrc_status lrc_cuda_download(struct lrc_stream *stream, void *to, const void *from, size_t size_bytes,
                                  struct lrc_error *err);
enum lrc_status lrc_cuda_synchronize(struct lrc_stream *stream, struct lrc_error *err);

/* Devices that this process can use: 0 without a driver. */
int lrc_cuda_device_count(void);

#endif
