#include "model/tape.h"

struct slot {
    const char          *name;
    enum lrc_tape_policy policy;
    enum lrc_tape_type   type;
    uint32_t             phases;
};

static const struct slot slots[LRC_TAPE_SLOT_COUNT] = {
#define XX(slot, name, policy, type, cols, phases) { name, LRC_TAPE_##policy, LRC_TAPE_##type, phases },
    LRC_TAPE_SLOT_MAP(XX)
#undef XX
};

enum lrc_status lrc_tape_plan(struct lrc_tape *tape, struct lrc_arena *arena,
                              const struct lrc_model_config *config, const struct lrc_tape_options *options,
                              struct lrc_error *err)
{
    const struct lrc_model_config *c = config;
    const enum lrc_tape_use        use = options->use;
    const struct lrc_tape_ranks   *ranks = &options->ranks;
    const int64_t                  cols[LRC_TAPE_SLOT_COUNT] = {
#define XX(slot, name, policy, type, cols, phases) cols,
        LRC_TAPE_SLOT_MAP(XX)
#undef XX
    };

    tape->n_tokens_max = options->n_tokens;
    for (int s = 0; s < LRC_TAPE_SLOT_COUNT; s++) {
        const int is_input = s == LRC_TAPE_X;
        tape->cols[s] = cols[s];
        tape->stride[s] = cols[s] + (slots[s].type == LRC_TAPE_INPUT ? options->room : 0);
        tape->dtype[s] = slots[s].type == LRC_TAPE_F32 ? LRC_DTYPE_F32 : options->activation;
        const int per_layer = (use != LRC_TAPE_INFERENCE && slots[s].policy == LRC_TAPE_ALWAYS) ||
                              (use == LRC_TAPE_TRAINING && slots[s].policy == LRC_TAPE_KEEP);
        tape->n_copies[s] = per_layer ? config->n_layers + is_input : 1;
        if (options->offloads && is_input && tape->n_copies[s] > LRC_TAPE_RING)
            tape->n_copies[s] = LRC_TAPE_RING;
        const uint32_t phases = per_layer ? LRC_ARENA_ALL_PHASES : slots[s].phases;
        LRC_TRY(lrc_arena_plan_during(arena, phases, slots[s].name, &tape->memory[s],
                                      tape->n_copies[s] * tape->n_tokens_max * tape->stride[s],
                                      lrc_dtype_bytes(tape->dtype[s]), err));
    }
    return LRC_STATUS_OK;
}

struct lrc_tensor lrc_tape_get(const struct lrc_tape *tape, enum lrc_tape_slot slot, int64_t layer,
                               int64_t n_tokens)
{
    const size_t copy_bytes =
        (size_t)(tape->n_tokens_max * tape->stride[slot]) * lrc_dtype_bytes(tape->dtype[slot]);
    LRC_ASSERT(n_tokens <= tape->n_tokens_max);
    struct lrc_tensor view =
        lrc_tensor_2d(tape->memory[slot] + (size_t)(layer % tape->n_copies[slot]) * copy_bytes,
                      tape->dtype[slot], n_tokens, tape->cols[slot]);
    view.stride[0] = tape->stride[slot];
    return view;
}
