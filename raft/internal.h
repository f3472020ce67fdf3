/* The node, and what the files of the core share. Nothing here is visible outside of the library.
 *
 * Every handler changes the node and leaves marks (a heartbeat is wanted, a member may be sent to); the
 * outbox at the end of each step turns the marks into messages, so one step never sends the same news twice. */
#ifndef RAFT_INTERNAL_H
#define RAFT_INTERNAL_H

#include <raft/raft.h>

#include "history.h"
#include "progress.h"
#include "quorum.h"
#include "trail.h"

struct raft_waiting_read {
    uint64_t id;
    uint64_t arrived_ms;
};

/* A READ_INDEX of another replica. One per replica: a newer request replaces an older one. */
struct raft_forward {
    struct raft_replica_id from;
    uint64_t process;
    uint64_t number;
    uint64_t round;   /* the round that covers it; 0 = waits for the next */
    raft_index index; /* once confirmed */
    bool confirmed;   /* the answer only waits for room in an update */
};

/* Reads waiting here. The first `covered` of them belong to what flies: a leader's round, or a follower's
 * request. Later ones wait for the next, because only reads that came before its first message left may
 * use its answer (PROTOCOL R1). */
struct raft_reads {
    struct raft_waiting_read waiting[RAFT_READS_MAX]; /* in order of arrival */
    uint32_t count;
    uint32_t covered;
    bool flying;
    uint64_t number;  /* of the newest round or request; never used twice in a process */
    raft_index index; /* leader: what the flying round will answer */
    uint64_t sent_ms; /* follower: when the request was sent last */
    struct raft_forward forwards[RAFT_READ_FORWARDS_MAX];
    uint32_t forwards_count;
};

struct raft_transfer {
    uint32_t target; /* position in the configuration; RAFT_MEMBERS_MAX = no transfer */
    uint64_t deadline_ms;
    bool sent; /* TIMEOUT_NOW left; again with each heartbeat */
};

struct raft_node {
    struct raft_options options;
    uint64_t random;
    uint64_t now_ms;
    bool has_vote;

    struct raft_hard_state hard;
    struct raft_hard_state hard_told;    /* in the last update that carried one */
    struct raft_hard_state hard_durable; /* newest one reported durable */

    struct raft_history history;
    struct raft_configuration configuration; /* the newest of the history, the one in use */
    raft_index configuration_index;
    uint32_t self; /* position in the configuration; RAFT_MEMBERS_MAX = not a member */

    enum raft_role role;
    struct raft_replica_id leader; /* node = 0: unknown */
    uint64_t leader_heard_ms;
    uint64_t election_at_ms; /* unless leading: when to stand, or to stand again */
    raft_index damaged_from; /* PROTOCOL D3; 0: none */
    bool damaged;            /* D5 */
    uint32_t
        damaged_timeouts; /* ... and how often its timer has run out since it heard of a leader */
    uint64_t early_until_ms; /* end of the quick retries of an early PreVote (PROTOCOL C5) */
    struct raft_replica_id
        lost_leader; /* ... whose closed connection began them; node = 0: nobody's */

    struct raft_trail trail;
    raft_index durable_index;
    raft_index verified_index; /* equal to the leader's log through here, shown in this term */
    raft_index commit_index;
    uint64_t replied_ms;            /* last answer to a heartbeat without a round */
    uint64_t disk_stalled_until_ms; /* PROTOCOL C7; 0 when the disk has reported something since */

    /* PROTOCOL D8: what this replica acknowledged, and lost, lies at or below this committed position. (0, 0): nothing is
     * known to be lost */
    raft_index pledged_index;
    raft_term pledged_term;

    bool votes_yes[RAFT_MEMBERS_MAX]; /* pre-candidate and candidate */
    bool votes_no[RAFT_MEMBERS_MAX];

    struct raft_progress
        progress[RAFT_MEMBERS_MAX]; /* leader; its own entry tells its own durability */
    raft_index noop_index;
    uint64_t heartbeat_at_ms;
    uint64_t quorum_since_ms; /* start of the check-quorum window */
    bool backlog;             /* an update was full: come back at once */

    struct raft_reads reads;
    struct raft_transfer transfer;
};

static inline raft_index raft__min(raft_index a, raft_index b)
{
    return a < b ? a : b;
}

static inline raft_index raft__max(raft_index a, raft_index b)
{
    return a > b ? a : b;
}

static inline bool raft__disk_is_stalled(const struct raft_node *node)
{
    return node->now_ms < node->disk_stalled_until_ms;
}

