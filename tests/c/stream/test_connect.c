/* test_connect.c - from names to connections: lookups, races, peers. */
#include "streams.h"

#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/mem.h"
#include "stream/bufferevent.h"
#include "stream/resolver.h"

/* --- a resolver that answers when it is told to ------------------------------- */

struct fake {
    struct pe_resolver resolver;
    struct pe_lookup *lookup; /* under way */
    int starts, cancels;
    bool answers_at_once;
    int err;
    struct evutil_addrinfo list[8];
    struct sockaddr_storage addrs[8];
    int count;
};

static void answer(struct fake *f) {
    struct pe_lookup *lookup = f->lookup;

    f->lookup = NULL;
    for (int i = 0; i + 1 < f->count; i++)
        f->list[i].ai_next = &f->list[i + 1];
    pe_lookup_finish(lookup, f->err, f->count > 0 ? f->list : NULL);
}

static int fake_start(const struct pe_resolver *resolver, struct pe_lookup *lookup) {
    struct fake *f = resolver->arg;

    f->starts++;
    if (f->err == -ENOMEM)
        return -ENOMEM;
    f->lookup = lookup;
    if (f->answers_at_once)
        answer(f);
    return 0;
}

static void fake_cancel(const struct pe_resolver *resolver, struct pe_lookup *lookup) {
    struct fake *f = resolver->arg;

    CHECK(f->lookup == lookup);
    f->lookup = NULL;
    f->cancels++;
}

static void add_address(struct fake *f, const struct sockaddr *addr, socklen_t len) {
    int i = f->count++;

    memcpy(&f->addrs[i], addr, len);
    f->list[i].ai_family = addr->sa_family;
    f->list[i].ai_addr = (struct sockaddr *)&f->addrs[i];
    f->list[i].ai_addrlen = len;
}

/* --- servers --------------------------------------------------------------------- */

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sin.sin_port = htons((uint16_t)port);
    return sin;
}

/* A socket that listens (backlog > 0), or only has a port where nobody listens. */
static int server(int backlog, struct sockaddr_in *sin) {
    socklen_t len = sizeof(*sin);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    *sin = loopback(0);
    CHECK_EQ(bind(fd, (struct sockaddr *)sin, sizeof(*sin)), 0);
    if (backlog >= 0)
        CHECK_EQ(listen(fd, backlog), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)sin, &len), 0);
    return fd;
}

/* One whose queue is full: it answers no further SYN. `crowd` takes the clients. */
static int silent_server(struct sockaddr_in *sin, int crowd[3]) {
    int fd = server(0, sin);

    for (int i = 0; i < 3; i++) {
        crowd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(crowd[i], (struct sockaddr *)sin, sizeof(*sin));
    }
    return fd;
}

static void close_all(const int *fds, int n) {
    for (int i = 0; i < n; i++)
        close(fds[i]);
}

/* --- a bufferevent that connects -------------------------------------------------- */

struct caller {
    struct event_base *base;
    struct bufferevent *bev;
    struct told told;
    struct fake fake;
};

static void open_caller(struct caller *c, int fd) {
    memset(c, 0, sizeof(*c));
    c->base = event_base_new();
    c->bev = bufferevent_socket_new(c->base, fd, BEV_OPT_CLOSE_ON_FREE);
    CHECK(c->bev != NULL);
    bufferevent_setcb(c->bev, told_read, told_write, told_event, &c->told);
    c->fake.resolver = (struct pe_resolver){&c->fake, fake_start, fake_cancel};
    CHECK_EQ(pe_resolver_set(c->base, &c->fake.resolver), 0);
}

static int call(struct caller *c, const char *name, int port) {
    return bufferevent_socket_connect_hostname(c->bev, NULL, AF_UNSPEC, name, port);
}

static void close_caller(struct caller *c) {
    bufferevent_free(c->bev);
    event_base_free(c->base);
}

/* The port of the bufferevent's peer; 0: none. */
static int peer_port(struct bufferevent *bev) {
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    memset(&ss, 0, sizeof(ss));
    if (bufferevent_socket_get_peer(bev, (struct sockaddr *)&ss, &len) < 0)
        return 0;
    return ntohs(((struct sockaddr_in *)&ss)->sin_port);
}

