/* parity_util.c - event2/util.h behaves here as in libevent: this file is
 * compiled against both.
 *
 * Where libevent is lax by accident ("1.2.3.4:80x" passes there) we are not,
 * and nothing here looks.
 */
#include "harness.h"

#include <event2/event-config.h>
#include <event2/util.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

TEST(util_types_have_their_sizes_and_limits) {
    ev_int64_t low = EV_INT64_MIN;
    ev_uint64_t high = EV_UINT64_MAX;

    CHECK_EQ(sizeof(ev_int8_t), 1);
    CHECK_EQ(sizeof(ev_uint16_t), 2);
    CHECK_EQ(sizeof(ev_int32_t), 4);
    CHECK_EQ(sizeof(ev_uint64_t), 8);
    CHECK_EQ(sizeof(ev_off_t), 8);
    CHECK_EQ(sizeof(ev_ssize_t), sizeof(size_t));
    CHECK_EQ(sizeof(ev_intptr_t), sizeof(void *));
    CHECK_EQ(sizeof(ev_uintptr_t), sizeof(void *));
    CHECK_EQ(sizeof(ev_socklen_t), sizeof(socklen_t));
    CHECK((ev_ssize_t)-1 < 0);
    CHECK((ev_off_t)-1 < 0);
    CHECK(high + 1 == 0);
    CHECK_EQ(low + EV_INT64_MAX, -1);
    CHECK_EQ(EV_INT32_MIN, -2147483647 - 1);
    CHECK_EQ(EV_UINT32_MAX, 4294967295u);
    CHECK_EQ(EV_INT16_MIN + EV_INT16_MAX, -1);
    CHECK_EQ(EV_UINT16_MAX, 65535);
    CHECK_EQ(EV_INT8_MIN + EV_UINT8_MAX, EV_INT8_MAX);
    CHECK((size_t)EV_SIZE_MAX == (size_t)-1);
    CHECK_EQ(EV_SSIZE_MIN + EV_SSIZE_MAX, -1);
    CHECK_EQ(EVUTIL_INVALID_SOCKET, -1);
}

struct pair {
    char a;
    int b;
};

TEST(util_macros_of_errors_and_offsets) {
    EVUTIL_SET_SOCKET_ERROR(ECONNRESET);
    CHECK_EQ(EVUTIL_SOCKET_ERROR(), ECONNRESET);
    CHECK_EQ(evutil_socket_geterror(0), ECONNRESET);
    CHECK_STR(evutil_socket_error_to_string(ECONNRESET), strerror(ECONNRESET));
    CHECK_EQ(evutil_offsetof(struct pair, b), offsetof(struct pair, b));
}

TEST(util_timevals_add_subtract_and_compare) {
    struct timeval a = {1, 600000}, b = {2, 500000}, c;

    evutil_timeradd(&a, &b, &c);
    CHECK_EQ(c.tv_sec, 4);
    CHECK_EQ(c.tv_usec, 100000);
    evutil_timersub(&c, &a, &c); /* the result may be an operand */
    CHECK(evutil_timercmp(&c, &b, ==));
    CHECK(evutil_timercmp(&a, &b, <));
    CHECK(evutil_timercmp(&a, &b, !=));
    CHECK(evutil_timercmp(&b, &a, >=));
    CHECK(!evutil_timercmp(&a, &a, <));
    CHECK(evutil_timerisset(&a));
    evutil_timerclear(&a);
    CHECK(!evutil_timerisset(&a));
    CHECK_EQ(a.tv_usec, 0);
    CHECK_EQ(evutil_gettimeofday(&a, NULL), 0);
    CHECK(a.tv_sec > 1500000000);
}

TEST(util_date_is_that_of_http) {
    struct tm tm;
    char out[64];

    memset(&tm, 0, sizeof(tm));
    tm.tm_year = 94;
    tm.tm_mon = 10;
    tm.tm_mday = 6;
    tm.tm_hour = 8;
    tm.tm_min = 49;
    tm.tm_sec = 37;
    CHECK_EQ(evutil_date_rfc1123(out, sizeof(out), &tm), 29);
    CHECK_STR(out, "Sun, 06 Nov 1994 08:49:37 GMT");
    CHECK_EQ(evutil_date_rfc1123(out, 9, &tm), 29); /* the whole length, as snprintf */
    CHECK_STR(out, "Sun, 06 ");
    CHECK_EQ(evutil_date_rfc1123(out, sizeof(out), NULL), 29);
    CHECK_STR(out + 26, "GMT");
    CHECK_EQ(out[3], ',');
}

