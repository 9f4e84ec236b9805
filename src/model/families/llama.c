/* Llama 2, 3, 3.1, 3.2 and what shares their code (TinyLlama, SmolLM). */
#include "model/model_family.h"

const struct lrc_model_family lrc_model_family_llama = {
    .model_type = "llama",
    .architecture = "LlamaForCausalLM",
    .source = "huggingface/transformers, models/llama/modeling_llama.py",
    .bias_qkv = LRC_BIAS_CONFIG,
    .bias_o = LRC_BIAS_CONFIG,
    .bias_mlp = LRC_BIAS_CONFIG,
    .sliding = LRC_SLIDING_NONE,
    LRC_MODEL_LLAMA_NAMES,
};
