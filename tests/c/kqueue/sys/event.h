/* sys/event.h - kqueue(2) on Linux, emulated well enough to test a backend.
 *
 * With this directory on the include path, and kqueue.c linked, code written
 * for kqueue compiles and runs here unchanged. The names and values are those
 * of FreeBSD; struct kevent is what FreeBSD and macOS have in common.
 *
 * What it keeps of the real thing, since a backend could trip over it: a knote
 * belongs to (ident, filter) and goes with the descriptor, even when a dup or a
 * child holds the file; adding one again changes udata and what it waits for,
 * never EV_CLEAR; changes report their errors in the event list, where there is
 * room, and EV_RECEIPT ones always; EVFILT_WRITE on a pipe without a reader is
 * EPIPE; the queue is not inherited by a child; changes may come while another
 * thread waits.
 *
 * Where it falls short: a signal must be blocked by its user, and several of
 * one number count as one; fflags of a broken socket says ECONNRESET whatever
 * the error; regular files are refused with EPERM.
 */
#ifndef PE_TESTS_KQUEUE_SYS_EVENT_H
#define PE_TESTS_KQUEUE_SYS_EVENT_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct kevent {
    uintptr_t ident;
    short filter;
    unsigned short flags;
    unsigned fflags;
    intptr_t data;
    void *udata;
};

#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_SIGNAL (-6)
#define EVFILT_TIMER (-7)
#define EVFILT_USER (-11)

#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_ENABLE 0x0004
#define EV_DISABLE 0x0008
#define EV_ONESHOT 0x0010
#define EV_CLEAR 0x0020
#define EV_RECEIPT 0x0040
#define EV_DISPATCH 0x0080
#define EV_ERROR 0x4000
#define EV_EOF 0x8000

#define NOTE_TRIGGER 0x01000000u /* EVFILT_USER */

#define NOTE_SECONDS 0x1u /* EVFILT_TIMER; else data is milliseconds */
#define NOTE_MSECONDS 0x2u
#define NOTE_USECONDS 0x4u
#define NOTE_NSECONDS 0x8u

#define EV_SET(kev, a, b, c, d, e, f)       \
    do {                                    \
        struct kevent *kev_at = (kev);      \
        kev_at->ident = (uintptr_t)(a);     \
        kev_at->filter = (short)(b);        \
        kev_at->flags = (unsigned short)(c); \
        kev_at->fflags = (unsigned)(d);     \
        kev_at->data = (intptr_t)(e);       \
        kev_at->udata = (f);                \
    } while (0)

int kqueue(void);
int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
           const struct timespec *timeout);

/* A queue is several descriptors and memory here, and its owner just closes it. */
int kqueue_emulation_close(int fd);
#define close(fd) kqueue_emulation_close(fd)

#endif
