/* test_task.c - the active queues, what ends a loop, and the flush list. */
#include "each.h"
#include "loop/internal.h"

static char order[64];

static void note(const char *name) {
    CHECK(strlen(order) + strlen(name) < sizeof(order));
    strcat(order, name);
}

/* Each wait notes a "|", so that the order shows the turns. */
static const struct pe_backend_ops *real_ops;
static struct pe_backend_ops noting_ops;

static int noting_wait(struct pe_backend *b, int64_t timeout_ns) {
    note("|");
    return real_ops->wait(b, timeout_ns);
}

static void note_turns(struct event_base *base) {
    real_ops = base->backend.ops;
    noting_ops = *real_ops;
    noting_ops.wait = noting_wait;
    base->backend.ops = &noting_ops;
}

/* An event that notes its name and may do something. */
struct actor {
    const char *name;
    void (*act)(struct actor *);
    struct actor *other;
    struct event_base *base;
    struct event *ev;
    int fd;
};

static void on_actor(evutil_socket_t fd, short what, void *arg) {
    struct actor *a = arg;

    (void)fd;
    (void)what;
    note(a->name);
    if (a->act != NULL)
        a->act(a);
}

static void open_actor(struct actor *a, struct event_base *base, const char *name, int pri) {
    memset(a, 0, sizeof(*a));
    a->name = name;
    a->base = base;
    a->fd = -1;
    a->ev = event_new(base, -1, 0, on_actor, a);
    CHECK(a->ev != NULL);
    CHECK_EQ(event_priority_set(a->ev, pri), 0);
}

static void activate(struct actor *a) {
    event_active(a->ev, EV_TIMEOUT, 1);
}

static void act_activate_other(struct actor *a) {
    activate(a->other);
}

static void act_send(struct actor *a) {
    send_byte(a->fd);
}

static void act_break(struct actor *a) {
    CHECK_EQ(event_base_loopbreak(a->base), 0);
}

static void act_exit(struct actor *a) {
    CHECK_EQ(event_base_loopexit(a->base, NULL), 0);
}

static void act_continue(struct actor *a) {
    CHECK_EQ(event_base_loopcontinue(a->base), 0);
}

static struct event_base *base_with_priorities(const char *backend, int n) {
    struct event_base *base = base_on(backend);

    CHECK_EQ(event_base_priority_init(base, n), 0);
    order[0] = '\0';
    return base;
}

/* --- priorities -------------------------------------------------------------------- */

TEST_EACH(more_urgent_callbacks_run_first) {
    struct event_base *base = base_with_priorities(backend, 4);
    static const char *const names[] = {"0", "1", "2", "3"};
    struct actor a[4];

    for (int i = 3; i >= 0; i--) {
        open_actor(&a[i], base, names[i], i);
        activate(&a[i]);
    }
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "0123");
    for (int i = 0; i < 4; i++)
        event_free(a[i].ev);
    event_base_free(base);
}

TEST_EACH(one_level_runs_between_two_looks_at_the_kernel) {
    struct event_base *base = base_with_priorities(backend, 2);
    struct actor urgent, late, socket_actor;
    int p[2];

    open_pair(p);
    open_actor(&urgent, base, "u", 0);
    open_actor(&late, base, "l", 1);
    open_actor(&socket_actor, base, "s", 0);
    event_free(socket_actor.ev);
    socket_actor.ev = event_new(base, p[0], EV_READ, on_actor, &socket_actor);
    CHECK_EQ(event_priority_set(socket_actor.ev, 0), 0);
    CHECK_EQ(event_add(socket_actor.ev, NULL), 0);
    urgent.act = act_send;
    urgent.fd = p[1];
    activate(&urgent);
    activate(&late);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "usl"); /* the socket became ready after "u", and overtook "l" */
    event_free(urgent.ev);
    event_free(late.ev);
    event_free(socket_actor.ev);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(a_more_urgent_activation_interrupts_the_level) {
    struct event_base *base = base_with_priorities(backend, 2);
    struct actor first, second, urgent;

    open_actor(&first, base, "1", 1);
    open_actor(&second, base, "2", 1);
    open_actor(&urgent, base, "u", 0);
    first.act = act_activate_other;
    first.other = &urgent;
    activate(&first);
    activate(&second);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "1u2");
    event_free(first.ev);
    event_free(second.ev);
    event_free(urgent.ev);
    event_base_free(base);
}