TEST(number_is_connected_without_a_resolver) {
    struct caller c;
    struct sockaddr_in sin;
    int fd = server(1, &sin);

    open_caller(&c, -1);
    CHECK_EQ(call(&c, "127.0.0.1", ntohs(sin.sin_port)), 0);
    CHECK_EQ(c.told.events, 0); /* told by the loop only */
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_CONNECTED);
    CHECK_EQ(c.fake.starts, 0);
    CHECK_EQ(bufferevent_socket_get_dns_error(c.bev), 0);
    CHECK_EQ(peer_port(c.bev), ntohs(sin.sin_port));
    close_caller(&c);
    close(fd);
}

TEST(output_from_before_the_lookup_is_sent) {
    struct caller c;
    struct sockaddr_in sin;
    int fd = server(1, &sin), peer;
    char got[8];

    open_caller(&c, -1);
    add_address(&c.fake, (struct sockaddr *)&sin, sizeof(sin));
    bufferevent_write(c.bev, "early", 5);
    CHECK_EQ(call(&c, "a.test", 7), 0);
    CHECK_EQ(call(&c, "a.test", 7), -1);
    CHECK_EQ(errno, EALREADY);
    run_ready(c.base);
    CHECK_EQ(bufferevent_getfd(c.bev), -1);
    CHECK_STR(c.fake.lookup->host, "a.test");
    CHECK_STR(c.fake.lookup->service, "7");
    answer(&c.fake);
    CHECK_EQ(c.told.events, 0);
    run_until(c.base, &c.told.writes, 1);
    CHECK_STR(c.told.order, "cw");
    peer = accept(fd, NULL, NULL);
    CHECK_EQ(recv(peer, got, sizeof(got), 0), 5);
    close_caller(&c);
    close(peer);
    close(fd);
}

TEST(lookup_keeps_the_loop_going) {
    struct caller c;
    struct sockaddr_in sin;
    int fd = server(1, &sin);

    open_caller(&c, -1);
    CHECK_EQ(call(&c, "a.test", 7), 0);
    CHECK_EQ(event_base_get_num_events(c.base, EVENT_BASE_COUNT_VIRTUAL), 1);
    CHECK_EQ(event_base_loop(c.base, EVLOOP_NONBLOCK), 0); /* 1: nothing to wait for */
    bufferevent_free(c.bev);
    CHECK_EQ(c.fake.cancels, 1);
    CHECK_EQ(event_base_loop(c.base, EVLOOP_NONBLOCK), 1);
    event_base_free(c.base);
    close(fd);
}

TEST(next_address_is_tried_when_one_refuses) {
    struct caller c;
    struct sockaddr_in bad, good;
    int closed = server(-1, &bad), fd = server(1, &good);

    open_caller(&c, -1);
    add_address(&c.fake, (struct sockaddr *)&bad, sizeof(bad));
    add_address(&c.fake, (struct sockaddr *)&bad, sizeof(bad));
    add_address(&c.fake, (struct sockaddr *)&good, sizeof(good));
    c.fake.answers_at_once = true;
    CHECK_EQ(call(&c, "a.test", 7), 0);
    CHECK_EQ(c.told.events, 0);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_CONNECTED);
    CHECK_EQ(peer_port(c.bev), ntohs(good.sin_port));
    close_caller(&c);
    close(fd);
    close(closed);
}

TEST(silent_address_costs_a_quarter_of_a_second) {
    struct caller c;
    struct sockaddr_in silent, good;
    int crowd[3], mute = silent_server(&silent, crowd), fd = server(1, &good);
    int64_t took = pe_clock_now();

    open_caller(&c, -1);
    add_address(&c.fake, (struct sockaddr *)&silent, sizeof(silent));
    add_address(&c.fake, (struct sockaddr *)&good, sizeof(good));
    c.fake.answers_at_once = true;
    CHECK_EQ(call(&c, "a.test", 7), 0);
    run_until(c.base, &c.told.events, 1);
    took = pe_clock_now() - took;
    CHECK_EQ(c.told.what, BEV_EVENT_CONNECTED);
    CHECK_EQ(peer_port(c.bev), ntohs(good.sin_port));
    CHECK(took >= 250 * PE_NS_PER_MS);
    CHECK_EQ(event_base_get_num_events(c.base, EVENT_BASE_COUNT_ADDED), 0); /* the other is closed */
    close_caller(&c);
    close(mute);
    close(fd);
    close_all(crowd, 3);
}

