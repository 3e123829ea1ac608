/* test_callbacks.c - what callbacks are told, and what they may do.
 *
 * The last tests call every function of the interface from every kind of
 * callback (the owner's hook, a user's callback, a cleanup) of every function
 * that changes a buffer.
 */
#include "base/mem.h"
#include "base/sock.h"
#include "inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct evbuffer *new_buffer(void) {
    struct evbuffer *buf = evbuffer_new();

    CHECK(buf != NULL);
    return buf;
}

/* What the callbacks were told, as text: "a0+3-0 " is callback a, of an empty
 * buffer, 3 added. */
static char told[1000];

static void tell(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) {
    CHECK_EQ(evbuffer_get_length(buf), info->orig_size + info->n_added - info->n_deleted);
    snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s%zu+%zu-%zu ",
             (const char *)arg, info->orig_size, info->n_added, info->n_deleted);
}

TEST(each_call_tells_once_what_it_changed) {
    struct evbuffer *buf = new_buffer(), *other = new_buffer();
    struct evbuffer_iovec vec[2] = {{(char[]){"ab"}, 2}, {(char[]){"cd"}, 2}};
    char got[10];

    CHECK(evbuffer_add_cb(buf, tell, "") != NULL);
    CHECK(evbuffer_add_cb(other, tell, "o") != NULL);
    CHECK_EQ(evbuffer_add(buf, "", 0), 0);
    CHECK_EQ(evbuffer_drain(buf, 5), 0);
    CHECK_EQ(evbuffer_remove(buf, got, 5), 0);
    CHECK_STR(told, ""); /* nothing changed, nothing told */
    CHECK_EQ(evbuffer_add(buf, "one\r\ntwo", 8), 0);
    CHECK_EQ(evbuffer_add_iovec(buf, vec, 2), 4);
    free(evbuffer_readln(buf, NULL, EVBUFFER_EOL_CRLF));
    CHECK_EQ(evbuffer_prepend(buf, "x", 1), 0);
    CHECK_STR(told, "0+8-0 8+4-0 12+0-5 7+1-0 ");
    told[0] = '\0';
    CHECK_EQ(evbuffer_remove_buffer(buf, other, 3), 3);
    CHECK_EQ(evbuffer_add_buffer(other, buf), 0);
    CHECK_EQ(evbuffer_prepend_buffer(buf, other), 0);
    CHECK_STR(told, "o0+3-0 8+0-3 o3+5-0 5+0-5 0+8-0 o8+0-8 ");
    told[0] = '\0';
    CHECK_EQ(evbuffer_add_reference(buf, "r", 1, NULL, NULL), 0);
    CHECK_EQ(evbuffer_add_buffer_reference(other, buf), 0);
    CHECK_EQ(evbuffer_add_printf(buf, "%d", 12), 2);
    CHECK_EQ(evbuffer_reserve_space(buf, 10, vec, 1), 1);
    vec[0].iov_len = 4;
    memset(vec[0].iov_base, 'v', 4);
    CHECK_EQ(evbuffer_commit_space(buf, vec, 1), 0);
    CHECK(evbuffer_pullup(buf, -1) != NULL); /* changes nothing that counts */
    CHECK_EQ(evbuffer_expand(buf, 10000), 0);
    CHECK_EQ(evbuffer_drain(buf, 1), 0);
    CHECK_STR(told, "8+1-0 o0+9-0 9+2-0 11+4-0 15+0-1 ");
    told[0] = '\0';
    evbuffer_free(buf);
    evbuffer_free(other);
    CHECK_STR(told, ""); /* freeing is no change */
}

