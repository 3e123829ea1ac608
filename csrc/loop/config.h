/* config.h - struct event_config, as the base reads it. */
#ifndef PE_LOOP_CONFIG_H
#define PE_LOOP_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/backend.h"

struct event_config {
    char **avoid; /* names of backends, each allocated */
    int avoid_count;
    unsigned features; /* EV_FEATURE_* that are demanded */
    unsigned flags;    /* EVENT_BASE_FLAG_* */
    int64_t max_interval;
    int max_callbacks;
    int limited_from;
};

/* What holds when no configuration is given. */
extern const struct event_config pe_config_default;

/* Whether the configuration and the environment allow this backend. */
bool pe_config_allows(const struct event_config *cfg, const struct pe_backend_ops *ops);

#endif
