/* Criterion's assertions for a program that is not run by it: the first that fails ends it. */
#ifndef LRC_TESTS_NO_CRITERION_H
#define LRC_TESTS_NO_CRITERION_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define cr_assert(condition, ...)                                                                            \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            (void)fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #condition);                    \
            (void)fprintf(stderr, "" __VA_ARGS__);                                                           \
            (void)fputc('\n', stderr);                                                                       \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)
#define cr_expect(condition, ...)        cr_assert(condition, __VA_ARGS__)
#define cr_assert_eq(a, b, ...)          cr_assert((a) == (b), __VA_ARGS__)
#define cr_expect_eq(a, b, ...)          cr_assert((a) == (b), __VA_ARGS__)
#define cr_expect_float_eq(a, b, e, ...) cr_assert((a) - (b) <= (e) && (b) - (a) <= (e), __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...)      cr_assert(strcmp(a, b) == 0, __VA_ARGS__)

#endif
