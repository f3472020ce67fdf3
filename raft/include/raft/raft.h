/* The consensus core: one replica of one Raft group as a pure function.
 *
 *     status = raft_step(node, event, update)
 *
 * An event comes in (a tick, a message, a proposal, a completed disk write), the core changes its own memory
 * and fills in an update: what the driver must now do, in the order given below. The core has no clock, file,
 * socket, thread, allocation or global; time comes with each event and randomness from a seed. It never sees
 * a payload byte: its log is a trail of term runs.
 *
 * The driver's duties, in this order, for every update (broker/node/perform.c is the only implementation):
 *
 *  1. log_replaced: the log starts anew behind the installed base, and what the disk queue still holds for the
 *     old one is dropped, its reports too. truncate_from: cut the log at that index. Then `append`: append that
 *     range (own entries, one CONFIG entry, or entries of the received message). All of them only enter the disk
 *     queue; durability is reported later with RAFT_EVENT_DURABLE.
 *  2. hard_state_changed: enter the new hard state into the node store; report with RAFT_EVENT_VOTE_DURABLE.
 *  3. messages_now may leave at once, in any order.
 *  4. messages_after_sync leave only when every hard state of this and of earlier updates is durable.
 *     (Acks of entries are not among them: the core emits an ack only after RAFT_EVENT_DURABLE.)
 *  5. commit_index: entries up to it may be applied, in order.
 *  6. reads: answer or fail these reads.
 *  7. snapshots: begin to send the base to these members, out of band, and report with RAFT_EVENT_BULK_MOVED as
 *     it moves and with RAFT_EVENT_SNAPSHOT_SENT at its end. A member is named again a heartbeat after a failure, and
 *     when nothing moved for two election timeouts; ignore that while a transfer to that replica runs.
 *  8. Call again with RAFT_EVENT_TICK no later than timer_at_ms.
 *
 * Membership. A configuration is used from the moment its CONFIG entry is in the log, committed or not, and
 * given up when the entry is cut (thesis §4.1). The core cannot read entries, so the driver tells it of the
 * CONFIG entries that it receives (raft_message.append.configurations) and of those that recovery found
 * (raft_start). Of all CONFIG entries in one log only the newest can be uncommitted, because a leader appends one
 * only when the one before is committed; so the core remembers the newest few and can always go back by one.
 *
 * Match always means durable, the leader's own too. One thread per node struct; no locking inside. */
#ifndef RAFT_RAFT_H
#define RAFT_RAFT_H

#include <raft/message.h>
#include <raft/types.h>

#include <stddef.h>

#define RAFT_CHECKED __attribute__((warn_unused_result))

/* ---- sizes ---------------------------------------------------------------------------------------- */

#define RAFT_MESSAGES_MAX 64u /* per array of one update */
/* reads waiting in one replica; more are refused as RAFT_BUSY */
#define RAFT_READS_MAX          512u
#define RAFT_TRACES_MAX         64u
#define RAFT_INFLIGHT_MAX       64u /* unacknowledged APPENDs per follower */
#define RAFT_READ_FORWARDS_MAX  64u /* READ_INDEX requests of other replicas waiting in a leader */
#define RAFT_CONFIGURATIONS_MAX 4u  /* remembered, the one in use included */

/* ---- start ---------------------------------------------------------------------------------------- */

struct raft_options {
    raft_group_id group;
    struct raft_replica_id id;        /* this replica */
    uint64_t election_timeout_ms_min; /* drawn in [min, max) for each wait (thesis §3.4, §9.3) */
    uint64_t election_timeout_ms_max;
    uint64_t heartbeat_ms;         /* refused at >= min / 5 (PROTOCOL C9) */
    uint64_t early_prevote_ms_max; /* random wait before an early PreVote (PROTOCOL C5); 25 */
    uint32_t append_entries_max;   /* entries in one APPEND */
    uint32_t append_inflight_max;  /* APPENDs in flight per follower, 1..RAFT_INFLIGHT_MAX */
    uint64_t seed;                 /* of the election timeouts */
    uint64_t process;              /* random number of this process (PROTOCOL R1); nonzero */
    /* array[trail_runs_max], owned by the caller, used by the core for its whole life. Untouched
     * parts cost no memory if it is calloc'ed */
    struct raft_term_run *trail_runs;
    uint32_t trail_runs_max;
};

