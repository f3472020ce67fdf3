/* What the files of broker/node share: the node, its replicas ("groups"), the life of a request.
 *
 * Place: everything here runs on the loop thread. Blocking work (log writes, vote store, reads from segment files,
 * snapshots, making and dropping replicas) is jobs; their completions come back as callbacks and find their replica by
 * a pointer that stays valid while the job is counted in group->jobs_count.
 *
 * Nothing calls back into a client from inside one of its calls: finished requests are collected and answered at the end
 * of the turn (turn.c). A replica's core is stepped by group__step() alone, which performs the update before it returns.
 *
 * Invariants:
 *  I1 applied_index <= commit_index <= last index of the log.
 *  I2 A message that depends on a term or vote leaves only when the store has made it durable (perform.c).
 *  I3 A request is on exactly one list of its stage, or owned by exactly one job.
 *  I4 A waiter stands for (index, term) of its entry. It is answered OK when that very entry is applied, and fails
 *     definitely only when another entry is applied at its index (PROTOCOL P4). That the entry was cut from this log
 *     proves nothing: a node that still has it may lead next and commit it (Raft figure 8). */
#ifndef BROKER_NODE_INTERNAL_H
#define BROKER_NODE_INTERNAL_H

#include "broadcast.h"
#include "clock.h"
#include "heartbeat.h"
#include "list.h"

#include <broker/meta.h>
#include <broker/node.h>
#include <broker/partition.h>
#include <broker/raft_codec.h>
#include <raft/raft.h>
#include <segment_log/node_store.h>
#include <segment_log/repair.h>
#include <segment_log/segment_log.h>
#include <snapshot/snapshot.h>

#define NODE_GROUPS_HASH     256u
#define NODE_PROXIED_BUCKETS 256u
#define NODE_HELD_MAX        256u /* messages of a group that wait for the store */
#define NODE_ASKS_MAX        64u /* READ events in flight per group; the core takes RAFT_READS_MAX */
#define NODE_FETCH_BYTES_MAX \
    (8u * 1024u * 1024u)                      /* of one answer; a larger batch is answered alone */
#define NODE_APPEND_BYTES_MAX (1024u * 1024u) /* entries in one APPEND frame */
#define NODE_BULK_QUEUE_BYTES_MAX \
    (8u * 1024u * 1024u) /* per peer, above it nothing more is handed over */
#define NODE_UNFLUSHED_BYTES_MAX \
    (64u * 1024u * 1024u) /* per log, above it appends wait or are refused */
#define NODE_REPLICAS_MAX       (NODE_STORE_GROUPS_MAX / 2u) /* of partitions, per node */
#define NODE_PROPOSALS_MAX      1024u                        /* entries in one proposal */
#define NODE_REQUEST_TIMEOUT_MS 10000u
#define NODE_MAINTENANCE_US     25000u
#define NODE_MARK_IDLE_US       20000u /* PROTOCOL L5 */
#define NODE_TRAIL_RUNS_MAX     65536u
#define NODE_LOG_LINE_BYTES     512u

#define GROUP_BASES_MAX         32u /* that a replica keeps ... */
#define GROUP_BASES_ROOM        64u /* ... and finds at a start, where crashes left some that were to go */
#define META_BASES_MAX          2u
#define RETENTION_PAYLOAD_BYTES 32u
#define NODE_BASE_SENDS_MAX     4u /* of all groups */
#define NODE_BASE_RECEIVES_MAX  4u
#define NODE_REPAIRS_MAX        4u /* sessions at once, of all groups */
#define NODE_REPAIR_SERVES_MAX  4u /* answers that are being read, for all peers */

enum request_stage {
    STAGE_NEW,
    STAGE_PARKED,  /* waits for a leader, or for the leader's own-term no-op to be applied */
    STAGE_QUEUED,  /* will be proposed at the end of this turn */
    STAGE_WAITING, /* its entry is appended at `index`: waits for apply or truncation */
    STAGE_BARRIER, /* waits to ask for a read index, then for the index, then for applied >= index */
    STAGE_POLL,    /* long poll: waits for data, or for the end of its wait */
    STAGE_READING, /* owned by a read job */
    STAGE_PROXIED, /* sent to another node */
    STAGE_TOPIC, /* CREATE waits for its groups to lead, DELETE for a majority to have dropped them */
    STAGE_TRANSFER, /* waits until another replica leads (transfer.c) */
    STAGE_DONE,     /* answered at the end of the turn */
};

struct group;

