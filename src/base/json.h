/* JSON by jansson, with our error sentences. Foreign files are read through these, never through jansson's
 * unchecked getters. Duplicate keys and invalid UTF-8 are errors; \u0000 inside strings is allowed (use
 * json_string_length()). */
#ifndef LRC_BASE_JSON_H
#define LRC_BASE_JSON_H

#include "base/buf.h"
#include "base/status.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* name: what the sentence calls the text ("config.json", "train.jsonl:12").
 * errors: FORMAT with line and column. ownership: *json is the caller's (json_decref). */
enum lrc_status lrc_json_parse(json_t **json, const char *bytes, size_t n, const char *name,
                               struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_json_load(json_t **json, const char *path, struct lrc_error *err) LRC_MUST_CHECK;
/* Indented, as lrc_file_write() does it. errors: IO, NOSPACE, NOMEM. */
enum lrc_status lrc_json_save(const char *path, const json_t *json, struct lrc_error *err) LRC_MUST_CHECK;

/* Typed members of an object. `found` pointers stay as they were when the key is absent or null.
 * errors: FORMAT "<name>: '<key>': want an integer, got a string". */
enum lrc_status lrc_json_get_int(int64_t *value, const json_t *object, const char *key, const char *name,
                                 struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_json_get_number(double *value, const json_t *object, const char *key, const char *name,
                                    struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_json_get_bool(int *value, const json_t *object, const char *key, const char *name,
                                  struct lrc_error *err) LRC_MUST_CHECK;
/* Borrowed from object; without \u0000 inside (FORMAT). */
enum lrc_status lrc_json_get_string(const char **value, const json_t *object, const char *key,
                                    const char *name, struct lrc_error *err) LRC_MUST_CHECK;

const char *lrc_json_type_name(const json_t *json); /* "an object", "a string", ... "nothing" for NULL */

/* Quoted and escaped as JSON, UTF-8 kept. */
void lrc_json_append_string(struct lrc_buf *buf, const char *bytes, size_t n);
/* Shortest decimal that reads back as the same double; "null" when not finite. */
void lrc_json_append_number(struct lrc_buf *buf, double value);

/* The text of an object, which has been parsed before, without one key of its first level: with a member
 * behind it, that one takes its place; the last one goes with the comma in front of it. And with a key more,
 * at its end. Every other byte stays; a key that is spelled with escapes is not found. */
void lrc_json_cut_key(struct lrc_buf *out, const char *text, const char *key);
void lrc_json_add_key(struct lrc_buf *out, const char *text, const char *key, const char *value);

#endif
