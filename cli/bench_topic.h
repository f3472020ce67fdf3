/* The topic a benchmark writes to. */
#ifndef CLI_BENCH_TOPIC_H
#define CLI_BENCH_TOPIC_H

#include "client.h"
#include "topic_info.h"

/* Describe the topic, creating it with `partitions` when it does not exist; learn all nodes and prefer the leader of
 * partition 0. Anything but OK was printed. */
enum exit_code bench_topic_prepare(struct client *client, const char *topic, uint64_t partitions,
                                   struct topic_info *ret_info);

#endif
