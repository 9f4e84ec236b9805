#include "infer/score.h"

#include "base/machine.h"
#include <math.h>
#include <stdio.h>

/* One example as a batch of its own; arrays sized for the longest. */
struct single {
    struct lrc_batch batch;
    int32_t          doc_offsets[2];
};

static enum lrc_status single_init(struct single *single, int64_t longest, struct lrc_error *err)
{
    struct lrc_batch *batch = &single->batch;
    *single = (struct single){ 0 };
    batch->positions = lrc_calloc(longest, sizeof *batch->positions);
    batch->row_ids = lrc_calloc(longest, sizeof *batch->row_ids);
    batch->trained_index = lrc_calloc(longest, sizeof *batch->trained_index);
    batch->trained_target = lrc_calloc(longest, sizeof *batch->trained_target);
    if (!batch->positions || !batch->row_ids || !batch->trained_index || !batch->trained_target)
        return lrc_fail_nomem(err, "score");
    for (int64_t i = 0; i < longest; i++)
        batch->positions[i] = (int32_t)i;
    return LRC_STATUS_OK;
}

static void single_release(struct single *single)
{
    lrc_free(single->batch.positions);
    lrc_free(single->batch.row_ids);
    lrc_free(single->batch.trained_index);
    lrc_free(single->batch.trained_target);
}

static void single_set(struct single *single, const struct lrc_dataset *dataset, int64_t index)
{
    const struct lrc_example *example = &dataset->examples[index];
    struct lrc_batch         *batch = &single->batch;
    batch->n_tokens = batch->n_real = example->n_tokens;
    batch->tokens = dataset->ids + example->first;
    batch->targets = dataset->targets + example->first;
    single->doc_offsets[1] = (int32_t)example->n_tokens;
    batch->doc_offsets = single->doc_offsets;
    batch->n_docs = 1;
    batch->n_trained = 0;
    for (int64_t i = 0; i < example->n_tokens; i++)
        if (batch->targets[i] >= 0) {
            batch->trained_index[batch->n_trained] = (int32_t)i;
            batch->trained_target[batch->n_trained++] = batch->targets[i];
        }
}

static enum lrc_status score_row(struct lrc_score_row *row, struct lrc_pass *pass,
                                 const struct lrc_adapter *adapter, const struct lrc_batch *batch,
                                 uint32_t row_id, struct lrc_error *err)
{
    LRC_TRY(lrc_pass_forward(pass, adapter, batch, err));
    row->n_trained = batch->n_trained;
    if (batch->n_trained > 0)
        LRC_TRY(lrc_pass_loss(pass, &row->loss_sum, err));
    if (!isfinite(row->loss_sum))
        return lrc_fail(err, LRC_STATUS_NUMERIC, "score: row %u: want a finite loss, got %g", row_id,
                        row->loss_sum);
    return LRC_STATUS_OK;
}

static enum lrc_status put_logits(struct lrc_safetensors_writer *writer, struct lrc_pass *pass,
                                  int64_t n_tokens, struct lrc_error *err)
{
    for (int64_t first = 0; first < n_tokens; first += pass->head_chunk) {
        const float  *logits;
        const int64_t left = n_tokens - first, n = left < pass->head_chunk ? left : pass->head_chunk;
        LRC_TRY(lrc_pass_logits(pass, &logits, first, n, err));
        LRC_TRY(lrc_safetensors_writer_put(
            writer, logits, (size_t)(n * pass->model->config.vocab_size) * sizeof *logits, err));
    }
    return LRC_STATUS_OK;
}

struct scoring {
    struct lrc_pass               pass;
    struct single                 single;
    struct lrc_safetensors_writer writer;
    struct lrc_safetensors_spec  *specs;
    char (*names)[32];
};

static enum lrc_status open_logits(struct scoring *s, const struct lrc_dataset *dataset, const char *path,
                                   struct lrc_error *err)
{
    const int64_t n = dataset->n_examples;
    s->specs = lrc_calloc(n, sizeof *s->specs);
    s->names = lrc_calloc(n, sizeof *s->names);
    if (!s->specs || !s->names)
        return lrc_fail_nomem(err, "score");
    for (int64_t i = 0; i < n; i++) {
        (void)snprintf(s->names[i], sizeof s->names[i], "logits.%u", dataset->examples[i].row_id);
        s->specs[i] = (struct lrc_safetensors_spec){
            .name = s->names[i],
            .dtype = LRC_DTYPE_F32,
            .n_dims = 2,
            .shape = { dataset->examples[i].n_tokens, s->pass.model->config.vocab_size },
        };
    }
    return lrc_safetensors_writer_open(&s->writer, path, s->specs, n, NULL, err);
}

static enum lrc_status score_all(struct scoring *s, struct lrc_score *score,
                                 const struct lrc_adapter *adapter, const struct lrc_dataset *dataset,
                                 const struct lrc_score_options *options, struct lrc_error *err)
{
    const double started = lrc_machine_seconds();
    int64_t      n_tokens = 0;
    if (options->logits_path)
        LRC_TRY(open_logits(s, dataset, options->logits_path, err));
    for (int64_t i = 0; i < dataset->n_examples; i++) {
        /* the file wants its own order */
        const int64_t index = options->logits_path ? s->writer.order[i] : i;
        single_set(&s->single, dataset, index);
        LRC_TRY(score_row(&score->rows[index], &s->pass, adapter, &s->single.batch,
                          dataset->examples[index].row_id, err));
        if (options->logits_path)
            LRC_TRY(put_logits(&s->writer, &s->pass, s->single.batch.n_tokens, err));
        n_tokens += s->single.batch.n_tokens;
        if (options->progress)
            options->progress(i + 1, dataset->n_examples,
                              (double)n_tokens / (lrc_machine_seconds() - started), NAN);
    }
    for (int64_t i = 0; i < dataset->n_examples; i++) {
        score->loss_sum += score->rows[i].loss_sum;
        score->n_trained += score->rows[i].n_trained;
    }
    return options->logits_path ? lrc_safetensors_writer_commit(&s->writer, err) : LRC_STATUS_OK;
}

enum lrc_status lrc_score_run(struct lrc_score *score, struct lrc_model *model,
                              const struct lrc_adapter *adapter, const struct lrc_dataset *dataset,
                              const struct lrc_score_options *options, struct lrc_error *err)
{
    struct scoring                s = { 0 };
    const struct lrc_pass_options pass_options = {
        .backend = options->backend,
        .activation = options->activation,
        .use = LRC_TAPE_INFERENCE,
        .n_tokens = dataset->longest,
        .n_trained = dataset->longest,
        .n_logits = options->logits_path ? dataset->longest : 0,
        .ranks = adapter ? adapter->ranks : (struct lrc_tape_ranks){ 0 },
    };
    *score = (struct lrc_score){ .n_rows = dataset->n_examples };
    score->rows = lrc_calloc(dataset->n_examples, sizeof *score->rows);
    enum lrc_status status =
        score->rows ? lrc_pass_init(&s.pass, model, &pass_options, err) : lrc_fail_nomem(err, "score");
    if (status == LRC_STATUS_OK)
        status = single_init(&s.single, dataset->longest, err);
    if (status == LRC_STATUS_OK)
        status = score_all(&s, score, adapter, dataset, options, err);
    lrc_safetensors_writer_abort(&s.writer);
    lrc_free(s.specs);
    lrc_free(s.names);
    single_release(&s.single);
    lrc_pass_release(&s.pass);
    return status;
}
