/* What a node's own records say of the directory of a replica, for those who look at its files offline. */
#ifndef CLI_LOG_REPLICA_H
#define CLI_LOG_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

enum log_replica_state {
    LOG_REPLICA_UNKNOWN, /* it is not in the data directory of a node, or that has no votes that can be read */
    LOG_REPLICA_MADE, /* what is not there is lost (PROTOCOL M4) */
    LOG_REPLICA_LEFT_OVER, /* being made or dropped when its node stopped: the next start removes it, whatever is there */
};

struct log_replica {
    enum log_replica_state state;
    bool has_group;
    uint64_t group; /* by the name of the directory */
};

struct log_replica log_replica_of(const char *directory);

/* Every replica that is made, by the votes in a data directory, and of whose log nothing is there, `directory` included. */
typedef void (*log_replica_cb)(void *data, const char *directory,
                               const struct log_replica *replica);
void log_replica_each_missing(const char *data_directory, log_replica_cb cb, void *data);

/* By its name a segment, or a snapshot of any kind. */
bool log_replica_is_segment(const char *name);
bool log_replica_is_snapshot(const char *name);

#endif
