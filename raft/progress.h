/* A leader's view of one member: how far it is, and what may be sent to it.
 *
 *            accepted at next - 1                    the term at next - 1 is forgotten
 *     PROBE ----------------------> REPLICATE     any ------------------------------> SNAPSHOT
 *           <----------------------                SNAPSHOT --------> PROBE
 *            refused                                 match reaches the floor
 *
 * PROBE      one APPEND at `next`, then wait; next does not move before the answer.
 * REPLICATE  a window of APPENDs; next is one past the last entry sent.
 * SNAPSHOT   nothing but heartbeats.
 *
 * Invariants: 0 <= match <= received < next <= last_index + 1. The ends in `window` rise strictly, lie above
 * match and below next, and exist in REPLICATE only. */
#ifndef RAFT_PROGRESS_H
#define RAFT_PROGRESS_H

#include <raft/raft.h>

struct raft_progress {
    enum raft_progress_state state;
    raft_index match; /* durable there, and verified in this term */
    /* its match went back (PROTOCOL D8) and has not reached this, what was committed then; 0: it did not */
    raft_index counts_from;
    raft_index received;    /* verified there in this term, perhaps not durable yet */
    raft_index next;        /* next entry to send */
    raft_index commit_told; /* highest commit index it was told of, as far as we know */
    uint64_t heard_at_ms;   /* last reply of this term; 0 = never */
    uint64_t moved_at_ms;   /* last sign that the bulk connection moves (PROTOCOL C4) */
    uint64_t asked_at_ms;   /* last empty APPEND that asks what arrived, or last answer to any */
    bool probe_sent;        /* PROBE: waits for the answer */
    bool cut_off;      /* the driver could send nothing; wait for bytes to move or a heartbeat */
    bool check_wanted; /* send an empty APPEND at next - 1: it tells what arrived */
    bool heartbeat_wanted;
    bool append_sent;     /* in this update: the commit index travelled with it */
    uint64_t round_acked; /* newest ReadIndex round it confirmed */
    bool snapshot_wanted; /* SNAPSHOT: ask the driver for it in this update */
    bool snapshot_failed; /* SNAPSHOT: ask again with the next heartbeat */
    /* Rounds of catching up (thesis §4.2.1): one ends when match reaches what the log held at its start. Between
     * rounds nothing is missing, and catch_up_index <= match. */
    raft_index catch_up_index;
    bool catch_up_runs;
    uint64_t catch_up_since_ms;
    uint64_t catch_up_last_ms; /* how long the last round took; UINT64_MAX = none has ended */
    enum raft_refusal last_refusal;
    raft_index window[RAFT_INFLIGHT_MAX]; /* ring: last index of each APPEND in flight */
    uint32_t window_head;
    uint32_t window_count;
};

/* A new leader knows nothing but its own last index (Raft §5.3). */
void raft__progress_reset(struct raft_progress *progress, raft_index last_index, uint64_t now_ms);

/* The follower has everything through `received`, durably through `match`. True when either moved. */
bool raft__progress_accepted(struct raft_progress *progress, raft_index match, raft_index received);

/* Go back to probing; next - 1 is where the logs may agree. */
void raft__progress_probe(struct raft_progress *progress, raft_index next);

/* What it said to have durably it has no longer (PROTOCOL D8). The logs may agree through `agree`, below match. */
void raft__progress_regressed(struct raft_progress *progress, raft_index agree,
                              raft_index commit_index);

/* Entries next..last were put into an APPEND (none when last == next - 1). */
void raft__progress_sent(struct raft_progress *progress, raft_index last);

/* The log ends at `last_index` now, or match moved: end a round that is done, begin one if something is missing. */
void raft__progress_catch_up(struct raft_progress *progress, raft_index last_index,
                             uint64_t now_ms);

/* The term at next - 1 is forgotten: wait for a base. */
void raft__progress_snapshot(struct raft_progress *progress);

/* The driver sent only through `last` (RAFT_EVENT_APPEND_CUT). */
void raft__progress_cut(struct raft_progress *progress, raft_index last);

#endif
