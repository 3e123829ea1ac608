/* pipes.h - what pipes.c wants of a library: one of the files beside it. */
#ifndef PIPES_H
#define PIPES_H

/* The read end of pipe `i` is readable. */
void pipe_readable(int i);

void loop_open(int n);

/* Watch the `n` descriptors from now on; again for ones watched already. */
void loop_watch_all(int n, const int *fds);

/* Look once, without waiting, and call pipe_readable(). */
void loop_turn(void);

#endif
