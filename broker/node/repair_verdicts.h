/* What peers said of the entries that a repair wants, whose it got, and who is not asked any more (PROTOCOL D4).
 *
 * Pure. */
#ifndef BROKER_NODE_REPAIR_VERDICTS_H
#define BROKER_NODE_REPAIR_VERDICTS_H

#include <broker/peer.h>
#include <broker/repair_codec.h>
#include <raft/raft.h>
#include <segment_log/repair.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPAIR_SUPPLIERS_MAX 8u /* that are named */

struct repair_verdict {
    uint64_t node_id;
    uint64_t epoch; /* of the replica that answered */
    uint64_t term;  /* in which it did */
    uint64_t log_start, log_last_index;
    enum repair_answer answer;
    bool is_known; /* it answered, in words that will not change soon */
};

/* Zero is empty. */
struct repair_verdicts {
    struct repair_verdict items[PEER_KNOWN_MAX];
    uint32_t count;
    uint64_t barred[PEER_KNOWN_MAX]; /* their chain disagreed */
    uint32_t barred_count;
    uint64_t suppliers[REPAIR_SUPPLIERS_MAX]; /* nodes whose entries are in this session's file */
    uint32_t suppliers_count;
    uint64_t supplier;       /* of the newest entries in it; 0: none */
    uint64_t supplied_index; /* the last of them */
};

/* That of a node; made when there is none. NULL: no room. Valid until they are forgotten. */
struct repair_verdict *repair_verdicts_of(struct repair_verdicts *verdicts, uint64_t node_id);
/* It gave no entries, but this answer. */
void repair_verdicts_note(struct repair_verdicts *verdicts, uint64_t node_id,
                          const struct repair_message *answer);
/* Other entries are wanted now. Who is barred stays so. */
void repair_verdicts_forget(struct repair_verdicts *verdicts);
/* The file is done, or is begun anew. Who is barred stays so. */
void repair_verdicts_end_session(struct repair_verdicts *verdicts);

/* Entries of that node, through last_index, are in the file. */
void repair_verdicts_note_supply(struct repair_verdicts *verdicts, uint64_t node_id,
                                 uint64_t last_index);
/* Somebody has another entry where this log is read up to. */
bool repair_verdicts_differ(const struct repair_verdicts *verdicts);
/* The newest supply ends at `index`, and somebody has another entry there: one of the two differs from this log. */
bool repair_verdicts_are_disputed(const struct repair_verdicts *verdicts, uint64_t index);

/* No voter but `self` can give what is wanted, and there are some whose logs start behind it: where the first of these starts.
 * 0: there are none, or somebody has not said. */
uint64_t repair_verdicts_lowest_start(struct repair_verdicts *verdicts,
                                      const struct raft_configuration *configuration,
                                      uint64_t self);

void repair_verdicts_bar(struct repair_verdicts *verdicts, uint64_t node_id);
bool repair_verdicts_is_barred(const struct repair_verdicts *verdicts, uint64_t node_id);
void repair_verdicts_pardon_all(struct repair_verdicts *verdicts);

/* Every member but `self` has answered, and none of them can say what stands in front of what is wanted: it is damaged there, too, or
 * below the start, or the member is a new one. */
bool repair_verdicts_cannot_tell(struct repair_verdicts *verdicts,
                                 const struct raft_configuration *configuration, uint64_t self);
/* Somebody never held what is wanted, and its log ends there: of that end nobody knows whether it is the same here. */
bool repair_verdicts_end_between(const struct repair_verdicts *verdicts, uint64_t first_index,
                                 uint64_t last_index);
/* Every member but `self` has said that what is wanted is damaged there, too. */
bool repair_verdicts_are_of_damage(struct repair_verdicts *verdicts,
                                   const struct raft_configuration *configuration, uint64_t self);

/* What each member but `self` said, for people. */
void repair_verdicts_describe(struct repair_verdicts *verdicts,
                              const struct raft_configuration *configuration, uint64_t self,
                              char *text, size_t bytes);

/* Who supplied this session, for people. */
void repair_verdicts_describe_suppliers(const struct repair_verdicts *verdicts, char *text,
                                        size_t bytes);

/* Did so many voters never hold the entries of this hole that they cannot be committed? `term` is that of the damaged replica,
 * on node `self`. */
bool repair_verdicts_are_of_uncommitted(struct repair_verdicts *verdicts,
                                        const struct raft_configuration *configuration,
                                        uint64_t self, uint64_t term,
                                        const struct segment_log_hole *hole);

#endif
