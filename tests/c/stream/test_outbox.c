/* test_outbox.c - messages that wait: order, room, receivers that rest. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/mem.h"
#include "harness.h"
#include "stream/outbox.h"

#define MS INT64_C(1000000)

static struct sockaddr_un address(const char *name) {
    struct sockaddr_un un;

    memset(&un, 0, sizeof(un));
    un.sun_family = AF_UNIX;
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "/%s", name);
    return un;
}

static int add(struct pe_outbox *box, const char *name, const char *text) {
    struct sockaddr_un un = address(name);

    return pe_outbox_add(box, text, strlen(text), (struct sockaddr *)&un, sizeof(un));
}

/* Take what is ready, as one word. */
static const char *take_all(struct pe_outbox *box) {
    static char text[200];
    struct pe_message *message;
    size_t n = 0;

    while ((message = pe_outbox_first(box)) != NULL) {
        memcpy(text + n, message->data, message->len);
        n += message->len;
        pe_outbox_pop(box);
    }
    text[n] = '\0';
    return text;
}

static size_t rest(struct pe_outbox *box, int64_t now) {
    size_t taken;
    size_t dropped = pe_outbox_rest(box, now, &taken);

    CHECK(taken >= 1);
    return dropped;
}

TEST(messages_go_in_their_order) {
    struct pe_outbox box;

    pe_outbox_init(&box, 1000);
    CHECK_EQ(add(&box, "a", "1"), 1);
    CHECK_EQ(add(&box, "b", "2"), 1);
    CHECK_EQ(pe_outbox_add(&box, "3", 1, NULL, 0), 1);
    CHECK_EQ(box.addressed, 2);
    CHECK_EQ(box.bytes, 3);
    CHECK_STR(take_all(&box), "123");
    CHECK_EQ(box.bytes, 0);
    CHECK_EQ(box.count, 0);
    CHECK_EQ(box.addressed, 0);
    CHECK_EQ(pe_outbox_due(&box), -1);
    pe_outbox_clear(&box);
}

TEST(a_resting_receiver_keeps_its_own_messages_and_no_others) {
    struct pe_outbox box;

    pe_outbox_init(&box, 1000);
    (void)add(&box, "a", "1");
    (void)add(&box, "b", "x");
    (void)add(&box, "a", "2");
    CHECK_EQ(rest(&box, 0), 0);
    CHECK_EQ(box.held_count, 2);
    CHECK_EQ(add(&box, "a", "3"), 0);
    CHECK_EQ(add(&box, "b", "y"), 1);
    CHECK_STR(take_all(&box), "xy");
    CHECK_EQ(pe_outbox_due(&box), MS);
    pe_outbox_wake(&box, MS - 1);
    CHECK(pe_outbox_first(&box) == NULL);
    pe_outbox_wake(&box, MS);
    CHECK_EQ(add(&box, "a", "4"), 0); /* behind what is tried first */
    CHECK_EQ(pe_outbox_due(&box), -1);
    CHECK_STR(take_all(&box), "1234");
    CHECK_EQ(box.held_count, 0);
    CHECK_EQ(box.held_bytes, 0);
    CHECK_EQ(add(&box, "a", "5"), 1); /* it rests no more */
    pe_outbox_clear(&box);
}

TEST(rests_double_up_to_a_tenth_of_a_second_until_something_goes) {
    struct pe_outbox box;
    int64_t now = 0, expected = MS;

    pe_outbox_init(&box, 1000);
    (void)add(&box, "a", "1");
    (void)add(&box, "a", "2");
    for (int i = 0; i < 10; i++) {
        (void)rest(&box, now);
        CHECK_EQ(pe_outbox_due(&box) - now, expected);
        now = pe_outbox_due(&box);
        pe_outbox_wake(&box, now);
        expected = expected * 2 < 100 * MS ? expected * 2 : 100 * MS;
    }
    CHECK_EQ(expected, 100 * MS);
    pe_outbox_pop(&box); /* the first has gone */
    (void)rest(&box, now);
    CHECK_EQ(pe_outbox_due(&box) - now, MS);
    pe_outbox_clear(&box);
}

TEST(resting_receivers_may_have_half_of_the_room) {
    struct pe_outbox box;
    char name[2] = "a", big[60];

    memset(big, 'x', sizeof(big));
    pe_outbox_init(&box, 100);
    CHECK_EQ(pe_outbox_add(&box, big, 60, NULL, 0), 1);
    CHECK_EQ(pe_outbox_add(&box, big, 41, NULL, 0), -ENOBUFS);
    CHECK_EQ(pe_outbox_add(&box, big, 40, NULL, 0), 1);
    CHECK_EQ(rest(&box, 0), 1); /* the first one always has room, the second not */
    CHECK_EQ(box.bytes, 60);
    CHECK_EQ(pe_outbox_add(&box, big, 1, NULL, 0), -ENOBUFS);
    CHECK_EQ(add(&box, "a", "for another"), 1);
    CHECK_EQ(rest(&box, 0), 1); /* which does not take it */
    CHECK(pe_outbox_first(&box) == NULL);
    CHECK_EQ(box.count, 1);
    pe_outbox_clear(&box);
    for (int i = 0; i < 5; i++, name[0]++) /* empty ones have a size too */
        CHECK_EQ(add(&box, name, ""), 1);
    while (pe_outbox_first(&box) != NULL)
        (void)rest(&box, 0);
    CHECK_EQ(box.held_count, 4);
    pe_outbox_clear(&box);
}

TEST(too_many_resting_receivers_lose_their_messages) {
    struct pe_outbox box;
    char name[20];
    size_t dropped = 0;

    pe_outbox_init(&box, 1 << 20);
    for (int i = 0; i < 1100; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        CHECK_EQ(add(&box, name, "x"), 1);
    }
    while (pe_outbox_first(&box) != NULL)
        dropped += rest(&box, 0);
    CHECK_EQ(dropped, 1100 - 1024);
    CHECK_EQ(box.count, 1024);
    pe_outbox_wake(&box, MS);
    for (int i = 0; i < 1024; i++)
        pe_outbox_pop(&box);
    CHECK_EQ(box.receiver_count, 0);
    pe_outbox_clear(&box);
}

TEST(without_memory_nothing_leaks) {
    struct pe_outbox box;

    pe_outbox_init(&box, 1000);
    pe_mem_fail_nth(1);
    CHECK_EQ(add(&box, "a", "1"), -ENOMEM);
    CHECK_EQ(box.count, 0);
    CHECK_EQ(add(&box, "a", "1"), 1);
    pe_mem_fail_nth(1);
    CHECK_EQ(rest(&box, 0), 1); /* dropped */
    CHECK_EQ(box.count, 0);
    CHECK_EQ(box.receiver_count, 0);
    pe_mem_fail_nth(0);
}
