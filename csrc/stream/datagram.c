/* datagram.c - datagram sockets: see event2/datagram.h.
 *
 * Reading: one recvmmsg(2) per wake-up into an area that all datagram sockets of
 * a base share, EVDGRAM_BATCH slots of the largest datagram's size. Only the
 * pages that messages touch are ever real. The callback gets all of the batch
 * at once and must copy what it keeps.
 *
 * Writing: messages wait in a list, each one allocation; the flush list sends
 * them at the end of the turn with sendmmsg(2), EVDGRAM_BATCH at a time. What
 * the kernel does not take waits for EV_WRITE. An error of the first message of
 * a call is either left over from an earlier one (an ICMP answer; then the
 * message is tried again) or its own (then it is dropped).
 *
 * Elsewhere than on Linux there is a call per message.
 */
#include "event2/datagram.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>

#include "base/errors.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/sock.h"
#include "event2/bufferevent.h"
#include "loop/base.h"

#define SLOT_SIZE 65536 /* no datagram is longer */
#define COUNT_SHARE 16  /* bytes of the queue that a message takes at least: empty ones do, too */

struct shared {
    struct pe_link dgrams; /* struct evdgram.of_base */
    char *slots;           /* EVDGRAM_BATCH of SLOT_SIZE */
};

struct queued {
    struct pe_link link;
    size_t len;
    socklen_t addrlen;
    bool was_retried;
    struct sockaddr_storage addr;
    char data[];
};

struct evdgram {
    struct event_base *base; /* NULL: it was freed */
    struct shared *shared;
    struct pe_link of_base;
    evdgram_read_cb readcb;
    evdgram_event_cb eventcb;
    void *arg;
    struct pe_io io;
    struct pe_flush flush;
    struct pe_link queue; /* of struct queued, oldest first */
    size_t queued_bytes, queued_count, queue_max;
    uint64_t dropped;
    unsigned refs;
    bool reads, is_stuffed, closes, is_freed;
};

static const char shared_key; /* its address is the key */

/* --- what the sockets of a base share --------------------------------------- */

static void shared_destroy(void *value) {
    struct shared *shared = value;
    struct pe_link *link;

    while ((link = pe_list_pop_front(&shared->dgrams)) != NULL)
        pe_container(link, struct evdgram, of_base)->base = NULL;
    pe_free(PE_MEM_STREAM, shared->slots);
    pe_free(PE_MEM_STREAM, shared);
}

static struct shared *shared_of(struct event_base *base) {
    struct shared *shared = pe_base_extension(base, &shared_key);

