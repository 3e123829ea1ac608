/* datagram.c - datagram sockets: see event2/datagram.h.
 *
 * Reading: one recvmmsg(2) per wake-up into the inbox that the datagram sockets of a
 * base share (inbox.h). The callback gets all of the batch at once and must copy
 * what it keeps.
 *
 * Writing: messages wait in an outbox (outbox.h), and the flush list sends them at
 * the end of the turn with sendmmsg(2), EVDGRAM_BATCH at a time. What the kernel
 * does not take now waits for EV_WRITE if the socket is full; if it is the
 * receiver, or the device, no readiness tells of them: that receiver rests, for
 * 1 ms at first and 100 ms at last, and the others go on. An error of the first
 * message of a call is either left over from an earlier one (an ICMP answer; then
 * the message is tried again) or its own (then it is dropped).
 *
 * Readiness may lie: an error queue that nobody reads, a descriptor that was closed.
 * Reads and writes that come to nothing are tried again after the same rests.
 * No turn sends more messages than there were at its beginning, so that a callback
 * which sends again is no endless loop.
 *
 * Elsewhere than on Linux there is a call per message.
 */
#include "event2/datagram.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/errors.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sock.h"
#include "event2/bufferevent.h"
#include "loop/base.h"
#include "stream/inbox.h"
#include "stream/outbox.h"

#define NEWS_MAX 16 /* errors of the network in a row that are read without a rest */

struct shared {
    struct pe_link dgrams; /* struct evdgram.of_base */
    struct pe_inbox inbox;
};

struct evdgram {
    struct event_base *base; /* NULL: it was freed */
    struct shared *shared;
    struct pe_link of_base;
    evdgram_read_cb readcb;
    evdgram_event_cb eventcb;
    void *arg;
    struct pe_io io;
    struct pe_source source;
    struct pe_flush flush;
    struct pe_timer read_rest;   /* set while it does not read after a failure */
    struct pe_timer retry;       /* for receivers that rest, and for itself */
    struct pe_outbox outbox;
    int64_t read_rest_ns;        /* the last; 0: reads are well */
    int64_t write_rest_ns;       /* the same for writes on which EV_WRITE has lied */
    uint64_t dropped;
    unsigned refs;
    unsigned news;               /* errors of the network in a row */
    bool reads, closes, is_freed;
    bool would_block;             /* the socket itself is full ... */
    bool is_lied_to;             /* ... and EV_WRITE says it is not: `retry` is set */
};

static const char shared_key; /* its address is the key */

/* --- what the sockets of a base share --------------------------------------- */

static void shared_destroy(void *value) {
    struct shared *shared = value;
    struct pe_link *link;

    while ((link = pe_list_pop_front(&shared->dgrams)) != NULL)
        pe_container(link, struct evdgram, of_base)->base = NULL;
    pe_inbox_free(&shared->inbox);
    pe_free(PE_MEM_STREAM, shared);
}

static struct shared *shared_of(struct event_base *base) {
    struct shared *shared = pe_base_extension(base, &shared_key);

    if (shared != NULL)
        return shared;
    shared = pe_calloc(PE_MEM_STREAM, 1, sizeof(*shared));
    if (shared == NULL)
        return NULL;
    pe_list_init(&shared->dgrams);
    if (pe_base_set_extension(base, &shared_key, shared, shared_destroy) < 0) {
        pe_free(PE_MEM_STREAM, shared);
        return NULL;
    }
    return shared;
}

/* --- common ------------------------------------------------------------------ */

static int watch(struct evdgram *dgram) {
    short want = 0;

    if (dgram->base == NULL || dgram->is_freed)
        return 0;
    if (dgram->reads && !pe_timer_is_set(&dgram->read_rest))
        want |= EV_READ;
    if (dgram->would_block && !dgram->is_lied_to)
        want |= EV_WRITE;
    return pe_io_set(dgram->base, &dgram->io, want);
}

static void drop_ref(struct evdgram *dgram) {
    if (--dgram->refs == 0)
        pe_free(PE_MEM_STREAM, dgram);
}

static void tell(struct evdgram *dgram, short what, int err) {
    if (dgram->eventcb == NULL || dgram->is_freed)
        return;
    errno = err;
    dgram->eventcb(dgram, what | BEV_EVENT_ERROR, dgram->arg);
}

