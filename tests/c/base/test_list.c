/* test_list.c - the intrusive list. */
#include "harness.h"

#include "base/list.h"

struct item {
    int value;
    struct pe_link link;
};

static int first_value(struct pe_link *head) {
    return pe_container(head->next, struct item, link)->value;
}

TEST(list_keeps_order_from_both_ends) {
    struct pe_link head;
    struct item a = {1, {0}}, b = {2, {0}}, c = {3, {0}};

    pe_list_init(&head);
    CHECK(pe_list_empty(&head));
    CHECK(pe_list_pop_front(&head) == NULL);
    pe_list_push_back(&head, &b.link);
    pe_list_push_back(&head, &c.link);
    pe_list_push_front(&head, &a.link);
    for (int want = 1; want <= 3; want++) {
        CHECK_EQ(first_value(&head), want);
        CHECK(pe_list_pop_front(&head) != NULL);
    }
    CHECK(pe_list_empty(&head));
}

TEST(list_member_removed_twice_disturbs_nothing) {
    struct pe_link head;
    struct item a = {1, {0}}, b = {2, {0}};

    pe_list_init(&head);
    pe_list_push_back(&head, &a.link);
    pe_list_push_back(&head, &b.link);
    pe_list_remove(&a.link);
    CHECK(pe_list_empty(&a.link));
    pe_list_remove(&a.link);
    CHECK_EQ(first_value(&head), 2);
    CHECK(head.prev == &b.link);
}

TEST(list_splice_appends_all_and_empties_the_source) {
    struct pe_link to, from;
    struct item a = {1, {0}}, b = {2, {0}}, c = {3, {0}};

    pe_list_init(&to);
    pe_list_init(&from);
    pe_list_splice_back(&to, &from);
    CHECK(pe_list_empty(&to));
    pe_list_push_back(&to, &a.link);
    pe_list_push_back(&from, &b.link);
    pe_list_push_back(&from, &c.link);
    pe_list_splice_back(&to, &from);
    CHECK(pe_list_empty(&from));
    for (int want = 1; want <= 3; want++) {
        CHECK_EQ(first_value(&to), want);
        pe_list_pop_front(&to);
    }
}
