/* Which modules an adapter is on, with which rank: PEFT's rules, its regular expressions run by PCRE2.
 * source: huggingface/peft, tuners/tuners_utils.py check_target_module_exists, get_pattern_key */
#include "formats/peft.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/alloc.h"
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A pattern from a foreign file must not run for ever. */
enum { MATCH_STEPS_MAX = 1000000, DEPTH_MAX = 10000 };

enum extent { EXTENT_WHOLE, EXTENT_FROM_START };

static enum lrc_status fail_pattern(int code, const char *pattern, struct lrc_error *err)
{
    PCRE2_UCHAR8 reason[160];
    if (code == PCRE2_ERROR_NOMEMORY)
        return lrc_fail_nomem(err, "regular expression");
    (void)pcre2_get_error_message(code, reason, sizeof reason);
    return lrc_fail(err, LRC_STATUS_CONFIG, "adapted modules: want a regular expression, got '%s': %s",
                    pattern, (const char *)reason);
}

/* number: when not NULL, set to the digits in the first group if there is a match. */
static enum lrc_status match(int *matched, int64_t *number, const char *pattern, const char *subject,
                             enum extent extent, struct lrc_error *err)
{
    int                  code;
    PCRE2_SIZE           at;
    enum lrc_status      status = LRC_STATUS_OK;
    pcre2_match_context *context = NULL;
    pcre2_match_data    *data = NULL;
    const uint32_t       options =
        PCRE2_ANCHORED | PCRE2_UTF | PCRE2_UCP | (extent == EXTENT_WHOLE ? PCRE2_ENDANCHORED : 0u);
    pcre2_code *regex = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, options, &code, &at, NULL);
    *matched = 0;
    if (!regex)
        return fail_pattern(code, pattern, err);
    context = pcre2_match_context_create(NULL);
    data = pcre2_match_data_create_from_pattern(regex, NULL);
    if (!context || !data) {
        status = lrc_fail_nomem(err, "regular expression");
        goto done;
    }
    (void)pcre2_set_match_limit(context, MATCH_STEPS_MAX);
    (void)pcre2_set_depth_limit(context, DEPTH_MAX);
    code = pcre2_match(regex, (PCRE2_SPTR)subject, PCRE2_ZERO_TERMINATED, 0, 0, data, context);
    *matched = code >= 0;
    if (code < 0 && code != PCRE2_ERROR_NOMATCH)
        status = fail_pattern(code, pattern, err);
    else if (*matched && number && pcre2_get_ovector_pointer(data)[2] != PCRE2_UNSET)
        *number = strtoll(subject + pcre2_get_ovector_pointer(data)[2], NULL, 10);
done:
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_code_free(regex);
    return status;
}

/* name == entry, or name ends with "." + entry */
static int is_suffix(const char *module, const char *entry)
{
    const size_t n = strlen(module), n_entry = strlen(entry);
    return n > n_entry && module[n - n_entry - 1] == '.' && strcmp(module + n - n_entry, entry) == 0;
}

static int is_listed(const char *module, char *const *list, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(module, list[i]) == 0)
            return 1;
    return 0;
}

static int is_suffix_listed(const char *module, char *const *list, int n)
{
    for (int i = 0; i < n; i++)
        if (is_suffix(module, list[i]))
            return 1;
    return 0;
}

/* The number behind the name of the list of layers: ".*\.<pattern>\.(\d+)\." from the start; -1 when there
 * is none. */
static enum lrc_status find_layer(int64_t *layer, const struct lrc_peft_config *config, const char *module,
                                  struct lrc_error *err)
{
    int       matched = 0;
    const int n = config->n_layers_pattern > 0 ? config->n_layers_pattern : 1;
    *layer = -1;
    for (int i = 0; i < n && !matched; i++) {
        struct lrc_buf  pattern = { 0 };
        enum lrc_status status;
        lrc_buf_printf(&pattern, ".*\\.%s\\.([0-9]+)\\.",
                       config->n_layers_pattern > 0 ? config->layers_pattern[i] : "[^.]*");
        status = lrc_buf_check(&pattern, err);
        if (status == LRC_STATUS_OK)
            status = match(&matched, layer, pattern.data, module, EXTENT_FROM_START, err);
        lrc_buf_release(&pattern);
        LRC_TRY(status);
    }
    return LRC_STATUS_OK;
}

