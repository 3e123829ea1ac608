/* watch.h - prepare and check watchers, as the turn of the loop runs them. */
#ifndef PE_LOOP_WATCH_H
#define PE_LOOP_WATCH_H

#include <stdint.h>

struct event_base;

void pe_watchers_run_prepare(struct event_base *base, int64_t timeout_ns);
void pe_watchers_run_check(struct event_base *base);
void pe_watchers_close(struct event_base *base);

#endif
