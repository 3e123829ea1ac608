/* inbox.c - receiving datagrams and errors. See inbox.h. */
#include "stream/inbox.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#ifdef __linux__
#include <netinet/in.h>
#include <time.h>

#include <linux/errqueue.h>
#endif

#include "base/mem.h"

int pe_inbox_reserve(struct pe_inbox *inbox, bool is_ip) {
    char **area = is_ip ? &inbox->ip_area : &inbox->area;

    if (*area == NULL)
        *area = pe_malloc(PE_MEM_STREAM, is_ip ? EVDGRAM_BATCH * PE_INBOX_IP_SLOT : PE_INBOX_AREA);
    return *area != NULL ? 0 : -ENOMEM;
}

void pe_inbox_free(struct pe_inbox *inbox) {
    pe_free(PE_MEM_STREAM, inbox->ip_area);
    pe_free(PE_MEM_STREAM, inbox->area);
}

void pe_source_init(struct pe_source *source, int fd, bool is_ip) {
    source->fd = fd;
    source->is_ip = is_ip;
    source->slot_size = is_ip ? PE_INBOX_IP_SLOT : PE_INBOX_SLOT;
}

/* --- messages -------------------------------------------------------------------- */

#ifdef __linux__

typedef struct mmsghdr header;

/* Messages into `headers`: how many, or a negative errno. MSG_TRUNC: msg_len is the
 * length that a message had. */
static int receive_all(int fd, header *headers, int n) {
    int got = recvmmsg(fd, headers, (unsigned)n, MSG_DONTWAIT | MSG_TRUNC, NULL);

    return got < 0 ? -errno : got;
}

#else

typedef struct {
    struct msghdr msg_hdr;
    size_t msg_len;
} header;

static int receive_all(int fd, header *headers, int n) {
    int i = 0;

    for (; i < n; i++) {
        ssize_t len = recvmsg(fd, &headers[i].msg_hdr, MSG_DONTWAIT);

        if (len < 0)
            return i > 0 ? i : -errno;
        headers[i].msg_len = (size_t)len;
    }
    return i;
}

#endif

/* How many slots of the source's size there are. */
static int slots_of(const struct pe_source *source) {
    size_t n = PE_INBOX_AREA / source->slot_size;

    return n < EVDGRAM_BATCH ? (int)n : EVDGRAM_BATCH;
}

/* Messages of this length are to have room from now on, if that can be. */
static void grow_slots(struct pe_source *source, size_t len) {
    if (source->is_ip)
        return;
    do {
        if (source->slot_size == PE_INBOX_AREA)
            return;
        source->slot_size *= 2;
    } while (source->slot_size < len);
}

int pe_inbox_receive(struct pe_inbox *inbox, struct pe_source *source,
                     struct evdgram_message *messages, struct sockaddr_storage *addrs,
                     struct pe_cut *cut) {
    header headers[EVDGRAM_BATCH];
    struct iovec vecs[EVDGRAM_BATCH];
    char *area = source->is_ip ? inbox->ip_area : inbox->area;
    int slots = slots_of(source), n, kept = 0;

    cut->count = 0;
    cut->longest = 0;
    memset(headers, 0, sizeof(headers));
    for (int i = 0; i < slots; i++) {
        vecs[i].iov_base = area + (size_t)i * source->slot_size;
        vecs[i].iov_len = source->slot_size;
        headers[i].msg_hdr.msg_iov = &vecs[i];
        headers[i].msg_hdr.msg_iovlen = 1;
        headers[i].msg_hdr.msg_name = &addrs[i];
        headers[i].msg_hdr.msg_namelen = sizeof(addrs[i]);
    }
    n = receive_all(source->fd, headers, slots);
    for (int i = 0; i < n; i++) {
        if (headers[i].msg_hdr.msg_flags & MSG_TRUNC) {
            cut->count++;
            if (headers[i].msg_len > cut->longest)
                cut->longest = headers[i].msg_len;
            continue;
        }
        messages[kept].data = vecs[i].iov_base;
        messages[kept].len = headers[i].msg_len;
        messages[kept].addr = (const struct sockaddr *)&addrs[i];
        messages[kept].addrlen = (int)headers[i].msg_hdr.msg_namelen;
        kept++;
    }
    if (cut->count != 0)
        grow_slots(source, cut->longest);
    return n < 0 ? n : kept;
}

/* --- errors ---------------------------------------------------------------------- */

#ifdef __linux__

static bool is_recverr(const struct cmsghdr *cmsg) {
    return (cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_RECVERR) ||
           (cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_RECVERR);
}

/* The error that an entry of the error queue tells of; 0: a timestamp and the like. By
 * hand: musl's CMSG_NXTHDR compares signed with unsigned. */
static int error_in(const char *control, size_t size) {
    struct sock_extended_err err;
    struct cmsghdr cmsg;

    for (size_t at = 0; at + sizeof(cmsg) <= size;
         at += CMSG_SPACE((size_t)cmsg.cmsg_len - CMSG_LEN(0))) {
        memcpy(&cmsg, control + at, sizeof(cmsg));
        if (cmsg.cmsg_len < CMSG_LEN(0) || cmsg.cmsg_len > size - at)
            break;
        if (!is_recverr(&cmsg) || cmsg.cmsg_len < CMSG_LEN(sizeof(err)))
            continue;
        memcpy(&err, control + at + CMSG_LEN(0), sizeof(err));
        if (err.ee_origin <= SO_EE_ORIGIN_ICMP6)
            return (int)err.ee_errno;
    }
    return 0;
}

/* Other families than IP do not have one, and take MSG_ERRQUEUE for nothing. */
int pe_source_take_errors(const struct pe_source *source, int *err) {
    int n = 0;

    *err = 0;
    for (; source->is_ip && n < EVDGRAM_BATCH; n++) {
        union {
            struct cmsghdr align;
            char bytes[512];
        } control;
        struct msghdr msg;
        int found;

        memset(&msg, 0, sizeof(msg));
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        if (recvmsg(source->fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            break;
        found = error_in(control.bytes, (size_t)msg.msg_controllen);
        if (found != 0)
            *err = found;
    }
    return n;
}

#else

int pe_source_take_errors(const struct pe_source *source, int *err) {
    (void)source;
    *err = 0;
    return 0;
}

#endif