TEST(families_take_turns) {
    struct caller c;
    struct sockaddr_in refused, good;
    struct sockaddr_in6 six;
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC};
    int closed = server(-1, &refused), fd = server(1, &good);

    /* Of three IPv4 addresses and an IPv6 one, that comes second: it refuses, and the
     * others follow. Nothing of this waits, so the order shows in the last error. */
    open_caller(&c, -1);
    memset(&six, 0, sizeof(six));
    six.sin6_family = AF_INET6;
    six.sin6_addr = in6addr_loopback;
    six.sin6_port = refused.sin_port;
    add_address(&c.fake, (struct sockaddr *)&refused, sizeof(refused));
    add_address(&c.fake, (struct sockaddr *)&refused, sizeof(refused));
    add_address(&c.fake, (struct sockaddr *)&six, sizeof(six));
    c.fake.answers_at_once = true;
    CHECK_EQ(bufferevent_socket_connect_hostname_hints(c.bev, NULL, &hints, "a.test", 7), 0);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_ERROR);
    CHECK_EQ(c.told.error, ECONNREFUSED); /* of IPv4: IPv6 may fail with something else */
    CHECK_EQ(peer_port(c.bev), ntohs(refused.sin_port));
    close_caller(&c);
    close(fd);
    close(closed);
}

TEST(error_of_all_addresses_names_the_last_and_another_try_may_follow) {
    struct caller c;
    struct sockaddr_in bad, good;
    int closed = server(-1, &bad), fd = server(1, &good);

    open_caller(&c, -1);
    add_address(&c.fake, (struct sockaddr *)&bad, sizeof(bad));
    c.fake.answers_at_once = true;
    CHECK_EQ(call(&c, "a.test", 7), 0);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_ERROR);
    CHECK_EQ(c.told.error, ECONNREFUSED);
    CHECK_EQ(peer_port(c.bev), ntohs(bad.sin_port));
    CHECK_EQ(bufferevent_socket_get_dns_error(c.bev), 0);
    CHECK_EQ(event_base_loop(c.base, 0), 1);
    CHECK_EQ(call(&c, "127.0.0.1", ntohs(good.sin_port)), 0);
    run_until(c.base, &c.told.events, 2);
    CHECK_EQ(c.told.what, BEV_EVENT_ERROR | BEV_EVENT_CONNECTED);
    close_caller(&c);
    close(fd);
    close(closed);
}

TEST(name_that_is_not_found_is_a_dns_error) {
    struct caller c;

    open_caller(&c, -1);
    c.fake.answers_at_once = true;
    c.fake.err = EVUTIL_EAI_NONAME;
    CHECK_EQ(call(&c, "a.test", 7), 0);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_ERROR);
    CHECK_EQ(bufferevent_socket_get_dns_error(c.bev), EVUTIL_EAI_NONAME);
    CHECK_STR(pe_bufferevent_host(c.bev), "a.test");
    CHECK_EQ(peer_port(c.bev), 0);
    c.fake.err = -ENOMEM; /* the lookup cannot even be begun */
    CHECK_EQ(call(&c, "a.test", 7), 0);
    run_until(c.base, &c.told.events, 2);
    CHECK_EQ(bufferevent_socket_get_dns_error(c.bev), EVUTIL_EAI_MEMORY);
    close_caller(&c);
}

TEST(wrong_arguments_begin_nothing) {
    struct caller c;

    open_caller(&c, -1);
    CHECK_EQ(call(&c, "a.test", 0), -1);
    CHECK_EQ(call(&c, "a.test", 65536), -1);
    CHECK_EQ(call(&c, NULL, 80), -1);
    CHECK_EQ(bufferevent_socket_connect_hostname(c.bev, NULL, AF_UNIX, "a.test", 80), -1);
    CHECK_EQ(errno, EAFNOSUPPORT);
    CHECK_EQ(c.fake.starts, 0);
    CHECK_EQ(event_base_loop(c.base, 0), 1);
    close_caller(&c);
}

TEST(descriptor_of_its_own_is_connected_to_the_first_of_its_family) {
    struct caller c;
    struct sockaddr_in sin;
    struct sockaddr_in6 six;
    int fd = server(1, &sin), own = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    open_caller(&c, own);
    memset(&six, 0, sizeof(six));
    six.sin6_family = AF_INET6;
    add_address(&c.fake, (struct sockaddr *)&six, sizeof(six));
    add_address(&c.fake, (struct sockaddr *)&sin, sizeof(sin));
    c.fake.answers_at_once = true;
    CHECK_EQ(call(&c, "a.test", 7), 0);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_CONNECTED);
    CHECK_EQ(bufferevent_getfd(c.bev), own);
    close_caller(&c);
    close(fd);
}

