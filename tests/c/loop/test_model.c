/* test_model.c - random steps by the thousand, and a model that knows what fires.
 *
 * Sockets are opened, watched, written to, read empty, deleted and closed in
 * random order; their numbers are reused, and a dup may hold a closed one's
 * file, with data in it. Timers are set, moved and deleted on a clock that
 * moves between turns only; signals are raised. All of this is also done by
 * callbacks, to their own event and to others, and by other threads while the
 * loop is in its wait. The model says of each thing whether it has to fire in
 * a turn, may (it was changed during the turn), or must not.
 *
 * A story is told from a seed, which a failing test's output names. With
 * PYEVENT_STRESS_SECONDS stories are told for so long on each backend, and
 * PYEVENT_STRESS_FDS is how many descriptors they use (make stress).
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "each.h"
#include "loop/internal.h"

enum {
    PLACES_MAX = 10000,
    PLACES = 24, /* at first a backend hands out so many results at once */
    TIMERS = 40,
    SIGNALS = 4,
    STEPS = 250, /* for each place */
    STORIES = 3,
    WORKERS = 2,
    TURNS = 16 /* until the results of thousands have been handed out */
};

struct place {
    bool is_open, is_added, has_data;
    bool must_fire, may_fire; /* in the check that is going on; `may`: in this turn */
    bool has_fired;           /* in this check */
    int calls;                /* in this turn */
    int p[2];
    int copy; /* of an earlier p[0]; -1: none */
    struct event *ev;
};

struct timer {
    struct event *ev;
    bool is_added, is_changed; /* `is_changed`: set or deleted during this turn */
    int64_t deadline, interval; /* interval 0: fires once */
    int calls;                  /* in this turn */
};

struct sign {
    struct event *ev;
    int signo;
    bool is_added, is_late; /* `is_late`: raised during a turn, comes in this or the next */
    int due, calls;
};

static struct place places[PLACES_MAX];
static struct timer timers[TIMERS];
static struct sign signs[SIGNALS];
static int place_count;
static bool in_turn;
static int64_t last_deadline; /* of the timers that have fired in this turn */
static unsigned seed;
static struct event_base *base;
static int64_t fake_now;
static long steps, turns;

static int64_t fake_clock(void) {
    return fake_now;
}

static int chance(int n) {
    return rand_r(&seed) % n;
}

/* --- steps: what anybody may do at any time ----------------------------------- */

static void step(void);

static void on_place(evutil_socket_t fd, short what, void *arg) {
    struct place *x = arg;

    CHECK(x->is_open);
    CHECK(x->is_added);
    CHECK(x->has_data || x->may_fire);
    CHECK_EQ(fd, x->p[0]);
    CHECK_EQ(what, EV_READ);
    CHECK_EQ(++x->calls, 1);
    x->has_fired = true;
    if (chance(8) == 0)
        step();
}

static void drain(int fd) {
    char bytes[64];

    while (read(fd, bytes, sizeof(bytes)) > 0)
        continue;
}

static void open_place(struct place *x) {
    open_pair(x->p);
    x->ev = event_new(base, x->p[0], EV_READ | EV_PERSIST, on_place, x);
    CHECK(x->ev != NULL);
    x->is_open = true;
    x->is_added = x->has_data = false;
}

static void close_place(struct place *x) {
    event_free(x->ev);
    if (x->copy < 0 && chance(2))
        x->copy = dup(x->p[0]);
    close(x->p[0]);
    (void)!write(x->p[1], "y", 1); /* reported still, if the copy holds it */
    close(x->p[1]);
    x->is_open = false;
}

static void step_open(struct place *x) {
    switch (chance(7)) {
    case 0:
    case 1:
        CHECK_EQ(event_add(x->ev, NULL), 0);
        x->is_added = true;
        break;
    case 2:
        CHECK_EQ(event_del(x->ev), 0);
        x->is_added = false;
        break;
    case 3:
    case 4:
        send_byte(x->p[1]);
        x->has_data = true;
        break;
    case 5:
        drain(x->p[0]);
        x->has_data = false;
        break;
    default:
        if (chance(2))
            close_place(x);
    }
}

