/* One rendering: its memory, its bounds, where its output goes. Private to this folder. */
#ifndef LRC_TEMPLATE_RENDER_H
#define LRC_TEMPLATE_RENDER_H

#include "base/alloc.h"
#include "base/buf.h"
#include "template/ast.h"
#include "template/template.h"
#include "template/value.h"

enum {
    LRC_RENDER_STEPS_MAX = 10 * 1000 * 1000,
    LRC_RENDER_DEPTH_MAX = 600,   /* of expressions, blocks, macro calls and nested values together */
    LRC_RENDER_RANGE_MAX = 100000 /* as jinja2's sandbox */
};
#define LRC_RENDER_OUTPUT_MAX_BYTES ((size_t)64 << 20)
#define LRC_RENDER_MEMORY_MAX_BYTES ((size_t)256 << 20)

enum lrc_flow { LRC_FLOW_ON, LRC_FLOW_BREAK, LRC_FLOW_CONTINUE };

struct lrc_scope {
    struct lrc_scope *parent;
    int32_t          *names; /* indices into the template's names */
    struct lrc_value *values;
    int64_t           n, cap;
};

struct lrc_loop {
    const struct lrc_ast *node;
    struct lrc_scope     *scope; /* around the loop */
    int64_t               depth; /* 0; one more for each call of a recursive loop */
    struct lrc_list       items;
    int64_t               index;
    struct lrc_value      changed; /* arguments of the last loop.changed() */
};

struct lrc_macro {
    const struct lrc_ast *node; /* MACRO or CALL_BLOCK */
    struct lrc_scope     *closure;
};

/* Text under construction in the rendering's memory. Failure is sticky; lrc_builder__finish() tells. */
struct lrc_builder {
    struct lrc_render *r;
    char              *data;
    size_t             n, cap;
    int                failed;
};

struct lrc_render {
    const struct lrc_template *template;
    struct lrc_error   *err;
    struct lrc_bump     memory;
    int64_t             n_steps_left;
    int                 depth;
    int                 line; /* of the template, for sentences */
    struct lrc_scope   *scope;
    struct lrc_dict    *variables;
    struct lrc_buf     *text;       /* the output, when capture is NULL */
    size_t              text_begin; /* its length before */
    struct lrc_builder *capture;
    struct lrc_buf     *generation;
    struct lrc_value    captured; /* what the filter of a block applies to */
    enum lrc_flow       flow;
    json_t             *kept_json; /* array of what from_json read */
    int                 date[6];   /* year, month 1-12, day, hour, minute, second, of strftime_now */
};

/* The arguments of a call, evaluated. */
struct lrc_args {
    const struct lrc_value *values;
    int64_t                 n;
    const struct lrc_dict  *named; /* NULL: none */
};

enum { LRC_PARAMETERS_MAX = 5 };

/* A call of a filter, test, method or global after its arguments found their parameters. */
struct lrc_call {
    struct lrc_value       self;
    struct lrc_value       arg[LRC_PARAMETERS_MAX]; /* ABSENT when not given */
    const struct lrc_args *args;                    /* as written */
};

typedef enum lrc_status lrc_callable(struct lrc_render *r, struct lrc_value *out,
                                     const struct lrc_call *call);

/* One row of the tables of filters, tests, methods and globals. */
struct lrc_entry {
    const char   *name;
    const char   *parameters; /* "old new count"; "*" takes anything through args */
    int           n_required;
    lrc_callable *run;
};
struct lrc_filter {
    struct lrc_entry entry;
};
struct lrc_test { /* run gives a BOOL */
    struct lrc_entry entry;
};
struct lrc_method {
    enum lrc_value_kind kind;
    struct lrc_entry    entry;
};
struct lrc_global {
    struct lrc_entry entry;
};

/* "<template>:<line>: <sentence>". */
enum lrc_status lrc_render__fail(struct lrc_render *r, enum lrc_status status, const char *format, ...)
    LRC_PRINTF(3, 4);
/* After a failed allocation: NUMERIC when the bound was the reason, else NOMEM. */
enum lrc_status lrc_render__fail_memory(struct lrc_render *r);

/* Count n units of work. errors: NUMERIC when they are used up. */
enum lrc_status lrc_render__charge(struct lrc_render *r, int64_t n_steps) LRC_MUST_CHECK;
enum lrc_status lrc_render__enter(struct lrc_render *r)
    LRC_MUST_CHECK; /* one level deeper; the caller decrements depth */
