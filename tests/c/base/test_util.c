/* test_util.c - what event2/util.h promises beyond libevent. */
#include "harness.h"

#include "base/clock.h"
#include "base/mem.h"
#include "event2/event.h"
#include "event2/util.h"

#include <string.h>
#include <sys/un.h>

TEST(util_versions_of_both_headers_agree) {
    CHECK_STR(LIBEVENT_VERSION, EVENT__VERSION);
    CHECK_EQ(LIBEVENT_VERSION_NUMBER, EVENT__NUMERIC_VERSION);
}

TEST(util_monotonic_timer_out_of_memory_is_null) {
    pe_mem_fail_nth(1);
    CHECK(evutil_monotonic_timer_new() == NULL);
    CHECK_EQ(errno, ENOMEM);
    evutil_monotonic_timer_free(NULL);
}

static int64_t fake_now;

static int64_t fake_clock(void) {
    return fake_now;
}

TEST(util_monotonic_timer_goes_on_from_a_clock_set_back) {
    struct evutil_monotonic_timer *timer = evutil_monotonic_timer_new();
    struct timeval tv;

    CHECK(timer != NULL);
    pe_clock_set_source(fake_clock);
    fake_now = 100 * PE_NS_PER_SEC;
    evutil_gettime_monotonic(timer, &tv);
    CHECK_EQ(tv.tv_sec, 100);
    fake_now = 10 * PE_NS_PER_SEC;
    evutil_gettime_monotonic(timer, &tv);
    CHECK_EQ(tv.tv_sec, 100);
    fake_now = 13 * PE_NS_PER_SEC;
    evutil_gettime_monotonic(timer, &tv);
    CHECK_EQ(tv.tv_sec, 103);
    pe_clock_set_source(NULL);
    evutil_monotonic_timer_free(timer);
}

TEST(util_date_refuses_a_day_or_month_that_is_none) {
    struct tm tm;
    char out[64] = "unchanged";

    memset(&tm, 0, sizeof(tm));
    tm.tm_wday = 7;
    CHECK_EQ(evutil_date_rfc1123(out, sizeof(out), &tm), -1);
    tm.tm_wday = 0;
    tm.tm_mon = -1;
    CHECK_EQ(evutil_date_rfc1123(out, sizeof(out), &tm), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK_STR(out, "unchanged");
}

TEST(util_parse_sockaddr_port_refuses_trailing_rubbish) {
    static const char *const bad[] = {"1.2.3.4:80x", "1.2.3.4: 80", "1.2.3.4:+80", "[::1]x80",
                                      "1.2.3.4:4294967376"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct sockaddr_storage ss;
        int len = (int)sizeof(ss);

        errno = 0;
        CHECK_EQ(evutil_parse_sockaddr_port(bad[i], (struct sockaddr *)&ss, &len), -1);
        CHECK_EQ(errno, EINVAL);
    }
}

TEST(util_sockaddr_cmp_compares_unix_paths) {
    struct sockaddr_un a, b;

    memset(&a, 0, sizeof(a));
    a.sun_family = AF_UNIX;
    b = a;
    /* No path, or an abstract name whose length is unknown here. */
    CHECK_EQ(evutil_sockaddr_cmp((struct sockaddr *)&a, (struct sockaddr *)&a, 1), 0);
    CHECK(evutil_sockaddr_cmp((struct sockaddr *)&a, (struct sockaddr *)&b, 1) != 0);
    memcpy(a.sun_path, "/tmp/a", 7);
    memcpy(b.sun_path, "/tmp/a", 7);
    CHECK_EQ(evutil_sockaddr_cmp((struct sockaddr *)&a, (struct sockaddr *)&b, 1), 0);
    b.sun_path[5] = 'b';
    CHECK(evutil_sockaddr_cmp((struct sockaddr *)&a, (struct sockaddr *)&b, 1) < 0);
    a.sun_family = b.sun_family = 200;
    CHECK_EQ(evutil_sockaddr_cmp((struct sockaddr *)&a, (struct sockaddr *)&a, 1), 0);
    CHECK(evutil_sockaddr_cmp((struct sockaddr *)&a, (struct sockaddr *)&b, 1) != 0);
}

TEST(util_inet_pton_scope_clears_the_index_when_there_is_none) {
    unsigned char bytes[16];
    unsigned scope = 77;

    CHECK_EQ(evutil_inet_pton_scope(AF_INET6, "::1", bytes, &scope), 1);
    CHECK_EQ(scope, 0);
    scope = 77;
    CHECK_EQ(evutil_inet_pton_scope(AF_INET, "1.2.3.4", bytes, &scope), 1);
    CHECK_EQ(scope, 0);
}

TEST(util_freeaddrinfo_takes_null) {
    evutil_freeaddrinfo(NULL);
}

TEST(util_random_device_and_bytes_of_the_user_are_accepted) {
    static char device[] = "/dev/urandom";

    CHECK_EQ(evutil_secure_rng_set_urandom_device_file(device), 0);
    evutil_secure_rng_add_bytes("abc", 3);
    CHECK_EQ(evutil_secure_rng_init(), 0);
    CHECK_EQ(evutil_secure_rng_set_urandom_device_file(NULL), 0);
}
