/* Committed offsets of a consumer group: GET and PUT /v1/groups/{g}/offsets/{t}/{p}. */
#ifndef CLI_GROUP_OFFSET_H
#define CLI_GROUP_OFFSET_H

#include "client.h"

struct group_offset {
    uint32_t partition;
    uint64_t offset;
    uint32_t slot; /* the owner's */
    bool stored;
    bool tells_durable; /* commit: whether the group is durable there from now on */
    bool durable;
    uint64_t expired; /* read: messages that were trimmed before it had committed them */
};

/* *ret_found = false: the group has committed nothing there. Anything but OK was printed. */
enum exit_code group_offset_get(struct client *client, const char *group, const char *topic,
                                uint32_t partition, bool *ret_found, uint64_t *ret_offset);
/* The same with everything that is known. */
enum exit_code group_offset_read(struct client *client, const char *group, const char *topic,
                                 uint32_t partition, bool *ret_found,
                                 struct group_offset *ret_offset);

/* Sending it twice changes nothing, so it is retried like a read. `ret_problem` is set when it is not OK; prints
 * nothing. */
enum exit_code group_offset_commit(struct client *client, const char *group, const char *topic,
                                   const struct group_offset *offset, char *ret_problem,
                                   size_t problem_bytes);

#endif