TEST_EACH(what_a_callback_activates_runs_in_the_same_turn) {
    struct event_base *base = base_with_priorities(backend, 1);
    struct actor first, second;

    note_turns(base);
    open_actor(&first, base, "1", 0);
    open_actor(&second, base, "2", 0);
    first.act = act_activate_other;
    first.other = &second;
    activate(&first);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "|12");
    event_free(first.ev);
    event_free(second.ev);
    event_base_free(base);
}

TEST_EACH(priorities_are_checked) {
    struct event_base *base = base_on(backend);
    struct actor a;

    CHECK_EQ(event_base_get_npriorities(base), 1);
    CHECK_EQ(event_base_priority_init(base, 0), -1);
    CHECK_EQ(event_base_priority_init(base, -1), -1);
    CHECK_EQ(event_base_priority_init(base, EVENT_MAX_PRIORITIES), -1);
    CHECK_EQ(event_base_priority_init(base, EVENT_MAX_PRIORITIES - 1), 0);
    CHECK_EQ(event_base_priority_init(base, 5), 0);
    CHECK_EQ(event_base_get_npriorities(base), 5);
    open_actor(&a, base, "a", 4);
    CHECK_EQ(event_get_priority(a.ev), 4);
    CHECK_EQ(event_priority_set(a.ev, 5), -1);
    CHECK_EQ(event_priority_set(a.ev, -1), -1);
    activate(&a);
    CHECK_EQ(event_priority_set(a.ev, 0), -1);
    CHECK_EQ(event_base_priority_init(base, 3), -1);
    CHECK_EQ(event_base_get_npriorities(base), 5);
    CHECK_EQ(event_del(a.ev), 0);
    CHECK_EQ(event_base_priority_init(base, 3), 0); /* its priority is now beyond the last */
    order[0] = '\0';
    activate(&a);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "a");
    event_free(a.ev);
    event_base_free(base);
}

static void act_priority_init(struct actor *a) {
    CHECK_EQ(event_base_priority_init(a->base, 7), -1);
}

TEST_EACH(queues_are_not_replaced_while_one_is_run) {
    struct event_base *base = base_with_priorities(backend, 2);
    struct actor a;

    open_actor(&a, base, "a", 1);
    a.act = act_priority_init;
    activate(&a);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(event_base_get_npriorities(base), 2);
    event_free(a.ev);
    event_base_free(base);
}

/* --- ending a loop -------------------------------------------------------------------- */

struct three {
    struct event_base *base;
    struct actor a[3];
};

static void open_three(struct three *t, const char *backend, void (*first)(struct actor *)) {
    static const char *const names[] = {"1", "2", "3"};

    t->base = base_with_priorities(backend, 1);
    for (int i = 0; i < 3; i++) {
        open_actor(&t->a[i], t->base, names[i], 0);
        activate(&t->a[i]);
    }
    t->a[0].act = first;
}

static void close_three(struct three *t) {
    for (int i = 0; i < 3; i++)
        event_free(t->a[i].ev);
    event_base_free(t->base);
}

TEST_EACH(loopbreak_leaves_the_rest_active) {
    struct three t;

    open_three(&t, backend, act_break);
    CHECK_EQ(event_base_dispatch(t.base), 0);
    CHECK_STR(order, "1");
    CHECK(event_base_got_break(t.base));
    CHECK(!event_base_got_exit(t.base));
    CHECK_EQ(event_base_get_num_events(t.base, EVENT_BASE_COUNT_ACTIVE), 2);
    CHECK_EQ(event_base_dispatch(t.base), 1);
    CHECK_STR(order, "123");
    CHECK(!event_base_got_break(t.base));
    close_three(&t);
}

TEST_EACH(loopexit_lets_the_rest_run) {
    struct three t;

    open_three(&t, backend, act_exit);
    CHECK_EQ(event_base_dispatch(t.base), 0);
    CHECK_STR(order, "123");
    CHECK(event_base_got_exit(t.base));
    CHECK(!event_base_got_break(t.base));
    CHECK_EQ(event_base_dispatch(t.base), 1);
    CHECK(!event_base_got_exit(t.base));
    close_three(&t);
}

