#include "device.h"

#include "base/log.h"
#include "base/machine.h"
#include "common/gemm.h"
#include "common/memory_cuda.h"
#include <stdio.h>

static int is_cuda(const struct lrc_backend *backend)
{
    return backend->memory != NULL;
}

#ifdef LRC_HAVE_CUDA

static const struct lrc_backend *cuda_backend(void)
{
    return &lrc_backend_cuda;
}

enum lrc_status lrc_device_look(struct lrc_device_facts *facts, struct lrc_error *err)
{
    struct lrc_cuda_facts cuda;
    *facts = (struct lrc_device_facts){ 0 };
    LRC_TRY(lrc_cuda_open(&cuda, err));
    (void)snprintf(facts->name, sizeof facts->name, "%s", cuda.name);
    (void)snprintf(facts->detail, sizeof facts->detail,
                   "compute capability %d.%d, %d multiprocessors, driver for CUDA %d.%d", cuda.major,
                   cuda.minor, cuda.n_processors, cuda.driver / 1000, cuda.driver % 1000 / 10);
    facts->total_bytes = cuda.total_bytes;
    facts->free_bytes = cuda.free_bytes;
    facts->used_bytes = cuda.used_bytes;
    return LRC_STATUS_OK;
}

static enum lrc_status cuda_gemm_peak(double *gflops, struct lrc_error *err)
{
    LRC_TRY(lrc_cuda_gemm_peak(gflops, err));
    *gflops *= 1e3;
    return LRC_STATUS_OK;
}

static enum lrc_status cuda_copy_peak(double *gbytes_per_second, struct lrc_error *err)
{
    return lrc_cuda_copy_peak(gbytes_per_second, err);
}

#else

static const struct lrc_backend *cuda_backend(void)
{
    return NULL;
}

enum lrc_status lrc_device_look(struct lrc_device_facts *facts, struct lrc_error *err)
{
    *facts = (struct lrc_device_facts){ 0 };
    return lrc_fail(err, LRC_STATUS_DEVICE, "this build has no CUDA backend");
}

static enum lrc_status cuda_gemm_peak(double *gflops, struct lrc_error *err)
{
    (void)err;
    *gflops = 0.0;
    return LRC_STATUS_OK;
}

static enum lrc_status cuda_copy_peak(double *gbytes_per_second, struct lrc_error *err)
{
    return cuda_gemm_peak(gbytes_per_second, err);
}

#endif

enum lrc_status lrc_device_choose(const struct lrc_backend **backend, const char *choice, const char *what,
                                  struct lrc_error *err)
{
    struct lrc_device_facts facts;
    struct lrc_error        why = { 0 };
    const int               is_auto = strcmp(choice, "auto") == 0, wants_cuda = strcmp(choice, "cuda") == 0;

    *backend = lrc_backend_cpu();
    if (!is_auto && !wants_cuda)
        return strcmp(choice, "cpu") == 0
                   ? LRC_STATUS_OK
                   : lrc_fail(err, LRC_STATUS_USAGE, "%s: want auto, cpu or cuda, got '%s'", what, choice);
    if (!cuda_backend())
        return is_auto ? LRC_STATUS_OK
                       : lrc_fail(err, LRC_STATUS_DEVICE,
                                  "%s: want auto or cpu, got 'cuda': this build has no CUDA backend", what);
    if (lrc_device_look(&facts, &why) == LRC_STATUS_OK) {
        *backend = cuda_backend();
        return LRC_STATUS_OK;
    }
    if (!is_auto)
        return lrc_fail(err, why.status, "%s", why.message);
    lrc_log_info("%s: auto means the CPU here; %s", what, why.message);
    return LRC_STATUS_OK;
}

int64_t lrc_device_free_bytes(const struct lrc_backend *backend)
{
    struct lrc_device_facts facts;
    if (!is_cuda(backend))
        return lrc_machine_available_bytes();
    return lrc_device_look(&facts, NULL) == LRC_STATUS_OK ? facts.free_bytes : -1;
}

int lrc_device_has_bf16(const struct lrc_backend *backend)
{
    return is_cuda(backend) || lrc_backend_cpu_has_bf16();
}

enum lrc_status lrc_device_gemm_peak(double *gflops, const struct lrc_backend *backend, enum lrc_dtype dtype,
                                     struct lrc_error *err)
{
    double f32, bf16;
    if (is_cuda(backend))
        return cuda_gemm_peak(gflops, err);
    LRC_TRY(lrc_gemm_peak(&f32, &bf16, err));
    *gflops = dtype == LRC_DTYPE_BF16 && bf16 > 0.0 ? bf16 : f32;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_device_copy_peak(double *gbytes_per_second, const struct lrc_backend *backend,
                                     struct lrc_error *err)
{
    if (is_cuda(backend))
        return cuda_copy_peak(gbytes_per_second, err);
    *gbytes_per_second = 0.0;
    return LRC_STATUS_OK;
}