/* What the node keeps in node_request.node_private. */
struct request_state {
    struct list_link all; /* node->requests */
    struct list_link stage_link;
    enum request_stage stage;
    struct node *node;
    struct group *group; /* of this stage, may be NULL */
    uint64_t deadline_us;
    uint64_t poll_until_us; /* fetch: end of the long poll */
    uint64_t index;         /* WAITING: entry; BARRIER: read index once known, else 0 */
    uint64_t term;          /* WAITING: of the entry */
    uint64_t barrier_id;    /* BARRIER: of the READ event; all requests of one turn share one */
    uint64_t proxy_number;
    uint64_t proxy_node;
    uint64_t deposed_us;      /* PROXIED: since when another node leads; 0: not */
    uint64_t command_request; /* meta command: random number of its entry */
    uint64_t admitted_bytes;
    uint64_t group_id;
    bool passed;        /* a barrier of its partition was passed since it came */
    bool meta_checked;  /* a miss was confirmed by a ReadIndex on meta (PROTOCOL M8) */
    bool created;       /* TOPIC_CREATE: the entry is applied */
    bool may_be_stored; /* an entry of it may be in a log: failure is "unknown" */
    bool poll_expired;
    bool confirmed;      /* the read was confirmed by a ReadIndex round */
    uint32_t damaged_at; /* fetch: bit per peer that was asked because of damage (elsewhere.c) */
    bool
        internal; /* a command of this leader of meta itself (registry.c): ends with its leadership */
    bool owned;   /* malloc'ed by the node itself, freed by its done() */
    struct meta_settings settings;
    void *reading;    /* READING: the job */
    bool reads_range; /* READING: of elsewhere.c */
    uint8_t *payload; /* QUEUED: an encoded META command, owned */
    uint32_t payload_bytes;
    uint64_t parked_us;
    uint64_t asked_us; /* TOPIC: when a lost notice was asked for last; TRANSFER: when it came */
    uint64_t transfer_target; /* TRANSFER: who was told to lead */
    uint64_t
        transfer_lost_by; /* PROXIED: the leader that was asked to hand over, and did not answer */
};
_Static_assert(sizeof(struct request_state) <= sizeof(((struct node_request *)0)->node_private),
               "node_request.node_private must hold the node's part");

static inline struct request_state *request_state(struct node_request *request)
{
    return (struct request_state *)(void *)request->node_private;
}

static inline struct node_request *request_of_state(struct request_state *state)
{
    return (struct node_request *)(void *)((char *)state -
                                           offsetof(struct node_request, node_private));
}

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

/* A read of entries from the files. First member of what its user keeps with it, in one allocation (read.c). */
struct group_read {
    struct group_job base;
    struct segment_log_read_job *read;
    /* On OK the view is the callee's. The read is freed when it returns. Not called when the node is stopped. */
    void (*done)(struct group_read *read, enum segment_log_status status,
                 struct segment_log_view *view, const struct segment_log_problem *problem);
};

/* A message that waits for a hard state to become durable (I2). */
struct held_message {
    struct held_message *next;
    uint64_t sequence;
    struct raft_message message;
};

/* Whether this replica or another one has diverged (chains.c). */
struct chain_dispute {
    uint64_t index;       /* 0: none */
    uint64_t term, chain; /* what this replica has there */
    uint64_t asked_us;
    bool told
        [RAFT_MEMBERS_MAX]; /* by position in the configuration, which stays while nothing is taken */
    uint64_t chains[RAFT_MEMBERS_MAX];
    uint64_t found_with; /* through this index it was found to be with the majority */
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

    uint64_t
        regressing[RAFT_MEMBERS_MAX]; /* nodes that refused what they acked, once (regress.c) */
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
    uint64_t base_due_us; /* when the newest one was begun, or found */
    /* What the newest durable snapshot says is trimmed: a start begins there, so no file goes that it would still show */
    uint64_t trimmed_durable;
    bool skipped_checkpoint; /* a damaged one: the state is older than it was */
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
    bool core_is_damaged;         /* it was told so, at damaged_us (damaged.c) */
    uint64_t damaged_us;
    bool scrub_asked;     /* somebody waits for the end of this pass */
    uint64_t scrubbed_us; /* end of the last one */
    /* S3: what was committed when a base replaced the log. Until it is applied, nothing is read locally */
    uint64_t reads_from_index;

    struct chain_dispute dispute;

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

enum node_state {
    NODE_FOUNDING, /* no cluster id yet */
    NODE_ASKING,   /* a cluster is known and not this directory in it: asks to join (join.c) */
    NODE_JOINING,  /* group 0 is being made */
    NODE_RUNNING,
    NODE_STOPPING,
    NODE_STOPPED,
    NODE_FAILED,
};

/* Where the leader of a group was last seen; also for groups without a replica here. */
struct leader_hint {
    struct leader_hint *next;
    uint64_t group;
    uint64_t term;
    uint64_t leader;
    uint64_t heard_us;
};

/* Replicas of a deleted group that told that they are gone (M8). */
struct drop_watch {
    struct list_link link;
    struct meta_topic *topic;
    uint64_t index; /* of the meta entry that deleted it */
    uint64_t asked_us;
    struct node_request *request;
    uint32_t dropped[META_PARTITIONS_MAX]; /* bit per replica position */
};

struct peer_state {
    bool is_learned; /* meta names it */
    bool
        is_member; /* it connected last as a member of this cluster: Raft traffic goes to and from it */
    bool is_joining; /* it connected last without a replica of group 0 */
    uint64_t process;
    uint64_t moved_told_us;     /* last BULK_MOVED that was stepped */
    struct io_timer lost_timer; /* PROTOCOL C5: one heartbeat after the control connection closed */
    bool lost_pending;
    struct node *node;
    uint64_t node_id;
    char trouble[NODE_STATUS_TEXT_BYTES];
    uint64_t trouble_us;
    struct heartbeat_books heartbeats; /* PROTOCOL C6 */
    struct clock_reading clock;        /* PROTOCOL C8; kept while it is away */
};

struct node {
    struct node_options options;
    char data_directory[DISK_PATH_MAX];
    struct io *io;
    struct disk *disk;
    struct disk_file *lock;
    struct node_identity identity;
    struct founding founding;
    bool founding_barred; /* most of the empty nodes only join: nobody founds (M6) */
    enum node_state state;
    struct node_store *store;
    struct io_job_queue *store_queue;
    struct io_job store_job;
    struct node_store_job *store_running;
    uint64_t store_started_us;
    uint64_t has_space_us;                 /* when the disk was not full last */
    struct io_job_queue *background_queue; /* checkpoints and bases of all groups, one at a time */
    struct io_job_queue *setup_queue;      /* replicas made and dropped, in order */
    uint32_t setup_jobs_count;