TEST_EACH(loopcontinue_looks_at_the_kernel_first) {
    struct three t;

    open_three(&t, backend, act_continue);
    note_turns(t.base);
    CHECK_EQ(event_base_dispatch(t.base), 1);
    CHECK_STR(order, "|1|23");
    close_three(&t);
}

TEST_EACH(loopbreak_before_the_loop_is_lost_and_loopexit_is_not) {
    struct event_base *base = base_on(backend);

    CHECK_EQ(event_base_loopbreak(base), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(event_base_loopexit(base, NULL), 0);
    CHECK_EQ(event_base_dispatch(base), 0);
    CHECK(event_base_got_exit(base));
    CHECK_EQ(event_base_loopexit(base, MS(5)), 0);
    CHECK_EQ(event_base_dispatch(base), 0);
    CHECK(event_base_got_exit(base));
    event_base_free(base);
}

static void act_dispatch(struct actor *a) {
    errno = 0;
    CHECK_EQ(event_base_dispatch(a->base), -1);
    CHECK_EQ(errno, EBUSY);
}

static void ignore_log(int severity, const char *msg) {
    (void)severity;
    (void)msg;
}

TEST_EACH(a_loop_inside_the_loop_is_refused_and_changes_nothing) {
    struct three t;

    event_set_log_callback(ignore_log);
    open_three(&t, backend, act_dispatch);
    CHECK_EQ(event_base_dispatch(t.base), 1);
    CHECK_STR(order, "123");
    close_three(&t);
    event_set_log_callback(NULL);
}

TEST_EACH(once_waits_and_nonblock_does_not) {
    struct event_base *base = base_with_priorities(backend, 1);
    struct actor a, far;

    open_actor(&a, base, "a", 0);
    open_actor(&far, base, "f", 0);
    CHECK_EQ(event_add(far.ev, MS(60000)), 0);
    CHECK_EQ(event_add(a.ev, MS(10)), 0);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    CHECK_STR(order, "");
    CHECK_EQ(event_base_loop(base, EVLOOP_ONCE), 0);
    CHECK_STR(order, "a");
    CHECK_EQ(event_del(far.ev), 0);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 1);
    CHECK_EQ(event_base_loop(base, EVLOOP_ONCE), 1);
    event_free(a.ev);
    event_free(far.ev);
    event_base_free(base);
}

static void act_activate_other_once(struct actor *a) {
    if (a->other != NULL)
        activate(a->other);
    a->other = NULL;
}

TEST_EACH(once_ends_when_no_callback_is_left) {
    struct event_base *base = base_with_priorities(backend, 3);
    struct actor urgent, middle, late, far;

    open_actor(&urgent, base, "u", 0);
    open_actor(&middle, base, "m", 1);
    open_actor(&late, base, "l", 2);
    open_actor(&far, base, "f", 0);
    late.act = act_activate_other_once;
    late.other = &urgent;
    activate(&late);
    activate(&middle);
    CHECK_EQ(event_base_loop(base, EVLOOP_ONCE), 0);
    CHECK_STR(order, "mlu");
    late.act = NULL;
    activate(&middle);
    activate(&late);
    note_turns(base);
    order[0] = '\0';
    CHECK_EQ(event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
    CHECK_STR(order, "|m|l");
    CHECK_EQ(event_add(far.ev, MS(60000)), 0);
    order[0] = '\0';
    CHECK_EQ(event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
    CHECK_STR(order, "|"); /* nothing was due: it looked once */
    activate(&late);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    CHECK_STR(order, "||l|"); /* looks once more after what it ran */
    event_free(far.ev);
    event_free(urgent.ev);
    event_free(middle.ev);
    event_free(late.ev);
    event_base_free(base);
}

TEST_EACH(no_exit_on_empty_stays_until_told) {
    struct event_base *base = base_with_priorities(backend, 1);
    struct actor a;

    open_actor(&a, base, "a", 0);
    a.act = act_exit;
    CHECK_EQ(event_add(a.ev, MS(5)), 0);
    CHECK_EQ(event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY), 0);
    CHECK_STR(order, "a");
    CHECK(event_base_got_exit(base));
    event_free(a.ev);
    event_base_free(base);
}

TEST_EACH(something_virtual_keeps_the_loop_going) {
    struct event_base *base = base_with_priorities(backend, 1);

    pe_base_add_virtual(base);
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_VIRTUAL), 1);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    pe_base_del_virtual(base);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 1);
    CHECK_EQ(event_base_get_max_events(base, EVENT_BASE_COUNT_VIRTUAL, 1), 1);
    event_base_free(base);
}

