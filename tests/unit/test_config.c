#include "config/config.h"
#include "config_fixture.h"

#include "base/json.h"
#include "config/yaml_tree.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void expect_problem(const char *more, const char *sentence)
{
    struct test_config test;
    test_config_load_more(&test, more);
    cr_expect_eq(test.status, LRC_STATUS_CONFIG, "'%s' was accepted", more);
    cr_expect(test_config_has_problem(&test, sentence), "want '%s', got:\n%s", sentence,
              lrc_buf_text(&test.problems.text));
    cr_expect_eq(test.problems.count, 1, "%s", lrc_buf_text(&test.problems.text));
    test_config_release(&test);
}

static void expect_fine(const char *more)
{
    struct test_config test;
    test_config_load_more(&test, more);
    cr_expect_eq(test.status, LRC_STATUS_OK, "'%s': %s", more, lrc_buf_text(&test.problems.text));
    test_config_release(&test);
}

Test(config, minimal_file_gives_the_documented_defaults)
{
    struct test_config test;
    char               path[128];
    test_config_load_more(&test, "");
    const struct lrc_config *config = &test.config;
    cr_assert_eq(test.status, LRC_STATUS_OK, "%s", lrc_buf_text(&test.problems.text));
    (void)snprintf(path, sizeof path, "%s/base", test.dir);
    cr_expect_str_eq(config->base_model, path);
    (void)snprintf(path, sizeof path, "%s/data.jsonl", test.dir);
    cr_assert_eq(config->datasets.n, 1);
    cr_expect_str_eq(config->datasets.items[0].path, path);
    cr_expect_str_eq(config->datasets.items[0].type, "alpaca");
    cr_expect_eq(config->datasets.items[0].line, 5);
    cr_expect_null(config->datasets.items[0].field_text);
    cr_expect_str_eq(config->adapter, "lora");
    cr_expect_eq(config->load_in_4bit, 0);
    cr_expect_eq(config->lora_r, 8);
    cr_expect_eq(config->lora_alpha, 16);
    cr_expect_eq(config->lora_dropout, 0.0);
    cr_expect_eq(config->lora_target_linear, 1);
    cr_expect_eq(config->lora_target_modules.n, 0);
    cr_expect_eq(config->sequence_len, 512);
    cr_expect_str_eq(config->excess_length_strategy, "drop");
    cr_expect_eq(config->micro_batch_size, 1);
    cr_expect_eq(config->gradient_accumulation_steps, 1);
    cr_expect_eq(config->adam_beta1, 0.9);
    cr_expect_eq(config->adam_beta2, 0.999);
    cr_expect_eq(config->adam_epsilon, 1e-8);
    cr_expect_eq(config->weight_decay, 0.0);
    cr_expect_eq(config->max_grad_norm, 1.0);
    cr_expect_eq(config->learning_rate, 2e-4);
    cr_expect_str_eq(config->lr_scheduler, "cosine");
    cr_expect_eq(config->seed, 42);
    cr_expect_eq(config->shuffle_merged_datasets, 1);
    cr_expect_eq(config->save_total_limit, 4);
    cr_expect_eq(config->bnb_4bit_use_double_quant, 1);
    cr_expect_str_eq(config->bnb_4bit_quant_type, "nf4");
    cr_expect_str_eq(config->bf16, "auto");
    cr_expect_str_eq(config->chat_template, "tokenizer_default");
    cr_expect_str_eq(config->device, "auto");
    test_config_release(&test);
}

Test(config, every_mistake_is_listed_at_once)
{
    struct test_config test;
    test_config_load(&test, "leraning_rate: 1\nlora_r: x\nadapter: lora\nlora_alpha: 2\n", NULL);
    cr_expect_eq(test.status, LRC_STATUS_CONFIG);
    cr_expect(test_config_has_problem(
        &test, "c.yaml:1: unknown key 'leraning_rate' (did you mean 'learning_rate'?)"));
    cr_expect(test_config_has_problem(&test, "c.yaml:2: 'lora_r': want an integer from 1 to 65536, got 'x'"));
    cr_expect(test_config_has_problem(&test, "c.yaml: want the key 'base_model', got none"));
    cr_expect(test_config_has_problem(&test, "c.yaml: want the key 'datasets', got none"));
    cr_expect(test_config_has_problem(&test, "c.yaml: want the key 'learning_rate', got none"));
    cr_expect(test_config_has_problem(&test, "c.yaml: want the key 'output_dir', got none"));
    cr_expect_eq(test.problems.count, 6, "%s", lrc_buf_text(&test.problems.text));
    cr_expect_null(test.config.internal);
    test_config_release(&test);
}