TEST(callbacks_run_newest_first_and_only_when_enabled) {
    struct evbuffer *buf = new_buffer();
    struct evbuffer_cb_entry *a = evbuffer_add_cb(buf, tell, "a");
    struct evbuffer_cb_entry *b = evbuffer_add_cb(buf, tell, "b");

    CHECK_EQ(evbuffer_add(buf, "1", 1), 0);
    CHECK_EQ(evbuffer_cb_clear_flags(buf, b, EVBUFFER_CB_ENABLED), 0);
    CHECK_EQ(evbuffer_add(buf, "2", 1), 0);
    CHECK_EQ(evbuffer_cb_set_flags(buf, b, EVBUFFER_CB_ENABLED), 0);
    CHECK_EQ(evbuffer_remove_cb_entry(buf, a), 0);
    CHECK_EQ(evbuffer_add(buf, "3", 1), 0);
    CHECK_EQ(evbuffer_remove_cb(buf, tell, "c"), -1);
    CHECK_EQ(errno, ENOENT);
    CHECK_STR(told, "b0+1-0 a0+1-0 a1+1-0 b2+1-0 ");
    evbuffer_free(buf);
    buf = new_buffer();
    CHECK_EQ(evbuffer_remove_cb(buf, tell, NULL), -1);
    evbuffer_free(buf);
}

TEST(nothing_is_saved_up_for_a_callback_that_comes_later) {
    struct evbuffer *buf = new_buffer();

    CHECK_EQ(evbuffer_add(buf, "before", 6), 0);
    CHECK(evbuffer_add_cb(buf, tell, "") != NULL);
    CHECK_EQ(evbuffer_drain(buf, 1), 0);
    CHECK_STR(told, "6+0-1 ");
    evbuffer_free(buf);
}

static struct evbuffer_cb_entry *entries[3];

static void remove_all(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) {
    tell(buf, info, arg);
    for (int i = 0; i < 3; i++) {
        if (entries[i] != NULL)
            CHECK_EQ(evbuffer_remove_cb_entry(buf, entries[i]), 0);
        entries[i] = NULL;
    }
    CHECK(evbuffer_add_cb(buf, tell, "new") != NULL); /* waits for the next change */
}

TEST(a_callback_may_remove_itself_and_those_that_come_after) {
    struct evbuffer *buf = new_buffer();

    entries[0] = evbuffer_add_cb(buf, tell, "a");
    entries[1] = evbuffer_add_cb(buf, remove_all, "b");
    entries[2] = evbuffer_add_cb(buf, tell, "c");
    CHECK_EQ(evbuffer_add(buf, "1", 1), 0);
    CHECK_EQ(evbuffer_add(buf, "2", 1), 0);
    CHECK_STR(told, "c0+1-0 b0+1-0 new1+1-0 ");
    evbuffer_free(buf);
}

static void add_more(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) {
    tell(buf, info, arg);
    if (evbuffer_get_length(buf) < 4)
        CHECK_EQ(evbuffer_add(buf, "x", 1), 0);
}

TEST(a_callback_that_changes_the_buffer_is_told_of_that_too) {
    struct evbuffer *buf = new_buffer();

    CHECK(evbuffer_add_cb(buf, add_more, "") != NULL);
    CHECK_EQ(evbuffer_add(buf, "ab", 2), 0);
    CHECK_STR(told, "0+2-0 2+1-0 3+1-0 ");
    evbuffer_free(buf);
}

/* --- The owner's hook --- */

static void hook(struct evbuffer *buf, size_t added, size_t removed) {
    (void)buf;
    snprintf(told + strlen(told), sizeof(told) - strlen(told), "hook+%zu-%zu ", added, removed);
}

TEST(the_owner_is_told_before_the_user) {
    struct evbuffer buf;

    pe_evbuffer_init(&buf, NULL, hook);
    CHECK_EQ(evbuffer_add(&buf, "abc", 3), 0);
    CHECK(evbuffer_add_cb(&buf, tell, "cb") != NULL);
    CHECK_EQ(evbuffer_drain(&buf, 2), 0);
    CHECK_STR(told, "hook+3-0 hook+0-2 cb3+0-2 ");
    pe_evbuffer_fini(&buf);
}

/* --- Deferral --- */

static int scheduled, forgotten;

static void schedule(struct evbuffer *buf, void *arg) {
    (void)buf;
    CHECK(arg == &scheduled);
    scheduled++;
}

static void forget(struct evbuffer *buf, void *arg) {
    (void)buf;
    CHECK(arg == &scheduled);
    forgotten++;
}

