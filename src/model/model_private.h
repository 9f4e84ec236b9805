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
                                                            const char              *name);
/* Count a tensor that is used as it is stored: it stays in the map, or, unaligned to its elements or for a
 * device, is copied into the arena. */
void lrc_model_loader__plan(struct lrc_model_loader *loader, const struct lrc_safetensors_entry *entry);
/* *data: where it is then. errors: those of the device. */
enum lrc_status lrc_model_loader__place(struct lrc_model_loader *loader, const void **data,
                                        const struct lrc_safetensors_entry *entry,
                                        struct lrc_error                   *err) LRC_MUST_CHECK;

/* model_device.c: what a device's memory holds is made in the staging region and sent, or quantized there.
 * The first walk tells of every tensor that will be quantized. */
void lrc_model_device__want(struct lrc_model *model, int64_t rows, int64_t cols, enum lrc_dtype dtype,
                            const struct lrc_quant_options *options);
/* Regions beside those of the host's layout, and those for the time of loading; then these, there and gone.
 */
enum lrc_status lrc_model_device__plan(struct lrc_model *model, struct lrc_error *err) LRC_MUST_CHECK;
/* The embedding in memory of the host that the device reaches; whether a tensor is one that can be there. */
int lrc_model_device__can_stay_away(const struct lrc_model *model, const struct lrc_model_tensor *tensor);
enum lrc_status lrc_model_device__plan_away(struct lrc_model *model, size_t size_bytes,
                                            struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_model_device__load(struct lrc_model *model, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_model_device__loaded(struct lrc_model *model);
/* From host memory to the device's, done on return. */
enum lrc_status lrc_model_device__send(struct lrc_model *model, void *to, const void *from, size_t bytes,
                                       struct lrc_error *err) LRC_MUST_CHECK;
/* A matrix, to where its rows are further apart. */
struct lrc_model_rows {
    int64_t n_rows;
    size_t  row_bytes, stride_bytes;
};
enum lrc_status lrc_model_device__send_rows(struct lrc_model *model, void *to, const void *from,
                                            const struct lrc_model_rows *rows,
                                            struct lrc_error            *err) LRC_MUST_CHECK;
/* Bytes of a dense linear with room on the device, in whole lines. */
size_t lrc_model_device__roomy_bytes(int64_t rows, int64_t cols, int64_t room, enum lrc_dtype dtype);
/* n elements of a type as float32. */
enum lrc_status lrc_model_device__send_f32(struct lrc_model *model, void *to, const void *from,
                                           enum lrc_dtype dtype, int64_t n,
                                           struct lrc_error *err) LRC_MUST_CHECK;
/* Quantize as lrc_quantize() does, to the same bytes, on the device and into `storage` there. */
enum lrc_status lrc_model_device__quantize(struct lrc_model *model, struct lrc_weight *out,
                                           unsigned char *storage, const struct lrc_weight *source,
                                           const struct lrc_quant_options *options,
                                           struct lrc_error               *err) LRC_MUST_CHECK;
enum lrc_status lrc_model_device__rope(struct lrc_model *model, struct lrc_error *err) LRC_MUST_CHECK;

/* A linear as bitsandbytes stores it in 4 bits. weight_name: "....q_proj.weight". */
int lrc_model_bnb__is_stored(const struct lrc_model *model, const char *weight_name);
/* NULL: it is not stored so. */
const struct lrc_quant_type *lrc_model_bnb__stored_type(const struct lrc_model *model,
                                                        const char             *weight_name);
/* First walk: the bytes added up when every part is there and fits the shape; else a problem. */
void lrc_model_bnb__plan(struct lrc_model_loader *loader, const struct lrc_model_tensor *tensor);
/* Second walk. */
enum lrc_status lrc_model_bnb__place(struct lrc_model_loader *loader, struct lrc_weight *weight,
                                     const struct lrc_model_tensor *tensor,
                                     struct lrc_error              *err) LRC_MUST_CHECK;

#endif