TEST(util_monotonic_timer_never_goes_back) {
    static const int flags[] = {0, EV_MONOT_PRECISE, EV_MONOT_FALLBACK};

    for (int i = 0; i < 3; i++) {
        struct evutil_monotonic_timer *timer = evutil_monotonic_timer_new();
        struct timeval last = {0, 0}, now;

        CHECK(timer != NULL);
        CHECK_EQ(evutil_configure_monotonic_time(timer, flags[i]), 0);
        for (int round = 0; round < 1000; round++) {
            CHECK_EQ(evutil_gettime_monotonic(timer, &now), 0);
            CHECK(evutil_timercmp(&now, &last, >=));
            CHECK(now.tv_usec >= 0 && now.tv_usec < 1000000);
            last = now;
        }
        CHECK(evutil_timerisset(&now));
        evutil_monotonic_timer_free(timer);
    }
}

TEST(util_socket_flags_are_set) {
    evutil_socket_t fds[2];
    char byte = 0;

    CHECK_EQ(evutil_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(evutil_make_socket_nonblocking(fds[0]), 0);
    CHECK_EQ(evutil_make_socket_nonblocking(fds[0]), 0);
    CHECK_EQ(evutil_make_socket_closeonexec(fds[0]), 0);
    CHECK(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    CHECK(!(fcntl(fds[1], F_GETFL) & O_NONBLOCK));
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_EQ(read(fds[0], &byte, 1), 1);
    CHECK_EQ(evutil_closesocket(fds[0]), 0);
    CHECK_EQ(EVUTIL_CLOSESOCKET(fds[1]), 0);
    CHECK_EQ(evutil_closesocket(fds[0]), -1);
    CHECK_EQ(errno, EBADF);
    CHECK_EQ(evutil_make_socket_nonblocking(fds[0]), -1);
    CHECK_EQ(evutil_make_socket_closeonexec(fds[0]), -1);
}

static int option(int fd, int level, int name) {
    int value = -1;
    socklen_t len = sizeof(value);

    CHECK_EQ(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

TEST(util_listen_socket_options_are_set) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0);
    CHECK_EQ(evutil_make_listen_socket_reuseable(fd), 0);
    CHECK(option(fd, SOL_SOCKET, SO_REUSEADDR) != 0);
    CHECK_EQ(evutil_make_listen_socket_reuseable_port(fd), 0);
    CHECK_EQ(evutil_make_tcp_listen_socket_deferred(fd), 0);
#ifdef TCP_DEFER_ACCEPT
    CHECK(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) != 0);
#endif
    CHECK_EQ(evutil_make_listen_socket_ipv6only(fd), -1); /* not of that family */
    CHECK_EQ(evutil_closesocket(fd), 0);
    CHECK_EQ(evutil_make_listen_socket_reuseable(fd), -1);
    CHECK_EQ(evutil_make_listen_socket_reuseable_port(fd), -1);
    fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0)
        SKIP("no IPv6 here");
    CHECK_EQ(evutil_make_listen_socket_ipv6only(fd), 0);
    CHECK(option(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0);
#if EVENT__NUMERIC_VERSION >= 0x02020000
    CHECK_EQ(evutil_make_listen_socket_not_ipv6only(fd), 0);
    CHECK_EQ(option(fd, IPPROTO_IPV6, IPV6_V6ONLY), 0);
#endif
    evutil_closesocket(fd);
}

#if EVENT__NUMERIC_VERSION >= 0x02020000
TEST(util_tcp_keepalive_is_switched_on_and_off) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0);
    CHECK_EQ(evutil_set_tcp_keepalive(fd, 1, 300), 0);
    CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) != 0);
#ifdef TCP_KEEPIDLE
    CHECK_EQ(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 300);