/* ---- step.c ---- */

/* A message to `to` with its header filled in, or NULL when this update is full. It goes to messages_after_sync
 * while the term or vote it rests on is not durable (PROTOCOL V, bug class "answered before the vote was
 * durable"). */
struct raft_message *raft__message(struct raft_node *node, struct raft_update *update,
                                   enum raft_message_type type, struct raft_replica_id to);
/* The same with refusal set. */
struct raft_message *raft__reply(struct raft_node *node, struct raft_update *update,
                                 enum raft_message_type type, struct raft_replica_id to,
                                 enum raft_refusal refusal);
void raft__trace(struct raft_update *update, struct raft_trace trace);
bool raft__hard_is_durable(const struct raft_node *node);
uint64_t raft__random(struct raft_node *node, uint64_t below);
void raft__commit_to(struct raft_node *node, struct raft_update *update, raft_index index);

/* ---- election.c ---- */

bool raft__can_stand(const struct raft_node *node);
void raft__reset_election_timer(struct raft_node *node);
/* Follow `leader` (node = 0: nobody yet) in `term`; a no-op when nothing changes. Fails pending reads, ends
 * leadership. */
void raft__become_follower(struct raft_node *node, struct raft_update *update, raft_term term,
                           struct raft_replica_id leader);
/* `from` showed a newer term; nothing else is known of it. */
void raft__see_term(struct raft_node *node, struct raft_update *update, raft_term term,
                    raft_node_id from);
/* A leader gives up of its own accord. */
void raft__step_down(struct raft_node *node, struct raft_update *update,
                     enum raft_step_down reason);
void raft__start_election(struct raft_node *node, struct raft_update *update, bool transfer);
void raft__election_tick(struct raft_node *node, struct raft_update *update);
void raft__on_prevote(struct raft_node *node, struct raft_update *update,
                      const struct raft_message *message);
void raft__on_vote(struct raft_node *node, struct raft_update *update,
                   const struct raft_message *message);
void raft__on_prevote_reply(struct raft_node *node, struct raft_update *update,
                            const struct raft_message *message, uint32_t member);
void raft__on_vote_reply(struct raft_node *node, struct raft_update *update,
                         const struct raft_message *message, uint32_t member);
void raft__on_vote_durable(struct raft_node *node, struct raft_update *update,
                           struct raft_hard_state hard);
void raft__on_leader_lost(struct raft_node *node, struct raft_update *update, raft_node_id leader);
void raft__on_campaign(struct raft_node *node, struct raft_update *update);
void raft__on_regressed_message(struct raft_node *node, struct raft_update *update,
                                const struct raft_message *message);
void raft__on_damaged(struct raft_node *node, struct raft_update *update, bool stands_last,
                      raft_index from);
/* Durable here, and not known to be damaged. */
raft_index raft__whole_index(const struct raft_node *node);

/* ---- follower.c ---- */

/* Common to APPEND and HEARTBEAT: false when the sender does not lead this node's term. */
bool raft__hear_leader(struct raft_node *node, struct raft_update *update,
                       const struct raft_message *message);
void raft__on_append(struct raft_node *node, struct raft_update *update,
                     const struct raft_message *message);
void raft__on_heartbeat(struct raft_node *node, struct raft_update *update,
                        const struct raft_message *message);
void raft__on_durable(struct raft_node *node, struct raft_update *update, raft_index index,
                      raft_term term);
/* Tell the leader, if one is known, what is durable and verified here. */
void raft__follower_ack(struct raft_node *node, struct raft_update *update);

/* ---- replication.c: the leader ---- */

void raft__become_leader(struct raft_node *node, struct raft_update *update);
/* `count` entries of the own term at the end of the own log. */
void raft__leader_append(struct raft_node *node, struct raft_update *update,
                         enum raft_append_source source, uint64_t count);
RAFT_CHECKED enum raft_status raft__propose(struct raft_node *node, struct raft_update *update,
                                            uint32_t count);
void raft__on_append_reply(struct raft_node *node, struct raft_update *update,
                           const struct raft_message *message, uint32_t member);
void raft__on_heartbeat_reply(struct raft_node *node, struct raft_update *update,
                              const struct raft_message *message, uint32_t member);
void raft__on_append_cut(struct raft_node *node, raft_node_id to, raft_index last);
void raft__on_bulk_moved(struct raft_node *node, raft_node_id to);
void raft__on_regressed(struct raft_node *node, struct raft_replica_id of, raft_index hint_index,
                        raft_term hint_term);
