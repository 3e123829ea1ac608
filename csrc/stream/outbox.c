/* outbox.c - messages that wait to be sent. See outbox.h. */
#include "stream/outbox.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

#define COUNT_SHARE 16    /* bytes of the room that a message takes at least: empty ones do, too */
#define RECEIVERS_MAX 1024 /* that rest; messages for more of them are dropped */

struct pe_receiver {
    struct pe_link link;
    struct pe_link messages; /* oldest first */
    int64_t rest_ns, due_ns;
    uint32_t hash;
    bool is_probed; /* its first message is in `ready` */
    socklen_t addrlen;
    struct sockaddr_storage addr;
};

static struct pe_message *message_of(struct pe_link *link) {
    return pe_container(link, struct pe_message, link);
}

static struct pe_receiver *receiver_of(struct pe_link *link) {
    return pe_container(link, struct pe_receiver, link);
}

void pe_outbox_init(struct pe_outbox *box, size_t max) {
    memset(box, 0, sizeof(*box));
    pe_list_init(&box->ready);
    pe_list_init(&box->receivers);
    box->max = max;
}

static void free_messages(struct pe_link *list) {
    struct pe_link *link;

    while ((link = pe_list_pop_front(list)) != NULL)
        pe_free(PE_MEM_STREAM, message_of(link));
}

static void free_receiver(struct pe_outbox *box, struct pe_receiver *receiver) {
    pe_list_remove(&receiver->link);
    box->receiver_count--;
    pe_free(PE_MEM_STREAM, receiver);
}

void pe_outbox_clear(struct pe_outbox *box) {
    free_messages(&box->ready);
    while (!pe_list_empty(&box->receivers)) {
        free_messages(&receiver_of(box->receivers.next)->messages);
        free_receiver(box, receiver_of(box->receivers.next));
    }
    pe_outbox_init(box, box->max);
}

/* --- receivers ------------------------------------------------------------------ */

