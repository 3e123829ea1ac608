/* test_addr.c - addresses as text, well formed and not. */
#include "harness.h"

#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

/* Parse, then format: `want` is what comes out; NULL: as it went in. */
static void check_round(const char *text, const char *want, socklen_t want_len) {
    struct sockaddr_storage ss;
    socklen_t len = 0;
    char out[PE_ADDR_TEXT_MAX];
    int n;

    if (pe_addr_parse(text, &ss, &len) != 0)
        harness_fail(__FILE__, __LINE__, "\"%s\" is refused", text);
    CHECK_EQ(len, want_len);
    n = pe_addr_format((struct sockaddr *)&ss, len, out, sizeof(out));
    CHECK_STR(out, want != NULL ? want : text);
    CHECK_EQ(n, strlen(out));
}

TEST(addr_reads_and_writes_every_form) {
    check_round("127.0.0.1:80", NULL, sizeof(struct sockaddr_in));
    check_round("127.0.0.1", "127.0.0.1:0", sizeof(struct sockaddr_in));
    check_round("0.0.0.0:0", NULL, sizeof(struct sockaddr_in));
    check_round("255.255.255.255:65535", NULL, sizeof(struct sockaddr_in));
    check_round("1.2.3.4:00080", "1.2.3.4:80", sizeof(struct sockaddr_in));
    check_round("[::1]:80", NULL, sizeof(struct sockaddr_in6));
    check_round("[::1]", "[::1]:0", sizeof(struct sockaddr_in6));
    check_round("::1", "[::1]:0", sizeof(struct sockaddr_in6));
    check_round("::", "[::]:0", sizeof(struct sockaddr_in6));
    check_round("::ffff:1.2.3.4", "[::ffff:1.2.3.4]:0", sizeof(struct sockaddr_in6));
    check_round("[2001:DB8::0:1]:443", "[2001:db8::1]:443", sizeof(struct sockaddr_in6));
    check_round("[1111:2222:3333:4444:5555:6666:7777:8888]:65535", NULL,
                sizeof(struct sockaddr_in6));
}

TEST(addr_puts_fields_where_the_kernel_reads_them) {
    struct sockaddr_storage ss;
    struct sockaddr_in *in = (struct sockaddr_in *)&ss;
    socklen_t len;

    memset(&ss, 0xFF, sizeof(ss));
    CHECK_EQ(pe_addr_parse("1.2.3.4:258", &ss, &len), 0);
    CHECK_EQ(ss.ss_family, AF_INET);
    CHECK_EQ(ntohs(in->sin_port), 258);
    CHECK_EQ(ntohl(in->sin_addr.s_addr), 0x01020304);
    CHECK_EQ(in->sin_zero[0], 0);
}

TEST(addr_scope_may_be_a_name_or_a_number) {
    struct sockaddr_storage ss;
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)&ss;
    char name[IF_NAMESIZE], text[100], out[PE_ADDR_TEXT_MAX];
    socklen_t len;

    CHECK_EQ(pe_addr_parse("[fe80::1%4000000000]:80", &ss, &len), 0);
    CHECK_EQ(in->sin6_scope_id, 4000000000u);
    CHECK(pe_addr_format((struct sockaddr *)&ss, len, out, sizeof(out)) > 0);
    CHECK_STR(out, "[fe80::1%4000000000]:80"); /* no such interface: its number */
    if (if_indextoname(1, name) == NULL)
        SKIP("no interface with index 1");
    (void)snprintf(text, sizeof(text), "[fe80::1%%%s]:80", name);
    check_round(text, NULL, sizeof(struct sockaddr_in6));
    (void)snprintf(out, sizeof(out), "[fe80::1%%%s]:0", name);
    check_round("fe80::1%1", out, sizeof(struct sockaddr_in6));
}

TEST(addr_unix_paths_are_read_and_written) {
    size_t fixed = offsetof(struct sockaddr_un, sun_path);
    struct sockaddr_un un;
    char text[PE_ADDR_TEXT_MAX];

    check_round("unix:/run/x.sock", NULL, (socklen_t)(fixed + 12));
    check_round("unix:relative", NULL, (socklen_t)(fixed + 9));
    check_round("unix:127.0.0.1:80", NULL, (socklen_t)(fixed + 13));
#ifdef __linux__
    check_round("unix:@name", NULL, (socklen_t)(fixed + 5));
#endif
    memset(&un, 0, sizeof(un));
    un.sun_family = AF_UNIX;
    CHECK_EQ(pe_addr_format((struct sockaddr *)&un, (socklen_t)fixed, text, sizeof(text)), 5);
    CHECK_STR(text, "unix:"); /* what accept(2) gives for an unbound peer */
    memset(un.sun_path, 'p', sizeof(un.sun_path)); /* full, without a NUL */
    CHECK_EQ(pe_addr_format((struct sockaddr *)&un, sizeof(un), text, sizeof(text)),
             5 + sizeof(un.sun_path));
}

TEST(addr_path_longer_than_the_struct_is_refused) {
    struct sockaddr_un un;
    struct sockaddr_storage ss;
    socklen_t len = 99;
    char text[sizeof(un.sun_path) + 10] = "unix:";

    memset(text + 5, 'p', sizeof(un.sun_path));
    CHECK_EQ(pe_addr_parse(text, &ss, &len), -ENAMETOOLONG);
    CHECK_EQ(len, 99);
    text[5 + sizeof(un.sun_path) - 1] = '\0'; /* one less fits, with its NUL */
    CHECK_EQ(pe_addr_parse(text, &ss, &len), 0);
    CHECK_EQ(len, sizeof(un));
}

