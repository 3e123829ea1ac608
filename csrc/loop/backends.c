/* backends.c - which backends there are, in order of merit.
 *
 * A system has epoll or kqueue. Where both are on the include path, somebody
 * has put kqueue there.
 */
#include "loop/backend.h"

#include "event2/event.h"
#include "loop/kqueue.h"

const struct pe_backend_ops *const pe_backends[] = {
#ifdef PE_HAVE_KQUEUE
    &pe_backend_kqueue,
#endif
#ifdef __linux__
    &pe_backend_epoll,
#endif
    &pe_backend_poll,
    &pe_backend_select,
    NULL,
};

#define PE_BACKENDS (sizeof(pe_backends) / sizeof(pe_backends[0]))

const char **event_get_supported_methods(void) {
    static const char *names[PE_BACKENDS];

    /* Every caller writes the same values, so several at once do no harm. */
    for (size_t i = 0; pe_backends[i] != NULL; i++)
        names[i] = pe_backends[i]->name;
    return names;
}