static const struct pe_defer_ops defer_ops = {schedule, forget};

TEST(deferred_callbacks_run_once_with_the_sum) {
    struct evbuffer *buf = new_buffer();

    CHECK(pe_evbuffer_defer_arg(buf) == NULL);
    CHECK_EQ(pe_evbuffer_set_defer(buf, &defer_ops, &scheduled), 0);
    CHECK(pe_evbuffer_defer_arg(buf) == &scheduled);
    CHECK_EQ(evbuffer_add(buf, "nobody", 6), 0);
    CHECK_EQ(scheduled, 0); /* there is no callback to run */
    CHECK(evbuffer_add_cb(buf, tell, "") != NULL);
    CHECK_EQ(evbuffer_add(buf, "abcd", 4), 0);
    CHECK_EQ(evbuffer_drain(buf, 3), 0);
    CHECK_EQ(evbuffer_add(buf, "e", 1), 0);
    CHECK_EQ(scheduled, 1);
    CHECK_STR(told, "");
    pe_evbuffer_run_deferred(buf);
    CHECK_STR(told, "6+5-3 ");
    pe_evbuffer_run_deferred(buf);
    CHECK_STR(told, "6+5-3 ");
    CHECK_EQ(evbuffer_drain(buf, 1), 0);
    CHECK_EQ(scheduled, 2);
    evbuffer_free(buf);
    CHECK_EQ(forgotten, 1);
}

TEST(what_is_due_follows_to_another_way_of_deferring) {
    struct evbuffer *buf = new_buffer();

    CHECK_EQ(pe_evbuffer_set_defer(buf, &defer_ops, &scheduled), 0);
    CHECK(evbuffer_add_cb(buf, tell, "") != NULL);
    CHECK_EQ(evbuffer_add(buf, "abc", 3), 0);
    CHECK_EQ(pe_evbuffer_set_defer(buf, &defer_ops, &scheduled), 0);
    CHECK_EQ(forgotten, 1);
    CHECK_EQ(scheduled, 2);
    CHECK_EQ(pe_evbuffer_set_defer(buf, NULL, NULL), 0); /* at once from now on */
    CHECK_EQ(forgotten, 2);
    CHECK_STR(told, "0+3-0 ");
    CHECK_EQ(evbuffer_drain(buf, 1), 0);
    CHECK_STR(told, "0+3-0 3+0-1 ");
    evbuffer_free(buf);
    buf = new_buffer();
    pe_mem_fail_nth(1);
    CHECK_EQ(pe_evbuffer_set_defer(buf, &defer_ops, &scheduled), -ENOMEM);
    pe_mem_fail_nth(0);
    CHECK(evbuffer_add_cb(buf, NULL, NULL) == NULL);
    CHECK_EQ(errno, EINVAL);
    evbuffer_free(buf);
}

/* --- Calling anything from anywhere --- */

struct scene {
    struct evbuffer *buf, *other;
    int fds[2];
    int is_freed;
    int depth;
    void (*inner)(struct scene *s);
    int calls;
};

static struct scene scene; /* one at a time: a hook has no argument */

static void lent_back(const void *data, size_t n, void *arg);

static void do_add(struct scene *s) {
    (void)evbuffer_add(s->buf, "added line\r\n", 12);
}

static void do_add_much(struct scene *s) {
    static char much[5000];

    (void)evbuffer_add(s->buf, much, sizeof(much));
}

static void do_iovec(struct scene *s) {
    struct evbuffer_iovec vec[2] = {{(char[]){"ab"}, 2}, {(char[]){"cd"}, 2}};

    (void)evbuffer_add_iovec(s->buf, vec, 2);
}

static void do_printf(struct scene *s) {
    (void)evbuffer_add_printf(s->buf, "%d\n", 42);
}

static void do_prepend(struct scene *s) {
    (void)evbuffer_prepend(s->buf, "front\n", 6);
}

static void do_remove(struct scene *s) {
    char got[7];

    (void)evbuffer_remove(s->buf, got, 7);
}

static void do_drain_some(struct scene *s) {
    (void)evbuffer_drain(s->buf, 5);
}

