/* test_datagram.c - datagram sockets: life, failing memory, a base that goes first. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/mem.h"
#include "event2/bufferevent.h"
#include "event2/datagram.h"
#include "streams.h"

struct got {
    struct event_base *base;
    int count, calls;
    size_t bytes;
};

static void on_messages(struct evdgram *dgram, const struct evdgram_message *messages, int count,
                        void *arg) {
    struct got *got = arg;

    CHECK(count >= 1 && count <= EVDGRAM_BATCH);
    got->calls++;
    got->count += count;
    for (int i = 0; i < count; i++) {
        CHECK(messages[i].addrlen > 0);
        got->bytes += messages[i].len;
    }
    (void)dgram;
}

static int udp_socket(struct sockaddr_in *addr) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(*addr);

    memset(addr, 0, sizeof(*addr));
    addr->sin_family = AF_INET;
    addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0);
    CHECK_EQ(bind(fd, (struct sockaddr *)addr, sizeof(*addr)), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)addr, &len), 0);
    return fd;
}

TEST(a_batch_goes_out_and_comes_in_with_one_call_each) {
    struct event_base *base = event_base_new();
    struct got got = {.base = base};
    struct sockaddr_in addr, other;
    struct evdgram *near = evdgram_new(base, udp_socket(&addr), BEV_OPT_CLOSE_ON_FREE);
    struct evdgram *far = evdgram_new(base, udp_socket(&other), BEV_OPT_CLOSE_ON_FREE);

    evdgram_setcb(near, on_messages, NULL, &got);
    CHECK_EQ(evdgram_enable(near), 0);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(evdgram_send(far, "abc", 3, (struct sockaddr *)&addr, sizeof(addr)), 0);
    CHECK_EQ(evdgram_get_queued(far), 150);
    while (got.count < 50)
        CHECK_EQ(event_base_loop(base, EVLOOP_ONCE), 0);
    CHECK_EQ(got.bytes, 150);
    CHECK_EQ(got.calls, 1);
    CHECK_EQ(evdgram_get_queued(far), 0);
    evdgram_free(near);
    evdgram_free(far);
    event_base_free(base);
}

TEST(the_base_may_go_first) {
    struct event_base *base = event_base_new();
    struct sockaddr_in addr;
    struct evdgram *dgram = evdgram_new(base, udp_socket(&addr), BEV_OPT_CLOSE_ON_FREE);

    CHECK_EQ(evdgram_send(dgram, "abc", 3, (struct sockaddr *)&addr, sizeof(addr)), 0);
    CHECK_EQ(evdgram_enable(dgram), 0);
    event_base_free(base);
    CHECK(evdgram_get_base(dgram) == NULL);
    CHECK_EQ(evdgram_send(dgram, "abc", 3, (struct sockaddr *)&addr, sizeof(addr)), -1);
    CHECK_EQ(evdgram_enable(dgram), -1);
    evdgram_free(dgram);
}

static void free_it(struct evdgram *dgram, const struct evdgram_message *messages, int count,
                    void *arg) {
    struct evdgram **kept = arg;

    (void)messages;
    (void)count;
    CHECK_EQ(evdgram_send(dgram, "x", 1, NULL, 0), 0); /* never sent */
    evdgram_free(dgram);
    *kept = NULL;
}

TEST(freed_in_its_own_callback_it_drops_what_waits) {
    struct event_base *base = event_base_new();
    struct sockaddr_in addr;
    struct evdgram *dgram = evdgram_new(base, udp_socket(&addr), BEV_OPT_CLOSE_ON_FREE);

    evdgram_setcb(dgram, free_it, NULL, &dgram);
    CHECK_EQ(evdgram_enable(dgram), 0);
    CHECK_EQ(evdgram_send(dgram, "abc", 3, (struct sockaddr *)&addr, sizeof(addr)), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK(dgram == NULL);
    event_base_free(base);
}

TEST(failing_allocations_lose_nothing_else) {
    struct sockaddr_in addr;

    for (long n = 1;; n++) {
        struct event_base *base = event_base_new();
        struct got got = {.base = base};
        int fd = udp_socket(&addr), ok;
        struct evdgram *dgram;

        pe_mem_fail_nth(n);
        dgram = evdgram_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
        if (dgram == NULL) {
            CHECK_EQ(errno, ENOMEM);
            close(fd);
            event_base_free(base);
            continue;
        }
        evdgram_setcb(dgram, on_messages, NULL, &got);
        ok = evdgram_enable(dgram) == 0 &&
             evdgram_send(dgram, "abc", 3, (struct sockaddr *)&addr, sizeof(addr)) == 0;
        if (!ok)
            CHECK_EQ(errno, ENOMEM);
        while (ok && got.count == 0)
            CHECK_EQ(event_base_loop(base, EVLOOP_ONCE), 0);
        evdgram_free(dgram);
        event_base_free(base);
        if (!pe_mem_has_failed())
            break;
    }
    pe_mem_fail_nth(0);
}

TEST(arguments_are_checked) {
    struct event_base *base = event_base_new();
    struct sockaddr_in addr;
    static char big[65537];
    struct evdgram *dgram;

    CHECK(evdgram_new(NULL, 3, 0) == NULL);
    CHECK_EQ(errno, EINVAL);
    CHECK(evdgram_new(base, -1, 0) == NULL);
    dgram = evdgram_new(base, udp_socket(&addr), BEV_OPT_CLOSE_ON_FREE);
    CHECK_EQ(evdgram_send(dgram, big, sizeof(big), (struct sockaddr *)&addr, sizeof(addr)), -1);
    CHECK_EQ(errno, EMSGSIZE);
    evdgram_set_queue_max(dgram, 10);
    CHECK_EQ(evdgram_send(dgram, big, 11, (struct sockaddr *)&addr, sizeof(addr)), -1);
    CHECK_EQ(errno, ENOBUFS);
    CHECK_EQ(evdgram_get_dropped(dgram), 1);
    evdgram_free(dgram);
    event_base_free(base);
}