/* What recovery found. The trail covers base_index + 1 .. last of the last run, contiguously. */
struct raft_start {
    struct raft_hard_state hard_state;
    struct raft_configuration configuration; /* the latest in the log or base, committed or not */
    raft_index configuration_index;
    /* Those before it, index rising; at least the one just before it when configuration_index >
     * commit_index and > base_index. More than the core remembers are fine. Borrowed until return */
    const struct raft_indexed_configuration *history;
    uint32_t history_count;
    raft_index base_index; /* the base stands at this index: first index of the log - 1 */
    raft_term base_term;
    const struct raft_term_run *runs; /* borrowed until return */
    uint32_t runs_count;
    raft_index commit_index; /* known to be committed: base or checkpoint, never more */
    /* false: position or vote was lost, does not vote or stand (PROTOCOL D2, V3) */
    bool has_vote;
    uint64_t now_ms;
};

/* ---- events --------------------------------------------------------------------------------------- */

enum raft_event_type {
    RAFT_EVENT_TICK,         /* time passed */
    RAFT_EVENT_MESSAGE,      /* a message for this group arrived */
    RAFT_EVENT_PROPOSE,      /* leader: append `propose.count` entries */
    RAFT_EVENT_DURABLE,      /* the log is durable through (durable.index, durable.term) */
    RAFT_EVENT_VOTE_DURABLE, /* this hard state is durable */
    RAFT_EVENT_READ,         /* a read wants a read index (PROTOCOL R) */
    /* the driver sent only up to cut.last of an APPEND to cut.to, or nothing at all (cut.last ==
     * previous_index). Appends queued behind it are dropped by the driver; the core goes on from
     * cut.last + 1 */
    RAFT_EVENT_APPEND_CUT,
    RAFT_EVENT_BULK_MOVED, /* bytes moved on the bulk connection to `node` (PROTOCOL C4) */
    /* the control connection to `node`, if it leads, was closed and has not come back within one
     * heartbeat: lease ends, PreVote after a random short wait (C5) */
    RAFT_EVENT_LEADER_LOST,
    RAFT_EVENT_CAMPAIGN, /* stand at once: first leader of a new group (M6, M7) */
    /* leader: hand leadership to `node`; 0 = the most up-to-date follower */
    RAFT_EVENT_TRANSFER,
    /* the process slept past an election timeout: a leader re-confirms its quorum before
     * anything else (C7): rounds dropped, check-quorum window restarted from nothing */
    RAFT_EVENT_TIME_GAP,
    /* leader: make configure.target the configuration of the group (thesis chapter 4, PROTOCOL C1).
     * The entry appended is the target itself when at most one voter differs (one at a time), else
     * the joint one; the leader appends the target by itself when that is committed, and a leader
     * that is no voter of it hands over and steps down when it is committed too. Nothing is
     * appended when the target is the configuration already */
    RAFT_EVENT_CONFIGURE,
    /* the log's prefix is gone, or may go any time: compacted.index is a durable base of this group
     * and the core no longer offers entries at or below it. Never above the commit index */
    RAFT_EVENT_COMPACTED,
    /* terms of entries in front of the first one that the core offers are known: it was begun behind them because some
     * were damaged (raft_start.base_index), and they are repaired. It offers them from now on, instead of a base */
    RAFT_EVENT_RECALLED,
    /* the base that update.snapshots asked for is durable at the member (ok), or will not be */
    RAFT_EVENT_SNAPSHOT_SENT,
    /* a base that another replica sent is durable here, beside the log (PROTOCOL S3). The update says
     * with log_replaced whether the log starts anew behind it; a log that has the base's (index,
     * term) is kept, an old base changes nothing */
    RAFT_EVENT_INSTALLED,
    /* the disk has had work for some election timeouts and finished none of it (PROTOCOL C7): a
     * leader hands over, or steps down, and nobody stands on such a disk. Ends with the next
     * DURABLE or VOTE_DURABLE; forgotten after two election timeouts, so it is told again as long
     * as it lasts */
    RAFT_EVENT_DISK_STALLED,
    /* entries of this log are damaged on the disk, or it is whole again (PROTOCOL D5): while they are, this
     * replica stands only when nobody else has won for three election timeouts. The only voter stands as ever.
     * It counts for no entry from `damaged.from` on, in its acks and as leader (D3), until it is told anew */
    RAFT_EVENT_DAMAGED,
    /* leader: `regressed.of` lacks what it said to be durable: its disk lies about syncs (PROTOCOL D8). Hints as in
     * its refusal. It counts for nothing until it has again what is committed now */
    RAFT_EVENT_REGRESSED,
};

