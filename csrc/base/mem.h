/* mem.h - the allocator: every allocation of the core, counted by kind.
 *
 * Each call names the kind of thing it allocates, so that a test (or a user
 * who suspects a leak) can ask how many of each kind are alive, without a
 * header in front of the blocks. Memory comes from malloc(3) or from what
 * event_set_mem_functions installed. The nth allocation from now can be made
 * to fail: a loop over n proves that every path survives it.
 *
 * Counters are relaxed atomics: bases in several threads share them.
 */
#ifndef PE_BASE_MEM_H
#define PE_BASE_MEM_H

#include <stddef.h>

enum pe_mem_kind {
    PE_MEM_BASE,     /* struct event_base, its queues and tables */
    PE_MEM_EVENT,    /* struct event of event_new, one-shot callbacks */
    PE_MEM_FDMAP,    /* fd map pages, pending changes */
    PE_MEM_TIMER,    /* timer heap */
    PE_MEM_BACKEND,  /* a backend's own state */
    PE_MEM_SIGNAL,   /* signal tables */
    PE_MEM_BUFFER,   /* struct evbuffer and its extras */
    PE_MEM_SEGMENT,  /* evbuffer segments outside a pool, references */
    PE_MEM_POOL,     /* segment pools and their blocks */
    PE_MEM_STREAM,   /* bufferevents */
    PE_MEM_LISTENER, /* listeners */
    PE_MEM_OTHER,    /* configurations, addresses, strings */
    PE_MEM_KINDS
};

/* As malloc, calloc, realloc and free. NULL when memory is out or a failure
 * was asked for; pe_free(kind, NULL) does nothing. The kind given to pe_free
 * and pe_realloc is the one the block was made with. */
void *pe_malloc(enum pe_mem_kind kind, size_t n);
void *pe_calloc(enum pe_mem_kind kind, size_t count, size_t size);
void *pe_realloc(enum pe_mem_kind kind, void *p, size_t n);
void pe_free(enum pe_mem_kind kind, void *p);

/* Memory handed to the caller of the library, who frees it with free() (or
 * with the free of event_set_mem_functions). Not counted as alive. */
void *pe_user_malloc(size_t n);

/* Take it back: it has not been handed out. */
void pe_user_free(void *p);

/* How many blocks are alive: of one kind, and of all kinds. */
long pe_mem_live(enum pe_mem_kind kind);
long pe_mem_live_total(void);

/* "base", "event", ...: for reports. */
const char *pe_mem_kind_name(enum pe_mem_kind kind);

/* How many allocations were ever made: a difference of 0 over a steady state
 * proves that it allocates nothing. */
unsigned long pe_mem_total(void);

/* Let the nth allocation from now fail, once (1: the next); 0 switches it off. */
void pe_mem_fail_nth(long n);

/* Whether that failure has happened since pe_mem_fail_nth was called. */
int pe_mem_has_failed(void);

#endif
