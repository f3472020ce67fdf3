/* A message as the search sees it: seventeen bytes, only what its receiver looks at.
 *
 * Refusals that a receiver cannot tell apart are one and the same; the chain of an APPEND is the driver's. */
#ifndef EXPLORE_LETTER_H
#define EXPLORE_LETTER_H

#include "local.h"

struct letter {
    uint8_t type;
    uint8_t from;
    uint8_t to;
    uint8_t term;
    uint8_t refusal;
    uint8_t a, b, c, d;       /* see letter.c */
    uint8_t process;          /* starts of the process that asks, where one does */
    struct local_log entries; /* of an APPEND */
    uint8_t unused[6];
};
_Static_assert(sizeof(struct letter) % 8 == 0, "hashed by words");

/* `log` is the sender's, for the entries of an APPEND. */
struct letter letter_from_message(const struct raft_message *message, const struct local_log *log);

/* What the receiving driver gives to its core. configurations: array[EXPLORE_ENTRIES_MAX], filled in and borrowed by
 * the message. */
void letter_to_message(const struct letter *letter, const struct local_configurations *known,
                       struct raft_indexed_configuration *configurations,
                       struct raft_message *ret_message);

/* It can never again have an effect at its receiver, whose term on disk is `receiver_term`, or the only effect would
 * be an answer without effect at its sender, whose term on disk is `sender_term`: terms on disk never fall. */
bool letter_is_dead(const struct letter *letter, uint8_t receiver_term, uint8_t sender_term,
                    uint8_t terms_max);

#endif
