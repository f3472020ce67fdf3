/* A replica of one Raft group on this node: its log, its core, its state, who waits for it, and its jobs. */
#ifndef BROKER_NODE_GROUP_H
#define BROKER_NODE_GROUP_H

#include "broadcast.h"
#include "chains.h"
#include "expendable.h"
#include "limits.h"
#include "list.h"
#include "snapshots.h"

#include <broker/meta.h>
#include <broker/node.h>
#include <broker/partition.h>
#include <raft/raft.h>
#include <segment_log/segment_log.h>

struct base_receive;
struct base_write;
struct io_job_queue;
struct mending;
struct node;
struct raft_node;
struct repair;
struct segment_log;
struct segment_log_job;
struct segment_log_seal_job;

/* One entry about to be proposed. */
struct proposal {
    enum entry_type type;
    uint32_t record_count;
    const uint8_t *payload;
    uint32_t payload_bytes;
    int64_t timestamp_ms;
};

/* A job that uses a replica. The replica stays where it is until its last job has ended. */
struct group_job {
    struct io_job job;
    struct group *group;
    struct list_link link; /* group->jobs */
    /* The node is destroyed and the job's end is never told: free what it holds. */
    void (*discard)(struct group_job *job);
};

/* A message that waits for a hard state to become durable (I2). */
struct held_message {
    struct held_message *next;
    uint64_t sequence;
    struct raft_message message;
};

struct group_counters {
    uint64_t reads_confirmed;
    uint64_t reads_skipped;
    uint64_t reads_local;
    uint64_t produced_batches;
    uint64_t produced_records;
    uint64_t produced_bytes;
    uint64_t fetched_bytes;
    uint64_t duplicates;
    uint64_t leader_changes;
    uint64_t appends_rejected;
    uint64_t checkpoints;
    uint64_t
        raft_steps; /* no step, no change of the core: the simulator looks only at what changed */
    uint64_t trims; /* proposed here */
    uint64_t bases_installed;
    uint64_t base_bytes_sent;
    uint64_t regressions; /* D8 */
    uint64_t holes_found;
    uint64_t segments_repaired;
    uint64_t entries_repaired, bytes_repaired; /* that peers supplied */
    uint64_t repair_bytes_served;
};

/* A replica of one Raft group on this node. */
struct group {
    struct node *node;
    struct group *hash_next;
    struct list_link link; /* node->groups */
    uint64_t id;
    uint64_t epoch;
    bool is_meta;
    char directory[DISK_PATH_MAX];
    char topic[META_TOPIC_NAME_BYTES_MAX + 1];
    uint32_t partition_number;

    struct raft_node *raft;
    struct raft_term_run *trail;
    struct segment_log *log;
    struct io_job_queue *queue;      /* log writes, one at a time */
    struct io_job_queue *read_queue; /* reads and received bases */
    struct group_job write_job;
    struct segment_log_job *write; /* outstanding, or NULL */
    struct group_job seal_job;
    struct segment_log_seal_job *seal; /* outstanding, or NULL */
    struct list_link jobs;             /* struct group_job, outstanding */
    uint64_t last_write_us;
    uint64_t write_started_us; /* of the outstanding one */
    uint64_t write_left_bytes; /* free on the disk when the last one had ended */
    uint64_t stall_told_us;    /* stall.c */
    uint64_t offered_us;
    uint32_t offers_count;

    struct partition partition; /* unless is_meta */
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t own_noop_index; /* leader: its no-op; produce is taken once applied (P1) */
    bool own_noop_applied;

    enum raft_role role;
    uint64_t term;
    uint64_t leader;
    uint64_t leaderless_us; /* since when no leader is known; 0: one is */

    struct raft_hard_state hard_state; /* newest handed to the store */
    uint64_t hard_state_sequence;
    bool hard_state_pending;
    struct held_message *held, **held_tail;
    uint32_t held_count;

    uint64_t regressing[RAFT_MEMBERS_MAX]; /* leader: nodes that refused what they acked, once */
    uint64_t append_reading[RAFT_MEMBERS_MAX]; /* nodes whose APPEND is read from the files */

    struct list_link parked;
    struct list_link queued;
    struct list_link waiting;   /* by ascending index */
    struct list_link unasked;   /* BARRIER: ask for a read index at the end of this turn */
    struct list_link barriers;  /* BARRIER: asked, by ascending barrier_id */
    struct list_link confirmed; /* BARRIER: index known, waits for applied */
    uint32_t asks_count;        /* READ events without an answer */
    struct list_link polls;
    uint64_t polls_offset; /* end of the log when the polls were looked at last */
    bool dirty;            /* on node->dirty */
    struct list_link dirty_link;

    struct proposal proposals[NODE_PROPOSALS_MAX];
    uint32_t proposals_count;
    uint8_t *offsets_payload; /* of the OFFSETS entry being proposed; grows */
    size_t offsets_capacity;

