/* What tests see of a node's inside: its replicas as they are at this instant. Nothing here changes a node. */
#ifndef SIMULATOR_NODE_PEEK_H
#define SIMULATOR_NODE_PEEK_H

#include <broker/meta.h>
#include <broker/node.h>
#include <raft/raft.h>

#define PEEK_GROUPS_MAX 512u

struct peek_group {
    const struct group *inside; /* valid until the node runs again */
    const char *directory;
    uint64_t group;
    uint64_t epoch;
    uint64_t raft_steps; /* since the process started: as long as it stays, so does the core */
    enum raft_role role;
    uint64_t term;
    uint64_t leader;
    struct raft_hard_state hard_state;
    bool hard_state_is_durable;
    uint64_t base_index;
    uint64_t checkpoint_index;
    uint64_t last_index;
    uint64_t durable_index;
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t next_offset;         /* of the log */
    uint64_t applied_next_offset; /* of the state: what reads may show; 0 of meta */
    bool is_meta;
    uint64_t log_start_offset; /* of the applied TRIM */
    uint64_t trimmed_index;
    uint64_t base_next_offset; /* where the log's files start */
    bool skipped_checkpoint;   /* the state may be older than the log's start */
    bool base_is_installed;    /* by another replica's base; its state is behind until ... */
    uint64_t reads_from_index; /* ... this is applied */
    bool takes_produce;        /* leads, and its own-term no-op is applied */
    bool
        mark_is_durable; /* the synced mark of the log tells of all that is durable, and is synced itself (L5) */
};

/* All replicas of a node, by the order in which they were made. Returns their number. O(replicas). */
uint32_t peek_groups(const struct node *node, struct peek_group *ret_groups, uint32_t max);

/* Of a replica, when it was looked at last: while this stays the same, so does all of struct peek_group that a step of the
 * core, an applied entry or a disk can change. */
struct peek_mark {
    const struct group *inside;
    uint64_t group;
    uint64_t epoch;
    uint64_t raft_steps;
    uint64_t term;
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t base_index;
    uint64_t last_index;
    uint64_t durable_index;
    bool hard_state_is_durable;
};
/* Only those whose mark is another one now; all when *marks_count is 0. marks: array[PEEK_GROUPS_MAX], brought up to
 * date. */
uint32_t peek_changed_groups(const struct node *node, struct peek_mark *marks,
                             uint32_t *marks_count, struct peek_group *ret_groups);
bool peek_group(const struct node *node, uint64_t group, struct peek_group *ret_group);

/* Chain and term of an entry that is in memory; false: it is not. */
bool peek_entry(const struct peek_group *group, uint64_t index, uint64_t *ret_chain,
                uint64_t *ret_term);
/* Digest of the applied state: equal on all replicas at equal applied_index. O(state). */
uint64_t peek_state_digest(const struct peek_group *group);
/* A base is being received, and its log is being born or published. */
bool peek_is_switching(const struct peek_group *group);
uint64_t peek_base_bytes_sent(const struct peek_group *group); /* since the process started */
/* Bytes of the log behind what is trimmed. */
uint64_t peek_bytes_kept(const struct peek_group *group);
/* Bases that replaced the log since the process started. */
uint64_t peek_bases_installed(const struct peek_group *group);
/* Answers of members that took nothing, since the process started. */
uint64_t peek_appends_rejected(const struct peek_group *group);
/* Frames that it could not read or understand, since the process started. */
uint64_t peek_bad_frames(const struct node *node);
/* Sessions of repair that hold one of the places of the node. */
uint32_t peek_repairs(const struct node *node);
/* Requests of other nodes that it serves. */
uint32_t peek_guests(const struct node *node);
/* Members that lacked what they had acknowledged, since the process started. */
uint64_t peek_regressions(const struct peek_group *group);
/* Through here it lacks what it acknowledged, as a leader told it since it started; 0: nothing. */
uint64_t peek_pledged_index(const struct peek_group *group);
const struct raft_configuration *peek_configuration(const struct peek_group *group);
/* The newest in its log, committed or not, with the index of its CONFIG entry. */
const struct raft_indexed_configuration *peek_newest_configuration(const struct peek_group *group);
/* The newest that is committed; NULL: newer ones have pushed it out of memory. */
const struct raft_indexed_configuration *peek_committed_configuration(
    const struct peek_group *group);
/* Aborts when an invariant of the core does not hold. */
void peek_check_core(const struct peek_group *group);
/* Group of a partition as the node's applied meta state knows it; 0: unknown. */
uint64_t peek_partition_group(const struct node *node, const char *topic, uint32_t partition);
/* Whom meta named to lead it first; 0: unknown. */
uint64_t peek_first_leader(const struct node *node, const char *topic, uint32_t partition);
/* What the node has applied of group 0; applied_index 0: nothing. */
const struct meta_state *peek_meta(const struct node *node);
/* Zero: not founded. */
struct cluster_id peek_cluster(const struct node *node);

#endif
