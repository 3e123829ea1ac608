/* kqueue.h - whether there is a kqueue(2) that the backend can use.
 *
 * Decided by the include path: a system's own <sys/event.h>, or one given to
 * the compiler. EVFILT_USER and EV_RECEIPT have been there since macOS 10.6
 * and FreeBSD 8.1; a system without them (OpenBSD) has poll.
 */
#ifndef PE_LOOP_KQUEUE_H
#define PE_LOOP_KQUEUE_H

#if defined(__has_include)
#if __has_include(<sys/event.h>)
#include <sys/types.h>
/* On some systems it does not include what it needs. */
#include <sys/event.h>
#endif
#endif

#if defined(EVFILT_USER) && defined(EV_RECEIPT)
#define PE_HAVE_KQUEUE 1
#endif

#endif
