/* connect.c - bufferevent_socket_connect_hostname: from a name to a connection.
 *
 *     name --lookup--> addresses --race--> the first that is connected
 *
 * The race is that of RFC 8305, "Happy Eyeballs": the addresses take turns by
 * family, in the order in which the resolver gave them; one is begun with every
 * 250 ms (its "Connection Attempt Delay"), at once when one fails; the first
 * connection that is made is taken and the other attempts are closed. So an
 * address that answers nothing costs a quarter of a second, not a minute.
 *
 * Design notes
 *
 * 1. A hunt is what one call has begun. From then on its bufferevent is connecting
 *    and has no descriptor; the attempts are watched by the hunt. One step ends
 *    it: the winner's descriptor is handed to the bufferevent, or an error.
 * 2. All steps are taken by the loop. The resolver may answer inside the call
 *    that asks it: the answer is kept, and a task goes on with it.
 * 3. After a failure the hunt stays, without attempts, for what it knows: the
 *    name and the resolver's error. It goes with the next connect or descriptor,
 *    or with the bufferevent.
 * 4. A bufferevent that has a descriptor of its own can race no others against it:
 *    that one is connected to the first address of its family.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/errors.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/sock.h"
#include "stream/rare.h"
#include "stream/resolver.h"
#include "stream/socket.h"

#define ATTEMPT_DELAY_NS (250 * PE_NS_PER_MS)

/* One address. */
struct attempt {
    struct pe_io io; /* its fd is -1 unless it runs */
    struct pe_hunt *hunt;
    socklen_t len;
    struct sockaddr_storage addr;
};

struct pe_hunt {
    struct bufferevent *bev;
    struct pe_lookup lookup;
    struct pe_task task;  /* goes on with the answer, or with the next attempt */
    struct pe_timer next; /* says when */
    struct attempt *attempts;
    int count;   /* of the addresses */
    int begun;   /* with the first so many */
    int running; /* attempts that run */
    int error;   /* of the last attempt that failed, or of the lookup: a negative errno */
    int dns_error;       /* EVUTIL_EAI_ code; 0: none */
    bool is_looking;     /* the loop is kept alive for the lookup */
    char service[8];     /* the port */
    char host[];
};

/* --- the end --------------------------------------------------------------------- */

static void keep_loop_alive(struct pe_hunt *hunt, bool keeps) {
    struct event_base *base = hunt->bev->base;

    if (hunt->is_looking == keeps)
        return;
    hunt->is_looking = keeps;
    if (base == NULL)
        return;
    if (keeps)
        pe_base_add_virtual(base);
    else
        pe_base_del_virtual(base);
}

/* Stop watching: the descriptor, which stays open. */
static int release(struct event_base *base, struct attempt *attempt) {
    int fd = attempt->io.task.fd;

    if (fd < 0)
        return -1;
    if (base != NULL) {
        (void)pe_io_set(base, &attempt->io, 0);
        pe_task_cancel(base, &attempt->io.task);
    }
    attempt->io.task.fd = -1;
    attempt->hunt->running--;
    return fd;
}

static void give_up(struct event_base *base, struct attempt *attempt) {
    int fd = release(base, attempt);

    if (fd < 0)
        return;
    if (base != NULL)
        pe_io_forget(base, fd);
    (void)pe_close(fd); /* nobody is left to be told */
}

/* Everything that is under way. */
static void stop(struct pe_hunt *hunt) {
    struct event_base *base = hunt->bev->base;

    pe_lookup_cancel(&hunt->lookup);
    keep_loop_alive(hunt, false);
    for (int i = 0; i < hunt->begun; i++)
        give_up(base, &hunt->attempts[i]);
    if (base != NULL) {
        pe_task_cancel(base, &hunt->task);
        pe_timer_cancel(base, &hunt->next);
    }
    pe_free(PE_MEM_STREAM, hunt->attempts);
    hunt->attempts = NULL;
    hunt->count = hunt->begun = 0;
}

void pe_hunt_drop(struct bufferevent *bev) {
    struct pe_hunt *hunt = bev->rare != NULL ? bev->rare->hunt : NULL;

    if (hunt == NULL)
        return;
    stop(hunt);
    bev->rare->hunt = NULL;
    pe_free(PE_MEM_STREAM, hunt);
}