#endif
    CHECK_EQ(evutil_set_tcp_keepalive(fd, 0, 0), 0);
    CHECK_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    evutil_closesocket(fd);
    CHECK_EQ(evutil_set_tcp_keepalive(fd, 1, 300), -1);
}
#endif

TEST(util_strtoll_and_snprintf) {
    char out[8];
    char *end;

    CHECK_EQ(evutil_strtoll("  -12345678901x", &end, 10), -12345678901LL);
    CHECK_STR(end, "x");
    CHECK_EQ(evutil_strtoll("ff", NULL, 16), 255);
    CHECK_EQ(evutil_snprintf(out, sizeof(out), "%d-%s", 7, "ab"), 4);
    CHECK_STR(out, "7-ab");
    CHECK_EQ(evutil_snprintf(out, 3, "%s", "abcdef"), 6); /* the length it would have */
    CHECK_STR(out, "ab");
    CHECK_EQ(evutil_snprintf(out, 0, "%s", "abcdef"), 0);
    CHECK_STR(out, "ab");
}

TEST(util_ascii_comparison_ignores_case_of_ascii_only) {
    CHECK_EQ(evutil_ascii_strcasecmp("Content-LENGTH", "content-length"), 0);
    CHECK(evutil_ascii_strcasecmp("abc", "ABD") < 0);
    CHECK(evutil_ascii_strcasecmp("ABD", "abc") > 0);
    CHECK(evutil_ascii_strcasecmp("ab", "abc") < 0);
    CHECK(evutil_ascii_strcasecmp("", "a") < 0);
    CHECK(evutil_ascii_strcasecmp("\xc4", "\xe4") != 0); /* a letter in Latin-1 */
    CHECK(evutil_ascii_strcasecmp("@", "`") != 0);       /* beside the letters */
    CHECK(evutil_ascii_strcasecmp("[", "{") != 0);
    CHECK_EQ(evutil_ascii_strncasecmp("abX", "ABy", 2), 0);
    CHECK(evutil_ascii_strncasecmp("abX", "ABy", 3) < 0);
    CHECK_EQ(evutil_ascii_strncasecmp("a", "b", 0), 0);
    CHECK_EQ(evutil_ascii_strncasecmp("ab", "AB", 100), 0);
}

TEST(util_inet_pton_and_ntop) {
    unsigned char bytes[16];
    char out[64];

    CHECK_EQ(evutil_inet_pton(AF_INET, "1.2.3.4", bytes), 1);
    CHECK_MEM(bytes, "\1\2\3\4", 4);
    CHECK_STR(evutil_inet_ntop(AF_INET, bytes, out, sizeof(out)), "1.2.3.4");
    CHECK(evutil_inet_ntop(AF_INET, bytes, out, 7) == NULL);
    CHECK_EQ(evutil_inet_pton(AF_INET6, "2001:db8::a:0:0:1", bytes), 1);
    CHECK_STR(evutil_inet_ntop(AF_INET6, bytes, out, sizeof(out)), "2001:db8::a:0:0:1");
    CHECK_EQ(evutil_inet_pton(AF_INET6, "::ffff:1.2.3.4", bytes), 1);
    CHECK_STR(evutil_inet_ntop(AF_INET6, bytes, out, sizeof(out)), "::ffff:1.2.3.4");
    CHECK_EQ(evutil_inet_pton(AF_INET, "1.2.3.256", bytes), 0);
    CHECK_EQ(evutil_inet_pton(AF_INET, "1.2.3", bytes), 0);
    CHECK_EQ(evutil_inet_pton(AF_INET6, "1:2:3", bytes), 0);
    CHECK_EQ(evutil_inet_pton(AF_INET6, ":::", bytes), 0);
    CHECK_EQ(evutil_inet_pton(AF_UNIX, "/x", bytes), -1);
    CHECK(evutil_inet_ntop(AF_UNIX, bytes, out, sizeof(out)) == NULL);
}

