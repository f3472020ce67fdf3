/* The table of planted bugs: X(name, area, what goes wrong).
 *
 * B1 to B38 were shipped by other systems (B23, B29 and B34 need code that is not built yet); the others break one of
 * our own rules and carry its number. `area` is where the wrong turn is and so which tests are asked first: core (raft/),
 * log (segment-log/, snapshot/), queue (broker/queue/, broker/wire/) or node (broker/node/, broker/peer/).
 *
 * CANARY is no bug of anybody: a runner that does not see it sees nothing. */
#ifndef PLANTED_BUGS_H
#define PLANTED_BUGS_H

#define PLANTED_BUGS(X)                                                                    \
    X(CANARY, core, "a leader counts its own copy alone as a majority")                    \
    X(B1_COMMITS_OLDER_TERMS, core,                                                        \
      "a leader commits entries of earlier terms by counting (Raft figure 8)")             \
    X(B2_STEP_DOWN_ERASES_VOTE, core,                                                      \
      "a leader that gives up forgets its vote and may vote again in that term")           \
    X(B3_ANSWERS_BEFORE_VOTE_IS_DURABLE, core,                                             \
      "a vote is answered before term and vote are durable")                               \
    X(B4_READS_BEFORE_NOOP, core,                                                          \
      "ReadIndex answers before an entry of the own term is committed")                    \
    X(B5_ANSWER_OF_OLDER_ROUND_CONFIRMS, core,                                             \
      "a late answer to an older round of heartbeats confirms the present one")            \
    X(B6_READS_BY_LEASE, core,                                                             \
      "a leader answers reads on a lease that a pause outlives, without asking again")     \
    X(B7_CHANGES_BEFORE_NOOP, core,                                                        \
      "a leader changes the group before an entry of its own term is committed (2015)")    \
    X(B8_CUT_CONFIGURATION_STAYS, core, "a configuration whose entry is cut stays in use") \
    X(B9_STANDS_OUTSIDE_OF_ITS_GROUP, core,                                                \
      "a replica that is no voter of its group stands for election")                       \
    X(B10_TAKES_OLDER_LEADERS_ENTRIES, core,                                               \
      "a follower takes entries from the leader of an older term")                         \
    X(B11_CATCH_UP_ARRIVAL_COUNTS, core,                                                   \
      "what arrived at a follower that catches up counts as durable there")                \
    X(B12_DELAYED_APPEND_CUTS_COMMITTED, core,                                             \
      "a delayed append cuts what comes after it, committed or not")                       \
    X(B13_COMMITS_OWN_TAIL, core,                                                          \
      "a follower commits through its own last entry, verified or not")                    \
    X(B14_COMPACTED_IS_CONFLICT, core,                                                     \
      "an append behind a compacted entry is a conflict, and the log is cut")              \
    X(B15_TAIL_STAYS_BEHIND_CONFLICT, core,                                                \
      "a conflicting entry is replaced, and the tail behind it is not cut")                \
    X(B16_SHORT_APPEND_CUTS_TAIL, core,                                                    \
      "a shorter append that comes again cuts newer entries that match")                   \
    X(B17_BASE_KEEPS_CONFLICTING_LOG, core,                                                \
      "a base is not installed over a log that is long enough but conflicts")              \
    X(B18_OLD_BASE_REPLACES_LOG, core, "a base that is older than the log replaces it")    \
    X(B19_PREVOTE_NEVER_CLIMBS, core,                                                      \
      "a pre-candidate that is refused for its term never takes the higher one")           \
    X(B20_PREVOTE_MOVES_TERM, core, "a pre-vote moves the term of the one that is asked")  \
    X(B21_CANDIDATE_IGNORES_BASE, core, "a candidate ignores a base that it is sent")      \
    X(B22_WIPED_NODE_VOTES, core,                                                          \
      "a replica that was made anew on a wiped node votes under its old name")             \
    X(B26_SOLE_VOTER_ACKS_UNSYNCED, core, "the only voter commits before its own sync")    \
    X(B30_CUT_WRITE_IS_ACKED, core,                                                        \
      "the report of a write that was cut meanwhile counts for what stands there now")     \
    X(B33_TIMER_LOST_BETWEEN_VOTES, core,                                                  \
      "a vote that is given amid an own pre-vote stops the election timer")                \
    X(B37_APPLIES_APPENDED_ON_ROLE_CHANGE, core,                                           \
      "a change of role lets entries be applied that are only appended")                   \
    X(M3_ACK_OF_OTHER_EPOCH_COUNTS, core, "the ack of a replica under another epoch counts")

#endif