/* These two call out; the hunt is not to be used afterwards. */
static void win(struct pe_hunt *hunt, struct attempt *attempt) {
    struct bufferevent *bev = hunt->bev;
    int fd = release(bev->base, attempt);

    pe_peer_note(bev, (struct sockaddr *)&attempt->addr, attempt->len, true);
    pe_hunt_drop(bev);
    pe_bev_hold(bev);
    pe_socket_connected(bev, fd);
    pe_bev_drop(bev);
}

static void lose(struct pe_hunt *hunt, int err) {
    struct bufferevent *bev = hunt->bev;

    stop(hunt); /* design note 3 */
    pe_bev_hold(bev);
    pe_socket_failed(bev, err);
    pe_bev_drop(bev);
}

/* --- the race ---------------------------------------------------------------------- */

static void run_attempt(struct event_base *base, struct pe_task *task);

/* 0: connected at once; -EINPROGRESS: it runs; else why it failed. */
static int begin(struct event_base *base, struct attempt *attempt) {
    const struct sockaddr *addr = (const struct sockaddr *)&attempt->addr;
    int fd = pe_socket(addr->sa_family, SOCK_STREAM, 0);
    int err, watch_err;

    if (fd < 0)
        return fd;
    err = connect(fd, addr, attempt->len) < 0 ? -errno : 0;
    if (err == -EINTR)
        err = -EINPROGRESS; /* it goes on without us */
    attempt->hunt->running++;
    pe_io_init(&attempt->io, fd, run_attempt, attempt->hunt->task.pri);
    if (err == 0)
        return 0;
    watch_err = err == -EINPROGRESS ? pe_io_set(base, &attempt->io, EV_WRITE) : 0;
    if (err == -EINPROGRESS && watch_err == 0)
        return -EINPROGRESS;
    give_up(base, attempt);
    return watch_err < 0 ? watch_err : err;
}

static void note_failure(struct pe_hunt *hunt, struct attempt *attempt, int err) {
    hunt->error = err;
    pe_peer_note(hunt->bev, (struct sockaddr *)&attempt->addr, attempt->len, true);
}

/* Begin with the next address, or see that there is none. */
static void advance(struct pe_hunt *hunt) {
    struct event_base *base = hunt->bev->base;

    pe_timer_cancel(base, &hunt->next);
    while (hunt->begun < hunt->count) {
        struct attempt *attempt = &hunt->attempts[hunt->begun++];
        int err = begin(base, attempt);

        if (err == 0) {
            win(hunt, attempt);
            return;
        }
        if (err != -EINPROGRESS) {
            note_failure(hunt, attempt, err);
            continue;
        }
        /* Without memory for the timer the next one does not wait. */
        if (hunt->begun < hunt->count &&
            pe_timer_set(base, &hunt->next, pe_clock_now() + ATTEMPT_DELAY_NS) < 0)
            continue;
        return;
    }
    if (hunt->running == 0)
        lose(hunt, hunt->error);
}

static void start_next(struct event_base *base, struct pe_timer *timer) {
    pe_task_activate(base, &pe_container(timer, struct pe_hunt, next)->task, EV_TIMEOUT);
}

static void run_attempt(struct event_base *base, struct pe_task *task) {
    struct attempt *attempt = pe_container(task, struct attempt, io.task);
    struct pe_hunt *hunt = attempt->hunt;
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    int err = pe_sock_error(task->fd);

    if (err == 0 && getpeername(task->fd, (struct sockaddr *)&peer, &len) < 0)
        err = -errno;
    if (err == 0) {
        win(hunt, attempt);
        return;
    }
    give_up(base, attempt);
    note_failure(hunt, attempt, err);
    advance(hunt);
}

/* --- the answer -------------------------------------------------------------------- */

/* The next address of a family at or after `at`; NULL: there is none. */
static const struct evutil_addrinfo *next_of(const struct evutil_addrinfo *at, bool is_first,
                                             int first) {
    while (at != NULL && (at->ai_family == first) != is_first)
        at = at->ai_next;
    return at;
}

