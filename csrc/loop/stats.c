/* stats.c - the counters of stats.h; turn.c and task.c fill them. */
#include "loop/stats.h"

#include <errno.h>
#include <string.h>

#include "loop/internal.h"

int pe_stats_start(struct event_base *base) {
    if (base->stats == NULL)
        base->stats = pe_malloc(PE_MEM_BASE, sizeof(*base->stats));
    if (base->stats == NULL)
        return -ENOMEM;
    memset(base->stats, 0, sizeof(*base->stats));
    return 0;
}

const struct pe_stats *pe_stats_get(const struct event_base *base) {
    return base->stats;
}