Test(config, unknown_and_repeated_keys_are_refused)
{
    expect_problem("zzzzzz: 1\n", "c.yaml:8: unknown key 'zzzzzz'");
    expect_problem("trgaet_modules: x\n",
                   "c.yaml:8: unknown key 'trgaet_modules' (did you mean 'lora_target_modules'?)");
    expect_problem("lora_r: 9\n", "c.yaml:8: repeated key 'lora_r', first given in line 3");
    expect_problem("r: 9\n", "c.yaml:8: repeated key 'r', first given as 'lora_r' in line 3");
    expect_problem("[a]: 9\n", "c.yaml:8: want a key, got a list");
}

Test(config, wrong_types_and_ranges_are_refused)
{
    expect_problem("lora_dropout: 2\n", "'lora_dropout': want a number from 0 to 0.99, got '2'");
    expect_problem("lora_dropout: .nan\n", "'lora_dropout': want a number from 0 to 0.99, got '.nan'");
    expect_problem("weight_decay: .inf\n", "'weight_decay': want a number from 0 to 1, got '.inf'");
    expect_problem("weight_decay: 0x1p-3\n", "'weight_decay': want a number from 0 to 1, got '0x1p-3'");
    expect_problem("max_grad_norm: 1e999\n", "'max_grad_norm': want a number from 0 to 1e+12, got '1e999'");
    expect_problem("seed: -1\n", "'seed': want an integer from 0 to 4294967295, got '-1'");
    expect_problem("seed: 1.5\n", "'seed': want an integer from 0 to 4294967295, got '1.5'");
    expect_problem("seed: 010\n", "'seed': want an integer from 0 to 4294967295, got '010'");
    expect_problem("seed: '10'\n", "'seed': want an integer from 0 to 4294967295, got the text '10'");
    expect_problem("seed: 99999999999999999999\n",
                   "'seed': want an integer from 0 to 4294967295, got '99999999999999999999'");
    expect_problem("seed: [1]\n", "'seed': want an integer from 0 to 4294967295, got a list");
    expect_problem("group_by_length: 1\n", "'group_by_length': want true or false, got '1'");
    expect_problem("group_by_length: {}\n", "'group_by_length': want true or false, got a mapping");
    expect_problem("optimizer: sgd\n", "'optimizer': want adamw_torch, got 'sgd'");
    expect_problem("lr_scheduler: cosin\n",
                   "want one of linear, cosine, constant, constant_with_warmup, got 'cosin'");
    expect_problem("lora_model_dir: 5\n", "'lora_model_dir': want a path, got '5'");
    expect_problem("lora_model_dir: true\n", "'lora_model_dir': want a path, got 'true'");
    expect_problem("chat_template: [x]\n", "'chat_template': want text, got a list");
    expect_problem("lora_target_modules: [q_proj, 3]\n",
                   "'lora_target_modules': want a list of names, got '3'");
    expect_problem("lora_target_modules: {q: 1}\n",
                   "'lora_target_modules': want a name or a list of names, got a mapping");
    expect_problem("lora_exclude_modules: []\n",
                   "'lora_exclude_modules': want at least one item, got a list");
    expect_problem("peft_layers_to_transform: [1, -1]\n",
                   "'peft_layers_to_transform': want integers from 0, got '-1'");
    expect_problem("lora_rank_pattern: 3\n",
                   "'lora_rank_pattern': want a mapping of names to integers, got '3'");
    expect_problem("lora_rank_pattern: {q: 0}\n",
                   "'lora_rank_pattern': want an integer from 1 to 65536, got '0'");
    expect_problem("lora_rank_pattern: {q: 1, q: 2}\n", "'lora_rank_pattern': want every name once, got 'q'");
}