static bool is_not_now(int err) {
    return err == EAGAIN || err == EWOULDBLOCK || err == EINTR;
}

/* What an earlier message has met on its way, told to the next call. */
static bool is_networks_error(int err) {
    return err == ECONNREFUSED || err == EHOSTUNREACH || err == ENETUNREACH || err == EHOSTDOWN ||
           err == ENETDOWN || err == ECONNRESET || err == ENOPROTOOPT || err == EPROTO;
}

static int64_t longer(int64_t rest_ns) {
    if (rest_ns == 0)
        return PE_OUTBOX_REST_MIN_NS;
    return rest_ns * 2 < PE_OUTBOX_REST_MAX_NS ? rest_ns * 2 : PE_OUTBOX_REST_MAX_NS;
}

/* Whether poll(2) says so: with POLLIN errors count as well. */
static bool is_ready(const struct evdgram *dgram, short what) {
    struct pollfd pollfd = {.fd = dgram->io.task.fd, .events = what};

    return poll(&pollfd, 1, 0) > 0 && (what == POLLIN || (pollfd.revents & what) != 0);
}

/* --- reading ------------------------------------------------------------------- */

static void rest_from_reading(struct evdgram *dgram) {
    dgram->read_rest_ns = longer(dgram->read_rest_ns);
    /* Without memory for the timer it stays watched: better busy than lost. */
    if (pe_timer_set(dgram->base, &dgram->read_rest, pe_clock_now() + dgram->read_rest_ns) == 0)
        (void)watch(dgram);
}

static void end_read_rest(struct event_base *base, struct pe_timer *timer) {
    struct evdgram *dgram = pe_container(timer, struct evdgram, read_rest);
    int err = watch(dgram);

    if (err == 0)
        return;
    (void)pe_timer_set(base, timer, pe_clock_now() + PE_OUTBOX_REST_MAX_NS); /* its place is free */
    dgram->refs++;
    tell(dgram, BEV_EVENT_READING, -err);
    drop_ref(dgram);
}

/* It was ready, and there is nothing but `err`: tell it, and find out whether it will
 * be ready again at once. */
static void note_failed_read(struct evdgram *dgram, int err) {
    int queued, told = is_not_now(err) ? 0 : err;
    bool is_news = pe_source_take_errors(&dgram->source, &queued) > 0 || is_networks_error(told);

    if (told == 0)
        told = queued;
    if (is_news)
        dgram->news++;
    if (is_news ? dgram->news > NEWS_MAX : told != 0 || is_ready(dgram, POLLIN))
        rest_from_reading(dgram);
    if (told != 0)
        tell(dgram, BEV_EVENT_READING, told);
}

/* Messages were longer than the slots, and are lost. */
static void note_cut(struct evdgram *dgram, const struct pe_cut *cut) {
    dgram->dropped += (uint64_t)cut->count;
    pe_log_warn("datagram on fd %d: %d too long, the longest of %zu bytes, dropped; the next ones "
                "may have %zu", dgram->source.fd, cut->count, cut->longest, dgram->source.slot_size);
    tell(dgram, BEV_EVENT_READING, EMSGSIZE);
}

static void read_batch(struct evdgram *dgram) {
    struct evdgram_message messages[EVDGRAM_BATCH];
    struct sockaddr_storage addrs[EVDGRAM_BATCH];
    struct pe_cut cut;
    int n = pe_inbox_receive(&dgram->shared->inbox, &dgram->source, messages, addrs, &cut);

    if (n < 0) {
        note_failed_read(dgram, -n);
        return;
    }
    dgram->read_rest_ns = 0;
    dgram->news = 0;
    if (n > 0 && dgram->readcb != NULL)
        dgram->readcb(dgram, messages, n, dgram->arg);
    else
        dgram->dropped += (uint64_t)n;
    if (cut.count > 0)
        note_cut(dgram, &cut);
}

/* --- writing ------------------------------------------------------------------- */

#ifdef __linux__

