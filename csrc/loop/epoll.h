/* epoll.h - the one thing to adjust about the epoll backend. */
#ifndef PE_LOOP_EPOLL_H
#define PE_LOOP_EPOLL_H

#include <stdbool.h>

/* Wait with epoll_wait(2) and milliseconds even where epoll_pwait2(2) is
 * there: for tests of the fallback. */
void pe_epoll_forbid_pwait2(bool forbid);

#endif
