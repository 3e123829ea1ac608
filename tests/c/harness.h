/* harness.h - tests in C: one process per test, a deadline on each.
 *
 *     TEST(seg_wraps_without_moving_bytes) {
 *         CHECK_EQ(pe_seg_put(s, "abc", 3), 3);
 *     }
 *
 * A test registers itself; main() is in harness.c. Each test runs in a forked
 * process that leads a process group of its own, so a crash, a hang or a
 * left-over child ends that test and nothing else. What a test prints is shown
 * only when it fails, or when HARNESS_SECONDS gives another deadline. After the body the harness checks that
 *
 *     every descriptor opened by the test is closed again, and
 *     every block of the library is given back (pe_mem_live_total() == 0; not
 *     with -DHARNESS_PLAIN, which is for other libraries of the same names).
 *
 * A failing check ends its test at once: by _exit, so that a check may stand
 * in any function, thread or child process of the test.
 *
 *     test_x [-l] [-k PART]     list the tests; run those whose name has PART
 *
 * Exit status: 0 when every test passed or was skipped, else 1.
 */
#ifndef PE_TESTS_HARNESS_H
#define PE_TESTS_HARNESS_H

#include <stddef.h>

struct harness_test {
    const char *name;
    void (*body)(void);
    int is_leaky;
    struct harness_test *next;
};

void harness_register(struct harness_test *t);
void harness_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 3, 4)));
void harness_skip(const char *why) __attribute__((noreturn));
void harness_check_eq(const char *file, int line, const char *expr, long long got,
                      long long want);
void harness_check_str(const char *file, int line, const char *expr, const char *got,
                       const char *want);
void harness_check_mem(const char *file, int line, const char *expr, const void *got,
                       const void *want, size_t n);

#define HARNESS_DEFINE(test_name, leaky)                                      \
    static void test_name(void);                                              \
    __attribute__((constructor)) static void harness_add_##test_name(void) {  \
        static struct harness_test t = {#test_name, test_name, leaky, NULL};  \
        harness_register(&t);                                                 \
    }                                                                         \
    static void test_name(void)

#define TEST(name) HARNESS_DEFINE(name, 0)

/* As TEST, without the checks for blocks and descriptors left over. Say why
 * in a comment beside it. */
#define TEST_LEAKY(name) HARNESS_DEFINE(name, 1)

#define CHECK(expr)                                                           \
    do {                                                                      \
        if (!(expr))                                                          \
            harness_fail(__FILE__, __LINE__, "%s", #expr);                    \
    } while (0)

/* Integers of any type, pointers too. */
#define CHECK_EQ(got, want)                                                   \
    harness_check_eq(__FILE__, __LINE__, #got " == " #want, (long long)(got), \
                     (long long)(want))

/* Strings; NULL equals NULL only. */
#define CHECK_STR(got, want)                                                  \
    harness_check_str(__FILE__, __LINE__, #got " == " #want, got, want)

/* The first n bytes of both. */
#define CHECK_MEM(got, want, n)                                               \
    harness_check_mem(__FILE__, __LINE__, #got " == " #want, got, want,       \
                      (size_t)(n))

/* End the test without a verdict: what it needs is not to be had here. */
#define SKIP(why) harness_skip(why)

#endif