Test(config, datasets_are_checked_field_by_field)
{
    expect_problem("test_datasets: []\n", "'test_datasets': want at least one {path, type, ...}, got a list");
    expect_problem("test_datasets: [{type: alpaca}]\n",
                   "'test_datasets': want a 'path' in every item, got none");
    expect_problem("test_datasets: [{path: a, tpye: x}]\n",
                   "'test_datasets': unknown field 'tpye' (did you mean 'type'?)");
    expect_problem("test_datasets: [{path: a, path: b}]\n", "'test_datasets': repeated field 'path'");
    expect_problem("test_datasets: [{path: a, field_text: [b]}]\n",
                   "'test_datasets': want text for the field 'field_text', got a list");
    expect_problem("test_datasets: [[a]]\n",
                   "'test_datasets': want a mapping {path, type, ...} or a path, got a list");
    expect_fine("test_datasets: [{path: -, type: alpaca}, {path: b, message_field_role: from, "
                "message_property_content: value}]\n");
    expect_fine("test_datasets: other.jsonl\n");
}

Test(config, contradictions_are_refused)
{
    expect_problem("eval_steps: 3\nevals_per_epoch: 2\n",
                   "'evals_per_epoch': want either it or eval_steps, got both");
    expect_problem("save_steps: 3\nsaves_per_epoch: 2\n",
                   "'saves_per_epoch': want either it or save_steps, got both");
    expect_problem("val_set_size: 1.5\n",
                   "'val_set_size': want a fraction below 1 or a whole number of rows, got neither");
    expect_problem("val_set_size: 5\ntest_datasets: x\n",
                   "'test_datasets': want either it or val_set_size, got both");
    expect_problem("load_best_model_at_end: true\n",
                   "'load_best_model_at_end': want val_set_size or test_datasets with it, got neither");
    expect_problem("early_stopping_patience: 2\n",
                   "'early_stopping_patience': want val_set_size or test_datasets with it, got neither");
    expect_problem("lora_target_linear: true\nlora_target_modules: [q_proj]\n",
                   "'lora_target_modules': want either it or lora_target_linear: true, got both");
    expect_problem("lora_target_linear: false\n",
                   "'lora_target_linear': want lora_target_modules when it is false, got nothing to adapt");
    expect_problem("lr_scheduler: constant\nwarmup_steps: 3\n",
                   "'warmup_steps': want lr_scheduler 'constant_with_warmup' with it, got 'constant'");
    expect_problem("lr_scheduler: linear\ncosine_min_lr_ratio: 0.1\n",
                   "'cosine_min_lr_ratio': want lr_scheduler 'cosine' with it, got another");
    expect_fine("eval_steps: 0\nevals_per_epoch: 2\n");
    expect_problem("packing: true\ngroup_by_length: true\n",
                   "'group_by_length': want either it or sample_packing, got both");
    expect_fine("sample_packing: true\nlongest_batch_first: true\ndataset_prepared_path:\n");
}

Test(config, keys_of_later_versions_are_refused_unless_they_ask_for_nothing)
{
    expect_problem("use_dora: true\n", "c.yaml:8: 'use_dora': not yet in this version");
    expect_problem("rl: dpo\n", "'rl': not yet in this version");
    expect_fine("peft_use_dora: no\nneftune_noise_alpha: 0\nrl:\n");
}

Test(config, bytes_are_read_with_their_unit)
{
    static const struct {
        const char *text;
        int64_t     bytes;
    } cases[] = {
        { "8GB", 8000000000 }, { "'7.5 GiB'", 8053063680 }, { "1000", 1000 }, { "2g", 2147483648 }, { "0", 0 }
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "max_memory: %s\n", cases[i].text);
        struct test_config test;
        test_config_load_more(&test, line);
        cr_expect_eq(test.config.max_memory, cases[i].bytes, "%s: got %lld", cases[i].text,
                     (long long)test.config.max_memory);
        test_config_release(&test);
    }
    expect_problem("max_memory: 8 bananas\n",
                   "c.yaml:8: 'max_memory': want bytes, as 8GB or 7.5GiB, got '8 bananas'");
    expect_problem("max_memory: -1\n", "'max_memory': want bytes, as 8GB or 7.5GiB, got '-1'");
    expect_problem("max_memory: 1.2.3GB\n", "'max_memory': want bytes, as 8GB or 7.5GiB, got '1.2.3GB'");
}