/* Send what is first in the outbox: how many messages, or a negative errno. */
static int transmit(struct evdgram *dgram) {
    struct mmsghdr headers[EVDGRAM_BATCH];
    struct iovec vecs[EVDGRAM_BATCH];
    struct pe_link *ready = &dgram->outbox.ready;
    unsigned count = 0;
    int n;

    memset(headers, 0, sizeof(headers));
    for (struct pe_link *at = ready->next; at != ready && count < EVDGRAM_BATCH;
         at = at->next, count++) {
        struct pe_message *message = pe_container(at, struct pe_message, link);

        vecs[count].iov_base = message->data;
        vecs[count].iov_len = message->len;
        headers[count].msg_hdr.msg_iov = &vecs[count];
        headers[count].msg_hdr.msg_iovlen = 1;
        if (message->addrlen != 0) {
            headers[count].msg_hdr.msg_name = &message->addr;
            headers[count].msg_hdr.msg_namelen = message->addrlen;
        }
    }
    n = sendmmsg(dgram->io.task.fd, headers, count, PE_MSG_NOSIGNAL | MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

#else

static int transmit(struct evdgram *dgram) {
    struct pe_message *message = pe_outbox_first(&dgram->outbox);
    ssize_t n = sendto(dgram->io.task.fd, message->data, message->len,
                       PE_MSG_NOSIGNAL | MSG_DONTWAIT,
                       message->addrlen ? (struct sockaddr *)&message->addr : NULL,
                       message->addrlen);

    return n < 0 ? -errno : 1;
}

#endif

/* Whether it is the socket's own room that the first message waits for, of which
 * EV_WRITE tells. A connected one is not writable either while its peer is full:
 * what is for others should not wait for that. */
static bool waits_for_socket(const struct evdgram *dgram) {
    const struct pe_message *message = pe_outbox_first(&dgram->outbox);

    return !is_ready(dgram, POLLOUT) && (message->addrlen != 0 || dgram->outbox.addressed == 0);
}

/* The first message cannot go now (`err`): how many wait or were dropped for that; 0:
 * all wait for the socket. */
static size_t put_off(struct evdgram *dgram, int err) {
    size_t taken, dropped;

    if (err != ENOBUFS && waits_for_socket(dgram)) {
        dgram->would_block = true;
        return 0;
    }
    dropped = pe_outbox_rest(&dgram->outbox, pe_clock_now(), &taken);
    dgram->dropped += dropped;
    if (dropped > 0)
        tell(dgram, BEV_EVENT_WRITING, err);
    return taken;
}

/* The first message met `err`: once more with it if that may be another's, else it
 * is dropped. Whether it was. */
static bool give_up_first(struct evdgram *dgram, int err) {
    struct pe_message *message = pe_outbox_first(&dgram->outbox);
    bool gives_up = !is_networks_error(err) || message->was_retried;

    message->was_retried = true;
    if (gives_up) {
        pe_outbox_pop(&dgram->outbox);
        dgram->dropped++;
    }
    tell(dgram, BEV_EVENT_WRITING, err);
    return gives_up;
}

/* Send what can go: how many messages went, or were dropped or put off. */
static size_t send_ready(struct evdgram *dgram) {
    size_t start = dgram->outbox.count, left = start;

    while (!dgram->is_freed && left > 0 && !pe_list_empty(&dgram->outbox.ready)) {
        int n = transmit(dgram);
        size_t done = n > 0 ? (size_t)n : 0;

        if (n == -EINTR)
            continue;
        for (int i = 0; i < n; i++)
            pe_outbox_pop(&dgram->outbox);
        if (n < 0 && (is_not_now(-n) || n == -ENOBUFS)) {
            done = put_off(dgram, -n);
            if (dgram->would_block)
                break;
        } else if (n < 0) {
            done = give_up_first(dgram, -n);
        }
        left -= done < left ? done : left;
    }
    return start - left;
}

/* EV_WRITE has come although nothing can be sent: try again after a rest. */
static void rest_from_writing(struct evdgram *dgram) {
    int err;

    dgram->write_rest_ns = longer(dgram->write_rest_ns);
    dgram->is_lied_to = true;
    if (pe_source_take_errors(&dgram->source, &err) > 0 && err != 0)
        tell(dgram, BEV_EVENT_WRITING, err);
}

/* Set the timer for what rests. */
static int set_retry(struct evdgram *dgram) {
    int64_t due = pe_outbox_due(&dgram->outbox);

    if (dgram->is_lied_to)
        due = pe_clock_now() + dgram->write_rest_ns;
    if (due >= 0)
        return pe_timer_set(dgram->base, &dgram->retry, due);
    pe_timer_cancel(dgram->base, &dgram->retry);
    return 0;
}

/* `is_told`: because of EV_WRITE. */
static void send_queue(struct evdgram *dgram, bool is_told) {
    int err;

    dgram->would_block = false;
    dgram->is_lied_to = false;
    if (send_ready(dgram) > 0 || !dgram->would_block)
        dgram->write_rest_ns = 0;
    else if (is_told)
        rest_from_writing(dgram);
    if (dgram->is_freed || dgram->base == NULL)
        return;
    if (!dgram->would_block && !pe_list_empty(&dgram->outbox.ready))
        pe_flush_add(dgram->base, &dgram->flush); /* what callbacks have added */
    err = set_retry(dgram);
    if (err == 0)
        err = watch(dgram);
    if (err < 0)
        tell(dgram, BEV_EVENT_WRITING, -err);
}

static void run_flush(struct event_base *base, struct pe_flush *item) {
    struct evdgram *dgram = pe_container(item, struct evdgram, flush);

    (void)base;
    dgram->refs++;
    send_queue(dgram, false);
    drop_ref(dgram);
}

static void end_write_rest(struct event_base *base, struct pe_timer *timer) {
    struct evdgram *dgram = pe_container(timer, struct evdgram, retry);

    pe_outbox_wake(&dgram->outbox, pe_base_now(base));
    dgram->refs++;
    send_queue(dgram, dgram->is_lied_to);
    drop_ref(dgram);
}

static void run_dgram(struct event_base *base, struct pe_task *task) {
    struct evdgram *dgram = pe_container(task, struct evdgram, io.task);
    short res = task->res;

    (void)base;
    dgram->refs++;
    if ((res & EV_READ) && dgram->reads)
        read_batch(dgram);
    if ((res & EV_WRITE) && dgram->would_block && !dgram->is_freed)
        send_queue(dgram, true);
    drop_ref(dgram);
}

static bool is_ip_family(int family) {
    return family == AF_INET || family == AF_INET6;
}

/* Whether what waits now does not keep a message for `addrlen` from being sent: only a
 * connected one's peer may be what the others wait for. */
static bool may_pass(const struct evdgram *dgram, int addrlen) {
    const struct pe_message *first = pe_outbox_first(&dgram->outbox);

    return !dgram->is_lied_to && addrlen != 0 && first != NULL && first->addrlen == 0;
}

int evdgram_send(struct evdgram *dgram, const void *data, size_t len, const struct sockaddr *addr,
                 int addrlen) {
    int err;

    if (dgram->base == NULL || dgram->is_freed || addrlen < 0 ||
        (size_t)addrlen > sizeof(struct sockaddr_storage))
        return pe_fail(-EINVAL);
    if (addr == NULL)
        addrlen = 0;
    if (addrlen != 0 && is_ip_family(addr->sa_family) != dgram->source.is_ip)
        return pe_fail(-EAFNOSUPPORT);
    if (len > (dgram->source.is_ip ? PE_INBOX_IP_SLOT : PE_INBOX_AREA))
        return pe_fail(-EMSGSIZE);
    err = pe_outbox_add(&dgram->outbox, data, len, addr, (socklen_t)addrlen);
    if (err == -ENOBUFS)
        dgram->dropped++;
    if (err < 0)
        return pe_fail(err);
    if (err > 0 && (!dgram->would_block || may_pass(dgram, addrlen)))
        pe_flush_add(dgram->base, &dgram->flush);
    return 0;
}

/* --- life ------------------------------------------------------------------------ */

/* What `fd` is: whether a socket of IP; -EPROTOTYPE: none for datagrams; or another
 * negative errno. */
static int look_at(int fd) {
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr), type_len;
    int type;

    type_len = sizeof(type);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0)
        return -errno;
    if (type == SOCK_STREAM || type == SOCK_SEQPACKET)
        return -EPROTOTYPE;
    memset(&addr, 0, sizeof(addr));
    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        return -errno;
    return is_ip_family(addr.ss_family);
}

