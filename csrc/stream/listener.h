/* listener.h - the listener's inside, for tests. */
#ifndef PE_STREAM_LISTENER_H
#define PE_STREAM_LISTENER_H

#include <stdbool.h>

#include "event2/listener.h"

/* Whether it rests after an error, until a timer ends that. */
bool pe_listener_rests(const struct evconnlistener *lev);

/* How many accept calls it has made, those that failed among them. */
unsigned long pe_listener_calls(const struct evconnlistener *lev);

#endif
