/* One event at one replica: the real core steps, and a model of its driver performs the update.
 *
 * The driver does its duties in the order that raft/raft.h gives. Its disk is a queue of jobs, first in first out; a
 * power cut keeps any number of the oldest and drops the others. A completed job is reported at once, which hides
 * nothing: to be durable and not reported is what a crash with that job kept finds on the disk.
 *
 * What can be judged by one replica alone is judged here, once for each new pair of local and event: the invariants of
 * the core (raft_check_invariants), and that terms, votes and acks leave only when they are on the disk. */
#ifndef EXPLORE_REPLICA_H
#define EXPLORE_REPLICA_H

#include "universe.h"

enum action_kind {
    ACTION_DELIVER, /* argument: letter << 1 | the receiver hears its leader */
    ACTION_TIMEOUT, /* the election timer; a pre-vote, or at once a candidacy when those are not looked at */
    ACTION_TICK, /* nothing is due; a core that took its term from its log says so at last */
    ACTION_HEARTBEAT,
    ACTION_SILENCE, /* nobody was heard for an election timeout */
    ACTION_LEADER_LOST,
    ACTION_TIME_GAP,
    ACTION_PROPOSE,
    ACTION_SYNC_LOG,  /* the oldest job reaches the disk */
    ACTION_SYNC_VOTE, /* the oldest hard state reaches the disk */
    ACTION_CRASH, /* argument: jobs kept | hard states kept << 4 | commit index remembered << 8 */
    ACTION_READ,  /* argument: its number */
    ACTION_TRANSFER, /* argument: to which node */
    ACTION_CONFIGURE,
};

static inline uint32_t action_make(enum action_kind kind, uint32_t argument)
{
    return (uint32_t)kind | argument << 4;
}

static inline enum action_kind action_kind(uint32_t action)
{
    return (enum action_kind)(action & 0xf);
}

static inline uint32_t action_argument(uint32_t action)
{
    return action >> 4;
}

struct replica;

struct replica *replica_open(struct universe *universe);
void replica_close(struct replica *replica);

/* What node `id` is before anything happened. */
uint32_t replica_first(struct replica *replica, uint8_t id);

/* Perform the action on the local; NULL and ret_broken set when a promise breaks. The outcome is remembered, so a pair
 * is stepped once. Valid until the next call. */
const struct outcome *replica_act(struct replica *replica, uint32_t local, uint32_t action,
                                  const char **ret_broken);

/* The same, always stepped, with every trace event of the core told. */
typedef void replica_trace(void *data, raft_node_id node, const struct raft_trace *trace);
void replica_tell(struct replica *replica, uint32_t local, uint32_t action, replica_trace *told,
                  void *data);

/* Does the core come out of the local as it went in? */
bool replica_round_trip(struct replica *replica, uint32_t local);

/* Would the answer to this letter depend on whether the receiver hears its leader? */
bool replica_letter_asks_time(const struct facts *receiver, const struct letter *letter);

#endif
