/* evutil_time.c - the date and the monotonic timer of event2/util.h. */
#include "event2/util.h"

#include "base/clock.h"
#include "base/errors.h"
#include "base/mem.h"

/* A timer remembers its last answer and never gives a smaller one. On the
 * time of day that needs `offset_ns`: what the clock has lost by being set
 * back is added to all later readings, so that time goes on from there. */
struct evutil_monotonic_timer {
    int is_fallback;
    int64_t last_ns;
    int64_t offset_ns;
};

struct evutil_monotonic_timer *evutil_monotonic_timer_new(void) {
    return pe_calloc(PE_MEM_OTHER, 1, sizeof(struct evutil_monotonic_timer));
}

void evutil_monotonic_timer_free(struct evutil_monotonic_timer *timer) {
    pe_free(PE_MEM_OTHER, timer);
}

int evutil_configure_monotonic_time(struct evutil_monotonic_timer *timer, int flags) {
    timer->is_fallback = (flags & EV_MONOT_FALLBACK) != 0;
    timer->last_ns = 0;
    timer->offset_ns = 0;
    return 0;
}

int evutil_gettime_monotonic(struct evutil_monotonic_timer *timer, struct timeval *tp) {
    int64_t now = timer->is_fallback ? pe_clock_wall() : pe_clock_now();

    now += timer->offset_ns;
    if (now < timer->last_ns) {
        timer->offset_ns += timer->last_ns - now;
        now = timer->last_ns;
    }
    timer->last_ns = now;
    pe_time_to_timeval(now, tp);
    return 0;
}

int evutil_date_rfc1123(char *date, const size_t datelen, const struct tm *tm) {
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm now;

    if (tm == NULL) {
        time_t t = time(NULL);

        if (gmtime_r(&t, &now) == NULL)
            return -1;
        tm = &now;
    }
    if (tm->tm_wday < 0 || tm->tm_wday > 6 || tm->tm_mon < 0 || tm->tm_mon > 11)
        return pe_fail(-EINVAL);
    return evutil_snprintf(date, datelen, "%s, %02d %s %4d %02d:%02d:%02d GMT",
                           days[tm->tm_wday], tm->tm_mday, months[tm->tm_mon],
                           1900 + tm->tm_year, tm->tm_hour, tm->tm_min, tm->tm_sec);
}
