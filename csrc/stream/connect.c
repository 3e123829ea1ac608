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
 * 1. A race is what one call has begun. From then on its bufferevent is connecting
 *    and has no descriptor; the attempts are watched by the race. One step ends
 *    it: the winner's descriptor is handed to the bufferevent, or an error.
 * 2. All steps are taken by the loop. The resolver may answer inside the call
 *    that asks it: the answer is kept, and a task goes on with it.
 * 3. After a failure the race stays, without attempts, for what it knows: the
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
#include "stream/extras.h"
#include "stream/resolver.h"
#include "stream/socket.h"

#define ATTEMPT_DELAY_NS (250 * PE_NS_PER_MS)

/* One address. */
struct attempt {
    struct pe_io io; /* its fd is -1 unless it runs */
    struct pe_connect_race *race;
    socklen_t len;
    struct sockaddr_storage addr;
};

struct pe_connect_race {
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

static void keep_loop_alive(struct pe_connect_race *race, bool keeps) {
    struct event_base *base = race->bev->base;

    if (race->is_looking == keeps)
        return;
    race->is_looking = keeps;
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
    attempt->race->running--;
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
static void stop(struct pe_connect_race *race) {
    struct event_base *base = race->bev->base;

    pe_lookup_cancel(&race->lookup);
    keep_loop_alive(race, false);
    for (int i = 0; i < race->begun; i++)
        give_up(base, &race->attempts[i]);
    if (base != NULL) {
        pe_task_cancel(base, &race->task);
        pe_timer_cancel(base, &race->next);
    }
    pe_free(PE_MEM_STREAM, race->attempts);
    race->attempts = NULL;
    race->count = race->begun = 0;
}

void pe_connect_race_drop(struct bufferevent *bev) {
    struct pe_connect_race *race = bev->extras != NULL ? bev->extras->race : NULL;

    if (race == NULL)
        return;
    stop(race);
    bev->extras->race = NULL;
    pe_free(PE_MEM_STREAM, race);
}

/* These two call out; the race is not to be used afterwards. */
static void win(struct pe_connect_race *race, struct attempt *attempt) {
    struct bufferevent *bev = race->bev;
    int fd = release(bev->base, attempt);

    pe_peer_note(bev, (struct sockaddr *)&attempt->addr, attempt->len, true);
    pe_connect_race_drop(bev);
    pe_bev_hold(bev);
    pe_socket_connected(bev, fd);
    pe_bev_drop(bev);
}

static void lose(struct pe_connect_race *race, int err) {
    struct bufferevent *bev = race->bev;

    stop(race); /* design note 3 */
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
    attempt->race->running++;
    pe_io_init(&attempt->io, fd, run_attempt, attempt->race->task.pri);
    if (err == 0)
        return 0;
    watch_err = err == -EINPROGRESS ? pe_io_set(base, &attempt->io, EV_WRITE) : 0;
    if (err == -EINPROGRESS && watch_err == 0)
        return -EINPROGRESS;
    give_up(base, attempt);
    return watch_err < 0 ? watch_err : err;
}

static void note_failure(struct pe_connect_race *race, struct attempt *attempt, int err) {
    race->error = err;
    pe_peer_note(race->bev, (struct sockaddr *)&attempt->addr, attempt->len, true);
}

/* Begin with the next address, or see that there is none. */
static void advance(struct pe_connect_race *race) {
    struct event_base *base = race->bev->base;

    pe_timer_cancel(base, &race->next);
    while (race->begun < race->count) {
        struct attempt *attempt = &race->attempts[race->begun++];
        int err = begin(base, attempt);

        if (err == 0) {
            win(race, attempt);
            return;
        }
        if (err != -EINPROGRESS) {
            note_failure(race, attempt, err);
            continue;
        }
        /* Without memory for the timer the next one does not wait. */
        if (race->begun < race->count &&
            pe_timer_set(base, &race->next, pe_clock_now() + ATTEMPT_DELAY_NS) < 0)
            continue;
        return;
    }
    if (race->running == 0)
        lose(race, race->error);
}

static void start_next(struct event_base *base, struct pe_timer *timer) {
    pe_task_activate(base, &pe_container(timer, struct pe_connect_race, next)->task, EV_TIMEOUT);
}

static void run_attempt(struct event_base *base, struct pe_task *task) {
    struct attempt *attempt = pe_container(task, struct attempt, io.task);
    struct pe_connect_race *race = attempt->race;
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    int err = pe_sock_error(task->fd);

    if (err == 0 && getpeername(task->fd, (struct sockaddr *)&peer, &len) < 0)
        err = -errno;
    if (err == 0) {
        win(race, attempt);
        return;
    }
    give_up(base, attempt);
    note_failure(race, attempt, err);
    advance(race);
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
static int keep_addresses(struct pe_connect_race *race, const struct evutil_addrinfo *list) {
    const struct evutil_addrinfo *ai, *of[2];
    int first = list->ai_family, count = 0;

    for (ai = list; ai != NULL; ai = ai->ai_next)
        count++;
    race->attempts = pe_calloc(PE_MEM_STREAM, (size_t)count, sizeof(*race->attempts));
    if (race->attempts == NULL)
        return -ENOMEM;
    of[0] = next_of(list, true, first);
    of[1] = next_of(list, false, first);
    for (int turn = 0; of[0] != NULL || of[1] != NULL; turn = !turn) {
        struct attempt *attempt = &race->attempts[race->count];

        ai = of[turn];
        if (ai == NULL)
            continue;
        of[turn] = next_of(ai->ai_next, turn == 0, first);
        if (ai->ai_addrlen > sizeof(attempt->addr))
            continue;
        memcpy(&attempt->addr, ai->ai_addr, ai->ai_addrlen);
        attempt->len = (socklen_t)ai->ai_addrlen;
        attempt->race = race;
        attempt->io.task.fd = -1;
        race->count++;
    }
    return 0;
}

static void take_answer(struct pe_lookup *lookup, int err, const struct evutil_addrinfo *list) {
    struct pe_connect_race *race = pe_container(lookup, struct pe_connect_race, lookup);

    if (err == 0 && list == NULL)
        err = EVUTIL_EAI_NODATA;
    if (err == 0 && keep_addresses(race, list) < 0)
        err = EVUTIL_EAI_MEMORY;
    if (err == 0 && race->count == 0)
        err = EVUTIL_EAI_NODATA;
    race->dns_error = err;
    if (race->bev->base != NULL) /* else nobody is left to be told */
        pe_task_activate(race->bev->base, &race->task, 0);
}

/* Design note 4. */
static void connect_own(struct pe_connect_race *race, int fd) {
    struct bufferevent *bev = race->bev;
    struct sockaddr_storage own;
    socklen_t len = sizeof(own);
    struct attempt *attempt = race->attempts;
    int left = race->count;

    if (getsockname(fd, (struct sockaddr *)&own, &len) < 0) {
        lose(race, -errno);
        return;
    }
    while (left > 0 && attempt->addr.ss_family != own.ss_family) {
        left--;
        attempt++;
    }
    if (left == 0) {
        lose(race, -EAFNOSUPPORT);
        return;
    }
    own = attempt->addr;
    len = attempt->len;
    pe_connect_race_drop(bev);
    pe_bev_hold(bev);
    pe_socket_connect_own(bev, (struct sockaddr *)&own, len);
    pe_bev_drop(bev);
}

/* What BEV_EVENT_ERROR has for an errno when there is no address. */
static int errno_of(int dns_error) {
    return dns_error == EVUTIL_EAI_MEMORY ? -ENOMEM : -EHOSTUNREACH;
}

static void run_race(struct event_base *base, struct pe_task *task) {
    struct pe_connect_race *race = pe_container(task, struct pe_connect_race, task);
    int fd = bufferevent_getfd(race->bev);

    (void)base;
    keep_loop_alive(race, false);
    if (race->dns_error != 0)
        lose(race, race->error != 0 ? race->error : errno_of(race->dns_error));
    else if (fd >= 0)
        connect_own(race, fd);
    else
        advance(race);
}

/* --- the beginning -------------------------------------------------------------------- */

/* In `bev->extras`; NULL when memory is out. */
static struct pe_connect_race *new_race(struct bufferevent *bev, const char *host, int port) {
    struct pe_bev_extras *extras = pe_bev_extras(bev);
    size_t n = strlen(host) + 1;
    struct pe_connect_race *race;

    if (extras == NULL)
        return NULL;
    race = pe_calloc(PE_MEM_STREAM, 1, sizeof(*race) + n);
    if (race == NULL)
        return NULL;
    memcpy(race->host, host, n);
    (void)snprintf(race->service, sizeof(race->service), "%d", port); /* 5 digits at most */
    race->bev = bev;
    pe_task_init(&race->task, run_race, bev->task.pri);
    pe_timer_init(&race->next, start_next);
    extras->race = race;
    return race;
}

/* Whether `host` is a number: then that is the answer, and nobody need be asked. */
static bool is_numeric(struct pe_connect_race *race) {
    struct evutil_addrinfo hints = race->lookup.hints, *list = NULL;

    hints.ai_flags |= EVUTIL_AI_NUMERICHOST;
    if (evutil_getaddrinfo(race->host, race->service, &hints, &list) != 0)
        return false;
    take_answer(&race->lookup, 0, list);
    evutil_freeaddrinfo(list);
    return true;
}

static int look_up(struct pe_connect_race *race, struct evdns_base *dns,
                   const struct evutil_addrinfo *hints) {
    struct pe_lookup *lookup = &race->lookup;

    lookup->base = race->bev->base;
    lookup->dns = dns;
    lookup->host = race->host;
    lookup->service = race->service;
    lookup->hints.ai_family = hints->ai_family;
    lookup->hints.ai_flags = hints->ai_flags | EVUTIL_AI_NUMERICSERV;
    lookup->hints.ai_socktype = SOCK_STREAM;
    lookup->hints.ai_protocol = IPPROTO_TCP;
    lookup->done = take_answer;
    keep_loop_alive(race, true);
    return is_numeric(race) ? 0 : pe_lookup_start(lookup);
}

static int connect_hostname(struct bufferevent *bev, struct evdns_base *dns,
                            const struct evutil_addrinfo *hints, const char *host, int port) {
    struct pe_connect_race *race;
    int err;

    if (bev->ops != &pe_bev_socket_ops || bev->is_detached || bev->base == NULL || host == NULL ||
        port < 1 || port > 65535)
        return -EINVAL;
    if (hints->ai_family != AF_UNSPEC && hints->ai_family != AF_INET &&
        hints->ai_family != AF_INET6)
        return -EAFNOSUPPORT;
    if (bev->is_connecting)
        return -EALREADY;
    pe_connect_race_drop(bev);
    race = new_race(bev, host, port);
    if (race == NULL)
        return -ENOMEM;
    err = pe_socket_begin(bev);
    if (err < 0) {
        pe_connect_race_drop(bev);
        return err;
    }
    err = look_up(race, dns, hints);
    if (err < 0) { /* told by the loop, as other failures are */
        race->error = err;
        race->dns_error = err == -ENOMEM ? EVUTIL_EAI_MEMORY : EVUTIL_EAI_AGAIN;
        pe_task_activate(bev->base, &race->task, 0);
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
    return bev->extras != NULL && bev->extras->race != NULL ? bev->extras->race->dns_error : 0;
}

const char *pe_bufferevent_host(const struct bufferevent *bev) {
    return bev->extras != NULL && bev->extras->race != NULL ? bev->extras->race->host : NULL;
}
