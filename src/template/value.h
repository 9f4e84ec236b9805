/* Values a template computes with, as Python has them. All live in one lrc_bump and end with it. */
#ifndef LRC_TEMPLATE_VALUE_H
#define LRC_TEMPLATE_VALUE_H

#include "base/status.h"
#include "template/bump.h"
#include <stddef.h>
#include <stdint.h>

struct lrc_render;

enum lrc_value_kind {
    LRC_VALUE_ABSENT, /* an argument that was not given; never seen by a template */
    LRC_VALUE_UNDEFINED,
    LRC_VALUE_NONE,
    LRC_VALUE_BOOL,
    LRC_VALUE_INT,
    LRC_VALUE_FLOAT,
    LRC_VALUE_STRING,
    LRC_VALUE_LIST,
    LRC_VALUE_TUPLE,
    LRC_VALUE_DICT,
    LRC_VALUE_NAMESPACE,
    LRC_VALUE_LOOP,
    LRC_VALUE_MACRO,
    LRC_VALUE_METHOD,
    LRC_VALUE_GLOBAL
};

/* UTF-8; lengths and indices a template sees count code points. */
struct lrc_string {
    const char *bytes;
    size_t n;
    int64_t n_points;
};

struct lrc_value {
    enum lrc_value_kind kind;
    union {
        int truth;                       /* BOOL */
        int64_t integer;                 /* INT */
        double real;                     /* FLOAT */
        const struct lrc_string *string; /* STRING; of UNDEFINED: what was looked for, or NULL */
        struct lrc_list *list;           /* LIST, TUPLE */
        struct lrc_dict *dict;           /* DICT, NAMESPACE */
        struct lrc_loop *loop;
        const struct lrc_macro *macro;
        const struct lrc_bound *bound;
        const struct lrc_global *global;
    };
};

struct lrc_list {
    struct lrc_value *items;
    int64_t n, cap;
};

struct lrc_dict_entry {
    struct lrc_value key, value;
    uint64_t hash;
};

/* Entries in the order of insertion; slots is an open-addressing index of them, power-of-two sized, NULL
 * while small. */
struct lrc_dict {
    struct lrc_dict_entry *entries;
    int64_t n, cap;
    int32_t *slots;
    int64_t n_slots;
};

struct lrc_bound { /* a method and what it is called on */
    const struct lrc_method *method;
    struct lrc_value self;
};

struct lrc_value lrc_value__bool(int truth);
struct lrc_value lrc_value__int(int64_t integer);
struct lrc_value lrc_value__float(double real);
struct lrc_value lrc_value__none(void);
struct lrc_value lrc_value__undefined(const struct lrc_string *name);

/* The bytes stay where they are. errors: NUMERIC (memory bound), NOMEM. */
enum lrc_status lrc_string__borrow(struct lrc_render *r, struct lrc_value *out, const char *bytes,
                                   size_t n) LRC_MUST_CHECK;
enum lrc_status lrc_string__concat(struct lrc_render *r, struct lrc_value *out, const struct lrc_string *a,
                                   const struct lrc_string *b) LRC_MUST_CHECK;
int lrc_string__equals(const struct lrc_string *s, const char *text);

enum lrc_status lrc_list__new(struct lrc_render *r, struct lrc_value *out,
                              enum lrc_value_kind kind) LRC_MUST_CHECK;
enum lrc_status lrc_list__append(struct lrc_render *r, struct lrc_list *list,
                                 struct lrc_value value) LRC_MUST_CHECK;

enum lrc_status lrc_dict__new(struct lrc_render *r, struct lrc_value *out) LRC_MUST_CHECK;
/* errors: DATA for a key that has no hash. */
enum lrc_status lrc_dict__set(struct lrc_render *r, struct lrc_dict *dict, struct lrc_value key,
                              struct lrc_value value) LRC_MUST_CHECK;
/* The entry, or NULL through *out. errors: DATA for a key that has no hash. */
enum lrc_status lrc_dict__find(struct lrc_render *r, struct lrc_dict_entry **out, const struct lrc_dict *dict,
                               struct lrc_value key) LRC_MUST_CHECK;
enum lrc_status lrc_dict__remove(struct lrc_render *r, struct lrc_dict *dict,
                                 struct lrc_value key) LRC_MUST_CHECK;

int lrc_value__is_true(struct lrc_value v);
int lrc_value__is_number(struct lrc_value v);         /* also a boolean, as in Python */
double lrc_value__to_double(struct lrc_value v);      /* of a number */
const char *lrc_value__type_name(struct lrc_value v); /* "str", "int", "NoneType" ... */

/* Python's ==. errors: NUMERIC when a bound is hit. */
enum lrc_status lrc_value__equal(struct lrc_render *r, int *equal, struct lrc_value a,
                                 struct lrc_value b) LRC_MUST_CHECK;
/* *order is negative, 0 or positive. errors: DATA when the two have no order. */
enum lrc_status lrc_value__compare(struct lrc_render *r, int *order, struct lrc_value a,
                                   struct lrc_value b) LRC_MUST_CHECK;
/* Python's `needle in hay`. */
enum lrc_status lrc_value__contains(struct lrc_render *r, int *found, struct lrc_value hay,
                                    struct lrc_value needle) LRC_MUST_CHECK;
/* What iterating over v gives: the list itself, the keys of a dict, the characters of a string, nothing for
 * undefined. errors: DATA when v cannot be iterated. */
enum lrc_status lrc_value__iterate(struct lrc_render *r, struct lrc_list *out,
                                   struct lrc_value v) LRC_MUST_CHECK;

#endif