static struct evdgram *dgram_new(struct event_base *base, int fd, int options, bool is_ip) {
    struct shared *shared = shared_of(base);
    struct evdgram *dgram;

    if (shared == NULL || pe_inbox_reserve(&shared->inbox, is_ip) < 0)
        return NULL;
    dgram = pe_calloc(PE_MEM_STREAM, 1, sizeof(*dgram));
    if (dgram == NULL)
        return NULL;
    dgram->base = base;
    dgram->shared = shared;
    dgram->refs = 1;
    pe_source_init(&dgram->source, fd, is_ip);
    dgram->closes = (options & BEV_OPT_CLOSE_ON_FREE) != 0;
    pe_io_init(&dgram->io, fd, run_dgram, event_base_get_npriorities(base) / 2);
    pe_flush_init(&dgram->flush, run_flush);
    pe_timer_init(&dgram->read_rest, end_read_rest);
    pe_timer_init(&dgram->retry, end_write_rest);
    pe_outbox_init(&dgram->outbox, EVDGRAM_QUEUE_MAX);
    pe_list_push_back(&shared->dgrams, &dgram->of_base);
    return dgram;
}

struct evdgram *evdgram_new(struct event_base *base, evutil_socket_t fd, int options) {
    struct evdgram *dgram = NULL;
    int is_ip = base != NULL && fd >= 0 ? look_at(fd) : -EINVAL;
    int err = is_ip < 0 ? is_ip : pe_sock_nonblock(fd);

