/* Qwen 2 and 2.5: Llama with biases on q, k and v. */
#include "model/model_family.h"

const struct lrc_model_family lrc_model_family_qwen2 = {
    .model_type = "qwen2",
    .architecture = "Qwen2ForCausalLM",
    .source = "huggingface/transformers, models/qwen2/modeling_qwen2.py",
    .bias_qkv = LRC_BIAS_ALWAYS,
    .bias_o = LRC_BIAS_NEVER,
    .bias_mlp = LRC_BIAS_NEVER,
    .sliding = LRC_SLIDING_FROM_LAYER,
    LRC_MODEL_LLAMA_NAMES,
};