TEST(another_descriptor_ends_a_race) {
    struct caller c;
    struct sockaddr_in silent;
    int crowd[3], mute = silent_server(&silent, crowd), fds[2];

    make_pair(fds);
    open_caller(&c, -1);
    add_address(&c.fake, (struct sockaddr *)&silent, sizeof(silent));
    c.fake.answers_at_once = true;
    CHECK_EQ(call(&c, "a.test", 7), 0);
    run_ready(c.base);
    bufferevent_setfd(c.bev, fds[0]);
    bufferevent_write(c.bev, "x", 1);
    run_until(c.base, &c.told.writes, 1);
    CHECK_STR(receive_text(fds[1]), "x");
    CHECK_EQ(c.told.events, 0);
    close_caller(&c);
    close(fds[1]);
    close(mute);
    close_all(crowd, 3);
}

TEST(write_timeout_limits_lookup_and_race) {
    struct caller c;
    struct timeval tv = {0, 20000};

    open_caller(&c, -1);
    bufferevent_set_timeouts(c.bev, NULL, &tv);
    CHECK_EQ(call(&c, "a.test", 7), 0);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_TIMEOUT | BEV_EVENT_WRITING);
    close_caller(&c);
    CHECK_EQ(c.fake.cancels, 1);
}

TEST(base_may_go_before_lookup_and_race) {
    struct caller c;
    struct sockaddr_in silent;
    int crowd[3], mute = silent_server(&silent, crowd);

    open_caller(&c, -1);
    CHECK_EQ(call(&c, "a.test", 7), 0);
    event_base_free(c.base);
    bufferevent_free(c.bev);
    open_caller(&c, -1);
    add_address(&c.fake, (struct sockaddr *)&silent, sizeof(silent));
    c.fake.answers_at_once = true;
    CHECK_EQ(call(&c, "a.test", 7), 0);
    run_ready(c.base);
    event_base_free(c.base);
    bufferevent_free(c.bev);
    close(mute);
    close_all(crowd, 3);
}

TEST(every_allocation_may_fail) {
    struct sockaddr_in bad, good;
    int closed = server(-1, &bad), fd = server(16, &good);

    for (long n = 1;; n++) {
        struct caller c;

        open_caller(&c, -1);
        add_address(&c.fake, (struct sockaddr *)&bad, sizeof(bad));
        add_address(&c.fake, (struct sockaddr *)&good, sizeof(good));
        c.fake.answers_at_once = true;
        pe_mem_fail_nth(n);
        if (call(&c, "a.test", 7) == 0)
            run_until(c.base, &c.told.events, 1);
        else
            CHECK_EQ(errno, ENOMEM);
        pe_mem_fail_nth(0);
        close_caller(&c);
        if (!pe_mem_has_failed())
            break;
    }
    close(fd);
    close(closed);
}

/* --- the pool ----------------------------------------------------------------------- */

static void wait_for_jobs(int n) {
    struct timespec ms = {0, 1000000};

    while (pe_pool_of_lookups_jobs() != n)
        nanosleep(&ms, NULL);
}

TEST(pool_looks_names_up) {
    struct caller c;
    struct sockaddr_in sin;
    int fd = server(1, &sin);

    open_caller(&c, -1);
    pe_resolver_set(c.base, NULL);
    CHECK_EQ(bufferevent_socket_connect_hostname(c.bev, NULL, AF_INET, "localhost",
                                                 ntohs(sin.sin_port)), 0);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_CONNECTED);
    CHECK_EQ(pe_pool_of_lookups_threads(), 1);
    CHECK_EQ(pe_pool_of_lookups_jobs(), 0);
    close_caller(&c);
    close(fd);
}

static void set_process_resolver(struct fake *f) {
    f->resolver = (struct pe_resolver){f, fake_start, fake_cancel};
    pe_resolver_set(NULL, f != NULL ? &f->resolver : NULL);
}