static void do_drain_all(struct scene *s) {
    (void)evbuffer_drain(s->buf, SIZE_MAX);
}

static void do_readln(struct scene *s) {
    free(evbuffer_readln(s->buf, NULL, EVBUFFER_EOL_LF));
}

static void do_reference(struct scene *s) {
    (void)evbuffer_add_reference(s->buf, "reference\n", 10, lent_back, NULL);
}

static void do_add_buffer(struct scene *s) {
    (void)evbuffer_add_buffer(s->buf, s->other);
}

static void do_give_buffer(struct scene *s) {
    (void)evbuffer_add_buffer(s->other, s->buf);
}

static void do_remove_buffer(struct scene *s) {
    (void)evbuffer_remove_buffer(s->buf, s->other, 8);
}

static void do_prepend_buffer(struct scene *s) {
    (void)evbuffer_prepend_buffer(s->buf, s->other);
}

static void do_share(struct scene *s) {
    (void)evbuffer_add_buffer_reference(s->other, s->buf);
}

static void do_pullup(struct scene *s) {
    (void)evbuffer_pullup(s->buf, -1);
}

static void do_reserve(struct scene *s) {
    struct evbuffer_iovec vec[2];
    int n = evbuffer_reserve_space(s->buf, 3000, vec, 2);

    for (int i = 0; i < n; i++)
        memset(vec[i].iov_base, 'v', vec[i].iov_len);
    if (n > 0)
        (void)evbuffer_commit_space(s->buf, vec, n);
}

static void do_expand(struct scene *s) {
    (void)evbuffer_expand(s->buf, 3000);
}

static void do_look(struct scene *s) {
    struct evbuffer_ptr ptr;
    struct evbuffer_iovec vec[4];
    char got[50];

    (void)evbuffer_copyout(s->buf, got, 50);
    (void)evbuffer_peek(s->buf, -1, NULL, vec, 4);
    (void)evbuffer_ptr_set(s->buf, &ptr, 3, EVBUFFER_PTR_SET);
    ptr = evbuffer_search(s->buf, "line", 4, NULL);
    ptr = evbuffer_search_eol(s->buf, NULL, NULL, EVBUFFER_EOL_ANY);
    (void)evbuffer_get_contiguous_space(s->buf);
}

static void do_write(struct scene *s) {
    (void)evbuffer_write(s->buf, s->fds[0]);
}

static void do_read(struct scene *s) {
    CHECK_EQ(send(s->fds[1], "incoming\n", 9, MSG_DONTWAIT), 9);
    (void)evbuffer_read(s->buf, s->fds[0], -1);
}

static void do_freeze(struct scene *s) {
    (void)evbuffer_freeze(s->buf, 0);
    (void)evbuffer_freeze(s->buf, 1);
}

static void do_callbacks(struct scene *s) {
    (void)evbuffer_add_cb(s->buf, tell, "");
    (void)evbuffer_remove_cb(s->buf, tell, "");
    (void)evbuffer_set_max_read(s->buf, 100);
    (void)evbuffer_set_flags(s->buf, EVBUFFER_FLAG_DRAINS_TO_FD);
}

static void do_free(struct scene *s) {
    if (s->is_freed)
        return;
    s->is_freed = 1;
    if (s->buf->flags & PE_BUF_ALLOCATED)
        evbuffer_free(s->buf);
    else
        pe_evbuffer_fini(s->buf);
}

static void (*const changes[])(struct scene *) = {
    do_add,     do_add_much,  do_iovec,      do_printf,      do_prepend,       do_remove,
    do_drain_some, do_drain_all, do_readln,  do_reference,   do_add_buffer,    do_give_buffer,
    do_remove_buffer, do_prepend_buffer, do_share, do_reserve, do_write,       do_read,
};
#define N_CHANGES (sizeof(changes) / sizeof(changes[0]))

static void (*const others[])(struct scene *) = {
    do_pullup, do_expand, do_look, do_freeze, do_callbacks, do_free,
};
#define N_INNER (N_CHANGES + sizeof(others) / sizeof(others[0]))