void raft__leader_tick(struct raft_node *node, struct raft_update *update);
void raft__leader_outbox(struct raft_node *node, struct raft_update *update);
void raft__leader_time_gap(struct raft_node *node);
void raft__commit_advance(struct raft_node *node, struct raft_update *update);
uint64_t raft__quorum_deadline_ms(const struct raft_node *node);
bool raft__own_term_committed(const struct raft_node *node);

/* ---- membership.c ---- */

bool raft__configuration_is_valid(const struct raft_configuration *configuration);
/* Valid, and every half can decide. */
bool raft__configuration_is_complete(const struct raft_configuration *configuration);
bool raft__configuration_is_committed(const struct raft_node *node);
/* Is this replica a voter of the configuration in use? Was it one of the configuration before, which counts
 * as long as the one in use is not known to be committed? */
bool raft__is_own_voter(const struct raft_node *node);
bool raft__was_own_voter(const struct raft_node *node);
/* The history has a new newest: use it. The first at start, the second in a step. */
void raft__configuration_load(struct raft_node *node);
void raft__configuration_changed(struct raft_node *node, struct raft_update *update, bool back);
/* Entries first..last of the message were taken. */
void raft__configurations_received(struct raft_node *node, struct raft_update *update,
                                   const struct raft_message *message, raft_index first,
                                   raft_index last);
RAFT_CHECKED enum raft_status raft__configure(struct raft_node *node, struct raft_update *update,
                                              const struct raft_configuration *target,
                                              bool always_joint);
/* Should another lead? Removed, or its disk stands still. */
bool raft__must_leave(const struct raft_node *node);
/* The leader's next move in a change that runs. */
void raft__membership_advance(struct raft_node *node, struct raft_update *update);

/* ---- base.c ---- */

RAFT_CHECKED enum raft_status raft__compacted(struct raft_node *node, struct raft_update *update,
                                              raft_index index, raft_term term);
RAFT_CHECKED enum raft_status raft__recalled(struct raft_node *node, struct raft_update *update,
                                             const struct raft_recalled *recalled);
RAFT_CHECKED enum raft_status raft__installed(
    struct raft_node *node, struct raft_update *update, raft_index index, raft_term term,
    const struct raft_indexed_configuration *configuration);
void raft__snapshot_sent(struct raft_node *node, struct raft_replica_id to, raft_index index,
                         bool ok);
void raft__snapshots_outbox(struct raft_node *node, struct raft_update *update);

/* ---- read_index.c ---- */

RAFT_CHECKED enum raft_status raft__read(struct raft_node *node, struct raft_update *update,
                                         uint64_t id);
void raft__on_read_index(struct raft_node *node, struct raft_update *update,
                         const struct raft_message *message);
void raft__on_read_index_reply(struct raft_node *node, struct raft_update *update,
                               const struct raft_message *message);
/* A voter confirmed `round` of `process`. */
void raft__reads_confirmed_by(struct raft_node *node, struct raft_update *update, uint32_t member,
                              uint64_t round, uint64_t process);
/* Start the next round or send the next request, if one is due and none flies. */
void raft__reads_advance(struct raft_node *node, struct raft_update *update);
void raft__reads_answer_forwards(struct raft_node *node, struct raft_update *update);
void raft__reads_leader_heard(struct raft_node *node, struct raft_update *update);
void raft__reads_drop_round(struct raft_node *node);
/* The leader uses another configuration: rounds count anew, and who is no member has no request here. */
void raft__reads_members_changed(struct raft_node *node, struct raft_update *update);
void raft__reads_view(const struct raft_node *node, struct raft_reads_view *ret_view);
void raft__reads_fail_all(struct raft_node *node, struct raft_update *update);
void raft__reads_tick(struct raft_node *node, struct raft_update *update);
uint64_t raft__reads_deadline_ms(const struct raft_node *node);

/* ---- transfer.c ---- */

RAFT_CHECKED enum raft_status raft__transfer_start(struct raft_node *node,
                                                   struct raft_update *update, raft_node_id to);
bool raft__is_transferring(const struct raft_node *node);
void raft__transfer_clear(struct raft_node *node);
void raft__transfer_tick(struct raft_node *node, struct raft_update *update);
void raft__transfer_outbox(struct raft_node *node, struct raft_update *update);
void raft__on_timeout_now(struct raft_node *node, struct raft_update *update,
                          const struct raft_message *message);

#endif