enum lrc_status lrc_render__take(struct lrc_render *r, void *slot, int64_t n_elems,
                                 size_t elem_bytes) LRC_MUST_CHECK;
enum lrc_status lrc_render__write(struct lrc_render *r, const char *bytes, size_t n) LRC_MUST_CHECK;

void            lrc_builder__append(struct lrc_builder *b, const void *bytes, size_t n);
void            lrc_builder__puts(struct lrc_builder *b, const char *string);
enum lrc_status lrc_builder__finish(struct lrc_builder *b, struct lrc_value *out) LRC_MUST_CHECK;

enum lrc_status lrc_eval__expression(struct lrc_render *r, struct lrc_value *out,
                                     const struct lrc_ast *node) LRC_MUST_CHECK;
enum lrc_status lrc_eval__block(struct lrc_render *r, const struct lrc_ast *node) LRC_MUST_CHECK;
enum lrc_status lrc_eval__arguments(struct lrc_render *r, struct lrc_args *args,
                                    const struct lrc_ast *node) LRC_MUST_CHECK;
/* a.name and a[key] as the sandboxed environment finds them. */
enum lrc_status lrc_eval__attribute(struct lrc_render *r, struct lrc_value *out, struct lrc_value object,
                                    const struct lrc_string *name) LRC_MUST_CHECK;
enum lrc_status lrc_eval__item(struct lrc_render *r, struct lrc_value *out, struct lrc_value object,
                               struct lrc_value key) LRC_MUST_CHECK;
enum lrc_status lrc_eval__slice(struct lrc_render *r, struct lrc_value *out, struct lrc_value object,
                                const struct lrc_value bounds[3]) LRC_MUST_CHECK;
/* kind: "filter", "method" ..., for sentences. */
enum lrc_status lrc_eval__entry(struct lrc_render *r, struct lrc_value *out, const struct lrc_entry *entry,
                                struct lrc_value self, const struct lrc_args *args) LRC_MUST_CHECK;
enum lrc_status lrc_eval__call(struct lrc_render *r, struct lrc_value *out, struct lrc_value callee,
                               const struct lrc_args *args) LRC_MUST_CHECK;
/* The macro's output goes to where output goes now. */
enum lrc_status lrc_eval__macro(struct lrc_render *r, const struct lrc_macro *macro,
                                const struct lrc_args *args, struct lrc_value caller) LRC_MUST_CHECK;
/* loop(iterable) of a recursive loop: the body over other items; its output goes where output goes now. */
enum lrc_status lrc_eval__recurse(struct lrc_render *r, const struct lrc_loop *loop,
                                  const struct lrc_args *args) LRC_MUST_CHECK;
enum lrc_status lrc_eval__binary(struct lrc_render *r, struct lrc_value *out, int op, struct lrc_value a,
                                 struct lrc_value b) LRC_MUST_CHECK;

enum lrc_status lrc_scope__push(struct lrc_render *r, struct lrc_scope *parent) LRC_MUST_CHECK;
enum lrc_status lrc_scope__set(struct lrc_render *r, int32_t name, struct lrc_value value) LRC_MUST_CHECK;
enum lrc_status lrc_scope__get(struct lrc_render *r, struct lrc_value *out, int32_t name) LRC_MUST_CHECK;

/* str(v) and repr(v) of Python. */
enum lrc_status lrc_value__to_string(struct lrc_render *r, const struct lrc_string **out,
                                     struct lrc_value v) LRC_MUST_CHECK;
enum lrc_status lrc_value__print(struct lrc_builder *b, struct lrc_value v) LRC_MUST_CHECK;
enum lrc_status lrc_value__repr(struct lrc_builder *b, struct lrc_value v) LRC_MUST_CHECK;
enum { LRC_FLOAT_TEXT_MAX = 40 };
void lrc_value__float_text(char text[LRC_FLOAT_TEXT_MAX], double value);

enum lrc_status lrc_value__from_json(struct lrc_render *r, struct lrc_value *out,
                                     const json_t *json) LRC_MUST_CHECK;

const struct lrc_filter *lrc_filter__find(const char *name, size_t n);
const struct lrc_test   *lrc_test__find(const char *name, size_t n);
const struct lrc_method *lrc_method__find(struct lrc_value self, const char *name, size_t n);
const struct lrc_global *lrc_global__find(const char *name, size_t n);

#endif