#if EVENT__NUMERIC_VERSION >= 0x02010a00
TEST(util_inet_pton_takes_a_scope) {
    unsigned char bytes[16];
    unsigned scope = 0;

    CHECK_EQ(evutil_inet_pton_scope(AF_INET6, "fe80::1%2", bytes, &scope), 1);
    CHECK_EQ(scope, 2);
    CHECK_EQ(bytes[0], 0xfe);
    CHECK_EQ(bytes[15], 1);
    CHECK_EQ(evutil_inet_pton_scope(AF_INET6, "fe80::1%no-such-if", bytes, &scope), 0);
    scope = 0;
    CHECK_EQ(evutil_inet_pton_scope(AF_INET6, "::1", bytes, &scope), 1);
    CHECK_EQ(scope, 0);
    CHECK_EQ(evutil_inet_pton_scope(AF_INET, "1.2.3.4", bytes, &scope), 1);
}
#endif

static void check_parsed(const char *text, int family, int port) {
    struct sockaddr_storage ss;
    int len = (int)sizeof(ss);

    memset(&ss, 0, sizeof(ss));
    if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&ss, &len) != 0)
        harness_fail(__FILE__, __LINE__, "\"%s\" is refused", text);
    CHECK_EQ(ss.ss_family, family);
    if (family == AF_INET) {
        CHECK_EQ(len, sizeof(struct sockaddr_in));
        CHECK_EQ(ntohs(((struct sockaddr_in *)&ss)->sin_port), port);
    } else {
        CHECK_EQ(len, sizeof(struct sockaddr_in6));
        CHECK_EQ(ntohs(((struct sockaddr_in6 *)&ss)->sin6_port), port);
    }
}

TEST(util_parse_sockaddr_port_reads_every_form) {
    check_parsed("1.2.3.4", AF_INET, 0);
    check_parsed("1.2.3.4:80", AF_INET, 80);
    check_parsed("1.2.3.4:65535", AF_INET, 65535);
    check_parsed("::1", AF_INET6, 0);
    check_parsed("[::1]", AF_INET6, 0);
    check_parsed("[::1]:080", AF_INET6, 80);
    check_parsed("[2001:db8::1]:443", AF_INET6, 443);
    check_parsed("::ffff:1.2.3.4", AF_INET6, 0);
}

TEST(util_parse_sockaddr_port_refuses_malformed_text) {
    static const char *const bad[] = {
        "", ":80", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3:80",
        "1.2.3.4.5", "1.2.3.256:80", "[::1", "::1]", "[::1]:", "[::1]:0", "[::1]:65536", "[]:80",
        "[1.2.3.4]:80", "::g", "localhost:80", "unix:/x",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct sockaddr_storage ss;
        int len = (int)sizeof(ss);

        if (evutil_parse_sockaddr_port(bad[i], (struct sockaddr *)&ss, &len) != -1)
            harness_fail(__FILE__, __LINE__, "\"%s\" is taken for an address", bad[i]);
    }
}

TEST(util_parse_sockaddr_port_needs_room) {
    struct sockaddr_storage ss;
    int len = (int)sizeof(struct sockaddr_in);

    CHECK_EQ(evutil_parse_sockaddr_port("1.2.3.4:80", (struct sockaddr *)&ss, &len), 0);
    CHECK_EQ(evutil_parse_sockaddr_port("[::1]:80", (struct sockaddr *)&ss, &len), -1);
    len = 8;
    CHECK_EQ(evutil_parse_sockaddr_port("1.2.3.4:80", (struct sockaddr *)&ss, &len), -1);
    CHECK_EQ(len, 8);
}

static int compare(const char *a, const char *b, int include_port) {
    struct sockaddr_storage ssa, ssb;
    int la = (int)sizeof(ssa), lb = (int)sizeof(ssb);

    CHECK_EQ(evutil_parse_sockaddr_port(a, (struct sockaddr *)&ssa, &la), 0);
    CHECK_EQ(evutil_parse_sockaddr_port(b, (struct sockaddr *)&ssb, &lb), 0);
    return evutil_sockaddr_cmp((struct sockaddr *)&ssa, (struct sockaddr *)&ssb, include_port);
}

