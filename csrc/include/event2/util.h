/* event2/util.h - types and small portable calls: sockets, addresses, time,
 * strings, random bytes.
 *
 * The names and contracts are libevent's, so that programs written for it
 * compile unchanged. Unless said otherwise a call returns 0 on success, -1
 * with errno set on failure, keeps no state and may be used by any thread.
 */
#ifndef EVENT2_UTIL_H_INCLUDED_
#define EVENT2_UTIL_H_INCLUDED_

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>

#include <event2/event-config.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define EVUTIL_PRINTF_FORMAT_(f, a) __attribute__((format(printf, f, a)))
#else
#define EVUTIL_PRINTF_FORMAT_(f, a)
#endif

/* --- Types and their limits --- */

typedef int8_t ev_int8_t;
typedef uint8_t ev_uint8_t;
typedef int16_t ev_int16_t;
typedef uint16_t ev_uint16_t;
typedef int32_t ev_int32_t;
typedef uint32_t ev_uint32_t;
typedef int64_t ev_int64_t;
typedef uint64_t ev_uint64_t;
typedef intptr_t ev_intptr_t;
typedef uintptr_t ev_uintptr_t;
typedef ssize_t ev_ssize_t;
typedef int64_t ev_off_t; /* a position in a file, 64 bits everywhere */
typedef socklen_t ev_socklen_t;

/* A descriptor; below 0 means none. A macro, as programs that also compile
 * against old releases ask #ifdef evutil_socket_t. */
#define evutil_socket_t int
#define EVUTIL_INVALID_SOCKET (-1)

#define EV_INT8_MAX INT8_MAX
#define EV_INT8_MIN INT8_MIN
#define EV_UINT8_MAX UINT8_MAX
#define EV_INT16_MAX INT16_MAX
#define EV_INT16_MIN INT16_MIN
#define EV_UINT16_MAX UINT16_MAX
#define EV_INT32_MAX INT32_MAX
#define EV_INT32_MIN INT32_MIN
#define EV_UINT32_MAX UINT32_MAX
#define EV_INT64_MAX INT64_MAX
#define EV_INT64_MIN INT64_MIN
#define EV_UINT64_MAX UINT64_MAX
#define EV_SIZE_MAX SIZE_MAX
#define EV_SSIZE_MAX SSIZE_MAX
#define EV_SSIZE_MIN ((-EV_SSIZE_MAX) - 1)

/* The offset of `field` in the struct type `type`. */
#define evutil_offsetof(type, field) offsetof(type, field)

/* --- Socket errors: errno, on the platforms we have --- */

#define EVUTIL_SOCKET_ERROR() (errno)
#define EVUTIL_SET_SOCKET_ERROR(errcode) \
    do {                                 \
        errno = (errcode);               \
    } while (0)
#define evutil_socket_geterror(sock) (errno)
#define evutil_socket_error_to_string(errcode) (strerror(errcode))

/* --- Time --- */

#define evutil_gettimeofday(tv, tz) gettimeofday((tv), (tz))

/* Sum and difference of timevals whose tv_usec is 0..999999; the result's is
 * too. `vvp` may be one of the operands. */
#define evutil_timeradd(tvp, uvp, vvp)                        \
    do {                                                      \
        (vvp)->tv_sec = (tvp)->tv_sec + (uvp)->tv_sec;        \
        (vvp)->tv_usec = (tvp)->tv_usec + (uvp)->tv_usec;     \
        if ((vvp)->tv_usec >= 1000000) {                      \
            (vvp)->tv_sec++;                                  \
            (vvp)->tv_usec -= 1000000;                        \
        }                                                     \
    } while (0)
#define evutil_timersub(tvp, uvp, vvp)                        \
    do {                                                      \
        (vvp)->tv_sec = (tvp)->tv_sec - (uvp)->tv_sec;        \
        (vvp)->tv_usec = (tvp)->tv_usec - (uvp)->tv_usec;     \
        if ((vvp)->tv_usec < 0) {                             \
            (vvp)->tv_sec--;                                  \
            (vvp)->tv_usec += 1000000;                        \
        }                                                     \
    } while (0)
#define evutil_timerclear(tvp) ((void)((tvp)->tv_sec = 0, (tvp)->tv_usec = 0))
#define evutil_timerisset(tvp) ((tvp)->tv_sec != 0 || (tvp)->tv_usec != 0)

/* Compare with any of < <= == != >= >: evutil_timercmp(&a, &b, <). */
#define evutil_timercmp(tvp, uvp, cmp)            \
    (((tvp)->tv_sec == (uvp)->tv_sec)             \
         ? ((tvp)->tv_usec cmp (uvp)->tv_usec)    \
         : ((tvp)->tv_sec cmp (uvp)->tv_sec))