static enum lrc_status is_in_layers(int *included, const struct lrc_peft_config *config, const char *module,
                                    struct lrc_error *err)
{
    int64_t layer;
    *included = 1;
    if (config->n_layers_to_transform == 0)
        return LRC_STATUS_OK;
    LRC_TRY(find_layer(&layer, config, module, err));
    *included = 0;
    for (int i = 0; i < config->n_layers_to_transform && layer >= 0; i++)
        if (config->layers_to_transform[i] == layer)
            *included = 1;
    return LRC_STATUS_OK;
}

static enum lrc_status is_excluded(int *excluded, const struct lrc_peft_config *config, const char *module,
                                   struct lrc_error *err)
{
    if (config->exclude_regex && config->exclude_regex[0] != '\0')
        return match(excluded, NULL, config->exclude_regex, module, EXTENT_WHOLE, err);
    *excluded = is_listed(module, config->exclude_modules, config->n_exclude_modules) ||
                is_suffix_listed(module, config->exclude_modules, config->n_exclude_modules);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_peft_targets(int *targeted, const struct lrc_peft_config *config, const char *module,
                                 int is_output, struct lrc_error *err)
{
    int excluded;
    *targeted = 0;
    LRC_TRY(is_excluded(&excluded, config, module, err));
    if (excluded)
        return LRC_STATUS_OK;
    if (config->target_regex && strcasecmp(config->target_regex, "all-linear") == 0) {
        if (is_output)
            return LRC_STATUS_OK;
        return is_in_layers(targeted, config, module, err); /* what is written to disk is a list of names */
    }
    if (config->target_regex)
        return match(targeted, NULL, config->target_regex, module, EXTENT_WHOLE, err);
    if (is_listed(module, config->target_modules, config->n_target_modules)) {
        *targeted = 1; /* by its full name: layers_to_transform does not apply */
        return LRC_STATUS_OK;
    }
    if (!is_suffix_listed(module, config->target_modules, config->n_target_modules))
        return LRC_STATUS_OK;
    return is_in_layers(targeted, config, module, err);
}

/* The first pattern that matches, in the order of the file: "(.*\.)?(key)$" from the start. NULL: none. */
static enum lrc_status find_pattern(const struct lrc_peft_pattern **found,
                                    const struct lrc_peft_pattern *patterns, int n, const char *module,
                                    struct lrc_error *err)
{
    *found = NULL;
    for (int i = 0; i < n; i++) {
        struct lrc_buf  pattern = { 0 };
        enum lrc_status status;
        int             matched = 0;
        lrc_buf_printf(&pattern, "(.*\\.)?(%s)$", patterns[i].key);
        status = lrc_buf_check(&pattern, err);
        if (status == LRC_STATUS_OK)
            status = match(&matched, NULL, pattern.data, module, EXTENT_FROM_START, err);
        lrc_buf_release(&pattern);
        LRC_TRY(status);
        if (matched) {
            *found = &patterns[i];
            return LRC_STATUS_OK;
        }
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_peft_rank(int64_t *r, double *alpha, const struct lrc_peft_config *config,
                              const char *module, struct lrc_error *err)
{
    const struct lrc_peft_pattern *rank, *scale;
    LRC_TRY(find_pattern(&rank, config->rank_pattern, config->n_rank_pattern, module, err));
    LRC_TRY(find_pattern(&scale, config->alpha_pattern, config->n_alpha_pattern, module, err));
    *r = rank ? rank->value : config->r;
    *alpha = scale ? (double)scale->value : config->lora_alpha;
    return LRC_STATUS_OK;
}
