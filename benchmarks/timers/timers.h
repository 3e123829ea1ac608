/* timers.h - what timers.c wants of a library: one of the files beside it. */
#ifndef TIMERS_H
#define TIMERS_H

void timers_open(int n);

/* Have timer `i` fire in `us` microseconds; moves one that is set. */
void timer_set(int i, long us);
void timer_cancel(int i);

/* Call `work` from inside a callback of the library, which is where timers are mostly set. */
void timers_in_callback(void (*work)(void));

/* Fire those that are due, without waiting, and call timer_fired() for each. */
void timers_turn(void);
void timer_fired(void);

/* Make callback `i` due now, without a timer. -1: the library has no such thing. */
int timer_activate(int i);

#endif