static void step_place(struct place *x) {
    if (in_turn) {
        x->must_fire = false;
        x->may_fire = true;
    }
    if (x->is_open) {
        step_open(x);
    } else if (x->copy >= 0 && chance(3) == 0) {
        close(x->copy);
        x->copy = -1;
    } else if (chance(3) == 0) {
        open_place(x);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    struct timer *t = arg;

    CHECK_EQ(fd, -1);
    CHECK_EQ(what, EV_TIMEOUT);
    CHECK(t->is_added && !t->is_changed);
    CHECK(t->deadline <= fake_now);
    CHECK(t->deadline >= last_deadline);
    last_deadline = t->deadline;
    CHECK_EQ(++t->calls, 1);
    t->is_added = t->interval != 0;
    t->deadline += t->interval;
    if (t->deadline < fake_now)
        t->deadline = fake_now + t->interval;
    if (chance(8) == 0)
        step();
}

static void step_timer(struct timer *t) {
    int us = 1 + chance(5000);

    t->is_changed = in_turn;
    if (chance(3) == 0) {
        CHECK_EQ(event_del(t->ev), 0);
        t->is_added = false;
        return;
    }
    CHECK_EQ(event_add(t->ev, US(us)), 0);
    t->is_added = true;
    t->deadline = fake_now + us * PE_NS_PER_US;
    t->interval = (event_get_events(t->ev) & EV_PERSIST) ? us * PE_NS_PER_US : 0;
}

static void on_signal_event(evutil_socket_t signo, short what, void *arg) {
    struct sign *s = arg;

    CHECK_EQ(signo, s->signo);
    CHECK_EQ(what, EV_SIGNAL);
    CHECK(s->is_added);
    CHECK(++s->calls <= s->due);
}

static void step_signal(struct sign *s) {
    if (chance(3) != 0) {
        CHECK_EQ(raise(s->signo), 0);
        for (int i = 0; i < SIGNALS; i++) {
            if (signs[i].is_added && signs[i].signo == s->signo) {
                signs[i].due++;
                signs[i].is_late |= in_turn;
            }
        }
    } else if (s->is_added) {
        CHECK_EQ(event_del(s->ev), 0); /* what is still due is lost */
        s->is_added = s->is_late = false;
        s->due = s->calls = 0;
    } else {
        CHECK_EQ(event_add(s->ev, NULL), 0);
        s->is_added = true;
    }
}

static void step(void) {
    int n = chance(16);

    steps++;
    if (n == 0)
        step_signal(&signs[chance(SIGNALS)]);
    else if (n < 5)
        step_timer(&timers[chance(TIMERS)]);
    else
        step_place(&places[chance(place_count)]);
}

/* --- turns, and what the model says of them --------------------------------------- */

static void turn_once(void) {
    for (int i = 0; i < place_count; i++) {
        places[i].calls = 0;
        places[i].may_fire = false;
    }
    for (int i = 0; i < TIMERS; i++) {
        timers[i].calls = 0;
        timers[i].is_changed = false;
    }
    last_deadline = 0;
    turns++;
    in_turn = true;
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY), 0);
    in_turn = false;
    for (int i = 0; i < TIMERS; i++) {
        const struct timer *t = &timers[i];

        CHECK(!t->is_added || t->is_changed || t->calls == 1 || t->deadline > fake_now);
    }
    CHECK(base->change_count <= base->fds_in_use);
    CHECK(base->fds_in_use <= base->change_cap);
}

static bool all_have_fired(void) {
    for (int i = 0; i < place_count; i++) {
        if (places[i].must_fire && !places[i].has_fired)
            return false;
    }
    for (int i = 0; i < SIGNALS; i++) {
        if (signs[i].calls < signs[i].due && !signs[i].is_late)
            return false;
    }
    return true;
}

static void check_turn(void) {
    bool is_whole = place_count <= PLACES; /* one turn has the results of all */

    for (int i = 0; i < SIGNALS; i++)
        signs[i].is_late = false;
    for (int i = 0; i < place_count; i++) {
        struct place *x = &places[i];

        x->must_fire = x->is_open && x->is_added && x->has_data;
        x->has_fired = false;
    }
    for (int n = 0; n < (is_whole ? 1 : TURNS); n++) {
        turn_once();
        if (all_have_fired())
            return;
    }
    harness_fail(__FILE__, __LINE__, "something has not fired");
}

