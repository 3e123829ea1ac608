/* addr.c - socket addresses to and from text. See addr.h. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

/* The BSDs keep the length in the address as well. */
#if defined(__APPLE__) || defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__NetBSD__)
#define SET_LEN(sa, field, n) ((sa)->field = (uint8_t)(n))
#else
#define SET_LEN(sa, field, n) ((void)0)
#endif

/* What a numeric host takes: an IPv6 address with an interface name. */
#define HOST_MAX (INET6_ADDRSTRLEN + 1 + IF_NAMESIZE)

/* Decimal digits, at least one, no more than `max`; or -1. */
static int64_t parse_decimal(const char *text, int64_t max) {
    int64_t n = 0;

    if (*text == '\0')
        return -1;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        n = n * 10 + (*text - '0');
        if (n > max)
            return -1;
    }
    return n;
}

int pe_addr_parse_port(const char *text) {
    int64_t port = parse_decimal(text, 65535);

    return port < 0 ? -EINVAL : (int)port;
}

int pe_addr_parse_in6(const char *text, void *in6, unsigned *scope) {
    const char *percent = strchr(text, '%');
    char host[INET6_ADDRSTRLEN];
    size_t n = percent != NULL ? (size_t)(percent - text) : strlen(text);
    int64_t index = 0;

    if (n >= sizeof(host))
        return -EINVAL;
    memcpy(host, text, n);
    host[n] = '\0';
    if (percent != NULL) {
        index = parse_decimal(percent + 1, UINT_MAX);
        if (index < 0)
            index = (int64_t)if_nametoindex(percent + 1);
        if (index == 0)
            return -EINVAL;
    }
    if (inet_pton(AF_INET6, host, in6) != 1)
        return -EINVAL;
    *scope = (unsigned)index;
    return 0;
}

static int parse_unix(const char *path, struct sockaddr_storage *ss, socklen_t *len) {
    struct sockaddr_un un;
    size_t n = strlen(path);
    bool is_abstract = path[0] == '@';
    size_t used = offsetof(struct sockaddr_un, sun_path) + n;

    if (n == 0 || (is_abstract && n == 1)) /* "@" alone would be a name as well, of all */
        return -EINVAL;
    /* unix(7): an abstract name may fill all of it, a path has a NUL at the end. */
    if (n + !is_abstract > sizeof(un.sun_path))
        return -ENAMETOOLONG;
    memset(&un, 0, sizeof(un));
    un.sun_family = AF_UNIX;
    memcpy(un.sun_path, path, n);
    if (is_abstract) {
#if defined(__linux__)
        un.sun_path[0] = '\0';
#else
        return -EINVAL;
#endif
    } else {
        used++;
    }
    SET_LEN(&un, sun_len, used);
    memset(ss, 0, sizeof(*ss));
    memcpy(ss, &un, sizeof(un));
    *len = (socklen_t)used;
    return 0;
}

static int parse_in4(const char *host, int port, struct sockaddr_storage *ss,
                     socklen_t *len) {
    struct sockaddr_in in;

    memset(&in, 0, sizeof(in));
    if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
        return -EINVAL;
    in.sin_family = AF_INET;
    in.sin_port = htons((uint16_t)port);
    SET_LEN(&in, sin_len, sizeof(in));
    memset(ss, 0, sizeof(*ss));
    memcpy(ss, &in, sizeof(in));
    *len = sizeof(in);
    return 0;
}

static int parse_in6(const char *host, int port, struct sockaddr_storage *ss,
                     socklen_t *len) {
    struct sockaddr_in6 in;
    unsigned scope;

    memset(&in, 0, sizeof(in));
    if (pe_addr_parse_in6(host, &in.sin6_addr, &scope) < 0)
        return -EINVAL;
    in.sin6_family = AF_INET6;
    in.sin6_port = htons((uint16_t)port);
    in.sin6_scope_id = scope;
    SET_LEN(&in, sin6_len, sizeof(in));
    memset(ss, 0, sizeof(*ss));
    memcpy(ss, &in, sizeof(in));
    *len = sizeof(in);
    return 0;
}

/* Take "host" out of the front of `text`; `*rest` is what follows: "" or ":port".
 * Returns the family, or -EINVAL. A second colon without brackets is IPv6. */