/* FNV-1a. */
static uint32_t hash_of(const void *addr, socklen_t len) {
    const unsigned char *bytes = addr;
    uint32_t hash = 2166136261u;

    for (socklen_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return hash;
}

static bool is_for(const struct pe_message *message, const struct pe_receiver *receiver) {
    return message->addrlen == receiver->addrlen &&
           memcmp(&message->addr, &receiver->addr, receiver->addrlen) == 0;
}

/* That of an address, if it rests or is tried again. */
static struct pe_receiver *find(const struct pe_outbox *box, const void *addr, socklen_t len) {
    uint32_t hash = pe_list_empty(&box->receivers) ? 0 : hash_of(addr, len);

    for (struct pe_link *at = box->receivers.next; at != &box->receivers; at = at->next) {
        struct pe_receiver *receiver = receiver_of(at);

        if (receiver->hash == hash && receiver->addrlen == len &&
            (len == 0 || memcmp(&receiver->addr, addr, len) == 0))
            return receiver;
    }
    return NULL;
}

/* One that rests, for a message whose receiver does not yet; NULL: no room, or no memory. */
static struct pe_receiver *receiver_new(struct pe_outbox *box, const struct pe_message *message) {
    struct pe_receiver *receiver = NULL;

    if (box->receiver_count < RECEIVERS_MAX)
        receiver = pe_calloc(PE_MEM_STREAM, 1, sizeof(*receiver));
    if (receiver == NULL)
        return NULL;
    pe_list_init(&receiver->messages);
    receiver->addrlen = message->addrlen;
    memcpy(&receiver->addr, &message->addr, message->addrlen);
    receiver->hash = hash_of(&message->addr, message->addrlen);
    pe_list_push_back(&box->receivers, &receiver->link);
    box->receiver_count++;
    return receiver;
}

/* --- messages --------------------------------------------------------------------- */

static bool fits(size_t len, size_t bytes, size_t count, size_t max) {
    return len <= max && bytes <= max - len && count <= max / COUNT_SHARE;
}

/* Whether a resting receiver may hold one more; a first one always finds room. */
static bool may_be_held(const struct pe_outbox *box, size_t len) {
    return box->held_count == 0 || fits(len, box->held_bytes, box->held_count, box->max / 2);
}

static void make_ready(struct pe_outbox *box, struct pe_message *message) {
    pe_list_push_back(&box->ready, &message->link);
    box->addressed += message->addrlen != 0;
}

static void take_from_ready(struct pe_outbox *box, struct pe_message *message) {
    pe_list_remove(&message->link);
    box->addressed -= message->addrlen != 0;
}

static void hold(struct pe_outbox *box, struct pe_receiver *receiver, struct pe_message *message) {
    pe_list_push_back(&receiver->messages, &message->link);
    box->held_bytes += message->len;
    box->held_count++;
}

static void unhold(struct pe_outbox *box, struct pe_message *message) {
    pe_list_remove(&message->link);
    box->held_bytes -= message->len;
    box->held_count--;
}

static void discard(struct pe_outbox *box, struct pe_message *message) {
    box->bytes -= message->len;
    box->count--;
    pe_free(PE_MEM_STREAM, message);
}

int pe_outbox_add(struct pe_outbox *box, const void *data, size_t len,
                  const struct sockaddr *addr, socklen_t addrlen) {
    struct pe_receiver *receiver = find(box, addr, addrlen);
    struct pe_message *message;

    if (!fits(len, box->bytes, box->count, box->max) ||
        (receiver != NULL && !may_be_held(box, len)))
        return -ENOBUFS;
    message = pe_malloc(PE_MEM_STREAM, sizeof(*message) + len);
    if (message == NULL)
        return -ENOMEM;
    message->probes = NULL;
    message->len = len;
    message->addrlen = addrlen;
    message->was_retried = false;
    if (addrlen != 0)
        memcpy(&message->addr, addr, addrlen);
    if (len != 0)
        memcpy(message->data, data, len);
    box->bytes += len;
    box->count++;
    pe_list_init(&message->link);
    if (receiver != NULL)
        hold(box, receiver, message);
    else
        make_ready(box, message);
    return receiver == NULL;
}

struct pe_message *pe_outbox_first(const struct pe_outbox *box) {
    return pe_list_empty(&box->ready) ? NULL : message_of(box->ready.next);
}

/* It takes messages again: all of them are ready. */
static void release(struct pe_outbox *box, struct pe_receiver *receiver) {
    while (!pe_list_empty(&receiver->messages)) {
        struct pe_message *message = message_of(receiver->messages.next);

        unhold(box, message);
        make_ready(box, message);
    }
    free_receiver(box, receiver);
}

void pe_outbox_pop(struct pe_outbox *box) {
    struct pe_message *message = pe_outbox_first(box);

    take_from_ready(box, message);
    if (message->probes != NULL)
        release(box, message->probes);
    discard(box, message);
}

/* --- resting ------------------------------------------------------------------------ */

/* The first message of `ready` was the trial of one that rests: back to the others. */
static void put_back(struct pe_outbox *box, struct pe_message *message) {
    struct pe_receiver *receiver = message->probes;

    take_from_ready(box, message);
    message->probes = NULL;
    receiver->is_probed = false;
    pe_list_push_front(&receiver->messages, &message->link);
    box->held_bytes += message->len;
    box->held_count++;
}

/* All messages for `receiver` go from `ready` to it: how many of them found no room. */
static size_t collect(struct pe_outbox *box, struct pe_receiver *receiver, size_t *taken) {
    struct pe_link *next;
    size_t dropped = 0;

    for (struct pe_link *at = box->ready.next; at != &box->ready; at = next) {
        struct pe_message *message = message_of(at);

        next = at->next;
        if (!is_for(message, receiver))
            continue;
        ++*taken;
        take_from_ready(box, message);
        if (may_be_held(box, message->len)) {
            hold(box, receiver, message);
        } else {
            discard(box, message);
            dropped++;
        }
    }
    return dropped;
}

size_t pe_outbox_rest(struct pe_outbox *box, int64_t now, size_t *taken) {
    struct pe_message *message = pe_outbox_first(box);
    struct pe_receiver *receiver = message->probes;
    size_t dropped = 0;

    *taken = 0;
    if (receiver != NULL) {
        put_back(box, message);
        *taken = 1;
    } else {
        receiver = receiver_new(box, message);
        if (receiver == NULL) {
            pe_outbox_pop(box);
            *taken = 1;
            return 1;
        }
        dropped = collect(box, receiver, taken);
    }
    receiver->rest_ns = receiver->rest_ns == 0 ? PE_OUTBOX_REST_MIN_NS : receiver->rest_ns * 2;
    if (receiver->rest_ns > PE_OUTBOX_REST_MAX_NS)
        receiver->rest_ns = PE_OUTBOX_REST_MAX_NS;
    receiver->due_ns = now + receiver->rest_ns;
    if (pe_list_empty(&receiver->messages)) /* none found room */
        free_receiver(box, receiver);
    return dropped;
}

void pe_outbox_wake(struct pe_outbox *box, int64_t now) {
    for (struct pe_link *at = box->receivers.next; at != &box->receivers; at = at->next) {
        struct pe_receiver *receiver = receiver_of(at);
        struct pe_message *message;

        if (receiver->is_probed || receiver->due_ns > now)
            continue;
        message = message_of(receiver->messages.next);
        unhold(box, message);
        make_ready(box, message);
        message->probes = receiver;
        receiver->is_probed = true;
    }
}

int64_t pe_outbox_due(const struct pe_outbox *box) {
    int64_t due = -1;

    for (struct pe_link *at = box->receivers.next; at != &box->receivers; at = at->next) {
        const struct pe_receiver *receiver = receiver_of(at);

        if (!receiver->is_probed && (due < 0 || receiver->due_ns < due))
            due = receiver->due_ns;
    }
    return due;
}
