/* A loaded base model: its configuration, its weights as handles, and the folder they are mapped from. */
#ifndef LRC_MODEL_MODEL_H
#define LRC_MODEL_MODEL_H

#include "backend.h"
#include "base/arena.h"
#include "formats/model_dir.h"
#include "model/model_config.h"
#include "quant/quant.h"
#include "tensor/tensor.h"

struct lrc_model_linear {
    struct lrc_weight weight; /* (out, in) */
    struct lrc_tensor bias;   /* (out); data NULL: none */
};

struct lrc_model_layer {
    struct lrc_tensor       norm_attention; /* (D) */
    struct lrc_tensor       norm_mlp;       /* (D) */
    struct lrc_model_linear linear[LRC_MODULE_COUNT];
    int64_t                 window; /* 0: full causal */
};

struct lrc_model {
    struct lrc_model_config config;
    struct lrc_model_dir    dir;
    /* NULL: weights lie in host memory, in the map where they can; else all of them in this backend's */
    const struct lrc_backend *device;
    struct lrc_arena          arena; /* quantized blocks, copies, rope tables */
    /* of a device, with embedding_offloading: in the host's memory that it reaches */
    struct lrc_arena away;
    /* while loading onto a device: what is made on the host first, and what is quantized there */
    struct lrc_arena        staging;
    struct lrc_arena        loading;
    struct lrc_weight       embedding; /* (V, D) dense */
    struct lrc_tensor       final_norm;
    struct lrc_weight       output; /* (V, D); the same data as embedding when tied */
    struct lrc_model_layer *layers;
    unsigned char          *blocks; /* arena: quantized linears, one after the other */
    /* arena: float32 copies (trainable); tensors unaligned in the file; on a device all that stays dense */
    unsigned char           *copies;
    float                   *quant_tables; /* arena, on a device: a code (16), the 8-bit map (256) */
    unsigned char           *away_embedding;
    unsigned char           *stage;       /* staging */
    unsigned char           *load_dense;  /* loading: a tensor as it is in the file */
    float                   *load_absmax; /* loading: of its blocks */
    size_t                   stage_bytes, load_bytes;
    int64_t                  load_blocks;
    float                   *rope_cos; /* (n_positions, head_dim / 2) */
    float                   *rope_sin;
    int64_t                  n_positions;
    size_t                   mapped_bytes;           /* of the files, used where they lie */
    char                     hash[LRC_HASH_HEX_MAX]; /* of the folder's weights; "" until lrc_model_hash() */
    struct lrc_model_hasher *hasher;                 /* a thread that computes it; NULL: none */
};

struct lrc_model_options {
    const struct lrc_backend
        *device;       /* whose memory the weights are to lie in; NULL, or one without: the host's */
    int  load_in_4bit; /* quantize the blocks' linears (a folder that is 4-bit already stays as it is) */
    struct lrc_quant_options quant;
    /* the embedding, of which a token reads a row, in the host's memory instead of the device's; not where
     * the output layer shares it */
    int     embedding_offloading;
    int     trainable;   /* full fine-tuning: every weight as a float32 copy of its own; not with 4-bit */
    int64_t room;        /* on a device: behind dense linears, for adapters (lrc_linear_room()) */
    int64_t n_positions; /* rope tables up to here; 0: config.max_positions */
    /* stop before any weight is read: shapes and model->arena's regions are there, lrc_model_commit() goes on
     */
    int plan_only;
};

/* Open the folder, read its configuration, check every tensor (missing, extra, misshapen, wrong type: all
 * listed), map or quantize the weights, one tensor at a time.
 *
 * errors:    IO, FORMAT, UNSUPPORTED, NOMEM, NUMERIC (a non-finite weight, named, when quantizing).
 * ownership: lrc_model_release(). */
enum lrc_status lrc_model_load(struct lrc_model *model, const char *path,
                               const struct lrc_model_options *options, struct lrc_problems *problems,
                               struct lrc_error *err) LRC_MUST_CHECK;
/* Second half of a load with plan_only; options as there. errors: NOMEM, NUMERIC. */
enum lrc_status lrc_model_commit(struct lrc_model *model, const struct lrc_model_options *options,
                                 struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_model_release(struct lrc_model *model); /* safe on a zeroed model */

/* Begin to compute model->hash beside other work: it takes a second per 2 GB, and is needed only when
 * something is saved or compared. */
void lrc_model_hash_start(struct lrc_model *model, enum lrc_hash_pages pages);
int  lrc_model_is_hashing(const struct lrc_model *model); /* still */
/* model->hash, computed on first use, or waited for. */
enum lrc_status lrc_model_hash(struct lrc_model *model, struct lrc_error *err) LRC_MUST_CHECK;

/* "model.layers.3.self_attn.q_proj" into name. */
enum { LRC_MODULE_NAME_MAX = 128 };
void lrc_model_module_name(char name[LRC_MODULE_NAME_MAX], const struct lrc_model *model, int64_t layer,
                           enum lrc_module module);

/* Every weight tensor with its name in the file, in the order embedding, layers (norms, linears, biases),
 * final norm, output (left out when tied): the one walk over names, used by loading checks, full
 * fine-tuning, merging. kind tells what it is. Returns 0 past the last. */
struct lrc_model_tensor {
    char                     name[LRC_MODULE_NAME_MAX];
    struct lrc_model_linear *linear; /* of a linear's weight or bias, else NULL */
    struct lrc_weight       *weight; /* embedding, output, linear weights */
    struct lrc_tensor       *vector; /* norms and biases */
    int64_t                  shape[2];
    int                      n_dims;
    int64_t                  layer;  /* -1 outside layers */
    int                      module; /* enum lrc_module, -1 for others */
};
int lrc_model_tensor_at(struct lrc_model_tensor *tensor, struct lrc_model *model, int64_t index);

#endif
