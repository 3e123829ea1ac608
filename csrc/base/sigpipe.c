/* sigpipe.c - writing to a pipe without the signal. */
#include "base/sigpipe.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>

void pe_sigpipe_hold(struct pe_sigpipe *held) {
    struct sigaction now;
    sigset_t only_pipe, pending;

    held->is_held = false;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
        return;
    sigemptyset(&only_pipe);
    sigaddset(&only_pipe, SIGPIPE);
    sigemptyset(&pending);
    sigpending(&pending);
    held->was_pending = sigismember(&pending, SIGPIPE) == 1;
    held->is_held = pthread_sigmask(SIG_BLOCK, &only_pipe, &held->before) == 0;
}

void pe_sigpipe_release(struct pe_sigpipe *held, bool was_raised) {
    sigset_t only_pipe, pending;
    int saved = errno, signo;

    if (!held->is_held)
        return;
    /* Not every EPIPE comes with the signal, and waiting for one that is not there would
     * never end. */
    sigemptyset(&pending);
    if (was_raised && !held->was_pending && sigpending(&pending) == 0 &&
        sigismember(&pending, SIGPIPE) == 1) {
        sigemptyset(&only_pipe);
        sigaddset(&only_pipe, SIGPIPE);
        (void)sigwait(&only_pipe, &signo); /* pending: does not block */
    }
    (void)pthread_sigmask(SIG_SETMASK, &held->before, NULL);
    errno = saved;
}
