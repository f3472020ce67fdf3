/* The table of planted bugs: X(name, area, what goes wrong).
 *
 * B1 to B38 were shipped by other systems; the others break one of our own rules and carry its number. `area` is where the
 * wrong turn is and so which tests are asked first: core (raft/), log (segment-log/, snapshot/), queue (broker/queue/,
 * broker/wire/) or node (broker/node/, broker/peer/).
 *
 * CANARY is no bug of anybody: a runner that does not see it sees nothing. */
#ifndef PLANTED_BUGS_H
#define PLANTED_BUGS_H

#define PLANTED_BUGS(X)                                                                            \
    X(CANARY, core, "a leader counts its own copy alone as a majority")                            \
    X(B1_COMMITS_OLDER_TERMS, core,                                                                \
      "a leader commits entries of earlier terms by counting (Raft figure 8)")                     \
    X(B2_STEP_DOWN_ERASES_VOTE, core,                                                              \
      "a leader that gives up forgets its vote and may vote again in that term")                   \
    X(B3_ANSWERS_BEFORE_VOTE_IS_DURABLE, core,                                                     \
      "a vote is answered before term and vote are durable")                                       \
    X(B4_READS_BEFORE_NOOP, core,                                                                  \
      "ReadIndex answers before an entry of the own term is committed")                            \
    X(B5_ANSWER_OF_OLDER_ROUND_CONFIRMS, core,                                                     \
      "a late answer to an older round of heartbeats confirms the present one")                    \
    X(B6_READS_BY_LEASE, core,                                                                     \
      "a leader answers reads on a lease that a pause outlives, without asking again")             \
    X(B7_CHANGES_BEFORE_NOOP, core,                                                                \
      "a leader changes the group before an entry of its own term is committed (2015)")            \
    X(B8_CUT_CONFIGURATION_STAYS, core, "a configuration whose entry is cut stays in use")         \
    X(B9_STANDS_OUTSIDE_OF_ITS_GROUP, core,                                                        \
      "a replica that is no voter of its group stands for election")                               \
    X(B10_TAKES_OLDER_LEADERS_ENTRIES, core,                                                       \
      "a follower takes entries from the leader of an older term")                                 \
    X(B11_CATCH_UP_ARRIVAL_COUNTS, core,                                                           \
      "what arrived at a follower that catches up counts as durable there")                        \
    X(B12_DELAYED_APPEND_CUTS_COMMITTED, core,                                                     \
      "a delayed append cuts what comes after it, committed or not")                               \
    X(B13_COMMITS_OWN_TAIL, core,                                                                  \
      "a follower commits through its own last entry, verified or not")                            \
    X(B14_COMPACTED_IS_CONFLICT, core,                                                             \
      "an append behind a compacted entry is a conflict, and the log is cut")                      \
    X(B15_TAIL_STAYS_BEHIND_CONFLICT, core,                                                        \
      "a conflicting entry is replaced, and the tail behind it is not cut")                        \
    X(B16_SHORT_APPEND_CUTS_TAIL, core,                                                            \
      "a shorter append that comes again cuts newer entries that match")                           \
    X(B17_BASE_KEEPS_CONFLICTING_LOG, core,                                                        \
      "a base is not installed over a log that is long enough but conflicts")                      \
    X(B18_OLD_BASE_REPLACES_LOG, core, "a base that is older than the log replaces it")            \
    X(B19_PREVOTE_NEVER_CLIMBS, core,                                                              \
      "a pre-candidate that is refused for its term never takes the higher one")                   \
    X(B20_PREVOTE_MOVES_TERM, core, "a pre-vote moves the term of the one that is asked")          \
    X(B21_CANDIDATE_IGNORES_BASE, core, "a candidate ignores a base that it is sent")              \
    X(B22_WIPED_NODE_VOTES, core,                                                                  \
      "a replica that was made anew on a wiped node votes under its old name")                     \
    X(B23_DAMAGED_MINORITY_DECIDES, node,                                                          \
      "a damaged replica cuts its log in front of the damage, leads, and deletes the rest "        \
      "elsewhere")                                                                                 \
    X(B24_VOTES_AFTER_WRITE_ERROR, node,                                                           \
      "a replica whose log could not be written goes on voting and leading")                       \
    X(B25_SYNC_IS_TRIED_AGAIN, log,                                                                \
      "a failed sync is tried again, and the pages that it lost count as written")                 \
    X(B26_SOLE_VOTER_ACKS_UNSYNCED, core, "the only voter commits before its own sync")            \
    X(B27_RENAME_IS_NOT_SYNCED, log,                                                               \
      "a snapshot is renamed into place and its directory is not synced")                          \
    X(B28_WRITE_OVERTAKES_CUT, log,                                                                \
      "a write overtakes the truncation before it, and the log cannot be opened again")            \
    X(B29_MARK_TELLS_OF_MORE, log,                                                                 \
      "the mark of a write is written before its sync, so it may tell of a record that is not "    \
      "there")                                                                                     \
    X(B30_CUT_WRITE_IS_ACKED, core,                                                                \
      "the report of a write that was cut meanwhile counts for what stands there now")             \
    X(B31_UNKNOWN_FATE_IS_CALLED_FAILED, node,                                                     \
      "a leader that is deposed tells producers that nothing was stored")                          \
    X(B32_FOLLOWERS_FORGET_SEQUENCES, queue, "the table of producers is kept on the leader alone") \
    X(B33_TIMER_LOST_BETWEEN_VOTES, core,                                                          \
      "a vote that is given amid an own pre-vote stops the election timer")                        \
    X(B34_FULL_DISK_LEAVES_A_GAP, log,                                                             \
      "a write that found no room leaves a torn tail, and the next one goes behind it")            \
    X(B35_LENGTH_IS_NOT_BOUNDED, node, "a length from the network is believed without a bound")    \
    X(B36_APPLIES_SNAPSHOTS_LAST_AGAIN, node,                                                      \
      "after a restart the last entry of the snapshot is applied once more")                       \
    X(B37_APPLIES_APPENDED_ON_ROLE_CHANGE, core,                                                   \
      "a change of role lets entries be applied that are only appended")                           \
    X(B38_COMMIT_INDEX_GOES_BACK, node,                                                            \
      "after a restart the commit index begins below what the snapshot applied")                   \
    X(M1_FRAME_OF_ANOTHER_CLUSTER_IS_TAKEN, node, "a frame that names another cluster is taken")   \
    X(M2_SECOND_INCARNATION_IS_ADMITTED, node,                                                     \
      "a second copy of a node is admitted while the first is connected")                          \
    X(M2_ROTTEN_IDENTITY_STAYS, log, "a bad copy of the identity is not rewritten from the other") \
    X(M2_LATE_JOIN_IS_TAKEN, node,                                                                 \
      "a request to join of a directory that was replaced since takes the place of the new one")   \
    X(M3_ACK_OF_OTHER_EPOCH_COUNTS, core, "the ack of a replica under another epoch counts")       \
    X(M4_LIVES_BEFORE_ITS_RECORD, node,                                                            \
      "a replica votes before the record of its making is durable")                                \
    X(M4_REPLAYED_ENTRY_MAKES_A_REPLICA, node,                                                     \
      "a topic entry that was acted on makes its replica once more when it is replayed")           \
    X(M4_LET_GO_WITHOUT_RECORD, queue, "a replica is dropped as soon as it is wished no more")     \
    X(M4_FOLLOWS_AN_OLD_WISH, node, "a new leader changes its group by a wish that is over")       \
    X(M4_REPORTS_UNCONFIRMED, node, "a leader that was replaced reports what its group is")        \
    X(M5_ANY_INCARNATION_IS_LISTED, node,                                                          \
      "a node whose directory was emptied takes its old place in the cluster")                     \
    X(M5_DEAD_META_REPLICA_STAYS, node,                                                            \
      "a lost replica of group 0 stays a member of it under its old epoch")                        \
    X(M5_MADE_OVER_THE_OLD_RECORD, node,                                                           \
      "a lost replica is made again while the record of the old one still stands")                 \
    X(M5_NEW_INCARNATION_KEEPS_EPOCHS, queue,                                                      \
      "the replicas of a wiped node come back under their old names")                              \
    X(M6_ANY_NODE_FOUNDS, node,                                                                    \
      "every empty node founds a cluster, not only the one with the lowest id")                    \
    X(M6_FOUNDING_IS_NOT_DURABLE, node, "a founding is told to others before it is durable")       \
    X(M7_FIRST_LEADER_WAITS, node,                                                                 \
      "the first leader of a new group waits for its election timeout")                            \
    X(M8_TOPIC_IS_MISSING_WITHOUT_BARRIER, node,                                                   \
      "a topic that this node has not heard of yet is answered with 404")                          \
    X(M9_CHANGE_MAY_LOSE_THE_QUORUM, node,                                                         \
      "a change that leaves a group without a majority is taken")                                  \
    X(M9_HALF_OF_A_PAIR_DECIDES, core, "half of the voters is enough when their number is even")   \
    X(D4_SLOW_LINKS_REPAIR_NOTHING, node,                                                          \
      "an answer of a repair that takes longer than a second is never waited for")                 \
    X(D4_UNMENDABLE_META_STAYS_DAMAGED, node,                                                      \
      "what nobody can mend of group 0 stays damaged for as long as nothing is written there")     \
    X(M5_UNMENDABLE_REPLICA_WAITS, node,                                                           \
      "a replica that nobody can mend waits for ever, though the others do without it")            \
    X(M5_NEEDED_REPLICA_IS_SET_ASIDE, node,                                                        \
      "a damaged replica is made again though its leader has no majority without it")              \
    X(M5_TWO_ARE_SET_ASIDE_AT_ONCE, node,                                                          \
      "a leader tells two damaged replicas at once that it does without them")                     \
    X(L2_CHAIN_OF_ENTRIES_UNCHECKED, node,                                                         \
      "a follower takes entries without following their chain")                                    \
    X(D4_SHORTER_LOG_CONFIRMS_OLD_ENTRIES, node,                                                   \
      "a peer that ends among entries in doubt has nothing to say about them")                     \
    X(D4_BELIEVED_ENTRIES_HAVE_NO_TERMS, log,                                                      \
      "entries that were in doubt are believed, and their terms stay unknown")                     \
    X(D1_OLD_FRONT_IS_BELIEVED, log,                                                               \
      "entries in front of damage behind which the term is a later one are never in doubt")        \
    X(L2_TERM_TRAIL_IS_NOT_ASKED, log,                                                             \
      "a read serves a record of another term than the one that the log has there")                \
    X(L4_WRITE_TOUCHES_SYNCED_SECTOR, log,                                                         \
      "the first record after a sync begins in the sector of the last one")                        \
    X(L4_ZEROS_ARE_A_RECORD, log, "zeros in front of the end of a file are taken for a record")    \
    X(L5_ACK_BEFORE_MARK, log, "the synced mark is not written when a sync returns")               \
    X(L5_RECORDS_UNSYNCED, log, "records are reported as durable without a sync")                  \
    X(L6_CONTINUED_IS_NOT_SAID, log,                                                               \
      "the segment before a new one never says that it is continued")                              \
    X(L6_BIRTH_BESIDE_A_MARK_IN_FLIGHT, log,                                                       \
      "a segment is born while the mark of the one before may still be torn by a crash")           \
    X(L6_SEGMENT_NAME_UNSYNCED, log,                                                               \
      "a new segment is written into before its name is synced in the directory")                  \
    X(L7_CLEANED_IS_NOT_SPOILED, log,                                                              \
      "what a write without room left is overwritten with zeros, also where bytes kept an entry "  \
      "from being found")                                                                          \
    X(L7_CUT_ENDS_WHERE_THE_NEXT_BEGAN, log,                                                       \
      "a cut takes the place where the next record began for the end of the kept one")             \
    X(L7_CUT_WRITE_IS_DURABLE, log,                                                                \
      "a write that was cut while it flew still raises the durable index")                         \
    X(L7_MARKS_STAY_ABOVE_CUT, log, "a truncation cuts without lowering the marks first")          \
    X(L8_FOOTER_BEFORE_COMMIT, log, "a segment is sealed though its entries are not committed")    \
    X(L8_FOOTER_IS_BELIEVED_UNCHECKED, log, "a footer is believed without its checksums")          \
    X(S2_ROTTEN_SNAPSHOT_STAYS, node, "a snapshot that the scrubber finds damaged is left so")     \
    X(S3_LOG_BEHIND_A_ROTTEN_BASE_IS_DROPPED, log,                                                 \
      "a log that was installed behind a base that rotted is dropped for the one that it "         \
      "replaced")                                                                                  \
    X(D7_BY_TIME_FAILS_BY_ANOTHER_NAME, node,                                                      \
      "a read by time that meets damage names the first damage of the log")                        \
    X(D7_WHOLE_ENTRIES_BEHIND_DAMAGE_FAIL, node,                                                   \
      "a read that meets damage in front of what it is to read fails though that is whole")        \
    X(L8_ROTTEN_FOOTER_STAYS, log,                                                                 \
      "a footer that rots while its log is open is not written again")                             \
    X(L9_PAGE_CACHE_IS_TRUSTED, log, "recovery relies on what only the page cache holds")          \
    X(L10_DAMAGE_IS_A_SHORT_LOG, log,                                                              \
      "a bad record below the synced mark ends the log, as if it were a torn tail")                \
    X(L10_LONGER_FILE_ENDS_A_RECORD, log,                                                          \
      "a record that lacks zeros counts only once a later write has made the file longer")         \
    X(L10_TORN_RECORD_COMES_BACK, log,                                                             \
      "zeros over a torn tail make a record whole that the start has just not counted")            \
    X(D1_BROKEN_CHAIN_IS_BELIEVED, log,                                                            \
      "behind damage records are believed whose chain does not lead to the mark")                  \
    X(D4_ANCHOR_IS_NOT_MET, log,                                                                   \
      "a repair is complete though its chain does not meet what stands behind the hole")           \
    X(L11_WRITE_WITHOUT_ROOM_STAYS, log,                                                           \
      "what a write without room left in the file stays there while more is written")              \
    X(L11_WRITES_ARE_TAKEN_WHEN_FULL, node,                                                        \
      "writes are taken though the disk has no room for them")                                     \
    X(V1_HELD_MESSAGES_LEAVE, node, "messages that wait for a vote to be durable leave at once")   \
    X(V1_SLOTS_ALTERNATE, log,                                                                     \
      "a vote is written into one of the two slots only, each time the other one")                 \
    X(V1_VOTE_IS_NOT_SYNCED, log, "a vote is called durable before it is synced")                  \
    X(V2_BAD_SLOT_STAYS, log, "a bad slot of the votes is not rewritten")                          \
    X(V2_NEW_TERM_KEEPS_VOTE, core, "the vote of an older term stands in a new one")               \
    X(V2_TERM_OF_THE_LOG_IS_IGNORED, core,                                                         \
      "after a restart the term is that of the vote store, though the log knows a later one")      \
    X(V3_LOST_VOTE_VOTES, core, "a replica that lost its vote votes")                              \
    X(V3_VOTELESS_REPLICA_IS_MADE_AS_IT_WAS, node,                                                 \
      "a replica whose vote was lost is made again under its old epoch")                           \
    X(D6_DISPUTED_REPLICA_GOES_ON, node,                                                           \
      "a replica that may have diverged acknowledges and votes until it is judged")                \
    X(D6_DISPUTED_REPLICA_SERVES, node,                                                            \
      "a replica that may have diverged serves local reads until it is judged")                    \
    X(D6_HEARTBEATS_COMPARE_NOTHING, node, "chains are not compared in heartbeats")                \
    X(D2_LOST_POSITION_STOPS_THE_NODE, node,                                                       \
      "a replica that lost its position stops its node instead of being made again")               \
    X(C1_LEARNERS_COUNT, core, "learners count for majorities")                                    \
    X(C1_NEW_HALF_DECIDES_ALONE, core, "a joint group decides by the majority of its new half")    \
    X(C1_NO_CHECK_QUORUM, core, "a leader that nobody answers leads on")                           \
    X(C1_NO_PREVOTE, core, "a replica stands without asking first whether it could win")           \
    X(C1_NO_STICKINESS, core, "a voter that hears its leader votes for another one")               \
    X(C1_TWO_CHANGES_AT_ONCE, core,                                                                \
      "a leader changes the group while the change before is not committed")                       \
    X(C1_TWO_VOTERS_WITHOUT_JOINT, core,                                                           \
      "several voters change at once without a joint configuration")                               \
    X(C1_PROMOTED_WHEN_BEHIND, node, "a learner gets its vote before it has the log")              \
    X(C2_LEARNER_REFUSES_ITS_VOTE, core,                                                           \
      "a voter that still believes to be a learner gives no vote")                                 \
    X(C2_VOTES_FOR_A_SHORTER_LOG, core, "a vote goes to a candidate whose log is behind")          \
    X(C3_CHAIN_BEHIND_IS_NOT_COMPARED, node,                                                       \
      "a follower appends behind an entry whose chain is another than the leader says")            \
    X(C3_TERM_BEHIND_IS_NOT_COMPARED, core,                                                        \
      "a follower appends behind an entry whose term is another than the leader says")             \
    X(C4_STUCK_BULK_COUNTS, core,                                                                  \
      "a follower that lacks entries counts for the quorum though nothing reaches it")             \
    X(C5_CLOSED_CONNECTION_IS_IGNORED, core,                                                       \
      "a closed leader connection starts no early pre-vote")                                       \
    X(C6_DIGEST_IS_NOT_COMPARED, node,                                                             \
      "heartbeats that a digest stands for are repeated without comparing it")                     \
    X(C7_STALLED_LEADER_STAYS, core, "a leader whose disk stands still leads on")                  \
    X(C7_TIME_GAP_IS_IGNORED, core, "a replica that slept goes on as if no time had passed")       \
    X(C8_A_JUMP_TRIMS, node, "alone, a clock that jumps ahead lets everything expire")             \
    X(C8_ONE_CLOCK_DECIDES, node,                                                                  \
      "the stamp is the fastest clock of the voters, not their median")                            \
    X(C8_STAMPS_GO_BACK, node,                                                                     \
      "the time stamp of an entry is the clock, also when it lies before the last one")            \
    X(C9_TIMEOUT_IS_CALLED_FAILED, node,                                                           \
      "a write that was not confirmed in time is called failed")                                   \
    X(C9_SLOW_BROADCASTS_ARE_NOT_TOLD, node,                                                       \
      "broadcasts that take too long for the election timeout are not told")                       \
    X(D3_ACKS_OVER_DAMAGE, node, "a follower acknowledges entries behind damage in its log")       \
    X(D4_ONE_ANSWER_CUTS, node,                                                                    \
      "damaged entries that one voter never held are cut, as if nobody could hold them")           \
    X(D4_REPAIRED_ENTRIES_ARE_NOT_OFFERED, node,                                                   \
      "a leader sends a base to who lags behind damage, though it has repaired it")                \
    X(D5_DAMAGED_LEADER_TAKES_PRODUCE, node,                                                       \
      "a leader with damage in its log takes messages before it is whole")                         \
    X(D5_DAMAGED_STANDS_AT_ONCE, core, "a replica with damaged entries stands like a whole one")   \
    X(D7_DAMAGE_BELOW_A_CHECKPOINT_HALTS, node,                                                    \
      "a group halts by damage on all replicas that no state needs any more")                      \
    X(D7_LOST_EVERYWHERE_IS_CUT, node,                                                             \
      "entries that are damaged on all replicas are cut, as if nobody had ever held them")         \
    X(D8_REGRESSION_IS_IGNORED, node,                                                              \
      "a member that lacks what it acknowledged is believed to have it")                           \
    X(D8_REGRESSED_VOTES, core,                                                                    \
      "who lost what it acknowledged votes and stands as if it never had it")                      \
    X(S2_BASE_IS_AHEAD_OF_THE_LOG, node, "a base is written of entries that are not durable here") \
    X(S2_SNAPSHOT_IS_AHEAD_OF_THE_LOG, node,                                                       \
      "a snapshot is written of entries that are not durable here")                                \
    X(S2_BASE_MISSING_AT_TRIM, node,                                                               \
      "a log is trimmed, and the base at its new start is removed with the older ones")            \
    X(S3_ACKED_BEFORE_PUBLISHED, node, "a received base is acknowledged before it has its name")   \
    X(S3_CHUNK_AT_ANY_POSITION, node, "a chunk of a base is taken wherever it belongs")            \
    X(S3_COPY_COMES_LATER, node,                                                                   \
      "the files that a received base replaces go before it has its copy")                         \
    X(S3_OLD_BASES_GO_FIRST, node, "older bases are removed before the received one has its name") \
    X(S3_READS_BEFORE_CAUGHT_UP, node,                                                             \
      "a replica reads from a base that is older than what was committed then")                    \
    X(S3_RECEIVED_IS_NOT_COMPARED, log, "a received base is not compared with what was announced") \
    X(S4_CONSUMED_TRIM_IS_NOT_CLAMPED, queue,                                                      \
      "what was thought to be consumed is trimmed in front of a durable group")                    \
    X(S4_TRIM_COUNTS_BEFORE_IT_IS_COMMITTED, node,                                                 \
      "a leader raises the start of the log when it proposes it")                                  \
    X(S5_START_IS_PER_REPLICA, node,                                                               \
      "each replica shows what its own files hold as the start of the log")                        \
    X(S5_DROPS_BEFORE_ITS_TRIM_IS_DURABLE, node,                                                   \
      "files go that the snapshot which a restart begins with still shows")                        \
    X(S5_LOG_STARTS_AT_ANY_BASE, node,                                                             \
      "a base becomes the start of the log unread, and the ones in front of it go")                \
    X(S5_BASE_THAT_WAS_READ_IS_OUTRUN, node,                                                       \
      "a base that was read whole is no start of the log when there is a newer one to read")       \
    X(S5_DROP_THAT_BEGAN_IS_OUTRUN, node,                                                          \
      "a drop that waits for older bases to go begins anew when the start has moved on")           \
    X(S5_BASE_ON_ITS_WAY_IS_OUTRUN, node,                                                          \
      "the entries behind a base that is being sent are dropped")                                  \
    X(P1_OVERLAY_IS_NOT_ASKED, queue,                                                              \
      "a repeat of a batch in flight is not recognised and is stored twice")                       \
    X(P1_OVERLAY_SURVIVES_STEP_DOWN, node, "a deposed leader keeps its list of batches in flight") \
    X(P1_TAKES_BATCHES_BEFORE_NOOP, node,                                                          \
      "a new leader takes batches before it has applied what others committed")                    \
    X(P2_GAP_IS_ACCEPTED, queue, "a batch whose sequence leaves a gap is accepted")                \
    X(P2_OLDER_EPOCH_IS_ACCEPTED, queue, "a producer of an older epoch is not fenced")             \
    X(P2_TWO_BATCHES_ARE_KEPT, queue,                                                              \
      "only the last two batches of a producer are kept, so an older repeat has no offset")        \
    X(P3_EVICTION_FENCES_NOBODY, queue,                                                            \
      "an evicted producer is not fenced, so its retries are new to the partition")                \
    X(P4_PROXY_SENDS_AGAIN, node, "a proxy sends a write again that may have been stored")         \
    X(P5_COMMIT_IS_NOT_FENCED, queue, "a commit of an older generation overwrites a newer one")    \
    X(P5_EQUAL_COMMIT_WITHOUT_BARRIER, node,                                                       \
      "an equal offset commit is answered from a state that may be old")                           \
    X(R1_ANY_ANSWER_ENDS_THE_REQUEST, core,                                                        \
      "a follower takes the answer to an older request for the present one")                       \
    X(R1_FOLLOWER_READS_WITHOUT_ASKING, node,                                                      \
      "a replica answers reads from its own state, without a read index")                          \
    X(R1_REQUEST_COVERS_LATER_READS, core,                                                         \
      "a follower answers reads that came after its request left")                                 \
    X(R1_ROUND_COVERS_LATER_READS, core,                                                           \
      "a round answers reads that came after its first message left")                              \
    X(R2_OWN_WORD_IS_ENOUGH, core, "a leader confirms its rounds alone")                           \
    X(R2_LEARNERS_CONFIRM, core, "a round is confirmed by learners too")                           \
    X(R3_ANSWERS_BEFORE_APPLIED, node, "a read is answered before its index is applied here")      \
    X(R3_LOCAL_OFFSETS_ARE_OLD, node,                                                              \
      "bounds and group offsets of a topic that allows old messages may be old, too")              \
    X(M1_FOREIGN_FILES_ARE_TAKEN, log, "a log of another cluster or group is opened as one's own") \
    X(M1_GROUP_IDS_ARE_REUSED, queue,                                                              \
      "the group ids of a deleted topic are given to the next one")                                \
    X(M6_FOUNDING_ONLY_FROM_ITS_FOUNDER, node,                                                     \
      "a founding that another node than the founder tells is not taken")                          \
    X(M6_MARKED_NODE_FOUNDS, node,                                                                 \
      "a node that held a directory before founds like one that never did")                        \
    X(M6_SECOND_FOUNDING_IS_TAKEN, node, "a node that knows its cluster takes another founding")   \
    X(M6_UNEQUAL_LISTS_FOUND, node,                                                                \
      "a cluster is founded though a node has another list of peers")                              \
    X(M8_CREATE_ANSWERS_AT_ONCE, node,                                                             \
      "a topic is said to be created before its partitions have leaders")                          \
    X(M8_DELETE_ANSWERS_AT_ONCE, node, "a topic is said to be deleted before anybody dropped it")  \
    X(M9_ALL_VOTE_IN_META, node, "every founder is a voter of group 0, however many they are")     \
    X(M9_VOTE_IN_META_STAYS_LOST, node,                                                            \
      "a vote in group 0 that nobody could take when its node left is given to nobody later")      \
    X(L1_CHECKSUM_NAMES_NO_GROUP, log,                                                             \
      "the checksum of an entry is the same in every cluster and group")                           \
    X(L3_STAMP_IS_NOT_COMPARED, log,                                                               \
      "what a broker stamped into a batch is not compared with the entry's header")                \
    X(V3_SOLE_VOTER_GIVES_UP, node,                                                                \
      "the only voter of a group is set aside when its vote is lost")                              \
    X(C4_MOVEMENT_IS_NOT_TOLD, node,                                                               \
      "the core does not hear that bytes move on a bulk connection")                               \
    X(C5_OTHER_PROCESS_IS_THE_SAME, node,                                                          \
      "a leader whose process was started anew counts as heard")                                   \
    X(C5_SPLIT_WAITS_FOR_THE_TIMER, core,                                                          \
      "after a lost leader a split vote waits for an election timeout")                            \
    X(C5_DEAD_LEADER_MAY_STILL_VOTE, core,                                                         \
      "of three the two that lost their leader and split the vote wait for the vote of the dead")  \
    X(C5_WHO_HEARS_THE_LEADER_IS_ASKED_ONCE, core,                                                 \
      "after a lost leader who still hears it is not asked again soon")                            \
    X(C7_FULL_LEADER_STAYS, node, "a leader whose disk is full leads on though others have space") \
    X(C7_STOPS_WITHOUT_HANDOVER, node,                                                             \
      "a node that is told to stop keeps its leadership until it is gone")                         \
    X(S1_FROZEN_STATE_IS_CHANGED, log,                                                             \
      "a change of the state reaches the snapshots that were taken of it before")                  \
    X(P2_NEW_EPOCH_STARTS_ANYWHERE, queue,                                                         \
      "a new epoch of a producer may begin with any sequence")                                     \
    X(P2_OVERLAP_IS_A_DUPLICATE, queue,                                                            \
      "a batch that begins like a kept one and ends elsewhere is taken for it")                    \
    X(P2_SIXTH_IN_FLIGHT_IS_TAKEN, queue,                                                          \
      "a producer may have more batches in flight than are kept")                                  \
    X(P3_UNKNOWN_ID_STARTS_ANYWHERE, queue,                                                        \
      "a producer that nobody knows may begin with any sequence")                                  \
    X(R3_DAMAGED_BYTES_ARE_SERVED, log, "the payload of a record is not compared with its hash")   \
    X(R3_LAG_IS_NOT_TOLD, node, "the answer to a local read does not tell its lag")                \
    X(R3_LAGGING_REPLICA_REFUSES, node,                                                            \
      "a local read behind the end that a replica knows is refused without asking the leader")     \
    X(M6_FIRST_OF_TWO_CLUSTERS_IS_JOINED, node,                                                    \
      "an empty node joins the first cluster that it is told of")                                  \
    X(M7_UNKNOWN_GROUP_IS_NOT_ANSWERED, node,                                                      \
      "frames for a group that is not known here are dropped silently")                            \
    X(C3_ARRIVED_IS_COMMITTED, core, "a follower calls entries committed as soon as they arrive")

#endif
