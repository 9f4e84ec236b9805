/* Which backend computes. */
#ifndef LRC_KERNELS_DEVICE_H
#define LRC_KERNELS_DEVICE_H

#include "backend.h"

/* A device beside the CPU, as it is now. */
struct lrc_device_facts {
    char    name[64];
    char    detail[128]; /* "compute capability 9.0, 132 multiprocessors, driver for CUDA 13.0" */
    int64_t total_bytes, free_bytes;
    int64_t used_bytes; /* of the whole device, by whomever */
};

/* "auto", "cpu" or "cuda". auto takes CUDA where a device can be used and the CPU elsewhere; a build with
 * CUDA then says, once, why.
 *
 * errors: DEVICE, one sentence with `what` ("device", "--device") as its subject, when CUDA is wanted and
 * cannot be
 *         used, or not known to this build; USAGE for another word. */
enum lrc_status lrc_device_choose(const struct lrc_backend **backend, const char *choice, const char *what,
                                  struct lrc_error *err) LRC_MUST_CHECK;

/* Makes the device ready and looks at it. errors: DEVICE: why it cannot be used, in one sentence. */
enum lrc_status lrc_device_look(struct lrc_device_facts *facts, struct lrc_error *err) LRC_MUST_CHECK;

/* Bytes that arenas may take of the backend's memory: the device's free ones less what its runtime will still
 * want; -1 when unknown. Of a CPU backend: of the machine. */
int64_t lrc_device_free_bytes(const struct lrc_backend *backend);

/* 1 when `bf16: auto` means true. */
int lrc_device_has_bf16(const struct lrc_backend *backend);

/* Largest rates reached: GFLOP/s of a product in the type (0: no such product), GB/s of a copy (0: not
 * measured). */
enum lrc_status lrc_device_gemm_peak(double *gflops, const struct lrc_backend *backend, enum lrc_dtype dtype,
                                     struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_device_copy_peak(double *gbytes_per_second, const struct lrc_backend *backend,
                                     struct lrc_error *err) LRC_MUST_CHECK;

#endif
