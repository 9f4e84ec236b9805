#include "optim/optim.h"

#include <string.h>

const struct lrc_optimizer *lrc_optimizer_find(const char *name)
{
    for (const struct lrc_optimizer *const *type = lrc_optimizer_all; *type; type++)
        if (strcmp((*type)->name, name) == 0)
            return *type;
    return NULL;
}

const struct lrc_schedule *lrc_schedule_find(const char *name)
{
    for (const struct lrc_schedule *const *type = lrc_schedule_all; *type; type++)
        if (strcmp((*type)->name, name) == 0)
            return *type;
    return NULL;
}

double lrc_schedule_warmup(const struct lrc_schedule_options *options, int64_t step)
{
    if (step >= options->warmup_steps)
        return -1.0;
    return (double)step / (double)(options->warmup_steps > 1 ? options->warmup_steps : 1);
}

enum lrc_status lrc_optimizer_plan(struct lrc_optimizer_memory *memory, struct lrc_arena *arena,
                                   int64_t n_elems, const struct lrc_optimizer *type, struct lrc_error *err)
{
    for (int s = 0; s < type->n_states; s++)
        LRC_TRY(lrc_arena_plan(arena, type->state_names[s], &memory->state[s], n_elems, sizeof(float), err));
    return LRC_STATUS_OK;
}

void lrc_optimizer_bind(const struct lrc_optimizer_memory *memory, struct lrc_trainables *trainables,
                        const struct lrc_optimizer *type)
{
    for (int s = 0; s < type->n_states; s++) {
        float *next = memory->state[s];
        for (int64_t i = 0; i < trainables->n; i++) {
            struct lrc_trainable *row = &trainables->rows[i];
            row->state[s] = row->value;
            row->state[s].data = next;
            next += lrc_tensor_elems(&row->value);
        }
    }
}
