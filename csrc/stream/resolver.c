/* resolver.c - the resolver that is set, and the pool of threads.
 *
 *     loop of base A --job--> [ queued ] --> up to 4 threads, getaddrinfo(3)
 *          ^                                        |
 *          +-- eventfd of A's outbox <-- [ done ] <-+
 *
 * getaddrinfo(3) blocks, cannot be interrupted, and reads files and modules of
 * which only libc knows; so it runs in threads, of which a process has at most
 * LOOKUP_THREADS however many bases it has. One that has had nothing to do for
 * IDLE_SECONDS ends.
 *
 * One mutex guards the queue, the outboxes and what a job says of its state. It
 * is held for a few lines only, never during a lookup or a call out, so nobody
 * waits for a slow name server. It is the only lock that the core takes while
 * it works.
 *
 * A job belongs to the pool. Cancelling cuts it off from its lookup; when its
 * thread comes back with it, it goes. The same happens to all jobs of a base that is
 * freed. Memory and descriptors of a base's outbox are made with its first lookup.
 *
 * Fork: the child has the job lists and none of the threads. There, jobs that were
 * being looked up are queued again, and every outbox gets an eventfd of its own
 * under the old number; the first turn of the child's loop then starts threads.
 */
#include "stream/resolver.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

#include "base/list.h"
#include "base/mem.h"
#include "base/sock.h"
#include "loop/base.h"

#define LOOKUP_THREADS 4
#define IDLE_SECONDS 5

/* Where the threads put what is done for one base. */
struct outbox {
    struct pe_link link; /* in pool.outboxes */
    struct event_base *base;
    const struct pe_resolver *resolver; /* of this base; NULL: the process's */
    struct pe_link done;                /* of jobs */
    struct pe_io io;
    int fds[2]; /* an eventfd and -1, or a pipe; [0] is read; -1: not open yet */
};

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE };

struct job {
    struct pe_link link; /* in pool.queued, pool.running or outbox->done */
    struct outbox *box;  /* NULL: cancelled */
    struct pe_lookup *lookup;
    enum job_state state;
    int err;
    struct evutil_addrinfo hints;
    struct evutil_addrinfo *list;
    const char *service; /* in `text`, behind the host */
    char text[];
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct pe_link queued, running;
    struct pe_link outboxes;
    int threads;
    int queue_length, busy; /* of the two lists */
    int jobs;               /* in all */
    int max;                /* of jobs; 0: any number */
} pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .more = PTHREAD_COND_INITIALIZER,
    .queued = {&pool.queued, &pool.queued},
    .running = {&pool.running, &pool.running},
    .outboxes = {&pool.outboxes, &pool.outboxes},
};

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static const struct pe_resolver *process_resolver;
static const char outbox_key; /* its address is the key */

static void lock_pool(void) {
    pthread_mutex_lock(&pool.lock);
}

static void unlock_pool(void) {
    pthread_mutex_unlock(&pool.lock);
}

/* --- jobs; the lock is held ------------------------------------------------- */

/* Out of its list, into the one for its new state. */
static void move_job(struct job *job, enum job_state state, struct pe_link *list) {
    pool.queue_length -= job->state == JOB_QUEUED;
    pool.busy -= job->state == JOB_RUNNING;
    job->state = state;
    pool.queue_length += state == JOB_QUEUED;
    pool.busy += state == JOB_RUNNING;
    pe_list_remove(&job->link);
    if (list != NULL)
        pe_list_push_back(list, &job->link);
}

static void free_job(struct job *job) {
    move_job(job, JOB_DONE, NULL);
    evutil_freeaddrinfo(job->list);
    pe_free(PE_MEM_STREAM, job);
    pool.jobs--;
}

/* Nobody wants it any more. */
static void abandon(struct job *job) {
    job->box = NULL;
    job->lookup = NULL;
    if (job->state != JOB_RUNNING)
        free_job(job); /* else its thread does */
}

