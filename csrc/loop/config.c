/* config.c - event_config: how a base is to be made. */
#include "loop/config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/errors.h"
#include "base/mem.h"
#include "event2/event.h"

const struct event_config pe_config_default = {
    .max_interval = INT64_MAX,
    .max_callbacks = INT_MAX,
    .limited_from = 1,
};

struct event_config *event_config_new(void) {
    struct event_config *cfg = pe_malloc(PE_MEM_OTHER, sizeof(*cfg));

    if (cfg == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    *cfg = pe_config_default;
    return cfg;
}

void event_config_free(struct event_config *cfg) {
    if (cfg == NULL)
        return;
    for (int i = 0; i < cfg->avoid_count; i++)
        pe_free(PE_MEM_OTHER, cfg->avoid[i]);
    pe_free(PE_MEM_OTHER, cfg->avoid);
    pe_free(PE_MEM_OTHER, cfg);
}

int event_config_avoid_method(struct event_config *cfg, const char *method) {
    size_t size = method != NULL ? strlen(method) + 1 : 0;
    char **more;
    char *copy;

    if (cfg == NULL || method == NULL)
        return pe_fail(-EINVAL);
    copy = pe_malloc(PE_MEM_OTHER, size);
    if (copy == NULL)
        return pe_fail(-ENOMEM);
    more = pe_realloc(PE_MEM_OTHER, cfg->avoid, (size_t)(cfg->avoid_count + 1) * sizeof(*more));
    if (more == NULL) {
        pe_free(PE_MEM_OTHER, copy);
        return pe_fail(-ENOMEM);
    }
    memcpy(copy, method, size);
    more[cfg->avoid_count++] = copy;
    cfg->avoid = more;
    return 0;
}

int event_config_require_features(struct event_config *cfg, int feature) {
    if (cfg == NULL)
        return pe_fail(-EINVAL);
    cfg->features = (unsigned)feature;
    return 0;
}

int event_config_set_flag(struct event_config *cfg, int flag) {
    if (cfg == NULL)
        return pe_fail(-EINVAL);
    cfg->flags |= (unsigned)flag;
    return 0;
}

int event_config_set_num_cpus_hint(struct event_config *cfg, int cpus) {
    (void)cpus;
    return cfg != NULL ? 0 : pe_fail(-EINVAL);
}

int event_config_set_max_dispatch_interval(struct event_config *cfg,
                                           const struct timeval *max_interval,
                                           int max_callbacks, int min_priority) {
    int64_t ns = INT64_MAX;

    if (cfg == NULL)
        return pe_fail(-EINVAL);
    if (max_interval != NULL) {
        ns = pe_ns_from_timeval(max_interval);
        if (ns < 0)
            return pe_fail((int)ns);
    }
    cfg->max_interval = ns;
    cfg->max_callbacks = max_callbacks >= 0 ? max_callbacks : INT_MAX;
    cfg->limited_from = min_priority > 0 ? min_priority : 0;
    return 0;
}

bool pe_config_allows(const struct event_config *cfg, const struct pe_backend_ops *ops) {
    for (int i = 0; i < cfg->avoid_count; i++) {
        if (strcmp(cfg->avoid[i], ops->name) == 0)
            return false;
    }
    if ((ops->features & cfg->features) != cfg->features)
        return false;
    return (cfg->flags & EVENT_BASE_FLAG_IGNORE_ENV) || getenv(ops->env_off) == NULL;
}