    struct peer_hub *hub;
    struct peer_state peers[PEER_KNOWN_MAX];
    uint32_t peers_count;
    uint64_t process; /* random number of this process */

    struct group *groups_hash[NODE_GROUPS_HASH];
    struct list_link groups;
    struct list_link births;   /* struct group_birth under way */
    struct list_link removals; /* struct group_removal under way (drop.c) */
    struct list_link dropping; /* groups that wait for their jobs to end */
    struct list_link lost;     /* struct lost_replica (lost.c) */
    struct list_link mending;  /* groups whose core has not started (mending.c) */
    uint32_t groups_count;
    struct group *meta_group;
    struct meta_state meta;

    struct list_link requests;                      /* all of them */
    struct list_link done;                          /* STAGE_DONE */
    struct list_link parked;                        /* STAGE_PARKED without a replica here */
    struct list_link proxied[NODE_PROXIED_BUCKETS]; /* by proxy_number: answers come in any order */
    struct list_link guests;                        /* requests of peers served here (proxy.c) */
    struct list_link topics;                        /* STAGE_TOPIC */
    struct list_link transfers;                     /* STAGE_TRANSFER */
    struct list_link drops;                         /* struct drop_watch */
    struct list_link auto_creates;                  /* struct auto_create (auto_create.c) */
    struct list_link dirty;                         /* groups with work at the end of the turn */
    struct list_link working;                       /* of those, what this pass has not come to */
    struct leader_hint *hints[NODE_GROUPS_HASH];
    uint32_t prune_bucket;
    uint64_t inflight_bytes;
    uint64_t next_number; /* barrier ids, proxy numbers */

    uint32_t base_sends_count, base_receives_count;
    struct clock_watch clock_watch; /* PROTOCOL C8: of this node's own clock */
    uint32_t repairs_count, repair_serves_count;
    struct { /* scrub.c */
        bool is_reading;
        uint64_t group_id, began_us; /* of the background's pass */
        uint64_t earned_us;
        int64_t credit_bytes;
    } scrub;

    int64_t producer_next, producer_end; /* leader of meta: rest of its block */
    bool producer_taking;
    bool replicas_stale;  /* the state of meta may say other replicas than are here */
    uint64_t led_meta_us; /* when this node did not lead meta last */
    /* Barriers on meta for the groups that this node leads, by number (reconfigure.c). */
    uint64_t wish_barrier_started, wish_barrier_passed;
    bool wish_barrier_running;
    struct change_entry *changes[NODE_GROUPS_HASH]; /* leader of meta: what was reported */
    uint64_t members_version;    /* rises with every change of wishes or members that is applied */
    uint64_t members_changed_us; /* when an entry that changed members was applied last */
    bool registering;            /* a META_NODE_SET of this leader is under way: one at a time */
    bool growing; /* a META_PLACE of this leader that gives a replica back is under way */
    uint64_t grown_us;
    bool renewing; /* and a META_REPLICA_RENEW that another node told of */
    uint64_t registered_us;

    struct { /* ASKING */
        uint64_t asked_us;
        uint64_t told_us; /* by a leader of group 0 */
        bool is_under_way;
        bool refused;
        uint64_t number; /* of this asking: answers to an earlier one do not count */
        bool knows_registered;
        uint64_t registered; /* in whose place this incarnation comes, as a leader told it */
        bool is_lost;        /* the replica of group 0, of this epoch */
        uint64_t lost_epoch;
        char text[NODE_STATUS_TEXT_BYTES];
    } join;
    struct founding_entry *entry; /* JOINING: being written; NULL: none */
    uint64_t followed_index;      /* of meta, by peers__follow_meta() */
    uint64_t followed_configuration;

    struct io_timer turn_timer;  /* posted: end of this turn */
    struct io_timer tick_timer;  /* next core timer */
    struct io_timer maintenance; /* every NODE_MAINTENANCE_US */
    uint64_t tick_at_ms;         /* 0: not started */
    bool ticking;
    uint64_t seen_us;     /* time of the last entry into the node (time gaps, C7) */
    bool cluster_changed; /* the hub is told at the end of the turn, not from inside its callback */

    bool disk_full;
    bool space_running;
    struct io_job space_job;
    uint64_t space_checked_us;
    uint64_t space_found_bytes; /* the job's */
    uint64_t free_bytes;

    struct broadcast_times broadcasts; /* C9 */
    uint64_t broadcast_p99_us;         /* at the last check; 0: not known */
    uint64_t broadcast_checked_us, broadcast_told_us;
    bool broadcast_is_slow;

    uint64_t started_us;
    void (*stopped)(void *data);
    void *stopped_data;
    uint64_t stop_deadline_us;
    uint64_t stop_started_us;
    bool stop_quiet; /* stopping: peers are not heard any more */
    bool
        quiesced; /* stopping, and done for clients: nothing new is taken from peers, so that the disk work ends */