static int split_host(const char *text, char host[HOST_MAX], const char **rest) {
    const char *colon = strchr(text, ':');
    const char *end = text + strlen(text);
    int family = AF_INET;

    if (text[0] == '[') {
        end = strchr(++text, ']');
        if (end == NULL)
            return -EINVAL;
        *rest = end + 1;
        family = AF_INET6;
    } else if (colon != NULL && strchr(colon + 1, ':') != NULL) {
        *rest = end;
        family = AF_INET6;
    } else {
        if (colon != NULL)
            end = colon;
        *rest = end;
    }
    if ((size_t)(end - text) >= HOST_MAX || (**rest != '\0' && **rest != ':'))
        return -EINVAL;
    memcpy(host, text, (size_t)(end - text));
    host[end - text] = '\0';
    return family;
}

int pe_addr_parse(const char *text, struct sockaddr_storage *ss, socklen_t *len) {
    char host[HOST_MAX];
    const char *rest;
    int family, port = 0;

    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, ss, len);
    family = split_host(text, host, &rest);
    if (family < 0)
        return family;
    if (*rest == ':')
        port = pe_addr_parse_port(rest + 1);
    if (port < 0)
        return port;
    if (family == AF_INET6)
        return parse_in6(host, port, ss, len);
    return parse_in4(host, port, ss, len);
}

/* snprintf's result as a length or -ENOSPC. */
static int fitted(int written, size_t n) {
    if (written < 0)
        return -EINVAL;
    return (size_t)written < n ? written : -ENOSPC;
}

static int format_in4(const struct sockaddr *sa, char *buf, size_t n) {
    char host[INET_ADDRSTRLEN];
    struct sockaddr_in in;

    memcpy(&in, sa, sizeof(in));
    if (inet_ntop(AF_INET, &in.sin_addr, host, sizeof(host)) == NULL)
        return -errno;
    return fitted(snprintf(buf, n, "%s:%u", host, (unsigned)ntohs(in.sin_port)), n);
}

static int format_in6(const struct sockaddr *sa, char *buf, size_t n) {
    char host[INET6_ADDRSTRLEN], scope[IF_NAMESIZE + 1] = "";
    struct sockaddr_in6 in;

    memcpy(&in, sa, sizeof(in));
    if (inet_ntop(AF_INET6, &in.sin6_addr, host, sizeof(host)) == NULL)
        return -errno;
    if (in.sin6_scope_id != 0) {
        scope[0] = '%';
        if (if_indextoname(in.sin6_scope_id, scope + 1) == NULL) /* gone: its number */
            (void)snprintf(scope + 1, sizeof(scope) - 1, "%u", (unsigned)in.sin6_scope_id);
    }
    return fitted(snprintf(buf, n, "[%s%s]:%u", host, scope, (unsigned)ntohs(in.sin6_port)), n);
}

/* An abstract name: any bytes up to the length. A NUL would end the text, so it is
 * written as "@" as well, as /proc/net/unix does. */
static int format_abstract(const char *name, size_t len, char *buf, size_t n) {
    char text[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];

    if (len >= sizeof(text))
        return -EINVAL;
    for (size_t i = 0; i < len; i++)
        text[i] = name[i] != '\0' ? name[i] : '@';
    text[len] = '\0';
    return fitted(snprintf(buf, n, "unix:%s", text), n);
}

static int format_unix(const struct sockaddr *sa, socklen_t len, char *buf, size_t n) {
    const char *path = (const char *)sa + offsetof(struct sockaddr_un, sun_path);
    size_t room = (size_t)len - offsetof(struct sockaddr_un, sun_path);

    if (room == 0)
        return fitted(snprintf(buf, n, "unix:"), n);
    if (path[0] == '\0' && room > 1)
        return format_abstract(path, room, buf, n);
    return fitted(snprintf(buf, n, "unix:%.*s", (int)room, path), n);
}

int pe_addr_format(const struct sockaddr *sa, socklen_t len, char *buf, size_t n) {
    if ((size_t)len < offsetof(struct sockaddr, sa_data))
        return -EINVAL;
    switch (sa->sa_family) {
    case AF_INET:
        return (size_t)len < sizeof(struct sockaddr_in) ? -EINVAL : format_in4(sa, buf, n);
    case AF_INET6:
        return (size_t)len < sizeof(struct sockaddr_in6) ? -EINVAL : format_in6(sa, buf, n);
    case AF_UNIX:
        return format_unix(sa, len, buf, n);
    default:
        return -EAFNOSUPPORT;
    }
}
