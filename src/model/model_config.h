/* config.json of a model, in both spellings (transformers 4 and 5). */
#ifndef LRC_MODEL_MODEL_CONFIG_H
#define LRC_MODEL_MODEL_CONFIG_H

#include "base/json.h"
#include "base/problems.h"
#include "model/model_family.h"
#include "tensor/dtype.h"

enum lrc_rope_type { LRC_ROPE_DEFAULT, LRC_ROPE_LINEAR, LRC_ROPE_LLAMA3, LRC_ROPE_YARN };

struct lrc_rope_config {
    enum lrc_rope_type type;
    double             theta;
    double             factor;
    double             low_freq_factor, high_freq_factor;              /* llama3 */
    double             original_max_positions;                         /* llama3, yarn */
    double             beta_fast, beta_slow, attention_factor, mscale, mscale_all_dim; /* yarn; 0: absent */
    int                truncate;
};

enum { LRC_END_IDS_MAX = 16 };

struct lrc_model_config {
    const struct lrc_model_family *family;
    int64_t hidden_size, intermediate_size, n_layers, n_heads, n_kv_heads, head_dim, vocab_size,
        max_positions;
    float          rms_norm_eps;
    struct lrc_rope_config rope;
    int            tied;
    int            bias_qkv, bias_o, bias_mlp;
    int64_t        window;           /* rows; 0: none */
    uint8_t       *layer_is_sliding; /* (n_layers) */
    enum lrc_dtype dtype;            /* torch_dtype / dtype; BF16 when absent */
    int32_t        bos_id;           /* -1: none */
    int32_t        end_ids[LRC_END_IDS_MAX]; /* eos_token_id of config.json and generation_config.json */
    int            n_end_ids;
    /* quantization_config of a bitsandbytes-4bit folder */
    int            is_bnb_4bit;
};

/* generation may be NULL. problems: every key that is missing, mistyped, out of range or contradictory,
 * together.
 * errors: FORMAT; UNSUPPORTED for a model_type, activation or rope type we do not have; NOMEM.
 * ownership: lrc_model_config_release(). */
enum lrc_status lrc_model_config_read(struct lrc_model_config *config, const json_t *json,
                                      const json_t *generation, struct lrc_problems *problems,
                                      struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_model_config_release(struct lrc_model_config *config);

/* inv_freq (head_dim / 2) and the factor that multiplies cos and sin (1 but for yarn). Powers and quotients
 * in float32 as the reference computes them.
 * source: Su et al. 2021; Peng et al. 2023, arXiv:2309.00071 (yarn); Llama 3.1's rope scaling. */
void lrc_rope_frequencies(float *inv_freq, float *attention_scaling, const struct lrc_rope_config *rope,
                          int64_t head_dim);
/* cos, sin (n_positions, head_dim / 2): angle = position * inv_freq in float32. */
void lrc_rope_tables(float *cos_table, float *sin_table, int64_t n_positions,
                     const struct lrc_rope_config *rope, int64_t head_dim);

#endif