static void ring(const struct outbox *box) {
    uint64_t one = 1;
    int fd = box->fds[1] >= 0 ? box->fds[1] : box->fds[0];

    while (fd >= 0 && write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue; /* EAGAIN: it is readable already */
}

static void hand_in(struct job *job) {
    if (job->box == NULL) {
        free_job(job);
        return;
    }
    move_job(job, JOB_DONE, &job->box->done);
    ring(job->box);
}

/* --- the threads ------------------------------------------------------------- */

/* Wait for a job; NULL: none came for a while. The lock is held on both sides. */
static struct job *next_job(void) {
    struct timespec until;
    int err = 0;

    /* By the wall clock, which every system's condition variables know: when it is
     * set, a thread lives somewhat longer or shorter. */
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += IDLE_SECONDS;
    while (pe_list_empty(&pool.queued) && err == 0)
        err = pthread_cond_timedwait(&pool.more, &pool.lock, &until);
    return pe_list_empty(&pool.queued)
               ? NULL
               : pe_container(pool.queued.next, struct job, link);
}

static void *serve(void *arg) {
    struct job *job;

    (void)arg;
    lock_pool();
    while ((job = next_job()) != NULL) {
        int err;

        move_job(job, JOB_RUNNING, &pool.running);
        unlock_pool();
        err = evutil_getaddrinfo(job->text, job->service, &job->hints, &job->list);
        lock_pool();
        job->err = err;
        if (err != 0)
            job->list = NULL;
        hand_in(job);
    }
    pool.threads--;
    unlock_pool();
    return NULL;
}

/* A detached thread that takes no signals: those are for the program's own. */
static int hire(void) {
    sigset_t all, before;
    pthread_attr_t attr;
    pthread_t thread;
    int err = pthread_attr_init(&attr);

    if (err != 0)
        return -err;
    sigfillset(&all);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&thread, &attr, serve, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    return -err;
}

/* As many threads as there are jobs, within the limit. The lock is held. 0, or a
 * negative errno when there is no thread at all. */
static int staff(void) {
    int err = 0;

    while (err == 0 && pool.queue_length > pool.threads - pool.busy &&
           pool.threads < LOOKUP_THREADS) {
        err = hire();
        if (err == 0)
            pool.threads++;
    }
    return pool.threads > 0 ? 0 : err;
}

/* --- fork -------------------------------------------------------------------- */

static int open_bell(int fds[2]) {
#ifdef __linux__
    fds[1] = -1;
    fds[0] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return fds[0] < 0 ? -errno : 0;
#else
    return pe_pipe(fds);
#endif
}

/* Put something else behind the number `fd`: the file that it has is the parent's
 * too. */
static void replace_copy(int fd, int fresh) {
    if (fd < 0)
        return;
    if (fresh < 0 || dup2(fresh, fd) < 0) {
        (void)pe_close(fd); /* lookups of this base are not heard of again */
        return;
    }
    (void)pe_sock_cloexec(fd);
}

static void renew_bell(struct outbox *box) {
    int fresh[2] = {-1, -1};

    if (open_bell(fresh) < 0)
        fresh[0] = fresh[1] = -1;
    for (int i = 0; i < 2; i++) {
        replace_copy(box->fds[i], fresh[i]);
        if (fresh[i] >= 0)
            (void)pe_close(fresh[i]);
    }
    ring(box); /* so that the loop looks whether there are threads */
}

static void start_anew_in_child(void) {
    struct pe_link *link;

    pool.threads = 0;
    (void)pthread_cond_init(&pool.more, NULL); /* nobody of the parent's waits here */
    while (!pe_list_empty(&pool.running)) {
        struct job *job = pe_container(pool.running.next, struct job, link);

        if (job->box == NULL)
            free_job(job);
        else
            move_job(job, JOB_QUEUED, &pool.queued);
    }
    for (link = pool.outboxes.next; link != &pool.outboxes; link = link->next)
        renew_bell(pe_container(link, struct outbox, link));
    unlock_pool();
}

static void guard_fork(void) {
    pthread_atfork(lock_pool, unlock_pool, start_anew_in_child);
}

/* --- outboxes ---------------------------------------------------------------- */

static struct job *take_done(struct outbox *box) {
    struct job *job = NULL;

    lock_pool();
    if (!pe_list_empty(&box->done)) {
        job = pe_container(box->done.next, struct job, link);
        pe_list_remove(&job->link);
        job->box = NULL;
    }
    (void)staff(); /* in a forked child; whether it goes well shows with the next start */
    unlock_pool();
    return job;
}

static void empty_outbox(struct event_base *base, struct pe_task *task) {
    struct outbox *box = pe_container(task, struct outbox, io.task);
    struct job *job;
    char bytes[64];

    (void)base;
    while (read(box->fds[0], bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes))
        continue; /* a pipe may hold more; an eventfd never does */
    while ((job = take_done(box)) != NULL) {
        struct pe_lookup *lookup = job->lookup;

        job->lookup = NULL;
        lookup->state = NULL;
        pe_lookup_finish(lookup, job->err, job->list);
        lock_pool();
        free_job(job);
        unlock_pool();
    }
}

static void close_bell(struct outbox *box) {
    for (int i = 0; i < 2; i++)
        if (box->fds[i] >= 0)
            (void)pe_close(box->fds[i]); /* nothing was written that could be lost */
    box->fds[0] = box->fds[1] = -1;
}

static void abandon_all(struct pe_link *jobs, const struct outbox *box) {
    struct pe_link *at = jobs->next;

    while (at != jobs) {
        struct job *job = pe_container(at, struct job, link);

        at = at->next;
        if (job->box != box)
            continue;
        if (job->lookup != NULL) {
            job->lookup->state = NULL;
            job->lookup->resolver = NULL;
        }
        abandon(job);
    }
}

/* The base is being freed; it has dropped its watchers. */
static void destroy_outbox(void *value) {
    struct outbox *box = value;

    lock_pool();
    abandon_all(&pool.queued, box);
    abandon_all(&pool.running, box);
    abandon_all(&box->done, box);
    pe_list_remove(&box->link);
    unlock_pool();
    close_bell(box);
    pe_free(PE_MEM_STREAM, box);
}

static struct outbox *outbox_of(struct event_base *base) {
    struct outbox *box = pe_base_extension(base, &outbox_key);

    if (box != NULL)
        return box;
    box = pe_calloc(PE_MEM_STREAM, 1, sizeof(*box));
    if (box == NULL)
        return NULL;
    box->base = base;
    box->fds[0] = box->fds[1] = -1;
    pe_list_init(&box->done);
    pe_list_init(&box->link);
    if (pe_base_set_extension(base, &outbox_key, box, destroy_outbox) < 0) {
        pe_free(PE_MEM_STREAM, box);
        return NULL;
    }
    return box;
}

/* Have it heard by its loop. 0 or a negative errno. */
static int open_outbox(struct outbox *box) {
    int err;

    if (box->fds[0] >= 0)
        return 0;
    pthread_once(&fork_once, guard_fork);
    err = open_bell(box->fds);
    if (err < 0) {
        box->fds[0] = box->fds[1] = -1;
        return err;
    }
    pe_io_init(&box->io, box->fds[0], empty_outbox, event_base_get_npriorities(box->base) / 2);
    box->io.task.state |= EVLIST_INTERNAL; /* it keeps no loop alive */
    err = pe_io_set(box->base, &box->io, EV_READ);
    if (err < 0) {
        close_bell(box);
        return err;
    }
    lock_pool();
    pe_list_push_back(&pool.outboxes, &box->link);
    unlock_pool();
    return 0;
}

/* --- the pool as a resolver --------------------------------------------------- */

static struct job *new_job(const struct pe_lookup *lookup) {
    size_t host = strlen(lookup->host) + 1, service = strlen(lookup->service) + 1;
    struct job *job = pe_calloc(PE_MEM_STREAM, 1, sizeof(*job) + host + service);

    if (job == NULL)
        return NULL;
    memcpy(job->text, lookup->host, host);
    memcpy(job->text + host, lookup->service, service);
    job->service = job->text + host;
    job->hints = lookup->hints;
    job->state = JOB_DONE; /* not counted anywhere yet */
    pe_list_init(&job->link);
    return job;
}

static int pool_start(const struct pe_resolver *resolver, struct pe_lookup *lookup) {
    struct outbox *box = outbox_of(lookup->base);
    struct job *job;
    int err;

    (void)resolver;
    if (box == NULL)
        return -ENOMEM;
    err = open_outbox(box);
    if (err < 0)
        return err;
    job = new_job(lookup);
    if (job == NULL)
        return -ENOMEM;
    job->box = box;
    job->lookup = lookup;
    lookup->state = job;
    lock_pool();
    err = pool.max != 0 && pool.jobs >= pool.max ? -ENOBUFS : 0;
    pool.jobs++;
    move_job(job, JOB_QUEUED, &pool.queued);
    if (err == 0)
        err = staff();
    if (err < 0) {
        lookup->state = NULL;
        free_job(job);
    } else {
        pthread_cond_signal(&pool.more);
    }
    unlock_pool();
    return err;
}

static void pool_cancel(const struct pe_resolver *resolver, struct pe_lookup *lookup) {
    struct job *job = lookup->state;

    (void)resolver;
    lookup->state = NULL;
    if (job == NULL)
        return;
    lock_pool();
    abandon(job);
    unlock_pool();
}

static const struct pe_resolver pool_resolver = {NULL, pool_start, pool_cancel};

void pe_resolver_set_max(int max) {
    lock_pool();
    pool.max = max;
    unlock_pool();
}

int pe_pool_of_lookups_threads(void) {
    int n;

    lock_pool();
    n = pool.threads;
    unlock_pool();
    return n;
}

int pe_pool_of_lookups_jobs(void) {
    int n;

    lock_pool();
    n = pool.jobs;
    unlock_pool();
    return n;
}

/* --- whichever is set ---------------------------------------------------------- */

int pe_resolver_set(struct event_base *base, const struct pe_resolver *resolver) {
    struct outbox *box;

    if (base == NULL) {
        process_resolver = resolver;
        return 0;
    }
    box = outbox_of(base);
    if (box == NULL)
        return -ENOMEM;
    box->resolver = resolver;
    return 0;
}

int pe_lookup_start(struct pe_lookup *lookup) {
    struct outbox *box = pe_base_extension(lookup->base, &outbox_key);
    int err;

    lookup->state = NULL;
    lookup->resolver = box != NULL && box->resolver != NULL ? box->resolver : process_resolver;
    if (lookup->resolver == NULL)
        lookup->resolver = &pool_resolver;
    err = lookup->resolver->start(lookup->resolver, lookup);
    if (err < 0)
        lookup->resolver = NULL;
    return err;
}

void pe_lookup_cancel(struct pe_lookup *lookup) {
    const struct pe_resolver *resolver = lookup->resolver;

    lookup->resolver = NULL;
    if (resolver != NULL)
        resolver->cancel(resolver, lookup);
}

void pe_lookup_finish(struct pe_lookup *lookup, int err, const struct evutil_addrinfo *list) {
    lookup->resolver = NULL;
    lookup->done(lookup, err, list);
}
