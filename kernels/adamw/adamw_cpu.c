#include "backend.h"

#include "common/vec_cpu.h"

/* Factors of one update: computed in double, rounded once. */
struct factors {
    float clip;
    float keep;  /* 1 - lr weight_decay */
    float lerp1; /* 1 - beta1 */
    float beta2;
    float lerp2;           /* 1 - beta2 */
    float root_correction; /* sqrt(1 - beta2^t) */
    float eps;
    float minus_step; /* -lr / (1 - beta1^t) */
};

static struct factors factors_of(const struct lrc_adamw_args *args)
{
    const struct lrc_step_scalars *scalars = args->scalars;
    const double lr = scalars->learning_rate * args->lr_ratio, t = (double)scalars->step + 1.0;
    return (struct factors){
        .clip = scalars->clip,
        .keep = (float)(1.0 - lr * args->weight_decay),
        .lerp1 = (float)(1.0 - args->beta1),
        .beta2 = (float)args->beta2,
        .lerp2 = (float)(1.0 - args->beta2),
        .root_correction = (float)sqrt(1.0 - pow(args->beta2, t)),
        .eps = (float)args->eps,
        .minus_step = (float)(-lr / (1.0 - pow(args->beta1, t))),
    };
}

/* One operation a statement: no compiler may fuse a product with a sum across statements, and torch rounds
 * each. */
static void update(const struct lrc_adamw_args *args, const struct factors *f, int64_t first, int64_t n)
{
    float       *param = (float *)args->param.data + first, *m = (float *)args->m.data + first;
    float       *v = (float *)args->v.data + first;
    const float *grad = (const float *)args->grad.data + first;
    const float  clip = f->clip, keep = f->keep, lerp1 = f->lerp1, beta2 = f->beta2, lerp2 = f->lerp2;
    const float  root_correction = f->root_correction, eps = f->eps, minus_step = f->minus_step;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float g = clip * grad[i];
        const float distance = g - m[i];
        const float m_step = lerp1 * distance;
        const float new_m = m[i] + m_step;
        const float v_kept = v[i] * beta2;
        const float g_scaled = lerp2 * g;
        const float v_step = g_scaled * g;
        const float new_v = v_kept + v_step;
        const float root = sqrtf(new_v) / root_correction;
        const float denominator = root + eps;
        const float numerator = minus_step * new_m;
        const float step = numerator / denominator;
        const float decayed = param[i] * keep;
        m[i] = new_m;
        v[i] = new_v;
        param[i] = decayed + step;
    }
}

enum { CHUNK_ELEMS = 4096 };

enum lrc_status LRC_CPU(adamw)(struct lrc_stream *stream, const struct lrc_adamw_args *args,
                               struct lrc_error *err)
{
    (void)stream;
    (void)err;
    const struct factors factors = factors_of(args);
    const int64_t        n = lrc_tensor_elems(&args->param);
#pragma omp parallel for schedule(static) if (n > LRC_VEC_PARALLEL_MIN)
    for (int64_t first = 0; first < n; first += CHUNK_ELEMS)
        update(args, &factors, first, n - first < CHUNK_ELEMS ? n - first : CHUNK_ELEMS);
    return LRC_STATUS_OK;
}