static int failing_wait(struct pe_backend *b, int64_t timeout_ns) {
    (void)b;
    (void)timeout_ns;
    return -EIO;
}

TEST_EACH(a_failing_wait_ends_the_loop_with_its_error) {
    struct event_base *base = base_with_priorities(backend, 1);
    struct pe_backend_ops ops = *base->backend.ops;
    const struct pe_backend_ops *real = base->backend.ops;
    struct actor a;

    event_set_log_callback(ignore_log);
    open_actor(&a, base, "a", 0);
    ops.wait = failing_wait;
    base->backend.ops = &ops;
    activate(&a);
    CHECK_EQ(event_base_dispatch(base), -1);
    CHECK_EQ(errno, EIO);
    base->backend.ops = real;
    CHECK_EQ(event_base_dispatch(base), 1); /* and it can go on afterwards */
    CHECK_STR(order, "a");
    event_free(a.ev);
    event_base_free(base);
    event_set_log_callback(NULL);
}

/* --- fairness ------------------------------------------------------------------------------ */

static void act_again(struct actor *a) {
    order[0] = '\0'; /* it runs often */
    if (a->fd >= 0)
        send_byte(a->fd); /* ready from now on, if the loop looks */
    a->fd = -1;
    activate(a);
}

TEST_EACH(an_event_that_activates_itself_does_not_lock_out_a_socket) {
    struct event_base *base = base_with_priorities(backend, 1);
    struct actor greedy, reader;
    int p[2];

    open_pair(p);
    open_actor(&greedy, base, "g", 0);
    greedy.act = act_again;
    greedy.fd = p[1];
    open_actor(&reader, base, "r", 0);
    event_free(reader.ev);
    reader.ev = event_new(base, p[0], EV_READ, on_actor, &reader);
    reader.act = act_break;
    CHECK_EQ(event_add(reader.ev, NULL), 0);
    activate(&greedy);
    CHECK_EQ(event_base_dispatch(base), 0); /* the reader ends it */
    CHECK(strchr(order, 'r') != NULL);
    event_free(greedy.ev);
    event_free(reader.ev);
    event_base_free(base);
    close_pair(p);
}

static void free_limited_base(struct actor *a, int n, struct event_base *base) {
    for (int i = 0; i < n; i++)
        event_free(a[i].ev);
    event_base_free(base);
}

TEST(a_limit_on_callbacks_holds_from_its_priority_on) {
    for (int min_priority = 0; min_priority < 2; min_priority++) {
        struct event_config *cfg = event_config_new();
        struct event_base *base;
        struct actor a[4];

        CHECK(cfg != NULL);
        CHECK_EQ(event_config_set_max_dispatch_interval(cfg, NULL, 3, min_priority), 0);
        base = event_base_new_with_config(cfg);
        event_config_free(cfg);
        CHECK(base != NULL);
        order[0] = '\0';
        for (int i = 0; i < 4; i++) {
            open_actor(&a[i], base, "x", 0);
            activate(&a[i]);
        }
        note_turns(base);
        CHECK_EQ(event_base_dispatch(base), 1);
        CHECK_STR(order, min_priority == 0 ? "|xxx|x" : "|xxxx");
        free_limited_base(a, 4, base);
    }
}

TEST(a_limit_on_time_is_looked_at_after_each_callback) {
    struct event_config *cfg = event_config_new();
    struct event_base *base;
    struct actor a[3];

    CHECK(cfg != NULL);
    CHECK_EQ(event_config_set_max_dispatch_interval(cfg, MS(0), -1, 0), 0);
    base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    CHECK(base != NULL);
    order[0] = '\0';
    for (int i = 0; i < 3; i++) {
        open_actor(&a[i], base, "x", 0);
        activate(&a[i]);
    }
    note_turns(base);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "|x|x|x");
    free_limited_base(a, 3, base);
}

/* --- later, and the flush list ---------------------------------------------------------------- */

static void run_task(struct event_base *base, struct pe_task *task) {
    (void)base;
    note(task->res & EV_WRITE ? "T" : "t");
}

