/* perbase.c - what the streams of one event base share. */
#include "stream/perbase.h"

#include "base/mem.h"
#include "buf/pool.h"
#include "loop/base.h"

static const char perbase_key; /* its address is the key */

static void orphan_all(struct pe_link *list, void (*orphan)(struct pe_link *)) {
    struct pe_link *link;

    while ((link = pe_list_pop_front(list)) != NULL)
        orphan(link);
}

static void destroy(void *value) {
    struct pe_perbase *pb = value;

    orphan_all(&pb->bufferevents, pe_bev_orphan);
    orphan_all(&pb->listeners, pe_listener_orphan);
    orphan_all(&pb->deferrals, pe_deferral_orphan);
    orphan_all(&pb->groups, pe_rate_group_orphan); /* after their members */
    pe_pool_close(pb->pool);
    pe_free(PE_MEM_STREAM, pb);
}

static void mend_all(struct pe_link *list, void (*mend_one)(struct pe_link *)) {
    for (struct pe_link *at = list->next; at != list; at = at->next)
        mend_one(at);
}

static void mend(void *value) {
    struct pe_perbase *pb = value;

    pb->accepted_addr = NULL; /* on a stack that may not be there */
    mend_all(&pb->bufferevents, pe_bev_mend);
    mend_all(&pb->groups, pe_rate_group_mend);
}

struct pe_perbase *pe_perbase_of(struct event_base *base) {
    struct pe_perbase *pb = pe_base_extension(base, &perbase_key);

    if (pb != NULL)
        return pb;
    pb = pe_calloc(PE_MEM_STREAM, 1, sizeof(*pb));
    if (pb == NULL)
        return NULL;
    pe_list_init(&pb->bufferevents);
    pe_list_init(&pb->listeners);
    pe_list_init(&pb->deferrals);
    pe_list_init(&pb->groups);
    pb->pool = pe_pool_new();
    if (pb->pool == NULL)
        goto free_perbase;
    if (pe_base_set_extension(base, &perbase_key, pb, destroy) < 0)
        goto close_pool;
    pe_base_mend_extension(base, &perbase_key, mend);
    return pb;
close_pool:
    pe_pool_close(pb->pool);
free_perbase:
    pe_free(PE_MEM_STREAM, pb);
    return NULL;
}
