/* Device memory and events behind the seam (struct lrc_backend in backend.h says what each does), and what
 * the device is. */
#ifndef LRC_KERNELS_COMMON_MEMORY_CUDA_H
#define LRC_KERNELS_COMMON_MEMORY_CUDA_H

#include "base/arena.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct lrc_stream;
struct lrc_event;

extern const struct lrc_memory lrc_cuda_memory;  /* the device's */
extern const struct lrc_memory lrc_cuda_staging; /* the host's, page-locked */
extern const struct lrc_memory lrc_cuda_mapped;  /* and mapped, so that kernels reach it */

void            lrc_cuda_zero(struct lrc_stream *stream, void *memory, size_t size_bytes);
enum lrc_status lrc_cuda_upload(struct lrc_stream *stream, void *to, const void *from, size_t size_bytes,
                                struct lrc_error *err);
enum lrc_status lrc_cuda_download(struct lrc_stream *stream, void *to, const void *from, size_t size_bytes,
                                  struct lrc_error *err);
enum lrc_status lrc_cuda_copy(struct lrc_stream *stream, void *to, const void *from, size_t size_bytes,
                              struct lrc_error *err);
enum lrc_status lrc_cuda_synchronize(struct lrc_stream *stream, struct lrc_error *err);

enum lrc_status lrc_cuda_event_new(struct lrc_event **event, struct lrc_error *err);
void            lrc_cuda_event_free(struct lrc_event *event);
enum lrc_status lrc_cuda_event_record(struct lrc_stream *stream, struct lrc_event *event,
                                      struct lrc_error *err);
enum lrc_status lrc_cuda_event_wait(struct lrc_event *event, struct lrc_error *err);
enum lrc_status lrc_cuda_event_elapsed(double *ms, const struct lrc_event *from, const struct lrc_event *to,
                                       struct lrc_error *err);

enum lrc_status lrc_cuda_stream_new(struct lrc_stream **stream, struct lrc_error *err);
void            lrc_cuda_stream_free(struct lrc_stream *stream); /* waits for what is in it */
enum lrc_status lrc_cuda_stream_wait(struct lrc_stream *stream, struct lrc_event *event,
                                     struct lrc_error *err);

/* The device that this process would use. */
struct lrc_cuda_facts {
    char    name[64];
    int     major, minor;    /* compute capability */
    int     driver, runtime; /* CUDA version they were made for, 1000 major + 10 minor */
    int     n_processors;
    int64_t total_bytes, free_bytes, used_bytes;
};

/* Makes the device ready and looks at it. errors: DEVICE, one sentence each, when there is no driver, a
 * driver older than the build's CUDA, no device, one below compute capability 8.0, or one that cannot be used
 * now. */
enum lrc_status lrc_cuda_open(struct lrc_cuda_facts *facts, struct lrc_error *err);

/* Rates that the card reaches in this process: a product of 8192^3 in bf16 (float32 sums) and a copy on the
 * device, read and written bytes together. errors: DEVICE, NOMEM. */
enum lrc_status lrc_cuda_gemm_peak(double *tflops, struct lrc_error *err);
enum lrc_status lrc_cuda_copy_peak(double *gbytes_per_second, struct lrc_error *err);

/* Devices that this process can use: 0 without a driver. */
int lrc_cuda_device_count(void);

#endif