    if (err == 0) {
        dgram = dgram_new(base, fd, options, is_ip != 0);
        err = -ENOMEM;
    }
    if (dgram == NULL)
        errno = -err;
    return dgram;
}

struct evdgram *evdgram_new_bind(struct event_base *base, const struct sockaddr *addr,
                                 int addrlen) {
    struct evdgram *dgram;
    int fd = base != NULL && addr != NULL && addrlen > 0
                 ? pe_socket(addr->sa_family, SOCK_DGRAM, 0) : -EINVAL;

    if (fd < 0) {
        errno = -fd;
        return NULL;
    }
    if (bind(fd, addr, (socklen_t)addrlen) == 0) {
        dgram = evdgram_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
        if (dgram != NULL)
            return dgram;
    }
    (void)pe_close(fd); /* keeps errno */
    return NULL;
}

void evdgram_free(struct evdgram *dgram) {
    if (dgram == NULL || dgram->is_freed)
        return;
    dgram->is_freed = true;
    dgram->reads = false;
    dgram->readcb = NULL;
    dgram->eventcb = NULL;
    pe_outbox_clear(&dgram->outbox);
    if (dgram->base != NULL) {
        (void)pe_io_set(dgram->base, &dgram->io, 0); /* taking away never fails */
        pe_task_cancel(dgram->base, &dgram->io.task);
        pe_io_forget(dgram->base, dgram->io.task.fd);
        pe_timer_cancel(dgram->base, &dgram->read_rest);
        pe_timer_cancel(dgram->base, &dgram->retry);
        pe_flush_cancel(dgram->base, &dgram->flush);
        pe_list_remove(&dgram->of_base);
    }
    if (dgram->closes)
        (void)pe_close(dgram->io.task.fd); /* nobody is left to be told */
    drop_ref(dgram);
}

void evdgram_setcb(struct evdgram *dgram, evdgram_read_cb readcb, evdgram_event_cb eventcb,
                   void *arg) {
    if (dgram->is_freed)
        return;
    dgram->readcb = readcb;
    dgram->eventcb = eventcb;
    dgram->arg = arg;
}

static int set_reads(struct evdgram *dgram, bool reads) {
    bool before = dgram->reads;
    int err;

    if (dgram->base == NULL || dgram->is_freed)
        return pe_fail(-EINVAL);
    dgram->reads = reads;
    pe_timer_cancel(dgram->base, &dgram->read_rest);
    err = watch(dgram);
    if (err == 0)
        return 0;
    dgram->reads = before;
    return pe_fail(err);
}

int evdgram_enable(struct evdgram *dgram) {
    return set_reads(dgram, true);
}

int evdgram_disable(struct evdgram *dgram) {
    return set_reads(dgram, false);
}

void evdgram_set_queue_max(struct evdgram *dgram, size_t bytes) {
    dgram->outbox.max = bytes;
}

size_t evdgram_get_queued(const struct evdgram *dgram) {
    return dgram->outbox.bytes;
}

uint64_t evdgram_get_dropped(const struct evdgram *dgram) {
    return dgram->dropped;
}

evutil_socket_t evdgram_get_fd(const struct evdgram *dgram) {
    return dgram->io.task.fd;
}

struct event_base *evdgram_get_base(const struct evdgram *dgram) {
    return dgram->base;
}