/* Write `tm` (which is in UTC; NULL: now) as the date of RFC 7231, "Sun, 06 Nov
 * 1994 08:49:37 GMT", in English whatever the locale. Returns the length of
 * the whole text as snprintf does (29, for years of four digits): when it is
 * `datelen` or more, `date` holds only its beginning. -1 for a `tm` whose day of
 * the week or month is out of range. */
int evutil_date_rfc1123(char *date, const size_t datelen, const struct tm *tm);

/* A clock that does not jump when the time of day is set. */
struct evutil_monotonic_timer;

#define EV_MONOT_PRECISE 1  /* as exact as the system can; ours always is */
#define EV_MONOT_FALLBACK 2 /* use the time of day, held back to never go backwards */

/* A timer that answers from the monotonic clock; NULL when memory is out.
 * The caller frees it. */
struct evutil_monotonic_timer *evutil_monotonic_timer_new(void);

/* Free `timer`, which may be NULL. */
void evutil_monotonic_timer_free(struct evutil_monotonic_timer *timer);

/* Choose by EV_MONOT_ flags which clock the timer reads. Always 0. */
int evutil_configure_monotonic_time(struct evutil_monotonic_timer *timer, int flags);

/* The time since some fixed moment. Never less than the same timer's last
 * answer. One timer may not be read by two threads at once. */
int evutil_gettime_monotonic(struct evutil_monotonic_timer *timer, struct timeval *tp);

/* --- Sockets --- */

/* As socketpair(2). */
int evutil_socketpair(int family, int type, int protocol, evutil_socket_t fd[2]);

/* Switch O_NONBLOCK, or close-on-exec, on. */
int evutil_make_socket_nonblocking(evutil_socket_t sock);
int evutil_make_socket_closeonexec(evutil_socket_t sock);

/* Before bind(2). An address may be listened on again at once after a server
 * has gone (SO_REUSEADDR) ... */
int evutil_make_listen_socket_reuseable(evutil_socket_t sock);

/* ... or by several sockets at a time, among which the kernel spreads the
 * connections (SO_REUSEPORT, or FreeBSD's SO_REUSEPORT_LB). */
int evutil_make_listen_socket_reuseable_port(evutil_socket_t sock);

/* Let an IPv6 socket serve IPv6 only, or IPv4 as well; before bind(2). */
int evutil_make_listen_socket_ipv6only(evutil_socket_t sock);
int evutil_make_listen_socket_not_ipv6only(evutil_socket_t sock);

/* Report a connection only when its first data is there, where the system can
 * (Linux); 0 and no effect elsewhere. */
int evutil_make_tcp_listen_socket_deferred(evutil_socket_t sock);

/* With `on`, probe a silent TCP peer after `timeout` seconds, then every third
 * of that (at least a second), and give up after three probes. A timeout of 0
 * or less leaves the system's times as they are. Without `on`, stop probing. */
int evutil_set_tcp_keepalive(evutil_socket_t sock, int on, int timeout);

/* close(2), where being interrupted counts as done (the descriptor is gone). */
int evutil_closesocket(evutil_socket_t sock);
#define EVUTIL_CLOSESOCKET(s) evutil_closesocket(s)

/* --- Addresses --- */

/* inet_ntop(3) and inet_pton(3): NULL or -1 with errno EAFNOSUPPORT for a family
 * that is neither AF_INET nor AF_INET6; pton returns 1 for an address, 0 for
 * text that is none. */
const char *evutil_inet_ntop(int af, const void *src, char *dst, size_t len);
int evutil_inet_pton(int af, const char *src, void *dst);

/* As evutil_inet_pton, but an IPv6 address may end in a scope, "%eth0" or "%2",
 * whose index is stored in `*indexp` (0 when there is none). An interface that
 * does not exist makes the text no address. */
int evutil_inet_pton_scope(int af, const char *src, void *dst, unsigned *indexp);

/* Read "1.2.3.4", "1.2.3.4:80", "::1", "[::1]" or "[::1]:80" into `out`. `*outlen`
 * is the room there, and becomes the length used. Without a port the port
 * is 0; one that is given must be 1..65535. -1 when the text is malformed or the
 * room too small. Asks no resolver. */
int evutil_parse_sockaddr_port(const char *str, struct sockaddr *out, int *outlen);

/* 0 when both addresses are equal, else below or above 0, in an order that is
 * good for sorting. The port counts only if `include_port` is not 0, an IPv6
 * scope never. Unix addresses must be a whole struct sockaddr_un, and compare by
 * path. One of another family equals only itself. */