TEST(resolver_of_the_process_serves_bases_that_have_none) {
    struct caller c;
    struct fake f;

    memset(&f, 0, sizeof(f));
    f.answers_at_once = true;
    f.err = EVUTIL_EAI_FAIL;
    set_process_resolver(&f);
    open_caller(&c, -1);
    pe_resolver_set(c.base, NULL);
    CHECK_EQ(call(&c, "a.test", 7), 0);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(f.starts, 1);
    CHECK_EQ(bufferevent_socket_get_dns_error(c.bev), EVUTIL_EAI_FAIL);
    pe_resolver_set(NULL, NULL);
    close_caller(&c);
}

TEST(pool_has_four_threads_at_most_and_frees_what_nobody_waits_for) {
    struct event_base *base = event_base_new();
    struct bufferevent *bevs[64];

    for (int i = 0; i < 64; i++) {
        bevs[i] = bufferevent_socket_new(base, -1, 0);
        CHECK_EQ(bufferevent_socket_connect_hostname(bevs[i], NULL, AF_INET, "localhost", 9), 0);
        CHECK(pe_pool_of_lookups_threads() <= 4);
    }
    for (int i = 0; i < 32; i++)
        bufferevent_free(bevs[i]); /* without waiting */
    event_base_free(base);
    for (int i = 32; i < 64; i++)
        bufferevent_free(bevs[i]);
    wait_for_jobs(0);
}

static void stop_loop(struct bufferevent *bev, short what, void *arg) {
    (void)what;
    (void)arg;
    event_base_loopbreak(bufferevent_get_base(bev));
}

TEST(forked_child_has_a_pool_of_its_own) {
    struct caller c;
    struct sockaddr_in sin;
    int fd = server(4, &sin), status;
    pid_t pid;

    open_caller(&c, -1);
    pe_resolver_set(c.base, NULL);
    bufferevent_setcb(c.bev, NULL, NULL, stop_loop, NULL);
    CHECK_EQ(bufferevent_socket_connect_hostname(c.bev, NULL, AF_INET, "localhost",
                                                 ntohs(sin.sin_port)), 0);
    pid = fork(); /* with a lookup under way, or just done */
    if (pid == 0) {
        CHECK_EQ(pe_pool_of_lookups_threads(), 0);
        CHECK_EQ(event_reinit(c.base), 0);
        CHECK_EQ(event_base_dispatch(c.base), 0);
        CHECK(bufferevent_getfd(c.bev) >= 0);
        close_caller(&c);
        _exit(pe_pool_of_lookups_jobs() == 0 ? 0 : 2);
    }
    CHECK_EQ(event_base_dispatch(c.base), 0);
    CHECK(bufferevent_getfd(c.bev) >= 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    close_caller(&c);
    close(fd);
}

/* --- peers ----------------------------------------------------------------------------- */

TEST(peer_is_known_after_the_connection_broke) {
    struct ctx c;
    struct linger hard = {1, 0};
    int port;

    memset(&c, 0, sizeof(c));
    make_tcp_pair(c.fds);
    c.base = event_base_new();
    c.bev = bufferevent_socket_new(c.base, c.fds[0], BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(c.bev, told_read, told_write, told_event, &c.told);
    port = peer_port(c.bev);
    CHECK(port != 0);
    bufferevent_enable(c.bev, EV_READ);
    setsockopt(c.fds[1], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(c.fds[1]);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.error, ECONNRESET);
    CHECK_EQ(peer_port(c.bev), port);
    bufferevent_free(c.bev);
    event_base_free(c.base);
}

TEST(unix_path_is_known_where_nobody_listens) {
    struct caller c;
    struct sockaddr_un un, peer;
    socklen_t len = sizeof(peer);

    memset(&un, 0, sizeof(un));
    un.sun_family = AF_UNIX;
    strcpy(un.sun_path, "/nowhere/at/all");
    open_caller(&c, -1);
    CHECK_EQ(bufferevent_socket_connect(c.bev, (struct sockaddr *)&un, sizeof(un)), 0);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.error, ENOENT);
    CHECK_EQ(bufferevent_socket_get_peer(c.bev, (struct sockaddr *)&peer, &len), 0);
    CHECK_STR(peer.sun_path, "/nowhere/at/all");
    bufferevent_replacefd(c.bev, -1);
    len = sizeof(peer);
    CHECK_EQ(bufferevent_socket_get_peer(c.bev, (struct sockaddr *)&peer, &len), -1);
    CHECK_EQ(errno, ENOTCONN);
    close_caller(&c);
}
