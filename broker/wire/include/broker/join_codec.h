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
    /* ACCEPTED: epoch of its replica of group 0, above the index of the meta entry that brought its incarnation */
    uint64_t epoch;
    uint64_t incarnation_index;
    char text[JOIN_TEXT_BYTES_MAX];
};

/* Return the size; write it when it fits. */
size_t join_question_encode(const struct join_question *question, uint8_t *buffer, size_t bytes);
size_t join_answer_encode(const struct join_answer *answer, uint8_t *buffer, size_t bytes);
bool join_question_decode(const uint8_t *body, size_t bytes, struct join_question *ret_question);
bool join_answer_decode(const uint8_t *body, size_t bytes, struct join_answer *ret_answer);

#endif
