/* sigpipe.h - writing to a pipe without the signal.
 *
 * Sockets have MSG_NOSIGNAL; a pipe whose reader is gone raises SIGPIPE, which
 * ends a program that has not thought of it. A library must not change what
 * signals do in the process, but it may hold this one off in its thread for the
 * length of the write, and take away the one that the write has raised. Costs
 * one system call where SIGPIPE is ignored, as in Python, else three to five.
 * sendfile(2) needs it as well, which has no flags.
 */
#ifndef PE_BASE_SIGPIPE_H
#define PE_BASE_SIGPIPE_H

#include <signal.h>
#include <stdbool.h>

struct pe_sigpipe {
    sigset_t before;  /* the thread's mask */
    bool is_held;     /* the mask was changed */
    bool was_pending; /* one was there before; it is not ours to take */
};

void pe_sigpipe_hold(struct pe_sigpipe *held);

/* `was_raised`: the write has failed with EPIPE. errno stays as it was. May be nested. */
void pe_sigpipe_release(struct pe_sigpipe *held, bool was_raised);

#endif
