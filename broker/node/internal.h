/* The node. Its replicas ("groups") are in group.h, their requests in request.h, the other nodes in peers.h.
 *
 * Place: everything here runs on the loop thread. Blocking work (log writes, vote store, reads from segment files,
 * snapshots, making and dropping replicas) is jobs; their completions come back as callbacks and find their replica by
 * a pointer that stays valid while the job is on group->jobs.
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
#include "limits.h"
#include "list.h"
#include "peers.h"

#include <broker/meta.h>
#include <broker/node.h>
#include <raft/raft.h>
#include <segment_log/node_store.h>

struct change_entry;
struct founding_entry;
struct group;
struct io_job_queue;
struct leader_hint;
struct node_store;
struct node_store_job;
struct peer_hub;

enum node_state {
    NODE_FOUNDING, /* no cluster id yet */
    NODE_ASKING,   /* a cluster is known and not this directory in it: asks to join (join.c) */
    NODE_JOINING,  /* group 0 is being made */
    NODE_RUNNING,
    NODE_STOPPING,
    NODE_STOPPED,
    NODE_FAILED,
};

struct node {
    struct node_options options;
    char data_directory[DISK_PATH_MAX];
    struct io *io;
    struct disk *disk;
    struct disk_file *lock;
    uint32_t sector_bytes; /* of the device that the directory is on (L4) */
    struct node_identity identity;
    struct founding founding;
    uint64_t offered_us;  /* FOUNDING: when a founding was told that is not taken yet (offered.c) */
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
    struct list_link guests[NODE_PROXIED_BUCKETS];  /* requests of peers served here, by number */
    struct list_link topics;                        /* STAGE_TOPIC */
    struct list_link transfers;                     /* STAGE_TRANSFER */
    struct list_link drops;                         /* struct drop_watch */
    struct list_link auto_creates;                  /* struct auto_create (auto_create.c) */
    struct list_link dirty;                         /* groups with work at the end of the turn */
    struct list_link working;                       /* of those, what this pass has not come to */
    struct leader_hint *hints[NODE_GROUPS_HASH];
    uint32_t prune_bucket;
    struct {            /* who waits for a leader (directory.c) */
        uint64_t group; /* asked for last in this round */
        uint64_t began_us;
    } leaders_asked;
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
        /* Identity and votes of the node. */
        bool files_asked, files_running;
        uint64_t files_us; /* when they were looked at last */
        uint64_t files_mended;
        struct io_job files_job;
        struct node_identity files_identity; /* what is to stand there */
        int files_error;
        bool files_changed;
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
    uint64_t space_asked_us, space_checked_us;
    uint64_t space_lacked_us;   /* a write left too little then */
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
        uint64_t unknown_groups; /* frames for replicas that are not here */
        uint64_t unknown_told;   /* and what peers said so of */
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

/* Trust is lost: the node does nothing any more, and the owner's fatal() hears why. Once. May not return. */
void node__fatal(struct node *node, enum node_fatal code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* One line, cut at NODE_LOG_LINE_BYTES. */
void node__log(struct node *node, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Every entry from outside calls this first: false when the node does nothing any more. Detects time gaps (C7). */
bool node__enter(struct node *node);
uint64_t node__random_number(struct node *node); /* never 0 */
struct peer_state *node__peer(struct node *node, uint64_t node_id);
/* It connected last as a member of this cluster. */
bool node__peer_is_usable(struct node *node, uint64_t node_id);
/* Group 0 is open. */
void node__start_running(struct node *node);

#endif
