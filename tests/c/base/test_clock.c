/* test_clock.c - clocks, and timevals to and fro. */
#include "harness.h"

#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <time.h>

static int64_t from(long long sec, long long usec) {
    struct timeval tv = {.tv_sec = (time_t)sec, .tv_usec = (suseconds_t)usec};

    return pe_ns_from_timeval(&tv);
}

TEST(clock_timeval_becomes_nanoseconds) {
    CHECK_EQ(from(0, 0), 0);
    CHECK_EQ(from(0, 1), 1000);
    CHECK_EQ(from(3, 250000), 3250000000);
    CHECK_EQ(from(86400 * 365, 999999), INT64_C(31536000999999000));
}

TEST(clock_unnormalised_timeval_is_added_up) {
    CHECK_EQ(from(1, 2500000), 3500000000);
    CHECK_EQ(from(2, -500000), 1500000000);
    CHECK_EQ(from(1, -1000000), 0);
    CHECK_EQ(from(-1, 1500000), 500000000);
}

TEST(clock_negative_timeval_is_refused) {
    CHECK_EQ(from(-1, 0), -EINVAL);
    CHECK_EQ(from(0, -1), -EINVAL);
    CHECK_EQ(from(1, -1000001), -EINVAL);
    CHECK_EQ(from(-1, 999999), -EINVAL);
    CHECK_EQ(from(LLONG_MIN, 0), -EINVAL);
    CHECK_EQ(from(LLONG_MIN, LONG_MIN), -EINVAL);
}

TEST(clock_huge_timeval_saturates) {
    int64_t edge = PE_CLOCK_MAX_NS / PE_NS_PER_SEC;

    CHECK_EQ(from(LLONG_MAX, 0), PE_CLOCK_MAX_NS);
    CHECK_EQ(from(LLONG_MAX, 999999), PE_CLOCK_MAX_NS);
    CHECK_EQ(from(LLONG_MAX, LONG_MAX), PE_CLOCK_MAX_NS);
    CHECK_EQ(from(LLONG_MAX, LONG_MIN), PE_CLOCK_MAX_NS);
    CHECK_EQ(from(edge, 0), PE_CLOCK_MAX_NS);
    CHECK_EQ(from(edge - 1, 999999), (edge - 1) * PE_NS_PER_SEC + 999999000);
    CHECK_EQ(from(edge - 1, 1000000), PE_CLOCK_MAX_NS);
    CHECK(INT64_MAX - PE_CLOCK_MAX_NS >= 3 * PE_CLOCK_MAX_NS); /* may be added to */
}

static void check_to(int64_t ns, long long sec, long long usec) {
    struct timeval tv;

    pe_ns_to_timeval(ns, &tv);
    CHECK_EQ(tv.tv_sec, sec);
    CHECK_EQ(tv.tv_usec, usec);
}

TEST(clock_nanoseconds_become_a_timeval_rounded_up) {
    check_to(0, 0, 0);
    check_to(1, 0, 1);
    check_to(1000, 0, 1);
    check_to(1001, 0, 2);
    check_to(999999001, 1, 0); /* the carry */
    check_to(3250000000, 3, 250000);
    check_to(INT64_MAX, INT64_MAX / PE_NS_PER_SEC, 854776);
}

TEST(clock_negative_nanoseconds_have_a_normal_usec) {
    check_to(-1, 0, 0);
    check_to(-1000, -1, 999999);
    check_to(-1500000000, -2, 500000);
    check_to(INT64_MIN, INT64_MIN / PE_NS_PER_SEC - 1, 145225);
}

TEST(clock_points_in_time_are_rounded_down) {
    struct timeval tv;

    pe_time_to_timeval(1999, &tv);
    CHECK(tv.tv_sec == 0 && tv.tv_usec == 1);
    pe_time_to_timeval(-1, &tv);
    CHECK(tv.tv_sec == -1 && tv.tv_usec == 999999);
    pe_time_to_timeval(INT64_MAX, &tv);
    CHECK(tv.tv_sec == INT64_MAX / PE_NS_PER_SEC && tv.tv_usec == 854775);
}

TEST(clock_wall_of_now_is_the_time_of_day) {
    for (int i = 0; i < 1000; i++) {
        int64_t before = pe_clock_wall(), at = pe_clock_wall_at(pe_clock_now());

        CHECK(before - PE_NS_PER_US <= at && at <= pe_clock_wall() + PE_NS_PER_US);
    }
}

TEST(clock_conversion_there_and_back_is_exact) {
    for (int64_t us = 0; us < INT64_C(2000000000000000); us = us * 3 + 1) {
        struct timeval tv;

        pe_ns_to_timeval(us * 1000, &tv);
        CHECK_EQ(pe_ns_from_timeval(&tv), us * 1000);
    }
}

TEST(clock_now_is_the_monotonic_clock) {
    struct timespec ts;
    int64_t before = pe_clock_now(), middle;

    CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
    middle = (int64_t)ts.tv_sec * PE_NS_PER_SEC + ts.tv_nsec;
    CHECK(before <= middle);
    CHECK(middle <= pe_clock_now());
}

TEST(clock_wall_is_the_time_of_day) {
    int64_t before = (int64_t)time(NULL);
    int64_t wall = pe_clock_wall() / PE_NS_PER_SEC;

    CHECK(wall >= before - 1); /* time(2) may lag by a tick */
    CHECK(wall <= (int64_t)time(NULL) + 1);
}

static int64_t fake_now;

static int64_t fake_clock(void) {
    return fake_now;
}

TEST(clock_of_a_test_replaces_the_real_one_until_taken_back) {
    pe_clock_set_source(fake_clock);
    fake_now = 5;
    CHECK_EQ(pe_clock_now(), 5);
    fake_now = INT64_C(7) << 40;
    CHECK_EQ(pe_clock_now(), INT64_C(7) << 40);
    CHECK(pe_clock_wall() > INT64_C(1500000000) * PE_NS_PER_SEC);
    pe_clock_set_source(NULL);
    CHECK(pe_clock_now() != fake_now);
}