/* A point of the log, and which terms wrote the entries behind it, as far as what the core knows already. */
struct raft_recalled {
    raft_index index;
    raft_term term;
    const struct raft_term_run *runs; /* array[runs_count], borrowed until return */
    uint32_t runs_count;
};

struct raft_event {
    enum raft_event_type type;
    uint64_t now_ms; /* monotonic, never falls */
    union {
        const struct raft_message *message; /* borrowed until return */
        struct {
            uint32_t count;
        } propose;
        struct {
            raft_index index;
            /* of the entry at index when the write was queued: a superseded completion is
             * recognised by it and ignored (PROTOCOL L7). The term cannot tell two writes of the
             * very same entry apart (cut under one leader, taken again under the next), so the
             * driver does not report a write that was queued before a later truncate_from <= index */
            raft_term term;
        } durable;
        struct raft_hard_state vote_durable;
        struct {
            uint64_t id; /* the caller's, comes back in update.reads */
        } read;
        struct {
            raft_node_id to;
            raft_index last;
        } cut;
        raft_node_id node; /* BULK_MOVED, LEADER_LOST, TRANSFER */
        struct {
            /* not joint, at least one voter, no node twice; borrowed until return */
            const struct raft_configuration *target;
            bool always_joint; /* a joint phase even when one voter or none differs */
        } configure;
        struct {
            bool stands_last; /* false: it is whole again */
            raft_index from;  /* first that is damaged and not committed; 0: none */
        } damaged;
        struct {
            struct raft_replica_id of;
            raft_index hint_index;
            raft_term hint_term;
        } regressed;
        struct {
            raft_index index;
            raft_term term;
        } compacted;
        /* ends where the core begins; else RAFT_BAD_OPTIONS, and nothing changes */
        struct raft_recalled recalled;
        struct {
            struct raft_replica_id to;
            raft_index index; /* of the base that it has now; only when ok */
            bool ok;
        } snapshot_sent;
        struct {
            raft_index index;
            raft_term term;
            const struct raft_configuration *configuration; /* borrowed until return */
            raft_index configuration_index;                 /* of its CONFIG entry, <= index */
        } installed;
    };
};

/* ---- update --------------------------------------------------------------------------------------- */

enum raft_append_source {
    RAFT_APPEND_NONE,
    RAFT_APPEND_NOOP,          /* one NOOP entry of the new leader */
    RAFT_APPEND_PROPOSED,      /* the proposed entries, in the order proposed */
    RAFT_APPEND_RECEIVED,      /* the entries first..last of the message just stepped */
    RAFT_APPEND_CONFIGURATION, /* one CONFIG entry that holds append.configuration */
};

/* A member that needs entries which the log no longer has. */
struct raft_snapshot_request {
    struct raft_replica_id to;
    raft_index
        at_least; /* a base at this index or above; the newest RAFT_EVENT_COMPACTED, mostly */
};

struct raft_read {
    uint64_t id;
    enum raft_refusal refusal; /* RAFT_REFUSED_NOT: index is valid */
    raft_index index;          /* answer from the local log once applied >= index */
};

/* Typed trace events: turned into sentences by raft_trace_format() in a target of its own. */
enum raft_trace_type {
    RAFT_TRACE_ROLE, /* a = new role, b = term */
    RAFT_TRACE_TERM, /* saw a newer term: a = new term, node = from whom */
    /* a vote or pre-vote was asked of us: a = asked term, b = granted, c = refusal, d = 1 for a
     * pre-vote, index/index_term = the candidate's last entry */
    RAFT_TRACE_VOTE,
    RAFT_TRACE_VOTED,    /* an answer arrived: a = granted, c = refusal, d = 1 for a pre-vote */
    RAFT_TRACE_ELECTION, /* starts an election: a = term, d = 1 for a pre-vote */
    RAFT_TRACE_LEADER,   /* wins: a = term, b = votes, c = voters */
    RAFT_TRACE_FOLLOW,   /* follows node in term a */
    RAFT_TRACE_APPEND,   /* appends index..a of term index_term */
    RAFT_TRACE_TRUNCATE, /* cuts from index to a (old last index) */
    RAFT_TRACE_COMMIT,   /* commit index moved to index */
    RAFT_TRACE_ACK,      /* node acks through index */
    /* refused an APPEND of node at previous index: c = refusal, a = hint index */
    RAFT_TRACE_REJECT,
    RAFT_TRACE_PROBE,     /* goes back to probing node from index */
    RAFT_TRACE_READ,      /* a = id, index = read index, c = refusal */
    RAFT_TRACE_STEP_DOWN, /* leader of term a gives up: c = enum raft_step_down */
    RAFT_TRACE_TRANSFER,  /* hands over to node */
    /* uses the configuration of index; b = 1: goes back to it, a newer one was cut */
    RAFT_TRACE_CONFIGURATION,
    RAFT_TRACE_SNAPSHOT,  /* wants the base at index or above to be sent to node */
    RAFT_TRACE_INSTALLED, /* a base at index of index_term is durable: b = 1 its log starts anew */
    RAFT_TRACE_COMPACTED, /* offers entries above index only */
};

