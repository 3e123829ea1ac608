/* backend_select.c - select(2): the oldest, there for who has nothing else.
 *
 * One bit per fd and direction, in words that we allocate, test and set
 * ourselves: FD_SET stops at FD_SETSIZE (1024) or aborts there, while the
 * kernels take sets of any length. Beside the bits, the generation by fd:
 *
 *     wanted[READ]   01100010...      got[READ]   00100000...
 *     wanted[WRITE]  00100000...      got[WRITE]  00100000...
 *     gens           - 4 1 - - - 9 -
 *
 * select writes its answer over its question, so each wait copies wanted to
 * got. The kernel has got[] during the wait and making room moves it, hence no
 * PE_BACKEND_SET_ANYTIME. An fd that was closed makes the whole call fail with
 * EBADF; we look for it then, report it as ready for everything, as poll does,
 * and ask about the others. An error or hang-up of an open fd is readiness to
 * select, and EV_CLOSED nothing that it knows. Cost of a turn: O(the highest
 * fd).
 */
#ifdef __APPLE__
#define _DARWIN_UNLIMITED_SELECT /* <sys/select.h>: sets beyond FD_SETSIZE */
#endif

#include "loop/backend.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/select.h>
#include <sys/time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/sock.h"
#include "event2/event.h"

#define WORD_BITS ((int)(sizeof(unsigned long) * CHAR_BIT))
#define SELECT_FIRST_FDS 256
#define SELECT_MAX_WAIT_SEC 100000000 /* macOS refuses more; three years */
#define SELECT_MOST_TRIES 16 /* while other threads close descriptors */

enum { DIR_READ, DIR_WRITE, DIRS };

struct select_state {
    unsigned long *wanted[DIRS], *got[DIRS];
    uint32_t *gens;
    int cap;      /* fds that there is room for; a multiple of WORD_BITS */
    int fd_limit; /* 1 + the highest fd with an interest */
    int left;     /* results of the last wait not handed out yet ... */
    int next;     /* ... and the fd to look at for them */
};

static unsigned long bit_of(int fd) {
    return 1ul << (fd % WORD_BITS);
}

static int words_for(int fds) {
    return (fds + WORD_BITS - 1) / WORD_BITS;
}

static bool has(unsigned long *const *sets, int dir, int fd) {
    return (sets[dir][fd / WORD_BITS] & bit_of(fd)) != 0;
}

static void put(unsigned long *const *sets, int dir, int fd, bool on) {
    if (on)
        sets[dir][fd / WORD_BITS] |= bit_of(fd);
    else
        sets[dir][fd / WORD_BITS] &= ~bit_of(fd);
}

static int select_open(struct pe_backend *b) {
    b->state = pe_calloc(PE_MEM_BACKEND, 1, sizeof(struct select_state));
    return b->state != NULL ? 0 : -ENOMEM;
}

static void select_close(struct pe_backend *b) {
    struct select_state *st = b->state;

    for (int dir = 0; dir < DIRS; dir++) {
        pe_free(PE_MEM_BACKEND, st->wanted[dir]);
        pe_free(PE_MEM_BACKEND, st->got[dir]);
    }
    pe_free(PE_MEM_BACKEND, st->gens);
    pe_free(PE_MEM_BACKEND, st);
    b->state = NULL;
}

static int grow_words(unsigned long **words, int old_cap, int cap) {
    size_t old_size = (size_t)old_cap / CHAR_BIT, size = (size_t)cap / CHAR_BIT;
    unsigned long *more = pe_realloc(PE_MEM_BACKEND, *words, size);

    if (more == NULL)
        return -ENOMEM;
    memset((char *)more + old_size, 0, size - old_size);
    *words = more;
    return 0;
}

/* Room for `fd`. What has grown before another fails is merely too large. */
static int reserve(struct select_state *st, int fd) {
    int cap = st->cap ? st->cap : SELECT_FIRST_FDS;
    uint32_t *gens;

    if (fd < st->cap)
        return 0;
    while (cap <= fd)
        cap *= 2;
    for (int dir = 0; dir < DIRS; dir++) {
        if (grow_words(&st->wanted[dir], st->cap, cap) < 0 ||
            grow_words(&st->got[dir], st->cap, cap) < 0)
            return -ENOMEM;
    }
    gens = pe_realloc(PE_MEM_BACKEND, st->gens, (size_t)cap * sizeof(*gens));
    if (gens == NULL)
        return -ENOMEM;
    st->gens = gens;
    st->cap = cap;
    return 0;
}

/* After a removal: past what is the highest fd now? */
static int limit_from(const struct select_state *st, int limit) {
    int word = words_for(limit);

    while (word > 0 && (st->wanted[DIR_READ][word - 1] | st->wanted[DIR_WRITE][word - 1]) == 0)
        word--;
    return word * WORD_BITS < limit ? word * WORD_BITS : limit;
}