/* --- other threads -------------------------------------------------------------------- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static bool workers_stop;
static int worker_steps;

static void give_up(void *arg) {
    (void)arg;
    CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
    sched_yield();
}

static void take(void *arg) {
    (void)arg;
    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
}

static void *work(void *arg) {
    bool stop = false;

    (void)arg;
    while (!stop) {
        CHECK_EQ(pthread_mutex_lock(&mutex), 0);
        stop = workers_stop;
        if (!stop && in_turn) { /* else the story has not begun */
            step();
            worker_steps++;
        }
        CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
        sched_yield();
    }
    return NULL;
}

/* --- stories ---------------------------------------------------------------------------- */

static void open_all(const char *backend) {
    fake_now = 1000 * PE_NS_PER_SEC;
    pe_clock_set_source(fake_clock);
    base = base_on(backend);
    for (int i = 0; i < place_count; i++)
        places[i] = (struct place){.copy = -1};
    for (int i = 0; i < TIMERS; i++) {
        timers[i] = (struct timer){0};
        timers[i].ev = event_new(base, -1, i % 2 ? EV_PERSIST : 0, on_timer, &timers[i]);
        CHECK(timers[i].ev != NULL);
    }
    for (int i = 0; i < SIGNALS; i++) {
        signs[i] = (struct sign){.signo = i % 2 ? SIGUSR1 : SIGUSR2};
        signs[i].ev = evsignal_new(base, signs[i].signo, on_signal_event, &signs[i]);
        CHECK(signs[i].ev != NULL);
    }
}

static void close_all(void) {
    for (int i = 0; i < place_count; i++) {
        if (places[i].is_open)
            close_place(&places[i]);
        if (places[i].copy >= 0)
            close(places[i].copy);
    }
    for (int i = 0; i < TIMERS; i++)
        event_free(timers[i].ev);
    for (int i = 0; i < SIGNALS; i++)
        event_free(signs[i].ev);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_NO_EXIT_ON_EMPTY), 0);
    CHECK_EQ(base->fds_in_use, 1); /* the wake descriptor */
    event_base_free(base);
    pe_clock_set_source(NULL);
}

static void tell(const char *backend, bool has_threads, time_t end) {
    pthread_t threads[WORKERS];

    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    open_all(backend);
    workers_stop = false;
    worker_steps = 0;
    for (int i = 0; i < WORKERS && has_threads; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, work, NULL), 0);
    if (has_threads)
        event_base_set_wait_hooks(base, give_up, take, NULL);
    for (int i = 0; i < STEPS * place_count; i++) {
        step();
        if (chance(place_count / 6) != 0)
            continue;
        /* Some turns have missed several ticks, and some come at the same time
         * as the last. The hooks are called at least every 20 ms. */
        fake_now += has_threads ? 21 * PE_NS_PER_MS : chance(3) * chance(4000) * PE_NS_PER_US;
        check_turn();
        if (end != 0 && time(NULL) >= end)
            break;
    }
    workers_stop = true;
    CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
    for (int i = 0; i < WORKERS && has_threads; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    close_all();
}

static int number_from(const char *name, int none) {
    const char *text = getenv(name);

    return text != NULL ? atoi(text) : none;
}

static void prepare(void) {
    struct rlimit limit;
    int fds = number_from("PYEVENT_STRESS_FDS", 2 * PLACES);

    place_count = fds / 2;
    CHECK(place_count >= 6 && place_count <= PLACES_MAX);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < (rlim_t)(2 * fds + 100))
        SKIP("the hard limit of open files is too low");
    limit.rlim_cur = limit.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, SIG_IGN); /* while no event waits for them */
    signal(SIGUSR2, SIG_IGN);
}

static void tell_all(const char *backend, bool has_threads) {
    int seconds = number_from("PYEVENT_STRESS_SECONDS", 0);
    time_t end = seconds > 0 ? time(NULL) + seconds : 0;
    unsigned story = 0;

    prepare();
    do {
        seed = ++story;
        printf("story %u\n", story);
        tell(backend, has_threads, end);
    } while (end != 0 ? time(NULL) < end : story < STORIES);
    if (seconds > 0)
        printf("%s: %ld steps, %ld turns\n", backend, steps, turns);
}

TEST_EACH(what_fires_is_what_a_model_expects) {
    tell_all(backend, false);
}

TEST_EACH(what_fires_is_what_a_model_expects_with_threads_that_do_the_same) {
    tell_all(backend, true);
    CHECK(worker_steps > 0);
}