TEST_EACH(a_task_for_later_runs_in_the_next_turn) {
    struct event_base *base = base_with_priorities(backend, 1);
    struct pe_task task;
    struct actor a;

    pe_task_init(&task, run_task, 0);
    open_actor(&a, base, "a", 0);
    pe_task_activate_later(base, &task, EV_READ);
    pe_task_activate_later(base, &task, EV_WRITE); /* merges */
    CHECK(pe_task_is_queued(&task));
    CHECK_EQ(event_base_priority_init(base, 2), -1);
    activate(&a);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "aT");
    pe_task_activate_later(base, &task, EV_READ);
    pe_task_cancel(base, &task);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "aT");
    event_free(a.ev);
    event_base_free(base);
}

struct flusher {
    struct pe_flush item;
    int runs;
    int again; /* so many times more */
};

static void run_flush(struct event_base *base, struct pe_flush *item) {
    struct flusher *f = pe_container(item, struct flusher, item);

    f->runs++;
    note("F");
    if (f->again > 0) {
        f->again--;
        pe_flush_add(base, item);
    }
}

TEST_EACH(the_flush_list_is_run_at_the_end_of_the_turn) {
    struct event_base *base = base_with_priorities(backend, 1);
    struct flusher f = {.again = 2};
    struct actor a;

    pe_flush_init(&f.item, run_flush);
    open_actor(&a, base, "a", 0);
    pe_flush_add(base, &f.item);
    pe_flush_add(base, &f.item);
    activate(&a);
    note_turns(base);
    CHECK_EQ(event_base_dispatch(base), 1); /* not "nothing left" while it is there */
    CHECK_STR(order, "|aF|F|F");
    pe_flush_add(base, &f.item);
    pe_flush_cancel(base, &f.item);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(f.runs, 3);
    event_free(a.ev);
    event_base_free(base);
}

/* What a stream does whose deferred write callback writes again. */
struct writer {
    struct pe_flush item;
    struct pe_task callback;
};

static void flush_writer(struct event_base *base, struct pe_flush *item) {
    note("F");
    pe_task_activate(base, &pe_container(item, struct writer, item)->callback, EV_WRITE);
}

static void call_writer(struct event_base *base, struct pe_task *task) {
    note("c");
    pe_flush_add(base, &pe_container(task, struct writer, callback)->item);
}

TEST_EACH(who_writes_in_every_write_callback_does_not_keep_once) {
    struct event_base *base = base_with_priorities(backend, 1);
    struct writer w;

    pe_flush_init(&w.item, flush_writer);
    pe_task_init(&w.callback, call_writer, 0);
    note_turns(base);
    pe_flush_add(base, &w.item);
    CHECK_EQ(event_base_loop(base, EVLOOP_ONCE), 0);
    CHECK_STR(order, "|F|cF"); /* a turn without a callback is not enough */
    CHECK_EQ(event_base_loop(base, EVLOOP_ONCE), 0);
    CHECK_EQ(event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
    CHECK_STR(order, "|F|cF|cF|cF");
    pe_task_cancel(base, &w.callback);
    event_base_free(base);
}

static struct flusher written;

static void act_write_and_break(struct actor *a) {
    pe_flush_add(a->base, &written.item);
    act_break(a);
}

TEST_EACH(loopbreak_does_not_leave_the_flush_list_lying) {
    struct three t;

    memset(&written, 0, sizeof(written));
    pe_flush_init(&written.item, run_flush);
    open_three(&t, backend, act_write_and_break);
    CHECK_EQ(event_base_dispatch(t.base), 0);
    CHECK_STR(order, "1F");
    close_three(&t);
}

/* --- extensions --------------------------------------------------------------------------------- */

static int destroyed;

static void destroy(void *value) {
    CHECK_EQ(value, &destroyed);
    destroyed++;
}

TEST(an_extension_is_found_by_its_key_and_goes_with_the_base) {
    static char key, other_key;
    struct event_base *base = event_base_new();

    CHECK(base != NULL);
    CHECK(pe_base_extension(base, &key) == NULL);
    CHECK_EQ(pe_base_set_extension(base, &key, &destroyed, destroy), 0);
    CHECK_EQ(pe_base_extension(base, &key), &destroyed);
    CHECK(pe_base_extension(base, &other_key) == NULL);
    event_base_free(base);
    CHECK_EQ(destroyed, 1);
}
