/* The table of rare paths: X(name, one_in, what is done).
 *
 * `one_in`: in a run in which the point is on it is taken about once in so many times that it is reached; the run draws whether
 * it is on, and how much more often or more seldom than that. In the order of the tree: raft/, segment-log/, broker/node/,
 * broker/peer/. */
#ifndef RARE_POINTS_H
#define RARE_POINTS_H

#define RARE_POINTS(X)                                                                            \
    X(APPEND_OF_ONE_ENTRY, 20, "an APPEND brings one entry, though more are there")               \
    X(OLD_APPEND_COMES_AGAIN, 300,                                                                \
      "a follower gets an entry again that it has, and more behind it")                           \
    X(PROBES_AFTER_AN_ACK, 200, "an acked APPEND is followed by a probe instead of what is next") \
    X(BASE_INSTEAD_OF_ENTRIES, 500,                                                               \
      "a member is offered the base though the log has what it needs")                            \
    X(HEARTBEAT_IS_NOT_SENT, 100, "a heartbeat waits until the next step")                        \
    X(COMMIT_NEWS_WAIT, 20, "a new commit index is not told at once")                             \
    X(ASKS_WHAT_ARRIVED, 50, "the leader asks what arrived before anybody was silent")            \
    X(LEADER_GIVES_UP, 2000, "a leader steps down as if nobody answered")                         \
    X(ELECTION_TIMER_FIRES_AT_ONCE, 3000, "an election timeout of nothing")                       \
    X(VOTE_IS_REFUSED, 5, "a vote or pre-vote is refused as if a leader were heard")              \
    X(TRAIL_HAS_NO_ROOM, 100, "a follower takes no entries, as if it knew too many terms")        \
    X(ACK_IS_LOST, 100, "a follower does not say that it has the entries")                        \
    X(HEARTBEAT_IS_NOT_ANSWERED, 100, "the answer to a heartbeat is lost")                        \
    X(READ_INDEX_REQUEST_IS_LOST, 30, "a follower's question for a read index is lost")           \
    X(READ_ROUND_WAITS, 20, "a round of reads begins with the next step")                         \
    X(READ_GIVES_UP_EARLY, 100,                                                                   \
      "a question for a read index is given up, and its answer comes late")                       \
    X(COMMIT_NEWS_ARE_MISSED, 10, "a follower misses the commit index of an APPEND")              \
    X(JOINT_PHASE_LASTS, 2, "a joint phase goes on though it could end")                          \
    X(TIMEOUT_NOW_IS_LOST, 4, "a transfer's TIMEOUT_NOW is lost")                                 \
    X(CACHE_LETS_GO, 30, "the cache keeps nothing that is durable but its last chunk")            \
    X(VIEW_OF_FEW_ENTRIES, 50, "a read from memory ends early")                                   \
    X(READ_OF_FEW_ENTRIES, 20, "a read from files ends early")                                    \
    X(INDEX_IS_FORGOTTEN, 5, "the index of a closed segment is loaded anew")                      \
    X(FLUSH_OF_FEW_ENTRIES, 10, "a flush leaves entries to the next one")                         \
    X(SEGMENT_ROLLS_EARLY, 50, "a segment is closed before it is full")                           \
    X(NO_ZEROS_AHEAD, 3, "a new segment gets no zeros ahead of its records")                      \
    X(FOOTER_WAITS, 3, "a closed segment gets its footer later")                                  \
    X(FOOTER_IS_NOT_USED, 5, "a start reads the records of a closed segment")                     \
    X(PREFIX_DROP_WAITS, 3, "files in front of the start of the log go later")                    \
    X(CUT_WAITS, 3, "entries that another leader took back are cut later")                        \
    X(MARK_IS_SYNCED_EARLY, 5, "the mark of a write is synced though the log is not idle")        \
    X(VOTES_ARE_WRITTEN_AGAIN, 2, "votes that are whole are written once more")                   \
    X(READ_PLACES_ARE_TAKEN, 5, "entries that are to be sent are not read from files now")        \
    X(BULK_IS_FULL, 100, "an APPEND does not leave, as if the queue were full")                   \
    X(APPEND_IS_NOT_TAKEN, 100, "a follower takes no entries, as if too many were unwritten")     \
    X(HELD_MESSAGE_IS_LOST, 10, "a message that waits for a vote to be durable is dropped")       \
    X(MESSAGE_LEAVES_TWICE, 200, "a Raft message without entries leaves twice")                   \
    X(DIGEST_IS_UNKNOWN, 50, "a follower asks for all heartbeats by name")                        \
    X(HEARTBEATS_LEAVE_LATER, 50, "heartbeats and their answers to a node wait for a later turn") \
    X(TURN_ENDS_EARLY, 20, "what becomes ready in a turn waits for the next one")                 \
    X(PROPOSAL_OF_FEW, 5, "of what waits to be proposed a part waits on")                         \
    X(REQUEST_IS_PARKED, 100, "a request waits as if no leader were known")                       \
    X(MEMORY_IS_USED_UP, 200, "a produce is refused, as if too many were in flight")              \
    X(WRITE_EXPIRES, 500, "a write runs out of time before it is confirmed: fate unknown")        \
    X(READ_EXPIRES, 200, "a read runs out of time before it is confirmed")                        \
    X(BARRIER_WAITS, 5, "reads share the next read index instead of asking for one")              \
    X(PROXY_FINDS_NO_ROOM, 50, "a request does not leave for the node that leads")                \
    X(GUEST_IS_PUT_OFF, 50, "a node answers a peer's read with: later")                           \
    X(CHECKPOINT_IS_DUE, 100, "a checkpoint is written early")                                    \
    X(CHECKPOINT_WAITS, 2, "a checkpoint is written later")                                       \
    X(BASE_IS_DUE, 300, "a base is made early")                                                   \
    X(BASE_HAS_NO_PLACE, 3, "a base is not sent now, as if too many were")                        \
    X(BASE_IS_NOT_TAKEN, 3, "a base is not received now, as if too many were")                    \
    X(BASE_CHUNK_IS_SHORT, 10, "a chunk of a base is one byte long")                              \
    X(BASE_IS_GIVEN_UP, 30, "a base that is being received is given up, and begun anew")          \
    X(RETENTION_LOOKS_NOW, 50, "what may be trimmed is looked for early")                         \
    X(REPAIR_WAITS, 2, "a repair does not begin now, as if too many ran")                         \
    X(REPAIR_IS_BUSY, 3, "a node has no time now for another one's repair")                       \
    X(REPAIR_ANSWER_IS_SHORT, 2, "entries for a repair come one by one")                          \
    X(SCRUB_BEGINS_NOW, 200, "a log is read through again early")                                 \
    X(SCRUB_PIECE_IS_SHORT, 4, "the scrubber reads a few records at once")                        \
    X(FILES_ARE_CHECKED, 300, "identity and votes are read and compared early")                   \
    X(DISK_SEEMS_STALLED, 2000, "a write that runs counts as one that hangs")                     \
    X(PEER_IS_LOST_AT_ONCE, 3, "a closed connection counts as a lost leader at once")             \
    X(LEADERS_HAND_OVER, 500, "leaders offer their leadership to others")                         \
    X(RECONCILE_WAITS, 2, "replicas that are wished for or not are looked at later")              \
    X(CHANGE_WAITS, 2, "a change of members waits for its next turn")                             \
    X(LEARNER_IS_BEHIND, 2, "a learner counts as not caught up yet")                              \
    X(GROWTH_WAITS, 2, "a partition gets its missing replica later")                              \
    X(SEND_IS_REFUSED, 3000, "a frame to a peer is dropped, as if its queue were full")           \
    X(BULK_IS_MADE_ANEW, 300, "a bulk connection is closed, as if nothing moved on it")

#endif