static int select_set(struct pe_backend *b, int fd, uint32_t gen, unsigned old, unsigned want,
                      void *slot) {
    struct select_state *st = b->state;
    int err;

    (void)slot;
    if (want != 0 && (old == 0 || (old & PE_BACKEND_MAYBE))) {
        err = pe_fd_check(fd);
        if (err < 0)
            return err;
    }
    if (want == 0 && fd >= st->cap)
        return 0;
    err = reserve(st, fd);
    if (err < 0)
        return err;
    put(st->wanted, DIR_READ, fd, want & EV_READ);
    put(st->wanted, DIR_WRITE, fd, want & EV_WRITE);
    st->gens[fd] = gen;
    if (want == 0)
        st->fd_limit = limit_from(st, st->fd_limit);
    else if (fd >= st->fd_limit)
        st->fd_limit = fd + 1;
    return 0;
}

/* select(2) of what is wanted: its answer in got[]. */
static int ask(struct select_state *st, struct timeval *tv) {
    return select(st->fd_limit, (fd_set *)(void *)st->got[DIR_READ],
                  (fd_set *)(void *)st->got[DIR_WRITE], NULL, tv);
}

static bool is_closed(const struct select_state *st, int fd) {
    return (has(st->wanted, DIR_READ, fd) || has(st->wanted, DIR_WRITE, fd)) &&
           pe_fd_check(fd) < 0;
}

/* Ask once more for what is open now. */
static int ask_for_open(struct select_state *st) {
    struct timeval now = {0, 0};

    for (int dir = 0; dir < DIRS; dir++) {
        for (int fd = 0; fd < st->fd_limit; fd++)
            put(st->got, dir, fd, has(st->wanted, dir, fd) && pe_fd_check(fd) == 0);
    }
    return ask(st, &now);
}

/* The kernel would not wait because of a closed fd, and does not say of which.
 * In got[] there are those then, and what is ready of the others. Another thread may
 * close one between the look and the question: then both again, so that what is
 * ready does not wait for another turn. */
static int ask_without_closed(struct select_state *st) {
    int n = ask_for_open(st);

    for (int tries = 1; n < 0 && errno == EBADF && tries < SELECT_MOST_TRIES; tries++)
        n = ask_for_open(st);
    if (n < 0)
        return errno == EINTR || errno == EBADF ? 0 : -errno;
    for (int fd = 0; fd < st->fd_limit; fd++) {
        for (int dir = 0; dir < DIRS && is_closed(st, fd); dir++)
            put(st->got, dir, fd, true);
    }
    return 1;
}

/* How many fds have a bit in got[]. select counts an fd once per direction. */
static int count_got(const struct select_state *st) {
    int n = 0;

    for (int i = 0; i < words_for(st->fd_limit); i++) {
        for (unsigned long w = st->got[DIR_READ][i] | st->got[DIR_WRITE][i]; w != 0; w &= w - 1)
            n++;
    }
    return n;
}

static int select_wait(struct pe_backend *b, int64_t timeout_ns) {
    struct select_state *st = b->state;
    size_t size = (size_t)words_for(st->fd_limit) * sizeof(unsigned long);
    struct timeval tv = {0, 0};
    int n;

    st->left = 0;
    st->next = 0;
    for (int dir = 0; dir < DIRS && size != 0; dir++)
        memcpy(st->got[dir], st->wanted[dir], size);
    if (timeout_ns > SELECT_MAX_WAIT_SEC * PE_NS_PER_SEC)
        timeout_ns = SELECT_MAX_WAIT_SEC * PE_NS_PER_SEC;
    if (timeout_ns > 0)
        pe_ns_to_timeval(timeout_ns, &tv);
    n = ask(st, timeout_ns < 0 ? NULL : &tv);
    if (n < 0)
        n = errno == EBADF ? ask_without_closed(st) : errno == EINTR ? 0 : -errno;
    if (n > 0)
        st->left = count_got(st);
    return n < 0 ? n : st->left;
}

static int select_harvest(struct pe_backend *b, struct pe_ready *out, int cap) {
    struct select_state *st = b->state;
    int n = 0;

    while (n < cap && st->left > 0 && st->next < st->fd_limit) {
        int fd = st->next++;
        unsigned events = 0;

        if (has(st->got, DIR_READ, fd))
            events |= EV_READ;
        if (has(st->got, DIR_WRITE, fd))
            events |= EV_WRITE;
        if (events == 0)
            continue;
        out[n].fd = fd;
        out[n].gen = st->gens[fd];
        out[n].events = events;
        st->left--;
        n++;
    }
    return n;
}

const struct pe_backend_ops pe_backend_select = {
    .name = "select",
    .env_off = "EVENT_NOSELECT",
    .features = EV_FEATURE_FDS,
    .slot_size = 0,
    .open = select_open,
    .close = select_close,
    .set = select_set,
    .wait = select_wait,
    .harvest = select_harvest,
    .purge = NULL,
};
