#include "common/vec_cuda.cuh"

constexpr int EACH = 4;          /* elements of a thread at a time: one 128-bit access of each array */
constexpr int BLOCKS_MAX = 1024; /* a block computes two powers in double first: not for a few elements */

struct adamw_update {
    float                         *param, *m, *v;
    const float                   *grad;
    int64_t                        n;
    const struct lrc_step_scalars *scalars;
    double                         beta1, beta2, eps, weight_decay, lr_ratio;
    int                            is_aligned; /* all four arrays begin at a multiple of 16 bytes */
};

/* Factors of one update: computed in double, rounded once. */
struct adamw_factors {
    float clip;
    float keep;  /* 1 - lr weight_decay */
    float lerp1; /* 1 - beta1 */
    float beta2;
    float lerp2;           /* 1 - beta2 */
    float root_correction; /* sqrt(1 - beta2^t) */
    float eps;
    float minus_step; /* -lr / (1 - beta1^t) */
};

/* The scalars of a step live in device memory, so a block computes its factors itself. */
static __device__ __forceinline__ struct adamw_factors factors_of(const struct adamw_update &u)
{
    const double         lr = u.scalars->learning_rate * u.lr_ratio, t = (double)u.scalars->step + 1.0;
    struct adamw_factors f;
    f.clip = u.scalars->clip;
    f.keep = (float)__dadd_rn(1.0, -__dmul_rn(lr, u.weight_decay)); /* not fused: the CPU's bits */
    f.lerp1 = (float)(1.0 - u.beta1);
    f.beta2 = (float)u.beta2;
    f.lerp2 = (float)(1.0 - u.beta2);
    f.root_correction = (float)sqrt(1.0 - pow(u.beta2, t));
    f.eps = (float)u.eps;
    f.minus_step = (float)(-lr / (1.0 - pow(u.beta1, t)));
    return f;
}

/* Every operation rounded by itself, in the CPU's (torch's) order: nothing may fuse a product with a sum. */
static __device__ __forceinline__ void update_element(float *param, float *m, float *v, float grad,
                                                      const struct adamw_factors &f)
{
    const float g = __fmul_rn(f.clip, grad);
    const float new_m = __fadd_rn(*m, __fmul_rn(f.lerp1, __fsub_rn(g, *m)));
    const float new_v = __fadd_rn(__fmul_rn(*v, f.beta2), __fmul_rn(__fmul_rn(f.lerp2, g), g));
    const float denominator = __fadd_rn(__fdiv_rn(__fsqrt_rn(new_v), f.root_correction), f.eps);
    const float step = __fdiv_rn(__fmul_rn(f.minus_step, new_m), denominator);
    *param = __fadd_rn(__fmul_rn(*param, f.keep), step);
    *m = new_m;
    *v = new_v;
}

static __device__ __forceinline__ void update_vector(const struct adamw_update &u, int64_t at,
                                                     const struct adamw_factors &f)
{
    float4 *param_at = reinterpret_cast<float4 *>(u.param + at), *m_at = reinterpret_cast<float4 *>(u.m + at);
    float4 *v_at = reinterpret_cast<float4 *>(u.v + at);
    const float4 grad = *reinterpret_cast<const float4 *>(u.grad + at);
    float4       param = *param_at, m = *m_at, v = *v_at;
    update_element(&param.x, &m.x, &v.x, grad.x, f);
    update_element(&param.y, &m.y, &v.y, grad.y, f);
    update_element(&param.z, &m.z, &v.z, grad.z, f);
    update_element(&param.w, &m.w, &v.w, grad.w, f);
    *param_at = param;
    *m_at = m;
    *v_at = v;
}

static __global__ void __launch_bounds__(LRC_VEC_THREADS) adamw_kernel(struct adamw_update u)
{
    LRC_SHARED_ARRAY(struct adamw_factors, shared_factors, 1);
    if (threadIdx.x == 0)
        *shared_factors = factors_of(u);
    __syncthreads();
    const struct adamw_factors f = *shared_factors;
    const int64_t              stride = (int64_t)gridDim.x * LRC_VEC_THREADS * EACH;
    for (int64_t at = ((int64_t)blockIdx.x * LRC_VEC_THREADS + threadIdx.x) * EACH; at < u.n; at += stride) {
        if (u.is_aligned && at + EACH <= u.n) {
            update_vector(u, at, f);
            continue;
        }
        for (int64_t i = at; i < at + EACH && i < u.n; i++)
            update_element(u.param + i, u.m + i, u.v + i, u.grad[i], f);
    }
}

static int is_aligned(const void *data)
{
    return (uintptr_t)data % 16 == 0;
}

LRC_CUDA_OP(adamw)(struct lrc_stream *stream, const struct lrc_adamw_args *args, struct lrc_error *err)
{
    const int64_t n = lrc_tensor_elems(&args->param), n_blocks = lrc_cuda_blocks(n, LRC_VEC_THREADS * EACH);
    if (n == 0)
        return LRC_STATUS_OK;
    struct adamw_update u = {};
    u.param = static_cast<float *>(args->param.data);
    u.m = static_cast<float *>(args->m.data);
    u.v = static_cast<float *>(args->v.data);
    u.grad = static_cast<const float *>(args->grad.data);
    u.n = n;
    u.scalars = args->scalars;
    u.beta1 = args->beta1;
    u.beta2 = args->beta2;
    u.eps = args->eps;
    u.weight_decay = args->weight_decay;
    u.lr_ratio = args->lr_ratio;
    u.is_aligned = is_aligned(u.param) && is_aligned(u.m) && is_aligned(u.v) && is_aligned(u.grad);
    LRC_LAUNCH(adamw_kernel, (unsigned)(n_blocks < BLOCKS_MAX ? n_blocks : BLOCKS_MAX), LRC_VEC_THREADS, 0,
               stream, u);
    return LRC_CUDA_LAUNCHED(err, "adamw: (%lld)", (long long)n);
}