/* Called from each kind of callback: the inner call, not from inside itself. */
static void called_out(void) {
    if (scene.depth > 0 || scene.inner == NULL || scene.is_freed)
        return;
    scene.depth++;
    scene.calls++;
    scene.inner(&scene);
    if (!scene.is_freed)
        (void)check_inside(scene.buf);
    (void)check_inside(scene.other);
    scene.depth--;
}

static void lent_back(const void *data, size_t n, void *arg) {
    (void)data;
    (void)n;
    (void)arg;
    called_out();
}

static void calling_back(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) {
    (void)buf;
    (void)info;
    (void)arg;
    called_out();
}

static void calling_hook(struct evbuffer *buf, size_t added, size_t removed) {
    (void)buf;
    (void)added;
    (void)removed;
    called_out();
}

enum caller { BY_HOOK, BY_CALLBACK, BY_CLEANUP, CALLERS };

/* `outer` changes a buffer of several segments; `inner` is called out of it. */
static void play(void (*outer)(struct scene *), void (*inner)(struct scene *),
                 enum caller caller) {
    struct evbuffer *embedded = malloc(sizeof(*embedded));

    memset(&scene, 0, sizeof(scene));
    scene.other = new_buffer();
    CHECK_EQ(pe_socketpair(scene.fds), 0);
    if (caller == BY_HOOK) {
        pe_evbuffer_init(embedded, NULL, calling_hook);
        scene.buf = embedded;
    } else {
        scene.buf = new_buffer();
    }
    CHECK_EQ(evbuffer_add(scene.other, "other's\n", 8), 0);
    CHECK_EQ(evbuffer_add_reference(scene.buf, "lent\n", 5, lent_back, NULL), 0);
    CHECK_EQ(evbuffer_add_reference(scene.buf, "more", 4, lent_back, NULL), 0);
    CHECK_EQ(evbuffer_add(scene.buf, "ring\nring", 9), 0);
    if (caller == BY_CALLBACK) {
        for (int i = 0; i < 3; i++)
            CHECK(evbuffer_add_cb(scene.buf, calling_back, NULL) != NULL);
        CHECK(evbuffer_add_cb(scene.other, calling_back, NULL) != NULL);
    }
    scene.inner = inner;
    outer(&scene);
    scene.inner = NULL;
    (void)check_inside(scene.other);
    if (!scene.is_freed) {
        (void)check_inside(scene.buf);
        do_free(&scene);
    }
    evbuffer_free(scene.other);
    free(embedded);
    close(scene.fds[0]);
    close(scene.fds[1]);
    CHECK_EQ(pe_mem_live_total(), 0);
}

TEST(every_call_may_be_made_from_every_callback_of_every_call) {
    for (size_t o = 0; o < N_CHANGES; o++) {
        for (size_t i = 0; i < N_INNER; i++) {
            for (int c = 0; c < CALLERS; c++)
                play(changes[o], i < N_CHANGES ? changes[i] : others[i - N_CHANGES],
                     (enum caller)c);
        }
    }
}

TEST(cleanups_that_run_while_the_buffer_is_freed_may_call_it) {
    for (size_t i = 0; i < N_INNER; i++) {
        play(do_free, i < N_CHANGES ? changes[i] : others[i - N_CHANGES], BY_CLEANUP);
        CHECK(scene.buf == NULL || scene.is_freed);
    }
}

static void free_and_tell(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) {
    tell(buf, info, arg);
    evbuffer_free(buf);
}

TEST(a_buffer_freed_by_its_callback_calls_no_other) {
    struct evbuffer *buf = new_buffer(), *other = new_buffer();

    CHECK(evbuffer_add_cb(buf, tell, "a") != NULL);
    CHECK(evbuffer_add_cb(buf, free_and_tell, "b") != NULL);
    CHECK_EQ(evbuffer_add(other, "x", 1), 0);
    CHECK_EQ(evbuffer_add_buffer(buf, other), 0);
    CHECK_STR(told, "b0+1-0 ");
    CHECK_EQ(evbuffer_get_length(other), 0);
    evbuffer_free(other);
}
