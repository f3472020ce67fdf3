/* One core on the bench: the tests speak to it as its driver and as all of its peers. */
#ifndef UNIT_RAFT_RIG_H
#define UNIT_RAFT_RIG_H

#include <raft/raft.h>

#define RIG_GROUP   9u
#define RIG_PROCESS 777u
#define RIG_RUNS    256u

#define RIG_TIMEOUT_MS_MIN 300u
#define RIG_TIMEOUT_MS_MAX 600u
#define RIG_HEARTBEAT_MS   50u

struct rig_setup {
    raft_node_id id;   /* 0 = 1 */
    uint32_t voters;   /* nodes 1..voters; 0 = 3 */
    uint32_t learners; /* the nodes after them */
    const struct raft_term_run *runs;
    uint32_t runs_count;
    struct raft_hard_state hard;
    raft_index commit_index;
    bool has_no_vote;
    uint32_t append_entries_max;  /* 0 = 100 */
    uint32_t append_inflight_max; /* 0 = 4 */
    uint64_t seed;
    const struct raft_configuration *configuration; /* instead of voters and learners */
    raft_index configuration_index;
    const struct raft_indexed_configuration *history;
    uint32_t history_count;
};

struct rig {
    struct raft_node *node;
    struct raft_node *before;
    struct raft_update *update;
    struct raft_term_run *runs; /* on the heap: a rig may be copied */
    raft_node_id id;
    uint64_t now_ms;
};

struct raft_replica_id rig_replica(raft_node_id node);
/* Voters and learners by bit: bit 1 is node 1. */
struct raft_configuration rig_configuration(uint32_t voters, uint32_t learners);
#define RIG_NODE(id) (1u << (id))

void rig_open(struct rig *rig, const struct rig_setup *setup);
void rig_close(struct rig *rig);

/* Steps; invariants are checked after each. */
enum raft_status rig_try(struct rig *rig, struct raft_event event);
void rig_step(struct rig *rig, struct raft_event event); /* must be RAFT_OK */
void rig_tick(struct rig *rig, uint64_t after_ms);
void rig_receive(struct rig *rig, const struct raft_message *message);
void rig_sync_vote(struct rig *rig); /* the present hard state is durable */
void rig_durable(struct rig *rig,
                 raft_index index); /* durable through index, with its present term */
void rig_propose(struct rig *rig, uint32_t count);
enum raft_status rig_configure(struct rig *rig, const struct raft_configuration *target);
void rig_read(struct rig *rig, uint64_t id);

struct raft_view rig_view(const struct rig *rig);
/* Of the view; NULL: it is no member. */
const struct raft_progress_view *rig_member(const struct raft_view *view, raft_node_id node);

/* Messages as peers send them; `term` is theirs. */
struct raft_message rig_message(const struct rig *rig, enum raft_message_type type,
                                raft_node_id from, raft_term term);
struct raft_message rig_vote(const struct rig *rig, enum raft_message_type type, raft_node_id from,
                             raft_term term, raft_index last_index, raft_term last_term);
struct raft_message rig_append(const struct rig *rig, raft_node_id from, raft_term term,
                               raft_index previous_index, raft_term previous_term, uint64_t count,
                               raft_term entries_term, raft_index commit_index);
struct raft_message rig_ack(const struct rig *rig, raft_node_id from, raft_term term,
                            raft_index match);
struct raft_message rig_heartbeat(const struct rig *rig, raft_node_id from, raft_term term,
                                  raft_index commit_index, uint64_t round);
/* The answer of `from` to a heartbeat that the core sent to it. */
struct raft_message rig_heartbeat_reply(const struct rig *rig, raft_node_id from, raft_term term,
                                        uint64_t round, raft_index match);

/* What the last step sent. NULL = no such message. `to` = 0: to anybody. */
const struct raft_message *rig_sent_now(const struct rig *rig, enum raft_message_type type,
                                        raft_node_id to);
const struct raft_message *rig_sent_after_sync(const struct rig *rig, enum raft_message_type type,
                                               raft_node_id to);
const struct raft_message *rig_sent(const struct rig *rig, enum raft_message_type type,
                                    raft_node_id to); /* either */
uint32_t rig_sent_count(const struct rig *rig, enum raft_message_type type);

/* Make it lead the next term, with the votes of all; its no-op is appended, nothing of it is durable. */
void rig_lead(struct rig *rig);
/* rig_lead, and the no-op is durable here and on node 2 (or a second voter), so it is committed. */
void rig_lead_and_commit(struct rig *rig);
/* rig_open, then that. */
struct rig rig_open_leader(uint32_t voters, uint32_t learners);
/* Node 1 of three, which follows node 2 in term 2. */
struct rig rig_open_follower(void);

#endif