    /* base.c */
    struct segment_log_point bases[GROUP_BASES_ROOM]; /* durable ones, newest first */
    uint32_t bases_count;
    bool
        drops_prefix; /* two of them, and the log starts at the older one; else behind what is trimmed */
    uint64_t
        cover_index; /* drops_prefix: a base is to stand here or behind, for nobody can mend what is in front */
    uint64_t base_due_us; /* when the newest one was begun, or found */
    /* What the newest durable snapshot says is trimmed: a start begins there, so no file goes that it would still show */
    uint64_t trimmed_durable;
    bool opened_damaged; /* a snapshot was: the state may be older than it was */
    struct snapshot_care snapshots;
    uint64_t drop_held_us; /* since when a member that lags holds up the next drop; 0: none does */
    uint64_t dropped_below;
    uint64_t cleaned_below; /* older bases are gone: now the files may go */
    bool boundary_wanted;   /* a base is to stand at boundary_index, once that is applied */
    uint64_t boundary_index;
    struct base_write *base_frozen; /* its state, until the log is durable through it */
    bool base_writing;
    struct list_link sends; /* struct base_send (base_send.c) */
    uint64_t sends_told_us;
    struct base_receive *receive; /* base_receive.c; NULL: none */
    struct repair *repair;        /* repair.c; NULL: the log is whole, as far as is known */
    struct mending *mending;      /* mending.c; NULL: the core runs */
    uint64_t
        begun_behind; /* where the core began, behind damage (recall.c); 0: at the start of the log */
    bool core_is_damaged;       /* it was told so, at damaged_us (damaged.c) */
    uint64_t core_damaged_from; /* ... and of this entry; 0: of none */
    uint64_t damaged_us;
    bool scrub_asked;     /* somebody waits for the end of this pass */
    uint64_t scrubbed_us; /* end of the last one */
    /* S3: what was committed when a base replaced the log. Until it is applied, nothing is read locally */
    uint64_t reads_from_index;

    struct chain_dispute dispute;
    uint32_t chain_reads_count; /* entries that are read to tell their chains; survives a dispute */
    struct expendable expendable; /* of a leader */

    bool apply_reading; /* an apply waits for a read job */
    uint64_t checkpoint_index;
    uint64_t checkpoint_us; /* when one was begun last */
    bool checkpoint_running;
    bool
        write_refused; /* the last write found no space: tried again at the pace of the space check */
    bool
        campaign_wanted; /* first leader (M6, M7): stands when a majority of the replicas is made */
    uint32_t made_mask;  /* bit per member position: that replica told that it is made */
    bool dropping;       /* deleted: freed when the last job has ended and the record is durable */
    bool opened_configuration, opened_as_only_voter; /* at start, by its newest snapshot */
    bool quarantined; /* dropping: it is not dropped, but set aside and made again (lost.c) */
    uint64_t drop_sequence;
    uint64_t due_ms; /* of the core's timer */
    /* Leader: changes of members (reconfigure.c, changes.c) */
    uint64_t wish_barrier; /* number of the barrier on meta that it waits for */
    uint64_t looked_us;
    uint64_t settled_version; /* node->members_version at which nothing was to be done */
    uint64_t reported_us;
    uint32_t reported_state; /* enum node_change_state */
    /* By which wish, in which term, a read index showed that this replica leads; or is to show it. */
    uint64_t confirmed_wish, confirmed_term;
    uint64_t confirming_wish, confirming_term;
    bool is_confirming;
    struct broadcast_sample broadcast; /* C9 */
    struct {                           /* leader: retention.c */
        uint64_t looked_us;
        uint64_t looked_index; /* the newest base then */
        enum entry_type type;  /* of what is to be proposed */
        uint8_t payload[RETENTION_PAYLOAD_BYTES];
        uint32_t payload_bytes; /* 0: nothing is */
        uint64_t index;         /* of what was proposed last; nothing more is until it is applied */
    } control;
    struct group_counters counters;
    char problem[NODE_STATUS_TEXT_BYTES];
};

/* NULL: no such replica runs here. */
struct group *node__group(const struct node *node, uint64_t id);
/* With an empty state, no log and no core. To be freed. */
struct group *group__new(struct node *node, uint64_t id, uint64_t epoch);
/* configurations: array[count], index rising: the one of the state at commit_index, then those of the log behind it. */
bool group__start_core(struct group *group, const struct raft_hard_state *hard_state,
                       const struct raft_indexed_configuration *configurations, uint32_t count,
                       uint64_t commit_index);
/* The same, beginning behind `begin`; NULL: where the log begins. */
bool group__start_core_behind(struct group *group, const struct segment_log_point *begin,
                              const struct raft_hard_state *hard_state,
                              const struct raft_indexed_configuration *configurations,
                              uint32_t count, uint64_t commit_index);
void group__attach(struct group *group); /* from here on it is found and stepped */
void group__detach(struct group *group);
/* By the configuration in its own log, which may lag behind that of the group. */
bool group__is_member(const struct group *group);
void group__free(struct group *group); /* no job may be outstanding */
void group__submit(struct group *group, struct io_job_queue *queue, struct group_job *job);
void group__job_ended(struct group_job *job); /* may free the group */
void group__discard_jobs(struct group *group);
struct segment_log_options group__log_options(const struct node *node, uint64_t id,
                                              const char *directory);
void group__directory(const struct node *node, uint64_t id, char *buffer, size_t bytes);
/* Blocks. */
bool group__any_directory(const struct node *node);

#endif
