/* Shared by the files of convert/. */
#ifndef LRC_CONVERT_CONVERT_PRIVATE_H
#define LRC_CONVERT_CONVERT_PRIVATE_H

#include "base/out_dir.h"
#include "convert/convert.h"
#include "model/model.h"

/* A tensor of the base. */
struct lrc_convert_tensor {
    const struct lrc_safetensors_entry *entry;
    const struct lrc_weight            *weight; /* of a linear that is quantized; NULL: copied */
    float                               offset; /* of double quantization */
    int                                 shard;
};

struct lrc_convert_run {
    const struct lrc_convert_options *options;
    struct lrc_convert_report        *report;
    struct lrc_quant_options          quant;
    struct lrc_model                  model;
    struct lrc_out_dir                out;
    struct lrc_convert_tensor        *tensors; /* (model.dir.n_tensors), as they are there */
    unsigned char                    *storage; /* of one quantized linear */
    int64_t                           n_done, n_to_do;
};

/* What is stored of a quantized linear "<module>.weight"; each beside it, with a suffix of its own. */
enum lrc_convert_part {
    LRC_CONVERT_PACKED,
    LRC_CONVERT_ABSMAX,
    LRC_CONVERT_MAP,
    LRC_CONVERT_NESTED_ABSMAX,
    LRC_CONVERT_NESTED_MAP,
    LRC_CONVERT_STATE,
    LRC_CONVERT_PART_COUNT
};
enum { LRC_CONVERT_NAME_MAX = LRC_MODULE_NAME_MAX + 64 };

/* Name, type and shape of a part; spec->name is `name`, written here. 0: double quantization's, and there is
 * none. */
int lrc_convert_describe(struct lrc_safetensors_spec *spec, char name[LRC_CONVERT_NAME_MAX],
                         const struct lrc_convert_run *run, const struct lrc_convert_tensor *tensor,
                         enum lrc_convert_part part);
/* The JSON of LRC_CONVERT_STATE. */
void lrc_convert_append_state(struct lrc_buf *text, const struct lrc_convert_run *run,
                              const struct lrc_convert_tensor *tensor);
/* Bytes that a tensor takes in the new file, at most. */
size_t lrc_convert_tensor_bytes(const struct lrc_convert_run *run, const struct lrc_convert_tensor *tensor);

/* A linear into run->storage. errors: NUMERIC, with the tensor's name; NOMEM. */
enum lrc_status lrc_convert_quantize(struct lrc_weight *out, const struct lrc_convert_run *run,
                                     const struct lrc_convert_tensor *tensor,
                                     struct lrc_error                *err) LRC_MUST_CHECK;
/* Before each tensor: has a signal come? After it: told. */
enum lrc_status lrc_convert_check_stop(const struct lrc_convert_run *run,
                                       struct lrc_error             *err) LRC_MUST_CHECK;
void            lrc_convert_tell(struct lrc_convert_run *run);

/* One weight file. */
enum lrc_status lrc_convert_shard(struct lrc_convert_run *run, int shard,
                                  struct lrc_error *err) LRC_MUST_CHECK;
/* config.json and the index, and all files beside them. */
enum lrc_status lrc_convert_rest(struct lrc_convert_run *run, struct lrc_error *err) LRC_MUST_CHECK;

#endif
