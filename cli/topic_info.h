/* What a command needs to know of a topic before it moves data: GET /v1/topics/{t}. */
#ifndef CLI_TOPIC_INFO_H
#define CLI_TOPIC_INFO_H

#include "client.h"

#define TOPIC_INFO_PARTITIONS_MAX 256u

struct topic_info {
    bool exists;
    uint32_t partitions_count;     /* 1 when it does not exist: what auto-creation would make */
    uint64_t message_bytes_max;    /* of one batch */
    char leader[REPLY_NODE_BYTES]; /* of partition 0, as in "n2"; empty: unknown */
};

/* OK also when there is no such topic (exists = false). Anything else was printed. */
enum exit_code topic_info_get(struct client *client, const char *topic,
                              struct topic_info *ret_info);

/* First and next offset of a partition: from its description when that names them, else asked for. */
enum exit_code topic_partition_offsets(struct client *client, const char *topic,
                                       const json_t *partition, uint64_t *ret_first,
                                       uint64_t *ret_next);

/* Prints the problem. False: not a name. */
bool topic_name_check(const char *kind, const char *name);

/* Learn all nodes and make the one called `node` the current one. */
void topic_info_prefer_leader(struct client *client, const struct topic_info *info);

#endif
