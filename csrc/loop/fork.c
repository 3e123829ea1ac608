/* fork.c - what a child does with the bases that it inherits.
 *
 * A forked child shares the parent's epoll set and wake descriptor: touching
 * either would disturb the parent, and closing the child's copies does not. So
 * the child first closes them all and marks each base; the first use of a base
 * there opens descriptors of its own and registers every event with them.
 *
 * Of all threads only the one that forked is in the child. A base that another one
 * was running, or freeing, was left at a call out: what that thread still had to do,
 * and what it kept in lists to find its way back, is put right there. For that reason
 * no head of a list and no cursor is on a stack.
 */
#include "loop/internal.h"

#include <errno.h>
#include <unistd.h>

#include "base/errors.h"
#include "base/sock.h"
#include "loop/fork.h"
#include "loop/selfpipe.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static struct pe_link all_bases = {&all_bases, &all_bases};

static void lock_list(void) {
    pthread_mutex_lock(&lock);
}

static void unlock_list(void) {
    pthread_mutex_unlock(&lock);
}

/* So that a fork in one thread never copies a list that another is changing. */
static void guard_fork(void) {
    pthread_atfork(lock_list, unlock_list, unlock_list);
}

void pe_bases_add(struct event_base *base) {
    base->pid = getpid();
    pthread_once(&fork_once, guard_fork);
    lock_list();
    pe_list_push_back(&all_bases, &base->all_bases);
    unlock_list();
}

void pe_bases_remove(struct event_base *base) {
    lock_list();
    pe_list_remove(&base->all_bases);
    unlock_list();
}

static void close_copies(int fds[2]) {
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            (void)pe_close(fds[i]); /* the parent has its own */
        fds[i] = -1;
    }
}

/* The thread that ran the base, or freed it, is not here. */
static void mend(struct event_base *base) {
    base->is_running = false;
    base->is_closing = false;
    base->running_event = NULL;
    base->running_pri = base->queue_count;
    base->now = 0;
    pe_list_remove(&base->watcher_marker);
    pe_flush_mend(base);
}

/* In a child: what was caught, and what other threads were doing, is the parent's. */
static void enter_child(struct event_base *base) {
    if (base->calls_left > 0) /* then the event is still there: deleting it ends the calls */
        base->running_event->io.task.state &= (uint8_t)~EVLIST_SIGNAL;
    base->calls_left = 0;
    pe_signals_mend(base);
    if ((base->is_running || base->is_closing) && !pthread_equal(base->runner, pthread_self()))
        mend(base);
    for (struct pe_extension *ext = base->extensions; ext != NULL; ext = ext->next) {
        if (ext->mend != NULL)
            ext->mend(ext->value);
    }
}

static void let_go(struct event_base *base) {
    bool has_descriptors = !base->was_forked;

    base->was_forked = true;
    base->is_waiting = false; /* nobody waits here, and a wake would go to the parent */
    if (base->pid != getpid()) /* also where the parent had not revived it */
        enter_child(base);
    base->pid = getpid();
    if (!has_descriptors)
        return;
    pe_signals_detach_fd(base);
    base->backend.ops->close(&base->backend);
    (void)pe_io_set(base, &base->wake_io, 0);
    if (base->selfpipe_fds[0] >= 0)
        (void)pe_io_set(base, &base->selfpipe_io, 0);
    close_copies(base->wake_fds);
    close_copies(base->selfpipe_fds);
}

void pe_bases_let_go_after_fork(void) {
    struct pe_link *at;

    lock_list();
    for (at = all_bases.next; at != &all_bases; at = at->next)
        let_go(pe_container(at, struct event_base, all_bases));
    unlock_list();
}

int pe_base_revive(struct event_base *base) {
    int err = base->backend.ops->open(&base->backend);

    if (err < 0)
        return err;
    base->was_forked = false;
    base->pid = getpid();
    pe_iomap_register_all(base);
    err = pe_wake_open(base);
    if (err < 0) {
        base->backend.ops->close(&base->backend);
        base->was_forked = true;
        return err;
    }
    pe_signals_attach_fd(base);
    pe_signals_deliver(base); /* caught while there was nothing to wake */
    return 0;
}

int event_reinit(struct event_base *base) {
    int err;

    if (base == NULL)
        return pe_fail(-EINVAL);
    if (base->is_waiting && base->pid == getpid())
        return pe_fail(-EBUSY); /* what would be closed is with the kernel */
    let_go(base);
    err = pe_base_revive(base);
    return err < 0 ? pe_fail(err) : 0;
}