enum raft_step_down {
    RAFT_STEP_DOWN_NEWER_TERM,
    RAFT_STEP_DOWN_NO_QUORUM,
    RAFT_STEP_DOWN_TRANSFER,
    RAFT_STEP_DOWN_REMOVED, /* no voter of the committed configuration */
    RAFT_STEP_DOWN_DISK_STALLED,
};

struct raft_trace {
    enum raft_trace_type type;
    raft_node_id node;
    raft_index index;
    raft_term index_term;
    uint64_t a, b, c, d;
    const struct raft_configuration *configuration; /* CONFIGURATION: valid until the next step */
};

struct raft_update {
    bool log_replaced;        /* INSTALLED: the log is the installed base and nothing else */
    raft_index truncate_from; /* 0 = nothing to cut */
    struct {
        enum raft_append_source source;
        raft_index first;
        raft_index last;
        raft_term term; /* for NOOP, PROPOSED and CONFIGURATION */
        struct raft_configuration configuration;
    } append;
    bool hard_state_changed;
    struct raft_hard_state hard_state;
    struct raft_message messages_now[RAFT_MESSAGES_MAX];
    uint32_t messages_now_count;
    struct raft_message messages_after_sync[RAFT_MESSAGES_MAX];
    uint32_t messages_after_sync_count;
    raft_index commit_index; /* current; never falls */
    struct raft_read reads[RAFT_READS_MAX];
    uint32_t reads_count;
    struct raft_snapshot_request snapshots[RAFT_MEMBERS_MAX];
    uint32_t snapshots_count;
    uint64_t timer_at_ms;
    bool role_changed; /* role, term or leader differ from before the step */
    struct raft_trace traces[RAFT_TRACES_MAX];
    uint32_t traces_count;
};

/* ---- status --------------------------------------------------------------------------------------- */

#define RAFT_STATUSES(X)                                                                   \
    X(RAFT_OK, "ok")                                                                       \
    X(RAFT_NOT_LEADER, "this replica does not lead; nothing was appended")                 \
    X(RAFT_TRANSFERRING, "leadership is being handed over; nothing was appended")          \
    X(RAFT_BUSY, "too many reads are waiting; try again")                                  \
    X(RAFT_BAD_OPTIONS, "options are out of range")                                        \
    X(RAFT_NOT_READY, "no entry of the leader's own term is committed yet; try again")     \
    X(RAFT_CHANGE_IN_PROGRESS, "the configuration before is not committed yet; try again") \
    X(RAFT_BAD_CONFIGURATION, "no such configuration can be")

enum raft_status {
#define X(name, text) name,
    RAFT_STATUSES(X)
#undef X
};

const char *raft_status_text(enum raft_status status);
const char *raft_refusal_text(enum raft_refusal refusal);
const char *raft_role_name(enum raft_role role);

/* ---- the node ------------------------------------------------------------------------------------- */

/* How the leader sends to one follower (etcd's names): PROBE sends one APPEND and waits; REPLICATE
 * pipelines; SNAPSHOT waits for an installed base. */
enum raft_progress_state {
    RAFT_PROGRESS_PROBE,
    RAFT_PROGRESS_REPLICATE,
    RAFT_PROGRESS_SNAPSHOT,
};

/* A leader's view of one member, for status pages. 0 <= match < next. */
struct raft_progress_view {
    struct raft_replica_id id;
    bool voter;
    enum raft_progress_state state;
    raft_index match;
    raft_index next;
    uint32_t inflight;
    uint64_t heard_at_ms; /* last reply of this term; 0 = never */
    enum raft_refusal last_refusal;
    bool caught_up; /* raft_is_caught_up() */
    bool
        regressed; /* counts for nothing until it has what it said to have (RAFT_EVENT_REGRESSED) */
};

