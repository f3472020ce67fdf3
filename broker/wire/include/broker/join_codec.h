/* Asking to join a cluster, as bytes: bodies of JOIN and JOIN_ANSWER frames (docs/FORMATS.md). Pure; little endian; versioned;
 * decoders take hostile bytes and return false. */
#ifndef BROKER_JOIN_CODEC_H
#define BROKER_JOIN_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOIN_ADDRESS_BYTES_MAX 256u
#define JOIN_TEXT_BYTES_MAX    256u
#define JOIN_BYTES_MAX         1024u /* of an encoded question or answer */

struct join_question {
    uint64_t node_id; /* who asks; a peer that does not lead group 0 passes it on */
    uint64_t incarnation;
    bool is_passed_on; /* it is passed on once */
    uint64_t number;   /* random, of this asking; comes back in the answers that count */
    /* In whose place it comes, as a leader told it: the incarnation that is registered, 0 = none (M2) */
    bool knows_registered;
    uint64_t registered;
    /* Its replica of group 0, of this epoch, is lost and was moved aside: it wants a new one (M5) */
    bool is_lost;
    uint64_t lost_epoch;
    char peer_address[JOIN_ADDRESS_BYTES_MAX];
    char http_address[JOIN_ADDRESS_BYTES_MAX];
    char kafka_address[JOIN_ADDRESS_BYTES_MAX];
};

enum join_verdict {
    JOIN_WAIT = 1, /* it is under way, or nobody is there to decide */
    JOIN_REFUSED,  /* until somebody does what the text says */
    JOIN_ACCEPTED,
};

struct join_answer {
    enum join_verdict verdict;
    bool is_leaders; /* of group 0; else of a peer that found none */
    uint64_t node_id;
    uint64_t incarnation;
    uint64_t number;       /* of the question */
    bool knows_registered; /* leader's: as in the question; it is to ask again with it */
    uint64_t registered;
    /* ACCEPTED: epoch of its replica of group 0, above the index of the meta entry that brought its incarnation */
    uint64_t epoch;
    uint64_t incarnation_index;
    char text[JOIN_TEXT_BYTES_MAX];
};

/* Return the size; the bytes are whole in `buffer` only when that is at most `bytes`. */
size_t join_question_encode(const struct join_question *question, uint8_t *buffer, size_t bytes);
size_t join_answer_encode(const struct join_answer *answer, uint8_t *buffer, size_t bytes);
bool join_question_decode(const uint8_t *body, size_t bytes, struct join_question *ret_question);
bool join_answer_decode(const uint8_t *body, size_t bytes, struct join_answer *ret_answer);

#endif
