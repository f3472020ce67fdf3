#ifndef BROKER_NODE_RECEIVED_H
#define BROKER_NODE_RECEIVED_H

/* Entries as they came from a leader, judged before the core hears of them. Pure: bytes in, verdict out. */
#include <raft/message.h>

#include <stddef.h>
#include <stdint.h>

enum received {
    RECEIVED_OK,
    RECEIVED_MALFORMED, /* damaged, of another cluster or group, or not the entries that the message names */
    RECEIVED_BROKEN_CHAIN, /* whole, but not of one history */
};

/* PROTOCOL L2: checksum, payload hash, contiguity and chain of every entry that follows an APPEND. Fills in what the core
 * needs to know of them: the runs of terms, and the CONFIG entries, in `configurations`, which the message then points to.
 * When there are more of either than a message may have, it is shortened before the first one too many: `append.last` falls,
 * the bytes behind it are left over. A previous chain of 0 is not known to the sender, and not compared. */
enum received received_check(
    struct raft_message *append,
    struct raft_indexed_configuration configurations[RAFT_MESSAGE_CONFIGURATIONS_MAX],
    uint64_t group_seed, const uint8_t *entries, size_t bytes);

#endif