/* Reads that have no index yet (PROTOCOL R1, R2). */
struct raft_reads_view {
    uint32_t waiting;  /* RAFT_EVENT_READ of this node that did not end */
    uint32_t requests; /* leader: of followers, not answered */
    /* A round of the leader, or a request to it, is under way; it covers so many of the waiting. */
    bool flying;
    uint32_t covered;
    /* leader: what the round will answer, and who of the voters confirmed it, itself included */
    raft_index index;
    uint32_t acks, voters;
};

struct raft_view {
    enum raft_role role;
    raft_term term;
    raft_node_id leader; /* 0 = unknown */
    raft_index last_index;
    raft_term last_term;
    raft_index durable_index;
    raft_index commit_index;
    /* leader: its no-op is committed (reads and configuration changes may start) */
    bool own_term_committed;
    bool transferring;
    raft_node_id transfer_target; /* 0: none */
    struct raft_reads_view reads;
    raft_index configuration_index; /* of the configuration in use */
    bool change_in_progress;        /* it is joint, or not known to be committed */
    /* A leader told it that it lacks what it acknowledged, at or below this index (PROTOCOL D8): no vote for a log that ends
     * in front of it, this one included. 0: nothing */
    raft_index pledged_index;
    struct raft_progress_view members[RAFT_MEMBERS_MAX]; /* leader only, itself included */
    uint32_t members_count;
};

/* The struct is opaque; its size is known so that the caller owns the memory and nothing is allocated. */
struct raft_node;
size_t raft_node_bytes(void);

/* Initialise `node` (raft_node_bytes() of zeroed, suitably aligned memory, owned by the caller) as a follower.
 *
 * options    copied, but trail_runs stays the caller's and must outlive the node.
 * start      copied.
 *
 * RAFT_OK           ready; the first RAFT_EVENT_TICK is due at raft_timer_at_ms().
 * RAFT_BAD_OPTIONS  a limit or timing is out of range. */
RAFT_CHECKED enum raft_status raft_init(struct raft_node *node, const struct raft_options *options,
                                        const struct raft_start *start);

/* Step the core by one event. `update` is cleared first and filled in; see the duties at the top.
 * When the status is not RAFT_OK the event itself had no effect, but update->timer_at_ms is valid.
 *
 * Cost: O(members + runs touched); no allocation. */
RAFT_CHECKED enum raft_status raft_step(struct raft_node *node, const struct raft_event *event,
                                        struct raft_update *update);

uint64_t raft_timer_at_ms(const struct raft_node *node);
void raft_view(const struct raft_node *node, uint64_t now_ms, struct raft_view *ret_view);
raft_term raft_term_at(const struct raft_node *node, raft_index index); /* 0 = not in the trail */
/* The configuration in use: the newest in the log, committed or not. Valid until the next step. */
const struct raft_configuration *raft_configuration_of(const struct raft_node *node);
/* The one that `index` had, for a snapshot at that index: the newest with an entry at or below it. NULL when it is not
 * remembered any more, which needs several changes since. Valid until the next step. */
const struct raft_indexed_configuration *raft_configuration_at(const struct raft_node *node,
                                                               raft_index index);

/* Would this member be of use as a voter at once (thesis §4.2.1)? Replication to it is measured in rounds: one
 * ends when it has, durably, all that the log held when the round began. True on a leader that heard from it
 * lately, while its last round took less than the shortest election timeout and the present one does not take
 * longer. For the driver that promotes learners; as of the last step's time. */
bool raft_is_caught_up(const struct raft_node *node, struct raft_replica_id id);

/* Would a base at (index, term) replace this log, when it were installed now? False for one that is old, or
 * whose entry the log has. For the driver that is offered one, before it takes the first chunk and before it
 * makes the last durable; RAFT_EVENT_INSTALLED asks again. */
bool raft_wants_base(const struct raft_node *node, raft_index index, raft_term term);

/* Abort with a message when an invariant of the core does not hold (raft/invariants.c lists them all).
 * `previous` is a copy of the node before the step (raft_node_bytes()), or NULL. Used after every simulated step. */
void raft_check_invariants(const struct raft_node *node, const struct raft_node *previous);

#endif