    if (shared != NULL)
        return shared;
    shared = pe_malloc(PE_MEM_STREAM, sizeof(*shared));
    if (shared == NULL)
        return NULL;
    pe_list_init(&shared->dgrams);
    shared->slots = pe_malloc(PE_MEM_STREAM, (size_t)EVDGRAM_BATCH * SLOT_SIZE);
    if (shared->slots == NULL || pe_base_set_extension(base, &shared_key, shared,
                                                       shared_destroy) < 0) {
        pe_free(PE_MEM_STREAM, shared->slots);
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
    if (dgram->reads)
        want |= EV_READ;
    if (dgram->is_stuffed)
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

/* --- reading ------------------------------------------------------------------- */

#ifdef __linux__

/* Fill `messages`: how many, or a negative errno. */
static int receive(struct evdgram *dgram, struct evdgram_message *messages,
                   struct sockaddr_storage *addrs) {
    struct mmsghdr headers[EVDGRAM_BATCH];
    struct iovec vecs[EVDGRAM_BATCH];
    int n;

    memset(headers, 0, sizeof(headers));
    for (int i = 0; i < EVDGRAM_BATCH; i++) {
        vecs[i].iov_base = dgram->shared->slots + (size_t)i * SLOT_SIZE;
        vecs[i].iov_len = SLOT_SIZE;
        headers[i].msg_hdr.msg_iov = &vecs[i];
        headers[i].msg_hdr.msg_iovlen = 1;
        headers[i].msg_hdr.msg_name = &addrs[i];
        headers[i].msg_hdr.msg_namelen = sizeof(addrs[i]);
    }
    n = recvmmsg(dgram->io.task.fd, headers, EVDGRAM_BATCH, 0, NULL);
    if (n < 0)
        return -errno;
    for (int i = 0; i < n; i++) {
        messages[i].data = vecs[i].iov_base;
        messages[i].len = headers[i].msg_len;
        messages[i].addr = (const struct sockaddr *)&addrs[i];
        messages[i].addrlen = (int)headers[i].msg_hdr.msg_namelen;
    }
    return n;
}

#else

static int receive(struct evdgram *dgram, struct evdgram_message *messages,
                   struct sockaddr_storage *addrs) {
    int n = 0;

    for (; n < EVDGRAM_BATCH; n++) {
        char *slot = dgram->shared->slots + (size_t)n * SLOT_SIZE;
        socklen_t addrlen = sizeof(addrs[n]);
        ssize_t len = recvfrom(dgram->io.task.fd, slot, SLOT_SIZE, 0,
                               (struct sockaddr *)&addrs[n], &addrlen);

        if (len < 0)
            return n > 0 ? n : -errno;
        messages[n].data = slot;
        messages[n].len = (size_t)len;
        messages[n].addr = (const struct sockaddr *)&addrs[n];
        messages[n].addrlen = (int)addrlen;
    }
    return n;
}

#endif

static void read_batch(struct evdgram *dgram) {
    struct evdgram_message messages[EVDGRAM_BATCH];
    struct sockaddr_storage addrs[EVDGRAM_BATCH];
    int n = receive(dgram, messages, addrs);

    if (n > 0 && dgram->readcb != NULL)
        dgram->readcb(dgram, messages, n, dgram->arg);
    else if (n > 0)
        dgram->dropped += (uint64_t)n;
    else if (n < 0 && !is_not_now(-n))
        tell(dgram, BEV_EVENT_READING, -n);
}

/* --- writing ------------------------------------------------------------------- */

static struct queued *first_of(const struct evdgram *dgram) {
    return pe_container(dgram->queue.next, struct queued, link);
}

static void unqueue_first(struct evdgram *dgram) {
    struct queued *message = first_of(dgram);

    pe_list_remove(&message->link);
    dgram->queued_bytes -= message->len;
    dgram->queued_count--;
    pe_free(PE_MEM_STREAM, message);
}

#ifdef __linux__

/* Send what is first in the queue: how many messages, or a negative errno. */
static int transmit(struct evdgram *dgram) {
    struct mmsghdr headers[EVDGRAM_BATCH];
    struct iovec vecs[EVDGRAM_BATCH];
    struct pe_link *at = dgram->queue.next;
    unsigned count = 0;
    int n;

    memset(headers, 0, sizeof(headers));
    for (; at != &dgram->queue && count < EVDGRAM_BATCH; at = at->next, count++) {
        struct queued *message = pe_container(at, struct queued, link);

        vecs[count].iov_base = message->data;
        vecs[count].iov_len = message->len;
        headers[count].msg_hdr.msg_iov = &vecs[count];
        headers[count].msg_hdr.msg_iovlen = 1;
        if (message->addrlen != 0) {
            headers[count].msg_hdr.msg_name = &message->addr;
            headers[count].msg_hdr.msg_namelen = message->addrlen;
        }
    }
    n = sendmmsg(dgram->io.task.fd, headers, count, PE_MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

#else

static int transmit(struct evdgram *dgram) {
    struct queued *message = first_of(dgram);
    ssize_t n = sendto(dgram->io.task.fd, message->data, message->len, PE_MSG_NOSIGNAL,
                       message->addrlen ? (struct sockaddr *)&message->addr : NULL,
                       message->addrlen);

    return n < 0 ? -errno : 1;
}

#endif

/* What an earlier message has met on its way, told to the next call. */
static bool is_networks_error(int err) {
    return err == ECONNREFUSED || err == EHOSTUNREACH || err == ENETUNREACH || err == EHOSTDOWN ||
           err == ENETDOWN || err == ECONNRESET || err == ENOPROTOOPT || err == EPROTO;
}

/* The first message met `err`: once more with it if that may be another's. */
static void give_up_first(struct evdgram *dgram, int err) {
    struct queued *message = first_of(dgram);

    if (is_networks_error(err) && !message->was_retried) {
        message->was_retried = true;
    } else {
        unqueue_first(dgram);
        dgram->dropped++;
    }
}

static void send_queue(struct evdgram *dgram) {
    int err;

    dgram->is_stuffed = false;
    while (!dgram->is_freed && !pe_list_empty(&dgram->queue)) {
        int n = transmit(dgram);

        for (int i = 0; i < n; i++)
            unqueue_first(dgram);
        if (n >= 0 || n == -EINTR)
            continue;
        if (is_not_now(-n) || n == -ENOBUFS) {
            dgram->is_stuffed = true;
            break;
        }
        give_up_first(dgram, -n);
        tell(dgram, BEV_EVENT_WRITING, -n);
    }
    err = watch(dgram);
    if (err < 0)
        tell(dgram, BEV_EVENT_WRITING, -err);
}

static void run_flush(struct event_base *base, struct pe_flush *item) {
    struct evdgram *dgram = pe_container(item, struct evdgram, flush);

    (void)base;
    dgram->refs++;
    send_queue(dgram);
    drop_ref(dgram);
}

static void run_dgram(struct event_base *base, struct pe_task *task) {
    struct evdgram *dgram = pe_container(task, struct evdgram, io.task);
    short res = task->res;

    (void)base;
    dgram->refs++;
    if ((res & EV_READ) && dgram->reads)
        read_batch(dgram);
    if ((res & EV_WRITE) && dgram->is_stuffed && !dgram->is_freed)
        send_queue(dgram);
    drop_ref(dgram);
}

int evdgram_send(struct evdgram *dgram, const void *data, size_t len, const struct sockaddr *addr,
                 int addrlen) {
    struct queued *message;

    if (dgram->base == NULL || dgram->is_freed || addrlen < 0 ||
        (size_t)addrlen > sizeof(message->addr))
        return pe_fail(-EINVAL);
    if (len > SLOT_SIZE)
        return pe_fail(-EMSGSIZE);
    if (len > dgram->queue_max || dgram->queued_bytes > dgram->queue_max - len ||
        dgram->queued_count > dgram->queue_max / COUNT_SHARE) {
        dgram->dropped++;
        return pe_fail(-ENOBUFS);
    }
    message = pe_malloc(PE_MEM_STREAM, sizeof(*message) + len);
    if (message == NULL)
        return pe_fail(-ENOMEM);
    message->len = len;
    message->addrlen = addr != NULL ? (socklen_t)addrlen : 0;
    message->was_retried = false;
    if (addr != NULL)
        memcpy(&message->addr, addr, (size_t)addrlen);
    if (len != 0)
        memcpy(message->data, data, len);
    pe_list_push_back(&dgram->queue, &message->link);
    dgram->queued_bytes += len;
    dgram->queued_count++;
    if (!dgram->is_stuffed)
        pe_flush_add(dgram->base, &dgram->flush);
    return 0;
}

/* --- life ------------------------------------------------------------------------ */

struct evdgram *evdgram_new(struct event_base *base, evutil_socket_t fd, int options) {
    struct shared *shared = base != NULL && fd >= 0 ? shared_of(base) : NULL;
    struct evdgram *dgram;

    if (shared == NULL) {
        errno = base != NULL && fd >= 0 ? ENOMEM : EINVAL;
        return NULL;
    }
    dgram = pe_calloc(PE_MEM_STREAM, 1, sizeof(*dgram));
    if (dgram == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    dgram->base = base;
    dgram->shared = shared;
    dgram->refs = 1;
    dgram->queue_max = EVDGRAM_QUEUE_MAX;
    dgram->closes = (options & BEV_OPT_CLOSE_ON_FREE) != 0;
    pe_io_init(&dgram->io, fd, run_dgram, event_base_get_npriorities(base) / 2);
    pe_flush_init(&dgram->flush, run_flush);
    pe_list_init(&dgram->queue);
    pe_list_push_back(&shared->dgrams, &dgram->of_base);
    return dgram;
}

void evdgram_free(struct evdgram *dgram) {
    if (dgram == NULL || dgram->is_freed)
        return;
    dgram->is_freed = true;
    dgram->reads = false;
    dgram->readcb = NULL;
    dgram->eventcb = NULL;
    while (!pe_list_empty(&dgram->queue))
        unqueue_first(dgram);
    if (dgram->base != NULL) {
        (void)pe_io_set(dgram->base, &dgram->io, 0); /* taking away never fails */
        pe_task_cancel(dgram->base, &dgram->io.task);
        pe_io_forget(dgram->base, dgram->io.task.fd);
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
    dgram->queue_max = bytes;
}

size_t evdgram_get_queued(const struct evdgram *dgram) {
    return dgram->queued_bytes;
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
