/* evutil_gai.c - name lookup of event2/util.h: the system's own. */
#include "event2/util.h"

int evutil_getaddrinfo(const char *nodename, const char *servname,
                       const struct evutil_addrinfo *hints_in,
                       struct evutil_addrinfo **res) {
    return getaddrinfo(nodename, servname, hints_in, res);
}

void evutil_freeaddrinfo(struct evutil_addrinfo *ai) {
    if (ai != NULL) /* which POSIX does not promise to be fine */
        freeaddrinfo(ai);
}

const char *evutil_gai_strerror(int err) {
    switch (err) {
    case 0:
        return "No error";
    case EVUTIL_EAI_CANCEL:
        return "Lookup cancelled";
#if !defined(EAI_ADDRFAMILY)
    case EVUTIL_EAI_ADDRFAMILY:
        return "No address of this family for the name";
#endif
#if !defined(EAI_NODATA)
    case EVUTIL_EAI_NODATA:
        return "No address for the name";
#endif
    default:
        return gai_strerror(err);
    }
}