int evutil_sockaddr_cmp(const struct sockaddr *sa1, const struct sockaddr *sa2,
                        int include_port);

/* --- Strings, the same in every locale --- */

/* Compare as strcmp and strncmp do, ASCII letters without regard to case. */
int evutil_ascii_strcasecmp(const char *str1, const char *str2);
int evutil_ascii_strncasecmp(const char *str1, const char *str2, size_t n);

/* strtoll(3). */
ev_int64_t evutil_strtoll(const char *s, char **endptr, int base);

/* snprintf(3) and vsnprintf(3): `buf` ends in a NUL unless `buflen` is 0, and then
 * 0 is returned. */
int evutil_snprintf(char *buf, size_t buflen, const char *format, ...)
    EVUTIL_PRINTF_FORMAT_(3, 4);
int evutil_vsnprintf(char *buf, size_t buflen, const char *format, va_list ap)
    EVUTIL_PRINTF_FORMAT_(3, 0);

/* --- Name lookup --- */

/* The system's struct, under a name of ours. */
#define evutil_addrinfo addrinfo

/* Errors and flags are the system's. Where a system lacks an error (or hides it
 * from a program that does not ask for extensions) it has the number that
 * system's library uses, or one that it never uses. */
#define EVUTIL_EAI_AGAIN EAI_AGAIN
#define EVUTIL_EAI_BADFLAGS EAI_BADFLAGS
#define EVUTIL_EAI_FAIL EAI_FAIL
#define EVUTIL_EAI_FAMILY EAI_FAMILY
#define EVUTIL_EAI_MEMORY EAI_MEMORY
#define EVUTIL_EAI_NONAME EAI_NONAME
#define EVUTIL_EAI_SERVICE EAI_SERVICE
#define EVUTIL_EAI_SOCKTYPE EAI_SOCKTYPE
#define EVUTIL_EAI_SYSTEM EAI_SYSTEM
#if defined(EAI_ADDRFAMILY)
#define EVUTIL_EAI_ADDRFAMILY EAI_ADDRFAMILY
#elif defined(__linux__)
#define EVUTIL_EAI_ADDRFAMILY (-9)
#else
#define EVUTIL_EAI_ADDRFAMILY (-90002)
#endif
#if defined(EAI_NODATA)
#define EVUTIL_EAI_NODATA EAI_NODATA
#elif defined(__linux__)
#define EVUTIL_EAI_NODATA (-5)
#else
#define EVUTIL_EAI_NODATA (-90003)
#endif
/* The lookup was cancelled: no system's error, an asynchronous resolver's. */
#define EVUTIL_EAI_CANCEL (-90001)

#define EVUTIL_AI_PASSIVE AI_PASSIVE
#define EVUTIL_AI_CANONNAME AI_CANONNAME
#define EVUTIL_AI_NUMERICHOST AI_NUMERICHOST
#define EVUTIL_AI_NUMERICSERV AI_NUMERICSERV
#define EVUTIL_AI_V4MAPPED AI_V4MAPPED
#define EVUTIL_AI_ALL AI_ALL
#define EVUTIL_AI_ADDRCONFIG AI_ADDRCONFIG

/* getaddrinfo(3): 0 and a list in `*res` that the caller frees, or an
 * EVUTIL_EAI_ error. Blocks while a name is looked up. */
int evutil_getaddrinfo(const char *nodename, const char *servname,
                       const struct evutil_addrinfo *hints_in,
                       struct evutil_addrinfo **res);

/* Free a list of evutil_getaddrinfo; NULL is fine. */
void evutil_freeaddrinfo(struct evutil_addrinfo *ai);

/* What an EVUTIL_EAI_ error means, in a static string. */
const char *evutil_gai_strerror(int err);

/* --- Random bytes --- */

/* Fill buf[n] with unpredictable bytes from the kernel. Where the kernel
 * refuses even /dev/urandom this is logged as fatal (event_set_fatal_callback)
 * and the buffer is zeroed. */
void evutil_secure_rng_get_bytes(void *buf, size_t n);

/* Whether random bytes can be had: 0 or -1. Nothing needs initialising. */
int evutil_secure_rng_init(void);

/* Read random bytes from this file instead of /dev/urandom, where the kernel
 * has no call for them. The string must stay valid; NULL: /dev/urandom again.
 * Not to be called while another thread uses the generator. */
int evutil_secure_rng_set_urandom_device_file(char *fname);

/* Accepted and ignored: the kernel keeps the pool, and needs no help of ours. */
void evutil_secure_rng_add_bytes(const char *dat, size_t datlen);

#ifdef __cplusplus
}
#endif

#endif
