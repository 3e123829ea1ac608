/* event2/thread.h - libevent's locking, of which there is none here.
 *
 * One thread at a time may be inside the library with a base. A program that
 * shares a base among threads has a lock of its own around its calls, and
 * gives event_base_set_wait_hooks() (event2/event.h) two functions that release
 * and take it around the kernel wait: then any thread may add, delete and
 * activate events of a running loop. Python's interpreter lock is used in just
 * this way. A program with a base per thread needs nothing.
 *
 * These functions exist so that programs compile, and say what is so.
 */
#ifndef EVENT2_THREAD_H
#define EVENT2_THREAD_H

#include "event2/event.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EVTHREAD_WRITE 0x04
#define EVTHREAD_READ  0x08
#define EVTHREAD_TRY   0x10

#define EVTHREAD_LOCK_API_VERSION      1
#define EVTHREAD_CONDITION_API_VERSION 1
#define EVTHREAD_LOCKTYPE_RECURSIVE    1
#define EVTHREAD_LOCKTYPE_READWRITE    2
#define EVTHREAD_PTHREAD_PRIO_INHERIT  0x01
#define EVTHREAD_USE_PTHREADS_IMPLEMENTED 1

struct evthread_lock_callbacks {
    int lock_api_version;
    unsigned supported_locktypes;
    void *(*alloc)(unsigned locktype);
    void (*free)(void *lock, unsigned locktype);
    int (*lock)(unsigned mode, void *lock);
    int (*unlock)(unsigned mode, void *lock);
};

struct evthread_condition_callbacks {
    int condition_api_version;
    void *(*alloc_condition)(unsigned condtype);
    void (*free_condition)(void *cond);
    int (*signal_condition)(void *cond, int broadcast);
    int (*wait_condition)(void *cond, void *lock, const struct timeval *timeout);
};

/* -1 with ENOSYS: the library has no locks to make. A program that goes on all
 * the same must lock for itself, as above. */
int evthread_use_pthreads(void);
int evthread_use_pthreads_with_flags(int flags);
int evthread_set_lock_callbacks(const struct evthread_lock_callbacks *cbs);
int evthread_set_condition_callbacks(const struct evthread_condition_callbacks *cbs);

/* Accepted: nothing asks for it. */
void evthread_set_id_callback(unsigned long (*id_fn)(void));
void evthread_enable_lock_debugging(void);

/* 0: every base can be woken by other threads, always. */
int evthread_make_base_notifiable(struct event_base *base);

#ifdef __cplusplus
}
#endif
#endif