/* Copy the addresses, the families in turn (RFC 8305, section 4). 0 or -ENOMEM. */
static int keep_addresses(struct pe_hunt *hunt, const struct evutil_addrinfo *list) {
    const struct evutil_addrinfo *ai, *of[2];
    int first = list->ai_family, count = 0;

    for (ai = list; ai != NULL; ai = ai->ai_next)
        count++;
    hunt->attempts = pe_calloc(PE_MEM_STREAM, (size_t)count, sizeof(*hunt->attempts));
    if (hunt->attempts == NULL)
        return -ENOMEM;
    of[0] = next_of(list, true, first);
    of[1] = next_of(list, false, first);
    for (int turn = 0; of[0] != NULL || of[1] != NULL; turn = !turn) {
        struct attempt *attempt = &hunt->attempts[hunt->count];

        ai = of[turn];
        if (ai == NULL)
            continue;
        of[turn] = next_of(ai->ai_next, turn == 0, first);
        if (ai->ai_addrlen > sizeof(attempt->addr))
            continue;
        memcpy(&attempt->addr, ai->ai_addr, ai->ai_addrlen);
        attempt->len = (socklen_t)ai->ai_addrlen;
        attempt->hunt = hunt;
        attempt->io.task.fd = -1;
        hunt->count++;
    }
    return 0;
}

static void take_answer(struct pe_lookup *lookup, int err, const struct evutil_addrinfo *list) {
    struct pe_hunt *hunt = pe_container(lookup, struct pe_hunt, lookup);

    if (err == 0 && list == NULL)
        err = EVUTIL_EAI_NODATA;
    if (err == 0 && keep_addresses(hunt, list) < 0)
        err = EVUTIL_EAI_MEMORY;
    if (err == 0 && hunt->count == 0)
        err = EVUTIL_EAI_NODATA;
    hunt->dns_error = err;
    if (hunt->bev->base != NULL) /* else nobody is left to be told */
        pe_task_activate(hunt->bev->base, &hunt->task, 0);
}

/* Design note 4. */
static void connect_own(struct pe_hunt *hunt, int fd) {
    struct bufferevent *bev = hunt->bev;
    struct sockaddr_storage own;
    socklen_t len = sizeof(own);
    struct attempt *attempt = hunt->attempts;
    int left = hunt->count;

    if (getsockname(fd, (struct sockaddr *)&own, &len) < 0) {
        lose(hunt, -errno);
        return;
    }
    while (left > 0 && attempt->addr.ss_family != own.ss_family) {
        left--;
        attempt++;
    }
    if (left == 0) {
        lose(hunt, -EAFNOSUPPORT);
        return;
    }
    own = attempt->addr;
    len = attempt->len;
    pe_hunt_drop(bev);
    pe_bev_hold(bev);
    pe_socket_connect_own(bev, (struct sockaddr *)&own, len);
    pe_bev_drop(bev);
}

/* What BEV_EVENT_ERROR has for an errno when there is no address. */
static int errno_of(int dns_error) {
    return dns_error == EVUTIL_EAI_MEMORY ? -ENOMEM : -EHOSTUNREACH;
}

static void run_hunt(struct event_base *base, struct pe_task *task) {
    struct pe_hunt *hunt = pe_container(task, struct pe_hunt, task);
    int fd = bufferevent_getfd(hunt->bev);

    (void)base;
    keep_loop_alive(hunt, false);
    if (hunt->dns_error != 0)
        lose(hunt, hunt->error != 0 ? hunt->error : errno_of(hunt->dns_error));
    else if (fd >= 0)
        connect_own(hunt, fd);
    else
        advance(hunt);
}

/* --- the beginning -------------------------------------------------------------------- */

/* In `bev->rare`; NULL when memory is out. */
static struct pe_hunt *new_hunt(struct bufferevent *bev, const char *host, int port) {
    struct pe_bev_rare *rare = pe_bev_rare(bev);
    size_t n = strlen(host) + 1;
    struct pe_hunt *hunt;