#ifdef __linux__
TEST(addr_abstract_name_may_fill_the_struct) {
    struct sockaddr_un un;
    struct sockaddr_storage ss;
    socklen_t len = 99;
    char text[sizeof(un.sun_path) + 10] = "unix:@", out[PE_ADDR_TEXT_MAX];

    memset(text + 6, 'n', sizeof(un.sun_path) - 1);
    CHECK_EQ(pe_addr_parse(text, &ss, &len), 0);
    CHECK_EQ(len, sizeof(un));
    CHECK_EQ(((struct sockaddr_un *)&ss)->sun_path[sizeof(un.sun_path) - 1], 'n');
    CHECK_EQ(pe_addr_format((struct sockaddr *)&ss, len, out, sizeof(out)), strlen(text));
    CHECK_STR(out, text);
    text[5 + sizeof(un.sun_path)] = 'n'; /* one more */
    CHECK_EQ(pe_addr_parse(text, &ss, &len), -ENAMETOOLONG);
}

TEST(addr_abstract_name_is_not_cut_at_a_nul) {
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0one\0two"};
    char out[PE_ADDR_TEXT_MAX];

    CHECK_EQ(pe_addr_format((struct sockaddr *)&un,
                            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 8), out,
                            sizeof(out)), 13);
    CHECK_STR(out, "unix:@one@two");
}
#endif

TEST(addr_malformed_text_is_refused_and_changes_nothing) {
    static const char *const bad[] = {
        "", ":", ":80", "x", "localhost", "localhost:80", "1.2.3", "1.2.3:80", "1.2.3.4.5",
        "1.2.3.256", "01.2.3.4", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:80x", "1.2.3.4: 80",
        "1.2.3.4:+80", "1.2.3.4:-1", "1.2.3.4:65536", "1.2.3.4:4294967376",
        "1.2.3.4:18446744073709551696", " 1.2.3.4", "1.2.3.4 ", "[", "]", "[]", "[]:80", "[::1",
        "::1]", "[::1]80", "[::1]x80", "[::1]:", "[::1]:x", "[::1]:65536", "[[::1]]:80",
        "[1.2.3.4]:80", "1:2:3:4:5:6:7:8:9", ":::", "::g", "::1%", "fe80::1%no-such-interface",
        "fe80::1%0", "%1", "[%1]:80", "1.2.3.4%1", "unix:", "unix:@",
        "11111111111111111111111111111111111111111111111111111111111111111111111111111",
        "[1111:2222:3333:4444:5555:6666:7777:8888:1111:2222:3333:4444:5555:6666:7777]:80",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct sockaddr_storage ss, before;
        socklen_t len = 12345;

        memset(&ss, 0xA5, sizeof(ss));
        before = ss;
        if (pe_addr_parse(bad[i], &ss, &len) != -EINVAL)
            harness_fail(__FILE__, __LINE__, "\"%s\" is taken for an address", bad[i]);
        CHECK_EQ(len, 12345);
        CHECK_MEM(&ss, &before, sizeof(ss));
    }
}

/* The text in a block of just its size, so that the address sanitizer sees a
 * read past its end. */
TEST(addr_random_text_is_never_read_past_its_end) {
    static const char alphabet[] = "0123456789abcf:.[]%@/unix";
    uint64_t x = 88172645463325252u;

    for (int round = 0; round < 20000; round++) {
        struct sockaddr_storage ss;
        socklen_t len;
        size_t n = (size_t)round % 60;
        char *text = malloc(n + 1);

        CHECK(text != NULL);
        for (size_t i = 0; i < n; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            text[i] = alphabet[(x >> 40) % (sizeof(alphabet) - 1)];
        }
        text[n] = '\0';
        if (pe_addr_parse(text, &ss, &len) == 0) {
            char out[PE_ADDR_TEXT_MAX];

            CHECK(pe_addr_format((struct sockaddr *)&ss, len, out, sizeof(out)) > 0);
        }
        free(text);
    }
}

TEST(addr_format_never_writes_past_its_buffer) {
    static const char *const texts[] = {"127.0.0.1:80", "[::1]:80", "unix:/tmp/x"};

    for (size_t t = 0; t < 3; t++) {
        struct sockaddr_storage ss;
        socklen_t len;
        int whole = (int)strlen(texts[t]);

        CHECK_EQ(pe_addr_parse(texts[t], &ss, &len), 0);
        for (int n = 0; n <= whole + 1; n++) {
            char out[PE_ADDR_TEXT_MAX];

            memset(out, '#', sizeof(out));
            CHECK_EQ(pe_addr_format((struct sockaddr *)&ss, len, out, (size_t)n),
                     n > whole ? whole : -ENOSPC);
            CHECK_EQ(out[n], '#');
        }
    }
}

TEST(addr_format_refuses_what_it_does_not_know) {
    struct sockaddr_storage ss;
    char out[PE_ADDR_TEXT_MAX];

    memset(&ss, 0, sizeof(ss));
    ss.ss_family = 200;
    CHECK_EQ(pe_addr_format((struct sockaddr *)&ss, sizeof(ss), out, sizeof(out)),
             -EAFNOSUPPORT);
    ss.ss_family = AF_INET;
    CHECK_EQ(pe_addr_format((struct sockaddr *)&ss, 8, out, sizeof(out)), -EINVAL);
    ss.ss_family = AF_INET6;
    CHECK_EQ(pe_addr_format((struct sockaddr *)&ss, 16, out, sizeof(out)), -EINVAL);
    CHECK_EQ(pe_addr_format((struct sockaddr *)&ss, 0, out, sizeof(out)), -EINVAL);
}