Test(config, what_becomes_of_rows_and_turns_is_read)
{
    struct test_config test;
    test_config_load(&test,
                     "base_model: b\nadapter: full\nlearning_rate: 1e-4\noutput_dir: o\n"
                     "datasets: [{path: 'd/*.csv.gz', ds_type: csv}]\n"
                     "roles_to_train: [assistant, tool]\nexcess_length_strategy: split\n"
                     "dataset_exact_deduplication: true\n",
                     NULL);
    cr_assert_eq(test.status, LRC_STATUS_OK);
    cr_expect_str_eq(test.config.datasets.items[0].ds_type, "csv");
    cr_expect_eq(test.config.roles_to_train.n, 2);
    cr_expect_str_eq(test.config.roles_to_train.items[1], "tool");
    cr_expect_str_eq(test.config.excess_length_strategy, "split");
    cr_expect_eq(test.config.dataset_exact_deduplication, 1);
    test_config_release(&test);
    expect_problem("excess_length_strategy: spilt\n",
                   "want one of drop, truncate, split, raise, got 'spilt'");
    expect_problem("dataset_exact_deduplication: 2\n",
                   "'dataset_exact_deduplication': want true or false, got '2'");
    expect_problem("roles_to_train: [1]\n", "'roles_to_train': want a list of names, got '1'");
}

Test(config, rank_and_alpha_are_required_unless_an_adapter_is_given)
{
    struct test_config test;
    const char        *text =
        "base_model: b\nadapter: qlora\ndatasets: d.jsonl\nlearning_rate: 1e-4\noutput_dir: o\n";
    test_config_load(&test, text, NULL);
    cr_expect(test_config_has_problem(&test, "'lora_r': want it given, unless lora_model_dir is, got none"));
    cr_expect(
        test_config_has_problem(&test, "'lora_alpha': want it given, unless lora_model_dir is, got none"));
    cr_expect_eq(test.problems.count, 2);
    test_config_release(&test);
    test_config_load(&test, text, (const char *const[]){ "lora_model_dir=earlier", NULL });
    cr_expect_eq(test.status, LRC_STATUS_OK);
    test_config_release(&test);
    test_config_load(&test, text, (const char *const[]){ "adapter=full", NULL });
    cr_expect_eq(test.status, LRC_STATUS_OK);
    test_config_release(&test);
}

Test(config, qlora_and_load_in_4bit_mean_each_other)
{
    struct test_config test;
    test_config_load_more(&test, "load_in_4bit: true\n");
    cr_assert_eq(test.status, LRC_STATUS_OK);
    cr_expect_str_eq(test.config.adapter, "qlora");
    test_config_release(&test);
    test_config_load(&test, LRC_TEST_CONFIG_MINIMAL, (const char *const[]){ "adapter=qlora", NULL });
    cr_assert_eq(test.status, LRC_STATUS_OK);
    cr_expect_eq(test.config.load_in_4bit, 1);
    test_config_release(&test);
    test_config_load(&test, LRC_TEST_CONFIG_MINIMAL,
                     (const char *const[]){ "adapter=qlora", "load_in_4bit=false", NULL });
    cr_expect_eq(test.status, LRC_STATUS_CONFIG);
    test_config_release(&test);
    test_config_load(&test, LRC_TEST_CONFIG_MINIMAL,
                     (const char *const[]){ "adapter=full", "load_in_4bit=true", NULL });
    cr_expect_eq(test.status, LRC_STATUS_CONFIG);
    test_config_release(&test);
}

Test(config, overrides_win_and_are_relative_to_the_working_folder)
{
    struct test_config test;
    test_config_load(&test, LRC_TEST_CONFIG_MINIMAL,
                     (const char *const[]){
                         "lora_r=4", "r=5", "output_dir=here", "datasets=[{path: x.jsonl}, y.jsonl]",
                         "bf16=no", "lora_target_modules=.*\\.(q|v)_proj", "lora_alpha=2", "seed=", NULL });
    cr_assert_eq(test.status, LRC_STATUS_OK, "%s", lrc_buf_text(&test.problems.text));
    cr_expect_eq(test.config.lora_r, 5);
    cr_expect_str_eq(test.config.output_dir, "here");
    cr_assert_eq(test.config.datasets.n, 2);
    cr_expect_str_eq(test.config.datasets.items[0].path, "x.jsonl");
    cr_expect_str_eq(test.config.datasets.items[1].path, "y.jsonl");
    cr_expect_str_eq(test.config.bf16, "false");
    cr_expect_eq(test.config.lora_target_modules.n, 1);
    cr_expect_eq(test.config.lora_target_modules.from_scalar, 1);
    cr_expect_str_eq(test.config.lora_target_modules.items[0], ".*\\.(q|v)_proj");
    cr_expect_eq(test.config.lora_target_linear, 0);
    cr_expect_str_eq(lrc_config_where(&test.config, "lora_r"), "command line");
    cr_expect_str_eq(lrc_config_where(&test.config, "seed"), "default");
    cr_expect(lrc_config_is_set(&test.config, "r"));
    cr_expect_not(lrc_config_is_set(&test.config, "seed"));
    test_config_release(&test);
}

