/* Rotary frequencies and tables. Where the reference computes in float32, so does this: the last bits of an
 * angle at position 100000 matter more than the formula's exact value. */
#include "model/model_config.h"

#include <math.h>

static const double two_pi = 6.283185307179586;

static float power(const struct lrc_rope_config *rope, int64_t i, int64_t head_dim)
{
    return powf((float)rope->theta, (float)(2 * i) / (float)head_dim);
}

/* lambda = 2 pi / inv: short waves stay, long ones are divided by factor, between them a blend. */
static void scale_llama3(float *inv_freq, const struct lrc_rope_config *rope, int64_t n)
{
    const float factor = (float)rope->factor, low = (float)rope->low_freq_factor;
    const float original = (float)rope->original_max_positions;
    const float low_wave = (float)(rope->original_max_positions / rope->low_freq_factor);
    const float high_wave = (float)(rope->original_max_positions / rope->high_freq_factor);
    const float span = (float)(rope->high_freq_factor - rope->low_freq_factor);
    for (int64_t i = 0; i < n; i++) {
        const float inv = inv_freq[i], wave = (float)two_pi / inv;
        if (wave < high_wave)
            continue;
        if (wave > low_wave) {
            inv_freq[i] = inv / factor;
            continue;
        }
        const float smooth = (original / wave - low) / span;
        inv_freq[i] = (1.0f - smooth) * inv / factor + smooth * inv;
    }
}

/* The dimension whose wave turns n_turns times in the original positions. */
static double yarn_dim(double n_turns, const struct lrc_rope_config *rope, int64_t head_dim)
{
    return (double)head_dim * log(rope->original_max_positions / (n_turns * two_pi)) /
           (2.0 * log(rope->theta));
}

static void scale_yarn(float *inv_freq, const struct lrc_rope_config *rope, int64_t head_dim)
{
    double low = yarn_dim(rope->beta_fast > 0.0 ? rope->beta_fast : 32.0, rope, head_dim);
    double high = yarn_dim(rope->beta_slow > 0.0 ? rope->beta_slow : 1.0, rope, head_dim);
    if (rope->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0.0);
    high = fmin(high, (double)(head_dim - 1));
    if (low == high)
        high += 0.001;
    for (int64_t i = 0; i < head_dim / 2; i++) {
        const float position = ((float)i - (float)low) / (float)(high - low);
        const float keep = 1.0f - fminf(fmaxf(position, 0.0f), 1.0f);
        const float inv = inv_freq[i], inv_long = 1.0f / ((float)rope->factor * power(rope, i, head_dim));
        inv_freq[i] = inv_long * (1.0f - keep) + inv * keep;
    }
}

static double yarn_scaling(double factor, double mscale)
{
    return factor <= 1.0 ? 1.0 : 0.1 * mscale * log(factor) + 1.0;
}

static double yarn_attention(const struct lrc_rope_config *rope)
{
    if (rope->attention_factor > 0.0)
        return rope->attention_factor;
    if (rope->mscale > 0.0 && rope->mscale_all_dim > 0.0)
        return yarn_scaling(rope->factor, rope->mscale) / yarn_scaling(rope->factor, rope->mscale_all_dim);
    return yarn_scaling(rope->factor, 1.0);
}

void lrc_rope_frequencies(float *inv_freq, float *attention_scaling, const struct lrc_rope_config *rope,
                          int64_t head_dim)
{
    *attention_scaling = 1.0f;
    for (int64_t i = 0; i < head_dim / 2; i++)
        inv_freq[i] = 1.0f / power(rope, i, head_dim);
    switch (rope->type) {
    case LRC_ROPE_DEFAULT:
        break;
    case LRC_ROPE_LINEAR:
        for (int64_t i = 0; i < head_dim / 2; i++)
            inv_freq[i] /= (float)rope->factor;
        break;
    case LRC_ROPE_LLAMA3:
        scale_llama3(inv_freq, rope, head_dim / 2);
        break;
    case LRC_ROPE_YARN:
        scale_yarn(inv_freq, rope, head_dim);
        *attention_scaling = (float)yarn_attention(rope);
        break;
    }
}

void lrc_rope_tables(float *cos_table, float *sin_table, int64_t n_positions,
                     const struct lrc_rope_config *rope, int64_t head_dim)
{
    const int64_t n = head_dim / 2;
    float         scaling;
    /* The first row holds the frequencies until it is filled itself, last of all. */
    if (n_positions < 1)
        return;
    lrc_rope_frequencies(sin_table, &scaling, rope, head_dim);
#pragma omp parallel for schedule(static)
    for (int64_t p = 1; p < n_positions; p++)
        for (int64_t i = 0; i < n; i++) {
            const float angle = (float)p * sin_table[i];
            cos_table[p * n + i] = cosf(angle) * scaling;
            sin_table[p * n + i] = sinf(angle) * scaling;
        }
    for (int64_t i = 0; i < n; i++) {
        cos_table[i] = scaling; /* position 0: angle 0 */
        sin_table[i] = 0.0f;
    }
}