    if (rare == NULL)
        return NULL;
    hunt = pe_calloc(PE_MEM_STREAM, 1, sizeof(*hunt) + n);
    if (hunt == NULL)
        return NULL;
    memcpy(hunt->host, host, n);
    (void)snprintf(hunt->service, sizeof(hunt->service), "%d", port); /* 5 digits at most */
    hunt->bev = bev;
    pe_task_init(&hunt->task, run_hunt, bev->task.pri);
    pe_timer_init(&hunt->next, start_next);
    rare->hunt = hunt;
    return hunt;
}

/* Whether `host` is a number: then that is the answer, and nobody need be asked. */
static bool is_numeric(struct pe_hunt *hunt) {
    struct evutil_addrinfo hints = hunt->lookup.hints, *list = NULL;

    hints.ai_flags |= EVUTIL_AI_NUMERICHOST;
    if (evutil_getaddrinfo(hunt->host, hunt->service, &hints, &list) != 0)
        return false;
    take_answer(&hunt->lookup, 0, list);
    evutil_freeaddrinfo(list);
    return true;
}

static int look_up(struct pe_hunt *hunt, struct evdns_base *dns,
                   const struct evutil_addrinfo *hints) {
    struct pe_lookup *lookup = &hunt->lookup;

    lookup->base = hunt->bev->base;
    lookup->dns = dns;
    lookup->host = hunt->host;
    lookup->service = hunt->service;
    lookup->hints.ai_family = hints->ai_family;
    lookup->hints.ai_flags = hints->ai_flags | EVUTIL_AI_NUMERICSERV;
    lookup->hints.ai_socktype = SOCK_STREAM;
    lookup->hints.ai_protocol = IPPROTO_TCP;
    lookup->done = take_answer;
    keep_loop_alive(hunt, true);
    return is_numeric(hunt) ? 0 : pe_lookup_start(lookup);
}

static int connect_hostname(struct bufferevent *bev, struct evdns_base *dns,
                            const struct evutil_addrinfo *hints, const char *host, int port) {
    struct pe_hunt *hunt;
    int err;

    if (bev->ops != &pe_bev_socket_ops || bev->is_detached || bev->base == NULL || host == NULL ||
        port < 1 || port > 65535)
        return -EINVAL;
    if (hints->ai_family != AF_UNSPEC && hints->ai_family != AF_INET &&
        hints->ai_family != AF_INET6)
        return -EAFNOSUPPORT;
    if (bev->is_connecting)
        return -EALREADY;
    pe_hunt_drop(bev);
    hunt = new_hunt(bev, host, port);
    if (hunt == NULL)
        return -ENOMEM;
    err = pe_socket_begin(bev);
    if (err < 0) {
        pe_hunt_drop(bev);
        return err;
    }
    err = look_up(hunt, dns, hints);
    if (err < 0) { /* told by the loop, as other failures are */
        hunt->error = err;
        hunt->dns_error = err == -ENOMEM ? EVUTIL_EAI_MEMORY : EVUTIL_EAI_AGAIN;
        pe_task_activate(bev->base, &hunt->task, 0);
    }
    return 0;
}

int bufferevent_socket_connect_hostname_hints(struct bufferevent *bev,
                                              struct evdns_base *evdns_base,
                                              const struct evutil_addrinfo *hints_in,
                                              const char *hostname, int port) {
    struct evutil_addrinfo none;
    int err;

    memset(&none, 0, sizeof(none));
    err = connect_hostname(bev, evdns_base, hints_in != NULL ? hints_in : &none, hostname, port);
    return err < 0 ? pe_fail(err) : 0;
}

int bufferevent_socket_connect_hostname(struct bufferevent *bev, struct evdns_base *evdns_base,
                                        int family, const char *hostname, int port) {
    struct evutil_addrinfo hints;

    memset(&hints, 0, sizeof(hints));
    hints.ai_family = family;
    return bufferevent_socket_connect_hostname_hints(bev, evdns_base, &hints, hostname, port);
}

int bufferevent_socket_get_dns_error(struct bufferevent *bev) {
    return bev->rare != NULL && bev->rare->hunt != NULL ? bev->rare->hunt->dns_error : 0;
}

const char *pe_bufferevent_host(const struct bufferevent *bev) {
    return bev->rare != NULL && bev->rare->hunt != NULL ? bev->rare->hunt->host : NULL;
}
