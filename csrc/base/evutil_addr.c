/* evutil_addr.c - the address calls of event2/util.h, over base/addr.h. */
#include "event2/util.h"

#include "base/addr.h"
#include "base/errors.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

const char *evutil_inet_ntop(int af, const void *src, char *dst, size_t len) {
    return inet_ntop(af, src, dst, (socklen_t)(len < INT_MAX ? len : INT_MAX));
}

int evutil_inet_pton(int af, const char *src, void *dst) {
    return inet_pton(af, src, dst);
}

int evutil_inet_pton_scope(int af, const char *src, void *dst, unsigned *indexp) {
    int res;

    if (af == AF_INET6)
        return pe_addr_parse_in6(src, dst, indexp) == 0;
    res = inet_pton(af, src, dst);
    if (res == 1)
        *indexp = 0;
    return res;
}

/* Whether `str`, which is a well-formed address of `family`, names a port. */
static int has_port(const char *str, int family) {
    const char *bracket = strchr(str, ']');

    if (family == AF_INET)
        return strchr(str, ':') != NULL;
    return bracket != NULL && bracket[1] == ':';
}

static in_port_t port_of(const struct sockaddr_storage *ss) {
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    if (ss->ss_family == AF_INET) {
        memcpy(&in, ss, sizeof(in));
        return in.sin_port;
    }
    memcpy(&in6, ss, sizeof(in6));
    return in6.sin6_port;
}

int evutil_parse_sockaddr_port(const char *str, struct sockaddr *out, int *outlen) {
    struct sockaddr_storage ss;
    socklen_t len;
    int err = pe_addr_parse(str, &ss, &len);

    if (err < 0)
        return pe_fail(err);
    if (ss.ss_family != AF_INET && ss.ss_family != AF_INET6)
        return pe_fail(-EINVAL);
    if (port_of(&ss) == 0 && has_port(str, ss.ss_family))
        return pe_fail(-EINVAL);
    if (*outlen < 0 || (size_t)*outlen < (size_t)len)
        return pe_fail(-ENOSPC);
    memcpy(out, &ss, len);
    *outlen = (int)len;
    return 0;
}

/* -1, 0 or 1 as a < b, a == b, a > b. */
static int order(uint32_t a, uint32_t b) {
    return (a > b) - (a < b);
}

static int compare_in4(const struct sockaddr *sa1, const struct sockaddr *sa2, int with_port) {
    struct sockaddr_in a, b;
    int res;

    memcpy(&a, sa1, sizeof(a));
    memcpy(&b, sa2, sizeof(b));
    res = order(ntohl(a.sin_addr.s_addr), ntohl(b.sin_addr.s_addr));
    if (res == 0 && with_port)
        res = order(ntohs(a.sin_port), ntohs(b.sin_port));
    return res;
}

static int compare_in6(const struct sockaddr *sa1, const struct sockaddr *sa2, int with_port) {
    struct sockaddr_in6 a, b;
    int res;

    memcpy(&a, sa1, sizeof(a));
    memcpy(&b, sa2, sizeof(b));
    res = memcmp(&a.sin6_addr, &b.sin6_addr, sizeof(a.sin6_addr));
    if (res == 0 && with_port)
        res = order(ntohs(a.sin6_port), ntohs(b.sin6_port));
    return res;
}

/* The path ends with its NUL, as there is no length to go by; so an unnamed or
 * abstract socket equals only itself. */
static int compare_unix(const struct sockaddr *sa1, const struct sockaddr *sa2) {
    const char *a = (const char *)sa1 + offsetof(struct sockaddr_un, sun_path);
    const char *b = (const char *)sa2 + offsetof(struct sockaddr_un, sun_path);

    if (*a == '\0' && *b == '\0')
        return sa1 != sa2;
    return strncmp(a, b, sizeof(((struct sockaddr_un *)0)->sun_path));
}

int evutil_sockaddr_cmp(const struct sockaddr *sa1, const struct sockaddr *sa2,
                        int include_port) {
    if (sa1->sa_family != sa2->sa_family)
        return order(sa1->sa_family, sa2->sa_family);
    switch (sa1->sa_family) {
    case AF_INET:
        return compare_in4(sa1, sa2, include_port);
    case AF_INET6:
        return compare_in6(sa1, sa2, include_port);
    case AF_UNIX:
        return compare_unix(sa1, sa2);
    default: /* its form is unknown */
        return sa1 != sa2;
    }
}