Test(config, bad_overrides_are_problems)
{
    struct test_config test;
    test_config_load(
        &test, LRC_TEST_CONFIG_MINIMAL,
        (const char *const[]){ "foo", "=3", "lora_rr=3", "seed=[", "seed=*x", "lora_r=0", NULL });
    cr_expect_eq(test.status, LRC_STATUS_CONFIG);
    cr_expect(test_config_has_problem(&test, "command line: want key=value, got 'foo'"));
    cr_expect(test_config_has_problem(&test, "command line: want key=value, got '=3'"));
    cr_expect(test_config_has_problem(&test, "command line: unknown key 'lora_rr' (did you mean 'lora_r'?)"));
    cr_expect(test_config_has_problem(&test,
                                      "command line: 'seed': want plain settings, got a YAML alias (*name)"));
    cr_expect(
        test_config_has_problem(&test, "command line: 'lora_r': want an integer from 1 to 65536, got '0'"));
    cr_expect_eq(test.problems.count, 6, "%s", lrc_buf_text(&test.problems.text));
    test_config_release(&test);
}

Test(config, list_with_one_regular_expression_and_layers_are_read)
{
    struct test_config test;
    test_config_load_more(
        &test,
        "target_modules: [q_proj, v_proj]\nlayers_to_transform: 3\nrank_pattern: {q_proj: 4, '^x.*': 2}\n"
        "init_lora_weights: gaussian\nchat_template: my.jinja\n");
    cr_assert_eq(test.status, LRC_STATUS_OK, "%s", lrc_buf_text(&test.problems.text));
    cr_assert_eq(test.config.lora_target_modules.n, 2);
    cr_expect_eq(test.config.lora_target_modules.from_scalar, 0);
    cr_expect_str_eq(test.config.lora_target_modules.items[1], "v_proj");
    cr_assert_eq(test.config.peft_layers_to_transform.n, 1);
    cr_expect_str_eq(test.config.peft_layers_to_transform.items[0], "3");
    cr_assert_eq(test.config.lora_rank_pattern.n, 2);
    cr_expect_str_eq(test.config.lora_rank_pattern.keys[1], "^x.*");
    cr_expect_eq(test.config.lora_rank_pattern.values[1], 2);
    cr_expect_str_eq(test.config.peft_init_lora_weights, "gaussian");
    cr_expect_eq(strncmp(test.config.chat_template, test.dir, strlen(test.dir)), 0);
    test_config_release(&test);
}

Test(config, keys_of_later_versions_may_say_that_they_are_not_wanted)
{
    struct test_config test;
    test_config_load_more(&test,
                          "lora_modules_to_save: []\nrl: {}\npeft_use_dora: false\nneftune_noise_alpha: 0\n");
    cr_expect_eq(test.status, LRC_STATUS_OK, "%s", lrc_buf_text(&test.problems.text));
    test_config_release(&test);
    expect_problem("lora_modules_to_save: [embed_tokens]\n",
                   "'lora_modules_to_save': not yet in this version");
}

Test(config, a_byte_order_mark_before_the_first_key_is_passed_over)
{
    static const char     text[] = "\xef\xbb\xbfseed: 3\nadapter: lora\n";
    struct lrc_pool       pool = { 0 };
    struct lrc_node      *root = NULL;
    struct lrc_error      err = { 0 };
    int                   line = 0;
    const enum lrc_status status = lrc_yaml_tree_read(&root, &line, &pool, text, sizeof text - 1, &err);
    cr_assert_eq(status, LRC_STATUS_OK, "%s", err.message);
    cr_expect_str_eq(root->first->text, "seed");
    cr_expect_eq(root->n, 2);
    lrc_pool_release(&pool);
}