TEST(util_sockaddr_cmp_orders_addresses) {
    CHECK_EQ(compare("1.2.3.4:80", "1.2.3.4:80", 1), 0);
    CHECK_EQ(compare("1.2.3.4:80", "1.2.3.4:81", 0), 0);
    CHECK(compare("1.2.3.4:80", "1.2.3.4:81", 1) != 0);
    CHECK(compare("1.2.3.4:80", "1.2.3.5:80", 1) < 0);
    CHECK(compare("1.2.3.5:80", "1.2.3.4:80", 0) > 0);
    CHECK(compare("1.2.3.4", "129.2.3.4", 0) < 0); /* as unsigned numbers */
    CHECK(compare("1.2.3.4", "::1", 0) < 0);
    CHECK(compare("::1", "1.2.3.4", 0) > 0);
    CHECK_EQ(compare("[::1]:80", "[::1]:80", 1), 0);
    CHECK_EQ(compare("[::1]:80", "[::1]:81", 0), 0);
    CHECK(compare("[::1]:80", "[::1]:81", 1) != 0);
    CHECK(compare("::1", "::2", 0) < 0);
    CHECK(compare("ff00::", "::2", 0) > 0);
}

TEST(util_getaddrinfo_reads_numbers) {
    struct evutil_addrinfo hints, *ai = NULL;

    memset(&hints, 0, sizeof(hints));
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = EVUTIL_AI_NUMERICHOST | EVUTIL_AI_NUMERICSERV;
    CHECK_EQ(evutil_getaddrinfo("1.2.3.4", "8080", &hints, &ai), 0);
    CHECK(ai != NULL && ai->ai_next == NULL);
    CHECK_EQ(ai->ai_family, AF_INET);
    CHECK_EQ(ntohs(((struct sockaddr_in *)(void *)ai->ai_addr)->sin_port), 8080);
    evutil_freeaddrinfo(ai);
    hints.ai_flags |= EVUTIL_AI_PASSIVE;
    hints.ai_family = AF_INET;
    CHECK_EQ(evutil_getaddrinfo(NULL, "80", &hints, &ai), 0);
    CHECK_EQ(((struct sockaddr_in *)(void *)ai->ai_addr)->sin_addr.s_addr, htonl(INADDR_ANY));
    evutil_freeaddrinfo(ai);
}

TEST(util_getaddrinfo_errors_have_names) {
    static const int errors[] = {
        EVUTIL_EAI_ADDRFAMILY, EVUTIL_EAI_AGAIN,  EVUTIL_EAI_BADFLAGS, EVUTIL_EAI_FAIL,
        EVUTIL_EAI_FAMILY,     EVUTIL_EAI_MEMORY, EVUTIL_EAI_NODATA,   EVUTIL_EAI_NONAME,
        EVUTIL_EAI_SERVICE,    EVUTIL_EAI_SOCKTYPE, EVUTIL_EAI_SYSTEM, EVUTIL_EAI_CANCEL, 0,
    };
    struct evutil_addrinfo hints, *ai = NULL;

    memset(&hints, 0, sizeof(hints));
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = EVUTIL_AI_NUMERICHOST;
    CHECK_EQ(evutil_getaddrinfo("localhost", "80", &hints, &ai), EVUTIL_EAI_NONAME);
    CHECK_EQ(evutil_getaddrinfo(NULL, NULL, &hints, &ai), EVUTIL_EAI_NONAME);
    hints.ai_family = 200;
    CHECK_EQ(evutil_getaddrinfo("1.2.3.4", "80", &hints, &ai), EVUTIL_EAI_FAMILY);
    for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
        const char *text = evutil_gai_strerror(errors[i]);

        CHECK(text != NULL && text[0] != '\0');
    }
    CHECK_EQ(EVUTIL_EAI_CANCEL, -90001);
    CHECK(strcmp(evutil_gai_strerror(EVUTIL_EAI_CANCEL), evutil_gai_strerror(-90999)) != 0);
}

TEST(util_random_bytes_fill_the_buffer_and_no_more) {
    unsigned char a[34], b[32];

    CHECK_EQ(evutil_secure_rng_init(), 0);
    memset(a, 0xAB, sizeof(a));
    evutil_secure_rng_get_bytes(a + 1, 32);
    evutil_secure_rng_get_bytes(b, 32);
    CHECK_EQ(a[0], 0xAB);
    CHECK_EQ(a[33], 0xAB);
    CHECK(memcmp(a + 1, b, 32) != 0);
}