    const uint8_t *received_entries; /* of the APPEND being stepped; borrowed from its frame */
    size_t received_bytes;
    uint64_t received_first;
    struct raft_update update; /* scratch of group__step; not re-entrant */
    bool stepping;

    struct {
        uint64_t requests_total[NODE_REQUEST_TYPES_MAX];
        uint64_t proxied_out, proxied_in;
        uint64_t refused_overload, refused_full;
        uint64_t bad_frames;
        uint64_t unknown_groups;
        uint64_t scrubbed_bytes;
        uint64_t time_gaps;
        uint64_t replicas_lost;
        uint64_t chain_disputes;
        uint64_t replicas_quarantined;
        uint64_t sync_count;
        uint64_t sync_us_total;
        uint64_t sync_us_max;
    } counters;
};

/* ---- node.c ------------------------------------------------------------------------------------------------- */
void node__fatal(struct node *node, enum node_fatal code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void node__log(struct node *node, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Every entry from outside calls this first: false when the node does nothing any more. Detects time gaps (C7). */
bool node__enter(struct node *node);
uint64_t node__random_number(struct node *node); /* never 0 */
struct peer_state *node__peer(struct node *node, uint64_t node_id);
bool node__peer_is_usable(struct node *node, uint64_t node_id);
void node__start_running(struct node *node);

/* ---- peers.c --------------------------------------------------------------------------------------------------- */
extern const struct peer_callbacks peers__callbacks;
void peers__init(struct node *node);
void peers__close(struct node *node); /* the hub is gone */
/* Nodes come, move and go as the applied state of meta says. Cheap when nothing changed. */
void peers__follow_meta(struct node *node);
bool peers__founded_as(const struct node *node, uint64_t node_id, uint64_t *ret_incarnation);
/* A member of group 0 by the configuration in use, or by one that is being changed. */
/* What a node that was removed is told, behind its name (status.c knows it again). */
#define PEERS_REMOVED                                                                        \
    "was removed from the cluster; stop it, or empty its data directory and admit it again " \
    "with `raftmq cluster add`"
bool peers__may_be_in_meta(const struct node *node, uint64_t node_id);

/* ---- join.c ---------------------------------------------------------------------------------------------------- */
void join__ask(struct node *node); /* from time to time */
void join__asked(struct node *node, const struct peer_frame *frame);
void join__answered(struct node *node, const struct peer_frame *frame);

/* ---- founding.c ------------------------------------------------------------------------------------------------ */
void founding__check(struct node *node);
void founding__received(struct node *node, uint64_t from, const uint8_t *body, size_t bytes);
void founding__send(struct node *node, uint64_t to);
/* It held another directory before: it only joins (M6). */
bool founding__cannot_found(struct node *node, uint64_t node_id);
/* The cluster took this directory in: its replica of group 0 is made, as a learner at first. */
void founding__joined(struct node *node, uint64_t epoch, uint64_t incarnation_index);
void founding__free_entry(struct founding_entry *entry);
/* The replica of group 0 was lost and its files are aside: the cluster is asked for another one. */
void founding__ask_again(struct node *node, uint64_t lost_epoch);
bool founding__lists_me(const struct node *node); /* by this very directory */
bool founding__start(struct node *node); /* after the identity is loaded: make or open group 0 */

/* ---- turn.c ------------------------------------------------------------------------------------------------- */
void node__post(struct node *node);
void node__dirty(struct group *group);
void node__set_timer(struct group *group, uint64_t at_ms); /* of its core */
void turn__init(struct node *node);

/* ---- group.c --------------------------------------------------------------------------------------------------- */
struct group *node__group(const struct node *node, uint64_t id);
/* Everything that a new replica needs. Runs off the loop. */
struct group_birth {
    struct io_job job;
    struct node *node;
    uint64_t group_id;
    uint64_t epoch;
    uint64_t meta_index;
    struct raft_configuration configuration;
    bool campaign;
    uint32_t made_mask; /* as in struct group, while this replica is being made */
    char topic[META_TOPIC_NAME_BYTES_MAX + 1];
    uint32_t partition_number;
    int error;
    struct segment_log_problem problem;
    struct segment_log *log;
    uint64_t store_sequence; /* of its record; 0: not put yet */
    uint64_t drop_index;     /* meta entry that deleted it meanwhile; 0: none */
    uint64_t retry_at_us;    /* not running and no record: there was no room, tried again */
    bool running;
    struct list_link link;
};
void group__make(struct node *node, uint64_t group_id, uint64_t epoch, uint64_t meta_index,
                 const struct raft_configuration *configuration, bool campaign, const char *topic,
                 uint32_t partition_number);
/* At start. False: fatal was called. One that lost its position is noted (lost.c) and not there. */
bool group__open(struct node *node, const struct node_record *record);
/* V3: the votes are lost. True: by its log this node is the group's only voter, and *ret_record is how it goes on. Blocks. */
bool group__survives_lost_vote(struct node *node, uint64_t group_id, uint64_t *ret_last_index,
                               struct node_record *ret_record);
struct group *group__new(struct node *node, uint64_t id, uint64_t epoch);
/* Configurations that the core is to know: array[count], index rising. The newest, with as many before it as it remembers. */
struct found_configurations {
    struct raft_indexed_configuration items[RAFT_CONFIGURATIONS_MAX];
    uint32_t count;
    uint64_t unreadable_index; /* 0: none */
};
/* In its place by its index. What the entries up to the first one, the state's, say is over. */
void group__found_configuration(struct found_configurations *found, uint64_t index,
                                const uint8_t *payload, uint32_t payload_bytes);
/* A recorded replica begins to live: state (moved), core, found by others from here on. `begin`: the core begins behind it, as
 * behind a base; NULL: where the log begins. False: fatal was called. */
bool group__start(struct group *group, const struct segment_log_point *begin,
                  const struct raft_hard_state *hard_state, const struct snapshot_header *header,
                  struct tree *state, const struct found_configurations *found);
/* What is applied becomes the state, which is moved. False: it was written by a newer version. */
bool group__restore(struct group *group, const struct snapshot_header *header, struct tree *state);
/* configurations: array[count], index rising: the one of the state at commit_index, then those of the log behind it. */
bool group__start_core(struct group *group, const struct raft_hard_state *hard_state,
                       const struct raft_indexed_configuration *configurations, uint32_t count,
                       uint64_t commit_index);
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
bool group__any_directory(const struct node *node);

/* ---- birth.c --------------------------------------------------------------------------------------------------- */
void group__births_durable(struct node *node);
bool group__is_being_made(const struct node *node, uint64_t id);
/* The group was deleted by this meta entry while it was being made; false: it is not being made. */
bool group__cancel_birth(struct node *node, uint64_t group_id, uint64_t meta_index);
void group__retry_births(struct node *node);
void group__free_births(struct node *node);
/* The replica on `node_id` told that it is made. */
void group__made_on(struct node *node, uint64_t group_id, uint64_t node_id);

/* ---- drop.c ---------------------------------------------------------------------------------------------------- */
/* is_deleted: with its topic; else the group goes on without this replica. */
void group__drop(struct group *group, uint64_t meta_index, bool is_deleted);
/* D6: from now on it sends and answers nothing; it is set aside when its jobs have ended. */
void group__quarantine(struct group *group, const char *why);
void group__continue_drop(struct group *group); /* may free it */
void group__drops_durable(struct node *node);
void group__remove(struct node *node, uint64_t group_id); /* its files; then tell (M8) */
void group__remove_files(struct disk *disk, const char *directory);
bool group__is_dropping(const struct node *node, uint64_t group_id); /* not yet recorded */
bool group__is_gone(const struct node *node,
                    uint64_t group_id); /* nothing of it is here any more */
void group__sweep(struct node *node);
void group__forget_dropped(struct node *node, uint64_t meta_index);
void group__free_removals(struct node *node);

/* ---- lost.c ---------------------------------------------------------------------------------------------------- */
bool lost__has(const struct node *node, uint64_t group_id);
void lost__note(struct node *node, uint64_t group_id, uint64_t epoch, const char *why);
/* That of group 0, before the loop runs. False: fatal was called. Blocks. */
bool lost__note_meta_at_start(struct node *node, uint64_t epoch, const char *why);
/* The struct of a quarantined replica is gone: its files follow. */
void lost__quarantine_ended(struct node *node, uint64_t group_id, uint64_t epoch, const char *why);
/* Durable when it returns 0; "" is where nothing was. Blocks. */
int lost__set_aside(struct node *node, uint64_t group_id, char ret_path[DISK_PATH_MAX]);
/* That of group 0, when the cluster gave another one. False: not yet, its record is on its way to the disk. */
bool lost__end_meta(struct node *node);
void lost__run(struct node *node);
/* On the leader of meta: end that replica, unless another one is being ended; false: it is, or this node does not lead. */
bool lost__renew(struct node *node, uint64_t group_id, uint64_t node_id, uint64_t epoch);
void lost__told(struct node *node, uint64_t from, uint64_t group_id, uint64_t epoch);
uint32_t lost__count(const struct node *node);
bool lost__at(const struct node *node, uint32_t at, struct node_group_status *ret_status);
void lost__free_all(struct node *node);

/* ---- chains.c -------------------------------------------------------------------------------------------------- */
#define CHAINS_BYTES 40u
/* Of a HEARTBEAT or an APPEND. False: its sender has another chain, and it is not to be stepped. */
bool chains__agree(struct group *group, const struct raft_message *message);
/* No message of the core is taken or sent. */
bool chains__is_in_dispute(const struct group *group);
void chains__received(struct node *node, const struct peer_frame *frame);
void chains__truncated(struct group *group, uint64_t from_index);
void chains__run(struct node *node);

/* ---- votes.c --------------------------------------------------------------------------------------------------- */
/* V3: both slots are bad, or the store is missing. What can go on goes on, with a new store; all else is set aside. False:
 * fatal was called. Blocks, at start. */
bool votes__recover(struct node *node);

/* ---- read.c ---------------------------------------------------------------------------------------------------- */
/* Takes over `read` (malloc'ed), with `done` set. Not OK: nothing was started, and it is freed. */
enum segment_log_status read__start(struct group *group, struct group_read *read,
                                    enum segment_log_key key, uint64_t value, uint64_t last_index,
                                    size_t bytes_max);
void read__fatal(struct group *group, enum segment_log_status status,
                 const struct segment_log_problem *problem);

/* Start the job that `read` holds already. */
void read__submit(struct group *group, struct group_read *read);

/* ---- perform.c -------------------------------------------------------------------------------------------------- */
/* Step the core and perform its update. The status is the core's. */
enum raft_status group__step(struct group *group, struct raft_event *event);
void group__store_durable(struct group *group);

/* ---- disk.c ------------------------------------------------------------------------------------------------------ */
void disk__pump_log(struct group *group, bool idle);
void disk__pump_store(struct node *node);
/* seal.c: footers of closed segments */
void seal__pump(struct group *group);
void disk__check_space(struct node *node);

/* ---- checkpoint.c ------------------------------------------------------------------------------------------------ */
/* Take and write one when it is due, or `force`d and there is anything new. */
void checkpoint__maintain(struct group *group, bool force);

/* The header of a snapshot of what is applied. False: where that is in the log, or which configuration it has, is not known
 * any more. */
bool checkpoint__header(const struct group *group, enum snapshot_kind kind,
                        struct snapshot_header *ret_header);

/* ---- stall.c ------------------------------------------------------------------------------------------------------- */
void stall__check(struct node *node);

/* ---- broadcast.c --------------------------------------------------------------------------------------------------- */
void broadcast__appended(struct group *group, uint64_t index, uint64_t term); /* by its leader */
void broadcast__committed(struct group *group);
void broadcast__check(struct node *node); /* from time to time: tells when they are slow (C9) */
/* An election timeout that such broadcasts fit into. */
uint64_t broadcast__wanted_ms(uint64_t p99_us);

/* ---- base.c -------------------------------------------------------------------------------------------------------- */
void base__note(struct group *group, const struct segment_log_point *point); /* it is durable */
void base__installed(struct group *group, const struct segment_log_point *point);
/* Older ones are not sent any more: the log starts at `index`, where one stands. Their files go with the next prefix. */
void base__forget_below(struct group *group, uint64_t index);
/* Make a base of what the log holds now, when that is applied and durable. Does nothing while one is being made. */
void base__begin(struct group *group);
void base__applied(struct group *group); /* one more entry */
void base__truncated(struct group *group, uint64_t from_index);
void base__remove_older(struct group *group, uint64_t below_index);
void base__remove_one(struct group *group, uint64_t index);
void base__maintain(struct group *group);
void base__free(struct group *group);
/* S3: which base a replica gets that lacks entries; 0: the newest. */
uint64_t base__to_send(const struct group *group);
/* A snapshot of this state is durable. */
void base__snapshot_durable(struct group *group, struct tree *state);
/* The state does not know yet of the TRIM by which the log's files went: it is that of an installed base, or of an older
 * snapshot than the newest, which was damaged. */
bool base__is_ahead_of_state(const struct group *group);
/* The visible start of the log (S5). */
uint64_t base__first_offset(const struct group *group);

/* ---- retention.c --------------------------------------------------------------------------------------------------- */
void retention__maintain(struct group *group);
/* How much log, and how much time, lies between two bases of this partition; UINT64_MAX: no limit. */
uint64_t retention__base_bytes(const struct group *group);
uint64_t retention__base_us(const struct group *group);

/* ---- base_send.c --------------------------------------------------------------------------------------------------- */
struct base_message;
void base_send__start(struct group *group, const struct raft_snapshot_request *request);
void base_send__answer(struct group *group, uint64_t from, const struct base_message *answer);
void base_send__peer_up(struct group *group, uint64_t node_id);
/* May the log not be dropped up to that index yet? */
bool base_send__holds(const struct group *group, uint64_t index);
void base_send__maintain(struct group *group);
void base_send__free_all(struct group *group);
uint64_t base_send__lowest(const struct group *group); /* base on its way; UINT64_MAX: none */

/* ---- base_receive.c ------------------------------------------------------------------------------------------------ */
/* The new log is being born, or the base published; until that has ended the log writes nothing. */
bool base_receive__is_switching(const struct group *group);
void base_receive__frame(struct node *node, const struct peer_frame *frame);
void base_receive__log_job_ended(struct group *group, const struct segment_log_job_result *result);
/* update.log_replaced: the log and the state become the base that was just published. */
void base_receive__replace_log(struct group *group);
void base_receive__maintain(struct group *group);
void base_receive__free(struct group *group);

enum segment_log_status produce__append(struct group *group, uint64_t term,
                                        uint64_t *ret_last_index);

/* ---- regress.c ----------------------------------------------------------------------------------------------------- */
struct raft_message;
void regress__replied(struct group *group,
                      const struct raft_message *reply); /* an APPEND_REPLY came, and was stepped */

/* ---- repair.c -------------------------------------------------------------------------------------------------------- */
struct repair_message;
/* Whatever is next to make the log whole. Cheap when it is. */
void repair__run(struct group *group);
void repair__frame(struct node *node, const struct peer_frame *frame);
void repair__free(struct group *group);
/* Its log has holes. */
bool repair__is_needed(const struct group *group);
/* Every hole was tried, with everybody who answers, since it was found. */
bool repair__was_tried(const struct group *group);
/* What is lost and why it is not repaired yet, for people. */
void repair__describe(const struct group *group, char *text, size_t bytes);

/* ---- damaged.c --------------------------------------------------------------------------------------------------------- */
/* It has to be whole first: a leader takes nothing new, others take no leadership (D5). What nobody can repair, and its
 * state does not need, holds nothing back (D7). */
bool damaged__holds_back(const struct group *group);
/* An APPEND that touches what is damaged: answered so, and not taken (D3). */
bool damaged__refuses(struct group *group, const struct raft_message *append);
void damaged__run(struct group *group);

/* ---- repair_serve.c ---------------------------------------------------------------------------------------------------- */
void repair_serve__request(struct node *node, uint64_t from, uint64_t group_id,
                           const struct repair_message *request);

/* ---- scrub.c ----------------------------------------------------------------------------------------------------------- */
void scrub__run(struct node *node);

/* ---- mending.c --------------------------------------------------------------------------------------------------------- */
/* At start: the log has holes. Takes over `state`; the group is not attached. */
void mending__begin(struct group *group, const struct raft_hard_state *hard_state,
                    const struct snapshot_header *header, struct tree *state,
                    const struct found_configurations *found);
void mending__run(struct node *node);
struct group *mending__find(const struct node *node, uint64_t group_id);
const struct raft_configuration *mending__configuration(const struct group *group);
void mending__note_configuration(struct group *group, uint64_t index, const uint8_t *payload,
                                 uint32_t payload_bytes);
/* Nobody ever held what is damaged from here on: it is cut (D4). */
void mending__cut(struct group *group, uint64_t from_index);
void mending__free(struct group *group);

/* ---- replicate.c -------------------------------------------------------------------------------------------------- */
struct append_cut {
    raft_node_id to;
    raft_index last;
};
/* Send one message to its receiver. For an APPEND: *ret_cut is filled in and true returned when fewer entries left
 * than it names. */
bool replicate__send(struct group *group, const struct raft_message *message,
                     struct append_cut *ret_cut);
/* Append entries first..last of the message being stepped. */
enum segment_log_status replicate__append(struct group *group, uint64_t first, uint64_t last);
void replicate__flush_heartbeats(struct node *node);
void replicate__frame(struct node *node, const struct peer_frame *frame);

/* ---- apply.c ------------------------------------------------------------------------------------------------------ */
void apply__run(struct group *group);
void apply__truncated(struct group *group, uint64_t from_index);

/* ---- request.c ---------------------------------------------------------------------------------------------------- */
void request__finish(struct node_request *request, enum node_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void request__dispatch(struct node_request *request); /* (re)start it from the beginning */
void request__move(struct node_request *request, enum request_stage stage, struct list_link *list);
void request__park(struct node_request *request, struct group *group);
void request__not_stored(struct node_request *request, struct group *group);
void request__unpark(struct node *node,
                     struct group *group); /* NULL: those without a replica here */
void request__expire(struct node *node);
/* True: finished, because the disk has no room for what it would store. */
bool request__refuse_full(struct node_request *request);
void request__fail_all(struct node *node, enum node_status status, const char *why);

/* ---- barrier.c ------------------------------------------------------------------------------------------------------ */
/* Wait until the state here is at least as new as when the request came; then fetch__behind_barrier(). */
void barrier__start(struct node_request *request, struct group *group);
/* For answers that a leader gives from its own state. False: not yet, the barrier is started and the request is then
 * dispatched anew. */
bool barrier__is_passed(struct node_request *request, struct group *group);
void barrier__ask(struct group *group);     /* end of turn: one READ event for all that came */
void barrier__applied(struct group *group); /* applied_index may have moved */
void barrier__read_state(struct group *group, const struct raft_read *read);

/* ---- fetch.c ---------------------------------------------------------------------------------------------------------- */
void fetch__behind_barrier(struct node_request *request, struct group *group);
void fetch__wake_polls(struct group *group); /* the end of the log may have moved */
void fetch__forget(struct node_request *request);
void fetch__start(struct node_request *request, struct group *group);

/* ---- elsewhere.c ------------------------------------------------------------------------------------------------------ */
/* What a fetch asks for is damaged here: another replica answers it, or it fails and names what is lost. */
void elsewhere__read(struct node_request *request, struct group *group);
/* The replica that was asked is damaged there, too. False: nothing was done, its answer is the answer. */
bool elsewhere__damaged_there(struct node_request *request, uint64_t node_id);
void elsewhere__forget(void *reading);

/* ---- produce.c ------------------------------------------------------------------------------------------------------ */
void produce__start(struct node_request *request, struct group *group);
void produce__propose(struct group *group); /* end of turn: propose what is queued */
/* Append a META command; the request waits for its entry. */
void produce__meta_command(struct node_request *request, const struct meta_command *command);

/* ---- clock.c -------------------------------------------------------------------------------------------------------- */

/* What time it is for the stamps of a group that this node leads (PROTOCOL C8). */
int64_t clock__of_group(struct group *group);

/* ---- topics.c ------------------------------------------------------------------------------------------------------- */
void topics__create(struct node_request *request);
void topics__delete(struct node_request *request);
void topics__set(struct node_request *request);
void topics__applied(struct node *node, uint64_t index, struct meta_result *result);
void topics__check_waiting(struct node *node); /* creates whose groups may lead now */
void topics__ask_waiting(struct node *node);   /* for notices that were lost */
void topics__dropped(struct node *node, uint64_t group_id, uint64_t by);
void topics__forget(struct node_request *request);
/* The state of meta was replaced by that of a base: whoever waits for what it says is told. */
void topics__meta_replaced(struct node *node);
void topics__free_watches(struct node *node);

/* ---- transfer.c ----------------------------------------------------------------------------------------------------- */
/* On the leader of `group`, with its own-term no-op applied. */
void transfer__start(struct node_request *request, struct group *group);
void transfer__start_from(struct node_request *request); /* of all groups that a node leads */
/* Who waits may be answered: a leader or its applied index changed, or time went by. */
void transfer__check(struct node *node);
void transfer__timed_out(struct node_request *request);
/* The node that was asked to hand over was lost or deposed before it answered: another leader is an answer, too. */
void transfer__answer_lost(struct node_request *request, uint64_t node_id);
/* True: answered, because whoever leads now does so since the asked one was lost. */
bool transfer__is_answered_by(struct node_request *request, uint64_t leader);

/* ---- placement.c ---------------------------------------------------------------------------------------------------- */
bool placement__is_reached(struct node *node, uint64_t node_id);
/* On a member of group 0: the nodes that can hold replicas and stay. */
uint32_t placement__nodes(struct node *node, uint64_t ret_ids[RAFT_MEMBERS_MAX]);
void placement__place(struct node *node, struct meta_command *command); /* a TOPIC_CREATE */
bool placement__has_room(struct node *node, uint32_t partitions_count);
/* Of these the ones that are reached, but `except`; those with the fewest replicas first. */
uint32_t placement__spares(struct node *node, uint64_t except, uint64_t ret_ids[RAFT_MEMBERS_MAX]);

/* ---- growth.c -------------------------------------------------------------------------------------------------------- */
void growth__run(struct node *node);

/* ---- replicas.c ------------------------------------------------------------------------------------------------------ */
void replicas__make_topic(struct node *node, const struct meta_topic *topic);
void replicas__drop_topic(struct node *node, uint64_t index, const struct meta_topic *topic);
/* The applied state does not hold this replica of the node any more. */
bool replicas__is_let_go(const struct node *node, uint64_t group_id, uint64_t epoch);
/* What a dropped replica is recorded with: entries at or below it make no other one (M4). */
uint64_t replicas__drop_index(const struct node *node, uint64_t group_id, uint64_t epoch);
/* Make and drop what the applied state says. */
void replicas__reconcile(struct node *node);

/* ---- membership.c ---------------------------------------------------------------------------------------------------- */
void membership__start(struct node_request *request); /* on the leader of meta */
void membership__applied(struct node_request *request, const struct meta_result *result);

/* ---- reconfigure.c --------------------------------------------------------------------------------------------------- */
void reconfigure__run(struct node *node);
void reconfigure__elected(struct group *group); /* this replica leads now */

/* ---- changes.c ------------------------------------------------------------------------------------------------------- */
void changes__received(struct node *node, const struct peer_frame *frame);
void changes__answer(struct node_request *request); /* on the leader of meta */
void changes__prune(struct node *node);
void changes__free(struct node *node);

/* ---- topic_info.c --------------------------------------------------------------------------------------------------- */
void topic_info__answer(struct node_request *request);
struct node_topic_info *topic_info__make(struct node *node, const struct meta_topic *topic);

/* ---- directory.c ---------------------------------------------------------------------------------------------------- */
uint64_t directory__leader_of(struct node *node, uint64_t group_id, uint64_t *ret_term);
bool directory__has_led(struct node *node, uint64_t group_id); /* a leader was heard of */
void directory__heard(struct node *node, uint64_t group_id, uint64_t term, uint64_t leader);
void directory__forget(struct node *node, uint64_t group_id);
void directory__prune(struct node *node);
void directory__free(struct node *node);
void directory__tell_leads(struct group *group);
void directory__tell_made(struct group *group);
void directory__tell_made_to(struct group *group, uint64_t node_id);
void directory__tell_dropped(struct node *node, uint64_t group_id);
void directory__tell_all(struct node *node, uint64_t to); /* a node connected */
void directory__tell_lost(struct node *node, uint64_t to, uint64_t group_id, uint64_t epoch);
void directory__ask_who_leads(struct node *node, uint64_t group_id);
void directory__ask_is_dropped(struct node *node, uint64_t group_id, uint64_t index, uint64_t to);
void directory__notice(struct node *node, const struct peer_frame *frame);

/* ---- auto_create.c -------------------------------------------------------------------------------------------------- */
/* A produce to a missing topic: it goes on when the topic is there. */
void auto_create__wait(struct node_request *request);

/* ---- registry.c ----------------------------------------------------------------------------------------------------- */
void registry__register_nodes(struct node *node);
/* Leader of meta: propose this META_NODE_SET, unless another one is under way; false: it is. replaces: the incarnation that
 * was registered when a new one was taken in; else 0. */
bool registry__set_node(struct node *node, const struct meta_node *wanted, uint64_t replaces,
                        bool founder);
/* Can what that node tells of itself be written down? */
bool registry__can_be_set(const struct meta_node *wanted);
/* On the leader of meta: a command of its own. done() frees the request, whose data is the node and whose group_id is given. */
void registry__propose(struct node *node, const struct meta_command *command, uint64_t group_id,
                       void (*done)(struct node_request *request));
void registry__block_taken(struct node *node, uint64_t first);
void registry__producer_init(struct node_request *request);

/* ---- offsets.c ------------------------------------------------------------------------------------------------------ */
void offsets__commit(struct node_request *request, struct group *group);
void offsets__answer(struct node_request *request, struct group *group);

/* ---- proxy.c ------------------------------------------------------------------------------------------------------- */
/* Hand the request to another node; false: not connected. */
bool proxy__send(struct node_request *request, uint64_t to);
void proxy__frame(struct node *node, const struct peer_frame *frame);
void proxy__peer_down(struct node *node, uint64_t node_id);
void proxy__check_leader(struct node_request *request, uint64_t now_us);
void proxy__free_all(struct node *node);

#endif