Test(config, layers_go_with_names_and_not_with_a_regular_expression)
{
    struct test_config test;
    test_config_load_more(&test, "lora_target_modules: all-linear\npeft_layers_to_transform: [0, 2]\n");
    cr_expect_eq(test.status, LRC_STATUS_OK, "%s", lrc_buf_text(&test.problems.text));
    test_config_release(&test);
    expect_problem("lora_target_modules: '.*q_proj'\npeft_layers_to_transform: [0]\n",
                   "want lora_target_modules to be a list or all-linear with it, got a regular expression");
}

Test(config, written_yaml_reads_back_to_the_same_settings)
{
    struct test_config first, second;
    struct lrc_buf     yaml = { 0 }, a = { 0 }, b = { 0 };
    test_config_load_more(
        &first,
        "bf16: true\nlora_target_modules: ['.*q']\npeft_layers_to_transform: [0, 2]\nval_set_size: 0.1\n"
        "lora_alpha_pattern: {q: 1}\nweight_decay: 0.1\nlora_exclude_modules: [\"a\\\"b\", 'true']\n");
    cr_assert_eq(first.status, LRC_STATUS_OK, "%s", lrc_buf_text(&first.problems.text));
    lrc_config_write_yaml(&first.config, &yaml);
    lrc_config_write_json(&first.config, &a);
    test_config_load(&second, lrc_buf_text(&yaml), NULL);
    cr_assert_eq(second.status, LRC_STATUS_OK, "%s", lrc_buf_text(&second.problems.text));
    lrc_config_write_json(&second.config, &b);
    cr_expect_str_eq(lrc_buf_text(&a), lrc_buf_text(&b));
    lrc_buf_release(&yaml);
    lrc_buf_release(&a);
    lrc_buf_release(&b);
    test_config_release(&first);
    test_config_release(&second);
}

Test(config, written_json_is_json_with_every_key)
{
    struct test_config test;
    struct lrc_buf     text = { 0 };
    json_t            *json;
    test_config_load_more(&test, "");
    lrc_config_write_json(&test.config, &text);
    cr_assert_eq(lrc_json_parse(&json, text.data, text.len, "config", &test.err), LRC_STATUS_OK, "%s",
                 test.err.message);
    cr_expect_eq(json_number_value(json_object_get(json, "learning_rate")), 2e-4);
    cr_expect_not_null(json_object_get(json, "threads"));
    cr_expect_null(json_object_get(json, "peft_use_dora"));
    json_decref(json);
    lrc_buf_clear(&text);
    lrc_config_write_keys_json(&text);
    cr_assert_eq(lrc_json_parse(&json, text.data, text.len, "keys", &test.err), LRC_STATUS_OK, "%s",
                 test.err.message);
    cr_expect_gt(json_array_size(json), 60);
    json_decref(json);
    lrc_buf_release(&text);
    test_config_release(&test);
}

Test(config, resume_may_change_only_what_does_not_touch_the_run)
{
    static const char *const may[] = { "device",        "threads",          "output_dir",
                                       "logging_steps", "eval_steps",       "evals_per_epoch",
                                       "save_steps",    "saves_per_epoch",  "save_total_limit",
                                       "num_epochs",    "num_train_epochs", "max_steps" };
    static const char *const may_not[] = { "learning_rate", "lora_r",       "datasets", "seed",
                                           "bf16",          "sequence_len", "nonsense" };
    for (size_t i = 0; i < sizeof may / sizeof may[0]; i++)
        cr_expect(lrc_config_resume_may_change(may[i]), "%s", may[i]);
    for (size_t i = 0; i < sizeof may_not / sizeof may_not[0]; i++)
        cr_expect_not(lrc_config_resume_may_change(may_not[i]), "%s", may_not[i]);
}

Test(config, missing_file_is_an_io_error)
{
    struct lrc_config   config;
    struct lrc_problems problems = { 0 };
    struct lrc_error    err;
    cr_expect_eq(lrc_config_load(&config, "/nonexistent/c.yaml", NULL, 0, &problems, &err), LRC_STATUS_IO);
    cr_expect_eq(problems.count, 0);
    lrc_problems_release(&problems);
}
