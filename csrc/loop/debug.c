/* debug.c - a set of the addresses of all events that are set up.
 *
 * An open-addressing hash table with linear probing, at most half full, behind
 * a mutex, since bases in several threads share it. Events that were set up before
 * the mode was switched on are not in it, so it must be the first call: while a base
 * lives that had events, it is refused.
 */
#include "loop/debug.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/mem.h"
#include "event2/event.h"

#define DEBUG_FIRST_SIZE 256 /* a power of two */

atomic_bool pe_debug_on;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static const struct event **slots;
static size_t slot_count, used;
static atomic_int bases_with_events;

void pe_debug_count_base(int n) {
    atomic_fetch_add(&bases_with_events, n);
}

static void take_lock(void) {
    pthread_mutex_lock(&lock);
}

static void give_lock(void) {
    pthread_mutex_unlock(&lock);
}

/* So that a fork in one thread never copies a table that another is changing. */
static void guard_fork(void) {
    pthread_atfork(take_lock, give_lock, give_lock);
}

int pe_debug_enable(void) {
    if (pe_debug_is_on())
        return 0;
    if (atomic_load(&bases_with_events) != 0)
        return -EBUSY; /* their events would be taken for none */
    pthread_once(&fork_once, guard_fork);
    atomic_store(&pe_debug_on, true);
    return 0;
}

void event_enable_debug_mode(void) {
    if (pe_debug_enable() < 0)
        pe_log_error("event_enable_debug_mode: there are events already; it stays off");
}

static size_t place_of(const struct event *ev, size_t count) {
    return (size_t)(((uint64_t)(uintptr_t)ev * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (count - 1);
}

/* Where `ev` is, or the free slot where it would be. */
static size_t find(const struct event *const *table, size_t count, const struct event *ev) {
    size_t i = place_of(ev, count);

    while (table[i] != NULL && table[i] != ev)
        i = (i + 1) & (count - 1);
    return i;
}

static int grow(void) {
    size_t count = slot_count ? slot_count * 2 : DEBUG_FIRST_SIZE;
    const struct event **more;

    if ((used + 1) * 2 <= slot_count)
        return 0;
    more = pe_calloc(PE_MEM_OTHER, count, sizeof(*more));
    if (more == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < slot_count; i++) {
        if (slots[i] != NULL)
            more[find(more, count, slots[i])] = slots[i];
    }
    pe_free(PE_MEM_OTHER, slots);
    slots = more;
    slot_count = count;
    return 0;
}

int pe_debug_assigned(const struct event *ev) {
    int err;

    pthread_mutex_lock(&lock);
    err = grow();
    if (err == 0) {
        size_t i = find(slots, slot_count, ev);

        used += slots[i] == NULL;
        slots[i] = ev;
    }
    pthread_mutex_unlock(&lock);
    return err;
}

/* Later members of the run move up into the gap, so that none is cut off. */
static void remove_at(size_t gap) {
    size_t mask = slot_count - 1;

    slots[gap] = NULL;
    used--;
    for (size_t i = (gap + 1) & mask; slots[i] != NULL; i = (i + 1) & mask) {
        const struct event *ev = slots[i];

        slots[i] = NULL;
        slots[find(slots, slot_count, ev)] = ev;
    }
}

void pe_debug_unassigned(const struct event *ev) {
    pthread_mutex_lock(&lock);
    if (slot_count != 0) {
        size_t i = find(slots, slot_count, ev);

        if (slots[i] != NULL)
            remove_at(i);
    }
    pthread_mutex_unlock(&lock);
}

void event_debug_unassign(struct event *ev) {
    if (pe_debug_is_on())
        pe_debug_unassigned(ev);
}

bool pe_debug_knows(const struct event *ev) {
    bool is_there;

    pthread_mutex_lock(&lock);
    is_there = slot_count != 0 && slots[find(slots, slot_count, ev)] != NULL;
    pthread_mutex_unlock(&lock);
    return is_there;
}

bool pe_debug_check_known(const struct event *ev, const char *function) {
    if (pe_debug_knows(ev))
        return true;
    pe_log_error("%s: %p is no event: never set up, or freed", function, (const void *)ev);
    return false;
}

void pe_debug_shutdown(void) {
    pthread_mutex_lock(&lock);
    pe_free(PE_MEM_OTHER, slots);
    slots = NULL;
    slot_count = used = 0;
    pthread_mutex_unlock(&lock);
    atomic_store(&pe_debug_on, false);
}
