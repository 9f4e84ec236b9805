/* Low-rank adapters on the linears of a model.
 *
 *   y = W x + scale * B (A x),  scale = alpha / r, or alpha / sqrt(r) with use_rslora
 *
 * source: Hu et al. 2021, arXiv:2106.09685; Kalajdzievski 2023, arXiv:2312.03732 (rank-stabilised scale). */
#ifndef LRC_ADAPTER_ADAPTER_H
#define LRC_ADAPTER_ADAPTER_H

#include "backend.h"
#include "base/arena.h"
#include "formats/peft.h"
#include "model/model.h"
#include "model/tape.h"
#include "optim/optim.h"

struct lrc_adapter {
    struct lrc_peft_config     config;
    int64_t                    n_layers;
    struct lrc_linear_adapter *modules; /* (n_layers, LRC_MODULE_COUNT); a.data NULL: the linear has none */
    int64_t                    n_adapted;
    int64_t                    n_params;
    struct lrc_tape_ranks      ranks;
    int64_t                    first_layer; /* lowest layer with an adapter */
    const struct lrc_backend  *device;      /* the model's: NULL when values and grads lie in host memory */
    struct lrc_arena           arena;
    float                     *values; /* every A and B, one after the other: (n_params) */
    float                     *grads;  /* NULL in inference */
};

enum lrc_adapter_use { LRC_ADAPTER_INFERENCE, LRC_ADAPTER_TRAINING };

/* Select the linears and plan the memory, where the model's weights lie; then commit: A and B are zero.
 * config is taken over and left empty, also on failure; "all-linear" becomes the list of the modules' short
 * names, as it is written to disk. init is both.
 *
 * errors:    CONFIG when the targets match nothing (lists the module names); NOMEM.
 * ownership: lrc_adapter_release(). */
enum lrc_status lrc_adapter_plan(struct lrc_adapter *adapter, const struct lrc_model *model,
                                 struct lrc_peft_config *config, enum lrc_adapter_use use,
                                 struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_adapter_commit(struct lrc_adapter *adapter, struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_adapter_init(struct lrc_adapter *adapter, const struct lrc_model *model,
                                 struct lrc_peft_config *config, enum lrc_adapter_use use,
                                 struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_adapter_release(struct lrc_adapter *adapter); /* safe on a zeroed adapter */

/* What follows reads and writes A and B in host memory, laid out as adapter->values: that itself, or a copy
 * of what is on a device. */

/* A uniform in +-1/sqrt(in) (PEFT's kaiming_uniform with a = sqrt(5)) or normal with standard deviation 1/r;
 * B stays 0, or for LRC_ADAPTER_RANDOM is drawn as A is: uniform in +-1/sqrt(r). A number depends on (seed,
 * layer, module, element) alone. */
enum lrc_adapter_init_kind { LRC_ADAPTER_KAIMING, LRC_ADAPTER_GAUSSIAN, LRC_ADAPTER_RANDOM };
void lrc_adapter_reset(const struct lrc_adapter *adapter, float *values, uint64_t seed,
                       enum lrc_adapter_init_kind kind);

/* adapter_model.safetensors of a folder in PEFT's format.
 * errors: IO, FORMAT; FORMAT with every missing, extra or misshapen tensor in problems, and when the file's
 *         recorded base hash differs from the model's. */
enum lrc_status lrc_adapter_read(const struct lrc_adapter *adapter, float *values, struct lrc_model *model,
                                 const char *dir, struct lrc_problems *problems,
                                 struct lrc_error *err) LRC_MUST_CHECK;
/* adapter_config.json and adapter_model.safetensors into an existing folder. The model's hash goes into the
 * file's metadata. */
enum lrc_status lrc_adapter_save(const struct lrc_adapter *adapter, const float *values,
                                 struct lrc_model *model, const char *dir,
                                 struct lrc_error *err) LRC_MUST_CHECK;

/* An adapter folder onto a model: its configuration, init, read, and up to the device.
 * errors: of these; UNSUPPORTED. */
enum lrc_status lrc_adapter_load(struct lrc_adapter *adapter, struct lrc_model *model, const char *dir,
                                 enum lrc_adapter_use use, struct lrc_problems *problems,
                                 struct lrc_error *err) LRC_MUST_CHECK;

/* NULL when the linear has no adapter, or adapter itself is NULL (the base). */
const struct lrc_linear_adapter *lrc_adapter_at(const struct lrc_adapter *adapter, int64_t layer,
                                                enum lrc_module module);

/* Every A and B as rows of the table of trainables, in order of layer, module, A before B. ownership:
 * lrc_free(rows, grads). */
enum lrc_status lrc_adapter_trainables(struct lrc_trainables *trainables, const struct lrc_adapter *adapter,
                                       const struct lrc_model *model, struct lrc_error *err) LRC_MUST_CHECK;

#endif
