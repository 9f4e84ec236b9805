/* Shared by the files that load a model. */
#ifndef LRC_MODEL_MODEL_PRIVATE_H
#define LRC_MODEL_MODEL_PRIVATE_H

#include "model/model.h"

/* Loading walks over the tensors twice: the first walk checks everything and adds up the bytes that must be
 * copied or quantized, the second, after the arena is committed, fills in the handles. */
struct lrc_model_loader {
    struct lrc_model               *model;
    const struct lrc_model_options *options;
    struct lrc_problems            *problems;
    uint8_t                        *used; /* (dir.n_tensors): claimed by the model */
    size_t                          copies_bytes;
    size_t                          blocks_bytes;
};

/* Claim a tensor of the folder; NULL when it is absent. */
const struct lrc_safetensors_entry *lrc_model_loader__claim(struct lrc_model_loader *loader,
                                                            const char *name);
/* Count a tensor that is used as it is stored: it stays in the map, or, unaligned to its elements, is copied
 * into the arena. */
void lrc_model_loader__plan(struct lrc_model_loader *loader, const struct lrc_safetensors_entry *entry);
/* Where its data is: in the map, or copied into the arena. */
const void *lrc_model_loader__place(struct lrc_model_loader *loader,
                                    const struct lrc_safetensors_entry *entry);

/* A linear as bitsandbytes stores it in 4 bits. weight_name: "....q_proj.weight". */
int lrc_model_bnb__is_stored(const struct lrc_model *model, const char *weight_name);
/* First walk: the bytes added up when every part is there and fits the shape; else a problem. */
void lrc_model_bnb__plan(struct lrc_model_loader *loader, const struct lrc_model_tensor *tensor);
/* Second walk. */
enum lrc_status lrc_model_bnb__place(struct lrc_model_loader *loader, struct lrc_weight *weight,
                                     const struct lrc_model_tensor *tensor,
                                     struct lrc_error *err) LRC_MUST_CHECK;

#endif
